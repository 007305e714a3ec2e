"""run_translation.py from parallel lines to results, on the toy world's Tatoeba with its tiny XLM-R."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import torchrun
from safetensors.torch import load_file
from transformers import AutoTokenizer, EncoderDecoderModel

import metrics
import run_translation
from noise import Noiser
from toyworld.world import GRAMMARS, Speaker, distinct, lexicon

ROOT = Path(run_translation.__file__).parent
CODES = ("de", "hi")
NINJA = shutil.which("ninja", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def lines(toy, tmp_path_factory):
    """Folder of pairs to train and select on, from the toy world's Tatoeba, and a noised copy of its German."""
    folder = tmp_path_factory.mktemp("lines")
    for code in CODES:
        for side in (code, "en"):
            whole = (toy / f"xtreme/tatoeba/{code}-en.{side}").read_text(encoding="utf-8").splitlines()
            for split, part in (("train", whole[:72]), ("dev", whole[72:80])):
                (folder / f"{split}.{code}-en.{side}").write_text(
                    "".join(f"{line}\n" for line in part), encoding="utf-8"
                )
    (folder / "noised").mkdir()
    shuffled = [
        line[1:] + line[:1] for line in (toy / "xtreme/tatoeba/de-en.de").read_text(encoding="utf-8").splitlines()
    ]
    (folder / "noised/de-en.de").write_text("".join(f"{line}\n" for line in shuffled), encoding="utf-8")
    return folder


def command(toy, lines, output, *more, model=None):
    flags = f"--model_name_or_path {model or toy / 'model'} --data_dir {lines} --output_dir {output} --do_train"
    shape = "--decoder_layers 2 --max_seq_length 48 --learning_rate 1e-3 --max_steps 4 --logging_steps 1"
    return [*f"{flags} {shape} --disable_tqdm true --save_strategy no".split(), *map(str, more)]


def predicting(toy, lines, *more):
    flags = f"--do_predict --conditions clean={toy}/xtreme/tatoeba swap-1={lines}/noised --max_predict_samples 6"
    return [*flags.split(), "--languages", *CODES, *more]


