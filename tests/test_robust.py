"""Robust training: updates as written down, the same however a batch is split, refusals, what runs leave behind.

Two processes, ZeRO-2 and -3, kill -9 and loader workers:   bash tests/run.sh -m slow tests/test_robust.py
"""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import robust_runs
import torch
from accelerate import Accelerator
from conftest import on_toy, torchrun
from datasets import Dataset
from robust_runs import HEADS, tiny, trained
from safetensors.torch import load_file

import run_intermediate
import run_xtreme
from common import arguments, checkpoints, launching, robust
from common.batching import Collator
from common.robust_flags import METHODS, Robust, coarse, robust_origins
from common.run_record import robust_training
from heads import Settings, head_of, limit
from heads.noising import TrainNoise, noiser_of
from heads.robust_checks import check_robust
from reporting import runs
from tasks import TARGETS

ROOT = Path(run_xtreme.__file__).parent

# perturbations that are felt: the defaults are for XLM-R, whose weights are trained
FIELDS = {
    "freelb": {"steps": 3, "step_size": 0.5, "eps": 0.8, "init": 0.3},
    "pgd": {"steps": 2, "step_size": 0.5, "eps": 0.8, "init": 0.3},
    "smart": {"steps": 1, "step_size": 0.3, "init": 0.1, "weight": 2.0},
    "r3f": {"eps": 0.3, "noise": "normal", "weight": 2.0},
    "rdrop": {"weight": 2.0},
}
MATRIX = [(method, kind) for method in FIELDS for kind in HEADS]


def fields(method):
    return {"method": method, **FIELDS[method]}


