"""--qa_decoding xtreme: answers as XTREME's scripts find them, by hand, on real files, and from the command line."""

import dataclasses
import json
import os
from bisect import bisect_left, bisect_right
from pathlib import Path

import pytest
import torch
from conftest import on_toy
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import metrics
import run_intermediate
import run_xtreme
from common.results import Results
from common.run_record import read_run
from heads import Settings, head_of, qa_decoding, question_answering
from tasks import TARGETS

SPAN = Settings(max_seq_length=384, doc_stride=128, n_best_size=20, max_answer_length=30)
XTREME = dataclasses.replace(SPAN, qa_decoding="xtreme")
SHARED = Path(__file__).resolve().parents[2] / "shared"
# A folder that ../shared/tools/make_small_encoder.py wrote, with XLM-R's whole vocabulary.
ENCODER = Path(os.environ.get("SMALL_ENCODER", SHARED / "e5-small"))


# --- By hand


@pytest.mark.parametrize(
    "text, chunk, answer",
    [
        ("Steve Smith", "Steve Smith's", "Steve Smith"),
        ("1901년", "1901년부터", "1901년"),
        ("NH2 (", "the NH2 (x)", "NH2 ("),
        ("U.S", "the U.S. of", "the U.S. of"),  # its tokens are U . S .
        ("南水", "南水北調", "南水北調"),  # a token each
        ("水", "南水北調", "水"),
        ("a , b", "a, b", "a, b"),
        ("", "a b", "a b"),
        ("b", "a\u200bb c", "a\u200bb c"),  # cleaning removes a character: the places do not agree
        ("½", "1⁄2", "1⁄2"),
    ],
)
def test_a_text_is_located_among_words_or_they_are_taken_whole(text, chunk, answer):
    assert qa_decoding.locate(text, chunk) == answer


def poorer_side(windows, position):
    """The window of (begin, length) that owns a position, by the words of XTREME's _new_check_is_max_context."""
    best, owner = None, None
    for number, (begin, length) in enumerate(windows):
        if begin <= position < begin + length:
            score = min(position - begin, begin + length - 1 - position) + 0.01 * length
            if best is None or score > best:
                best, owner = score, number
    return owner


@pytest.mark.parametrize(
    "lengths, step, expected",
    [
        ([10], 4, [(0, 10)]),
        ([10, 10, 7], 4, [(0, 7), (3, 7), (3, 7)]),
        ([30, 4], 28, [(0, 29), (1, 4)]),
        ([300, 299], 2, [(0, 151), (149, 299)]),
        ([0], 0, [(0, 0)]),
    ],
)
def test_an_answer_may_begin_where_most_is_shown_around_it(lengths, step, expected):
    own = qa_decoding.may_begin(lengths, step)
    assert own == expected
    windows = [(step * number, length) for number, length in enumerate(lengths)]
    for position in range(windows[-1][0] + windows[-1][1]):
        owner = poorer_side(windows, position)
        begins = [first <= position - begin < end for (begin, _), (first, end) in zip(windows, own)]
        assert begins == [number == owner for number in range(len(windows))]


def special(whole):
    names = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=whole, **names)


@pytest.fixture(scope="module")
def letters():
    """A SentencePiece-like tokenizer: a piece for each letter, and one for the blank before a word."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdeq中国人.'"]
    whole = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    whole.pre_tokenizer = pre_tokenizers.Metaspace()
    return special(whole)


def front_of(context, tokenizer):
    """Where the context begins in its first window."""
    return question_answering.encode(row_of(context), tokenizer, (), SPAN)["context"][0][0]


def row_of(context):
    answers = {"text": [context[0]], "answer_start": [0]}
    return Dataset.from_list([{"id": "1", "context": context, "question": "q", "answers": answers, "paragraph": 0}])


def answer(context, tokenizer, settings, *best):
    """The answer where the logits of a question are 0 but at `best` (window, side, position, logit)."""
    rows = row_of(context)
    features = question_answering.encode(rows, tokenizer, (), settings)
    width = max(features["length"])
    logits = torch.zeros(len(features), 2, width)
    for window, length in enumerate(features["length"]):
        logits[window, :, length:] = -torch.inf  # as `forward` leaves padding
    for window, side, position, logit in best:
        logits[window, side, position] = logit
    batch = {"context": torch.tensor(list(features["context"]))}
    reduced = question_answering.reduce(logits, batch, settings)
    reduced = {name: list(values.numpy()) for name, values in reduced.items()}
    return question_answering.decode(rows, features, reduced, (), settings)[0]


@pytest.mark.parametrize(
    "first, last, by_characters, by_words",
    [
        ("a", "b", "ab", "ab"),
        ("d", "d", "d", "d"),  # found within "de."
        ("中", "国", "中国", "中国人"),  # not found: the word is taken whole
        ("e", "中", "e. 中", "de. 中国人"),
        ("国", "国", "国", "国"),
    ],
)
def test_answers_of_words_without_blanks_become_whole_words(letters, first, last, by_characters, by_words):
    context = "ab de. 中国人"
    ids, front = letters(context)["input_ids"], front_of(context, letters)
    best = [(0, side, front + letters.convert_ids_to_tokens(ids).index(piece), 9.0) for side, piece in
            enumerate((first, last))]  # fmt: skip
    assert answer(context, letters, SPAN, *best) == by_characters
    assert answer(context, letters, XTREME, *best) == by_words


def test_the_best_of_all_tokens_may_leave_no_answer(letters):
    """A start in the question pushes the context's out of a list of one."""
    front = front_of("ab", letters)
    best = (0, 0, 0, 9.0), (0, 0, front + 2, 5.0), (0, 1, front + 2, 5.0)  # "▁" "a" "b": the answer "b"
    for settings, expected in ((SPAN, "b"), (XTREME, "empty")):
        assert answer("ab", letters, dataclasses.replace(settings, n_best_size=1), *best) == expected
        assert answer("ab", letters, settings, *best) == "b"


