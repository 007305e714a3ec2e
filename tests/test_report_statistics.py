"""The numbers of a report against answers that are known: by hand, by brute force, and by simulation."""

import numpy as np
import pytest
from scipy import stats

import metrics
from reporting import statistics
from tasks import TARGETS

CONDITIONS = [("a-1", "a", "1"), ("a-2", "a", "2"), ("b-1", "b", "1"), ("b-1-r1", "b", "1")]


def counts_of(task, random, examples=40):
    """Counts as run_xtreme.py writes them, from random gold labels and predictions."""
    if task in ("panx", "udpos"):
        tags = ["O", "B-PER", "I-PER", "B-LOC"] if task == "panx" else ["NOUN", "VERB", "SCONJ", "INTJ"]
        gold = [list(random.choice(tags, 6)) for _ in range(examples)]
        guess = [[tag if random.random() < 0.7 else random.choice(tags) for tag in row] for row in gold]
        return metrics.count(task, gold, guess)
    if task in ("xquad", "mlqa", "tydiqa"):
        words, ids = "a red house on the hill".split(), list(map(str, range(examples)))
        gold = [{"id": key, "answers": [" ".join(random.choice(words, 3))]} for key in ids]
        return metrics.count(task, gold, {key: " ".join(random.choice(words, 3)) for key in ids}, "en")
    if task == "bucc2018":
        gold = [(f"d{index}", f"e{index}") for index in range(examples)]
        guess = [(d, e if random.random() < 0.5 else "e0") for d, e in gold if random.random() < 0.8]
        return metrics.count(task, gold, guess)
    if task in ("mewslix", "lareqa"):
        ids, names = list(map(str, range(examples))), ["de_1_0", "en_1_0", "en_1_1"]
        ranked = {key: list(random.permutation(names)) for key in ids}
        return metrics.count(task, {key: names[: 1 + (task == "lareqa")] for key in ids}, ranked, "de")
    return metrics.count(task, list(random.integers(3, size=examples)), list(random.integers(3, size=examples)))


def as_sums(task, counts):
    """([examples, columns] of the task's statistic, score of sums)."""
    columns, score, _ = statistics.statistic(TARGETS[task])
    return np.array([[1 if name == "examples" else one[name] for name in columns] for one in counts], float), score


TASKS = ["xnli", "xcopa", "tatoeba", "panx", "udpos", "xquad", "mlqa", "tydiqa", "bucc2018", "mewslix", "lareqa"]


@pytest.mark.parametrize("task", TASKS)
def test_resampled_corpus_scores_equal_those_of_the_resampled_examples(task):
    counts = counts_of(task, np.random.default_rng(1))
    sums, score = as_sums(task, counts)
    fast = statistics.resampled(sums[None], score, 20)[:, 0]
    for value, times in zip(fast, statistics.draws(len(counts), 20)):
        drawn = [one for one, number in zip(counts, times) for _ in range(int(number))]
        assert len(drawn) == len(counts)
        assert value == pytest.approx(metrics.aggregate(task, drawn)[TARGETS[task].metric], abs=1e-3)
    assert np.ptp(fast) > 0


def test_draws_are_with_replacement_and_the_same_for_the_same_seed():
    counts = statistics.draws(50, 4000, 3)
    assert (counts.sum(1) == 50).all() and (counts >= 0).all()
    assert counts.mean(0) == pytest.approx(np.ones(50), abs=0.08)
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.02)  # of a binomial count of 50 draws at 1/50
    statistics.draws.cache_clear()
    assert (statistics.draws(50, 4000, 3) == counts).all() and (statistics.draws(50, 4000, 4) != counts).any()


def test_f1_is_not_a_mean_of_sentences():
    counts = counts_of("panx", np.random.default_rng(2))
    sums, score = as_sums("panx", counts)
    assert score(sums.sum(0)) != pytest.approx(np.mean([score(one) for one in sums]), abs=0.5)


# --- Robustness


