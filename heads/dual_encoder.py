"""Retrieval by one encoder of two sides: LAReQA's questions and sentences, Mewsli-X's mentions and entities.

As XTREME-R trains it (third_party/bert.py, xlm_roberta.py): both sides share all weights, a text is its L2-normalized
pooler output, logits are cosines times one learned scale, and the negatives of a question are the other answers of its
micro-batch. docs/training.md says what --pooling and --negatives change.
"""

import logging
from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModel
from transformers import initialization as init

import metrics
from common.arguments import POOLER
from common.files import InputError, sha256, write_json
from common.loss import cross_entropy
from common.prediction import Predictor, Scored, scorer
from common.search import top_k
from heads import lareqa, mewslix
from heads.encoding import encoded, tokenized

logger = logging.getLogger("xtreme")

READERS = {"lareqa": lareqa, "mewslix": mewslix}
SCALE = 100.0  # of the cosines, when training begins
MAX_QUERY_LENGTH = 96  # sub-tokens of a question, where --max_seq_length is not below it (Mewsli-X: 64)
TOP = 20  # candidates that are predicted
DEV_BATCH = 8  # pairs whose dev loss is taken together, as in XTREME-R


# --- Files


class Pool(NamedTuple):
    """The candidates that every question of a condition is searched in."""

    ids: list
    texts: list
    targets: dict | None  # {question id: [candidate id]}; None where the rows have them, or nothing has labels

    @property
    def hash(self):
        return sha256(*self)


def read(task, data_dir, split, language):
    """Rows {id, question, answer} to train on and to select by, {id, question, paragraph} of a test file.

    Mewsli-X's test rows also have `targets`, None in a file without labels. Raises InputError for other forms.
    """
    reader = READERS[task.name]
    if split == "test":
        return reader.read_questions(task, data_dir, language)
    return reader.read_pairs(task, data_dir, split)


def read_pool(task, folder, data_dir):
    """The Pool of the questions below `folder`; what the folder lacks comes from `data_dir`, so that a noised copy of
    some languages is searched in as many candidates as the clean one.
    """
    return Pool(*READERS[task.name].read_candidates(task, folder, data_dir))


def references(rows):
    """The answer texts of training pairs; None in a file without."""
    return rows["answer"][:] if "answer" in rows.column_names else None


def targets(rows, pool):
    """{question id: [candidate id]} of test rows, None where they are withheld."""
    if "targets" in rows.column_names:
        return None if rows[0]["targets"] is None else dict(zip(rows["id"][:], rows["targets"][:]))
    return pool.targets and {name: pool.targets[name] for name in rows["id"][:]}


def write_predictions(path, rows, predictions):
    """`{question id: [candidate id, ...]}`, the best 20, best first."""
    write_json(path, dict(zip(rows["id"][:], predictions)))


def encode(rows, tokenizer, labels, settings):
    """`input_ids` [sides, tokens] per row: the question, and of a pair its answer; `labels` 0, its own answer's place.

    A long text loses its end.
    """
    limits = {"question": min(MAX_QUERY_LENGTH, settings.max_seq_length), "answer": settings.max_seq_length}
    sides = [name for name in limits if name in rows.column_names]

    def encode_batch(batch):
        features = {}
        for side in sides:
            texts = [text.lower() for text in batch[side]] if settings.do_lower_case else batch[side]
            for name, values in tokenized(tokenizer, texts, max_length=limits[side]).items():
                features.setdefault(name, []).append(values)
        features = {name: list(zip(*by_side)) for name, by_side in features.items()}
        features["length"] = [max(map(len, of_sides)) for of_sides in features["input_ids"]]
        return {**features, "labels": [0] * len(batch["question"])} if len(sides) == 2 else features

    return encoded(rows, encode_batch)


# --- The model


class DualEncoder:
    """What `model_class` adds to an architecture's PreTrainedModel: its encoder, and the scale beside it."""

    encoder_class = None

    def __init__(self, config):
        super().__init__(config)
        encoder = self.encoder_class(config)
        if config.dual_encoder["pooling"] == POOLER and getattr(encoder, "pooler", None) is None:
            raise InputError(f"--pooling {POOLER}: the model type {config.model_type!r} has none; give --pooling mean")
        setattr(self, self.base_model_prefix, encoder)
        self.logit_scale = torch.nn.Parameter(torch.full((1,), SCALE))
        self.post_init()

    @classmethod
    def from_config(cls, config, trust_remote_code=False, **options):
        return cls._from_config(config, **options)

    def _init_weights(self, module):
        super()._init_weights(module)
        if module is self:
            init.constant_(self.logit_scale, SCALE)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        """input_ids [examples, sides, tokens] -> (unit vectors [examples, sides, width] in float32, scale [1])."""
        vectors = []
        for side in range(input_ids.shape[1]):
            mask = attention_mask[:, side]
            width = int(mask.sum(1).max())  # a question is shorter than the answer it is padded to
            batch = {"input_ids": input_ids[:, side, :width], "attention_mask": mask[:, :width]}
            if token_type_ids is not None:
                batch["token_type_ids"] = token_type_ids[:, side, :width]
            vectors.append(self.pooled(**batch))
        with torch.autocast(input_ids.device.type, enabled=False):
            unit = torch.nn.functional.normalize(torch.stack(vectors, dim=1).float(), dim=-1)
            return unit, self.logit_scale.float() * 1  # under ZeRO-3 the parameter itself is gone after this

    def pooled(self, **batch):
        outputs = self.base_model(**batch)
        pooling = self.config.dual_encoder["pooling"]
        if pooling == POOLER:
            return outputs.pooler_output
        if pooling == "cls":
            return outputs.last_hidden_state[:, 0]
        mask = batch["attention_mask"][:, :, None].float()
        return (outputs.last_hidden_state.float() * mask).sum(1) / mask.sum(1)


