"""perturb.py: every file format, labels, determinism, resuming, what it leaves behind, bad input, its README."""

import gzip
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from noise_checks import error_rate, kept, new_faults

import perturb
from noise import noised_file
from noise.files import concatenate
from noise.json_spans import places_of, replaced
from noise.layouts import LAYOUTS, match
from noise.operations import EDIT, GAP, LOOKALIKE, OPERATIONS, WORD, not_applicable
from noise.tables import LANGUAGES, SCRIPT_OF

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared/data"
shared = [pytest.mark.shared, pytest.mark.skipif(not REAL.is_dir(), reason="the real data copy is not here")]

EN = "The committee met on Tuesday and decided to postpone the vote until 14 members had returned."
DE = "Der Ausschuss tagte am Dienstag und beschloss, die Abstimmung über 14 Punkte zu verschieben."
TH = "คณะกรรมการประชุมกันเมื่อวันอังคารและตัดสินใจเลื่อนการลงคะแนนออกไป"
ZH = "委员会星期二开会，决定把投票推迟到十四名成员回来以后再进行。"
CONTEXT = f"{EN} {DE} Nobody at https://example.org/x answered. The treaty was signed in Vienna by Anna Meier in 1955."
N = 40


def answer(text):
    return {"text": text, "answer_start": CONTEXT.index(text)}


def squad(indent=None, ensure_ascii=False):
    questions = [
        {
            "question": f"When was treaty number {i} of the committee signed?",
            "id": f"q{i}",
            "answers": [answer("1955")],
        }
        for i in range(N)
    ]
    questions[0]["answers"] += [answer("Vienna by Anna Meier"), answer("Vienna")]
    paragraphs = [{"context": CONTEXT, "qas": questions[i : i + 4]} for i in range(0, N, 4)]
    return json.dumps(
        {"version": "1.1", "data": [{"title": "a {b", "paragraphs": paragraphs}]},
        indent=indent,
        ensure_ascii=ensure_ascii,
    )


def json_lines(**row):
    return "".join(json.dumps({**row, "idx": i}, ensure_ascii=False) + "\n" for i in range(N))


VIENNA = CONTEXT.index("Vienna")
MENTION = {
    "context": {"text": CONTEXT, "language": "en", "sentence_spans": [{"start": 0, "end": len(EN)}]},
    "mention": {
        "example_id": "m1",
        "mention_span": {"start": VIENNA, "end": VIENNA + 6, "text": "Vienna"},
        "entity_id": "Q1",
    },
}
TAGGED = "".join(
    "".join(f"{word}\t{'B-LOC' if word[0].isupper() else 'O'}\n" for word in EN.split()) + "\n" for _ in range(N)
)
FILES = {
    "xnli/test-en.tsv": "\ufeff" + "".join(f'{EN}\t"Quoted" {DE}\tneutral\r\n' for _ in range(N)),
    "xnli/test-de.tsv": "".join(f"{DE}\t\tentailment\n" for _ in range(N)) + f"{DE}\t{DE}\tneutral",
    "xnli/test-th.tsv": "".join(f"{TH}\t{TH}\tneutral\n" for _ in range(N)),
    "xnli/dev-en.tsv": f"{EN}\t{EN}\tneutral\n",
    "pawsx/test-en.tsv": "".join(f"{EN}\t{EN}\t1\n" for _ in range(N)),
    "panx/test-en.tsv": TAGGED,
    "panx/test-zh.tsv": "".join("".join(f"{char}\tO\n" for char in ZH) + "\n" for _ in range(N)),
    "udpos/test-de.tsv": TAGGED.replace("\n", "\r\n"),
    "xquad/xquad.en.json": squad(),
    "xquad/xquad.de.json": squad(indent=2, ensure_ascii=True),
    "mlqa/MLQA_V1/test/test-context-en-question-de.json": squad(),
    "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.en.dev.json": squad(indent=1),
    "lareqa/xquad-r/en.json": squad().replace(
        '"qas":', f'"sentence_breaks": [[0, {len(EN)}]], "sentences": {json.dumps([EN])}, "qas":'
    ),
    "bucc2018/de-en.test.de": "".join(f"de-{i}\t{DE}\n" for i in range(N)),
    "bucc2018/de-en.test.en": "".join(f"en-{i}\t{EN}\n" for i in range(N)),
    "bucc2018/de-en.test.gold": "de-1\ten-1\n",
    "bucc2018/de-en.dev.gold": "de-2\ten-2\n",
    "tatoeba/de-en.de": f"{DE}\n" * N,
    "tatoeba/de-en.en": f"{EN}\n" * N,
    "xcopa/test-th.jsonl": json_lines(premise=TH, choice1=TH, choice2="เขา", question="cause", label=0),
    "mewslix/wikinews_mentions/test-de.jsonl": (json.dumps(MENTION, ensure_ascii=False) + "\n") * 5,
    "intermediate/mnli/test.jsonl": json_lines(premise=EN, hypothesis=EN, label=1),
    "intermediate/hellaswag/test.jsonl": json_lines(
        ctx_a=EN, ctx_b="they", ctx=f"{EN} they", endings=[EN, "sang."], label="1"
    ),
    "intermediate/commonsense_qa/test.jsonl": json_lines(
        question=EN, choices={"label": ["A", "B"], "text": ["table", EN]}, answerKey="A"
    ),
    "intermediate/cosmos_qa/test.jsonl": json_lines(
        context=EN, question=EN, **{f"answer{i}": EN for i in range(4)}, label=2
    ),
    "intermediate/ccg/test.jsonl": json_lines(tokens=EN.split(), tags=["N"] * len(EN.split())),
    "intermediate/squad/test.jsonl": json_lines(
        id="s", context=CONTEXT, question=EN, answers={"text": ["1955"], "answer_start": [CONTEXT.index("1955")]}
    ),
}


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), FILES)


def run(data, out, flags="--ops keyboard --levels 3"):
    perturb.main(["--data_dir", str(data), "--output_dir", str(out), *flags.split()])
    return json.loads((out / "manifest.json").read_text())