def difference(one, other):
    """Largest difference of (the losses, the weights) of two trainings."""
    (weights, log), (weights2, log2) = one, other
    losses = [[line["loss"] for line in lines if "loss" in line] for lines in (log, log2)]
    assert len(losses[0]) == 2 and weights.keys() == weights2.keys()
    return (
        max(abs(a - b) for a, b in zip(*losses)),
        max((weights[name] - weights2[name]).abs().max().item() for name in weights),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of a training on one process with the whole batch at once, by method and kind."""
    known = {}

    def outcome(method, kind):
        if (method, kind) not in known:
            folder = tmp_path_factory.mktemp("whole")
            known[method, kind] = trained(kind, Robust(**fields(method)) if method else None, folder)
        return known[method, kind]

    return outcome


@pytest.mark.parametrize("method, kind", MATRIX)
def test_splitting_a_batch_changes_nothing(tmp_path, whole, method, kind):
    split = trained(kind, Robust(**fields(method)), tmp_path, size=4, accumulation=2)
    loss, weight = difference(whole(method, kind), split)
    assert loss < 1e-6 and weight < 1e-6, (loss, weight)
    # and the method does something
    assert difference(whole(None, kind), whole(method, kind))[1] > 1e-4


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, whole):
    """Every method and head in one start of two processes."""
    plan = {f"{method}-{kind}": (kind, fields(method)) for method, kind in MATRIX}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    torchrun(robust_runs.__file__, [str(tmp_path), str(tmp_path / "plan.json")], env=environment())
    for method, kind in MATRIX:
        both = torch.load(tmp_path / f"{method}-{kind}.pt")
        loss, weight = difference(whole(method, kind), both)
        assert loss < 1e-6 and weight < 1e-6, (method, kind, loss, weight)


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_splitting_changes_nothing_with_a_noised_view(tmp_path, kind):
    data = robust_runs.features(kind).to_list()
    for row in data:  # tokens in another order, with the same labels
        row |= {
            "noised": {**row, "input_ids": row["input_ids"][::-1]},
            "changes": {"noised": 1, "cut": row["row"] % 2},
        }
    settings = Robust(train_noise="mixed", levels=(1,), share=1.0, consistency=2.0)
    one, two, plain = (
        trained(kind, how, tmp_path, size, steps, data=Dataset.from_list(rows))
        for how, size, steps, rows in (
            (settings, 8, 1, data),
            (settings, 4, 2, data),
            (None, 8, 1, robust_runs.features(kind).to_list()),
        )
    )
    assert max(difference(one, two)) < 1e-6 and difference(one, plain)[1] > 1e-4
    assert [(line["noised"], line["noise_cut"]) for line in one[1][:2]] == [(8, 4), (8, 4)]
    assert all(line["robust_kl"] > 0 and line["robust_loss"] > 0 for line in two[1][:2])


def test_steps_before_the_start_are_plain(tmp_path):
    settings = Robust(**fields("pgd"), start_step=1)
    _, log = trained("classification", settings, tmp_path)
    _, plain = trained("classification", None, tmp_path)
    assert log[0]["loss"] == plain[0]["loss"] and "delta_norm" not in log[0] and "delta_norm" in log[1]
    assert log[1]["loss"] > plain[1]["loss"]


# --- The rules themselves


def test_freelb_with_one_step_of_no_size_is_plain_training_to_the_bit(tmp_path):
    """With dropout: its draws are the same, too."""
    plain, log = trained("classification", None, tmp_path, model=tiny("classification", dropout=0.1))
    settings = Robust("freelb", steps=1, step_size=0.1, eps=0.0, init=0.1)
    same, log2 = trained("classification", settings, tmp_path, model=tiny("classification", dropout=0.1))
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert [line["loss"] for line in log[:2]] == [line["loss"] for line in log2[:2]]
    assert log2[0]["delta_norm"] == 0 and log2[0]["robust_loss"] == pytest.approx(log2[0]["loss"], 1e-6)


class Spied(robust.MicroBatch):
    """A MicroBatch of a tiny model on which single methods are called; keeps all perturbations."""

    def __init__(self, kind, dropout=0.0, part=None):
        model = tiny(kind, dropout).train()
        args = SimpleNamespace(seed=3, label_smoothing_factor=0.0)
        state = SimpleNamespace(global_step=7, max_steps=100)
        trainer = SimpleNamespace(model=model, args=args, state=state, is_deepspeed_enabled=False)
        trainer.accelerator, trainer.normalized = (
            Accelerator(cpu=True),
            lambda loss, count, _: loss.sum() / count.sum(),
        )
        trainer.forward = lambda model, inputs, source: HEADS[kind].forward(model, inputs)
        data = robust_runs.features(kind)
        super().__init__(trainer, model, Collator(1)(data.to_list()), None, part)
        self.deltas = []

    def logits(self, delta=None, **options):
        self.deltas.append(delta)
        return super().logits(delta, **options)


@pytest.mark.parametrize("method", ["freelb", "smart", "r3f"])
def test_of_a_question_alone_the_context_stays_as_it_is(method):
    batch = Spied("question_answering", part="question")
    begins = batch.inputs["context"][:, 0].tolist()
    robust.METHODS[method](batch, Robust(**fields(method)))
    last = [delta for delta in batch.deltas if delta is not None][-1].detach()
    for delta, begin in zip(last, begins):
        assert (delta[:begin].abs().sum(-1) > 0).all() and delta[begin:].abs().max() == 0


@pytest.mark.parametrize("method", ["freelb", "pgd"])
@pytest.mark.parametrize("kind", HEADS)
def test_perturbations_stay_in_the_ball_and_off_padding(method, kind):
    batch = Spied(kind)
    _, last = robust.METHODS[method](batch, Robust(**fields(method)))
    passes = {"freelb": 3, "pgd": 3}[method]
    assert len(batch.deltas) == passes
    for number, delta in enumerate(batch.deltas):
        norms = delta.detach().flatten(1).norm(dim=1)
        assert (norms <= 0.8 + 1e-6).all()
        assert (delta.detach() * (1 - batch.mask)).abs().max() == 0
        if number == 0:  # uniform noise whose norm is init / sqrt(3), however long the text is
            real = norms[batch.mask.sum((1, 2)) > 1]  # not of choices that fill up a batch
            assert (real - 0.3 / math.sqrt(3)).abs().max() < 0.05
    # the loss grows along the way
    losses = [batch.loss(batch.logits(delta)).item() for delta in (batch.deltas[0], last)]
    assert losses[1] > losses[0]


def test_freelb_is_the_mean_gradient_over_its_steps():
    """Against the rule written out, pass by pass."""
    batch, settings = Spied("tagging"), Robust(**fields("freelb"))
    loss, _ = robust.freelb(batch, settings)
    loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in batch.trainer.model.named_parameters()}
    batch.trainer.model.zero_grad()
    losses = [batch.loss(batch.logits(delta.detach())) for delta in batch.deltas[:3]]
    mean = sum(losses) / 3
    mean.backward()
    assert loss.item() == pytest.approx(mean.item(), 1e-6)
    for name, weight in batch.trainer.model.named_parameters():
        assert torch.allclose(gradients[name], weight.grad, atol=1e-7), name


def test_draws_are_a_function_of_seed_step_and_example_and_ignore_padding():
    one, other = Spied("classification"), Spied("classification")
    assert torch.equal(one.draw("normal"), other.draw("normal"))
    other.trainer.state.global_step = 8
    assert not torch.equal(one.draw("normal"), other.draw("normal"))
    alone = Spied("classification")
    alone.mask, alone.examples = alone.mask[1:2, :9], alone.examples[1:2]  # a short text, padded otherwise
    length = int(alone.mask.sum())
    assert torch.equal(alone.draw("uniform")[0, :length], one.draw("uniform")[1, :length])
    assert one.draw("uniform").abs().max() <= 1 and one.draw("normal").abs().max() > 2


def test_equal_dropout_in_both_passes_of_r3f():
    """Otherwise the divergence would be dropout's: 8 orders of magnitude more."""
    batch = Spied("classification", dropout=0.1)
    robust.r3f(batch, Robust("r3f", eps=0.0, noise="uniform", weight=1.0))
    assert batch.sums["kl"] == 0
    robust.r3f(batch, Robust("r3f", eps=1e-5, noise="uniform", weight=1.0))
    same = batch.sums["kl"].item()
    robust.rdrop(batch, Robust("rdrop", weight=1.0))
    assert 0 <= 1e4 * same < batch.sums["kl"].item()


@pytest.mark.parametrize("method", FIELDS)
def test_methods_leave_the_generators_as_one_or_two_passes_do(method):
    """So that what is drawn later does not depend on K."""
    batch, passes = Spied("classification", dropout=0.1), 2 if method == "rdrop" else 1
    torch.manual_seed(5)
    robust.METHODS[method](batch, Robust(**fields(method)))
    after = torch.rand(3)
    torch.manual_seed(5)
    for _ in range(passes):
        batch.logits()
    assert torch.equal(after, torch.rand(3))


def test_r3f_gives_the_word_embeddings_no_gradient_through_noise():
    batch = Spied("classification")
    batch.logits(batch.draw("normal"), detach=True).sum().backward()
    weights = batch.trainer.model.get_input_embeddings().weight
    assert weights.grad is None or weights.grad.abs().max() == 0


def test_smart_steps_by_each_tokens_largest_entry():
    batch, settings = Spied("classification"), Robust(**fields("smart"))
    _, delta = robust.smart(batch, settings)
    largest = delta.abs().amax(-1)  # [rows, tokens]
    real = batch.mask[..., 0] == 1
    assert torch.allclose(largest[real], torch.tensor(0.3), atol=1e-4) and largest[~real].max() == 0


def test_position_ids_are_those_of_the_input_ids():
    """Left padding: with inputs_embeds, XLM-R would count padding as positions."""
    model = tiny("classification").eval()
    ids = torch.tensor([[1, 1, 1, 0, 9, 8, 2], [0, 5, 6, 7, 9, 8, 2]])
    batch = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    with robust.perturbed(model.get_input_embeddings(), torch.zeros(2, 7, 16)):
        zero = model(**batch).logits
    assert torch.equal(zero, model(**batch).logits)
    embedded = model(inputs_embeds=model.get_input_embeddings()(ids), attention_mask=batch["attention_mask"]).logits
    assert (embedded - zero).abs().max() > 1e-3


def test_gradients_that_are_no_numbers_are_skipped_and_counted():
    batch = Spied("classification")
    delta, gradient = torch.zeros(8, 14, 16), torch.ones(8, 14, 16)
    gradient[3, 2, 1], gradient[5, 0, 0] = float("nan"), float("inf")
    moved = batch.ascend(delta, gradient, Robust(**fields("pgd")))
    norms = moved.flatten(1).norm(dim=1)
    assert norms[[3, 5]].tolist() == [0, 0] and batch.sums["skipped"] == 2
    assert torch.allclose(norms[[0, 1, 2, 4, 6, 7]], torch.tensor(0.5))


def test_divergences_are_those_of_torch_and_know_classes_that_are_none():
    random = torch.Generator().manual_seed(0)
    p, q = torch.randn(5, 4, generator=random), torch.randn(5, 4, generator=random)
    expected = torch.nn.functional.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="none").sum(-1)
    backward = torch.nn.functional.kl_div(p.log_softmax(-1), q.softmax(-1), reduction="none").sum(-1)
    assert torch.allclose(robust.kl(p, q), expected) and torch.allclose(robust.symmetric_kl(p, q), expected + backward)
    wider = [torch.cat((x, torch.full((5, 2), robust.LOWEST)), 1).requires_grad_() for x in (p, q)]
    value = robust.symmetric_kl(*wider)
    assert torch.allclose(value, expected + backward)
    value.sum().backward()
    assert all(x.grad.isfinite().all() for x in wider)


