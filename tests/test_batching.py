"""Mixing: the requested shares, one data set per step, every batch a pure function of the seed and a count."""

import collections

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from mixture import data


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.07, 0.03], [0.64, 0.2, 0.1, 0.05, 0.01], [1.0]])
@pytest.mark.parametrize("seed", [0, 1, 42])
def test_observed_mixture_is_the_requested_one(shares, seed):
    observed = np.bincount(data.task_sequence(shares, seed, 5000), minlength=len(shares)) / 5000
    assert np.abs(observed - shares).max() < 0.005
    assert (np.abs(observed - shares) <= 0.02 * np.array(shares) + 1e-3).all()


def test_sequence_is_a_function_of_seed_and_step():
    whole = data.task_sequence([0.3, 0.7], 5, 1234)
    for steps in (1, 99, 100, 101, 777):
        assert (data.task_sequence([0.3, 0.7], 5, steps) == whole[:steps]).all()
    assert (data.task_sequence([0.3, 0.7], 6, 1234) != whole).any()
    assert 0.2 < (whole[1:] != whole[:-1]).mean() < 0.6  # in random order, not in turns


def test_shares():
    sizes = {"nli": {"mnli": 300, "anli": 100}, "squad": {"squad": 100}}
    weights = data.mixing_weights(sizes)
    assert weights == pytest.approx({"mnli": 0.6, "anli": 0.2, "squad": 0.2})
    assert data.mixing_weights(sizes, cap=100) == pytest.approx(dict.fromkeys(weights, 1 / 3))
    assert data.mixing_weights(sizes, "uniform") == pytest.approx({"mnli": 0.375, "anli": 0.125, "squad": 0.5})
    weights = data.mixing_weights(sizes, "temperature", temperature=2)
    assert weights == pytest.approx({"mnli": 0.5, "anli": 1 / 6, "squad": 1 / 3})
    weights = data.mixing_weights(sizes, given={"nli": 0.2, "squad": 0.8})
    assert weights == pytest.approx({"mnli": 0.15, "anli": 0.05, "squad": 0.8})


def test_steps_are_counted_per_data_set():
    assert data.mixture_steps([100, 50], epochs=3, batch_size=24) == 13 + 7  # ceil(300 / 24) + ceil(150 / 24)
    assert data.mixture_steps([100, 50], epochs=3, batch_size=24, cap=60) == 8 + 7
    assert data.mixture_steps([10], epochs=0.5, batch_size=24) == 1


@pytest.mark.parametrize("number, size", [(100, 8), (103, 8), (5, 8), (1, 4), (1000, 7)])
@pytest.mark.parametrize("group", [True, False])
def test_a_pass_holds_every_example_and_batches_are_full(number, size, group):
    lengths = np.random.default_rng(0).integers(5, 60, number)
    stream = data.TaskStream("mnli", lengths, size, seed=1, group_by_length=group)
    for visit in range(3):
        batches = [stream.batch(visit * stream.batches + index) for index in range(stream.batches)]
        assert all(len(rows) == size and of == visit for rows, of in batches)
        counts = collections.Counter(row for rows, _ in batches for row in rows)
        assert set(counts) == set(range(number))
        assert sum(counts.values()) - number == -number % size  # the last batch is filled up
        if number >= size:
            assert all(len(set(rows)) == size for rows, _ in batches)
    again = data.TaskStream("mnli", lengths, size, seed=1, group_by_length=group)
    assert again.batch(2 * stream.batches) == stream.batch(2 * stream.batches)  # whatever was asked for before
    if number > size:
        other = data.TaskStream("squad", lengths, size, seed=1, group_by_length=group)
        assert other.batch(0) != stream.batch(0)


def test_languages_are_sampled_by_the_power_of_their_text():
    languages = ["en"] * 900 + ["sw"] * 100
    stream = data.TaskStream("mlm", [10] * 1000, 10, seed=0, languages=languages, alpha=0.3)
    rows = np.array([row for index in range(stream.batches) for row in stream.batch(index)[0]])
    share = 900**0.3 / (900**0.3 + 100**0.3)
    assert (rows < 900).mean() == pytest.approx(share, abs=0.005)
    assert len(set(rows[rows >= 900])) == 100
    second = {row for index in range(stream.batches) for row in stream.batch(stream.batches + index)[0]}
    assert len({row for row in second if row < 900} - set(rows.tolist())) > 100  # another part of the large language


def keys_of(sampler, epochs):
    keys = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        keys += list(sampler)
    return keys


def mixture(size=8, epoch_steps=10):
    streams = [data.TaskStream(name, [9] * number, size, seed=3) for name, number in (("a", 50), ("b", 30))]
    return data.MixtureSampler(streams, [0.6, 0.4], 3, size, epoch_steps)


def test_every_step_is_of_one_data_set_and_epochs_go_on():
    keys = keys_of(mixture(), 3)
    steps = [keys[begin : begin + 8] for begin in range(0, len(keys), 8)]
    assert len(steps) == 30 and all(len({number for number, _, _ in step}) == 1 for step in steps)
    assert [step[0][0] for step in steps] == data.task_sequence([0.6, 0.4], 3, 30).tolist()
    assert keys_of(mixture(epoch_steps=30), 1) == keys  # epochs are a way of counting
    seen = collections.Counter(row for number, row, visit in keys if number == 0 and visit == 0)
    assert set(seen) == set(range(50))


def test_processes_and_accumulation_share_out_the_same_steps():
    whole = list(BatchSampler(mixture(), 8, False))
    # 2 processes x 2 accumulation steps x 2 examples
    shards = [list(BatchSamplerShard(BatchSampler(mixture(), 2, False), 2, rank)) for rank in range(2)]
    joined = [sum((shards[rank][2 * step + part] for part in range(2) for rank in range(2)), []) for step in range(10)]
    assert joined == whole
