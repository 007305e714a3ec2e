"""Dual encoders: the loss of the protocol's micro-batches and of gathered ones, models, search in one pool."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import on_toy, torchrun
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModel

import metrics
import run_xtreme
from common import checkpoints
from common.trainer import EncoderTrainer
from heads import Settings, dual_encoder
from score import gold_of_data
from tasks import TARGETS

# Adam would take a gradient's rounding for its sign where it is nearly zero
SHAPE = "--max_seq_length 48 --learning_rate 1e-3 --optim sgd --disable_tqdm true --logging_steps 1".split()
TRAIN = [*SHAPE, "--do_train", "--max_steps", "3", "--max_train_samples", "40", "--save_strategy", "no"]


def command(toy, output, *flags, task="lareqa", model=None):
    return [*on_toy(toy, task, output, model), *flags]


def split(size, steps):
    return ["--per_device_train_batch_size", str(size), "--gradient_accumulation_steps", str(steps)]


def log(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return np.array([[row["loss"], row["grad_norm"]] for row in history if "loss" in row])


def check_same(one, other):
    """The same loss and gradients at the same weights, and the same weights after three steps; the losses of later
    steps are 100 times cosines, whose rounding they carry.
    """
    assert len(log(one)) == 3 and np.allclose(log(one)[0], log(other)[0], rtol=1e-6, atol=0)
    assert np.allclose(log(one), log(other), rtol=1e-5, atol=0)
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-6


# --- The loss


def test_the_loss_is_the_protocols(toy, tmp_path):
    """Cross-entropy of every question over the answers of its micro-batch, the diagonal being right."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(8, 2, 16, generator=generator), dim=-1)
    logits = dual_encoder.in_batch_logits(vectors, torch.tensor([7.0]))
    expected = torch.nn.functional.cross_entropy(7 * vectors[:, 0] @ vectors[:, 1].T, torch.arange(8))
    assert torch.allclose(torch.nn.functional.cross_entropy(logits, torch.zeros(8, dtype=torch.long)), expected)
    alone = dual_encoder.in_batch_logits(vectors[:1], torch.tensor([7.0]))
    assert torch.nn.functional.cross_entropy(alone, torch.tensor([0])) == 0
    assert dual_encoder.dev_loss(vectors, torch.tensor([7.0])) == pytest.approx(expected.item(), abs=1e-6)


def test_gathered_negatives_do_not_depend_on_how_the_batch_is_split(toy, tmp_path):
    gather = [*TRAIN, "--negatives", "gather"]
    run_xtreme.main(command(toy, tmp_path / "whole", *gather, *split(8, 1)))
    run_xtreme.main(command(toy, tmp_path / "two", *gather, *split(4, 2)))
    check_same(tmp_path / "whole", tmp_path / "two")
    # one micro-batch is the protocol's: no gathering needed
    run_xtreme.main(command(toy, tmp_path / "protocol", *TRAIN, *split(8, 1)))
    check_same(tmp_path / "whole", tmp_path / "protocol")
    # fewer negatives, so another loss
    run_xtreme.main(command(toy, tmp_path / "micro", *TRAIN, *split(4, 2)))
    assert np.abs(log(tmp_path / "micro")[0, 0] - log(tmp_path / "whole")[0, 0]) > 0.01
    torchrun(run_xtreme.__file__, command(toy, tmp_path / "processes", *gather, *split(4, 1)))
    check_same(tmp_path / "whole", tmp_path / "processes")


def test_dropout_is_the_same_both_times(toy, tmp_path):
    """With one micro-batch gathering changes nothing, dropout included."""
    shutil.copytree(toy / "model", tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.3}))
    for negatives in ("micro_batch", "gather"):
        flags = [*TRAIN, *split(8, 1), "--negatives", negatives]
        run_xtreme.main(command(toy, tmp_path / negatives, *flags, model=tmp_path / "model"))
    check_same(tmp_path / "micro_batch", tmp_path / "gather")


def test_memory_is_that_of_a_micro_batch(toy, tmp_path, monkeypatch):
    """The bytes that one backward pass keeps, by effective batch."""
    kept = {}

    def measured(steps, *flags):
        sizes, now = [0], [0]

        def pack(tensor):
            now[0] += tensor.numel() * tensor.element_size()
            return tensor

        backward = Accelerator.backward

        def end(self, *args, **kwargs):
            backward(self, *args, **kwargs)
            sizes.append(now[0])
            now[0] = 0

        monkeypatch.setattr(Accelerator, "backward", end)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            run_xtreme.main(command(toy, tmp_path / f"{len(kept)}", *TRAIN, *flags, "--max_steps", "1"))
        monkeypatch.undo()
        kept[steps] = max(sizes)

    measured("4x2", "--negatives", "gather", *split(4, 2))
    measured("4x8", "--negatives", "gather", *split(4, 8))
    measured("32x1", *split(32, 1))
    assert kept["4x8"] < 1.05 * kept["4x2"] and kept["32x1"] > 3 * kept["4x8"], kept


