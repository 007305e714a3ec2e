"""What an edit must leave as it is: protected ranges, the text's normal form, and sequences that a script allows."""

import unicodedata

import regex

from noise.protection import hit

# Sequences that no orthography has. A noised text has no more of them than the clean one.
ILLEGAL = regex.compile(  # in NFC, where a vowel sign of two parts is one
    r"(?V1)(?=\p{M})\p{InSC=Vowel_Dependent}(?=\p{M})\p{InSC=Vowel_Dependent}"
    r"|\p{InSC=Tone_Mark}\p{InSC=Tone_Mark}|\p{InSC=Bindu}\p{InSC=Bindu}"
    r"|[\p{InSC=Virama}\p{InSC=Invisible_Stacker}\p{InSC=Bindu}\p{InSC=Visarga}](?=\p{M})\p{InSC=Vowel_Dependent}"
    r"|(?=[\u0900-\u0dff])\p{InSC=Vowel_Independent}(?=[\u0900-\u0dff])\p{InSC=Vowel_Dependent}"
    r"|\p{InSC=Invisible_Stacker}(?!\p{L})"
    r"|[\u064b-\u0650\u0652\u0670]\u0651?[\u064b-\u0650\u0652]"  # Arabic: two vowel signs on a letter
    r"|[\u05b0-\u05bb\u05c7][\u05bc\u05bf\u05c1\u05c2]*[\u05b0-\u05bb\u05c7]"  # Hebrew: two vowel points
    r"|(?<!ש\p{Mn}*)[\u05c1\u05c2]|\u05c1\u05c2"  # the dots of shin and sin
    r"|(?<![\p{InSC=Virama}])[\u200c\u200d](?![\p{L}\p{Extended_Pictographic}])"  # a joiner that joins nothing
)
STACKED = regex.compile(  # in NFD: the same mark twice, two tones of Vietnamese on a letter, two shapes of one vowel
    r"(\p{M})\p{M}*\1|[\u0300\u0301\u0303\u0309]\p{M}*[\u0300\u0301\u0303\u0309]"
    r"|[\u0302\u0306\u031b]\p{M}*[\u0302\u0306\u031b]"
)
MARKED = regex.compile(r"[\p{M}\u200c\u200d]")


def illegal(text):
    """How many illegal sequences a text has."""
    if not MARKED.search(text):
        return 0
    normal = unicodedata.normalize("NFC", text)
    stacked = STACKED.findall(unicodedata.normalize("NFD", text))
    return len(ILLEGAL.findall(normal)) + len(stacked)


class Limits:
    """limits((first, last, new)) -> the edit, with `new` in the text's normal form, or None where it may not be."""

    def __init__(self, text, units, starts, blocked):
        self.text, self.units, self.starts, self.blocked = text, units, starts, blocked
        self.form = ""  # NFC, NFD or neither; looked up when it is needed

    def __call__(self, edit):
        first, last, new = edit
        if hit(self.blocked, edit, self.starts):
            return None
        if self.starts is None and new.isascii():
            return edit
        form = self.form = self.form or self.normal_form()
        if form != "neither" and not unicodedata.is_normalized(form, new):
            new = unicodedata.normalize(form, new)
        old = "".join(self.units[first:last])
        if new == old:
            return None
        if self.starts is not None:
            before = self.units[first - 1] if first else ""
            after = self.units[last] if last < len(self.units) else ""
            if (count := illegal(before + new + after)) and count > illegal(before + old + after):
                return None
        return first, last, new

    def normal_form(self):
        return next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, self.text)), "neither")
