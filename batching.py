"""Which examples stand in a batch, and as what tensors: padding, like lengths, mixtures of tasks.

Everything random here is a pure function of the seed and a count, so that runs resume exactly and do not depend on the
number of processes. Shared by the run scripts; copy with them.
"""

import functools
import math
import zlib

import numpy as np
import torch


class Collator:
    """Features -> tensors, padded to the longest of the batch, or to `length`.

    `input_ids` [examples, tokens] or, for multiple choice, [examples, choices, tokens] with `choice_mask` [examples,
    choices]; `attention_mask` alike; `labels`, QA's `context` and masked LM's `masked` where the features have them;
    the name `source` of the data set in a mixture of tasks; `rows`, a list, where features have a `row`.
    """

    columns = ("input_ids", "labels", "context", "masked")

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
        for name in self.columns[1:]:
            if name in features[0]:
                batch[name] = self._stack([feature[name] for feature in features], inputs, longest)
        if "row" in features[0]:  # of training data, to name the examples behind a loss that is not finite
            batch["rows"] = [feature["row"] for feature in features]
        if "source" in features[0]:
            batch["source"] = features[0]["source"]
        return batch

    @staticmethod
    def _stack(values, inputs, longest):
        """Labels per example as they are; labels per token (as long as their input) padded with -100, which no loss counts."""
        if isinstance(values[0], list) and all(len(value) == len(row) for value, row in zip(values, inputs)):
            values = [value + [-100] * (longest - len(value)) for value in values]
        return torch.tensor(values)


def grouped(order, lengths, size, random):
    """`order` as random batches of `size` with like lengths: sorted by length within 50 batches, the batches shuffled.

    A last, smaller batch stays last.
    """
    pool, full = 50 * size, len(order) - len(order) % size
    pools = [order[begin : min(begin + pool, full)] for begin in range(0, full, pool)]
    alike = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in pools] or [order[:0]])
    return np.concatenate((random.permutation(alike.reshape(-1, size)).reshape(-1), order[full:]))


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
        return iter(grouped(random.permutation(len(self)), self.lengths, self.batch_size, random).tolist())


# --- Mixing: every optimizer step draws one data set ------------------------------------------------------------------


def mixing_weights(sizes, mixing="proportional", cap=None, temperature=1.0, given=None):
    """{task: share of the steps}, from {task: {data set: number of training examples}} (ANLI+ has three sets on one head).

    proportional: to min(n, cap) of a task's sets; temperature: to its 1/temperature-th power; uniform; or `given` {task: weight}.
    Within a task, sets share in proportion to min(n, cap). Returns {data set: probability}. As jiant's task_sampler.py.
    """
    capped = {task: {name: min(n, cap or n) for name, n in parts.items()} for task, parts in sizes.items()}
    power = {"proportional": 1.0, "temperature": 1 / temperature, "uniform": 0.0}[mixing]
    raw = given or {task: sum(parts.values()) ** power for task, parts in capped.items()}
    whole = sum(raw.values())
    return {name: raw[task] / whole * n / sum(parts.values()) for task, parts in capped.items() for name, n in parts.items()}


def mixture_steps(sizes, epochs, batch_size, cap=None):
    """Optimizer steps of a mixture: the sum over data sets of ceil(min(n, cap) * epochs / effective batch), as jiant's configurator.py."""
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

    A pass over the data is cut into ceil(n / batch_size) batches, the last one filled up with the pass's first examples.
    With `languages` [examples], a pass samples languages in proportion to (their examples) ** alpha: small ones repeat
    examples, of large ones every pass takes another part.
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

    An epoch is `epoch_steps` optimizer steps. Processes and accumulation steps share out a step's keys, so all work on the same task.
    """

    def __init__(self, streams, weights, seed, batch_size, epoch_steps):
        self.streams, self.weights, self.seed, self.batch_size, self.epoch_steps = streams, weights, seed, batch_size, epoch_steps
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
            features = [self.corrupt[name](item, np.random.default_rng((self.seed, visit, row))) for item, (_, row, visit) in zip(features, keys)]
        features[0]["source"] = name
        for feature, (_, row, _) in zip(features, keys):
            feature["row"] = feature.get("example", row)  # a window's example
        return features
