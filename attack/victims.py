"""The model under attack: from edited texts to margins, by the head's own reading of rows.

A margin says how far an example is from wrong: below 0 the model's prediction is. It never saturates, as probabilities
do. Which number it is, the head says (heads/<kind>.py: margin).
"""

from array import array
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch

import metrics
from attack.search import TOLERANCE
from attack.texts import applied, edits_of
from common.files import InputError
from common.loss import margins
from common.prediction import scorer
from common.search import normalize
from heads.encoding import as_dataset

ALONE = {"batch_size": 1, "bf16": False, "disable_tqdm": True}
COSINES = 20  # times as close together as logits are
FAR = 1e4  # margins beyond are cut: JSON has no infinity
SPANS = -1  # stands for a broken word where all types are right, and only a span begins elsewhere
SLAB = 20_000  # queries that are held as features at a time; batches of like lengths are made within them


class Victim:
    """A model on one test file. `rows` are the head's; `owners` [rows] the numbers of the examples under attack that
    they belong to (a paragraph whose context is edited has several).
    """

    words = False  # whether the parts of an example that break one by one are words

    def __init__(self, task, model, predictor, rows, owners, language):
        self.task, self.model, self.predictor, self.head = task, model, predictor, predictor.head
        self.rows, self.language, self.measured = list(rows), language, {}
        self.tolerance, self.step = TOLERANCE[predictor.options["bf16"]]
        self.own = {}
        for row, example in enumerate(owners):
            self.own.setdefault(example, []).append(row)
        model.eval()

    def clean(self, examples):
        """`alone` of clean texts, before all else."""
        wanted = [example for example in examples if (example.number, ()) not in self.measured]
        for example, (values, tokens) in zip(wanted, self._measure([(example, ()) for example in wanted], **ALONE)):
            self.measured[example.number, ()] = self.begin(example.number, values, tokens)
        return [self.measured[example.number, ()] for example in examples]

    def begin(self, number, margins, tokens):
        """What `clean` gives; of an example's rows those that are right are attacked."""
        rows = self.own[number]
        right = [row for row, margin in zip(rows, margins) if margin > 0]
        lowest = float(min((margin for margin in margins if margin > 0), default=min(*margins, 0.0)))
        self.own[number] = right or rows
        return lowest, frozenset(), tokens if len(right) == len(rows) else b""

    def parts(self, example):
        """See attack/search.py."""
        return 1, True

    def reading(self, number, margins, shift=0.0):
        """(margin, broken) of an example's rows whose margins are all off by `shift`."""
        lowest = float(max(-FAR, min(FAR, min(margins) + shift)))
        return lowest, frozenset({0} if lowest < 0 else ())

    def alone(self, asked):
        """See attack/search.py."""
        new = [one for one in asked if (one[0].number, one[1]) not in self.measured]
        for (example, chosen), (values, tokens) in zip(new, self._measure(new, **ALONE)):
            self.measured[example.number, chosen] = *self.reading(example.number, values), tokens
        return [self.measured[example.number, chosen] for example, chosen in asked]

    def flat(self, asked):
        """See attack/search.py."""
        answers, off = [], self.tolerance / 2
        for begin in range(0, len(asked), SLAB):
            part = asked[begin : begin + SLAB]
            known = [{state.tokens for state in example.beam} for example, _ in part]
            for (example, _), one in zip(part, self._measure(part, known)):
                ends = one and [(*self.reading(example.number, one[0], shift), one[1]) for shift in (-off, off)]
                answers.append(ends)
        return answers

    def _measure(self, asked, known=None, **options):
        """[([what `margins` says of each row], tokens)] of texts; None for those whose tokens are among their `known`
        ones.
        """
        rows, owner = [], []
        for number, (example, chosen) in enumerate(asked):
            own = self.rows_of(example, chosen)
            rows += own
            owner += [number] * len(own)
        if not rows:
            return []
        features = self.encode(rows)
        of_row = list(features["example"][:] if "example" in features.column_names else range(len(rows)))
        tokens = fingerprints(features["input_ids"][:], [owner[row] for row in of_row], len(asked))
        dropped = [known is not None and own in known[number] for number, own in enumerate(tokens)]
        if any(dropped):
            kept = [feature for feature, row in enumerate(of_row) if not dropped[owner[row]]]
            features, of_row = features.select(kept), [of_row[feature] for feature in kept]
        margins = [[] for _ in asked]
        if of_row:
            for number, margin in zip(owner, self.margins(rows, features, of_row, **options)):
                margins[number].append(margin)
        return [None if out else (own, name) for out, own, name in zip(dropped, margins, tokens)]

    def rows_of(self, example, chosen):
        """An example's rows with some edits made."""
        rows, edits = [self.rows[row] for row in self.own[example.number]], edits_of(example.texts, chosen)
        for text in example.texts:
            if text.field in edits:
                new = applied(text.text, edits[text.field])
                rows = [self.head.edited(row, text.field, text.text, new) for row in rows]
        return rows

    def encode(self, rows):
        """Features of `rows`, each a dict."""
        about = self.predictor.tokenizer, self.predictor.labels, self.predictor.settings
        return self.head.encode(as_dataset(rows), *about)

    def margins(self, rows, features, of_row, **options):
        """[rows]: the lowest of each row's features, whose rows are `of_row`; rows without one mean nothing."""

        def step(batch):
            labels = batch.pop("labels")
            return {"margin": self.head.margin(self.head.forward(self.model, dict(batch)), labels)}

        lowest = np.full(len(rows), np.inf)
        np.minimum.at(lowest, of_row, np.array(self.run(step, features, **options)["margin"], float))
        return lowest

    def run(self, step, features, **options):
        """Every process has examples of its own, so it computes all of their features."""
        return self.predictor.run(step, features, shared=False, **options)


