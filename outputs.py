"""What a run leaves behind: run.json, results.jsonl, predictions, per-example scores, the table and the model card.

    <output_dir>/run.json              everything needed to repeat the run
    <output_dir>/results.jsonl         one row per (task, language, condition, metric), value in percent
    <output_dir>/predictions/<condition>/<task>/test-<lang>.{tsv,json,jsonl}     XTREME's submission layout
    <output_dir>/scores/<condition>/<task>/test-<lang>.jsonl     additive counts per example, for a paired bootstrap

Every file is written under a temporary name and renamed, so a killed run leaves whole files only. A finished cell (task,
language, condition) is recognized by the hash of its inputs. Standard library only; any script may take this file along.

    python outputs.py outputs/direct/xnli outputs/after-mnli/xnli      the per-language scores of runs side by side
"""

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

logger = logging.getLogger("xtreme")

PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "accelerate", "deepspeed", "numpy", "safetensors")
SUFFIX = {"question_answering": "json", "multiple_choice": "jsonl"}  # of a prediction file; tsv for the others
ROW = {"task", "language", "condition", "metric", "value", "n", "inputs", "predictions"}  # keys of results.jsonl that are read back
CHECKPOINT_FILES = ("config.json", "tokenizer.json", "sentencepiece.bpe.model", "tokenizer_config.json", "*.safetensors", "*.bin")


class InputError(ValueError):
    """Input that cannot be used: one line that names the thing, the value and the next step. Scripts exit with code 2."""


def write_text(path, text):
    """Write a file whole or not at all; makes its folder."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path, data):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def save_metrics(folder, split, metrics):
    """Write <split>_results.json and join it into all_results.json, as HF's Trainer does."""
    metrics = {f"{split}_{name.removeprefix(f'{split}_')}": value for name, value in metrics.items()}
    write_json(Path(folder) / f"{split}_results.json", metrics)
    path = Path(folder) / "all_results.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**before, **metrics})


def sha256(*parts):
    """Hash of files (Path: their content) and of anything else (its JSON), in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            try:
                with open(part, "rb") as file:
                    while block := file.read(1 << 22):
                        digest.update(block)
            except OSError as error:
                raise InputError(f"{part}: cannot be read ({error.strerror}); check the path and its permissions") from None
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def checkpoint_hash(folder, revision="main"):
    """Content hash of a local checkpoint (weights, configuration, tokenizer); a Hub model hashes as its name and revision.

    Warns where the folder's run.json says that its run saved other content: people may have changed it, a disk may have spoiled it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return sha256(str(folder), revision)
    files = sorted({file for pattern in CHECKPOINT_FILES for file in folder.glob(pattern) if file.name != "training_args.bin"})
    found = sha256(*[part for file in files for part in (file.name, file)])
    if read_run(folder).get("checkpoint") not in (None, found):
        logger.warning("%s: its weights, configuration or tokenizer are no longer those that its run saved; copy or train it again if unsure", folder)
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
    return {"python": platform.python_version(), "packages": versions, "hardware": hardware, "hostname": platform.node(), "git": git_state()}


