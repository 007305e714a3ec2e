"""The intervals of run_alignment.py cover the truth in 93 to 97 of 100 simulated runs, for every metric."""

import numpy as np
import pytest
import torch

from alignment.cell import Lines, Side, measure


def simulated(random, n, width=24):
    """(pivot, clean, noised) float32 [n, width]: translations with noise of their own, then moved alike and each."""
    scales = np.linspace(2, 0.5, width)  # some directions vary more, as in encoders
    pivot = random.normal(size=(n, width)) * scales
    clean = pivot + 1.6 * random.normal(size=(n, width)) + 3
    noised = clean + 1.2 * random.normal(size=(n, width)) + 0.25
    return [torch.from_numpy(side.astype(np.float32)) for side in (pivot, clean, noised)]


def covered(n, runs):
    """{metric: share of runs whose interval holds the mean over all runs}."""
    random, found = np.random.default_rng(5), {}
    lines = Lines([str(i) for i in range(n)], [str(i) for i in range(n)], (), [True] * n)
    for _ in range(runs):
        texts = simulated(random, n)
        pivot, clean = (Side(side, lines.distinct) for side in texts[:2])
        noised = Side(texts[2], lines.distinct, clean.mean)
        before, kept = measure(pivot, clean, lines, 0)
        after, _ = measure(pivot, noised, lines, 0, clean, kept)
        for name, one in {**{f"{name} clean": one for name, one in before.items()}, **after}.items():
            found.setdefault(name, []).append((one.value, one.low, one.high))
    shares = {}
    for name, rows in found.items():
        value, low, high = np.array(rows, float).T
        shares[name] = float(((low <= value.mean()) & (value.mean() <= high)).mean())
    return shares


def test_every_interval_covers_roughly():
    shares = covered(100, 60)
    assert len(shares) > 30
    assert all(share >= 0.85 for share in shares.values()), shares


@pytest.mark.slow
def test_every_interval_covers():
    shares = covered(300, 1000)
    print("\n".join(f"{name:32s} {100 * share:.1f}" for name, share in shares.items()))
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
