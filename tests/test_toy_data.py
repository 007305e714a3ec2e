"""The toy world is deterministic, well formed, in XTREME's and the Hub's formats, and comes with a tokenizer that
behaves like XLM-R's.
"""

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
from heads import head_of
from tasks import INTERMEDIATE, TARGETS
from toyworld.intermediate import PAIRS, SENTENCES, TRANSLATED
from toyworld.world import GRAMMARS, SCRIPTS

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


@pytest.fixture(scope="module")
def tokenizer(toy):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(toy / "model")


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
    (folder / toy_data.MARKER).write_text(
        json.dumps({"seed": 0, "version": toy_data.fingerprint(), "files": {"xtreme/gone.tsv": 3}})
    )


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
        assert scripts_of("".join(words[language].values())) == {
            "CJK" if grammar.script == "Han" else grammar.script.upper()
        }
        assert len(set(words[language].values())) == len(words[language])
        assert all(unicodedata.is_normalized("NFKC", word) for word in words[language].values())


def test_files_are_in_their_script(toy):
    seen = set()
    for language in toy_data.languages_of("panx"):
        script = "CJK" if GRAMMARS[language].script == "Han" else GRAMMARS[language].script.upper()
        assert scripts_of(
            "".join(word for sentence in sentences(files(toy, "panx")["test", language]) for word, _ in sentence)
        ) == {script}
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
        assert all(
            len(pair) == 2 and pair[0] and not re.search(r"\s", pair[0]) for sentence in found for pair in sentence
        )
        tags = [[tag for _, tag in sentence] for sentence in found]
        assert {tag for sentence in tags for tag in sentence} <= set(TARGETS[name].labels)
        if name == "panx":  # IOB2: I- continues a name of its own type
            for sentence in tags:
                assert all(
                    previous[2:] == tag[2:]
                    for previous, tag in zip(["O", *sentence], sentence)
                    if tag.startswith("I-")
                )
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
        assert all(
            set(TARGETS["xcopa"].columns) <= set(row)
            and row["question"] in ("cause", "effect")
            and row["label"] in (0, 1)
            for row in rows
        )
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
            source, english = (
                dict(line.split("\t") for line in lines(paths[f"{split}{side}", language]))
                for side in ("", "_english")
            )
            gold = [tuple(line.split("\t")) for line in lines(paths[f"{split}_gold", language])]
            assert len(source) == len(english) == 130 and len(gold) == 50
            assert all(left in source and right in english for left, right in gold)
            assert (
                len(set(source.values())) == len(source)
                and len({left for left, _ in gold}) == len({right for _, right in gold}) == 50
            )


# ---------------------------------------------------------------- the intermediate tasks and the text


def hub_files(toy, name, split, language="en"):
    """Paths of one split of an intermediate task."""
    templates = INTERMEDIATE[name].files[split]
    for template in (templates,) if isinstance(templates, str) else templates:
        yield (
            toy / "intermediate" / (template if language == "en" else template.replace(".jsonl", f".{language}.jsonl"))
        )


def hub_rows(toy, name, split, language="en"):
    return [json.loads(line) for path in hub_files(toy, name, split, language) for line in lines(path)]


HUB_COLUMNS = {
    "mnli": "premise hypothesis label idx", "snli": "premise hypothesis label", "anli": "uid premise hypothesis "
                                                                                        "label reason",
    "qqp": "question1 question2 label idx", "squad": "id title context question answers", "squad_v2": "id title context "
                                                                                                      "question "
                                                                                                      "answers",
    "hellaswag": "ind activity_label ctx_a ctx_b ctx endings source_id split split_type label",
    "cosmos_qa": "id context question answer0 answer1 answer2 answer3 label",
    "commonsense_qa": "id question question_concept choices answerKey", "ccg": "id tokens tags",
}  # fmt: skip


@pytest.mark.parametrize("name", INTERMEDIATE)
def test_heads_read_intermediate_tasks(toy, name):
    task = INTERMEDIATE[name]
    for split in ("train", "dev"):
        rows = head_of(task).read(task, toy / "intermediate", split, "en")
        assert len(rows) == toy_data.SIZES[split] * (len(task.parts) or 1)
        texts = [json.dumps({key: value for key, value in row.items() if key != "id"}) for row in rows]
        assert len(set(texts)) > 0.95 * len(texts)
        labels = [row["label"] for row in rows] if "label" in rows.column_names else []
        counts = {label: labels.count(label) for label in labels}
        assert not counts or max(counts.values()) - min(counts.values()) <= 1  # balanced
        if task.labels:
            assert set(counts) == set(task.labels)


