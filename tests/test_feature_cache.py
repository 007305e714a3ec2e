"""Training features are encoded once per node: the same from the cache, for every process, whatever was killed."""

import fcntl
import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import datasets
import pytest
from datasets import Dataset

from common import feature_cache
from common.recovery import Stopped
from heads import Settings, head_of
from tasks import TARGETS

SETTINGS = Settings(16, 4, 20, 30)
ROWS = {
    "xnli": [{"id": "0", "text_a": "one two", "text_b": "three", "label": "neutral"}] * 3,
    "panx": [{"id": "0", "words": ["one", "two"], "tags": ["O", "B-PER"]}] * 3,
    "xquad": [
        {
            "id": str(number),
            "context": "one two three four five six seven eight nine ten " * 3,
            "question": "which",
            "answers": {"text": ["two"], "answer_start": [4]},
            "paragraph": 0,
        }
        for number in range(3)
    ],
}


@pytest.fixture
def tokenizer(toy):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(toy / "model")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    return tmp_path / "features"


def features(tokenizer, rows, settings=SETTINGS, task="xnli", made=None):
    head, labels = head_of(TARGETS[task]), TARGETS[task].labels

    def make():
        if made is not None:
            made.append(task)
        return head.encode(rows, tokenizer, labels, settings)

    return feature_cache.features_of(rows, tokenizer, (labels, vars(settings)), head, make)


@pytest.mark.parametrize("task", ROWS)
def test_they_are_the_same_and_made_once(tokenizer, task):
    rows, made = Dataset.from_list(ROWS[task]), []
    first, again = (features(tokenizer, rows, task=task, made=made) for _ in range(2))
    head = head_of(TARGETS[task])
    fresh = head.encode(rows, tokenizer, TARGETS[task].labels, SETTINGS)
    assert made == [task] and first.to_list() == again.to_list() == fresh.to_list()
    assert first.features == fresh.features


def test_what_decides_makes_them_anew(tokenizer, monkeypatch):
    rows, made = Dataset.from_list(ROWS["xnli"]), []
    features(tokenizer, rows, made=made)
    features(tokenizer, rows.select([0, 1]), made=made)
    features(tokenizer, rows, Settings(17, 4, 20, 30), made=made)
    tokenizer.truncation_side = "left"
    features(tokenizer, rows, made=made)
    tokenizer.truncation_side = "right"
    tokenizer.add_tokens(["three"])
    features(tokenizer, rows, made=made)
    tokenizer.cls_token = tokenizer.sep_token
    features(tokenizer, rows, made=made)
    monkeypatch.setattr(feature_cache.transformers, "__version__", "0")
    features(tokenizer, rows, made=made)
    assert len(made) == 7


@pytest.mark.parametrize("left", [0, 100, -8, 0.5])
def test_a_file_that_was_cut_is_made_again(tokenizer, folder, caplog, left):
    rows, made = Dataset.from_list(ROWS["xnli"] * 900), []
    first = features(tokenizer, rows, made=made).to_list()
    (path,) = folder.glob("*.arrow")
    size = path.stat().st_size
    os.truncate(path, size // 2 if left == 0.5 else left % size)
    assert features(tokenizer, rows, made=made).to_list() == first and len(made) == 2
    assert f"{path} is damaged" in caplog.text


def test_who_waits_says_so_and_stops_when_asked(tokenizer, folder, monkeypatch, caplog):
    caplog.set_level("INFO")
    folder.mkdir()
    monkeypatch.setattr(feature_cache, "sha256", lambda *parts: "name")
    monkeypatch.setattr(feature_cache, "stop_requested", lambda: True)
    with open(folder / "name.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Stopped):
            features(tokenizer, Dataset.from_list(ROWS["xnli"]))
    assert "waiting for another process" in caplog.text


def slow(counter, folder, seconds):
    datasets.config.HF_DATASETS_CACHE = folder

    def make():
        with open(counter, "a") as file:
            file.write("made\n")
        time.sleep(seconds)
        return Dataset.from_dict({"input_ids": [[1, 2]]})

    head = head_of(TARGETS["xnli"])
    backend = SimpleNamespace(to_str=lambda: "tokenizer", no_truncation=lambda: None)
    tokenizer = SimpleNamespace(backend_tokenizer=backend, model_input_names=[], truncation_side="right")
    tokenizer.special_tokens_map, tokenizer.split_special_tokens = {}, False
    rows = Dataset.from_dict({"id": ["0"]})
    assert feature_cache.features_of(rows, tokenizer, (), head, make)["input_ids"][:] == [[1, 2]]


def test_two_processes_make_them_once_and_a_killed_one_leaves_no_harm(tmp_path, folder):
    context, counter = multiprocessing.get_context("fork"), tmp_path / "counter"
    killed = context.Process(target=slow, args=(counter, tmp_path, 60))
    killed.start()
    while not counter.exists():
        time.sleep(0.01)
    waiting = [context.Process(target=slow, args=(counter, tmp_path, 0.2)) for _ in range(2)]
    for process in waiting:
        process.start()
    os.kill(killed.pid, signal.SIGKILL)
    for process in (killed, *waiting):
        process.join(60)
    assert [process.exitcode for process in waiting] == [0, 0]
    assert counter.read_text().splitlines() == ["made"] * 2  # the killed one's, and one of the two
    assert len(list(folder.glob("*.arrow"))) == 1


def test_without_a_place_to_write_they_are_made(tokenizer, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file")
    made = []
    assert len(features(tokenizer, Dataset.from_list(ROWS["xnli"]), made=made)) == 3
    assert made == ["xnli"] and "not kept for the next run" in caplog.text
