"""A Python without the packages: one line and exit code 2 in every script. setup.sh runs by itself and is sourced."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = [
    "run_xtreme.py --task xnli --data_dir {toy}/xtreme --model_name_or_path {toy}/model --do_predict "
    "--output_dir {out}",
    "run_intermediate.py --tasks mnli --data_dir {toy}/intermediate --model_name_or_path {toy}/model --do_train "
    "--output_dir {out}",
    "toy_data.py --output_dir {out}",
    "score.py --predictions {toy} --data_dir {toy}/xtreme",
    "report.py --runs {toy} --baseline {toy} --output_dir {out}",
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_missing_packages_are_one_line(toy, tmp_path, command):
    script, *argv = command.format(toy=toy, out=tmp_path / "out").split()
    # -S leaves the packages out: site-packages are not on the path.
    bare = [sys.executable, "-S", "-E", str(ROOT / script), *argv]
    done = subprocess.run(bare, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{script}: error: ") and "package" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", ["compare.py", "download_data.py"])
def test_help_without_packages_is_help_or_one_line(tmp_path, script):
    bare = [sys.executable, "-S", "-E", str(ROOT / script), "--help"]
    done = subprocess.run(bare, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 or (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def hooked(statement):
    code = f"import common; {statement}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_hook_names_package_python_and_next_step():
    done = hooked("import no_such_package")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no_such_package" in done.stderr and sys.executable in done.stderr and ".venv" in done.stderr


@pytest.mark.parametrize("statement", ["import heads.no_such_head", "1 / 0", "import json.no_such_module"])
def test_other_errors_keep_their_traceback(statement):
    done = hooked(statement)
    assert done.returncode == 1 and "Traceback" in done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A folder with setup.sh and an environment that is up to date."""
    for name in ("setup.sh", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    shutil.copy(tmp_path / "requirements.txt", tmp_path / ".venv/installed-requirements.txt")
    return tmp_path


def bash(checkout, *command, **settings):
    environment = {"PATH": os.environ["PATH"], **settings}
    return subprocess.run(
        [shutil.which("bash"), *command], capture_output=True, text=True, cwd=checkout, env=environment
    )


def test_setup_runs_by_itself_and_sourced(checkout):
    alone = bash(checkout, "setup.sh")
    assert alone.returncode == 0 and ".venv/bin/python" in alone.stdout and not alone.stderr
    sourced = bash(checkout, "-c", '. ./setup.sh; echo "$python"')
    assert sourced.returncode == 0 and sourced.stdout == ".venv/bin/python\n"


def test_setup_without_python(checkout):
    shutil.rmtree(checkout / ".venv")
    done = bash(checkout, "setup.sh", PYTHON="no-such-python", PATH=str(checkout))
    assert done.returncode == 1 and "Python 3.11" in done.stderr