@pytest.mark.parametrize("name", HUB_COLUMNS)
def test_intermediate_tasks_have_the_columns_of_the_hub(toy, name):
    assert set(HUB_COLUMNS) == {task.name for task in INTERMEDIATE.values() if not task.parts}
    for row in hub_rows(toy, name, "train") + hub_rows(toy, name, "dev"):
        assert set(row) == set(HUB_COLUMNS[name].split())


def test_labels_are_written_as_on_the_hub(toy):
    for name in ("mnli", "snli", "anli", "qqp"):
        assert {type(row["label"]) for row in hub_rows(toy, name, "train")} == {int}
    for row in hub_rows(toy, "hellaswag", "train"):
        assert (
            row["label"] in ("0", "1", "2", "3")
            and len(set(row["endings"])) == 4
            and row["ctx"] == f"{row['ctx_a']} {row['ctx_b']}"
        )
    for row in hub_rows(toy, "cosmos_qa", "train"):
        assert row["label"] in range(4) and len({row[f"answer{number}"] for number in range(4)}) == 4
    for row in hub_rows(toy, "commonsense_qa", "train"):
        assert (
            row["choices"]["label"] == list("ABCDE")
            and row["answerKey"] in "ABCDE"
            and len(set(row["choices"]["text"])) == 5
        )


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
    assert sum(len(found) > 1 for found in tags.values()) > 20  # a word alone does not tell


@pytest.mark.parametrize("name", TRANSLATED)
@pytest.mark.parametrize("split", ("train", "dev"))
def test_translated_files_are_parallel(toy, name, split):
    english = hub_rows(toy, name, split)
    for language in TRANSLATED[name]:
        rows = hub_rows(toy, name, split, language)
        key = (
            (lambda row: (row["idx"], row["label"]))
            if name == "mnli"
            else (lambda row: (row["id"], len(row["answers"]["text"])))
        )
        assert [key(row) for row in rows] == [key(row) for row in english]
        text = "premise" if name == "mnli" else "context"
        assert all(row[text] != told[text] for row, told in zip(rows, english))
        script = GRAMMARS[language].script.upper()
        assert scripts_of("".join(row[text] for row in rows)) == {script}
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
        texts = (
            lines(path)
            if path.suffix == ".txt"
            else [text for line in lines(path) for text in strings(json.loads(line))]
        )
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
    found = lines(toy / "text" / f"{language}.txt")
    assert len(found) == SENTENCES + PAIRS and len(set(found)) > 0.9 * len(found)
    if GRAMMARS[language].script == "Latin":  # told apart by their words
        words = {other: set(toy_data.lexicon(0)[other].values()) for other in GRAMMARS}
        own, strange = words[language], set.union(*words.values()) - words[language]
        beside = [
            line for line in found if not strange.isdisjoint(re.findall(r"\w+", line)) or scripts_of(line) > {"LATIN"}
        ]
        assert not any(own.isdisjoint(re.findall(r"\w+", line)) for line in found)
        assert len(beside) == PAIRS
    else:
        script = "CJK" if GRAMMARS[language].script == "Han" else GRAMMARS[language].script.upper()
        scripts = [frozenset(scripts_of(line)) for line in found]
        assert scripts.count({script}) == SENTENCES and scripts.count({script, "LATIN"}) == PAIRS


# ---------------------------------------------------------------- the model


def test_tokenizer_is_xlmr(tokenizer):
    assert [tokenizer.convert_tokens_to_ids(piece) for piece in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [
        0,
        1,
        2,
        3,
        len(tokenizer) - 1,
    ]
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
    assert model.config.vocab_size == len(tokenizer) and {weight.dtype for weight in model.parameters()} == {
        torch.float32
    }
    vectors = torch.nn.functional.normalize(model.embeddings.word_embeddings.weight.detach(), dim=-1)
    english, russian = (
        vectors[[tokenizer.convert_tokens_to_ids("▁" + word) for word in toy_data.lexicon(0)[x].values()]]
        for x in ("en", "ru")
    )
    nearest = (english @ russian.T).argmax(dim=1)
    assert (nearest == torch.arange(len(nearest))).float().mean() > 0.9  # translations start close to each other
