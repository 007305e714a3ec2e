"""The pairs of lines that alignment is measured on: those of heads/parallel.py without blank ones, repeats noted."""

import logging
from typing import NamedTuple

from common.files import InputError
from heads.parallel import read

logger = logging.getLogger("xtreme")

LEAST, FEW = 20, 300  # lines: below them intervals say nothing, or little


class Pairs(NamedTuple):
    """One language's sentences and their translations in the pivot, and what is odd about them."""

    lines: list
    pivot: list
    repeated: list  # numbers of pairs that stand before with both texts the same


def read_pairs(files, max_lines):
    """({language: Pairs}, {language: numbers of the lines that they are}); blank lines are left out, and counted.

    Languages with shared lines keep the same ones, so that all have the same pool of candidates.
    """
    texts = {code: read(own) for code, own in files.items()}
    blank = {code: {i for i, pair in enumerate(zip(*sides)) if not all(pair)} for code, sides in texts.items()}
    shared = len({own.pivot for own in files.values()}) == 1
    together = set().union(*blank.values())
    pairs, kept = {}, {}
    for code, (lines, pivot) in texts.items():
        out = together if shared else blank[code]
        kept[code] = [number for number in range(len(lines)) if number not in out][: max_lines or None]
        own = [lines[number] for number in kept[code]], [pivot[number] for number in kept[code]]
        pairs[code] = Pairs(*own, repeated(*own))
    for code in blank:
        if blank[code]:
            where = " in every language" if shared else ""
            logger.warning("%s: %d blank lines, left out%s", files[code].path, len(blank[code]), where)
    check_sizes(files, pairs)
    return pairs, kept


def repeated(lines, pivot):
    """Numbers of the pairs that stand before."""
    seen, numbers = set(), []
    for number, pair in enumerate(zip(lines, pivot)):
        if pair in seen:
            numbers.append(number)
        seen.add(pair)
    return numbers


def check_sizes(files, pairs):
    """InputError for too few lines; warnings for few, for repeated ones, and for languages that differ in number."""
    sizes = {code: len(own.lines) - len(own.repeated) for code, own in pairs.items()}
    code = min(sizes, key=sizes.get)
    if sizes[code] < LEAST:
        raise InputError(
            f"{files[code].path}: {sizes[code]} different pairs of lines; alignment needs at least {LEAST}, give more"
        )
    if sizes[code] < FEW:
        logger.warning(
            "%s: %d lines; below %d intervals are wide, and 1,000 are wanted to tell CKA apart by 0.01",
            code,
            sizes[code],
            FEW,
        )
    for code, own in pairs.items():
        if own.repeated:
            logger.warning(
                "%s: %d of %d pairs repeat an earlier one; left out of CKA, ANC and RSA",
                code,
                len(own.repeated),
                len(own.lines),
            )
    numbers = sorted({len(own.lines) for own in pairs.values()})
    if len(numbers) > 1:
        logger.warning(
            "languages have from %d to %d lines, and retrieval is easier among few; --max_lines %d gives all the same",
            numbers[0],
            numbers[-1],
            numbers[0],
        )


def read_noised(noised, clean, kept):
    """{condition: (lines, pivot lines)} of one language's noised copies, those lines that are `kept`; `clean`: Files
    that they are copies of.
    """
    number, texts = len(read(clean)[0]), {}
    for condition, files in noised.items():
        own, pivot = read(files)
        if len(own) != number:
            raise InputError(
                f"{files.path}: {len(own)} lines but {clean.path} has {number}; noise must keep line i line i, write "
                "it again with perturb.py"
            )
        texts[condition] = [own[index] for index in kept], [pivot[index] for index in kept]
    return texts
