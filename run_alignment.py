"""Measure how well an encoder's languages line up with English, layer by layer, and what noise does to that.

  python run_alignment.py --data_dir data/parallel/ntrex --model_name_or_path xlm-roberta-large \\
      --output_dir outputs/align-direct
  python run_alignment.py --data_dir data/parallel/ntrex --model_name_or_path outputs/mnli \\
      --output_dir outputs/align-mnli --conditions keyboard-2=noised/keyboard-2 swap-2=noised/swap-2
  python run_alignment.py --data_dir data/xtreme/tatoeba --languages de hi sw --words ...
  torchrun --nproc_per_node 8 run_alignment.py ...

Reads parallel text, line i the same sentence in every file: <lang>.txt, or a folder of Tatoeba, BUCC, FLORES or NTREX;
and a checkpoint folder or Hub id: a public one, phase 2's, or a fine-tuned one, whose encoder is taken. Metrics,
intervals and what it writes: docs/alignment.md. Copy with it: alignment/ common/ heads/ metrics.py tasks.py.
"""

import logging
import os
import sys

from common.arguments import check_least, encoder_parser, parse, parse_conditions, truthy
from common.files import InputError, sha256
from common.recovery import guarded, stop_requested, stopped
from common.run_record import checkpoint_hash
from common.text import aligned, show
from tasks import LANGUAGES, TARGETS

logger = logging.getLogger("xtreme")

PROTOCOL = TARGETS["tatoeba"]  # whose layer and longest input are the defaults
CARD = """How sentences of each language line up with their {} translations in this encoder, at every layer. Below:
percent of sentences whose nearest neighbor by CSLS is their translation."""


def load_libraries():
    """torch and transformers take seconds to import: only now that flags and files are known to be right."""
    global Aligner, Cells, Encoder, checkpoints, launching, layer_of, lines, parallel
    global retrieval, session, training_arguments, with_words
    from alignment import lines
    from alignment.aligner import Aligner
    from alignment.records import Cells
    from alignment.states import Encoder
    from alignment.words import layer_of, with_words
    from common import checkpoints, launching, session, training_arguments
    from heads import parallel, retrieval


def build_parser():
    parser = encoder_parser("run_alignment.py", __doc__)
    add = parser.add_argument
    add("--data_dir", required=True, help="folder of parallel text, clean")
    add("--model_name_or_path", required=True, help="folder or Hub id of the encoder, e.g. of run_intermediate.py")
    add("--languages", nargs="+", action="extend", help="languages to measure (default: all that the folder has)")
    add(
        "--conditions",
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="noised copies of the data, from perturb.py; the clean text is measured in any case",
    )
    add("--pivot", default="en", help="the language that the others are aligned with (default: en)")
    add("--layers", nargs="+", default=["all"], help="hidden_states indices to measure (default: all, 0 to the last)")
    add("--max_lines", type=int, help="use the first N lines, so that all languages have as many (default: all)")
    add("--pooling", choices=("all", "inner"), default="all", help="mean over all tokens, or without <s> and </s>")
    add("--both_sides", action="store_true", help="noised conditions also read the pivot from the noised folder")
    add("--words", action="store_true", help="also link words with the pivot's, on clean and noised text")
    add("--segmented", nargs="+", default=[], help="--words: languages whose files have spaces between words")
    add("--random_baseline", action="store_true", help="measure random weights of the same configuration beside it")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "finished cells are kept"):
        conditions = check_arguments(args, given)
        load_libraries()
        run(parser, args, trainer_argv, given, conditions, argv)