# --- Texts


def test_texts_are_cut_as_the_protocols_and_lower_cased_where_asked(toy):
    tokenizer = checkpoints.load_tokenizer(toy / "model")

    def encoded(rows, length, **more):
        features = dual_encoder.encode(Dataset.from_list(rows), tokenizer, (), Settings(length, 0, 1, 1, **more))
        assert features["labels"] == [0] * len(rows)
        return features["input_ids"]

    long = [{"question": "Q " * 300, "answer": "A " * 300}]
    assert [len(side) for side in encoded(long, 256)[0]] == [96, 256]  # LAReQA
    assert [len(side) for side in encoded(long, 64)[0]] == [64, 64]  # Mewsli-X
    cased, lower = [{"question": "Ab Cd", "answer": "Ef GH"}], [{"question": "ab cd", "answer": "ef gh"}]
    assert encoded(cased, 64, do_lower_case=True) == encoded(lower, 64) != encoded(cased, 64)


# --- Models


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    """LAReQA trained with mean pooling on lower-cased texts, and predicted in two languages and two conditions."""
    output = tmp_path_factory.mktemp("dual") / "run"
    conditions = ["--conditions", f"clean={toy}/xtreme", f"again={toy}/xtreme", "--languages", "en", "th"]
    flags = ["--pooling", "mean", "--do_lower_case", "--do_eval", "--do_predict", "--max_predict_samples", "20"]
    shape = "--max_seq_length 48 --learning_rate 1e-3 --disable_tqdm true --max_steps 20".split()
    run_xtreme.main(command(toy, output, *shape, "--do_train", *flags, *conditions))
    return output


