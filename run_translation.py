"""Train a translation model into English on a frozen or trained encoder, and translate clean and noised text.

  python run_translation.py --model_name_or_path outputs/mnli --data_dir data/parallel/anki --freeze encoder \\
      --train_languages de es fr ru zh --output_dir outputs/mnli-nmt --do_train --do_eval --do_predict \\
      --conditions clean=data/xtreme/tatoeba swap-1=noised/swap-1 swap-3=noised/swap-3
  python run_translation.py --model_name_or_path outputs/mnli-nmt --data_dir data/parallel/anki --freeze embeddings \\
      --output_dir outputs/mnli-nmt2 --do_train --do_eval
  python run_translation.py --model_name_or_path outputs/mnli-nmt --output_dir outputs/mnli-nmt-flores --do_predict \\
      --conditions clean=data/parallel/flores/devtest
  torchrun --nproc_per_node 8 run_translation.py ...

Reads <split>.<lang>-en.<lang> beside .en, or test sets in the forms of Tatoeba, FLORES, NTREX and MTNT; and an encoder
folder or Hub id, or a folder of its own. What it writes is described in docs/translation.md. Copy with it: common/
ds_configs/ heads/ metrics.py tasks.py translation/.
"""

import logging
import sys
from pathlib import Path

from common.arguments import (
    check_codes,
    check_least,
    check_stages,
    encoder_parser,
    parse,
    parse_conditions,
    truthy,
)
from common.files import InputError, sha256, write_json_lines, write_text
from common.recovery import Failure, guarded, resume_point, stop_requested, stopped
from common.results import save_metrics, table
from common.run_record import checkpoint_hash, read_run
from common.task_records import TRANSLATION
from common.text import show

logger = logging.getLogger("xtreme")

FREEZE, INITS, VOCABULARIES = ("encoder", "embeddings", "nothing"), ("random", "encoder"), ("trim", "full")
# SixT+'s scripts: how a decoder is trained on a frozen encoder, and how both go on together
STAGES = {
    "encoder": {"learning_rate": "5e-4", "warmup_steps": "4000", "max_steps": "30000"},
    "other": {"learning_rate": "1e-4", "warmup_steps": "10", "max_steps": "5000"},
}
RECIPE = {
    "lr_scheduler_type": "inverse_sqrt",
    "adam_beta2": "0.98",
    "max_grad_norm": "2.0",
    "label_smoothing_factor": "0.1",
}
OWN_DECISIVE = """
freeze decoder_layers decoder_init decoder_seed max_tokens pair_temperature target_vocabulary random_encoder
max_train_samples max_eval_samples max_seq_length train_languages
""".split()
DECODER = {
    "decoder_layers": 6,
    "decoder_init": "random",
    "decoder_seed": 0,
    "target_vocabulary": "trim",
}  # of a new one
CARD = """Translates into English; trained on {}. With transformers alone, `folder` being this one:

```python
from transformers import AutoTokenizer, EncoderDecoderModel

model = EncoderDecoderModel.from_pretrained(folder)
source, target = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(f"{{folder}}/target")
print(target.batch_decode(model.generate(**source(["Guten Morgen!"], return_tensors="pt")), skip_special_tokens=True))
```

In every language below, percent:"""


def load_libraries():
    """torch and transformers take seconds to import: only now that flags and files are known to be right."""
    global Collapse, Translator, TranslationModel, TranslationTrainer, checkpoints, data, launching, model_files
    global parallel, prediction, rehearse, scores, session, training_arguments, vocabulary
    from common import checkpoints, launching, prediction, session, training_arguments
    from common.trainer import Collapse, rehearse
    from heads import parallel
    from translation import data, scores, vocabulary
    from translation import model as model_files
    from translation.generation import Translator
    from translation.model import TranslationModel
    from translation.trainer import TranslationTrainer


