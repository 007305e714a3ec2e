"""Answer spans in a context: XQuAD, MLQA, TyDiQA-GoldP, SQuAD 1.1 and 2.0."""

from bisect import bisect_left, bisect_right
from operator import itemgetter

import numpy as np
import torch
from datasets import Dataset

import metrics
from common.files import InputError, write_json
from common.labels import XTREME
from common.ragged import Columns
from heads import check_id, check_texts, check_unique, path_of, qa_decoding, read_json, read_jsonl
from heads.encoding import encoded, nested

MODEL = "AutoModelForQuestionAnswering"
FORM = '{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}'
MAX_QUERY_LENGTH = 64  # sub-tokens of the question that are kept, as in SQuAD's and XTREME's scripts


def read(task, data_dir, split, language):
    """Rows {id, context, question, answers, paragraph}; `answers` is None where XTREME stripped them to empty texts.

    Reads SQuAD JSON and the Hub's flat jsonl. Raises InputError for broken JSON, missing keys, repeated ids, an
    answer that is not the slice of its context that `answer_start` says, and, but for SQuAD 2.0 and tasks scored as
    it, questions without an answer.
    """
    rows = []
    for path in path_of(task, data_dir, split, language):
        of_file = list(_flat(path, task) if path.suffix == ".jsonl" else _nested(path))
        if not of_file:
            raise InputError(f"{path}: no questions in the file; download it again")
        for row in of_file:
            _check(path, row)
        if split != "train":  # SQuAD's own training file repeats a few
            check_unique(path, [row["id"] for row in of_file])
        unanswerable = metrics.METRICS[task.scored_as or task.name] == "squad_v2"
        rows += _with_answers(path, of_file, split, unanswerable)
    return Dataset.from_list(rows)


def _with_answers(path, rows, split, unanswerable):
    """The rows with `answers` None where all are stripped: XTREME's one empty text, or no answer in a test file."""
    texts = [row["answers"]["text"] for row in rows]
    if all(of_row == [""] for of_row in texts) or (split == "test" and not unanswerable and not any(texts)):
        return [{**row, "answers": None} for row in rows]
    for row, of_row in zip(rows, texts):
        where = f"{path}: question {row['id']}"
        if of_row == [""]:
            step = "give all an answer ([] if unanswerable) or none" if unanswerable else "give all an answer or none"
            raise InputError(f"{where}: empty answer, unlike others; {step}")
        if not of_row and not unanswerable:
            raise InputError(f"{where}: has no answer; that is the task squad_v2: name it so, or remove the question")
    return rows


def _nested(path):
    document = read_json(path)
    try:
        for number, paragraph in enumerate(p for article in document["data"] for p in article["paragraphs"]):
            for question in paragraph["qas"]:
                answers = {key: [answer[key] for answer in question["answers"]] for key in ("text", "answer_start")}
                row = {"id": question["id"], "context": paragraph["context"], "question": question["question"]}
                yield {**row, "answers": answers, "paragraph": number}
    except (KeyError, TypeError) as error:
        problem = "a list, object or text stands where another belongs"
        if isinstance(error, KeyError):
            problem = f"no {error}"
        raise InputError(f"{path}: not SQuAD JSON: {problem}; its form is {FORM}") from None


def _flat(path, task):
    paragraphs = {}  # questions on one context share a paragraph: the cluster of a bootstrap
    for number, row in read_jsonl(path, ("id", "context", "question", "answers"), task):
        row = {key: row[key] for key in ("id", "context", "question", "answers")}
        check_texts(path, number, {"context": row["context"]})
        if isinstance(row["answers"], dict):
            row["answers"] = {key: row["answers"].get(key) for key in ("text", "answer_start")}
        yield {
            **row,
            "id": check_id(path, number, row["id"]),
            "paragraph": paragraphs.setdefault(row["context"], len(paragraphs)),
        }


