"""What an attack may edit: the texts of a test file as perturb.py's readers find them, all edits that the operations
can make to each, and the file written back with some of them made.

Edits are in characters of the clean text and never touch each other, so that what is legal alone is legal together
(an operation looks at the units beside its own), and one map moves every span.
"""

from itertools import accumulate, count
from pathlib import Path
from typing import NamedTuple

from common.files import InputError
from noise import Edit, Noiser, Offsets
from noise.candidates import distinct, shortest
from noise.formats import FORMATS, chunks_of
from noise.layouts import LAYOUTS, one_tag_per_token
from noise.scripts import script_of, segment, words
from noise.tables import SCRIPT_OF

OWN = ".attack"  # the folder of records below an output folder


class TestFile(NamedTuple):
    """A clean file, in the words of noise/formats.py."""

    source: str
    path: str  # below the data folder
    task: str
    language: str  # of its texts
    side: str | None  # retrieval: queries
    context: str | None  # MLQA: the language of the context
    roles: tuple  # what may be edited
    qa: str  # one of noise.layouts.QA_MODES

    __test__ = False  # for pytest

    def chunks(self):
        with open(self.source, "rb") as content:
            yield from enumerate(chunks_of(self)(content, self.source))

    def texts(self):
        """[[Text] of every example]: of a line, a sentence, a question; with an edited context, of a paragraph."""
        examples, last = [], None

        def put(name, field, text, spans=(), protect=(), language=None):
            nonlocal last
            if (number, name) != last:
                examples.append([])
            last = number, name
            examples[-1].append(Text(name, field, text, tuple(spans), tuple(protect), language or self.language))
            return text, list(spans)

        for number, chunk in self.chunks():
            FORMATS[LAYOUTS[self.task].format](chunk, number, self, put)
        return examples

    def write(self, target, edits):
        """Write the file with `edits` [{field: [Edit]} of every example]: all else stays as it is, byte by byte."""
        place, last, parts = count(), None, []

        def put(name, field, text, spans=(), protect=(), language=None):
            nonlocal last, example
            if (number, name) != last:
                example = edits[next(place)]
            last, own = (number, name), example.get(field, [])
            return applied(text, own), [Offsets(own).span(*span) for span in spans]

        example = None
        for number, chunk in self.chunks():
            parts.append(FORMATS[LAYOUTS[self.task].format](chunk, number, self, put))
        target.write_bytes("".join(parts).encode())


class Text(NamedTuple):
    """A text that may be edited; spans move with it, what is protected stays."""

    name: str  # the example's, in the file
    field: str  # hypothesis, question, tokens, ...
    text: str
    spans: tuple
    protect: tuple
    language: str


class Candidate(NamedTuple):
    """One edit of one of an example's texts."""

    place: int  # of the text among the example's
    start: int  # in characters of the clean text
    end: int
    new: str
    cost: int  # how many graphemes it changes
    own: tuple  # (start, end) of what no other edit may touch: the edit's characters, or its whole words

    def touches(self, other):
        return self.place == other.place and self.own[0] <= other.own[1] and other.own[0] <= self.own[1]


def applied(text, edits):
    """The text with [Edit], sorted by start, made."""
    parts, done = [], 0
    for start, old, new in edits:
        parts += text[done:start], new
        done = start + len(old)
    return "".join([*parts, text[done:]])


def edits_of(texts, chosen):
    """{field: [Edit]} of some Candidates of an example's texts."""
    edits = {}
    for place, start, end, new, *_ in sorted(chosen):
        edits.setdefault(texts[place].field, []).append(Edit(start, texts[place].text[start:end], new))
    return edits


class Editor:
    """Finds candidates with one Noiser for each operation and language; with `one_per_word` a word gets one edit."""

    def __init__(self, task, ops, one_per_word=False):
        self.task, self.ops, self.one_per_word, self.noisers = task, ops, one_per_word, {}

    def noiser(self, op, language, text):
        if (op, language) not in self.noisers:
            script = None if language in SCRIPT_OF else script_of(text)
            tokens = one_tag_per_token(self.task)
            self.noisers[op, language] = Noiser(op, 0, language, script=script, one_token=tokens)
        return self.noisers[op, language]

    def candidates(self, texts, key):
        """All distinct Candidates of an example's texts, by place, start, end and new."""
        result = []
        for place, one in enumerate(texts):
            edits = set()
            for op in self.ops:
                noiser = self.noiser(op, one.language, one.text)
                own = noiser.candidates(one.text, f"{key}|{one.field}", one.spans, one.protect)
                edits |= {(start, start + len(old), new) for start, old, new in own}
            within = self.words(one) if self.one_per_word else ()
            for edit in distinct(one.text, edits):
                result.append(Candidate(place, *edit, cost(one.text, *edit), whole(edit[:2], within)))
        return result

    def words(self, text):
        """[(start, end)] of a Text's words, in characters."""
        units, starts, _ = segment(text.text)
        found = words(units, self.noiser(self.ops[0], text.language, text.text))
        return found if starts is None else [(starts[first], starts[last]) for first, last in found]


def whole(edit, words):
    """The range (start, end) of an edit and of the words that it touches."""
    touched = [(start, end) for start, end in words if start <= edit[1] and edit[0] <= end]
    return min([edit, *touched])[0], max(end for _, end in [edit, *touched])


def protect_entities(texts, rows):
    """[[Text]] of tagged sentences with the words protected whose tag in `rows` is not O; others as they are."""
    return [
        [one._replace(protect=(*one.protect, *entities(one.text, row["tags"]))) for one in own]
        for own, row in zip(texts, rows)
    ] + texts[len(rows) :]


def entities(text, tags):
    """[(start, end)] of the words of a text, one a line, that are not tagged O."""
    ends = list(accumulate((len(word) + 1 for word in text.split("\n")), initial=0))
    return [(start, end - 1) for start, end, tag in zip(ends, ends[1:], tags) if tag != "O"]


def cost(text, start, end, new):
    """Graphemes that an edit changes: the longer side, without what both have."""
    start, end, new = shortest(text, start, end, new)
    return max(segment(text[start:end])[2], segment(new)[2])


def script_of_file(language, path):
    """The script of a language that noise/tables.py may not know, by the file's text."""
    return SCRIPT_OF.get(language) or script_of(Path(path).read_bytes()[: 1 << 16].decode("utf-8", "ignore"))


def check_fields(fields, task):
    """InputError for a role of --fields that the task's files do not have."""
    known = tuple(LAYOUTS[task].fields)
    for field in fields:
        if field not in known:
            raise InputError(f"--fields {field}: {task} has {', '.join(known) or 'no fields to choose from'}")