def test_the_window_that_shows_most_decides(letters):
    context = "abcde" * 8
    settings = dataclasses.replace(XTREME, max_seq_length=24, doc_stride=8)
    features = question_answering.encode(row_of(context), letters, (), settings)
    (front, end), own = features["context"][0], list(features["may_begin"])
    assert own[0][0] == front and own[0][1] < end
    names = [letters.convert_ids_to_tokens(ids) for ids in features["input_ids"]]
    first, second = end - 1, own[1][0] + 2  # the first window's last token, one in the middle of the second
    assert names[0][first] != names[1][second]
    best = [(0, side, first, 9.0) for side in (0, 1)] + [(1, side, second, 5.0) for side in (0, 1)]
    assert answer(context, letters, settings, *best) == names[1][second]
    assert answer(context, letters, dataclasses.replace(settings, qa_decoding="span"), *best) == names[0][first]


def test_pieces_of_the_three_kinds_of_tokenizers(letters):
    context = "ab cd"
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "ab": 1, "c": 2, "##d": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bytes_of = Tokenizer(models.BPE({letter: number for number, letter in enumerate("abcdĠ")}, []))
    bytes_of.pre_tokenizer, bytes_of.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    for tokenizer, expected in (
        (letters, ["▁", "a", "b", "▁", "c", "d"]),
        (special(words), ["▁ab", "▁c", "d"]),
        (special(bytes_of), ["a", "b", "▁", "c", "d"]),
    ):
        encoded = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
        assert qa_decoding.pieces_of(tokenizer, encoded["input_ids"], encoded["offset_mapping"], context) == expected


# --- From the command line

QUICK = "--max_seq_length 64 --max_predict_samples 20 --max_train_samples 16 --max_steps 1 --disable_tqdm true".split()


def test_it_is_recorded_belongs_to_the_training_and_redoes_the_cells(toy, tmp_path, capsys):
    argv = [*on_toy(toy, "xquad", tmp_path / "run"), *QUICK, "--languages", "en", "zh"]
    run_xtreme.main([*argv, "--do_train", "--do_predict", "--qa_decoding", "xtreme"])
    before, record = {entry["inputs"] for entry in Results(tmp_path / "run").entries}, read_run(tmp_path / "run")
    assert ["qa_decoding", "xtreme", "given"] in record["resolved"]
    path = tmp_path / "run/predictions/clean/xquad/test-zh.json"
    answers = json.loads(path.read_text(encoding="utf-8"))
    assert len(answers) == 20 and all(answers.values())
    with pytest.raises(SystemExit) as end:
        run_xtreme.main([*argv, "--do_train", "--do_predict"])
    assert end.value.code == 2 and "qa_decoding xtreme there, not given here" in capsys.readouterr().err

    predict = [*on_toy(toy, "xquad", tmp_path / "run", tmp_path / "run"), *QUICK, "--languages", "en", "zh"]
    run_xtreme.main([*predict, "--do_predict"])
    assert read_run(tmp_path / "run")["later"][-1]["arguments"]["qa_decoding"] == "span"
    assert not before & {entry["inputs"] for entry in Results(tmp_path / "run").entries}


def test_phase_2_scores_its_dev_sets_with_it(toy, tmp_path):
    folders = ["--data_dir", str(toy / "intermediate"), "--model_name_or_path", str(toy / "model")]
    flags = (
        "--max_seq_length 64 --max_eval_samples 30 --max_train_samples 16 --max_steps 1 --disable_tqdm true".split()
    )
    flags += "--tasks squad squad_v2 --do_train --do_eval --collapse_guard off --qa_decoding xtreme".split()
    run_intermediate.main([*folders, "--output_dir", str(tmp_path / "run"), *flags])
    record = read_run(tmp_path / "run")
    assert ["qa_decoding of squad_v2", "xtreme", "given"] in record["resolved"]
    assert record["training"]["settings"]["squad"]["qa_decoding"] == "xtreme"
    answers = json.loads((tmp_path / "run/predictions/dev/squad/dev-en.json").read_text(encoding="utf-8"))
    assert len(answers) == 30 and all(answers.values())
    assert (tmp_path / "run/predictions/dev/squad_v2/dev-en.json").exists()


