"""Encoders as people bring them: every architecture x every kind of task x both phases, at tiny size.

The checkpoints are what people download: a masked LM's with random weights, and a tokenizer of its class.
"""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from datasets import Dataset
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

import run_intermediate
import run_xtreme
from common import checkpoints
from common.batching import Collator
from common.files import InputError
from common.loss import cross_entropy
from common.prediction import prepare_to_predict
from heads import (
    Settings,
    classification,
    dual_encoder,
    masked_lm,
    multiple_choice,
    question_answering,
    retrieval,
    tagging,
)
from heads.encoding import pieces_of
from mixture.model import load_multitask
from tasks import TARGETS

FOLDERS = ("benchmarks", "common", "heads", "mixture", "recipes", "reporting")
WORDS = "the cat sat on a mat and saw two dogs who did not run away what where".split()
SETTINGS = Settings(max_seq_length=24, doc_stride=6, n_best_size=5, max_answer_length=8)
HEADS = {
    "classification": classification,
    "tagging": tagging,
    "question_answering": question_answering,
    "multiple_choice": multiple_choice,
}
LABELS = {"classification": ("yes", "no", "maybe"), "tagging": ("NOUN", "VERB")}
TEXT = "the cat sat on a mat and saw two dogs who did not run away and the cat sat on two dogs"
ROWS = {
    "classification": [
        {"id": "0", "text_a": "the cat sat", "text_b": "two dogs run", "label": "no"},
        {"id": "1", "text_a": "a mat", "text_b": "the cat saw a mat and two dogs", "label": "yes"},
    ],
    "tagging": [
        {"id": "0", "words": ["cat", "sat"], "tags": ["NOUN", "VERB"]},
        {"id": "1", "words": ["two", "dogs", "run"], "tags": ["NOUN", "NOUN", "VERB"]},
    ],
    "question_answering": [
        {"id": "0", "context": TEXT, "question": "who sat", "answers": {"text": ["cat"], "answer_start": [4]}},
        {"id": "1", "context": "two dogs", "question": "who", "answers": {"text": ["dogs"], "answer_start": [4]}},
    ],
    "multiple_choice": [
        {"id": "0", "prompt": "the cat", "choices": ["sat on a mat", "run"], "label": 0},
        {"id": "1", "prompt": "two dogs did", "choices": ["not run", "the"], "label": 1},
    ],
}


# --- Tiny checkpoints -----------------------------------------------------------------------------------------------


def word_pieces(tokenizer_class, special="[PAD] [UNK] [CLS] [SEP] [MASK]"):
    def make(words=WORDS):
        return tokenizer_class(vocab={piece: index for index, piece in enumerate([*special.split(), *words])})

    return make


def unigram(tokenizer_class, special, **options):
    """A SentencePiece-like tokenizer; `special` in the order of the real vocabulary."""

    def make():
        pieces = [*special.split(), *(f"▁{word}" for word in WORDS), "▁", *"abcdefghijklmnopqrstuvwxyz"]
        return tokenizer_class(vocab=[(piece, -float(index)) for index, piece in enumerate(pieces)], **options)

    return make


