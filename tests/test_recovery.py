"""Runs that are stopped, killed, starved or doubled: nothing whole is lost, and the rerun gives the same bytes."""

import fcntl
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, skip_first_batches
from conftest import free_port, on_toy
from torch.utils.data import BatchSampler

import run_intermediate
import run_xtreme
from common import arguments, recovery, trainer
from common.batching import LengthGroupedSampler
from common.files import InputError
from common.run_record import checkpoint_hash
from common.trainer_base import tell_epoch
from mixture import dev

ROOT = Path(run_xtreme.__file__).parent
QUICK = [
    "--learning_rate",
    "1e-3",
    "--max_seq_length",
    "48",
    "--disable_tqdm",
    "true",
    "--logging_steps",
    "1",
    "--do_train",
    "--do_eval",
]


def target(toy, output, *flags, model=None):
    size = "--max_train_samples 128 --num_train_epochs 2 --do_predict --languages en zh de".split()
    return [*on_toy(toy, "xnli", output, model), *QUICK, *size, *flags]


def mixture(toy, output, *flags):
    data = [
        "--tasks",
        "mnli",
        "squad",
        "mlm",
        "--mlm_files",
        str(toy / "text/de.txt"),
        "--data_dir",
        str(toy / "intermediate"),
    ]
    data += ["--model_name_or_path", str(toy / "model"), "--output_dir", str(output), "--collapse_guard", "off"]
    return [*data, *QUICK, "--max_train_samples", "48", "--max_eval_samples", "16", "--num_train_epochs", "2", *flags]


def kept(folder):
    """What must be equal to the byte: the model, predictions, scores, tables; not times and logs."""
    paths = {str(path.relative_to(folder)): path for path in Path(folder).rglob("*") if path.is_file()}
    other = ("run.json", "_results.json", "_state.json", ".lock")
    return {
        name: path.read_bytes()
        for name, path in paths.items()
        if "checkpoint-" not in name and not name.endswith(other)
    }


def ended(main, argv, capsys, code):
    """Run until it exits; its one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(argv)
    printed = capsys.readouterr().err
    assert stop.value.code == code and printed.count("\n") == 1, printed
    return printed


def signal_at(monkeypatch, call, number):
    """Let the process receive a signal in the call-th forward pass of training."""
    compute, calls = trainer.EncoderTrainer.compute_loss, []

    def compute_loss(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return compute(*args, **kwargs)

    monkeypatch.setattr(trainer.EncoderTrainer, "compute_loss", compute_loss)


KINDS = {
    "target": (run_xtreme, target, 6),
    "mixture": (run_intermediate, mixture, 3),
}  # a step in the second epoch, one in the first


@pytest.fixture(scope="module")
def uninterrupted(toy, tmp_path_factory):
    """By kind: the command of a run and what it leaves, its folder removed again."""
    runs = {}

    def run(kind):
        if kind not in runs:
            script, argv, _ = KINDS[kind]
            folder = tmp_path_factory.mktemp(kind) / "run"
            command = argv(toy, folder)
            script.main(command)
            runs[kind] = folder, command, kept(folder)
        shutil.rmtree(runs[kind][0])
        return runs[kind]

    return run


@pytest.mark.parametrize("kind, name", [("target", "SIGTERM"), ("target", "SIGINT"), ("mixture", "SIGUSR1")])
def test_a_signal_stops_and_the_rerun_gives_the_same_bytes(uninterrupted, monkeypatch, capsys, kind, name):
    (script, _, step), (folder, command, whole) = KINDS[kind], uninterrupted(kind)
    with monkeypatch.context() as patched:
        signal_at(patched, step, getattr(signal, name))
        message = ended(script.main, command, capsys, 130 if name == "SIGINT" else 0)
    assert "run the same command again" in message and (
        name == "SIGINT" or f"stopped by {name}; {folder}/checkpoint-{step} is saved" in message
    )
    script.main(command)
    assert kept(folder) == whole
    assert not list(folder.rglob("training_args.bin"))  # a pickle that may hold tokens


def test_a_failure_that_came_of_ctrl_c_is_ctrl_c(capsys):
    """Seen once in torch.save, whose writer fails when it is closed in the middle."""

    def saving(argv):
        with recovery.guarded(arguments.Parser(prog="run_x.py"), "checkpoints are kept"):
            try:
                raise KeyboardInterrupt
            finally:
                raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    assert (
        ended(saving, [], capsys, 130)
        == "run_x.py: interrupted; checkpoints are kept, run the same command again to go on\n"
    )


def test_a_signal_during_the_dev_scores_keeps_finished_cells(uninterrupted, monkeypatch, capsys):
    folder, command, whole = uninterrupted("mixture")
    evaluate, scored = dev.DevCell.evaluate, []

    def signalled(cell):
        scored.append(cell.title)
        if len(scored) == 8:  # the second one after those of two epochs
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(cell)

    monkeypatch.setattr(dev.DevCell, "evaluate", signalled)
    message = ended(run_intermediate.main, command, capsys, 0)
    assert (
        f"stopped by SIGTERM; {folder}: training is finished; it and finished dev scores are kept, run the same "
        "command again" in message
    )
    assert not (folder / "README.md").exists() and len((folder / "results.jsonl").read_text().splitlines()) > 1
    run_intermediate.main(command)
    assert scored == 3 * ["mnli", "squad", "mlm"]  # each once per epoch, and once at the end
    assert kept(folder) == whole
    run_intermediate.main(command)
    assert len(scored) == 9 and kept(folder) == whole


@pytest.fixture(scope="module")
def stopped(toy, tmp_path_factory):
    """A run that lost its end: checkpoints 4 and 8 of a training that is not finished."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    run_xtreme.main(target(toy, folder, "--save_total_limit", "5"))
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, "training": {**about["training"], "finished": False}}))
    return folder


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "killed while saving": lambda folder: (folder / recovery.MARKER).unlink(),
    "truncated": lambda folder: os.truncate(folder / "optimizer.pt", 1000),
    "corrupted": lambda folder: spoil(folder / "model.safetensors"),
    "file missing": lambda folder: (folder / "scheduler.pt").unlink(),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_checkpoints_are_skipped_and_refused(toy, stopped, tmp_path, capsys, how):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    newest, older = recovery.checkpoints(folder)
    DAMAGE[how](newest)
    message = ended(
        run_xtreme.main,
        [*target(toy, folder, "--save_total_limit", "5"), "--resume_from_checkpoint", str(newest)],
        capsys,
        2,
    )
    assert f"--resume_from_checkpoint {newest}" in message and newest.exists()
    shutil.rmtree(folder / "predictions")
    assert recovery.resume_point(folder, None) == str(older) and not newest.exists() and older.exists()


