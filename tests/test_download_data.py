"""download_data.py on small mirrors of the Hub: every repair, counts, resuming, bad input, and on into a training."""

import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path

import pyarrow.parquet
import pytest
from datasets import ClassLabel
from hub_mirror import CONTEXT, QA, TEXT, json_lines, nli, parquet, qa, shard, write_mirror
from huggingface_hub.utils import filter_repo_objects

import download_data
import run_xtreme
from heads import classification, multiple_choice, question_answering, retrieval, tagging
from hub import repositories
from hub.layout import read_conllu
from hub.tables import BY_HAND, LICENSES, expected_rows
from tasks import INTERMEDIATE, TARGETS

REPOSITORY = Path(__file__).resolve().parent.parent
HEADS = {
    "classification": classification,
    "tagging": tagging,
    "question_answering": question_answering,
    "multiple_choice": multiple_choice,
    "retrieval": retrieval,
}
RUNNABLE = [name for name in [*TARGETS, *INTERMEDIATE] if name not in BY_HAND]


def download(mirror, out, *flags, tasks="xnli", languages="en de", partial=True):
    """Run the script in this process; the exit code."""
    argv = ["--tasks", *tasks.split(), "--languages", *languages.split(), "--output_dir", str(out), *flags]
    argv += ["--hub_root", str(mirror)] if mirror else []
    argv += ["--allow_partial"] if partial else []
    try:
        download_data.main(argv)
    except SystemExit as stop:
        return stop.code
    return 0


def lines(path):
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def questions(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    return [
        (paragraph["context"], qa)
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def records(out):
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))["files"]


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """Read only: tests copy what they change."""
    root = tmp_path_factory.mktemp("mirror")
    write_mirror(root)
    return root


@pytest.fixture(scope="session")
def data(mirror, tmp_path_factory):
    """The data folder of every task that can be downloaded."""
    out = tmp_path_factory.mktemp("data")
    assert download(mirror, out, tasks=" ".join(RUNNABLE), languages="en de") == 0
    assert download(mirror, out, tasks="xcopa", languages="sw") == 0
    assert download(mirror, out, tasks="tydiqa", languages="en ar fi") == 0
    return out


@pytest.fixture
def own(mirror, tmp_path):
    """own(repository, …): a mirror of some repositories that a test may change."""

    def copy(*repositories):
        for name in repositories:
            shutil.copytree(mirror / name, tmp_path / "mirror" / name)
        (tmp_path / "mirror").mkdir(exist_ok=True)
        return tmp_path / "mirror"

    return copy


# --- the whole way: mirror -> files -> readers -> training


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_written_file_is_read_by_its_head(data, name):
    task = {**TARGETS, **INTERMEDIATE}[name]
    folder = data / ("xtreme" if name in TARGETS else "intermediate")
    tested = {"xcopa": ("sw",), "tydiqa": ("en", "ar", "fi"), "bucc2018": ("de",), "tatoeba": ("de",)}
    languages = {"train": ("en",), "dev": ("en",), "test": tested.get(name, ("en", "de"))}
    for split in [split for split in languages if split in task.files and (name, split) != ("bucc2018", "dev")]:
        for language in languages[split]:
            rows = HEADS[task.kind].read(task, folder, split, language)
            assert len(rows["source"] if task.kind == "retrieval" else rows) > 0


def test_no_file_is_left_out_of_the_manifest(data):
    written = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()} - {"manifest.json", ".lock"}
    assert written == set(records(data))


def test_training_on_a_downloaded_folder(data, toy, tmp_path):
    out = tmp_path / "out"
    flags = "--do_train --do_predict --languages en de --max_seq_length 32 --num_train_epochs 1 --save_strategy no"
    source = f"--data_dir {data}/xtreme --model_name_or_path {toy}/model --output_dir {out}"
    run_xtreme.main(f"--task xnli {source} {flags} --disable_tqdm true".split())
    results = [json.loads(line) for line in lines(out / "results.jsonl")]
    assert {(result["language"], result["n"]) for result in results} == {("en", 9), ("de", 9)}
    manifest = json.loads((out / "run.json").read_text())["data_manifest"]
    assert len(manifest) == 64  # of data/manifest.json, one folder up


