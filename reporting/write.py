"""Write a report: one HTML page, the same in markdown, LaTeX and CSV tables, SVG and PNG figures.

    <folder>/index.html          everything, in one file that needs no network
    <folder>/report.md           the same tables, with links to the figures
    <folder>/tables/<name>.csv   numbers in full precision
    <folder>/tables/<name>.tex   for a paper, with \\usepackage{booktabs,graphicx}
    <folder>/figures/<name>.svg  and .png

files.json has the sha256 of all of them: what the next report may replace or remove.
"""

import csv
import hashlib
import io
import json
import re
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from common.files import InputError, write_bytes, write_json
from reporting.page import page, run_link
from reporting.parts import Field, Figure, Interval, Table, number, text

RECORD = "files.json"
FORMULA = re.compile(r"[=+\-@\t\r](?!\s*$)(?!\d+(\.\d+)?%?$)")  # begins a cell that is more than a sign or a number
TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': r"\textquotedbl{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "…": r"\ldots{}", "·": r"$\cdot$",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "−": "$-$",
    "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "Δ": r"$\Delta$",
    "→": r"$\rightarrow$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def write_report(report, folder):
    """Write all files of a report; tables and figures of an earlier one that this one lacks are removed.

    Raises InputError where a file that this report would write is there and no report of ours has written it.
    """
    folder = Path(folder)
    record = folder / RECORD
    before = written_before(record)
    contents = {name: raw(content) for name, content in files(report, folder).items()}
    for name in contents:
        if name not in before and (folder / name).exists():
            raise InputError(
                f"{folder / name}: not written by a report, so not ours to replace; move it or name a new folder"
            )
    after = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    # The record comes first, so that the files of a run that was killed are known to the next one.
    write_json(record, {"made_by": "report.py", "files": {**before, **after}})
    for name, content in contents.items():
        write_bytes(folder / name, content)
    for name in before.keys() - after.keys():
        remove(folder / name, before[name])
    write_json(record, {"made_by": "report.py", "files": after})


def files(report, folder):
    """{path below the folder: text, or bytes of an image}."""
    contents = {"index.html": page(report, folder), "report.md": markdown(report, folder)}
    first = {kind: [one for one in report.first if isinstance(one, kind)] for kind in (Table, Figure)}
    for table in (table for tables in (first[Table], *report.tables.values()) for table in tables):
        contents[f"tables/{table.name}.csv"] = comma_separated(table_lines(table))
        contents[f"tables/{table.name}.tex"] = latex(table, report.sources)
    for figure in (figure for figures in (first[Figure], *report.figures.values()) for figure in figures):
        contents[f"figures/{figure.name}.svg"] = figure.svg
        contents[f"figures/{figure.name}.png"] = figure.png
    return contents


def written_before(record):
    """{path: sha256} of files.json, only of paths that a report can have."""
    if not record.exists():
        return {}
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        names = known["files"] if known["made_by"] == "report.py" else None
        digests = {name: str(digest) for name, digest in names.items()}
    except (AttributeError, OSError, TypeError, KeyError, ValueError):
        raise InputError(f"{record}: broken, or not written by a report; move it or name a new folder") from None
    ours = re.compile(r"index\.html|report\.md|(tables|figures)/[^/]+")
    return {name: digest for name, digest in digests.items() if ours.fullmatch(name)}


def remove(path, digest):
    """Remove a file that still is as a report has written it."""
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
        path.unlink()


def raw(content):
    return content.encode() if isinstance(content, str) else content


# Tables


def comma_separated(lines, end="\r\n"):
    """CSV (RFC 4180) of lines of texts and numbers, these in full precision."""
    file = io.StringIO()
    csv.writer(file, lineterminator=end).writerows([map(harmless, line) for line in lines])
    return file.getvalue()


def harmless(entry):
    """An entry of a CSV file: a text that spreadsheets would compute, such as "=1+1", gets an apostrophe before it."""
    return f"'{entry}" if isinstance(entry, str) and FORMULA.match(entry) else entry


def table_lines(table):
    """Header and lines of a table: numbers, nothing where a column of numbers has none, else the entry's text.

    A column with an interval is two columns; where it has none, both are empty.
    """
    columns = list(zip(*table.lines)) or [()] * len(table.header)
    pairs = [next((one.names for one in column if isinstance(one, Interval)), ()) for column in columns]
    header = [[f"{name}, {one}" for one in pair] or [name] for name, pair in zip(table.header, pairs)]
    lines, numeric = [list(chain(*header))], table.numeric
    for line in table.lines:
        lines.append([])
        for entry, numbers, pair in zip(line, numeric, pairs):
            if pair:
                lines[-1] += (entry.low, entry.high) if isinstance(entry, Interval) else ("", "")
                continue
            value, absent = number(entry), "" if numbers and isinstance(entry, Field) else text(entry)
            lines[-1].append(absent if value is None else value)
    return lines


