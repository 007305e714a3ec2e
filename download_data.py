"""Write XTREME, intermediate tasks and parallel text from the Hub into the folders that the run scripts read.

    python download_data.py --tasks all --output_dir data
    python download_data.py --tasks xnli panx mnli --languages en de hi sw --output_dir data
    python download_data.py --tasks flores200 ntrex opus100 --languages de ru sw --output_dir data
    python download_data.py --tasks all --output_dir data --hub_root mirror      # no network

Writes data/xtreme (google/xtreme's download layout), data/intermediate (<task>/<split>.jsonl, the Hub's columns),
data/parallel (lines with their English translation, which `all` leaves out: OPUS-100 has millions) and
data/manifest.json: for every file its repository, revision, license, sha256 and numbers of rows. Repairs what the
Hub's copies have lost or mixed up (docs/data.md), checks the rows against hub/tables.py, streams, and continues where
it was stopped. Repositories and revisions stand in tasks.py; a mirror holds <owner>/<name>/... as Hub snapshots do.

Copy with it: common/ hub/ tasks.py. Package: datasets (brings huggingface_hub and pyarrow).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from common.arguments import Parser
from common.files import InputError, check_output_dir, replacing, write_json
from common.recovery import locked
from common.text import nearest, show
from hub.layout import convert
from hub.parallel import HUB_SPLITS, SETS, column_of, pair_of
from hub.repositories import DownloadError, columns_of, commit_of, find_files, open_repository, patterns_of
from hub.tables import BY_HAND, LICENSES, NOTES, expected_rows
from tasks import INTERMEDIATE, LANGUAGES, TARGETS, Hub, Task

SPLITS = {"train": ("train",), "dev": ("validation",), "test": ("test",)}  # ours -> the Hub's
TEST_SPLITS = {  # the other tasks have theirs in "test"
    "xquad": ("validation",),
    "tydiqa": ("validation",),
    "tatoeba": ("test", "validation"),  # of mteb's copy, of google/xtreme's
}
SQUAD, COPA = "rajpurkar/squad", "aps/super_glue"  # English parts of multilingual tasks
# google/xtreme chose treebanks by a part of their name, so these languages hold another one's too, past telling apart.
MIXED_TREEBANKS = {
    "de": "Swiss German",
    "el": "Ancient Greek",
    "fr": "Old French",
    "ru": "Old Russian",
    "zh": "Classical Chinese",
}
# In a mirror only: clones of the UD repositories at tag r2.5, and at r2.7 for the languages that XTREME-R added.
TREEBANK_FILES = "{ud}_*-ud-{split}.conllu"
TREEBANKS = Hub("UniversalDependencies", TREEBANK_FILES, "as supplied, by XTREME's rules")
TREEBANKS_R = Hub("UniversalDependencies-2.7", TREEBANK_FILES, "as supplied, by XTREME's rules")


@dataclass(frozen=True)
class File:
    """One file to write."""

    path: str  # below the output folder: xtreme/xnli/test-de.tsv
    task: Task
    split: str  # as in tasks.py: train, dev, test, test_english, test_gold
    language: str
    hubs: tuple  # of Hub, preferred first
    splits: tuple  # the Hub's names, preferred first

    @property
    def intermediate(self):
        return self.path.startswith("intermediate/")

    @property
    def place(self):
        """Its path in the layout: xnli/test-de.tsv."""
        return self.path.split("/", 1)[1]


# --- What there is to do


def files_to_write(names, languages):
    """The files of some tasks in some languages (None for all of the benchmarks). English always has train and dev:
    training needs them.
    """
    files = {}  # each path once: XQuAD and MLQA share SQuAD, TyDiQA's English dev is its test
    for name in names:
        if name in SETS:
            of_task = parallel_files(SETS[name], languages)
        elif name in TARGETS:
            of_task = target_files(TARGETS[name], languages)
        else:
            of_task = intermediate_files(INTERMEDIATE[name])
        for file in of_task:
            files.setdefault(file.path, file)
    return list(files.values())


def target_files(task, languages):
    known = {code for codes in task.languages.values() for code in codes}
    chosen = known & set(languages or known)
    for split, template in task.files.items():
        if task.name == "bucc2018" and split.startswith("dev"):
            continue  # not on the Hub: see NOTES
        codes = chosen | {"en"} if split in ("train", "dev") else chosen
        for language in sorted(codes) if "{lang}" in template else ["en"]:
            path = template.format(lang=language)
            base = split.split("_")[0]  # test of test_english
            splits = TEST_SPLITS.get(task.name, SPLITS[base]) if base == "test" else SPLITS[base]
            yield File(f"xtreme/{path}", task, split, language, hubs_of(task, path, language), splits)


def hubs_of(task, path, language):
    """The repositories that may hold a file, preferred first."""
    if path.startswith("squad/"):
        return tuple(hub for hub in task.hub if hub.id == SQUAD)
    if task.name == "xcopa":
        return tuple(hub for hub in task.hub if (hub.id == COPA) == (language == "en"))
    if task.name == "udpos":
        treebanks = TREEBANKS if language in task.languages["xtreme"] else TREEBANKS_R
        return treebanks, *(hub for hub in task.hub if language not in MIXED_TREEBANKS or hub.id != "google/xtreme")
    return tuple(hub for hub in task.hub if hub.id != SQUAD)


def intermediate_files(task):
    for part in map(INTERMEDIATE.get, task.parts or (task.name,)):
        for templates in part.files.values():
            for template in (templates,) if isinstance(templates, str) else templates:
                split = Path(template).stem  # the Hub's own name: validation_matched, train_r1
                yield File(f"intermediate/{template}", part, split, "en", part.hub, (split,))


def parallel_files(task, languages):
    """A set of lines shared by all languages always has its English ones."""
    (known,) = task.languages.values()
    for split, template in task.files.items():
        for language in sorted({*(languages or known)} & {*known} | {"en"} & {*known}):
            hub_splits = HUB_SPLITS[split.removesuffix("_english")]
            yield File(f"parallel/{template.format(lang=language)}", task, split, language, task.hub, hub_splits)


def needed(file):
    """Dev sets of other languages than English are written where they exist: UD-POS has none in kk, th, tl and yo. So
    are OPUS-100's, which has no dev and test of yo, and lines shared by all languages.
    """
    return file.language == "en" if file.task.name in SETS else file.split != "dev" or file.language == "en"


# --- Where a file comes from


def config_of(hub, language):
    """A repository's configuration of a language; treebanks have none, but a form of file names."""
    known = LANGUAGES[language]
    names = {"lang": language, "english_name": known.hub, "tatoeba": known.tatoeba, "pair": pair_of(language)}
    return hub.config if hub in (TREEBANKS, TREEBANKS_R) else hub.config.format(**names)


