"""Time run_xtreme.py's batching against HF's example setting (every input padded to 128, random batches, float32), in one run.

  python benchmarks/padding.py                      3 rounds, the variants alternating; about 10 minutes on 2 cores
  python benchmarks/padding.py --rounds 1 --bf16 false

Sentence pairs have XNLI's lengths (log-normal, mean 35 sub-tokens, 6 to 128) and a learnable label; the model is a random
XLM-R of width 384 with 4 layers. Prints training and prediction times (medians), their ratios to HF's setting, and loss
and accuracy, which must agree. Not part of the tests: the ratios hold on a quiet machine only.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

VARIANTS = {
    "HF examples: pad to 128, random, float32": ["--pad_to_max_length", "--train_sampling_strategy", "random", "--bf16", "false"],
    "default: length-grouped, float32": ["--bf16", "false"],
    "default with --bf16": ["--bf16"],
    "default with --bf16 --bf16_full_eval": ["--bf16", "--bf16_full_eval"],
}
LABELS = ("entailment", "neutral", "contradiction")


def write_pairs(path, words, number, rng):
    """Pairs whose label is told by their first word, one of three."""
    lines = []
    for _ in range(number):
        length = min(128, max(6, round(rng.lognormvariate(3.43, 0.5)))) - 4  # mean 35 with the four special tokens
        label = rng.randrange(3)
        texts = [[rng.choice(words[3:]) for _ in range(max(1, part))] for part in (length // 2, length - length // 2)]
        texts[0][0] = words[label]
        lines.append("\t".join([*(" ".join(text) for text in texts), LABELS[label]]))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def prepare(folder):
    """Toy tokenizer, a random model of the benchmark's shape, and data."""
    import torch
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    from toy_data import generate

    generate(folder / "toy")
    tokenizer = AutoTokenizer.from_pretrained(folder / "toy/model")
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=4, num_attention_heads=6, intermediate_size=1536, max_position_embeddings=514,
        type_vocab_size=1, layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaModel(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    words = sorted({tokenizer.decode([index]).strip() for index in range(10, 1000)})
    words = [word for word in words if len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1]
    (folder / "data/xnli").mkdir(parents=True)
    return words


def measure(folder, name, output):
    data = ["--task", "xnli", "--data_dir", str(folder / "data"), "--model_name_or_path", str(folder / "model"), "--output_dir", str(output)]
    shape = ["--max_seq_length", "128", "--num_train_epochs", "1", "--learning_rate", "5e-4", "--save_strategy", "no", "--disable_tqdm", "true"]
    stages = ["--do_train", "--do_predict", "--per_device_train_batch_size", "32", "--per_device_eval_batch_size", "64"]
    done = subprocess.run([sys.executable, str(ROOT / "run_xtreme.py"), *data, *shape, *stages, *VARIANTS[name]], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    training = json.loads((output / "train_results.json").read_text())
    rows = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    return {
        "train": training["train_runtime"],
        "predict": json.loads((output / "run.json").read_text())["seconds"]["predict"],
        "loss": training["train_loss"],
        "accuracy": statistics.mean(row["value"] for row in rows),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3, help="times that each variant runs")
    parser.add_argument("--train_examples", type=int, default=1024)
    parser.add_argument("--test_examples", type=int, default=768, help="in each of two languages")
    parser.add_argument("--bf16", choices=("true", "false"), default="true", help="'false' leaves the bfloat16 variant out")
    args = parser.parse_args()
    names = [name for name in VARIANTS if args.bf16 == "true" or "--bf16" not in name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words, rng = prepare(folder), random.Random(0)
        for file, number in (("train-en", args.train_examples), ("test-en", args.test_examples), ("test-de", args.test_examples)):
            write_pairs(folder / f"data/xnli/{file}.tsv", words, number, rng)
        rounds = {name: [] for name in names}
        for index in range(args.rounds):
            for number, name in enumerate(names):
                rounds[name].append(measure(folder, name, folder / f"run-{index}-{number}"))
                print(f"round {index + 1}: {name}: {rounds[name][-1]}", flush=True)
    base = rounds[names[0]]
    print(f"\n{'':44}{'train s':>9}{'ratio':>7}{'predict s':>11}{'ratio':>7}{'loss':>8}{'accuracy':>10}")
    for name, found in rounds.items():
        median = {key: statistics.median(row[key] for row in found) for key in found[0]}
        ratio = {key: statistics.median(old[key] / new[key] for old, new in zip(base, found)) for key in ("train", "predict")}
        print(
            f"{name:44}{median['train']:9.2f}{ratio['train']:6.2f}x{median['predict']:11.2f}{ratio['predict']:6.2f}x"
            f"{median['loss']:8.3f}{median['accuracy']:10.1f}"
        )


if __name__ == "__main__":
    main()
