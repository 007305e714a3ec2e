"""Files that are written whole or not at all, their hashes, folders that may be written to, and the one way to refuse
input. Standard library only.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used: one line that names the thing, the value and the next step; scripts exit with 2."""


def write_text(path, text):
    """Write a file whole or not at all; makes its folder."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path, data):
    """Write a file whole or not at all; makes its folder."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def replacing(path):
    """A path beside `path` to write to: it takes the place of `path` when the block ends, and goes when it fails.

    Makes the folder. A killed process leaves only `.<name>.<pid>.tmp`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output_dir(folder, ours=None):
    """Refuse an --output_dir that is a file, cannot be written, or holds files but not `ours`: the name of a file that
    the script itself leaves in its folders (None where it may hold any). Names that begin with a dot do not count.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output_dir {folder}: is a file; name a new folder")
    above = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"--output_dir {folder}: cannot be written below {above}; name another folder")
    if (
        ours
        and folder.is_dir()
        and not (folder / ours).exists()
        and any(not path.name.startswith(".") for path in folder.iterdir())
    ):
        raise InputError(
            f"--output_dir {folder}: not empty and without {ours}, so not ours to write into; name a new folder"
        )


def write_json(path, value):
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_json_lines(path, rows):
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


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
