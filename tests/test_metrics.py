"""Scores equal google-research/xtreme's evaluate.py: golden cases of its odd rules; score.py and compare.py.

The expected numbers were computed with the official scripts and seqeval 0.0.12, outside of this repository.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import compare
import metrics
from common.files import InputError
from metrics import aggregate, answer_tokens, best_no_answer_threshold, count, main_score, score
from score import evaluate_folder, main, read_choices, read_labels, read_predictions, read_tags, table
from tasks import BENCHMARKS, INTERMEDIATE, TARGETS

REPOSITORY = Path(__file__).resolve().parent.parent


# --- tagging

UDPOS_CASES = [  # what, gold, predicted, (f1, precision, recall, token accuracy)
    ("equal neighbors are one chunk", ["NOUN NOUN VERB"], ["NOUN VERB VERB"], (0, 0, 0, 200 / 3)),
    ("merged in both", ["NOUN NOUN VERB"], ["NOUN NOUN X"], (50, 50, 50, 200 / 3)),
    ("SCONJ reads as S: never merges", ["SCONJ SCONJ"], ["SCONJ X"], (50, 50, 50, 50)),
    ("SYM reads as S", ["SYM SYM SYM"], ["SYM SYM X"], (200 / 3, 200 / 3, 200 / 3, 200 / 3)),
    ("INTJ reads as I: merges", ["INTJ INTJ"], ["INTJ X"], (0, 0, 0, 50)),
    ("INTJ after SCONJ begins a chunk", ["SCONJ INTJ INTJ"], ["SCONJ INTJ INTJ"], (100, 100, 100, 100)),
    ("O between sentences: no merging", ["NOUN", "NOUN"], ["NOUN", "VERB"], (50, 50, 50, 50)),
    ("no chunk at all", ["O O"], ["O O"], (0, 0, 0, 100)),
    ("nothing predicted", ["NOUN X"], ["O O"], (0, 0, 0, 0)),
    ("a dot is no chunk of its own", [". NOUN ."], [". NOUN NOUN"], (0, 0, 0, 200 / 3)),
    ("sentence without words", ["", "NOUN"], ["", "NOUN"], (100, 100, 100, 100)),
    ("a missing tag shifts the rest", ["NOUN VERB", "ADJ", "DET"], ["NOUN", "ADJ", "DET"], (200 / 7, 100 / 3, 25, 75)),
]
PANX_CASES = [
    ("IOB2", ["B-PER I-PER O B-LOC"], ["B-PER I-PER O B-ORG"], (50, 50, 50, 75)),
    ("I without B begins a chunk", ["B-PER I-PER", "O B-LOC"], ["I-PER I-PER", "O I-LOC"], (100, 100, 100, 50)),
    ("type changes inside", ["B-PER I-PER"], ["B-PER I-LOC"], (0, 0, 0, 50)),
    ("text after the last hyphen", ["B-X-PER I-Y-PER"], ["B-PER I-PER"], (100, 100, 100, 0)),
    ("B after B", ["B-PER B-PER"], ["B-PER I-PER"], (0, 0, 0, 50)),
    ("E ends without a beginning", ["E-A E-A A-A"], ["E-A E-A A-A"], (100, 100, 100, 100)),
]


@pytest.mark.parametrize(
    "task, gold, predicted, expected",
    [(task, *case[1:]) for task, cases in (("udpos", UDPOS_CASES), ("panx", PANX_CASES)) for case in cases],
    ids=[case[0] for case in UDPOS_CASES + PANX_CASES],
)
def test_chunk_rules(task, gold, predicted, expected):
    scores = score(task, [line.split() for line in gold], [line.split() for line in predicted])
    values = [scores[metric] for metric in ("f1", "precision", "recall", "accuracy")]
    assert values == pytest.approx(expected, abs=1e-9)
    assert main_score(task, scores) == scores["f1"]


def test_chunks_have_global_offsets():
    chunks = {("NOUN", 0, 1): 0, ("SYM", 3, 3): 1, ("SYM", 4, 4): 1}
    assert metrics.chunks([["NOUN", "NOUN"], ["SYM", "SYM"]]) == chunks


def test_shifted_sentences_are_reported(caplog):
    score("udpos", [["NOUN", "VERB"]], [["NOUN"]])
    assert "more or fewer tags than words" in caplog.text


# --- answers

SQUAD_CASES = [  # what, gold answers, prediction, (exact match, f1)
    ("article, case and punctuation", ["cat"], "The Cat!", (100, 100)),
    ("answer of articles only: EM without F1", ["the"], "a", (100, 0)),
    ("placeholder of stripped labels", [""], "cat", (0, 0)),
    ("best of the gold answers", ["black dog", "dog"], "dog", (100, 100)),
    ("best F1 from another answer than the first", ["one two three", "two four"], "two", (0, 200 / 3)),
    ("repeated tokens count as often as in both", ["to be or not to be"], "to be to", (0, 200 / 3)),
    ("an article inside a word stays", ["theater"], "ater", (0, 0)),
    ("punctuation goes before articles", ["a.b"], "ab", (100, 100)),
    ("only ASCII punctuation goes", ["北京。"], "北京", (0, 0)),
    ("no segmentation of Chinese", ["中国人"], "中国", (0, 0)),
    ("no-break space is white space", ["x\u00a0y"], "x y", (100, 100)),
]


@pytest.mark.parametrize(
    "gold, predicted, expected", [case[1:] for case in SQUAD_CASES], ids=[case[0] for case in SQUAD_CASES]
)
@pytest.mark.parametrize("task, language", [("xquad", "zh"), ("tydiqa", None), ("squad", "en")])
def test_squad_rules(task, language, gold, predicted, expected):
    scores = score(task, [{"id": "q", "answers": gold}], {"q": predicted}, language)
    assert (scores["exact_match"], scores["f1"]) == pytest.approx(expected, abs=1e-9)
    assert main_score(task, scores) == pytest.approx(sum(expected) / 2)


MLQA_CASES = [  # what, language, gold answer, prediction, (exact match, f1)
    ("one token per Chinese character", "zh", "中国人", "中国", (0, 80)),
    ("Latin words stay whole", "zh", "iPhone手机", "iphone 手", (0, 80)),
    ("last character of the class", "zh", "龥龥", "龥", (0, 200 / 3)),
    ("beyond the class: no segmentation", "zh", "龦龦", "龦", (0, 0)),
    ("Unicode punctuation goes", "zh", "《北京》。", "北京", (100, 100)),
    ("Arabic article at the beginning", "ar", "الكتاب", "كتاب", (100, 100)),
    ("Arabic article anywhere, also inside a word", "ar", "والكتاب", "و كتاب", (100, 100)),
    ("Arabic punctuation", "ar", "كتاب؟", "كتاب", (100, 100)),
    ("German articles", "de", "Die Katze des Hauses", "katze hauses", (100, 100)),
    ("Spanish articles", "es", "¿Las casas?", "unos casas", (100, 100)),
    ("Vietnamese classifiers", "vi", "những cái nhà của tôi", "nhà tôi", (100, 100)),
    ("Hindi has none", "hi", "एक घर।", "एक घर", (100, 100)),
    ("English articles are kept in German", "de", "the haus", "haus", (0, 200 / 3)),
    ("currency signs in ASCII go, others stay", "en", "$5", "5", (100, 100)),
    ("other currency signs stay", "en", "€5", "5", (0, 0)),
]


@pytest.mark.parametrize(
    "language, gold, predicted, expected", [case[1:] for case in MLQA_CASES], ids=[case[0] for case in MLQA_CASES]
)
def test_mlqa_rules(language, gold, predicted, expected):
    scores = score("mlqa", [{"id": "q", "answers": [gold]}], {"q": predicted}, language)
    assert (scores["exact_match"], scores["f1"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("language", [None, "fr"])
def test_mlqa_needs_one_of_its_languages(language):
    with pytest.raises(ValueError, match="language="):
        count("mlqa", [{"id": "q", "answers": ["x"]}], {"q": "x"}, language)


def test_unanswered_questions_score_zero(caplog):
    references = [{"id": name, "answers": {"text": ["x"], "answer_start": [0]}} for name in "ab"]
    assert score("xquad", references, {"a": "x", "other": "y"}) == {"exact_match": 50, "f1": 50}
    assert "1 of 2 questions have no prediction" in caplog.text


def test_only_squad_v2_has_questions_without_answers():
    references = [{"id": name, "answers": []} for name in "abc"] + [{"id": "d", "answers": ["cat"]}]
    predictions = {"a": "", "b": "the", "c": "dog", "d": ""}
    assert score("squad_v2", references, predictions) == {"exact_match": 50, "f1": 50}
    with pytest.raises(ValueError, match="question a has no gold answer"):
        score("squad", references, predictions)


def question(name, *answers):
    return {"id": name, "answers": list(answers)}


def test_no_answer_threshold():
    references = [question("a", "x"), question("b"), question("c", "y z"), question("d")]
    predictions = {"a": "x", "b": "wrong", "c": "y", "d": "wrong"}
    no_answer = {"a": -3.0, "b": 2.0, "c": 1.0, "d": 4.0}
    threshold, scores = best_no_answer_threshold(references, predictions, no_answer)
    assert threshold == 1.0 and scores == pytest.approx({"exact_match": 75, "f1": 100 * (1 + 1 + 2 / 3 + 1) / 4})
    # best_exact has a threshold of its own: answering "c" loses nothing in F1, but gains nothing in exact match
    threshold, scores = best_no_answer_threshold(references, predictions, no_answer, metric="exact_match")
    assert threshold == -3.0 and scores["exact_match"] == 75


def test_no_answer_thresholds_of_two_metrics_differ():
    """No single threshold reaches both maxima."""
    references = [question("a"), question("b", "x y z"), question("c", "u v w")]
    predictions, no_answer = {"a": "q", "b": "x y", "c": "u v"}, {"a": 0.0, "b": 1.0, "c": 2.0}
    threshold, scores = best_no_answer_threshold(references, predictions, no_answer)
    assert threshold == 2.0 and scores == pytest.approx({"exact_match": 0, "f1": 100 * 1.6 / 3})
    threshold, scores = best_no_answer_threshold(references, predictions, no_answer, metric="exact_match")
    assert threshold < 0 and scores["exact_match"] == pytest.approx(100 / 3)


def test_equal_no_answer_scores_cannot_be_told_apart():
    """a and b are answered together or not at all."""
    references, predictions = [question("a", "x"), question("b")], {"a": "q", "b": "x y"}
    threshold, scores = best_no_answer_threshold(references, predictions, {"a": 1.0, "b": 1.0})
    assert threshold < 1.0 and scores == {"exact_match": 50, "f1": 50}


def test_no_answer_threshold_is_the_best_of_all():
    random = np.random.default_rng(0)
    names = [str(number) for number in range(60)]
    references = [{"id": name, "answers": [["one two three"], []][random.integers(2)]} for name in names]
    predictions = {name: ["one", "two three", "four", "one two three", ""][random.integers(5)] for name in names}
    given = {name: float(random.integers(-5, 5)) for name in names}

    def at(threshold):
        kept = {name: text if given[name] <= threshold else "" for name, text in predictions.items()}
        return score("squad_v2", references, kept)

    threshold, scores = best_no_answer_threshold(references, predictions, given)
    assert at(threshold) == pytest.approx(scores)
    assert scores["f1"] == pytest.approx(max(at(value)["f1"] for value in range(-7, 7)))


# --- labels and retrieval


def test_accuracy_of_labels():
    gold, predicted = ["neutral", "neutral", "entailment"], ["neutral", "Neutral", "entailment"]
    assert score("xnli", gold, predicted) == pytest.approx({"accuracy": 200 / 3})
    assert score("xcopa", [0, 1], [0, 0]) == {"accuracy": 50}


def test_text_and_numbers_never_match(caplog):
    assert score("xcopa", [0, 1], ["0", "1"]) == {"accuracy": 0}
    assert "never match" in caplog.text


def test_paraphrases():
    yes, no = "duplicate", "not_duplicate"
    assert score("qqp", [yes, yes, no, no], [yes, no, no, yes]) == {"accuracy": 50, "f1": 50}
    assert score("qqp", ["1", "0"], ["1", "0"]) == {"accuracy": 100, "f1": 100}


def test_pairs_are_sets():
    gold, predicted = [("a", "1"), ("b", "2"), ("b", "2")], [("a", "1"), ("a", "1"), ("a", "3"), ("c", "2")]
    assert score("bucc2018", gold, predicted) == pytest.approx({"f1": 40, "precision": 100 / 3, "recall": 50})
    assert count("bucc2018", gold, predicted)[0] == {"id": "a", "correct": 1, "predicted": 2, "gold": 1}
    assert score("bucc2018", gold, []) == {"f1": 0, "precision": 0, "recall": 0}


def test_rankings():
    gold = {"a": ["Q1 "], "b": ["Q2"], "c": ["Q3"], "d": ["Q4"]}
    rankings = {"a": ["Q9", "Q1"], "b": [f"X{i}" for i in range(20)] + ["Q2"], "c": ["Q3", "Q3"]}
    assert score("mewslix", gold, rankings) == {"map@20": 37.5}


AP = {  # targets, ranking, average precision at 20: XTREME-R's code gave these
    "three found": ("123", "19283", 0.755556),
    "a repeated candidate scores once and keeps its rank": ("123", "9112", 1 / 3),
    "more targets than ranks": ([f"t{i}" for i in range(25)], [f"t{i}" for i in range(25)], 1.0),
    "the only target at rank 21": ("t", [*(f"x{i}" for i in range(20)), "t"], 0.0),
}


@pytest.mark.parametrize("name", AP)
def test_average_precision(name):
    targets, ranking, expected = AP[name]
    expected = 34 / 45 if expected == 0.755556 else expected  # (1 + 2/3 + 3/5) / 3
    (row,) = count("lareqa", {"q": list(targets)}, {"q": list(ranking)})
    assert row == {"id": "q", "average_precision": pytest.approx(expected, abs=1e-9)}


def test_average_precision_edges():
    with pytest.raises(ValueError, match="question q has no target"):
        count("lareqa", {"q": []}, {"q": ["1"]})
    gold = {"a": ["de_1_0", "en_1_0"], "b": ["de_1_1"], "c": ["de_2_0"]}
    rankings = {"a": ["de_1_0"], "b": ["en_1_1", "de_1_1"], "other": ["de_1_1"]}
    scores = aggregate("lareqa", count("lareqa", gold, rankings, "de"))
    assert scores == pytest.approx({"map@20": 100 * (0.5 + 0.5 + 0) / 3, "same_language": 100 / 3}, abs=1e-9)


def test_ccg_is_token_accuracy():
    assert score("ccg", [["N", "N/N"], ["NP"]], [["N", "N"], ["NP"]]) == pytest.approx({"accuracy": 200 / 3})


# --- the interface

EXAMPLES = {  # task -> (references, predictions)
    "xnli": (list("abcabcab"), list("abbacbab")),
    "qqp": (list("01011010"), list("01101110")),
    "udpos": (
        [["NOUN", "NOUN"], ["SYM", "X"], ["DET"], ["ADJ", "ADJ", "X"]],
        [["NOUN", "X"], ["SYM", "X"], ["X"], ["ADJ", "ADJ", "ADJ"]],
    ),
    "ccg": ([["N", "NP"], ["N"], ["S"]], [["N", "N"], ["N"], ["N"]]),
}


@pytest.mark.parametrize("task", EXAMPLES)
def test_counts_of_a_resample_give_its_score(task):
    references, predictions = EXAMPLES[task]
    counts = count(task, references, predictions)
    assert len(counts) == len(references)
    for seed in range(20):
        sample = np.random.default_rng(seed).integers(len(references), size=len(references))
        expected = score(task, [references[i] for i in sample], [predictions[i] for i in sample])
        assert aggregate(task, [counts[i] for i in sample]) == pytest.approx(expected, abs=1e-9)


def test_counts_of_resampled_questions_give_their_score():
    references = [question(str(i), text) for i, text in enumerate(["one two", "three", "four five six", "the"])]
    predictions = {"0": "one", "1": "three", "2": "six five", "3": "a"}
    counts = count("xquad", references, predictions)
    assert [row["id"] for row in counts] == list("0123")
    for seed in range(20):
        sample = np.random.default_rng(seed).integers(4, size=4)
        expected = score("xquad", [references[i] for i in sample], predictions)
        assert aggregate("xquad", [counts[i] for i in sample]) == pytest.approx(expected)


def test_every_task_with_a_test_has_a_metric():
    assert set(metrics.METRICS) == {*TARGETS, *INTERMEDIATE, "translation"}
    for name in {*TARGETS, *INTERMEDIATE}:
        record = (TARGETS | INTERMEDIATE)[name]
        assert record.metric in {*metrics.family(name).main, "accuracy", "f1"}


def test_wrong_calls_are_named():
    with pytest.raises(ValueError, match="no metric for task 'xlni'; choose from pawsx, xnli"):
        count("xlni", [], [])
    with pytest.raises(ValueError, match="2 predictions for 1 references"):
        count("xnli", ["a"], ["a", "b"])
    with pytest.raises(ValueError, match="no examples to score"):
        aggregate("xnli", [])


def test_answer_tokens():
    assert answer_tokens("The  U.S. dollar’s") == ["us", "dollar’s"]
    assert answer_tokens("The  U.S. dollar’s", "en") == ["us", "dollars"]


# --- files


def test_lines_end_as_in_python_and_are_stripped(tmp_path):
    path = tmp_path / "test-en.tsv"
    path.write_bytes(" a \r\n\u2028b\x0bc\rd\n\n".encode())
    assert read_labels(path) == ["a", "b\x0bc", "d", ""]


def test_each_further_blank_line_is_an_empty_sentence(tmp_path):
    path = tmp_path / "test-en.tsv"
    path.write_text("\nA\nB\n \n\nC\n\n\n", encoding="utf-8")
    assert read_tags(path) == [[], ["A", "B"], [], ["C"], []]
    path.write_text("A\n\nB", encoding="utf-8")
    assert read_tags(path) == [["A"], ["B"]]


def test_predictions_may_lie_under_data(tmp_path):
    path = tmp_path / "test-en.json"
    path.write_text('{"data": {"q": "x"}, "version": 1}', encoding="utf-8")
    assert read_predictions("xquad", path) == {"q": "x"}


# --- folders and the command line

QUESTIONS = [{"id": name, "question": "?", "answers": [{"text": "c d", "answer_start": 0}]} for name in "01"]
SQUAD = {"data": [{"paragraphs": [{"context": "c d", "qas": QUESTIONS}]}]}
FILES = {  # task -> (label file, prediction file), with different scores
    "label": ("0\n1\n0\n1\n", "0\n1\n1\n1\n"),
    "chunk": ("B-PER\nI-PER\n\nB-LOC\n", "B-PER\nI-PER\n\nB-ORG\n"),
    "squad": (json.dumps(SQUAD), '{"0": "c d", "1": "c"}'),
    "pairs": ("a\t1\nb\t2\n", "a\t1\n"),
    "choice": ('{"label": 0}\n{"label": 1}\n', '{"label": 0}\n{"label": 0}\n'),
    "ranking": ('{"m": ["Q1"]}', '{"m": ["Q2", "Q1"]}'),
    "average_precision": ('{"q": ["de_1_0", "en_1_0"]}', '{"q": ["de_9_9", "de_1_0"]}'),
}
FILES["mlqa"] = FILES["squad"]
TASK_SCORES = {
    "label": 75.0,
    "chunk": 50.0,
    "squad": (50 + 100 * (1 + 2 / 3) / 2) / 2,
    "pairs": 200 / 3,
    "choice": 50.0,
    "ranking": 50.0,
    "average_precision": 25.0,
}
TASK_SCORES["mlqa"] = TASK_SCORES["squad"]


@pytest.fixture
def tree(tmp_path):
    """Folder with complete predictions/ and labels/ of a benchmark."""

    def make(benchmark="xtreme"):
        for name in {name for group in BENCHMARKS[benchmark].values() for name in group} & set(metrics.METRICS):
            for language in TARGETS[name].languages[benchmark]:
                for folder, text in zip(("labels", "predictions"), FILES[metrics.METRICS[name]]):
                    path = tmp_path / folder / name / f"test-{language}.{metrics.family(name).suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


def command(*arguments, script="score.py", cwd=REPOSITORY):
    arguments = [sys.executable, REPOSITORY / script, *map(str, arguments)]
    return subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", cwd=cwd)


def test_complete_benchmark(tree):
    root, groups = tree(), BENCHMARKS["xtreme"]
    folders = ["--predictions", root / "predictions", "--labels", root / "labels"]
    done = command(*folders, "--output_file", root / "new/scores.json", cwd=root)
    assert done.returncode == 0, done.stderr
    scores = json.loads((root / "new/scores.json").read_text(encoding="utf-8"))
    expected = {name: TASK_SCORES[metrics.METRICS[name]] for names in groups.values() for name in names}
    means = {group: np.mean([expected[name] for name in names]) for group, names in groups.items()}
    assert {name: scores[name]["metric"] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert scores["groups"] == pytest.approx(means)
    assert scores["overall"] == pytest.approx(sum(expected.values()) / 9, abs=1e-9)
    assert scores["missing"] == {} and scores["ignored"] == []
    assert scores["xquad"]["el"] == pytest.approx({"exact_match": 50, "f1": 250 / 3})
    assert scores == evaluate_folder(root / "predictions", root / "labels")
    assert [path.name for path in (root / "new").iterdir()] == ["scores.json"]
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["task", "score"] and "75.00" in lines[1] and lines[1].endswith("7/7")
    assert f"overall   {scores['overall']:.2f}" in done.stdout


def test_incomplete_benchmark(tree):
    root = tree()
    (root / "predictions/xnli/test-sw.tsv").unlink()
    (root / "labels/xquad/test-el.json").unlink()
    (root / "predictions/tatoeba/test-xx.tsv").write_text("0\n", encoding="utf-8")
    (root / "predictions/notes").mkdir()
    shutil.rmtree(root / "predictions/bucc2018")
    scores = evaluate_folder(root / "predictions", root / "labels")
    assert scores["overall"] is None and set(scores["groups"]) == {"tagging"}
    assert scores["missing"] == {
        "xnli": {"sw": "no prediction file"},
        "xquad": {"el": "no label file"},
        "bucc2018": dict.fromkeys(("de", "fr", "ru", "zh"), "no prediction file"),
    }
    assert scores["ignored"] == ["notes", "tatoeba/test-xx.tsv"]
    assert scores["xnli"]["metric"] == 75 and "bucc2018" not in scores
    text = table(scores, "xtreme")
    assert "14/15 incomplete" in text and "xnli (no prediction file):  sw" in text
    assert "bucc2018 (no prediction file):  all languages" in text and "benchmark is incomplete" in text


def test_xtreme_r_has_an_overall_score_with_lareqa(tree):
    root = tree("xtreme-r")
    scores = evaluate_folder(root / "predictions", root / "labels", "xtreme-r")
    assert not scores["missing"] and scores["lareqa"]["metric"] == 25
    assert scores["groups"]["retrieval"] == pytest.approx((75 + 25 + 50) / 3)
    assert scores["groups"]["classification"] == pytest.approx((75 + 50) / 2)
    qa = TASK_SCORES["squad"]
    by_hand = (
        75 + 50 + 50 + 75 + 50 + 25 + 50 + 3 * qa
    ) / 10  # xnli xcopa udpos tatoeba panx lareqa mewslix, three QA
    assert scores["overall"] == pytest.approx(by_hand)
    (root / "predictions/lareqa/test-th.json").unlink()
    scores = evaluate_folder(root / "predictions", root / "labels", "xtreme-r")
    assert set(scores["missing"]) == {"lareqa"} and scores["overall"] is None
    assert "lareqa (no prediction file):  th" in table(scores, "xtreme-r")


def test_data_dir_holds_the_same_labels(tmp_path):
    data, predictions = tmp_path / "data", tmp_path / "predictions"
    texts = {
        "data/pawsx/test-de.tsv": "a\tb\t0\nc\td\t1\n",
        "predictions/pawsx/test-de.tsv": "0\n0\n",
        "data/pawsx/test-fr.tsv": "a\tb\nc\td\n",
        "predictions/pawsx/test-fr.tsv": "0\n0\n",
        "data/udpos/test-de.tsv": "x\tNOUN\ny\tNOUN\n\nz\tVERB\n\n",
        "predictions/udpos/test-de.tsv": "NOUN\nNOUN\n\nX\n\n",
        "data/xquad/xquad.de.json": json.dumps(SQUAD),
        "predictions/xquad/test-de.json": '{"0": "c d", "1": "c"}',
        "data/tatoeba/de-en.de": "eins\nzwei\n",
        "data/tatoeba/de-en.en": "one\ntwo\n",
        "predictions/tatoeba/test-de.tsv": "0\n0\n",
        "data/bucc2018/de-en.test.de": "de-1\teins\nde-2\tzwei\n",
        "data/bucc2018/de-en.test.en": "en-1\tone\nen-2\ttwo\n",
        "data/bucc2018/de-en.test.gold": "de-1\ten-1\nde-2\ten-2\n",
        "predictions/bucc2018/test-de.tsv": "de-1\ten-1\nde-2\ten-1\n",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    scores = evaluate_folder(predictions, data_dir=data)
    assert scores["pawsx"]["metric"] == 50 and scores["missing"]["pawsx"]["fr"] == "no labels"
    assert scores["udpos"]["de"] == pytest.approx({"f1": 50, "precision": 50, "recall": 50, "accuracy": 200 / 3})
    assert scores["xquad"]["metric"] == pytest.approx(TASK_SCORES["squad"])
    assert scores["tatoeba"]["metric"] == 50 and scores["bucc2018"]["metric"] == 50


BAD_FILES = [  # file, content, what the message says
    ("predictions/xnli/test-de.tsv", b"0\n1\n", "test-de.tsv: 2 predictions for 4 references"),
    ("predictions/xnli/test-ar.tsv", b"0\n1\n0\n1\n1\n", "test-ar.tsv: 5 predictions for 4 references"),
    ("predictions/udpos/test-de.tsv", b"NOUN\n\n\nX\n", "test-de.tsv: 3 predictions for 2 references"),
    ("predictions/xquad/test-de.json", b'{"0": "c', "test-de.json: not valid JSON"),
    ("predictions/xquad/test-de.json", b'["c"]', "test-de.json: not a JSON object"),
    ("predictions/xquad/test-de.json", b'{"0": 3}', "test-de.json: '0' has 3"),
    ("labels/mlqa/test-de.json", b'{"questions": []}', "test-de.json: not SQuAD JSON"),
    ("predictions/pawsx/test-fr.tsv", b"0\n1\n\xff\n1\n", "test-fr.tsv, line 3: byte 0xff is not UTF-8"),
]


@pytest.mark.parametrize("name, content, message", BAD_FILES)
def test_bad_files_are_named(tree, name, content, message):
    root = tree()
    (root / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        evaluate_folder(root / "predictions", root / "labels")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("line, message", [("", "not valid JSON"), ('{"x": 1}', "'{\"x\": 1}' is not of the form")])
def test_bad_choices_are_named(tmp_path, line, message):
    (tmp_path / "test-et.jsonl").write_text('{"label": 0}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="test-et.jsonl, line 2: " + message):
        read_choices(tmp_path / "test-et.jsonl")


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--predictions {root}/nowhere --labels {root}/labels", "nowhere: no such folder"),
        ("--predictions {root}/predictions --data_dir {root}/nowhere", "nowhere: no such folder"),
        ("--predictions {root}/empty --labels {root}/labels", "no task folder of xtreme in it (found: none"),
        ("--predictions {root} --labels {root}/labels", "found: empty, labels, predictions"),
        ("--predictions {root}/predictions", "one of the arguments --data_dir --labels is required"),
        ("{good} --data_dir {root}", "not allowed with argument"),
        ("{good} --bench xtreme", "unrecognized arguments"),
        ("{good} --benchmark glue", "invalid choice: 'glue'"),
        ("{good}", "test-de.tsv: 1 predictions for 4 references"),
    ],
)
def test_bad_input_of_score_is_one_line(tree, capsys, flags, says):
    root = tree()
    (root / "empty").mkdir()
    (root / "predictions/xnli/test-de.tsv").write_text("0\n", encoding="utf-8")
    good = f"--predictions {root}/predictions --labels {root}/labels"
    with pytest.raises(SystemExit) as stop:
        main(f"{flags.format(root=root, good=good)} --output_file {root}/scores.json".split())
    output = capsys.readouterr()
    assert stop.value.code == 2 and says in output.err and output.err.count("\n") == 1
    assert output.out == "" and not (root / "scores.json").exists()


def test_an_output_file_that_cannot_be_written_is_a_failure(tree, capsys):
    root = tree()
    path = root / "labels/xnli/test-de.tsv/scores.json"  # below a file
    with pytest.raises(SystemExit) as stop:
        main(f"--predictions {root}/predictions --labels {root}/labels --output_file {path}".split())
    error = capsys.readouterr().err
    assert stop.value.code == 1 and error.count("\n") == 1
    assert str(path) in error and "cannot be written" in error


# --- compare.py


@pytest.fixture
def runs(tmp_path):
    """Two folders of runs of one task; the second has no French and no English."""
    values = {"a": {"en": 90.0, "de": 60.0, "fr": 50.0}, "b": {"de": 70.25}}
    for run, languages in values.items():
        (tmp_path / run).mkdir()
        rows = [
            {"task": "xnli", "language": language, "condition": "clean", "metric": "accuracy", "value": value, "n": 4}
            for language, value in languages.items()
        ]
        text = "".join(json.dumps({**row, "inputs": "", "predictions": ""}) + "\n" for row in rows)
        (tmp_path / run / "results.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_compare_shows_runs_side_by_side(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    compare.main(["a", "b"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["xnli:", "accuracy", "a", "b"]
    assert lines[1:4] == [["en", "90.0", "-"], ["de", "60.0", "70.2"], ["fr", "50.0", "-"]]
    assert lines[4] == ["average", "without", "en", "60.0", "70.2"]  # over the languages that all runs have


@pytest.mark.parametrize("flags, says", [("", "DIR"), ("a nowhere", "nowhere: no scores"), ("a --condition x", "x;")])
def test_bad_input_of_compare_is_one_line(runs, monkeypatch, capsys, flags, says):
    monkeypatch.chdir(runs)
    with pytest.raises(SystemExit) as stop:
        compare.main(flags.split())
    error = capsys.readouterr().err
    assert stop.value.code == 2 and says in error and error.count("\n") == 1


# --- as processes


@pytest.mark.parametrize("script", ("compare.py", "score.py", "download_data.py", "toy_data.py"))
def test_help_and_no_argument(script):
    assert command("--help", script=script).returncode == 0
    done = command(script=script)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and "--help" in done.stderr


def test_output_into_head_is_silent(runs):
    """A reader that goes at once, as `| head -0` does."""
    for arguments in (("a", "b"), ("--help",)):
        line = [sys.executable, REPOSITORY / "compare.py", *arguments]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=runs)
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 0


def test_metrics_names_the_command_to_use():
    done = command(script="metrics.py")
    assert done.returncode == 2 and "python score.py --predictions DIR" in done.stderr and done.stdout == ""


# --- `evaluate`

USE_EVALUATE = """
import json, sys
import evaluate
path, results = sys.argv[1], []
answers = {"text": ["中国人"], "answer_start": [0]}
def compute(task, predictions, references, **options):
    results.append(evaluate.load(path, task).compute(predictions=predictions, references=references, **options))