def test_a_checkpoint_needs_its_best(stopped, tmp_path):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    newest, older = recovery.checkpoints(folder)
    state = json.loads((newest / "trainer_state.json").read_text())
    (newest / "trainer_state.json").write_text(json.dumps({**state, "best_model_checkpoint": str(older)}))
    recovery.seal(newest)
    assert recovery.resume_point(folder, "last") == str(newest)
    DAMAGE["truncated"](older)
    assert recovery.resume_point(folder, "true") is None


def test_only_own_checkpoints(toy, stopped, tmp_path, capsys):
    foreign = recovery.checkpoints(stopped)[0]
    message = ended(
        run_xtreme.main, target(toy, tmp_path / "run", "--resume_from_checkpoint", str(foreign)), capsys, 2
    )
    assert "not a checkpoint of --output_dir" in message and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags, says", [(["--weight_decay", "0.5"], "weight_decay"), (["--optim_args", "foreach=False"], "optim_args")]
)
def test_other_arguments_are_refused_by_name(toy, stopped, capsys, flags, says):
    assert says in ended(run_xtreme.main, target(toy, stopped, "--save_total_limit", "5", *flags), capsys, 2)


@pytest.mark.parametrize("name", ["save_only_model", "ignore_data_skip"])
def test_what_would_spoil_the_resume_is_refused(toy, tmp_path, capsys, name):
    message = ended(run_xtreme.main, target(toy, tmp_path / "run", f"--{name}", "true"), capsys, 2)
    assert f"--{name} true: a stopped run could not go on to the same bytes; leave it out" in message
    assert not (tmp_path / "run").exists()


def test_a_lock_that_a_refusal_made_goes_again(tmp_path):
    with pytest.raises(InputError), recovery.locked(tmp_path / "new"):
        raise InputError("x")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError), recovery.locked(tmp_path):
        raise InputError("x")
    with pytest.raises(InputError), recovery.locked(tmp_path / "other"):
        (tmp_path / "other/work").touch()
        raise InputError("x")
    assert (tmp_path / "other/work").exists() and (tmp_path / "mine.txt").exists() and not (tmp_path / "new").exists()


