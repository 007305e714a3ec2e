"""Fine-tune an encoder on one XTREME task in English, then predict every language, clean and noised, in one process.

  python run_xtreme.py --task panx --data_dir data/xtreme --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/panx --do_train --do_eval --do_predict
  python run_xtreme.py --task xquad --data_dir data/xtreme --model_name_or_path outputs/xquad --output_dir outputs/xquad \\
      --do_predict --conditions clean=data/xtreme keyboard-2=noised/keyboard-2
  python run_xtreme.py --task tatoeba --data_dir data/xtreme --model_name_or_path outputs/mnli \\
      --output_dir outputs/tatoeba --do_predict --layer all
  torchrun --nproc_per_node 8 run_xtreme.py --task xnli ...

Reads: --data_dir in google/xtreme's own layout, and a checkpoint folder or Hub id. Writes: the README's "Outputs".
Copy with it: common/ ds_configs/ heads/ metrics.py tasks.py.
"""

import dataclasses
import logging
import os
import sys
import time
from pathlib import Path

from common.arguments import (
    DECISIVE,
    Parser,
    check_smoothing,
    log_settings,
    parse,
    parse_conditions,
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
    resume_point,
    stop_requested,
    stopped,
    take_folder,
)
from common.results import Results, save_metrics, table
from common.run_record import (
    check_folder,
    checkpoint_hash,
    describe_run,
    noise_record,
    now,
    plain,
    write_card,
)
from common.text import nearest
from heads import Settings, head_of, limit, path_of
from tasks import LANGUAGES, TARGETS

logger = logging.getLogger("xtreme")

THRESHOLD_SPLITS = ("dev", "dev_english", "dev_gold")  # of bucc2018, whose threshold is tuned on its clean dev set
TABLE_METRICS = {
    "tagging": ("f1", "accuracy"),
    "question_answering": ("f1", "exact_match"),
    "bucc2018": ("f1", "precision", "recall"),
}
CARD = """Zero-shot cross-lingual transfer: fine-tuned on English {}, evaluated in every language below (scores in percent).
Test files without gold labels are predicted and marked "no labels"."""


def build_parser():
    parser = Parser(prog="run_xtreme.py", description=__doc__)
    add = parser.add_argument
    add(
        "--task",
        required=True,
        help=f"one of {' '.join(name for name, task in TARGETS.items() if not task.not_runnable)}",
    )
    add("--data_dir", required=True, help="folder in google/xtreme's layout")
    add(
        "--model_name_or_path",
        required=True,
        help="folder or Hub id of the encoder, e.g. an output of run_intermediate.py",
    )
    add("--model_revision", default="main", help="branch, tag or commit of a Hub model")
    add(
        "--languages",
        nargs="+",
        action="extend",
        help="languages to predict (default: every language of the task that is on disk)",
    )
    add(
        "--conditions",
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="evaluation folders in the same layout (default: clean=DATA_DIR)",
    )
    add("--keep_head", nargs="?", const=True, default=False, metavar="TASK",
        help="start from the checkpoint's own head, or from phase 2's for TASK; its label names must be the task's (default: fresh)")  # fmt: skip
    add("--max_seq_length", type=int, help="longest input in sub-tokens (default: the task's)")
    add(
        "--doc_stride",
        type=int,
        help="question answering: sub-tokens from one window to the next (default: the task's)",
    )
    add("--n_best_size", type=int, default=20, help="question answering: start and end candidates per window")
    add("--max_answer_length", type=int, default=30, help="question answering: longest answer in sub-tokens")
    add(
        "--pad_to_max_length",
        action="store_true",
        help="pad every input to --max_seq_length, as HF's examples do (slow; to compare)",
    )
    add("--layer", help="retrieval: hidden_states index to pool, or 'all' for a sweep (default: the protocol's)")
    add("--max_train_samples", type=int, help="use the first N training examples")
    add("--max_eval_samples", type=int, help="use the first N English dev examples")
    add("--max_predict_samples", type=int, help="use the first N test examples of each file")
    add("--attn_implementation", help="sdpa (default), eager, flash_attention_2, ...")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "checkpoints and finished cells are kept"):
        task = check_arguments(args, given)
        cells = plan_cells(task, args) if truthy(given.get("do_predict")) else {}
        run(parser, task, args, trainer_argv, given, cells, argv)


