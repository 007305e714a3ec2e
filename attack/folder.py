"""What an attack leaves behind: condition folders as perturb.py's, manifest.json, attacks.jsonl, README.md.

    <output_dir>/greedy-2/<the same layout>      every example's worst text with at most 2 edits
    <output_dir>/random-2/<the same layout>      its control: the worst of as many random ones
    <output_dir>/manifest.json                   as perturb.py's; of each file also the model and what came of it
    <output_dir>/attacks.jsonl                   a line per example: texts, edits, margins, queries

A finished (condition, task, language) is known by the hash of all that it was made from; its record lies in .attack/.
"""

import json
import logging
import platform
import re
from collections import Counter
from math import sqrt
from pathlib import Path

from attack.texts import OWN, applied, edits_of
from common.files import InputError, replacing, sha256, write_json, write_json_lines, write_text
from common.text import aligned
from noise.manifest import SAMPLES, sample_lines
from noise.scripts import segment

logger = logging.getLogger("xtreme")

KEYS = {"command", "arguments", "files", "copied", "not_applicable"}


def named(plan):
    """The condition of a Plan, as perturb.py names one by operation and level."""
    return {"condition": f"{plan.attack}-{plan.edits}", "op": plan.attack}


def about(plan, task, source):
    """What all records of a Plan say; `source` {"path", "checkpoint"} is the model under attack."""
    own = {"level": plan.edits, "rate": None, "seed": plan.seed, "queries": plan.queries, "beam": plan.beam}
    return {**named(plan), **own, "task": task.name, "split": "test", "source": source}


class Attacked:
    """One file under one condition. `about` is what its record says beforehand, `inputs` the hash of all that it is
    made from.
    """

    def __init__(self, output_dir, file, about, inputs):
        self.folder, self.file, self.inputs = Path(output_dir), file, inputs
        self.about = {**about, "path": file.path}
        self.target = self.folder / about["condition"] / file.path
        self.base = self.folder / OWN / about["condition"] / file.path
        self.record_path, self.lines_path = (self.base.with_name(self.base.name + end) for end in (".json", ".jsonl"))

    def record(self):
        """The record that is there, {} without one."""
        try:
            return dict(json.loads(self.record_path.read_bytes()))
        except (OSError, ValueError):
            return {}

    def finished(self):
        """Whether the file was made from these inputs, and is what was written then."""
        record = self.record()
        hashes = [sha256(path) if path.exists() else None for path in (self.target, self.lines_path)]
        return record.get("inputs") == self.inputs and hashes == [record["output_sha256"], record["lines_sha256"]]

    def check_source(self):
        """InputError where the folder holds an attack on another model: its results would be lost."""
        record = self.record()
        before, now = record.get("source", {}), self.about["source"]
        if before and before.get("checkpoint") != now["checkpoint"]:
            raise InputError(
                f"--output_dir {self.folder}: holds {self.about['condition']} of {self.about['task']} against "
                f"{before.get('path')}, this is against {now['path']}; name a new folder"
            )

    def write(self, texts, outcomes, edits):
        """Write file, lines and record. `texts` are all the file's, outcomes {number: outcome()} of those that were
        attacked.
        """
        chosen = [edits_of(own, outcomes[i]["chosen"]) if i in outcomes else {} for i, own in enumerate(texts)]
        with replacing(self.target) as temporary:
            self.file.write(temporary, chosen)
        lines, samples, counts = [], [], Counter(spent=0, size=0, edits=0, changed=0)
        for number, outcome in outcomes.items():
            line = line_of(texts[number], chosen[number], outcome)
            lines.append({**{name: self.about[name] for name in ("condition", "task", "language")}, **line})
            own = [edit for one in chosen[number].values() for edit in one]
            counts.update(spent=outcome["graphemes"], edits=len(own), changed=bool(own))
            counts.update(size=sum(segment(text.text)[2] for text in texts[number]))
            if own and len(samples) < SAMPLES:
                field = next(iter(chosen[number]))
                samples.append([line["before"][field], line["after"][field]])
        write_json_lines(self.lines_path, lines)
        record = {**self.about, "examples": len(outcomes), **counts}
        record["realised"] = round(counts["spent"] / max(1, counts["size"]), 6)
        record["attack"] = summary(list(outcomes.values()), edits)
        record |= {"samples": samples, "inputs": self.inputs, "input_sha256": sha256(Path(self.file.source))}
        record |= {"output_sha256": sha256(self.target), "lines_sha256": sha256(self.lines_path)}
        write_json(self.record_path, record)


