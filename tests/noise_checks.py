"""What no noise may do to a text, checked independently of noise/scripts.py, for test_noise.py and test_perturb.py."""

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
    "surrogate": r"[\ud800-\udfff]",
    "line break": r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
    "tab": r"\t",
    "quote": r"\"",
}
COMPILED = {name: regex.compile(pattern) for name, pattern in FAULTS.items()}
KEPT = regex.compile(r"\d|(?:https?://|www\.)\S+|[\w.]+@[\w.]+|\p{Extended_Pictographic}")


def faults(text):
    return Counter({name: len(pattern.findall(text)) for name, pattern in COMPILED.items()})


def new_faults(clean, noised):
    """{fault: how many more the noised text has}."""
    return dict(faults(noised) - faults(clean))


def kept(text):
    """Digits, addresses and emoji, which no operation may change."""
    return KEPT.findall(text)


def levenshtein(a, b):
    """Edit distance of two sequences, in rows."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (x != y)))
    return row[-1]


def error_rate(pairs):
    """Grapheme error rate of [(clean, noised)], computed without the edit log."""
    cluster = regex.compile(r"\X")
    split = [(cluster.findall(clean), cluster.findall(noised)) for clean, noised in pairs]
    return sum(levenshtein(a, b) for a, b in split) / sum(len(a) for a, _ in split)
