"""Parallel text: line i of a language's file and line i of the pivot's are translations of each other.

| form | files |
|---|---|
| lines | `<lang>.txt`, the pivot's too; shared lines |
| FLORES | `<iso3>_<Script>.devtest` or `.dev` |
| NTREX | `newstest2019-ref.<iso3>[-Region].txt` and `newstest2019-src.eng.txt` |
| pairs | `<lang>-en.<lang>` and `<lang>-en.en` (Tatoeba), also with `<split>.` before; every language its own lines |
| BUCC | `<lang>-en.<split>.<lang>`, `.en` and `.gold`: the gold pairs |
"""

import logging
import re
from pathlib import Path
from typing import NamedTuple

from common.files import InputError
from common.run_record import noise_record
from common.text import nearest
from heads import read_lines
from heads.retrieval import is_sorted
from tasks import LANGUAGES

logger = logging.getLogger("xtreme")

SPLITS = ("test", "devtest", "dev", "train")  # the first that a folder has is read
# ISO 639-3 as corpora write it -> the code of tasks.py, where Tatoeba's (in tasks.py) is another
ISO3 = {"zho": "zh", "arb": "ar", "fas": "fa", "swa": "sw", "azj": "az", "ekk": "et", "msa": "ms", "fil": "tl"}
ISO3 |= {"guj": "gu", "hat": "ht", "mya": "my", "pan": "pa", "wol": "wo", "yor": "yo", "ayr": "aym", "grn": "gn"}
ISO3 |= {language.tatoeba: code for code, language in LANGUAGES.items() if language.tatoeba}
LAYOUT = (
    "write <lang>.txt per language, line i the same sentence in every file, or give a folder of Tatoeba, BUCC, FLORES "
    "or NTREX"
)


class Files(NamedTuple):
    """The files of one language: its lines, the pivot's, and BUCC's gold pairs or None."""

    path: Path
    pivot: Path
    gold: Path | None = None


