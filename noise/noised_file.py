"""One file under one condition: noised in pieces, put together whole, calibrated, recorded."""

import gzip
import hashlib
import json
import os
import platform
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from noise import progress
from noise.calibration import calibrate, ops_of, rate_of
from noise.files import NoiseError, concatenate, sha256, write_text
from noise.formats import FORMATS, chunks_of, line_chunks, paragraph_chunks, sentence_chunks
from noise.layouts import LAYOUTS, one_tag_per_token
from noise.noiser import Noiser
from noise.operations import OPERATIONS, not_applicable
from noise.tables import SCRIPT_OF

SAMPLES = 3  # before / after examples per file
LOG_LINES = 1000  # are compressed at a time: a call of gzip for every line would take a tenth of the whole work
# Of one text each, which takes a fifth of the time of a list: they write every line of the log.
QUOTE, ASCII = json.JSONEncoder(ensure_ascii=False).encode, json.JSONEncoder().encode

# ---------------------------------------------------------------------------------------------------------------------
# What the file is


class NoisedFile(NamedTuple):
    """A clean file, a condition, and what else its content depends on. `path` is the same below data and condition."""

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
    protect: tuple  # regular expressions
    protect_words: tuple
    tokenizer: str | None
    draws: int
    input_sha256: str

    def settings(self):
        """What the content depends on beside the source, as the manifest shows it."""
        settings = self._asdict()
        for name in ("source", "output_dir"):
            del settings[name]
        for name in ("table", "protect_words"):
            settings[name] = text_hash(json.dumps(settings[name], sort_keys=True))
        version = str(settings.pop("draws"))
        return settings | {"roles": list(self.roles), "protect": list(self.protect), "version": version}

    def noiser(self, language, scale=1.0, factors=None):
        return Noiser(
            self.op,
            None if self.rate is not None else self.level,
            language,
            self.seed,
            rate=self.rate,
            script=None if language in SCRIPT_OF else self.script or "Latn",
            table=self.table,
            one_token=one_tag_per_token(self.task),
            scale=scale,
            patterns=self.protect,
            words=self.protect_words,
            factors=factors,
            draws=self.draws,
        )

    def target(self):
        return OPERATIONS[self.op].rates[self.level] if self.rate is None else self.rate

    def output(self):
        return Path(self.output_dir, self.condition, self.path)

    def record(self, suffix):
        return Path(self.output_dir, ".perturb", self.condition, self.path + suffix)

    def scratch(self):
        """The folder of this file's pieces, which no other process has, also on another machine."""
        name = text_hash(f"{self.condition}/{self.path}")[:16]
        return Path(self.output_dir, ".perturb", "tmp", f"{name}.{platform.node()}.{os.getpid()}")


def text_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(record):
    """What a record must carry to be believed: the hash of all that it says (settings, input, what was computed), of
    the keyboards, and of the tokenizer that counted for it.
    """
    said = json.dumps({name: value for name, value in record.items() if name != "key"}, sort_keys=True)
    tokenizer = record["tokenizer"] and hash_once(tokenizer_file(record["tokenizer"]))
    return text_hash(f"{said} {hash_once(Path(__file__).with_name('keyboards.json'))} {tokenizer}")


hash_once = cache(sha256)  # of files that do not change while a process runs


def finished(file):
    """The record of a file that is there with its edits and was made from the same input with the same settings; else
    None. The hashes are those of what was computed, not of what then lay on the disk.
    """
    try:
        record = json.loads(file.record(".json").read_bytes())
        if record["key"] != key_of(record) or any(
            record.get(name) != value for name, value in file.settings().items()
        ):
            return None
        if "not_applicable" in record:
            return record
        contents = sha256(file.output()), sha256(file.record(".edits.gz"))
        return record if contents == (record["output_sha256"], record["edits_sha256"]) else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Its pieces, which processes share


class Shard(NamedTuple):
    file: NoisedFile
    scale: float
    factors: dict  # of the shares of `mixed`
    begin: int  # bytes of the source
    end: int
    number: int  # of its first chunk
    part: str  # temporary file; the edits go to part + ".edits"


