"""The tables of a report: clean scores, robustness, language groups, operations, differences, and what is missing."""

import re
from collections import Counter

import numpy as np

from reporting.groups import broad_groups, headline_groups, language_groups
from reporting.measure import compare, over_languages
from reporting.parts import Field, Scores, Source, Table
from reporting.statistics import corruption_error, holm, intervals, noisy_weights
from tasks import LANGUAGES

# The terms of all tables; docs/report.md has the same.
GLOSSARY = [
    ("score", "the task's own metric in percent: accuracy (XNLI, PAWS-X, XCOPA, Tatoeba), F1 of spans (PAN-X), of "
              "chunks of equal tags (UDPOS), of answer words (XQuAD, MLQA, TyDi QA), of sentence pairs (BUCC)"),
    ("setting", "how the encoder was made before it was fine-tuned on the target task: its intermediate tasks, "
                "`direct` without any; behind them the languages it was fine-tuned in, if not English"),
    ("±", "standard deviation over seeds (n - 1); no ± means one seed"),
    ("clean", "the score on the test file as published"),
    ("noisy (mPC)", "mean performance under corruption: the mean over operations of the mean over levels (and "
                    "draws); operations that do not apply to a language (n/a) are left out of its mean"),
    ("gap Δ", "clean - noisy, in points, on the same examples"),
    ("rPC", "relative performance under corruption: noisy / clean, in percent"),
    ("mCE", "mean corruption error: the error (100 - score) under an operation, summed over levels, over the "
            "baseline's, in percent; mean over operations. Below 100 is more robust than the baseline, or simply "
            "better"),
    ("right → wrong", "percent of all examples that are right on clean and wrong on noised input; wrong → right "
                      "the other way. An example is right when its label is, its answer is an exact match, or all "
                      "spans of the sentence are found and nothing else"),
    ("worst of k", "percent of examples that are right under all of k draws of the same noise (perturb.py "
                   "--replicates); k = 1 is the mean over draws"),
    ("slope", "points of score per percentage point of realised error rate, least squares through clean and all "
              "levels of an operation, mean over operations; what the rate counts (graphemes, words, places) "
              "depends on the operation"),
    ("transfer gap", "Δ of a language - Δ of English, mean over the others: how much more than English a language "
                     "loses"),
    ("average", "the unweighted mean over languages. A language or a condition that some run lacks is left out for "
                "all runs and listed under Missing cells"),
    ("95 % interval", "of the difference to the baseline's mean: test examples are resampled (whole paragraphs for "
                      "question answering, sentences for tags), the corpus score is computed anew, and a part for "
                      "seeds by Student's t is added. Where both settings have one seed, that part is from the "
                      "task's other settings; where all have one, the interval covers the choice of test examples "
                      "only (†), and there is no p"),
    ("p (Holm)", "two-sided p of that difference, adjusted by Holm's method for all comparisons of its table: "
                 "below 0.05 is significant among all of them"),
    ("collapsed", "a run that predicts the same for 99 % of the English examples: shown with the runs, left out of "
                  "all numbers"),
]  # fmt: skip
DAGGER = (
    " † One seed in every setting: the interval covers the choice of examples, not that of the seed, so there is no p."
)


def sources(study, runs):
    """The Source of each setting, from all of a task's runs, collapsed ones too: {setting: Source}."""
    settings, taken = {}, Counter()
    for setting in sorted({run.setting for run in runs}, key=lambda name: (name != study.baseline, name)):
        key = f"{study.task}-{re.sub(r'[^a-z0-9]+', '-', setting.lower()).strip('-')}"
        taken[key] += 1
        key += f"-{taken[key]}" if taken[key] > 1 else ""
        members = [
            {
                "folder": str(run.folder),
                **{name: run.record.get(name, "") for name in ("command", "seed", "started_at")},
                "note": run.collapsed,
            }
            for run in runs
            if run.setting == setting
        ]
        settings[setting] = Source(key, study.task, setting, members)
    return settings


# --- Fields


