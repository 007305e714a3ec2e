"""The command line of the run scripts: their own flags first, then every flag of transformers.TrainingArguments.

Importing transformers and torch takes seconds; flags are checked and `--help` is printed without them.
"""

import argparse
import contextlib
import os
import re
import sys
import textwrap

from common.files import InputError
from common.labels import FIRST, QA_DECODINGS, SPAN, TAG_PIECES
from common.text import nearest, show, similar
from common.trainer_flags import TRAINER_FLAGS

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
    "do_lower_case": "nothing: XLM-R is cased",  # of phase 2; dual encoders have the flag
    "max_length": "--max_seq_length",
}


# What decides, of TrainingArguments, what a training computes: a folder holds one, so it must not change there.
DECISIVE = """
learning_rate num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps warmup_steps
weight_decay lr_scheduler_type optim adam_beta1 adam_beta2 adam_epsilon max_grad_norm label_smoothing_factor bf16 fp16
seed data_seed train_sampling_strategy load_best_model_at_end metric_for_best_model eval_strategy eval_steps
neftune_noise_alpha optim_args lr_scheduler_kwargs eval_delay greater_is_better dataloader_drop_last
average_tokens_across_devices bf16_full_eval fp16_full_eval tf32 torch_compile
""".split()

# How a dual encoder makes a vector of a text (the first is XTREME-R's), and which answers are a question's negatives.
POOLINGS, NEGATIVES = ("pooler", "mean", "cls"), ("micro_batch", "gather")
POOLER, MICRO_BATCH = POOLINGS[0], NEGATIVES[0]

LONGEST_NAME = 100  # bytes of a name that people choose and that becomes a file's; systems take 255
TRUE, FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")  # HfArgumentParser's spellings
STRAY = "unexpected argument {!r}; every value belongs to a --flag before it"


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations and with one-line errors (exit code 2)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def print_help(self, file=None):
        show(self.format_help())

    def parse_known_args(self, args=None, namespace=None):
        args = list(sys.argv[1:] if args is None else args)
        self.check_encoding(args)
        return super().parse_known_args(args, namespace)

    def check_encoding(self, argv):
        """Exit with one line for bytes that Python could not decode: a folder with an umlaut under LC_ALL=C. And for
        --flag=--, of which argparse makes an empty list.
        """
        for token in argv:
            if token.startswith("--") and token.endswith("=--"):
                self.error(f"{token}: -- is no value; give one, or leave the flag out")
            if any("\ud800" <= character <= "\udfff" for character in token):
                self.error(f"{ascii(token)}: not UTF-8 in this environment; set LC_ALL=C.UTF-8, or rename the file")

    @contextlib.contextmanager
    def one_line(self, remedy):
        """Turn what ends the work of a script that runs no model into one line; `remedy` is that of a full disk."""
        try:
            yield
        except InputError as error:
            self.error(str(error))
        except OSError as error:
            self.exit(1, f"{self.prog}: error: {error}; {remedy}\n")
        except KeyboardInterrupt:
            self.exit(130, f"{self.prog}: interrupted; run the same command again\n")

    def error(self, message):
        """One line; argparse's own messages name no next step."""
        if str(message).startswith(("argument ", "the following arguments")):
            message = f"{message}; see --help"
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


