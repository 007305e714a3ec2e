"""run_attack.py on finished runs of tiny models: what is written, what run_xtreme.py and report.py make of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, on_toy, torchrun
from scipy import stats

import perturb
import report
import run_alignment
import run_attack
import run_xtreme
from attack.texts import Editor, TestFile, edits_of
from heads import question_answering
from reporting.attacks import share, words_broken
from reporting.runs import read_counts
from reporting.statistics import statistic
from tasks import TARGETS

TRAINING = "--do_train --learning_rate 5e-4 --num_train_epochs 2 --disable_tqdm true".split()
CONDITIONS = ("greedy-2", "random-2")
LANGUAGES = {"xnli": ("de", "hi", "zh"), "panx": ("de", "th"), "xcopa": ("th", "zh"), "tatoeba": ("de", "hi")}


@pytest.fixture(scope="module")
def runs(toy, tmp_path_factory):
    """{task: folder of a finished run}, made when it is asked for."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run_of(task, seed=1):
        output = folder / f"{task}-{seed}"
        if output not in made:
            stages = ["--do_predict"] if task == "tatoeba" else [*TRAINING, "--do_predict"]
            flags = ["--seed", str(seed), "--languages", *LANGUAGES[task]]
            run_xtreme.main([*on_toy(toy, task, output), *stages, *flags])
            made[output] = True
        return output

    return run_of


def attack(toy, task, model, output, *more):
    """Run it; returns (records of the manifest by condition and language, lines of attacks.jsonl)."""
    flags = [*on_toy(toy, task, output, model), "--disable_tqdm", "true", "--languages", *LANGUAGES[task]]
    run_attack.main([*flags, *map(str, more)])
    files = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["files"]
    lines = [json.loads(line) for line in (output / "attacks.jsonl").read_text(encoding="utf-8").splitlines()]
    return {(file["condition"], file["language"]): file for file in files}, lines


def predict(toy, task, model, *conditions, output=None):
    source = toy / "model" if task == "tatoeba" else model
    flags = [*on_toy(toy, task, output or model, source), "--do_predict", "--disable_tqdm", "true"]
    run_xtreme.main([*flags, "--languages", *LANGUAGES[task], "--conditions", *conditions])
    return [json.loads(line) for line in ((output or model) / "results.jsonl").read_text().splitlines()]


def content(folder, but=()):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", *but)
    }


@pytest.mark.parametrize("task", LANGUAGES)
def test_the_run_predicts_what_the_attack_says(task, toy, runs, tmp_path):
    model, output = runs(task), tmp_path / "attacked"
    files, lines = attack(toy, task, model, output, "--queries", 12)
    assert {condition for condition, _ in files} == set(CONDITIONS)
    conditions = [f"{name}={output / name}" for name in CONDITIONS]
    rows = predict(toy, task, model, f"clean={toy}/xtreme", *conditions)
    for (condition, code), file in files.items():
        numbers, own = (
            file["attack"],
            [one for one in lines if (one["condition"], one["language"]) == (condition, code)],
        )
        assert numbers["examples"] == len(own) == file["examples"] > 20 and numbers["right"] > 0
        assert numbers["accuracy"] == sorted(numbers["accuracy"], reverse=True) and len(numbers["accuracy"]) == 3
        assert numbers["right"] == sum(one["right"] for one in own)
        assert numbers["broken"][-1] == sum(one["right"] and one["verified"] for one in own)
        assert all(one["queries"] <= 12 and one["graphemes"] <= 8 for one in own)
        safe = [one for one in own if not (one["words"]["right"] if task == "panx" else one["right"])]
        assert all(one["before"] == one["after"] and not one["edits"] for one in safe)
        if task == "panx":
            check_words(model, toy, condition, code, numbers["words"], own)
        assert file["spent"] == sum(one["graphemes"] for one in own) and 0 < file["realised"] < 0.2
        if task == "tatoeba":  # attacked towards a fixed English side
            told = [r["value"] for r in rows if r["metric"] == "accuracy_reverse" and r["condition"] == condition
                    and r["language"] == code]  # fmt: skip
            assert told == [pytest.approx(numbers["accuracy"][-1], abs=1e-3)]
        else:
            run = type("Run", (), {"folder": model, "task": task, "target": TARGETS[task]})
            (counts,) = read_counts(run, code, [condition])
            right = statistic(TARGETS[task])[2](counts)
            assert 100 * right.mean() == pytest.approx(numbers["accuracy"][-1], abs=1e-3)
        greedy, chance = files["greedy-2", code]["attack"], files["random-2", code]["attack"]
        assert greedy["broken"][1] == chance["broken"][1] and greedy["right"] == chance["right"]
    broken = {name: sum(files[name, code]["attack"]["broken"][2] for code in LANGUAGES[task]) for name in CONDITIONS}
    assert broken["greedy-2"] >= broken["random-2"] - 1  # with so few queries one example is chance


