"""What all tests share: an offline environment, the toy world (made once per session), and run_xtreme.py as a process."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

# Before any import of torch, transformers or datasets.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",  # the toy model is too small for threads
}
os.environ.update(ENVIRONMENT)
# A shell's background jobs ignore Ctrl-C, and so would what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent


def free_port():
    """A port that nobody listens on, as text."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Folder with the toy world (xtreme/) and the tiny XLM-R (model/). Read only: tests copy what they change."""
    folder = tmp_path_factory.mktemp("world") / "toy"
    subprocess.run(
        [sys.executable, REPOSITORY / "toy_data.py", "--output_dir", folder],
        check=True,
        capture_output=True,
        cwd=REPOSITORY,
    )
    return folder


@pytest.fixture(scope="session")
def run():
    """run(*arguments) -> CompletedProcess of run_xtreme.py, with text stdout and stderr."""

    def run_xtreme(*arguments, script="run_xtreme.py", **options):
        command = [sys.executable, REPOSITORY / script, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=REPOSITORY, **options)

    return run_xtreme
