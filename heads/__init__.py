"""One file per kind of task; each is a vertical slice with the same names.

    MODEL                          name of the transformers Auto class
    read(task, data_dir, split, language)        files of the XTREME layout -> datasets.Dataset, a row per example
    encode(rows, tokenizer, labels, settings)    rows -> features (`input_ids`, `labels`, `length`, bookkeeping)
    forward(model, batch)                        batch -> logits whose last dimension is the classes of `labels`
    reduce(logits, batch, settings)              logits -> what decoding needs, one array per feature
    decode(rows, features, reduced, labels, settings)    -> one prediction per row
    constants(rows)                              -> predictions of models that have learned nothing: the level to beat
    references(rows)                             gold labels as metrics.py scores them, None where the file has none
    write_predictions(path, rows, predictions)   XTREME's submission format

`retrieval` has no training and its own, shorter list; `masked_lm` has perplexities in place of predictions. Adding a
kind of task is adding a file here and a record in tasks.py. Names and indices of labels meet in common/labels.py. This
module holds what all readers share: files -> checked lines and JSON, with errors that name file, line, value and next
step.
"""

import json
import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from common.files import InputError
from common.labels import FIRST


@dataclass(frozen=True)
class Settings:
    """What encoding and decoding depend on, beside the data and the model."""

    max_seq_length: int
    doc_stride: int
    n_best_size: int
    max_answer_length: int
    null_score_diff_threshold: float = math.inf  # SQuAD 2.0 only: XTREME's questions all have answers
    tag_piece: str = FIRST  # tagging only: one of common.labels.TAG_PIECES

    def as_given(self):
        """What the command line decides: training selects checkpoints with these."""
        return {name: value for name, value in self.as_inputs().items() if name != "null_score_diff_threshold"}

    def as_inputs(self):
        """All that predictions depend on. Folders from before there was `tag_piece` lack it: at its default it is left
        out, and they stay what they are.
        """
        return {name: value for name, value in vars(self).items() if (name, value) != ("tag_piece", FIRST)}


def head_of(task):
    """The module of a task's kind, e.g. heads/tagging.py. Loads `datasets` and torch, which takes seconds."""
    return import_module(f"heads.{task.kind}")


def path_of(task, data_dir, split, language):
    """The files of one split, e.g. [data/xtreme/xnli/test-de.tsv].

    An intermediate task's translation lies beside the English file: mnli/train.de.jsonl; English may also be
    mnli/train.en.jsonl.
    """
    templates = task.files[split]
    templates = (templates,) if isinstance(templates, str) else templates
    paths = [Path(data_dir) / template.format(lang=language) for template in templates]
    for index, template in enumerate(templates):
        if template.endswith(".jsonl") and "{lang" not in template:
            translated = paths[index].with_suffix(f".{language}.jsonl")
            if language != "en" or (translated.exists() and not paths[index].exists()):
                paths[index] = translated
    return paths


def limit(rows, number):
    """The first `number` rows of a Dataset, all where it is None."""
    return rows if number is None else rows.select(range(min(number, len(rows))))


def read_text(path):
    """Whole file as text; errors name the first line that is not UTF-8."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check --data_dir or download the task") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
    text = decode(path, content, "utf-8-sig")
    if not text.strip():
        raise InputError(f"{path}: the file is empty; download it again")
    return text


def decode(path, content, encoding="utf-8"):
    """The text of a file's bytes; the error names the first line that is not UTF-8."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from None


def read_lines(path):
    """Lines without their line ends and without blank lines at the end.

    Only \\n and \\r\\n end a line: text may hold U+2028 and its like.
    """
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    while not lines[-1]:
        lines.pop()
    return lines


def read_json(path):
    """One JSON document; errors name the line where parsing stopped."""
    return _parse(read_text(path), path)


def read_jsonl(path, columns):
    """Yield (line number, row) of a JSON-lines file whose rows must all have `columns`."""
    for number, line in enumerate(read_lines(path), start=1):
        row = _parse(line, path, number)
        missing = [column for column in columns if not isinstance(row, dict) or column not in row]
        if missing:
            raise InputError(
                f"{path}, line {number}: no column {missing[0]!r}; this task's rows have {', '.join(columns)}"
            )
        yield number, row


def _parse(text, path, number=1):
    """The JSON value of a text that begins on line `number`."""
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {number + error.lineno - 1}: not valid JSON ({error.msg}); is the file truncated?"
        ) from None
    except UnicodeEncodeError:
        raise InputError(
            f"{path}, line {number}: a \\ud... escape without its other half is no character; remove it"
        ) from None
    except (RecursionError, ValueError) as error:  # brackets too deep, integers too long
        raise InputError(f"{path}, line {number}: unusable JSON ({error}); write the file again") from None
    return value


def check_texts(path, number, columns):
    """Refuse {column: value} with a value that is not a string."""
    for column, value in columns.items():
        if not isinstance(value, str):
            raise InputError(f"{path}, line {number}: {column} {value!r} is not a text; write it as a JSON string")


def check_unique(path, ids):
    """Refuse a file that uses an id twice: predictions are keyed by id."""
    seen, unit = set(), "example" if path.suffix == ".json" else "line"  # other files have one example per line
    for number, example_id in enumerate(ids, start=1):
        if example_id in seen:
            raise InputError(
                f"{path}, {unit} {number}: repeats the id {example_id!r}; ids must be unique, remove one of the two"
            )
        seen.add(example_id)
