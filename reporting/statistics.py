"""The numbers of a report: corpus scores of resamples, robustness metrics, intervals over examples and seeds, p.

Pure functions of arrays: numpy and scipy, no files. Scores are percents, gaps and differences are points.

How a difference between two settings gets its interval. Examples: the test examples are resampled with replacement, by
paragraph for question answering and by sentence for tags, and the corpus metric is computed anew from the sums of
counts (Koehn 2004). All runs and conditions of a language share the draws, so comparisons are paired, and so do
languages with as many examples, whose files are mostly translations of each other. Seeds: resampling three of them
gives intervals that are far too short, so their part of the variance is Student's, with the variance pooled over both
settings. The variance of a difference D between means over A and B seeds is

    V(D) = v + c * max(w, s2),   c = 1/A + 1/B

w is the variance between seeds that drawing examples alone explains, v what examples contribute beyond c * w, s2 the
observed variance between seeds: whichever is larger counts, and where s2 does, Student's t with A + B - 2 degrees of
freedom goes with it. The interval is never shorter than the one over examples alone. Where both settings have one
seed, s2 is that of the task's other settings; where none has several, the interval covers the choice of examples only,
and there is no p. Simulations: tests/test_report_statistics.py.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from metrics import METRICS


def ratio(sums):
    """sums [..., 2] -> [...]; 0 where nothing was counted."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1], sums.dtype), where=sums[..., 1] > 0)


def f1(sums):
    """sums [..., (correct, predicted, gold)] -> F1 [...]; 0 without anything predicted or gold."""
    total = sums[..., 1] + sums[..., 2]
    return np.divide(2 * sums[..., 0], total, out=np.zeros(total.shape, sums.dtype), where=total > 0)


def exact(correct, predicted, gold):
    """Whether all that is gold is predicted and nothing else, from the columns of these names."""
    return lambda counts: (counts[correct] == counts[predicted]) & (counts[correct] == counts[gold])


CHUNKS = ("correct_chunks", "predicted_chunks", "gold_chunks")
PAIRS = ("correct", "predicted", "gold")
# family of metrics.py -> (columns of its counts, score of their sums, whether an example is right); "examples" is 1
STATISTICS = {
    "label": (("correct", "examples"), ratio, lambda counts: counts["correct"] > 0),
    "choice": (("correct", "examples"), ratio, lambda counts: counts["correct"] > 0),
    "chunk": (CHUNKS, f1, exact(*CHUNKS)),
    "squad": (("f1", "examples"), ratio, lambda counts: counts["exact_match"] > 0),
    "mlqa": (("f1", "examples"), ratio, lambda counts: counts["exact_match"] > 0),
    "pairs": (PAIRS, f1, exact(*PAIRS)),
    "average_precision": (("average_precision", "examples"), ratio, lambda counts: counts["average_precision"] == 1),
    "ranking": (("reciprocal_rank", "examples"), ratio, lambda counts: counts["reciprocal_rank"] == 1),
}


def statistic(task):
    """(columns, sums [..., columns] -> score in percent, {column: array} -> right [examples]) of a task's record."""
    columns, score, right = STATISTICS[METRICS[task.scored_as or task.name]]
    return columns, lambda sums: 100 * score(sums), right


def main_statistic(task):
    """(columns, sums [..., columns] -> the one number of a task in percent): of answers (F1 + exact match) / 2."""
    columns, score, _ = statistic(task)
    if columns != ("f1", "examples"):
        return columns, score
    return (
        "f1",
        "exact_match",
        "examples",
    ), lambda sums: 50 * ratio(np.stack([sums[..., 0] + sums[..., 1], sums[..., 2]], axis=-1))


# --- Resampling


@lru_cache(maxsize=2)
def draws(clusters, resamples, seed=0):
    """How often each cluster is in each resample, float32 [resamples, clusters]."""
    random = np.random.default_rng([seed, clusters])
    counts = np.empty((resamples, clusters), np.float32)
    for row in counts:
        row[:] = random.multinomial(clusters, np.full(clusters, 1 / clusters))
    return counts


