"""run_alignment.py from parallel lines to results.jsonl, on the toy world's Tatoeba with its tiny XLM-R."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import on_toy, torchrun

import run_alignment
import run_xtreme
from common.launching import cpu_has_bf16

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
CODES = ("de", "hi", "zh")


@pytest.fixture(scope="module")
def noised(toy, tmp_path_factory):
    """Two noised copies of the toy world's Tatoeba, the worse one swapping twice as many words; zh lacks one."""
    folder = tmp_path_factory.mktemp("noised")
    for name, share in (("swap-1", 0.2), ("swap-2", 0.4)):
        (folder / name).mkdir()
        for code in CODES[: 3 if name == "swap-1" else 2]:
            draw, lines = random.Random(0), []
            for line in (toy / f"xtreme/tatoeba/{code}-en.{code}").read_text(encoding="utf-8").splitlines():
                words = list(line)
                for place in range(len(words) - 1):
                    if draw.random() < share:
                        words[place : place + 2] = words[place + 1], words[place]
                lines.append("".join(words))
            (folder / name / f"{code}-en.{code}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def command(toy, output, *more, model=None):
    model = model or toy / "model"
    flags = f"--data_dir {toy}/xtreme/tatoeba --model_name_or_path {model} --output_dir {output} --disable_tqdm true"
    return [*flags.split(), "--languages", *CODES, *map(str, more)]


def conditions(noised):
    return ["--conditions", f"swap-1={noised}/swap-1", f"swap-2={noised}/swap-2"]


def rows(output, **wanted):
    lines = (output / "results.jsonl").read_text(encoding="utf-8").splitlines()
    every = [json.loads(line) for line in lines]
    return [row for row in every if all(row[name] == value for name, value in wanted.items())]


def values(output, **wanted):
    keys = ("language", "condition", "layer", "metric")
    return {tuple(row[key] for key in keys): row["value"] for row in rows(output, **wanted)}


def alike(one, other, tolerance=1e-4):
    assert one.keys() == other.keys() and one
    for key, value in one.items():
        assert (value is None) == (other[key] is None), key
        assert value is None or abs(value - other[key]) <= tolerance * max(1, abs(value)), key


@pytest.fixture(scope="module")
def measured(toy, noised, tmp_path_factory):
    output = tmp_path_factory.mktemp("measured") / "run"
    run_alignment.main(command(toy, output, *conditions(noised)))
    return output


def refused(argv, capsys):
    """The one line with which a command is refused."""
    with pytest.raises(SystemExit) as left:
        run_alignment.main(list(map(str, argv)))
    said = capsys.readouterr().err.strip()
    assert left.value.code == 2 and said.startswith("run_alignment.py: error: ") and "\n" not in said, said
    return said


def test_a_row_for_every_language_condition_layer_and_metric(measured, toy):
    one = rows(measured, language="de", condition="swap-1", layer=2, metric="top1_csls")
    assert len(one) == 1 and one[0]["low"] <= one[0]["value"] <= one[0]["high"]
    assert one[0]["floor"] > 0 and one[0]["n"] > 20 and one[0]["parent"] == str(toy / "model")
    assert {row["layer"] for row in rows(measured)} == {None, 0, 1, 2, 3}
    assert {row["condition"] for row in rows(measured, language="zh")} == {"clean", "swap-1"}
    layer = {row["metric"] for row in rows(measured, layer=1, language="de", condition="swap-1")}
    assert {"cka", "cka_z", "anc", "rsa", "shift", "overlap", "stability", "lost", "gained", "pair_gap"} <= layer
    assert {"self_similarity", "self_similarity_own_mean", "top1_csls_own_mean", "top1_raw_from_pivot"} <= layer
    whole = {row["metric"] for row in rows(measured, layer=None, language="de", condition="swap-1")}
    assert whole == {"fertility", "token_growth", "unchanged"}
    record = json.loads((measured / "run.json").read_text(encoding="utf-8"))
    assert record["task"] == "alignment" and record["finished_at"] and set(record["conditions"]) >= {"clean", "swap-2"}
    assert "layer 3" in (measured / "README.md").read_text(encoding="utf-8")


def test_raw_retrieval_is_that_of_run_xtreme(measured, toy, tmp_path):
    run_xtreme.main(
        [*on_toy(toy, "tatoeba", tmp_path / "run"), "--do_predict", "--layer", "all", "--languages", *CODES]
    )
    theirs = {}
    for row in rows(tmp_path / "run"):
        metric, _, layer = row["metric"].partition("_layer")
        layer = int(layer) if layer else 2  # 14 of 24, of 3
        theirs[row["language"], metric, layer] = row["value"]
    for code in CODES:
        for layer in range(4):
            key = code, "clean", layer
            own = values(measured)
            # equal lines of Tatoeba count as right here, and only here
            assert own[*key, "top1_raw_from_pivot"] >= theirs[code, "accuracy", layer] - 1e-4
            assert own[*key, "top1_raw"] >= theirs[code, "accuracy_reverse", layer] - 1e-4
            repeated = rows(measured, language=code, condition="clean", layer=layer, metric="top1_raw")[0]
            if abs(repeated["floor"] - 100 / repeated["n"]) < 1e-3:
                assert own[*key, "top1_raw_from_pivot"] == pytest.approx(theirs[code, "accuracy", layer], abs=1e-4)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data copy is not here")
def test_raw_retrieval_on_real_text_is_that_of_run_xtreme(toy, tmp_path):
    (tmp_path / "tatoeba").mkdir()
    for code in ("sw", "zh"):  # without equal lines, which count as right here
        for side in (code, "en"):
            text = (SHARED / f"text/{side}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
            (tmp_path / f"tatoeba/{code}-en.{side}").write_text("".join(text[:100]), encoding="utf-8")
    model = ["--model_name_or_path", str(toy / "model"), "--languages", "sw", "zh"]
    run_xtreme.main(f"--task tatoeba --data_dir {tmp_path} --output_dir {tmp_path}/run --do_predict".split() + model)
    run_alignment.main(
        f"--data_dir {SHARED}/text --output_dir {tmp_path}/own --layers 2 --max_lines 100".split() + model
    )
    own, theirs = values(tmp_path / "own"), rows(tmp_path / "run")
    for row in theirs:
        metric = {"accuracy": "top1_raw_from_pivot", "accuracy_reverse": "top1_raw"}.get(row["metric"])
        if metric:
            assert own[row["language"], "clean", 2, metric] == pytest.approx(row["value"], abs=1e-4)


def test_more_noise_is_less_alike(measured):
    for metric in ("self_similarity", "overlap"):
        one, two = (values(measured, language="de", condition=name, metric=metric) for name in ("swap-1", "swap-2"))
        assert sum(one.values()) > sum(two.values()), metric


def test_batches_and_layers_change_nothing(measured, toy, noised, tmp_path):
    run_alignment.main(
        command(toy, tmp_path / "run", *conditions(noised), "--per_device_eval_batch_size", 3, "--layers", 1, 3)
    )
    expected = {key: value for key, value in values(measured).items() if key[2] in (None, 1, 3)}
    alike(values(tmp_path / "run"), expected)


def test_a_stopped_run_goes_on_and_changed_files_are_measured_again(measured, toy, noised, tmp_path, caplog):
    output, copy = tmp_path / "run", tmp_path / "noised"
    shutil.copytree(measured, output)
    shutil.copytree(noised, copy)
    (output / "scores/swap-2/alignment/test-hi.npz").unlink()
    (output / "results.jsonl").write_text("", encoding="utf-8")
    with caplog.at_level("INFO", "xtreme"):
        run_alignment.main(command(toy, output, *conditions(copy)))
    assert "de: finished before, skipped" in caplog.text and "hi: swap-2" in caplog.text
    again, first = ((folder / "results.jsonl").read_text(encoding="utf-8") for folder in (output, measured))
    assert again.replace(str(output), str(measured)) == first
    with open(copy / "swap-1/zh-en.zh", "r+", encoding="utf-8") as file:
        text = file.read()
        file.seek(0)
        file.write(text[1:])
        file.truncate()
    before = values(output)
    run_alignment.main(command(toy, output, *conditions(copy)))
    changed = {key[:2] for key, value in values(output).items() if value != before[key]}
    assert changed == {("zh", "swap-1")}


def test_a_signal_keeps_finished_languages(measured, toy, noised, tmp_path, monkeypatch, capsys):
    output, asked = tmp_path / "run", iter((False, True))
    with monkeypatch.context() as patched:
        patched.setattr(run_alignment, "stop_requested", lambda: next(asked))
        with pytest.raises(SystemExit) as left:
            run_alignment.main(command(toy, output, *conditions(noised)))
    assert left.value.code == 0 and "finished cells are kept, run the same command again" in capsys.readouterr().err
    assert {row["language"] for row in rows(output)} == {"de"}
    run_alignment.main(command(toy, output, *conditions(noised)))
    alike(values(output), values(measured))


def test_a_folder_is_for_one_model(measured, toy, tmp_path, capsys):
    shutil.copytree(measured, tmp_path / "run")
    other = tmp_path / "model"
    shutil.copytree(toy / "model", other)
    with open(other / "config.json", "a", encoding="utf-8") as file:
        file.write("\n")
    assert "not the model whose results" in refused(command(toy, tmp_path / "run", model=other), capsys)


def test_random_weights_stand_beside(toy, noised, tmp_path):
    flags = ["--random_baseline", "--layers", 2, "--pooling", "inner", "--max_lines", 30]
    run_alignment.main(command(toy, tmp_path / "run", *conditions(noised), *flags))
    found = rows(tmp_path / "run", layer=2, metric="top1_csls", condition="clean")
    assert len(found) == 3 and all(0 <= row["random"] <= 100 and row["n"] == 30 for row in found)
    cka = rows(tmp_path / "run", layer=2, metric="cka", condition="swap-1")
    assert any(abs(row["random"] - row["value"]) > 0.01 for row in cka)


def test_arrays_of_a_cell_are_its_rows(measured):
    arrays = np.load(measured / "scores/swap-1/alignment/test-de.npz")
    for layer in range(4):
        row = values(measured, language="de", condition="swap-1", layer=layer)
        assert 100 * arrays["top1_csls"][layer].mean() == pytest.approx(
            row["de", "swap-1", layer, "top1_csls"], abs=1e-3
        )
        mean = arrays["self_similarity"][layer].mean()
        assert mean == pytest.approx(row["de", "swap-1", layer, "self_similarity"], abs=1e-5)
    assert arrays["cka_halves"].shape == (4, 200)


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--layers 9", "--layers 9: the model has 3 layers; give 0 to 3 or 'all'"),
        ("--layers last", "give hidden_states indices"),
        ("--max_lines 0", "--max_lines 0: must be at least 1"),
        ("--max_lines 10", "10 different pairs of lines; alignment needs at least 20"),
        ("--languages xx", "--languages xx: "),
        ("--pivot fr", "no parallel text with fr"),
        ("--conditions swap-1=/nowhere", "no such folder"),
        ("--conditions clean=/", "the clean text is --data_dir"),
        ("--both_sides", "there is no noised text"),
        ("--do_train", "--do_train: nothing is trained here"),
        ("--pooling cls", "invalid choice"),
        ("--segmented zh", "only --words looks at words"),
        ("--words", "--words: zh is written without spaces; put spaces between the words"),
        ("--data_dir /nowhere", "--data_dir /nowhere: no such folder"),
        ("--max_seq_length 4", "must be at least 16"),
        ("--layer 3", "unknown flag --layer; did you mean --layers?"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(toy, tmp_path, capsys, flags, words):
    assert words in refused([*command(toy, tmp_path / "out"), *flags.split()], capsys)
    assert not (tmp_path / "out").exists()


def test_noise_on_both_sides_reads_both_from_the_noised_folder(measured, toy, tmp_path):
    """A copy whose sides have changed places: retrieval into the pivot is the clean text's from the pivot."""
    copy, clean = tmp_path / "swapped", toy / "xtreme/tatoeba"
    copy.mkdir()
    for code in CODES:
        for one, other in ((code, "en"), ("en", code)):
            shutil.copy(clean / f"{code}-en.{one}", copy / f"{code}-en.{other}")
    run_alignment.main(command(toy, tmp_path / "one", "--conditions", f"swapped={copy}"))
    assert set(values(tmp_path / "one", condition="swapped", metric="top1_raw").values()) == {100.0}
    run_alignment.main(command(toy, tmp_path / "both", "--conditions", f"swapped={copy}", "--both_sides"))
    both, before = values(tmp_path / "both", condition="swapped"), values(measured, condition="clean")
    pairs = {"top1_raw": "top1_raw_from_pivot", "top1_raw_from_pivot": "top1_raw", "pair_gap_raw": "pair_gap_raw"}
    for code in CODES:
        for layer in sorted({key[2] for key in before if key[2] is not None}):
            for name, was in pairs.items():
                value = both[code, "swapped", layer, name]
                assert value == pytest.approx(before[code, "clean", layer, was], abs=1e-4), (code, layer, name)


def test_words(toy, noised, tmp_path):
    output = tmp_path / "run"
    run_alignment.main(command(toy, output, *conditions(noised), "--words", "--segmented", "zh", "--layers", 1))
    found = {(row["language"], row["condition"], row["metric"]): row for row in rows(output, layer=2)}
    assert found["de", "clean", "words_linked"]["value"] > 50 and ("zh", "swap-1", "words_linked") in found
    one, two = (found["de", name, "words_f1"]["value"] for name in ("swap-1", "swap-2"))
    assert 0 < two < one < 100
    whole, edited, untouched = (found["hi", "swap-1", f"words_f1{kind}"] for kind in ("", "_edited", "_untouched"))
    assert edited["value"] < whole["value"] < untouched["value"] and whole["low"] < whole["value"] < whole["high"]


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bfloat16")
def test_bf16(measured, toy, tmp_path):
    run_alignment.main(command(toy, tmp_path / "run", "--bf16"))
    one, other = (values(folder, condition="clean", metric="cka") for folder in (measured, tmp_path / "run"))
    alike(one, other, 0.05)


@pytest.mark.slow
def test_two_processes_are_one(measured, toy, noised, tmp_path):
    torchrun("run_alignment.py", command(toy, tmp_path / "run", *conditions(noised)))
    alike(values(tmp_path / "run"), values(measured))
