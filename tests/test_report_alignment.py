"""The alignment section of a report: its tables against numbers that are known, and what it refuses."""

import json

import numpy as np
import pytest

import compare
import report
from reporting import alignment, alignment_answer
from reporting.alignment import difference, open_alignment, rank_correlation
from reporting.alignment_figures import alignment_figures
from reporting.runs import Run
from reporting.statistics import holm

LANGUAGES, LINES = ("de", "hi", "sw"), 40
NAMES = ("top1_csls", "cka", "self_similarity")


def write_run(folder, depth=4, gain=0.0, seed=0):
    """A finished alignment run; its top-1 is 20 points per quarter of the depth, `gain` more, less under noise."""
    random, rows = np.random.default_rng(seed), []
    for code in LANGUAGES:
        for condition, loss in (("clean", 0), ("swap-1", 5), ("swap-2", 15)):
            hits = np.zeros((depth + 1, LINES), bool)
            for layer in range(depth + 1):
                percent = 80 * layer / depth + gain - loss * layer / depth
                hits[layer, : round(percent * LINES / 100)] = True
                for metric, value in zip(NAMES, (100 * hits[layer].mean(), percent / 100, 1 - loss / 100)):
                    row = {"value": value, "low": value - 1, "high": value + 1, "floor": 2.5, "n": LINES, "data": code}
                    cell = {"task": "alignment", "language": code, "condition": condition, "layer": layer}
                    rows.append({**cell, "metric": metric, **row})
            path = folder / "scores" / condition / "alignment" / f"test-{code}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            halves = gain / 100 + 0.01 * np.random.default_rng(7).normal(size=(depth + 1, 200))
            own = np.full((depth + 1, LINES), 1 - loss / 100) + 0.01 * random.normal(size=(depth + 1, LINES))
            np.savez_compressed(path, top1_csls=hits, cka_halves=halves, self_similarity=own)
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    about = {"task": "alignment", "seed": 1, "command": "python run_alignment.py", "finished_at": "now"}
    record = {**about, "started_at": "now", "conditions": {}, "parent": {"path": "x", "checkpoint": str(folder)}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return Run(folder, record, folder.name)


def study_of(tmp_path, **other):
    runs = [write_run(tmp_path / "direct"), write_run(tmp_path / "mnli", **{"gain": 10.0, "seed": 1, **other})]
    return open_alignment(runs, {(tmp_path / "direct").resolve()})


def test_differences_are_those_of_the_arrays(tmp_path):
    study = study_of(tmp_path)
    assert study.layers() == {"protocol (2)": 0.5, "last (4)": 1.0, "best clean (4)": 1.0}
    value, error, languages = difference(study, "mnli", "top-1 clean", 0.5, LANGUAGES)
    moved = np.zeros(LINES)
    moved[16:20] = 100  # 50 against 40 percent of 40 lines, in every language the same ones
    assert (value, languages) == (pytest.approx(10), 3)
    assert error == pytest.approx(moved.std(ddof=1) / np.sqrt(LINES))
    value, error, _ = difference(study, "mnli", "CKA clean", 1.0, ["hi"])
    assert value == pytest.approx(0.1) and error == pytest.approx(0)  # the same halves: only the gain differs
    value, _, _ = difference(study, "mnli", "top-1 noisy", 1.0, ["de"])
    assert value == pytest.approx(10)


def test_tables_and_figures(tmp_path):
    study = study_of(tmp_path)
    groups, folded, by_language = alignment.alignment_tables(study, {"direct": "a", "mnli": "b"}, [])
    lines = {tuple(line[:3]): line for line in groups.lines}
    line = dict(zip(groups.header, lines["direct", "Latin script", "swap-2"]))
    assert line["top-1"].text == "32.5" and line["self-similarity"].text == "0.850" and line["lines"] == "40"
    assert line["top-1 floor"].text == "2.5" and line["RSA"].text == "n/a" and line["layer"] == "2"
    p, adjusted = (np.array([line[column].value for line in folded.lines]) for column in (6, 7))
    assert (adjusted >= p).all() and len(folded.lines) == 3 * 5 * len(study.groups) and len(by_language.lines) == 45
    figures = alignment_figures(study)
    assert [figure.name for figure in figures] == ["alignment-top1_csls", "alignment-cka"]
    assert "direct, Latin script, first to last layer: clean 0.00 to 80.00, 1 0.00 to 75.00" in figures[0].alternative


def test_encoders_of_other_depth_are_compared_by_relative_depth(tmp_path):
    study = study_of(tmp_path, depth=8)
    assert study.notes == [
        "alignment: encoders differ in their number of layers (direct 4, mnli 8); compared by relative depth"
    ]
    assert difference(study, "mnli", "top-1 clean", 0.5, LANGUAGES)[0] == pytest.approx(10)


def test_correlation_is_spearmans_and_resamples_languages():
    points = [(code, x, x**3) for code, x in zip("abcdefgh", range(8))]
    assert rank_correlation(points) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    random = np.random.default_rng(0)
    value, low, high = rank_correlation([(str(i // 2), *random.normal(size=2)) for i in range(60)])
    assert low < 0 < high and low < value < high


def test_a_report_of_alignment_alone(tmp_path, capsys):
    study_of(tmp_path)
    report.main(f"--runs {tmp_path}/mnli --baseline direct={tmp_path}/direct --output_dir {tmp_path}/report".split())
    text = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "## alignment" in text and "Differences in alignment" in text and "One encoder stands for a setting" in text


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--runs {0}/mnli --baseline m={0}/mnli d={0}/direct", "name exactly one of them"),
        ("--runs same={0}/mnli same={0}/direct --baseline {0}/direct", "both measure the alignment of same"),
        ("--runs cut={0}/cut --baseline {0}/direct", "the run was cut short"),
        ("--runs torn={0}/torn --baseline {0}/direct", "test-hi.npz: missing or broken"),
        ("--runs other={0}/other --baseline {0}/direct", "other lines of de clean; measure both on the same text"),
        ("--runs b={0}/broken --baseline {0}/direct", "results.jsonl, line 2: broken"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, capsys, flags, words):
    for name in ("direct", "mnli", "cut", "broken", "other", "torn"):
        write_run(tmp_path / name)
    (tmp_path / "torn/scores/clean/alignment/test-hi.npz").write_bytes(b"PK")
    path = tmp_path / "other/results.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"data": "de"', '"data": "da"'), encoding="utf-8")
    record = json.loads((tmp_path / "cut/run.json").read_text(encoding="utf-8"))
    del record["finished_at"]
    (tmp_path / "cut/run.json").write_text(json.dumps(record), encoding="utf-8")
    path = tmp_path / "broken/results.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("}\n", "}\n{oops\n", 1), encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        report.main([*flags.format(tmp_path).split(), "--output_dir", str(tmp_path / "report")])
    said = capsys.readouterr().err.strip()
    assert left.value.code == 2 and words in said and "\n" not in said


# --- The answer


def trained(folder, *tasks, **other):
    """An alignment run of an encoder that was trained on `tasks`, the first one first."""
    parent = {"path": "x", "checkpoint": "x", "parent": None}
    for task in tasks:
        parent = {"path": task, "checkpoint": f"{folder} {task}", "task": task, "command": "c", "parent": parent}
    run = write_run(folder, **other)
    record = {**run.record, "parent": parent}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return Run(folder, record, " > ".join(tasks) or "direct")


def answered(tmp_path, *runs):
    return alignment_answer.alignment_answer(open_alignment(list(runs), {(tmp_path / "direct").resolve()}))


def test_the_answer_is_what_training_and_fine_tuning_do(tmp_path):
    runs = [
        trained(tmp_path / "direct"),
        trained(tmp_path / "mnli", "mnli", gain=20.0, seed=1),
        trained(tmp_path / "ccg", "ccg", gain=2.5, seed=2),  # one sentence of 40: within the interval
        trained(tmp_path / "tuned", "udpos", gain=-20.0, seed=3),
        trained(tmp_path / "mnli-tuned", "mnli", "udpos", gain=-10.0, seed=4),
    ]
    study = open_alignment(runs, {(tmp_path / "direct").resolve()})
    moved = {(one.setting, one.score): one for one in alignment_answer.compared(study)}
    assert moved["mnli > udpos", "clean"].against == "udpos" and moved["udpos", "clean"].against == "direct"
    values = {name: moved[name, "clean"].value for name in ("mnli", "ccg", "udpos", "mnli > udpos")}
    assert values == {name: pytest.approx(value) for name, value in
                      {"mnli": 20, "ccg": 2.5, "udpos": -20, "mnli > udpos": 10}.items()}  # fmt: skip
    hits = np.zeros(LINES)
    hits[:8] = 100  # 8 of 40 sentences are moved, in every language the same ones
    half = 1.959964 * hits.std(ddof=1) / np.sqrt(LINES)
    one = moved["mnli", "clean"]
    assert (one.low, one.high) == (pytest.approx(20 - half), pytest.approx(20 + half)) and one.languages == 3
    p = [row.p for row in moved.values()]
    assert [row.adjusted for row in moved.values()] == pytest.approx(list(holm(p))) and len(p) == 8
    said = alignment_answer.alignment_answer(study)
    assert said == (
        "After MNLI, 20.0 points more sentences have their translation as nearest neighbor than before intermediate "
        f"training (95 %: {20 - half:.1f} to {20 + half:.1f}; under noise 20.0); after CCG, no difference is found. "
        f"After fine-tuning on UD-POS, 20.0 points fewer do than before it (95 %: {20 - half:.1f} to "
        f"{20 + half:.1f}; under noise 20.0). Of encoders fine-tuned on UD-POS, after MNLI, no difference is found in "
        "how many do."
    )  # fmt: skip
    table = alignment_answer.answer_table(study, dict.fromkeys(study.runs, "key"))
    (line,) = [dict(zip(table.header, row)) for row in table.lines if row[:3] == ["mnli", "clean text", "direct"]]
    assert line["difference"].text == "+20.0 *" and line["95 % interval"].low == one.low


def test_what_only_noise_shows_is_said_of_noise(tmp_path):
    clean, noisy = (
        alignment_answer.Moved("a", "direct", score, value, low, high, p, p, 3)
        for score, value, low, high, p in (("clean", 0.5, -0.5, 1.5, 0.3), ("noisy", 2.0, 0.01, 3.99, 0.04))
    )
    assert alignment_answer.listed({"after A": {"clean": clean, "noisy": noisy}}, "do", "before") == (
        "after A, under noise, 2.0 points more do than before (95 %: 0.01 to 3.99; "
        "on clean text no difference is found)"
    )
    back = clean._replace(value=-4, low=-5, high=-3, adjusted=0.01)
    assert "more do than before (95 %: 0.01 to 3.99; on clean text 4.0 fewer)" in alignment_answer.moved(
        {"noisy": noisy, "clean": back}, "do than before"
    )
    many = {f"after {name}": {"noisy": noisy._replace(value=value)} for value, name in enumerate("ABCDE", start=1)}
    said = alignment_answer.listed(many, "do", "before")
    assert said.startswith("after E, under noise, 5.0") and said.endswith("in 2 more settings the number differs, too")


def test_without_any_finding_none_is_claimed(tmp_path):
    said = answered(tmp_path, trained(tmp_path / "direct"), trained(tmp_path / "mnli", "mnli", seed=1))
    assert said == (
        "After MNLI, no difference is found in how many sentences have their translation as nearest neighbor."
    )
    assert answered(tmp_path, trained(tmp_path / "direct")) == ""


def test_the_page_and_the_terminal_begin_with_the_answer(tmp_path, capsys, monkeypatch):
    trained(tmp_path / "runs/direct"), trained(tmp_path / "runs/mnli", "mnli", gain=20.0)
    sides = ["--baseline", f"{tmp_path}/runs/direct"]
    report.main(["--runs", f"{tmp_path}/runs/*", *sides, "--output_dir", str(tmp_path / "report")])
    words = "After MNLI, 20.0 points more sentences have their translation as nearest neighbor"
    page, text = ((tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    assert page.index("Does training line languages up better") < page.index(words) < page.index('id="task-alignment"')
    assert f"- **alignment**: {words}" in text and "alignment: one encoder stands for a setting" in text
    assert (tmp_path / "report/tables/alignment-answer.csv").exists()
    monkeypatch.setenv("COLUMNS", "400")
    capsys.readouterr()
    compare.main([f"{tmp_path}/runs/direct", f"{tmp_path}/runs/mnli", *sides])
    assert capsys.readouterr().out.startswith(f"alignment: {words}")
