"""Files as people have them: XTREME's own preprocessing, raw WikiANN, CoNLL, original releases; metrics' warnings."""

import csv
import json
import logging
import re
from pathlib import Path

import pytest

import run_xtreme
import score
from common.files import InputError
from common.labels import LabelIndices
from heads import classification, head_of, masked_lm, path_of
from metrics import count
from mixture import data
from mixture.plan import Plan, extra_task
from noise.layouts import match
from tasks import INTERMEDIATE, TARGETS

SHARED = Path(__file__).resolve().parents[2] / "shared/data/xtreme"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- XTREME's own preprocessing, by its rules (utils_preprocess.py at 838c13b)


def preprocess(source, target, task, language):
    """Write one language's test file as XTREME does, under the name that it gives it."""
    (path,) = path_of(task, source, "test", language)
    text, out = path.read_text(encoding="utf-8"), target / path.relative_to(source)
    if task.name == "tatoeba":
        write(out, text)
        english = path.with_name(f"{language}-en.en").read_text(encoding="utf-8").strip("\n").split("\n")
        write(out.with_name(f"{language}-en.en"), "".join(f"{line}\n" for line in sorted(map(str.strip, english))))
    elif task.kind == "classification":
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter="\t").writerows(line.split("\t")[:2] for line in text.strip("\n").split("\n"))
    elif task.kind == "tagging":
        write(out, "\n".join(line.split("\t")[0] for line in text.split("\n")))
    elif task.kind == "multiple_choice":
        rows = [{**json.loads(line), "label": 0} for line in text.strip("\n").split("\n")]
        name = f"test.{language}.jsonl"
        write(out.with_name(name), "".join(json.dumps(row) + "\n" for row in rows))
    else:
        document = json.loads(text)
        blank = {"answers": [{"answer_start": 0, "text": ""}]}
        questions = [
            {"paragraphs": [{"context": paragraph["context"], "qas": [{**asked, **blank}]}]}
            for article in document["data"]
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
        name = out.name.replace("tydiqa.", "tydiqa.goldp.")
        write(out.with_name(name), json.dumps({"data": questions, "version": "1"}))


def read_preprocessed(source, folder, name, language):
    """(rows of the source, rows of the preprocessed copy) of a test file."""
    task = TARGETS[name]
    preprocess(source, folder, task, language)
    assert path_of(task, folder, "test", language)[0].is_file()
    return (head_of(task).read(task, data_dir, "test", language) for data_dir in (source, folder))


def check_preprocessed(source, folder, name, language):
    task = TARGETS[name]
    whole, stripped = read_preprocessed(source, folder, name, language)
    if name == "tatoeba":
        assert whole["gold"] and stripped["gold"] is None
        assert stripped["source"][:] == whole["source"][:]
        assert head_of(task).count(task, stripped, range(len(whole["source"]))) is None
    else:
        column = {"classification": "text_a", "tagging": "words", "multiple_choice": "prompt"}.get(
            task.kind, "context"
        )
        assert head_of(task).references(whole) and head_of(task).references(stripped) is None
        assert len(stripped) == len(whole)
        if task.kind != "classification":  # XTREME writes pairs through csv, which doubles quotation marks
            assert list(stripped[column]) == list(whole[column])
    with pytest.raises(score.Missing, match="no labels"):
        score.gold_of_data(folder, task, language)


PREPROCESSED = [("xnli", "en"), ("panx", "de"), ("udpos", "de"), ("xcopa", "sw"), ("tatoeba", "de"), ("tydiqa", "en")]


@pytest.mark.parametrize("name, language", PREPROCESSED)
def test_what_xtremes_preprocessing_writes_has_no_labels(toy, tmp_path, caplog, name, language):
    code = language if path_of(TARGETS[name], toy / "xtreme", "test", language)[0].is_file() else "en"
    check_preprocessed(toy / "xtreme", tmp_path, name, code)
    if name in ("tatoeba", "xcopa"):  # whose files look labeled
        assert len(caplog.messages) == 2 and "no labels" in caplog.messages[0]  # read twice


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data copy is not here")
@pytest.mark.parametrize(
    "name, language", [("tatoeba", "de"), ("tatoeba", "th"), ("xcopa", "et"), ("tydiqa", "fi"), ("panx", "hi")]
)
def test_xtremes_preprocessing_of_real_files_has_no_labels(tmp_path, name, language):
    check_preprocessed(SHARED, tmp_path, name, language)


def test_withheld_labels_are_predicted_and_reported(toy, tmp_path, capsys):
    preprocess(toy / "xtreme", tmp_path / "data", TARGETS["tatoeba"], "de")
    flags = f"--task tatoeba --data_dir {tmp_path}/data --model_name_or_path {toy}/model --output_dir {tmp_path}/out"
    run_xtreme.main(f"{flags} --do_predict --languages de --disable_tqdm true".split())
    assert "no labels" in capsys.readouterr().out
    (entry,) = map(json.loads, (tmp_path / "out/results.jsonl").read_text().splitlines())
    assert entry["metric"] is None and entry["value"] is None
    predictions = (tmp_path / "out/predictions/clean/tatoeba/test-de.tsv").read_text().split()
    assert len(predictions) == entry["n"] > 90


def test_noise_knows_the_names_of_xtremes_download():
    assert match("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.fi.dev.json")[1:4] == ("tydiqa", "test", "fi")
    assert match("xcopa/test.et.jsonl")[1:4] == ("xcopa", "test", "et")


# --- Tagged words


def test_raw_wikiann_loses_its_language_and_a_single_colon_is_text(tmp_path):
    write(tmp_path / "panx/test-en.tsv", "en:Rome\tB-LOC\nen::\tO\n\nen:is\tO\n")
    rows = head_of(TARGETS["panx"]).read(TARGETS["panx"], tmp_path, "test", "en")
    assert list(rows["words"]) == [["Rome", ":"], ["is"]] and list(rows["tags"]) == [["B-LOC", "O"], ["O"]]
    write(tmp_path / "panx/test-en.tsv", "en:Rome\tB-LOC\n10:30\tO\n")
    rows = head_of(TARGETS["panx"]).read(TARGETS["panx"], tmp_path, "test", "en")
    assert list(rows["words"]) == [["en:Rome", "10:30"]]
    write(tmp_path / "panx/test-en.tsv", "en:Rome\tB-LOC\nen:is\tO\nne:big\tO\n")  # noised with its language
    with pytest.raises(InputError, match="2 of 3 words begin with en:.*before any noise: sed"):
        head_of(TARGETS["panx"]).read(TARGETS["panx"], tmp_path, "test", "en")


@pytest.mark.parametrize(
    "text, says",
    [
        ("Anna B-PER\nwent O\non O\nMonday B-DATE\n", "line 4: unknown label 'B-DATE'"),
        ("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", "4 tab-separated columns instead of 2: word, tag; keep the word"),
        ("1\tEU" + 8 * "\t_" + "\n", "line 1: 10 tab-separated columns instead of 2: word, tag; a line of CoNLL-U"),
        ("# id\nEU\tO\n", "line 1: 1 tab-separated columns instead of 2: word, tag; comment lines must go: grep -v"),
    ],
)
def test_tagged_files_of_other_forms_say_how_to_convert_them(tmp_path, text, says):
    write(tmp_path / "panx/test-en.tsv", text)
    with pytest.raises(InputError, match=re.escape(says)):
        head_of(TARGETS["panx"]).read(TARGETS["panx"], tmp_path, "test", "en")


def test_words_alone_may_hold_blanks(tmp_path):
    write(tmp_path / "udpos/test-vi.tsv", "học sinh\ncủa\n\ntôi\n")
    rows = head_of(TARGETS["udpos"]).read(TARGETS["udpos"], tmp_path, "test", "vi")
    assert list(rows["words"]) == [["học sinh", "của"], ["tôi"]] and rows["tags"][0] is None


def test_line_ends_of_old_macs_make_lines(tmp_path):
    write(tmp_path / "tatoeba/de-en.de", "c\rb\ra\r").with_name("de-en.en").write_bytes(b"f\re\rd\r")
    rows = head_of(TARGETS["tatoeba"]).read(TARGETS["tatoeba"], tmp_path, "test", "de")
    assert list(rows["source"]["text"]) == ["c", "b", "a"] and list(rows["english"]["text"]) == ["f", "e", "d"]


# --- Original releases in place

XNLI_1_0 = (
    "language gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 "
    "sentence2 promptID pairID genre label1 label2 label3 label4 label5 sentence1_tokenized sentence2_tokenized match"
).split()
MNLI_TXT = "index promptID pairID genre a b c d sentence1 sentence2 label1 gold_label".split()
RELEASES = {
    "XNLI-1.0": (
        "xnli", "test", "xnli/test-de.tsv", "\t".join(XNLI_1_0) + "\n" + "\t".join("de neutral".split() + 17 * ["x"]),
        ("19 tab-separated columns", "keep columns 7, 8, 2", "NR > 1 && $1 == \"de\" {print $7, $8, $2}"),
    ),
    "XNLI-MT": (
        "xnli", "train", "xnli/train-en.tsv", "premise\thypo\tlabel\na\tb\tcontradictory\n",
        ("line 1: 'premise\\thypo\\tlabel' is a line of column names", "tail -n +2 train-en.tsv"),
    ),
    "PAWS-X": (
        "pawsx", "test", "pawsx/test-de.tsv", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n",
        ("4 tab-separated columns instead of 3", "keep columns 2, 3, 4", "NR > 1 {print $2, $3, $4}"),
    ),
    "MNLI txt": (
        "mnli", "train", "mnli/train.jsonl", "\t".join(MNLI_TXT) + "\n1\t2\n",
        ("12 tab-separated columns where a JSON object", "keep columns 9, 10, 12", "download_data.py --tasks mnli"),
    ),
    "MNLI jsonl": (
        "mnli", "train", "mnli/train.jsonl", '{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}',
        ("no column 'premise'", "rename sentence1, sentence2, gold_label", "download_data.py --tasks mnli"),
    ),
    "ANLI": (
        "anli", "train", "anli/train_r1.jsonl", '{"uid": "x", "context": "a", "hypothesis": "b", "label": "c"}',
        ("no column 'premise'", "rename context to premise", "download_data.py --tasks anli"),
    ),
    "QQP tsv": (
        "qqp", "train", "qqp/train.jsonl", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta\tb\t0\n",
        ("keep columns 4, 5, 6", "download_data.py --tasks qqp"),
    ),
    "CommonsenseQA": (
        "commonsense_qa", "train", "commonsense_qa/train.jsonl",
        '{"answerKey": "A", "id": "1", "question": {"stem": "a", "choices": [{"label": "A", "text": "b"}]}}',
        ("no column 'choices'", "question.stem is the question", "download_data.py --tasks commonsense_qa"),
    ),
    "JSON named .tsv": (
        "xnli", "train", "xnli/train-en.tsv", '{"premise": "a"}\n', ("holds JSON, not lines of sentence1",),
    ),
    "header of two columns": (
        "xnli", "test", "xnli/test-de.tsv", "premise\thypothesis\na\tb\n", ("line 1", "column names", "tail -n +2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RELEASES)
def test_original_releases_name_the_columns_to_keep_or_the_command(tmp_path, name):
    task, split, path, text, says = RELEASES[name]
    task = {**TARGETS, **INTERMEDIATE}[task]
    write(tmp_path / path, text)
    with pytest.raises(InputError) as refused:
        head_of(task).read(task, tmp_path, split, "de" if split == "test" else "en")
    assert not [part for part in says if part not in str(refused.value)], refused.value


# --- Labels


def test_contradictory_is_contradiction_and_lost_labels_are_told(tmp_path, caplog):
    write(tmp_path / "xnli/train-en.tsv", "a\tb\tcontradictory\n")
    assert list(classification.read(TARGETS["xnli"], tmp_path, "train", "en")["label"]) == ["contradiction"]
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in (0, -1, 1)]
    write(tmp_path / "mnli/train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert list(classification.read(INTERMEDIATE["mnli"], tmp_path, "train", "en")["label"]) == [
        "entailment",
        "neutral",
    ]
    assert "1 of 3 rows have the label -1" in caplog.text


def own(folder, kind, **splits):
    """(task, Plan of it alone) with a file of rows for every split."""
    for split, rows in splits.items():
        write(folder / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    name, task = extra_task(f"own={kind}:{folder}")
    return task, Plan({name: task}, {name: (name, task)}, ("en",), None, task)


@pytest.mark.parametrize(
    "labels, says",
    [
        ((0, -1), "line 2: label -1"),
        ((0, None), "line 2: label None"),
        ((0.5, 1.0), "line 1: label 0.5"),
        ((True, False), "line 1: label True"),
        (("yes", "Yes"), "the labels 'yes' and 'Yes' differ by case or blanks"),
        (("yes", "no "), "the label 'no ' has blanks around it"),
    ],
)
def test_labels_of_own_data_that_nobody_meant(tmp_path, labels, says):
    rows = [{"sentence1": "a", "sentence2": "b", "label": label} for label in labels]
    task, _ = own(tmp_path, "classification", train=rows)
    with pytest.raises(InputError, match=re.escape(says)):
        classification.read(task, tmp_path, "train", "en")


def test_numbers_are_labels_of_own_data(tmp_path):
    task, _ = own(tmp_path, "tagging", train=[{"tokens": ["a", "b"], "tags": [0, 7]}])
    assert list(head_of(task).read(task, tmp_path, "train", "en")["tags"]) == [["0", "7"]]
    task, _ = own(tmp_path, "tagging", train=[{"tokens": ["a", None], "tags": [0, 7]}])
    with pytest.raises(InputError, match=re.escape("line 1: tokens[1] None is not a text")):
        head_of(task).read(task, tmp_path, "train", "en")


def test_dev_labels_that_training_never_saw(tmp_path, caplog):
    def names(kind, train, dev):
        task, plan = own(tmp_path, kind, train=train, validation=dev)
        read = {split: head_of(task).read(task, tmp_path, split, "en") for split in ("train", "dev")}
        return data.label_names(plan, {"train": {"own": read["train"]}, "dev": {("own", "en"): read["dev"]}}, {}, "")

    def pairs(*labels):
        return [{"sentence1": "a", "sentence2": "b", "label": label} for label in labels]

    assert names("classification", pairs("x", "y"), pairs("y")) == {"own": ("x", "y")}
    with pytest.raises(InputError, match="own \\(en\\): its dev set has labels that training has not: 'z'"):
        names("classification", pairs("x", "y"), pairs("x", "z"))
    train, dev = [{"tokens": ["a", "b"], "tags": ["x", "y"]}], [{"tokens": ["a", "b"], "tags": ["x", "rare"]}]
    with caplog.at_level(logging.WARNING):
        assert LabelIndices(names("tagging", train, dev)["own"])["rare"] == -100
    assert "'rare'; the 1 words with them count as errors" in caplog.text
    with pytest.raises(InputError, match="'other'"):
        names("tagging", train, [{"tokens": ["a"], "tags": ["other"]}])


# --- Questions


def squad(answers):
    qas = [{"id": str(index), "question": "q", "answers": of_one} for index, of_one in enumerate(answers)]
    return json.dumps({"data": [{"paragraphs": [{"context": "a b", "qas": qas}]}]})


def test_questions_without_answer(tmp_path):
    answer, task = [{"text": "a", "answer_start": 0}], TARGETS["xquad"]
    path = write(tmp_path / "xquad/xquad.en.json", squad([answer, []]))
    with pytest.raises(InputError, match=re.escape(f"{path}: question 1: has no answer; that is the task squad_v2")):
        head_of(task).read(task, tmp_path, "test", "en")
    write(path, squad([[], []]))
    assert head_of(task).references(head_of(task).read(task, tmp_path, "test", "en")) is None
    write(tmp_path / "squad/train-v1.1.json", squad([[], []]))
    with pytest.raises(InputError, match="question 0: has no answer"):
        head_of(task).read(task, tmp_path, "train", "en")


# --- Text without a width, predictions of another form


def test_text_without_a_width_is_no_text(tmp_path):
    write(tmp_path / "en.txt", "\u200b\n\u00a0\n\ufeff\u200d\n")
    with pytest.raises(InputError, match="has no line of text"):
        masked_lm.read([str(tmp_path / "en.txt")], "train")
    write(tmp_path / "en.txt", '{"text": "a"}\n{"text": "b"}\n')
    with pytest.raises(InputError, match="holds JSON, not lines of text"):
        masked_lm.read([str(tmp_path / "en.txt")], "train")
    write(tmp_path / "en.txt", "a\n\u200b\nb\n")
    assert list(masked_lm.read([str(tmp_path / "en.txt")], "train")["text"]) == ["a"]


@pytest.mark.parametrize("guess", ["\ufeffneutral", "NEUTRAL", "1", "neutral\t0.7"])
def test_predictions_of_another_form_are_told(caplog, guess):
    counts = count("xnli", ["neutral", "entailment"], [guess, "entailment"])
    assert [row["correct"] for row in counts] == [0, 1]
    assert caplog.messages == [
        f"1 of 2 predictions are written unlike the labels, e.g. {guess!r}, and count as errors; write the labels "
        "alone, spelled as the gold ones are"
    ]


def test_wrong_predictions_of_the_right_form_are_not_told(caplog):
    count("xnli", ["neutral", "entailment"], ["contradiction", "neutral"])
    count("panx", [["O", "B-PER"]], [["B-LOC", "O"]])
    count("tatoeba", ["0", "1"], ["1", "1"])
    assert caplog.messages == []
    count("panx", [["O", "B-PER"]], [["o", "B-PER"]])
    count("bucc2018", [("de-1", "en-1")], [("de-1", "en-1", "0.9")])
    assert len(caplog.messages) == 2 and "'o'" in caplog.messages[0] and "is no pair" in caplog.messages[1]


def test_a_byte_order_mark_is_no_part_of_a_submission(tmp_path):
    assert score.read_labels(write(tmp_path / "a.tsv", "\ufeffneutral\nentailment\n")) == ["neutral", "entailment"]
    assert score.read_predictions("xquad", write(tmp_path / "a.json", '\ufeff{"q": "a"}')) == {"q": "a"}