def gemma_like():
    """mmBERT's: a plain fast tokenizer whose first and last tokens are <bos> and <eos>, and no segments."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate([*special, *WORDS])}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <eos> $B <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    names = {"pad": "<pad>", "cls": "<bos>", "sep": "<eos>", "unk": "<unk>", "mask": "<mask>"}
    named = {f"{name}_token": token for name, token in names.items()}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **named
    )


XLMR = "<s> <pad> </s> <unk> <mask>"
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
DEBERTA = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
DEBERTA |= {"norm_rel_ebd": "layer_norm", "share_att_key": True, "position_buckets": 8, "type_vocab_size": 0}
# name: (configuration's class, its options, tokenizer); mBERT, XLM-R with InfoXLM, XLM-V, Glot500, and so on
ENCODERS = {
    "bert": ("BertConfig", SMALL, word_pieces(transformers.BertTokenizer)),
    "xlm-roberta": (
        "XLMRobertaConfig",
        {**SMALL, "type_vocab_size": 1},
        unigram(transformers.XLMRobertaTokenizer, XLMR),
    ),
    "xlm-roberta-xl": ("XLMRobertaXLConfig", SMALL, unigram(transformers.XLMRobertaTokenizer, XLMR)),
    "camembert": (
        "CamembertConfig",
        {**SMALL, "type_vocab_size": 1},
        unigram(transformers.CamembertTokenizer, "<s>NOTUSED <pad> </s>NOTUSED <unk> <unk>NOTUSED <s> </s> <mask>"),
    ),
    "mdeberta": (
        "DebertaV2Config",
        {**SMALL, **DEBERTA},
        unigram(transformers.DebertaV2Tokenizer, "[PAD] [CLS] [SEP] [UNK] [MASK]", unk_id=3),
    ),
    "mdeberta, new heads": (
        "DebertaV2Config",
        {**SMALL, **DEBERTA, "legacy": False},
        unigram(transformers.DebertaV2Tokenizer, "[PAD] [CLS] [SEP] [UNK] [MASK]", unk_id=3),
    ),
    "rembert": (
        "RemBertConfig",
        {**SMALL, "input_embedding_size": 8, "output_embedding_size": 24},
        unigram(transformers.RemBertTokenizer, "<pad> [CLS] [SEP] <unk> [MASK]"),
    ),
    "mmbert": ("ModernBertConfig", SMALL, gemma_like),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
        word_pieces(transformers.DistilBertTokenizer),
    ),
    "electra": ("ElectraConfig", {**SMALL, "embedding_size": 8}, word_pieces(transformers.ElectraTokenizer)),
}
WITH_SEGMENTS = {"bert", "rembert", "electra"}


def make_checkpoint(name, folder, spread=0.02, **vocabulary):
    config_class, options, make_tokenizer = ENCODERS[name]
    tokenizer = make_tokenizer(**vocabulary)
    ids = {f"{which}_token_id": getattr(tokenizer, f"{which}_token_id") for which in ("pad", "cls", "sep")}
    ids |= {"bos_token_id": ids["cls_token_id"], "eos_token_id": ids["sep_token_id"]}
    config = getattr(transformers, config_class)(
        vocab_size=len(tokenizer) + 3, max_position_embeddings=32, initializer_range=spread, **options, **ids
    )
    torch.manual_seed(1)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=ENCODERS)
def checkpoint(request, tmp_path_factory):
    """(name, folder) of a masked LM's checkpoint."""
    return request.param, make_checkpoint(request.param, tmp_path_factory.mktemp("encoder") / "model")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return make_checkpoint("bert", tmp_path_factory.mktemp("encoder") / "bert")


def opened(folder, length=SETTINGS.max_seq_length):
    tokenizer = checkpoints.load_tokenizer(folder)
    return tokenizer, checkpoints.load_config(folder, tokenizer, length)


def batch_of(kind, tokenizer, rows=None):
    features = HEADS[kind].encode(Dataset.from_list(rows or ROWS[kind]), tokenizer, LABELS.get(kind, ()), SETTINGS)
    columns = [name for name in Collator.columns if name in features.column_names]
    return Collator(tokenizer.pad_token_id)(list(features.select_columns(columns)))


def logits_of(kind, model, batch):
    return HEADS[kind].forward(model, {name: value for name, value in batch.items() if name != "labels"})


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)


# --- Both phases ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HEADS)
def test_phase_3_trains_every_head_on_every_encoder_and_keeps_it(checkpoint, kind, tmp_path):
    _, folder = checkpoint
    tokenizer, config = opened(folder)
    labels = LABELS.get(kind, ())
    model, _ = checkpoints.load_model(HEADS[kind], folder, config, labels, seed=3)
    original = AutoModel.from_pretrained(folder).state_dict()
    own = model.base_model.state_dict()
    assert all(torch.equal(own[key], original[key]) for key in own if not key.startswith("pooler."))

    batch = batch_of(kind, tokenizer)
    loss, count = cross_entropy(logits_of(kind, model, batch), batch["labels"])
    (loss.sum() / count.sum()).backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)

    model.eval().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tokenizer, config = opened(tmp_path)
    kept, names = checkpoints.load_model(HEADS[kind], tmp_path, config, labels, keep_head=True)
    assert names == labels
    assert torch.equal(logits_of(kind, kept.eval(), batch), logits_of(kind, model, batch))


