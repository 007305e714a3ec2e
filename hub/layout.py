"""Rows of the Hub -> the text of a file of XTREME's layout: a function per form of file, with the repairs on the way.

    text, tally = convert(sources, file)

`sources` are a repository's files, `file` is what download_data.py writes from them (its class File). A function
yields pieces of text and counts rows and repairs in `tally`.
"""

import json
import re
from collections import Counter
from itertools import chain, groupby

from common.files import InputError
from common.text import has_text
from hub.parallel import column_of
from hub.repositories import columns_of, label_names, read_column, read_list, read_rows
from tasks import LANGUAGES

# XTREME's rule (its conllu_to_conll.py) among the words of a multi-word token that are equally near the root: it has
# the first of these tags that one of them has.
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


def label_of(value, names, file):
    """A label's name. A number is a place in the repository's own list of names, which need not be in our order."""
    name = names[value] if type(value) is int and 0 <= value < len(names) else str(value)
    if name not in file.task.labels:
        raise InputError(
            f"{file.path}: unknown label {value!r} in the source; the task's labels are {', '.join(file.task.labels)}"
        )
    return name


def labeled(row_has, tally, file):
    """`row_has`, checked: a file has labels as its first row has; only test files may lack them, then on every row."""
    if tally.setdefault("labels", bool(row_has)) != bool(row_has) or not (row_has or file.split == "test"):
        raise InputError(
            f"{file.path}: row {tally['rows']} of the source has {'a' if row_has else 'no'} label; all rows must, or "
            "none of a test set"
        )
    return row_has


# --- Sentence pairs: XNLI, PAWS-X


def pairs(sources, file, tally):
    """sentence1<TAB>sentence2<TAB>label name."""
    names = label_names(sources, "label") or file.task.labels
    for row in read_rows(sources):
        tally["rows"] += 1
        columns = [one_line(first_of(row, "premise", "sentence1")), one_line(first_of(row, "hypothesis", "sentence2"))]
        if labeled(row.get("label") not in NO_LABEL, tally, file):
            columns.append(label_of(row["label"], names, file))
        yield "\t".join(columns) + "\n"


# --- Tagged words: UD-POS, PAN-X


def words(sources, file, tally):
    """word<TAB>tag lines, a blank line after each sentence."""
    names, treebank = file.task.labels, sources[0].suffix == ".conllu"
    for tokens, tags in read_conllu(sources, file.language) if treebank else tagged_rows(sources, file):
        tally["rows"] += 1
        if tags:  # google/xtreme's UD-POS has multi-word tokens beside their words, tagged `_`
            pairs = [(token, tag) for token, tag in zip(tokens, tags, strict=True) if tag != "_" or token == "_"]
            tokens, tags = [token for token, _ in pairs], [tag for _, tag in pairs]
        if file.task.name == "udpos":
            tokens = [without_blanks(token) for token in tokens]
        if without_text(tokens):
            tally["dropped: without text"] += 1
        elif labeled(tags is not None, tally, file):
            tagged = [(token, label_of(tag, names, file)) for token, tag in zip(tokens, tags) if tag != "_"]
            yield "".join(f"{one_line(token)}\t{tag}\n" for token, tag in tagged) + "\n"
        else:
            yield "".join(f"{one_line(token)}\n" for token in tokens) + "\n"


def without_blanks(word):
    """A word of UD-POS as XTREME writes it: without spaces (19 % of Vietnamese words) and U+200C (Persian)."""
    return word.replace("\u200c", "").replace(" ", "")


def without_text(tokens):
    """XTREME's rule for text that may not be shared: all words, or all but one, are `_`."""
    hidden = tokens.count("_")
    return hidden > 0 and hidden >= len(tokens) - 1


def tagged_rows(sources, file):
    """(words, tag names or None). PAN-X words may carry their language: en:Berlin."""
    column = next((name for name in ("ner_tags", "pos_tags", "upos", "tags") if name in columns_of(sources)), None)
    names, prefix = label_names(sources, column) or file.task.labels, f"{file.language}:"
    for row in read_rows(sources):
        tokens, tags = row["tokens"], row.get(column)
        if tokens and all(token.startswith(prefix) for token in tokens):  # on all of them: a single "en:x" is text
            tokens = [token.removeprefix(prefix) for token in tokens]
        yield tokens, [tag if tag == "_" else label_of(tag, names, file) for tag in tags] if tags else None


