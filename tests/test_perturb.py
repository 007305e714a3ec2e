"""perturb.py: every file format, labels, determinism, resuming, what it leaves behind, and bad input."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from noise_checks import error_rate, kept, new_faults

import perturb
from noise.files import TASKS, match
from noise.json_spans import places_of, replaced

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


def rows(**row):
    return "".join(json.dumps({**row, "idx": i}, ensure_ascii=False) + "\n" for i in range(N))


MENTION = {"context": {"text": CONTEXT, "language": "en", "sentence_spans": [{"start": 0, "end": len(EN)}]},
           "mention": {"example_id": "m1", "mention_span": {"start": CONTEXT.index("Vienna"), "end": CONTEXT.index("Vienna") + 6, "text": "Vienna"}, "entity_id": "Q1"}}  # fmt: skip
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
    "xcopa/test-th.jsonl": rows(premise=TH, choice1=TH, choice2="เขา", question="cause", label=0),
    "mewslix/wikinews_mentions-test.jsonl": (json.dumps(MENTION, ensure_ascii=False) + "\n") * 5,
    "intermediate/mnli/test.jsonl": rows(premise=EN, hypothesis=EN, label=1),
    "intermediate/hellaswag/test.jsonl": rows(
        ctx_a=EN, ctx_b="they", ctx=f"{EN} they", endings=[EN, "sang."], label="1"
    ),
    "intermediate/commonsense_qa/test.jsonl": rows(
        question=EN, choices={"label": ["A", "B"], "text": ["table", EN]}, answerKey="A"
    ),
    "intermediate/cosmos_qa/test.jsonl": rows(
        context=EN, question=EN, **{f"answer{i}": EN for i in range(4)}, label=2
    ),
    "intermediate/ccg/test.jsonl": rows(tokens=EN.split(), tags=["N"] * len(EN.split())),
    "intermediate/squad/test.jsonl": rows(
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
    found = files_in(noised / "mixed-3")
    assert found.keys() == wanted - refused | kept_whole
    assert {name for name in found if found[name] == (data / name).read_bytes()} == kept_whole
    assert (noised / "invisible-3/pawsx/test-en.tsv").exists() and set(TASKS) >= {match(name)[0] for name in FILES}


def test_level_0_is_byte_identical(data, noised):
    for name, content in files_in(noised / "invisible-0").items():
        assert content == (data / name).read_bytes()
    assert len(files_in(noised / "invisible-0")) == len(FILES) - 1


def test_everything_but_the_fields_is_byte_identical(noised):
    """Undoing the logged edits gives back the very bytes: nothing else was touched, and the log holds every edit."""
    for name in (
        "xnli/test-en.tsv",
        "xnli/test-de.tsv",
        "xnli/test-th.tsv",
        "tatoeba/de-en.de",
        "bucc2018/de-en.test.de",
        "udpos/test-de.tsv",
        "panx/test-zh.tsv",
    ):
        lines = (noised / "mixed-3" / name).read_bytes().split(b"\n")
        clean = FILES[name].encode().split(b"\n")
        assert len(lines) == len(clean)
        for old, new in zip(clean, lines):
            assert old.endswith(b"\r") == new.endswith(b"\r") and old.startswith(b"\xef\xbb\xbf") == new.startswith(
                b"\xef\xbb\xbf"
            )
            old, new = old.decode().split("\t"), new.decode().split("\t")
            assert len(old) == len(new) and old[-1] == new[-1] or "tatoeba" in name or "bucc" in name
            assert all(
                not new_faults(a, b) and kept(a) == kept(b) and bool(a.strip()) == bool(b.strip())
                for a, b in zip(old, new)
            )


def test_log_replays_and_counts(noised, data):
    edits = {
        (row["condition"], row["task"], row["language"], row["id"], row["field"]): row["edits"]
        for row in log_of(noised)
    }
    clean = FILES["tatoeba/de-en.de"].splitlines()
    for index, line in enumerate((noised / "mixed-3/tatoeba/de-en.de").read_text(encoding="utf-8").splitlines()):
        text = clean[index]
        for start, old, new in reversed(edits.get(("mixed-3", "tatoeba", "de", str(index), "queries"), [])):
            assert text[start : start + len(old)] == old
            text = text[:start] + new + text[start + len(old) :]
        assert text == line
    manifest = json.loads((noised / "manifest.json").read_text())
    assert sum(row["edits"] for row in manifest["files"]) == sum(len(row["edits"]) for row in log_of(noised))


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
    for name in [name for name in FILES if match(name)[0] in ("xquad", "mlqa", "tydiqa", "lareqa")]:
        for op in ("mixed-5", "delete-5"):
            new, old = (
                json.loads(text)["data"][0]["paragraphs"]
                for text in ((tmp_path / "out" / op / name).read_bytes(), FILES[name])
            )
            for paragraph, before in zip(new, old, strict=True):
                assert paragraph["context"] != before["context"]
                for (start, end), sentence in zip(
                    paragraph.get("sentence_breaks", []), paragraph.get("sentences", [])
                ):
                    assert paragraph["context"][start:end] == sentence != EN
                for question, clean in zip(paragraph["qas"], before["qas"], strict=True):
                    assert question["question"] == clean["question"] and question["id"] == clean["id"]
                    assert question.get("answers_clean") == (clean["answers"] if mode == "context-all" else None)
                    for found, wanted in zip(question["answers"], clean["answers"], strict=True):
                        assert found["text"] and paragraph["context"][found["answer_start"] :].startswith(
                            found["text"]
                        )
                        changed += found["text"] != wanted["text"]
    assert (changed > 0) == (mode == "context-all")
    for line in (tmp_path / "out/mixed-5/intermediate/squad/test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert row["context"] != CONTEXT and row["context"][row["answers"]["answer_start"][0] :].startswith(
            row["answers"]["text"][0]
        )


def test_json_is_read_in_blocks(tmp_path):
    """Paragraphs and strings lie across the borders of 1 MiB blocks; memory holds one paragraph."""
    document = json.loads(squad())
    document["data"] *= 300
    text = json.dumps(document, ensure_ascii=True)
    assert len(text) > 2 << 20
    run(
        write(tmp_path / "data", {"xquad/xquad.en.json": text}),
        tmp_path / "out",
        "--ops delete --levels 3 --qa context-protect",
    )
    new = (tmp_path / "out/delete-3/xquad/xquad.en.json").read_text()
    contexts = [paragraph["context"] for article in json.loads(new)["data"] for paragraph in article["paragraphs"]]
    assert (
        len(contexts) == 3000 and len(set(contexts)) <= 10 and CONTEXT not in contexts
    )  # the same ids repeat 300 times
    answers = [
        (p, a)
        for article in json.loads(new)["data"]
        for p in article["paragraphs"]
        for q in p["qas"]
        for a in q["answers"]
    ]
    assert all(p["context"][a["answer_start"] :].startswith(a["text"]) for p, a in answers) and len(answers) == 300 * (
        N + 2
    )


def test_mention_is_kept(noised):
    for line in (noised / "mixed-3/mewslix/wikinews_mentions-test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        span, text = row["mention"]["mention_span"], row["context"]["text"]
        assert text[span["start"] : span["end"]] == "Vienna" == span["text"] and text != CONTEXT
        assert row["mention"]["entity_id"] == "Q1" and row["context"]["sentence_spans"][0]["start"] == 0


def test_rows_keep_their_labels(noised):
    for name in [name for name in FILES if name.endswith(".jsonl") and "mewslix" not in name and "squad" not in name]:
        for old, new in zip(
            FILES[name].splitlines(), (noised / "mixed-3" / name).read_text(encoding="utf-8").splitlines(), strict=True
        ):
            old, new = json.loads(old), json.loads(new)
            assert list(old) == list(new) and all(
                old[key] == new[key] for key in ("label", "idx", "answerKey", "tags") if key in old
            )
            if "ctx" in new:
                assert new["ctx"] == f"{new['ctx_a']} {new['ctx_b']}" and len(new["endings"]) == 2
            if "tokens" in new:
                assert len(new["tokens"]) == len(new["tags"]) and all(new["tokens"])
            if "choices" in new:
                assert new["choices"]["label"] == ["A", "B"]


def test_tags_keep_their_tokens(noised):
    for name in ("panx/test-en.tsv", "panx/test-zh.tsv", "udpos/test-de.tsv"):
        old, new = (
            [line.split("\t") for line in text.decode().split("\n")]
            for text in (FILES[name].encode(), (noised / "mixed-3" / name).read_bytes())
        )
        assert [line[1:] for line in old] == [line[1:] for line in new] and all(
            bool(a[0]) == bool(b[0]) for a, b in zip(old, new)
        )


def test_fields_choose_what_is_noised(data, tmp_path):
    run(
        data,
        tmp_path / "out",
        "--ops delete --levels 5 --tasks xnli xcopa tatoeba --fields hypothesis choices candidates",
    )
    for old, new in zip(
        FILES["xnli/test-th.tsv"].splitlines(),
        (tmp_path / "out/delete-5/xnli/test-th.tsv").read_text(encoding="utf-8").splitlines(),
    ):
        assert old.split("\t")[0] == new.split("\t")[0]
    row = json.loads((tmp_path / "out/delete-5/xcopa/test-th.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["premise"] == TH and row["choice1"] != TH
    assert (tmp_path / "out/delete-5/tatoeba/de-en.de").read_text(encoding="utf-8") == FILES["tatoeba/de-en.de"]
    assert (tmp_path / "out/delete-5/tatoeba/de-en.en").read_text(encoding="utf-8") != FILES["tatoeba/de-en.en"]


@pytest.mark.parametrize("op", ["swap", "delete", "inner_shuffle", "full_shuffle", "truncate", "vowels", "mixed"])
def test_pawsx_refuses_what_flips_its_labels(data, tmp_path, op):
    manifest = run(data, tmp_path / "out", f"--ops {op} keyboard --levels 2 --tasks pawsx")
    assert not (tmp_path / f"out/{op}-2").exists() and (tmp_path / "out/keyboard-2/pawsx/test-en.tsv").exists()
    assert [row["op"] for row in manifest["not_applicable"]] == [op] and "flip" in manifest["not_applicable"][0][
        "reason"
    ]


def test_not_applicable_is_no_file_but_a_row(data, tmp_path):
    manifest = run(data, tmp_path / "out", "--ops case swap keyboard --levels 2 --tasks xnli panx")
    reasons = {(row["op"], row["task"], row["language"]): row["reason"] for row in manifest["not_applicable"]}
    assert (
        reasons[("case", "xnli", "th")] == "does not apply to the script Thai"
        and not (tmp_path / "out/case-2/xnli/test-th.tsv").exists()
    )
    assert (
        "nothing in the file" in reasons[("swap", "panx", "zh")]
        and not (tmp_path / "out/swap-2/panx/test-zh.tsv").exists()
    )
    assert ("keyboard", "panx", "zh") in reasons
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "n/a: does not apply to the script Thai" in card and card.count("    - ") >= 6


def test_rates_are_the_targets(data, tmp_path):
    manifest = run(
        data,
        tmp_path / "out",
        "--ops keyboard swap delete insert --levels 1 2 5 --tasks xnli panx udpos tatoeba xquad",
    )
    rows = [row for row in manifest["files"] if row["size"] >= 2000]
    assert len(rows) > 40 and all(row["reached"] for row in rows)
    for row in rows[:6]:
        assert (
            row["realised"] == pytest.approx(row["target"], rel=0.05)
            and 0 < row["changed_share"] <= 1
            and row["tokens_kept_share"] == 1
        )
    new = (tmp_path / "out/swap-5/tatoeba/de-en.de").read_text(encoding="utf-8").splitlines()
    assert error_rate(list(zip(FILES["tatoeba/de-en.de"].splitlines(), new))) == pytest.approx(0.15, rel=0.07)


def test_result_is_independent_of_order_processes_and_other_files(data, tmp_path):
    flags = "--ops mixed --levels 2"
    run(data, tmp_path / "all", flags)
    run(data, tmp_path / "two", f"{flags} --num_proc 2")
    some = write(
        tmp_path / "some",
        {name: text for name, text in FILES.items() if name.startswith(("xquad/xquad.en", "xnli/test-th"))},
    )
    document = json.loads(FILES["xquad/xquad.en.json"])
    for paragraph in document["data"][0]["paragraphs"]:
        paragraph["qas"].reverse()
    document["data"][0]["paragraphs"].reverse()
    write(some, {"xquad/xquad.en.json": json.dumps(document)})
    run(some, tmp_path / "some_out", flags)
    first, second = files_in(tmp_path / "all/mixed-2"), files_in(tmp_path / "two/mixed-2")
    assert (
        first == second
        and (tmp_path / "all/edits.jsonl.gz").read_bytes() == (tmp_path / "two/edits.jsonl.gz").read_bytes()
    )
    assert (tmp_path / "some_out/mixed-2/xnli/test-th.tsv").read_bytes() == first["xnli/test-th.tsv"]

    def questions(text):
        return {q["id"]: q["question"] for p in json.loads(text)["data"][0]["paragraphs"] for q in p["qas"]}

    assert questions((tmp_path / "some_out/mixed-2/xquad/xquad.en.json").read_bytes()) == questions(
        first["xquad/xquad.en.json"]
    )


def test_shards_of_a_large_file_give_the_same(tmp_path):
    big = write(
        tmp_path / "big", {"xnli/test-en.tsv": f"{EN}\t{DE}\tneutral\n" * 3000, "panx/test-en.tsv": TAGGED * 10}
    )
    run(big, tmp_path / "one", "--ops delete --levels 2")
    run(big, tmp_path / "three", "--ops delete --levels 2 --num_proc 3")
    assert files_in(tmp_path / "one/delete-2") == files_in(tmp_path / "three/delete-2")
    assert [row["edits"] for row in log_of(tmp_path / "one")] == [row["edits"] for row in log_of(tmp_path / "three")]


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
    assert {row["condition"] for row in manifest["files"]} == {"delete-2", "swap-2"}
    for row in manifest["files"]:
        assert row["output_sha256"] == hashlib.sha256((out / row["condition"] / row["path"]).read_bytes()).hexdigest()
        assert row["input_sha256"] == hashlib.sha256((data / row["path"]).read_bytes()).hexdigest()
    run(data, out, "--ops delete --levels 2 --tasks xnli --seed 5")
    assert (out / "delete-2/xnli/test-en.tsv").read_bytes() != before["delete-2/xnli/test-en.tsv"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_leaves_whole_files_and_continues(tmp_path, how):
    data = write(
        tmp_path / "data",
        {
            f"tatoeba/{code}-en.{side}": f"{EN}\n" * 1500
            for code in ("de", "fr", "es", "it", "nl", "pt")
            for side in (code, "en")
        },
    )
    out, command = (
        tmp_path / "out",
        [
            sys.executable,
            "perturb.py",
            "--data_dir",
            tmp_path / "data",
            "--output_dir",
            tmp_path / "out",
            "--ops",
            "mixed",
            "swap",
            "--levels",
            "1",
            "2",
        ],
    )
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline and len(list(out.glob("mixed-*/tatoeba/*"))) < 2:
        time.sleep(0.005)
    process.send_signal(how)
    stderr = process.communicate()[1]
    assert process.returncode != 0 and (
        how == signal.SIGKILL or stderr.count("\n") == 1 and "run the same command again" in stderr
    )
    assert all(
        path.read_bytes().count(b"\n") == 1500 for path in out.glob("*-*/tatoeba/*.*") if not path.name.startswith(".")
    )
    run(data, out, "--ops mixed swap --levels 1 2")
    run(data, tmp_path / "straight", "--ops mixed swap --levels 1 2")
    assert {
        k: v for k, v in files_in(out).items() if not k.startswith(".") and k != "manifest.json" and k != "README.md"
    } == {
        k: v
        for k, v in files_in(tmp_path / "straight").items()
        if not k.startswith(".") and k != "manifest.json" and k != "README.md"
    }


def test_user_tables(data, tmp_path):
    write(
        tmp_path,
        {
            "dict/de.tsv": "Ausschuss\tcommittee\r\nund\tand\n",
            "errors.tsv": "committee\tcomittee\ncommittee\tcommitee\n",
            "pinyin.tsv": "会\thui\n回\thui\n",
        },
    )
    run(data, tmp_path / "out", f"--ops codeswitch --levels 5 --tasks xnli --codeswitch {tmp_path}/dict/{{lang}}.tsv")
    assert (
        "committee" in (tmp_path / "out/codeswitch-5/xnli/test-de.tsv").read_text()
        and not (tmp_path / "out/codeswitch-5/xnli/test-en.tsv").exists()
    )
    run(
        data,
        tmp_path / "out2",
        f"--ops profile --levels 5 --tasks xnli --languages en --profile {tmp_path}/errors.tsv",
    )
    text = (tmp_path / "out2/profile-5/xnli/test-en.tsv").read_text()
    assert "comittee" in text and "commitee" in text
    run(data, tmp_path / "out3", f"--ops ime --rate 0.02 --tasks panx --languages zh --ime {tmp_path}/pinyin.tsv")
    assert "回\tO" in (tmp_path / "out3/ime-rate0.02/panx/test-zh.tsv").read_text()


def test_survival_rate(data, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a"))
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    manifest = run(data, tmp_path / "out", f"--ops case keyboard --levels 3 --tasks tatoeba --tokenizer {tmp_path}")
    assert {row["op"]: row["survival_rate"] for row in manifest["files"]} == {"case": 0.0, "keyboard": 1.0}


def test_datasets_reads_the_noised_files(noised):
    datasets = pytest.importorskip("datasets")
    for name, kind in (
        ("intermediate/mnli/test.jsonl", "json"),
        ("xcopa/test-th.jsonl", "json"),
        ("xnli/test-th.tsv", "csv"),
    ):
        options = {"delimiter": "\t", "header": None} if kind == "csv" else {}
        rows = datasets.load_dataset(
            kind,
            data_files=str(noised / "mixed-3" / name),
            split="train",
            cache_dir=str(noised.parent / "cache"),
            **options,
        )
        assert len(rows) == N


def test_long_lines_and_strange_characters(tmp_path):
    long = "wort " * 200_000
    data = write(
        tmp_path / "data",
        {
            "tatoeba/de-en.de": f"{long}\na\x00b c\u2028d e\x85f\n\n'{EN} 👩‍👧 ไทย हिन्दी\n" + "@a b " * 20_000 + "\n",
            "tatoeba/de-en.en": "x\n" * 5,
        },
    )
    started = time.monotonic()
    run(data, tmp_path / "out", "--ops mixed --levels 5")
    assert (
        time.monotonic() - started < 20 and (tmp_path / "out/mixed-5/tatoeba/de-en.de").read_bytes().count(b"\n") == 5
    )


def test_json_places():
    text = ' {"a" : [1, {"b\\"": "x\\u00e9"}, null, []], "c": {}, "d": -1.5e3}'
    places = {path: text[start:end] for path, (start, end) in places_of(text)[0].items()}
    assert (
        places[("a", 1, 'b"')] == '"x\\u00e9"'
        and places[("d",)] == "-1.5e3"
        and places[("c",)] == "{}"
        and places[("a", 2)] == "null"
    )
    assert json.loads(replaced(text, {("a", 1, 'b"'): "é", ("d",): 7})) == {
        "a": [1, {'b"': "é"}, None, []],
        "c": {},
        "d": 7,
    }


def test_help_is_quick_and_list_is_complete():
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
    startup = time.monotonic() - started
    started = time.monotonic()
    done = subprocess.run([sys.executable, ROOT / "perturb.py", "--help"], capture_output=True, text=True, check=True)
    assert (
        time.monotonic() - started - startup < 1.5 and "--num_proc" in done.stdout
    )  # 0.15 s on a machine with nothing else to do
    listed = subprocess.run(
        [sys.executable, ROOT / "perturb.py", "--list"], capture_output=True, text=True, check=True
    ).stdout
    assert all(f"\n{op} " in listed for op in perturb.OPERATIONS)


def test_standalone_copy_runs(data, tmp_path):
    shutil.copy(ROOT / "perturb.py", tmp_path)
    shutil.copytree(ROOT / "noise", tmp_path / "noise")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('tasks', 'common', 'torch', 'datasets', 'numpy'))); import "
        "perturb; perturb.main(sys.argv[1:])"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "--data_dir",
        data,
        "--output_dir",
        tmp_path / "out",
        "--ops",
        "mixed",
        "--tasks",
        "xnli",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""})
    assert (tmp_path / "out/mixed-1/xnli/test-en.tsv").exists()


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=shared) for mode in ("question", "context-all")])
def test_real_data_of_every_task(tmp_path, mode):
    tasks = "xquad mlqa lareqa" if mode == "context-all" else "pawsx xcopa panx tatoeba bucc2018"
    manifest = run(
        REAL / "xtreme", tmp_path / "out", f"--ops keyboard --levels 2 --tasks {tasks} --qa {mode} --num_proc 2"
    )
    assert len(manifest["files"]) >= 20 and all(row["reached"] for row in manifest["files"] if row["size"] >= 2000)
    for row in manifest["files"]:
        old, new = (
            (REAL / "xtreme" / row["path"]).read_text(encoding="utf-8"),
            (tmp_path / "out/keyboard-2" / row["path"]).read_text(encoding="utf-8"),
        )
        assert old != new and old.count("\n") == new.count("\n") and old.count("\t") == new.count("\t")


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
SPOILT = {
    "not utf-8": ("xnli/test-en.tsv", b"good\tline\tneutral\nbad \xff\tline\tneutral\n", "line 2: byte 0xff is not "
                                                                                         "UTF-8"),
    "four columns": ("xnli/test-en.tsv", "a\tb\tneutral\nHello there\tb\tc\td\n", "line 2: 4 tab-separated columns"),
    "one column": ("xnli/test-en.tsv", "Hello there\n", "line 1: 1 tab-separated columns"),
    "empty file": ("xnli/test-en.tsv", "", "the file is empty"),
    "tag columns": ("panx/test-en.tsv", "word\tO\textra\n\n", "3 tab-separated columns"),
    "bucc id": ("bucc2018/de-en.test.de", "Ein Satz ohne Nummer\n", "line 1: not 2 tab-separated columns"),
    "json cut off": ("xquad/xquad.en.json", squad()[:-9], "is the file truncated"),
    "json cut in a string": ("xquad/xquad.en.json", squad()[:300], "is the file truncated"),
    "json of another kind": ("xquad/xquad.en.json", '{"data": []}', "no paragraph"),
    "json list": ("xquad/xquad.en.json", "[]", "no paragraph"),
    "no context": ("xquad/xquad.en.json", squad().replace('"context"', '"contexts"'), "no 'context'"),
    "no answers": ("xquad/xquad.en.json", squad().replace('"answers"', '"answer"'), "no list 'answers'"),
    "context is a number": ("xquad/xquad.en.json", squad().replace(json.dumps(CONTEXT, ensure_ascii=False), "5"), "context '5' is not "
                                                                                                                  "a "
                                                                                                                  "text"),
    "span out of range": ("xquad/xquad.en.json", squad().replace(f'"answer_start": {CONTEXT.index("1955")}', '"answer_start": '
                                                                                                             '99999'), "does not match its "
                                                                                                                       "context"),
    "span negative": ("xquad/xquad.en.json", squad().replace(f'"answer_start": {CONTEXT.index("1955")}', '"answer_start": '
                                                                                                         '-4'), "does not match its "
                                                                                                                "context"),
    "span is a text": ("xquad/xquad.en.json", squad().replace(f'"answer_start": {CONTEXT.index("1955")}', '"answer_start": '
                                                                                                          '"1"'), "does not match its "
                                                                                                                  "context"),
    "unpaired surrogate": ("xquad/xquad.en.json", squad().replace("When was", "When \\ud83d was"), "\\ud... escape"),
    "row cut off": ("xcopa/test-th.jsonl", '{"premise": "a', "line 1: not valid JSON"),
    "row without column": ("xcopa/test-th.jsonl", '{"premise": "a"}\n', "no column 'choice1'"),
    "row is a list": ("xcopa/test-th.jsonl", "[1]\n", "not a JSON object"),
    "number for a text": ("xcopa/test-th.jsonl", '{"premise": 1, "choice1": "a", "choice2": "b"}\n', "premise '1' is not "
                                                                                                     "a text"),
    "mention outside": ("mewslix/wikinews_mentions-test.jsonl", json.dumps(MENTION).replace('"start": 0', '"start": '
                                                                                                          '99999'), "not within the "
                                                                                                                    "text"),
    "mention missing": ("mewslix/wikinews_mentions-test.jsonl", '{"context": {"text": "a"}}', "not a row of Mewsli-X"),
    "empty token": ("intermediate/ccg/test.jsonl", '{"tokens": ["a", ""], "tags": ["N", "N"]}', "an empty token"),
}  # fmt: skip


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
    data = write(
        tmp_path / "data",
        {path: content, "tatoeba/de-en.de": "Guten Morgen\n" * 9, "tatoeba/de-en.en": "Good morning\n" * 9},
    )
    error = refused(
        capsys,
        [
            "--data_dir",
            str(data),
            "--output_dir",
            str(tmp_path / "out"),
            "--ops",
            "mixed",
            "--num_proc",
            "1",
            "--levels",
            "2",
        ],
    )
    assert says in error and path in error
    assert not (tmp_path / "out/mixed-2" / path).exists() and not list((tmp_path / "out").rglob("*.tmp"))
