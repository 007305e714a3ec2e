"""Bad input ends with one line that names the file or flag, the line number, the value and the next step; nothing is
half-written.

Exit code 2, or 1 for a failure at work. Most cases run in this process: importing torch takes seconds.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

import run_xtreme
from common import session
from common.arguments import RENAMED_FLAGS
from common.results import Results

TRAIN = "--do_train --num_train_epochs 1 --max_train_samples 16 --max_seq_length 32"
EVAL = f"{TRAIN} --do_eval --max_eval_samples 8"
PREDICT = "--do_predict --languages en"
SEARCH = "--do_predict --languages de"
XNLI, UDPOS, XCOPA, SQUAD, BUCC = (
    "xnli/train-en.tsv",
    "udpos/train-en.tsv",
    "xcopa/train-en.jsonl",
    "squad/train-v1.1.json",
    "bucc2018/de-en.test.de",
)


class Case(NamedTuple):
    """`says`: what the error line must contain; {data}, {model}, {out} stand for the folders."""

    flags: str
    says: tuple
    spoil: callable = None
    task: str = "xnli"


class World:
    """The folders of one case: toy data and model, copied where the case spoils them."""

    def __init__(self, folder, toy, trained):
        self.folder, self.toy, self.trained = folder, toy, trained
        self.data, self.model, self.out = toy / "xtreme", toy / "model", folder / "out"

    def own_data(self, *names):
        self.data = self.folder / "xtreme"
        for name in names:
            shutil.copytree(self.toy / "xtreme" / name, self.data / name)

    def own_model(self):
        self.model = Path(shutil.copytree(self.model, self.folder / "model"))

    def fill(self, text):
        return (
            text.replace("{data}", str(self.data)).replace("{model}", str(self.model)).replace("{out}", str(self.out))
        )

    def command(self, task, flags):
        required = f"--task {task} --data_dir {{data}} --model_name_or_path {{model}} --output_dir {{out}}"
        return self.fill(f"{required} {flags}").split()

    def left(self):
        """The bytes of all files under the output folder."""
        if not self.out.is_dir():
            return self.out.exists()
        return {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def trained(toy, tmp_path_factory):
    """A finished XNLI run."""
    out = tmp_path_factory.mktemp("trained") / "xnli"
    required = f"--task xnli --data_dir {toy}/xtreme --model_name_or_path {toy}/model --output_dir {out}"
    run_xtreme.main(f"{required} {TRAIN} {PREDICT} --max_predict_samples 4 --save_strategy no".split())
    return out


@pytest.fixture
def world(tmp_path, toy, trained):
    return World(tmp_path, toy, trained)


# --- ways to spoil a world: each is a function of it


def edit(path, change):
    """Apply a function to the bytes of one data file; only the folders that the task reads are copied."""

    def spoil(world):
        world.own_data(path.split("/")[0], *(["xquad"] if path.startswith("squad") else []))
        file = world.data / path
        file.write_bytes(change(file.read_bytes()))

    return spoil


def content(path, new):
    return edit(path, lambda old: new if isinstance(new, bytes) else new.encode())


def line(path, number, new):
    def change(old):
        lines = old.decode().split("\n")
        lines[number - 1] = new
        return "\n".join(lines).encode()

    return edit(path, change)


def document(path, change):
    """Change a SQuAD file's first paragraph in place."""

    def changed(old):
        value = json.loads(old)
        change(value["data"][0]["paragraphs"][0])
        return json.dumps(value).encode()

    return edit(path, changed)


def question(change):
    return document(SQUAD, lambda paragraph: change(paragraph["qas"][0]))


def every_row(path, **columns):
    return edit(
        path,
        lambda old: b"".join(json.dumps({**json.loads(row), **columns}).encode() + b"\n" for row in old.splitlines()),
    )


