"""A training attempt of phase 2: what it is made from, its training with new seeds after a collapse."""

import dataclasses
import functools
import logging
import shutil
from argparse import Namespace
from pathlib import Path

from transformers import PretrainedConfig, TrainingArguments

from common import launching
from common.prediction import Predictor
from common.recovery import Failure, resume_point
from common.robust import Robustness
from common.robust_flags import KINDS, Robust
from common.trainer import Collapse, data_seed, effective_batch_size
from common.training_arguments import rate_advice
from heads import head_of, limit
from heads.noising import TrainNoise
from mixture import data, dev
from mixture.model import load_multitask
from mixture.plan import Plan
from mixture.trainer import MixtureTrainer

logger = logging.getLogger("xtreme")


@dataclasses.dataclass(frozen=True)
class Job:
    """What training attempts and the evaluation are made from."""

    plan: Plan
    args: Namespace  # of run_intermediate.py
    training_args: TrainingArguments
    config: PretrainedConfig  # of the encoder
    labels: dict  # task -> label names
    predictors: dict  # data set -> Predictor: its head, labels, settings and the tokenizer
    features: dict  # data set -> encoded training rows
    dev_rows: dict  # (data set, language) -> rows
    robust: Robust
    noise: dict  # data set -> TrainNoise

    def model(self, source, seed, trained=False):
        """A MultiTaskModel on the encoder of `source`; with `trained` its heads come from there too."""
        heads = {task: head_of(record) for task, record in self.plan.tasks.items()}
        options = {"revision": self.args.model_revision, "attn_implementation": self.args.attn_implementation}
        options["tag_pieces"] = {name: predictor.settings.tag_piece for name, predictor in self.predictors.items()}
        return load_multitask(heads, self.labels, source, self.config, seed, trained=trained, **options)

    def cells(self, model, first=None):
        """A DevCell for every data set and language with a dev set, on its `first` examples."""
        cells = []
        for (name, code), rows in self.dev_rows.items():
            task, record = self.plan.sources[name]
            model_of_task, rows = model.models[task], limit(rows, first)
            cells.append(dev.DevCell(name, record, code, self.predictors[name], model_of_task, rows))
        return cells

    def counts(self):
        """{data set: number of training features}"""
        return {name: len(features) for name, features in self.features.items()}

    def trained_robustly(self):
        """{data set: features} of those that --robust and --train_noise are for: masked LM is left out."""
        tasks = self.robust.tasks or self.plan.tasks
        meant = [name for name, (task, one) in self.plan.sources.items() if task in tasks and one.kind in KINDS]
        return {name: features for name, features in self.features.items() if name in meant}

    def batch_size(self):
        """Examples per optimizer step."""
        return effective_batch_size(self.training_args)

    def mix(self, origins):
        """What run.json says of the mixture: the share of every data set, and the number of steps.

        Sets --max_steps where it is not given, and adds to `origins` what was resolved.
        """
        args, plan, counts, batch_size = self.training_args, self.plan, self.counts(), self.batch_size()
        sizes = {
            task: {name: counts[name] for name, (owner, _) in plan.sources.items() if owner == task}
            for task in plan.tasks
        }
        cap, mixing = self.args.examples_cap, self.args.mixing
        weights = data.mixing_weights(sizes, mixing, cap, self.args.temperature, plan.weights)
        if args.max_steps <= 0:
            args.max_steps = data.mixture_steps(counts.values(), args.num_train_epochs, batch_size, cap)
            rule = "sum over data sets of ceil(min(n, cap) x epochs / effective batch)"
            origins.append(("max_steps", args.max_steps, rule))
        how = "given" if plan.weights else mixing
        for name, weight in weights.items():
            origins.append((f"share of {name}", f"{weight:.4f}", f"{how}, {counts[name]} training features"))
        return {"features": counts, "weights": weights, "steps": args.max_steps, "batch_size": batch_size}

    def log_examples(self):
        """Three training examples of every data set as the model sees them."""
        for name, features in self.features.items():
            labels, tokenizer = self.predictors[name].labels, self.predictors[name].tokenizer
            for feature in features.select(range(min(3, len(features)))):
                inputs = feature["input_ids"]
                texts = [tokenizer.decode(tokens) for tokens in (inputs if isinstance(inputs[0], list) else [inputs])]
                target = describe_target(feature, tokenizer, labels)
                logger.info("%s example: %s -> %s", name, "\n    ".join(texts), target)

    def sampler(self, weights):
        """The MixtureSampler of a training; `weights` {data set: share of the steps}."""
        args, batch_size, streams = self.training_args, self.batch_size(), []
        seed, group = data_seed(args), args.train_sampling_strategy == "group_by_length"
        for name, features in self.features.items():
            languages = features["language"][:] if "language" in features.column_names else None
            alpha, alike = self.args.mlm_alpha, group and self.plan.sources[name][1].kind != "tagging"
            streams.append(data.TaskStream(name, features["length"][:], batch_size, seed, alike, languages, alpha))
        epoch_steps = data.mixture_steps(self.counts().values(), 1, batch_size, self.args.examples_cap)
        return data.MixtureSampler(streams, [weights[name] for name in self.features], seed, batch_size, epoch_steps)

    def trainer(self, model, weights):
        """A MixtureTrainer; `weights` {data set: share of the steps}."""
        args, predictor = self.training_args, next(iter(self.predictors.values()))
        heads = {name: (task, self.predictors[name].head) for name, (task, _) in self.plan.sources.items()}
        corrupt = {
            name: head.masking(predictor.tokenizer) for name, (_, head) in heads.items() if hasattr(head, "masking")
        }
        plain = [name for name in self.features if name not in self.trained_robustly()]
        selecting = self.dev_rows and args.eval_strategy != "no"
        cells = self.cells(model, self.args.selection_samples) if selecting else []
        return MixtureTrainer(
            model=model,
            args=args,
            train_dataset=data.Mixture(self.features, corrupt, data_seed(args), self.noise),
            eval_dataset=self.dev_rows or None,
            data_collator=predictor.collator,
            processing_class=predictor.tokenizer,
            heads=heads,
            sampler=self.sampler(weights),
            guard=dev.collapse_guard(cells) if self.args.collapse_guard == "on" else None,
            evaluate_dev=dev.mixture_evaluator(cells) if cells else None,
            robustness=Robustness(self.robust, plain) if self.robust.active else None,
        )


