"""How XTREME's scripts turn logits into an answer's text, to compare with published tables: `--qa_decoding xtreme`.

Rules of google-research/xtreme's third_party/processors/squad.py and of transformers 2.4's squad_metrics.py, which it
calls. Three differ from ours: the best starts and ends are taken over all tokens of a window, the question's too, and
dropped afterwards where they lie outside of the context; an answer may begin only in the window that shows most around
its first token; and its text is looked up among the context's words between blanks, which are taken whole where it is
not found there. That is so for nearly all answers in writing without blanks.
"""

import re
from bisect import bisect_right

import numpy as np
from tokenizers import decoders, models, normalizers, pre_tokenizers

NO_ANSWER = "empty"  # what their code writes where no start and end fit together
WORD = re.compile("[^ \t\r\n\u202f]+")  # their white space; a no-break space is none
BERT_CLEANING = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
BERT_WORDS = pre_tokenizers.BertPreTokenizer()


def with_pieces(features, rows, tokenizer, settings):
    """Features with what this decoding needs beside the logits.

    `may_begin` = [begin, end) positions at which answers may begin; `pieces` = texts of the context's sub-tokens.
    """
    numbers, contexts = {}, features["context"][:]  # row -> its windows
    for window, example in enumerate(features["example"][:]):
        numbers.setdefault(example, []).append(window)
    own = []
    for windows in numbers.values():
        front, lengths = contexts[windows[0]][0], [contexts[window][1] - contexts[window][0] for window in windows]
        step = min(settings.doc_stride, lengths[0])
        own += [[front + begin, front + end] for begin, end in may_begin(lengths, step)]
    texts, pieces = rows["context"][:], []
    for feature in features.select_columns(["input_ids", "context", "offsets", "example"]):
        ids = feature["input_ids"][slice(*feature["context"])]
        pieces.append(pieces_of(tokenizer, ids, feature["offsets"], texts[feature["example"]]))
    return features.add_column("may_begin", own).add_column("pieces", pieces)


def may_begin(lengths, step):
    """Where an answer may begin in each window of a context: [(first, end)), sub-tokens of the window.

    Windows have `lengths` and begin `step` sub-tokens apart. A sub-token belongs to the window in which more stand on
    its poorer side, then to the longer one, then to the first.
    """
    lengths = np.array(lengths)[:, None]
    begins = step * np.arange(len(lengths))[:, None]
    places = np.arange(begins[-1, 0] + lengths[-1, 0])
    poorer = np.minimum(places - begins, begins + lengths - 1 - places)  # [windows, sub-tokens], below 0 outside
    owner = np.where(poorer < 0, -np.inf, poorer + 0.01 * lengths).argmax(0) if len(places) else places
    own = [np.flatnonzero(owner == window) - begin for window, begin in enumerate(begins[:, 0])]
    return [(int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0) for inside in own]


def pieces_of(tokenizer, ids, spans, context):
    """Sub-tokens as texts with "▁" for a blank in front, so that joining them is what their tokenizers' join is.

    `spans` are the characters of each in `context`. SentencePiece's texts are normalized ones, as theirs.
    """
    names, backend = tokenizer.convert_ids_to_tokens(ids), tokenizer.backend_tokenizer
    if isinstance(backend.model, models.WordPiece):
        return [name[2:] if name.startswith("##") else f"▁{name}" for name in names]
    if isinstance(backend.decoder, decoders.ByteLevel):
        return ["▁" * name.startswith("Ġ") + context[begin:end].strip() for name, (begin, end) in zip(names, spans)]
    return names


def answer_text(context, pieces, spans):
    """The text of an answer of sub-tokens `pieces` (pieces_of), whose characters in `context` are `spans`."""
    words = list(WORD.finditer(context))
    starts = [word.start() for word in words]
    # a sub-token may begin with the blank before its word
    first, last = (max(0, bisect_right(starts, max(begin, end - 1)) - 1) for begin, end in (spans[0], spans[-1]))
    chunk = " ".join(word.group() for word in words[first : last + 1])
    return locate(" ".join("".join(pieces).replace("▁", " ").split()), chunk)


def locate(text, chunk):
    """The part of `chunk`, words between blanks, that `text` is, or all of `chunk`: their get_final_text.

    It is sought in BERT's tokens of the chunk: each punctuation mark and each Chinese character is one.
    """
    tokens = " ".join(word for word, _ in BERT_WORDS.pre_tokenize_str(BERT_CLEANING.normalize_str(chunk)))
    begin, places = tokens.find(text), [place for place, letter in enumerate(chunk) if letter != " "]
    if not text or begin < 0 or len(places) != len(tokens.replace(" ", "")):
        return chunk
    before, inside = (len(part.replace(" ", "")) for part in (tokens[:begin], text))
    return chunk[places[before] : places[before + inside - 1] + 1]
