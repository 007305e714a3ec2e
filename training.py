"""How a model is trained and run: precision, batches, the loss, the Trainer subclass, and length-sorted prediction.

Shared by the run scripts; everything else about training is HF's Trainer, unchanged. Copy with a run script.
"""

import os
import time

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import Trainer
from transformers.trainer_utils import speed_metrics

import metrics
from arguments import truthy
from outputs import InputError

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


class Collator:
    """Features -> tensors, padded to the longest of the batch, or to `length`.

    `input_ids` [examples, tokens] or, for multiple choice, [examples, choices, tokens] with `choice_mask` [examples,
    choices]; `attention_mask` alike; `labels` and QA's `context` where the features have them.
    """

    columns = ("input_ids", "labels", "context")

    def __init__(self, pad_token_id, length=None):
        self.pad_token_id, self.length = pad_token_id, length

    def __call__(self, features):
        inputs = [feature["input_ids"] for feature in features]
        choices = [row if isinstance(row[0], list) else [row] for row in inputs]
        width = max(map(len, choices))
        longest = self.length or max(len(row) for rows in choices for row in rows)
        tokens = torch.full((len(inputs), width, longest), self.pad_token_id)
        mask = torch.zeros_like(tokens)
        mask[:, :, 0] = 1  # a choice that only fills up the batch attends to its first token: softmax over nothing is NaN
        for index, rows in enumerate(choices):
            for choice, row in enumerate(rows):
                tokens[index, choice, : len(row)] = torch.tensor(row)
                mask[index, choice, : len(row)] = 1
        batch = {"input_ids": tokens, "attention_mask": mask}
        if isinstance(inputs[0][0], list):
            batch["choice_mask"] = torch.tensor([[choice < len(rows) for choice in range(width)] for rows in choices])
        else:
            batch = {name: value[:, 0] for name, value in batch.items()}
        for name in ("labels", "context"):
            if name in features[0]:
                batch[name] = self._stack([feature[name] for feature in features], inputs, longest)
        return batch

    @staticmethod
    def _stack(values, inputs, longest):
        """Labels per example as they are; labels per token (as long as their input) padded with -100, which no loss counts."""
        if isinstance(values[0], list) and all(len(value) == len(row) for value, row in zip(values, inputs)):
            values = [value + [-100] * (longest - len(value)) for value in values]
        return torch.tensor(values)


def cross_entropy(logits, labels, label_smoothing=0.0):
    """Summed cross-entropy per example and the number of its labels, each [examples]; labels of -100 do not count.

    logits [examples, ..., classes], labels [examples, ...].
    """
    loss = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), reduction="none", ignore_index=-100, label_smoothing=label_smoothing
    )
    examples = len(labels)
    return loss.view(examples, -1).sum(1), (labels != -100).view(examples, -1).sum(1)


class LengthGroupedSampler(torch.utils.data.Sampler):
    """Examples in random batches of like lengths: shuffled, sorted by length within 50 batches, batches shuffled again.

    The order depends on the seed, the epoch and the effective batch size alone, so it is the same for 8x1, 2x4 and two
    processes x 4. (HF's sampler draws from the global generator, groups by per-process batches, and leaves each 50
    batches sorted from long to short.) A last, smaller batch stays last.
    """

    def __init__(self, lengths, batch_size, seed):
        self.lengths, self.batch_size, self.seed, self.epoch = np.array(lengths), batch_size, seed, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        random = np.random.default_rng((self.seed, self.epoch))
        order, pool, size = random.permutation(len(self)), 50 * self.batch_size, self.batch_size
        full = len(order) - len(order) % size
        pools = [order[begin : min(begin + pool, full)] for begin in range(0, full, pool)]
        grouped = np.concatenate([part[np.argsort(-self.lengths[part], kind="stable")] for part in pools] or [order[:0]])
        batches = random.permutation(grouped.reshape(-1, size))
        return iter([*batches.reshape(-1).tolist(), *order[full:].tolist()])


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
        labels = inputs.pop("labels")
        logits = self.head.forward(model, inputs)
        loss, count = cross_entropy(logits, labels, self.args.label_smoothing_factor)
        if num_items_in_batch is None:
            loss = loss.sum() / count.sum()
        else:  # DDP averages gradients over processes, so the sum needs their number back
            loss = loss.sum() / num_items_in_batch * (self.accelerator.num_processes if self.args.average_tokens_across_devices else 1)
        return (loss, {"logits": logits}) if return_outputs else loss

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


