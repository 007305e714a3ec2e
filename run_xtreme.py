"""Fine-tune an encoder on one XTREME task in English, then predict every language, clean and noised, in one process.

  python run_xtreme.py --task panx --data_dir data/xtreme --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/panx --do_train --do_eval --do_predict
  python run_xtreme.py --task xquad --data_dir data/xtreme --model_name_or_path outputs/xquad \\
      --output_dir outputs/xquad --do_predict --conditions clean=data/xtreme keyboard-2=noised/keyboard-2
  python run_xtreme.py --task tatoeba --data_dir data/xtreme --model_name_or_path outputs/mnli \\
      --output_dir outputs/tatoeba --do_predict --layer all
  python run_xtreme.py --task mine=tagging:data/mine --train_languages sw yo --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/mine --do_train --do_eval --do_predict
  torchrun --nproc_per_node 8 run_xtreme.py --task xnli ...

Reads --data_dir in google/xtreme's own layout, and a checkpoint folder or Hub id. What it writes is described in
docs/training.md. Copy with it: common/ ds_configs/ heads/ metrics.py noise/ tasks.py.
"""

import logging
import sys

from common.arguments import (
    add_dual_encoder,
    check_codes,
    check_dual_encoder,
    check_least,
    check_readings,
    check_stages,
    parse,
    parse_conditions,
    run_parser,
    truthy,
)
from common.files import InputError, sha256
from common.labels import with_labels
from common.recipes import follow
from common.recovery import Failure, guarded, resume_point, stop_requested, stopped
from common.results import not_above, pairs_table, save_metrics, table
from common.robust_flags import add_robust, coarse, robust_origins
from common.run_record import checkpoint_hash, fine_tuned, noise_record
from common.stream import stream
from common.task_records import PAIRS, find_task
from common.text import nearest, show
from heads import head_of, limit, path_of
from heads.robust_checks import check_robust
from heads.training_rows import checked_languages, read_training, training_files
from tasks import LANGUAGES, TARGETS

logger = logging.getLogger("xtreme")

# Own arguments that decide what training computes, beside TrainingArguments' DECISIVE ones and the Settings.
OWN_DECISIVE = ("keep_head", "max_train_samples", "max_eval_samples", "pad_to_max_length")
THRESHOLD_SPLITS = ("dev", "dev_english", "dev_gold")  # of bucc2018, whose threshold is tuned on its clean dev set
TABLE_METRICS = {
    "tagging": ("f1", "accuracy"),
    "question_answering": ("f1", "exact_match"),
    "bucc2018": ("f1", "precision", "recall"),
    "lareqa": ("map@20", "same_language"),
    "mewslix": ("map@20",),
}
CARD = """{}, evaluated in every language below (scores in
percent, and that of a constant guess). Test files without gold labels are predicted and marked "no labels"."""


def load_libraries():
    """torch and transformers take seconds to import: only now that flags and files are known to be right."""
    global Collapse, EncoderTrainer, rehearse, checkpoints, kept_heads, launching, prediction, session
    global training_arguments, head_settings, GatheringTrainer, Robustness, noised_features, robust_record
    from common import checkpoints, kept_heads, launching, prediction, session, training_arguments
    from common.grad_cache import GatheringTrainer
    from common.robust import Robustness, robust_record
    from common.trainer import Collapse, EncoderTrainer, rehearse
    from heads import settings as head_settings
    from heads.noising import noised_features


def build_parser():
    parser = run_parser("run_xtreme.py", __doc__)
    add = parser.add_argument
    add("--task", required=True, help=f"one of {' '.join(TARGETS)}, or your own: NAME=KIND:DIR")
    add("--data_dir", help="folder in google/xtreme's layout; your own task brings its own")
    add("--model_name_or_path", required=True, help="folder or Hub id of the encoder, e.g. of run_intermediate.py")
    add("--train_languages", nargs="+", help="languages to train and select in, joined (default: en, zero-shot)")
    add("--languages", nargs="+", action="extend", help="languages to predict (default: all of the task's on disk)")
    add(
        "--conditions",
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="evaluation folders in the same layout, e.g. noised copies (default: clean=DATA_DIR)",
    )
    add(
        "--keep_head",
        nargs="?",
        const=True,
        default=False,
        metavar="TASK",
        help="start from the checkpoint's own head, or from phase 2's for TASK, whose label names must be the task's "
        "(default: a fresh head)",
    )
    add(
        "--pad_to_max_length",
        action="store_true",
        help="pad every input to --max_seq_length, as HF's examples do (slow; to compare)",
    )
    add("--mlqa_pairs", choices=("same", "all"), default="same", help="all: context and question in any two languages")
    add("--layer", help="retrieval: hidden_states index to pool, or 'all' for a sweep (default: the protocol's)")
    add_dual_encoder(parser)
    add_robust(parser)
    tokens = "sub-tokens, padding included, that are predicted at a time (default: by memory on a GPU, none on a CPU)"
    add("--max_tokens_per_batch", type=int, help=tokens)
    add("--max_predict_samples", type=int, help="use the first N test examples of each file")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "checkpoints and finished cells are kept"):
        task = check_arguments(args, given)
        robust = check_robust(args, [task], args.train_languages or ["en"], given)
        cells = find_cells(task, args) if truthy(given.get("do_predict")) else {}
        load_libraries()
        run(parser, task, args, trainer_argv, given, robust, cells, argv)