def shards_of(file, scale, factors, pieces, folder):
    """Shards of about equal size that begin and end at borders of chunks. SQuAD JSON stays in one."""
    size, read = os.path.getsize(file.source), chunks_of(file)
    borders = [(0, 0)]  # (byte, number of the chunk that begins there)
    if pieces > 1 and read is not paragraph_chunks:
        inner_borders = line_borders if read is line_chunks else sentence_borders
        with open(file.source, "rb") as source:
            borders += inner_borders(source, size, pieces)
    borders = [border for border in borders if border[0] < size or border == (0, 0)]
    ends = [begin for begin, _ in borders[1:]] + [size]
    return [
        Shard(file, scale, factors, begin, end, number, str(folder / f"{index}"))
        for index, ((begin, number), end) in enumerate(zip(borders, ends))
    ]


def line_borders(source, size, pieces):
    """Borders between `pieces` shards of lines, found by counting line breaks."""
    number = 0
    for goal in range(size // pieces, size - size // pieces + 1, size // pieces or 1):
        while source.tell() < goal:
            number += source.read(min(1 << 20, goal - source.tell())).count(b"\n")
        number += bool(source.readline())
        yield source.tell(), number


def sentence_borders(source, size, pieces):
    """Borders between `pieces` shards of tagged sentences, found by reading them."""
    end, borders = 0, 1
    for number, chunk in enumerate(sentence_chunks(source, source.name), start=1):
        end += len(chunk.encode())
        if end >= borders * size / pieces:
            borders += 1
            yield end, number


class Recorder:
    """The `put` of noise/formats.py for one shard: noises a text, counts, and logs its edits."""

    def __init__(self, shard, log):
        file = self.file = shard.file
        self.scale, self.factors, self.log = shard.scale, shard.factors, log
        self.counts, self.samples, self.noisers, self.lines = Counter(), [], {}, []
        self.example, self.changed, self.mixed = None, False, file.op == "mixed" and file.draws > 1
        self.start = f"{file.task}|{file.split}|"
        self.about = json.dumps({name: getattr(file, name) for name in ("condition", "task", "split")})[:-1]
        self.survives = survival(file.tokenizer) if file.tokenizer else None

    def noiser(self, language):
        """The language's Noiser; None where the operation does not apply to one language of a file with several."""
        if language not in self.noisers:
            script = SCRIPT_OF.get(language, self.file.script or "Latn")
            applies = not not_applicable(self.file.op, language, script, self.file.table)
            self.noisers[language] = self.file.noiser(language, self.scale, self.factors) if applies else None
        return self.noisers[language]

    def __call__(self, name, field, text, spans=(), protect=(), language=None):
        counts, language = self.counts, language or self.file.language
        if name != self.example:
            self.example, self.changed = name, False
            counts["examples"] += 1
        noiser = self.noiser(language)
        if noiser is None:
            return text, list(spans)
        noised = noiser.noise(text, f"{self.start}{name}|{field}|{self.file.replicate}", spans, protect)
        counts["size"] += noised.size
        counts["spent"] += noised.spent
        counts["texts"] += 1
        if not noised.edits:
            counts["tokens_kept"] += 1
            return text, noised.spans
        counts["changed"] += not self.changed
        self.changed = True
        counts["edits"] += len(noised.edits)
        if self.mixed:
            for op in noised.ops:
                counts[language, op] += 1
        # Most edits are within words: then there is no need to count them.
        within = all([old.split() == [old] and new.split() == [new] for _, old, new in noised.edits])
        counts["tokens_kept"] += within or len(text.split()) == len(noised.text.split())
        if self.survives:
            counts["survived"] += sum(self.survives(text, edit) for edit in noised.edits)
        if len(self.samples) < SAMPLES:
            self.samples.append([text[:200], noised.text[:200]])
        about = f'{self.about}, "language": "{language}", "id": {ASCII(name)}, "field": "{field}"'
        edits = ", ".join([f"[{start}, {QUOTE(old)}, {QUOTE(new)}]" for start, old, new in noised.edits])
        self.lines.append(f'{about}, "edits": [{edits}]}}\n')
        if len(self.lines) >= LOG_LINES:
            self.flush()
        return noised.text, noised.spans

    def flush(self):
        self.log.write("".join(self.lines).encode())
        self.lines.clear()


def tokenizer_file(path):
    return Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)


