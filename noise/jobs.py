"""One file under one condition: noised in pieces, put together whole, calibrated, recorded."""

import gzip
import hashlib
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from noise.files import (
    NOISE,
    TASKS,
    chunks_of,
    line_chunks,
    paragraph_chunks,
    sentence_chunks,
)
from noise.noiser import VERSION, NoiseError, Noiser
from noise.operations import OPERATIONS, not_applicable
from noise.tables import SCRIPT_OF

TOLERANCE = 0.03  # a file whose draws miss the target by more is drawn again with a scaled rate; the promise is 5 %
TRIES = 8
WORTH_SCALING = 200  # clusters, places or words; below that one edit more or less is too much
SAMPLES = 3  # before / after examples per file
LOG_LINES = 1000  # are compressed at a time: a call of gzip for every line would take a tenth of the whole work
ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # made once; json.dumps would make one for every line


class Job(NamedTuple):
    """One file under one condition. Paths below data_dir and output_dir/condition are the same: `path`."""

    source: str
    path: str
    output_dir: str
    condition: str
    op: str
    level: int | None
    rate: float | None
    seed: int
    replicate: int
    task: str
    split: str
    language: str
    side: str | None  # retrieval: queries or candidates
    context: str | None  # MLQA: the language of the context
    script: str | None  # of a language that noise/tables.py does not know
    roles: tuple
    qa: str
    table: dict | None
    tokenizer: str | None
    input_sha256: str

    def settings(self):
        """What the content of the output depends on beside the input."""
        kept = {name: value for name, value in self._asdict().items() if name not in ("source", "output_dir", "table")}
        return {
            **kept,
            "roles": list(self.roles),
            "table": digest(json.dumps(self.table, sort_keys=True).encode()),
            "version": VERSION,
        }

    def noiser(self, language, scale):
        script = None if language in SCRIPT_OF else self.script or "Latn"
        one_token = TASKS[self.task].kind == "tagging" or self.task == "ccg"
        level = None if self.rate is not None else self.level
        return Noiser(
            self.op,
            level,
            language,
            self.seed,
            rate=self.rate,
            script=script,
            table=self.table,
            one_token=one_token,
            scale=scale,
        )

    def target(self):
        return OPERATIONS[self.op].rates[self.level] if self.rate is None else self.rate

    def output(self):
        return Path(self.output_dir, self.condition, self.path)

    def record(self, suffix):
        return Path(self.output_dir, ".perturb", self.condition, self.path + suffix)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def file_digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path, content):
    """Write bytes to a file whole or not at all; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Shard(NamedTuple):
    job: Job
    scale: float
    begin: int  # bytes of the source
    end: int
    number: int  # of its first chunk
    part: str  # temporary file; the edits go to part + ".edits"


class Recorder:
    """The `put` of noise/files.py for one shard: noises a field, counts, and logs its edits."""

    def __init__(self, job, scale, log):
        self.job, self.scale, self.log = job, scale, log
        self.counts, self.samples, self.noisers, self.lines = Counter(), [], {}, []
        self.example, self.changed = None, False
        self.start = f"{job.task}|{job.split}|"
        self.about = json.dumps({name: getattr(job, name) for name in ("condition", "task", "split")})[:-1]
        self.survives = survival(job.tokenizer) if job.tokenizer else None

    def noiser(self, language):
        """The language's Noiser; None where the operation does not apply to one language of a file with several."""
        if language not in self.noisers:
            script = SCRIPT_OF.get(language, self.job.script or "Latn")
            applies = not not_applicable(self.job.op, language, script, self.job.table)
            self.noisers[language] = self.job.noiser(language, self.scale) if applies else None
        return self.noisers[language]

    def __call__(self, name, field, text, spans=(), protect=(), language=None):
        counts, language = self.counts, language or self.job.language
        if name != self.example:
            self.example, self.changed = name, False
            counts["examples"] += 1
        noiser = self.noiser(language)
        if noiser is None:
            return text, list(spans)
        noised = noiser.noise(text, f"{self.start}{name}|{field}|{self.job.replicate}", spans, protect)
        counts["size"] += noised.size
        counts["spent"] += noised.spent
        counts["texts"] += 1
        if not noised.edits:
            counts["tokens_kept"] += 1
            return text, noised.spans
        counts["changed"] += not self.changed
        self.changed = True
        counts["edits"] += len(noised.edits)
        within = all(
            old.split() == [old] and new.split() == [new] for _, old, new in noised.edits
        )  # words, as most are: no need to count them
        counts["tokens_kept"] += within or len(text.split()) == len(noised.text.split())
        if self.survives:
            counts["survived"] += sum(self.survives(text, edit) for edit in noised.edits)
        if len(self.samples) < SAMPLES:
            self.samples.append([text[:200], noised.text[:200]])
        about = f'{self.about}, "language": "{language}", "id": {json.dumps(name)}, "field": "{field}"'
        self.lines.append(f'{about}, "edits": {ENCODE(noised.edits)}}}\n')
        if len(self.lines) >= LOG_LINES:
            self.flush()
        return noised.text, noised.spans

    def flush(self):
        self.log.write("".join(self.lines).encode())
        self.lines.clear()


def noise_shard(shard):
    """Noise one piece of a file into a part file; returns its counts and samples."""
    job = shard.job
    noise_chunk, read = NOISE[TASKS[job.task].kind], chunks_of(TASKS[job.task], job.path)
    with (
        open(job.source, "rb") as source,
        open(shard.part, "wb") as target,
        gzip.GzipFile(shard.part + ".edits", "wb", 1, mtime=0) as log,
    ):
        put = Recorder(job, shard.scale, log)
        source.seek(shard.begin)
        for number, chunk in enumerate(read(source, job.source, shard.end), start=shard.number):
            target.write(noise_chunk(chunk, number, job, put).encode())
        put.flush()
    return put.counts, put.samples