@pytest.mark.parametrize("method", ["freelb", "r3f"])
def test_activation_checkpointing_changes_nothing(tmp_path, method):
    """It computes passes again, with their dropout."""
    settings, outcomes = Robust(**fields(method)), []
    for name in ("whole", "again"):
        model = tiny("tagging", dropout=0.1)
        if name == "again":
            model.gradient_checkpointing_enable({"use_reentrant": False})
        outcomes.append(trained("tagging", settings, tmp_path, model=model))
    assert max(difference(*outcomes)) < 1e-6


def test_the_methods_flags_and_tests_are_the_same():
    assert robust.METHODS.keys() == METHODS.keys() == FIELDS.keys()
    assert {name: FIELDS[name].keys() for name in FIELDS} == {name: METHODS[name].keys() for name in METHODS}


# --- Refusals: one line, exit code 2, nothing written

TRAIN = ["--do_train"]
REFUSED = {
    "an unknown method": ("--robust frelb", "--robust frelb: unknown; did you mean 'freelb'?"),
    "a parameter of another method": ("--robust r3f --robust_steps 2", "--robust r3f does not read it"),
    "a parameter of none": ("--robust_eps 1", "--robust none does not read it"),
    "no steps": ("--robust freelb --robust_steps 0", "--robust_steps 0: must be from 1 to 1e6"),
    "a size that is none": ("--robust freelb --robust_eps nan", "--robust_eps nan: must be from 0"),
    "an unknown noise": ("--robust r3f --robust_noise gauss", "choose from uniform, normal"),
    "a part of nothing": ("--robust rdrop --robust_part question", "--robust rdrop perturbs nothing"),
    "a part that xnli lacks": ("--robust pgd --robust_part question", "only question answering has a context"),
    "a start of nothing": ("--robust_start_step 5", "nothing starts"),
    "two perturbations": ("--robust pgd --neftune_noise_alpha 5", "--robust pgd with --neftune_noise_alpha: both"),
    "gradients that overflow": ("--robust freelb --fp16", "--robust freelb with --fp16: gradients"),
    "a compiled model": ("--robust freelb --torch_compile", "does not see perturbations"),
    "tiny noise in bfloat16": ("--robust r3f --bf16 true", "eps 1e-05 is below what bfloat16 resolves"),
    "two second passes": ("--robust rdrop --train_noise mixed --consistency 1", "choose one of them"),
    "consistency without noise": ("--consistency 1", "says nothing without --train_noise"),
    "a share without noise": ("--train_noise_share .5", "says nothing without --train_noise"),
    "a share of none": ("--train_noise mixed --train_noise_share 0", "must be above 0 and at most 1"),
    "an unknown operation": ("--train_noise keybord", "--train_noise keybord: unknown operation 'keybord'"),
    "a level that is none": ("--train_noise mixed:6", "write levels 1 to 5 as in mixed:2, mixed:1,3 or mixed:1-3"),
    "levels backwards": ("--train_noise mixed:3-1", "write levels 1 to 5"),
    "noise without its table": ("--train_noise codeswitch", "needs a table"),
}


