"""The parts of translation: scores against sacreBLEU, batches by tokens, the vocabulary, the loss, generation."""

import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, EncoderDecoderModel

import metrics
from common import checkpoints
from common.files import InputError
from translation import data, generation, model, scores, vocabulary

WORDS = 'the a cat sat on mat, dog. I am Tom\'s house going to "x" ! 3,5 naïve'.split()


def texts(seed, number):
    """(references, outputs) of random words, some outputs cut off or empty."""
    draw = random.Random(seed)
    references = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(number)]
    changed = [line[: draw.randint(0, len(line))].strip() for line in references]
    others = [" ".join(draw.choices(WORDS, k=draw.randint(0, 12))) for _ in range(number)]
    return references, [draw.choice(pair) for pair in zip(changed, others)]


# --- Scores ---------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_sacrebleus_command_line(tmp_path):
    references, outputs = texts(0, 60)
    for name, lines in (("ref", references), ("hyp", outputs)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = "-m sacrebleu ref -i hyp -m bleu chrf --chrf-word-order 2 -f json -w 15".split()
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True)
    theirs = {row["name"]: row["score"] for row in json.loads(done.stdout)}
    ours = metrics.score("translation", references, outputs)
    assert abs(ours["bleu"] - theirs["BLEU"]) < 1e-9 and abs(ours["chrf++"] - theirs["chrF2++"]) < 1e-9
    assert 5 < ours["bleu"] < 95 and 20 < ours["chrf++"] < 95


def test_scores_of_odd_texts_are_sacrebleus():
    from sacrebleu.metrics import BLEU, CHRF

    odd = [(["a b c d e"], [""]), (["a"], ["b"]), (["a b"], ["a b"]), (["a b c d e f"], ["a b x y"])]
    for references, outputs in [*odd, *(texts(seed, 1 + seed % 4) for seed in range(100))]:
        ours = metrics.score("translation", references, outputs)
        assert abs(ours["bleu"] - BLEU().corpus_score(outputs, [references]).score) < 1e-9
        assert abs(ours["chrf++"] - CHRF(word_order=2).corpus_score(outputs, [references]).score) < 1e-9


def test_a_bootstrap_from_counts_is_one_from_texts():
    references, outputs = texts(1, 30)
    counts = metrics.count("translation", references, outputs)
    table = {
        name: np.array([[row[key] for key in keys] for row in counts])
        for name, keys in (("bleu", metrics.BLEU_COLUMNS), ("chrf++", metrics.CHRF_COLUMNS))
    }
    draws = np.random.default_rng(0).integers(30, size=(20, 30))
    at_once = {
        name: function(table[name][draws].sum(1))
        for name, function in (("bleu", metrics.bleu), ("chrf++", metrics.chrf))
    }
    for number, draw in enumerate(draws):
        again = metrics.score("translation", [references[i] for i in draw], [outputs[i] for i in draw])
        assert all(abs(100 * at_once[name][number] - again[name]) < 1e-9 for name in again)


FAULTY = {
    "": ("ein Haus", "a house", {"empty"}),
    "I I I I I I I": ("ich", "I went there and came back again", {"repeated"}),
    "on the big red bus, on the big red bus": ("im Bus", "on the big red bus I saw him there", {"repeated"}),
    "Anton fährt heute": ("Anton fährt heute weg", "Anton is leaving today", {"copied"}),
    "yes": ("ja", "yes of course I will come", {"wrong_length"}),
    "это дом": ("ein Haus", "a house", {"wrong_script"}),
    "a small house": ("ein kleines Haus", "a house", set()),
    "Tom": ("Tom", "Tom", set()),
}


@pytest.mark.parametrize("output", FAULTY)
def test_faults(output):
    source, reference, expected = FAULTY[output]
    assert {name for name, flag in scores.faults(source, output, reference).items() if flag} == expected