def survival(path):
    """survives(text, edit): whether the text with this edit alone still differs after the tokenizer's normalization."""
    from tokenizers import Tokenizer

    normalizer = Tokenizer.from_file(str(Path(path) / "tokenizer.json" if Path(path).is_dir() else path)).normalizer
    normalize = normalizer.normalize_str if normalizer else str

    def survives(text, edit):
        before, after = text[max(0, edit.start - 20) : edit.start], text[edit.start + len(edit.old) :][:20]
        return normalize(before + edit.old + after) != normalize(before + edit.new + after)

    return survives


def shards_of(job, scale, pieces, folder):
    """Cut a file at chunk borders into `pieces` byte ranges, each with the number of its first chunk. SQuAD JSON stays
    whole.
    """
    size, read = os.path.getsize(job.source), chunks_of(TASKS[job.task], job.path)
    borders = [(0, 0)]
    if pieces > 1 and read is not paragraph_chunks:
        with open(job.source, "rb") as file:
            number = 0
            for goal in range(size // pieces, size - size // pieces + 1, size // pieces or 1):
                if read is line_chunks:
                    while file.tell() < goal:
                        number += file.read(min(1 << 20, goal - file.tell())).count(b"\n")
                    number += bool(file.readline())
                    borders.append((file.tell(), number))
            if read is sentence_chunks:
                end = 0
                for number, chunk in enumerate(read(file, job.source), start=1):
                    end += len(chunk.encode())
                    if end >= len(borders) * size / pieces:
                        borders.append((end, number))
    borders = [border for border in borders if border[0] < size or border == (0, 0)]
    ends = [begin for begin, _ in borders[1:]] + [size]
    return [
        Shard(job, scale, begin, end, number, str(folder / f"{index}"))
        for index, ((begin, number), end) in enumerate(zip(borders, ends))
    ]


def noise_file(job, run=map, pieces=1):
    """Noise one file; writes it, its edits and its record, and returns the record. `run` maps noise_shard over shards.

    A short file may miss its target because edits are whole: then the rate is scaled and the file drawn again, which
    changes few of its examples. The result depends on the file alone, not on its order, shards or processes, and the
    record names the scale.
    """
    folder = Path(job.output_dir, ".perturb", "tmp", digest(f"{job.condition}/{job.path}".encode())[:16])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def draw(scale):
        results = list(run(noise_shard, shards_of(job, scale, pieces, folder)))
        counts = sum((count for count, _ in results), Counter())
        return results, counts, counts["spent"] / max(1, counts["size"])

    target, scale, low, high, errors, most = job.target(), 1.0, 0.0, None, {}, 0
    for _ in range(TRIES):
        results, counts, realised = draw(scale)
        if not counts["examples"]:
            raise NoiseError(f"{job.source}: the file is empty: no paragraph, row or line to noise; download it again")
        errors[scale] = abs(realised - target)
        if (
            errors[scale] <= TOLERANCE * target
            or counts["size"] < WORTH_SCALING
            or (scale > 1.5 and counts["spent"] <= most)
        ):
            break  # close enough, too short, or more cannot be had
        low, high = (scale, high) if realised < target else (low, scale)
        most = counts["spent"]
        scale = (low + high) / 2 if high else scale * min(4, max(1.05, target / max(realised, target / 4)))
    scale = min(errors, key=errors.get)
    if scale != list(errors)[-1]:
        results, counts, realised = draw(scale)
    return finish_file(job, results, counts, realised, scale, folder)


def finish_file(job, results, counts, realised, scale, folder):
    record = {
        **job.settings(), "unit": "graphemes" if OPERATIONS[job.op].places is None else "places",
        "target": job.target(), "realised": round(realised, 6), "scale": round(scale, 6),
        **{name: counts[name] for name in ("size", "spent", "edits", "texts", "examples", "changed", "tokens_kept")},
        "samples": [sample for _, samples in results for sample in samples][:SAMPLES],
    }  # fmt: skip
    if job.tokenizer:
        record["survived"] = counts["survived"]
    if job.target() and not counts["edits"]:
        record["not_applicable"] = "nothing in the file that it could change"
        job.output().unlink(missing_ok=True)
    else:
        job.output().parent.mkdir(parents=True, exist_ok=True)
        job.record("").parent.mkdir(parents=True, exist_ok=True)
        for suffix, path in (("", job.output()), (".edits", job.record(".edits.gz"))):
            first = f"{folder}/0{suffix}"
            for index in range(1, len(results)):
                with open(first, "ab") as whole, open(f"{folder}/{index}{suffix}", "rb") as part:
                    shutil.copyfileobj(part, whole, 1 << 20)
            if not suffix:
                record["output_sha256"] = file_digest(first)
            os.replace(first, path)
    write_whole(job.record(".json"), json.dumps(record, ensure_ascii=False).encode())
    shutil.rmtree(folder, ignore_errors=True)
    return record


def finished(job):
    """The record of a file that is there already and was made from the same input with the same settings, else None."""
    try:
        record = json.loads(job.record(".json").read_bytes())
        same = all(record.get(name) == value for name, value in job.settings().items())
        return (
            record
            if same and ("not_applicable" in record or file_digest(job.output()) == record["output_sha256"])
            else None
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return None