def test_entities_stay_and_words_get_one_edit(toy, runs, tmp_path, capsys):
    output, flags = tmp_path / "attacked", ["--protect_entities", "--one_edit_per_word"]
    attack(toy, "panx", runs("panx"), output, *flags, "--queries", 8, "--max_predict_samples", 12)
    for code in LANGUAGES["panx"]:
        before, after = (
            [line.split("\t") for line in (folder / f"panx/test-{code}.tsv").read_text(encoding="utf-8").splitlines()]
            for folder in (toy / "xtreme", output / "greedy-2")
        )
        changed = [old for old, new in zip(before, after, strict=True) if old != new]
        assert changed and all(tag == "O" for _, tag in changed)
    with pytest.raises(SystemExit):
        attack(toy, "xnli", runs("panx"), tmp_path / "none", *flags)
    assert "--protect_entities: xnli has no tags of names" in capsys.readouterr().err


def check_words(model, toy, condition, code, words, lines):
    """Words that are right at first and then broken are what run_xtreme.py predicts, sentence by sentence."""
    gold, clean, attacked = (
        [
            [line.split("\t")[-1].rpartition("-")[2] for line in part.splitlines()]
            for part in text.strip().split("\n\n")
        ]
        for text in (
            path.read_text(encoding="utf-8")
            for path in (
                toy / f"xtreme/panx/test-{code}.tsv",
                *(model / f"predictions/{name}/panx/test-{code}.tsv" for name in ("clean", condition)),
            )
        )
    )
    right, broken = 0, 0
    for one, *of_sentence in zip(lines, gold, clean, attacked, strict=True):
        own = [after == tag for tag, before, after in zip(*of_sentence, strict=True) if before == tag]
        assert one["words"]["right"] == len(own)
        lost = len(own) - sum(own) or int(one["right"] and one["verified"])  # only a span begins elsewhere
        assert one["words"]["broken"][-1] == lost and (one["broken_at"] is None) == (lost == 0)
        right, broken = right + len(own), broken + lost
    assert (words["right"], words["broken"][-1]) == (right, broken) and 0 < broken < right
    assert words["broken"][0] == 0 < words["error"] and words["broken"] == sorted(words["broken"])


def test_greedy_is_nowhere_below_its_control(toy, runs, tmp_path):
    for edits, queries in ((2, 12), (5, 40)):
        output = tmp_path / f"attacked-{edits}-{queries}"
        few = ("--edits", edits, "--queries", queries, "--max_predict_samples", 60)
        files, _ = attack(toy, "xnli", runs("xnli"), output, *few)
        for code in LANGUAGES["xnli"]:
            greedy, chance = (files[f"{name}-{edits}", code]["attack"]["broken"] for name in ("greedy", "random"))
            assert all(ours >= luck for ours, luck in zip(greedy, chance, strict=True)), (code, edits, queries)
            assert greedy[1] == chance[1]
        sums = [sum(files[f"{name}-{edits}", code]["attack"]["broken"][-1] for code in LANGUAGES["xnli"])
                for name in ("greedy", "random")]  # fmt: skip
        assert sums[0] > sums[1]


