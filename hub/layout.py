"""Rows of the Hub -> the text of a file of XTREME's layout: one function per kind of file, with what has to be
repaired on the way.

    text = CONVERTERS["tagging"](files, job, tally)        yields pieces of text; counts rows and repairs in `tally`

Copy with download_data.py.
"""

import json
import re
from collections import Counter
from itertools import chain, groupby

from common.files import InputError
from hub.repositories import columns_of, label_names, read_list, read_rows
from tasks import LANGUAGES

# XTREME's rule (its conllu_to_conll.py): a multi-word token has the first of these tags that one of its words has.
PRECEDENCE = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT".split()
PRECEDENCE_OF = {
    "es": "VERB AUX PRON ADP DET".split(),
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ".split(),
    "it": "VERB AUX ADV PRON ADP DET INTJ".split(),
}
NO_LABEL = (-1, None, "", "-1")


def one_line(text):
    """Text without the characters that end a column or a line."""
    return re.sub(r"[\t\r\n]+", " ", text.strip("\t\r\n"))


def first_of(row, *names):
    """The value of the first of these columns that a row has: two repositories of a task may name them differently."""
    for name in names:
        if name in row:
            return row[name]
    raise KeyError(" or ".join(names))


def line(row):
    return json.dumps(row, ensure_ascii=False) + "\n"


def label_of(value, names, job):
    """A label's name. A number is a place in the repository's own list of names, which need not be in our order."""
    name = names[value] if type(value) is int and 0 <= value < len(names) else str(value)
    if name not in job.labels:
        raise InputError(
            f"{job.path}: unknown label {value!r} in the source; the task's labels are {', '.join(job.labels)}"
        )
    return name


def labeled(row_has, tally, job):
    """Whether the file has labels: its first row says so; only test files may lack them, and then on every row."""
    if tally.setdefault("labels", bool(row_has)) != bool(row_has) or not (row_has or job.split == "test"):
        raise InputError(
            f"{job.path}: row {tally['rows']} of the source has {'a' if row_has else 'no'} label; all rows must, or "
            "none of a test set"
        )
    return row_has


# ---------------------------------------------------------------------------------------------------------------------
# Sentence pairs: XNLI, PAWS-X


def pairs(files, job, tally):
    """sentence1<TAB>sentence2<TAB>label name."""
    names = label_names(files, "label") or job.labels
    for row in read_rows(files):
        tally["rows"] += 1
        columns = [one_line(first_of(row, "premise", "sentence1")), one_line(first_of(row, "hypothesis", "sentence2"))]
        if labeled(row.get("label") not in NO_LABEL, tally, job):
            columns.append(label_of(row["label"], names, job))
        yield "\t".join(columns) + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# Tagged words: UD-POS, PAN-X


def words(files, job, tally):
    """word<TAB>tag lines, a blank line after each sentence."""
    sentences = read_conllu(files, job.language) if files[0].suffix == ".conllu" else tagged_rows(files, job)
    for tokens, tags in sentences:
        tally["rows"] += 1
        if (
            tags is not None and tags.count("_") and tags.count("_") >= len(tags) - 1
        ):  # XTREME's rule: text that may not be shared
            tally["dropped: without text"] += 1
            continue
        if labeled(tags is not None, tally, job):
            yield (
                "".join(
                    f"{one_line(token)}\t{label_of(tag, job.labels, job)}\n"
                    for token, tag in zip(tokens, tags)
                    if tag != "_"
                )
                + "\n"
            )
        else:
            yield "".join(f"{one_line(token)}\n" for token in tokens) + "\n"


def tagged_rows(files, job):
    """(words, tag names or None). PAN-X words may carry their language: en:Berlin."""
    column = next((name for name in ("ner_tags", "pos_tags", "upos", "tags") if name in columns_of(files)), None)
    names, prefix = label_names(files, column) or job.labels, f"{job.language}:"
    for row in read_rows(files):
        tokens, tags = row["tokens"], row.get(column)
        if tokens and all(token.startswith(prefix) for token in tokens):  # on all of them: a single "en:x" is text
            tokens = [token.removeprefix(prefix) for token in tokens]
        yield tokens, [tag if tag == "_" else label_of(tag, names, job) for tag in tags] if tags else None


def read_conllu(files, language):
    """(words, tags) of a treebank's sentences, its multi-word tokens fused; empty nodes (8.1) are no words."""
    order = PRECEDENCE_OF.get(language, PRECEDENCE)
    for file in files:
        tokens, tags, fused, end = [], [], [], 0
        with open(file, encoding="utf-8") as stream:
            for text in chain(stream, ["\n"]):
                columns = text.rstrip("\n").split("\t")
                if not text.strip():
                    if tokens:
                        yield tokens, tags
                    tokens, tags, fused, end = [], [], [], 0
                elif text.startswith("#") or "." in columns[0]:
                    continue
                elif "-" in columns[0]:
                    end, fused = int(columns[0].split("-")[1]), []
                    tokens.append(columns[1])
                elif int(columns[0]) > end:
                    tokens.append(columns[1])
                    tags.append(columns[3])
                else:  # a word inside the multi-word token that ends at `end`
                    fused.append(columns[3])
                    if int(columns[0]) == end:
                        tags.append(next((tag for tag in order if tag in fused), fused[0]))


