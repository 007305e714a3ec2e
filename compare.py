"""The scores per language of runs of one task, side by side.

    python compare.py outputs/direct/xnli outputs/after-mnli/xnli

Reads the results.jsonl of every folder. Copy with it: common/.
"""

from common.arguments import Parser
from common.files import InputError
from common.results import Results
from common.text import aligned, show


def build_parser():
    parser = Parser(prog="compare.py", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="DIR", help="output folders of run_xtreme.py, of one task")
    parser.add_argument("--condition", default="clean", help="condition whose scores are shown (default: clean)")
    return parser


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


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        show(side_by_side(args.runs, args.condition))
    except InputError as error:
        parser.error(error)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again\n")


if __name__ == "__main__":
    main()
