"""The page of a report: one HTML file with its style, script and figures inside.

Links lead to other parts of the page and, relative to the report's folder, to the runs' run.json and the files beside
the page. The script only adds to what is there without it: sorting, copying, a hint where a table is wider than the
screen.
"""

import math
import os
import re
from html import escape
from pathlib import Path
from urllib.parse import quote

from reporting.figures import INK, PAPER
from reporting.parts import Cell

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --ink: #1b2733; --soft: #55616d; --line: #d9dde0; --tint: #f1f3f2 }
:root { --serif: Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif }
:root { --link: #0b559f; --warn: #93360a; --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12181e; --ink: #e6eaed; --soft: #a3afb9; --line: #35404a; --tint: #1b232b; --link: #8dc3ff; --warn: #ffb38a }
}
* { box-sizing: border-box }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 var(--serif) }
main { max-width: 66rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; overflow-wrap: anywhere }
nav, table, figure, .files, .hint, .source, button { font-family: var(--sans) }
h1, h2, h3, h4 { font-family: var(--serif); line-height: 1.25; font-weight: 600; text-wrap: balance }
h1 { font-size: 2rem; margin: 0 0 1.5rem }
h2 { font-size: 1.5rem; margin: 3.5rem 0 1rem; padding-top: .75rem; border-top: 1px solid var(--line) }
h3 { font-size: 1.15rem; margin: 2.25rem 0 .5rem }
h4 { font-size: 1rem; margin: 0 }
p { margin: 0 0 1rem }
p, figcaption, caption div div, dd { max-width: 46rem }
a { color: var(--link); text-underline-offset: .15em }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
:target:not(section) { box-shadow: -.6rem 0 var(--paper), -.75rem 0 var(--link) }
nav { padding: 1.25rem; font-size: .875rem; line-height: 1.4; border-bottom: 1px solid var(--line) }
nav ul { list-style: none; margin: 0; padding: 0 }
nav > ul { display: flex; flex-wrap: wrap; gap: .4rem 1.1rem }
nav ul ul { display: none; padding-left: .9rem }
nav a { display: inline-block; padding: .15rem 0; text-decoration: none }
nav a:hover { text-decoration: underline }
.scroll { overflow-x: auto; container-type: inline-size; margin: .75rem 0 .5rem }
.tall { max-height: 85vh; overflow-y: auto }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem; line-height: 1.25rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); padding-bottom: .6rem }
caption > div { display: block; position: sticky; left: 0; width: 100cqi }
th, td { padding: 5px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th { font-weight: 600; background: var(--paper) }
thead th { border-bottom: 1px solid var(--ink); border-top: 1px solid var(--ink); vertical-align: bottom }
.tall thead th { position: sticky; top: 0; z-index: 1 }
tbody tr:last-child > * { border-bottom: 1px solid var(--ink) }
tbody th { font-weight: 400 }
th:first-child { position: sticky; left: 0; text-align: left; z-index: 1 }
.tall thead th:first-child { z-index: 2 }
td.t, th.t { text-align: left }
td.long { white-space: normal; min-width: 16rem }
tbody tr:hover > * { background: var(--tint) }
td a, tbody th a { color: inherit; text-decoration: underline dotted var(--line) 1px }
td a:hover, tbody th a:hover { color: var(--link); text-decoration: underline }
th button { all: unset; cursor: pointer; font-weight: 600 }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
th button::after { content: "\\2195"; color: var(--soft); padding-left: .25em; font-weight: 400 }
th[aria-sort=ascending] button::after { content: "\\2191"; color: var(--ink) }
th[aria-sort=descending] button::after { content: "\\2193"; color: var(--ink) }
.hint { display: none; color: var(--soft); font-size: .8125rem; margin: .75rem 0 -.5rem }
.overflowing > .hint { display: block }
.files { font-size: .8125rem; color: var(--soft); margin: 0 0 1rem }
details { margin: 1.25rem 0 }
summary { cursor: pointer; padding: .45rem 0 }
summary h3 { display: inline; margin: 0; font-size: 1rem }
figure { margin: 0 0 2.5rem; font-size: .875rem }
figure svg { display: block; max-width: none }
figure svg text { font-family: inherit !important }
figcaption { color: var(--soft); line-height: 1.45 }
.source { margin: 0 0 1.75rem; font-size: .875rem; content-visibility: auto; contain-intrinsic-size: auto 10rem }
.source p { margin: .5rem 0 .25rem }
.note { color: var(--warn); font-weight: 600 }
.code span { white-space: nowrap }
pre { margin: 0 0 .5rem; padding: .6rem .75rem; background: var(--tint); white-space: pre-wrap }
code { font: .8125rem/1.45 ui-monospace, Menlo, Consolas, monospace }
.code button { float: right; margin: .4rem; font-size: .75rem; padding: .15rem .5rem; cursor: pointer }
.code button { color: var(--ink); background: var(--paper); border: 1px solid var(--soft); border-radius: 3px }
dt { font-weight: 600 }
dd { margin: 0 0 .75rem 1.25rem }
@media (min-width: 76rem) {
  body { display: grid; grid-template-columns: 16rem minmax(0, 1fr) }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 2.5rem 1rem 2.5rem 1.5rem; border: 0 }
  nav > ul { display: block }
  nav ul ul { display: block; margin-bottom: .5rem }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #333; --line: #bbb; --tint: #f4f4f4; --link: #000; --warn: #000 }
  @page { margin: 14mm 12mm }
  @page wide { size: A4 landscape; margin: 12mm }
  body { display: block; font-size: 10pt }
  nav, .hint, .files, .code button, th button::after { display: none !important }
  main { max-width: none; padding: 0 }
  .scroll, .tall { overflow: visible; max-height: none; container-type: normal }
  .wide { page: wide }
  table { font-size: var(--print); min-width: 100% }
  table a { text-decoration: none !important }
  caption > div { position: static; width: auto; max-width: none; font-size: 8.5pt }
  th, td { white-space: normal; line-height: 1.35; padding: .15em .35em; position: static !important; background: none !important }
  th button { display: contents }
  td.long { min-width: 0 }
  thead { display: table-header-group }
  tr, figure, pre, .source p { break-inside: avoid }
  h2, h3, h4, summary { break-after: avoid }
  details::details-content { content-visibility: visible; height: auto }
  figure svg { max-width: 100%; height: auto; max-height: 240mm }
  .source { content-visibility: visible }
}
"""

SCRIPT = """
"use strict";
// Sorting: a click sorts up, the next one down, the third one restores the order. Cells without a number stay last.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    const numeric = rows.some(row => row.cells[column].dataset.value);
    const key = row => numeric ? row.cells[column].dataset.value : row.cells[column].textContent;
    const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", {numeric: true});
    button.addEventListener("click", () => {
      const next = {none: "ascending", ascending: "descending", descending: "none"}[head.getAttribute("aria-sort")];
      heads.forEach(other => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1, there = rows.filter(key);
      const order = next === "none" ? rows : [...there.sort((a, b) => sign * compare(key(a), key(b))), ...rows.filter(row => !key(row))];
      body.append(...order);
    });
  });
}
for (const block of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(block.querySelector("code"));
    try { await navigator.clipboard.writeText(block.querySelector("code").textContent); button.textContent = "Copied" }
    catch { button.textContent = "Selected" }
  });
  block.prepend(button);
}
const watch = new ResizeObserver(entries => entries.forEach(({target}) =>
  target.parentElement.classList.toggle("overflowing", target.scrollWidth > target.clientWidth + 1)));
