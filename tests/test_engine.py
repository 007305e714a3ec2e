"""The engine behind the studies, with scripts that only say that they ran: GPUs, kills, locks, Slurm; its parts."""

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from test_recipes import ROOT, checkout, clean_environment, executable, listed, recipe  # noqa: F401 (a fixture)

sys.path.append(str(ROOT / "recipes"))
import job  # noqa: E402
import runs  # noqa: E402
import study  # noqa: E402

# Stands in for every script: says when it ran on which GPUs, and leaves a finished run.
STUB = """
import json, os, sys, time
from pathlib import Path

folder, began = Path(sys.argv[sys.argv.index("--output_dir") + 1]), time.time()
folder.mkdir(parents=True, exist_ok=True)
(folder / "pid").write_text(str(os.getpid()))
time.sleep(float(os.environ.get("STUB_SECONDS", 0.3)))
(folder / "run.json").write_text(json.dumps({"finished_at": "now"}))
(folder / "checkpoint-3").mkdir(exist_ok=True)
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps([folder.name, os.environ.get("CUDA_VISIBLE_DEVICES"), began, time.time()]) + "\\n")
"""
TINY = """
title: Tiny
question: Does the engine work?
answer: yes
intermediates: [mnli]
targets: [xnli]
seeds: [1, 2]
"""
STEPS = [
    "direct-xnli-seed1",
    "direct-xnli-seed2",
    "mnli",
    "mnli-xnli-seed1",
    "mnli-xnli-seed2",
    "pretrained",
    "report",
    "toy",
]


@pytest.fixture
def stubs(checkout, tmp_path):  # noqa: F811
    for name in ("toy_data.py", "run_intermediate.py", "run_xtreme.py", "report.py"):
        (checkout / name).write_text(STUB, encoding="utf-8")
    (checkout / "tiny.yaml").write_text(TINY, encoding="utf-8")
    settings = {"RECORD": str(tmp_path / "record"), "OUTPUT": str(tmp_path / "out"), "JOBS": "2", "STUDY_WAIT": "0.2"}
    return SimpleNamespace(folder=checkout, settings=settings, out=tmp_path / "out", record=tmp_path / "record")


def go(stubs, *words, **more):
    return recipe(stubs.folder, "tiny.yaml", "toy", *words, **{**stubs.settings, **more})


def recorded(stubs):
    return [json.loads(line) for line in stubs.record.read_text(encoding="utf-8").splitlines()]


