"""Fine-tune an encoder on one or several English intermediate tasks, or on masked language modeling: phase 2 (and a
small phase 1).

  python run_intermediate.py --tasks mnli --data_dir data/intermediate --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/mnli --do_train --do_eval
  python run_intermediate.py --tasks all --data_dir data/intermediate --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/all --do_train --do_eval --selection_samples 500
  python run_intermediate.py --tasks squad mlm --mlm_files 'data/text/*.txt' --data_dir data/intermediate ...
  python run_intermediate.py --tasks mlm --mlm_files 'data/text/*.txt' --config_name small --output_dir outputs/pretrained --do_train --do_eval
  torchrun --nproc_per_node 8 run_intermediate.py --tasks mnli squad hellaswag ...

Reads: --data_dir, <task>/<split>[.<language>].jsonl with the Hub's columns, and a checkpoint folder or Hub id. Writes:
an encoder folder for run_xtreme.py or any user of AutoModel, its heads beside it, and the README's "Outputs". Copy
with it: common/ ds_configs/ heads/ metrics.py mixture/ tasks.py.
"""

import dataclasses
import logging
import sys
import time
from pathlib import Path

from common.arguments import (
    DECISIVE,
    Parser,
    check_smoothing,
    log_settings,
    parse,
    set_up_logging,
    task_defaults,
    trainer_arguments,
    trainer_origins,
    truthy,
)
from common.files import InputError, sha256, write_json
from common.recovery import (
    Failure,
    guarded,
    stop_requested,
    stopped,
    take_folder,
)
from common.results import Results, save_metrics
from common.run_record import (
    check_folder,
    checkpoint_hash,
    describe_run,
    now,
    plain,
    write_card,
)
from common.text import nearest
from heads import Settings
from mixture.plan import EXTRA_KINDS, check_files, make_plan, source_files
from tasks import INTERMEDIATE

logger = logging.getLogger("xtreme")

CHOICES = {
    "mixing": ("proportional", "temperature", "uniform"),
    "language_sizes": ("matched", "all"),
    "collapse_guard": ("on", "off"),
}
# Own arguments that decide what training computes, beside TrainingArguments' DECISIVE ones.
OWN_DECISIVE = """mixing examples_cap temperature mixing_weights task_languages language_sizes mlm_alpha selection_samples max_train_samples
max_eval_samples collapse_guard""".split()


