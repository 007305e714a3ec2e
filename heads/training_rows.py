"""What phase 3 trains and selects on: a task's train and dev files, in English or in --train_languages.

    panx/train-en.tsv, dev-en.tsv                 zero-shot: the default
    panx/train-de.tsv, dev-de.tsv, train-sw.tsv, ...     --train_languages de sw

The file of another language has its code where the English one has `en` (xnli/train-de.tsv, tydiqa.de.train.json), or
before its suffix (squad/train-v1.1.de.json).
"""

import dataclasses
import re
from pathlib import Path

from common.files import InputError
from common.text import nearest
from heads import head_of, limit, path_of
from tasks import LANGUAGES


def checked_languages(languages, stages):
    """--train_languages, None for English alone, which is the default."""
    given = f"--train_languages {' '.join(languages or ())}"
    if languages and stages == ["do_predict"]:
        raise InputError(f"{given}: nothing is trained; give --do_train, or --languages to predict")
    if len(set(languages or ())) < len(languages or ()):
        raise InputError(f"{given}: name each language once")
    return None if languages == ["en"] else languages


def in_language(task, language):
    """The record of a task whose train and dev files are those of a language."""
    if language == "en":
        return task
    files = {split: task.files[split] for split in ("train", "dev") if split in task.files}
    return dataclasses.replace(task, files={**task.files, **{split: _marked(name) for split, name in files.items()}})


def _marked(template):
    """squad/dev-v1.1.json -> squad/dev-v1.1.{lang}.json; panx/train-en.tsv -> panx/train-{lang}.tsv."""
    if "{lang}" in template:
        return template
    folder, _, name = template.rpartition("/")
    marked, times = re.subn(r"([-.])en\.", r"\1{lang}.", name)
    return f"{folder}/{marked}" if times else f"{folder}/" + re.sub(r"(\.\w+)$", r".{lang}\1", name)


def training_files(task, args, split):
    """{language: its file} of the train or dev split; InputError for what is not there.

    Dev sets are those of the training languages that have one, or English where none has.
    """
    languages = args.train_languages or ["en"]
    paths = {code: path_of(in_language(task, code), args.data_dir, split, code)[0] for code in languages}
    there = {code: path for code, path in paths.items() if path.exists()}
    english = path_of(task, args.data_dir, "dev", "en")[0]
    if split == "dev" and not there and english.exists():
        return {"en": english}
    missing = next((code for code in paths if code not in there), None)
    if missing and (split == "train" or not there):
        step = "check --data_dir or download the task"
        if args.train_languages and missing not in LANGUAGES:
            step = f"no known language{nearest(missing, LANGUAGES)}"
        elif args.train_languages or "own" in task.languages:
            step = f"write it, or give other --train_languages; there are {_others(paths[missing], missing)}"
        raise InputError(f"{paths[missing]}: no such file; {step}")
    return there


def _others(path, code):
    """The files like `path` of other languages."""
    pattern = re.sub(rf"([-.]){re.escape(code)}\.", r"\1*.", path.name)
    return " ".join(sorted(other.name for other in Path(path).parent.glob(pattern))[:12]) or "none"


def read_training(task, args, split, number):
    """Rows of the train or dev split, the first `number` of each language; InputError where one has no labels."""
    head, parts = head_of(task), {}
    for code, path in training_files(task, args, split).items():
        rows = limit(head.read(in_language(task, code), args.data_dir, split, code), number)
        if head.references(rows.select([0]) if split == "train" else rows) is None:
            step = "to train on; use the labeled file" if split == "train" else "to select on; leave --do_eval out"
            raise InputError(f"{path}: has no labels {step}")
        parts[code] = rows
    if len(parts) == 1:
        return next(iter(parts.values()))
    from datasets import concatenate_datasets  # here: it takes seconds, and wrong flags are told before

    # parallel files share ids, by which answers are scored
    named = [rows.add_column("language", [code] * len(rows)).map(_with_own_id) for code, rows in parts.items()]
    return concatenate_datasets(named)


def _with_own_id(row):
    return {"id": f"{row['language']}-{row['id']}"}
