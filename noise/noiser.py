"""What noise is: operations on grapheme clusters, script rules, calibrated rates, one offset map.

    from noise import Noiser
    noiser = Noiser("keyboard", level=2, lang="th", seed=0)
    text, spans, edits = noiser("สวัสดีครับ", key="example 7", spans=[(0, 6)])

The same (seed, op, level, lang, key) and text give the same noise on every machine, in any order and any process;
there is no global state. Edits never overlap and are recorded as (start, old, new) in characters of the clean text, so
that one map moves every offset. `noise.operations.OPERATIONS` is the table of all operations; perturb.py noises files.
"""

from bisect import bisect_left, bisect_right
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

import regex

from noise import draws1, tables
from noise.draws import VERSION, select_edits, select_places, stream
from noise.files import NoiseError, nearest
from noise.legal import Limits
from noise.operations import EDIT, OPERATIONS, mix_of, not_applicable
from noise.scripts import Neighbors, segment

# URLs, e-mail addresses, @names, #tags, and host names without a protocol
PROTECTED = regex.compile(
    r"(?:\w+://|www\.)[^\s<>\"、。，]+"
    r"|[\w.%+-]{1,64}@[\w.-]+"
    r"|[@#][\w\p{M}]+"
    r"|[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}\.(?:com|org|net)\b[^\s、。，]*"
)
PROTECTED_SIGNS = (
    "@",
    "#",
    "://",
    "www.",
    ".com",
    ".org",
    ".net",
)  # a text without any of them has nothing to protect


make = tuple.__new__  # of a NamedTuple: half the time of its constructor, for every text


class Edit(NamedTuple):
    start: int  # in characters of the clean text
    old: str
    new: str


class Noised(NamedTuple):
    text: str
    spans: list  # [(start, end)] in characters of the noised text
    edits: list  # of Edit, by start
    size: int  # what the rate is a share of: clusters, places or words
    spent: int  # how much of it the edits changed
    ops: list  # the operation of each edit; in `mixed` it is one of several


class Offsets:
    """Where characters of the clean text went. A span moves by its ends; an end inside an edit takes all of it in."""

    def __init__(self, edits):
        self.starts = [edit.start for edit in edits]
        self.ends = [edit.start + len(edit.old) for edit in edits]
        self.shifts = list(accumulate((len(edit.new) - len(edit.old) for edit in edits), initial=0))

    def start(self, position):
        before = bisect_right(self.ends, position)
        inside = before < len(self.starts) and self.starts[before] < position
        return (self.starts[before] if inside else position) + self.shifts[before]

    def end(self, position):
        before = bisect_left(self.starts, position)
        inside = before > 0 and self.ends[before - 1] > position
        return (self.ends[before - 1] if inside else position) + self.shifts[before]

    def span(self, start, end):
        return self.start(start), self.end(end)


