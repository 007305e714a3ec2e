"""Attacked test sets in a report: what is left of accuracy, how many right examples break, and what transfers.

An attack is searched against one model, so its folder says of any other how far the attack transfers. Examples that
are wrong on clean text cannot be broken: success is a share of the right ones. Languages are averaged where they were
attacked with the same operations and the same queries, or one would have had the larger space to search.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import stats

from common.halves import NORMAL
from reporting.parts import Field, Interval, Table
from reporting.runs import read_counts
from reporting.statistics import statistic

HEADER = (
    "setting", "seed", "attack", "language", "n", "right", "attacked", "95 %", "success", "95 % of success", "random",
    "edits", "queries", "candidates", "operations",
)  # fmt: skip
WORDS = ("right words", "words broken", "95 % of words", "random words")  # of tagging


class Cell(NamedTuple):
    """One run on one attacked file; flags [examples] say what is right."""

    run: int  # of the study's
    condition: str
    language: str
    clean: np.ndarray
    noisy: np.ndarray
    numbers: dict  # of the manifest: what the attack knows of itself

    @property
    def right(self):
        return int(self.clean.sum())

    @property
    def broken(self):
        return int((self.clean & ~self.noisy).sum())


def attacks(study, keys, args):
    """Tables of a study's attacked sets, none without."""
    cells = [cell for number in range(len(study.runs)) for cell in cells_of(study, number)]
    if not cells:
        return [], []
    lines = []
    for number, condition in dict.fromkeys((cell.run, cell.condition) for cell in cells):
        lines += attack_lines(
            study, keys, [one for one in cells if (one.run, one.condition) == (number, condition)], args
        )
    caption = (
        "Percent of the n attacked examples that are still right, and of those right on clean text the share that the "
        "attack turns wrong, with Wilson's intervals; the means' rest on resampled examples. white-box: searched "
        "against this very model; transfer: against another one. random: success of as many random texts with as many "
        "edits, on the attacked model. edits: graphemes changed in broken examples; queries and candidates (single "
        "edits to choose from) per right example. Means are over the languages with the same operations. Right is a "
        "label, an exact match, or a sentence without a wrong tag."
    )
    words = study.target.kind == "tagging"
    if words:
        caption += (
            " Words broken: of the words that the attacked model tags right at first, in all sentences, the share "
            "that it tags wrong under the attack; the interval takes sentences as the sample. Edits, queries and "
            "candidates are then per sentence with a right word."
        )
    header = (*HEADER[:-1], *WORDS, HEADER[-1]) if words else HEADER
    tables = [Table(f"{study.task}-attacks", "Attacks", caption, header, lines, labels=3)]
    return [*tables, *transfer_tables(study, keys, cells)], []


def cells_of(study, number):
    """The Cells of a run."""
    run, right = study.runs[number], statistic(study.target)[2]
    for condition, record in run.attacks.items():
        for language, numbers in record["languages"].items():
            if run.scores.get((language, condition)) and run.scores.get((language, "clean")):
                both = [right(part) for part in read_counts(run, language, ["clean", condition])]
                attacked = min(numbers["examples"], *map(len, both))  # the first ones of the file
                clean, noisy = (flags[:attacked] for flags in both)
                yield Cell(number, condition, language, clean, noisy, numbers)


def attack_lines(study, keys, cells, args):
    """The lines of one run under one condition: its languages, and means of those with the same operations; of another
    run's attack only the means where there are some, since all runs are crossed with all attacks.
    """
    run, condition = study.runs[cells[0].run], cells[0].condition
    record, source = run.attacks[condition], keys[run.setting]
    white = record["checkpoint"] == run.checkpoint
    attack = f"{condition}, white-box" if white else f"{condition}, transfer from {record['source']}"
    about, more = (run.setting, str(run.seed), attack), (source, args, white, study.target.kind)
    common = Counter(tuple(cell.numbers["ops"]) for cell in cells).most_common(1)[0][0]
    alike = [cell for cell in cells if tuple(cell.numbers["ops"]) == common]
    for cell in cells if white or len(alike) == 1 else ():
        yield [*about, cell.language, *numbers_of([cell], *more)]
    if len(alike) > 1:
        yield [*about, f"mean of {len(alike)}", *numbers_of(alike, *more)]


def numbers_of(cells, source, args, white, kind):
    """The fields of a line: one language's numbers, or means of several."""
    size, right = sum(len(cell.clean) for cell in cells), sum(cell.right for cell in cells)
    left = [(int((cell.clean & cell.noisy).sum()), len(cell.clean)) for cell in cells]
    broken = [(cell.broken, cell.right) for cell in cells if cell.right]
    numbers = [cell.numbers for cell in cells]
    controls = [one["control"] for one in numbers if one.get("control") and one["control"]["right"]]
    random = [100 * one["broken"][-1] / one["right"] for one in controls]
    means = [
        [one[name] for one in numbers if one[name] is not None]
        for name in ("mean_edits", "mean_queries", "candidates")
    ]
    return [
        Field(str(size), size),
        Field(str(right), right),
        *share(left, source, args),
        *share(broken, source, args),
        field(random if len(random) == len(cells) else [], source),
        *(field(values, source) for values in means),
        *(words_of(numbers, source, white) if kind == "tagging" else ()),
        " ".join(numbers[0]["ops"]),
    ]


