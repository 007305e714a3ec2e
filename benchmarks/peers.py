"""The whole job, from a pretrained encoder to scores of all languages, against a loop like HF's run_xnli.py.

  python benchmarks/peers.py --model_name_or_path intfloat/multilingual-e5-small --data_dir data/xtreme
  python benchmarks/peers.py --model_name_or_path e5-trimmed --data_dir data/xtreme --variants "" "--bf16 true"

XNLI: training on the first --train_examples pairs in English, then the first --test_examples of every test file. The
peer is a process that trains (random batches padded to 128, float32) and one for each language, as HF's example takes
one; ours is two commands, for training and for all languages. CPU seconds count, user and system, of all processes
with their starts: on a machine with other work they are what stays the same. Accuracies must agree but for the random
draws of head, dropout and batches.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("entailment", "neutral", "contradiction")
SHARED = {
    "learning_rate": 1e-4,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model_name_or_path", required=True)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder in google/xtreme's layout")
    parser.add_argument("--train_examples", type=int, default=800)
    parser.add_argument("--test_examples", type=int, default=750, help="of every language")
    parser.add_argument(
        "--variants", nargs="+", default=[""], help="further flags of ours, one string for a line each"
    )
    parser.add_argument("--output_file", type=Path)
    parser.add_argument("--peer", help=argparse.SUPPRESS)  # a process of the peer: "train en" or "test <language>"
    args = parser.parse_args()
    if args.peer:
        return peer(args, *args.peer.split())
    report = []
    with tempfile.TemporaryDirectory() as folder:
        report.append(["HF example: padded to 128, random, float32", *peer_job(args, Path(folder) / "peer")])
        for number, flags in enumerate(args.variants):
            job = our_job(args, Path(folder) / str(number), flags)
            report.append([f"ours: grouped {flags or '(defaults)'}", *job])
    heads = (f"{title:>{width}}{'ratio':>7}" for title, width in (("training", 10), ("prediction", 12), ("whole", 8)))
    print(f"{'CPU seconds':44}{''.join(heads)}{'accuracy':>10}")
    for name, train, predict, accuracy in report:
        _, first, second, _ = report[0]
        print(
            f"{name:44}{train:10.0f}{first / train:6.2f}x{predict:12.0f}{second / predict:6.2f}x{train + predict:8.0f}"
            f"{(first + second) / (train + predict):6.2f}x{accuracy:10.1f}"
        )
    if args.output_file:
        args.output_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def languages(data_dir):
    return sorted(file.stem.removeprefix("test-") for file in (data_dir / "xnli").glob("test-*.tsv"))


def cpu_seconds(command):
    """(CPU seconds of a command and its children, its standard output)."""
    before = os.times()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr[-1500:]}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, done.stdout


def our_job(args, folder, flags):
    """(CPU seconds of training, of prediction, mean accuracy) of run_xtreme.py."""
    command = [sys.executable, ROOT / "run_xtreme.py", "--task", "xnli", "--data_dir", args.data_dir, *flags.split()]
    command += ["--max_seq_length", 128, "--save_strategy", "no", "--disable_tqdm", "true", "--report_to", "none"]
    command += [word for name, value in SHARED.items() for word in (f"--{name}", value)]
    command += [
        "--gradient_accumulation_steps",
        1,
        "--output_dir",
        folder,
        "--max_predict_samples",
        args.test_examples,
    ]
    begin = ["--model_name_or_path", args.model_name_or_path, "--max_train_samples", args.train_examples]
    train, _ = cpu_seconds([*command, *begin, "--do_train"])
    trained = ["--model_name_or_path", folder, "--do_predict", "--languages", *languages(args.data_dir)]
    predict, _ = cpu_seconds([*command, *trained])
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return train, predict, statistics.mean(json.loads(line)["value"] for line in lines)


# --- The peer


def peer_job(args, folder):
    """The same of the plain loop, a process for training and one for each language."""
    command = [sys.executable, __file__, "--data_dir", args.data_dir, "--train_examples", args.train_examples]
    command += ["--test_examples", args.test_examples, "--output_file", folder]
    train, _ = cpu_seconds([*command, "--model_name_or_path", args.model_name_or_path, "--peer", "train en"])
    command += ["--model_name_or_path", folder, "--peer"]
    seconds, said = zip(*(cpu_seconds([*command, f"test {language}"]) for language in languages(args.data_dir)))
    return train, sum(seconds), statistics.mean(float(text.splitlines()[-1]) for text in said)


def peer(args, split, language):
    """One process of the plain loop: train and save, or print the accuracy of a language."""
    datasets.disable_caching()
    tokenizer = AutoTokenizer.from_pretrained(args.model_name_or_path, trust_remote_code=False)
    number = args.train_examples if split == "train" else args.test_examples
    lines = (args.data_dir / f"xnli/{split}-{language}.tsv").read_text(encoding="utf-8").splitlines()[:number]
    pairs = [line.split("\t") for line in lines]
    rows = datasets.Dataset.from_list([{"a": a, "b": b, "label": LABELS.index(label)} for a, b, label in pairs])
    rows = rows.map(
        lambda batch: tokenizer(batch["a"], batch["b"], padding="max_length", max_length=128, truncation=True),
        batched=True,
    )
    set_seed(42)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model_name_or_path, num_labels=3, trust_remote_code=False
    )
    output = str(args.output_file)
    arguments = TrainingArguments(
        output_dir=output, use_cpu=True, warmup_steps=0.1, weight_decay=0.01, save_strategy="no", disable_tqdm=True,
        report_to="none", **SHARED,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=default_data_collator)
    if split == "train":
        trainer.train()
        trainer.save_model(output)
        return tokenizer.save_pretrained(output)
    predicted = trainer.predict(rows)
    print(100 * float((predicted.predictions.argmax(-1) == predicted.label_ids).mean()))


if __name__ == "__main__":
    main()
