"""The pipeline around the model: three stages at once, in order, whatever fails; batches of tensors from Arrow."""

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

from common.batching import Collator, LengthGroupedSampler
from common.prediction import length_batches, length_step
from common.ragged import Columns
from common.recovery import Stopped
from common.stream import AHEAD, BEHIND, stream
from heads import Settings, retrieval


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


def test_an_error_behind_a_stop_is_not_lost():
    def compute(item, prepared):
        if item:
            raise Stopped("asked to")
        return item

    def finish(item, computed):
        time.sleep(0.1)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        stream(range(2), lambda item: item, compute, finish)


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


@pytest.mark.parametrize("collator", [Collator(1, length=256), Collator(1, step=32)])
def test_the_tokens_of_a_batch_are_those_with_its_padding(collator):
    lengths = np.random.default_rng(0).integers(4, 40, 999)
    for batch in length_batches(lengths, 64, 2048, collator.padded):
        tensors = collator([{"input_ids": [5] * lengths[index]} for index in batch])
        assert tensors["input_ids"].numel() <= 2048


@pytest.mark.parametrize("device, compiled, step", [("cpu", False, 1), ("cuda:1", False, 8), ("cuda", True, 16)])
def test_batches_have_few_lengths_where_every_new_one_costs(device, compiled, step):
    args = SimpleNamespace(device=torch.device(device), torch_compile=compiled)
    assert length_step(args, 128) == step


def like(mean, least, most, number=50000):
    """Lengths of a task's kind: log-normal."""
    lengths = np.random.default_rng(0).lognormal(np.log(mean) - 0.125, 0.5, number)
    return np.clip(lengths.astype(int), least, most)


@pytest.mark.parametrize(
    "lengths", [like(35, 6, 128), like(25, 4, 128), like(190, 30, 384)], ids=["nli", "tags", "qa"]
)
@pytest.mark.parametrize("batch_size", [4, 8, 32])
def test_eight_ranks_get_the_same_number_of_tokens(lengths, batch_size):
    """What a step takes, its rank with most tokens, against what it would with equal shares (random order: 1.6)."""
    ranks = 8
    order = np.array(list(LengthGroupedSampler(lengths, ranks * batch_size, seed=1)))
    steps = lengths[order[: len(order) // (ranks * batch_size) * ranks * batch_size]].reshape(-1, ranks, batch_size)
    assert (steps.sum(2).max(1) * ranks).sum() / steps.sum() <= 1.05
    assert (steps.max(2).max(1) * ranks * batch_size).sum() / steps.sum() <= 1.08  # with padding
    assert (steps.max(2) * batch_size).sum() / steps.sum() <= 1.01  # the padding alone


def test_a_text_is_embedded_once_for_all_conditions_and_both_sides(monkeypatch):
    asked = []

    def embedded(function, features, *args, **options):
        asked.append(features["input_ids"][:])
        return lambda: {"vector": [np.array([[len(ids), ids[1], 1.0]]) for ids in asked[-1]]}

    ids = {"a": [0, 5, 2], "b": [0, 6, 6, 2], "c": [0, 7, 2], "noised": [0, 8, 2], "of another language": [0, 9, 2]}
    monkeypatch.setattr(retrieval, "start_batches", embedded)
    monkeypatch.setattr(
        retrieval,
        "encode",
        lambda rows, *about: Dataset.from_dict({"input_ids": [ids[text] for text in rows["text"][:]]}),
    )
    args = SimpleNamespace(per_device_eval_batch_size=8, device="cpu", bf16=False, deepspeed=None, disable_tqdm=True)
    searcher = retrieval.Searcher(retrieval, (), Settings(16, 0, 1, 1), args, SimpleNamespace(pad_token_id=1))
    searcher.layers = [0]

    def vectors(language, source, english):
        sides = {"source": source, "english": english}
        rows = {side: Dataset.from_dict({"id": list(texts), "text": texts}) for side, texts in sides.items()}
        prepared = searcher.prepare({**rows, "gold": None, "lines": True}, language, "title")
        parts, _ = searcher.start(torch.nn.Identity(), prepared)()
        return {side: of_side[:, 0, 1].tolist() for side, (_, of_side) in parts["test"].items()}

    assert vectors("de", ["a", "b"], ["c", "a"]) == {"source": [5, 6], "english": [7, 5]}
    assert vectors("de", ["noised", "b"], ["c", "a"]) == {"source": [8, 6], "english": [7, 5]}
    assert vectors("de", ["a", "b"], ["c", "a"]) == {"source": [5, 6], "english": [7, 5]}  # nothing is new
    assert list(searcher.embedded.vectors) == ["a", "b", "c"]  # memory does not grow with conditions
    assert vectors("sw", ["of another language", "b"], ["c", "c"]) == {"source": [9, 6], "english": [7, 7]}
    names = {tuple(of_text): text for text, of_text in ids.items()}
    assert [[names[tuple(of_text)] for of_text in batch] for batch in asked] == [
        ["a", "b", "c"], ["noised"], ["of another language", "b", "c"]
    ]  # fmt: skip


@pytest.mark.slow
def test_the_pipeline_takes_a_tenth_of_a_small_encoders_prediction_at_most(toy, tmp_path):
    """Of one the size of multilingual-e5-small, with random weights; every language has the same text."""
    tokenizer = AutoTokenizer.from_pretrained(toy / "model")
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=1536, max_position_embeddings=514, type_vocab_size=1, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    for saved in (XLMRobertaModel(config), tokenizer):
        saved.save_pretrained(tmp_path / "model")
    copied = {
        "train-en": "train-en",
        "dev-en": "dev-en",
        **dict.fromkeys(("test-en", "test-de", "test-zh"), "test-en"),
    }
    (tmp_path / "data/xnli").mkdir(parents=True)
    for name, source in copied.items():
        shutil.copy(toy / f"xtreme/xnli/{source}.tsv", tmp_path / f"data/xnli/{name}.tsv")
    script = Path(__file__).resolve().parents[1] / "benchmarks/feeding.py"
    flags = f"--model {tmp_path}/model --data_dir {tmp_path}/data --tasks xnli --rows 1000 --no_train"
    flags += f" --output_file {tmp_path}/rates.json"
    subprocess.run([sys.executable, script, *flags.split()], check=True)
    rates = json.loads((tmp_path / "rates.json").read_text())["tasks"]["xnli"]
    assert rates["predict"] > 0.9 * rates["model"], rates
