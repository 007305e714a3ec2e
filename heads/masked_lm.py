"""Masked language modeling on plain text, as in XLM-R's pretraining: a task of phase 2, or a small phase 1 alone.

A text file is one language, named before the first dot (de.txt), one sentence per line. The last lines of every file
are its dev set.
"""

import glob
import math
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from datasets import Dataset
from transformers.modeling_outputs import BaseModelOutput

from common.files import InputError
from common.labels import IGNORED
from common.loss import cross_entropy
from common.text import has_text
from heads import read_table
from heads.encoding import encoded

MODEL = "AutoModelForMaskedLM"
MASKED = 0.15  # of the tokens of a block are predicted: 80 % of them read <mask>, 10 % another token, 10 % themselves
DEV_SHARE, DEV_LINES = 0.05, 500  # of a file's lines are held out, at most so many
PERPLEXITY_SCALE = 250  # jiant's dec_val_scale: the score that selects checkpoints is 1 - perplexity / 250
SEED = 0  # of the dev set's masks


def read(patterns, split, limit=None):
    """Rows {text, language} of the lines that are not blank, for "train" or "dev", the first `limit` of every file.

    Raises InputError for patterns without a file and files without text.
    """
    files = sorted({Path(name) for pattern in patterns for name in glob.glob(pattern)})
    if not files:
        raise InputError(
            f"--mlm_files {' '.join(patterns)}: no such file; give text files, one per language, e.g. "
            "'data/text/*.txt'"
        )
    columns = {"text": [], "language": []}
    for path in files:
        lines = [line for line in read_table(path, "text") if has_text(line)]
        if len(lines) < 2:
            number = "a single line" if lines else "no line"
            raise InputError(
                f"--mlm_files: {path} has {number} of text; give at least two, one is held out to measure perplexity"
            )
        number = held_out(lines)
        lines = (lines[:-number] if split == "train" else lines[-number:])[:limit]
        columns["text"] += lines
        columns["language"] += [path.name.split(".")[0]] * len(lines)
    return Dataset.from_dict(columns)


def held_out(lines):
    """How many of a file's lines are its dev set."""
    return min(DEV_LINES, max(1, round(DEV_SHARE * len(lines))))


def encode(rows, tokenizer, labels, settings):
    """Features {input_ids, length, language}: blocks `<s> line </s> line </s> …` of one language.

    A block has at most `max_seq_length` sub-tokens and may end inside a line; the last one of each 1,000 lines is
    shorter, so that no text is lost.
    """
    room = settings.max_seq_length - 1
    if tokenizer.mask_token_id is None:
        raise InputError("mlm: the tokenizer has no mask token; name it in tokenizer_config.json, or leave mlm out")

    def encode_batch(batch):
        features = {"input_ids": [], "length": [], "language": []}
        pieces = tokenizer(batch["text"], add_special_tokens=False, verbose=False)["input_ids"]
        streams = {}
        for line, language in zip(pieces, batch["language"]):
            streams.setdefault(language, []).extend([*line, tokenizer.sep_token_id] if line else [])
        for language, stream in streams.items():
            for begin in range(0, len(stream), room):
                block = [tokenizer.cls_token_id, *stream[begin : begin + room]]
                for name, value in zip(features, (block, len(block), language)):
                    features[name].append(value)
        return features

    features = encoded(rows, encode_batch)
    if not len(features):
        languages = " ".join(dict.fromkeys(rows["language"][:]))
        raise InputError(f"mlm: the tokenizer reads nothing in {len(rows)} lines ({languages}); give other text")
    return features


