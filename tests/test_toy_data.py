"""The toy world: deterministic, in XTREME's and the Hub's formats, with a tokenizer that behaves like XLM-R's."""

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import toy_data
from heads import head_of
from tasks import INTERMEDIATE, TARGETS
from toyworld.intermediate import PAIRS, SENTENCES, TRANSLATED
from toyworld.world import GRAMMARS, SCRIPTS, SIZES, YEARS, lexicon

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
    paths = {}
    for split, template in TARGETS[name].files.items():
        languages = toy_data.languages_of(name) if "{lang}" in template else ["en"]
        if split.startswith("dev") and name != "bucc2018":
            languages = [language for language in languages if language in toy_data.DEV_LANGUAGES]
        for language in languages:
            paths[split, language] = toy / "xtreme" / template.format(lang=language)
            assert paths[split, language].is_file()
    return paths


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


def script_of(language):
    """The script of a language by the name that Unicode's names of characters begin with."""
    script = GRAMMARS[language].script.upper()
    return "CJK" if script == "HAN" else script


@pytest.fixture(scope="module")
def tokenizer(toy):
    return AutoTokenizer.from_pretrained(toy / "model")


# --- determinism, the folder


def test_same_seed_same_bytes(toy, tmp_path):
    done = command("--output_dir", tmp_path / "again", PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "again") == digests(toy)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # no temporary folder stays


def test_other_seed_other_world():
    assert lexicon(0) == lexicon(0) != lexicon(1)


def test_second_run_does_nothing(toy, capsys):
    before = {path: path.stat().st_mtime_ns for path in toy.rglob("*")}
    toy_data.main(["--output_dir", str(toy)])
    assert "there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in toy.rglob("*")} == before


def marker(**changes):
    return json.dumps({"seed": 0, "version": toy_data.fingerprint(), "files": {}, **changes})


