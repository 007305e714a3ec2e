"""What a report reads: finished runs of run_xtreme.py, grouped into settings, checked against each other, with counts.

A run's setting is how its encoder was made, read from run.json: the tasks that its ancestors were trained on, beyond
those that all runs share; and the languages it was trained in, and how it was made robust (--robust, --train_noise).
"""

import glob
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.json

from common.files import InputError
from common.run_record import differences, flags_of, read_run, robust_training, trained_in
from common.task_records import TRANSLATION, target_of
from reporting.parts import natural
from reporting.statistics import statistic

# Flags in which runs of one setting differ.
OWN = ("--seed", "--output_dir", "--model_name_or_path", "--data_seed", "--decoder_seed", "--disable_tqdm")
RANDOM = "random encoder"  # what a run with --random_encoder is called where it is not named
# Settings of translation whose decoders learn nothing of the source, as is any run with --random_encoder.
FLOORS = (RANDOM, "permuted targets", "permuted")
OTHER_LINES = "chrf++_other_lines"  # translations against the next line's references: a floor of translation, too
REMEDY = "remove the file and run the command of run.json again"
PREDICT = "run its command with --do_predict, or leave the folder out"
REDO = "correct or remove it and run the run's command again"
# run.json, as far as reports read it: name -> its type; null and absent are the same.
PARENT_TYPES = {"path": str, "checkpoint": str, "command": str, "task": str, "seed": int, "parent": dict}
CONDITION_TYPES = {"folder": str, "op": str, "level": (int, float)}
CONDITION_TYPES |= dict.fromkeys(("realised", "not_applicable", "attack"), dict)
TYPES = {
    **{name: str for name in ("task", "command", "started_at", "finished_at", "checkpoint", "model_name_or_path")},
    **{"seed": int, "later": list, **dict.fromkeys(("training", "parent", "conditions", "arguments"), dict)},
}
CONSTANT, ENOUGH = 0.99, 20  # share of one prediction, of at least so many, from which a run counts as collapsed


@dataclass
class Run:
    folder: Path
    record: dict  # run.json
    setting: str = ""
    named: bool = False  # whether the user named the setting
    phase2: bool = False  # whether its encoder was trained on more than what all runs share
    collapsed: str = ""  # why it is left out, "" where it is not
    scores: dict = field(default_factory=dict)  # (language, condition) -> {metric: percent}; {} without labels
    guesses: dict = field(default_factory=dict)  # language -> percent of a constant guess on its clean file, if known
    sizes: dict = field(default_factory=dict)  # (language, condition) -> (examples, hash of the test files or None)

    @property
    def task(self):
        return self.record["task"]

    @property
    def target(self):
        """The record of its task."""
        return target_of(self.record)

    @property
    def seed(self):
        return self.record["seed"]

    @property
    def identity(self):
        """What tells runs of a setting apart: the seeds and the encoder they started from."""
        return self.seed, decoder_of(self).get("decoder_seed"), self.encoder

    @property
    def floor(self):
        """Whether it shows what a decoder of translations scores that learns nothing of the source."""
        return self.task == TRANSLATION.name and (
            self.setting in FLOORS or bool(decoder_of(self).get("random_encoder"))
        )

    @property
    def root(self):
        """The name of the checkpoint that all training began from."""
        return Path(str(origin(self)[2].get("path"))).name

    @property
    def encoder(self):
        """The checkpoint that it started from."""
        return origin(self)[0].get("checkpoint")

    def condition(self, name):
        """run.json's record of a condition: folder, and perturb.py's op, level, realised, not_applicable."""
        return self.record.get("conditions", {}).get(name, {})

    @property
    def attacks(self):
        """{condition: what run_attack.py's manifest says of it} of the attacked sets: no noise that runs share."""
        names = dict.fromkeys(condition for _, condition in self.scores)
        return {name: self.condition(name)["attack"] for name in names if self.condition(name).get("attack")}

    @property
    def checkpoint(self):
        """The hash of the model that predicted: its own, or of a run that only predicts, its parent."""
        return self.record.get("checkpoint") or (self.record.get("parent") or {}).get("checkpoint")


