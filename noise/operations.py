"""The operations of noise: what each does to the units of a text, to which scripts it applies, and how often at each
level.

An operation is a function of a Noiser that returns `propose(units, place, random) -> (first, last, new)`: put `new`
for units[first:last], or None where nothing can be done at this place. `units` is a list of strings (or the text
itself where every character is a unit), `random(n)` draws an integer below n. A proposal leaves no mark without its
letter: units begin with letters, marks are only exchanged for marks of the same kind, and a letter without a neighbor
is never taken away.
"""

import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import regex

from noise import tables
from noise.scripts import (
    Neighbors,
    base_index,
    entries,
    everywhere,
    gaps,
    in_word,
    is_letter,
    words,
)

# Level -> rate. EDIT is the grapheme error rate: edit distance in grapheme clusters over the clean text's clusters.
EDIT = (0, 0.01, 0.02, 0.05, 0.10, 0.15)
LOOKALIKE = (0, 0.01, 0.02, 0.05, 0.10, 0.20)  # share of the places that the operation can change
GAP = (0, 0.02, 0.05, 0.10, 0.20, 0.30)  # share of the gaps between words
WORD = (0, 0.05, 0.10, 0.20, 0.50, 0.80)  # share of the words, or of the rare places, that the operation can change


class Operation(NamedTuple):
    """`make(noiser)` returns propose(units, place, random) -> (first, last, new): put `new` for units[first:last];
    None where it cannot.
    """

    make: Callable
    rates: tuple
    what: str
    source: str
    places: Callable | None = (
        # units, noiser -> candidate places, of which the rate is a share; None: all units, and clusters are counted
        None
    )
    scripts: Callable = lambda script: True
    flips: bool = (
        False  # removes or reorders what may carry the meaning: refused for PAWS-X, whose labels turn on word order
    )
    splits: bool = False  # changes the number of tokens: not for tagging
    table: str = ""  # the user table without which it does not apply


# ---------------------------------------------------------------------------------------------------------------------
# Operations: each function returns a propose function


def keyboard(noiser):
    keys = noiser.keys

    def propose(units, i, random):
        unit = units[i]
        if len(unit) == 1:
            near = keys[unit]
            return (i, i + 1, near[random(len(near))]) if near else None
        spots = [j for j, char in enumerate(unit) if keys[char]]
        if not spots:
            return None
        j = spots[random(len(spots))]
        near = keys[unit[j]]
        return i, i + 1, unit[:j] + near[random(len(near))] + unit[j + 1 :]

    return propose


def swap(noiser):
    def propose(units, i, random):
        if i + 1 < len(units) and is_letter(units[i]) and is_letter(units[i + 1]) and units[i] != units[i + 1]:
            return i, i + 2, units[i + 1] + units[i]

    return propose


def delete(noiser):
    def propose(units, i, random):
        return (i, i + 1, "") if in_word(units, i) else None

    return propose


def insert(noiser):
    keys = noiser.keys

    def propose(units, i, random):
        unit = units[i]
        if not in_word(units, i) or (base := base_index(unit)) is None:
            return None
        near = keys[unit[base]]
        if near:
            return i, i + 1, unit + near[random(len(near))]
        other = units[random(len(units))]  # Chinese, Korean: another character of the text
        return (i, i + 1, unit + other) if len(other) == 1 and ord(other) > 0x2E7F and other.isalpha() else None

    return propose


def repeat(noiser):
    def propose(units, i, random):
        unit = units[i]
        if in_word(units, i) and (j := base_index(unit)) is not None:
            again = unit if "\u1100" <= unit[0] <= "\u11ff" else unit[j]  # decomposed Hangul: the whole syllable
            return i, i + 1, unit[:j] + again + unit[j:]

    return propose


def shuffle(inner):
    def make(noiser):
        def propose(units, place, random):
            first, last = place[0] + inner, place[1] - inner
            order = list(units[first:last])
            if last - first < 2 or len(set(order)) < 2:
                return None
            for k in range(len(order) - 1, 0, -1):
                other = random(k + 1)
                order[k], order[other] = order[other], order[k]
            while order == list(units[first:last]):  # a word that came out unchanged would be no noise
                order = order[1:] + order[:1]
            return first, last, "".join(order)

        return propose

    return make


def truncate(noiser):
    def propose(units, place, random):
        return (place[1] - 1, place[1], "") if place[1] - place[0] >= 4 else None

    return propose


