"""What a noised folder says about itself: manifest.json, edits.jsonl.gz, README.md."""

import json
import os
import platform
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

from noise.jobs import SAMPLES, write_whole
from noise.noiser import VERSION


def write_manifest(args, copied, refused):
    """manifest.json, edits.jsonl.gz and README.md, from the records of this run and of earlier ones whose files are
    still there.
    """
    output = Path(args.output_dir)
    try:
        before = json.loads((output / "manifest.json").read_bytes())
    except (OSError, ValueError):  # none yet, or a broken one, which is written anew
        before = {}
    records = []
    for path in sorted((output / ".perturb").rglob("*.json")):
        record = json.loads(path.read_bytes())
        if "not_applicable" in record or Path(output, record["condition"], record["path"]).exists():
            records.append((path, record))
    names = ("condition", "op", "task", "split", "language")
    missing = [
        {**{name: record[name] for name in names}, "reason": record["not_applicable"]}
        for _, record in records
        if "not_applicable" in record
    ]
    rows = [
        {name: value for name, value in record.items() if name != "samples"}
        for _, record in records
        if "not_applicable" not in record
    ]
    for row in rows:
        row["changed_share"], row["tokens_kept_share"] = (
            row["changed"] / max(1, row["examples"]),
            row["tokens_kept"] / max(1, row["texts"]),
        )
        row["reached"] = abs(row["realised"] - row["target"]) <= 0.05 * row["target"]
        if "survived" in row:
            row["survival_rate"] = row["survived"] / max(1, row["edits"])
    copies = {(row["condition"], row["path"]): row for row in (*before.get("copied", []), *copied)}
    others = [row for row in before.get("not_applicable", []) if row not in refused and row not in missing]
    manifest = {
        "version": VERSION, "command": f"python perturb.py {shlex.join(sys.argv[1:])}", "arguments": vars(args), "python": platform.python_version(),
        "files": rows, "copied": list(copies.values()), "not_applicable": [*others, *refused, *missing],
    }  # fmt: skip
    write_whole(
        output / "manifest.json", (json.dumps(manifest, ensure_ascii=False, indent=1, default=str) + "\n").encode()
    )
    temporary = output / ".perturb" / "edits.tmp"
    with open(temporary, "wb") as whole:
        for path, record in records:
            if "not_applicable" not in record:
                with open(path.with_suffix(".edits.gz"), "rb") as part:  # members of one gzip file
                    shutil.copyfileobj(part, whole, 1 << 20)
    os.replace(temporary, output / "edits.jsonl.gz")
    write_whole(output / "README.md", readme(manifest, [record for _, record in records]).encode())
    return manifest


def readme(manifest, records):
    """What was done, in tables, and three examples per language."""
    lines = ["# Noised evaluation sets", "", "Made by", "", f"    {manifest['command']}", ""]
    lines += [
        "| condition | task | languages | examples | changed | target | realised | tokens kept |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for condition, task in dict.fromkeys((row["condition"], row["task"]) for row in manifest["files"]):
        rows = [row for row in manifest["files"] if (row["condition"], row["task"]) == (condition, task)]
        rates = [row["realised"] for row in rows]
        total = {name: sum(row[name] for row in rows) for name in ("examples", "changed", "texts", "tokens_kept")}
        languages = " ".join(sorted({row["language"] for row in rows}))
        shares = (
            f"{total['changed'] / max(1, total['examples']):.1%} | {rows[0]['target']} | {min(rates):.4f} to "
            f"{max(rates):.4f}"
        )
        lines.append(
            f"| {condition} | {task} | {languages} | {total['examples']} | {shares} | "
            f"{total['tokens_kept'] / max(1, total['texts']):.1%} |"
        )
    lines += [
        "",
        "The rate is a share of all graphemes, or, for operations that touch certain places or words only, of those "
        "(see `unit` in manifest.json).",
        "",
    ]
    unreached = [row for row in manifest["files"] if not row["reached"] and row["size"] >= 2000]
    if unreached:
        lines += [
            "## Rates that could not be reached",
            "",
            "| condition | file | target | realised |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {row['condition']} | {row['path']} | {row['target']} | {row['realised']:.4f} |" for row in unreached
        ] + [""]
    if manifest["not_applicable"]:
        lines += ["## Not applicable", "", "| condition | task | language | reason |", "|---|---|---|---|"]
        lines += [
            f"| {row['condition']} | {row['task']} | {row['language']} | n/a: {row['reason']} |"
            for row in manifest["not_applicable"]
        ] + [""]
    lines += ["## Before and after", ""]
    shown = Counter()
    for record in records:
        for old, new in record["samples"]:
            if shown[record["language"]] < SAMPLES:
                shown[record["language"]] += 1
                title = [f"**{record['language']}**", ""] if shown[record["language"]] == 1 else []
                cut = [re.sub(r"\s+", " ", text)[:160].replace("`", "'") for text in (old, new)]
                lines += [*title, f"    {record['condition']}", f"    - {cut[0]}", f"    + {cut[1]}", ""]
    return "\n".join(lines) + "\n"
