"""Robustness at equal clean accuracy: fits against answers that are known, refusals, and the section of a report."""

import csv
import json

import numpy as np
import pytest
from scipy.special import expit, logit
from simulated_runs import conditions, write_run

import report
from reporting import scale, statistics

INTERCEPTS = np.array([-0.3, 0.0, -1.0])  # of three languages


def cells(runs=12, gamma=0.0, seed=0, examples=10**9):
    """(Cells that lie on the curve, whether a run's model is the larger one); the larger one is also better."""
    random = np.random.default_rng(seed)
    large = np.arange(runs) >= runs // 2
    clean = np.clip(0.45 + 0.4 * random.random((runs, 3)) + 0.05 * large[:, None], 0.02, 0.98)
    noisy = expit(INTERCEPTS + 0.8 * logit(clean) + gamma * large[:, None])
    return scale.Cells(clean, noisy, np.full(3, examples)), large


def test_on_the_curve_nothing_is_more_robust_than_predicted():
    on_curve, large = cells()
    rows = list(range(12))
    assert np.abs(scale.effective(on_curve, rows)).max() < 1e-9
    intercepts, slope, gamma = scale.fit(*on_curve.logits(), rows, large)
    assert slope == pytest.approx(0.8) and gamma == pytest.approx(0, abs=1e-9)
    assert intercepts == pytest.approx(INTERCEPTS) and scale.determination(on_curve, rows) == pytest.approx(1)


def test_planted_robustness_is_recovered():
    planted, large = cells(gamma=0.2)
    rows = list(range(12))
    intercepts, slope, gamma = scale.fit(*planted.logits(), rows, large)
    assert gamma == pytest.approx(0.2) and slope == pytest.approx(0.8) and intercepts == pytest.approx(INTERCEPTS)
    again = scale.Cells(*(np.stack([one] * 2) for one in planted[:2]), planted.examples)
    small, big = np.flatnonzero(~large).tolist(), np.flatnonzero(large).tolist()
    one = scale.gamma_difference(planted, again, small, big, 1000)
    assert one.value == pytest.approx(0.2) and one.sides[0].s2 == pytest.approx(0, abs=1e-18)
    # rho by a fit to the small runs alone: what the large ones are above it, in points, mean over languages
    above = 100 * (planted.noisy - expit(INTERCEPTS + 0.8 * logit(planted.clean))).mean(1)
    assert scale.effective(planted, small) == pytest.approx(above)


def test_the_interval_of_gamma_covers_the_truth():
    differences = []
    for seed in range(300):
        truth, large = cells(gamma=0.2, seed=seed, examples=400)
        random = np.random.default_rng([9, seed])
        shift = random.normal(0, 0.1, (12, 1))  # of a run, beyond its examples
        noisy = expit(logit(truth.noisy) + shift)
        right = [random.binomial(1, side[..., None], (12, 3, 400)) for side in (truth.clean, noisy)]
        times = statistics.draws(400, 100)
        again = [np.einsum("dx,rlx->drl", times, side) / 400 for side in right]
        seen, draws = (scale.Cells(*sides, truth.examples) for sides in ([side.mean(-1) for side in right], again))
        small, big = np.flatnonzero(~large).tolist(), np.flatnonzero(large).tolist()
        differences.append(scale.gamma_difference(seen, draws, small, big, 400))
    low, high, _ = statistics.intervals(differences)
    assert np.mean((low <= 0.2) & (0.2 <= high)) >= 0.93


def test_a_fit_takes_points_and_a_span():
    few, large = cells()
    assert scale.refusal(few, [0, 1, 2]).startswith("9 points")
    narrow = few._replace(clean=0.7 + 0.001 * np.arange(36).reshape(12, 3))
    assert "spans 3.3 points" in scale.refusal(narrow, range(12)) and scale.refusal(few, range(12)) == ""
    apart = np.where(large[:, None], 0.8, 0.5) + 0.1 * few.clean
    assert "does not overlap" in scale.no_overlap(apart, large, range(12))
    assert scale.no_overlap(few.clean, large, range(12)) == ""


def test_matched_accuracy_is_interpolated_within_the_overlap():
    one, other = np.array([[50.0, 40, 1], [70, 60, 1]]), np.array([[60.0, 55, 1], [80, 75, 1]])
    pairs = scale.matched(one, other, 3)
    assert pairs == [(60, 50, 55), (65, 55, 60), (70, 60, 65)]
    assert scale.matched(one, other + 30) == []


# --- The section


@pytest.fixture
def outputs(tmp_path):
    """Base and large models, three fractions, two seeds; large is better on clean text and no more robust."""
    return write_sizes(tmp_path)


