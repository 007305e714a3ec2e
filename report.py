"""From runs to tables with intervals: clean scores, robustness to noise, and differences from a baseline, by language.

  python report.py --runs outputs/* --baseline outputs/direct-* --output_dir report
  python report.py --runs outputs/mnli-* adversarial=outputs/adv-* --baseline outputs/direct-* --output_dir report \\
      --resamples 10000

Reads the run.json, results.jsonl and scores/ of finished run_xtreme.py runs; runs of one setting are its seeds. Those
of run_alignment.py, one per setting, get a section of their own. Writes report.md, index.html (self-contained),
tables/*.tex and *.csv, figures/*.png and *.svg, and scores.csv with every score of every run. Needs no model and no
GPU. Terms and intervals: docs/report.md, docs/alignment.md.
Copy with it: common/ metrics.py noise/ reporting/ tasks.py.
"""

import os
import shlex
import sys
from itertools import chain
from pathlib import Path

from common.arguments import Parser
from common.files import InputError, check_output_dir, write_text
from common.recovery import locked
from common.run_record import mask_secrets
from common.text import show


def build_parser():
    parser = Parser(prog="report.py", description=__doc__)
    several = {"nargs": "+", "action": "extend", "required": True}
    add = parser.add_argument
    add("--runs", **several, metavar="[NAME=]DIR", help="folders of runs; NAME= names their setting")
    add("--baseline", **several, metavar="DIR", help="the runs that others are compared with, one setting per task")
    add("--output_dir", required=True, help="folder of the report")
    add("--title", default="Robustness of cross-lingual transfer", help="of the page")
    add("--question", help="what the study asks, in one sentence (default: made from settings and baseline)")
    add("--scale", action="store_true", help="compare sizes at equal clean accuracy (study 3), by training fractions")
    add("--resamples", type=int, default=1000, help="bootstrap resamples of the test examples (default: 1000)")
    add("--seed", type=int, default=0, help="of the resampling (default: 0)")
    return parser


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args = parser.parse_args(argv)
    with parser.one_line("free some space or name another --output_dir, then run the same command again"):
        run(args, f"python report.py {shlex.join(mask_secrets(argv))}")


def run(args, command):
    """The story: runs, studies, measurements, tables, figures, pages."""
    if args.resamples < 100:
        raise InputError(f"--resamples {args.resamples}: fewer than 100 give no interval; the default is 1000")
    if args.resamples > 1_000_000:
        raise InputError(f"--resamples {args.resamples}: more than 1000000 take days and tell no more; give fewer")
    if not 0 <= args.seed < 2**63:
        raise InputError(f"--seed {args.seed}: must be from 0 to {2**63 - 1}; leave it out for the default")
    check_output_dir(args.output_dir, "files.json")

    # pyarrow, scipy and matplotlib take seconds, which --help and a wrong flag need not wait for.
    from reporting.alignment import open_alignment
    from reporting.measure import measure_all, open_study
    from reporting.runs import by_task, load_runs

    # Runs that can be compared, by task: what all of a task's runs have is its study.
    runs, aligned, base, baselines, notes = load_runs(args.runs, args.baseline, args.scale)
    members = by_task(runs)
    studies = [open_study(task, baselines[task], own) for task, own in members.items()]
    alignment = open_alignment(aligned, base)
    notes += alignment.notes if alignment else []

    with locked(args.output_dir):
        # The counts per example are read and resampled: nearly all of the time goes here.
        if studies:
            measure_all(studies, args.resamples, args.seed)
        write(args, command, runs, studies, members, alignment)
    done = f"{len(runs) + len(aligned)} runs, {len(studies)} tasks: {Path(args.output_dir) / 'index.html'}"
    show("\n".join([*(f"note: {note}" for note in notes), done]))