def test_no_edits_are_the_clean_bytes(toy, runs, tmp_path):
    for task in LANGUAGES:
        attack(toy, task, runs(task), tmp_path / "attacked", "--edits", 0)
    written = content(tmp_path / "attacked/greedy-0")
    assert len(written) == 11  # 3 + 2 + 2 + 2 with their English sides
    assert written == {name: (toy / "xtreme" / name).read_bytes() for name in written}


def test_neither_batches_nor_a_second_run_change_a_byte(toy, runs, tmp_path, caplog):
    model, few = runs("xnli"), ("--queries", 16, "--max_predict_samples", 24)
    attack(toy, "xnli", model, tmp_path / "one", *few)
    attack(toy, "xnli", model, tmp_path / "two", *few, "--per_device_eval_batch_size", 5)
    said = ("manifest.json", "README.md")
    assert content(tmp_path / "one", said) == content(tmp_path / "two", said)
    before = content(tmp_path / "one")
    (tmp_path / "one/greedy-2/xnli/test-hi.tsv").write_text("spoiled")
    caplog.clear()
    attack(toy, "xnli", model, tmp_path / "one", *few)
    assert content(tmp_path / "one") == before
    assert "xnli de: finished before, skipped" in caplog.text and "xnli hi: finished" not in caplog.text


def test_perturb_leaves_what_it_finds_and_reads_the_folder(toy, runs, tmp_path, capsys):
    attack(toy, "xnli", runs("xnli"), tmp_path / "attacked", "--queries", 8)
    with pytest.raises(SystemExit):
        perturb.main([*f"--data_dir {toy}/xtreme --output_dir {tmp_path}/attacked --ops swap --tasks xnli".split()])
    assert "was not written by perturb.py" in capsys.readouterr().err
    flags = f"--data_dir {tmp_path}/attacked/greedy-2 --output_dir {tmp_path}/noised --ops swap --levels 1".split()
    perturb.main(flags)
    assert (tmp_path / "noised/swap-1/xnli/test-zh.tsv").exists()


def test_shares_of_attacks_have_no_interval_of_no_width():
    """Three languages with one right example each, of which one breaks: any resample of a language would be itself."""
    mean, interval = share([(0, 1), (1, 1), (0, 1)], "")
    assert mean.text == "33.3" and interval.low < 10 and interval.high > 70
    alone = stats.binomtest(7, 50).proportion_ci(method="wilson")
    assert share([(7, 50)], "")[1][1:3] == pytest.approx((100 * alone.low, 100 * alone.high))
    # of k equal languages, Wilson's distances shrink by the root of k
    many = share([(7, 50)] * 4, "")[1]
    assert many[1:3] == pytest.approx((14 - (14 - 100 * alone.low) / 2, 14 + (100 * alone.high - 14) / 2))


def test_words_broken_are_counted_within_sentences():
    parts = [{"correct_tokens": np.array(tokens)} for tokens in ([3, 2, 5, 9], [1, 4, 5, 0])]
    assert words_broken(parts, 3) == pytest.approx(100 * 2 / 10)  # the fourth sentence was not attacked
    assert words_broken([{}, {}], 3) is None


