"""How scripts are written: units that an edit may move, words, gaps, and which key lies beside which.

Rates are counted in extended grapheme clusters (regex's \\X); a unit is a cluster with what must stay with it.
"""

import json
import re
import unicodedata
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path

import regex

from noise import tables

LEAD = "เ-ไເ-ໄ"  # Thai and Lao vowels that are written, and stored, before their consonant
TRAIL = "ะาๅະາ"  # and vowels after it that are clusters of their own
VIRAMA = r"[[\p{InSC=Virama}\p{InSC=Invisible_Stacker}]--[\u0bcd]]"  # joins consonants; Tamil's only silences
# What one edit may take away or move: a cluster with the vowels that lean on it and the consonants stacked on it.
UNIT = regex.compile(
    rf"(?V1)(?:[{LEAD}]+(?=\p{{L}}))?\X(?:(?<={VIRAMA}[\u200c\u200d]?)(?=\p{{L}})\X|(?=[\p{{M}}{TRAIL}])\X)*"
)
CLUSTER = regex.compile(r"\X")
# Texts without these characters have one code point per unit, which makes them fast. One too many here costs time, one
# too few correctness.
COMPLEX = regex.compile(
    r"[\r\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0600-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0700-\u109f"
    r"\u1100-\u11ff\u1700-\u1cff\u1dc0-\u1dff\u200c-\u200f\u20d0-\u20ff\u2de0-\u2dff\u302a-\u302f\u3099\u309a"
    r"\ua66f-\ua6f1\ua800-\uabff\ud7b0-\ud7ff\ufe00-\ufe0f\ufe20-\ufe2f\uff9e\uff9f\U00010a00-\U0001ffff"
    r"\U000e0000-\U000e0fff]"
)


def segment(text):
    """(units, where each of them and the end is in characters, number of grapheme clusters).

    Where every character is a unit, the units are the text itself and the second is None.
    """
    if text.isascii() or not COMPLEX.search(text):
        return text, None, len(text)
    units = UNIT.findall(text)
    return units, list(accumulate(map(len, units), initial=0)), len(CLUSTER.findall(text))


def jamo_of(unit):
    """(lead, vowel, tail) of a Hangul syllable, as places in tables.JAMO; None of anything else."""
    code = ord(unit) - 0xAC00 if len(unit) == 1 else -1
    return (code // 588, code % 588 // 28, code % 28) if 0 <= code < 11172 else None


def syllable(lead, vowel, tail):
    """The Hangul syllable of what jamo_of() gives."""
    return chr(0xAC00 + lead * 588 + vowel * 28 + tail)


def is_letter(unit):
    return unit[0].isalpha() and unit[0] != "ℹ"  # an emoji that Unicode calls a letter


def in_word(units, i):
    """Whether unit i is a letter beside another: only then may it go or get company; a token of one letter stays."""
    if isinstance(units, str) and 0 < i < len(units) - 1 and "ℹ" not in units:  # the same, faster
        return units[i].isalpha() and (units[i + 1].isalpha() or units[i - 1].isalpha())
    return is_letter(units[i]) and (
        (i + 1 < len(units) and is_letter(units[i + 1])) or (i > 0 and is_letter(units[i - 1]))
    )


@lru_cache(1 << 14)
def base_index(unit):
    """Where in a unit its base letter is: the first that is no Thai or Lao lead vowel; None for a vowel on its own."""
    if unit.isascii():
        return 0 if unit[0].isalpha() else None
    return next(
        (j for j, char in enumerate(unit) if char.isalpha() and not ("เ" <= char <= "ไ" or "ເ" <= char <= "ໄ")), None
    )


def words(units, noiser):
    """[(first, last)] runs of letters. Where words run together, runs of at most 4 units stand for them."""
    runs, start = [], None
    for i in range(len(units) + 1):
        inside = i < len(units) and is_letter(units[i])
        full = start is not None and noiser.script in tables.WITHOUT_SPACES and i - start == 4
        if start is not None and (full or not inside):
            runs.append((start, i))
            start = None
        if inside and start is None:
            start = i
    return runs


def gaps(units, noiser):
    """The places of spaces between two letters."""
    if isinstance(units, str):  # the same, faster
        spaces = map(re.Match.start, one_of(" ").finditer(units, 1, len(units) - 1))
        return [i for i in spaces if units[i - 1].isalpha() and units[i + 1].isalpha()]
    spaces = (i for i in range(1, len(units) - 1) if units[i] == " ")
    return [i for i in spaces if units[i - 1][0].isalpha() and units[i + 1][0].isalpha()]


def sentence_marks(units, noiser):
    """The places of commas, periods and the like."""
    marks = tables.PUNCTUATION.get(noiser.script, tables.PUNCTUATION["Latn"])
    if isinstance(units, str):  # the same, faster
        return list(map(re.Match.start, one_of(marks).finditer(units)))
    return [i for i, unit in enumerate(units) if unit in marks]


def not_ascii(units, noiser):
    """The places of whatever may have diacritics."""
    plain = isinstance(units, str) and units.isascii()
    return [] if plain else [i for i, unit in enumerate(units) if not unit.isascii()]


@cache
def one_of(chars):
    return re.compile(f"[{re.escape(chars)}]")


def everywhere(units, noiser):
    return range(len(units))


@cache
def keyboards():
    return json.loads(Path(__file__).with_name("keyboards.json").read_text(encoding="utf-8"))


class Neighbors(dict):
    """{letter: letters on the keys around it} of one language.

    A letter without a key has those of its base (é: e, ൽ: ല), a letter of another script those of that script's usual
    layout.
    """

    def __init__(self, lang, script):
        languages, self.layouts = keyboards()["languages"], keyboards()["layouts"]
        usual = {"Latn": "en", "Cyrl": "ru", "Arab": "ar"}
        codes = (lang, usual.get(script) or tables.LANGUAGES.get(script, "").split(" ")[0])
        self.code = next((code for code in codes if code in languages), None)
        super().__init__(self.layouts[languages[self.code]["layout"]] if self.code else {})

    def __missing__(self, char):
        base = tables.BASES.get(char, unicodedata.normalize("NFD", char))[0]
        near = self.get(base, "") if base != char else ""
        if not near and char.isalpha():
            layouts = (self.layouts[name] for name in ("us", "ru", *self.layouts))
            near = next((layout[char] for layout in layouts if char in layout), "")
        self[char] = near
        return near


def script_of(text):
    """ISO 15924 script of a text by its first 1,000 letters; Latn for a text without letters."""
    letters = [char for char in text[:20000] if char.isalpha()][:1000]
    counts = {
        script: sum(bool(regex.match(rf"\p{{Script={name}}}", c)) for c in letters)
        for script, name in tables.UNICODE_SCRIPTS.items()
    }
    return max(counts, key=counts.get) if any(counts.values()) else "Latn"