@pytest.mark.parametrize(
    "name, text, says",
    [
        ("notes.txt", "mine", "not empty"),
        (toy_data.MARKER, '{"seed": 0', "broken"),
        (toy_data.MARKER, marker(files=[]), "broken"),
        (toy_data.MARKER, marker(seed=1), "written with seed 1"),
        (toy_data.MARKER, marker(version="x"), "by version x"),
        (toy_data.MARKER, marker(files={"xtreme/gone.tsv": 3}), "xtreme/gone.tsv: missing or changed"),
    ],
)
def test_refuses_other_folders(tmp_path, capsys, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as stop:
        toy_data.main(["--output_dir", str(tmp_path)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and str(tmp_path) in error and says in error
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == text


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(toy_data, "generate", full)
    with pytest.raises(SystemExit) as stop:
        toy_data.main(["--output_dir", str(tmp_path / "toy")])
    error = capsys.readouterr().err
    assert stop.value.code == 1 and error.count("\n") == 1 and "No space left" in error


def test_arguments():
    for arguments in ((), ("--output", "x"), ("--output_dir", "x", "--seed", "one")):
        done = command(*arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


# --- the languages


def test_scripts():
    assert len(GRAMMARS) >= 6 and len({grammar.script for grammar in GRAMMARS.values()}) >= 5
    assert all(len(set(syllables)) == 75 for syllables in SCRIPTS.values())
    words = lexicon(0)
    for language in GRAMMARS:
        assert scripts_of("".join(words[language].values())) == {script_of(language)}
        assert len(set(words[language].values())) == len(words[language])
        assert all(unicodedata.is_normalized("NFKC", word) for word in words[language].values())


def test_files_are_in_their_script(toy):
    for language in toy_data.languages_of("panx"):
        words = [word for sentence in sentences(files(toy, "panx")["test", language]) for word, _ in sentence]
        assert scripts_of("".join(words)) == {script_of(language)}


# --- the tasks


@pytest.mark.parametrize("name", ("xnli", "pawsx"))
def test_pairs(toy, name):
    for (split, _), path in files(toy, name).items():
        rows = [line.split("\t") for line in lines(path)]
        assert len(rows) == SIZES[split] and all(len(row) == 3 and all(row) for row in rows)
        counts = {label: sum(row[2] == label for row in rows) for label in TARGETS[name].labels}
        assert sum(counts.values()) == len(rows) and len(set(counts.values())) == 1  # balanced


@pytest.mark.parametrize("name", ("udpos", "panx"))
def test_tags(toy, name):
    for (split, _), path in files(toy, name).items():
        tagged = sentences(path)
        assert len(tagged) == SIZES[split]
        assert all(len(pair) == 2 and re.fullmatch(r"\S+", pair[0]) for sentence in tagged for pair in sentence)
        assert {tag for sentence in tagged for _, tag in sentence} <= set(TARGETS[name].labels)
    used = {tag for sentence in sentences(files(toy, name)["train", "en"]) for _, tag in sentence}
    assert len(used) >= {"udpos": 14, "panx": 7}[name]


def test_names_are_in_iob2(toy):
    for path in files(toy, "panx").values():
        for sentence in sentences(path):
            tags = [tag for _, tag in sentence]
            pairs = zip(["O", *tags], tags)
            assert all(before[2:] == tag[2:] for before, tag in pairs if tag.startswith("I-")), path


@pytest.mark.parametrize("name", ("xquad", "mlqa", "tydiqa"))
def test_answers_are_slices(toy, name):
    ids = {}
    for (split, language), path in files(toy, name).items():
        asked = list(questions(path))
        assert len(asked) == SIZES[split]
        for _, context, question, answers in asked:
            assert question and len(answers) == 1 and answers[0]["text"]
            start, text = answers[0]["answer_start"], answers[0]["text"]
            assert context[start : start + len(text)] == text == text.strip()
        ids[split, language] = [example for example, *_ in asked]
        assert len(set(ids[split, language])) == len(asked)
    tests = [examples for (split, _), examples in ids.items() if split == "test"]
    assert all((examples == tests[0]) == (name != "tydiqa") for examples in tests[1:])  # parallel but for TyDiQA
    if name == "tydiqa":
        assert all(example.startswith("russian-") for example in ids["test", "ru"])


def test_choices(toy):
    for (split, _), path in files(toy, "xcopa").items():
        rows = [json.loads(line) for line in lines(path)]
        assert [row["idx"] for row in rows] == list(range(SIZES[split]))
        for row in rows:
            assert set(TARGETS["xcopa"].columns) <= set(row) and row["choice1"] != row["choice2"]
            assert row["question"] in ("cause", "effect") and row["label"] in (0, 1)
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
            source, english = (
                dict(line.split("\t") for line in lines(paths[f"{split}{side}", language]))
                for side in ("", "_english")
            )
            gold = [tuple(line.split("\t")) for line in lines(paths[f"{split}_gold", language])]
            assert len(source) == len(english) == 130 and len(gold) == 50
            assert all(left in source and right in english for left, right in gold)
            assert len(set(source.values())) == 130
            assert len({left for left, _ in gold}) == len({right for _, right in gold}) == 50


# --- the intermediate tasks and the text


def hub_files(toy, name, split, language="en"):
    """Paths of one split of an intermediate task."""
    templates = INTERMEDIATE[name].files[split]
    for template in (templates,) if isinstance(templates, str) else templates:
        name = template if language == "en" else template.replace(".jsonl", f".{language}.jsonl")
        yield toy / "intermediate" / name


def hub_rows(toy, name, split, language="en"):
    return [json.loads(line) for path in hub_files(toy, name, split, language) for line in lines(path)]


HUB_COLUMNS = {
    "mnli": "premise hypothesis label idx",
    "snli": "premise hypothesis label",
    "anli": "uid premise hypothesis label reason",
    "qqp": "question1 question2 label idx",
    "squad": "id title context question answers",
    "squad_v2": "id title context question answers",
    "hellaswag": "ind activity_label ctx_a ctx_b ctx endings source_id split split_type label",
    "cosmos_qa": "id context question answer0 answer1 answer2 answer3 label",
    "commonsense_qa": "id question question_concept choices answerKey",
    "siqa": "context question answerA answerB answerC label",
    "ccg": "id tokens tags",
}


@pytest.mark.parametrize("name", INTERMEDIATE)
def test_heads_read_intermediate_tasks(toy, name):
    task = INTERMEDIATE[name]
    for split in ("train", "dev"):
        rows = head_of(task).read(task, toy / "intermediate", split, "en")
        assert len(rows) == SIZES[split] * (len(task.parts) or 1)
        texts = [json.dumps({key: value for key, value in row.items() if key != "id"}) for row in rows]
        assert len(set(texts)) > 0.95 * len(texts)
        labels = [row["label"] for row in rows] if "label" in rows.column_names else []
        if task.labels:
            counts = [labels.count(label) for label in task.labels]
            assert sum(counts) == len(rows) and max(counts) - min(counts) <= 1  # balanced


@pytest.mark.parametrize("name", HUB_COLUMNS)
def test_intermediate_tasks_have_the_columns_of_the_hub(toy, name):
    assert set(HUB_COLUMNS) == {task.name for task in INTERMEDIATE.values() if not task.parts}
    for row in hub_rows(toy, name, "train") + hub_rows(toy, name, "dev"):
        assert set(row) == set(HUB_COLUMNS[name].split())


def test_labels_are_written_as_on_the_hub(toy):
    for name in ("mnli", "snli", "anli", "qqp"):
        assert {type(row["label"]) for row in hub_rows(toy, name, "train")} == {int}
    for row in hub_rows(toy, "hellaswag", "train"):
        assert row["label"] in ("0", "1", "2", "3") and len(set(row["endings"])) == 4
        assert row["ctx"] == f"{row['ctx_a']} {row['ctx_b']}"
    for row in hub_rows(toy, "cosmos_qa", "train"):
        assert row["label"] in range(4) and len({row[f"answer{number}"] for number in range(4)}) == 4
    for row in hub_rows(toy, "siqa", "train"):
        assert row["label"] in ("1", "2", "3") and len({row[f"answer{letter}"] for letter in "ABC"}) == 3
    for row in hub_rows(toy, "commonsense_qa", "train"):
        assert row["choices"]["label"] == list("ABCDE") and row["answerKey"] in row["choices"]["label"]
        assert len(set(row["choices"]["text"])) == 5


def test_a_third_of_the_squad_v2_questions_has_no_answer(toy):
    for split in ("train", "dev"):
        rows = hub_rows(toy, "squad_v2", split)
        unanswerable = [row for row in rows if row["answers"] == {"text": [], "answer_start": []}]
        assert 0.25 < len(unanswerable) / len(rows) < 0.4
        assert all(len(row["answers"]["text"]) == 1 for row in hub_rows(toy, "squad", split))


def test_categories_depend_on_the_context(toy):
    tags = {}
    for row in hub_rows(toy, "ccg", "train"):
        for word, tag in zip(row["tokens"], row["tags"], strict=True):
            tags.setdefault(word, set()).add(tag)
    assert len(set.union(*tags.values())) == 16  # a small set
    assert sum(len(of_word) > 1 for of_word in tags.values()) > 20  # a word alone does not tell


@pytest.mark.parametrize("name", TRANSLATED)
@pytest.mark.parametrize("split", ("train", "dev"))
def test_translated_files_are_parallel(toy, name, split):
    def same(row):  # in every language
        return (row["idx"], row["label"]) if name == "mnli" else (row["id"], len(row["answers"]["text"]))

    english, text = hub_rows(toy, name, split), "premise" if name == "mnli" else "context"
    for language in TRANSLATED[name]:
        rows = hub_rows(toy, name, split, language)
        assert [same(row) for row in rows] == [same(row) for row in english]
        assert all(row[text] != told[text] for row, told in zip(rows, english))
        assert scripts_of("".join(row[text] for row in rows)) == {script_of(language)}
        for row in rows if name == "squad" else ():
            (answer,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
            assert row["context"][start : start + len(answer)] == answer


def test_intermediate_tasks_do_not_repeat_xtreme(toy):
    asked = {tuple(line.split("\t")[:2]) for path in files(toy, "xnli").values() for line in lines(path)}
    assert not asked & {(row["premise"], row["hypothesis"]) for row in hub_rows(toy, "mnli", "train")}
    asked = {(context, question) for _, context, question, _ in questions(files(toy, "xquad")["train", "en"])}
    assert not asked & {(row["context"], row["question"]) for row in hub_rows(toy, "squad", "train")}


def test_text_and_intermediate_tasks_hold_no_unknown_piece(toy, tokenizer):
    for path in [*(toy / "text").iterdir(), *(toy / "intermediate").rglob("*.jsonl")]:
        texts = lines(path)
        if path.suffix == ".jsonl":
            texts = [text for line in texts for text in strings(json.loads(line))]
        assert not any(3 in row for row in tokenizer(texts, add_special_tokens=False)["input_ids"]), path


def strings(row):
    """All texts of a row that a head reads."""
    for key, value in row.items():
        if key in ("endings", "tokens"):
            yield from value
        elif key == "choices":
            yield from value["text"]
        elif re.fullmatch(r"premise|hypothesis|question\d?|context|ctx_[ab]|answer\d", key):
            yield value


@pytest.mark.parametrize("language", GRAMMARS)
def test_text_is_of_the_language_half_of_it_beside_a_translation(toy, language):
    text = lines(toy / "text" / f"{language}.txt")
    assert len(text) == SENTENCES + PAIRS and len(set(text)) > 0.9 * len(text)
    if GRAMMARS[language].script == "Latin":  # told apart by their words
        words = {other: set(vocabulary.values()) for other, vocabulary in lexicon(0).items()}
        own, strange = words[language], set.union(*words.values()) - words[language]
        spoken = [set(re.findall(r"\w+", line)) for line in text]
        assert not any(own.isdisjoint(line) for line in spoken)
        assert sum(bool(strange & said) or scripts_of(line) > {"LATIN"} for line, said in zip(text, spoken)) == PAIRS
    else:
        scripts = [scripts_of(line) for line in text]
        assert scripts.count({script_of(language)}) == SENTENCES
        assert scripts.count({script_of(language), "LATIN"}) == PAIRS


# --- the model


def test_tokenizer_is_xlmr(tokenizer):
    special = [tokenizer.convert_tokens_to_ids(piece) for piece in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]
    assert special == [0, 1, 2, 3, len(tokenizer) - 1]
    assert (tokenizer.pad_token_id, tokenizer.model_max_length, len(tokenizer)) == (1, 512, 2000)
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("cause", "effect"))
    assert tokenizer("cause", "effect")["input_ids"] == [0, *first, 2, 2, *second, 2]


@pytest.mark.parametrize("language", GRAMMARS)
def test_tokenizer_knows_every_word(tokenizer, language):
    for word in (*lexicon(0)[language].values(), *YEARS):
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
    words = list(lexicon(0)["hi"].values())[:7]
    assert tokenizer(words, is_split_into_words=True).word_ids() == [None, *range(7), None]


def test_model(toy, tokenizer):
    model = AutoModel.from_pretrained(toy / "model", add_pooling_layer=False)
    assert model.config.model_type == "xlm-roberta" and model.config.max_position_embeddings == 514
    assert model.config.vocab_size == len(tokenizer)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    vectors = torch.nn.functional.normalize(model.embeddings.word_embeddings.weight.detach(), dim=-1)
    english, russian = (
        vectors[[tokenizer.convert_tokens_to_ids("▁" + word) for word in lexicon(0)[language].values()]]
        for language in ("en", "ru")
    )
    nearest = (english @ russian.T).argmax(dim=1)
    assert (nearest == torch.arange(len(nearest))).float().mean() > 0.9  # translations start close to each other


def test_pairs_to_train_and_test_translation(toy):
    english = {}
    for path in sorted((toy / "parallel/pairs").glob("*.en")):
        split, pair, _ = path.name.split(".")
        own, english[split, pair] = lines(path.with_suffix(f".{pair[:2]}")), lines(path)
        assert len(own) == len(english[split, pair]) >= 100 and all(own) and own != english[split, pair]
    assert {pair for split, pair in english if split == "train"} == {"de-en", "hi-en", "ru-en"}
    tests = [text for (split, _), text in english.items() if split == "test"]
    assert len(tests) == len(GRAMMARS) - 1 and all(text == tests[0] for text in tests)
    held_out = {line for (split, _), text in english.items() if split != "train" for line in text}
    assert not held_out & {line for (split, _), text in english.items() if split == "train" for line in text}