def test_the_report_tells_white_box_from_transfer(toy, runs, tmp_path):
    models = [shutil.copytree(runs("xnli", seed), tmp_path / f"xnli-{seed}") for seed in (1, 2)]
    for seed, model in zip((1, 2), models):
        attack(toy, "xnli", model, tmp_path / f"attacked-{seed}", "--queries", 12)
    folders = [f"from{seed}={tmp_path}/attacked-{seed}/greedy-2" for seed in (1, 2)]
    for model in models:
        predict(toy, "xnli", model, f"clean={toy}/xtreme", *folders)
    report.main(
        ["--runs", *map(str, models), "--baseline", *map(str, models), "--output_dir", str(tmp_path / "report")]
    )
    text = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "### Attacks" in text and "from1, white-box" in text
    assert f"from1, transfer from {models[0].name}" in text.replace("\\", "") and "### Robustness" not in text
    matrix = [line for line in text.split("### Transfer of attacks")[1].splitlines() if "seed" in line and "|" in line]
    header, *matrix = [[field.strip() for field in line.strip("|").split("|")] for line in matrix[:3]]
    searched = [place for place, name in enumerate(header) if name.startswith("greedy-2")]  # beside earlier tests' own
    cells = [[float(line[place].split()[0]) for place in searched] for line in matrix]
    # of two attacks on a model, the one that was searched against it works best
    assert len(cells) == 2 and cells[0][0] < cells[0][1] and cells[1][1] < cells[1][0]
    # the first table says the same in a line per setting and attack: means over languages, then over runs
    short, long = (text.split(f"### {title}")[1].split("### ")[0] for title in ("Attacks\n", "Attacks by run"))
    lines = [
        [field.strip() for field in line.strip("|").split("|")] for line in short.splitlines() if "from1," in line
    ]
    means = [line.split("|") for line in long.splitlines() if "from1," in line and "| mean of" in line]
    assert [line[2:4] for line in lines] == [["1", means[0][4].split()[-1]]] * 2
    assert [line[4:] for line in lines] == [[one[7].strip(), one[9].strip()] for one in means]
    numbers = json.loads((models[0] / "run.json").read_text())["conditions"]["from1"]["attack"]["languages"]["de"]
    lines = [line for line in text.splitlines() if "from1, white-box | de" in line]
    fields = [field.strip() for field in lines[0].strip("|").split("|")]
    assert fields[4:6] == [str(numbers["examples"]), str(numbers["right"])]
    assert float(fields[6]) == pytest.approx(numbers["accuracy"][-1], abs=0.051)
    assert float(fields[8]) == pytest.approx(100 * numbers["broken"][-1] / numbers["right"], abs=0.051)
    control = numbers["control"]
    assert float(fields[10]) == pytest.approx(100 * control["broken"][-1] / control["right"], abs=0.051)
    assert fields[-1] == "swap delete repeat"  # keyboard does not apply to zh


def test_the_report_counts_broken_words(toy, runs, tmp_path):
    model = shutil.copytree(runs("panx"), tmp_path / "panx")
    files, _ = attack(toy, "panx", model, tmp_path / "attacked", "--queries", 12)
    predict(toy, "panx", model, f"clean={toy}/xtreme", f"greedy-2={tmp_path}/attacked/greedy-2")
    report.main(["--runs", str(model), "--baseline", str(model), "--output_dir", str(tmp_path / "report")])
    text = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    lines = {fields[3]: fields for line in text.splitlines() if "greedy-2, white-box" in line
             if (fields := [field.strip() for field in line.strip("|").split("|")])}  # fmt: skip
    shares = []
    for code in LANGUAGES["panx"]:
        own, luck = (files[name, code]["attack"]["words"] for name in CONDITIONS)
        assert luck["right"] == own["right"] and luck["broken"][-1] <= own["broken"][-1]
        share, random = (100 * one["broken"][-1] / one["right"] for one in (own, luck))
        count, told, interval, control = lines[code][14:18]
        assert (int(count), float(told), float(control)) == (
            own["right"], pytest.approx(share, abs=0.051), pytest.approx(random, abs=0.051)
        )  # fmt: skip
        ends = [float(end) for end in interval.split(" to ")]
        assert ends == [pytest.approx(share + side * 1.96 * own["error"], abs=0.06) for side in (-1, 1)]
        shares.append(share)
    assert float(lines["mean of 2"][15]) == pytest.approx(np.mean(shares), abs=0.051)


