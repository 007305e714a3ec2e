"""What a noised folder says about itself: manifest.json, edits.jsonl.gz, README.md."""

import json
import platform
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

from noise.files import NoiseError, concatenate, write_text
from noise.noised_file import SAMPLES

PROMISE = 0.05  # how far, as a share of the target, the rate of a file may lie from it
KEYS = set("version command arguments files copied not_applicable".split())  # by which manifest.json is known as ours
ENOUGH = 2000  # clusters, places or words; a smaller file is not blamed for its rate


def write_manifest(args, copied, refused):
    """Write the three files from the records of this run and of earlier ones whose files are still there.

    copied: [{"condition", "path", "sha256"}]; refused: [{"condition", "op", ..., "reason"}]. Returns the manifest.
    """
    output = Path(args.output_dir)
    records = read_records(output)
    names = ("condition", "op", "task", "split", "language")
    unchanged = [
        {**{name: record[name] for name in names}, "reason": record["not_applicable"]}
        for record in records.values()
        if "not_applicable" in record
    ]
    written = {path: record for path, record in records.items() if "not_applicable" not in record}
    before = earlier_manifest(output)
    copies = {(copy["condition"], copy["path"]): copy for copy in (*before.get("copied", []), *copied)}
    earlier = [entry for entry in before.get("not_applicable", []) if entry not in (*refused, *unchanged)]
    manifest = {
        "version": str(args.draws),
        "command": f"python perturb.py {shlex.join(sys.argv[1:])}",
        "arguments": vars(args),
        "python": platform.python_version(),
        "files": [summary(record) for record in written.values()],
        "copied": list(copies.values()),
        "not_applicable": [*earlier, *refused, *unchanged],
    }
    write_text(output / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1, default=str) + "\n")
    # One file of gzip may have several members, one behind the other.
    concatenate([path.with_suffix(".edits.gz") for path in written], output / "edits.jsonl.gz")
    write_text(output / "README.md", readme(manifest, records.values()))
    return manifest


def earlier_manifest(output):
    """The manifest that is there; {} where there is none, or ours is broken and is written anew.

    Raises NoiseError where it is another tool's, such as download_data.py's: this one would take its place.
    """
    path = output / "manifest.json"
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError):
        manifest = {} if (output / ".perturb").is_dir() else None
    if isinstance(manifest, dict) and (not manifest or KEYS <= manifest.keys()):
        return manifest
    raise NoiseError(f"--output_dir {output}: its manifest.json was not written by perturb.py; name another folder")


def read_records(output):
    """{path: record} of all noised files that are there, and of those that an operation could not change.

    A broken record, of another run's file or this one would have renewed it, is left out with a note.
    """
    records = {}
    for path in sorted((output / ".perturb").rglob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            here = (
                Path(output, record["condition"], record["path"]).exists() and path.with_suffix(".edits.gz").exists()
            )
            if "not_applicable" in record or here:
                records[path] = record
        except (KeyError, TypeError, ValueError):
            note = "broken, its file is missing in manifest.json; run the command that made it again"
            print(f"{path}: {note}", file=sys.stderr)
    return records


def summary(record):
    """A record as manifest.json shows it: without samples, with shares."""
    file = {name: value for name, value in record.items() if name != "samples"}
    file["changed_share"] = share(file, "changed", "examples")
    file["tokens_kept_share"] = share(file, "tokens_kept", "texts")
    file["reached"] = abs(file["realised"] - file["target"]) <= PROMISE * file["target"]
    if "survived" in file:
        file["survival_rate"] = share(file, "survived", "edits")
        file["undone"] = file["survival_rate"] < 0.5
    return file


def share(counts, part, whole):
    return counts[part] / max(1, counts[whole])


def unreached(files):
    """Those of the manifest's files that missed their rate, though they are large enough to reach it."""
    return [file for file in files if not file["reached"] and file["size"] >= ENOUGH]


def readme(manifest, records):
    """What was done, in tables, and three examples per language."""
    lines = ["# Noised evaluation sets", "", "Made by", "", f"    {manifest['command']}", ""]
    lines += [
        "| condition | task | languages | examples | changed | target | realised | tokens kept |",
        "|---|---|---|---|---|---|---|---|",
        *condition_lines(manifest["files"]),
        "",
        "The rate is a share of all graphemes, or, for operations that touch certain places or words only, of those "
        "(see `unit` in manifest.json).",
        "",
    ]
    if missed := unreached(manifest["files"]):
        lines += ["## Rates that could not be reached", "", "| condition | file | target | realised |"]
        lines += ["|---|---|---|---|"]
        lines += [f"| {f['condition']} | {f['path']} | {f['target']} | {f['realised']:.4f} |" for f in missed] + [""]
    if undone := [file for file in manifest["files"] if file.get("undone")]:
        lines += ["## Undone by the tokenizer", "", "More than half of the edits are gone in the model's input.", ""]
        lines += ["| condition | file | edits that survive |", "|---|---|---|"]
        lines += [f"| {f['condition']} | {f['path']} | {f['survival_rate']:.1%} |" for f in undone] + [""]
    if refused := manifest["not_applicable"]:
        lines += ["## Not applicable", "", "| condition | task | language | reason |", "|---|---|---|---|"]
        lines += [f"| {r['condition']} | {r['task']} | {r['language']} | n/a: {r['reason']} |" for r in refused] + [""]
    return "\n".join([*lines, "## Before and after", "", *sample_lines(records)]) + "\n"


def condition_lines(files):
    """The table of conditions and tasks."""
    for condition, task in dict.fromkeys((file["condition"], file["task"]) for file in files):
        same = [file for file in files if (file["condition"], file["task"]) == (condition, task)]
        total = {name: sum(file[name] for file in same) for name in ("examples", "changed", "texts", "tokens_kept")}
        languages = " ".join(sorted({file["language"] for file in same}))
        rates = [file["realised"] for file in same]
        yield (
            f"| {condition} | {task} | {languages} | {total['examples']} | {share(total, 'changed', 'examples'):.1%} "
            f"| {same[0]['target']} | {min(rates):.4f} to {max(rates):.4f} "
            f"| {share(total, 'tokens_kept', 'texts'):.1%} |"
        )


def sample_lines(records):
    """Texts before and after, at most SAMPLES of a language."""
    shown = Counter()
    for record in records:
        language = record["language"]
        for sample in record["samples"][: SAMPLES - shown[language]]:
            shown[language] += 1
            before, after = (re.sub(r"\s+", " ", text)[:160].replace("`", "'") for text in sample)
            if shown[language] == 1:
                yield from (f"**{language}**", "")
            yield from (f"    {record['condition']}", f"    - {before}", f"    + {after}", "")