class Tagger(Victim):
    """Tagging: the parts of a sentence are its words that are right at first. All of it is right when the metric says
    so: of B-PER and I-PER either may be right, as spans go, so a word is right when its type is.
    """

    words = True

    def __init__(self, *args):
        super().__init__(*args)
        self.right = {}  # number -> (whether the sentence is wholly right at first, which of its words are)

    def begin(self, number, values, tokens):
        (row,), ((sentence, *words),) = self.own[number], values
        whole = sentence > 0 and not set(self.rows[row]["tags"]) - set(self.predictor.labels)
        self.right[number] = whole, [word for word, margin in enumerate(words) if margin > 0]
        return self.reading(number, values)[0] if self.right[number][1] else -1.0, frozenset(), tokens

    def parts(self, example):
        whole, right = self.right[example.number]
        return len(right), whole

    def reading(self, number, values, shift=0.0):
        """The margin is that of the sentence if it is wholly right at first, else the lowest of the right words. Once
        words are broken it is how many, below 0, and how far the others are from it: a mean from 0 to 1.
        """
        whole, right = self.right[number]
        sentence, *words = np.clip(np.add(values[0], shift), -FAR, FAR).tolist()
        broken = {word for word in right if words[word] < 0}
        if whole and sentence < 0 and not broken:
            broken = {SPANS}
        if not broken:
            return sentence if whole else min(words[word] for word in right), frozenset()
        left = np.maximum(0, [words[word] for word in right])
        return float((left / (1 + left)).mean()) - len(broken), frozenset(broken)

    def margins(self, rows, features, of_row, **options):
        """[rows]: lists of the sentence's margin and that of the type of each of its words."""
        labels = self.predictor.labels
        names = [label.rpartition("-")[2] for label in labels]
        types = torch.tensor([names.index(name) for name in names], device=self.predictor.options["device"])

        def step(batch):
            gold = batch.pop("labels")
            logits = self.head.forward(self.model, dict(batch)).float()
            of_types = torch.full_like(logits, -torch.inf).scatter_reduce(
                -1, types.expand_as(logits), logits, "amax"
            )  # [windows, tokens, tags]: the highest of the type, at its first tag
            of_words = margins(of_types, types[gold.clamp(min=0)]).masked_fill(gold < 0, -FAR)
            own = {"margin": self.head.margin(logits, gold), "words": of_words}
            return {**own, **self.head.reduce(logits, batch, self.predictor.settings)}

        reduced = self.run(step, features, **options)
        lowest, words, tags = np.full(len(rows), np.inf), [[] for _ in rows], [[] for _ in rows]
        np.minimum.at(lowest, of_row, np.array(reduced["margin"], float))
        for row, first, own, label in zip(of_row, features["first"][:], reduced["words"], reduced["label"]):
            words[row] += own[first].tolist()
            tags[row] += [labels[tag] for tag in label[first]]
        for row in set(of_row):
            if lowest[row] < 0 < min(words[row]):
                (counts,) = metrics.count(scorer(self.task), [rows[row]["tags"]], [tags[row]])
                if counts["correct_chunks"] == counts["predicted_chunks"] == counts["gold_chunks"]:
                    lowest[row] = min(words[row])
        return [[margin, *own] for margin, own in zip(lowest.tolist(), words)]


