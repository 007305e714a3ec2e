"""How a model is trained: a loss that does not depend on how a batch is split, and what a Trainer watches over.

Everything else about training is HF's Trainer, unchanged; phase 2's mixture has a subclass in mixture/trainer.py.
"""

import contextlib
import copy
import logging
import tempfile
import time
from pathlib import Path

import torch
from accelerate.utils import gather_object
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig
from transformers.trainer_utils import rotate_checkpoints, speed_metrics

from common import recovery
from common.batching import LengthGroupedSampler, RebalancedSampler, cut
from common.files import InputError
from common.launching import barrier, on_main
from common.loss import cross_entropy
from common.results import save_metrics
from common.robust import MicroBatch
from common.run_record import plain
from common.trainer_base import TrainerBase

logger = logging.getLogger("xtreme")


class Collapse(recovery.Failure):
    """Training that has degenerated: a loss that is not finite, or dev scores that constant guesses reach too."""


def number_of_weights(model):
    """Parameters of a model; under ZeRO-3 a process holds a share of each."""
    return sum(getattr(weight, "ds_numel", weight.numel()) for weight in model.parameters())


def effective_batch_size(args):
    """Examples per optimizer step, over all devices and accumulation steps."""
    return args.train_batch_size * args.gradient_accumulation_steps * args.world_size


def data_seed(args):
    """The seed of the order of examples: --data_seed, or --seed where it is not given."""
    return args.seed if args.data_seed is None else args.data_seed


DEFAULTS = TrainingArguments.__dataclass_fields__
# What HF's Trainer builds when training starts, and the flags that can be wrong there.
PARTS = {
    "its accelerator": ("accelerator_config", "torch_compile_backend", "torch_compile_mode", "torch_compile"),
    "its batches": (
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
        "dataloader_multiprocessing_context",
        "dataloader_num_workers",
    ),
    "its optimizer": ("optim", "optim_args", "optim_target_modules"),
    "its schedule": ("lr_scheduler_kwargs", "lr_scheduler_type"),
}


def rehearse(model, args, features):
    """Build once what HF's Trainer builds when training starts; InputError naming the flags that it cannot use.

    It would only refuse them when the folder is taken. `features` is a Dataset, of which one row is looked at. Not
    under DeepSpeed, which allows one accelerator in a process.
    """
    if args.deepspeed:
        return
    with tempfile.TemporaryDirectory() as folder:
        args = copy.copy(args)
        args.output_dir, args.push_to_hub = folder, False
        args.train_sampling_strategy, args.eval_strategy = "random", "no"
        args.accelerator_config = copy.deepcopy(args.accelerator_config)
        part = "its accelerator"
        try:
            if args.torch_compile_backend:
                torch._dynamo.lookup_backend(args.torch_compile_backend)
            trainer = Trainer(model, args, train_dataset=features.select([0]), data_collator=list)
            part = "its batches"
            trainer.get_train_dataloader()
            part = "its optimizer"
            trainer.create_optimizer()
            part = "its schedule"
            trainer.create_scheduler(num_training_steps=10)
        except Exception as error:  # of many kinds; all mean that training cannot start
            values = {name: plain(getattr(args, name)) for name in PARTS[part]}
            defaults = {
                **{name: plain(DEFAULTS[name].default) for name in values},
                "accelerator_config": AcceleratorConfig(),
            }
            given = [f"--{name} {value}" for name, value in values.items() if value != defaults[name]]
            flags = " ".join(given) or "TrainingArguments"
            problem = f"{' '.join(str(error).split())[:300] or type(error).__name__}"
            raise InputError(
                f"{flags}: the Trainer cannot build {part} ({problem}); correct it or leave it out"
            ) from None


@contextlib.contextmanager
def giving(embeddings, vectors):
    """Within the block, the module `embeddings` gives these `vectors`, which are those of what it is asked for."""
    hook = embeddings.register_forward_hook(lambda module, ids, x: vectors if x.shape == vectors.shape else x)
    try:
        yield
    finally:
        hook.remove()