document.querySelectorAll(".scroll").forEach(box => watch.observe(box));
const unfold = () => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => one.open = true));
"""


def number(cell):
    """The value of a cell, None where it has none."""
    value = cell.value if isinstance(cell, Cell) else None
    return None if value is None or math.isnan(value) else value if isinstance(value, int) else float(value)


def text(cell):
    return cell.text if isinstance(cell, Cell) else str(cell)


def numeric(table):
    """For each column, whether it has a number."""
    return [any(number(row[column]) is not None for row in table.rows) for column in range(len(table.header))]


def run_link(run, folder):
    """URL of a run's run.json, relative to the report's folder."""
    return quote(Path(os.path.relpath(Path(run["folder"]) / "run.json", folder)).as_posix())


def tasks(report):
    """The keys of a report's tables and figures that have any, in order."""
    return [
        task
        for task in dict.fromkeys((*report.tables, *report.figures))
        if report.tables.get(task) or report.figures.get(task)
    ]


def page(report, folder):
    """index.html as text; `folder` is where it will lie."""
    known = {source.key for source in report.sources}
    sections = tasks(report)
    parts = [f"<h1>{escape(report.title)}</h1>", *(f"<p>{escape(words)}</p>" for words in report.summary)]
    for task in sections:
        parts += [f'<section id="task-{identifier(task)}">', f"<h2>{escape(task or 'The whole report')}</h2>"]
        parts += [table_block(table, known) for table in report.tables.get(task, []) if not table.folded]
        parts += [figure_block(figure) for figure in report.figures.get(task, [])]
        parts += [table_block(table, known) for table in report.tables.get(task, []) if table.folded]
        parts.append("</section>")
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in report.glossary)
    made = f'<section id="section-made"><h2>How this report was made</h2>{code(report.command)}</section>'
    parts += [
        runs_section(report.sources, folder),
        f'<section id="section-glossary"><h2>Glossary</h2><dl>{terms}</dl></section>',
        made,
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(report.title)}</title>
<style>{STYLE}</style>
</head>
<body>
{contents(report, sections)}
<main>
{chr(10).join(parts)}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def identifier(words):
    """Any text as part of an HTML id: without spaces, and different for different texts."""
    return quote(words, safe="+").replace("%", ".")


