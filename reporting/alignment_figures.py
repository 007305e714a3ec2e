"""Curves of alignment over layers: panels by script group and setting, a line per level of noise, its floor dashed."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from reporting.alignment import TASK
from reporting.drawing import INK, STYLE, WIDTH, brief, finish, place
from reporting.figures import COLORS
from reporting.panels import strength

ABREAST = 4  # settings in a line
SHOWN = {"top1_csls": "top-1 by CSLS, percent", "cka": "debiased CKA"}


def alignment_figures(study):
    with matplotlib.rc_context(STYLE):
        return [curves(study, metric) for metric in SHOWN]


def lines_of(one, codes, metric):
    """{"clean" or level: [mean, low, high, floor], each [layers]}: means over languages, and operations of a level."""
    levels = {"clean": ["clean"]}
    for name, _, level in sorted(one.conditions, key=lambda condition: strength(condition[2])):
        levels.setdefault(level, []).append(name)
    parts = ("value", "low", "high", "floor")
    return {
        level: np.array(
            [
                [np.nanmean([one.mean(codes, name, layer, metric, part) for name in names]) for layer in one.layers]
                for part in parts
            ]
        )
        for level, names in levels.items()
        if any((code, name, one.layers[0], metric) in one.rows for code in codes for name in names)
    }


def curves(study, metric):
    """The Figure of one metric."""
    groups = {title: codes for title, codes in study.groups.items() if "script" in title}
    groups = groups or {"all languages": study.groups["all languages"]}
    settings = list(study.runs)[: ABREAST * 2]
    blocks = [settings[start : start + ABREAST] for start in range(0, len(settings), ABREAST)]
    width, row = (WIDTH - 0.7) / min(ABREAST, len(settings)), 1.7
    canvas = Canvas(figsize=(WIDTH, 0.4 + row * len(groups) * len(blocks)))
    levels, words = {}, []
    for line, (block, title) in enumerate((block, title) for block in blocks for title in groups):
        bottom = row * (len(blocks) * len(groups) - line - 1) + 0.4
        for column, setting in enumerate(block):
            axes = place(canvas, 0.6 + column * width, bottom, width - 0.15, row - 0.75)
            drawn = lines_of(study.runs[setting], groups[title], metric)
            levels |= draw(axes, study.runs[setting], drawn)
            axes.set_title(f"{brief(setting, 20)}\n{title}", loc="left", linespacing=1.3)
            axes.set_ylabel(SHOWN[metric] if column == 0 else "")
            axes.tick_params(labelleft=column == 0)
            ends = [f"{level} {mean[0][0]:.2f} to {mean[0][-1]:.2f}" for level, mean in drawn.items()]
            words.append(f"{setting}, {title}, first to last layer: {', '.join(ends)}.")
    canvas.legend(handles=list(levels.values()), labels=list(levels), loc="upper right", ncols=6, frameon=False)
    depth = "relative depth" if study.notes else "layer"
    caption = (
        f"{SHOWN[metric]} by {depth} (0: the embeddings), means over the languages of a group; levels of noise are "
        "means over operations. Bands are 95 % intervals over sentences, averaged over languages; dashed: shuffled "
        "lines, the floor. The dotted line is the protocol's layer."
    )
    return finish(canvas, f"{TASK}-{metric}", f"Layer by layer: {SHOWN[metric]}", caption, " ".join(words))


def draw(axes, one, drawn):
    """One panel; returns {label: its line}, for the legend."""
    scale = one.layers[-1] if one.layers[-1] else 1
    x, handles = np.array(one.layers) / scale, {}
    for index, (level, (mean, low, high, floor)) in enumerate(drawn.items()):
        color = INK if index == 0 else COLORS[(index - 1) % len(COLORS)]
        (line,) = axes.plot(x, mean, color=color, linewidth=1.3)
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        handles["clean" if level == "clean" else f"level {level}"] = line
        if index == 0:
            axes.plot(x, floor, color=color, linewidth=0.8, linestyle="--")
    axes.axvline(one.protocol / scale, color=INK, alpha=0.4, linewidth=0.6, linestyle=":")
    shown = [layer for layer in one.layers if layer % max(1, len(one.layers) // 5) == 0]
    axes.set_xticks([layer / scale for layer in shown], [str(layer) for layer in shown])
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
    return handles
