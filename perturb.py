"""Noised copies of XTREME's evaluation sets: same files, same labels, other typing.

    python perturb.py --data_dir data/xtreme --output_dir noised --ops keyboard swap --levels 1 2 3 --num_proc 2
    python perturb.py --list                               # which operation applies to which script

Writes <output_dir>/<op>-<level>/<the same layout>, which XTREME's scripts, run_xtreme.py --conditions and
datasets.load_dataset read like the clean folder, and manifest.json, edits.jsonl.gz and README.md beside them. Finished
files are skipped on the next run. What may be noised in which file stands in noise/files.py, what noise is in
noise/noiser.py. To reuse it copy perturb.py and noise/; the only package needed is `regex`.
"""

import argparse
import difflib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from noise import NoiseError, Noiser
from noise.files import DEFAULT_ROLES, QA_MODES, ROLES, TASKS, match
from noise.jobs import Job, file_digest, finished, noise_file, survival
from noise.manifest import write_manifest
from noise.operations import OPERATIONS, not_applicable
from noise.scripts import script_of
from noise.tables import LANGUAGES, SCRIPT_OF

TABLES = ("ime", "codeswitch", "profile")

# ---------------------------------------------------------------------------------------------------------------------
# What there is to do


class Found(NamedTuple):
    path: str
    task: str
    split: str
    language: str
    side: str | None
    context: str | None