# ---------------------------------------------------------------------------------------------------------------------
# Questions: XQuAD, MLQA, TyDiQA, SQuAD


def squad(files, job, tally):
    """SQuAD JSON, an article per title and a paragraph per context. TyDiQA's rows of other languages are left out: its
    ids begin with theirs.
    """
    rows = (
        row
        for row in read_rows(files)
        if job.task != "tydiqa" or row["id"].startswith(f"{LANGUAGES[job.language].name.lower()}-")
    )
    yield '{"version": "1.1", "data": ['
    comma = ""
    for title, article in groupby(rows, lambda row: row.get("title") or ""):
        for context, questions in groupby(article, lambda row: row["context"]):
            qas = [qa for row in questions if (qa := question(row, job, tally))]
            if qas:
                paragraph = json.dumps({"context": context, "qas": qas}, ensure_ascii=False)
                yield f'{comma}\n{{"title": {json.dumps(title, ensure_ascii=False)}, "paragraphs": [{paragraph}]}}'
                comma = ","
    yield "\n]}\n"


def question(row, job, tally):
    """One entry of `qas`; None for a training question whose answer is not in its context."""
    tally["rows"] += 1
    given = [(text, start) for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"]) if text]
    places = [(text, position(row["context"], text, start, tally)) for text, start in given]
    answers = [{"text": text, "answer_start": start} for text, start in places if start is not None]
    if len(answers) < len(given):
        tally["dropped: answers not in their context"] += len(given) - len(answers)
        if not answers and job.split != "train":
            raise InputError(
                f"{job.path}: question {row['id']}: answer {given[0][0]!r} is not in its context; download it again"
            )
        if not answers:
            return None
    if not labeled(answers or tally.get("labels"), tally, job):  # in a file with answers, [] means unanswerable
        answers = [{"text": "", "answer_start": 0}]  # XTREME's form of a withheld answer
    return {"id": row["id"], "question": row["question"], "answers": answers}


def position(context, text, start, tally):
    """Where an answer begins: at `start`, or where it stands nearest to it (offsets may count bytes); None if nowhere."""
    if context[start : start + len(text)] == text:
        return start
    places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
    tally["repaired: answer_start"] += bool(places)
    return min(places, key=lambda place: abs(place - start), default=None)


# ---------------------------------------------------------------------------------------------------------------------
# JSON lines: XCOPA, and every intermediate task


def choices(files, job, tally):
    """XCOPA's rows; a withheld label (English COPA's test) is left out."""
    for row in read_rows(files):
        tally["rows"] += 1
        if not labeled(row["label"] not in NO_LABEL, tally, job):
            row.pop("label")
        yield line(row)


def plain(files, job, tally):
    """The Hub's columns as they are. SNLI's label -1 (the annotators did not agree) is no example."""
    for row in read_rows(files):
        tally["rows"] += 1
        if row.get("label") == -1:
            tally["dropped: label -1"] += 1
        else:
            yield line(row)


# ---------------------------------------------------------------------------------------------------------------------
# Retrieval


def sentences(files, job, tally):
    """Tatoeba: a sentence per line; line i of both sides are translations, so no line may be lost."""
    names = ("sentence2", "target_sentence") if job.split.endswith("english") else ("sentence1", "source_sentence")
    for row in read_rows(files):
        tally["rows"] += 1
        yield one_line(first_of(row, *names)) + "\n"


def bucc(files, job, tally):
    """BUCC with its distractors: `id<TAB>sentence`, or the gold file's `source id<TAB>English id`; ids count the
    sentences from 1.
    """
    columns = columns_of(files)
    if not (columns.get("gold") and columns.get("sentence1") and columns.get("sentence2")):
        raise InputError(
            f"{files[0]}: only gold pairs, no lists sentence1, sentence2 and gold; mining needs the whole corpus, "
            "use mteb/BUCC"
        )
    if job.split == "test_gold":
        base = min(
            (min(pair) for pair in read_list(files, "gold")), default=1
        )  # mteb/BUCC counts from 1; another copy may count from 0
        for source, english in read_list(files, "gold"):
            tally["rows"] += 1
            yield f"{sentence_id(job.language, source + (base == 0))}\t{sentence_id('en', english + (base == 0))}\n"
    else:
        column, language = ("sentence2", "en") if job.split == "test_english" else ("sentence1", job.language)
        for number, sentence in enumerate(read_list(files, column), start=1):
            tally["rows"] += 1
            yield f"{sentence_id(language, number)}\t{one_line(sentence)}\n"


def sentence_id(language, number):
    return f"{language}-{number:09d}"


CONVERTERS = {
    "classification": pairs, "tagging": words, "question_answering": squad, "multiple_choice": choices, "tatoeba": sentences, "bucc2018": bucc,
}  # fmt: skip


def convert(files, job):
    """(pieces of text, tally): the tally is complete when the text is used up."""
    tally = Counter(rows=0)
    converter = plain if job.intermediate else CONVERTERS.get(job.task) or CONVERTERS[job.head]
    return converter(files, job, tally), tally
