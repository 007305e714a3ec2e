"""The studies: commands, checks, the hardware they choose, and (slow) a shrunken study that is killed and goes on."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import perturb
import report
import run_alignment
import run_intermediate
import run_translation
import run_xtreme
from common import arguments
from mixture import plan
from reporting.runs import FLOORS
from tasks import NINE, TARGETS

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ("study1_noise", "study2_non_latin", "study4_alignment", "study5_translation")
LEFT_BEHIND = ("__pycache__", "data", "outputs", "studies", "toy", "demo", "noised*", ".*")


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository whose .venv is the Python of these tests."""
    folder = tmp_path_factory.mktemp("recipes") / "a checkout"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    executable(folder / ".venv/bin/python", f'exec {shlex.quote(sys.executable)} "$@"')
    executable(folder / ".venv/bin/torchrun", f'exec {shlex.quote(sys.executable)} -m torch.distributed.run "$@"')
    shutil.copy(folder / "requirements.txt", folder / ".venv/installed-requirements.txt")
    return folder


def clean_environment(settings, path=""):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PATH": f"{path}{os.pathsep * bool(path)}{kept['PATH']}", "CUDA_VISIBLE_DEVICES": "", **settings}


def recipe(folder, study, path="", cwd=None, **settings):
    command = ["bash", f"{folder}/recipes/{study}.sh"]
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "cwd": cwd or folder}
    return subprocess.run(command, env=clean_environment(settings, path), **options)


def listed(done):
    """[(words before the script, script, its arguments)] of a dry run."""
    assert done.returncode == 0, done.stderr
    commands = []
    for line in done.stdout.splitlines():
        if line.startswith(".venv/bin/"):
            words = shlex.split(line)
            index = next(index for index, word in enumerate(words) if word.endswith(".py"))
            commands.append((words[:index], words[index], words[index + 1 :]))
    return commands


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("scale", ["toy", "full"])
@pytest.mark.parametrize("study", STUDIES)
def test_dry_run_lists_commands_that_the_scripts_accept_and_touches_nothing(checkout, study, scale):
    before = files(checkout)
    done = recipe(checkout, study, SCALE=scale, DRY_RUN="1", ROBUST_FLAGS="--weight_decay 0.1")
    assert files(checkout) == before
    outputs = set()
    for _, script, argv in listed(done):
        if script == "run_xtreme.py":
            args, _, given = arguments.parse(run_xtreme.build_parser(), argv)
            assert args.task in TARGETS and {"do_train", "do_predict"} & set(given) and args.model_name_or_path
            assert [token.partition("=")[0] for token in args.conditions][0] == "clean"
            assert args.tag_piece == ("first_letter" if TARGETS[args.task].kind == "tagging" else None)
            assert args.model_name_or_path in {*outputs, "xlm-roberta-large"}  # trained before
        elif script == "run_intermediate.py":
            args, _, given = arguments.parse(run_intermediate.build_parser(), argv)
            run_intermediate.check_arguments(args, given)
            assert plan.make_plan(args).tasks
        elif script == "run_translation.py":
            args, _, given = arguments.parse(run_translation.build_parser(), argv)
            assert args.conditions[0].startswith("clean=") and len(args.conditions) > 2 and "do_predict" in given
            assert args.model_name_or_path in {*outputs, "xlm-roberta-large"}
        elif script == "run_alignment.py":
            args, _, given = arguments.parse(run_alignment.build_parser(), argv)
            assert args.model_name_or_path in {*outputs, "xlm-roberta-large"} and len(args.conditions) > 3
        elif script == "perturb.py":
            args = perturb.build_parser().parse_args(argv)
            assert set(args.ops) <= perturb.OPERATIONS.keys() and set(args.tasks) <= {*TARGETS, "lines"}
        elif script == "report.py":
            assert report.build_parser().parse_args(argv).baseline
        else:
            assert script in ("toy_data.py", "tools/permute_targets.py")
        if script.startswith("run_"):
            assert given["output_dir"] not in outputs
            outputs.add(given["output_dir"])
    assert f"{len(listed(done))} commands" in done.stdout
    assert re.search(r"about [\d,]+ GPU hours" if scale == "full" else r"about \d+ minutes", done.stdout)
    assert ("GB kept" in done.stdout and "assumed" in done.stdout) == (scale == "full")


