"""XTREME-R's protocols: XCOPA after SIQA with its head kept, MLQA with context and question in any two languages, the
average of all ten tasks by one command.
"""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import on_toy
from safetensors.torch import load_file
from test_recipes import checkout, listed, recipe  # noqa: F401 (a fixture)

import metrics
import perturb
import report
import run_intermediate
import run_xtreme
from common.files import InputError
from common.results import Results
from heads import head_of
from tasks import INTERMEDIATE, TARGETS

SHORT = "--learning_rate 1e-3 --max_steps 4 --max_seq_length 64 --disable_tqdm true".split()
FIRST = ["--max_predict_samples", "30"]


# --- XCOPA


@pytest.fixture(scope="module")
def siqa(toy, tmp_path_factory):
    """A folder of phase 2 that was trained on SIQA."""
    folder = tmp_path_factory.mktemp("siqa") / "out"
    flags = ["--tasks", "siqa", "--data_dir", f"{toy}/intermediate", "--model_name_or_path", f"{toy}/model"]
    run_intermediate.main([*flags, *SHORT, "--output_dir", str(folder), "--do_train", "--do_eval"])
    return folder


def test_the_head_of_siqa_goes_on_to_xcopa(siqa, toy, tmp_path):
    out = tmp_path / "out"
    run_xtreme.main([*on_toy(toy, "xcopa", out, siqa), *SHORT, "--keep_head", "siqa", "--do_predict"])
    (tmp_path / "trained").mkdir()
    trained = on_toy(toy, "xcopa", tmp_path / "trained/out", siqa)
    run_xtreme.main([*trained, *SHORT, "--keep_head", "siqa", "--do_train", "--max_train_samples", "16",
                     "--learning_rate", "1e-12"])  # fmt: skip
    head, encoder = load_file(siqa / "heads.safetensors"), load_file(siqa / "model.safetensors")
    model = load_file(tmp_path / "trained/out/model.safetensors")
    assert torch.allclose(model["classifier.weight"], head["siqa.classifier.weight"], atol=1e-6)  # 3 choices, then 2
    assert torch.allclose(model["roberta.pooler.dense.weight"], encoder["pooler.dense.weight"], atol=1e-6)
    kept = json.loads((tmp_path / "trained/out/run.json").read_text())
    assert kept["training"]["keep_head"] == "siqa" and kept["parent"]["task"] == "siqa"
    assert {entry["language"] for entry in Results(out).entries} >= {"sw", "th", "zh"}


def test_siqa_in_the_forms_of_the_hub_and_of_the_release(tmp_path):
    (tmp_path / "siqa").mkdir()
    row = {"context": "Kim ran.", "question": "Why?", "answerA": "a", "answerB": "b", "answerC": "c"}
    file = tmp_path / "siqa/train.jsonl"
    file.write_text("".join(json.dumps({**row, "label": label}) + "\n" for label in ("1", "3")))
    rows = head_of(INTERMEDIATE["siqa"]).read(INTERMEDIATE["siqa"], tmp_path, "train", "en")
    assert rows["label"] == [0, 2] and rows[0]["prompt"] == "Kim ran. Why?" and rows[0]["choices"] == ["a", "b", "c"]
    file.write_text(json.dumps({**row, "correct": "A"}))
    with pytest.raises(InputError, match='SIQA\'s original release: write correct A, B or C as label "1"'):
        head_of(INTERMEDIATE["siqa"]).read(INTERMEDIATE["siqa"], tmp_path, "train", "en")
    file.write_text(json.dumps({**row, "label": "4"}))
    with pytest.raises(InputError, match="unknown label 3"):
        head_of(INTERMEDIATE["siqa"]).read(INTERMEDIATE["siqa"], tmp_path, "train", "en")


def test_both_phases_have_the_recipe_of_xtreme_r():
    for task in (INTERMEDIATE["siqa"], TARGETS["xcopa"]):
        recipe = task.defaults
        assert (recipe.learning_rate, recipe.num_train_epochs, recipe.train_batch_size) == (3e-5, 5, 32)
        assert (recipe.max_seq_length, recipe.warmup_steps, recipe.weight_decay) == (128, 0, 0)


