"""Launchers and ZeRO on 2 CPU processes: the training of one process, float32 weights, exact resume, clear errors.

ZeRO-2 and ZeRO-3 with a mixture of tasks run by default; the whole matrix {DDP, ZeRO-1, -2, -3} x {one task, mixture}
x {fresh, resumed} and both offloads take eight minutes:   bash tests/run.sh -m slow tests/test_deepspeed.py -s
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import torchrun
from safetensors.torch import load_file

import run_intermediate
import run_xtreme
from common import launching, zero
from common.files import InputError

ROOT = Path(run_xtreme.__file__).parent
CONFIGURATIONS = ROOT / "ds_configs"
# Adam moves a weight whose gradient is zero but for rounding (the bias of a key) by its sign; epsilon damps that, the
# rate is a usual one.
SHAPE = "--max_seq_length 48 --learning_rate 1e-4 --adam_epsilon 1e-6 --max_steps 8 --logging_steps 1".split()
SHAPE += "--do_train --do_eval --eval_strategy steps --eval_steps 4 --max_eval_samples 24".split()
SHAPE += "--save_total_limit 9 --disable_tqdm true".split()
NINJA = shutil.which("ninja", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
pytestmark = pytest.mark.skipif(
    not (shutil.which("c++") and NINJA), reason="DeepSpeed's CPU parts need a C++ compiler and ninja"
)


def command(toy, kind, output, size):
    """(script, arguments) of a run of one task (phase 3, with predictions) or of a mixture (phase 2)."""
    shared = ["--model_name_or_path", str(toy / "model"), "--output_dir", str(output), *SHAPE]
    shared += ["--per_device_train_batch_size", str(size), "--gradient_accumulation_steps", "1"]
    if kind == "single":
        data = ["--task", "xnli", "--data_dir", str(toy / "xtreme"), "--do_predict", "--languages", "en", "zh"]
        return run_xtreme, [*data, *shared, "--max_train_samples", "200"]
    data = ["--tasks", "mnli", "ccg", "hellaswag", "--data_dir", str(toy / "intermediate"), "--collapse_guard", "off"]
    return run_intermediate, [*data, *shared, "--max_train_samples", "60"]


def two_processes(toy, kind, output, mode):
    script, argv = command(toy, kind, output, 4)
    zero = [] if mode == "ddp" else ["--deepspeed", str(CONFIGURATIONS / f"{mode}.json"), "--bf16", "false"]
    torchrun(script.__file__, [*argv, *zero])
    return output


@pytest.fixture(scope="module")
def alone(toy, tmp_path_factory):
    """One process with the same global batch, by kind of run."""
    folders = {}

    def run(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("alone") / kind
            script, argv = command(toy, kind, folders[kind], 8)
            script.main(argv)
        return folders[kind]

    return run


def losses(folder):
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [row["loss"] for row in history if "loss" in row]


def weights(folder):
    files = [folder / name for name in ("model.safetensors", "heads.safetensors") if (folder / name).exists()]
    return {(file.name, key): value for file in files for key, value in load_file(file).items()}


def difference(first, second):
    """(largest difference of the losses, of the weights) of two runs; weights must be whole and float32."""
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys() and {value.dtype for value in other.values()} == {torch.float32}
    assert len(losses(first)) == len(losses(second)) == 8
    loss = max(abs(a - b) for a, b in zip(losses(first), losses(second)))
    return loss, max((one[key] - other[key]).abs().max().item() for key in one)


def check_same(first, second):
    loss, weight = difference(first, second)
    assert loss < 1e-4 and weight < 1e-5, (loss, weight)
    return loss, weight


@pytest.mark.parametrize("mode", [pytest.param("zero2", marks=pytest.mark.slow), "zero3"])
def test_a_mixture_trains_under_zero_as_alone(toy, tmp_path, alone, mode):
    check_same(alone("mixture"), two_processes(toy, "mixture", tmp_path / "run", mode))
    heads = {key.split(".")[0] for name, key in weights(tmp_path / "run") if name == "heads.safetensors"}
    assert heads == {"mnli", "ccg", "hellaswag"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "mixture"])
@pytest.mark.parametrize("mode", ["ddp", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload"])
def test_matrix(toy, tmp_path, alone, mode, kind):
    fresh = two_processes(toy, kind, tmp_path / "fresh", mode)
    loss, weight = difference(alone(kind), fresh)
    resumed = tmp_path / "resumed"
    shutil.copytree(fresh / "checkpoint-4", resumed / "checkpoint-4")
    about = json.loads((fresh / "run.json").read_text())
    (resumed / "run.json").write_text(json.dumps({**about, "training": {**about["training"], "finished": False}}))
    two_processes(toy, kind, resumed, mode)
    again = difference(fresh, resumed)
    print(f"\n{mode} {kind}: losses {loss:.1e}, weights {weight:.1e} from one process; resumed {again} from fresh")
    assert loss < 1e-4 and weight < 1e-5
    assert again == (0, 0)
    if kind == "single":
        for language in ("en", "zh"):
            file = f"predictions/clean/xnli/test-{language}.tsv"
            assert (fresh / file).read_bytes() == (resumed / file).read_bytes()
    else:  # hand-off to phase 3
        data = ["--task", "udpos", "--data_dir", str(toy / "xtreme"), "--output_dir", str(tmp_path / "udpos")]
        data += ["--model_name_or_path", str(fresh), "--max_train_samples", "32"]
        run_xtreme.main([*data, *SHAPE, "--do_predict", "--languages", "en"])
        assert (tmp_path / "udpos/predictions/clean/udpos/test-en.tsv").exists()


# --- what launch_flags makes of a command line


@pytest.fixture
def launch(monkeypatch):
    """launch(**given) -> {flag: value}, in an environment without a launcher."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.setenv(name, "")  # so that what launch_flags sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(launching, "cpu_has_bf16", lambda: True)
    return lambda **given: {name: value for name, value, _ in launching.launch_flags({"do_train": "true", **given})}


