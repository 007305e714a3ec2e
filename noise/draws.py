"""Which edits a text gets: places and operations in random order until the rate is spent.

The operation is drawn first and then sought a place, so that it keeps its share however rare its places are; one that
has none in the text is drawn again. One more edit comes with the probability left / E[max(cost, left)], whichever it
will be: so on average what is left is spent, however short the text is, and a swap, which costs 2, does not lose its
share to the others.

`random(n)` draws an integer below n; in select_edits, where most of the time goes, that is spelled out as long as
integers are left. An edit is (first, last, new): new for units[first:last]. `limits` gives an edit or None for an
edit; it is None where all edits are allowed.
"""

import sys
from array import array
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from noise.scripts import CLUSTER

VERSION = "2"  # of every draw: raise it when the same key gives other noise
COIN = 1 << 24  # draws of a probability
GUESSES = range(16)  # places that are drawn at random before an operation's places are gone through one by one


def stream(hashed, key):
    """(integers, random) of a BLAKE2b object that has the first part of a key, and the rest of the key: an array of
    integers of 32 bits, the next one last, and random(n) -> integer in [0, n), which takes the next and refills it.

    It stands in for random.Random, which takes as long to seed as all the rest of a text's noise.
    """
    hashed = hashed.copy()
    hashed.update(key.encode("utf-8", "surrogatepass"))
    digest = hashed.digest()
    integers = array("I", digest)
    pop = integers.pop
    if sys.byteorder == "big":
        integers.byteswap()

    def random(n):
        nonlocal digest
        if not integers:  # go on with the hash of the hash
            digest = blake2b(digest).digest()
            integers.frombytes(digest)
            if sys.byteorder == "big":
                integers.byteswap()
        return pop() * n >> 32

    return integers, random


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


class Choice(NamedTuple):
    """An operation that may be drawn."""

    op: str
    propose: Callable  # units, place, random -> edit or None, see noise/proposals.py
    cost: int  # the edit distance that its edits usually have
    places: Callable | None  # units -> where it may apply; None: anywhere


class Mix:
    """Operations to draw from, by their shares of the edits that are made."""

    SLOTS = 2000

    def __init__(self, shares):
        """shares: {Choice: its share, in any unit}"""
        total = sum(shares.values()) or 1
        self.shares = {choice.op: share / total for choice, share in shares.items()}
        # Plain tuples: they are taken apart for every edit, which with NamedTuples takes four times as long.
        self.choices = [tuple(choice) for choice in shares for _ in range(round(self.SLOTS * self.shares[choice.op]))]
        self.several = len(set(self.choices))
        self.double = sum(self.shares[choice.op] for choice in shares if choice.cost == 2)


def select_edits(mix, units, budget, drawn, limits):
    """([(first, last, new, operation)], spent): edits at random places until the budget of grapheme edits is spent."""
    (integers, random), choices, several = drawn, mix.choices, mix.several
    pop, double, slots, count, single = integers.pop, mix.double, len(choices), len(units), isinstance(units, str)
    spent, pools, taken, chosen = 0, {}, bytearray(count + 1), []
    while (left := budget - spent) > 0:
        if left < 2 and (double or left < 1):
            mean = 1 + double if left < 1 else left + double * (2 - left)
            if random(COIN) * mean >= left * COIN:
                break
        # An operation, and a place for it: most will do, so guess before all are looked at.
        edit = None
        while edit is None:
            slot = 0 if several == 1 else pop() * slots >> 32 if integers else random(slots)
            op, propose, usual, places = choice = choices[slot]
            if places is None and op not in pools:
                for _ in GUESSES:
                    place = pop() * count >> 32 if integers else random(count)
                    if taken[place] or (edit := propose(units, place, random)) is None:
                        continue
                    free = limits is None and edit[0] == place and edit[1] == place + 1
                    if free or (edit := fitting(edit, taken, limits)):
                        break
            if edit is None and (edit := find(choice, units, taken, pools, random, limits)) is None:
                if len(pools) == several and not any(pools.values()):  # nothing is left to do
                    return chosen, spent
        # What it costs; half of an edit that costs too much is drawn, as above.
        first, last, new = edit
        if single and last - first == 1 and (len(new) < 2 or (len(new) == 2 and units[first] in new)):
            cost = 1
        else:
            cost = distance(units[first:last] if single else "".join(units[first:last]), new)
        if cost > left and cost > usual and random(COIN) * cost >= max(usual, left) * COIN:
            break
        spent += cost
        taken[first - 1] = taken[first] = taken[last] = 1
        for place in range(first + 1, last):
            taken[place] = 1
        chosen.append((first, last, new, op))
    return chosen, spent


def find(choice, units, taken, pools, random, limits):
    """An edit of the operation at a random one of all its places; None where there is none left in this text."""
    op, propose, _, places = choice
    if op not in pools:
        pools[op] = list(places(units) if places else range(len(units)))
    pool = pools[op]
    while pool:
        draw = random(len(pool))
        place, pool[draw] = pool[draw], pool[-1]
        pool.pop()
        if not taken[place] and (edit := propose(units, place, random)):
            if edit := fitting(edit, taken, limits):
                return edit
    return None


def fitting(edit, taken, limits):
    """The edit, if it lies beside no other, so that distances of edits add up, and its limits allow it; else None."""
    if taken.find(1, edit[0], edit[1]) < 0:
        return limits(edit) if limits else edit
    return None


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
