"""Translation in a report (study 5): what noise takes from each encoder's translations, by resources of the language.

Scores are chrF++ of the Study, whose intervals rest on resampled lines and on decoder seeds as runs; BLEU and faults
are those of results.jsonl, CONSIS that of robustness.jsonl. Definitions: docs/translation.md.
"""

import json
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from common.files import InputError
from common.task_records import RATIO_FLOOR, TRANSLATION
from reporting.answers import WORDS, amount, called, series, span
from reporting.drawing import INK, STYLE, WIDTH, brief, finish, place
from reporting.figures import COLORS
from reporting.measure import compare
from reporting.panels import strength
from reporting.parts import Field, Interval, Table
from reporting.runs import REMEDY
from reporting.statistics import Difference, holm, intervals, noisy_weights
from reporting.tables import SINGLE, count, difference_fields, given, seeds_text, spread, units_text
from tasks import LANGUAGES

HIGH = 20  # GiB of XLM-R's pretraining text from which a language is a high-resource one
GROUPS = ("seen, low-resource", "unseen", "high-resource")
NOT_COMPARED = [Field("-"), Interval("-", None, None), Field("-"), Field("-")]
HEADER = (
    "encoder", "languages", "number", "lines", "clean BLEU", "clean chrF++", "noisy chrF++", "gap", "ROBUST", "CONSIS",
    "slope", "empty", "repeated", "difference", "95 % interval", "p", "p (Holm)", "no ratio",
)  # fmt: skip


def resource_groups(codes):
    """{title: codes} by XLM-R's pretraining text; a language that tasks.py does not know is in none."""
    groups = {title: [] for title in GROUPS}
    for code in codes:
        if code in LANGUAGES and code != "en":
            size = LANGUAGES[code].cc100_gib
            groups[GROUPS[1] if size == 0 else GROUPS[2] if size >= HIGH else GROUPS[0]].append(code)
    return {title: members for title, members in groups.items() if members}


def translation_section(study, keys):
    """(tables, figures) of the task "translation": none of another."""
    if study.task != TRANSLATION.name:
        return [], []
    groups, consistencies = resource_groups(study.languages), [read_consistency(run) for run in study.runs]
    languages = {code: [code] for code in study.languages}
    tables = [resources_table(study, keys, groups, consistencies)]
    tables.append(resources_table(study, keys, languages, consistencies, by_language=True))
    return tables, [levels_figure(study, groups)] if study.operations else []


# --- One line: a setting on some languages


