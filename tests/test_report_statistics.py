"""The numbers of a report against answers that are known: by hand, by brute force, and by simulation."""

import numpy as np
import pytest
from scipy import stats

import metrics
from reporting import statistics

CONDITIONS = [("a-1", "a", "1"), ("a-2", "a", "2"), ("b-1", "b", "1"), ("b-1-r1", "b", "1")]


def counts_of(task, random, examples=40):
    """Counts as run_xtreme.py writes them, from random gold labels and predictions."""
    if task in ("panx", "udpos"):
        tags = ["O", "B-PER", "I-PER", "B-LOC"] if task == "panx" else ["NOUN", "VERB", "SCONJ", "INTJ"]
        gold = [list(random.choice(tags, 6)) for _ in range(examples)]
        guess = [[tag if random.random() < 0.7 else random.choice(tags) for tag in row] for row in gold]
        return metrics.count(task, gold, guess)
    if task in ("xquad", "mlqa", "tydiqa"):
        words = "a red house on the hill".split()
        gold = [{"id": str(index), "answers": [" ".join(random.choice(words, 3))]} for index in range(examples)]
        return metrics.count(task, gold, {row["id"]: " ".join(random.choice(words, 3)) for row in gold}, "en")
    if task == "bucc2018":
        gold = [(f"d{index}", f"e{index}") for index in range(examples)]
        return metrics.count(
            task, gold, [(d, e if random.random() < 0.5 else "e0") for d, e in gold if random.random() < 0.8]
        )
    if task == "mewslix":
        return metrics.count(
            task,
            {str(i): ["Q1"] for i in range(examples)},
            {str(i): list(random.permutation(["Q1", "Q2", "Q3"])) for i in range(examples)},
        )
    return metrics.count(task, list(random.integers(3, size=examples)), list(random.integers(3, size=examples)))


def as_sums(task, rows):
    """[examples, columns] of the task's statistic."""
    columns, score, _ = statistics.statistic(task)
    return np.array([[1 if name == "examples" else row[name] for name in columns] for row in rows], float), score


@pytest.mark.parametrize(
    "task", ["xnli", "xcopa", "tatoeba", "panx", "udpos", "xquad", "mlqa", "tydiqa", "bucc2018", "mewslix"]
)
def test_resampled_corpus_scores_equal_those_of_the_resampled_examples(task):
    from tasks import TARGETS

    rows = counts_of(task, np.random.default_rng(1))
    sums, score = as_sums(task, rows)
    fast = statistics.resampled(sums[None], score, 20)[:, 0]
    for value, times in zip(fast, statistics.draws(len(rows), 20)):
        drawn = [row for row, number in zip(rows, times) for _ in range(int(number))]
        assert len(drawn) == len(rows)
        assert value == pytest.approx(metrics.aggregate(task, drawn)[TARGETS[task].metric], abs=1e-3)
    assert np.ptp(fast) > 0


def test_f1_is_not_a_mean_of_sentences():
    rows = counts_of("panx", np.random.default_rng(2))
    sums, score = as_sums("panx", rows)
    assert score(sums.sum(0)) != pytest.approx(np.mean([score(row) for row in sums]), abs=0.5)


# --- Robustness
# -------------------------------------------------------------------------------------------------------


def test_means_weigh_operations_then_levels_then_draws():
    assert statistics.noisy_weights(CONDITIONS) == pytest.approx([0.25, 0.25, 0.25, 0.25])
    assert statistics.noisy_weights(CONDITIONS[:3]) == pytest.approx([0.25, 0.25, 0.5])
    assert statistics.operation_weights(CONDITIONS)["b"] == pytest.approx([0, 0, 0.5, 0.5])


def test_corruption_error_is_the_ratio_of_summed_errors():
    baseline, other = np.array([80.0, 60, 90, 70]), np.array([[90.0, 80, 90, 70], [80, 60, 90, 70]])
    assert statistics.corruption_error(other, baseline, CONDITIONS) == pytest.approx([(50 + 100) / 2, 100])
    assert np.isnan(
        statistics.corruption_error(other, np.full(4, 100.0), CONDITIONS)
    ).all()  # nothing to be better than


def test_slopes_go_through_clean_and_all_levels():
    scores = np.array([[79.0, 78, 60, 60]])
    found = statistics.slopes(np.array([80.0]), scores, np.array([0.01, 0.02, 0.1, np.nan]), CONDITIONS)
    assert found["a"] == pytest.approx([-1.0]) and set(found) == {"a"}  # b: a rate is unknown
    line = stats.linregress([0, 1, 5, 10], [80, 79, 70, 61])
    conditions = [(f"c-{level}", "c", str(level)) for level in (1, 2, 3)]
    assert statistics.slopes(np.array([80.0]), np.array([[79.0, 70, 61]]), np.array([0.01, 0.05, 0.1]), conditions)[
        "c"
    ] == pytest.approx([line.slope])


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


# --- Intervals
# --------------------------------------------------------------------------------------------------------


