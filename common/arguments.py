"""The command line of the run scripts: their own flags first, then every flag of transformers.TrainingArguments,
unchanged.

Importing transformers and torch takes seconds, so flags are checked and `--help` is printed without them: the names
and help texts of TrainingArguments are read from its source file.
"""

import argparse
import ast
import difflib
import importlib.util
import logging
import os
import re
from functools import lru_cache
from pathlib import Path

from common.files import InputError
from common.run_record import plain
from common.text import show

logger = logging.getLogger("xtreme")

# Flags that transformers 5 no longer has -> what to write instead.
RENAMED_FLAGS = {
    "warmup_ratio": "--warmup_steps 0.1 (below 1 it is a fraction of all steps)",
    "overwrite_output_dir": "a new --output_dir",
    "evaluation_strategy": "--eval_strategy",
    "no_cuda": "--use_cpu",
    "use_mps_device": "--use_cpu, or nothing: the device is found",
    "logging_dir": "the environment variable TENSORBOARD_LOGGING_DIR",
    "group_by_length": "--train_sampling_strategy group_by_length (already the default here)",
    "fp16_backend": "--fp16 or --bf16",
    "half_precision_backend": "--fp16 or --bf16",
    "fp16_opt_level": "--bf16",
    "include_inputs_for_metrics": "--include_for_metrics inputs",
    "per_gpu_train_batch_size": "--per_device_train_batch_size",
    "per_gpu_eval_batch_size": "--per_device_eval_batch_size",
    "push_to_hub_token": "--hub_token",
    "push_to_hub_model_id": "--hub_model_id",
    "push_to_hub_organization": "--hub_model_id owner/name",
    "save_safetensors": "nothing: checkpoints are always safetensors",
    "jit_mode_eval": "--torch_compile",
    "torchscript": "--torch_compile",
    "tpu_num_cores": "a launcher such as torchrun",
    "past_index": "nothing: encoders have no past",
    "predict_languages": "--languages",
    "language": "--languages",
    "dataset_name": "--task and --data_dir",
    "use_fast_tokenizer": "nothing: every tokenizer is fast",
    "do_lower_case": "nothing: XLM-R is cased",
    "max_length": "--max_seq_length",
}

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

# Arguments of TrainingArguments that decide what a training run computes: a folder holds one run, so they must not
# change in it.
DECISIVE = """learning_rate num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps warmup_steps weight_decay
lr_scheduler_type optim adam_beta1 adam_beta2 adam_epsilon max_grad_norm label_smoothing_factor bf16 fp16 seed data_seed
train_sampling_strategy load_best_model_at_end metric_for_best_model eval_strategy eval_steps neftune_noise_alpha optim_args lr_scheduler_kwargs
eval_delay greater_is_better dataloader_drop_last average_tokens_across_devices bf16_full_eval fp16_full_eval tf32 torch_compile""".split()

TRUE, FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")  # HfArgumentParser's spellings
STRAY = "unexpected argument {!r}; every value belongs to a --flag before it"


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations and with one-line errors (exit code 2)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def print_help(self, file=None):
        show(self.format_help())

    def error(self, message):
        if str(message).startswith(
            ("argument ", "the following arguments")
        ):  # argparse's own, which name no next step
            message = f"{message}; see --help"
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


