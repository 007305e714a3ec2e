"""The tables of a report: clean scores, robustness, language groups, operations, differences, and what is missing."""

import re
from collections import Counter

import numpy as np

from reporting.answers import SINGLE, given, guess_text, p_field, units_text
from reporting.groups import broad_groups, headline_groups, language_groups
from reporting.measure import compare, compare_groups, over_languages
from reporting.parts import Field, Interval, Scores, Source, Table, natural
from reporting.seen import IN_PART, SEEN, UNSEEN, compare_under, mark, seen_operations
from reporting.statistics import benjamini_hochberg, corruption_error, intervals, noisy_weights
from tasks import LANGUAGES

# The terms of all tables; docs/report.md has the same.
GLOSSARY = [
    ("score", "the task's own metric in percent: accuracy (XNLI, PAWS-X, XCOPA, Tatoeba), F1 of spans (PAN-X), of "
              "chunks of equal tags (UDPOS), of answer words (XQuAD, MLQA, TyDi QA), of sentence pairs (BUCC)"),
    ("setting", "how the encoder was made before it was fine-tuned on the target task: its intermediate tasks, "
                "direct without any; behind them the languages it was fine-tuned in, if not English, and how it was "
                "made robust"),
    ("±", "standard deviation over runs (n - 1); no ± means one run"),
    ("clean", "the score on the test file as published"),
    ("guess", "what a constant guess scores: the largest share of a label, 0 for F1 of spans and answers"),
    ("near chance", "a language whose clean score is less than 10 points above a guess in some setting: noise has "
                    "nothing to take from it, so it is named and in no robustness mean"),
    ("noisy (mPC)", "mean performance under corruption: the mean over operations of the mean over levels (and "
                    "draws); operations that do not apply to a language (n/a) are left out of its mean"),
    ("gap Δ", "clean - noisy, in points, on the same examples; it grows with the clean score and is 0 at chance, so "
              "a smaller gap alone is not more robust"),
    ("rPC above chance", "relative performance under corruption, in percent: (noisy - guess) / (clean - guess)"),
    ("mCE", "mean corruption error: the error (100 - score) under an operation, summed over levels, over the "
            "baseline's, in percent; mean over operations. Below 100 is more robust than the baseline, or simply "
            "better"),
    ("right → wrong", "percent of all examples that are right on clean and wrong on noised input; wrong → right "
                      "the other way. An example is right when its label is, its answer is an exact match, or all "
                      "spans of the sentence are found and nothing else. For tags also per word: what a sentence "
                      "loses in right words, at least, since counts do not tell which words"),
    ("worst of k", "percent of examples that are right under all of k draws of the same noise (perturb.py "
                   "--replicates), mean over all choices of k draws; k = 1 is the mean over draws"),
    ("slope", "points of score per percentage point of realised error rate, least squares through clean and all "
              "levels of an operation, mean over operations; what the rate counts (graphemes, words, places) "
              "depends on the operation"),
    ("transfer gap", "Δ of a language - Δ of English under the noise that both have, mean over the others: how much "
                     "more than English a language loses"),
    ("average", "the unweighted mean over languages. A language or a condition that some run lacks is left out for "
                "all runs and listed under Missing cells"),
    ("primary", "declared before any number is seen: each setting against the baseline, on clean and on noised text, "
                "over all languages but English; everything else is secondary"),
    ("95 % interval", "of the difference to the baseline's mean: test examples are resampled (whole paragraphs for "
                      "question answering, sentences for tags), the corpus score is computed anew, and a part for "
                      "each setting's seeds, or its encoders where there are several, is added, by Student's t. With "
                      "one run on a side it is about that run only (†), and there is no p"),
    ("p (Holm)", "two-sided p of a primary comparison, adjusted by Holm's method for those of the task: below 0.05 is "
                 "found"),
    ("p (BH)", "p of a secondary comparison, adjusted by Benjamini and Hochberg's method for its table: a lead to "
               "follow, not a finding"),
    ("languages better", "in how many languages the setting's mean is higher than the baseline's, and the p of a sign "
                         "test over languages, which assumes no distribution of the differences"),
    ("runs better", "the probability that a random run of the setting scores higher than one of the baseline: all "
                    "pairs, a tie is half"),
    ("collapsed", "a run that predicts the same for 99 % of the English examples: shown with the runs, left out of "
                  "all numbers"),
]  # fmt: skip


def sources(study, runs):
    """The Source of each setting, from all of a task's runs, collapsed ones too: {setting: Source}."""
    settings, taken = {}, Counter()
    for setting in sorted({run.setting for run in runs}, key=lambda name: (name != study.baseline, natural(name))):
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


