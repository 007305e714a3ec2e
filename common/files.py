"""Files that are written whole or not at all, their hashes, and the one way to refuse input. Standard library only."""

import difflib
import hashlib
import json
import os
from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used: one line that names the thing, the value and the next step. Scripts exit with code 2."""


def nearest(value, choices):
    """A hint for a misspelt value: "; did you mean 'panx'?" or nothing."""
    near = difflib.get_close_matches(str(value), list(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def write_text(path, text):
    """Write a file whole or not at all; makes its folder."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path, data):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def sha256(*parts):
    """Hash of files (Path: their content) and of anything else (its JSON), in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            try:
                with open(part, "rb") as file:
                    while block := file.read(1 << 22):
                        digest.update(block)
            except OSError as error:
                raise InputError(
                    f"{part}: cannot be read ({error.strerror}); check the path and its permissions"
                ) from None
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()
