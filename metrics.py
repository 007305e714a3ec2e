"""How predictions are scored: every task of XTREME and XTREME-R, and the intermediate tasks. numpy, no torch.

Scores equal google-research/xtreme's evaluate.py (commit 838c13b), with its odd rules: they are named where they are
coded. All scores are percents. Counts per example are additive, so that any resample of examples can be scored without
the model:

    counts = count("udpos", references, predictions)        # one dict per sentence
    aggregate("udpos", [counts[i] for i in resample])       # {"f1", "precision", "recall", "accuracy"}

Also one configuration per task of an `evaluate` module, offline:

    metric = evaluate.load("metrics.py", "xquad")
    metric.compute(predictions=[{"id", "prediction_text"}], references=[{"id", "answers"}])

It stands in for seqeval and the Hub's squad, squad_v2, f1 and accuracy: their rules are not evaluate.py's, their code
is downloaded. Imports nothing of ours, reads and writes nothing; score.py scores folders with it.
"""

import logging
import re
import string
import sys
import unicodedata
from collections import Counter
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

logger = logging.getLogger("metrics")


# --- Labels

# The order of sacreBLEU's statistics of a line
BLEU_COLUMNS = ("predicted_words", "reference_words", *(f"{n}_{i}" for n in ("correct", "total") for i in range(1, 5)))
CHRF_ORDERS = (*(f"char{i}" for i in range(1, 7)), "word1", "word2")
CHRF_COLUMNS = tuple(f"{order}_{name}" for order in CHRF_ORDERS for name in ("predicted", "reference", "match"))
QQP_POSITIVE = ("duplicate", "1")  # the class whose F1 GLUE reports


def _check_lengths(references, predictions):
    if len(references) != len(predictions):
        raise ValueError(
            f"{len(predictions)} predictions for {len(references)} references; there must be one for each, in the "
            "same order"
        )


def _warn_of_form(references, predictions):
    """Say which predictions can match no label because of how they are written; they count as errors all the same.

    A byte order mark, a second column, upper case, numbers in place of names.
    """
    golds = {gold for gold in references if isinstance(gold, str)}
    folded = {gold.casefold() for gold in golds}
    named = golds and not any(gold.isdecimal() for gold in golds)

    texts = Counter(guess for guess in predictions if isinstance(guess, str) and guess not in golds)
    unlike = [
        guess
        for guess in texts
        if "\ufeff" in guess or "\t" in guess or guess.casefold() in folded or (named and guess.isdecimal())
    ]
    if unlike:
        logger.warning(
            "%d of %d predictions are written unlike the labels, e.g. %r, and count as errors; write the labels "
            "alone, spelled as the gold ones are",
            sum(texts[guess] for guess in unlike),
            len(predictions),
            min(unlike),
        )


def count_accuracy(references, predictions, language=None):
    """Labels are compared as they are: evaluate.py gives an XCOPA prediction "0" no credit for the label 0."""
    _check_lengths(references, predictions)
    if any(isinstance(gold, str) != isinstance(guess, str) for gold, guess in zip(references, predictions)):
        logger.warning("some labels are text where the others are numbers; these never match")
    _warn_of_form(references, predictions)
    return [{"correct": int(guess == gold)} for gold, guess in zip(references, predictions)]


def count_paraphrases(references, predictions, language=None):
    counts = count_accuracy(references, predictions)
    for row, gold, guess in zip(counts, references, predictions):
        gold, guess = str(gold) in QQP_POSITIVE, str(guess) in QQP_POSITIVE
        row.update(true_positives=int(gold and guess), predicted=int(guess), gold=int(gold))
    return counts


# --- Tags


def chunks(sentences):
    """{(type, first token, last token): sentence index}; tokens are numbered through the file, with one "O" between
    sentences.

    The rules of seqeval 0.0.12 (later versions differ on bare tags), which evaluate.py runs on raw UPOS tags: the
    first letter is the IOB prefix (SCONJ and SYM read as S: always a chunk of their own; INTJ as I), the type is the
    text after the last "-", other adjacent equal tags merge.
    """
    owners = {}
    position, begin, last, last_type = 0, 0, "O", ""
    for index, sentence in enumerate(sentences):
        for tag in [*sentence, "O"]:
            prefix, chunk_type = tag[0], tag.split("-")[-1]
            other = chunk_type != last_type
            if last in "ES" or (last in "BI" and prefix in "BSO") or (other and last not in "O."):
                owners[last_type, begin, position - 1] = index
            if prefix in "BS" or (last in "ESO" and prefix in "EI") or (other and prefix not in "O."):
                # some ends come without a new beginning (E-X, A-X): the next chunk then starts where this one did
                begin = position
            last, last_type = prefix, chunk_type
            position += 1
    return owners


