"""Make noise/keyboards.json: which letters lie beside which on the usual keyboard of each language.

    python tools/make_keyboards.py [--output noise/keyboards.json]

Reads the layouts of the Debian packages xkb-data and libxkbcommon0 (MIT-style licenses) through ctypes; only facts
about layouts go into the file: no text of theirs. Needed again only to add a language; noise reads the file that is
committed.

A letter's neighbors are the letters at the same shift level of the keys that touch its key, in the same script and of
the same Indic syllabic category, so that one may stand where the other stands: a consonant for a consonant, a vowel
sign for a vowel sign. Where no key that touches has one, the nearest counts. A letter on AltGr (Polish ą) also has its
key's plain letter as neighbor: the slip of not holding AltGr.
"""

import argparse
import ctypes
import json
import subprocess
import unicodedata
from functools import cache
from pathlib import Path

import regex

# Rows of an ISO board: the left edge of the first key in key widths, and xkb's names of the keys. BKSL lies left of
# Return, LSGT right of the left Shift.
ROWS = (
    (0.0, ("TLDE", *(f"AE{i:02}" for i in range(1, 14)))),
    (1.5, tuple(f"AD{i:02}" for i in range(1, 13))),
    (1.75, (*(f"AC{i:02}" for i in range(1, 12)), "BKSL")),
    (1.25, ("LSGT", *(f"AB{i:02}" for i in range(1, 12)))),
)
LEVELS = 4  # plain, Shift, AltGr, Shift+AltGr
FARTHEST = 5  # in key widths: how far to look for a neighbor where none touches (Thai า, Arabic ذ)

# xkb layout or layout:variant -> languages. The 50 languages of XTREME-R but zh and ko, then others.
LAYOUTS = {
    "us": "en ms jv sw ht so rw mg zu xh st sn", "za": "af", "ara": "ar", "az": "az", "bg": "bg", "bd": "bn",
    "de": "de lb", "gr": "el", "es": "es eu gl", "es:cat": "ca", "ee": "et", "ir": "fa", "fi": "fi", "fr": "fr",
    "in:guj": "gu", "il": "he", "in:deva": "hi", "hu": "hu", "id": "id", "it": "it", "jp:kana": "ja", "ge": "ka",
    "kz": "kk", "lt": "lt", "in:mal": "ml", "in:marathi": "mr", "mm": "my", "us:intl": "nl", "in:guru": "pa",
    "pl": "pl", "pt": "pt", "latam": "qu quy aym gn nah oto tar shp cni bzd hch", "ro": "ro", "ru": "ru",
    "in:tam": "ta", "in:tel": "te", "th": "th", "ph": "tl fil ceb", "tr": "tr", "ua": "uk", "pk": "ur", "vn": "vi",
    "sn": "wo", "ng:yoruba": "yo", "ng:igbo": "ig", "ng:hausa": "ha", "am": "hy", "by": "be", "rs": "sr", "mk": "mk",
    "hr": "hr bs", "si": "sl", "sk": "sk", "cz": "cs", "dk": "da", "se": "sv", "no": "nb no nn", "is": "is",
    "lv": "lv", "al": "sq", "mt": "mt", "ie": "ga", "gb": "cy gd", "et": "am ti", "kh": "km", "la": "lo", "lk": "si",
    "np": "ne", "in:kan": "kn", "in:ori": "or", "af:ps": "ps", "pk:snd": "sd", "cn:ug": "ug", "kg": "ky", "tj": "tg",
    "uz": "uz", "mn": "mn", "mv": "dv", "epo": "eo", "iq:ku_ara": "ckb",
}  # fmt: skip
ALSO = {"mm": "mm:zawgyi"}  # letters that only a second layout has: texts typed with Zawgyi are still around
# Indic syllabic categories within which one letter may stand for another
SYLLABIC = (
    "Consonant Vowel_Independent Vowel_Dependent Vowel Tone_Mark Virama Pure_Killer Invisible_Stacker Nukta Bindu "
    "Visarga Consonant_Medial Consonant_Dead"
).split()
# Letters that carry no vowel sign: a consonant may stand for them, not they for it.
BARE = ("Vowel_Independent", "Consonant_Dead")

# ---------------------------------------------------------------------------------------------------------------------
# Reading xkb's layouts