def vowels(noiser):
    spelled = set(tables.VOWELS.get(noiser.script, ""))

    def propose(units, place, random):
        word = units[place[0] : place[1]]
        kept = [
            unit
            for unit in word
            if unicodedata.normalize("NFD", unit)[0].lower() not in spelled and unit.lower() not in spelled
        ]
        return (*place, "".join(kept)) if len(word) >= 3 and 0 < len(kept) < len(word) else None

    return propose


def whitespace(noiser):
    def propose(units, i, random):
        if random(2):
            return i, i + 1, ""
        start = i
        while start > 0 and is_letter(units[start - 1]):
            start -= 1
        if i - start < 2:
            return i, i + 1, ""
        split = start + random(i - start - 1)
        return split, split + 1, units[split] + " "

    return propose


def case(noiser):
    turkic = {"i": "İ", "ı": "I", "İ": "i", "I": "ı"} if noiser.lang in ("tr", "az") else {}

    def propose(units, i, random):
        unit = units[i]
        other = turkic.get(unit[0]) or unit[0].swapcase()
        if (
            other != unit[0] and len(other) == 1 and not "\u10a0" <= unit[0] <= "\u10ff"
        ):  # Georgian has capitals that nobody types
            return i, i + 1, other + unit[1:]

    return propose


def punctuation(noiser):
    marks = tables.PUNCTUATION.get(noiser.script, tables.PUNCTUATION["Latn"])

    def propose(units, i, random):
        before, after = units[i - 1] if i else " ", units[i + 1] if i + 1 < len(units) else " "
        if units[i] not in marks or (before[0].isdigit() and after[0].isdigit()):
            return None
        choice = random(3) if is_letter(before) else 0  # a mark that stands alone stays one token
        if choice == 2:
            return i, i + 1, ""
        others = units[i] * 2 if choice else marks.replace(units[i], "")
        return i, i + 1, others if choice else others[random(len(others))]

    return propose


def diacritics(noiser):
    pattern = regex.compile(tables.DIACRITICS)

    @lru_cache(1 << 14)
    def stripped(unit):
        if unit.isascii() or unit[0] in tables.KEPT_WHOLE:
            return unit
        bare = unicodedata.normalize("NFC", pattern.sub("", unicodedata.normalize("NFD", unit)))
        return "".join(tables.BASES.get(char, char) if not "\u0d00" <= char <= "\u0d7f" else char for char in bare)

    def propose(units, i, random):
        new = stripped(units[i]) if is_letter(units[i]) else ""
        return (i, i + 1, new) if new and new != units[i] else None

    return propose


def substitutions(*texts):
    """{source: [(new, only at the end of a word)]} of `from>to` tables; cased letters also capitalized."""
    found = {}
    for pair in " ".join(texts).split():
        (old, new), final = pair.rstrip("$").split(">"), pair.endswith("$")
        for source, target in ((old, new), (old.capitalize(), new.capitalize())):
            if source != target and (target, final) not in found.setdefault(source, []):
                found[source].append((target, final))
    return found


def substitute(table):
    """Propose from a table: two units, one unit, or one character of a unit."""

    def propose(units, i, random):
        unit = units[i]
        pair = unit + units[i + 1] if i + 1 < len(units) else ""
        if pair in table:
            spots = [
                (2, "", new, "")
                for new, final in table[pair]
                if not final or not (i + 2 < len(units) and is_letter(units[i + 2]))
            ]
        elif len(unit) == 1 and unit not in table:
            return None
        else:
            last = i + 1 == len(units) or not is_letter(units[i + 1])
            spots = [
                (1, unit[:j], new, unit[j + 1 :])
                for j, c in enumerate(unit)
                if c in table
                for new, final in table[c]
                if last or not final
            ]
        if not spots:
            return None
        width, before, new, after = spots[random(len(spots))]
        return i, i + width, before + new + after

    return propose


def ocr(noiser):
    return substitute(substitutions(tables.OCR[noiser.script]))


def orthography(noiser):
    table = substitutions(tables.ORTHOGRAPHY.get(noiser.lang, tables.ORTHOGRAPHY.get(noiser.script, "")))
    wide = dict(tables.FULL_WIDTH) if noiser.script in ("Jpan", "Kore", "Hans") else {}
    wide |= tables.HALF_KANA if noiser.script == "Jpan" else {}
    for narrow, other in wide.items():
        table.setdefault(narrow, []).append((other, False))
        table.setdefault(other, []).append((narrow, False))
    return substitute(table)