# --- Treebanks: CoNLL-U as XTREME's conllu_to_conll.py fuses it


def read_conllu(sources, language):
    """(words, tags) of a treebank's sentences, its multi-word tokens fused; empty nodes (8.1) are no words."""
    order = PRECEDENCE_OF.get(language, PRECEDENCE)
    for source in sources:
        rows = []
        with open(source, encoding="utf-8") as stream:
            for number, text in enumerate(chain(stream, ["\n"]), start=1):
                columns = text.rstrip("\n").split("\t")
                if not text.strip():
                    if rows:
                        yield fused(rows, order)
                    rows = []
                elif not text.startswith("#"):
                    if len(columns) != 10:
                        problem = f"{len(columns)} tab-separated columns instead of CoNLL-U's 10"
                        raise InputError(f"{source}, line {number}: {problem}; take the treebank's own file")
                    rows.append(columns)


def fused(rows, order):
    """(words, tags) of one sentence's CoNLL-U rows: a multi-word token as it is spelled, with one word's tag.

    That of the word nearest the root; only among words that are equally near does `order` decide.
    """
    nodes = {row[0]: row for row in rows if row[0].isdecimal()}
    tokens, tags, end = [], [], 0
    for row in rows:
        first, _, last = row[0].partition("-")
        if last:  # 8-9: a multi-word token
            inside = [str(number) for number in range(int(first), int(last) + 1)]
            depths = [depth(number, nodes) for number in inside]
            nearest = [nodes[number][3] for number, far in zip(inside, depths) if far == min(depths)]
            tokens.append(row[1])
            tags.append(min(nearest, key=lambda tag: order.index(tag) if tag in order else len(order)))
            end = int(last)
        elif first.isdecimal() and int(first) > end:
            tokens.append(row[1])
            tags.append(row[3])
    return tokens, tags


def depth(number, nodes):
    """The number of words above a word of a sentence; a circle, which no tree has, is walked once."""
    above = set()
    while (number := nodes[number][6] if number in nodes else None) in nodes and number not in above:
        above.add(number)
    return len(above)


# --- Questions: XQuAD, MLQA, TyDiQA, SQuAD


def squad(sources, file, tally):
    """SQuAD JSON, an article per title, a paragraph per context. Of TyDiQA one language, which its ids begin with."""
    prefix = f"{LANGUAGES[file.language].name.lower()}-" if file.task.name == "tydiqa" else ""
    rows = (row for row in read_rows(sources) if row["id"].startswith(prefix))
    yield '{"version": "1.1", "data": ['
    comma = ""
    for title, article in groupby(rows, lambda row: row.get("title") or ""):
        for context, questions in groupby(article, lambda row: row["context"]):
            qas = [qa for row in questions if (qa := question(row, file, tally))]
            if qas:
                paragraph = json.dumps({"context": context, "qas": qas}, ensure_ascii=False)
                yield f'{comma}\n{{"title": {json.dumps(title, ensure_ascii=False)}, "paragraphs": [{paragraph}]}}'
                comma = ","
    yield "\n]}\n"


def question(row, file, tally):
    """One entry of `qas`; None for a training question whose answer is not in its context."""
    tally["rows"] += 1
    answers = row["answers"]
    given = [(text, start) for text, start in zip(answers["text"], answers["answer_start"], strict=True) if text]
    places = [(text, position(row["context"], text, start, tally)) for text, start in given]
    answers = [{"text": text, "answer_start": start} for text, start in places if start is not None]
    if len(answers) < len(given):
        tally["dropped: answers not in their context"] += len(given) - len(answers)
        if not answers and file.split != "train":
            raise InputError(
                f"{file.path}: question {row['id']}: answer {given[0][0]!r} is not in its context; download it again"
            )
        if not answers:
            return None
    if not labeled(answers or tally.get("labels"), tally, file):  # in a file with answers, [] means unanswerable
        answers = [{"text": "", "answer_start": 0}]  # XTREME's form of a withheld answer
    return {"id": row["id"], "question": row["question"], "answers": answers}


