"""How rows become features: without a fingerprint of code or tokenizer, and straight into Arrow."""

from uuid import uuid4

import numpy as np
import pyarrow as pa
from datasets import Dataset
from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy

BATCH = 1000  # rows that are encoded at a time


def as_dataset(rows):
    """A Dataset of rows, each a dict, without the fingerprint for which `Dataset.from_list` pickles."""
    return Dataset(pa.Table.from_pylist(rows), fingerprint=uuid4().hex)


def encoded(rows, encode_batch, with_indices=False):
    """The features that `encode_batch` makes of all rows, without the rows' own columns: a Dataset.

    `encode_batch(batch, [indices])` gets lists of 1,000 rows at a time and gives {column: list, or Arrow array}.
    `datasets.map` would pickle the tokenizer for a name of the outcome, which takes a second of XLM-R's.
    """
    tables = []
    for begin in range(0, len(rows), BATCH):
        batch = rows[begin : begin + BATCH]
        indices = [range(begin, min(begin + BATCH, len(rows)))] if with_indices else []
        tables.append(
            pa.table({name: _column(name, values) for name, values in encode_batch(batch, *indices).items()})
        )
    return Dataset(pa.concat_tables(tables, promote_options="permissive"), fingerprint=uuid4().hex)


def _column(name, values):
    if isinstance(values, pa.Array):
        return values
    return pa.array(values, pa.list_(pa.int32()) if name == "input_ids" and _flat(values) else None)


def _flat(values):
    return not (values and values[0] and isinstance(values[0][0], (list, tuple)))


def tokenized(tokenizer, texts, pairs=None, max_length=None):
    """The ids of texts, or pairs of texts, with special tokens: {"input_ids": lists, "token_type_ids": where the model
    reads them}; longer ones are cut to `max_length`, the longer text first.

    What `tokenizer(...)` gives, without its offsets and masks, in two thirds of the time.
    """
    truncate_at(tokenizer, max_length)
    inputs = list(zip(texts, pairs)) if pairs else texts
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(inputs)
    features = {"input_ids": [encoding.ids for encoding in encodings]}
    if "token_type_ids" in tokenizer.model_input_names:
        features["token_type_ids"] = [encoding.type_ids for encoding in encodings]
    return features


def pieces_of(tokenizer, words):
    """{word: its ids as a word of a split text, without special tokens}.

    Words are tokenized by themselves, so each once: two of three words of 1,000 sentences stand there before.
    """
    truncate_at(tokenizer, None)
    words = list(dict.fromkeys(words))
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(
        [[word] for word in words], is_pretokenized=True, add_special_tokens=False
    )
    return {word: encoding.ids for word, encoding in zip(words, encodings)}


def truncate_at(tokenizer, max_length):
    """Let the tokenizer cut texts to `max_length`, the longest first; None: let it cut none."""
    truncation = TruncationStrategy.LONGEST_FIRST if max_length else TruncationStrategy.DO_NOT_TRUNCATE
    tokenizer.set_truncation_and_padding(PaddingStrategy.DO_NOT_PAD, truncation, max_length, 0, None, None)


def nested(arrays):
    """Arrays [items, 2] of unequal lengths as an Arrow column of lists of pairs."""
    flat = np.concatenate(arrays)
    pairs = pa.ListArray.from_arrays(np.arange(0, flat.size + 1, 2, dtype=np.int32), flat.reshape(-1))
    return pa.ListArray.from_arrays(np.cumsum([0, *map(len, arrays)]).astype(np.int32), pairs)
