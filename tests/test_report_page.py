"""A report's files: right numbers, nothing that text can break, links that lead somewhere, and a page that a browser
shows.

The reports here are small and invented; names in them are as bad as a file system allows.
"""

import csv
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

from common.files import InputError
from reporting import figures, panels
from reporting.html import STYLE
from reporting.page import files, write_report
from reporting.parts import Cell, Report, Scores, Source, Table

BAD = "<b>\"x\"& |a_b|100% #1 $y$ {z} ~^\\ `c` 'q' [l](m)"
VOID = {"meta", "link", "br", "image", "path", "use", "rect"}
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
NAN = float("nan")


def scores(settings=("direct", "mnli", BAD), languages=("en", "de", "sw", "hi", "th"), task="xnli"):
    """Two operations of two levels, one level drawn twice; `case` does not apply to Hindi and Thai."""
    conditions = [
        ("swap-1", "swap", "1"),
        ("swap-2", "swap", "2"),
        ("swap-2-r1", "swap", "2"),
        ("case-1", "case", "1"),
        ("case-2", "case", "2"),
    ]
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


@pytest.fixture
def report(runs, drawn):
    def cells(name, *values):
        return [name, *(Cell(f"{value:.1f} ± 0.4", value, f"xnli-{name}") for value in values)]

    bad_rows = [["[a]", Cell("1.0", 1.0), BAD], [BAD, Cell("n/a"), "b, c\nd"]]
    bad = Table("xnli-bad", f"Bad {BAD}", f"Caption {BAD}", ("setting", f"de {BAD}", "words"), bad_rows)
    rows = [
        cells("direct", 81.23456789012345, 1 / 3),
        cells("mnli", 9.5, -2.25),
        [BAD, Cell("n/a"), Cell("-", NAN, f"xnli-{BAD}")],
    ]
    wide = Table(
        "xnli-wide",
        "Wide",
        "Many columns",
        ("setting", *map(str, range(40))),
        [cells("direct", *np.linspace(50, 60, 40))],
        True,
    )
    tables = [Table("xnli-clean", "Clean", "Accuracy", ("setting", "de", "gain"), rows), bad, wide]

    def made(name, seed):
        note = f"collapsed: {BAD}" if seed == 2 and name == "mnli" else ""
        command = f"python run_xtreme.py --output_dir '{name}'"
        folder = str(runs / "runs" / f"{name} {seed}")
        return {
            "folder": folder,
            "command": command,
            "seed": seed,
            "started_at": "2026-05-01T10:00:00+00:00",
            "note": note,
        }

    sources = [
        Source(f"xnli-{name}", "xnli", name, [made(name, 1), made(name, 2)]) for name in ("direct", "mnli", BAD)
    ]
    return Report(
        f"Title {BAD}",
        f"python report.py {BAD}",
        [f"Summary {BAD}"],
        {"xnli": tables},
        {"xnli": drawn},
        sources,
        [("mPC", f"mean {BAD}")],
    )


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


# The page