def run(parser, task, args, trainer_argv, given, cells, argv):
    """The story: settings, folder, data, model, training, predictions, table. Nothing is written before all input is
    checked.
    """
    set_up_logging()
    from common import checkpoints, launching, prediction

    training_args, settings, origins = resolve_arguments(parser, task, args, trainer_argv, given)
    launching.join_processes(training_args)
    head = head_of(task)
    folder, main_process = Path(training_args.output_dir), training_args.process_index == 0

    # The folder is new, or holds this very run.
    parent_hash = checkpoint_hash(args.model_name_or_path, args.model_revision)
    identity = training_identity(task, args, training_args, settings, parent_hash) if training_args.do_train else None
    previous = check_folder(folder, task, identity)
    trained = identity is not None and previous.get("training", {}).get("finished", False)
    launching.barrier()

    rows = read_rows(task, head, args, training_args, cells)

    # A trained model keeps its head; training starts from a fresh one.
    source = str(folder) if trained else args.model_name_or_path
    tokenizer = checkpoints.load_tokenizer(source, args.model_revision)
    config = checkpoints.load_config(source, tokenizer, settings.max_seq_length, args.model_revision)
    options = {"revision": args.model_revision, "attn_implementation": args.attn_implementation}
    layers, labels = [], ()
    if task.kind == "retrieval":
        layers = retrieval_layers(head, task, args.layer, config)
        model = checkpoints.load_encoder(source, config, max(layers), **options)
    else:
        keep_head = True if trained else args.keep_head or not training_args.do_train
        model, labels = checkpoints.load_model(
            head, source, config, task.labels, keep_head, training_args.seed, **options
        )
    predictor = prediction.Predictor(head, labels, settings, training_args, tokenizer, args.pad_to_max_length)

    # From here on the folder is ours.
    launching.on_main(lambda: take_folder(folder, previous))
    results = Results(folder)
    log_settings(training_args, origins)
    about = describe_run("run_xtreme.py", argv, args.task, args, training_args, origins, previous, parent_hash)
    about["training"] = {**identity, "finished": trained} if identity else previous.get("training")
    noise = {name: {"folder": str(where), **noise_record(task, where)} for name, (where, _) in cells.items()}
    about["conditions"] = {**previous.get("conditions", {}), **noise}
    if main_process:
        write_json(folder / "run.json", about)

    if trained:
        logger.info("%s: training is finished, going on with it", folder)
        rows.pop("train")
    if "train" in rows or training_args.do_eval:
        about["seconds"].update(train(task, model, predictor, training_args, rows))
    if identity is not None:
        about["training"]["finished"] = True
        checkpoint = launching.on_main(lambda: checkpoint_hash(folder))
        about["checkpoint"] = about["checkpoint"] or checkpoint
        if main_process:
            write_json(folder / "run.json", about)

    if cells:
        start = time.time()
        prediction.prepare_to_predict(model, training_args)
        predict_cells(
            task, model, predictor, rows, cells, layers, args, checkpoint if identity else parent_hash, results, about
        )
        about["seconds"]["predict"] = round(time.time() - start, 3)

    if main_process:
        write_json(folder / "run.json", {**about, "finished_at": now()})
        if cells:
            text = result_tables(task, results, cells, layers)
            write_card(folder, task.name, CARD.format(task.name), about, text)
            print(f"\n{text}\n\npredictions  {folder / 'predictions'}\nresults      {results.path}")
    launching.finish_distributed()


def check_arguments(args, given):
    """The task's record; raises InputError for what can be known wrong before anything loads."""
    if args.task not in TARGETS:
        names = [name for name, task in TARGETS.items() if not task.not_runnable]
        raise InputError(
            f"--task {args.task}: unknown task{nearest(args.task, TARGETS)}; choose from {' '.join(names)}"
        )
    task = TARGETS[args.task]
    if task.not_runnable:
        raise InputError(f"--task {args.task}: cannot be run yet: {task.not_runnable}")
    stages = [stage for stage in ("do_train", "do_eval", "do_predict") if truthy(given.get(stage))]
    if not stages:
        raise InputError("nothing to do: give --do_train, --do_eval, --do_predict or several of them")
    if "output_dir" not in given:
        raise InputError("--output_dir is missing: name a new folder for this run, e.g. outputs/" + args.task)
    if not os.path.isdir(args.data_dir):
        raise InputError(f"--data_dir {args.data_dir}: no such folder; download XTREME first or correct the path")
    for name in (
        "max_seq_length",
        "doc_stride",
        "n_best_size",
        "max_answer_length",
        "max_train_samples",
        "max_eval_samples",
        "max_predict_samples",
    ):
        value, least = getattr(args, name), 16 if name == "max_seq_length" else 1
        if value is not None and value < least:
            raise InputError(f"--{name} {value}: must be at least {least}; leave it out for the default")
    if task.kind == "retrieval":
        if args.max_predict_samples:
            raise InputError(
                f"--max_predict_samples {args.max_predict_samples}: dropping candidates would change {task.name}; "
                "leave it out"
            )
        if stages != ["do_predict"]:
            raise InputError(f"--{stages[0]}: {task.name} needs no training; use --do_predict alone with an encoder")
        if args.layer not in (None, "all") and not args.layer.isdecimal():
            raise InputError(f"--layer {args.layer}: give a hidden_states index (0 is the embedding layer) or 'all'")
    elif args.layer is not None:
        raise InputError(
            f"--layer {args.layer}: only retrieval (bucc2018, tatoeba) pools a layer; leave it out for {task.name}"
        )
    for split in [name for name, stage in (("train", "do_train"), ("dev", "do_eval")) if stage in stages]:
        path = path_of(task, args.data_dir, split, "en")[0]
        if not path.exists():
            raise InputError(f"{path}: no such file; check --data_dir or download the task")
    return task