def test_translation_compares_encoders_by_the_same_decoders(checkout):
    """Frozen and then unfrozen, from every encoder and floor, each decoder seed; English-only is the baseline."""
    commands = listed(recipe(checkout, "study5_translation", DRY_RUN="1"))
    runs = {}
    for _, script, argv in commands:
        if script == "run_translation.py":
            args, _, given = arguments.parse(run_translation.build_parser(), argv)
            runs[Path(given["output_dir"]).name] = args, given
    encoders, floors = ("none", "english", "multilingual", "robust"), ("random", "permuted")
    frozen = [f"{name}-seed{seed}" for name in (*encoders, *floors) for seed in "123"]
    unfrozen = [f"{name}-unfrozen-seed{seed}" for name in encoders for seed in "123"]
    assert list(runs) == [*frozen, *unfrozen]
    for name in frozen:
        args, given = runs[name]
        setting, seed = name.split("-seed")
        assert (args.freeze, args.decoder_seed, given["seed"]) == ("encoder", int(seed), seed)
        assert args.random_encoder == (setting == "random")
        assert args.data_dir.endswith("permuted" if setting == "permuted" else "parallel/pairs")
        assert Path(args.model_name_or_path).name == (setting if setting in encoders[1:] else "pretrained")
    for name in unfrozen:
        args, _ = runs[name]
        assert (args.freeze, args.decoder_seed) == ("embeddings", None)
        assert Path(args.model_name_or_path).name == name.replace("-unfrozen", "")
    reports = [report.build_parser().parse_args(argv) for _, script, argv in commands if script == "report.py"]
    names = [list(dict.fromkeys(token.partition("=")[0] for token in one.runs)) for one in reports]
    assert names[0] == ["no intermediate training", "English-only", "multilingual", "robust", *FLOORS]
    assert names[1] == names[0][:4] and all(one.baseline[0].startswith("English-only=") for one in reports)
    trained = {Path(argv[argv.index("--output_dir") + 1]).name: argv for _, script, argv in commands
               if script == "run_intermediate.py"}  # fmt: skip
    tasks = {name: argv[argv.index("--tasks") + 1] for name, argv in trained.items() if name != "pretrained"}
    assert tasks == {"english": "mnli", "multilingual": "mnli", "robust": "mnli"}
    assert "--task_languages" in trained["multilingual"] and "--task_languages" not in trained["english"]


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"ENCODERS": "english german"}, "ENCODERS: german is unknown"),
        ({"FLOORS": "zero"}, "FLOORS: zero is unknown"),
        ({"OPS": ""}, "OPS is empty"),
        ({"DECODER_SEEDS": "1 1"}, "SEEDS: 1 stands twice"),
    ],
)
def test_settings_of_translation_that_cannot_be(checkout, settings, says):
    done = recipe(checkout, "study5_translation", DRY_RUN="1", **settings)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1


def test_permuted_targets_keep_all_lines(tmp_path):
    (tmp_path / "pairs").mkdir()
    for name in ("train.de-en.de", "train.de-en.en", "dev.de-en.en"):
        (tmp_path / "pairs" / name).write_text("".join(f"{name[-2:]} {number}\n" for number in range(50)))
    flags = ["--data_dir", tmp_path / "pairs", "--output_dir", tmp_path / "out"]
    subprocess.run([sys.executable, ROOT / "tools/permute_targets.py", *flags], check=True, capture_output=True)
    texts = [{path.name: path.read_text().splitlines() for path in (tmp_path / folder).iterdir()}
             for folder in ("pairs", "out")]  # fmt: skip
    assert texts[0].keys() == texts[1].keys()
    assert [name for name in texts[0] if texts[0][name] != texts[1][name]] == ["train.de-en.en"]
    english = texts[1]["train.de-en.en"]
    assert sorted(english) == sorted(texts[0]["train.de-en.en"])
    assert sum(line == f"en {number}" for number, line in enumerate(english)) < 10


def test_settings_and_folders_at_both_sizes(checkout):
    full = listed(recipe(checkout, "study1_noise", SCALE="full", DRY_RUN="1"))
    folders = [Path(argv[argv.index("--output_dir") + 1]).name for _, _, argv in full]
    targets = [name for name, task in TARGETS.items() if task.kind != "dual_encoder"]
    assert {*NINE, "all"} <= set(folders)
    for setting in ("direct", *NINE, "all"):
        for target in targets:
            seeds = "1" if TARGETS[target].kind == "retrieval" else "123"
            assert [f"{setting}-{target}-seed{seed}" in folders for seed in "123"] == [seed in seeds for seed in "123"]
    toy = listed(recipe(checkout, "study1_noise", DRY_RUN="1"))
    conditions = next(argv for _, script, argv in toy if script == "run_xtreme.py")
    noised = {token.partition("=")[0] for token in conditions if "noised" in token}
    assert len({name.split("-")[0] for name in noised}) == 3 and {"swap-3", "swap-3-r1", "swap-3-r2"} <= noised
    assert sum(script == "run_xtreme.py" for _, script, _ in toy) == 4 * (2 * 2 + 1)


