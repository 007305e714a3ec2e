"""Score a folder of predictions in XTREME's submission format with metrics.py; print and save the scores.

    python score.py --predictions outputs/xnli/predictions/clean --data_dir data/xtreme --output_file scores.json
    python score.py --predictions submission --labels labels --benchmark xtreme-r

Reads predictions/<task>/test-<lang>.{tsv,json,jsonl}, and gold labels in the same layout (--labels: that of
google-research/xtreme's evaluate.py) or in XTREME's data layout (--data_dir). Writes --output_file:

    {task: {metric: average, "metric": task score, lang: {metric: value}},
     "groups": {group: value}, "overall": value or null,
     "missing": {task: {lang: why}}, "ignored": [what is no part of the benchmark]}

Copy with it: common/ heads/ metrics.py tasks.py.
"""

import io
import json
import os
import textwrap
from functools import partial
from pathlib import Path

from common.arguments import Parser
from common.files import InputError, write_json
from common.text import aligned, show
from heads import decode, head_of, path_of
from metrics import METRICS, family, main_score, score
from tasks import BENCHMARKS, TARGETS


class Missing(Exception):
    """Why a language of a task has no score."""


# --- Files


def read_text(path):
    """A file's text without a byte order mark, which would be part of its first label or no JSON."""
    return decode(path, Path(path).read_bytes(), "utf-8-sig")


def read_labels(path):
    """Stripped lines, blank ones too. Only \\n, \\r and \\r\\n end a line, as in Python's open()."""
    return [line.strip() for line in io.StringIO(read_text(path), newline=None)]


def read_tags(path):
    """Blank lines end sentences; each further blank line is a sentence without words."""
    sentences, sentence = [], []
    for tag in read_labels(path):
        if tag:
            sentence.append(tag)
        else:
            sentences.append(sentence)
            sentence = []
    return sentences + [sentence] if sentence else sentences


def read_pairs(path):
    return [tuple(line.split("\t")) for line in read_labels(path)]


def _parse(text, where):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON ({error}); is the file truncated?") from None


def read_choices(path):
    labels = []
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), start=1):
        row = _parse(line, f"{path}, line {number}")
        if not isinstance(row, dict) or "label" not in row:
            raise InputError(f'{path}, line {number}: {line.strip()!r} is not of the form {{"label": 0}}')
        labels.append(row["label"])
    return labels


def read_json(path, value_type):
    """{id: answer (str) or ranking (list)}, at the top or under "data"."""
    form, wanted = {str: ("answer", "text"), list: ("[entity, ...]", "list of entities")}[value_type]
    values = _parse(read_text(path), path)
    if isinstance(values, dict) and "data" in values:
        values = values["data"]
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object of the form {{id: {form}}}")
    for example, value in values.items():
        if not isinstance(value, value_type):
            raise InputError(f"{path}: {example!r} has {value!r}, which is not a {wanted}")
    return values


def read_questions(path):
    """SQuAD JSON -> [{"id", "answers": [text, ...]}]."""
    document, references = _parse(read_text(path), path), []
    try:
        for article in document["data"] if "data" in document else document:
            for question in (question for paragraph in article["paragraphs"] for question in paragraph["qas"]):
                texts = [answer["text"] for answer in question["answers"]]
                references.append({"id": question["id"], "answers": texts})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not SQuAD JSON (data > paragraphs > qas > id, answers > text): {error}") from None
    return references


READERS = {  # family -> how its label file is read; prediction files are read alike but for answers
    "label": read_labels,
    "choice": read_choices,
    "chunk": read_tags,
    "squad": read_questions,
    "mlqa": read_questions,
    "pairs": read_pairs,
    "ranking": partial(read_json, value_type=list),
    "average_precision": partial(read_json, value_type=list),
}


def read_predictions(task, path):
    return read_json(path, str) if READERS[METRICS[task]] is read_questions else READERS[METRICS[task]](path)