def test_a_dual_encoder_on_every_encoder_is_an_encoder_and_is_kept(checkpoint, tmp_path):
    tokenizer, config = opened(checkpoint[1])
    config.dual_encoder = {"pooling": "mean", "do_lower_case": False}
    model, _ = checkpoints.load_model(dual_encoder, checkpoint[1], config, ())
    rows = [{"question": question, "answer": f"{question} so long"} for question in ("red house", "a blue boat")]

    def vectors(model, *sides):
        rows_of = Dataset.from_list([{side: row[side] for side in sides} for row in rows])
        features = dual_encoder.encode(rows_of, tokenizer, (), SETTINGS)
        columns = [name for name in ("input_ids", "token_type_ids") if name in features.column_names]
        batch = Collator(tokenizer.pad_token_id)(list(features.select_columns(columns)))
        return dual_encoder.vectors_of(model.eval(), batch)

    both, scale = vectors(model, "question", "answer")
    assert torch.allclose(both.norm(dim=-1), torch.ones(2, 2)) and scale == 100
    # a question is the same vector beside a longer answer and alone
    assert torch.allclose(vectors(model, "question")[0][:, 0], both[:, 0], atol=1e-6)
    with torch.no_grad():
        model.logit_scale.fill_(7)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    kept, _ = checkpoints.load_model(dual_encoder, tmp_path, opened(tmp_path)[1], (), keep_head=True)
    assert same(model.state_dict(), kept.state_dict()) and torch.equal(vectors(kept, "question", "answer")[0], both)
    info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)[1]
    assert not info["missing_keys"] and set(info["unexpected_keys"]) == {"logit_scale"}


def test_an_architecture_without_a_pooler_needs_another_pooling(tmp_path):
    folder = make_checkpoint("distilbert", tmp_path / "model")
    config = opened(folder)[1]
    config.dual_encoder = {"pooling": "pooler", "do_lower_case": False}
    with pytest.raises(InputError, match="--pooling pooler: the model type 'distilbert' has none"):
        checkpoints.load_model(dual_encoder, folder, config, ())