def find_sources(file, hub_root):
    """(Hub record, its files) of the first repository that has the file; (None, []) if none has."""
    for hub in file.hubs:
        config = config_of(hub, file.language)
        if hub in (TREEBANKS, TREEBANKS_R):
            treebank = LANGUAGES[file.language].ud
            pattern = f"UD_*/{config.format(ud=treebank, split=file.split)}"
            sources = list(Path(hub_root, hub.id).glob(pattern)) if hub_root and treebank else []
            sources.sort(key=lambda path: path.name)  # XTREME's order: en_partut before en_pud, whatever their folders
        else:
            patterns = [pattern for split in file.splits for pattern in patterns_of(config, split)]
            folder = open_repository(hub.id, hub.revision, patterns, hub_root)
            sources = find_files(folder, config, file.splits) if folder else []
            if sources and file.task.kind == "columns" and not column_of(file.language, columns_of(sources)):
                sources = []
        if sources:
            return hub, sources
    return None, []


def no_source(file, hub_root):
    """The error line of a file that no repository has."""
    hubs = " or ".join(f"{hub.id} ({config_of(hub, file.language)})" for hub in file.hubs)
    if file.task.name == "udpos" and file.language in MIXED_TREEBANKS:
        hubs += f"; google/xtreme mixes {MIXED_TREEBANKS[file.language]} into it"
    where = f"--hub_root {hub_root}: " if hub_root else ""
    step = "add it to the mirror" if hub_root else "check the repository's files"
    return (
        f"{where}{file.path}: no {file.splits[0]} split in {hubs}; {step}, or choose others with --tasks and "
        "--languages"
    )