def resampled(sums, score, resamples, seed=0):
    """Scores of resamples, float32 [resamples, ...], of counts summed by cluster, sums [..., clusters, columns].

    scipy.stats.bootstrap would draw anew at each call and score each resample in Python; here all runs, conditions and
    languages share the draws, and one matrix product sums the counts of all resamples.
    """
    *shape, clusters, columns = sums.shape
    flat = np.moveaxis(sums, -2, 0).reshape(clusters, -1).astype(np.float32)  # below 2 ** 24, so float32 is exact
    return score((draws(clusters, resamples, seed) @ flat).reshape(resamples, *shape, columns))


# --- Robustness


def operation_weights(conditions):
    """{operation: weight of each condition, [conditions]}: a mean over levels of means over draws.

    conditions: [(name, operation, level)].
    """
    weights = {}
    for operation in dict.fromkeys(op for _, op, _ in conditions):
        levels = [level for _, op, level in conditions if op == operation]
        share = {level: 1 / len(set(levels)) / levels.count(level) for level in levels}
        weights[operation] = np.array([share[level] if op == operation else 0.0 for _, op, level in conditions])
    return weights


def noisy_weights(conditions):
    """mPC as weights [conditions]: the mean over operations of the mean over levels (Michaelis et al. 2019)."""
    return np.mean(list(operation_weights(conditions).values()), axis=0)


def corruption_error(scores, baseline, conditions):
    """mCE in percent (Hendrycks & Dietterich 2019): mean over operations of summed errors over the baseline's.

    scores [..., conditions] and baseline [conditions] in percent. NaN where the baseline makes no errors.
    """
    ratios = []
    for weights in operation_weights(conditions).values():
        error, reference = (100 - scores) @ weights, float((100 - baseline) @ weights)
        ratios.append(100 * error / reference if reference > 0 else np.full(np.shape(error), np.nan))
    return np.mean(ratios, axis=0)


