"""The Hub's repositories as folders, and their files as streams of rows.

    folder = open_repository("facebook/xnli", revision, ["de/test*"], hub_root=None)
    for row in read_rows(find_files(folder, "de", "test")): ...

A mirror (`hub_root`) holds a folder <owner>/<name> per repository, as huggingface_hub's snapshots lay them out. Copy
with download_data.py.
"""

import gzip
import json
from contextlib import contextmanager
from pathlib import Path

from common.files import InputError

BATCH = 1000  # rows in memory
SUFFIXES = ("parquet", "jsonl", "json", "jsonl.gz", "json.gz")


class DownloadError(RuntimeError):
    """The Hub did not give what was asked for: the run failed, exit code 1."""


def patterns_of(config, split):
    """Where repositories keep one split: `de/test-00000-of-00001.parquet`, `test/de-en.jsonl.gz`,
    `default/train/0000.parquet`, `data/train-…`.
    """
    stems = [f"{config}/{split}-*", f"{config}/{split}", f"{config}/{split}/*", f"{split}/{config}"]
    if config == "default":
        stems += [f"data/{split}-*", f"data/{split}", f"{split}-*", split]
    return [f"{stem}.{suffix}" for stem in stems for suffix in SUFFIXES]


def open_repository(id, revision, patterns, hub_root=None):
    """The local folder of a repository at a revision: in the mirror, or downloaded (files of `patterns` only). None if
    the mirror lacks it.
    """
    if hub_root:
        folder = Path(hub_root) / id
        return folder if folder.is_dir() else None
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(id, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except Exception as error:  # huggingface_hub, httpx and the disk each have their own
        reason = " ".join(str(error).split())[:160]
        raise DownloadError(
            f"{id} at {revision}: not downloaded ({reason}); check the network, or give a mirror with --hub_root DIR"
        ) from None


def commit_of(file):
    """The commit that huggingface_hub downloaded; None in a mirror, which nobody can check."""
    parts = file.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


def find_files(folder, config, splits):
    """The files of the first of `splits` that the repository has, in order of their shards; [] for none."""
    for split in splits:
        for pattern in patterns_of(config, split):
            if found := sorted(folder.glob(pattern)):
                return found
    return []


@contextmanager
def reading(file):
    """One kind of error for a file that is cut short or of another kind; pyarrow's are ValueErrors or OSErrors."""
    try:
        yield
    except InputError:
        raise
    except (EOFError, KeyError, OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({' '.join(str(error).split())[:120]}); download it again") from None


def read_rows(files):
    """Yield the rows of parquet and JSON files as dicts, at most a batch in memory; labels of a ClassLabel stay
    numbers.
    """
    for file in files:
        with reading(file):
            if file.suffix == ".parquet":
                for batch in _parquet(file).iter_batches(BATCH):
                    yield from batch.to_pylist()
            else:
                yield from _json_rows(file)


def _parquet(file):
    from pyarrow.parquet import ParquetFile

    with reading(file):
        return ParquetFile(file)


def _json_rows(file):
    """JSON lines, or one JSON list of rows; the latter is read whole."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as stream:
        if stream.read(1) == "[":
            stream.seek(0)
            yield from json.load(stream)
        else:
            stream.seek(0)
            yield from (json.loads(line) for line in stream if line.strip())


def read_list(files, column):
    """Yield the elements of a column of lists, over all rows: BUCC's one row is 400,000 sentences. Python holds a
    batch; Arrow holds the column, or with JSON the row (1 GB for Russian).
    """
    import pyarrow.json

    for file in files:
        with reading(file):
            if file.suffix == ".parquet":
                values = _parquet(file).read(columns=[column]).column(column)
            else:
                options = pyarrow.json.ReadOptions(
                    block_size=min(_size(file) + 2**16, 2**31 - 1)
                )  # a line must fit into one block
                values = pyarrow.json.read_json(file, options).column(column)
        for chunk in values.chunks:
            elements = chunk.flatten()
            for begin in range(0, len(elements), BATCH):
                yield from elements[begin : begin + BATCH].to_pylist()


def _size(file):
    """Bytes of a file, decompressed: gzip ends with that number."""
    if file.suffix != ".gz":
        return file.stat().st_size
    with open(file, "rb") as stream:
        stream.seek(-4, 2)
        return int.from_bytes(stream.read(4), "little")


def columns_of(files):
    """{column: is it a list} of the first file."""
    if files[0].suffix == ".parquet":
        import pyarrow

        return {
            field.name: pyarrow.types.is_list(field.type) or pyarrow.types.is_large_list(field.type)
            for field in _parquet(files[0]).schema_arrow
        }
    first = next(read_rows(files[:1]), {})
    return {name: isinstance(value, list) for name, value in first.items()}


def label_names(files, column):
    """Names of a ClassLabel column (also inside a list), in the order of its numbers, from the metadata that
    `datasets` writes; () without any.
    """
    if files[0].suffix != ".parquet":
        return ()
    metadata = _parquet(files[0]).schema_arrow.metadata or {}
    feature = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {}).get(column, {})
    feature = (
        feature[0] if isinstance(feature, list) else feature.get("feature", feature)
    )  # datasets 1 to 3: a list; later: List or Sequence
    return tuple(feature.get("names", ()))