def test_several_seeds_of_phase_2_are_several_encoders_of_a_setting(checkout):
    commands = listed(recipe(checkout, "study1_noise", PHASE2_SEEDS="3 5", TARGETS="xnli", DRY_RUN="1"))
    flags = [(script, dict(zip(argv, argv[1:]))) for _, script, argv in commands]
    trained = {Path(one["--output_dir"]).name: one["--seed"] for script, one in flags
               if script == "run_intermediate.py" and "--seed" in one}  # fmt: skip
    assert trained == {name + more: seed for name in ("mnli", "squad", "mnli+squad")
                       for more, seed in (("", "3"), ("-encoder5", "5"))}  # fmt: skip
    fine_tuned = {Path(one["--output_dir"]).name: Path(one["--model_name_or_path"]).name for script, one in flags
                  if script == "run_xtreme.py"}  # fmt: skip
    assert len(fine_tuned) == 2 + 2 * 6 and fine_tuned["mnli-encoder5-xnli-seed2"] == "mnli-encoder5"
    assert fine_tuned["mnli-xnli-seed1"] == "mnli" and fine_tuned["direct-xnli-seed2"] == "pretrained"


def test_dry_run_needs_no_packages(checkout, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns(".venv"))
    executable(tmp_path / "bin/bare-python", f'exec {shlex.quote(sys.executable)} -S -E "$@"')
    done = recipe(folder, "study2_non_latin", SCALE="full", DRY_RUN="1", PYTHON=str(tmp_path / "bin/bare-python"))
    assert len(listed(done)) > 100 and not (folder / ".venv").exists()


def test_paths_with_spaces_and_other_folders(checkout, tmp_path):
    settings = {"OUTPUT": "my study", "MODEL": "Org/model", "TARGETS": "xnli", "SEEDS": "7", "OPS": ""}
    commands = listed(recipe(checkout, "study1_noise", cwd=tmp_path, DRY_RUN="1", **settings))
    assert not any(script == "perturb.py" for _, script, _ in commands)
    *_, (_, script, last) = commands
    assert script == "report.py" and last[last.index("--output_dir") + 1] == f"{tmp_path}/my study/report"
    first = next(argv for _, script, argv in commands if script == "run_xtreme.py")
    assert first[first.index("--model_name_or_path") + 1] == "Org/model"  # a Hub id is no path
    assert first[first.index("--conditions") + 1] == f"clean={tmp_path}/my study/toy/xtreme"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"SCALE": "huge"}, "SCALE=huge: choose toy or full"),
        ({"DRY_RUN": "yes"}, "DRY_RUN=yes"),
        ({"TARGETS": "xnli pnax"}, "'panx'"),
        ({"INTERMEDIATES": "mnli+sqaud"}, "'squad'"),
        ({"INTERMEDIATES": "mnli mnli"}, "mnli stands twice"),
        ({"OPS": "keybord"}, "'keyboard'"),
        ({"LEVELS": "0"}, "LEVELS=0"),
        ({"SEEDS": "one"}, "SEEDS=one"),
        ({"SEEDS": "1 1"}, "1 stands twice"),
        ({"PHASE2_SEEDS": "1 1"}, "PHASE2_SEEDS: 1 stands twice"),
        ({"PHASE2_SEEDS": "x"}, "PHASE2_SEEDS=x"),
        ({"WORST_OF": "swap-5"}, "WORST_OF=swap-5"),
        ({"JOBS": "-1"}, "JOBS=-1"),
        ({"REPLICATES": "x"}, "REPLICATES=x"),
        ({"DATA_DIR": "nowhere"}, "DATA_DIR=nowhere: no such folder"),
        ({"SCALE": "full"}, "nvidia-smi finds no GPU"),
    ],
    ids=str,
)
def test_bad_settings_are_one_line_and_write_nothing(checkout, settings, message):
    before = files(checkout)
    done = recipe(checkout, "study1_noise", **settings)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
    assert {path for path in files(checkout) if "__pycache__" not in path.parts} == set(before)