def tex(words):
    """Text for LaTeX; a hyphen before a number is a minus."""
    escaped = "".join(TEX.get(character, character) for character in one_line(words))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def latex(table, sources):
    """A table environment with booktabs rules; comments name the runs behind the numbers."""
    used = {entry.source for line in table.lines for entry in line if isinstance(entry, Field)}
    comments = [
        f"% {one_line(source.key)}: {one_line(runs_in_words(source))}" for source in sources if source.key in used
    ]
    columns = "".join("r" if numbers else "l" for numbers in table.numeric)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(tex, table.header)) + r" \\", r"\midrule"]
    lines = [" & ".join(tex(text(entry)) for entry in line) + r" \\" for line in table.lines]
    body += ["{}" * line.startswith(("[", "*")) + line for line in lines]  # either would belong to the \\ before it
    body += [r"\bottomrule", r"\end{tabular}"]
    if len(columns) > 8:
        body = [r"\resizebox{\textwidth}{!}{%", *body, "}"]
    caption = [rf"\caption{{{tex(table.caption)}}}", rf"\label{{tab:{table.name}}}"]
    head = [r"\begin{table}[t]", r"\centering", *caption, r"\small"]
    return "\n".join([*comments, *head, *body, r"\end{table}", ""])


def one_line(words):
    return " ".join(str(words).split())


def runs_in_words(source):
    return "; ".join(
        f"{run['folder']} (seed {run['seed']}){', left out: ' + run['note'] if run['note'] else ''}"
        for run in source.runs
    )


# Markdown


def plain(words):
    """Text for markdown, in one line, without any meaning to markdown."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~&$!])", r"\\\1", one_line(words))
    return re.sub(r"^(\d*)([-+.)])(?= )", r"\1\\\2", escaped)


def markdown(report, folder):
    """report.md: the answer, tables and figures of the tasks, runs and glossary."""
    lines = [f"# {plain(report.title)}", "", *([plain(report.question), ""] if report.question else [])]
    lines += [f"- **{plain(task)}**: {plain(words)}" for task, words in report.answers] + [""]
    lines += markdown_blocks(report.first)
    lines += ["### What the data cannot say", "", *(f"- {plain(words)}" for words in report.limits), ""] * bool(
        report.limits
    )
    lines += [line for words in report.summary for line in (plain(words), "")]
    for task in report.tasks:
        lines += [f"## {plain(task) if task else 'The whole report'}", ""]
        lines += markdown_blocks([*report.tables.get(task, []), *report.figures.get(task, [])])
    lines += ["## Runs", ""]
    for source in report.sources:
        lines += [f"### {plain(source.task)}: {plain(source.setting)}", ""]
        for run in source.runs:
            left_out = f" **Left out: {plain(run['note'])}.**" if run["note"] else ""
            place = f"[{plain(run['folder'])}]({run_link(run, folder)})"
            lines += [f"- {place}, seed {run['seed']}, {plain(run['started_at'])}.{left_out}", ""]
            lines += [f"      {one_line(run['command'])}", ""]
    lines += ["## Glossary", "", *(f"- **{plain(term)}**: {plain(meaning)}" for term, meaning in report.glossary), ""]
    return "\n".join([*lines, "## How this report was made", "", f"    {one_line(report.command)}", ""])


def markdown_blocks(blocks):
    lines = []
    for block in blocks:
        lines += [f"### {plain(block.title)}", ""]
        if isinstance(block, Table):
            lines += [plain(block.caption), "", *markdown_table(block), ""]
            lines += [f"[CSV](tables/{quote(block.name)}.csv), [LaTeX](tables/{quote(block.name)}.tex)", ""]
        else:
            image = f"![{plain(block.alternative)}](figures/{quote(block.name)}.png)"
            lines += [image, "", plain(block.caption), ""]
    return lines


def markdown_table(table):
    head = " | ".join(map(plain, table.header))
    rule = " | ".join("---:" if numbers else "---" for numbers in table.numeric)
    lines = [" | ".join(plain(text(entry)) for entry in line) for line in table.lines]
    return [f"| {line} |" for line in (head, rule, *lines)]