def run(parser, task, args, trainer_argv, given, robust, cells, argv):
    """The story: settings, folder, data, model, training, predictions, table."""
    training_arguments.set_up_logging()
    training_args, settings, origins = resolve_arguments(parser, task, args, trainer_argv, given, robust)
    launching.join_processes(training_args)
    head = head_of(task)

    # The folder is new, or holds this very run.
    parent_hash = checkpoint_hash(args.model_name_or_path, args.model_revision)
    identity = None
    if training_args.do_train:
        splits = ("train", "dev")[: 1 + training_args.do_eval]
        files = [path for split in splits for path in training_files(task, args, split).values()]
        own = {name: getattr(args, name) for name in OWN_DECISIVE} | settings.as_given() | robust.as_given()
        own |= {"train_languages": args.train_languages} if args.train_languages else {}
        identity = session.training_identity(args, training_args, parent_hash, files, own)
    this = session.Session(training_args, task.name, identity, args.model_name_or_path, parent_hash)

    # All files are read, and so checked, before a model loads.
    rows, read = read_rows(task, head, args, training_args, cells)

    # A trained model keeps its head; training starts from a fresh one.
    source = str(this.folder) if this.trained else args.model_name_or_path
    tokenizer = checkpoints.load_tokenizer(source, args.model_revision)
    config = checkpoints.load_config(source, tokenizer, settings.max_seq_length, args.model_revision)
    task = with_labels(
        task, rows, lambda: kept_heads.stored_labels(source, config, args.keep_head, args.model_revision)
    )
    head_settings.record(config, task, settings)
    options = {"revision": args.model_revision, "attn_implementation": args.attn_implementation}
    layers, labels = [], ()
    if task.kind == "retrieval":
        layers = retrieval_layers(head, task, args.layer, config)
        model = checkpoints.load_encoder(source, config, max(layers), **options)
    else:
        keep_head = True if this.trained else args.keep_head or not training_args.do_train
        model, labels = checkpoints.load_model(
            head, source, config, task.labels, keep_head, training_args.seed, **options
        )
    budget = prediction.token_budget(args.max_tokens_per_batch, given, training_args.device, model)
    if budget:
        origins.append(
            ("max_tokens_per_batch", budget, "given" if args.max_tokens_per_batch else "by the GPU's memory")
        )
    predictor = prediction.predictor(head, labels, settings, training_args, tokenizer, args.pad_to_max_length, budget)
    if layers:
        predictor.layers = layers
    features = None
    if this.trains:
        features = numbered(predictor.encode_once(rows["train"], f"{'+'.join(args.train_languages or ['en'])} train"))
        training_arguments.check_batches(training_args, len(features))
        rehearse(model, training_args, features)

    # From here on the folder is ours.
    conditions = {name: {"folder": str(folder), **noise_record(task, folder)} for name, (folder, _) in cells.items()}
    this.open("run_xtreme.py", argv, args, origins, conditions)
    checkpoint = parent_hash
    if this.trained:
        logger.info("%s: training is finished, going on with it", this.folder)
    if features is not None and robust.active:
        this.note(robust=robust_record(robust, model, features))
        features = noised_features(robust, predictor, rows["train"], features, (args.train_languages or ["en"])[0])
    if features is not None or training_args.do_eval:
        train(task, model, predictor, training_args, features, rows.get("dev"), this, robust)
    if identity is not None:
        checkpoint = this.finish_training()

    if cells:
        with this.timed("predict"):
            prediction.prepare_to_predict(model, training_args)
            predict_cells(task, model, predictor, rows, read, cells, args, checkpoint, this)
    tables = result_tables(task, this.results, cells, layers) if cells else ""
    this.close(CARD.format(fine_tuned(this.record)), tables)
    if cells and this.is_main:
        show(f"\n{tables}\n\npredictions  {this.folder / 'predictions'}\nresults      {this.results.path}")