def run(parser, args, trainer_argv, given, conditions, argv):
    """The story: settings, folder, text, encoder, cells, table."""
    training_arguments.set_up_logging()
    flags = [
        *training_arguments.task_defaults(PROTOCOL, given, launching.world_size()),
        *launching.launch_flags(given),
    ]
    training_args = training_arguments.trainer_arguments(parser, trainer_argv, flags)
    launching.join_processes(training_args)
    length = args.max_seq_length or PROTOCOL.defaults.max_seq_length
    origins = training_arguments.trainer_origins(training_args, flags, given)
    origins += [("max_seq_length", length, "given" if args.max_seq_length else "Tatoeba's default")]

    # The folder is new, or holds measurements of this very model.
    parent_hash = checkpoint_hash(args.model_name_or_path, args.model_revision)
    this = session.Session(training_args, "alignment", None, args.model_name_or_path, parent_hash)

    # All files are read, and so checked, before a model loads.
    files = parallel.choose(parallel.find_files(args.data_dir, args.pivot), args.languages, args.data_dir)
    linked = with_words(list(files), args.languages, args.segmented) if args.words else []
    pairs, kept = lines.read_pairs(files, args.max_lines)
    noised = parallel.find_noised(files, conditions, args.data_dir, args.both_sides)
    texts = {code: lines.read_noised(own, files[code], kept[code]) for code, own in noised.items()}

    # One model; random weights of its configuration where they are asked for.
    tokenizer = checkpoints.load_tokenizer(args.model_name_or_path, args.model_revision)
    config = checkpoints.load_config(args.model_name_or_path, tokenizer, length, args.model_revision)
    layers = chosen_layers(args.layers, config)
    depth = max(*layers, layer_of(config.num_hidden_layers) if args.words else 0)
    options = {"revision": args.model_revision, "attn_implementation": args.attn_implementation}
    model = checkpoints.load_encoder(args.model_name_or_path, config, depth, **options)
    models = [model, checkpoints.random_encoder(config, training_args.seed)] if args.random_baseline else [model]
    seed = training_args.seed
    aligners = [
        Aligner(Encoder(one, tokenizer, length, layers, args.pooling, training_args), seed, linked) for one in models
    ]

    # From here on the folder is ours.
    records = {
        name: {"folder": str(folder), **parallel.noise_of(folder, args.data_dir, files)}
        for name, folder in conditions.items()
    }
    this.open("run_alignment.py", argv, args, origins, {"clean": {"folder": args.data_dir}, **records})
    cells = Cells(this.folder)
    settings = [parent_hash, length, layers, linked, args.pooling, args.pivot, args.both_sides, args.random_baseline]
    settings += launching.precision(training_args)
    with this.timed("measure"):
        for code in files:
            inputs = inputs_of(files[code], noised[code], kept[code], [seed, *settings])
            measure_language(aligners, code, pairs[code], texts[code], inputs, args.both_sides, cells, this)
    if this.is_main:
        cells.write_results()
    protocol = retrieval.default_layer(PROTOCOL, config.num_hidden_layers)
    tables = result_tables(cells, list(files), ["clean", *conditions], layers, protocol)
    this.close(CARD.format(args.pivot), tables)
    if this.is_main:
        show(f"\n{tables}\n\nresults      {this.results.path}")


# --- What is asked for ----------------------------------------------------------------------------------------------


def check_arguments(args, given):
    """{condition: folder} of the noised copies; raises InputError for what is wrong before anything loads."""
    for stage in ("do_train", "do_eval"):
        if truthy(given.get(stage)):
            raise InputError(f"--{stage}: nothing is trained here; leave it out")
    if "output_dir" not in given:
        raise InputError("--output_dir is missing: name a new folder for this run, e.g. outputs/alignment")
    check_least(args, max_seq_length=16, max_lines=1)
    if not os.path.isdir(args.data_dir):
        raise InputError(f"--data_dir {args.data_dir}: no such folder; give a folder of parallel text")
    if args.layers != ["all"] and not all(layer.isdecimal() for layer in args.layers):
        raise InputError(f"--layers {' '.join(args.layers)}: give hidden_states indices (0 the embeddings) or 'all'")
    conditions = parse_conditions(args.conditions, args.data_dir) if args.conditions else {}
    if os.path.realpath(conditions.pop("clean", args.data_dir)) != os.path.realpath(args.data_dir):
        raise InputError(f"--conditions clean=…: the clean text is --data_dir {args.data_dir}; leave clean out")
    if args.segmented and not args.words:
        raise InputError(
            f"--segmented {' '.join(args.segmented)}: only --words looks at words; add it, or leave it out"
        )
    if args.both_sides and not conditions:
        raise InputError("--both_sides: there is no noised text; give --conditions, or leave it out")
    return conditions