def build_parser():
    parser = encoder_parser("run_translation.py", __doc__)
    add = parser.add_argument
    add("--model_name_or_path", required=True, help="folder or Hub id of an encoder, or a folder of this script")
    add("--data_dir", help="folder of <split>.<lang>-en.<lang> and .en to train and select on")
    add("--train_languages", nargs="+", help="languages to train and select in (default: all that data_dir has)")
    add("--languages", nargs="+", action="extend", help="languages to translate (default: all of the test set)")
    add(
        "--conditions",
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="clean=DIR, the test set (default: DATA_DIR), and noised copies of it from perturb.py",
    )
    add("--freeze", choices=FREEZE, default="encoder", help="what is not trained (default: encoder, with embeddings)")
    add("--decoder_layers", type=int, help="of a new decoder (default: 6)")
    add("--decoder_init", choices=INITS, help="its layers: random (default), or copied from the encoder")
    add("--decoder_seed", type=int, help="that its random weights are drawn from (default: 0)")
    add("--target_vocabulary", choices=VOCABULARIES, help="trim: pieces of the English training text alone (default)")
    add("--max_tokens", type=int, default=4096, help="pieces in a micro-batch with padding, both sides")
    add("--pair_temperature", type=float, default=5.0, help="pairs are drawn by size ** (1 / temperature)")
    add("--num_beams", type=int, default=5, help="of the search on test sets; 1 is greedy, as on dev sets always")
    add("--n_best", type=int, default=1, help="also write so many translations of every test line, best first")
    add("--random_encoder", action="store_true", help="baseline: draw the encoder's weights from --seed")
    add("--max_train_samples", type=int, help="use the first N training pairs of a language")
    add("--max_eval_samples", type=int, default=500, help="use the first N dev pairs of a language")
    add("--max_predict_samples", type=int, help="use the first N test lines of a language")
    add("--comet_inputs", action="store_true", help="write comet_inputs.jsonl, for COMET in its own environment")
    add("--comet_scores", metavar="FILE", help="read COMET's scores, one per line of comet_inputs.jsonl")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args, trainer_argv, given = parse(parser, argv)
    with guarded(parser, "checkpoints and finished cells are kept"):
        conditions = check_arguments(args, given)
        load_libraries()
        run(parser, args, trainer_argv, given, conditions, argv)


def run(parser, args, trainer_argv, given, conditions, argv):
    """The story: settings, folder, text, model, training, translations, table."""
    training_arguments.set_up_logging()
    training_args, origins = resolve_arguments(parser, args, trainer_argv, given)
    launching.join_processes(training_args)

    # All files are read, and so checked, before a model loads. The folder is new, or holds this very run.
    pairs, dev, files = read_training(args, training_args)
    parent_hash = checkpoint_hash(args.model_name_or_path, args.model_revision)
    identity = None
    if training_args.do_train:
        own = {name: getattr(args, name) for name in OWN_DECISIVE}
        identity = session.training_identity(args, training_args, parent_hash, files, own)
    this = session.Session(training_args, TRANSLATION.name, identity, args.model_name_or_path, parent_hash)
    clean = conditions.pop("clean", None)
    tests = data.read_tests(clean, args.languages, conditions, args.max_predict_samples) if clean else {}

    # A trained model goes on; else a decoder is put on the encoder.
    source = str(this.folder) if this.trained else args.model_name_or_path
    model, tokenizer, target = make_model(source, args, training_args, pairs, origins)
    for name, code in tests:
        lines, _, path, _ = tests[name, code]
        if name == "clean":
            data.check_script(tokenizer, lines, path, source)
    for code, (lines, _) in pairs.items():
        data.check_script(tokenizer, lines, f"--train_languages {code}", source)
    translator = Translator(model, tokenizer, target, training_args, args.max_seq_length)
    whole = TranslationModel(model, args.freeze)
    features = None
    if this.trains:
        features = data.encode_pairs(pairs, tokenizer, target, args.max_seq_length)
        data.check_number(len(features), training_args.gradient_accumulation_steps * training_args.world_size)
        rehearse(whole, training_args, features)

    # From here on the folder is ours.
    records = {"clean": {"folder": str(clean)}} if clean else {}
    records |= {name: {"folder": folder, **noise_of(clean, folder, args)} for name, folder in conditions.items()}
    this.open("run_translation.py", argv, args, origins, records)
    this.note(signatures=scores.signatures())
    if this.trained:
        logger.info("%s: training is finished, going on with it", this.folder)
    train(whole, translator, training_args, args, features, dev, this)
    checkpoint = this.finish_training() if identity else parent_hash
    outputs = {}
    if tests:
        with this.timed("predict"):
            prediction.prepare_to_predict(model, training_args)
            outputs = translate_cells(translator, tests, args, checkpoint, this)
        if this.is_main:
            compare(outputs, tests, records, args, this)
    names = list(dict.fromkeys(name for name, _ in tests))
    shown = table(this.results, TRANSLATION, sorted({code for _, code in tests}), names, ("chrf++", "bleu"))
    this.close(CARD.format(", ".join(trained_on(this.record))), shown if tests else "")
    if tests and this.is_main:
        show(f"\n{shown}\n\ntranslations {this.folder / 'predictions'}\nresults      {this.results.path}")