def test_what_noise_did():
    references, clean = texts(2, 40)
    noised = [line.replace("a", "ooo")[:-2] for line in clean]
    outputs = {
        ("clean", "sw"): clean,
        ("swap-1", "sw"): noised,
        ("swap-3", "sw"): noised,
        ("swap-1", "bn"): noised,
        ("clean", "bn"): clean,
    }
    values = {
        ("clean", "sw"): {"chrf++": 40.0},
        ("swap-1", "sw"): {"chrf++": 36.0},
        ("swap-3", "sw"): {"chrf++": 20.0},
        ("clean", "bn"): {"chrf++": 20.0},
        ("swap-1", "bn"): {"chrf++": 15.0},
    }
    conditions = {
        "swap-1": {"op": "swap", "level": 1, "realised": {"sw": 0.05, "bn": 0.05}},
        "swap-3": {"op": "swap", "level": 3, "realised": {"sw": 0.15}},
    }
    rows = scores.robustness(outputs, values, conditions)
    cells = {(row["condition"], row["language"]): row for row in rows if "condition" in row}
    assert cells["swap-1", "sw"]["robust"] == 0.9 and cells["swap-3", "sw"]["gap"] == 20.0
    assert cells["swap-1", "bn"]["robust"] is None  # at the floor a ratio says nothing
    there, back = (metrics.score("translation", *pair)["chrf++"] for pair in ((clean, noised), (noised, clean)))
    assert cells["swap-1", "sw"]["consis"] == pytest.approx(2 / (1 / there + 1 / back)) and there != back
    slopes = {(row["language"], row["op"]): row["slope"] for row in rows if "slope" in row}
    assert slopes["sw", "swap"] == pytest.approx(np.polyfit([0, 5, 15], [40, 36, 20], 1)[0])
    assert slopes["bn", "swap"] == pytest.approx(-1.0)


def test_comet_files(tmp_path):
    cells = {
        ("clean", "sw"): (["a", "b"], ["c", "d"], ["e", "f"]),
        ("swap-1", "sw"): (["a", "b"], ["x", ""], ["e", "f"]),
    }
    scores.write_comet_inputs(tmp_path / "in", cells)
    rows = [json.loads(line) for line in (tmp_path / "in").read_text().splitlines()]
    assert rows[2] == {"src": "a", "mt": "x", "ref": "e", "condition": "swap-1", "language": "sw"} and len(rows) == 4
    (tmp_path / "out").write_text("0.5\n0.7\n0.1\n-0.2\n")
    assert scores.read_comet_scores(tmp_path / "out", cells) == {
        ("clean", "sw"): [0.5, 0.7],
        ("swap-1", "sw"): [0.1, -0.2],
    }
    (tmp_path / "out").write_text("0.5\n")
    with pytest.raises(InputError, match="1 numbers for 4 translations"):
        scores.read_comet_scores(tmp_path / "out", cells)


# --- Batches --------------------------------------------------------------------------------------------------------


