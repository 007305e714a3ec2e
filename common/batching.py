"""Which examples stand in a batch, and as what tensors: padding, like lengths, mixtures of tasks.

Everything random here is a pure function of the seed and a count, so that runs resume exactly and do not depend on
the number of processes.
"""

import numpy as np
import torch
from transformers.trainer_pt_utils import BatchRebalanceSampler

from common.labels import IGNORED
from common.ragged import Ragged


class Collator:
    """Features -> tensors, padded to the longest of the batch, the next multiple of `step` above it, or to `length`.

    `input_ids` [examples, tokens] or, for multiple choice, [examples, choices, tokens] with `choice_mask` [examples,
    choices]; `attention_mask` alike, and `token_type_ids` where the encoder takes segments (absent: all in segment 0,
    as single texts are); `labels`, QA's `context` and masked LM's `masked` where the features have them;
    the name `source` of the data set in a mixture of tasks; `indices`, a list, where features have a `row`; `noised`,
    a batch of its own, and `changes` where training texts are noised. With a `pass_cost`, in sub-tokens, single texts
    stand from long to short where passes of their own are cheaper than the padding: `parts`, for `cut`.
    """

    columns = ("input_ids", "token_type_ids", "labels", "context", "masked")

    def __init__(self, pad_token_id, length=None, step=1, pass_cost=None):
        self.pad_token_id, self.length, self.step, self.pass_cost = pad_token_id, length, step, pass_cost

    def padded(self, tokens):
        """The length of a batch whose longest example has so many tokens."""
        return self.length or -(-tokens // self.step) * self.step

    def __call__(self, features):
        """The tensors of a list of features."""
        single = not isinstance(features[0]["input_ids"][0], (list, tuple))
        if self.pass_cost and single and "noised" not in features[0]:
            longest_first = sorted(features, key=lambda feature: -len(feature["input_ids"]))
            sizes = [self.padded(len(feature["input_ids"])) for feature in longest_first]
            if len(parts := cheapest_parts(sizes, self.pass_cost)) > 1:
                return {**self.batch(longest_first), "parts": parts}
        return self.batch(features)

    def batch(self, features):
        """The tensors of a list of features, in its order."""
        names = [name for name in self.columns if name in features[0]]
        batch = self.tensors({name: Ragged.of_lists([feature[name] for feature in features]) for name in names})
        if "row" in features[0]:  # of training data, to name the examples behind a loss that is not finite
            batch["indices"] = [feature["row"] for feature in features]
        if "source" in features[0]:
            batch["source"] = features[0]["source"]
        if "changes" in features[0]:  # of noise in training: {what: number of examples}
            batch["changes"] = {name: sum(one["changes"][name] for one in features) for name in features[0]["changes"]}
        if "noised" in features[0]:  # the examples' other view
            batch["noised"] = self.batch([feature["noised"] for feature in features])
        return batch

    def tensors(self, columns):
        """The tensors of {name: Ragged}."""
        inputs = columns["input_ids"]
        sizes = [int(count.max()) for count in inputs.counts]
        sizes[-1] = self.padded(sizes[-1])
        arrays = {"input_ids": inputs.padded(sizes, self.pad_token_id), "attention_mask": inputs.mask(sizes)}
        if len(sizes) == 2:
            # a choice that only fills up the batch attends to its first token: softmax over nothing is NaN
            arrays["attention_mask"][:, :, 0] = 1
            arrays["choice_mask"] = np.arange(sizes[0]) < inputs.counts[0][:, None]
        for name, column in columns.items():
            if name == "token_type_ids":
                arrays[name] = column.padded(sizes, 0)  # padding is in segment 0
            elif name != "input_ids":
                arrays[name] = self._stacked(column, inputs, sizes)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @staticmethod
    def _stacked(column, inputs, sizes):
        """Labels per example as they are; labels per token (as long as their input) padded with IGNORED."""
        if column.counts and all(map(np.array_equal, column.counts, inputs.counts)):
            return column.padded(sizes, IGNORED)
        return column.values.astype(np.int64).reshape(len(inputs.counts[0]), *[-1] * bool(column.counts))


def cheapest_parts(sizes, pass_cost):
    """[(begin, end, size)] of the consecutive parts of texts of falling `sizes` that are computed fastest.

    A part takes its number of texts times its longest, and `pass_cost`.
    """
    costs, begins = [0], []  # of the first texts, and where their last part begins
    for end in range(1, len(sizes) + 1):
        options = [costs[begin] + sizes[begin] * (end - begin) + pass_cost for begin in range(end)]
        costs.append(min(options))
        begins.append(options.index(costs[-1]))
    parts, end = [], len(sizes)
    while end:
        begin = begins[end - 1]
        parts.insert(0, (begin, end, sizes[begin]))
        end = begin
    return parts


def cut(batch, begin, end, size):
    """A part of a batch of single texts: tensors [examples, tokens] of its own length, and [examples, ...]."""
    shape = batch["input_ids"].shape
    return {
        name: tensor[begin:end, :size] if tensor.shape == shape else tensor[begin:end]
        for name, tensor in batch.items()
    }


def grouped(order, lengths, size, random):
    """`order` as random batches of `size` with like lengths: sorted by length within 50 batches, the batches shuffled.

    A last, smaller batch stays last.
    """
    pool, full = 50 * size, len(order) - len(order) % size
    pools = [order[begin : min(begin + pool, full)] for begin in range(0, full, pool)]
    alike = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in pools] or [order[:0]])
    return np.concatenate((random.permutation(alike.reshape(-1, size)).reshape(-1), order[full:]))


class LengthGroupedSampler(torch.utils.data.Sampler):
    """All examples once, shuffled and then `grouped` into batches of like lengths.

    The order depends on the seed, the epoch and the effective batch size alone, so it is the same for 8x1, 2x4 and
    two processes x 4. It stands in for HF's sampler of the same name, which draws from the global generator, groups
    by per-process batches, and leaves each 50 batches sorted from long to short. With `epochs` it gives (index,
    epoch), for data that are drawn anew in every epoch.
    """

    def __init__(self, lengths, batch_size, seed, epochs=False):
        self.lengths, self.batch_size, self.seed, self.epoch = np.array(lengths), batch_size, seed, 0
        self.epochs = epochs

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        random = np.random.default_rng((self.seed, self.epoch))
        order = grouped(random.permutation(len(self)), self.lengths, self.batch_size, random).tolist()
        return iter([(index, self.epoch) for index in order] if self.epochs else order)


class RebalancedSampler(BatchRebalanceSampler):
    """Effective batches that are drawn at random, each cut by length into micro-batches that take about as long.

    HF's `--train_sampling_strategy batch_rebalance`. With `epochs` it gives (index, epoch), as LengthGroupedSampler.
    """

    def __init__(self, *args, epochs=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.epochs = epochs

    def __iter__(self):
        for batch in super().__iter__():
            yield [(index, self.epoch) for index in batch] if self.epochs else batch
