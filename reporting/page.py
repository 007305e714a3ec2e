"""The page of a report: one HTML file with its style, script and figures inside.

reporting/templates/page.html says what stands where, page.css how it looks, page.js what it does; here its values are
prepared. Links lead to other parts of the page and, relative to the report's folder, to the runs' run.json and the
files beside the page.
"""

import math
import os
import re
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from reporting.drawing import INK, PAPER
from reporting.parts import Field, Table, number, text

TEMPLATES = Path(__file__).resolve().parent / "templates"
TALL, LONG = 25, 30  # lines of a table that scrolls in a box of its own; characters of a text that breaks into lines
MANY = 60  # lines from which a table is a detail, closed on the page and not printed
COLUMN, CHARACTER, PADDING = 1010, 7.8, 18  # pixels: the page's column at 1280, a character and a field of a table
BAR = 16  # pixels of the column that a tall table's bar for scrolling down takes
ARROW = 2.2  # characters that the sign for sorting takes in a header, which is bold
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
    known = {source.key: source for source in report.sources}
    first = [block for one in report.first for block in as_blocks(one, known, cards=True)]
    return environment.get_template("page.html").render(report=report, sections=sections, first=first)


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
    known = {source.key: source for source in report.sources}
    tables = [block for table in report.tables.get(task, []) for block in as_blocks(table, known)]
    figures = [figure_block(figure) for figure in report.figures.get(task, [])]
    return [
        *(table for table in tables if not table["folded"]),
        *(figure for figure in figures if not figure["folded"]),
        *(block for block in (*tables, *figures) if block["folded"]),
    ]


def as_blocks(one, known, cards=False):
    """The blocks of a Table or Figure; `known` {key: Source}.

    A table wider than the page's column is several below each other; one of `cards` is whole, and cards on a phone.
    """
    if not isinstance(one, Table):
        return [figure_block(one)]
    parts = [joined(one)] if cards else split(joined(one))
    blocks = [table_block(part, one, index, len(parts), known) for index, part in enumerate(parts)]
    return [{**block, "cards": cards} for block in blocks]


def joined(table):
    """The table with the columns that name a line in one, so that on a phone the number stands beside its name."""
    left = table.labels
    lines = [[" · ".join(text(entry) for entry in line[:left]), *line[left:]] for line in table.lines]
    header = " · ".join(table.header[:left]), *table.header[left:]
    return table._replace(header=header, lines=lines) if left > 1 else table


def split(table):
    """The table in parts of about equal width that fit the page's column, each with the first one."""
    columns = zip(*([text(entry) for entry in line] for line in table.lines)) if table.lines else [()] * 99
    widths = [
        PADDING + CHARACTER * max(1.1 * len(name) + ARROW, *(min(LONG + 5, len(words)) for words in (*column, "")))
        for name, column in zip(table.header, columns)
    ]
    first, *others = widths
    room = COLUMN - first - BAR * (len(table.lines) > TALL)
    number = max(1, math.ceil(sum(others) / max(1, room)))
    while len(parts := filled(others, min(room, sum(others) / number + max(others, default=0) / 4))) > number:
        number += 1
    return [
        table._replace(
            header=tuple(table.header[column] for column in (0, *part)),
            lines=[[line[column] for column in (0, *part)] for line in table.lines],
        )
        for part in parts
    ]


def filled(widths, room):
    """Lists of the numbers of columns after the first, each as many as fit in `room`, at least one."""
    parts, used = [[]], 0
    for column, width in enumerate(widths, start=1):
        if parts[-1] and used + width > room:
            parts.append([])
            used = 0
        parts[-1].append(column)
        used += width
    return parts


def table_block(table, whole, index, parts, known):
    """The values of one part of a table; `known` {key: Source} are those that the page shows."""
    numeric, (landscape, size) = table.numeric, on_paper(table)
    used = dict.fromkeys(entry.source for line in whole.lines for entry in line if isinstance(entry, Field))
    return {
        "id": f"table-{identifier(table.name)}" + (f"-{index + 1}" if index else ""),
        "file": quote(table.name),
        "title": table.title + (f" ({index + 1} of {parts})" if parts > 1 else ""),
        "caption": table.caption if index == 0 else "",
        "folded": table.folded or len(table.lines) > MANY,
        "tall": len(table.lines) > TALL,
        "landscape": landscape,
        "size": f"{size:.1f}",
        "header": list(zip(table.header, numeric)),
        "lines": [[entry_values(*pair) for pair in zip(line, numeric)] for line in table.lines],
        "sources": [known[key] for key in used if key in known] if index == parts - 1 else [],
        "last": index == parts - 1,
    }


def entry_values(entry, is_number):
    """(text, value or None, class) of an entry; columns without numbers are set as text."""
    style = "" if is_number else "t long" if len(text(entry)) > LONG else "t"
    return text(entry), number(entry), style


def on_paper(table):
    """(whether the table is printed in landscape, its font size in points): as it fits on A4."""
    lines = [table.header, *([text(entry) for entry in line] for line in table.lines)]
    columns = list(zip(*lines))
    # Widths in units of the font size; a long text breaks into lines.
    whole = sum(0.58 * max(min(len(entry), LONG + 5) for entry in column) + 0.75 for column in columns)
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
        "folded": figure.folded,
        "drawing": drawing,
    }