def model_class(config):
    """The class of a dual encoder over the architecture of `config`; InputError where that has no pooler to read."""
    encoder = AutoModel._model_mapping[type(config)]
    family = next(base for base in encoder.__mro__ if base.__name__.endswith("PreTrainedModel"))
    return type("DualEncoder", (DualEncoder, family), {"encoder_class": encoder, "__module__": __name__})


def is_dispensable(key, config):
    """Whether a checkpoint without a weight, or with one that is not read, predicts all the same: the scale of the
    cosines, and the pooler where another pooling is chosen. InputError where the pooler is read and missing.
    """
    if "pooler." in key and config.dual_encoder["pooling"] == POOLER:
        raise InputError(f"--pooling {POOLER}: the checkpoint has no {key}; train it with --do_train, or give mean")
    return key == "logit_scale" or "pooler." in key


def forward(model, batch):
    """Logits [examples, examples] of every question for the answers of its batch, its own first."""
    return in_batch_logits(*vectors_of(model, batch))


def vectors_of(model, batch):
    """(unit vectors [examples, sides, width], scale [1]) of a batch of the Collator's."""
    return model(**{name: value for name, value in batch.items() if name != "choice_mask"})


def in_batch_logits(vectors, scale):
    """vectors [examples, 2, width] -> cosines times scale [examples, examples]; column j of row i is answer i + j."""
    with torch.autocast(vectors.device.type, enabled=False):
        logits = vectors[:, 0] @ vectors[:, 1].T * scale
    row = torch.arange(len(logits), device=logits.device)
    return logits.gather(1, (row[:, None] + row) % len(row))


# --- Search


class Searcher(Predictor):
    """A Predictor whose predictions are the nearest candidates of a pool, which is encoded once per condition."""

    texts, candidates = None, None  # of the last pool: its texts, and unit vectors [candidates, width]

    def prepare(self, rows, language, title, pool):
        """(the Pool, features of its candidates where they are others than before, features of the questions)."""
        candidates = None
        if pool.texts != self.texts:
            candidates = self.encode(Dataset.from_dict({"answer": pool.texts}), "candidates")
        self.texts = pool.texts
        return pool, candidates, super().prepare(rows, language, title)

    def start(self, model, prepared, desc=None):
        model.eval()
        pool, candidates, questions = prepared
        if candidates is not None:
            self.candidates = self.vectors(model, candidates, "candidates")
        outputs = pool, self.candidates, self.vectors(model, questions, desc)
        return lambda: outputs

    def vectors(self, model, features, desc):
        """Unit vectors [features, width] in float32."""
        outputs = self.run(lambda batch: _named(*vectors_of(model, batch)), features, desc)
        return np.stack(outputs["vectors"])[:, 0]

    def finish(self, task, rows, language, pool, candidates, vectors):
        """The nearest candidates of every question, by their ids, and their score: a Scored."""
        nearest = top_k(vectors, candidates, TOP)[1]
        predictions = [[pool.ids[index] for index in of_row] for of_row in nearest]
        gold = targets(rows, pool)
        if gold is None:
            return Scored(None, None, predictions, None)
        counts = metrics.count(scorer(task), gold, dict(zip(rows["id"][:], predictions)), language)
        counts = [{**count, "paragraph": paragraph} for count, paragraph in zip(counts, rows["paragraph"][:])]
        return Scored(metrics.aggregate(scorer(task), counts), counts, predictions, None)

    def evaluator(self, task, model, rows):
        """A function () -> ({"loss", "map@20": fractions}, number of rows) on English dev.

        The loss is XTREME-R's, in micro-batches of 8; every question is searched in all answers of the file.
        """
        features = self.encode(rows, "en dev").remove_columns("labels")
        _, first, own = np.unique(rows["answer"][:], return_index=True, return_inverse=True)

        def evaluate_dev():
            model.eval()
            outputs = self.run(lambda batch: _named(*vectors_of(model, batch)), features, desc="dev")
            vectors = np.stack(outputs["vectors"])  # [rows, 2, width]
            loss = dev_loss(torch.from_numpy(vectors), torch.tensor(outputs["scale"][0]))
            nearest = top_k(vectors[:, 0], vectors[first, 1], TOP)[1]  # [rows, 20]
            hits = nearest == own[:, None]
            ranks = np.where(hits.any(1), hits.argmax(1) + 1, np.inf)
            return {"loss": loss, "map@20": float((1 / ranks).mean())}, len(rows)

        return evaluate_dev


def _named(vectors, scale):
    return {"vectors": vectors, "scale": scale.expand(len(vectors))}


def dev_loss(vectors, scale):
    """The mean loss of pairs [rows, 2, width], each against the answers of its 8 rows."""
    blocks = [in_batch_logits(block, scale) for block in vectors.split(DEV_BATCH)]
    losses = [cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))[0] for logits in blocks]
    return torch.cat(losses).mean().item()