def build_parser():
    parser = Parser(prog="run_intermediate.py", description=__doc__)
    add = parser.add_argument
    add("--tasks", nargs="+", action="extend", default=[], help=f"all, or some of {' '.join(INTERMEDIATE)} mlm")
    add("--data_dir", help="folder of <task>/<split>.jsonl")
    add("--model_name_or_path", help="folder or Hub id of the encoder, e.g. xlm-roberta-large")
    add("--model_revision", default="main", help="branch, tag or commit of a Hub model")
    add("--config_name", help="instead of a model: folder with a config.json, to start from random weights")
    add("--tokenizer_name", help="folder or Hub id of the tokenizer (default: the model's or the configuration's)")
    add(
        "--mixing",
        default="proportional",
        help="share of a task's steps: proportional (to its examples), temperature or uniform",
    )
    add(
        "--examples_cap",
        type=int,
        help="count at most so many examples of each data set, in shares and in the number of steps",
    )
    add(
        "--temperature",
        type=float,
        default=2.0,
        help="with --mixing temperature: shares grow with examples ** (1 / temperature)",
    )
    add("--mixing_weights", nargs="+", metavar="TASK=SHARE", help="shares of the steps by hand; they sum to 1")
    add("--task_languages", nargs="+", default=["en"], help="languages to train in: <task>/<split>.<language>.jsonl")
    add("--language_sizes", default="matched", help="matched: as many examples in all as one language has; or all")
    add("--mlm_files", nargs="+", help="text files or patterns for mlm, one language per file, named <language>.txt")
    add("--mlm_alpha", type=float, default=0.3, help="mlm: languages are sampled in proportion to their text ** alpha")
    add("--extra_task", nargs="+", action="extend", default=[], metavar="NAME=KIND:DIR", help="own data, "
                                                                                              "DIR/train.jsonl and "
                                                                                              "DIR/validation.jsonl; "
        f"KIND is one of {', '.join(EXTRA_KINDS)}")  # fmt: skip
    add(
        "--selection_samples",
        type=int,
        help="select checkpoints on the first N dev examples of each task (the paper: 500)",
    )
    add(
        "--restart_on_collapse",
        type=int,
        default=0,
        metavar="K",
        help="when training collapses, begin again with the next seed, up to K times",
    )
    add("--collapse_guard", default="on", help="off: go on though dev scores are at the level of constant guesses")
    add("--max_seq_length", type=int, help="longest input in sub-tokens (default: each task's)")
    add(
        "--doc_stride",
        type=int,
        help="question answering: sub-tokens from one window to the next (default: the task's)",
    )
    add("--n_best_size", type=int, default=20, help="question answering: start and end candidates per window")
    add("--max_answer_length", type=int, default=30, help="question answering: longest answer in sub-tokens")
    add("--max_train_samples", type=int, help="use the first N training examples of each task")
    add("--max_eval_samples", type=int, help="use the first N dev examples of each task")
    add("--attn_implementation", help="sdpa (default), eager, flash_attention_2, ...")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "checkpoints are kept"):
        check_arguments(args, given)
        plan = make_plan(args)
        check_files(plan, args, given)
        run(parser, plan, args, trainer_argv, given, argv)


