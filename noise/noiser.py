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
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from noise import tables
from noise.candidates import candidate_edits, distinct, operations_of
from noise.files import NoiseError, nearest
from noise.operations import EDIT, OPERATIONS, not_applicable
from noise.protection import blocked_ranges, hit, user_patterns
from noise.scripts import CLUSTER, Neighbors, segment

VERSION = "1"  # part of every draw: change it when the same key gives other noise


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


@lru_cache(1 << 16)
def distance(old, new):
    """Levenshtein distance in grapheme clusters."""
    a, b = CLUSTER.findall(old), CLUSTER.findall(new)
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (x != y)))
    return row[-1]


def stream(key):
    """A function random(n) -> integer in [0, n), from a key.

    BLAKE2b seeds a 64-bit linear congruential generator, whose high bits are used. It stands in for random.Random,
    which takes as long to seed as all the rest of a text's noise.
    """
    state = int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

    def random(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF  # Knuth's MMIX
        return (state >> 32) * n >> 32

    return random


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
    table: {word: [replacements]} of codeswitch, profile, and ime in Chinese; one_token: they hold no white space
    scale: multiplies the rate without changing the draws; perturb.py uses it where a short file misses its target

    patterns, words: regular expressions and words that stay as they are

    Raises NoiseError for unknown values and where the operation does not apply to the language.
    """

    def __init__(
        self,
        op,
        level=None,
        lang="en",
        seed=0,
        *,
        rate=None,
        script=None,
        table=None,
        one_token=False,
        scale=1.0,
        patterns=(),
        words=(),
    ):
        if op not in OPERATIONS:
            raise NoiseError(f"unknown operation {op!r}; {nearest(op, OPERATIONS)}")
        if rate is None and (type(level) is not int or not 0 <= level < len(EDIT)):
            raise NoiseError(f"level {level!r}: must be an integer from 0 to {len(EDIT) - 1}, or give a rate")
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
        self.patterns = user_patterns(patterns, words, self.script)
        self.keys = Neighbors(lang, self.script)
        self.places = OPERATIONS[op].places
        self.propose = OPERATIONS[op].make(self)
        self.prefix = f"{VERSION}|{seed}|{op}|{level if rate is None else rate}|{lang}|"

    def __call__(self, text, key="", spans=(), protect=()):
        """spans, protect: [(start, end)] in characters. Spans move with the text and never become empty; what is
        protected stays as it is. The key names the draw: another key, another noise.
        """
        return self.noise(text, key, spans, protect)[:3]

    def noise(self, text, key="", spans=(), protect=()):
        """The same as a Noised, with the counts from which the rate that came out is computed."""
        blocked = self._blocked(text, spans, protect)
        units, starts, size = segment(text)
        chosen, size, spent = self._select(units, starts, size, blocked, stream(f"{self.prefix}{key}"))
        if not chosen:
            return Noised(text, list(spans), [], size, 0)
        edits, parts, done = [], [], 0
        for first, last, new in sorted(chosen):
            start, end = (first, last) if starts is None else (starts[first], starts[last])
            edits.append(Edit(start, text[start:end], new))
            parts += (text[done:start], new)
            done = end
        moved = [Offsets(edits).span(*span) for span in spans] if spans else []
        return Noised("".join(parts) + text[done:], moved, edits, size, spent)

    def candidates(self, text, key="", spans=(), protect=()):
        """[Edit]: every distinct single edit that the operation can make to the text, by start, old and new.

        For `mixed` those of its operations. Of edits that give the same text the first stands for all. A place with
        more than candidates.MOST possible draws (a long word to shuffle) gives those that the key draws. Level, rate
        and scale change nothing; spans and protect as in a call.
        """
        blocked, edits = self._blocked(text, spans, protect), set()
        for op in operations_of(self):
            if op == self.op:
                other = self
            elif not_applicable(op, self.lang, self.script, self.table):
                continue
            else:
                other = Noiser(op, 0, self.lang, script=self.script, table=self.table, one_token=self.one_token)
            edits |= candidate_edits(other, text, blocked, stream(f"{self.prefix}{key}"))
        return [Edit(start, text[start:end], new) for start, end, new in distinct(text, edits)]

    def _blocked(self, text, spans, protect):
        """The ranges that no edit may touch; NoiseError for spans that the text does not have."""
        for start, end in (*spans, *protect):
            if not 0 <= start <= end <= len(text):
                raise NoiseError(
                    f"span ({start}, {end}): not within a text of {len(text)} characters; spans are (start, end) "
                    "with start <= end"
                )
        return blocked_ranges(text, self.script, self.patterns, spans, protect)

    def _select(self, units, starts, size, blocked, random):
        """([(first, last, new)], size, spent): edits at places in random order until the rate is spent.

        The last edit is drawn with the probability that its remainder of the budget has, so the expected rate is exact
        however short the text is. An edit leaves its neighbors alone where clusters are counted: distances of separate
        edits add up.
        """
        propose, margin, places = self.propose, 1, None
        if self.places:
            free = (
                place
                for place in self.places(units, self)
                if (edit := propose(units, place, random)) and not hit(blocked, edit, starts)
            )
            places, margin = list(free), 0
            size = len(places)
        budget, spent = size * self.rate * self.scale, 0
        left = len(units) if places is None else size
        taken, moved, chosen = set(), {}, []
        while left and budget > spent:
            draw = random(left)  # a lazy shuffle: the place drawn leaves the row, the last one takes its seat
            left -= 1
            place, moved[draw] = moved.get(draw, draw), moved.get(left, left)
            edit = propose(units, place if places is None else places[place], random)
            if not edit:
                continue
            first, last, new = edit
            if (taken and not taken.isdisjoint(range(first - margin, last + margin))) or (
                blocked and hit(blocked, edit, starts)
            ):
                continue
            cost = 1 if places is not None else distance("".join(units[first:last]), new)
            if cost > budget - spent and random(1 << 32) * cost >= (budget - spent) * (1 << 32):
                break
            spent += cost
            taken.update(range(first, last))
            if cost:
                chosen.append(edit)
        return chosen, size, spent
