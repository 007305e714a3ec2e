"""Which files of XTREME's layout noise knows, and which texts in them it may touch, so that labels hold.

To noise another task, add a Layout here; for a file format that is not there yet, a function in noise/formats.py.
"""

import os
import re
from typing import NamedTuple

from noise.files import NoiseError, nearest
from noise.operations import OPERATIONS, not_applicable

CODE = r"[a-z]{2,3}(?:-[A-Za-z]+)?"
SPLIT = r"(?P<split>train|dev|val|validation|test)"
LANG_FILE = rf"{SPLIT}-(?P<lang>{CODE})\."  # test-de.


class Layout(NamedTuple):
    """Where a task's files lie and what they hold."""

    patterns: tuple  # of paths below the data folder
    format: str  # names the function in noise/formats.py
    fields: dict = {}  # role -> columns that may be noised
    id: str | int | None = None  # column of the example's id; None: its number in the file
    own: str = ""  # the folder's name of a task that perturb.py was given as NAME=KIND:DIR


class CleanFile(NamedTuple):
    path: str  # below the data folder
    task: str
    split: str  # train, dev or test
    language: str
    side: str | None  # retrieval, parallel text: queries, candidates (the English or target side); or gold labels
    side_language: str  # what it is written in
    context: str | None  # MLQA: the language of the context


def hub_rows(task):
    """The pattern of files with rows of the Hub: mnli/validation_matched.jsonl, intermediate/mnli/train.de.jsonl."""
    return rf"(?:intermediate/)?{task}/{SPLIT}[a-z0-9_]*(?:\.(?P<lang>{CODE}))?\.jsonl"


PAIR = {"premise": 0, "hypothesis": 1}
NLI = {"premise": ("premise",), "hypothesis": ("hypothesis",)}
SIDES = {"queries": (), "candidates": ()}
LAYOUTS = {
    "xnli": Layout((rf"xnli/{LANG_FILE}tsv",), "pair", PAIR),
    "pawsx": Layout((rf"pawsx/{LANG_FILE}tsv",), "pair", PAIR),
    "udpos": Layout((rf"udpos/{LANG_FILE}tsv",), "tagging"),
    "panx": Layout((rf"panx/{LANG_FILE}tsv",), "tagging"),
    "xquad": Layout((rf"xquad/xquad\.(?P<lang>{CODE})\.json",), "squad"),
    "mlqa": Layout(
        (rf"mlqa/MLQA_V1/{SPLIT}/\w+-context-(?P<context>{CODE})-question-(?P<lang>{CODE})\.json",), "squad"
    ),
    "tydiqa": Layout(
        (rf"tydiqa/tydiqa-goldp-v1\.1-\w+/tydiqa\.(?:goldp\.)?(?P<lang>{CODE})\.{SPLIT}\.json",), "squad"
    ),
    "squad": Layout((rf"squad/{SPLIT}-v[12]\.[01]\.json", hub_rows("squad")), "squad"),
    "bucc2018": Layout((rf"bucc2018/(?P<lang>{CODE})-en\.{SPLIT}\.(?P<side>{CODE}|gold)",), "sentence", SIDES, id=0),
    "tatoeba": Layout((rf"tatoeba/(?P<lang>{CODE})-en\.(?P<side>{CODE})",), "sentence", SIDES),
    "lines": Layout(
        (
            rf"(?:[\w.-]+/)*{SPLIT}\.(?P<lang>{CODE})-(?P<target>{CODE})\.(?P<side>(?P=lang)|(?P=target))",
            rf"parallel/(?:[\w.-]+/)?(?P<lang>{CODE})\.txt",
        ),
        "sentence",
        SIDES,
    ),
    "xcopa": Layout(  # the second name is that of XTREME's own download
        (rf"xcopa/{LANG_FILE}jsonl", rf"xcopa/{SPLIT}\.(?P<lang>{CODE})\.jsonl"),
        "row",
        {"premise": ("premise",), "choices": ("choice1", "choice2")},
        id="idx",
    ),
    "lareqa": Layout((rf"lareqa/xquad-r/(?P<lang>{CODE})\.json",), "squad"),
    "mewslix": Layout(
        (rf"mewslix/wikinews_mentions/{LANG_FILE}jsonl", rf"mewslix/wikinews_(?P<side>labels)/{LANG_FILE}json"),
        "mention",
    ),
    "mnli": Layout((hub_rows("mnli"),), "row", NLI, id="idx"),
    "snli": Layout((hub_rows("snli"),), "row", NLI, id="idx"),
    "anli": Layout((hub_rows("anli"),), "row", NLI, id="uid"),
    "qqp": Layout((hub_rows("qqp"),), "row", {"premise": ("question1",), "hypothesis": ("question2",)}, id="idx"),
    "squad_v2": Layout((hub_rows("squad_v2"),), "squad"),
    "hellaswag": Layout(
        (hub_rows("hellaswag"),), "row", {"premise": ("ctx_a", "ctx_b"), "choices": ("endings",)}, id="ind"
    ),
    "cosmos_qa": Layout(
        (hub_rows("cosmos_qa"),),
        "row",
        {"premise": ("context", "question"), "choices": ("answer0", "answer1", "answer2", "answer3")},
        id="id",
    ),
    "commonsense_qa": Layout(
        (hub_rows("commonsense_qa"),), "row", {"premise": ("question",), "choices": ("choices",)}, id="id"
    ),
    "siqa": Layout(
        (hub_rows("siqa"),),
        "row",
        {"premise": ("context", "question"), "choices": ("answerA", "answerB", "answerC")},
    ),
    "ccg": Layout((hub_rows("ccg"),), "row", {"tokens": ("tokens",)}, id="id"),
}
OWN = {  # kind of a task of one's own -> its files, format, fields and id, as XTREME's task of that kind has them
    "classification": (f"{LANG_FILE}tsv", "pair", PAIR, None),
    "tagging": (f"{LANG_FILE}tsv", "tagging", {}, None),
    "question_answering": (f"{LANG_FILE}json", "squad", {}, None),
    "multiple_choice": (f"{LANG_FILE}jsonl", "row", {"premise": ("question",), "choices": ("choices",)}, "id"),
    "retrieval": (rf"{LANG_FILE}(?P<side>{CODE})", "sentence", SIDES, None),
}
ROLES = ("premise", "hypothesis", "choices", "queries", "candidates")
# Tokens and questions are noised always, where they are what a task has.
DEFAULT_ROLES = ("premise", "hypothesis", "choices", "queries")
QA_MODES = ("question", "context-protect", "context-all")


