"""The numbers of a report: corpus scores of resamples, robustness metrics, intervals over examples and seeds, p.

Pure functions of arrays: numpy and scipy, no files. Scores are percents, gaps and differences are points.

How a difference between two settings gets its interval. Examples: the test examples are resampled with replacement, by
paragraph for question answering and by sentence for tags, and the corpus metric is computed anew from the sums of
counts (Koehn 2004). All runs and conditions of a language share the draws, so comparisons are paired, and so do the
same examples in other languages. Seeds: resampling three of them gives intervals that are far too short, so their part
of the variance is Student's, with each setting's own variance. What is drawn anew is a setting's unit: the encoder
where it has several (two encoders with three seeds each are two units), else the seed. The variance of a difference D
between means over units is

    V(D) = v + sum over both settings of max(w, s2) / n

n is a setting's number of units, s2 the observed variance between them, w the part of it that drawing examples alone
explains, v what examples contribute beyond the w / n. The interval's half width h at the level 1 - alpha is

    h^2 = c t(V)^2 V + (1 - c) (z^2 v + sum of max(z^2 w, t(n - 1)^2 s2) / n)

t(V) is Student's quantile with the degrees of freedom of Welch (1947) and Satterthwaite (1946),
V^2 / sum of (s2 / n)^2 / (n - 1). With two or three units these are themselves an estimate, and intervals of settings
whose variances differ are too short; the second half, Banerjee's (1961), is never too short, but wide. c is 4 / 5
where both settings have as many units, else 1 / 2: what holds for 2 to 5 units and variances that differ by 25. Where
a setting has a single unit, the interval is about that run, whatever others would give, and there is no p. Where no
example tells two settings apart, the interval is the rule of three's, not zero. Simulations: tests/simulations.py.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from metrics import CHRF_COLUMNS, METRICS, chrf


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


def same_translation(counts):
    """Whether a translation is its reference, up to characters and words in order."""
    orders = np.array([counts[name] for name in CHRF_COLUMNS]).reshape(-1, 3, len(counts[CHRF_COLUMNS[0]]))
    return ((orders[:, 0] == orders[:, 2]) & (orders[:, 1] == orders[:, 2])).all(0)


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
    "translation": (CHRF_COLUMNS, chrf, same_translation),
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


def resampled(sums, score, resamples, seed=0, places=None, of=None):
    """Scores of resamples, float32 [resamples, ...], of counts summed by cluster, sums [..., clusters, columns].

    `places` [clusters] of the clusters among `of`, all that the task's languages have: the same example in another
    language shares the draws, also where a language lacks some.

    scipy.stats.bootstrap would draw anew at each call and score each resample in Python; here all runs, conditions and
    languages share the draws, and one matrix product sums the counts of all resamples.
    """
    *shape, clusters, columns = sums.shape
    flat = np.moveaxis(sums, -2, 0).reshape(clusters, -1).astype(np.float32)  # below 2 ** 24, so float32 is exact
    times = draws(clusters, resamples, seed) if places is None else draws(of, resamples, seed)[:, places]
    return score((times @ flat).reshape(resamples, *shape, columns))


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
    """{k: percent of examples right under all of k draws, [runs]}, for k from 1 to the draws that all levels have.

    right: bool [runs, conditions, examples]. Means over all choices of k among the draws (of m draws with r right
    ones, C(r, k) / C(m, k) are right throughout), then over what was drawn more than once: so the worst of 3 is never
    better than the worst of 2.
    """
    draws_of = {}
    for index, (_, op, level) in enumerate(conditions):
        draws_of.setdefault((op, level), []).append(index)
    drawn = [own for own in draws_of.values() if len(own) > 1]
    worst = {}
    for k in range(1, min(map(len, drawn), default=0) + 1):
        shares = [special.comb(right[:, own].sum(1), k) / special.comb(len(own), k) for own in drawn]
        worst[k] = np.mean([100 * share.mean(-1) for share in shares], axis=0)
    return worst


# --- Differences


EQUAL, UNEQUAL = 4 / 5, 1 / 2  # c, the share of Welch and Satterthwaite's interval, by the numbers of units


class Side(NamedTuple):
    """What is known of the variance of a setting's score; the names are the module docstring's."""

    n: int  # units: encoders where there are several, else seeds
    w: float  # 0 with one unit, as is s2
    s2: float


class Difference(NamedTuple):
    value: float
    v: float
    clusters: int
    sides: tuple  # of Side: the setting's and the baseline's

    @property
    def single(self):
        """Whether a side has one unit: the interval is then about that run, and there is no p."""
        return min(side.n for side in self.sides) == 1


def by_unit(scores, again, units):
    """(scores [units], resamples [resamples, units] in float64) of scores [runs] and resamples [resamples, runs].

    `units` lists the runs of each unit.
    """
    means = [again[:, runs].mean(1, dtype=float) for runs in units]
    return np.array([scores[runs].mean() for runs in units]), np.stack(means, axis=1)


def variances(scores, again):
    """The Side of a setting, from scores [units] and resamples [resamples, units]."""
    units = len(scores)
    if units == 1:
        return Side(1, 0.0, 0.0)
    # How far each resample moves each unit, beyond how far it moves the mean of the setting.
    moved = again - scores
    away = moved - moved.mean(1, keepdims=True)
    return Side(units, float((away**2).sum(1).mean()) / (units - 1), float(scores.var(ddof=1)))


def difference(own, base, clusters, examples=None, spread=None):
    """`own` minus `base`, each (scores [units], resamples [resamples, units] in float64), as a Difference.

    `spread` is the base's variances(), where one base is compared with many.

    `examples` (default: `clusters`) are those of all languages, for the rule of three: what is the same on all of N
    examples may differ on up to 3 / N of others, at 95 %.
    """
    least = (100 * 3 / stats.norm.isf(0.025) / (examples or clusters)) ** 2
    value, again = own[0].mean() - base[0].mean(), own[1].mean(1) - base[1].mean(1)
    return _with_variances(value, again, (variances(*own), spread or variances(*base)), clusters, least)


def level(own, clusters):
    """The mean over the units of `own` itself, as the Difference to 0."""
    return _with_variances(own[0].mean(), own[1].mean(1), (variances(*own),), clusters, 0.0)


def _with_variances(value, again, sides, clusters, least):
    drawn = max(least, float(np.var(again, ddof=1)))
    return Difference(float(value), max(0.0, drawn - sum(side.w / side.n for side in sides)), clusters, sides)


def mean_of(differences):
    """The mean of independent Differences, one per task, as a Difference.

    Tasks with one unit on all sides (retrieval trains nothing) add what their examples do, unless there are no others.
    """
    share = 1 / len(differences) ** 2
    told = [one for one in differences if max(side.n for side in one.sides) > 1] or differences
    sides = tuple(side._replace(w=share * side.w, s2=share * side.s2) for one in told for side in one.sides)
    value, v, clusters = (np.array([row[part] for row in differences], dtype=float) for part in range(3))
    return Difference(float(value.mean()), share * float(v.sum()), int(clusters.min()), sides)


def intervals(differences, level=0.95):
    """(low, high, p), each [differences]: two-sided, p being the level at which the interval would just touch 0.

    p is NaN where a side has one unit: nothing tells how much another would differ.
    """
    value, v, clusters = np.array([one[:3] for one in differences], dtype=float).reshape(-1, 3).T
    most_sides = max((len(one.sides) for one in differences), default=1)
    padded = [[*one.sides, *[Side(2, 0.0, 0.0)] * (most_sides - len(one.sides))] for one in differences]
    n, w, s2 = np.array(padded, dtype=float).reshape(-1, most_sides, 3).transpose(2, 0, 1)  # [differences, sides]
    own_freedom, most = np.maximum(1, n - 1), np.maximum(1, clusters - 1)
    variance, uncertain = v + (np.maximum(w, s2) / n).sum(1), ((s2 / n) ** 2 / own_freedom).sum(1)
    equal = np.array([len({side.n for side in one.sides}) == 1 for one in differences], dtype=bool)
    welch = np.where(equal, EQUAL, UNEQUAL)
    freedom = np.divide(variance**2, uncertain, out=most.copy(), where=uncertain > 0).clip(1, most)

    def squared(alpha):
        tail = alpha / 2
        z, t = stats.t.isf(tail, most) ** 2, stats.t.isf(np.broadcast_to(tail, value.shape)[:, None], own_freedom) ** 2
        careful = z * v + (np.maximum(z[:, None] * w, t * s2) / n).sum(1)
        return welch * stats.t.isf(tail, freedom) ** 2 * variance + (1 - welch) * careful

    half = np.sqrt(squared(1 - level))
    low, high = np.full(len(value), -40.0), np.zeros(len(value))  # log p by bisection
    for _ in range(40):
        middle = (low + high) / 2
        outside = squared(np.exp(middle)) < value**2
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    p = np.where(np.abs(value) < 1e-9, 1.0, np.exp(high))  # points: what sums of floats leave of no difference
    return value - half, value + half, np.where((n == 1).any(1), np.nan, p)


def holm(p):
    """Holm's (1979) adjusted p-values of a family of comparisons; NaN stays NaN and is none of them."""
    p = np.array(p, dtype=float)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]  # NaN comes last
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return p


def benjamini_hochberg(p):
    """Benjamini & Hochberg's (1995) adjusted p-values; NaN stays NaN and is none of them."""
    p = np.array(p, dtype=float)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()][::-1]  # largest first
    ranks = np.arange(len(order), 0, -1)
    p[order] = np.minimum(1, np.minimum.accumulate(p[order] * len(order) / ranks))
    return p


# --- A view that assumes less


def sign_test(values):
    """(number above 0, number not 0, two-sided p) of a sign test; p is NaN where all are 0."""
    above, not_zero = int((values > 1e-9).sum()), int((np.abs(values) > 1e-9).sum())
    return above, not_zero, stats.binomtest(above, not_zero).pvalue if not_zero else np.nan


def superiority(own, base):
    """Percent of all pairs of a unit of `own` and one of `base` in which the first scores higher; equal is half."""
    pairs = np.subtract.outer(own, base)
    return 100 * float((pairs > 1e-9).mean() + 0.5 * (np.abs(pairs) <= 1e-9).mean())
