"""Flags that HF's Trainer would refuse late, or take for something else: one line, exit code 2, nothing written."""

import json
import os

import pytest
import transformers

import compare
import perturb
import report
import run_intermediate
import run_xtreme
import score
from common import arguments
from common.files import InputError, write_json
from common.robust_flags import read_robust
from common.run_record import check_folder
from heads import path_of
from mixture import plan

LATE = {
    "workers that persist without any": ("--dataloader_persistent_workers true", "--dataloader_persistent_workers"),
    "batches ahead without workers": ("--dataloader_prefetch_factor 2", "--dataloader_prefetch_factor"),
    "an unknown start method": (
        "--dataloader_multiprocessing_context x --dataloader_num_workers 1",
        "choose from 'fork'",
    ),
    "fewer examples than a batch": ("--dataloader_drop_last true", "the 16 training examples do not fill"),
    "fewer examples than an update": (
        "--train_sampling_strategy batch_rebalance --dataloader_drop_last true --per_device_train_batch_size 8",
        "the 16 training examples do not fill one batch of 32",
    ),
    "batches of several sizes, split": (
        '--train_sampling_strategy batch_rebalance --accelerator_config {"split_batches":true}',
        "--accelerator_config split_batches",
    ),
    "an unknown argument of the schedule": ('--lr_scheduler_kwargs {"nonsense":1}', "nonsense"),
    "a schedule without its argument": ("--lr_scheduler_type cosine_with_min_lr", "cosine_with_min_lr"),
    "an optimizer that is not installed": ("--optim adamw_bnb_8bit", "--optim adamw_bnb_8bit"),
    "arguments without a value": ("--optim_args nonsense", "--optim_args nonsense"),
    "sharded weights": ("--fsdp full_shard", "fsdp"),
    "an unknown setting of accelerate": ('--accelerator_config {"nonsense":1}', "nonsense"),
    "a number for accelerate": ("--accelerator_config 5", "see --help"),
    "an unknown compiler": ("--torch_compile_backend nonsense", "nonsense"),
    "no steps": ("--max_steps 0", "--max_steps 0: would train all epochs"),
    "fewer steps than none": ("--max_steps -7", "--max_steps -7"),
}


@pytest.fixture(autouse=True)
def quiet():
    """Warnings of transformers keep the stream of the first test that saw one."""
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity_warning()