def load_runs(patterns, baseline, scale=False):
    """(runs, runs of run_alignment.py, resolved folders of --baseline, {task: baseline setting}, notes on what was
    skipped). Raises InputError for what cannot be compared.

    `patterns` and `baseline` are folders, or NAME=PATTERN to name a setting. Baseline runs need not be repeated in
    `patterns`. With `scale`, settings are also told apart by size and by --max_train_samples.
    """
    notes, runs, aligned, base = {}, {}, {}, set()
    for flag, text in [*(("--runs", text) for text in patterns), *(("--baseline", text) for text in baseline)]:
        name, folders = expand(flag, text)
        for folder in folders:
            record, path = read_run(folder), folder.resolve()
            check_types(folder, record)
            kept = {"alignment": aligned}.get(record.get("task"), runs if target_of(record) else None)
            if kept is not None:
                run = kept.setdefault(path, Run(folder, record, name))
                run.setting = run.setting or name
                run.named = bool(run.setting)
                base |= {path} if flag == "--baseline" else set()
            else:
                reason = "a run of phase 2, without target task" if record else "it has no run.json"
                notes[path] = f"{folder}: skipped, {reason}"
    none = "no run of run_xtreme.py among them"
    if not runs and not aligned:
        advice = "name folders that hold a run.json and results.jsonl"
        raise InputError(f"--runs {' '.join(patterns[:3])}: {none}; {advice}")
    if not base:
        advice = "name the runs that others are compared with"
        raise InputError(f"--baseline {' '.join(baseline[:3])}: {none}; {advice}")
    for run in runs.values():
        read_scores(run)
    name_settings([*runs.values(), *aligned.values()], scale)
    settings = check_baseline(runs, base & runs.keys()) if runs else {}
    check_alike(list(runs.values()))
    for run in runs.values():
        run.collapsed = collapse(run)
    return list(runs.values()), list(aligned.values()), base, settings, list(notes.values())


def by_task(runs):
    """{task: its runs}, task2 before task10."""
    return {
        task: [run for run in runs if run.task == task] for task in sorted({run.task for run in runs}, key=natural)
    }


def check_types(folder, record):
    """InputError where run.json, or what it says of an ancestor or a condition, has values of a wrong type."""
    parts, parent = [("", record, TYPES)], record.get("parent")
    while isinstance(parent, dict):
        parts.append(("parent's ", parent, PARENT_TYPES))
        parent = parent.get("parent")
    if isinstance(record.get("conditions"), dict):
        parts += [(f"condition {name}'s ", one, CONDITION_TYPES) for name, one in record["conditions"].items()]
    for owner, part, types in parts:
        if not isinstance(part, dict):
            raise InputError(f"{folder}/run.json: {owner}record is {_shown(part)}, not an object; {REDO}")
        for name, kinds in types.items():
            if part.get(name) is not None and (type(part[name]) is bool or not isinstance(part[name], kinds)):
                raise InputError(f"{folder}/run.json: {owner}{name} is {_shown(part[name])}, of a wrong type; {REDO}")


def _shown(value):
    return json.dumps(value, ensure_ascii=False)[:60]


def expand(flag, text):
    """(name or "", folders) of an argument."""
    name, separator, pattern = text.partition("=")
    if not separator or Path(text).exists():
        name, pattern = "", text
    paths = [Path(pattern)]
    if glob.has_magic(pattern) and not paths[0].exists():
        paths = [Path(path) for path in sorted(glob.glob(pattern))]
    if not paths or not paths[0].exists():
        raise InputError(f"{flag} {text}: no such folder; name folders of runs, as in outputs/*")
    return name, [path for path in paths if path.is_dir()]


