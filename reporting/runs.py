"""What a report reads: finished runs of run_xtreme.py, grouped into settings, checked against each other, with their
counts per example.

A run's setting is how its encoder was made, read from run.json: the tasks that its ancestors were trained on, beyond
those that all runs share.
"""

import glob
import json
import os
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.json

from common.files import InputError
from common.run_record import differences, read_run
from reporting.statistics import statistic
from tasks import TARGETS

OWN = (
    "--seed",
    "--output_dir",
    "--model_name_or_path",
    "--data_seed",
    "--disable_tqdm",
)  # flags in which runs of one setting differ
REMEDY = "remove the file and run the command of run.json again"
CONSTANT = 0.99  # share of one prediction in English from which a run counts as collapsed


@dataclass
class Run:
    folder: Path
    about: dict  # run.json
    setting: str = ""
    collapsed: str = ""  # why it is left out, "" where it is not
    scores: dict = field(
        default_factory=dict
    )  # (language, condition) -> {metric: percent}; {} for a file without labels
    sizes: dict = field(default_factory=dict)  # (language, condition) -> (examples, hash of the test files or None)

    @property
    def task(self):
        return self.about["task"]

    @property
    def seed(self):
        return self.about["seed"]

    @property
    def identity(self):
        """What tells runs of a setting apart: the seed and the encoder they started from."""
        return self.seed, origin(self)[0].get("checkpoint")


def load_runs(patterns, baseline):
    """(runs, {task: baseline setting}, notes on what was skipped). Raises InputError for what cannot be compared.

    `patterns` and `baseline` are folders, or NAME=PATTERN to name a setting. Baseline runs need not be repeated in
    `patterns`.
    """
    notes, runs, base = {}, {}, set()
    for flag, text in [*(("--runs", text) for text in patterns), *(("--baseline", text) for text in baseline)]:
        name, folders = expand(flag, text)
        for folder in folders:
            about, path = read_run(folder), folder.resolve()
            if about.get("task") in TARGETS:
                run = runs.setdefault(path, Run(folder, about, name))
                run.setting = run.setting or name
                base |= {path} if flag == "--baseline" else set()
            else:
                notes[path] = (
                    f"{folder}: skipped, {'a run of phase 2, without target task' if about else 'it has no run.json'}"
                )
    if not runs:
        raise InputError(
            f"--runs {' '.join(patterns[:3])}: no run of run_xtreme.py among them; name folders that hold a run.json "
            "and results.jsonl"
        )
    if not base:
        raise InputError(
            f"--baseline {' '.join(baseline[:3])}: no run of run_xtreme.py among them; name the runs that others are "
            "compared with"
        )
    for run in runs.values():
        read_scores(run)
    name_settings(list(runs.values()))
    settings = check_baseline(runs, base)
    check_alike(list(runs.values()))
    for run in runs.values():
        run.collapsed = collapse(run)
    return list(runs.values()), settings, list(notes.values())


def expand(flag, text):
    """(name or "", folders) of an argument."""
    name, sep, pattern = text.partition("=")
    if not sep or Path(text).exists():
        name, pattern = "", text
    found = (
        [Path(path) for path in sorted(glob.glob(pattern))]
        if glob.has_magic(pattern) and not Path(pattern).exists()
        else [Path(pattern)]
    )
    if not found or not found[0].exists():
        raise InputError(f"{flag} {text}: no such folder; name folders of runs, as in outputs/*")
    return name, [path for path in found if path.is_dir()]


def read_scores(run):
    """Fill in a run's scores and sizes; InputError with file and line for what is broken, doubled or cut short."""
    path = run.folder / "results.jsonl"
    if "finished_at" not in run.about:
        raise InputError(
            f"{run.folder}: the run was cut short (no finished_at in its run.json); go on with it: "
            f"{run.about.get('command')}"
        )
    if not path.exists():
        raise InputError(
            f"{path}: missing, so this run has predicted nothing; run its command with --do_predict, or leave the "
            "folder out"
        )
    seen = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                cell, metric, value = (row["language"], row["condition"]), row["metric"], row["value"]
                size = row["n"], row.get("data")
                if row["task"] != run.task or not isinstance(value, (int, float, type(None))):
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{path}, line {number}: broken: {line.strip()[:80]!r}; {REMEDY}") from None
            if (cell, metric) in seen:
                raise InputError(
                    f"{path}, lines {seen[cell, metric]} and {number}: {cell[0]} {cell[1]} {metric} twice; {REMEDY}"
                )
            seen[cell, metric] = number
            run.sizes[cell] = size
            run.scores.setdefault(cell, {}).update({metric: value} if metric else {})
    if not run.scores:
        raise InputError(
            f"{path}: empty, so this run has predicted nothing; run its command with --do_predict, or leave the "
            "folder out"
        )