# --- What is asked for ----------------------------------------------------------------------------------------------


def check_arguments(args, given):
    """The task's record; raises InputError for what can be known wrong before anything loads."""
    task, args.data_dir = find_task(args.task, args.data_dir, args.mlqa_pairs)
    stages = check_stages(args, given, ("do_train", "do_eval", "do_predict"), task.name)
    check_least(args, max_predict_samples=1, max_tokens_per_batch=1)
    if args.max_tokens_per_batch and "per_device_eval_batch_size" in given:
        raise InputError("--per_device_eval_batch_size, --max_tokens_per_batch: both bound a batch; give one of them")
    check_readings(args, [task])
    check_codes(args.languages)
    check_dual_encoder(args, task)
    if task.kind == "retrieval":
        check_retrieval(task, args, stages)
    elif args.layer is not None:
        raise InputError(
            f"--layer {args.layer}: only retrieval (bucc2018, tatoeba) pools a layer; leave it out for {task.name}"
        )
    args.train_languages = checked_languages(args.train_languages, stages)
    for split, stage in (("train", "do_train"), ("dev", "do_eval")):
        if stage in stages:
            training_files(task, args, split)
    return follow(task, args.recipe)


def check_retrieval(task, args, stages):
    """Retrieval is prediction alone, over all candidates."""
    if args.max_predict_samples:
        raise InputError(
            f"--max_predict_samples {args.max_predict_samples}: dropping candidates would change {task.name}; leave "
            "it out"
        )
    if stages != ["do_predict"]:
        raise InputError(f"--{stages[0]}: {task.name} needs no training; use --do_predict alone with an encoder")
    if args.layer not in (None, "all") and not args.layer.isdecimal():
        raise InputError(f"--layer {args.layer}: give a hidden_states index (0 is the embedding layer) or 'all'")


def find_cells(task, args):
    """{condition: (folder, [languages])}: every cell whose test file is there, English first."""
    known = list(dict.fromkeys(code for version in task.languages.values() for code in version))
    cells = {}
    for condition, folder in parse_conditions(args.conditions, args.data_dir).items():
        exempt = noise_record(task, folder).get("not_applicable", {})
        asked = dict.fromkeys(args.languages or known)
        languages = [code for code in asked if has_test_file(task, folder, code, known, exempt, bool(args.languages))]
        if not languages and not exempt:
            example = path_of(task, folder, "test", known[0])[0]
            raise InputError(
                f"{folder}: no test file of {task.name} in any of its languages, e.g. {example}; is it a folder in "
                "XTREME's layout?"
            )
        cells[condition] = folder, sorted(languages, key=english_first)
    return cells


def has_test_file(task, folder, code, known, exempt, required):
    """Whether a language has a test file below `folder`; InputError where it must.

    A file that is missing because perturb.py's operation does not apply to it is no mistake: the cell is n/a.
    """
    path = path_of(task, folder, "test", code)[0]
    if path.exists():
        if task.name == "mlqa" and code not in known:
            raise InputError(
                f"--languages {code}: MLQA's scorer has no rules for it, only for {' '.join(known)}; leave {code} out"
            )
        return True
    if required and code not in exempt:
        if code not in {*LANGUAGES, *known}:
            raise InputError(
                f"--languages {code}: unknown language{nearest(code, known)}; {task.name} has {' '.join(known)}"
            )
        raise InputError(f"--languages {code}: {path} does not exist; write that file or leave {code} out")
    return False


def english_first(code):
    """Sorting key of languages."""
    return code != "en", code


def resolve_arguments(parser, task, args, trainer_argv, given, robust):
    """TrainingArguments, Settings, and where every value comes from: the command line, or the task's recipe."""
    flags = [
        *training_arguments.task_defaults(task, given, launching.world_size()),
        *launching.launch_flags(given, coarse(robust)),
    ]
    training_args = training_arguments.trainer_arguments(parser, trainer_argv, flags)
    metric, known = training_args.metric_for_best_model, {"loss", task.metric, *TABLE_METRICS.get(task.kind, ())}
    if metric and metric.removeprefix("eval_") not in known:
        raise InputError(
            f"--metric_for_best_model {metric}: the metrics of {task.name} are {', '.join(sorted(known))}; choose "
            "one of them"
        )
    training_arguments.check_order(training_args, task)
    training_arguments.check_smoothing(training_args, [task])
    settings, origins = head_settings.resolve(args, task, training_args.do_train)
    origins = [*training_arguments.trainer_origins(training_args, flags, given), *origins]
    origins += robust_origins(robust, args)
    return training_args, settings, origins


