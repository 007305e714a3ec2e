"""The tables of a report: clean scores, robustness, language groups, operations, differences from the baseline, and
what is missing.
"""

import re
from collections import Counter

import numpy as np

from reporting.measure import broad_groups, compare, language_groups, over_languages
from reporting.parts import Cell, Scores, Source, Table
from reporting.statistics import corruption_error, holm, intervals, noisy_weights
from tasks import LANGUAGES

GLOSSARY = [
    ("score", "the task's own metric in percent: accuracy (XNLI, PAWS-X, XCOPA, Tatoeba), F1 of spans (PAN-X), of "
              "chunks of equal tags (UDPOS), "
     "of answer words (XQuAD, MLQA, TyDi QA), of sentence pairs (BUCC)"),
    ("setting", "how the encoder was made before it was fine-tuned on the target task: its intermediate tasks, "
                "`direct` without any"),
    ("±", "standard deviation over seeds (n - 1); no ± means one seed"),
    ("clean", "the score on the test file as published"),
    ("noisy (mPC)", "mean performance under corruption: the mean over operations of the mean over levels (and "
                    "draws); operations that do not "
     "apply to a language (n/a) are left out of its mean"),
    ("gap Δ", "clean - noisy, in points, on the same examples"),
    ("rPC", "relative performance under corruption: noisy / clean, in percent"),
    ("mCE", "mean corruption error: the error (100 - score) under an operation, summed over levels, over the "
            "baseline's, in percent; mean over "
     "operations. Below 100 is more robust than the baseline, or simply better"),
    ("right → wrong", "percent of all examples that are right on clean and wrong on noised input; wrong → right the "
                      "other way. An example is "
     "right when its label is, its answer is an exact match, or all spans of the sentence are found and nothing else"),
    ("worst of k", "percent of examples that are right under all of k draws of the same noise (perturb.py "
                   "--replicates); k = 1 is the mean "
     "over draws"),
    ("slope", "points of score per percentage point of realised error rate, least squares through clean and all "
              "levels of an operation, mean "
     "over operations; what the rate counts (graphemes, words, places) depends on the operation"),
    ("transfer gap", "Δ of a language - Δ of English, mean over the others: how much more than English a language "
                     "loses"),
    ("average", "the unweighted mean over languages. A language or a condition that some run lacks is left out for "
                "all runs and listed under "
     "Missing cells"),
    ("95 % interval", "of the difference to the baseline's mean: test examples are resampled (whole paragraphs for "
                      "question answering, sentences "
     "for tags), the corpus score is computed anew, and a part for seeds by Student's t is added. Where both "
     "settings have one seed, that part is "
     "from the task's other settings; where all have one, the interval covers the choice of test examples only (†), "
     "and there is no p"),
    ("p (Holm)", "two-sided p of that difference, adjusted by Holm's method for all comparisons of its table: below "
                 "0.05 is significant "
     "among all of them"),
    ("collapsed", "a run that predicts the same for 99 % of the English examples: shown with the runs, left out of "
                  "all numbers"),
]  # fmt: skip
DAGGER = (
    " † One seed in every setting: the interval covers the choice of examples, not that of the seed, so there is no p."
)


def sources(study, runs):
    """The Source of each setting, from all of a task's runs, collapsed ones too: {setting: Source}."""
    found, taken = {}, Counter()
    for setting in sorted({run.setting for run in runs}, key=lambda name: (name != study.baseline, name)):
        key = f"{study.task}-{re.sub(r'[^a-z0-9]+', '-', setting.lower()).strip('-')}"
        taken[key] += 1
        key += f"-{taken[key]}" if taken[key] > 1 else ""
        rows = []
        for run in [run for run in runs if run.setting == setting]:
            about = {name: run.about.get(name, "") for name in ("command", "seed", "started_at")}
            rows.append({"folder": str(run.folder), **about, "note": run.collapsed})
        found[setting] = Source(key, study.task, setting, rows)
    return found