def source_of(file, hub):
    """What a file is made of: when this changes, it is written again."""
    config = config_of(hub, file.language)
    return {"language": file.language, "repository": hub.id, "config": config, "revision": hub.revision}


# --- One file, and its record in the manifest


def write_file(file, hub, sources, args):
    """Write one file, whole or not at all; returns its record for the manifest."""
    text, tally = convert(sources, file)
    try:
        with replacing(Path(args.output_dir, file.path)) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(text)
            about = describe(file, hub, temporary, tally, args.allow_partial)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{sources[0]}, row {tally['rows']}: not in the form of {hub.id} ({error!r}); is it revision "
            f"{hub.revision}?"
        ) from None
    return {**source_of(file, hub), "commit": commit_of(sources[0]), **about}


def describe(file, hub, written, tally, allow_partial):
    """The manifest's record of a file as `written`. Raises DownloadError when its source lacks rows it must have."""
    expected, firm = expected_rows(file.place)
    if not tally["rows"]:
        raise DownloadError(f"{file.path}: no rows in {hub.id} at {hub.revision}; download it again")
    if firm and tally["rows"] != expected and not allow_partial:
        raise DownloadError(
            f"{file.path}: {tally['rows']} rows in {hub.id} at {hub.revision} instead of {expected}; download it "
            "again, or give --allow_partial to keep an excerpt"
        )
    rows, labels = tally.pop("rows"), bool(tally.pop("labels", True))
    return {
        "license": LICENSES[file.place.split("/")[0]],
        "sha256": digest(written),
        "source_rows": rows,
        "expected_rows": expected,
        "rows": rows - sum(count for name, count in tally.items() if name.startswith("dropped: ")),
        "labels": labels,
        "changes": {name: count for name, count in sorted(tally.items()) if count},
    }


