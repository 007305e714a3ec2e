"""--tag_piece: where a word's tag is read, from the command line to the head and back."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

import run_intermediate
import run_xtreme
from common import checkpoints
from common.results import Results
from common.run_record import differences, read_run
from heads import ADDED, Settings, tagging
from tasks import TARGETS

FIRST = Settings(max_seq_length=32, doc_stride=8, n_best_size=20, max_answer_length=30)
LETTER = dataclasses.replace(FIRST, tag_piece="first_letter")
SHARED = Path(__file__).resolve().parents[2] / "shared"
# A folder that ../shared/tools/make_small_encoder.py wrote.
ENCODER = Path(os.environ.get("SMALL_ENCODER", SHARED / "e5-small"))
QUICK = "--learning_rate 1e-3 --max_seq_length 48 --max_train_samples 32 --max_steps 2 --disable_tqdm true".split()


# --- Positions


@pytest.fixture(scope="module")
def tokenizer():
    """A SentencePiece-like tokenizer with the pieces of two English words and single Chinese characters."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "▁cat", "s", "中", "国"]
    whole = Tokenizer(models.Unigram([(piece, -float(len(piece) < 2)) for piece in pieces], unk_id=3))
    whole.pre_tokenizer = pre_tokenizers.Metaspace()
    special = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=whole, **special)


def rows_of(sentences):
    return Dataset.from_list([{"id": "0", "words": words, "tags": ["NOUN"] * len(words)} for words in sentences])


def labeled_pieces(sentence, tokenizer, settings):
    """The piece at which each word's tag is trained and read."""
    labels = TARGETS["udpos"].labels
    (feature,) = tagging.encode(rows_of([sentence]), tokenizer, labels, settings)
    trained = [at for at, label in enumerate(feature["labels"]) if label != -100]
    assert trained == feature["first"]
    return tokenizer.convert_ids_to_tokens([feature["input_ids"][at] for at in trained])


def test_first_letter_is_the_first_piece_that_is_not_bare(tokenizer):
    sentence = ["the", "cats", "中国", "国", "?", "▁", "", "中" * 40]
    assert labeled_pieces(sentence, tokenizer, FIRST) == [
        "▁the", "▁cat", "▁", "▁", "▁", "▁", "<unk>", "<unk>"
    ]  # fmt: skip
    # "▁" is a word of two bare pieces, which keeps its first; nothing and too much are <unk>, as before
    assert labeled_pieces(sentence, tokenizer, LETTER) == [
        "▁the", "▁cat", "中", "国", "<unk>", "▁", "<unk>", "<unk>"
    ]  # fmt: skip


def test_the_tag_is_decoded_where_it_was_trained(tokenizer):
    rows, labels = rows_of([["the", "中国", "国"]]), TARGETS["udpos"].labels
    for settings, positions in ((FIRST, [1, 2, 5]), (LETTER, [1, 3, 6])):  # <s> ▁the ▁ 中 国 ▁ 国 </s>
        features = tagging.encode(rows, tokenizer, labels, settings)
        assert features["input_ids"] == [[0, 5, 4, 8, 9, 4, 9, 2]]
        predictions = tagging.decode(rows, features, {"label": [np.arange(8)]}, labels, settings)
        assert predictions == [[labels[position] for position in positions]]


def test_a_tokenizer_without_bare_pieces_reads_the_first(tokenizer):
    """There the ids of "▁" and "Ġ" are that of <unk>, at which a word may well begin."""
    whole = Tokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "the": 4}, unk_token="<unk>"))
    plain = PreTrainedTokenizerFast(tokenizer_object=whole, cls_token="<s>", sep_token="</s>", unk_token="<unk>")
    assert tagging.bare_pieces(plain) == set() and tagging.bare_pieces(tokenizer) == {4}
    assert (
        labeled_pieces(["the", "?"], plain, LETTER) == labeled_pieces(["the", "?"], plain, FIRST) == ["the", "<unk>"]
    )