def spread(values, source="", digits=1):
    """A Cell of mean ± standard deviation over seeds."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return Cell("n/a")
    text = f"{values.mean():.{digits}f}" + (f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")
    return Cell(text, float(values.mean()), source)


def by_setting(study, keys, values):
    """A Cell for each setting of values [runs]."""
    return [spread(values[study.members(setting)], keys[setting]) for setting in study.settings]


def seeds_text(study):
    numbers = sorted({len(study.members(setting)) for setting in study.settings})
    return (
        f"{numbers[0]} seed{'s' * (numbers[0] > 1)}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"
    )


def count(number):
    return Cell(str(number), number)


def task_tables(study, runs):
    """All tables of a task."""
    keys = {setting: source.key for setting, source in sources(study, runs).items()}
    found = [clean_table(study, keys)]
    if study.operations:
        found += [robustness_table(study, keys), operations_table(study, keys), groups_table(study, keys)]
    for title, by_language in (("Differences from the baseline", False), ("Differences by language", True)):
        if len(study.settings) > 1:
            found.append(differences_table(study, keys, title, by_language))
    return found


def clean_table(study, keys):
    rows = []
    for code, one in study.measured.items():
        script = LANGUAGES[code].script if code in LANGUAGES else ""
        rows.append([code, *by_setting(study, keys, one.points[:, 0]), script, count(one.examples)])
    for title, codes in broad_groups(study.languages).items():
        points, _, having = over_languages(study, codes, "clean")
        if len(codes) > 1:
            rows.append([title, *by_setting(study, keys, points), "", count(sum(one.examples for one in having))])
    caption = (
        f"{study.metric}, percent, on clean test files; {seeds_text(study)} per setting. Averages are over "
        "languages, unweighted."
    )
    return Table(
        f"{study.task}-clean", "Clean scores", caption, ("language", *study.settings, "script", "examples"), rows
    )


def robustness(study):
    """{column: [runs]} of the robustness metrics, averaged over languages; NaN where there is none."""
    noisy = [one for one in study.measured.values() if one.conditions]
    english = study.measured.get("en")
    base = study.members(study.baseline)

    def mean(values):
        values = [value for value in values if value is not None and np.isfinite(value).all()]
        return np.mean(values, axis=0) if values else np.full(len(study.runs), np.nan)

    clean, after = (mean([one.points[:, column] for one in noisy]) for column in (0, 1))
    relative = 100 * np.divide(after, clean, out=np.full(len(clean), np.nan), where=clean > 0)
    found = {"clean": clean, "noisy (mPC)": after, "gap Δ": clean - after, "rPC": relative}
    found["mCE"] = mean(
        [corruption_error(one.scores[:, 1:], one.scores[base, 1:].mean(0), one.conditions) for one in noisy]
    )
    found["right → wrong"] = mean([one.to_wrong @ noisy_weights(one.conditions) for one in noisy])
    found["wrong → right"] = mean([one.to_right @ noisy_weights(one.conditions) for one in noisy])
    for k in sorted({k for one in noisy for k in one.worst}):
        found[f"worst of {k}"] = mean([one.worst.get(k) for one in noisy])
    found["slope"] = mean([np.mean(list(one.slopes.values()), axis=0) if one.slopes else None for one in noisy])
    if english and english.conditions:
        gaps = [
            one.points[:, 2] - english.points[:, 2]
            for code, one in study.measured.items()
            if code != "en" and one.conditions
        ]
        found["transfer gap"] = mean(gaps)
    return found


def robustness_table(study, keys):
    found = robustness(study)
    rows = []
    for setting in study.settings:
        own = study.members(setting)
        cells = [
            spread(values[own], keys[setting], digits=2 if name == "slope" else 1) for name, values in found.items()
        ]
        rows.append([setting, count(len(own)), *cells])
    noisy = [one for one in study.measured.values() if one.conditions]
    caption = (f"Means over the {len(noisy)} languages with noised test files, {sum(one.examples for one in noisy)} "
               "examples per condition, or "
               f"over those that have the number; {study.metric} in percent, gaps in points. For the terms see the glossary.")  # fmt: skip
    return Table(f"{study.task}-robustness", "Robustness", caption, ("setting", "seeds", *found), rows)


def operations_table(study, keys):
    """Scores by condition; draws of the same operation and level are averaged."""
    rows = []
    pairs = dict.fromkeys((op, level) for one in study.measured.values() for _, op, level in one.conditions)
    for op, level in sorted(pairs, key=lambda pair: study.operations.index(pair[0])):  # levels stay in their order
        values, rates = [], []
        for one in study.measured.values():
            chosen = [index for index, (_, *own) in enumerate(one.conditions) if own == [op, level]]
            if chosen:
                values.append(one.scores[:, 1:][:, chosen].mean(1))
                rates.append(one.rates[chosen].mean())
        rate = Cell(f"{np.mean(rates):.4f}", float(np.mean(rates))) if np.isfinite(rates).all() else "unknown"
        rows.append([f"{op}-{level}", *by_setting(study, keys, np.mean(values, axis=0)), rate, count(len(values))])
    caption = (
        f"{study.metric}, percent, means over the languages that an operation applies to, with the error rate "
        "that perturb.py reached."
    )
    header = ("condition", *study.settings, "error rate", "languages")
    return Table(f"{study.task}-operations", "Scores by operation and level", caption, header, rows)


def groups_table(study, keys):
    """Clean → noisy by group of languages, and the worst language and script."""
    rows, noisy = [], {code: one for code, one in study.measured.items() if one.conditions}
    groups = language_groups(list(noisy))

    def cell(setting, codes, name=""):
        own = study.members(setting)
        clean, after = (np.mean([noisy[code].points[own, column].mean() for code in codes]) for column in (0, 1))
        return Cell(f"{name}{clean:.1f} → {after:.1f}", float(after), keys[setting])

    for title, codes in groups.items():
        rows.append([title, *(cell(setting, codes) for setting in study.settings), count(len(codes))])
    singles = {code: [code] for code in noisy}
    scripts = {title.removeprefix("script "): codes for title, codes in groups.items() if title.startswith("script ")}
    for title, of in (("worst language", singles), ("worst script", scripts)):
        found = [[cell(setting, codes, f"{name}: ") for name, codes in of.items()] for setting in study.settings]
        rows += [[title, *(min(cells, key=lambda one: one.value) for cells in found), ""]] if of else []
    caption = (
        f"{study.metric}, percent, clean → noisy (mPC), means over languages and seeds. Pretraining text is "
        "XLM-R's, CC-100."
    )
    return Table(
        f"{study.task}-groups", "Groups of languages", caption, ("languages", *study.settings, "number"), rows
    )


def differences_table(study, keys, title, by_language):
    """Each setting against the baseline: clean, noisy and gap, over groups of languages or (folded) language by
    language.
    """
    groups = {code: [code] for code in study.languages} if by_language else headline_groups(study.languages)
    quantities = ["clean", "noisy", "gap"] if study.operations else ["clean"]
    outcomes = {
        (quantity, name): compare(study, codes, quantity) for quantity in quantities for name, codes in groups.items()
    }
    found = [
        (setting, *key, outcome[0][setting], *outcome[1:]) for setting in study.settings[1:] for key, outcome in outcomes.items() if outcome
    ]  # fmt: skip
    low, high, p = intervals([one for *_, one, _, _ in found])
    rows, base = [], len(study.members(study.baseline))
    for (setting, quantity, name, one, languages, examples), *numbers in zip(found, low, high, p, holm(p)):
        dagger = "†" if np.isnan(one.s2) else ""
        value, first, last = (round(number, 2) + 0.0 for number in (one.value, *numbers[:2]))  # no "-0.00"
        cells = [Cell(f"{value:+.2f}", one.value, keys[setting]), f"[{first:+.2f}, {last:+.2f}]{dagger}"]
        cells += [p_cell(value) for value in numbers[2:]]
        rows.append(
            [
                setting,
                quantity,
                name,
                *cells,
                f"{len(study.members(setting))} and {base}",
                count(languages),
                count(examples),
            ]
        )
    marked = DAGGER if any("†" in row[4] for row in rows) else ""
    caption = (f"{study.metric} of each setting minus that of {study.baseline}, in points; a smaller gap is more "
               "robust. 95 % intervals, Holm's "
               f"correction over the {int(np.isfinite(p).sum())} comparisons of this table.{marked}")  # fmt: skip
    header = (
        "setting",
        "score",
        "languages",
        "difference",
        "95 % interval",
        "p",
        "p (Holm)",
        "seeds",
        "number",
        "examples",
    )
    return Table(
        f"{study.task}-differences{'-by-language' * by_language}", title, caption, header, rows, folded=by_language
    )


def p_cell(p):
    return Cell("n/a") if np.isnan(p) else Cell(f"{p:.4f}" if p >= 0.00005 else "< 0.0001", float(p))


def headline_groups(codes):
    """The groups that the main comparisons are about."""
    foreign = broad_groups([code for code in codes if code != "en"])
    named = {"English": [code for code in codes if code == "en"], "all but English": foreign.get("all languages", [])}
    named |= {
        "Latin but English": foreign.get("Latin script", []),
        "non-Latin scripts": foreign.get("non-Latin scripts", []),
    }
    return {title: of for title, of in named.items() if of}


# --- What is missing
# --------------------------------------------------------------------------------------------------


def gaps_tables(studies):
    """Missing cells and operations that do not apply, of all tasks."""
    found = []
    for name, title, attribute, caption in (
        (
            "missing",
            "Missing cells",
            "missing",
            "Without scores in some run, and so left out for all runs of the task.",
        ),
        (
            "not-applicable",
            "Operations that do not apply",
            "not_applicable",
            "n/a: perturb.py writes no file; they enter no mean.",
        ),
    ):
        rows = []
        for study in studies:
            together = {}  # languages that lack the same conditions for the same reason share a row
            for language, condition, why in getattr(study, attribute):
                together.setdefault((language, why), []).append(condition)
            shared = {}
            for (language, why), names in together.items():
                shared.setdefault((" ".join(names), why), []).append(language)
            rows += [[study.task, names, " ".join(codes), why] for (names, why), codes in shared.items()]
        if rows:
            header = ("task", "conditions", "languages", "lacking in" if attribute == "missing" else "reason")
            found.append(Table(name, title, caption, header, rows, folded=len(rows) > 12))
    return found


def scores_table(studies):
    """Every score of every run in long form, for scores.csv: lists of text and numbers under a header."""
    header = "task setting seed run language condition operation level realised_rate metric percent examples collapsed"
    rows = [header.split()]
    for study, runs in studies:
        known = {}
        for code, one in study.measured.items():
            known |= {(code, name): (op, level, rate) for (name, op, level), rate in zip(one.conditions, one.rates)}
        for run in runs:
            for (language, condition), found in run.scores.items():
                op, level, rate = known.get((language, condition), ("", "", np.nan))
                noise = (op, level, "" if np.isnan(rate) else float(rate))
                for metric, value in found.items():
                    about = (run.task, run.setting, run.seed, str(run.folder), language, condition, *noise)
                    rows.append((*about, metric, value, run.sizes[language, condition][0], run.collapsed))
    return rows


def figure_scores(study):
    """The Scores of a task, for its figures."""
    settings, conditions = study.settings, []
    for one in study.measured.values():
        conditions += [condition for condition in one.conditions if condition not in conditions]
    shape = len(settings), len(study.languages), 1 + len(conditions)
    mean, std = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, one in enumerate(study.measured.values()):
        places = [0, *(1 + conditions.index(condition) for condition in one.conditions)]
        for row, setting in enumerate(settings):
            own = one.scores[study.members(setting)]
            mean[row, column, places] = own.mean(0)
            std[row, column, places] = own.std(0, ddof=1) if len(own) > 1 else np.nan
    return Scores(study.task, study.metric, settings, study.languages, conditions, mean[..., 0], mean[..., 1:], std)