def homoglyph(noiser):
    groups = {group[0]: group[1:] for group in tables.HOMOGLYPHS.split()}

    def propose(units, i, random):
        looks = groups.get(units[i])
        return (i, i + 1, looks[random(len(looks))]) if looks else None

    return propose


def invisible(noiser):
    signs = tables.INVISIBLE[""] + ("" if noiser.script in tables.JOINING else tables.INVISIBLE["joiners"])
    reorders = noiser.script not in ("Arab", "Hebr", "Thaa", "Syrc")

    def propose(units, i, random):
        if i + 1 == len(units) or not is_letter(units[i]) or not is_letter(units[i + 1]):
            return None
        if reorders and not random(5):
            return i, i + 2, tables.REORDER.format(units[i + 1] + units[i])
        return i, i + 1, units[i] + signs[random(len(signs))]

    return propose


@cache
def jamo_neighbors():
    """{jamo: jamo beside it on the two-set keyboard, consonants beside consonants, and its other shift level}."""
    found = {char: "" for row in tables.JAMO_ROWS for char in row}
    for y, row in enumerate(tables.JAMO_ROWS):
        for x, char in enumerate(row):
            near = [
                other
                for r in (y - 1, y, y + 1)
                if 0 <= r < 3
                for c, other in enumerate(tables.JAMO_ROWS[r])
                if abs(c - x) <= 1 and other != char
            ]
            found[char] = "".join(
                other for other in near if (other in tables.JAMO_VOWEL) == (char in tables.JAMO_VOWEL)
            )
    for plain, shifted in tables.JAMO_SHIFT.split():
        found[shifted] = plain
        found[plain] += shifted
    return found


