"""Dev scores of a mixture: a cell per data set and language, their mean over tasks, the printed table.

And what tells that training has collapsed: the score of a constant guess.
"""

import dataclasses
import logging

import numpy as np

import metrics
from common.files import sha256
from common.launching import any_process, precision
from common.prediction import Scored, scorer
from common.recovery import stop_requested, stopped
from common.results import not_above
from common.text import aligned
from common.trainer import Collapse
from mixture.plan import source_files

logger = logging.getLogger("xtreme")


class DevCell:
    """One data set of a mixture in one language: its dev rows, how they are scored, what a constant guess scores."""

    def __init__(self, name, task, language, predictor, model, rows):
        self.name, self.task, self.language, self.predictor = name, task, language, predictor
        self.model, self.rows = model, rows
        self.title = name if language in ("en", "all") else f"{name}_{language}"
        self.features = predictor.encode(rows, f"{self.title} dev")
        if hasattr(predictor.head, "masked_once"):
            self.features = predictor.head.masked_once(self.features, predictor.tokenizer)
        self.guess = predictor.constant_guess(task, rows, language)
        self.majority = None if self.guess is None else self.main(self.guess)

    def evaluate(self):
        """A Scored whose scores include the loss; masked LM has perplexities for scores."""
        head = self.predictor.head
        if hasattr(head, "perplexities"):
            scores = head.perplexities(self.model, self.predictor, self.features)
            return Scored(scores, None, [], scores["loss"])
        scored = self.predictor.score(self.task, self.model, self.rows, self.features, self.language, desc=self.title)
        return scored._replace(scores={**scored.scores, "loss": scored.loss})

    def main(self, scores):
        """The cell's one number, in percent: for masked LM 100 (1 - perplexity / 250)."""
        head = self.predictor.head
        if hasattr(head, "main_score"):
            return head.main_score(scores)
        return metrics.main_score(scorer(self.task), scores)


def mixture_mean(scores):
    """Unweighted mean over tasks of their cells' mean, in percent; `scores` {cell: {metric: value}}."""
    tasks = {}
    for cell, of_cell in scores.items():
        tasks.setdefault(cell.name.split(".")[0], []).append(cell.main(of_cell))
    return float(np.mean([np.mean(values) for values in tasks.values()]))


def as_metrics(scores):
    """{cell: scores} in HF's form: {"mean", <data set>_score, <data set>_<metric>}.

    All are fractions but losses, perplexities and thresholds.
    """
    values, absolute = {"mean": mixture_mean(scores) / 100}, ("loss", "perplexity", "no_answer_threshold")
    for cell, of_cell in scores.items():
        values[f"{cell.title}_score"] = cell.main(of_cell) / 100
        for name, value in of_cell.items():
            values[f"{cell.title}_{name}"] = value if name.startswith(absolute) else value / 100
    return values


def mixture_evaluator(cells):
    """A function () -> (dev scores, number of rows), for MixtureTrainer."""
    number = sum(len(cell.rows) for cell in cells)
    return lambda: (as_metrics({cell: cell.evaluate().scores for cell in cells}), number)


def collapse_guard(cells):
    """A function (dev scores as logged) -> None that raises Collapse where no task scores above a constant guess.

    One task of a mixture may be that weak without harm; all of them are when the encoder has degenerated.
    """
    known = [cell for cell in cells if cell.majority is not None]

    def guard(scores):
        levels = [(cell.title, 100 * scores[f"eval_{cell.title}_score"], cell.majority) for cell in known]
        if levels and all(not_above(main, majority) for _, main, majority in levels):
            told = [f"{title} {main:.1f} (a constant guess: {majority:.1f})" for title, main, majority in levels]
            raise Collapse(f"dev scores are not above those of a constant guess: {', '.join(told)}")

    return guard


def hash_of_files(plan, args):
    """Hash of the dev files, taken when they are read: people may write others while the model trains."""
    files = [path for code in plan.languages for path in source_files(plan, args, "dev", code)]
    return sha256(*(path for path in files if path.exists()))


def score_cells(job, cells, results, inputs, provenance):
    """{cell: scores}, on the first process; predictions, counts and results of condition "dev" are written.

    `inputs` are the hashes of the model, a given tokenizer and the dev files, `provenance` what every result says of
    the model. A cell that was finished from the same inputs is skipped.
    """
    args, scores = job.training_args, {}
    shared_inputs = *inputs, job.args.max_eval_samples, precision(args)
    for cell in cells:
        task, language = dataclasses.replace(cell.task, name=cell.name), cell.language
        settings = cell.predictor.settings.as_inputs()
        inputs = sha256(*shared_inputs, settings)
        if results.finished(task, language, "dev", inputs):
            logger.info("%s: finished before, skipped", cell.title)
        elif any_process(stop_requested()):
            trained = "training is finished; it and " if args.do_train else ""
            raise stopped(f"{results.folder}: {trained}finished dev scores are kept")
        else:
            scored = cell.evaluate()
            if args.process_index == 0:
                if scored.predictions:
                    path = results.prediction_path(task, language, "dev")
                    cell.predictor.head.write_predictions(path, cell.rows, scored.predictions)
                number, guess = len(cell.rows), cell.guess
                results.add(task, language, "dev", scored.scores, scored.counts, number, inputs, guess, **provenance)
        scores[cell] = {result["metric"]: result["value"] for result in results.cell(task, language, "dev")}
    return scores


def dev_table(scores, mean):
    """The dev table as text: a line per data set and language, its score and that of a constant guess, in percent."""
    lines = [["dev", "examples", "score", "constant guess", "metrics"]]
    for cell, of_cell in scores.items():
        shown = [name for name in of_cell if name != "loss" and not name.startswith("perplexity_")]
        majority = "-" if cell.majority is None else f"{cell.majority:.1f}"
        metrics_shown = ", ".join(f"{name} {of_cell[name]:.1f}" for name in shown)
        lines.append([cell.title, str(len(cell.rows)), f"{cell.main(of_cell):.1f}", majority, metrics_shown])
    lines.append(["mean over tasks", "", f"{mean:.1f}", "", ""])
    body = aligned([line[:4] for line in lines])  # the list of metrics stays to the left
    return "\n".join(f"{text}  {line[4]}".rstrip() for text, line in zip(body, lines))