def test_one_run_per_gpu_each_alone_on_its_own_and_a_finished_study_does_nothing(stubs):
    done = go(stubs, GPUS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = recorded(stubs)
    assert sorted(name for name, *_ in steps) == STEPS
    on_gpus = [(gpu, began, ended) for name, gpu, began, ended in steps if name not in ("toy", "report")]
    assert {gpu for gpu, *_ in on_gpus} == {"0", "1"}  # the only ones that a run sees
    for gpu in "01":
        times = sorted((began, ended) for own, began, ended in on_gpus if own == gpu)
        assert all(ended <= began for (_, ended), (began, _) in zip(times, times[1:]))
    assert not list((stubs.out / "outputs").rglob("checkpoint-*"))

    began = time.time()
    again = go(stubs, GPUS="2")
    assert again.returncode == 0 and len(recorded(stubs)) == len(steps) and time.time() - began < 30


def test_runs_of_a_small_model_share_a_gpu(stubs):
    done = go(stubs, GPUS="1", RUNS_PER_GPU="2", STUB_SECONDS="1.5")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {name: (gpu, began, ended) for name, gpu, began, ended in recorded(stubs) if name not in ("toy", "report")}
    assert {gpu for gpu, *_ in steps.values()} == {"0"}
    pairs = itertools.combinations(steps.values(), 2)
    assert any(first < end and begin < last for (_, begin, end), (_, first, last) in pairs)


def test_killed_engine_and_killed_step_go_on(stubs):
    command = ["bash", f"{stubs.folder}/recipes/run.sh", "tiny.yaml", "toy"]
    environment = clean_environment({**stubs.settings, "STUB_SECONDS": "4"})
    engine = subprocess.Popen(
        command, cwd=stubs.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(stubs.out / "toy/pid")
    second = go(stubs)
    assert second.returncode == 2 and "another engine is at work there" in second.stderr and not second.stdout
    os.kill(int((stubs.out / "toy/pid").read_text()), signal.SIGKILL)
    assert engine.wait() == 1  # the step's end is the study's

    engine = subprocess.Popen(
        command, cwd=stubs.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(stubs.out / "outputs/pretrained/pid")
    engine.kill()
    engine.wait()
    done = go(stubs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name, *_ in recorded(stubs)} == set(STEPS)


def wait_for(path):
    deadline = time.time() + 120
    while not path.exists() or not path.read_text():
        assert time.time() < deadline
        time.sleep(0.05)


def test_a_failed_step_shows_its_last_lines_and_its_log(stubs):
    (stubs.folder / "run_intermediate.py").write_text("raise SystemExit('no such thing as a lunch')", encoding="utf-8")
    done = go(stubs)
    assert done.returncode == 1 and "no such thing as a lunch" in done.stdout
    assert f"pretrained failed; its log is {stubs.out}/logs/pretrained.log" in done.stdout


@pytest.mark.slow
def test_slurm_gets_a_job_for_every_step(stubs, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    jobs = tmp_path / "slurm"
    executable(jobs / "bin/sbatch", f'exec {shlex.quote(sys.executable)} {jobs}/sbatch.py "$@"')
    (jobs / "sbatch.py").write_text(SBATCH, encoding="utf-8")
    executable(jobs / "bin/sacct", f"cat {jobs}/states 2> /dev/null || true")
    executable(jobs / "bin/squeue", f"cat {jobs}/states 2> /dev/null || true")
    for name in ("scontrol", "sinfo", "sacctmgr", "scancel", "sshare"):
        executable(jobs / f"bin/{name}", "true")
    executable(jobs / "bin/srun", 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"')
    flags = ["--executor", "slurm", "--default-resources", "slurm_account=me", "slurm_partition=gpu"]
    flags += ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
    done = go(stubs, *flags, path=f"{jobs}/bin", GPUS="8", JOBS="4", SEEDS="1", INTERMEDIATES="", SLURM_JOBS=str(jobs))
    assert done.returncode == 0, done.stdout + done.stderr
    scripts = {path.name: path.read_text(encoding="utf-8") for path in jobs.glob("*.sh")}
    assert len(scripts) == len(recorded(stubs)) == 4
    assert sum("--gpus=1" in text for text in scripts.values()) == 2  # the world and the report need none
    assert {gpu for name, gpu, *_ in recorded(stubs) if name not in ("toy", "report")} == {"slurm's"}  # Slurm's choice


# Keeps what was submitted, and carries it out at once.
SBATCH = """
import os, subprocess, sys
from pathlib import Path

jobs = Path(os.environ["SLURM_JOBS"])
number = len(list(jobs.glob("*.sh"))) + 1
wrapped = next(word.partition("=")[2] for word in sys.argv if word.startswith("--wrap="))
(jobs / f"{number}.sh").write_text(" ".join(sys.argv[1:]))
own = {"SLURM_JOB_ID": str(number), "CUDA_VISIBLE_DEVICES": "slurm's", "SLURM_CPUS_PER_TASK": "1"}
end = f"[ $? = 0 ] && state=COMPLETED || state=FAILED; echo '{number}|'$state >> {jobs}/states"
command = ["bash", "-c", f"({wrapped}) > {jobs}/{number}.log 2>&1; {end}"]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen(command, env={**os.environ, **own}, start_new_session=True, **quiet)
print(number)
"""


# --- A step


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "WAIT", 0.05)
    monkeypatch.setattr(job.tempfile, "gettempdir", lambda: str(tmp_path))
    return SimpleNamespace(name="a", output=tmp_path, gpus=[], take=0)


def test_a_step_that_a_signal_stopped_is_not_done(place, tmp_path, monkeypatch, capsys):
    """It saves a checkpoint and exits with 0."""
    script, folder = tmp_path / "run_it.py", tmp_path / "outputs/a"
    script.write_text("print('saved; run the same command again to go on')", encoding="utf-8")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"started_at": "now"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "run_it.py", "--output_dir", str(folder)]
    assert job.carry_out(place, command) == 1
    assert "again to go on\na was stopped; its log is" in capsys.readouterr().out
    (folder / "run.json").write_text('{"finished_at": "now"}', encoding="utf-8")
    assert job.carry_out(place, command) == 0


def test_a_stamp_changes_with_what_a_step_made_alone(place, tmp_path):
    """So a step after it runs again, and does not where everything was found done."""
    folder = tmp_path / "outputs/a"
    folder.mkdir(parents=True)
    command = ["python", "run_it.py", "--output_dir", str(folder)]
    for name in ("run.json", "results.jsonl", "model.safetensors"):
        (folder / name).write_text("{}", encoding="utf-8")
    first = job.fingerprint(command)
    (folder / "run.json").write_text('{"later": 1}', encoding="utf-8")
    (folder / "results.jsonl").write_text("{}", encoding="utf-8")
    assert job.fingerprint(command) == first
    os.utime(folder / "model.safetensors", ns=(1, 1))  # trained again
    assert job.fingerprint(command) != first
    assert job.fingerprint(["report.py"]) == ""


def test_a_step_waits_while_a_killed_studys_step_still_writes_its_folder(place, tmp_path):
    script = tmp_path / "busy.sh"
    script.write_text(
        f"[ -e {tmp_path}/free ] || {{ touch {tmp_path}/free; echo '{job.BUSY}'; exit 2; }}", encoding="utf-8"
    )
    assert job.carry_out(place, ["bash", str(script)]) == 0 and (tmp_path / "free").exists()


def test_noise_that_applies_to_nothing_is_left_out(tmp_path):
    (tmp_path / "noised/swap-1").mkdir(parents=True)
    words = [
        f"clean={tmp_path}",
        f"swap-1={tmp_path}/noised/swap-1",
        f"jamo-1={tmp_path}/noised/jamo-1",
        "--x=1",
        "b=/no",
    ]
    assert job.with_noise_that_applies(words, tmp_path) == [*words[:2], *words[3:]]


def test_gpus_are_taken_by_one_step_and_free_after_it(place):
    with job.taken(["0", "1"], 1) as first, job.taken(["0", "1"], 1) as second:
        assert {*first, *second} == {"0", "1"}
    with job.taken(["0", "1"], 2) as both, job.taken(["0"], 0) as none:
        assert (both, none) == (["0", "1"], [])


# --- Names and files


def test_files_of_other_languages_are_not_looked_at():
    assert runs.spoken("test-de.tsv", ["en", "de"]) and not runs.spoken("test-fr.tsv", ["en", "de"])
    assert runs.spoken("tydiqa.fi.dev.json", ["fi"]) and not runs.spoken("test-context-ar-question-ar.json", ["de"])
    assert (
        runs.spoken("de-en.de", ["de"]) and not runs.spoken("ka-en.en", ["de"]) and runs.spoken("train.jsonl", ["de"])
    )


def test_a_setting_is_read_by_its_defaults_type():
    file = ROOT / "recipes/study1/toy.yaml"
    outside = {"SEEDS": "4 5", "MODELS": "a=x b=y", "ALIGNMENT": "true", "GPUS": "3", "TARGETS": "", "OPS": ""}
    settings = study.read_settings(file, "toy", outside)
    assert (settings.seeds, settings.models, settings.alignment, settings.gpus) == (
        ["4", "5"],
        {"a": "x", "b": "y"},
        True,
        3,
    )
    assert settings.ops == [] and settings.targets == [
        "xnli",
        "panx",
        "tatoeba",
    ]  # no targets is none, no noise is meant


def test_noise_that_applies_to_nothing_is_no_condition(tmp_path):
    (tmp_path / "outputs/anli-xnli-seed1").mkdir(parents=True)
    (tmp_path / "noised/swap-1").mkdir(parents=True)
    kept = ["report.py", "--runs", f"anli={tmp_path}/outputs/anli-xnli-seed1", f"swap-1={tmp_path}/noised/swap-1"]
    command = [*kept, f"ime-1={tmp_path}/noised/ime-1"]
    assert job.with_noise_that_applies(command, tmp_path) == kept
