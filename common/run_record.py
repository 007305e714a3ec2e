"""run.json and the model card: who made a run's folder, from what, with what; and whether a folder may be used."""

import importlib.metadata
import json
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from common.files import InputError, check_output_dir, sha256, write_text
from common.text import fenced, plain_markdown, yaml_scalar

logger = logging.getLogger("xtreme")

PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "accelerate", "deepspeed", "numpy", "safetensors")
CHECKPOINT_FILES = (
    "config.json",
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "sp*.model",
    "*.safetensors",
    "*.bin",
)

# --- The folder that a run writes to, and the one that it starts from -----------------------------------------------


def read_run(folder):
    """run.json of a folder as a dict; {} where there is none. Raises InputError naming the file when it is broken."""
    path = Path(folder) / "run.json"
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: broken ({error}); remove it or choose a new --output_dir") from None


def check_folder(folder, task, training):
    """run.json of an output folder that may be used, {} for a new one; InputError when it holds another run.

    `training` is what decides the result of the training that is about to start, None when none is.
    """
    check_output_dir(folder, "run.json")
    previous = read_run(folder)
    if not previous:
        return {}
    if not {"task", "command", "started_at"} <= previous.keys():
        raise InputError(
            f"{folder}/run.json: broken (no task, command or started_at); remove it or choose a new --output_dir"
        )
    if training and nothing_trained(folder, previous):
        return previous
    if previous["task"] != task:
        raise InputError(
            f"--output_dir {folder}: holds a run of {previous['task']}, this is {task}; name a new folder"
        )
    if training:
        check_same_training(folder, previous.get("training"), training)
    return previous


def nothing_trained(folder, record):
    """Whether a training was begun here of which nothing is left: another one may take its place."""
    begun = isinstance(record.get("training"), dict) and not record["training"].get("finished")
    kept = any(path.name.startswith("checkpoint-") for path in Path(folder).iterdir())
    return begun and not kept and not record.get("collapses")


def check_same_training(folder, before, training):
    """InputError where the folder's training, as run.json has it, is not the one that is about to start."""
    if not before:
        raise InputError(f"--output_dir {folder}: holds a run that only predicts; name a new folder to train in")
    changes = differences({name: value for name, value in before.items() if name != "finished"}, training)
    if changes:
        zero = "; ZeRO's checkpoints need its stage and number of processes" if before.get("zero_stage") else ""
        raise InputError(
            f"--output_dir {folder}: holds another run ({'; '.join(changes[:4])}{zero}); name a new folder"
        )


def check_same_model(folder, record, source, content):
    """InputError where a run predicts with another model than that of its folder: one run.json tells of one model.

    `source` is the model's path or Hub id, `content` its checkpoint_hash.
    """
    own = record["checkpoint"] if record.get("training") else (record.get("parent") or {}).get("checkpoint")
    if content != own and Path(source).resolve() != Path(folder).resolve():
        raise InputError(
            f"--model_name_or_path {source}: not the model whose results --output_dir {folder} holds; name a new "
            "folder"
        )


def differences(old, new):
    """Human-readable differences of two dicts: ["learning_rate 1e-05 there, 3e-05 here"], one each of inner dicts."""
    old, new = flat(old), flat(new)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name} {_short(old, name)} there, {_short(new, name)} here" for name in names]


def flat(values, path=""):
    """{"settings": {"ccg": {"doc_stride": 8}}} -> {"settings.ccg.doc_stride": 8}"""
    result = {}
    for name, value in values.items():
        result.update(flat(value, f"{path}{name}.") if isinstance(value, dict) and value else {path + name: value})
    return result


def _short(values, name):
    value = values.get(name, "not given")  # a setting that is left out at its default
    return f"{value[:8]}…" if isinstance(value, str) and len(value) == 64 else value


def checkpoint_hash(folder, revision="main"):
    """Content hash of a local checkpoint (weights, configuration, tokenizer); a Hub model hashes as name and revision.

    Warns where the folder's run.json says that its run saved other content: people may have changed it, a disk may
    have spoiled it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return sha256(str(folder), revision)
    files = sorted({file for pattern in CHECKPOINT_FILES for file in folder.glob(pattern)})
    content = sha256(*[part for file in files if file.name != "training_args.bin" for part in (file.name, file)])
    if read_run(folder).get("checkpoint") not in (None, content):
        logger.warning(
            "%s: its weights, configuration or tokenizer are no longer those that its run saved; copy or train it "
            "again if unsure",
            folder,
        )
    return content


# --- What run.json holds --------------------------------------------------------------------------------------------


def invocation(script, argv, args, training_args):
    """What every invocation of a run script leaves in run.json: how it was called, where, when."""
    return {
        "command": f"python {script} {shlex.join(mask_secrets(argv))}",
        "arguments": vars(args),
        "training_arguments": {name: plain(value) for name, value in training_args.to_sanitized_dict().items()},
        "environment": environment(),
        "started_at": now(),
        "seconds": {},
    }


def ancestry(source, checkpoint):
    """The model that a run starts from: its folder or Hub id, content hash, and what its own run.json says of it."""
    before = read_run(source)
    return {
        "path": source,
        "checkpoint": checkpoint,
        **{name: before.get(name) for name in ("command", "task", "seed", "parent")},
    }


def data_manifest(data_dir):
    """Hash of the manifest.json that download_data.py writes beside xtreme/ and intermediate/; None without one."""
    folder = Path(data_dir or ".")
    manifests = [path for path in (folder / "manifest.json", folder.parent / "manifest.json") if path.exists()]
    return sha256(manifests[0]) if manifests else None


def environment():
    """Versions, hardware and code state of this process."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    hardware = {"machine": platform.machine(), "cpus": os.cpu_count(), "gpus": []}
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        cuda = sys.modules["torch"].cuda
        hardware["gpus"] = [cuda.get_device_name(index) for index in range(cuda.device_count())]
    return {
        "python": platform.python_version(),
        "packages": versions,
        "hardware": hardware,
        "hostname": platform.node(),
        "git": git_state(),
    }


