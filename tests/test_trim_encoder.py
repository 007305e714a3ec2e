"""tools/trim_encoder.py: the same pieces and the same hidden states on the text that was named; what it refuses."""

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))
import trim_encoder  # noqa: E402


def trimmed(toy, out, *flags):
    trim_encoder.main(["--model_name_or_path", str(toy / "model"), "--output_dir", str(out), *map(str, flags)])
    return AutoTokenizer.from_pretrained(out), AutoModel.from_pretrained(out).eval()


def test_named_text_has_the_same_pieces_and_hidden_states(toy, tmp_path):
    text = toy / "xtreme/panx/test-sw.tsv"
    tokenizer, model = trimmed(toy, tmp_path / "out", "--text", text, "--layers", 2)
    whole_tokenizer = AutoTokenizer.from_pretrained(toy / "model")
    whole = AutoModel.from_pretrained(toy / "model").eval()
    assert len(tokenizer) < len(whole_tokenizer) / 2 and model.config.vocab_size == len(tokenizer)
    words = [line.split("\t")[0] for line in text.read_text(encoding="utf-8").splitlines()[:12] if line]
    inputs = [one([words], is_split_into_words=True, return_tensors="pt") for one in (whole_tokenizer, tokenizer)]
    pieces = [
        one.convert_ids_to_tokens(batch["input_ids"][0]) for one, batch in zip((whole_tokenizer, tokenizer), inputs)
    ]
    assert pieces[0] == pieces[1] and pieces[0][0] == "<s>"
    with torch.no_grad():
        second = whole(**inputs[0], output_hidden_states=True).hidden_states[2]
        assert torch.equal(model(**inputs[1]).last_hidden_state, second)
    special = tokenizer.pad_token_id, tokenizer.mask_token_id
    assert special == (1, len(tokenizer) - 1) and model.get_input_embeddings().padding_idx == 1


def test_other_text_is_still_spelled_out(toy, tmp_path):
    tokenizer, _ = trimmed(toy, tmp_path / "out", "--text", toy / "xtreme/panx/test-sw.tsv")
    text = (toy / "xtreme/panx/test-ru.tsv").read_text(encoding="utf-8").split()[0]
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_texts_of_json_and_of_folders_are_read(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.json").write_text(json.dumps({"data": [{"q": "Ünder"}, "b"]}), encoding="utf-8")
    (tmp_path / "c.jsonl").write_text('{"premise": "c\\u00e9"}\n\n', encoding="utf-8")
    (tmp_path / "d.tsv").write_text("word\tTAG\n", encoding="utf-8")
    (tmp_path / ".perturb").mkdir()
    (tmp_path / ".perturb/files.json").write_text('["no text"]', encoding="utf-8")
    (tmp_path / "edits.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 a log of perturb.py's")
    assert set(trim_encoder.read_texts([tmp_path])) == {"Ünder", "b", "cé", "word", "TAG", ""}


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--layers", "9"], "--layers 9: the encoder has 3; give a number from 1 to 3"),
        (["--text", "nowhere"], "--text nowhere: no such file or folder"),
    ],
)
def test_what_is_refused(toy, tmp_path, flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        trimmed(toy, tmp_path / "out", *flags)
    assert stop.value.code == 2 and message in capsys.readouterr().err and not (tmp_path / "out").exists()