# --- repairs, one by one


def test_bucc_keeps_its_distractors(data):
    folder = data / "xtreme/bucc2018"
    assert lines(folder / "de-en.test.de") == [f"de-{i:09d}\tSatz {i}" for i in range(1, 6)]
    assert lines(folder / "de-en.test.en") == [f"en-{i:09d}\tsentence {i}" for i in range(1, 8)]
    gold = lines(folder / "de-en.test.gold")
    assert gold == ["de-000000001\ten-000000007", "de-000000005\ten-000000002"]  # mteb/BUCC counts from 1


def test_bucc_gold_that_counts_from_zero(own, tmp_path):
    mining = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "gold": [[0, 1], [1, 0]]}
    json_lines(own(), "mteb/BUCC", "test/de-en.jsonl", [mining])
    assert download(own(), tmp_path / "out", tasks="bucc2018", languages="de") == 0
    gold = lines(tmp_path / "out/xtreme/bucc2018/de-en.test.gold")
    assert gold == ["de-000000001\ten-000000002", "de-000000002\ten-000000001"]


def test_bucc_in_parquet(own, tmp_path):
    mining = {"sentence1": ["a", "b\tc"], "sentence2": ["c", "d"], "gold": [[2, 1]]}
    file = own() / "mteb/BUCC/de-en/test/0000.parquet"
    file.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([mining]), file)
    assert download(own(), tmp_path / "out", tasks="bucc2018", languages="de") == 0
    assert lines(tmp_path / "out/xtreme/bucc2018/de-en.test.de")[1] == "de-000000002\tb c"
    assert lines(tmp_path / "out/xtreme/bucc2018/de-en.test.gold") == ["de-000000002\ten-000000001"]


def test_bucc_of_gold_pairs_only_is_refused(own, tmp_path, capsys):
    json_lines(own(), "mteb/BUCC", "de-en/test.jsonl", [{"sentence1": "a", "sentence2": "b"}])
    assert download(own(), tmp_path / "out", tasks="bucc2018", languages="de") == 2
    assert "only gold pairs" in capsys.readouterr().err
    assert not (tmp_path / "out/xtreme/bucc2018/de-en.test.de").exists()


def test_udpos_does_not_take_a_language_with_another_treebank_from_google_xtreme(data):
    assert lines(data / "xtreme/udpos/test-de.tsv")[:3] == ["Ich\tPRON", "renne\tVERB", ""]
    assert records(data)["xtreme/udpos/test-de.tsv"]["repository"] == "izhx/xtreme-r-udpos"
    assert records(data)["xtreme/udpos/test-en.tsv"]["repository"] == "google/xtreme"


def test_udpos_without_a_clean_source_is_refused(own, tmp_path, capsys):
    assert download(own("google/xtreme"), tmp_path / "out", tasks="udpos", languages="de") == 2
    error = capsys.readouterr().err
    assert "udpos/test-de.tsv: no test split in" in error and "google/xtreme mixes Swiss German into it" in error


CONLLU = """# text = Das geht zum See.
1\tDas\tdas\tPRON\t_\t_\t2\tnsubj\t_\t_
2\tgeht\tgehen\tVERB\t_\t_\t0\troot\t_\t_
2.1\tleer\t_\tNOUN\t_\t_\t_\t_\t_\t_
3-4\tzum\t_\t_\t_\t_\t_\t_\t_\t_
3\tzu\tzu\tADP\t_\t_\t5\tcase\t_\t_
4\tdem\tder\tDET\t_\t_\t5\tdet\t_\t_
5\tSee\tSee\tNOUN\t_\t_\t2\tobl\t_\t_

1\t_\t_\t_\t_\t_\t_\t_\t_\t_
2\t_\t_\tNOUN\t_\t_\t_\t_\t_\t_
3\t_\t_\t_\t_\t_\t_\t_\t_\t_
"""


