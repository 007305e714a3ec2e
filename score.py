"""A folder of predictions in XTREME's submission format: read it, score it with metrics.py, print and save the scores.

    python score.py --predictions outputs/xnli/predictions/clean --data_dir data/xtreme --output_file scores.json
    python score.py --predictions submission --labels labels --benchmark xtreme-r

Reads predictions/<task>/test-<lang>.{tsv,json,jsonl}, and gold labels in the same layout (--labels: that of
google-research/xtreme's evaluate.py) or in XTREME's data layout (--data_dir). Writes --output_file:

    {task: {metric: average, "metric": task score, lang: {metric: value}}, "groups": {group: value}, "overall": value or null,
     "missing": {task: {lang: why}}, "ignored": [what is no part of the benchmark]}

Copy with it: common/ heads/ metrics.py tasks.py.
"""

import io
import json
import textwrap
from functools import partial
from pathlib import Path

from common.arguments import Parser
from common.files import InputError, write_json
from heads import decode, head_of, path_of
from metrics import METRICS, family, main_score, score
from tasks import BENCHMARKS, TARGETS


class Missing(Exception):
    """Why a language of a task has no score."""


# --- Files
# ------------------------------------------------------------------------------------------------------------


def read_text(path):
    return decode(path, Path(path).read_bytes())


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


def read_json(path, kind):
    """{id: value of type `kind`}, at the top or under "data"."""
    found = _parse(read_text(path), path)
    found = found["data"] if isinstance(found, dict) and "data" in found else found
    if not isinstance(found, dict):
        raise InputError(
            f"{path}: not a JSON object of the form {{id: {'answer' if kind is str else '[entity, ...]'}}}"
        )
    for example, value in found.items():
        if not isinstance(value, kind):
            raise InputError(
                f"{path}: {example!r} has {value!r}, which is not a {'text' if kind is str else 'list of entities'}"
            )
    return found