def write(args, command, runs, studies, members, alignment):
    """Tables, figures, pages of the measured studies; members {task: its runs}, alignment None without such runs."""
    from reporting.alignment_answer import ONE_ENCODER
    from reporting.answers import answer, primary_table
    from reporting.averages import average_tables
    from reporting.forest import forest
    from reporting.parts import Report
    from reporting.sections import SECTIONS, alignment_section, section_answers
    from reporting.tables import GLOSSARY, gaps_tables, scores_table, sources
    from reporting.write import comma_separated, write_report

    # The answer: sentences, one table and one figure of the primary comparisons, what they cannot say.
    made_by = {study.task: sources(study, members[study.task]) for study in studies}
    keys = {task: {setting: source.key for setting, source in own.items()} for task, own in made_by.items()}
    answers, cannot, every = answer(studies, keys)
    answers = section_answers(studies, alignment, args.scale) + answers
    first = [primary_table(every, studies), *forest(every)] if every else []

    # Tables and figures of each task by sections, tables of the whole report under "".
    tables, drawn = {}, {}
    for study in studies:
        parts = [section(study, keys[study.task], args) for section in SECTIONS]
        tables[study.task], drawn[study.task] = (list(chain(*side)) for side in zip(*parts))
    tables[""] = [*average_tables(studies, args.resamples, args.seed), *gaps_tables(studies)]
    if alignment:
        made_by["alignment"] = own = sources(alignment, [one.run for one in alignment.runs.values()])
        own_keys = {name: source.key for name, source in own.items()}
        tables["alignment"], drawn["alignment"] = alignment_section(alignment, own_keys, studies)
        cannot.append(f"alignment: {ONE_ENCODER}")

    # The files: page, markdown, tables, figures, and every score of every run for other tools.
    every_source = [one for own in made_by.values() for one in own.values()]
    parts = summary(args, runs, studies, alignment), tables, drawn, every_source
    asked = args.question or question(studies, alignment), answers, cannot, first
    folder = Path(args.output_dir)
    write_report(Report(args.title, command, *parts, GLOSSARY, *asked), folder)
    lines = scores_table([(study, members[study.task]) for study in studies])
    write_text(folder / "scores.csv", comma_separated(lines, "\n"))


def question(studies, alignment):
    """What is asked where nobody said: does any setting help?"""
    if alignment and not studies:
        return "Does training line languages up better, and does that survive noise and fine-tuning?"
    settings = [name for study in studies for name in study.settings[1:] if name not in study.floors]
    settings = list(dict.fromkeys(settings))
    if not settings:
        return "How well does the task transfer to languages other than English, on clean and on noised text?"
    named = ", ".join(settings) if len(settings) < 6 else f"any of {len(settings)} settings"
    return (
        f"Compared with {studies[0].baseline}, does {named} help transfer to languages other than English, on clean "
        "and on noised text?"
    )


def summary(args, runs, studies, alignment):
    """What was compared, in a few paragraphs of plain text."""
    paragraphs = []
    for study in studies:
        measured = study.measured.values()
        noised = len({condition for one in measured for condition, _, _ in one.conditions})
        others = ", ".join(study.settings[1:]) or "nothing else"
        paragraphs.append(
            f"{study.task}: {study.baseline} against {others}; {len(study.runs)} runs, {len(measured)} languages, "
            f"{noised} noised conditions, {sum(one.examples for one in measured)} test examples per condition."
        )
    if alignment:
        others, shared = ", ".join(list(alignment.runs)[1:]) or "nothing else", alignment.groups["all languages"]
        paragraphs.append(f"alignment: {alignment.baseline} against {others}; {len(shared)} languages with the pivot.")
    paragraphs += [f"Left out: {run.folder} ({run.collapsed})." for run in runs if run.collapsed]
    missing = sum(len(study.missing) for study in studies)
    if missing:
        paragraphs.append(f"{missing} cells are missing in some run and were left out for all; they are listed below.")
    paragraphs.append(
        f"Intervals rest on {args.resamples} resamples of the test examples, shared by all runs (seed {args.seed})."
    )
    return paragraphs


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # large reports start processes of their own
    main()
