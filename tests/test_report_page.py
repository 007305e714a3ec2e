"""A report's files: right numbers, nothing that text can break, links that lead somewhere, a page that browsers show.

The reports here are small and invented; names in them are as bad as a file system allows.
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from common import recovery
from common.files import InputError, check_output_dir
from reporting import drawing, figures, heatmaps, panels
from reporting import page as page_module
from reporting.page import TEMPLATES
from reporting.parts import Field, Interval, Report, Scores, Source, Table, natural
from reporting.write import comma_separated, files, table_lines, write_report

BAD = "<b>\"x\"& |a_b|100% #1 $y$ {z} ~^\\ `c` 'q' [l](m)"
VOID = {"meta", "link", "br", "image", "path", "use", "rect"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# axe-core is looked for where `npm install --no-save axe-core` puts it, here or with --global.
MODULES = (Path(__file__).resolve().parents[1] / "node_modules", Path("/usr/lib/node_modules"))
AXE = next((path for path in (folder / "axe-core" / "axe.min.js" for folder in MODULES) if path.exists()), None)
NAN = float("nan")


def scores(settings=("direct", "mnli", BAD), languages=("en", "de", "sw", "hi", "th"), task="xnli"):
    """Two operations of two levels, one level drawn twice; `case` does not apply to Hindi and Thai."""
    conditions = [("swap-1", "swap", "1"), ("swap-2", "swap", "2"), ("swap-2-r1", "swap", "2")]
    conditions += [("case-1", "case", "1"), ("case-2", "case", "2")]
    clean = 80.0 - 3 * np.arange(len(languages)) + 2 * np.arange(len(settings))[:, None]  # [settings, languages]
    noisy = clean[:, :, None] - np.array([2, 4, 8, 1, 3])
    noisy[:, [code in ("hi", "th") for code in languages], 3:] = NAN
    spread = np.ones((len(settings), len(languages), 1 + len(conditions)))
    return Scores(task, "accuracy", list(settings), list(languages), conditions, clean, noisy, spread)


GROUPS = {"English": ["en"], "Latin": ["de", "sw"], "non-Latin": ["hi", "th"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with runs under a bad name."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("direct", "mnli", BAD):
        for seed in (1, 2):
            place = folder / "runs" / f"{name} {seed}"
            place.mkdir(parents=True)
            (place / "run.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def drawn():
    return figures.figures(scores(), GROUPS)


def line(name, *values):
    """The line of a setting in a table of numbers."""
    return [name, *(Field(f"{value:.1f} ± 0.4", value, f"xnli-{name}") for value in values)]


@pytest.fixture
def report(runs, drawn):
    """A table of numbers, one of bad texts, and a folded one with many columns; five figures; six runs."""
    lines = [line("direct", 81.23456789012345, 1 / 3), line("mnli", 9.5, -2.25)]
    lines.append([BAD, Field("n/a"), Field("-", NAN, f"xnli-{BAD}")])
    bad = [["[a]", Field("1.0", 1.0), BAD], [BAD, Field("n/a"), "b, c\nd"]]
    wide = [line("direct", *np.linspace(50, 60, 40))]
    tables = [
        Table("xnli-clean", "Clean", "Accuracy", ("setting", "de", "gain"), lines),
        Table("xnli-bad", f"Bad {BAD}", f"Caption {BAD}", ("setting", f"de {BAD}", "words"), bad),
        Table("xnli-wide", "Wide", "Many columns", ("setting", *map(str, range(40))), wide, folded=True),
    ]

    def made(name, seed):
        note = f"collapsed: {BAD}" if seed == 2 and name == "mnli" else ""
        command, folder = f"python run_xtreme.py --output_dir '{name}'", str(runs / "runs" / f"{name} {seed}")
        return {"folder": folder, "command": command, "seed": seed, "started_at": "2026-05-01T10:00:00", "note": note}

    settings = ("direct", "mnli", BAD)
    sources = [Source(f"xnli-{name}", "xnli", name, [made(name, 1), made(name, 2)]) for name in settings]
    words, glossary = (f"Title {BAD}", f"python report.py {BAD}", [f"Summary {BAD}"]), [("mPC", f"mean {BAD}")]
    return Report(*words, {"xnli": tables}, {"xnli": drawn}, sources, glossary)


class Page(HTMLParser):
    """What stands in a page; fails where elements are not closed as they were opened."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.elements, self.words = [], [], [], Counter(), []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.elements[tag] += 1
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[name] for name in ("href", "src", "xlink:href") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


