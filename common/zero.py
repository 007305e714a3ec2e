"""DeepSpeed's configuration as a run really uses it: float32 weights, saved whole; what compiles its CPU parts.

DeepSpeed and accelerate read such files too, but would hold 16-bit weights, hand them on, and fail late.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
import sys
import time
from pathlib import Path

from common.arguments import truthy
from common.files import InputError

logger = logging.getLogger("xtreme")

CONFIGURATIONS = Path(__file__).resolve().parents[1] / "ds_configs"


def deepspeed_flags(given, cpu, fast_bf16):
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
    autocast, zero = config["torch_autocast"]["enabled"], config["zero_optimization"]
    if cpu and autocast and not fast_bf16:
        raise InputError(
            f"--deepspeed {path}: torch_autocast is bfloat16, for which this CPU has no instructions; add --bf16 "
            "false for float32"
        )
    offloads = [zero.get(name, {}).get("device", "none") for name in ("offload_optimizer", "offload_param")]
    if cpu or offloads != ["none", "none"]:
        check_compiler(path)
    if "RANK" not in os.environ:
        be_the_only_process()
    flags = [("deepspeed", json.dumps(config), path)]
    if "bf16" not in given:
        flags.append(("bf16", "false", f"{path}: {'bfloat16 by torch_autocast' if autocast else 'float32'}"))
    return flags


def be_the_only_process():
    """The environment of a launcher's single process; without it DeepSpeed asks MPI."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))


def deepspeed_file(given):
    """The configuration asked for by --deepspeed or by `accelerate launch --use_deepspeed`, or None."""

    def setting(name):
        return os.environ.get(f"ACCELERATE_DEEPSPEED_{name}", "none").lower()

    path = given.get("deepspeed")
    if not truthy(os.environ.get("ACCELERATE_USE_DEEPSPEED")):
        return path
    if path:
        raise InputError(
            f"--deepspeed {path}: accelerate launch brings a DeepSpeed configuration too; give one of them"
        )
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "false"  # from here on as if given by --deepspeed
    if setting("CONFIG_FILE") != "none":
        return os.environ["ACCELERATE_DEEPSPEED_CONFIG_FILE"]
    offload = "_offload" if "cpu" in (setting("OFFLOAD_OPTIMIZER_DEVICE"), setting("OFFLOAD_PARAM_DEVICE")) else ""
    return str(CONFIGURATIONS / f"zero{setting('ZERO_STAGE')}{offload}.json")


def read_configuration(path, given):
    """The configuration of a file, such that weights stay float32 and are saved whole.

    --bf16 false switches its autocast off. Raises InputError for a file that is none, and for 16-bit weights.
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
    check_precision(path, given, blocks, autocast)
    autocast["enabled"] = bool(autocast.get("enabled")) and "bf16" not in given
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True  # the name is old: weights of any precision
    return config


def check_precision(path, given, blocks, autocast):
    """InputError for flags and blocks that would give anything but float32 weights under bfloat16 autocast."""
    for name in ("bf16", "fp16"):
        if truthy(given.get(name)):
            own = "its torch_autocast is bfloat16 already", "DeepSpeed would hold and save 16-bit weights"
            raise InputError(
                f"--{name} with --deepspeed {path}: {own[not autocast.get('enabled')]}; leave --{name} out "
                "(torch_autocast, as in ds_configs, is bfloat16)"
            )
    problem = None
    if blocks:
        problem = f"its {blocks[0]} block would save 16-bit weights"
    elif autocast.get("enabled") and autocast.get("dtype", "bfloat16") != "bfloat16":
        problem = f"torch_autocast in {autocast['dtype']} is not supported"
    if problem:
        raise InputError(f"--deepspeed {path}: {problem}; use torch_autocast with dtype bfloat16, as ds_configs do")


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
    """In place of torch's FileBaton, which lets one process at a time build or load a compiled part.

    A killed process does not leave this lock behind. Torch's own, which a build without ours has left when it was
    killed, is named and not waited for.
    """

    def __init__(self, path, *options, **more):
        self.path = Path(f"{path}.flock")
        self.file = open(self.path, "a")
        if Path(path).exists():
            logger.warning("%s: lock of a build %s ago, killed perhaps; not waited for", path, age(path))

    def try_acquire(self):
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.utime(self.path)
        return True

    def wait(self):
        if not self.try_acquire():
            logger.warning("%s: another process compiles since %s; waiting for it", self.path, age(self.path))
            fcntl.flock(self.file, fcntl.LOCK_EX)
        self.file.close()

    def release(self):
        self.file.close()


def age(path):
    """How long ago a file was changed, in words."""
    minutes = int(time.time() - Path(path).stat().st_mtime) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def zero_stage(args):
    """0 to 3 with DeepSpeed, None without."""
    return args.deepspeed["zero_optimization"]["stage"] if args.deepspeed else None
