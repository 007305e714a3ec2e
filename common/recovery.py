"""How a run survives: whole checkpoints, signals, one run per folder, room on the disk, one line for every failure.

A checkpoint is whole once its complete.json is there, written last, with the size and CRC of every file; what a killed
run left half-written has none and is removed by the next run. Standard library only.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
import zlib
from pathlib import Path

from common.files import InputError, write_json
from common.run_record import read_run

logger = logging.getLogger("xtreme")

MARKER = "complete.json"
AGAIN = "run the same command again to go on"
# another process is gone or stuck
LOST = r"(?i)timed? ?out|connection (closed|reset)|monitoredBarrier|DistBackendError|DistNetworkError"
PATIENCE = 25  # seconds; torchrun and Slurm kill after 30
_signals, _locks, _begun = [], [], []  # received; held; not empty once there is work that can be lost


class Failure(RuntimeError):
    """A failure at work, in one line; scripts exit with code 1."""


class Stopped(Exception):
    """The run was asked to stop and has kept its work; scripts exit with code 0."""


@contextlib.contextmanager
def guarded(parser, kept):
    """Turn what ends a run into one line and an exit code; `kept` says what a rerun goes on from.

    SIGTERM and SIGUSR1 (Slurm's pre-emption) only ask the run to stop: see `stop_requested`.
    """
    _signals.clear()
    _begun.clear()
    before = {
        number: signal.signal(number, lambda number, frame: _signals.append(number))
        for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    rank, several = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)) > 1
    named = f"{parser.prog}: error: " + (f"process {rank}: " if several else "")
    try:
        with listening(parser.prog, kept) if several else contextlib.nullcontext():
            yield
    except InputError as error:
        if several:
            leave_alike(parser.prog, rank, str(error))
        leave(2, f"{parser.prog}: error: {error}")
    except Stopped as stopped:
        from common.launching import finish_distributed  # torch is there by now

        finish_distributed()
        leave(0, "" if rank else f"{parser.prog}: {stopped}")
    except Failure as error:
        leave(1, f"{named}{error}")
    except (Exception, KeyboardInterrupt) as error:
        if interrupted(error):
            leave(130, "" if rank else f"{parser.prog}: interrupted; {kept}, {AGAIN}")
        # an OSError is a full disk, a lost network folder
        problem = str(error) if isinstance(error, OSError) else known_problem(error)
        if not problem:
            raise
        leave(1, f"{named}{problem}; {kept}, {AGAIN}")
    finally:
        release()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def listening(prog, kept):
    """Let a process of several end when it is asked to stop, even while C++ waits for other processes.

    Python runs no handler then. Before work has begun there is nothing to keep; after that, PATIENCE decides.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=listen, args=(reading, prog, kept), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)


def listen(reading, prog, kept):
    """The thread of `listening`: reads the numbers of the signals that arrive."""
    while numbers := os.read(reading, 64):
        asked = [signal.Signals(number).name for number in numbers if number in (signal.SIGTERM, signal.SIGUSR1)]
        limit = time.monotonic() + PATIENCE
        while asked and _begun and not _signals and time.monotonic() < limit:
            time.sleep(0.1)
        if asked and not _begun:
            first = int(os.environ.get("RANK", 0)) == 0  # one line is enough
            end(0, f"{prog}: stopped by {asked[0]} before the work began; {AGAIN}" if first else "")
        if asked and not _signals:
            stuck = f"process {os.environ.get('RANK', 0)}: stopped by {asked[0]} while it waited for another process"
            end(1, f"{prog}: error: {stuck}; {kept}, {AGAIN}")
    os.close(reading)


def begin():
    """From here on there is work that a signal must not lose."""
    _begun.append(True)


def leave_alike(prog, rank, message):
    """Exit, one process of several, for an input error: all may have the same, which the first one says."""
    from common.once import said_by_first

    if rank == 0:
        print_line(f"{prog}: error: {message}")
        said_by_first(message)
    elif not said_by_first(message):
        print_line(f"{prog}: error: process {rank}: {message}")
    os._exit(2)


def print_line(message):
    """On stderr, whatever blanks are in it, and whatever thread says it."""
    sys.stderr.write(f"{' '.join(message.split())}\n" if message else "")
    sys.stderr.flush()
    sys.stdout.flush()


def end(code, message):
    """Exit at once from any thread, with one line."""
    print_line(message)
    os._exit(code)


def leave(code, message):
    """Exit with one line; beside other processes at once.

    The interpreter's own end may wait for them, and they fail when this one is gone.
    """
    if code and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        end(code, message)
    print_line(message)
    sys.exit(code)


def interrupted(error):
    """Whether it is Ctrl-C, or came of it: torch.save, for one, turns it into a failure of its own."""
    return isinstance(error, KeyboardInterrupt) or error is not None and interrupted(error.__context__)


