"""The figures of one task: clean against noisy, score by noise level, points lost per language.

    for figure in figures(scores, {"English": ["en"], "Latin": ["de", "sw"], "non-Latin": ["hi", "ru"]}):
        Path(f"{figure.name}.svg").write_text(figure.svg)

What is plotted comes from reporting/panels.py. Needs numpy and matplotlib.
"""

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from reporting.drawing import INK, STYLE, WIDTH, brief, finish, place
from reporting.heatmaps import heat_maps
from reporting.panels import SHOWN, Panel, group_means, multiples, only, operations, panel, strength

# Okabe and Ito's without yellow and black, and a gray.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8F98")
MARKERS = "sD^vPX*"
ABREAST, ROW, BETWEEN = 4, 1.6, 0.4  # panels of score by level: in a line, inches of a line, and below a block of them


def figures(scores, groups):
    """Figures of one task, none without noisy scores. `groups` is {name: [codes]}, codes from scores.languages."""
    if not scores.conditions or np.isnan(scores.noisy).all():
        return []
    with matplotlib.rc_context(STYLE):
        parts = [only(scores, indices) for indices in multiples(scores)]
        drawn = [draw(part, groups, of) for draw in (slopes, levels) for part, of in numbered(parts)]
        return [*drawn, *heat_maps(scores)]


def numbered(parts):
    """[(part, "" or "(1 of 3)")]"""
    return [(part, f" ({index} of {len(parts)})" if len(parts) > 1 else "") for index, part in enumerate(parts, 1)]


def look(index):
    """Line style of a setting: the baseline in ink, thick and dashed."""
    if index == 0:
        style = {"color": INK, "linewidth": 1.8, "linestyle": (0, (4, 1.5)), "marker": "o", "zorder": 5}
    else:
        color, marker = COLORS[(index - 1) % len(COLORS)], MARKERS[(index - 1) % len(COLORS)]
        style = {"color": color, "linewidth": 1.3, "linestyle": "-", "marker": marker, "zorder": 3}
    return {**style, "markersize": 4}


# --- Score by noise level


def levels(part, groups, of=""):
    """Score against level: a panel per operation (columns, four abreast) and language group (rows)."""
    panels = {(name, group): panel(part, name, codes) for name in operations(part) for group, codes in groups.items()}
    caption = (
        f"{capital(part.metric)} in percent against the level of noise, 0 being clean text, averaged over the "
        f"languages of each group that have clean and all levels in every setting drawn. {of_several(of)}"
        "Bands are the standard deviation over seeds, averaged over languages, where there are several seeds; "
        "replicates of a condition are averaged. Numbers: the tables' CSV files."
    )
    canvas, words = draw_levels(part, panels, groups), levels_in_words(part, panels, groups)
    return finish(canvas, f"{part.task}-levels{suffix(of)}", f"Score by noise level{of}", caption, words)


