"""Training: a loss that does not depend on how a batch is split, hand-off of every encoder weight, float32 files."""

import datetime
import inspect
import itertools
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import robust_runs
import torch
import transformers
from accelerate.utils import is_deepspeed_available
from conftest import on_toy, torchrun
from datasets import Dataset
from transformers import AutoModel

import run_xtreme
from common import batching, checkpoints, launching, prediction, training_arguments
from common.files import InputError
from common.trainer import EncoderTrainer
from common.trainer_base import TrainerBase
from heads import classification, multiple_choice, question_answering, tagging
from mixture.trainer import MixtureTrainer
from tasks import TARGETS

HEADS = {"xnli": classification, "udpos": tagging, "xquad": question_answering, "xcopa": multiple_choice}


def command(toy, output, task, *flags):
    shape = "--max_steps 4 --logging_steps 1 --learning_rate 1e-3 --max_seq_length 48 --disable_tqdm true".split()
    return [*on_toy(toy, task, output), "--do_train", "--save_strategy", "no", *shape, *flags]


def log(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return np.array([[row["loss"], row["grad_norm"]] for row in history if "loss" in row])


@pytest.mark.parametrize("task", ["xnli", "udpos", "xquad"])
def test_loss_and_gradients_do_not_depend_on_accumulation(toy, tmp_path, task):
    for name, size, steps in (("whole", 8, 1), ("two", 4, 2), ("four", 2, 4)):
        flags = ["--per_device_train_batch_size", str(size), "--gradient_accumulation_steps", str(steps)]
        run_xtreme.main(command(toy, tmp_path / name, task, *flags))
    whole = log(tmp_path / "whole")
    assert len(whole) == 4
    for name in ("two", "four"):
        assert np.abs(log(tmp_path / name)[:, 0] - whole[:, 0]).max() < 1e-5
        assert np.allclose(log(tmp_path / name)[:, 1], whole[:, 1], rtol=1e-3)


@pytest.mark.parametrize("task", [pytest.param("xnli", marks=pytest.mark.slow), "udpos"])
def test_two_processes_give_the_gradients_of_one(toy, tmp_path, task):
    run_xtreme.main(command(toy, tmp_path / "one", task, "--per_device_train_batch_size", "8"))
    flags = ["--per_device_train_batch_size", "4", "--do_predict", "--languages", "en", "zh"]
    torchrun(run_xtreme.__file__, command(toy, tmp_path / "two", task, *flags))
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert np.abs(one[:, 0] - two[:, 0]).max() < 1e-4
    assert np.allclose(one[:, 1], two[:, 1], rtol=1e-3)
    # prediction shared out over processes equals prediction by one
    folders = ["--model_name_or_path", str(tmp_path / "two"), "--output_dir", str(tmp_path / "alone")]
    shape = "--do_predict --languages en zh --max_seq_length 48 --disable_tqdm true".split()
    run_xtreme.main(["--task", task, "--data_dir", str(toy / "xtreme"), *folders, *shape])
    for language in ("en", "zh"):
        file = f"predictions/clean/{task}/test-{language}.tsv"
        assert (tmp_path / "two" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()


def load(path, task, keep_head=False):
    tokenizer = checkpoints.load_tokenizer(path)
    config = checkpoints.load_config(path, tokenizer, 64)
    return checkpoints.load_model(HEADS[task], path, config, TARGETS[task].labels, keep_head, seed=5), tokenizer


@pytest.fixture(scope="module")
def saved(toy, tmp_path_factory):
    """One saved model per kind of head."""
    folder = tmp_path_factory.mktemp("heads")
    for task in HEADS:
        (model, _), tokenizer = load(toy / "model", task)
        model.save_pretrained(folder / task)
        tokenizer.save_pretrained(folder / task)
    return folder


@pytest.mark.parametrize("first", HEADS)
@pytest.mark.parametrize("second", HEADS)
def test_every_pair_of_heads_hands_over_the_encoder_and_a_fresh_head(saved, toy, first, second):
    (model, _), _ = load(saved / first, second)
    original = AutoModel.from_pretrained(toy / "model", dtype=torch.float32, add_pooling_layer=False).state_dict()
    state = model.state_dict()
    for name, value in original.items():
        assert torch.equal(state[f"roberta.{name}"], value), name
    fresh = load(toy / "model", second)[0][0].state_dict()
    for name in state:
        if not name.startswith("roberta."):
            assert torch.equal(state[name], fresh[name]), f"{name} was not drawn anew"
    assert all(value.dtype == torch.float32 for value in state.values())


def test_one_from_pretrained_reads_every_checkpoint(saved):
    for task, head in HEADS.items():
        model, info = getattr(transformers, head.MODEL).from_pretrained(saved / task, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        if TARGETS[task].labels:
            assert [model.config.id2label[i] for i in range(len(TARGETS[task].labels))] == list(TARGETS[task].labels)


def test_kept_head_maps_labels_by_name(saved, tmp_path):
    (model, _), tokenizer = load(saved / "xnli", "xnli", keep_head=True)
    names = ("contradiction", "neutral", "entailment")  # another checkpoint's order
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (kept, labels), _ = load(tmp_path, "xnli", keep_head=True)
    assert tuple(labels) == names
    assert torch.equal(kept.classifier.out_proj.weight, model.classifier.out_proj.weight)


def test_sixteen_bit_parent_is_loaded_as_float32_with_a_warning(saved, tmp_path, caplog):
    (model, _), tokenizer = load(saved / "xnli", "xnli", keep_head=True)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with caplog.at_level("WARNING", logger="xtreme"):
        (again, _), _ = load(tmp_path, "udpos")
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32}
    assert "16-bit" in caplog.text


def test_unknown_encoder_keys_are_an_error(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    (model, _), tokenizer = load(saved / "xnli", "xnli", keep_head=True)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file(
        {name.replace("roberta.", "xlm-roberta."): value for name, value in state.items()},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(InputError, match="not the weights of a xlm-roberta encoder"):
        load(tmp_path, "udpos")


def test_batches_of_like_lengths_are_a_function_of_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(5, 100, 1003)
    sampler = batching.LengthGroupedSampler(lengths, 8, seed=3)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again != list(sampler)
    assert sorted(first) == list(range(1003))
    padded = sum(8 * lengths[first[begin : begin + 8]].max() for begin in range(0, 1000, 8))
    assert padded < 1.15 * lengths.sum()  # random batches would give about 1.7
    longest = [lengths[first[begin : begin + 8]].max() for begin in range(0, 400, 8)]
    assert longest != sorted(longest, reverse=True)  # HF's sampler would leave them so


@pytest.mark.parametrize("number", [1, 2, 7, 9])
def test_parts_of_a_batch_are_the_fastest_ones(number):
    sizes = np.sort(np.random.default_rng(number).integers(3, 60, number))[::-1].tolist()
    times = [  # of every way to cut, by where the parts begin
        sum(sizes[begin] * (end - begin) + 20 for begin, end in itertools.pairwise((0, *cuts, number)))
        for parts in range(number)
        for cuts in itertools.combinations(range(1, number), parts)
    ]
    parts = batching.cheapest_parts(sizes, 20)
    assert parts[0][0] == 0 and parts[-1][1] == number
    assert all(end == begin for (_, end, _), (begin, _, _) in itertools.pairwise(parts))
    assert sum(sizes[begin] * (end - begin) + 20 for begin, end, _ in parts) == min(times)
    assert [size for *_, size in parts] == [sizes[begin] for begin, *_ in parts]


@pytest.mark.parametrize("kind", ["classification", "tagging", "question_answering"])
def test_a_batch_in_parts_has_the_same_loss_and_gradients(kind, tmp_path):
    batch = batching.Collator(1, pass_cost=4)(robust_runs.features(kind).to_list())
    assert batch["input_ids"].shape == (8, 14) and len(batch["parts"]) > 1
    whole, log = robust_runs.trained(kind, None, tmp_path / "whole")
    parts, same_log = robust_runs.trained(kind, None, tmp_path / "parts", pass_cost=4)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, atol=1e-6, rtol=1e-5)
    assert same_log[0]["grad_norm"] == pytest.approx(log[0]["grad_norm"], rel=1e-5)


@pytest.mark.parametrize("kind, cost", [("classification", 1000), ("multiple_choice", 1)])
def test_a_batch_is_whole_where_parts_gain_nothing_or_texts_are_several(kind, cost):
    batch = batching.Collator(1, pass_cost=cost)(robust_runs.features(kind).to_list())
    assert "parts" not in batch and batch["indices"] == list(range(8))


@pytest.mark.parametrize(
    "name, given, order",
    [
        ("xnli", {}, "group_by_length"),
        ("lareqa", {}, "random"),
        ("udpos", {}, "batch_rebalance"),
        ("panx", {"torch_compile": "true"}, "random"),
        ("panx", {"torch_compile_backend": "eager"}, "random"),
    ],
)
def test_tags_are_drawn_at_random_where_nothing_is_given(name, given, order):
    flags = training_arguments.task_defaults(TARGETS[name], {"do_train": "true", **given}, 1)
    assert {flag: value for flag, value, _ in flags}["train_sampling_strategy"] == order


def rebalanced(seed=1, epoch=0, length=None, keyed=False):
    """(lengths of 100 texts, [process][micro-batch of an epoch]) for 4 processes x 2 accumulation steps x 4."""
    lengths = np.clip(np.random.default_rng(0).lognormal(3.2, 0.6, 100).astype(int), 4, 128).tolist()
    data, made = Dataset.from_dict({"length": lengths}), []
    for process in range(4):
        args = SimpleNamespace(
            train_sampling_strategy="batch_rebalance", seed=seed, data_seed=None, train_batch_size=4, world_size=4,
            gradient_accumulation_steps=2, dataloader_drop_last=False, process_index=process,
        )  # fmt: skip
        trainer = SimpleNamespace(args=args, data_collator=batching.Collator(1, length))
        sampler = EncoderTrainer.make_sampler(
            trainer, SimpleNamespace(features=data, keyed_by_epoch=True) if keyed else data
        )
        sampler.set_epoch(epoch)
        made.append(list(sampler))
    return np.array(lengths), made


def test_rebalanced_batches_are_shared_out_by_length():
    lengths, made = rebalanced()
    slots = [[made[process][number] for process in range(4)] for number in range(6)]  # of three steps of 32 texts
    drawn = [index for slot in slots for batch in slot for index in batch]
    assert len(drawn) == len(set(drawn)) == 96
    slowest = sum(max(len(batch) * lengths[batch].max() for batch in slot) for slot in slots)
    at_random = sum(4 * lengths[begin : begin + 16].max() for begin in range(0, 96, 16))
    assert slowest < 0.7 * at_random


def test_rebalanced_batches_depend_on_the_seed_the_epoch_and_the_padding():
    made = rebalanced()[1]
    assert made == rebalanced()[1] and made not in (rebalanced(seed=2)[1], rebalanced(epoch=1)[1])
    padded = rebalanced(length=128)[1]
    assert {len(batch) for process in padded for batch in process[:6]} == {4}
    keyed = rebalanced(epoch=1, keyed=True)[1]
    assert keyed == [[[(index, 1) for index in batch] for batch in process] for process in rebalanced(epoch=1)[1]]


def test_deepspeed_is_not_imported_where_it_is_not_used(monkeypatch):
    monkeypatch.delitem(sys.modules, "deepspeed", raising=False)
    launching.join_processes(SimpleNamespace(deepspeed=None, ddp_timeout_delta=datetime.timedelta(seconds=60)))
    assert not is_deepspeed_available()  # what accelerate asks before it imports it


def test_batches_are_one_pass_where_several_would_not_do():
    plain = {"device": "cpu", "deepspeed": None, "torch_compile": False, "world_size": 1}
    assert prediction.pass_cost(SimpleNamespace(**plain)) > 0
    for other in ({"world_size": 2}, {"deepspeed": "zero2.json"}, {"torch_compile": True}):
        assert prediction.pass_cost(SimpleNamespace(**{**plain, **other})) is None


def test_prediction_batches_hold_every_row_once_with_little_padding():
    lengths = np.clip(np.random.default_rng(0).lognormal(3.4, 0.5, 500).astype(int), 6, 128)
    batches = prediction.length_batches(lengths, 64)
    assert sorted(row for batch in batches for row in batch) == list(range(500))
    assert all(len(batch) <= 64 for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.12 * lengths.sum()  # batches of 64 throughout: 1.29
    assert len(prediction.length_batches(lengths[:3], 1)) == 3


def test_precision_is_refused_or_chosen_by_device(monkeypatch):
    monkeypatch.setattr(launching, "cpu_has_bf16", lambda: False)
    with pytest.raises(InputError, match="bf16"):
        launching.precision_flags({"bf16": "true"})
    with pytest.raises(InputError, match="fp16"):
        launching.precision_flags({"fp16": "true"})
    assert {name: value for name, value, _ in launching.precision_flags({})} == {"use_cpu": "true", "bf16": "false"}


def test_bf16_keeps_weights_and_files_float32(toy, tmp_path):
    if not launching.cpu_has_bf16():
        pytest.skip("this CPU has no bfloat16 instructions")
    from safetensors.torch import load_file

    run_xtreme.main(
        command(toy, tmp_path / "run", "xnli", "--bf16", "--bf16_full_eval", "--do_predict", "--languages", "en")
    )
    assert {value.dtype for value in load_file(tmp_path / "run/model.safetensors").values()} == {torch.float32}


# The private methods of HF's Trainer that common/trainer_base.py overrides, as it relies on them.
PRIVATE_METHODS = {
    "_get_train_sampler": "(self, train_dataset=None)",
    "_run_epoch": "(self, model, epoch, train_dataloader, steps_in_epoch, num_update_steps_per_epoch, trial, "
    "ignore_keys_for_eval, start_time, resume_from_checkpoint, epochs_trained, steps_trained_in_current_epoch)",
    "_maybe_log_save_evaluate": "(self, tr_loss, grad_norm, model, trial, epoch, ignore_keys_for_eval, start_time, "
    "learning_rate=None)",
    "_save_checkpoint": "(self, model, trial)",
    "_save": "(self, output_dir=None, state_dict=None)",
    "_load_from_checkpoint": "(self, resume_from_checkpoint, model=None)",
    "_load_best_model": "(self)",
}


@pytest.mark.parametrize("name", PRIVATE_METHODS)
def test_private_methods_of_the_trainer_are_those_we_override(name):
    method = getattr(transformers.Trainer, name, None)
    assert method, f"transformers {transformers.__version__} has no Trainer.{name}; look at common/trainer_base.py"
    signature = inspect.signature(method)
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    signature = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    problem = f"transformers {transformers.__version__} changed Trainer.{name}; look at common/trainer_base.py"
    assert signature == PRIVATE_METHODS[name], problem


@pytest.mark.parametrize("trainer", [TrainerBase, EncoderTrainer, MixtureTrainer])
def test_private_methods_are_overridden_in_one_place(trainer):
    private = {name for name in vars(trainer) if name.startswith("_") and not name.startswith("__")}
    assert private & set(dir(transformers.Trainer)) == (set(PRIVATE_METHODS) if trainer is TrainerBase else set())


# What a run says of its machine and of its processes.


def test_the_effective_batch_is_kept_or_the_processes_are_refused():
    def batch(effective, processes, **given):
        ((name, value, origin),) = training_arguments.batch_flags(effective, given, processes, "task default")
        return name, value, origin.partition(": ")[2]

    assert batch(32, 8) == ("per_device_train_batch_size", 4, "effective batch 32")
    assert batch(4, 4) == ("per_device_train_batch_size", 1, "effective batch 4")
    for effective, processes, fitting in ((4, 8, "1, 2 or 4"), (24, 16, "8, 12 or 24")):
        with pytest.raises(InputError, match=f"{processes} processes cannot share .* {effective} .*{fitting} of them"):
            batch(effective, processes)
    name, value, origin = batch(4, 8, per_device_train_batch_size="1")
    assert (name, value) == ("gradient_accumulation_steps", 1) and origin.startswith("effective batch 8, not")
    assert batch(32, 1, per_device_train_batch_size="5")[2].startswith("effective batch 30, not the recipe's 32")
    flags = training_arguments.batch_flags(16, {}, 2, "task default", micro_batch=4)
    assert [flag[:2] for flag in flags] == [("per_device_train_batch_size", 4), ("gradient_accumulation_steps", 2)]
    assert training_arguments.batch_flags(16, {}, 8, "task default", micro_batch=4)[0][1] == 2
    assert batch(32, 2, gradient_accumulation_steps="4") == ("per_device_train_batch_size", 4, "effective batch 32")


def test_bf16_is_called_faster_only_where_it_was_measured_to_be(monkeypatch):
    monkeypatch.setattr(launching, "cpu_has_bf16", lambda: True)
    for speed, says in ((0.6, "would not be faster"), (2.1, "is faster")):
        monkeypatch.setattr(launching, "bf16_speed", lambda speed=speed: speed)
        ((origin),) = [origin for name, _, origin in launching.precision_flags({}) if name == "bf16"]
        assert says in origin and f"measured: {speed} times float32" in origin


def test_the_speed_of_bf16_is_measured_once():
    first = launching.bf16_speed()
    assert 0.001 < first < 1000 and launching.bf16_speed() == first
    assert launching.bf16_speed.cache_info().misses == 1


def test_the_log_names_threads_and_their_variable():
    assert launching.threads() == (torch.get_num_threads(), "OMP_NUM_THREADS=1")


def test_compilation_sees_few_shapes(toy, tmp_path):
    """--torch_compile: batches have at most 8 lengths, and no more than 8 graphs are compiled; losses are the same."""
    model = shutil.copytree(toy / "model", tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)  # its draws depend on the padding
    (model / "config.json").write_text(json.dumps(config))
    base = f"--task xnli --data_dir {toy}/xtreme --model_name_or_path {model} --do_train --max_steps 12"
    base += " --max_train_samples 200 --save_strategy no --logging_steps 1 --disable_tqdm true --max_seq_length 64"
    losses = {}
    for name, flags in {"plain": "", "compiled": "--torch_compile true --torch_compile_backend eager"}.items():
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        run_xtreme.main([*base.split(), *flags.split(), "--output_dir", str(tmp_path / name)])
        history = json.loads((tmp_path / name / "trainer_state.json").read_text())["log_history"]
        losses[name] = [line["loss"] for line in history if "loss" in line]
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 8
    assert losses["compiled"] == pytest.approx(losses["plain"], abs=1e-4) and len(losses["plain"]) == 12
