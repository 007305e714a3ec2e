"""A training attempt of phase 2: what it is made from, its training with new seeds after a collapse."""

import logging
import shutil
from importlib import import_module

from common import launching
from common.prediction import Predictor
from common.recovery import resume_point
from common.trainer import Collapse
from heads import limit
from mixture import data, dev
from mixture.model import load_multitask
from mixture.trainer import MixtureTrainer

logger = logging.getLogger("xtreme")


class Job:
    """What a training attempt and the evaluation are made from."""

    def __init__(self, plan, args, training_args, settings, labels, tokenizer, config, rows):
        self.plan, self.args, self.training_args, self.labels, self.tokenizer, self.config = (
            plan,
            args,
            training_args,
            labels,
            tokenizer,
            config,
        )
        self.dev = rows["dev"] if training_args.do_eval else {}
        self.heads = {name: import_module(f"heads.{record.head}") for name, (_, record) in plan.sources.items()}
        self.predictors = {
            name: Predictor(self.heads[name], labels[task], settings[name], training_args, tokenizer)
            for name, (task, _) in plan.sources.items()
        }
        self.features = {name: self.predictors[name].encode(found) for name, found in rows["train"].items()}
        self.batch_size = (
            training_args.per_device_train_batch_size
            * training_args.gradient_accumulation_steps
            * training_args.world_size
        )
        self.weights, self.epoch_steps = {}, 0

    def plan_steps(self, origins):
        """Set the share of every data set and the number of steps; returns what run.json says of them."""
        args, cap = self.args, self.args.examples_cap
        counts = {name: len(features) for name, features in self.features.items()}
        sizes = {
            task: {name: counts[name] for name, (owner, _) in self.plan.sources.items() if owner == task}
            for task in self.plan.tasks
        }
        self.weights = data.mixing_weights(sizes, args.mixing, cap, args.temperature, self.plan.weights)
        self.epoch_steps = data.mixture_steps(counts.values(), 1, self.batch_size, cap)
        if self.training_args.max_steps <= 0:
            self.training_args.max_steps = data.mixture_steps(
                counts.values(), self.training_args.num_train_epochs, self.batch_size, cap
            )
            origins.append(
                (
                    "max_steps",
                    self.training_args.max_steps,
                    "sum over data sets of ceil(min(n, cap) x epochs / effective batch)",
                )
            )
        how = "given" if self.plan.weights else args.mixing
        origins += [
            (f"share of {name}", f"{weight:.4f}", f"{how}, {counts[name]} training features")
            for name, weight in self.weights.items()
        ]
        return {
            "features": counts,
            "weights": self.weights,
            "steps": self.training_args.max_steps,
            "batch_size": self.batch_size,
        }

    def model(self, source, seed, trained=False):
        heads = {task: import_module(f"heads.{record.head}") for task, record in self.plan.tasks.items()}
        options = {
            "revision": self.args.model_revision,
            "attn_implementation": self.args.attn_implementation,
            "trained": trained,
        }
        return load_multitask(heads, self.labels, source, self.config, seed, **options)

    def cells(self, model, first=None):
        """A DevCell for every data set and language with a dev set, on its `first` examples."""
        found = []
        for (name, code), rows in self.dev.items():
            task, record = self.plan.sources[name]
            found.append(
                dev.DevCell(name, record, code, self.predictors[name], model.models[task], limit(rows, first))
            )
        return found

    def log_examples(self):
        """Three training examples of every data set as the model sees them."""
        for name, features in self.features.items():
            labels = self.labels[self.plan.sources[name][0]]
            for feature in features.select(range(min(3, len(features)))):
                inputs = feature["input_ids"]
                texts = [self.tokenizer.decode(row) for row in (inputs if isinstance(inputs[0], list) else [inputs])]
                logger.info(
                    "%s example: %s -> %s",
                    name,
                    "\n    ".join(texts),
                    describe_target(feature, self.tokenizer, labels),
                )

    def trainer(self, model):
        group = self.training_args.train_sampling_strategy == "group_by_length"
        data_seed = self.training_args.seed if self.training_args.data_seed is None else self.training_args.data_seed
        streams = []
        for name, features in self.features.items():
            languages = features["language"] if "language" in features.column_names else None
            streams.append(
                data.TaskStream(
                    name, features["length"], self.batch_size, data_seed, group, languages, self.args.mlm_alpha
                )
            )
        corrupt = {name: head.masking(self.tokenizer) for name, head in self.heads.items() if hasattr(head, "masking")}
        cells = (
            self.cells(model, self.args.selection_samples)
            if self.dev and self.training_args.eval_strategy != "no"
            else []
        )
        return MixtureTrainer(
            model=model,
            args=self.training_args,
            train_dataset=data.Mixture(self.features, corrupt, data_seed),
            eval_dataset=self.dev or None,
            data_collator=next(iter(self.predictors.values())).collator,
            processing_class=self.tokenizer,
            heads={name: (task, self.heads[name]) for name, (task, _) in self.plan.sources.items()},
            sampler=data.MixtureSampler(
                streams, [self.weights[name] for name in self.features], data_seed, self.batch_size, self.epoch_steps
            ),
            guard=dev.collapse_guard(cells) if self.args.collapse_guard == "on" else None,
            evaluate_dev=dev.mixture_evaluator(cells) if cells else None,
        )