def test_page_shows_all_text_as_text(report, tmp_path):
    write_report(report, tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    found = Page(text)
    assert found.elements["table"] == 3 and found.elements["figure"] == 5 and found.elements["b"] == 0
    assert f"Title {BAD}" in found.words and BAD in found.words and f"Summary {BAD}" in found.words
    headings = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert headings[0] == 1 and headings.count(1) == 1 and all(b <= a + 1 for a, b in zip(headings, headings[1:]))
    assert text.count("<caption>") == 3 and text.count('scope="row"') == 6


def test_every_link_leads_somewhere(report, tmp_path):
    folder = tmp_path / "a" / "report"
    write_report(report, folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    inside = {unquote(link[1:]) for link in found.links if link.startswith("#")}
    assert inside <= set(found.ids) and {source.key for source in report.sources} <= inside
    outside = [link for link in found.links if not link.startswith(("#", "data:"))]
    assert all((folder / unquote(link)).is_file() for link in outside)
    assert sum(link.endswith("/run.json") for link in outside) == 6
    assert not re.search(r"https?:|@import|url\((?!#)", text)  # nothing to fetch
    assert text.count("Left out: collapsed") == 1
    lines = [
        line for line in (folder / "report.md").read_text(encoding="utf-8").splitlines() if not line.startswith("    ")
    ]
    linked = re.findall(r"(?<!\\)\]\(([^)]+)\)", "\n".join(lines))
    assert len(linked) == 6 + 6 + 5 and all((folder / unquote(link)).is_file() for link in linked)


def test_unknown_source_is_no_link(report, tmp_path):
    table = Table("t", "T", "c", ("a", "b"), [["x", Cell("1.0", 1.0, "gone")]])
    write_report(report._replace(tables={"xnli": [table]}), tmp_path)
    assert '<td data-value="1.0">1.0</td>' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_figures_take_the_colors_of_the_page(report, tmp_path):
    text = files(report, tmp_path)["index.html"]
    body = text[text.index("<main>") :]
    assert figures.INK not in body and "currentColor" in body and "<style" not in body
    for path in (f"figures/{figure.name}.png" for figure in report.figures["xnli"]):
        assert files(report, tmp_path)[path].startswith(b"\x89PNG")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme):
    """WCAG AA: 4.5 to 1 for text."""

    def luminance(color):
        parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        return float(
            np.dot(
                [0.2126, 0.7152, 0.0722],
                [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts],
            )
        )

    light, dark = STYLE[: STYLE.index("@media")], STYLE[STYLE.index("@media") : STYLE.index("* {")]
    colors = dict(re.findall(r"--(\w+): (#\w{6})", (light, dark)[scheme]))
    for text in ("ink", "soft", "link", "warn"):
        for paper in ("paper", "tint"):
            low, high = sorted((luminance(colors[text]), luminance(colors[paper])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, paper)


def test_large_report_is_quick_to_open(tmp_path):
    names, codes = [f"setting-{i}+mnli+squad" for i in range(70)], [f"l{i}" for i in range(40)]
    rows = [[name, *(Cell("81.2 ± 0.4", 81.23456789 + i / 7, f"xnli-{name}") for i in range(40))] for name in names]
    made = [{"folder": "f", "command": "c" * 400, "seed": seed, "started_at": "t", "note": ""} for seed in range(5)]
    sources = [Source(f"xnli-{name}", "xnli", name, made) for name in names]
    tables = [Table(f"xnli-{i}", "T", "C", ("setting", *codes), rows) for i in range(12)]
    assert len(files(Report("R", "c", [], {"xnli": tables}, {}, sources, []), tmp_path)["index.html"]) < 8_000_000


# Files


def test_csv_keeps_full_precision(report, tmp_path):
    write_report(report, tmp_path)
    data = (tmp_path / "tables" / "xnli-clean.csv").read_bytes().decode()
    assert data.count("\r\n") == 4 and data.count("\n") == 4
    rows = list(csv.reader(io.StringIO(data, newline="")))
    assert rows[0] == ["setting", "de", "gain"] and [float(cell) for cell in rows[1][1:]] == [81.23456789012345, 1 / 3]
    assert rows[3] == [BAD, "", ""]  # n/a and NaN
    bad = list(csv.reader(io.StringIO((tmp_path / "tables" / "xnli-bad.csv").read_bytes().decode(), newline="")))
    assert bad == [["setting", f"de {BAD}", "words"], ["[a]", "1.0", BAD], [BAD, "", "b, c\nd"]]


def test_latex_is_well_formed(report, tmp_path):
    write_report(report, tmp_path)
    for path in sorted((tmp_path / "tables").glob("*.tex")):
        lines = path.read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("%"))
        assert (
            re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1] == ["table", "tabular"]
        )
        bare = re.sub(r"\\[\\&%$#_{}]", "", text)
        assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
        assert not re.search(r"[#~^<>|\"±]", bare) and bare.count("%") == bare.count("{%")
        columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
        rows = [re.sub(r"\\&", "", line) for line in text.splitlines() if line.endswith(r"\\")]
        assert not any(row.startswith(("[", "*")) for row in rows)
        assert len(rows) >= 2 and all(row.count("&") == columns - 1 for row in rows)
        assert ("\\resizebox" in text) == (columns > 8)
    clean = (tmp_path / "tables" / "xnli-clean.tex").read_text(encoding="utf-8")
    assert r"81.2 $\pm$ 0.4" in clean and r"$-$2.2 $\pm$ 0.4" in clean and r"\label{tab:xnli-clean}" in clean
    assert clean.startswith("% xnli-direct: ") and "direct 1 (seed 1); " in clean and "left out: collapsed" in clean


def test_markdown_tables_keep_their_columns(report, tmp_path):
    write_report(report, tmp_path)
    lines = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert Counter(len(re.findall(r"(?<!\\)\|", line)) for line in rows) == {4: 5 + 4, 42: 3}
    assert not any(
        re.search(r"(?<!\\)<b>|(?<!\\)\$y", line)
        for line in lines
        if not line.startswith("    ") and "      python" not in line
    )