def git_state():
    """{"commit", "dirty"} of the checkout that this file lies in, or None outside of one."""
    options = {"cwd": Path(__file__).resolve().parent, "capture_output": True, "text": True, "check": True}
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        status = subprocess.run(["git", "status", "--porcelain", "-uno"], **options).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(status.strip())}


def now():
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def plain(value):
    """A JSON value: enums by their value."""
    return getattr(value, "value", value)


def noise_record(task, folder, below=None):
    """What perturb.py's manifest, or run_attack.py's, says of a task in an evaluation folder; {} where there is none.
    With `below`, a folder in it, of all files there, whatever their task.

    {"op", "level", "realised": {language: error rate}, "not_applicable": {language: reason}}: with it, results speak
    for themselves. Of MLQA's pairs of languages the question's is noised. Of an attack also what it was against and
    what came of it: {"attack": attack_record()}.
    """
    folder = Path(folder).resolve()
    try:
        manifest = _manifest(folder.parent / "manifest.json")

        def belongs(file):
            if below is None:
                return file["task"] == name and file["split"] == "test"
            return file["path"].startswith(f"{below}/") if "path" in file else file["task"] in tasks

        name = task and ("mlqa" if "pairs" in task.languages else task.name)
        of_folder = [file for file in manifest["files"] if file["condition"] == folder.name]
        noised = [file for file in of_folder if belongs(file)]
        tasks = {file["task"] for file in noised}
        left_out = [file for file in manifest["not_applicable"] if file["condition"] == folder.name and belongs(file)]
        spent, size = {}, {}
        for file in noised:
            for code in _codes(task, file):
                spent[code] = spent.get(code, 0) + file["spent"]
                size[code] = size.get(code, 0) + file["size"]
        if not noised and not left_out:
            return {}
        level = noised[0]["rate" if noised[0]["level"] is None else "level"] if noised else None
        return {
            **attack_record(task, noised, manifest["files"]),
            "op": (noised or left_out)[0]["op"],
            "level": level,
            "realised": {code: spent[code] / max(1, size[code]) for code in spent},
            "not_applicable": {code: file["reason"] for file in left_out for code in _codes(task, file)},
        }
    except (KeyError, OSError, TypeError, ValueError):
        return {}


def attack_record(task, files, every):
    """{"attack": {"source", "checkpoint", "queries", "languages": {language: numbers}}} of files that run_attack.py
    wrote, {} of others. A language's numbers are those of its manifest, with the random control's beside them.
    """
    if not files or "attack" not in files[0]:
        return {}
    languages = {}
    for file in files:
        same = ("task", "language", "context", "level", "queries", "seed", "source", "ops")
        control = [one for one in every if one["op"] == "random" and all(one.get(n) == file[n] for n in same)]
        control = control if file["op"] != "random" else []
        numbers = {**file["attack"], "ops": file["ops"], "control": control[0]["attack"] if control else None}
        languages |= dict.fromkeys(_codes(task, file), numbers)
    source = files[0]["source"]
    about = {"source": source["path"], "checkpoint": source["checkpoint"], "queries": files[0]["queries"]}
    return {"attack": {**about, "languages": languages}}


def _codes(task, file):
    """The languages of a task, or MLQA's pairs, that an entry of perturb.py's manifest is about."""
    language, context = file["language"], file.get("context")
    if task is None or "pairs" not in task.languages:
        return [language] if context in (None, language) else []
    pairs = [pair for pair in task.languages["pairs"] if pair.endswith(f"-{language}")]
    return [pair for pair in pairs if context in (None, pair.partition("-")[0])]


@lru_cache(maxsize=4)
def _manifest(path):
    return json.loads(path.read_text(encoding="utf-8"))