def features(seed, sizes):
    """Lengths of pairs of some languages, as TokenSampler wants them."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, 30, size=sum(sizes))
    pair = np.repeat(np.arange(len(sizes)), sizes)
    return {
        "length": lengths,
        "target_length": np.maximum(2, lengths + draw.integers(-2, 4, size=len(lengths))),
        "pair": pair,
    }


@pytest.mark.parametrize("parts, tokens", [(1, 1024), (2, 512), (4, 256)])
def test_updates_do_not_depend_on_how_they_are_shared(parts, tokens):
    rows = features(0, (300, 200))
    whole = list(data.TokenSampler(rows, 1024, 1, 1.0, seed=5))
    shared = list(data.TokenSampler(rows, tokens, parts, 1.0, seed=5))
    assert len(shared) == parts * len(whole)
    for number, update in enumerate(whole):
        own = shared[number * parts : (number + 1) * parts]
        assert sorted(index for part in own for index in part) == sorted(update)
        for part in own:
            longest = sum(max(rows[name][index] for index in part) for name in ("length", "target_length"))
            assert len(part) * longest <= tokens + 8 * longest  # the rest of a pass joins its last update
    assert sorted(index for update in whole for index in update) == list(range(500))  # all once, as 1.0 is by size


def test_temperature_and_epochs():
    rows = features(1, (900, 100))
    sampler = data.TokenSampler(rows, 512, 1, 5.0, seed=5)
    first = [index for update in sampler for index in update]
    share = sum(rows["pair"][index] == 1 for index in first) / len(first)
    assert len(first) == 1000 and abs(share - 100**0.2 / (100**0.2 + 900**0.2)) < 0.01
    sampler.set_epoch(1)
    second = [index for update in sampler for index in update]
    assert first != second and len(list(sampler)) == len(sampler)
    both = {index for index in first + second if rows["pair"][index] == 0}
    assert len(both) > len({index for index in first if rows["pair"][index] == 0})  # another part of the large pair


# --- Vocabulary and model -------------------------------------------------------------------------------------------


def test_a_trimmed_tokenizer_cuts_kept_text_alike(toy):
    tokenizer = checkpoints.load_tokenizer(toy / "model")
    lines = (toy / "xtreme/tatoeba/de-en.en").read_text(encoding="utf-8").splitlines()
    small, kept = vocabulary.trimmed(tokenizer, lines)
    assert len(small) == len(kept) < len(tokenizer) / 2
    ids = small(lines)["input_ids"]
    assert [[kept[piece] for piece in line] for line in ids] == tokenizer(lines)["input_ids"]
    assert small.batch_decode(ids, skip_special_tokens=True) == tokenizer.batch_decode(
        tokenizer(lines)["input_ids"], skip_special_tokens=True
    )
    assert (small.cls_token_id, small.pad_token_id, small.sep_token_id, small.unk_token_id) == (0, 1, 2, 3)


def test_bert_is_trimmed_and_bpe_refused(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
    }
    made = {}
    for kind, one, trainer in (
        ("wordpiece", models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer),
        ("bpe", models.BPE(unk_token="[UNK]"), trainers.BpeTrainer),
    ):
        own = Tokenizer(one)
        own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        own.train_from_iterator(
            ["the house is small", "das Haus ist klein"] * 9,
            trainer(special_tokens=list(special.values()), vocab_size=90, show_progress=False),
        )
        own.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[("[CLS]", own.token_to_id("[CLS]")), ("[SEP]", own.token_to_id("[SEP]"))],
        )
        made[kind] = PreTrainedTokenizerFast(tokenizer_object=own, **special)
    small, kept = vocabulary.trimmed(made["wordpiece"], ["the house"])
    assert [kept[piece] for piece in small("the house")["input_ids"]] == made["wordpiece"]("the house")["input_ids"]
    assert len(small) < len(made["wordpiece"])
    with pytest.raises(InputError, match="--target_vocabulary full"):
        vocabulary.trimmed(made["bpe"], ["the house"])


def tiny(toy, layers=2, init="random", seed=0, trim=True, encoder_seed=None):
    """(TranslationModel's parts) on the toy encoder, or on one of random weights."""
    tokenizer = checkpoints.load_tokenizer(toy / "model")
    config = checkpoints.load_config(toy / "model", tokenizer, 64)
    if encoder_seed is None:
        encoder, _ = checkpoints.load_whole_encoder(toy / "model", config)
    else:
        encoder = checkpoints.random_encoder(config, encoder_seed)
    lines = (toy / "xtreme/tatoeba/de-en.en").read_text(encoding="utf-8").splitlines()
    target, kept = vocabulary.trimmed(tokenizer, lines) if trim else (tokenizer, None)
    return model.build(encoder, layers, init, seed, target, kept), tokenizer, target, lines


def test_all_encoders_get_the_same_decoder(toy):
    layers = [
        dict(tiny(toy, **options)[0].decoder.named_parameters())
        for options in ({}, {"encoder_seed": 3}, {"trim": False}, {"seed": 1})
    ]
    names = [
        name for name in layers[0] if "crossattention" in name or "encoder.layer" in name or "lm_head.dense" in name
    ]
    assert len(names) > 40
    for name in names:
        assert torch.equal(layers[0][name], layers[1][name]) and torch.equal(layers[0][name], layers[2][name])
    assert not all(torch.equal(layers[0][name], layers[3][name]) for name in names)


def test_a_decoder_of_the_encoders_layers(toy):
    whole = tiny(toy, layers=2, init="encoder")[0]
    for place, source in ((0, 1), (1, 2)):  # of three: the second and the third
        own, other = whole.decoder.roberta.encoder.layer[place], whole.encoder.encoder.layer[source]
        assert torch.equal(own.output.dense.weight, other.output.dense.weight)
    with pytest.raises(InputError, match="has 3 to copy"):
        tiny(toy, layers=4, init="encoder")


def batch(toy_parts):
    whole, tokenizer, target, lines = toy_parts
    rows = data.encode_pairs({"de": (lines, lines)}, tokenizer, target, 64)
    made = data.TranslationCollator(1, 1, 2)([[rows[index] for index in range(40)]])
    assert made.pop("indices") == list(range(40))
    return made


@pytest.mark.parametrize("logits", [5_000, 100_000, 2**26])
@pytest.mark.parametrize("freeze, trim", [("encoder", True), ("embeddings", True), ("nothing", False)])
def test_the_chunked_loss_is_the_plain_one(toy, monkeypatch, logits, freeze, trim):
    monkeypatch.setattr(model, "LOGITS", logits)
    parts = tiny(toy, trim=trim)
    made, whole = batch(parts), model.TranslationModel(parts[0], freeze).train()
    loss, count = whole(**made, smoothing=0.1)
    (3 * loss).backward()
    ours = {name: weight.grad for name, weight in whole.named_parameters() if weight.requires_grad}
    assert count == (made["labels"] >= 0).sum() and all(gradient is not None for gradient in ours.values())
    whole.zero_grad(set_to_none=True)
    inputs = {**made, "decoder_attention_mask": (made["labels"] >= 0).long()}
    labels = inputs.pop("labels")
    logits = parts[0](**inputs).logits
    plain = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="sum", label_smoothing=0.1
    )
    (3 * plain).backward()
    assert abs(loss - plain) < 1e-5 * plain
    largest = float(max(weight.grad.abs().max() for weight in whole.parameters() if weight.grad is not None))
    for name, weight in whole.named_parameters():
        assert weight.requires_grad == (name in ours)
        if name in ours:
            assert torch.allclose(ours[name], weight.grad, rtol=1e-3, atol=1e-6 * largest), name
    frozen = {name.split(".")[1] for name, weight in whole.named_parameters() if not weight.requires_grad}
    assert (
        frozen == {"encoder": {"encoder", "decoder"}, "embeddings": {"encoder", "decoder"}, "nothing": set()}[freeze]
    )
    assert whole.model.encoder.training == (freeze != "encoder")