@pytest.mark.parametrize(
    "task, decoding, line",
    [
        ("xquad", "xtrem", "--qa_decoding xtrem: unknown; did you mean 'xtreme'?"),
        ("xquad", "", "--qa_decoding : unknown"),
        ("panx", "xtreme", "--qa_decoding xtreme: only question answering has answers to find"),
    ],
)
def test_it_is_refused_in_one_line(toy, tmp_path, task, decoding, line, capsys):
    with pytest.raises(SystemExit) as end:
        run_xtreme.main([*on_toy(toy, task, tmp_path / "run"), "--do_predict", "--qa_decoding", decoding])
    assert end.value.code == 2 and line in capsys.readouterr().err and not (tmp_path / "run").exists()


# --- Real files, perfect logits: what a perfect model reaches


def trained_by_theirs(rows, features, tokenizer, step):
    """Tokens [windows, 2] at which XTREME trains answers: their words, or what in them has the answer's tokens."""
    spans = []
    for row in rows:
        encoded = tokenizer(row["context"], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids, text, start = encoded["input_ids"], row["answers"]["text"][0], row["answers"]["answer_start"][0]
        starts = [word.start() for word in qa_decoding.WORD.finditer(row["context"])]
        words = [bisect_right(starts, max(begin, end - 1)) for begin, end in encoded["offset_mapping"]]
        first = bisect_left(words, bisect_right(starts, start))
        last = bisect_right(words, bisect_right(starts, start + len(text) - 1)) - 1
        wanted = tokenizer(text, add_special_tokens=False)["input_ids"]
        parts = ((a, b) for a in range(first, last + 1) for b in range(last, a - 1, -1))
        spans.append(next(((a, b) for a, b in parts if ids[a : b + 1] == wanted), (first, last)))
    targets, number = [], {}
    for example, (front, end) in zip(features["example"], features["context"]):
        number[example] = number.get(example, -1) + 1
        first, last = (token + front - number[example] * step for token in spans[example])
        targets.append([first, last] if front <= first and last < end else [0, 0])
    return targets


def ceiling(name, language, tokenizer, settings, theirs=False):
    """(exact match, F1) of perfect logits: those of a model that is sure of the tokens it is trained on."""
    task, head = TARGETS[name], head_of(TARGETS[name])
    rows = head.read(task, SHARED / "data/xtreme", "test", language)
    features = head.encode(rows, tokenizer, (), settings)
    targets, lengths = features["labels"], torch.tensor(features["length"])
    if theirs:
        targets = trained_by_theirs(rows, features, tokenizer, settings.doc_stride)
    # the others fall slightly: no two are alike, as from a model
    logits = torch.linspace(0, -0.1, settings.max_seq_length).repeat(len(features), 2, 1)
    logits.scatter_(2, torch.tensor(list(targets))[:, :, None], 10.0)
    logits[torch.arange(logits.shape[2]).expand(logits.shape) >= lengths[:, None, None]] = -torch.inf
    reduced = head.reduce(logits, {"context": torch.tensor(list(features["context"]))}, settings)
    reduced = {name: list(values.numpy()) for name, values in reduced.items()}
    answers = dict(zip(rows["id"], head.decode(rows, features, reduced, (), settings)))
    scores = metrics.aggregate(name, metrics.count(name, head.references(rows), answers, language))
    return scores["exact_match"], scores["f1"]


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not (ENCODER.is_dir() and SHARED.is_dir()), reason="no real encoder or no real data here")
@pytest.mark.parametrize(
    "name, language, by_characters, by_words, as_they_train",
    [
        ("xquad", "zh", (98.7, 98.8), (66.7, 69.1), (68.0, 68.7)),
        ("mlqa", "zh", (92.0, 95.0), (12.0, 25.6), (3.1, 12.2)),
        ("tydiqa", "ko", (86.2, 90.3), (79.7, 86.1), (76.1, 82.6)),
    ],
)
def test_perfect_logits_reach_what_xtremes_own_code_does(name, language, by_characters, by_words, as_they_train):
    """The last two were computed with transformers 2.4.1's squad_metrics.py: every answer was the same."""
    tokenizer = AutoTokenizer.from_pretrained(ENCODER)
    cases = (SPAN, False, by_characters), (XTREME, False, by_words), (XTREME, True, as_they_train)
    for settings, theirs, expected in cases:
        assert ceiling(name, language, tokenizer, settings, theirs) == pytest.approx(expected, abs=0.5)