def find_files(data_dir, args):
    """(files to noise or keep, files to copy unchanged) below data_dir for the chosen tasks, languages and splits."""
    names = sorted(
        os.path.relpath(os.path.join(folder, name), data_dir).replace(os.sep, "/")
        for folder, _, files in os.walk(data_dir)
        for name in files
    )
    found = [Found(name, *parts) for name in names if (parts := match(name))]
    if not found:
        raise NoiseError(
            f"--data_dir {data_dir}: no file of XTREME's layout, such as xnli/test-en.tsv; name the folder that "
            "holds xnli/, xquad/, ..."
        )
    languages = sorted({file.language for file in found})
    for name, given, known in (
        ("tasks", args.tasks, {file.task for file in found}),
        ("languages", args.languages, languages),
    ):
        for value in given or ():
            if value not in known:
                near = difflib.get_close_matches(value, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {' '.join(sorted(known))}"
                raise NoiseError(f"--{name} {value}: no file of it below {data_dir}; {hint}")
    wanted = [
        f
        for f in found
        if (not args.tasks or f.task in args.tasks)
        and (not args.languages or f.language in args.languages or f.language == "mul")
    ]
    chosen = [f for f in wanted if f.split in args.splits]
    if not chosen:
        raise NoiseError(
            f"--splits {' '.join(args.splits)}: no such file for these tasks and languages; there are "
            f"{' '.join(sorted({f.split for f in wanted}))}"
        )
    known = {role for file in chosen for role in TASKS[file.task].fields}
    for role in args.fields or ():
        if role not in known:
            raise NoiseError(
                f"--fields {role}: none of these tasks has it; they have "
                f"{', '.join(sorted(known - {'tokens'})) or 'no fields to choose from'}"
            )
    kept = [
        f for f in wanted if f.task == "bucc2018" and f.split == "dev" and f.split not in args.splits
    ]  # XTREME tunes its threshold on it
    return chosen, kept


def read_table(path, kind):
    """{word: [other words]} of a TSV file; for `ime` the lines are character and reading, and characters of one
    reading replace each other.
    """
    found = {}
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NoiseError(
            f"--{kind} {path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); give a TSV file "
            "in UTF-8"
        ) from None
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        columns = line.split("\t")
        if not line:
            continue
        if len(columns) != 2 or not all(column.strip() == column != "" and column.isprintable() for column in columns):
            form = {"ime": "character, reading", "codeswitch": "word, translation", "profile": "correct, misspelt"}[
                kind
            ]
            raise NoiseError(
                f"--{kind} {path}, line {number}: {line[:60]!r} is not two columns {form} with a tab between them; "
                "correct it"
            )
        found.setdefault(columns[kind == "ime"], []).append(columns[kind != "ime"])
    if kind != "ime":
        return found
    return {
        char: others
        for group in found.values()
        for char in group
        if (others := sorted({other for other in group if other != char and len(other) == 1}))
    }


def side_of(file):
    """Retrieval: the role of a file; None for BUCC's gold."""
    if file.side is None:
        return None
    return "queries" if file.side == file.language else "candidates" if file.side == "en" else "gold"


def refusal(op, file, script, table):
    """Why a file is left out of a condition, or ""."""
    operation = OPERATIONS[op]
    if file.task == "pawsx" and operation.flips:
        return "may flip the labels of PAWS-X, which turn on word order and lost words"
    if operation.splits and (TASKS[file.task].kind == "tagging" or file.task == "ccg"):
        return "changes the number of tokens, which carry one tag each"
    if file.language == "mul":  # a file of several languages: only a missing table concerns it whole
        return not_applicable(op, "ja", "Jpan", table) if operation.table else ""
    return not_applicable(op, file.language, script, table)


def plan(args, sources):
    """(jobs, [(condition, path) to copy], rows of what does not apply) for all conditions."""
    chosen, kept = sources
    jobs, copies, refused, digests, tables = [], [], [], {}, {}
    scripts = {}
    for file in chosen:
        if file.language not in SCRIPT_OF and file.language not in scripts:
            with open(Path(args.data_dir, file.path), "rb") as content:
                scripts[file.language] = script_of(content.read(1 << 16).decode("utf-8", "ignore"))
    roles = (*(args.fields or DEFAULT_ROLES), "tokens")
    for condition, op, level, replicate in conditions(args):
        for file in chosen:
            kind = OPERATIONS[op].table or ("ime" if op == "mixed" else "")
            template = getattr(args, kind) if kind else None
            name = template and template.replace("{lang}", file.language)
            if name and name not in tables and (name == template or os.path.exists(name)):
                tables[name] = read_table(name, kind)
            table, script = tables.get(name), SCRIPT_OF.get(file.language, scripts.get(file.language))
            reason = refusal(op, file, script, table)
            side = side_of(file)
            if reason:
                row = {
                    "condition": condition,
                    "op": op,
                    "task": file.task,
                    "split": file.split,
                    "language": file.language,
                    "reason": reason,
                }
                refused += [row] if row not in refused else []
            elif (
                level == 0
                or (side and side not in roles)
                or (side == "candidates" and not_applicable(op, "en", "Latn", table))
            ):
                copies.append((condition, file.path))
            else:
                if file.path not in digests:
                    digests[file.path] = file_digest(Path(args.data_dir, file.path))
                language = file.side if side == "candidates" else file.language
                jobs.append(
                    Job(
                        str(Path(args.data_dir, file.path)), file.path, args.output_dir, condition, op, level, args.rate, args.seed, replicate,
                        file.task, file.split, language, side, file.context, script, roles, args.qa, table, args.tokenizer, digests[file.path],
                    )
                )  # fmt: skip
        applied = {file.language for file in chosen if file.task == "bucc2018"} - {
            row["language"] for row in refused if row["condition"] == condition
        }
        copies += [(condition, file.path) for file in kept if file.language in applied]
    return jobs, copies, refused


def conditions(args):
    """(name, op, level, replicate): keyboard-2, its further draws keyboard-2-r1, ..., own rates keyboard-rate0.03."""
    for op in dict.fromkeys(args.ops):
        for level in dict.fromkeys(args.levels) if args.rate is None else [None]:
            for replicate in range(args.replicates):
                name = f"{op}-{level}" if args.rate is None else f"{op}-rate{args.rate:g}"
                yield f"{name}-r{replicate}" if replicate else name, op, level, replicate


def print_list():
    """The table operation x script."""
    scripts = list(LANGUAGES)
    print(f"{'operation':<14}{' '.join(scripts)}")
    for op in OPERATIONS:
        cells = []
        for script in scripts:
            codes = LANGUAGES[script].split()
            reasons = [not_applicable(op, code, script) for code in codes]
            cells.append(
                "yes"
                if not all(reasons)
                else "user"
                if all(reason.startswith("needs") for reason in reasons)
                else "n/a"
            )
        print(f"{op:<14}{' '.join(cell.ljust(4) for cell in cells)}".rstrip())
    print(
        '"user": with a table of yours (--ime, --codeswitch, --profile). mixed takes what applies. Definitions: '
        "README.md, noise/operations.py."
    )


# ---------------------------------------------------------------------------------------------------------------------
# The command line


class Parser(argparse.ArgumentParser):
    def error(self, message):
        if str(message).startswith(("argument ", "the following arguments", "unrecognized")):
            message = f"{message}; see --help"
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


def build_parser():
    parser = Parser(
        prog="perturb.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data_dir", help="folder in google/xtreme's layout, or one that holds intermediate/")
    add("--output_dir", help="folder for the noised copies")
    add("--ops", nargs="+", metavar="OP", default=[], help=f"operations: {', '.join(OPERATIONS)}")
    add("--levels", nargs="+", type=int, default=[1, 2, 3], metavar="N", help="0 (unchanged) to 5; default 1 2 3")
    add("--rate", type=float, help="an own rate from 0 to 1 instead of --levels")
    add("--tasks", nargs="+", metavar="TASK", help="default: all that are found")
    add("--languages", nargs="+", metavar="LANG", help="default: all that are found")
    add("--splits", nargs="+", default=["test"], choices=("train", "dev", "test"), help="default: test")
    add("--fields", nargs="+", choices=ROLES, help="texts to noise; default: all but retrieval's candidates")
    add(
        "--qa",
        choices=QA_MODES,
        default="question",
        help="question answering: noise the questions, or the context without or with its answers",
    )
    add("--seed", type=int, default=0)
    add("--replicates", type=int, default=1, metavar="K", help="independent draws, for worst-of-k")
    add("--num_proc", type=int, default=1, metavar="N", help="processes")
    add("--ime", metavar="TSV", help="character, reading: same-reading characters for Chinese")
    add("--codeswitch", metavar="TSV", help="word, translation; {lang} in the name stands for the language")
    add("--profile", metavar="TSV", help="correct, misspelt; {lang} in the name stands for the language")
    add(
        "--tokenizer",
        metavar="PATH",
        help="tokenizer.json or its folder: adds the share of edits that its normalizer keeps (needs tokenizers)",
    )
    add("--list", action="store_true", help="print which operation applies to which script, and stop")
    return parser


def check(args):
    """Refuse arguments that cannot work, before anything is read or written."""
    for name in ("data_dir", "output_dir", "ops"):
        if not getattr(args, name):
            raise NoiseError(f"--{name} is missing; see --help")
    for op in args.ops:
        if op not in OPERATIONS:
            Noiser(op, 0)
    for level in args.levels:
        if not 0 <= level <= 5:
            raise NoiseError(f"--levels {level}: must be from 0 to 5; for another strength give --rate")
    if args.rate is not None and not 0 < args.rate <= 1:
        raise NoiseError(f"--rate {args.rate}: must be above 0 and at most 1; level 0 is the unchanged text")
    for name, most in (("replicates", 1000), ("num_proc", 1024)):
        if not 1 <= getattr(args, name) <= most:
            raise NoiseError(f"--{name} {getattr(args, name)}: must be from 1 to {most}")
    data, output = Path(args.data_dir), Path(args.output_dir)
    if not data.is_dir():
        raise NoiseError(f"--data_dir {data}: no such folder; name the one that holds xnli/, xquad/, ...")
    if output.resolve() == data.resolve() or data.resolve() in output.resolve().parents:
        raise NoiseError(f"--output_dir {output}: lies inside --data_dir {data}; name a folder beside it")
    if output.exists() and not output.is_dir():
        raise NoiseError(f"--output_dir {output}: is a file; name a new folder")
    above = next(parent for parent in (output.absolute(), *output.absolute().parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise NoiseError(f"--output_dir {output}: cannot be written below {above}; name another folder")
    if (
        output.is_dir()
        and any(output.iterdir())
        and not (output / ".perturb").is_dir()
        and not (output / "manifest.json").is_file()
    ):
        raise NoiseError(f"--output_dir {output}: not empty and not written by perturb.py; name a new folder")
    for kind in TABLES:
        path = getattr(args, kind)
        if path and "{lang}" not in path and not os.path.isfile(path):
            raise NoiseError(f"--{kind} {path}: no such file; give a TSV file, or a name with {{lang}} in it")
    if args.tokenizer:
        try:
            survival(args.tokenizer)
        except ImportError:
            raise NoiseError(
                "--tokenizer: the package tokenizers is not installed; run: pip install tokenizers"
            ) from None
        except Exception as error:  # tokenizers raises bare Exception
            raise NoiseError(
                f"--tokenizer {args.tokenizer}: cannot be read ({str(error)[:100]}); give a tokenizer.json or its "
                "folder"
            ) from None


def bar(done, total, text, state={"shown": 0.0}):  # noqa: B006
    """A progress bar on a terminal, at most ten times a second."""
    if sys.stderr.isatty() and (done == total or time.monotonic() - state["shown"] > 0.1):
        state["shown"] = time.monotonic()
        filled = 30 * done // max(1, total)
        print(
            f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {text[:40]:<40}",
            end="\n" if done == total else "",
            file=sys.stderr,
            flush=True,
        )


def noise_files(jobs, processes):
    """Noise all files that are not finished, yielding (job's record). Large files are cut into shards, small ones
    share the processes.
    """
    if processes == 1 or not jobs:
        yield from map(noise_file, jobs)
        return
    import multiprocessing
    import signal

    total = sum(os.path.getsize(job.source) for job in jobs)
    large = [
        job for job in jobs if os.path.getsize(job.source) > total / (4 * processes) and not job.path.endswith(".json")
    ]
    with multiprocessing.Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        for job in large:
            yield noise_file(job, pool.map, processes)
        yield from pool.imap_unordered(noise_file, [job for job in jobs if job not in large])


def copy_files(args, copies):
    """Copy files byte by byte; returns their rows for the manifest."""
    rows = []
    for condition, path in copies:
        content = Path(args.data_dir, path)
        target = Path(args.output_dir, condition, path)
        sha256 = file_digest(content)
        if not target.exists() or file_digest(target) != sha256:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            shutil.copyfile(content, temporary)
            os.replace(temporary, target)
        rows.append({"condition": condition, "path": path, "sha256": sha256})
    return rows


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.list:
        return print_list()
    try:
        check(args)
        jobs, copies, refused = plan(args, find_files(args.data_dir, args))
        if not jobs and not copies:
            first = refused[0]
            parser.error(
                f"nothing to do: {first['op']} {first['reason']} ({first['task']}, {first['language']}); choose "
                "other --ops, --tasks or --languages"
            )
        Path(args.output_dir, ".perturb").mkdir(parents=True, exist_ok=True)
        todo = [job for job in jobs if finished(job) is None]
        print(
            f"{len(jobs)} files to noise, {len(jobs) - len(todo)} of them finished before, {len(copies)} to copy, "
            f"{len(refused)} not applicable"
        )
        for done, record in enumerate(noise_files(todo, args.num_proc), start=1):
            bar(done, len(todo), f"{record['condition']} {record['path']}")
        manifest = write_manifest(args, copy_files(args, copies), refused)
    except NoiseError as error:
        parser.error(error)
    except KeyboardInterrupt:
        parser.exit(
            130, "perturb.py: stopped; every file that is there is whole, run the same command again to continue\n"
        )
    except OSError as error:
        parser.exit(
            1,
            f"perturb.py: error: {error.filename or args.output_dir}: {error.strerror}; free space or correct "
            "permissions, then run again\n",
        )
    files, missing = manifest["files"], manifest["not_applicable"]
    unreached = sum(not row["reached"] and row["size"] >= 2000 for row in files)
    print(
        f"{len(files)} noised files in {args.output_dir}; {unreached} did not reach their rate, {len(missing)} n/a: "
        "see README.md there"
    )


if __name__ == "__main__":
    main()
