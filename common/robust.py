"""Robust training: a function per method on top of the trainer's loss, for every head that has logits per label.

A method sees a MicroBatch and gives the loss whose backward pass ends the micro-batch. Losses and divergences are sums
over labels, divided by the labels of the whole batch, and every random number is drawn from (seed, step, example):
splitting a batch over accumulation steps or processes changes nothing. Perturbations are added to the word embeddings
by a hook for one pass, so position ids come from the input ids in every encoder. docs/robust.md has the rules.
"""

import contextlib
import hashlib
import logging
from dataclasses import asdict

import torch

from common.dropout import generator_states, restore
from common.labels import IGNORED
from common.launching import autocasts
from common.loss import cross_entropy
from common.recovery import Failure

logger = logging.getLogger("xtreme")

LOWEST = -1e4  # stands for -inf in logits of what is no class, whose share of a divergence is 0 and not NaN
TINY = 1e-12  # smallest norm that is divided by
WARM_UP = 0.1  # share of the steps over which the weight of --consistency rises
COUNTED = ("robust_skipped", "noised", "noise_cut")  # log lines that are numbers of examples
# What a step's micro-batches add up, for the log.
SUMS = ("loss", "kl", "labels", "norm", "rows", "skipped", "noised", "cut")


class MicroBatch:
    """A micro-batch as methods see it: forward passes, losses in the trainer's unit, perturbations.

    `rows` are texts: an example's one, or its choices. `mask` [rows, tokens, 1] is 1 for the real tokens that may be
    perturbed: all, or with part="question" those before the context, where there is one. Perturbations
    [rows, tokens, width of the word embeddings] are 0 elsewhere.
    """

    def __init__(self, trainer, model, inputs, num_items_in_batch, part=None):
        self.trainer, self.model, self.labels = trainer, model, inputs.pop("labels")
        self.source, self.examples = inputs.pop("source", None), inputs.pop("indices", range(len(self.labels)))
        inputs.pop("parts", None)  # perturbations are of whole batches
        self.view, self.inputs, self.divisor = inputs.pop("noised", None), inputs, num_items_in_batch
        self.embeddings = trainer.model.get_input_embeddings()
        mask = inputs["attention_mask"]
        self.choices, self.mask = mask[0].numel() // mask.shape[-1], mask.flatten(0, -2)[..., None]
        if part == "question" and "context" in inputs:
            before = torch.arange(mask.shape[-1], device=mask.device) < inputs["context"][:, :1]
            self.mask = self.mask * before[..., None]
        self.losses, self.sums = [], dict.fromkeys(SUMS, 0.0)

    # Passes

    def logits(self, delta=None, bare=False, detach=False, inputs=None):
        """Logits of a pass with `delta` on the word embeddings, which with `detach` get no gradient from it.

        `bare`: around DDP and DeepSpeed, for passes whose gradients of the weights nobody wants; DeepSpeed's engine
        would take any backward pass through its outputs for a training step's.
        """
        inputs, model = dict(self.inputs if inputs is None else inputs), self.trainer.model if bare else self.model
        engine = bare and self.trainer.is_deepspeed_enabled and autocasts(self.trainer.args)
        autocast = torch.autocast(self.mask.device.type, torch.bfloat16) if engine else contextlib.nullcontext()
        with perturbed(self.embeddings, delta, detach), autocast:
            return self.trainer.forward(model, inputs, self.source)

    def local(self):
        """The context of a pass, forward and backward, that is not the last: its gradients stay on this process."""
        engine = self.trainer.is_deepspeed_enabled
        return contextlib.nullcontext() if engine else self.trainer.accelerator.no_sync(self.model)

    def backward(self, loss):
        """The backward pass of one that is not the last: without the optimizer's step that DeepSpeed would take."""
        if self.trainer.is_deepspeed_enabled:
            self.model.set_gradient_accumulation_boundary(False)
            self.model.backward(loss, scale_wrt_gas=False)
        else:
            loss.backward()

    # Losses

    def loss(self, logits, labels=None):
        """Cross-entropy in the trainer's unit; the log's loss of the micro-batch is the mean of these."""
        labels = self.labels if labels is None else labels
        loss, count = cross_entropy(logits, labels, self.trainer.args.label_smoothing_factor)
        self.losses.append((loss.detach(), count))
        self.sums["loss"] = loss.detach().sum()  # of the last pass
        return self.trainer.normalized(loss, count, self.divisor)

    def divergence(self, rows):
        """Divergences [labels that count] in the trainer's unit."""
        counted = (self.labels != IGNORED).sum()
        self.sums["kl"] = rows.detach().sum()
        return self.trainer.normalized(rows, counted, self.divisor)

    def of_labels(self, logits, labels=None):
        """[labels that count, classes] of logits [examples, ..., classes]."""
        labels = self.labels if labels is None else labels
        return logits.float().clamp_min(LOWEST)[labels != IGNORED]

    # Perturbations

    def draw(self, noise):
        """Random numbers, uniform from -1 to 1 or normal, from (seed, step, example) alone."""
        args, step, width = self.trainer.args, self.trainer.state.global_step, self.embeddings.embedding_dim
        drawn = torch.zeros((*self.mask.shape[:2], width), device=self.mask.device)
        lengths = self.mask.sum((1, 2)).tolist()
        for row, length in enumerate(lengths):
            example, choice = divmod(row, self.choices)
            name = f"{args.seed} {step} {self.examples[example]} {choice}".encode()
            seed = int.from_bytes(hashlib.blake2b(name, digest_size=7).digest(), "big")
            generator, shape = torch.Generator(drawn.device).manual_seed(seed), (length, width)
            if noise == "uniform":
                values = 2 * torch.rand(shape, generator=generator, device=drawn.device) - 1
            else:
                values = torch.randn(shape, generator=generator, device=drawn.device)
            drawn[row, self.mask[row, :, 0] == 1] = values
        return drawn

    def begin(self, settings):
        """FreeLB's first perturbation: uniform, with a norm of about `init` for an example of any length."""
        size = self.mask.sum((1, 2), keepdim=True) * self.embeddings.embedding_dim
        return project(self.draw("uniform") * settings.init / size.sqrt(), settings.eps)

    def ascend(self, delta, gradient, settings):
        """A normalized step along the gradient, back into the ball; none where the gradient is not finite."""
        gradient, finite = self.usable(gradient)
        step = settings.step_size * gradient / norms(gradient).clamp_min(TINY)
        return project(delta.detach() + torch.where(finite, step, 0), settings.eps)

    def usable(self, gradient):
        """(the gradient of real tokens, 0 in rows where it is not finite; which rows are [rows, 1, 1])."""
        finite = gradient.isfinite().flatten(1).all(1)[:, None, None]
        self.sums["skipped"] += (~finite).sum()
        return torch.where(finite, gradient, 0) * self.mask, finite


