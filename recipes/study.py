"""Plan a study and hand it to Snakemake: the entry behind run.sh, and the settings that recipes/Snakefile reads.

    python recipes/study.py study1 small -n      the plan: every command, what it costs; touches nothing
    python recipes/study.py study1 small         carried out; what stands after the size goes to Snakemake as it is

A setting is a key of the study's YAML, or of DEFAULTS below; a variable of the environment of the same name in
capitals replaces it (`SEEDS="1 2 3"`). Standard library and PyYAML only. What is wrong is
said in one line, exit code 2, before anything is written.
"""

import contextlib
import fcntl
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
import cost  # noqa: E402

from common.files import InputError  # noqa: E402
from common.text import nearest  # noqa: E402
from tasks import INTERMEDIATE, TARGETS  # noqa: E402

SIZES = ("toy", "small", "full")
# Every setting: its type tells how a variable of the environment is read (a list at spaces, a dict as NAME=VALUE …).
DEFAULTS = {
    "title": "", "question": "", "answer": "",
    # what is compared: models, settings of phases 2 and 3, targets, training examples (a number or "all")
    "model": "", "models": {}, "trim": False, "baseline": "direct", "intermediates": [], "variants": {},
    "targets": [], "examples": ["all"], "keep_head": {},
    # on which text: languages (all on disk), noise, further draws of one condition, searched noise
    "languages": [], "ops": [], "levels": [1, 2, 3], "worst_of": "", "replicates": 3, "attacks": {},
    "attack_targets": [], "attack_settings": [],
    # how often: seeds of phase 2 (encoders), of phase 3
    "phase2_seeds": [1], "seeds": [1],
    # flags of each step, and of all that run a model
    "run_flags": "", "phase1_flags": "", "phase2_flags": "", "phase3_flags": "", "predict_flags": "",
    "perturb_flags": "", "align_flags": "", "frozen_flags": "", "unfrozen_flags": "", "report_flags": "",
    "tag_piece": "first_letter",
    # studies 4 and 5: parallel text (a set below parallel_dir, or a folder; default: Tatoeba) that is aligned, with
    # attacked copies (NAME=FOLDER), or translated by decoders that learn from `pairs` in the languages `trained`
    "alignment": False, "parallel": "", "attacked": {},
    "pairs": "", "trained": [], "decoder_seeds": [1, 2, 3], "floors": ["random", "permuted"],
    # XTREME-R's average
    "benchmark": "", "languages_scored": [],
    # where: folders, machine
    "output": "", "data_dir": "", "intermediate_dir": "", "parallel_dir": "",
    "jobs": 0, "gpus": 0, "gpu_memory": 0, "gpus_per_run": "", "runs_per_gpu": 1, "deepspeed": None,
}  # fmt: skip
PLACES = ("output", "data_dir", "intermediate_dir", "parallel_dir", "parallel", "pairs", "model")
# Where an empty variable of the environment means "none"; elsewhere it means the study's own setting.
NONE_IS_MEANT = "attacks deepspeed floors intermediates languages languages_scored ops unfrozen_flags worst_of".split()
DOWNLOAD = ".venv/bin/python download_data.py --tasks all --output_dir data"


def main():
    try:
        sys.exit(run(sys.argv[1:]))
    except InputError as error:
        print(f"run.sh: error: {error}", file=sys.stderr)
        sys.exit(2)


def run(argv):
    """The story: settings, plan or lock, Snakemake in this process's place."""
    file, size, rest = arguments(argv)
    plan = bool({"-n", "--dry-run", "--dryrun"} & set(rest)) or dry_run()
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("Snakemake is not installed, which carries out the studies; install it with: bash setup.sh")
    settings = read_settings(file, size, os.environ)
    check(settings)
    remote = "--executor" in rest or "-e" in rest
    settings = place(settings, remote or plan)
    print(*settings.left_out, sep="\n", end="\n" * bool(settings.left_out))
    if plan:
        return show_plan(file, settings)
    check_data(settings)
    output = ROOT / settings.output
    (output / "logs").mkdir(parents=True, exist_ok=True)
    lock(output)
    os.environ.update(quiet_environment(settings))
    os.chdir(ROOT)
    shares = len(settings.gpu_names)
    machine = ["--cores", settings.jobs, "--resources", f"gpu={shares}", "--quiet", "all"]  # the steps speak
    where = f"{settings.gpus} GPU(s), {settings.gpus_per_run} a run" if settings.gpus else "the CPU"
    if remote:  # the cluster hands out GPUs
        machine, where = ["--jobs", settings.jobs], "a cluster"
        os.environ["REMOTE"] = "1"
    print(
        f"into {settings.output}, {settings.jobs} steps at a time on {where}; at the end: report/index.html",
        flush=True,
    )
    os.execv(sys.executable, [*snakemake(file, output), *map(str, machine), *rest])


