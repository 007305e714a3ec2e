"""Robustness at equal clean accuracy: effective robustness rho, the size coefficient gamma, matched-accuracy curves.

A gap grows with the clean score, and at chance every model is "robust". So noisy accuracy q is compared with what
clean accuracy p predicts (Taori et al. 2020), on the logit scale, with an intercept per language, or the difficulty
of a script would be taken for robustness:

    logit q = a(language) + b logit p + gamma [larger model]

fitted by least squares to the reference runs, those without phase 2: every size, seed and training fraction. rho of a
run is q minus what the fit without gamma predicts, in points. Both are refused where the reference says too little:
fewer than 10 points, less than 20 points of clean accuracy within every language, or sizes whose clean accuracy does
not overlap. Languages near chance are left out.
"""

import json
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from scipy.special import expit, logit

from reporting.answers import SINGLE, called, foreign, given, guess_text, p_field, span
from reporting.drawing import INK, STYLE, WIDTH, brief, finish, place
from reporting.parts import Field, Interval, Table, natural
from reporting.statistics import by_unit, difference, intervals

LEAST_POINTS, LEAST_SPAN = 10, 0.2  # of a fit: points, and range of clean accuracy within a language
MANY = 1e12  # logits have no rule of three


class Size(NamedTuple):
    name: str  # of the checkpoint that all training began from
    parameters: int  # without embeddings; 0 where config.json does not tell
    all_parameters: int


class Cells(NamedTuple):
    """Clean and noisy accuracy of all runs as fractions, [..., runs, languages]."""

    clean: np.ndarray
    noisy: np.ndarray
    examples: np.ndarray  # [languages]

    def logits(self):
        """(logit p, logit q), clipped by half an example."""
        least = 0.5 / self.examples
        return tuple(logit(np.clip(one, least, 1 - least)) for one in (self.clean, self.noisy))


# --- Fits


def centered(values, rows):
    """`values` [..., runs, languages] of `rows` minus each language's mean over them."""
    own = values[..., rows, :]
    return own - own.mean(-2, keepdims=True)


def fit(x, y, rows, large=None):
    """(intercepts [..., languages], slope [...], gamma [...] or 0) of y over x, [..., runs, languages], by `rows`.

    `large` [runs] is 1 for runs of the larger model, 0 for others.
    """
    dx, dy = centered(x, rows), centered(y, rows)
    xx, xy = (dx * dx).sum((-2, -1)), (dx * dy).sum((-2, -1))
    gamma, mean_size = np.zeros_like(xx), 0.0
    if large is not None:
        size = np.broadcast_to(np.asarray(large, float)[:, None], x.shape)
        ds, mean_size = centered(size, rows), np.mean(np.asarray(large, float)[rows])
        ss, sx, sy = (ds * ds).sum((-2, -1)), (ds * dx).sum((-2, -1)), (ds * dy).sum((-2, -1))
        gamma = (sy * xx - sx * xy) / (ss * xx - sx**2)
        slope = (xy - gamma * sx) / xx
    else:
        slope = xy / xx
    means = [values[..., rows, :].mean(-2) for values in (x, y)]
    return means[1] - slope[..., None] * means[0] - gamma[..., None] * mean_size, slope, gamma


def effective(cells, rows):
    """rho [..., runs] in points, the mean over languages of what noisy accuracy is above its prediction."""
    x, y = cells.logits()
    intercepts, slope, _ = fit(x, y, rows)
    predicted = expit(intercepts[..., None, :] + slope[..., None, None] * x)
    return 100 * (cells.noisy - predicted).mean(-1)


def determination(cells, rows):
    """R squared of the fit within languages."""
    x, y = cells.logits()
    _, slope, _ = fit(x, y, rows)
    dx, dy = centered(x, rows), centered(y, rows)
    return float(1 - ((dy - slope * dx) ** 2).sum() / (dy**2).sum()) if (dy**2).sum() else 1.0


def refusal(cells, rows):
    """Why there is no fit, or ""."""
    points = len(rows) * cells.clean.shape[-1]
    if points < LEAST_POINTS:
        return f"{points} points of reference runs, a fit takes {LEAST_POINTS}"
    span = np.ptp(cells.clean[rows], axis=0).max()
    if span < LEAST_SPAN:
        return (
            f"clean accuracy of the reference runs spans {100 * span:.1f} points within a language, a fit takes "
            f"{100 * LEAST_SPAN:.0f}: add runs with --max_train_samples"
        )
    return ""


