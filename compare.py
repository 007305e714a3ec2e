"""Runs of one task side by side, or settings against a baseline, in the terminal.

    python compare.py outputs/direct-xnli outputs/mnli-xnli                  the scores per language, a column per run
    python compare.py outputs/mnli-* --baseline outputs/direct-*             the primary table of report.py

The first reads the results.jsonl of every folder, the second what report.py reads, of any number of tasks.
Copy with it: common/ metrics.py noise/ reporting/ tasks.py (the first form does without all but the first).
"""

import os
import shutil
import sys
import textwrap

from common.arguments import Parser
from common.files import InputError
from common.results import Results
from common.text import aligned, show

GREEN, RED, BOLD, PLAIN = "\033[32m", "\033[31m", "\033[1m", "\033[0m"


def build_parser():
    parser = Parser(prog="compare.py", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="DIR", help="output folders of run_xtreme.py")
    parser.add_argument("--condition", default="clean", help="condition whose scores are shown (default: clean)")
    parser.add_argument(
        "--baseline", nargs="+", metavar="DIR", help="compare the settings of all runs with this one's"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the examples, with --baseline (default: 1000)")
    color = {"choices": ("auto", "always", "never"), "default": "auto"}
    parser.add_argument("--color", **color, help="of differences that are found (default: auto, in a terminal)")
    return parser


# --- The scores per language


def side_by_side(folders, condition="clean"):
    """A table of the task's metric in percent: a line per language, a column per run. Raises InputError."""
    runs = {}  # folder -> its results under the condition
    for folder in map(str, folders):
        results = [result for result in Results(folder).entries if result["condition"] == condition]
        runs[folder] = [result for result in results if result["metric"]]  # None where there were no labels
        if not runs[folder]:
            raise InputError(
                f"{folder}: no scores under the condition {condition}; run run_xtreme.py with --do_predict first"
            )
    first = next(iter(runs.values()))
    task = first[0]["task"]
    metric = "f1" if any(result["metric"] == "f1" for result in first) else first[0]["metric"]
    scores = []  # of every run: {language: value}
    for results in runs.values():
        same = [result for result in results if (result["task"], result["metric"]) == (task, metric)]
        scores.append({result["language"]: result["value"] for result in same})
    languages = sorted(set().union(*scores), key=lambda code: (code != "en", code))
    lines = [[f"{task}: {metric}", *runs]]
    lines += [[code, *(f"{of_run[code]:.1f}" if code in of_run else "-" for of_run in scores)] for code in languages]
    shared = [code for code in languages if code != "en" and all(code in of_run for of_run in scores)]
    if shared:
        averages = [sum(of_run[code] for code in shared) / len(shared) for of_run in scores]
        lines.append(["average without en", *(f"{average:.1f}" for average in averages)])
    return "\n".join(aligned(lines))


# --- The primary comparisons


def primary_comparisons(folders, baseline, resamples, color, width):
    """report.py's answer and primary table as text; lines of two where the table is wider than `width`."""
    from reporting.alignment import open_alignment
    from reporting.answers import answer, primary_table
    from reporting.measure import measure_all, open_study
    from reporting.parts import text
    from reporting.runs import by_task, load_runs
    from reporting.sections import section_answers

    runs, encoders, base, baselines, _ = load_runs(folders, baseline)
    alignment = open_alignment(encoders, base) if any(run.folder.resolve() in base for run in encoders) else None
    studies = [open_study(task, baselines[task], own) for task, own in by_task(runs).items()]
    measure_all(studies, resamples, seed=0)
    answers, cannot, every = answer(studies, {study.task: dict.fromkeys(study.settings, "") for study in studies})
    said = [f"{what}: {words}" for what, words in section_answers(studies, alignment) + answers]
    table = primary_table(every, studies)
    lines = [[" ".join(map(text, line[:3])), *map(text, line[3:])] for line in table.lines]
    header = [" ".join(table.header[:3]), *table.header[3:]]
    rows = aligned([header, *lines])
    if max(map(len, rows)) > width:
        rows = ["", *(narrow(header, line, width) for line in lines)]
    rows = [rows[0], *(painted(row, one, color) for row, one in zip(rows[1:], every))] if every else []
    said, cannot = ([textwrap.fill(words, width) for words in side] for side in (said, cannot))
    return "\n".join([*said, "", *filter(None, rows), "", *cannot]).rstrip()


def narrow(header, line, width):
    """A line of a table in several: its name and number, below them the rest behind their headers."""
    name, number, *rest = line
    below = ", ".join(f"{word} {entry}" for word, entry in zip(header[2:], rest))
    return f"{name}  {number}\n{textwrap.indent(textwrap.fill(below, width - 4), '    ')}"


def painted(row, one, color):
    """A line in green or red where its difference is found, with `color`."""
    return f"{GREEN if one.value > 0 else RED}{BOLD}{row}{PLAIN}" if color and one.found else row


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        if args.baseline:
            if not 100 <= args.resamples <= 1_000_000:
                raise InputError(f"--resamples {args.resamples}: give 100 to 1000000; the default is 1000")
            terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            color = args.color == "always" or (args.color == "auto" and terminal)
            width = shutil.get_terminal_size((120, 24)).columns
            show(primary_comparisons(args.runs, args.baseline, args.resamples, color, width))
        else:
            show(side_by_side(args.runs, args.condition))
    except (InputError, OSError) as error:
        parser.error(error)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again\n")


if __name__ == "__main__":
    main()
