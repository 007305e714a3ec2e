"""The average of a benchmark: score.py on folders, report.py per setting with intervals, against hand computations."""

import csv
import json

import numpy as np
import pytest
from scipy import stats
from simulated_runs import write_run

import report
import score
from common.files import InputError
from reporting.statistics import Difference, Side, intervals, level, main_statistic, mean_of
from score import evaluate_folder
from tasks import TARGETS

SEEDS = (1, 2, 3)


def values(folder, task, setting):
    """[seeds, languages] of a task's accuracies as results.jsonl has them."""
    rows = [
        [json.loads(line) for line in (folder / f"{setting}-{task}-{seed}/results.jsonl").read_text().splitlines()]
        for seed in SEEDS
    ]
    known = TARGETS[task].languages["xtreme"]
    return np.array([[row["value"] for row in of_seed if row["language"] in known] for of_seed in rows])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """(outputs, {setting: line} of the report's table of averages, its caption) for XNLI and PAWS-X in 4 languages."""
    folder = tmp_path_factory.mktemp("averages")
    for task in ("xnli", "pawsx"):
        for setting, clean in (("direct", 0.6), ("mnli", 0.65)):
            for seed in SEEDS:
                out = folder / f"outputs/{setting}-{task}-{seed}"
                write_run(out, setting, seed, ["en", "de", "hi", "zh"], ["clean"], 400, task, clean, seed_effect=0.01)
    report.main(["--runs", f"{folder}/outputs/*", "--baseline", f"{folder}/outputs/direct-*",
                 "--output_dir", f"{folder}/report", "--resamples", "400"])  # fmt: skip
    with open(folder / "report/tables/average-xtreme.csv", encoding="utf-8") as file:
        lines = {line["setting"]: line for line in csv.DictReader(file)}
    return folder / "outputs", lines, (folder / "report/report.md").read_text()


def test_the_average_is_the_mean_over_tasks_of_means_over_languages(table):
    outputs, lines, _ = table
    for setting in ("direct", "mnli"):
        by_hand = np.mean([values(outputs, task, setting).mean() for task in ("xnli", "pawsx")])
        assert float(lines[setting]["average"]) == pytest.approx(by_hand, abs=1e-9)
    assert values(outputs, "pawsx", "direct").shape == (3, 3)  # hi is none of PAWS-X's languages
    gain = float(lines["mnli"]["average"]) - float(lines["direct"]["average"])
    assert float(lines["mnli"]["difference"]) == pytest.approx(gain, abs=1e-9) and gain > 2


def test_a_part_of_a_benchmark_is_told(table):
    _, lines, text = table
    assert "Average over tasks, a part of XTREME" in text and "pawsx 3/7" in text and "xnli 4/15" in text
    assert "lacking: udpos, panx, xquad, mlqa, tydiqa, bucc2018, tatoeba" in text


def test_the_interval_holds_the_average(table):
    _, lines, _ = table
    for line in lines.values():
        low, high = map(float, line["95 % interval"].strip("[]†").split(","))
        assert low < float(line["average"]) < high
        assert 1 < high - low < 10  # three seeds with a spread of a point: Student's t makes much of it


def test_one_task_has_no_average(tmp_path):
    write_run(tmp_path / "outputs/1", "direct", 1, ["en"], ["clean"], 50)
    report.main(["--runs", f"{tmp_path}/outputs/*", "--baseline", f"{tmp_path}/outputs/*",
                 "--output_dir", f"{tmp_path}/report", "--resamples", "100"])  # fmt: skip
    assert not list((tmp_path / "report/tables").glob("average*"))


def test_of_question_answering_both_metrics_count():
    columns, score = main_statistic(TARGETS["xquad"])
    assert columns == ("f1", "exact_match", "examples")
    assert score(np.array([3.0, 2.0, 4.0])) == pytest.approx(62.5)  # F1 75, exact match 50
    columns, score = main_statistic(TARGETS["panx"])
    assert score(np.array([2.0, 4.0, 4.0])) == pytest.approx(50)