def arguments(argv):
    """(file of the study, its size, what goes to Snakemake)."""
    folders = [path for path in (ROOT / "recipes").glob("*/") if (path / "full.yaml").exists()]
    folders.sort(key=lambda path: (not (path / "toy.yaml").exists(), path.name))  # first what runs without data
    names = [path.name for path in folders]
    usage = f"bash recipes/run.sh STUDY [{'|'.join(SIZES)}] [-n]: STUDY is {' '.join(names)}, or a YAML file of yours"
    if not argv or argv[0] in ("-h", "--help"):
        raise InputError(usage)
    study, *rest = argv
    size = rest.pop(0) if rest and not rest[0].startswith("-") else os.environ.get("SCALE") or "toy"
    if size not in SIZES:
        raise InputError(f"size {size}: choose {', '.join(SIZES)}")
    own = Path(os.environ.get("HERE", "."), study)
    file = own.resolve() if own.suffix in (".yaml", ".yml") else ROOT / f"recipes/{study}/{size}.yaml"
    if not file.exists() and study in names:
        sizes = " or ".join(size for size in SIZES if file.with_stem(size).exists())
        raise InputError(f"{study} has no size {size}; name {sizes}: bash recipes/run.sh {study} full")
    if not file.exists():
        raise InputError(f"{study}: no such study{nearest(study, names)}; {usage}")
    return file, size, rest


def dry_run():
    value = os.environ.get("DRY_RUN") or "0"
    if value not in "01":
        raise InputError(f"DRY_RUN={value}: give 1 to print the commands only, or leave it out")
    return value == "1"


def snakemake(file, folder):
    """Snakemake, at work in `folder`; our lock is in place of its own, which outlives a killed engine."""
    flags = ["--snakefile", ROOT / "recipes/Snakefile", "--configfile", file, "--directory", folder, "--nolock"]
    flags += [
        "--rerun-triggers",
        "mtime",
        "params",
        "input",
        "--rerun-incomplete",
        "--scheduler",
        "greedy",
        "--nocolor",
    ]
    return [sys.executable, "-B", "-m", "snakemake", *map(str, flags)]