def add_own(token):
    """Add the layout of NAME=KIND:DIR to LAYOUTS; returns (NAME, the folder that DIR lies in)."""
    name, _, rest = token.partition("=")
    kind, _, folder = rest.partition(":")
    if not re.fullmatch(r"\w[\w-]*", name) or not folder:
        raise NoiseError(f"--tasks {token}: write NAME=KIND:DIR, e.g. mine=tagging:data/mine")
    if kind not in OWN:
        raise NoiseError(f"--tasks {token}: unknown kind; {nearest(kind, OWN)}")
    if name in LAYOUTS and not LAYOUTS[name].own:
        raise NoiseError(f"--tasks {token}: {name} is the name of a task already; choose another")
    parent, below = os.path.split(os.path.abspath(folder))
    pattern, *what = OWN[kind]
    LAYOUTS[name] = Layout((f"{re.escape(below)}/{pattern}",), *what, own=below)
    return name, parent


def match(path):
    """The CleanFile of a path below the data folder; None where it belongs to no task."""
    for task, layout in reversed(LAYOUTS.items()):  # a folder of one's own may have the name of a task
        for pattern in layout.patterns:
            if matched := re.fullmatch(pattern, path):
                parts = matched.groupdict()
                split = {"val": "dev", "validation": "dev"}.get(parts.get("split"), parts.get("split") or "test")
                if task == "tydiqa" and split == "dev":  # TyDiQA's dev file is what XTREME tests on
                    split = "test"
                language = parts.get("lang") or "en"
                side_language = parts.get("side") or language
                target, side = parts.get("target") or "en", None
                if layout.fields is SIDES or parts.get("side"):
                    side = side_of(side_language, language, target)
                return CleanFile(path, task, split, language, side, side_language, parts.get("context"))
    return None


def side_of(side_language, language, target):
    """Parallel text of many languages, parallel/<set>/<lang>.txt, has its English lines as candidates."""
    if side_language == target:
        return "candidates"
    return "queries" if side_language == language else "gold"


def one_tag_per_token(task):
    """Whether tokens of the task carry one tag each, so that their number must hold."""
    return LAYOUTS[task].format == "tagging" or task == "ccg"


def refusal(op, task, language, script, table=None):
    """Why a file of a task is left out of an operation's conditions, or ""."""
    operation = OPERATIONS[op]
    if task == "pawsx" and operation.flips:
        return "may flip the labels of PAWS-X, which turn on word order and lost words"
    if operation.splits and one_tag_per_token(task):
        return "changes the number of tokens, which carry one tag each"
    if language == "mul":  # a file of several languages: only a missing table concerns it whole
        return not_applicable(op, "ja", "Jpan", table) if operation.table else ""
    return not_applicable(op, language, script, table)