def plan_cells(task, args):
    """{condition: (folder, [languages])}: every cell whose test file is there, English first.

    A file that is missing because perturb.py's operation does not apply to it is no mistake: the cell is n/a.
    """
    table_languages = list(dict.fromkeys(code for version in task.languages.values() for code in version))
    cells = {}
    for condition, folder in parse_conditions(args.conditions, args.data_dir).items():
        found, exempt = [], noise_record(task, folder).get("not_applicable", {})
        for code in args.languages or table_languages:
            path = path_of(task, folder, "test", code)[0]
            if path.exists() and not (task.name == "mlqa" and code not in table_languages):
                found.append(code)
            elif path.exists():
                raise InputError(
                    f"--languages {code}: MLQA's scorer has no rules for it, only for {' '.join(table_languages)}; "
                    f"leave {code} out"
                )
            elif code in exempt:
                continue
            elif args.languages and code not in {*LANGUAGES, *table_languages}:
                raise InputError(
                    f"--languages {code}: unknown language{nearest(code, table_languages)}; {task.name} has "
                    f"{' '.join(table_languages)}"
                )
            elif args.languages:
                raise InputError(f"--languages {code}: {path} does not exist; write that file or leave {code} out")
        if not found and not exempt:
            example = path_of(task, folder, "test", table_languages[0])[0]
            raise InputError(
                f"{folder}: no test file of {task.name} in any of its languages, e.g. {example}; is it a folder in "
                "XTREME's layout?"
            )
        cells[condition] = folder, sorted(set(found), key=lambda code: (code != "en", code))
    return cells


def resolve_arguments(parser, task, args, trainer_argv, given):
    """TrainingArguments, Settings and the printed origin of every resolved value: given, or the task's default."""
    from common import launching

    flags = [*task_defaults(task, given, launching.world_size()), *launching.launch_flags(given)]
    training_args = trainer_arguments(parser, trainer_argv, flags)
    metric, known = training_args.metric_for_best_model, {"loss", task.metric, *TABLE_METRICS.get(task.kind, ())}
    if metric and metric.removeprefix("eval_") not in known:
        raise InputError(
            f"--metric_for_best_model {metric}: the metrics of {task.name} are {', '.join(sorted(known))}; choose "
            "one of them"
        )
    check_smoothing(training_args, [task])
    stride = args.doc_stride or task.defaults.doc_stride
    settings = Settings(
        args.max_seq_length or task.defaults.max_seq_length, stride, args.n_best_size, args.max_answer_length
    )
    origins = trainer_origins(training_args, flags, given)
    origins.append(
        (
            "max_seq_length",
            settings.max_seq_length,
            "given" if args.max_seq_length else f"task default, {task.defaults.source}",
        )
    )
    if task.kind == "question_answering":
        origins.append(("doc_stride", stride, "given" if args.doc_stride else f"task default, {task.defaults.source}"))
    origins.sort(key=lambda row: row[0])
    return training_args, settings, origins


def input_files(task, folder, splits, language):
    """The existing files of some splits, for hashing."""
    return [
        path
        for split in splits
        if split in task.files
        for path in path_of(task, folder, split, language)
        if path.exists()
    ]


