"""Every reader × every JSON type × every column, and every way to spoil a file of columns: one line, or read right.

Nothing may end in another exception, and nothing may be accepted that a reader has to guess the meaning of.
"""

import copy
import dataclasses
import json
from collections import Counter

import pytest

from common.files import InputError
from heads import head_of
from mixture.plan import extra_task
from tasks import INTERMEDIATE, TARGETS

TEXT, LABEL = "text", "label"
VALUES = [
    ...,
    None,
    True,
    False,
    1.7,
    1.0,
    -1,
    99,
    10**30,
    "",
    "x",
    " ",
    [],
    {},
    [None],
    [1],
    ["a"],
    [["a"]],
    {"a": 1},
]
CONTEXT = "a b c"
ANSWERS = {"text": ["b"], "answer_start": [2]}
COMMONSENSE = {"label": ["A", "B"], "text": ["d", "e"]}
# task -> (two rows, what each place in the first may hold: one of VALUES by ==, of the same type, or any text)
PAIR = {"premise": "a", "hypothesis": "b", "label": 0}
NLI_PLACES = {("premise",): TEXT, ("hypothesis",): TEXT, ("label",): (-1,)}  # -1 is left out and told
MULTIPLE = {"question": "a", "choices": ["b", "c"], "label": 0}
QUESTION = {"id": "q", "context": CONTEXT, "question": "d", "answers": ANSWERS}
QUESTION_PLACES = {
    ("id",): (-1, 99, 10**30, "", "x", " "), ("context",): (), ("question",): TEXT, ("answers",): (),
    ("answers", "text"): (), ("answers", "text", 0): (), ("answers", "answer_start"): (),
    ("answers", "answer_start", 0): (),
}  # fmt: skip
OWN = {"sentence1": "a", "sentence2": "b", "label": "y"}
ROWS = {
    "mnli": (PAIR, NLI_PLACES),
    "anli": (PAIR, NLI_PLACES),
    "qqp": ({"question1": "a", "question2": "b", "label": 1},
            {("question1",): TEXT, ("question2",): TEXT, ("label",): (-1,)}),
    "own=classification": (OWN, {("sentence1",): TEXT, ("sentence2",): TEXT, ("label",): (99, 10**30, "x")}),
    "hellaswag": (
        {"ctx_a": "a", "ctx_b": "b", "endings": ["c", "d"], "label": "0", "ind": 4},
        {("ctx_a",): TEXT, ("ctx_b",): TEXT, ("endings",): (), ("endings", 0): TEXT, ("label",): (),
         ("ind",): (..., -1, 99, 10**30, "", "x", " ")},
    ),
    "cosmos_qa": (
        {"context": "a", "question": "b", **{f"answer{i}": str(i) for i in range(4)}, "label": 0},
        {("context",): TEXT, ("question",): TEXT, ("answer2",): TEXT, ("label",): ()},
    ),
    "commonsense_qa": (
        {"id": "a", "question": "b", "choices": COMMONSENSE, "answerKey": "A"},
        {("id",): (..., -1, 99, 10**30, "", "x", " "), ("question",): TEXT, ("choices",): (), ("choices", "label"): (),
         ("choices", "label", 0): (), ("choices", "text"): (), ("choices", "text", 1): TEXT, ("answerKey",): ()},
    ),
    "own=multiple_choice": (
        MULTIPLE, {("question",): TEXT, ("choices",): (), ("choices", 0): TEXT, ("label",): ()},
    ),
    "ccg": ({"tokens": ["a", "b"], "tags": ["N", "V"]},
            {("tokens",): (), ("tokens", 1): TEXT, ("tags",): (), ("tags", 0): (99, 10**30, "x")}),
    "own=tagging": ({"tokens": ["a", "b"], "tags": ["N", "V"]},
                    {("tokens",): (), ("tokens", 1): TEXT, ("tags",): (), ("tags", 0): (99, 10**30, "x")}),
    "squad": (QUESTION, QUESTION_PLACES),
    "own=question_answering": (QUESTION, QUESTION_PLACES),
}  # fmt: skip
XCOPA = {"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "label": 0, "idx": 7}
XCOPA_PLACES = {
    ("premise",): TEXT, ("choice1",): TEXT, ("choice2",): TEXT, ("question",): TEXT, ("label",): (),
    ("idx",): (..., -1, 99, 10**30, "", "x", " "),
}  # fmt: skip
SQUAD = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [
    {"id": "q", "question": "d", "answers": [{"text": "b", "answer_start": 2}]},
    {"id": "p", "question": "d", "answers": [{"text": "a", "answer_start": 0}]},
]}]}]}  # fmt: skip
PARAGRAPH = ("data", 0, "paragraphs", 0)
QUESTION_0 = (*PARAGRAPH, "qas", 0)
SQUAD_PLACES = {
    ("data",): (), ("data", 0): (), ("data", 0, "paragraphs"): (), PARAGRAPH: (), (*PARAGRAPH, "context"): (),
    (*PARAGRAPH, "qas"): (), QUESTION_0: (...,), (*QUESTION_0, "id"): (-1, 99, 10**30, "", "x", " "),
    (*QUESTION_0, "question"): TEXT, (*QUESTION_0, "answers"): (), (*QUESTION_0, "answers", 0): (),
    (*QUESTION_0, "answers", 0, "text"): (), (*QUESTION_0, "answers", 0, "answer_start"): (),
}  # fmt: skip
counted = Counter()