def test_a_worker_does_not_hold_the_folder_of_a_killed_run(tmp_path):
    """A process made by fork has the lock's file too, and may outlive its parent."""
    recovery.lock(tmp_path)
    fork = multiprocessing.get_context("fork")
    begun = fork.Event()
    worker = fork.Process(target=lambda: (begun.set(), time.sleep(60)))
    worker.start()
    begun.wait()
    recovery.release()  # as the kernel does for a run that is killed
    recovery.lock(tmp_path)
    recovery.release()
    worker.kill()


def test_zero_checkpoints_need_zero(toy, stopped, tmp_path, capsys):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    about = json.loads((folder / "run.json").read_text())
    about["training"].update(zero_stage=2, processes=2)
    (folder / "run.json").write_text(json.dumps(about))
    message = ended(run_xtreme.main, target(toy, folder), capsys, 2)
    assert (
        "processes 2 there, 1 here; zero_stage 2 there, None here" in message and "ZeRO's checkpoints need" in message
    )


def test_two_runs_in_one_folder(toy, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run/.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another run is at work in it" in ended(run_xtreme.main, target(toy, tmp_path / "run"), capsys, 2)
        assert os.listdir(tmp_path / "run") == [".lock"]
    run_xtreme.main(target(toy, tmp_path / "run", "--max_steps", "1"))


def test_no_room_for_a_checkpoint(toy, tmp_path, capsys, monkeypatch):
    command = target(toy, tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr(recovery.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5))
        assert "the disk has 0 MB free; make room" in ended(run_xtreme.main, command, capsys, 1)
    run_xtreme.main(command)


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / "scores").mkdir()
    names = (
        "scores/.test-en.jsonl.123.tmp",
        ".tmpIAelpg",
        "model.safetensors",
        ".template",
    )  # safetensors names its own like the second
    for name in names:
        (tmp_path / name).touch()
    recovery.lock(tmp_path)
    recovery.release()
    assert [name for name in names if (tmp_path / name).exists()] == ["model.safetensors", ".template"]


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, to be filled and made read-only: disk(options of mount) -> folder, or
    disk("remount,…").
    """
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
            pytest.skip("file systems cannot be mounted here")
        return folder

    yield mount
    while os.path.ismount(folder):
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"), reason="only root mounts"
)
def test_full_and_read_only_disks(toy, disk, capsys, monkeypatch, uninterrupted):
    """Room for a checkpoint is checked; here it is lost after that, to the tokenizer and to a second checkpoint."""
    result = {
        name: content
        for name, content in uninterrupted("target")[2].items()
        if name.startswith(("model", "predictions"))
    }  # no paths
    for size in ("3700k", "17000k"):
        folder = disk(f"size={size}") / "run"
        with monkeypatch.context() as patched:
            patched.setattr(recovery, "check_room", lambda *args: None)
            assert "check the disk's free space; checkpoints and finished cells are kept" in ended(
                run_xtreme.main, target(toy, folder), capsys, 1
            )
        disk("remount,size=100m")
        run_xtreme.main(target(toy, folder))
        assert result.items() <= kept(folder).items()
        disk("remount,ro")
        for output in (folder, folder.with_name("new")):
            assert f"--output_dir {output}: cannot be written" in ended(
                run_xtreme.main, target(toy, output), capsys, 2
            )
        subprocess.run(["umount", folder.parent], check=True)


def test_a_changed_parent_is_noticed(toy, stopped, tmp_path, caplog):
    about = json.loads((stopped / "run.json").read_text())
    assert about["checkpoint"] == checkpoint_hash(stopped) and not caplog.records
    parent = Path(shutil.copytree(stopped, tmp_path / "parent", ignore=shutil.ignore_patterns("checkpoint-*")))
    (parent / "run.json").write_text(json.dumps({**about, "training": {**about["training"], "finished": True}}))
    spoil(parent / "model.safetensors")
    flags = "--do_predict --languages en --max_seq_length 48".split()
    run_xtreme.main([*on_toy(toy, "xnli", tmp_path / "run", parent), *flags])
    assert f"{parent}: its weights, configuration or tokenizer are no longer those that its run saved" in caplog.text


def test_training_data_that_vanished_is_named(toy, stopped, tmp_path, capsys):
    data = Path(shutil.copytree(toy / "xtreme/xnli", tmp_path / "xtreme/xnli")).parent
    (data / "xnli/train-en.tsv").unlink()
    command = [*target(toy, stopped, "--save_total_limit", "5"), "--data_dir", str(data)]
    assert f"{data}/xnli/train-en.tsv: no such file" in ended(run_xtreme.main, command, capsys, 2)


def test_a_loss_that_is_not_finite_names_its_examples(toy, tmp_path, capsys, monkeypatch):
    entropy, steps = trainer.cross_entropy, []

    def spoiled(logits, labels, *args):
        steps.append(1)
        loss, count = entropy(logits, labels, *args)
        return (loss * float("nan") if len(steps) == 3 else loss), count

    monkeypatch.setattr(trainer, "cross_entropy", spoiled)
    command = target(toy, tmp_path / "run", "--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "2")
    message = ended(run_xtreme.main, command, capsys, 1)
    assert "not finite at step 2, on the training examples " in message
    assert (
        len(message.split("examples ")[1].split(", counted")[0].split(", ")) == 4
        and "--learning_rate 0.0005" in message
    )


def test_out_of_memory_says_what_to_try(toy, tmp_path, capsys, monkeypatch):
    import torch

    def compute_loss(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(trainer.EncoderTrainer, "compute_loss", compute_loss)
    message = ended(run_xtreme.main, target(toy, tmp_path / "run"), capsys, 1)
    assert (
        "--per_device_train_batch_size 16 --gradient_accumulation_steps 2" in message
        and "sub-tokens in a batch" in message
    )


# --- kill -9, Ctrl-C, SIGTERM at random moments of both phases: bash tests/run.sh -m slow tests/test_recovery.py -s


def changes(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


LAUNCHED = """import os, signal, sys
sys.path.insert(0, {root!r})
import run_xtreme
from common import trainer
compute, calls = trainer.EncoderTrainer.compute_loss, []
def compute_loss(*args, **kwargs):
    calls.append(1)
    if len(calls) == {step} and os.environ["RANK"] == "1":
        {action}
    return compute(*args, **kwargs)
