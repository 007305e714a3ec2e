"""The search: worst-of-k random edits, greedy, beam, as one loop over rounds. Round e tries texts with e edits.

The first round tries single edits, drawn by hash; so do all three. After it greedy and beam know what single edits do,
and extend their texts first by those that lowered the margin most; one that was not tried counts as the mean of them.

All examples' queries of a round are one flat stream. Margins from batches differ in their last bits with the batch, so
they only say which texts are worth a second look: those within a tolerance of the best are measured again, each alone
and in float32, and what is decided rests on that; what single edits do is rounded to steps, and measured again near
the border of one. So results do not depend on batch size, order or processes.
"""

from hashlib import blake2b
from math import floor
from typing import NamedTuple

from noise.draws import stream

# (by how much a batch's margin may be off, the steps that single edits are ranked by), of logits in float32 or 16 bits
TOLERANCE = {False: (1e-4, 0.02), True: (0.1, 1.0)}
TRIES = 4  # draws per wanted text of random edits, some of which touch each other or repeat


class Plan(NamedTuple):
    attack: str  # random, greedy or beam
    edits: int  # E, at most
    queries: int  # Q per example, at most
    beam: int
    seed: int


class State(NamedTuple):
    """A text that was tried: its edits, its margin alone, the fingerprint of its token ids."""

    chosen: tuple  # of Candidate
    margin: float
    tokens: bytes


class Example:
    """One example under attack. `path` [State] is the worst text found with at most 0, 1, ... edits."""

    def __init__(self, number, name, texts, candidates):
        self.number, self.name, self.texts, self.candidates = number, name, texts, candidates
        self.path, self.beam, self.queries, self.broken_at = [], [], 0, None
        self.gains = {}  # Candidate -> by how much it alone changes the margin

    @property
    def right(self):
        return self.path[0].margin > 0


def search(examples, plan, victim):
    """Attack Examples, which are filled in. The victim has

    clean([example]) -> [(margin, tokens)] of the texts as they are
    alone([(example, chosen)]) -> the same of edited texts, each by itself in float32
    flat([(example, chosen)]) -> the same from batches, None for a text whose tokens are those of a beam's
    tolerance -> (by how much these may be off, the steps of ranks)
    """
    for example, state in zip(examples, victim.clean(examples)):
        example.path = example.beam = [State((), *state)]
    live = [example for example in examples if example.right]
    for turn in range(1, plan.edits + 1):
        asked = [(example, chosen) for example in live for chosen in proposals(example, turn, plan)]
        tried = {example.number: [] for example in live}
        for (example, chosen), answer in zip(asked, victim.flat(asked)):
            if answer is not None:
                example.queries += 1
                tried[example.number].append(State(chosen, *answer))
        again = [
            (example, state)
            for example in live
            for state in contenders(tried[example.number], plan.beam, victim.tolerance[0])
        ]
        exact = victim.alone([(example, state.chosen) for example, state in again])
        measured = {example.number: [] for example in live}
        for (example, state), (margin, _) in zip(again, exact):
            measured[example.number].append(state._replace(margin=margin))
        for example in live:
            decide(example, measured[example.number], turn, plan.beam)
        live = [example for example in live if example.broken_at is None]
        if turn == 1 and plan.attack != "random":
            rank(live, tried, victim)


def rank(live, tried, victim):
    """Fill in the gains of Examples from the margins of their single edits."""
    off, step = victim.tolerance
    near = [
        (example, state)
        for example in live
        for state in tried[example.number]
        if abs(state.margin / step - round(state.margin / step)) * step < off
    ]
    exact = victim.alone([(example, state.chosen) for example, state in near])
    margins = {(example.number, state.chosen): margin for (example, state), (margin, _) in zip(near, exact)}
    for example in live:
        for state in tried[example.number]:
            margin = margins.get((example.number, state.chosen), state.margin)
            example.gains[state.chosen[0]] = floor(margin / step) * step - example.path[0].margin


def proposals(example, turn, plan):
    """The edits [(Candidate, ...)] of the texts to try in a round, at most the round's share of the budget."""
    share = (plan.queries - example.queries) // (plan.edits - turn + 1)
    key = blake2b(f"{plan.seed}|{example.name}|{turn}|".encode())
    if plan.attack == "random" and turn > 1:
        return drawn(example.candidates, turn, min(share, len(example.candidates)), key)
    usual = sum(example.gains.values()) / max(1, len(example.gains))  # of an edit that was not tried
    extended = {}  # edits -> margin to expect; the lowest where several texts lead there
    for state in example.beam:
        for candidate in example.candidates:
            if not any(candidate.touches(other) for other in state.chosen):
                chosen = tuple(sorted((*state.chosen, candidate)))
                expected = state.margin + example.gains.get(candidate, usual)
                extended[chosen] = min(expected, extended.get(chosen, expected))
    return sorted(extended, key=lambda chosen: (extended[chosen], digest(key, chosen)))[:share]


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


def contenders(states, beam, tolerance):
    """The tried States, with margins from batches, that may be decisive: one of the `beam` lowest, or the lowest of
    those that break the example with as many changed graphemes.
    """
    if not states:
        return []
    kept = within(states, sorted(state.margin for state in states)[:beam][-1] + tolerance)
    broken = [state for state in states if state.margin < tolerance]
    for graphemes in {size(state) for state in broken}:
        alike = [state for state in broken if size(state) == graphemes]
        kept |= within(alike, min(state.margin for state in alike) + tolerance)
    return [state for state in states if state in kept]


def within(states, limit):
    return {state for state in states if state.margin <= limit}


def size(state):
    return sum(candidate.cost for candidate in state.chosen)


def decide(example, measured, turn, beam):
    """What a round has found; `measured` are the contenders, by the order in which they were tried."""
    broken = [state for state in measured if state.margin < 0]
    best = sorted(measured, key=lambda state: state.margin)[:beam]  # stable: of equal ones the first
    if broken:
        best = [min(broken, key=lambda state: (size(state), state.margin))]
        example.broken_at = turn
    example.beam = best or example.beam
    example.path = [*example.path, min([example.path[-1], *best[:1]], key=lambda state: state.margin)]