def length_batches(lengths, batch_size):
    """Row indices of batches, longest rows first; a batch ends early where rows get shorter than 85 % of its longest.

    Without that rule the long tail of a file of some hundred examples is 20 to 30 % padding, with it 7 to 11 %.
    """
    order = np.argsort(-lengths, kind="stable")
    falling, batches, begin = -lengths[order], [], 0
    while begin < len(order):
        alike = np.searchsorted(falling, 0.85 * falling[begin], side="right")
        end = min(begin + batch_size, max(alike, begin + max(1, batch_size // 8)))
        batches.append(order[begin:end].tolist())
        begin = end
    return batches


def run_batches(function, features, collator, batch_size, device, bf16=False, desc=None, disable_tqdm=False):
    """Apply `function(batch) -> {name: tensor [rows, ...]}` to all features, longest first; returns {name: list of one array per feature}.

    Rows come back in the order of `features` whatever the batches were. Under torch.distributed each process computes
    every n-th batch and all get the whole result. `bf16` is autocast: weights and returned values stay float32.
    """
    rank, world = distributed()
    batches = length_batches(np.array(features["length"]), batch_size)
    inputs = features.select_columns([name for name in Collator.columns if name in features.column_names])
    found = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for rows in tqdm(batches[rank::world], desc=desc, disable=disable_tqdm or rank > 0, leave=False):
            batch = {name: value.to(device) for name, value in collator(inputs.__getitems__(rows)).items()}
            found.append((rows, {name: value.cpu().numpy() for name, value in function(batch).items()}))
    if world > 1:
        gathered = [None] * world
        torch.distributed.all_gather_object(gathered, found)
        found = [part for parts in gathered for part in parts]
    result = {name: [None] * len(features) for name in (found[0][1] if found else {})}
    for rows, values in found:
        for name, value in values.items():
            for row, item in zip(rows, value):
                result[name][row] = item
    return result


def prepare_to_predict(model, args):
    """Move the model to the device; with HF's --bf16_full_eval or --fp16_full_eval also its weights (in memory) to that precision."""
    dtype = torch.bfloat16 if args.bf16_full_eval else torch.float16 if args.fp16_full_eval else torch.float32
    return model.to(args.device, dtype)


def predict(model, head, features, collator, settings, batch_size, device, bf16=False, **progress):
    """What the head's `decode` needs, one array row per feature, and the mean loss where the features have labels (else None)."""
    model.eval()

    def step(batch):
        labels = batch.pop("labels", None)
        logits = head.forward(model, dict(batch))
        reduced = head.reduce(logits, batch, settings)
        if labels is not None:
            reduced["loss"], reduced["count"] = cross_entropy(logits, labels)
        return reduced

    reduced = run_batches(step, features, collator, batch_size, device, bf16, **progress)
    loss = float(np.sum(reduced.pop("loss")) / max(1, np.sum(reduced.pop("count")))) if "loss" in reduced else None
    return reduced, loss


class Predictor:
    """A head with all it needs to turn rows into predictions and scores."""

    def __init__(self, head, labels, settings, args, tokenizer, pad_to_max_length=False):
        self.head, self.labels, self.settings, self.args, self.tokenizer = head, labels, settings, args, tokenizer
        self.collator = Collator(tokenizer.pad_token_id, settings.max_seq_length if pad_to_max_length else None)
        self.options = {"batch_size": args.per_device_eval_batch_size, "device": args.device, "bf16": args.bf16, "disable_tqdm": args.disable_tqdm}

    def predict(self, model, rows, features, desc=None):
        """(one prediction per row, mean loss or None)."""
        reduced, loss = predict(model, self.head, features, self.collator, self.settings, desc=desc, **self.options)
        return self.head.decode(rows, features, reduced, self.labels, self.settings), loss

    def count(self, task, rows, predictions, language):
        """Additive counts per row for metrics.aggregate and a paired bootstrap; None where the file has no labels."""
        references = self.head.references(rows)
        if references is None:
            return None
        if isinstance(references[0], dict):  # question answering is scored by id
            predictions = dict(zip(rows["id"], predictions))
        counts = metrics.count(task.name, references, predictions, language)
        about = [name for name in ("id", "paragraph") if name in rows.column_names]
        return [{**{name: row[name] for name in about}, **count} for row, count in zip(rows.select_columns(about), counts)]

    def evaluator(self, task, model, rows):
        """A function () -> ({metric: fraction, "loss"}, number of rows) on English dev, for EncoderTrainer."""
        features = self.head.encode(rows, self.tokenizer, self.labels, self.settings)

        def evaluate_dev():
            predictions, loss = self.predict(model, rows, features, desc="dev")
            scores = metrics.aggregate(task.name, self.count(task, rows, predictions, "en"))
            return {"loss": loss, **{name: value / 100 for name, value in scores.items()}}, len(rows)

        return evaluate_dev


def world_size():
    """Number of processes that a launcher started, before torch.distributed is up."""
    return int(os.environ.get("WORLD_SIZE", 1))
