"""How a model is trained: precision, the loss, the Trainer subclasses for one task and for a mixture.

Shared by the run scripts; everything else about training is HF's Trainer, unchanged. Copy with a run script.
"""

import functools
import logging
import os
import time

import torch
from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint, speed_metrics

from arguments import truthy
from batching import LengthGroupedSampler
from outputs import InputError

logger = logging.getLogger("xtreme")


class Collapse(RuntimeError):
    """Training that has degenerated: a loss that is not finite, or dev scores that constant predictions reach too."""


def cpu_is_fast_at_bf16():
    """Whether this CPU has bfloat16 matrix instructions (avx512_bf16, AMX); without them bf16 is far slower than float32."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return any(flag in line for line in file if line.startswith("flags") for flag in ("avx512_bf16", "amx_bf16"))
    except OSError:
        return False


def precision_flags(given):
    """Flags for device and precision that were not given, with their origin; refuses what the device cannot do."""
    flags = []
    cuda = torch.cuda.is_available() and not truthy(given.get("use_cpu"))
    if not cuda:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or deepspeed, which accelerate imports, warns that it found no GPU
    if not cuda and "use_cpu" not in given:
        flags.append(("use_cpu", "true", "no GPU found"))
    capable = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_is_fast_at_bf16()
    for name in [name for name in ("fp16", "fp16_full_eval", "bf16", "bf16_full_eval") if truthy(given.get(name))]:
        if name.startswith("fp16") and not cuda:
            raise InputError(f"--{name}: this device is a CPU, which is no good at float16; use --bf16 (if it has avx512_bf16 or AMX) or float32")
        if name.startswith("bf16") and not capable:
            raise InputError(f"--{name}: this {'GPU' if cuda else 'CPU'} has no bfloat16 instructions; use {'--fp16' if cuda else 'float32'}")
    if "bf16" not in given and "fp16" not in given:
        fast = ("bf16", "true", "device default: this GPU is fast at it; weights stay float32")
        flags.append(fast if cuda and capable else ("bf16", "false", f"device default: float32{'; --bf16 is faster on this CPU' * capable}"))
    return flags


def cross_entropy(logits, labels, label_smoothing=0.0):
    """Summed cross-entropy per example and the number of its labels, each [examples]; labels of -100 do not count.

    logits [examples, ..., classes], or [labels that count, classes] from masked LM; labels [examples, ...].
    """
    options = {"reduction": "none", "ignore_index": -100, "label_smoothing": label_smoothing}
    counted = labels != -100
    if logits.dim() == labels.dim():
        found = torch.nn.functional.cross_entropy(logits.float(), labels[counted], **options)
        loss = torch.zeros(labels.shape, device=labels.device).masked_scatter(counted, found)
    else:
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), **options)
    examples = len(labels)
    return loss.view(examples, -1).sum(1), counted.view(examples, -1).sum(1)


class EncoderTrainer(Trainer):
    """HF's Trainer with a loss that does not depend on how a batch is split, and evaluation by the task's own metric.

    transformers 5.23 multiplies XLM-R's loss and gradients by processes x accumulation steps: the model's signature
    promises to normalize by `num_items_in_batch`, and it does not. Here the model only gives logits; the loss is the sum
    over the labels of the whole batch divided by their number, so 8x1, 2x4 and 2 processes x 4 give the same gradients.
    """

    def __init__(self, *args, head, evaluate_dev=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.head, self.evaluate_dev = head, evaluate_dev
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the labels of the whole accumulated batch

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels, source = inputs.pop("labels"), inputs.pop("source", None)
        logits = self.forward(model, inputs, source)
        loss, count = cross_entropy(logits, labels, self.args.label_smoothing_factor)
        if source is not None:
            self.record(source, loss, count)
        if num_items_in_batch is None:
            loss = loss.sum() / count.sum()
        else:  # DDP averages gradients over processes, so the sum needs their number back
            loss = loss.sum() / num_items_in_batch * (self.accelerator.num_processes if self.args.average_tokens_across_devices else 1)
        return (loss, {"logits": logits}) if return_outputs else loss

    def forward(self, model, inputs, source):
        return self.head.forward(model, inputs)

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        effective = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return LengthGroupedSampler((train_dataset or self.train_dataset)["length"], effective, seed)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """English dev scores (fractions) from `evaluate_dev()`, logged and reported to callbacks as HF's own are."""
        start = time.time()
        scores, num_samples = self.evaluate_dev()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        metrics.update(speed_metrics(metric_key_prefix, start, num_samples=num_samples))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class MixtureTrainer(EncoderTrainer):
    """An EncoderTrainer for one encoder under several heads, one data set per optimizer step.

    model: checkpoints.MultiTaskModel; train_dataset: Mixture; `heads` {data set: (task, head module)}. `guard(scores)`
    raises Collapse for dev scores of a degenerate model and is asked at every evaluation from the end of the first epoch on.
    Logs add `loss_<data set>` (mean over its labels) and `steps_<data set>` since the last line.
    """

    def __init__(self, *args, heads, sampler, guard=None, **kwargs):
        super().__init__(*args, head=None, **kwargs)
        self.heads, self.sampler, self.guard, self.sums = heads, sampler, guard, {}

    def _get_train_sampler(self, train_dataset=None):
        return self.sampler

    def forward(self, model, inputs, source):
        task, head = self.heads[source]
        return head.forward(functools.partial(model, task), inputs)

    def record(self, source, loss, count):
        row = torch.stack((loss.detach().sum(), count.sum().float(), torch.ones((), device=loss.device)))
        self.sums[source] = self.sums.get(source, 0) + row

    def training_step(self, model, inputs, num_items_in_batch=None):
        source = inputs["source"]
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients and not self.is_deepspeed_enabled:
            for parameter in self.model.parameters():  # the other heads: the optimizer moves all in every step, as in jiant and under ZeRO
                if parameter.requires_grad and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        spoiled = (~loss.isfinite()).float()
        if self.accelerator.sync_gradients and self.accelerator.reduce(spoiled).item():  # of all processes: they stop together
            raise Collapse(f"the loss of {source} is not finite at step {self.state.global_step + 1}")
        return loss

    def log(self, logs, start_time=None):
        if "loss" in logs:
            names = list(self.heads)
            sums = torch.stack([self.sums.get(name, torch.zeros(3, device=self.args.device)) for name in names])
            sums = self.accelerator.reduce(sums).tolist()
            micro_batches = self.args.gradient_accumulation_steps * self.args.world_size
            for name, (loss, count, batches) in zip(names, sums):
                if batches:
                    logs[f"loss_{name}"], logs[f"steps_{name}"] = loss / count, round(batches / micro_batches)
            self.sums = {}
        super().log(logs, start_time)

    def evaluate(self, *args, **kwargs):
        metrics = super().evaluate(*args, **kwargs)
        if self.guard and (self.state.epoch or 0) > 1 - 1e-6:
            self.guard(metrics)
        return metrics

    # Checkpoints have the form of the final folder: a plain encoder, and heads.safetensors beside it.

    def _save(self, output_dir=None, state_dict=None):
        if self.args.should_save:
            folder = output_dir or self.args.output_dir
            self.model.save(folder, state_dict)
            self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        self.model.load(resume_from_checkpoint)

    def _load_best_model(self):
        logger.info("best on dev: %s (%s %.4f)", self.state.best_model_checkpoint, self.args.metric_for_best_model, self.state.best_metric)
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self.model.load(self.state.best_model_checkpoint)


def resume_point(training_args):
    """The checkpoint folder to go on from: as asked for, or the last one that an interrupted run left here."""
    asked, folder = training_args.resume_from_checkpoint, training_args.output_dir
    if asked and str(asked).lower() not in ("true", "last"):
        return asked
    last = get_last_checkpoint(folder) if os.path.isdir(folder) else None
    if last:
        logger.info("going on from %s", last)
    return last


def join_processes(args):
    """Bring up the process group for DeepSpeed on CPUs before any model loads: ZeRO-3 shards weights as they are read."""
    if args.deepspeed and args.device.type == "cpu":
        import deepspeed

        deepspeed.init_distributed(dist_backend="gloo")


def distributed():
    """(rank, number of processes) of a torch.distributed run, (0, 1) otherwise."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def barrier():
    """Wait until all processes are here."""
    if distributed()[1] > 1:
        torch.distributed.barrier()


def finish_distributed():
    """Leave a distributed run in step: without this, gloo processes abort at exit now and then and lose files."""
    barrier()
    if distributed()[1] > 1:
        torch.distributed.destroy_process_group()


def world_size():
    """Number of processes that a launcher started, before torch.distributed is up."""
    return int(os.environ.get("WORLD_SIZE", 1))
