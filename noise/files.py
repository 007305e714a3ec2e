"""The files of XTREME's layout and what noise may touch in them, so that labels hold by construction.

A file is read as chunks of text (a line, a tagged sentence, a row, a paragraph of SQuAD JSON); each chunk comes back
with its noised fields replaced in place and every other character as it was: column order, JSON spelling, line ends
and byte order marks. `put` is the function that noises one field: put(id, field, text, spans, protect, language) ->
(text, spans); spans are [(start, end)].
"""

import re
from codecs import getincrementaldecoder
from typing import NamedTuple

from noise.json_spans import parse, replaced, with_clean_answers
from noise.noiser import NoiseError

CODE = r"[a-z]{2,3}(?:-[A-Za-z]+)?"
SPLIT = r"(?P<split>train|dev|val|validation|test)"


class Task(NamedTuple):
    """`patterns` match the task's files below the data folder; `fields`: role -> columns; `kind` names the function
    that noises a chunk.
    """

    patterns: tuple
    kind: str
    fields: dict = {}
    id: str | int | None = None  # column of the example's id; None: its number in the file


def _rows(task):
    """The Hub's rows of an intermediate task: mnli/validation_matched.jsonl, mnli/train.de.jsonl."""
    return rf"(?:intermediate/)?{task}/{SPLIT}[a-z0-9_]*(?:\.(?P<lang>{CODE}))?\.jsonl"


_PAIR = {"premise": 0, "hypothesis": 1}
_NLI = {"premise": ("premise",), "hypothesis": ("hypothesis",)}
_SIDES = {"queries": (), "candidates": ()}
_FILE = rf"{SPLIT}-(?P<lang>{CODE})\."
TASKS = {
    "xnli": Task((rf"xnli/{_FILE}tsv",), "pair", _PAIR),
    "pawsx": Task((rf"pawsx/{_FILE}tsv",), "pair", _PAIR),
    "udpos": Task((rf"udpos/{_FILE}tsv",), "tagging"),
    "panx": Task((rf"panx/{_FILE}tsv",), "tagging"),
    "xquad": Task((rf"xquad/xquad\.(?P<lang>{CODE})\.json",), "squad"),
    "mlqa": Task((rf"mlqa/MLQA_V1/{SPLIT}/\w+-context-(?P<context>{CODE})-question-(?P<lang>{CODE})\.json",), "squad"),
    "tydiqa": Task((rf"tydiqa/tydiqa-goldp-v1\.1-\w+/tydiqa\.(?P<lang>{CODE})\.{SPLIT}\.json",), "squad"),
    "squad": Task((rf"squad/{SPLIT}-v[12]\.[01]\.json", _rows("squad")), "squad"),
    "bucc2018": Task((rf"bucc2018/(?P<lang>{CODE})-en\.{SPLIT}\.(?P<side>{CODE}|gold)",), "sentence", _SIDES, id=0),
    "tatoeba": Task((rf"tatoeba/(?P<lang>{CODE})-en\.(?P<side>{CODE})",), "sentence", _SIDES),
    "xcopa": Task(
        (rf"xcopa/{_FILE}jsonl",), "row", {"premise": ("premise",), "choices": ("choice1", "choice2")}, id="idx"
    ),
    "lareqa": Task((rf"lareqa/xquad-r/(?P<lang>{CODE})\.json",), "squad"),
    "mewslix": Task((rf"mewslix/wikinews_mentions-{SPLIT}\.jsonl", rf"mewslix/{_FILE}jsonl"), "mention"),
    "mnli": Task((_rows("mnli"),), "row", _NLI, id="idx"),
    "snli": Task((_rows("snli"),), "row", _NLI, id="idx"),
    "anli": Task((_rows("anli"),), "row", _NLI, id="uid"),
    "qqp": Task((_rows("qqp"),), "row", {"premise": ("question1",), "hypothesis": ("question2",)}, id="idx"),
    "squad_v2": Task((_rows("squad_v2"),), "squad"),
    "hellaswag": Task(
        (_rows("hellaswag"),), "row", {"premise": ("ctx_a", "ctx_b"), "choices": ("endings",)}, id="ind"
    ),
    "cosmos_qa": Task(
        (_rows("cosmos_qa"),),
        "row",
        {"premise": ("context", "question"), "choices": tuple(f"answer{i}" for i in range(4))},
        id="id",
    ),
    "commonsense_qa": Task(
        (_rows("commonsense_qa"),), "row", {"premise": ("question",), "choices": ("choices",)}, id="id"
    ),
    "ccg": Task((_rows("ccg"),), "row", {"tokens": ("tokens",)}, id="id"),
}
ROLES = ("premise", "hypothesis", "choices", "queries", "candidates")
DEFAULT_ROLES = (
    "premise",
    "hypothesis",
    "choices",
    "queries",
)  # tokens and questions are always noised where they are what a task has
QA_MODES = ("question", "context-protect", "context-all")