def words_of(numbers, source, white):
    """The fields WORDS of one language's numbers, or means of several; which words break is known of the attacked
    model only.
    """
    numbers = [one for one in numbers if one.get("words", {}).get("right")]
    words = [one["words"] for one in numbers]
    if not white or not words:
        return [Field("n/a")] * len(WORDS)
    right = sum(one["right"] for one in words)
    shares = [100 * one["broken"][-1] / one["right"] for one in words]
    interval, random = "n/a", []
    if all(one["error"] is not None for one in words):
        away = NORMAL * np.sqrt(sum(one["error"] ** 2 for one in words)) / len(words)
        low, high = max(0.0, np.mean(shares) - away), min(100.0, np.mean(shares) + away)
        interval = Interval(f"{low:.1f} to {high:.1f}", float(low), float(high))
    controls = [one["control"]["words"] for one in numbers if "words" in (one.get("control") or {})]
    if len(controls) == len(words):
        random = [100 * one["broken"][-1] / one["right"] for one in controls]
    return [Field(str(right), right), field(shares, source), interval, field(random, source)]


def field(values, source):
    return Field(f"{np.mean(values):.1f}", float(np.mean(values)), source) if values else Field("n/a")


def share(pairs, source, args):
    """(a Field of the mean share in percent, an Interval) of (hits, number) of one or several languages."""
    if not pairs:
        return Field("n/a"), "n/a"
    hits, sizes = np.array(pairs).T
    low, high = 0.0, 100.0  # of nothing, everything is possible
    if sizes[0]:
        low, high = (100 * end for end in stats.binomtest(int(hits[0]), int(sizes[0])).proportion_ci(method="wilson"))
    if len(pairs) > 1:  # resampling examples that are right or wrong is a binomial draw
        draws = np.random.default_rng(args.seed).binomial(sizes, hits / sizes, (args.resamples, len(pairs))) / sizes
        low, high = np.percentile(100 * draws.mean(1), [2.5, 97.5])
    return field(list(100 * hits / sizes), source), Interval(f"{low:.1f} to {high:.1f}", float(low), float(high))


def transfer_tables(study, keys, cells):
    """The transfer matrix: attacks on one model (lines), read by several (columns); [] with one model alone."""
    runs, lines = dict.fromkeys(cell.run for cell in cells), []
    sources = {}  # (operation and edits, checkpoint that was attacked) -> {run: [Cell]}
    for cell in cells:
        run = study.runs[cell.run]
        about, checkpoint = run.condition(cell.condition), run.attacks[cell.condition]["checkpoint"]
        of_source = sources.setdefault((f"{about['op']}-{about['level']}", checkpoint), {})
        of_source.setdefault(cell.run, []).append(cell)
    by_checkpoint = {run.checkpoint: number for number, run in enumerate(study.runs)}
    for (attack, checkpoint), of_runs in sources.items():
        own, first = by_checkpoint.get(checkpoint), next(iter(of_runs.values()))[0]
        base = {cell.language: cell.clean for cell in of_runs.get(own, [])}
        name = study.runs[first.run].attacks[first.condition]["source"] if own is None else shown(study, own)
        fields = [transfer(of_runs.get(number, []), base, keys[study.runs[number].setting]) for number in runs]
        lines.append([attack, name, *fields])
    if len(runs) < 2:
        return []
    caption = (
        "Percent of the examples that both models get right on clean text that the model of the column still gets "
        "right under the attack on the model of the line, over all languages; in brackets how many those are. The "
        "diagonal is white-box."
    )
    header = ("attack", "searched against", *(shown(study, number) for number in runs))
    return [Table(f"{study.task}-transfer", "Transfer of attacks", caption, header, lines, labels=2)]


def shown(study, number):
    return f"{study.runs[number].setting}, seed {study.runs[number].seed}"


def transfer(cells, base, source):
    """A Field of the matrix; `base` {language: right on clean text} of the attacked model, where it is known."""
    both = [(cell.clean & base.get(cell.language, cell.clean), cell.noisy) for cell in cells]
    number = sum(int(clean.sum()) for clean, _ in both)
    if not number:
        return Field("-")
    kept = 100 * sum(int((clean & noisy).sum()) for clean, noisy in both) / number
    return Field(f"{kept:.1f} ({number})", kept, source)