def test_phase_2_trains_all_heads_on_every_encoder_and_hands_them_over(checkpoint, tmp_path):
    _, folder = checkpoint
    tokenizer, config = opened(folder)
    heads = {**HEADS, "mlm": masked_lm}
    labels = {task: LABELS.get(task, ()) for task in heads}
    model = load_multitask(heads, labels, folder, config, seed=1)
    for kind in HEADS:
        batch = batch_of(kind, tokenizer)
        loss, _ = cross_entropy(logits_of(kind, model.models[kind], batch), batch["labels"])
        loss.sum().backward()
    batch = masked_batch(tokenizer)
    logits = model.models["mlm"](masked=batch["masked"], **inputs_of(batch)).logits
    cross_entropy(logits, batch["labels"])[0].sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert all(weight.isfinite().all() for weight in model.parameters())

    model.eval().save(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"] and not [key for key in info["missing_keys"] if "pooler" not in key]
    tokenizer, config = opened(tmp_path)
    again = load_multitask(heads, labels, tmp_path, config, seed=2, trained=True).eval()
    assert same(again.state_dict(), model.state_dict())
    for kind in HEADS:
        batch = batch_of(kind, tokenizer)
        kept, _ = checkpoints.load_model(HEADS[kind], tmp_path, config, labels[kind], keep_head=kind)
        assert torch.equal(logits_of(kind, kept.eval(), batch), logits_of(kind, model.models[kind], batch))


def masked_batch(tokenizer):
    rows = Dataset.from_dict({"text": [TEXT] * 3, "language": ["en"] * 3})
    features = masked_lm.masked_once(masked_lm.encode(rows, tokenizer, (), SETTINGS), tokenizer)
    return Collator(tokenizer.pad_token_id)(list(features.select_columns(["input_ids", "labels", "masked"])))


def inputs_of(batch):
    return {name: value for name, value in batch.items() if name not in ("labels", "masked")}


def test_masked_lm_goes_on_with_the_checkpoints_own_head(checkpoint):
    _, folder = checkpoint
    tokenizer, config = opened(folder)
    model = load_multitask({"mlm": masked_lm}, {"mlm": ()}, folder, config, seed=5).eval()
    batch = masked_batch(tokenizer)
    ours = model.models["mlm"](masked=batch["masked"], **inputs_of(batch)).logits
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()(**inputs_of(batch)).logits
    torch.testing.assert_close(ours, theirs[batch["masked"] == 1], rtol=1e-5, atol=1e-6)


def test_an_output_layer_of_its_own_does_not_overwrite_the_embeddings(bert, tmp_path):
    """Where configuration and checkpoint disagree on whether the two are one matrix."""
    shutil.copytree(bert, tmp_path / "model")
    weights = load_file(bert / "model.safetensors")
    embeddings = weights["bert.embeddings.word_embeddings.weight"]
    weights["cls.predictions.decoder.weight"] = embeddings + 1
    save_file(weights, tmp_path / "model/model.safetensors", {"format": "pt"})
    tokenizer, config = opened(tmp_path / "model")
    model = load_multitask({"mlm": masked_lm}, {"mlm": ()}, tmp_path / "model", config, seed=5)
    assert torch.equal(model.encoder.embeddings.word_embeddings.weight, embeddings)


# --- Inputs and hidden states are those of plain transformers -------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "question_answering", "multiple_choice"])
def test_pairs_have_the_segments_that_the_tokenizer_makes(checkpoint, kind):
    name, folder = checkpoint
    tokenizer, config = opened(folder)
    model = checkpoints.load_model(HEADS[kind], folder, config, LABELS.get(kind, ()), seed=3)[0].eval()
    rows = ROWS[kind] if kind != "question_answering" else ROWS[kind][1:]  # whose context is one window
    batch = batch_of(kind, tokenizer, rows)
    assert ("token_type_ids" in batch) == (name in WITH_SEGMENTS)

    pairs = {
        "classification": lambda row: [(row["text_a"], row["text_b"])],
        "question_answering": lambda row: [(row["question"], row["context"])],
        "multiple_choice": lambda row: [(row["prompt"], choice) for choice in row["choices"]],
    }
    first, second = map(list, zip(*(pair for row in rows for pair in pairs[kind](row))))
    options = {"padding": True, "return_tensors": "pt", "return_token_type_ids": name in WITH_SEGMENTS}
    plain = dict(AutoTokenizer.from_pretrained(folder)(first, second, **options))
    if kind == "multiple_choice":
        plain = {key: value.view(len(rows), 2, -1) for key, value in plain.items()}
    assert all(torch.equal(batch[key], plain[key]) for key in plain)
    if name in WITH_SEGMENTS:
        assert plain["token_type_ids"].max() == 1
        without = {key: value for key, value in batch.items() if key != "token_type_ids"}
        assert not torch.allclose(logits_of(kind, model, batch), logits_of(kind, model, without))
    outputs = model(**plain)
    theirs = outputs.start_logits if kind == "question_answering" else outputs.logits
    ours = logits_of(kind, model, batch)
    assert torch.equal(ours[:, 0] if kind == "question_answering" else ours, theirs)


def test_a_bert_through_both_phases_predicts_what_transformers_does(toy, tmp_path):
    """Trained with mlm beside, its head kept: every prediction is that of two texts given to HF's model."""
    lines = [line.split("\t") for line in (toy / "xtreme/xnli/test-en.tsv").read_text().splitlines()]
    vocabulary = sorted({word for line in lines for word in " ".join(line[:2]).lower().split()})
    folder = make_checkpoint("bert", tmp_path / "model", spread=0.5, words=vocabulary)
    shape = "--max_seq_length 30 --disable_tqdm true --use_cpu --output_dir".split()
    tasks = ["--tasks", "mnli", "mlm", "--mlm_files", str(toy / "text/en.txt"), "--data_dir"]
    train = "--do_train --max_steps 4 --learning_rate 1e-3 --max_train_samples 100 --model_name_or_path".split()
    source = [*tasks, str(toy / "intermediate"), *train, str(folder)]
    run_intermediate.main([*source, *shape, str(tmp_path / "phase2")])
    predict = ["--task", "xnli", "--data_dir", str(toy / "xtreme"), "--do_predict", "--languages", "en"]
    kept = ["--model_name_or_path", str(tmp_path / "phase2"), "--keep_head", "mnli"]
    run_xtreme.main([*predict, *kept, *shape, str(tmp_path / "phase3")])

    tokenizer, config = opened(tmp_path / "phase2")
    model, labels = checkpoints.load_model(
        classification, tmp_path / "phase2", config, TARGETS["xnli"].labels, keep_head="mnli"
    )
    inputs = AutoTokenizer.from_pretrained(tmp_path / "phase2")(
        *map(list, list(zip(*lines))[:2]), truncation=True, max_length=30, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = [labels[index] for index in model.eval()(**inputs).logits.argmax(-1)]
    assert inputs["token_type_ids"].any() and len(set(theirs)) > 1
    assert (tmp_path / "phase3/predictions/clean/xnli/test-en.tsv").read_text().split() == theirs


def test_single_texts_are_in_segment_0_which_is_what_models_assume(checkpoint):
    _, folder = checkpoint
    tokenizer, _ = opened(folder)
    assert not any(tokenizer("the cat sat").get("token_type_ids", [0]))


def test_a_words_pieces_are_those_that_it_has_in_a_sentence(checkpoint):
    _, folder = checkpoint
    tokenizer, _ = opened(folder)
    sentences = [["the", "cat", "the", "9\u200b", "\u200b", "Cat"], ["cat", "unknownish", ",", "the"]]
    batch, pieces = tokenizer(sentences, is_split_into_words=True, add_special_tokens=False), {}
    for index, words in enumerate(sentences):
        for at, word in enumerate(words):
            span = [i for i, number in enumerate(batch.word_ids(index)) if number == at]
            pieces[word] = [batch["input_ids"][index][i] for i in span]
    assert pieces_of(tokenizer, [word for words in sentences for word in words]) == pieces


def test_a_layer_is_the_same_alone_and_among_all(checkpoint):
    _, folder = checkpoint
    tokenizer, config = opened(folder)
    rows = Dataset.from_dict({"text": ["the cat sat", "two dogs"]})
    features = retrieval.encode(rows, tokenizer, SETTINGS)
    batch = Collator(tokenizer.pad_token_id)(list(features.select_columns(["input_ids"])))
    whole = AutoModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True).hidden_states
    every = retrieval.pooled(checkpoints.load_encoder(folder, config, 3).eval(), batch, [0, 1, 2, 3])
    for layer in range(4):
        alone = retrieval.pooled(checkpoints.load_encoder(folder, config, layer).eval(), batch, [layer])
        assert torch.equal(alone[:, 0], every[:, layer])
        mask = batch["attention_mask"][:, :, None]
        assert torch.allclose(alone[:, 0], (whole[layer] * mask).sum(1) / mask.sum(1), atol=1e-6)


def test_the_maximal_length_is_the_models_own(checkpoint):
    name, folder = checkpoint
    positions = 30 if "roberta" in name or name == "camembert" else 32
    tokenizer, config = opened(folder, positions)
    with pytest.raises(InputError, match=f"the model has {positions} positions"):
        checkpoints.load_config(folder, tokenizer, positions + 1)
    inputs = tokenizer(" ".join(WORDS * 4), truncation=True, max_length=positions, return_tensors="pt")
    assert inputs["input_ids"].shape[1] == positions
    with torch.no_grad():
        assert AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state.isfinite().all()


# --- Checkpoints that are refused -----------------------------------------------------------------------------------


def changed(folder, copy, **values):
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **values}))
    return copy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"is_decoder": True}, "is_decoder: true"),
        ({"model_type": "xlm-roberta"}, "model_type 'xlm-roberta' and architectures BertForMaskedLM"),
        ({"model_type": "gpt2"}, "is not an encoder"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ({"attn_implementation": "someone/kernel"}, "attention kernel someone/kernel, code that is never run"),
        ({"hidden_size": "sixteen"}, "no usable config.json"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "evil.Own", "AutoModel": "evil.Own"}}, "never run"),
    ],
)
def test_a_configuration_that_is_not_the_encoders_is_named(bert, tmp_path, values, message):
    folder = changed(bert, tmp_path / "model", **values)
    with pytest.raises(InputError) as error:
        opened(folder)
    assert message in str(error.value) and "tokenizer" not in str(error.value) and "\n" not in str(error.value)