class EncoderTrainer(TrainerBase):
    """HF's Trainer with a loss that does not depend on how a batch is split, and evaluation by the task's own metric.

    transformers 5.23 multiplies XLM-R's loss and gradients by processes x accumulation steps: the model's signature
    promises to normalize by `num_items_in_batch`, and it does not. Here the model only gives logits; the loss is the
    sum over the labels of the whole batch divided by their number, so 8x1, 2x4 and 2 processes x 4 give the same
    gradients.
    """

    def __init__(self, *args, head, evaluate_dev=None, robustness=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.head, self.evaluate_dev, self.stopping = head, evaluate_dev, False
        self.robustness = robustness  # common.robust's, None where training is plain
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the labels of the whole accumulated batch
        self.suspects = []  # (the loss is not finite, examples) of this optimizer step's micro-batches so far

    # A step: logits from the head, the loss over the labels of the whole batch, and a look at what came out.

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.robustness and self.robustness.acts(inputs, self.state.global_step):
            part = self.robustness.settings.part
            return self.robustness.loss(MicroBatch(self, model, inputs, num_items_in_batch, part))
        source, _ = inputs.pop("source", None), inputs.pop("indices", None)
        loss, count = self.losses(model, inputs, source)
        self.record(source, loss, count)
        loss = self.normalized(loss, count, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def losses(self, model, inputs, source):
        """Summed losses and label counts, each [examples], of a micro-batch in one pass, or in one for each part."""
        if parts := inputs.pop("parts", None):
            embeddings = self.model.get_input_embeddings()
            vectors = embeddings(inputs["input_ids"])  # once: the gradient of every lookup is as large as the table
            outcomes = []
            for begin, end, size in parts:
                with giving(embeddings, vectors[begin:end, :size]):
                    outcomes.append(self.losses(model, cut(inputs, begin, end, size), source))
            return map(torch.cat, zip(*outcomes))
        labels = inputs.pop("labels")
        return cross_entropy(self.forward(model, inputs, source), labels, self.args.label_smoothing_factor)

    def normalized(self, loss, count, num_items_in_batch):
        """The sum of `loss` over the labels of the whole batch, or over `count` where their number is not given."""
        if num_items_in_batch is None:
            return loss.sum() / count.sum()
        # DDP averages gradients over processes, so the sum needs their number back
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return loss.sum() / num_items_in_batch * processes

    def forward(self, model, inputs, source):
        return self.head.forward(model, inputs)

    def record(self, source, loss, count):
        """Summed losses and label counts, each [examples], of a micro-batch; a mixture logs them by data set."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        indices, source = inputs.get("indices", []), inputs.get("source", "the task")
        if "changes" in inputs:
            self.robustness.add(**inputs.pop("changes"))
        shape = tuple(inputs["input_ids"].shape)
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        except torch.OutOfMemoryError as error:
            raise recovery.Failure(self.memory_advice(shape, error)) from None
        self.watch(loss, indices, source)
        return loss

    def watch(self, loss, indices, source):
        """Once per optimizer step, all processes alike: Collapse where a loss was not finite; note requests to stop.

        `indices` are those of the batch's training examples, counted from 0.
        """
        self.suspects.append((~loss.detach().isfinite().all(), indices))
        if not self.accelerator.sync_gradients:
            return
        suspects, self.suspects = self.suspects, []
        spoiled = torch.stack([not_finite for not_finite, _ in suspects]).any().float()
        signs = torch.stack((spoiled, torch.full_like(spoiled, recovery.stop_requested())))
        spoiled, self.stopping = self.accelerator.reduce(signs).tolist()
        if spoiled:
            own = [index for not_finite, indices in suspects if not_finite for index in indices]
            named = ", ".join(map(str, sorted(set(gather_object(own)))[:20]))
            step = self.state.global_step + 1
            raise Collapse(f"the loss of {source} is not finite at step {step}, on the training examples {named}")

    def memory_advice(self, shape, error):
        """One line for a batch of `shape` that did not fit: what to try, first what costs least."""
        args, size = self.args, self.args.per_device_train_batch_size
        accumulation = 2 * args.gradient_accumulation_steps
        smaller = f"--per_device_train_batch_size {size // 2} --gradient_accumulation_steps {accumulation}"
        tries = [f"{smaller} (the same effective batch)"] if size > 1 else []
        tries += ["--bf16"] if not (args.bf16 or args.deepspeed) else []
        tries += [] if args.activation_checkpointing else ["--activation_checkpointing true"]
        tries += ["--deepspeed ds_configs/zero2.json on several GPUs", "ds_configs/zero3_offload.json"]
        tries += [f"--max_seq_length below {shape[-1]}"]
        batch = f"{' x '.join(map(str, shape))} sub-tokens in a batch"
        what = f"{batch}, {number_of_weights(self.model) / 1e6:.0f} million weights; {str(error).split('. ')[0]}"
        return f"out of GPU memory ({what}); try, in this order and in a new --output_dir: {', then '.join(tries)}"

    def log(self, logs, start_time=None):
        if "loss" in logs and self.robustness:
            logs |= self.robustness.logs(self.accelerator, self.args.device)
        super().log(logs, start_time)

    # The order of examples, and dev scores.

    def make_sampler(self, dataset):
        args, order, seed = self.args, self.args.train_sampling_strategy, data_seed(self.args)
        epochs = hasattr(dataset, "keyed_by_epoch")  # HF's orders know none, so only ours are for such data
        if order not in ("group_by_length", "batch_rebalance") and not epochs:
            return super().make_sampler(dataset)
        lengths = (dataset.features if epochs else dataset)["length"][:]
        if order == "batch_rebalance":
            # HF would draw the same batches for every seed, and not see how texts are padded
            return RebalancedSampler(
                [self.data_collator.padded(length) for length in lengths], effective_batch_size(args), args.world_size,
                args.gradient_accumulation_steps, seed=seed, rank=args.process_index,
                drop_last=args.dataloader_drop_last, epochs=epochs,
            )  # fmt: skip
        lengths = lengths if order == "group_by_length" else [0] * len(lengths)
        return LengthGroupedSampler(lengths, effective_batch_size(args), seed, epochs)

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

    def save_checkpoint(self):
        checkpoint = self.checkpoint_folder()
        # float32 in bytes: weights and Adam's two moments; ZeRO has masters of all three
        needed = number_of_weights(self.model) * (24 if self.is_deepspeed_enabled else 12)
        on_main(lambda: recovery.check_room(checkpoint.parent, needed))
        on_main(lambda: (checkpoint / recovery.MARKER).unlink(missing_ok=True))
        super().save_checkpoint()
        barrier()
        on_main(lambda: recovery.seal(checkpoint))
        if self.args.should_save:
            rotate_checkpoints(str(checkpoint.parent), self.args.save_total_limit, self.state.best_model_checkpoint)

    def after_step(self):
        """End the run where a signal asked for it, with a checkpoint of this step."""
        # at the end of an epoch an evaluation may follow: stop after it
        due = self.state.epoch % 1 == 0 or self.state.global_step >= self.state.max_steps
        if self.stopping and not due:
            checkpoint = self.checkpoint_folder()
            if not on_main(lambda: (checkpoint / recovery.MARKER).exists()):
                self.save_checkpoint()
            raise recovery.stopped(f"{checkpoint} is saved")

    def save_final(self, metrics):
        """The selected model in --output_dir, and train_results.json, all_results.json and trainer_state.json."""
        folder = Path(self.args.output_dir)
        on_main(lambda: recovery.check_room(folder, 4 * number_of_weights(self.model)))
        self.save_model()
        if self.robustness:
            metrics |= self.robustness.totals(self.state.log_history)
        self.log_metrics("train", metrics)
        if self.args.should_save:
            save_metrics(folder, "train", metrics)
        self.save_state()