def test_variances_of_independent_tasks_add_up():
    first = Difference(60.0, 4.0, 100, (Side(3, 1.0, 3.0), Side(2, 1.0, 0.5)))
    second = Difference(70.0, 4.0, 80, (Side(3, 1.0, 0.5), Side(3, 1.0, 8.0)))
    mean = mean_of([first, second])
    assert mean.value == 65 and mean.v == 2 and mean.clusters == 80 and not mean.single
    assert [(side.n, side.w, side.s2) for side in mean.sides] == [
        (3, 0.25, 0.75), (2, 0.25, 0.125), (3, 0.25, 0.125), (3, 0.25, 2.0)
    ]  # fmt: skip
    nothing_trained = second._replace(sides=(Side(1, 0.0, 0.0), Side(1, 0.0, 0.0)))
    with_retrieval = mean_of([first, nothing_trained])
    assert with_retrieval.v == 2 and not with_retrieval.single and len(with_retrieval.sides) == 2
    assert mean_of([nothing_trained, nothing_trained]).single


def test_a_mean_over_tasks_with_one_run_on_a_side_is_about_that_run():
    one_run = Difference(60.0, 4.0, 100, (Side(1, 0.0, 0.0), Side(3, 1.0, 0.5)))
    assert mean_of([one_run, one_run]).single


def test_intervals_of_averages_hold_the_truth():
    """Two tasks, three seeds each, spread over seeds and over examples: 95 % of the intervals hold the true mean."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(300):
        parts = []
        for _ in range(2):
            chance, truth = np.clip(0.6 + random.normal(0, 0.01, 3), 0, 1), 60
            right = random.random((400, 1)) < chance  # [examples, seeds]: all seeds find the same examples hard
            drawn = random.multinomial(400, np.full(400, 1 / 400), 200)  # [resamples, examples]
            parts.append(level((100 * right.mean(0), 100 * (drawn @ right) / 400), 400))
        (low,), (high,), _ = intervals([mean_of(parts)])
        inside += low <= truth <= high
    assert stats.binom.cdf(inside, 300, 0.95) > 0.001


# --- score.py


@pytest.fixture
def submission(tmp_path):
    """(folders of two runs, labels): XNLI right in de and half right in en, PAWS-X half right in both."""
    guesses = {"xnli": {"de": "neutral entailment", "en": "neutral neutral"}, "pawsx": {"de": "0 0", "en": "1 1"}}
    golds = {"xnli": "neutral entailment", "pawsx": "0 1"}
    for task, of_task in guesses.items():
        for code, guess in of_task.items():
            for folder, text in ((f"{task}-run", guess), ("labels", golds[task])):
                path = tmp_path / folder / task / f"test-{code}.tsv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.replace(" ", "\n") + "\n")
    return [tmp_path / "xnli-run", tmp_path / "pawsx-run"], tmp_path / "labels"


def test_the_folders_of_several_runs_are_one_submission(submission, capsys):
    folders, labels = submission
    scores = evaluate_folder(folders, labels, chosen=["de", "en"])
    assert scores["xnli"]["metric"] == 75 and scores["pawsx"]["metric"] == 50
    assert scores["groups"] == {"classification": 62.5} and scores["overall"] is None
    assert scores["missing"]["panx"] == {"de": "no prediction file", "en": "no prediction file"}
    whole = evaluate_folder(folders, labels)
    assert whole["groups"] == {} and len(whole["missing"]["xnli"]) == 13 and "languages" not in whole
    shown = score.table(scores, "xtreme")
    assert "xnli   75.00     75.00  2/2" in shown and "missing  panx (no prediction file):  all languages" in shown


def test_an_average_of_some_languages_says_so(submission, monkeypatch):
    folders, labels = submission
    monkeypatch.setitem(score.BENCHMARKS, "xtreme", {"classification": ("pawsx", "xnli")})
    scores = evaluate_folder(folders, labels, chosen=["de", "en"])
    assert scores["overall"] == 62.5
    assert "overall  62.50 (not XTREME's: de en alone)" in score.table(scores, "xtreme")


def test_two_folders_of_one_task_and_unknown_languages_are_refused(submission, capsys):
    folders, labels = submission
    with pytest.raises(InputError, match="are both of xnli; leave one out"):
        evaluate_folder([folders[0], folders[0]], labels)
    with pytest.raises(SystemExit):
        score.main(["--predictions", *map(str, folders), "--labels", str(labels), "--languages", "dee"])
    assert "--languages dee: unknown language; did you mean 'de'?" in capsys.readouterr().err