def test_attacked_lines_are_measured_by_run_alignment(toy, runs, tmp_path):
    attack(toy, "tatoeba", runs("tatoeba"), tmp_path / "attacked", "--queries", 16)
    flags = f"--data_dir {toy}/xtreme/tatoeba --model_name_or_path {toy}/model --output_dir {tmp_path}/aligned".split()
    flags += ["--languages", *LANGUAGES["tatoeba"], "--layers", "2", "--disable_tqdm", "true"]
    run_alignment.main([*flags, "--conditions", f"greedy-2={tmp_path}/attacked/greedy-2"])
    rows = [json.loads(line) for line in (tmp_path / "aligned/results.jsonl").read_text().splitlines()]
    top = {(r["language"], r["condition"]): r["value"] for r in rows if r["metric"] == "top1_raw" and r["layer"] == 2}
    files = json.loads((tmp_path / "attacked/manifest.json").read_text())["files"]
    for file in files:
        if file["op"] == "greedy":
            code = file["language"]
            assert top[code, "greedy-2"] < top[code, "clean"]
            assert abs(top[code, "greedy-2"] - file["attack"]["accuracy"][-1]) <= 2  # equal lines count as right there


def test_spans_and_answers_hold(toy, tmp_path):
    for qa, changed in (("question", "question"), ("context-protect", "context")):
        source = toy / "xtreme/xquad/xquad.de.json"
        file = TestFile(str(source), "xquad/xquad.de.json", "xquad", "de", None, None, (), qa)
        texts, editor = file.texts(), Editor("xquad", ["swap", "delete"])
        edits = []
        for own in texts:
            chosen = []
            for one in editor.candidates(own, own[0].name)[::7]:
                chosen += [one] if not any(one.touches(other) for other in chosen) else []
            edits.append(edits_of(own, chosen))
        file.write(tmp_path / "out.json", edits)
        rows = [
            question_answering.read(TARGETS["xquad"], folder, "test", "de")
            for folder in (toy / "xtreme", place(tmp_path))
        ]
        assert rows[0]["id"] == rows[1]["id"] and len(texts) == len(
            set(rows[0]["id" if qa == "question" else "paragraph"])
        )
        assert rows[0][changed] != rows[1][changed]
        texts_of = [[answers["text"] for answers in one["answers"]] for one in rows]
        assert texts_of[0] == texts_of[1]  # and reading checks that each is the slice of its context


def place(folder):
    (folder / "xquad").mkdir(exist_ok=True)
    shutil.copy(folder / "out.json", folder / "xquad/xquad.de.json")
    return folder


def test_margins_of_answers():
    """Two windows; right is "b" alone, which the second window has."""
    settings = question_answering_settings()
    features = run_features([[0, 2], [0, 2]], [["a", "b"], ["b", "c"]])
    reduced = {
        "scores": [np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[3.0, 0.5], [2.5, 0.25]])],
        "positions": [np.array([[0, 1], [0, 1]]), np.array([[0, 1], [0, 1]])],
    }
    rows = [{"context": "a b c"}]
    right = lambda row, text: text == "b"  # noqa: E731
    (margin,) = question_answering.margins(rows, features, reduced, right, settings)
    assert margin == pytest.approx((3 + 2.5) - (3 + 0.25))  # "b" against "b c"
    (margin,) = question_answering.margins(rows, features, reduced, lambda row, text: text == "a", settings)
    assert margin == pytest.approx(2.0 - 5.5)


def question_answering_settings():
    from heads import Settings

    return Settings(32, 16, 2, 30)


def run_features(contexts, pieces):
    from datasets import Dataset

    offsets = {"a": [0, 1], "b": [2, 3], "c": [4, 5]}
    spans = [[offsets[piece] for piece in window] for window in pieces]
    return Dataset.from_dict({"context": contexts, "offsets": spans, "example": [0] * len(contexts)})


# --- What is refused


