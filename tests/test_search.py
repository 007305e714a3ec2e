"""Exact search in blocks: the same neighbors whatever the blocks, equals in the order of their indices."""

import numpy as np
import pytest
import torch

from common import launching
from common.search import neighbors, top_k


def by_hand(x, y, k):
    """(similarities, indices) of a stable sort of all similarities."""
    similarities = x @ y.T
    indices = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, indices, axis=1), indices


@pytest.mark.parametrize("block", [1, 5, 16, 100])
@pytest.mark.parametrize("draw", ["distinct", "equals"])
def test_neighbors_are_exact_in_blocks(draw, block):
    """`equals`: small integers, so that every row has many equal similarities, also across blocks and at rank k."""
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal((n, 8)).astype("float32") for n in (37, 23))
    if draw == "equals":
        x, y = np.round(x[:, :2]), np.round(y[:, :2])
    for k in (1, 4, 50):
        (values, indices), (back_values, back_indices) = neighbors(x, y, k, block)
        for found, side in (((values, indices), (x, y)), ((back_values, back_indices), (y, x))):
            expected = by_hand(*side, k)
            assert np.allclose(found[0], expected[0], atol=1e-6) and (found[1] == expected[1]).all()
        assert (top_k(x, y, k, block)[1] == indices).all()


@pytest.mark.parametrize("draw", ["distinct", "equals", "all equal"])
def test_the_best_of_many_columns_are_exact(draw):
    """With many columns only chunks of them are looked at, also in the transposed direction."""
    generator = np.random.default_rng(1)
    x, y = (generator.standard_normal((n, 3)).astype("float32") for n in (300, 611))
    if draw != "distinct":
        x, y = np.round(x) * (draw == "equals"), np.round(y)
    for k in (1, 4):
        for found, side in zip(neighbors(x, y, k), ((x, y), (y, x))):
            expected = by_hand(*side, k)
            assert np.allclose(found[0], expected[0], atol=1e-6) and (found[1] == expected[1]).all()


def test_search_runs_on_the_device_of_the_run(monkeypatch):
    """With --use_cpu that is the CPU, also where a GPU is there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launching, "search_device", lambda: torch.device("cpu"))
    vectors = np.eye(3, dtype=np.float32)
    assert top_k(vectors, vectors, 1)[1][:, 0].tolist() == [0, 1, 2]
