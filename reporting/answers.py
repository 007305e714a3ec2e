"""What a report answers first: the primary comparisons of each task, in a sentence, a table, and their limits.

The primary comparisons are declared here, before any number is seen: each setting against the baseline, on clean and
on noised text, averaged over all languages but English. Holm's correction is over these of a task and nothing else.
"""

from typing import NamedTuple

import numpy as np

from reporting.measure import compare, over_languages
from reporting.parts import Field, Interval, Table
from reporting.runs import origin
from reporting.statistics import holm, intervals, sign_test, superiority

SCORES = ("clean", "noisy")
WORDS = {"clean": "on clean text", "noisy": "under noise"}
CEILING = 97  # percent of the baseline's mean from which there is little to gain


class Primary(NamedTuple):
    """One primary comparison, in points."""

    task: str
    setting: str
    baseline: str
    score: str  # of SCORES
    value: float
    low: float
    high: float
    p: float  # NaN where a side has one run or encoder
    adjusted: float  # by Holm
    single: bool  # such a side: the interval is about that run
    units: tuple  # "3 seeds" of the setting and of the baseline
    encoders: int  # of phase 2 that the setting's runs start from
    better: tuple  # languages improved, languages that differ, p of the sign test
    beats: float  # percent of pairs of a run of the setting and one of the baseline in which the first is better
    languages: int
    source: str

    @property
    def found(self):
        return self.adjusted < 0.05


def foreign(study):
    """The languages that the primary comparisons are about: all but English, or English where there is no other."""
    return [code for code in study.languages if code != "en"] or study.languages


def primary(study, keys):
    """The Primary comparisons of a task; keys {setting: its Source's key}."""
    compared = []
    for score in SCORES if study.operations else SCORES[:1]:
        outcome = compare(study, foreign(study), score)
        if outcome:
            encoders = {name: one for name, one in outcome[0].items() if name not in study.floors}
            compared += [(setting, score, one, outcome[1]) for setting, one in encoders.items()]
    compared.sort(key=lambda one: study.settings.index(one[0]))
    low, high, p = intervals([one for _, _, one, _ in compared])
    comparisons = []
    for (setting, score, one, having), *interval in zip(compared, low, high, p, holm(p)):
        view = second_view(study, setting, score, having)
        pair = setting, study.baseline
        units = tuple(units_text(study, name) for name in pair), study.encoders(setting)
        numbers = (one.value, *map(float, interval), one.single, *units)
        comparisons.append(Primary(study.task, *pair, score, *numbers, *view, len(having), keys[setting]))
    return comparisons


def second_view(study, setting, score, having):
    """((languages improved, that differ, p), percent of pairs of units that the setting wins): no normality."""
    column, sides = study.quantities.index(score), [study.units(name) for name in (setting, study.baseline)]
    means = [
        np.array([np.mean([one.points[runs, column].mean() for runs in units]) for one in having]) for units in sides
    ]
    points = np.mean([one.points[:, column] for one in having], axis=0)
    runs = [np.array([points[members].mean() for members in units]) for units in sides]
    return sign_test(means[0] - means[1]), superiority(*runs)


def units_text(study, setting):
    """ "3 seeds", or "2 encoders" where what is drawn anew is the encoder."""
    units, encoders = len(study.units(setting)), study.encoders(setting)
    return f"{units} {'encoder' if encoders > 1 else 'seed'}{'s' * (units > 1)}"


def given(study):
    """What the numbers of a task are conditional on, for every caption: "" or "given one phase-2 encoder of mnli"."""
    single = [name for name in study.settings if study.encoders(name) == 1]
    if not single:
        return ""
    every = len(single) == sum(study.encoders(name) > 0 for name in study.settings)
    return f"Given one phase-2 encoder{' per setting' if every else ' of ' + ', '.join(single)}. "


# --- In words

NAMES = {
    "anli": "ANLI", "anli_plus": "ANLI+", "ccg": "CCG", "commonsense_qa": "CommonsenseQA", "cosmos_qa": "Cosmos QA",
    "hellaswag": "HellaSwag", "mnli": "MNLI", "qqp": "QQP", "snli": "SNLI", "squad": "SQuAD", "squad_v2": "SQuAD 2.0",
    "chrf++": "chrF++", "f1": "F1", "map@20": "mAP@20", "none": "no intermediate training", "panx": "PAN-X",
    "udpos": "UD-POS", "xnli": "XNLI",
}  # fmt: skip