# --- What is asked for ----------------------------------------------------------------------------------------------


def check_arguments(args, given):
    """{condition: folder} to translate, clean first; raises InputError for what is wrong before anything loads."""
    stages = check_stages(args, given, ("do_train", "do_eval", "do_predict"), "nmt")
    check_least(args, decoder_layers=1, max_tokens=64, num_beams=1, max_predict_samples=1, decoder_seed=0)
    check_codes(args.languages)
    if not 1 <= args.n_best <= args.num_beams:
        raise InputError(f"--n_best {args.n_best}: must be from 1 to --num_beams {args.num_beams}")
    if not 1 <= args.pair_temperature <= 1e6:
        raise InputError(f"--pair_temperature {args.pair_temperature}: 1 is in proportion to size, large ones alike")
    for name, why in (
        ("per_device_train_batch_size", "batches are made by tokens; give --max_tokens"),
        ("train_sampling_strategy", "batches are made by tokens; leave it out"),
        ("dataloader_drop_last", "no batch is partly filled; leave it out"),
    ):
        if name in given:
            raise InputError(f"--{name}: {why}")
    if {"do_train", "do_eval"} & set(stages) and not args.data_dir:
        raise InputError("--data_dir is missing: name the folder of <split>.<lang>-en.<lang> files")
    if args.comet_scores and "do_predict" not in stages:
        raise InputError("--comet_scores: belongs to translations; add --do_predict")
    args.max_seq_length = args.max_seq_length or TRANSLATION.defaults.max_seq_length
    if "do_predict" not in stages:
        return {}
    if not args.data_dir and not args.conditions:
        raise InputError("--conditions is missing: name the test set, clean=DIR")
    conditions = parse_conditions(args.conditions, args.data_dir)
    if "clean" not in conditions and not args.data_dir:
        raise InputError("--conditions: name the clean test set too, clean=DIR")
    return {"clean": args.data_dir, **conditions}


def resolve_arguments(parser, args, trainer_argv, given):
    """TrainingArguments, and where every value comes from: given, or SixT+'s recipe."""
    fixed = {
        "per_device_train_batch_size": "1",
        "gradient_accumulation_steps": "1",
        "train_sampling_strategy": "random",
    }
    recipe, stage = dict(RECIPE), STAGES["encoder" if args.freeze == "encoder" else "other"]
    if {"max_steps", "num_train_epochs"} & given.keys():
        recipe |= {"learning_rate": stage["learning_rate"], "warmup_steps": "0.1"}
    else:
        recipe |= stage
    ours = [(name, value, "a micro-batch at a time") for name, value in fixed.items() if name not in given]
    if truthy(given.get("do_train")):
        ours += [(name, value, "SixT+'s scripts") for name, value in recipe.items() if name not in given]
    known = given | {name: value for name, value, _ in ours}
    theirs = training_arguments.task_defaults(TRANSLATION, known, launching.world_size())
    flags = [*ours, *theirs, *launching.launch_flags(given)]
    training_args = training_arguments.trainer_arguments(parser, trainer_argv, flags)
    metric = (training_args.metric_for_best_model or "chrf++").removeprefix("eval_")
    if metric not in ("chrf++", "bleu"):
        raise InputError(f"--metric_for_best_model {metric}: the metrics are bleu, chrf++; choose one of them")
    own = [*OWN_DECISIVE, "num_beams"]
    origins = [(name, getattr(args, name), "given or default") for name in own if getattr(args, name) is not None]
    return training_args, [*training_arguments.trainer_origins(training_args, flags, given), *origins]


