"""What scripts print: aligned tables, hints for misspelt values, output that `| head` may cut off."""

import difflib
import json
import os
import re
import sys
import unicodedata


def similar(value, choices, number=1):
    """At most `number` of the choices that are spelled like a value, the nearest first."""
    return difflib.get_close_matches(str(value), list(choices), n=number, cutoff=0.5)


def nearest(value, choices):
    """A hint for a misspelt value: "; did you mean 'panx'?" or nothing."""
    near = similar(value, choices)
    return f"; did you mean {near[0]!r}?" if near else ""


def has_text(line):
    """Whether a line has more than blanks and characters without a width, which tokenize to nothing."""
    return any(unicodedata.category(char)[0] not in "CZ" for char in line)


def aligned(lines, left=(0,)):
    """Rows of a table as lines of text: the columns `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    sides = [str.ljust if column in left else str.rjust for column in range(len(widths))]
    return ["  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths)).rstrip() for line in lines]


def plain_markdown(words):
    """Words for Markdown, in one line, without any meaning to it or to HTML; an underscore within a word has none."""
    return re.sub(r"[\\`*{}\[\]<>#|~&$!]|(?<!\w)_|_(?!\w)", r"\\\g<0>", " ".join(str(words).split()))


def fenced(text, language=""):
    """A block of code in Markdown, with a fence that the text does not have."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


YAML_WORDS = "y n yes no on off true false null".split()


def yaml_scalar(words):
    """A text as YAML: as it is where nothing in it could mean something, else in quotes (JSON's are YAML's)."""
    plain = re.fullmatch(r"(\.\.?/)?[A-Za-z/][\w./-]*", words) and words.lower() not in YAML_WORDS
    return words if plain else json.dumps(words, ensure_ascii=False)


def show(text):
    """Print to stdout; silently cut off where its reader has gone (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # Python flushes stdout once more at its end, and would complain then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
