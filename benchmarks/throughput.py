"""Training throughput of our loop and of a plain HF one, over batches, precision, attention, compilation, ZeRO stages.

  python benchmarks/throughput.py --sizes toy                      a few minutes on 2 CPU cores
  python benchmarks/throughput.py --sizes base large --steps 60    on a GPU
  python benchmarks/throughput.py --sizes toy --only "ours, grouped*" "HF*"

Random weights of XLM-R's geometry, sentence pairs of XNLI's lengths (log-normal, mean 35 sub-tokens, 6 to 128), AdamW.
Every variant is a process of its own; its first steps (loading kernels, compiling) are not timed. Useful tokens are
those that are not padding. MFU is the model's arithmetic on useful tokens (6 per weight outside the embeddings, and
attention) over the GPU's bfloat16 peak, where that is known. Prints a table, and everything as JSON to --output_file.
Not part of the tests.
"""

import argparse
import fnmatch
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from common import launching  # noqa: E402
from common.batching import Collator  # noqa: E402
from common.trainer import EncoderTrainer  # noqa: E402
from heads import classification  # noqa: E402

SIZES = {  # width, layers, heads, feed-forward width, vocabulary
    "toy": (128, 3, 4, 512, 2000),
    "base": (768, 12, 12, 3072, 250002),
    "large": (1024, 24, 16, 4096, 250002),
}
PEAKS = {  # bfloat16 TFLOP/s without sparsity
    "H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "RTX 4090": 165, "A10": 125,
}  # fmt: skip
VARIANTS = {  # peers first: ratios are to the first line
    "HF: pad to max, float32": {"peer": True, "length": 128},
    "HF: dynamic padding, float32": {"peer": True},
    "HF: dynamic padding, bf16": {"peer": True, "bf16": "true"},
    "HF: pad to max, bf16": {"peer": True, "bf16": "true", "length": 128},
    "ours, pad to max, float32": {"length": 128, "order": "random"},
    "ours, dynamic, float32": {"order": "random"},
    "ours, grouped, float32": {},
    "ours, grouped, bf16": {"bf16": "true"},
    "ours, grouped, bf16, eager attention": {"bf16": "true", "attention": "eager"},
    "ours, grouped, bf16, torch.compile": {"bf16": "true", "compile": True},
    "ours, grouped, bf16, cuDNN's attention": {"bf16": "true", "cudnn": True},
    "ours, grouped, bf16, ZeRO-1": {"zero": "zero1"},
    "ours, grouped, bf16, ZeRO-2": {"zero": "zero2"},
    "ours, grouped, bf16, ZeRO-3": {"zero": "zero3"},
}
LONGEST = 128
INPUTS = ("input_ids", "attention_mask", "labels")  # what HF's Trainer gives to the model


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["toy"])
    parser.add_argument("--only", nargs="+", help="variants of these names; * stands for anything")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument(
        "--warm_up", type=int, default=5, help="steps that are not timed, of --steps; compiling takes 20"
    )
    parser.add_argument("--output_file", type=Path)
    # A process of the benchmark itself: [size, variant, folder].
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps <= args.warm_up:
        parser.error(f"--steps {args.steps}: must be above --warm_up {args.warm_up}, which are not timed")
    if args.one:
        return measure(args, *args.one)

    report = {"hardware": hardware(), "batch_size": args.batch_size, "rows": []}
    print(f"{report['hardware']}; batch {args.batch_size}")
    print(f"{'':46}{'samples/s':>11}{'tokens/s':>11}{'ratio':>8}{'memory GB':>11}{'MFU':>7}", flush=True)
    for size in args.sizes:
        base = None
        for name in VARIANTS:
            if args.only and not any(fnmatch.fnmatch(name, pattern) for pattern in args.only):
                continue
            figures, problem = in_a_process(size, name, args)
            if problem:
                print(f"{size + ': ' + name:46} failed: {problem[:90]}", flush=True)
                continue
            base = base or figures["tokens_per_s"]
            report["rows"].append({"size": size, "variant": name, **figures})
            print(line(f"{size}: {name}", figures, figures["tokens_per_s"] / base), flush=True)
    if args.output_file:
        args.output_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def in_a_process(size, name, args):
    """(figures of a variant, None), or (None, the last line of its error)."""
    command = [sys.executable, __file__]
    for flag in ("batch_size", "steps", "warm_up"):
        command += [f"--{flag}", str(getattr(args, flag))]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--one", json.dumps([size, VARIANTS[name], folder])]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["?"])[-1]
    return json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))), None


