"""Noised copies of XTREME's evaluation sets: same files, same labels, other typing.

    python perturb.py --data_dir data/xtreme --output_dir noised --ops keyboard swap --levels 1 2 3 --num_proc 2
    python perturb.py --list                               # which operation applies to which language

Writes <output_dir>/<op>-<level>/<the same layout>, which XTREME's scripts, run_xtreme.py --conditions and
datasets.load_dataset read like the clean folder, and manifest.json, edits.jsonl.gz and README.md beside them.
Finished files are skipped on the next run. noise/README.md says what each operation does, what is protected and what
is written. Copy with it: noise/; the only package needed is `regex`.
"""

import argparse
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path

try:
    from noise import progress
    from noise.files import NoiseError, check_output_dir, files_below, lock, nearest, replacing, sha256, show
    from noise.layouts import DEFAULT_ROLES, LAYOUTS, QA_MODES, ROLES, add_own, match, refusal
    from noise.manifest import earlier_manifest, unreached, write_manifest
    from noise.noised_file import NoisedFile, finished, noise_file, survival
    from noise.operations import OPERATIONS, not_applicable
    from noise.progress import watched
    from noise.protection import user_patterns
    from noise.scripts import script_of
    from noise.tables import SCRIPT_OF
    from noise.user_tables import TABLES, check_tables, read_table, read_words
except ModuleNotFoundError as error:
    if error.name != "regex":
        raise
    print(f"perturb.py: error: {sys.executable} has no package regex; run: pip install regex", file=sys.stderr)
    sys.exit(2)

# ---------------------------------------------------------------------------------------------------------------------
# Which files there are


def find_files(args):
    """(files to noise, files to copy as they are) below --data_dir, for the chosen tasks, languages and splits."""
    paths = sorted(
        os.path.relpath(path, args.data_dir).replace(os.sep, "/")
        for root in folders_of(args)
        for path in files_below(root)
    )
    files = [file for path in paths if (file := match(path))]
    if not files:
        raise NoiseError(
            f"--data_dir {args.data_dir}: no file of XTREME's layout, such as xnli/test-en.tsv; name the folder that "
            "holds xnli/, xquad/, intermediate/ or parallel/"
        )
    check_known(args.data_dir, "tasks", args.tasks, {file.task for file in files})
    check_known(args.data_dir, "languages", args.languages, {file.language for file in files})
    known_tasks = [file for file in files if not args.tasks or file.task in args.tasks]
    wanted = [file for file in known_tasks if not args.languages or file.language in (*args.languages, "mul")]
    # parallel/<set>/en.txt is the other side of all languages of its folder.
    english = [file for file in known_tasks if file.side == "candidates" and file.side_language == file.language]
    if "candidates" in (args.fields or ()):
        english = []
    chosen = [file for file in wanted if file.split in args.splits and file not in english]
    if not chosen:
        raise NoiseError(
            f"--splits {' '.join(args.splits)}: no such file for these tasks and languages; there are "
            f"{' '.join(sorted({file.split for file in wanted}))}"
            + " (English lines beside no other language: --fields candidates)"
            * bool(english)
        )
    known = {role for file in chosen for role in LAYOUTS[file.task].fields}
    for role in args.fields or ():
        if role not in known:
            raise NoiseError(
                f"--fields {role}: none of these tasks has it; they have "
                f"{', '.join(sorted(known - {'tokens'})) or 'no fields to choose from'}"
            )
    # XTREME tunes BUCC's threshold on its dev files.
    kept = [file for file in wanted if file.task == "bucc2018" and file.split == "dev" and file not in chosen]
    return chosen, kept + english


def folders_of(args):
    """The folders to look in: --data_dir, or where all --tasks are one's own, theirs."""
    own = [LAYOUTS[task].own if task in LAYOUTS else "" for task in args.tasks or [""]]
    return [Path(args.data_dir, name) for name in own] if all(own) else [Path(args.data_dir)]


def check_known(data_dir, flag, values, known):
    for value in values or ():
        if value not in known:
            raise NoiseError(f"--{flag} {value}: no file of it below {data_dir}; {nearest(value, sorted(known))}")


# ---------------------------------------------------------------------------------------------------------------------
# What becomes of each file under each condition: it is noised, copied, or left out for a reason


