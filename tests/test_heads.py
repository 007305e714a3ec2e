"""The heads: every word and every question gets an answer, windows cover everything, search is exact."""

import itertools
import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForMultipleChoice, AutoTokenizer

from common.batching import Collator
from common.search import normalize
from heads import Settings, classification, multiple_choice, question_answering, retrieval, tagging
from tasks import INTERMEDIATE, TARGETS

HUB_HEADS = {
    "snli": classification,
    "ccg": tagging,
    "squad_v2": question_answering,
    "hellaswag": multiple_choice,
    "commonsense_qa": multiple_choice,
}
SETTINGS = Settings(max_seq_length=32, doc_stride=8, n_best_size=20, max_answer_length=30)


@pytest.fixture(scope="session")
def tokenizer(toy):
    return AutoTokenizer.from_pretrained(toy / "model")


def words_of(toy, number):
    lines = (toy / "xtreme/udpos/train-en.tsv").read_text(encoding="utf-8").split("\n")
    return [line.split("\t")[0] for line in lines if line][:number]


def test_encoding_pickles_no_tokenizer(tokenizer, monkeypatch):
    """datasets would, for a fingerprint: a second of XLM-R's vocabulary for every file."""
    monkeypatch.setattr("datasets.arrow_dataset.update_fingerprint", lambda *inputs: pytest.fail("it is pickled"))
    rows = Dataset.from_dict({"id": ["0"], "text_a": ["one"], "text_b": ["two"], "label": ["neutral"]})
    features = classification.encode(rows, tokenizer, ("neutral",), SETTINGS)
    assert len(features) == 1 and len(features["input_ids"][0]) > 4


# --- tagging


def tagging_rows(sentences):
    return Dataset.from_list(
        [{"id": str(i), "words": words, "tags": ["NOUN"] * len(words)} for i, words in enumerate(sentences)]
    )


def test_every_word_gets_one_label_however_long_or_empty(toy, tokenizer):
    long, odd = words_of(toy, 200), ["a", "\u200b", "", "\u00ad", "b" * 300, "特菲坡", "x"]
    rows = tagging_rows([long, odd, ["\u200b"]])
    labels = TARGETS["udpos"].labels
    features = tagging.encode(rows, tokenizer, labels, SETTINGS)
    assert max(features["length"]) <= SETTINGS.max_seq_length
    reduced = {"label": [np.full(length, labels.index("VERB")) for length in features["length"]]}
    predictions = tagging.decode(rows, features, reduced, labels, SETTINGS)
    assert [len(tags) for tags in predictions] == [200, len(odd), 1]
    counted = sum(label != -100 for window in features["labels"] for label in window)
    assert counted == 200 + len(odd) + 1  # exactly one labeled sub-token per word


def test_tagging_label_sits_on_the_first_subtoken_and_windows_keep_word_order(toy, tokenizer):
    words = words_of(toy, 60)
    labels = TARGETS["udpos"].labels
    features = tagging.encode(tagging_rows([words]), tokenizer, labels, SETTINGS)
    assert len(features) > 1
    seen = []
    for window, first in zip(features["input_ids"], features["first"]):
        assert window[0] == tokenizer.cls_token_id and window[-1] == tokenizer.sep_token_id
        seen += [window[position] for position in first]
    assert seen == [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words]