def test_udpos_from_treebanks_fuses_multiword_tokens_and_leaves_other_languages_out(own, tmp_path):
    root, out = own("google/xtreme"), tmp_path / "out"
    for folder, name in (("UD_German-GSD", "de_gsd"), ("UD_German-PUD", "de_pud"), ("UD_Swiss_German-UZH", "gsw_uzh")):
        for split in ("dev", "test"):
            file = root / f"UniversalDependencies/{folder}/{name}-ud-{split}.conllu"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(CONLLU.replace("Das", name), encoding="utf-8")
    assert download(root, out, tasks="udpos", languages="de") == 0
    sentence = ["geht\tVERB", "zum\tADP", "See\tNOUN", ""]
    assert lines(out / "xtreme/udpos/test-de.tsv") == ["de_gsd\tPRON", *sentence, "de_pud\tPRON", *sentence]
    assert records(out)["xtreme/udpos/test-de.tsv"]["changes"] == {"dropped: without text": 2}


FUSED = [  # words as tag:head, the first is 1; the token 1-n is fused; its tag
    ("en", "PRON:3 AUX:3", "PRON"),
    ("es", "PRON:3 AUX:3", "AUX"),
    ("fr", "NOUN:3 PRON:3", "PRON"),
    ("en", "SYM:3 SYM:3", "SYM"),
    ("en", "ADP:2 NOUN:3", "NOUN"),
    ("es", "PRON:3 ADP:1", "PRON"),
    ("es", "ADP:3 VERB:1", "ADP"),  # the nearest to the root, though VERB comes first
]


@pytest.mark.parametrize("language, words, tag", FUSED)
def test_a_multiword_token_has_the_tag_of_its_word_nearest_the_root(tmp_path, language, words, tag):
    words = [word.split(":") for word in words.split()]
    rows = [f"{number}\tx\t_\t{pos}\t_\t_\t{head}\t_\t_\t_" for number, (pos, head) in enumerate(words, start=1)]
    whole, root = "1-2\txx" + 8 * "\t_", "3\ty\t_\tADV\t_\t_\t0\t_\t_\t_"
    (tmp_path / "a.conllu").write_text(
        "\n".join([whole, *rows, root, ""]), encoding="utf-8"
    )  # no blank line at the end
    assert list(read_conllu([tmp_path / "a.conllu"], language)) == [(["xx", "y"], [tag, "ADV"])]


def treebank(root, name, *sentences, folder="UniversalDependencies/UD_X"):
    """Write a treebank's dev and test files; a sentence is a list of (form, tag), its first word the root."""
    blocks = [
        "".join(f"{i}\t{form}\t_\t{tag}\t_\t_\t{min(i - 1, 1)}\t_\t_\t_\n" for i, (form, tag) in enumerate(words, 1))
        for words in sentences
    ]
    for split in ("dev", "test"):
        file = root / f"{folder}/{name}-ud-{split}.conllu"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(blocks) + "\n", encoding="utf-8")


def test_udpos_is_xtremes_in_its_words_and_its_hidden_sentences(own, tmp_path):
    root, out = own("google/xtreme"), tmp_path / "out"
    hidden, short, kept = [("_", "NOUN"), ("_", "VERB")], [("_", "NOUN"), ("a", "X")], [("_", "X")] + 2 * [("b", "X")]
    treebank(root, "vi_vtb", [("học sinh", "NOUN"), ("mi\u200cravad", "VERB")], hidden, short, kept)
    assert download(root, out, tasks="udpos", languages="vi") == 0
    assert lines(out / "xtreme/udpos/test-vi.tsv") == [
        "họcsinh\tNOUN",
        "miravad\tVERB",
        "",
        "_\tX",
        "b\tX",
        "b\tX",
        "",
    ]
    assert records(out)["xtreme/udpos/test-vi.tsv"]["changes"] == {"dropped: without text": 2}