def seeds_text(study):
    return " or ".join(dict.fromkeys(units_text(study, setting) for setting in study.settings))


# --- The tables of a task


def guess(study, codes):
    """A Field of what a constant guess scores, averaged over languages."""
    value = float(np.mean([study.guess(code) for code in codes]))
    return Field(f"{value:.1f}", value)


def clean_table(study, keys):
    lines = []
    for code, one in study.measured.items():
        script = LANGUAGES[code].script if code in LANGUAGES else ""
        floor = [f"near chance: {', '.join(study.floor.get(code, ()))}" * (code in study.floor)] * bool(study.floor)
        own = by_setting(study, keys, one.points[:, 0])
        lines.append([code, *own, guess(study, [code]), script, count(one.examples), *floor])
    for title, codes in broad_groups(study.languages).items():
        points, _, having = over_languages(study, codes, "clean")
        if len(codes) > 1:
            examples = count(sum(one.examples for one in having))
            lines.append(
                [title, *by_setting(study, keys, points), guess(study, codes), "", examples, *[""] * bool(study.floor)]
            )
    caption = (
        f"{study.metric}, percent, on clean test files; {seeds_text(study)} per setting. Averages are over "
        f"languages, unweighted. {given(study)}"
    )
    header = ("language", *study.settings, "guess", "script", "examples", *["note"] * bool(study.floor))
    return Table(f"{study.task}-clean", "Clean scores", caption, header, lines)


def above_floor(study):
    """{language: Measured} of the languages with noised files that noise can take something from."""
    return {code: one for code, one in study.measured.items() if one.conditions and code not in study.floor}


def mean(values, runs):
    """[runs]: the mean over languages of what is a number for all runs; NaN where nothing is."""
    values = [value for value in values if value is not None and np.isfinite(value).all()]
    return np.mean(values, axis=0) if values else np.full(runs, np.nan)


def robustness(study):
    """{column: [runs]} of the robustness metrics, averaged over languages above the floor; NaN where there is none."""
    noisy, runs = list(above_floor(study).values()), len(study.runs)
    base = study.members(study.baseline)
    clean, after = (mean([one.points[:, column] for one in noisy], runs) for column in (0, 1))
    guessed = np.mean([study.guess(code) for code in above_floor(study)] or [np.nan])
    room = clean - guessed
    relative = 100 * np.divide(after - guessed, room, out=np.full(runs, np.nan), where=room > 0)
    columns = {"clean": clean, "noisy (mPC)": after, "gap Δ": clean - after, "rPC above chance": relative}
    errors = [corruption_error(one.scores[:, 1:], one.scores[base, 1:].mean(0), one.conditions) for one in noisy]
    columns["mCE"] = mean(errors, runs)
    columns["right → wrong"] = mean([one.to_wrong @ noisy_weights(one.conditions) for one in noisy], runs)
    columns["wrong → right"] = mean([one.to_right @ noisy_weights(one.conditions) for one in noisy], runs)
    if any(one.words_lost is not None for one in noisy):
        columns["words right → wrong (at least)"] = mean(
            [one.words_lost @ noisy_weights(one.conditions) for one in noisy], runs
        )
    for k, values in worst(noisy).items():
        columns[f"worst of {k}"] = mean(values, runs)
    columns["slope"] = mean(
        [np.mean(list(one.slopes.values()), axis=0) if one.slopes else None for one in noisy], runs
    )
    if "en" in above_floor(study):
        columns["transfer gap"] = mean(transfer_gaps(study), runs)
    return columns


def worst(noisy):
    """{k: [one per language]} of the numbers of draws that all languages with several have: 1, 3 and 5, or 2."""
    drawn = [one.worst for one in noisy if one.worst]
    most = min(map(len, drawn), default=0)
    return {k: [own[k] for own in drawn] for k in ([1, 3, 5] if most >= 3 else [1, 2]) if k <= most}


def under(one, names):
    """[runs]: clean minus the noisy mean under the conditions `names` only."""
    chosen = [index for index, (name, _, _) in enumerate(one.conditions) if name in names]
    if not chosen:
        return None
    return one.scores[:, 1:][:, chosen] @ noisy_weights([one.conditions[index] for index in chosen])


def transfer_gaps(study):
    """[runs] for each language but English: its gap minus English's, under the noise that both have."""
    noisy, lost = above_floor(study), []
    english = noisy.pop("en")
    for one in noisy.values():
        both = {name for name, _, _ in one.conditions} & {name for name, _, _ in english.conditions}
        if both:
            own, other = (side.points[:, 0] - under(side, both) for side in (one, english))
            lost.append(own - other)
    return lost


