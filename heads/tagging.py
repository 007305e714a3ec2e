"""One label per word: UD-POS, PAN-X, and CCG supertagging."""

from collections import Counter
from itertools import chain

import torch
from datasets import Dataset

from common.files import InputError, write_text
from common.labels import FIRST, IGNORED, LabelIndices, check_alike, check_label, names_of
from common.loss import margins
from heads import check_texts, path_of, read_jsonl, read_table
from heads.encoding import encoded, pieces_of
from heads.other_forms import tagged_columns
from tasks import LANGUAGES

MODEL = "AutoModelForTokenClassification"
BLANK = " \t"  # what a line between sentences may hold; other white space can be a word
BARE = ("▁", "Ġ")  # the piece that only marks where a word begins: SentencePiece's, byte-level BPE's
MANY = 1 / 3  # share of words that begin with a bare piece, above which the log says so


def read(task, data_dir, split, language):
    """Rows {id, words, tags}; `tags` is None where the file has words only (XTREME's stripped test files).

    Files hold `word<TAB>tag` lines with a blank line between sentences, or CoNLL's `word tag`; words of raw WikiANN
    lose their language, `en:Rome`. Raises InputError for a wrong number of columns, an unknown tag, or tags on some
    lines only. Tasks without a label table (CCG) take the tags they find.
    """
    rows = []
    for path in path_of(task, data_dir, split, language):
        if path.suffix == ".jsonl":
            rows += _read_jsonl(path, task)
        else:
            rows += _without_language(path, _read_tsv(path, task, labeled=split != "test"), language)
        if not task.labels:  # CCG and own tasks
            check_alike(path, chain.from_iterable(row["tags"] or () for row in rows))
    return Dataset.from_list([{"id": str(index), **row} for index, row in enumerate(rows)])


def _read_tsv(path, task, labeled):
    rows, words, tags = [], [], []
    lines = _with_tabs(read_table(path, "word, tag"), task.labels)
    labeled = labeled or any("\t" in line for line in lines)
    for number, line in enumerate(lines + [""], start=1):
        fields = line.split("\t")
        if not line.strip(BLANK):
            if words:
                rows.append({"words": words, "tags": tags if labeled else None})
            words, tags = [], []
        elif len(fields) != 1 + labeled:
            expected = "word, tag" if labeled else "word (as the first: a file without labels)"
            problem = f"{len(fields)} tab-separated columns instead of {1 + labeled}: {expected}"
            step = tagged_columns(fields)
            raise InputError(f"{path}, line {number}: {problem}{step and '; ' + step}")
        else:
            words.append(fields[0])
            if labeled:
                tag = fields[1].strip()
                tags.append(check_label(path, number, tag, task.labels))
    return rows


def _with_tabs(lines, labels):
    """CoNLL's lines, which part columns by blanks (MasakhaNER), with tabs; other lines as they are.

    A file is CoNLL when it has no tab and each of its lines two or more columns, or most of them a known tag at their
    end; a single word may hold a blank, as Vietnamese ones do.
    """
    if any("\t" in line for line in lines):
        return lines
    columns = [line.split() for line in lines if line.strip(BLANK)]
    if len(columns) < 2:
        return lines
    tagged = sum(len(fields) > 1 and fields[-1] in labels for fields in columns)
    if 2 * tagged > len(columns) or min(map(len, columns)) > 1:
        return ["\t".join(line.split()) for line in lines]
    return lines


def _without_language(path, rows, language):
    """Raw WikiANN writes the language before every word of a file: `en:Rome`."""
    prefixes = Counter(word.partition(":")[0] if ":" in word else "" for row in rows for word in row["words"])
    (prefix, number), words = prefixes.most_common(1)[0], prefixes.total()
    if prefix not in {language, *LANGUAGES} or 2 * number <= words:
        return rows
    problem = f"{path}: {number} of {words} words begin with {prefix}:, as raw WikiANN's do"
    if prefix != language:
        raise InputError(f"{problem} in the language {prefix}, but this file is {language}'s; put it in its place")
    if number < words:
        step = f"remove it from the clean file before any noise: sed 's/^{prefix}://' {path.name}"
        raise InputError(f"{problem}, the others do not; {step}")
    return [{**row, "words": [word.removeprefix(f"{prefix}:") for word in row["words"]]} for row in rows]


def _read_jsonl(path, task):
    words, tags = task.columns
    rows = []
    for number, row in read_jsonl(path, task.columns, task):
        for column in (words, tags):
            if not isinstance(row[column], list) or not row[column]:
                raise InputError(f"{path}, line {number}: {column} {row[column]!r} is no list of texts with an entry")
        check_texts(path, number, {f"{words}[{index}]": word for index, word in enumerate(row[words])})
        if len(row[words]) != len(row[tags]):
            raise InputError(
                f"{path}, line {number}: {len(row[words])} {words} but {len(row[tags])} {tags}; one tag per token"
            )
        rows.append({"words": row[words], "tags": [check_label(path, number, tag, task.labels) for tag in row[tags]]})
    return rows


