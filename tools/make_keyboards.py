"""Make noise/keyboards.json: which letters lie beside which on the usual keyboard of each language.

    python tools/make_keyboards.py [--output noise/keyboards.json]

Reads the layouts of the Debian packages xkb-data and libxkbcommon0 (MIT-style licenses), and the letters of each
language from CLDR in the package libicu (Unicode license), both through ctypes; only facts go into the file: no text
of theirs. Needed again only to add a language; noise reads the file that is committed.

A letter's neighbors are the letters at the same shift level of the keys that touch its key, in the same script and of
the same Indic syllabic category, so that one may stand where the other stands: a consonant for a consonant, a vowel
sign for a vowel sign. Where no key that touches has one, the nearest counts. Only what is typed plain or with Shift
and is among CLDR's main and auxiliary exemplars of the language can be a neighbor: no slip of a Pole makes ð. A letter
on AltGr (Polish ą) has the neighbors of its key, and the key's plain letter: the slip of not holding AltGr.
"""

import argparse
import ctypes
import ctypes.util
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
LEVELS, BASE = 4, 2  # plain, Shift, AltGr, Shift+AltGr, of which the first two make the base layer
FARTHEST = 5  # in key widths: how far to look for a neighbor where none touches (Thai า, Arabic ذ)

# xkb layout or layout:variant -> languages. The 50 languages of XTREME-R but zh and ko, then others.
LAYOUTS = {
    "us": "en ms jv sw ht so rw mg zu xh st sn vi", "za": "af", "ara": "ar", "az": "az", "bg": "bg", "bd": "bn",
    "de": "de lb", "gr": "el", "es": "es eu gl", "es:cat": "ca", "ee": "et", "ir": "fa", "fi": "fi", "fr": "fr",
    "in:guj": "gu", "il": "he", "in:deva": "hi", "hu": "hu", "id": "id", "it": "it", "jp:kana": "ja", "ge": "ka",
    "kz": "kk", "lt": "lt", "in:mal": "ml", "in:marathi": "mr", "mm": "my", "us:intl": "nl", "in:guru": "pa",
    "pl": "pl", "pt": "pt", "latam": "qu quy aym gn nah oto tar shp cni bzd hch", "ro": "ro", "ru": "ru",
    "in:tam": "ta", "in:tel": "te", "th": "th", "ph": "tl fil ceb", "tr": "tr", "ua": "uk", "pk": "ur",
    "sn": "wo", "ng:yoruba": "yo", "ng:igbo": "ig", "ng:hausa": "ha", "am": "hy", "by": "be", "rs": "sr", "mk": "mk",
    "hr": "hr bs", "si": "sl", "sk": "sk", "cz": "cs", "dk": "da", "se": "sv", "no": "nb no nn", "is": "is",
    "lv": "lv", "al": "sq", "mt": "mt", "ie": "ga", "gb": "cy gd", "et": "am ti", "kh": "km", "la": "lo", "lk": "si",
    "np": "ne", "in:kan": "kn", "in:ori": "or", "af:ps": "ps", "pk:snd": "sd", "cn:ug": "ug", "kg": "ky", "tj": "tg",
    "uz:latin": "uz", "mn": "mn", "mv": "dv", "epo": "eo", "iq:ku_ara": "ckb",
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


def read_layout(xkb, layout, variant, wanted=None):
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
            keys[row, left + column] = [character(xkb, keymap, key, level, wanted) for level in range(LEVELS)]
    return xkb.xkb_keymap_layout_get_name(keymap, 0).decode(), keys


def character(xkb, keymap, key, level, wanted=None):
    """The letter of a key at a level, or another sign that is `wanted`; else ""."""
    wanted = wanted or is_letter
    symbols = ctypes.POINTER(ctypes.c_uint32)()
    count = xkb.xkb_keymap_key_get_syms_by_level(keymap, key, 0, level, ctypes.byref(symbols))
    code = xkb.xkb_keysym_to_utf32(symbols[0]) if count == 1 else 0
    return chr(code) if code and wanted(chr(code)) else ""


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
# Reading CLDR's exemplars


class Exemplars:
    """language -> the letters that CLDR says it is written with: main, and auxiliary as in names and loanwords."""

    SAME = {"nb": "no", "nn": "no", "tl": "fil", "quy": "qu"}  # kept under another code
    KINDS, CASES = (0, 1), 4  # ULOCDATA_ES_STANDARD, ULOCDATA_ES_AUXILIARY; USET_ADD_CASE_MAPPINGS

    def __init__(self):
        name = ctypes.util.find_library("icui18n")
        self.version = name.rpartition(".")[2]  # of ICU; its functions carry it in their names
        self.libraries = ctypes.CDLL(name), ctypes.CDLL(name.replace("icui18n", "icuuc"))
        for function in ("ulocdata_open", "ulocdata_getExemplarSet"):
            self.function(function).restype = ctypes.c_void_p

    def function(self, name):
        library = self.libraries[name.startswith("uset")]
        return getattr(library, f"{name}_{self.version}")

    def __call__(self, language):
        """The set of letters; None where CLDR does not know the language."""
        status = ctypes.c_int(0)
        data = ctypes.c_void_p(
            self.function("ulocdata_open")(self.SAME.get(language, language).encode(), ctypes.byref(status))
        )
        if status.value:  # an error, or another language's data
            return None
        letters = set()
        for kind in self.KINDS:  # not every language has auxiliary ones: the set is empty then
            arguments = (data, None, self.CASES, kind, ctypes.byref(ctypes.c_int(0)))
            exemplars = ctypes.c_void_p(self.function("ulocdata_getExemplarSet")(*arguments))
            for item in range(self.function("uset_getItemCount")(exemplars)):
                letters |= self.item(exemplars, item)
        return letters

    def item(self, exemplars, item):
        """The characters of a range or string of a set."""
        first, last, status = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(0)
        string = (ctypes.c_uint16 * 64)()
        pointers = ctypes.byref(first), ctypes.byref(last), string, len(string), ctypes.byref(status)
        length = self.function("uset_getItem")(exemplars, item, *pointers)
        if length:
            return set(bytes(string)[: 2 * length].decode("utf-16-le"))
        return set(map(chr, range(first.value, last.value + 1)))


# ---------------------------------------------------------------------------------------------------------------------
# Neighbors


def neighbors(keys, alphabet):
    """{letter: its neighbors as one string}; alphabet: the letters that may be neighbors, or None for all.

    A letter that the layout has twice lies where it takes the fewest modifiers.
    """
    letters_near = {}
    for level in range(LEVELS):
        for (row, x), levels in keys.items():
            char = levels[level]
            if char and char not in letters_near:
                near = sorted((max(abs(r - row), abs(c - x)), letters) for (r, c), letters in keys.items())
                plain = levels[level % BASE] if level >= BASE else ""
                slip = plain if plain and place(plain) == place(char) and (not alphabet or plain in alphabet) else ""
                letters_near[char] = closest(char, near, level % BASE, alphabet) + slip
    return {char: "".join(dict.fromkeys(letters)) for char, letters in letters_near.items() if letters}


def closest(char, near, level, alphabet):
    """The letters on the touching keys, else on the nearest, that may stand for `char`: first of its level, then of
    the other one of the base layer, then, for a letter without vowel signs, any consonant. Only kinds of letters that
    the base layer does not have at all (Sinhala vowel signs) are looked for on AltGr.
    """
    same = place(char)
    last = (same[0], "L", "Consonant", False) if same[2] in BARE else same
    tries = [([level], same), (range(BASE), same), (range(BASE), last)]
    for levels, wanted in tries + [(range(LEVELS), same)] * bool(alphabet):
        usable = [
            (distance, keys[i])
            for distance, keys in near
            for i in levels
            if keys[i] and keys[i] != char and place(keys[i]) == wanted and (not alphabet or keys[i] in alphabet)
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


def american_keys(xkb, spelling):
    """Each letter of a layout's base layer and what the American layout has on its key, where that is another sign."""
    layout, _, variant = spelling.partition(":")
    keys, american = read_layout(xkb, layout, variant)[1], read_layout(xkb, "us", "", str.isprintable)[1]
    letters = {}
    for level in range(BASE):
        for place, levels in keys.items():
            if levels[level]:
                letters.setdefault(levels[level], american[place][level])
    return "".join(char + sign for char, sign in letters.items() if sign not in ("", char))


def keyboard(xkb, spelling, alphabet):
    """(name, neighbors) of a layout for a language with this alphabet."""
    layout, _, variant = spelling.partition(":")
    name, keys = read_layout(xkb, layout, variant)
    letters_near = neighbors(keys, alphabet)
    if spelling in ALSO:
        letters_near = {**neighbors(read_layout(xkb, *ALSO[spelling].split(":"))[1], None), **letters_near}
    return name, with_hiragana(letters_near) if spelling == "jp:kana" else letters_near


def entries(table):
    """The entries of a JSON object, one a line."""
    items = sorted((key, value) for key, value in table.items() if value)
    return ",\n".join(f'  "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in items)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    default = Path(__file__).resolve().parents[1] / "noise" / "keyboards.json"
    parser.add_argument("--output", type=Path, default=default, help="file to write")
    args = parser.parse_args()
    xkb, exemplars = load_xkb(), Exemplars()
    query = ["dpkg-query", "-W", "-f", "${Version}", "xkb-data"]
    version = subprocess.run(query, capture_output=True, text=True).stdout or "unknown version"
    layouts, languages, keys = {}, {}, {}
    for spelling, codes in LAYOUTS.items():
        layout, _, variant = spelling.partition(":")
        if read_layout(xkb, layout, variant) is None:
            print(f"left out: xkb has no layout {spelling}")
            continue
        for code in codes.split():
            name, letters_near = keyboard(xkb, spelling, exemplars(code))
            # Languages of one layout share an entry where their letters are the same.
            signs = american_keys(xkb, spelling)
            entry = next((key for key in layouts if (layouts[key], keys[key]) == (letters_near, signs)), None)
            entry = entry or (f"{spelling}/{code}" if spelling in layouts else spelling)
            layouts[entry], keys[entry] = letters_near, signs
            languages[code] = {"layout": entry, "name": name, "source": f"xkb-data {version}, symbols/{layout}"}
    about = (
        "Made by tools/make_keyboards.py: the letters beside each letter on the usual keyboard of each language, "
        f"of those that CLDR (ICU {exemplars.version}) has for it; keys: a letter and the American layout's sign."
    )
    parts = [json.dumps(about), *map(entries, (languages, layouts, keys))]
    text = '{{\n "about": {},\n "languages": {{\n{}\n }},\n "layouts": {{\n{}\n }},\n "keys": {{\n{}\n }}\n}}\n'
    args.output.write_text(text.format(*parts), encoding="utf-8")
    print(f"{len(languages)} languages, {len(layouts)} layouts -> {args.output}")


if __name__ == "__main__":
    main()
