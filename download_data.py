"""Write XTREME and the intermediate tasks from the Hub, in the folders that run_xtreme.py and run_intermediate.py
read.

    python download_data.py --tasks all --output_dir data
    python download_data.py --tasks xnli panx mnli --languages en de hi sw --output_dir data
    python download_data.py --tasks all --output_dir data --hub_root mirror      # no network: mirror/<owner>/<name>/… as in Hub snapshots

Writes data/xtreme (google/xtreme's download layout), data/intermediate (<task>/<split>.jsonl, the Hub's columns) and
data/manifest.json: for every file its repository, revision, license, sha256 and numbers of rows. Repairs what the
Hub's copies have lost or mixed up (README), checks the rows against hub/tables.py, streams, and continues where it was
stopped. Repositories and revisions stand in tasks.py. To reuse it copy download_data.py common/ hub/ tasks.py;
packages: huggingface_hub and pyarrow (both come with datasets).
"""

import argparse
import difflib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from common.files import InputError, write_json
from hub.layout import convert
from hub.repositories import (
    DownloadError,
    commit_of,
    find_files,
    open_repository,
    patterns_of,
)
from hub.tables import BY_HAND, LICENSES, NOTES, expected_rows
from tasks import INTERMEDIATE, LANGUAGES, TARGETS, Hub

SPLITS = {"train": ("train",), "dev": ("validation",), "test": ("test",)}  # ours -> the Hub's
TEST_SPLITS = {
    "xquad": ("validation",),
    "tydiqa": ("validation",),
    "tatoeba": ("test", "validation"),
}  # of mteb's copy, of google/xtreme's
SQUAD, COPA = "rajpurkar/squad", "aps/super_glue"  # English parts of multilingual tasks
# google/xtreme chose treebanks by a part of their name, so these languages hold another one's too: their rows cannot
# be told apart.
MIXED_TREEBANKS = {
    "de": "Swiss German",
    "el": "Ancient Greek",
    "fr": "Old French",
    "ru": "Old Russian",
    "zh": "Classical Chinese",
}
TREEBANKS = Hub(
    "UniversalDependencies",
    "{ud}_*-ud-{split}.conllu",
    "as supplied",
    "clones of the UD repositories at tag r2.5, in a mirror only",
)


@dataclass(frozen=True)
class Job:
    """One file to write."""

    path: str  # below the output folder
    task: str
    head: str
    split: str  # as in tasks.py: train, dev, test, test_english, test_gold
    language: str
    labels: tuple
    sources: tuple  # of Hub, preferred first
    splits: tuple  # the Hub's names, preferred first
    intermediate: bool = False


# ---------------------------------------------------------------------------------------------------------------------
# What there is to do


def plan(names, languages):
    """The jobs of some tasks in some languages (None for all of the benchmarks). English always has train and dev:
    training needs them.
    """
    jobs = {}
    for name in names:
        task = TARGETS.get(name)
        if task:
            found = target_jobs(task, languages)
        else:
            found = (
                job for part in INTERMEDIATE[name].parts or (name,) for job in intermediate_jobs(INTERMEDIATE[part])
            )
        for job in found:
            jobs.setdefault(job.path, job)  # XQuAD and MLQA share SQuAD; TyDiQA's English dev is its test
    return list(jobs.values())


def target_jobs(task, languages):
    known = {code for codes in task.languages.values() for code in codes}
    chosen = known & set(languages or known)
    for split, template in task.files.items():
        if task.name == "bucc2018" and split.startswith("dev"):
            continue  # not on the Hub: see NOTES
        codes = chosen | {"en"} if split in ("train", "dev") else chosen
        for language in sorted(codes) if "{lang}" in template else ["en"]:
            path = template.format(lang=language)
            kind = split.split("_")[0]  # test of test_english
            splits = TEST_SPLITS.get(task.name, SPLITS[kind]) if kind == "test" else SPLITS[kind]
            yield Job(
                f"xtreme/{path}",
                task.name,
                task.kind,
                split,
                language,
                task.labels,
                sources(task, path, language),
                splits,
            )


def sources(task, path, language):
    """The repositories that may hold a file, preferred first."""
    if path.startswith("squad/"):
        return tuple(hub for hub in task.hub if hub.id == SQUAD)
    if task.name == "xcopa":
        return tuple(hub for hub in task.hub if (hub.id == COPA) == (language == "en"))
    if task.name == "udpos":
        return TREEBANKS, *(hub for hub in task.hub if language not in MIXED_TREEBANKS or hub.id != "google/xtreme")
    return tuple(hub for hub in task.hub if hub.id != SQUAD)


def intermediate_jobs(task):
    for templates in task.files.values():
        for template in (templates,) if isinstance(templates, str) else templates:
            split = Path(template).stem  # the Hub's own name: validation_matched, train_r1
            yield Job(
                f"intermediate/{template}", task.name, task.kind, split, "en", task.labels, task.hub, (split,), True
            )


