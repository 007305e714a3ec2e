"""Results of a run: results.jsonl, predictions, counts per example, HF's metrics files, and the tables that are
printed.

    <output_dir>/results.jsonl         one row per (task, language, condition, metric), value in percent
    <output_dir>/predictions/<condition>/<task>/test-<lang>.{tsv,json,jsonl}     XTREME's submission layout
    <output_dir>/scores/<condition>/<task>/test-<lang>.jsonl     additive counts per example, for a paired bootstrap

A finished cell (task, language, condition) is recognized by the hash of its inputs. Standard library only.
"""

import json
from pathlib import Path

from common.files import InputError, sha256, write_json, write_json_lines
from common.text import aligned

SUFFIX = {
    "question_answering": "json",
    "multiple_choice": "jsonl",
    "dual_encoder": "json",
    "translation": "txt",
}  # of a prediction file; tsv for the others
# What the code relies on in a line of results.jsonl.
READ_BACK = set("task language condition metric value n inputs predictions".split())


def read_entries(path, keys, remedy):
    """The lines of a file of results, each with at least these keys; InputError names a broken one, and the remedy."""
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            if not keys <= entry.keys():
                raise ValueError
        except (AttributeError, ValueError):
            raise InputError(f"{path}, line {number}: broken; {remedy}") from None
        entries.append(entry)
    return entries


def save_metrics(folder, split, metrics):
    """Write <split>_results.json and join it into all_results.json, as HF's Trainer does."""
    metrics = {f"{split}_{name.removeprefix(f'{split}_')}": value for name, value in metrics.items()}
    write_json(Path(folder) / f"{split}_results.json", metrics)
    path = Path(folder) / "all_results.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**before, **metrics})


class Results:
    """results.jsonl and the files behind its cells.

    `entries` are its lines, {task, language, condition, metric, value (percent), n, constant_guess (percent), seed,
    model, parent, data, inputs, predictions}; a cell without gold labels has one with metric and value None. `data` is
    the hash of the test files, `inputs` that of all that the cell was computed from, `predictions` that of its
    prediction file: a cell counts as finished while the last two hold. Raises InputError naming a broken line.
    """

    def __init__(self, output_dir):
        self.folder = Path(output_dir)
        self.path = self.folder / "results.jsonl"
        remedy = "remove the file to predict everything again"
        self.entries = read_entries(self.path, READ_BACK, remedy) if self.path.exists() else []

    def prediction_path(self, task, language, condition):
        suffix = SUFFIX.get(task.kind, "tsv")
        return self.folder / "predictions" / condition / task.name / f"{self.split(condition)}-{language}.{suffix}"

    def score_path(self, task, language, condition):
        return self.folder / "scores" / condition / task.name / f"{self.split(condition)}-{language}.jsonl"

    @staticmethod
    def split(condition):
        """Phase 2 scores its dev sets under the condition "dev"."""
        return "dev" if condition == "dev" else "test"

    def cell(self, task, language, condition):
        """The entries of one cell, a metric each."""
        wanted = task.name, language, condition
        return [entry for entry in self.entries if place(entry) == wanted]

    def finished(self, task, language, condition, inputs):
        """Whether a cell was computed from these inputs, and its files are still what they were."""
        cell = self.cell(task, language, condition)
        if not cell or cell[0]["inputs"] != inputs:
            return False
        if cell[0]["predictions"] is None:  # masked LM has scores alone
            return True
        predictions = self.prediction_path(task, language, condition)
        if not predictions.exists() or sha256(predictions) != cell[0]["predictions"]:
            return False
        return cell[0]["metric"] is None or self.score_path(task, language, condition).exists()

    def add(self, task, language, condition, scores, counts, n, inputs, guess=None, **about):
        """Record one cell whose prediction file, if it has one, is already written.

        `scores` {metric: percent} and `counts`, additive per example, are None for a file without labels; `guess`
        {metric: percent} is what a constant guess scores on it, None where that is not known.
        """
        if counts is not None:
            write_json_lines(self.score_path(task, language, condition), counts)
        path = self.prediction_path(task, language, condition)
        hashes = {"inputs": inputs, "predictions": sha256(path) if path.exists() else None}
        cell = {"task": task.name, "language": language, "condition": condition}
        self.entries = [entry for entry in self.entries if place(entry) != tuple(cell.values())]
        for metric, value in (scores or {None: None}).items():
            level = {"constant_guess": (guess or {}).get(metric)}
            self.entries.append({**cell, "metric": metric, "value": value, "n": n, **level, **about, **hashes})
        self._write()

    def add_column(self, task, language, condition, metric, values):
        """Give a finished cell one more metric, the mean of `values`, fractions per example."""
        (first, *_) = self.cell(task, language, condition)
        path = self.score_path(task, language, condition)
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        write_json_lines(path, [{**row, metric: value} for row, value in zip(rows, values, strict=True)])
        self.entries = [entry for entry in self.entries if (place(entry), entry["metric"]) != (place(first), metric)]
        self.entries.append(
            {**first, "metric": metric, "value": 100 * sum(values) / len(values), "constant_guess": None}
        )
        self._write()

    def _write(self):
        # Not in the order in which cells came in; not sorted in place, as other threads read the list.
        self.entries = sorted(self.entries, key=lambda entry: (entry["task"], entry["condition"], entry["language"]))
        write_json_lines(self.path, self.entries)