def known_problem(error):
    """What libraries raise under general types, in words; None for the unknown, whose traceback is wanted."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if type(error).__name__ == "OutOfMemoryError":  # in prediction; training says more
        return (
            f"out of GPU memory ({str(error).split('. ')[0]}); try fewer --max_tokens_per_batch, or half the "
            "--per_device_eval_batch_size or --max_seq_length"
        )
    if re.search(LOST, text):
        return (
            f"waited for another process in vain ({text}); the log of the one that stopped first says why, one "
            "that says nothing is stuck"
        )
    if re.search(r"SafetensorError|PytorchStreamWriter|inline_container|\(os error \d+\)", text):
        return f"a file could not be written or read ({text}); check the disk's free space"
    return None


def stop_requested():
    """Whether this process was asked to stop."""
    return bool(_signals)


def stopped(kept):
    return Stopped(
        f"stopped by {signal.Signals(_signals[-1]).name if _signals else 'a signal to another process'}; {kept}, "
        f"{AGAIN}"
    )


# --- The folder -----------------------------------------------------------------------------------------------------


def lock(folder):
    """Hold the folder until this process ends, however it ends; InputError where another run does.

    Removes a killed run's temporary files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / ".lock", "a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        other = f"another run is at work in it (process {file.read().strip()})"
        raise InputError(f"--output_dir {folder}: {other}; wait for it or name a new folder") from None
    except OSError as error:
        logger.warning(
            "%s: this file system cannot lock (%s); do not start two runs in one folder", folder, error.strerror
        )
    file.truncate(0)
    file.write(f"{os.getpid()} on {os.uname().nodename}\n")
    file.flush()
    _locks.append(file)
    for leftover in [*folder.rglob(".*.[0-9]*.tmp"), *folder.rglob(".tmp??????")]:  # ours, and safetensors'
        leftover.unlink(missing_ok=True)


def release():
    """Let go of all folders that this process holds."""
    while _locks:
        _locks.pop().close()


os.register_at_fork(after_in_child=release)  # or a worker would hold a folder whose run was killed


@contextlib.contextmanager
def locked(folder):
    """Hold a folder while the block runs; one that is made for it and that an InputError leaves empty goes again."""
    folder, made = Path(folder), not Path(folder).exists()
    lock(folder)
    try:
        yield
    except InputError:
        if made and [path.name for path in folder.iterdir()] == [".lock"]:
            shutil.rmtree(folder)
        raise
    finally:
        release()


def take_folder(folder, previous):
    """Lock the folder; InputError where its run.json is no longer the one that was checked."""
    lock(folder)
    if read_run(folder) != previous:
        raise InputError(f"--output_dir {folder}: another run has worked in it meanwhile; {AGAIN}")


def check_room(folder, needed):
    """OSError where the disk has less free than `needed` bytes: better before a file is begun than in the middle."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"{folder}: {needed / 1e6:.0f} MB are to be saved and the disk has {free / 1e6:.0f} MB free; make room "
            "there"
        )


# --- Checkpoints ----------------------------------------------------------------------------------------------------


def seal(checkpoint):
    """Declare a checkpoint whole: the last file that is written into it."""
    checkpoint = Path(checkpoint)
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MARKER]
    write_json(
        checkpoint / MARKER, {str(path.relative_to(checkpoint)): [path.stat().st_size, crc(path)] for path in files}
    )


def damage(checkpoint):
    """What is wrong with a checkpoint, None where it is whole."""
    checkpoint = Path(checkpoint)
    try:
        files = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"no readable {MARKER}: not finished when its run ended"
    for name, (size, code) in files.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != size:
            return f"{name} is {'cut off' if path.is_file() else 'missing'}"
        if crc(path) != code:
            return f"{name} was changed after it was written"
    return None


def crc(path):
    code = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            code = zlib.crc32(block, code)
    return code


def checkpoints(folder):
    """checkpoint-<step> folders, the newest first."""
    steps = {path: path.name.removeprefix("checkpoint-") for path in Path(folder).glob("checkpoint-*")}
    return sorted((path for path in steps if steps[path].isdecimal()), key=lambda path: -int(steps[path]))


def resume_point(folder, asked):
    """The checkpoint to go on from, None to begin: `asked` for, or the newest whole one. Damaged ones are removed.

    A checkpoint also needs the best one that its trainer_state.json names, which is loaded at the end.
    """
    folder = Path(folder)
    if asked and str(asked).lower() not in ("true", "last"):
        problem = damage(asked)
        if problem:
            raise InputError(
                f"--resume_from_checkpoint {asked}: {problem}; name another checkpoint, or 'last' for the newest "
                "whole one"
            )
        return str(asked)
    problems = {path: damage(path) for path in checkpoints(folder)}
    for path in [path for path, problem in problems.items() if problem]:
        logger.warning("%s: %s; removed", path, problems.pop(path))
        shutil.rmtree(path)
    for path in problems:
        best = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))["best_model_checkpoint"]
        if best is None or folder / Path(best).name in problems:
            logger.info("going on from %s", path)
            return str(path)
    return None
