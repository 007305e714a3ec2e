"""What phase 2 trains on, row by row: rows of every data set, label names, and which rows stand in which optimizer
step.

Everything random is a pure function of the seed and a count, so that runs resume exactly and do not depend on the
number of processes.
"""

import functools
import logging
import math
import zlib
from importlib import import_module

import numpy as np
import torch

from common.batching import grouped
from common.files import InputError
from heads import limit, path_of

logger = logging.getLogger("xtreme")


def read_rows(plan, args, training_args, trained):
    """{"train": {data set: rows}, "dev": {(data set, language): rows}}: everything is read, and so checked, before a
    model loads.
    """
    rows = {"train": {}, "dev": {}}
    for name, (_, record) in plan.sources.items():
        head, train = import_module(f"heads.{record.head}"), training_args.do_train and not trained
        if record.head == "masked_lm":
            rows["train"].update({name: head.read(args.mlm_files, "train", args.max_train_samples)} if train else {})
            rows["dev"].update(
                {(name, "all"): head.read(args.mlm_files, "dev", args.max_eval_samples)}
                if training_args.do_eval
                else {}
            )
            continue
        if train:
            found = {code: head.read(record, args.data_dir or ".", "train", code) for code in plan.languages}
            rows["train"][name] = limit(join_languages(found, args.language_sizes), args.max_train_samples)
        for code in plan.languages if training_args.do_eval else ():
            path = path_of(record, args.data_dir or ".", "dev", code)[0]
            if path.exists():
                rows["dev"][name, code] = limit(
                    head.read(record, args.data_dir or ".", "dev", code), args.max_eval_samples
                )
                if record.name == "squad" and not all(
                    answers["text"] for answers in rows["dev"][name, code]["answers"] or []
                ):
                    raise InputError(f"{path}: some questions have no answer; that is the task squad_v2, name it so")
            else:
                logger.info("%s has no dev set in %s: its score is that of the other languages", name, code)
        unlabeled = [
            key
            for part in rows.values()
            for key, one in part.items()
            if name in (key, key[0]) and head.references(one.select([0])) is None
        ]
        if unlabeled:
            raise InputError(f"{name}: its files have no labels to train or select on; use the labeled ones")
    return rows


def join_languages(rows, sizes):
    """One data set from {language: rows}. matched: as many examples as the smallest language has, the i-th in language
    i mod n, so that translations of one data set give each of its examples once; all: everything.
    """
    from datasets import concatenate_datasets

    if len(rows) == 1:
        return next(iter(rows.values()))
    number = min(map(len, rows.values()))
    if sizes == "all":
        return concatenate_datasets(list(rows.values()))
    whole = concatenate_datasets([found.select(range(number)) for found in rows.values()])
    return whole.select([index % len(rows) * number + index for index in range(number)])


def label_names(plan, rows, stored, source):
    """{task: label names}: the table's; those in the training data (CCG, extra tasks); or, without training, those of
    the stored heads.
    """
    labels = {}
    for task, record in plan.tasks.items():
        if not rows["train"] or task in stored:
            if task not in stored:
                raise InputError(
                    f"--model_name_or_path {source}: has no head for {task} in heads.safetensors; train it with "
                    "--do_train"
                )
            labels[task] = tuple(stored[task]["labels"])
        elif record.labels or record.head not in ("classification", "tagging"):
            labels[task] = record.labels
        elif record.head == "classification":
            labels[task] = tuple(sorted(set(rows["train"][task]["label"])))
        else:
            labels[task] = tuple(sorted({tag for tags in rows["train"][task]["tags"] for tag in tags}))
        if record.labels and sorted(labels[task]) != sorted(record.labels):
            found = f"its head {task} knows the labels {', '.join(labels[task])}, not {', '.join(record.labels)}"
            raise InputError(f"--model_name_or_path {source}: {found}; train it again with --do_train")
        if record.head in ("classification", "tagging") and len(labels[task]) < 2:
            raise InputError(
                f"{task}: all training examples have the label {labels[task][0]!r}; a task needs at least two labels"
            )
    return labels