@lru_cache
def trainer_flags():
    """{flag name: help text} of TrainingArguments, from its source, without importing transformers."""
    package = importlib.util.find_spec("transformers")
    if package is None:
        raise InputError("the package transformers is not installed; run: pip install -r requirements.txt")
    tree = ast.parse((Path(package.submodule_search_locations[0]) / "training_args.py").read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments")
    flags = {}
    for node in body:
        if isinstance(node, ast.AnnAssign):
            texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            flags[node.target.id] = " ".join(max(texts, key=len, default="").split()) if len(texts) else ""
            if "default=True" in ast.unparse(node):  # HfArgumentParser's way to switch off what is on by default
                flags[f"no_{node.target.id}"] = f"Turn {node.target.id} off."
    return flags


def parse(parser, argv):
    """Split a command line into (own arguments, the rest for TrainingArguments, values of the rest's flags by name).

    Exits with code 2 and one line for an unknown flag (naming the nearest one), an abbreviation, or a removed flag.
    """
    try:
        hf_flags = trainer_flags()
    except InputError as error:
        parser.error(error)
    if {"-h", "--help"} & set(argv):
        parser.epilog = "flags of transformers.TrainingArguments (same names, same meaning):\n" + "\n".join(
            f"  --{name:<32}{text[:110]}" for name, text in hf_flags.items() if not name.startswith("no_")
        )
        parser.print_help()
        parser.exit(0)
    own_flags = {
        option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")
    }
    for token in argv:
        if re.match(r"--?[A-Za-z]", token):
            check_flag(parser, token, own_flags, hf_flags)
    own, rest = parser.parse_known_args([underscored(token) for token in argv])
    if rest and (rest[0] == "--" or not rest[0].startswith("--")):
        parser.error(STRAY.format(rest[0]))
    given = {}
    for index, token in enumerate(rest):
        if token.startswith("--"):
            name, _, value = token[2:].partition("=")
            following = rest[index + 1] if index + 1 < len(rest) and not rest[index + 1].startswith("--") else "true"
            given[name] = value or following
    for name in ("do_train", "do_eval", "do_predict"):
        if given.get(name, "true").lower() not in (*TRUE, *FALSE):
            parser.error(f"--{name} {given[name]}: takes true, false or nothing; {STRAY.format(given[name])}")
    return own, rest, given


def underscored(token):
    """`--max-seq-length=9` -> `--max_seq_length=9`; HF's parser takes both spellings."""
    if not token.startswith("--"):
        return token
    name, separator, value = token[2:].partition("=")
    return f"--{name.replace('-', '_')}{separator}{value}"


def check_flag(parser, token, own_flags, hf_flags):
    name = token.lstrip("-").split("=")[0].replace("-", "_")
    if token.startswith("--") and (name in own_flags or name in hf_flags):
        return
    if name in RENAMED_FLAGS:
        parser.error(
            f"--{name} does not exist here (transformers 5 or this script dropped it); use {RENAMED_FLAGS[name]}"
        )
    known = sorted(own_flags) + [flag for flag in hf_flags if not flag.startswith("no_")]
    longer = [flag for flag in known if flag.startswith(name) and flag != name]
    near = [name] if name in known else longer or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(f'--{flag}' for flag in near[:3])}?" if near else "see --help"
    rule = " Flags begin with two dashes." if name in known else " Flags are not abbreviated." if longer else ""
    parser.error(f"unknown flag {token.split('=')[0]}; {hint}{rule}")


def truthy(value):
    """Whether a flag's value on the command line switches it on."""
    return str(value).lower() in TRUE


def task_defaults(task, given, world_size):
    """[(flag, value, origin)] for the flags of TrainingArguments that were not given: the task's recipe, and selection
    on English dev.
    """
    defaults, flags = task.defaults, []
    train, select = truthy(given.get("do_train")), truthy(given.get("do_eval")) and not task.dev_is_test

    def default(name, value, origin):
        if name not in given:
            flags.append((name, value, origin))

    default("per_device_eval_batch_size", 64, "default")
    if not train:
        return flags
    recipe = f"task default, {defaults.source}"
    for name in ("learning_rate", "num_train_epochs", "warmup_steps", "weight_decay"):
        default(name, getattr(defaults, name), recipe)
    default("train_sampling_strategy", "group_by_length", "default: batches of like lengths")
    flags += batch_flags(defaults.train_batch_size, given, world_size, recipe)
    default(
        "eval_strategy",
        "epoch" if select else "no",
        "selection on English dev" if select else "no English dev set to select on",
    )
    strategy = given.get("eval_strategy", "epoch")
    default("save_strategy", strategy if select and strategy != "no" else "epoch", "as eval_strategy")
    if "eval_steps" in given:
        default("save_steps", given["eval_steps"], "as eval_steps")
    if select and strategy != "no" and given.get("save_strategy", strategy) in (strategy, "best"):
        default("load_best_model_at_end", "true", "selection on English dev")
        default("metric_for_best_model", f"eval_{task.metric}", "the task's metric")
    default("save_total_limit", 1, "default")
    return flags