def count_chunks(references, predictions, language=None):
    counts = count_tokens(references, predictions)
    if any(len(gold) != len(guess) for gold, guess in zip(references, predictions)):
        logger.warning(
            "some sentences have more or fewer tags than words: as in evaluate.py, no later chunk matches until the "
            "numbers agree again"
        )
    gold, predicted = chunks(references), chunks(predictions)
    for row in counts:
        row.update(correct_chunks=0, predicted_chunks=0, gold_chunks=0)
    for chunk, sentence in gold.items():
        counts[sentence]["gold_chunks"] += 1
        counts[sentence]["correct_chunks"] += chunk in predicted
    for sentence in predicted.values():
        counts[sentence]["predicted_chunks"] += 1
    return counts


def count_tokens(references, predictions, language=None):
    _check_lengths(references, predictions)
    _warn_of_form([tag for tags in references for tag in tags], [tag for tags in predictions for tag in tags])
    return [
        {"correct_tokens": sum(a == b for a, b in zip(gold, guess)), "tokens": len(gold)}
        for gold, guess in zip(references, predictions)
    ]


# --- Answers

ENGLISH_ARTICLES = r"\b(a|an|the)\b"
MLQA_ARTICLES = {
    "ar": "ال",  # wherever it stands: the official pattern's other half ("\sال^") can never match
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "en": ENGLISH_ARTICLES,
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "hi": None,
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "zh": None,
}


@lru_cache
def _no_punctuation(unicode):
    """str.translate table that deletes ASCII punctuation, and with `unicode` every character of the categories P*."""
    extra = (code for code in range(0x10FFFF) if unicodedata.category(chr(code))[0] == "P") if unicode else ()
    return dict.fromkeys([*map(ord, string.punctuation), *extra])


def answer_tokens(text, language=None):
    """Normalized tokens of an answer: SQuAD 1.1's English rules for every language, or MLQA's own for a `language`."""
    text = text.lower().translate(_no_punctuation(language is not None))
    articles = MLQA_ARTICLES[language] if language else ENGLISH_ARTICLES
    if articles:
        text = re.sub(articles, " ", text)
    if language == "zh":
        text = re.sub("[\u4e00-\u9fa5]", r" \g<0> ", text)  # one token per character; others split at white space
    return text.split()


def answer_f1(gold, predicted):
    """Harmonic mean of token precision and recall; 0 where nothing is in common, also if both are empty (EM: 1)."""
    common = sum((Counter(gold) & Counter(predicted)).values())
    return 2 * common / (len(gold) + len(predicted)) if common else 0.0


def count_answers(references, predictions, rules=None, unanswerable=False):
    """Best score over the gold answers, by SQuAD's rules or MLQA's for the language `rules`; no prediction scores 0.

    references: [{"id", "answers": [text, ...] or {"text": [text, ...]}}], predictions: {id: text}.
    With `unanswerable` (SQuAD 2.0) a question without gold answers is right when the prediction is empty.
    """
    counts = []
    for reference in references:
        example, answers = reference["id"], reference["answers"]
        row = {"id": example, "exact_match": 0, "f1": 0.0}
        counts.append(row)
        if example not in predictions:
            continue
        predicted = answer_tokens(predictions[example], rules)
        golds = [answer_tokens(text, rules) for text in (answers["text"] if isinstance(answers, dict) else answers)]
        if unanswerable:
            golds = [gold for gold in golds if gold] or [[]]
        elif not golds:
            raise ValueError(f"question {example} has no gold answer; only squad_v2 may have such questions")
        row["exact_match"] = int(predicted in golds)
        rightly_empty = unanswerable and predicted == golds[0] == []
        row["f1"] = 1.0 if rightly_empty else max(answer_f1(gold, predicted) for gold in golds)
    unanswered = sum(row["id"] not in predictions for row in counts)
    if unanswered:
        logger.warning("%d of %d questions have no prediction and score 0", unanswered, len(counts))
    return counts


def count_squad(references, predictions, language=None):
    return count_answers(references, predictions)


def count_squad_v2(references, predictions, language=None):
    return count_answers(references, predictions, unanswerable=True)