def read_questions(path):
    """SQuAD JSON -> [{"id", "answers": [text, ...]}]."""
    found = _parse(read_text(path), path)
    try:
        articles = found["data"] if "data" in found else found
        questions = [
            question for article in articles for paragraph in article["paragraphs"] for question in paragraph["qas"]
        ]
        return [
            {"id": question["id"], "answers": [answer["text"] for answer in question["answers"]]}
            for question in questions
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not SQuAD JSON (data > paragraphs > qas > id, answers > text): {error}") from None


READERS = {  # family -> how its label file is read; prediction files are read alike but for answers
    "label": read_labels,
    "choice": read_choices,
    "chunk": read_tags,
    "squad": read_questions,
    "mlqa": read_questions,
    "pairs": read_pairs,
    "ranking": partial(read_json, kind=list),
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
    if record.not_runnable or not path_of(record, data_dir, "test", language)[0].is_file():
        raise Missing("no test file")
    head = head_of(record)  # loads `datasets` and torch, which takes seconds
    rows = head.read(record, data_dir, "test", language)
    gold = rows["gold"] if record.kind == "retrieval" else head.references(rows)
    if gold is None:
        raise Missing("no labels")
    return [source for source, _ in gold] if record.name == "tatoeba" else gold


# --- A submission
# -----------------------------------------------------------------------------------------------------


def score_task(record, languages, predictions_dir, gold_of):
    """({metric: average, "metric": task score, lang: {metric: value}} or {}, {lang: why it is missing})."""
    name, found, missing = record.name, {}, {}
    for language in languages:
        path = Path(predictions_dir, name, f"test-{language}.{family(name).suffix}")
        try:
            if not path.is_file():
                raise Missing("no prediction file")
            references = gold_of(record, language)
            found[language] = score(name, references, read_predictions(name, path), language)
        except Missing as error:
            missing[language] = str(error)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    if not found:
        return {}, missing
    averages = {
        metric: sum(scores[metric] for scores in found.values()) / len(found) for metric in next(iter(found.values()))
    }
    return {**averages, "metric": main_score(name, averages), **found}, missing


def evaluate_folder(predictions_dir, labels_dir=None, benchmark="xtreme", data_dir=None):
    """Score a folder in XTREME's submission format against `labels_dir` (evaluate.py's layout) or `data_dir` (XTREME's
    data layout).

    Returns the JSON that the module docstring shows. Averages are plain means over languages, groups and overall plain
    means over tasks; a task with missing languages keeps the average of the others and takes part in no group. A task
    that has no scorer here (LAReQA, which has none in evaluate.py either) is left out of its group, but there is no
    overall score without it.
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
    results, missing = {}, {}
    for name in names:
        languages = TARGETS[name].languages[benchmark]
        if name in METRICS:
            scores, lacking = score_task(TARGETS[name], languages, predictions_dir, gold_of)
        else:
            scores, lacking = {}, dict.fromkeys(languages, "no scorer")
        results.update({name: scores} if scores else {})
        missing.update({name: lacking} if lacking else {})
    ignored = [folder for folder in folders if folder not in names]
    for name in set(folders) & set(names) & set(METRICS):
        known = {f"test-{language}.{family(name).suffix}" for language in TARGETS[name].languages[benchmark]}
        ignored += [f"{name}/{path.name}" for path in Path(predictions_dir, name).iterdir() if path.name not in known]
    scored = {group: [name for name in members if name in METRICS] for group, members in groups.items()}
    complete = {name: scores["metric"] for name, scores in results.items() if name not in missing}
    averages = {
        g: sum(complete[name] for name in members) / len(members)
        for g, members in scored.items()
        if set(members) <= set(complete)
    }
    overall = None if missing else sum(complete.values()) / len(complete)
    return {**results, "groups": averages, "overall": overall, "missing": missing, "ignored": sorted(ignored)}


# --- The command line
# -------------------------------------------------------------------------------------------------

METRIC_COLUMNS = ("exact_match", "f1", "precision", "recall", "accuracy", "map@20")


def table(results, benchmark):
    """The scores as aligned text: one row of averages per task, the task score per language, what is missing, groups
    and overall.
    """
    scores = {name: results[name] for group in BENCHMARKS[benchmark].values() for name in group if name in results}
    columns = [metric for metric in METRIC_COLUMNS if any(metric in row for row in scores.values())]
    rows = [["task", "score", *columns, "languages"]]
    for name, row in scores.items():
        total = len(TARGETS[name].languages[benchmark])
        values = [f"{row[metric]:.2f}" if metric in row else "" for metric in ("metric", *columns)]
        found = total - len(results["missing"].get(name, {}))
        rows.append([name, *values, f"{found}/{total}" + " incomplete" * (found < total)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:]), row[-1]]) for row in rows] + [
        ""
    ]
    for name, row in scores.items():
        cells = [f"{key} {main_score(name, value):6.2f}" for key, value in row.items() if isinstance(value, dict)]
        lines += _wrapped(name, cells, widths[0])
    lines.append("")
    for name, reasons in results["missing"].items():
        for reason in dict.fromkeys(reasons.values()):
            languages = [language for language, why in reasons.items() if why == reason]
            everything = len(languages) == len(TARGETS[name].languages[benchmark])
            lines += _wrapped(
                "missing", [f"{name} ({reason}):", *(["all languages"] if everything else languages)], widths[0]
            )
    lines += _wrapped("ignored", results["ignored"], widths[0]) if results["ignored"] else []
    lines += _wrapped(
        "groups",
        [f"{group} {value:.2f}" for group, value in results["groups"].items()] or ["none is complete"],
        widths[0],
    )
    overall = "none: the benchmark is incomplete" if results["overall"] is None else f"{results['overall']:.2f}"
    return "\n".join(lines + _wrapped("overall", [overall], widths[0]))


def _wrapped(name, cells, width):
    """`name  cell  cell ...`, cells kept whole."""
    text = "  ".join(cell.replace(" ", "\0") for cell in cells)
    lines = textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)
    return [
        f"{name if index == 0 else '':<{max(width, 7)}}  {line}".replace("\0", " ") for index, line in enumerate(lines)
    ]


def build_parser():
    parser = Parser(prog="score.py", description="Score predictions in XTREME's submission format.")
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


def main():
    parser = build_parser()
    args = parser.parse_args()
    for flag in ("predictions", "data_dir", "labels"):
        folder = getattr(args, flag)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{flag} {folder}: no such folder; check the path")
    try:
        results = evaluate_folder(args.predictions, args.labels, args.benchmark, args.data_dir)
    except InputError as error:
        parser.error(error)
    print(table(results, args.benchmark))
    if args.output_file:
        try:
            write_json(args.output_file, results)
        except OSError as error:
            raise SystemExit(
                f"{args.output_file}: cannot be written ({error.strerror}); choose another --output_file"
            ) from None
        print(f"\nscores written to {args.output_file}")


if __name__ == "__main__":
    main()