def put(value, place, new):
    """A copy of a JSON value with another value, or none (...), at a place."""
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return value


def allowed(new, rule):
    if rule == TEXT:
        return isinstance(new, str)
    return any(type(new) is type(value) and new == value for value in rule)


def outcome(task, folder, split, path):
    """("refused", line) or ("accepted", rows); any other exception fails the test."""
    try:
        rows = head_of(task).read(task, folder, split, "en")
        return "accepted", rows if isinstance(rows, dict) else (rows[:], head_of(task).references(rows))
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) > len(str(path)) + 15
        return "refused", str(error)


def count(name, kind):
    counted["tried"] += 1
    counted[kind] += 1
    counted[name] += 1


@pytest.mark.parametrize("name", ROWS)
def test_every_type_in_every_column_of_json_lines(name, tmp_path):
    row, places = ROWS[name]
    task = extra_task(f"{name}:{tmp_path}")[1] if name.startswith("own=") else INTERMEDIATE[name]
    if name == "anli":
        task = dataclasses.replace(task, files={"train": "anli/train_r1.jsonl"})
    path = tmp_path / task.files["train"]
    path.parent.mkdir(exist_ok=True)
    second = {**row, **{key: f"{row[key]}2" for key in ("id",) if key in row}, **({"ind": 5} if "ind" in row else {})}
    lines = [json.dumps(second), json.dumps(row)]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert outcome(task, tmp_path, "train", path)[0] == "accepted"
    for place, rule in places.items():
        for new in VALUES:
            path.write_text("\n".join([lines[0], json.dumps(put(row, place, new))]), encoding="utf-8")
            kind, said = outcome(task, tmp_path, "train", path)
            count(name, kind)
            assert kind == ("accepted" if allowed(new, rule) else "refused"), (place, new, said)
    for broken in (
        lines[1][:-1],
        "[]",
        "1",
        "null",
        "a\tb\tc",
        lines[1][:-1] + ', "label": 1, "label": 1}',
        "{}",
        "{]",
    ):
        path.write_text("\n".join([lines[0], broken]), encoding="utf-8")
        kind, said = outcome(task, tmp_path, "train", path)
        count(name, kind)
        assert kind == "refused" and "line 2" in said, (broken, said)


@pytest.mark.parametrize("name", ["xcopa", "xquad"])
def test_every_type_in_every_place_of_target_tasks(name, tmp_path):
    value, places = (XCOPA, XCOPA_PLACES) if name == "xcopa" else (SQUAD, SQUAD_PLACES)
    task = TARGETS[name]
    for split in ("train", "test"):
        path = tmp_path / task.files[split].format(lang="en")
        path.parent.mkdir(parents=True, exist_ok=True)
        for place, rule in places.items():
            for new in VALUES:
                other = json.dumps({**XCOPA, "idx": 8}) + "\n" if name == "xcopa" else ""
                path.write_text(other + json.dumps(put(value, place, new)), encoding="utf-8")
                kind, said = outcome(task, tmp_path, split, path)
                count(name, kind)
                assert kind == ("accepted" if allowed(new, rule) else "refused"), (split, place, new, said)


# --- Files of columns: a change -> the rows must be those of the unchanged file, or the file is refused

