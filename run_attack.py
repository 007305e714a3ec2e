"""Search the worst noise for each example: a few typing errors that turn a finished run's right predictions wrong.

  python run_attack.py --task xnli --data_dir data/xtreme --model_name_or_path outputs/xnli --output_dir attacked \\
      --edits 5 --queries 250
  python run_attack.py --task udpos --data_dir data/xtreme --model_name_or_path outputs/udpos --output_dir attacked \\
      --languages en de hi --attack beam --beam 4 --max_predict_samples 200
  python run_xtreme.py --task xnli --data_dir data/xtreme --model_name_or_path outputs/xnli \\
      --output_dir outputs/xnli --do_predict --conditions clean=data/xtreme greedy-5=attacked/greedy-5
  torchrun --nproc_per_node 8 run_attack.py ...

Reads a run of run_xtreme.py and the test files that it predicts; writes condition folders as perturb.py does, the
attack's and that of its random control, for run_xtreme.py --conditions, run_alignment.py --conditions and report.py.
Definitions, and what is written: docs/attacks.md. Copy with it: attack/ common/ heads/ metrics.py noise/ tasks.py.
"""

import argparse
import contextlib
import logging
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

from attack.texts import OWN, Editor, TestFile, check_fields, protect_entities, script_of_file
from common.arguments import check_codes, check_least, encoder_parser, parse, truthy
from common.files import InputError, replacing, sha256
from common.recipes import follow
from common.recovery import begin, guarded, lock, stop_requested, stopped
from common.run_record import checkpoint_hash, mask_secrets, read_run
from common.task_records import PAIRS, find_task
from common.text import nearest, show
from heads import limit, path_of
from noise.files import NoiseError, check_output_dir
from noise.layouts import QA_MODES, add_own, match, refusal
from noise.operations import OPERATIONS
from tasks import LANGUAGES

logger = logging.getLogger("xtreme")

OPS = ("keyboard", "swap", "delete", "repeat")
FIELDS = {"classification": ("hypothesis",), "multiple_choice": ("premise",), "retrieval": ("queries",)}
KINDS = ("classification", "multiple_choice", "tagging", "question_answering", "retrieval")


def load_libraries():
    """torch and transformers take seconds to import: only now that flags and files are known to be right."""
    global checkpoints, datasets, folder, gather_object, head_of, head_settings, kept_heads, launching, prediction
    global search, training_arguments, victims, with_labels
    import datasets
    from accelerate.utils import gather_object

    from attack import folder, search, victims
    from common import checkpoints, kept_heads, launching, prediction, training_arguments
    from common.labels import with_labels
    from heads import head_of
    from heads import settings as head_settings


def build_parser():
    parser = encoder_parser("run_attack.py", __doc__)
    add = parser.add_argument
    add("--task", required=True, help="the run's task: xnli, udpos, xquad, tatoeba, ..., or your own: NAME=KIND:DIR")
    add("--data_dir", help="folder in google/xtreme's layout; your own task brings its own")
    add("--model_name_or_path", required=True, help="folder of a finished run of run_xtreme.py")
    add("--languages", nargs="+", action="extend", help="languages to attack (default: all of the task's on disk)")
    add("--attack", choices=("greedy", "beam", "random"), default="greedy", help="default greedy; see docs/attacks.md")
    add("--edits", type=int, default=2, metavar="E", help="at most so many edits per example (default: 2)")
    add("--queries", type=int, default=500, metavar="Q", help="at most so many queries per example (default: 500)")
    add("--beam", type=int, default=4, metavar="B", help="texts that --attack beam goes on with (default: 4)")
    add("--ops", nargs="+", metavar="OP", help=f"operations of perturb.py (default: {' '.join(OPS)})")
    add(
        "--all_ops",
        action="store_true",
        help="use each operation where it applies; without, only those that apply to all languages of the command, so "
        "that they can be compared",
    )
    add("--fields", nargs="+", help="texts to edit (default: the hypothesis, the premise of multiple choice)")
    add("--qa", choices=QA_MODES[:2], default="question", help="question answering: edit the questions (default), or "
        "the contexts without their answers")  # fmt: skip
    add("--one_edit_per_word", action="store_true", help="no word gets a second edit: easier to read")
    add("--protect_entities", action="store_true", help="tagging of names: words of an entity stay as they are")
    add("--layer", type=int, help="retrieval: hidden_states index to pool (default: the protocol's)")
    add("--max_predict_samples", type=int, help="attack the first N examples of each file; predict with the same flag")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "finished languages are kept"), one_line_each():
        task, record = check_arguments(args, given)
        files = find_files(task, args)
        ops, refused = choose_ops(args, files)
        load_libraries()
        run(parser, task, args, trainer_argv, given, record, files, ops, refused, argv)