def read_scores(run):
    """Fill in a run's scores and sizes; InputError with file and line for what is broken, doubled or cut short."""
    path = run.folder / "results.jsonl"
    if "finished_at" not in run.record:
        cut_short = "the run was cut short (no finished_at in its run.json)"
        raise InputError(f"{run.folder}: {cut_short}; go on with it: {run.record.get('command')}")
    if not path.exists():
        raise InputError(f"{path}: missing, so this run has predicted nothing; {PREDICT}")
    seen = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                result = json.loads(line)
                cell, metric, value = (result["language"], result["condition"]), result["metric"], result["value"]
                size = result["n"], result.get("data")
                if result["task"] != run.task or not isinstance(value, (int, float, type(None))):
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{path}, line {number}: broken: {line.strip()[:80]!r}; {REMEDY}") from None
            if (cell, metric) in seen:
                twice = f"{path}, lines {seen[cell, metric]} and {number}: {cell[0]} {cell[1]} {metric} twice"
                raise InputError(f"{twice}; {REMEDY}")
            seen[cell, metric] = number
            run.sizes[cell] = size
            if cell[1] == "clean" and metric == run.target.metric and result.get("constant_guess") is not None:
                run.guesses[cell[0]] = float(result["constant_guess"])
            if cell[1] == "clean" and metric == OTHER_LINES and value is not None:
                run.guesses[cell[0]] = float(value)
            run.scores.setdefault(cell, {}).update({metric: value} if metric else {})
    if not run.scores:
        raise InputError(f"{path}: empty, so this run has predicted nothing; {PREDICT}")


# --- Settings


def origin(run):
    """(the encoder's record in run.json, its ancestors' trained tasks, the first one's first; that one's record)."""
    parent = run.record.get("parent") or {}
    # A run that only predicts with a fine-tuned model: the encoder is that model's parent.
    while not run.record.get("training") and parent.get("task") == run.task:
        parent = parent.get("parent") or {}
    chain = [parent]
    while chain[-1].get("parent"):
        chain.append(chain[-1]["parent"])
    return parent, [trained_as(one) for one in reversed(chain) if one.get("task")], chain[-1]


def trained_as(parent):
    """What an ancestor is called: by its task, and how it was made robust."""
    return f"{parent['task']} ({', '.join(robust)})" if (robust := robust_training(parent)) else parent["task"]


def name_settings(runs, scale=False):
    """Name the settings that the user did not: by tasks that not all runs share, after the checkpoint if several.

    With `scale` also by their number of training examples.
    """
    chains = {run.folder: origin(run)[1] for run in runs}
    roots = {run.folder: origin(run)[2] for run in runs}
    shared = os.path.commonprefix(list(chains.values())) if len(set(map(tuple, chains.values()))) > 1 else []
    several = len({root.get("checkpoint") for root in roots.values()}) > 1
    for run in runs:
        first = [Path(str(roots[run.folder].get("path"))).name] if several else []
        own = chains[run.folder][len(shared) :]
        if run.task == TRANSLATION.name:  # a second stage goes on with a first one's folder
            own = [task for task in own if task != TRANSLATION.name]
        run.phase2 = bool(own)
        encoder = " > ".join([*first, *own]) or "direct"
        if decoder_of(run).get("random_encoder"):
            encoder, run.phase2 = RANDOM, False
        examples = (run.record.get("training") or {}).get("max_train_samples") if scale else None
        more = [
            *training_languages(run),
            *robust_training(run.record),
            *([f"{examples} examples"] if examples else []),
        ]
        run.setting = run.setting or ", ".join([encoder, *more])


def training_languages(run):
    """["trained in de sw (100 each)"]: what a setting is named by beside its encoder; [] for English alone. A
    translation model is "unfrozen" where its encoder was trained with the decoder.
    """
    if run.task == TRANSLATION.name:
        return [] if decoder_of(run).get("freeze", "encoder") == "encoder" else ["unfrozen"]
    languages, number = trained_in(run.record)
    return [f"trained in {' '.join(languages)}{f' ({number} each)' if number else ''}"] if languages else []


