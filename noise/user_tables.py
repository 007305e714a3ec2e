"""What the user brings: tables of two columns, and words to protect."""

from pathlib import Path

from noise.files import NoiseError

TABLES = {  # flag of a table of the user's -> its two columns
    "ime": "character, reading",
    "codeswitch": "word, translation",
    "profile": "correct, misspelt",
}


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
    """{word: [other words]} of a user's file; for --ime, characters of one reading replace each other."""
    table = {}
    if flag != "ime":
        for word, other in read_pairs(path, flag):
            table.setdefault(word, []).append(other)
        return table
    readings = {}
    for char, reading in read_pairs(path, flag):
        readings.setdefault(reading, []).append(char)
    for chars in readings.values():
        for char in chars:
            if others := sorted({other for other in chars if other != char and len(other) == 1}):
                table[char] = others
    return table
