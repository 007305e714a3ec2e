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
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
import cost  # noqa: E402
from checks import check, check_data, check_whole  # noqa: E402

from common.files import InputError  # noqa: E402
from common.text import nearest  # noqa: E402

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
REMOTE = ("--executor", "-e", "--profile", "--workflow-profile")  # Snakemake's flags that lead to a cluster
TRUTHS = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off"), False)}


def main():
    try:
        sys.exit(run(sys.argv[1:]))
    except InputError as error:
        print(f"run.sh: error: {error}", file=sys.stderr)
        sys.exit(2)


def run(argv):
    """The story: settings, plan or lock, Snakemake in this process's place."""
    file, size, rest = arguments(argv)
    plan = any(re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*|--dry-?run", word) for word in rest) or dry_run()
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("Snakemake is not installed, which carries out the studies; install it with: bash setup.sh")
    settings = read_settings(file, size, os.environ)
    check(settings)
    remote = any(word.partition("=")[0] in REMOTE for word in rest)
    settings = place(settings, remote or plan)
    print(*settings.left_out, sep="\n", end="\n" * bool(settings.left_out))
    if plan:
        return show_plan(file, settings)
    check_data(settings)
    output = taken(settings.output)
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
    own = Path(os.environ.get("HERE", "."), study)
    default = os.environ.get("SCALE") or (own.stem if own.stem in SIZES else "toy")
    size = rest.pop(0) if rest and not rest[0].startswith("-") else default
    if size not in SIZES:
        raise InputError(f"size {size}: choose {', '.join(SIZES)}")
    if {*SIZES} & {*rest}:
        raise InputError(f"{' '.join(argv)}: the size stands right after the study; {usage}")
    file = own.resolve() if own.suffix in (".yaml", ".yml") else ROOT / f"recipes/{study}/{size}.yaml"
    if not file.exists() and study in names:
        sizes = " or ".join(size for size in SIZES if file.with_stem(size).exists())
        raise InputError(f"{study} has no size {size}; name {sizes}: bash recipes/run.sh {study} full")
    if not file.exists():
        raise InputError(f"{study}: no such study{nearest(study, names)}; {usage}")
    return file, size, rest


def dry_run():
    value = os.environ.get("DRY_RUN") or "0"
    if value not in ("0", "1"):
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


def taken(folder):
    """The study's folder, made and locked until the engine's process ends, however it does; its steps lack the lock.

    InputError where another engine has it, or where it cannot be written.
    """
    output = ROOT / folder
    try:
        (output / "logs").mkdir(parents=True, exist_ok=True)
        file = os.open(output / ".lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{output}: another engine is at work there; wait for it or name another OUTPUT") from None
    except OSError as error:
        raise InputError(f"OUTPUT={output}: not writable ({error.strerror}); name another folder") from None
    os.set_inheritable(file, True)
    return output


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
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` may have enough
    print(f"{settings.question}\n{settings.answer}\n")
    print(*commands, sep="\n")
    try:
        cost.estimate([cost.parts(command) for command in commands], settings)
    except (FileNotFoundError, ValueError, LookupError) as error:  # bad flags or a model without files
        print(f"no estimate: {error}")
    return 0


# --- Settings


def read_settings(file, size, environment):
    """The YAML's settings, those of the environment over them, as a namespace; InputError for an unknown key."""
    import yaml

    try:
        given = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict):
        raise InputError(f"{file}: holds no settings (key: value); recipes/README.md lists them")
    return merge(given, file, size, environment)


def merge(given, file, size, environment):
    values, outside = dict(DEFAULTS), set()
    for key, value in given.items():
        if key not in DEFAULTS:
            raise InputError(f"{file}: {key} is no setting{nearest(str(key), DEFAULTS)}; recipes/README.md lists them")
        if value is not None:
            values[key] = typed(f"{file}: {key}", value, DEFAULTS[key])
    for key, default in DEFAULTS.items():
        text = environment.get(key.upper())
        if text or (text is not None and key in NONE_IS_MEANT):
            values[key] = parse(key.upper(), text, default)
            outside.add(key)
        if isinstance(default, list):
            values[key] = [str(int(one)) if str(one).isdecimal() else str(one) for one in values[key]]
    values["models"] = {name: int(one) if str(one).isdecimal() else one for name, one in values["models"].items()}
    settings = SimpleNamespace(**values, size=size, name=Path(file).parent.name, outside=outside)
    if Path(file).stem not in SIZES:
        settings.name = Path(file).stem
    return folders(settings, environment)


def typed(name, value, default):
    """A YAML's value as a setting of the default's type: a list may be words, a text may be a number."""
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if isinstance(default, list):
        value = value.split() if isinstance(value, str) else [value] if plain else value
        fits = isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value)
    elif isinstance(default, (bool, dict)):
        fits = isinstance(value, type(default))
    elif isinstance(default, int):
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        value, fits = str(value), isinstance(value, (str, int, float))
    if not fits:
        kinds = {list: "a list", dict: "name: value", bool: "true or false", int: "a whole number"}
        raise InputError(f"{name}: {value!r}: give {kinds.get(type(default), 'a text')}")
    return value


def parse(name, text, default):
    """A variable's text as a setting of the default's type."""
    if isinstance(default, list):
        return text.split()
    if isinstance(default, dict):
        try:
            pairs = [part.partition("=") for part in shlex.split(text)]
        except ValueError as error:
            raise InputError(f"{name}={text}: {error}") from None
        if not all(key and sign for key, sign, _ in pairs):
            raise InputError(f"{name}={text}: give NAME=VALUE …, in quotes where a value has blanks")
        return {key: value for key, _, value in pairs}
    if isinstance(default, bool):
        if text.strip().lower() not in TRUTHS:
            raise InputError(f"{name}={text}: give 1 or 0")
        return TRUTHS[text.strip().lower()]
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
    settings.own_data = Path(settings.data_dir).is_relative_to(settings.toy_dir)
    settings.own_intermediate = Path(settings.intermediate_dir).is_relative_to(settings.toy_dir)
    settings.model = settings.model or {"small": "intfloat/multilingual-e5-small", "full": "xlm-roberta-large"}.get(
        settings.size, ""
    )
    settings.left_out = leave_out(settings)
    return settings


def leave_out(settings):
    """Drop what nobody can download where it is not there; lines that say so."""
    lines = []
    for task, kind, folder, file, why in (
        ("ccg", "intermediates", settings.intermediate_dir, "ccg/train.jsonl", "CCGbank is licensed"),
        ("bucc2018", "targets", settings.data_dir, "bucc2018/de-en.dev.gold", "its dev files are rare: docs/data.md"),
    ):  # fmt: skip
        if not (ROOT / folder).is_dir() or (ROOT / folder / file).exists():
            continue
        for name in list(getattr(settings, kind)):
            variant = settings.variants.get(name)
            if task in (variant.get("tasks", "").split() if isinstance(variant, dict) else name.split("+")):
                getattr(settings, kind).remove(name)
                lines.append(f"left out: {name} ({why}; no {folder}/{file})")
    return lines


def place(settings, planned):
    """GPUs of the machine and of a run, DeepSpeed, jobs at a time.

    GPUs are used where they are asked for: at full size, or by GPUS=…
    """
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if visible and settings.gpus > len(visible):
        raise InputError(
            f"GPUS={settings.gpus}: CUDA_VISIBLE_DEVICES={','.join(visible)} shows {len(visible)}; change one of them"
        )
    memories = gpu_memories() if settings.size == "full" or settings.gpus else []
    if settings.size == "full":
        settings.gpus = settings.gpus or len(visible) * bool(memories) or len(memories)
        if not settings.gpus and not planned:
            raise InputError(
                "full size: nvidia-smi finds no GPU here; start it on a node with GPUs, print the commands with -n, "
                "or take the toy or small size"
            )
        settings.gpus = settings.gpus or 1
    settings.gpu_memory = settings.gpu_memory or min(memories, default=80_000)
    check_whole("gpus_per_run", [settings.gpus_per_run], 1, settings.gpus or 10**9, "all", "")
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


if __name__ == "__main__":
    main()
