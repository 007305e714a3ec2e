"""What all figures of a report share: colors, axes in inches, words, and how a canvas becomes a Figure."""

import io
import re

from reporting.parts import Figure

# Of text, axes and the baseline, and of the gaps in maps; the page replaces both to be readable in the dark.
INK, PAPER = "#1b2733", "#fdfdfb"
WIDTH = 7.2  # inches: on a phone a figure keeps this width and scrolls, instead of shrinking its 8 pt text
STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 8, "axes.titlesize": 8,
    "axes.labelsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "hatch.color": INK, "hatch.linewidth": 0.4, "axes.linewidth": 0.6, "axes.spines.top": False,
    "axes.spines.right": False, "axes.unicode_minus": True, "text.parse_math": False,
    "svg.fonttype": "none", "svg.hashsalt": "report",
}  # fmt: skip


def place(canvas, left, bottom, width, height):
    """Axes in inches from the canvas's lower left corner."""
    across, up = canvas.get_size_inches()
    return canvas.add_axes([left / across, bottom / up, width / across, height / up])


def brief(text, most=28):
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names, most=8):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def file_names(texts):
    """A name for each text that is safe in files, URLs and HTML ids, and not used twice."""
    names = []
    for text in texts:
        name = plain = re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip("-.")[:60] or "setting"
        names.append(name if name not in names else f"{plain}-{len(names)}")
    return names


def finish(canvas, name, title, caption, alternative):
    """The Figure of a canvas: the same bytes for the same numbers, and ids that no other figure of the page has."""
    text, image = io.StringIO(), io.BytesIO()
    undated = {"Date": None, "Creator": None, "Format": None, "Type": None}
    canvas.savefig(text, format="svg", transparent=True, metadata=undated)
    canvas.savefig(image, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    svg = re.sub(r'<g id="[^"]*"', "<g", text.getvalue())
    # matplotlib's <style> would hold for the whole page; the attribute says the same of this drawing.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.S)
    svg = svg.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return Figure(name, title, caption, alternative, svg, image.getvalue())
