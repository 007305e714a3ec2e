"""Target tasks of one's own (--task NAME=KIND:DIR) and other training languages, from raw files to the report."""

import json
import shutil

import pytest
from conftest import on_toy

import perturb
import report
import run_xtreme
from common.files import InputError
from common.results import Results
from common.run_record import trained_in
from common.task_records import KINDS, target_task
from heads import head_of
from heads.training_rows import in_language
from tasks import TARGETS

FEW = """--learning_rate 3e-3 --num_train_epochs 1 --per_device_train_batch_size 8 --gradient_accumulation_steps 1
--max_train_samples 48 --max_seq_length 48 --disable_tqdm true""".split()
RENAMED = {"B-PER": "B-HUMAN", "I-PER": "I-HUMAN", "B-LOC": "B-SPOT", "I-LOC": "I-SPOT"}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def results(folder, metric="f1"):
    return {
        (entry["language"], entry["condition"]): entry["value"]
        for entry in Results(folder).entries
        if entry["metric"] == metric
    }


@pytest.fixture(scope="module")
def mine(toy, tmp_path_factory):
    """NER in three languages, to be trained in Swahili; its labels are not PAN-X's, and one stands in test alone."""
    folder = tmp_path_factory.mktemp("data") / "ner"
    for code in ("de", "sw", "zh"):
        text = (toy / f"xtreme/panx/test-{code}.tsv").read_text(encoding="utf-8")
        for old, new in RENAMED.items():
            text = text.replace(f"\t{old}\n", f"\t{new}\n")
        write(folder / f"test-{code}.tsv", text)
    sentences = (folder / "test-sw.tsv").read_text(encoding="utf-8").split("\n\n")
    write(folder / "train-sw.tsv", "\n\n".join(sentences[:60]) + "\n")
    write(folder / "dev-sw.tsv", "\n\n".join(sentences[60:75]) + "\n")
    write(folder / "test-sw.tsv", "\n\n".join(sentences[75:]).replace("\tB-SPOT\n", "\tB-NEW\n", 1))
    return folder


def ner(mine, *flags, model):
    return ["--task", f"mine=tagging:{mine}", "--model_name_or_path", str(model), *FEW, *flags]


def test_an_own_task_from_raw_files_to_the_report(mine, toy, tmp_path, caplog):
    noised, outputs = tmp_path / "noised", tmp_path / "outputs"
    perturb.main(["--tasks", f"mine=tagging:{mine}", "--output_dir", str(noised), "--ops", "swap", "--levels", "3"])
    assert sorted(path.name for path in (noised / "swap-3/ner").iterdir()) == [
        "test-de.tsv",
        "test-sw.tsv",
        "test-zh.tsv",
    ]
    conditions = ["--conditions", f"clean={mine.parent}", f"swap-3={noised}/swap-3"]
    for seed in ("1", "2"):
        out = [
            "--output_dir",
            str(outputs / seed),
            "--seed",
            seed,
            "--train_languages",
            "sw",
            "--num_train_epochs",
            "8",
        ]
        run_xtreme.main(ner(mine, *out, "--do_train", "--do_eval", "--do_predict", *conditions, model=toy / "model"))
    assert "mine (clean sw) has labels that training has not: 'B-NEW'; the 1 words" in caplog.text
    labels = json.loads((outputs / "1/config.json").read_text())["id2label"].values()
    assert set(labels) == {"O", "B-ORG", "I-ORG", *RENAMED.values()}
    scored = results(outputs / "1")
    assert set(scored) == {(code, name) for code in ("de", "sw", "zh") for name in ("clean", "swap-3")}
    record = json.loads((outputs / "1/run.json").read_text())
    assert record["training"]["train_languages"] == ["sw"] and record["conditions"]["swap-3"]["realised"].keys() == {
        "de",
        "sw",
        "zh",
    }
    assert "Fine-tuned on mine in sw, evaluated" in (outputs / "1/README.md").read_text()
    written = (outputs / "1/predictions/clean/mine/test-zh.tsv").read_text().split()
    assert len(written) == sum(bool(line) for line in (mine / "test-zh.tsv").read_text().splitlines())

    # predicting again with the finished model needs no labels on the command line
    again = ["--output_dir", str(tmp_path / "again"), "--do_predict", "--languages", "de"]
    run_xtreme.main(ner(mine, *again, model=outputs / "1"))
    assert results(tmp_path / "again")["de", "clean"] == scored["de", "clean"]
    assert trained_in(json.loads((tmp_path / "again/run.json").read_text())) == (("sw",), "48")

    report.main(
        [
            "--runs",
            f"{outputs}/*",
            "--baseline",
            f"{outputs}/*",
            "--output_dir",
            str(tmp_path / "report"),
            "--resamples",
            "100",
        ]
    )
    text = (tmp_path / "report/report.md").read_text()
    mean = sum(results(outputs / seed)["de", "clean"] for seed in ("1", "2")) / 2
    assert f"| de | {mean:.1f} ± " in text and "direct, trained in sw (48 each)" in text and "swap-3" in text


