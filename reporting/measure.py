"""From runs to numbers: what each run scored on each language and condition, its resamples, and the averages and
differences of settings.
"""

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
from tasks import LANGUAGES, TARGETS

PER_PROCESS = 20_000  # cells; for fewer, starting another process costs more than it gives
_shared = []  # studies


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
    missing: list = field(default_factory=list)  # of (language, condition, folders that lack it or "all runs")
    not_applicable: list = field(default_factory=list)  # of (language, condition, reason)
    measured: dict = field(default_factory=dict)  # language -> Measured

    @property
    def metric(self):
        return TARGETS[self.task].metric

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
# --------------------------------------------------------------------------------------------


def plan_study(task, baseline, runs):
    """(Study, [(language, conditions)] to measure): languages and conditions that all runs have; the others are
    listed.

    Raises InputError where nothing is left of a setting or of the languages.
    """
    if all(run.collapsed for run in runs if run.setting == baseline):
        raise InputError(
            f"{task}: all runs of the baseline {baseline} collapsed; train it with other seeds or a lower learning "
            "rate"
        )
    kept = [run for run in runs if not run.collapsed]
    names = list(dict.fromkeys(condition for run in kept for _, condition in run.scores if condition != "clean"))
    known = {
        name: condition_of(name, [run.about.get("conditions", {}).get(name, {}) for run in kept]) for name in names
    }
    names = [name for name in names if known[name][2] != "0"]  # perturb.py's level 0 is the clean file
    names.sort(key=lambda name: (known[name][1], _number(known[name][2]), len(name), name))
    study = Study(task, baseline, kept, list(dict.fromkeys(known[name][1] for name in names)))
    found = []
    for language in sorted({code for run in kept for code, _ in run.scores}, key=lambda code: (code != "en", code)):
        if has(study, language, "clean"):
            conditions = [known[name] for name in names if has(study, language, name)]
            found.append((language, conditions))
    if not found:
        raise InputError(
            f"{task}: no language has scores under the condition clean in all {len(kept)} runs; predict clean=DIR too"
        )
    return study, found


def _number(level):
    try:
        return float(level)
    except ValueError:
        return 0.0


def has(study, language, condition):
    """Whether all runs have scores of a cell; notes down why not."""
    for run in study.runs:
        reason = run.about.get("conditions", {}).get(condition, {}).get("not_applicable", {}).get(language)
        if reason:
            study.not_applicable.append((language, condition, reason))
            return False
    lacking = [str(run.folder) for run in study.runs if not run.scores.get((language, condition))]
    if lacking:
        unlabeled = any(
            (language, condition) in run.scores and not run.scores[language, condition] for run in study.runs
        )
        where = "all runs" if len(lacking) == len(study.runs) else ", ".join(lacking)
        study.missing.append((language, condition, f"{where} (no labels)" if unlabeled else where))
    return not lacking


# --- One language
# -----------------------------------------------------------------------------------------------------


def measure(study, language, conditions, resamples, seed):
    """A Measured. Reads the counts of all runs; InputError where they do not fit together."""
    columns, score, right = statistic(study.task)
    names = ["clean", *(name for name, _, _ in conditions)]
    sums, flags, clusters = gather(study, language, names, columns, right)
    scores = score(sums.sum(-2, dtype=float))  # [runs, 1 + conditions]
    for run, values in zip(study.runs, scores):
        for name, value in zip(names, values):
            told = run.scores[language, name].get(study.metric)
            if told is None or abs(told - value) > 1e-3:
                there = f"{study.metric} {told} in results.jsonl but {value:.4f} by the counts in scores/{name}"
                raise InputError(
                    f"{run.folder}: {study.task} {language} {name}: {there}; remove results.jsonl and run its "
                    "command again"
                )
    weights = quantity_weights(study, conditions)  # [1 + conditions, quantities]
    again = resampled(sums, score, resamples, seed)  # [resamples, runs, 1 + conditions]
    records = [run.about.get("conditions", {}) for run in study.runs]
    reached = [
        [record.get(name, {}).get("realised", {}).get(language, np.nan) for record in records]
        for name, _, _ in conditions
    ]
    rates = np.array([next((rate for rate in of if np.isfinite(rate)), np.nan) for of in reached])
    to_wrong, to_right = flips(flags[:, 0], flags[:, 1:])
    return Measured(
        conditions, rates, scores, to_wrong, to_right, worst_of(flags[:, 1:], conditions), slopes(scores[:, 0], scores[:, 1:], rates, conditions),
        scores @ weights, again @ weights.astype(np.float32), flags.shape[-1], clusters,
    )  # fmt: skip


