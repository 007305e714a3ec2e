"""Results of a run: results.jsonl, predictions, counts per example, HF's metrics files, and the tables that are
printed.

    <output_dir>/results.jsonl         one row per (task, language, condition, metric), value in percent
    <output_dir>/predictions/<condition>/<task>/test-<lang>.{tsv,json,jsonl}     XTREME's submission layout
    <output_dir>/scores/<condition>/<task>/test-<lang>.jsonl     additive counts per example, for a paired bootstrap

A finished cell (task, language, condition) is recognized by the hash of its inputs. Standard library only.
"""

import json
from pathlib import Path

from common.files import InputError, sha256, write_json, write_text
from common.text import aligned

SUFFIX = {"question_answering": "json", "multiple_choice": "jsonl"}  # of a prediction file; tsv for the others
ROW = {
    "task",
    "language",
    "condition",
    "metric",
    "value",
    "n",
    "inputs",
    "predictions",
}  # keys of results.jsonl that are read back


def save_metrics(folder, split, metrics):
    """Write <split>_results.json and join it into all_results.json, as HF's Trainer does."""
    metrics = {f"{split}_{name.removeprefix(f'{split}_')}": value for name, value in metrics.items()}
    write_json(Path(folder) / f"{split}_results.json", metrics)
    path = Path(folder) / "all_results.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**before, **metrics})


class Results:
    """results.jsonl and the files behind its cells.

    A row is {task, language, condition, metric, value (percent), n, seed, model, parent, data, inputs, predictions}; a
    cell without gold labels has one row with metric and value None. `data` is the hash of the test files, `inputs`
    that of all that the cell was computed from, `predictions` that of its prediction file: a cell counts as finished
    when the last two still hold.
    """

    def __init__(self, output_dir):
        self.folder = Path(output_dir)
        self.path = self.folder / "results.jsonl"
        self.rows = []
        if self.path.exists():
            for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
                try:
                    self.rows.append(json.loads(line))
                    if not ROW <= self.rows[-1].keys():
                        raise ValueError
                except (AttributeError, ValueError):
                    raise InputError(
                        f"{self.path}, line {number}: broken; remove the file to predict everything again"
                    ) from None

    def prediction_path(self, task, language, condition):
        return (
            self.folder
            / "predictions"
            / condition
            / task.name
            / f"{self.split(condition)}-{language}.{SUFFIX.get(task.kind, 'tsv')}"
        )

    def score_path(self, task, language, condition):
        return self.folder / "scores" / condition / task.name / f"{self.split(condition)}-{language}.jsonl"

    @staticmethod
    def split(condition):
        return "dev" if condition == "dev" else "test"

    def cell(self, task, language, condition):
        wanted = (task.name, language, condition)
        return [row for row in self.rows if (row["task"], row["language"], row["condition"]) == wanted]

    def finished(self, task, language, condition, inputs):
        rows = self.cell(task, language, condition)
        predictions = self.prediction_path(task, language, condition)
        scores = self.score_path(task, language, condition)
        if not rows or rows[0]["inputs"] != inputs:
            return False
        if rows[0]["predictions"] is None:  # masked LM has scores alone
            return True
        if not predictions.exists() or sha256(predictions) != rows[0]["predictions"]:
            return False
        return rows[0]["metric"] is None or scores.exists()

    def add(self, task, language, condition, scores, counts, n, inputs, **about):
        """Record one cell whose prediction file, if it has one, is already written; `counts` None means a file without
        labels.
        """
        if counts is not None:
            write_text(self.score_path(task, language, condition), "".join(json.dumps(row) + "\n" for row in counts))
        file = self.prediction_path(task, language, condition)
        predictions = sha256(file) if file.exists() else None
        base = {"task": task.name, "language": language, "condition": condition}
        self.rows = [row for row in self.rows if {**row, **base} != row]
        for metric, value in (scores or {None: None}).items():
            self.rows.append(
                {
                    **base,
                    "metric": metric,
                    "value": value,
                    "n": n,
                    **about,
                    "inputs": inputs,
                    "predictions": predictions,
                }
            )
        self.rows.sort(
            key=lambda row: (row["task"], row["condition"], row["language"])
        )  # whatever order the cells came in
        write_text(self.path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))


def table(results, task, languages, conditions, metrics):
    """The per-language table as text: a line per language, a column per condition, averages below.

    `metrics` are joined by " / ". A language without labels says so and never enters an average. Where an operation of
    perturb.py leaves out some languages, averages are over those that all conditions have, and say how many.
    """
    lines = [["language", "examples", *conditions]]
    values = {}
    for language in languages:
        cells = {condition: results.cell(task, language, condition) for condition in conditions}
        n = next((rows[0]["n"] for rows in cells.values() if rows), "")
        line = [language, str(n)]
        for condition, rows in cells.items():
            found = {row["metric"]: row["value"] for row in rows}
            if not rows:
                line.append("-")
            elif None in found:
                line.append("no labels")
            else:
                values.setdefault(condition, {})[language] = [found[metric] for metric in metrics]
                line.append(" / ".join(f"{found[metric]:.1f}" for metric in metrics))
        lines.append(line)
    scored = {code for found in values.values() for code in found}
    shared = [code for code in languages if all(code in found for found in values.values())]
    of = f" of {len(shared)} shared" if len(shared) < len(scored) else ""
    others = [code for code in shared if code != "en"]
    for name, chosen in [(f"average{of}", shared), ("average without en", others)][: 1 + ("en" in languages)]:
        means = []
        for condition in conditions:
            rows = [values[condition][code] for code in chosen if condition in values]
            means.append(" / ".join(f"{sum(column) / len(rows):.1f}" for column in zip(*rows)) if rows else "-")
        lines.append([name, "", *means])
    return "\n".join([f"{task.name}: {' / '.join(metrics)}, percent", *aligned(lines)])
