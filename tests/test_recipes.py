"""The studies: their plans, checks, the hardware they choose; (slow) a shrunken study that is killed and goes on."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

import perturb
import report
import run_alignment
import run_intermediate
import run_xtreme
from common import arguments
from mixture import plan
from tasks import NINE, TARGETS

pytest.importorskip("snakemake")
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "recipes"))
import cost  # noqa: E402
import runs  # noqa: E402
import study  # noqa: E402

STUDIES = ("study1", "study2", "study3", "study4", "study5")
STARTING = ("run_attack.py", "run_translation.py")
OTHER_SCRIPTS = (*STARTING, "toy_data.py", "run_intermediate.py", "tools/trim_encoder.py", "tools/permute_targets.py")
LEFT_BEHIND = shutil.ignore_patterns(
    "__pycache__", "data", "outputs", "studies", "toy", "demo", "demo-*", "noised*", ".*"
)
MODELS = {"intfloat/multilingual-e5-small", "xlm-roberta-base", "xlm-roberta-large"}  # of the Hub


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository whose .venv is the Python of these tests."""
    folder = tmp_path_factory.mktemp("recipes") / "a checkout"
    shutil.copytree(ROOT, folder, ignore=lambda path, names: LEFT_BEHIND(path, names) if path == str(ROOT) else ())
    executable(folder / ".venv/bin/python", f'exec {shlex.quote(sys.executable)} "$@"')
    executable(folder / ".venv/bin/torchrun", f'exec {shlex.quote(sys.executable)} -m torch.distributed.run "$@"')
    shutil.copy(folder / "requirements.txt", folder / ".venv/installed-requirements.txt")
    return folder


def clean_environment(settings, path=""):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PATH": f"{path}{os.pathsep * bool(path)}{kept['PATH']}", "CUDA_VISIBLE_DEVICES": "", **settings}


def recipe(folder, *words, path="", cwd=None, **settings):
    """`bash recipes/run.sh WORDS`, with settings from the environment."""
    command = ["bash", f"{folder}/recipes/run.sh", *words]
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "cwd": cwd or folder}
    return subprocess.run(command, env=clean_environment(settings, path), **options)


def listed(done):
    """[(words before the script, script, its arguments)] of a plan."""
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


def value(argv, flag):
    return argv[argv.index(flag) + 1] if flag in argv else None


def without_others_flags(argv):
    """Without the flags of scripts and options that may not be merged yet."""
    argv = list(argv)
    for flag in ("--robust", "--train_noise", "--consistency"):
        if flag in argv and flag not in flags_now():
            del argv[argv.index(flag) : argv.index(flag) + 2]
    return argv


def flags_now():
    return {option for action in run_xtreme.build_parser()._actions for option in action.option_strings}


@pytest.mark.parametrize(
    "name, size", [*product(STUDIES, ["toy", "small", "full"]), ("paper", "small"), ("robust", "small")]
)
def test_a_plan_lists_commands_that_the_scripts_accept_and_touches_nothing(checkout, name, size):
    before = files(checkout)
    done = recipe(checkout, name, size, "-n")
    assert files(checkout) == before
    made = set(MODELS)
    conditions = set()
    for _, script, argv in listed(done):
        argv = without_others_flags(argv)
        if script == "run_xtreme.py":
            args, _, given = arguments.parse(run_xtreme.build_parser(), argv)
            assert args.task in TARGETS and args.model_name_or_path in made  # trained before
            tags = "first" if "/protocol-" in given["output_dir"] else "first_letter"
            assert args.tag_piece == (tags if TARGETS[args.task].kind == "tagging" else None)
            trains = TARGETS[args.task].kind != "retrieval"
            assert trains or args.max_predict_samples is None  # its candidates count
            assert {"do_train", "do_predict"} & set(given) == (
                {"do_train", "do_predict"} if trains else {"do_predict"}
            )
            conditions.add(args.conditions[0].partition("=")[0])
        elif script == "run_intermediate.py" and "tlm" not in argv:
            args, _, given = arguments.parse(run_intermediate.build_parser(), argv)
            run_intermediate.check_arguments(args, given)
            assert plan.make_plan(args).tasks
        elif script == "run_alignment.py":
            args, _, given = arguments.parse(run_alignment.build_parser(), argv)
            assert args.model_name_or_path in made and len(args.conditions) > 1
        elif script == "perturb.py":
            args = perturb.build_parser().parse_args(argv)
            assert set(args.ops) <= perturb.OPERATIONS.keys() and set(args.tasks) <= {*TARGETS, "lines"}
        elif script == "report.py":
            assert report.build_parser().parse_args(argv).baseline
        else:
            assert script in OTHER_SCRIPTS
            assert script not in STARTING or value(argv, "--model_name_or_path") in made
        made.add(value(argv, "--output_dir"))
    assert ("clean" in conditions) == (name != "study5") and all(
        name.startswith("greedy-") for name in conditions - {"clean"}
    )
    assert f"{len(listed(done))} commands" in done.stdout
    unit = {"toy": r"about \d+ minutes", "small": r"about [\d.]+ core hours", "full": r"about [\d,.]+ GPU hours"}[size]
    assert re.search(unit, done.stdout) and ("GB kept" in done.stdout) == (size != "toy")


