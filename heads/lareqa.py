"""LAReQA's files: SQuAD 1.1 as pairs of a question and its answer text, XQuAD-R as questions and candidate sentences.

The text of an answer is its sentence, followed without a space by its paragraph (XTREME-R's lareqa.py:45-54).
"""

import logging
import re
from pathlib import Path

from datasets import Dataset

from common.files import InputError
from heads import path_of, question_answering, read_json

logger = logging.getLogger("xtreme")

# --- Sentences of SQuAD, which has no breaks of its own. The rules are made for English, as XTREME-R's are.

BREAK = re.compile(  # behind a mark and closing quotes or notes in brackets, or behind [...]
    r"""[.?!](?:['"]?(?:\[[a-zA-Z0-9 ?]+\])+|[)'" ”]*)\s+(?=[\['"(“]?[A-Z0-9])|\[\.{3}\]\s+(?=\[?[A-Z])"""
)
TITLES = "Mrs? Ms Dr Prof Fr Rev Msgr Sta? Lt Gen Col Maj Adm Capt Sgt Rep Gov Sen Pres Mt Ft"
SHORT = r"e\.g i\.?e vs? pp? cf a\.k\.a approx app es[pt] tr Jan Aug Oct Nov Dec"
ABBREVIATION = re.compile(rf"\b(?:{'|'.join((TITLES + ' ' + SHORT).split())})\.$")
# what only a number, or only a name, may follow within a sentence
BEFORE_NUMBER = re.compile(
    r"\b(?:[Aa]rt|[Nn]o|Opp?|ch|Sec|cl|Rec|Ecl|Cor|Lk|Jn|Vol|[bdrc]|ca|fl|et al|H\.R|U\.S|Rs)\.$"
)
INITIAL = re.compile(r"\b[A-Z]\.$")
NUMBER, NAME = re.compile(r"\(?[0-9]|[IVX]+\b"), re.compile(r'"?[A-Z](?:[a-z]|\. ?[A-Z])')
# words that begin a sentence even after an initial
OPENING = re.compile(
    r"(?:The|This|That|These|It|In|On|By|During|After|Under|Although|Yet|As|Several|According to) |Meanwhile|However"
)


def sentence_breaks(text):
    """[(start, end)] of the sentences of an English text, without the white space around them.

    Rules after XTREME-R's sb_sed.py: a break is a mark, closing quotes, white space and a capital or digit, unless an
    abbreviation or an initial stands before it.
    """
    text, cuts = text.replace("\n", " "), [0]
    for match in BREAK.finditer(text):
        before, after = text[: match.start() + 1], text[match.end() :]
        if not _goes_on(before[-20:], after[:20]):
            cuts.append(match.end())
    cuts.append(len(text))
    spans = [(begin, text[begin:end]) for begin, end in zip(cuts, cuts[1:])]
    return [(begin + len(part) - len(part.lstrip()), begin + len(part.rstrip())) for begin, part in spans]


def _goes_on(before, after):
    """Whether a sentence goes on between `before`, which ends with a mark, and `after`."""
    if ABBREVIATION.search(before) or (BEFORE_NUMBER.search(before) and NUMBER.match(after)):
        return True
    return bool(INITIAL.search(before) and NAME.match(after) and not OPENING.match(after))


# --- Training: SQuAD


SPACE = re.compile(r"[ \t\r\n\u202f]")  # what parts words in XTREME-R's reader


def read_pairs(task, data_dir, split):
    """Rows {id, question, answer} of a SQuAD file: the sentence of the first answer, and its paragraph.

    Questions whose answer begins in no sentence, or cannot be put together from words again, are left out.
    """
    rows, breaks = [], {}
    squad = question_answering.read(task, data_dir, split, "en")
    if squad[0]["answers"] is None:
        return squad.select_columns(["id", "question"])
    for row in squad:
        context, paragraph = row["context"], row["paragraph"]
        if paragraph not in breaks:
            breaks[paragraph] = sentence_breaks(context)
        start, text = row["answers"]["answer_start"][0], row["answers"]["text"][0]
        sentence = _sentence_at(breaks[paragraph], start)
        if sentence is not None and _is_of_words(context, start, text):
            answer = answer_text(context, *breaks[paragraph][sentence])
            rows.append({"id": row["id"], "question": row["question"], "answer": answer})
    if len(rows) < len(squad):
        path = path_of(task, data_dir, split, "en")[0]
        logger.info("%s: %d of %d questions left out: no sentence", path, len(squad) - len(rows), len(squad))
    return Dataset.from_list(rows)


def answer_text(context, start, end):
    return (context[start:end] + context).replace("\n", "")