def results(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_folder_is_an_encoder_and_says_how_it_was_trained(toy, trained, tmp_path, capsys):
    encoder, info = AutoModel.from_pretrained(trained, output_loading_info=True)
    assert not info["missing_keys"] and set(info["unexpected_keys"]) == {"logit_scale"}
    config = json.loads((trained / "config.json").read_text())
    assert config["dual_encoder"] == {"pooling": "mean", "do_lower_case": True} and encoder.dtype == torch.float32
    # prediction reads both there; to ask for another is refused
    predict = ["--max_seq_length", "48", "--do_predict", "--languages", "th", "--max_predict_samples", "20"]
    run_xtreme.main(command(toy, tmp_path / "run", *predict, model=trained))
    file = "predictions/clean/lareqa/test-th.json"
    assert (tmp_path / "run" / file).read_bytes() == (trained / file).read_bytes()
    with pytest.raises(SystemExit) as stopped:
        run_xtreme.main(command(toy, tmp_path / "other", *predict, "--pooling", "cls", model=trained))
    assert stopped.value.code == 2 and "was trained with pooling mean" in capsys.readouterr().err
    # another task starts from it as from any encoder
    xnli = ["--do_train", "--max_steps", "1", "--max_train_samples", "8", "--max_seq_length", "32"]
    run_xtreme.main(command(toy, tmp_path / "xnli", *xnli, task="xnli", model=trained))
    assert "dual_encoder" not in json.loads((tmp_path / "xnli/config.json").read_text())


def test_an_encoder_without_a_pooler_needs_another_pooling(toy, tmp_path, capsys):
    """The toy encoder has none."""
    predict = ["--max_seq_length", "32", "--do_predict", "--languages", "th", "--max_predict_samples", "3"]
    with pytest.raises(SystemExit) as stopped:
        run_xtreme.main(command(toy, tmp_path / "run", *predict))
    assert (
        stopped.value.code == 2 and "--pooling pooler: the checkpoint has no roberta.pooler" in capsys.readouterr().err
    )
    run_xtreme.main(command(toy, tmp_path / "run", *predict, "--pooling", "mean"))
    assert {row["metric"] for row in results(tmp_path / "run")} == {"map@20", "same_language"}


def test_micro_batches_have_one_size(toy, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_xtreme.main(command(toy, tmp_path / "run", *TRAIN, "--train_sampling_strategy", "batch_rebalance"))
    assert stopped.value.code == 2 and "leave it out for random" in capsys.readouterr().err


# --- Search


def test_candidates_are_encoded_once_and_predictions_score_as_the_run_says(toy, trained, monkeypatch):
    rows = {(row["condition"], row["language"], row["metric"]): row for row in results(trained)}
    assert len(rows) == 8 and {row["n"] for row in rows.values()} == {20}
    assert rows["clean", "en", "map@20"]["value"] > 10  # by chance about 1
    for language in ("en", "th"):
        assert rows["clean", language, "map@20"]["value"] == rows["again", language, "map@20"]["value"]
        predictions = json.loads((trained / f"predictions/clean/lareqa/test-{language}.json").read_text())
        assert {len(set(ranking)) for ranking in predictions.values()} == {20}
        gold = gold_of_data(toy / "xtreme", TARGETS["lareqa"], language)
        kept = {name: gold[name] for name in predictions}
        scores = metrics.score("lareqa", kept, predictions, language)
        for metric, value in scores.items():
            assert rows["clean", language, metric]["value"] == pytest.approx(value)


def test_one_pool_is_encoded_for_all_conditions_with_the_same_texts(toy, tmp_path, monkeypatch):
    encoded = []
    original = dual_encoder.Searcher.vectors
    monkeypatch.setattr(
        dual_encoder.Searcher, "vectors", lambda self, *args: encoded.append(args[-1]) or original(self, *args)
    )
    conditions = ["--conditions", f"clean={toy}/xtreme", f"again={toy}/xtreme", "--languages", "en", "th"]
    predict = "--pooling mean --max_seq_length 32 --do_predict --max_predict_samples 3".split() + conditions
    run_xtreme.main(command(toy, tmp_path / "run", *predict))
    assert encoded == ["candidates", "en clean", "th clean", "en again", "th again"]


def test_mewslix_trains_and_ranks_entities(toy, tmp_path):
    flags = "--do_train --do_eval --do_predict --max_steps 30 --learning_rate 1e-3 --disable_tqdm true".split()
    run_xtreme.main(command(toy, tmp_path / "run", *flags, task="mewslix"))
    scores = {row["language"]: row["value"] for row in results(tmp_path / "run")}
    assert set(scores) == {"ar", "de", "en"} and min(scores.values()) > 30  # by chance about 4
    assert {row["metric"] for row in results(tmp_path / "run")} == {"map@20"}


# --- Stopped runs, ZeRO


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["micro_batch", "gather"])
def test_a_run_that_failed_goes_on_to_the_same_bytes(toy, tmp_path, negatives, monkeypatch):
    flags = [*SHAPE, "--do_train", "--max_steps", "6", "--save_strategy", "steps", "--save_steps", "2", *split(4, 2)]
    flags += ["--max_train_samples", "60", "--negatives", negatives, "--save_total_limit", "9"]
    run_xtreme.main(command(toy, tmp_path / "whole", *flags))
    seen = fail_at_the_ninth_micro_batch(monkeypatch)
    with pytest.raises(SystemExit):
        run_xtreme.main(command(toy, tmp_path / "failed", *flags))
    assert len(seen) == 9 and not (tmp_path / "failed/model.safetensors").exists()
    monkeypatch.undo()
    run_xtreme.main(command(toy, tmp_path / "failed", *flags))
    whole, failed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "failed"))
    assert whole == failed


def fail_at_the_ninth_micro_batch(monkeypatch):
    """Returns the list of the micro-batches that were seen."""
    seen, original = [], EncoderTrainer.training_step

    def step(self, *args, **kwargs):
        seen.append(1)
        if len(seen) == 9:
            raise OSError("no more")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(EncoderTrainer, "training_step", step)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["micro_batch", "gather"])
@pytest.mark.parametrize("mode", ["zero2", "zero3"])
def test_zero_trains_as_without_it(toy, tmp_path, mode, negatives):
    """Losses and weights of two processes under ZeRO are those of two processes without it."""
    flags = [*SHAPE, "--do_train", "--max_steps", "3", "--max_train_samples", "40", *split(4, 1), "--bf16", "false"]
    flags[flags.index("sgd")] = "adamw_torch"
    flags += ["--negatives", negatives, "--adam_epsilon", "1e-6", "--learning_rate", "1e-4"]
    torchrun(run_xtreme.__file__, command(toy, tmp_path / "ddp", *flags))
    zero = ["--deepspeed", str(Path(run_xtreme.__file__).parent / f"ds_configs/{mode}.json"), "--do_predict"]
    zero += ["--languages", "en", "--max_predict_samples", "5"]
    torchrun(run_xtreme.__file__, command(toy, tmp_path / mode, *flags, *zero))
    assert np.abs(log(tmp_path / "ddp")[:, 0] - log(tmp_path / mode)[:, 0]).max() < 1e-4
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("ddp", mode))
    assert first.keys() == second.keys() and {value.dtype for value in second.values()} == {torch.float32}
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-5