def encoder_parser(script, description):
    """A Parser with the flags of every script that runs an encoder; its help also names TrainingArguments'."""
    switches = [f"--{name}" for name in TRAINER_FLAGS if not name.startswith("no_")]
    names = textwrap.fill(" ".join(switches), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    epilog = f"""every flag of transformers.TrainingArguments, with its meaning
(https://huggingface.co/docs/transformers/main_classes/trainer):
{names}"""
    parser = Parser(prog=script, description=description, epilog=epilog)
    add = parser.add_argument
    add("--model_revision", default="main", help="branch, tag or commit of a Hub model")
    add("--max_seq_length", type=int, help="longest input in sub-tokens (default: the task's)")
    add("--attn_implementation", help="sdpa (default), eager, flash_attention_2, ...")
    return parser


def run_parser(script, description):
    """An encoder_parser with the flags that the training scripts share."""
    parser = encoder_parser(script, description)
    add = parser.add_argument
    add(
        "--doc_stride",
        type=int,
        help="question answering: sub-tokens from one window to the next (default: the task's)",
    )
    add("--n_best_size", type=int, default=20, help="question answering: start and end candidates per window")
    add("--max_answer_length", type=int, default=30, help="question answering: longest answer in sub-tokens")
    add(
        "--qa_decoding",
        default=SPAN,
        help="question answering: find an answer's text by its characters (span, the default), or by the rules of "
        "XTREME's scripts (xtreme), to compare with published tables",
    )
    add(
        "--recipe",
        help="learning rate, epochs, batch, length, warm-up and decay as in XTREME's scripts (xtreme) or in jiant's "
        "guide (jiant); flags that are given win (default: the task's)",
    )
    add(
        "--tag_piece",
        help="tagging: read a word's tag at its first piece (first: XTREME's protocol, the default) or at its first "
        'that is not a bare "▁" (first_letter); a kept head brings its own',
    )
    add("--max_train_samples", type=int, help="use the first N training examples of a task")
    add("--max_eval_samples", type=int, help="use the first N dev examples of a task")
    return parser


def check_stages(args, given, possible, example):
    """The stages that are asked for, some of `possible`; InputError without any, without --output_dir, and for numbers
    of the shared flags that are too small.
    """
    stages = [stage for stage in possible if truthy(given.get(stage))]
    if not stages:
        raise InputError(f"nothing to do: give {', '.join(f'--{stage}' for stage in possible)} or several of them")
    if "output_dir" not in given:
        raise InputError(f"--output_dir is missing: name a new folder for this run, e.g. outputs/{example}")
    check_least(args, max_seq_length=16)
    check_least(args, doc_stride=1, n_best_size=1, max_answer_length=1, max_train_samples=1, max_eval_samples=1)
    return stages


def check_least(args, **least):
    """InputError where a number is given that is below its least value."""
    for name, number in least.items():
        value = getattr(args, name, None)  # not every script has all
        if value is not None and value < number:
            raise InputError(f"--{name} {value}: must be at least {number}; leave it out for the default")


def lengths(args, task, of=""):
    """(max_seq_length, doc_stride) for a task and [(name, value, where it comes from)] of what matters to it."""
    recipe = task.defaults.origin
    length, stride = args.max_seq_length or task.defaults.max_seq_length, args.doc_stride or task.defaults.doc_stride
    origins = [(f"max_seq_length{of}", length, "given" if args.max_seq_length else recipe)]
    if task.kind == "question_answering":
        origins.append((f"doc_stride{of}", stride, "given" if args.doc_stride else recipe))
        origins.append((f"qa_decoding{of}", args.qa_decoding, "default" if args.qa_decoding == SPAN else "given"))
    return length, stride, origins


def check_readings(args, tasks):
    """InputError for a --tag_piece or --qa_decoding that is none, or that no task has a use for."""
    for name, choices, kind, reads in (
        ("tag_piece", TAG_PIECES, "tagging", "tagging has tags to read"),
        ("qa_decoding", QA_DECODINGS, "question_answering", "question answering has answers to find"),
    ):
        value = getattr(args, name)
        if value not in (None, *choices):
            raise InputError(f"--{name} {value}: unknown{nearest(value, choices)}; choose from {', '.join(choices)}")
        if value not in (None, SPAN) and not any(task.kind == kind for task in tasks):
            raise InputError(f"--{name} {value}: only {reads}; leave it out for this task")


def tag_piece(args, task, kept, of=""):
    """(tag_piece for a task, [(name, value, where it comes from)]); `kept` is that of the head it goes on with, or
    None for a fresh one. Raises InputError where the head is asked for another than it was trained with.
    """
    if task.kind != "tagging":
        return FIRST, []
    if kept and kept not in TAG_PIECES:
        raise InputError(
            f"--model_name_or_path {args.model_name_or_path}: its head{of} has the tag_piece {kept!r}, which is not "
            f"one of {', '.join(TAG_PIECES)}; train a new head"
        )
    if kept and args.tag_piece not in (None, kept):
        raise InputError(
            f"--tag_piece {args.tag_piece}: the head{of} in {args.model_name_or_path} was trained with {kept}; leave "
            "the flag out, or train a new head"
        )
    origin = "the kept head's" if kept else "given" if args.tag_piece else "XTREME's protocol"
    value = kept or args.tag_piece or FIRST
    return value, [(f"tag_piece{of}", value, origin)]


def add_dual_encoder(parser):
    """The flags of LAReQA and Mewsli-X."""
    add = parser.add_argument
    add("--pooling", choices=POOLINGS, help=f"dual encoder: the vector of a text (default: {POOLER}, the protocol's)")
    add(
        "--negatives",
        choices=NEGATIVES,
        help="dual encoder: a question's negatives are the other answers of its micro-batch (the protocol's, the "
        "default), or of the whole batch over accumulation steps and processes (gather)",
    )
    add("--do_lower_case", action="store_true", help="dual encoder: lower-case all texts, as the published runs did")


def check_dual_encoder(args, task):
    """InputError for a flag of the dual encoder that another task has no use for."""
    for name in ("pooling", "negatives", "do_lower_case"):
        if getattr(args, name) and task.kind != "dual_encoder":
            raise InputError(f"--{name}: only dual encoders (lareqa, mewslix) read it; leave it out for {task.name}")


def dual_encoder(args, task, kept):
    """({Settings' fields}, [(name, value, where it comes from)]); `kept` is what the trained model that a run goes on
    with says of itself, None for another. Raises InputError where it is asked for another than it was trained with.
    """
    if task.kind != "dual_encoder":
        return {}, []
    values = {"pooling": args.pooling or POOLER, "do_lower_case": args.do_lower_case}
    for name, value in (kept or {}).items():
        if getattr(args, name) and getattr(args, name) != value:
            raise InputError(
                f"--{name}: the dual encoder in {args.model_name_or_path} was trained with {name} {value}; leave the "
                "flag out, or train a new one"
            )
    origin = "the kept model's" if kept else "XTREME-R's protocol"
    values |= {**(kept or {}), "negatives": args.negatives or MICRO_BATCH}
    return values, [(name, value, "given" if getattr(args, name) else origin) for name, value in values.items()]


def parse(parser, argv):
    """Split a command line into (own arguments, the rest for TrainingArguments, values of the rest's flags by name).

    Exits with code 2 and one line for an unknown flag (naming the nearest one), an abbreviation, or a removed flag.
    """
    own_flags = {
        option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")
    }
    parser.check_encoding(argv)
    for token in argv:
        if re.match(r"--?[A-Za-z]", token):
            check_flag(parser, token, own_flags)
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


def check_flag(parser, token, own_flags):
    """Exit with one line that names the nearest flag where a token is none of the script's and none of HF's."""
    name = token.lstrip("-").split("=")[0].replace("-", "_")
    if token.startswith("--") and (name in own_flags or name in TRAINER_FLAGS):
        return
    if name in RENAMED_FLAGS:
        parser.error(
            f"--{name} does not exist here (transformers 5 or this script dropped it); use {RENAMED_FLAGS[name]}"
        )
    known = sorted(own_flags) + [flag for flag in TRAINER_FLAGS if not flag.startswith("no_")]
    longer = [flag for flag in known if flag.startswith(name) and flag != name]
    near = [name] if name in known else longer or similar(name, known, 3)
    hint = f"did you mean {' or '.join(f'--{flag}' for flag in near[:3])}?" if near else "see --help"
    rule = " Flags begin with two dashes." if name in known else " Flags are not abbreviated." if longer else ""
    parser.error(f"unknown flag {token.split('=')[0]}; {hint}{rule}")


def truthy(value):
    """Whether a flag's value on the command line switches it on."""
    return str(value).lower() in TRUE


def check_codes(languages):
    """InputError where a language's code, which names files and stands in tables, is no plain name."""
    for code in languages or ():
        if not re.fullmatch(r"[A-Za-z][\w-]{0,19}", code):
            raise InputError(
                f"--languages {code[:300]}: no language's code; write at most 20 letters, digits, _ and -, e.g. en"
            )


def parse_conditions(tokens, data_dir):
    """['keyboard-2=noised/keyboard-2'] -> {name: folder}; default {clean: data_dir}."""
    conditions = {}
    for token in tokens or [f"clean={data_dir}"]:
        name, separator, folder = token.partition("=")
        plain = re.fullmatch(r"[\w.+-]+", name) and len(name.encode()) <= LONGEST_NAME
        if not separator or not plain or name in (".", "..", "dev"):
            raise InputError(
                f"--conditions {token[:300]!r}: write NAME=FOLDER, NAME of at most {LONGEST_NAME} letters, digits and "
                ". _ + -, e.g. keyboard-2=noised/keyboard-2"
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
