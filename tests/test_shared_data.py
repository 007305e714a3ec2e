"""Every file of the small real data copy is read whole (skipped where the copy is absent)."""

import json
from pathlib import Path

import pytest

from heads import head_of, path_of
from tasks import INTERMEDIATE, TARGETS

DATA = Path(__file__).resolve().parents[2] / "shared/data/xtreme"
pytestmark = [pytest.mark.shared, pytest.mark.skipif(not DATA.is_dir(), reason="the real data copy is not here")]
RUNNABLE = [name for name in TARGETS if name != "mewslix"]  # which the copy lacks
TRAINABLE = [name for name in RUNNABLE if TARGETS[name].kind != "retrieval"]


def languages_on_disk(task, split):
    codes = {code for version in task.languages.values() for code in version} | {"en", "aym", "gn", "quy", "fa", "ja"}
    return sorted(code for code in codes if path_of(task, DATA, split, code)[0].exists())


@pytest.mark.parametrize("name", RUNNABLE)
def test_all_files_are_read_and_counted(name):
    task, head = TARGETS[name], head_of(TARGETS[name])
    counts = json.loads((DATA / "counts.json").read_text()).get(name, {})
    languages = languages_on_disk(task, "test")
    assert len(languages) >= 4
    for language in languages:
        rows = head.read(task, DATA, "test", language)
        sentences = rows["source"] if task.kind == "retrieval" else rows
        if task.kind != "dual_encoder":
            assert rows["gold"] if task.kind == "retrieval" else head.references(rows)
        if name != "bucc2018":  # made of others' sentences, not counted
            keys = {f"test-{language}", f"dev/test-{language}", language} & set(counts)
            assert {len(sentences)} == {counts[key] for key in keys}


@pytest.mark.parametrize("name", TRAINABLE)
def test_english_train_and_dev_are_read(name):
    task, head = TARGETS[name], head_of(TARGETS[name])
    assert len(head.read(task, DATA, "train", "en")) > 300
    assert len(head.read(task, DATA, "dev", "en")) > 90


@pytest.mark.parametrize("name", [name for name in INTERMEDIATE if name != "siqa"])  # which the copy lacks
def test_intermediate_tasks_are_read(name):
    task, head = INTERMEDIATE[name], head_of(INTERMEDIATE[name])
    for split in ("train", "dev"):
        rows = head.read(task, DATA.parent / "intermediate", split, "en")
        assert len(rows) > 250 and len(head.references(rows)) == len(rows)
    if task.labels:
        assert set(rows["label"]) == set(task.labels)
