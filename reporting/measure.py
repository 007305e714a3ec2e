"""From runs to numbers: what each run scored on each language and condition, its resamples, and differences."""

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from common.files import InputError
from metrics import METRICS
from reporting.parts import natural
from reporting.runs import condition_of, read_counts
from reporting.statistics import (
    by_unit,
    difference,
    flips,
    noisy_weights,
    operation_weights,
    resampled,
    slopes,
    statistic,
    variances,
    worst_of,
)

ABOVE = 10  # points above a constant guess from which a language has something to lose to noise
PER_PROCESS = 20_000  # cells; for fewer, starting another process costs more than it gives
_shared = []  # studies, in a process that measures


class Measured(NamedTuple):
    """One language of a task; `runs` are those of the study, `quantities` its columns of numbers."""

    conditions: list  # [(name, operation, level)] that all runs have, without clean
    rates: np.ndarray  # [conditions], realised error rates as fractions, NaN where unknown
    scores: np.ndarray  # [runs, 1 + conditions] in percent, clean first
    to_wrong: np.ndarray  # [runs, conditions], percent of examples
    to_right: np.ndarray  # [runs, conditions]
    words_lost: np.ndarray | None  # [runs, conditions], percent of words; None where counts have none
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
    places: dict = field(default_factory=dict)  # language -> [clusters], their places among `clusters`, see place()
    clusters: int = 0  # different examples, or paragraphs, of all languages
    measured: dict = field(default_factory=dict)  # language -> Measured
    collapsed: dict = field(default_factory=dict)  # setting -> how many of its runs collapsed

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

    @cached_property
    def settings(self):
        """The baseline, then the others in order of their names."""
        return sorted({run.setting for run in self.runs}, key=lambda name: (name != self.baseline, natural(name)))

    @property
    def quantities(self):
        """Names of the columns of `points`: scores under an operation are means over its levels."""
        return ["clean", "noisy", "gap", *self.operations]

    @cached_property
    def floors(self):
        """Settings of translation that show what a decoder scores which learns nothing of the source."""
        return [name for name in self.settings if self.runs[self.members(name)[0]].floor]

    def guess(self, language):
        """Percent that a constant guess scores: what results.jsonl says, else one of the task's labels at random. Of
        translation, what the best of the floors does.
        """
        if self.floors:
            return max(self.clean(name, language) for name in self.floors)
        known = [run.guesses[language] for run in self.runs if language in run.guesses]
        labels = 2 if METRICS[self.target.scored_as or self.task] == "choice" else len(self.target.labels or ())
        return known[0] if known else 100 / labels if self.metric == "accuracy" and labels else 0.0

    @cached_property
    def floor(self):
        """{language: settings} that score hardly more than a guess on clean text, so noise has nothing to take. Every
        table asks for each of its numbers, when all languages are measured.
        """
        settings = [name for name in self.settings if name not in self.floors]
        low = {
            code: [name for name in settings if self.clean(name, code) < self.guess(code) + ABOVE]
            for code in self.languages
        }
        return {code: names for code, names in low.items() if names}

    def clean(self, setting, language):
        return float(self.measured[language].points[self.members(setting), 0].mean())

    @cached_property
    def runs_of(self):
        """{setting: indices of its runs}"""
        groups = {}
        for index, run in enumerate(self.runs):
            groups.setdefault(run.setting, []).append(index)
        return groups

    def members(self, setting):
        return self.runs_of.get(setting, [])

    def encoders(self, setting):
        """How many encoders of phase 2 the setting's runs start from; 0 for a setting without phase 2."""
        own = [self.runs[index] for index in self.members(setting)]
        return len({run.encoder for run in own}) if any(run.phase2 for run in own) else 0

    def units(self, setting):
        """The setting's runs in groups: one per encoder where there are several, else per run."""
        members, groups = self.members(setting), {}
        for index in members:
            groups.setdefault(self.runs[index].encoder, []).append(index)
        return list(groups.values()) if self.encoders(setting) > 1 else [[index] for index in members]


# --- Which cells there are


