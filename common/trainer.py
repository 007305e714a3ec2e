"""How a model is trained: the loss, the Trainer subclasses for one task and for a mixture, and what they watch over.

Everything else about training is HF's Trainer, unchanged.
"""

import logging
import time
from pathlib import Path

import torch
from transformers import Trainer
from transformers.trainer_utils import rotate_checkpoints, speed_metrics

from common import recovery
from common.batching import LengthGroupedSampler
from common.launching import barrier, distributed, on_main
from common.results import save_metrics

logger = logging.getLogger("xtreme")


class Collapse(recovery.Failure):
    """Training that has degenerated: a loss that is not finite (examples are counted from 0), or dev scores that
    constant predictions reach too.
    """


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


def number_of_weights(model):
    return sum(
        getattr(weight, "ds_numel", weight.numel()) for weight in model.parameters()
    )  # under ZeRO-3 a process holds a share


class EncoderTrainer(Trainer):
    """HF's Trainer with a loss that does not depend on how a batch is split, and evaluation by the task's own metric.

    transformers 5.23 multiplies XLM-R's loss and gradients by processes x accumulation steps: the model's signature
    promises to normalize by `num_items_in_batch`, and it does not. Here the model only gives logits; the loss is the
    sum over the labels of the whole batch divided by their number, so 8x1, 2x4 and 2 processes x 4 give the same
    gradients.
    """

    def __init__(self, *args, head, evaluate_dev=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.head, self.evaluate_dev = head, evaluate_dev
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the labels of the whole accumulated batch
        self.stopping, self.suspects = (
            False,
            [],
        )  # (the loss is not finite, rows) of this optimizer step's micro-batches so far

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels, source = inputs.pop("labels"), inputs.pop("source", None)
        logits = self.forward(model, inputs, source)
        loss, count = cross_entropy(logits, labels, self.args.label_smoothing_factor)
        if source is not None:
            self.record(source, loss, count)
        if num_items_in_batch is None:
            loss = loss.sum() / count.sum()
        else:  # DDP averages gradients over processes, so the sum needs their number back
            loss = (
                loss.sum()
                / num_items_in_batch
                * (self.accelerator.num_processes if self.args.average_tokens_across_devices else 1)
            )
        return (loss, {"logits": logits}) if return_outputs else loss

    def forward(self, model, inputs, source):
        return self.head.forward(model, inputs)

    def training_step(self, model, inputs, num_items_in_batch=None):
        rows, what, shape = inputs.pop("rows", []), inputs.get("source", "the task"), tuple(inputs["input_ids"].shape)
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        except torch.OutOfMemoryError as error:
            raise recovery.Failure(self.memory_advice(shape, error)) from None
        self.watch(loss, rows, what)
        return loss

    def watch(self, loss, rows, what):
        """Once per optimizer step, all processes alike: Collapse where a loss was not finite, the end of training
        where a signal asked for it.
        """
        unsound = ~loss.detach().isfinite().all()
        self.suspects.append((unsound, rows))
        if not self.accelerator.sync_gradients:
            return
        suspects, self.suspects = self.suspects, []
        spoiled = torch.stack([sign for sign, _ in suspects]).any().float()
        signs = torch.stack((spoiled, torch.full_like(spoiled, recovery.stop_requested())))
        spoiled, self.stopping = self.accelerator.reduce(signs).tolist()
        if spoiled:
            rows = [row for sign, found in suspects if sign for row in found]
            found = [rows] * distributed()[1]
            if len(found) > 1:
                torch.distributed.all_gather_object(found, rows)
            named = ", ".join(str(row) for row in sorted({row for rows in found for row in rows})[:20])
            raise Collapse(
                f"the loss of {what} is not finite at step {self.state.global_step + 1}, on the training examples "
                f"{named}"
            )

    def memory_advice(self, shape, error):
        args, size = self.args, self.args.per_device_train_batch_size
        smaller = (
            f"--per_device_train_batch_size {size // 2} --gradient_accumulation_steps "
            f"{2 * args.gradient_accumulation_steps}"
        )
        tries = [f"{smaller} (the same effective batch)"] if size > 1 else []
        tries += ["--bf16"] if not (args.bf16 or args.deepspeed) else []
        tries += [] if args.activation_checkpointing else ["--activation_checkpointing true"]
        tries += [
            "--deepspeed ds_configs/zero2.json on several GPUs",
            "ds_configs/zero3_offload.json",
            f"--max_seq_length below {shape[-1]}",
        ]
        what = (
            f"{' x '.join(map(str, shape))} sub-tokens in a batch, {number_of_weights(self.model) / 1e6:.0f} "
            "million weights"
        )
        return (
            f"out of GPU memory ({what}; {str(error).split('. ')[0]}); try, in this order and in a new "
            f"--output_dir: {', then '.join(tries)}"
        )

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

    # Checkpoints: room is checked first, a checkpoint is sealed when all of it is there, and only then older ones go.

    def _run_epoch(self, **options):
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(**options)
        # resumed from the last step's checkpoint: HF would take one step more where that is not the end of an epoch
        else:
            self.control.should_training_stop = True

    def _save_checkpoint(self, model, trial):
        folder, limit = Path(self.args.output_dir), self.args.save_total_limit
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        needed = number_of_weights(self.model) * (
            24 if self.is_deepspeed_enabled else 12
        )  # float32: weights and Adam's moments; ZeRO's masters
        on_main(lambda: (recovery.check_room(folder, needed), (checkpoint / recovery.MARKER).unlink(missing_ok=True)))
        self.args.save_total_limit = None
        super()._save_checkpoint(model, trial)
        self.args.save_total_limit = limit
        barrier()
        on_main(lambda: recovery.seal(checkpoint))
        if self.args.should_save:
            rotate_checkpoints(str(folder), limit, self.state.best_model_checkpoint)

    def _maybe_log_save_evaluate(self, tr_loss, grad_norm, model, trial, *args, **kwargs):
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, *args, **kwargs)
        due = (
            self.state.epoch % 1 == 0 or self.state.global_step >= self.state.max_steps
        )  # an evaluation, perhaps: stop later
        if self.stopping and not due:
            checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            if not on_main(lambda: (checkpoint / recovery.MARKER).exists()):
                self._save_checkpoint(model, trial)
            raise recovery.stopped(f"{checkpoint} is saved")

    def save_final(self, metrics):
        """The selected model in --output_dir, and train_results.json, all_results.json and trainer_state.json."""
        folder = Path(self.args.output_dir)
        on_main(lambda: recovery.check_room(folder, 4 * number_of_weights(self.model)))
        self.save_model()
        self.log_metrics("train", metrics)
        if self.args.should_save:
            save_metrics(folder, "train", metrics)
        self.save_state()

    def _save(self, output_dir=None, state_dict=None):
        """Weights and tokenizer; HF's own also pickles the arguments, --hub_token among them."""
        if self.args.should_save:
            folder = output_dir or self.args.output_dir
            self.save_weights(folder, state_dict)
            self.processing_class.save_pretrained(folder)

    def save_weights(self, folder, state):
        self.model.save_pretrained(folder, state_dict=state)