def config_of(hub, language):
    about = LANGUAGES[language]
    return hub.config.format(lang=language, english_name=about.hub, tatoeba=about.tatoeba)


def source_files(job, hub_root):
    """(Hub record, its files) of the first source that has the file; (None, []) if none has."""
    for hub in job.sources:
        if hub is TREEBANKS:
            pattern = f"UD_*/{hub.config.format(ud=LANGUAGES[job.language].ud, split=job.split)}"
            files = sorted(Path(hub_root, hub.id).glob(pattern)) if hub_root and LANGUAGES[job.language].ud else []
        else:
            config = config_of(hub, job.language)
            patterns = [pattern for split in job.splits for pattern in patterns_of(config, split)]
            folder = open_repository(hub.id, hub.revision, patterns, hub_root)
            files = find_files(folder, config, job.splits) if folder else []
        if files:
            return hub, files
    return None, []


def missing(job, hub_root):
    """The error line of a job without a source."""
    wanted = " or ".join(
        f"{hub.id} ({hub.config if hub is TREEBANKS else config_of(hub, job.language)})" for hub in job.sources
    )
    if job.task == "udpos" and job.language in MIXED_TREEBANKS:
        wanted += f"; google/xtreme mixes {MIXED_TREEBANKS[job.language]} into it"
    where, step = (
        (f"--hub_root {hub_root}: ", "add it to the mirror") if hub_root else ("", "check the repository's files")
    )
    return (
        f"{where}{job.path}: no {job.splits[0]} split in {wanted}; {step}, or choose others with --tasks and "
        "--languages"
    )


# ---------------------------------------------------------------------------------------------------------------------
# One file


