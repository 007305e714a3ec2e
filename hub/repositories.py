"""The Hub's repositories as folders, and their files as streams of rows.

    folder = open_repository("facebook/xnli", revision, ["de/test*"], hub_root=None)
    for row in read_rows(find_files(folder, "de", ["test"])): ...

A mirror (`hub_root`) holds a folder <owner>/<name> per repository, as huggingface_hub's snapshots lay them out.

huggingface_hub downloads, `datasets` says which features a parquet file has. The rows are read here, in place of
`datasets.load_dataset(..., revision=..., streaming=True)`, for what datasets 5.2.0 loses (tried, not guessed):
    - a mirror, or a snapshot of a split's files, has no README.md, where the Hub keeps configurations:
      load_dataset(folder, "de") ends with "BuilderConfig 'de' not found";
    - JSON texts that look like dates become datetimes, keys that a row lacks become None, 1 and "1" in one column are
      both 1, and a list that is empty for 10 MB and then is not ends in a TypeError; here rows are what the file says;
    - 400,000 pairs of sentences in parquet take 16 s and 450 MB (3.2 s and 500 MB as Arrow batches), here 0.6 s and
      76 MB; a row of BUCC's size (400,000 sentences a side) takes 790 MB, here 330 MB;
    - an error line does not name the file.
"""

import gzip
import json
from contextlib import contextmanager
from pathlib import Path

import pyarrow.json
from huggingface_hub import snapshot_download
from pyarrow.parquet import ParquetFile

from common.files import InputError

BATCH = 1000  # rows in memory
SUFFIXES = ("parquet", "jsonl", "json", "jsonl.gz", "json.gz")


class DownloadError(RuntimeError):
    """The Hub did not give what was asked for: the run failed, exit code 1."""


# --- Repositories: which files a split has, and where they lie


def patterns_of(config, split):
    """Where repositories keep one split: `de/test-00000-of-00001.parquet`, `test/de-en.jsonl.gz`,
    `default/train/0000.parquet`, `data/train-…`.
    """
    stems = [f"{config}/{split}-*", f"{config}/{split}", f"{config}/{split}/*", f"{split}/{config}"]
    if config == "default":
        stems += [f"data/{split}-*", f"data/{split}", f"{split}-*", split]
    return [f"{stem}.{suffix}" for stem in stems for suffix in SUFFIXES]


def open_repository(repository, revision, patterns, hub_root=None):
    """The local folder of a repository at a revision: that of the mirror (None if there is none), or a download of the
    files of `patterns`. Raises DownloadError.
    """
    if hub_root:
        folder = Path(hub_root) / repository
        return folder if folder.is_dir() else None
    try:
        return Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except Exception as error:  # huggingface_hub, httpx and the disk each have their own
        reason = " ".join(str(error).split())[:160]
        raise DownloadError(
            f"{repository} at {revision}: not downloaded ({reason}); check the network, or give a mirror with "
            "--hub_root DIR"
        ) from None


def commit_of(source):
    """The commit that huggingface_hub downloaded a file at; None in a mirror, which nobody can check."""
    parts = source.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


def find_files(folder, config, splits):
    """The files of the first of `splits` that the repository has, in order of their shards; [] for none."""
    for split in splits:
        for pattern in patterns_of(config, split):
            if sources := sorted(folder.glob(pattern)):
                return sources
    return []


# --- Rows: parquet and JSON in small batches


@contextmanager
def reading(source):
    """One kind of error for a file that is cut short or of another kind; pyarrow's are ValueErrors or OSErrors."""
    try:
        yield
    except InputError:
        raise
    except (EOFError, KeyError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{source}: cannot be read ({reason}); download it again") from None


def read_rows(sources):
    """Yield the rows of parquet and JSON files as dicts, at most a batch in memory; ClassLabels stay numbers."""
    for source in sources:
        with reading(source):
            if source.suffix == ".parquet":
                for batch in ParquetFile(source).iter_batches(BATCH):
                    yield from batch.to_pylist()
            else:
                yield from _json_rows(source)


def _json_rows(source):
    """JSON lines, or one JSON list of rows; the latter is read whole."""
    with (gzip.open if source.suffix == ".gz" else open)(source, "rt", encoding="utf-8") as stream:
        if stream.read(1) == "[":
            stream.seek(0)
            yield from json.load(stream)
        else:
            stream.seek(0)
            yield from (json.loads(line) for line in stream if line.strip())


def read_list(sources, column):
    """Yield the elements of a column of lists, over all rows: BUCC's one row is 400,000 sentences. Python holds a
    batch; Arrow holds the column, or with JSON the row (1 GB for Russian).
    """
    for source in sources:
        with reading(source):
            if source.suffix == ".parquet":
                values = ParquetFile(source).read(columns=[column]).column(column)
            else:
                block = min(_size(source) + 2**16, 2**31 - 1)  # a line must fit into one block
                options = pyarrow.json.ReadOptions(block_size=block)
                values = pyarrow.json.read_json(source, options).column(column)
        for chunk in values.chunks:
            elements = chunk.flatten()
            for begin in range(0, len(elements), BATCH):
                yield from elements[begin : begin + BATCH].to_pylist()


def read_column(sources, column):
    """Yield the values of one column over all rows; of parquet, no other column is read."""
    for source in sources:
        with reading(source):
            if source.suffix == ".parquet":
                for batch in ParquetFile(source).iter_batches(BATCH, columns=[column]):
                    yield from batch.column(0).to_pylist()
            else:
                yield from (row[column] for row in _json_rows(source))


def _size(source):
    """Bytes of a file, decompressed: gzip ends with that number."""
    if source.suffix != ".gz":
        return source.stat().st_size
    with open(source, "rb") as stream:
        stream.seek(-4, 2)
        return int.from_bytes(stream.read(4), "little")


# --- Columns


def columns_of(sources):
    """{column: is it a list} of the first file."""
    if sources[0].suffix == ".parquet":
        with reading(sources[0]):
            schema = ParquetFile(sources[0]).schema_arrow
        return {
            field.name: pyarrow.types.is_list(field.type) or pyarrow.types.is_large_list(field.type)
            for field in schema
        }
    first = next(read_rows(sources[:1]), {})
    return {name: isinstance(value, list) for name, value in first.items()}


def label_names(sources, column):
    """Names of a ClassLabel column (also inside a list), in the order of its numbers; () where the file has none."""
    if sources[0].suffix != ".parquet":
        return ()
    from datasets import Features  # here: it takes more than a second, and --help needs none of it

    with reading(sources[0]):
        feature = Features.from_arrow_schema(ParquetFile(sources[0]).schema_arrow).get(column)
    return tuple(getattr(getattr(feature, "feature", feature), "names", ()))