def test_a_broken_configuration_is_not_blamed_on_the_tokenizer(bert, tmp_path):
    folder = changed(bert, tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "bert",')
    with pytest.raises(InputError, match="no usable config.json"):
        opened(folder)


@pytest.mark.parametrize("own_type", [{"model_type": "own"}, {}])
def test_code_of_a_checkpoint_is_neither_run_nor_asked_about(bert, tmp_path, monkeypatch, own_type):
    """Of configuration, tokenizer and model, for a type that transformers knows and for one that it does not."""
    auto_map = {"AutoConfig": "evil.Own", "AutoModel": "evil.Own", "AutoTokenizer": ["evil.Own", "evil.Own"]}
    auto_map["AutoModelForSequenceClassification"] = "evil.Own"
    folder = changed(bert, tmp_path / "model", auto_map=auto_map, **own_type)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "auto_map": auto_map}))
    asked = []
    monkeypatch.setattr("builtins.input", lambda *prompt: asked.append(prompt) or "y")
    if own_type:
        with pytest.raises(InputError, match="which is never run"):
            opened(folder)
        with pytest.raises(InputError, match="which is never run"):
            checkpoints.load_config(folder, checkpoints.load_tokenizer(bert), 24)
    else:  # transformers' own class is taken, and the code is not passed on
        tokenizer, config = opened(folder)
        model, _ = checkpoints.load_model(classification, folder, config, ("a", "b"))
        model.save_pretrained(tmp_path / "child")
        assert "auto_map" not in json.loads((tmp_path / "child/config.json").read_text())
        load_multitask({"mnli": classification}, {"mnli": ("a", "b")}, folder, config, seed=1)
    assert not asked and not (tmp_path / "ran").exists()