# --- Settings
# ---------------------------------------------------------------------------------------------------------


def origin(run):
    """(the encoder's record in run.json, its ancestors' trained tasks from the first on, the first ancestor's record)."""
    parent = run.about.get("parent") or {}
    while (
        not run.about.get("training") and parent.get("task") == run.task
    ):  # a run that only predicts with a fine-tuned model
        parent = parent.get("parent") or {}
    chain = [parent]
    while chain[-1].get("parent"):
        chain.append(chain[-1]["parent"])
    return parent, [one["task"] for one in reversed(chain) if one.get("task")], chain[-1]


def name_settings(runs):
    """Fill in the settings that the user did not name: tasks that not all runs share, "direct" for none, after the
    checkpoint where it differs.
    """
    chains = {run.folder: origin(run)[1] for run in runs}
    roots = {run.folder: origin(run)[2] for run in runs}
    shared = os.path.commonprefix(list(chains.values())) if len(set(map(tuple, chains.values()))) > 1 else []
    several = len({root.get("checkpoint") for root in roots.values()}) > 1
    for run in runs:
        first = [Path(str(roots[run.folder].get("path"))).name] if several else []
        run.setting = run.setting or " > ".join([*first, *chains[run.folder][len(shared) :]]) or "direct"


def check_baseline(runs, base):
    """{task: setting of its baseline}: one for each task of the other runs."""
    found = {}
    for path in sorted(base):
        run = runs[path]
        if found.setdefault(run.task, run.setting) != run.setting:
            both = f"{found[run.task]} and {run.setting}"
            raise InputError(
                f"--baseline: runs of {run.task} in two settings, {both}; name one of them, the other goes into --runs"
            )
    for run in runs.values():
        if run.task not in found:
            have = f"for which --baseline has none (only {' '.join(found)})"
            raise InputError(f"{run.folder}: a run of {run.task}, {have}; add one or leave this run out")
    others = {run.task for path, run in runs.items() if path not in base}
    lonely = [task for task in found if others and task not in others]
    if lonely:
        have = f"--runs has none (only {' '.join(sorted(others))})"
        raise InputError(f"--baseline: runs of {lonely[0]}, but {have}; different tasks cannot be compared")
    return found


def arguments(run):
    """What decides a run's training, without what differs between runs of one setting."""
    training = run.about.get("training") or {}
    return {name: value for name, value in training.items() if name not in ("seed", "data_seed", "parent", "finished")}


def recipe(command):
    """A command without what differs between runs of one setting."""
    tokens, kept = shlex.split(command or ""), []
    for token in tokens:
        if token.startswith("--"):
            kept.append([token])
        elif kept:
            kept[-1].append(token)
    return sorted(part for part in kept if part[0].split("=")[0] not in OWN)


def check_alike(runs):
    """InputError where runs of one setting differ in more than seed and parent, or runs of a task in their test files."""
    settings, cells = {}, {}
    for run in runs:
        first = settings.setdefault((run.task, run.setting), {}).setdefault("first", run)
        twin = settings[run.task, run.setting].setdefault(run.identity, run)
        pair = f"{first.folder} and {run.folder}: both {run.task} from {run.setting}"
        if twin is not run:
            raise InputError(
                f"{twin.folder} and {run.folder}: both {run.task} from {run.setting} with seed {run.seed}; leave one "
                "out"
            )
        found = differences(*(arguments(one) for one in (first, run)))
        commands = [origin(one)[0].get("command") for one in (first, run)]
        if not found and all(commands) and recipe(commands[0]) != recipe(commands[1]):
            other = [part for part in recipe(commands[1]) if part not in recipe(commands[0])] or recipe(commands[0])
            found = [f"their encoders were trained by different commands ({' '.join(other[0])})"]
        if found:
            raise InputError(f"{pair}, but {'; '.join(found[:3])}; tell them apart, as in --runs NAME={run.folder}")
        for cell in run.sizes:
            other = cells.setdefault((run.task, *cell), run)
            if not same_data(other, run, cell):
                raise InputError(different_data(other, run, cell))