# --- The page


def test_page_shows_all_text_as_text(report, tmp_path):
    write_report(report, tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.elements["table"] == 8 and page.elements["figure"] == 6 and page.elements["b"] == 0
    assert f"Title {BAD}" in page.words and BAD in page.words and f"Summary {BAD}" in page.words
    headings = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert headings[0] == 1 and headings.count(1) == 1 and all(b <= a + 1 for a, b in zip(headings, headings[1:]))
    assert text.count("<caption>") == 3 and text.count('scope="row"') == 12


def test_page_is_one_file_that_fetches_nothing(report, tmp_path):
    text = files(report, tmp_path)["index.html"]
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    for name in ("page.css", "page.js"):
        assert (TEMPLATES / name).read_text(encoding="utf-8") in text


def test_every_link_leads_somewhere(report, tmp_path):
    folder = tmp_path / "a" / "report"
    write_report(report, folder)
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    inside = {unquote(link[1:]) for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids) and {source.key for source in report.sources} <= inside
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert all((folder / unquote(link)).is_file() for link in outside)
    assert sum(link.endswith("/run.json") for link in outside) == 6
    assert sum("Left out: collapsed" in words for words in page.words) == 1
    text = (folder / "report.md").read_text(encoding="utf-8")
    linked = re.findall(r"(?<!\\)\]\(([^)]+)\)", re.sub(r"(?m)^    .*$", "", text))  # but not in commands
    assert len(linked) == 6 + 6 + 6 and all((folder / unquote(link)).is_file() for link in linked)


def test_unknown_source_is_no_link(report, tmp_path):
    table = Table("t", "T", "c", ("a", "b"), [["x", Field("1.0", 1.0, "gone")]])
    write_report(report._replace(tables={"xnli": [table]}), tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'data-value="1.0">1.0</td>' in text and "gone" not in text and "Runs behind" not in text


def test_wide_tables_are_split_to_fit_the_column():
    table = Table("t", "T", "c", ("a", *map(str, range(40))), [line("x", *range(40))])
    parts = page_module.split(table)
    assert 2 <= len(parts) <= 6 and all(
        part.header[0] == "a" and len(part.lines[0]) == len(part.header) for part in parts
    )
    assert [name for part in parts for name in part.header[1:]] == list(map(str, range(40)))
    assert max(len(part.header) for part in parts) - min(len(part.header) for part in parts) <= 2
    narrow = Table("t", "T", "c", ("setting", "de", "gain"), [line("direct", 81.2, 0.3)])
    assert page_module.split(narrow) == [narrow]


def test_a_long_name_breaks_and_a_table_of_many_lines_is_closed():
    """What the width of a table is reckoned with: a name of more than LONG characters has several lines."""
    for lines, closed in ((page_module.MANY, False), (page_module.MANY + 1, True)):
        table = Table("t", "T", "c", ("a", "b"), [line("word " * 9, 1)] * lines)
        (block,) = page_module.as_blocks(table, {})
        assert block["folded"] is closed and block["lines"][0][0][2] == "t long"
    assert page_module.on_paper(table) == (False, page_module.LARGEST)  # as broken it fits upright
    report = Report("R", "c", [], {"xnli": [table]}, {}, [], [])
    assert '<th scope="row" role="rowheader" class="long">word' in page_module.page(report, Path())


def test_a_tall_table_leaves_room_for_its_bar_of_scrolling(monkeypatch):
    field = page_module.PADDING + page_module.CHARACTER * (1.1 * 10 + page_module.ARROW)  # of a name of ten characters
    monkeypatch.setattr(page_module, "COLUMN", 8 * field + 1)
    for lines, whole in ((page_module.TALL, True), (page_module.TALL + 1, False)):
        table = Table("t", "T", "c", ("x" * 10,) * 8, [line("x", *range(7))] * lines)
        assert (page_module.split(table) == [table]) is whole


def test_task2_comes_before_task10():
    assert sorted(["task10", "task2", "direct", "task1"], key=natural) == ["direct", "task1", "task2", "task10"]


def test_the_names_of_a_line_stand_in_one_column_of_the_page_and_apart_in_csv(report, tmp_path):
    lines = [["mnli", "clean", Field("+1.0", 1.0), Interval("0.5 to 1.5", 0.4987654321, 1.5)]]
    table = Table("t", "T", "c", ("setting", "score", "difference", "interval"), lines, labels=2)
    write_report(report._replace(tables={"xnli": [table]}), tmp_path)
    assert ">mnli · clean</th>" in (tmp_path / "index.html").read_text(encoding="utf-8")
    written = (tmp_path / "tables/t.csv").read_text(encoding="utf-8").splitlines()
    assert written == ['setting,score,difference,"interval, low","interval, high"', "mnli,clean,1.0,0.4987654321,1.5"]


def test_the_answer_comes_first(report, tmp_path):
    table = report.tables["xnli"][0]._replace(name="primary")
    answer = {
        "question": f"Does {BAD}?",
        "answers": [("xnli", f"No {BAD}.")],
        "limits": [f"One {BAD}."],
        "first": [table],
    }
    write_report(report._replace(**answer), tmp_path)
    for name in ("index.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert [
            text.index(word) for word in ("Does", "No", "primary.csv", "What the data", "xnli-clean.csv")
        ] == sorted(text.index(word) for word in ("Does", "No", "primary.csv", "What the data", "xnli-clean.csv"))
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert f"No {BAD}." in page.words and page.elements["b"] == 0 and (tmp_path / "tables/primary.csv").exists()


def test_figures_take_the_colors_of_the_page(report, tmp_path):
    text = files(report, tmp_path)["index.html"]
    body = text[text.index("<main>") :]
    assert drawing.INK not in body and "currentColor" in body and "<style" not in body
    for path in (f"figures/{figure.name}.png" for figure in report.figures["xnli"]):
        assert files(report, tmp_path)[path].startswith(b"\x89PNG")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme):
    """WCAG AA: 4.5 to 1 for text."""

    def luminance(color):
        parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return np.dot([0.2126, 0.7152, 0.0722], linear)

    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    light, dark = style[: style.index("@media")], style[style.index("@media") : style.index("* {")]
    colors = dict(re.findall(r"--(\w+): (#\w{6})", (light, dark)[scheme]))
    for text in ("ink", "soft", "link", "warn"):
        for paper in ("paper", "tint"):
            low, high = sorted((luminance(colors[text]), luminance(colors[paper])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, paper)


def test_a_large_page_stays_below_8_mb(tmp_path):
    names, codes = [f"setting-{i}+mnli+squad" for i in range(70)], [f"l{i}" for i in range(40)]
    lines = [line(name, *(81.23456789 + i / 7 for i in range(40))) for name in names]
    made = [{"folder": "f", "command": "c" * 400, "seed": seed, "started_at": "t", "note": ""} for seed in range(5)]
    sources = [Source(f"xnli-{name}", "xnli", name, made) for name in names]
    tables = [Table(f"xnli-{i}", "T", "C", ("setting", *codes), lines) for i in range(12)]
    assert len(files(Report("R", "c", [], {"xnli": tables}, {}, sources, []), tmp_path)["index.html"]) < 8_000_000


# --- Files


def test_csv_keeps_full_precision(report, tmp_path):
    write_report(report, tmp_path)

    def table(name):
        data = (tmp_path / "tables" / name).read_bytes().decode()
        return data, list(csv.reader(io.StringIO(data, newline="")))

    data, lines = table("xnli-clean.csv")
    assert data.count("\r\n") == 4 and data.count("\n") == 4
    assert lines[0] == ["setting", "de", "gain"] and list(map(float, lines[1][1:])) == [81.23456789012345, 1 / 3]
    assert lines[3] == [BAD, "", ""]  # n/a and NaN
    assert table("xnli-bad.csv")[1] == [
        ["setting", f"de {BAD}", "words"],
        ["[a]", "1.0", BAD],
        [BAD, "", "b, c\nd"],
    ]


def test_latex_is_well_formed(report, tmp_path):
    write_report(report, tmp_path)
    for path in sorted((tmp_path / "tables").glob("*.tex")):
        lines = path.read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("%"))
        assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"]
        assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "table"]
        bare = re.sub(r"\\[\\&%$#_{}]", "", text)
        assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
        assert not re.search(r"[#~^<>|\"±]", bare) and bare.count("%") == bare.count("{%")
        columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
        body = [re.sub(r"\\&", "", line) for line in text.splitlines() if line.endswith(r"\\")]
        assert not any(line.startswith(("[", "*")) for line in body)
        assert len(body) >= 2 and all(line.count("&") == columns - 1 for line in body)
        assert ("\\resizebox" in text) == (columns > 8)
    clean = (tmp_path / "tables" / "xnli-clean.tex").read_text(encoding="utf-8")
    assert r"81.2 $\pm$ 0.4" in clean and r"$-$2.2 $\pm$ 0.4" in clean and r"\label{tab:xnli-clean}" in clean
    assert clean.startswith("% xnli-direct: ") and "direct 1 (seed 1); " in clean and "left out: collapsed" in clean


