"""Fine-tune an encoder on one or several English intermediate tasks, or on masked language modeling: phase 2.

  python run_intermediate.py --tasks mnli --data_dir data/intermediate --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/mnli --do_train --do_eval
  python run_intermediate.py --tasks all --data_dir data/intermediate --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/all --do_train --do_eval --selection_samples 500
  python run_intermediate.py --tasks squad mlm --mlm_files 'data/text/*.txt' --data_dir data/intermediate ...
  python run_intermediate.py --tasks tlm --tlm_dirs data/parallel/opus100 --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/tlm --do_train --do_eval
  python run_intermediate.py --tasks mlm --mlm_files 'data/text/*.txt' --config_name toy/model \\
      --output_dir outputs/pretrained --do_train --do_eval
  torchrun --nproc_per_node 8 run_intermediate.py --tasks mnli squad hellaswag ...

Reads --data_dir, <task>/<split>[.<language>].jsonl with the Hub's columns, and a checkpoint folder or Hub id. Writes
an encoder folder for run_xtreme.py or any user of AutoModel, its heads beside it, and what docs/training.md describes.
Copy with it: common/ ds_configs/ heads/ metrics.py mixture/ noise/ tasks.py.
"""

import logging
import sys
from pathlib import Path

from common.arguments import check_least, check_readings, check_stages, lengths, parse, run_parser, tag_piece, truthy
from common.files import InputError, sha256
from common.recovery import Failure, guarded, stop_requested, stopped
from common.results import save_metrics
from common.robust_flags import add_robust, coarse, robust_origins
from common.run_record import checkpoint_hash
from common.task_records import EXTRA_KINDS
from common.text import nearest, plain_markdown, show
from heads import Settings
from heads.robust_checks import check_robust
from mixture.plan import check_files, check_metric, make_plan, source_files
from tasks import INTERMEDIATE

logger = logging.getLogger("xtreme")

CHOICES = {
    "mixing": ("proportional", "temperature", "uniform"),
    "language_sizes": ("matched", "all"),
    "collapse_guard": ("on", "off"),
}
# Own arguments that decide what training computes, beside TrainingArguments' DECISIVE ones and the Settings.
OWN_DECISIVE = """
mixing examples_cap temperature mixing_weights task_languages language_sizes mlm_alpha selection_samples
max_train_samples max_eval_samples collapse_guard
""".split()


def load_libraries():
    """torch and transformers take seconds to import: only now that flags and files are known to be right."""
    global checkpoints, data, dev, job, kept_heads, launching, prediction, rehearse, session, training_arguments
    global robust_record
    from common import checkpoints, kept_heads, launching, prediction, session, training_arguments
    from common.robust import robust_record
    from common.trainer import rehearse
    from mixture import data, dev, job


def build_parser():
    parser = run_parser("run_intermediate.py", __doc__)
    add = parser.add_argument
    add("--tasks", nargs="+", action="extend", default=[], help=f"all, or some of {' '.join(INTERMEDIATE)} mlm tlm")
    add("--data_dir", help="folder of <task>/<split>.jsonl")
    add("--model_name_or_path", help="folder or Hub id of the encoder, e.g. xlm-roberta-large")
    add("--config_name", help="instead of a model: folder with a config.json, to start from random weights")
    add("--tokenizer_name", help="folder or Hub id of the tokenizer (default: the model's or the configuration's)")
    add_mixing_flags(add)
    add_robust(parser, several=True)
    add("--mlm_files", nargs="+", help="text files or patterns for mlm, one language per file, named <language>.txt")
    add("--tlm_dirs", nargs="+", metavar="DIR", help="folders of parallel lines for tlm, as docs/data.md has them")
    add("--mlm_alpha", type=float, default=0.3, help="mlm, tlm: languages are sampled in proportion to text ** alpha")
    add(
        "--extra_task",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=KIND:DIR",
        help=f"own data, DIR/train.jsonl and DIR/validation.jsonl; KIND is one of {', '.join(EXTRA_KINDS)}",
    )
    add("--selection_samples", type=int, help="select checkpoints on the first N dev examples (the paper: 500)")
    add(
        "--restart_on_collapse",
        type=int,
        default=0,
        metavar="K",
        help="when training collapses, begin again with the next seed, up to K times",
    )
    add("--collapse_guard", default="on", help="off: go on though dev scores are at the level of constant guesses")
    return parser