def read_rows(task, head, args, training_args, cells):
    """{"train", "dev", (condition, language)} -> rows. Everything is read, and so checked, before a model loads."""
    rows = {}
    if training_args.do_train:
        rows["train"] = limit(head.read(task, args.data_dir, "train", "en"), args.max_train_samples)
        if head.references(rows["train"].select([0])) is None:
            raise InputError(
                f"{input_files(task, args.data_dir, ['train'], 'en')[0]}: has no labels to train on; use the labeled "
                "file"
            )
    if training_args.do_eval:
        rows["dev"] = limit(head.read(task, args.data_dir, "dev", "en"), args.max_eval_samples)
        if head.references(rows["dev"]) is None:
            raise InputError(
                f"{input_files(task, args.data_dir, ['dev'], 'en')[0]}: has no labels to select on; leave --do_eval "
                "out"
            )
    for condition, (folder, languages) in cells.items():
        for language in languages:
            found = head.read(task, folder, "test", language)
            rows[condition, language] = found if task.kind == "retrieval" else limit(found, args.max_predict_samples)
            if task.kind == "retrieval" and "dev_gold" in task.files and ("dev", language) not in rows:
                rows["dev", language] = head.read(
                    task, args.data_dir, "dev", language
                )  # clean: the threshold is not tuned on noise
    return rows


def training_identity(task, args, training_args, settings, parent_hash):
    """All that decides what training computes; a folder holds one such run."""
    from common import launching

    if Path(training_args.output_dir).resolve() == Path(args.model_name_or_path).resolve():
        raise InputError(
            f"--output_dir {training_args.output_dir} is also --model_name_or_path; train into a new folder"
        )
    return {
        "parent": parent_hash,
        "data": sha256(
            *input_files(task, args.data_dir, ("train", "dev") if training_args.do_eval else ("train",), "en")
        ),
        "processes": training_args.world_size,
        "zero_stage": launching.zero_stage(training_args),
        "autocast": launching.autocasts(training_args),
        **{
            name: getattr(args, name)
            for name in ("keep_head", "max_train_samples", "max_eval_samples", "pad_to_max_length")
        },
        **{name: plain(getattr(training_args, name)) for name in DECISIVE},
        "max_seq_length": settings.max_seq_length,
        "doc_stride": settings.doc_stride,
    }


def train(task, model, predictor, training_args, rows):
    """Fine-tune on English where `rows` has "train", score English dev where it has "dev"; returns seconds per stage.

    The folder gets the selected model, its tokenizer and metrics in the form that HF's Trainer writes.
    """
    from common import launching
    from common.trainer import Collapse, EncoderTrainer

    folder, seconds = Path(training_args.output_dir), {}
    evaluate_dev = predictor.evaluator(task, model, rows["dev"]) if "dev" in rows else None
    features = numbered(predictor.encode(rows["train"])) if "train" in rows else None
    trainer = EncoderTrainer(
        model=model, args=training_args, train_dataset=features, eval_dataset=rows.get("dev"), data_collator=predictor.collator,
        processing_class=predictor.tokenizer, head=predictor.head, evaluate_dev=evaluate_dev,
    )  # fmt: skip
    if features is not None:
        start = time.time()
        checkpoint = launching.on_main(lambda: resume_point(folder, training_args.resume_from_checkpoint))
        try:
            outcome = trainer.train(resume_from_checkpoint=checkpoint)
        except Collapse as collapse:
            rate = training_args.learning_rate
            raise Failure(
                f"{collapse}, counted from 0; look at these, or try --learning_rate {rate / 2:g} in a new --output_dir"
            ) from None
        trainer.save_final(outcome.metrics)
        seconds["train"] = round(time.time() - start, 3)
    else:
        model.to(training_args.device)  # under DeepSpeed the Trainer leaves that to the training
    if evaluate_dev is not None:
        start = time.time()
        scores = trainer.evaluate()
        trainer.log_metrics("eval", scores)
        if training_args.process_index == 0:
            save_metrics(folder, "eval", scores)
        seconds["eval"] = round(time.time() - start, 3)
    logger.info("saved to %s", folder)
    return seconds


def numbered(features):
    """Features with the number of their example, to name it when its loss is not finite."""
    return features.add_column(
        "row", features["example"] if "example" in features.column_names else list(range(len(features)))
    )


