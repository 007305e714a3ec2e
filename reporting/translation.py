"""Translation in a report (study 5): what noise takes from each encoder's translations, by resources of the language.

Scores are chrF++ of the Study, whose intervals rest on resampled lines and on decoder seeds as runs; BLEU and faults
are those of results.jsonl, CONSIS that of robustness.jsonl. Definitions: docs/translation.md.
"""

import json

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from common.files import InputError
from common.task_records import RATIO_FLOOR, TRANSLATION
from reporting.drawing import INK, STYLE, WIDTH, brief, finish, place
from reporting.figures import COLORS
from reporting.measure import compare
from reporting.panels import strength
from reporting.parts import Field, Interval, Table
from reporting.runs import REMEDY
from reporting.statistics import holm, intervals, noisy_weights
from reporting.tables import SINGLE, count, difference_fields, given, seeds_text, spread
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