def add_mixing_flags(add):
    """What share of the optimizer steps each task, and each language of a task, has."""
    add("--mixing", default="proportional", help="a task's share of steps: proportional, temperature or uniform")
    add("--examples_cap", type=int, help="count at most N examples of each data set, in shares and number of steps")
    add(
        "--temperature",
        type=float,
        default=2.0,
        help="with --mixing temperature: shares grow with examples ** (1 / temperature)",
    )
    add("--mixing_weights", nargs="+", metavar="TASK=SHARE", help="shares of the steps by hand; they sum to 1")
    add("--task_languages", nargs="+", default=["en"], help="languages to train in: <task>/<split>.<language>.jsonl")
    add("--language_sizes", default="matched", help="matched: as many examples in all as one language has; or all")


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "checkpoints are kept"):
        check_arguments(args, given)
        plan = make_plan(args)
        check_readings(args, plan.tasks.values())
        robust = check_robust(args, plan.tasks.values(), plan.languages, given)
        check_files(plan, args, given)
        load_libraries()
        run(parser, plan, args, trainer_argv, given, robust, argv)


def run(parser, plan, args, trainer_argv, given, robust, argv):
    """The story: settings, folder, data, model, training, dev scores, table."""
    training_arguments.set_up_logging()
    training_args, settings, origins = resolve_arguments(parser, plan, args, trainer_argv, given, robust)
    launching.join_processes(training_args)

    # The folder is new, or holds this very run.
    source = args.model_name_or_path
    parent_hash = (
        checkpoint_hash(source, args.model_revision) if source else sha256(Path(args.config_name) / "config.json")
    )
    other = args.tokenizer_name or (None if source else args.config_name)
    tokenizer_hash = checkpoint_hash(other, args.model_revision) if other else None
    identity = None
    if training_args.do_train:
        files = [path for code in plan.languages for path in input_files(plan, args, code)]
        own = {name: getattr(args, name) for name in OWN_DECISIVE}
        own |= robust.as_given()
        own["settings"] = {name: one.as_given() for name, one in settings.items()}
        own |= {"tokenizer": tokenizer_hash} if tokenizer_hash else {}
        identity = session.training_identity(args, training_args, parent_hash, files, own)
    this = session.Session(training_args, plan.whole.name, identity, source, parent_hash)
    collapses = this.previous.get("collapses", [])
    if len(collapses) > args.restart_on_collapse:
        raise Failure(job.collapse_message(collapses, training_args))

    # All files are read, and so checked, before a model loads.
    read = dev.hash_of_files(plan, args)
    rows = data.read_rows(plan, args, training_args, this.trained)
    source = str(this.folder) if this.trained else source
    start = source or args.config_name
    tokenizer = checkpoints.load_tokenizer(args.tokenizer_name or start, args.model_revision)
    longest = max(one.max_seq_length for one in settings.values())
    config = checkpoints.load_config(start, tokenizer, longest, args.model_revision)
    stored = {} if this.trains else checkpoints.stored_heads(source, args.model_revision)[0]
    labels = data.label_names(plan, rows, stored, source)
    work = job.make_job(plan, args, training_args, settings, labels, tokenizer, config, rows, robust)
    model = work.model(source, training_args.seed + len(collapses), not this.trains)
    origins += label_origins(plan, labels, stored)
    origins.append(("tokenizer", args.tokenizer_name or start, "given" if args.tokenizer_name else "the model's"))
    mixture = work.mix(origins) if this.trains else None
    if this.trains:
        rehearse(model, training_args, next(iter(work.features.values())))

    # From here on the folder is ours.
    this.open("run_intermediate.py", argv, args, origins)
    if this.trained:
        logger.info("%s: training is finished, going on with it", this.folder)
    if this.trains:
        this.note(mixture=mixture, collapses=collapses, seed=training_args.seed + len(collapses))
        work.log_examples()
        if robust.active:
            this.note(robust=robust_record(robust, model, next(iter(work.trained_robustly().values()))))
        with this.timed("train"):
            model, collapses = job.train(
                work, model, source, mixture["weights"], collapses, lambda collapses: this.note(collapses=collapses)
            )
        this.note(collapses=collapses, seed=training_args.seed)
    checkpoint = this.finish_training() if identity else parent_hash
    if launching.any_process(stop_requested()):
        raise stopped(f"{this.folder}: training is finished and kept" if identity else "nothing was lost")

    dev_table = ""
    if training_args.do_eval:
        with this.timed("eval"):
            prediction.prepare_to_predict(model, training_args)
            inputs = checkpoint, tokenizer_hash, read
            scores = dev.score_cells(work, work.cells(model), this.results, inputs, this.provenance)
        if this.is_main:
            save_metrics(this.folder, "eval", dev.as_metrics(scores))
            dev_table = dev.dev_table(scores, dev.mixture_mean(scores))
    names = plain_markdown(", ".join(plan.tasks))
    this.close(f"Phase 2: an encoder fine-tuned on {names}, scored on their dev sets.", dev_table)
    if dev_table:
        show(f"\n{dev_table}\n\nencoder and heads  {this.folder if identity else source}")
        show(f"results            {this.results.path}")


