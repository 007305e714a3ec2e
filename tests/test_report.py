"""report.py on invented runs: settings, tables against numbers computed by hand, what is missing, what cannot be
compared.
"""

import csv
import json
import shutil

import numpy as np
import pytest
from simulated_runs import conditions, write_run

import report
import run_xtreme
from reporting import measure, tables
from reporting.runs import load_runs

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
                folder / f"{setting}-{seed}", setting, seed, LANGUAGES, NAMES, 2000, clean=clean, seed_effect=0.001
            )
    return folder


@pytest.fixture
def outputs(made, tmp_path):
    return shutil.copytree(made, tmp_path / "outputs")


def run(folder, *flags, runs="*", baseline="direct-*"):
    return [
        "--runs",
        f"{folder}/{runs}",
        "--baseline",
        f"{folder}/{baseline}",
        "--output_dir",
        str(folder.parent / "report"),
        "--resamples",
        "200",
        *flags,
    ]


def studies(folder, **options):
    """{task: measured Study}"""
    runs, baselines, _ = load_runs([f"{folder}/*"], [f"{folder}/direct-*"])
    planned = [
        measure.plan_study(task, baselines[task], [run for run in runs if run.task == task]) for task in baselines
    ]
    measure.measure_all(planned, 200, 0)
    return {study.task: study for study, _ in planned}


def change(folder, **values):
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, **values}))


