"""JSON changed in place: values are put where the old ones stood, every other character stays."""

import json
import re
from json.decoder import scanstring

from noise.files import NoiseError


def parse(text, where):
    """The object of a JSON text. Raises NoiseError where it is something else; `where` is its file and line."""
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NoiseError(f"{where}: not valid JSON ({error.msg}); is the file truncated?") from None
    except UnicodeEncodeError:
        raise NoiseError(f"{where}: a \\ud... escape without its other half is no character; remove it") from None
    except (RecursionError, ValueError) as error:
        raise NoiseError(f"{where}: unusable JSON ({error}); write the file again") from None
    if not isinstance(value, dict):
        raise NoiseError(
            f"{where}: not a JSON object but {str(value)[:40]!r}; write one object with the task's columns"
        )
    return value


SPACE, PLAIN = re.compile(r"\s*"), re.compile(r"[^\s,\]}]+")


def places_of(text):
    """{path: (start, end)} of every value of a valid JSON text; a path is a tuple of keys and indices."""
    places = {}
    walk(text, 0, (), places)
    return places


def walk(text, index, path, places):
    """Put the places of the value at `index`, and of all within it, into `places`; returns where it ends.

    Stands in for json's own scanner, which does not say where a value stood.
    """
    index = begin = SPACE.match(text, index).end()
    if text[index] == '"':
        index = scanstring(text, index + 1)[1]
    elif text[index] in "{[":
        keyed, count = text[index] == "{", 0
        index = SPACE.match(text, index + 1).end()
        while text[index] not in "}]":
            name = count
            if keyed:
                name, index = scanstring(text, index + 1)
                index = SPACE.match(text, index).end() + 1  # the colon
            index = SPACE.match(text, walk(text, index, (*path, name), places)).end()
            count += 1
            if text[index] == ",":
                index = SPACE.match(text, index + 1).end()
        index += 1
    else:
        index = PLAIN.match(text, index).end()
    places[path] = begin, index
    return index


def replaced(text, values):
    """The JSON text with {path: value} put in place."""
    places = places_of(text)
    escape = text.isascii() and "\\u" in text  # as the rest of the chunk is written
    parts, done = [], 0
    for (begin, end), value in sorted((places[path], value) for path, value in values.items()):
        parts += (text[done:begin], json.dumps(value, ensure_ascii=escape))
        done = end
    return "".join(parts) + text[done:]


def with_clean_answers(body, old, paths):
    """The noised paragraph with the answers of the old one behind the noised ones, as `answers_clean`."""
    for path in reversed(paths):
        begin, end = places_of(old)[path]
        behind = places_of(body)[path][1]
        body = f'{body[:behind]}, "answers_clean": {old[begin:end]}{body[behind:]}'
    return body
