"""One right choice among several: XCOPA, and HellaSwag, Cosmos QA, CommonsenseQA, SIQA as intermediate tasks."""

import json
import logging

from datasets import Dataset

from common.files import InputError, write_text
from common.loss import margins
from heads import check_id, check_texts, check_unique, path_of, read_jsonl
from heads.encoding import encoded, tokenized

MODEL = "AutoModelForMultipleChoice"
logger = logging.getLogger("xtreme")
BLANKED = 10  # labels of a test file that are all 0 are XTREME's way to withhold them, not chance, from here on

NO_TEXTS = ("label", "endings", "choices", "answerKey")  # columns that do not hold one text


def _xcopa(row):
    return f"{row['premise']} What was the {row['question']}?", [row["choice1"], row["choice2"]], row.get("label")


def _hellaswag(row):
    choices = [f"{row['ctx_b']} {ending}" for ending in _texts(row, "endings")]
    label = row["label"]
    if isinstance(label, str):  # the Hub's column: "0" to "3", "" in its test file
        label = int(label) if label.isdecimal() else label or None
    return row["ctx_a"], choices, label


def _cosmos_qa(row):
    return f"{row['context']} {row['question']}", [row[f"answer{i}"] for i in range(4)], row["label"]


def _commonsense_qa(row):
    if not isinstance(row["choices"], dict):
        raise TypeError("choices is no object of label and text")
    names, texts, answer = _texts(row["choices"], "label"), _texts(row["choices"], "text"), row["answerKey"]
    if len(names) != len(texts) or len(set(names)) < len(names):
        raise ValueError(f"choices has {len(texts)} texts for the names {', '.join(names)}")
    if answer is not None and (not isinstance(answer, str) or answer and answer not in names):
        raise ValueError(f"answerKey {answer!r} is none of {', '.join(names)}")
    return row["question"], texts, names.index(answer) if answer else None


def _siqa(row):
    label = row["label"]
    if isinstance(label, str):  # the Hub's column: "1" to "3", "" in its test file
        label = int(label) - 1 if label.isdecimal() else label or None
    return f"{row['context']} {row['question']}", [row[f"answer{letter}"] for letter in "ABC"], label


def _plain(row):
    return row["question"], _texts(row, "choices"), row.get("label")


def _texts(row, column):
    """A column that must be a list of texts."""
    if not isinstance(row[column], list) or not all(isinstance(text, str) for text in row[column]):
        raise TypeError(f"{column} is no list of texts")
    return row[column]


# How each data set's row becomes (prompt, choices, index of the right choice or None): jiant's formats (X-STILTs),
# XTREME-R's for XCOPA and SIQA. Other data sets have question, choices (a list of texts) and label.
FORMATS = {
    "xcopa": _xcopa,
    "hellaswag": _hellaswag,
    "cosmos_qa": _cosmos_qa,
    "commonsense_qa": _commonsense_qa,
    "siqa": _siqa,
}


def read(task, data_dir, split, language):
    """Rows {id, prompt, choices, label}; `label` is the index of the right choice, None in a file without labels.

    Raises InputError for rows of another form, labels that are no index of a choice or stand on some lines only,
    repeated ids, and a number of choices that varies within a file.
    """
    rows = []
    for path in path_of(task, data_dir, split, language):
        of_file = list(_read_jsonl(path, task, split))
        for number, row in enumerate(of_file, start=1):
            if len(row["choices"]) != len(of_file[0]["choices"]) or len(row["choices"]) < 2:
                raise InputError(
                    f"{path}, line {number}: {len(row['choices'])} choices; all lines of a file must have the same "
                    "number, at least 2"
                )
            if (row["label"] is None) != ((rows or of_file)[0]["label"] is None):
                raise InputError(f"{path}, line {number}: labels on some lines only; give every line a label or none")
        check_unique(path, [row["id"] for row in of_file])
        if split == "test" and len(of_file) >= BLANKED and all(row["label"] == 0 for row in of_file):
            logger.warning("%s: label 0 on every line, as XTREME's preprocessing withholds them: no labels", path)
            of_file = [{**row, "label": None} for row in of_file]
        rows += of_file
    return Dataset.from_list(rows)


def _read_jsonl(path, task, split):
    columns = [column for column in task.columns if column != "label" or split != "test"]
    for number, row in read_jsonl(path, columns, task):
        check_texts(path, number, {column: row[column] for column in columns if column not in NO_TEXTS})
        try:
            prompt, choices, label = FORMATS.get(task.name, _plain)(row)
        except (AttributeError, KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"{path}, line {number}: row does not have {task.name}'s form ({error}); see tasks.py"
            ) from None
        check_texts(path, number, {f"choice {index}": choice for index, choice in enumerate(choices)})
        if label is not None and (type(label) is not int or label not in range(len(choices))):
            problem = f"unknown label {label!r}; it must be the index of one of {len(choices)} choices"
            raise InputError(f"{path}, line {number}: {problem}")
        example_id = check_id(path, number, row.get("idx", row.get("id", row.get("ind", number - 1))))
        yield {"id": example_id, "prompt": prompt, "choices": choices, "label": label}


def encode(rows, tokenizer, labels, settings):
    """`input_ids` [choices, tokens] per example: `<s> prompt </s></s> choice </s>`.

    Prompts that are too long lose their front, as in jiant.
    """
    side, tokenizer.truncation_side = tokenizer.truncation_side, "left"

    def encode_batch(batch):
        pairs = [(prompt, choice) for prompt, choices in zip(batch["prompt"], batch["choices"]) for choice in choices]
        prompts, texts = map(list, zip(*pairs))
        features = {}
        for name, values in tokenized(tokenizer, prompts, texts, settings.max_seq_length).items():
            flat = iter(values)
            features[name] = [[next(flat) for _ in choices] for choices in batch["choices"]]
        features["length"] = [max(map(len, choices)) for choices in features["input_ids"]]
        if batch["label"][0] is not None:
            features["labels"] = batch["label"]
        return features

    features = encoded(rows, encode_batch)
    tokenizer.truncation_side = side
    return features


def forward(model, batch):
    """Examples may differ in their number of choices: those that only fill up the batch get -inf."""
    real = batch.pop("choice_mask")  # [examples, choices]
    return model(**batch).logits.float().masked_fill(~real, float("-inf"))  # [examples, choices]


def reduce(logits, batch, settings):
    return {"choice": logits.argmax(-1)}  # [examples]


def decode(rows, features, reduced, labels, settings):
    return [int(index) for index in reduced["choice"]]


def references(rows):
    return None if rows[0]["label"] is None else rows["label"][:]


def constants(rows):
    """The guesses of a degenerate model: every position everywhere."""
    return [[label] * len(rows) for label in sorted(set(rows["label"][:]))]


def write_predictions(path, rows, predictions):
    """`{"label": index}` per line."""
    write_text(path, "".join(json.dumps({"label": label}) + "\n" for label in predictions))


def edited(row, field, old, new):
    """The prompts begin with what may be edited of them."""
    if field.startswith("choice"):
        return {**row, "choices": [new if choice == old else choice for choice in row["choices"]]}
    return {**row, "prompt": new + row["prompt"].removeprefix(old)}


def margin(logits, labels):
    """Score of the right choice minus the highest other one, [examples]."""
    return margins(logits, labels)