def run(parser, task, args, trainer_argv, given, record, files, ops, refused, argv):
    """The story: settings, rows, the run's model, every language under every condition, manifest and table."""
    training_arguments.set_up_logging()
    flags = [
        *training_arguments.task_defaults(task, given, launching.world_size()),
        *launching.launch_flags(given),
    ]
    training_args = training_arguments.trainer_arguments(parser, trainer_argv, flags)
    launching.join_processes(training_args)
    datasets.disable_progress_bars()  # every round encodes

    # All files are read, and so checked, before a model loads: the one that the run predicts with, under its settings.
    head = head_of(task)
    rows = {code: read_rows(head, task, args, code) for code in files}
    task, model, predictor, layer, checkpoint = load_model(task, head, args, training_args, record)
    prediction.prepare_to_predict(model, training_args)

    # A file of every language under every condition: the attack's, and its control's.
    plans = [
        search.Plan(attack, args.edits, args.queries, args.beam if attack == "beam" else 1, training_args.seed)
        for attack in dict.fromkeys((args.attack, "random"))
    ]
    kept = [search.VERSION, args.fields, args.qa, args.max_predict_samples, layer, predictor.settings.as_inputs()]
    kept += [args.one_edit_per_word, args.protect_entities, *launching.precision(training_args)]
    source = {"path": args.model_name_or_path, "checkpoint": checkpoint}
    output = Path(training_args.output_dir)
    attacked = {
        (plan, code): folder.Attacked(
            output,
            file,
            {**folder.about(plan, task, source), "language": code, "context": file.context, "ops": ops[code]},
            sha256(checkpoint, plan, ops[code], *kept, Path(file.source)),
        )
        for plan in plans
        for code, file in files.items()
        if ops[code]
    }

    # From here on the folder is ours.
    launching.on_main(lambda: take(output, attacked.values()))
    begin()
    for code, file in files.items():
        own = {plan: one for (plan, language), one in attacked.items() if language == code}
        todo = unfinished(own)
        if not todo:
            logger.info("%s %s: %s", task.name, code, "finished before, skipped" if own else "no operation applies")
            continue
        if launching.any_process(stop_requested()):
            raise stopped("finished languages are kept")
        texts = protect_entities(file.texts(), rows[code]) if args.protect_entities else file.texts()
        victim, numbers = victims.victim_of(task, model, predictor, rows[code], file, texts, code, layer)
        for plan, one in todo.items():
            outcomes = attack_examples(
                plan, victim, Editor(file.task, ops[code], args.one_edit_per_word), texts, numbers
            )
            launching.on_main(partial(one.write, texts, outcomes, args.edits))

    if training_args.process_index == 0:
        entries = [{**folder.named(plan), **entry} for plan in plans for entry in refused]
        command = f"python run_attack.py {shlex.join(mask_secrets(argv))}"
        copied = copy(task, args, output, [folder.named(plan)["condition"] for plan in plans], files)
        folder.write_folder(output, command, vars(args), copied, entries)
        show("\n" + folder.tables([one.record() for one in attacked.values()]))
    launching.finish_distributed()


# --- What is asked for ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def one_line_each():
    """What noise/ refuses is refused as all else is."""
    try:
        yield
    except NoiseError as error:
        raise InputError(str(error)) from None