def robustness_table(study, keys):
    columns, lines = robustness(study), []
    for setting in study.settings:
        own = study.members(setting)
        fields = [spread(values[own], keys[setting], 2 if name == "slope" else 1) for name, values in columns.items()]
        lines.append([setting, count(len(own)), *fields])
    noisy = above_floor(study)
    low = f" Without {', '.join(study.floor)}: near chance on clean text." if study.floor else ""
    caption = (
        f"Means over the {len(noisy)} languages with noised test files, {sum(one.examples for one in noisy.values())} "
        f"examples per condition, or over those that have the number; {study.metric} in percent, gaps in points.{low} "
        f"A guess scores {guess_text(study)}. {given(study)}A gap grows with the clean score and is 0 at chance, so "
        "alone it does not tell which setting is more robust."
    )
    return Table(f"{study.task}-robustness", "Robustness", caption, ("setting", "seeds", *columns), lines)


def operations_table(study, keys):
    """Scores by condition and setting, over a condition's own languages and over those that all conditions have.

    Draws of the same operation and level are averaged.
    """
    lines, noisy = [], {code: one for code, one in study.measured.items() if one.conditions}
    pairs = dict.fromkeys((op, level) for one in noisy.values() for _, op, level in one.conditions)
    values = {pair: {} for pair in sorted(pairs, key=lambda pair: study.operations.index(pair[0]))}
    rates = {pair: [] for pair in pairs}
    for pair, of_languages in values.items():  # levels stay in their order
        for code, one in noisy.items():
            draws = [index for index, (_, *own) in enumerate(one.conditions) if tuple(own) == pair]
            if draws:
                of_languages[code] = one.scores[:, 1:][:, draws].mean(1)
                rates[pair].append(one.rates[draws].mean())
    common = [code for code in noisy if all(code in of_languages for of_languages in values.values())]
    seen = seen_operations(study)
    for (op, level), of_languages in values.items():
        known = np.isfinite(rates[op, level]).all()
        rate = Field(f"{np.mean(rates[op, level]):.4f}", float(np.mean(rates[op, level]))) if known else "unknown"
        every = by_setting(study, keys, np.mean(list(of_languages.values()), axis=0))
        shared = [of_languages[code] for code in common] or [np.full(len(study.runs), np.nan)]
        for setting, own, same in zip(study.settings, every, by_setting(study, keys, np.mean(shared, axis=0))):
            rest = [mark(op, seen[setting]) if setting in seen else ""] * bool(seen)
            rest += [rate, guess(study, of_languages), " ".join(of_languages)]
            lines.append([f"{op}-{level}", setting, own, same, *rest])
    caption = (
        f"{study.metric}, percent: means over the languages that an operation applies to, named at the right, and, to "
        f"compare operations, over the {len(common)} that all conditions have ({' '.join(common) or 'none'}). Error "
        f"rate: what perturb.py reached. {given(study)}"
    )
    header = ["condition", "setting", "score", "common languages", "error rate", "guess", "languages"]
    header[4:4] = ["in training"] * bool(seen)
    name = f"{study.task}-operations"
    return Table(name, "Scores by operation and level", caption, tuple(header), lines, folded=True, labels=2)


def groups_table(study, keys):
    """Clean → noisy by group of languages, under the noise that all have, and the worst language and script."""
    lines, noisy = [], above_floor(study)
    every = [{name for name, _, _ in one.conditions} for one in noisy.values()]
    common = set.intersection(*every) if every else set()
    after = {code: under(one, common or {name for name, _, _ in one.conditions}) for code, one in noisy.items()}
    groups = language_groups(list(noisy))

    def field(setting, codes, name=""):
        own = study.members(setting)
        before, later = (np.mean([of[code][own].mean() for code in codes]) for of in (clean, after))
        return Field(f"{name}{before:.1f} → {later:.1f}", float(later), keys[setting])

    clean = {code: one.points[:, 0] for code, one in noisy.items()}
    for title, codes in groups.items():
        own = [field(setting, codes) for setting in study.settings]
        lines.append([title, *own, guess(study, codes), count(len(codes))])
    singles = {code: [code] for code in noisy}
    scripts = {title.removeprefix("script "): codes for title, codes in groups.items() if title.startswith("script ")}
    for title, members in (("worst language", singles), ("worst script", scripts)):
        fields = [
            [field(setting, codes, f"{name}: ") for name, codes in members.items()] for setting in study.settings
        ]
        lines += [[title, *(min(own, key=lambda one: one.value) for own in fields), "", ""]] if members else []
    noise = f"under the noise that all have ({' '.join(sorted(common))})" if common else "each under its own noise"
    low = f" Without {', '.join(study.floor)}: near chance on clean text." if study.floor else ""
    caption = (
        f"{study.metric}, percent, clean → noisy, {noise}; means over languages and seeds.{low} Pretraining text is "
        f"XLM-R's, CC-100. {given(study)}"
    )
    header = ("languages", *study.settings, "guess", "number")
    return Table(f"{study.task}-groups", "Groups of languages", caption, header, lines, folded=True)


