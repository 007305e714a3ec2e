"""How a run comes onto its device and its processes: precision, launchers, the process group.

`python`, torchrun, accelerate launch, deepspeed and srun all lead here, to the same training.
"""

import logging
import os
import sys
import time
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from common.arguments import truthy
from common.files import InputError
from common.zero import BuildLock, deepspeed_flags

logger = logging.getLogger("xtreme")

# --- Device and precision -------------------------------------------------------------------------------------------


def launch_flags(given, exact=""):
    """[(flag, value, origin)] for device, precision and DeepSpeed that follow from what was `given`; `exact` is why
    it must be float32, where it must.

    Raises InputError for what cannot go together, or not on this machine.
    """
    if exact:
        return [("bf16", "false", exact), *launch_flags({**given, "bf16": "false"})]
    gpus = 0 if truthy(given.get("use_cpu")) else torch.cuda.device_count()
    if gpus > 1 and "RANK" not in os.environ:
        script = Path(sys.argv[0]).name
        raise InputError(
            f"{gpus} GPUs but one process: start it with torchrun --nproc_per_node {gpus} {script} …, or show it one "
            "GPU with CUDA_VISIBLE_DEVICES=0"
        )
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if 0 < gpus < processes:
        raise InputError(
            f"{processes} processes but {gpus} GPU(s) that they see: start {gpus} (torchrun --nproc_per_node {gpus}), "
            "or add --use_cpu"
        )
    deepspeed = deepspeed_flags(given, not gpus, cpu_has_bf16())
    if not gpus and not deepspeed:
        meet(given)
    return [*precision_flags({**given, **{name: value for name, value, _ in deepspeed}}), *deepspeed]