def open_study(task, baseline, runs):
    """The Study of a task's runs, not yet measured: with the conditions that all runs have, and a list of the others.

    Raises InputError where nothing is left of the baseline or of the languages.
    """
    if all(run.collapsed for run in runs if run.setting == baseline):
        remedy = "train it with other seeds or a lower learning rate"
        raise InputError(f"{task}: all runs of the baseline {baseline} collapsed; {remedy}")
    kept = [run for run in runs if not run.collapsed]
    attacks = {
        "clean",
        *(name for run in kept for name in run.attacks),
    }  # reporting/attacks.py has a section of theirs
    names = dict.fromkeys(condition for run in kept for _, condition in run.scores if condition not in attacks)
    conditions = [condition_of(name, [run.condition(name) for run in kept]) for name in names]
    conditions = [(name, op, level) for name, op, level in conditions if level != "0"]  # which is the clean file
    conditions.sort(key=lambda one: (one[1], as_number(one[2]), len(one[0]), one[0]))
    study = Study(task, baseline, kept, list(dict.fromkeys(operation for _, operation, _ in conditions)))
    study.collapsed = dict(Counter(run.setting for run in runs if run.collapsed))
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
    sums, flags, clusters, words_lost = gather(study, language, names, columns, right)
    scores = score(sums.sum(-2, dtype=float))  # [runs, 1 + conditions]
    check_scores(study, language, names, scores)
    rates = np.array([realised_rate(study, name, language) for name in names[1:]])
    weights = quantity_weights(study, conditions)  # [1 + conditions, quantities]
    where = study.places.get(language), study.clusters
    again = resampled(sums, score, resamples, seed, *where)  # [resamples, runs, 1 + conditions]
    to_wrong, to_right = flips(flags[:, 0], flags[:, 1:])
    return Measured(
        conditions,
        rates,
        scores,
        to_wrong,
        to_right,
        words_lost,
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
    """(sums [runs, conditions, clusters, columns], right or not [runs, conditions, examples], number of clusters,
    words lost of tags, see lost_words()).

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
    words_lost = lost_words(parts, shape)
    return sums.reshape(*shape, clusters, len(columns)), flags.reshape(*shape, examples), clusters, words_lost


def lost_words(parts, shape):
    """Percent of words that noise turns from right to wrong, at least, [runs, conditions without clean]; None without.

    Counts tell how many words of a sentence are right, so what is gained and lost in one sentence cancels out.
    """
    if not all("correct_tokens" in part and "tokens" in part for part in parts):
        return None
    right = np.stack([part["correct_tokens"] for part in parts]).reshape(*shape, -1)
    return 100 * np.maximum(0, right[:, :1] - right[:, 1:]).sum(-1) / max(1, parts[0]["tokens"].sum())


def place(study):
    """Fill in where each language's examples, or paragraphs, stand among those of all languages, by their ids.

    So parallel test sets share draws by example. Tasks whose counts have no ids, or ids of one run (bucc2018), do
    without.
    """
    known, places = {}, {}
    for language in study.conditions if study.task != "bucc2018" else []:
        (part,) = read_counts(study.runs[0], language, ["clean"])
        if "id" not in part:
            return
        clusters = {}  # paragraph, or number of the example -> ids
        for cluster, name in zip(part.get("paragraph", range(len(part["id"]))), part["id"]):
            clusters.setdefault(cluster, []).append(str(name))
        own = []
        for cluster in sorted(clusters):
            ids = clusters[cluster]
            at = next((known[name] for name in ids if name in known), None)
            if at is None:
                at, study.clusters = study.clusters, study.clusters + 1
            known.update(dict.fromkeys(ids, at))
            own.append(at)
        places[language] = np.array(own)
    study.places = places


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
    for study in studies:
        place(study)
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
    """([runs], [resamples, runs], [Measured]): a quantity averaged over those of `codes` with it; None for none.

    Gaps are averaged without languages at the floor, which have none.
    """
    column, floor = study.quantities.index(quantity), study.floor if quantity == "gap" else ()
    measured = [study.measured[code] for code in codes if code not in floor]
    having = [one for one in measured if np.isfinite(one.points[:, column]).all()]
    if not having:
        return None
    points = np.mean([one.points[:, column] for one in having], axis=0)
    return points, np.mean([one.resamples[:, :, column] for one in having], axis=0, dtype=np.float32), having


def compare(study, codes, quantity):
    """({setting: its Difference to the baseline}, [Measured]) in a quantity over `codes`; None for none."""
    averages = over_languages(study, codes, quantity)
    if averages is None:
        return None
    return contrast(study, *averages)


def compare_groups(study, codes, others, quantity):
    """`compare` of how much more settings change a quantity over `codes` than over `others`; None for none."""
    sides = over_languages(study, codes, quantity), over_languages(study, others, quantity)
    if None in sides:
        return None
    (points, again, having), (other_points, other_again, others_having) = sides
    return contrast(study, points - other_points, again - other_again, [*having, *others_having])


def contrast(study, points, again, having):
    """`compare` of a quantity's averages: points [runs], again [resamples, runs] over [Measured]."""
    sides = {name: by_unit(points, again, study.units(name)) for name in study.settings}
    base, clusters = sides.pop(study.baseline), min(one.clusters for one in having)
    examples, spread = sum(one.clusters for one in having), variances(*base)
    return {name: difference(side, base, clusters, examples, spread) for name, side in sides.items()}, having