def position(context, text, start, tally):
    """Where an answer begins: at `start`, or nearest to it (offsets may count bytes); None if nowhere."""
    if context[start : start + len(text)] == text:
        return start
    places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
    tally["repaired: answer_start"] += bool(places)
    return min(places, key=lambda place: abs(place - start), default=None)


# --- JSON lines: XCOPA, and every intermediate task


def choices(sources, file, tally):
    """XCOPA's rows; a withheld label (English COPA's test) is left out."""
    for row in read_rows(sources):
        tally["rows"] += 1
        if not labeled(row["label"] not in NO_LABEL, tally, file):
            row.pop("label")
        yield line(row)


def plain(sources, file, tally):
    """The Hub's columns as they are. SNLI's label -1 (the annotators did not agree) is no example."""
    for row in read_rows(sources):
        tally["rows"] += 1
        if row.get("label") == -1:
            tally["dropped: label -1"] += 1
        else:
            yield line(row)


# --- Retrieval


def sentences(sources, file, tally):
    """Tatoeba: a sentence per line; line i of both sides are translations, so no line may be lost."""
    names = ("sentence2", "target_sentence") if file.split.endswith("english") else ("sentence1", "source_sentence")
    for row in read_rows(sources):
        tally["rows"] += 1
        yield one_line(first_of(row, *names)) + "\n"


def bucc(sources, file, tally):
    """BUCC with distractors: `id<TAB>sentence`, or of the gold pairs `source id<TAB>English id`; ids count from 1."""
    columns = columns_of(sources)
    if not (columns.get("gold") and columns.get("sentence1") and columns.get("sentence2")):
        raise InputError(
            f"{sources[0]}: only gold pairs, no lists sentence1, sentence2 and gold; mining needs the whole corpus, "
            "use mteb/BUCC"
        )
    if file.split == "test_gold":
        # mteb/BUCC counts from 1; another copy may count from 0
        shift = min((min(pair) for pair in read_list(sources, "gold")), default=1) == 0
        for source, english in read_list(sources, "gold"):
            tally["rows"] += 1
            yield f"{sentence_id(file.language, source + shift)}\t{sentence_id('en', english + shift)}\n"
    else:
        column, language = ("sentence2", "en") if file.split == "test_english" else ("sentence1", file.language)
        for number, sentence in enumerate(read_list(sources, column), start=1):
            tally["rows"] += 1
            yield f"{sentence_id(language, number)}\t{one_line(sentence)}\n"


def column(sources, file, tally):
    """A line per sentence of one language's column; line i is the same sentence in every language."""
    for sentence in read_column(sources, column_of(file.language, columns_of(sources))):
        tally["rows"] += 1
        yield one_line(sentence) + "\n"


def translations(sources, file, tally):
    """One side of a pair of languages; a pair with an empty side, which teaches nothing, is in neither file."""
    side = "en" if file.split.endswith("english") else file.language
    for row in read_rows(sources):
        tally["rows"] += 1
        pair = {code: one_line(row["translation"][code]) for code in (file.language, "en")}
        if all(map(has_text, pair.values())):
            yield pair[side] + "\n"
        else:
            tally["dropped: an empty side"] += 1


def sentence_id(language, number):
    return f"{language}-{number:09d}"


CONVERTERS = {  # kind of task, or the task itself where its files are its own
    "classification": pairs,
    "tagging": words,
    "question_answering": squad,
    "multiple_choice": choices,
    "tatoeba": sentences,
    "bucc2018": bucc,
    "columns": column,
    "translation": translations,
}


def convert(sources, file):
    """(pieces of text, tally): the tally is complete when the text is used up."""
    tally = Counter(rows=0)
    converter = plain if file.intermediate else CONVERTERS.get(file.task.name) or CONVERTERS[file.task.kind]
    return converter(sources, file, tally), tally