def line(title, figures, ratio):
    mfu = f"{100 * figures['mfu']:6.1f}%" if figures["mfu"] else "      -"
    speeds = f"{figures['samples_per_s']:11.1f}{figures['tokens_per_s']:11.0f}{ratio:7.2f}x"
    return f"{title:46}{speeds}{figures['memory_gb']:11.2f}{mfu}"


# --- One variant, in a process of its own


def measure(asked, size, variant, folder):
    """Train one variant for --steps steps and print its figures as JSON."""
    batch, steps, warm_up = asked.batch_size, asked.steps, asked.warm_up
    args, (model, inside) = arguments(variant, batch, steps, folder), build(size, variant.get("attention", "sdpa"))
    clock, peer = Clock(warm_up, steps), variant.get("peer", False)
    torch.backends.cuda.enable_cudnn_sdp(peer or variant.get("cudnn", False))  # PyTorch's default, and ours
    collator = CountingCollator(Collator(model.config.pad_token_id, variant.get("length")), peer)
    options = {
        "model": model,
        "args": args,
        "train_dataset": features(batch * (steps + 1), SIZES[size][-1]),
        "data_collator": collator,
        "callbacks": [clock],
    }
    trainer = Trainer(**options) if peer else EncoderTrainer(**options, head=classification)
    trainer.train()
    seconds = clock.times[1] - clock.times[0]
    tokens, squares = (sum(column) for column in zip(*collator.counts[warm_up:steps]))
    cuda = torch.cuda.is_available()
    memory = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = next((peak for name, peak in PEAKS.items() if cuda and name in torch.cuda.get_device_name()), None)
    flops = (6 * inside * tokens + 12 * model.config.num_hidden_layers * model.config.hidden_size * squares) / seconds
    figures = {
        "samples_per_s": batch * (steps - warm_up) / seconds,
        "tokens_per_s": tokens / seconds,
        "memory_gb": memory / 2**30,
        "tflops": flops / 1e12,
        "mfu": flops / peak / 1e12 if peak else None,
    }
    print(json.dumps(figures))
    launching.finish_distributed()


def features(number, vocabulary):
    """Random sentence pairs with XNLI's lengths."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(3.43, 0.5, number).astype(int), 6, LONGEST)
    columns = {
        "input_ids": [rng.integers(5, vocabulary, length).tolist() for length in lengths],
        "length": lengths.tolist(),
    }
    return Dataset.from_dict({**columns, "labels": rng.integers(0, 3, number).tolist(), "row": list(range(number))})


def build(size, attention):
    """A random XLM-R classifier and its number of weights outside the embeddings."""
    width, layers, heads, inner, vocabulary = SIZES[size]
    config = XLMRobertaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=514, type_vocab_size=1, num_labels=3,
        attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = XLMRobertaForSequenceClassification(config)
    return model, sum(weight.numel() for weight in model.roberta.encoder.parameters())


def arguments(variant, batch, steps, folder):
    """TrainingArguments, with DeepSpeed and precision as the run scripts resolve them."""
    if "zero" in variant:
        given = {"deepspeed": str(ROOT / f"ds_configs/{variant['zero']}.json")}
    else:
        given = {"bf16": variant.get("bf16", "false")}
    given |= {name: value for name, value, _ in launching.launch_flags({"do_train": "true", **given})}
    order = "random" if variant.get("peer") else variant.get("order", "group_by_length")
    args = TrainingArguments(
        output_dir=folder, max_steps=steps, per_device_train_batch_size=batch, save_strategy="no",
        logging_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False,
        train_sampling_strategy=order, torch_compile=variant.get("compile", False),
        **{name: value == "true" if value in ("true", "false") else value for name, value in given.items()},
    )  # fmt: skip
    launching.join_processes(args)
    return args


class CountingCollator:
    """Our collator, which also counts each batch's useful tokens and their squares per example, for attention."""

    def __init__(self, collate, peer):
        self.collate, self.peer, self.counts = collate, peer, []

    def __call__(self, examples):
        lengths = [len(example["input_ids"]) for example in examples]
        self.counts.append((sum(lengths), sum(length**2 for length in lengths)))
        batch = self.collate(examples)
        return {name: batch[name] for name in INPUTS} if self.peer else batch


class Clock(TrainerCallback):
    """The time when the warm-up and the last step have ended: a GPU is not waited for in between."""

    def __init__(self, *steps):
        self.steps, self.times = steps, []

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in self.steps:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())


def hardware():
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