def _sentence_at(breaks, start):
    """The first sentence, by its index, that holds a character; None where none does or where it is empty."""
    return next((index for index, (begin, end) in enumerate(breaks) if begin <= start < end), None)


def _is_of_words(context, start, answer):
    """Whether the words of the context that an answer touches hold its own words, as XTREME-R's reader asks for."""
    first = max((match.end() for match in SPACE.finditer(context, 0, start)), default=0)
    end = SPACE.search(context, start + len(answer))
    touched = SPACE.split(context[first : end.start() if end else None])
    return " ".join(answer.split()) in " ".join(filter(None, touched))


# --- Evaluation: XQuAD-R


def read_language(task, folder, language):
    """(rows {id, question, paragraph}, {candidate id: text}, {question id: [candidate id]} or None) of one language.

    Candidates are all sentences of the paragraphs that have a question, named <lang>_<paragraph of the file, from
    1>_<sentence, from 0>. Those of a question are the sentences of its paragraph with the same text as the one in
    which its answer begins; a question whose answer begins in no sentence is left out with a warning. Without labels
    nothing is known of that: all questions and sentences stand, the third value is None.
    """
    rows = question_answering.read(task, folder, "test", language)
    (path,) = path_of(task, folder, "test", language)
    breaks, questions, candidates, targets = _breaks_of_file(path), [], {}, {}
    labeled = rows[0]["answers"] is not None
    for row in rows:
        context, spans = row["context"], breaks[row["paragraph"]]
        names = [f"{language}_{row['paragraph'] + 1}_{index}" for index in range(len(spans))]
        texts = [context[start:end] for start, end in spans]
        if labeled:
            sentence = _sentence_at(spans, _answer_start(path, row))
            if sentence is None:
                logger.warning("%s: question %s left out: its answer begins in no sentence", path, row["id"])
                continue
            targets[row["id"]] = [name for name, text in zip(names, texts) if text == texts[sentence]]
        candidates |= {name: answer_text(context, *span) for name, span in zip(names, spans)}
        questions.append({name: row[name] for name in ("id", "question", "paragraph")})
    if not questions:
        raise InputError(
            f"{path}: no question's answer lies in a sentence; check sentence_breaks, copy the file again"
        )
    return Dataset.from_list(questions), candidates, targets if labeled else None


def _breaks_of_file(path):
    """`sentence_breaks` of every paragraph: [[start, end), ...] in characters of its context."""
    breaks = []
    for paragraph in (paragraph for article in read_json(path)["data"] for paragraph in article["paragraphs"]):
        spans, length = paragraph.get("sentence_breaks"), len(paragraph["context"])
        form = isinstance(spans, list) and all(isinstance(span, list) and len(span) == 2 for span in spans)
        if not form or not all(type(place) is int for span in spans for place in span):
            raise InputError(
                f"{path}, paragraph {len(breaks) + 1}: no sentence_breaks of the form [[start, end], ...]; copy the "
                "file of XQuAD-R (google-research-datasets/lareqa), XQuAD's own has no sentences"
            )
        if wrong := [span for span in spans if not 0 <= span[0] <= span[1] <= length]:
            raise InputError(
                f"{path}, paragraph {len(breaks) + 1}: the sentence {wrong[0]} is not within its {length} characters; "
                "copy the file again"
            )
        breaks.append(spans)
    return breaks


def _answer_start(path, row):
    starts = row["answers"]["answer_start"]
    if len(starts) != 1:
        raise InputError(f"{path}: question {row['id']}: {len(starts)} answers; XQuAD-R has one, keep the first")
    return starts[0]


def read_questions(task, folder, language):
    """Rows {id, question, paragraph} of one language."""
    return read_language(task, folder, language)[0]


def read_candidates(task, folder, data_dir):
    """(ids, texts, {question id: [candidate id]} or None) of all languages that have a file, as XTREME-R takes them.

    A language that `folder` lacks comes from `data_dir`: a noised copy may have some alone.
    """
    template, texts, targets, unlabeled = Path(task.files["test"]), {}, {}, []
    of_root = [Path(root, template.parent) for root in (data_dir, folder)]
    files = {path.name: path for root in of_root for path in root.glob(template.name.format(lang="*"))}
    for name, path in sorted(files.items()):
        root = path.parents[len(template.parts) - 1]
        _, candidates, of_language = read_language(task, root, name.removesuffix(template.suffix))
        texts |= candidates
        unlabeled += [path] if of_language is None else []
        for question, ids in (of_language or {}).items():
            targets.setdefault(question, []).extend(ids)
    if unlabeled and targets:
        raise InputError(f"{unlabeled[0]}: has no labels, unlike other languages; give all of them labels, or none")
    return list(texts), list(texts.values()), targets or None