# --- Mixing: every optimizer step draws one data set
# ------------------------------------------------------------------


def mixing_weights(sizes, mixing="proportional", cap=None, temperature=1.0, given=None):
    """{task: share of the steps}, from {task: {data set: number of training examples}} (ANLI+ has three sets on one
    head).

    proportional: to min(n, cap) of a task's sets; temperature: to its 1/temperature-th power; uniform; or `given`
    {task: weight}. Within a task, sets share in proportion to min(n, cap). Returns {data set: probability}. As jiant's
    task_sampler.py.
    """
    capped = {task: {name: min(n, cap or n) for name, n in parts.items()} for task, parts in sizes.items()}
    power = {"proportional": 1.0, "temperature": 1 / temperature, "uniform": 0.0}[mixing]
    raw = given or {task: sum(parts.values()) ** power for task, parts in capped.items()}
    whole = sum(raw.values())
    return {
        name: raw[task] / whole * n / sum(parts.values())
        for task, parts in capped.items()
        for name, n in parts.items()
    }


def mixture_steps(sizes, epochs, batch_size, cap=None):
    """Optimizer steps of a mixture: the sum over data sets of ceil(min(n, cap) * epochs / effective batch), as jiant's
    configurator.py.
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
        shares = np.array([len(rows) for rows in self.members]) ** float(self.alpha)
        bounds = np.round(np.cumsum(shares) / shares.sum() * len(self.lengths)).astype(int)
        drawn = [np.resize(random.permutation(rows), n) for rows, n in zip(self.members, np.diff(bounds, prepend=0))]
        order = random.permutation(np.concatenate(drawn))
        if self.group_by_length:
            order = grouped(order, self.lengths, size, random)
        return np.resize(order, self.batches * size).reshape(-1, size)

    def batch(self, number):
        """(rows of the batch, number of the pass)."""
        number, position = divmod(number, self.batches)
        return self.one_pass(number)[position].tolist(), number


class MixtureSampler(torch.utils.data.Sampler):
    """Keys (data set, row, pass) of a mixture, `batch_size` (the effective batch) of one data set after the other.

    An epoch is `epoch_steps` optimizer steps. Processes and accumulation steps share out a step's keys, so all work on
    the same task.
    """

    def __init__(self, streams, weights, seed, batch_size, epoch_steps):
        self.streams, self.weights, self.seed, self.batch_size, self.epoch_steps = (
            streams,
            weights,
            seed,
            batch_size,
            epoch_steps,
        )
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.epoch_steps * self.batch_size

    def __iter__(self):
        begin = self.epoch * self.epoch_steps
        sequence = task_sequence(self.weights, self.seed, begin + self.epoch_steps)
        done = np.bincount(sequence[:begin], minlength=len(self.streams))
        for number in sequence[begin:].tolist():
            rows, visit = self.streams[number].batch(int(done[number]))
            done[number] += 1
            yield from ((number, row, visit) for row in rows)


class Mixture(torch.utils.data.Dataset):
    """Features {data set: Dataset} behind MixtureSampler's keys.

    `corrupt` {data set: (feature, numpy generator) -> feature} is drawn anew in every pass: masked LM's masks.
    """

    def __init__(self, features, corrupt, seed):
        self.names, self.features, self.corrupt, self.seed = list(features), list(features.values()), corrupt, seed

    def __len__(self):
        return sum(map(len, self.features))

    def __getitems__(self, keys):
        number = keys[0][0]
        name = self.names[number]
        features = self.features[number].__getitems__([row for _, row, _ in keys])
        if name in self.corrupt:
            features = [
                self.corrupt[name](item, np.random.default_rng((self.seed, visit, row)))
                for item, (_, row, visit) in zip(features, keys)
            ]
        features[0]["source"] = name
        for feature, (_, row, _) in zip(features, keys):
            feature["row"] = feature.get("example", row)  # a window's example
        return features