def count_mlqa(references, predictions, language=None):
    rules = (language or "").partition("-")[0]  # of the context, where "de-en" has another language's question
    if rules not in MLQA_ARTICLES:
        raise ValueError(
            f"mlqa is scored by the rules of the answer's language: language={language!r} is not one of "
            f"{', '.join(MLQA_ARTICLES)}"
        )
    return count_answers(references, predictions, rules=rules)


def best_no_answer_threshold(references, predictions, no_answer_scores, metric="f1"):
    """(threshold, scores) with the best SQuAD 2.0 `metric`: answers with a no-answer score above it become empty.

    references and predictions as in `count_answers`; no_answer_scores: {id: float}. Of equally good thresholds, the
    lowest. The official best_f1 and best_exact, each at a threshold of its own; the official script also tries cuts
    between equal scores, which no threshold makes.
    """
    if not references:
        raise ValueError("no examples to choose a threshold on")
    answered = count_squad_v2(references, predictions)
    empty = count_squad_v2(references, {row["id"]: "" for row in answered})
    given = np.array([no_answer_scores[row["id"]] for row in answered], dtype=float)  # [questions]
    order = np.argsort(given, kind="stable")
    gain = np.cumsum([answered[index][metric] - empty[index][metric] for index in order])
    last = np.flatnonzero(np.append(np.diff(given[order]) > 0, True))  # equal scores are answered together
    best = int(gain[last].argmax())
    threshold = float(given[order][last[best]]) if gain[last[best]] > 0 else float(given.min() - 1)
    chosen = [row if score <= threshold else none for row, none, score in zip(answered, empty, given)]
    return threshold, aggregate("squad_v2", chosen)


# --- Retrieval


def count_pairs(references, predictions, language=None):
    """Counts per source sentence; (source id, English id) pairs count once however often they are given."""
    gold, predicted = set(map(tuple, references)), set(map(tuple, predictions))
    odd = next((pair for pair in predicted if len(pair) != 2 or pair[0].startswith("\ufeff")), None)
    if odd is not None:
        logger.warning("%r is no pair of a source id and an English id and counts as an error", "\t".join(odd))
    counts = {
        source: {"id": source, "correct": 0, "predicted": 0, "gold": 0} for source, *_ in sorted(gold | predicted)
    }
    for name, pairs in (("correct", gold & predicted), ("predicted", predicted), ("gold", gold)):
        for source, *_ in pairs:
            counts[source][name] += 1
    return list(counts.values())


def count_rankings(references, predictions, language=None):
    """Mewsli-X: references {id: [entity]}, predictions {id: [entity, ...]} best first; the first 20 count."""
    counts = []
    for example, (gold, *_) in references.items():
        ranking = list(predictions.get(example, []))[:20]
        rank = ranking.index(gold.strip()) + 1 if gold.strip() in ranking else np.inf
        counts.append({"id": example, "reciprocal_rank": 1 / rank})
    return counts


def count_average_precision(references, predictions, language=None):
    """LAReQA: references {id: [target]}, predictions {id: [candidate, ...]} best first; the first 20 count.

    Average precision at 20 (XTREME-R's utils_lareqa.py:348-361): a repeated candidate keeps its rank and scores once.
    Candidates are named <lang>_...: with a `language`, whether the first is in that of the question.
    """
    counts = []
    for example, targets in references.items():
        ranking, targets = list(predictions.get(example, []))[:20], set(targets)
        if not targets:
            raise ValueError(f"question {example} has no target; leave it out")
        first = {candidate: rank for rank, candidate in reversed(list(enumerate(ranking, start=1)))}
        ranks = sorted(first[target] for target in targets & set(first))
        precisions = sum(hits / rank for hits, rank in enumerate(ranks, start=1))
        row = {"id": example, "average_precision": precisions / min(len(targets), 20)}
        if language is not None:
            row["same_language"] = int(bool(ranking) and ranking[0].split("_")[0] == language)
        counts.append(row)
    return counts


def count_translations(references, predictions, language=None):
    """Statistics of BLEU (13a) and chrF++ per line, whose sums give sacreBLEU's corpus scores; one reference each."""
    from sacrebleu.metrics import BLEU, CHRF  # no other metric needs it

    _check_lengths(references, predictions)
    scorers = (BLEU(), BLEU_COLUMNS), (CHRF(word_order=2), CHRF_COLUMNS)
    rows = [{} for _ in references]
    for scorer, columns in scorers:
        for row, numbers in zip(rows, scorer._extract_corpus_statistics(predictions, [references])):
            row.update(zip(columns, map(int, numbers)))
    return rows