@contextlib.contextmanager
def perturbed(embeddings, delta, detach=False):
    """Within the block, what the module `embeddings` gives has `delta` added; NEFTune reaches it in the same way."""
    if delta is None:
        yield
        return

    def add(module, ids, x):
        if x.shape != delta.shape:
            raise Failure(
                "--robust: this attention drops padding before the embeddings; add --attn_implementation sdpa"
            )
        return (x.detach() if detach else x) + delta

    hook = embeddings.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


def norms(delta):
    """Frobenius norm of each row, [rows, 1, 1]."""
    return delta.flatten(1).norm(dim=1)[:, None, None]


def project(delta, eps):
    """The nearest perturbation whose rows have a norm of at most `eps`."""
    return delta * (eps / norms(delta).clamp_min(TINY)).clamp(max=1)


def kl(p, q):
    """KL(p || q) of logits [labels, classes], in nats."""
    p, q = p.log_softmax(-1), q.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def symmetric_kl(p, q):
    """KL(p || q) + KL(q || p) of logits [labels, classes]; no term is negative, so tiny ones do not cancel."""
    p, q = p.log_softmax(-1), q.log_softmax(-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1)


# --- The methods: (MicroBatch, Robust) -> (loss, last perturbation or None) ------------------------------------------


def freelb(batch, settings):
    """FreeLB (Zhu et al., 2020): the mean loss over K steps of a perturbation; each gives the weights a gradient, too.

    As in the official fairseq code K passes share one draw of dropout; that code calls K adv_steps + 1.
    """
    delta, states, earlier = batch.begin(settings), generator_states(), []
    for _ in range(settings.steps - 1):
        delta.requires_grad_()
        with batch.local():
            loss = batch.loss(batch.logits(delta)) / settings.steps
            batch.backward(loss)
        earlier.append(loss.detach())
        delta = batch.ascend(delta, delta.grad, settings)
        restore(states)
    loss = batch.loss(batch.logits(delta)) / settings.steps
    return loss + sum(earlier) if earlier else loss, delta