def test_a_task_behind_links_has_its_languages(tmp_path):
    for code in ("de", "sw"):
        write(tmp_path / f"elsewhere/test-{code}.tsv", "Haus\tO\n")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "single").mkdir()
    (tmp_path / "single/test-sw.tsv").symlink_to(tmp_path / "elsewhere/test-sw.tsv")
    for folder, codes in {"linked": ("de", "sw"), "single": ("sw",)}.items():
        task, data = target_task(f"mine=tagging:{tmp_path / folder}")
        assert task.languages["own"] == codes and data == str(tmp_path)


def test_other_training_languages_are_another_setting(toy, tmp_path):
    data = shutil.copytree(toy / "xtreme/panx", tmp_path / "data/panx").parent
    for code in ("de", "zh"):
        shutil.copy(data / f"panx/test-{code}.tsv", data / f"panx/train-{code}.tsv")
    outputs = tmp_path / "outputs"
    for name, flags in {"zero": [], "few": ["--train_languages", "en", "de", "zh"]}.items():
        flags = [*on_toy(toy, "panx", outputs / name), *FEW, "--do_train", "--do_eval", "--do_predict", *flags]
        flags[flags.index("--data_dir") + 1] = str(data)
        run_xtreme.main([*flags, "--languages", "de", "hi", "--max_predict_samples", "40"])
    records = {name: json.loads((outputs / name / "run.json").read_text()) for name in ("zero", "few")}
    assert "train_languages" not in records["zero"]["training"]  # what was there before has not changed
    steps = [json.loads((outputs / name / "trainer_state.json").read_text())["max_steps"] for name in records]
    assert steps == [6, 18]  # 48 of each language in batches of 8
    report.main(
        [
            "--runs",
            f"{outputs}/*",
            "--baseline",
            f"{outputs}/zero",
            "--output_dir",
            str(tmp_path / "report"),
            "--resamples",
            "100",
        ]
    )
    assert "direct, trained in en de zh (48 each)" in (tmp_path / "report/report.md").read_text()


def test_dev_sets_of_parallel_languages_keep_their_questions_apart(toy, tmp_path):
    """XQuAD's ids are the same in all languages, and answers are scored by id."""
    (tmp_path / "own").mkdir()
    for split, code in [(split, code) for split in ("train", "dev", "test") for code in ("de", "ru")]:
        shutil.copy(toy / f"xtreme/xquad/xquad.{code}.json", tmp_path / f"own/{split}-{code}.json")
    task = ["--task", f"qa=question_answering:{tmp_path}/own", "--train_languages", "de", "ru"]
    out = ["--model_name_or_path", str(toy / "model"), "--output_dir", str(tmp_path / "out")]
    run_xtreme.main([*task, *out, *FEW, "--do_train", "--do_eval", "--do_predict", "--max_eval_samples", "30"])
    dev = json.loads((tmp_path / "out/eval_results.json").read_text())
    scored = [
        json.loads(line)
        for code in ("de", "ru")
        for line in (tmp_path / f"out/scores/clean/qa/test-{code}.jsonl").read_text().splitlines()[:30]
    ]
    assert dev["eval_f1"] == pytest.approx(sum(row["f1"] for row in scored) / 60)