def write_sizes(tmp_path, drop=0.1):
    """`drop` is what the large ones lose to noise where the base ones lose 0.1."""
    for name, layers, better in (("base", 12, 0.0), ("large", 24, 0.05)):
        for fraction, clean in ((500, 0.45), (2000, 0.6), (None, 0.75)):
            for seed in (1, 2):
                folder = tmp_path / "outputs" / f"{name}-{fraction}-{seed}"
                write_run(folder, "direct", seed, ["en", "de", "hi"], conditions(3), 1000,
                          clean=clean + better, drop=drop if name == "large" else 0.1)  # fmt: skip
                record = json.loads((folder / "run.json").read_text())
                record["parent"] |= {"path": f"models/xlm-roberta-{name}", "checkpoint": name}
                record["training"] |= {"max_train_samples": fraction}
                (folder / "run.json").write_text(json.dumps(record))
                config = {"num_hidden_layers": layers, "hidden_size": 8, "intermediate_size": 32, "vocab_size": 100}
                (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 10}))
    return tmp_path / "outputs"


def answer(folder):
    """The first answer of report.md."""
    return next(line for line in (folder / "report/report.md").read_text().splitlines() if line.startswith("- **"))


def lines(folder, name):
    with open(folder / "report/tables" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(outputs, *more):
    compared = ["--runs", f"{outputs}/*", "--baseline", f"{outputs}/base-None-*", "--resamples", "200"]
    report.main([*compared, "--output_dir", str(outputs.parent / "report"), *more])


def test_study_3_compares_sizes_at_equal_clean_accuracy(outputs):
    write(outputs, "--scale")
    folder = outputs.parent
    names = {line["setting"] for line in lines(folder, "xnli-effective")}
    assert names == {f"xlm-roberta-{size}{part}" for size in ("base", "large")
                     for part in ("", ", 500 examples", ", 2000 examples")}  # fmt: skip
    gamma = lines(folder, "xnli-gamma")
    assert [line["noise"] for line in gamma] == ["noisy", "keyboard"]
    layer = 4 * 8 * 9 + 2 * 8 * 32 + 32 + 8 + 4 * 8  # attention, feed-forward, normalization of a layer
    assert f"xlm-roberta-large ({24 * layer / 1e6:.1f} M" in gamma[0]["sizes"] and gamma[0]["runs"] == "12"
    for line in gamma:
        assert float(line["95 % interval, low"]) < float(line["γ"]) < float(line["95 % interval, high"])
    value, low, high = (float(gamma[0][name]) for name in ("γ", "95 % interval, low", "95 % interval, high"))
    assert low < 0 < high and answer(folder) == (
        "- **xnli, by size**: At equal clean accuracy, xlm-roberta-large is not found to be more or less robust to "
        f"noise than xlm-roberta-base (γ {value:+.2f}, 95 %: {low:.2f} to {high:.2f}; 12 runs)."
    )
    matched = lines(folder, "xnli-matched")
    assert len(matched) == 5 and all(abs(float(line["difference"])) < 3 for line in matched)
    text = (folder / "report/report.md").read_text()
    assert "slope 0." in text and "24 points" in text and (folder / "report/figures/xnli-matched.svg").exists()


def test_sizes_that_do_not_overlap_are_refused(outputs):
    for folder in outputs.iterdir():
        if folder.name.startswith("base") and "None" in folder.name or "large-500" in folder.name:
            continue
        keep = folder.name.startswith("large")
        if not keep and "2000" in folder.name or keep and "2000" in folder.name:
            for path in sorted(folder.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            folder.rmdir()
    for seed in (1, 2):
        for path in sorted((outputs / f"large-500-{seed}").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (outputs / f"large-500-{seed}").rmdir()
    write(outputs, "--scale")
    text = (outputs.parent / "report/report.md").read_text()
    assert "does not overlap" in text and not lines(outputs.parent, "xnli-gamma")
    assert answer(outputs.parent).startswith(
        "- **xnli, by size**: Whether xlm-roberta-large is more robust to noise than xlm-roberta-base at equal clean "
        "accuracy cannot be told: clean accuracy of the two sizes does not overlap ("
    )


@pytest.mark.parametrize("drop, told", [(0.0, "more"), (0.3, "less")])
def test_an_interval_without_0_is_said_to_be_more_or_less_robust(tmp_path, drop, told):
    write(write_sizes(tmp_path, drop), "--scale")
    gamma = lines(tmp_path, "xnli-gamma")[0]
    value, low, high = (float(gamma[name]) for name in ("γ", "95 % interval, low", "95 % interval, high"))
    assert low * high > 0 and (value > 0) == (told == "more")
    assert answer(tmp_path) == (
        f"- **xnli, by size**: At equal clean accuracy, xlm-roberta-large is {told} robust to noise than "
        f"xlm-roberta-base (γ {value:+.2f}, 95 %: {low:.2f} to {high:.2f}; 12 runs)."
    )


def test_one_size_answers_nothing(outputs):
    for path in outputs.glob("large-*/config.json"):
        path.unlink()
    write(outputs, "--scale")
    assert "cannot be told: A run has no config.json with its size." in answer(outputs.parent)


def test_without_scale_fractions_have_to_be_named(outputs, capsys):
    with pytest.raises(SystemExit):
        write(outputs)
    assert "max_train_samples" in capsys.readouterr().err