trainer.EncoderTrainer.compute_loss = compute_loss
run_xtreme.main(sys.argv[1:])
"""


def launched(toy, tmp_path, action, step=3, *flags):
    """A run on 2 processes of which the second one does something in a step, counted from 1."""
    (tmp_path / "script.py").write_text(LAUNCHED.format(root=str(ROOT), action=action, step=step))
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        str(tmp_path / "script.py"),
    ]
    argv = [*launcher, *target(toy, tmp_path / "run", *flags)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300)


def test_all_processes_end_when_one_fails(toy, tmp_path):
    done = launched(toy, tmp_path, "raise OSError(28, 'No space left on device')")
    assert done.returncode == 1
    assert (
        "run_xtreme.py: error: process 1: [Errno 28] No space left on device; checkpoints and finished cells are kept"
        in done.stderr
    )
    assert "Traceback" not in done.stderr.split("torch/distributed")[0]


BARRIER = "session.check_folder", 1, "Rank 1 failed to pass monitoredBarrier"
STEP = "trainer.EncoderTrainer.compute_loss", 2, "Timed out"


@pytest.mark.parametrize(
    "name, call, says", [pytest.param(*BARRIER, id="barrier"), pytest.param(*STEP, id="step", marks=pytest.mark.slow)]
)
def test_a_process_that_waits_in_vain_says_so(toy, tmp_path, name, call, says):
    """A real dead-lock: the second process sleeps in the n-th call of a function. No launcher, so that nothing ends
    the first one but itself.
    """
    owner, function = name.rsplit(".", 1)
    code = f"""import os, sys, time
