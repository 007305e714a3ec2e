"""Runs of several processes of which one is missing, wrong or asked to stop: one line, and all end within seconds."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import free_port

ROOT = Path(__file__).resolve().parent.parent
CHANGED = "import os, sys; sys.path.insert(0, {root!r}); import run_xtreme; from common.files import InputError\n"


def flags(toy, output, *more):
    data = ["--task", "xnli", "--data_dir", str(toy / "xtreme"), "--model_name_or_path", str(toy / "model")]
    train = ["--do_train", "--max_train_samples", "8", "--max_steps", "1", "--max_seq_length", "32"]
    return [*data, "--output_dir", str(output), *train, *more]


def alone(command, port, rank=0):
    """A process of two, started as srun does."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def errors(text):
    return [line for line in text.splitlines() if line.startswith("run_xtreme.py")]


def test_a_process_that_never_comes_is_waited_for_as_long_as_ddp_timeout_says(toy, tmp_path):
    process = alone(["run_xtreme.py", *flags(toy, tmp_path / "run", "--ddp_timeout", "2")], free_port())
    (line,) = errors(process.communicate(timeout=120)[1])
    assert process.returncode == 1 and not (tmp_path / "run").exists()
    assert "process 0: waited for another process in vain (" in line and "1/2 clients joined" in line


def test_a_process_that_waits_for_others_can_be_stopped(toy, tmp_path):
    code = CHANGED.format(root=str(ROOT)) + (
        "from common import launching; meet = launching.meet\n"
        "launching.meet = lambda given: (print('waits', flush=True), meet(given))\n"
        "run_xtreme.main(sys.argv[1:])"
    )
    process = alone(["-c", code, *flags(toy, tmp_path / "run")], free_port())
    assert process.stdout.readline() == "waits\n"
    time.sleep(1)  # in C++ by now
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    (line,) = errors(process.communicate(timeout=20)[1])
    assert time.monotonic() - start < 5 and process.returncode == 0
    assert line == "run_xtreme.py: stopped by SIGTERM before the work began; run the same command again to go on"


STUCK = """
import sys
from datetime import timedelta
from torch.distributed import TCPStore
from common import arguments, recovery
recovery.PATIENCE = 1
with recovery.guarded(arguments.Parser(prog="run_xtreme.py"), "checkpoints are kept"):
    store = TCPStore("127.0.0.1", int(sys.argv[1]), is_master=True, wait_for_workers=False)
    recovery.begin()
    print("waits", flush=True)
    store.get("what nobody sets")
"""


def test_work_that_hangs_in_another_process_can_be_stopped():
    port = free_port()
    process = alone(["-c", STUCK, str(port)], port)
    assert process.stdout.readline() == "waits\n"
    time.sleep(1)  # in C++ by now
    process.send_signal(signal.SIGUSR1)
    (line,) = errors(process.communicate(timeout=20)[1])
    assert process.returncode == 1 and "process 0: stopped by SIGUSR1 while it waited for another process" in line
    assert "checkpoints are kept, run the same command again" in line


def test_a_port_in_use_is_named(toy, tmp_path):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        process = alone(["run_xtreme.py", *flags(toy, tmp_path / "run")], port)
        (line,) = errors(process.communicate(timeout=120)[1])
    assert process.returncode == 2 and not (tmp_path / "run").exists()
    assert f"error: port {port} of 127.0.0.1 is in use, by another run perhaps; give the launcher another one" in line


# A file that only one node lacks, before the processes meet and after; one that all lack.
WRONG = {
    "before they meet": ("check_arguments", ["1"], ["process 1: /data/{rank}: no such file"]),
    "after": ("read_rows", ["1"], ["process 1: /data/{rank}: no such file"]),
    "all alike": ("check_arguments", ["0", "1"], ["/data: no such file"]),
    "each its own": ("read_rows", ["0", "1"], ["/data/0: no such file", "process 1: /data/1: no such file"]),
}


SLOW = ("before they meet", "each its own")  # and like the others but for the moment


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WRONG])
def test_every_processs_input_error_is_printed_once_and_all_end(toy, tmp_path, name):
    function, ranks, lines = WRONG[name]
    path = "/data" if name == "all alike" else "/data/{rank}"
    (tmp_path / "script.py").write_text(
        CHANGED.format(root=str(ROOT))
        + f"original, rank = run_xtreme.{function}, os.environ['RANK']\n"
        + "def wrong(*args):\n"
        + f"    if rank in {ranks!r}:\n"
        + "        import time; os.write(1, f'wrong {time.time()}\\n'.encode())  # whole, whoever writes beside it\n"
        + f"        raise InputError(f'{path}: no such file')\n"
        + "    return original(*args)\n"
        + f"run_xtreme.{function} = wrong\n"
        + "run_xtreme.main(sys.argv[1:])\n"
    )
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "script.py")]
    command = [sys.executable, *launcher, *flags(toy, tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    # the process that was right may say that it was stopped, or that the other one is gone
    right = "before the work began", "process 0: waited for another process in vain"
    told = [line for line in errors(done.stderr) if not any(words in line for words in right)]
    assert done.returncode != 0 and not (tmp_path / "run").exists()
    assert sorted(told) == sorted(f"run_xtreme.py: error: {line.format(rank=1)}" for line in lines), done.stderr
    last = max(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("wrong"))
    assert time.time() - last < 20
