"""What the user brings: tables of two columns, and words to protect."""

import sys
from pathlib import Path

from noise.entries import never_matches
from noise.files import NoiseError
from noise.formats import FORMATS, chunks_of
from noise.layouts import LAYOUTS
from noise.operations import OPERATIONS

TABLES = {  # flag of a table of the user's -> its two columns
    "ime": "character or word, reading: those of one reading replace each other",
    "codeswitch": "word or phrase, translation",
    "profile": "correct, misspelt",
    "ocr_map": "printed, misread",
}
SHOWN = 5  # entries that are named in a note


def read_lines(path, flag):
    """The lines of a user's file, without their ends."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise NoiseError(f"--{flag} {path}: cannot be read ({reason}); give a file in UTF-8") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def read_words(path):
    """The words of --protect_words, one a line."""
    words = [word for line in read_lines(path, "protect_words") if (word := line.strip())]
    if not words:
        raise NoiseError(f"--protect_words {path}: no words in it; write one a line")
    return words


def read_pairs(path, flag):
    """[[first, second]] of a user's TSV file of two columns."""
    pairs = []
    for number, line in enumerate(read_lines(path, flag), start=1):
        columns = line.split("\t")
        if columns == [""]:
            continue
        if len(columns) != 2 or not all(column.strip() == column != "" and column.isprintable() for column in columns):
            raise NoiseError(
                f"--{flag} {path}, line {number}: {line[:60]!r} is not two columns {TABLES[flag]} with a tab between "
                "them; correct it"
            )
        pairs.append(columns)
    return pairs


def read_table(path, flag):
    """{word: [other words]} of a user's file; for --ime, what has one reading replaces each other.

    Entries that can never match are named once, on stderr.
    """
    table = {}
    if flag == "ime":
        readings = {}
        for word, reading in read_pairs(path, flag):
            readings.setdefault(reading, []).append(word)
        for words in readings.values():
            for word in words:
                table.setdefault(word, []).extend(sorted(set(words) - {word, *table.get(word, [])}))
        table = {word: others for word, others in table.items() if others}
    else:
        for word, other in read_pairs(path, flag):
            table.setdefault(word, []).append(other)
    useless = {word: reason for word, others in table.items() if (reason := never_matches(word, others))}
    if useless:
        named = ", ".join(f"{word!r} ({reason})" for word, reason in list(useless.items())[:SHOWN])
        more = f" and {len(useless) - SHOWN} more" if len(useless) > SHOWN else ""
        print(f"--{flag} {path}: entries that can never match: {named}{more}", file=sys.stderr)
    usable = {word: others for word, others in table.items() if word not in useless}
    if not usable:
        raise NoiseError(f"--{flag} {path}: no entry that could match; write lines of two columns {TABLES[flag]}")
    return usable


def check_tables(files, paths):
    """Refuse a user's table of which nothing is in the texts. paths: the file of each NoisedFile's table, or None."""
    uses = {}
    for file, path in zip(files, paths):
        if path:
            uses.setdefault((OPERATIONS[file.op].table, path), {})[file.source] = file
    for (flag, path), sources in uses.items():
        if flag and not any(occurs(file) for file in sources.values()):
            tasks, languages = ({getattr(file, name) for file in sources.values()} for name in ("task", "language"))
            raise NoiseError(
                f"--{flag} {path}: none of its entries occurs in the texts of {' '.join(sorted(tasks))} in "
                f"{' '.join(sorted(languages))}; give a table of their words, or choose other --tasks or --languages"
            )


class Occurs(Exception):
    """An entry was met."""


def occurs(file):
    """Whether an entry of the file's table changes one of its texts; reads up to the first that does."""

    def put(name, field, text, spans=(), protect=(), language=None):
        if noiser.candidates(text, spans=spans, protect=protect):
            raise Occurs
        return text, list(spans)

    if file.language == "mul":  # a file of several languages is not searched
        return True
    noiser = file.noiser(file.language, 1.0)
    noise_chunk, read = FORMATS[LAYOUTS[file.task].format], chunks_of(file)
    try:
        with open(file.source, "rb") as source:
            for number, chunk in enumerate(read(source, file.source)):
                noise_chunk(chunk, number, file, put)
    except Occurs:
        return True
    return False
