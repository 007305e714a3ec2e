"""Which edits a text gets: places and operations in random order until the rate is spent.

`random(n)` draws an integer below n. An edit is (first, last, new): new for units[first:last].
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from noise.scripts import CLUSTER

VERSION = "2"  # of every draw: raise it when the same key gives other noise
GUESSES = 16  # places that are drawn at random before an operation's places are gone through one by one
WORDS_OF = Struct("<16I").unpack  # BLAKE2b's 64 bytes as 16 integers of 32 bits


def stream(key):
    """A function random(n) -> integer in [0, n), from a key: the digits of its BLAKE2b hash, and of that hash's.

    It stands in for random.Random, which takes as long to seed as all the rest of a text's noise.
    """
    digest = blake2b(key.encode("utf-8", "surrogatepass")).digest()
    draw = [*WORDS_OF(digest)].pop

    def random(n):
        nonlocal digest, draw
        try:
            return draw() * n >> 32
        except IndexError:
            digest = blake2b(digest).digest()
            draw = [*WORDS_OF(digest)].pop
            return draw() * n >> 32

    return random


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


def touches(blocked, start, end):
    """Whether characters start to end meet a blocked range; blocked: (sorted starts, ends) or None."""
    if blocked is None:
        return False
    begins, stops = blocked
    after = bisect_left(begins, end)  # the first range that begins at the end of the edit or later
    return after > 0 and stops[after - 1] > start


class Choice(NamedTuple):
    """An operation that may be drawn."""

    op: str
    propose: Callable  # units, place, random -> edit or None, see noise/proposals.py
    cost: int  # the edit distance that its edits usually have
    places: Callable | None  # units -> where it may apply; None: anywhere


class Mix:
    """Operations to draw from by their shares. The shares are those of the edits that are made: see select_edits."""

    SLOTS = 2000

    def __init__(self, shares):
        """shares: {Choice: its share, in any unit}"""
        total = sum(shares.values()) or 1
        self.shares = {choice.op: share / total for choice, share in shares.items()}
        counts = {choice: round(self.SLOTS * share / total) for choice, share in shares.items()}
        self.choices = [choice for choice, count in counts.items() for _ in range(count)]
        self.double = sum(share for choice, share in shares.items() if choice.cost == 2) / total
        self.most = 2 if self.double else 1

    def chance(self, left):
        """Of one more edit, such that it spends on average what is left, whichever operation comes and whatever it
        costs: left / E[max(cost, left)]. A swap is not refused more often for costing 2, which would lower its share.
        """
        return left / ((1 - self.double) * max(1, left) + self.double * max(2, left)) if left > 0 else 0


def select_edits(mix, units, budget, random, limits):
    """([(first, last, new, operation)], spent): edits at random places until the budget, in grapheme edits,
    is spent.

    The operation is drawn first and then sought a place, so that it keeps its share however rare its places are; one
    that has none in this text is drawn again. The last edit comes with the probability that its remainder of the
    budget has: the expected rate is exact however short the text is. Edits leave their neighbors alone, so that
    distances of separate edits add up. limits: edit -> edit or None, or None where all are allowed.
    """
    choices, pools, taken, spent, chosen = mix.choices, {}, set(), 0, []
    while choices:
        left = budget - spent
        if left < mix.most and random(1 << 32) >= mix.chance(left) * (1 << 32):
            break
        while choices:
            choice = choices[random(len(choices))] if len(choices) > 1 else choices[0]
            if edit := find(choice, units, taken, pools, random, limits):
                break
            choices = [other for other in choices if other is not choice]
        else:
            break
        first, last, new = edit
        cost = distance("".join(units[first:last]), new)
        if cost > left and cost > choice.cost and random(1 << 32) * cost >= max(choice.cost, left) * (1 << 32):
            break
        spent += cost
        taken.update(range(first, last))
        chosen.append((first, last, new, choice.op))
    return chosen, spent


def find(choice, units, taken, pools, random, limits):
    """An edit of the operation at a random place that is free; None where there is none left in this text."""
    pool = pools.get(choice.op)
    guesses = GUESSES if pool is None and choice.places is None else 0
    while True:
        if guesses:
            guesses -= 1
            place = random(len(units))
        else:
            if pool is None:
                pool = pools[choice.op] = list(choice.places(units) if choice.places else range(len(units)))
            if not pool:
                return None
            draw = random(len(pool))
            place, pool[draw] = pool[draw], pool[-1]
            pool.pop()
        edit = choice.propose(units, place, random)
        if not edit or (taken and not taken.isdisjoint(range(edit[0] - 1, edit[1] + 1))):
            continue
        if limits is None or (edit := limits(edit)):
            return edit


def select_places(propose, places, units, rate, random, limits):
    """([(first, last, new)], how many places there are): a share of the places that the operation can change."""
    free = [place for place in places if (edit := propose(units, place, random)) and (limits is None or limits(edit))]
    size, left, taken, chosen = len(free), len(free) * rate, set(), []
    while free and left > 0 and (left >= 1 or random(1 << 32) < left * (1 << 32)):
        draw = random(len(free))
        place, free[draw] = free[draw], free[-1]
        free.pop()
        edit = propose(units, place, random)
        edit = edit and limits(edit) if limits else edit
        if edit and taken.isdisjoint(range(edit[0], edit[1])):
            left -= 1
            taken.update(range(edit[0], edit[1]))
            chosen.append(edit)
    return chosen, size