def find_files(folder, pivot, splits=SPLITS):
    """{language: Files} of a folder in any of the forms; InputError where it has none, or no pivot."""
    folder = Path(folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    files = _with_shared_lines(folder, names, pivot, splits) or _in_pairs(folder, names, pivot, splits)
    if not files:
        raise InputError(f"{folder}: no parallel text with {pivot}; {LAYOUT}, or name its --pivot")
    if not set(files) - {pivot}:
        raise InputError(f"{folder}: only {pivot}, and nothing to align it with; {LAYOUT}")
    return {code: own for code, own in files.items() if code != pivot}


def _with_shared_lines(folder, names, pivot, splits):
    """Of one file per language, the pivot's among them."""
    for pattern in (r"([a-z]{2,3})\.txt", *(rf"([a-z]{{3}}_[A-Z][a-z]{{3}})\.{split}" for split in splits)):
        stems = {match[1]: name for name in names if (match := re.fullmatch(pattern, name))}
        paths = {code: folder / stems[stem] for stem, code in _codes(stems).items()}
        if pivot in paths:
            return {code: Files(path, paths[pivot]) for code, path in paths.items()}
    stems = {
        match[2]: name for name in names if (match := re.fullmatch(r"newstest2019-(ref|src)\.([\w-]+)\.txt", name))
    }
    paths = {code: folder / stems[stem] for stem, code in _codes(stems).items()}
    return {code: Files(path, paths[pivot]) for code, path in paths.items()} if pivot in paths else {}


def _codes(stems):
    """{stem: code of tasks.py}, the stem itself where that has none, or an earlier variant has it (zho_Hant)."""
    codes = {}
    for stem in sorted(stems, key=lambda stem: (len(re.split("[_-]", stem)), stem)):
        iso3 = re.split("[_-]", stem)[0]
        code = iso3 if iso3 in LANGUAGES else ISO3.get(iso3, stem)
        codes[stem] = stem if code in codes.values() else code
    return codes


def _in_pairs(folder, names, pivot, splits):
    """Of two files per language."""
    for pattern in (
        rf"([a-z]{{2,3}})-{pivot}\.\1",
        *(rf"{split}\.([a-z]{{2,3}})-{pivot}\.\1" for split in splits),
        *(rf"([a-z]{{2,3}})-{pivot}\.{split}\.\1" for split in splits),
    ):
        by_language = {match[1]: name for name in names if (match := re.fullmatch(pattern, name))}
        pairs = {}
        for code, name in by_language.items():
            stem, gold = name.removesuffix(code), None
            if pattern.endswith(r"\.\1") and not pattern.endswith(rf"{pivot}\.\1"):
                gold = folder / f"{stem}gold"
            if (folder / f"{stem}{pivot}").exists() and (gold is None or gold.exists()):
                pairs[code] = Files(folder / name, folder / f"{stem}{pivot}", gold)
        if pairs:
            return pairs
    return {}


def choose(files, languages, folder):
    """The Files of the languages that are asked for, in order of their codes."""
    if languages is None:
        return dict(sorted(files.items()))
    for code in languages:
        if code not in files:
            raise InputError(
                f"--languages {code}: {folder} has no such file{nearest(code, files)}; it has {' '.join(files)}"
            )
    return {code: files[code] for code in sorted(set(languages))}


def read(files):
    """(lines, the pivot's lines) of one language; a blank line is "". InputError where they do not go together."""
    lines, pivot = read_lines(files.path), read_lines(files.pivot)
    if files.gold is not None:
        return _gold_pairs(files, lines, pivot)
    if len(lines) != len(pivot):
        raise InputError(
            f"{files.path}: {len(lines)} lines but {files.pivot.name} has {len(pivot)}; line i of both must be "
            "translations: write one line for every line, or give files of one version"
        )
    if files.pivot.suffix != ".txt" and is_sorted([{"text": line} for line in pivot]):
        raise InputError(
            f"{files.pivot}: in the order of its characters, as XTREME's preprocessing sorts it, so line i of both "
            "sides is no translation; give LASER's files"
        )
    return [line.strip() for line in lines], [line.strip() for line in pivot]


def _gold_pairs(files, lines, pivot):
    """BUCC: the sentences of the gold pairs, in the order of the gold file."""
    sides = []
    for path, side in ((files.path, lines), (files.pivot, pivot)):
        rows = [line.partition("\t") for line in side]
        if not all(separator for _, separator, _ in rows):
            raise InputError(f"{path}: a line without a tab, where `id<TAB>sentence` must stand; download it again")
        sides.append({key: text.strip() for key, _, text in rows})
    pairs = [line.partition("\t")[::2] for line in read_lines(files.gold)]
    unknown = next((pair for pair in pairs if pair[0] not in sides[0] or pair[1] not in sides[1]), None)
    if unknown:
        raise InputError(f"{files.gold}: {unknown} are no ids of both text files; download them again")
    return [sides[0][own] for own, _ in pairs], [sides[1][other] for _, other in pairs]


def find_noised(files, conditions, data_dir, both_sides):
    """{language: {condition: Files}} of noised copies, which have the names of the clean files; a language that a
    condition lacks is left out there: perturb.py writes no file where an operation does not apply.
    """
    noised = {code: {} for code in files}
    for condition, folder in conditions.items():
        inner = _inside(Path(folder), Path(data_dir), files)
        for code, clean in files.items():
            path, pivot = inner / clean.path.name, inner / clean.pivot.name
            if both_sides and path.exists() and not pivot.exists():
                raise InputError(f"--both_sides: {pivot} does not exist; noise the pivot too, or leave the flag out")
            if path.exists():
                gold = clean.gold and inner / clean.gold.name
                gold = gold if gold and gold.exists() else clean.gold
                noised[code][condition] = Files(path, pivot if both_sides else clean.pivot, gold)
        if not any(condition in own for own in noised.values()):
            raise InputError(
                f"--conditions {condition}={folder}: none of {', '.join(own.path.name for own in files.values())} "
                f"lies there; is it a noised copy of {data_dir}?"
            )
        lacking = [code for code in files if condition not in noised[code]]
        if lacking:
            logger.warning("%s: no file of %s, n/a", inner, " ".join(lacking))
    return noised


def _inside(folder, data_dir, files):
    """Where in a noised folder the copy of data_dir lies: perturb.py keeps the layout below its --data_dir."""
    data_dir = data_dir.resolve()
    inner = [folder, folder / data_dir.name, folder / data_dir.parent.name / data_dir.name]
    names = [own.path.name for own in files.values()]
    return next((one for one in inner if any((one / name).exists() for name in names)), folder)


def noise_of(folder, data_dir, files):
    """What perturb.py's manifest says of a noised copy of data_dir (run_record.noise_record); {} without one."""
    inner = _inside(Path(folder), Path(data_dir), files).resolve()
    for root in inner.parents[:3]:
        if (root / "manifest.json").exists():
            condition, *below = inner.relative_to(root).parts
            return noise_record(None, root / condition, "/".join(below))
    return {}
