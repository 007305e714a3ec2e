"""Dev scores of a mixture: a cell per data set and language, their mean over tasks, what a constant guess would score,
the printed table.
"""

import dataclasses
import logging

import numpy as np

import metrics
from common.files import sha256
from common.launching import any_process, precision
from common.prediction import Scored, scorer
from common.recovery import stop_requested, stopped
from common.text import aligned
from common.trainer import Collapse
from mixture.plan import source_files

logger = logging.getLogger("xtreme")


class DevCell:
    """One data set of a mixture in one language: its dev rows, how they are scored, and what a constant guess would
    score.
    """

    def __init__(self, name, task, language, predictor, model, rows):
        self.name, self.task, self.language, self.predictor, self.model, self.rows = (
            name,
            task,
            language,
            predictor,
            model,
            rows,
        )
        self.title = name if language in ("en", "all") else f"{name}_{language}"
        self.features = predictor.encode(rows)
        if hasattr(predictor.head, "masked_once"):
            self.features = predictor.head.masked_once(self.features, predictor.tokenizer)
        self.majority = None
        if hasattr(predictor.head, "constants"):
            guesses = [predictor.count(task, rows, guess, language) for guess in predictor.head.constants(rows)]
            self.majority = max(
                metrics.main_score(scorer(task), metrics.aggregate(scorer(task), counts)) for counts in guesses
            )

    def evaluate(self):
        """A Scored whose scores include the loss; masked LM has perplexities for scores."""
        head = self.predictor.head
        if hasattr(head, "perplexities"):
            scores = head.perplexities(self.model, self.predictor, self.features)
            return Scored(scores, None, [], scores["loss"])
        found = self.predictor.score(self.task, self.model, self.rows, self.features, self.language, desc=self.title)
        return found._replace(scores={**found.scores, "loss": found.loss})

    def main(self, scores):
        """The cell's one number, in percent: for masked LM 100 (1 - perplexity / 250)."""
        head = self.predictor.head
        return (
            head.main_score(scores) if hasattr(head, "perplexities") else metrics.main_score(scorer(self.task), scores)
        )


def mixture_mean(found):
    """Unweighted mean over tasks of their cells' mean, in percent; `found` {cell: scores}."""
    tasks = {}
    for cell, scores in found.items():
        tasks.setdefault(cell.name.split(".")[0], []).append(cell.main(scores))
    return float(np.mean([np.mean(values) for values in tasks.values()]))


def as_metrics(found):
    """{cell: scores} in HF's form: {"mean", <data set>_score, <data set>_<metric>}, fractions but for losses and
    perplexities.
    """
    values, absolute = {"mean": mixture_mean(found) / 100}, ("loss", "perplexity", "no_answer_threshold")
    for cell, scores in found.items():
        values[f"{cell.title}_score"] = cell.main(scores) / 100
        for name, value in scores.items():
            values[f"{cell.title}_{name}"] = value if name.startswith(absolute) else value / 100
    return values


def mixture_evaluator(cells):
    """A function () -> (dev scores, number of rows), for MixtureTrainer."""
    return lambda: (
        as_metrics({cell: cell.evaluate().scores for cell in cells}),
        sum(len(cell.rows) for cell in cells),
    )


def collapse_guard(cells):
    """A function (dev scores as logged) -> None that raises Collapse where no task scores above a constant guess.

    One task of a mixture may be that weak without harm; all of them are when the encoder has degenerated.
    """
    known = [cell for cell in cells if cell.majority is not None]

    def guard(scores):
        level = {cell.title: (100 * scores[f"eval_{cell.title}_score"], cell.majority) for cell in known}
        if known and all(main <= majority + 1e-9 for main, majority in level.values()):
            found = ", ".join(
                f"{title} {main:.1f} (a constant guess: {majority:.1f})" for title, (main, majority) in level.items()
            )
            raise Collapse(f"dev scores are not above those of a constant guess: {found}")

    return guard


def score_cells(job, cells, checkpoint, session):
    """{cell: scores} on every process; writes predictions, per-example counts and rows of results.jsonl, whose condition
    is "dev". A cell that was finished from the same inputs is skipped.
    """
    args, results, scores = job.training_args, session.results, {}
    paths = [path for code in job.plan.languages for path in source_files(job.plan, job.args, "dev", code)]
    files = [path for path in paths if path.exists()]
    shared_inputs = checkpoint, job.args.tokenizer_name, job.args.max_eval_samples, precision(args)
    for cell in cells:
        named = dataclasses.replace(cell.task, name=cell.name)
        inputs = sha256(*shared_inputs, dataclasses.asdict(cell.predictor.settings), *files)
        if results.finished(named, cell.language, "dev", inputs):
            logger.info("%s: finished before, skipped", cell.title)
        elif any_process(stop_requested()):
            trained = "training is finished; it and " if args.do_train else ""
            raise stopped(f"{session.folder}: {trained}finished dev scores are kept")
        else:
            scored = cell.evaluate()
            if session.is_main:
                if scored.predictions:
                    path = results.prediction_path(named, cell.language, "dev")
                    cell.predictor.head.write_predictions(path, cell.rows, scored.predictions)
                about = session.provenance
                results.add(named, cell.language, "dev", scored.scores, scored.counts, len(cell.rows), inputs, **about)
        results_of_cell = results.cell(named, cell.language, "dev")
        scores[cell] = {result["metric"]: result["value"] for result in results_of_cell}
    return scores


def dev_table(found, mean):
    """The dev table as text: a line per data set and language, its score and that of a constant guess, all in percent."""
    lines = [["dev", "examples", "score", "constant guess", "metrics"]]
    for cell, scores in found.items():
        shown = ", ".join(
            f"{name} {value:.1f}"
            for name, value in scores.items()
            if name != "loss" and not name.startswith("perplexity_")
        )
        majority = "-" if cell.majority is None else f"{cell.majority:.1f}"
        lines.append([cell.title, str(len(cell.rows)), f"{cell.main(scores):.1f}", majority, shown])
    lines.append(["mean over tasks", "", f"{mean:.1f}", "", ""])
    body = aligned([line[:4] for line in lines])  # the list of metrics stays to the left
    return "\n".join(f"{text}  {line[4]}".rstrip() for text, line in zip(body, lines))
