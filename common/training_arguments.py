"""TrainingArguments of a run: the command line, the task's recipe where it gives nothing, and checks.

HF leaves many of these checks until work has begun.
"""

import logging
import os
import re
from pathlib import Path

import datasets
import transformers
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations import get_available_reporting_integrations

from common.arguments import STRAY, truthy
from common.files import InputError
from common.launching import port_in_use, threads
from common.recovery import LOST
from common.run_record import is_secret, plain

logger = logging.getLogger("xtreme")

# Values of TrainingArguments that nobody else checks before work begins: flag -> (least, most).
RANGES = {
    "learning_rate": (0, 1e6),
    "weight_decay": (0, 1e6),
    "warmup_steps": (0, 1e12),
    "max_grad_norm": (0, 1e12),
    "label_smoothing_factor": (0, 1),
    "adam_beta1": (0, 0.999999),
    "adam_beta2": (0, 0.999999999),
    "adam_epsilon": (0, 1),
    "num_train_epochs": (1e-6, 1e6),
    "per_device_train_batch_size": (1, 1e6),
    "per_device_eval_batch_size": (1, 1e6),
    "gradient_accumulation_steps": (1, 1e6),
    "seed": (0, 2**32 - 1),
    "data_seed": (0, 2**32 - 1),
    "dataloader_num_workers": (0, 1e4),
}

# Below this number of weights beside the embeddings, the recipes' rates for XLM-R Large may teach nothing; try these.
SMALL_ENCODER, SMALL_RATES = 100e6, (2e-5, 1e-4)


