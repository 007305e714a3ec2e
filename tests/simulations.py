"""Runs whose truth is known, and how often a report's intervals and p-values are right about them.

    python tests/simulations.py         the table of docs/report.md, in about ten minutes
    python tests/simulations.py 500     the same, sooner and rougher

tests/test_report_statistics.py holds the same simulations with fewer repetitions. Scores are in percent.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reporting import statistics

UNEQUAL = [
    (5, 1),
    (5, 2),
    (2, 5),
    (3, 5),
    (3, 3),
    (2, 2),
]  # seeds of two settings, the first with the variance times the ratio
RATIOS = (1, 9, 25)
# What the interval's c was not chosen on, unlike the above.
HELD_OUT, OTHER_RATIOS = [(2, 3), (3, 2), (3, 4), (4, 3), (4, 4), (5, 5)], (4, 16)
SCORES = 2  # clean and noisy, of each setting a primary comparison


def accuracy(sums):
    return 100 * sums[..., 0] / sums[..., 1]


def sampled(correct, resamples=200, **shared):
    """(scores [units], resamples [resamples, units]) of bool [units, examples]: a side of a Difference."""
    sums = np.stack([correct, np.ones_like(correct)], -1).astype(float)
    return 100 * correct.mean(1), statistics.resampled(sums, accuracy, resamples, **shared)


def certain(scores):
    """A side whose scores hold without any choice of examples: only seeds matter, the hardest case."""
    return np.asarray(scores, float), np.tile(np.asarray(scores, float), (2, 1))


def seeds_of(random, seeds, deviation, settings=1, alike=0.8):
    """Scores [settings, SCORES, seeds] of equal settings; the scores of a run are correlated by `alike`."""
    first, other = random.normal(size=(2, settings, seeds))
    return deviation * np.stack([first, alike * first + np.sqrt(1 - alike**2) * other], axis=1)


# --- One comparison


def seeds_only(random, seeds, ratio, deviation=1.0):
    """(Difference, truth). With a single seed the truth is that of this run, whatever its setting's mean."""
    (own, _), (base, _) = (
        seeds_of(random, number, deviation * np.sqrt(times))[0] for number, times in zip(seeds, (ratio, 1))
    )
    truth = (own[0] if seeds[0] == 1 else 0) - (base[0] if seeds[1] == 1 else 0)
    return statistics.difference(certain(own), certain(base), 10**6), truth


def seeds_and_examples(random, seeds, ratio, deviation=0.01, examples=300):
    """The same on test examples that are drawn too, as hard for both settings."""
    hard, sides, truth = random.normal(0, 0.1, examples), [], []
    for number, times in zip(seeds, (ratio, 1)):
        shift = np.sqrt(times) * random.normal(0, deviation, (number, 1))
        sides.append(sampled(random.random((number, examples)) < np.clip(0.5 + hard + shift, 0, 1)))
        truth.append(100 * shift[0, 0] if number == 1 else 0)
    return statistics.difference(*sides, examples), truth[0] - truth[1]


def covered(kind, seeds, ratio, repeat, seed=0, **more):
    """Share of 95 % intervals that hold the truth."""
    random = np.random.default_rng([seed, ratio, *seeds])
    differences, truth = zip(*(kind(random, seeds, ratio, **more) for _ in range(repeat)))
    low, high, _ = statistics.intervals(differences)
    return float(np.mean((low <= truth) & (truth <= high)))


# --- A family of comparisons


def adjusted(random, seeds, ratio, repeat, settings=3, deviation=1.0, gain=0.0):
    """Holm's p of the primary comparisons, [repeat, settings, SCORES]; the first setting is better by `gain`."""
    differences = []
    for _ in range(repeat):
        own = seeds_of(random, seeds[0], deviation * np.sqrt(ratio), settings)
        own[0] += gain
        base = seeds_of(random, seeds[1], deviation)[0]
        pairs = [(own[setting, score], base[score]) for setting in range(settings) for score in range(SCORES)]
        differences += [statistics.difference(certain(one), certain(other), 10**6) for one, other in pairs]
    p = statistics.intervals(differences)[2].reshape(repeat, -1)
    return np.stack([statistics.holm(one) for one in p]).reshape(repeat, settings, SCORES)


