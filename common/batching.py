"""Which examples stand in a batch, and as what tensors: padding, like lengths, mixtures of tasks.

Everything random here is a pure function of the seed and a count, so that runs resume exactly and do not depend on
the number of processes.
"""

import numpy as np
import torch

from common.labels import IGNORED


class Collator:
    """Features -> tensors, padded to the longest of the batch, or to `length`.

    `input_ids` [examples, tokens] or, for multiple choice, [examples, choices, tokens] with `choice_mask` [examples,
    choices]; `attention_mask` alike, and `token_type_ids` where the encoder takes segments (absent: all in segment 0,
    as single texts are); `labels`, QA's `context` and masked LM's `masked` where the features have them;
    the name `source` of the data set in a mixture of tasks; `indices`, a list, where features have a `row`; `noised`,
    a batch of its own, and `changes` where training texts are noised.
    """

    columns = ("input_ids", "token_type_ids", "labels", "context", "masked")

    def __init__(self, pad_token_id, length=None):
        self.pad_token_id, self.length = pad_token_id, length

    def __call__(self, features):
        inputs = [feature["input_ids"] for feature in features]
        examples = [choices if isinstance(choices[0], list) else [choices] for choices in inputs]
        width = max(map(len, examples))
        longest = self.length or max(len(choice) for choices in examples for choice in choices)
        tokens = torch.full((len(examples), width, longest), self.pad_token_id)
        mask = torch.zeros_like(tokens)
        # a choice that only fills up the batch attends to its first token: softmax over nothing is NaN
        mask[:, :, 0] = 1
        for index, choices in enumerate(examples):
            for position, choice in enumerate(choices):
                tokens[index, position, : len(choice)] = torch.tensor(choice)
                mask[index, position, : len(choice)] = 1
        batch = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in features[0]:
            batch["token_type_ids"] = self._segments(features, mask)
        if isinstance(inputs[0][0], list):
            real = [[position < len(choices) for position in range(width)] for choices in examples]
            batch["choice_mask"] = torch.tensor(real)
        else:
            batch = {name: value[:, 0] for name, value in batch.items()}
        for name in self.columns:
            if name not in batch and name in features[0]:
                batch[name] = self._stack([feature[name] for feature in features], inputs, longest)
        if "row" in features[0]:  # of training data, to name the examples behind a loss that is not finite
            batch["indices"] = [feature["row"] for feature in features]
        if "source" in features[0]:
            batch["source"] = features[0]["source"]
        if "changes" in features[0]:  # of noise in training: {what: number of examples}
            batch["changes"] = {name: sum(one["changes"][name] for one in features) for name in features[0]["changes"]}
        if "noised" in features[0]:  # the examples' other view
            batch["noised"] = self([feature["noised"] for feature in features])
        return batch

    @staticmethod
    def _segments(features, mask):
        """`token_type_ids` [examples, choices, tokens], shaped like `mask`; padding is in segment 0."""
        segments = torch.zeros_like(mask)
        for index, feature in enumerate(features):
            types = feature["token_type_ids"]
            for position, choice in enumerate(types if isinstance(types[0], list) else [types]):
                segments[index, position, : len(choice)] = torch.tensor(choice)
        return segments

    @staticmethod
    def _stack(values, inputs, longest):
        """Labels per example as they are; labels per token (as long as their input) padded with IGNORED."""
        if isinstance(values[0], list) and all(len(value) == len(tokens) for value, tokens in zip(values, inputs)):
            values = [value + [IGNORED] * (longest - len(value)) for value in values]
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
