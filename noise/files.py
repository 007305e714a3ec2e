"""Files that are written whole or not at all, their hashes, folders to write to, and the one way to refuse input.

noise/ travels alone, with the standard library and `regex` only. So it has its own of what the other scripts share in
common/files.py and common/text.py; the names are the same.
"""

import contextlib
import difflib
import errno
import hashlib
import os
import platform
import shutil
import sys

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None


class NoiseError(ValueError):
    """What cannot be used, an argument, a table or a file: one line with the thing, the value and the next step."""


def nearest(value, choices):
    """The next step after an unknown value: "did you mean 'panx'?", or all there are to choose from."""
    near = difflib.get_close_matches(str(value), list(choices), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {' '.join(choices)}"


@contextlib.contextmanager
def replacing(path):
    """A path to write to beside `path`: it takes the place of `path` when the block ends, and goes when it fails.

    Makes the folder. A killed process leaves only `.<name>.<pid>.tmp`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write a file whole or not at all; makes its folder."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def concatenate(parts, path, digests=None):
    """Write the contents of files, one behind the other, whole or not at all; makes the folder, returns their hash.

    `digests` are the hashes that the parts must have; OSError where one was changed after it was written.
    """
    joined = hashlib.sha256()
    with replacing(path) as temporary, open(temporary, "wb") as whole:
        for number, part in enumerate(parts):
            own = hashlib.sha256()
            with open(part, "rb") as content:
                while block := content.read(1 << 20):
                    whole.write(block)
                    joined.update(block)
                    own.update(block)
            if digests and own.hexdigest() != digests[number]:
                raise OSError(errno.EIO, "changed after it was written, by another process or the disk", str(part))
    return joined.hexdigest()


def files_below(folder, around=()):
    """The paths of all files below a folder, also behind links to folders; `around` are the real folders around it.

    A link that leads back to a folder around it is not followed; a folder that cannot be read has no files.
    """
    real = os.path.realpath(folder)
    if any(os.path.commonpath((outer, real)) == real for outer in around):
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from files_below(entry.path, (*around, real))
            else:
                yield entry.path


def sha256(path):
    """Hash of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_output_dir(folder, ours):
    """Refuse an --output_dir that is a file, cannot be written, or is not empty and holds none of the names `ours`."""
    if folder.exists() and not folder.is_dir():
        raise NoiseError(f"--output_dir {folder}: is a file; name a new folder")
    above = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise NoiseError(f"--output_dir {folder}: cannot be written below {above}; name another folder")
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / name).exists() for name in ours):
        raise NoiseError(f"--output_dir {folder}: not empty and not written by this script; name a new folder")


@contextlib.contextmanager
def lock(folder):
    """Hold an --output_dir while the block runs, and never longer than the process lives; NoiseError where another
    run does. What killed runs left half-written there is removed.
    """
    own = folder / ".perturb"
    own.mkdir(parents=True, exist_ok=True)
    with open(own / "lock", "a+", encoding="utf-8") as file:
        try:
            os.register_at_fork(after_in_child=file.close)  # or workers would hold it when this process is killed
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = f"another run is at work in it (process {file.read().strip()})"
            raise NoiseError(f"--output_dir {folder}: {other}; wait for it or name another folder") from None
        except (AttributeError, OSError):  # no fcntl, or a network file system without locks
            print(f"{folder}: cannot be locked; do not start two runs in one folder", file=sys.stderr)
        else:
            shutil.rmtree(own / "tmp", ignore_errors=True)
            for leftover in folder.rglob(".*.[0-9]*.tmp"):
                leftover.unlink(missing_ok=True)
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def show(text):
    """Print to stdout; silently cut off where its reader has gone (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # Python flushes stdout once more at its end, and would complain then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