import run_xtreme
from common import session, trainer
original, calls = {name}, []
def stuck(*args, **kwargs):
    calls.append(1)
    if len(calls) == {call} and os.environ["RANK"] == "1":
        time.sleep(600)
    return original(*args, **kwargs)
{owner}.{function} = stuck
run_xtreme.main(sys.argv[1:])
"""
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-c", code, *target(toy, tmp_path / "run", "--ddp_timeout", "5")]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    first, second = [
        subprocess.Popen(command, env={**shared, "RANK": rank, "LOCAL_RANK": rank}, **options) for rank in "01"
    ]
    try:
        lines = [line for line in first.communicate(timeout=120)[1].splitlines() if "error" in line]
        assert second.poll() is None and first.returncode == 1
    finally:
        second.kill()
        second.communicate()
        first.kill()
    assert len(lines) == 1 and lines[0].startswith(
        "run_xtreme.py: error: process 0: waited for another process in vain ("
    ), lines
    assert says in lines[0] and "checkpoints and finished cells are kept" in lines[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_goes_on_within_an_epoch_has_its_order(processes):
    """Under accelerate's wrappers, which do not pass on the epoch themselves."""

    def epoch(number, done):
        batches = BatchSampler(LengthGroupedSampler(range(16), 4, seed=1), 2, drop_last=False)
        if processes > 1:
            batches = BatchSamplerShard(batches, processes, 0)
        loader = DataLoaderShard(list(range(16)), batch_sampler=batches, collate_fn=list)
        loader = skip_first_batches(loader, done) if done else loader
        tell_epoch(loader, number)
        loader.set_epoch(number)  # HF's Trainer does
        return list(loader)

    assert epoch(1, done=2) == epoch(1, done=0)[2:] != epoch(0, done=0)[2:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "epoch, order", [(1, "group_by_length"), (2, "group_by_length"), (2, "random"), (2, "batch_rebalance")]
)
def test_two_processes_stop_together_and_resume_to_the_byte(toy, tmp_path, epoch, order):
    """The last weights, since every epoch has an order of its own, also the one that is gone on with."""
    flags = "--train_sampling_strategy", order, "--load_best_model_at_end", "false", "--max_predict_samples", "8"
    step = 4 * epoch - 1  # the last but one of its four
    assert launched(toy, tmp_path, "pass", step, *flags).returncode == 0
    whole = kept(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    done = launched(toy, tmp_path, "os.kill(os.getpid(), signal.SIGTERM)", step, *flags)
    assert (
        done.returncode == 0
        and "stopped by a signal to another process" in done.stderr
        and f"checkpoint-{step} is saved" in done.stderr
    ), done.stderr
    assert not (tmp_path / "run/results.jsonl").exists()
    assert launched(toy, tmp_path, "pass", step, *flags).returncode == 0
    assert kept(tmp_path / "run") == whole


def observed(folder):
    """The files of a folder that is being written."""
    try:
        return changes(folder)
    except FileNotFoundError:
        return None


def run_until(command, folder, number, event):
    """Start the run and send it the signal at its event-th change of a file, and a little later; returns what had
    changed last.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    before, seen, last = {}, 0, "nothing"
    while process.poll() is None:
        now = observed(folder)
        if now is not None and now != before:
            seen, last = (
                seen + 1,
                ", ".join(sorted(name for name in {**before, **now} if before.get(name) != now.get(name))[:3]),
            )
            before = now
        if seen >= event:
            time.sleep(random.Random(event).random() * 0.05)
            process.send_signal(number)
            break
        time.sleep(0.0005)
    return process.wait(), last, seen


@pytest.mark.slow
def test_killed_at_any_moment(toy, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    first, second = mixture(toy, folder / "phase2"), target(toy, folder / "phase3", model=folder / "phase2")
    code = f"import run_intermediate, run_xtreme; run_intermediate.main({first!r}); run_xtreme.main({second!r})"
    command = [sys.executable, "-c", code]
    _, _, events = run_until(command, folder, signal.SIGKILL, 10**9)
    whole, rng = kept(folder), random.Random(0)
    assert len(whole) > 15
    moments = [(signal.SIGKILL, event) for event in sorted(rng.sample(range(1, events), 20))]
    moments += [
        (number, event)
        for number in (signal.SIGINT, signal.SIGTERM)
        for event in sorted(rng.sample(range(1, events), 4))
    ]
    print(f"\n{events} changes of files in an uninterrupted run")
    for number, event in moments:
        code = 0
        while code == 0:  # again, earlier, where the run had ended before; only SIGTERM ends with 0
            shutil.rmtree(folder)
            folder.mkdir()
            code, last, _ = run_until(command, folder, number, event)
            if number == signal.SIGTERM:
                break
            event = event if code else event * 3 // 4
        again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert again.returncode == 0, again.stderr[-2000:]
        same = kept(folder) == whole
        print(
            f"{signal.Signals(number).name} at change {event}, exit code {code}, after {last}: "
            f"{'equal' if same else 'DIFFERENT'}",
            flush=True,
        )
        assert same, [name for name in {**kept(folder), **whole} if kept(folder).get(name) != whole.get(name)]
