"""How each file format is read, which texts of it are noised, and how it is written back.

A file is read as chunks of text (a line, a tagged sentence, an example in JSON, a paragraph of SQuAD). Each comes back
with its noised texts in place and every other character as it was: column order, JSON spelling, line ends, byte order
marks. `put` is the function that noises one text: put(id, field, text, spans, protect, language) -> (text, spans);
spans are [(start, end)] in characters. `file` is a noised_file.NoisedFile.
"""

import re
from codecs import getincrementaldecoder
from typing import NamedTuple

from noise.files import NoiseError
from noise.json_spans import parse, replaced, with_clean_answers
from noise.layouts import LAYOUTS

# ---------------------------------------------------------------------------------------------------------------------
# Reading: a file as chunks of text, which put together are the file


def decode(raw, path, number):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoiseError(
            f"{path}, line {number}: byte 0x{raw[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from None


def line_chunks(file, path, stop=None):
    """Lines with their ends. Only \\n ends a line: texts may hold U+2028 and its like."""
    position = file.tell()
    for number, raw in enumerate(file, start=1):
        yield decode(raw, path, number)
        position += len(raw)
        if stop is not None and position >= stop:
            return


def sentence_chunks(file, path, stop=None):
    """Tagged sentences, each with the blank lines after it."""
    lines, blank = [], False
    for line in line_chunks(file, path, stop):
        if blank and line.strip(" \t\r\n"):
            yield "".join(lines)
            lines, blank = [], False
        lines.append(line)
        blank = not line.strip(" \t\r\n")
    yield "".join(lines)


STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*("?)|[{}\[\]]', re.S)
PARAGRAPH_DEPTH = 4  # brackets around a paragraph of {"data": [{"paragraphs": [{...}]}]}


def paragraph_chunks(file, path, stop=None):
    """SQuAD JSON as what lies between the paragraphs and the paragraphs themselves, one at a time.

    So memory holds one block of the file and one paragraph, however large the file is.
    """
    text, depth, begin, position, ended = "", 0, 0, 0, False
    decoder = getincrementaldecoder("utf-8")()
    while not ended:
        block = file.read(1 << 20)
        ended = not block
        try:
            text, begin, position = text[begin:] + decoder.decode(block, ended), 0, position - begin
        except UnicodeDecodeError as error:
            raise NoiseError(
                f"{path}: byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file to UTF-8"
            ) from None
        while token := STRING_OR_BRACKET.search(text, position):
            sign = token[0][0]
            if sign == '"' and not token[1]:
                break  # the string goes on in the next block
            opens = sign in "{["
            if opens and depth == PARAGRAPH_DEPTH and sign == "{":
                yield text[begin : token.start()]
                begin = token.start()
            depth += opens - (sign in "}]")
            position = token.end()
            if not opens and sign == "}" and depth == PARAGRAPH_DEPTH:
                yield text[begin:position]
                begin = position
        else:
            position = len(text)
    if depth or position < len(text):
        where = "a string" if position < len(text) else "an object or list"
        raise NoiseError(f"{path}: not valid JSON: it ends within {where}; is the file truncated?")
    yield text[begin:]


def chunks_of(file):
    """The function that reads this file in chunks."""
    if LAYOUTS[file.task].format == "tagging":
        return sentence_chunks
    return paragraph_chunks if file.path.endswith(".json") else line_chunks


# ---------------------------------------------------------------------------------------------------------------------
# Noising a chunk: lines and tagged sentences. `number` is the chunk's, from 0


def without_end(line):
    """The line without its line end, which may be of Windows."""
    return line.removesuffix("\n").removesuffix("\r")


def split_mark(text):
    """(byte order mark or "", the rest)."""
    return ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)


def noise_pair(text, number, file, put):
    """A line of two sentences and a label."""
    body = without_end(text)
    if not body:
        return text
    mark, pair = split_mark(body)
    columns = pair.split("\t")
    if len(columns) not in (2, 3):
        raise NoiseError(
            f"{file.path}, line {number + 1}: {len(columns)} tab-separated columns instead of 3: sentence1, "
            "sentence2, label"
        )
    for role, column in LAYOUTS[file.task].fields.items():
        if role in file.roles:
            columns[column] = put(str(number), role, columns[column])[0]
    return mark + "\t".join(columns) + text[len(body) :]


def noise_sentence(text, number, file, put):
    """A line of retrieval: a sentence, in BUCC after its id."""
    body = without_end(text)
    name, tab = "", ""
    mark, sentence = split_mark(body)
    if LAYOUTS[file.task].id is not None and sentence:
        name, tab, sentence = sentence.partition("\t")
        if not tab or "\t" in sentence:
            raise NoiseError(f"{file.path}, line {number + 1}: not 2 tab-separated columns: id, sentence")
    noised = put(name or str(number), file.side or "queries", sentence)[0]
    return mark + name + tab + noised + text[len(body) :]


CONLL = re.compile(r" .*?(?<= )(?:O|[BIES]-\S+) *$")  # behind the word where blanks part columns: ` B-LOC`


def noise_tagging(text, number, file, put):
    """A tagged sentence. Its words are noised as one text, a line each: no operation touches a line break, so that one
    word comes out for every word that goes in.
    """
    mark, body = split_mark(text)
    lines = re.findall(r"[^\n]*\n|[^\n]+", body)
    words = [line.rstrip("\r\n").split("\t")[0] for line in lines]
    tagged = [i for i, line in enumerate(lines) if line.strip(" \t\r\n\ufeff")]
    if not tagged:
        return text
    for i in tagged:
        if lines[i].count("\t") > 1:
            raise NoiseError(
                f"{file.path}, sentence {number + 1}: {lines[i].count(chr(9)) + 1} tab-separated columns instead of "
                "2: word, tag"
            )
    if all("\t" not in lines[i] and CONLL.search(words[i]) for i in tagged):
        words = [CONLL.sub("", word) for word in words]
    noised = put(str(number), "tokens", "\n".join(words[i] for i in tagged))[0].split("\n")
    for i, word in zip(tagged, noised, strict=True):
        lines[i] = word + lines[i][len(words[i]) :]
    return mark + "".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# Examples in JSON lines


def json_body(line):
    return without_end(line).strip("\ufeff \t")


def noise_row(text, number, file, put):
    """An example in JSON: its columns of text, lists of texts, and CommonsenseQA's {"text": [...]}."""
    body, where = json_body(text), f"{file.path}, line {number + 1}"
    if not body:
        return text
    row, layout, values = parse(body, where), LAYOUTS[file.task], {}
    name = str(row.get(layout.id, number))
    columns = [column for role, columns in layout.fields.items() if role in file.roles for column in columns]
    for column in columns:
        if column not in row:
            raise NoiseError(f"{where}: no column {column!r}; this task's rows have {', '.join(columns)}")
        texts = texts_of(row[column], column, where)
        if column == "tokens":
            if not texts or any("\n" in word or not word for word in texts.values()):
                raise NoiseError(f"{where}: no tokens, an empty token or one with a line break; correct it")
            values |= zip(texts, put(name, column, "\n".join(texts.values()))[0].split("\n"), strict=True)
        else:
            values |= {path: put(name, ".".join(map(str, path)), item)[0] for path, item in texts.items()}
    if row.get("ctx") == f"{row.get('ctx_a')} {row.get('ctx_b')}":  # HellaSwag's ctx is the two in one
        values[("ctx",)] = " ".join(values.get((name,), row[name]) for name in ("ctx_a", "ctx_b"))
    return text.replace(body, replaced(body, values), 1)


def texts_of(value, column, where):
    """{path in the example: text} of a column."""
    path = (column,)
    if isinstance(value, dict):
        path, value = (column, "text"), value.get("text")
    if isinstance(value, str):
        return {path: value}
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise NoiseError(f"{where}: {column} {str(value)[:40]!r} is not a text; write it as a JSON string")
    return {(*path, i): item for i, item in enumerate(value)}


def noise_mention(text, number, file, put):
    """Mewsli-X: the context of an entity mention; the mention itself is kept."""
    body, where = json_body(text), f"{file.path}, line {number + 1}"
    if not body:
        return text
    row = parse(body, where)
    try:
        context = row["context"]
        mentions = (
            {("mention",): row["mention"]} if "mention" in row else dict(enumerated(row["mentions"], "mentions"))
        )
        kept = {(*path, "mention_span"): mention["mention_span"] for path, mention in mentions.items()}
        sentences = dict(enumerated(context.get("sentence_spans", []), "context", "sentence_spans"))
        spans = [(span["start"], span["end"]) for span in (*kept.values(), *sentences.values())]
        within = [0 <= start <= end <= len(context["text"]) for start, end in spans]
        name = str(list(mentions.values())[0]["example_id"])
    except (KeyError, TypeError, IndexError) as error:
        raise NoiseError(
            f"{where}: not a row of Mewsli-X ({error}); it has context.text and mention.mention_span"
        ) from None
    if not all(within):
        raise NoiseError(f"{where}: a span is not within the text of {len(context['text'])} characters; correct it")
    language = context.get("language", file.language)
    noised, moved = put(name, "context", context["text"], spans, spans[: len(kept)], language)
    values = {("context", "text"): noised}
    for path, (start, end) in zip((*kept, *sentences), moved):
        values |= {(*path, "start"): start, (*path, "end"): end}
    return text.replace(body, replaced(body, values), 1)


def enumerated(items, *path):
    """(path, item) of every item of a list in JSON."""
    return (((*path, i), item) for i, item in enumerate(items))


# ---------------------------------------------------------------------------------------------------------------------
# Question answering: every answer stays the slice of its context


class Paragraph(NamedTuple):
    """A context with its questions; paths say where in the JSON text a value stands."""

    body: str  # the JSON text
    name: str  # of its draw: the smallest id of its questions, so that their order does not matter
    context: str
    questions: dict  # path -> question
    answers: list  # [({"text", "answer_start"}, path of its text, path of its start)]
    spans: list  # [(start, end)] of the answers
    sentences: list  # [(start, end)] of LAReQA's candidates


def noise_squad(text, number, file, put):
    """A paragraph with its questions, or an example of the Hub's flat columns."""
    flat = file.path.endswith(".jsonl")
    body = json_body(text) if flat else text
    if not body or (not flat and number % 2 == 0):  # between two paragraphs
        return text
    paragraph = read_paragraph(body, flat, number, file.path)
    if file.qa == "question":
        values = {
            (*path, "question"): put(str(question["id"]), "question", question["question"])[0]
            for path, question in paragraph.questions.items()
        }
        return text.replace(body, replaced(body, values), 1)
    return text.replace(body, noise_context(paragraph, file, put), 1)


def noise_context(paragraph, file, put):
    """The paragraph's JSON text with a noised context, and the answers and sentences that moved with it."""
    protect = paragraph.spans if file.qa == "context-protect" else []
    spans = [*paragraph.spans, *paragraph.sentences]
    noised, moved = put(paragraph.name, "context", paragraph.context, spans, protect, file.context)
    values = {("context",): noised}
    for (answer, text_path, start_path), (start, end) in zip(paragraph.answers, moved):
        if answer["text"]:
            values |= {text_path: noised[start:end], start_path: start}
    for i, (start, end) in enumerate(moved[len(paragraph.spans) :]):
        breaks = ("sentence_breaks", i)
        values |= {(*breaks, 0): start, (*breaks, 1): end, ("sentences", i): noised[start:end]}
    body = replaced(paragraph.body, values)
    if file.qa == "context-all":
        body = with_clean_answers(body, paragraph.body, [(*path, "answers") for path in paragraph.questions])
    return body


def read_paragraph(body, flat, number, path):
    """The Paragraph of a JSON text. Raises NoiseError where it is not SQuAD's or an answer is not in its context."""
    where = f"{path}, line {number + 1}" if flat else f"{path}, paragraph {number // 2 + 1}"
    value = parse(body, where)
    questions = {(): value} if flat else dict(enumerated(list_of(value, "qas", where), "qas"))
    context, answers = text_of(value, "context", where), []
    for place, question in questions.items():
        where_question = f"{path}: question {text_of(question, 'id', where, any_type=True)}"
        text_of(question, "question", where_question)
        for column in ("answers", "plausible_answers"):
            if column in question or column == "answers":
                answers += answers_of(question, column, place, flat, where_question)
    spans = [span_of(answer, context, where) for answer, _, _ in answers]
    sentences = [tuple(pair) for pair in value.get("sentence_breaks", [])]
    name = min((str(question["id"]) for question in questions.values()), default=str(number))
    return Paragraph(body, name, context, questions, answers, spans, sentences)


def answers_of(question, column, path, flat, where):
    """[(answer, path of its text, path of its start)] of nested answers or of the Hub's two lists."""
    if not flat:
        return [
            (answer, (*answer_path, "text"), (*answer_path, "answer_start"))
            for answer_path, answer in enumerated(list_of(question, column, where), *path, column)
        ]
    answers = question.get(column)
    try:
        pairs = list(zip(answers["text"], answers["answer_start"], strict=True))
    except (KeyError, TypeError, ValueError):
        raise NoiseError(
            f'{where}: answers must be {{"text": [...], "answer_start": [...]}} of equal length'
        ) from None
    return [
        ({"text": text, "answer_start": start}, (column, "text", i), (column, "answer_start", i))
        for i, (text, start) in enumerate(pairs)
    ]


def span_of(answer, context, where):
    """(start, end) of {"text", "answer_start"}, checked against its context."""
    try:
        start, text = answer["answer_start"], answer["text"]
        inside = type(start) is int and start >= 0
        there = context[start : start + len(text)] if inside else "nothing"
    except (KeyError, TypeError):
        raise NoiseError(
            f'{where}: an answer is not {{"text": ..., "answer_start": ...}}; write the file as SQuAD does'
        ) from None
    if not inside or there != text:
        raise NoiseError(
            f"{where}: answer {str(text)[:60]!r} does not match its context, which has {there[:60]!r} at answer_start "
            f"{start!r}; correct it"
        )
    return start, start + len(text)


def text_of(value, column, where, any_type=False):
    if not isinstance(value, dict) or column not in value:
        raise NoiseError(f"{where}: no {column!r}; write the file as SQuAD does")
    if not any_type and not isinstance(value[column], str):
        raise NoiseError(f"{where}: {column} {str(value[column])[:40]!r} is not a text; write it as a JSON string")
    return value[column]


def list_of(value, column, where):
    if not isinstance(value.get(column), list):
        raise NoiseError(f"{where}: no list {column!r}; write the file as SQuAD does")
    return value[column]


FORMATS = {
    "pair": noise_pair,
    "sentence": noise_sentence,
    "tagging": noise_tagging,
    "row": noise_row,
    "mention": noise_mention,
    "squad": noise_squad,
}
