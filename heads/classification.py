"""Sentence pairs with one label: XNLI, PAWS-X, and the NLI and paraphrase intermediate tasks."""

import logging

import torch
from datasets import Dataset

from common.files import InputError, write_text
from common.labels import LabelIndices, check_alike, check_label, names_of
from common.loss import margins
from heads import check_texts, path_of, read_jsonl, read_table
from heads.encoding import encoded, tokenized
from heads.other_forms import pair_columns

MODEL = "AutoModelForSequenceClassification"
logger = logging.getLogger("xtreme")


def read(task, data_dir, split, language):
    """Rows {id, text_a, text_b, label}; `label` is a name, or None where XTREME stripped its test file of labels.

    The tsv is read raw, as XTREME's processors do (no quoting): `"` is a character of the text.
    Raises InputError for a wrong number of columns, an unknown label, or a file with labels on some lines only.
    """
    rows = []
    for path in path_of(task, data_dir, split, language):
        if path.suffix == ".jsonl":
            rows += _read_jsonl(path, task)
        else:
            rows += _read_tsv(path, task, split != "test", language)
        if not task.labels:  # an own task's labels come from its data
            check_alike(path, [row["label"] for row in rows if row["label"] is not None])
    return Dataset.from_list([{"id": str(index), **row} for index, row in enumerate(rows)])


def _read_tsv(path, task, labeled, language):
    lines = [line.split("\t") for line in read_table(path, "sentence1, sentence2, label")]
    labeled = labeled or len(lines[0]) != 2
    rows = []
    for number, fields in enumerate(lines, start=1):
        if len(fields) != 2 + labeled:
            expected = "sentence1, sentence2" + (", label" if labeled else " (as line 1: a file without labels)")
            problem = f"{len(fields)} tab-separated columns instead of {2 + labeled}: {expected}"
            step = pair_columns(lines[0], language)
            raise InputError(f"{path}, line {number}: {problem}{step and '; ' + step}")
        label = check_label(path, number, fields[2].strip(), task.labels) if labeled else None
        rows.append({"text_a": fields[0], "text_b": fields[1], "label": label})
    return rows


def _read_jsonl(path, task):
    text_a, text_b, label = task.columns
    rows, dropped = [], 0
    for number, row in read_jsonl(path, task.columns, task):
        check_texts(path, number, {text_a: row[text_a], text_b: row[text_b]})
        if task.labels and type(row[label]) is int and row[label] == -1:  # SNLI: its annotators did not agree
            dropped += 1
            continue
        name = check_label(path, number, row[label], task.labels)
        rows.append({"text_a": row[text_a], "text_b": row[text_b], "label": name})
    if not rows:
        raise InputError(f"{path}: no examples with a label; download it again")
    if dropped:
        logger.warning(
            "%s: %d of %d rows have the label -1 (none) and are left out", path, dropped, dropped + len(rows)
        )
    return rows


def encode(rows, tokenizer, labels, settings):
    """`<s> A </s></s> B </s>`, the longer text cut first."""
    indices = LabelIndices(labels)

    def encode_batch(batch):
        features = tokenized(tokenizer, batch["text_a"], batch["text_b"], settings.max_seq_length)
        features["length"] = [len(tokens) for tokens in features["input_ids"]]
        if batch["label"][0] is not None:
            features["labels"] = [indices[label] for label in batch["label"]]
        return features

    return encoded(rows, encode_batch)


def forward(model, batch):
    return model(**batch).logits  # [examples, labels]


def reduce(logits, batch, settings):
    return {"label": logits.argmax(-1)}  # [examples]


def decode(rows, features, reduced, labels, settings):
    return names_of(reduced["label"], labels)


def references(rows):
    return None if rows[0]["label"] is None else rows["label"][:]


def constants(rows):
    """The guesses of a degenerate model: every label everywhere."""
    return [[label] * len(rows) for label in sorted(set(rows["label"][:]))]


def write_predictions(path, rows, predictions):
    """One label per line, in the order of the test file."""
    write_text(path, "".join(f"{label}\n" for label in predictions))


def edited(row, field, old, new):
    return {**row, {"premise": "text_a", "hypothesis": "text_b"}[field]: new}


def margin(logits, labels):
    """Gold logit minus the highest other one, [examples]; lower than any for a label that no class stands for."""
    return margins(logits, labels).masked_fill(labels < 0, -torch.inf)