def masking(tokenizer):
    """A function (feature, numpy generator) -> feature with 15 % of its tokens hidden: input_ids, labels, masked.

    80 % of the hidden tokens are replaced by <mask>, 10 % by a random token, 10 % stay (Devlin et al., 2019); special
    tokens are never predicted, and at least one token is. So it is in each text of a feature that has several, which
    begin at `texts`.
    """
    special = np.array(sorted(set(tokenizer.all_special_ids)))
    ordinary = np.setdiff1d(np.arange(len(tokenizer)), special)

    def mask(feature, random):
        tokens = np.array(feature["input_ids"])
        candidates = np.flatnonzero(~np.isin(tokens, special))
        texts = np.split(candidates, np.searchsorted(candidates, feature.get("texts", [])))
        chosen = [random.permutation(text)[: max(1, round(MASKED * len(text)))] for text in texts]
        chosen = np.concatenate(chosen)
        labels, fate = np.full(len(tokens), IGNORED), random.random(len(chosen))
        labels[chosen] = tokens[chosen]
        tokens[chosen[fate < 0.8]] = tokenizer.mask_token_id
        replaced = chosen[(fate >= 0.8) & (fate < 0.9)]
        tokens[replaced] = random.choice(ordinary, len(replaced))
        masked = (labels != IGNORED).astype(int)
        return {**feature, "input_ids": tokens.tolist(), "labels": labels.tolist(), "masked": masked.tolist()}

    return mask


def masked_once(features, tokenizer):
    """Dev features under one fixed mask."""
    mask = masking(tokenizer)

    def fixed(feature, index):
        return mask(feature, np.random.default_rng((SEED, index)))

    return features.map(fixed, with_indices=True, new_fingerprint=uuid4().hex, desc="mask")


class _Given(torch.nn.Module):
    """Stands where an HF model has its encoder: the hidden states are given as `inputs_embeds`."""

    def __init__(self, embeddings):
        super().__init__()
        self.embeddings = embeddings  # some heads multiply by them

    def forward(self, *args, inputs_embeds, **options):
        return BaseModelOutput(last_hidden_state=inputs_embeds)


class MaskedLM(torch.nn.Module):
    """HF's masked LM whose output layer sees the masked positions alone.

    That is 15 % of its work and memory, with 250,000 classes most of a step's. `model` is HF's, on `encoder`.
    """

    def __init__(self, model, encoder):
        super().__init__()
        for (
            target,
            source,
        ) in model.all_tied_weights_keys.items():  # the output layer is the encoder's embedding matrix
            module, _, name = target.rpartition(".")
            setattr(model.get_submodule(module), name, model.get_parameter(source))
        setattr(model, model.base_model_prefix, _Given(encoder.embeddings))
        self.encoder, self.model = encoder, model

    def forward(self, masked, **batch):
        states = self.encoder(**batch).last_hidden_state  # [blocks, tokens, width]
        return self.model(inputs_embeds=states[masked == 1])  # logits [masked tokens, vocabulary]


def prepare(model, encoder):
    """The module that is called for HF's `model` on a shared encoder."""
    return MaskedLM(model, encoder)


def forward(model, batch):
    return model(**batch).logits  # [masked tokens, vocabulary]


def perplexities(model, predictor, features):
    """{"perplexity": macro average over languages, "perplexity_<language>", "loss"} on masked features."""

    def step(batch):
        labels = batch.pop("labels")
        loss, count = cross_entropy(forward(model, batch), labels)
        return {"loss": loss, "count": count}

    model.eval()
    sums, languages = predictor.run(step, features, desc="mlm"), np.array(features["language"][:])
    losses, counts = np.array(sums["loss"]), np.array(sums["count"])
    by_language = {}
    for code in sorted(set(languages.tolist())):
        mean = losses[languages == code].sum() / counts[languages == code].sum()
        by_language[f"perplexity_{code}"] = math.exp(min(mean, 700.0))  # beyond that exp overflows
    perplexity = float(np.mean(list(by_language.values())))
    return {"loss": float(losses.sum() / counts.sum()), "perplexity": perplexity, **by_language}


def main_score(scores):
    """jiant's score of masked LM in percent, negative above a perplexity of 250."""
    return 100 * (1 - scores["perplexity"] / PERPLEXITY_SCALE)