def decoder_of(run):
    """What the training of a run of translation says of encoder and decoder: freeze, random_encoder, decoder_seed; of
    one that only translates, that of the model it was given. {} of another task.
    """
    record = run.record
    if record["task"] != TRANSLATION.name:
        return {}
    if record.get("training"):
        return record["training"]
    parent = record.get("parent") or {}
    while "--do_train" not in (flags := flags_of(parent.get("command"))) and parent.get("parent"):
        parent = parent["parent"]
    random = {"random_encoder": "--random_encoder" in flags}
    given = {name: flags[f"--{name}"][0] for name in ("freeze", "decoder_seed") if flags.get(f"--{name}")}
    return random | given


def check_baseline(runs, base):
    """{task: setting of its baseline}: one for each task of the other runs."""
    settings = {}
    for path in sorted(base):
        run = runs[path]
        if settings.setdefault(run.task, run.setting) != run.setting:
            both = f"{settings[run.task]} and {run.setting}"
            raise InputError(
                f"--baseline: runs of {run.task} in two settings, {both}; name one of them, the other goes into --runs"
            )
    for run in runs.values():
        if run.task not in settings:
            have = f"for which --baseline has none (only {' '.join(settings)})"
            raise InputError(f"{run.folder}: a run of {run.task}, {have}; add one or leave this run out")
    others = {run.task for path, run in runs.items() if path not in base}
    lonely = [task for task in settings if others and task not in others]
    if lonely:
        have = f"--runs has none (only {' '.join(sorted(others))})"
        raise InputError(f"--baseline: runs of {lonely[0]}, but {have}; different tasks cannot be compared")
    return settings


UNLIKE = ("seed", "data_seed", "decoder_seed", "parent", "finished")


def training_arguments(run):
    """What decides a run's training, without what differs between runs of one setting."""
    training = run.record.get("training") or {}
    return {name: value for name, value in training.items() if name not in UNLIKE}


def recipe(command):
    """A command without what differs between runs of one setting."""
    return sorted([flag, *values] for flag, values in flags_of(command).items() if flag not in OWN)


def check_alike(runs):
    """InputError where runs of one setting differ beyond seed and parent, or runs of a task in their test files."""
    first, twins, cells = {}, {}, {}
    for run in runs:
        setting = run.task, run.setting
        check_same_training(first.setdefault(setting, run), run)
        twin = twins.setdefault((setting, run.identity), run)
        if twin is not run:
            both = f"{twin.folder} and {run.folder}: both {run.task} from {run.setting} with seed {run.seed}"
            raise InputError(f"{both}; leave one out")
        for cell in run.sizes:
            if cell[1] in run.attacks:  # each run may have been attacked by itself
                continue
            other = cells.setdefault((run.task, *cell), run)
            if not same_data(other, run, cell):
                raise InputError(different_data(other, run, cell))


def check_same_training(first, run):
    """InputError where the training of two runs of one setting, or that of their encoders, had other arguments."""
    unlike = differences(training_arguments(first), training_arguments(run))
    commands = [origin(one)[0].get("command") for one in (first, run)]
    if not unlike and all(commands) and recipe(commands[0]) != recipe(commands[1]):
        other = [part for part in recipe(commands[1]) if part not in recipe(commands[0])] or recipe(commands[0])
        unlike = [f"their encoders were trained by different commands ({' '.join(other[0])})"]
    if unlike:
        pair = f"{first.folder} and {run.folder}: both {run.task} from {run.setting}"
        raise InputError(f"{pair}, but {'; '.join(unlike[:3])}; tell them apart, as in --runs NAME={run.folder}")