def conditions(args):
    """(name, op, level, replicate): keyboard-2, its further draws keyboard-2-r1, ..., own rates keyboard-rate0.03."""
    for op in dict.fromkeys(args.ops):
        for level in dict.fromkeys(args.levels) if args.rate is None else [None]:
            for replicate in range(args.replicates):
                name = f"{op}-{level}" if args.rate is None else f"{op}-rate{args.rate:g}"
                yield f"{name}-r{replicate}" if replicate else name, op, level, replicate


def table_path(args, op, language):
    """The file of the user's table of an operation in a language, or None where there is none."""
    flag = OPERATIONS[op].table or ("ime" if op == "mixed" else "")
    template = getattr(args, flag) if flag else None
    path = template and template.replace("{lang}", language)
    return path if path and (path == template or os.path.exists(path)) else None


def scripts_of(data_dir, files):
    """{language: script}, of a language that noise/tables.py does not know by its first file's text."""
    scripts = dict(SCRIPT_OF)
    for file in files:
        if file.side_language not in scripts:
            with open(Path(data_dir, file.path), "rb") as content:
                scripts[file.side_language] = script_of(content.read(1 << 16).decode("utf-8", "ignore"))
    return dict.fromkeys((file.language for file in files), "Latn") | scripts


def goes_with(kept, file):
    """Whether a file that is copied belongs to one that is noised: of the same folder and language, or its English."""
    folders = {os.path.dirname(kept.path), os.path.dirname(file.path)}
    return len(folders) == 1 and kept.task == file.task and kept.language in (file.language, "en")


def assign(args, chosen, kept):
    """([NoisedFile], [(condition, path)] to copy, [what is left out, as the manifest shows it]) of all conditions."""
    noised, paths, copies, refused = [], [], [], []
    scripts, roles = scripts_of(args.data_dir, chosen), (*(args.fields or DEFAULT_ROLES), "tokens")
    read, digest = cache(read_table), cache(sha256)  # once for all conditions
    words = tuple(read_words(args.protect_words)) if args.protect_words else ()
    for condition, op, level, replicate in conditions(args):
        for file in chosen:
            path = table_path(args, op, file.language)
            table = read(path, OPERATIONS[op].table or "ime") if path else None
            reason = refusal(op, file.task, file.language, scripts[file.language], table)
            if reason:
                entry = {"condition": condition, "op": op, "task": file.task, "split": file.split}
                entry |= {"language": file.language, "reason": reason}
                refused += [entry] if entry not in refused else []
            elif level == 0 or (file.side and file.side not in roles):
                copies.append((condition, file.path))
            elif file.side and not_applicable(op, file.side_language, scripts[file.side_language], table):
                copies.append((condition, file.path))
            else:
                source = str(Path(args.data_dir, file.path))
                paths.append(path)
                noised.append(
                    NoisedFile(
                        source, file.path, args.output_dir, condition, op, level, args.rate, args.seed, replicate,
                        file.task, file.split, file.side_language, file.side, file.context,
                        scripts[file.side_language], roles, args.qa, table, tuple(args.protect), words, args.tokenizer,
                        args.draws, digest(source),
                    )
                )  # fmt: skip
        left_out = {(entry["task"], entry["language"]) for entry in refused if entry["condition"] == condition}
        applied = [file for file in chosen if (file.task, file.language) not in left_out]
        copies += [(condition, file.path) for file in kept if any(goes_with(file, other) for other in applied)]
    check_tables(noised, paths)
    return noised, copies, refused


# ---------------------------------------------------------------------------------------------------------------------
# Writing the files


def noise_files(files, processes):
    """Noise files, yielding their records. Large files are cut into shards, small ones share the processes."""
    if processes == 1 or not files:
        yield from map(noise_file, files)
        return
    sizes = {file.source: os.path.getsize(file.source) for file in files}
    enough = sum(sizes[file.source] for file in files) / (4 * processes)
    large = [file for file in files if sizes[file.source] > enough and not file.path.endswith(".json")]
    small = [file for file in files if file not in large]
    with workers(processes) as pool:
        for file in large:
            yield noise_file(file, pool.map, processes)
        for work in as_completed([pool.submit(noise_file, file) for file in small]):
            yield work.result()