class Names(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")]


def load_xkb():
    xkb = ctypes.CDLL("libxkbcommon.so.0")
    for name in ("xkb_context_new", "xkb_keymap_new_from_names"):
        getattr(xkb, name).restype = ctypes.c_void_p
    xkb.xkb_keymap_layout_get_name.restype = ctypes.c_char_p
    return xkb


def read_layout(xkb, layout, variant):
    """(name, {(row, x): [character of the key at each level, or ""]}); None where xkb does not know the layout."""
    context = ctypes.c_void_p(xkb.xkb_context_new(0))
    names = Names(b"evdev", b"pc105", layout.encode(), variant.encode(), b"")
    keymap = ctypes.c_void_p(xkb.xkb_keymap_new_from_names(context, ctypes.byref(names), 0))
    if not keymap:
        return None
    keys = {}
    for row, (left, codes) in enumerate(ROWS):
        for column, code in enumerate(codes):
            key = xkb.xkb_keymap_key_by_name(keymap, code.encode())
            keys[row, left + column] = [character(xkb, keymap, key, level) for level in range(LEVELS)]
    return xkb.xkb_keymap_layout_get_name(keymap, 0).decode(), keys


def character(xkb, keymap, key, level):
    symbols = ctypes.POINTER(ctypes.c_uint32)()
    count = xkb.xkb_keymap_key_get_syms_by_level(keymap, key, 0, level, ctypes.byref(symbols))
    code = xkb.xkb_keysym_to_utf32(symbols[0]) if count == 1 else 0
    return chr(code) if code and is_letter(chr(code)) else ""


def is_letter(char):
    """Letters and marks; not the presentation forms and superscripts (ﻻ, ª) that some layouts carry."""
    return unicodedata.category(char)[0] in "LM" and not unicodedata.decomposition(char).startswith(
        ("<isol", "<fin", "<init", "<med", "<super")
    )


@cache
def place(char):
    """What a letter can stand for: (script, letter or mark, syllabic category, written before its consonant)."""
    value = next((name for name in SYLLABIC if regex.match(rf"\p{{InSC={name}}}", char)), "")
    script = "KATAKANA" if char == "ー" else unicodedata.name(char).split()[0]
    return script, unicodedata.category(char)[0], value, bool(regex.match(r"\p{InPC=Visual_Order_Left}", char))


# ---------------------------------------------------------------------------------------------------------------------
# Neighbors


def neighbors(keys):
    """{letter: its neighbors as one string}, in the order of rows and columns."""
    letters_near = {}
    for (row, x), levels in keys.items():
        near = sorted((max(abs(r - row), abs(c - x)), letters) for (r, c), letters in keys.items())
        for level, char in enumerate(levels):
            if char and char not in letters_near:
                letters_near[char] = closest(char, near, level)
                if level >= 2 and levels[level - 2] and place(levels[level - 2]) == place(char):
                    letters_near[char] += levels[level - 2]
    return {char: "".join(dict.fromkeys(letters)) for char, letters in letters_near.items() if letters}


def closest(char, near, level):
    """The letters on the touching keys, else on the nearest, that may stand for `char`: first of its level, then of
    any level, then, for a letter without vowel signs, any consonant.
    """
    same = place(char)
    last = (same[0], "L", "Consonant", False) if same[2] in BARE else same
    for levels, wanted in (([level], same), (range(LEVELS), same), (range(LEVELS), last)):
        usable = [
            (distance, keys[i])
            for distance, keys in near
            for i in levels
            if keys[i] and keys[i] != char and place(keys[i]) == wanted
        ]
        reach = max(1, usable[0][0]) if usable else 0
        if 0 < reach <= FARTHEST:
            return "".join(letter for distance, letter in usable if distance <= reach)
    return ""


def with_hiragana(katakana):
    """xkb's kana keys give katakana; hiragana lies on the same keys, 0x60 below in Unicode."""

    def hiragana(text):
        return "".join(chr(ord(char) - 0x60) if "ァ" <= char <= "ヴ" else "" for char in text)

    pairs = ((hiragana(char), hiragana(near)) for char, near in katakana.items())
    return katakana | {char: near for char, near in pairs if char and near}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    default = Path(__file__).resolve().parents[1] / "noise" / "keyboards.json"
    parser.add_argument("--output", type=Path, default=default, help="file to write")
    args = parser.parse_args()
    xkb = load_xkb()
    query = ["dpkg-query", "-W", "-f", "${Version}", "xkb-data"]
    version = subprocess.run(query, capture_output=True, text=True).stdout or "unknown version"
    layouts, languages = {}, {}
    for spelling, codes in LAYOUTS.items():
        layout, _, variant = spelling.partition(":")
        read = read_layout(xkb, layout, variant)
        if read is None:
            print(f"left out: xkb has no layout {spelling}")
            continue
        name, keys = read
        layouts[spelling] = neighbors(keys)
        if spelling in ALSO:
            layouts[spelling] = {**neighbors(read_layout(xkb, *ALSO[spelling].split(":"))[1]), **layouts[spelling]}
        if spelling == "jp:kana":
            layouts[spelling] = with_hiragana(layouts[spelling])
        for code in codes.split():
            languages[code] = {"layout": spelling, "name": name, "source": f"xkb-data {version}, symbols/{layout}"}
    lines = [f'  "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in sorted(languages.items())]
    tables = [f'  "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in sorted(layouts.items())]
    about = "Made by tools/make_keyboards.py: the letters beside each letter on the usual keyboard of each language."
    text = '{{\n "about": {},\n "languages": {{\n{}\n }},\n "layouts": {{\n{}\n }}\n}}\n'
    args.output.write_text(text.format(json.dumps(about), ",\n".join(lines), ",\n".join(tables)), encoding="utf-8")
    print(f"{len(languages)} languages, {len(layouts)} layouts -> {args.output}")


if __name__ == "__main__":
    main()
