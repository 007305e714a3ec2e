"""Words and phrases of a user's table in a text: longest first, in any case and with either apostrophe."""

import unicodedata

import regex

from noise import tables
from noise.protection import protected
from noise.scripts import is_letter, segment

APOSTROPHES = str.maketrans("\u2019\u02bc", "''")
TURKIC = str.maketrans("Iİ", "ıi")


class Entries:
    """A table {word or phrase: [others]} as it is looked up in texts of one language.

    An entry in small letters is met in any case pattern, one with capitals as it is and all in capitals.
    """

    def __init__(self, table, lang, script):
        self.turkic, self.joins = lang in ("tr", "az"), lang in tables.APOSTROPHE_JOINS
        self.bordered = script not in tables.WITHOUT_SPACES
        self.exact, self.folded, self.widths = {}, {}, {}
        for source, others in table.items():
            units, _, _ = segment(plain(source))
            self.exact.setdefault(plain(source), []).extend(others)
            self.folded.setdefault(self.fold(source), []).extend(others)
            self.widths.setdefault(self.fold(units[0]), set()).add(len(units))
        self.widths = {unit: sorted(widths, reverse=True) for unit, widths in self.widths.items()}

    def fold(self, text):
        text = plain(text)
        return (text.translate(TURKIC) if self.turkic else text).lower()

    def places(self, units):
        """[(first, last)] of the entries in a text, from left to right, the longest at each place."""
        places, i = [], 0
        while i < len(units):
            widths = self.widths.get(self.fold(units[i]), ()) if self.is_border(units, i) else ()
            lasts = (i + width for width in widths if i + width <= len(units) and self.is_border(units, i + width))
            last = next((last for last in lasts if self.others("".join(units[i:last]))), None)
            places += [(i, last)] if last else []
            i = last or i + 1
        return places

    def others(self, source):
        """What may stand for a text: as the table has it, else in the case pattern of the text."""
        others = self.exact.get(plain(source))
        if not others:
            folded = self.fold(source)
            others = self.folded if source.isupper() else self.exact
            others = [recased(new, source, self.turkic) for new in others.get(folded, ())]
        return [new.replace("'", "\u2019") if "\u2019" in source else new for new in others if new != source]

    def is_border(self, units, i):
        """Whether no word goes on from unit i - 1 to unit i: "don" is no word of "don't", "école" one of "l'école"."""
        if not self.bordered or i in (0, len(units)):
            return True
        before, after = is_letter(units[i - 1]), is_letter(units[i])
        if self.joins and before != after:
            before = before or (is_apostrophe(units[i - 1]) and i > 1 and is_letter(units[i - 2]))
            after = after or (is_apostrophe(units[i]) and i + 1 < len(units) and is_letter(units[i + 1]))
        return not (before and after)


def plain(text):
    """The text in NFC, with straight apostrophes."""
    return unicodedata.normalize("NFC", text.translate(APOSTROPHES))


def is_apostrophe(unit):
    return unit.translate(APOSTROPHES) == "'"


def recased(new, source, turkic):
    """THE: TEH, The: Teh."""
    upper = {"i": "İ"} if turkic else {}
    if source.isupper() and len(source) > 1:
        return "".join(upper.get(char, char.upper()) for char in new)
    return upper.get(new[0], new[0].upper()) + new[1:] if source[0].isupper() else new


def never_matches(source, others):
    """Why an entry changes no text, or ""."""
    if any(char.isdigit() for char in source):
        return "digits stay as they are"
    if protected(source):
        return "addresses, placeholders and codes stay as they are"
    if not any(char.isalpha() for char in source):
        return "has no letter"
    if regex.match(r"\p{M}", source):
        return "begins within a letter"
    return "stands for itself" if set(others) == {source} else ""


def entries(units, noiser):
    """The places of an operation that looks up a user's table."""
    return noiser.entries.places(units)
