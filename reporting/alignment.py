"""Runs of run_alignment.py in a report: tables by script group, differences between settings, and what alignment has
to do with task scores.

Layers are named before anything is tested: the protocol's (Tatoeba's, 14 of 24 in proportion), the last, and the one
where the baseline's clean text is aligned best. Intervals of differences are paired: both settings are measured on the
same sentences, and CKA on the same random halves of them.
"""

import json
import zipfile
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from common.files import InputError
from common.halves import NORMAL, standard_error
from reporting.groups import broad_groups
from reporting.parts import Field, Table
from reporting.runs import REMEDY, condition_of
from reporting.statistics import holm
from reporting.tables import count, p_field
from tasks import TARGETS

TASK = "alignment"
PROTOCOL = TARGETS["tatoeba"].layer / 24  # of the layers
RESAMPLES = 2000
NO_PROOF = (
    "Alignment is no proof of transfer: an encoder can align sentences better and transfer worse, so read its numbers "
    "beside this correlation with task scores, never in their place."
)
# column -> (metric, digits); of clean text where noise has none
COLUMNS = {
    "top-1": ("top1_csls", 1), "pair gap": ("pair_gap", 3), "CKA": ("cka", 3), "CKA z": ("cka_z", 3),
    "ANC": ("anc", 3), "RSA": ("rsa", 3), "self-similarity": ("self_similarity", 3), "shift": ("shift", 3),
    "lost": ("lost", 1), "gained": ("gained", 1), "overlap": ("overlap", 1), "stability": ("stability", 3),
}  # fmt: skip
# quantity that is tested -> (array of the cell's file, of noised text, factor)
TESTED = {
    "top-1 clean": ("top1_csls", False, 100), "top-1 noisy": ("top1_csls", True, 100),
    "CKA clean": ("cka_halves", False, 1), "CKA noisy": ("cka_halves", True, 1),
    "self-similarity": ("self_similarity", True, 1),
}  # fmt: skip


class Measured:
    """What one run has measured: `rows` {(language, condition, layer, metric): row of its results.jsonl}."""

    def __init__(self, run):
        self.run, self.rows, self._arrays = run, {}, {}
        path = run.folder / "results.jsonl"
        if "finished_at" not in run.record or not path.exists():
            raise InputError(f"{run.folder}: the run was cut short; go on with it: {run.record.get('command')}")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                row = json.loads(line)
                key = tuple(row[name] for name in ("language", "condition", "layer", "metric"))
                self.rows[key] = {name: row[name] for name in ("value", "low", "high", "floor", "n", "data")}
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{path}, line {number}: broken: {line.strip()[:80]!r}; {REMEDY}") from None
        if not self.rows:
            raise InputError(f"{path}: empty, so this run has measured nothing; run the command of run.json again")

    @cached_property
    def layers(self):
        return sorted({layer for _, _, layer, _ in self.rows if layer is not None})

    @cached_property
    def languages(self):
        return sorted({code for code, _, _, _ in self.rows})

    @cached_property
    def conditions(self):
        """[(name, operation, level)] without clean, by operation and level."""
        names = dict.fromkeys(name for _, name, _, _ in self.rows if name != "clean")
        return sorted((condition_of(name, [self.run.condition(name)]) for name in names), key=lambda one: one[1:])

    @property
    def protocol(self):
        return min(self.layers, key=lambda layer: abs(layer - PROTOCOL * self.layers[-1]))

    def value(self, code, condition, layer, metric, part="value"):
        return (self.rows.get((code, condition, layer, metric)) or {}).get(part)

    def mean(self, codes, condition, layer, metric, part="value"):
        """Over the languages that have it; NaN where none has."""
        values = [self.value(code, condition, layer, metric, part) for code in codes]
        values = [value for value in values if value is not None]
        return float(np.mean(values)) if values else np.nan

    def samples(self, code, condition, layer, name):
        """An array of the cell's file at a layer: one value per line, or per half; None where the cell has none."""
        if (code, condition, layer, "cka") not in self.rows:
            return None
        if (code, condition) not in self._arrays:  # read once: many comparisons look at it
            path = self.run.folder / "scores" / condition / TASK / f"test-{code}.npz"
            try:
                with np.load(path) as arrays:
                    self._arrays[code, condition] = dict(arrays)
            except (OSError, ValueError, zipfile.BadZipFile):
                raise InputError(f"{path}: missing or broken; run the command of run.json again") from None
        return self._arrays[code, condition][name][self.layers.index(layer)].astype(float)