ZERO2, ZERO3 = str(CONFIGURATIONS / "zero2.json"), str(CONFIGURATIONS / "zero3.json")


def test_every_configuration_is_bfloat16_autocast_over_float32(launch):
    names = {file.stem for file in CONFIGURATIONS.glob("*.json")}
    assert names == {"zero1", "zero2", "zero3", "zero2_offload", "zero3_offload"}
    for name in names:
        config = json.loads((CONFIGURATIONS / f"{name}.json").read_text())
        assert config["zero_optimization"]["stage"] == int(name[4])
        assert config["torch_autocast"] == {"enabled": True, "dtype": "bfloat16"}
        assert not {"optimizer", "scheduler", "bf16", "fp16"} & config.keys()
        flags = launch(deepspeed=str(CONFIGURATIONS / f"{name}.json"))
        assert json.loads(flags["deepspeed"])["torch_autocast"]["enabled"] and flags["bf16"] == "false"


def test_one_process_needs_no_launcher_and_float32_can_be_asked_for(launch):
    config = json.loads(launch(deepspeed=ZERO2, bf16="false")["deepspeed"])
    assert not config["torch_autocast"]["enabled"]
    assert os.environ["WORLD_SIZE"] == "1" and int(os.environ["MASTER_PORT"]) > 0


def test_runs_without_training_drop_deepspeed(launch):
    for path in (ZERO2, ZERO3):
        assert launch(deepspeed=path, do_train="false")["deepspeed"] == ""
    assert "RANK" not in os.environ


def test_accelerate_may_bring_the_configuration(launch, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "none")
    assert json.loads(launch()["deepspeed"])["zero_optimization"]["stage"] == 3
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(InputError, match="accelerate launch brings a DeepSpeed configuration too; give one"):
        launch(deepspeed=ZERO2)


@pytest.mark.parametrize("config, given, says", [
    ("{", {}, "not a DeepSpeed configuration"),
    ("[1]", {}, "not a DeepSpeed configuration"),
    ('{"zero_optimization": {"stage": 7}}', {}, "must be 0, 1, 2 or 3"),
    ('{"torch_autocast": {"enabled": true}}', {"bf16": "true"}, "bfloat16 already; leave --bf16 out"),
    ("{}", {"bf16": "true"}, "16-bit weights; leave --bf16 out"),
    ('{"bf16": {"enabled": true}}', {}, "its bf16 block would save 16-bit weights; use torch_autocast"),
    ('{"fp16": {"enabled": true}}', {}, "its fp16 block"),
    ('{"torch_autocast": {"enabled": true, "dtype": "float16"}}', {}, "float16 is not supported"),
])  # fmt: skip
def test_configurations_that_cannot_be_used(launch, tmp_path, config, given, says):
    (tmp_path / "ds.json").write_text(config)
    with pytest.raises(InputError, match=says):
        launch(deepspeed=str(tmp_path / "ds.json"), **given)


