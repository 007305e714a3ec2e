"""Pairs whose English sides are permuted among the lines of their file: what a decoder learns without its source.

    python tools/permute_targets.py --data_dir data/parallel/opus100 --output_dir permuted [--seed 0]

Reads train.<lang>-en.<lang> and train.<lang>-en.en; writes them with the English lines in another order, and the dev
and test files as they are. A baseline of study 5: what is scored above it comes from the source.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common.arguments import Parser  # noqa: E402
from common.files import InputError, write_text  # noqa: E402
from common.text import show  # noqa: E402


def permuted(text, seed):
    """Lines of a text in another order."""
    lines = text.removesuffix("\n").split("\n")
    random.Random(seed).shuffle(lines)
    return "".join(f"{line}\n" for line in lines)


def main(argv=None):
    parser = Parser(prog="permute_targets.py", description=__doc__)
    parser.add_argument("--data_dir", required=True, type=Path, help="folder of <split>.<lang>-en.<lang> and .en")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder of the copies")
    parser.add_argument("--seed", type=int, default=0, help="of the order (default: 0)")
    args = parser.parse_args(argv)
    with parser.one_line("free some space, then run the same command again"):
        paths = sorted(args.data_dir.glob("*.*-*.*"))
        if not any(path.name.startswith("train.") and path.suffix == ".en" for path in paths):
            raise InputError(f"--data_dir {args.data_dir}: no train.<lang>-en.en; give a folder of pairs")
        for path in paths:
            text = path.read_text(encoding="utf-8")
            if path.name.startswith("train.") and path.suffix == ".en":
                text = permuted(text, f"{args.seed} {path.name}")
            write_text(args.output_dir / path.name, text)
        show(f"{len(paths)} files in {args.output_dir}")


if __name__ == "__main__":
    main()