def test_save_and_load_keep_ties(toy, tmp_path):
    for trim in (True, False):
        parts = tiny(toy, trim=trim)
        whole, folder = model.TranslationModel(parts[0], "nothing"), tmp_path / str(trim)
        made = batch(parts)
        with torch.no_grad():
            for weight in whole.parameters():
                weight += 0.01
        whole.save(folder)
        parts[1].save_pretrained(folder)
        parts[2].save_pretrained(folder / "target")
        again, _, target = model.load(folder, 64)
        word, output = again.decoder.get_input_embeddings(), again.decoder.get_output_embeddings()
        assert output.weight is word.weight and again.decoder.lm_head.bias is output.bias
        assert (again.encoder.get_input_embeddings().weight is word.weight) == (not trim)
        assert len(target) == word.weight.shape[0] and again.config.decoder.use_cache
        expected = whole(**made)[0].item()
        assert model.TranslationModel(again, "nothing")(**made)[0].item() == expected
        fresh = model.TranslationModel(tiny(toy, trim=trim, seed=9)[0], "nothing")
        fresh.load(folder)
        assert fresh(**made)[0].item() == expected
        plain = EncoderDecoderModel.from_pretrained(folder)
        assert model.TranslationModel(plain, "nothing")(**made)[0].item() == expected
        assert (
            AutoTokenizer.from_pretrained(folder / "target")(parts[3])["input_ids"] == parts[2](parts[3])["input_ids"]
        )


# --- Generation -----------------------------------------------------------------------------------------------------


def translator(parts, size):
    whole, tokenizer, target, _ = parts
    args = SimpleNamespace(
        per_device_eval_batch_size=size, device=torch.device("cpu"), disable_tqdm=True, bf16=False, deepspeed=None
    )
    return generation.Translator(whole, tokenizer, target, args, 64)


@pytest.mark.parametrize("beams", [1, 3])
def test_translations_do_not_depend_on_batches_or_the_cache(toy, beams):
    parts = tiny(toy)
    with torch.no_grad():  # random weights that say different things to different lines
        for name, weight in parts[0].decoder.named_parameters():
            if "crossattention" in name and name.endswith("weight") and weight.dim() == 2:
                weight *= 8
    lines = [line[: 4 + 7 * number] for number, line in enumerate(parts[3][:12])]
    alone = translator(parts, 1).translate(lines, beams)
    assert len({text for (text,) in alone}) > 6
    assert translator(parts, 5).translate(lines, beams) == alone
    assert translator(parts, 5).translate(lines[::-1], beams)[::-1] == alone
    best = translator(parts, 5).translate(lines, beams, n_best=beams)
    assert [own[:1] for own in best] == alone and {len(own) for own in best} == {beams}
    assert translator(parts, 2).translate(lines, beams, n_best=beams) == best
    parts[0].generation_config.use_cache = parts[0].config.decoder.use_cache = False
    assert translator(parts, 5).translate(lines, beams) == alone
    assert translator(parts, 5).translate([], beams) == []


def test_the_longest_translation_follows_from_the_source(toy):
    parts = tiny(toy)
    (line,) = parts[3][:1]
    pieces = len(parts[1](line)["input_ids"])
    with torch.no_grad():
        parts[0].decoder.lm_head.bias[2] = -1e4  # never ends by itself
    ids = []
    decode = parts[2].batch_decode
    parts[2].batch_decode = lambda rows, **options: ids.extend(rows) or decode(rows, **options)
    translator(parts, 2).translate([line, "x"], 1)
    written = [int((row != 1).sum()) - 1 for row in ids]  # without the start
    assert written[0] == 2 * pieces + 20 and written[1] == 2 * len(parts[1]("x")["input_ids"]) + 20
    assert all(row[(row != 1).sum() - 1] == 2 for row in ids)
    assert generation.limits(torch.tensor([500])).tolist() == [256]


