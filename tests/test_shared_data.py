"""Every file of the small real data copy is read whole (skipped where the copy is absent)."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from heads import path_of
from tasks import INTERMEDIATE, TARGETS

DATA = Path(__file__).resolve().parents[2] / "shared/data/xtreme"
pytestmark = [pytest.mark.shared, pytest.mark.skipif(not DATA.is_dir(), reason="the real data copy is not here")]
RUNNABLE = [name for name, task in TARGETS.items() if not task.not_runnable]


def languages_on_disk(task, split):
    codes = {code for version in task.languages.values() for code in version} | {"en", "aym", "gn", "quy", "fa", "ja"}
    return sorted(code for code in codes if path_of(task, DATA, split, code)[0].exists())


@pytest.mark.parametrize("name", RUNNABLE)
def test_all_files_are_read_and_counted(name):
    task, head = TARGETS[name], import_module(f"heads.{TARGETS[name].head}")
    counts = json.loads((DATA / "counts.json").read_text()).get(name, {})
    languages = languages_on_disk(task, "test")
    assert len(languages) >= 4
    for language in languages:
        rows = head.read(task, DATA, "test", language)
        expected = counts.get(f"test-{language}", counts.get(f"dev/test-{language}", counts.get(language)))
        if task.head == "retrieval":
            assert len(rows["source"]) == (expected or len(rows["source"])) and rows["gold"]
        else:
            assert len(rows) == (expected or len(rows)) and head.references(rows) is not None


@pytest.mark.parametrize("name", [name for name in RUNNABLE if TARGETS[name].head != "retrieval"])
def test_english_train_and_dev_are_read(name):
    task, head = TARGETS[name], import_module(f"heads.{TARGETS[name].head}")
    assert len(head.read(task, DATA, "train", "en")) > 300
    assert len(head.read(task, DATA, "dev", "en")) > 90


@pytest.mark.parametrize("name", INTERMEDIATE)
def test_intermediate_tasks_are_read(name):
    task, head = INTERMEDIATE[name], import_module(f"heads.{INTERMEDIATE[name].head}")
    for split in ("train", "dev"):
        rows = head.read(task, DATA.parent / "intermediate", split, "en")
        assert len(rows) > 250 and len(head.references(rows)) == len(rows)
    if task.labels:
        assert set(rows["label"]) == set(task.labels)
