"""Scripts run in an empty folder with what their docstrings say to copy, and with nothing else of ours."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_mirror import json_lines

REPOSITORY = Path(__file__).resolve().parent.parent


def named_in_docstring(script):
    """Files and folders of "Copy with it: common/ tasks.py."."""
    text = ast.get_docstring(ast.parse((REPOSITORY / script).read_text(encoding="utf-8")))
    return re.findall(r"\b\w+/|\b\w+\.py\b", text.split("Copy with it:")[1].split("\n\n")[0])


@pytest.fixture
def copy(tmp_path):
    """copy(script, *arguments) -> CompletedProcess of a copy of the script, started in another folder."""

    def run(script, *arguments):
        for name in (script, *named_in_docstring(script)):
            path = REPOSITORY / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / "copy" / name)
        (tmp_path / "elsewhere").mkdir()
        line = [sys.executable, tmp_path / "copy" / script, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": ""}
        return subprocess.run(line, capture_output=True, text=True, cwd=tmp_path / "elsewhere", env=environment)

    (tmp_path / "copy").mkdir()
    return run


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_download_data(copy, tmp_path):
    pairs = [{"sentence1": "eins", "sentence2": "one"}]
    json_lines(tmp_path / "mirror", "mteb/tatoeba-bitext-mining", "test/deu-eng.jsonl.gz", pairs)
    flags = "--tasks tatoeba --languages de --allow_partial --hub_root ../mirror --output_dir ../data"
    done = copy("download_data.py", *flags.split())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/xtreme/tatoeba/de-en.de").read_text() == "eins\n"


@pytest.mark.slow
def test_toy_data(copy, tmp_path):
    done = copy("toy_data.py", "--output_dir", tmp_path / "toy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "toy/toy.json").is_file()


def test_score(copy, tmp_path):
    write(tmp_path / "predictions/pawsx/test-de.tsv", "0\n0\n")
    write(tmp_path / "data/pawsx/test-de.tsv", "a\tb\t0\nc\td\t1\n")
    done = copy("score.py", "--predictions", tmp_path / "predictions", "--data_dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "de  50.00" in done.stdout


def test_multichecklist(copy, tmp_path):
    texts = ("Context\t{first_name} ran.", "Question\tWho {s}?", "Answer\t{first_name}", "state\tran", "very\tso")
    lines = ["Field\ten", "Name\tIntensifiers (very, super, extremely) and reducers (somewhat, kinda, etc)?", *texts]
    write(tmp_path / "table.tsv", "\n".join(lines))
    done = copy("multichecklist.py", "--templates", tmp_path / "table.tsv", "--output_dir", tmp_path / "cases")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cases/answers-en.json").is_file()


def test_compare(copy, tmp_path):
    row = {"task": "xnli", "language": "de", "condition": "clean", "metric": "accuracy", "value": 50.0, "n": 2}
    write(tmp_path / "run/results.jsonl", json.dumps({**row, "inputs": "", "predictions": ""}) + "\n")
    done = copy("compare.py", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == ["de", "50.0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, data, flags",
    [
        ("run_xtreme.py", "xtreme", "--task tatoeba --do_predict --languages de"),
        ("run_alignment.py", "xtreme/tatoeba", "--languages de --layers 1"),
        (
            "run_intermediate.py",
            "intermediate",
            "--tasks mnli --do_train --do_eval --max_steps 1 --max_train_samples 32 --max_eval_samples 16",
        ),
    ],
)
def test_the_run_scripts(toy, tmp_path, copy, script, data, flags):
    folders = ["--data_dir", toy / data, "--model_name_or_path", toy / "model", "--output_dir", tmp_path / "out"]
    done = copy(script, *flags.split(), *folders, "--disable_tqdm", "true")
    assert done.returncode == 0 and (tmp_path / "out/results.jsonl").exists(), done.stderr