def compared(random, seeds, examples, seed_effect=0.0, effect=0.0, resamples=200):
    """A Difference of two settings that share their examples' difficulty."""
    hard = random.normal(0, 0.25, examples)
    sides = []
    for gain in (effect, 0.0):
        shift = random.normal(0, seed_effect, (seeds, 1)) if seed_effect else np.zeros((seeds, 1))
        correct = random.random((seeds, examples)) < np.clip(0.5 + hard + gain + shift, 0, 1)
        sums = np.stack([correct, np.ones_like(correct)], -1).astype(float)
        sides.append(
            (100 * correct.mean(1), statistics.resampled(sums, lambda s: 100 * s[..., 0] / s[..., 1], resamples))
        )
    return statistics.difference(*sides, examples)


@pytest.mark.parametrize("seeds, seed_effect", [(1, 0), (3, 0.03), (5, 0.02)])
def test_intervals_cover_the_truth_and_equal_settings_are_rarely_told_apart(seeds, seed_effect):
    random = np.random.default_rng(seeds)
    found = [compared(random, seeds, 300, seed_effect) for _ in range(1000)]
    low, high, p = statistics.intervals(found)
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97
    assert np.mean(p < 0.05) <= 0.06  # A against A
    assert np.isnan(p).all() if seeds == 1 else ((p < 0.05) == ((low > 0) | (high < 0))).all()


def test_two_seeds_of_one_setting_are_rarely_told_apart_by_the_spread_of_other_settings():
    """By their examples alone they often are, as a difference between seeds is no matter of examples."""
    random, found, alone = np.random.default_rng(9), [], []
    for _ in range(500):
        hard, runs = random.normal(0, 0.25, 500), []
        for _ in range(8):
            correct = random.random(500) < np.clip(0.5 + hard + random.normal(0, 0.03), 0, 1)
            sums = np.stack([correct, np.ones_like(correct)], -1)[None].astype(float)
            runs.append(
                (
                    100 * correct.mean(keepdims=True),
                    statistics.resampled(sums, lambda s: 100 * s[..., 0] / s[..., 1], 200),
                )
            )
        others = [tuple(np.concatenate(part, -1) for part in zip(*runs[first : first + 3])) for first in (2, 5)]
        found.append(statistics.difference(*runs[:2], 500, others))
        alone.append(statistics.difference(*runs[:2], 500))
    low, high, p = statistics.intervals(found)
    assert found[0].freedom == 4 and np.mean(p < 0.05) <= 0.06 and 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.98
    low, high, p = statistics.intervals(alone)
    assert np.isnan(p).all() and np.mean((low <= 0) & (high >= 0)) < 0.9


def test_without_differences_between_seeds_intervals_are_wide_but_never_too_short():
    random = np.random.default_rng(0)
    low, high, _ = statistics.intervals([compared(random, 3, 300) for _ in range(400)])
    assert np.mean((low <= 0) & (high >= 0)) >= 0.95


def test_intervals_of_a_span_f1_cover_the_truth():
    """Two taggers that miss spans at different rates, on sentences of different difficulty."""
    random, found = np.random.default_rng(7), []
    _, score, _ = statistics.statistic("panx")

    def taggers(sentences):
        gold, easy = random.integers(0, 6, sentences), random.beta(4, 2, sentences)
        for strength in (1.0, 0.9):
            predicted = random.binomial(gold, 0.9) + random.integers(0, 2, sentences)
            yield np.stack(
                [random.binomial(np.minimum(gold, predicted), strength * easy), predicted, gold], -1
            ).astype(float)

    truth = np.subtract(*(score(side.sum(0)) for side in taggers(2_000_000)))
    for _ in range(1200):
        sides = [
            (np.array([score(side.sum(0))]), statistics.resampled(side[None], score, 200)) for side in taggers(300)
        ]
        found.append(statistics.difference(*sides, 300))
    low, high, _ = statistics.intervals(found)
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97


def test_a_planted_difference_is_found():
    random = np.random.default_rng(4)
    low, high, p = statistics.intervals([compared(random, 3, 8000, 0.001, effect=0.02) for _ in range(20)])
    assert (p < 0.05).mean() >= 0.8 and ((low <= 2) & (high >= 2)).mean() >= 0.8


def test_one_seed_against_three_borrows_their_spread():
    again = np.random.default_rng(5).normal(0, 0.1, (200, 4)).astype(np.float32)
    scores = np.array([70.0, 72, 74])
    one = statistics.difference((np.array([60.0]), again[:, :1] + 60), (scores, again[:, 1:] + scores), 1000)
    (low,), (high,), (p,) = statistics.intervals([one])
    assert one.freedom == 2 and one.s2 == pytest.approx(4)
    half = stats.t.isf(0.025, 2) * np.sqrt(4 * (1 + 1 / 3))
    assert high - low == pytest.approx(2 * half, rel=0.02) and p == pytest.approx(
        2 * stats.t.sf(12 / np.sqrt(16 / 3), 2), rel=0.02
    )


def test_equal_settings_differ_by_nothing():
    side = np.array([50.0, 50.0]), np.full((200, 2), 50, np.float32)
    (low,), (high,), (p,) = statistics.intervals([statistics.difference(side, side, 100)])
    assert (low, high, p) == (0, 0, 1)