def no_overlap(clean, large, rows):
    """Why two sizes are not compared: their clean accuracy, [runs, languages], does not overlap; or ""."""
    means, large = clean.mean(-1), np.asarray(large, bool)
    small, big = means[[row for row in rows if not large[row]]], means[[row for row in rows if large[row]]]
    if max(small.min(), big.min()) < min(small.max(), big.max()):
        return ""
    ranges = " and ".join(f"{100 * side.min():.1f} to {100 * side.max():.1f}" for side in (small, big))
    return f"clean accuracy of the two sizes does not overlap ({ranges})"


def gamma_difference(cells, again, small, big, clusters):
    """gamma as a Difference in logits: as all runs have all languages, what both sizes differ in beyond slope * p.

    The slope is fitted anew in every resample; runs are the units. `again` are the Cells of resamples.
    """
    rows, large = [*small, *big], np.zeros(cells.clean.shape[-2])
    large[big] = 1
    beyond = []
    for one in (cells, again):
        x, y = one.logits()
        _, slope, _ = fit(x, y, rows, large)
        beyond.append((y - slope[..., None, None] * x).mean(-1))
    sides = [by_unit(beyond[0], beyond[1], [[run] for run in side]) for side in (big, small)]
    return difference(*sides, clusters, MANY)


# --- Of a study


def size_of(run):
    """The Size of a run's model, by its config.json."""
    name = run.root
    try:
        config = json.loads((run.folder / "config.json").read_text(encoding="utf-8"))
        layers, width, inner = (config[key] for key in ("num_hidden_layers", "hidden_size", "intermediate_size"))
        layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
        embedded = (config["vocab_size"] + config["max_position_embeddings"]) * width
    except (OSError, KeyError, TypeError, ValueError):
        return Size(name, 0, 0)
    return Size(name, layers * layer, layers * layer + embedded)


def cells_of(study, quantity):
    """(Cells of all runs, Cells of resamples, smallest number of clusters), languages above the floor but English.

    None where no language has the quantity.
    """
    column = study.quantities.index(quantity)
    having = [study.measured[code] for code in foreign(study) if code not in study.floor]
    having = [one for one in having if one.examples >= 200 and np.isfinite(one.points[:, column]).all()]
    if not having:
        return None
    examples = np.array([one.examples for one in having])
    sides = [(one.points / 100, one.resamples / 100) for one in having]
    points, again = (np.stack(side, axis=-1) for side in zip(*sides))
    cells = Cells(points[:, 0], points[:, column], examples)
    draws = Cells(again[:, :, 0].astype(float), again[:, :, column].astype(float), examples)
    return cells, draws, min(one.clusters for one in having)


def scale_section(study, keys, every):
    """(tables, figures) of a task: effective robustness where there is a fit; all, refusals too, for `every`."""
    reference = references(study)
    if not every:
        table = effective_table(study, keys, reference)
        return [table] * bool(table.lines), []
    tables = [effective_table(study, keys, reference), gamma_table(study)]
    curves = {size.name: curve(study, reference, size.name) for size in sizes_of(study)}
    curves = {name: points for name, points in curves.items() if points is not None}
    tables.append(matched_table(study, curves))
    return tables, [matched_figure(study, curves)] if curves else []


def effective_table(study, keys, reference):
    """rho of each setting, by kind of noise, with its difference from the baseline's."""
    lines, compared, fits = [], [], []
    for quantity in ("noisy", *study.operations):
        cells = cells_of(study, quantity)
        reason = refusal(cells[0], reference) if cells else "no language has it above the floor"
        if reason:
            fits.append(f"{quantity}: no fit, {reason}")
            continue
        points, again = effective(cells[0], reference), effective(cells[1], reference)
        x, y = cells[0].logits()
        number = len(reference) * x.shape[-1]
        about = f"{float(fit(x, y, reference)[1]):.2f}, R² {determination(cells[0], reference):.2f}"
        fits.append(f"{quantity}: {number} points, slope {about}")
        sides = {name: by_unit(points, again, study.units(name)) for name in study.settings}
        for name, (own, _) in sides.items():
            one = difference(sides[name], sides[study.baseline], cells[2], MANY) if name != study.baseline else None
            compared += [one] if one else []
            lines.append([quantity, name, Field(f"{own.mean():+.2f}", float(own.mean()), keys[name]), one])
    low, high, p = map(iter, intervals(compared))
    for line in lines:
        one = line.pop()
        ends = (float(next(low)), float(next(high))) if one else None
        text = f"{one.value:+.2f} ({ends[0]:.2f} to {ends[1]:.2f}){' †' if one.single else ''}" if one else "baseline"
        line += [Interval(text, *(ends or ("", ""))), p_field(next(p)) if one else ""]
    caption = (
        "ρ: points of noisy accuracy above what clean accuracy predicts, by a fit to the runs without phase 2 on the "
        "logit scale with an intercept per language; then its difference from the baseline's with a 95 % interval and "
        f"raw p (secondary). {'; '.join(fits)}. A guess scores {guess_text(study)}. "
        f"{given(study)}{SINGLE if any(one.single for one in compared) else ''}"
    )
    header = ("noise", "setting", "ρ", "from the baseline (95 %)", "p")
    return Table(f"{study.task}-effective", "Effective robustness", caption.rstrip(), header, lines, labels=2)


