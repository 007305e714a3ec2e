"""What is measured in one cell (language, condition) of a run: every metric at one layer, with interval and floor."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from alignment import intervals, measures
from common.search import neighbors

KERNEL_LINES = 4000  # CKA, ANC and RSA compare the first so many lines: their matrices are lines x lines in float64


class Estimate(NamedTuple):
    """A value with its 95 % interval, its floor (the same from shuffled lines; None where that says nothing), and the
    number of lines that it rests on.
    """

    value: float | None
    low: float | None
    high: float | None
    floor: float | None
    n: int


class Side:
    """One text at one layer: x float32 [lines, width], and what measures need of it, computed once.

    It is centered at its own mean; `mean` [width] is another: noised text is centered at that of the clean text, so
    that a shift which all lines have in common is not hidden. `distinct` are the lines without repeated pairs.
    """

    def __init__(self, x, distinct, mean=None):
        self.x, self.distinct = x, distinct
        self.mean = x.mean(0) if mean is None else mean

    @cached_property
    def raw(self):
        return measures.unit(self.x)

    @cached_property
    def unit(self):
        return measures.unit(self.x - self.mean)

    @cached_property
    def own(self):
        """Rows of length 1 after centering at the text's own mean."""
        return measures.unit(self.x - self.x.mean(0))

    @cached_property
    def gram(self):
        return measures.gram(self.x[self.distinct])

    @property
    def z(self):
        return measures.z_scored(self.x[self.distinct])

    @cached_property
    def gram_z(self):
        return measures.gram(self.z)

    @cached_property
    def ranks(self):
        return measures.ranks(self.x[self.distinct])


class Lines:
    """What is known of a language's lines: which are translations of each other, which noise changed.

    `pivot` and `own` are the clean texts; a candidate whose text equals the right one's, on either side, is right too.
    """

    def __init__(self, pivot, own, repeated, changed=None, device="cpu"):
        self.groups = [torch.from_numpy(np.unique(side, return_inverse=True)[1]).to(device) for side in (pivot, own)]
        self.distinct = torch.tensor(sorted(set(range(len(own))) - set(repeated))[:KERNEL_LINES], device=device)
        self.changed = None if changed is None else torch.tensor(changed, device=device)  # bool [lines]

    def __len__(self):
        return len(self.groups[0])

    def right(self, candidates):
        """Whether each line's candidate [lines] is a translation of it."""
        return (self.groups[0][candidates] == self.groups[0]) | (self.groups[1][candidates] == self.groups[1])

    @cached_property
    def chance(self):
        """Percent of right candidates when lines are shuffled."""
        both = torch.unique(torch.stack(self.groups), dim=1, return_inverse=True)[1]
        sizes = [torch.bincount(group)[group] for group in (*self.groups, both)]
        return 100 * float((sizes[0] + sizes[1] - sizes[2]).float().mean()) / len(self)


def nearest(x, y, k=1):
    """(cosines, indices) of the k nearest of unit rows in both directions, tensors [lines, k]."""
    device = x.device
    sides = neighbors(x.cpu().numpy(), y.cpu().numpy(), k)
    return [tuple(torch.from_numpy(array).to(device) for array in side) for side in sides]


def retrieval(x, y, lines):
    """({"cos", "cos_from_pivot", "csls", "csls_from_pivot": right [lines]}, the k nearest in y of every row of x)."""
    forward, backward = nearest(x, y, measures.CSLS_NEIGHBORS)
    by_csls = nearest(*measures.csls_vectors(x, y, forward[0].mean(1), backward[0].mean(1)))
    best = {"cos": forward, "cos_from_pivot": backward, "csls": by_csls[0], "csls_from_pivot": by_csls[1]}
    return {name: lines.right(indices[:, 0]) for name, (_, indices) in best.items()}, forward[1]


def against_pivot(pivot, side, lines):
    """({metric: values [lines]}, {metric: floor}, nearest pivot lines) of clean or noised text: means over lines."""
    right, near = retrieval(side.unit, pivot.unit, lines)
    raw = nearest(side.raw, pivot.raw)
    right |= {name: lines.right(index[:, 0]) for name, (_, index) in zip(("raw", "raw_from_pivot"), raw)}
    hits = {f"top1_{name}": 100.0 * own for name, own in right.items()}
    gaps = {
        "pair_gap": measures.pair_gaps(side.unit, pivot.unit),
        "pair_gap_raw": measures.pair_gaps(side.raw, pivot.raw),
    }
    return hits | gaps, dict.fromkeys(hits, lines.chance) | dict.fromkeys(gaps, 0.0), near