def set_up_logging():
    """Our messages on the first process, no progress bars of `datasets`."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO if int(os.environ.get("RANK", 0)) == 0 else logging.ERROR)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


def task_defaults(task, given, world_size):
    """[(flag, value, origin)] for the flags of TrainingArguments that were not given: the task's recipe, and selection
    on dev.
    """
    defaults, flags = task.defaults, []
    train, select = truthy(given.get("do_train")), truthy(given.get("do_eval")) and not task.dev_is_test

    def default(name, value, origin):
        if name not in given:
            flags.append((name, value, origin))

    default("per_device_eval_batch_size", 64, "default")
    if not train:
        return flags
    recipe = defaults.origin
    size = "" if "random weights" in defaults.source else "; made for XLM-R Large"
    default("learning_rate", defaults.learning_rate, recipe + size)
    for name in ("num_train_epochs", "warmup_steps", "weight_decay"):
        default(name, getattr(defaults, name), recipe)
    default("train_sampling_strategy", *order_of(task, given))
    flags += batch_flags(defaults.train_batch_size, given, world_size, recipe, defaults.micro_batch)
    default(
        "eval_strategy",
        "epoch" if select else "no",
        "selection on dev" if select else "no dev set to select on",
    )
    strategy = given.get("eval_strategy", "epoch")
    default("save_strategy", strategy if select and strategy != "no" else "epoch", "as eval_strategy")
    if "eval_steps" in given:
        default("save_steps", given["eval_steps"], "as eval_steps")
    if select and strategy != "no" and given.get("save_strategy", strategy) in (strategy, "best"):
        default("load_best_model_at_end", "true", "selection on dev")
        default("metric_for_best_model", f"eval_{task.metric}", "the task's metric")
    default("save_total_limit", 1, "default")
    return flags


def order_of(task, given):
    """(value, origin) of --train_sampling_strategy where it is not given."""
    if task.defaults.micro_batch:  # answers of like lengths may be of one paragraph
        return "random", task.defaults.origin
    if task.kind == "tagging":
        compiled = truthy(given.get("torch_compile")) or {"torch_compile_backend", "torch_compile_mode"} & set(given)
        order = "random" if compiled else "batch_rebalance"  # compiled code wants batches of one size
        return order, "default: tagging loses by batches of like lengths (docs/results/batches.md)"
    return "group_by_length", "default: batches of like lengths"


def batch_flags(effective, given, world_size, origin, micro_batch=0):
    """per_device_train_batch_size and gradient_accumulation_steps that give the recipe's effective batch on this many
    processes, in micro-batches of a size that the recipe may ask for.

    One that is given stands, and the origin says which batch comes of it; InputError where none is given and the
    processes cannot share the batch evenly.
    """
    names = "per_device_train_batch_size", "gradient_accumulation_steps"
    if all(given.get(name) for name in names):
        return []
    known = next((name for name in names if given.get(name)), None)
    if known is None and effective % world_size:
        share = [number for number in range(1, effective + 1) if effective % number == 0]
        raise InputError(
            f"{world_size} processes cannot share the recipe's effective batch of {effective} ({origin}); start "
            f"{', '.join(map(str, share[:-1]))} or {share[-1]} of them, or give --{names[0]}, with which it is another"
        )
    if known is None and micro_batch:
        size = min(micro_batch, effective // world_size)
        steps = batch_flags(effective, {**given, names[0]: str(size)}, world_size, origin)
        return [(names[0], size, f"{origin}: so many see each other as negatives"), *steps]
    factor = int(given[known]) if known and given[known].isdecimal() and int(given[known]) else 1
    derived = max(1, effective // world_size // factor)
    batch = derived * factor * world_size
    kept = f"effective batch {effective}"
    if batch != effective:
        kept = (
            f"effective batch {batch}, not the recipe's {effective}, by --{known} {factor} on {world_size} processes"
        )
    return [(names[known == names[0]], derived, f"{origin}: {kept}")]


def trainer_arguments(parser, trainer_argv, flags):
    """TrainingArguments from the command line and the defaults `flags`; wrong values exit with code 2 and one line."""
    hf_parser = HfArgumentParser(TrainingArguments, allow_abbrev=False, prog=parser.prog)
    hf_parser.error = parser.error
    extra = [token for name, value, _ in flags for token in (f"--{name}", str(value))]
    # The collator picks the columns; the Trainer would drop those that only heads read.
    fixed = ["--remove_unused_columns", "false"]
    try:
        training_args, stray = hf_parser.parse_args_into_dataclasses(
            [*trainer_argv, *extra, *fixed], True, look_for_args_file=False
        )
    except Exception as error:  # of many kinds; InputError's are ours
        if re.search(LOST, f"{type(error).__name__}: {error}") and not port_in_use(error):
            raise  # GPUs' processes meet here, and one did not come
        raise InputError(
            port_in_use(error)
            or f"TrainingArguments: {' '.join(str(error).split())[:300] or type(error).__name__}; see --help"
        ) from None
    if stray:
        raise InputError(STRAY.format(stray[0]))
    check_values(training_args)
    return training_args


def check_values(training_args):
    """Refuse values that would fail, or silently spoil the run, only after it has begun."""
    for name, (least, most) in RANGES.items():
        value = getattr(training_args, name)
        if value is not None and not least <= value <= most:  # NaN is neither
            raise InputError(
                f"--{name} {value}: must be from {least:.10g} to {most:.10g}; leave it out for the default"
            )
    check_trainer(training_args)
    missing = sorted(set(training_args.report_to) - set(get_available_reporting_integrations()))
    if missing:
        raise InputError(
            f"--report_to {missing[0]}: no such package is installed; install it or write --report_to none"
        )
    check_resume(training_args)


def check_trainer(training_args):
    """Refuse what HF's Trainer would take for something else, or cannot do here."""
    if training_args.max_steps != -1 and training_args.max_steps < 1:
        raise InputError(
            f"--max_steps {training_args.max_steps}: would train all epochs; give at least 1, or leave it out for "
            "--num_train_epochs"
        )
    for name in ("fsdp", "parallelism_config"):
        if getattr(training_args, name):
            raise InputError(
                f"--{name}: not supported, checkpoints and predictions here need whole weights; to share them out "
                "use --deepspeed ds_configs/zero3.json"
            )
    if training_args.deepspeed and training_args.bf16_full_eval:
        raise InputError("--bf16_full_eval with --deepspeed: would turn the trained weights 16-bit; leave it out")
    for name in ("save_only_model", "ignore_data_skip"):
        if getattr(training_args, name):
            raise InputError(f"--{name} true: a stopped run could not go on to the same bytes; leave it out")
    if training_args.eval_on_start and not training_args.do_eval:
        raise InputError("--eval_on_start: there is nothing to evaluate without --do_eval; add it")
    if training_args.save_strategy == "best" and not training_args.metric_for_best_model:
        raise InputError("--save_strategy best: best by what? Add --do_eval or --metric_for_best_model")


