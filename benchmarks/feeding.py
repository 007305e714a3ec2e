"""How fast the pipeline around the model is: rows per CPU second of every stage, and of runs of run_xtreme.py.

  python benchmarks/feeding.py --tokenizer xlm-roberta-large --data_dir data/xtreme
  python benchmarks/feeding.py --tokenizer outputs/mnli --data_dir data/xtreme --output_file feed.json
  python benchmarks/feeding.py --model outputs/mnli --data_dir data/xtreme --tasks xnli --rows 200

Without --model the model is a stub of one layer and width 16 over the tokenizer's whole vocabulary, so that all that a
GPU would wait for is what is measured; with it, its share in the whole says how much is lost on a real one. Test files
are the given ones, repeated up to --rows rows (question answering and retrieval as they are). A stage runs alone, in
one thread. `predict` is what a run of all languages takes longer than one of a single language, `train` what a run of
many steps takes longer than one of a few; `start` is what is left of the run of a single language. `clock` is
`predict` by the clock, with the tokenizer's threads beside the model's: to be read on a quiet machine alone.
CPU seconds count, of all threads: on a machine with other work they are what stays the same. Where there is a GPU,
seconds of the clock do, of runs and of the stage `model`, which is then all that happens between features and what
decoding needs: collating, copies and bfloat16 passes, in batches of as many tokens as a run takes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from datasets import disable_progress_bars  # noqa: E402
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel  # noqa: E402

import metrics  # noqa: E402
from common import checkpoints, prediction  # noqa: E402
from common.batching import Collator  # noqa: E402
from common.ragged import Columns  # noqa: E402
from heads import Settings, head_of, path_of  # noqa: E402
from tasks import LANGUAGES, TARGETS  # noqa: E402

TASKS = ("xnli", "panx", "xquad", "tatoeba")
REPEATED = ("classification", "tagging")  # kinds whose files are lines and can be repeated
STAGES = ("read", "encode", "collate", "model", "decode", "write", "predict", "train", "clock")
STEPS = 10, 210  # of the two runs that training is measured by
BATCH = 64
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NOW, UNIT = (time.perf_counter, "second") if DEVICE == "cuda" else (time.process_time, "CPU second")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--tokenizer", default="xlm-roberta-large", help="folder or Hub id that the stub takes it from"
    )
    parser.add_argument("--model", help="folder or Hub id of a real encoder in place of the stub")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder in google/xtreme's layout")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--rows", type=int, default=5010, help="of every test file of xnli and panx")
    parser.add_argument("--languages", type=int, default=6, help="test files of a task that are read, at most")
    parser.add_argument("--no_train", action="store_true", help="leave training out")
    parser.add_argument("--output_file", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} cores"
    report = {"hardware": device, "rows": args.rows, "model": args.model or "stub", "tasks": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = args.model or stub(args.tokenizer, folder / "stub")
        print(f"{'rows per ' + UNIT:20}" + "".join(f"{stage:>10}" for stage in STAGES) + f"{'start s':>10}")
        for name in args.tasks:
            figures = measure(TARGETS[name], args, model, folder / name)
            report["tasks"][name] = figures
            shown = (f"{figures[stage]:10.0f}" if stage in figures else f"{'-':>10}" for stage in STAGES)
            print(f"{name:20}" + "".join(shown) + f"{figures['start_seconds']:10.1f}", flush=True)
    if args.output_file:
        args.output_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def stub(source, folder):
    """A random encoder of one layer with the tokenizer of `source`; returns its folder."""
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    config = XLMRobertaConfig(
        vocab_size=max(len(tokenizer), 250002), hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=16, max_position_embeddings=514, type_vocab_size=1, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def measure(task, args, model, folder):
    """{stage: rows per CPU second, "start_seconds"} of a task; the rows of question answering are its windows."""
    languages = prepare(task, args, folder / "data")
    head = head_of(task)
    figures, rows = stages(task, head, model, folder / "data", languages) if task.kind != "retrieval" else ({}, 1000)
    run = ["--task", task.name, "--data_dir", str(folder / "data"), "--model_name_or_path", model]
    trained = folder / "model"
    source = model if task.kind == "retrieval" else str(trained)
    if task.kind != "retrieval":
        fresh(task, head, model, trained)
    predict = ["--task", task.name, "--data_dir", str(folder / "data"), "--model_name_or_path", source, "--do_predict"]
    predict += ["--max_tokens_per_batch", str(prediction.GPU_TOKENS)] if model != args.model else []
    one, one_clock = run_seconds(predict, folder / "one", ["--languages", languages[0]])
    several, several_clock = run_seconds(predict, folder / "all", ["--languages", *languages])
    figures["predict"] = rows * (len(languages) - 1) / (several - one)
    figures["clock"] = rows * (len(languages) - 1) / (several_clock - one_clock)
    figures["start_seconds"] = one - rows / figures["predict"]
    if task.kind != "retrieval" and not args.no_train:
        train = [*run, "--do_train", "--save_strategy", "no", "--max_train_samples", "4000"]
        few, many = (run_seconds(train, folder / f"train-{n}", ["--max_steps", str(n)])[0] for n in STEPS)
        figures["train"] = (STEPS[1] - STEPS[0]) * 32 / (many - few)
    return figures


def prepare(task, args, folder):
    """Copy a task's files, test files repeated to --rows rows; returns the languages, all of them equal in size."""
    known = [code for version in task.languages.values() for code in version]
    there = [
        code for code in dict.fromkeys([*known, *LANGUAGES]) if path_of(task, args.data_dir, "test", code)[0].exists()
    ]
    there = there[: args.languages]
    for split in ("train", "dev") if task.kind != "retrieval" else ():
        (path,) = path_of(task, args.data_dir, split, "en")
        copy_to(folder / path.relative_to(args.data_dir), path.read_text(encoding="utf-8"))
    end = "\n\n" if task.kind == "tagging" else "\n"
    for code in there:
        for split in ("test", "test_english")[: 1 + (task.kind == "retrieval")]:
            (path,) = path_of(task, args.data_dir, split, code)
            text = path.read_text(encoding="utf-8")
            if task.kind in REPEATED:
                rows = text.strip("\n").split(end)
                text = end.join((rows * (args.rows // len(rows) + 1))[: args.rows]) + end
            copy_to(folder / path.relative_to(args.data_dir), text)
    return there


def copy_to(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def fresh(task, head, model, folder):
    """A model with a random head for `task`, as a run leaves it."""
    labels = task.labels
    tokenizer = checkpoints.load_tokenizer(model)
    config = checkpoints.load_config(model, tokenizer, task.defaults.max_seq_length)
    built, _ = checkpoints.load_model(head, model, config, labels, False, 0)
    built.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run_seconds(command, output_dir, more):
    """(CPU seconds, user and system, of a run of run_xtreme.py and all its children, with a GPU of the clock; seconds
    of the clock).
    """
    command = [sys.executable, str(ROOT / "run_xtreme.py"), *command, *more, "--output_dir", str(output_dir)]
    before = os.times()
    command += ["--disable_tqdm", "true", "--report_to", "none"]
    threads = {**os.environ, "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(command, env=threads, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    after = os.times()
    clock = after.elapsed - before.elapsed
    if DEVICE == "cuda":
        return clock, clock
    return after.children_user + after.children_system - before.children_user - before.children_system, clock


# --- Stages, each alone


class Clock:
    """Seconds of named stages of this process: of its CPU, of the clock with a GPU."""

    def __init__(self):
        self.seconds = {}

    def time(self, stage, function, *args):
        start = NOW()
        result = function(*args)
        self.seconds[stage] = self.seconds.get(stage, 0) + NOW() - start
        return result


def stages(task, head, path, data_dir, languages):
    """({stage: rows per CPU second}, rows of a file) of the first test file."""
    tokenizer = checkpoints.load_tokenizer(path)
    config = checkpoints.load_config(path, tokenizer, task.defaults.max_seq_length)
    model, labels = checkpoints.load_model(head, path, config, task.labels, False, 0)
    settings = Settings(task.defaults.max_seq_length, task.defaults.doc_stride, 20, 30)
    clock, collator, language = Clock(), Collator(tokenizer.pad_token_id), languages[0]
    rows = clock.time("read", head.read, task, data_dir, "test", language)
    features = clock.time("encode", head.encode, rows, tokenizer, labels, settings)
    if "labels" in features.column_names:
        features = features.remove_columns("labels")
    batches = list(clock.time("collate", collated, features, collator))
    if DEVICE == "cuda":
        model.to(DEVICE)
        on_gpu(model, head, features, collator, settings)  # the first time loads kernels
        reduced = clock.time("model", on_gpu, model, head, features, collator, settings)
    else:
        reduced = clock.time("model", outputs, model, head, batches, settings)
    predictions = clock.time("decode", decoded, task, head, rows, features, reduced, labels, settings, language)
    clock.time("write", head.write_predictions, data_dir.parent / "predictions", rows, predictions)
    return {stage: len(features) / seconds for stage, seconds in clock.seconds.items()}, len(features)


def collated(features, collator):
    inputs = Columns(features, Collator.columns)
    batches = prediction.length_batches(np.array(features["length"][:]), BATCH)
    return [(indices, collator.tensors(inputs.take(indices))) for indices in batches]


def outputs(model, head, batches, settings):
    """What decoding needs, an array per feature."""
    model.eval()
    result = {}
    with torch.no_grad():
        for indices, batch in batches:
            for name, values in head.reduce(head.forward(model, dict(batch)), batch, settings).items():
                result.setdefault(name, {}).update(zip(indices, values.numpy()))
    return {name: [values[index] for index in range(len(values))] for name, values in result.items()}


def on_gpu(model, head, features, collator, settings):
    """The same as `outputs`, as a run does it."""
    model.eval()
    budget = prediction.token_budget(None, (), DEVICE, model)

    def reduced(batch):
        return head.reduce(head.forward(model, dict(batch)), batch, settings)

    return prediction.run_batches(reduced, features, collator, BATCH, DEVICE, True, budget, disable_tqdm=True)


def decoded(task, head, rows, features, reduced, labels, settings, language):
    predictions = head.decode(rows, features, reduced, labels, settings)
    references = head.references(rows)
    given = dict(zip(rows["id"][:], predictions)) if isinstance(references[0], dict) else predictions
    metrics.aggregate(task.name, metrics.count(task.name, references, given, language))
    return predictions


if __name__ == "__main__":
    main()