# --- Data -----------------------------------------------------------------------------------------------------------


def input_files(task, folder, splits, language):
    """The existing files of some splits, for hashing."""
    paths = [path for name in splits if name in task.files for path in path_of(task, folder, name, language)]
    return [path for path in paths if path.exists()]


def read_rows(task, head, args, training_args, cells):
    """{"train", "dev", (condition, language)} -> rows; {(condition, language): hashes of the cell's files}.

    Files are hashed as they are read: people may write others while the model trains.
    """
    rows, read = {}, {}
    if training_args.do_train:
        rows["train"] = read_training(task, args, "train", args.max_train_samples)
    if training_args.do_eval:
        rows["dev"] = read_training(task, args, "dev", args.max_eval_samples)
    for condition, (folder, languages) in cells.items():
        if languages and task.kind == "dual_encoder":
            rows[condition, "pool"] = head.read_pool(task, folder, args.data_dir)
        for language in languages:
            read[condition, language] = hashes(task, folder, args.data_dir, language)
            test = head.read(task, folder, "test", language)
            rows[condition, language] = test if task.kind == "retrieval" else limit(test, args.max_predict_samples)
            # BUCC's threshold is tuned on clean data, whatever the condition.
            if "dev_gold" in task.files and ("dev", language) not in rows:
                rows["dev", language] = head.read(task, args.data_dir, "dev", language)
    return rows, read


def hashes(task, folder, data_dir, language):
    """(hash of a cell's test files; of these and BUCC's dev files)."""
    tested = sha256(*input_files(task, folder, ("test", "test_english", "test_gold"), language))
    return tested, sha256(tested, *input_files(task, data_dir, THRESHOLD_SPLITS, language))


# --- Training -------------------------------------------------------------------------------------------------------


def train(task, model, predictor, training_args, features, dev, this, robust):
    """Fine-tune on `features`, score the rows `dev`; either may be None. The folder gets the selected model, its
    tokenizer and metrics in the form that HF's Trainer writes.
    """
    evaluate_dev = predictor.evaluator(task, model, dev) if dev is not None else None
    trainer = (GatheringTrainer if predictor.settings.negatives == "gather" else EncoderTrainer)(
        model=model,
        args=training_args,
        train_dataset=features,
        eval_dataset=dev,
        data_collator=predictor.collator,
        processing_class=predictor.tokenizer,
        head=predictor.head,
        evaluate_dev=evaluate_dev,
        robustness=Robustness(robust) if robust.active else None,
    )
    advice = training_arguments.rate_advice(model.base_model, training_args.learning_rate)
    if features is None:
        model.to(training_args.device)  # under DeepSpeed the Trainer leaves that to the training
    else:
        with this.timed("train"):
            checkpoint = launching.on_main(lambda: resume_point(this.folder, training_args.resume_from_checkpoint))
            if advice:
                logger.warning("learning rate: try %s", advice)
            try:
                outcome = trainer.train(resume_from_checkpoint=checkpoint)
            except Collapse as collapse:
                rate = training_args.learning_rate / 2
                raise Failure(
                    f"{collapse}, counted from 0; look at these, or try --learning_rate {rate:g} in a new --output_dir"
                ) from None
            trainer.save_final(outcome.metrics)
    if evaluate_dev is not None:
        with this.timed("eval"):
            scores = trainer.evaluate()
            trainer.log_metrics("eval", scores)
            if this.is_main:
                save_metrics(this.folder, "eval", scores)
            warn_of_a_guess(task, predictor, dev, scores, advice)
    logger.info("saved to %s", this.folder)


def warn_of_a_guess(task, predictor, dev, scores, advice=""):
    """Warn where dev `scores` (fractions, as HF names them) are not above those of a constant guess; `advice`
    is what to try, if more is known than another seed.
    """
    guess = predictor.constant_guess(task, dev, "en") or {}
    for name, level in guess.items():
        if name in (task.metric, "accuracy") and not_above(100 * scores[f"eval_{name}"], level):
            logger.warning(
                "%s: %s on dev is %.1f, and a constant guess has %.1f: it has learned nothing; %s",
                task.name,
                name,
                100 * scores[f"eval_{name}"],
                level,
                f"try {advice or 'another --seed or --learning_rate'} in a new --output_dir",
            )


