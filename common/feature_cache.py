"""Features of training sets on disk: encoded once per node, whatever runs and processes ask for them.

    <HF_DATASETS_CACHE>/features/<hash of all that they depend on>.arrow

A file is written whole or not at all, under a lock that ends with its process; the same file serves all processes of
a node from one place in memory. Delete the folder at any time.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from pathlib import Path

import datasets
import pyarrow as pa
import tokenizers
import transformers
from datasets import Dataset

from common.files import replacing, sha256
from common.launching import distributed
from common.recovery import stop_requested, stopped

logger = logging.getLogger("xtreme")

END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream


def features_of(rows, tokenizer, decisive, head, make):
    """The Dataset of features that `make()` encodes of `rows`, from the cache where it was made before.

    They depend on the rows, the tokenizer, `decisive` (labels, settings) and the code of the heads and its libraries.
    Without a place to write they are made every time.
    """
    code = sorted(Path(head.__file__).parent.glob("*.py"))
    versions = tokenizers.__version__, transformers.__version__, datasets.__version__
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # else its text has that of the last call
    whole = backend.to_str(), tokenizer.model_input_names, tokenizer.truncation_side
    whole += tokenizer.special_tokens_map, tokenizer.split_special_tokens  # which heads read beside the backend
    name = sha256(*whole, decisive, versions, *code, digest(rows))
    path = Path(datasets.config.HF_DATASETS_CACHE) / "features" / f"{name}.arrow"
    features = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_suffix(".lock"), "w") as lock:
            wait_for(lock)  # the others wait, and find the file
            if whole_file(path):
                logger.info("training features: %s", path)
            else:
                features = make()
                write(features, path)
    except OSError as error:  # no room, no right, no locks
        logger.warning("training features are not kept for the next run: %s", error)
        return make() if features is None else features
    return Dataset.from_file(str(path))


def wait_for(lock):
    """Lock a file; a run of one process that is asked to stop while another encodes stops."""
    told = False
    while True:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not told:
            logger.info("training features: waiting for another process that makes %s", Path(lock.name).stem)
        told = True
        if stop_requested() and distributed()[1] == 1:
            raise stopped("nothing was lost")
        time.sleep(0.2)


def whole_file(path):
    """Whether a cached file is there and was not cut off since: a stream that was ends otherwise."""
    if not path.exists():
        return False
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, len(END)), os.SEEK_END)
        if file.read() == END:
            return True
    logger.warning("training features: %s is damaged, and is made again", path)
    return False


def write(features, path):
    """The features as one Arrow file, which `Dataset.from_file` reads."""
    table = features.with_format("arrow")[:]
    with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file:
        with pa.ipc.new_stream(file, features.features.arrow_schema) as stream:
            stream.write_table(table.cast(features.features.arrow_schema), max_chunksize=1000)


def digest(rows):
    """Hash of a Dataset's content."""
    digest, table = hashlib.sha256(), rows.with_format("arrow")[:]
    digest.update(str(table.schema).encode())
    for batch in table.to_batches():
        digest.update(batch.serialize())
    return digest.hexdigest()