@contextlib.contextmanager
def workers(processes):
    """An executor of processes that end with this one, and at once when the block fails.

    Unlike multiprocessing.Pool it notices a worker that was killed: BrokenProcessPool.
    """
    pool = ProcessPoolExecutor(processes, initializer=begin_worker, initargs=(LAYOUTS, progress.COUNTS))
    try:
        yield pool
    except BaseException:
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def begin_worker(layouts, counts):
    """In a worker: know the layouts of own tasks, count its progress; Ctrl-C is the parent's to handle, and a parent
    that was killed leaves no worker behind.
    """
    LAYOUTS.update(layouts)
    progress.join(counts)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def copy_files(args, copies):
    """Copy files byte by byte; returns what the manifest says about them."""
    copied = []
    for condition, path in copies:
        content = Path(args.data_dir, path)
        target = Path(args.output_dir, condition, path)
        digest = sha256(content)
        if not target.exists() or sha256(target) != digest:
            with replacing(target) as temporary:
                shutil.copyfile(content, temporary)
        copied.append({"condition": condition, "path": path, "sha256": digest})
    return copied


def write(args, files, copies, refused):
    """The work of a run, in a folder that it holds: noised files, copies, manifest; returns the manifest."""
    todo = [file for file in files if finished(file) is None]
    show(
        f"{len(files)} files to noise, {len(files) - len(todo)} of them finished before, {len(copies)} to copy, "
        f"{len(refused)} not applicable"
    )
    with watched(len(todo), sum(os.path.getsize(file.source) for file in todo)) as watch:
        for _ in noise_files(todo, args.num_proc):
            watch.done += 1
    return write_manifest(args, copy_files(args, copies), refused)


# ---------------------------------------------------------------------------------------------------------------------
# The command line


class Parser(argparse.ArgumentParser):
    """Errors in one line; help that `| head` may cut off."""

    def error(self, message):
        if str(message).startswith(("argument ", "the following arguments", "unrecognized")):
            message = f"{message}; see --help"
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")

    def print_help(self, file=None):
        show(self.format_help().rstrip())

    def parse_known_args(self, args=None, namespace=None):
        args = list(sys.argv[1:] if args is None else args)
        for token in args:
            if token.startswith("--") and token.endswith("=--"):  # of which argparse makes an empty list
                self.error(f"{token}: -- is no value; give one, or leave the flag out")
            if any("\ud800" <= character <= "\udfff" for character in token):  # bytes that Python could not decode
                self.error(f"{ascii(token)}: not UTF-8 in this environment; set LC_ALL=C.UTF-8, or rename the file")
        return super().parse_known_args(args, namespace)


def build_parser():
    parser = Parser(
        prog="perturb.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data_dir", help="folder in google/xtreme's layout, or one that holds intermediate/ or parallel/")
    add("--output_dir", help="folder for the noised copies")
    add("--ops", nargs="+", metavar="OP", default=[], help=f"operations: {', '.join(OPERATIONS)}")
    add("--levels", nargs="+", type=int, default=[1, 2, 3], metavar="N", help="0 (unchanged) to 5; default 1 2 3")
    add("--rate", type=float, help="a rate of your own, above 0 and at most 1, instead of --levels")
    add("--tasks", nargs="+", metavar="TASK", help="default: all that are there; NAME=KIND:DIR for a task of your own")
    add("--languages", nargs="+", metavar="LANG", help="default: all that are there")
    add("--splits", nargs="+", default=["test"], choices=("train", "dev", "test"), help="default: test")
    add("--fields", nargs="+", choices=ROLES, help="texts to noise; default: all but retrieval's candidates")
    add(
        "--qa",
        choices=QA_MODES,
        default="question",
        help="question answering: noise the questions (default), or the context without or with its answers",
    )
    add("--seed", type=int, default=0, help="another seed, other noise; default 0")
    add("--replicates", type=int, default=1, metavar="K", help="independent draws, for worst-of-k; default 1")
    add("--num_proc", type=int, default=1, metavar="N", help="processes; default 1")
    for flag, columns in TABLES.items():
        add(f"--{flag}", metavar="TSV", help=f"{columns}; {{lang}} in the name stands for the language")
    add("--protect", nargs="+", metavar="REGEX", default=[], help="what matches one of these stays as it is")
    add("--protect_words", metavar="FILE", help="words or phrases that stay as they are, one a line")
    add(
        "--tokenizer",
        metavar="PATH",
        help="tokenizer.json or its folder: adds the share of edits that its normalizer keeps (needs tokenizers)",
    )
    add("--draws", type=int, choices=(1, 2), default=2, help="1: the rates and shares of version 1; default 2")
    add("--list", action="store_true", help="print which operation applies to which language, and stop")
    return parser


