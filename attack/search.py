"""The search: worst-of-k random edits, greedy, beam, as one loop over rounds. Round e tries texts with e edits.

The first round tries single edits, drawn by hash; so do all three. After it greedy and beam know what single edits do,
and extend their texts first by those that lowered the margin most; one that was not tried counts as the mean of them.

An example is broken when its margin is below 0. A sentence with tags has parts that break one by one, its words: then
the search goes on, and the more are broken the lower is the margin.

All examples' queries of a round are one flat stream. Margins from batches differ in their last bits with the batch, so
they only say between which ends a margin lies. Texts that may be the best are measured again, each alone and in
float32, and what is decided rests on that; what single edits do is rounded to steps, and measured again near the
border of one. So results do not depend on batch size, order or processes.
"""

from hashlib import blake2b
from math import floor
from typing import NamedTuple

from noise.draws import stream

# (how far apart a margin's ends from batches are, the steps that single edits are ranked by), in float32 or 16 bits
TOLERANCE = {False: (1e-4, 0.02), True: (0.1, 1.0)}
VERSION = 2  # of what is searched: files of another one are attacked anew
TRIES = 4  # draws per wanted text of random edits, some of which touch each other or repeat


class Plan(NamedTuple):
    attack: str  # random, greedy or beam
    edits: int  # E, at most
    queries: int  # Q per example, at most
    beam: int
    seed: int


class State(NamedTuple):
    """A text that was tried: its edits, and what the model says of it."""

    chosen: tuple  # of Candidate
    margin: float
    broken: frozenset  # which parts of the example are broken: its words, or {0}; empty unless the margin is below 0
    tokens: bytes  # the fingerprint of its token ids


class Example:
    """One example under attack. `path` [State] is the worst text found with at most 0, 1, ... edits."""

    def __init__(self, number, name, texts, candidates):
        self.number, self.name, self.texts, self.candidates = number, name, texts, candidates
        self.path, self.beam, self.queries = [], [], 0
        self.parts, self.whole = 1, True  # how many parts can break, whether all are right at first
        self.gains = {}  # Candidate -> (by how much it alone changes the margin, which parts it alone breaks)

    @property
    def right(self):
        return self.path[0].margin > 0

    @property
    def broken_at(self):
        """The fewest edits that break a part of it, None where none do."""
        return next((edits for edits, state in enumerate(self.path) if self.right and state.broken), None)

    @property
    def goes_on(self):
        return self.right and len(self.path[-1].broken) < self.parts


def search(examples, plan, victim):
    """Attack Examples, which are filled in. The victim has

    clean([example]) -> [(margin, broken, tokens)] of the texts as they are
    parts(example) -> (how many parts of it can break, whether all are right), known after `clean`
    alone([(example, chosen)]) -> [(margin, broken, tokens)] of edited texts, each by itself in float32
    flat([(example, chosen)]) -> [(lower end, upper end)] of the same from batches, None for a text whose tokens are
        those of a beam's
    step -> the steps of single edits' margins
    """
    for example, reading in zip(examples, victim.clean(examples)):
        example.path = example.beam = [State((), *reading)]
        example.parts, example.whole = victim.parts(example)
    for turn in range(1, plan.edits + 1):
        live = [example for example in examples if example.goes_on]
        asked = [(example, chosen) for example in live for chosen in proposals(example, turn, plan)]
        tried = {example.number: [] for example in live}
        for (example, chosen), ends in zip(asked, victim.flat(asked)):
            if ends is not None:
                example.queries += 1
                tried[example.number].append(tuple(State(chosen, *end) for end in ends))
        again = [(example, chosen) for example in live for chosen in contenders(tried[example.number], plan.beam)]
        measured = {example.number: [] for example in live}
        for (example, chosen), reading in zip(again, victim.alone(again)):
            measured[example.number].append(State(chosen, *reading))
        for example in live:
            decide(example, measured[example.number], plan.beam)
        if turn == 1 and plan.attack != "random":
            rank([example for example in live if example.goes_on], tried, victim)


def rank(live, tried, victim):
    """Fill in the gains of Examples from their single edits."""
    near = [
        (example, low.chosen)
        for example in live
        for low, high in tried[example.number]
        if low.broken != high.broken or floor(low.margin / victim.step) != floor(high.margin / victim.step)
    ]
    exact = {(example.number, chosen): reading for (example, chosen), reading in zip(near, victim.alone(near))}
    for example in live:
        clean = example.path[0].margin
        for low, _ in tried[example.number]:
            margin, broken, _ = exact.get((example.number, low.chosen), low[1:])
            example.gains[low.chosen[0]] = floor(margin / victim.step) * victim.step - clean, broken