def _check(path, row):
    where = f"{path}: question {row['id']}"
    if type(row["id"]) not in (str, int):
        raise InputError(f"{where}: its id is neither a text nor an integer; write it as a text")
    row["id"] = str(row["id"])
    for column in ("context", "question"):
        if not isinstance(row[column], str):
            raise InputError(f"{where}: {column} {row[column]!r} is not a text; write it as a JSON string")
    texts, starts = (
        row["answers"][key] if isinstance(row["answers"], dict) else None for key in ("text", "answer_start")
    )
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        form = '{"text": [...], "answer_start": [...]}'
        raise InputError(f"{where}: answers must be {form} of equal length")
    for text, start in zip(texts, starts):
        if not isinstance(text, str) or type(start) is not int or start < 0:
            raise InputError(
                f"{where}: answer {text!r} at answer_start {start!r}: must be a text and a character offset from 0"
            )
        if not text and len(texts) > 1:
            raise InputError(f"{where}: one of several answers is empty; remove it")
        there = row["context"][start : start + len(text)]
        if there != text:
            raise InputError(
                f"{where}: answer {text!r} does not match its context, which has {there!r} at answer_start {start}; "
                "offsets count characters from 0"
            )


def encode(rows, tokenizer, labels, settings):
    """Sliding windows `<s> question </s></s> context piece </s>`, one feature each, `doc_stride` sub-tokens apart.

    `doc_stride` is the step from window to window (SQuAD's and XTREME's meaning; HF's run_qa.py calls the overlap so).
    `labels` = [start, end] token positions of the first answer, both 0 (`<s>`) when it is not in the window;
    `context` = [begin, end) token positions of the context; `offsets` = their characters; `example` = row index.
    """
    before, between, after = _special_tokens(tokenizer)
    segments = _segments(tokenizer)

    def encode_batch(batch, indices):
        features = {name: [] for name in ("input_ids", "context", "offsets", "example", "length", "labels")}
        longest = min(MAX_QUERY_LENGTH, settings.max_seq_length // 2)
        questions = tokenizer(batch["question"], add_special_tokens=False, truncation=True, max_length=longest)
        contexts = _contexts(batch["context"], tokenizer)
        for position, index in enumerate(indices):
            pieces, offsets, characters = contexts[batch["context"][position]]
            front = [*before, *questions["input_ids"][position], *between]
            room = settings.max_seq_length - len(front) - len(after)
            first, last = _answer_tokens(batch["answers"][position], offsets)
            for begin in _window_starts(len(pieces), room, settings.doc_stride):
                inputs = [*front, *pieces[begin : begin + room], *after]
                spans, shift = characters[begin : begin + room], len(front) - begin
                target = [first + shift, last + shift] if begin <= first <= last < begin + len(spans) else [0, 0]
                values = (inputs, [len(front), len(front) + len(spans)], spans, index, len(inputs), target)
                for name, value in zip(features, values):
                    features[name].append(value)
        if batch["answers"][0] is None:
            del features["labels"]
        if segments:
            features["token_type_ids"] = [
                [segments[0]] * begin + [segments[1]] * (length - begin)
                for (begin, _), length in zip(features["context"], features["length"])
            ]
        features["offsets"] = nested(features["offsets"])
        return features

    features = encoded(rows, encode_batch, with_indices=True)
    return qa_decoding.with_pieces(features, rows, tokenizer, settings) if settings.qa_decoding == XTREME else features


def _contexts(texts, tokenizer):
    """{text: (ids of its sub-tokens, their characters as a list and as an array [sub-tokens, 2])}.

    Several questions share a context, which is encoded once.
    """
    texts = list(dict.fromkeys(texts))
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    return {
        text: (*of_text, np.array(of_text[1], np.int64).reshape(-1, 2)) for text, *of_text in zip(texts, ids, offsets)
    }


def _special_tokens(tokenizer):
    """The special tokens before, between and after the two texts of a pair."""
    pair = tokenizer("a", "b")
    sides = pair.sequence_ids(0)
    first, last = [i for i, side in enumerate(sides) if side == 0], [i for i, side in enumerate(sides) if side == 1]
    ids = pair["input_ids"]
    return ids[: first[0]], ids[first[-1] + 1 : last[0]], ids[last[-1] + 1 :]


def _segments(tokenizer):
    """The segments of the question, with the special tokens around it, and of the context; None without segments."""
    types = tokenizer("a", "b").get("token_type_ids")
    return types and (types[0], types[-1])


def _window_starts(length, room, step):
    begin = 0
    yield begin
    while begin + room < length:
        begin += min(step, room)
        yield begin


def _answer_tokens(answers, offsets):
    """First and last token of the first answer, from the character `offsets` of a context's; (-1, -1) without one."""
    if not answers or not answers["text"]:
        return -1, -1
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    first = bisect_right(offsets, start, key=itemgetter(0)) - 1
    # not before the first: a lone "▁" has the offsets of the letter after it
    return first, max(first, bisect_left(offsets, end, key=itemgetter(1)))


def forward(model, batch):
    batch.pop("context", None)
    outputs = model(**batch)
    logits = torch.stack((outputs.start_logits, outputs.end_logits), dim=1)  # [windows, 2, tokens]
    # padding is no class: else the loss would depend on how far a batch is padded
    return logits.float().masked_fill(batch["attention_mask"][:, None] == 0, -torch.inf)


def reduce(logits, batch, settings):
    """The best positions of both ends: `scores`, `positions` [windows, 2, n_best_size]; `null` [windows].

    They lie in the context; as XTREME decodes also outside, and are dropped later.
    """
    position, scores = torch.arange(logits.shape[-1], device=logits.device), logits.float()
    if settings.qa_decoding != XTREME:
        begin, end = batch["context"][:, None, :1], batch["context"][:, None, 1:]
        inside = (position >= begin) & (position < end)  # [windows, 1, tokens]
        scores = scores.masked_fill(~inside, -torch.inf)
    scores = torch.nn.functional.pad(scores, (0, settings.n_best_size), value=-torch.inf)  # where a window is shorter
    best = scores.topk(settings.n_best_size, dim=-1)
    return {"scores": best.values, "positions": best.indices, "null": logits[:, :, 0].float().sum(-1)}


def decode(rows, features, reduced, labels, settings):
    """The best span of every question over all of its windows; an answer for every question.

    With `settings.null_score_diff_threshold` (SQuAD 2.0) the answer is "" where the null score exceeds the best
    span's by more than it.
    """
    spans, scores = _best_spans(features, reduced, settings)
    best = {}  # row -> (score, window)
    for window, (example, score) in enumerate(zip(features["example"][:], scores.tolist())):
        if example not in best or score > best[example][0]:
            best[example] = (score, window)
    chosen, text_of = [best[example] for example in range(len(rows))], _texts(features, settings)
    predictions = [
        text_of(context, window, spans[window], score) for context, (score, window) in zip(rows["context"][:], chosen)
    ]
    if settings.null_score_diff_threshold == np.inf:
        return predictions
    null = no_answer_scores(rows, features, reduced, settings)
    return ["" if score > settings.null_score_diff_threshold else text for text, score in zip(predictions, null)]


def _texts(features, settings):
    """A function (context, window, span, score) -> text of a span (its two positions) of a window."""
    columns = Columns(features, ("context", "offsets"))
    fronts, offsets = columns.flat["context"], columns.flat["offsets"]
    (begins, _) = columns.starts["offsets"]
    # [windows] positions of the contexts, and characters [sub-tokens of all windows, 2]
    fronts, characters = fronts.values.reshape(-1, 2)[:, 0], offsets.values.reshape(-1, 2)

    def text_of(context, window, span, score):
        start, end = begins[window] + span - fronts[window]
        return context[characters[start][0] : characters[end][1]].strip() if offsets.counts[0][window] else ""

    def xtreme_text(context, window, span, score):
        if score == -np.inf:
            return qa_decoding.NO_ANSWER
        start, end = span - fronts[window]
        spans = characters[begins[window] + start : begins[window] + end + 1].tolist()
        return qa_decoding.answer_text(context, features[window]["pieces"][start : end + 1], spans)

    return xtreme_text if settings.qa_decoding == XTREME else text_of


def _best_spans(features, reduced, settings):
    """Best (start, end) positions [windows, 2], start <= end < start + max_answer_length; their scores [windows]."""
    scores, positions, pair = _pairs(features, reduced, settings)
    flat = pair.reshape(len(pair), -1)
    best, windows = flat.argmax(-1), np.arange(len(flat))
    first, last = best // pair.shape[2], best % pair.shape[2]
    spans = np.stack((positions[windows, 0, first], positions[windows, 1, last]), axis=-1)
    score = flat.max(-1)
    if settings.qa_decoding == XTREME:
        return spans, score
    impossible = ~np.isfinite(score)  # no end behind any of the best starts: answer with the best start alone
    spans[impossible] = positions[impossible, 0, :1]
    return spans, np.where(impossible, scores[:, 0, 0] - 1e9, score)


def _pairs(features, reduced, settings):
    """Scores and positions of the best ends [windows, 2, n_best], and the scores of their pairs [windows, n_best,
    n_best], -inf where they are no span.
    """
    scores, positions = np.stack(reduced["scores"]), np.stack(reduced["positions"])
    start, end = positions[:, 0, :, None], positions[:, 1, None, :]  # [windows, n_best, 1], [windows, 1, n_best]
    pair = scores[:, 0, :, None] + scores[:, 1, None, :]
    fits = (start <= end) & (end < start + settings.max_answer_length)
    if settings.qa_decoding == XTREME:
        begins, contexts = (np.array(features[name][:])[:, :, None, None] for name in ("may_begin", "context"))
        fits &= (start >= begins[:, 0]) & (start < begins[:, 1]) & (end < contexts[:, 1])
    return scores, positions, np.where(fits, pair, -np.inf)


def no_answer_scores(rows, features, reduced, settings):
    """Per row: lowest null score of its windows minus its best span score (SQuAD 2.0's score_diff)."""
    _, scores = _best_spans(features, reduced, settings)
    null, best = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    np.minimum.at(null, features["example"][:], np.stack(reduced["null"]))
    np.maximum.at(best, features["example"][:], scores)
    return null - best


def references(rows):
    if rows[0]["answers"] is None:
        return None
    return [{"id": name, "answers": gold["text"]} for name, gold in zip(rows["id"][:], rows["answers"][:])]


def constants(rows):
    """The guess of a degenerate model: no answer where some questions have none, else the context's first words.

    They are as many as half of the answers have at most.
    """
    lengths = sorted(len(answers["text"][0].split()) if answers["text"] else 0 for answers in rows["answers"][:])
    number = lengths[len(lengths) // 2] if lengths[0] else 0
    return [[" ".join(context.split()[:number]) for context in rows["context"][:]]]


def write_predictions(path, rows, predictions):
    """`{question id: answer}`."""
    write_json(path, dict(zip(rows["id"][:], predictions)))


def edited(row, field, old, new):
    """The answers' texts stay; where they start is not needed to predict."""
    return {**row, field: new}


def margins(rows, features, reduced, right, settings):
    """Per row: score of the best right span minus that of the best other one, over all windows.

    `right(row, text)` says whether an answer is one. A side that is not among the best starts and ends has the score
    of the worst span that is.
    """
    _, positions, pair = _pairs(features, reduced, settings)
    text_of, own = _texts(features, settings), {}
    for window, example in enumerate(features["example"][:]):
        own.setdefault(example, []).append(window)
    result = []
    for example, row in enumerate(rows):
        scores, best = pair[own[example]].reshape(-1), {}  # whether right -> score
        size = pair.shape[1] * pair.shape[2]
        for at in np.argsort(-scores, kind="stable"):
            window, (first, last) = own[example][at // size], divmod(at % size, pair.shape[2])
            if not np.isfinite(scores[at]) or len(best) == 2:
                break
            lowest, span = scores[at], np.array([positions[window, 0, first], positions[window, 1, last]])
            best.setdefault(right(row, text_of(row["context"], window, span, scores[at])), scores[at])
        result.append(best.get(True, lowest) - best.get(False, lowest) if best else -np.inf)
    return result