# --- Text and model -------------------------------------------------------------------------------------------------


def read_training(args, training_args):
    """({language: training pairs}, {language: dev pairs}, the files behind them)."""
    sets, files = {"train": {}, "dev": {}}, []
    limits = {"train": args.max_train_samples, "dev": args.max_eval_samples}
    for split, wanted in (("train", training_args.do_train), ("dev", training_args.do_eval)):
        of_split = data.training_files(args.data_dir, split, args.train_languages) if wanted else {}
        files += [path for own in of_split.values() for path in own[:2]]
        for code, own in of_split.items():
            sets[split][code] = tuple(lines[: limits[split]] for lines in data.read_pairs(own))
    return sets["train"], sets["dev"], files


def make_model(source, args, training_args, pairs, origins):
    """(EncoderDecoderModel, the source's tokenizer, the target's) to train or to translate with."""
    options = {"revision": args.model_revision, "attn_implementation": args.attn_implementation}
    if model_files.is_translation(source, args.model_revision):
        begun = [name for name in (*DECODER, "random_encoder") if getattr(args, name) not in (None, False)]
        if begun and Path(source).resolve() != Path(training_args.output_dir).resolve():
            raise InputError(f"--{begun[0]}: {source} has a decoder already; leave it out, or give an encoder")
        return model_files.load(source, args.max_seq_length, **options)
    if not training_args.do_train:
        raise InputError(f"--model_name_or_path {source}: an encoder without a decoder; train one with --do_train")
    own = {name: default if getattr(args, name) is None else getattr(args, name) for name, default in DECODER.items()}
    tokenizer = checkpoints.load_tokenizer(source, args.model_revision)
    config = checkpoints.load_config(source, tokenizer, args.max_seq_length, args.model_revision)
    model_files.check_encoder(config, source)
    if args.random_encoder:
        encoder = checkpoints.random_encoder(config, training_args.seed)
    else:
        encoder, _ = checkpoints.load_whole_encoder(source, config, dtype=model_files.FLOAT, **options)
    target, kept = tokenizer, None
    if own["target_vocabulary"] == "trim":
        target, kept = vocabulary.trimmed(tokenizer, [line for _, english in pairs.values() for line in english])
    origins += [(name, value, "of the new decoder") for name, value in own.items() if getattr(args, name) is None]
    origins.append(("target pieces", len(target), own["target_vocabulary"]))
    model = model_files.build(encoder, own["decoder_layers"], own["decoder_init"], own["decoder_seed"], target, kept)
    return model, tokenizer, target


def noise_of(clean, folder, args):
    """What perturb.py's manifest says of a noised copy of the test set."""
    return parallel.noise_of(folder, clean, data.test_files(clean, args.languages))


# --- Training -------------------------------------------------------------------------------------------------------