pets = {"text": ["cat", "dog"], "answer_start": [0, 4]}
compute("xquad", [{"id": "1", "prediction_text": "the cat"}], [{"id": "1", "answers": pets}])
compute("mlqa", [{"id": "1", "prediction_text": "中国"}], [{"id": "1", "answers": answers}], language="zh")
compute("squad_v2", [{"id": "1", "prediction_text": ""}], [{"id": "1", "answers": {"text": [], "answer_start": []}}])
compute("udpos", [["SYM", "SYM"], ["X"]], [["SYM", "X"], ["X"]])
compute("xnli", ["neutral", "neutral"], ["neutral", "entailment"])
compute("bucc2018", [["a\\t1", "b\\t2"], ["a\\t1"]], [["a\\t1"], ["a\\t1"]])
compute("mewslix", [{"id": "m", "entities": ["Q1", "Q2"]}], [{"id": "m", "entities": ["Q2"]}])
compute("lareqa", [{"id": "q", "entities": ["en_1_0", "de_1_0"]}], [{"id": "q", "entities": ["de_1_0"]}])
for task in ("xlni", None):
    try:
        evaluate.load(path, task)
    except ValueError as error:
        results.append(str(error).split(";")[0])
json.dump(results, sys.stdout)
"""


def test_evaluate_loads_it_offline_from_any_folder(tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    arguments = [sys.executable, "-c", USE_EVALUATE, REPOSITORY / "metrics.py"]
    done = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    xquad, mlqa, squad_v2, udpos, xnli, bucc, mewslix, lareqa, unknown, none = json.loads(done.stdout)
    assert xquad == squad_v2 == {"exact_match": 100, "f1": 100}
    assert mlqa == pytest.approx({"exact_match": 0, "f1": 80})
    assert udpos == pytest.approx(score("udpos", [["SYM", "X"], ["X"]], [["SYM", "SYM"], ["X"]]))
    assert xnli == {"accuracy": 50} and mewslix == lareqa == {"map@20": 50}
    assert bucc == pytest.approx({"f1": (200 / 3 + 100) / 2, "precision": 75, "recall": 100})
    assert unknown == "no metric for task 'xlni'" and none == "no metric for task 'default'"


def test_metrics_alone_import_neither_torch_nor_evaluate():
    heavy = {"torch", "evaluate", "datasets", "transformers"}
    code = f"import sys, metrics, score; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()", done.stderr