def test_treebanks_stand_in_the_order_of_their_file_names(own, tmp_path):
    root, out = own("google/xtreme"), tmp_path / "out"
    for name, folder in (("de_pud", "UD_German-PUD"), ("de_partut", "UD_German-ParTUT"), ("de_gsd", "UD_German-GSD")):
        treebank(root, name, [(name, "X")], folder=f"UniversalDependencies/{folder}")
    assert download(root, out, tasks="udpos", languages="de") == 0
    assert lines(out / "xtreme/udpos/test-de.tsv")[::2] == ["de_gsd\tX", "de_partut\tX", "de_pud\tX"]


def test_languages_that_xtreme_r_added_come_from_ud_2_7(own, tmp_path):
    root, out = own("google/xtreme"), tmp_path / "out"
    treebank(root, "lt_alksnis", [("old", "X")])
    treebank(root, "lt_alksnis", [("new", "X")], folder="UniversalDependencies-2.7/UD_X")
    assert download(root, out, tasks="udpos", languages="lt") == 0
    assert lines(out / "xtreme/udpos/test-lt.tsv") == ["new\tX", ""]


def test_columns_of_unequal_length_are_refused_not_cut(own, tmp_path, capsys):
    root = own("unimelb-nlp/wikiann")
    (root / "unimelb-nlp/wikiann" / shard("en", "test")).unlink()
    json_lines(root, "unimelb-nlp/wikiann", "en/test.jsonl", [{"tokens": ["a", "b"], "ner_tags": [0]}])
    assert download(root, tmp_path / "out", tasks="panx", languages="en") == 2
    assert "row 1: not in the form of unimelb-nlp/wikiann" in capsys.readouterr().err


def test_tydiqa_is_split_by_language_and_trains_on_english_only(data):
    folder = data / "xtreme/tydiqa"
    train = questions(folder / "tydiqa-goldp-v1.1-train/tydiqa.en.train.json")
    assert [qa["id"] for _, qa in train] == [f"english-{i}" for i in range(4)]
    assert [path.name for path in (folder / "tydiqa-goldp-v1.1-train").iterdir()] == ["tydiqa.en.train.json"]
    dev = questions(folder / "tydiqa-goldp-v1.1-dev/tydiqa.ar.dev.json")
    assert [qa["id"] for _, qa in dev] == [f"arabic-{i}" for i in range(4)]


def test_answers_whose_offset_is_off_are_found_again(data):
    path = "xtreme/tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.fi.dev.json"
    for _, question in questions(data / path):
        assert question["answers"] == [{"text": "Rome", "answer_start": CONTEXT.index("Rome")}]
    assert records(data)[path]["changes"] == {"repaired: answer_start": 4}


def test_an_answer_that_is_nowhere_drops_a_training_question_and_refuses_a_test_file(own, tmp_path, capsys):
    lost = qa("english") + qa("english-lost", 1, answers={"text": ["Paris"], "answer_start": [0]})
    root = own("google-research-datasets/tydiqa")
    parquet(root, "google-research-datasets/tydiqa", shard("secondary_task", "train"), lost, QA)
    assert download(root, tmp_path / "out", tasks="tydiqa", languages="en") == 0
    record = records(tmp_path / "out")["xtreme/tydiqa/tydiqa-goldp-v1.1-train/tydiqa.en.train.json"]
    assert (record["source_rows"], record["rows"]) == (5, 4)
    parquet(root, "google-research-datasets/tydiqa", shard("secondary_task", "validation"), lost, QA)
    assert download(root, tmp_path / "out2", tasks="tydiqa", languages="en") == 2
    assert "'Paris' is not in its context" in capsys.readouterr().err


def test_pawsx_is_whole_with_quotes_and_empty_sentences(data):
    pairs = ['" quote 0\t\t0', '" quote 1\tNS\t1', '" quote 2\tNS\t0', '" quote 3\tNS\t1']
    assert lines(data / "xtreme/pawsx/test-de.tsv") == pairs
    assert records(data)["xtreme/pawsx/train-en.tsv"]["repository"] == "google-research-datasets/paws-x"


