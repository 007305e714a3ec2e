"""The pipeline around the model: three stages at once, in order, whatever fails; batches of tensors from Arrow."""

import threading

import numpy as np
import pytest
import torch
from datasets import Dataset

from common.batching import Collator
from common.prediction import length_batches
from common.ragged import Columns
from common.stream import AHEAD, BEHIND, stream


def test_stages_work_at_the_same_time_on_few_items_and_in_order():
    events, finished, started, most = [], threading.Event(), threading.Event(), 0
    prepared = computed = done = 0

    def prepare(item):
        nonlocal prepared, most
        prepared += 1
        most = max(most, prepared - done)
        if item == 1:
            started.set()
        return item * 10

    def compute(item, value):
        nonlocal computed
        assert threading.current_thread() is threading.main_thread() and value == item * 10
        if item == 0:
            assert started.wait(10)  # the next one is prepared meanwhile
        if item == 1:
            finished.set()  # the one before waits for this in `finish`
        computed += 1
        return value + 1

    def finish(item, value):
        nonlocal done
        if item == 0:
            assert finished.wait(10)
        events.append((item, value))
        done += 1

    stream(range(50), prepare, compute, finish)
    assert events == [(item, item * 10 + 1) for item in range(50)]
    assert most <= AHEAD + BEHIND + 2  # so memory does not grow with their number


@pytest.mark.parametrize("stage", ["prepare", "compute", "finish"])
def test_an_error_of_any_stage_comes_out_and_what_was_computed_is_finished(stage):
    finished = []

    def at(name):
        def step(item, *values):
            if (name, item) == (stage, 5):
                raise ValueError(f"{name} {item}")
            if name == "finish":
                finished.append(item)
            return item

        return step

    with pytest.raises(ValueError, match=f"{stage} 5"):
        stream(range(20), at("prepare"), at("compute"), at("finish"))
    assert finished[:5] == [0, 1, 2, 3, 4]
    assert stage == "finish" or finished == [0, 1, 2, 3, 4]


ROWS = {
    "flat": [
        {"input_ids": [0, 7, 8, 2], "token_type_ids": [0, 0, 1, 1], "labels": [-100, 3, 4, -100], "context": [1, 3]},
        {"input_ids": [0, 2], "token_type_ids": [0, 1], "labels": [-100, 5], "context": [1, 1]},
        {"input_ids": [0, 9, 2], "token_type_ids": [0, 0, 0], "labels": [1, 2, 3], "context": [0, 2]},
    ],
    "choices": [
        {"input_ids": [[0, 7, 2], [0, 2]], "token_type_ids": [[0, 0, 1], [0, 1]], "labels": 1},
        {"input_ids": [[0, 2], [0, 8, 9, 2], [0, 2]], "token_type_ids": [[0, 0], [0, 1, 1, 1], [1, 1]], "labels": 0},
    ],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_batches_from_arrow_are_those_of_lists(rows):
    columns, collate = Columns(Dataset.from_list(rows), Collator.columns), Collator(1)
    for indices in ([0], [1, 0], list(range(len(rows)))[::-1]):
        batch = collate.tensors(columns.take(indices))
        same = collate([rows[index] for index in indices])
        assert batch.keys() == same.keys()
        for name, value in batch.items():
            assert torch.equal(value, same[name]) and value.dtype == same[name].dtype, name


def test_choices_are_padded_in_both_ways():
    batch = Collator(1)(ROWS["choices"])
    assert batch["input_ids"].tolist() == [
        [[0, 7, 2, 1], [0, 2, 1, 1], [1, 1, 1, 1]],
        [[0, 2, 1, 1], [0, 8, 9, 2], [0, 2, 1, 1]],
    ]
    assert batch["attention_mask"][0].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]
    assert batch["choice_mask"].tolist() == [[True, True, False], [True, True, True]]
    assert batch["labels"].tolist() == [1, 0]


def test_a_batch_holds_as_many_tokens_as_are_allowed():
    lengths = np.random.default_rng(0).integers(4, 128, 9999)
    batches = length_batches(lengths, 64, max_tokens=2048)
    assert sorted(index for batch in batches for index in batch) == list(range(9999))
    sizes = [len(batch) * lengths[batch].max() for batch in batches]
    assert max(sizes) <= 2048 and max(map(len, batches)) > 64
    assert [len(batch) for batch in length_batches(np.array([500, 500, 3]), 64, max_tokens=100)] == [1, 1, 1]
