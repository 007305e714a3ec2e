"""What all tests share: an offline environment, the toy world (made once per session), scripts run as processes."""

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
# a shell's background jobs ignore Ctrl-C, and so would what tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent


def free_port():
    """A port of this machine that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def torchrun(script, arguments, **options):
    """The CompletedProcess of a script on two processes; fails where the script does."""
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    options = {"capture_output": True, "text": True, "timeout": 600, **options}
    done = subprocess.run([sys.executable, *launcher, script, *arguments], **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def on_toy(toy, task, output, model=None):
    """Flags of run_xtreme.py: a task of the toy world, its tiny XLM-R or another model, an output folder."""
    model = model or toy / "model"
    return f"--task {task} --data_dir {toy}/xtreme --model_name_or_path {model} --output_dir {output}".split()


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