def digest(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def finished(file, record, args):
    """Whether the manifest's record describes the file on disk, made of one of its sources, with the rows it needs."""
    path = Path(args.output_dir, file.path)
    if not record or not any(source_of(file, hub).items() <= record.items() for hub in file.hubs):
        return False
    expected, firm = expected_rows(file.place)
    complete = args.allow_partial or not firm or record.get("source_rows") == expected
    return complete and path.is_file() and digest(path) == record.get("sha256")


def read_manifest(path):
    """{path: record} of the files that earlier runs wrote."""
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        records = {name: dict(record) for name, record in manifest["files"].items()} if ours(manifest) else None
    except (AttributeError, OSError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: broken; remove it, finished files are then written again") from None
    if records is None:
        other = "its manifest.json was not written by download_data.py"
        raise InputError(f"--output_dir {path.parent}: {other}; name another folder")
    return records


def ours(manifest):
    """Whether a manifest is one of save_manifest's; perturb.py's has other keys. Lists are broken ones of ours."""
    return not isinstance(manifest, dict) or {"notes", "by_hand", "files"} <= manifest.keys()


def save_manifest(path, records, by_hand):
    """No times and no machine names: the same data has the same manifest."""
    notes = {name: NOTES[name] for name in noted(records)}
    supplied = {name: BY_HAND[name] for name in by_hand}
    write_json(path, {"notes": notes, "by_hand": supplied, "files": dict(sorted(records.items()))})


def noted(paths):
    """The tasks among these files that NOTES has something to say about."""
    return sorted({path.split("/")[1] for path in paths} & NOTES.keys())


def download(files, by_hand, args):
    """Write what is not finished; returns (number of files written, records by path)."""
    manifest = Path(args.output_dir, "manifest.json")
    records = read_manifest(manifest)
    unfinished = [file for file in files if not finished(file, records.get(file.path), args)]
    if args.hub_root:  # a mirror can say at once whether it has everything
        for file in filter(needed, unfinished):
            if not find_sources(file, args.hub_root)[1]:
                raise InputError(no_source(file, args.hub_root))
    written = 0
    for number, file in enumerate(unfinished, start=1):
        hub, sources = find_sources(file, args.hub_root)
        if not sources and needed(file):
            raise DownloadError(no_source(file, args.hub_root))
        if not sources and file.task.name in SETS:
            show(
                f"{number}/{len(unfinished)} {file.path}: not in {' or '.join(hub.id for hub in file.hubs)}, left out"
            )
        if sources:
            records[file.path] = record = write_file(file, hub, sources, args)
            save_manifest(manifest, records, by_hand)
            written += 1
            changes = "".join(f", {name} {count}" for name, count in record["changes"].items())
            labels = "" if record["labels"] else ", no labels"
            show(f"{number}/{len(unfinished)} {file.path}: {record['rows']} rows{changes}{labels}")
    save_manifest(manifest, records, by_hand)
    return written, records


# --- The command line


def build_parser():
    parser = Parser(prog="download_data.py", description=__doc__)
    everything = " ".join([*TARGETS, *INTERMEDIATE, *SETS])
    parser.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help=f"all, or some of {everything}")
    parser.add_argument(
        "--output_dir", default="data", help="folder for xtreme/, intermediate/, parallel/ (default: data)"
    )
    parser.add_argument("--hub_root", help="a mirror of Hub repositories, <owner>/<name>/..., instead of the network")
    parser.add_argument(
        "--languages",
        nargs="+",
        metavar="CODE",
        help="languages of target tasks and parallel text; English train and dev always come along",
    )
    parser.add_argument(
        "--allow_partial",
        action="store_true",
        help="accept files with other numbers of rows than the table's: excerpts",
    )
    return parser


def check(args):
    """Refuse what cannot be meant, before anything is read. Returns (names of the tasks to write, names of those to
    supply by hand).
    """
    everything = [*TARGETS, *INTERMEDIATE]
    known = {
        code for task in (*TARGETS.values(), *SETS.values()) for codes in task.languages.values() for code in codes
    }
    for flag, values, choices in (
        ("tasks", args.tasks, ["all", *everything, *SETS]),
        ("languages", args.languages or (), sorted(known)),
    ):
        for value in values:
            if value not in choices:
                hint = nearest(value, choices) or f"; choose from {' '.join(choices)}"
                raise InputError(f"--{flag} {value}: unknown{hint}")
    names = args.tasks
    if "all" in names:
        names = [*everything, *(name for name in names if name in SETS)]
    by_hand = [name for name in names if name in BY_HAND]
    if by_hand and "all" not in args.tasks:
        raise InputError(f"--tasks {by_hand[0]}: cannot be downloaded. {BY_HAND[by_hand[0]]}")
    if args.hub_root and not Path(args.hub_root).is_dir():
        raise InputError(
            f"--hub_root {args.hub_root}: no such folder; name the one that holds <owner>/<name>/ of each repository"
        )
    check_output_dir(args.output_dir)  # it may hold data that other people put there
    return [name for name in names if name not in BY_HAND], by_hand


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        names, by_hand = check(args)
        files = files_to_write(names, args.languages)
        if not files:
            languages = " ".join(args.languages)
            raise InputError(f"--languages {languages}: none of these tasks has them; tasks.py lists those of each")
        read_manifest(Path(args.output_dir, "manifest.json"))  # another tool's is refused before the folder is touched
        with locked(args.output_dir):
            written, records = download(files, by_hand, args)
    except InputError as error:
        parser.error(error)
    except DownloadError as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    except OSError as error:
        step = "free space or correct permissions, run again"
        parser.exit(1, f"{parser.prog}: error: {error.filename or args.output_dir}: {error.strerror}; {step}\n")
    except KeyboardInterrupt:
        step = "every file that is there is whole, run the same command again to continue"
        parser.exit(130, f"{parser.prog}: stopped; {step}\n")
    there = [records[file.path] for file in files if file.path in records]
    unlabeled = sum(not record["labels"] for record in there)
    show(f"{len(there)} files below {args.output_dir}, {written} of them new; {unlabeled} without labels")
    for name in noted(file.path for file in files):
        show(f"note: {name}: {NOTES[name]}")
    for name in by_hand:
        show(f"not downloaded: {name}: {BY_HAND[name]}")


if __name__ == "__main__":
    main()
