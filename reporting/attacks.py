"""Attacked test sets in a report: what is left of accuracy, how many right examples break, and what transfers.

An attack is searched against one model, so its folder says of any other how far the attack transfers. Examples that
are wrong on clean text cannot be broken: success is a share of the right ones. Languages are averaged where they were
attacked with the same operations and the same queries, or one would have had the larger space to search.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from common.halves import NORMAL
from reporting.parts import Field, Interval, Table
from reporting.runs import read_counts
from reporting.statistics import statistic
from reporting.tables import count, spread

HEADER = (
    "setting", "seed", "attack", "language", "n", "right", "attacked", "95 %", "success", "95 % of success", "random",
    "edits", "queries", "candidates", "operations",
)  # fmt: skip
WORDS = ("right words", "words broken", "95 % of words", "random words")  # of tagging
SUMMARY = "setting", "attack", "runs", "languages", "attacked", "success", "words broken (at least)"


class Cell(NamedTuple):
    """One run on one attacked file; flags [examples] say what is right."""

    run: int  # of the study's
    condition: str
    language: str
    clean: np.ndarray
    noisy: np.ndarray
    numbers: dict  # of the manifest: what the attack knows of itself
    words: float | None  # percent of the words right on clean text that are lost, at least; None where none is counted

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
        lines += attack_lines(study, keys, [one for one in cells if (one.run, one.condition) == (number, condition)])
    caption = (
        "Percent of the n attacked examples that are still right, and of those right on clean text the share that the "
        "attack turns wrong, with Wilson's intervals; a mean combines them. white-box: searched "
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
    name, title = f"{study.task}-attacks-by-run", "Attacks by run and language"
    detail = Table(name, title, caption, header, lines, folded=True, labels=3)
    return [summary_table(study, keys, cells), detail, *transfer_tables(study, keys, cells)], []


def summary_table(study, keys, cells):
    """A line per setting and attack: means over the languages of a run, then over runs."""
    rows = {}  # (setting, attack) -> {run: [Cell]}
    for cell in cells:
        row = study.runs[cell.run].setting, described(study, cell)[1]
        rows.setdefault(row, {}).setdefault(cell.run, []).append(cell)
    lines = []
    for setting, attack in sorted(rows, key=lambda row: study.settings.index(row[0])):
        runs = [alike(own) for own in rows[setting, attack].values()]
        left = [[100 * float((cell.clean & cell.noisy).mean()) for cell in own] for own in runs]
        success = [[100 * cell.broken / cell.right for cell in own if cell.right] for own in runs]
        words = [[cell.words for cell in own if cell.words is not None] for own in runs]
        means = ([np.mean(own or [np.nan]) for own in side] for side in (left, success, words))
        fields = [spread(side, keys[setting]) for side in means]
        lines.append([setting, attack, count(len(runs)), count(max(map(len, runs))), *fields])
    caption = (
        "Percent of the attacked examples that are still right, and of those right on clean text the share that the "
        "attack turns wrong: means over languages, ± over runs. white-box: searched against this very model; "
        "transfer: against another one, which is no test of the reader's own worst case."
    )
    if study.target.kind != "tagging":
        lines = [line[:-1] for line in lines]
    else:
        caption += (
            " Right is a sentence without a wrong tag. Words broken: of the words right on clean text the share that "
            "sentences lose, at least, since counts do not tell which words."
        )
    header = SUMMARY[: len(lines[0])]
    return Table(f"{study.task}-attacks", "Attacks", caption, header, lines, labels=2)


def described(study, cell):
    """(whether the cell's attack was searched against its very run, what the attack is called)."""
    run = study.runs[cell.run]
    record = run.attacks[cell.condition]
    white = record["checkpoint"] == run.checkpoint
    return white, f"{cell.condition}, {'white-box' if white else 'transfer from ' + Path(record['source']).name}"


def alike(cells):
    """Those of the languages with the most common operations."""
    common = Counter(tuple(cell.numbers["ops"]) for cell in cells).most_common(1)[0][0]
    return [cell for cell in cells if tuple(cell.numbers["ops"]) == common]


def cells_of(study, number):
    """The Cells of a run."""
    run, right = study.runs[number], statistic(study.target)[2]
    for condition, record in run.attacks.items():
        for language, numbers in record["languages"].items():
            if run.scores.get((language, condition)) and run.scores.get((language, "clean")):
                parts = read_counts(run, language, ["clean", condition])
                both = [right(part) for part in parts]
                attacked = min(numbers["examples"], *map(len, both))  # the first ones of the file
                clean, noisy = (flags[:attacked] for flags in both)
                yield Cell(number, condition, language, clean, noisy, numbers, words_broken(parts, attacked))


def words_broken(parts, attacked):
    """Percent of the words that are right in the first of two counts and lost in the second, by sentence, at least."""
    if not all("correct_tokens" in part for part in parts):
        return None
    before, after = (part["correct_tokens"][:attacked] for part in parts)
    return 100 * float(np.maximum(0, before - after).sum() / before.sum()) if before.sum() else None


def attack_lines(study, keys, cells):
    """The lines of one run under one condition: its languages, and means of those with the same operations; of another
    run's attack only the means where there are some, since all runs are crossed with all attacks.
    """
    run = study.runs[cells[0].run]
    (white, attack), source = described(study, cells[0]), keys[run.setting]
    about, more = (run.setting, str(run.seed), attack), (source, white, study.target.kind)
    same = alike(cells)
    for cell in cells if white or len(same) == 1 else ():
        yield [*about, cell.language, *numbers_of([cell], *more)]
    if len(same) > 1:
        yield [*about, f"mean of {len(same)}", *numbers_of(same, *more)]


def numbers_of(cells, source, white, kind):
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
        *share(left, source),
        *share(broken, source),
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


def share(pairs, source):
    """(a Field of the mean share in percent, an Interval) of (hits, number) of one or several languages."""
    if not pairs or not all(size for _, size in pairs):
        return Field("n/a"), "n/a"
    shares = np.array([hits / size for hits, size in pairs])
    ends = [stats.binomtest(hits, size).proportion_ci(method="wilson") for hits, size in pairs]
    low, high = np.array([(end.low, end.high) for end in ends]).T
    # Of a mean: Zou and Donner's (2008), from the distances to Wilson's ends; resampling at 0 or 100 % has no width.
    mean, part = shares.mean(), len(pairs)
    low, high = mean - np.sqrt(((shares - low) ** 2).sum()) / part, mean + np.sqrt(((high - shares) ** 2).sum()) / part
    low, high = 100 * float(low), 100 * float(high)
    return field(list(100 * shares), source), Interval(f"{low:.1f} to {high:.1f}", low, high)


def transfer_tables(study, keys, cells):
    """The transfer matrix: attacks on one model (columns), read by several (lines); [] with one model alone."""
    runs, columns = dict.fromkeys(cell.run for cell in cells), {}
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
        source = Path(study.runs[first.run].attacks[first.condition]["source"]).name
        name = f"{attack} on {source if own is None else shown(study, own)}"
        columns[name] = [transfer(of_runs.get(number, []), base, keys[study.runs[number].setting]) for number in runs]
    if len(runs) < 2:
        return []
    caption = (
        "Percent of the examples that both models get right on clean text that the model of the line still gets right "
        "under the attack on the model of the column, over all languages; in brackets how many those are. A model's "
        "own column is white-box."
    )
    lines = [[shown(study, number), *fields] for number, *fields in zip(runs, *columns.values())]
    return [Table(f"{study.task}-transfer", "Transfer of attacks", caption, ("read by", *columns), lines, folded=True)]


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
