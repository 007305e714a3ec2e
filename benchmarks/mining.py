"""Time the search behind BUCC, the four nearest of every sentence in both directions, against faiss, exact as well.

  python benchmarks/mining.py --peer faiss/bin/python       an environment in which pip installed faiss-cpu
  python benchmarks/mining.py --peer faiss/bin/python --sentences 30000 --width 1024

Vectors are drawn so that every sentence has a translation with a cosine of about .7. CPU seconds of one thread, median
of --rounds, the two alternating; faiss searches once in each direction, as XTREME's script does. The neighbors of the
two must be the same but for near ties, whose share is printed. BLAS differs: torch's is MKL, faiss's OpenBLAS.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
K = 4


def search_faiss(x, y):
    import faiss

    found = []
    for queries, candidates in ((x, y), (y, x)):
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(candidates)
        found.append(index.search(queries, K))
    return found


def search_ours(x, y):
    sys.path.insert(0, str(ROOT))
    from common.search import neighbors

    return neighbors(x, y, K)


def work(name, folder):
    """In an environment of its own: search, print CPU seconds, save the neighbors."""
    x, y = (np.load(folder / f"{side}.npy") for side in "xy")
    search = {"faiss": search_faiss, "ours": search_ours}[name]
    search(x[:100], y[:100])  # imports
    started = time.process_time()
    (_, forward), (_, backward) = search(x, y)
    print(time.process_time() - started)
    np.save(folder / f"{name}.npy", np.concatenate((forward, backward)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="Python of an environment with faiss-cpu")
    parser.add_argument("--sentences", type=int, default=20_000, help="on each side")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker[0], Path(args.worker[1]))
    if not args.peer:
        parser.error("--peer is missing; give the Python of an environment with faiss-cpu")
    random = np.random.default_rng(0)
    x, noise = random.standard_normal((2, args.sentences, args.width), dtype=np.float32)
    y = random.permutation(x + noise)
    seconds = {"faiss": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        for side, vectors in (("x", x), ("y", y)):
            np.save(f"{folder}/{side}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        for _ in range(args.rounds):
            for name, python in (("faiss", args.peer), ("ours", sys.executable)):
                command = [python, __file__, "--worker", name, folder]
                done = subprocess.run(command, env={**os.environ, **THREADS}, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
                seconds[name].append(float(done.stdout.splitlines()[-1]))
        faiss, ours = (np.load(f"{folder}/{name}.npy") for name in seconds)
    medians = {name: statistics.median(several) for name, several in seconds.items()}
    print(f"{args.sentences:,} x {args.sentences:,} sentences, width {args.width}, one thread, CPU seconds")
    print(f"faiss {medians['faiss']:.1f}  ours {medians['ours']:.1f}  {medians['faiss'] / medians['ours']:.2f}x")
    print(
        f"other neighbors: {(faiss != ours).mean():.2e} of all, {(faiss[:, 0] != ours[:, 0]).mean():.2e} of the first"
    )


if __name__ == "__main__":
    main()