def test_more_than_a_third_of_bare_words_is_worth_a_line(tokenizer):
    def advice(words, settings=FIRST):
        features = tagging.encode(rows_of([words]), tokenizer, TARGETS["udpos"].labels, settings)
        return tagging.advice(features, tokenizer, settings)

    assert advice(["the", "the", "中"]) == ""
    assert '40 % of the words begin with a bare "▁"' in advice(["the", "the", "the", "中", "国"])
    assert "--tag_piece first_letter" in advice(["中"])
    assert advice(["中"], LETTER) == ""


@pytest.mark.shared
@pytest.mark.skipif(not (ENCODER.is_dir() and SHARED.is_dir()), reason="no real encoder or no real data here")
@pytest.mark.parametrize("language, share", [("zh", 86), ("ja", 93), ("en", 10)])
def test_real_words_are_read_at_their_letters(language, share):
    tokenizer, task = AutoTokenizer.from_pretrained(ENCODER), TARGETS["udpos"]
    rows = tagging.read(task, SHARED / "data/xtreme", "test", language)
    bare, words = {}, sum(map(len, rows["words"]))
    for settings in (FIRST, LETTER):
        features = tagging.encode(rows, tokenizer, task.labels, settings)
        ids = [window[at] for window, first in zip(features["input_ids"], features["first"]) for at in first]
        assert len(ids) == words
        bare[settings.tag_piece] = 100 * sum(token in tagging.bare_pieces(tokenizer) for token in ids) / words
        says = tagging.advice(features, tokenizer, settings)
        assert bool(says) == (settings == FIRST and language != "en")
    assert bare["first"] == pytest.approx(share, abs=5) and bare["first_letter"] < 0.1  # percent


# --- Phase 3


def target(toy, output, *flags, model=None, task="udpos"):
    folders = ["--data_dir", str(toy / "xtreme"), "--model_name_or_path", str(model or toy / "model")]
    return ["--task", task, *folders, "--output_dir", str(output), "--languages", "en", "zh", *QUICK, *flags]