# --- MLQA across languages

CODES = ("de", "zh")


@pytest.fixture(scope="module")
def across(toy, tmp_path_factory):
    """A data folder with MLQA's files of all pairs of two languages; the toy world's questions have the same ids."""
    folder = tmp_path_factory.mktemp("mlqa") / "xtreme"
    shutil.copytree(toy / "xtreme/squad", folder / "squad")
    name = "mlqa/MLQA_V1/test/test-context-{}-question-{}.json"
    files = {code: json.loads((toy / "xtreme" / name.format(code, code)).read_text()) for code in CODES}
    asked = {
        code: {
            question["id"]: question["question"]
            for article in file["data"]
            for question in article["paragraphs"][0]["qas"]
        }
        for code, file in files.items()
    }
    (folder / name).parent.mkdir(parents=True)
    for context in CODES:
        for code in CODES:
            file = json.loads(json.dumps(files[context]))
            for question in (question for article in file["data"] for question in article["paragraphs"][0]["qas"]):
                question["question"] = asked[code][question["id"]]
            (folder / name.format(context, code)).write_text(json.dumps(file, ensure_ascii=False))
    return folder


def test_mlqa_with_context_and_question_in_any_two_languages(across, toy, tmp_path, capsys):
    out, noised = tmp_path / "out", tmp_path / "noised"
    perturb.main(
        [
            "--data_dir",
            str(across),
            "--output_dir",
            str(noised),
            "--tasks",
            "mlqa",
            "--ops",
            "keyboard",
            "--levels",
            "3",
        ]
    )
    flags = [
        "--task",
        "mlqa",
        "--data_dir",
        str(across),
        "--model_name_or_path",
        f"{toy}/model",
        "--output_dir",
        str(out),
    ]
    stages = [
        "--do_train",
        "--do_predict",
        "--mlqa_pairs",
        "all",
        "--conditions",
        f"clean={across}",
        f"keyboard-3={noised}/keyboard-3",
    ]
    run_xtreme.main([*flags, *SHORT, *FIRST, "--max_train_samples", "30", *stages])
    entries = [entry for entry in Results(out).entries if entry["metric"] == "f1"]
    scores = {entry["language"]: entry["value"] for entry in entries if entry["condition"] == "clean"}
    assert set(scores) == {f"{context}-{question}" for context in CODES for question in CODES}
    # noise on the question: none on Chinese ones, whatever the context
    noised_pairs = {entry["language"] for entry in entries if entry["condition"] == "keyboard-3"}
    assert noised_pairs == {pair for pair in scores if not pair.endswith("-zh")}
    record = json.loads((out / "run.json").read_text())["conditions"]["keyboard-3"]
    assert record["realised"].keys() == noised_pairs and "de-zh" in record["not_applicable"]

    # the same-language diagonal is MLQA as it always was
    flags = ["--task", "mlqa", "--data_dir", str(across), "--model_name_or_path", str(out), *SHORT, *FIRST]
    run_xtreme.main([*flags, "--output_dir", str(tmp_path / "same"), "--do_predict"])
    same = {
        entry["language"]: entry["value"] for entry in Results(tmp_path / "same").entries if entry["metric"] == "f1"
    }
    assert same == {code: scores[f"{code}-{code}"] for code in CODES}

    # answers are scored by the rules of the context's language
    predicted = json.loads((out / "predictions/clean/mlqa_pairs/test-zh-de.json").read_text())
    task = TARGETS["mlqa"]
    rows = head_of(task).read(task, across, "test", "zh").select(range(30))
    assert metrics.score("mlqa", head_of(task).references(rows), predicted, "zh")["f1"] == scores["zh-de"]

    shown = (out / "README.md").read_text()
    means = [np.mean(list(scores.values())), np.mean(list(same.values()))]
    assert f"means: all pairs {means[0]:.1f} (4), one language {means[1]:.1f} (2), two languages" in shown
    report.main(
        ["--runs", str(out), "--baseline", str(out), "--output_dir", str(tmp_path / "report"), "--resamples", "100"]
    )
    assert f"| de-zh | {scores['de-zh']:.1f} " in (tmp_path / "report/report.md").read_text()


