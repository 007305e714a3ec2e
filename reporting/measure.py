"""From runs to numbers: what each run scored on each language and condition, its resamples, and differences."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from common.files import InputError
from reporting.runs import condition_of, read_counts
from reporting.statistics import (
    difference,
    flips,
    noisy_weights,
    operation_weights,
    resampled,
    slopes,
    statistic,
    worst_of,
)

PER_PROCESS = 20_000  # cells; for fewer, starting another process costs more than it gives
_shared = []  # studies, in a process that measures


class Measured(NamedTuple):
    """One language of a task; `runs` are those of the study, `quantities` its columns of numbers."""

    conditions: list  # [(name, operation, level)] that all runs have, without clean
    rates: np.ndarray  # [conditions], realised error rates as fractions, NaN where unknown
    scores: np.ndarray  # [runs, 1 + conditions] in percent, clean first
    to_wrong: np.ndarray  # [runs, conditions], percent of examples
    to_right: np.ndarray  # [runs, conditions]
    worst: dict  # {k: [runs]}
    slopes: dict  # {operation: [runs]}
    points: np.ndarray  # [runs, quantities]; NaN where an operation does not apply
    resamples: np.ndarray  # [resamples, runs, quantities], float32
    examples: int
    clusters: int  # paragraphs, or examples


@dataclass
class Study:
    """All runs of one task."""

    task: str
    baseline: str
    runs: list  # of Run, without collapsed ones
    operations: list
    conditions: dict = field(default_factory=dict)  # language -> [(name, operation, level)] that all runs have
    missing: list = field(default_factory=list)  # of (language, condition, folders that lack it or "all runs")
    not_applicable: list = field(default_factory=list)  # of (language, condition, reason)
    measured: dict = field(default_factory=dict)  # language -> Measured

    @property
    def metric(self):
        return self.target.metric

    @property
    def target(self):
        """The record of the task."""
        return self.runs[0].target

    @property
    def languages(self):
        return list(self.measured)

    @property
    def settings(self):
        """The baseline, then the others in order of their names."""
        return sorted({run.setting for run in self.runs}, key=lambda name: (name != self.baseline, name))

    @property
    def quantities(self):
        """Names of the columns of `points`: scores under an operation are means over its levels."""
        return ["clean", "noisy", "gap", *self.operations]

    def members(self, setting):
        return [index for index, run in enumerate(self.runs) if run.setting == setting]


# --- Which cells there are


def open_study(task, baseline, runs):
    """The Study of a task's runs, not yet measured: with the conditions that all runs have, and a list of the others.

    Raises InputError where nothing is left of the baseline or of the languages.
    """
    if all(run.collapsed for run in runs if run.setting == baseline):
        remedy = "train it with other seeds or a lower learning rate"
        raise InputError(f"{task}: all runs of the baseline {baseline} collapsed; {remedy}")
    kept = [run for run in runs if not run.collapsed]
    names = dict.fromkeys(condition for run in kept for _, condition in run.scores if condition != "clean")
    conditions = [condition_of(name, [run.condition(name) for run in kept]) for name in names]
    conditions = [(name, op, level) for name, op, level in conditions if level != "0"]  # which is the clean file
    conditions.sort(key=lambda one: (one[1], as_number(one[2]), len(one[0]), one[0]))
    study = Study(task, baseline, kept, list(dict.fromkeys(operation for _, operation, _ in conditions)))
    for language in sorted({code for run in kept for code, _ in run.scores}, key=lambda code: (code != "en", code)):
        if has(study, language, "clean"):
            study.conditions[language] = [one for one in conditions if has(study, language, one[0])]
    if not study.conditions:
        lacking = f"no language has scores under the condition clean in all {len(kept)} runs"
        raise InputError(f"{task}: {lacking}; predict clean=DIR too")
    return study


def as_number(level):
    try:
        return float(level)
    except ValueError:
        return 0.0


def has(study, language, condition):
    """Whether all runs have scores of a cell; notes down why not."""
    for run in study.runs:
        reason = run.condition(condition).get("not_applicable", {}).get(language)
        if reason:
            study.not_applicable.append((language, condition, reason))
            return False
    cell = language, condition
    lacking = [str(run.folder) for run in study.runs if not run.scores.get(cell)]
    if lacking:
        unlabeled = any(run.scores.get(cell) == {} for run in study.runs)
        where = "all runs" if len(lacking) == len(study.runs) else ", ".join(lacking)
        study.missing.append((*cell, f"{where} (no labels)" if unlabeled else where))
    return not lacking


# --- One language


def measure(study, language, resamples, seed):
    """A Measured. Reads the counts of all runs; InputError where they do not fit together."""
    conditions = study.conditions[language]
    columns, score, right = statistic(study.target)
    names = ["clean", *(name for name, _, _ in conditions)]
    sums, flags, clusters = gather(study, language, names, columns, right)
    scores = score(sums.sum(-2, dtype=float))  # [runs, 1 + conditions]
    check_scores(study, language, names, scores)
    rates = np.array([realised_rate(study, name, language) for name in names[1:]])
    weights = quantity_weights(study, conditions)  # [1 + conditions, quantities]
    again = resampled(sums, score, resamples, seed)  # [resamples, runs, 1 + conditions]
    to_wrong, to_right = flips(flags[:, 0], flags[:, 1:])
    return Measured(
        conditions,
        rates,
        scores,
        to_wrong,
        to_right,
        worst_of(flags[:, 1:], conditions),
        slopes(scores[:, 0], scores[:, 1:], rates, conditions),
        scores @ weights,
        again @ weights.astype(np.float32),
        flags.shape[-1],
        clusters,
    )


def check_scores(study, language, names, scores):
    """InputError where a run's counts, scores [runs, conditions], say other than its results.jsonl."""
    for run, values in zip(study.runs, scores):
        for name, value in zip(names, values):
            told = run.scores[language, name].get(study.metric)
            if told is None or abs(told - value) > 1e-3:
                raise InputError(
                    f"{run.folder}: {study.task} {language} {name}: {study.metric} {told} in results.jsonl but "
                    f"{value:.4f} by the counts in scores/{name}; remove results.jsonl and run its command again"
                )