def test_panx_language_prefixes_go_where_every_word_has_one(data):
    rows = lines(data / "xtreme/panx/test-de.tsv")
    assert rows[:7] == ["Ada\tB-PER", "went\tO", "de:x\tO", "", "In\tO", "de:Rome\tB-LOC", ""]


def test_mlqa_takes_context_and_question_of_one_language(data):
    for code in ("en", "de"):
        rows = questions(data / f"xtreme/mlqa/MLQA_V1/test/test-context-{code}-question-{code}.json")
        assert [qa["id"] for _, qa in rows] == [f"test-{code}-{code}-{i}" for i in range(4)]
    assert len(list((data / "xtreme/mlqa/MLQA_V1/test").iterdir())) == 2


def test_xnli_labels_travel_by_name(own, tmp_path):
    root = own("facebook/xnli")
    names = ["contradiction", "entailment", "neutral"]
    shuffled = {"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(names=names)}
    parquet(root, "facebook/xnli", shard("de", "test"), nli(3), shuffled)
    assert download(root, tmp_path / "out") == 0
    assert [line.split("\t")[2] for line in lines(tmp_path / "out/xtreme/xnli/test-de.tsv")] == names
    assert lines(tmp_path / "out/xtreme/xnli/test-en.tsv")[0] == 'He said "0" loud\tIt is 0\tentailment'


def test_test_sets_without_labels_are_noted(data, own, tmp_path):
    assert all(record["labels"] for record in records(data).values())
    root = own("facebook/xnli", "google/xquad", "rajpurkar/squad", "aps/super_glue", "cambridgeltl/xcopa")
    out, bare = tmp_path / "out", {name: feature for name, feature in QA.items() if name != "title"}
    unanswered = qa("x", answers={"text": [], "answer_start": []})
    parquet(root, "google/xquad", shard("xquad.de", "validation"), unanswered, bare)
    withheld = {"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(3)}
    parquet(root, "facebook/xnli", shard("de", "test"), [{**row, "label": -1} for row in nli(3)], withheld)
    (root / "cambridgeltl/xcopa" / shard("sw", "test")).unlink()
    row = {"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "label": -1, "idx": 0}
    json_lines(root, "cambridgeltl/xcopa", "sw/test.jsonl", [row, {**row, "idx": 1}])
    assert download(root, out, tasks="xnli xquad", languages="de") == 0
    assert download(root, out, tasks="xcopa", languages="sw") == 0
    for name, language in (("xnli", "de"), ("xquad", "de"), ("xcopa", "sw")):
        head = HEADS[TARGETS[name].kind]
        assert head.references(head.read(TARGETS[name], out / "xtreme", "test", language)) is None
    unlabeled = [path for path, record in records(out).items() if not record["labels"]]
    assert unlabeled == ["xtreme/xcopa/test-sw.jsonl", "xtreme/xnli/test-de.tsv", "xtreme/xquad/xquad.de.json"]


def test_tatoeba_keeps_its_order_without_line_ends(data):
    assert lines(data / "xtreme/tatoeba/de-en.de") == ["Satz 0", "Satz 1", "Satz 2"]
    assert lines(data / "xtreme/tatoeba/de-en.en") == ["sentence 0", "sentence 1", "sentence 2"]


def test_intermediate_tasks_keep_the_hubs_columns(data):
    rows = [json.loads(row) for row in lines(data / "intermediate/snli/train.jsonl")]
    assert len(rows) == 5 and records(data)["intermediate/snli/train.jsonl"]["changes"] == {"dropped: label -1": 1}
    unanswerable = json.loads(lines(data / "intermediate/squad_v2/train.jsonl")[-1])
    assert unanswerable["answers"] == {"text": [], "answer_start": []} and unanswerable["title"] == "Ada"
    assert {path.name for path in (data / "intermediate/anli").iterdir()} == {
        f"{split}_r{i}.jsonl" for split in ("train", "dev") for i in (1, 2, 3)
    }


# --- the manifest, counts, resuming


def test_manifest_says_where_every_file_comes_from(data):
    for path, record in records(data).items():
        assert record["sha256"] == hashlib.sha256((data / path).read_bytes()).hexdigest()
        assert re.fullmatch(r"[\w-]+/[\w.-]+", record["repository"]) and record["config"] and record["license"]
        assert record["revision"] == "main" or re.fullmatch("[0-9a-f]{40}", record["revision"])
        assert record["rows"] > 0 and record["expected_rows"] == expected_rows(path.split("/", 1)[1])[0]
    assert json.loads((data / "manifest.json").read_text())["notes"].keys() == {"bucc2018", "udpos"}


def test_every_task_has_a_license_and_every_fixed_split_a_count():
    names, by_hand = download_data.check(download_data.build_parser().parse_args(["--tasks", "all"]))
    assert set(by_hand) == {"ccg", "lareqa", "mewslix"}
    files = download_data.files_to_write(names, None)
    assert len(files) > 380 and all(file.place.split("/")[0] in LICENSES and file.hubs for file in files)
    assert {file.task.name for file in files if expected_rows(file.place)[0] is None} == {"udpos"}


def test_a_wrong_number_of_rows_is_refused_and_nothing_left(mirror, tmp_path, capsys):
    assert download(mirror, tmp_path / "out", partial=False) == 1
    error = capsys.readouterr().err
    assert "xtreme/xnli/train-en.tsv: 9 rows in facebook/xnli" in error and "instead of 392702" in error
    assert "--allow_partial" in error
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != ".lock"]


def test_the_right_number_of_rows_is_accepted_and_an_excerpt_is_written_again(mirror, tmp_path, monkeypatch):
    assert download(mirror, tmp_path / "out", tasks="tatoeba", languages="de") == 0
    # it was kept as an excerpt, which is not what is asked for now
    assert download(mirror, tmp_path / "out", tasks="tatoeba", languages="de", partial=False) == 1
    monkeypatch.setattr(download_data, "expected_rows", lambda path: (3, True))
    assert download(mirror, tmp_path / "out", tasks="tatoeba", languages="de", partial=False) == 0


def test_resuming_writes_only_what_is_missing_or_changed(mirror, tmp_path, capsys):
    out = tmp_path / "out"
    assert download(mirror, out) == 0
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*.tsv")}
    assert len(before) == 5
    (out / "xtreme/xnli/dev-de.tsv").unlink()
    (out / "xtreme/xnli/test-de.tsv").write_text("cut sh")
    assert download(mirror, out) == 0
    assert "5 files" in (text := capsys.readouterr().out) and "2 of them new" in text
    assert {path: path.read_bytes() for path in before} == {path: content for path, (_, content) in before.items()}
    kept = [path for path, (time, _) in before.items() if path.stat().st_mtime_ns == time]
    assert len(kept) == 3
    manifest = (out / "manifest.json").read_bytes()
    assert download(mirror, out) == 0 and (out / "manifest.json").read_bytes() == manifest


def test_another_revision_is_another_file(mirror, tmp_path, monkeypatch, capsys):
    assert download(mirror, tmp_path / "out", tasks="qqp") == 0
    changed = json.loads((tmp_path / "out/manifest.json").read_text())
    changed["files"]["intermediate/qqp/train.jsonl"]["revision"] = "0" * 40
    (tmp_path / "out/manifest.json").write_text(json.dumps(changed))
    assert download(mirror, tmp_path / "out", tasks="qqp") == 0
    assert "1 of them new" in capsys.readouterr().out


def test_a_stopped_run_leaves_whole_files_and_goes_on(own, tmp_path, capsys):
    root = own("facebook/xnli")
    broken = root / "facebook/xnli" / shard("de", "test")
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    assert download(root, tmp_path / "out") == 2
    assert f"{broken}: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out/xtreme/xnli/test-de.tsv").exists() and len(records(tmp_path / "out")) == 3
    assert not list((tmp_path / "out").rglob("*.tmp"))
    broken.write_bytes(content)
    assert download(root, tmp_path / "out") == 0
    assert "2 of them new" in capsys.readouterr().out


def test_two_downloads_into_one_folder_and_another_tools_manifest(mirror, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with open(out / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert download(mirror, out, tasks="qqp") == 2
        assert "another run is at work in it" in capsys.readouterr().err and os.listdir(out) == [".lock"]
    perturbed = json.dumps({"version": 1, "command": "", "arguments": {}, "files": [], "copied": []})
    for content in (perturbed, '{"made_by": "somebody"}', '{"files": {"a": {}}}'):
        (out / "manifest.json").write_text(content)
        assert download(mirror, out, tasks="qqp") == 2
        error = capsys.readouterr().err
        assert f"--output_dir {out}: its manifest.json was not written by download_data.py; name another" in error
        assert error.count("\n") == 1 and (out / "manifest.json").read_text() == content
    (out / "manifest.json").unlink()
    assert download(mirror, out, tasks="qqp") == 0


# --- the network's path


@pytest.fixture
def network(mirror, tmp_path, monkeypatch):
    """huggingface_hub.snapshot_download, answered from the mirror; a list of the names of files it was asked for."""
    asked = []

    def snapshot_download(repository, repo_type, revision, allow_patterns):
        assert repo_type == "dataset"
        commit = revision if len(revision) == 40 else "a" * 40
        snapshot = tmp_path / f"cache/datasets--{repository.replace('/', '--')}/snapshots/{commit}"
        snapshot.mkdir(parents=True, exist_ok=True)
        held = [str(path.relative_to(mirror / repository)) for path in (mirror / repository).rglob("*.*")]
        names = list(filter_repo_objects(held, allow_patterns=allow_patterns))
        asked.append(names)
        for name in names:
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mirror / repository / name, snapshot / name)
        return str(snapshot)

    monkeypatch.setattr(repositories, "snapshot_download", snapshot_download)
    return asked


def test_the_network_gives_the_files_that_the_mirror_gives(data, network, tmp_path):
    out = tmp_path / "out"
    tasks = "xnli udpos panx mlqa tatoeba bucc2018 anli hellaswag cosmos_qa"
    assert download(None, out, tasks=tasks) == 0
    for path, record in records(out).items():
        assert (out / path).read_bytes() == (data / path).read_bytes()
        assert {**record, "commit": None} == records(data)[path]
        assert record["commit"] == (record["revision"] if record["revision"] != "main" else "a" * 40)
    assert {len(names) for names in network} == {1}  # a split at a time, and one of MLQA's 49 pairs of languages
    asked = len(network)
    assert download(None, out, tasks="xnli panx anli") == 0 and len(network) == asked  # finished files need no network


def test_a_network_that_fails_is_a_failed_run(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(repositories, "snapshot_download", fail)
    assert download(None, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert re.search(r"facebook/xnli at b8dd\w+: not downloaded \(Name or service not known\)", error)
    assert "--hub_root DIR" in error


# --- bad input


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--tasks xnly", "--tasks xnly: unknown; did you mean 'xnli'?"),
        ("--tasks xnli --languages xx", "--languages xx: unknown; choose from af"),
        ("--tasks ccg", "LDC2005T13"),
        ("--tasks lareqa", "xtreme/lareqa/xquad-r"),
        ("--tasks bucc2018 --languages sw", "--languages sw: none of these tasks"),
        ("--tasks xnli --hub_root nowhere", "--hub_root nowhere: no such folder"),
        ("--tasks xnli --output_dir {file}", "is a file; name"),
        ("--tasks xnli --output_dir {file}/below", "cannot be written"),
        ("--tasks xnli --hub_root {mirror} --languages sw", "facebook/xnli (sw); add it to the mirror"),
        ("--tasks xnli --hub_root {empty}", "xtreme/xnli/train-en.tsv: no train split in facebook/xnli (en)"),
        ("--task xnli", "the following arguments are required: --tasks"),
    ],
)
def test_bad_input_is_one_line(mirror, tmp_path, capsys, flags, says):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    flags = flags.format(mirror=mirror, file=tmp_path / "file", empty=tmp_path / "empty")
    if "--output_dir" not in flags:
        flags += f" --output_dir {tmp_path / 'out'}"
    with pytest.raises(SystemExit) as stop:
        download_data.main(flags.split())
    error = capsys.readouterr().err
    assert stop.value.code == 2 and says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "rows, says",
    [
        ([{"premise": "a", "hypothesis": "b", "label": 7}], "unknown label 7"),
        (
            [{"premise": "a", "hypothesis": "b", "label": 0}, {"premise": "a", "hypothesis": "b", "label": -1}],
            "row 2 of the source has no label",
        ),
        ([{"premise": None, "hypothesis": "b", "label": 0}], "row 1: not in the form of facebook/xnli"),
        ([{"text": "a", "label": 0}], "premise or sentence1"),
        ([[1]], "row 1: not in the form of facebook/xnli"),
    ],
)
def test_a_source_of_another_form_is_refused(own, tmp_path, capsys, rows, says):
    root = own("facebook/xnli")
    (root / "facebook/xnli" / shard("de", "test")).unlink()
    json_lines(root, "facebook/xnli", "de/test.jsonl", rows)
    assert download(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and says in error


def test_broken_files_and_manifests(own, tmp_path, capsys):
    root = own("mteb/tatoeba-bitext-mining", "mteb/BUCC")
    file = root / "mteb/tatoeba-bitext-mining/test/deu-eng.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"sentence1": "a", "sent'))
    assert download(root, tmp_path / "out", tasks="tatoeba", languages="de") == 2
    (root / "mteb/BUCC/de-en/test.json.gz").write_bytes(b"no gzip")
    assert download(root, tmp_path / "out", tasks="bucc2018", languages="de") == 2
    (tmp_path / "out").mkdir(exist_ok=True)
    for broken in ("[]", "{", '{"notes": {}, "by_hand": {}, "files": {"a": 1}}'):
        (tmp_path / "out/manifest.json").write_text(broken)
        assert download(root, tmp_path / "out", tasks="tatoeba", languages="de") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 5 and "cannot be read" in errors[0] and "download it again" in errors[1]
    assert all("manifest.json: broken" in error for error in errors[2:])


def test_all_says_what_must_be_supplied_by_hand(mirror, tmp_path, monkeypatch, capsys):
    files = download_data.files_to_write(["qqp"], None)
    monkeypatch.setattr(download_data, "files_to_write", lambda names, languages: files)
    assert download(mirror, tmp_path / "out", tasks="all") == 0
    text = capsys.readouterr().out
    assert "not downloaded: ccg: CCGbank is licensed: order LDC2005T13" in text and "not downloaded: lareqa" in text
    assert "LDC2005T13" in json.loads((tmp_path / "out/manifest.json").read_text())["by_hand"]["ccg"]


def test_a_folder_with_other_files_is_written_into(mirror, tmp_path):
    own = tmp_path / "xtreme/lareqa/xquad-r/el.json"  # supplied by hand
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    assert download(mirror, tmp_path, tasks="qqp") == 0 and own.read_text() == "{}"


def test_memory_does_not_grow_with_the_split(own, tmp_path):
    """A split is streamed: 60,000 rows of 1 kB in shards take no more than a few batches."""
    features = {"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(names=["0", "1", "2"])}
    rows = [{"premise": "x" * 1000, "hypothesis": "y", "label": 0}] * 20_000
    for number in range(3):
        parquet(own(), "facebook/xnli", f"en/train-0000{number}-of-00003.parquet", rows, features)
    sources = repositories.find_files(own() / "facebook/xnli", "en", ("train",))
    tracemalloc.start()
    assert sum(1 for _ in repositories.read_rows(sources)) == 60_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


# --- the docs


def test_docs_name_flags_that_exist():
    text = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
    section = text.split("## download_data.py")[1].split("\n## ")[0]
    known = re.findall(r"--[a-z_]+", download_data.build_parser().format_usage())
    assert set(re.findall(r"(?<![\w-])--[a-z_]+", section)) == set(known)