def test_every_call_that_could_run_a_checkpoints_code_refuses_it():
    """AutoModel…from_pretrained and from_config ask on the terminal unless they are told not to."""
    root, calls = Path(run_xtreme.__file__).parent, 0
    for file in [*root.glob("*.py"), *(file for name in FOLDERS for file in (root / name).glob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
            if name in ("from_pretrained", "from_config"):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("trust_remote_code") == "False", f"{file}, line {node.lineno}"
                calls += 1
    assert calls >= 6


def test_a_kind_of_task_that_an_architecture_lacks_is_named():
    assert checkpoints.model_class(classification, transformers.EuroBertConfig())
    with pytest.raises(InputError, match="no multiple choice model for the model type 'eurobert'"):
        checkpoints.model_class(multiple_choice, transformers.EuroBertConfig())


def test_weights_of_another_build_are_refused_whatever_heads_lie_beside(checkpoint, tmp_path):
    name, folder = checkpoint
    shutil.copytree(folder, tmp_path / "model")
    weights, file = load_file(folder / "model.safetensors"), tmp_path / "model/model.safetensors"
    layer = next(key for key in weights if ".1." in key)
    save_file({**weights, layer.replace(".1.", ".7."): weights[layer].clone()}, file, {"format": "pt"})
    tokenizer, config = opened(tmp_path / "model")
    with pytest.raises(InputError, match=r"has the unknown weight .*\.7\."):
        checkpoints.load_encoder(tmp_path / "model", config, 3)
    beside = {f"{head}.weight": torch.zeros(2) for head in ("mask_predictions", "pred_layer", "any_head.norm")}
    save_file({**weights, **beside}, file, {"format": "pt"})
    checkpoints.load_encoder(tmp_path / "model", config, 3)


def test_weights_that_are_not_floating_point_are_refused(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "model")
    weights = load_file(bert / "model.safetensors")
    name = next(key for key in weights if key.endswith("query.weight"))
    quantized = {**weights, name: (weights[name] * 100).to(torch.int8)}
    save_file(quantized, tmp_path / "model/model.safetensors", {"format": "pt"})
    tokenizer, config = opened(tmp_path / "model")
    with pytest.raises(InputError, match="has the type I8"):
        checkpoints.load_encoder(tmp_path / "model", config, 3)


def test_weights_stay_where_every_process_has_them(checkpoint):
    _, folder = checkpoint
    config = opened(folder)[1]
    encoder = checkpoints.load_encoder(folder, config, config.num_hidden_layers)
    before = [weight.data_ptr() for weight in encoder.parameters()]
    several = SimpleNamespace(device=torch.device("cpu", 0), bf16_full_eval=False, fp16_full_eval=False)
    encoder = prepare_to_predict(encoder, several)
    assert [weight.data_ptr() for weight in encoder.parameters()] == before


def test_shards_lie_in_their_folder(bert, tmp_path):
    tokenizer, config = opened(bert)
    AutoModelForMaskedLM.from_pretrained(bert).save_pretrained(tmp_path / "model", max_shard_size="5KB")
    checkpoints.load_encoder(tmp_path / "model", config, 3)
    index = tmp_path / "model/model.safetensors.index.json"
    shards = json.loads(index.read_text())
    shard = min(shards["weight_map"].values())
    (tmp_path / "model" / shard).rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(InputError, match=f"has no {shard}"):
        checkpoints.load_encoder(tmp_path / "model", config, 3)
    moved = {key: "../elsewhere.safetensors" if name == shard else name for key, name in shards["weight_map"].items()}
    index.write_text(json.dumps({**shards, "weight_map": moved}))
    with pytest.raises(InputError, match=r"'\.\./elsewhere\.safetensors', which is not in its folder"):
        checkpoints.load_encoder(tmp_path / "model", config, 3)


def test_pickled_weights_are_converted_by_the_command_in_the_message(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    whole = AutoModelForMaskedLM.from_pretrained(bert)
    torch.save(whole.state_dict(), tmp_path / "model/pytorch_model.bin")
    tokenizer, config = opened(tmp_path / "model")
    with pytest.raises(InputError, match="only in pytorch_model.bin") as error:
        checkpoints.load_encoder(tmp_path / "model", config, 3)
    command = str(error.value).split('python -c "')[1].rstrip('"')
    subprocess.run([sys.executable, "-c", command], check=True)
    encoder = checkpoints.load_encoder(tmp_path / "model", config, 3)
    ours, theirs = encoder.state_dict(), whole.bert.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_training_that_never_finished_is_no_checkpoint(bert, tmp_path):
    for step in (9, 10):
        shutil.copytree(bert, tmp_path / f"checkpoint-{step}")
    (tmp_path / "run.json").write_text(json.dumps({"training": {"finished": False}}))
    with pytest.raises(InputError, match="its training never finished; .*, or give .*checkpoint-10"):
        checkpoints.load_tokenizer(tmp_path)
    opened(tmp_path / "checkpoint-10")