def trained_in(record):
    """The languages that a target task was trained in, when not in English alone, and its --max_train_samples.

    Of a run that only predicts: those of the nearest ancestor that was trained on its task, by its command.
    """
    training, parent = record.get("training"), record.get("parent") or {}
    if training:
        return tuple(training.get("train_languages") or ()), training.get("max_train_samples")
    if parent.get("task") != record.get("task"):
        return (), None
    flags = flags_of(parent.get("command"))
    if "--do_train" not in flags:
        return trained_in({**parent, "training": None})
    return tuple(flags.get("--train_languages", ())), next(iter(flags.get("--max_train_samples", ())), None)


def robust_training(record):
    """What a setting is named by of how a run, or a record of an ancestor, was made robust: ["freelb", "noise mixed"].

    Of a run that only predicts: of the nearest ancestor that was trained on its task.
    """
    training, parent = record.get("training"), record.get("parent") or {}
    if training:
        method, noise = training.get("robust", {}).get("method"), training.get("train_noise", {}).get("op")
        both = "consistency" in training
    elif "training" in record and parent.get("task") == record.get("task"):
        return robust_training(parent)
    else:
        flags = flags_of(record.get("command"))
        if "--do_train" not in flags and parent.get("task") == record.get("task"):
            return robust_training(parent)
        method, noise = (next(iter(flags.get(name, ())), None) for name in ("--robust", "--train_noise"))
        noise, both = noise and noise.partition(":")[0], "--consistency" in flags
    words = [method] if method not in (None, "none") else []
    return words + ([f"{'consistency under ' if both else ''}noise {noise}"] if noise else [])


def train_noise(record):
    """[(operation, task)] of --train_noise in the trainings of a run, of its record, and of its ancestors."""
    used = []
    while record:
        own = (record.get("training") or {}).get("train_noise", {}).get("op")
        given = next(iter(flags_of(record.get("command")).get("--train_noise", ())), "").partition(":")[0]
        used += [(op, record.get("task")) for op in [own or given] if op]
        record = record.get("parent")
    return used


def flags_of(command):
    """{"--seed": ["1"], "--do_train": []} of a command line; HF's parser takes --do-train, too."""
    flags = {}
    for token in shlex.split(command or ""):
        name, separator, value = token.partition("=")
        if token.startswith("--"):
            flags[f"--{name[2:].replace('-', '_')}"] = own = [value] if separator else []
        elif flags:
            own.append(token)
    return flags


def fine_tuned(record):
    """What a model card calls the training of a target task."""
    languages, _ = trained_in(record)
    if languages:
        return f"Fine-tuned on {record['task']} in {', '.join(languages)}"
    return f"Zero-shot cross-lingual transfer: fine-tuned on English {record['task']}"


# --- Secrets: no value of a token's flag or environment variable may reach a file -----------------------------------


def is_secret(name):
    """Whether a flag or an environment variable holds a secret, by its name: --hub-token, HF_TOKEN, WANDB_API_KEY."""
    plain_name = name.strip("-").replace("-", "_").lower()
    return bool(re.search(r"(^|_)(token|password|passwd|secret|api_?key|access_?key)$", plain_name))


def mask_secrets(argv):
    """The command line with *** for the values of flags that hold secrets, however these are spelled."""
    shown, follows = [], False
    for token in argv:
        name, separator, _ = token.partition("=")
        secret = token.startswith("-") and is_secret(name)
        shown.append("***" if follows else f"{name}=***" if secret and separator else token)
        follows = secret and not separator
    return without_secrets(shown)


def without_secrets(value):
    """A JSON value with *** wherever it holds the value of an environment variable that is a secret."""
    if isinstance(value, dict):
        return {name: without_secrets(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(inner) for inner in value]
    if isinstance(value, str):
        for name, secret in os.environ.items():
            if is_secret(name) and len(secret) >= 8:  # shorter ones are switches, such as "true"
                value = value.replace(secret, "***")
    return value


# --- The model card -------------------------------------------------------------------------------------------------

CARD = """---
library_name: transformers
base_model: {base}
tags:
{tags}
---

# {folder}: {task}

{description}

{table}

Made by

{command}

with seed {seed}. {later}Settings, versions and data hashes are in `run.json`, all metrics in `results.jsonl`.
"""


def write_card(folder, description, record, table):
    """README.md of a run: a model card with the command of its training, those of later predictions, and the table."""
    # The same command again only finishes what it had begun.
    others = dict.fromkeys(session["command"] for session in record.get("later", ()))
    later = [f"{fenced(command, 'bash')}\n\n" for command in others if command != record["command"]]
    text = CARD.format(
        base=yaml_scalar(record["model_name_or_path"]),
        tags="\n".join(f"- {yaml_scalar(tag)}" for tag in ("cross-lingual", "xtreme", *record["task"].split("+"))),
        folder=plain_markdown(Path(folder).name),
        task=plain_markdown(record["task"]),
        description=description,
        table=fenced(table),
        command=fenced(record["command"], "bash"),
        seed=record["seed"],
        later=f"Later:\n\n{''.join(later)}" if later else "",
    )
    write_text(Path(folder) / "README.md", without_secrets(text))
