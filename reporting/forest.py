"""The forest plot of the primary comparisons: a point and its interval for each, by task and setting."""

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from reporting.drawing import INK, STYLE, WIDTH, brief, finish, place

LINE, COLORS = 0.17, {"clean": "#0072B2", "noisy": "#D55E00"}  # inches of a line; Okabe and Ito's blue and vermilion
NAMES, MARKERS = {"clean": "clean text", "noisy": "under noise"}, {"clean": "o", "noisy": "s"}
IN_WORDS = {"clean": "blue circles on clean text", "noisy": "vermilion squares under noise"}


def forest(found):
    """[Figure] of Primary comparisons, in their order; clean is an open circle, noisy a filled square."""
    rows, last = [], None
    for one in found:
        if (one.task, one.setting) != last:
            rows += [None] * bool(last and one.task != last[0])  # a line between tasks
            last = one.task, one.setting
        rows.append(one)
    marks = ", ".join(IN_WORDS[score] for score in scores_of(found))
    caption = (
        "Difference from the baseline in points, averaged over all languages but English, with 95 % intervals: "
        f"{marks}. Filled and bold: p below 0.05 after Holm's correction over the comparisons of the task. Dotted: "
        "one run or encoder on a side, so the interval is about that run."
    )
    words = "; ".join(
        f"{one.task} {one.setting} {NAMES[one.score]} {one.value:+.1f} ({one.low:+.1f} to {one.high:+.1f})"
        for one in found
    )
    alternative = f"Points of difference. {words}."
    with matplotlib.rc_context(STYLE):
        return [finish(draw(rows), "primary", "The primary comparisons, drawn", caption, alternative)]


def scores_of(rows):
    """Which of "clean" and "noisy" there are."""
    return [score for score in COLORS if any(one and one.score == score for one in rows)]


def labels_of(rows):
    """What stands before each row: its setting, and the task, where they are not the row above's."""
    labels, seen = [], (None, None)
    for one in rows:
        label = ""
        if one and seen != (one.task, one.setting):
            label = brief(one.setting, 22) if seen[0] == one.task else f"{one.task}:  {brief(one.setting, 22)}"
            seen = one.task, one.setting
        labels.append(label)
    return labels


def draw(rows):
    height = LINE * len(rows) + 0.75
    canvas = Canvas(figsize=(WIDTH, height))
    labels = labels_of(rows)
    left = 0.3 + 0.075 * max(map(len, labels))
    axes = place(canvas, left, 0.42, WIDTH - left - 1.8, LINE * len(rows))
    axes.axvline(0, color=INK, linewidth=0.8)
    for index, one in enumerate(rows):
        if one is None:
            continue
        y, color = -index, COLORS[one.score]
        axes.plot([one.low, one.high], [y, y], color=color, linewidth=1.3, linestyle=":" if one.single else "-")
        fill = color if one.found else "none"
        axes.plot([one.value], [y], MARKERS[one.score], markersize=4.5, markerfacecolor=fill, markeredgecolor=color)
        weight = "bold" if one.found else "normal"
        text = f"{one.value:+.1f}  ({one.low:+.1f} to {one.high:+.1f})"
        beside = {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}
        axes.text(1.02, y, text, fontweight=weight, **beside)
        axes.text(-0.02, y, labels[index], ha="right", **beside)
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.set_xlabel("points of difference from the baseline")
    style = {"markersize": 4.5, "markerfacecolor": "none"}
    handles = [
        Line2D([], [], color=COLORS[score], marker=MARKERS[score], label=NAMES[score], **style)
        for score in scores_of(rows)
    ]
    canvas.legend(handles=handles, ncols=2, frameon=False, loc="upper left", bbox_to_anchor=(0.33, 1))
    return canvas