def outcome(example, words):
    """What came of an Example, in plain values: processes send it to the first one. With `words` also how many are
    right at first, and how many of them the text with at most 0, 1, ... edits breaks.
    """
    last, parts = example.path[-1], [len(state.broken) for state in example.path]
    return {
        "attacked": example.right,
        "right": example.right and example.whole,
        "chosen": last.chosen,
        "graphemes": sum(candidate.cost for candidate in last.chosen),
        "trace": [round(state.margin, 4) for state in example.path],
        "queries": example.queries,
        "candidates": len(example.candidates),
        "broken_at": example.broken_at,
        **({"words": {"right": example.parts, "broken": parts}} if words else {}),
    }


def line_of(texts, edits, outcome):
    """A line of attacks.jsonl; the trace has the lowest margin within 0, 1, ... edits."""
    return {
        "id": texts[0].name if texts else None,
        "before": {text.field: text.text for text in texts},
        "after": {text.field: applied(text.text, edits.get(text.field, [])) for text in texts},
        "edits": {field: [list(edit) for edit in own] for field, own in edits.items()},
        **{name: outcome[name] for name in ("right", "trace", "graphemes", "queries", "candidates", "broken_at")},
        "verified": outcome["broken_at"] is not None,  # alone and in float32, or it would not count as broken
        **({"words": outcome["words"]} if "words" in outcome else {}),
    }


def summary(outcomes, edits):
    """The numbers of one language; means of edits (graphemes) over texts with something broken, of the others over
    those with something right.
    """
    right = [one for one in outcomes if one["right"]]
    within = [sum(bool(one["broken_at"]) and one["broken_at"] <= most for one in right) for most in range(edits + 1)]
    attacked = [one for one in outcomes if one["attacked"]]

    def mean(values):
        values = list(values)
        return round(sum(values) / len(values), 4) if values else None

    return {
        "examples": len(outcomes),
        "right": len(right),
        "broken": within,
        "accuracy": [round(100 * (len(right) - lost) / max(1, len(outcomes)), 4) for lost in within],
        "mean_edits": mean(one["graphemes"] for one in attacked if one["broken_at"]),
        "mean_queries": mean(one["queries"] for one in attacked),
        "candidates": mean(one["candidates"] for one in attacked),
        **({"words": words_of(outcomes, edits)} if outcomes and "words" in outcomes[0] else {}),
    }


def words_of(outcomes, edits):
    """How many words are right at first, how many of these are broken within 0, 1, ... edits, and the standard error
    of the last share in percent. Words of a sentence break together, so the sentences are the sample: of the ratio of
    two sums, by linearization (Cochran 1977, 6.4).
    """
    words = [one["words"] for one in outcomes if one["words"]["right"]]
    right = sum(one["right"] for one in words)
    within = [sum(one["broken"][min(most, len(one["broken"]) - 1)] for one in words) for most in range(edits + 1)]
    residuals = [one["broken"][-1] - within[-1] / right * one["right"] for one in words]
    error = 100 * sqrt(sum(own**2 for own in residuals) * len(words) / (len(words) - 1)) / right if words[1:] else None
    return {"right": right, "broken": within, "error": error and round(error, 4)}


# --- The whole folder


