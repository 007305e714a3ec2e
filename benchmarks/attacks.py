"""How many queries a second run_attack.py asks on one core, and how much of the time the model takes.

    python benchmarks/attacks.py --toy demo/toy --layers 2 --queries 100

The toy world's XNLI with its XLM-R cut to so many layers and a fresh head: what is asked is real, what comes of it is
not. Processor time, candidates, encoding, batches, decisions and verification included; reading files is not.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", required=True, help="folder of toy_data.py")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--languages", nargs="+", default=["de", "hi"])
    parser.add_argument("--edits", type=int, default=2)
    parser.add_argument("--queries", type=int, default=100, help="per example")
    parser.add_argument("--batch", type=int, default=64)
    return parser.parse_args()


def timed(model):
    """[seconds of processor time in forward passes], which grow."""
    spent, forward = [0.0], model.forward

    def count(*args, **kwargs):
        begin = time.process_time()
        result = forward(*args, **kwargs)
        spent[0] += time.process_time() - begin
        return result

    model.forward = count
    return spent


def main():
    args = parse()
    import datasets
    import torch
    from transformers import TrainingArguments

    from attack import search, victims
    from attack.texts import Editor, TestFile
    from common import checkpoints, prediction
    from heads import Settings, classification
    from tasks import TARGETS

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    task, folder = TARGETS["xnli"], Path(args.toy)
    tokenizer = checkpoints.load_tokenizer(folder / "model")
    config = checkpoints.load_config(folder / "model", tokenizer, 128)
    model, labels = checkpoints.load_model(classification, folder / "model", config, task.labels)
    del model.base_model.encoder.layer[args.layers :]
    with tempfile.TemporaryDirectory() as output:
        options = {
            "per_device_eval_batch_size": args.batch,
            "use_cpu": True,
            "disable_tqdm": True,
            "report_to": "none",
        }
        training_args = TrainingArguments(output, **options)
    prediction.prepare_to_predict(model, training_args)
    settings = Settings(128, 64, 20, 30)
    predictor = prediction.predictor(classification, labels, settings, training_args, tokenizer)
    for attack in ("random", "greedy"):
        spent, seconds, queries, verified = timed(model), 0.0, 0, 0
        for code in args.languages:
            path = folder / f"xtreme/xnli/test-{code}.tsv"
            rows = classification.read(task, folder / "xtreme", "test", code)
            file = TestFile(str(path), f"xnli/test-{code}.tsv", "xnli", code, None, None, ("hypothesis",), "question")
            texts = file.texts()
            victim, numbers = victims.victim_of(task, model, predictor, rows, file, texts, code, None)
            begin = time.process_time()
            editor, examples = Editor("xnli", ["swap", "delete", "repeat"]), []
            for number in numbers:
                name = texts[number][0].name
                examples.append(search.Example(number, name, texts[number], editor.candidates(texts[number], name)))
            search.search(examples, search.Plan(attack, args.edits, args.queries, 1, 0), victim)
            seconds += time.process_time() - begin
            queries, verified = queries + sum(one.queries for one in examples), verified + len(victim.measured)
        outside = 100 * (1 - spent[0] / seconds)
        print(
            f"{attack}: {queries} queries, {verified} texts alone, {seconds:.1f} s, {queries / seconds:.0f} queries a "
            f"second, {outside:.0f} % of the time outside of the model"
        )


if __name__ == "__main__":
    main()
