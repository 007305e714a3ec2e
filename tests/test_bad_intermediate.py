"""Bad input to run_intermediate.py: one line that names the thing, the value and the next step, exit code 2, nothing
written.
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

import run_intermediate

TRAIN = "--do_train --do_eval --max_steps 1 --max_seq_length 32"


class Case(NamedTuple):
    """`says`: what the error line must contain; {data}, {model}, {text}, {tmp} stand for the folders."""

    flags: str
    says: tuple
    spoil: callable = None


def lines(name, *rows):
    """Replace a file of the data folder by these rows (dicts or text)."""

    def spoil(tmp):
        (tmp / "data" / name).write_text(
            "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
        )

    return spoil


def remove(name):
    def spoil(tmp):
        path = tmp / "data" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def text(name, content):
    return lambda tmp: (tmp / name).write_text(content, encoding="utf-8")


def own(kind, *rows):
    def spoil(tmp):
        for split in ("train", "validation"):
            (tmp / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return spoil


def own_text(content):
    def spoil(tmp):
        for split in ("train", "validation"):
            text(f"{split}.jsonl", content)(tmp)

    return spoil


NLI = {"premise": "a", "hypothesis": "b", "label": 0}
CHOICES = {"ind": 0, "ctx_a": "a", "ctx_b": "b", "endings": ["c", "d", "e", "f"], "label": "0"}
CASES = {
    "no task": ("--data_dir {data} --do_train", ("--tasks is missing", "mnli", "all")),
    "unknown task": (f"--tasks mnly {TRAIN}", ("--tasks mnly", "did you mean 'mnli'", "--extra_task")),
    "a target task": (f"--tasks xnli {TRAIN}", ("--tasks xnli: unknown task",)),
    "a task twice": (f"--tasks mnli squad mnli {TRAIN}", ("mnli stands twice", "once")),
    "a task of all twice": (f"--tasks all squad {TRAIN}", ("squad stands twice",)),
    "no stage": ("--tasks mnli", ("--do_train, --do_eval",)),
    "prediction": ("--tasks mnli --do_predict", ("--do_predict", "run_xtreme.py")),
    "unknown flag": (f"--tasks mnli --mixin uniform {TRAIN}", ("unknown flag --mixin", "--mixing")),
    "unknown mixing": (
        f"--tasks mnli qqp --mixing square {TRAIN}",
        ("--mixing square", "proportional, temperature, uniform"),
    ),
    "weights that do not sum": (
        f"--tasks mnli qqp --mixing_weights mnli=0.5 qqp=0.6 {TRAIN}",
        ("--mixing_weights", "sum to 1"),
    ),
    "weights of other tasks": (
        f"--tasks mnli qqp --mixing_weights mnli=0.5 squad=0.5 {TRAIN}",
        ("squad=0.5", "mnli, qqp"),
    ),
    "a weight missing": (f"--tasks mnli qqp --mixing_weights mnli=1 {TRAIN}", ("mnli, qqp each need a share",)),
    "a negative weight": (f"--tasks mnli qqp --mixing_weights mnli=-1 qqp=2 {TRAIN}", ("mnli=-1", "TASK=SHARE")),
    "temperature zero": (
        f"--tasks mnli qqp --mixing temperature --temperature 0 {TRAIN}",
        ("--temperature 0", "from 0.05"),
    ),
    "temperature near zero": (
        f"--tasks mnli qqp --mixing temperature --temperature 0.001 {TRAIN}",
        ("--temperature 0.001", "from 0.05"),
    ),
    "a metric that the task does not have": (
        f"--tasks mnli --metric_for_best_model eval_mnli_acc {TRAIN}",
        ("--metric_for_best_model eval_mnli_acc", "eval_mean, eval_mnli_score", "did you mean 'mnli_accuracy'"),
    ),
    "a cap of zero": (f"--tasks mnli --examples_cap 0 {TRAIN}", ("--examples_cap 0", "at least 1")),
    "data folder missing": (f"--tasks mnli --data_dir {{tmp}}/none {TRAIN}", ("{tmp}/none", "no such folder")),
    "split missing": (
        f"--tasks mnli {TRAIN}",
        ("mnli/validation_matched.jsonl", "does not exist"),
        remove("mnli/validation_matched.jsonl"),
    ),
    "task missing": (f"--tasks squad {TRAIN}", ("squad/train.jsonl", "do not exist"), remove("squad")),
    "empty file": (f"--tasks mnli {TRAIN}", ("mnli/train.jsonl", "empty"), lines("mnli/train.jsonl")),
    "labels outside the table": (
        f"--tasks mnli {TRAIN}",
        ("mnli/train.jsonl, line 2", "unknown label 3"),
        lines("mnli/train.jsonl", NLI, {**NLI, "label": 3}),
    ),
    "no label agreed on": (
        f"--tasks snli {TRAIN}",
        ("snli/train.jsonl", "no examples with a label"),
        lines("snli/train.jsonl", {**NLI, "label": -1}),
    ),
    "column missing": (
        f"--tasks mnli {TRAIN}",
        ("line 1: no column 'hypothesis'",),
        lines("mnli/train.jsonl", {"premise": "a", "label": 0}),
    ),
    "broken json": (
        f"--tasks mnli {TRAIN}",
        ("line 2: not valid JSON", "truncated"),
        lines("mnli/train.jsonl", NLI, '{"premise": "a'),
    ),
    "choices of varying number": (
        f"--tasks hellaswag {TRAIN}",
        ("line 2: 3 choices", "same number"),
        lines("hellaswag/train.jsonl", CHOICES, {**CHOICES, "ind": 1, "endings": ["c", "d", "e"]}),
    ),
    "a choice that is not there": (
        f"--tasks hellaswag {TRAIN}",
        ("unknown label 4",),
        lines("hellaswag/train.jsonl", {**CHOICES, "label": "4"}),
    ),
    "tags and tokens differ": (
        f"--tasks ccg {TRAIN}",
        ("2 tokens but 1 tags",),
        lines("ccg/train.jsonl", {"tokens": ["a", "b"], "tags": ["N"]}),
    ),
    "one tag alone": (
        f"--tasks ccg {TRAIN}",
        ("ccg: all training examples have the label 'N'",),
        lines("ccg/train.jsonl", {"tokens": ["a"], "tags": ["N"]}),
    ),
    "an answer beside its context": (
        f"--tasks squad {TRAIN}",
        ("question 7", "answer_start 5"),
        lines(
            "squad/train.jsonl",
            {"id": "7", "context": "a b c", "question": "d", "answers": {"text": ["b"], "answer_start": [5]}},
        ),
    ),
    "questions without answer in SQuAD 1.1": (
        f"--tasks squad {TRAIN}",
        ("squad/validation.jsonl", "squad_v2"),
        lines(
            "squad/validation.jsonl",
            {"id": "7", "context": "a b c", "question": "d", "answers": {"text": [], "answer_start": []}},
        ),
    ),
    "language without files": (
        f"--tasks mnli --task_languages en fr {TRAIN}",
        ("--task_languages fr", "mnli/train.fr.jsonl"),
    ),
    "unknown language": (f"--tasks mnli --task_languages en xx {TRAIN}", ("--task_languages xx", "unknown language")),
    "languages without English": (
        f"--tasks mnli --task_languages de {TRAIN}",
        ("--task_languages de", "en among them"),
    ),
    "unknown sizes": (
        f"--tasks mnli --task_languages en de --language_sizes equal {TRAIN}",
        ("--language_sizes equal", "matched, all"),
    ),
    "mlm without files": (f"--tasks mlm {TRAIN}", ("--tasks mlm", "--mlm_files")),
    "files without mlm": (f"--tasks mnli --mlm_files {{text}} {TRAIN}", ("--mlm_files {text}", "not among --tasks")),
    "mlm files that are not there": (
        f"--tasks mlm --mlm_files {{tmp}}/*.none {TRAIN}",
        ("--mlm_files {tmp}/*.none", "no such file"),
    ),
    "mlm files without text": (
        f"--tasks mlm --mlm_files {{tmp}}/en.txt {TRAIN}",
        ("{tmp}/en.txt", "empty"),
        text("en.txt", "\n \n"),
    ),
    "mlm file of a single line": (
        f"--tasks mlm --mlm_files {{tmp}}/en.txt {TRAIN}",
        ("{tmp}/en.txt", "single line"),
        text("en.txt", "word\n"),
    ),
    "alpha above one": (f"--tasks mlm --mlm_files {{text}} --mlm_alpha 3 {TRAIN}", ("--mlm_alpha 3", "from 0")),
    "own data without kind": (
        f"--extra_task sick=data/sick {TRAIN}",
        ("--extra_task sick=data/sick", "NAME=KIND:DIR"),
    ),
    "own data of an unknown kind": (
        f"--extra_task sick=regression:data {TRAIN}",
        ("unknown kind", "classification, tagging"),
    ),
    "own data named as a task": (
        f"--extra_task mnli=classification:{{tmp}} {TRAIN}",
        ("--extra_task mnli", "already"),
    ),
    "own data without files": (
        f"--extra_task sick=classification:{{tmp}} {TRAIN}",
        ("--extra_task sick: {tmp}/train.jsonl, {tmp}/validation.jsonl do not exist", "correct DIR"),
    ),
    "own data without files, beside a task": (
        f"--tasks mnli --extra_task m=tagging:{{tmp}} {TRAIN}",
        ("--extra_task m: {tmp}/train.jsonl, {tmp}/validation.jsonl do not exist", "correct DIR"),
    ),
    "own data without a dev set": (
        f"--tasks mnli --extra_task m=tagging:{{tmp}} {TRAIN}",
        ("--extra_task m: {tmp}/validation.jsonl does not exist; write it",),
        text("train.jsonl", '{"tokens": ["a"], "tags": ["B"]}\n'),
    ),
    "own data with a name no file can have": (
        f"--tasks mnli --extra_task {'m' * 101}=tagging:{{tmp}} {TRAIN}",
        ("at most 100 letters",),
    ),
    "own data of words and tags between blanks": (
        f"--tasks mnli --extra_task m=tagging:{{tmp}} {TRAIN}",
        ("{tmp}/train.jsonl, line 1: 'a B' is no JSON object; write one per line, with tokens, tags",),
        own_text("a B\n\n"),
    ),
    "own data with other columns": (
        f"--extra_task sick=classification:{{tmp}} {TRAIN}",
        ("{tmp}/train.jsonl, line 1", "sentence1"),
        own("x", NLI),
    ),
    "neither model nor configuration": ("--tasks mnli --do_train --model_name_or_path", ("expected one argument",)),
    "model and configuration": (
        f"--tasks mnli --config_name {{model}} {TRAIN}",
        ("--model_name_or_path", "--config_name"),
    ),
    "no heads to evaluate": ("--tasks mnli --do_eval", ("{model}", "no head for mnli", "--do_train")),
    "unknown metric": (
        f"--tasks mnli qqp --metric_for_best_model eval_accuracy {TRAIN}",
        ("accuracy", "eval_mean, eval_mnli_score, eval_qqp_score"),
    ),
    "sampling that mixing does not know": (
        f"--tasks mnli --train_sampling_strategy sequential {TRAIN}",
        ("sequential", "random or group_by_length"),
    ),
    "smoothing of positions": (
        f"--tasks mnli squad --label_smoothing_factor 0.1 {TRAIN}",
        ("--label_smoothing_factor 0.1", "squad"),
    ),
    "the folder of the model": (
        f"--tasks mnli --output_dir {{model}} {TRAIN}",
        ("--output_dir {model}", "new folder"),
    ),
    "more positions than the model has": (
        f"--tasks mnli --max_seq_length 999 {TRAIN}".replace("--max_seq_length 32", ""),
        ("--max_seq_length 999", "512"),
    ),
    "guard that is neither": (f"--tasks mnli --collapse_guard maybe {TRAIN}", ("--collapse_guard maybe", "on, off")),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_written(name, toy, tmp_path, capsys):
    case = Case(*CASES[name])
    data = toy / "intermediate"
    if case.spoil:
        shutil.copytree(data, tmp_path / "data")
        data = tmp_path / "data"
        case.spoil(tmp_path)
    folders = {"data": data, "model": toy / "model", "text": toy / "text/en.txt", "tmp": tmp_path}

    def fill(string):
        return string.format(**folders)

    required = {
        "--data_dir": str(data),
        "--model_name_or_path": str(folders["model"]),
        "--output_dir": str(tmp_path / "out"),
    }
    flags = fill(case.flags).split()
    argv = [*flags, *(token for flag, value in required.items() if flag not in flags for token in (flag, value))]
    if flags[-1] == "--model_name_or_path":
        argv = [
            *flags[:-1],
            *(token for flag, value in required.items() if flag != flags[-1] for token in (flag, value)),
            flags[-1],
        ]
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_intermediate.main(argv)
    printed = capsys.readouterr()
    assert stop.value.code == 2, printed.err
    assert (
        printed.out == "" and printed.err.count("\n") == 1 and printed.err.startswith("run_intermediate.py: error: ")
    ), printed.err
    missing = [part for part in map(fill, case.says) if part not in printed.err]
    assert not missing, printed.err
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_run(toy, tmp_path, capsys):
    base = (
        f"--data_dir {toy}/intermediate --model_name_or_path {toy}/model --output_dir {tmp_path}/out --do_train "
        "--max_steps 1 --max_seq_length 32"
    )
    base += " --max_train_samples 24 --disable_tqdm true"
    run_intermediate.main(f"--tasks mnli {base}".split())
    for flags, says in {
        "--tasks mnli --seed 1": "seed 42 there, 1 here",
        "--tasks qqp": "holds a run of mnli, this is qqp",
    }.items():
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_intermediate.main(f"{flags} {base}".split())
        assert stop.value.code == 2 and says in capsys.readouterr().err


@pytest.mark.parametrize("spoil", ["truncated", "foreign", "other shape"])
def test_spoiled_heads_are_named(toy, tmp_path, capsys, spoil):
    from safetensors.torch import load_file, save_file

    base = (
        f"--data_dir {toy}/intermediate --max_seq_length 32 --max_train_samples 24 --max_eval_samples 8 "
        "--disable_tqdm true"
    )
    run_intermediate.main(
        f"--tasks mnli {base} --model_name_or_path {toy}/model --output_dir {tmp_path}/out --do_train "
        "--max_steps 1".split()
    )
    path = Path(tmp_path / "out/heads.safetensors")
    if spoil == "truncated":
        path.write_bytes(path.read_bytes()[:50])
    elif spoil == "foreign":
        save_file(load_file(path), path)
    else:
        tensors = load_file(path)
        tensors["mnli.classifier.dense.weight"] = tensors["mnli.classifier.dense.weight"][:5].contiguous()
        save_file(
            tensors,
            path,
            {
                "heads": json.dumps(
                    {"mnli": {"kind": "classification", "labels": ["entailment", "neutral", "contradiction"]}}
                )
            },
        )
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_intermediate.main(
            f"--tasks mnli {base} --model_name_or_path {tmp_path}/out --output_dir {tmp_path}/again --do_eval".split()
        )
    message = capsys.readouterr().err
    assert (
        stop.value.code == 2
        and "heads.safetensors" in message
        and message.count("\n") == 1
        and not (tmp_path / "again").exists()
    )