def seen_table(study, keys):
    """[Table] of settings trained with noise: apart under the operations that this contained, and under others."""
    seen, codes = seen_operations(study), list(above_floor(study))
    compared, parts = [], set()
    for setting in [name for name in study.settings[1:] if name in seen]:
        marks = {op: mark(op, seen[setting]) for op in study.operations}
        parts |= {op for op, own in marks.items() if own == IN_PART}
        for which in (SEEN, UNSEEN):
            ops = [op for op in study.operations if marks[op] == which]
            if ops and (outcome := compare_under(study, codes, ops)):
                compared.append((setting, which, ops, outcome[0][setting], outcome[1]))
    if not compared:
        return []
    low, high, p = intervals([one for _, _, _, one, _ in compared])
    lines = []
    for (setting, which, ops, one, having), *interval in zip(compared, low, high, p, benjamini_hochberg(p)):
        fields = difference_fields(one, *interval, keys[setting])
        lines.append([setting, which, " ".join(ops), *fields, count(len(having))])
    left = f" In neither: {', '.join(sorted(parts))}, of which training contained a part." if parts else ""
    caption = (
        f"Secondary: {study.metric} of settings trained with --train_noise minus that of {study.baseline}, in points, "
        "under noise: mean over the operations that the training noise contained (of mixed those that it draws from), "
        f"and over the others, each a mean over levels.{left} p (BH) is adjusted over this table. {given(study)}"
        f"{SINGLE if any(one.single for _, _, _, one, _ in compared) else ''}"
    )
    header = ("setting", "in training", "operations", *DIFFERENCES[3:7], "languages")
    return [Table(f"{study.task}-seen", "Noise seen in training", caption.rstrip(), header, lines, labels=2)]


DIFFERENCES = (
    "setting", "score", "languages", "difference", "95 % interval", "p", "p (BH)", "seeds", "number", "examples",
)  # fmt: skip


def differences_table(study, keys, title, by_language):
    """Each setting against the baseline: clean, noisy and gap, over groups of languages or by language: secondary."""
    groups = {code: [code] for code in study.languages} if by_language else headline_groups(study.languages)
    quantities = ["clean", "noisy", "gap"] if study.operations else ["clean"]
    outcomes = {}
    for quantity in quantities:
        outcomes |= {(quantity, name): compare(study, codes, quantity) for name, codes in groups.items()}
        latin, others = (groups.get(name) for name in ("Latin but English", "non-Latin scripts"))
        if latin and others:
            outcomes[quantity, "non-Latin minus Latin"] = compare_groups(study, others, latin, quantity)
    compared = [
        (setting, *key, outcome[0][setting], outcome[1])
        for setting in study.settings[1:]
        for key, outcome in outcomes.items()
        if outcome
    ]
    low, high, p = intervals([one for _, _, _, one, _ in compared])
    lines, base = [], len(study.members(study.baseline))
    for (setting, quantity, name, one, having), *interval in zip(compared, low, high, p, benjamini_hochberg(p)):
        fields = difference_fields(one, *interval, keys[setting])
        seeds = f"{len(study.members(setting))} and {base}"
        examples = count(sum(own.examples for own in having))
        lines.append([setting, quantity, name, *fields, seeds, count(len(having)), examples])
    caption = (
        f"Secondary: {study.metric} of each setting minus that of {study.baseline}, in points. p is raw, p (BH) is "
        f"adjusted by Benjamini and Hochberg's method over the {int(np.isfinite(p).sum())} comparisons of this table: "
        f"a lead to follow, not a finding. A guess scores {guess_text(study)}. {given(study)}"
        f"{SINGLE if any(one.single for _, _, _, one, _ in compared) else ''}"
    )
    name = f"{study.task}-differences{'-by-language' * by_language}"
    return Table(name, title, caption.rstrip(), DIFFERENCES, lines, folded=True, labels=3)


def difference_fields(one, low, high, p, adjusted, source):
    """A Difference, its interval and p as entries of a line; † where it is about one run of a side."""
    ends = float(low), float(high)
    value, low, high = (round(number, 2) + 0.0 for number in (one.value, low, high))  # no "-0.00"
    interval = Interval(f"{low:.2f} to {high:.2f}{' †' if one.single else ''}", *ends)
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
