"""How a model is run on data: length-sorted batches sharded over processes, and predictions turned into scores.

The device is never waited for within a file: batches go to it, and results come from it, while it computes.
"""

import gc
import logging
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object
from tqdm.auto import tqdm

import metrics
from common.batching import Collator
from common.feature_cache import features_of
from common.launching import autocasts, distributed
from common.loss import cross_entropy
from common.ragged import Columns

logger = logging.getLogger("xtreme")


SHAPES = 8  # of batches under --torch_compile, which compiles anew for others until it has seen enough
GPU_TOKENS = 32768  # in a batch: from here on a GPU is busy
# What a further pass costs a training step, in sub-tokens. On a CPU measured with 12 layers; on GPUs a guess.
PASS_COST = {"cpu": 32, "cuda": 1024}


def length_batches(lengths, batch_size, max_tokens=None, padded=int):
    """Indices of batches, longest first; a batch ends early where features get shorter than 85 % of its longest.

    Without that rule the long tail of a file of some hundred examples is 20 to 30 % padding, with it 7 to 11 %.
    A batch has at most `batch_size` features or, with `max_tokens`, as many as have so many tokens with their padding,
    to `padded(longest)`.
    """
    order = np.argsort(-lengths, kind="stable")
    falling, batches, begin = -lengths[order], [], 0
    while begin < len(order):
        alike = np.searchsorted(falling, 0.85 * falling[begin], side="right")
        batch_size = max(1, max_tokens // padded(-falling[begin])) if max_tokens else batch_size
        end = min(begin + batch_size, max(alike, begin + max(1, batch_size // 8)))
        batches.append(order[begin:end].tolist())
        begin = end
    return batches


def pass_cost(args):
    """The PASS_COST of a run; None under DDP, DeepSpeed and torch.compile, for which a batch is one pass."""
    if getattr(args, "world_size", 1) > 1 or args.deepspeed or getattr(args, "torch_compile", False):
        return None
    return PASS_COST.get(torch.device(args.device).type)


def token_budget(asked, given, device, model):
    """Tokens in a batch of predictions, None for --per_device_eval_batch_size rows.

    What is `asked` for; else None where rows are `given`, and on a CPU, whose speed hardly depends on it; on a GPU
    what half of its free memory holds of hidden states and of a layer's work in float32, GPU_TOKENS at most.
    """
    if asked or "per_device_eval_batch_size" in given or torch.device(device).type != "cuda":
        return asked
    config, weights = model.config, sum(weight.numel() for weight in model.parameters())
    free = torch.cuda.mem_get_info(device)[0] - 16 * weights  # with gradients and Adam's moments, when it is trained
    return max(512, min(GPU_TOKENS, free // (2 * 4 * config.hidden_size * (config.num_hidden_layers + 16))))


def length_step(args, max_seq_length):
    """What lengths of batches are multiples of: 1, but for the few shapes of --torch_compile, and on GPUs 8.

    A GPU's libraries choose, load and plan kernels, and memory is allocated, anew for every length.
    """
    if getattr(args, "torch_compile", False):
        return -(-max_seq_length // SHAPES)
    return 8 if torch.device(args.device).type == "cuda" else 1


def run_batches(*args, **options):
    """The result of `start_batches`."""
    return start_batches(*args, **options)()


def start_batches(
    function, features, collator, batch_size, device, bf16=False, max_tokens=None, shared=True, desc=None, **bar
):
    """Give a device all batches of `features`; returns a function () -> result that waits for it.

    The result is {name: list of one array per feature} of `function(batch) -> {name: tensor [examples, ...]}`. It is
    in the order of `features` whatever the batches were. Under torch.distributed each process computes every n-th
    batch, and all get the whole result, here; unless `shared` each has features of its own. `bf16` is autocast:
    weights and returned values stay float32.
    """
    rank, world = distributed() if shared else (0, 1)
    inputs, device = Columns(features, Collator.columns), torch.device(device)
    max_tokens = max_tokens and max(1, max_tokens // inputs.width)
    batches = length_batches(np.array(features["length"][:]), batch_size, max_tokens, collator.padded)
    # under ZeRO-3 all processes take part in every forward pass, so all need as many
    batches += batches[-1:] * (-len(batches) % world)
    outputs = []  # (indices of a batch, what the function gave for it)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for indices in shown(batches[rank::world], desc, rank, **bar):
            batch = to_device(collator.tensors(inputs.take(indices)), device)
            # without waiting: the values have arrived when the device has come to `done`
            given = {name: value.to("cpu", non_blocking=True) for name, value in function(batch).items()}
            outputs.append((indices, given))
    done = torch.cuda.current_stream().record_event() if device.type == "cuda" else None
    number = len(features)

    def arrived():
        if done:
            done.synchronize()
        return [(indices, {name: value.numpy() for name, value in given.items()}) for indices, given in outputs]

    if world == 1:
        return lambda: in_order(number, arrived())
    gathered = gather_object(arrived())  # in this thread, as all that processes do together
    return lambda: in_order(number, gathered)


def shown(batches, desc, rank, disable_tqdm=False):
    """`batches` with a progress bar on the first process."""
    return tqdm(batches, desc=desc, disable=disable_tqdm or rank > 0, leave=False)


def to_device(batch, device):
    """A batch's tensors on a device, to a GPU without waiting."""
    if device.type == "cuda":
        batch = {name: value.pin_memory() for name, value in batch.items()}
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def in_order(number, outputs):
    """{name: list of one array per feature} of batches' outputs [(indices, {name: array})]."""
    result = {name: [None] * number for name in (outputs[0][1] if outputs else {})}
    for indices, arrays in outputs:
        for name, array in arrays.items():
            for index, value in zip(indices, array):
                result[name][index] = value
    return result


def prepare_to_predict(model, args):
    """Move the model to the device; with HF's --bf16_full_eval or --fp16_full_eval also its weights to 16 bits.

    What is alive is taken out of garbage collections, once: each would walk through all objects of torch and
    transformers, which took 6 % of an attack's time. On a CPU weights stay where they are, in the mapped file: to the
    "cpu:0" of several processes `to` would copy them, and where numbers begin changes the last bits of products.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
    dtype = torch.bfloat16 if args.bf16_full_eval else torch.float16 if args.fp16_full_eval else torch.float32
    device = torch.device(args.device)
    return model.to(torch.device("cpu") if device.type == "cpu" else device, dtype)


def start_predicting(model, head, features, collator, settings, **options):
    """A function () -> (what the head's `decode` needs, one array per feature; the mean loss, None where features have
    no labels), as `start_batches` gives it.
    """
    model.eval()

    def step(batch):
        labels = batch.pop("labels", None)
        logits = head.forward(model, dict(batch))
        reduced = head.reduce(logits, batch, settings)
        if labels is not None:
            reduced["loss"], reduced["count"] = cross_entropy(logits, labels)
        return reduced

    collect = start_batches(step, features, collator, **options)

    def outcome():
        reduced, loss = collect(), None
        if "loss" in reduced:
            loss = float(np.sum(reduced.pop("loss")) / max(1, np.sum(reduced.pop("count"))))
        return reduced, loss

    return outcome


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
    """A head with all it needs to turn rows into predictions and scores.

    A test file goes through `prepare`, `start` and `finish`, of which only `start` has to do with the model.
    """

    def __init__(self, head, labels, settings, args, tokenizer, pad_to_max_length=False, max_tokens=None):
        self.head, self.labels, self.settings, self.args, self.tokenizer = head, labels, settings, args, tokenizer
        length = settings.max_seq_length if pad_to_max_length else None
        step = length_step(args, settings.max_seq_length)
        self.collator = Collator(tokenizer.pad_token_id, length, step, None if pad_to_max_length else pass_cost(args))
        self.options = {"batch_size": args.per_device_eval_batch_size, "device": args.device, "bf16": autocasts(args)}
        self.options |= {"disable_tqdm": args.disable_tqdm, "max_tokens": max_tokens}

    def encode(self, rows, title):
        """Features of `rows`; the log says by their `title` what the head advises for such data."""
        features = self.head.encode(rows, self.tokenizer, self.labels, self.settings)
        if hasattr(self.head, "advice") and (advice := self.head.advice(features, self.tokenizer, self.settings)):
            logger.info("%s: %s", title, advice)
        return features

    def encode_once(self, rows, title):
        """`encode` of a training set, whose features are kept on disk for other processes and runs."""
        decisive = self.labels, vars(self.settings)
        return features_of(rows, self.tokenizer, decisive, self.head, lambda: self.encode(rows, title))

    def run(self, function, features, desc=None, **other):
        """`run_batches` with this run's batch size, device and precision, or with `other`."""
        return run_batches(function, features, self.collator, desc=desc, **{**self.options, **other})

    def prepare(self, rows, language, title, beside=None):
        """What `start` takes: the features of a test file, without labels, for no loss is wanted. What it is predicted
        with, `beside` its rows, is known to the heads that need it.
        """
        features = self.encode(rows, title)
        return features.remove_columns("labels") if "labels" in features.column_names else features

    def start(self, model, features, desc=None):
        """Let the device predict `features`; returns a function () -> what `finish` takes."""
        collect = start_predicting(model, self.head, features, self.collator, self.settings, desc=desc, **self.options)
        return lambda: (features, *collect())

    def score(self, task, model, rows, features, language, desc=None):
        """Predict `features` of `rows` and score them by the task's metric: a Scored."""
        return self.finish(task, rows, language, *self.start(model, features, desc)())

    def finish(self, task, rows, language, features, reduced, loss):
        """The Scored of the rows of a file."""
        predictions, more = self.head.decode(rows, features, reduced, self.labels, self.settings), {}
        references = self.head.references(rows)
        if references is not None and metrics.METRICS[scorer(task)] == "squad_v2":
            null = self.head.no_answer_scores(rows, features, reduced, self.settings)
            predictions, more = best_no_answers(rows["id"][:], references, predictions, null)
        counts = self.count(task, rows, predictions, language)
        return Scored(counts and {**metrics.aggregate(scorer(task), counts), **more}, counts, predictions, loss)

    def count(self, task, rows, predictions, language):
        """Additive counts per row for metrics.aggregate and a paired bootstrap; None where the file has no labels."""
        references = self.head.references(rows)
        if references is None:
            return None
        if isinstance(references[0], dict):  # question answering is scored by id
            predictions = dict(zip(rows["id"][:], predictions))
        counts = metrics.count(scorer(task), references, predictions, language)
        names = rows.select_columns([name for name in ("id", "paragraph") if name in rows.column_names])
        return [{**row, **count} for row, count in zip(names.to_list(), counts)]

    def constant_guess(self, task, rows, language):
        """{metric: percent} of the best guess that looks at nothing; None without labels or where there is no such
        guess.
        """
        if not hasattr(self.head, "constants") or self.head.references(rows) is None:
            return None
        name, counts = scorer(task), [self.count(task, rows, guess, language) for guess in self.head.constants(rows)]
        return max(
            (metrics.aggregate(name, one) for one in counts), key=lambda scores: metrics.main_score(name, scores)
        )

    def evaluator(self, task, model, rows):
        """A function () -> ({metric: fraction, "loss"}, number of rows) on English dev, for EncoderTrainer."""
        features = self.encode(rows, "en dev")

        def evaluate_dev():
            scored = self.score(task, model, rows, features, "en", desc="dev")
            return {"loss": scored.loss, **{name: value / 100 for name, value in scored.scores.items()}}, len(rows)

        return evaluate_dev


def predictor(head, *about):
    """The head's own Predictor where it has one."""
    return getattr(head, "Searcher", Predictor)(head, *about)


def best_no_answers(ids, references, answers, null_scores):
    """SQuAD 2.0 as its official script scores it: F1 and exact match at the best no-answer threshold of each.

    Returns (answers, "" where the null score is above F1's threshold; {"exact_match", "no_answer_threshold"}).
    """
    given = dict(zip(ids, answers)), dict(zip(ids, null_scores))
    exact = metrics.best_no_answer_threshold(references, *given, metric="exact_match")[1]["exact_match"]
    threshold = metrics.best_no_answer_threshold(references, *given)[0]
    answers = ["" if score > threshold else text for text, score in zip(answers, null_scores)]
    return answers, {"exact_match": exact, "no_answer_threshold": threshold}