def match(path):
    """(task, split, language, side, context language) of a path below the data folder; None where it belongs to no
    task.
    """
    for name, task in TASKS.items():
        for pattern in task.patterns:
            if found := re.fullmatch(pattern, path):
                parts = found.groupdict()
                split = {"val": "dev", "validation": "dev"}.get(parts.get("split"), parts.get("split") or "test")
                if name == "tydiqa" and split == "dev":  # TyDiQA's dev file is what XTREME tests on
                    split = "test"
                return (
                    name,
                    split,
                    parts.get("lang") or ("mul" if name == "mewslix" else "en"),
                    parts.get("side"),
                    parts.get("context"),
                )
    return None


# ---------------------------------------------------------------------------------------------------------------------
# Chunks


def decode(raw, path, number):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoiseError(
            f"{path}, line {number}: byte 0x{raw[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from None


def line_chunks(file, path, stop=None):
    """Lines with their ends. Only \\n ends a line: texts may hold U+2028 and its like."""
    for number, raw in enumerate(file, start=1):
        yield decode(raw, path, number)
        if stop is not None and file.tell() >= stop:
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


_STRUCTURE = re.compile(r'"(?:[^"\\]+|\\.)*("?)|[{}\[\]]', re.S)
PARAGRAPH_DEPTH = 4  # brackets around a paragraph of {"data": [{"paragraphs": [{...}]}]}


def paragraph_chunks(file, path, stop=None):
    """SQuAD JSON as what lies between the paragraphs and the paragraphs themselves, one at a time: memory holds one
    block and one paragraph.
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
        while found := _STRUCTURE.search(text, position):
            sign = found[0][0]
            if sign == '"' and not found[1]:
                break  # the string goes on in the next block
            opens = sign in "{["
            if opens and depth == PARAGRAPH_DEPTH and sign == "{":
                yield text[begin : found.start()]
                begin = found.start()
            depth += opens - (sign in "}]")
            position = found.end()
            if not opens and sign == "}" and depth == PARAGRAPH_DEPTH:
                yield text[begin:position]
                begin = position
        else:
            position = len(text)
    if depth or position < len(text):
        raise NoiseError(
            f"{path}: not valid JSON: it ends within {'a string' if position < len(text) else 'an object or list'}; "
            "is the file truncated?"
        )
    yield text[begin:]


def chunks_of(task, path):
    """The function that splits a file of this task into chunks."""
    if task.kind == "tagging":
        return sentence_chunks
    return paragraph_chunks if path.endswith(".json") else line_chunks


# ---------------------------------------------------------------------------------------------------------------------
# What is noised in a chunk, by kind of task. `where` is "line 7" or the like; `number` counts from 0.


def line_end(text):
    body = text.rstrip("\n")
    body = body.removesuffix("\r")
    return body, text[len(body) :]


def noise_pair(text, number, job, put):
    body, end = line_end(text)
    if not body:
        return text
    mark = "\ufeff" if body.startswith("\ufeff") else ""
    columns = body[len(mark) :].split("\t")
    if len(columns) not in (2, 3):
        raise NoiseError(
            f"{job.path}, line {number + 1}: {len(columns)} tab-separated columns instead of 3: sentence1, "
            "sentence2, label"
        )
    for role, column in TASKS[job.task].fields.items():
        if role in job.roles:
            columns[column] = put(str(number), role, columns[column])[0]
    return mark + "\t".join(columns) + end


def noise_sentence(text, number, job, put):
    body, end = line_end(text)
    mark = "\ufeff" if body.startswith("\ufeff") else ""
    name, tab, sentence = "", "", body[len(mark) :]
    if TASKS[job.task].id is not None and sentence:
        name, tab, sentence = sentence.partition("\t")
        if not tab or "\t" in sentence:
            raise NoiseError(f"{job.path}, line {number + 1}: not 2 tab-separated columns: id, sentence")
    return mark + name + tab + put(name or str(number), job.side or "queries", sentence)[0] + end


def noise_tagging(text, number, job, put):
    """Words are noised as one text, a line each: one word out for every word in, because no operation touches a line
    break.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    words = [line[len(mark) * (i == 0) :].rstrip("\r\n").split("\t")[0] for i, line in enumerate(lines)]
    used = [i for i, line in enumerate(lines) if line.strip(" \t\r\n\ufeff")]
    if not used:
        return text
    for i in used:
        if lines[i].count("\t") > 1:
            raise NoiseError(
                f"{job.path}, sentence {number + 1}: {lines[i].count(chr(9)) + 1} tab-separated columns instead of "
                "2: word, tag"
            )
    new = put(str(number), "tokens", "\n".join(words[i] for i in used))[0].split("\n")
    for i, word in zip(used, new, strict=True):
        start = len(mark) * (i == 0)
        lines[i] = lines[i][:start] + word + lines[i][start + len(words[i]) :]
    return "".join(lines)


def noise_row(text, number, job, put):
    """One row of a JSON-lines file: its text columns, lists of texts, and CommonsenseQA's {"text": [...]}."""
    body = line_end(text)[0].strip("\ufeff \t")
    if not body:
        return text
    row, task, values = parse(body, job.path, f"line {number + 1}"), TASKS[job.task], {}
    name = str(row.get(task.id, number))
    columns = [column for role, columns in task.fields.items() if role in job.roles for column in columns]
    for column in columns:
        if column not in row:
            raise NoiseError(
                f"{job.path}, line {number + 1}: no column {column!r}; this task's rows have {', '.join(columns)}"
            )
        path, value = (
            ((column, "text"), row[column].get("text")) if isinstance(row[column], dict) else ((column,), row[column])
        )
        texts = (
            {path: value}
            if isinstance(value, str)
            else {(*path, i): item for i, item in enumerate(value if isinstance(value, list) else [None])}
        )
        if not all(isinstance(item, str) for item in texts.values()):
            raise NoiseError(
                f"{job.path}, line {number + 1}: {column} {str(value)[:40]!r} is not a text; write it as a JSON string"
            )
        if column == "tokens":
            if any("\n" in word or not word for word in value):
                raise NoiseError(f"{job.path}, line {number + 1}: an empty token or one with a line break; correct it")
            values |= zip(texts, put(name, column, "\n".join(value))[0].split("\n"), strict=True)
        else:
            values |= {path: put(name, ".".join(map(str, path)), item)[0] for path, item in texts.items()}
    if row.get("ctx") == f"{row.get('ctx_a')} {row.get('ctx_b')}":  # HellaSwag's ctx is the two in one
        values[("ctx",)] = " ".join(values.get((name,), row[name]) for name in ("ctx_a", "ctx_b"))
    return text.replace(body, replaced(body, values), 1)


def _spans(answers, context, where):
    """[(start, end)] of {"text", "answer_start"} objects, checked against their context; [] where XTREME stripped the
    labels.
    """
    spans = []
    for answer in answers:
        try:
            start, text = answer["answer_start"], answer["text"]
            ok = type(start) is int and 0 <= start and context[start : start + len(text)] == text
        except (KeyError, TypeError):
            raise NoiseError(
                f'{where}: an answer is not {{"text": ..., "answer_start": ...}}; write the file as SQuAD does'
            ) from None
        if not ok:
            found = context[start : start + len(text)] if type(start) is int and start >= 0 else "nothing"
            raise NoiseError(
                f"{where}: answer {text[:60]!r} does not match its context, which has {found[:60]!r} at answer_start "
                f"{start!r}; correct it"
            )
        spans.append((start, start + len(text)))
    return spans


def noise_squad(text, number, job, put):
    """A paragraph with its questions, or a row of the Hub's flat columns. Every answer stays the slice of its context."""
    flat = job.path.endswith(".jsonl")
    body = line_end(text)[0].strip("\ufeff \t") if flat else text
    if not body or (not flat and number % 2 == 0):  # between two paragraphs
        return text
    place = f"line {number + 1}" if flat else f"paragraph {number // 2 + 1}"
    paragraph, where = parse(body, job.path, place), f"{job.path}, {place}"
    questions = (
        {(): paragraph}
        if flat
        else {("qas", i): question for i, question in enumerate(_list(paragraph, "qas", where))}
    )
    context, answers, values = _text(paragraph, "context", where), {}, {}
    for path, question in questions.items():
        where_question = f"{job.path}: question {_text(question, 'id', where, any_type=True)}"
        _text(question, "question", where_question)
        for column in ("answers", "plausible_answers"):
            if column in question or column == "answers":
                answers |= _answers(question, column, path, flat, where_question)
    spans = _spans([answer for answer, _, _ in answers.values()], context, where)
    if job.qa == "question":
        values = {
            (*path, "question"): put(str(q["id"]), "question", q["question"])[0] for path, q in questions.items()
        }
        return text.replace(body, replaced(body, values), 1)
    breaks = [tuple(pair) for pair in paragraph.get("sentence_breaks", [])]  # LAReQA's candidates
    name = min((str(question["id"]) for question in questions.values()), default=str(number))
    protect = spans if job.qa == "context-protect" else []
    new, moved = put(name, "context", context, [*spans, *breaks], protect, job.context)
    values[("context",)] = new
    for (answer, text_path, start_path), (start, end) in zip(answers.values(), moved):
        if answer["text"]:
            values |= {text_path: new[start:end], start_path: start}
    for i, (start, end) in enumerate(moved[len(spans) :]):
        values |= {("sentence_breaks", i, 0): start, ("sentence_breaks", i, 1): end, ("sentences", i): new[start:end]}
    noised = replaced(body, values)
    if job.qa == "context-all":
        noised = with_clean_answers(noised, body, [(*path, "answers") for path in questions])
    return text.replace(body, noised, 1)


def _answers(question, column, path, flat, where):
    """{path: (answer, path of its text, path of its start)} of nested answers or of the Hub's two lists."""
    answers = question.get(column)
    if not flat:
        return {
            (*path, column, i): (a, (*path, column, i, "text"), (*path, column, i, "answer_start"))
            for i, a in enumerate(_list(question, column, where))
        }
    try:
        pairs = list(zip(answers["text"], answers["answer_start"], strict=True))
    except (KeyError, TypeError, ValueError):
        raise NoiseError(
            f'{where}: answers must be {{"text": [...], "answer_start": [...]}} of equal length'
        ) from None
    return {
        (column, i): ({"text": t, "answer_start": s}, (column, "text", i), (column, "answer_start", i))
        for i, (t, s) in enumerate(pairs)
    }


def _text(value, column, where, any_type=False):
    if not isinstance(value, dict) or column not in value:
        raise NoiseError(f"{where}: no {column!r}; write the file as SQuAD does")
    if not any_type and not isinstance(value[column], str):
        raise NoiseError(f"{where}: {column} {str(value[column])[:40]!r} is not a text; write it as a JSON string")
    return value[column]


def _list(value, column, where):
    if not isinstance(value.get(column), list):
        raise NoiseError(f"{where}: no list {column!r}; write the file as SQuAD does")
    return value[column]


def noise_mention(text, number, job, put):
    """Mewsli-X: the context of an entity mention; the mention itself is kept."""
    body = line_end(text)[0].strip("\ufeff \t")
    if not body:
        return text
    row, where = parse(body, job.path, f"line {number + 1}"), f"{job.path}, line {number + 1}"
    try:
        context, single = row["context"], "mention" in row
        mentions = (
            [(("mention",), row["mention"])]
            if single
            else [(("mentions", i), mention) for i, mention in enumerate(row["mentions"])]
        )
        ranges = [(("context", "sentence_spans", i), span) for i, span in enumerate(context.get("sentence_spans", []))]
        kept = [((*path, "mention_span"), mention["mention_span"]) for path, mention in mentions]
        spans = [(span["start"], span["end"]) for _, span in [*kept, *ranges]]
        sizes = [0 <= start <= end <= len(context["text"]) for start, end in spans]
        name = str(mentions[0][1]["example_id"])
    except (KeyError, TypeError, IndexError) as error:
        raise NoiseError(
            f"{where}: not a row of Mewsli-X ({error}); it has context.text and mention.mention_span"
        ) from None
    if not all(sizes):
        raise NoiseError(f"{where}: a span is not within the text of {len(context['text'])} characters; correct it")
    language = context.get("language", job.language)
    new, moved = put(name, "context", context["text"], spans, spans[: len(kept)], language)
    values = {("context", "text"): new}
    for (path, _), (start, end) in zip([*kept, *ranges], moved):
        values |= {(*path, "start"): start, (*path, "end"): end}
    return text.replace(body, replaced(body, values), 1)


NOISE = {
    "pair": noise_pair,
    "sentence": noise_sentence,
    "tagging": noise_tagging,
    "row": noise_row,
    "squad": noise_squad,
    "mention": noise_mention,
}
