"""Lines to translate and their translations: which files, checked lines, features, and batches by tokens."""

import logging
import re
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from common.files import InputError, sha256
from common.labels import IGNORED
from common.text import nearest
from heads import read_lines
from heads.parallel import Files, choose, find_files, find_noised, read

logger = logging.getLogger("xtreme")

TARGET = "en"
MULTIPLE = 8  # sentences: batches are multiples of it, so that 1, 2, 4 or 8 processes and steps share them evenly
MTNT = {"train": "train", "dev": "valid", "test": "test"}  # split -> as its files are named


# --- Files ----------------------------------------------------------------------------------------------------------


def training_files(folder, split, languages):
    """{language: Files} of `<split>.<lang>-en.<lang>` and `.en`, or MTNT's `<split>.<lang>-en.tsv`; InputError where
    a language that is asked for, or all, have none.
    """
    folder, names = Path(folder), {}
    if not folder.is_dir():
        raise InputError(f"--data_dir {folder}: no such folder; give one of {split}.<lang>-{TARGET}.<lang> files")
    for path in sorted(folder.iterdir()):
        if match := re.fullmatch(rf"{split}\.([a-z]{{2,3}})-{TARGET}\.\1", path.name):
            names[match[1]] = Files(path, path.with_name(f"{split}.{match[1]}-{TARGET}.{TARGET}"))
    names |= {code: own for code, own in _mtnt(folder, split).items() if code not in names}
    if not names:
        other = next((path.name for path in sorted(folder.glob(f"{split}.*-*.*"))), None)
        hint = f"; {other} is there, and targets are English" if other else ""
        raise InputError(f"{folder}: no {split}.<lang>-{TARGET}.<lang> with its {TARGET} side{hint}; see --help")
    for code in languages or ():
        if code not in names:
            raise InputError(
                f"--train_languages {code}: {folder} has no {split}.{code}-{TARGET}.{code}{nearest(code, names)}; it "
                f"has {' '.join(names)}"
            )
    return {code: names[code] for code in sorted(set(languages or names))}


def _mtnt(folder, split):
    """MTNT's tables, `<split>.<lang>-en.tsv`: number, source and target, of which Files name both sides alike."""
    names = {}
    for path in sorted(folder.glob(f"{MTNT.get(split, split)}.*-{TARGET}.tsv")):
        names[path.name.split(".")[1].partition("-")[0]] = Files(path, path)
    return names


def test_files(folder, languages):
    """{language: Files} of the test set in a folder of any of heads/parallel.py's forms, or of MTNT's."""
    if not Path(folder).is_dir():
        raise InputError(f"--conditions clean={folder}: no such folder; give one of parallel text")
    return choose(
        _mtnt(Path(folder), "test") or find_files(folder, TARGET, ("test", "devtest", "dev")), languages, folder
    )


def read_pairs(files):
    """(lines, English lines); InputError where the files do not go together or a side is blank."""
    if files.path.suffix == ".tsv":
        rows = [line.split("\t") for line in read_lines(files.path)]
        if short := next((number for number, row in enumerate(rows, start=1) if len(row) < 3), None):
            raise InputError(
                f"{files.path}, line {short}: fewer than 3 columns (number, source, target); copy it again"
            )
        sides = [row[-2].strip() for row in rows], [row[-1].strip() for row in rows]
    else:
        if not files.pivot.exists():
            raise InputError(
                f"{files.pivot}: does not exist beside {files.path.name}; add it or leave the language out"
            )
        sides = read(files)
    for path, lines in zip(files[:2], sides):
        if blank := next((number for number, line in enumerate(lines, start=1) if not line), None):
            raise InputError(f"{path}, line {blank}: blank; take the pair out of both files")
    if not sides[0]:
        raise InputError(f"{files.path}: no lines; give parallel text")
    return sides


