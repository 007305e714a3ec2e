"""Which task a command or a run is about: a record of tasks.py, or one made of NAME=KIND:DIR. No torch.

    extra_task("sick=classification:data/sick")       phase 2: DIR/train.jsonl, DIR/validation.jsonl
    target_task("mine=tagging:data/mine")             phase 3: DIR/{train,dev,test}-<lang>.tsv

A target task is a folder of XTREME's layout like any other: below its parent, the data folder, noised copies have it
under the same name.
"""

import dataclasses
import os
import re
from pathlib import Path

from common.arguments import LONGEST_NAME
from common.files import InputError
from common.results import SUFFIX
from common.text import nearest
from tasks import INTERMEDIATE, TARGETS, Defaults, Task

# kind -> its columns in JSON lines; the tasks of phase 2 and phase 3 whose recipe and metric it has. squad_v2's metric
# also scores data where all questions have answers; retrieval trains nothing.
KINDS = {
    "classification": (("sentence1", "sentence2", "label"), "mnli", "xnli"),
    "tagging": (("tokens", "tags"), "ccg", "panx"),
    "question_answering": (("id", "context", "question", "answers"), "squad_v2", "xquad"),
    "multiple_choice": (("question", "choices", "label"), "hellaswag", "xcopa"),
    "retrieval": ((), None, "tatoeba"),
}
EXTRA_KINDS = [kind for kind, (_, like, _) in KINDS.items() if like]
# MLQA's 49 pairs of languages of context and question (G-XLT): their test files, as languages "de-en" of a task
PAIRS, PAIR_FILES = "mlqa_pairs", "mlqa/MLQA_V1/test/test-context-{context}-question-{question}.json"
# Into English, of run_translation.py. Steps and rates are those of SixT+'s scripts, first stage.
SIXT = Defaults(5e-4, 1, 1, 256, warmup_steps=4000, weight_decay=0.0, source="ghchen18/acl22-sixtp", recipe="SixT+")
TRANSLATION = Task("translation", "translation", {}, (), {"own": ()}, "chrf++", defaults=SIXT)
RATIO_FLOOR = 20  # chrF++ of clean text up to which a ratio says nothing: outputs there are hardly translations
CODE = r"[a-z]{2,3}(-[A-Za-z]+)?"  # of a language, in a file's name


def parsed(flag, token, kinds):
    """(name, kind, absolute folder) of NAME=KIND:DIR."""
    name, separator, rest = token.partition("=")
    kind, _, folder = rest.partition(":")
    if not separator or not folder or not re.fullmatch(r"\w[\w-]*", name) or len(name.encode()) > LONGEST_NAME:
        raise InputError(
            f"{flag} {token[:300]}: write NAME=KIND:DIR, NAME of at most {LONGEST_NAME} letters, digits, _ and -, "
            "e.g. sick=classification:data/sick"
        )
    if kind not in kinds:
        raise InputError(f"{flag} {token}: unknown kind{nearest(kind, kinds)}; choose from {', '.join(kinds)}")
    return name, kind, os.path.abspath(folder)


def find_task(name, data_dir, pairs="same"):
    """(the record of --task, its data folder); InputError for a task or a folder that is not there.

    `pairs` "all": MLQA with context and question in any two languages.
    """
    if pairs == "all" and name != "mlqa":
        raise InputError(f"--mlqa_pairs all: --task {name} has no such files, only mlqa; leave it out")
    if "=" in name:
        task, folder = target_task(name)
        if not task.languages["own"]:
            example = Path(folder, task.files["test"].format(lang="de"))
            raise InputError(
                f"--task {name}: no test file such as {example}; docs/training.md lists those of each kind"
            )
        if data_dir and Path(data_dir).resolve() != Path(folder).resolve():
            raise InputError(f"--data_dir {data_dir}: --task {name} brings its own folder; leave it out")
        return task, folder
    if name not in TARGETS:
        raise InputError(
            f"--task {name}: unknown task{nearest(name, TARGETS)}; choose from {' '.join(TARGETS)}, or give your own "
            "as NAME=KIND:DIR"
        )
    task = TARGETS[name]
    if not data_dir:
        raise InputError("--data_dir is missing: name the folder in XTREME's layout, e.g. data/xtreme")
    if not os.path.isdir(data_dir):
        raise InputError(f"--data_dir {data_dir}: no such folder; download XTREME first or correct the path")
    return mlqa_pairs() if pairs == "all" else task, data_dir


def mlqa_pairs():
    """The record of MLQA with context and question in any two of its languages."""
    mlqa = TARGETS["mlqa"]
    codes = mlqa.languages["xtreme"]
    pairs = tuple(f"{context}-{question}" for context in codes for question in codes)
    files = {**mlqa.files, "test": PAIR_FILES}
    return dataclasses.replace(mlqa, name=PAIRS, files=files, languages={"pairs": pairs}, scored_as="mlqa")


def extra_task(token):
    """'sick=classification:data/sick' -> (name, record) of phase 2."""
    name, kind, folder = parsed("--extra_task", token, EXTRA_KINDS)
    columns, like, _ = KINDS[kind]
    folder = literal(folder)  # absolute: not below --data_dir
    files = {"train": f"{folder}/train.jsonl", "dev": f"{folder}/validation.jsonl"}
    return name, record(name, kind, files, columns, {"train": ("en",)}, INTERMEDIATE[like])


def target_task(token):
    """'mine=tagging:data/mine' -> (record of phase 3, its data folder: data)."""
    name, kind, folder = parsed("--task", token, KINDS)
    if name in {*TARGETS, *INTERMEDIATE, PAIRS}:
        raise InputError(f"--task {token}: {name} is the name of a task already; choose another")
    columns, _, like = KINDS[kind]
    suffix = "{lang}" if kind == "retrieval" else SUFFIX.get(kind, "tsv")
    below = literal(Path(folder).name)
    splits = ("test",) if kind == "retrieval" else ("train", "dev", "test")
    files = {split: f"{below}/{split}-{{lang}}.{suffix}" for split in splits}
    if kind == "retrieval":
        files["test_english"] = f"{below}/test-{{lang}}.en"
    codes = {"own": languages(folder, f"test-{{lang}}.{suffix}")}
    return record(name, kind, files, columns, codes, TARGETS[like]), str(Path(folder).parent)


def target_of(run):
    """The target task of what run.json holds; None for a run of phase 2."""
    token = (run.get("arguments") or {}).get("task")
    if run.get("task") in TARGETS:
        return TARGETS[run["task"]]
    if run.get("task") == PAIRS:
        return mlqa_pairs()
    if run.get("task") == TRANSLATION.name:
        return TRANSLATION
    return target_task(token)[0] if isinstance(token, str) and "=" in token else None


def record(name, kind, files, columns, codes, like):
    """The record of an own task with another one's recipe and metric."""
    defaults = dataclasses.replace(like.defaults, source=f"as {like.name}")
    return Task(
        name, kind, files, columns, codes, like.metric, defaults=defaults, layer=like.layer, scored_as=like.name
    )  # fmt: skip


def languages(folder, template):
    """The languages that have a file of a template in a folder, in order."""
    codes = []
    for path in Path(folder).glob(template.replace("{lang}", "*")):
        code = path.name.partition("-")[2].removesuffix(path.suffix)
        if re.fullmatch(CODE, code) and path.name == template.format(lang=code):
            codes.append(code)
    return tuple(sorted(codes))


def literal(path):
    """A path as a template: braces doubled."""
    return path.replace("{", "{{").replace("}", "}}")
