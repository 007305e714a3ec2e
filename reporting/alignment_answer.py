"""What alignment answers: does training line languages up better, and does that survive noise and fine-tuning?

The comparisons are declared here, before any number is seen: how many sentences have their translation as nearest
neighbor (top-1 by CSLS) at the protocol's layer, over the languages that all runs have, on clean and on noised text.
An encoder is compared with the baseline; one that was fine-tuned on a target task with the baseline fine-tuned on it,
where there is one. Holm's correction is over these comparisons and nothing else.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from common.halves import NORMAL
from reporting.alignment import TASK, difference
from reporting.answers import WORDS, amount, called, series
from reporting.parts import Field, Interval, Table
from reporting.runs import origin
from reporting.statistics import holm
from reporting.tables import count, p_field
from tasks import TARGETS

SCORES = {"clean": "top-1 clean", "noisy": "top-1 noisy"}
MOST = 3  # encoders that a sentence names with their numbers
DIRECTIONS = ("more", "fewer")
CLAIM = "sentences have their translation as nearest neighbor"


class Moved(NamedTuple):
    """One comparison, in points of sentences."""

    setting: str
    against: str
    score: str  # of SCORES
    value: float
    low: float
    high: float
    p: float
    adjusted: float  # by Holm
    languages: int

    @property
    def found(self):
        return self.adjusted < 0.05


def trained(study, setting):
    """(what the encoder was trained on before, the target task that it was fine-tuned on at last or "")."""
    tasks = origin(study.runs[setting].run)[1]
    tuned = bool(tasks) and tasks[-1].split(" (")[0] in TARGETS
    return (tasks[:-1], tasks[-1]) if tuned else (tasks, "")


def counterpart(study, setting):
    """The setting that it is compared with: the baseline, fine-tuned as it was, where there is one."""
    before, target = trained(study, study.baseline)[0], trained(study, setting)[1]
    same = [name for name in study.runs if trained(study, name) == (before, target)]
    return same[0] if target and same and same[0] != setting else study.baseline


def compared(study):
    """[Moved] of all settings but the baseline."""
    codes, (depth, *_) = study.groups["all languages"], study.layers().values()
    rows = []
    for setting in list(study.runs)[1:]:
        against = counterpart(study, setting)
        for score, quantity in SCORES.items():
            if moved := difference(study, setting, quantity, depth, codes, against):
                rows.append((setting, against, score, *moved))
    value, error = (np.array([row[column] for row in rows], dtype=float) for column in (3, 4))
    p = 2 * stats.norm.sf(np.abs(np.divide(value, error, out=np.zeros_like(value), where=error > 0)))
    ends = value - NORMAL * error, value + NORMAL * error
    return [Moved(*row[:3], *map(float, numbers), row[5]) for row, *numbers in zip(rows, value, *ends, p, holm(p))]


def answer_table(study, keys):
    """The comparisons in a Table."""
    lines = [
        [
            one.setting,
            WORDS[one.score].removeprefix("on "),
            one.against,
            Field(f"{one.value:+.1f}{' *' if one.found else ''}", one.value, keys[one.setting]),
            Interval(f"{one.low:.1f} to {one.high:.1f}", one.low, one.high),
            p_field(one.p),
            p_field(one.adjusted),
            count(one.languages),
        ]
        for one in compared(study)
    ]
    caption = (
        "Points by which more sentences have their translation as nearest neighbor (top-1 by CSLS) than with the "
        "encoder under `against`, at the protocol's layer, declared before; paired over sentences. * found: p below "
        f"0.05 after Holm's correction over the {len(lines)} comparisons of this table; {ONE_ENCODER}"
    ).replace("`", '"')
    header = ("setting", "text", "against", "difference", "95 % interval", "p", "p (Holm)", "number")
    return Table(f"{TASK}-answer", "Does training line languages up?", caption, header, lines, labels=2)


ONE_ENCODER = "one encoder stands for a setting: another one, trained with another seed, may differ by more."


# --- In words


def alignment_answer(study):
    """What training does to alignment, what fine-tuning does to it, and what of the first is left after the second."""
    (before, _), changed, tuned, left = trained(study, study.baseline), {}, {}, {}
    for one in compared(study):
        own, target = trained(study, one.setting)
        group = left.setdefault(target, {}) if one.against != study.baseline else changed
        group = tuned if target and own == before else group
        group.setdefault(one.setting, {})[one.score] = one
    base = f"with {called(study.baseline)}" if before else "before intermediate training"
    said = [listed({how(study, name): moves for name, moves in changed.items()}, CLAIM, base)]
    do = "do" if changed else CLAIM
    for name, moves in tuned.items():
        said.append(listed({f"after fine-tuning on {called(trained(study, name)[1])}": moves}, do, "before it"))
    for target, group in left.items():
        own = listed({how(study, name): moves for name, moves in group.items()}, "do", "without it")
        said.append(f"of encoders fine-tuned on {called(target)}, {own}")
    return " ".join(f"{words[0].upper()}{words[1:]}." for words in said if words)


def how(study, setting):
    """ "after MNLI", whether or not it was fine-tuned then; "with mine" of a name that the user gave."""
    own, target = trained(study, setting)
    after = own and not study.runs[setting].run.named
    return f"{'after' if after else 'with'} {called(setting.removesuffix(f' > {target}'))}"


def listed(moves, what, base):
    """ "after CCG, 7.6 points fewer do than before (95 %: 6.3 to 8.8; under noise 8.1); after MNLI, ..." of {who:
    {score: Moved}}, the largest first; `what` they do and the `base` are said once.
    """
    found = {who: own for who, own in moves.items() if any(one.found for one in own.values())}
    largest = sorted(found, key=lambda who: -max(abs(one.value) for one in found[who].values()))
    tails = [f"{what} than {base}", *[""] * len(largest)]
    said = [f"{who}, {moved(found[who], tail)}" for who, tail in zip(largest[:MOST], tails)]
    said += [f"in {len(largest) - MOST} more settings the number differs, too"] * (len(largest) > MOST)
    if others := [who for who in moves if who not in found]:
        said.append(f"{series(others)}, no difference is found{'' if found else f' in how many {what}'}")
    return "; ".join(said)


def moved(own, tail):
    """ "7.6 points fewer do than before (95 %: 6.3 to 8.8; under noise 8.1)"."""
    first, *others = sorted(own.values(), key=lambda one: not one.found)
    points, interval = amount(first.value, first.low, first.high, DIRECTIONS)
    about = [interval]
    for one in others:
        # The number alone says less where the direction is another.
        words = f"{abs(one.value):.1f}{f' {DIRECTIONS[one.value < 0]}' * (one.value * first.value < 0)}"
        about.append(f"{WORDS[one.score]} {words if one.found else 'no difference is found'}")
    scored = f"{WORDS[first.score]}, " * (first.score != "clean" or not others)
    return f"{scored}{points}{tail and ' '}{tail} ({'; '.join(about)})"
