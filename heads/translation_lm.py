"""Translation language modeling (Conneau and Lample, 2019): masking a sentence and its translation.

An example is a pair as XLM-R reads it, `<s> sentence </s></s> English </s>`, with 15 % of each side's tokens hidden,
so that what is hidden in one may be read in the other. Positions run on through the pair and no embedding tells the
language, as in XLM-R; XLM counted them anew for the second sentence and had language embeddings.
"""

from datasets import Dataset

from common.files import InputError
from heads.encoding import encoded
from heads.masked_lm import (  # noqa: F401 what a head must have, word for word masked LM's
    MODEL,
    forward,
    held_out,
    main_score,
    masked_once,
    masking,
    perplexities,
    prepare,
)
from heads.training_pairs import find_pairs, read_pairs


def read(folders, languages, split, limit=None):
    """Rows {text, english, language} for "train" or "dev", the first `limit` of every pair of files.

    A language without dev files of its own has the last lines of its training files held out, as masked LM does.
    """
    columns = {"text": [], "english": [], "language": []}
    dev = find_pairs(folders, "dev", languages)
    for code, files in find_pairs(folders, "train", languages).items():
        for path, english in files if split == "train" or code not in dev else dev[code]:
            pairs = list(zip(*read_pairs(path, english)))
            if code not in dev:
                if len(pairs) < 2:
                    raise InputError(
                        f"{path}: a single line; give at least two, one is held out to measure perplexity"
                    )
                number = held_out(pairs)
                pairs = pairs[:-number] if split == "train" else pairs[-number:]
            for text, translation in pairs[:limit]:
                for name, value in zip(columns, (text, translation, code)):
                    columns[name].append(value)
    return Dataset.from_dict(columns)


def encode(rows, tokenizer, labels, settings):
    """Features {input_ids, token_type_ids where the encoder takes them, length, language, texts}.

    `texts` [1] is where the English side begins. The longer side is cut first.
    """
    if tokenizer.mask_token_id is None:
        raise InputError("tlm: the tokenizer has no mask token; name it in tokenizer_config.json, or leave tlm out")

    def encode_batch(batch):
        pairs = tokenizer(batch["text"], batch["english"], truncation=True, max_length=settings.max_seq_length)
        features = {name: pairs[name] for name in ("input_ids", "token_type_ids") if name in pairs}
        features["length"] = [len(tokens) for tokens in pairs["input_ids"]]
        features["language"] = batch["language"]
        features["texts"] = [[pairs.sequence_ids(index).index(1)] for index in range(len(batch["text"]))]
        return features

    return encoded(rows, encode_batch)
