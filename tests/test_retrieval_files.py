"""LAReQA's and Mewsli-X's files: sentences, candidates and targets, mentions; what is refused."""

import json
from pathlib import Path

import pytest

from common.files import InputError
from heads import dual_encoder, lareqa, mewslix
from tasks import TARGETS

SHARED = Path(__file__).resolve().parents[2] / "shared/data/xtreme"
LAREQA, MEWSLIX = TARGETS["lareqa"], TARGETS["mewslix"]

# --- Sentences of SQuAD

SENTENCES = {
    "One ends. Two begins here? 3 is last!": ["One ends.", "Two begins here?", "3 is last!"],
    'He said "no." "Yes," they said.': ['He said "no."', '"Yes," they said.'],
    "Dr. Smith met J. R. Tolkien. In 1954 it was No. 5 (cf. Vol. IV).": [
        "Dr. Smith met J. R. Tolkien.",
        "In 1954 it was No. 5 (cf. Vol. IV).",
    ],
    "It is the Columbia U. The next one.": ["It is the Columbia U.", "The next one."],
    "A claim.[citation needed] Another.[3][note 1] Last": ["A claim.[citation needed]", "Another.[3][note 1]", "Last"],
    "such things [...] But why": ["such things [...]", "But why"],
    "no capital. follows": ["no capital. follows"],
    "a line\nbreak. Is a blank": ["a line\nbreak.", "Is a blank"],
}


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_of_english_text(text):
    assert [text[start:end] for start, end in lareqa.sentence_breaks(text)] == SENTENCES[text]


# --- LAReQA

CONTEXT = "One is here. Two is here. One is here."
BREAKS = [[0, 12], [13, 25], [26, 38]]


def question(name, start, text):
    return {"id": name, "question": f"{name}?", "answers": [{"text": text, "answer_start": start}]}


def write(folder, language, *paragraphs):
    path = folder / f"lareqa/xquad-r/{language}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": [{"paragraphs": list(paragraphs)}]}), encoding="utf-8")
    return path


def paragraph(*questions, context=CONTEXT, breaks=BREAKS):
    return {"context": context, "qas": list(questions), "sentence_breaks": breaks}


def test_candidates_and_targets_of_all_languages(tmp_path, caplog):
    """A repeated sentence counts twice; a question whose answer is in no sentence is left out in that language alone,
    and a paragraph that has no other question gives no candidates.
    """
    write(tmp_path, "en", paragraph(question("a", 13, "Two")), paragraph(question("b", 12, " Two")))
    write(tmp_path, "de", paragraph(question("a", 26, "One")), paragraph(question("b", 0, "One")))
    ids, texts, targets = lareqa.read_candidates(LAREQA, tmp_path, tmp_path)
    assert ids == [
        *(f"de_1_{i}" for i in range(3)),
        *(f"de_2_{i}" for i in range(3)),
        *(f"en_1_{i}" for i in range(3)),
    ]
    assert texts[1] == "Two is here." + CONTEXT
    assert targets == {"a": ["de_1_0", "de_1_2", "en_1_1"], "b": ["de_2_0", "de_2_2"]}
    assert "question b left out: its answer begins in no sentence" in caplog.text
    rows = dual_encoder.read(LAREQA, tmp_path, "test", "en")
    assert rows.to_list() == [{"id": "a", "question": "a?", "paragraph": 0}]
    # a copy with one language is searched in the other's candidates too
    write(tmp_path / "noised", "en", paragraph(question("a", 13, "Tow"), context=CONTEXT.replace("Two", "Tow")))
    pool = dual_encoder.read_pool(LAREQA, tmp_path / "noised", tmp_path)
    assert pool.ids == ids and pool.texts[-2].startswith("Tow is here.") and pool.texts[:6] == texts[:6]
    assert dual_encoder.targets(rows, pool) == {"a": targets["a"]}


def test_a_folder_with_one_language_is_its_own_pool(tmp_path):
    write(tmp_path, "th", paragraph(question("a", 13, "Two")))
    assert lareqa.read_candidates(LAREQA, tmp_path, tmp_path)[2] == {"a": ["th_1_1"]}


def test_withheld_answers_are_no_labels(tmp_path):
    write(tmp_path, "en", paragraph(question("a", 0, "")))
    pool = dual_encoder.read_pool(LAREQA, tmp_path, tmp_path)
    assert len(pool.ids) == 3 and pool.targets is None
    assert dual_encoder.targets(dual_encoder.read(LAREQA, tmp_path, "test", "en"), pool) is None
    write(tmp_path, "de", paragraph(question("a", 0, "One")))
    with pytest.raises(InputError, match="en.json: has no labels, unlike other languages"):
        dual_encoder.read_pool(LAREQA, tmp_path, tmp_path)


