"""Sentences as vectors: the mean of each layer's hidden states over the tokens, all layers in one forward pass."""

import numpy as np
import regex
import torch
from datasets import Dataset

from common.batching import Collator
from common.launching import autocasts
from common.prediction import length_step, prepare_to_predict, run_batches
from heads.retrieval import pooled


class Encoder:
    """A model with what it takes to turn lines into vectors; `layers` index hidden_states, 0 the embeddings."""

    def __init__(self, model, tokenizer, max_seq_length, layers, pooling, args):
        self.model = prepare_to_predict(model, args).eval()
        self.tokenizer, self.length, self.layers = tokenizer, max_seq_length, layers
        self.collator = Collator(tokenizer.pad_token_id, step=length_step(args, max_seq_length))
        self.special = torch.tensor(tokenizer.all_special_ids, device=args.device) if pooling == "inner" else None
        self.options = {"batch_size": args.per_device_eval_batch_size, "device": args.device, "bf16": autocasts(args)}
        self.options["disable_tqdm"] = args.disable_tqdm

    def tokenize(self, lines):
        """Sub-token ids of each line, <s> and </s> included."""
        return self.tokenizer(lines, truncation=True, max_length=self.length)["input_ids"]

    def states(self, ids, known=None, desc=None):
        """float32 [lines, layers, width]. `known` (ids, states) of another version of the same lines spares the lines
        that have the same ids there.
        """
        fresh = list(range(len(ids)))
        if known:
            fresh = [index for index in fresh if ids[index] != known[0][index]]
        result = np.empty((len(ids), len(self.layers), self.model.config.hidden_size), np.float32)
        if known:
            result[:] = known[1]
        if fresh:
            inputs = [ids[index] for index in fresh]
            features = Dataset.from_dict({"input_ids": inputs, "length": [len(tokens) for tokens in inputs]})
            vectors = run_batches(self._pooled, features, self.collator, desc=desc, **self.options)["vector"]
            for index, vector in zip(fresh, vectors):
                result[index] = vector
        return result

    def token_states(self, ids, layer, desc=None):
        """Of one layer, [float32 [tokens and padding, width]] of each line, rows of length 1."""

        def normalized(batch):
            states = self.model(**batch, output_hidden_states=True).hidden_states[layer].float()
            return {"states": torch.nn.functional.normalize(states, dim=-1)}

        features = Dataset.from_dict({"input_ids": ids, "length": [len(tokens) for tokens in ids]})
        return run_batches(normalized, features, self.collator, desc=desc, **self.options)["states"]

    def _pooled(self, batch):
        mask = None
        if self.special is not None:
            mask = batch["attention_mask"] * ~torch.isin(batch["input_ids"], self.special)
            empty = mask.sum(1) == 0  # a line without tokens of its own keeps <s> and </s>
            mask[empty] = batch["attention_mask"][empty]
        return {"vector": pooled(self.model, batch, self.layers, mask)}


def graphemes(lines):
    """Number of grapheme clusters of each line."""
    return np.array([len(regex.findall(r"\X", line)) for line in lines])


def sub_tokens(ids):
    """Number of sub-tokens of each line, without <s> and </s>."""
    return np.array([len(tokens) - 2 for tokens in ids])
