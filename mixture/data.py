"""What phase 2 trains on: rows of every data set, label names, and which rows stand in which optimizer step.

Everything random is a pure function of the seed and a count, so that runs resume exactly and do not depend on the
number of processes.
"""

import functools
import logging
import math
import zlib

import numpy as np
import torch
from datasets import concatenate_datasets

from common.batching import grouped
from common.files import InputError
from common.labels import LABELED, check_same_labels, check_trained, labels_in
from heads import head_of, limit, path_of

logger = logging.getLogger("xtreme")


# Rows and labels, read and checked before a model loads.


def read_rows(plan, args, training_args, trained):
    """{"train": {data set: rows}, "dev": {(data set, language): rows}}; InputError for rows without labels."""
    rows, training = {"train": {}, "dev": {}}, training_args.do_train and not trained
    for name, (_, record) in plan.sources.items():
        head, train, dev = head_of(record), {}, {}
        if record.metric == "perplexity":
            source = [args.mlm_files] if name == "mlm" else [args.tlm_dirs, plan.languages]
            if training:
                train[name] = head.read(*source, split="train", limit=args.max_train_samples)
            if training_args.do_eval:
                dev[name, "all"] = head.read(*source, split="dev", limit=args.max_eval_samples)
        else:
            if training:
                languages = {code: head.read(record, args.data_dir or ".", "train", code) for code in plan.languages}
                train[name] = limit(join_languages(languages, args.language_sizes), args.max_train_samples)
            if training_args.do_eval:
                dev = _read_dev(plan, args, name, record)
            if any(head.references(part.select([0])) is None for part in (*train.values(), *dev.values())):
                raise InputError(f"{name}: its files have no labels to train or select on; use the labeled ones")
        rows["train"].update(train)
        rows["dev"].update(dev)
    return rows


def _read_dev(plan, args, name, record):
    """{(data set, language): rows} of the dev sets that are there."""
    rows, data_dir = {}, args.data_dir or "."
    for code in plan.languages:
        path = path_of(record, data_dir, "dev", code)[0]
        if not path.exists():
            logger.info("%s has no dev set in %s: its score is that of the other languages", name, code)
            continue
        rows[name, code] = limit(head_of(record).read(record, data_dir, "dev", code), args.max_eval_samples)
    return rows


def join_languages(rows, sizes):
    """One data set from {language: rows}.

    matched: as many examples as the smallest language has, the i-th in language i mod n, so that translations of one
    data set give each of its examples once; all: everything.
    """
    if len(rows) == 1:
        return next(iter(rows.values()))
    rows = {code: part.add_column("language", [code] * len(part)) for code, part in rows.items()}
    if sizes == "all":
        return concatenate_datasets(list(rows.values()))
    number = min(map(len, rows.values()))
    whole = concatenate_datasets([of_language.select(range(number)) for of_language in rows.values()])
    return whole.select([index % len(rows) * number + index for index in range(number)])


def label_names(plan, rows, stored, source):
    """{task: label names}: the table's, or those in the training data; without training, those of the stored heads.

    Raises InputError for a head that is not stored or has other labels, and for a task with a single label.
    """
    labels, again = {}, "train it again with --do_train"
    for task, record in plan.tasks.items():
        if not rows["train"] or task in stored:
            if task not in stored:
                raise InputError(
                    f"--model_name_or_path {source}: has no head for {task} in heads.safetensors; train it with "
                    "--do_train"
                )
            labels[task] = tuple(stored[task]["labels"])
        elif record.labels or record.kind not in LABELED:
            labels[task] = record.labels
        else:
            labels[task] = labels_in(rows["train"][task])
        check_same_labels(source, f"its head {task}", labels[task], record.labels, again)
        if record.kind in LABELED and len(labels[task]) < 2:
            raise InputError(
                f"{task}: all training examples have the label {labels[task][0]!r}; a task needs at least two labels"
            )
    for (name, code), of_language in rows["dev"].items():
        task, record = plan.sources[name]
        if record.kind in LABELED:
            check_trained(f"{name} ({code}): its dev set", labels[task], of_language, record.kind)
    return labels


# Mixing: every optimizer step draws one data set.


def mixing_weights(sizes, mixing="proportional", cap=None, temperature=1.0, given=None):
    """{data set: its share of the steps}, summing to 1, as jiant's task_sampler.py draws tasks.

    `sizes` {task: {data set: number of training examples}}; ANLI+ has three sets on one head. Tasks share in
    proportion to the sum of min(n, cap) over their sets (proportional), to its 1/temperature-th power (temperature),
    alike (uniform), or as `given` {task: weight} says; the sets of a task in proportion to min(n, cap).
    """
    capped = {task: {name: min(n, cap or n) for name, n in sets.items()} for task, sets in sizes.items()}
    power = {"proportional": 1.0, "temperature": 1 / temperature, "uniform": 0.0}[mixing]
    raw = given or {task: sum(sets.values()) ** power for task, sets in capped.items()}
    whole = sum(raw.values())
    return {
        name: raw[task] / whole * n / sum(sets.values()) for task, sets in capped.items() for name, n in sets.items()
    }


