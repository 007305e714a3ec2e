"""demo.sh with a Python that only notes its commands: their order, what the scripts say to them, and how it fails."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from test_readme import PARSED, flags_of

ROOT = Path(__file__).resolve().parents[1]
# Notes "begin" and "end" of every command; fails where the command holds the word FAIL.
PYTHON = """#!/usr/bin/env bash
here=$(dirname "$0")/../..
echo "begin $(printf '%q ' "$@")" >> "$here/calls"
[ -z "$FAIL" ] || case " $* " in *" $FAIL "*) printf 'first line\\n%s\\n' "the last line"; exit 1 ;; esac
echo "end $(printf '%q ' "$@")" >> "$here/calls"
"""


@pytest.fixture
def demo(tmp_path):
    """demo(**environment) -> CompletedProcess, with the commands in `calls`: ["begin script …", "end script …", …]."""
    for name in ("demo.sh", "setup.sh", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    shutil.copy(tmp_path / "requirements.txt", tmp_path / ".venv/installed-requirements.txt")

    def run(*words, **environment):
        environment = {"PATH": os.environ["PATH"], **environment}
        done = subprocess.run(
            ["bash", "demo.sh", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        done.calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
        return done

    return run


def output_of(command):
    return command[command.index("--output_dir") + 1] if "--output_dir" in command else None


def test_scripts_accept_the_commands_and_steps_wait_for_what_they_read(demo):
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    written = set()
    for call in done.calls:
        happening, script, *argv = shlex.split(call)
        if happening == "end":
            written.add(output_of(argv))
        elif script in PARSED:
            assert PARSED[script](argv)
            assert argv[argv.index("--model_name_or_path") + 1] in {*written, "demo/toy/model"}
        else:
            assert {word for word in argv if word.startswith("--")} <= flags_of(script)
    tables = [call for call in done.calls if call.startswith("begin compare.py")]
    assert ["xnli", "panx", "xquad", "tatoeba"] == [call.split("-")[-1].strip() for call in tables]


def test_a_failed_step_shows_the_end_of_its_log(demo):
    done = demo(FAIL="panx")
    assert done.returncode == 1 and "the last line" in done.stdout
    assert "pretrained-panx" in done.stderr and "logs/pretrained-panx.log" in done.stderr
    assert not any("compare.py" in call for call in done.calls)


def test_real_text_is_downloaded_and_studied(demo, tmp_path):
    study = tmp_path / "recipes/run.sh"
    study.parent.mkdir()
    study.write_text('echo "$DATA_DIR into $OUTPUT: $*" > study', encoding="utf-8")
    done = demo("real", OUTPUT="here", HUB_ROOT="a mirror")
    assert done.returncode == 0, done.stdout + done.stderr
    (_, download, *argv), (_, compare, *runs) = (shlex.split(call) for call in done.calls if call.startswith("begin"))
    assert (download, compare) == ("download_data.py", "compare.py") and PARSED[download](argv)
    assert argv[-3:] == ["--hub_root", "a mirror", "--allow_partial"] and output_of(argv) == "here/data"
    assert (tmp_path / "study").read_text() == "here/data into here: recipes/demo/real.yaml small\n"
    assert runs == ["here/outputs/direct-panx-seed1", "here/outputs/mnli-panx-seed1"]