@dataclass
class Alignment:
    """All alignment runs of a report, one per setting, the baseline first."""

    baseline: str
    runs: dict  # setting -> Measured
    notes: list
    task = TASK

    @cached_property
    def groups(self):
        """{title: codes} of the languages that all runs have."""
        shared = set.intersection(*(set(one.languages) for one in self.runs.values()))
        return broad_groups(sorted(shared))

    def layers(self):
        """{name: relative depth} of the layers that are tested."""
        base = self.runs[self.baseline]
        clean = {layer: base.mean(base.languages, "clean", layer, "top1_csls") for layer in base.layers}
        best = max(clean, key=clean.get)
        named = {"protocol": base.protocol, "last": base.layers[-1], "best clean": best}
        return {f"{name} ({layer})": layer / max(1, base.layers[-1]) for name, layer in named.items()}


def at(measured, depth):
    """The layer of a run at a relative depth."""
    return min(measured.layers, key=lambda layer: abs(layer - depth * measured.layers[-1]))


def open_alignment(runs, base):
    """The Alignment of runs, None without any; `base` are the folders of --baseline's."""
    if not runs:
        return None
    settings, folders = {}, {}
    for run in runs:
        if run.setting in folders:
            raise InputError(
                f"{folders[run.setting]} and {run.folder}: both measure the alignment of {run.setting}; tell them "
                f"apart, as in --runs NAME={run.folder}"
            )
        folders[run.setting], settings[run.setting] = run.folder, Measured(run)
    named = [run.setting for run in runs if run.folder.resolve() in base]
    if len(named) != 1:
        have = "none" if not named else " and ".join(named)
        raise InputError(f"--baseline: alignment runs of {have}; name exactly one of them")
    ordered = {name: settings[name] for name in sorted(settings, key=lambda name: (name != named[0], name))}
    depths = {name: one.layers[-1] for name, one in ordered.items()}
    notes = []
    if len(set(depths.values())) > 1:
        have = ", ".join(f"{name} {depth}" for name, depth in depths.items())
        notes.append(f"alignment: encoders differ in their number of layers ({have}); compared by relative depth")
    check_same_data(ordered)
    study = Alignment(named[0], ordered, notes)
    if not study.groups["all languages"]:
        raise InputError("alignment: the runs have no language in common; measure the same ones")
    return study


def check_same_data(settings):
    """InputError where two runs have measured a cell on other lines."""
    seen = {}
    for one in settings.values():
        for (code, condition, _, _), row in one.rows.items():
            other, data = seen.setdefault((code, condition), (one.run.folder, row["data"]))
            if data != row["data"]:
                raise InputError(
                    f"{other} and {one.run.folder}: other lines of {code} {condition}; measure both on the same text, "
                    "with the same --max_lines"
                )


# --- Tables


def number(value, digits, source=""):
    return Field("n/a") if np.isnan(value) else Field(f"{value:.{digits}f}", value, source)


def alignment_tables(study, keys, studies):
    """keys: {setting: source key}; studies: the report's tasks."""
    tables = [groups_table(study, keys)]
    if len(study.runs) > 1:
        tables += [differences_table(study, keys, by_language) for by_language in (False, True)]
    return tables + correlation_tables(study, studies)


