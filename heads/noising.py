"""Noise in training: texts of training rows noised anew in every epoch, by the operations of noise/.

What a row becomes is a pure function of (seed, epoch, row), so a run that is resumed, and any number of processes,
accumulation steps and workers, sees the same texts. Labels hold by construction, as in perturb.py: a word stays one
word, an answer's span moves with its context, and what may flip a label is refused.
"""

import random
from functools import cache

import numpy as np

from common.trainer import data_seed
from heads.encoding import as_dataset
from noise import Noiser


@cache
def noiser_of(op, level, language, seed, one_token):
    return Noiser(op, level, language, seed, one_token=one_token)


class TrainNoise:
    """What --train_noise makes of the training rows of a data set.

    `robust` is a Robust, `predictor` encodes, `features` are those of the clean `rows`; rows of several languages
    have a column `language`, others are in `language`.
    """

    def __init__(self, robust, predictor, rows, features, seed, language="en"):
        self.robust, self.predictor, self.rows = robust, predictor, rows
        self.seed, self.language = seed, language
        self.windowed, number = "example" in features.column_names, np.arange(len(features))
        self.row = np.array(features["example"][:]) if self.windowed else number  # of each feature
        self.windows = np.bincount(self.row)  # of each row
        self.window = number - (self.windows.cumsum() - self.windows)[self.row]  # of its row, of each feature
        self.view = noised_view(rows.column_names, consistency=robust.consistency is not None)

    def __call__(self, features, keys):
        """The features, of which a share is noised, or has a noised view; `keys` are their (index, epoch)."""
        places, chosen = [(int(self.row[index]), epoch) for index, epoch in keys], {}
        for row, epoch in dict.fromkeys(places):
            if noiser := self.drawn(row, epoch):
                chosen[row, epoch] = self.view(self.rows[row], noiser, f"{epoch}|{row}")
        noised = dict(zip(chosen, self.encode(list(chosen.values()))))
        return [self.join(feature, index, noised.get(at)) for feature, (index, _), at in zip(features, keys, places)]

    def drawn(self, row, epoch):
        """The Noiser of a row in an epoch, None where it stays clean."""
        draw = random.Random(f"{self.seed}|{epoch}|{row}")  # strings are hashed alike by every Python
        if draw.random() >= self.robust.share:
            return None
        language = self.rows[row]["language"] if "language" in self.rows.column_names else self.language
        one_token = "words" in self.rows.column_names
        return noiser_of(self.robust.train_noise, draw.choice(self.robust.levels), language, self.seed, one_token)

    def encode(self, rows):
        """[[features of a row]]"""
        if not rows:
            return []
        predictor = self.predictor
        features = predictor.head.encode(as_dataset(rows), predictor.tokenizer, predictor.labels, predictor.settings)
        of_rows = [[] for _ in rows]
        for number, feature in enumerate(features.to_list()):
            of_rows[feature.get("example", number)].append(feature)
        return of_rows

    def join(self, feature, index, noised):
        """The feature with its noised view, or the noised one in its place: of several windows that of the same
        number, or the last. `changes` counts for the log what is noised, and what of it a window cuts off; a view
        whose words or context are other ones for that stays clean.
        """
        both, window = self.robust.consistency is not None, int(self.window[index])
        if noised is None:
            return {**feature, "changes": {"noised": 0, "cut": 0}, **({"noised": feature} if both else {})}
        other = noised[min(window, len(noised) - 1)]
        cut = other["length"] >= self.predictor.settings.max_seq_length > feature["length"]
        if self.windowed:
            cut = len(noised) > self.windows[self.row[index]]
        if both:
            same = alike(feature, other, window)
            changes = {"noised": int(same), "cut": int(cut or not same)}
            return {**feature, "noised": other if same else feature, "changes": changes}
        kept = {name: feature[name] for name in ("row", "example") if name in feature}
        return {**other, **kept, "changes": {"noised": 1, "cut": int(cut)}}


def alike(feature, other, window):
    """Whether a feature and its noised view have labels of the same words, or a context that begins alike."""
    if "first" in feature:
        return window == 0 and len(feature["first"]) == len(other["first"])
    return "offsets" not in feature or feature["offsets"][:1] == other["offsets"][:1]


def noised_features(robust, predictor, rows, features, language):
    """Phase 3's training data: the features of `rows`, behind --train_noise where it is given."""
    if not robust.train_noise:
        return features
    noise = TrainNoise(robust, predictor, rows, features, data_seed(predictor.args), language)
    return NoisedFeatures(features, noise)


class NoisedFeatures:
    """Training features behind (index, epoch), as LengthGroupedSampler gives them; torch's DataLoader reads it."""

    keyed_by_epoch = True

    def __init__(self, features, noise):
        self.features, self.noise = features, noise

    def __len__(self):
        return len(self.features)

    def __getitems__(self, keys):
        return self.noise(self.features.__getitems__([index for index, _ in keys]), keys)


# --- How a row of each kind is noised: (row, noiser, key) -> row -----------------------------------------------------


def noised_view(columns, consistency):
    """The function for rows with these columns. The view that a question is consistent with keeps its context."""
    if "words" in columns:
        return _tagging
    if "choices" in columns:
        return _multiple_choice
    if "context" in columns:
        return _question if consistency else _question_and_context
    return _classification


def _classification(row, noiser, key):
    return {**row, **{name: noiser(row[name], f"{key}|{name}")[0] for name in ("text_a", "text_b")}}


def _tagging(row, noiser, key):
    return {**row, "words": noiser("\n".join(row["words"]), key)[0].split("\n")}


def _multiple_choice(row, noiser, key):
    choices = [noiser(text, f"{key}|{number}")[0] for number, text in enumerate(row["choices"])]
    return {**row, "prompt": noiser(row["prompt"], key)[0], "choices": choices}


def _question(row, noiser, key):
    return {**row, "question": noiser(row["question"], f"{key}|question")[0]}


def _question_and_context(row, noiser, key):
    texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
    spans = [(start, start + len(text)) for text, start in zip(texts, starts)]
    context, moved, _ = noiser(row["context"], f"{key}|context", spans)
    answers = {"text": [context[start:end] for start, end in moved], "answer_start": [start for start, _ in moved]}
    return {**_question(row, noiser, key), "context": context, "answers": answers}