def refused(script, argv, capsys):
    """The one line of a script that refuses its flags."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        script.main(argv)
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == "", printed.err
    assert printed.err.count("\n") == 1 and ": error: " in printed.err, printed.err
    return printed.err


def xtreme(toy, out):
    line = f"--task xnli --data_dir {toy}/xtreme --model_name_or_path {toy}/model --output_dir {out} --do_train"
    return f"{line} --max_train_samples 16 --max_seq_length 32".split()


def intermediate(toy, out):
    line = f"--data_dir {toy}/intermediate --model_name_or_path {toy}/model --output_dir {out} --do_train --do_eval"
    return f"{line} --max_train_samples 16 --max_eval_samples 8 --max_seq_length 32".split()


@pytest.mark.parametrize("name", LATE)
def test_what_the_trainer_would_refuse_late_is_refused_before_the_folder_is_taken(name, toy, tmp_path, capsys):
    flags, says = LATE[name]
    message = refused(run_xtreme, [*xtreme(toy, tmp_path / "out"), *flags.split()], capsys)
    assert says in message, message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["an optimizer that is not installed", "an unknown argument of the schedule"])
def test_phase_2_refuses_them_too(name, toy, tmp_path, capsys):
    flags, says = LATE[name]
    command = [*intermediate(toy, tmp_path / "out"), "--tasks", "mnli", *flags.split()]
    assert says in refused(run_intermediate, command, capsys)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_which_nothing_was_trained_may_be_taken_by_another_training(tmp_path):
    record = {"task": "xnli", "command": "python", "started_at": "now", "training": {"rate": 1, "finished": False}}
    write_json(tmp_path / "run.json", record)
    assert check_folder(tmp_path, "xnli", {"rate": 2}) == record
    assert check_folder(tmp_path, "pawsx", {"rate": 2}) == record
    for spoil in ({"training": {"rate": 1, "finished": True}}, {"collapses": [{"seed": 1}]}, {"training": None}):
        write_json(tmp_path / "run.json", {**record, **spoil})
        with pytest.raises(InputError, match="name a new folder"):
            check_folder(tmp_path, "xnli", {"rate": 2})
    write_json(tmp_path / "run.json", record)
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(InputError, match="rate 1 there, 2 here"):
        check_folder(tmp_path, "xnli", {"rate": 2})
    assert json.loads((tmp_path / "run.json").read_text()) == record


def test_braces_in_the_path_of_own_data_are_part_of_its_name(tmp_path):
    for name in ("da{t}a", "{lang}", "{", "{0.x}"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.jsonl").write_text("{}\n")
        _, task = plan.extra_task(f"m=tagging:{folder}")
        assert path_of(task, tmp_path, "train", "en") == [folder / "train.jsonl"]


def test_the_lowest_perplexity_is_the_best(toy, tmp_path):
    line = f"--tasks mlm --mlm_files {toy}/text/en.txt --model_name_or_path {toy}/model --output_dir {tmp_path}/out"
    argv = f"{line} --do_train --do_eval --metric_for_best_model eval_mlm_perplexity".split()
    parser = run_intermediate.build_parser()
    args, rest, given = arguments.parse(parser, argv)
    run_intermediate.load_libraries()
    robust = read_robust(args, [], given)
    training_args = run_intermediate.resolve_arguments(parser, plan.make_plan(args), args, rest, given, robust)[0]
    assert training_args.greater_is_better is False and training_args.load_best_model_at_end


@pytest.mark.parametrize("flag", ["--seed -1", "--resamples 99999999999", "--resamples 5"])
def test_numbers_of_a_report(flag, tmp_path, capsys):
    required = f"--runs {tmp_path} --baseline {tmp_path} --output_dir {tmp_path}/out".split()
    assert flag in refused(report, [*required, *flag.split()], capsys)


WRONG_TYPES = {
    "a list for the task": {"task": ["xnli"]},
    "a text for the seed": {"seed": "1"},
    "a truth for the seed": {"seed": True},
    "a number for the command": {"command": 7},
    "a list of conditions": {"conditions": ["clean"]},
    "a condition that is a text": {"conditions": {"clean": "data"}},
    "a level that is a text": {"conditions": {"swap-1": {"op": "swap", "level": "one"}}},
    "a parent that is a text": {"parent": "mnli"},
    "a grandparent that is a list": {"parent": {"parent": []}},
    "a training that is a truth": {"training": True},
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_run_json_of_wrong_types_is_named(name, tmp_path, capsys):
    record = {"task": "xnli", "seed": 1, "command": "python run_xtreme.py", "started_at": "now", "finished_at": "now"}
    write_json(tmp_path / "run/run.json", {**record, **WRONG_TYPES[name]})
    argv = f"--runs {tmp_path}/run --baseline {tmp_path}/run --output_dir {tmp_path}/out".split()
    message = refused(report, argv, capsys)
    assert f"{tmp_path}/run/run.json" in message and "correct or remove it" in message, message


@pytest.mark.parametrize("script", [run_xtreme, run_intermediate, perturb, report, score, compare])
def test_names_that_this_environment_cannot_read_are_refused(script, capsys):
    """What Python makes of a folder with an umlaut where LC_ALL=C is taken at its word."""
    message = refused(script, ["--output_dir", os.fsdecode("töy".encode()[:2]), "--x"], capsys)
    assert "'t\\udcc3': not UTF-8 in this environment; set LC_ALL=C.UTF-8" in message


@pytest.mark.parametrize("script", [score, compare])
def test_ctrl_c_is_one_line(script, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(score, "evaluate_folder", interrupted)
    monkeypatch.setattr(compare, "side_by_side", interrupted)
    flags = ["--predictions", str(tmp_path), "--data_dir", str(tmp_path)] if script is score else [str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        script.main(flags)
    assert stop.value.code == 130
    assert capsys.readouterr().err == f"{script.__name__}.py: interrupted; run the same command again\n"