def choice(**columns):
    row = {"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "label": 0, "idx": 12345, **columns}
    return line(XCOPA, 2, json.dumps({name: value for name, value in row.items() if value is not ...}))


def stripped(old):
    value = json.loads(old)
    for article in value["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                asked["answers"] = [{"answer_start": 0, "text": ""}]
    return json.dumps(value).encode()


def folder_instead(path):
    def spoil(world):
        world.own_data(path.split("/")[0])
        (world.data / path).unlink()
        (world.data / path).mkdir()

    return spoil


def without(path):
    def spoil(world):
        world.own_data(path.split("/")[0])
        (world.data / path).unlink()

    return spoil


def config(**values):
    def spoil(world):
        world.own_model()
        file = world.model / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return spoil


def model_file(name, change):
    """Replace a file of the checkpoint by change(its bytes), remove it where that is None."""

    def spoil(world):
        world.own_model()
        file = world.model / name
        new = change(file.read_bytes())
        file.unlink()
        if new is not None:
            file.write_bytes(new)

    return spoil


def never_finished(world):
    world.own_model()
    (world.model / "run.json").write_text('{"training": {"finished": false}}')


def weights(change):
    def changed(old):
        from safetensors.torch import load, save

        return save(change(load(old)), {"format": "pt"})

    return model_file("model.safetensors", changed)


def without_tensor(tensors):
    tensors.pop("encoder.layer.1.output.dense.weight")
    return tensors


def diverged(tensors):
    tensors["embeddings.LayerNorm.weight"][3] = float("nan")
    return tensors


def more_words(old):
    value = json.loads(old)
    value["model"]["vocab"] += [[f"zz{number}", -20.0] for number in range(50)]
    return json.dumps(value).encode()


def empty_tokenizer(world):
    world.own_model()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (world.model / name).unlink()


def from_trained(world):
    world.model = world.trained


def into_trained(world):
    """The output folder holds the finished XNLI run."""
    shutil.copytree(world.trained, world.out)


def into_trained_with(name, text):
    def spoil(world):
        into_trained(world)
        (world.out / name).write_text(text)

    return spoil


def foreign_output(world):
    world.out.mkdir()
    (world.out / "thesis.tex").write_text("precious")


def file_as_output(world):
    world.out.write_text("precious")


def output_below_a_file(world):
    (world.folder / "file").write_text("precious")
    world.out = world.folder / "file" / "out"


def shorter_side(old):
    return b"\n".join(old.split(b"\n")[:-3])


# --- the cases

FLAGS = {
    "unknown task": Case("--task xnil --do_train", ("--task xnil", "'xnli'", "choose from")),
    "dual encoder's flag elsewhere": Case("--do_train --pooling mean", ("--pooling", "only dual encoders", "xnli")),
    "lower case elsewhere": Case(
        "--do_train --do_lower_case", ("--do_lower_case", "only dual encoders", "leave it out")
    ),
    "unknown language": Case(
        "--do_predict --languages en xx", ("--languages xx", "unknown language", "xnli has ar bg")
    ),
    "language without a file": Case(
        "--do_predict --languages el", ("--languages el", "{data}/xnli/test-el.tsv does not exist", "leave el out")
    ),
    "unknown flag": Case("--do_trian", ("--do_trian", "did you mean --do_train")),
    "flag like none": Case("--zzqq 3", ("--zzqq", "see --help")),
    "abbreviated flag of ours": Case("--lang en", ("--lang", "did you mean --languages", "not abbreviated")),
    "abbreviated flag of HF": Case(
        "--learning 1e-5", ("--learning", "did you mean --learning_rate", "not abbreviated")
    ),
    "one dash": Case("-task xnli", ("-task", "did you mean --task", "two dashes")),
    "stray argument": Case("--do_train --task xnli stray", ("'stray'", "belongs to a --flag")),
    "stray argument after a number": Case(
        "--do_train --learning_rate 1e-5 --task xnli stray", ("'stray'", "belongs to a --flag")
    ),
    "a value for a head that is not there": Case(
        f"{TRAIN} --keep_head false", ("--keep_head false", "{model}", "heads.safetensors")
    ),
    "two dashes alone": Case("--do_train -- stray", ("'--'", "belongs to a --flag")),
    "no value": Case("--do_train --max_seq_length", ("--max_seq_length", "expected one argument", "--help")),
    "no stage": Case("", ("--do_train, --do_eval, --do_predict",)),
    "type of our flag": Case("--do_train --max_seq_length long", ("--max_seq_length", "'long'", "--help")),
    "type of an HF flag": Case("--do_train --learning_rate abc", ("--learning_rate", "'abc'", "--help")),
    "choice of an HF flag": Case(
        "--do_train --eval_strategy sometimes", ("--eval_strategy", "'sometimes'", "'epoch'")
    ),
    "learning rate NaN": Case(f"{TRAIN} --learning_rate nan", ("--learning_rate nan", "must be from 0")),
    "negative learning rate": Case(f"{TRAIN} --learning_rate -1", ("--learning_rate -1", "must be from 0")),
    "no epochs": Case(f"{TRAIN} --num_train_epochs 0", ("--num_train_epochs 0", "must be from")),
    "endless epochs": Case(f"{TRAIN} --num_train_epochs inf", ("--num_train_epochs inf", "must be from")),
    "empty batches": Case(
        f"{TRAIN} --per_device_train_batch_size 0", ("--per_device_train_batch_size 0", "must be from 1")
    ),
    "empty accumulation": Case(
        f"{TRAIN} --gradient_accumulation_steps 0", ("--gradient_accumulation_steps 0", "must be from 1")
    ),
    "empty evaluation batches": Case(
        f"{SEARCH} --per_device_eval_batch_size 0", ("--per_device_eval_batch_size 0",), task="tatoeba"
    ),
    "negative seed": Case(f"{TRAIN} --seed -1", ("--seed -1", "from 0 to 4294967295")),
    "label smoothing above 1": Case(f"{TRAIN} --label_smoothing_factor 2", ("--label_smoothing_factor 2", "to 1")),
    "reporter that is not installed": Case(f"{TRAIN} --report_to nobody", ("--report_to nobody", "--report_to none")),
    "checkpoint to resume": Case(
        f"{TRAIN} --resume_from_checkpoint nowhere", ("--resume_from_checkpoint nowhere", "no such folder")
    ),
    "evaluate without dev": Case(f"{TRAIN} --eval_on_start", ("--eval_on_start", "--do_eval")),
    "best of nothing": Case(f"{TRAIN} --save_strategy best", ("--save_strategy best", "--do_eval")),
    "unknown metric": Case(f"{EVAL} --metric_for_best_model bleu", ("--metric_for_best_model bleu", "accuracy, loss")),
    "smoothing over positions": Case(
        f"{TRAIN} --label_smoothing_factor 0.1", ("--label_smoothing_factor 0.1", "leave it out"), task="xquad"
    ),
    "missing DeepSpeed file": Case(f"{TRAIN} --deepspeed none.json", ("none.json", "deepspeed")),
    "missing accelerator file": Case(f"{TRAIN} --accelerator_config none.json", ("none.json", "No such file")),
    "JSON flag": Case(f"{TRAIN} --lr_scheduler_kwargs {{bad", ("TrainingArguments", "--help")),
    "fp16 on a CPU": Case("--do_train --fp16", ("--fp16", "CPU", "--bf16")),
    "attention": Case(f"{TRAIN} --attn_implementation magic", ("magic", "eager")),
    "length in words": Case("--do_train --max_seq_length 8", ("--max_seq_length 8", "at least 16")),
    "length beyond the positions": Case(f"{TRAIN} --max_seq_length 600", ("--max_seq_length 600", "512 positions")),
    "stride 0": Case("--do_train --doc_stride 0", ("--doc_stride 0", "at least 1"), task="xquad"),
    "no examples asked for": Case("--do_train --max_train_samples 0", ("--max_train_samples 0", "at least 1")),
    "fewer candidates": Case(
        f"{SEARCH} --max_predict_samples 9", ("--max_predict_samples 9", "tatoeba"), task="tatoeba"
    ),
    "training for retrieval": Case(
        "--do_train --do_predict", ("--do_train", "tatoeba needs no training", "--do_predict"), task="tatoeba"
    ),
    "layer 99": Case(f"{SEARCH} --layer 99", ("--layer 99", "3 layers", "0 to 3"), task="tatoeba"),
    "layer -1": Case(f"{SEARCH} --layer -1", ("--layer -1", "'all'"), task="tatoeba"),
    "layer ²": Case(f"{SEARCH} --layer ²", ("--layer ²", "'all'"), task="tatoeba"),
    "layer elsewhere": Case("--do_train --layer 2", ("--layer 2", "only retrieval", "leave it out")),
    "condition without a name": Case("--do_predict --conditions noised", ("'noised'", "NAME=FOLDER")),
    "condition twice": Case("--do_predict --conditions a={data} a={data}", ("'a'", "twice")),
    "condition twice in two flags": Case("--do_predict --conditions a={data} --conditions a={data}", ("'a'", "twice")),
    "condition without a folder": Case("--do_predict --conditions a=nowhere", ("a=nowhere", "no such folder")),
    "condition that climbs": Case("--do_predict --conditions ../a={data}", ("'../a=", "NAME=FOLDER")),
    "condition in another layout": Case(
        "--do_predict --conditions a={model}", ("{model}", "no test file of xnli", "layout")
    ),
    "missing data folder": Case("--do_train --data_dir nowhere", ("--data_dir nowhere", "no such folder")),
    "file as data folder": Case(
        "--do_train --data_dir {model}/config.json", ("--data_dir {model}/config.json", "no such folder")
    ),
}
FILES = {
    "missing file": Case(TRAIN, ("{data}/xnli/train-en.tsv: no such file", "--data_dir"), without(XNLI)),
    "folder as train file": Case(TRAIN, ("{data}/xnli/train-en.tsv", "directory"), folder_instead(XNLI)),
    "folder as dev file": Case(EVAL, ("{data}/xnli/dev-en.tsv", "directory"), folder_instead("xnli/dev-en.tsv")),
    "empty file": Case(TRAIN, ("{data}/xnli/train-en.tsv", "empty"), content(XNLI, "")),
    "blank lines only": Case(TRAIN, ("{data}/xnli/train-en.tsv", "empty"), content(XNLI, "\n\n \n")),
    "byte order mark only": Case(TRAIN, ("{data}/xnli/train-en.tsv", "empty"), content(XNLI, b"\xef\xbb\xbf\n")),
    "UTF-16": Case(
        TRAIN,
        ("{data}/xnli/train-en.tsv, line 1", "0xff", "convert"),
        edit(XNLI, lambda old: old.decode().encode("utf-16")),
    ),
    "Latin-1 in line 7": Case(
        TRAIN,
        ("{data}/udpos/train-en.tsv, line 7", "0xe9"),
        edit(UDPOS, lambda old: b"\n" * 6 + b"caf\xe9\tNOUN\n" + old),
        "udpos",
    ),
    "xnli columns": Case(
        TRAIN, ("train-en.tsv, line 3", "2 tab-separated columns instead of 3", "label"), line(XNLI, 3, "a\tb")
    ),
    "blank line between examples": Case(TRAIN, ("train-en.tsv, line 3", "1 tab-separated columns"), line(XNLI, 3, "")),
    "xnli label": Case(
        TRAIN, ("train-en.tsv, line 3", "'maybe'", "entailment, neutral"), line(XNLI, 3, "a\tb\tmaybe")
    ),
    "xnli test labels on some lines": Case(
        PREDICT, ("test-en.tsv, line 2", "2 tab-separated columns"), line("xnli/test-en.tsv", 2, "a\tb")
    ),
    "dev without labels": Case(
        EVAL, ("dev-en.tsv, line 1", "label"), edit("xnli/dev-en.tsv", lambda old: b"a\tb\nc\td\n")
    ),
    "udpos columns": Case(
        TRAIN,
        ("train-en.tsv, line 2", "1 tab-separated columns instead of 2: word, tag"),
        line(UDPOS, 2, "a b"),
        "udpos",
    ),
    "udpos label": Case(TRAIN, ("train-en.tsv, line 2", "'NOU'", "NOUN"), line(UDPOS, 2, "a\tNOU"), "udpos"),
    "panx label": Case(
        TRAIN, ("train-en.tsv, line 1", "'B-MISC'", "B-PER"), line("panx/train-en.tsv", 1, "a\tB-MISC"), "panx"
    ),
    "udpos test labels on some lines": Case(
        PREDICT, ("test-en.tsv, line 1", "instead of 2"), line("udpos/test-en.tsv", 1, "a"), "udpos"
    ),
    "xcopa truncated": Case(
        TRAIN, ("train-en.jsonl, line 2", "not valid JSON", "truncated"), line(XCOPA, 2, '{"pre'), "xcopa"
    ),
    "xcopa list": Case(TRAIN, ("train-en.jsonl, line 2", "'premise'"), line(XCOPA, 2, "[1]"), "xcopa"),
    "xcopa nested too deep": Case(TRAIN, ("train-en.jsonl, line 2", "JSON"), line(XCOPA, 2, "[" * 100000), "xcopa"),
    "xcopa column": Case(TRAIN, ("train-en.jsonl, line 2", "no column 'choice2'"), choice(choice2=...), "xcopa"),
    "xcopa number as text": Case(
        TRAIN, ("train-en.jsonl, line 2", "choice1 5", "JSON string"), choice(choice1=5), "xcopa"
    ),
    "xcopa half a character": Case(TRAIN, ("train-en.jsonl, line 2", "\\ud"), choice(premise="a\ud83d"), "xcopa"),
    "xcopa label as text": Case(TRAIN, ("train-en.jsonl, line 2", "'0'", "index"), choice(label="0"), "xcopa"),
    "xcopa label 2": Case(TRAIN, ("train-en.jsonl, line 2", "unknown label 2", "2 choices"), choice(label=2), "xcopa"),
    "xcopa label true": Case(TRAIN, ("train-en.jsonl, line 2", "unknown label True"), choice(label=True), "xcopa"),
    "xcopa labels on some lines": Case(
        TRAIN, ("train-en.jsonl, line 2", "labels on some lines only"), choice(label=None), "xcopa"
    ),
    "xcopa without labels": Case(
        TRAIN, ("train-en.jsonl", "no labels to train on"), every_row(XCOPA, label=None), "xcopa"
    ),
    "xcopa dev without labels": Case(
        EVAL, ("val-en.jsonl", "no labels", "--do_eval"), every_row("xcopa/val-en.jsonl", label=None), "xcopa"
    ),
    "xcopa ids": Case(TRAIN, ("train-en.jsonl, line 2", "repeats the id '0'"), choice(idx=0), "xcopa"),
    "truncated JSON": Case(
        TRAIN, ("{data}/squad/train-v1.1.json, line 1", "truncated"), edit(SQUAD, lambda old: old[:500]), "xquad"
    ),
    "other JSON": Case(TRAIN, ("train-v1.1.json", "not SQuAD JSON", '"paragraphs"'), content(SQUAD, "[]"), "xquad"),
    "JSON without data": Case(TRAIN, ("train-v1.1.json", "no 'data'"), content(SQUAD, '{"version": 1}'), "xquad"),
    "no questions": Case(TRAIN, ("train-v1.1.json", "no questions"), content(SQUAD, '{"data": []}'), "xquad"),
    "question without answers": Case(
        TRAIN, ("train-v1.1.json", "no 'answers'"), question(lambda asked: asked.pop("answers")), "xquad"
    ),
    "question that is null": Case(
        TRAIN, ("question None", "not a text"), question(lambda asked: asked.update(question=None)), "xquad"
    ),
    "context that is null": Case(
        TRAIN,
        ("context None", "not a text"),
        document(SQUAD, lambda paragraph: paragraph.update(context=None)),
        "xquad",
    ),
    "answer elsewhere": Case(
        TRAIN,
        ("train-v1.1.json: question ", "does not match its context", "answer_start 1;"),
        question(lambda asked: asked["answers"][0].update(answer_start=1)),
        "xquad",
    ),
    "answer_start as text": Case(
        TRAIN, ("answer_start '1'",), question(lambda asked: asked["answers"][0].update(answer_start="1")), "xquad"
    ),
    "negative answer_start": Case(
        TRAIN, ("answer_start -3",), question(lambda asked: asked["answers"][0].update(answer_start=-3)), "xquad"
    ),
    "one answer is empty": Case(
        TRAIN,
        ("train-v1.1.json: question", "empty"),
        question(lambda asked: asked.update(answers=[{"text": "", "answer_start": 0}])),
        "xquad",
    ),
    "SQuAD without answers": Case(TRAIN, ("train-v1.1.json", "no labels to train on"), edit(SQUAD, stripped), "xquad"),
    "question ids": Case(
        PREDICT,
        ("{data}/xquad/xquad.en.json, example 2", "repeats the id"),
        document("xquad/xquad.en.json", lambda paragraph: paragraph["qas"][0].update(id=paragraph["qas"][1]["id"])),
        "xquad",
    ),
    "sides of different length": Case(
        SEARCH, ("de-en.de: 98 lines but de-en.en has 100",), edit("tatoeba/de-en.de", shorter_side), "tatoeba"
    ),
    "missing side": Case(SEARCH, ("{data}/tatoeba/de-en.en: no such file",), without("tatoeba/de-en.en"), "tatoeba"),
    "bucc columns": Case(
        SEARCH,
        ("de-en.test.de, line 2", "1 tab-separated columns instead of 2"),
        line(BUCC, 2, "de-2 no tab"),
        "bucc2018",
    ),
    "bucc ids": Case(
        SEARCH,
        ("de-en.test.de, line 2", "repeats the id 'de-000000001'"),
        line(BUCC, 2, "de-000000001\tx"),
        "bucc2018",
    ),
    "gold columns": Case(
        SEARCH,
        ("de-en.test.gold, line 2", "'de-000000001'"),
        line("bucc2018/de-en.test.gold", 2, "de-000000001"),
        "bucc2018",
    ),
    "gold ids": Case(
        SEARCH,
        ("de-en.test.gold, line 2", "no pair of"),
        line("bucc2018/de-en.test.gold", 2, "de-1\ten-1"),
        "bucc2018",
    ),
    "no dev to tune on": Case(
        SEARCH, ("{data}/bucc2018/de-en.dev.gold: no such file",), without("bucc2018/de-en.dev.gold"), "bucc2018"
    ),
}
FOLDERS = {
    "foreign output": Case(TRAIN, ("--output_dir {out}", "not empty", "new folder"), foreign_output),
    "file as output": Case(TRAIN, ("--output_dir {out}", "is a file"), file_as_output),
    "output below a file": Case(TRAIN, ("--output_dir {out}", "cannot be written"), output_below_a_file),
    "other learning rate": Case(
        f"{TRAIN} --learning_rate 0.5", ("--output_dir {out}", "learning_rate", "0.5 here", "new folder"), into_trained
    ),
    "other task": Case(TRAIN, ("--output_dir {out}", "holds a run of xnli, this is pawsx"), into_trained, "pawsx"),
    "broken run.json": Case(
        TRAIN, ("{out}/run.json", "broken", "remove it"), into_trained_with("run.json", '{"task": ')
    ),
    "run.json of something else": Case(
        TRAIN, ("{out}/run.json", "broken", "remove it"), into_trained_with("run.json", '{"a": 1}')
    ),
    "run.json that is a list": Case(
        TRAIN, ("{out}/run.json", "broken", "remove it"), into_trained_with("run.json", "[1]")
    ),
    "broken results.jsonl": Case(
        f"{PREDICT} --model_name_or_path {{out}}",
        ("{out}/results.jsonl, line 1", "broken"),
        into_trained_with("results.jsonl", "[1]\n"),
    ),
    "training into the model": Case(
        f"{TRAIN} --output_dir {{model}}", ("--output_dir {model}", "--model_name_or_path", "new folder")
    ),
    "no such model": Case(
        f"{TRAIN} --model_name_or_path no/such/model", ("no/such/model: no such folder", "correct the path")
    ),
    "file as model": Case(
        f"{TRAIN} --model_name_or_path {{data}}/xnli/dev-en.tsv",
        ("--model_name_or_path", "dev-en.tsv", "no such folder"),
    ),
    "GPT-2": Case(
        TRAIN, ("--model_name_or_path {model}", "'gpt2' is not an encoder", "XLM-R"), config(model_type="gpt2")
    ),
    "no config": Case(
        TRAIN, ("--model_name_or_path {model}", "config.json"), model_file("config.json", lambda old: None)
    ),
    "broken config": Case(
        TRAIN, ("--model_name_or_path {model}: no usable config.json",), model_file("config.json", lambda old: b"{")
    ),
    "impossible config": Case(
        TRAIN, ("--model_name_or_path {model}", "attention heads (5)"), config(num_attention_heads=5)
    ),
    "config of another size": Case(TRAIN, ("--model_name_or_path {model}", "shapes differ"), config(hidden_size=64)),
    "config with code of its own": Case(
        TRAIN,
        ("--model_name_or_path {model}", "auto_map", "never run"),
        config(model_type="own", auto_map={"AutoConfig": "own.Own"}),
    ),
    "config of a decoder": Case(TRAIN, ("{model}: config.json", "is_decoder"), config(is_decoder=True)),
    "training that never finished": Case(
        f"{TRAIN} --keep_head",
        ("{model}: its training never finished", "run.json"),
        never_finished,
    ),
    "no weights": Case(
        TRAIN, ("--model_name_or_path {model}", "model.safetensors"), model_file("model.safetensors", lambda old: None)
    ),
    "truncated weights": Case(
        TRAIN,
        ("--model_name_or_path {model}", "cannot be loaded"),
        model_file("model.safetensors", lambda old: old[:-999]),
    ),
    "weights under another prefix": Case(
        TRAIN,
        ("--model_name_or_path {model}", "not the weights of", "lacks"),
        weights(lambda old: {f"xlm-roberta.{key}": old[key] for key in old}),
    ),
    "missing weight": Case(TRAIN, ("lacks encoder.layer.1.output.dense.weight",), weights(without_tensor)),
    "missing weight for retrieval": Case(
        SEARCH, ("lacks encoder.layer.1.output.dense.weight",), weights(without_tensor), "tatoeba"
    ),
    "diverged weights": Case(TRAIN, ("embeddings.LayerNorm.weight", "NaN", "earlier checkpoint"), weights(diverged)),
    "bigger vocabulary": Case(
        TRAIN, ("{model}: the tokenizer does not fit the model", "copy"), model_file("tokenizer.json", more_words)
    ),
    "no tokenizer": Case(
        SEARCH, ("--model_name_or_path {model}", "no vocabulary", "tokenizer.json"), empty_tokenizer, "tatoeba"
    ),
    "broken tokenizer": Case(
        TRAIN,
        ("--model_name_or_path {model}", "tokenizer cannot be loaded"),
        model_file("tokenizer.json", lambda old: b"{"),
    ),
    "keep a head that is not there": Case(
        f"{TRAIN} --keep_head", ("{model}: has no SequenceClassification head", "without --keep_head")
    ),
    "keep a head with other labels": Case(
        f"{TRAIN} --keep_head", ("entailment", "the task has 0, 1", "without --keep_head"), from_trained, "pawsx"
    ),
    "keep a head of another kind": Case(
        f"{TRAIN} --keep_head", ("has no QuestionAnswering head", "without --keep_head"), from_trained, "xquad"
    ),
    "predict with a bare encoder": Case(
        PREDICT, ("{model}: has no TokenClassification head", "--do_train"), task="udpos"
    ),
}
CASES = {**FLAGS, **FILES, **FOLDERS}


def failure(argv, capsys, code=2):
    """Run in this process; return the one line of a failure."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_xtreme.main(argv)
    printed = capsys.readouterr()
    assert stop.value.code == code
    assert printed.out == ""
    assert printed.err.count("\n") == 1 and printed.err.startswith("run_xtreme.py: error: "), printed.err
    return printed.err


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_written(name, world, capsys):
    case = CASES[name]
    if case.spoil:
        case.spoil(world)
    before = world.left()
    message = failure(world.command(case.task, case.flags), capsys)
    unset_hf_deepspeed_config()  # transformers keeps a broken one for the rest of the process
    missing = [text for text in map(world.fill, case.says) if text not in message]
    assert not missing, message
    assert world.left() == before


@pytest.mark.parametrize("flag", sorted(set(RENAMED_FLAGS) - {"do_lower_case"}))  # which dual encoders have
def test_removed_flags_say_what_replaces_them(flag, capsys):
    message = failure(["--task", "xnli", f"--{flag}", "1"], capsys)
    assert f"--{flag} does not exist" in message and RENAMED_FLAGS[flag] in message


@pytest.mark.parametrize("missing", ["--task", "--data_dir", "--model_name_or_path", "--output_dir"])
def test_required_flags(missing, world, capsys):
    command = world.command("xnli", "--do_train")
    index = command.index(missing)
    assert missing in failure(command[:index] + command[index + 2 :], capsys)


def test_bf16_on_a_cpu_without_its_instructions(world, capsys, monkeypatch):
    from common import launching

    monkeypatch.setattr(launching, "cpu_has_bf16", lambda: False)
    assert "--bf16: this CPU has no bfloat16" in failure(world.command("xnli", f"{TRAIN} --bf16"), capsys)
    assert not world.out.exists()


def test_failure_at_work_exits_with_1(world, capsys, monkeypatch):
    def full_disk(*args):
        raise OSError(28, "No space left on device", "run.json")

    monkeypatch.setattr(session, "write_json", full_disk)
    assert "No space left on device" in failure(world.command("tatoeba", SEARCH), capsys, code=1)


SANE = {
    "byte order mark and CRLF": (TRAIN, edit(XNLI, lambda old: b"\xef\xbb\xbf" + old.replace(b"\n", b"\r\n")), "xnli"),
    "blank lines at the end": (TRAIN, edit(XNLI, lambda old: old + b"\n\n"), "xnli"),
    "no line end at the end": (TRAIN, edit(XNLI, lambda old: old.rstrip(b"\n")), "xnli"),
    "blank lines first": (TRAIN, edit(UDPOS, lambda old: b"\n\n" + old), "udpos"),
    "words of white space": (TRAIN, line(UDPOS, 2, "\u3000\tNOUN"), "udpos"),
    "blank lines after jsonl": (TRAIN, edit(XCOPA, lambda old: old + b"\r\n\n"), "xcopa"),
    "a language twice": (f"{SEARCH} de --languages hi de", None, "tatoeba"),
}


@pytest.mark.parametrize("name", SANE)
def test_harmless_oddities_are_accepted(name, world):
    flags, spoil, task = SANE[name]
    if spoil:
        spoil(world)
    run_xtreme.main(world.command(task, f"{flags} --save_strategy no"))
    results = Results(world.out)
    assert {row["language"] for row in results.entries} == ({"de", "hi"} if "de" in flags else set())
    assert json.loads((world.out / "run.json").read_text(encoding="utf-8"))["task"] == task


def test_test_files_with_leading_blank_lines_and_white_space_words_keep_their_words(tmp_path):
    from heads import tagging
    from tasks import TARGETS

    (tmp_path / "udpos").mkdir()
    path = tmp_path / "udpos/test-en.tsv"
    path.write_text("\na\n\u3000\n\nb\n \nc\n", encoding="utf-8")
    assert list(tagging.read(TARGETS["udpos"], tmp_path, "test", "en")["words"]) == [["a", "\u3000"], ["b"], ["c"]]


# --- as a process


def test_exit_code_and_one_line_of_a_process(run, world):
    line(XNLI, 3, "a\tb\tmaybe")(world)
    done = run(*world.command("xnli", TRAIN))
    assert done.returncode == 2 and done.stdout == "" and not world.out.exists()
    assert (
        done.stderr
        == f"run_xtreme.py: error: {world.data}/xnli/train-en.tsv, line 3: unknown label 'maybe'; the task's labels "
        "are " + ("entailment, neutral, contradiction\n")
    )


def test_a_late_error_of_a_process_is_one_line_too(run, world):
    done = run(*world.command("udpos", PREDICT))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr


def test_unknown_flags_are_answered_without_heavy_imports(world):
    command = [sys.executable, "-X", "importtime", run_xtreme.__file__, *world.command("xnli", "--do_trian")]
    done = subprocess.run(command, capture_output=True, text=True)
    imported = {
        row.split("|")[-1].strip().split(".")[0] for row in done.stderr.splitlines() if row.startswith("import time:")
    }
    assert done.returncode == 2 and "did you mean --do_train" in done.stderr
    assert "argparse" in imported and not imported & {"torch", "transformers", "datasets", "numpy"}