def draw_levels(part, panels, groups):
    """Blocks of up to four operations one below the other, each with a line of panels per group; a legend above."""
    names = list(operations(part))
    steps = sorted({level for own in operations(part).values() for level in own}, key=strength)
    across = min(ABREAST, len(names))
    blocks = [names[start : start + across] for start in range(0, len(names), across)]
    labels = [brief(setting) for setting in part.settings]
    columns = max(1, int(WIDTH / (0.55 + 0.075 * max(map(len, labels)))))
    top, width = 0.2 + 0.19 * -(-len(labels) // columns), (WIDTH - 0.7) / across
    height = top + (ROW * len(groups) + BETWEEN) * len(blocks)
    canvas = Canvas(figsize=(WIDTH, height))
    # A label that began with "_" would be none.
    handles = [Line2D([], [], label=f" {label}", **look(index)) for index, label in enumerate(labels)]
    above = {"loc": "upper left", "bbox_to_anchor": (0.05, 1)}
    canvas.legend(handles=handles, ncols=columns, frameon=False, handlelength=2.8, **above)
    for line, (block, group) in enumerate((block, group) for block in blocks for group in groups):
        last = (line + 1) % len(groups) == 0
        bottom = height - top - ROW * (line + 1) - BETWEEN * (line // len(groups)) + 0.02
        y_limits = limits([panels[name, group] for name in names])
        for column, name in enumerate(block):
            axes = place(canvas, 0.68 + column * width, bottom, width - 0.18, ROW - 0.52)
            draw_panel(axes, panels[name, group], steps, y_limits)
            title = f"{brief(name, 22)}\n{coverage(panels[name, group])}"
            axes.set_title(title, loc="left", linespacing=1.3, y=1)  # a given y saves a search
            axes.tick_params(labelleft=column == 0, labelbottom=last)
            axes.set_ylabel(f"{group}\n{part.metric}, percent" if column == 0 else "")
            axes.set_xlabel("level (0 = clean)" if last else "")
    return canvas


def draw_panel(axes, one, steps, y_limits):
    positions = [0, *(1 + steps.index(level) for level in one.levels)]
    if not one.languages:
        axes.text(0.5, 0.5, "n/a", transform=axes.transAxes, ha="center", va="center")
    for index, (mean, spread) in enumerate(zip(one.mean, one.spread)):
        style = look(index)
        if not np.isnan(mean).any():
            axes.plot(positions, mean, **style)
            if not np.isnan(spread).any():
                band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
                axes.fill_between(positions, mean - spread, mean + spread, **band)
    axes.set_xlim(-0.25, len(steps) + 0.25)
    axes.set_xticks(range(len(steps) + 1), ["0", *(level.removeprefix("rate") for level in steps)])
    axes.set_ylim(y_limits)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)


def limits(panels):
    """One range of scores for a row of panels, with a margin."""
    spreads = [np.nan_to_num(one.spread) for one in panels]
    ends = [np.append(one.mean - spread, one.mean + spread) for one, spread in zip(panels, spreads)]
    every = np.concatenate(ends)
    every = every[~np.isnan(every)]
    low, high = (every.min(), every.max()) if every.size else (0, 100)
    margin = max(1, 0.06 * (high - low))
    return low - margin, high + margin


def coverage(one):
    number = len(one.languages)
    return f"{number} language{'s' * (number != 1)}" if number == one.of else f"{number} of {one.of} languages"


# --- Clean against noisy


def slopes(part, groups, of=""):
    """Clean to noisy mean: a line per setting, a panel per language group, over the same number of points in each."""
    means = {group: group_means(part, codes) for group, codes in groups.items()}
    labels = [brief(setting) for setting in part.settings]
    room = 0.35 + 0.075 * (5 + max(map(len, labels)))  # inches for the labels at the right
    across = max(1, min(len(groups), int(WIDTH / (1.6 + room))))
    lines, row = -(-len(groups) // across), 2.8
    canvas = Canvas(figsize=(WIDTH, row * lines))
    ends = [np.array([clean, noisy]) for clean, noisy, _ in means.values()]
    span = max([np.nanmax(both) - np.nanmin(both) for both in ends if not np.isnan(both).all()], default=1) * 1.16 + 1
    for number, (group, (clean, noisy, languages)) in enumerate(means.items()):
        left, bottom = 0.62 + (number % across) * WIDTH / across, row * (lines - 1 - number // across) + 0.3
        axes = place(canvas, left, bottom, WIDTH / across - 0.62 - room, row - 0.75)
        shared = coverage(Panel([], clean, noisy, languages, len(groups[group])))
        axes.set_title(f"{group}\n{shared}", loc="left", linespacing=1.3)
        axes.set_ylabel(f"{part.metric}, percent")
        draw_slopes(axes, clean, noisy, labels, span)
    caption = (
        f"{capital(part.metric)} in percent on clean text and its mean under noise (the mean over operations of the "
        "mean over levels), averaged over languages; an operation counts for a language where every setting drawn "
        f"has it. {of_several(of)}All panels span the same number of points, so slopes compare between them."
    )
    words = [f"{group}: {slope_in_words(part, clean, noisy)}" for group, (clean, noisy, _) in means.items()]
    alternative = f"{part.metric}, percent. {' '.join(words)}"
    return finish(canvas, f"{part.task}-slopes{suffix(of)}", f"Clean against noisy{of}", caption, alternative)


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
        pointer = {"color": style["color"], "linewidth": 0.8, "clip_on": False}
        axes.plot([1 + 0.06 * inch, 1 + 0.24 * inch], [noisy[index], level], **pointer)
        label, weight = f"{noisy[index]:.1f} {labels[index]}", "bold" if index == 0 else "normal"
        axes.text(1 + 0.28 * inch, level, label, va="center_baseline", fontweight=weight)


def apart(values, gap):
    """Positions as near to `values` as can be with at least `gap` between neighbors, in the order of `values`."""
    blocks = []  # [center, indices]: neighbors that touch move as one
    for index in np.argsort(values, kind="stable"):
        blocks.append([float(values[index]), [index]])
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (len(blocks[-1][1]) + len(blocks[-2][1])) / 2:
            (second, right), (first, left) = blocks.pop(), blocks.pop()
            blocks.append([(first * len(left) + second * len(right)) / (len(left) + len(right)), left + right])
    places = np.empty(len(values))
    for center, indices in blocks:
        places[indices] = center + gap * (np.arange(len(indices)) - (len(indices) - 1) / 2)
    return places


# --- Words


def capital(words):
    return words[:1].upper() + words[1:]


def of_several(of):
    """What to know of a figure that draws some of the settings; `of` is "(1 of 3)" or ""."""
    return f"Every figure{of} has the baseline and up to {SHOWN - 1} of the other settings. " if of else ""


def suffix(of):
    """Of the figure's name: "-2" for " (2 of 3)"."""
    return f"-{of.split()[0][1:]}" if of and not of.startswith(" (1 ") else ""


def levels_in_words(part, panels, groups):
    words = [f"{part.metric}, percent, of {part.settings[0]}, the baseline, from clean to the strongest level."]
    for group in groups:
        means = {name: panels[name, group].mean[0] for name in operations(part)}
        drops = [(name, mean[0], mean[-1]) for name, mean in means.items() if not np.isnan(mean).any()]
        drops.sort(key=lambda drop: drop[1] - drop[2])
        ends = zip(("most", "least"), dict.fromkeys([*drops[-1:], *drops[:1]]))
        said = [f"{which} under {name}, {clean:.1f} to {noisy:.1f}" for which, (name, clean, noisy) in ends]
        words.append(f"{group}: {'; '.join(said) or 'n/a'}.")
    return " ".join(words)


def slope_in_words(part, clean, noisy):
    means = zip(part.settings, clean, noisy)
    pairs = [f"{name} {one:.1f} clean, {other:.1f} noisy" for name, one, other in means if not np.isnan(one + other)]
    return ("; ".join(pairs) or "n/a") + "."
