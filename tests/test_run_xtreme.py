"""run_xtreme.py from raw files to scored predictions; what holds whatever the order, the batch or the rerun."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import transformers
from conftest import on_toy

import metrics
import perturb
import run_intermediate
import run_xtreme
import score
from common.files import InputError, sha256, write_text
from common.results import Results, table
from compare import side_by_side
from tasks import TARGETS

TRAINED = {"xnli": "classification", "panx": "tagging", "xquad": "question_answering", "xcopa": "multiple_choice"}
SPEED = ["--learning_rate", "2e-3", "--num_train_epochs", "2", "--max_seq_length", "64", "--disable_tqdm", "true"]


def command(toy, output, task, *flags, model=None):
    return [*on_toy(toy, task, output, model), *SPEED, *flags]


@pytest.fixture(scope="module")
def runs(toy, tmp_path_factory):
    """One trained run per kind of head; two languages beside English."""
    folder = tmp_path_factory.mktemp("runs")
    for task in TRAINED:
        run_xtreme.main(command(toy, folder / task, task, "--do_train", "--do_eval", "--do_predict"))
    return folder


def prediction_bytes(folder):
    return {
        str(path.relative_to(folder / "predictions")): path.read_bytes()
        for path in sorted((folder / "predictions").rglob("test-*"))
    }


@pytest.mark.parametrize("task", TRAINED)
def test_a_run_leaves_what_the_design_says(runs, toy, task):
    folder = runs / task
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "run.json",
        "results.jsonl",
        "train_results.json",
        "eval_results.json",
        "README.md",
    ):
        assert (folder / name).exists(), name
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert all(0 <= row["value"] <= 100 and row["n"] > 0 for row in rows)
    assert {row["language"] for row in rows} >= {"zh", "th"}
    about = json.loads((folder / "run.json").read_text())
    assert about["training"]["finished"] and about["seed"] == 42 and about["environment"]["packages"]["torch"]
    dev = json.loads((folder / "eval_results.json").read_text())
    assert 0 <= dev[f"eval_{TARGETS[task].metric}"] <= 1
    with_head = getattr(transformers, __import__(f"heads.{TRAINED[task]}", fromlist=["MODEL"]).MODEL)
    _, info = with_head.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("task", TRAINED)
def test_example_scores_add_up_to_the_results(runs, task):
    for row in map(json.loads, (runs / task / "results.jsonl").read_text().splitlines()):
        file = runs / task / f"scores/clean/{task}/test-{row['language']}.jsonl"
        counts = [json.loads(line) for line in file.read_text().splitlines()]
        assert metrics.aggregate(task, counts)[row["metric"]] == pytest.approx(row["value"], abs=1e-9)


@pytest.mark.parametrize("task", TRAINED)
def test_the_submission_folder_scores_the_same(runs, toy, task, tmp_path):
    scorer = [
        sys.executable,
        score.__file__,
        "--predictions",
        str(runs / task / "predictions/clean"),
        "--data_dir",
        str(toy / "xtreme"),
    ]
    version = "xtreme-r" if task == "xcopa" else "xtreme"
    done = subprocess.run(
        [*scorer, "--benchmark", version, "--output_file", str(tmp_path / "scores.json")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    scored = json.loads((tmp_path / "scores.json").read_text())[task]
    for row in map(json.loads, (runs / task / "results.jsonl").read_text().splitlines()):
        assert scored[row["language"]][row["metric"]] == pytest.approx(row["value"], abs=1e-9)


def test_training_learns_and_transfers(runs):
    rows = [json.loads(line) for line in (runs / "xnli/results.jsonl").read_text().splitlines()]
    scores = {row["language"]: row["value"] for row in rows}
    assert scores["en"] > 50  # majority is a third
    assert sum(scores.values()) / len(scores) > 45


def test_same_seed_same_bytes_and_order_does_not_matter(runs, toy, tmp_path):
    flags = [
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--languages",
        "zh",
        "en",
        "de",
        "--conditions",
        f"b={toy}/xtreme",
        f"clean={toy}/xtreme",
    ]
    run_xtreme.main(command(toy, tmp_path / "again", "xnli", *flags))
    again, first = prediction_bytes(tmp_path / "again"), prediction_bytes(runs / "xnli")
    for language in ("zh", "en", "de"):
        name = f"xnli/test-{language}.tsv"
        assert again[f"clean/{name}"] == again[f"b/{name}"] == first[f"clean/{name}"]
    assert (tmp_path / "again/model.safetensors").read_bytes() == (runs / "xnli/model.safetensors").read_bytes()


@pytest.mark.parametrize("task", ["xnli", "panx", "xquad", "xcopa"])
def test_predictions_do_not_depend_on_batch_size(runs, toy, tmp_path, task):
    run_xtreme.main(
        command(toy, tmp_path / "one", task, "--do_predict", "--per_device_eval_batch_size", "7", model=runs / task)
    )
    same = total = 0
    for name, content in prediction_bytes(tmp_path / "one").items():
        lines = list(zip(content.split(b"\n"), prediction_bytes(runs / task)[name].split(b"\n"), strict=True))
        same, total = same + sum(a == b for a, b in lines), total + len(lines)
    assert same / total >= 0.999


def test_finished_cells_are_skipped_and_changed_inputs_redone(runs, toy, tmp_path, capsys, caplog):
    data, folder = tmp_path / "xtreme", tmp_path / "run"
    shutil.copytree(toy / "xtreme/xnli", data / "xnli")
    shutil.copytree(runs / "xnli", folder)
    arguments = [
        "--task",
        "xnli",
        "--data_dir",
        str(data),
        "--model_name_or_path",
        str(folder),
        "--output_dir",
        str(folder),
        "--do_predict",
        *SPEED,
    ]
    arguments += ["--languages", "de", "zh"]
    first = prediction_bytes(folder)
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "predictions").rglob("test-*")}
    run_xtreme.main(arguments)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())  # nothing was predicted again
    lines = (data / "xnli/test-de.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / "xnli/test-de.tsv").write_text("".join(lines[:10]), encoding="utf-8")
    (folder / "predictions/clean/xnli/test-zh.tsv").write_text("entailment\n")  # damaged
    run_xtreme.main(arguments)
    assert len((folder / "predictions/clean/xnli/test-de.tsv").read_text().splitlines()) == 10
    assert prediction_bytes(folder)["clean/xnli/test-zh.tsv"] == first["clean/xnli/test-zh.tsv"]
    rows = Results(folder).entries
    assert [row["n"] for row in rows if row["language"] == "de"] == [10]


def test_scores_are_recorded_for_the_file_that_was_read(runs, toy, tmp_path, monkeypatch):
    data, folder = tmp_path / "xtreme", tmp_path / "run"
    shutil.copytree(toy / "xtreme/xnli", data / "xnli")
    path = data / "xnli/test-de.tsv"
    lines, predict_cells = path.read_text(encoding="utf-8").splitlines(keepends=True), run_xtreme.predict_cells

    def another_file_first(*args):
        path.write_text("".join(lines[:10]), encoding="utf-8")
        predict_cells(*args)

    line = f"--task xnli --data_dir {data} --model_name_or_path {runs / 'xnli'} --output_dir {folder} --do_predict"
    arguments = [*line.split(), "--languages", "de", *SPEED]
    with monkeypatch.context() as patch:
        patch.setattr(run_xtreme, "predict_cells", another_file_first)
        run_xtreme.main(arguments)
    assert {row["n"] for row in Results(folder).entries} == {len(lines)}
    run_xtreme.main(arguments)
    assert {row["n"] for row in Results(folder).entries} == {10}


def test_the_same_command_again_does_not_train_again(runs, toy, tmp_path):
    folder = tmp_path / "run"
    arguments = command(toy, folder, "xcopa", "--do_train", "--do_eval", "--do_predict")
    run_xtreme.main(arguments)
    before = (folder / "model.safetensors").stat().st_mtime_ns, (folder / "train_results.json").read_bytes()
    run_xtreme.main(arguments)
    assert ((folder / "model.safetensors").stat().st_mtime_ns, (folder / "train_results.json").read_bytes()) == before
    assert len(json.loads((folder / "run.json").read_text())["later"]) == 1


@pytest.mark.parametrize("task", ["xnli", "panx", "xquad"])
def test_files_without_labels_are_predicted_and_named(runs, toy, tmp_path, capsys, task):
    path = tmp_path / TARGETS[task].files["test"].format(lang="de")
    path.parent.mkdir(parents=True)
    source = toy / "xtreme" / path.relative_to(tmp_path)
    if task == "xquad":
        data = json.loads(source.read_text(encoding="utf-8"))
        for question in (q for article in data["data"] for p in article["paragraphs"] for q in p["qas"]):
            question["answers"] = [{"text": "", "answer_start": 0}]  # as XTREME strips them
        path.write_text(json.dumps(data), encoding="utf-8")
    else:
        path.write_text(
            "\n".join(line.rpartition("\t")[0] for line in source.read_text(encoding="utf-8").split("\n")),
            encoding="utf-8",
        )
    arguments = [
        "--task",
        task,
        "--data_dir",
        str(tmp_path),
        "--model_name_or_path",
        str(runs / task),
        "--output_dir",
        str(tmp_path / "run"),
    ]
    run_xtreme.main([*arguments, "--do_predict", *SPEED])
    assert "no labels" in capsys.readouterr().out
    name = f"clean/{task}/{os.path.basename(Results(tmp_path).prediction_path(TARGETS[task], 'de', 'clean'))}"
    assert prediction_bytes(tmp_path / "run")[name] == prediction_bytes(runs / task)[name]
    (row,) = Results(tmp_path / "run").entries
    assert row["metric"] is None and row["value"] is None and row["n"] > 0


@pytest.mark.parametrize("task, metric", [("tatoeba", "accuracy"), ("bucc2018", "f1")])
def test_retrieval_needs_no_training_and_sweeps_layers(toy, tmp_path, capsys, task, metric):
    base = [
        "--task",
        task,
        "--data_dir",
        str(toy / "xtreme"),
        "--model_name_or_path",
        str(toy / "model"),
        "--do_predict",
        "--disable_tqdm",
        "true",
    ]
    run_xtreme.main([*base, "--output_dir", str(tmp_path / "all"), "--layer", "all"])
    assert "by layer" in capsys.readouterr().out
    depth = json.loads((toy / "model/config.json").read_text())["num_hidden_layers"]
    rows = Results(tmp_path / "all").entries
    metrics_of_de = {row["metric"]: row["value"] for row in rows if row["language"] == "de"}
    assert len([name for name in metrics_of_de if name.startswith(f"{metric}_layer")]) == depth
    run_xtreme.main([*base, "--output_dir", str(tmp_path / "last"), "--layer", str(depth)])
    last = {row["metric"]: row["value"] for row in Results(tmp_path / "last").entries if row["language"] == "de"}
    key = f"{metric}_layer{depth}"
    assert last[metric] == pytest.approx(metrics_of_de.get(key, metrics_of_de[metric]), abs=1e-9)
    if task == "tatoeba":
        assert {"accuracy_reverse", "accuracy_margin"} <= set(last) and last["accuracy"] > 50


def test_a_second_phase_starts_from_the_folder_of_the_first(runs, toy, tmp_path):
    run_xtreme.main(command(toy, tmp_path / "next", "panx", "--do_train", "--max_steps", "2", model=runs / "xnli"))
    about = json.loads((tmp_path / "next/run.json").read_text())
    assert about["parent"]["command"].startswith("python run_xtreme.py --task xnli")


def test_results_tell_their_lineage_and_noise_by_themselves(runs, toy, tmp_path):
    perturb.main(
        [
            "--data_dir",
            f"{toy}/xtreme",
            "--output_dir",
            f"{tmp_path}/noised",
            "--ops",
            "keyboard",
            "--levels",
            "2",
            "--tasks",
            "xnli",
        ]
    )
    conditions = ["--conditions", f"clean={toy}/xtreme", f"kb={tmp_path}/noised/keyboard-2"]
    run_xtreme.main(
        command(toy, tmp_path / "de", "xnli", "--do_predict", "--languages", "de", *conditions, model=runs / "xnli")
    )
    about = json.loads((tmp_path / "de/run.json").read_text())
    assert about["parent"]["task"] == "xnli" and about["parent"]["parent"]["task"] is None
    assert about["conditions"]["clean"] == {"folder": f"{toy}/xtreme"}
    noise = about["conditions"]["kb"]
    assert (noise["op"], noise["level"]) == ("keyboard", 2) and noise["realised"]["de"] == pytest.approx(
        0.02, rel=0.05
    )
    assert "zh" in noise["not_applicable"] and "zh" not in noise["realised"]
    data = {row["condition"]: row["data"] for row in Results(tmp_path / "de").entries}
    assert data["clean"] != data["kb"] == sha256(tmp_path / "noised/keyboard-2/xnli/test-de.tsv")
    run_xtreme.main(command(toy, tmp_path / "de", "xnli", "--do_predict", "--languages", "de", model=runs / "xnli"))
    assert set(json.loads((tmp_path / "de/run.json").read_text())["conditions"]) == {
        "clean",
        "kb",
    }  # of earlier calls too


def test_what_noise_does_not_apply_to_is_not_missing(toy, tmp_path):
    ops = ["--ops", "keyboard", "delete", "--levels", "2", "--tasks", "xnli", "pawsx"]
    perturb.main(
        ["--data_dir", f"{toy}/xtreme", "--output_dir", f"{tmp_path}/noised", *ops, "--languages", "de", "zh"]
    )

    def planned(task, *languages):
        conditions = [
            f"clean={toy}/xtreme",
            *(f"{name}={tmp_path}/noised/{name}" for name in ("keyboard-2", "delete-2")),
        ]
        args = SimpleNamespace(languages=languages, conditions=conditions, data_dir=f"{toy}/xtreme")
        return {name: codes for name, (_, codes) in run_xtreme.find_cells(TARGETS[task], args).items()}

    assert planned("xnli", "de", "zh") == {
        "clean": ["de", "zh"],
        "keyboard-2": ["de"],
        "delete-2": ["de", "zh"],
    }  # no keyboard of Han
    assert planned("pawsx", "de")["delete-2"] == []  # lost letters may flip its labels
    with pytest.raises(InputError, match="keyboard-2/xnli/test-ru.tsv does not exist"):
        planned("xnli", "ru")  # never noised


def test_averages_compare_the_same_languages(tmp_path):
    results = Results(tmp_path)
    for condition, language, value in (("clean", "en", 90), ("clean", "zh", 50), ("noise-1", "en", 80)):
        write_text(results.prediction_path(TARGETS["xnli"], language, condition), "neutral\n")
        results.add(TARGETS["xnli"], language, condition, {"accuracy": value}, [{"correct": 1}], 1, "")
    lines = table(results, TARGETS["xnli"], ["en", "zh"], ["clean", "noise-1"], ("accuracy",)).splitlines()
    assert [line.split() for line in lines[3:]] == [
        ["zh", "1", "50.0", "-"],
        ["average", "of", "1", "shared", "90.0", "80.0"],
        ["average", "without", "en", "of", "0", "shared", "-", "-"],
    ]


def test_runs_stand_side_by_side(runs, toy, tmp_path):
    run_xtreme.main(command(toy, tmp_path / "de", "xnli", "--do_predict", "--languages", "de", model=runs / "xnli"))
    lines = side_by_side([runs / "xnli", tmp_path / "de"]).splitlines()
    values = {row["language"]: row["value"] for row in Results(runs / "xnli").entries}
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["de"] == [f"{values['de']:.1f}"] * 2 and rows["zh"] == [f"{values['zh']:.1f}", "-"]
    assert lines[-1].split()[-2:] == rows["de"]  # averages are over the languages that all runs have
    with pytest.raises(InputError, match="no scores"):
        side_by_side([tmp_path])


@pytest.mark.parametrize("script", [run_xtreme, run_intermediate])
def test_help_is_quick_and_shows_our_flags_first(script):
    command = [sys.executable, "-X", "importtime", script.__file__, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "transformers" not in done.stderr and " torch" not in done.stderr  # these take seconds
    assert done.stdout.index("--max_seq_length") < done.stdout.index("learning_rate")


def test_help_may_be_cut_off():
    shell = f"set -o pipefail; {sys.executable} {run_xtreme.__file__} --help | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage: run_xtreme.py")
