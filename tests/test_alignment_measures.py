"""Known answers of the alignment measures."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from alignment import intervals, measures
from alignment.cell import Lines, Side, measure, retrieval


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def rotation(width, seed=1):
    return torch.from_numpy(np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]).float()


def numbered(n):
    names = [str(number) for number in range(n)]
    return Lines(names, names, (), [True] * n)


def biased_cka(x, y):
    a, b = ((side - side.mean(0)).double() @ (side - side.mean(0)).double().T for side in (x, y))
    return float((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt())


def feature_cka(x, y):
    """Debiased CKA without a Gram matrix."""
    sides = [(side - side.mean(0)).double() for side in (x, y)]
    norms = [(side * side).sum(1) for side in sides]
    rows = [side @ side.sum(0) - norm for side, norm in zip(sides, norms)]

    def between(i, j):
        products = ((sides[i].T @ sides[j]) ** 2).sum() - norms[i] @ norms[j]
        return measures._hsic(products, rows[i].sum(), rows[j].sum(), rows[i] @ rows[j], len(x))

    return float(between(0, 1) / measures._root(between(0, 0) * between(1, 1)))


def test_rotated_scaled_and_moved_copies_have_cka_and_rsa_1():
    x = normal(200, 32)
    y = 3 * x @ rotation(32) + 5
    assert measures.cka(measures.gram(x), measures.gram(y)) == pytest.approx(1, abs=1e-5)
    assert measures.rsa(measures.ranks(x), measures.ranks(y)) == pytest.approx(1, abs=1e-5)


def test_moved_copies_are_found_after_centering_only():
    x = normal(300, 16)
    y = x + 0.05 * normal(300, 16, seed=2) + 40 * normal(16, seed=3)
    lines = numbered(300)
    result, _ = measure(Side(y, lines.distinct), Side(x, lines.distinct), lines, 0)
    assert result["top1_cos"].value == result["top1_csls"].value == result["top1_csls_from_pivot"].value == 100
    assert result["top1_raw_from_pivot"].value < 20


def test_one_rotation_of_both_sides_changes_nothing():
    x, y, turn = normal(150, 24), normal(150, 24) + normal(150, 24, seed=2), rotation(24)
    lines = numbered(150)
    plain, _ = measure(Side(y, lines.distinct), Side(x, lines.distinct), lines, 0)
    turned, _ = measure(Side(y @ turn, lines.distinct), Side(x @ turn, lines.distinct), lines, 0)
    for name in set(plain) - {"anc", "cka_z"}:  # which look at single dimensions
        assert turned[name].value == pytest.approx(plain[name].value, abs=1e-4), name


@pytest.mark.parametrize("width", [64, 384, 1024])
@pytest.mark.parametrize("n", [100, 700, pytest.param(2000, marks=pytest.mark.slow)])
def test_independent_data_have_cka_0_at_every_size_and_the_biased_estimator_has_not(n, width):
    a, b = (measures.gram(normal(n, width, seed=seed)) for seed in (n, n + 1))
    again = measures.cka_of_halves(a, b, intervals.halves(n))
    assert abs(measures.cka(a, b)) <= 3 * intervals.standard_error(again)
    biased = biased_cka(normal(n, width, seed=n), normal(n, width, seed=n + 1))
    assert biased == pytest.approx(width / (n + width), rel=0.05) and biased > 3 * intervals.standard_error(again)


@pytest.mark.parametrize("n, width", [(40, 100), (300, 30)])
def test_gram_and_feature_forms_agree(n, width):
    x = normal(n, width)
    y = x + normal(n, width, seed=2)
    assert feature_cka(x, y) == pytest.approx(measures.cka(measures.gram(x), measures.gram(y)), abs=1e-10)


def test_hsic_is_the_u_statistic_that_it_stands_for():
    """h(i, j, q, r) = a_ij (b_ij + b_qr - 2 b_iq), averaged over different i, j, q, r."""
    a, b = measures.gram(normal(7, 3)), measures.gram(normal(7, 4, seed=1))
    total, number = 0.0, 0
    for i, j, q, r in np.array(np.meshgrid(*[range(7)] * 4)).reshape(4, -1).T:
        if len({i, j, q, r}) == 4:
            total += float(a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q]))
            number += 1
    assert float(measures.hsic(a, b)) == pytest.approx(total / number, rel=1e-9)


def test_cka_of_halves_is_cka_of_their_rows():
    x, y = normal(60, 8), normal(60, 8) + normal(60, 8, seed=2)
    halves = intervals.halves(60)
    again = measures.cka_of_halves(measures.gram(x), measures.gram(y), halves)
    for column in (0, 17):
        own = halves[:, column].bool()
        expected = measures.cka(measures.gram(x[own]), measures.gram(y[own]))
        assert float(again[column]) == pytest.approx(expected, abs=1e-5)


def test_cka_of_halves_z_scores_every_half_anew():
    x = normal(300, 6) * torch.tensor([1, 2, 3, 4, 5, 6.0])
    y = x + 4 * normal(300, 6, seed=2) * normal(300, 1, seed=3).abs()
    z = [measures.z_scored(side) for side in (x, y)]
    halves = intervals.halves(300)
    grams = [measures.gram(side) for side in z]
    again, plain = measures.cka_z_of_halves(*z, *grams, halves), measures.cka_of_halves(*grams, halves)
    own = [halves[:, column].bool() for column in range(40)]
    exact = [measures.cka(*(measures.gram(measures.z_scored(side[half])) for side in (x, y))) for half in own]
    errors = [np.abs(one[:40].numpy() - exact).mean() for one in (again, plain)]
    assert errors[0] < 0.004 and errors[0] < errors[1] / 3


def test_naive_bootstrap_of_cka_is_wrong_and_halves_are_right():
    x, y = normal(200, 64), normal(200, 64, seed=1)
    rows = torch.from_numpy(np.random.default_rng(0).integers(200, size=200))
    assert measures.cka(measures.gram(x[rows]), measures.gram(y[rows])) > 0.15
    again = measures.cka_of_halves(measures.gram(x), measures.gram(y), intervals.halves(200))
    assert abs(float(again.mean())) < 0.01


def test_z_scores_unmask_two_dimensions_that_outweigh_all_others():
    shared = 50 * normal(300, 2)
    x, y = (torch.cat((shared, normal(300, 200, seed=seed)), dim=1) for seed in (1, 2))
    assert measures.cka(measures.gram(x), measures.gram(y)) > 0.99
    z = [measures.gram(measures.z_scored(side)) for side in (x, y)]
    assert abs(measures.cka(*z)) < 0.05


def test_anc_is_the_mean_of_signed_correlations():
    x, y = normal(100, 6), normal(100, 6) + normal(100, 6, seed=2)
    y[:, 0] = -x[:, 0]
    value, influences = measures.neuron_correlations(x, y)
    assert value == pytest.approx(np.mean([np.corrcoef(x[:, i], y[:, i])[0, 1] for i in range(6)]), abs=1e-6)
    assert abs(float(influences.mean())) < 1e-9
    rows = torch.from_numpy(np.random.default_rng(0).integers(100, size=100))
    to_first_order = value + float(influences[rows].mean())
    assert measures.neuron_correlations(x[rows], y[rows])[0] == pytest.approx(to_first_order, abs=0.02)


def test_rsa_is_spearman_with_shared_ranks():
    x, y = normal(40, 5), normal(40, 5) + normal(40, 5, seed=2)
    x[7] = x[8]
    upper = np.triu_indices(40, 1)
    sides = [measures.unit(side - side.mean(0)) for side in (x, y)]
    sides = [(side @ side.T).numpy()[upper] for side in sides]
    value = measures.rsa(measures.ranks(x), measures.ranks(y))
    assert value == pytest.approx(spearmanr(*sides).statistic, abs=1e-6)


def test_csls_is_its_definition_and_searches_all_candidates():
    x, y = normal(60, 4), normal(60, 4) + normal(60, 4, seed=2)
    x, y = measures.unit(x), measures.unit(y)
    cosines = x @ y.T
    r_x, r_y = cosines.topk(10, dim=1).values.mean(1), cosines.topk(10, dim=0).values.mean(0)
    scores = 2 * cosines - r_x[:, None] - r_y
    a, b = measures.csls_vectors(x, y, r_x, r_y)
    assert torch.allclose(a @ b.T, scores, atol=1e-5)
    right, _ = retrieval(x, y, numbered(60))
    assert torch.equal(right["csls"], scores.argmax(1) == torch.arange(60))
    assert torch.equal(right["csls_from_pivot"], scores.argmax(0) == torch.arange(60))


def test_csls_and_centering_undo_anisotropy():
    common, own = 3 * normal(64, seed=9), normal(64, seed=8)  # of both languages, of one
    pivot = normal(500, 64)
    x = pivot + 1.5 * normal(500, 64, seed=2)
    lines = numbered(500)
    result, _ = measure(Side(pivot + common, lines.distinct), Side(x + common + own, lines.distinct), lines, 0)
    assert result["top1_cos"].value > result["top1_raw"].value + 10
    assert result["top1_csls"].value >= result["top1_cos"].value
    assert result["pair_gap"].value > 0.3 > result["pair_gap_raw"].value


def test_pair_gap_is_pairs_minus_all_others():
    x, y = measures.unit(normal(30, 5) + 1), measures.unit(normal(30, 5, seed=1) + 1)
    cosines = (x @ y.T).numpy()
    others = cosines[~np.eye(30, dtype=bool)].mean()
    assert float(measures.pair_gaps(x, y).mean()) == pytest.approx(np.diag(cosines).mean() - others, abs=1e-6)
    assert float(measures.mean_of_others(x, y)) == pytest.approx(others, abs=1e-6)


def test_shift_is_the_common_move_and_0_without_one():
    x = normal(2000, 100)
    distance = float((x - x.mean(0)).norm(dim=1).mean())
    apart = 2 * normal(2000, 100, seed=2)
    assert measures.shift(x, x + 3 / 10 + apart) == pytest.approx(3 / distance, rel=0.05)
    assert measures.shift(x, x + apart) < 0.05
    assert float((apart.mean(0)).norm()) / distance > 0.035  # what the plain length of the mean would say of no shift


def test_overlap_counts_common_neighbors_and_its_floor_is_that_of_shuffled_lines():
    a = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    b = torch.tensor([[1, 0], [2, 0], [0, 1], [3, 2]])
    common, floor = measures.overlaps(a, b, 4)
    assert common.tolist() == [1, 0.5, 0, 0.5]
    pairs = [len(set(a[i].tolist()) & set(b[j].tolist())) / 2 for i in range(4) for j in range(4) if i != j]
    assert floor == pytest.approx(np.mean(pairs))


def test_equal_sentences_are_right_candidates_and_raise_the_floor():
    lines = Lines(["a", "b", "b", "c"], ["x", "y", "z", "x"], ())
    assert lines.right(torch.tensor([3, 2, 1, 1])).tolist() == [True, True, True, False]
    assert lines.chance == pytest.approx(100 * (2 + 2 + 2 + 2) / 4 / 4)
    assert numbered(50).chance == pytest.approx(2)


def test_unmoved_text_is_stable():
    pivot = normal(120, 16)
    x = pivot + 0.5 * normal(120, 16, seed=2)
    lines = numbered(120)
    clean = Side(x, lines.distinct)
    before, kept = measure(Side(pivot, lines.distinct), clean, lines, 0)
    same = Side(x.clone(), lines.distinct, clean.mean)
    after, _ = measure(Side(pivot, lines.distinct), same, lines, 0, clean, kept)
    assert after["stability"].value == after["stability"].low == 1
    assert after["self_similarity"].value == pytest.approx(1, abs=1e-6)
    assert after["lost"].value == after["gained"].value == after["shift"].value == 0
    assert after["overlap"].value == 100
    assert all(after[name].value == pytest.approx(before[name].value, abs=1e-5) for name in before)


def test_no_stability_where_clean_text_is_not_aligned():
    lines, pivot = numbered(100), normal(100, 16)
    clean = Side(normal(100, 16, seed=4), lines.distinct)
    before, kept = measure(Side(pivot, lines.distinct), clean, lines, 0)
    assert before["top1_csls"].low <= before["top1_csls"].floor
    noised = Side(clean.x + normal(100, 16, seed=5), lines.distinct, clean.mean)
    after, _ = measure(Side(pivot, lines.distinct), noised, lines, 0, clean, kept)
    assert after["stability"].value is None


def test_permuting_the_lines_of_both_sides_changes_nothing():
    pivot = normal(90, 12)
    x = pivot + normal(90, 12, seed=2)
    moved = x + 0.5 * normal(90, 12, seed=3) + 0.1
    names = [str(number) for number in range(90)]
    results = []
    for order in (np.arange(90), np.random.default_rng(0).permutation(90)):
        own = [names[number] for number in order]
        lines = Lines(own, own, (), [number % 3 > 0 for number in order])
        clean = Side(x[order], lines.distinct)
        english, noised = Side(pivot[order], lines.distinct), Side(moved[order], lines.distinct, clean.mean)
        before, kept = measure(english, clean, lines, 0)
        after, _ = measure(english, noised, lines, 0, clean, kept)
        results.append((before, after))
    for plain, permuted in zip(*results):
        for name in plain:
            assert permuted[name].value == pytest.approx(plain[name].value, abs=1e-4), name


def test_repeated_pairs_are_left_out_of_cka():
    pivot = normal(80, 8)
    x = pivot + normal(80, 8, seed=2)
    twice = [torch.cat((side, side[:40])) for side in (pivot, x)]
    names = [str(number % 80) for number in range(120)]
    lines = Lines(names, names, range(80, 120))
    result, _ = measure(Side(twice[0], lines.distinct), Side(twice[1], lines.distinct), lines, 0)
    once, _ = measure(Side(pivot, numbered(80).distinct), Side(x, numbered(80).distinct), numbered(80), 0)
    assert result["cka"].n == 80 and result["cka"].value == pytest.approx(once["cka"].value, abs=1e-6)
    assert result["rsa"].value == pytest.approx(once["rsa"].value, abs=1e-6)