def proposals(example, turn, plan):
    """The edits [(Candidate, ...)] of the texts to try in a round, at most the round's share of the budget.

    Greedy and beam try in later rounds what the control draws, but for the sets that promise less than untried edits:
    in their place stand their best texts with one more edit. So luck finds for them what it finds for the control.
    """
    share = (plan.queries - example.queries) // (plan.edits - turn + 1)
    key = blake2b(f"{plan.seed}|{example.name}|{turn}|".encode())
    sets = drawn(example.candidates, turn, share, key) if turn > 1 and example.candidates else []
    if plan.attack == "random" and turn > 1:
        return sets
    promise, clean = promises(example), example.path[0]
    hopes = {chosen: promise(clean, chosen) for chosen in sets}
    untried = promise(clean, [None] * turn)
    extended = {}  # edits -> what to expect; the most where several texts lead there
    for state in example.beam:
        for candidate in example.candidates:
            if not any(candidate.touches(other) for other in state.chosen):
                chosen = tuple(sorted((*state.chosen, candidate)))
                expected = promise(state, [candidate])
                extended[chosen] = min(expected, extended.get(chosen, expected))
    kept = [chosen for chosen in sets if hopes[chosen] <= untried]
    best = sorted(extended, key=lambda chosen: (extended[chosen], digest(key, chosen)))
    return list(dict.fromkeys([*kept, *best, *sorted(sets, key=hopes.get)]))[:share]


def promises(example):
    """A function (state, candidates) -> what to expect of a text with more edits, for sorting: the most broken parts,
    then the lowest margin. An edit that was not tried counts as the mean; one that breaks what is broken, nothing.
    """
    gains = example.gains
    usual = sum(gain for gain, _ in gains.values()) / max(1, len(gains)), frozenset()

    def promise(state, candidates):
        margin, broken = state.margin, state.broken
        for gain, own in (gains.get(candidate, usual) for candidate in candidates):
            margin += 0 if own and own <= broken else gain
            broken = broken | own
        return -len(broken), margin

    return promise


def digest(key, chosen):
    hashed = key.copy()
    hashed.update(repr([candidate[:4] for candidate in chosen]).encode("utf-8", "surrogatepass"))
    return hashed.digest()


def drawn(candidates, turn, wanted, key):
    """At most `wanted` different random sets of `turn` candidates that do not touch each other."""
    random, sets = stream(key, "")[1], {}
    for _ in range(TRIES * wanted):
        if len(sets) == wanted:
            break
        chosen = []
        for _ in range(TRIES * turn):
            candidate = candidates[random(len(candidates))]
            if not any(candidate.touches(other) for other in chosen):
                chosen.append(candidate)
            if len(chosen) == turn:
                sets[tuple(sorted(chosen))] = True
                break
    return list(sets)


def contenders(tried, beam):
    """The edits of those tried, as (lower end, upper end) from batches, that may be decisive: one of the `beam`
    lowest margins, or the lowest of those that break most parts with as many changed graphemes.
    """
    if not tried:
        return []
    kept = within(tried, sorted(high.margin for _, high in tried)[:beam][-1])
    most = max(1, *(len(high.broken) for _, high in tried))
    broken = [ends for ends in tried if len(ends[0].broken) >= most]
    for graphemes in {size(low.chosen) for low, _ in broken}:
        alike = [ends for ends in broken if size(ends[0].chosen) == graphemes]
        kept |= within(alike, min(high.margin for _, high in alike))
    return [low.chosen for low, _ in tried if low.chosen in kept]


def within(tried, limit):
    return {low.chosen for low, _ in tried if low.margin <= limit}


def size(chosen):
    return sum(candidate.cost for candidate in chosen)


def decide(example, measured, beam):
    """What a round has found; `measured` are the contenders, by the order in which they were tried."""
    best = sorted(measured, key=lambda state: state.margin)[:beam]  # stable: of equal ones the first
    most = max((len(state.broken) for state in measured), default=0)
    if most:
        broken = [state for state in measured if len(state.broken) == most]
        best = [min(broken, key=lambda state: (size(state.chosen), state.margin)), *best]
    example.beam = list(dict.fromkeys(best))[:beam] or example.beam
    example.path = [*example.path, min([example.path[-1], *best[:1]], key=lambda state: state.margin)]
