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
    edited(row, field, old, new)                 the row with a text of its file replaced, as attacks do
    margin(logits, labels)                       how far each feature is from wrong: below 0 it is

The margin of `question_answering` is a row's, from what `reduce` gives. `retrieval` has no training and its own,
shorter list; `dual_encoder` ranks what `read_pool` gives and has a Predictor and a `model_class` of its own;
`masked_lm` and `translation_lm` have perplexities in place of predictions. Adding a kind of task is adding a file here
and a record in tasks.py. Names and indices of labels meet in common/labels.py. This
module holds what all readers share: files -> checked lines and JSON, with errors that name file, line, value and next
step.
"""

import json
import math
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from common.arguments import MICRO_BATCH, POOLER
from common.files import InputError
from common.labels import FIRST, SPAN
from heads.other_forms import check_bytes, check_table, check_text, row_of_another_form, table_in_jsonl

# What XTREME's own preprocessing calls files: (in tasks.py, there)
XTREME_NAMES = ((r"(tydiqa)\.(\w+\.\w+\.json)", r"\1.goldp.\2"), (r"(train|val|test)-(\w+\.jsonl)", r"\1.\2"))


ADDED = ("tag_piece", "qa_decoding", "pooling", "negatives", "do_lower_case")


@dataclass(frozen=True)
class Settings:
    """What encoding and decoding depend on, beside the data and the model."""

    max_seq_length: int
    doc_stride: int
    n_best_size: int
    max_answer_length: int
    null_score_diff_threshold: float = math.inf  # SQuAD 2.0 only: XTREME's questions all have answers
    tag_piece: str = FIRST  # tagging only: one of common.labels.TAG_PIECES
    pooling: str = POOLER  # dual encoder only, as the next two
    negatives: str = MICRO_BATCH
    do_lower_case: bool = False
    qa_decoding: str = SPAN  # question answering only: one of common.labels.QA_DECODINGS

    def as_given(self):
        """What the command line decides: training selects checkpoints with these."""
        return {name: value for name, value in self.as_inputs().items() if name != "null_score_diff_threshold"}

    def as_inputs(self):
        """All that predictions depend on. Folders from before there was one of ADDED lack it: at its default it is
        left out, and they stay what they are.
        """
        values = vars(self).items()
        return {name: value for name, value in values if name not in ADDED or value != getattr(Settings, name)}


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
    context, _, question = language.partition("-")  # of MLQA's pairs of languages
    names = [template.format(lang=language, context=context, question=question) for template in templates]
    paths = [Path(data_dir) / name for name in names]
    for index, template in enumerate(templates):
        if template.endswith(".jsonl") and "{lang" not in template:
            translated = paths[index].with_suffix(f".{language}.jsonl")
            if language != "en" or (translated.exists() and not paths[index].exists()):
                paths[index] = translated
    return [_as_named(path) for path in paths]


def _as_named(path):
    """The path, or where only that is there, the file under the name that XTREME's preprocessing gives it."""
    for ours, theirs in XTREME_NAMES:
        other = path.with_name(re.sub(f"^{ours}$", theirs, path.name))
        if not path.exists() and other.exists():
            return other
    return path


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
    check_bytes(path, content)
    text = decode(path, content).lstrip("\ufeff")
    check_text(path, text)
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

    Only \\n and \\r\\n end a line: text may hold U+2028 and its like. In a file of old Macs \\r alone does.
    """
    text = read_text(path)
    if text.count("\r") - text.count("\r\n") > text.count("\n"):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while not lines[-1]:
        lines.pop()
    return lines


def read_table(path, form):
    """Lines of columns; refuses JSON and a line of column names. `form` says what a line must hold."""
    lines = read_lines(path)
    check_table(path, lines, form)
    return lines


def read_json(path):
    """One JSON document; errors name the line where parsing stopped."""
    return _parse(read_text(path), path)


def read_jsonl(path, columns, task):
    """Yield (line number, row) of a JSON-lines file whose rows must all have `columns`."""
    for number, line in enumerate(read_lines(path), start=1):
        line = line.lstrip("\ufeff")  # of files that were joined
        if not line.strip():
            raise InputError(f"{path}, line {number}: is blank; remove it, every line must hold a JSON object")
        if "\t" in line.strip() and not line.lstrip().startswith(("{", "[")):
            raise table_in_jsonl(path, number, line, task)
        try:
            row = _parse(line, path, number)
        except InputError:
            if line.lstrip().startswith(("{", "[")):
                raise
            what = f"{line.strip()[:60]!r} is no JSON object; write one per line, with {', '.join(columns)}"
            raise InputError(f"{path}, line {number}: {what}") from None
        if not isinstance(row, dict):
            problem = f"no JSON object, so no column {columns[0]!r}; this task's rows have {', '.join(columns)}"
            raise InputError(f"{path}, line {number}: {problem}")
        if not set(columns) <= set(row):
            raise row_of_another_form(path, number, row, columns, task)
        yield number, row


def _object(pairs):
    """A JSON object; which of two values counts where a key stands twice nobody can say."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return value


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _parse(text, path, number=1):
    """The JSON value of a text that begins on line `number`."""
    try:
        value = DECODER.decode(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        # a file that is cut short ends inside a value
        step = "is the file truncated?" if _ends_early(text, error) else "write the file again"
        raise InputError(f"{path}, line {number + error.lineno - 1}: not valid JSON ({error.msg}); {step}") from None
    except UnicodeEncodeError:
        raise InputError(
            f"{path}, line {number}: a \\ud... escape without its other half is no character; remove it"
        ) from None
    except (RecursionError, ValueError) as error:  # brackets too deep, integers too long
        raise InputError(f"{path}, line {number}: unusable JSON ({error}); write the file again") from None
    return value


def _ends_early(text, error):
    """Whether parsing stopped in the last value: a text that does not end, or nothing where something must follow."""
    return error.msg.startswith("Unterminated") or not text[error.pos :].strip()


def check_texts(path, number, columns):
    """Refuse {column: value} with a value that is not a string."""
    for column, value in columns.items():
        if not isinstance(value, str):
            raise InputError(f"{path}, line {number}: {column} {value!r} is not a text; write it as a JSON string")


def check_id(path, number, value):
    """An id as text: it must be a text or an integer."""
    if type(value) not in (str, int):
        raise InputError(f"{path}, line {number}: id {value!r} is neither a text nor an integer; write it as a text")
    return str(value)


def check_unique(path, ids):
    """Refuse a file that uses an id twice: predictions are keyed by id."""
    seen, unit = set(), "example" if path.suffix == ".json" else "line"  # other files have one example per line
    for number, example_id in enumerate(ids, start=1):
        if example_id in seen:
            raise InputError(
                f"{path}, {unit} {number}: repeats the id {example_id!r}; ids must be unique, remove one of the two"
            )
        seen.add(example_id)