@pytest.mark.parametrize("flags, says", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(toy, tmp_path, capsys, flags, says):
    refused([*on_toy(toy, "xnli", tmp_path / "run"), *TRAIN, *flags.split()], says, capsys)
    assert not (tmp_path / "run").exists()


def refused(argv, says, capsys, script=run_xtreme):
    with pytest.raises(SystemExit) as stop:
        script.main(argv)
    printed = capsys.readouterr().err
    assert stop.value.code == 2 and printed.count("\n") == 1 and says in printed, printed


def test_what_a_task_cannot_have(toy, tmp_path, capsys):
    output = tmp_path / "run"
    words = [*on_toy(toy, "udpos", output), *TRAIN, "--train_noise"]
    refused([*words, "whitespace"], "changes the number of udpos's tokens", capsys)
    refused([*on_toy(toy, "pawsx", output), *TRAIN, "--train_noise", "mixed"], "may flip the labels of pawsx", capsys)
    refused([*on_toy(toy, "lareqa", output), *TRAIN, "--robust", "pgd"], "--robust pgd: not for lareqa", capsys)
    predict = [*on_toy(toy, "xnli", output), "--do_predict", "--robust", "freelb"]
    refused(predict, "nothing is trained; add --do_train", capsys)
    folders = ["--model_name_or_path", str(toy / "model"), "--output_dir", str(output), *TRAIN, "--robust", "freelb"]
    mlm = ["--tasks", "mlm", "--mlm_files", str(toy / "text/de.txt"), *folders]
    refused(mlm, "--robust freelb: not for mlm", capsys, run_intermediate)
    assert not output.exists()


def flags(*argv):
    """The Robust of a command line of XNLI."""
    args, _, given = arguments.parse(run_xtreme.build_parser(), ["--task", "xnli", "--model_name_or_path", "m", *argv])
    return check_robust(args, [TARGETS["xnli"]], ["en"], {**given, "do_train": "true"}), args


def test_defaults_their_sources_and_costs():
    settings, args = flags("--robust", "freelb", "--robust_eps", "0.6")
    assert (settings.steps, settings.step_size, settings.eps, settings.init) == (3, 0.1, 0.6, 0.1)
    origins = {name: (value, origin) for name, value, origin in robust_origins(settings, args)}
    assert origins["robust_eps"] == (0.6, "given") and "launch file for MNLI" in origins["robust_steps"][1]
    assert origins["passes per step"][0] == "3 + 3" and settings.passes[:2] == (3, 3)
    assert settings.as_given() == {
        "robust": {"method": "freelb", "steps": 3, "step_size": 0.1, "eps": 0.6, "init": 0.1, "start_step": 0}
    }
    assert flags("--robust", "pgd")[0].passes[:2] == (4, 4) and flags("--robust", "smart")[0].passes[:2] == (3, 2)
    assert flags()[0].as_given() == {} and not flags()[0].active


@pytest.mark.parametrize(
    "text, levels", [("mixed", (1, 2, 3)), ("mixed:2", (2,)), ("mixed:3,1", (1, 3)), ("swap:2-4", (2, 3, 4))]
)
def test_levels_of_noise(text, levels):
    settings, _ = flags("--train_noise", text)
    assert settings.levels == levels and settings.share == 0.5
    assert flags("--train_noise", text, "--consistency", "2")[0].share == 1


def test_tiny_noise_is_trained_in_float32_and_the_log_says_why():
    exact = coarse(flags("--robust", "r3f")[0])
    assert launching.launch_flags({}, exact)[0] == ("bf16", "false", exact) and "1e-05" in exact
    assert not coarse(flags("--robust", "r3f", "--robust_eps", "0.1")[0]) and not coarse(
        flags("--robust", "freelb")[0]
    )


# --- Noise in training


def noising(toy, task, *argv, length=48):
    """(TrainNoise, rows, features) of a toy task's English training file."""
    record, head = TARGETS[task], head_of(TARGETS[task])
    tokenizer = checkpoints.load_tokenizer(toy / "model")
    rows = limit(head.read(record, toy / "xtreme", "train", "en"), 40)
    predictor = SimpleNamespace(head=head, tokenizer=tokenizer, labels=record.labels)
    predictor.settings = Settings(length, 16, 20, 30)
    features = head.encode(rows, tokenizer, record.labels, predictor.settings)
    return TrainNoise(flags(*argv)[0], predictor, rows, features, seed=1), rows, features


def noised(noise, features, epoch, order=None):
    order = list(range(len(features))) if order is None else order
    return noise(features.__getitems__(order), [(index, epoch) for index in order])


@pytest.mark.parametrize("task", ["xnli", "udpos", "xquad", "xcopa"])
def test_noise_is_a_function_of_seed_epoch_and_example(toy, task):
    noise, _, features = noising(toy, task, "--train_noise", "mixed:3")
    first, order = noised(noise, features, 0), list(range(len(features)))[::-3]
    assert [first[index] for index in order] == noised(noise, features, 0, order)  # whatever the batch
    assert first == noised(noising(toy, task, "--train_noise", "mixed:3")[0], features, 0)
    changed = [a["input_ids"] != b["input_ids"] for a, b in zip(first, noised(noise, features, 1))]
    assert sum(changed) > len(changed) / 3
    share = sum(one["changes"]["noised"] for one in first) / len(first)
    assert 0.25 < share < 0.75
    for feature, clean in zip(first, features):
        if not feature["changes"]["noised"]:
            assert {**feature, "changes": None} == {**clean, "changes": None}
        elif task in ("xnli", "xcopa"):
            assert feature["labels"] == clean["labels"]


def test_noise_of_tags_keeps_a_token_per_token(toy):
    noise, rows, features = noising(toy, "udpos", "--train_noise", "mixed:5", "--train_noise_share", "1")
    for row in range(len(rows)):
        changed = noise.view(rows[row], noiser_of("mixed", 5, "en", 1, True), str(row))
        assert len(changed["words"]) == len(rows[row]["words"]) and all(changed["words"])
    for clean, other in zip(features, noised(noise, features, 0)):
        tags = [[label for label in feature["labels"] if label >= 0] for feature in (clean, other)]
        assert tags[0] == tags[1] or other["changes"]["cut"]


def test_noise_of_a_context_moves_its_answers(toy):
    noise, rows, features = noising(toy, "xquad", "--train_noise", "mixed:5", "--train_noise_share", "1", length=128)
    moved = 0
    for row in rows:
        changed = noise.view(row, noiser_of("mixed", 5, "en", 1, False), row["id"])
        start, text = changed["answers"]["answer_start"][0], changed["answers"]["text"][0]
        assert text and changed["context"][start : start + len(text)] == text
        moved += start != row["answers"]["answer_start"][0]
    assert moved > len(rows) / 3
    tokenizer = noise.predictor.tokenizer
    for feature in noised(noise, features, 0)[:10]:
        first, last = feature["labels"]
        assert first == 0 or tokenizer.decode(feature["input_ids"][first : last + 1])


def test_texts_that_noise_makes_too_long_are_counted(toy):
    noise, _, features = noising(toy, "xnli", "--train_noise", "insert:5", "--train_noise_share", "1", length=20)
    cut = [one["changes"]["cut"] for one in noised(noise, features, 0)]
    fill = [new["length"] == 20 > old["length"] for new, old in zip(noised(noise, features, 0), features)]
    assert cut == [int(one) for one in fill] and 0 < sum(cut) < len(cut)


@pytest.mark.parametrize("task", ["xnli", "udpos", "xquad", "xcopa"])
def test_the_view_of_consistency_has_the_same_labels(toy, task):
    noise, _, features = noising(toy, task, "--train_noise", "mixed:4", "--consistency", "1", length=64)
    for clean, both in zip(features, noised(noise, features, 0)):
        assert both["input_ids"] == clean["input_ids"]
        view = both["noised"]
        if task == "xquad":  # positions move with the question
            assert view["offsets"][0] == clean["offsets"][0]
        elif task == "udpos":
            assert [tag for tag in view["labels"] if tag >= 0] == [tag for tag in clean["labels"] if tag >= 0]
        else:
            assert view["labels"] == clean["labels"]


def test_spans_are_consistent_over_the_context_that_both_windows_have():
    """A view whose question is two tokens longer, and whose window has one token of context less."""
    clean = torch.tensor([[[9.0, 1, 2, 3, 4, 5, 6, 7]] * 2])  # <s> q q c c c c </s>
    other = torch.tensor([[[8.0, 1, 1, 1, 1, 3, 4, 5, 0]] * 2])  # <s> q q q q c c c </s>
    pair = robust.at_common_tokens(clean, other, torch.tensor([[3, 7]]), torch.tensor([[5, 8]]))
    kept = [[value for value in logits[0, 0].tolist() if value > robust.LOWEST] for logits in pair]
    assert kept == [[9, 3, 4, 5], [8, 3, 4, 5]]


# --- Runs: mixtures, kill -9, ZeRO, what is written

SHAPE = "--do_train --learning_rate 1e-3 --max_seq_length 48 --logging_steps 1 --disable_tqdm true".split()
KILLED = """
import os, signal, sys
import run_xtreme
from common.trainer import EncoderTrainer

compute, calls = EncoderTrainer.compute_loss, []

def compute_loss(*args, **kwargs):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(*args, **kwargs)

EncoderTrainer.compute_loss = compute_loss
run_xtreme.main(sys.argv[1:])
"""


def lines(folder):
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


def test_a_mixture_leaves_masked_lm_out(toy, tmp_path):
    folder = tmp_path / "run"
    data = ["--tasks", "mnli", "squad", "mlm", "--mlm_files", str(toy / "text/de.txt")]
    data += ["--data_dir", str(toy / "intermediate"), "--model_name_or_path", str(toy / "model")]
    data += ["--max_train_samples", "32", "--mixing", "uniform", "--max_steps", "9", "--save_strategy", "no"]
    robustly = ["--robust", "freelb", "--robust_steps", "2", "--train_noise", "keyboard:2"]
    run_intermediate.main([*data, "--output_dir", str(folder), *SHAPE, *robustly])
    trained_on = {}
    for line in lines(folder):
        for name in ("mnli", "squad", "mlm"):
            if line.get(f"steps_{name}"):
                trained_on.setdefault(name, []).append(line)
    assert trained_on.keys() == {"mnli", "squad", "mlm"}
    assert all("delta_norm" not in line and line["noised"] == 0 for line in trained_on["mlm"])
    for name in ("mnli", "squad"):
        assert all(0 < line["delta_norm"] <= 0.3 and line["robust_loss"] > 0 for line in trained_on[name])
        assert sum(line["noised"] for line in trained_on[name]) > 0
    about, results = (
        json.loads((folder / "run.json").read_text()),
        json.loads((folder / "train_results.json").read_text()),
    )
    assert about["training"]["robust"]["method"] == "freelb" and about["training"]["train_noise"]["op"] == "keyboard"
    block = about["robust"]
    assert (block["forward_passes"], block["backward_passes"], block["levels"]) == (2, 2, [2])
    assert block["share_of_norm"]["eps"] == pytest.approx(0.3 / block["token_norm"])
    assert (
        results["train_noised"] == sum(line.get("noised", 0) for line in lines(folder))
        and results["train_robust_skipped"] == 0
    )


def test_of_a_mixture_the_tasks_that_are_named_are_robust(toy, tmp_path, capsys):
    folder = tmp_path / "run"
    data = ["--tasks", "mnli", "squad", "--data_dir", str(toy / "intermediate"), "--model_name_or_path"]
    data += [str(toy / "model"), "--max_train_samples", "16", "--mixing", "uniform", "--max_steps", "6", *SHAPE]
    data += ["--save_strategy", "no", "--output_dir", str(folder), "--robust", "freelb", "--robust_steps", "2"]
    refused(
        [*data, "--robust_tasks", "squad_v2"], "--robust_tasks squad_v2: not trained here", capsys, run_intermediate
    )
    run_intermediate.main([*data, "--robust_tasks", "squad", "--robust_part", "question"])
    trained_on = [line for line in lines(folder) if "loss" in line]
    assert {"delta_norm" in line for line in trained_on if line.get("steps_squad")} == {True}
    assert {"delta_norm" in line for line in trained_on if line.get("steps_mnli")} == {False}
    training = json.loads((folder / "run.json").read_text())["training"]
    assert training["robust"]["part"] == "question" and training["robust_tasks"] == ["squad"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["--robust", "freelb", "--train_noise", "mixed"], ["--train_noise", "mixed", "--consistency", "1"]]
)
def test_killed_and_resumed_to_the_byte(toy, tmp_path, flags):
    (tmp_path / "killed.py").write_text(KILLED)
    common = [*SHAPE, "--max_train_samples", "64", "--num_train_epochs", "2", "--save_strategy", "steps"]
    common += "--save_steps 3 --per_device_train_batch_size 16 --gradient_accumulation_steps 1".split() + flags
    whole, again = (on_toy(toy, "udpos", tmp_path / name) + common for name in ("whole", "again"))
    run_xtreme.main(whole)
    done = subprocess.run([sys.executable, tmp_path / "killed.py", *again], env=environment(), capture_output=True)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "again/checkpoint-3").exists()
    run_xtreme.main(again)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "again")]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["freelb", "pgd", "smart", "r3f"])
