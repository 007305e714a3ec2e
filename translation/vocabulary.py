"""The target's vocabulary: the encoder's own, or the part of it that English training text uses.

A softmax over XLM-R's 250,002 pieces is most of the work of a small decoder, and English needs some ten thousand of
them. A trimmed tokenizer has the kept pieces in their order, so its numbers differ from the encoder's; kept text is
cut into the same pieces, as no better way to cut it was taken away.
"""

import json
import string

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from common.files import InputError
from common.pieces import keep_pieces

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def trimmed(tokenizer, lines):
    """(tokenizer of the pieces that `lines` have, special ones and printable ASCII; their numbers in `tokenizer`)."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = model["model"]["vocab"]
    if model["model"]["type"] not in ("Unigram", "WordPiece"):
        raise InputError(
            f"--target_vocabulary trim: a {model['model']['type']} tokenizer cannot lose pieces; use "
            "--target_vocabulary full"
        )
    names = list(pieces) if isinstance(pieces, dict) else [name for name, _ in pieces]
    numbers = {name: number for number, name in enumerate(names)}
    kept = set(tokenizer.all_special_ids)
    kept |= {
        numbers[mark + character]
        for character in string.printable
        for mark in ("", "▁", "##")
        if mark + character in numbers
    }
    for ids in tokenizer(lines, add_special_tokens=False)["input_ids"]:
        kept.update(ids)
    kept = sorted(kept)
    return _of_pieces(tokenizer, model, kept), kept


def _of_pieces(tokenizer, model, kept):
    """The tokenizer that has only the pieces of these numbers."""
    keep_pieces(model, kept)
    special = {name: getattr(tokenizer, name) for name in SPECIAL if getattr(tokenizer, name, None)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(model)),
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
        **special,
    )