def train(whole, translator, training_args, args, features, dev, this):
    """Train on `features`, score the pairs `dev`; either may be empty."""
    evaluate_dev = dev_evaluator(translator, dev) if dev else None
    trainer = TranslationTrainer(
        model=whole,
        args=training_args,
        train_dataset=data.Batches(features) if features is not None else None,
        eval_dataset=dev or None,
        data_collator=data.TranslationCollator(*translator.special_ids()),
        processing_class=translator.tokenizer,
        target_tokenizer=translator.target,
        max_tokens=args.max_tokens,
        temperature=args.pair_temperature,
        evaluate_dev=evaluate_dev,
    )
    if features is None:
        whole.to(training_args.device)
    else:
        with this.timed("train"):
            checkpoint = launching.on_main(lambda: resume_point(this.folder, training_args.resume_from_checkpoint))
            try:
                outcome = trainer.train(resume_from_checkpoint=checkpoint)
            except Collapse as collapse:
                rate = training_args.learning_rate / 2
                raise Failure(f"{collapse}; try --learning_rate {rate:g} in a new --output_dir") from None
            trainer.save_final(outcome.metrics)
        logger.info("saved to %s", this.folder)
    if evaluate_dev is not None:
        with this.timed("eval"):
            values = trainer.evaluate()
            trainer.log_metrics("eval", values)
            if this.is_main:
                save_metrics(this.folder, "eval", values)


def dev_evaluator(translator, dev):
    """A function () -> ({metric: mean over pairs, a fraction}, number of lines): greedy translations of clean dev."""

    def evaluate_dev():
        lines = [line for sources, _ in dev.values() for line in sources]
        outputs, begin, values = first(translator.translate(lines, 1, "dev")), 0, []
        for sources, english in dev.values():
            own = outputs[begin : begin + len(sources)]
            values.append(scores.metrics.score(TRANSLATION.name, english, own))
            begin += len(sources)
        means = {name: sum(one[name] for one in values) / len(values) / 100 for name in values[0]}
        return means, len(lines)

    return evaluate_dev


def trained_on(record):
    """The languages of the training that a model card names."""
    while record and not (record.get("training") or {}).get("train_languages"):
        parent = record.get("parent") or {}
        record = read_run(parent["path"]) if parent.get("path") else {}
    return record["training"]["train_languages"] if record else ["all languages of its data"]


# --- Translation ----------------------------------------------------------------------------------------------------


def first(lists):
    return [own[0] for own in lists]


def translate_cells(translator, tests, args, checkpoint, this):
    """{(condition, language): outputs}: every cell; one that was finished from the same inputs is read back."""
    settings = [args.num_beams, args.max_seq_length, launching.precision(translator.args), args.max_predict_samples]
    settings += [args.n_best] * (args.n_best > 1)
    outputs = {}
    for (condition, code), (sources, english, _, read) in tests.items():
        inputs = sha256(checkpoint, *settings, read)
        path = this.results.prediction_path(TRANSLATION, code, condition)
        if this.results.finished(TRANSLATION, code, condition, inputs):
            logger.info("translation %s %s: finished before, skipped", code, condition)
            outputs[condition, code] = path.read_text(encoding="utf-8").split("\n")[:-1]
            continue
        if launching.any_process(stop_requested()):
            raise stopped("finished cells are kept")
        lists = translator.translate(sources, args.num_beams, f"{code} {condition}", args.n_best)
        outputs[condition, code] = own = first(lists)
        if this.is_main:
            values, counts = scores.score(sources, own, english)
            write_text(path, "".join(f"{line}\n" for line in own))
            if args.n_best > 1:
                write_json_lines(path.with_suffix(".nbest.jsonl"), lists)
            about = {**this.provenance, "data": read}
            this.results.add(TRANSLATION, code, condition, values, counts, len(own), inputs, **about)
    return outputs


def compare(outputs, tests, conditions, args, this):
    """robustness.jsonl of all cells, and COMET's part."""
    values = {}
    for condition, code in outputs:
        cell = this.results.cell(TRANSLATION, code, condition)
        values[condition, code] = {entry["metric"]: entry["value"] for entry in cell}
    write_json_lines(this.folder / "robustness.jsonl", scores.robustness(outputs, values, conditions))
    texts = {key: (tests["clean", key[1]][0], own, tests[key][1]) for key, own in outputs.items()}
    if args.comet_inputs:
        scores.write_comet_inputs(this.folder / "comet_inputs.jsonl", texts)
    if args.comet_scores:
        for (condition, code), own in scores.read_comet_scores(Path(args.comet_scores), texts).items():
            this.results.add_column(TRANSLATION, code, condition, "comet", own)


if __name__ == "__main__":
    main()