def test_earlier_files_go_and_foreign_ones_stay(report, tmp_path):
    write_report(report, tmp_path)
    (tmp_path / "tables" / "mine.csv").write_text("mine")
    (tmp_path / "figures" / "notes.txt").write_text("mine")
    (tmp_path / "tables" / "xnli-bad.tex").write_text("mine now")
    write_report(report._replace(tables={"xnli": report.tables["xnli"][:1]}, figures={}), tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    mine = ["figures/notes.txt", "tables/mine.csv", "tables/xnli-bad.tex"]
    assert left == sorted(
        ["files.json", "index.html", "report.md", "tables/xnli-clean.csv", "tables/xnli-clean.tex", *mine]
    )
    assert (tmp_path / "tables" / "xnli-bad.tex").read_text() == "mine now"


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
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "report" / "files.json").write_text(
        json.dumps({"files": {"../precious": empty, "tables/../../precious": empty, "tables/..": empty}})
    )
    write_report(report, tmp_path / "report")
    assert (tmp_path / "precious").exists()


def test_same_report_same_bytes(report, runs):
    write_report(report, runs / "one")
    again = figures.figures(scores(), GROUPS)
    write_report(report._replace(figures={"xnli": again}), runs / "two")
    assert (runs / "one" / "files.json").read_bytes() == (runs / "two" / "files.json").read_bytes()


def test_report_without_anything(tmp_path):
    write_report(Report("Empty", "python report.py", [], {"": []}, {"xnli": []}, [], []), tmp_path)
    assert (
        Page((tmp_path / "index.html").read_text(encoding="utf-8")).elements["h2"] == 3
    )  # runs, glossary, how it was made


# The numbers in the figures


def test_panel_averages_replicates_and_languages():
    found = panels.panel(scores(), "swap", ["de", "sw"])
    assert (found.levels, found.languages, found.of) == (["1", "2"], ["de", "sw"], 2)
    np.testing.assert_allclose(found.mean[0], [75.5, 73.5, 69.5])  # level 2: the mean of 4 and 8 points lost
    np.testing.assert_allclose(found.spread, 1)


def test_missing_scores_enter_no_mean():
    one = scores()
    one.noisy[1, 1, 0] = NAN  # mnli lacks German at swap-1: nobody's average has German
    found = panels.panel(one, "swap", ["de", "sw"])
    assert found.languages == ["sw"] and found.of == 2
    np.testing.assert_allclose(found.mean[:, 0], [74, 76, 78])
    empty = panels.panel(one, "case", ["hi", "th"])
    assert not empty.languages and np.isnan(empty.mean).all()
    lost = panels.noisy_mean(one)
    np.testing.assert_allclose(
        lost[0], [80 - 3, 77 - 2, 74 - 3, 71 - 4, 68 - 4]
    )  # German by case alone, Hindi and Thai by swap alone
    clean, noisy, languages = panels.group_means(one, ["hi", "th"])
    assert languages == ["hi", "th"]
    np.testing.assert_allclose(clean - noisy, 4)


def test_setting_without_scores_leaves_the_others_alone():
    one = scores()
    one.noisy[1] = NAN
    found = panels.panel(one, "swap", ["de", "sw"])
    assert found.languages == ["de", "sw"] and np.isnan(found.mean[1]).all() and not np.isnan(found.mean[[0, 2]]).any()
    clean, noisy, _ = panels.group_means(one, ["de", "sw"])
    assert np.isnan(noisy[1]) and not np.isnan(noisy[[0, 2]]).any()
    assert len(figures.figures(one, GROUPS)) == 4  # no map of mnli


def test_gaps_are_clean_minus_noisy():
    columns, lost = panels.gaps(scores())
    assert columns == [("swap", "1"), ("swap", "2"), ("case", "1"), ("case", "2")]
    np.testing.assert_allclose(lost[0, 1], [2, 6, 1, 3])
    assert np.isnan(lost[:, 3:, 2:]).all()


def test_many_settings_show_the_baseline_and_the_best():
    many = scores(settings=[f"s{i}" for i in range(20)])
    assert panels.chosen(many) == [0, *range(13, 20)]
    found = figures.figures(many, GROUPS)
    assert len(found) == 2 + figures.MAPS
    assert all(
        "Of 20 settings, the baseline and the 7 with the best noisy mean" in figure.caption for figure in found[:2]
    )
    assert "No map for s1, s2" in found[2].caption and "CSV" in found[2].caption