def references(study):
    """The runs without phase 2, to which everything is fitted."""
    return [index for index, run in enumerate(study.runs) if not run.phase2]


def sizes_of(study):
    """Every Size of a task's runs, the smallest first."""
    return sorted({size_of(run) for run in study.runs}, key=lambda one: (one.parameters, natural(one.name)))


def unknown(sizes):
    """Why no two sizes are compared, or ""."""
    if not all(size.parameters for size in sizes):
        return "A run has no config.json with its size."
    return "" if len(sizes) > 1 else "One size only."


def gammas(study, quantities):
    """[(quantity, Size, number of runs, (Difference, low, high, p) of gamma or why it is refused)]: each larger size
    against the smallest.
    """
    reference, sizes, fits = references(study), sizes_of(study), []
    for size in [] if unknown(sizes) else sizes[1:]:
        big = [index for index in reference if study.runs[index].root == size.name]
        small = [index for index in reference if study.runs[index].root == sizes[0].name]
        for quantity in quantities if big and small else ():
            cells = cells_of(study, quantity)
            large = [index in big for index in range(len(study.runs))]
            reason = "no language has it above the floor" if cells is None else refusal(cells[0], small + big)
            reason = reason or no_overlap(cells[0].clean, large, small + big)
            one = reason or gamma_difference(cells[0], cells[1], small, big, cells[2])
            fits.append((quantity, size, len(small) + len(big), one))
    told = iter(zip(*intervals([one for *_, one in fits if not isinstance(one, str)])))
    return [(*head, one if isinstance(one, str) else (one, *map(float, next(told)))) for *head, one in fits]


def gamma_table(study):
    """gamma of each size against the smallest, by kind of noise."""
    lines, fits, sizes = [], [], sizes_of(study)
    for quantity, size, runs, fitted in gammas(study, ("noisy", *study.operations)):
        if isinstance(fitted, str):
            fits.append(f"{quantity}: {fitted}")
            continue
        one, low, high, p = fitted
        names = f"{size.name} ({millions(size)}) against {sizes[0].name} ({millions(sizes[0])})"
        interval = Interval(f"{low:.2f} to {high:.2f}{' †' if one.single else ''}", low, high)
        lines.append(
            [quantity, names, Field(f"{one.value:+.2f}", one.value), interval, p_field(p), Field(str(runs), runs)]
        )
    why = f" {unknown(sizes)}".rstrip()
    caption = (
        "γ: how much higher the logit of noisy accuracy is with the larger model at equal clean accuracy; only an "
        f"interval without 0 says more or less robust. Parameters are without embeddings.{why} "
        f"A guess scores {guess_text(study)}. "
        f"{'; '.join(fits)}"
    )
    header = ("noise", "sizes", "γ", "95 % interval", "p", "runs")
    return Table(f"{study.task}-gamma", "Size at equal clean accuracy", caption.strip(), header, lines, labels=2)