def cpu_has_bf16():
    """Whether this CPU has bfloat16 instructions; without them it emulates, far slower than float32."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), ())
    return "avx512_bf16" in flags or "amx_bf16" in flags


@lru_cache(maxsize=1)
def bf16_speed():
    """How many times as fast as float32 this CPU multiplies bfloat16 matrices, measured once in some milliseconds.

    Its flags do not tell: some with avx512_bf16 alone are slower at it.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weights = torch.ones(256, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
        taken = []
        for _ in range(6):  # the first one warms up; the best one was not disturbed
            start = time.perf_counter()
            x @ weights
            taken.append(time.perf_counter() - start)
        seconds[dtype] = min(taken)
    return seconds[torch.float32] / seconds[torch.bfloat16]


def precision_flags(given):
    """Flags for device and precision that were not given, with their origin; refuses what the device cannot do."""
    cuda = torch.cuda.is_available() and not truthy(given.get("use_cpu"))
    if not cuda:  # or deepspeed, which accelerate imports, warns that it found no GPU
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    capable = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_has_bf16()
    for name in ("fp16", "fp16_full_eval", "bf16", "bf16_full_eval"):
        if truthy(given.get(name)) and name.startswith("fp16") and not cuda:
            raise InputError(
                f"--{name}: this device is a CPU, which is no good at float16; use --bf16 (if it has avx512_bf16 or "
                "AMX) or float32"
            )
        if truthy(given.get(name)) and name.startswith("bf16") and not capable:
            device, other = ("GPU", "--fp16") if cuda else ("CPU", "float32")
            raise InputError(f"--{name}: this {device} has no bfloat16 instructions; use {other}")
    if not cuda and truthy(given.get("bf16")) and bf16_speed() < 1:
        logger.warning("--bf16: %s; leave it out to be faster", bf16_hint().lstrip("; "))
    flags = [] if cuda or "use_cpu" in given else [("use_cpu", "true", "no GPU found")]
    if "bf16" not in given and "fp16" not in given:
        if cuda and capable:
            flags.append(("bf16", "true", "device default: this GPU is fast at it; weights stay float32"))
        else:
            hint = bf16_hint() if capable else ""
            flags.append(("bf16", "false", f"device default: float32{hint}"))
    return flags


def bf16_hint():
    """What the log says of --bf16 on a CPU that has its instructions."""
    speed = bf16_speed()
    worth = "; --bf16 is faster on this CPU" if speed >= 1.2 else "; --bf16 would not be faster on this CPU"
    return f"{worth} (measured: {speed:.1f} times float32)"


def threads():
    """(number of threads that a CPU computes with, how it came about), for the log."""
    name = "OMP_NUM_THREADS"
    given = os.environ.get(name)
    return torch.get_num_threads(), f"{name}={given}" if given else f"{name} is not set: one per core"


def search_device():
    """The device that embeddings are compared on: the run's, so --use_cpu holds there too."""
    return PartialState().device


def autocasts(args):
    """Whether forward passes are bfloat16 autocast, by --bf16 or by DeepSpeed's configuration."""
    return args.bf16 or bool(args.deepspeed) and args.deepspeed["torch_autocast"]["enabled"]


def precision(args):
    """What predictions may depend on beside the weights."""
    return ["bf16"] * autocasts(args) + [name for name in ("bf16_full_eval", "fp16_full_eval") if getattr(args, name)]


# --- Processes: accelerate's PartialState, and what it lacks --------------------------------------------------------


def meet(given):
    """Bring up the process group of CPUs within --ddp_timeout; transformers would wait half an hour there.

    InputError for a port that another run has; torch's own error for a process that does not come.
    """
    address, limit = (
        [os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT")],
        given.get("ddp_timeout", "1800"),
    )
    ready = all(address) and limit.isdecimal() and int(limit)
    if world_size() == 1 or torch.distributed.is_initialized() or not ready:
        return
    try:
        torch.distributed.init_process_group(given.get("ddp_backend", "gloo"), timeout=timedelta(seconds=int(limit)))
    except ValueError:  # a --ddp_backend that is none: TrainingArguments says so
        return
    except RuntimeError as error:
        if problem := port_in_use(error):
            raise InputError(problem) from None
        raise


def port_in_use(error):
    """What an error says of a port that somebody else has, None where it is another error."""
    if "EADDRINUSE" not in str(error):
        return None
    port = os.environ.get("MASTER_PORT")
    return (
        f"port {port} of {os.environ.get('MASTER_ADDR')} is in use, by another run perhaps; give the launcher another "
        "one (--master_port, or MASTER_PORT in the environment)"
    )


def join_processes(args):
    """Bring up DeepSpeed's process group, let no wait exceed --ddp_timeout, and let every process load whole weights.

    ZeRO-3 would have transformers shard weights as they are read: fresh heads would be drawn otherwise than without
    it, and every look at a weight be a gathering. DeepSpeed shards the finished model as well, when training starts.
    """
    # cuDNN plans its attention anew for every length, in hundreds of milliseconds, and our batches have all lengths.
    torch.backends.cuda.enable_cudnn_sdp(False)
    # Of barrier(), and of the groups that DeepSpeed makes; on CPUs transformers makes its group without it.
    groups = torch.distributed.distributed_c10d
    groups.default_pg_timeout = groups.default_pg_nccl_timeout = args.ddp_timeout_delta
    if torch.distributed.is_initialized():
        groups._set_pg_timeout(args.ddp_timeout_delta)
    if args.deepspeed:
        import deepspeed  # only here: importing it takes seconds
        from torch.utils import cpp_extension
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        cpp_extension.FileBaton = BuildLock
        if args.device.type == "cpu":
            deepspeed.init_distributed(dist_backend="gloo", timeout=args.ddp_timeout_delta)
    else:
        # accelerate imports it wherever it is installed, to ask whether a model is its engine: a sixth of every start.
        sys.modules.setdefault("deepspeed", None)


def begin_again(args):
    """Let a process that has trained under DeepSpeed load whole weights once more, and train them.

    The first Accelerator has told transformers of ZeRO-3 again; further ones have its plugin, and refuse to be given
    one.
    """
    if args.deepspeed:
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        args.deepspeed_plugin = None


def distributed():
    """(rank, number of processes)."""
    state = PartialState()
    return state.process_index, state.num_processes


def barrier():
    """Wait until all processes are here.

    On CPUs not PartialState's: this one's time-out names the process that is missing, as NCCL's watchdog does on GPUs.
    """
    if distributed()[1] > 1:
        gloo = torch.distributed.get_backend() == "gloo"
        torch.distributed.monitored_barrier() if gloo else torch.distributed.barrier()


def on_main(function):
    """What `function()` returns on the first process, on every process; its error too, so that all stop together.

    accelerate broadcasts values only: where the first process fails, the others would wait.
    """
    value = error = None
    if PartialState().is_main_process:
        try:
            value = function()
        except (InputError, OSError) as problem:
            error = problem
    value, error = broadcast_object_list([value, error])
    if error:
        raise error
    return value


def any_process(flag):
    """Whether `flag` holds on some process."""
    return any(gather_object([flag]))


def finish_distributed():
    """Leave a distributed run in step: without this, gloo processes abort at exit now and then and lose files."""
    barrier()
    PartialState().destroy_process_group()


def world_size():
    """Number of processes that a launcher started, before torch.distributed is up."""
    return int(os.environ.get("WORLD_SIZE", 1))