def test_pairs_are_of_mlqa_alone(toy, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_xtreme.main([*on_toy(toy, "xquad", tmp_path / "out"), "--do_predict", "--mlqa_pairs", "all"])
    assert "--mlqa_pairs all: --task xquad has no such files" in capsys.readouterr().err


# --- All ten tasks

TEN = "xnli xcopa udpos panx xquad mlqa tydiqa tatoeba lareqa mewslix".split()
ANSWERS = ("xquad", "mlqa", "tydiqa")


def test_the_recipe_lists_ten_tasks_and_what_they_start_from(checkout):  # noqa: F811
    for scale, encoder in (("toy", "studies/xtreme_r-toy/outputs/pretrained"), ("full", "xlm-roberta-large")):
        commands = listed(recipe(checkout, "xtreme_r", "-n", SCALE=scale, SEEDS="1 2"))
        runs = [argv for _, script, argv in commands if script == "run_xtreme.py"]
        of_task = {name: [argv for argv in runs if argv[1] == name] for name in TEN}
        assert {name: len(own) for name, own in of_task.items()} == {**dict.fromkeys(TEN, 2), "tatoeba": 1}
        for name, (first, *_) in of_task.items():
            source = first[first.index("--model_name_or_path") + 1]
            assert source == (f"studies/xtreme_r-{scale}/outputs/siqa" if name == "xcopa" else encoder)
            assert ("--keep_head" in first) == (name == "xcopa") and ("--do_train" in first) == (name != "tatoeba")
        scored = [argv for _, script, argv in commands if script == "score.py"]
        assert len(scored) == 2 and ("--languages" in scored[0]) == (scale == "toy")


@pytest.mark.slow
def test_ten_tasks_trained_predicted_and_averaged_by_one_command(checkout, tmp_path):  # noqa: F811
    few = "--learning_rate 1e-3 --max_seq_length 64 --max_steps 40 --max_train_samples 600 --max_eval_samples 30"
    phase1 = "--max_seq_length 32 --per_device_train_batch_size 64 --learning_rate 1e-3 --max_steps 20"
    settings = {"PHASE1_FLAGS": phase1, "PHASE2_FLAGS": f"{few} --collapse_guard off", "PHASE3_FLAGS": few}
    done = recipe(checkout, "xtreme_r", OUTPUT=str(tmp_path), JOBS="2", **settings)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    tasks = {}
    for name in TEN:
        entries = Results(tmp_path / f"outputs/xtreme-r-{name}-seed1").entries
        values = {}
        for entry in entries:
            values.setdefault(entry["metric"], []).append(entry["value"])
        wanted = ("f1", "exact_match") if name in ANSWERS else (TARGETS[name].metric,)
        tasks[name] = np.mean([np.mean(values[metric]) for metric in wanted])
    overall = np.mean(list(tasks.values()))
    scores = json.loads((tmp_path / "scores/seed1.json").read_text())
    assert scores["overall"] == pytest.approx(overall, abs=1e-9) and not scores["missing"]
    assert {name: scores[name]["metric"] for name in TEN} == pytest.approx(tasks, abs=1e-9)
    groups = {"qa": ANSWERS, "retrieval": ("tatoeba", "lareqa", "mewslix"), "multi_choice": ("xcopa",)}
    for group, members in groups.items():
        assert scores["groups"][group] == pytest.approx(np.mean([tasks[name] for name in members]), abs=1e-9)
    with open(tmp_path / "report/tables/average-xtreme-r.csv", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert float(line["average"]) == pytest.approx(overall, abs=1e-6)
