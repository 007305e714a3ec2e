"""Heat maps of the points lost per language and condition: one of the baseline, one of each of the next settings."""

import matplotlib
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch

from reporting.drawing import INK, PAPER, WIDTH, brief, file_names, finish, place
from reporting.panels import gaps, noisy_mean
from tasks import LANGUAGES

MAPS = 12  # settings that each have a map of their own, by operation; the first map has all
COLORS = "cividis_r"  # told apart by color-blind people and in gray
HATCHED = "Hatched cells have no score: the operation does not apply to the language, or the cell is missing. "


def heat_maps(scores):
    """Figures, all in the same colors: one of all settings, and one of each, folded, by operation and level."""
    columns, lost = gaps(scores)
    drawn = [index for index in range(len(scores.settings)) if not np.isnan(lost[index]).all()]
    if not drawn:
        return []
    codes = sorted(scores.languages, key=lambda code: (script(code) or "~", code))
    lost = lost[:, [scores.languages.index(code) for code in codes]]
    scale = matplotlib.colors.Normalize(min(0, np.nanmin(lost[drawn])), max(1, np.nanmax(lost[drawn])))
    figures = [overview(scores, codes, scale)]
    names = file_names([scores.settings[index] for index in drawn])
    for index, name in zip(drawn, names) if len(drawn) <= MAPS else ():
        setting, values = scores.settings[index], lost[index]
        caption = (
            f"{setting}: points of {scores.metric} lost from clean text to each operation and level, one language per "
            f"row, ordered by script; negative is a gain. {HATCHED if np.isnan(values).any() else ''}Colors mean the "
            "same in all maps of the task."
        )
        canvas, words = draw_map(values, columns, codes, scale), map_in_words(setting, values, columns, codes)
        figure = finish(canvas, f"{scores.task}-lost-{name}", f"Points lost: {setting}", caption, words)
        figures.append(figure._replace(folded=True))
    return figures


def overview(scores, codes, scale):
    """Points lost from clean text to the noisy mean, one language per row, one setting per column."""
    lost = (scores.clean - noisy_mean(scores)).T[[scores.languages.index(code) for code in codes]]
    columns = [(name, "") for name in scores.settings]
    caption = (
        f"Points of {scores.metric} lost from clean text to the noisy mean (mPC) of every setting, one language per "
        f"row, ordered by script; negative is a gain. {HATCHED if np.isnan(lost).any() else ''}A language near chance "
        "has nothing to lose."
    )
    words = map_in_words("all settings", lost, columns, codes)
    return finish(draw_map(lost, columns, codes, scale), f"{scores.task}-lost", "Points lost", caption, words)


def draw_map(values, columns, codes, scale):
    """`values` [languages, columns] as colored fields with numbers, in blocks of whole operations below each other."""
    blocks, line, left = split(columns, 15), 0.175, 0.85  # inches
    field = min(0.42, (WIDTH - left) / max(map(len, blocks)))
    room = {name: field * sum(other == name for other, _ in columns) for name, _ in columns}
    tilted = any(len(name) * 0.07 > width for name, width in room.items())
    head = 0.25 + tilted * 0.05 * max(len(brief(name)) for name in room)
    row = line * len(codes) + 0.6 + head
    canvas = Canvas(figsize=(max(5.4, left + field * max(map(len, blocks))), row * len(blocks) + 0.5))
    for number, block in enumerate(blocks):
        bottom = 0.95 + row * (len(blocks) - 1 - number)
        axes = place(canvas, left, bottom, field * len(block), line * len(codes))
        shown = values[:, [columns.index(column) for column in block]]
        axes.imshow(np.ma.masked_invalid(shown), cmap=COLORS, norm=scale, aspect="auto", interpolation="none")
        axes.patch.set_visible(False)
        draw_fields(axes, shown, scale)
        label_map(axes, block, codes, 40 if tilted else 0)
    draw_legend(canvas, place(canvas, left, 0.38, 2.2, 0.1), scale, np.isnan(values).any())
    return canvas


def draw_fields(axes, values, scale):
    """The numbers, dark or light by the color below, whatever the page's; hatching where there is none."""
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    empty = [corners + (column, row) for row, column in zip(*np.nonzero(np.isnan(values)))]
    hatching = PolyCollection(empty, facecolor="none", hatch="////", edgecolor=INK, linewidth=0)
    axes.add_collection(hatching, autolim=False)
    light = matplotlib.colormaps[COLORS](scale(values))[..., :3] @ [0.299, 0.587, 0.114] > 0.45
    for row, column in zip(*np.nonzero(~np.isnan(values))):
        color = "#000000" if light[row, column] else "#ffffff"
        axes.text(column, row, f"{values[row, column]:.1f}", ha="center", va="center_baseline", color=color)


def draw_legend(canvas, bar, scale, any_empty):
    colors = matplotlib.cm.ScalarMappable(scale, COLORS)
    canvas.colorbar(colors, cax=bar, orientation="horizontal", label="points lost (clean minus noisy)")
    patch = Patch(facecolor="none", hatch="///////", edgecolor=INK, linewidth=0.4, label="no score (n/a)")
    bar.legend(handles=[patch] * bool(any_empty), loc="center left", bbox_to_anchor=(1.15, 0.5), frameon=False)


def label_map(axes, block, codes, tilt):
    """Languages at the left, after their script where a new one begins; levels below, operations above."""
    scripts = [script(code) for code in codes]
    first = [index == 0 or scripts[index] != scripts[index - 1] for index in range(len(codes))]
    names = [f"{name} {code}" if new else code for name, new, code in zip(scripts, first, codes)]
    axes.set_yticks(range(len(codes)), names)
    axes.set_xticks(range(len(block)), [level.removeprefix("rate") for _, level in block])
    axes.tick_params(length=0)
    axes.set_xlabel("level" if any(level for _, level in block) else "", labelpad=2)
    axes.spines[:].set_visible(False)
    above = {"ha": "left", "va": "bottom", "rotation": tilt, "rotation_mode": "anchor"}
    for start in [index for index, (name, _) in enumerate(block) if index == 0 or block[index - 1][0] != name]:
        axes.text(start - 0.45, -0.75, brief(block[start][0]), **above)
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


def map_in_words(setting, values, columns, codes):
    worst, best = (np.unravel_index(pick(values), values.shape) for pick in (np.nanargmax, np.nanargmin))
    most, least = (
        f"{codes[row]} under {'-'.join(filter(None, columns[column]))}, {values[row, column]:.1f}"
        for row, column in (worst, best)
    )
    middle, empty = np.nanmedian(values), int(np.isnan(values).sum())
    return (
        f"Points lost by {setting}: median {middle:.1f}; most for {most}; least for {least}; {empty} of {values.size} "
        "cells n/a."
    )
