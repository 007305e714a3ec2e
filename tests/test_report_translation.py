"""The translation section of a report: its numbers against recomputation, floors, decoder seeds, what is refused."""

import csv
import json

import numpy as np
import pytest
from simulated_runs import RATES, ROOT

import metrics
import report
from common.files import InputError
from reporting import translation
from reporting.measure import measure_all, open_study
from reporting.runs import by_task, load_runs
from reporting.translation import resource_groups

LANGUAGES = ("sw", "te", "wo", "de")
LINES = 60
LEVELS = {"clean": 0, "swap-1": 1, "swap-3": 3}
WORDS = "the a house tree small walks sees to of green river man woman year good runs water long door red".split()


def sentences(seed, number=LINES):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(5, 12))) for _ in range(number)]


def translated(references, kept, random):
    """Outputs in which each word is the reference's with a probability, else any."""
    return [" ".join(word if random.random() < kept else random.choice(WORDS) for word in line.split())
            for line in references]  # fmt: skip


def write_run(folder, setting, seed, kept, freeze="encoder", random_encoder=False, lines=LINES):
    """A finished run of run_translation.py in the documented form; `kept`: words that clean translations get right."""
    random, results, robustness = np.random.default_rng([seed, *map(ord, setting)]), [], []
    for code in LANGUAGES:
        references, outputs = sentences(len(code) + ord(code[0]), lines), {}
        for name, level in LEVELS.items():
            share = kept * (1 - 0.2 * level) * (0.3 if code == "wo" else 1)
            outputs[name] = translated(references, share, random)
            counts = metrics.count("translation", references, outputs[name])
            scores = metrics.aggregate("translation", counts)
            scores |= {"chrf++_other_lines": 15.0, "empty": 2.0 * level, "repeated": 1.0}
            path = folder / "scores" / name / "translation" / f"test-{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row | {"empty": 0}) + "\n" for row in counts))
            predictions = folder / "predictions" / name / "translation" / f"test-{code}.txt"
            predictions.parent.mkdir(parents=True, exist_ok=True)
            predictions.write_text("".join(f"{line}\n" for line in outputs[name]))
            for metric, value in scores.items():
                cell = {"task": "translation", "language": code, "condition": name, "metric": metric, "value": value}
                results.append({**cell, "n": lines, "seed": seed, "data": f"{code} {name}", "constant_guess": None})
            if level:
                row = {"language": code, "condition": name, "op": "swap", "level": level, "consis": 90.0 - 10 * level}
                robustness.append(row)
    robustness.append({"language": "de", "op": "swap", "slope": -1.0, "levels": 2})
    for name, rows in (("results", results), ("robustness", robustness)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [] if setting == "direct" else setting.split(" > ")
    parent = ROOT
    for task in tasks:
        command = f"python run_intermediate.py --tasks {task} --do_train --output_dir outputs/{task}"
        parent = {
            "path": f"outputs/{task}",
            "checkpoint": task,
            "command": command,
            "task": task,
            "seed": 1,
            "parent": parent,
        }
    noise = {name: {"op": "swap", "level": level, "not_applicable": {}, "folder": name,
                    "realised": dict.fromkeys(LANGUAGES, RATES[level])}
             for name, level in LEVELS.items() if level}  # fmt: skip
    training = {"parent": parent["checkpoint"], "freeze": freeze, "random_encoder": random_encoder, "seed": seed}
    record = {
        "task": "translation", "seed": 42, "command": f"python run_translation.py --decoder_seed {seed}",
        "parent": parent,
        "training": {**training, "decoder_seed": seed, "finished": True, "train_languages": ["de"]},
        "conditions": {"clean": {"folder": "data"}, **noise}, "started_at": "now", "finished_at": "now",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three decoder seeds of two encoders, one of them unfrozen too, and of the floor."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1, 2):
        write_run(root / f"mnli-{seed}", "mnli", seed, 0.7)
        write_run(root / f"many-{seed}", "many", seed, 0.85)
        write_run(root / f"many2-{seed}", "many > translation", seed, 0.9, freeze="embeddings")
        write_run(root / f"random-{seed}", "direct", seed, 0.0, random_encoder=True)
    return root


@pytest.fixture(scope="module")
def study(runs):
    loaded, _, _, baselines, _ = load_runs([str(runs / "*")], [str(runs / "mnli-*")])
    (members,) = by_task(loaded).values()
    own = open_study("translation", baselines["translation"], members)
    measure_all([own], 200, 0)
    return own


def table_of(study):
    keys = {name: name for name in study.settings}
    table, by_language = translation.translation_section(study, keys)[0]
    lines = {(line[0], line[1]): dict(zip(table.header, line)) for line in table.lines}
    return table, lines, by_language


def test_settings_are_encoders_and_decoder_seeds_are_runs(study):
    assert study.settings == ["mnli", "many", "many, unfrozen", "random encoder"]
    assert [len(study.units(name)) for name in study.settings] == [3] * 4
    assert study.floors == ["random encoder"]
    assert resource_groups(["sw", "te", "wo", "de", "en", "xx"]) == {
        "seen, low-resource": ["sw", "te"], "unseen": ["wo"], "high-resource": ["de"],
    }  # fmt: skip


def test_numbers_are_those_of_the_files(study, runs):
    _, lines, _ = table_of(study)
    line = lines["many", "seen, low-resource"]
    results = []
    for seed in (0, 1, 2):
        rows = [json.loads(row) for row in (runs / f"many-{seed}/results.jsonl").read_text().splitlines()]
        results.append({(row["language"], row["condition"], row["metric"]): row["value"] for row in rows})
    mean = {
        (metric, name): np.mean([[one[code, name, metric] for code in ("sw", "te")] for one in results])
        for metric in ("bleu", "chrf++") for name in LEVELS
    }  # fmt: skip
    noisy = (mean["chrf++", "swap-1"] + mean["chrf++", "swap-3"]) / 2
    assert line["clean BLEU"].value == pytest.approx(mean["bleu", "clean"])
    assert line["clean chrF++"].value == pytest.approx(mean["chrf++", "clean"])
    assert line["noisy chrF++"].value == pytest.approx(noisy, abs=1e-4)
    assert line["gap"].value == pytest.approx(mean["chrf++", "clean"] - noisy, abs=1e-4)
    ratios = [np.mean([one[code, f"swap-{level}", "chrf++"] for level in (1, 3)]) / one[code, "clean", "chrf++"]
              for one in results for code in ("sw", "te")]  # fmt: skip
    assert line["ROBUST"].value == pytest.approx(np.mean(ratios), abs=1e-5)
    assert line["CONSIS"].value == pytest.approx(70) and line["lines"] == str(LINES)
    assert line["empty"].value == pytest.approx(4) and line["repeated"].value == pytest.approx(1)
    x = 100 * np.array([0, RATES[1], RATES[3]])
    slopes = [
        np.polyfit(x, [one[code, name, "chrf++"] for name in LEVELS], 1)[0] for one in results for code in ("sw", "te")
    ]
    assert line["slope"].value == pytest.approx(np.mean(slopes), abs=1e-4)


def test_differences_are_paired_and_holm_is_over_the_encoders(study):
    table, lines, _ = table_of(study)
    line = lines["many", "high-resource"]
    both = [study.measured["de"].points[study.members(name), 1].mean() for name in ("many", "mnli")]
    assert line["difference"].value == pytest.approx(both[0] - both[1])
    assert line["95 % interval"].low < line["difference"].value < line["95 % interval"].high
    assert line["p (Holm)"].value >= line["p"].value
    for setting in ("mnli", "random encoder"):
        assert lines[setting, "unseen"]["difference"].text == "-"
    assert "over the 6 comparisons" in table.caption and "Floor (random encoder): seen, low-resource" in table.caption


def test_ratios_below_the_floor_are_listed(study):
    _, lines, by_language = table_of(study)
    line = lines["random encoder", "seen, low-resource"]
    assert line["no ratio"] == "sw te" and line["ROBUST"].text == "n/a"  # a floor, whatever it scores
    study.measured["wo"].points[study.members("mnli"), 0] = 19.9
    _, lines, _ = table_of(study)
    assert lines["mnli", "unseen"]["ROBUST"].text == "n/a" and lines["mnli", "unseen"]["no ratio"] == "wo"
    assert by_language.folded and len(by_language.lines) == 4 * len(LANGUAGES)


def test_resamples_are_those_of_recomputation(study, runs):
    """A resample's chrF++ from counts is sacreBLEU's of the resampled lines."""
    from sacrebleu.metrics import CHRF

    from reporting.statistics import draws

    times = draws(study.clusters or LINES, 200, 0)[7]
    outputs = (runs / "mnli-0/predictions/clean/translation/test-de.txt").read_text().splitlines()
    references = sentences(2 + ord("d"))
    chosen = np.repeat(np.arange(LINES), times.astype(int))
    score = CHRF(word_order=2).corpus_score([outputs[i] for i in chosen], [[references[i] for i in chosen]]).score
    member = next(i for i, run in enumerate(study.runs) if run.folder.name == "mnli-0")
    assert study.measured["de"].resamples[7, member, 0] == pytest.approx(score, abs=1e-3)


def test_the_whole_report(runs, tmp_path):
    argv = ["--runs", str(runs / "*"), "--baseline", str(runs / "mnli-*"), "--output_dir", str(tmp_path / "report")]
    report.main([*argv, "--resamples", "100"])
    text = (tmp_path / "report/report.md").read_text()
    assert "Translation by resources of the language" in text and "chrF++" in text
    with open(tmp_path / "report/tables/translation-resources.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 1 + 4 * 3 and "95 % interval, low" in lines[0]
    assert (tmp_path / "report/figures/translation-resources-levels.svg").stat().st_size > 1000
    primary = (tmp_path / "report/tables/primary.csv").read_text()
    assert "random encoder" not in primary and "many" in primary
    assert "does many, many, unfrozen help" in text and "After many, chrF++ on clean text is" in text


def test_permuted_targets_are_a_floor_when_named(runs, tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"permuted-{seed}", "direct", seed, 0.02)
    loaded, *_ = load_runs([str(runs / "many-*"), f"permuted targets={tmp_path}/permuted-*"], [str(runs / "mnli-*")])
    own = open_study("translation", "mnli", loaded)
    assert own.floors == ["permuted targets"]


def test_what_is_broken_is_named(runs, tmp_path):
    folder = write_run(tmp_path / "run", "mnli", 0, 0.7)
    (folder / "robustness.jsonl").write_text('{"consis": "high", "language": "de", "condition": "swap-1"}\n')
    with pytest.raises(InputError, match="robustness.jsonl, line 1: broken"):
        translation.read_consistency(load_runs([str(folder)], [str(folder)])[0][0])


def test_without_noise_clean_scores_are_compared(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "LEVELS", {"clean": 0})
    for setting, kept in (("mnli", 0.7), ("many", 0.85)):
        for seed in (0, 1):
            write_run(tmp_path / f"{setting}-{seed}", setting, seed, kept)
    loaded, *_ = load_runs([str(tmp_path / "*")], [str(tmp_path / "mnli-*")])
    own = open_study("translation", "mnli", loaded)
    measure_all([own], 100, 0)
    tables, drawn = translation.translation_section(own, {name: name for name in own.settings})
    line = dict(zip(tables[0].header, tables[0].lines[-1]))
    assert drawn == [] and line["noisy chrF++"].text == line["ROBUST"].text == line["CONSIS"].text == "n/a"
    assert line["difference"].value > 0 and line["empty"].value == 0 and "clean chrF++ minus" in tables[0].caption


# --- The answer


def means_of(study, setting, codes, column):
    return np.mean([study.measured[code].points[study.members(setting), column].mean() for code in codes])


def test_the_answer_is_about_low_resource_languages_and_floors_are_named_as_such(study):
    low = ["sw", "te", "wo"]
    assert sorted(translation.low_resource(study)) == low
    rows = {(one.encoder, one.quantity): one for one in translation.answering(study)}
    assert set(rows) == {(name, part) for name in ("many", "many, unfrozen") for part in ("noisy", "gap")}
    one = rows["many", "noisy"]
    value = means_of(study, "many", low, 1) - means_of(study, "mnli", low, 1)
    assert one.difference.value == pytest.approx(value) and one.languages == 3 and 0 < one.low < value < one.high
    above = [code for code in low if code not in study.floor]
    assert rows["many", "gap"].languages == len(above) == 2  # little of wo is translated, so noise takes little
    assert rows["many", "gap"].difference.value == pytest.approx(
        means_of(study, "many", above, 2) - means_of(study, "mnli", above, 2)
    )
    said = translation.translation_answer(study)
    words = f"{value:.1f} points higher with many (95 %: {one.low:.1f} to {one.high:.1f})"
    assert said.startswith(
        f"From 3 low-resource languages, against MNLI (3 seeds each): chrF++ under noise is {words}"
    )
    assert "noise takes" in said and "cannot be told" not in said
    floor = means_of(study, "mnli", low, 1) - means_of(study, "random encoder", low, 1)
    assert f"random encoder, a floor, is {floor:.1f} points lower (95 %: " in said
    table = translation.low_resource_table(study, {name: name for name in study.settings})
    line = dict(zip(table.header, table.lines[0]))
    assert line["difference"].value == pytest.approx(value) and "over the 4 comparisons" in table.caption


def test_no_difference_is_claimed_whose_interval_holds_0(study):
    one = translation.answering(study)[0]
    rows = [
        one._replace(encoder="many", low=-0.44, high=2.0, adjusted=0.2, difference=one.difference._replace(value=0.8)),
        one._replace(encoder="mine", low=0.02, high=2.0, adjusted=0.04, difference=one.difference._replace(value=1.0)),
        one._replace(encoder="robust", low=-9, high=-1.0, adjusted=np.nan),
    ]
    said = translation.verdict(rows, "chrF++", "chrF++ is", ("higher", "lower"))
    assert said.startswith("chrF++ is 1.0 points higher with mine (95 %: 0.02 to 2.00); no difference in it is found ")
    assert "with many (+0.8, 95 %: -0.4 to 2.0) and robust (" in said
    assert translation.verdict(rows[:1], "chrF++", "chrF++ is", ("higher", "lower")) == (
        "no difference in chrF++ is found with many (+0.8, 95 %: -0.4 to 2.0)"
    )


def test_where_hardly_anything_is_translated_the_data_cannot_answer(tmp_path):
    """A user's names: floors are still told by what they are, and a setting is no training that comes before."""
    names = {
        "english": ("mnli", 0.2),
        "multilingual": ("tlm", 0.2),
        "random": ("direct", 0.0),
        "permuted": ("direct", 0.03),
    }
    for name, (setting, kept) in names.items():
        for seed in (0, 1, 2):
            write_run(tmp_path / f"{name}-{seed}", setting, seed, kept, random_encoder=name == "random")
    sides = [f"{name}={tmp_path}/{name}-*" for name in names]
    report.main(
        ["--runs", *sides, "--baseline", sides[0], "--output_dir", str(tmp_path / "report"), "--resamples", "100"]
    )
    text = (tmp_path / "report/report.md").read_text()
    answers = [line for line in text.splitlines() if line.startswith("- **")][:2]
    assert answers[0].startswith(
        "- **low-resource**: Whether multilingual makes translation from low-resource languages more robust than "
        "english cannot be told: on clean text encoders have "
    )
    loaded, *_ = load_runs(sides, [sides[0]])
    own = open_study("translation", "english", loaded)
    measure_all([own], 100, 0)
    assert own.floors == ["permuted", "random"]
    clean = {name: means_of(own, name, ["sw", "te", "wo"], 0) for name in names}
    low, high = sorted((clean["english"], clean["multilingual"]))
    has = f"have {low:.1f} to {high:.1f} chrF\\+\\+ and floors {clean['permuted']:.1f} (permuted) and "
    assert has.replace("\\+", "+") + f"{clean['random']:.1f} (random)" in answers[0].replace("\\+", "+")
    assert (
        "noise takes" not in answers[0]
        and "permuted, a floor, is " in answers[0]
        and "random, a floor, is" in answers[0]
    )
    assert (
        "random" not in answers[1] and "permuted" not in answers[1] and "after multilingual" not in answers[1].lower()
    )
    assert "after correction for 2 comparisons" in answers[1] and "with multilingual, chrF++" in answers[1]


def test_one_encoder_alone_answers_nothing(tmp_path):
    write_run(tmp_path / "mnli-0", "mnli", 0, 0.7)
    loaded, *_ = load_runs([str(tmp_path / "mnli-0")], [str(tmp_path / "mnli-0")])
    own = open_study("translation", "mnli", loaded)
    measure_all([own], 100, 0)
    assert translation.translation_answer(own) == "" and translation.low_resource_table(own, {}) is None
