"""Sentence retrieval without training: Tatoeba (nearest neighbor) and BUCC 2018 (bitext mining).

A sentence is the mean of one layer's hidden states over all of its tokens, `<s>` and `</s>` included, L2-normalized.
The search is that of common/search.py: exact, in blocks.
"""

import logging

import numpy as np
import torch
from datasets import Dataset

import metrics
from common.files import InputError, write_text
from common.prediction import Predictor, Scored, scorer, start_batches
from common.search import neighbors, normalize
from heads import check_unique, path_of, read_lines, read_table
from heads.encoding import encoded, tokenized

logger = logging.getLogger("xtreme")
SORTED = 10  # different sentences in order of their characters are sorted, not chance, from here on
NEIGHBORS = 4  # k of the margin (XTREME, LASER)


def read(task, data_dir, split, language):
    """{"source" and "english": rows {id, text}, "gold": [(source id, English id)] or None, "lines": is Tatoeba}.

    Tatoeba files hold one sentence per line, line i of both sides being translations (ids are line numbers from 0);
    BUCC files hold `id<TAB>sentence` and a gold file of `source id<TAB>English id`, absent when labels are withheld.
    XTREME's preprocessing withholds Tatoeba's by sorting the English side.
    """
    (source_path,) = path_of(task, data_dir, split, language)
    (english_path,) = path_of(task, data_dir, f"{split}_english", language)
    with_ids = f"{split}_gold" in task.files
    source, english = _sentences(source_path, with_ids), _sentences(english_path, with_ids)
    if with_ids:
        (gold_path,) = path_of(task, data_dir, f"{split}_gold", language)
        # dev's is read in any case: the threshold needs it
        gold = _gold(gold_path, source, english) if gold_path.exists() or split == "dev" else None
    else:
        if len(source) != len(english):
            raise InputError(
                f"{source_path}: {len(source)} lines but {english_path.name} has {len(english)}; line i of both must "
                "be translations"
            )
        gold = [(row["id"], row["id"]) for row in source]
        if is_sorted(english):
            logger.warning(
                "%s: in the order of its characters, as XTREME's preprocessing sorts it, so line i of both sides is "
                "no translation: no labels; LASER's files have them",
                english_path,
            )
            gold = None
    sides = {"source": Dataset.from_list(source), "english": Dataset.from_list(english)}
    return {**sides, "gold": gold, "lines": not with_ids}


def is_sorted(rows):
    """Whether sentences stand in code-point order, which ten and more never do by chance."""
    texts = [row["text"].strip() for row in rows]
    return len(set(texts)) >= SORTED and texts == sorted(texts)


def _sentences(path, with_ids):
    lines = read_table(path, "id, sentence" if with_ids else "sentences")
    if not with_ids:
        if all("\t" in line for line in lines):
            raise InputError(
                f"{path}: tab-separated columns where sentences must stand; keep one: cut -f1 {path.name}"
            )
        return [{"id": str(index), "text": line} for index, line in enumerate(lines)]
    rows = []
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if len(fields) != 2:
            raise InputError(f"{path}, line {number}: {len(fields)} tab-separated columns instead of 2: id, sentence")
        rows.append({"id": fields[0], "text": fields[1]})
    check_unique(path, [row["id"] for row in rows])
    return rows


def _gold(path, source, english):
    sides = [{row["id"] for row in side} for side in (source, english)]
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        pair = tuple(line.split("\t"))
        if len(pair) != 2 or pair[0] not in sides[0] or pair[1] not in sides[1]:
            raise InputError(
                f"{path}, line {number}: {line!r} is no pair of a source id and an English id of the text files; "
                "correct or remove it"
            )
        pairs.append(pair)
    return pairs


def default_layer(task, num_layers):
    """hidden_states index of the protocol: 14 of XLM-R Large's 24, in proportion for other depths.

    7 of 12, as XTREME's mBERT scripts have it.
    """
    return max(1, round(task.layer * num_layers / 24))


def encode(rows, tokenizer, settings):
    """Distinct texts -> features; `length` for sorting."""

    def encode_batch(batch):
        inputs = tokenized(tokenizer, batch["text"], max_length=settings.max_seq_length)["input_ids"]
        return {"input_ids": inputs, "length": [len(tokens) for tokens in inputs]}

    return encoded(rows, encode_batch)