def against_clean(pivot, clean, noised, lines, nears, hits):
    """({metric: values [lines]}, {metric: floor}) of noised text beside the clean; `nears` are both texts' nearest
    pivot lines, `hits` their top-1 by CSLS.
    """
    own, _ = retrieval(noised.own, pivot.unit, lines)
    centered = {f"top1_{name}_own_mean": 100.0 * own[name] for name in ("csls", "cos")}
    alike, floors = {}, dict.fromkeys(centered, lines.chance)
    for name, vectors in (("self_similarity", noised.unit), ("self_similarity_own_mean", noised.own)):
        alike[name] = (clean.unit * vectors).sum(1)
        floors[name] = float(measures.mean_of_others(clean.unit, vectors))
    was, now = (side > 0 for side in hits)
    flips = {"lost": 100.0 * (was & ~now), "gained": 100.0 * (~was & now)}
    common, shuffled = measures.overlaps(*nears, len(lines))
    return centered | alike | flips | {"overlap": 100 * common}, floors | {"overlap": 100 * shuffled}


def measure(pivot, side, lines, seed, clean=None, before=None):
    """({metric: Estimate} of one layer, what a later comparison needs): `side` is clean text, or noised text where
    `clean` and `before`, what this function gave for it, are there.
    """
    columns, floors, near = against_pivot(pivot, side, lines)
    if clean is not None:
        hits = before["columns"]["top1_csls"], columns["top1_csls"]
        more = against_clean(pivot, clean, side, lines, (before["near"], near), hits)
        columns, floors = columns | more[0], floors | more[1]
    low, high = intervals.of_means(torch.stack(list(columns.values()), dim=1), seed)
    result = {
        name: Estimate(float(values.mean()), low[index], high[index], floors.get(name), len(lines))
        for index, (name, values) in enumerate(columns.items())
    }
    kernels, cka_halves = of_kernels(pivot, side, lines, seed)
    result |= kernels
    if clean is not None:
        result |= of_noise(clean, side, lines, columns, before, result, seed)
    return result, {"near": near, "columns": columns, "estimates": result, "cka_halves": cka_halves}


def of_kernels(pivot, side, lines, seed):
    """({"cka", "cka_z", "rsa", "anc": Estimate}, CKA of the halves) of distinct lines."""
    n, (anc, influences) = len(lines.distinct), measures.neuron_correlations(side.z, pivot.z)
    halves = intervals.halves(n, seed, side.x.device)
    (low,), (high,) = intervals.of_means(anc + influences[:, None], seed)
    result = {"anc": Estimate(anc, low, high, -anc / (n - 1), n)}
    order = intervals.shuffle(n, seed).to(halves.device)
    kept = measures.cka_of_halves(side.gram, pivot.gram, halves)
    again_z = measures.cka_z_of_halves(side.z, pivot.z, side.gram_z, pivot.gram_z, halves)
    for name, own, other, again in (
        ("cka", side.gram, pivot.gram, kept),
        ("cka_z", side.gram_z, pivot.gram_z, again_z),
    ):
        value, floor = measures.cka(own, other), measures.cka(own, other[order][:, order])
        result[name] = Estimate(value, *intervals.of_halves(value, again), floor, n)
    again, value = measures.rsa_of_halves(side.ranks, pivot.ranks, halves), measures.rsa(side.ranks, pivot.ranks)
    floor = measures.rsa(side.ranks, pivot.ranks[order][:, order])
    result["rsa"] = Estimate(value, *intervals.of_halves(value, again), floor, n)
    return result, kept


def of_noise(clean, noised, lines, columns, before, result, seed):
    """{"shift", "stability", and both of the lines that noise changed: Estimate}.

    Stability is the ratio of noised to clean top-1 by CSLS; there is none where the clean one is not above its floor.
    """
    n = len(lines)
    value = measures.shift(clean.x, noised.x)
    again = measures.shift_of_halves(clean.x, noised.x, intervals.halves(n, seed, clean.x.device))
    made = {"shift": Estimate(value, *intervals.of_halves(value, again, 0.0, float("inf")), 0.0, n)}
    aligned = before["estimates"]["top1_csls"]
    changed = lines.changed
    for name, chosen in (("stability", torch.ones_like(changed)), ("stability_changed", changed)):
        now, was = columns["top1_csls"] * chosen, before["columns"]["top1_csls"] * chosen
        number = int(chosen.sum())
        if aligned.low > aligned.floor and was.sum() > 0:
            interval = intervals.of_ratio(now, was, seed)
            made[name] = Estimate(float(now.sum() / was.sum()), *interval, None, number)
        else:
            made[name] = Estimate(None, None, None, None, number)
    own = columns["self_similarity"][changed]
    if len(own):
        low, high = intervals.of_means(own[:, None], seed)
        floor = result["self_similarity"].floor
        made["self_similarity_changed"] = Estimate(float(own.mean()), low[0], high[0], floor, len(own))
    return made
