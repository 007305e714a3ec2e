"""The numbers of a report against answers that are known: by hand, by brute force, and by simulation."""

import numpy as np
import pytest
import simulations
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
    assert set(statistics.worst_of(np.ones((1, 5, 4), bool), five)) == {1, 2, 3, 4, 5}
    bad = np.zeros((1, 5, 4), bool)
    bad[:, :3] = True  # the first three draws right: of 10 choices of 3, one
    assert statistics.worst_of(bad, five)[3] == pytest.approx([10])


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, np.nan, 0.01]) == pytest.approx([0.6, np.nan, 0.02], nan_ok=True)
    assert statistics.holm([0.6, 0.7]) == pytest.approx([1, 1]) and len(statistics.holm([])) == 0


def test_benjamini_hochberg_by_hand():
    adjusted = statistics.benjamini_hochberg([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert statistics.benjamini_hochberg([0.6, np.nan, 0.01]) == pytest.approx([0.6, np.nan, 0.02], nan_ok=True)
    p = np.random.default_rng(0).random(40) ** 2
    assert statistics.benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


def test_the_view_without_distributions_by_hand():
    above, differ, p = statistics.sign_test(np.array([1.0, 2, 3, 0, -1]))
    assert (above, differ) == (3, 4) and p == pytest.approx(2 * (1 + 4) / 16)
    assert np.isnan(statistics.sign_test(np.zeros(3))[2])
    assert statistics.superiority(np.array([1.0, 3]), np.array([0.0, 1, 2])) == pytest.approx(100 * (1.5 + 3) / 6)


# --- Intervals: what docs/report.md says of their coverage; `python tests/simulations.py` repeats them more often


@pytest.mark.parametrize("seeds", simulations.HELD_OUT)
def test_intervals_hold_where_their_weight_was_not_chosen(seeds):
    for ratio in simulations.OTHER_RATIOS:
        assert simulations.covered(simulations.seeds_only, seeds, ratio, 1500) >= 0.93
        assert simulations.family_error(seeds, ratio, 500) <= 0.06


@pytest.mark.parametrize("seeds", simulations.UNEQUAL)
@pytest.mark.parametrize("kind", [simulations.seeds_only, simulations.seeds_and_examples])
def test_intervals_cover_the_truth_with_unequal_variances(kind, seeds):
    for ratio in simulations.RATIOS:
        assert simulations.covered(kind, seeds, ratio, 1500 if kind is simulations.seeds_only else 300) >= 0.93


@pytest.mark.parametrize("seeds, ratio", [((5, 2), 1), ((2, 5), 25), ((3, 3), 25), ((3, 5), 9), ((2, 2), 25)])
def test_equal_settings_are_rarely_found_different(seeds, ratio):
    assert simulations.family_error(seeds, ratio, 500) <= 0.06


def test_a_true_difference_is_found_with_three_seeds():
    assert simulations.power(400) >= 0.4


def test_two_encoders_with_three_seeds_are_not_six_runs():
    assert simulations.encoder_error(1000) <= 0.06 < 0.1 < simulations.encoder_error(1000, nested=False)


def test_parallel_test_sets_share_draws_where_a_language_lacks_lines():
    assert simulations.parallel_covered(300) >= 0.93


@pytest.mark.slow
def test_all_families_of_equal_settings_and_draws_of_each_languages_own():
    assert simulations.parallel_covered(400, shared=False) < 0.88
    for seeds in [seeds for seeds in simulations.UNEQUAL if 1 not in seeds]:
        for ratio in simulations.RATIOS:
            assert simulations.family_error(seeds, ratio, 2500) <= 0.06, (seeds, ratio)


def test_against_welch_and_banerjee_by_hand():
    """Without any part for examples: three runs against two, Student's quantiles from scipy's own functions."""
    own, base = np.array([70.0, 72, 77]), np.array([60.0, 61])
    one = statistics.difference(simulations.certain(own), simulations.certain(base), 10**9)
    (low,), (high,), (p,) = statistics.intervals([one])
    parts = own.var(ddof=1) / 3, base.var(ddof=1) / 2
    welch = stats.ttest_ind(own, base, equal_var=False).confidence_interval()
    careful = stats.t.isf(0.025, 2) ** 2 * parts[0] + stats.t.isf(0.025, 1) ** 2 * parts[1]
    half = np.sqrt(statistics.UNEQUAL * ((welch.high - welch.low) / 2) ** 2 + (1 - statistics.UNEQUAL) * careful)
    assert (low, high) == pytest.approx((one.value - half, one.value + half), rel=1e-6)
    (low,), (high,), _ = statistics.intervals([one], level=1 - p)
    assert low == pytest.approx(0, abs=1e-6)


def test_the_mean_of_independent_differences_by_hand():
    side = simulations.certain([70.0, 72, 77]), simulations.certain([60.0, 61, 62])
    one = statistics.difference(*side, 10**9)
    mean = statistics.mean_of([one, one])
    (low,), (high,), _ = statistics.intervals([mean])
    (first,), (last,), _ = statistics.intervals([one])
    assert mean.value == one.value and high - low < (last - first) / np.sqrt(2) * 1.01 and not mean.single
    untrained = statistics.level(simulations.certain([50.0]), 100)
    assert statistics.mean_of([one, untrained]).value == (one.value + 50) / 2
    assert statistics.mean_of([untrained]).single and not statistics.mean_of([one, untrained]).single


def test_at_the_ceiling_the_interval_is_the_rule_of_threes():
    side = np.array([100.0, 100.0]), np.full((200, 2), 100, np.float32)
    (low,), (high,), (p,) = statistics.intervals([statistics.difference(side, side, 10**6, 400)])
    assert (low, high) == pytest.approx((-0.75, 0.75), rel=1e-4) and p == 1  # 3 / 400


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
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97