def check_arguments(args, given):
    """(the task's record, run.json of the run); raises InputError for what is wrong before anything loads."""
    task, args.data_dir = find_task(args.task, args.data_dir)
    for stage in ("do_train", "do_eval", "do_predict"):
        if truthy(given.get(stage)):
            raise InputError(f"--{stage}: nothing is trained or predicted here; leave it out")
    for name in ("bf16_full_eval", "fp16_full_eval"):
        if truthy(given.get(name)):
            raise InputError(f"--{name}: successes are verified in float32; use --bf16 instead")
    if "output_dir" not in given:
        raise InputError("--output_dir is missing: name a new folder for the attacked sets, e.g. attacked")
    if task.kind not in KINDS or task.name == "bucc2018":
        raise InputError(f"--task {task.name}: no margin per example is known for it; attack {', '.join(KINDS)} tasks")
    check_least(args, max_seq_length=16, max_predict_samples=1, queries=1, beam=1, edits=0)
    check_codes(args.languages)
    if args.edits > args.queries:
        raise InputError(
            f"--edits {args.edits}: more than --queries {args.queries}, and every edit takes a query at least; give "
            "more queries"
        )
    if args.layer is not None and task.kind != "retrieval":
        raise InputError(f"--layer {args.layer}: only retrieval (tatoeba) pools a layer; leave it out for {task.name}")
    if args.qa != "question" and task.kind != "question_answering":
        raise InputError(f"--qa {args.qa}: only question answering has contexts; leave it out for {task.name}")
    if args.protect_entities and (task.kind != "tagging" or (task.labels and "O" not in task.labels)):
        raise InputError(f"--protect_entities: {task.name} has no tags of names; leave it out")
    if task.kind == "retrieval" and args.max_predict_samples:
        raise InputError(
            f"--max_predict_samples {args.max_predict_samples}: dropping candidates would change {task.name}; leave "
            "it out"
        )
    if "=" in args.task:
        add_own(args.task)
    args.fields = args.fields or FIELDS.get(task.kind, ())
    check_fields(args.fields, task.name)
    check_output_dir(Path(given["output_dir"]), ours=(OWN, "manifest.json"))
    record = finished_run(args.model_name_or_path, task)
    return follow(task, record["arguments"].get("recipe")), record


def finished_run(path, task):
    """run.json of a finished run of the task."""
    record = read_run(path)
    if not record or record.get("task") not in (task.name, PAIRS if task.name == "mlqa" else task.name):
        what = f"is a run of {record.get('task')}" if record else "has no run.json"
        raise InputError(
            f"--model_name_or_path {path}: {what}; give the folder of a finished run of run_xtreme.py --task "
            f"{task.name}"
        )
    if not record["training"].get("finished") if record.get("training") else "finished_at" not in record:
        raise InputError(f"--model_name_or_path {path}: the run is not finished; go on with it: {record['command']}")
    return record


def find_files(task, args):
    """{language: TestFile}, English first; InputError for a language without one."""
    known = list(dict.fromkeys(code for version in task.languages.values() for code in version))
    files = {}
    for code in sorted(dict.fromkeys(args.languages or known), key=lambda code: (code != "en", code)):
        path = path_of(task, args.data_dir, "test", code)[0]
        known_file = match(path.relative_to(args.data_dir).as_posix()) if path.exists() else None
        if known_file:
            file = TestFile(
                str(path), known_file.path, known_file.task, known_file.side_language, known_file.side,
                known_file.context,
                (*args.fields, "tokens"), args.qa,
            )  # fmt: skip
            files[code] = file
        elif args.languages:
            hint = "" if code in {*LANGUAGES, *known} else nearest(code, known)
            raise InputError(f"--languages {code}: {path} does not exist{hint}; write that file or leave {code} out")
    if not files:
        example = path_of(task, args.data_dir, "test", known[0])[0]
        raise InputError(
            f"{args.data_dir}: no test file of {task.name}, e.g. {example}; is it a folder in XTREME's layout?"
        )
    return files


def choose_ops(args, files):
    """({language: operations}, [what the manifest says of languages without any]).

    Without --all_ops all languages have the same ones, or their numbers could not be compared.
    """
    for op in args.ops or ():
        if op not in OPERATIONS:
            raise InputError(f"--ops {op}: unknown operation{nearest(op, OPERATIONS)}; perturb.py --list shows them")
    refused = {}  # (language, operation) -> why
    for code, file in files.items():
        script = script_of_file(file.language, file.source)
        for op in args.ops or OPS:
            if reason := refusal(op, file.task, file.language, script):
                refused[code, op] = reason
    ops = {code: [op for op in args.ops or OPS if (code, op) not in refused] for code in files}
    if not args.all_ops:
        common = [op for op in args.ops or OPS if all(op in own for own in ops.values())]
        for (code, op), reason in refused.items():
            logger.warning(
                "%s is left out for all languages: %s %s; --all_ops keeps it for the others", op, code, reason
            )
        ops = dict.fromkeys(files, common)
    if not any(ops.values()):
        code, op = next(iter(refused))
        where, step = ("any language", "") if args.all_ops else ("all languages together", ", or give --all_ops")
        raise InputError(
            f"--ops {' '.join(args.ops or OPS)}: none applies to {where} ({op} for {code}: {refused[code, op]}); "
            f"choose other operations or languages{step}"
        )
    entries = [
        {"task": files[code].task, "split": "test", "language": code, "reason": refused[code, (args.ops or OPS)[0]]}
        for code, own in ops.items()
        if not own
    ]
    return ops, entries