def rows_of(folder, name):
    with open(folder / "report" / "tables" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def correct(folder, condition, language):
    lines = (folder / "scores" / condition / "xnli" / f"test-{language}.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["correct"] for line in lines])


# --- Numbers
# ----------------------------------------------------------------------------------------------------------


def test_tables_hold_what_can_be_computed_by_hand(outputs):
    report.main(run(outputs))
    found = {row["setting"]: row for row in rows_of(outputs.parent, "xnli-robustness")}
    means, flips = [], []
    for seed in SEEDS:
        folder = outputs / f"mnli-{seed}"
        score = {(name, code): 100 * correct(folder, name, code).mean() for name in NAMES for code in LANGUAGES}
        noisy = [
            (np.mean([score[f"keyboard-{level}", code] for level in (1, 2, 3)]) + score["swap-1", code]) / 2
            for code in LANGUAGES
        ]
        means.append((np.mean([score["clean", code] for code in LANGUAGES]), np.mean(noisy)))
        lost = {
            name: [(correct(folder, "clean", code) > correct(folder, name, code)).mean() for code in LANGUAGES]
            for name in NAMES[1:]
        }
        flips.append(100 * (np.mean([lost[f"keyboard-{level}"] for level in (1, 2, 3)]) + np.mean(lost["swap-1"])) / 2)
    clean, noisy = np.mean(means, axis=0)
    assert float(found["mnli"]["clean"]) == pytest.approx(clean) and float(
        found["mnli"]["noisy (mPC)"]
    ) == pytest.approx(noisy)
    assert float(found["mnli"]["gap Δ"]) == pytest.approx(clean - noisy)
    assert float(found["mnli"]["rPC"]) == pytest.approx(np.mean([100 * after / before for before, after in means]))
    assert float(found["mnli"]["right → wrong"]) == pytest.approx(np.mean(flips))
    assert float(found["direct"]["mCE"]) == pytest.approx(100, abs=0.5) and float(found["mnli"]["mCE"]) < 99
    assert float(found["mnli"]["slope"]) < -1
    table = {row["language"]: row for row in rows_of(outputs.parent, "xnli-clean")}
    assert float(table["de"]["mnli"]) == pytest.approx(
        np.mean([100 * correct(outputs / f"mnli-{seed}", "clean", "de").mean() for seed in SEEDS])
    )
    assert float(table["all but English"]["mnli"]) == pytest.approx(
        np.mean([float(table[code]["mnli"]) for code in ("de", "hi", "zh")])
    )
    groups = {row["languages"]: row for row in rows_of(outputs.parent, "xnli-groups")}
    assert {
        "non-Latin scripts",
        "script Deva",
        "family Sino-Tibetan",
        "seen in pretraining",
        "worst language",
        "worst script",
    } <= set(groups)
    text = (outputs.parent / "report/report.md").read_text()
    assert all(term in text for term, _ in tables.GLOSSARY)


def test_a_planted_difference_is_found_and_no_other(outputs):
    report.main(run(outputs))
    rows = rows_of(outputs.parent, "xnli-differences")
    found = {(row["score"], row["languages"]): row for row in rows}
    for score in ("clean", "noisy"):
        row = found[score, "all but English"]
        assert (
            1 < float(row["difference"]) < 3
            and float(row["p (Holm)"]) < 0.05
            and row["examples"] == "6000"
            and row["seeds"] == "5 and 5"
        )
    assert all(float(row["p (Holm)"]) > 0.05 for row in rows if row["score"] == "gap")
    low, high = map(float, found["clean", "all but English"]["95 % interval"].strip("[]").split(","))
    assert low < 2 < high


def test_every_score_of_every_run_is_in_the_long_table(outputs):
    report.main(run(outputs))
    with open(outputs.parent / "report/scores.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 * len(LANGUAGES) * len(NAMES)
    row = next(
        row
        for row in rows
        if (row["run"], row["language"], row["condition"]) == (str(outputs / "mnli-2"), "zh", "keyboard-3")
    )
    assert float(row["percent"]) == pytest.approx(100 * correct(outputs / "mnli-2", "keyboard-3", "zh").mean())
    assert (row["setting"], row["seed"], row["operation"], row["level"], row["realised_rate"]) == (
        "mnli",
        "2",
        "keyboard",
        "3",
        "0.05",
    )


def test_the_same_runs_give_the_same_report(outputs):
    report.main(run(outputs))
    first = {path: path.read_bytes() for path in (outputs.parent / "report").rglob("*") if path.is_file()}
    report.main(run(outputs))
    assert first == {path: path.read_bytes() for path in (outputs.parent / "report").rglob("*") if path.is_file()}


def test_several_processes_measure_what_one_does(made, monkeypatch):
    one = studies(made)["xnli"]
    monkeypatch.setattr(measure, "PER_PROCESS", 30)
    two = studies(made)["xnli"]
    for code in LANGUAGES:
        assert (one.measured[code].resamples == two.measured[code].resamples).all()


def test_question_answering_is_resampled_by_paragraph(outputs):
    for folder in outputs.iterdir():
        change(folder, task="xquad")
        rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        for row in rows:
            path = folder / "scores" / row["condition"] / "xnli" / f"test-{row['language']}.jsonl"
            counts = [json.loads(line) for line in path.read_text().splitlines()]
            new = [
                {
                    "id": one["id"],
                    "paragraph": int(one["id"]) // 10,
                    "exact_match": one["correct"],
                    "f1": float(one["correct"]),
                }
                for one in counts
            ]
            (folder / "scores" / row["condition"] / "xquad").mkdir(exist_ok=True)
            path = folder / "scores" / row["condition"] / "xquad" / path.name
            path.write_text("".join(json.dumps(one) + "\n" for one in new))
            row.update(task="xquad", metric="f1")
        (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = studies(outputs)["xquad"].measured["de"]
    assert (one.examples, one.clusters) == (2000, 200)


# --- What is left out
# -------------------------------------------------------------------------------------------------


def drop(folder, language, condition):
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    kept = [row for row in rows if (row["language"], row["condition"]) != (language, condition)]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))


def test_missing_cells_are_listed_and_enter_no_mean(outputs):
    drop(outputs / "mnli-2", "hi", "keyboard-3")
    drop(outputs / "direct-1", "zh", "clean")
    study = studies(outputs)["xnli"]
    assert study.languages == ["en", "de", "hi"]
    assert [name for name, _, _ in study.measured["hi"].conditions] == ["keyboard-1", "keyboard-2", "swap-1"]
    assert study.missing == [("hi", "keyboard-3", str(outputs / "mnli-2")), ("zh", "clean", str(outputs / "direct-1"))]
    report.main(run(outputs))
    assert [(row["conditions"], row["languages"]) for row in rows_of(outputs.parent, "missing")] == [
        ("keyboard-3", "hi"),
        ("clean", "zh"),
    ]


def test_operations_that_do_not_apply_are_not_missing(outputs):
    for folder in outputs.iterdir():
        about = json.loads((folder / "run.json").read_text())
        for level in (1, 2, 3):
            drop(folder, "zh", f"keyboard-{level}")
            about["conditions"][f"keyboard-{level}"]["not_applicable"] = {"zh": "does not apply to the script Hans"}
            del about["conditions"][f"keyboard-{level}"]["realised"]["zh"]
        change(folder, conditions=about["conditions"])
    study = studies(outputs)["xnli"]
    assert not study.missing and len(study.not_applicable) == 3
    zh = study.measured["zh"]
    assert (
        zh.points[:, 1] == pytest.approx(zh.scores[:, 1])
        and np.isnan(zh.points[:, study.quantities.index("keyboard")]).all()
    )
    points, _, having = measure.over_languages(study, LANGUAGES, "keyboard")
    assert len(having) == 3 and np.isfinite(points).all()
    report.main(run(outputs))
    assert {row["condition"]: row["languages"] for row in rows_of(outputs.parent, "xnli-operations")}[
        "keyboard-1"
    ] == "3"
    (row,) = rows_of(outputs.parent, "not-applicable")
    assert (row["conditions"], row["languages"]) == ("keyboard-1 keyboard-2 keyboard-3", "zh")


def test_level_0_is_no_noise(outputs):
    for folder in outputs.iterdir():
        for name in ("results.jsonl", "run.json"):
            (folder / name).write_text(
                (folder / name)
                .read_text()
                .replace("keyboard-1", "keyboard-0")
                .replace('"level": 1,', '"level": null,')
            )
        (folder / "scores/keyboard-1").rename(folder / "scores/keyboard-0")
    assert [name for name, _, _ in studies(outputs)["xnli"].measured["de"].conditions] == [
        "keyboard-2",
        "keyboard-3",
        "swap-1",
    ]


def test_a_collapsed_seed_is_shown_and_left_out(outputs):
    folder = outputs / "mnli-3/predictions/clean/xnli"
    folder.mkdir(parents=True)
    (folder / "test-en.tsv").write_text("neutral\n" * 2000)
    study = studies(outputs)["xnli"]
    assert len(study.runs) == 9
    report.main(run(outputs))
    text = (outputs.parent / "report/report.md").read_text()
    assert "collapsed: 2000 of 2000 predictions for en are 'neutral'" in text
    assert {row["seeds"] for row in rows_of(outputs.parent, "xnli-differences")} == {"4 and 5"}
    (folder / "test-en.tsv").write_text("neutral\n" * 1000 + "entailment\n" * 1000)
    assert len(studies(outputs)["xnli"].runs) == 10


def test_one_seed_per_setting_says_what_the_interval_covers(outputs):
    report.main(
        [
            "--runs",
            f"{outputs}/mnli-1",
            "--baseline",
            f"{outputs}/direct-1",
            "--output_dir",
            f"{outputs.parent}/report",
        ]
    )
    rows = rows_of(outputs.parent, "xnli-differences")
    assert all(
        row["95 % interval"].endswith("†") and row["seeds"] == "1 and 1" and row["p"] == row["p (Holm)"] == "n/a"
        for row in rows
    )
    write_run(outputs / "squad-1", "squad", 1, LANGUAGES, NAMES, 2000)
    report.main(
        [
            "--runs",
            f"{outputs}/squad-1",
            f"{outputs}/mnli-*",
            "--baseline",
            f"{outputs}/direct-1",
            "--output_dir",
            f"{outputs.parent}/report",
        ]
    )
    rows = [row for row in rows_of(outputs.parent, "xnli-differences") if row["setting"] == "squad"]
    assert all(0 < float(row["p"]) <= 1 and row["seeds"] == "1 and 1" for row in rows)  # by mnli's spread over seeds


# --- Settings
# ---------------------------------------------------------------------------------------------------------


def test_settings_are_named_after_how_the_encoder_was_made(outputs):
    about = json.loads((outputs / "mnli-1/run.json").read_text())
    mlm = {
        "path": "outputs/mlm",
        "checkpoint": "m",
        "command": "python run_intermediate.py --tasks mlm",
        "task": "mlm",
        "seed": 1,
        "parent": about["parent"]["parent"],
    }
    for folder in sorted(outputs.iterdir()):
        parent = json.loads((folder / "run.json").read_text())["parent"]
        change(folder, parent=mlm if folder.name.startswith("direct") else {**parent, "parent": mlm})
    runs, baselines, _ = load_runs([f"{outputs}/*"], [f"{outputs}/direct-*"])
    assert {run.folder.name[:-2]: run.setting for run in runs} == {
        "direct": "direct",
        "mnli": "mnli",
    } and baselines == {"xnli": "direct"}
    _, baselines, _ = load_runs([f"{outputs}/*"], [f"{outputs}/mnli-*"])
    assert baselines == {"xnli": "mnli"}  # a name does not depend on what it is compared with
    write_run(outputs / "large-1", "direct", 1, LANGUAGES, NAMES, 2000)
    change(
        outputs / "large-1",
        parent={**about["parent"]["parent"], "path": "models/xlm-roberta-large", "checkpoint": "large"},
    )
    runs, baselines, _ = load_runs([f"{outputs}/*"], [f"{outputs}/direct-*"])
    assert {run.folder.name[:-2]: run.setting for run in runs} == {
        "direct": "xlm-roberta-base > mlm", "mnli": "xlm-roberta-base > mlm > mnli", "large": "xlm-roberta-large",
    }  # fmt: skip


def test_the_user_can_name_settings(outputs):
    change(
        outputs / "mnli-3",
        training={**json.loads((outputs / "mnli-3/run.json").read_text())["training"], "learning_rate": 1},
    )
    runs, _, _ = load_runs([f"{outputs}/mnli-[12]", f"fast={outputs}/mnli-3"], [f"{outputs}/direct-*"])
    assert sorted({run.setting for run in runs}) == ["direct", "fast", "mnli"]


def test_phase_2_folders_are_skipped_with_a_note(outputs, capsys):
    (outputs / "mnli").mkdir()
    (outputs / "mnli/run.json").write_text('{"task": "mnli"}')
    (outputs / "logs").mkdir()
    report.main(run(outputs))
    told = capsys.readouterr().out
    assert (
        f"{outputs / 'mnli'}: skipped, a run of phase 2" in told
        and f"{outputs / 'logs'}: skipped, it has no run.json" in told
    )


def test_retrieval_under_noise_is_compared_too(toy, tmp_path):
    """BUCC's counts list other sentences in each run; Tatoeba has no ids; neither is trained, so two encoders are two
    settings.
    """
    import perturb

    perturb.main(
        [
            "--data_dir",
            f"{toy}/xtreme",
            "--output_dir",
            f"{tmp_path}/noised",
            "--ops",
            "swap",
            "--levels",
            "2",
            "--tasks",
            "bucc2018",
            "tatoeba",
        ]
    )
    shutil.copytree(toy / "model", tmp_path / "other")
    config = json.loads((tmp_path / "other/config.json").read_text())
    (tmp_path / "other/config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    for name, model in (("direct", toy / "model"), ("other", tmp_path / "other")):
        for task in ("bucc2018", "tatoeba"):
            flags = [
                "--data_dir",
                f"{toy}/xtreme",
                "--model_name_or_path",
                str(model),
                "--output_dir",
                f"{tmp_path}/outputs/{name}-{task}",
            ]
            noised = [
                "--conditions",
                f"clean={toy}/xtreme",
                f"swap-2={tmp_path}/noised/swap-2",
                "--disable_tqdm",
                "true",
            ]
            run_xtreme.main(["--task", task, *flags, "--do_predict", "--languages", "de", "ru", *noised])
    report.main(run(tmp_path / "outputs"))
    for task in ("bucc2018", "tatoeba"):
        found = {row["setting"]: row for row in rows_of(tmp_path, f"{task}-robustness")}
        assert set(found) == {"model", "other"} and 0 <= float(found["model"]["noisy (mPC)"]) <= 100


# --- Bad input
# --------------------------------------------------------------------------------------------------------


def edit_line(path, number, old, new):
    lines = path.read_text().splitlines()
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    path.write_text("\n".join(lines) + "\n")


def other_task(outputs):
    change(outputs / "mnli-1", task="pawsx")
    path = outputs / "mnli-1/results.jsonl"
    path.write_text(path.read_text().replace('"xnli"', '"pawsx"'))


BAD = {
    "a run of another task": (other_task, ["mnli-1", "pawsx", "--baseline has none"]),
    "a run cut short": (lambda o: cut(o / "mnli-1"), ["mnli-1", "cut short", "python run_xtreme.py"]),
    "no results": (lambda o: (o / "mnli-1/results.jsonl").unlink(), ["mnli-1/results.jsonl", "missing"]),
    "empty results": (lambda o: (o / "mnli-1/results.jsonl").write_text(""), ["mnli-1/results.jsonl", "empty"]),
    "a corrupt line": (lambda o: edit_line(o / "mnli-1/results.jsonl", 3, '"task"', '"tas'), ["mnli-1/results.jsonl, "
                                                                                              "line 3", "broken"]),
    "a corrupt count": (
        lambda o: edit_line(o / "mnli-1/scores/clean/xnli/test-de.jsonl", 7, '"correct"', '"corr'), ["clean/xnli/test-de.jsonl, line 7", "broken"],
    ),
    "a count that is no number": (
        lambda o: edit_line(o / "mnli-1/scores/clean/xnli/test-de.jsonl", 7, '"correct": ', '"correct": null, "x": '), ["test-de.jsonl, line "
                                                                                                                        "7"],
    ),
    "missing counts": (lambda o: (o / "mnli-1/scores/swap-1/xnli/test-de.jsonl").unlink(), ["swap-1/xnli/test-de.jsonl", "cannot be "
                                                                                                                         "read"]),
    "counts of another run": (
        lambda o: shutil.copy(o / "mnli-1/scores/clean/xnli/test-de.jsonl", o / "mnli-1/scores/clean/xnli/test-hi.jsonl"),
        ["mnli-1", "hi clean", "results.jsonl"],
    ),
    "a cell twice": (
        lambda o: (o / "mnli-1/results.jsonl").write_text(2 * (o / "mnli-1/results.jsonl").read_text()), ["results.jsonl, "
                                                                                                          "lines 1 and "
                                                                                                          "21", "twice"],
    ),
    "a seed twice": (lambda o: shutil.copytree(o / "mnli-1", o / "mnli-6"), ["mnli-1 and", "mnli-6", "with seed 1"]),
    "other test files": (
        lambda o: edit_line(o / "mnli-1/results.jsonl", 2, '"data": "clean de"', '"data": "other"'), ["different test "
                                                                                                      "files of xnli de "
                                                                                                      "clean", "mnli-1", "direct-1"],
    ),
    "other data manifests": (
        lambda o: [edit_line(o / "mnli-1/results.jsonl", 2, '"data": "clean de"', '"data": null'), change(o / "mnli-1", data_manifest="abc"),
                   [change(o / f"direct-{seed}", data_manifest="xyz") for seed in SEEDS]],
        ["different test files of xnli de clean", "data manifest abc", "data manifest xyz"],
    ),
    "other numbers of examples": (lambda o: edit_line(o / "mnli-1/results.jsonl", 2, '"n": 2000', '"n": 1999'), ["1999 "
                                                                                                                 "examples", "2000 "
                                                                                                                             "examples"]),
    "other training": (
        lambda o: change(o / "mnli-2", training={"learning_rate": 1, "seed": 2}), ["mnli-1 and", "mnli-2", "learning_rate 1e-05 "
                                                                                                           "there, 1 "
                                                                                                           "here", "NAME="],
    ),
    "another way to the encoder": (
        lambda o: change(o / "mnli-2", parent={"checkpoint": "x", "task": "mnli", "command": "python "
                                                                                             "run_intermediate.py "
                                                                                             "--tasks mnli "
                                                                                             "--learning_rate 1",
                                               "parent": {"checkpoint": "root"}}),
        ["mnli-2", "different commands", "--learning_rate 1"],
    ),
    "a broken run.json": (lambda o: (o / "mnli-1/run.json").write_text("{"), ["mnli-1/run.json", "broken"]),
    "all of the baseline collapsed": (lambda o: [collapse(o / f"direct-{seed}") for seed in SEEDS], ["xnli", "baseline direct "
                                                                                                             "collapsed"]),
}  # fmt: skip


def cut(folder):
    about = json.loads((folder / "run.json").read_text())
    del about["finished_at"]
    (folder / "run.json").write_text(json.dumps(about))


def collapse(folder):
    path = folder / "predictions/clean/xnli/test-en.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("neutral\n" * 2000)


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
    refused(run(outputs), capsys, *parts)
    assert not (outputs.parent / "report").exists()


def test_wrong_arguments_are_one_line(made, outputs, capsys, tmp_path):
    refused(["--runs", str(outputs), "--output_dir", "x"], capsys, "--baseline")
    refused(run(outputs, baseline="nothing-*"), capsys, "--baseline", "nothing-*", "no such folder")
    refused(run(outputs, runs="nothing"), capsys, "nothing", "no such folder")
    (tmp_path / "empty").mkdir()
    refused(run(outputs, baseline="../empty"), capsys, "--baseline", "no run of run_xtreme.py")
    refused(run(outputs, "--resamples", "10"), capsys, "--resamples 10")
    refused(run(outputs, baseline="*"), capsys, "two settings, direct and mnli")
    (tmp_path / "report").mkdir()
    (tmp_path / "report/mine.txt").write_text("")
    refused(run(outputs), capsys, "not empty and not a report")


def test_a_full_disk_and_ctrl_c_are_one_line(outputs, capsys, monkeypatch):
    from reporting import page

    report.main(run(outputs))
    before = (outputs.parent / "report/index.html").read_bytes()
    for error, code, part in (
        (OSError(28, "No space left on device"), 1, "No space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ):

        def fail(path, data, error=error):
            raise error

        monkeypatch.setattr(page, "write_bytes", fail)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            report.main(run(outputs))
        told = capsys.readouterr().err
        assert (
            end.value.code == code and told.count("\n") == 1 and part in told and "run the same command again" in told
        )
    assert (outputs.parent / "report/index.html").read_bytes() == before


def test_help_and_report_runs_load_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, report; from reporting import runs, measure, tables, page, figures; sys.exit('torch' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=report.__file__.rsplit("/", 1)[0]).returncode == 0
