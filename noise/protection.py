"""What no edit may touch: addresses, placeholders, codes, Chinese and Japanese number words, and what the user names.

Every pattern looks at each character a bounded number of times: a run of letters is entered at its beginning only and
never given back (`++`), so that a long text takes time in proportion.
"""

import re
import unicodedata
from bisect import bisect_left
from functools import cache

import regex

from noise import tables
from noise.files import NoiseError

# Of the local part of an e-mail address; not letters of scripts whose words run together.
NAME = r"[[\w\p{M}.%+-]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]]"
REST = r"[^\s<>\"、。，]"  # of a URL
CASED = r"[\p{Lu}\p{Ll}]"
CODE = r"[\p{Lu}\p{Ll}\d/._-]"
# Last part of a host without a protocol: any country's two letters, and common ones of more
DOMAINS = "com|org|net|edu|gov|mil|int|info|biz|name|app|dev|tech|online|shop|site|blog|news"
# A sign, without which there is nothing to find, and what is found by it
KINDS = {
    "://": rf"(?<![a-zA-Z\d+.-])[a-zA-Z][a-zA-Z\d+.-]*+://{REST}++",  # https://...
    "www.": rf"(?<![\w.-])www\.{REST}++",
    "@": rf"(?<!{NAME}){NAME}++@[\w.-]++|@[\w\p{{M}}]++",  # e-mail, @user
    "#": r"#[\w\p{M}]++",
    ".": r"(?<![\w.@-])[a-zA-Z\d-]++(?:\.[a-zA-Z\d-]++)++"  # bbc.co.uk, ipa.go.jp/x
    rf"(?<=\.(?:[a-z][a-z]|(?i:{DOMAINS})))(?:[:/?#]{REST}*+)?",
    "{": r"[$%]?\{[^{}\n]{1,64}\}",  # {name}
    "<": r"</?[a-zA-Z][^<>\n]{0,200}>",  # <br/>
    "[": r"\[[A-Z][A-Z\d_-]{0,31}\]",  # [ID]
    # %s, %(name)s, %NAME%
    "%": r"%(?:\(\w{1,32}\)|\d\$)?[-+0#]?\d{0,3}(?:\.\d{1,2})?[sdifgexrc](?!\p{L})|%[A-Za-z_]{1,32}%",
    "&": r"&(?:[a-zA-Z]{2,8}|#\d{1,6});",  # &amp;
}
PATTERNS = {sign: regex.compile(kind, regex.V1) for sign, kind in KINDS.items()}
# 1234-12CAR-12, COVID-19, 5G: digits beside letters, or beside a capital and a hyphen; looked for where digits are
CODES = regex.compile(rf"(?<!{CODE})(?={CODE}*?(?:\d{CASED}|{CASED}\d|\p{{Lu}}-\d|\d-\p{{Lu}})){CODE}++", regex.V1)
CODED = re.compile(r"(?<!\S)[^\s0-9]*+[0-9]\S*+")  # a word with digits
MIXED_UP = re.compile(r"[0-9](?:(?<=[^\W\d_][0-9])|(?<=[^\W\d_]-[0-9])|(?=-?[^\W\d_]))")  # a letter beside a digit
DOTTED = re.compile(r"\.[a-zA-Z]{2}")
NUMBERS = re.compile(f"[{tables.NUMERALS}]+")


def protected(text):
    """[(start, end)] of addresses, placeholders and codes."""
    spans = []
    for sign, pattern in PATTERNS.items():
        if sign in text and (sign != "." or DOTTED.search(text)):
            spans += [match.span() for match in pattern.finditer(text)]
    for word in CODED.finditer(text) if MIXED_UP.search(text) else ():
        spans += [match.span() for match in CODES.finditer(text, *word.span())]
    return spans


def may_hold(text):
    """Whether protected() could find something. Every text is asked, so this is spelled out: `in` is quickest."""
    return (
        ("@" in text or "#" in text or "%" in text or "&" in text or "<" in text or "[" in text or "{" in text)
        or "://" in text
        or ("." in text and (DOTTED.search(text) or "www." in text))
        or (
            ("0" in text or "1" in text or "2" in text or "3" in text or "4" in text or "5" in text)
            or ("6" in text or "7" in text or "8" in text or "9" in text)
        )
        and MIXED_UP.search(text)
    )  # fmt: skip


def user_patterns(expressions, words, script):
    """The user's regular expressions, and their words as one, compiled. Raises NoiseError for what is no expression.

    A word is one between its borders, where the script has any; longer words come first.
    """
    patterns = [compiled(expression) for expression in expressions]
    if words:
        forms = {unicodedata.normalize(form, word) for word in words for form in ("NFC", "NFD")}
        border = "" if script in tables.WITHOUT_SPACES else r"[\p{L}\p{M}]"
        borders = (f"(?<!{border})", f"(?!{border})") if border else ("", "")
        patterns.append(regex.compile(rf"{borders[0]}\L<words>{borders[1]}", words=forms))
    return patterns


@cache
def compiled(expression):
    try:
        return regex.compile(expression)
    except regex.error as error:
        raise NoiseError(f"--protect {expression!r}: not a regular expression ({error}); correct it") from None


def blocked_ranges(text, script, patterns, spans, protect):
    """Character ranges that no edit may touch, as (sorted starts, ends), disjoint; None where there are none.

    They are what the caller protects, spans that one edit could empty, and with the spaces around what protected()
    and the user's patterns find.
    """
    blocked = [(start - 1, end + 1) for start, end in protected(text)] if may_hold(text) else []
    if spans or protect:
        blocked += [*protect, *(span for span in spans if span[1] - span[0] <= 2)]
    if script in ("Hans", "Jpan"):
        blocked += [match.span() for match in NUMBERS.finditer(text)]
    for pattern in patterns:
        for start, end in (match.span() for match in pattern.finditer(text)):
            blocked.append((start - text.endswith(" ", 0, start), end + text.startswith(" ", end)))
    if not blocked:
        return None
    starts, ends = [], []
    for start, end in sorted(blocked):
        if ends and start < ends[-1]:
            ends[-1] = max(ends[-1], end)
        elif start < end:
            starts.append(start)
            ends.append(end)
    return starts, ends


def hit(blocked, edit, starts):
    """Whether an edit of units touches a blocked range; starts as of segment()."""
    if blocked is None:
        return False
    start, end = edit[:2] if starts is None else (starts[edit[0]], starts[edit[1]])
    begins, stops = blocked
    after = bisect_left(begins, end)  # the first range that begins at the end of the edit or later
    return after > 0 and stops[after - 1] > start
