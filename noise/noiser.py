"""What noise is: operations on grapheme clusters, script rules, calibrated rates, one offset map.

    from noise import Noiser
    noiser = Noiser("keyboard", level=2, lang="th", seed=0)
    text, spans, edits = noiser("สวัสดีครับ", key="example 7", spans=[(0, 6)])
    edits = noiser.candidates("สวัสดีครับ")  # all that it could do, one at a time

The same (seed, op, level, lang, key) and text give the same noise on every machine, in any order and any process;
there is no global state. Edits never overlap and are recorded as (start, old, new) in characters of the clean text, so
that one map moves every offset. `noise.operations.OPERATIONS` is the table of all operations; perturb.py noises files.
"""

from bisect import bisect_left, bisect_right
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from noise import draws1, tables
from noise.candidates import candidate_edits, distinct
from noise.draws import VERSION, select_edits, select_places, stream
from noise.entries import Entries
from noise.files import NoiseError, nearest
from noise.legal import Limits
from noise.operations import EDIT, OPERATIONS, mix_of, not_applicable
from noise.protection import blocked_ranges, may_hold, user_patterns
from noise.scripts import Neighbors, segment

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
    table: {word: [replacements]} of codeswitch, profile, ime and ocr
    one_token: the text is tokens with a line break between them, and stays so: none is split, breaks are not counted
    scale, factors: multiply the rate, and the shares of `mixed` ({operation: factor}), with the same draws; perturb.py
        uses them where a file misses its targets
    draws: 2, or 1 for the noise of version 1, see noise/draws1.py

    patterns, words: regular expressions and words that stay as they are

    Raises NoiseError for unknown values and where the operation does not apply to the language.
    """

    def __init__(
        self, op, level=None, lang="en", seed=0, *, rate=None, script=None, table=None, one_token=False, scale=1.0,
        factors=None, draws=2, patterns=(), words=(),
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
        self.scale, self.target = scale, self.rate * scale
        self.patterns = user_patterns(patterns, words, self.script)
        self.looks = bool(self.patterns) or self.script in ("Hans", "Jpan")  # in any text for what is protected
        self.entries = Entries(table, lang, self.script) if table else None
        self.keys = Neighbors(lang, self.script)
        self.places = OPERATIONS[op].places
        self.propose = OPERATIONS[op].make(self)
        self.mix, self.draws = mix_of(self, factors or {}), draws
        self.prefix = f"{draws}|{seed}|{op}|{level if rate is None else rate}|{lang}|"
        self.hashed = blake2b(self.prefix.encode())
        self.plain = draws > 1 and not self.places and not one_token  # all graphemes count

    def __call__(self, text, key="", spans=(), protect=()):
        """spans, protect: [(start, end)] in characters. Spans move with the text and never become empty; what is
        protected stays as it is. The key names the draw: another key, another noise.
        """
        return self._noise(text, key, spans, protect)[:3]

    def noise(self, text, key="", spans=(), protect=()):
        """The same as a Noised, with the counts from which the rate that came out is computed."""
        return Noised(*self._noise(text, key, spans, protect))

    def _noise(self, text, key, spans, protect):
        units, starts, size = segment(text)
        blocked = None
        if self.looks or spans or protect or may_hold(text):
            blocked = self._blocked(text, spans, protect)
        limits = None
        if blocked is not None or starts is not None or not text.isascii():
            limits = Limits(text, units, starts, blocked)
        if self.plain:
            chosen, spent = select_edits(self.mix, units, size * self.target, stream(self.hashed, key), limits)
        else:
            chosen, size, spent = self._draw(text, units, starts, size, limits, key)
        if not chosen:
            return text, list(spans), [], size, 0, []
        if starts is not None:
            chosen = [(starts[first], starts[last], new, op) for first, last, new, op in chosen]
        chosen.sort()
        noised, edits, ops, done = "", [], [], 0
        for start, end, new, op in chosen:
            noised += text[done:start] + new
            edits.append(make(Edit, (start, text[start:end], new)))
            ops.append(op)
            done = end
        moved = [Offsets(edits).span(*span) for span in spans] if spans else []
        return noised + text[done:], moved, edits, size, spent, ops

    def _draw(self, text, units, starts, size, limits, key):
        """([(first, last, new, operation)], size, spent)"""
        if self.draws == 1:
            blocked, random = limits and limits.blocked, draws1.stream(f"{self.prefix}{key}")
            chosen, size, spent = draws1.select(self, units, starts, size, blocked, random)
            return [(*edit, self.op) for edit in chosen], size, spent
        drawn = stream(self.hashed, key)
        if self.places:
            places = self.places(units, self)
            chosen, size = select_places(self.propose, places, units, self.target, drawn[1], limits)
            return [(*edit, self.op) for edit in chosen], size, len(chosen)
        size -= text.count("\n")  # between tokens
        chosen, spent = select_edits(self.mix, units, size * self.target, drawn, limits)
        return chosen, size, spent

    def candidates(self, text, key="", spans=(), protect=()):
        """[Edit]: every distinct single edit that the operation can make to the text, by start, old and new.

        For `mixed` those of its operations. Of edits that give the same text the first stands for all. A place with
        more than candidates.MOST possible draws (a long word to shuffle) gives those that the key draws. Level, rate
        and scale change nothing; spans and protect as in a call.
        """
        blocked, edits = self._blocked(text, spans, protect), set()
        for op in self.mix.shares:
            other = self
            if op != self.op:
                other = Noiser(op, 0, self.lang, script=self.script, table=self.table, one_token=self.one_token)
            edits |= candidate_edits(other, text, blocked, stream(self.hashed, key)[1])
        return [Edit(start, text[start:end], new) for start, end, new in distinct(text, edits)]

    def _blocked(self, text, spans, protect):
        """The ranges that no edit may touch; NoiseError for spans that the text does not have."""
        for start, end in (*spans, *protect) if spans or protect else ():
            if not 0 <= start <= end <= len(text):
                raise NoiseError(
                    f"span ({start}, {end}): not within a text of {len(text)} characters; spans are (start, end) "
                    "with start <= end"
                )
        return blocked_ranges(text, self.script, self.patterns, spans, protect)