class Noiser:
    """noiser(text, key, spans, protect) -> (noised text, moved spans, edits).

    op: a key of OPERATIONS; level: 0 to 5, or rate: 0 to 1; lang: ISO code as in XTREME's files
    script: ISO 15924 code, for a language that noise/tables.py does not know
    table: {word: [replacements]} of codeswitch, profile, and ime in Chinese
    one_token: the text is tokens with a line break between them, and stays so: none is split, breaks are not counted
    scale, factors: multiply the rate, and the shares of `mixed` ({operation: factor}), with the same draws; perturb.py
        uses them where a file misses its targets
    draws: 2, or 1 for the noise of version 1, see noise/draws1.py

    Raises NoiseError for unknown values and where the operation does not apply to the language.
    """

    def __init__(
        self, op, level=None, lang="en", seed=0, *, rate=None, script=None, table=None, one_token=False, scale=1.0,
        factors=None, draws=2,
    ):  # fmt: skip
        if op not in OPERATIONS:
            raise NoiseError(f"unknown operation {op!r}; {nearest(op, OPERATIONS)}")
        if rate is None and (type(level) is not int or not 0 <= level < len(EDIT)):
            raise NoiseError(f"level {level!r}: must be an integer from 0 to {len(EDIT) - 1}, or give a rate")
        if draws not in (1, int(VERSION)):
            raise NoiseError(f"draws {draws!r}: must be 1 or {VERSION}")
        if rate is not None and not 0 <= rate <= 1:
            raise NoiseError(f"rate {rate!r}: must be from 0 to 1")
        self.script = script or tables.SCRIPT_OF.get(lang)
        if self.script is None:
            raise NoiseError(f"unknown language {lang!r}; give its script, e.g. script='Latn'")
        reason = not_applicable(op, lang, self.script, table)
        if reason:
            raise NoiseError(f"operation {op} for {lang}: {reason}; choose another operation")
        self.op, self.lang, self.table, self.one_token = op, lang, table, one_token
        self.rate = OPERATIONS[op].rates[level] if rate is None else rate
        self.scale = scale
        self.keys = Neighbors(lang, self.script)
        self.places = OPERATIONS[op].places
        self.propose = OPERATIONS[op].make(self)
        self.mix, self.draws = mix_of(self, factors or {}), draws
        self.prefix = f"{draws}|{seed}|{op}|{level if rate is None else rate}|{lang}|"
        self.hashed = blake2b(self.prefix.encode())

    def __call__(self, text, key="", spans=(), protect=()):
        """spans, protect: [(start, end)] in characters. Spans move with the text and never become empty; what is
        protected stays as it is. The key names the draw: another key, another noise.
        """
        return self.noise(text, key, spans, protect)[:3]

    def noise(self, text, key="", spans=(), protect=()):
        """The same as a Noised, with the counts from which the rate that came out is computed."""
        for start, end in (*spans, *protect) if spans or protect else ():
            if not 0 <= start <= end <= len(text):
                raise NoiseError(
                    f"span ({start}, {end}): not within a text of {len(text)} characters; spans are (start, end) "
                    "with start <= end"
                )
        units, starts, size = segment(text)
        blocked = self._blocked(text, spans, protect)
        chosen, size, spent = self._draw(text, units, starts, size, blocked, key)
        if not chosen:
            return make(Noised, (text, list(spans), [], size, 0, []))
        chosen.sort()
        edits, ops, parts, done = [], [], [], 0
        for first, last, new, op in chosen:
            start, end = (first, last) if starts is None else (starts[first], starts[last])
            edits.append(make(Edit, (start, text[start:end], new)))
            ops.append(op)
            parts += (text[done:start], new)
            done = end
        moved = [Offsets(edits).span(*span) for span in spans] if spans else []
        return make(Noised, ("".join(parts) + text[done:], moved, edits, size, spent, ops))

    def _draw(self, text, units, starts, size, blocked, key):
        """([(first, last, new, operation)], size, spent)"""
        if self.draws == 1:
            chosen, size, spent = draws1.select(
                self, units, starts, size, blocked, draws1.stream(f"{self.prefix}{key}")
            )
            return [(*edit, self.op) for edit in chosen], size, spent
        plain = blocked is None and starts is None and text.isascii()
        limits, rate = None if plain else Limits(text, units, starts, blocked), self.rate * self.scale
        if self.places:
            places = self.places(units, self)
            chosen, size = select_places(self.propose, places, units, rate, stream(self.hashed, key), limits)
            return [(*edit, self.op) for edit in chosen], size, len(chosen)
        if self.one_token:
            size -= text.count("\n")
        chosen, spent = select_edits(self.mix, units, size * rate, stream(self.hashed, key), limits)
        return chosen, size, spent

    def _blocked(self, text, spans, protect):
        """Character ranges that no edit may touch, as (sorted starts, ends), disjoint; None where there are none.

        They are what the caller protects, spans that one edit could empty, and PROTECTED with the spaces around.
        """
        blocked = [*protect, *(span for span in spans if span[1] - span[0] <= 2)] if spans or protect else []
        for sign in PROTECTED_SIGNS:  # done for every text: a plain loop is faster than any()
            if sign in text:
                blocked += [(match.start() - 1, match.end() + 1) for match in PROTECTED.finditer(text)]
                break
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