def test_every_configuration_is_short_and_says_what_would_be_an_answer():
    paths = sorted((ROOT / "recipes").glob("*/*.yaml"))
    assert {path.parent.name for path in paths} == {*STUDIES, "xtreme_r", "batches", "demo", "paper", "robust"}
    for path in paths:
        settings = study.read_settings(path, path.stem if path.stem in study.SIZES else "small", {})
        study.check(settings)
        assert settings.question and settings.answer and len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_settings_and_folders_at_full_size(checkout):
    full = listed(recipe(checkout, "study1", "full", "-n", GPUS="8"))
    folders = [Path(value(argv, "--output_dir")).name for _, _, argv in full]
    assert {*NINE, "all"} <= set(folders)
    for setting in ("direct", *NINE, "all"):
        for target in TARGETS:
            seeds = "1" if TARGETS[target].kind == "retrieval" else "123"
            assert [f"{setting}-{target}-seed{seed}" in folders for seed in "123"] == [seed in seeds for seed in "123"]


def test_settings_and_conditions_at_toy_size(checkout):
    toy = listed(recipe(checkout, "study1", "-n", INTERMEDIATES="mnli squad mnli+squad", ATTACKS=""))
    conditions = next(argv for _, script, argv in toy if script == "run_xtreme.py")
    noised = {token.partition("=")[0] for token in conditions if "noised" in token}
    assert len({name.split("-")[0] for name in noised}) == 3 and {"swap-3", "swap-3-r1", "swap-3-r2"} <= noised
    assert sum(script == "run_xtreme.py" for _, script, _ in toy) == 4 * (2 * 2 + 1)


def test_several_seeds_of_phase_2_are_several_encoders_of_a_setting(checkout):
    settings = {"INTERMEDIATES": "mnli mnli+squad", "PHASE2_SEEDS": "3 5", "TARGETS": "xnli", "ATTACKS": ""}
    commands = listed(recipe(checkout, "study1", DRY_RUN="1", **settings))
    flags = [(script, dict(zip(argv, argv[1:]))) for _, script, argv in commands]
    trained = {Path(one["--output_dir"]).name: one["--seed"] for script, one in flags
               if script == "run_intermediate.py" and "--seed" in one}  # fmt: skip
    assert trained == {name + more: seed for name in ("mnli", "mnli+squad")
                       for more, seed in (("", "3"), ("-encoder5", "5"))}  # fmt: skip
    fine_tuned = {Path(one["--output_dir"]).name: Path(one["--model_name_or_path"]).name for script, one in flags
                  if script == "run_xtreme.py"}  # fmt: skip
    assert len(fine_tuned) == 2 + 2 * 4 and fine_tuned["mnli-encoder5-xnli-seed2"] == "mnli-encoder5"
    assert fine_tuned["mnli-xnli-seed1"] == "mnli" and fine_tuned["direct-xnli-seed2"] == "pretrained"


