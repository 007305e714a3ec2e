"""What no noise may do to a text, checked independently of noise/, for the tests of noise/ and perturb.py."""

import unicodedata
from collections import Counter

import regex

# Each finds places that are wrong in any script; a noised text may not have more of them than the clean one.
FAULTS = {
    "mark without a letter": r"(?<![\p{L}\p{M}\p{N}\p{So}\p{Co}\u25cc\u200c\u200d\u00a0])\p{M}",
    "mark of another script on a Latin letter": r"\p{Script=Latin}(?![\p{Script=Inherited}\p{Script=Latin}])\p{M}",
    "two tone marks": r"\p{InSC=Tone_Mark}\p{InSC=Tone_Mark}",
    "two vowel signs": r"(?=\p{M})\p{InSC=Vowel_Dependent}(?=\p{M})\p{InSC=Vowel_Dependent}",
    "virama before a vowel sign": r"[\p{InSC=Virama}\p{InSC=Invisible_Stacker}](?=\p{M})\p{InSC=Vowel_Dependent}",
    "stacker before nothing": r"\p{InSC=Invisible_Stacker}(?!\p{L})",
    "lead vowel before no consonant": r"[เ-ไເ-ໄ](?![\p{Script=Thai}\p{Script=Lao}])",
    "lead jamo before no jamo": r"[\u1100-\u115f](?![\u1100-\u11a7])",
    "vowel jamo after no jamo": r"(?<![\u1100-\u11a7])[\u1160-\u11a7]",
    "tail jamo after no jamo": r"(?<![\u1160-\u11ff])[\u11a8-\u11ff]",
    "vowel sign on a vowel letter": r"(?=[\u0900-\u0dff])\p{InSC=Vowel_Independent}\p{InSC=Vowel_Dependent}",
    "two nasal signs": r"\p{InSC=Bindu}\p{InSC=Bindu}",
    "two Arabic vowel points": r"[\u064b-\u0650\u0652]\u0651?[\u064b-\u0650\u0652]",
    "two Hebrew vowel points": r"[\u05b0-\u05bb\u05c7][\u05bc\u05bd\u05bf\u05c1\u05c2]*[\u05b0-\u05bb\u05c7]",
    "dot of shin elsewhere": r"(?<!\u05e9\p{M}*)[\u05c1\u05c2]",
    "joiner that joins nothing": r"(?<!\p{InSC=Virama})[\u200c\u200d](?![\p{L}\p{M}\p{So}\p{Extended_Pictographic}])",
    "surrogate": r"[\ud800-\udfff]",
    "line break": r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
    "tab": r"\t",
    "quote": r"\"",
}
DECOMPOSED_FAULTS = {  # in NFD
    "mark twice": r"(\p{M})\p{M}*\1",
    "two tones of a Latin letter": r"[\u0300\u0301\u0303\u0309]\p{M}*[\u0300\u0301\u0303\u0309]",
    "two shapes of a Latin vowel": r"[\u0302\u0306\u031b]\p{M}*[\u0302\u0306\u031b]",
}
COMPILED = {name: regex.compile(pattern) for name, pattern in FAULTS.items()}
DECOMPOSED = {name: regex.compile(pattern) for name, pattern in DECOMPOSED_FAULTS.items()}
KEPT = regex.compile(r"\d|(?:https?://|www\.)\S+|[\w.]+@[\w.]+|\p{Extended_Pictographic}\ufe0f?|\p{Nl}")


def faults(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    found = {name: len(pattern.findall(composed)) for name, pattern in COMPILED.items()}
    return Counter(found | {name: len(pattern.findall(decomposed)) for name, pattern in DECOMPOSED.items()})


def new_faults(clean, noised, op=""):
    """{fault: how many more the noised text has}; a text in a normal form must stay in it."""
    more = dict(faults(noised) - faults(clean))
    if op == "invisible":  # its joiners join nothing on purpose
        more.pop("joiner that joins nothing", 0)
    form = next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, clean)), None)
    return more | ({f"no longer in {form}": 1} if form and not unicodedata.is_normalized(form, noised) else {})


def kept(text):
    """Digits, addresses and emoji, which no operation may change."""
    return KEPT.findall(text)


def levenshtein(a, b):
    """Edit distance of two sequences: Myers' bit vectors (1999, as Hyyrö 2003 has them), a row per integer."""
    positions, last, mask = {}, 1 << max(0, len(a) - 1), (1 << len(a)) - 1
    for i, x in enumerate(a):
        positions[x] = positions.get(x, 0) | 1 << i
    plus, minus, score = mask, 0, len(a)
    for y in b if a else ():
        same = positions.get(y, 0)
        diagonal = (((same & plus) + plus) ^ plus) | same | minus
        up, down = minus | (mask & ~(diagonal | plus)), plus & diagonal
        score += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & mask, (down << 1) & mask
        plus, minus = down | (mask & ~(diagonal | up)), up & diagonal
    return score if a else len(b)


def error_rate(pairs):
    """Grapheme error rate of [(clean, noised)], computed without the edit log."""
    cluster = regex.compile(r"\X")
    split = [(cluster.findall(clean), cluster.findall(noised)) for clean, noised in pairs]
    return sum(levenshtein(a, b) for a, b in split) / sum(len(a) for a, _ in split)
