"""The figures of one task: score by noise level, points lost per language, clean against noisy.


    for figure in figures(scores, {"English": ["en"], "Latin": ["de", "sw"], "non-Latin": ["hi", "ru"]}):
        Path(f"{figure.name}.svg").write_text(figure.svg)

What is plotted comes from reporting/panels.py. Needs numpy and matplotlib.
"""

import io
import re

import matplotlib
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reporting.panels import (
    SHOWN,
    Panel,
    chosen,
    gaps,
    group_means,
    only,
    operations,
    panel,
    strength,
)
from reporting.parts import Figure
from tasks import LANGUAGES

INK, PAPER = (
    "#1b2733",
    "#fdfdfb",
)  # of text, axes and the baseline, and of gaps; the page replaces both to be readable in the dark
COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8A8F98",
)  # Okabe and Ito's without yellow and black, and a gray
MARKERS = "sD^vPX*"
MAPS = 6  # heat maps of a task
WIDTH = 7.2  # inches: on a phone a figure keeps this width and scrolls, instead of shrinking its 8 pt text
STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "hatch.color": INK, "hatch.linewidth": 0.4, "axes.linewidth": 0.6, "axes.spines.top": False,
    "axes.spines.right": False, "svg.fonttype": "none", "svg.hashsalt": "report", "text.parse_math": False, "axes.unicode_minus": True,
}  # fmt: skip


def figures(scores, groups):
    """Figures of one task, none without noisy scores. `groups` is {name: [codes]}, codes from scores.languages."""
    if not scores.conditions or np.isnan(scores.noisy).all():
        return []
    with matplotlib.rc_context(STYLE):
        return [slopes(scores, groups), levels(scores, groups), *heat_maps(scores)]


def apart(values, gap):
    """Positions as near to `values` as can be with at least `gap` between neighbors, in the order of `values`."""
    order = np.argsort(values, kind="stable")
    blocks = []  # [center, indices]: neighbors that touch move as one
    for index in order:
        blocks.append([float(values[index]), [index]])
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (len(blocks[-1][1]) + len(blocks[-2][1])) / 2:
            (second, right), (first, left) = blocks.pop(), blocks.pop()
            blocks.append([(first * len(left) + second * len(right)) / (len(left) + len(right)), left + right])
    places = np.empty(len(values))
    for center, indices in blocks:
        places[indices] = center + gap * (np.arange(len(indices)) - (len(indices) - 1) / 2)
    return places


def look(index):
    """Line style of a setting: the baseline in ink, thick and dashed."""
    if index == 0:
        return {
            "color": INK,
            "linewidth": 1.8,
            "linestyle": (0, (4, 1.5)),
            "marker": "o",
            "markersize": 4,
            "zorder": 5,
        }
    number = (index - 1) % len(COLORS)
    return {
        "color": COLORS[number],
        "linewidth": 1.3,
        "linestyle": "-",
        "marker": MARKERS[number],
        "markersize": 4,
        "zorder": 3,
    }


def levels(scores, groups):
    """Score against level: a panel per operation (columns, four abreast) and language group (rows)."""
    part = only(scores, chosen(scores))
    names = list(operations(part))
    panels = {(name, group): panel(part, name, codes) for name in names for group, codes in groups.items()}
    steps = sorted({level for one in operations(part).values() for level in one}, key=strength)
    across = min(4, len(names))
    blocks = [names[start : start + across] for start in range(0, len(names), across)]
    labels = [brief(setting) for setting in part.settings]
    abreast = max(1, int(WIDTH / (0.55 + 0.075 * max(map(len, labels)))))
    top, row = 0.2 + 0.19 * -(-len(labels) // abreast), 1.6
    between = 0.4  # inches more below each block, for its own x axis
    height = top + (row * len(groups) + between) * len(blocks)
    canvas = Canvas(figsize=(WIDTH, height))
    handles = [
        Line2D([], [], label=f" {label}", **look(index)) for index, label in enumerate(labels)
    ]  # "_name" would be no label
    canvas.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.05, 1), ncols=abreast, frameon=False, handlelength=2.8
    )
    for line, (block, group) in enumerate((block, group) for block in blocks for group in groups):
        last = (line + 1) % len(groups) == 0
        bottom = height - top - row * (line + 1) - between * (line // len(groups)) + 0.02
        for column, name in enumerate(block):
            axes = place(
                canvas, 0.68 + column * (WIDTH - 0.7) / across, bottom, (WIDTH - 0.7) / across - 0.18, row - 0.52
            )
            draw_panel(axes, panels[name, group], steps, limits([panels[other, group] for other in names]))
            axes.set_title(
                f"{brief(name, 22)}\n{coverage(panels[name, group])}", loc="left", linespacing=1.3, y=1
            )  # a given y saves a search
            axes.tick_params(labelleft=column == 0, labelbottom=last)
            axes.set_ylabel(f"{group}\n{part.metric}, percent" if column == 0 else "")
            axes.set_xlabel("level (0 = clean)" if last else "")
    caption = (
        f"{capital(part.metric)} in percent against the level of noise, 0 being clean text, averaged over the "
        "languages of each group that have "
        f"clean and all levels in every setting drawn. {left_out(scores, part)}Bands are the standard deviation over "
        "seeds, averaged over "
        "languages, where there are several seeds; replicates of a condition are averaged. Numbers: the tables' CSV "
        "files."
    )
    return finish(
        canvas, f"{scores.task}-levels", "Score by noise level", caption, levels_in_words(part, panels, groups)
    )


def place(canvas, left, bottom, width, height):
    """Axes in inches from the canvas's lower left corner."""
    across, up = canvas.get_size_inches()
    return canvas.add_axes([left / across, bottom / up, width / across, height / up])


def draw_panel(axes, one, steps, y_limits):
    positions = [0, *(1 + steps.index(level) for level in one.levels)]
    if not one.languages:
        axes.text(0.5, 0.5, "n/a", transform=axes.transAxes, ha="center", va="center")
    for index, (mean, spread) in enumerate(zip(one.mean, one.spread)):
        style = look(index)
        if not np.isnan(mean).any():
            axes.plot(positions, mean, **style)
            if not np.isnan(spread).any():
                axes.fill_between(
                    positions, mean - spread, mean + spread, color=style["color"], alpha=0.15, linewidth=0
                )
    axes.set_xlim(-0.25, len(steps) + 0.25)
    axes.set_xticks(range(len(steps) + 1), ["0", *(level.removeprefix("rate") for level in steps)])
    axes.set_ylim(y_limits)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)