def make_job(plan, args, training_args, settings, labels, tokenizer, config, rows, robust):
    """A Job from the rows of `data.read_rows`; encodes those to train on. `settings` {data set: Settings}."""
    predictors = {
        name: Predictor(head_of(record), labels[task], settings[name], training_args, tokenizer)
        for name, (task, record) in plan.sources.items()
    }
    features = {
        name: predictors[name].encode_once(of_source, f"{name} train") for name, of_source in rows["train"].items()
    }
    job = Job(plan, args, training_args, config, labels, predictors, features, rows["dev"], robust, {})
    if robust.train_noise:
        seed, language = data_seed(training_args), plan.languages[0]
        for name in job.trained_robustly():
            of_source = rows["train"][name]
            job.noise[name] = TrainNoise(robust, predictors[name], of_source, features[name], seed, language)
    return job


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


def train(job, model, source, weights, collapses, record):
    """Train, from the next seed again where training collapses and --restart_on_collapse allows it.

    `weights` {data set: share of the steps}; `collapses` are those of this folder so far, each {"seed", "step",
    "reason", "advice"}; `record(collapses)` is called on the first process after each further one. Returns the
    selected model, which is saved, and all collapses. Raises Failure where no further seed is allowed.
    """
    args, folder, first_seed = job.training_args, Path(job.training_args.output_dir), job.training_args.seed
    advice = rate_advice(model.encoder, args.learning_rate)
    if advice:
        logger.warning("learning rate: try %s", advice)
    while True:
        args.seed = first_seed + len(collapses)
        model = model or job.model(source, args.seed)
        trainer = job.trainer(model, weights)
        try:
            checkpoint = launching.on_main(lambda: resume_point(folder, args.resume_from_checkpoint))
            outcome = trainer.train(resume_from_checkpoint=checkpoint)
            break
        except Collapse as collapse:
            reason, step = str(collapse), trainer.state.global_step
        logger.warning("seed %d collapsed: %s", args.seed, reason)
        collapses = [*collapses, {"seed": args.seed, "step": step, "reason": reason, "advice": advice}]
        launching.barrier()
        launching.on_main(lambda: forget_attempt(folder))
        # after that, as the next attempt would go on from its checkpoints: a kill between the two only repeats it
        launching.on_main(functools.partial(record, collapses))
        if len(collapses) > job.args.restart_on_collapse:
            raise Failure(collapse_message(collapses, args))
        launching.begin_again(args)
        model = None
    trainer.save_final(outcome.metrics)
    logger.info("saved to %s", folder)
    return model, collapses


def forget_attempt(folder):
    """Remove a collapse's checkpoints."""
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def collapse_message(collapses, training_args):
    """One line: what happened, and which seed and learning rate to try."""
    rate, tried, last = training_args.learning_rate, ", ".join(str(one["seed"]) for one in collapses), collapses[-1]
    # a small encoder that has learned nothing needs a higher rate, all else a lower one
    other_rate = f"--learning_rate {rate / 2:g}"
    if last.get("advice") and "not finite" not in last["reason"]:
        other_rate = last["advice"]
    return (
        f"training collapsed ({last['reason']}) with seed {tried} and learning rate {rate:g}; try --seed "
        f"{last['seed'] + 1} or {other_rate} in a new --output_dir, or add --restart_on_collapse "
        f"{len(collapses)}, or --collapse_guard off in a new --output_dir to go on regardless"
    )