def gather(study, language, names, columns, right):
    """(sums [runs, conditions, clusters, columns], right or not [runs, conditions, examples], number of clusters).

    Rows are matched by id where counts have one that differs between runs (bucc2018 lists only sentences of gold or
    predicted pairs).
    """
    parts = [part for run in study.runs for part in read_counts(run, language, names)]
    first = parts[0]
    if "id" in first and any(
        len(part["id"]) != len(first["id"]) or (part["id"] != first["id"]).any() for part in parts
    ):
        if study.task != "bucc2018":
            raise InputError(
                f"{study.task} {language}: the ids in scores/ differ between runs or conditions; predict all from "
                "the same data"
            )
        parts = aligned(parts)
    examples = len(next(iter(parts[0].values())))
    _, cluster = (
        np.unique(parts[0]["paragraph"], return_inverse=True) if "paragraph" in first else (None, np.arange(examples))
    )
    clusters = int(cluster.max()) + 1
    sums, flags = np.zeros((len(parts), clusters, len(columns)), np.float32), np.zeros((len(parts), examples), bool)
    for part, own, flag in zip(parts, sums, flags):
        flag[:] = right(part)
        for column, name in enumerate(columns):
            own[:, column] = np.bincount(cluster, None if name == "examples" else part[name], clusters)
    shape = len(study.runs), len(names)
    return sums.reshape(*shape, clusters, len(columns)), flags.reshape(*shape, examples), clusters


def aligned(parts):
    """Counts of pairs on the union of their ids; what a run does not list is neither predicted nor gold."""
    ids = np.unique(np.concatenate([part["id"].astype(str) for part in parts]))
    found = []
    for part in parts:
        places = np.searchsorted(ids, part["id"].astype(str))
        values = {name: np.zeros(len(ids)) for name in part if name != "id"}
        for name, column in values.items():
            column[places] = part[name]
        found.append(values)
    return found


def quantity_weights(study, conditions):
    """[1 + conditions, quantities]: each quantity as a weighted sum of scores; NaN for an operation that does not
    apply.
    """
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


def measure_all(planned, resamples, seed):
    """Fill in the `measured` of studies; planned: [(Study, [(language, conditions)])]. On as many processes as pay
    off.
    """
    studies = [study for study, _ in planned]
    jobs = [
        (index, language, conditions, resamples, seed)
        for index, (_, cells) in enumerate(planned)
        for language, conditions in cells
    ]
    cells = sum(len(studies[index].runs) * (1 + len(conditions)) for index, _, conditions, *_ in jobs)
    processes = min(os.cpu_count() or 1, len(jobs), cells // PER_PROCESS)
    share(studies)
    if processes > 1:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), share, (studies,)) as pool:
            found = list(pool.map(measure_shared, *zip(*jobs)))
    else:
        found = [measure_shared(*job) for job in jobs]
    for (index, language, *_), measured in zip(jobs, found):
        studies[index].measured[language] = measured


def share(studies):
    """What all jobs of a process read; sent along with each of them it would cost more than the measuring."""
    _shared[:] = studies


def measure_shared(index, *rest):
    return measure(_shared[index], *rest)


# --- Averages over languages and seeds
# --------------------------------------------------------------------------------


def broad_groups(codes):
    """{title: codes} of the few groups that every table averages over."""
    known = [code for code in codes if code in LANGUAGES]
    latin = [code for code in known if LANGUAGES[code].script == "Latn"]
    found = {
        "all languages": codes,
        "Latin script": latin,
        "non-Latin scripts": [code for code in known if code not in latin],
    }
    if "en" in codes:
        foreign, but_english = [code for code in codes if code != "en"], [code for code in latin if code != "en"]
        found = {
            "all languages": codes,
            "all but English": foreign,
            "Latin script": latin,
            "Latin but English": but_english,
            **found,
        }
    return {title: of for title, of in found.items() if of}


def language_groups(codes):
    """{title: codes}: the broad groups, then scripts, families, and classes by XLM-R's pretraining text."""
    known, found = [code for code in codes if code in LANGUAGES], broad_groups(codes)
    for code in known:
        found.setdefault(f"script {LANGUAGES[code].script}", []).append(code)
    for code in known:
        found.setdefault(f"family {LANGUAGES[code].family}", []).append(code)
    for code in sorted(known, key=lambda code: -LANGUAGES[code].cc100_gib):
        found.setdefault(f"pretraining text {resource_class(code)}", []).append(code)
    for code in known:
        found.setdefault("seen in pretraining" if LANGUAGES[code].in_xlmr else "unseen in pretraining", []).append(
            code
        )
    return found


def resource_class(code):
    """By the size of XLM-R's pretraining text (CC-100) in the language."""
    size = LANGUAGES[code].cc100_gib
    return "≥ 20 GiB" if size >= 20 else "5 to 20 GiB" if size >= 5 else "< 5 GiB" if size > 0 else "none"


def over_languages(study, codes, quantity):
    """([runs], [resamples, runs], languages) of a quantity averaged over those of `codes` that have it; None where
    none has.
    """
    column = study.quantities.index(quantity)
    having = [study.measured[code] for code in codes if np.isfinite(study.measured[code].points[:, column]).all()]
    if not having:
        return None
    points = np.mean([one.points[:, column] for one in having], axis=0)
    return points, np.mean([one.resamples[:, :, column] for one in having], axis=0, dtype=np.float32), having


def compare(study, codes, quantity):
    """({setting: its Difference to the baseline}, languages, examples) in a quantity averaged over languages; None
    where none has it.
    """
    found = over_languages(study, codes, quantity)
    if found is None:
        return None
    points, again, having = found
    sides = {
        name: (points[study.members(name)], again[:, study.members(name)].astype(float)) for name in study.settings
    }
    base, clusters = sides[study.baseline], min(one.clusters for one in having)
    differences = {
        name: difference(side, base, clusters, sides.values())
        for name, side in sides.items()
        if name != study.baseline
    }
    return differences, len(having), sum(one.examples for one in having)