# --- Rows and model -------------------------------------------------------------------------------------------------


def read_rows(head, task, args, code):
    """A language's rows as run_xtreme.py reads them, with gold labels."""
    rows = head.read(task, args.data_dir, "test", code)
    unlabeled = rows["gold"] is None if task.kind == "retrieval" else head.references(rows) is None
    if unlabeled:
        path = path_of(task, args.data_dir, "test", code)[0]
        raise InputError(f"{path}: no gold labels, so nothing can be right and then wrong; leave {code} out")
    return rows if task.kind == "retrieval" else limit(rows, args.max_predict_samples)


def load_model(task, head, args, training_args, record):
    """(task with its labels, model, Predictor, layer or None, the model's hash) of a run, as it predicts."""
    trained = record.get("training")
    source = args.model_name_or_path if trained else record["model_name_or_path"]
    revision = args.model_revision if trained else record["arguments"].get("model_revision", "main")
    own = argparse.Namespace(**{**record["arguments"], "model_name_or_path": source, "keep_head": True})
    own.max_seq_length = args.max_seq_length or own.max_seq_length
    settings, origins = head_settings.resolve(own, task, False)
    training_arguments.log_settings(training_args, sorted(origins))
    tokenizer = checkpoints.load_tokenizer(source, revision)
    config = checkpoints.load_config(source, tokenizer, settings.max_seq_length, revision)
    options, layer, labels = {"revision": revision, "attn_implementation": args.attn_implementation}, None, ()
    if task.kind == "retrieval":
        depth = config.num_hidden_layers
        layer = head.default_layer(task, depth) if args.layer is None else args.layer
        if not 0 <= layer <= depth:
            raise InputError(f"--layer {layer}: the model has {depth} layers; give 0 to {depth}")
        model = checkpoints.load_encoder(source, config, layer, **options)
    else:
        task = with_labels(task, {}, lambda: kept_heads.stored_labels(source, config, revision=revision))
        model, labels = checkpoints.load_model(head, source, config, task.labels, True, **options)
    predictor = prediction.predictor(head, labels, settings, training_args, tokenizer)
    return task, model, predictor, layer, checkpoint_hash(source, revision)


# --- The work -------------------------------------------------------------------------------------------------------


def take(output, attacked):
    """Lock the output folder; InputError where it is another tool's, or holds attacks on another model."""
    folder.earlier_manifest(output)
    for one in attacked:
        one.check_source()
    lock(output)
    (output / OWN).mkdir(exist_ok=True)


def unfinished(attacked):
    """Those of {plan: Attacked} that are still to be made, by what the first process sees."""
    names = launching.on_main(lambda: [plan for plan, one in attacked.items() if not one.finished()])
    return {plan: attacked[plan] for plan in names}


def attack_examples(plan, victim, editor, texts, numbers):
    """{number: outcome} of the examples `numbers`, which processes share."""
    rank, world = launching.distributed()
    examples = []
    for number in numbers[rank::world]:
        name = texts[number][0].name
        examples.append(search.Example(number, name, texts[number], editor.candidates(texts[number], name)))
    search.search(examples, plan, victim)
    return dict(sorted(gather_object([(one.number, folder.outcome(one, victim.words)) for one in examples])))


def copy(task, args, output, conditions, files):
    """Copy what belongs to the attacked files, retrieval's English sides; returns what the manifest says of them."""
    copied = []
    for condition in conditions:
        for code in files if "test_english" in task.files else ():
            source = path_of(task, args.data_dir, "test_english", code)[0]
            path = source.relative_to(args.data_dir).as_posix()
            with replacing(output / condition / path) as temporary:
                shutil.copyfile(source, temporary)
            copied.append({"condition": condition, "path": path, "sha256": sha256(source)})
    return copied


if __name__ == "__main__":
    main()
