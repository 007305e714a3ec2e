"""--recipe: learning rate, epochs, batch, length, warm-up and decay of XTREME's scripts and of jiant's guide."""

import pytest
from conftest import on_toy

import run_intermediate
import run_xtreme
from common.recipes import RECIPES, follow
from common.run_record import read_run
from tasks import INTERMEDIATE, TARGETS

TRAINED = [name for name, task in TARGETS.items() if task.kind != "retrieval"]


def numbers(task, recipe):
    chosen = follow(task, recipe).defaults
    rate, epochs, batch = chosen.learning_rate, chosen.num_train_epochs, chosen.train_batch_size
    return rate, epochs, batch, chosen.max_seq_length, chosen.doc_stride, chosen.warmup_steps, chosen.weight_decay


XTREME_QA = (3e-5, 3, 32, 384, 128, 500, 1e-4)
JIANT_QA = (1e-5, 2, 16, 384, 128, 0.1, 0.01)


@pytest.mark.parametrize(
    "name, xtreme, jiant",
    [
        ("xnli", (3e-5, 5, 32, 128, 0, 0, 0), (1e-5, 2, 32, 256, 0, 0.1, 0.01)),
        ("pawsx", (2e-5, 5, 32, 128, 0, 0, 0), (1e-5, 5, 32, 256, 0, 0.1, 0.01)),
        ("udpos", (2e-5, 10, 32, 128, 0, 0, 0), (1e-5, 10, 32, 256, 0, 0.1, 0.01)),
        ("panx", (2e-5, 10, 32, 128, 0, 0, 0), (1e-5, 10, 32, 256, 0, 0.1, 0.01)),
        ("xquad", XTREME_QA, JIANT_QA),
        ("mlqa", XTREME_QA, JIANT_QA),
        ("tydiqa", XTREME_QA, JIANT_QA),
        ("mnli", (3e-5, 5, 32, 128, 0, 0, 0), (1e-5, 2, 32, 256, 0, 0.1, 0.01)),
        ("squad", XTREME_QA, JIANT_QA),
    ],
)
def test_the_numbers_are_those_of_the_scripts(name, xtreme, jiant):
    task = {**TARGETS, **INTERMEDIATE}[name]
    assert numbers(task, "xtreme") == xtreme and numbers(task, "jiant") == jiant
    assert follow(task, None) is task


def test_every_record_names_its_source_and_a_task():
    for recipe, records in RECIPES.items():
        for name, defaults in records.items():
            assert name in TRAINED or name in INTERMEDIATE
            assert defaults.origin.startswith(f"--recipe {recipe}, ") and len(defaults.source) > 20
    for task in TARGETS.values():
        assert task.defaults.origin == f"task default, {task.defaults.source}"


def resolved(folder):
    return {name: (value, origin) for name, value, origin in read_run(folder)["resolved"]}


def test_flags_that_are_given_win_and_run_json_says_so(toy, tmp_path):
    flags = ["--do_train", "--recipe", "xtreme", "--num_train_epochs", "1", "--max_train_samples", "40"]
    run_xtreme.main([*on_toy(toy, "xquad", tmp_path / "run"), *flags, "--disable_tqdm", "true"])
    values, origin = resolved(tmp_path / "run"), "--recipe xtreme, scripts/train_qa.sh at 838c13b"
    assert values["num_train_epochs"] == (1.0, "given")
    assert values["warmup_steps"] == (500, origin) and values["weight_decay"] == (1e-4, origin)
    assert values["max_seq_length"] == (384, origin)
    assert values["learning_rate"] == (3e-5, origin + "; made for XLM-R Large")
    assert read_run(tmp_path / "run")["arguments"]["recipe"] == "xtreme"
    batch = values["per_device_train_batch_size"]
    assert batch[0] == 32 and batch[1].startswith(origin)


def phase_2(toy, output, *flags):
    folders = ["--data_dir", str(toy / "intermediate"), "--model_name_or_path", str(toy / "model")]
    quick = "--do_train --max_steps 1 --max_train_samples 32 --disable_tqdm true".split()
    return [*folders, "--output_dir", str(output), *quick, *flags]


def test_phase_2_has_it_for_the_training_it_shares_with_phase_3(toy, tmp_path):
    flags = "--tasks mnli --recipe jiant --weight_decay 0.5".split()
    run_intermediate.main(phase_2(toy, tmp_path / "run", *flags))
    values = resolved(tmp_path / "run")
    assert values["max_seq_length of mnli"][0] == 256 and values["weight_decay"] == (0.5, "given")
    assert values["learning_rate"][1].startswith("--recipe jiant, jiant xstilts guide")
    assert values["per_device_train_batch_size"][0] == 32


@pytest.mark.parametrize(
    "flags, line",
    [
        ("--tasks mnli --recipe xtrem", "--recipe xtrem: unknown; did you mean 'xtreme'?"),
        ("--tasks mnli --recipe=", "--recipe : unknown"),
        ("--tasks hellaswag --recipe jiant", "--recipe jiant: has no numbers for hellaswag, only for xnli"),
        ("--tasks mnli squad --recipe jiant", "--recipe jiant: is for one task, mnli, squad are several"),
    ],
)
def test_phase_2_refuses_what_no_recipe_has(toy, tmp_path, flags, line, capsys):
    with pytest.raises(SystemExit) as end:
        run_intermediate.main(phase_2(toy, tmp_path / "run", *flags.split()))
    assert end.value.code == 2 and line in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("task, recipe", [("tatoeba", "xtreme"), ("xcopa", "jiant")])
def test_phase_3_refuses_what_no_recipe_has(toy, tmp_path, task, recipe, capsys):
    with pytest.raises(SystemExit) as end:
        run_xtreme.main([*on_toy(toy, task, tmp_path / "run"), "--do_predict", "--recipe", recipe])
    error = capsys.readouterr().err
    assert end.value.code == 2 and f"--recipe {recipe}: has no numbers for {task}" in error
    assert not (tmp_path / "run").exists()