class Answerer(Victim):
    """Question answering: right is exact match with any gold answer, over all windows."""

    def __init__(self, task, model, predictor, rows, owners, language):
        super().__init__(task, model, predictor, rows, owners, language)
        golds, name = {row["id"]: row["answers"]["text"] for row in self.rows}, scorer(task)

        @lru_cache(1 << 16)
        def exact(row, text):
            reference = {"id": row, "answers": golds[row]}
            return bool(metrics.count(name, [reference], {row: text}, language)[0]["exact_match"])

        self.exact = exact

    def margins(self, rows, features, of_row, **options):
        settings = self.predictor.settings
        if "labels" in features.column_names:
            features = features.remove_columns("labels")

        def step(batch):
            return self.head.reduce(self.head.forward(self.model, dict(batch)), batch, settings)

        reduced = self.run(step, features, **options)
        return self.head.margins(rows, features, reduced, lambda row, text: self.exact(row["id"], text), settings)


class Retriever(Victim):
    """Tatoeba: a sentence is right when its translation is the nearest of the English ones, which stay as they are."""

    def __init__(self, task, model, predictor, rows, owners, language, layer):
        super().__init__(task, model, predictor, rows["source"], owners, language)
        self.tolerance, self.step = self.tolerance / COSINES, self.step / COSINES
        self.layer, place = layer, {name: index for index, name in enumerate(rows["english"]["id"][:])}
        self.gold = {source: place[english] for source, english in rows["gold"]}
        self.pool = self.vectors(self.encode(list(rows["english"])), **ALONE)

    def encode(self, rows):
        return self.head.encode(as_dataset(rows), self.predictor.tokenizer, self.predictor.settings)

    def vectors(self, features, **options):
        def step(batch):
            return {"vector": self.head.pooled(self.model, batch, [self.layer])[:, 0]}

        return normalize(np.stack(self.run(step, features, **options)["vector"]))

    def margins(self, rows, features, of_row, **options):
        gold = np.array([self.gold[rows[row]["id"]] for row in of_row])
        vectors, result = self.vectors(features, **options), np.full(len(rows), np.inf)
        if options:  # alone: one product of matrices would give each row other last bits beside other rows
            own = [self.head.margin(vectors[at : at + 1], self.pool, gold[at : at + 1])[0] for at in range(len(gold))]
        else:
            own = self.head.margin(vectors, self.pool, gold)
        result[of_row] = own
        return result


def victim_of(task, model, predictor, rows, file, texts, language, layer):
    """(the Victim of a file's rows, the numbers of its examples among `texts`), of retrieval with its layer.

    InputError where the two readers, the head's and noise's, see another number of examples.
    """
    if task.kind == "retrieval":
        rows_under_attack, kinds = rows["source"], (layer,)
    else:
        rows_under_attack, kinds = rows, ()
    paragraphs = file.qa != "question"
    owners = rows_under_attack["paragraph"][:] if paragraphs else list(range(len(rows_under_attack)))
    if max(owners) >= len(texts) or not all(texts[number] for number in owners):
        raise InputError(f"{file.source}: {len(texts)} examples to edit, but {max(owners) + 1} to predict; correct it")
    kind = {"retrieval": Retriever, "question_answering": Answerer, "tagging": Tagger}.get(task.kind, Victim)
    return kind(task, model, predictor, rows, owners, language, *kinds), sorted(set(owners))


def fingerprints(inputs, owner, number):
    """A hash of each example's token ids, of all of its features in order."""
    hashes = [blake2b(digest_size=8) for _ in range(number)]
    for ids, own in zip(inputs, owner):
        for part in ids if isinstance(ids[0], list) else [ids]:
            hashes[own].update(array("i", part).tobytes())
            hashes[own].update(b"|")
    return [one.digest() for one in hashes]