def spread(values, source="", digits=1):
    """A Field of mean ± standard deviation over seeds."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return Field("n/a")
    text = f"{values.mean():.{digits}f}" + (f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")
    return Field(text, float(values.mean()), source)


def by_setting(study, keys, values):
    """A Field for each setting of values [runs]."""
    return [spread(values[study.members(setting)], keys[setting]) for setting in study.settings]


def count(number):
    return Field(str(number), number)


def p_field(p):
    return Field("n/a") if np.isnan(p) else Field(f"{p:.4f}" if p >= 0.00005 else "< 0.0001", float(p))


def seeds_text(study):
    numbers = sorted({len(study.members(setting)) for setting in study.settings})
    least, most = numbers[0], numbers[-1]
    return f"{least} seed{'s' * (least > 1)}" if least == most else f"{least} to {most} seeds"


# --- The tables of a task


def task_tables(study, runs):
    """All tables of a task."""
    keys = {setting: source.key for setting, source in sources(study, runs).items()}
    tables = [clean_table(study, keys)]
    if study.operations:
        tables += [robustness_table(study, keys), operations_table(study, keys), groups_table(study, keys)]
    if len(study.settings) > 1:
        tables += [
            differences_table(study, keys, "Differences from the baseline", by_language=False),
            differences_table(study, keys, "Differences by language", by_language=True),
        ]
    return tables


def clean_table(study, keys):
    lines = []
    for code, one in study.measured.items():
        script = LANGUAGES[code].script if code in LANGUAGES else ""
        lines.append([code, *by_setting(study, keys, one.points[:, 0]), script, count(one.examples)])
    for title, codes in broad_groups(study.languages).items():
        points, _, having = over_languages(study, codes, "clean")
        if len(codes) > 1:
            lines.append([title, *by_setting(study, keys, points), "", count(sum(one.examples for one in having))])
    caption = (
        f"{study.metric}, percent, on clean test files; {seeds_text(study)} per setting. Averages are over "
        "languages, unweighted."
    )
    header = ("language", *study.settings, "script", "examples")
    return Table(f"{study.task}-clean", "Clean scores", caption, header, lines)


def robustness(study):
    """{column: [runs]} of the robustness metrics, averaged over languages; NaN where there is none."""
    noisy = [one for one in study.measured.values() if one.conditions]
    base = study.members(study.baseline)

    def mean(values):
        values = [value for value in values if value is not None and np.isfinite(value).all()]
        return np.mean(values, axis=0) if values else np.full(len(study.runs), np.nan)

    clean, after = (mean([one.points[:, column] for one in noisy]) for column in (0, 1))
    relative = 100 * np.divide(after, clean, out=np.full(len(clean), np.nan), where=clean > 0)
    columns = {"clean": clean, "noisy (mPC)": after, "gap Δ": clean - after, "rPC": relative}
    columns["mCE"] = mean(
        [corruption_error(one.scores[:, 1:], one.scores[base, 1:].mean(0), one.conditions) for one in noisy]
    )
    columns["right → wrong"] = mean([one.to_wrong @ noisy_weights(one.conditions) for one in noisy])
    columns["wrong → right"] = mean([one.to_right @ noisy_weights(one.conditions) for one in noisy])
    for k in sorted({k for one in noisy for k in one.worst}):
        columns[f"worst of {k}"] = mean([one.worst.get(k) for one in noisy])
    columns["slope"] = mean([np.mean(list(one.slopes.values()), axis=0) if one.slopes else None for one in noisy])
    english = study.measured.get("en")
    if english and english.conditions:
        foreign = [one for code, one in study.measured.items() if code != "en" and one.conditions]
        columns["transfer gap"] = mean([one.points[:, 2] - english.points[:, 2] for one in foreign])
    return columns


def robustness_table(study, keys):
    columns, lines = robustness(study), []
    for setting in study.settings:
        own = study.members(setting)
        fields = [spread(values[own], keys[setting], 2 if name == "slope" else 1) for name, values in columns.items()]
        lines.append([setting, count(len(own)), *fields])
    noisy = [one for one in study.measured.values() if one.conditions]
    caption = (
        f"Means over the {len(noisy)} languages with noised test files, {sum(one.examples for one in noisy)} examples "
        f"per condition, or over those that have the number; {study.metric} in percent, gaps in points. For the terms "
        "see the glossary."
    )
    return Table(f"{study.task}-robustness", "Robustness", caption, ("setting", "seeds", *columns), lines)


def operations_table(study, keys):
    """Scores by condition; draws of the same operation and level are averaged."""
    lines = []
    pairs = dict.fromkeys((op, level) for one in study.measured.values() for _, op, level in one.conditions)
    for op, level in sorted(pairs, key=lambda pair: study.operations.index(pair[0])):  # levels stay in their order
        values, rates = [], []
        for one in study.measured.values():
            draws = [index for index, (_, *own) in enumerate(one.conditions) if own == [op, level]]
            if draws:
                values.append(one.scores[:, 1:][:, draws].mean(1))
                rates.append(one.rates[draws].mean())
        rate = Field(f"{np.mean(rates):.4f}", float(np.mean(rates))) if np.isfinite(rates).all() else "unknown"
        lines.append([f"{op}-{level}", *by_setting(study, keys, np.mean(values, axis=0)), rate, count(len(values))])
    caption = (
        f"{study.metric}, percent, means over the languages that an operation applies to, with the error rate "
        "that perturb.py reached."
    )
    header = ("condition", *study.settings, "error rate", "languages")
    return Table(f"{study.task}-operations", "Scores by operation and level", caption, header, lines)


def groups_table(study, keys):
    """Clean → noisy by group of languages, and the worst language and script."""
    lines, noisy = [], {code: one for code, one in study.measured.items() if one.conditions}
    groups = language_groups(list(noisy))

    def field(setting, codes, name=""):
        own = study.members(setting)
        clean, after = (np.mean([noisy[code].points[own, column].mean() for code in codes]) for column in (0, 1))
        return Field(f"{name}{clean:.1f} → {after:.1f}", float(after), keys[setting])

    for title, codes in groups.items():
        lines.append([title, *(field(setting, codes) for setting in study.settings), count(len(codes))])
    singles = {code: [code] for code in noisy}
    scripts = {title.removeprefix("script "): codes for title, codes in groups.items() if title.startswith("script ")}
    for title, members in (("worst language", singles), ("worst script", scripts)):
        fields = [
            [field(setting, codes, f"{name}: ") for name, codes in members.items()] for setting in study.settings
        ]
        lines += [[title, *(min(own, key=lambda one: one.value) for own in fields), ""]] if members else []
    caption = (
        f"{study.metric}, percent, clean → noisy (mPC), means over languages and seeds. Pretraining text is "
        "XLM-R's, CC-100."
    )
    header = ("languages", *study.settings, "number")
    return Table(f"{study.task}-groups", "Groups of languages", caption, header, lines)


DIFFERENCES = (
    "setting", "score", "languages", "difference", "95 % interval", "p", "p (Holm)", "seeds", "number", "examples",
)  # fmt: skip


def differences_table(study, keys, title, by_language):
    """Each setting against the baseline: clean, noisy and gap, over groups of languages or, folded, by language."""
    groups = {code: [code] for code in study.languages} if by_language else headline_groups(study.languages)
    quantities = ["clean", "noisy", "gap"] if study.operations else ["clean"]
    outcomes = {(quantity, name): compare(study, groups[name], quantity) for quantity in quantities for name in groups}
    compared = [
        (setting, *key, outcome[0][setting], *outcome[1:])
        for setting in study.settings[1:]
        for key, outcome in outcomes.items()
        if outcome
    ]
    low, high, p = intervals([one for _, _, _, one, _, _ in compared])
    lines, base = [], len(study.members(study.baseline))
    for (setting, quantity, name, one, languages, examples), *interval in zip(compared, low, high, p, holm(p)):
        fields = difference_fields(one, *interval, keys[setting])
        seeds = f"{len(study.members(setting))} and {base}"
        lines.append([setting, quantity, name, *fields, seeds, count(languages), count(examples)])
    caption = (
        f"{study.metric} of each setting minus that of {study.baseline}, in points; a smaller gap is more robust. "
        f"95 % intervals, Holm's correction over the {int(np.isfinite(p).sum())} comparisons of this table."
        f"{DAGGER if any('†' in line[4] for line in lines) else ''}"
    )
    name = f"{study.task}-differences{'-by-language' * by_language}"
    return Table(name, title, caption, DIFFERENCES, lines, folded=by_language)


def difference_fields(one, low, high, p, adjusted, source):
    """A Difference, its interval and p as entries of a line; † where it covers the choice of examples only."""
    value, low, high = (round(number, 2) + 0.0 for number in (one.value, low, high))  # no "-0.00"
    interval = f"[{low:+.2f}, {high:+.2f}]{'†' if np.isnan(one.s2) else ''}"
    return [Field(f"{value:+.2f}", one.value, source), interval, p_field(p), p_field(adjusted)]


# --- The whole report: what is missing, and every score


def gaps_tables(studies):
    """Missing cells and operations that do not apply, of all tasks."""
    missing = [(study.task, *cell) for study in studies for cell in study.missing]
    not_applicable = [(study.task, *cell) for study in studies for cell in study.not_applicable]
    lacking = "Without scores in some run, and so left out for all runs of the task."
    no_file = "n/a: perturb.py writes no file; they enter no mean."
    tables = [
        gaps_table("missing", "Missing cells", lacking, "lacking in", missing),
        gaps_table("not-applicable", "Operations that do not apply", no_file, "reason", not_applicable),
    ]
    return [table for table in tables if table.lines]


def gaps_table(name, title, caption, why_header, cells):
    """A Table of cells [(task, language, condition, why)]: in one line what is so for the same reason."""
    conditions, languages = {}, {}
    for task, language, condition, why in cells:
        conditions.setdefault((task, language, why), []).append(condition)
    for (task, language, why), names in conditions.items():
        languages.setdefault((task, " ".join(names), why), []).append(language)
    lines = [[task, names, " ".join(codes), why] for (task, names, why), codes in languages.items()]
    header = ("task", "conditions", "languages", why_header)
    return Table(name, title, caption, header, lines, folded=len(lines) > 12)


def scores_table(studies):
    """Every score of every run in long form, for scores.csv: lines of text and numbers under a header.

    studies: [(Study, its task's runs)].
    """
    header = "task setting seed run language condition operation level realised_rate metric percent examples collapsed"
    lines = [header.split()]
    for study, runs in studies:
        known = {}
        for code, one in study.measured.items():
            known |= {(code, name): (op, level, rate) for (name, op, level), rate in zip(one.conditions, one.rates)}
        for run in runs:
            for (language, condition), scores in run.scores.items():
                op, level, rate = known.get((language, condition), ("", "", np.nan))
                noise = (op, level, "" if np.isnan(rate) else float(rate))
                cell = (run.task, run.setting, run.seed, str(run.folder), language, condition, *noise)
                for metric, value in scores.items():
                    lines.append((*cell, metric, value, run.sizes[language, condition][0], run.collapsed))
    return lines


def figure_scores(study):
    """The Scores of a task, for its figures."""
    settings, conditions = study.settings, []
    for one in study.measured.values():
        conditions += [condition for condition in one.conditions if condition not in conditions]
    shape = len(settings), len(study.languages), 1 + len(conditions)
    mean, std = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, one in enumerate(study.measured.values()):
        places = [0, *(1 + conditions.index(condition) for condition in one.conditions)]
        for index, setting in enumerate(settings):
            own = one.scores[study.members(setting)]
            mean[index, column, places] = own.mean(0)
            std[index, column, places] = own.std(0, ddof=1) if len(own) > 1 else np.nan
    return Scores(study.task, study.metric, settings, study.languages, conditions, mean[..., 0], mean[..., 1:], std)