def test_tagging_windows_are_packed_greedily(toy, tokenizer):
    words = words_of(toy, 60)
    pieces = [len(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words]
    features = tagging.encode(tagging_rows([words]), tokenizer, TARGETS["udpos"].labels, SETTINGS)
    room, begin = SETTINGS.max_seq_length - 2, 0
    for first, length in zip(features["first"], features["length"]):
        end = begin + len(first)
        assert sum(pieces[begin:end]) == length - 2 <= room
        assert end == len(words) or sum(pieces[begin : end + 1]) > room
        begin = end
    assert begin == len(words)


def test_a_label_that_training_never_saw_counts_in_no_loss(tokenizer):
    rows = Dataset.from_list([{"id": "0", "words": ["a", "b"], "tags": ["NOUN", "X"]}])
    (labels,) = tagging.encode(rows, tokenizer, ("ADJ", "NOUN"), SETTINGS)["labels"]
    assert [label for label in labels if label != -100] == [1]
    rows = Dataset.from_list(
        [{"id": str(i), "text_a": "a", "text_b": "b", "label": label} for i, label in enumerate("xyz")]
    )
    assert classification.encode(rows, tokenizer, ("z", "x"), SETTINGS)["labels"] == [1, -100, 0]
    assert classification.decode(rows, None, {"label": np.array([1, 0])}, ("z", "x"), SETTINGS) == ["x", "z"]


# --- question answering


def question_rows(context, answer, question="zibe?"):
    answers = {"text": [answer], "answer_start": [context.index(answer)]}
    row = {"id": "q", "context": context, "question": question, "answers": answers, "paragraph": 0}
    return Dataset.from_list([row])


def test_qa_windows_cover_the_context_and_targets_decode_to_the_answer(toy, tokenizer):
    words = words_of(toy, 120)
    context = " ".join(words)
    for index in (0, 40, 119):
        answer = words[index]
        rows = question_rows(context, answer)
        start = context.index(answer)
        features = question_answering.encode(rows, tokenizer, (), SETTINGS)
        assert max(features["length"]) <= SETTINGS.max_seq_length
        covered = {tuple(span) for spans in features["offsets"] for span in spans}
        assert {c for left, right in covered for c in range(left, right)} >= {
            i for i, char in enumerate(context) if char != " "
        }
        windows = [
            (labels[0] - begin, labels[1] - begin, spans)
            for labels, spans, (begin, _) in zip(features["labels"], features["offsets"], features["context"])
            if labels != [0, 0]
        ]
        assert windows  # at least one window holds the answer
        for first, last, spans in windows:
            assert context[spans[first][0] : spans[last][1]].strip() == answer
            assert spans[first][0] <= start + 1


def test_qa_target_of_one_letter_after_a_lone_space_piece(toy, tokenizer):
    context = "hiho somo ♞ zibe"  # a letter that the vocabulary lacks
    offsets = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert offsets.count((10, 11)) == 2
    (features,) = question_answering.encode(question_rows(context, "♞"), tokenizer, (), SETTINGS)
    first, last = features["labels"]
    assert 0 < first == last and features["input_ids"][first] == tokenizer.unk_token_id


def test_qa_context_without_a_letter_spoils_no_other(tokenizer):
    rows = [*question_rows("hiho somo", "somo"), *question_rows(" ", " ")]
    features = question_answering.encode(Dataset.from_list(rows), tokenizer, (), SETTINGS)
    spans = [span for spans in features["offsets"] for span in spans]
    assert spans and all(isinstance(end, int) for span in spans for end in span)


def test_qa_window_step_is_doc_stride(toy, tokenizer):
    context = " ".join(words_of(toy, 100))
    features = question_answering.encode(question_rows(context, words_of(toy, 1)[0]), tokenizer, (), SETTINGS)
    starts = [spans[0][0] for spans in features["offsets"]]
    pieces = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert [[left for left, _ in pieces].index(start) for start in starts] == [8 * i for i in range(len(starts))]


def brute_force(start, end, begin, stop, longest):
    pairs = [(start[i] + end[j], i, j) for i in range(begin, stop) for j in range(i, min(stop, i + longest))]
    return max(pairs)


def reduce(logits, batch, settings):
    """question_answering.reduce as prediction hands it on: {name: one array per feature}."""
    return {name: list(value.numpy()) for name, value in question_answering.reduce(logits, batch, settings).items()}


def test_qa_decoding_finds_the_best_span_and_always_answers(toy, tokenizer):
    words = words_of(toy, 90)
    rows = question_rows(" ".join(words), words[3])
    features = question_answering.encode(rows, tokenizer, (), SETTINGS)
    generator = torch.Generator().manual_seed(3)
    batch = Collator(tokenizer.pad_token_id)([features[i] for i in range(len(features))])
    settings = Settings(32, 8, n_best_size=32, max_answer_length=5)  # all positions are candidates: exhaustive
    logits = torch.randn(len(features), 2, batch["input_ids"].shape[1], generator=generator)
    reduced = reduce(logits, batch, settings)
    best = max(brute_force(*logits[i].tolist(), *features[i]["context"], 5) + (i,) for i in range(len(features)))
    _, i, j, window = best
    begin, spans = features[window]["context"][0], features[window]["offsets"]
    expected = rows[0]["context"][spans[i - begin][0] : spans[j - begin][1]].strip()
    assert question_answering.decode(rows, features, reduced, (), settings) == [expected]
    for n_best, longest in itertools.product((1, 2), (1, 3)):
        settings = Settings(32, 8, n_best, longest)
        (answer,) = question_answering.decode(rows, features, reduce(logits, batch, settings), (), settings)
        assert answer  # even where no pair is in order


def test_qa_no_answer_threshold(toy, tokenizer):
    words = words_of(toy, 10)
    rows = question_rows(" ".join(words), words[3])
    features = question_answering.encode(rows, tokenizer, (), SETTINGS)
    batch = Collator(tokenizer.pad_token_id)([features[0]])
    logits = torch.zeros(1, 2, features[0]["length"])
    logits[0, :, 0] = 3.0  # the null span scores 6, any other 0
    reduced = reduce(logits, batch, SETTINGS)
    assert question_answering.no_answer_scores(rows, features, reduced, SETTINGS).tolist() == [6.0]
    for threshold, answered in ((5.0, False), (7.0, True)):
        settings = Settings(32, 8, 20, 30, null_score_diff_threshold=threshold)
        (answer,) = question_answering.decode(rows, features, reduced, (), settings)
        assert bool(answer) == answered


# --- classification and multiple choice


def test_tsv_is_read_raw_with_either_line_end(tmp_path):
    (tmp_path / "xnli").mkdir()
    (tmp_path / "xnli/test-de.tsv").write_bytes('"a ""b"""\tc "d"\tneutral\r\ne\u2028f\tg\tentailment\r\n'.encode())
    rows = classification.read(TARGETS["xnli"], tmp_path, "test", "de")
    assert list(rows["text_a"]) == ['"a ""b"""', "e\u2028f"]
    assert list(rows["label"]) == ["neutral", "entailment"]


def test_multiple_choice_with_a_varying_number_of_choices(toy, tokenizer):
    model = AutoModelForMultipleChoice.from_pretrained(toy / "model", dtype=torch.float32).eval()
    words = words_of(toy, 40)
    rows = Dataset.from_list(
        [
            {"id": str(i), "prompt": " ".join(words[i : i + 5]), "choices": words[10 : 10 + n], "label": n - 1}
            for i, n in enumerate((2, 4, 3))
        ]
    )
    features = multiple_choice.encode(rows, tokenizer, (), SETTINGS)
    collate = Collator(tokenizer.pad_token_id)
    with torch.no_grad():
        together = multiple_choice.forward(model, collate([features[i] for i in range(3)]))
        for index, n in enumerate((2, 4, 3)):
            alone = multiple_choice.forward(model, collate([features[index]]))
            assert torch.allclose(together[index, :n], alone[0], atol=1e-5)
            assert torch.isinf(together[index, n:]).all()


def test_hub_rows_are_read_with_labels_by_name(tmp_path):
    nli = [{"premise": "a", "hypothesis": "b", "label": 2}, {"premise": "c", "hypothesis": "d", "label": -1}]
    question = {"id": "1", "context": "x y", "question": "q", "answers": {"text": [], "answer_start": []}}
    choices = {"label": ["A", "B"], "text": ["x", "y"]}
    files = {
        "snli": nli,
        "ccg": [{"tokens": ["a", "b"], "tags": ["np/n", "n"]}],
        "squad_v2": [question, question],
        "hellaswag": [{"ctx_a": "a", "ctx_b": "b", "endings": ["c", "d", "e", "f"], "label": "3"}],
        "commonsense_qa": [{"question": "q", "choices": choices, "answerKey": "B"}],
    }
    for name, lines in files.items():
        (tmp_path / name).mkdir()
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "train.jsonl").write_text(text, encoding="utf-8")
    rows = {name: head.read(INTERMEDIATE[name], tmp_path, "train", "en") for name, head in HUB_HEADS.items()}
    assert list(rows["snli"]["label"]) == ["contradiction"]  # -1: no gold label
    assert rows["ccg"][0]["tags"] == ["np/n", "n"]
    assert question_answering.references(rows["squad_v2"])[0]["answers"] == []
    assert rows["hellaswag"][0]["choices"][3] == "b f" and rows["hellaswag"][0]["label"] == 3
    assert rows["commonsense_qa"][0]["label"] == 1