@pytest.mark.parametrize("mode", ["zero2", "zero3"])
def test_zero_trains_as_one_process(toy, tmp_path, mode, method):
    """Around the engine only where gradients of weights are wanted: docs/robust.md."""
    fields = {"freelb": ["--robust_steps", "2"], "pgd": ["--robust_steps", "2"], "r3f": ["--robust_eps", "0.1"]}
    common = [*SHAPE, "--max_steps", "4", "--save_strategy", "no", "--robust", method, *fields.get(method, [])]
    common += ["--learning_rate", "1e-4", "--adam_epsilon", "1e-6"]
    sizes = {name: ["--per_device_train_batch_size", size] for name, size in (("one", "8"), ("two", "4"))}
    run_xtreme.main([*on_toy(toy, "xnli", tmp_path / "one"), *common, *sizes["one"]])
    config = ["--deepspeed", str(ROOT / f"ds_configs/{mode}.json"), "--bf16", "false"]
    torchrun(run_xtreme.__file__, [*on_toy(toy, "xnli", tmp_path / "two"), *common, *sizes["two"], *config])
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    losses = [[line["loss"] for line in lines(tmp_path / name) if "loss" in line] for name in ("one", "two")]
    assert max(abs(a - b) for a, b in zip(*losses)) < 1e-4 and len(losses[0]) == 4