def read_sources(files, number):
    """The lines of a noised copy, of which some may be blank now; InputError where it has not `number` of them."""
    lines = read(files)[0] if files.gold else [line.strip() for line in read_lines(files.path)]
    lines += [""] * (number - len(lines) if number - len(lines) < 3 else 0)  # blank ones at its end
    if len(lines) != number:
        raise InputError(
            f"{files.path}: {len(lines)} lines but the clean file has {number}; noise must keep line i line i, write "
            "it again with perturb.py"
        )
    return lines


def read_tests(folder, languages, conditions, limit):
    """{(condition, language): (lines, English lines, path, hash of both files as they are read)}, clean first.

    A noised condition may lack languages.
    """
    files = test_files(folder, languages)
    noised = find_noised(files, conditions, folder, both_sides=False) if conditions else {code: {} for code in files}
    tests = {}
    for code, own in files.items():
        digest = sha256(*own[:2])
        lines, english = read_pairs(own)
        tests["clean", code] = lines[:limit], english[:limit], own[0], digest
        for condition, copy in noised[code].items():
            digest = sha256(copy.path, own.pivot)
            sources = read_sources(copy, len(lines))
            tests[condition, code] = sources[:limit], english[:limit], copy.path, digest
    return tests


def check_script(tokenizer, lines, path, source):
    """InputError where a tokenizer has no pieces for most words of a file: it is of another script."""
    words = " ".join(lines[:200]).split()
    unknown = sum(tokenizer.unk_token_id in ids for ids in tokenizer(words, add_special_tokens=False)["input_ids"])
    if unknown > len(words) / 2:
        raise InputError(
            f"{path}: the tokenizer of {source} has no pieces for {100 * unknown / len(words):.0f} % of its words; "
            "take an encoder that knows this script, or leave the language out"
        )


# --- Features -------------------------------------------------------------------------------------------------------


def encode(sources, tokenizer, max_seq_length):
    """Features of lines to translate: `input_ids`, cut off at max_seq_length, and `length`."""
    inputs = tokenizer(sources, truncation=True, max_length=max_seq_length)["input_ids"]
    return Dataset.from_dict({"input_ids": inputs, "length": list(map(len, inputs))})


def target_ids(english, tokenizer):
    """Pieces of every line and the end of sentence, without the beginning that encoders want."""
    begin = tokenizer.cls_token_id
    return [ids[ids[0] == begin :] for ids in tokenizer(english)["input_ids"]]


def encode_pairs(pairs, tokenizer, target_tokenizer, max_seq_length):
    """Features of training {language: (lines, English lines)}: `input_ids`, `labels`, `length` and `target_length` in
    pieces, `pair` and `row`. Pairs with a side longer than max_seq_length are left out.
    """
    columns = {"input_ids": [], "labels": [], "pair": []}
    for number, (sources, english) in enumerate(pairs.values()):
        columns["input_ids"] += tokenizer(sources)["input_ids"]
        columns["labels"] += target_ids(english, target_tokenizer)
        columns["pair"] += [number] * len(sources)
    sizes = [max(map(len, sides)) for sides in zip(columns["input_ids"], columns["labels"])]
    kept = [row for row, size in enumerate(sizes) if size <= max_seq_length]
    if not kept:
        raise InputError(f"--max_seq_length {max_seq_length}: all training pairs are longer; give more")
    if len(kept) < len(sizes):
        logger.warning(
            "%d of %d training pairs are longer than --max_seq_length %d, left out",
            len(sizes) - len(kept),
            len(sizes),
            max_seq_length,
        )
    columns = {name: [values[row] for row in kept] for name, values in columns.items()}
    lengths = {
        name: list(map(len, columns[column]))
        for name, column in (("length", "input_ids"), ("target_length", "labels"))
    }
    return Dataset.from_dict({**columns, **lengths, "row": kept})


def check_number(pairs, parts):
    """InputError where an update cannot be shared out over processes and accumulation steps."""
    if pairs < parts:
        raise InputError(f"{pairs} training pairs cannot be shared by {parts} micro-batches of an update; give more")