def groups_table(study, keys):
    """Every metric at the protocol's layer by group of languages and condition."""
    lines = []
    for setting, one in study.runs.items():
        layer = one.protocol
        for title, codes in study.groups.items():
            for condition in ["clean", *(name for name, _, _ in one.conditions)]:
                having = [code for code in codes if (code, condition, layer, "cka") in one.rows]
                if not having:
                    continue
                values = [number(one.mean(having, condition, layer, metric), digits, keys[setting])
                          for metric, digits in COLUMNS.values()]  # fmt: skip
                floors = [number(one.mean(having, condition, layer, metric, "floor"), digits)
                          for metric, digits in (("top1_csls", 1), ("cka", 3))]  # fmt: skip
                growth = number(one.mean(having, condition, None, "token_growth"), 2)
                n = sorted({one.value(code, condition, layer, "top1_csls", "n") for code in having})
                size = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
                head = [setting, title, condition, str(layer), count(len(having)), size]
                lines.append([*head, *values, *floors, growth])
    caption = (
        "Means over languages at the protocol's layer. Top-1 is the percent of sentences whose nearest neighbor by "
        "CSLS is their translation; lost, gained and overlap are percents, the others plain numbers. Floors are "
        "those of shuffled lines; token growth is the number of sub-tokens per character over that of clean text."
    )
    header = ("setting", "languages", "condition", "layer", "number", "lines", *COLUMNS)
    header += ("top-1 floor", "CKA floor", "token growth")
    return Table(f"{TASK}-groups", "Alignment by script group", caption, header, lines)


def difference(study, setting, quantity, depth, codes, against=None):
    """(mean difference from the setting `against`, the baseline where none is given, its standard error, languages)
    over languages; None where there are none.
    """
    name, noisy, factor = TESTED[quantity]
    own, base = runs = study.runs[setting], study.runs[against or study.baseline]
    shared = [one[0] for one in own.conditions if one[0] in {other[0] for other in base.conditions}]
    each = []
    for code in codes:
        pairs = [
            [one.samples(code, condition, at(one, depth), name) for one in runs]
            for condition in (shared if noisy else ["clean"])
        ]
        moved = [pair[0] - pair[1] for pair in pairs if all(side is not None for side in pair)]
        if moved:
            each.append(factor * np.mean(moved, axis=0))
    if not each:
        return None
    error_of = standard_error if name == "cka_halves" else of_lines
    error = [error_of(row) for row in each]
    if len({len(row) for row in each}) == 1:  # the same sentences: what they do together counts
        error = [error_of(np.mean(each, axis=0)) * len(each)]
    value = np.mean([row.mean() for row in each])
    return float(value), float(np.sqrt(np.sum(np.square(error))) / len(each)), len(each)


def of_lines(row):
    """Standard error of the mean of values of lines."""
    return row.std(ddof=1) / np.sqrt(len(row))


def differences_table(study, keys, by_language):
    """Each setting against the baseline at the layers that were named before, with Holm's correction."""
    groups = {code: [code] for code in study.groups["all languages"]} if by_language else study.groups
    rows = [
        (setting, layer, quantity, title, difference(study, setting, quantity, depth, codes))
        for setting in list(study.runs)[1:]
        for layer, depth in study.layers().items()
        for quantity in TESTED
        for title, codes in groups.items()
    ]
    rows = [row for row in rows if row[-1]]
    p = np.array([2 * stats.norm.sf(abs(value) / error) if error > 0 else 1.0 for *_, (value, error, _) in rows])
    lines = []
    for (setting, layer, quantity, title, (value, error, number_of)), one, adjusted in zip(rows, p, holm(p)):
        interval = f"[{value - NORMAL * error:+.3f}, {value + NORMAL * error:+.3f}]"
        shown = Field(f"{value:+.3f}", value, keys[setting])
        lines.append([setting, layer, quantity, title, shown, interval, p_field(one), p_field(adjusted),
                      count(number_of)])  # fmt: skip
    caption = (
        f"Each setting minus {study.baseline}, 95 % intervals over sentences, paired; top-1 in points. Layers were "
        f"named before. Holm's correction is over the {len(lines)} comparisons of this table. One encoder stands for "
        "a setting: the intervals do not cover other seeds of its training."
    )
    header = ("setting", "layer", "measure", "languages", "difference", "95 % interval", "p", "p (Holm)", "number")
    title = "Differences in alignment" + " by language" * by_language
    return Table(f"{TASK}-differences{'-by-language' * by_language}", title, caption, header, lines, by_language)