def pooled(model, batch, layers, mask=None):
    """Mean-pooled hidden states [sentences, layers, width]; layer 0 is the embedding layer.

    The mean is over the tokens of `mask` [sentences, tokens], all but padding where it is None.
    """
    states = model(**batch, output_hidden_states=True).hidden_states
    mask = (batch["attention_mask"] if mask is None else mask)[:, :, None].float()
    return torch.stack([(states[layer].float() * mask).sum(1) / mask.sum(1) for layer in layers], dim=1)


def _margins(values, indices, other_values):
    """Ratio margin of each candidate: cosine over the mean of both sides' k nearest (Artetxe and Schwenk, 2019)."""
    return values / ((values.mean(1)[:, None] + other_values.mean(1)[indices]) / 2)


def nearest(source, english):
    """Tatoeba. {"": index of the source sentence for every English one, by cosine, XTREME's direction and score}.

    And two further predictions: "_reverse" from source to English by cosine, "_margin" from English to source by
    ratio margin. Each is [sentences].
    """
    (forward, forward_index), (backward, backward_index) = neighbors(english, source, NEIGHBORS)
    margin = _margins(forward, forward_index, backward)
    by_margin = forward_index[np.arange(len(margin)), margin.argmax(1)]
    return {"": forward_index[:, 0], "_reverse": backward_index[:, 0], "_margin": by_margin}


def mine(source, english):
    """BUCC. Candidate pairs [(row in source, row in english, margin)], best first, each sentence in at most one pair.

    Ratio margin over k=4 neighbors, the union of both directions' best candidates, matched greedily; scores > 0.
    """
    (forward, forward_index), (backward, backward_index) = neighbors(source, english, NEIGHBORS)
    forward_margin = _margins(forward, forward_index, backward)
    backward_margin = _margins(backward, backward_index, forward)
    left, right = np.arange(len(source)), np.arange(len(english))
    of_left = np.stack((left, forward_index[left, forward_margin.argmax(1)]), axis=1)
    of_right = np.stack((backward_index[right, backward_margin.argmax(1)], right), axis=1)
    pairs = np.concatenate((of_left, of_right))
    scores = np.concatenate((forward_margin.max(1), backward_margin.max(1)))
    seen, candidates = (set(), set()), []
    for index in np.argsort(-scores, kind="stable"):
        left, right = map(int, pairs[index])
        if left not in seen[0] and right not in seen[1]:
            seen[0].add(left)
            seen[1].add(right)
            if scores[index] > 0:
                candidates.append((left, right, float(scores[index])))
    return candidates


def distinct(rows):
    """De-duplicated texts: (id of each or None where several lines share the text, distinct texts).

    Repeated sentences take part in the search once and are never extracted, as in XTREME's BUCC scorer.
    """
    ids = {}
    for example_id, text in zip(rows["id"][:], rows["text"][:]):
        ids[text] = None if text in ids else example_id
    return list(ids.values()), list(ids)


def named_pairs(candidates, source_ids, english_ids):
    """Candidates as {(source id, English id): margin}, without those whose text is not unique."""
    named = {(source_ids[left], english_ids[right]): score for left, right, score in candidates}
    return {pair: score for pair, score in named.items() if None not in pair}


def best_threshold(scored, gold):
    """The margin with the best F1 of {pair: margin} against gold: midway between the last kept pair and the next."""
    items, gold = sorted(scored.items(), key=lambda item: -item[1]), set(gold)
    correct = np.cumsum([pair in gold for pair, _ in items]) if items else np.zeros(0)
    f1 = 2 * correct / (np.arange(1, len(items) + 1) + len(gold))
    if not len(f1) or f1.max() == 0:
        return 0.0
    last = int(f1.argmax())
    following = items[last + 1][1] if last + 1 < len(items) else items[last][1]
    return (items[last][1] + following) / 2


def search(sides, position):
    """Tatoeba's predictions from one layer's vectors: {variant: index of the other side's line for every line}."""
    return nearest(*(normalize(sides[side][1][:, position]) for side in ("source", "english")))


def scored_pairs(sides, position):
    """BUCC's candidates from the vectors of one layer: {(source id, English id): margin}."""
    candidates = mine(*(normalize(sides[side][1][:, position]) for side in ("source", "english")))
    return named_pairs(candidates, sides["source"][0], sides["english"][0])


def count(task, rows, predictions):
    """Additive counts as metrics.count gives them; None where the gold pairs are withheld."""
    if rows["gold"] is None:
        return None
    if rows["lines"]:
        gold = map(str, range(len(predictions)))
        return metrics.count(scorer(task), list(gold), list(map(str, predictions)))
    return metrics.count(scorer(task), rows["gold"], predictions)