def mixture_steps(sizes, epochs, batch_size, cap=None):
    """Optimizer steps of a mixture, as jiant's configurator.py counts them.

    The sum over data sets of ceil(min(n, cap) * epochs / effective batch).
    """
    return sum(math.ceil(min(n, cap or n) * epochs / batch_size) for n in sizes)


def task_sequence(weights, seed, steps):
    """The data set (its index) of every optimizer step, [steps]: a pure function of (weights, seed, step).

    Stratified: every 100 steps hold each set's share to within a step, in random order. Independent draws would miss
    a share of 50 % by more than 2 % in one of every 200 runs of 5,000 steps.
    """
    bounds = np.cumsum(list(weights))[:-1]
    blocks = []
    for block in range(-(-steps // 100)):
        random = np.random.default_rng((seed, zlib.crc32(b"tasks"), block))
        blocks.append(np.searchsorted(bounds, (random.permutation(100) + random.random(100)) / 100, side="right"))
    return np.concatenate(blocks)[:steps] if blocks else np.zeros(0, dtype=int)


class TaskStream:
    """Endless batches of one data set, each a pure function of (seed, name, number of the batch).

    A pass over the data is cut into ceil(n / batch_size) batches, the last one filled up with the pass's first
    examples. With `languages` [examples], a pass samples languages in proportion to (their examples) ** alpha: small
    ones repeat examples, of large ones every pass takes another part.
    """

    def __init__(self, name, lengths, batch_size, seed, group_by_length=True, languages=None, alpha=1.0):
        self.key, self.lengths, self.batch_size = (seed, zlib.crc32(name.encode())), np.array(lengths), batch_size
        self.group_by_length, self.alpha = group_by_length, alpha
        self.members = [np.arange(len(self.lengths))]
        if languages is not None:
            languages = np.array(languages)
            self.members = [np.flatnonzero(languages == language) for language in sorted(set(languages.tolist()))]
        self.batches = -(-len(self.lengths) // batch_size)  # in a pass
        self.one_pass = functools.lru_cache(maxsize=1)(self._one_pass)

    def _one_pass(self, number):
        random, size = np.random.default_rng((*self.key, number)), self.batch_size
        shares = np.array([len(indices) for indices in self.members]) ** float(self.alpha)
        ends = np.round(np.cumsum(shares) / shares.sum() * len(self.lengths)).astype(int)
        numbers = np.diff(ends, prepend=0)
        drawn = [np.resize(random.permutation(indices), n) for indices, n in zip(self.members, numbers)]
        order = random.permutation(np.concatenate(drawn))
        if self.group_by_length:
            order = grouped(order, self.lengths, size, random)
        return np.resize(order, self.batches * size).reshape(-1, size)

    def batch(self, number):
        """(indices of the batch's examples, number of the pass)."""
        number, position = divmod(number, self.batches)
        return self.one_pass(number)[position].tolist(), number


class MixtureSampler(torch.utils.data.Sampler):
    """Keys (number of the data set, index, pass) of a mixture; every `batch_size` of them are of one data set.

    `batch_size` is the effective batch, an epoch is `epoch_steps` optimizer steps. Processes and accumulation steps
    share out a step's keys, so all work on the same task.
    """

    def __init__(self, streams, weights, seed, batch_size, epoch_steps):
        self.streams, self.weights, self.seed, self.epoch = streams, weights, seed, 0
        self.batch_size, self.epoch_steps = batch_size, epoch_steps

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.epoch_steps * self.batch_size

    def __iter__(self):
        begin = self.epoch * self.epoch_steps
        sequence = task_sequence(self.weights, self.seed, begin + self.epoch_steps)
        done = np.bincount(sequence[:begin], minlength=len(self.streams))
        for number in sequence[begin:].tolist():
            indices, visit = self.streams[number].batch(int(done[number]))
            done[number] += 1
            yield from ((number, index, visit) for index in indices)


class Mixture(torch.utils.data.Dataset):
    """Features {data set: Dataset} behind MixtureSampler's keys.

    `corrupt` {data set: (feature, numpy generator) -> feature} is drawn anew in every pass: masked LM's masks; and so
    are the texts of `noise` {data set: heads.noising's TrainNoise}.
    """

    def __init__(self, features, corrupt, seed, noise):
        self.names, self.features, self.corrupt, self.seed = list(features), list(features.values()), corrupt, seed
        self.noise = noise

    def __len__(self):
        return sum(map(len, self.features))

    def __getitems__(self, keys):
        number = keys[0][0]
        name = self.names[number]
        features = self.features[number].__getitems__([index for _, index, _ in keys])
        if name in self.corrupt:
            features = [
                self.corrupt[name](feature, np.random.default_rng((self.seed, visit, index)))
                for feature, (_, index, visit) in zip(features, keys)
            ]
        if name in self.noise:
            features = self.noise[name](features, [(index, visit) for _, index, visit in keys])
        for feature, (_, index, _) in zip(features, keys):
            feature["source"] = name
            feature["row"] = feature.get("example", index)  # a window's example
        return features
