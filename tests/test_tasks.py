"""tasks.py: the tables say what the benchmarks and the data folders say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import BENCHMARKS, INTERMEDIATE, LANGUAGES, TARGETS

PROJECT = Path(__file__).parents[1]
SHARED = Path(__file__).parents[2] / "shared" / "data"
ALL = [*TARGETS.values(), *INTERMEDIATE.values()]
HEADS = {"classification", "tagging", "question_answering", "multiple_choice", "retrieval", "dual_encoder"}
AMERICAS_NLI = set("aym bzd cni gn hch nah oto quy shp tar".split())
BY_NAME = pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)


@pytest.mark.parametrize(
    "name, xtreme, xtreme_r",
    [
        ("xnli", 15, 15), ("pawsx", 7, 0), ("udpos", 33, 38), ("panx", 40, 48),
        ("xquad", 11, 12), ("mlqa", 7, 7), ("tydiqa", 9, 9), ("xcopa", 0, 11),
        ("bucc2018", 4, 0), ("tatoeba", 36, 41), ("lareqa", 0, 11), ("mewslix", 0, 11),
    ],
)  # fmt: skip
def test_number_of_languages(name, xtreme, xtreme_r):
    languages = TARGETS[name].languages
    assert {version: len(codes) for version, codes in languages.items()} == {"xtreme": xtreme, "xtreme-r": xtreme_r}
    assert all(len(set(codes)) == len(codes) for codes in languages.values())


def test_xtreme_r_is_fifty_languages_and_xtreme_forty():
    covered = {
        version: {code for task in TARGETS.values() for code in task.languages[version]} for version in BENCHMARKS
    }
    assert len(covered["xtreme"]) == 40
    assert len(covered["xtreme-r"]) == 50
    assert set(LANGUAGES) == covered["xtreme-r"] | AMERICAS_NLI
    assert len(LANGUAGES) == 60


@BY_NAME
def test_every_language_of_a_task_has_a_record(task):
    codes = {code for codes in task.languages.values() for code in codes}
    assert codes and codes <= set(LANGUAGES)


@pytest.mark.parametrize("version", BENCHMARKS)
def test_groups_hold_exactly_the_tasks_of_their_version(version):
    grouped = [name for names in BENCHMARKS[version].values() for name in names]
    assert len(set(grouped)) == {"xtreme": 9, "xtreme-r": 10}[version]
    assert len(grouped) == {"xtreme": 9, "xtreme-r": 11}[version]  # xcopa twice
    assert set(grouped) == {task.name for task in TARGETS.values() if task.languages[version]}


@pytest.mark.parametrize(
    "name, labels",
    [
        ("xnli", "entailment neutral contradiction"),
        ("anli_plus", "entailment neutral contradiction"),
        ("pawsx", "0 1"),
        ("qqp", "not_duplicate duplicate"),
        ("panx", "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC"),
        ("udpos", "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"),
        ("xquad", ""),
        ("ccg", ""),
    ],
)
def test_labels_are_in_the_order_of_the_hub(name, labels):
    assert {**TARGETS, **INTERMEDIATE}[name].labels == tuple(labels.split())


@BY_NAME
def test_a_record_is_complete(task):
    table = TARGETS if task.name in TARGETS else INTERMEDIATE
    assert table[task.name] is task and task.kind in HEADS and task.metric in {"accuracy", "f1", "map@20"}
    assert task.defaults.source and task.defaults.max_seq_length >= 64 and task.defaults.train_batch_size > 0
    assert (task.layer > 0) == (task.kind == "retrieval")
    splits = {"test"} if task.name in TARGETS else set()
    assert task.columns and set(task.files) >= splits | (set() if task.kind == "retrieval" else {"train", "dev"})
    assert (task.defaults.learning_rate > 0) == (task.defaults.num_train_epochs > 0) == (task.kind != "retrieval")
    assert (task.defaults.doc_stride > 0) == (task.kind == "question_answering")
    assert (task.defaults.micro_batch > 0) == (task.kind == "dual_encoder")


def test_training_and_dev_data():
    assert TARGETS["xquad"].files["train"] == TARGETS["mlqa"].files["train"] == "squad/train-v1.1.json"
    assert [task.name for task in ALL if task.dev_is_test] == ["tydiqa"]
    assert TARGETS["tydiqa"].files["dev"] == TARGETS["tydiqa"].files["test"].format(lang="en")


def test_a_union_holds_the_files_of_its_parts():
    union = INTERMEDIATE["anli_plus"]
    assert union.parts == ("mnli", "snli", "anli")
    for split, files in union.files.items():
        (mnli, snli, anli) = (INTERMEDIATE[part].files[split] for part in union.parts)
        assert files == (mnli, snli, *anli)
    assert {INTERMEDIATE[part].labels for part in union.parts} == {union.labels}
    assert {INTERMEDIATE[part].columns for part in union.parts} == {union.columns}


@BY_NAME
def test_hub_revisions_are_commits_or_say_that_they_are_not(task):
    assert task.hub or task.name in ("ccg", "lareqa", "mewslix")
    for hub in task.hub:
        assert hub.note, hub.id
        if hub.revision == "main":
            assert "not pinned" in hub.note, hub.id
        else:
            assert re.fullmatch(r"[0-9a-f]{40}", hub.revision), hub.id


@BY_NAME
def test_hub_configs_can_be_filled_in_for_every_language(task):
    for code in (code for codes in task.languages.values() for code in codes):
        language = LANGUAGES[code]
        values = {"lang": code, "english_name": language.hub, "tatoeba": language.tatoeba}
        for hub in task.hub:
            placeholders = re.findall(r"{(\w+)}", hub.config)
            assert all(values[name] for name in placeholders), f"{task.name}: no {placeholders} for {code}"
            assert not set("{}") & set(hub.config.format(**values))


def test_languages_have_codes_and_sizes():
    for code, language in LANGUAGES.items():
        assert language.code == code and language.family and language.genus
        assert re.fullmatch(r"[A-Z][a-z]{3}", language.script)
        assert language.in_xlmr == (language.cc100_gib > 0)
        assert language.tatoeba == "" or re.fullmatch(r"[a-z]{3}", language.tatoeba)
    unseen = {code for code, language in LANGUAGES.items() if not language.in_xlmr}
    assert unseen == AMERICAS_NLI | {"ht", "qu", "wo", "yo"}
    assert all(LANGUAGES[code].ud for code in TARGETS["udpos"].languages["xtreme-r"])
    names = [language.name for language in LANGUAGES.values()]
    assert len(set(names)) == len(names)


def test_tables_need_only_the_standard_library():
    names = "{name.partition('.')[0] for name in sys.modules}"
    program = f"import sys; import tasks; print(*({names} - sys.stdlib_module_names - {{'tasks', '__main__'}}))"
    line = [sys.executable, "-S", "-c", program]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason=f"no real data at {SHARED}")
@BY_NAME
def test_every_template_resolves_on_real_data(task):
    if task.name == "mewslix":
        pytest.skip("the copy lacks it")
    folder = SHARED / ("xtreme" if task.name in TARGETS else "intermediate")
    for split, templates in task.files.items():
        for template in (templates,) if isinstance(templates, str) else templates:
            if not (folder / template.split("/")[0]).is_dir():
                pytest.skip(f"the small copy has no {task.name}")
            paths = {folder / template.format(lang=code) for code in LANGUAGES}
            assert any(path.is_file() for path in paths), f"{task.name} {split}: no file {template} below {folder}"
            if template.count("{lang}") == 1 and split in ("dev", "test"):
                there = set(folder.glob(template.replace("{lang}", "*")))
                assert there <= paths, f"{task.name} {split}: files of languages without a record"
