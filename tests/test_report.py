"""report.py on invented runs: settings, tables against numbers computed by hand, what is missing or not comparable."""

import csv
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from simulated_runs import conditions, write_run

import compare
import perturb
import report
import run_xtreme
from reporting import measure, parts, statistics, tables, write
from reporting.runs import load_runs
from reporting.seen import mark, operations_in, seen_operations

ROOT = Path(report.__file__).resolve().parent
LANGUAGES = ["en", "de", "hi", "zh"]
SEEDS = (1, 2, 3, 4, 5)
NAMES = conditions(5)  # clean keyboard-1 keyboard-2 keyboard-3 swap-1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """direct and mnli with five seeds each; mnli is better by 2 points."""
    folder = tmp_path_factory.mktemp("outputs")
    for setting, clean in (("direct", 0.70), ("mnli", 0.72)):
        for seed in SEEDS:
            write_run(
                folder / f"{setting}-{seed}", setting, seed, LANGUAGES, NAMES, 2000, clean=clean, seed_effect=1e-3
            )
    return folder


@pytest.fixture
def outputs(made, tmp_path):
    return shutil.copytree(made, tmp_path / "outputs")


def flags(folder, *more, runs="*", baseline="direct-*"):
    """The command line of a report, written beside the folder of runs."""
    compared = ["--runs", f"{folder}/{runs}", "--baseline", f"{folder}/{baseline}"]
    return [*compared, "--output_dir", str(folder.parent / "report"), "--resamples", "200", *more]


def studies(folder):
    """{task: measured Study}"""
    runs, _, _, baselines, _ = load_runs([f"{folder}/*"], [f"{folder}/direct-*"])
    opened = [
        measure.open_study(task, baselines[task], [run for run in runs if run.task == task]) for task in baselines
    ]
    measure.measure_all(opened, 200, 0)
    return {study.task: study for study in opened}


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def change(folder, **values):
    (folder / "run.json").write_text(json.dumps({**record_of(folder), **values}))


def results_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def write_results(folder, results):
    (folder / "results.jsonl").write_text("".join(json.dumps(result) + "\n" for result in results))


