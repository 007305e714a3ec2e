"""How far a run is: a bar on a terminal, a line a minute elsewhere. Processes count what they did in shared memory."""

import contextlib
import multiprocessing
import os
import sys
import threading
import time

COUNTS = None  # [bytes noised, bytes to noise], shared by all processes; None where nobody watches
STEP = 1 << 18  # bytes of a file after which a process counts them
SECONDS = 60  # between two lines where there is no terminal


def count(done=0, more=0):
    """Add bytes that are done; more: bytes that are to do again, of a file that missed its rate."""
    if COUNTS is not None:
        with COUNTS.get_lock():
            COUNTS[0] += done
            COUNTS[1] += more


def join(counts):
    """In a worker: count there."""
    global COUNTS
    COUNTS = counts


class Watch:
    """What is shown: files done of all, and the share of the bytes."""

    def __init__(self, files, size):
        self.files, self.done, self.begin, self.terminal = files, 0, time.monotonic(), sys.stderr.isatty()
        self.counts = multiprocessing.Array("q", [0, size])

    def line(self):
        done, size = self.counts[0], max(1, self.counts[1])
        share, seconds = min(1.0, done / size), time.monotonic() - self.begin
        left = f", {clock(seconds * (1 - share) / share)} left" if share > 0.01 else ""
        bar = ("#" * int(30 * share)).ljust(30, ".")
        return f"[{bar}] {share:4.0%}, {self.done}/{self.files} files, {clock(seconds)}{left}"

    def show(self, end=""):
        text = f"\r{self.line():<79.79}{end}" if self.terminal else f"{self.line()}\n"
        os.write(sys.stderr.fileno(), text.encode())  # takes no lock, which a process that forks now would inherit


def clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


@contextlib.contextmanager
def watched(files, size):
    """Show the progress of the block, and give its Watch, whose `done` the block raises with each file."""
    watch, over = Watch(files, size), threading.Event()
    join(watch.counts)

    def tell():
        while not over.wait(0.5 if watch.terminal else SECONDS):
            watch.show()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        join(None)
        if watch.terminal and files:
            watch.show("\n")