def predict_cells(task, model, predictor, rows, cells, layers, args, checkpoint, results, about):
    """Every language under every condition; a cell that was finished from the same inputs is skipped."""
    from common import launching

    thresholds = {}  # of bucc2018: language -> one per layer, the same under every condition
    for condition, language, folder in [
        (name, code, folder) for name, (folder, codes) in cells.items() for code in codes
    ]:
        tested = input_files(task, folder, ("test", "test_english", "test_gold"), language)
        files = tested + input_files(task, args.data_dir, THRESHOLD_SPLITS, language)
        settings = (
            dataclasses.asdict(predictor.settings),
            launching.precision(predictor.args),
            layers,
            args.max_predict_samples,
        )
        inputs = sha256(checkpoint, *settings, *files)
        if results.finished(task, language, condition, inputs):
            logger.info("%s %s %s: finished before, skipped", task.name, language, condition)
            continue
        if launching.any_process(stop_requested()):
            raise stopped("finished cells are kept")
        found = rows[condition, language]
        if task.kind == "retrieval":
            if ("dev", language) in rows and language not in thresholds:
                thresholds[language] = tune(model, predictor, rows["dev", language], layers)
            scores, counts, n, predictions = retrieve(task, model, predictor, found, layers, thresholds.get(language))
        else:
            features = predictor.encode(found)
            features = features.select_columns(
                [name for name in features.column_names if name != "labels"]
            )  # no loss is wanted
            scores, counts, predictions, _ = predictor.score(
                task, model, found, features, language, f"{language} {condition}"
            )
            n = len(found)
        if predictor.args.process_index == 0:
            predictor.head.write_predictions(results.prediction_path(task, language, condition), found, predictions)
            shared = {
                "seed": about["seed"],
                "model": str(results.folder),
                "parent": about["parent"]["path"],
                "data": sha256(*tested),
            }
            results.add(task, language, condition, scores, counts, n, inputs, **shared)


def retrieval_layers(head, task, asked, config):
    """hidden_states indices to pool; the first is the one whose predictions are written."""
    depth = config.num_hidden_layers
    protocol = head.default_layer(task, depth)
    if asked == "all":
        return [protocol, *(layer for layer in range(depth + 1) if layer != protocol)]
    if asked is not None and int(asked) > depth:
        raise InputError(f"--layer {asked}: the model has {depth} layers; give 0 to {depth} or 'all'")
    return [protocol if asked is None else int(asked)]


def tune(model, predictor, dev, layers):
    """BUCC's margin threshold at every layer: the one with the best F1 on dev."""
    head, vectors = predictor.head, predictor.head.embed(dev, model, predictor, layers)
    return [head.best_threshold(head.scored_pairs(vectors, position), dev["gold"]) for position in range(len(layers))]


def retrieve(task, model, predictor, rows, layers, thresholds):
    """One language of Tatoeba, or with `thresholds` of BUCC, at every layer: (scores, counts, examples, predictions of
    the first layer).
    """
    import metrics

    head, outcome, scores = predictor.head, None, {}
    vectors = head.embed(rows, model, predictor, layers)
    for position, layer in enumerate(layers):
        if thresholds is None:
            found = head.search(vectors, position)
        else:
            found = {
                "": [
                    pair
                    for pair, margin in head.scored_pairs(vectors, position).items()
                    if margin >= thresholds[position]
                ]
            }
        for variant, predictions in found.items():
            counts = head.count(task, rows, predictions)
            suffix = variant + (f"_layer{layer}" if position else "")
            if counts is not None:
                scores.update(
                    {f"{name}{suffix}": value for name, value in metrics.aggregate(task.name, counts).items()}
                )
            outcome = outcome or (counts, len(rows["english"]), predictions)
    return scores or None, *outcome


def result_tables(task, results, cells, layers):
    """The per-language table, and for a layer sweep the mean of the task's metric at every layer."""
    languages = sorted({code for _, codes in cells.values() for code in codes}, key=lambda code: (code != "en", code))
    metric_names = TABLE_METRICS.get(task.name, TABLE_METRICS.get(task.kind, ("accuracy",)))
    text = table(results, task, languages, list(cells), metric_names)
    for condition in cells if len(layers) > 1 else ():
        lines = []
        for layer in sorted(layers):
            name = task.metric if layer == layers[0] else f"{task.metric}_layer{layer}"
            values = [
                row["value"]
                for code in languages
                for row in results.cell(task, code, condition)
                if row["metric"] == name
            ]
            mean = f"{sum(values) / len(values):6.1f}" if values else "     -"
            lines.append(f"{layer:5d}  {mean}{'  (written)' if layer == layers[0] else ''}")
        text += f"\n\n{condition}: mean {task.metric} by layer\n" + "\n".join(lines)
    return text


if __name__ == "__main__":
    main()