def family_error(seeds, ratio, repeat, **more):
    """Share of studies with equal settings in which any of them is found different."""
    p = adjusted(np.random.default_rng([*seeds, ratio]), seeds, ratio, repeat, **more)
    return float((p < 0.05).any(axis=(1, 2)).mean())


def power(repeat, gain=2.2, deviation=0.4, settings=3):
    """Share of studies with three seeds that find a setting's gain under noise; the others have none."""
    p = adjusted(np.random.default_rng(1), (3, 3), 1, repeat, settings, deviation, gain)
    return float((p[:, 0, 1] < 0.05).mean())


# --- Encoders, and parallel test sets


def encoder_error(repeat, encoders=2, seeds=3, nested=True, spread=1.0, deviation=1.0):
    """Share of equal settings found different where encoders differ by `spread`; the baseline has no phase 2."""
    random, differences = np.random.default_rng([encoders, seeds]), []
    for _ in range(repeat):
        shift = random.normal(0, spread, (encoders, 1))
        own = (shift + random.normal(0, deviation, (encoders, seeds))).ravel()
        base = random.normal(0, deviation, encoders * seeds)
        units = np.arange(encoders * seeds).reshape(encoders, seeds) if nested else np.arange(len(own))[:, None]
        side = statistics.by_unit(*certain(own), list(units))
        differences.append(statistics.difference(side, certain(base), 10**6))
    return float(np.mean(statistics.intervals(differences)[2] < 0.05))


def parallel_covered(repeat, shared=True, languages=8, examples=200):
    """Share covered of a mean over languages of one test set in translation; all but the first lack its first lines.

    Which examples one of two runs answers better is the same in all languages.
    """
    random, differences = np.random.default_rng(3), []
    for _ in range(repeat):
        better, parts = random.normal(0, 0.3, examples), []
        for language in range(languages):
            places = np.arange(language, examples)
            own = {"places": places, "of": examples} if shared else {}
            right = [random.random(len(places)) < np.clip(0.5 + sign * better[places], 0, 1) for sign in (0.5, -0.5)]
            parts.append(sampled(np.stack(right), 200, **own))
        scores, again = (np.mean(part, axis=0) for part in zip(*parts))
        side, base = ((scores[[run]], again[:, [run]]) for run in (0, 1))
        differences.append(statistics.difference(side, base, examples))
    low, high, _ = statistics.intervals(differences)
    return float(np.mean((low <= 0) & (0 <= high)))


# --- The table of docs/report.md


def rows(repeat):
    """Lines (simulation, what is counted, share)."""
    for grid in (product(UNEQUAL, RATIOS), product(HELD_OUT, OTHER_RATIOS)):
        grid = list(grid)
        for kind, words in ((seeds_only, "seeds only"), (seeds_and_examples, "seeds and 300 examples")):
            for seeds, ratio in grid:
                name = f"{words}, {seeds[0]} against {seeds[1]}, variances {ratio} to 1"
                yield name, "covered", covered(kind, seeds, ratio, repeat)
        for seeds, ratio in grid:
            if 1 not in seeds:
                name = f"3 equal settings, {seeds[0]} seeds against {seeds[1]}, variances {ratio} to 1"
                yield name, "any found different", family_error(seeds, ratio, repeat)
    for deviation in (0.3, 0.4, 0.5):
        name = f"3 settings, 3 seeds with a standard deviation of {deviation} points, one better by 2.2"
        yield name, "found under noise", power(repeat, deviation=deviation)
    yield "2 encoders × 3 seeds, taken as two", "found different", encoder_error(repeat)
    yield "the same, taken as six, as no report does", "found different", encoder_error(repeat, nested=False)
    yield "8 languages in parallel, some lines lacking, draws by example", "covered", parallel_covered(repeat)
    name = "the same, draws of its own for each, as no report does"
    yield name, "covered", parallel_covered(repeat, shared=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repeat", type=int, nargs="?", default=4000, help="repetitions of each (default: 4000)")
    repeat = parser.parse_args().repeat
    print("| simulation | what is counted | share |\n| --- | --- | ---: |")
    for name, counted, share in rows(repeat):
        print(f"| {name} | {counted} | {100 * share:.1f} % |", flush=True)
