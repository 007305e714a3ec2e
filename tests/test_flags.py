"""Flags that HF's Trainer would refuse late, or take for something else: one line, exit code 2, nothing written."""

import json

import pytest
import transformers

import run_intermediate
import run_xtreme
from common.files import InputError, write_json
from common.run_record import check_folder

LATE = {
    "workers that persist without any": ("--dataloader_persistent_workers true", "--dataloader_persistent_workers"),
    "batches ahead without workers": ("--dataloader_prefetch_factor 2", "--dataloader_prefetch_factor"),
    "an unknown start method": ("--dataloader_multiprocessing_context x --dataloader_num_workers 1", "choose from 'fork'"),
    "fewer examples than a batch": ("--dataloader_drop_last true", "the 16 training examples do not fill"),
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