def test_means_weigh_operations_then_levels_then_draws():
    assert statistics.noisy_weights(CONDITIONS) == pytest.approx([0.25, 0.25, 0.25, 0.25])
    assert statistics.noisy_weights(CONDITIONS[:3]) == pytest.approx([0.25, 0.25, 0.5])
    assert statistics.operation_weights(CONDITIONS)["b"] == pytest.approx([0, 0, 0.5, 0.5])


def test_corruption_error_is_the_ratio_of_summed_errors():
    baseline, other = np.array([80.0, 60, 90, 70]), np.array([[90.0, 80, 90, 70], [80, 60, 90, 70]])
    assert statistics.corruption_error(other, baseline, CONDITIONS) == pytest.approx([(50 + 100) / 2, 100])
    nothing_to_beat = statistics.corruption_error(other, np.full(4, 100.0), CONDITIONS)
    assert np.isnan(nothing_to_beat).all()


def test_slopes_go_through_clean_and_all_levels():
    scores = np.array([[79.0, 78, 60, 60]])
    fitted = statistics.slopes(np.array([80.0]), scores, np.array([0.01, 0.02, 0.1, np.nan]), CONDITIONS)
    assert fitted["a"] == pytest.approx([-1.0]) and set(fitted) == {"a"}  # b: a rate is unknown
    line = stats.linregress([0, 1, 5, 10], [80, 79, 70, 61])
    scores, rates = np.array([[79.0, 70, 61]]), np.array([0.01, 0.05, 0.1])
    conditions = [(f"c-{level}", "c", str(level)) for level in (1, 2, 3)]
    assert statistics.slopes(np.array([80.0]), scores, rates, conditions)["c"] == pytest.approx([line.slope])


def test_flips_and_worst_of_draws():
    clean, noisy = np.array([1, 1, 0, 0], bool), np.array([[1, 0, 1, 0], [0, 0, 0, 0]], bool)
    assert [list(one) for one in statistics.flips(clean, noisy)] == [[25, 50], [25, 0]]
    right = np.array([[[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0]]], bool)
    assert {k: value.tolist() for k, value in statistics.worst_of(right, CONDITIONS).items()} == {1: [62.5], 2: [50]}
    assert statistics.worst_of(right[:, :3], CONDITIONS[:3]) == {}
    five = [(f"a-1-r{draw}", "a", "1") for draw in range(5)]
    assert set(statistics.worst_of(np.ones((1, 5, 4), bool), five)) == {1, 3, 5}


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, np.nan, 0.01]) == pytest.approx([0.6, np.nan, 0.02], nan_ok=True)
    assert statistics.holm([0.6, 0.7]) == pytest.approx([1, 1]) and len(statistics.holm([])) == 0


# --- Intervals: what docs/report.md says of their coverage


def accuracy(sums):
    return 100 * sums[..., 0] / sums[..., 1]


def sampled(correct, resamples=200):
    """(scores [seeds], resamples [resamples, seeds]) of bool [seeds, examples]: a side of a Difference."""
    sums = np.stack([correct, np.ones_like(correct)], -1).astype(float)
    return 100 * correct.mean(1), statistics.resampled(sums, accuracy, resamples)


def compared(random, seeds, examples, seed_effect=0.0, effect=0.0):
    """A Difference of two settings that share their examples' difficulty."""
    hard, sides = random.normal(0, 0.25, examples), []
    for gain in (effect, 0.0):
        shift = random.normal(0, seed_effect, (seeds, 1)) if seed_effect else np.zeros((seeds, 1))
        sides.append(sampled(random.random((seeds, examples)) < np.clip(0.5 + hard + gain + shift, 0, 1)))
    return statistics.difference(*sides, examples)


def covered(low, high, truth=0):
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize("seeds, seed_effect", [(1, 0), (3, 0.03), (5, 0.02)])
def test_intervals_cover_the_truth_and_equal_settings_are_rarely_told_apart(seeds, seed_effect):
    random = np.random.default_rng(seeds)
    low, high, p = statistics.intervals([compared(random, seeds, 300, seed_effect) for _ in range(1000)])
    assert 0.93 <= covered(low, high) <= 0.97
    if seeds == 1:
        assert np.isnan(p).all()
    else:
        assert np.mean(p < 0.05) <= 0.06 and ((p < 0.05) == ((low > 0) | (high < 0))).all()


