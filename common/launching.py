"""How a run comes onto its device and its processes: precision, launchers, DeepSpeed's configuration, the process
group.

`python`, torchrun, accelerate launch, deepspeed and srun all lead here, to the same training.
"""

import fcntl
import json
import os
import shutil
import socket
import sys
from pathlib import Path

import torch

from common.arguments import truthy
from common.files import InputError

CONFIGURATIONS = Path(__file__).resolve().parents[1] / "ds_configs"


def launch_flags(given):
    """[(flag, value, origin)] for device, precision and DeepSpeed; InputError for what cannot go together or on this
    machine.
    """
    gpus = 0 if truthy(given.get("use_cpu")) else torch.cuda.device_count()
    if gpus > 1 and "RANK" not in os.environ:
        raise InputError(f"{gpus} GPUs but one process: start it with torchrun --nproc_per_node {gpus} "
                         f"{Path(sys.argv[0]).name} …, "
                         "or show it one GPU with CUDA_VISIBLE_DEVICES=0")  # fmt: skip
    deepspeed = deepspeed_flags(given, cpu=not gpus)
    return [*precision_flags({**given, **{name: value for name, value, _ in deepspeed}}), *deepspeed]


def cpu_is_fast_at_bf16():
    """Whether this CPU has bfloat16 matrix instructions (avx512_bf16, AMX); without them bf16 is far slower than
    float32.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return any(
                flag in line for line in file if line.startswith("flags") for flag in ("avx512_bf16", "amx_bf16")
            )
    except OSError:
        return False


def precision_flags(given):
    """Flags for device and precision that were not given, with their origin; refuses what the device cannot do."""
    flags = []
    cuda = torch.cuda.is_available() and not truthy(given.get("use_cpu"))
    if not cuda:
        os.environ.setdefault(
            "DS_ACCELERATOR", "cpu"
        )  # or deepspeed, which accelerate imports, warns that it found no GPU
    if not cuda and "use_cpu" not in given:
        flags.append(("use_cpu", "true", "no GPU found"))
    capable = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_is_fast_at_bf16()
    for name in [name for name in ("fp16", "fp16_full_eval", "bf16", "bf16_full_eval") if truthy(given.get(name))]:
        if name.startswith("fp16") and not cuda:
            raise InputError(
                f"--{name}: this device is a CPU, which is no good at float16; use --bf16 (if it has avx512_bf16 or "
                "AMX) or float32"
            )
        if name.startswith("bf16") and not capable:
            raise InputError(
                f"--{name}: this {'GPU' if cuda else 'CPU'} has no bfloat16 instructions; use "
                f"{'--fp16' if cuda else 'float32'}"
            )
    if "bf16" not in given and "fp16" not in given:
        fast = ("bf16", "true", "device default: this GPU is fast at it; weights stay float32")
        flags.append(
            fast
            if cuda and capable
            else ("bf16", "false", f"device default: float32{'; --bf16 is faster on this CPU' * capable}")
        )
    return flags


# --- DeepSpeed
# --------------------------------------------------------------------------------------------------------


def deepspeed_flags(given, cpu):
    """--deepspeed as the configuration that is really used, and --bf16 beside it; nothing without DeepSpeed.

    A run that does not train drops DeepSpeed: it has neither optimizer nor gradients to share out, and ZeRO-1 and -2
    refuse to run so.
    """
    path = deepspeed_file(given)
    if path is None:
        return []
    config = read_configuration(path, given)
    if not truthy(given.get("do_train")):
        return [("deepspeed", "", "nothing is trained: whole weights on every process")]
    if cpu and config["torch_autocast"]["enabled"] and not cpu_is_fast_at_bf16():
        raise InputError(
            f"--deepspeed {path}: torch_autocast is bfloat16, for which this CPU has no instructions; add --bf16 "
            "false for float32"
        )
    zero = config["zero_optimization"]
    if cpu or any(
        zero.get(name, {}).get("device", "none") != "none" for name in ("offload_optimizer", "offload_param")
    ):
        check_compiler(path)
    if "RANK" not in os.environ:  # DeepSpeed would ask MPI
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ.update(
                RANK="0",
                LOCAL_RANK="0",
                WORLD_SIZE="1",
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(free.getsockname()[1]),
            )
    flags = [("deepspeed", json.dumps(config), path)]
    if "bf16" not in given:
        flags.append(
            (
                "bf16",
                "false",
                f"{path}: {'bfloat16 by torch_autocast' if config['torch_autocast']['enabled'] else 'float32'}",
            )
        )
    return flags


def deepspeed_file(given):
    """The configuration asked for by --deepspeed or by `accelerate launch --use_deepspeed`, or None."""
    path, setting = given.get("deepspeed"), lambda name: os.environ.get(f"ACCELERATE_DEEPSPEED_{name}", "none").lower()
    if not truthy(os.environ.get("ACCELERATE_USE_DEEPSPEED")):
        return path
    if path:
        raise InputError(
            f"--deepspeed {path}: accelerate launch brings a DeepSpeed configuration too; give one of them"
        )
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "false"  # from here on as if given by --deepspeed
    if setting("CONFIG_FILE") != "none":
        return os.environ["ACCELERATE_DEEPSPEED_CONFIG_FILE"]
    offload = "_offload" if {"cpu"} & {setting("OFFLOAD_OPTIMIZER_DEVICE"), setting("OFFLOAD_PARAM_DEVICE")} else ""
    return str(CONFIGURATIONS / f"zero{setting('ZERO_STAGE')}{offload}.json")


def read_configuration(path, given):
    """The configuration of a file, such that weights stay float32 and are saved whole. --bf16 false switches its
    autocast off.
    """
    try:
        config = dict(json.loads(Path(path).read_text(encoding="utf-8")))
        zero = config.setdefault("zero_optimization", {"stage": 0})
        autocast = config.setdefault("torch_autocast", {"enabled": False})
        blocks = [name for name in ("bf16", "fp16") if config.get(name, {}).get("enabled", False) is True]
        stage = zero.setdefault("stage", 0)
    except (AttributeError, OSError, TypeError, ValueError) as error:
        problem = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"--deepspeed {path}: not a DeepSpeed configuration ({problem}); give a file such as ds_configs/zero2.json"
        ) from None
    if stage not in (0, 1, 2, 3):
        raise InputError(f"--deepspeed {path}: zero_optimization.stage {stage!r}: must be 0, 1, 2 or 3")
    asked = [name for name in ("bf16", "fp16") if truthy(given.get(name))]
    if asked:
        rule = (
            "its torch_autocast is bfloat16 already"
            if autocast.get("enabled")
            else "DeepSpeed would hold and save 16-bit weights"
        )
        raise InputError(
            f"--{asked[0]} with --deepspeed {path}: {rule}; leave --{asked[0]} out (torch_autocast, as in "
            "ds_configs, is bfloat16)"
        )
    if blocks or autocast.get("enabled") and autocast.get("dtype", "bfloat16") != "bfloat16":
        found = (
            f"its {blocks[0]} block would save 16-bit weights"
            if blocks
            else f"torch_autocast in {autocast['dtype']} is not supported"
        )
        raise InputError(f"--deepspeed {path}: {found}; use torch_autocast with dtype bfloat16, as ds_configs do")
    autocast["enabled"] = bool(autocast.get("enabled")) and "bf16" not in given
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True  # the name is old: weights of any precision
    return config


def check_compiler(path):
    """DeepSpeed compiles its CPU parts at first use."""
    beside = Path(sys.executable).parent
    if not shutil.which("ninja") and (beside / "ninja").exists():  # a virtual environment that is not activated
        os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
    compiler = os.environ.get("CXX", "c++")
    for tool, remedy in ((compiler, "install g++ or load the compiler's module"), ("ninja", "pip install ninja")):
        if not shutil.which(tool):
            raise InputError(
                f"--deepspeed {path}: DeepSpeed compiles its CPU parts with {compiler} and ninja, and finds no "
                f"{tool}; {remedy}"
            )


class BuildLock:
    """torch's FileBaton, which lets one process at a time build or load a compiled part, as a lock that a killed
    process does not leave behind.
    """

    def __init__(self, path, *options, **more):
        self.file = open(f"{path}.flock", "w")

    def try_acquire(self):
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.file.close()

    def release(self):
        self.file.close()


def zero_stage(args):
    """0 to 3 with DeepSpeed, None without."""
    return args.deepspeed["zero_optimization"]["stage"] if args.deepspeed else None


def autocasts(args):
    """Whether forward passes are bfloat16 autocast, by --bf16 or by DeepSpeed's configuration."""
    return args.bf16 or bool(args.deepspeed) and args.deepspeed["torch_autocast"]["enabled"]


