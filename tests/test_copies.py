"""Each script runs in an empty folder with just the files and folders that its docstring names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODEL = "--data_dir {toy}/{data} --model_name_or_path {toy}/model --output_dir {out} --disable_tqdm true"
RUNS = {
    "run_xtreme.py": ("xtreme", "--task tatoeba --do_predict --languages de"),
    "run_intermediate.py": (
        "intermediate",
        "--tasks mnli --do_train --do_eval --max_steps 1 --max_train_samples 32 --max_eval_samples 16",
    ),
}


def copy_of(script, folder):
    """A script and what its docstring says to copy with it, in `folder`."""
    names = re.search(r"Copy with it: (.*?)\.\n", (ROOT / script).read_text(encoding="utf-8"), re.S)[1].split()
    for name in (script, *names):
        source = ROOT / name.rstrip("/")
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    return folder / script


@pytest.mark.parametrize("script", RUNS)
def test_a_run_script_needs_only_what_it_names(toy, tmp_path, script):
    (tmp_path / "copy").mkdir()
    data, flags = RUNS[script]
    flags = f"{flags} {MODEL}".format(toy=toy, data=data, out=tmp_path / "out").split()
    command = [sys.executable, copy_of(script, tmp_path / "copy"), *flags]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, check=True, capture_output=True)
    assert (tmp_path / "out/results.jsonl").exists()