@pytest.mark.parametrize(
    "flags, said",
    [
        ("--edits 5 --queries 4", "--edits 5: more than --queries 4"),
        ("--edits -1", "--edits -1: must be at least 0"),
        ("--queries 0", "--queries 0: must be at least 1"),
        ("--ops keybord", "--ops keybord: unknown operation; did you mean 'keyboard'?"),
        (
            "--ops codeswitch",
            "--ops codeswitch: none applies to all languages together (codeswitch for de: needs a table",
        ),
        ("--ops telex --all_ops", "--ops telex: none applies to any language"),
        ("--fields choices", "--fields choices: xnli has premise, hypothesis"),
        ("--languages xx", "--languages xx: "),
        ("--layer 2", "--layer 2: only retrieval"),
        ("--qa context-protect", "--qa context-protect: only question answering"),
        ("--do_train", "--do_train: nothing is trained"),
        ("--task bucc2018", "--task bucc2018: no margin per example"),
        ("--task panx", "is a run of xnli; give the folder of a finished run"),
        ("--task lareqa", "--task lareqa: no margin per example"),
        ("--bf16_full_eval true", "successes are verified in float32"),
        ("--max_predict_samples 0", "--max_predict_samples 0: must be at least 1"),
    ],
)
def test_wrong_flags(flags, said, toy, runs, tmp_path, capsys):
    line = refused(
        [*on_toy(toy, "xnli", tmp_path / "out", runs("xnli")), "--languages", "de", "zh", *flags.split()], capsys
    )
    assert said in line
    assert not (tmp_path / "out").exists()


def refused(argv, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run_attack.main(list(map(str, argv)))
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("run_attack.py: error")]
    assert left.value.code == 2 and len(lines) == 1
    return lines[0]


def test_wrong_folders(toy, runs, tmp_path, capsys):
    model, argv = runs("xnli"), on_toy(toy, "xnli", tmp_path / "out", runs("xnli"))
    assert "has no run.json" in refused(on_toy(toy, "xnli", tmp_path / "out", toy / "model"), capsys)
    cut = shutil.copytree(model, tmp_path / "cut")
    record = json.loads((cut / "run.json").read_text())
    record["training"].pop("finished")
    (cut / "run.json").write_text(json.dumps(record))
    assert "the run is not finished; go on with it" in refused(on_toy(toy, "xnli", tmp_path / "out", cut), capsys)
    data = tmp_path / "data"
    shutil.copytree(toy / "xtreme/xnli", data / "xnli")
    lines = [line.rpartition("\t")[0] for line in (data / "xnli/test-de.tsv").read_text().splitlines()]
    (data / "xnli/test-de.tsv").write_text("\n".join(lines) + "\n")
    stripped = f"--task xnli --data_dir {data} --model_name_or_path {model} --output_dir {tmp_path}/out --languages de"
    assert "test-de.tsv: no gold labels" in refused(stripped.split(), capsys)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_text("a")
    assert "not empty and not written by this script" in refused(on_toy(toy, "xnli", tmp_path / "full", model), capsys)
    assert not (tmp_path / "out").exists()
    attack(toy, "xnli", model, tmp_path / "out", "--queries", 4)
    other = on_toy(toy, "xnli", tmp_path / "out", runs("xnli", 2))
    assert "holds greedy-2 of xnli against" in refused(other, capsys)
    assert argv


# --- Processes


def command(toy, model, output):
    flags = [*on_toy(toy, "xnli", output, model), "--queries", "24", "--disable_tqdm", "true"]
    return [str(REPOSITORY / "run_attack.py"), *flags, "--languages", *LANGUAGES["xnli"]]


@pytest.mark.slow
def test_killed_and_run_again_equals_one_run_and_two_processes(toy, runs, tmp_path):
    output, argv = tmp_path / "out", command(toy, runs("xnli"), tmp_path / "out")
    subprocess.run([sys.executable, *argv], check=True, capture_output=True)
    whole = content(output)
    shutil.rmtree(output)
    killed = subprocess.Popen([sys.executable, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 300
    while not list(output.glob(".attack/*/xnli/*.json")) and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (output / "manifest.json").exists()
    subprocess.run([sys.executable, *argv], check=True, capture_output=True)
    assert content(output) == whole
    shutil.rmtree(output)
    torchrun(argv[0], argv[1:])
    assert content(output) == whole
    assert Path(output, "README.md").exists()