def write_file(job, hub, files, args):
    """Write one file, whole or not at all; returns its record for the manifest."""
    path = Path(args.output_dir, job.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text, tally = convert(files, job)
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(text)
        record = {
            **source_of(job, hub),
            "commit": commit_of(files[0]),
            **describe(job, hub, temporary, tally, args.allow_partial),
        }
        os.replace(temporary, path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{files[0]}, row {tally['rows']}: not in the form of {hub.id} ({error!r}); is it revision {hub.revision}?"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return record


def describe(job, hub, file, tally, allow_partial):
    """The manifest's record of a written file. Raises DownloadError when the source does not have the rows it must
    have.
    """
    below = job.path.split("/", 1)[1]
    expected, firm = expected_rows(below)
    if not tally["rows"]:
        raise DownloadError(f"{job.path}: no rows in {hub.id} at {hub.revision}; download it again")
    if firm and tally["rows"] != expected and not allow_partial:
        found = f"{tally['rows']} rows in {hub.id} at {hub.revision} instead of {expected}"
        raise DownloadError(f"{job.path}: {found}; download it again, or give --allow_partial to keep an excerpt")
    rows, labels = tally.pop("rows"), bool(tally.pop("labels", True))
    return {
        "license": LICENSES[below.split("/")[0]],
        "sha256": digest(file),
        "source_rows": rows,
        "expected_rows": expected,
        "rows": rows - sum(count for name, count in tally.items() if name.startswith("dropped: ")),
        "labels": labels,
        "changes": {name: count for name, count in sorted(tally.items()) if count},
    }


def source_of(job, hub):
    """What a file is made of: when this changes, it is written again."""
    config = hub.config if hub is TREEBANKS else config_of(hub, job.language)
    return {"language": job.language, "repository": hub.id, "config": config, "revision": hub.revision}


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finished(job, record, args):
    """Whether the manifest's record describes the file on disk, made of one of its sources, with the rows it must
    have.
    """
    path = Path(args.output_dir, job.path)
    if not record or not any({**record, **source_of(job, hub)} == record for hub in job.sources):
        return False
    expected, firm = expected_rows(job.path.split("/", 1)[1])
    complete = args.allow_partial or not firm or record.get("source_rows") == expected
    return complete and path.is_file() and digest(path) == record.get("sha256")


# ---------------------------------------------------------------------------------------------------------------------
# The command line


def build_parser():
    parser = argparse.ArgumentParser("download_data.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "--tasks",
        nargs="+",
        required=True,
        metavar="TASK",
        help=f"all, or some of {' '.join([*TARGETS, *INTERMEDIATE])}",
    )
    parser.add_argument(
        "--output_dir", default="data", help="folder for xtreme/, intermediate/ and manifest.json (default: data)"
    )
    parser.add_argument("--hub_root", help="a mirror of Hub repositories, <owner>/<name>/…, instead of the network")
    parser.add_argument(
        "--languages",
        nargs="+",
        metavar="CODE",
        help="languages of the target tasks; English train and dev always come along",
    )
    parser.add_argument(
        "--allow_partial",
        action="store_true",
        help="accept files with other numbers of rows than the table's: excerpts",
    )
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {' '.join(str(message).split())}\n")
    return parser


def check(args):
    """Refuse what cannot be meant, before anything is read. Returns (names of the tasks to write, names of those to
    supply by hand).
    """
    everything = [*TARGETS, *INTERMEDIATE]
    known = {code for task in TARGETS.values() for codes in task.languages.values() for code in codes}
    for flag, given, choices in (
        ("tasks", args.tasks, ["all", *everything]),
        ("languages", args.languages or (), sorted(known)),
    ):
        for value in given:
            if value not in choices:
                near = difflib.get_close_matches(value, choices, n=1)
                raise InputError(
                    f"--{flag} {value}: unknown; "
                    + (f"did you mean {near[0]}?" if near else f"choose from {' '.join(choices)}")
                )
    names = everything if "all" in args.tasks else args.tasks
    by_hand = [name for name in names if name in BY_HAND]
    if by_hand and "all" not in args.tasks:
        raise InputError(f"--tasks {by_hand[0]}: cannot be downloaded. {BY_HAND[by_hand[0]]}")
    if args.hub_root and not Path(args.hub_root).is_dir():
        raise InputError(
            f"--hub_root {args.hub_root}: no such folder; name the one that holds <owner>/<name>/ of each repository"
        )
    output = Path(args.output_dir)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output_dir {output}: is a file; name a folder")
    above = next(folder for folder in (output.absolute(), *output.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"--output_dir {output}: cannot be written below {above}; name another folder")
    return [name for name in names if name not in BY_HAND], by_hand


def read_manifest(path):
    """{"files": {path: record}, …}; empty where there is none."""
    if not path.exists():
        return {"files": {}}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return {"files": {path: dict(record) for path, record in manifest["files"].items()}}
    except (AttributeError, OSError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: broken; remove it, finished files are then written again") from None


def noted(paths):
    """The tasks among these files that NOTES has something to say about."""
    return sorted({path.split("/")[1] for path in paths} & NOTES.keys())


def save_manifest(path, files, by_hand):
    """No times and no machine names: the same data has the same manifest."""
    notes = {name: NOTES[name] for name in noted(files)}
    write_json(
        path,
        {"notes": notes, "by_hand": {name: BY_HAND[name] for name in by_hand}, "files": dict(sorted(files.items()))},
    )


def download(jobs, by_hand, args):
    """Write what is not finished; returns (number of files written, records by path). In a mirror, every source is
    looked up first.
    """
    manifest = Path(args.output_dir, "manifest.json")
    records = read_manifest(manifest)["files"]
    todo = [job for job in jobs if not finished(job, records.get(job.path), args)]
    lost = (
        next((job for job in todo if needed(job) and not source_files(job, args.hub_root)[1]), None)
        if args.hub_root
        else None
    )
    if lost:
        raise InputError(missing(lost, args.hub_root))
    written = 0
    for number, job in enumerate(todo, start=1):
        hub, files = source_files(job, args.hub_root)
        if not files and needed(job):
            raise DownloadError(missing(job, args.hub_root))
        if files:
            records[job.path] = record = write_file(job, hub, files, args)
            save_manifest(manifest, records, by_hand)
            written += 1
            changes = "".join(f", {name} {count}" for name, count in record["changes"].items())
            print(
                f"{number}/{len(todo)} {job.path}: {record['rows']} "
                f"rows{changes}{'' if record['labels'] else ', no labels'}",
                flush=True,
            )
    save_manifest(manifest, records, by_hand)
    return written, records


def needed(job):
    """Dev sets of other languages than English are written where they exist: UD-POS has none in kk, th, tl and yo."""
    return job.split != "dev" or job.language == "en"


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        names, by_hand = check(args)
        jobs = plan(names, args.languages)
        if not jobs:
            raise InputError(
                f"--languages {' '.join(args.languages)}: none of these tasks has them; see the table of tasks in "
                "README.md"
            )
        written, records = download(jobs, by_hand, args)
    except InputError as error:
        parser.error(error)
    except DownloadError as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    except OSError as error:
        parser.exit(
            1,
            f"{parser.prog}: error: {error.filename or args.output_dir}: {error.strerror}; free space or correct "
            "permissions, run again\n",
        )
    except KeyboardInterrupt:
        parser.exit(
            130, f"{parser.prog}: stopped; every file that is there is whole, run the same command again to continue\n"
        )
    here = [records[job.path] for job in jobs if job.path in records]
    print(
        f"{len(here)} files below {args.output_dir}, {written} of them new; "
        f"{sum(not record['labels'] for record in here)} without labels"
    )
    for name in noted(job.path for job in jobs):
        print(f"note: {name}: {NOTES[name]}")
    for name in by_hand:
        print(f"not downloaded: {name}: {BY_HAND[name]}")


if __name__ == "__main__":
    main()