def pgd(batch, settings):
    """Projected gradient descent (Madry et al., 2018): K steps of a perturbation, then one training pass on it."""
    delta, states = batch.begin(settings), generator_states()
    for _ in range(settings.steps):
        restore(states)
        delta.requires_grad_()
        loss, _ = cross_entropy(batch.logits(delta, bare=True), batch.labels)
        (gradient,) = torch.autograd.grad(loss.sum(), delta)
        delta = batch.ascend(delta, gradient, settings)
    restore(states)
    return batch.loss(batch.logits(delta)), delta


def smart(batch, settings):
    """SMART (Jiang et al., 2020): what noise changes most along one gradient must not change the prediction.

    The paper has classes and regression; that labels of tokens and of spans diverge one by one is our extension.
    """
    states = generator_states()
    clean = batch.logits()
    target, delta = batch.of_labels(clean).detach(), settings.init * batch.draw("normal")
    for _ in range(settings.steps):
        restore(states)
        delta.requires_grad_()
        diverged = kl(target, batch.of_labels(batch.logits(delta, bare=True)))
        (gradient,) = torch.autograd.grad(diverged.sum(), delta)
        gradient, finite = batch.usable(gradient)
        largest = gradient.abs().amax(-1, keepdim=True)  # of each token
        delta = torch.where(finite, settings.step_size * gradient / (largest + 1e-6 * (largest == 0)), delta.detach())
    restore(states)
    noised = batch.logits(delta)
    return batch.loss(clean) + settings.weight * diverging(batch, clean, noised), delta


def r3f(batch, settings):
    """R3F (Aghajanyan et al., 2021): random noise must not change the prediction.

    Both passes have the same dropout: with another one the divergence is dropout's, 8 orders of magnitude larger than
    that of noise of 1e-5, and R3F is R-Drop.
    """
    states, delta = generator_states(), settings.eps * batch.draw(settings.noise)
    # first: DDP looks through the last pass alone for weights without a gradient, as word embeddings are here
    noised = batch.logits(delta, detach=True)
    restore(states)
    clean = batch.logits()
    return batch.loss(clean) + settings.weight * diverging(batch, clean, noised), delta


def rdrop(batch, settings):
    """R-Drop (Liang et al., 2021): two draws of dropout must give the same prediction; the loss is their mean."""
    first, second = batch.logits(), batch.logits()
    loss = (batch.loss(first) + batch.loss(second)) / 2
    return loss + settings.weight / 2 * batch.divergence(symmetric_kl(*map(batch.of_labels, (first, second)))), None


def diverging(batch, clean, noised):
    """The symmetric divergence of two passes over the same inputs."""
    batch.sums["loss"] = cross_entropy(noised.detach(), batch.labels)[0].sum()
    return batch.divergence(symmetric_kl(batch.of_labels(clean), batch.of_labels(noised)))


METHODS = {"freelb": freelb, "pgd": pgd, "smart": smart, "r3f": r3f, "rdrop": rdrop}


def consistency(batch, settings):
    """The mean loss of clean texts and their noised view, and KL(clean || noised), to which the clean side is fixed.

    xTune's example consistency (Zheng et al., 2021), with noise for its augmentation.
    """
    view, state = batch.view, batch.trainer.state
    labels = view["labels"]
    inputs = {name: value for name, value in view.items() if name not in ("labels", "source", "indices", "changes")}
    clean, noised = batch.logits(), batch.logits(inputs=inputs)
    loss = (batch.loss(clean) + batch.loss(noised, labels)) / 2
    if "context" in view:
        pair = at_common_tokens(clean, noised, batch.inputs["context"], view["context"])
        pair = [logits.flatten(0, 1) for logits in pair]
    else:
        pair = batch.of_labels(clean), batch.of_labels(noised, labels)
    weight = settings.consistency * min(1, (state.global_step + 1) / (WARM_UP * state.max_steps))
    return loss + weight * batch.divergence(kl(pair[0].detach(), pair[1])), None


def at_common_tokens(clean, noised, context, noised_context):
    """Logits [windows, 2, tokens] of two views, of `<s>` and those context tokens that both windows have.

    `context` [windows, 2] is where a window's context begins and ends; both begin with the same token of it.
    """
    position = torch.arange(clean.shape[-1], device=clean.device)
    begin, number = context[:, :1], torch.minimum(context.diff(dim=1), noised_context.diff(dim=1))
    common = (position >= begin) & (position < begin + number)  # [windows, tokens]
    places = torch.where(common, position - begin + noised_context[:, :1], 0)
    noised = noised.gather(-1, places[:, None].expand(-1, 2, -1))
    known = (common | (position == 0))[:, None]
    return [logits.float().masked_fill(~known, LOWEST).clamp_min(LOWEST) for logits in (clean, noised)]


