"""How a model is run on data: length-sorted batches sharded over processes, and predictions turned into scores."""

from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

import metrics
from common.batching import Collator
from common.launching import autocasts, distributed
from common.trainer import cross_entropy


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
    """Apply `function(batch) -> {name: tensor [rows, ...]}` to all features, longest first; returns {name: list of one
    array per feature}.

    Rows come back in the order of `features` whatever the batches were. Under torch.distributed each process computes
    every n-th batch and all get the whole result. `bf16` is autocast: weights and returned values stay float32.
    """
    rank, world = distributed()
    batches = length_batches(np.array(features["length"]), batch_size)
    batches += batches[-1:] * (
        -len(batches) % world
    )  # under ZeRO-3 all processes take part in every forward pass, so all need as many
    inputs = features.select_columns([name for name in Collator.columns if name in features.column_names])
    found = []
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
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
    """Move the model to the device; with HF's --bf16_full_eval or --fp16_full_eval also its weights (in memory) to
    that precision.
    """
    dtype = torch.bfloat16 if args.bf16_full_eval else torch.float16 if args.fp16_full_eval else torch.float32
    return model.to(args.device, dtype)


def predict(model, head, features, collator, settings, batch_size, device, bf16=False, **progress):
    """What the head's `decode` needs, one array row per feature, and the mean loss where the features have labels
    (else None).
    """
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


def scorer(task):
    """The name that metrics.py knows a task by; an extra task has the metric of another."""
    return task.scored_as or task.name


class Scored(NamedTuple):
    """One file's outcome; scores and counts are None where it has no labels."""

    scores: dict | None  # {metric: percent}, and SQuAD 2.0's no_answer_threshold
    counts: list | None  # additive, one dict per row: metrics.count
    predictions: list  # one per row
    loss: float | None  # mean over labels, where the features have them


class Predictor:
    """A head with all it needs to turn rows into predictions and scores."""

    def __init__(self, head, labels, settings, args, tokenizer, pad_to_max_length=False):
        self.head, self.labels, self.settings, self.args, self.tokenizer = head, labels, settings, args, tokenizer
        self.collator = Collator(tokenizer.pad_token_id, settings.max_seq_length if pad_to_max_length else None)
        self.options = {"batch_size": args.per_device_eval_batch_size, "device": args.device, "bf16": autocasts(args)}
        self.options["disable_tqdm"] = args.disable_tqdm

    def encode(self, rows):
        return self.head.encode(rows, self.tokenizer, self.labels, self.settings)

    def score(self, task, model, rows, features, language, desc=None):
        """Predict `features` of `rows` and score them by the task's metric: a Scored.

        SQuAD 2.0 is scored as its official script does when given no-answer probabilities: F1 and exact match at the
        best threshold of each; predictions and counts are those at F1's.
        """
        reduced, loss = predict(model, self.head, features, self.collator, self.settings, desc=desc, **self.options)
        predictions = self.head.decode(rows, features, reduced, self.labels, self.settings)
        references, more = self.head.references(rows), {}
        if references is not None and metrics.METRICS[scorer(task)] == "squad_v2":
            null = self.head.no_answer_scores(rows, features, reduced, self.settings)
            given = dict(zip(rows["id"], predictions)), dict(zip(rows["id"], null))
            more["exact_match"] = metrics.best_no_answer_threshold(references, *given, metric="exact_match")[1][
                "exact_match"
            ]
            more["no_answer_threshold"] = metrics.best_no_answer_threshold(references, *given)[0]
            predictions = [
                "" if score > more["no_answer_threshold"] else text for text, score in zip(predictions, null)
            ]
        counts = self.count(task, rows, predictions, language)
        return Scored(counts and {**metrics.aggregate(scorer(task), counts), **more}, counts, predictions, loss)

    def count(self, task, rows, predictions, language):
        """Additive counts per row for metrics.aggregate and a paired bootstrap; None where the file has no labels."""
        references = self.head.references(rows)
        if references is None:
            return None
        if isinstance(references[0], dict):  # question answering is scored by id
            predictions = dict(zip(rows["id"], predictions))
        counts = metrics.count(scorer(task), references, predictions, language)
        about = [name for name in ("id", "paragraph") if name in rows.column_names]
        return [
            {**{name: row[name] for name in about}, **count} for row, count in zip(rows.select_columns(about), counts)
        ]

    def evaluator(self, task, model, rows):
        """A function () -> ({metric: fraction, "loss"}, number of rows) on English dev, for EncoderTrainer."""
        features = self.encode(rows)

        def evaluate_dev():
            found = self.score(task, model, rows, features, "en", desc="dev")
            return {"loss": found.loss, **{name: value / 100 for name, value in found.scores.items()}}, len(rows)

        return evaluate_dev
