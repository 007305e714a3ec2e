"""Parallel text to train on: line i of a language's file and line i of the English one are translations.

A folder holds <lang>.txt, en.txt among them, or two files per pair, <split>.<pair>.<lang> and <split>.<pair>.en with
the pair written de-en or en-de. What only measures (FLORES, NTREX, Tatoeba) is read by heads/parallel.py; it loads
torch, and this is asked before that.
"""

import re
from pathlib import Path

from common.files import InputError
from common.text import has_text, nearest
from heads import read_lines

LANGUAGE, ENGLISH = "[a-z]{2,3}", "en"
SPLITS = {"train": ("train",), "dev": ("dev", "valid", "validation")}  # ours -> as files may call them
FORMS = "<lang>.txt, line i the same sentence in every file, or train.<lang>-en.<lang> and train.<lang>-en.en"


def find_pairs(folders, split, languages=(ENGLISH,)):
    """{language: [(its file, the English file)]} of "train" or "dev" in some folders, in order.

    `languages` beside English choose some; English alone stands for all that are there. <lang>.txt is of no split:
    it is under "train". Raises InputError for folders without pairs to train on, and for a language that has none.
    """
    pairs = {"train": {}, "dev": {}}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f"--tlm_dirs {folder}: no such folder; give folders of {FORMS}")
        own = {which: _of_a_split(folder, names) for which, names in SPLITS.items()}
        own["train"] = own["train"] or _lines_of_all(folder)
        if not own["train"]:
            raise InputError(f"--tlm_dirs {folder}: no pairs with English to train on; give a folder of {FORMS}")
        for which, files in own.items():
            for code, both in files.items():
                pairs[which].setdefault(code, []).append(both)
    others = [code for code in languages if code != ENGLISH]
    for code in others:
        if code not in pairs["train"]:
            there = " ".join(sorted(pairs["train"]))
            raise InputError(
                f"--task_languages {code}: --tlm_dirs {' '.join(map(str, folders))} has no pairs of it with English"
                f"{nearest(code, pairs['train'])}; it has {there}"
            )
    return {code: pairs[split][code] for code in others or sorted(pairs["train"]) if code in pairs[split]}


def _of_a_split(folder, names):
    """{language: (its file, the English file)} of <split>.<lang>-en.<lang> and its like."""
    files = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(rf"({'|'.join(names)})\.({LANGUAGE})-({LANGUAGE})\.({LANGUAGE})", path.name)
        if match and match[4] != ENGLISH and {ENGLISH, match[4]} == {match[2], match[3]}:
            english = path.with_suffix(f".{ENGLISH}")
            if not english.exists():
                raise InputError(f"{english}: does not exist, but {path.name} does; a pair needs both files")
            files[match[4]] = path, english
    return files


def _lines_of_all(folder):
    """{language: (its file, the English file)} of <lang>.txt."""
    english = folder / f"{ENGLISH}.txt"
    paths = [path for path in sorted(folder.glob("*.txt")) if re.fullmatch(LANGUAGE, path.stem) and path != english]
    return {path.stem: (path, english) for path in paths} if english.exists() else {}


def read_pairs(path, english):
    """(lines, English lines) of two files; InputError where their lines cannot be translations of each other."""
    sides = read_lines(path), read_lines(english)
    if len(sides[0]) != len(sides[1]):
        raise InputError(
            f"{path}: {len(sides[0])} lines but {english.name} has {len(sides[1])}; line i of both must be "
            "translations, give files of one version"
        )
    for one, lines in zip((path, english), sides):
        if blank := next((number for number, line in enumerate(lines, start=1) if not has_text(line)), None):
            raise InputError(f"{one}, line {blank}: is empty; remove it from both files of the pair")
    return sides