def anchor(key):
    """href of an element by its id, as an attribute."""
    return escape("#" + quote(key, safe="+:,;=@!()*"))


def contents(report, sections):
    """The table of contents; a narrow screen shows its first level only."""
    items = []
    for task in sections:
        tables = report.tables.get(task, [])
        inner = [("table", one) for one in tables if not one.folded]
        inner += [("figure", one) for one in report.figures.get(task, [])] + [
            ("table", one) for one in tables if one.folded
        ]
        links = "".join(
            f'<li><a href="{anchor(f"{kind}-{identifier(one.name)}")}">{escape(one.title)}</a></li>'
            for kind, one in inner
        )
        items.append(
            "<li><a "
            f'href="{anchor(f"task-{identifier(task)}")}">{escape(task or "The whole report")}</a><ul>{links}</ul></li>'
        )
    last = {"runs": "Runs", "glossary": "Glossary", "made": "How this report was made"}
    items += [f'<li><a href="#section-{key}">{words}</a></li>' for key, words in last.items()]
    return f'<nav aria-label="Contents"><ul>{"".join(items)}</ul></nav>'


def table_block(table, known):
    """A table in a box of its own that scrolls; a folded one closed, under its title."""
    name, numbers = identifier(table.name), numeric(table)
    kinds = ["" if is_number else ' class="t"' for is_number in numbers]
    heads = "".join(f'<th scope="col"{kind}>{escape(words)}</th>' for words, kind in zip(table.header, kinds))
    rows = "\n".join(
        f"<tr>{''.join(table_cell(cell, i, numbers[i], known) for i, cell in enumerate(row))}</tr>"
        for row in table.rows
    )
    landscape, size = on_paper(table)
    wide, tall = " wide" * landscape, " tall" * (len(table.rows) > 25)
    box = f"""<p class="hint">Scroll sideways for more columns &rarr;</p>
<div class="scroll{tall}" tabindex="0" role="region" aria-label="{escape(table.title)}">
<table style="--print: {size:.1f}pt">
<caption><div><div>{escape(table.caption)}</div></div></caption>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<p class="files">{file_links("tables", table.name, ("csv", "tex"))}</p>"""
    title = f"<h3>{escape(table.title)}</h3>"
    if table.folded:
        return f'<details class="table{wide}" id="table-{name}"><summary>{title}</summary>\n{box}\n</details>'
    return f'<div class="table{wide}" id="table-{name}">{title}\n{box}\n</div>'