class Robustness:
    """A training's robust part, for its trainer: when it acts, and what the log says of it."""

    def __init__(self, settings, left_out=()):
        self.settings, self.left_out, self.sums = settings, left_out, dict.fromkeys(SUMS, 0.0)

    def acts(self, inputs, step):
        """Whether the loss of a micro-batch is a method's: not masked LM's, and not before --robust_start_step."""
        if inputs.get("source") in self.left_out:
            return False
        return "noised" in inputs or (self.settings.method != "none" and step >= self.settings.start_step)

    def loss(self, batch):
        """The loss of a MicroBatch, in the trainer's unit, whose backward pass ends it."""
        method = METHODS[self.settings.method] if batch.view is None else consistency
        loss, delta = method(batch, self.settings)
        losses, count = torch.stack([one for one, _ in batch.losses]).mean(0), batch.losses[0][1]
        batch.trainer.record(batch.source, losses, count)
        sums = {**batch.sums, "labels": count.sum()}
        if delta is not None:
            sums |= {"norm": norms(delta.detach()).sum(), "rows": len(delta)}
        self.add(**sums)
        return loss

    def totals(self, log_history):
        """{name: its sum over the lines of the log} of what is counted."""
        names = [name for name in COUNTED if any(name in line for line in log_history)]
        return {name: sum(line.get(name, 0) for line in log_history) for name in names}

    def add(self, **sums):
        for name, value in sums.items():
            self.sums[name] = self.sums[name] + value

    def logs(self, accelerator, device):
        """{name: value} over all processes since the last time; `robust_loss` and `robust_kl` are per label."""
        values = [torch.as_tensor(value, dtype=torch.float32, device=device) for value in self.sums.values()]
        sums = dict(zip(SUMS, accelerator.reduce(torch.stack(values)).tolist()))
        self.sums, logs = dict.fromkeys(SUMS, 0.0), {}
        if sums["labels"]:
            logs["robust_loss"] = sums["loss"] / sums["labels"]
            if self.settings.method not in ("freelb", "pgd"):
                logs["robust_kl"] = sums["kl"] / sums["labels"]
        if sums["rows"]:
            logs["delta_norm"] = sums["norm"] / sums["rows"]
        if self.settings.method in ("freelb", "pgd", "smart"):
            logs["robust_skipped"] = int(sums["skipped"])
        if self.settings.train_noise:
            logs |= {"noised": int(sums["noised"]), "noise_cut": int(sums["cut"])}
        return logs


def robust_record(settings, model, features):
    """run.json's block of a robust training, which the log says too: parameters, passes, norms.

    Thresholds and steps are lengths in the space of word embeddings, whose scale differs between encoders: they are
    also given as a share of the mean norm of the tokens of the first training examples.
    """
    forward, backward, cost = settings.passes
    record = {**asdict(settings), "forward_passes": forward, "backward_passes": backward, "cost_factor": cost}
    logger.info(
        "robust training: %d forward and %d backward passes a step, about %.1f x the time of plain training",
        forward,
        backward,
        cost,
    )
    if settings.method in ("none", "rdrop"):
        return record
    norm = record["token_norm"] = token_norm(model.get_input_embeddings().weight, features)
    sizes = {name: getattr(settings, name) for name in ("eps", "step_size", "init") if getattr(settings, name)}
    record["share_of_norm"] = {name: size / norm for name, size in sizes.items()}
    shares = ", ".join(f"{name} {size:g} is {size / norm:.2g} of it" for name, size in sizes.items())
    logger.info("word embeddings: a token's mean norm is %.3g; %s", norm, shares)
    return record


def token_norm(weight, features):
    """The mean norm of the word embeddings of the first training examples' tokens; `weight` may be ZeRO-3's share."""
    tokens = torch.tensor(flat(features[:64]["input_ids"]))
    gathered = contextlib.nullcontext()
    if hasattr(weight, "ds_id"):
        import deepspeed

        gathered = deepspeed.zero.GatheredParameters([weight])
    with gathered, torch.no_grad():
        return weight[tokens.to(weight.device)].norm(dim=1).mean().item()


def flat(ids):
    """The numbers in lists of lists."""
    return [ids] if isinstance(ids, int) else [number for part in ids for number in flat(part)]
