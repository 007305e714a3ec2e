"""What each operation does to the units of a text.

An operation is a function of a Noiser that returns `propose(units, place, random) -> (first, last, new)`: put `new`
for units[first:last], or None where nothing can be done at this place. `units` is a list of strings (or the text
itself where every character is a unit), `place` an index, or (first, last) of a word; `random(n)` draws an integer
below n.

A proposal leaves no mark without its letter: units begin with letters, marks are only exchanged for marks of the same
kind, and a letter without a neighbor is never taken away.
"""

import unicodedata
from functools import cache, lru_cache

import regex

from noise import tables
from noise.scripts import base_index, in_word, is_letter, jamo_of, syllable
from noise.spellings import ORTHOGRAPHY

# ---------------------------------------------------------------------------------------------------------------------
# Slips of the fingers: letters, words, spaces, case and marks


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
        fits = len(other) == 1 and ord(other) > 0x2E7F and other.isalpha() and other not in tables.NUMERALS
        return (i, i + 1, unit + other) if fits else None

    return propose


def stray(noiser):
    def propose(units, i, random):
        other = units[random(len(units))]
        base = base_index(other) if is_letter(other) and in_word(units, i) else None
        if base is None or other in tables.NUMERALS:
            return None
        letter = other if "\u1100" <= other[0] <= "\u11ff" else other[base]  # decomposed Hangul: the whole syllable
        letter = letter.lower() if units[i].islower() else letter
        return (i, i + 1, units[i] + letter) if letter != units[i] else None

    return propose


def repeat(noiser):
    def propose(units, i, random):
        unit = units[i]
        if in_word(units, i) and (j := base_index(unit)) is not None:
            again = unit if "\u1100" <= unit[0] <= "\u11ff" else unit[j]  # decomposed Hangul: the whole syllable
            return i, i + 1, unit[:j] + again + unit[j:]

    return propose


def inner_shuffle(noiser):
    def propose(units, place, random):
        return shuffled(units, place[0] + 1, place[1] - 1, random)

    return propose


def full_shuffle(noiser):
    def propose(units, place, random):
        return shuffled(units, *place, random)

    return propose


def shuffled(units, first, last, random):
    order = list(units[first:last])
    if len(set(order)) < 2:
        return None
    for k in range(len(order) - 1, 0, -1):
        other = random(k + 1)
        order[k], order[other] = order[other], order[k]
    while order == list(units[first:last]):  # a word that came out unchanged would be no noise
        order = order[1:] + order[:1]
    return first, last, "".join(order)


def truncate(noiser):
    def propose(units, place, random):
        return (place[1] - 1, place[1], "") if place[1] - place[0] >= 4 else None

    return propose


def vowels(noiser):
    spelled = set(tables.VOWELS.get(noiser.script, ""))

    def propose(units, place, random):
        word = units[place[0] : place[1]]
        kept = [unit for unit in word if not spelled & {unicodedata.normalize("NFD", unit)[0].lower(), unit.lower()}]
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
        georgian = "\u10a0" <= unit[0] <= "\u10ff"  # has capitals that nobody types
        if is_letter(unit) and other != unit[0] and len(other) == 1 and not georgian:
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


# ---------------------------------------------------------------------------------------------------------------------
# Other spellings and signs that look alike, from tables


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


def substitutions(text):
    """{source: [(new, borders)]} of the rules of noise/spellings.py; cased letters also capitalized."""
    table = {}
    for rule in text.split():
        if rule.endswith("!"):
            table |= {rule[:-1]: [], rule[:-1].capitalize(): []}
            continue
        borders = "".join(sign for sign in "^_$~" if sign in (rule[0], rule[-1]))
        old, new = rule.strip("^_$~").split(">")
        for source, target in ((old, new), (old.capitalize(), new.capitalize())):  # in NFC, and for texts in NFD
            decomposed = [unicodedata.normalize("NFD", text) for text in (source, target)]
            for old_form, new_form in [(source, target), decomposed][: 1 + (decomposed[0] != source)]:
                if old_form != new_form and (new_form, borders) not in table.setdefault(old_form, []):
                    table[old_form].append((new_form, borders))
    return table


