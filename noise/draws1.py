"""The draws of version 1, for noise that was published with it: Noiser(draws=1), perturb.py --draws 1.

It counts line breaks between tagged tokens as graphemes, and lets `mixed` drop an operation that does not apply where
it was drawn, so that rare ones get less than their share. Keyboards and tables are today's.
"""

from hashlib import blake2b

from noise.draws import distance
from noise.protection import hit


def stream(key):
    """A function random(n) -> integer in [0, n), from a key: BLAKE2b seeds a 64-bit linear congruential generator."""
    state = int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

    def random(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF  # Knuth's MMIX
        return (state >> 32) * n >> 32

    return random


def select(noiser, units, starts, size, blocked, random):
    """([(first, last, new)], size, spent): edits at places in random order until the rate is spent."""
    propose, margin, places = noiser.propose, 1, None
    if noiser.places:
        free = (
            place
            for place in noiser.places(units, noiser)
            if (edit := propose(units, place, random)) and not hit(blocked, edit, starts)
        )
        places, margin = list(free), 0
        size = len(places)
    budget, spent = size * noiser.rate * noiser.scale, 0
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
