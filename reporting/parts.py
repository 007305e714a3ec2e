"""What a report is made of, between the numbers and the files: fields, tables, a task's scores, and who made them.

report.py fills these from runs; reporting/write.py, reporting/page.py and reporting/figures.py write them. Standard
library and numpy only.
"""

import math
import re
from typing import NamedTuple

import numpy as np


def natural(words):
    """A sort key by which task2 comes before task10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(words))]


class Field(NamedTuple):
    """A number of a table as it is shown, sorted and traced back."""

    text: str  # "81.2 ± 0.4", "n/a", "-"
    value: float | None = None  # in full precision, for sorting and CSV; None where there is no number
    source: str = ""  # the key of the Source that it was computed from; "" for none


class Interval(NamedTuple):
    """Two numbers in one entry; CSV has a column for each, by their names."""

    text: str  # "-0.3 to 1.2 †"
    low: float
    high: float
    names: tuple = ("low", "high")


def text(entry):
    """An entry of a table, Field, Interval or str, as it is shown."""
    return entry.text if isinstance(entry, (Field, Interval)) else str(entry)


def number(entry):
    """The value of an entry, None where it has none."""
    value = entry.value if isinstance(entry, Field) else None
    return None if value is None or math.isnan(value) else value if isinstance(value, int) else float(value)


class Table(NamedTuple):
    name: str  # of its files: "xnli-clean"
    title: str
    caption: str  # what is shown, in which unit, from how many examples, languages and seeds
    header: tuple  # of texts
    lines: list  # of lists of Field, or of str where an entry is only text
    folded: bool = False  # a detail: the page shows it closed
    labels: int = 1  # how many columns at the left name the line; the page joins them

    @property
    def numeric(self):
        """For each column, whether it has a number."""
        return [any(number(line[column]) is not None for line in self.lines) for column in range(len(self.header))]


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
    conditions: list  # of (name, operation, level) without clean: ("keyboard-2-r1", "keyboard", "2")
    clean: np.ndarray  # [settings, languages], mean over seeds
    # [settings, languages, conditions], mean over seeds; NaN where the operation does not apply or the cell is missing
    noisy: np.ndarray
    # [settings, languages, 1 + conditions], standard deviation over seeds, clean first; NaN with one seed
    spread: np.ndarray


class Figure(NamedTuple):
    name: str  # of its files: "xnli-levels"
    title: str
    caption: str
    alternative: str  # what it shows, in words, for who does not see it
    svg: str  # with the ink color INK, which the page replaces by its own
    png: bytes
    folded: bool = False  # a detail: the page shows it closed


class Report(NamedTuple):
    title: str
    command: str
    summary: list  # paragraphs of plain text: baseline, settings, what was left out
    tables: dict  # {task: [Table]}; the key "" holds those of the whole report (missing cells, ...)
    figures: dict  # {task: [Figure]}
    sources: list  # of Source
    glossary: list  # of (term, meaning)
    question: str = ""  # what the report answers, in one sentence
    answers: tuple = ()  # of (task, sentence)
    limits: tuple = ()  # what the data cannot say, sentences
    first: tuple = ()  # Table and Figure of the answer, shown before the tasks

    @property
    def tasks(self):
        """The keys of tables and figures that have any, in order."""
        keys = dict.fromkeys((*self.tables, *self.figures))
        return [task for task in keys if self.tables.get(task) or self.figures.get(task)]
