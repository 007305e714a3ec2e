"""Slips at the keys of an input method: what comes out when a keystroke is missed, doubled, or hits the key beside.

Vietnamese is typed with Telex (việt: v i e e j t), Japanese in Latin letters (romaji: か is k a). Kana keyboards and
characters of one reading are `ime`, see noise/proposals.py.
"""

import unicodedata
from functools import cache

from noise import tables
from noise.scripts import Neighbors

# ---------------------------------------------------------------------------------------------------------------------
# Vietnamese


def telex(noiser):
    keys = Neighbors("en", "Latn")

    @cache
    def slips(letter):
        return telex_slips(letter, keys)

    def propose(units, i, random):
        unit = units[i]
        composed = unicodedata.normalize("NFC", unit)
        if composed.isascii() or not (outcomes := slips(composed)):
            return None
        new = outcomes[random(len(outcomes))]
        return i, i + 1, new if composed == unit else unicodedata.normalize("NFD", new)

    return propose


def telex_slips(letter, keys):
    """What can come out for a letter with marks that is typed with Telex, each as often as it has ways to happen."""
    marks = unicodedata.normalize("NFD", letter)
    tone = next((mark for mark in marks if mark in tables.TELEX_TONES), "")
    bare = unicodedata.normalize("NFC", marks.replace(tone, "")) if tone else letter  # ệ: ê
    typed = tables.TELEX_LETTERS.get(bare.lower(), bare)
    if len(bare) != 1 or not typed.isascii() or typed[0].lower() not in "aeiouyd":
        return []
    base, tone_key = typed[0], tables.TELEX_TONES.get(tone, "")

    def written(letter):
        return unicodedata.normalize("NFC", letter + tone)

    outcomes = [typed + tone_key]  # the input method was off
    if len(typed) == 2:
        outcomes.append(written(base))  # the key of the hook or roof was missed
        outcomes += [written(base) + near for near in keys[typed[1]] if near not in "aeodwsfrxjz"]
    if tone:
        low = bare.lower()
        outcomes += [low, low + tone_key]  # the key of the tone was missed, or struck twice, which undoes it
        for near in keys[tone_key]:
            other = next((mark for mark, key in tables.TELEX_TONES.items() if key == near), "")
            if other or near not in "aeodwz":
                outcomes.append(unicodedata.normalize("NFC", low + other) if other else low + near)
    if letter != letter.lower():
        outcomes = [outcome[0].upper() + outcome[1:] for outcome in outcomes]
    return [outcome for outcome in outcomes if outcome != letter]


# ---------------------------------------------------------------------------------------------------------------------
# Japanese


SMALL = set("ゃゅょぁぃぅぇぉャュョァィゥェォ")  # きゃ is typed k y a


@cache
def romaji_tables():
    """({kana: how it is typed}, {what is typed: kana}), hiragana; small kana are typed with the one before them."""
    kana = {
        consonant + vowel: char
        for consonant, row in tables.ROMAJI.items()
        for vowel, char in zip("aiueo", row)
        if char != "-"
    }
    kana |= {"xtu": "っ", "ltu": "っ", "nn": "ん"}
    return {char: keys for keys, char in kana.items() if keys[0] not in "xl"}, kana


def from_romaji(typed):
    """The kana of keystrokes; None where letters are left over. A doubled consonant gives っ."""
    kana, text, i = romaji_tables()[1], "", 0
    while i < len(typed):
        width = next((width for width in (3, 2, 1) if typed[i : i + width] in kana), 0)
        if width:
            text += kana[typed[i : i + width]]
        elif i + 1 < len(typed) and typed[i] == typed[i + 1]:
            text, width = text + "っ", 1
        else:
            return None
        i += width
    return text


@cache
def romaji_slips(char):
    """What can come out for a kana: its keystrokes with one missed, doubled or beside."""
    keys, typed = Neighbors("en", "Latn"), romaji_tables()[0].get(char, "")
    outcomes = []
    for j, key in enumerate(typed):
        for new in ("", key * 2, *keys[key]):
            text = from_romaji(typed[:j] + new + typed[j + 1 :])
            outcomes += [text] if text and text != char else []
    return outcomes


def romaji(noiser):
    katakana = {chr(ord(char) + 0x60): char for char in romaji_tables()[0]}

    def propose(units, i, random):
        char = unicodedata.normalize("NFC", units[i])
        outcomes = romaji_slips(katakana.get(char, char))
        if not outcomes or (i + 1 < len(units) and units[i + 1] in SMALL):
            return None
        new = outcomes[random(len(outcomes))]
        if char in katakana:
            new = "".join(chr(ord(other) + 0x60) for other in new)
        return i, i + 1, new if char == units[i] else unicodedata.normalize("NFD", new)

    return propose