class TranslationCollator:
    """A micro-batch, [[features]], as tensors: `input_ids`, `attention_mask` [sentences, pieces], `decoder_input_ids`
    (the labels shifted right behind `start`) and `labels` [sentences, target pieces], padding IGNORED.
    """

    def __init__(self, pad, target_pad, start):
        self.pad, self.target_pad, self.start = pad, target_pad, start

    def __call__(self, micro_batches):
        (features,) = micro_batches
        labels = [feature["labels"] for feature in features]
        inputs = padded([feature["input_ids"] for feature in features], self.pad)
        return {
            "input_ids": inputs,
            "attention_mask": (inputs != self.pad).long(),
            "decoder_input_ids": padded([[self.start, *own[:-1]] for own in labels], self.target_pad),
            "labels": padded(labels, IGNORED),
            "indices": [feature["row"] for feature in features],
        }


def padded(rows, value):
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


# --- Batches by tokens ----------------------------------------------------------------------------------------------


class Batches(torch.utils.data.Dataset):
    """The micro-batches of TokenSampler's keys, each a list of features; the Trainer takes one at a time."""

    def __init__(self, features):
        self.features = features

    def __len__(self):
        return len(self.features)

    def __getitem__(self, indices):
        return self.features.__getitems__(list(indices))


class TokenSampler(torch.utils.data.Sampler):
    """Micro-batches, tuples of indices. Every `parts` of them are an update: like lengths, at most `max_tokens` pieces
    per part with their padding, source and target together.

    What an update holds is a pure function of (seed, its number, max_tokens x parts), whatever the number of processes
    and accumulation steps that share it. A pass draws pairs in proportion to size ** (1 / temperature); an epoch has
    as many updates as the first pass.
    """

    def __init__(self, features, max_tokens, parts, temperature, seed):
        lengths = np.array([features["length"], features["target_length"]])
        pair = np.array(features["pair"])
        self.members = [np.flatnonzero(pair == number) for number in range(pair.max() + 1)]
        self.members = [own for own in self.members if len(own)]
        self.lengths, self.parts, self.seed, self.epoch = lengths, parts, seed, 0
        self.max_tokens, self.temperature = max_tokens * parts, temperature
        self.updates = len(self._one_pass(0))

    def _one_pass(self, number):
        """The updates of a pass, arrays of indices in random order."""
        random = np.random.default_rng((self.seed, number))
        sizes = np.array(list(map(len, self.members)))
        shares = sizes ** (1 / self.temperature)
        ends = np.round(np.cumsum(shares) / shares.sum() * sizes.sum()).astype(int)
        drawn = [np.resize(random.permutation(own), n) for own, n in zip(self.members, np.diff(ends, prepend=0))]
        order = random.permutation(np.concatenate(drawn))
        order = order[np.lexsort(self.lengths[:, order])]  # by target, then by source length
        updates, begin, least = [], 0, max(MULTIPLE, self.parts)
        while begin < len(order):
            window = order[begin : begin + self.max_tokens // 2 + 1]  # a pair has two pieces at least
            longest = np.maximum.accumulate(self.lengths[:, window], axis=1).sum(0)
            fitting = np.searchsorted(longest * np.arange(1, len(longest) + 1), self.max_tokens, side="right")
            end = begin + max(least, fitting - fitting % MULTIPLE)
            end = len(order) if len(order) - end < least else end
            updates.append(order[begin:end])
            begin = end
        return [updates[index] for index in random.permutation(len(updates))]

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.updates * self.parts

    def __iter__(self):
        passed, wanted = 0, range(self.epoch * self.updates, (self.epoch + 1) * self.updates)
        for number in range(wanted.stop + 1):
            updates = self._one_pass(number)
            for index, update in enumerate(updates, start=passed):
                if index in wanted:
                    yield from (tuple(update[part :: self.parts].tolist()) for part in range(self.parts))
            passed += len(updates)
            if passed >= wanted.stop:
                return