# --- retrieval


def test_nearest_is_english_to_source():
    source = normalize(np.eye(3, dtype="float32"))
    english = normalize(np.array([[0, 1, 0.1], [0, 0.9, 0.2], [1, 0, 0]], dtype="float32"))
    predictions = retrieval.nearest(source, english)
    assert predictions[""].tolist() == [1, 1, 0]  # for each English line a source line
    assert predictions["_reverse"].tolist()[:2] == [2, 0]


def margin_by_hand(x, y, k=4):
    similarities = x @ y.T
    forward = np.sort(similarities, axis=1)[:, -k:].mean(1)
    backward = np.sort(similarities, axis=0)[-k:].mean(0)
    return similarities / ((forward[:, None] + backward[None]) / 2)


def test_mining_matches_greedily_by_ratio_margin():
    generator = np.random.default_rng(1)
    x, y = (normalize(np.abs(generator.standard_normal((n, 6))).astype("float32")) for n in (12, 9))
    margin = margin_by_hand(x, y)
    mined = retrieval.mine(x, y)
    assert len({a for a, _, _ in mined}) == len(mined) == len({b for _, b, _ in mined})
    assert [score for *_, score in mined] == sorted((score for *_, score in mined), reverse=True)
    assert all(np.isclose(score, margin[a, b], atol=1e-5) for a, b, score in mined)
    nearest4 = {(a, b) for a in range(12) for b in np.argsort(-(x @ y.T)[a])[:4]} | {
        (a, b) for b in range(9) for a in np.argsort(-(x @ y.T)[:, b])[:4]
    }
    assert mined[0][:2] == max(nearest4, key=lambda pair: margin[pair])


def test_threshold_maximizes_f1_also_at_the_last_candidate():
    scored = {("a", "1"): 3.0, ("b", "2"): 2.0, ("c", "3"): 1.0}
    assert retrieval.best_threshold(scored, [("a", "1"), ("x", "9")]) == 2.5
    assert retrieval.best_threshold(scored, [("a", "1"), ("b", "2"), ("c", "3")]) == 1.0  # XTREME's code fails here
    assert retrieval.best_threshold(scored, [("x", "9")]) == 0.0


def test_repeated_sentences_are_searched_once_and_never_extracted():
    ids, texts = retrieval.distinct(Dataset.from_dict({"id": ["1", "2", "3"], "text": ["same", "other", "same"]}))
    assert texts == ["same", "other"] and ids == [None, "2"]
    assert retrieval.named_pairs([(0, 0, 2.0), (1, 0, 1.0)], ids, ["e"]) == {("2", "e"): 1.0}