def test_missing_compiler(launch, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="finds no no-such-compiler; install"):
        launch(deepspeed=ZERO2)
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(zero.shutil, "which", lambda tool: None if tool == "ninja" else tool)
    monkeypatch.setattr(zero.sys, "executable", "/nowhere/python")
    with pytest.raises(InputError, match="finds no ninja; pip install ninja"):
        launch(deepspeed=ZERO2)


def test_a_killed_build_holds_up_nobody(tmp_path):
    first, second = zero.BuildLock(tmp_path / "lock"), zero.BuildLock(tmp_path / "lock")
    assert first.try_acquire() and not second.try_acquire()
    first.file.close()  # as the kernel does for a process that is killed
    assert second.try_acquire()
    second.release()
    zero.BuildLock(tmp_path / "lock").wait()


def test_a_stale_lock_of_torchs_own_is_named_and_not_waited_for(tmp_path, caplog, monkeypatch):
    """torch's jit compiler, on a build folder in which an earlier build was killed: it would wait for ever."""
    from torch.utils import cpp_extension

    (tmp_path / "lock").touch()
    os.utime(tmp_path / "lock", (time.time() - 3 * 3600 - 5,) * 2)
    built = []
    monkeypatch.setattr(cpp_extension, "FileBaton", zero.BuildLock)
    monkeypatch.setattr(cpp_extension, "_write_ninja_file_and_build_library", lambda **options: built.append(1))
    source = tmp_path / "part.cpp"
    source.write_text("")
    options = dict.fromkeys(("extra_cflags", "extra_cuda_cflags", "extra_sycl_cflags", "extra_ldflags"))
    more = {"extra_include_paths": None, "build_directory": str(tmp_path), "verbose": False, "with_cuda": False}
    cpp_extension._jit_compile(
        "part", [str(source)], **options, **more, with_sycl=False, is_python_module=False, is_standalone=True
    )
    assert built == [1]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/lock: lock of a build 3 h ago, killed perhaps; not waited for"
    ]


def test_who_waits_for_a_build_says_so(tmp_path, caplog):
    first, second = zero.BuildLock(tmp_path / "lock"), zero.BuildLock(tmp_path / "lock")
    assert first.try_acquire() and not second.try_acquire()
    waiting = threading.Thread(target=second.wait)
    waiting.start()
    while not caplog.records:
        time.sleep(0.01)
    assert f"{tmp_path}/lock.flock: another process compiles since 0 min; waiting for it" in caplog.text
    first.release()
    waiting.join(5)
    assert not waiting.is_alive()


def test_several_gpus_without_a_launcher(launch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(InputError, match="4 GPUs but one process: start it with torchrun --nproc_per_node 4"):
        launch()


def test_more_processes_than_gpus(launch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"2 processes but 1 GPU\(s\) that they see: start 1 \(torchrun --nproc_per"):
        launch()


FIRST_COLLAPSES = """
import sys
import run_intermediate
from mixture import dev

guard, attempts = dev.collapse_guard, []

def first_collapses(cells):
    attempts.append(cells)
    cells[0].majority = 101.0 if len(attempts) == 1 else 0.0
    return guard(cells)

dev.collapse_guard = first_collapses
run_intermediate.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["zero2", "zero3"])
def test_after_a_collapse_the_next_seed_trains_as_if_it_were_the_first(toy, tmp_path, mode):
    """A process may give DeepSpeed's plugin to one Accelerator only, and every attempt has a Trainer of its own."""
    (tmp_path / "collapsing.py").write_text(FIRST_COLLAPSES)
    script, argv = command(toy, "mixture", tmp_path / "again", 4)
    flags = "--tasks mnli --max_steps 4 --eval_strategy epoch --num_train_epochs 1 --bf16 false --deepspeed".split()
    data = ["--data_dir", str(toy / "intermediate"), *argv[argv.index("--model_name_or_path") :]]
    argv = [*data, "--max_train_samples", "32", *flags, str(CONFIGURATIONS / f"{mode}.json")]
    ours = {**os.environ, "PYTHONPATH": str(ROOT)}
    torchrun(tmp_path / "collapsing.py", [*argv, "--restart_on_collapse", "1"], env=ours)
    argv[argv.index("--output_dir") + 1] = str(tmp_path / "first")
    torchrun(script.__file__, [*argv, "--seed", "43", "--collapse_guard", "off"])
    about = json.loads((tmp_path / "again/run.json").read_text())
    assert [one["seed"] for one in about["collapses"]] == [42] and about["seed"] == 43
    again, first = weights(tmp_path / "again"), weights(tmp_path / "first")
    assert again.keys() == first.keys() and all(torch.equal(again[key], first[key]) for key in first)