def lock(output):
    """Held until the engine's process ends, however it does; its steps don't have it. InputError if another has it."""
    file = os.open(output / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{output}: another engine is at work there; wait for it or name another OUTPUT") from None
    os.set_inheritable(file, True)


def quiet_environment(settings):
    """Of the steps: a core each on a CPU, and no questions to the Hub where nothing has to come from there."""
    more = {"TOKENIZERS_PARALLELISM": "false", "STUDY_SIZE": settings.size, "PYTHONDONTWRITEBYTECODE": "1"}
    if settings.size != "full":
        more["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    if not settings.gpus:
        more["CUDA_VISIBLE_DEVICES"] = ""
    if settings.own_model:
        more["HF_HUB_OFFLINE"] = "1"
    return more


# --- The plan


def show_plan(file, settings):
    """Print all commands and what they cost; in a folder of its own, so that nothing is touched."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*snakemake(file, folder), "--cores", "1", "-n", "-p"]
        environment = {**os.environ, **quiet_environment(settings)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise InputError((done.stderr or done.stdout).strip().splitlines()[-1])
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    commands = [line.partition(" -- ")[2] for line in lines if " recipes/job.py " in line]
    print(f"{settings.question}\n{settings.answer}\n")
    print(*commands, sep="\n")
    cost.estimate([cost.parts(command) for command in commands], settings)
    return 0


# --- Settings


def read_settings(file, size, environment):
    """The YAML's settings, those of the environment over them, as a namespace; InputError for an unknown key."""
    import yaml

    with open(file, encoding="utf-8") as stream:
        given = yaml.safe_load(stream) or {}
    return merge(given, file, size, environment)


def merge(given, file, size, environment):
    for key in given:
        if key not in DEFAULTS:
            raise InputError(f"{file}: {key} is no setting{nearest(key, DEFAULTS)}; recipes/README.md lists them")
    values = {**DEFAULTS, **given}
    outside = set()
    for key, default in DEFAULTS.items():
        text = environment.get(key.upper())
        if text or (text is not None and key in NONE_IS_MEANT):
            values[key] = parse(text, default)
            outside.add(key)
    for key, default in DEFAULTS.items():
        if isinstance(default, list):
            values[key] = [str(value) for value in listed(values[key])]
    settings = SimpleNamespace(**values, size=size, name=Path(file).parent.name, outside=outside)
    if Path(file).stem not in SIZES:
        settings.name = Path(file).stem
    return folders(settings, environment)


def listed(value):
    return value.split() if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]


def parse(text, default):
    """A variable's text as a setting of the default's type."""
    if isinstance(default, list):
        return text.split()
    if isinstance(default, dict):
        return dict(part.partition("=")[::2] for part in shlex.split(text))
    if isinstance(default, bool):
        return text.lower() in ("1", "true", "yes")
    return int(text) if isinstance(default, int) and text.isdecimal() else text


def folders(settings, environment):
    """Where everything lies: paths given from another folder mean files there, commands run in the repository."""
    here = environment.get("HERE") or str(ROOT)
    for key in PLACES:
        value = getattr(settings, key)
        if value and here != str(ROOT) and not value.startswith("/") and key in settings.outside:
            if key != "model" or Path(here, value).exists():  # a model may be a Hub id
                setattr(settings, key, f"{here}/{value}")
    settings.output = settings.output or f"studies/{settings.name}-{settings.size}"
    toy = settings.size == "toy"
    settings.own_model = (
        toy and not settings.model and not any(isinstance(path, str) for path in settings.models.values())
    )
    if toy and settings.model:  # rates and epochs in the YAML are for the invented world's tiny model
        for key in {"phase2_flags", "phase3_flags"} - settings.outside:
            setattr(settings, key, "--max_seq_length 128")
    world = f"{settings.output}/toy" if toy else settings.data_dir or "data"
    if settings.data_dir and (ROOT / settings.data_dir / "xtreme").is_dir():
        world, settings.data_dir = settings.data_dir, ""
    elif settings.data_dir:
        world = f"{settings.output}/toy" if toy else str(Path(settings.data_dir).parent)
    settings.data_dir = settings.data_dir or f"{world}/xtreme"
    settings.intermediate_dir = settings.intermediate_dir or f"{world}/intermediate"
    settings.parallel_dir = settings.parallel_dir or f"{world}/parallel"
    for key in ("parallel", "pairs"):
        value = getattr(settings, key)
        setattr(settings, key, f"{settings.parallel_dir}/{value}" if value and "/" not in value else value)
    settings.toy_dir = f"{settings.output}/toy"
    settings.own_data = settings.data_dir.startswith(settings.toy_dir)
    settings.own_intermediate = settings.intermediate_dir.startswith(settings.toy_dir)
    settings.model = settings.model or {"small": "intfloat/multilingual-e5-small", "full": "xlm-roberta-large"}.get(
        settings.size, ""
    )
    settings.left_out = leave_out(settings)
    return settings


def leave_out(settings):
    """Drop what nobody can download where it is not there; lines that say so."""
    lines = []
    for name, kind, folder, file, why in (
        ("ccg", "intermediates", settings.intermediate_dir, "ccg/train.jsonl", "CCGbank is licensed"),
        (
            "bucc2018",
            "targets",
            settings.data_dir,
            "bucc2018/de-en.dev.gold",
            "its dev files are rare, see docs/data.md",
        ),
    ):
        if name in getattr(settings, kind) and (ROOT / folder).is_dir() and not (ROOT / folder / file).exists():
            getattr(settings, kind).remove(name)
            lines.append(f"left out: {name} ({why}; no {folder}/{file})")
    return lines


def place(settings, planned):
    """GPUs of the machine and of a run, DeepSpeed, jobs at a time.

    GPUs are used where they are asked for: at full size, or by GPUS=…
    """
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if settings.size == "full":
        memories = gpu_memories()
        settings.gpus = settings.gpus or len(visible) * bool(memories) or len(memories)
        if not settings.gpus and not planned:
            raise InputError(
                "full size: nvidia-smi finds no GPU here; start it on a node with GPUs, print the commands with -n, "
                "or take the toy or small size"
            )
        settings.gpus = settings.gpus or 1
        settings.gpu_memory = settings.gpu_memory or min(memories, default=80_000)
    settings.gpu_names = visible[: settings.gpus] if len(visible) >= settings.gpus else list(range(settings.gpus))
    settings.gpus_per_run, configuration = cost.placement(settings)
    if settings.gpus_per_run == 1 < settings.runs_per_gpu:  # shares of a GPU: 0.0 0.1 0.2 1.0 ...
        shares = range(settings.runs_per_gpu)
        settings.gpu_names = [f"{name}.{share}" for name in settings.gpu_names for share in shares]
    if settings.deepspeed is None:
        settings.deepspeed = configuration
    settings.jobs = settings.jobs or len(settings.gpu_names) or min(os.cpu_count() or 1, 8)
    return settings


def gpu_memories():
    """MiB of every GPU, as nvidia-smi says; [] without one."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError):
        said = subprocess.run(query, capture_output=True, text=True, encoding="utf-8").stdout
        return [int(line) for line in said.splitlines() if line.strip().isdecimal()]
    return []


# --- Are the settings possible?


def check(settings):
    check_known("TARGETS", settings.targets, list(TARGETS))
    check_known("FLOORS", settings.floors, ["random", "permuted"])
    check_distinct("INTERMEDIATES", settings.intermediates)
    for setting in settings.intermediates:
        if setting not in settings.variants:
            check_known(f"INTERMEDIATES, {setting}", setting.split("+"), [*INTERMEDIATE, "all"])
    for name in ("seeds", "phase2_seeds", "decoder_seeds"):
        check_whole(name, getattr(settings, name), 0, 2**32 - 1)
        check_distinct(name.upper(), getattr(settings, name))
    for name in ("replicates", "jobs", "gpus", "gpu_memory", "runs_per_gpu"):
        if name in settings.outside:
            check_whole(name, [getattr(settings, name)], 1, 10**9)
    if settings.ops:
        check_noise(settings.ops, settings.levels, settings.worst_of)


def check_known(name, values, choices):
    for value in values:
        if value not in choices:
            hint = nearest(value, choices) or f"; choose from {' '.join(choices)}"
            raise InputError(f"{name}: {value} is unknown{hint}")
    check_distinct(name, values)


def check_distinct(name, values):
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{name}: {value} stands twice; name each once")


def check_whole(name, values, least, most):
    """The setting is whole numbers from `least` to `most`."""
    for value in values or [""]:
        if not str(value).isdecimal() or not least <= int(value) <= most:
            shown = " ".join(map(str, values))
            raise InputError(f"{name.upper()}={shown}: give whole numbers from {least} to {most}")


def check_noise(ops, levels, worst):
    check_whole("levels", levels, 1, 5)
    check_distinct("LEVELS", levels)
    try:
        from noise.operations import OPERATIONS
    except ImportError:  # `regex` is not installed: perturb.py will say it
        OPERATIONS = ops
    check_known("OPS", ops, OPERATIONS)
    conditions = [f"{op}-{level}" for op in ops for level in levels]
    if worst and worst not in conditions:
        raise InputError(
            f"WORST_OF={worst}: none of the conditions that OPS and LEVELS make, which are {' '.join(conditions)}; "
            "choose one, or leave it empty"
        )


def check_data(settings):
    """InputError where a folder of given data is absent."""
    for name in ("data_dir", "intermediate_dir"):
        folder = getattr(settings, name)
        own = settings.own_data if name == "data_dir" else settings.own_intermediate
        if not own and not (ROOT / folder).is_dir():
            raise InputError(f"{name.upper()}={folder}: no such folder; download it with: {DOWNLOAD}")


if __name__ == "__main__":
    main()