def encode(rows, tokenizer, labels, settings):
    """One feature per window of whole words; windows do not overlap and nothing is truncated (XTREME's rule).

    One sub-token carries the word's label, the others are IGNORED: the word's first or, with the tag_piece
    first_letter, its first that is not a bare "▁" (where there is one). A word that tokenizes to nothing (a lone
    zero-width character) or to more than a window becomes `<unk>`, as in XTREME and jiant. `first` = position of each
    word's labeled sub-token; `example` = row index.
    """
    label_indices = LabelIndices(labels)
    skipped = set() if settings.tag_piece == FIRST else bare_pieces(tokenizer)
    room = settings.max_seq_length - tokenizer.num_special_tokens_to_add()
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id

    def encode_batch(batch, indices):
        features = {"input_ids": [], "first": [], "example": [], "length": [], "labels": []}
        pieces = _word_pieces(tokenizer, batch["words"], room, skipped)
        for index, words, tags in zip(indices, pieces, batch["tags"]):
            for begin, end in _windows(words, room):
                window, first = [cls], []
                for ids, labeled in words[begin:end]:
                    first.append(len(window) + labeled)
                    window += ids
                window.append(sep)
                target = [IGNORED] * len(window)
                for position, tag in zip(first, tags[begin:end] if tags else []):
                    target[position] = label_indices[tag]
                for name, value in zip(features, (window, first, index, len(window), target)):
                    features[name].append(value)
        if batch["tags"][0] is None:
            del features["labels"]
        return features

    return encoded(rows, encode_batch, with_indices=True)


def bare_pieces(tokenizer):
    """The ids of the pieces that hold no character of a word."""
    return set(tokenizer.convert_tokens_to_ids(list(BARE))) - {tokenizer.unk_token_id, None}


def advice(features, tokenizer, settings):
    """What to say of a file whose words' tags are read at pieces that say nothing of the words; "" of other files.

    XLM-R's tokenizer begins 93 % of the Japanese and 86 % of the Chinese words of UD-POS with a bare "▁".
    """
    if settings.tag_piece != FIRST:
        return ""
    bare, words, affected = bare_pieces(tokenizer), 0, 0
    for window, first in zip(features["input_ids"][:], features["first"][:]):
        words, affected = words + len(first), affected + sum(window[position] in bare for position in first)
    if affected <= MANY * words:
        return ""
    return (
        f'{100 * affected / words:.0f} % of the words begin with a bare "▁", and their tags are read there (XTREME\'s '
        "protocol); train with --tag_piece first_letter to read them at the first piece of the word itself"
    )


def _word_pieces(tokenizer, sentences, room, skipped):
    """(piece ids, which of them has the label) of every word of every sentence."""
    pieces = {}
    for word, ids in pieces_of(tokenizer, chain.from_iterable(sentences)).items():
        ids = ids if 0 < len(ids) <= room else [tokenizer.unk_token_id]
        pieces[word] = ids, next((at for at, piece in enumerate(ids) if piece not in skipped), 0)
    return [[pieces[word] for word in words] for words in sentences]


def _windows(words, room):
    """Greedy [begin, end) ranges of words whose pieces fit into `room`."""
    begin, used = 0, 0
    for index, (ids, _) in enumerate(words):
        if used + len(ids) > room:
            yield begin, index
            begin, used = index, 0
        used += len(ids)
    yield begin, len(words)


def forward(model, batch):
    return model(**batch).logits  # [windows, tokens, labels]


def reduce(logits, batch, settings):
    return {"label": logits.argmax(-1)}  # [windows, tokens]


def decode(rows, features, reduced, labels, settings):
    """One tag per word: the label at each word's labeled sub-token, windows joined in order."""
    predictions = [[] for _ in range(len(rows))]
    for example, first, window in zip(features["example"][:], features["first"][:], reduced["label"]):
        predictions[example] += names_of(window[first], labels)
    return predictions


def references(rows):
    return None if rows[0]["tags"] is None else rows["tags"][:]


def constants(rows):
    """The guess of a degenerate model: the most frequent tag everywhere."""
    tag = Counter(tag for tags in rows["tags"][:] for tag in tags).most_common(1)[0][0]
    return [[[tag] * len(tags) for tags in rows["tags"][:]]]


def write_predictions(path, rows, predictions):
    """One tag per line, a blank line between sentences."""
    write_text(path, "\n".join("".join(f"{tag}\n" for tag in tags) for tags in predictions))


def edited(row, field, old, new):
    """The words of a sentence are one text, a line each."""
    return {**row, "words": new.split("\n")}


def margin(logits, labels):
    """Gold logit minus the highest other one, of the word where it is lowest, [windows]."""
    return margins(logits, labels).masked_fill(labels < 0, torch.inf).amin(-1)