def jamo(noiser):
    near = jamo_neighbors()
    parts = (tables.JAMO_LEAD, tables.JAMO_VOWEL, tables.JAMO_TAIL)

    def propose(units, i, random):
        if not "가" <= units[i] <= "힣" or len(units[i]) > 1:
            return None
        code = ord(units[i]) - 0xAC00
        indices = [code // 588, code % 588 // 28, code % 28]
        part = random(3 if indices[2] else 2)
        choices = [char for char in near.get(parts[part][indices[part]], "") if char in parts[part]]
        if choices:
            indices[part] = parts[part].index(choices[random(len(choices))])
            return i, i + 1, chr(0xAC00 + indices[0] * 588 + indices[1] * 28 + indices[2])

    return propose


def ime(noiser):
    if noiser.script == "Jpan":
        groups = {char: group.replace(char, "") for group in tables.KANA.split() for char in group}
    else:
        groups = {char: "".join(others) for char, others in (noiser.table or {}).items()}

    def propose(units, i, random):
        others = groups.get(units[i])
        return (i, i + 1, others[random(len(others))]) if others else None

    return propose


def look_up(noiser):
    """Code switching and attested errors: the user's entries for a word; a capital is kept."""

    def propose(units, place, random):
        word = "".join(units[place[0] : place[1]])
        found = noiser.table.get(word) or [
            new.capitalize() if word[:1].isupper() else new for new in noiser.table.get(word.lower(), ())
        ]
        found = [new for new in found if new != word and not (noiser.one_token and any(map(str.isspace, new)))]
        return (*place, found[random(len(found))]) if found else None

    return propose


def mixed(noiser):
    weights = tables.MIXED.get(noiser.script, tables.MIXED[""])
    usable = [
        (OPERATIONS[op].make(noiser), weight)
        for op, weight in weights.items()
        if not not_applicable(op, noiser.lang, noiser.script, noiser.table)
    ]
    chosen = [propose for propose, weight in usable for _ in range(weight)]
    return lambda units, i, random: chosen[random(len(chosen))](units, i, random)


def _written(column):
    return lambda script: script in column


_BB, _ZEROE, _UTS39 = (
    "Belinkov & Bisk 2018",
    "Zéroe (Eger & Benz 2020)",
    "Unicode UTS 39 confusables; VIPER (Eger et al. 2019)",
)
_SPACED = lambda script: script not in tables.WITHOUT_SPACES  # noqa: E731
_KEYED = lambda script: bool(Neighbors("", script).code)  # noqa: E731
OPERATIONS = {
    "keyboard": Operation(
        keyboard,
        EDIT,
        "a letter becomes one beside it on the language's keyboard",
        f"xkb layouts; {_BB}",
        scripts=_KEYED,
    ),
    "swap": Operation(swap, EDIT, "two letters next to each other change places", _BB, flips=True),
    "delete": Operation(delete, EDIT, "a letter is missing", "MulTypo 2025", flips=True),
    "insert": Operation(
        insert, EDIT, "a letter from a key beside comes in; Han, Hangul: another character of the text", "MulTypo 2025"
    ),
    "repeat": Operation(repeat, EDIT, "a letter stands twice", "ByT5 (Xue et al. 2022)"),
    "inner_shuffle": Operation(
        shuffle(1), WORD, "letters of a word but the first and last in random order", _BB, words, flips=True
    ),
    "full_shuffle": Operation(shuffle(0), WORD, "all letters of a word in random order", _BB, words, flips=True),
    "truncate": Operation(truncate, WORD, "a word of 4 letters or more loses its last", _ZEROE, words, flips=True),
    "vowels": Operation(
        vowels,
        WORD,
        "a word of 3 letters or more loses its vowels",
        _ZEROE,
        words,
        _written(tables.VOWELS),
        flips=True,
    ),
    "whitespace": Operation(
        whitespace,
        GAP,
        "a space is missing, or stands within a word",
        f"{_ZEROE}; OpusTrainer",
        gaps,
        _SPACED,
        splits=True,
    ),
    "case": Operation(
        case, EDIT, "a letter is of the other case", "ByT5 (Xue et al. 2022)", scripts=_written(tables.BICAMERAL)
    ),
    "punctuation": Operation(
        punctuation,
        WORD,
        "a mark is replaced by another of its script, doubled, or missing",
        "KaziText (Náplava et al. 2021)",
        everywhere,
    ),
    "diacritics": Operation(
        diacritics,
        WORD,
        "a letter loses its diacritics, points or nukta",
        "Unicode decomposition",
        everywhere,
        _written(tables.DIACRITIC_SCRIPTS),
    ),
    "homoglyph": Operation(
        homoglyph,
        LOOKALIKE,
        "a letter becomes one that looks like it",
        _UTS39,
        everywhere,
        _written(tables.HOMOGLYPH_SCRIPTS),
    ),
    "invisible": Operation(
        invisible,
        LOOKALIKE,
        "an invisible sign or a bidi control comes in",
        "Bad Characters (Boucher et al. 2022)",
        everywhere,
    ),
    "ocr": Operation(
        ocr,
        LOOKALIKE,
        "a letter is misread by a scanner",
        "nlpaug's OCR operation, own tables",
        everywhere,
        _written(tables.OCR),
    ),
    "orthography": Operation(
        orthography, WORD, "a spelling variant or common confusion of the language", "own tables", everywhere
    ),
    "jamo": Operation(
        jamo,
        EDIT,
        "one jamo of a syllable becomes one beside it on the two-set keyboard",
        "KS X 5002",
        scripts=_written({"Kore"}),
    ),
    "ime": Operation(
        ime,
        EDIT,
        "ja: voicing or size of a kana; zh: a character of the same reading",
        "kana input; TextFlint",
        scripts=_written({"Jpan", "Hans"}),
        table="ime",
    ),
    "codeswitch": Operation(
        look_up,
        WORD,
        "a word becomes its translation in the user's dictionary",
        "CoSDA-ML (Qin et al. 2020)",
        entries,
        table="codeswitch",
    ),
    "profile": Operation(
        look_up, WORD, "a word becomes an attested misspelling of the user's list", _BB, entries, table="profile"
    ),
    "mixed": Operation(
        mixed, EDIT, "the typing errors above in realistic shares for the script", "MulTypo 2025", flips=True
    ),
}


def not_applicable(op, lang, script, table=None):
    """Why an operation does nothing in a language, or "" where it applies."""
    operation = OPERATIONS[op]
    if operation.table and not table and not (op == "ime" and script == "Jpan"):
        return (
            f"needs a table from the user (--{operation.table})"
            if operation.scripts(script)
            else f"does not apply to the script {script}"
        )
    if not operation.scripts(script):
        return f"does not apply to the script {script}"
    if op == "orthography" and not {lang, script} & tables.ORTHOGRAPHY.keys() and script != "Jpan":
        return f"no table of variants for {lang}"
    return ""
