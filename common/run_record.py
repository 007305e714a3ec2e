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

logger = logging.getLogger("xtreme")

PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "accelerate", "deepspeed", "numpy", "safetensors")
CHECKPOINT_FILES = (
    "config.json",
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
    "*.safetensors",
    "*.bin",
)


def checkpoint_hash(folder, revision="main"):
    """Content hash of a local checkpoint (weights, configuration, tokenizer); a Hub model hashes as its name and
    revision.

    Warns where the folder's run.json says that its run saved other content: people may have changed it, a disk may
    have spoiled it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return sha256(str(folder), revision)
    files = sorted(
        {file for pattern in CHECKPOINT_FILES for file in folder.glob(pattern) if file.name != "training_args.bin"}
    )
    found = sha256(*[part for file in files for part in (file.name, file)])
    if read_run(folder).get("checkpoint") not in (None, found):
        logger.warning(
            "%s: its weights, configuration or tokenizer are no longer those that its run saved; copy or train it "
            "again if unsure",
            folder,
        )
    return found


def environment():
    """Versions, hardware and code state of this run."""
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
    """{"commit", "dirty"} of the folder this file lies in, or None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(status.strip())}


def now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_run(output_dir):
    """run.json of a folder as a dict; {} where there is none. Raises InputError naming the file when it is broken."""
    path = Path(output_dir) / "run.json"
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: broken ({error}); remove it or choose a new --output_dir") from None


def check_folder(output_dir, task, training):
    """run.json of an output folder that may be used, {} for a new one; InputError when it holds another run.

    `training` is what decides the result of the training that is about to start, None when none is.
    """
    folder = Path(output_dir)
    check_output_dir(folder, "run.json")
    previous = read_run(folder)
    if previous and not {"task", "command", "started_at"} <= previous.keys():
        raise InputError(
            f"{folder / 'run.json'}: broken (no task, command or started_at); remove it or choose a new --output_dir"
        )
    if previous and previous["task"] != task.name:
        raise InputError(
            f"--output_dir {folder}: holds a run of {previous['task']}, this is {task.name}; name a new folder"
        )
    if previous and training:
        if not previous.get("training"):
            raise InputError(f"--output_dir {folder}: holds a run that only predicts; name a new folder to train in")
        found = differences({k: v for k, v in previous["training"].items() if k != "finished"}, training)
        if found:
            checkpoints = (
                "; ZeRO's checkpoints need its stage and number of processes"
                if previous["training"].get("zero_stage")
                else ""
            )
            raise InputError(
                f"--output_dir {folder}: holds another run ({'; '.join(found[:4])}{checkpoints}); name a new folder"
            )
    return previous


def differences(old, new):
    """Human-readable differences of two flat dicts: ["learning_rate 1e-05 there, 3e-05 here"]."""
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key} {_short(old.get(key))} there, {_short(new.get(key))} here" for key in keys]


def _short(value):
    return f"{value[:8]}…" if isinstance(value, str) and len(value) == 64 else value


def plain(value):
    """A JSON value: enums by their value."""
    return getattr(value, "value", value)


def describe_run(script, argv, name, args, training_args, origins, previous, parent_hash):
    """run.json: what is needed to repeat the run. Tokens are masked by to_sanitized_dict."""
    source = args.model_name_or_path or args.config_name
    before = read_run(source)
    parent = {
        "path": source,
        "checkpoint": parent_hash,
        **{name: before.get(name) for name in ("command", "task", "seed", "parent")},
    }
    if Path(source).resolve() == Path(training_args.output_dir).resolve():
        parent = previous.get("parent", parent)  # predicting with the folder's own model
    data = Path(args.data_dir or ".")  # download_data.py writes one manifest.json beside xtreme/ and intermediate/
    manifest = next(
        (folder / "manifest.json" for folder in (data, data.parent) if (folder / "manifest.json").exists()), None
    )
    history = previous.get("history", []) + (
        [{key: previous[key] for key in ("command", "started_at")}] if previous else []
    )
    return {
        "command": f"python {script} {shlex.join(mask_tokens(argv))}",
        "task": name,
        "seed": training_args.seed,
        "model_name_or_path": source,
        "parent": parent,
        "checkpoint": previous.get("checkpoint"),
        "arguments": vars(args),
        "training_arguments": {key: plain(value) for key, value in training_args.to_sanitized_dict().items()},
        "resolved": origins,
        "data_manifest": sha256(manifest) if manifest else None,
        "environment": environment(),
        "history": history,
        "started_at": now(),
        "seconds": {},
    }


def noise_record(task, folder):
    """What perturb.py's manifest says about an evaluation folder and a task; {} for a folder that perturb.py did not
    write.

    {"op", "level", "realised": {language: error rate}, "not_applicable": {language: reason}}: with it, results speak
    for themselves.
    """
    folder = Path(folder).resolve()
    try:
        manifest = _manifest(folder.parent / "manifest.json")
        found = [
            row for name in ("files", "not_applicable") for row in manifest[name] if row["condition"] == folder.name
        ]
        rows = [row for row in found if (row["task"], row["split"]) == (task.name, "test")]
        edited = {
            row["language"]: [one for one in rows if one["language"] == row["language"]]
            for row in rows
            if "size" in row
        }
        return rows and {
            "op": rows[0]["op"],
            "level": next((row["level"] if row["level"] is not None else row["rate"] for row in rows if "size" in row), None),
            "realised": {code: sum(row["spent"] for row in of) / max(1, sum(row["size"] for row in of)) for code, of in edited.items()},
            "not_applicable": {row["language"]: row["reason"] for row in rows if "reason" in row},
        } or {}  # fmt: skip
    except (KeyError, OSError, TypeError, ValueError):
        return {}


@lru_cache(maxsize=4)
def _manifest(path):
    return json.loads(path.read_text(encoding="utf-8"))


def mask_tokens(argv):
    """The command line without secrets."""
    return [
        "***" if index and argv[index - 1].endswith("_token") else re.sub(r"(_token=).*", r"\1***", token)
        for index, token in enumerate(argv)
    ]


def write_card(output_dir, name, description, run, text_table):
    """README.md of the run: a model card with the command and the table."""
    front = (
        f"---\nlibrary_name: transformers\nbase_model: {run['model_name_or_path']}\ntags:\n- cross-lingual\n- xtreme\n"
    )
    tags = "".join(f"- {task}\n" for task in name.split("+"))
    body = f"""---

# {Path(output_dir).name}: {name}

{description}

```
{text_table}
```

Made by

```bash
{run["command"]}
```

with seed {run["seed"]}; settings, versions and data hashes are in `run.json`, all metrics in `results.jsonl`.
"""
    write_text(Path(output_dir) / "README.md", front + tags + body)
