"""Carry out one step of a study: free GPUs, a log, an end that says whether it is done. The Snakefile calls

    python recipes/job.py NAME --output DIR [--gpus 0 1 2 3 --take 1] -- COMMAND…

Writes DIR/logs/NAME.log and, at its end, DIR/logs/NAME.done, the stamp that Snakemake looks at. Exit code 1 where the
command failed, or stopped before its run was finished: the study ends there, and the same study goes on. Standard
library only.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common.files import write_text  # noqa: E402
from common.run_record import read_run  # noqa: E402

BUSY = "another run is at work in it"  # said by a run whose folder a killed study's step still writes
WAIT = float(os.environ.get("STUDY_WAIT", 5))  # seconds between two looks


def main():
    parser = argparse.ArgumentParser(prog="job.py")
    parser.add_argument("name")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--gpus", nargs="*", default=[])
    parser.add_argument("--take", type=int, default=0)
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    args = parser.parse_args(own)
    sys.exit(carry_out(args, command))


def carry_out(args, command):
    log, started = args.output / f"logs/{args.name}.log", time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    command = with_noise_that_applies(command, args.output)
    print(f"{args.name}: {shlex.join(command)}", flush=True)
    with taken(args.gpus, args.take) as gpus:
        devices = ",".join(gpu.split(".")[0] for gpu in gpus)  # without the number of a share of one
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": devices} if args.gpus else os.environ
        code = attempt(command, log, environment)
        while code and BUSY in log.read_text(encoding="utf-8", errors="replace"):
            time.sleep(WAIT)
            code = attempt(command, log, environment)
    folder = folder_of(command)
    if code or not finished(folder):
        print(*log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:], sep="\n")
        print(f"{args.name} {'failed' if code else 'was stopped'}; its log is {log}", flush=True)
        return 1
    if folder:
        drop_checkpoints(folder)
    write_text(args.output / f"logs/{args.name}.done", fingerprint(command))
    print(f"{args.name}: {time.monotonic() - started:.0f} s", flush=True)
    return 0


def with_noise_that_applies(command, output):
    """The command without noised copies that perturb.py did not write, as their noise applies to no text."""

    def missing(word):
        name, _, folder = word.partition("=")
        ours = name and not name.startswith("-") and folder.startswith(str(output)) and Path(folder).parent.exists()
        return ours and not Path(folder).exists()

    return [word for word in command if not missing(word)]


def attempt(command, log, environment):
    """Exit code of the command. SIGTERM goes on to it, Ctrl-C reaches it by itself: it saves what it has."""
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        signal.signal(signal.SIGINT, lambda *_: None)
        return process.wait()


@contextlib.contextmanager
def taken(gpus, number):
    """`number` of the GPUs, named as CUDA names them, for this process alone among all studies of the machine.

    A lock on a file each, which ends with the process, and that of a step whose engine was killed with the step.
    """
    locks = {}
    while len(locks) < min(number, len(gpus)):
        for gpu in gpus:
            if gpu not in locks and len(locks) < number:
                file = open(Path(tempfile.gettempdir()) / f"study-{os.getuid()}-gpu{gpu}.lock", "w")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    locks[gpu] = file
                except BlockingIOError:
                    file.close()
        if len(locks) < min(number, len(gpus)):
            for file in locks.values():  # or two runs of several GPUs could wait for each other
                file.close()
            locks = {}
            time.sleep(WAIT / 5)
    try:
        yield list(locks)
    finally:
        for file in locks.values():
            file.close()


def folder_of(command):
    """The folder that a run trains or predicts into, None for other scripts."""
    if "--output_dir" not in command or not any(word.startswith("run_") for word in command):
        return None
    return Path(command[command.index("--output_dir") + 1])


def finished(folder):
    """Whether a run came to its end: a signal makes it save a checkpoint and exit with 0."""
    if folder is None or not (folder / "run.json").exists():
        return True
    return bool(read_run(folder).get("finished_at"))


def fingerprint(command):
    """What a step has made, in short: the same after a second time in which it found everything done.

    Of a run its weights and results, of other scripts all files; weights and files by size and time.
    """
    if "--output_dir" not in command:
        return ""
    folder = Path(command[command.index("--output_dir") + 1])
    results = folder / "results.jsonl"
    files = folder.glob("*.safetensors") if results.exists() or (folder / "run.json").exists() else folder.rglob("*")
    lines = [results.read_text(encoding="utf-8")] if results.exists() else []
    for path in sorted(path for path in files if path.is_file() and path.suffix != ".lock"):
        status = path.stat()
        lines.append(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() + "\n"


def drop_checkpoints(folder):
    """The model that was selected lies in the folder itself."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
