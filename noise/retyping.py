"""Words in other letters: typed with the wrong keyboard layout active, or romanized by the package uroman."""

import importlib.util
import unicodedata
from functools import cache

import regex

from noise import tables
from noise.scripts import Neighbors, jamo_of, keyboards

UNWANTED = regex.compile(r"[\d\s\"@#]")  # numbers, quotes, addresses


def retyped(word_of):
    """Propose word_of(word) for the words of a text, where it is another word, and none of UNWANTED comes in."""

    def propose(units, place, random):
        word = "".join(units[place[0] : place[1]])
        new = word_of(word)
        return (*place, new) if new and new != word and not UNWANTED.search(new) else None

    return propose


# ---------------------------------------------------------------------------------------------------------------------
# The wrong layout: привет typed with the keys of the American layout is ghbdtn


@cache
def american_keys(lang, script):
    """{letter of the language's layout: what its key has on the American layout}, where that is another sign."""
    if script == "Kore":
        return jamo_keys()
    code = Neighbors(lang, script).code
    pairs = keyboards()["keys"].get(keyboards()["languages"][code]["layout"], "") if code else ""
    return dict(zip(pairs[::2], pairs[1::2]))


@cache
def jamo_keys():
    """The same for the jamo of the two-set keyboard, and for those that take two keys."""
    rows = zip(tables.JAMO_ROWS.values(), ("qwertyuiop", "asdfghjkl", "zxcvbnm"))
    keys = {jamo: key for letters, row in rows for jamo, key in zip(letters, row)}
    keys |= {shifted: keys[plain].upper() for plain, shifted in tables.JAMO_SHIFT.split()}
    return keys | {pair[0]: keys[pair[1]] + keys[pair[2]] for pair in tables.JAMO_PAIRS.split()}


def has_other_layout(lang, script):
    """Whether letters of the language lie elsewhere on an American keyboard; not where an input method makes them."""
    return script not in ("Jpan", "Hans") and any(char.isalpha() for char in american_keys(lang, script))


def layout(noiser):
    keys = american_keys(noiser.lang, noiser.script)

    def typed(char):
        """What the keys of a letter give; "" where it has none."""
        if places := jamo_of(char):
            jamo = (row[place] for row, place in zip(tables.JAMO, places))
            return "".join(keys[part] for part in jamo if part != " ")
        if noiser.script == "Latn":
            return keys.get(char) or keys.get(unicodedata.normalize("NFD", char)[0], char)
        base, *marks = unicodedata.normalize("NFD", char)
        if noiser.script == "Grek" and marks == ["\u0301"] and base in keys:
            return ";" + keys[base]  # the key of the accent comes first
        return char if char.isascii() else keys.get(char, "")

    def word_of(word):
        parts = [typed(char) for char in unicodedata.normalize("NFC", word)]
        return "".join(parts) if all(parts) else None

    return retyped(word_of)


# ---------------------------------------------------------------------------------------------------------------------
# Romanization


def has_uroman(lang, script):
    return importlib.util.find_spec("uroman") is not None


@cache
def uroman():
    """The romanizer; it reads its tables for some seconds."""
    from uroman import Uroman  # optional: only --ops romanize needs it

    return Uroman()


@cache
def romanized(word, language):
    return uroman().romanize_string(word, lcode=language)


def romanize(noiser):
    language = tables.ISO_639_3.get(noiser.lang, noiser.lang)

    def word_of(word):
        if noiser.script == "Jpan" and regex.search(r"\p{Han}", word):  # which uroman reads as Chinese
            return None
        new = romanized(word, language)
        return new if regex.fullmatch(r"[\p{Latin}\p{P}]+", new) else None  # it leaves signs that it does not know

    return retyped(word_of)
