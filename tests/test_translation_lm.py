"""tlm: pairs with English from both layouts, both sides hidden, positions as XLM-R has them, alone and in mixtures."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForMaskedLM, AutoTokenizer

import run_intermediate
from common import checkpoints
from common.batching import Collator
from common.files import InputError
from common.results import Results
from heads import Settings, masked_lm, translation_lm
from heads.training_pairs import find_pairs
from mixture.model import load_multitask

SETTINGS = Settings(64, 0, 20, 30)


@pytest.fixture(scope="module")
def tokenizer(toy):
    return AutoTokenizer.from_pretrained(toy / "model")


def write(folder, **files):
    """Files of these lines; the first `_` of a name is its dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name.replace("__", "-").replace("_", ".")).write_text("".join(f"{line}\n" for line in lines))
    return folder


def features_of(tokenizer, *pairs):
    rows = Dataset.from_list([{"text": text, "english": english, "language": "de"} for text, english in pairs])
    return translation_lm.encode(rows, tokenizer, (), SETTINGS)


# --- What is read


def test_pairs_of_both_layouts(tmp_path):
    numbers = [f"satz {number}" for number in range(40)]
    english = [f"sentence {number}" for number in range(40)]
    shared = write(tmp_path / "text", de_txt=numbers, sw_txt=numbers, en_txt=english)
    split = {"train_de__en_de": numbers[:30], "train_de__en_en": english[:30], "train_en__fi_fi": numbers[:20]}
    split |= {"train_en__fi_en": english[:20], "dev_de__en_de": numbers[30:], "dev_de__en_en": english[30:]}
    pairs = write(tmp_path / "pairs", **split, test_ru__en_ru=numbers, test_ru__en_en=english)
    rows = translation_lm.read([pairs], ("en",), "train")
    assert list(rows["language"]) == ["de"] * 30 + ["fi"] * 19  # ru is a test set; fi has no dev: its last line is
    assert rows[7] == {"text": "satz 7", "english": "sentence 7", "language": "de"}
    dev = translation_lm.read([pairs], ("en",), "dev")
    assert list(dev["text"]) == ["satz 19", *numbers[30:]] or list(dev["text"]) == [*numbers[30:], "satz 19"]
    # <lang>.txt: 5 % of the lines are dev
    assert list(translation_lm.read([shared], ("en", "sw"), "train")["text"]) == numbers[:38]
    assert list(translation_lm.read([shared], ("en", "sw"), "dev")["english"]) == english[38:]
    both = translation_lm.read([pairs, shared], ("en", "sw", "de"), "train", limit=5)
    assert list(both["language"]) == ["sw"] * 5 + ["de"] * 10


def test_languages_are_those_of_task_languages(toy):
    folders = [toy / "parallel/pairs"]
    assert list(find_pairs(folders, "train", ("en",))) == ["de", "hi", "ru"]
    assert list(find_pairs(folders, "train", ("en", "ru"))) == ["ru"]
    with pytest.raises(
        InputError, match="--task_languages sw: --tlm_dirs .* has no pairs of it with English; .* de hi"
    ):
        find_pairs(folders, "train", ("en", "sw"))


@pytest.mark.parametrize(
    "files, says",
    [
        ({"train_de__en_de": ["a", "b"], "train_de__en_en": ["a"]}, "2 lines but train.de-en.en has 1"),
        ({"train_de__en_de": ["a", "b", "c"], "train_de__en_en": ["a", "\u200b", "c"]}, "en, line 2: is empty"),
        ({"train_de__en_de": ["a"], "train_de__en_en": ["a"]}, "a single line"),
        ({"train_de__en_de": ["a"]}, "train.de-en.en: does not exist"),
        ({"test_de__en_de": ["a"], "test_de__en_en": ["a"]}, "no pairs with English to train on"),
        ({"de_txt": ["a"], "ru_txt": ["a"]}, "no pairs with English to train on"),
    ],
)
def test_lines_that_are_no_pairs(tmp_path, files, says):
    folder = write(tmp_path / "pairs", **files)
    with pytest.raises(InputError, match=says):
        translation_lm.read([folder], ("en",), "train")


# --- What the encoder sees


def test_a_pair_is_xlmrs_and_each_side_is_hidden(toy, tokenizer):
    lines = [(toy / f"parallel/pairs/train.de-en.{code}").read_text().splitlines() for code in ("de", "en")]
    pairs = list(zip(*lines))[:300]
    features = features_of(tokenizer, *pairs)
    mask = translation_lm.masking(tokenizer)
    for index, (feature, pair) in enumerate(zip(features, pairs)):
        source, english = tokenizer(list(pair), add_special_tokens=False)["input_ids"]
        assert feature["input_ids"] == [0, *source, 2, 2, *english, 2]  # <s> A </s></s> B </s>
        hidden = mask(feature, np.random.default_rng(index))
        sides = hidden["masked"][1 : len(source) + 1], hidden["masked"][len(source) + 3 : -1]
        for tokens, masked in zip((source, english), sides):
            assert sum(masked) == max(1, round(0.15 * len(tokens)))
        assert sum(hidden["masked"]) == sum(map(sum, sides))  # no special token
        assert [label for label in hidden["labels"] if label != -100] == [
            token for token, masked in zip(feature["input_ids"], hidden["masked"]) if masked
        ]