# --- Counts to scores


def _sums(counts, *names):
    return [float(np.sum([row[name] for row in counts])) for name in names]


def _mean(counts, **columns):
    if not counts:
        raise ValueError("no examples to score")
    return {metric: total / len(counts) for metric, total in zip(columns, _sums(counts, *columns.values()))}


def _f1(correct, predicted, gold):
    precision, recall = correct / predicted if predicted else 0.0, correct / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return {"f1": f1, "precision": precision, "recall": recall}


def _token_accuracy(counts):
    correct, tokens = _sums(counts, "correct_tokens", "tokens")
    return {"accuracy": correct / tokens if tokens else 0.0}


def _paraphrase_scores(counts):
    f1 = _f1(*_sums(counts, "true_positives", "predicted", "gold"))["f1"]
    return {**_mean(counts, accuracy="correct"), "f1": f1}


def _chunk_scores(counts):
    return {**_f1(*_sums(counts, "correct_chunks", "predicted_chunks", "gold_chunks")), **_token_accuracy(counts)}


def _ranking_scores(counts):
    columns = {"map@20": "average_precision", "same_language": "same_language"}
    return _mean(counts, **{metric: name for metric, name in columns.items() if not counts or name in counts[0]})


def bleu(sums):
    """sums [..., BLEU_COLUMNS] -> BLEU [...], a fraction, smoothed as sacreBLEU's default: the k-th order without a
    match counts 1 / 2 ** k.
    """
    sums = np.asarray(sums, np.float64)
    predicted, reference, correct, total = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:]
    smoothed = np.where(correct > 0, correct, 0.5 ** np.cumsum(correct == 0, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        brevity = np.where(predicted < reference, np.exp(1 - reference / predicted), 1)
        scores = brevity * np.exp(np.log(smoothed / total).mean(-1))
    return np.where(correct.any(-1) & total.all(-1), scores, 0)


def chrf(sums):
    """sums [..., CHRF_COLUMNS] -> chrF++ [...], a fraction: F2 of the means over the orders that both sides have."""
    by_order = np.asarray(sums, np.float64).reshape(*np.shape(sums)[:-1], len(CHRF_ORDERS), 3)
    predicted, reference, match = np.moveaxis(by_order, -1, 0)
    there = (predicted > 0) & (reference > 0)
    precision, recall = (
        np.divide(match, side, out=np.zeros_like(match), where=there).sum(-1) / np.maximum(there.sum(-1), 1)
        for side in (predicted, reference)
    )
    return np.divide(5 * precision * recall, 4 * precision + recall, out=np.zeros_like(recall), where=recall > 0)


def _translation_scores(counts):
    if not counts:
        raise ValueError("no lines to score")
    scores = {"bleu": bleu(_sums(counts, *BLEU_COLUMNS)), "chrf++": chrf(_sums(counts, *CHRF_COLUMNS))}
    return {metric: float(value) for metric, value in scores.items()}


class Family(NamedTuple):
    count: callable  # (references, predictions, language) -> counts
    aggregate: callable  # counts -> {metric: fraction}
    main: tuple  # metrics whose mean is the task's score
    suffix: str = "tsv"  # of its files in XTREME's submission format


_accuracy, _answers = partial(_mean, accuracy="correct"), partial(_mean, exact_match="exact_match", f1="f1")
FAMILIES = {
    "label": Family(count_accuracy, _accuracy, ("accuracy",)),
    "choice": Family(count_accuracy, _accuracy, ("accuracy",), "jsonl"),
    "paraphrase": Family(count_paraphrases, _paraphrase_scores, ("accuracy", "f1")),  # GLUE's score of QQP
    "chunk": Family(count_chunks, _chunk_scores, ("f1",)),
    "token": Family(count_tokens, _token_accuracy, ("accuracy",)),
    "squad": Family(count_squad, _answers, ("exact_match", "f1"), "json"),
    "squad_v2": Family(count_squad_v2, _answers, ("exact_match", "f1"), "json"),
    "mlqa": Family(count_mlqa, _answers, ("exact_match", "f1"), "json"),
    "pairs": Family(count_pairs, lambda counts: _f1(*_sums(counts, "correct", "predicted", "gold")), ("f1",)),
    "ranking": Family(count_rankings, partial(_mean, **{"map@20": "reciprocal_rank"}), ("map@20",), "json"),
    "average_precision": Family(count_average_precision, _ranking_scores, ("map@20",), "json"),
    "translation": Family(count_translations, _translation_scores, ("chrf++",), "txt"),
}
METRICS = {  # task -> family
    "pawsx": "label", "xnli": "label", "udpos": "chunk", "panx": "chunk",
    "xquad": "squad", "mlqa": "mlqa", "tydiqa": "squad",
    "bucc2018": "pairs", "tatoeba": "label", "xcopa": "choice", "mewslix": "ranking",
    "lareqa": "average_precision",
    "anli": "label", "mnli": "label", "snli": "label", "anli_plus": "label", "qqp": "paraphrase",
    "squad": "squad", "squad_v2": "squad_v2", "ccg": "token",
    "hellaswag": "choice", "cosmos_qa": "choice", "commonsense_qa": "choice", "siqa": "choice",
    "translation": "translation",
}  # fmt: skip


def family(task):
    if task not in METRICS:
        raise ValueError(f"no metric for task {task!r}; choose from {', '.join(METRICS)}")
    return FAMILIES[METRICS[task]]


def count(task, references, predictions, language=None):
    """One dict of additive numbers per example (of BUCC: per source sentence); mlqa alone needs `language`."""
    return family(task).count(references, predictions, language)


def aggregate(task, counts):
    """{metric: percent} of any list of counts. Raises ValueError when it is empty and the score undefined."""
    return {metric: 100 * value for metric, value in family(task).aggregate(counts).items()}


def score(task, references, predictions, language=None):
    return aggregate(task, count(task, references, predictions, language))


def main_score(task, scores):
    """The task's one number: F1, accuracy or map@20, and (EM + F1) / 2 for question answering."""
    main = family(task).main
    return sum(scores[metric] for metric in main) / len(main)


# --- The `evaluate` module

if __name__.startswith("evaluate_modules"):  # only when `evaluate` loads this file: the two imports take seconds
    import datasets
    import evaluate

    TEXT = datasets.Value("string")
    TEXTS = datasets.Sequence(TEXT)
    ANSWER = {"id": TEXT, "prediction_text": TEXT}
    ANSWERS = {"id": TEXT, "answers": datasets.Sequence({"text": TEXT, "answer_start": datasets.Value("int32")})}
    RANKING = {"id": TEXT, "entities": TEXTS}
    FEATURES = {  # family -> (prediction, reference); label, choice and paraphrase have one label in each
        "chunk": (TEXTS, TEXTS),
        "token": (TEXTS, TEXTS),
        "squad": (ANSWER, ANSWERS),
        "squad_v2": (ANSWER, ANSWERS),
        "mlqa": (ANSWER, ANSWERS),
        "pairs": (TEXTS, TEXTS),  # "source id<TAB>English id"; one list per language
        "ranking": (RANKING, RANKING),
        "average_precision": (RANKING, RANKING),
    }

    class Metric(evaluate.Metric):
        def _info(self):
            family(self.config_name)  # raises ValueError for an unknown configuration
            predictions, references = FEATURES.get(METRICS[self.config_name], (TEXT, TEXT))
            return evaluate.MetricInfo(
                description=__doc__,
                citation="",
                inputs_description="predictions, references in the order of the examples; mlqa also takes language=",
                features=datasets.Features({"predictions": predictions, "references": references}),
            )

        def _compute(self, predictions, references, language=None):
            name = METRICS[self.config_name]
            if name == "pairs":
                scores = [score(self.config_name, *map(_split, pair)) for pair in zip(references, predictions)]
                return {metric: sum(row[metric] for row in scores) / len(scores) for metric in scores[0]}
            if FEATURES.get(name, ())[:1] == (RANKING,):
                references, predictions = (
                    {row["id"]: row["entities"] for row in rows} for rows in (references, predictions)
                )
            elif FEATURES.get(name, ())[:1] == (ANSWER,):
                predictions = {row["id"]: row["prediction_text"] for row in predictions}
            return score(self.config_name, references, predictions, language)

    def _split(pairs):
        return [tuple(pair.split("\t")) for pair in pairs]


if __name__ == "__main__":
    command = "python score.py --predictions DIR --data_dir data/xtreme"
    print(f"metrics.py: error: it holds the scorers alone; to score a folder: {command}", file=sys.stderr)
    sys.exit(2)