def chosen_layers(asked, config):
    """hidden_states indices to measure."""
    depth = config.num_hidden_layers
    if asked == ["all"]:
        return list(range(depth + 1))
    if too_high := next((layer for layer in asked if int(layer) > depth), None):
        raise InputError(f"--layers {too_high}: the model has {depth} layers; give 0 to {depth} or 'all'")
    return sorted({int(layer) for layer in asked})


# --- Cells ----------------------------------------------------------------------------------------------------------


def inputs_of(clean, noised, kept, settings):
    """{condition: {"data": hash of a language's lines, "inputs": of all that its cell is computed from}}; `clean` and
    `noised` {condition}: Files.
    """
    inputs = {}
    for condition, own in {"clean": (), **noised}.items():
        data = sha256(kept, *(path for path in (*clean, *own) if path))
        inputs[condition] = {"data": data, "inputs": sha256(*settings, data)}
    return inputs


def measure_language(aligners, code, pairs, texts, inputs, both_sides, cells, this):
    """One language, clean and under every condition that has it; cells finished from the same `inputs` are skipped."""
    missing = launching.on_main(
        lambda: [name for name in inputs if not cells.finished(code, name, inputs[name]["inputs"])]
    )
    if not missing:
        logger.info("%s: finished before, skipped", code)
        return
    if launching.any_process(stop_requested()):
        if this.is_main:
            cells.write_results()
        raise stopped("finished cells are kept")
    noised = {name: texts[name] for name in missing if name != "clean"}
    measured = [aligner.language(code, pairs, noised, both_sides) for aligner in aligners]
    for (condition, estimates, arrays), *random in zip(*measured, strict=True):
        if this.is_main:
            floors = random[0][1] if random else None
            cells.add(code, condition, estimates, arrays, floors, **this.provenance, **inputs[condition])
    logger.info("%s: %s", code, " ".join(missing))


# --- The table ------------------------------------------------------------------------------------------------------


def result_tables(cells, languages, conditions, layers, protocol):
    """Top-1 by CSLS: a line per language at one layer, a column per condition; then means over languages by layer."""
    shown = protocol if protocol in layers else layers[-1]
    values = {}  # (language, condition, layer) -> percent
    for code in languages:
        for condition in conditions:
            rows = cells.rows(code, condition)
            by_layer = {row["layer"]: row["value"] for row in rows if row["metric"] == "top1_csls"}
            values |= {(code, condition, layer): value for layer, value in by_layer.items()}
    groups = {code: [code] for code in languages}
    latin = [code for code in languages if code in LANGUAGES and LANGUAGES[code].script == "Latn"]
    other = [code for code in languages if code in LANGUAGES and code not in latin]
    groups |= {f"mean of {len(own)} {name}": own for name, own in (("Latin", latin), ("non-Latin", other)) if own}

    def mean(codes, condition, layer):
        # over the languages that have every condition, or one operation's languages would stand against another's
        whole = [code for code in codes if all((code, name, layer) in values for name in conditions)] or codes
        own = [values[code, condition, layer] for code in whole if (code, condition, layer) in values]
        return f"{sum(own) / len(own):.1f}" if own else "-"

    table = [[f"layer {shown}", *conditions]]
    table += [[title, *(mean(codes, name, shown) for name in conditions)] for title, codes in groups.items()]
    by_layer = [["all languages", *conditions]]
    by_layer += [[f"layer {layer}", *(mean(languages, name, layer) for name in conditions)] for layer in layers]
    return "\n".join([*aligned(table), "", *aligned(by_layer)])


if __name__ == "__main__":
    main()