# --- What is asked for ----------------------------------------------------------------------------------------------


def check_arguments(args, given):
    """Raise InputError for what can be known wrong from the flags alone."""
    if truthy(given.get("do_predict")):
        raise InputError(
            "--do_predict: intermediate tasks are scored on their dev sets by --do_eval; predict targets with "
            "run_xtreme.py"
        )
    if not args.tasks and not args.extra_task:
        raise InputError(f"--tasks is missing: name some of {' '.join(INTERMEDIATE)} mlm tlm, or all")
    stages = check_stages(args, given, ("do_train", "do_eval"), "-".join(args.tasks or ["mine"]))
    check_least(args, selection_samples=1, examples_cap=1, restart_on_collapse=0)
    if (args.model_name_or_path is None) == (args.config_name is None):
        raise InputError("give one of --model_name_or_path (an encoder) and --config_name (random weights)")
    if args.config_name and "do_train" not in stages:
        raise InputError(
            f"--config_name {args.config_name}: random weights need --do_train; to evaluate, give --model_name_or_path"
        )
    if args.config_name and not (Path(args.config_name) / "config.json").is_file():
        raise InputError(f"--config_name {args.config_name}: no config.json in it; name the folder of a configuration")
    for name, choices in CHOICES.items():
        value = getattr(args, name)
        if value not in choices:
            raise InputError(f"--{name} {value}: unknown{nearest(value, choices)}; choose from {', '.join(choices)}")
    if not 0.05 <= args.temperature <= 1e6:
        raise InputError(
            f"--temperature {args.temperature}: must be from 0.05 to 1e6; 1 is proportional, large ones near uniform"
        )
    if not 0 <= args.mlm_alpha <= 1:
        raise InputError(
            f"--mlm_alpha {args.mlm_alpha}: must be from 0 (all languages alike) to 1 (in proportion to their text)"
        )


def resolve_arguments(parser, plan, args, trainer_argv, given, robust):
    """TrainingArguments, {data set: Settings}, and where every value comes from: given, or a task's recipe."""
    flags = [
        *training_arguments.task_defaults(plan.whole, given, launching.world_size()),
        *launching.launch_flags(given, coarse(robust)),
    ]
    if len(plan.tasks) > 1 and "ddp_find_unused_parameters" not in given:
        flags.append(("ddp_find_unused_parameters", "true", "a step trains one task's head, the others wait"))
    if "perplexity" in given.get("metric_for_best_model", "") and "greater_is_better" not in given:
        flags.append(("greater_is_better", "false", "the lowest perplexity is the best"))
    training_args = training_arguments.trainer_arguments(parser, trainer_argv, flags)
    strategy = training_args.train_sampling_strategy
    if strategy not in ("random", "group_by_length"):
        raise InputError(f"--train_sampling_strategy {strategy}: choose random or group_by_length, which mixing knows")
    check_metric(training_args.metric_for_best_model, plan)
    training_arguments.check_smoothing(training_args, plan.tasks.values())
    origins, settings = training_arguments.trainer_origins(training_args, flags, given), {}
    for name, (_, record) in plan.sources.items():
        length, stride, its_origins = lengths(args, record, f" of {name}")
        # heads are trained anew; without training they are those of the folder
        kept = None
        if record.kind == "tagging" and not training_args.do_train:
            kept = kept_heads.kept_tag_piece(args.model_name_or_path, name, args.model_revision)
        piece, its_piece = tag_piece(args, record, kept, f" of {name}")
        settings[name] = Settings(
            length, stride, args.n_best_size, args.max_answer_length, tag_piece=piece, qa_decoding=args.qa_decoding
        )
        origins += its_origins + its_piece
    origins += robust_origins(robust, args)
    return training_args, settings, origins


def input_files(plan, args, language):
    """The existing training and dev files of a language, for hashing."""
    paths = [path for split in ("train", "dev") for path in source_files(plan, args, split, language)]
    return [path for path in paths if path.exists()]


def label_origins(plan, labels, stored):
    """[(name, number of labels, where they come from)] of the tasks with labels."""
    origins = []
    for task, names in labels.items():
        table = "the task's table" if plan.tasks[task].labels else "the training data"
        if names:
            origins.append((f"labels of {task}", len(names), "heads.safetensors" if task in stored else table))
    return origins


if __name__ == "__main__":
    main()