def refusal(main, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def recorded(folder):
    """What config.json and run.json say: (the head's, the one of this run, where it comes from)."""
    own = (
        json.loads((folder / "config.json").read_text()).get("tag_piece")
        if (folder / "config.json").exists()
        else None
    )
    resolved = {name: (value, origin) for name, value, origin in read_run(folder)["resolved"]}
    return own, *resolved["tag_piece"]


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    """Two finished UD-POS runs: first (not given), and first_letter."""
    folder = tmp_path_factory.mktemp("tag_piece")
    run_xtreme.main(target(toy, folder / "first", "--do_train", "--do_predict"))
    run_xtreme.main(target(toy, folder / "letter", "--do_train", "--do_predict", "--tag_piece", "first_letter"))
    return folder


def test_the_default_leaves_no_trace_in_what_older_folders_have(trained):
    assert recorded(trained / "first") == (None, "first", "XTREME's protocol")
    assert "tag_piece" not in read_run(trained / "first")["training"]
    assert FIRST.as_inputs() == {name: value for name, value in vars(FIRST).items() if name not in ADDED}
    assert "tag_piece" not in FIRST.as_given() and LETTER.as_given()["tag_piece"] == "first_letter"


def test_it_is_on_record_and_decides_the_cells(trained):
    assert recorded(trained / "letter") == ("first_letter", "first_letter", "given")
    assert read_run(trained / "letter")["training"]["tag_piece"] == "first_letter"
    inputs = [{entry["inputs"] for entry in Results(trained / name).entries} for name in ("first", "letter")]
    assert not inputs[0] & inputs[1]


def test_a_rerun_resumes_and_another_is_refused(trained, toy, tmp_path, capsys):
    folder = Path(shutil.copytree(trained / "letter", tmp_path / "letter"))
    about = read_run(folder)
    about["training"]["finished"] = False  # as if killed before its end
    (folder / "run.json").write_text(json.dumps(about))
    again = target(toy, folder, "--do_train", "--do_predict")
    assert "(tag_piece first_letter there, not given here); name a new" in refusal(run_xtreme.main, again, capsys)
    before = (folder / "model.safetensors").read_bytes()
    run_xtreme.main([*again, "--tag_piece", "first_letter"])
    assert (folder / "model.safetensors").read_bytes() == before and recorded(folder)[0] == "first_letter"


def test_prediction_keeps_the_heads(trained, toy, tmp_path, capsys, caplog):
    run_xtreme.main(target(toy, tmp_path / "run", "--do_predict", model=trained / "letter"))
    assert recorded(tmp_path / "run") == (None, "first_letter", "the kept head's")
    for language in ("en", "zh"):
        path = f"predictions/clean/udpos/test-{language}.tsv"
        assert (tmp_path / "run" / path).read_bytes() == (trained / "letter" / path).read_bytes()
    for own, other in (("letter", "first"), ("first", "first_letter")):
        flags = ["--do_predict", "--tag_piece", other]
        says = refusal(run_xtreme.main, target(toy, tmp_path / "x", *flags, model=trained / own), capsys)
        assert f"--tag_piece {other}: the head in {trained / own} was trained with " in says
        assert not (tmp_path / "x").exists()


def test_training_goes_on_with_a_kept_head_or_forgets_it(trained, toy, tmp_path, capsys):
    kept = target(toy, tmp_path / "kept", "--do_train", "--keep_head", model=trained / "letter")
    assert "was trained with first_letter" in refusal(run_xtreme.main, [*kept, "--tag_piece", "first"], capsys)
    run_xtreme.main(kept)
    assert recorded(tmp_path / "kept") == ("first_letter", "first_letter", "the kept head's")
    assert read_run(tmp_path / "kept")["training"]["tag_piece"] == "first_letter"
    run_xtreme.main(target(toy, tmp_path / "fresh", "--do_train", model=trained / "letter"))
    assert recorded(tmp_path / "fresh") == (None, "first", "XTREME's protocol")


def test_values_that_are_none_are_refused(trained, toy, tmp_path, capsys):
    says = refusal(run_xtreme.main, target(toy, tmp_path / "x", "--do_train", "--tag_piece", "first_leter"), capsys)
    assert "--tag_piece first_leter: unknown; did you mean 'first_letter'?; choose from first, first_letter" in says
    flags = ["--do_train", "--tag_piece", "first_letter"]
    says = refusal(run_xtreme.main, target(toy, tmp_path / "x", *flags, task="xnli"), capsys)
    assert "--tag_piece first_letter: only tagging has tags to read" in says
    spoiled = Path(shutil.copytree(trained / "letter", tmp_path / "spoiled"))
    config = json.loads((spoiled / "config.json").read_text())
    (spoiled / "config.json").write_text(json.dumps({**config, "tag_piece": ["last"]}))
    says = refusal(run_xtreme.main, target(toy, tmp_path / "x", "--do_predict", model=spoiled), capsys)
    assert "has the tag_piece ['last'], which is not one of first, first_letter; train a new head" in says
    assert not (tmp_path / "x").exists()


# --- Phase 2


@pytest.fixture(scope="module")
def mixed(toy, trained, tmp_path_factory):
    """A phase-2 folder, from a first_letter run, with a CCG head and that of an own task with UD-POS's labels."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "own").mkdir()
    rows = [{"tokens": ["中", *TARGETS["udpos"].labels], "tags": ["NOUN", *TARGETS["udpos"].labels]}] * 8
    for split in ("train", "validation"):
        (folder / f"own/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_intermediate.main(mixture(toy, folder, folder / "run", trained / "letter", "--do_train", "--do_eval"))
    letter = ["--do_train", "--do_eval", "--tag_piece", "first_letter"]
    run_intermediate.main(mixture(toy, folder, folder / "letter", toy / "model", *letter))
    return folder


def mixture(toy, folder, output, model, *flags):
    tasks = ["--tasks", "ccg", "--extra_task", f"mine=tagging:{folder / 'own'}", "--max_eval_samples", "8"]
    folders = [
        "--data_dir",
        str(toy / "intermediate"),
        "--model_name_or_path",
        str(model),
        "--output_dir",
        str(output),
    ]
    return [*tasks, *folders, "--collapse_guard", "off", *QUICK, *flags]


def test_heads_beside_an_encoder_know_theirs(mixed):
    for name, own in (("run", None), ("letter", "first_letter")):
        stored = checkpoints.stored_heads(mixed / name)[0]
        assert {task: about.get("tag_piece") for task, about in stored.items()} == {"ccg": own, "mine": own}
        assert not hasattr(AutoConfig.from_pretrained(mixed / name), "tag_piece")  # nor the parent's
        settings = read_run(mixed / name)["training"]["settings"]
        assert {task: about.get("tag_piece") for task, about in settings.items()} == {"ccg": own, "mine": own}


def test_their_dev_scores_and_targets_keep_it(mixed, toy, tmp_path, capsys):
    evaluate = mixture(toy, mixed, tmp_path / "dev", mixed / "letter", "--do_eval")
    says = refusal(run_intermediate.main, [*evaluate, "--tag_piece", "first"], capsys)
    assert f"the head of ccg in {mixed / 'letter'} was trained with first_letter" in says
    run_intermediate.main(evaluate)
    scores = [
        [(entry["task"], entry["metric"], entry["value"]) for entry in Results(folder).entries]
        for folder in (tmp_path / "dev", mixed / "letter")
    ]
    assert scores[0] == scores[1]
    predict = target(toy, tmp_path / "run", "--do_predict", "--keep_head", "mine", model=mixed / "letter")
    says = refusal(run_xtreme.main, [*predict, "--tag_piece", "first"], capsys)
    assert "was trained with first_letter" in says and not (tmp_path / "run").exists()
    run_xtreme.main(predict)
    assert recorded(tmp_path / "run")[1:] == ("first_letter", "the kept head's")


def test_phase_two_refuses_another_rerun_and_useless_flags(mixed, toy, tmp_path, capsys):
    again = mixture(toy, mixed, mixed / "letter", toy / "model", "--do_train", "--do_eval")
    assert "settings.ccg.tag_piece first_letter there, not given here" in refusal(run_intermediate.main, again, capsys)
    flags = ["--tasks", "mnli", "--data_dir", str(toy / "intermediate"), "--model_name_or_path", str(toy / "model")]
    flags += ["--output_dir", str(tmp_path / "x"), "--do_train", "--tag_piece", "first_letter"]
    assert "only tagging has tags to read" in refusal(run_intermediate.main, flags, capsys)


def test_the_log_names_the_files_that_are_worth_it(mixed, trained, toy, tmp_path, caplog):
    caplog.set_level("INFO", "xtreme")
    says = 'words begin with a bare "▁"'
    (tmp_path / "udpos").mkdir()
    (tmp_path / "udpos/test-zh.tsv").write_text("坡\tNOUN\n" * 3, encoding="utf-8")
    shutil.copy(toy / "xtreme/udpos/test-en.tsv", tmp_path / "udpos")
    for name, count in (("first", 1), ("letter", 0)):
        flags = ["--do_predict", "--conditions", f"odd={tmp_path}"]
        run_xtreme.main(target(toy, tmp_path / name, *flags, model=trained / name))
        lines = [line for line in caplog.messages if says in line]
        assert [line.partition("%")[0] for line in lines] == ["zh odd: 100 "] * count
        caplog.clear()
    run_intermediate.main(mixture(toy, mixed, tmp_path / "dev", mixed / "run", "--do_eval"))
    assert any(line.startswith("mine dev: ") and says in line for line in caplog.messages)


def test_differences_name_inner_settings():
    old, new = {"settings": {"ccg": {"doc_stride": 8}}, "seed": 1}, {"settings": {"ccg": {"doc_stride": 9}}, "seed": 1}
    assert differences(old, new) == ["settings.ccg.doc_stride 8 there, 9 here"]