def git_state():
    """{"commit", "dirty"} of the folder this file lies in, or None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(status.strip())}


def now():
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


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
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output_dir {folder}: is a file; name a new folder")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(folder if folder.exists() else above, os.W_OK) or not above.is_dir():
        raise InputError(f"--output_dir {folder}: cannot be written below {above}; name another folder")
    previous = read_run(folder)
    if not previous and folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):  # .lock of a run killed at once
        raise InputError(f"--output_dir {folder}: not empty and without a run.json, so not ours to write into; name a new folder")
    if previous and not {"task", "command", "started_at"} <= previous.keys():
        raise InputError(f"{folder / 'run.json'}: broken (no task, command or started_at); remove it or choose a new --output_dir")
    if previous and previous["task"] != task.name:
        raise InputError(f"--output_dir {folder}: holds a run of {previous['task']}, this is {task.name}; name a new folder")
    if previous and training:
        if not previous.get("training"):
            raise InputError(f"--output_dir {folder}: holds a run that only predicts; name a new folder to train in")
        found = differences({k: v for k, v in previous["training"].items() if k != "finished"}, training)
        if found:
            checkpoints = "; ZeRO's checkpoints need its stage and number of processes" if previous["training"].get("zero_stage") else ""
            raise InputError(f"--output_dir {folder}: holds another run ({'; '.join(found[:4])}{checkpoints}); name a new folder")
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
    parent = {"path": source, "checkpoint": parent_hash, **{name: before.get(name) for name in ("command", "task", "seed", "parent")}}
    if Path(source).resolve() == Path(training_args.output_dir).resolve():
        parent = previous.get("parent", parent)  # predicting with the folder's own model
    data = Path(args.data_dir or ".")  # download_data.py writes one manifest.json beside xtreme/ and intermediate/
    manifest = next((folder / "manifest.json" for folder in (data, data.parent) if (folder / "manifest.json").exists()), None)
    history = previous.get("history", []) + ([{key: previous[key] for key in ("command", "started_at")}] if previous else [])
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
    """What perturb.py's manifest says about an evaluation folder and a task; {} for a folder that perturb.py did not write.

    {"op", "level", "realised": {language: error rate}, "not_applicable": {language: reason}}: with it, results speak for themselves.
    """
    folder = Path(folder).resolve()
    try:
        manifest = _manifest(folder.parent / "manifest.json")
        found = [row for name in ("files", "not_applicable") for row in manifest[name] if row["condition"] == folder.name]
        rows = [row for row in found if (row["task"], row["split"]) == (task.name, "test")]
        edited = {row["language"]: [one for one in rows if one["language"] == row["language"]] for row in rows if "size" in row}
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
    return ["***" if index and argv[index - 1].endswith("_token") else re.sub(r"(_token=).*", r"\1***", token) for index, token in enumerate(argv)]


class Results:
    """results.jsonl and the files behind its cells.

    A row is {task, language, condition, metric, value (percent), n, seed, model, parent, data, inputs, predictions}; a cell
    without gold labels has one row with metric and value None. `data` is the hash of the test files, `inputs` that of all that
    the cell was computed from, `predictions` that of its prediction file: a cell counts as finished when the last two still hold.
    """

    def __init__(self, output_dir):
        self.folder = Path(output_dir)
        self.path = self.folder / "results.jsonl"
        self.rows = []
        if self.path.exists():
            for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
                try:
                    self.rows.append(json.loads(line))
                    if not ROW <= self.rows[-1].keys():
                        raise ValueError
                except (AttributeError, ValueError):
                    raise InputError(f"{self.path}, line {number}: broken; remove the file to predict everything again") from None

    def prediction_path(self, task, language, condition):
        return self.folder / "predictions" / condition / task.name / f"{self.split(condition)}-{language}.{SUFFIX.get(task.head, 'tsv')}"

    def score_path(self, task, language, condition):
        return self.folder / "scores" / condition / task.name / f"{self.split(condition)}-{language}.jsonl"

    @staticmethod
    def split(condition):
        return "dev" if condition == "dev" else "test"

    def cell(self, task, language, condition):
        wanted = (task.name, language, condition)
        return [row for row in self.rows if (row["task"], row["language"], row["condition"]) == wanted]

    def finished(self, task, language, condition, inputs):
        rows = self.cell(task, language, condition)
        predictions = self.prediction_path(task, language, condition)
        scores = self.score_path(task, language, condition)
        if not rows or rows[0]["inputs"] != inputs:
            return False
        if rows[0]["predictions"] is None:  # masked LM has scores alone
            return True
        if not predictions.exists() or sha256(predictions) != rows[0]["predictions"]:
            return False
        return rows[0]["metric"] is None or scores.exists()

    def add(self, task, language, condition, scores, counts, n, inputs, **about):
        """Record one cell whose prediction file, if it has one, is already written; `counts` None means a file without labels."""
        if counts is not None:
            write_text(self.score_path(task, language, condition), "".join(json.dumps(row) + "\n" for row in counts))
        file = self.prediction_path(task, language, condition)
        predictions = sha256(file) if file.exists() else None
        base = {"task": task.name, "language": language, "condition": condition}
        self.rows = [row for row in self.rows if {**row, **base} != row]
        for metric, value in (scores or {None: None}).items():
            self.rows.append({**base, "metric": metric, "value": value, "n": n, **about, "inputs": inputs, "predictions": predictions})
        self.rows.sort(key=lambda row: (row["task"], row["condition"], row["language"]))  # whatever order the cells came in
        write_text(self.path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))


def table(results, task, languages, conditions, metrics):
    """The per-language table as text: a line per language, a column per condition, averages below.

    `metrics` are joined by " / ". A language without labels says so and never enters an average. Where an operation of perturb.py
    leaves out some languages, averages are over those that all conditions have, and say how many.
    """
    lines = [["language", "examples", *conditions]]
    values = {}
    for language in languages:
        cells = {condition: results.cell(task, language, condition) for condition in conditions}
        n = next((rows[0]["n"] for rows in cells.values() if rows), "")
        line = [language, str(n)]
        for condition, rows in cells.items():
            found = {row["metric"]: row["value"] for row in rows}
            if not rows:
                line.append("-")
            elif None in found:
                line.append("no labels")
            else:
                values.setdefault(condition, {})[language] = [found[metric] for metric in metrics]
                line.append(" / ".join(f"{found[metric]:.1f}" for metric in metrics))
        lines.append(line)
    scored = {code for found in values.values() for code in found}
    shared = [code for code in languages if all(code in found for found in values.values())]
    of = f" of {len(shared)} shared" if len(shared) < len(scored) else ""
    others = [code for code in shared if code != "en"]
    for name, chosen in [(f"average{of}", shared), ("average without en", others)][: 1 + ("en" in languages)]:
        means = []
        for condition in conditions:
            rows = [values[condition][code] for code in chosen if condition in values]
            means.append(" / ".join(f"{sum(column) / len(rows):.1f}" for column in zip(*rows)) if rows else "-")
        lines.append([name, "", *means])
    return "\n".join([f"{task.name}: {' / '.join(metrics)}, percent", *aligned(lines)])


def aligned(lines):
    """Rows of a table as lines of text: the first column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))) for line in lines]