WORDS, MORE = "many words of some length", "other words altogether"
EXAMPLES = {
    "classification": ("tsv", f"{WORDS}\t{MORE}\tyes\n{MORE}\t{WORDS}\tno\n"),
    "question_answering": ("json", json.dumps({"data": [{"paragraphs": [{"context": "a b c", "qas": [
        {"id": str(i), "question": WORDS, "answers": [{"text": "b", "answer_start": 2}]} for i in range(2)]}]}]})),
    "multiple_choice": ("jsonl", json.dumps({"question": WORDS, "choices": [MORE, "c", "d"], "label": 0}) + "\n"),
    "retrieval": ("fi", f"{WORDS}\n{MORE}\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_kind_is_read_trained_predicted_and_noised(kind, toy, tmp_path):
    suffix, text = EXAMPLES[kind]
    for split in ("train", "dev", "test"):
        for code in ("en", "fi"):
            write(tmp_path / f"d/own/{split}-{code}.{suffix}", text)
    write(tmp_path / "d/own/test-fi.en", "one\ntwo\n")
    token = f"mine={kind}:{tmp_path}/d/own"
    stages = ["--do_predict"] if kind == "retrieval" else ["--do_train", "--do_eval", "--do_predict"]
    argv = [
        "--task",
        token,
        "--model_name_or_path",
        str(toy / "model"),
        "--output_dir",
        str(tmp_path / "out"),
        *stages,
    ]
    run_xtreme.main([*argv, "--max_steps", "1", "--disable_tqdm", "true"])
    assert ("fi", "clean") in results(tmp_path / "out", TARGETS[KINDS[kind][2]].metric)
    perturb.main(["--tasks", token, "--output_dir", str(tmp_path / "noised"), "--ops", "swap", "--rate", "0.5"])
    assert (tmp_path / f"noised/swap-rate0.5/own/test-fi.{suffix}").read_text() != text


def test_tags_parted_by_blanks_stay_whole_under_noise(tmp_path):
    lines = "Grüße NN B-LOC\nnach PP O\nBremen NN B-LOC\n\n" * 30
    write(tmp_path / "own/test-de.tsv", lines)
    flags = ["--output_dir", str(tmp_path / "noised"), "--ops", "swap", "--rate", "0.3"]
    perturb.main(["--tasks", f"mine=tagging:{tmp_path}/own", *flags])
    noised = (tmp_path / "noised/swap-rate0.3/own/test-de.tsv").read_text().splitlines()
    assert [line.split()[1:] for line in noised] == [line.split()[1:] for line in lines.splitlines()]
    assert noised != lines.splitlines()


def test_files_of_other_training_languages():
    names = {
        name: in_language(TARGETS[name], "sw").files["train"].format(lang="sw")
        for name in ("xnli", "xcopa", "xquad", "tydiqa")
    }
    assert names == {
        "xnli": "xnli/train-sw.tsv",
        "xcopa": "xcopa/train-sw.jsonl",
        "xquad": "squad/train-v1.1.sw.json",
        "tydiqa": "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.sw.train.json",
    }
    assert in_language(TARGETS["xquad"], "en") is TARGETS["xquad"]


def test_labels_of_own_tables(tmp_path):
    write(tmp_path / "own/test-de.tsv", "a\tb\tyes\nc\td\t\n")
    task, folder = target_task(f"mine=classification:{tmp_path}/own")
    with pytest.raises(InputError, match="test-de.tsv, line 2: label '' is neither a name"):
        head_of(task).read(task, folder, "test", "de")
    write(tmp_path / "own/test-de.tsv", "a\tb\tyes\nc\td\tYes\n")
    with pytest.raises(InputError, match="the labels 'yes' and 'Yes' differ"):
        head_of(task).read(task, folder, "test", "de")


WRONG = {
    "form": ("mine", ["--task mine: unknown task", "NAME=KIND:DIR"]),
    "kind": ("mine=ner:{tmp}/own", ["unknown kind", "tagging"]),
    "name": ("xnli=classification:{tmp}/own", ["xnli is the name of a task already"]),
    "no files": ("mine=tagging:{tmp}/nothing", ["no test file such as", "nothing/test-de.tsv"]),
    "data_dir": ("mine=tagging:{tmp}/own --data_dir {tmp}/own", ["brings its own folder; leave it out"]),
    "no English": ("mine=tagging:{tmp}/own", ["own/train-en.tsv: no such file", "train-de.tsv"]),
    "language": (
        "mine=tagging:{tmp}/own --train_languages dee",
        ["own/train-dee.tsv: no such file", "did you mean 'de'"],
    ),
    "twice": ("mine=tagging:{tmp}/own --train_languages de de", ["name each language once"]),
    "one label": ("mine=tagging:{tmp}/own --train_languages de", ["its only label is 'O'"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case, toy, tmp_path, capsys):
    flags, says = WRONG[case]
    for split in ("train", "dev", "test"):
        write(tmp_path / f"own/{split}-de.tsv", "a\tO\nb\tO\n\n")
    argv = [
        "--task",
        *flags.format(tmp=tmp_path).split(),
        "--model_name_or_path",
        str(toy / "model"),
        "--output_dir",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit) as stopped:
        run_xtreme.main([*argv, "--do_train", "--do_predict"])
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and "\n" not in error and not (tmp_path / "out").exists()
    assert not [part for part in says if part not in error], error


def test_training_languages_are_for_training(toy, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_xtreme.main([*on_toy(toy, "panx", tmp_path / "out"), "--do_predict", "--train_languages", "de"])
    assert "--train_languages de: nothing is trained" in capsys.readouterr().err
