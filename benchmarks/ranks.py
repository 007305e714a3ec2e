"""How long processes wait for the slowest one, by order of examples: a simulation on a task's real lengths.

  python benchmarks/ranks.py --tokenizer xlm-roberta-large --data_dir data/xtreme --tasks udpos xnli xquad
  python benchmarks/ranks.py --tokenizer outputs/mnli --data_dir data/xtreme --split 8x4x1 4x4x2

A micro-batch takes its examples times its longest, padded to 8. `straggler` is the slowest process's time over the
mean of all, `tokens` the slowest one's over what it would be without padding and with equal shares.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from accelerate.data_loader import BatchSamplerShard  # noqa: E402
from datasets import disable_progress_bars  # noqa: E402
from torch.utils.data import BatchSampler  # noqa: E402

from common import checkpoints  # noqa: E402
from common.batching import Collator, LengthGroupedSampler, RebalancedSampler  # noqa: E402
from heads import Settings, head_of  # noqa: E402
from tasks import TARGETS  # noqa: E402

ORDERS = ("random", "group_by_length", "batch_rebalance")
COLLATOR = Collator(1, step=8)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tokenizer", default="xlm-roberta-large", help="folder or Hub id")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder in google/xtreme's layout")
    parser.add_argument("--tasks", nargs="+", choices=sorted(TARGETS), default=["udpos", "xnli", "xquad"])
    parser.add_argument("--rows", type=int, default=3000, help="of the training set, at most")
    parser.add_argument(
        "--split", nargs="+", default=["8x4x1", "4x4x2", "1x8x4"], help="processes x examples x accumulation"
    )
    args = parser.parse_args()
    disable_progress_bars()
    tokenizer = checkpoints.load_tokenizer(args.tokenizer)
    print(f"{'task':8}{'split':8}{'order':18}{'straggler':>10}{'tokens':>8}")
    for name in args.tasks:
        task, head = TARGETS[name], head_of(TARGETS[name])
        settings = Settings(task.defaults.max_seq_length, task.defaults.doc_stride, 20, 30)
        rows = head.read(task, args.data_dir, "train", "en")
        rows = rows.select(range(min(args.rows, len(rows))))
        features = head.encode(rows, tokenizer, task.labels, settings)
        for split in args.split:
            for order in ORDERS:
                straggler, tokens = simulated(features, order, *map(int, split.split("x")))
                print(f"{name:8}{split:8}{order:18}{straggler:10.2f}{tokens:8.2f}", flush=True)


def simulated(features, order, processes, size, accumulation):
    """(slowest process's time over the mean, its tokens over an equal share of all without padding)."""
    plans = [list(batches(features, order, one, processes, size, accumulation)) for one in range(processes)]
    lengths, updates = np.array(features["length"][:]), len(features) // (processes * size * accumulation)
    slots = [[plan[number] for plan in plans] for number in range(updates * accumulation)]  # of whole updates
    costs = np.array([[len(one) * COLLATOR.padded(int(lengths[one].max())) for one in slot] for slot in slots])
    share = lengths[[index for slot in slots for one in slot for index in one]].sum() / processes
    slowest = costs.max(1).sum()
    return slowest / costs.mean(1).sum(), slowest / share


def batches(features, order, process, processes, size, accumulation):
    """A process's micro-batches of an epoch, as HF's Trainer and accelerate make them."""
    lengths, effective = features["length"][:], processes * size * accumulation
    if order == "batch_rebalance":
        padded = [COLLATOR.padded(length) for length in lengths]
        return RebalancedSampler(padded, effective, processes, accumulation, seed=1, rank=process, drop_last=False)
    sampler = LengthGroupedSampler(lengths, effective, seed=1)
    if order == "random":
        sampler = np.random.default_rng(1).permutation(len(lengths)).tolist()
    return BatchSamplerShard(BatchSampler(sampler, size, False), processes, process)


if __name__ == "__main__":
    main()