@pytest.mark.parametrize(
    "memories, visible, launch, configuration",
    [
        ("81559", "", ".venv/bin/python", None),
        (8 * "40960\n", "", ".venv/bin/torchrun --standalone --nproc_per_node 8", None),
        (4 * "24564\n", "", ".venv/bin/torchrun --standalone --nproc_per_node 4", "ds_configs/zero2.json"),
        ("16384", "", ".venv/bin/python", "ds_configs/zero2_offload.json"),
        (4 * "81559\n", "0,2", ".venv/bin/torchrun --standalone --nproc_per_node 2", None),
    ],
)
def test_launcher_and_deepspeed_follow_the_gpus(checkout, tmp_path, memories, visible, launch, configuration):
    executable(tmp_path / "nvidia-smi", f"printf '{memories.strip()}\\n'")
    settings = {"SCALE": "full", "DRY_RUN": "1", "CUDA_VISIBLE_DEVICES": visible}
    for prefix, script, argv in listed(recipe(checkout, "study2_non_latin", path=str(tmp_path), **settings)):
        if script.startswith("run_"):
            assert " ".join(prefix) == launch
            assert (argv[argv.index("--deepspeed") + 1] if "--deepspeed" in argv else None) == configuration
        else:
            assert prefix == [".venv/bin/python"]


def test_missing_data_names_the_download(checkout, tmp_path):
    executable(tmp_path / "nvidia-smi", "echo 81559")
    done = recipe(checkout, "study1_noise", path=str(tmp_path), SCALE="full")
    assert done.returncode == 2 and "download_data.py" in done.stderr and not (checkout / "studies").exists()


SMALL = {
    "TARGETS": "panx tatoeba", "INTERMEDIATES": "mnli", "OPS": "swap keyboard", "LEVELS": "3", "REPLICATES": "2",
    "SEEDS": "1", "JOBS": "2", "LANGUAGES": "en de zh",  # keyboard does not apply to zh
    "PHASE1_FLAGS": "--max_seq_length 32 --max_steps 3 --learning_rate 1e-3 --max_train_samples 200",
    "PHASE2_FLAGS": "--max_seq_length 64 --max_steps 3 --collapse_guard off --max_train_samples 64",
    "PHASE3_FLAGS": "--max_seq_length 64 --max_steps 40 --learning_rate 2e-3",  # enough not to count as collapsed
}  # fmt: skip


def results_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_killed_study_goes_on_and_a_finished_one_is_skipped(checkout, tmp_path):
    output = tmp_path / "my study"
    settings = {**SMALL, "OUTPUT": str(output)}
    command = ["bash", f"{checkout}/recipes/study1_noise.sh"]
    first = subprocess.Popen(command, env=clean_environment(settings), cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.time() + 600
    while not (output / "outputs/direct-panx-seed1/run.json").exists():
        assert first.poll() is None and time.time() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)  # its steps live on for a while
    first.wait()

    done = recipe(checkout, "study1_noise", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/10]" in done.stdout and (output / "report/index.html").stat().st_size > 10_000
    assert not list(output.rglob("checkpoint-*"))
    results = {path: path.read_bytes() for path in output.rglob("results.jsonl")}
    assert len(results) == 6

    again = recipe(checkout, "study1_noise", **settings)
    assert again.returncode == 0 and "6 finished before" in again.stdout
    assert not re.search(r"\] \S+ run_", again.stdout)
    other_flags = {"PHASE2_FLAGS": settings["PHASE2_FLAGS"].replace("3", "4")}
    other = recipe(checkout, "study1_noise", **{**settings, **other_flags})
    assert other.returncode == 1 and "holds another run" in other.stdout and "logs/mnli.log" in other.stdout
    # Runs look again where the files that they name changed.
    settings.update(DATA_DIR=str(tmp_path / "xtreme"), MODEL=str(output / "outputs/pretrained"))
    shutil.copytree(output / "toy/xtreme", settings["DATA_DIR"])
    moved = recipe(checkout, "study1_noise", **settings)
    assert moved.returncode == 0, moved.stdout + moved.stderr
    # Of the same files: no cell was computed again.
    assert {path: path.read_bytes() for path in output.rglob("results.jsonl")} == results
    test = Path(settings["DATA_DIR"], "panx/test-de.tsv")
    test.write_text(test.read_text(encoding="utf-8").partition("\n\n")[0] + "\n\n", encoding="utf-8")
    changed = recipe(checkout, "study1_noise", **settings)
    assert changed.returncode == 0 and len(re.findall(r"\] \S+ run_xtreme", changed.stdout)) == 4
    results = results_of(output / "outputs/mnli-panx-seed1")
    assert {result["n"] for result in results if result["language"] == "de"} == {1}