def check_resume(training_args):
    """Refuse a checkpoint to resume from that is none, or of another folder."""
    checkpoint = training_args.resume_from_checkpoint
    if checkpoint and str(checkpoint).lower() not in ("true", "last"):
        if not os.path.isdir(checkpoint):
            raise InputError(
                f"--resume_from_checkpoint {checkpoint}: no such folder; write 'last' or leave it out to go on from "
                "the last checkpoint"
            )
        folder = training_args.output_dir
        # A checkpoint holds pickles, and its settings lie beside it.
        if Path(checkpoint).resolve().parent != Path(folder).resolve():
            raise InputError(
                f"--resume_from_checkpoint {checkpoint}: not a checkpoint of --output_dir {folder}; name one of its "
                "own"
            )


def check_batches(training_args, examples):
    """Refuse --dataloader_drop_last where it drops all of these training examples."""
    batch = training_args.train_batch_size * training_args.world_size
    if training_args.train_sampling_strategy == "batch_rebalance":  # whole updates are dropped
        batch *= training_args.gradient_accumulation_steps
    if training_args.dataloader_drop_last and examples < batch:
        raise InputError(
            f"--dataloader_drop_last: the {examples} training examples do not fill one batch of {batch}; leave it out"
        )


def check_order(training_args, task):
    """Refuse what needs micro-batches of one size where `batch_rebalance` makes them of several."""
    if training_args.train_sampling_strategy != "batch_rebalance":
        return
    if task.kind == "dual_encoder":
        raise InputError(
            f"--train_sampling_strategy batch_rebalance: micro-batches of {task.name} are negatives of each other and "
            "need one size; leave it out for random"
        )
    for name in ("split_batches", "dispatch_batches"):
        if getattr(training_args.accelerator_config, name):
            raise InputError(
                f"--accelerator_config {name}: batch_rebalance gives every process batches of its own; leave it out, "
                "or add --train_sampling_strategy random"
            )


def check_smoothing(training_args, tasks):
    """Refuse label smoothing where the classes are positions or choices."""
    without = [
        task.name
        for task in tasks
        if task.kind in ("question_answering", "multiple_choice", "masked_lm", "translation_lm", "dual_encoder")
    ]
    smoothing = training_args.label_smoothing_factor
    if smoothing and without:
        raise InputError(
            f"--label_smoothing_factor {smoothing}: {without[0]} has no fixed set of classes to smooth over; leave "
            "it out"
        )


def trainer_origins(training_args, flags, given):
    """[(name, value, where it comes from)] of the TrainingArguments that a default or the command line set."""
    shown = [name for name in given if hasattr(training_args, name) and not is_secret(name)]
    origins = [(name, origin) for name, _, origin in flags] + [(name, "given") for name in shown]
    return [(name, plain(getattr(training_args, name)), origin) for name, origin in origins]


def rate_advice(encoder, rate):
    """Learning rates to try where an encoder is far smaller than the one that the recipes were made for, as text; ""
    where it is not, or `rate` lies among them already.
    """
    weights = encoder.num_parameters(exclude_embeddings=True)
    if weights >= SMALL_ENCODER or not 0 < rate < SMALL_RATES[0]:
        return ""
    return (
        f"--learning_rate from {SMALL_RATES[0]:g} to {SMALL_RATES[1]:g} ({rate:g} is for XLM-R Large with 303 million "
        f"weights beside its embeddings, this encoder has {weights / 1e6:.1f} million)"
    )


def log_settings(training_args, origins):
    for name, value, origin in origins:
        logger.info("%-30s %-16s %s", name, value, origin)
    if training_args.do_train:
        per_device, steps, world = (
            training_args.per_device_train_batch_size,
            training_args.gradient_accumulation_steps,
            training_args.world_size,
        )
        logger.info(
            "effective batch %d = %d x %d processes x %d accumulation",
            per_device * steps * world,
            per_device,
            world,
            steps,
        )
    if training_args.device.type == "cpu":
        logger.info("%-30s %-16s %s", "threads", *threads())