def same_data(one, other, cell):
    """Whether a cell of two runs has equal test files, or, where results.jsonl does not tell, equal data manifests."""
    (n, data), (other_n, other_data) = one.sizes[cell], other.sizes[cell]
    if None in (data, other_data):
        data, other_data = (run.record.get("data_manifest") for run in (one, other))
    return n == other_n and (None in (data, other_data) or data == other_data)


def different_data(one, other, cell):
    """The message on two runs whose test files of a cell differ."""
    sides = []
    for run in (one, other):
        (n, data), below = run.sizes[cell], run.condition(cell[1]).get("folder", "?")
        manifest = (run.record.get("data_manifest") or "none")[:8]
        sides.append(f"{run.folder}: {n} examples, files {str(data)[:8]} below {below}, data manifest {manifest}")
    files = f"different test files of {one.task} {cell[0]} {cell[1]}"
    return f"{files} ({'; '.join(sides)}); predict both from the same data"


def collapse(run):
    """Why a trained run counts as collapsed, or "": in English, or its first language, its predictions are all one."""
    languages = [language for language, condition in run.scores if condition == "clean"]
    if not run.record.get("training") or not languages or run.floor:
        return ""
    language = "en" if "en" in languages else languages[0]
    paths = sorted((run.folder / "predictions" / "clean" / run.task).glob(f"test-{language}.*"))
    if not paths:
        return ""
    text = paths[0].read_text(encoding="utf-8")
    answers = json.loads(text).values() if paths[0].suffix == ".json" else filter(None, text.splitlines())
    answers = list(map(str, answers))
    guess, times = Counter(answers).most_common(1)[0] if answers else ("", 0)
    if len(answers) < ENOUGH or times < CONSTANT * len(answers):
        return ""
    return f"collapsed: {times} of {len(answers)} predictions for {language} are {guess[:40]!r}"


# --- Counts per example


def read_counts(run, language, conditions):
    """One {column: array [examples]} per condition. InputError naming the file and line that is broken or missing."""
    paths = [run.folder / "scores" / condition / run.task / f"test-{language}.jsonl" for condition in conditions]
    try:
        parts = [path.read_bytes() for path in paths]
    except OSError as error:
        remedy = f"run the command of {run.folder / 'run.json'} again"
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); {remedy}") from None
    sizes = [part.count(b"\n") for part in parts]
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=1 << 26)
    try:
        table = pyarrow.json.read_json(pyarrow.BufferReader(b"".join(parts)), options)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        numbers = [columns[name] for name in counted(run.target)]
        if table.num_rows != sum(sizes) or any(one.dtype.kind not in "if" or np.isnan(one).any() for one in numbers):
            raise ValueError
    except (KeyError, ValueError, pyarrow.ArrowException):
        raise InputError(broken_line(run.target, paths)) from None
    ends = np.cumsum(sizes)
    return [{name: values[end - size : end] for name, values in columns.items()} for size, end in zip(sizes, ends)]


def counted(task):
    """The columns of a task's counts that must be numbers."""
    return [name for name in statistic(task)[0] if name != "examples"]


def broken_line(task, paths):
    """The message on counts that cannot be read: the first line that is broken."""
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                counts = json.loads(line)
                good = all(isinstance(counts[name], (int, float)) for name in counted(task))
            except (KeyError, TypeError, ValueError):
                good = False
            if not good:
                return f"{path}, line {number}: broken: {line[:80]!r}; {REMEDY}"
    remedy = "remove the folder scores and run the command of run.json again"
    return f"{paths[0]}: cannot be read as counts per example; {remedy}"


def condition_of(name, records):
    """(name, operation, level as text) by perturb.py's records in run.json, or by the name; draws share a level."""
    for record in records:
        if record.get("op") and record.get("level") is not None:
            return name, record["op"], f"{record['level']:g}"
    match = re.fullmatch(r"(.+?)-((?:rate)?[\d.]+)(?:-r\d+)?", name)
    return (name, match[1], match[2].removeprefix("rate")) if match else (name, name, "1")
