"""Score a folder of predictions in XTREME's submission format with metrics.py; print and save the scores.

    python score.py --predictions outputs/xnli/predictions/clean --data_dir data/xtreme --output_file scores.json
    python score.py --predictions submission --labels labels --benchmark xtreme-r
    python score.py --predictions outputs/*/predictions/clean --data_dir data/xtreme --benchmark xtreme-r

Reads predictions/<task>/test-<lang>.{tsv,json,jsonl}, each task in one of the folders, and gold labels in the same
layout (--labels: that of google-research/xtreme's evaluate.py) or in XTREME's data layout (--data_dir). Writes
--output_file:

    {task: {metric: average, "metric": task score, lang: {metric: value}},
     "groups": {group: value}, "overall": value or null,
     "missing": {task: {lang: why}}, "ignored": [what is no part of the benchmark],
     "languages": [those of --languages], where it is given}

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
from common.text import aligned, nearest, show
from heads import decode, head_of, path_of
from metrics import METRICS, family, main_score, score
from tasks import BENCHMARKS, LANGUAGES, TARGETS


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


def task_folders(folders):
    """{task: its folder}; InputError where two of the folders have it."""
    tasks = {}
    for path in (path for folder in folders for path in sorted(Path(folder).iterdir()) if path.is_dir()):
        if path.name in tasks:
            raise InputError(f"--predictions: {tasks[path.name]} and {path} are both of {path.name}; leave one out")
        tasks[path.name] = path
    return tasks


def languages_of(name, benchmark, chosen):
    """A task's languages in a benchmark, or those of them that are chosen."""
    return [code for code in TARGETS[name].languages[benchmark] if not chosen or code in chosen]


def score_task(record, languages, folder, gold_of):
    """({metric: average, "metric": task score, lang: {metric: value}} or {}, {lang: why it is missing})."""
    name, scores, missing = record.name, {}, {}
    for language in languages:
        path = Path(folder, f"test-{language}.{family(name).suffix}")
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


def evaluate_folder(predictions, labels_dir=None, benchmark="xtreme", data_dir=None, chosen=None):
    """Score folders in XTREME's submission format against labels_dir (evaluate.py's layout) or data_dir (XTREME's).

    Returns the JSON that the module docstring shows. Averages are plain means over languages (all of the benchmark, or
    those that are `chosen`), groups and overall plain means over tasks; a task with missing languages keeps the
    average of the others and takes part in no group, and there is no overall score without it.
    """
    groups = BENCHMARKS[benchmark]
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    predictions = [predictions] if isinstance(predictions, str | Path) else predictions
    folders = task_folders(predictions)
    if not set(folders) & set(names):
        raise InputError(
            f"{' '.join(map(str, predictions))}: no task folder of {benchmark} in it (found: "
            f"{', '.join(sorted(folders)) or 'none'}; tasks: {', '.join(names)})"
        )
    gold_of = partial(gold_of_labels, labels_dir) if labels_dir else partial(gold_of_data, data_dir)
    by_task, missing = {}, {}
    for name in names:
        languages = languages_of(name, benchmark, chosen)
        scores, lacking = score_task(TARGETS[name], languages, folders.get(name, Path(predictions[0], name)), gold_of)
        lacking = lacking if languages else dict.fromkeys(TARGETS[name].languages[benchmark], "none of --languages")
        by_task.update({name: scores} if scores else {})
        missing.update({name: lacking} if lacking else {})
    complete = {name: scores["metric"] for name, scores in by_task.items() if name not in missing}
    averages = {}
    for group, members in groups.items():
        if set(members) <= set(complete):
            averages[group] = _mean(complete[name] for name in members)
    overall = None if missing else _mean(complete.values())
    ignored = _ignored(folders, names, benchmark, chosen)
    summary = {**by_task, "groups": averages, "overall": overall, "missing": missing, "ignored": ignored}
    return {**summary, **({"languages": list(chosen)} if chosen else {})}


def _ignored(folders, names, benchmark, chosen):
    """Folders and files of a submission that are no part of the benchmark."""
    ignored = [folder for folder in folders if folder not in names]
    for name in set(folders) & set(names):
        known = {f"test-{language}.{family(name).suffix}" for language in languages_of(name, benchmark, chosen)}
        ignored += [f"{name}/{path.name}" for path in folders[name].iterdir() if path.name not in known]
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
        total = len(languages_of(name, benchmark, summary.get("languages")))
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
            if len(languages) >= len(languages_of(name, benchmark, summary.get("languages"))):
                languages = ["all languages"]
            text += _wrapped("missing", [f"{name} ({reason}):", *languages], width)
    if summary["ignored"]:
        text += _wrapped("ignored", summary["ignored"], width)
    groups = [f"{group} {value:.2f}" for group, value in summary["groups"].items()]
    overall = "none: the benchmark is incomplete" if summary["overall"] is None else f"{summary['overall']:.2f}"
    if summary.get("languages") and summary["overall"] is not None:
        overall += f" (not {benchmark.upper()}'s: {' '.join(summary['languages'])} alone)"
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
        "--predictions", nargs="+", type=Path, required=True, help="folders with <task>/test-<lang>.{tsv,json,jsonl}"
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
    parser.add_argument(
        "--languages", nargs="+", metavar="CODE", help="score these alone (default: all of the benchmark's)"
    )
    return parser


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    given = [("predictions", folder) for folder in args.predictions]
    for flag, folder in [*given, ("data_dir", args.data_dir), ("labels", args.labels)]:
        if folder is not None and not os.path.isdir(folder):
            parser.error(f"--{flag} {folder}: no such folder; check the path")
    for code in args.languages or ():
        if code not in LANGUAGES:
            parser.error(f"--languages {code}: unknown language{nearest(code, LANGUAGES)}; give codes as in tasks.py")
    try:
        summary = evaluate_folder(args.predictions, args.labels, args.benchmark, args.data_dir, args.languages)
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