def scale_answer(study):
    """Whether the larger encoders are more robust than the smallest one at equal clean accuracy: a sentence."""
    sizes, said = sizes_of(study), []
    if unknown(sizes):
        return f"Whether a larger encoder is more robust cannot be told: {unknown(sizes)}"
    metric = called(study.metric)
    for _, size, runs, fitted in gammas(study, ("noisy",)):
        against = f"{size.name} is {{}} robust to noise than {sizes[0].name}"
        if isinstance(fitted, str):
            said.append(f"Whether {against.format('more')} at equal clean {metric} cannot be told: {fitted}.")
            continue
        one, low, high, p = fitted
        about = f"γ {one.value:+.2f}, 95 %: {span(low, high, 2)}; {runs} runs"
        told = "more" if low > 0 else "less" if high < 0 else "not found to be more or less"
        only = " with one run on a side and so in these runs only," * one.single
        said.append(f"At equal clean {metric},{only} {against.format(told)} ({about}).")
    return " ".join(said) or f"Whether a larger encoder than {sizes[0].name} is more robust cannot be told: {NO_RUNS}"


NO_RUNS = "it takes runs without intermediate training of two sizes."


def millions(size):
    return f"{size.parameters / 1e6:.1f} M, with embeddings {size.all_parameters / 1e6:.1f} M"


# --- Matched accuracy


def curve(study, reference, root):
    """[settings, (clean, noisy, deviation of noisy)] in percent, by clean accuracy: a size's training fractions."""
    cells = cells_of(study, "noisy")
    if cells is None:
        return None
    points = []
    for name in study.settings:
        own = [index for index in study.members(name) if index in reference and study.runs[index].root == root]
        if own:
            clean, noisy = (100 * side[own].mean(-1) for side in (cells[0].clean, cells[0].noisy))
            points.append((clean.mean(), noisy.mean(), noisy.std(ddof=1) if len(own) > 1 else np.nan))
    return np.array(sorted(points)) if points else None


def matched(one, other, steps=5):
    """[(clean, noisy of one, noisy of the other)] where two curves overlap in clean accuracy; [] where they do not."""
    low, high = max(one[0, 0], other[0, 0]), min(one[-1, 0], other[-1, 0])
    if low >= high:
        return []
    at = np.linspace(low, high, steps)
    return list(zip(at, np.interp(at, one[:, 0], one[:, 1]), np.interp(at, other[:, 0], other[:, 1])))


def matched_table(study, curves):
    """Noisy accuracy of two sizes at equal clean accuracy, between their training fractions."""
    lines, said = [], []
    names = list(curves)
    for name in names[1:]:
        pairs = matched(curves[names[0]], curves[name])
        said += [] if pairs else [f"{names[0]} and {name}: refused, their clean accuracy does not overlap"]
        for clean, small, big in pairs:
            fields = [Field(f"{value:.1f}", float(value)) for value in (clean, small, big)]
            lines.append([name, *fields, Field(f"{big - small:+.1f}", float(big - small))])
    caption = (
        "Noisy accuracy where two sizes are equally good on clean text, by straight lines between the means of their "
        f"training fractions; nothing is assumed within the overlap and nothing said outside. "
        f"A guess scores {guess_text(study)}. "
        f"{'; '.join(said)}"
    )
    header = ("size", "clean", f"noisy {names[0]}" if names else "noisy", "noisy, this size", "difference")
    return Table(f"{study.task}-matched", "Noisy at equal clean accuracy", caption.strip(), header, lines)


def matched_figure(study, curves):
    """Noisy over clean accuracy, a line per size with the deviation over seeds, and y = x."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(WIDTH, 3.6))
        axes = place(canvas, 0.6, 0.5, 4.2, 3.0)
        for index, (name, points) in enumerate(curves.items()):
            color = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")[index % 4]
            clean, noisy, spread = points.T
            axes.plot(clean, noisy, color=color, marker="osD^"[index % 4], markersize=4, label=f" {brief(name)}")
            axes.fill_between(clean, noisy - spread, noisy + spread, color=color, alpha=0.15, linewidth=0)
        every = np.concatenate(list(curves.values()))
        ends = [every[:, :2].min(), every[:, 0].max()]
        axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":", label=" noisy = clean")
        axes.set_xlabel(f"clean {study.metric}, percent")
        axes.set_ylabel(f"noisy {study.metric}, percent")
        canvas.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.69, 0.97))
        caption = (
            "Noisy over clean accuracy, averaged over languages but English, of every training fraction; bands are "
            "the standard deviation over seeds. At equal clean accuracy the higher line is the more robust model."
        )
        words = "; ".join(
            f"{name}: " + ", ".join(f"{clean:.1f} clean {noisy:.1f} noisy" for clean, noisy, _ in points)
            for name, points in curves.items()
        )
        return finish(
            canvas, f"{study.task}-matched", "Noisy over clean accuracy by size", caption, f"Percent. {words}."
        )