def test_two_seeds_of_one_setting_are_rarely_told_apart_by_the_spread_of_other_settings():
    """By their examples alone they often are, as a difference between seeds is no matter of examples."""
    random, lent, alone = np.random.default_rng(9), [], []
    for _ in range(500):
        hard, runs = random.normal(0, 0.25, 500), []
        for _ in range(8):
            runs.append(sampled(random.random((1, 500)) < np.clip(0.5 + hard + random.normal(0, 0.03), 0, 1)))
        others = [tuple(np.concatenate(part, -1) for part in zip(*runs[first : first + 3])) for first in (2, 5)]
        lent.append(statistics.difference(*runs[:2], 500, others))
        alone.append(statistics.difference(*runs[:2], 500))
    low, high, p = statistics.intervals(lent)
    assert lent[0].freedom == 4 and np.mean(p < 0.05) <= 0.06 and 0.93 <= covered(low, high) <= 0.98
    low, high, p = statistics.intervals(alone)
    assert np.isnan(p).all() and covered(low, high) < 0.9


def test_without_differences_between_seeds_intervals_are_wide_but_never_too_short():
    random = np.random.default_rng(0)
    low, high, _ = statistics.intervals([compared(random, 3, 300) for _ in range(400)])
    assert covered(low, high) >= 0.95


def test_intervals_of_a_span_f1_cover_the_truth():
    """Two taggers that miss spans at different rates, on sentences of different difficulty."""
    random, differences = np.random.default_rng(7), []
    _, score, _ = statistics.statistic(TARGETS["panx"])

    def taggers(sentences):
        gold, easy = random.integers(0, 6, sentences), random.beta(4, 2, sentences)
        for strength in (1.0, 0.9):
            predicted = random.binomial(gold, 0.9) + random.integers(0, 2, sentences)
            right = random.binomial(np.minimum(gold, predicted), strength * easy)
            yield np.stack([right, predicted, gold], -1).astype(float)

    truth = np.subtract(*(score(side.sum(0)) for side in taggers(2_000_000)))
    for _ in range(1200):
        sides = [
            (score(side.sum(0, keepdims=True)), statistics.resampled(side[None], score, 200)) for side in taggers(300)
        ]
        differences.append(statistics.difference(*sides, 300))
    low, high, _ = statistics.intervals(differences)
    assert 0.93 <= covered(low, high, truth) <= 0.97


def test_a_planted_difference_is_significant():
    random = np.random.default_rng(4)
    low, high, p = statistics.intervals([compared(random, 3, 8000, 0.001, effect=0.02) for _ in range(20)])
    assert (p < 0.05).mean() >= 0.8 and covered(low, high, 2) >= 0.8


def test_one_seed_against_three_borrows_their_spread():
    again = np.random.default_rng(5).normal(0, 0.1, (200, 4)).astype(np.float32)
    scores = np.array([70.0, 72, 74])
    one = statistics.difference((np.array([60.0]), again[:, :1] + 60), (scores, again[:, 1:] + scores), 1000)
    (low,), (high,), (p,) = statistics.intervals([one])
    assert one.freedom == 2 and one.s2 == pytest.approx(4)
    error = np.sqrt(4 * (1 + 1 / 3))
    assert high - low == pytest.approx(2 * stats.t.isf(0.025, 2) * error, rel=0.02)
    assert p == pytest.approx(2 * stats.t.sf(12 / error, 2), rel=0.02)


def test_equal_settings_differ_by_nothing():
    side = np.array([50.0, 50.0]), np.full((200, 2), 50, np.float32)
    (low,), (high,), (p,) = statistics.intervals([statistics.difference(side, side, 100)])
    assert (low, high, p) == (0, 0, 1)