def list_operations():
    """The languages of each operation, as text: those it applies to, and those it needs a table of the user's for."""
    lines = []
    for op in OPERATIONS:
        reasons = {lang: not_applicable(op, lang, script) for lang, script in sorted(SCRIPT_OF.items())}
        applies = [lang for lang, reason in reasons.items() if not reason]
        needs = [lang for lang, reason in reasons.items() if reason.startswith("needs")]
        what = f"--{OPERATIONS[op].table}" if OPERATIONS[op].table else "the package uroman"
        parts = [some_of(applies, reasons)] if applies else []
        parts += [f"with {what}: {some_of(needs, reasons)}"] if needs else []
        lines.append(f"{op:<14}{'; '.join(parts)}")
    lines.append("(mixed takes what applies.) A language that is not here has the script of its text.")
    return "\n".join([*lines, "Definitions: noise/README.md."])


def some_of(languages, every):
    """all, all but some, or their names."""
    others = [lang for lang in every if lang not in languages]
    if len(others) < len(languages):
        return f"all but {' '.join(others)}" if others else "all"
    return " ".join(languages)


def check(args):
    """Refuse arguments that cannot work, before anything is read or written."""
    take_own_tasks(args)
    for name in ("data_dir", "output_dir", "ops"):
        if not getattr(args, name):
            raise NoiseError(f"--{name} is missing; see --help")
    for op in args.ops:
        if op not in OPERATIONS:
            raise NoiseError(f"--ops {op}: unknown operation; {nearest(op, OPERATIONS)}")
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
    for folder in folders_of(args):
        if folder.resolve() in (output.resolve(), *output.resolve().parents):
            raise NoiseError(f"--output_dir {output}: lies inside --data_dir {folder}; name a folder beside it")
    check_output_dir(output, ours=(".perturb", "manifest.json"))
    earlier_manifest(output)
    for flag in TABLES:
        path = getattr(args, flag)
        if path and "{lang}" not in path and not os.path.isfile(path):
            raise NoiseError(f"--{flag} {path}: no such file; give a TSV file, or a name with {{lang}} in it")
    user_patterns(args.protect, [], "Latn")
    if args.protect_words:
        read_words(args.protect_words)
    if args.tokenizer:
        check_tokenizer(args.tokenizer)


def take_own_tasks(args):
    """Replace NAME=KIND:DIR among --tasks by NAME; the folder that DIR lies in is --data_dir."""
    own = {token: add_own(token) for token in args.tasks or () if "=" in token}
    for token, (_, folder) in own.items():
        args.data_dir = args.data_dir or folder
        if os.path.realpath(args.data_dir) != os.path.realpath(folder):
            raise NoiseError(f"--tasks {token}: does not lie in {args.data_dir}; noise other data folders one by one")
    args.tasks = args.tasks and [own[token][0] if token in own else token for token in args.tasks]


def check_tokenizer(path):
    try:
        survival(path)
    except ImportError:
        raise NoiseError("--tokenizer: the package tokenizers is not installed; run: pip install tokenizers") from None
    except Exception as error:  # tokenizers raises bare Exception
        raise NoiseError(
            f"--tokenizer {path}: cannot be read ({str(error)[:100]}); give a tokenizer.json or its folder"
        ) from None


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.list:
        return show(list_operations())
    try:
        check(args)
        files, copies, refused = assign(args, *find_files(args))
        if not files and not copies:
            first = refused[0]
            raise NoiseError(
                f"nothing to do: {first['op']} {first['reason']} ({first['task']}, {first['language']}); choose "
                "other --ops, --tasks or --languages"
            )
        with lock(Path(args.output_dir)):
            manifest = write(args, files, copies, refused)
    except NoiseError as error:
        parser.error(error)
    except KeyboardInterrupt:
        parser.exit(
            130, "perturb.py: stopped; every file that is there is whole, run the same command again to continue\n"
        )
    except BrokenProcessPool:
        parser.exit(
            1,
            "perturb.py: error: a worker process was killed, out of memory perhaps; files that are there are whole, "
            "run the same command again to continue, with fewer --num_proc\n",
        )
    except OSError as error:
        parser.exit(
            1,
            f"perturb.py: error: {error.filename or args.output_dir}: {error.strerror}; free space or correct "
            "permissions, then run again\n",
        )
    files, refused = manifest["files"], manifest["not_applicable"]
    show(
        f"{len(files)} noised files in {args.output_dir}; {len(unreached(files))} did not reach their rate, "
        f"{len(refused)} n/a: see README.md there"
    )


if __name__ == "__main__":
    main()