def test_a_trimmed_encoder_keeps_the_pieces_of_all_that_a_translation_study_reads(checkout, tmp_path):
    wanted = [f"parallel/anki/train.{pair}" for pair in ("de-en.de", "de-en.en", "ja-en.ja")]
    wanted += [f"xtreme/tatoeba/{pair}" for pair in ("ru-en.ru", "ru-en.en")]
    for name in wanted:
        executable(tmp_path / "data" / name, "")
    done = recipe(checkout, "study5", "small", "-n", DATA_DIR=str(tmp_path / "data"), OUTPUT=str(tmp_path / "out"))
    commands = {script: argv for _, script, argv in listed(done)}
    text = commands["tools/trim_encoder.py"]
    assert {*(str(tmp_path / "data" / name) for name in wanted), str(tmp_path / "out/parallel")} <= {*text}
    noised = [value(argv, "--output_dir") for _, script, argv in listed(done) if script == "perturb.py"]
    assert noised == [str(tmp_path / "out/parallel")]  # no task's test sets


def test_without_snakemake_one_line_says_what_to_do(checkout, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns(".venv"))
    executable(tmp_path / "bin/bare-python", f'exec {shlex.quote(sys.executable)} -S -E "$@"')
    done = recipe(folder, "study2", "full", "-n", PYTHON=str(tmp_path / "bin/bare-python"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "install it with: bash setup.sh" in done.stderr
    assert not (folder / ".venv").exists()


def test_paths_with_spaces_and_other_folders(checkout, tmp_path):
    settings = {"OUTPUT": "my study", "MODEL": "Org/model", "TARGETS": "xnli", "SEEDS": "7", "OPS": "", "ATTACKS": ""}
    commands = listed(recipe(checkout, "study1", "-n", cwd=tmp_path, INTERMEDIATES="mnli", **settings))
    assert not any(script == "perturb.py" for _, script, _ in commands)
    *_, (_, script, last) = commands
    assert script == "report.py" and value(last, "--output_dir") == f"{tmp_path}/my study/report"
    first = next(argv for _, script, argv in commands if script == "run_xtreme.py")
    assert value(first, "--model_name_or_path") == "Org/model"  # a Hub id is no path
    assert value(first, "--conditions") == f"clean={tmp_path}/my study/toy/xtreme"
    # Rates and epochs of the invented world's tiny model are not for another one.
    assert not {"--learning_rate", "--num_train_epochs", "--collapse_guard"} & {
        word for _, _, argv in commands for word in argv
    }
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, settings, message",
    [
        (["study1", "huge"], {}, "size huge: choose toy, small, full"),
        (["study1"], {"SCALE": "huge"}, "size huge"),
        (["sutdy1"], {}, "did you mean 'study1'"),
        ([], {}, "STUDY is study1 study2"),
        (["study1"], {"DRY_RUN": "yes"}, "DRY_RUN=yes"),
        (["study1"], {"TARGETS": "xnli pnax"}, "'panx'"),
        (["study1"], {"INTERMEDIATES": "mnli+sqaud"}, "'squad'"),
        (["study1"], {"INTERMEDIATES": "mnli mnli"}, "mnli stands twice"),
        (["study1"], {"OPS": "keybord"}, "'keyboard'"),
        (["study1"], {"LEVELS": "0"}, "LEVELS=0"),
        (["study1"], {"SEEDS": "one"}, "SEEDS=one"),
        (["study1"], {"SEEDS": "1 1"}, "1 stands twice"),
        (["study1"], {"PHASE2_SEEDS": "1 1"}, "PHASE2_SEEDS: 1 stands twice"),
        (["study1"], {"PHASE2_SEEDS": "x"}, "PHASE2_SEEDS=x"),
        (["study1"], {"WORST_OF": "swap-5"}, "WORST_OF=swap-5"),
        (["study1"], {"JOBS": "-1"}, "JOBS=-1"),
        (["study1"], {"REPLICATES": "x"}, "REPLICATES=x"),
        (["study1"], {"DATA_DIR": "nowhere"}, "nowhere: no such folder; download"),
        (["study1", "small"], {}, "DATA_DIR=data/xtreme: no such folder; download it with"),
        (["study1", "full"], {}, "nvidia-smi finds no GPU"),
        (["mine.yaml"], {}, "no such study"),
        (["paper", "toy"], {}, "paper has no size toy; name small or full: bash recipes/run.sh paper full"),
        (["own.yaml"], {}, "tragets is no setting; did you mean 'targets'?"),
        (["study1", "-n", "full"], {}, "the size stands right after the study"),
        (["study1"], {"OUTPUT": "/proc/study"}, "OUTPUT=/proc/study: not writable"),
        (["study1", "full", "-n"], {"GPUS": "4", "CUDA_VISIBLE_DEVICES": "4,5"}, "4,5 shows 2"),
    ],
    ids=str,
)
def test_bad_settings_are_one_line_and_write_nothing(checkout, words, settings, message, tmp_path):
    (tmp_path / "own.yaml").write_text("tragets: [xnli]\n", encoding="utf-8")
    before = files(checkout)
    done = recipe(checkout, *words, cwd=tmp_path, **settings)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
    assert not [path for path in set(files(checkout)) - set(before) if "__pycache__" not in path.parts]


def settings_of(tmp_path, text="", size="toy", **environment):
    """Settings of a YAML of one target, checked."""
    file = tmp_path / "own.yaml"
    file.write_text(f"targets: [xnli]\n{text}\n", encoding="utf-8")
    settings = study.read_settings(file, size, environment)
    study.check(settings)
    return settings


@pytest.mark.parametrize(
    "text, environment, message",
    [
        ("variants: [a]", {}, "variants: ['a']: give name: value"),
        ("variants: {x: }", {}, "variants, x: None: give {tasks"),
        ("variants: {x: {task: mnli}}", {}, "did you mean 'tasks'?"),
        ("variants: {x: {tasks: mnlii}}", {}, "did you mean 'mnli'?"),
        ("variants: {x: {phase2_flags: --a}}", {}, "without tasks"),
        ("intermediates: [noised]\nvariants: {noised: {tasks: mnli}}", {}, "noised: a step has this name"),
        ("intermediates: [R&D]\nvariants: {R&D: {tasks: mnli}}", {}, "R&D: cannot name a folder"),
        ("trim: 'false'", {}, "trim: 'false': give true or false"),
        ("gpus: two", {}, "gpus: 'two': give a whole number"),
        ("jobs: -3", {}, "JOBS=-3"),
        ("a: [", {}, "own.yaml: not readable as YAML"),
        ("attacks: {greedy: --queries 3}", {}, "ATTACKS: greedy=--queries 3: give a search, its edits"),
        ("", {"ATTACKS": "greedy-2=--queries 3"}, "in quotes where a value has blanks"),
        ("", {"ATTACK_SETTINGS": "drect"}, "did you mean 'direct'?"),
        ("", {"TRIM": "maybe"}, "TRIM=maybe: give 1 or 0"),
        ("", {"TAG_PIECE": "frist"}, "did you mean 'first'?"),
        ("", {"EXAMPLES": "0 all"}, "EXAMPLES=0 all"),
        ("", {"SEEDS": "1 01"}, "SEEDS: 1 stands twice"),
        ("", {"KEEP_HEAD": "xcopa=sqia"}, "did you mean 'siqa'?"),
        ("", {"DEEPSPEED": "zero2"}, "name one of ds_configs/*.json"),
        ("", {"MODELS": "half=0"}, "MODELS, half: 0"),
        ("", {"TARGETS": " "}, "TARGETS: none given"),
    ],
    ids=str,
)
def test_impossible_settings(tmp_path, text, environment, message):
    with pytest.raises(study.InputError, match=re.escape(message)):
        settings_of(tmp_path, text, **environment)


def test_the_report_reads_the_runs_of_the_study_and_no_others(tmp_path):
    text = "intermediates: [noise, noise-r3f]\n"
    text += "variants: {noise: {phase3_flags: --train_noise mixed}, noise-r3f: {phase3_flags: --robust r3f}}"
    settings = settings_of(tmp_path, text, OUTPUT="out", SEEDS="1 2", ALIGNMENT="on")
    assert runs.named_runs(settings) == [
        *(f"out/outputs/direct-xnli-seed{seed}" for seed in "12"),
        *(f"{name}=out/outputs/{name}-xnli-seed{seed}" for name in ("noise", "noise-r3f") for seed in "12"),
        *("out/outputs/direct-alignment", "noise=out/outputs/noise-alignment"),
        *("noise-r3f=out/outputs/noise-r3f-alignment", "out/outputs/direct-xnli-alignment"),
        *(f"{name}=out/outputs/{name}-xnli-alignment" for name in ("noise", "noise-r3f")),
    ]
    base = [f"out/outputs/direct-{part}" for part in ("xnli-seed1", "xnli-seed2", "alignment")]
    assert runs.baselines(settings) == base


def test_a_baseline_named_after_a_task_is_trained_on_it(tmp_path):
    encoders = runs.encoders(settings_of(tmp_path, "baseline: mnli\nintermediates: [mnli, squad]"))
    assert {name: one.tasks for name, one in encoders.items()} == {"mnli": ("mnli",), "squad": ("squad",)}


def test_a_language_without_a_test_file_is_named_before_anything_runs(tmp_path):
    for file in ("data/xtreme/xnli/test-en.tsv", "data/intermediate/mnli/train.jsonl"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("")
    data = {"DATA_DIR": f"{tmp_path}/data"}
    study.check_data(settings_of(tmp_path, size="small", LANGUAGES="en", **data))
    with pytest.raises(study.InputError, match="LANGUAGES, de: xnli has no .*test-de.tsv"):
        study.check_data(settings_of(tmp_path, size="small", LANGUAGES="en de", **data))


def test_what_cannot_be_had_is_left_out_wherever_it_stands(tmp_path):
    (tmp_path / "intermediate").mkdir()
    text = "intermediates: [mnli, mnli+ccg, x, ccg]\nvariants: {x: {tasks: ccg squad}}"
    settings = settings_of(tmp_path, text, INTERMEDIATE_DIR=f"{tmp_path}/intermediate")
    assert settings.intermediates == ["mnli"] and len(settings.left_out) == 3


@pytest.mark.parametrize(
    "memories, visible, model, jobs, per_run, configuration",
    [
        ([81559], "", "xlm-roberta-large", 1, 1, ""),
        (8 * [40960], "", "xlm-roberta-large", 8, 1, ""),
        (4 * [24564], "", "xlm-roberta-large", 4, 4, "ds_configs/zero2.json"),
        ([16384], "", "xlm-roberta-large", 1, 1, "ds_configs/zero2_offload.json"),
        (4 * [24564], "", "xlm-roberta-base", 4, 1, ""),
        (8 * [81559], "", "facebook/xlm-roberta-xl", 8, 8, "ds_configs/zero3.json"),
        (4 * [81559], "0,2", "xlm-roberta-large", 2, 1, ""),
    ],
)
def test_one_run_per_gpu_where_the_model_fits(monkeypatch, memories, visible, model, jobs, per_run, configuration):
    monkeypatch.setattr(study, "gpu_memories", lambda: memories)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    file = ROOT / "recipes/study2/full.yaml"
    placed = study.place(study.read_settings(file, "full", {"MODEL": model}), planned=False)
    assert (placed.jobs, placed.gpus_per_run, placed.deepspeed) == (jobs, per_run, configuration)
    assert placed.gpu_names == (visible.split(",") if visible else list(range(len(memories))))


def test_whole_node_runs_have_a_launcher_and_a_configuration(checkout):
    settings = {"GPUS": "4", "GPU_MEMORY": "24564", "TARGETS": "xnli"}
    for prefix, script, argv in listed(recipe(checkout, "study2", "full", "-n", **settings)):
        launched = script.startswith("run_")
        assert prefix == [".venv/bin/torchrun", "--standalone", "--nproc_per_node", "4"] * launched or [
            ".venv/bin/python"
        ]
        assert value(argv, "--deepspeed") == ("ds_configs/zero2.json" if launched else None)


def test_eight_gpus_are_an_eighth_of_the_hours_or_the_longest_run(checkout):
    one, eight = (recipe(checkout, "study2", "full", "-n", GPUS=number).stdout for number in "18")
    hours = [float(re.search(r"([\d,.]+) hours on", text)[1].replace(",", "")) for text in (one, eight)]
    assert hours[0] / 8.5 < hours[1] < hours[0] / 5


def test_a_step_waits_for_what_it_starts_from_in_the_estimate():
    assert cost.parts("python run_xtreme.py --task xnli --conditions a b --do_train") == (
        "run_xtreme.py", {"task": ["xnli"], "conditions": ["a", "b"], "do_train": []})  # fmt: skip
    once = cost.once_trained([("run_xtreme.py", {"output_dir": ["a"], "do_train": []})] * 2)
    assert "do_train" in once[0][1] and "do_train" not in once[1][1]


def test_what_nobody_can_download_is_left_out(tmp_path):
    for folder in ("data/xtreme/xnli", "data/intermediate/mnli"):
        (tmp_path / folder).mkdir(parents=True)
    settings = study.read_settings(ROOT / "recipes/study1/full.yaml", "full", {"DATA_DIR": str(tmp_path / "data")})
    assert "ccg" not in settings.intermediates and "bucc2018" not in settings.targets and len(settings.left_out) == 2
    assert (
        settings.data_dir == f"{tmp_path}/data/xtreme" and settings.intermediate_dir == f"{tmp_path}/data/intermediate"
    )


SMALL = {
    "TARGETS": "panx tatoeba", "INTERMEDIATES": "mnli", "OPS": "swap keyboard", "LEVELS": "3", "REPLICATES": "2",
    "SEEDS": "1", "JOBS": "2", "LANGUAGES": "en de zh", "ATTACKS": "",  # keyboard does not apply to zh
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
    command = ["bash", f"{checkout}/recipes/run.sh", "study1"]
    first = subprocess.Popen(command, env=clean_environment(settings), cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.time() + 1200
    while not (output / "outputs/direct-panx-seed1/run.json").exists():
        assert first.poll() is None and time.time() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)  # its steps live on for a while
    first.wait()

    done = recipe(checkout, "study1", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (output / "report/index.html").stat().st_size > 10_000
    assert not list(output.rglob("checkpoint-*"))
    results = {path: path.read_bytes() for path in output.rglob("results.jsonl")}
    assert len(results) == 6

    began = time.time()
    again = recipe(checkout, "study1", **settings)
    assert again.returncode == 0 and time.time() - began < 60 and "run_" not in again.stdout
    other_flags = {"PHASE2_FLAGS": settings["PHASE2_FLAGS"].replace("3", "4")}
    other = recipe(checkout, "study1", **{**settings, **other_flags})
    assert other.returncode == 1 and "holds another run" in other.stdout and "logs/mnli.log" in other.stdout
    # Runs look again where the files that they name changed.
    settings.update(DATA_DIR=str(tmp_path / "xtreme"), MODEL=str(output / "outputs/pretrained"))
    shutil.copytree(output / "toy/xtreme", settings["DATA_DIR"])
    moved = recipe(checkout, "study1", **settings)
    assert moved.returncode == 0, moved.stdout + moved.stderr
    # Of the same files: no cell was computed again.
    assert {path: path.read_bytes() for path in output.rglob("results.jsonl")} == results
    test = Path(settings["DATA_DIR"], "panx/test-de.tsv")
    test.write_text(test.read_text(encoding="utf-8").partition("\n\n")[0] + "\n\n", encoding="utf-8")
    changed = recipe(checkout, "study1", **settings)
    assert changed.returncode == 0 and len(re.findall(r"panx-seed1: \S+ run_xtreme", changed.stdout)) == 2
    results = results_of(output / "outputs/mnli-panx-seed1")
    assert {result["n"] for result in results if result["language"] == "de"} == {1}