def not_above(score, guess):
    """Whether a score is at the level of a constant guess or below it, both in percent; rounding aside."""
    return score <= guess + 1e-9


def place(entry):
    """The cell that an entry belongs to."""
    return entry["task"], entry["language"], entry["condition"]


def table(results, task, languages, conditions, metrics):
    """The per-language table as text: a line per language, a column per condition, averages below.

    `metrics` are joined by " / ". A language without labels says so and never enters an average. Where an operation of
    perturb.py leaves out some languages, averages are over those that all conditions have, and say how many. Below
    stand the languages that score no more than a constant guess.
    """
    guesses, values, lines = {}, {condition: {} for condition in conditions}, []
    for language in languages:
        cells = {condition: results.cell(task, language, condition) for condition in conditions}
        line = [language, str(next((cell[0]["n"] for cell in cells.values() if cell), ""))]
        for condition, cell in cells.items():
            scores = {entry["metric"]: entry["value"] for entry in cell}
            if cell and None not in scores:
                values[condition][language] = [scores[metric] for metric in metrics]
                levels = {entry["metric"]: entry.get("constant_guess") for entry in cell}
                guesses.setdefault(language, [levels[metric] for metric in metrics])
            shown = values[condition].get(language)
            line.append(_joined(shown) if shown else "no labels" if cell else "-")
        lines.append(line)
    guesses = {code: guess for code, guess in guesses.items() if None not in guess}
    columns = {**({"constant guess": guesses} if guesses else {}), **values}
    if guesses:
        lines = [[*line[:2], _joined(guesses.get(line[0], ())) or "-", *line[2:]] for line in lines]
    lines = [["language", "examples", *columns], *lines, *_averages(languages, values, columns)]
    text = [f"{task.name}: {' / '.join(metrics)}, percent", *aligned(lines)]
    return "\n".join([*text, *_not_above(guesses, values, metrics)])


def pairs_table(results, task, pairs, conditions, metrics):
    """MLQA's pairs of languages as text: per condition and metric a line per language of the context, a column per
    language of the question, and the means over all pairs, those of one language, and those of two.
    """
    text = []
    for condition in conditions:
        for metric in metrics:
            scores = {
                pair: entry["value"]
                for pair in pairs
                for entry in results.cell(task, pair, condition)
                if entry["metric"] == metric
            }
            contexts, questions = (sorted({pair.split("-")[side] for pair in scores}) for side in (0, 1))
            lines = [["context", *questions]]
            for context in contexts:
                cells = [scores.get(f"{context}-{question}") for question in questions]
                lines.append([context, *("-" if value is None else f"{value:.1f}" for value in cells)])
            same = [value for pair, value in scores.items() if len(set(pair.split("-"))) == 1]
            other = [value for pair, value in scores.items() if len(set(pair.split("-"))) == 2]
            means = {"all pairs": [*same, *other], "one language": same, "two languages": other}
            shown = ", ".join(f"{name} {sum(few) / len(few):.1f} ({len(few)})" for name, few in means.items() if few)
            text += [
                f"{task.name}: {metric}, percent, {condition}; columns: language of the question",
                *aligned(lines),
            ]
            text += [f"means: {shown or 'no labels'}", ""]
    return "\n".join(text[:-1])


def _averages(languages, values, columns):
    """Lines of means, over the languages that all conditions have; `values` {condition: {language: scores}}."""
    given = [by_language for by_language in values.values() if by_language]
    scored = set().union(*given)
    shared = [code for code in languages if code in scored and all(code in by_language for by_language in given)]
    averages = {"average": shared, "average without en": [code for code in shared if code != "en"]}
    for name, codes in list(averages.items())[: 1 + ("en" in languages)]:
        of = f" of {len(codes)} shared" if len(shared) < len(scored) else ""
        means = [
            _means([by_language[code] for code in codes if code in by_language]) for by_language in columns.values()
        ]
        yield [f"{name}{of}", "", *means]


def _not_above(guesses, values, metrics):
    """A line for every condition under which some languages score no more than a constant guess."""
    decisive = [index for index, metric in enumerate(metrics) if metric in ("f1", "accuracy")]
    for condition, by_language in values.items():
        weak = [
            code
            for code, scores in by_language.items()
            if code in guesses and any(not_above(scores[index], guesses[code][index]) for index in decisive)
        ]
        if weak:
            yield f"{condition}: not above a constant guess: {', '.join(weak)}"


def _joined(scores):
    """[71.0, 55.2] -> "71.0 / 55.2"."""
    return " / ".join(f"{value:.1f}" for value in scores)


def _means(scores):
    """`scores` [languages, metrics] -> "71.0 / 55.2"."""
    return _joined(sum(column) / len(scores) for column in zip(*scores)) or "-"
