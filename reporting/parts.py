"""What a report is made of, between the numbers and the files: cells, tables, scores of a task, and who made them.

report.py fills these from runs, reporting/page.py and reporting/figures.py write them. Standard library and numpy
only.
"""

from typing import NamedTuple

import numpy as np


class Cell(NamedTuple):
    """A number of a table as it is shown, sorted and traced back."""

    text: str  # "81.2 ± 0.4", "n/a", "-"
    value: float | None = None  # in full precision, for sorting and CSV; None where there is no number
    source: str = ""  # the key of the Source that it was computed from; "" for none


class Table(NamedTuple):
    name: str  # of its files: "xnli-clean"
    title: str
    caption: str  # what is shown, in which unit, from how many examples, languages and seeds
    header: tuple  # of texts
    rows: list  # of lists of Cell, or of str where a cell is only text
    folded: bool = False  # a detail: the page shows it closed


class Source(NamedTuple):
    """The runs of one setting on one task, behind each of its numbers."""

    key: str  # "xnli-mnli": an HTML id
    task: str
    setting: str  # "direct", "mnli", "mnli+squad"
    # of {"folder", "command", "seed", "started_at", "note"}; note is "" or why the run is left out ("collapsed: ...")
    runs: list


class Scores(NamedTuple):
    """One task's scores, in percent, for the figures."""

    task: str
    metric: str  # "f1"
    settings: list  # of names, the baseline first
    languages: list  # of codes, English first where it is there
    # of (name, operation, level) without clean, e.g. ("keyboard-2", "keyboard", "2"); ("keyboard-2-r1", "keyboard",
    # "2")
    conditions: list
    clean: np.ndarray  # [settings, languages], mean over seeds
    # [settings, languages, conditions], mean over seeds; NaN where the operation does not apply or the cell is missing
    noisy: np.ndarray
    spread: (
        np.ndarray
    )  # [settings, languages, 1 + conditions], standard deviation over seeds, clean first; NaN with one seed


class Figure(NamedTuple):
    name: str  # of its files: "xnli-levels"
    title: str
    caption: str
    alternative: str  # what it shows, in words, for who does not see it
    svg: str  # with the ink color INK, which the page replaces by its own
    png: bytes


class Report(NamedTuple):
    title: str
    command: str
    summary: list  # paragraphs of plain text: baseline, settings, what was left out
    # {task: [Table]}; the key "" holds those of the whole report (missing cells, operations that do not apply)
    tables: dict
    figures: dict  # {task: [Figure]}
    sources: list  # of Source
    glossary: list  # of (term, meaning)