TWO = {**question("a", 0, "One"), "answers": question("a", 0, "One")["answers"] * 2}
WRONG = {
    "XQuAD's own file": ({"context": CONTEXT, "qas": [question("a", 0, "One")]}, "no sentence_breaks of the form"),
    "a number": (paragraph(question("a", 0, "One"), breaks=[3]), "no sentence_breaks of the form"),
    "outside": (paragraph(question("a", 0, "One"), breaks=[[0, 99]]), r"the sentence \[0, 99\] is not within its 38"),
    "two answers": (paragraph(TWO), "question a: 2 answers; XQuAD-R has one"),
    "no sentence at all": (paragraph(question("a", 12, " Two")), "no question's answer lies in a sentence"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_without_sentences_are_refused(tmp_path, name):
    content, says = WRONG[name]
    path = write(tmp_path, "en", content)
    with pytest.raises(InputError, match=says) as error:
        dual_encoder.read(LAREQA, tmp_path, "test", "en")
    assert str(path) in str(error.value)


def test_training_pairs_are_sentence_and_paragraph(tmp_path, caplog):
    context = "It is\u00a0so. Mr. X came.\nIt was Monday."
    asked = [
        question(name, context.index(text), text) for name, text in (("a", "X"), ("b", "Monday"), ("c", "is\u00a0so"))
    ]
    (tmp_path / "squad").mkdir()
    document = {"data": [{"paragraphs": [{"context": context, "qas": [*asked, question("d", 9, " ")]}]}]}
    (tmp_path / "squad/train-v1.1.json").write_text(json.dumps(document))
    with caplog.at_level("INFO", logger="xtreme"):
        rows = dual_encoder.read(LAREQA, tmp_path, "train", "en")
    joined = context.replace("\n", "")
    # the words of c are not those of the context, which a no-break space does not part; d stands between sentences
    assert rows.to_list() == [
        {"id": "a", "question": "a?", "answer": "Mr. X came." + joined},
        {"id": "b", "question": "b?", "answer": "It was Monday." + joined},
    ]
    assert "2 of 4 questions left out" in caplog.text


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data copy is not here")
def test_the_real_files_have_the_known_counts():
    ids, _, targets = lareqa.read_candidates(LAREQA, SHARED, SHARED)
    languages = {name.split("_")[0] for name in ids}
    questions = sum(len(dual_encoder.read(LAREQA, SHARED, "test", code)) for code in languages)
    assert (len(languages), questions, len(ids)) == (9, 2898, 2166)
    assert {len(of_question) for of_question in targets.values()} == {9}


# --- Mewsli-X


def at(text, part, start=0):
    start = text.index(part, start)
    return {"start": start, "end": start + len(part)}


def mentioned(text, mention, *sentences):
    return mewslix.mention_text(
        {"text": text, "sentence_spans": [at(text, sentence) for sentence in sentences]},
        {"mention_span": {**at(text, mention), "text": mention}},
    )


def test_a_mention_is_marked_in_its_sentence():
    text = "Before. The {old} city\nof  Ulm   grew {x. After."
    assert mentioned(text, "Ulm", "Before.", text[8:41]) == "Ulm: The (old) city of  { Ulm }  grew {x."
    with pytest.raises(ValueError, match="no one sentence holds the mention"):
        mentioned(text, "Before. The", "Before.", text[8:41])


def test_an_entity_is_its_description():
    text = "A city.  On the\nDanube. Cut."
    entity = {
        "description": text,
        "sentence_spans": [at(text, "A city. "), at(text, "On the\nDanube.")],
        "title": "Ulm",
    }
    assert mewslix.entity_text(entity) == "A city. On the Danube."


def mention_row(name, entity, text="In Ulm."):
    mention = {"example_id": name, "mention_span": {**at(text, "Ulm"), "text": "Ulm"}, "entity_id": entity}
    return {"context": {"text": text, "sentence_spans": [{"start": 0, "end": len(text)}]}, "mentions": [mention]}


def write_mentions(folder, rows, gold=None):
    for place in ("wikinews_mentions", "wikinews_labels"):
        (folder / "mewslix" / place).mkdir(parents=True, exist_ok=True)
    path = folder / "mewslix/wikinews_mentions/test-de.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if gold is not None:
        (folder / "mewslix/wikinews_labels/test-de.json").write_text(json.dumps(gold))
    return path


def test_labels_stand_in_their_file_or_beside_the_mentions(tmp_path):
    def targets():
        return dual_encoder.targets(dual_encoder.read(MEWSLIX, tmp_path, "test", "de"), None)

    write_mentions(tmp_path, [mention_row("m1", "Q1"), mention_row("m2", "Q2")])
    assert targets() == {"m1": ["Q1"], "m2": ["Q2"]}
    write_mentions(tmp_path, [mention_row("m1", ""), mention_row("m2", "")], {"m1": ["Q3"], "m2": [" Q4"]})
    assert targets() == {"m1": ["Q3"], "m2": ["Q4"]}
    write_mentions(tmp_path, [mention_row("m1", ""), mention_row("m2", "")], {"m1": [""], "m2": [""]})
    assert targets() is None


BROKEN = {
    "mention across sentences": (
        [{**mention_row("m", "Q1"), "context": {"text": "In Ulm.", "sentence_spans": []}}],
        "no one",
    ),
    "no spans": ([{**mention_row("m", "Q1"), "context": {"text": "In Ulm."}}], "no 'sentence_spans'"),
    "span outside": ([mention_row("m", "Q1") | {"context": {"text": "In"}}], "3 to 6 is no span of 2 characters"),
    "no mentions": ([{"context": {}}], "mentions"),
    "an id twice": ([mention_row("m", "Q1"), mention_row("m", "Q1")], "repeats the id 'm'"),
    "some labels": ([mention_row("m", "Q1"), mention_row("n", "")], "mention n has no entity"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_other_forms_of_mentions_are_refused(tmp_path, name):
    rows, says = BROKEN[name]
    path = write_mentions(tmp_path, rows)
    with pytest.raises(InputError, match=says) as error:
        dual_encoder.read(MEWSLIX, tmp_path, "test", "de")
    assert str(path) in str(error.value)


def test_a_label_file_of_another_form_is_refused(tmp_path):
    write_mentions(tmp_path, [mention_row("m", "")], {"m": "Q1"})
    with pytest.raises(InputError, match=r"test-de.json: not of the form \{example id: \[entity id\]\}"):
        dual_encoder.read(MEWSLIX, tmp_path, "test", "de")
    write_mentions(tmp_path, [mention_row("m", "")], {"other": ["Q1"]})
    with pytest.raises(InputError, match="the label of m None is not a text"):
        dual_encoder.read(MEWSLIX, tmp_path, "test", "de")
