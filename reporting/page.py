"""The page of a report: one HTML file with its style, script and figures inside.

reporting/templates/page.html says what stands where, page.css how it looks, page.js what it does; here its values are
prepared. Links lead to other parts of the page and, relative to the report's folder, to the runs' run.json and the
files beside the page.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from reporting.drawing import INK, PAPER
from reporting.parts import Field, number, text

TEMPLATES = Path(__file__).resolve().parent / "templates"
TALL, LONG = 25, 30  # lines of a table that scrolls in a box of its own; characters of a text that breaks into lines
PORTRAIT, LANDSCAPE = 525, 770  # width of A4 within its margins, in points
LARGEST, SMALLEST, BROKEN = 8.5, 6.5, 6  # points of type in a printed table: at most, at least, with broken lines


def page(report, folder):
    """index.html as text; `folder` is where it will lie."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"anchor": anchor, "flags": flags, "run_link": lambda run: run_link(run, folder)}
    titles = {task: task or "The whole report" for task in report.tasks}
    sections = [(f"task-{identifier(task)}", title, blocks(report, task)) for task, title in titles.items()]
    return environment.get_template("page.html").render(report=report, sections=sections)


def identifier(words):
    """Any text as part of an HTML id: without spaces, and different for different texts."""
    return quote(words, safe="+").replace("%", ".")


def anchor(key):
    """href of an element by its id."""
    return "#" + quote(key, safe="+:,;=@!()*")


def run_link(run, folder):
    """URL of a run's run.json, relative to the report's folder."""
    return quote(Path(os.path.relpath(Path(run["folder"]) / "run.json", folder)).as_posix())


def flags(command):
    """A command as [(text, whether it is the name of a flag)]: lines do not break within such a name."""
    return [(part, index % 2 == 1) for index, part in enumerate(re.split(r"(?<!\S)(--?[\w-]+)", command))]


def blocks(report, task):
    """Tables and figures of a task as the template takes them, in the order of the page: folded tables come last."""
    known = {source.key for source in report.sources}
    tables = [table_block(table, known) for table in report.tables.get(task, [])]
    figures = [figure_block(figure) for figure in report.figures.get(task, [])]
    return [
        *(table for table in tables if not table["folded"]),
        *figures,
        *(table for table in tables if table["folded"]),
    ]


def table_block(table, known):
    """The values of a table; `known` are the keys of sources that the page shows, to which numbers link."""
    numeric, (landscape, size) = table.numeric, on_paper(table)
    return {
        "id": f"table-{identifier(table.name)}",
        "file": quote(table.name),
        "title": table.title,
        "caption": table.caption,
        "folded": table.folded,
        "tall": len(table.lines) > TALL,
        "landscape": landscape,
        "size": f"{size:.1f}",
        "header": list(zip(table.header, numeric)),
        "lines": [[entry_values(*pair, known) for pair in zip(line, numeric)] for line in table.lines],
    }


def entry_values(entry, is_number, known):
    """(text, value or None, key of a source or None, class) of an entry; columns without numbers are set as text."""
    source = entry.source if isinstance(entry, Field) and entry.source in known else None
    style = "" if is_number else "t long" if len(text(entry)) > LONG else "t"
    return text(entry), number(entry), source, style


def on_paper(table):
    """(whether the table is printed in landscape, its font size in points): as it fits on A4."""
    lines = [table.header, *([text(entry) for entry in line] for line in table.lines)]
    columns = list(zip(*lines))
    whole = sum(0.58 * max(map(len, column)) + 0.75 for column in columns)  # width in units of the font size
    words = [[word for entry in column for word in entry.split() or [""]] for column in columns]
    broken = sum(0.58 * max(map(len, column)) + 0.75 for column in words)  # with a line break at every blank
    if PORTRAIT / whole >= SMALLEST:
        return False, min(LARGEST, PORTRAIT / whole)
    return True, min(LARGEST, max(LANDSCAPE / whole, min(BROKEN, LANDSCAPE / broken)))


def figure_block(figure):
    """The values of a figure; its SVG is part of the page, in the page's ink and on its paper."""
    svg = figure.svg[figure.svg.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    drawing = Markup(re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg))  # matplotlib has escaped the texts in it
    return {
        "id": f"figure-{identifier(figure.name)}",
        "file": quote(figure.name),
        "title": figure.title,
        "caption": figure.caption,
        "alternative": figure.alternative,
        "drawing": drawing,
    }