def limits(panels):
    """One range of scores for a row of panels, with a margin."""
    every = np.concatenate(
        [np.append(one.mean - np.nan_to_num(one.spread), one.mean + np.nan_to_num(one.spread)) for one in panels]
    )
    every = every[~np.isnan(every)]
    low, high = (every.min(), every.max()) if every.size else (0, 100)
    margin = max(1, 0.06 * (high - low))
    return low - margin, high + margin


def coverage(one):
    number = len(one.languages)
    return f"{number} language{'s' * (number != 1)}" if number == one.of else f"{number} of {one.of} languages"


def slopes(scores, groups):
    """Clean to noisy mean, a line per setting and a panel per language group, over the same number of points in each."""
    part = only(scores, chosen(scores))
    found = {group: group_means(part, codes) for group, codes in groups.items()}
    labels = [brief(setting) for setting in part.settings]
    room = 0.35 + 0.075 * (5 + max(map(len, labels)))  # inches for the labels at the right
    across = max(1, min(len(groups), int(WIDTH / (1.6 + room))))
    lines, row = -(-len(groups) // across), 2.8
    canvas = Canvas(figsize=(WIDTH, row * lines))
    ends = {group: np.array([clean, noisy]) for group, (clean, noisy, _) in found.items()}
    span = (
        max([np.nanmax(both) - np.nanmin(both) for both in ends.values() if not np.isnan(both).all()], default=1)
        * 1.16
        + 1
    )
    for number, (group, (clean, noisy, languages)) in enumerate(found.items()):
        left, bottom = 0.62 + (number % across) * WIDTH / across, row * (lines - 1 - number // across) + 0.3
        axes = place(canvas, left, bottom, WIDTH / across - 0.62 - room, row - 0.75)
        axes.set_title(
            f"{group}\n{coverage(Panel([], clean, noisy, languages, len(groups[group])))}", loc="left", linespacing=1.3
        )
        axes.set_ylabel(f"{part.metric}, percent")
        draw_slopes(axes, clean, noisy, labels, span)
    caption = (
        f"{capital(part.metric)} in percent on clean text and its mean under noise (the mean over operations of the "
        "mean over levels), averaged "
        "over languages; an operation counts for a language where every setting drawn has it. "
        f"{left_out(scores, part)}All panels span the same "
        "number of points, so slopes compare between them."
    )
    words = [f"{group}: {slope_in_words(part, *found[group][:2])}" for group in groups]
    return finish(
        canvas, f"{scores.task}-slopes", "Clean against noisy", caption, f"{part.metric}, percent. {' '.join(words)}"
    )


def draw_slopes(axes, clean, noisy, labels, span):
    drawn = np.flatnonzero(~np.isnan(clean + noisy))
    axes.set_xlim(-0.08, 1.08)
    axes.set_xticks([0, 1], ["clean", "noisy"])
    if not drawn.size:
        axes.text(0.5, 0.5, "n/a", transform=axes.transAxes, ha="center", va="center")
        return
    both = np.array([clean, noisy])[:, drawn]
    middle = (both.max() + both.min()) / 2
    axes.set_ylim(middle - span / 2, middle + span / 2)
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
    height = axes.figure.get_figheight() * axes.get_position().height  # inches
    inch = 1.16 / (axes.figure.get_figwidth() * axes.get_position().width)  # in x
    for index, level in zip(drawn, apart(noisy[drawn], 0.155 * span / height)):
        style = look(index)
        axes.plot([0, 1], [clean[index], noisy[index]], clip_on=False, **style)
        axes.plot(
            [1 + 0.06 * inch, 1 + 0.24 * inch],
            [noisy[index], level],
            color=style["color"],
            linewidth=0.8,
            clip_on=False,
        )
        weight = "bold" if index == 0 else "normal"
        axes.text(
            1 + 0.28 * inch, level, f"{noisy[index]:.1f} {labels[index]}", va="center_baseline", fontweight=weight
        )


def heat_maps(scores):
    """Points lost per language and condition: a map of the baseline and of each of the next settings, all in the same
    colors.
    """
    columns, lost = gaps(scores)
    order = sorted(
        range(len(scores.languages)), key=lambda row: (script(scores.languages[row]) or "~", scores.languages[row])
    )
    drawn = [index for index in chosen(scores, MAPS) if not np.isnan(lost[index]).all()]
    missing = [name for index, name in enumerate(scores.settings) if index not in drawn]
    if not drawn:
        return []
    scale = matplotlib.colors.Normalize(min(0, np.nanmin(lost[drawn])), max(1, np.nanmax(lost[drawn])))
    names, found = file_names([scores.settings[index] for index in drawn]), []
    for index, name in zip(drawn, names):
        setting, values = scores.settings[index], lost[index][order]
        hatched = "Hatched cells have no score: the operation does not apply to the language, or the cell is missing. "
        caption = (
            f"{setting}: points of {scores.metric} lost from clean text to each operation and level, one language "
            "per row, ordered by script; "
            f"negative is a gain. {hatched if np.isnan(values).any() else ''}Colors mean the same in all maps of the "
            "task."
            f"{' No map for ' + listed(missing) + '; the numbers are in the CSV files.' if missing else ''}"
        )
        canvas = draw_map(values, columns, [scores.languages[row] for row in order], scale)
        words = map_in_words(setting, values, columns, [scores.languages[row] for row in order])
        found.append(finish(canvas, f"{scores.task}-lost-{name}", f"Points lost: {setting}", caption, words))
    return found


def draw_map(values, columns, codes, scale):
    """`values` [languages, columns] as colored cells with numbers, in blocks of whole operations one below the other."""
    blocks, line, left = split(columns, 15), 0.175, 0.85  # inches
    cell = min(0.42, (WIDTH - left) / max(map(len, blocks)))
    tilted = (
        max(len(name) * 0.07 - cell * sum(other == name for other, _ in columns) for name, _ in columns) > 0
    )  # a name wider than its columns
    head = 0.25 + tilted * 0.05 * max(len(brief(name)) for name, _ in columns)
    row = line * len(codes) + 0.6 + head
    canvas = Canvas(figsize=(max(5.4, left + cell * max(map(len, blocks))), row * len(blocks) + 0.5))
    for number, block in enumerate(blocks):
        axes = place(canvas, left, 0.95 + row * (len(blocks) - 1 - number), cell * len(block), line * len(codes))
        shown = values[:, [columns.index(column) for column in block]]
        axes.imshow(np.ma.masked_invalid(shown), cmap="cividis_r", norm=scale, aspect="auto", interpolation="none")
        axes.patch.set_visible(False)
        draw_cells(axes, shown, scale)
        label_map(axes, block, codes, 40 if tilted else 0)
    bar = place(canvas, left, 0.38, 2.2, 0.1)
    canvas.colorbar(
        matplotlib.cm.ScalarMappable(scale, "cividis_r"),
        cax=bar,
        orientation="horizontal",
        label="points lost (clean minus noisy)",
    )
    patch = Patch(facecolor="none", hatch="///////", edgecolor=INK, linewidth=0.4, label="no score (n/a)")
    bar.legend(
        handles=[patch] * bool(np.isnan(values).any()), loc="center left", bbox_to_anchor=(1.15, 0.5), frameon=False
    )
    return canvas


def draw_cells(axes, values, scale):
    """The numbers, dark or light by the color below, whatever the page's; hatching where there is none."""
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    empty = [corners + (column, row) for row, column in zip(*np.nonzero(np.isnan(values)))]
    axes.add_collection(
        PolyCollection(empty, facecolor="none", hatch="////", edgecolor=INK, linewidth=0), autolim=False
    )
    colors = matplotlib.colormaps["cividis_r"](scale(values))
    light = colors[..., :3] @ [0.299, 0.587, 0.114] > 0.45
    for row, column in zip(*np.nonzero(~np.isnan(values))):
        color = "#000000" if light[row, column] else "#ffffff"
        axes.text(column, row, f"{values[row, column]:.1f}", ha="center", va="center_baseline", color=color)


def label_map(axes, block, codes, tilt):
    scripts = [script(code) for code in codes]
    first = [index == 0 or scripts[index] != scripts[index - 1] for index in range(len(codes))]
    axes.set_yticks(
        range(len(codes)), [f"{name} {code}" if new else code for name, new, code in zip(scripts, first, codes)]
    )
    axes.set_xticks(range(len(block)), [level.removeprefix("rate") for _, level in block])
    axes.tick_params(length=0)
    axes.set_xlabel("level", labelpad=2)
    axes.spines[:].set_visible(False)
    for start in [index for index, (name, _) in enumerate(block) if index == 0 or block[index - 1][0] != name]:
        axes.text(
            start - 0.45, -0.75, brief(block[start][0]), ha="left", va="bottom", rotation=tilt, rotation_mode="anchor"
        )
        if start:
            axes.axvline(start - 0.5, color=PAPER, linewidth=2)
    for row in [index for index, new in enumerate(first) if new and index]:
        axes.axhline(row - 0.5, color=PAPER, linewidth=0.8)


def split(columns, most):
    """Blocks of about equal size, at most `most` columns, that keep the levels of an operation together."""
    blocks, size = [[]], len(columns) / -(-len(columns) // most)
    for operation in dict.fromkeys(name for name, _ in columns):
        own = [column for column in columns if column[0] == operation]
        if blocks[-1] and (len(blocks[-1]) + len(own) > most or len(blocks[-1]) >= size):
            blocks.append([])
        blocks[-1] += own
    return blocks


def script(code):
    return LANGUAGES[code].script if code in LANGUAGES else ""


# Words and files


def brief(text, most=28):
    return text if len(text) <= most else f"{text[: most - 1]}…"


def capital(words):
    return words[:1].upper() + words[1:]


def listed(names, most=8):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def left_out(scores, part):
    if len(scores.settings) == len(part.settings):
        return ""
    if len(part.settings) < SHOWN:
        return f"Without noisy scores: {listed([name for name in scores.settings if name not in part.settings])}. "
    return (
        f"Of {len(scores.settings)} settings, the baseline and the {len(part.settings) - 1} with the best noisy "
        "mean are drawn. "
    )


def levels_in_words(part, panels, groups):
    words = [f"{part.metric}, percent, of {part.settings[0]}, the baseline, from clean to the strongest level."]
    for group in groups:
        drops = [
            (name, *panels[name, group].mean[0][[0, -1]])
            for name in operations(part)
            if not np.isnan(panels[name, group].mean[0]).any()
        ]
        drops.sort(key=lambda drop: drop[1] - drop[2])
        ends = dict.fromkeys([*drops[-1:], *drops[:1]])
        said = "; ".join(
            f"{kind} under {name}, {clean:.1f} to {noisy:.1f}"
            for kind, (name, clean, noisy) in zip(("most", "least"), ends)
        )
        words.append(f"{group}: {said or 'n/a'}.")
    return " ".join(words)


def slope_in_words(part, clean, noisy):
    pairs = [
        f"{name} {one:.1f} clean, {other:.1f} noisy"
        for name, one, other in zip(part.settings, clean, noisy)
        if not np.isnan(one + other)
    ]
    return ("; ".join(pairs) or "n/a") + "."


def map_in_words(setting, values, columns, codes):
    worst, best = (np.unravel_index(pick(values), values.shape) for pick in (np.nanargmax, np.nanargmin))
    ends = [
        f"{codes[row]} under {'-'.join(columns[column])}, {values[row, column]:.1f}" for row, column in (worst, best)
    ]
    middle, empty = np.nanmedian(values), int(np.isnan(values).sum())
    return (
        f"Points lost by {setting}: median {middle:.1f}; most for {ends[0]}; least for {ends[1]}; {empty} of "
        f"{values.size} cells n/a."
    )


def file_names(texts):
    """A name for each text that is safe in files, URLs and HTML ids, and not used twice."""
    names = []
    for text in texts:
        name = plain = re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip("-.")[:60] or "setting"
        names.append(name if name not in names else f"{plain}-{len(names)}")
    return names


def finish(canvas, name, title, caption, alternative):
    """The Figure of a canvas: the same bytes for the same numbers, and no id that another figure of the page could
    have.
    """
    text, image = io.StringIO(), io.BytesIO()
    canvas.savefig(
        text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    canvas.savefig(image, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    svg = text.getvalue()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(
        r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.S
    )  # within a page it would hold for all of it
    svg = svg.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return Figure(name, title, caption, alternative, svg, image.getvalue())