def slopes(clean, scores, rates, conditions):
    """{operation: points per percentage point of realised error rate}, least squares through clean and all levels.

    clean [runs], scores [runs, conditions], rates [conditions] as fractions, NaN where unknown (the operation is then
    left out).
    """
    fitted = {}
    for operation in dict.fromkeys(op for _, op, _ in conditions):
        own = [index for index, (_, op, _) in enumerate(conditions) if op == operation]
        x = 100 * np.array([0.0, *rates[own]])
        if np.isfinite(x).all() and np.ptp(x) > 0:
            y = np.column_stack([clean, scores[:, own]])
            fitted[operation] = (y - y.mean(1, keepdims=True)) @ (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return fitted


def flips(clean, noisy):
    """(right to wrong, wrong to right) in percent of all examples, [..., conditions].

    clean [..., examples] and noisy [..., conditions, examples] say whether an example is right.
    """
    clean = clean[..., None, :]
    return 100 * (clean & ~noisy).mean(-1), 100 * (~clean & noisy).mean(-1)


def worst_of(right, conditions):
    """{k: percent of examples right under all of k draws}, [runs]: means over what was drawn more than once.

    right: bool [runs, conditions, examples]. k = 1 is the mean over draws; 3 and 5 as far as there are draws, or all
    where these are two.
    """
    draws_of = {}
    for index, (_, op, level) in enumerate(conditions):
        draws_of.setdefault((op, level), []).append(index)
    drawn = [own for own in draws_of.values() if len(own) > 1]
    if not drawn:
        return {}
    least = min(map(len, drawn))
    worst = {1: np.mean([100 * right[:, own].mean((1, 2)) for own in drawn], axis=0)}
    for k in [k for k in (3, 5) if k <= least] or [2]:
        worst[k] = np.mean([100 * right[:, own[:k]].all(1).mean(-1) for own in drawn], axis=0)
    return worst


# --- Differences


class Difference(NamedTuple):
    """What is known of a difference between two settings; the names of variances are the module docstring's."""

    value: float
    v: float
    w: float
    s2: float  # NaN where no seeds tell: the interval is then over examples only
    c: float
    freedom: int  # of s2: A + B - 2, or that of the settings that lend it
    clusters: int


def between_seeds(sides):
    """(s2, w, degrees of freedom) pooled over settings, each (scores [seeds], resamples [resamples, seeds]).

    (nan, nan, 0) where none has two seeds.
    """
    sides = [(scores, again) for scores, again in sides if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores, _ in sides)
    if not freedom:
        return np.nan, np.nan, 0
    # How far each resample moves each seed, beyond how far it moves the mean of the setting.
    away = [again - scores - (again - scores).mean(1, keepdims=True) for scores, again in sides]
    s2 = sum(((scores - scores.mean()) ** 2).sum() for scores, _ in sides) / freedom
    return float(s2), float(sum((one**2).sum(1).mean() for one in away)) / freedom, freedom


def difference(own, base, clusters, others=()):
    """`own` minus `base`, each (scores [seeds], resamples [resamples, seeds] in float64), as a Difference.

    `others`, settings of the same form, lend their spread where both have one seed.
    """
    value, again = own[0].mean() - base[0].mean(), own[1].mean(1) - base[1].mean(1)
    return _with_variances(value, again, [own, base], clusters, others)


def level(own, clusters, others=()):
    """The mean over the seeds of `own` itself, as the Difference to 0."""
    return _with_variances(own[0].mean(), own[1].mean(1), [own], clusters, others)


def _with_variances(value, again, sides, clusters, others):
    c = sum(1 / len(scores) for scores, _ in sides)
    examples = float(np.var(again, ddof=1))
    s2, w, freedom = between_seeds(sides)
    if not freedom:
        s2, _, freedom = between_seeds(others)
        w = examples / c
    return Difference(float(value), max(0.0, examples - c * w), w, s2, c, freedom, clusters)


def mean_of(differences):
    """The mean of independent Differences, one per task, as a Difference.

    Tasks whose seeds tell nothing (retrieval trains nothing) add what their examples do; the degrees of freedom of the
    sum are Satterthwaite's.
    """
    value, v, w, s2, c, freedom, clusters = np.array(differences, dtype=float).T
    between, share = c * np.fmax(w, s2), 1 / len(value) ** 2
    told = np.isfinite(s2)
    pooled = (between[told] ** 2 / np.maximum(1, freedom[told])).sum()
    freedom = between[told].sum() ** 2 / pooled if pooled else 1
    s2 = share * between.sum() if told.any() else np.nan
    return Difference(value.mean(), share * v.sum(), share * (c * w).sum(), s2, 1.0, freedom, clusters.min())


def intervals(differences, level=0.95):
    """(low, high, p), each [differences]: two-sided, p being the level at which the interval would just touch 0.

    p is NaN where no seeds tell how much they matter: by their examples alone, two runs of one setting would often
    differ "significantly".
    """
    value, v, w, s2, c, freedom, clusters = np.array(differences, dtype=float).reshape(-1, 7).T
    freedom, between = np.maximum(1, freedom), np.nan_to_num(s2)

    def squared(alpha):
        z, t = stats.t.isf(alpha / 2, np.maximum(1, clusters - 1)) ** 2, stats.t.isf(alpha / 2, freedom) ** 2
        return z * v + c * np.maximum(z * w, t * between)

    half = np.sqrt(squared(1 - level))
    low, high = np.full(len(value), -40.0), np.zeros(len(value))  # log p by bisection
    for _ in range(40):
        middle = (low + high) / 2
        outside = squared(np.exp(middle)) < value**2
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    p = np.where(np.abs(value) < 1e-9, 1.0, np.exp(high))  # points: what sums of floats leave of no difference
    return value - half, value + half, np.where(np.isnan(s2), np.nan, p)


def holm(p):
    """Holm's (1979) adjusted p-values of a family of comparisons; NaN stays NaN and is none of them."""
    p = np.array(p, dtype=float)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]  # NaN comes last
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return p