def run(parser, plan, args, trainer_argv, given, argv):
    """The story: settings, folder, data, model, training, dev scores, table. Nothing is written before all input is
    checked.
    """
    set_up_logging()
    from common import checkpoints, launching, prediction
    from mixture import data, dev
    from mixture.job import collapse_message, make_job, train

    training_args, settings, origins = resolve_arguments(parser, plan, args, trainer_argv, given)
    launching.join_processes(training_args)
    folder, main_process = Path(training_args.output_dir), training_args.process_index == 0

    # The folder is new, or holds this very run.
    source = args.model_name_or_path
    parent_hash = (
        checkpoint_hash(source, args.model_revision) if source else sha256(Path(args.config_name) / "config.json")
    )
    identity = training_identity(plan, args, training_args, settings, parent_hash) if training_args.do_train else None
    previous = check_folder(folder, plan.whole, identity)
    trained = identity is not None and previous.get("training", {}).get("finished", False)
    launching.barrier()

    rows = data.read_rows(plan, args, training_args, trained)
    source = str(folder) if trained else source
    tokenizer = checkpoints.load_tokenizer(args.tokenizer_name or source or args.config_name, args.model_revision)
    config = checkpoints.load_config(
        source or args.config_name, tokenizer, max(s.max_seq_length for s in settings.values()), args.model_revision
    )
    stored = {} if training_args.do_train and not trained else checkpoints.stored_heads(source, args.model_revision)[0]
    labels = data.label_names(plan, rows, stored, source)
    job = make_job(plan, args, training_args, settings, labels, tokenizer, config, rows)
    collapses = previous.get("collapses", [])
    if collapses and len(collapses) > args.restart_on_collapse:
        raise Failure(collapse_message(collapses, training_args))
    model = job.model(source, training_args.seed + len(collapses), trained or not training_args.do_train)
    for task in [task for task, names in labels.items() if names]:
        default = "the task's table" if plan.tasks[task].labels else "found in the training data"
        origins.append(
            (f"labels of {task}", len(labels[task]), "inherited from heads.safetensors" if task in stored else default)
        )
    origins.append(
        (
            "tokenizer",
            args.tokenizer_name or source or args.config_name,
            "given" if args.tokenizer_name else "inherited from the model",
        )
    )
    mixture = job.mix(origins) if training_args.do_train and not trained else previous.get("mixture")

    # From here on the folder is ours.
    launching.on_main(lambda: take_folder(folder, previous))
    results = Results(folder)
    about = describe_run(
        "run_intermediate.py", argv, plan.whole.name, args, training_args, origins, previous, parent_hash
    )
    about["training"] = {**identity, "finished": trained} if identity else previous.get("training")
    about.update(mixture=mixture, collapses=collapses, seed=training_args.seed + len(collapses))
    log_settings(training_args, sorted(origins))
    if main_process:
        write_json(folder / "run.json", about)

    if trained:
        logger.info("%s: training is finished, going on with it", folder)
    elif training_args.do_train:
        job.log_examples()

        def record(collapses):
            about.update(collapses=collapses, seed=training_args.seed)
            write_json(folder / "run.json", about)

        model, collapses, about["seconds"]["train"] = train(job, model, source, mixture["weights"], collapses, record)
        about.update(collapses=collapses, seed=training_args.seed)
        about["training"]["finished"] = True
        about["checkpoint"] = launching.on_main(lambda: checkpoint_hash(folder))
        if main_process:
            write_json(folder / "run.json", about)
    if launching.any_process(stop_requested()):
        raise stopped(f"{folder}: training is finished and kept" if identity else "nothing was lost")

    if training_args.do_eval:
        start = time.time()
        prediction.prepare_to_predict(model, training_args)
        cells = job.cells(model)
        checkpoint = launching.on_main(lambda: checkpoint_hash(folder)) if identity else parent_hash
        found = dev.score_cells(job, cells, results, checkpoint, about["seed"], about["parent"]["path"])
        about["seconds"]["eval"] = round(time.time() - start, 3)
        if main_process:
            save_metrics(folder, "eval", dev.as_metrics(found))
            text = dev.dev_table(found, dev.mixture_mean(found))
            write_card(
                folder,
                plan.whole.name,
                f"Phase 2: an encoder fine-tuned on {', '.join(plan.tasks)}, scored on their dev sets.",
                about,
                text,
            )
            print(
                f"\n{text}\n\nencoder and heads  {folder if identity else source}\nresults            {results.path}"
            )
    if main_process:
        write_json(folder / "run.json", {**about, "finished_at": now()})
    launching.finish_distributed()


# --- What is asked for
# ------------------------------------------------------------------------------------------------


def check_arguments(args, given):
    """Raise InputError for what can be known wrong from the flags alone."""
    stages = [stage for stage in ("do_train", "do_eval") if truthy(given.get(stage))]
    if truthy(given.get("do_predict")):
        raise InputError(
            "--do_predict: intermediate tasks are scored on their dev sets by --do_eval; predict targets with "
            "run_xtreme.py"
        )
    if not stages:
        raise InputError("nothing to do: give --do_train, --do_eval or both")
    if not args.tasks and not args.extra_task:
        raise InputError(f"--tasks is missing: name some of {' '.join(INTERMEDIATE)} mlm, or all")
    if "output_dir" not in given:
        raise InputError(
            "--output_dir is missing: name a new folder for this run, e.g. outputs/" + "-".join(args.tasks or ["mine"])
        )
    if (args.model_name_or_path is None) == (args.config_name is None):
        raise InputError("give one of --model_name_or_path (an encoder) and --config_name (random weights)")
    if args.config_name and "do_train" not in stages:
        raise InputError(
            f"--config_name {args.config_name}: random weights need --do_train; to evaluate, give --model_name_or_path"
        )
    if args.config_name and not (Path(args.config_name) / "config.json").is_file():
        raise InputError(f"--config_name {args.config_name}: no config.json in it; name the folder of a configuration")
    least = {"max_seq_length": 16, "restart_on_collapse": 0}
    for name in ("max_seq_length", "doc_stride", "n_best_size", "max_answer_length", "max_train_samples", "max_eval_samples",
                 "selection_samples", "examples_cap", "restart_on_collapse"):  # fmt: skip
        value = getattr(args, name)
        if value is not None and value < least.get(name, 1):
            raise InputError(f"--{name} {value}: must be at least {least.get(name, 1)}; leave it out for the default")
    for name, choices in CHOICES.items():
        if getattr(args, name) not in choices:
            raise InputError(
                f"--{name} {getattr(args, name)}: unknown{nearest(getattr(args, name), choices)}; choose from "
                f"{', '.join(choices)}"
            )
    if not 0 < args.temperature < float("inf"):
        raise InputError(
            f"--temperature {args.temperature}: must be above 0; 1 is proportional, large ones come near uniform"
        )
    if not 0 <= args.mlm_alpha <= 1:
        raise InputError(
            f"--mlm_alpha {args.mlm_alpha}: must be from 0 (all languages alike) to 1 (in proportion to their text)"
        )