def describe_target(feature, tokenizer, labels):
    """What a feature is trained to give, in words: a label, an answer, tags."""
    target, inputs = feature.get("labels"), feature["input_ids"]
    if target is None:
        return "(masked anew in every pass)"
    if isinstance(target, int):
        return labels[target] if labels else f"choice {target}"
    if "context" in feature:
        return tokenizer.decode(inputs[target[0] : target[1] + 1]) if target[0] else "(no answer in this window)"
    return " ".join(labels[tag] for tag in target if tag >= 0)


def train(job, model, source, session):
    """Train, from the next seed again where training collapses and --restart_on_collapse allows it; returns the selected
    model.
    """
    args, folder, requested = job.training_args, session.folder, job.training_args.seed
    collapses = session.record["collapses"]
    while True:
        args.seed = requested + len(collapses)
        model = model or job.model(source, args.seed)
        trainer = job.trainer(model)
        try:
            with session.timed("train"):
                checkpoint = launching.on_main(lambda: resume_point(folder, args.resume_from_checkpoint))
                outcome = trainer.train(resume_from_checkpoint=checkpoint)
            break
        except Collapse as collapse:
            collapses.append({"seed": args.seed, "step": trainer.state.global_step, "reason": str(collapse)})
            logger.warning("seed %d collapsed: %s", args.seed, collapse)
            forget_attempt(session, requested + len(collapses))
            if len(collapses) > job.args.restart_on_collapse:
                raise
            model = None
    trainer.save_final(outcome.metrics)
    logger.info("saved to %s", folder)
    return model


def forget_attempt(session, next_seed):
    """Remove a collapse's checkpoints, or the next attempt would go on from them, and then record it: a kill between only
    repeats it.
    """
    launching.barrier()
    if session.is_main:
        for checkpoint in session.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    session.note(seed=next_seed)
    launching.barrier()


def collapse_message(collapses, training_args):
    """One line: what happened, and which seed and learning rate to try."""
    rate, tried = training_args.learning_rate, ", ".join(str(one["seed"]) for one in collapses)
    advice = f"try --seed {collapses[-1]['seed'] + 1} or --learning_rate {rate / 2:g} in a new --output_dir"
    advice += (
        f", or add --restart_on_collapse {len(collapses)}, or --collapse_guard off in a new --output_dir to go "
        "on regardless"
    )
    return f"training collapsed ({collapses[-1]['reason']}) with seed {tried} and learning rate {rate:g}; {advice}"
