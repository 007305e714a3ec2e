"""A benchmark's average: the unweighted mean of its tasks' scores, per setting, with its interval.

A task's score is the mean over its languages of its one number (metrics.main_score: of question answering the mean of
F1 and exact match). docs/averages.md says how each number is composed.
"""

from typing import NamedTuple

import numpy as np

from reporting.answers import SINGLE, p_field
from reporting.measure import gather
from reporting.parts import Field, Table
from reporting.statistics import by_unit, difference, intervals, level, main_statistic, mean_of, resampled
from reporting.tables import spread
from tasks import BENCHMARKS


class TaskScore(NamedTuple):
    """One task's score."""

    languages: list  # that all runs have, of those of the benchmark
    total: int  # languages of the benchmark
    clusters: int  # of its smallest language
    sides: dict  # setting -> (scores [units], resamples [resamples, units]), in percent


def average_tables(studies, resamples, seed):
    """The table of every benchmark that is complete, or of the one that most of its tasks are there of.

    [] where that is a single task: its own tables say all.
    """
    shares = {}
    for version, groups in BENCHMARKS.items():
        names = list(dict.fromkeys(name for group in groups.values() for name in group))
        there = [study for study in studies if study.task in names and scored(study, version)]
        shares[version] = len(there) / len(names), names, there
    best = max(share for share, _, _ in shares.values())
    first = next(version for version, (share, _, _) in shares.items() if share == best)
    return [
        average_table(version, names, there, resamples, seed)
        for version, (share, names, there) in shares.items()
        if len(there) > 1 and (share == 1 or version == first)
    ]


def scored(study, version):
    """The languages of a study that a benchmark has."""
    return [code for code in study.target.languages[version] if code in study.measured]


def task_score(study, version, resamples, seed):
    """A TaskScore, from the counts per example of the clean test files. Every task has draws of its own."""
    columns, score = main_statistic(study.target)
    points, again, sizes, languages = [], [], [], scored(study, version)
    for language in languages:
        sums, _, clusters, _ = gather(study, language, ["clean"], columns, lambda counts: False)
        where = study.places.get(language), study.clusters
        points.append(score(sums.sum(-2, dtype=float))[:, 0])  # [runs]
        again.append(resampled(sums, score, resamples, seed, *where)[..., 0])  # [resamples, runs]
        sizes.append(clusters)
    points, again = np.mean(points, axis=0), np.mean(again, axis=0, dtype=float)
    sides = {setting: by_unit(points, again, study.units(setting)) for setting in study.settings}
    return TaskScore(languages, len(study.target.languages[version]), min(sizes), sides)


def average_table(version, names, studies, resamples, seed):
    """A line per setting: the score of each task, their mean with its interval, its difference to the baseline's."""
    studies = sorted(studies, key=lambda study: names.index(study.task))
    scores = {
        study.task: task_score(study, version, resamples, seed + names.index(study.task) + 1) for study in studies
    }
    settings = list(dict.fromkeys(name for study in studies for name in study.settings))
    whole = [setting for setting in settings if all(setting in one.sides for one in scores.values())]
    baselines = {study.baseline for study in studies}
    base = baselines.pop() if len(baselines) == 1 else None

    levels = [mean_of([own_level(one, name) for one in scores.values()]) for name in whole]
    others = [name for name in whole if base and name != base]
    gains = [mean_of([gain(one, name, base) for one in scores.values()]) for name in others]
    above = dict(zip(others, zip(gains, *intervals(gains))))
    lines = []
    for setting in settings:
        line = [setting, *(spread(one.sides[setting][0]) if setting in one.sides else "-" for one in scores.values())]
        if setting not in whole:
            lines.append([*line, "n/a", "", "", "", ""])
            continue
        one, (low,), (high,), _ = (mean := levels[whole.index(setting)]), *intervals([mean])
        line += [Field(f"{one.value:.1f}", one.value), f"[{low:.1f}, {high:.1f}]{'†' if one.single else ''}"]
        if setting in above:
            one, low, high, p = above[setting]
            line += [Field(f"{one.value:+.2f}", one.value), f"[{low:+.2f}, {high:+.2f}]", p_field(p)]
        lines.append(line + [""] * (len(scores) + 6 - len(line)))
    header = ("setting", *scores, "average", "95 % interval", "difference", "95 % interval of it", "p")
    caption = " ".join([composition(version, names, scores), SINGLE.strip() * any("†" in line[-4] for line in lines)])
    return Table(f"average-{version}", title(version, names, scores), caption.strip(), header, lines)


def own_level(one, setting):
    """A task's score under a setting as a Difference to 0."""
    return level(one.sides[setting], one.clusters)


def gain(one, setting, base):
    return difference(one.sides[setting], one.sides[base], one.clusters)


def complete(names, scores):
    """Whether all tasks are there, in all languages."""
    return len(scores) == len(names) and all(len(one.languages) == one.total for one in scores.values())


def title(version, names, scores):
    benchmark = version.upper()
    return f"{benchmark} average" if complete(names, scores) else f"Average over tasks, a part of {benchmark}"


def composition(version, names, scores):
    """What the numbers are means of, and what the benchmark has beyond them."""
    told = (
        "Percent, clean test files. A task's score is the unweighted mean over its languages, of question answering "
        "that of F1 and exact match; the average is the unweighted mean of the tasks. Its interval takes the tasks "
        "as independent."
    )
    if complete(names, scores):
        return told
    lacking = [name for name in names if name not in scores]
    partial = [
        f"{task} {len(one.languages)}/{one.total}" for task, one in scores.items() if len(one.languages) < one.total
    ]
    parts = [f"lacking: {', '.join(lacking)}"] if lacking else []
    parts += [f"languages: {', '.join(partial)}"] if partial else []
    return f"{told} Not {version.upper()}'s average ({'; '.join(parts)})."