def batch_flags(effective, given, world_size, origin):
    """per_device_train_batch_size and gradient_accumulation_steps that give the recipe's effective batch on this many
    processes.
    """
    per_device, accumulation = given.get("per_device_train_batch_size"), given.get("gradient_accumulation_steps")
    if per_device and accumulation:
        return []
    share = max(1, effective // world_size)
    if per_device:
        steps = share // int(per_device) if per_device.isdigit() and int(per_device) else 1
        return [("gradient_accumulation_steps", max(1, steps), f"{origin}: effective batch {effective}")]
    size = max(1, share // (int(accumulation) if accumulation and accumulation.isdigit() and int(accumulation) else 1))
    return [("per_device_train_batch_size", size, f"{origin}: effective batch {effective}")]


def trainer_arguments(parser, trainer_argv, flags):
    """TrainingArguments from the command line and the defaults `flags`; wrong values exit with code 2 and one line."""
    from transformers import HfArgumentParser, TrainingArguments

    hf_parser = HfArgumentParser(TrainingArguments, allow_abbrev=False, prog=parser.prog)
    hf_parser.error = parser.error
    extra = [token for name, value, _ in flags for token in (f"--{name}", str(value))]
    fixed = [
        "--remove_unused_columns",
        "false",
    ]  # the collator picks the columns; the Trainer would drop those that only heads read
    try:
        training_args, stray = hf_parser.parse_args_into_dataclasses(
            [*trainer_argv, *extra, *fixed], True, look_for_args_file=False
        )
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        raise InputError(
            f"TrainingArguments: {' '.join(str(error).split())[:300] or type(error).__name__}; see --help"
        ) from None
    if stray:
        raise InputError(STRAY.format(stray[0]))
    check_values(training_args)
    return training_args


def check_values(training_args):
    """Refuse values that would fail, or silently spoil the run, only after it has begun."""
    from transformers.integrations import get_available_reporting_integrations

    for name, (least, most) in RANGES.items():
        value = getattr(training_args, name)
        if value is not None and not least <= value <= most:  # NaN is neither
            raise InputError(
                f"--{name} {value}: must be from {least:.10g} to {most:.10g}; leave it out for the default"
            )
    missing = sorted(set(training_args.report_to) - set(get_available_reporting_integrations()))
    if missing:
        raise InputError(
            f"--report_to {missing[0]}: no such package is installed; install it or write --report_to none"
        )
    checkpoint = training_args.resume_from_checkpoint
    if checkpoint and str(checkpoint).lower() not in ("true", "last"):
        if not os.path.isdir(checkpoint):
            raise InputError(
                f"--resume_from_checkpoint {checkpoint}: no such folder; write 'last' or leave it out to go on from "
                "the last checkpoint"
            )
        folder = training_args.output_dir
        if (
            Path(checkpoint).resolve().parent != Path(folder).resolve()
        ):  # a checkpoint holds pickles, and its settings lie beside it
            raise InputError(
                f"--resume_from_checkpoint {checkpoint}: not a checkpoint of --output_dir {folder}; name one of its "
                "own"
            )
    if training_args.deepspeed and training_args.bf16_full_eval:
        raise InputError("--bf16_full_eval with --deepspeed: would turn the trained weights 16-bit; leave it out")
    if training_args.eval_on_start and not training_args.do_eval:
        raise InputError("--eval_on_start: there is nothing to evaluate without --do_eval; add it")
    if training_args.save_strategy == "best" and not training_args.metric_for_best_model:
        raise InputError("--save_strategy best: best by what? Add --do_eval or --metric_for_best_model")


def check_smoothing(training_args, tasks):
    """Refuse label smoothing where the classes are positions or choices."""
    without = [task.name for task in tasks if task.kind in ("question_answering", "multiple_choice", "masked_lm")]
    smoothing = training_args.label_smoothing_factor
    if smoothing and without:
        raise InputError(
            f"--label_smoothing_factor {smoothing}: {without[0]} has no fixed set of classes to smooth over; leave "
            "it out"
        )


def trainer_origins(training_args, flags, given):
    """[(name, value, where it comes from)] of the TrainingArguments that a default or the command line set."""
    shown = [name for name in given if hasattr(training_args, name) and not name.endswith("_token")]
    origins = [(name, origin) for name, _, origin in flags] + [(name, "given") for name in shown]
    return [(name, plain(getattr(training_args, name)), origin) for name, origin in origins]


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


def parse_conditions(tokens, data_dir):
    """['keyboard-2=noised/keyboard-2'] -> {name: folder}; default {clean: data_dir}."""
    conditions = {}
    for token in tokens or [f"clean={data_dir}"]:
        name, separator, folder = token.partition("=")
        if not separator or not re.fullmatch(r"[\w.+-]+", name) or name in (".", "..", "dev"):
            raise InputError(
                f"--conditions {token!r}: write NAME=FOLDER, NAME of letters, digits and . _ + -, e.g. "
                "keyboard-2=noised/keyboard-2"
            )
        if name in conditions:
            raise InputError(f"--conditions: the name {name!r} stands twice; give each condition its own name")
        if not os.path.isdir(folder):
            raise InputError(
                f"--conditions {name}={folder}: no such folder; write the noised sets first (perturb.py) or correct "
                "the path"
            )
        conditions[name] = folder
    return conditions


def set_up_logging():
    """Our messages on the first process, no progress bars of `datasets`."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO if int(os.environ.get("RANK", 0)) == 0 else logging.ERROR)
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