def precision(args):
    """What predictions may depend on beside the weights."""
    return ["bf16"] * autocasts(args) + [name for name in ("bf16_full_eval", "fp16_full_eval") if getattr(args, name)]


# --- Processes
# --------------------------------------------------------------------------------------------------------


def join_processes(args):
    """Bring up DeepSpeed's process group, let no wait exceed --ddp_timeout, and let every process load whole weights.

    ZeRO-3 would have transformers shard weights as they are read: fresh heads would be drawn otherwise than without
    it, and every look at a weight be a gathering. DeepSpeed shards the finished model as well, at the start of
    training.
    """
    groups = torch.distributed.distributed_c10d
    groups.default_pg_timeout = groups.default_pg_nccl_timeout = (
        args.ddp_timeout_delta
    )  # of barrier() and of the groups that DeepSpeed makes
    if torch.distributed.is_initialized():
        groups._set_pg_timeout(args.ddp_timeout_delta)  # on CPUs transformers makes the group without it
    if args.deepspeed:
        import deepspeed
        from torch.utils import cpp_extension
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        cpp_extension.FileBaton = BuildLock
        if args.device.type == "cpu":
            deepspeed.init_distributed(dist_backend="gloo", timeout=args.ddp_timeout_delta)


def distributed():
    """(rank, number of processes) of a torch.distributed run, (0, 1) otherwise."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def barrier():
    """Wait until all processes are here; on CPUs a time-out names the process that is missing (NCCL's watchdog does so
    by itself).
    """
    if distributed()[1] > 1:
        gloo = torch.distributed.get_backend() == "gloo"
        torch.distributed.monitored_barrier() if gloo else torch.distributed.barrier()


def on_main(function):
    """What `function()` returns on the first process, on every process; its error too, so that all stop together."""
    outcome = [None, None]
    if distributed()[0] == 0:
        try:
            outcome[0] = function()
        except (InputError, OSError) as error:
            outcome[1] = error
    if distributed()[1] > 1:
        torch.distributed.broadcast_object_list(outcome)
    if outcome[1]:
        raise outcome[1]
    return outcome[0]


def any_process(flag):
    """Whether `flag` holds on some process."""
    found = [flag] * distributed()[1]
    if len(found) > 1:
        torch.distributed.all_gather_object(found, flag)
    return any(found)


def finish_distributed():
    """Leave a distributed run in step: without this, gloo processes abort at exit now and then and lose files."""
    barrier()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def world_size():
    """Number of processes that a launcher started, before torch.distributed is up."""
    return int(os.environ.get("WORLD_SIZE", 1))