def read_consistency(run):
    """{(language, condition): CONSIS in percent} of a run's robustness.jsonl; {} where it has none."""
    path, values = run.folder / "robustness.jsonl", {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if "consis" in row:
                values[row["language"], row["condition"]] = float(row["consis"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}, line {number}: broken: {line[:80]!r}; {REMEDY}") from None
    return values


def under_noise(values, conditions):
    """The mean over operations of means over levels of {condition: number}; NaN where one is missing."""
    numbers = np.array([values.get(name, np.nan) for name, _, _ in conditions])
    return float(numbers @ noisy_weights(conditions)) if conditions else np.nan


def by_run(study, setting, codes, value):
    """[runs]: the mean over `codes` of value(number of the run, code, Measured), for each run of a setting."""
    return np.array(
        [np.mean([value(run, code, study.measured[code]) for code in codes]) for run in study.members(setting)]
    )


def fault(study, name):
    """value() of by_run: percent of translations with a fault, under noise where there is any."""

    def percent(run, code, one):
        conditions = one.conditions or [("clean", "clean", "1")]
        told = {name: study.runs[run].scores[code, name] for name, _, _ in conditions}
        return under_noise({condition: scores.get(name, np.nan) for condition, scores in told.items()}, conditions)

    return percent


def with_ratio(study, setting, codes):
    """The languages of which a ratio says something: whose clean text the setting translates; a floor none."""
    return [code for code in codes if study.clean(setting, code) > RATIO_FLOOR and setting not in study.floors]


def fields(study, keys, setting, codes, consistencies):
    """The entries of a line from clean BLEU to repeated."""
    noised = [code for code in codes if study.measured[code].conditions] or codes
    kept = with_ratio(study, setting, noised)

    def consistency(run, code, one):
        own = {condition: value for (known, condition), value in consistencies[run].items() if known == code}
        return under_noise(own, one.conditions)

    values = (  # languages, value of a run on one of them, digits
        (codes, lambda run, code, one: study.runs[run].scores[code, "clean"].get("bleu", np.nan), 1),
        (codes, lambda run, code, one: one.points[run, 0], 1),
        (noised, lambda run, code, one: one.points[run, 1], 1),
        (noised, lambda run, code, one: one.points[run, 2], 1),
        (kept, lambda run, code, one: one.points[run, 1] / one.points[run, 0], 3),
        (noised, consistency, 1),
        (
            noised,
            lambda run, code, one: np.mean([own[run] for own in one.slopes.values()]) if one.slopes else np.nan,
            2,
        ),
        (noised, fault(study, "empty"), 1),
        (noised, fault(study, "repeated"), 1),
    )
    return [
        spread(by_run(study, setting, own, value) if own else [], keys[setting], digits)
        for own, value, digits in values
    ]


# --- The tables


def resources_table(study, keys, groups, consistencies, by_language=False):
    """A line per setting and group of languages; differences in noisy chrF++, or clean where nothing is noised."""
    quantity = "noisy" if study.operations else "clean"
    outcomes = {title: compare(study, codes, quantity) for title, codes in groups.items()}
    lines = [(setting, title) for setting in study.settings for title in groups]
    compared = {
        (setting, title): outcomes[title][0][setting]
        for setting, title in lines
        if setting not in (study.baseline, *study.floors) and outcomes[title]
    }
    low, high, p = intervals(list(compared.values()))
    adjusted = dict(zip(compared, zip(low, high, p, holm(p))))
    rows = []
    for setting, title in lines:
        codes, key = groups[title], (setting, title)
        sizes = sorted({study.measured[code].examples for code in codes})
        size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        moved = NOT_COMPARED
        if key in compared:
            moved = difference_fields(compared[key], *adjusted[key], keys[setting])
        without = [code for code in codes if code not in with_ratio(study, setting, codes)]
        numbers = fields(study, keys, setting, codes, consistencies)
        rows.append([setting, title, count(len(codes)), size, *numbers, *moved, " ".join(without)])
    caption = (
        f"Means over languages, {seeds_text(study)} per setting (of decoder and data order). Noisy is the mean over "
        "operations of the mean over levels, gap clean minus noisy, ROBUST noisy over clean, CONSIS (percent) how far "
        "translations of noised text are those of clean text, slope points of chrF++ per percentage point of "
        "realised errors, empty and repeated percents of translations under noise. "
        f"No ratio is taken where clean chrF++ is at most {RATIO_FLOOR}. Difference: {quantity} chrF++ minus that of "
        f"{study.baseline}, from paired resamples of lines; Holm's correction is over the {len(compared)} comparisons "
        f"of this table, which are all encoders, not the floors. {floor_text(study)} {given(study)}"
        f"{SINGLE if any(one.single for one in compared.values()) else ''}"
    )
    name = f"{study.task}-resources{'-by-language' * by_language}"
    title = "Translation" + (" by language" if by_language else " by resources of the language")
    return Table(name, title, " ".join(caption.split()), HEADER, rows, folded=by_language, labels=2)


def floor_text(study):
    """What a decoder scores that learns nothing of the source."""
    guesses = {title: np.mean([study.guess(code) for code in codes])
               for title, codes in resource_groups(study.languages).items()}  # fmt: skip
    source = " and ".join(study.floors) or "outputs against the next line's reference"
    return f"Floor ({source}): {', '.join(f'{title} {value:.1f}' for title, value in guesses.items())}."


# --- What it answers

ANSWERED = ("encoder", "score", "difference", "95 % interval", "p", "p (Holm)", "languages", "runs")


def low_resource(study):
    """The languages that the study is about: those with little pretraining text of XLM-R, or none."""
    groups = resource_groups(study.languages)
    return groups.get(GROUPS[0], []) + groups.get(GROUPS[1], [])


class Compared(NamedTuple):
    """One comparison of the answer, in points."""

    encoder: str
    quantity: str
    difference: Difference
    languages: int
    low: float
    high: float
    p: float  # NaN where a side has one run or encoder
    adjusted: float  # by Holm


def answering(study):
    """[Compared], declared before any number is seen: each encoder against the baseline in noisy chrF++ and in the
    gap, over low-resource languages. The gap is over those of them that are above the floor. Holm's correction is
    over these and nothing else.
    """
    encoders = [name for name in study.settings if name not in (study.baseline, *study.floors)]
    quantities, codes = ("noisy", "gap") if study.operations else ("clean",), low_resource(study)
    outcomes = {quantity: compare(study, codes, quantity) for quantity in quantities if codes}
    rows = [
        (name, quantity, outcome[0][name], len(outcome[1]))
        for name in encoders
        for quantity, outcome in outcomes.items()
        if outcome
    ]
    low, high, p = intervals([one for _, _, one, _ in rows])
    return [Compared(*row, *map(float, numbers)) for row, *numbers in zip(rows, low, high, p, holm(p))]


def low_resource_table(study, keys):
    """What answers for the low-resource languages, in a Table; None where there is nothing to compare."""
    lines, rows = [], answering(study)
    for one in rows:
        numbers = difference_fields(one.difference, one.low, one.high, one.p, one.adjusted, keys[one.encoder])
        runs = " / ".join(dict.fromkeys(units_text(study, name) for name in (one.encoder, study.baseline)))
        lines.append([one.encoder, one.quantity, *numbers, count(one.languages), runs])
    caption = (
        f"Each encoder minus {study.baseline} in points of chrF++, declared before: under noise, and what noise takes "
        f"(gap), over {' '.join(low_resource(study))}, of the gap only those that are above the floor. Holm's "
        f"correction is over the {len(lines)} comparisons of this table. {floor_text(study)} {given(study)}"
        f"{SINGLE if any(one.difference.single for one in rows) else ''}"
    )
    title, name = "From low-resource languages", f"{study.task}-low-resource"
    return Table(name, title, caption.rstrip(), ANSWERED, lines, labels=2) if lines else None


def translation_answer(study):
    """Whether an encoder makes translation from low-resource languages better or more robust than the baseline."""
    rows, codes, base = answering(study), low_resource(study), called(study.baseline)
    if not rows:
        return ""
    quantity = rows[0].quantity
    score = f"chrF++ {WORDS[quantity]}"
    said = [verdict([one for one in rows if one.quantity == quantity], score, f"{score} is", ("higher", "lower"))]
    if taken := [one for one in rows if one.quantity == "gap"]:
        said.append(verdict(taken, "what noise takes", "noise takes", ("more", "less")))
    said += [floor_verdict(study, name, quantity) for name in study.floors]
    text = f"From {len(codes)} low-resource languages, against {base} ({seeds_text(study)} each): {'; '.join(said)}."
    return text if taken or quantity == "clean" else f"{cannot_tell(study, codes)} {text}"


def verdict(rows, subject, claim, directions):
    """ "chrF++ under noise is 5.1 points higher with many (95 %: 4.0 to 6.2); no difference in it is found with mine
    (+0.2, 95 %: -0.4 to 0.8)" of rows of answering().
    """
    found, others = [], []
    for one in rows:
        name, value = called(one.encoder), one.difference.value
        points, interval = amount(value, one.low, one.high, directions)
        if one.adjusted < 0.05:
            found.append(f"{points} with {name} ({interval})")
        else:
            only = ", these runs only" * one.difference.single
            others.append(f"{name} ({value:+.1f}, 95 %: {span(one.low, one.high, 1)}{only})")
    none = f"no difference in {'it' if found else subject} is found with {series(others)}"
    return "; ".join([*[f"{claim} {series(found)}"] * bool(found), *[none] * bool(others)])


def floor_verdict(study, name, quantity):
    """ "random, a floor, is 7.6 points lower (95 %: 5.5 to 9.8)": no difference among settings."""
    one = compare(study, low_resource(study), quantity)[0][name]
    low, high, _ = (float(side[0]) for side in intervals([one]))
    told, interval = amount(one.value, low, high)
    if low <= 0 <= high:
        told, interval = "not found to differ", f"{one.value:+.1f}, 95 %: {span(low, high, 1)}"
    return f"{name}, a floor, is {told} ({interval}{', these runs only' * one.single})"


def cannot_tell(study, codes):
    """Why nothing is said of robustness: no language has anything for noise to take."""
    means = {name: np.mean([study.clean(name, code) for code in codes]) for name in study.settings}
    own = {name: value for name, value in means.items() if name not in study.floors}
    floors = [f"{means[name]:.1f} ({name})" for name in study.floors]
    floors = f"floors {series(floors)}" if floors else f"a guess {np.mean([study.guess(code) for code in codes]):.1f}"
    encoders = series([called(name) for name in own if name != study.baseline], "or")
    return (
        f"Whether {encoders} makes translation from low-resource languages more robust than {called(study.baseline)} "
        f"cannot be told: on clean text encoders have {min(own.values()):.1f} to {max(own.values()):.1f} chrF++ and "
        f"{floors}, so there is little for noise to take."
    )


# --- The figure


def levels_figure(study, groups):
    """chrF++ by level of noise: a panel per group of languages, a line per setting, floors dashed."""
    settings = [*[name for name in study.settings if name not in study.floors][: len(COLORS) + 1], *study.floors]
    with matplotlib.rc_context(STYLE):
        width, words, handles, first = (WIDTH - 0.5) / len(groups), [], {}, None
        canvas = Canvas(figsize=(WIDTH, 2.6))
        for column, (title, codes) in enumerate(groups.items()):
            axes = place(canvas, 0.45 + column * width, 0.4, width - 0.2, 1.55)
            first = first or axes
            if axes is not first:
                axes.sharey(first)
                axes.tick_params(labelleft=False)
            for index, setting in enumerate(settings):
                steps, mean, spreads = by_level(study, setting, codes)
                color = INK if index == 0 else COLORS[(index - 1) % len(COLORS)]
                floor = setting in study.floors
                style = {"linestyle": "--" if floor else "-", "linewidth": 0.9 if floor else 1.3}
                (handles[setting],) = axes.plot(range(len(steps)), mean, color=color, **style)
                axes.fill_between(range(len(steps)), mean - spreads, mean + spreads, color=color, alpha=0.15, lw=0)
                words.append(f"{setting}, {title}: {', '.join(f'{s} {m:.1f}' for s, m in zip(steps, mean))}.")
            axes.set_xticks(range(len(steps)), steps)
            axes.set_title(f"{title} ({len(codes)})", loc="left")
            axes.set_ylabel("chrF++" if column == 0 else "")
            axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        names = [brief(name, 26) for name in handles]
        canvas.legend(handles=list(handles.values()), labels=names, loc="upper left", ncols=3, frameon=False)
        caption = (
            "chrF++ of translations by level of noise on the source, means over languages and operations; bands are "
            "the standard deviation over decoder seeds. Dashed: floors."
        )
        return finish(canvas, f"{study.task}-resources-levels", "Translation under noise", caption, " ".join(words))


def by_level(study, setting, codes):
    """(["clean", levels], mean [levels], standard deviation over runs [levels]) over languages and operations."""
    levels = {level for code in codes for _, _, level in study.measured[code].conditions}
    steps = ["clean", *sorted(levels, key=strength)]
    each = np.array([at_level(study, setting, codes, step) for step in steps])  # [levels, runs]
    return steps, each.mean(1), each.std(1, ddof=1) if each.shape[1] > 1 else np.zeros(len(each))


def at_level(study, setting, codes, step):
    """[runs]: chrF++ on clean text or at a level of noise, over the languages that have it."""
    columns = {}
    for code in codes:
        own = ["clean", *(level for _, _, level in study.measured[code].conditions)]
        columns[code] = [index for index, level in enumerate(own) if level == step]
    having = [code for code in codes if columns[code]]
    return by_run(study, setting, having, lambda run, code, one: one.scores[run, columns[code]].mean())