def test_reports_name_settings_by_method_and_noise():
    def setting(training, **more):
        record = {"task": "xnli", "command": "run_xtreme.py --do_train", "training": training, **more}
        return robust_training(record)

    assert setting({"learning_rate": 1}) == []
    assert setting({"robust": {"method": "pgd"}, "train_noise": {"op": "mixed"}}) == ["pgd", "noise mixed"]
    assert setting({"train_noise": {"op": "swap"}, "consistency": 1.0}) == ["consistency under noise swap"]
    command = "python run_xtreme.py --do_train --robust r3f --train_noise mixed:2"
    fine_tuned = {"task": "xnli", "command": command, "parent": None}
    assert setting(None, parent=fine_tuned) == ["r3f", "noise mixed"]  # a run that only predicts
    assert setting(None, parent={**fine_tuned, "task": "mnli"}) == []
    assert (
        runs.trained_as({"task": "anli", "command": "run_intermediate.py --do_train --robust freelb"})
        == "anli (freelb)"
    )
    assert runs.trained_as({"task": "anli", "command": "run_intermediate.py --do_train --robust none"}) == "anli"


@pytest.mark.slow
def test_workers_noise_as_the_process_itself_does(toy, tmp_path):
    common = [*SHAPE, "--max_steps", "3", "--save_strategy", "no", "--train_noise", "mixed"]
    run_xtreme.main([*on_toy(toy, "udpos", tmp_path / "alone"), *common])
    run_xtreme.main([*on_toy(toy, "udpos", tmp_path / "workers"), *common, "--dataloader_num_workers", "2"])
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("alone", "workers")]
    assert files[0] == files[1]