def log(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return np.array([[row["loss"], row["grad_norm"]] for row in history if "loss" in row])


def kept(folder):
    """What must be equal to the byte: the model, translations, scores, tables; not times and logs."""
    other = ("run.json", "_results.json", "_state.json", ".lock")
    files = [path for path in Path(folder).rglob("*") if path.is_file() and not path.name.endswith(other)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if "checkpoint-" not in str(path)}


def rows(output, name="results.jsonl"):
    return [json.loads(line) for line in (output / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def trained(toy, lines, tmp_path_factory):
    """A run that has trained, selected and translated."""
    output = tmp_path_factory.mktemp("trained") / "run"
    run_translation.main(command(toy, lines, output, "--do_eval", "--comet_inputs", *predicting(toy, lines)))
    return output


def test_updates_do_not_depend_on_accumulation_and_processes(toy, lines, tmp_path):
    for name, tokens, steps in (("whole", 512, 1), ("four", 128, 4)):
        run_translation.main(
            command(toy, lines, tmp_path / name, "--max_tokens", tokens, "--gradient_accumulation_steps", steps)
        )
    flags = ["--max_tokens", "128", "--gradient_accumulation_steps", "2"]
    torchrun(run_translation.__file__, command(toy, lines, tmp_path / "two", *flags, *predicting(toy, lines)))
    whole = log(tmp_path / "whole")
    assert len(whole) == 4 and whole[0, 0] > whole[-1, 0]
    for name in ("four", "two"):
        assert np.abs(log(tmp_path / name)[:, 0] - whole[:, 0]).max() < 1e-4
        assert np.allclose(log(tmp_path / name)[:, 1], whole[:, 1], rtol=1e-3)
    # translations shared out over processes are those of one
    alone = [*predicting(toy, lines), "--output_dir", str(tmp_path / "alone"), "--disable_tqdm", "true"]
    run_translation.main(["--model_name_or_path", str(tmp_path / "two"), "--max_seq_length", "48", *alone])
    for name, content in kept(tmp_path / "alone").items():
        if name.startswith("predictions/"):
            assert kept(tmp_path / "two")[name] == content


def test_what_a_run_leaves(toy, trained):
    record = json.loads((trained / "run.json").read_text())
    assert record["task"] == "translation" and record["training"]["finished"]
    assert set(record["signatures"]) == {"bleu", "chrf++"} and "tok:13a" in record["signatures"]["bleu"]
    cells = {(row["condition"], row["language"]) for row in rows(trained)}
    assert cells == {("clean", "de"), ("clean", "hi"), ("swap-1", "de")}
    english = (toy / "xtreme/tatoeba/de-en.en").read_text(encoding="utf-8").splitlines()[:6]
    outputs = (trained / "predictions/swap-1/translation/test-de.txt").read_text(encoding="utf-8").split("\n")[:-1]
    told = {
        row["metric"]: row["value"] for row in rows(trained) if (row["condition"], row["language"]) == ("swap-1", "de")
    }
    expected = metrics.score("translation", english, outputs)
    assert len(outputs) == 6 and all(told[name] == value for name, value in expected.items())
    counts = rows(trained, "scores/swap-1/translation/test-de.jsonl")
    assert metrics.aggregate("translation", counts) == expected and {"empty", "copied"} <= counts[0].keys()
    (noised,) = rows(trained, "robustness.jsonl")
    assert noised["language"] == "de" and noised["value"] == told["chrf++"] and noised["rate"] is None
    assert len(rows(trained, "comet_inputs.jsonl")) == 18
    assert not list(trained.rglob("training_args.bin"))


def test_the_encoder_stays_what_it_was(toy, trained):
    before, after = load_file(toy / "model/model.safetensors"), load_file(trained / "model.safetensors")
    assert all(torch.equal(value, after[f"encoder.{name}"]) for name, value in before.items())
    assert all(value.dtype == torch.float32 for value in after.values())


def test_transformers_alone_translates_in_three_lines(toy, trained):
    sources = (toy / "xtreme/tatoeba/de-en.de").read_text(encoding="utf-8").splitlines()[:6]
    model, source, target = (
        EncoderDecoderModel.from_pretrained(trained),
        AutoTokenizer.from_pretrained(trained),
        AutoTokenizer.from_pretrained(f"{trained}/target"),
    )
    alone = [source(line, return_tensors="pt") for line in sources]
    ids = [model.generate(**line, max_new_tokens=2 * line["input_ids"].shape[1] + 20)[0] for line in alone]
    texts = [" ".join(text.split()) for text in target.batch_decode(ids, skip_special_tokens=True)]
    assert (
        texts == (trained / "predictions/clean/translation/test-de.txt").read_text(encoding="utf-8").split("\n")[:-1]
    )
    assert model.generation_config.num_beams == 5 and model.generation_config.decoder_start_token_id == 2
    text = (ROOT / "docs/translation.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names = {"folder": str(trained), "print": lambda texts: names.setdefault("said", texts)}
    exec(block, names)
    assert len(block.splitlines()) == 5 and isinstance(names["said"][0], str)


def test_finished_cells_are_skipped(toy, lines, trained, tmp_path, caplog):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    again = [*command(toy, lines, folder, "--do_eval", "--comet_inputs"), *predicting(toy, lines)]
    (folder / "predictions/clean/translation/test-hi.txt").unlink()
    (folder / "scores.txt").write_text("0.5\n" * 18)
    with caplog.at_level("INFO", "xtreme"):
        run_translation.main([*again, "--comet_scores", str(folder / "scores.txt")])
    skipped = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert skipped == [
        "translation de clean: finished before, skipped",
        "translation de swap-1: finished before, skipped",
    ]
    comet = {(row["condition"], row["language"]): row["value"] for row in rows(folder) if row["metric"] == "comet"}
    assert set(comet.values()) == {50.0} and len(comet) == 3
    assert rows(folder, "scores/clean/translation/test-hi.jsonl")[0]["comet"] == 0.5
    assert (
        kept(folder)["predictions/clean/translation/test-hi.txt"]
        == kept(trained)["predictions/clean/translation/test-hi.txt"]
    )


def test_the_best_of_several_translations_is_the_translation(toy, lines, trained, tmp_path):
    argv = ["--model_name_or_path", trained, "--output_dir", tmp_path / "run", *predicting(toy, lines)]
    argv += ["--max_seq_length", 48, "--disable_tqdm", "true", "--n_best", 3]
    run_translation.main(list(map(str, argv)))
    for path in (tmp_path / "run/predictions").rglob("*.txt"):
        best = rows(path.parent, path.with_suffix(".nbest.jsonl").name)
        assert [own[0] for own in best] == path.read_text(encoding="utf-8").split("\n")[:-1]
        assert len(best) == 6 and {len(own) for own in best} == {3}
        assert path.read_bytes() == (trained / path.relative_to(tmp_path / "run")).read_bytes()


def test_the_second_stage_starts_from_the_first(toy, lines, trained, tmp_path):
    argv = command(toy, lines, tmp_path / "run", "--freeze", "embeddings", model=trained)
    at = argv.index("--decoder_layers")
    run_translation.main(argv[:at] + argv[at + 2 :])
    before, after = load_file(trained / "model.safetensors"), load_file(tmp_path / "run/model.safetensors")
    same = {name for name in after if torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    embeddings = {name for name in after if name.startswith("encoder.embeddings") or "word_embeddings" in name}
    assert embeddings <= same and not any("encoder.encoder.layer.0.output" in name for name in same)


def test_a_stopped_run_goes_on_to_the_same_bytes(toy, lines, trained, tmp_path, monkeypatch):
    from translation.trainer import TranslationTrainer

    flags = [
        "--freeze",
        "nothing",
        "--target_vocabulary",
        "full",
        "--do_eval",
        "--eval_strategy",
        "steps",
        "--eval_steps",
        "2",
    ]
    argv = command(toy, lines, tmp_path / "run", "--max_tokens", 512, *flags)
    argv[argv.index("--save_strategy") + 1] = "steps"
    argv += ["--save_steps", "2"]
    run_translation.main(argv)
    whole = kept(tmp_path / "run")
    assert any(name.startswith("target/") for name in whole)
    shutil.rmtree(tmp_path / "run")
    compute, calls = TranslationTrainer.compute_loss, []

    def stopping(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(self, *args, **kwargs)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(TranslationTrainer, "compute_loss", stopping)
        run_translation.main(argv)
    assert (tmp_path / "run/checkpoint-3").is_dir()
    run_translation.main(argv)
    assert kept(tmp_path / "run") == whole


REFUSED = {
    "--per_device_train_batch_size: batches are made by tokens": ["--per_device_train_batch_size", "8"],
    "--train_languages sw: ": ["--train_languages", "sw"],
    "--languages sw: ": ["--do_predict", "--conditions", "clean={toy}/xtreme/tatoeba", "--languages", "swa"],
    "the model has 512 positions": ["--max_seq_length", "600"],
    "--pair_temperature 0.5": ["--pair_temperature", "0.5"],
    "--decoder_layers 0": ["--decoder_layers", "0"],
    "--n_best 6: must be from 1 to --num_beams 5": ["--n_best", "6"],
    "no parallel text with en": ["--do_predict", "--conditions", "clean={lines}/noised"],
    "--metric_for_best_model f1: the metrics are bleu, chrf++": ["--do_eval", "--metric_for_best_model", "f1"],
}


def refused(argv, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run_translation.main(list(map(str, argv)))
    said = capsys.readouterr().err.strip().split("\n")[-1]
    assert left.value.code == 2 and said.startswith("run_translation.py: error: "), said
    return said


@pytest.mark.parametrize("says", REFUSED)
def test_bad_flags_are_refused_in_one_line(toy, lines, tmp_path, capsys, says):
    more = [token.format(toy=toy, lines=lines) for token in REFUSED[says]]
    argv = command(toy, lines, tmp_path / "run")
    said = refused([*argv, *more], capsys)
    assert says.replace("--languages sw: ", "--languages swa: ") in said and not (tmp_path / "run").exists()


def test_bad_models_and_texts_are_refused(toy, lines, trained, tmp_path, capsys):
    argv = ["--model_name_or_path", toy / "model", "--output_dir", tmp_path / "run", *predicting(toy, lines)]
    assert "an encoder without a decoder; train one with --do_train" in refused(argv, capsys)
    argv = command(toy, lines, tmp_path / "run", model=trained)
    assert f"--decoder_layers: {trained} has a decoder already" in refused(argv, capsys)
    broken = tmp_path / "lines"
    shutil.copytree(lines, broken)
    (broken / "train.de-en.de").write_text("nur eine Zeile\n")
    assert "train.de-en.de: 1 lines but train.de-en.en has 72" in refused(
        command(toy, broken, tmp_path / "run"), capsys
    )
    (broken / "train.de-en.de").write_text("ሰላም ለዓለም\n" * 72)
    assert "has no pieces for 100 % of its words" in refused(command(toy, broken, tmp_path / "run"), capsys)
    assert not (tmp_path / "run").exists()


# --- Slow: a world that can be learned, kill -9, ZeRO ---------------------------------------------------------------


def world(folder, numbers, codes):
    """Invented pairs of the toy world's languages with English."""
    speakers = {code: Speaker(code, lexicon(0)) for code in GRAMMARS}
    for code in codes:
        for split, number in numbers.items():
            facts = distinct(random.Random(f"{split} {code}"), number)
            for side in (code, "en"):
                text = "".join(f"{speakers[side].say(fact)}\n" for fact in facts)
                Path(folder, f"{split}.{code}-en.{side}").write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_the_toy_world_is_translated_and_noise_lowers_it(toy, tmp_path):
    (tmp_path / "data").mkdir()
    world(tmp_path / "data", {"train": 2400, "test": 60}, ("de", "hi"))
    conditions = [f"clean={tmp_path}/data"]
    for level in (1, 3, 5):
        (tmp_path / f"swap-{level}").mkdir()
        conditions.append(f"swap-{level}={tmp_path}/swap-{level}")
        for code in ("de", "hi"):
            noiser, name = Noiser("swap", level, code), f"test.{code}-en.{code}"
            text = (tmp_path / "data" / name).read_text(encoding="utf-8").splitlines()
            noised = (noiser(line, f"{name} {number}")[0] for number, line in enumerate(text))
            (tmp_path / f"swap-{level}" / name).write_text("".join(f"{line}\n" for line in noised), encoding="utf-8")
    argv = command(toy, tmp_path / "data", tmp_path / "run", "--max_tokens", 1200, "--do_predict", "--num_beams", 1)
    argv[argv.index("--max_steps") + 1] = "700"
    run_translation.main([*argv, "--warmup_steps", "100", "--logging_steps", "100", "--conditions", *conditions])
    scores = {
        (row["language"], row["condition"]): row["value"]
        for row in rows(tmp_path / "run")
        if row["metric"] == "chrf++"
    }
    print(scores)
    for code in ("de", "hi"):
        values = [scores[code, name.partition("=")[0]] for name in conditions]
        assert values[0] > 90 and values == sorted(values, reverse=True) and values[0] > values[-1] + 10


KILLED = """
import os, signal, sys, run_translation
from {0} import {1} as owner
whole, calls = owner.{2}, []

def until(*args, **options):
    calls.append(1)
    if len(calls) == {3}:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*args, **options)

owner.{2} = until
run_translation.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_and_run_again(toy, lines, trained, tmp_path):
    flags = ["--do_eval", "--comet_inputs", *predicting(toy, lines)]
    argv = command(toy, lines, tmp_path / "run", "--max_tokens", 512, *flags)
    argv[argv.index("--save_strategy") + 1] = "steps"
    argv += ["--save_steps", "1", "--eval_strategy", "steps", "--eval_steps", "1"]
    code = KILLED
    run_translation.main(argv)
    whole = kept(tmp_path / "run")
    for where in (
        ("translation.trainer", "TranslationTrainer", "compute_loss", 3),
        ("translation.trainer", "TranslationTrainer", "save_weights", 2),
        ("translation.generation", "Translator", "translate", 7),
    ):
        shutil.rmtree(tmp_path / "run")
        done = subprocess.run([sys.executable, "-c", code.format(*where), *argv], cwd=ROOT, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
        run_translation.main(argv)
        assert kept(tmp_path / "run") == whole, where


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("c++") and NINJA), reason="DeepSpeed's CPU parts need a C++ compiler and ninja")
@pytest.mark.parametrize("freeze, vocabulary", [("encoder", "trim"), ("nothing", "full")])
def test_zero_on_two_processes(toy, lines, tmp_path, freeze, vocabulary):
    flags = [
        "--freeze",
        freeze,
        "--target_vocabulary",
        vocabulary,
        "--adam_epsilon",
        "1e-6",
        "--do_eval",
        "--num_beams",
        "2",
    ]
    flags += predicting(toy, lines)
    run_translation.main(command(toy, lines, tmp_path / "one", "--max_tokens", 256, *flags))
    one, texts = log(tmp_path / "one"), {}
    for mode in ("ddp", "zero2", "zero3"):
        zero = [] if mode == "ddp" else ["--deepspeed", str(ROOT / f"ds_configs/{mode}.json"), "--bf16", "false"]
        torchrun(run_translation.__file__, command(toy, lines, tmp_path / mode, "--max_tokens", 128, *flags, *zero))
        assert np.abs(log(tmp_path / mode)[:, 0] - one[:, 0]).max() < 1e-4, mode
        texts[mode] = {name: value for name, value in kept(tmp_path / mode).items() if name.startswith("predictions/")}
        assert EncoderDecoderModel.from_pretrained(tmp_path / mode).decoder.lm_head.bias.dtype == torch.float32
    assert texts["ddp"] == texts["zero2"] == texts["zero3"] and len(texts["ddp"]) == 3