def table_cell(cell, column, is_number, known):
    """<td>, or <th> for the row's name; a number links to the runs behind it."""
    value, words = number(cell), escape(text(cell))
    if isinstance(cell, Cell) and cell.source in known:
        words = f'<a href="{anchor(cell.source)}">{words}</a>'
    data = "" if value is None else f' data-value="{value!r}"'
    if column == 0:
        return f'<th scope="row"{data}>{words}</th>'
    kind = (
        "" if is_number else ' class="t long"' if len(text(cell)) > 30 else ' class="t"'
    )  # long text may break into lines
    return f"<td{data}{kind}>{words}</td>"


def on_paper(table):
    """(whether the table is printed in landscape, its font size in points, at most 8.5): as it fits on A4."""
    rows = [table.header, *([text(cell) for cell in row] for row in table.rows)]
    columns = range(len(table.header))
    whole = sum(
        0.58 * max(len(row[column]) for row in rows) + 0.75 for column in columns
    )  # width in units of the font size
    broken = sum(
        0.58 * max(len(word) for row in rows for word in row[column].split() or [""]) + 0.75 for column in columns
    )
    portrait, landscape = 525, 770  # points of text
    if portrait / whole >= 6.5:
        return False, min(8.5, portrait / whole)
    return True, min(
        8.5, max(landscape / whole, min(6, landscape / broken))
    )  # cells break into lines where 6 points are too large


def file_links(folder, name, kinds):
    return " · ".join(f'<a href="{folder}/{quote(name)}.{kind}">{kind.upper()}</a>' for kind in kinds)


def figure_block(figure):
    """The SVG within the page, in the page's ink and on its paper."""
    svg = figure.svg[figure.svg.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    return f"""<figure id="figure-{identifier(figure.name)}"><h3>{escape(figure.title)}</h3>
<p class="hint">Scroll sideways for the whole figure &rarr;</p>
<div class="scroll" tabindex="0" role="img" aria-label="{escape(figure.alternative)}">
{svg}</div>
<figcaption>{escape(figure.caption)}</figcaption>
<p class="files">{file_links("figures", figure.name, ("svg", "png"))}</p>
</figure>"""


def runs_section(sources, folder):
    """All runs, by task and setting."""
    parts = ['<section id="section-runs">', "<h2>Runs</h2>"]
    for task in dict.fromkeys(source.task for source in sources):
        parts.append(f"<h3>{escape(task)}</h3>")
        for source in (source for source in sources if source.task == task):
            runs = "\n".join(run_block(run, folder) for run in source.runs)
            parts.append(
                f'<div class="source" id="{escape(source.key)}"><h4>{escape(source.setting)}</h4>\n{runs}</div>'
            )
    return "\n".join([*parts, "</section>"])


def run_block(run, folder):
    note = f' <span class="note">Left out: {escape(run["note"])}</span>' if run["note"] else ""
    link = f'<a href="{escape(run_link(run, folder))}">{escape(str(run["folder"]))}</a>'
    return (
        f"<p>{link}, seed {escape(str(run['seed']))}, "
        f"{escape(str(run['started_at']))}{note}</p>\n{code(run['command'])}"
    )


def code(command):
    """A command to copy; lines do not break within the name of a flag."""
    words = re.sub(r"(?<!\S)(--?[\w-]+)", r"<span>\1</span>", escape(command))
    return f'<div class="code"><pre><code>{words}</code></pre></div>'