def test_nothing_noisy_no_figures():
    one = scores()
    assert figures.figures(one._replace(noisy=one.noisy * NAN), GROUPS) == []
    assert figures.figures(one._replace(conditions=[], noisy=one.noisy[:, :, :0]), GROUPS) == []


def test_alternative_texts_have_the_numbers(drawn):
    assert "Latin: direct 75.5 clean, 72.5 noisy" in drawn[0].alternative
    assert "Latin: most under swap, 75.5 to 69.5; least under case, 75.5 to 72.5." in drawn[1].alternative
    assert "4 of 20 cells n/a" in drawn[2].alternative


def test_labels_keep_apart():
    places = figures.apart(np.array([1.0, 1.1, 1.2, 9.0, 1.15]), 1.0)
    assert (
        list(np.argsort(places)) == [0, 1, 4, 2, 3] and np.diff(np.sort(places)).min() >= 1 - 1e-9 and places[3] == 9
    )


def test_maps_are_split_between_operations():
    columns = [(f"op{i}", level) for i in range(10) for level in "123"]
    assert [len(block) for block in figures.split(columns, 15)] == [15, 15]
    assert figures.split(columns[:3], 15) == [columns[:3]]


# The page in a browser

PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement, table = document.querySelector("table"), head = table.tHead.rows[0].cells[1], seen = [];
  for (let click = 0; click < 4; click++) {
    seen.push([head.getAttribute("aria-sort"), ...[...table.tBodies[0].rows].map(row => row.cells[1].textContent.split(" ")[0])].join(" "));
    head.querySelector("button").click();
  }
  const fold = document.querySelector("details"), closed = !fold.open;
  fold.open = true;
  const hint = () => fold.querySelector(".hint").offsetHeight > 0;
  const tell = tries => tries && !hint() ? setTimeout(tell, 100, tries - 1) : console.log("FOUND" + JSON.stringify({
    width: innerWidth, page: root.scrollWidth, tables: document.querySelectorAll("table").length,
    drawings: document.querySelectorAll("figure svg").length, seen, closed,
    tab: head.querySelector("button").tabIndex, hint: hint(),
    sticky: getComputedStyle(table.rows[1].cells[0]).position, text: parseFloat(getComputedStyle(document.querySelector("svg text")).fontSize),
    copy: document.querySelectorAll(".code button").length}) + "END");
  tell(100);
}, 100))</script>"""
WRAPPER = """<!DOCTYPE html><iframe src="probe.html" style="width: 390px; height: 800px; border: 0"></iframe>
<iframe src="probe.html" style="width: 1280px; height: 800px; border: 0"></iframe>"""


@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_page_in_a_browser(report, tmp_path):
    """At the width of a phone and of a desk: no sideways scrolling of the page, no errors, sorting by click."""
    write_report(report, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    (tmp_path / "probe.html").write_text(page.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    (tmp_path / "wrapper.html").write_text(WRAPPER)
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update"
    )
    flags += f" --disable-sync --enable-logging=stderr --window-size=1800,1000 --user-data-dir={tmp_path / 'profile'}"
    said, found, deadline = tmp_path / "stderr", {}, time.monotonic() + 60
    with open(said, "w") as file:
        browser = subprocess.Popen(
            [CHROMIUM, *flags.split(), f"file://{tmp_path / 'wrapper.html'}"], stderr=file, start_new_session=True
        )
    try:
        while len(found) < 2 and time.monotonic() < deadline and browser.poll() is None:
            time.sleep(0.2)
            messages = re.findall(r'CONSOLE.*"FOUND(\{.*?\})END"', said.read_text(encoding="utf-8", errors="replace"))
            found = {one["width"]: one for one in map(json.loads, messages)}
    finally:
        os.killpg(browser.pid, signal.SIGTERM)  # with the processes that it has started
        browser.wait(30)
    assert set(found) == {390, 1280}, said.read_text(encoding="utf-8", errors="replace")[-2000:]
    others = [
        line
        for line in said.read_text(encoding="utf-8", errors="replace").splitlines()
        if "CONSOLE" in line and "FOUND" not in line
    ]
    assert not others
    for width, one in found.items():
        assert one["page"] <= width and one["tables"] == 3 and one["drawings"] == 5 and one["closed"]
        order = ["none 81.2 9.5 n/a", "ascending 9.5 81.2 n/a", "descending 81.2 9.5 n/a", "none 81.2 9.5 n/a"]
        assert one["seen"] == order and one["tab"] == 0 and one["copy"] == 7
        assert one["hint"] and one["sticky"] == "sticky" and one["text"] >= 8