def write_predictions(path, rows, predictions):
    """Tatoeba: the source line, from 0, of every English line. BUCC: `source id<TAB>English id` per line."""
    write_text(path, "".join(f"{index}\n" if rows["lines"] else "\t".join(index) + "\n" for index in predictions))


class Embedded:
    """The vectors of one language's texts in its first condition, and of dev: other conditions share most of them.

    What noise makes of a text is not kept beyond its cell, so that memory does not grow with conditions.
    """

    def __init__(self, language):
        self.language, self.texts, self.vectors = language, None, None

    def new(self, texts):
        """Those of `texts` that the first condition has not."""
        fresh = [text for text in dict.fromkeys(texts) if text not in (self.texts or ())]
        self.texts = set(fresh) if self.texts is None else self.texts
        return fresh

    def all(self, own):
        """{text: vector} of the first condition's texts and of a cell's `own`."""
        self.vectors = own if self.vectors is None else self.vectors
        return self.vectors | own


class Searcher(Predictor):
    """A Predictor whose predictions are sentences of the other side. `layers` are hidden_states indices to pool; the
    first is the one whose predictions are written.
    """

    layers, embedded = (), Embedded(None)
    thresholds = None  # (language, the margin with the best F1 on dev at every layer)

    def prepare(self, rows, language, title, dev=None):
        """({part: {side: (ids, texts)}}, features of texts that are new, these texts, the language's vectors, `dev`).

        `dev` are BUCC's dev rows, on which its threshold is tuned.
        """
        if self.embedded.language != language:
            self.embedded = Embedded(language)
        parts = {part: _texts(of_part) for part, of_part in {"dev": dev, "test": rows}.items() if of_part}
        texts = self.embedded.new([text for sides in parts.values() for _, texts in sides.values() for text in texts])
        features = encode(Dataset.from_dict({"text": texts}), self.tokenizer, self.settings) if texts else None
        return parts, features, texts, self.embedded, dev

    def start(self, model, prepared, desc=None):
        model.eval()
        parts, features, texts, embedded, dev = prepared
        collect = dict
        if features is not None:
            step = lambda batch: {"vector": pooled(model, batch, self.layers)}  # noqa: E731
            collect = start_batches(step, features, self.collator, desc=desc, **self.options)

        def outcome():
            vectors = embedded.all(dict(zip(texts, collect().get("vector", ()))))
            return {part: _vectors(sides, vectors) for part, sides in parts.items()}, dev

        return outcome

    def finish(self, task, rows, language, parts, dev):
        """The Scored of one language of Tatoeba, or of BUCC, at every layer; predictions are the first layer's."""
        if "dev" in parts and (self.thresholds or [None])[0] != language:
            margins = (scored_pairs(parts["dev"], position) for position in range(len(self.layers)))
            self.thresholds = language, [best_threshold(of_layer, dev["gold"]) for of_layer in margins]
        scores, written = {}, None
        for position, layer in enumerate(self.layers):
            if "dev" not in parts:
                variants = search(parts["test"], position)
            else:
                margins, threshold = scored_pairs(parts["test"], position), self.thresholds[1][position]
                variants = {"": [pair for pair, margin in margins.items() if margin >= threshold]}
            for variant, predictions in variants.items():
                counts = count(task, rows, predictions)
                suffix = variant + (f"_layer{layer}" if position else "")
                if counts is not None:
                    values = metrics.aggregate(scorer(task), counts)
                    scores.update({f"{name}{suffix}": value for name, value in values.items()})
                written = written or (counts, predictions)
        return Scored(scores or None, *written, None)


def _texts(rows):
    """{side: (ids, texts)}; Tatoeba keeps repeated lines, BUCC does not."""
    sides = {side: rows[side] for side in ("source", "english")}
    if rows["lines"]:
        return {side: (of_side["id"][:], of_side["text"][:]) for side, of_side in sides.items()}
    return {side: distinct(of_side) for side, of_side in sides.items()}


def _vectors(sides, vectors):
    """{side: (ids, vectors [texts, layers, width])}."""
    return {side: (ids, np.stack([vectors[text] for text in texts])) for side, (ids, texts) in sides.items()}


def edited(row, field, old, new):
    return {**row, "text": new}


def margin(vectors, pool, gold):
    """Cosine to the gold sentence minus the highest to another one, [sentences]; `vectors` [sentences, width] and
    `pool` [candidates, width] are normalized, `gold` [sentences] indices of candidates.
    """
    similarities, rows = vectors @ pool.T, np.arange(len(vectors))
    own = similarities[rows, gold]
    similarities[rows, gold] = -np.inf
    return own - similarities.max(1)