def realised_rate(study, condition, language):
    """The error rate that perturb.py reached, as the first run that knows it says; NaN where none does."""
    rates = (run.condition(condition).get("realised", {}).get(language, np.nan) for run in study.runs)
    return next((rate for rate in rates if np.isfinite(rate)), np.nan)


def gather(study, language, names, columns, right):
    """(sums [runs, conditions, clusters, columns], right or not [runs, conditions, examples], number of clusters).

    Examples are matched by id where counts have one that differs between runs (bucc2018 lists only sentences of gold
    or predicted pairs).
    """
    parts = [part for run in study.runs for part in read_counts(run, language, names)]
    ids = [part["id"] for part in parts if "id" in part]
    if any(len(other) != len(ids[0]) or (other != ids[0]).any() for other in ids):
        if study.task != "bucc2018":
            problem = "the ids in scores/ differ between runs or conditions"
            raise InputError(f"{study.task} {language}: {problem}; predict all from the same data")
        parts = on_all_ids(parts)
    first = parts[0]
    examples = len(next(iter(first.values())))
    cluster = np.unique(first["paragraph"], return_inverse=True)[1] if "paragraph" in first else np.arange(examples)
    clusters = int(cluster.max()) + 1
    sums, flags = np.zeros((len(parts), clusters, len(columns)), np.float32), np.zeros((len(parts), examples), bool)
    for part, own, flag in zip(parts, sums, flags):
        flag[:] = right(part)
        for column, name in enumerate(columns):
            own[:, column] = np.bincount(cluster, None if name == "examples" else part[name], clusters)
    shape = len(study.runs), len(names)
    return sums.reshape(*shape, clusters, len(columns)), flags.reshape(*shape, examples), clusters


def on_all_ids(parts):
    """Counts of pairs on the union of their ids; what a run does not list is neither predicted nor gold."""
    ids = np.unique(np.concatenate([part["id"].astype(str) for part in parts]))
    filled = []
    for part in parts:
        places = np.searchsorted(ids, part["id"].astype(str))
        values = {name: np.zeros(len(ids)) for name in part if name != "id"}
        for name, column in values.items():
            column[places] = part[name]
        filled.append(values)
    return filled


def quantity_weights(study, conditions):
    """[1 + conditions, quantities]: quantities as weighted sums of scores; NaN where an operation does not apply."""
    weights = np.zeros((1 + len(conditions), len(study.quantities)))
    weights[0, [0, 2]] = 1
    if conditions:
        weights[1:, 1] = noisy_weights(conditions)
        weights[:, 2] -= weights[:, 1]
    else:
        weights[:, 1:3] = np.nan
    by_operation = operation_weights(conditions)
    for column, op in enumerate(study.operations, start=3):
        weights[1:, column] = by_operation.get(op, np.nan)
        weights[0, column] = 0 if op in by_operation else np.nan
    return weights


# --- All languages, on as many processes as pay off


def measure_all(studies, resamples, seed):
    """Fill in the `measured` of studies."""
    jobs = [(index, language) for index, study in enumerate(studies) for language in study.conditions]
    cells = sum(len(study.runs) * (1 + len(names)) for study in studies for names in study.conditions.values())
    processes = min(os.cpu_count() or 1, len(jobs), cells // PER_PROCESS)
    share(studies)
    arguments = [(*job, resamples, seed) for job in jobs]
    if processes > 1:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), share, (studies,)) as pool:
            measured = list(pool.map(measure_shared, *zip(*arguments)))
    else:
        measured = [measure_shared(*job) for job in arguments]
    for (index, language), one in zip(jobs, measured):
        studies[index].measured[language] = one


def share(studies):
    """What all jobs of a process read; sent along with each of them it would cost more than the measuring."""
    _shared[:] = studies


def measure_shared(index, language, resamples, seed):
    return measure(_shared[index], language, resamples, seed)


# --- Averages over languages and seeds


def over_languages(study, codes, quantity):
    """([runs], [resamples, runs], [Measured]): a quantity averaged over those of `codes` with it; None for none."""
    column = study.quantities.index(quantity)
    having = [study.measured[code] for code in codes if np.isfinite(study.measured[code].points[:, column]).all()]
    if not having:
        return None
    points = np.mean([one.points[:, column] for one in having], axis=0)
    return points, np.mean([one.resamples[:, :, column] for one in having], axis=0, dtype=np.float32), having


def compare(study, codes, quantity):
    """({setting: its Difference to the baseline}, languages, examples) in a quantity over `codes`; None for none."""
    averages = over_languages(study, codes, quantity)
    if averages is None:
        return None
    points, again, having = averages
    members = {name: study.members(name) for name in study.settings}
    sides = {name: (points[own], again[:, own].astype(float)) for name, own in members.items()}
    base, clusters = sides.pop(study.baseline), min(one.clusters for one in having)
    lenders = [base, *sides.values()]
    differences = {name: difference(side, base, clusters, lenders) for name, side in sides.items()}
    return differences, len(having), sum(one.examples for one in having)