def substitute(table, script=""):
    """Propose from {source: [(new, borders)]}: the longest source that begins here, of several units or one, or a
    character of the unit.
    """
    longest = {}  # the first two characters of sources -> the length of the longest
    for source in sorted(table, key=len):
        longest[source[:2]] = len(source)
    kind = japanese_kind if script == "Jpan" else is_letter

    def propose(units, i, random):
        unit = units[i]
        length = longest.get((unit + units[i + 1])[:2], 0) if i + 1 < len(units) else 0
        if not length and unit not in table and (len(unit) == 1 or table.keys().isdisjoint(unit)):
            return None
        for last, source in sources(table, units, i, length):
            news = [new for new, borders in table[source] if fits(borders, kind, units, i, last)]
            if news or not table[source]:
                return (i, last, news[random(len(news))]) if news else None
        if not is_letter(unit):
            return None
        changes = [(unit, *other) for other in table[unit]] if unit in table else []
        changes = changes or [(char, *other) for char in dict.fromkeys(unit) for other in table.get(char, ())]
        news = [unit.replace(old, new) for old, new, borders in changes if fits(borders, kind, units, i, i + 1)]
        return (i, i + 1, news[random(len(news))]) if news else None

    return propose


def sources(table, units, i, length):
    """[(last, source)] of several units from i, of at most so many characters, the longest first."""
    source, met = units[i], []
    for last in range(i + 1, len(units)):
        source += units[last]
        if len(source) > length:
            break
        if source in table:
            met.append((last + 1, source))
    return reversed(met)


def fits(borders, kind, units, first, last):
    """Whether units[first:last] lies at the borders of words as a rule wants it; a word is of one kind of letters."""
    if not borders:
        return True
    begins, ends = (
        i in (0, len(units)) or not (kind(units[i - 1]) and kind(units[i - 1]) == kind(units[i]))
        for i in (first, last)
    )
    wanted = {"^": begins, "_": not begins, "$": ends, "~": not ends}
    return all(wanted[sign] for sign in borders)


def japanese_kind(unit):
    """Hiragana, katakana, other letters, or no letter: in Japanese a word ends where another kind begins."""
    if "\u3041" <= unit[0] <= "\u309f":
        return "hiragana"
    return "katakana" if "\u30a1" <= unit[0] <= "\u30ff" else "letter" * is_letter(unit)


def anywhere(table):
    """A user's {source: [new]} as substitute() takes it; no number word comes in."""
    usable = {source: [new for new in others if new not in tables.NUMERALS] for source, others in table.items()}
    return {source: [(new, "") for new in others] for source, others in usable.items() if others}


def ocr(noiser):
    if noiser.table:
        return substitute(anywhere(noiser.table))
    return substitute(substitutions(tables.OCR[noiser.script]))


def orthography(noiser):
    rules = ORTHOGRAPHY.get(noiser.lang) or ORTHOGRAPHY[noiser.script]
    table = substitutions(rules)
    change = substitute(table, noiser.script)

    def propose(units, i, random):
        edit = change(units, i, random)
        if edit and edit[1] == i + 1:  # not the end of a longer source (ι in αι), nor half of a doubled letter
            before, after = units[i - 1] if i else " ", units[i + 1] if i + 1 < len(units) else " "
            if before + units[i] in table or units[i][0] in (before[0], after[0]):
                return None
        return edit

    return propose


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


# ---------------------------------------------------------------------------------------------------------------------
# Input of Korean, Japanese and Chinese; words of the user's tables


@cache
def jamo_neighbors():
    """{jamo: jamo on the keys that touch its key on the two-set keyboard, consonants beside consonants, and its other
    shift level}.
    """
    keys = {char: (x + i, y) for y, (x, row) in enumerate(tables.JAMO_ROWS.items()) for i, char in enumerate(row)}
    neighbors = {}
    for char, (x, y) in keys.items():
        vowel = char in tables.JAMO_VOWEL
        neighbors[char] = "".join(
            other
            for other, (other_x, other_y) in keys.items()
            if other != char and max(abs(other_x - x), abs(other_y - y)) <= 1 and (other in tables.JAMO_VOWEL) == vowel
        )
    for plain, shifted in tables.JAMO_SHIFT.split():
        neighbors[shifted] = plain
        neighbors[plain] += shifted
    return neighbors


def jamo(noiser):
    near, parts = jamo_neighbors(), tables.JAMO

    def propose(units, i, random):
        if not (indices := jamo_of(units[i])):
            return None
        part = random(3 if indices[2] else 2)
        choices = [char for char in near.get(parts[part][indices[part]], "") if char in parts[part]]
        if choices:
            new = parts[part].index(choices[random(len(choices))])
            return i, i + 1, syllable(*indices[:part], new, *indices[part + 1 :])

    return propose


def ime(noiser):
    groups = {char: group.replace(char, "") for group in tables.KANA.split() for char in group}
    return substitute(anywhere(noiser.table or groups))


def look_up(noiser):
    """Code switching and attested errors: the user's entries for the words of a place."""

    def propose(units, place, random):
        source = "".join(units[place[0] : place[1]])
        others = noiser.entries.others(source)
        if noiser.one_token:
            others = [new for new in others if not any(map(str.isspace, new))]
        return (*place, others[random(len(others))]) if others else None

    return propose
