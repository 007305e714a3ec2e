"""The toy world is deterministic, well formed, in XTREME's formats, and comes with a tokenizer that behaves like XLM-R's."""

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import toy_data
from tasks import TARGETS
from toy_world import GRAMMARS, SCRIPTS

REPOSITORY = Path(__file__).resolve().parent.parent


def command(*arguments, **environment):
    environment = {**os.environ, **environment}
    line = [sys.executable, REPOSITORY / "toy_data.py", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, encoding="utf-8", env=environment)


def digests(folder):
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def files(toy, name):
    """{(split, language): path} of one task; fails when a file that the table promises is missing."""
    found = {}
    for split, template in TARGETS[name].files.items():
        languages = toy_data.languages_of(name) if "{lang}" in template else ["en"]
        if split.startswith("dev") and name != "bucc2018":
            languages = [language for language in languages if language in toy_data.DEV_LANGUAGES]
        for language in languages:
            found[split, language] = toy / "xtreme" / template.format(lang=language)
            assert found[split, language].is_file()
    return found


def lines(path):
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") and "\r" not in text
    return text[:-1].split("\n")


def sentences(path):
    """[[(word, tag), ...], ...]"""
    blocks = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]


def questions(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    for paragraph in (paragraph for article in document["data"] for paragraph in article["paragraphs"]):
        for question in paragraph["qas"]:
            yield question["id"], paragraph["context"], question["question"], question["answers"]


def scripts_of(text):
    return {unicodedata.name(character).split()[0] for character in text if character.isalpha()}


# ---------------------------------------------------------------- determinism, the folder


def test_same_seed_same_bytes(toy, tmp_path):
    done = command("--output_dir", tmp_path / "again", PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "again") == digests(toy)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # no temporary folder stays


def test_other_seed_other_world():
    assert toy_data.lexicon(0) == toy_data.lexicon(0) != toy_data.lexicon(1)


def test_second_run_does_nothing(toy, monkeypatch, capsys):
    before = {path: path.stat().st_mtime_ns for path in toy.rglob("*")}
    monkeypatch.setattr(sys, "argv", ["toy_data.py", "--output_dir", str(toy)])
    toy_data.main()
    assert "there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in toy.rglob("*")} == before


def break_foreign(folder):
    (folder / "notes.txt").write_text("mine")


def break_file(folder):
    (folder / toy_data.MARKER).write_text(json.dumps({"seed": 0, "version": toy_data.fingerprint(), "files": {"xtreme/gone.tsv": 3}}))


def break_seed(folder):
    (folder / toy_data.MARKER).write_text(json.dumps({"seed": 1, "version": toy_data.fingerprint(), "files": {}}))


def break_marker(folder):
    (folder / toy_data.MARKER).write_text('{"seed": 0')


@pytest.mark.parametrize("damage", (break_foreign, break_file, break_seed, break_marker))
def test_refuses_other_folders(tmp_path, monkeypatch, capsys, damage):
    damage(tmp_path)
    before = digests(tmp_path)
    monkeypatch.setattr(sys, "argv", ["toy_data.py", "--output_dir", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        toy_data.main()
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert message.count("\n") == 1 and str(tmp_path) in message
    assert digests(tmp_path) == before


def test_arguments():
    for arguments in ((), ("--output", "x"), ("--output_dir", "x", "--seed", "one")):
        assert command(*arguments).returncode == 2


# ---------------------------------------------------------------- the languages


def test_scripts():
    assert len(GRAMMARS) >= 6 and len({grammar.script for grammar in GRAMMARS.values()}) >= 5
    assert all(len(set(syllables)) == 75 for syllables in SCRIPTS.values())
    words = toy_data.lexicon(0)
    for language, grammar in GRAMMARS.items():
        assert scripts_of("".join(words[language].values())) == {"CJK" if grammar.script == "Han" else grammar.script.upper()}
        assert len(set(words[language].values())) == len(words[language])
        assert all(unicodedata.is_normalized("NFKC", word) for word in words[language].values())


def test_files_are_in_their_script(toy):
    seen = set()
    for language in toy_data.languages_of("panx"):
        script = "CJK" if GRAMMARS[language].script == "Han" else GRAMMARS[language].script.upper()
        assert scripts_of("".join(word for sentence in sentences(files(toy, "panx")["test", language]) for word, _ in sentence)) == {script}
        seen.add(script)
    assert len(seen) >= 5


# ---------------------------------------------------------------- the tasks


@pytest.mark.parametrize("name", ("xnli", "pawsx"))
def test_pairs(toy, name):
    for (split, _), path in files(toy, name).items():
        rows = [line.split("\t") for line in lines(path)]
        assert len(rows) == toy_data.SIZES[split] and all(len(row) == 3 and all(row) for row in rows)
        counts = {label: sum(row[2] == label for row in rows) for label in TARGETS[name].labels}
        assert sum(counts.values()) == len(rows) and len(set(counts.values())) == 1  # balanced


@pytest.mark.parametrize("name", ("udpos", "panx"))
def test_tags(toy, name):
    for (split, _), path in files(toy, name).items():
        found = sentences(path)
        assert len(found) == toy_data.SIZES[split]
        assert all(len(pair) == 2 and pair[0] and not re.search(r"\s", pair[0]) for sentence in found for pair in sentence)
        tags = [[tag for _, tag in sentence] for sentence in found]
        assert {tag for sentence in tags for tag in sentence} <= set(TARGETS[name].labels)
        if name == "panx":  # IOB2: I- continues a name of its own type
            for sentence in tags:
                assert all(previous[2:] == tag[2:] for previous, tag in zip(["O", *sentence], sentence) if tag.startswith("I-"))
    everything = {tag for sentence in sentences(files(toy, name)["train", "en"]) for _, tag in sentence}
    assert everything >= set(TARGETS["panx"].labels) if name == "panx" else len(everything) >= 14


@pytest.mark.parametrize("name", ("xquad", "mlqa", "tydiqa"))
def test_answers_are_slices(toy, name):
    ids = {}
    for (split, language), path in files(toy, name).items():
        found = list(questions(path))
        assert len(found) == toy_data.SIZES[split]
        for _, context, question, answers in found:
            assert question and len(answers) == 1 and answers[0]["text"]
            start, text = answers[0]["answer_start"], answers[0]["text"]
            assert context[start : start + len(text)] == text == text.strip()
        ids[split, language] = [row[0] for row in found]
        assert len(set(ids[split, language])) == len(found)
    tests = [found for (split, _), found in ids.items() if split == "test"]
    assert all((found == tests[0]) == (name != "tydiqa") for found in tests[1:])  # parallel, or independent as TyDiQA
    if name == "tydiqa":
        assert all(example.startswith("russian-") for example in ids["test", "ru"])


def test_choices(toy):
    for (split, _), path in files(toy, "xcopa").items():
        rows = [json.loads(line) for line in lines(path)]
        assert [row["idx"] for row in rows] == list(range(toy_data.SIZES[split]))
        assert all(set(TARGETS["xcopa"].columns) <= set(row) and row["question"] in ("cause", "effect") and row["label"] in (0, 1) for row in rows)
        assert all(row["choice1"] != row["choice2"] for row in rows)
        assert 0.3 < sum(row["label"] for row in rows) / len(rows) < 0.7


def test_tatoeba_is_aligned(toy):
    paths = files(toy, "tatoeba")
    for language in toy_data.languages_of("tatoeba"):
        source, english = lines(paths["test", language]), lines(paths["test_english", language])
        assert len(source) == len(english) == len(set(source)) == len(set(english)) == 100


def test_bucc_gold_exists(toy):
    paths = files(toy, "bucc2018")
    for language in toy_data.languages_of("bucc2018"):
        for split in ("dev", "test"):
            source, english = (dict(line.split("\t") for line in lines(paths[f"{split}{side}", language])) for side in ("", "_english"))
            gold = [tuple(line.split("\t")) for line in lines(paths[f"{split}_gold", language])]
            assert len(source) == len(english) == 130 and len(gold) == 50
            assert all(left in source and right in english for left, right in gold)
            assert len(set(source.values())) == len(source) and len({left for left, _ in gold}) == len({right for _, right in gold}) == 50


# ---------------------------------------------------------------- the model


@pytest.fixture(scope="module")
def tokenizer(toy):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(toy / "model")


def test_tokenizer_is_xlmr(tokenizer):
    assert [tokenizer.convert_tokens_to_ids(piece) for piece in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, len(tokenizer) - 1]
    assert (tokenizer.pad_token_id, tokenizer.model_max_length, len(tokenizer)) == (1, 512, 2000)
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("cause", "effect"))
    assert tokenizer("cause", "effect")["input_ids"] == [0, *first, 2, 2, *second, 2]


@pytest.mark.parametrize("language", GRAMMARS)
def test_tokenizer_knows_every_word(tokenizer, language):
    for word in (*toy_data.lexicon(0)[language].values(), *toy_data.YEARS):
        assert tokenizer.tokenize(word) == ["▁" + word]


def test_tokenizer_round_trip_and_offsets(toy, tokenizer):
    for language in toy_data.languages_of("xnli"):
        for line in lines(files(toy, "xnli")["test", language])[:20]:
            text = line.split("\t")[0]
            encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
            assert 3 not in encoded["input_ids"]
            assert tokenizer.decode(encoded["input_ids"]) == unicodedata.normalize("NFKC", text)
            assert "".join(text[begin:end] for begin, end in encoded["offset_mapping"]) == text.replace(" ", "")


def test_answers_are_whole_tokens(toy, tokenizer):
    """No answer starts or ends inside a piece, so a tagger of tokens can find it exactly."""
    for path in files(toy, "mlqa").values():
        for _, context, _, (answer,) in questions(path):
            offsets = tokenizer(context, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
            starts, ends = {begin for begin, _ in offsets}, {end for _, end in offsets}
            assert answer["answer_start"] in starts and answer["answer_start"] + len(answer["text"]) in ends


def test_word_ids(tokenizer):
    words = list(toy_data.lexicon(0)["hi"].values())[:7]
    assert tokenizer(words, is_split_into_words=True).word_ids() == [None, *range(7), None]


def test_model(toy, tokenizer):
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(toy / "model", add_pooling_layer=False)
    assert model.config.model_type == "xlm-roberta" and model.config.max_position_embeddings == 514
    assert model.config.vocab_size == len(tokenizer) and {weight.dtype for weight in model.parameters()} == {torch.float32}
    vectors = torch.nn.functional.normalize(model.embeddings.word_embeddings.weight.detach(), dim=-1)
    english, russian = (vectors[[tokenizer.convert_tokens_to_ids("▁" + word) for word in toy_data.lexicon(0)[x].values()]] for x in ("en", "ru"))
    nearest = (english @ russian.T).argmax(dim=1)
    assert (nearest == torch.arange(len(nearest))).float().mean() > 0.9  # translations start close to each other