def called(setting):
    """A setting, or a metric, as it is usually written."""
    stages = [NAMES.get(stage) or "+".join(map(spelled, stage.split("+"))) for stage in setting.split(" > ")]
    return ", then ".join(stages)


def spelled(task):
    return NAMES.get(task, task)


def how(study, setting):
    """ "after MNLI", or "with train-noise": of a name that the user gave nobody knows whether it is a training. Of
    direct, "without intermediate training", if that is so and not only what all runs share.
    """
    runs = [study.runs[index] for index in study.members(setting)]
    if setting == "direct" and not any(run.named or origin(run)[1] for run in runs):
        return "without intermediate training"
    return f"{'after' if all(run.phase2 and not run.named for run in runs) else 'with'} {called(setting)}"


def amount(value, low, high, words=("higher", "lower")):
    """("2.1 points higher", "95 %: 0.4 to 3.8") of a difference, both in its direction."""
    ends = (low, high) if value >= 0 else (-high, -low)
    return f"{abs(value):.1f} points {words[value < 0]}", f"95 %: {span(*ends, 1)}"


def span(low, high, digits):
    """ "0.4 to 3.8", with a digit more where an interval without 0 would else seem to reach it."""
    digits += low * high > 0 and min(abs(low), abs(high)) < 0.5 * 10**-digits
    low, high = (round(end, digits) + 0.0 for end in (low, high))  # no "-0.0"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def series(words, last="and"):
    """ "a, b and c"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def sentence(study, comparisons):
    """One plain sentence that answers for a task, made from its Primary comparisons."""
    where = "in English" if foreign(study) == ["en"] else "outside English"
    if not comparisons:
        return f"There is only {study.baseline}, so nothing is compared."
    differing, widest = [one for one in comparisons if one.found], max(comparisons, key=lambda one: abs(one.value))
    if differing:
        rest = len(study.settings) - len(study.floors) - 1 - len({one.setting for one in differing})
        said = "; ".join(effect(study, one, where * (index == 0)) for index, one in enumerate(differing))
        others = "", "; the other setting is not found to differ", "; no other setting is found to differ"
        other = others[min(rest, 2)]
        for score in {one.score for one in comparisons} - {one.score for one in differing}:
            other += f"; {WORDS[score]}, no difference is found"
        return f"{said[:1].upper()}{said[1:]}{other}."
    said = f"the largest difference: {effect(study, widest, where)}."
    if all(one.single for one in comparisons):
        return f"One run on a side, so other runs may differ by more. In these, {said}"
    scores = " or ".join(WORDS[score] for score in dict.fromkeys(one.score for one in comparisons))
    return (
        f"No setting is found to differ from {study.baseline} in {called(study.metric)} {scores} {where}, after "
        f"correction for {sum(not one.single for one in comparisons)} comparisons; {said}"
    )


def effect(study, one, where):
    """ "after MNLI, accuracy under noise is 2 points higher outside English than without intermediate training (95 %:
    0.4 to 3.8; better in 7 of 8 languages; 3 seeds, one encoder)"; the baseline with `where` alone.
    """
    points, interval = amount(one.value, one.low, one.high)
    seeds = " against ".join(dict.fromkeys(one.units))
    encoders = ", one encoder" if one.encoders == 1 else ""
    languages = f"better in {one.better[0]} of {one.languages} languages"
    about = f"{interval}; {languages}; {seeds}{encoders}{', these runs only' if one.single else ''}"
    metric = f"{called(study.metric)} {WORDS[one.score]}"
    this = how(study, one.setting)  # not after a phase 2: trained otherwise in phase 3, say, which direct is not
    than = how(study, study.baseline) if this.startswith("after") else f"with {called(study.baseline)}"
    where = f" {where} than {than}" if where else ""
    return f"{this}, {metric} is {points}{where} ({about})"


def limits(study, comparisons):
    """What the data of a task cannot say, in sentences."""
    task, said = study.task, []
    if study.collapsed:
        lost = series([f"{number} of {name}" for name, number in study.collapsed.items()])
        learned = "Differences are between the runs that learned the task."
        said.append(f"{task}: collapsed and left out: {lost}. {learned}")
    single = [name for name in study.settings if len(study.units(name)) == 1]
    if single and len(study.settings) > 1:
        said.append(
            f"{task}: one run of {', '.join(single)}. Its interval (†) is about that run and the choice of test "
            "examples; another seed or encoder may differ by more, so there is no p."
        )
    one_encoder = [name for name in study.settings if study.encoders(name) == 1 and name not in single]
    if one_encoder:
        said.append(
            f"{task}: {', '.join(one_encoder)} had one phase-2 encoder. Seeds of phase 3 do not tell how another "
            "encoder of the same setting would do."
        )
    if study.floor and study.operations:
        low = ", ".join(
            f"{code} ({min(study.clean(name, code) for name in names):.1f} {called(study.metric)}, a guess: "
            f"{study.guess(code):.1f})"
            for code, names in study.floor.items()
        )
        said.append(
            f"{task}: near chance even on clean text, so noise has nothing to take: {low}; in no robustness mean."
        )
    averages = over_languages(study, foreign(study), "clean")
    base = averages[0][study.members(study.baseline)].mean()
    if base >= CEILING:
        said.append(
            f"{task}: {study.baseline} is at the ceiling on clean text ({base:.1f}), so settings cannot differ much."
        )
    return said


def answer(studies, keys):
    """([(task, sentence)], what the data cannot say, all Primary comparisons) of measured studies.

    keys: {task: {setting: its Source's key}}.
    """
    compared = {study.task: primary(study, keys[study.task]) for study in studies}
    said = [(study.task, sentence(study, compared[study.task])) for study in studies]
    cannot = [words for study in studies for words in limits(study, compared[study.task])]
    return said, cannot, [one for own in compared.values() for one in own]


# --- The table

PRIMARY = (
    "task", "setting", "score", "difference", "95 % interval", "p (Holm)", "languages better (p)", "runs better",
    "runs",
)  # fmt: skip


def primary_lines(comparisons):
    """A line of the primary table for each comparison."""
    for one in comparisons:
        value, low, high = (round(number, 1) + 0.0 for number in (one.value, one.low, one.high))  # no "-0.0"
        better = f"{one.better[0]} of {one.languages} ({p_field(one.better[2]).text})"
        yield [
            one.task,
            one.setting,
            WORDS[one.score].removeprefix("on "),
            Field(f"{value:+.1f}{' *' if one.found else ''}", one.value, one.source),
            Interval(f"{low:.1f} to {high:.1f}{' †' if one.single else ''}", one.low, one.high),
            p_field(one.adjusted),
            Interval(better, one.better[0], one.better[2], ("number", "p")),
            Field(f"{one.beats:.0f} %", one.beats),
            " / ".join(dict.fromkeys(one.units)),
        ]


def primary_table(comparisons, studies):
    """The primary comparisons of all tasks in one Table."""
    guesses = "; ".join(f"{study.task} {guess_text(study)}" for study in studies)
    encoders = "".join(dict.fromkeys(given(study) for study in studies))
    caption = (
        "Points by which each setting differs from the baseline, averaged over all languages but English. * found: p "
        "below 0.05 after Holm's correction over these comparisons of the task. Languages better: how many improve "
        "(p of a sign test). Runs better: how often a random run beats one of the baseline. "
        f"{encoders}{SINGLE if any(one.single for one in comparisons) else ''}A guess scores: {guesses}."
    )
    return Table("primary", "The primary comparisons", caption, PRIMARY, list(primary_lines(comparisons)), labels=3)


SINGLE = "† One run or encoder on a side: the interval is about that run, so there is no p. "


def guess_text(study):
    """ "33.3", or the range over languages, of what a constant guess scores."""
    values = [study.guess(code) for code in study.languages]
    low, high = min(values), max(values)
    return f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"


def p_field(p):
    return Field("n/a") if np.isnan(p) else Field(f"{p:.3f}" if p >= 0.0005 else "< 0.001", float(p))