@pytest.fixture(scope="module")
def noised(data, tmp_path_factory):
    """All formats under two operations."""
    out = tmp_path_factory.mktemp("noised") / "out"
    run(data, out, "--ops mixed invisible --levels 0 3")
    return out


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def log_of(out):
    with gzip.open(out / "edits.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_every_file_is_found_and_noised(data, noised):
    wanted = {name for name in FILES if "dev" not in name or "tydiqa" in name}
    kept_whole = {"bucc2018/de-en.test.en", "bucc2018/de-en.test.gold", "bucc2018/de-en.dev.gold", "tatoeba/de-en.en"}
    refused = {"pawsx/test-en.tsv"}  # `mixed` deletes and swaps
    contents = files_in(noised / "mixed-3")
    assert contents.keys() == wanted - refused | kept_whole
    assert {name for name in contents if contents[name] == (data / name).read_bytes()} == kept_whole
    assert (noised / "invisible-3/pawsx/test-en.tsv").exists()


def test_level_0_is_byte_identical(data, noised):
    for name, content in files_in(noised / "invisible-0").items():
        assert content == (data / name).read_bytes()
    assert len(files_in(noised / "invisible-0")) == len(FILES) - 1


@pytest.mark.parametrize(
    "name",
    [
        "xnli/test-en.tsv",
        "xnli/test-de.tsv",
        "xnli/test-th.tsv",
        "tatoeba/de-en.de",
        "bucc2018/de-en.test.de",
        "udpos/test-de.tsv",
        "panx/test-zh.tsv",
    ],
)
def test_everything_but_the_texts_is_byte_identical(noised, name):
    text_is_last = name.startswith(("tatoeba", "bucc2018"))
    clean, lines = FILES[name].encode().split(b"\n"), (noised / "mixed-3" / name).read_bytes().split(b"\n")
    for old, new in zip(clean, lines, strict=True):
        assert old.endswith(b"\r") == new.endswith(b"\r")
        assert old.startswith(b"\xef\xbb\xbf") == new.startswith(b"\xef\xbb\xbf")
        old, new = old.decode().split("\t"), new.decode().split("\t")
        assert len(old) == len(new) and (text_is_last or old[-1] == new[-1])
        for before, after in zip(old, new):
            assert not new_faults(before, after) and kept(before) == kept(after)
            assert bool(before.strip()) == bool(after.strip())


def test_log_replays_and_counts(noised, data):
    names = ("condition", "task", "language", "id", "field")
    edits = {tuple(line[name] for name in names): line["edits"] for line in log_of(noised)}
    clean = FILES["tatoeba/de-en.de"].splitlines()
    for index, line in enumerate((noised / "mixed-3/tatoeba/de-en.de").read_text(encoding="utf-8").splitlines()):
        text = clean[index]
        for start, old, new in reversed(edits.get(("mixed-3", "tatoeba", "de", str(index), "queries"), [])):
            assert text[start : start + len(old)] == old
            text = text[:start] + new + text[start + len(old) :]
        assert text == line
    manifest = json.loads((noised / "manifest.json").read_text())
    assert sum(file["edits"] for file in manifest["files"]) == sum(len(line["edits"]) for line in log_of(noised))


def test_json_keeps_its_spelling(noised):
    for name in ("xquad/xquad.en.json", "xquad/xquad.de.json", "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.en.dev.json"):
        clean, new = json.loads(FILES[name]), (noised / "mixed-3" / name).read_text(encoding="utf-8")
        value = json.loads(new)
        for paragraph, old in zip(value["data"][0]["paragraphs"], clean["data"][0]["paragraphs"]):
            assert paragraph["context"] == old["context"]
            for question, before in zip(paragraph["qas"], old["qas"]):
                question["question"] = before["question"]
        assert value == clean and new.isascii() == FILES[name].isascii() and new.count("\n") == FILES[name].count("\n")


@pytest.mark.parametrize("mode", ["context-protect", "context-all"])
def test_answers_stay_slices(data, tmp_path, mode):
    run(data, tmp_path / "out", f"--ops mixed delete --levels 5 --tasks xquad mlqa tydiqa lareqa squad --qa {mode}")
    changed = 0
    for name in [name for name in FILES if match(name).task in ("xquad", "mlqa", "tydiqa", "lareqa")]:
        for op in ("mixed-5", "delete-5"):
            noised = json.loads((tmp_path / "out" / op / name).read_bytes())["data"][0]["paragraphs"]
            for paragraph, before in zip(noised, json.loads(FILES[name])["data"][0]["paragraphs"], strict=True):
                context = paragraph["context"]
                assert context != before["context"]
                for (start, end), sentence in zip(
                    paragraph.get("sentence_breaks", []), paragraph.get("sentences", []), strict=True
                ):
                    assert context[start:end] == sentence != EN
                for question, clean in zip(paragraph["qas"], before["qas"], strict=True):
                    assert question["question"] == clean["question"] and question["id"] == clean["id"]
                    assert question.get("answers_clean") == (clean["answers"] if mode == "context-all" else None)
                    for new, old in zip(question["answers"], clean["answers"], strict=True):
                        assert new["text"] and context[new["answer_start"] :].startswith(new["text"])
                        changed += new["text"] != old["text"]
    assert (changed > 0) == (mode == "context-all")
    for line in (tmp_path / "out/mixed-5/intermediate/squad/test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        start, text = row["answers"]["answer_start"][0], row["answers"]["text"][0]
        assert row["context"] != CONTEXT and row["context"][start:].startswith(text)


def test_json_is_read_in_blocks(tmp_path):
    """Paragraphs and strings lie across the borders of 1 MiB blocks; memory holds one paragraph."""
    document = json.loads(squad())
    document["data"] *= 300
    text = json.dumps(document, ensure_ascii=True)
    assert len(text) > 2 << 20
    data = write(tmp_path / "data", {"xquad/xquad.en.json": text})
    run(data, tmp_path / "out", "--ops delete --levels 3 --qa context-protect")
    noised = json.loads((tmp_path / "out/delete-3/xquad/xquad.en.json").read_text())
    paragraphs = [paragraph for article in noised["data"] for paragraph in article["paragraphs"]]
    contexts = {paragraph["context"] for paragraph in paragraphs}
    assert len(paragraphs) == 3000 and len(contexts) <= 10 and CONTEXT not in contexts  # the same ids repeat 300 times
    answers = [(p["context"], a) for p in paragraphs for q in p["qas"] for a in q["answers"]]
    assert len(answers) == 300 * (N + 2)
    assert all(context[a["answer_start"] :].startswith(a["text"]) for context, a in answers)


def test_mention_is_kept(noised):
    for line in (noised / "mixed-3/mewslix/wikinews_mentions/test-de.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        span, text = row["mention"]["mention_span"], row["context"]["text"]
        assert text[span["start"] : span["end"]] == "Vienna" == span["text"] and text != CONTEXT
        assert row["mention"]["entity_id"] == "Q1" and row["context"]["sentence_spans"][0]["start"] == 0


def test_rows_keep_their_labels(noised):
    for name in [name for name in FILES if name.endswith(".jsonl") and "mewslix" not in name and "squad" not in name]:
        lines = (noised / "mixed-3" / name).read_text(encoding="utf-8").splitlines()
        for old, new in zip(map(json.loads, FILES[name].splitlines()), map(json.loads, lines), strict=True):
            assert list(old) == list(new)
            assert all(old[key] == new[key] for key in ("label", "idx", "answerKey", "tags") if key in old)
            if "ctx" in new:
                assert new["ctx"] == f"{new['ctx_a']} {new['ctx_b']}" and len(new["endings"]) == 2
            if "tokens" in new:
                assert len(new["tokens"]) == len(new["tags"]) and all(new["tokens"])
            if "choices" in new:
                assert new["choices"]["label"] == ["A", "B"]


@pytest.mark.parametrize("name", ["panx/test-en.tsv", "panx/test-zh.tsv", "udpos/test-de.tsv"])
def test_tags_keep_their_tokens(noised, name):
    clean, noised = FILES[name].encode(), (noised / "mixed-3" / name).read_bytes()
    old, new = ([line.split("\t") for line in text.decode().split("\n")] for text in (clean, noised))
    assert [line[1:] for line in old] == [line[1:] for line in new]
    assert [bool(line[0]) for line in old] == [bool(line[0]) for line in new]


def test_fields_choose_what_is_noised(data, tmp_path):
    flags = "--ops delete --levels 5 --tasks xnli xcopa tatoeba --fields hypothesis choices candidates"
    run(data, tmp_path / "out", flags)
    noised = {name: text.decode() for name, text in files_in(tmp_path / "out/delete-5").items()}
    for old, new in zip(FILES["xnli/test-th.tsv"].splitlines(), noised["xnli/test-th.tsv"].splitlines()):
        assert old.split("\t")[0] == new.split("\t")[0]
    row = json.loads(noised["xcopa/test-th.jsonl"].splitlines()[0])
    assert row["premise"] == TH and row["choice1"] != TH
    assert noised["tatoeba/de-en.de"] == FILES["tatoeba/de-en.de"]
    assert noised["tatoeba/de-en.en"] != FILES["tatoeba/de-en.en"]


@pytest.mark.parametrize("op", ["swap", "delete", "inner_shuffle", "full_shuffle", "truncate", "vowels", "mixed"])
def test_pawsx_refuses_what_flips_its_labels(data, tmp_path, op):
    manifest = run(data, tmp_path / "out", f"--ops {op} keyboard --levels 2 --tasks pawsx")
    assert not (tmp_path / f"out/{op}-2").exists() and (tmp_path / "out/keyboard-2/pawsx/test-en.tsv").exists()
    [left_out] = manifest["not_applicable"]
    assert left_out["op"] == op and "flip" in left_out["reason"]


def test_a_language_refused_to_one_task_keeps_the_dev_files_of_bucc(tmp_path):
    """PAWS-X refuses swaps in German; BUCC's threshold is tuned on German dev files all the same."""
    sides = {name: text for name, text in FILES.items() if name.startswith("bucc2018")}
    data = write(tmp_path / "data", {**sides, "pawsx/test-de.tsv": f"{DE}\t{DE}\t1\n" * N})
    [refused] = run(data, tmp_path / "out", "--ops swap --levels 2")["not_applicable"]
    assert (refused["task"], refused["language"]) == ("pawsx", "de")
    copy = tmp_path / "out/swap-2/bucc2018/de-en.dev.gold"
    assert copy.read_text() == FILES["bucc2018/de-en.dev.gold"]


def test_not_applicable_is_no_file_but_an_entry(data, tmp_path):
    manifest = run(data, tmp_path / "out", "--ops case swap keyboard --levels 2 --tasks xnli panx")
    reasons = {(left["op"], left["task"], left["language"]): left["reason"] for left in manifest["not_applicable"]}
    assert reasons["case", "xnli", "th"] == "does not apply to the script Thai"
    assert "nothing in the file" in reasons["swap", "panx", "zh"]
    assert ("keyboard", "panx", "zh") in reasons
    assert not (tmp_path / "out/case-2/xnli/test-th.tsv").exists()
    assert not (tmp_path / "out/swap-2/panx/test-zh.tsv").exists()
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "n/a: does not apply to the script Thai" in card and card.count("    - ") >= 6


def test_rates_are_the_targets(data, tmp_path):
    flags = "--ops keyboard swap delete insert --levels 1 2 5 --tasks xnli panx udpos tatoeba xquad"
    files = [file for file in run(data, tmp_path / "out", flags)["files"] if file["size"] >= 2000]
    assert len(files) > 40 and all(file["reached"] for file in files)
    for file in files[:6]:
        assert file["realised"] == pytest.approx(file["target"], rel=0.05)
        assert 0 < file["changed_share"] <= 1 and file["tokens_kept_share"] == 1
    noised = (tmp_path / "out/swap-5/tatoeba/de-en.de").read_text(encoding="utf-8").splitlines()
    pairs = list(zip(FILES["tatoeba/de-en.de"].splitlines(), noised))
    assert error_rate(pairs) == pytest.approx(0.15, rel=0.07)


def test_result_is_independent_of_order_processes_and_other_files(data, tmp_path):
    flags = "--ops mixed --levels 2"
    run(data, tmp_path / "all", flags)
    run(data, tmp_path / "two", f"{flags} --num_proc 2")
    document = json.loads(FILES["xquad/xquad.en.json"])
    document["data"][0]["paragraphs"].reverse()
    for paragraph in document["data"][0]["paragraphs"]:
        paragraph["qas"].reverse()
    some = {"xnli/test-th.tsv": FILES["xnli/test-th.tsv"], "xquad/xquad.en.json": json.dumps(document)}
    run(write(tmp_path / "some", some), tmp_path / "some_out", flags)
    one, two, few = (files_in(tmp_path / out / "mixed-2") for out in ("all", "two", "some_out"))
    assert one == two and few["xnli/test-th.tsv"] == one["xnli/test-th.tsv"]
    assert (tmp_path / "all/edits.jsonl.gz").read_bytes() == (tmp_path / "two/edits.jsonl.gz").read_bytes()

    def questions(text):
        return {q["id"]: q["question"] for p in json.loads(text)["data"][0]["paragraphs"] for q in p["qas"]}

    assert questions(few["xquad/xquad.en.json"]) == questions(one["xquad/xquad.en.json"])


def test_shards_of_a_large_file_give_the_same(tmp_path):
    files = {"xnli/test-en.tsv": f"{EN}\t{DE}\tneutral\n" * 3000, "panx/test-en.tsv": TAGGED * 10}
    big = write(tmp_path / "big", files)
    run(big, tmp_path / "one", "--ops delete --levels 2")
    run(big, tmp_path / "three", "--ops delete --levels 2 --num_proc 3")
    assert files_in(tmp_path / "one/delete-2") == files_in(tmp_path / "three/delete-2")
    assert log_of(tmp_path / "one") == log_of(tmp_path / "three")


def test_seeds_and_replicates_are_independent(data, tmp_path):
    run(data, tmp_path / "out", "--ops keyboard --levels 3 --tasks tatoeba --replicates 3")
    run(data, tmp_path / "other", "--ops keyboard --levels 3 --tasks tatoeba --seed 1")
    names = ("out/keyboard-3", "out/keyboard-3-r1", "out/keyboard-3-r2", "other/keyboard-3")
    assert len({(tmp_path / name / "tatoeba/de-en.de").read_bytes() for name in names}) == 4


def test_second_run_does_only_what_is_missing(data, tmp_path, capsys):
    out = tmp_path / "out"
    run(data, out, "--ops delete --levels 2 --tasks xnli")
    before = files_in(out)
    (out / "delete-2/xnli/test-de.tsv").write_text("spoilt")
    run(data, out, "--ops delete --levels 2 --tasks xnli")
    assert "3 files to noise, 2 of them finished before" in capsys.readouterr().out
    after = files_in(out)
    assert {name for name in before if before[name] != after[name]} <= {"manifest.json"}
    manifest = run(data, out, "--ops swap --levels 2 --tasks xnli --languages en")
    assert {file["condition"] for file in manifest["files"]} == {"delete-2", "swap-2"}
    for file in manifest["files"]:
        noised, clean = (out / file["condition"] / file["path"]).read_bytes(), (data / file["path"]).read_bytes()
        assert file["output_sha256"] == hashlib.sha256(noised).hexdigest()
        assert file["input_sha256"] == hashlib.sha256(clean).hexdigest()
    run(data, out, "--ops delete --levels 2 --tasks xnli --seed 5")
    assert (out / "delete-2/xnli/test-en.tsv").read_bytes() != before["delete-2/xnli/test-en.tsv"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_leaves_whole_files_and_continues(tmp_path, how):
    codes = ("de", "fr", "es", "it", "nl", "pt")
    files = {f"tatoeba/{code}-en.{side}": f"{EN}\n" * 1500 for code in codes for side in (code, "en")}
    data, out, flags = write(tmp_path / "data", files), tmp_path / "out", "--ops mixed swap --levels 1 2"
    command = [sys.executable, "perturb.py", "--data_dir", data, "--output_dir", out, *flags.split()]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline and len(list(out.glob("mixed-*/tatoeba/*"))) < 2:
        time.sleep(0.005)
    process.send_signal(how)
    stderr = process.communicate()[1]
    assert process.returncode != 0
    if how == signal.SIGINT:
        assert stderr.count("\n") == 1 and "run the same command again" in stderr
    whole = [path for path in out.glob("*-*/tatoeba/*.*") if not path.name.startswith(".")]
    assert all(path.read_bytes().count(b"\n") == 1500 for path in whole)
    run(data, out, flags)
    run(data, tmp_path / "straight", flags)

    def results(folder):
        files = files_in(folder)
        return {name: files[name] for name in files if name[0] != "." and name not in ("manifest.json", "README.md")}

    assert results(out) == results(tmp_path / "straight")


COPIES = "import sys; sys.path.insert(0, '.'); import perturb; from noise import files; "


def started(code, data, out, flags):
    """A perturb.py whose code was changed before it runs."""
    argv = ["--data_dir", str(data), "--output_dir", str(out), *flags.split()]
    command = [sys.executable, "-c", f"{COPIES}{code}perturb.main({argv!r})"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def same_but_manifests(one, other):
    def contents(folder):
        files = files_in(folder)
        return {name: files[name] for name in files if name[0] != "." and name not in ("manifest.json", "README.md")}

    assert contents(one) == contents(other)


def test_two_runs_at_once_in_one_folder(data, tmp_path):
    """The second is refused while the first is at work; started in turn, both give what one alone gives."""
    flags, out = "--ops mixed --levels 2 --tasks xnli tatoeba", tmp_path / "out"
    first = started("perturb.finished = lambda file: perturb.signal.pause();", data, out, flags)
    lock = out / ".perturb/lock"
    while first.poll() is None and not (lock.exists() and lock.read_text()):
        time.sleep(0.01)
    second = started("", data, out, flags)
    told = second.communicate(timeout=20)[1]
    assert second.returncode == 2 and told.count("\n") == 1 and f"at work in it (process {first.pid} on" in told
    assert [path.name for path in out.iterdir()] == [".perturb"]
    first.kill()
    first.communicate()
    run(data, out, flags)
    run(data, tmp_path / "straight", flags)
    same_but_manifests(out, tmp_path / "straight")


def test_where_nothing_can_be_locked_two_runs_keep_apart(data, tmp_path):
    """They have scratch folders of their own, and a part that somebody else has changed is no noised file."""
    flags, out = "--ops mixed swap --levels 1 2 --tasks xnli panx tatoeba", tmp_path / "out"
    pair = [started("files.fcntl = None;", data, out, flags) for _ in range(2)]
    for process in pair:
        assert "cannot be locked" in process.communicate(timeout=60)[1] and process.returncode == 0
    run(data, tmp_path / "straight", flags)
    same_but_manifests(out, tmp_path / "straight")
    part = tmp_path / "part"
    part.write_text("noised")
    with pytest.raises(OSError, match="changed after it was written"):
        concatenate([part], tmp_path / "whole", [hashlib.sha256(b"as computed").hexdigest()])
    assert not (tmp_path / "whole").exists()


def test_a_file_whose_record_does_not_vouch_for_what_was_computed_is_made_again(data, tmp_path, capsys):
    """Records of before, with the hash of what lay on the disk, were right about wrong files."""
    out, flags = tmp_path / "out", "--ops delete --levels 2 --tasks xnli --languages en de"
    run(data, out, flags)
    before, records = files_in(out), out / ".perturb/delete-2/xnli"
    (out / "delete-2/xnli/test-de.tsv").write_text("mixed up")
    old = json.loads((records / "test-de.tsv.json").read_text())
    del old["edits_sha256"]
    old["output_sha256"] = hashlib.sha256(b"mixed up").hexdigest()
    (records / "test-de.tsv.json").write_text(json.dumps(old))
    (records / "test-en.tsv.edits.gz").unlink()
    capsys.readouterr()
    run(data, out, flags)
    assert "2 files to noise, 0 of them finished before" in capsys.readouterr().out
    after = files_in(out)
    assert {name for name in before if before[name] != after[name]} <= {"manifest.json"}
    (records / "test-de.tsv.json").write_text('{"version": 1, "con')
    run(data, out, "--ops delete --levels 2 --tasks xnli --languages en")
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "test-de.tsv.json: broken, its file is missing in manifest.json" in error
    manifest = run(data, out, flags)
    assert len(manifest["files"]) == 2 and files_in(out)["README.md"] == before["README.md"]


@pytest.mark.parametrize("large", [False, True])
def test_a_killed_worker_ends_the_run_and_the_rerun_goes_on(tmp_path, large):
    """As the out-of-memory killer does; among the small files that processes share, and in a shard of a large one."""
    size = {"de": 4000 if large else 50}
    codes = "de fr es it nl pt et fi hu tr eu".split()
    files = {f"tatoeba/{code}-en.{code}": f"{EN}\n" * size.get(code, 50) for code in codes}
    data, out, flags = write(tmp_path / "data", files), tmp_path / "out", "--ops swap --levels 1 --num_proc 2"
    owner, name = ("noise.noised_file", "noise_shard") if large else ("perturb", "noise_file")
    code = f"""
import os, signal, multiprocessing, noise.noised_file
{name} = {owner}.{name}
def killed(work, *more):
    file = getattr(work, "file", work)
    if file.language == "de" and multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return {name}(work, *more)
{owner}.{name} = killed
"""
    process = started(code, data, out, flags)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 1 and error.count("\n") == 1, error
    assert "a worker process was killed" in error and "run the same command again to continue" in error
    run(data, out, flags)
    run(data, tmp_path / "straight", flags)
    same_but_manifests(out, tmp_path / "straight")
    assert not list(out.rglob("*.tmp")) and not list((out / ".perturb").glob("tmp/*"))


def test_workers_end_with_their_parent_and_hold_no_lock(data, tmp_path):
    out, flags = tmp_path / "out", "--ops swap --levels 1 --tasks xnli --num_proc 2"
    code = """
import os, time, noise.noised_file
def asleep(shard):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece; print() of two processes may mix
    time.sleep(60)
noise.noised_file.noise_shard = asleep
"""
    process = started(code, data, out, flags)
    numbers = []
    while len(numbers) < 2 and process.poll() is None:
        line = process.stdout.readline().strip()
        numbers += [int(line)] if line.isdecimal() else []
    process.kill()
    process.wait()
    assert len(set(numbers)) == 2
    run(data, out, flags)
    deadline = time.monotonic() + 10
    while any(map(alive, numbers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, numbers))
    process.communicate()


def alive(number):
    """Whether a process runs; one that has ended and waits for its parent's notice does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


DOWNLOADED = '{"notes": {}, "by_hand": {}, "files": {"xtreme/xnli/test-en.tsv": {"rows": 40}}}'


@pytest.mark.parametrize("content", [DOWNLOADED, "[]", '{"files": ', '{"made_by": "somebody"}'])
def test_a_manifest_of_another_tool_is_refused(data, tmp_path, capsys, content):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "manifest.json").write_text(content)
    flags = ["--data_dir", str(data), "--output_dir", str(folder), *"--ops swap --levels 1".split()]
    error = refused(capsys, flags)
    assert f"--output_dir {folder}: its manifest.json was not written by perturb.py; name another folder" in error
    assert (folder / "manifest.json").read_text() == content and len(list(folder.iterdir())) == 1


def test_user_tables(data, tmp_path):
    tables = {
        "dict/de.tsv": "Ausschuss\tcommittee\r\nund\tand\n",
        "errors.tsv": "committee\tcomittee\ncommittee\tcommitee\n",
        "pinyin.tsv": "会\thui\n回\thui\n",
    }
    write(tmp_path, tables)
    run(data, tmp_path / "a", f"--ops codeswitch --levels 5 --tasks xnli --codeswitch {tmp_path}/dict/{{lang}}.tsv")
    assert "committee" in (tmp_path / "a/codeswitch-5/xnli/test-de.tsv").read_text()
    assert not (tmp_path / "a/codeswitch-5/xnli/test-en.tsv").exists()
    run(data, tmp_path / "b", f"--ops profile --levels 5 --tasks xnli --languages en --profile {tmp_path}/errors.tsv")
    text = (tmp_path / "b/profile-5/xnli/test-en.tsv").read_text()
    assert "comittee" in text and "commitee" in text
    run(data, tmp_path / "c", f"--ops ime --rate 0.02 --tasks panx --languages zh --ime {tmp_path}/pinyin.tsv")
    assert "回\tO" in (tmp_path / "c/ime-rate0.02/panx/test-zh.tsv").read_text()


def test_survival_rate(data, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a"))
    normalizers = tokenizers.normalizers
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    manifest = run(data, tmp_path / "out", f"--ops case keyboard --levels 3 --tasks tatoeba --tokenizer {tmp_path}")
    assert {file["op"]: file["survival_rate"] for file in manifest["files"]} == {"case": 0.0, "keyboard": 1.0}


@pytest.mark.parametrize(
    "name, builder, options",
    [
        ("intermediate/mnli/test.jsonl", "json", {}),
        ("xcopa/test-th.jsonl", "json", {}),
        ("xnli/test-th.tsv", "csv", {"delimiter": "\t", "header": None}),
    ],
)
def test_datasets_reads_the_noised_files(noised, tmp_path, name, builder, options):
    datasets = pytest.importorskip("datasets")
    path = str(noised / "mixed-3" / name)
    assert len(datasets.load_dataset(builder, data_files=path, split="train", cache_dir=str(tmp_path), **options)) == N


def test_long_lines_and_strange_characters(tmp_path):
    """Lines of a million characters, and control characters that are no line ends."""
    strange = f"a\x00b c\u2028d e\x85f\n\n'{EN} 👩‍👧 ไทย हिन्दी\n"
    texts = "wort " * 200_000 + f"\n{strange}" + "@a b " * 20_000 + "\n"
    data = write(tmp_path / "data", {"tatoeba/de-en.de": texts, "tatoeba/de-en.en": "x\n" * 5})
    run(data, tmp_path / "out", "--ops mixed --levels 5")
    assert (tmp_path / "out/mixed-5/tatoeba/de-en.de").read_bytes().count(b"\n") == 5


def test_json_places():
    text = ' {"a" : [1, {"b\\"": "x\\u00e9"}, null, []], "c": {}, "d": -1.5e3}'
    places = {path: text[start:end] for path, (start, end) in places_of(text).items()}
    assert places["a", 1, 'b"'] == '"x\\u00e9"' and places["a", 2] == "null"
    assert places["d",] == "-1.5e3" and places["c",] == "{}"
    values = {("a", 1, 'b"'): "é", ("d",): 7}
    assert json.loads(replaced(text, values)) == {"a": [1, {'b"': "é"}, None, []], "c": {}, "d": 7}


# --- the command line and the copyable tool


def python(*arguments, **options):
    return subprocess.run([sys.executable, *map(str, arguments)], stderr=subprocess.PIPE, text=True, **options)


def test_help_loads_no_large_package():
    large = {"datasets", "numpy", "tokenizers", "torch", "transformers"}
    code = f"import atexit, sys, perturb; atexit.register(lambda: print({large} & set(sys.modules))); "
    done = python("-c", f"{code} perturb.main(['--help'])", cwd=ROOT, stdout=subprocess.PIPE)
    assert done.returncode == 0 and "--num_proc" in done.stdout and done.stdout.endswith("set()\n")


def test_data_behind_links_is_found_and_a_loop_of_links_ends(data, tmp_path):
    """Folders of tasks, single files and a whole tree as links, also to each other and to a folder around them."""
    linked = tmp_path / "linked"
    (linked / "parallel").mkdir(parents=True)
    write(tmp_path / "elsewhere", {"news/de.txt": f"{DE}\n" * N, "news/en.txt": f"{EN}\n" * N})
    (linked / "parallel" / "news").symlink_to(tmp_path / "elsewhere" / "news")
    (linked / "xnli").symlink_to(data / "xnli")
    (linked / "panx").mkdir()
    (linked / "panx" / "test-en.tsv").symlink_to(data / "panx" / "test-en.tsv")
    (linked / "gone").symlink_to(tmp_path / "nowhere")
    (linked / "around").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "news" / "self").symlink_to(linked)
    for one, other in (("a", "b"), ("b", "a")):
        (linked / one).mkdir()
        (linked / one / "loop").symlink_to(linked / other)
    run(linked, tmp_path / "out", "--ops swap --levels 3")
    run(data, tmp_path / "plain", "--ops swap --levels 3 --tasks xnli panx")
    written, expected = (files_in(tmp_path / out / "swap-3") for out in ("out", "plain"))
    assert written.keys() == {
        *(name for name in FILES if name.startswith("xnli/test")), "panx/test-en.tsv", "parallel/news/de.txt",
        "parallel/news/en.txt",
    }  # fmt: skip
    assert all(written[name] == content for name, content in expected.items() if name in written)


@pytest.fixture
def with_uroman(monkeypatch):
    """As if the optional package were installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: name == "uroman" or find(name, *rest))


def test_a_terminal_shows_the_progress(data, tmp_path):
    """A bar for the bytes of all files, which the processes count."""
    leader, terminal = os.openpty()
    flags = ("--data_dir", data, "--output_dir", tmp_path / "out", *"--ops swap --levels 2 --num_proc 2".split())
    command = [sys.executable, "perturb.py", *map(str, flags)]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=terminal, check=True)
    os.close(terminal)
    shown = os.read(leader, 1 << 16).decode().split("\r")
    os.close(leader)
    files = len(json.loads((tmp_path / "out/manifest.json").read_text())["files"]) + 1  # one has no place for a swap
    assert re.match(rf"\[#+\] 100%, {files}/{files} files, 0:\d\d", [line for line in shown if line.strip()][-1]), (
        shown
    )


def test_list_is_complete(capsys, with_uroman):
    perturb.main(["--list"])
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    for op in OPERATIONS:
        own, _, user = listed[op].partition("with --")
        for part, table in ((own, None), (user.partition(": ")[2], {"a": ["b"]})):
            names = set(re.sub(r"^all( but)?|;", "", part).split())
            named = SCRIPT_OF.keys() - names if part.startswith("all") else names
            needs = (
                {lang for lang, script in SCRIPT_OF.items() if not_applicable(op, lang, script)} if table else set()
            )
            applies = {lang for lang, script in SCRIPT_OF.items() if not not_applicable(op, lang, script, table)}
            assert named == (applies & needs if table else applies), op


@pytest.mark.parametrize("flag", ["--help", "--list"])
def test_reader_that_has_gone_is_no_error(flag):
    """As with `| head -1`, only that here the reader goes before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        done = python("perturb.py", flag, cwd=ROOT, stdout=stdout)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def copied_tool(tmp_path):
    """perturb.py and noise/ alone in a folder."""
    shutil.copy(ROOT / "perturb.py", tmp_path)
    shutil.copytree(ROOT / "noise", tmp_path / "noise")
    return {"cwd": tmp_path, "stdout": subprocess.PIPE, "env": {**os.environ, "PYTHONPATH": ""}}


def test_standalone_copy_runs(data, tmp_path, copied_tool):
    blocked = "('tasks', 'common', 'torch', 'transformers', 'datasets', 'tokenizers', 'numpy')"
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import perturb; perturb.main(sys.argv[1:])"
    flags = ("--data_dir", data, "--output_dir", tmp_path / "out", "--ops", "mixed", "--tasks", "xnli")
    assert python("-c", code, *flags, **copied_tool).returncode == 0
    assert (tmp_path / "out/mixed-1/xnli/test-en.tsv").exists()


def test_without_regex_it_says_what_to_install(copied_tool):
    code = "import sys; sys.modules['regex'] = None; import perturb; perturb.main(['--list'])"
    done = python("-c", code, **copied_tool)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "pip install regex" in done.stderr


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=shared) for mode in ("question", "context-all")])
def test_real_data_of_every_task(tmp_path, mode):
    tasks = "xquad mlqa lareqa" if mode == "context-all" else "pawsx xcopa panx tatoeba bucc2018"
    flags = f"--ops keyboard --levels 2 --tasks {tasks} --qa {mode} --num_proc 2"
    manifest = run(REAL / "xtreme", tmp_path / "out", flags)
    assert len(manifest["files"]) >= 20 and all(file["reached"] for file in manifest["files"] if file["size"] >= 2000)
    for file in manifest["files"]:
        folders = (REAL / "xtreme", tmp_path / "out/keyboard-2")
        old, new = ((folder / file["path"]).read_text(encoding="utf-8") for folder in folders)
        assert old != new and old.count("\n") == new.count("\n") and old.count("\t") == new.count("\t")


# --- noise/README.md

README = (ROOT / "noise/README.md").read_text(encoding="utf-8")


def table_of(first):
    """The lines of the README's table whose first column is called so, as lists of columns."""
    lines = README[README.index(f"\n| {first} |") + 1 :].split("\n\n")[0].splitlines()
    return [[column.strip() for column in line.strip("|").split("|")] for line in lines[2:]]


def test_readme_names_every_flag_and_its_commands_parse():
    flags = set(re.findall(r"--\w+", perturb.build_parser().format_usage()))
    others = ("benchmarks/noise.py", "run_xtreme.py", "The run scripts", "pip ")
    text = "\n".join(line for line in README.splitlines() if not any(other in line for other in others))
    assert set(re.findall(r"(?<![\w-])--[a-z_]+", text)) == flags
    commands = [line for line in re.findall(r"^ *(?:\S*time .*)?python perturb.py (.*)$", README, re.M)]
    assert len(commands) >= 4
    for command in commands:
        args = perturb.build_parser().parse_args(shlex.split(command, comments=True))
        assert args.list or (args.data_dir and args.output_dir and set(args.ops) <= OPERATIONS.keys())


def test_readme_describes_every_operation(with_uroman):
    levels = {EDIT: "edit", LOOKALIKE: "look-alike", GAP: "gap", WORD: "word"}
    lines = {op.strip("`"): columns for op, *columns in table_of("operation")}
    assert list(lines) == list(OPERATIONS)
    for op, (what, level, scripts, source) in lines.items():
        operation = OPERATIONS[op]
        assert (what, level, source) == (operation.what, levels[operation.rates], operation.source)
        table = {"a": ["b"]} if operation.table else None
        assert (f"`--{operation.table}`" in scripts) == bool(operation.table)
        listed = set(re.findall(r"\b[A-Z]\w{3}\b", scripts))
        applies = {
            script
            for script, codes in LANGUAGES.items()
            if not all(not_applicable(op, code, script, table) for code in codes.split())
        }
        assert applies == (set(LANGUAGES) - listed if scripts.startswith("all") else listed)
    assert {name: tuple(map(float, rates)) for name, *rates, _ in table_of("levels")} == {
        name: rates[1:] for rates, name in levels.items()
    }


def test_readme_names_every_task_and_field_of_the_manifest(noised):
    assert set(re.findall(r"`(\w+)`", " ".join(columns[0] for columns in table_of("task")))) == LAYOUTS.keys()
    manifest = json.loads((noised / "manifest.json").read_text())
    fields = {field for columns in table_of("field") for field in re.findall(r"`(\w+)`", columns[0])}
    assert fields == {
        *manifest,
        *(field for file in manifest["files"] for field in file),
        "survived",
        "survival_rate",
        "undone",
    }


# --- bad input

BAD = {
    "no op": ("--levels 1", "--ops is missing"),
    "unknown op": ("--ops keybord", "did you mean 'keyboard'"),
    "unknown level": ("--ops swap --levels 6", "--levels 6"),
    "negative level": ("--ops swap --levels -1", "--levels -1"),
    "level in words": ("--ops swap --levels two", "invalid int value: 'two'"),
    "rate": ("--ops swap --rate 1.5", "--rate 1.5"),
    "rate zero": ("--ops swap --rate 0", "--rate 0"),
    "rate nan": ("--ops swap --rate nan", "--rate nan"),
    "replicates": ("--ops swap --replicates 0", "--replicates 0"),
    "num_proc": ("--ops swap --num_proc 0", "--num_proc 0"),
    "unknown task": ("--ops swap --tasks xnlo", "did you mean 'xnli'"),
    "unknown language": ("--ops swap --languages xx", "--languages xx"),
    "split": ("--ops swap --splits tests", "invalid choice: 'tests'"),
    "absent split": ("--ops swap --splits train", "--splits train: no such file"),
    "field": ("--ops swap --fields premises", "invalid choice: 'premises'"),
    "field of no task": ("--ops swap --tasks xnli --fields choices", "--fields choices"),
    "qa mode": ("--ops swap --qa contexts", "invalid choice: 'contexts'"),
    "seed": ("--ops swap --seed x", "invalid int value: 'x'"),
    "abbreviation": ("--op swap", "unrecognized arguments"),
    "stray": ("stray --ops swap", "unrecognized arguments: stray"),
    "table missing": ("--ops profile --profile {out}/none.tsv", "no such file"),
    "table not given": ("--ops profile", "nothing to do: profile needs a table"),
    "table for one column": ("--ops profile --profile {data}/one.tsv", "line 2: 'one'"),
    "table with empty cell": ("--ops profile --profile {data}/empty.tsv", "line 1"),
    "table not utf-8": ("--ops profile --profile {data}/latin1.tsv", "not UTF-8"),
    "tokenizer": ("--ops swap --tokenizer {data}/one.tsv", "--tokenizer"),
    "pawsx alone": ("--ops swap --tasks pawsx", "may flip the labels"),
    "nothing applies": ("--ops jamo --tasks pawsx", "does not apply to the script Latn"),
    "output is input": ("--ops swap --output_dir {data}", "lies inside --data_dir"),
    "output in input": ("--ops swap --output_dir {data}/xnli/out", "lies inside --data_dir"),
    "output is a file": ("--ops swap --output_dir {data}/../file", "is a file"),
    "output below a file": ("--ops swap --output_dir {data}/../file/out", "cannot be written"),
    "output not ours": ("--ops swap --output_dir {data}/../full", "not empty"),
    "no such data": ("--ops swap --data_dir {data}/none", "no such folder"),
    "no data there": ("--ops swap --data_dir {data}/../full", "no file of XTREME's layout"),
}
START = f'"answer_start": {CONTEXT.index("1955")}'
XQUAD, MEWSLIX = "xquad/xquad.en.json", "mewslix/wikinews_mentions/test-de.jsonl"
SPOILT = {
    "not utf-8": (
        "xnli/test-en.tsv",
        b"good\tline\tneutral\nbad \xff\tline\tneutral\n",
        "line 2: byte 0xff is not UTF-8",
    ),
    "four columns": ("xnli/test-en.tsv", "a\tb\tneutral\nHello there\tb\tc\td\n", "line 2: 4 tab-separated columns"),
    "one column": ("xnli/test-en.tsv", "Hello there\n", "line 1: 1 tab-separated columns"),
    "empty file": ("xnli/test-en.tsv", "", "the file is empty"),
    "tag columns": ("panx/test-en.tsv", "word\tO\textra\n\n", "3 tab-separated columns"),
    "bucc id": ("bucc2018/de-en.test.de", "Ein Satz ohne Nummer\n", "line 1: not 2 tab-separated columns"),
    "json cut off": (XQUAD, squad()[:-9], "is the file truncated"),
    "json cut in a string": (XQUAD, squad()[:300], "is the file truncated"),
    "json of another kind": (XQUAD, '{"data": []}', "no paragraph"),
    "json list": (XQUAD, "[]", "no paragraph"),
    "no context": (XQUAD, squad().replace('"context"', '"contexts"'), "no 'context'"),
    "no answers": (XQUAD, squad().replace('"answers"', '"answer"'), "no list 'answers'"),
    "context is a number": (
        XQUAD,
        squad().replace(json.dumps(CONTEXT, ensure_ascii=False), "5"),
        "context '5' is not a text",
    ),
    "span out of range": (XQUAD, squad().replace(START, '"answer_start": 99999'), "does not match its context"),
    "span negative": (XQUAD, squad().replace(START, '"answer_start": -4'), "does not match its context"),
    "span is a text": (XQUAD, squad().replace(START, '"answer_start": "1"'), "does not match its context"),
    "unpaired surrogate": (XQUAD, squad().replace("When was", "When \\ud83d was"), "\\ud... escape"),
    "row cut off": ("xcopa/test-th.jsonl", '{"premise": "a', "line 1: not valid JSON"),
    "row without column": ("xcopa/test-th.jsonl", '{"premise": "a"}\n', "no column 'choice1'"),
    "row is a list": ("xcopa/test-th.jsonl", "[1]\n", "not a JSON object"),
    "number for a text": (
        "xcopa/test-th.jsonl",
        '{"premise": 1, "choice1": "a", "choice2": "b"}\n',
        "premise '1' is not a text",
    ),
    "mention outside": (MEWSLIX, json.dumps(MENTION).replace('"start": 0', '"start": 99999'), "not within the text"),
    "mention missing": (MEWSLIX, '{"context": {"text": "a"}}', "not a row of Mewsli-X"),
    "no mentions": (MEWSLIX, '{"context": {"text": "a"}, "mentions": []}', "not a row of Mewsli-X"),
    "empty token": ("intermediate/ccg/test.jsonl", '{"tokens": ["a", ""], "tags": ["N", "N"]}', "an empty token"),
    "no tokens": ("intermediate/ccg/test.jsonl", '{"tokens": [], "tags": []}', "no tokens"),
}


def refused(capsys, argv):
    with pytest.raises(SystemExit) as stopped:
        perturb.main(argv)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.startswith("perturb.py: error: ") and error.count("\n") == 1, error
    return error


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_end_in_one_line(data, tmp_path, capsys, name):
    flags, says = BAD[name]
    own = shutil.copytree(data, tmp_path / "data")
    write(own, {"one.tsv": "a\tb\none\n", "empty.tsv": "a\t\n", "latin1.tsv": b"caf\xe9\tx\n"})
    write(tmp_path, {"file": "", "full/some.txt": "mine"})
    filled = flags.replace("{data}", str(own)).replace("{out}", str(tmp_path / "out")).split()
    before = files_in(tmp_path)
    defaults = ["--data_dir", str(own), "--output_dir", str(tmp_path / "out")]
    assert says in refused(capsys, [*defaults, *filled])
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_files_end_in_one_line(tmp_path, capsys, name):
    path, content, says = SPOILT[name]
    files = {path: content, "tatoeba/de-en.de": "Guten Morgen\n" * 9, "tatoeba/de-en.en": "Good morning\n" * 9}
    data, out = write(tmp_path / "data", files), tmp_path / "out"
    flags = ["--data_dir", str(data), "--output_dir", str(out), *"--ops mixed --levels 2 --num_proc 1".split()]
    error = refused(capsys, flags)
    assert says in error and path in error
    assert not (out / "mixed-2" / path).exists() and not list(out.rglob("*.tmp"))


def test_a_record_cannot_be_wrong_for_good(data, tmp_path, capsys, monkeypatch):
    """Edited records, keyboards of the user's own, a source that changes and changes back: the rerun makes it anew."""
    out, flags = tmp_path / "out", "--ops keyboard --levels 2 --tasks xnli --languages en"
    run(data, out, flags)
    good, record = files_in(out), out / ".perturb/keyboard-2/xnli/test-en.tsv.json"
    noised = out / "keyboard-2/xnli/test-en.tsv"

    def made_again():
        capsys.readouterr()
        run(data, out, flags)
        return "1 files to noise, 0 of them finished before" in capsys.readouterr().out

    assert not made_again()
    for change in ({"realised": 0.5}, {"not_applicable": "nothing"}, {"samples": []}, {"key": "0"}):
        record.write_text(json.dumps(json.loads(record.read_text()) | change))
        assert made_again() and files_in(out) == good and not made_again()
    # the file and its hash on record edited alike
    noised.write_text("other")
    other = {"output_sha256": hashlib.sha256(b"other").hexdigest()}
    record.write_text(json.dumps(json.loads(record.read_text()) | other))
    assert made_again() and files_in(out) == good
    # other keyboards without another VERSION
    monkeypatch.setattr(noised_file, "hash_once", lambda path: "other")
    assert made_again() and not made_again()


def test_a_source_that_changes_while_it_is_noised_leaves_no_record(data, tmp_path, capsys, monkeypatch):
    data = Path(shutil.copytree(data, tmp_path / "data"))
    flags, source = "--ops swap --levels 1 --tasks xnli --languages en", data / "xnli/test-en.tsv"
    before, noise_shard = source.read_bytes(), noised_file.noise_shard

    def overtaken(shard):
        source.write_bytes(before.replace(b"neutral", b"entailment"))
        return noise_shard(shard)

    monkeypatch.setattr(noised_file, "noise_shard", overtaken)
    with pytest.raises(SystemExit) as end:
        perturb.main(f"--data_dir {data} --output_dir {tmp_path}/out {flags}".split())
    assert end.value.code == 2 and f"{source}: changed while it was noised" in capsys.readouterr().err
    assert not list((tmp_path / "out/.perturb").rglob("test-en.tsv.json"))
    monkeypatch.undo()
    source.write_bytes(before)
    run(data, tmp_path / "out", flags)
    run(data, tmp_path / "straight", flags)
    same_but_manifests(tmp_path / "out", tmp_path / "straight")


def test_what_was_not_applicable_without_a_table_is_forgotten_with_one(data, tmp_path):
    (tmp_path / "words.tsv").write_text("the\tdas\n")
    flags = "--ops swap codeswitch --levels 2 --tasks xnli --languages en"
    assert run(data, tmp_path / "out", flags)["not_applicable"]
    manifest = run(data, tmp_path / "out", f"{flags} --codeswitch {tmp_path}/words.tsv")
    assert manifest["not_applicable"] == [] and len(manifest["files"]) == 2


def test_a_copy_that_is_gone_is_not_in_the_manifest(data, tmp_path):
    out = tmp_path / "out"
    assert len(run(data, out, "--ops swap --levels 0 --tasks xnli --languages en de")["copied"]) == 2
    (out / "swap-0/xnli/test-de.tsv").unlink()
    assert len(run(data, out, "--ops swap --levels 0 --tasks xnli --languages en")["copied"]) == 1


def test_a_path_with_line_breaks_stays_in_the_readmes_block_of_code(data, tmp_path, monkeypatch):
    out = tmp_path / "a\n# <b>x</b>\n\n=1+1"
    argv = ["--data_dir", str(data), "--output_dir", str(out), *"--ops swap --levels 1 --tasks xnli".split()]
    monkeypatch.setattr(sys, "argv", ["perturb.py", *argv])
    perturb.main(argv)
    lines = (out / "README.md").read_text(encoding="utf-8").split("\n")
    block = lines[lines.index("Made by") + 2 : next(at for at, line in enumerate(lines) if line.startswith("| cond"))]
    assert "    # <b>x</b>" in block and all(line.startswith("    ") or not line for line in block)
    assert [line for line in lines if line.startswith("# ")] == ["# Noised evaluation sets"]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert shlex.split(manifest["command"])[2:] == argv
