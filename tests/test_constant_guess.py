"""The level to beat: what a constant guess scores stands in results.jsonl, in tables and in warnings."""

import json
import logging
import types

import pytest
from datasets import Dataset

import run_intermediate
import run_xtreme
from common import training_arguments
from common.prediction import Predictor
from common.results import Results, table
from heads import head_of
from mixture import job
from tasks import TARGETS


def predictor(name):
    """A Predictor that only counts."""
    args = {"per_device_eval_batch_size": 1, "device": "cpu", "bf16": False, "deepspeed": None, "disable_tqdm": True}
    tokenizer, settings = types.SimpleNamespace(pad_token_id=1), types.SimpleNamespace(max_seq_length=16)
    return Predictor(head_of(TARGETS[name]), (), settings, types.SimpleNamespace(**args), tokenizer)


def test_the_best_of_all_constant_guesses_is_the_level():
    rows = Dataset.from_dict({"id": list("abcd"), "label": ["entailment", "neutral", "neutral", "contradiction"]})
    assert predictor("xnli").constant_guess(TARGETS["xnli"], rows, "en") == {"accuracy": 50.0}
    rows = Dataset.from_dict(
        {"id": list("ab"), "words": [["a", "b", "c"], ["d"]], "tags": [["NOUN", "VERB", "NOUN"], ["NOUN"]]}
    )
    assert predictor("udpos").constant_guess(TARGETS["udpos"], rows, "zh")["accuracy"] == 75.0
    unlabeled = Dataset.from_dict({"id": list("ab"), "label": [None, None]})
    assert predictor("xnli").constant_guess(TARGETS["xnli"], unlabeled, "en") is None


@pytest.fixture
def results(tmp_path):
    """Three languages, of which zh has no more than a guess; ja is missing under noise, th has no labels."""
    results = Results(tmp_path)
    for condition, values in {"clean": {"en": 90, "zh": 50, "ja": 80}, "swap": {"en": 60, "zh": 40}}.items():
        for language, value in values.items():
            results.add(TARGETS["pawsx"], language, condition, {"accuracy": value}, None, 9, "", {"accuracy": 50.0})
    results.add(TARGETS["pawsx"], "th", "clean", None, None, 9, "")
    return results


def test_table_and_results_name_the_level_and_who_is_not_above_it(results):
    text = table(results, TARGETS["pawsx"], ["en", "ja", "th", "zh"], ["clean", "swap"], ("accuracy",))
    rows = {line.split("  ")[0]: line.split()[-4:] for line in text.splitlines()}
    assert rows["en"] == ["9", "50.0", "90.0", "60.0"] and rows["ja"][-3:] == ["50.0", "80.0", "-"]
    assert rows["average of 2 shared"][-3:] == ["50.0", "70.0", "50.0"]
    assert rows["average without en of 1 shared"][-3:] == ["50.0", "50.0", "40.0"]
    assert "clean: not above a constant guess: zh" in text and "swap: not above a constant guess: zh" in text
    levels = {entry["language"]: entry["constant_guess"] for entry in Results(results.folder).entries}
    assert levels == {"en": 50.0, "zh": 50.0, "ja": 50.0, "th": None}


def test_results_of_earlier_versions_have_no_level(results):
    for entry in results.entries:
        del entry["constant_guess"]
    text = table(results, TARGETS["pawsx"], ["en", "zh"], ["clean"], ("accuracy",))
    assert "constant guess" not in text and text.splitlines()[1].split() == ["language", "examples", "clean"]


def test_english_dev_at_the_level_of_a_guess_is_a_warning(caplog):
    dev = Dataset.from_dict({"id": list("abcd"), "label": ["0", "1", "1", "0"]})
    with caplog.at_level(logging.WARNING, "xtreme"):
        run_xtreme.warn_of_a_guess(TARGETS["pawsx"], predictor("pawsx"), dev, {"eval_accuracy": 0.75})
        assert not caplog.messages
        run_xtreme.warn_of_a_guess(TARGETS["pawsx"], predictor("pawsx"), dev, {"eval_accuracy": 0.5})
    assert "accuracy on dev is 50.0, and a constant guess has 50.0" in caplog.text


def encoder(weights):
    return types.SimpleNamespace(num_parameters=lambda exclude_embeddings: weights)


def test_small_encoders_are_told_which_learning_rates_to_try():
    advice = training_arguments.rate_advice(encoder(21.3e6), 1e-5)
    assert "--learning_rate from 2e-05 to 0.0001" in advice and "XLM-R Large" in advice and "21.3 million" in advice
    assert training_arguments.rate_advice(encoder(303e6), 1e-5) == ""
    assert training_arguments.rate_advice(encoder(21.3e6), 1e-4) == ""
    args = types.SimpleNamespace(learning_rate=1e-5)
    at_chance = {"seed": 4, "reason": "dev scores are not above those of a constant guess", "advice": advice}
    assert f"try --seed 5 or {advice} in a new" in job.collapse_message([at_chance], args)
    assert "--learning_rate 5e-06" in job.collapse_message([{**at_chance, "reason": "the loss is not finite"}], args)
    assert "--learning_rate 5e-06" in job.collapse_message([{"seed": 4, "reason": "at chance"}], args)


def test_defaults_say_for_which_size_they_were_made_and_phase_2_counts_its_flops(toy, tmp_path, caplog):
    line = f"--data_dir {toy}/intermediate --model_name_or_path {toy}/model --output_dir {tmp_path}/out --tasks mnli"
    more = "--do_train --max_steps 2 --max_train_samples 8 --max_seq_length 16 --disable_tqdm true --save_strategy no"
    with caplog.at_level(logging.INFO, "xtreme"):
        run_intermediate.main(f"{line} {more}".split())
    assert "made for XLM-R Large" in caplog.text and "learning rate: try --learning_rate from 2e-05" in caplog.text
    assert json.loads((tmp_path / "out/trainer_state.json").read_text())["total_flos"] > 1e6
    out, line = tmp_path / "kept", f"--task xnli --data_dir {toy}/xtreme --model_name_or_path {tmp_path}/out"
    caplog.clear()
    with caplog.at_level(logging.INFO, "xtreme"):
        run_xtreme.main(f"{line} --output_dir {out} --keep_head mnli --do_predict --languages en".split())
    assert "head mnli from heads.safetensors" in caplog.text and "new:" not in caplog.text
