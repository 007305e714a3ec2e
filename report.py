"""From runs to tables with intervals: clean scores, robustness to noise, and differences from a baseline, per task and
language.

  python report.py --runs outputs/* --baseline outputs/direct-* --output_dir report
  python report.py --runs outputs/mnli-* adversarial=outputs/adv-* --baseline outputs/direct-* --output_dir report --resamples 10000

Reads the run.json, results.jsonl and scores/ of finished run_xtreme.py runs; runs of one setting are its seeds. Writes
report.md, index.html (self-contained), tables/*.tex and *.csv, figures/*.png and *.svg, and scores.csv with every
score of every run. Needs no model and no GPU. Copy with it: common/ metrics.py reporting/ tasks.py.
"""

import csv
import io
import os
import shlex
import sys
from pathlib import Path

from common.arguments import Parser
from common.files import InputError, write_text
from common.run_record import mask_secrets

OURS = "index.html"  # marks a folder that we may write into


def build_parser():
    parser = Parser(prog="report.py", description=__doc__)
    add = parser.add_argument
    add(
        "--runs",
        nargs="+",
        action="extend",
        required=True,
        metavar="[NAME=]DIR",
        help="folders of runs; NAME= names their setting",
    )
    add(
        "--baseline",
        nargs="+",
        action="extend",
        required=True,
        metavar="DIR",
        help="the runs that others are compared with, one setting per task",
    )
    add("--output_dir", required=True, help="folder of the report")
    add("--title", default="Robustness of cross-lingual transfer")
    add("--resamples", type=int, default=1000, help="bootstrap resamples of the test examples (default: 1000)")
    add("--seed", type=int, default=0, help="of the resampling")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        run(args, f"python report.py {shlex.join(mask_secrets(argv))}")
    except InputError as error:
        parser.error(str(error))
    except OSError as error:
        parser.exit(
            1,
            f"{parser.prog}: error: {error}; free some space or name another --output_dir, then run the same command "
            "again\n",
        )
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again\n")


def run(args, command):
    """The story: runs, studies, measurements, tables, figures, pages."""
    check_arguments(args)
    from reporting.figures import figures
    from reporting.measure import measure_all, plan_study
    from reporting.page import write_report
    from reporting.parts import Report
    from reporting.runs import load_runs
    from reporting.tables import (
        GLOSSARY,
        figure_scores,
        gaps_tables,
        headline_groups,
        scores_table,
        sources,
        task_tables,
    )

    runs, baselines, notes = load_runs(args.runs, args.baseline)
    by_task = {task: [run for run in runs if run.task == task] for task in sorted({run.task for run in runs})}
    planned = [plan_study(task, baselines[task], of) for task, of in by_task.items()]
    measure_all(planned, args.resamples, args.seed)
    studies = [study for study, _ in planned]

    tables = {study.task: task_tables(study, by_task[study.task]) for study in studies}
    tables[""] = gaps_tables(studies)
    drawn = {}
    for study in studies:
        groups = {
            title: codes for title, codes in headline_groups(study.languages).items() if title != "all but English"
        }
        drawn[study.task] = figures(figure_scores(study), groups) if study.operations else []
    made_by = [source for study in studies for source in sources(study, by_task[study.task]).values()]
    report = Report(args.title, command, summary(args, runs, studies, notes), tables, drawn, made_by, GLOSSARY)

    folder = Path(args.output_dir)
    write_report(report, folder)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(scores_table([(study, by_task[study.task]) for study in studies]))
    write_text(folder / "scores.csv", text.getvalue())
    for note in notes:
        print(f"note: {note}")
    print(f"{len(runs)} runs, {len(studies)} tasks: {folder / OURS}")


def check_arguments(args):
    if args.resamples < 100:
        raise InputError(f"--resamples {args.resamples}: fewer than 100 give no interval; the default is 1000")
    folder = Path(args.output_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output_dir {folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / OURS).exists():
        raise InputError(f"--output_dir {folder}: not empty and not a report; name a new folder")


def summary(args, runs, studies, notes):
    """What was compared, in a few paragraphs of plain text."""
    found = []
    for study in studies:
        noised = len({condition for one in study.measured.values() for condition, _, _ in one.conditions})
        others = ", ".join(study.settings[1:]) or "nothing else"
        found.append(
            f"{study.task}: {study.baseline} against {others}; {len(study.runs)} runs, {len(study.languages)} "
            f"languages, {noised} noised conditions, "
            f"{sum(one.examples for one in study.measured.values())} test examples per condition."
        )
    found += [f"Left out: {run.folder} ({run.collapsed})." for run in runs if run.collapsed]
    missing = sum(len(study.missing) for study in studies)
    found += (
        [f"{missing} cells are missing in some run and were left out for all; they are listed below."]
        if missing
        else []
    )
    found.append(
        f"Intervals rest on {args.resamples} resamples of the test examples, shared by all runs (seed {args.seed})."
    )
    return found


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # large reports start processes of their own
    main()