def lines_of(folder, name):
    """A table of the report as written, as dictionaries by its header."""
    with open(folder / "report" / "tables" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by(column, folder, name):
    return {line[column]: line for line in lines_of(folder, name)}


def correct(folder, condition, language):
    lines = (folder / "scores" / condition / "xnli" / f"test-{language}.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["correct"] for line in lines])


# --- Numbers


def test_tables_hold_what_can_be_computed_by_hand(outputs):
    report.main(flags(outputs))
    means, flips = [], []
    for seed in SEEDS:
        folder = outputs / f"mnli-{seed}"
        right = {(name, code): correct(folder, name, code) for name in NAMES for code in LANGUAGES}
        score = {name: 100 * np.mean([right[name, code].mean() for code in LANGUAGES]) for name in NAMES}
        lost = {
            name: 100 * np.mean([(right["clean", code] > right[name, code]).mean() for code in LANGUAGES])
            for name in NAMES
        }
        noisy, flipped = (
            (np.mean([one[f"keyboard-{level}"] for level in (1, 2, 3)]) + one["swap-1"]) / 2 for one in (score, lost)
        )
        means.append((score["clean"], noisy))
        flips.append(flipped)
    clean, noisy = np.mean(means, axis=0)
    settings = by("setting", outputs.parent, "xnli-robustness")
    mnli = {name: float(value) for name, value in settings["mnli"].items() if name != "setting"}
    assert (mnli["clean"], mnli["noisy (mPC)"], mnli["gap Δ"]) == pytest.approx((clean, noisy, clean - noisy))
    above = [100 * (after - 100 / 3) / (before - 100 / 3) for before, after in means]  # no guess known: 1 of 3 labels
    assert mnli["rPC above chance"] == pytest.approx(np.mean(above))
    assert mnli["right → wrong"] == pytest.approx(np.mean(flips))
    assert float(settings["direct"]["mCE"]) == pytest.approx(100, abs=0.5) and mnli["mCE"] < 99
    assert mnli["slope"] < -1
    table = by("language", outputs.parent, "xnli-clean")
    german = [100 * correct(outputs / f"mnli-{seed}", "clean", "de").mean() for seed in SEEDS]
    assert float(table["de"]["mnli"]) == pytest.approx(np.mean(german))
    foreign = [float(table[code]["mnli"]) for code in ("de", "hi", "zh")]
    assert float(table["all but English"]["mnli"]) == pytest.approx(np.mean(foreign))
    wanted = {"non-Latin scripts", "script Deva", "family Sino-Tibetan", "seen in pretraining", "worst script"}
    assert wanted <= by("languages", outputs.parent, "xnli-groups").keys()


def test_a_planted_difference_is_found_among_the_primary_comparisons(outputs):
    report.main(flags(outputs))
    lines = lines_of(outputs.parent, "primary")
    assert [(line["task"], line["setting"], line["score"]) for line in lines] == [
        ("xnli", "mnli", "clean text"),
        ("xnli", "mnli", "under noise"),
    ]
    for line in lines:
        low, high = float(line["95 % interval, low"]), float(line["95 % interval, high"])
        assert 1 < float(line["difference"]) < 3 and low < 2 < high and float(line["p (Holm)"]) < 0.05
        better = line["languages better (p), number"], float(line["languages better (p), p"])
        assert better == ("3", 0.25) and (line["runs better"], line["runs"]) == ("100.0", "5 seeds")
    secondary = lines_of(outputs.parent, "xnli-differences")
    names = {(line["score"], line["languages"]) for line in secondary}
    assert ("gap", "non-Latin scripts") in names and "p (Holm)" not in secondary[0]
    assert all(float(line["p (BH)"]) > 0.05 for line in secondary if line["score"] == "gap")
    examples = {line["examples"] for line in secondary if line["languages"] == "all but English"}
    assert examples == {"6000"} and {line["seeds"] for line in secondary} == {"5 and 5"}
    of = {(line["score"], line["languages"]): float(line["difference"]) for line in secondary}
    assert of["clean", "non-Latin minus Latin"] == pytest.approx(
        of["clean", "non-Latin scripts"] - of["clean", "Latin but English"]
    )
    gain = {
        code: np.mean([correct(outputs / f"mnli-{seed}", "clean", code).mean()
                       - correct(outputs / f"direct-{seed}", "clean", code).mean() for seed in SEEDS])
        for code in ("de", "hi", "zh")
    }  # fmt: skip
    by_hand = 100 * ((gain["hi"] + gain["zh"]) / 2 - gain["de"])
    assert of["clean", "non-Latin minus Latin"] == pytest.approx(by_hand)


def test_the_answer_is_a_sentence_with_the_numbers_of_the_table(outputs):
    report.main(flags(outputs))
    text = (outputs.parent / "report/report.md").read_text()
    clean, noisy = lines_of(outputs.parent, "primary")
    low, high = float(noisy["95 % interval, low"]), float(noisy["95 % interval, high"])
    said = f"accuracy under noise is {float(noisy['difference']):.1f} points higher (95 %: {low:.1f} to {high:.1f}; "
    said += "better in 3 of 3 languages; 5 seeds, one encoder)"
    assert " points higher outside English than without intermediate training (95 %: " in text
    assert "After MNLI, accuracy on clean text is " in text and said in text
    assert "mnli had one phase-2 encoder" in text  # what the data cannot say
    captions = re.findall(r"(?m)^.*(?:accuracy|Points by|Means over).*$", text)
    assert sum("Given one phase-2 encoder" in caption for caption in captions) == 7  # every table


def test_seen_and_unseen_noise_are_told_apart(outputs):
    report.main(flags(outputs))
    assert not (outputs.parent / "report/tables/xnli-seen.csv").exists()
    assert "in training" not in lines_of(outputs.parent, "xnli-operations")[0]
    noise = {"op": "keyboard", "levels": [1, 2, 3], "share": 0.5}
    for seed in SEEDS:
        folder = outputs / f"mnli-{seed}"
        change(folder, training={**record_of(folder)["training"], "train_noise": noise})
    report.main(flags(outputs))
    lines = by("in training", outputs.parent, "xnli-seen")
    for which, names in (("seen", ["keyboard-1", "keyboard-2", "keyboard-3"]), ("unseen", ["swap-1"])):
        means = [
            np.mean([correct(outputs / f"{setting}-{seed}", name, code).mean()
                     for seed in SEEDS for name in names for code in LANGUAGES])
            for setting in ("mnli", "direct")
        ]  # fmt: skip
        line = lines[which]
        assert (line["setting"], line["operations"]) == ("mnli, noise keyboard", names[0][:-2])
        assert float(line["difference"]) == pytest.approx(100 * (means[0] - means[1]))
        assert float(line["95 % interval, low"]) < float(line["difference"]) < float(line["95 % interval, high"])
        assert line["languages"] == "4"
    marks = {(line["condition"], line["setting"]): line["in training"] for line in
             lines_of(outputs.parent, "xnli-operations")}  # fmt: skip
    assert (
        marks["keyboard-2", "mnli, noise keyboard"] == "seen" and marks["swap-1", "mnli, noise keyboard"] == "unseen"
    )
    assert marks["swap-1", "direct"] == ""


def test_mixed_contains_its_operations(outputs):
    for seed in SEEDS:  # of a run that only predicts, what its ancestors' commands say
        parent = record_of(outputs / f"mnli-{seed}")["parent"]
        command = "python run_intermediate.py --do_train --tasks mnli --train_noise mixed:1-2"
        change(outputs / f"mnli-{seed}", parent={**parent, "command": command})
    study = studies(outputs)["xnli"]
    (seen,) = seen_operations(study).values()
    assert {"mixed", "keyboard", "swap", "delete", "whitespace"} <= seen and not {"homoglyph", "ocr"} & seen
    assert [mark(op, seen) for op in ("mixed", "swap", "ocr")] == ["seen", "seen", "unseen"]
    assert [mark("mixed", {op}) for op in ("keyboard", "ocr")] == ["in part", "unseen"]
    assert "whitespace" not in operations_in("mixed", one_token=True)


def test_two_encoders_with_two_seeds_each_are_two(outputs):
    for folder, encoder in (("mnli-1", "a"), ("mnli-2", "a"), ("mnli-3", "b"), ("mnli-4", "b")):
        change(outputs / folder, parent={**record_of(outputs / folder)["parent"], "checkpoint": encoder})
    shutil.rmtree(outputs / "mnli-5")
    study = studies(outputs)["xnli"]
    assert study.units("mnli") == [[5, 6], [7, 8]] and len(study.units("direct")) == 5
    assert (study.encoders("mnli"), study.encoders("direct")) == (2, 0)
    one = measure.compare(study, ["de", "hi", "zh"], "clean")[0]["mnli"]
    means = [np.mean([100 * correct(outputs / f"mnli-{seed}", "clean", code).mean() for seed in pair
                      for code in ("de", "hi", "zh")]) for pair in ((1, 2), (3, 4))]  # fmt: skip
    own, base = one.sides
    assert (own.n, base.n) == (2, 5) and own.s2 == pytest.approx(np.var(means, ddof=1))
    report.main(flags(outputs))
    assert by("setting", outputs.parent, "primary")["mnli"]["runs"] == "2 encoders / 5 seeds"
    assert "phase-2 encoder" not in (outputs.parent / "report/report.md").read_text()


def test_the_transfer_gap_is_over_the_noise_that_both_languages_have(outputs):
    """The keyboard takes more than swap; where zh has no keyboard, English's keyboard says nothing of it."""
    without_keyboard(outputs, "zh")
    report.main(flags(outputs))
    gaps = []
    for seed in SEEDS:

        def gap(code, names, folder=outputs / f"mnli-{seed}"):
            return 100 * (
                correct(folder, "clean", code).mean() - np.mean([correct(folder, name, code) for name in names])
            )

        swap, keyboard = ["swap-1"], [f"keyboard-{level}" for level in (1, 2, 3)]
        both = {code: (gap(code, swap) + gap(code, keyboard)) / 2 for code in ("en", "de", "hi")}
        gaps.append(np.mean([both["de"] - both["en"], both["hi"] - both["en"], gap("zh", swap) - gap("en", swap)]))
    mnli = by("setting", outputs.parent, "xnli-robustness")["mnli"]
    assert float(mnli["transfer gap"]) == pytest.approx(np.mean(gaps))
    group = by("languages", outputs.parent, "xnli-groups")["all languages"]  # under swap, which all have
    swapped = [correct(outputs / f"mnli-{seed}", "swap-1", code).mean() for seed in SEEDS for code in LANGUAGES]
    assert float(group["mnli"]) == pytest.approx(100 * np.mean(swapped))


def test_worst_of_more_draws_is_never_better(outputs):
    """English lacks a draw: no column is over other languages than the column beside it."""
    for folder in outputs.iterdir():
        text = {name: (folder / name).read_text() for name in ("results.jsonl", "run.json")}
        for draw, name in ((1, "keyboard-2"), (2, "keyboard-3")):
            text = {file: words.replace(name, f"keyboard-1-r{draw}") for file, words in text.items()}
            (folder / "scores" / name).rename(folder / "scores" / f"keyboard-1-r{draw}")
        text["run.json"] = re.sub(r'"level": [23]', '"level": 1', text["run.json"])
        for name, words in text.items():
            (folder / name).write_text(words)
        drop(folder, "en", "keyboard-1-r2")
    study = studies(outputs)["xnli"]
    assert set(study.measured["en"].worst) == {1, 2} and set(study.measured["de"].worst) == {1, 2, 3}
    columns = tables.robustness(study)
    assert [name for name in columns if name.startswith("worst")] == ["worst of 1", "worst of 2"]
    assert (columns["worst of 1"] >= columns["worst of 2"]).all()


def test_a_language_at_the_floor_is_named_and_in_no_robustness_mean(outputs):
    """8.8 F1 unmoved by noise is no robustness: PAN-X of zh, scored as a share of right answers here."""
    for folder in outputs.iterdir():
        results = results_of(folder)
        for result in results:
            result["constant_guess"] = 65.0 if result["language"] == "zh" else 33.0
        write_results(folder, results)
    study = studies(outputs)["xnli"]
    assert study.guess("zh") == 65 and set(study.floor) == {"zh"} and study.floor["zh"] == ["direct", "mnli"]
    report.main(flags(outputs))
    text = (outputs.parent / "report/report.md").read_text()
    assert "near chance even on clean text" in text and "zh (" in text
    lines = by("setting", outputs.parent, "xnli-robustness")
    means = [
        100 * correct(outputs / f"mnli-{seed}", "clean", code).mean() for seed in SEEDS for code in ("en", "de", "hi")
    ]
    assert float(lines["mnli"]["clean"]) == pytest.approx(np.mean(means))
    assert by("language", outputs.parent, "xnli-clean")["zh"]["note"] == "near chance: direct, mnli"
    (gap,) = (
        line for line in lines_of(outputs.parent, "xnli-differences")
        if (line["score"], line["languages"]) == ("gap", "all but English")
    )  # fmt: skip
    assert gap["number"] == "2"


def test_every_score_of_every_run_is_in_the_long_table(outputs):
    report.main(flags(outputs))
    with open(outputs.parent / "report/scores.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 10 * len(LANGUAGES) * len(NAMES)
    cell = str(outputs / "mnli-2"), "zh", "keyboard-3"
    (line,) = (line for line in lines if (line["run"], line["language"], line["condition"]) == cell)
    assert float(line["percent"]) == pytest.approx(100 * correct(outputs / "mnli-2", "keyboard-3", "zh").mean())
    about = [line[name] for name in ("setting", "seed", "operation", "level", "realised_rate")]
    assert about == ["mnli", "2", "keyboard", "3", "0.05"]


def test_the_same_runs_give_the_same_report(outputs):
    def contents():
        report.main(flags(outputs))
        return {path: path.read_bytes() for path in (outputs.parent / "report").rglob("*") if path.is_file()}

    assert contents() == contents()


def test_several_processes_measure_what_one_does(made, monkeypatch):
    one = studies(made)["xnli"]
    monkeypatch.setattr(measure, "PER_PROCESS", 30)
    two = studies(made)["xnli"]
    for code in LANGUAGES:
        assert (one.measured[code].resamples == two.measured[code].resamples).all()


def test_what_every_number_asks_for_is_computed_once(outputs, monkeypatch):
    """The languages near chance, and which columns have numbers: for each line anew they took half of the time."""
    study, asked, clean, numeric = studies(outputs)["xnli"], [], measure.Study.clean, parts.Table.numeric.fget
    monkeypatch.setattr(measure.Study, "clean", lambda study, *cell: asked.append(cell) or clean(study, *cell))
    monkeypatch.setattr(parts.Table, "numeric", property(lambda table: asked.append(table.name) or numeric(table)))
    keys = dict.fromkeys(study.settings, "")
    for table in (tables.robustness_table(study, keys), tables.differences_table(study, keys, "", by_language=True)):
        assert len(write.table_lines(table)) > 2
    once = [*product(study.settings, study.languages), "xnli-robustness", "xnli-differences-by-language"]
    assert sorted(map(str, asked)) == sorted(map(str, once))


def test_parallel_examples_share_draws_by_id_where_a_language_lacks_one(outputs):
    """German lacks its third line: each other example stands where English has it."""
    for folder in outputs.iterdir():
        results = results_of(folder)
        for result in results:
            if result["language"] == "de":
                path = folder / "scores" / result["condition"] / "xnli/test-de.jsonl"
                lines = path.read_text().splitlines(keepends=True)
                path.write_text("".join(lines[:2] + lines[3:]))
                right = correct(folder, result["condition"], "de")
                result.update(n=1999, value=100 * float(right.mean()))
        write_results(folder, results)
    study = studies(outputs)["xnli"]
    assert study.clusters == 2000 and study.places["en"].tolist() == list(range(2000))
    assert study.places["de"].tolist() == [0, 1, *range(3, 2000)]
    right = correct(outputs / "direct-1", "clean", "de")
    times = statistics.draws(2000, 200, 0)[0][study.places["de"]]
    assert study.measured["de"].resamples[0, 0, 0] == pytest.approx(100 * (times @ right) / times.sum(), abs=1e-3)


def test_limits_name_the_ceiling(outputs):
    for seed in SEEDS:
        write_run(outputs / f"direct-{seed}", "direct", seed, LANGUAGES, NAMES, 2000, clean=2.0)
    report.main(flags(outputs))
    assert "direct is at the ceiling on clean text" in (outputs.parent / "report/report.md").read_text()


def test_words_lost_are_counted_within_sentences():
    """Two sentences of 4 words: 4 and 2 right when clean; noise leaves 3 and 3: one word lost, the gain is none."""
    parts = [{"correct_tokens": np.array(right), "tokens": np.array([4, 4])} for right in ([4, 2], [3, 3])]
    assert measure.lost_words(parts, (1, 2)).tolist() == [[100 * 1 / 8]]
    assert measure.lost_words([{"correct": np.array([1])}] * 2, (1, 2)) is None


def test_question_answering_is_resampled_by_paragraph(outputs):
    for folder in outputs.iterdir():
        change(folder, task="xquad")
        results = results_of(folder)
        for result in results:
            scores, name = folder / "scores" / result["condition"], f"test-{result['language']}.jsonl"
            lines = []
            for line in (scores / "xnli" / name).read_text().splitlines():
                counts = json.loads(line)
                right, paragraph = counts["correct"], int(counts["id"]) // 10
                answer = {"id": counts["id"], "paragraph": paragraph, "exact_match": right, "f1": float(right)}
                lines.append(json.dumps(answer) + "\n")
            (scores / "xquad").mkdir(exist_ok=True)
            (scores / "xquad" / name).write_text("".join(lines))
            result.update(task="xquad", metric="f1")
        write_results(folder, results)
    one = studies(outputs)["xquad"].measured["de"]
    assert (one.examples, one.clusters) == (2000, 200)


def test_compare_prints_the_primary_table(outputs, capsys, monkeypatch):
    report.main(flags(outputs))
    clean, noisy = lines_of(outputs.parent, "primary")
    sides = [f"{outputs}/mnli-*", "--baseline", f"{outputs}/direct-*", "--resamples", "200"]
    for width, color, paint in (
        (140, "always", "\033[32m"),
        (140, "never", ""),
        (50, "always", "\033[32m"),
        (50, "auto", ""),
    ):
        monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        compare.main([*sides, "--color", color])
        told = capsys.readouterr().out
        rows = [line for line in told.splitlines() if "xnli mnli" in line]
        assert [f"{float(line['difference']):+.1f}" in row for line, row in zip((clean, noisy), rows)] == [True, True]
        assert all(row.startswith(paint) for row in rows) and ("\033" in told) == bool(paint)
        plain = re.sub("\033.*?m", "", told)
        assert max(map(len, plain.splitlines())) <= width and "xnli: After MNLI, accuracy" in plain
        assert "3 of 3" in plain and "one phase-2 encoder" in " ".join(plain.split())


# --- What is left out


def drop(folder, language, condition):
    results = results_of(folder)
    write_results(folder, [one for one in results if (one["language"], one["condition"]) != (language, condition)])


def test_missing_cells_are_listed_and_enter_no_mean(outputs):
    drop(outputs / "mnli-2", "hi", "keyboard-3")
    drop(outputs / "direct-1", "zh", "clean")
    study = studies(outputs)["xnli"]
    assert study.languages == ["en", "de", "hi"]
    assert [name for name, _, _ in study.measured["hi"].conditions] == ["keyboard-1", "keyboard-2", "swap-1"]
    assert study.missing == [("hi", "keyboard-3", str(outputs / "mnli-2")), ("zh", "clean", str(outputs / "direct-1"))]
    report.main(flags(outputs))
    lines = lines_of(outputs.parent, "missing")
    assert [(line["conditions"], line["languages"]) for line in lines] == [("keyboard-3", "hi"), ("clean", "zh")]


def without_keyboard(outputs, language):
    for folder in outputs.iterdir():
        noise = record_of(folder)["conditions"]
        for level in (1, 2, 3):
            drop(folder, language, f"keyboard-{level}")
            noise[f"keyboard-{level}"]["not_applicable"] = {language: "does not apply to the script Hans"}
            del noise[f"keyboard-{level}"]["realised"][language]
        change(folder, conditions=noise)


def test_operations_that_do_not_apply_are_not_missing(outputs):
    without_keyboard(outputs, "zh")
    study = studies(outputs)["xnli"]
    assert not study.missing and len(study.not_applicable) == 3
    zh = study.measured["zh"]
    assert zh.points[:, 1] == pytest.approx(zh.scores[:, 1])
    assert np.isnan(zh.points[:, study.quantities.index("keyboard")]).all()
    points, _, having = measure.over_languages(study, LANGUAGES, "keyboard")
    assert len(having) == 3 and np.isfinite(points).all()
    report.main(flags(outputs))
    lines = by("condition", outputs.parent, "xnli-operations")
    assert (lines["keyboard-1"]["languages"], lines["swap-1"]["languages"]) == ("en de hi", "en de hi zh")
    assert lines["keyboard-1"]["score"] == lines["keyboard-1"]["common languages"]
    swapped = [
        correct(outputs / f"mnli-{seed}", "swap-1", code).mean() for seed in SEEDS for code in ("en", "de", "hi")
    ]
    assert float(lines["swap-1"]["common languages"]) == pytest.approx(100 * np.mean(swapped))
    (line,) = lines_of(outputs.parent, "not-applicable")
    assert (line["conditions"], line["languages"]) == ("keyboard-1 keyboard-2 keyboard-3", "zh")


def test_level_0_is_no_noise(outputs):
    for folder in outputs.iterdir():
        for name in ("results.jsonl", "run.json"):
            text = (folder / name).read_text().replace("keyboard-1", "keyboard-0")
            (folder / name).write_text(text.replace('"level": 1,', '"level": null,'))
        (folder / "scores/keyboard-1").rename(folder / "scores/keyboard-0")
    names = [name for name, _, _ in studies(outputs)["xnli"].measured["de"].conditions]
    assert names == ["keyboard-2", "keyboard-3", "swap-1"]


def test_a_collapsed_seed_is_shown_and_left_out(outputs):
    collapse(outputs / "mnli-3")
    assert len(studies(outputs)["xnli"].runs) == 9
    report.main(flags(outputs))
    text = (outputs.parent / "report/report.md").read_text()
    assert "collapsed: 2000 of 2000 predictions for en are 'neutral'" in text
    assert {line["seeds"] for line in lines_of(outputs.parent, "xnli-differences")} == {"4 and 5"}
    assert "- xnli: collapsed and left out: 1 of mnli. Differences are between the runs that learned" in text
    predictions = outputs / "mnli-3/predictions/clean/xnli/test-en.tsv"
    predictions.write_text("neutral\n" * 1000 + "entailment\n" * 1000)
    assert len(studies(outputs)["xnli"].runs) == 10


def test_with_one_seed_on_a_side_there_is_no_p_whatever_others_spread(outputs):
    for runs, baseline, seeds in (("mnli-1", "direct-1", "1 and 1"), ("mnli-*", "direct-1", "5 and 1")):
        report.main(flags(outputs, runs=runs, baseline=baseline))
        for line in lines_of(outputs.parent, "xnli-differences"):
            assert line["seeds"] == seeds and line["p"] == line["p (BH)"] in ("", "n/a")
        assert all(line["p (Holm)"] in ("", "n/a") for line in lines_of(outputs.parent, "primary"))
        text = (outputs.parent / "report/report.md").read_text()
        assert all("†" in line for line in text.splitlines() if line.startswith("| mnli | clean | "))
        assert "One run on a side, so other runs may differ by more." in text and "one run of direct" in text


# --- Settings


def test_settings_are_named_after_how_the_encoder_was_made(outputs):
    def settings(baseline="direct-*"):
        runs, _, _, baselines, _ = load_runs([f"{outputs}/*"], [f"{outputs}/{baseline}"])
        return {run.folder.name[:-2]: run.setting for run in runs}, baselines["xnli"]

    mnli = record_of(outputs / "mnli-1")["parent"]
    mlm = {**mnli, "path": "outputs/mlm", "checkpoint": "m", "task": "mlm"}
    for folder in outputs.iterdir():
        change(folder, parent=mlm if folder.name.startswith("direct") else {**mnli, "parent": mlm})
    assert settings() == ({"direct": "direct", "mnli": "mnli"}, "direct")
    assert settings("mnli-*")[1] == "mnli"  # a name does not depend on what it is compared with
    write_run(outputs / "large-1", "direct", 1, LANGUAGES, NAMES, 2000)
    change(outputs / "large-1", parent={**mnli["parent"], "path": "models/xlm-roberta-large", "checkpoint": "large"})
    base = "xlm-roberta-base > mlm"
    assert settings()[0] == {"direct": base, "mnli": f"{base} > mnli", "large": "xlm-roberta-large"}


def test_the_user_can_name_settings(outputs):
    change(outputs / "mnli-3", training={**record_of(outputs / "mnli-3")["training"], "learning_rate": 1})
    runs, *_ = load_runs([f"{outputs}/mnli-[12]", f"fast={outputs}/mnli-3"], [f"{outputs}/direct-*"])
    assert sorted({run.setting for run in runs}) == ["direct", "fast", "mnli"]


def test_phase_2_folders_are_skipped_with_a_note(outputs, capsys):
    (outputs / "mnli").mkdir()
    (outputs / "mnli/run.json").write_text('{"task": "mnli"}')
    (outputs / "logs").mkdir()
    report.main(flags(outputs))
    told = capsys.readouterr().out
    assert f"{outputs / 'mnli'}: skipped, a run of phase 2" in told
    assert f"{outputs / 'logs'}: skipped, it has no run.json" in told


def test_retrieval_under_noise_is_compared_too(toy, tmp_path):
    """BUCC's counts list other sentences in each run, Tatoeba has no ids; two untrained encoders are two settings."""
    data, noised, tasks = f"{toy}/xtreme", tmp_path / "noised", ("bucc2018", "tatoeba")
    perturb.main(
        ["--data_dir", data, "--output_dir", str(noised), "--ops", "swap", "--levels", "2", "--tasks", *tasks]
    )
    shutil.copytree(toy / "model", tmp_path / "other")
    config = json.loads((tmp_path / "other/config.json").read_text())
    (tmp_path / "other/config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    for name, model in (("direct", toy / "model"), ("other", tmp_path / "other")):
        for task in tasks:
            argv = ["--task", task, "--data_dir", data, "--model_name_or_path", str(model), "--do_predict"]
            argv += ["--output_dir", f"{tmp_path}/outputs/{name}-{task}", "--languages", "de", "ru"]
            argv += ["--conditions", f"clean={data}", f"swap-2={noised}/swap-2", "--disable_tqdm", "true"]
            run_xtreme.main(argv)
    report.main(flags(tmp_path / "outputs"))
    for task in tasks:
        settings = by("setting", tmp_path, f"{task}-robustness")
        assert set(settings) == {"model", "other"} and 0 <= float(settings["model"]["noisy (mPC)"]) <= 100


# --- Bad input


def edit_line(path, number, old, new):
    lines = path.read_text().splitlines()
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    path.write_text("\n".join(lines) + "\n")


def cut_short(outputs):
    record = record_of(outputs / "mnli-1")
    del record["finished_at"]
    (outputs / "mnli-1/run.json").write_text(json.dumps(record))


def collapse(folder):
    path = folder / "predictions/clean/xnli/test-en.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("neutral\n" * 2000)


def other_task(outputs):
    change(outputs / "mnli-1", task="pawsx")
    path = outputs / "mnli-1/results.jsonl"
    path.write_text(path.read_text().replace('"xnli"', '"pawsx"'))


def results_twice(outputs):
    write_results(outputs / "mnli-1", 2 * results_of(outputs / "mnli-1"))


def counts_of_another_language(outputs):
    scores = outputs / "mnli-1/scores/clean/xnli"
    shutil.copy(scores / "test-de.jsonl", scores / "test-hi.jsonl")


def other_manifests(outputs):
    edit_line(outputs / "mnli-1/results.jsonl", 2, '"data": "clean de"', '"data": null')
    change(outputs / "mnli-1", data_manifest="abc")
    for seed in SEEDS:
        change(outputs / f"direct-{seed}", data_manifest="xyz")


def another_way_to_the_encoder(outputs):
    command = "python run_intermediate.py --tasks mnli --learning_rate 1"
    parent = {"checkpoint": "x", "task": "mnli", "command": command, "parent": {"checkpoint": "root"}}
    change(outputs / "mnli-2", parent=parent)


def in_results(number, old, new):
    return lambda outputs: edit_line(outputs / "mnli-1/results.jsonl", number, old, new)


def in_counts(number, old, new):
    return lambda outputs: edit_line(outputs / "mnli-1/scores/clean/xnli/test-de.jsonl", number, old, new)


def without(name):
    return lambda outputs: (outputs / "mnli-1" / name).unlink()


def with_text(name, text):
    return lambda outputs: (outputs / "mnli-1" / name).write_text(text)


# what is wrong -> (how it comes about, what the message names)
BAD = {
    "a run of another task": (other_task, ["mnli-1", "pawsx", "--baseline"]),
    "a run cut short": (cut_short, ["mnli-1", "cut short", "python run_xtreme.py"]),
    "no results": (without("results.jsonl"), ["mnli-1/results.jsonl", "missing", "--do_predict"]),
    "empty results": (with_text("results.jsonl", ""), ["mnli-1/results.jsonl", "empty", "--do_predict"]),
    "a corrupt line": (in_results(3, '"task"', '"tas'), ["mnli-1/results.jsonl, line 3", "broken"]),
    "a corrupt count": (in_counts(7, '"correct"', '"corr'), ["clean/xnli/test-de.jsonl, line 7", "broken"]),
    "a count that is no number": (in_counts(7, '"correct": ', '"correct": null, "x": '), ["test-de.jsonl, line 7"]),
    "missing counts": (without("scores/swap-1/xnli/test-de.jsonl"), ["swap-1/xnli/test-de.jsonl", "run.json again"]),
    "counts of another language": (counts_of_another_language, ["mnli-1", "hi clean", "results.jsonl"]),
    "a cell twice": (results_twice, ["results.jsonl, lines 1 and 21", "twice"]),
    "a seed twice": (lambda o: shutil.copytree(o / "mnli-1", o / "mnli-6"), ["mnli-1 and", "mnli-6", "seed 1"]),
    "other test files": (
        in_results(2, '"data": "clean de"', '"data": "other"'),
        ["different test files of xnli de clean", "mnli-1", "direct-1"],
    ),
    "other data manifests": (other_manifests, ["xnli de clean", "data manifest abc", "data manifest xyz"]),
    "other numbers of examples": (in_results(2, '"n": 2000', '"n": 1999'), ["1999 examples", "2000 examples"]),
    "other training": (
        lambda outputs: change(outputs / "mnli-2", training={"learning_rate": 1, "seed": 2}),
        ["mnli-1 and", "mnli-2", "learning_rate 1e-05", "NAME="],
    ),
    "another way to the encoder": (another_way_to_the_encoder, ["mnli-2", "commands", "--learning_rate 1", "NAME="]),
    "a broken run.json": (with_text("run.json", "{"), ["mnli-1/run.json", "broken"]),
    "all of the baseline collapsed": (
        lambda outputs: [collapse(outputs / f"direct-{seed}") for seed in SEEDS],
        ["xnli", "baseline direct collapsed"],
    ),
}


def refused(argv, capsys, *parts):
    with pytest.raises(SystemExit) as end:
        report.main(argv)
    told = capsys.readouterr().err
    assert end.value.code == 2 and told.startswith("report.py: error: ") and told.count("\n") == 1, told
    assert all(part in told for part in parts), told


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_compared_is_one_line(outputs, capsys, name):
    spoil, parts = BAD[name]
    spoil(outputs)
    refused(flags(outputs), capsys, *parts)
    assert not (outputs.parent / "report").exists()


def test_wrong_arguments_are_one_line(outputs, capsys, tmp_path):
    refused(["--runs", str(outputs), "--output_dir", "x"], capsys, "--baseline")
    refused(flags(outputs, baseline="nothing-*"), capsys, "--baseline", "nothing-*", "no such folder")
    refused(flags(outputs, runs="nothing"), capsys, "nothing", "no such folder")
    (tmp_path / "empty").mkdir()
    refused(flags(outputs, baseline="../empty"), capsys, "--baseline", "empty", "no run of run_xtreme.py")
    refused(flags(outputs, "--resamples", "10"), capsys, "--resamples 10", "1000")
    refused(flags(outputs, baseline="*"), capsys, "--baseline", "direct and mnli")
    (tmp_path / "report").mkdir()
    (tmp_path / "report/mine.txt").write_text("")
    refused(flags(outputs), capsys, "--output_dir", "not empty", "new folder")


@pytest.mark.parametrize("error, code", [(OSError(28, "No space left on device"), 1), (KeyboardInterrupt(), 130)])
def test_a_full_disk_and_ctrl_c_are_one_line_and_the_same_command_goes_on(outputs, capsys, monkeypatch, error, code):
    def fail(path, data):
        raise error

    def stopped():
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.setattr(write, "write_bytes", fail)
            report.main(flags(outputs))
        told = capsys.readouterr().err
        assert end.value.code == code and told.count("\n") == 1 and "the same command again" in told

    stopped()  # before the first page: the folder is known as ours all the same
    report.main(flags(outputs))
    before = (outputs.parent / "report/index.html").read_bytes()
    stopped()
    assert (outputs.parent / "report/index.html").read_bytes() == before


def test_two_reports_in_one_folder(outputs, capsys):
    folder = outputs.parent / "report"
    folder.mkdir()
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused(flags(outputs), capsys, "--output_dir", "another run is at work in it")
        assert os.listdir(folder) == [".lock"]


# --- The script


def test_a_report_loads_no_torch():
    modules = "import report, sys; from reporting import figures, measure, runs, tables, write"
    code = f"{modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_help_may_be_cut_off_by_head():
    command = f"set -o pipefail; {sys.executable} report.py --help | head -n 1"
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.startswith("usage: report.py")


def test_the_script_runs_with_only_what_its_docstring_names(outputs, tmp_path):
    (copied,) = re.findall(r"Copy with it: (.+)\.\n", report.__doc__)
    copy, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    copy.mkdir()
    elsewhere.mkdir()
    shutil.copy(ROOT / "report.py", copy)
    for name in copied.split():
        (shutil.copytree if name.endswith("/") else shutil.copy)(ROOT / name, copy / name)
    command = [sys.executable, str(copy / "report.py"), *flags(outputs)]
    environment = {**os.environ, "PYTHONPATH": ""}
    ended = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "10 runs, 1 tasks" in ended.stdout and (tmp_path / "report/index.html").stat().st_size > 100_000


def test_the_glossary_of_the_documentation_and_of_each_report_is_that_of_the_tables(outputs):
    report.main(flags(outputs))
    documented = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/report.md").read_text(encoding="utf-8"))
    assert [entry for entry in documented if entry in tables.GLOSSARY] == tables.GLOSSARY
    text = (outputs.parent / "report/report.md").read_text(encoding="utf-8")
    assert all(f"- **{write.plain(term)}**: {write.plain(meaning)}" in text for term, meaning in tables.GLOSSARY)
