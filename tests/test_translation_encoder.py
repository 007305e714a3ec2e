"""A translation model's folder given as an encoder: phase 2, phase 3 and alignment take its encoder, bit for bit."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    EncoderDecoderModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    XLMRobertaForCausalLM,
    XLMRobertaModel,
)

import run_alignment
import run_intermediate
import run_xtreme
from common import checkpoints
from common.files import InputError
from heads import classification
from tasks import TARGETS

QUICK = "--max_seq_length 48 --disable_tqdm true --max_steps 1 --max_train_samples 8 --max_eval_samples 8 --do_train"


@pytest.fixture(scope="module")
def folder(toy, tmp_path_factory):
    """An EncoderDecoderModel on the toy's encoder, made by hand, its embeddings shared, the tokenizer saved beside."""
    path = tmp_path_factory.mktemp("translation") / "model"
    encoder = XLMRobertaModel.from_pretrained(toy / "model", add_pooling_layer=False, dtype=torch.float32)
    config = copy.deepcopy(encoder.config)
    config.is_decoder = config.add_cross_attention = config.use_cache = True
    config.num_hidden_layers = 1
    decoder = XLMRobertaForCausalLM(config)
    decoder.set_input_embeddings(encoder.get_input_embeddings())
    decoder.tie_weights()
    model = EncoderDecoderModel(encoder=encoder, decoder=decoder)
    state = {key: value.clone() for key, value in model.state_dict().items() if "lm_head.decoder." not in key}
    model.save_pretrained(path, state_dict=state)
    AutoTokenizer.from_pretrained(toy / "model").save_pretrained(path)
    return path


def opened(path):
    tokenizer = checkpoints.load_tokenizer(path)
    return tokenizer, checkpoints.load_config(path, tokenizer, 64)


def spoiled(folder, tmp_path, change):
    """A copy of the folder whose tensors are those that `change` gives."""
    path = tmp_path / "spoiled"
    path.mkdir()
    for file in folder.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    save_file(change(load_file(folder / "model.safetensors")), path / "model.safetensors", {"format": "pt"})
    return path


def test_every_weight_is_the_encoders(toy, folder):
    _, config = opened(folder)
    assert (config.model_type, config.num_hidden_layers, config.is_decoder) == ("xlm-roberta", 3, False)
    expected = load_file(toy / "model/model.safetensors")
    whole, info = checkpoints.load_whole_encoder(folder, config)
    state = whole.state_dict()
    assert not info["unexpected_keys"] and all(key.startswith("pooler.") for key in info["missing_keys"])
    assert all(torch.equal(value, state[key]) for key, value in expected.items() if not key.startswith("pooler."))
    model, _ = checkpoints.load_model(classification, folder, config, TARGETS["xnli"].labels, seed=1)
    state = model.roberta.state_dict()
    assert all(torch.equal(state[key], value) for key, value in expected.items() if not key.startswith("pooler."))


def test_hidden_states_are_those_of_the_plain_encoder(toy, folder):
    tokenizer, config = opened(folder)
    inputs = tokenizer(["Raho Lego luta."], return_tensors="pt")
    both = [checkpoints.load_encoder(path, opened(path)[1], 2).eval() for path in (folder, toy / "model")]
    states = [encoder(**inputs).last_hidden_state for encoder in both]
    assert torch.equal(*states) and len(both[0].encoder.layer) == 2


def test_phase_3_trains_on_it(toy, folder, tmp_path):
    flags = ["--task", "xnli", "--data_dir", str(toy / "xtreme"), *QUICK.split(), "--do_predict", "--languages", "de"]
    for name, model in (("plain", toy / "model"), ("translation", folder)):
        run_xtreme.main([*flags, "--model_name_or_path", str(model), "--output_dir", str(tmp_path / name)])
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("plain", "translation")]
    same = [key for key, value in weights[0].items() if torch.equal(value, weights[1][key])]
    assert weights[0].keys() == weights[1].keys() and len(same) == len(weights[0])
    assert json.loads((tmp_path / "translation/config.json").read_text())["model_type"] == "xlm-roberta"


def test_phase_2_goes_on_with_it(toy, folder, tmp_path):
    flags = [
        "--tasks",
        "mnli",
        "tlm",
        "--data_dir",
        str(toy / "intermediate"),
        "--tlm_dirs",
        str(toy / "parallel/pairs"),
    ]
    flags += [*QUICK.split(), "--model_name_or_path", str(folder), "--output_dir", str(tmp_path / "out")]
    run_intermediate.main([*flags, "--learning_rate", "1e-12"])
    after, before = load_file(tmp_path / "out/model.safetensors"), load_file(toy / "model/model.safetensors")
    before = {key.removeprefix("roberta."): value for key, value in before.items()}
    assert all(torch.allclose(value, before[key], atol=1e-5) for key, value in after.items())
    assert len(after) == len(before) - len([key for key in before if key.startswith(("pooler.", "lm_head."))])


def test_alignment_measures_it(toy, folder, tmp_path):
    flags = [
        "--data_dir",
        str(toy / "parallel/pairs"),
        "--languages",
        "de",
        "--max_lines",
        "40",
        "--disable_tqdm",
        "true",
    ]
    rows = []
    for name, model in (("plain", toy / "model"), ("translation", folder)):
        run_alignment.main([*flags, "--model_name_or_path", str(model), "--output_dir", str(tmp_path / name)])
        lines = (tmp_path / name / "results.jsonl").read_text().splitlines()
        rows.append([(row["metric"], row["value"]) for row in map(json.loads, lines)])
    assert rows[0] == rows[1] and len(rows[0]) > 4


def test_a_kept_head_is_not_there(toy, folder, tmp_path, capsys):
    flags = ["--task", "xnli", "--data_dir", str(toy / "xtreme"), "--do_predict", "--keep_head", "--languages", "de"]
    with pytest.raises(SystemExit) as stopped:
        run_xtreme.main([*flags, "--model_name_or_path", str(folder), "--output_dir", str(tmp_path / "out")])
    error = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and "has no SequenceClassification head" in error and "--do_train" in error


def test_what_is_no_translation_of_ours(toy, folder, tmp_path):
    lacking = spoiled(folder, tmp_path, lambda state: {k: v for k, v in state.items() if "encoder.layer.1." not in k})
    with pytest.raises(InputError, match="not the weights of a xlm-roberta encoder: it lacks encoder.layer.1"):
        checkpoints.load_whole_encoder(lacking, opened(lacking)[1])
    small = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=2000)
    cross = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=2000, add_cross_attention=True, is_decoder=True)
    EncoderDecoderModel(encoder=GPT2Model(small), decoder=GPT2LMHeadModel(cross)).config.save_pretrained(
        tmp_path / "gpt"
    )
    AutoTokenizer.from_pretrained(toy / "model").save_pretrained(tmp_path / "gpt")
    with pytest.raises(InputError, match="model type 'gpt2' is not an encoder"):
        opened(tmp_path / "gpt")
    for file in tmp_path.glob("gpt/token*"):
        file.unlink()
    with pytest.raises(InputError, match="its tokenizer cannot be loaded|no vocabulary"):
        checkpoints.load_tokenizer(tmp_path / "gpt")