# --- Files ----------------------------------------------------------------------------------------------------------


def put(folder, files):
    for name, lines in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def test_forms_of_files(tmp_path):
    own, english = ["eins", "zwei"], ["one", "two"]
    forms = {
        "pairs": {"test.de-en.de": own, "test.de-en.en": english, "train.de-en.de": ["x"], "train.de-en.en": ["y"]},
        "tatoeba": {"de-en.de": own, "de-en.en": english},
        "lines": {"de.txt": own, "en.txt": english},
        "flores": {"deu_Latn.devtest": own, "eng_Latn.devtest": english},
        "ntrex": {"newstest2019-ref.deu.txt": own, "newstest2019-src.eng.txt": english},
        "mtnt": {"test.de-en.tsv": ["1\teins\tone", "2\tzwei\ttwo"]},
    }
    for name, files in forms.items():
        tests = data.read_tests(put(tmp_path / name, files), None, {}, None)
        assert {key: value[:2] for key, value in tests.items()} == {("clean", "de"): (own, english)}, name
    assert list(data.training_files(tmp_path / "pairs", "train", None)) == ["de"]
    put(tmp_path / "mtnt", {"valid.de-en.tsv": ["1\teins\tone"]})
    (found,) = data.training_files(tmp_path / "mtnt", "dev", ["de"]).values()
    assert data.read_pairs(found) == (["eins"], ["one"])


def test_noised_copies_may_have_blank_lines(tmp_path):
    put(
        tmp_path / "clean",
        {
            "de-en.de": ["eins", "zwei", "drei"],
            "de-en.en": ["one", "two", "three"],
            "fr-en.fr": ["un"],
            "fr-en.en": ["one"],
        },
    )
    put(tmp_path / "noised", {"de-en.de": ["ein", "", ""]})
    tests = data.read_tests(tmp_path / "clean", None, {"swap-1": str(tmp_path / "noised")}, 2)
    assert tests["swap-1", "de"][:2] == (["ein", ""], ["one", "two"]) and ("swap-1", "fr") not in tests


BROKEN = {
    "2 lines but": {"test.de-en.de": ["a", "b"], "test.de-en.en": ["a"]},
    "test.de-en.de, line 2: blank": {"test.de-en.de": ["a", "", "c"], "test.de-en.en": ["a", "b", "c"]},
    "test.de-en.en, line 1: blank": {"test.de-en.de": ["a", "b"], "test.de-en.en": [" ", "b"]},
    "no parallel text with en": {"test.de-fr.de": ["a"], "test.de-fr.fr": ["a"]},
    "line 1: fewer than 3 columns": {"test.de-en.tsv": ["a\tb"]},
}


@pytest.mark.parametrize("says", BROKEN)
def test_broken_test_sets_are_refused(tmp_path, says):
    with pytest.raises(InputError, match=says):
        data.read_tests(put(tmp_path, BROKEN[says]), None, {}, None)


def test_missing_pairs_are_refused(tmp_path):
    put(tmp_path, {"train.de-en.de": ["a"], "train.de-en.en": ["b"], "train.fr-en.fr": ["a"], "dev.de-fr.fr": ["a"]})
    for split, languages, says in (
        ("train", ["dee"], "--train_languages dee: .* has no train.dee-en.dee; did you mean 'de'.*it has de fr"),
        ("dev", None, "no dev.<lang>-en.<lang> with its en side; dev.de-fr.fr is there, and targets are English"),
    ):
        with pytest.raises(InputError, match=says):
            data.training_files(tmp_path, split, languages)
    with pytest.raises(InputError, match="train.fr-en.en: does not exist beside train.fr-en.fr"):
        data.read_pairs(data.training_files(tmp_path, "train", ["fr"])["fr"])


def test_a_script_that_the_tokenizer_lacks_is_refused(toy):
    tokenizer = checkpoints.load_tokenizer(toy / "model")
    data.check_script(tokenizer, ["bada gelu"], "x", "toy")
    with pytest.raises(InputError, match="file.am: the tokenizer of toy has no pieces for 100 % of its words"):
        data.check_script(tokenizer, ["ሰላም ለዓለም"], "file.am", "toy")