def write_card(output_dir, name, description, run, text_table):
    """README.md of the run: a model card with the command and the table."""
    front = f"---\nlibrary_name: transformers\nbase_model: {run['model_name_or_path']}\ntags:\n- cross-lingual\n- xtreme\n"
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


def side_by_side(folders, condition="clean"):
    """Scores of several runs of one task as a table: a line per language, a column per run, its task's metric in percent."""
    runs = {str(folder): [row for row in Results(folder).rows if row["condition"] == condition and row["metric"]] for folder in folders}
    empty = [folder for folder, rows in runs.items() if not rows]
    if empty:
        raise InputError(f"{empty[0]}: no scores under the condition {condition}; run run_xtreme.py with --do_predict first")
    first = next(iter(runs.values()))
    task, metric = first[0]["task"], "f1" if any(row["metric"] == "f1" for row in first) else first[0]["metric"]
    wanted = {folder: [row for row in rows if (row["task"], row["metric"]) == (task, metric)] for folder, rows in runs.items()}
    values = {folder: {row["language"]: row["value"] for row in rows} for folder, rows in wanted.items()}
    languages = sorted(set().union(*values.values()), key=lambda code: (code != "en", code))
    lines = [[f"{task}: {metric}", *runs]]
    lines += [[code, *(f"{scores[code]:.1f}" if code in scores else "-" for scores in values.values())] for code in languages]
    shared = [code for code in languages if code != "en" and all(code in scores for scores in values.values())]
    if shared:
        lines.append(["average without en", *(f"{sum(scores[code] for code in shared) / len(shared):.1f}" for scores in values.values())])
    return "\n".join(aligned(lines))


if __name__ == "__main__":
    try:
        if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
            raise InputError("name the folders of some runs, e.g. outputs/direct/xnli outputs/after-mnli/xnli")
        print(side_by_side(sys.argv[1:]))
    except InputError as error:
        print(f"outputs.py: error: {error}", file=sys.stderr)
        sys.exit(2)