def gold_of_labels(labels_dir, record, language):
    path = Path(labels_dir, record.name, f"test-{language}.{family(record.name).suffix}")
    if not path.is_file():
        raise Missing("no label file")
    return READERS[METRICS[record.name]](path)


def gold_of_data(data_dir, record, language):
    """Gold labels as the head of the task reads them: of Tatoeba the line number, of BUCC the gold pairs."""
    if not path_of(record, data_dir, "test", language)[0].is_file():
        raise Missing("no test file")
    head = head_of(record)  # here: it loads `datasets`, which takes seconds
    rows = head.read(record, data_dir, "test", language)
    if record.kind == "dual_encoder":
        gold = head.targets(rows, head.read_pool(record, data_dir, data_dir))
    else:
        gold = rows["gold"] if record.kind == "retrieval" else head.references(rows)
    if gold is None:
        raise Missing("no labels")
    return [source for source, _ in gold] if record.name == "tatoeba" else gold


# --- A submission


def score_task(record, languages, predictions_dir, gold_of):
    """({metric: average, "metric": task score, lang: {metric: value}} or {}, {lang: why it is missing})."""
    name, scores, missing = record.name, {}, {}
    for language in languages:
        path = Path(predictions_dir, name, f"test-{language}.{family(name).suffix}")
        try:
            if not path.is_file():
                raise Missing("no prediction file")
            references = gold_of(record, language)
            scores[language] = score(name, references, read_predictions(name, path), language)
        except Missing as error:
            missing[language] = str(error)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    if not scores:
        return {}, missing
    first = next(iter(scores.values()))
    averages = {metric: _mean(values[metric] for values in scores.values()) for metric in first}
    return {**averages, "metric": main_score(name, averages), **scores}, missing


def _mean(values):
    values = list(values)
    return sum(values) / len(values)


def evaluate_folder(predictions_dir, labels_dir=None, benchmark="xtreme", data_dir=None):
    """Score a folder in XTREME's submission format against labels_dir (evaluate.py's layout) or data_dir (XTREME's).

    Returns the JSON that the module docstring shows. Averages are plain means over languages, groups and overall plain
    means over tasks; a task with missing languages keeps the average of the others and takes part in no group.
    """
    groups = BENCHMARKS[benchmark]
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    folders = sorted(path.name for path in Path(predictions_dir).iterdir() if path.is_dir())
    if not set(folders) & set(names):
        raise InputError(
            f"{predictions_dir}: no task folder of {benchmark} in it (found: {', '.join(folders) or 'none'}; tasks: "
            f"{', '.join(names)})"
        )
    gold_of = partial(gold_of_labels, labels_dir) if labels_dir else partial(gold_of_data, data_dir)
    by_task, missing = {}, {}
    for name in names:
        languages = TARGETS[name].languages[benchmark]
        scores, lacking = score_task(TARGETS[name], languages, predictions_dir, gold_of)
        by_task.update({name: scores} if scores else {})
        missing.update({name: lacking} if lacking else {})
    complete = {name: scores["metric"] for name, scores in by_task.items() if name not in missing}
    averages = {}
    for group, members in groups.items():
        if set(members) <= set(complete):
            averages[group] = _mean(complete[name] for name in members)
    overall = None if missing else _mean(complete.values())
    ignored = _ignored(predictions_dir, folders, names, benchmark)
    return {**by_task, "groups": averages, "overall": overall, "missing": missing, "ignored": ignored}


def _ignored(predictions_dir, folders, names, benchmark):
    """Folders and files of a submission that are no part of the benchmark."""
    ignored = [folder for folder in folders if folder not in names]
    for name in set(folders) & set(names):
        known = {f"test-{language}.{family(name).suffix}" for language in TARGETS[name].languages[benchmark]}
        ignored += [f"{name}/{path.name}" for path in Path(predictions_dir, name).iterdir() if path.name not in known]
    return sorted(ignored)


# --- The command line

