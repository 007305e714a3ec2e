"""HF's Trainer with plain names for what it keeps private.

The Trainer has no public way to choose the order of examples, the form of a checkpoint, or what happens around one.
All its private methods that we override stand here, and tests/test_training.py compares their signatures with the
pinned transformers'; trainers of ours override public methods and the plain names below.
"""

import logging
from pathlib import Path

from transformers import Trainer

logger = logging.getLogger("xtreme")


def tell_epoch(dataloader, epoch):
    """Set the epoch of a DataLoader's sampler; accelerate 1.15 does not where several processes resume within one."""
    sampler = dataloader
    while sampler := getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None):
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)


class TrainerBase(Trainer):
    """HF's Trainer; every method with a plain name does by default what HF's does."""

    def make_sampler(self, dataset):
        """The order of the training examples: a Sampler."""
        return super()._get_train_sampler(dataset)

    def save_checkpoint(self):
        """Write model, optimizer and state to `checkpoint_folder()`; unlike HF's, this removes no older ones."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        super()._save_checkpoint(self.model, trial=None)
        self.args.save_total_limit = limit

    def checkpoint_folder(self):
        return Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"

    def after_step(self):
        """Asked after every optimizer step, its log line, evaluation and checkpoint."""

    def save_weights(self, folder, state):
        """Write the model; `state` is its gathered state_dict under ZeRO-3, else None."""
        self.model.save_pretrained(folder, state_dict=state)

    def load_weights(self, folder):
        """Take the weights that `save_weights` wrote; DeepSpeed loads its own."""
        super()._load_from_checkpoint(str(folder))

    # HF's private names

    def _get_train_sampler(self, train_dataset=None):
        return self.make_sampler(self.train_dataset if train_dataset is None else train_dataset)

    def _run_epoch(self, **options):
        tell_epoch(options["train_dataloader"], options["epoch"])
        # resumed from the last step's checkpoint, HF would take one step more where that is not the end of an epoch
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**options)

    def _maybe_log_save_evaluate(self, *args, **options):
        super()._maybe_log_save_evaluate(*args, **options)
        self.after_step()

    def _save_checkpoint(self, model, trial):
        self.save_checkpoint()

    def _save(self, output_dir=None, state_dict=None):
        """Weights and tokenizer; HF's own also pickles the arguments, --hub_token among them."""
        if self.args.should_save:
            folder = output_dir or self.args.output_dir
            self.save_weights(folder, state_dict)
            self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        self.load_weights(resume_from_checkpoint)

    def _load_best_model(self):
        best = self.state.best_model_checkpoint
        logger.info("best on dev: %s (%s %.4f)", best, self.args.metric_for_best_model, self.state.best_metric)
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self.load_weights(best)