def read_records(output_dir):
    """[(path, record)] of all files that are there, by condition and path; a broken record is left out with a note."""
    records = []
    for path in sorted(Path(output_dir, OWN).rglob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            if Path(output_dir, record["condition"], record["path"]).exists():
                records.append((path, record))
        except (KeyError, TypeError, ValueError):
            logger.warning("%s: broken, its file is missing in manifest.json; run its command again", path)
    return records


def earlier_manifest(output_dir):
    """The manifest that is there, {} without one; InputError where it is another tool's."""
    path = Path(output_dir) / "manifest.json"
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError):
        manifest = {}
    if not Path(output_dir, OWN).is_dir() or not isinstance(manifest, dict) or manifest.keys() - {"python"} - KEYS:
        raise InputError(f"--output_dir {output_dir}: its manifest.json is not run_attack.py's; name another folder")
    return manifest


def write_folder(output_dir, command, arguments, copied, refused):
    """manifest.json, attacks.jsonl and README.md from all records that are there."""
    output, records = Path(output_dir), read_records(output_dir)
    before = earlier_manifest(output_dir)
    known = {(entry["condition"], entry["path"]): entry for entry in (*before.get("copied", []), *copied)}
    there = {(record["condition"], record["task"], record["language"]) for _, record in records}
    left_out = [*before.get("not_applicable", []), *refused]
    manifest = {
        "command": command,
        "arguments": arguments,
        "python": platform.python_version(),
        "files": [
            {name: record[name] for name in record if name not in ("samples", "inputs")} for _, record in records
        ],
        "copied": list(known.values()),
        "not_applicable": [
            entry
            for number, entry in enumerate(left_out)
            if entry not in left_out[:number]
            and tuple(entry[n] for n in ("condition", "task", "language")) not in there
        ],
    }
    lines = b"".join(path.with_suffix(".jsonl").read_bytes() for path, _ in records)
    with replacing(output / "attacks.jsonl") as temporary:
        temporary.write_bytes(lines)
    write_text(output / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1, default=str) + "\n")
    write_text(output / "README.md", readme(command, [record for _, record in records]))


def readme(command, records):
    """What was done, in tables, and examples per language."""
    command = re.sub(r"\s*\n\s*", " ", command)
    parts = ["# Attacked evaluation sets", "", "Made by", "", f"    {command}", ""]
    for condition, task, source in dict.fromkeys((r["condition"], r["task"], r["source"]["path"]) for r in records):
        same = [r for r in records if (r["condition"], r["task"], r["source"]["path"]) == (condition, task, source)]
        parts += [f"{condition}, {task}, against {source}", "", *(f"    {line}" for line in table(same)), ""]
    return "\n".join([*parts, "## Before and after", "", *sample_lines(records)]) + "\n"


def tables(records):
    """A table for each condition of records of one task, as text."""
    conditions = dict.fromkeys(record["condition"] for record in records)
    parts = [[name, *table([one for one in records if one["condition"] == name])] for name in conditions]
    return "\n\n".join("\n".join(part) for part in parts)


def table(records):
    """Lines of a table of records of one condition and task. W_e: percent of right words broken with e edits."""
    depth = min(5, records[0]["level"])
    words = ["words", *(f"W_{e}" for e in range(1, depth + 1))] if "words" in records[0]["attack"] else []
    header = ["language", "n", "right", *(f"A_{e}" for e in range(depth + 1)), "broken", *words, "edits", "queries"]
    lines = [[*header, "candidates", "operations"]]
    for record in records:
        one = record["attack"]
        means = [one["mean_edits"], one["mean_queries"], one["candidates"]]
        lines.append(
            [record["language"], str(one["examples"]), str(one["right"])]
            + [f"{value:.1f}" for value in one["accuracy"][: depth + 1]]
            + [f"{one['broken'][-1]} of {one['right']}", *(shares(one["words"], depth) if words else ())]
            + ["-" if mean is None else f"{mean:.1f}" for mean in means]
            + [" ".join(record["ops"])]
        )
    return aligned(lines)


def shares(words, depth):
    """Fields of a table: how many words are right, percent of them that 1, 2, ... edits break."""
    right = words["right"]
    return [str(right), *(f"{100 * lost / right:.1f}" if right else "-" for lost in words["broken"][1 : depth + 1])]