def resolve_arguments(parser, plan, args, trainer_argv, given):
    """TrainingArguments, {data set: Settings} and the printed origin of every resolved value: given, or a task's
    default.
    """
    from common import launching

    flags = [*task_defaults(plan.whole, given, launching.world_size()), *launching.launch_flags(given)]
    if len(plan.tasks) > 1 and "ddp_find_unused_parameters" not in given:
        flags.append(("ddp_find_unused_parameters", "true", "a step trains one task's head, the others wait"))
    training_args = trainer_arguments(parser, trainer_argv, flags)
    if training_args.train_sampling_strategy not in ("random", "group_by_length"):
        raise InputError(
            f"--train_sampling_strategy {training_args.train_sampling_strategy}: choose random or group_by_length, "
            "which mixing knows"
        )
    metric = (training_args.metric_for_best_model or "mean").removeprefix("eval_")
    if metric != "mean" and not any(metric.startswith(f"{name}_") for name in plan.sources):
        known = ", ".join(["eval_mean", *(f"eval_{name}_score" for name in plan.sources)])
        raise InputError(f"--metric_for_best_model {metric}: give one of {known}, or another metric of these")
    check_smoothing(training_args, plan.tasks.values())
    origins, settings = trainer_origins(training_args, flags, given), {}
    for name, (_, record) in plan.sources.items():
        defaults = record.defaults
        length, stride = args.max_seq_length or defaults.max_seq_length, args.doc_stride or defaults.doc_stride
        settings[name] = Settings(length, stride, args.n_best_size, args.max_answer_length)
        origins.append(
            (
                f"max_seq_length of {name}",
                length,
                "given" if args.max_seq_length else f"task default, {defaults.source}",
            )
        )
        if record.kind == "question_answering":
            origins.append(
                (f"doc_stride of {name}", stride, "given" if args.doc_stride else f"task default, {defaults.source}")
            )
    return training_args, settings, origins


def training_identity(plan, args, training_args, settings, parent_hash):
    """All that decides what training computes; a folder holds one such run."""
    from common import launching

    if args.model_name_or_path and Path(training_args.output_dir).resolve() == Path(args.model_name_or_path).resolve():
        raise InputError(
            f"--output_dir {training_args.output_dir} is also --model_name_or_path; train into a new folder"
        )
    files = [
        path
        for code in plan.languages
        for split in ("train", "dev")
        for path in source_files(plan, args, split, code)
        if path.exists()
    ]
    return {
        "parent": parent_hash,
        "data": sha256(*files),
        "processes": training_args.world_size,
        "zero_stage": launching.zero_stage(training_args),
        "autocast": launching.autocasts(training_args),
        **{name: getattr(args, name) for name in OWN_DECISIVE},
        **{name: plain(getattr(training_args, name)) for name in DECISIVE},
        "settings": {name: list(dataclasses.astuple(one)[:4]) for name, one in settings.items()},
    }


if __name__ == "__main__":
    main()
