"""The numbers in the figures of one task's scores; reporting/figures.py and reporting/heatmaps.py draw them.

A missing score (NaN) never enters a mean: an average is over the languages that every compared setting has. Needs
numpy.
"""

import re
from typing import NamedTuple

import numpy as np

SHOWN = 8  # settings in a line chart


class Panel(NamedTuple):
    """One operation in one group of languages."""

    levels: list  # of texts, weakest first
    mean: np.ndarray  # [settings, 1 + levels] in percent, clean first; NaN for a setting that has no language complete
    spread: np.ndarray  # same shape: mean over languages of the standard deviation over seeds, NaN with one seed
    languages: list  # those averaged over
    of: int  # languages of the group


def operations(scores):
    """{operation: [levels]}, levels from weak to strong."""
    levels = {}
    for _, operation, level in scores.conditions:
        levels.setdefault(operation, set()).add(level)
    return {operation: sorted(names, key=strength) for operation, names in levels.items()}


def strength(level):
    """Sorts levels by the number in them: "1", "2", "rate0.03"."""
    number = re.search(r"\d+(\.\d+)?", level)
    return (float(number[0]) if number else np.inf, level)


def by_level(scores, values):
    """{(operation, level): [settings, languages]} from [settings, languages, conditions], the mean over replicates.

    NaN where one of the replicates is missing.
    """
    replicates = {}
    for index, (_, operation, level) in enumerate(scores.conditions):
        replicates.setdefault((operation, level), []).append(values[:, :, index])
    return {key: np.mean(columns, axis=0) for key, columns in replicates.items()}


def panel(scores, operation, group):
    """Panel of one operation, over the languages of `group` that are complete in every setting that has any such.

    A language is complete where it has clean and all levels.
    """
    members = [scores.languages.index(code) for code in group]
    steps = operations(scores)[operation]
    noisy, deviations = by_level(scores, scores.noisy), by_level(scores, scores.spread[:, :, 1:])
    values = np.stack([scores.clean, *(noisy[operation, level] for level in steps)], axis=-1)
    spread = np.stack([scores.spread[:, :, 0], *(deviations[operation, level] for level in steps)], axis=-1)
    values, spread = values[:, members], spread[:, members]  # [settings, group, 1 + levels]
    complete = ~np.isnan(values).any(axis=-1)  # [settings, group]
    drawn = complete.any(axis=1)
    shared = complete[drawn].all(axis=0) & drawn.any()
    if not shared.any():
        empty = np.full((len(scores.settings), 1 + len(steps)), np.nan)
        return Panel(steps, empty, empty, [], len(group))
    mean = np.where(drawn[:, None], values[:, shared].mean(axis=1), np.nan)
    languages = [code for code, used in zip(group, shared) if used]
    return Panel(steps, mean, spread[:, shared].mean(axis=1), languages, len(group))


def noisy_mean(scores):
    """[settings, languages]: mean over operations of the mean over levels (mPC).

    Of the operations that every setting with scores has in a language.
    """
    noisy = by_level(scores, scores.noisy)
    steps = operations(scores).items()
    means = np.stack([np.mean([noisy[name, level] for level in levels], axis=0) for name, levels in steps])
    drawn = ~np.isnan(means).all(axis=(0, 2))
    shared = ~np.isnan(means[:, drawn]).any(axis=1)  # [operations, languages]
    total, count = np.where(shared[:, None], means, 0).sum(axis=0), shared.sum(axis=0)
    return np.where((count > 0) & drawn[:, None], total / np.maximum(count, 1), np.nan)


def group_means(scores, group):
    """(clean [settings], noisy mean [settings], languages): averages over languages of `group`.

    Over those that have both in every setting with scores.
    """
    members = [scores.languages.index(code) for code in group]
    both = np.stack([scores.clean, noisy_mean(scores)])[:, :, members]
    drawn = ~np.isnan(both).any(axis=0).all(axis=1)  # settings with at least one language
    shared = ~np.isnan(both[:, drawn]).any(axis=(0, 1)) & drawn.any()
    means = np.full(both.shape[:2], np.nan)
    if shared.any():
        means = np.where(drawn, both[:, :, shared].sum(axis=2) / shared.sum(), np.nan)
    return *means, [code for code, used in zip(group, shared) if used]


def gaps(scores):
    """(columns, [settings, languages, columns]): points lost from clean to each (operation, level), by operation."""
    noisy = by_level(scores, scores.noisy)
    columns = [(operation, level) for operation, steps in operations(scores).items() for level in steps]
    return columns, np.stack([scores.clean - noisy[column] for column in columns], axis=-1)


def multiples(scores, most=SHOWN):
    """Indices of the settings of each of several figures: the baseline and up to `most` - 1 others, in order."""
    others = range(1, len(scores.settings))
    starts = range(0, max(1, len(others)), most - 1)
    return [[0, *others[start : start + most - 1]] for start in starts]


def only(scores, indices):
    """The scores of some settings."""
    parts = {name: getattr(scores, name)[indices] for name in ("clean", "noisy", "spread")}
    return scores._replace(settings=[scores.settings[index] for index in indices], **parts)