def same_data(one, other, cell):
    """Whether a cell of two runs has equal test files; where results.jsonl does not tell, whether the whole data's
    manifests are equal.
    """
    (n, data), (other_n, other_data) = one.sizes[cell], other.sizes[cell]
    if None in (data, other_data):
        data, other_data = (run.about.get("data_manifest") for run in (one, other))
    return n == other_n and (None in (data, other_data) or data == other_data)


def different_data(one, other, cell):
    """The message on two runs whose test files of a cell differ."""
    sides = []
    for run in (one, other):
        (n, data), about = run.sizes[cell], run.about.get("conditions", {}).get(cell[1], {})
        manifest = (run.about.get("data_manifest") or "none")[:8]
        sides.append(
            f"{run.folder}: {n} examples, files {str(data)[:8]} below {about.get('folder', '?')}, data manifest "
            f"{manifest}"
        )
    return (
        f"different test files of {one.task} {cell[0]} {cell[1]} ({'; '.join(sides)}); predict both from the same data"
    )


def collapse(run):
    """Why a trained run counts as collapsed, or "": in English, or its first language, it predicts the same for
    everything.
    """
    if not run.about.get("training"):
        return ""
    languages = [language for language, condition in run.scores if condition == "clean"]
    if not languages:
        return ""
    language = "en" if "en" in languages else languages[0]
    found = sorted((run.folder / "predictions" / "clean" / run.task).glob(f"test-{language}.*"))
    if not found:
        return ""
    text = found[0].read_text(encoding="utf-8")
    answers = (
        list(json.loads(text).values()) if found[0].suffix == ".json" else [line for line in text.splitlines() if line]
    )
    guess, times = Counter(map(str, answers)).most_common(1)[0] if answers else ("", 0)
    if len(answers) < 20 or times < CONSTANT * len(answers):
        return ""
    return f"collapsed: {times} of {len(answers)} predictions for {language} are {guess[:40]!r}"


# --- Counts per example
# -----------------------------------------------------------------------------------------------


def read_counts(run, language, conditions):
    """One {column: array [examples]} per condition. Raises InputError naming the file and line that is broken or
    missing.
    """
    paths = [run.folder / "scores" / condition / run.task / f"test-{language}.jsonl" for condition in conditions]
    try:
        parts = [path.read_bytes() for path in paths]
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); run the command of {run.folder / 'run.json'} again"
        ) from None
    sizes = [part.count(b"\n") for part in parts]
    try:
        table = pyarrow.json.read_json(
            pyarrow.BufferReader(b"".join(parts)), pyarrow.json.ReadOptions(use_threads=False, block_size=1 << 26)
        )
        columns = {name: table[name].to_numpy() for name in table.column_names}
        wanted = [name for name in statistic(run.task)[0] if name != "examples"]
        if table.num_rows != sum(sizes) or any(
            columns[name].dtype.kind not in "if" or np.isnan(columns[name]).any() for name in wanted
        ):
            raise ValueError
    except (KeyError, ValueError, pyarrow.ArrowException):
        raise InputError(broken_line(run.task, paths)) from None
    ends = np.cumsum(sizes)
    return [{name: values[end - size : end] for name, values in columns.items()} for size, end in zip(sizes, ends)]


def broken_line(task, paths):
    wanted = [name for name in statistic(task)[0] if name != "examples"]
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                row = json.loads(line)
                good = all(isinstance(row[name], (int, float)) for name in wanted)
            except (KeyError, TypeError, ValueError):
                good = False
            if not good:
                return f"{path}, line {number}: broken: {line[:80]!r}; {REMEDY}"
    return (
        f"{paths[0]}: cannot be read as counts per example; remove the folder scores and run the command of "
        "run.json again"
    )


def condition_of(name, records):
    """(name, operation, level as text) of a condition, from perturb.py's records in run.json, else from its name;
    draws -r1 share a level.
    """
    for record in records:
        if record.get("op") and record.get("level") is not None:
            return name, record["op"], f"{record['level']:g}"
    match = re.fullmatch(r"(.+?)-((?:rate)?[\d.]+)(?:-r\d+)?", name)
    return (name, match[1], match[2].removeprefix("rate")) if match else (name, name, "1")