METRIC_COLUMNS = ("exact_match", "f1", "precision", "recall", "accuracy", "map@20")


def table(summary, benchmark):
    """The scores as text: a line of averages per task, its score per language, what is missing, groups, overall."""
    scores = {name: summary[name] for group in BENCHMARKS[benchmark].values() for name in group if name in summary}
    used = set().union(*scores.values())
    columns = ["metric", *(metric for metric in METRIC_COLUMNS if metric in used)]
    lines = [["task", "score", *columns[1:], "languages"]]
    for name, averages in scores.items():
        values = [f"{averages[metric]:.2f}" if metric in averages else "" for metric in columns]
        total = len(TARGETS[name].languages[benchmark])
        scored = total - len(summary["missing"].get(name, {}))
        lines.append([name, *values, f"{scored}/{total}" + " incomplete" * (scored < total)])
    width = max(len(line[0]) for line in lines)
    text = [*aligned(lines, left=(0, len(columns) + 1)), ""]
    for name, of_task in scores.items():
        of_languages = {key: value for key, value in of_task.items() if isinstance(value, dict)}
        entries = [f"{language} {main_score(name, value):6.2f}" for language, value in of_languages.items()]
        text += _wrapped(name, entries, width)
    text.append("")
    for name, reasons in summary["missing"].items():
        for reason in dict.fromkeys(reasons.values()):
            languages = [language for language, why in reasons.items() if why == reason]
            if len(languages) == len(TARGETS[name].languages[benchmark]):
                languages = ["all languages"]
            text += _wrapped("missing", [f"{name} ({reason}):", *languages], width)
    if summary["ignored"]:
        text += _wrapped("ignored", summary["ignored"], width)
    groups = [f"{group} {value:.2f}" for group, value in summary["groups"].items()]
    overall = "none: the benchmark is incomplete" if summary["overall"] is None else f"{summary['overall']:.2f}"
    text += _wrapped("groups", groups or ["none is complete"], width) + _wrapped("overall", [overall], width)
    return "\n".join(text)


def _wrapped(name, entries, width):
    """`name  entry  entry ...`, entries kept whole."""
    text = "  ".join(entry.replace(" ", "\0") for entry in entries)
    lines = textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)
    names = [name] + [""] * len(lines)
    return [f"{name:<{max(width, 7)}}  {line}".replace("\0", " ") for name, line in zip(names, lines)]


def build_parser():
    parser = Parser(prog="score.py", description=__doc__)
    parser.add_argument(
        "--predictions", type=Path, required=True, help="folder with <task>/test-<lang>.{tsv,json,jsonl}"
    )
    gold = parser.add_mutually_exclusive_group(required=True)
    gold.add_argument("--data_dir", type=Path, help="gold labels: XTREME's data layout")
    gold.add_argument(
        "--labels", type=Path, help="gold labels: the layout of the predictions, as evaluate.py reads them"
    )
    parser.add_argument("--output_file", type=Path, help="JSON file to write")
    parser.add_argument(
        "--benchmark", choices=list(BENCHMARKS), default="xtreme", help="which tasks and languages (default: xtreme)"
    )
    return parser


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    for flag in ("predictions", "data_dir", "labels"):
        folder = getattr(args, flag)
        if folder is not None and not os.path.isdir(folder):
            parser.error(f"--{flag} {folder}: no such folder; check the path")
    try:
        summary = evaluate_folder(args.predictions, args.labels, args.benchmark, args.data_dir)
    except InputError as error:
        parser.error(error)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again\n")
    show(table(summary, args.benchmark))
    if args.output_file:
        try:
            write_json(args.output_file, summary)
        except OSError as error:
            problem = f"--output_file {args.output_file}: cannot be written ({error.strerror}); choose another"
            parser.exit(1, f"{parser.prog}: error: {problem}\n")
        show(f"\nscores written to {args.output_file}")


if __name__ == "__main__":
    main()
