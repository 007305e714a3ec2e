"""The per-language scores of runs of one task side by side.

    python compare.py outputs/direct/xnli outputs/after-mnli/xnli

Reads the results.jsonl of every folder. Copy with it: common/.
"""

from common.arguments import Parser
from common.files import InputError
from common.results import Results
from common.text import aligned


def build_parser():
    parser = Parser(prog="compare.py", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="DIR", help="output folders of run_xtreme.py, of one task")
    parser.add_argument("--condition", default="clean", help="condition whose scores are shown (default: clean)")
    return parser


def side_by_side(folders, condition="clean"):
    """Scores of several runs of one task as a table: a line per language, a column per run, its task's metric in
    percent.
    """
    runs = {
        str(folder): [row for row in Results(folder).entries if row["condition"] == condition and row["metric"]]
        for folder in folders
    }
    empty = [folder for folder, rows in runs.items() if not rows]
    if empty:
        raise InputError(
            f"{empty[0]}: no scores under the condition {condition}; run run_xtreme.py with --do_predict first"
        )
    first = next(iter(runs.values()))
    task, metric = first[0]["task"], "f1" if any(row["metric"] == "f1" for row in first) else first[0]["metric"]
    wanted = {
        folder: [row for row in rows if (row["task"], row["metric"]) == (task, metric)]
        for folder, rows in runs.items()
    }
    values = {folder: {row["language"]: row["value"] for row in rows} for folder, rows in wanted.items()}
    languages = sorted(set().union(*values.values()), key=lambda code: (code != "en", code))
    lines = [[f"{task}: {metric}", *runs]]
    lines += [
        [code, *(f"{scores[code]:.1f}" if code in scores else "-" for scores in values.values())] for code in languages
    ]
    shared = [code for code in languages if code != "en" and all(code in scores for scores in values.values())]
    if shared:
        lines.append(
            [
                "average without en",
                *(f"{sum(scores[code] for code in shared) / len(shared):.1f}" for scores in values.values()),
            ]
        )
    return "\n".join(aligned(lines))


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        print(side_by_side(args.runs, args.condition))
    except InputError as error:
        parser.error(error)


if __name__ == "__main__":
    main()