def test_the_longer_side_is_cut_first(tokenizer):
    tokens = features_of(tokenizer, (" ".join(["buko"] * 100), "buko"))[0]
    assert tokens["length"] == len(tokens["input_ids"]) == 64 and tokens["texts"] == [62]


def test_positions_run_on_and_the_loss_is_hfs(toy, tokenizer):
    config = checkpoints.load_config(toy / "model", tokenizer, 64)
    model = load_multitask({"tlm": translation_lm}, {"tlm": ()}, toy / "model", config, seed=5).eval()
    features = features_of(tokenizer, ("Raho Lego luta buko.", "Bovo Suvo viga vite Bovo."))
    features = translation_lm.masked_once(features, tokenizer)
    batch = Collator(tokenizer.pad_token_id)(list(features.select_columns(["input_ids", "labels", "masked"])))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    ours = translation_lm.forward(model.models["tlm"], {**inputs, "masked": batch["masked"]})
    positions = torch.arange(2, 2 + batch["input_ids"].shape[1])[None]
    states = model.encoder(**inputs, position_ids=positions).last_hidden_state
    theirs = model.models["tlm"].model(inputs_embeds=states[batch["masked"] == 1]).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_it_goes_on_with_an_output_layer_of_masked_lm(toy, tokenizer, tmp_path):
    config = checkpoints.load_config(toy / "model", tokenizer, 64)
    whole = AutoModelForMaskedLM.from_config(config)
    whole.save_pretrained(tmp_path / "whole")
    tokenizer.save_pretrained(tmp_path / "whole")
    model = load_multitask({"tlm": translation_lm}, {"tlm": ()}, tmp_path / "whole", config, seed=5)
    assert torch.equal(model.heads["tlm_head"].state_dict()["lm_head.dense.weight"], whole.lm_head.dense.weight)
    model = load_multitask({"mlm": masked_lm}, {"mlm": ()}, toy / "model", config, seed=5)
    model.save(tmp_path / "mlm")  # phase 2's folder, with a head for text
    tokenizer.save_pretrained(tmp_path / "mlm")
    again = load_multitask({"tlm": translation_lm}, {"tlm": ()}, tmp_path / "mlm", config, seed=6)
    first, second = model.heads["mlm_head"].state_dict(), again.heads["tlm_head"].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


# --- Runs


def command(toy, output, *flags, model=None, rate="2e-3"):
    quick = f"--max_seq_length 48 --disable_tqdm true --collapse_guard off --learning_rate {rate} --do_train --do_eval"
    folders = ["--model_name_or_path", str(model or toy / "model"), "--output_dir", str(output)]
    run_intermediate.main([*flags, "--tlm_dirs", str(toy / "parallel/pairs"), *folders, *quick.split()])
    return {row["metric"]: row["value"] for row in Results(output).entries if row["task"] == "tlm"}


def test_alone_it_learns_and_goes_on(toy, tmp_path):
    flags = "--tasks tlm --task_languages en de ru --per_device_train_batch_size 32 --max_eval_samples 20".split()
    first = command(toy, tmp_path / "first", *flags, "--max_steps", "30")
    assert set(first) == {"loss", "perplexity", "perplexity_de", "perplexity_ru"}
    assert first["perplexity"] < 1200  # of 2,000 pieces
    assert checkpoints.stored_heads(tmp_path / "first")[0] == {"tlm": {"kind": "translation_lm", "labels": []}}
    flags += ["--max_steps", "2"]
    second = command(toy, tmp_path / "second", *flags, model=tmp_path / "first", rate="5e-6")
    assert second["perplexity"] < 1.02 * first["perplexity"]  # its output layer went along


def test_in_a_mixture_with_tasks_and_text(toy, tmp_path):
    flags = ["--tasks", "mnli", "mlm", "tlm", "--mlm_files", str(toy / "text/en.txt"), "--mixing", "uniform"]
    flags += ["--data_dir", str(toy / "intermediate"), *"--max_steps 6 --max_eval_samples 8 --logging_steps 1".split()]
    command(toy, tmp_path / "run", *flags)
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert about["mixture"]["weights"] == pytest.approx({"mnli": 1 / 3, "mlm": 1 / 3, "tlm": 1 / 3})
    assert about["mixture"]["features"]["tlm"] == 2362 + 2362 + 2357
    assert set(checkpoints.stored_heads(tmp_path / "run")[0]) == {"mnli", "mlm", "tlm"}
    scores = json.loads((tmp_path / "run/eval_results.json").read_text())
    assert scores["eval_tlm_perplexity"] > 1 and "eval_mnli_accuracy" in scores


def test_flags_that_do_not_go_together(toy, tmp_path, capsys):
    for flags, says in {
        "--tasks tlm": "--tasks tlm: needs parallel lines; give --tlm_dirs DIR",
        f"--tasks mnli --data_dir {toy}/intermediate --tlm_dirs {toy}/parallel/pairs": "tlm is not among --tasks",
        f"--tasks tlm --tlm_dirs {tmp_path}/none": f"--tlm_dirs {tmp_path}/none: no such folder",
        f"--tasks tlm --tlm_dirs {toy}/parallel/pairs --task_languages en sw": "--task_languages sw",
    }.items():
        line = f"{flags} --do_train --model_name_or_path {toy}/model --output_dir {tmp_path}/out"
        with pytest.raises(SystemExit) as stopped:
            run_intermediate.main(line.split())
        assert stopped.value.code == 2 and says in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
