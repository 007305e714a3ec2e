"""Marks that a writer leaves out or mixes up: vowel signs, tones, nasal signs, nukta, Arabic and Hebrew points; jamo.

A mark is a keystroke of its own, but no grapheme: `delete` takes a letter with all its marks, `marks` a mark alone.
"""

import regex

from noise import tables
from noise.scripts import base_index, in_word, jamo_of, syllable

SCRIPTS = set("Arab Hebr Thaa Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Thai Laoo Khmr Mymr Tibt Kore".split())
# What may be missing: never a virama, whose loss would join or part consonants, but Tamil's, which only silences.
LOOSE = regex.compile(
    r"[\p{InSC=Vowel_Dependent}\p{InSC=Tone_Mark}\p{InSC=Bindu}\p{InSC=Visarga}\p{InSC=Nukta}\p{InSC=Gemination_Mark}"
    r"\u0bcd\u064b-\u0652\u0670\u05b0-\u05bc\u05c1\u05c2\u05c7\u07a6-\u07b0]"
)
# Marks that are taken for each other: short and long, low and high tone, points of one sound.
CONFUSED = """
    िी ुू ेै ोौ ंँ িী ুূ েৈ োৌ ংঁ ਿੀ ੁੂ ੇੈ ੋੌ ਂੰ િી ુૂ ેૈ ોૌ ંઁ ିୀ ୁୂ େୈ ୋୌ ଂଁ
    ிீ ுூ ெே ொோ ిీ ుూ ెే ొో ಿೀ ುೂ ೆೇ ೊೋ ിീ ുൂ െേ ൊോ ිී ුූ ෙේ ොෝ
    ิี ึื ุู ่้ ๊๋ ເແ ິີ ຶື ຸູ ່້ ិី ឹឺ ុូ េែ ိီ ုူ ့း ަާ ިީ ުޫ ެޭ ޮޯ
    \u064e\u064b \u064f\u064c \u0650\u064d
    \u05b7\u05b8 \u05b6\u05b5 \u05b2\u05b7 \u05b1\u05b6 \u05c1\u05c2
"""


def marks(noiser):
    if noiser.script == "Kore":
        return jamo_slip
    others = {}
    for one, other in CONFUSED.split():
        others.setdefault(one, other)
        others.setdefault(other, one)

    def propose(units, i, random):
        unit = units[i]
        spots = [match.start() for match in LOOSE.finditer(unit)] if len(unit) > 1 else ()
        if not spots or (base := base_index(unit)) is None:
            return None
        j = spots[random(len(spots))]
        if j == base:
            return None
        new = others.get(unit[j], "") if random(2) else ""
        return i, i + 1, unit[:j] + new + unit[j + 1 :]

    return propose


KEYS = {pair[0]: pair[1:] for pair in tables.JAMO_PAIRS.split()}  # jamo of two keystrokes


def jamo_slip(units, i, random):
    """The last keystroke of a syllable is missing, 한 > 하, 값 > 갑, 하 > ㅎ, or doubled, 한 > 한ㄴ, 하 > 하ㅏ."""
    if not (places := jamo_of(units[i])):
        return None
    lead, vowel, tail = places
    last = tables.JAMO_TAIL[tail] if tail else tables.JAMO_VOWEL[vowel]
    if random(2) and in_word(units, i):
        return i, i + 1, units[i] + KEYS.get(last, last)[-1]
    if last in KEYS:  # of two keystrokes the first stays
        first = KEYS[last][0]
        less = (vowel, tables.JAMO_TAIL.index(first)) if tail else (tables.JAMO_VOWEL.index(first), 0)
        return i, i + 1, syllable(lead, *less)
    return i, i + 1, syllable(lead, vowel, 0) if tail else tables.JAMO_LEAD[lead]