def test_markdown_tables_keep_their_columns(report, tmp_path):
    write_report(report, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert Counter(len(re.findall(r"(?<!\\)\|", line)) for line in lines) == {4: 5 + 4, 42: 3}
    assert not re.search(r"(?<!\\)<b>|(?<!\\)\$y", re.sub(r"(?m)^    .*$", "", text))  # but in commands


def test_earlier_files_go_and_foreign_ones_stay(report, tmp_path):
    write_report(report, tmp_path)
    mine = ["figures/notes.txt", "tables/mine.csv", "tables/xnli-bad.tex"]
    for name in mine:
        (tmp_path / name).write_text("mine now")
    write_report(report._replace(tables={"xnli": report.tables["xnli"][:1]}, figures={}), tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    ours = {"files.json", "index.html", "report.md", "tables/xnli-clean.csv", "tables/xnli-clean.tex"}
    assert left == ours | set(mine)
    assert all((tmp_path / name).read_text() == "mine now" for name in mine)


def test_killed_before_any_of_its_files_the_rerun_gives_the_same(report, tmp_path):
    """kill -9 before each renaming that makes a file appear, in a new folder and in one that has a report."""
    small = report._replace(tables={"xnli": report.tables["xnli"][:1]}, figures={})
    write_report(small, tmp_path / "straight")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "straight").rglob("*") if path.is_file()}
    replace, number = os.replace, 0
    for before in (None, report._replace(figures={})):
        for last in range(6):
            folder = tmp_path / f"{before is None}{last}"
            if before:
                write_report(before, folder)
            child = os.fork()
            if not child:

                def killed(source, target, left=[last]):  # noqa: B006
                    if not left[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                    replace(source, target)

                os.replace = killed
                write_report(small, folder)
                os._exit(0)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
            check_output_dir(folder, "files.json")
            with recovery.locked(folder):
                write_report(small, folder)
            left = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            assert left.pop(".lock") and left == whole
            number += 1
    assert number == 12


FORMULAS = ["=1+1", "+SUM(A1)", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", '=HYPERLINK("x")']
HARMLESS = ["-", "+", "-2.5", "+3", "-1.5%", "mnli", "a=b", "en-de", "− 2", ""]


def test_formulas_in_csv_stay_text(tmp_path):
    """A spreadsheet would compute a name such as "=1+1"; numbers, and signs alone, are what they were."""
    names = [*FORMULAS, *HARMLESS]
    lines = [[name, Field("-1.0", -1.0), Field("-")] for name in names]
    table = Table("xnli-names", "T", "C", ("=a", "-b", "c"), lines)
    write_report(Report("R", "c", [], {"xnli": [table]}, {}, [], []), tmp_path)
    written = list(csv.reader(io.StringIO((tmp_path / "tables/xnli-names.csv").read_bytes().decode(), newline="")))
    assert written[0] == ["'=a", "'-b", "c"]
    assert [line[0] for line in written[1:]] == [f"'{name}" for name in FORMULAS] + HARMLESS
    assert {tuple(line[1:]) for line in written[1:]} == {("-1.0", "-")}
    assert comma_separated([("=x", 0.1, -3, "-2.5")], "\n") == "'=x,0.1,-3,-2.5\n"


def test_an_interval_that_is_not_known_is_two_empty_entries_of_csv():
    lines = [["a", Interval("1 to 2", 1.0, 2.0)], ["b", "n/a"], ["c", Field("n/a")]]
    for given in (lines, lines[::-1]):
        table = table_lines(Table("t", "", "", ("of", "95 %"), given))
        assert table[0] == ["of", "95 %, low", "95 %, high"] and ["a", 1.0, 2.0] in table and ["b", "", ""] in table


@pytest.mark.parametrize("name", ["index.html", "tables/xnli-clean.csv", "files.json"])
def test_foreign_files_are_not_replaced(report, tmp_path, name):
    (tmp_path / "tables").mkdir()
    (tmp_path / name).write_text('{"a": 1}')
    with pytest.raises(InputError, match=re.escape(name)):
        write_report(report, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(name).name]


def test_record_cannot_lead_out_of_the_folder(report, tmp_path):
    (tmp_path / "precious").write_text("")
    (tmp_path / "report").mkdir()
    names = ("../precious", "tables/../../precious", "tables/..")
    known = dict.fromkeys(names, hashlib.sha256(b"").hexdigest())
    (tmp_path / "report" / "files.json").write_text(json.dumps({"made_by": "report.py", "files": known}))
    write_report(report, tmp_path / "report")
    assert (tmp_path / "precious").exists()


def test_same_report_same_bytes(report, runs):
    write_report(report, runs / "one")
    again = figures.figures(scores(), GROUPS)
    write_report(report._replace(figures={"xnli": again}), runs / "two")
    assert (runs / "one" / "files.json").read_bytes() == (runs / "two" / "files.json").read_bytes()


def test_report_without_anything(tmp_path):
    write_report(Report("Empty", "python report.py", [], {"": []}, {"xnli": []}, [], []), tmp_path)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.elements["h2"] == 3  # runs, glossary, how it was made


# --- The numbers in the figures


def test_panel_averages_replicates_and_languages():
    swap = panels.panel(scores(), "swap", ["de", "sw"])
    assert (swap.levels, swap.languages, swap.of) == (["1", "2"], ["de", "sw"], 2)
    np.testing.assert_allclose(swap.mean[0], [75.5, 73.5, 69.5])  # level 2: the mean of 4 and 8 points lost
    np.testing.assert_allclose(swap.spread, 1)


def test_missing_scores_enter_no_mean():
    one = scores()
    one.noisy[1, 1, 0] = NAN  # mnli lacks German at swap-1: nobody's average has German
    swap = panels.panel(one, "swap", ["de", "sw"])
    assert swap.languages == ["sw"] and swap.of == 2
    np.testing.assert_allclose(swap.mean[:, 0], [74, 76, 78])
    empty = panels.panel(one, "case", ["hi", "th"])
    assert not empty.languages and np.isnan(empty.mean).all()
    # German by case alone, Hindi and Thai by swap alone
    np.testing.assert_allclose(panels.noisy_mean(one)[0], [80 - 3, 77 - 2, 74 - 3, 71 - 4, 68 - 4])
    clean, noisy, languages = panels.group_means(one, ["hi", "th"])
    assert languages == ["hi", "th"]
    np.testing.assert_allclose(clean - noisy, 4)


def test_setting_without_scores_leaves_the_others_alone():
    one = scores()
    one.noisy[1] = NAN
    swap = panels.panel(one, "swap", ["de", "sw"])
    assert swap.languages == ["de", "sw"] and np.isnan(swap.mean[1]).all() and not np.isnan(swap.mean[[0, 2]]).any()
    _, noisy, _ = panels.group_means(one, ["de", "sw"])
    assert np.isnan(noisy[1]) and not np.isnan(noisy[[0, 2]]).any()
    assert len(figures.figures(one, GROUPS)) == 5  # no map of mnli


def test_gaps_are_clean_minus_noisy():
    columns, lost = panels.gaps(scores())
    assert columns == [("swap", "1"), ("swap", "2"), ("case", "1"), ("case", "2")]
    np.testing.assert_allclose(lost[0, 1], [2, 6, 1, 3])
    assert np.isnan(lost[:, 3:, 2:]).all()


def test_every_setting_is_in_every_kind_of_figure():
    many = scores(settings=[f"s{i}" for i in range(20)])
    assert panels.multiples(many) == [[0, *range(1, 8)], [0, *range(8, 15)], [0, *range(15, 20)]]
    drawn = figures.figures(many, GROUPS)
    names = [
        "xnli-slopes",
        "xnli-slopes-2",
        "xnli-slopes-3",
        "xnli-levels",
        "xnli-levels-2",
        "xnli-levels-3",
        "xnli-lost",
    ]
    assert [figure.name for figure in drawn] == names
    for figures_of_kind in (drawn[:3], drawn[3:6], drawn[6:]):
        shown = " ".join(figure.svg for figure in figures_of_kind)
        assert all(re.search(rf">[\d. ]*s{i}<", shown) for i in range(20))
    assert "Every figure (2 of 3) has the baseline" in drawn[1].caption


def test_nothing_noisy_no_figures():
    one = scores()
    assert figures.figures(one._replace(noisy=one.noisy * NAN), GROUPS) == []
    assert figures.figures(one._replace(conditions=[], noisy=one.noisy[:, :, :0]), GROUPS) == []


def test_alternative_texts_have_the_numbers(drawn):
    assert "Latin: direct 75.5 clean, 72.5 noisy" in drawn[0].alternative
    assert "Latin: most under swap, 75.5 to 69.5; least under case, 75.5 to 72.5." in drawn[1].alternative
    assert "0 of 15 cells n/a" in drawn[2].alternative and "4 of 20 cells n/a" in drawn[3].alternative


def test_labels_keep_apart():
    places = figures.apart(np.array([1.0, 1.1, 1.2, 9.0, 1.15]), 1.0)
    assert list(np.argsort(places)) == [0, 1, 4, 2, 3] and places[3] == 9
    assert np.diff(np.sort(places)).min() >= 1 - 1e-9


def test_maps_are_split_between_operations():
    columns = [(f"op{i}", level) for i in range(10) for level in "123"]
    assert [len(block) for block in heatmaps.split(columns, 15)] == [15, 15]
    assert heatmaps.split(columns[:3], 15) == [columns[:3]]


# --- The page in a browser

PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement, table = document.querySelector("table"), seen = [];
  const head = table.tHead.rows[0].cells[1], button = head.querySelector("button");
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent.split(" ")[0]);
  for (let click = 0; click < 4; click++) {
    seen.push([head.getAttribute("aria-sort"), ...column()].join(" "));
    button.click();
  }
  const fold = document.querySelector("details.table"), closed = !fold.open;
  fold.open = true;
  const hint = () => fold.querySelector(".hint").offsetHeight > 0;
  const tell = tries => tries && !hint() ? setTimeout(tell, 100, tries - 1) : check().then(found =>
    console.log("FOUND" + JSON.stringify({found,
    width: innerWidth, page: root.scrollWidth, tables: document.querySelectorAll("table").length,
    drawings: document.querySelectorAll("figure svg").length, seen, closed, tab: button.tabIndex, hint: hint(),
    sticky: getComputedStyle(table.rows[1].cells[0]).position,
    text: parseFloat(getComputedStyle(document.querySelector("svg text")).fontSize),
    copy: document.querySelectorAll(".code button").length}) + "END"));
  const check = async () => {
    document.querySelectorAll("details").forEach(one => one.open = true);
    if (!window.axe) return null;
    await new Promise(done => setTimeout(done, 500));  // boxes that have opened know whether they scroll
    return (await axe.run()).violations.map(one => `${one.id}: ${one.nodes[0].html.slice(0, 80)}`);
  };
  tell(20);
}, 100))</script>"""
WRAPPER = """<!DOCTYPE html><iframe src="probe.html" style="width: 390px; height: 800px; border: 0"></iframe>
<iframe src="probe.html" style="width: 1280px; height: 800px; border: 0"></iframe>"""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --window-size=1800,1000"
).split()


@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_page_in_a_browser(report, tmp_path):
    """At the width of a phone and of a desk: no sideways scrolling of the page, no errors, sorting by click."""
    answer = {"question": "Does it?", "answers": [("xnli", "Yes.")], "limits": ["One run."]}
    write_report(report._replace(**answer), tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8").replace('class="part"', 'class="part" open')
    script = f"<script>{AXE.read_text(encoding='utf-8')}</script>" if AXE else ""
    (tmp_path / "probe.html").write_text(page.replace("</body>", script + PROBE + "</body>"), encoding="utf-8")
    (tmp_path / "wrapper.html").write_text(WRAPPER)
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'wrapper.html'}"]
    log, probes, deadline = tmp_path / "stderr", {}, time.monotonic() + 60
    with open(log, "w") as file:
        browser = subprocess.Popen(command, stderr=file, start_new_session=True)
    try:
        while len(probes) < 2 and time.monotonic() < deadline and browser.poll() is None:
            time.sleep(0.2)
            said = log.read_text(encoding="utf-8", errors="replace")
            probes = {one["width"]: one for one in map(json.loads, re.findall(r'CONSOLE.*"FOUND(\{.*?\})END"', said))}
    finally:
        os.killpg(browser.pid, signal.SIGTERM)  # with the processes that it has started
        browser.wait(30)
    said = log.read_text(encoding="utf-8", errors="replace")
    assert set(probes) == {390, 1280}, said[-2000:]
    assert not [line for line in said.splitlines() if "CONSOLE" in line and "FOUND" not in line]
    for width, one in probes.items():
        assert one["page"] <= width and one["tables"] == 8 and one["drawings"] == 6 and one["closed"]
        order = ["none 81.2 9.5 n/a", "ascending 9.5 81.2 n/a", "descending 81.2 9.5 n/a", "none 81.2 9.5 n/a"]
        assert one["seen"] == order and one["tab"] == 0 and one["copy"] == 7
        assert one["hint"] == (width < 1000) and one["sticky"] == "sticky" and one["text"] >= 8
        assert one["found"] == ([] if AXE else None)  # npm install --no-save axe-core