def numbered(features):
    """Features with the number of their example, to name it when its loss is not finite."""
    numbers = features["example"][:] if "example" in features.column_names else list(range(len(features)))
    return features.add_column("row", numbers)


# --- Prediction -----------------------------------------------------------------------------------------------------


def predict_cells(task, model, predictor, rows, read, cells, args, checkpoint, this):
    """Every language under every condition; a cell that was finished from the same inputs is skipped.

    `rows` and `read` are those of `read_rows`. Files are encoded ahead of the model, decoded, scored and written
    behind it.
    """
    settings = predictor.settings.as_inputs(), launching.precision(predictor.args), getattr(predictor, "layers", [])
    kept = [args.keep_head] if isinstance(args.keep_head, str) and this.identity is None else []
    todo = [(name, code) for name, (_, codes) in cells.items() for code in codes]
    if task.kind == "retrieval":  # conditions of a language share sentences
        todo.sort(key=lambda cell: english_first(cell[1]))

    def prepare(cell):
        condition, language = cell
        pool, (data, files) = rows.get((condition, "pool")), read[cell]
        inputs = sha256(checkpoint, *settings, args.max_predict_samples, *kept, files, pool and pool.hash)
        if this.results.finished(task, language, condition, inputs):
            logger.info("%s %s %s: finished before, skipped", task.name, language, condition)
            return None
        beside = pool or rows.get(("dev", language))
        features = predictor.prepare(rows[condition, language], language, f"{language} {condition}", beside)
        return features, inputs, data

    def compute(cell, prepared):
        if prepared is None:
            return None
        if launching.any_process(stop_requested()):
            raise stopped("finished cells are kept")
        return predictor.start(model, prepared[0], " ".join(cell[1::-1])), *prepared[1:]

    def finish(cell, computed):
        if computed is None or not this.is_main:
            return
        (condition, language), (collect, *its_hashes) = cell, computed
        write_cell(task, predictor, rows.pop(cell), language, condition, collect(), its_hashes, this)

    stream(todo, prepare, compute, finish)


def write_cell(task, predictor, test, language, condition, outputs, its_hashes, this):
    """Decode and score what the model gave for a file, and write all that a finished cell leaves."""
    scored = predictor.finish(task, test, language, *outputs)
    n = len(test["english"] if task.kind == "retrieval" else test)
    guess = predictor.constant_guess(task, test, language)
    path = this.results.prediction_path(task, language, condition)
    predictor.head.write_predictions(path, test, scored.predictions)
    inputs, data = its_hashes
    about = {**this.provenance, "data": data}
    this.results.add(task, language, condition, scored.scores, scored.counts, n, inputs, guess, **about)


def retrieval_layers(head, task, asked, config):
    """hidden_states indices to pool; the first is the one whose predictions are written."""
    depth = config.num_hidden_layers
    protocol = head.default_layer(task, depth)
    if asked == "all":
        return [protocol, *(layer for layer in range(depth + 1) if layer != protocol)]
    if asked is not None and int(asked) > depth:
        raise InputError(f"--layer {asked}: the model has {depth} layers; give 0 to {depth} or 'all'")
    return [protocol if asked is None else int(asked)]


def result_tables(task, results, cells, layers):
    """The per-language table, and for a layer sweep the mean of the task's metric at every layer."""
    languages = sorted({code for _, codes in cells.values() for code in codes}, key=english_first)
    names = TABLE_METRICS.get(task.name, TABLE_METRICS.get(task.kind, ("accuracy",)))
    shown = pairs_table if task.name == PAIRS else table
    text = shown(results, task, languages, list(cells), names)
    for condition in cells if len(layers) > 1 else ():
        text += f"\n\n{condition}: mean {task.metric} by layer"
        for layer in sorted(layers):
            name = task.metric if layer == layers[0] else f"{task.metric}_layer{layer}"
            scored = [result for code in languages for result in results.cell(task, code, condition)]
            values = [result["value"] for result in scored if result["metric"] == name]
            mean = f"{sum(values) / len(values):6.1f}" if values else "     -"
            text += f"\n{layer:5d}  {mean}{'  (written)' if layer == layers[0] else ''}"
    return text


if __name__ == "__main__":
    main()
