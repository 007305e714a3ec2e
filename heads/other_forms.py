"""Files of other forms than the layout's, as people have them: recognized, and refused with the way to convert them.

Original releases (MNLI, XNLI-1.0, QQP, ANLI, CommonsenseQA), CoNLL-U and CoNLL with blanks, JSON named .tsv, tables
named .jsonl, archives, web pages. What can be read right without doubt is read by the heads; the rest ends here.
"""

import json

from common.files import InputError

SIGNATURES = {  # how a file begins -> what it is, what to do
    b"PK\x03\x04": ("a zip archive", "unpack it"),
    b"\x1f\x8b": ("gzipped", "unpack it with gunzip"),
    b"BZh": ("a bzip2 archive", "unpack it"),
    b"PAR1": ("Parquet", "download_data.py reads it from a mirror, --hub_root DIR"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the data", "fetch it with git lfs pull"),
    b"<!DOCTYPE": ("a web page", "download the data itself"),
    b"<!doctype": ("a web page", "download the data itself"),
    b"<html": ("a web page", "download the data itself"),
}
TEXT_A = ("sentence1", "premise", "question1", "text_a", "text1")  # names of columns in header lines and original rows
TEXT_B = ("sentence2", "hypothesis", "hypo", "question2", "text_b", "text2")
LABEL = ("gold_label", "label", "is_duplicate", "labels")
WORD = ("word", "words", "token", "tokens", "form")
TAG = ("tag", "tags", "label", "ner", "ner_tags", "ner_tag", "pos", "pos_tags", "upos")
SENTENCE = ("id", "idx", "sentence", "text", "sentence_id")
HEADER = {*TEXT_A, *TEXT_B, *LABEL, *WORD, *TAG, *SENTENCE, "index", "pairid", "source", "target", "score"}


def check_bytes(path, content):
    """Refuse what is no text: archives, web pages."""
    for signature, (what, step) in SIGNATURES.items():
        if content.startswith(signature):
            raise InputError(f"{path}: is {what}; {step}")


def check_text(path, text):
    """Refuse what is text by chance alone: UTF-16 without a mark is UTF-8 with NUL characters."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, line {line}: holds a NUL character, as UTF-16 does; convert the file to UTF-8")


def is_header(fields):
    """Whether the two or three columns of a line are names of columns; with more, the line's error names them."""
    return len(fields) in (2, 3) and {field.strip().lower() for field in fields} <= HEADER


def check_table(path, lines, form):
    """Refuse JSON in a file of plain lines, and a line of column names; `form` is what a line must hold."""
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip()[:1] in ("{", "["):
        for text in (first, "\n".join(lines)):
            value = _json_or_none(text)
            if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(row, dict) for row in value)):
                raise InputError(f"{path}: holds JSON, not lines of {form}; write these, columns parted by tabs")
    if is_header(first.split("\t")):
        raise InputError(f"{path}, line 1: {first!r} is a line of column names; remove it: tail -n +2 {path.name}")


def _json_or_none(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def pair_columns(header, language=None):
    """How to get `sentence, sentence, label` from an original release by its header line; "" where nobody knows."""
    names = [name.strip().lower() for name in header]
    places = [next((names.index(name) + 1 for name in group if name in names), 0) for group in (TEXT_A, TEXT_B, LABEL)]
    if not all(places):
        return ""
    rows = f'NR > 1 && $1 == "{language}"' if names[0] == "language" and language else "NR > 1"
    columns = ", ".join(f"${place}" for place in places)
    return f"keep columns {', '.join(map(str, places))}: awk -F'\\t' -v OFS='\\t' '{rows} {{print {columns}}}' FILE"


def tagged_columns(fields):
    """How to get `word, tag` from a line with more columns."""
    if len(fields) == 10 and fields[0].partition("-")[0].partition(".")[0].isdecimal():
        return (
            "a line of CoNLL-U: download_data.py --tasks udpos --hub_root DIR converts treebanks as XTREME does, see "
            "docs/data.md"
        )
    if len(fields) > 2:
        return f"keep the word and its tag, e.g. cut -f1,{len(fields)} FILE"
    return "comment lines must go: grep -v '^#' FILE" if fields[0].startswith("#") else ""


def row_of_another_form(path, number, row, columns, task):
    """The error of a JSON row that lacks a column: what it has, and where the right file comes from."""
    missing = next(column for column in columns if column not in row)
    problem = f"no column {missing!r}; this task's rows have {', '.join(columns)}"
    has = ", ".join(map(str, list(row)[:12])) or "none"
    steps = {
        "context hypothesis": "ANLI's original release: rename context to premise",
        "gold_label sentence1": "an original release of NLI: rename sentence1, sentence2, gold_label to premise, "
        "hypothesis, label, leave out rows with the label -",
        "is_duplicate": "QQP's original release: rename is_duplicate to label",
        "answerA correct": 'SIQA\'s original release: write correct A, B or C as label "1", "2" or "3"',
        "answerKey question": "CommonsenseQA's original release: take choices out of question, question.stem is the "
        "question",
    }
    step = next((text for names, text in steps.items() if set(names.split()) <= set(row)), "rename or add it")
    return InputError(f"{path}, line {number}: {problem}; this one has {has}: {step}{_download(task)}")


def table_in_jsonl(path, number, line, task):
    """The error of a line with tabs in a file that must hold JSON."""
    step = pair_columns(line.split("\t")).partition(":")[0] or "write one JSON object per line"
    problem = f"{line.count(chr(9)) + 1} tab-separated columns where a JSON object must be"
    return InputError(f"{path}, line {number}: {problem}; {step} as JSON{_download(task)}")


def _download(task):
    own = not task.hub or any(path.startswith("/") for path in map(str, task.files.values()))
    return "" if own else f", or write the right file: python download_data.py --tasks {task.name}"