@cache  # reading a large tokenizer.json takes seconds
def survival(path):
    """survives(text, edit): whether this edit alone still makes a difference after the tokenizer's normalizer."""
    from tokenizers import Tokenizer  # only --tokenizer needs this package

    normalizer = Tokenizer.from_file(str(tokenizer_file(path))).normalizer
    normalize = normalizer.normalize_str if normalizer else str

    def survives(text, edit):
        before, after = text[max(0, edit.start - 20) : edit.start], text[edit.start + len(edit.old) :][:20]
        return normalize(before + edit.old + after) != normalize(before + edit.new + after)

    return survives


def noise_shard(shard):
    """Noise one piece of a file into a part file; returns its counts, its samples and the part's hash."""
    file = shard.file
    noise_chunk, read = FORMATS[LAYOUTS[file.task].format], chunks_of(file)
    digest, written = hashlib.sha256(), 0
    with (
        open(file.source, "rb") as source,
        open(shard.part, "wb") as target,
        gzip.GzipFile(f"{shard.part}.edits", "wb", 1, mtime=0) as log,
    ):
        put = Recorder(shard, log)
        source.seek(shard.begin)
        for number, chunk in enumerate(read(source, file.source, shard.end), start=shard.number):
            noised = noise_chunk(chunk, number, file, put).encode()
            target.write(noised)
            digest.update(noised)
            written += len(noised)
            if written >= progress.STEP:
                progress.count(written)
                written = 0
        progress.count(written)
        put.flush()
    return put.counts, put.samples, digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# The whole file


def noise_file(file, run=map, pieces=1):
    """Noise one file; writes it, its edits and its record, and returns the record. `run` maps noise_shard over shards.

    It depends on the file alone, not on order, shards or processes. Raises NoiseError for a broken or empty file.
    """
    folder = file.scratch()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def draw(scale, factors, again=True):
        progress.count(more=os.path.getsize(file.source) if again else 0)
        results = list(run(noise_shard, shards_of(file, scale, factors, pieces, folder)))
        counts = sum((counts for counts, _, _ in results), Counter())
        if not counts["examples"]:
            raise NoiseError(
                f"{file.source}: the file is empty: no paragraph, row or line to noise; download it again"
            )
        return counts, [sample for _, samples, _ in results for sample in samples], [part for *_, part in results]

    scale, (counts, samples, digests) = calibrate(draw, file)
    record = record_of(file, scale, counts) | {"samples": samples[:SAMPLES]}
    if file.target() and not counts["edits"]:
        record["not_applicable"] = "nothing in the file that it could change"
        file.output().unlink(missing_ok=True)
    else:
        parts = [folder / f"{index}" for index in range(len(digests))]
        record["output_sha256"] = concatenate(parts, file.output(), digests)
        record["edits_sha256"] = concatenate([Path(f"{part}.edits") for part in parts], file.record(".edits.gz"))
    write_record(file, record)
    shutil.rmtree(folder, ignore_errors=True)
    return record


def write_record(file, record):
    """Write a file's record with its key; NoiseError where the source is no longer the text that it vouches for."""
    if sha256(file.source) != file.input_sha256:
        file.record(".json").unlink(missing_ok=True)
        raise NoiseError(f"{file.source}: changed while it was noised; run the same command again when it is whole")
    record["key"] = key_of(record)
    write_text(file.record(".json"), json.dumps(record, ensure_ascii=False))


def record_of(file, scale, counts):
    """What the manifest says about a file, but for its hashes."""
    names = ("size", "spent", "edits", "texts", "examples", "changed", "tokens_kept")
    record = {
        **file.settings(),
        "unit": "graphemes" if OPERATIONS[file.op].places is None else "places",
        "target": file.target(),
        "realised": round(rate_of(counts), 6),
        "scale": round(scale, 6),
        **{name: counts[name] for name in names},
    }
    if ops := ops_of(counts):
        record["shares"] = {op: round(count / counts["edits"], 4) for op, count in ops.most_common()}
    if file.tokenizer:
        record["survived"] = counts["survived"]
    return record