# --- Alignment and task scores


def correlation_tables(study, studies):
    """Rank correlation of what changes in alignment with what changes in task scores; [] without such scores."""
    lines = []
    for task in studies:
        for title, measured in (("noisy minus clean", under_noise), ("setting minus baseline", over_baseline)):
            for metric in ("top1_csls", "cka"):
                points = measured(study, task, metric)
                if points is not None and len(points) > 3:
                    value, low, high = rank_correlation(points)
                    interval = "n/a" if np.isnan(low) else f"[{low:+.2f}, {high:+.2f}]"
                    codes = len({code for code, _, _ in points})
                    shown = number(value, 2)
                    lines.append([task.task, title, metric, shown, interval, count(len(points)), count(codes)])
    caption = (
        "Spearman's rank correlation over languages and settings of the change in alignment at the protocol's layer "
        f"with the change in the task's score; 95 % intervals from {RESAMPLES} resamples of the languages. {NO_PROOF}"
    )
    header = ("task", "change", "alignment", "correlation", "95 % interval", "points", "languages")
    return [Table(f"{TASK}-transfer", "Alignment and transfer", caption, header, lines)] if lines else []


def under_noise(study, task, metric):
    """[(language, change of alignment, change of score)] from clean to noised text, each the mean over conditions."""
    points = []
    for setting, one in study.runs.items():
        members = task.members(setting)
        for code in set(one.languages) & set(task.measured) if members else ():
            clean, noisy, _ = task.measured[code].points[members].mean(0)[:3]
            names = [name for name, _, _ in one.conditions]
            values = [one.mean([code], name, one.protocol, metric) for name in names]
            moved = np.nanmean(values) - one.mean([code], "clean", one.protocol, metric) if names else np.nan
            points.append((code, moved, noisy - clean))
    return [point for point in points if np.isfinite(point[1:]).all()]


def over_baseline(study, task, metric):
    """The same from the baseline to each other setting, on clean text."""
    points, base, scored = [], study.runs[study.baseline], task.members(study.baseline)
    for setting, one in list(study.runs.items())[1:]:
        members = task.members(setting)
        for code in set(one.languages) & set(base.languages) & set(task.measured) if members and scored else ():
            own, other = (task.measured[code].points[of, 0].mean() for of in (members, scored))
            moved = one.mean([code], "clean", one.protocol, metric) - base.mean([code], "clean", base.protocol, metric)
            points.append((code, moved, own - other))
    return [point for point in points if np.isfinite(point[1:]).all()]


def rank_correlation(points, seed=0):
    """(Spearman's correlation of points [(language, x, y)], low, high): languages are resampled whole."""
    codes = sorted({code for code, _, _ in points})
    own = {code: np.array([point[1:] for point in points if point[0] == code]) for code in codes}

    def correlation(chosen):
        x, y = np.concatenate([own[code] for code in chosen]).T
        return stats.spearmanr(x, y).statistic if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan

    random = np.random.default_rng(seed)
    again = [correlation(random.choice(codes, len(codes))) for _ in range(RESAMPLES)]
    again = [value for value in again if np.isfinite(value)]
    low, high = np.percentile(again, [2.5, 97.5]) if len(codes) > 2 and again else (np.nan, np.nan)
    return float(correlation(codes)), float(low), float(high)