TABLES = {
    "xnli": "a\tb\tentailment\nc\td\tneutral\ne\tf\tcontradiction\n",
    "pawsx": "a\tb\t0\nc\td\t1\ne\tf\t0\n",
    "panx": "a\tB-PER\nb\tI-PER\nc\tO\n\nd\tO\ne\tB-LOC\n",
    "udpos": "a\tNOUN\nb\tVERB\nc\tX\n\nd\tADJ\ne\tNOUN\n",
    "bucc2018": "de-1\ta\nde-2\tb\nde-3\tc\n",
    "tatoeba": "z\nb\na\nc\n",
}
READ_RIGHT, REFUSED = "read right", "refused"
EVERY = dict.fromkeys(TABLES)
TAGGED = ("panx", "udpos")
CHANGES = {
    "Windows line ends": (lambda text: text.replace("\n", "\r\n"), READ_RIGHT, EVERY),
    "line ends of old Macs": (lambda text: text.replace("\n", "\r"), READ_RIGHT, EVERY),
    "byte order mark": (lambda text: "\ufeff" + text, READ_RIGHT, EVERY),
    "two byte order marks": (lambda text: "\ufeff\ufeff" + text, READ_RIGHT, EVERY),
    "no line end at the end": (lambda text: text.rstrip("\n"), READ_RIGHT, EVERY),
    "blank lines at the end": (lambda text: text + "\n\n", READ_RIGHT, EVERY),
    "UTF-16": (lambda text: text.encode("utf-16"), REFUSED, EVERY),
    "UTF-16 without mark": (lambda text: text.encode("utf-16-le"), REFUSED, EVERY),
    "Latin-1": (lambda text: text.replace("a", "ä").encode("latin-1"), REFUSED, EVERY),
    "gzip": (lambda text: b"\x1f\x8b" + text.encode(), REFUSED, EVERY),
    "zip": (lambda text: b"PK\x03\x04" + text.encode(), REFUSED, EVERY),
    "web page": (lambda text: "<!DOCTYPE html>\n" + text, REFUSED, EVERY),
    "pointer of Git LFS": (lambda text: "version https://git-lfs.github.com/spec/v1\nsize 3\n", REFUSED, EVERY),
    "nothing": (lambda text: "", REFUSED, EVERY),
    "blank lines": (lambda text: "\n \n", REFUSED, EVERY),
    "JSON lines": (lambda text: '{"a": "b"}\n{"a": "c"}\n', REFUSED, EVERY),
    "JSON": (lambda text: '{\n "a": ["b"]\n}\n', REFUSED, EVERY),
    "a list of JSON": (lambda text: '[{"a": "b"}]', REFUSED, EVERY),
    "commas": (lambda text: text.replace("\t", ","), REFUSED, ("xnli", "pawsx", "bucc2018")),
    "a column more": (lambda text: text.replace("\n", "\tx\n"), REFUSED, EVERY),
    "a column more on a line": (lambda text: text.replace("b", "b\tx", 1), REFUSED, TAGGED + ("xnli", "bucc2018")),
    "header": (lambda text: "sentence1\tsentence2\tlabel\n" + text, REFUSED, ("xnli", "pawsx")),
    "header of ids": (lambda text: "id\tsentence\n" + text, REFUSED, ("bucc2018",)),
    "header of words": (lambda text: "word\ttag\n" + text, REFUSED, TAGGED),
    "upper case labels": (str.upper, REFUSED, ("xnli",)),
    "numbers for labels": (lambda text: text.replace("entailment", "0"), REFUSED, ("xnli",)),
    "blanks behind labels": (lambda text: text.replace("\n", " \n"), READ_RIGHT, ("xnli", "pawsx")),
    "contradictory": (lambda text: text.replace("contradiction", "contradictory"), READ_RIGHT, ("xnli",)),
    "CoNLL with blanks": (lambda text: text.replace("\t", " "), READ_RIGHT, TAGGED),
    "raw WikiANN": (
        lambda text: "\n".join(f"en:{line}" if line else "" for line in text.split("\n")), READ_RIGHT, TAGGED,
    ),
    "raw WikiANN of another language": (
        lambda text: "\n".join(f"de:{line}" if line else "" for line in text.split("\n")), REFUSED, TAGGED,
    ),
    "CoNLL 2003": (lambda text: text.replace("\t", " NN I-NP "), REFUSED, TAGGED),
    "CoNLL-U": (
        lambda text: "# sent_id = 1\n1-2\tab" + 8 * "\t_" + "\n1\ta\ta\tNOUN\t_\t_\t0\troot\t_\t_\n", REFUSED, TAGGED,
    ),
    "comments": (lambda text: "# from here\n" + text, REFUSED, TAGGED),
    "an unknown tag": (lambda text: text.replace("\t", "\tB-"), REFUSED, TAGGED),
    "a line without tag": (lambda text: text.replace("c\tO", "c").replace("c\tX", "c"), REFUSED, TAGGED),
    "an id twice": (lambda text: text.replace("de-2", "de-1"), REFUSED, ("bucc2018",)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_change_of_a_file_of_columns(name, split, tmp_path):
    task = TARGETS[name]
    if split not in task.files:
        return
    language = "de" if task.kind == "retrieval" else "en"
    path = tmp_path / task.files[split].format(lang=language)
    path.parent.mkdir(parents=True)
    if task.kind == "retrieval":
        english = TABLES[name].replace("de-", "en-")
        (tmp_path / task.files["test_english"].format(lang=language)).write_text(english, encoding="utf-8")

    def read(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            rows = head_of(task).read(task, tmp_path, split, language)
            return rows["source"][:] if task.kind == "retrieval" else rows[:]
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            return REFUSED

    unchanged = read(TABLES[name])
    assert unchanged != REFUSED
    for change, (function, expected, names) in CHANGES.items():
        if name in names:
            rows = read(function(TABLES[name]))
            count(name, "refused" if rows == REFUSED else "accepted")
            assert rows == (REFUSED if expected == REFUSED else unchanged), change


def test_enough_was_tried():
    """Of the tests above, where all of them ran: 2,000 files, most of them refused."""
    print(dict(counted))
    if set(counted) >= {*ROWS, *TABLES, "xcopa", "xquad"}:
        assert counted["tried"] > 2000 and counted["refused"] > 1800
