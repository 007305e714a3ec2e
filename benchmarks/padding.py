"""Time run_xtreme.py against a loop in the style of HF's run_xnli.py: padded to 128, random batches, float32.

  python benchmarks/padding.py                      3 rounds, the variants alternating; about 10 minutes on 2 cores
  python benchmarks/padding.py --rounds 1 --bf16 false

Sentence pairs have XNLI's lengths (log-normal, mean 35 sub-tokens, 6 to 128) and a learnable label; the model is a
random XLM-R of width 384 with 4 layers. Prints training and prediction times (medians), their ratios to HF's loop, and
loss and accuracy, which must agree but for the random draws of head, dropout and batches. The first line says how fast
this CPU multiplies matrices in both precisions, which bounds what --bf16 can give. Not part of the tests.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    XLMRobertaConfig,
    XLMRobertaModel,
    default_data_collator,
    set_seed,
)

ROOT = Path(__file__).resolve().parents[1]

PEER = "HF example: pad to 128, random, float32"
VARIANTS = {
    "ours, HF's batches: pad to 128, random": "--pad_to_max_length --train_sampling_strategy random --bf16 false",
    "ours: length-grouped, float32": "--bf16 false",
    "ours: length-grouped, --bf16": "--bf16 true",
}
FLAGS = """--task xnli --do_train --do_predict --max_seq_length 128 --num_train_epochs 1 --learning_rate 5e-4
    --per_device_train_batch_size 32 --per_device_eval_batch_size 64 --save_strategy no --disable_tqdm true"""
LABELS = ("entailment", "neutral", "contradiction")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that each variant runs")
    parser.add_argument("--train_examples", type=int, default=1024)
    parser.add_argument("--test_examples", type=int, default=768, help="in each of two languages")
    parser.add_argument(
        "--bf16", choices=("true", "false"), default="true", help="'false' leaves the bfloat16 variant out"
    )
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)  # a process of the benchmark itself
    args = parser.parse_args()
    if args.peer:
        return train_peer(args.peer)
    names = [PEER, *(name for name in VARIANTS if args.bf16 == "true" or "--bf16 true" not in VARIANTS[name])]
    print(matrix_speed(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words, rng = prepare(folder), random.Random(0)
        write_pairs(folder / "data/xnli/train-en.tsv", words, args.train_examples, rng)
        for language in ("en", "de"):
            write_pairs(folder / f"data/xnli/test-{language}.tsv", words, args.test_examples, rng)
        figures = {name: [] for name in names}  # one dictionary per round
        for index in range(args.rounds):
            for number, name in enumerate(names):
                figures[name].append(measure(folder, name, folder / f"run-{index}-{number}"))
                print(f"round {index + 1}: {name}: {figures[name][-1]}", flush=True)
    print_table(figures)


def print_table(figures):
    print(f"\n{'':44}{'train s':>9}{'ratio':>7}{'predict s':>11}{'ratio':>7}{'loss':>8}{'accuracy':>10}")
    for name, rounds in figures.items():
        median = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        ratio = {
            key: statistics.median(peer[key] / ours[key] for peer, ours in zip(figures[PEER], rounds))
            for key in ("train", "predict")
        }
        print(
            f"{name:44}{median['train']:9.2f}{ratio['train']:6.2f}x{median['predict']:11.2f}{ratio['predict']:6.2f}x"
            f"{median['loss']:8.3f}{median['accuracy']:10.1f}"
        )


# --- What is trained on what


def prepare(folder):
    """The toy tokenizer and a random model of the benchmark's shape; returns words that are one piece each."""
    subprocess.run([sys.executable, str(ROOT / "toy_data.py"), "--output_dir", str(folder / "toy")], check=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / "toy/model", trust_remote_code=False)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=4, num_attention_heads=6, intermediate_size=1536,
        max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaModel(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    words = sorted({tokenizer.decode([index]).strip() for index in range(10, 1000)})
    return [word for word in words if len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1]


def write_pairs(path, words, number, rng):
    """Pairs whose label is told by their first word, one of three."""
    lines = []
    for _ in range(number):
        length = min(128, max(6, round(rng.lognormvariate(3.43, 0.5)))) - 4  # mean 35 with the four special tokens
        label = rng.randrange(3)
        texts = [[rng.choice(words[3:]) for _ in range(max(1, part))] for part in (length // 2, length - length // 2)]
        texts[0][0] = words[label]
        lines.append("\t".join([*(" ".join(text) for text in texts), LABELS[label]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


# --- One run


def measure(folder, name, output):
    """One run as a process of its own: seconds of training and prediction, training loss, mean accuracy."""
    if name == PEER:
        command = [sys.executable, __file__, "--peer", str(folder)]
    else:
        command = [sys.executable, str(ROOT / "run_xtreme.py"), *FLAGS.split(), *VARIANTS[name].split()]
        command += ["--data_dir", str(folder / "data"), "--model_name_or_path", str(folder / "model")]
        command += ["--output_dir", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    if name == PEER:
        return json.loads(done.stdout.splitlines()[-1])
    training = json.loads((output / "train_results.json").read_text())
    results = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    return {
        "train": training["train_runtime"],
        "predict": json.loads((output / "run.json").read_text())["seconds"]["predict"],
        "loss": training["train_loss"],
        "accuracy": statistics.mean(result["value"] for result in results),
    }


def train_peer(folder):
    """The plain HF loop: tokenize to max_length, train, predict each language. Prints its figures as JSON."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", trust_remote_code=False)

    def encode(batch):
        return tokenizer(batch["a"], batch["b"], padding="max_length", max_length=128, truncation=True)

    def load(file):
        lines = (folder / f"data/xnli/{file}.tsv").read_text(encoding="utf-8").splitlines()
        pairs = [line.split("\t") for line in lines]
        rows = Dataset.from_list([{"a": a, "b": b, "label": LABELS.index(label)} for a, b, label in pairs])
        return rows.map(encode, batched=True)

    arguments = TrainingArguments(
        output_dir=str(folder / "peer"), use_cpu=True, num_train_epochs=1, learning_rate=5e-4, warmup_steps=0.1,
        weight_decay=0.01, per_device_train_batch_size=32, per_device_eval_batch_size=64, save_strategy="no",
        disable_tqdm=True, report_to="none",
    )  # fmt: skip
    set_seed(42)
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model", num_labels=3, trust_remote_code=False)
    trainer = Trainer(model=model, args=arguments, train_dataset=load("train-en"), data_collator=default_data_collator)
    outcome = trainer.train()
    start, accuracies = time.time(), []
    for language in ("en", "de"):
        output = trainer.predict(load(f"test-{language}"))
        accuracies.append(100 * float((output.predictions.argmax(-1) == output.label_ids).mean()))
    figures = {
        "train": outcome.metrics["train_runtime"],
        "predict": time.time() - start,
        "loss": outcome.training_loss,
        "accuracy": statistics.mean(accuracies),
    }
    print(json.dumps(figures))


def matrix_speed():
    """GFLOP/s of a linear layer of the benchmark's shape in float32 and bfloat16."""
    speeds = []
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.randn(2240, 384, dtype=dtype), torch.randn(1536, 384, dtype=dtype)
        torch.nn.functional.linear(x, weight)
        start, calls = time.time(), 0
        while time.time() - start < 1:
            torch.nn.functional.linear(x, weight)
            calls += 1
        speeds.append(2 * x.numel() * 1536 * calls / (time.time() - start) / 1e9)
    return f"linear layers on this CPU: float32 {speeds[0]:.0f} GFLOP/s, bfloat16 {speeds[1]:.0f} GFLOP/s"


if __name__ == "__main__":
    main()
