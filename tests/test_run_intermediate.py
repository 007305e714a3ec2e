"""run_intermediate.py: every task from its files, the same steps however shared out, heads for later phases."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import torchrun
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

import run_intermediate
import run_xtreme
from common import checkpoints, trainer
from common.results import Results
from heads import Settings, head_of, masked_lm, path_of
from mixture import data, dev, plan
from tasks import INTERMEDIATE, NINE, TARGETS

QUICK = {
    "--learning_rate": "1e-3",
    "--max_seq_length": "48",
    "--max_train_samples": "64",
    "--max_eval_samples": "16",
    "--disable_tqdm": "true",
    "--collapse_guard": "off",
}
# Intermediate task and target of every kind.
KINDS = {"mnli": "xnli", "ccg": "udpos", "squad": "xquad", "hellaswag": "xcopa"}


def command(toy, output, *flags, model=None, **changed):
    """Arguments of a quick run; `changed` QUICK ones, None for the default."""
    quick = {**QUICK, **{f"--{name}": value for name, value in changed.items()}}
    shape = [word for name, value in quick.items() if value is not None for word in (name, value)]
    folders = ["--model_name_or_path", str(model or toy / "model"), "--output_dir", str(output)]
    return [*flags, "--data_dir", str(toy / "intermediate"), *folders, *shape]


def run(toy, output, *flags, model=None, train=True):
    stages = ["--do_train", "--do_eval"] if train else ["--do_eval"]
    run_intermediate.main(command(toy, output, *flags, *stages, model=model))
    return output


def history(folder, key="loss"):
    return [row for row in json.loads((folder / "trainer_state.json").read_text())["log_history"] if key in row]


def sequence(folder):
    """The data set of every optimizer step, of a run that logged each."""
    return [name for row in history(folder) for name in row if name.startswith("steps_")]


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    """A two-step run of one task of every kind, and of masked LM."""
    root = tmp_path_factory.mktemp("intermediate")
    for task in KINDS:
        run(toy, root / task, "--tasks", task, "--max_steps", "2")
    run(toy, root / "mlm", "--tasks", "mlm", "--mlm_files", str(toy / "text/*.txt"), "--max_steps", "2")
    return root


@pytest.mark.parametrize("task", [*INTERMEDIATE])
def test_every_task_trains_and_evaluates_from_its_files(toy, tmp_path, task, capsys):
    folder = run(toy, tmp_path / "run", "--tasks", task, "--max_steps", "2", "--logging_steps", "1")
    names = [f"{task}.{part}" for part in INTERMEDIATE[task].parts] or [task]
    results = Results(folder).entries
    assert {result["task"] for result in results} == set(names)
    assert all(result["condition"] == "dev" and result["n"] > 0 for result in results)
    scores = json.loads((folder / "eval_results.json").read_text())
    assert 0 <= scores["eval_mean"] <= 1
    stored = checkpoints.stored_heads(folder)[0]
    assert list(stored) == [task] and stored[task]["kind"] == INTERMEDIATE[task].kind
    if INTERMEDIATE[task].labels:
        assert stored[task]["labels"] == list(INTERMEDIATE[task].labels)
    assert "constant guess" in capsys.readouterr().out


def test_all_nine_with_masked_lm_in_one_go(toy, tmp_path):
    files = ["--mlm_files", str(toy / "text/en.txt"), str(toy / "text/zh.txt")]
    flags = "--max_steps 12 --mixing uniform --logging_steps 1".split()
    folder = run(toy, tmp_path / "run", "--tasks", "all", "mlm", *files, *flags)
    stored, tensors = checkpoints.stored_heads(folder)
    assert set(stored) == {*NINE, "mlm"} and {name.split(".")[0] for name in tensors} == set(stored)
    about = json.loads((folder / "run.json").read_text())
    shares = about["mixture"]["weights"]
    assert sum(shares.values()) == pytest.approx(1) and shares["mlm"] == pytest.approx(0.1)
    assert set(shares) == {"anli_plus.mnli", "anli_plus.snli", "anli_plus.anli", *NINE[1:], "mlm"}
    assert len(set(sequence(folder))) >= 6
    perplexities = {row["metric"] for row in Results(folder).entries if row["task"] == "mlm"}
    assert {"perplexity", "perplexity_en", "perplexity_zh"} <= perplexities


def test_all_means_eight_where_ccg_is_not_there(toy, tmp_path):
    assert plan.all_tasks(toy / "intermediate") == list(NINE)
    assert plan.all_tasks(tmp_path) == [task for task in NINE if task != "ccg"]


@pytest.mark.parametrize("task", [*KINDS, "mlm"])
def test_the_folder_is_a_plain_float32_encoder(folders, task):
    encoder, info = AutoModel.from_pretrained(folders / task, output_loading_info=True)
    assert not info["unexpected_keys"] and all(key.startswith("pooler.") for key in info["missing_keys"])
    state = load_file(folders / task / "model.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert not any("lm_head" in key or "classifier" in key for key in state)
    # multiple choice trains it, the others have none to hand on
    assert ("pooler.dense.weight" in state) == (task == "hellaswag")
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items() if key in state)


@pytest.mark.parametrize("target", KINDS.values())
@pytest.mark.parametrize("task", [*KINDS, "mlm"])
def test_hand_off_keeps_every_bit_of_the_encoder(folders, task, target):
    head = head_of(TARGETS[target])
    config = checkpoints.load_config(folders / task, checkpoints.load_tokenizer(folders / task), 48)
    model, _ = checkpoints.load_model(head, folders / task, config, TARGETS[target].labels, seed=1)
    state = load_file(folders / task / "model.safetensors")
    encoder = getattr(model, model.base_model_prefix).state_dict()
    assert all(torch.equal(value, state[key]) for key, value in encoder.items() if key in state)
    assert set(encoder) - set(state) <= {"pooler.dense.weight", "pooler.dense.bias"}


@pytest.mark.parametrize("task", [*KINDS, "mlm"])
def test_retrieval_reads_every_bit_of_the_encoder(folders, task):
    config = checkpoints.load_config(folders / task, checkpoints.load_tokenizer(folders / task), 48)
    encoder = checkpoints.load_encoder(folders / task, config, config.num_hidden_layers).state_dict()
    state = load_file(folders / task / "model.safetensors")
    assert set(state) <= set(encoder) and all(torch.equal(encoder[key], value) for key, value in state.items())


@pytest.mark.parametrize("task, target", KINDS.items())
def test_kept_heads_are_those_of_phase_two(folders, task, target):
    head = head_of(TARGETS[target])
    config = checkpoints.load_config(folders / task, checkpoints.load_tokenizer(folders / task), 48)
    labels = TARGETS[target].labels if target != "udpos" else ()
    model, names = checkpoints.load_model(head, folders / task, config, labels, keep_head=task, seed=1)
    stored, tensors = checkpoints.stored_heads(folders / task)
    state = model.state_dict()
    assert tensors and all(torch.equal(state[name.removeprefix(f"{task}.")], value) for name, value in tensors.items())
    assert not labels or list(names) == stored[task]["labels"]


@pytest.mark.parametrize(
    "target, head, says",
    [
        ("pawsx", "mnli", "its head mnli knows the labels entailment, neutral, contradiction, the task has 0, 1"),
        ("xquad", "mnli", "has the question_answering heads (none)"),
        ("xnli", "qqp", "has the classification heads mnli"),
    ],
)
def test_heads_that_do_not_fit_are_refused(folders, toy, tmp_path, capsys, target, head, says):
    flags = ["--task", target, "--data_dir", str(toy / "xtreme"), "--model_name_or_path", str(folders / "mnli")]
    flags += ["--keep_head", head, "--output_dir", str(tmp_path / "run"), "--do_predict", "--languages", "en"]
    with pytest.raises(SystemExit) as stopped:
        run_xtreme.main(flags)
    assert stopped.value.code == 2 and says in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_xquad_scores_the_same_questions_as_phase_two(toy, tmp_path):
    flags = "--learning_rate 1e-3 --max_seq_length 128 --disable_tqdm true".split()

    def phase_two(data, model, output, *stages):
        folders = ["--data_dir", str(data), "--model_name_or_path", str(model), "--output_dir", str(tmp_path / output)]
        run_intermediate.main(["--tasks", "squad", "--collapse_guard", "off", *flags, *folders, *stages])

    phase_two(toy / "intermediate", toy / "model", "squad", "--do_train", "--max_steps", "30")
    nested = json.loads((toy / "xtreme/xquad/xquad.en.json").read_text(encoding="utf-8"))["data"]
    rows = []
    for paragraph in (paragraph for article in nested for paragraph in article["paragraphs"]):
        for question in paragraph["qas"]:
            answers = {key: [answer[key] for answer in question["answers"]] for key in ("text", "answer_start")}
            row = {"id": question["id"], "title": "", "context": paragraph["context"]}
            rows.append({**row, "question": question["question"], "answers": answers})
    (tmp_path / "data/squad").mkdir(parents=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "data/squad/validation.jsonl").write_text(text, encoding="utf-8")
    phase_two(tmp_path / "data", tmp_path / "squad", "again", "--do_eval")
    target = ["--task", "xquad", "--data_dir", str(toy / "xtreme"), "--model_name_or_path", str(tmp_path / "squad")]
    target += ["--keep_head", "squad", "--do_predict", "--languages", "en"]
    run_xtreme.main([*target, *flags, "--output_dir", str(tmp_path / "xquad")])
    first = json.loads((tmp_path / "again/predictions/dev/squad/dev-en.json").read_text())
    assert first == json.loads((tmp_path / "xquad/predictions/clean/xquad/test-en.json").read_text())
    assert len(set(first.values())) > 5
    scores = [{row["metric"]: row["value"] for row in Results(tmp_path / name).entries} for name in ("again", "xquad")]
    assert scores[0]["f1"] == scores[1]["f1"] > 0 and scores[0]["exact_match"] == scores[1]["exact_match"]


# --- the same steps, however they are shared out


MIXTURE = "--tasks mnli ccg hellaswag --max_steps 20 --logging_steps 1 --save_strategy no --do_train".split()


def test_processes_and_accumulation_do_not_change_training(toy, tmp_path):
    def shared_out(name, size, steps):
        batch = ["--per_device_train_batch_size", str(size), "--gradient_accumulation_steps", str(steps)]
        return command(toy, tmp_path / name, *MIXTURE, *batch)

    run_intermediate.main(shared_out("one", 8, 1))
    run_intermediate.main(shared_out("four", 2, 4))
    torchrun(run_intermediate.__file__, shared_out("two", 4, 1))
    one = np.array([[row["loss"], row["grad_norm"]] for row in history(tmp_path / "one")])
    assert len(one) == 20 and len(set(sequence(tmp_path / "one"))) == 3
    for name in ("four", "two"):
        assert sequence(tmp_path / name) == sequence(tmp_path / "one")
        other = np.array([[row["loss"], row["grad_norm"]] for row in history(tmp_path / name)])
        assert np.abs(one[:, 0] - other[:, 0]).max() < 1e-4
        assert np.allclose(one[:, 1], other[:, 1], rtol=1e-2, atol=1e-4)


def test_the_log_names_the_planned_sequence(toy, tmp_path):
    flags = "--tasks mnli ccg --max_steps 15 --logging_steps 1 --mixing_weights mnli=0.25 ccg=0.75".split()
    folder = run(toy, tmp_path / "run", *flags)
    names = ["steps_mnli", "steps_ccg"]
    assert sequence(folder) == [names[index] for index in data.task_sequence([0.25, 0.75], 42, 15)]
    for row, name in zip(history(folder), sequence(folder)):
        assert row[name.replace("steps_", "loss_")] == pytest.approx(row["loss"], rel=1e-5)


@pytest.mark.parametrize("stop", [3, 10])
def test_resume_continues_the_sequence_and_gives_the_same_weights(toy, tmp_path, stop):
    flags = ["--tasks", "mnli", "mlm", "--mlm_files", str(toy / "text/de.txt"), "--max_steps", "12", "--do_train"]
    flags += f"--logging_steps 1 --save_strategy steps --save_steps {stop} --save_total_limit 9".split()
    run_intermediate.main(command(toy, tmp_path / "whole", *flags))
    half = tmp_path / "half"
    half.mkdir()
    shutil.copytree(tmp_path / f"whole/checkpoint-{stop}", half / f"checkpoint-{stop}")
    about = json.loads((tmp_path / "whole/run.json").read_text())
    (half / "run.json").write_text(json.dumps({**about, "training": {**about["training"], "finished": False}}))
    run_intermediate.main(command(toy, half, *flags))
    assert sequence(half) == sequence(tmp_path / "whole") and len(sequence(half)) == 12
    for name in ("model.safetensors", "heads.safetensors"):
        assert (half / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_run_is_not_trained_again_and_evaluates_alike(toy, tmp_path, capsys):
    flags = ["--tasks", "mnli", "squad_v2", "--max_steps", "3"]
    folder = run(toy, tmp_path / "run", *flags)
    written, table = (folder / "model.safetensors").stat().st_mtime_ns, capsys.readouterr().out.split("\ndev ")[1]
    run(toy, folder, *flags)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert capsys.readouterr().out.split("\ndev ")[1] == table
    # heads by name, in any order
    run(toy, tmp_path / "again", "--tasks", "squad_v2", "mnli", model=folder, train=False)
    values = [
        {(result["task"], result["metric"]): result["value"] for result in Results(where).entries}
        for where in (tmp_path / "again", folder)
    ]
    assert values[0] == values[1]


# --- collapse


def test_degenerate_training_exits_with_advice(toy, tmp_path, capsys):
    flags = "--tasks mnli --do_train --do_eval --num_train_epochs 1 --restart_on_collapse 1".split()
    flags = command(toy, tmp_path / "run", *flags, learning_rate="3", collapse_guard="on")
    with pytest.raises(SystemExit) as stopped:
        run_intermediate.main(flags)
    message = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 1 and "collapsed" in message
    assert "--seed 44" in message and "--learning_rate 1.5" in message
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert [one["seed"] for one in about["collapses"]] == [42, 43] and not about["training"]["finished"]
    with pytest.raises(SystemExit) as stopped:  # the same command again says so at once
        run_intermediate.main(flags)
    assert stopped.value.code == 1 and len(json.loads((tmp_path / "run/run.json").read_text())["collapses"]) == 2


def test_the_next_seed_is_tried_and_recorded(toy, tmp_path, monkeypatch):
    guard = dev.collapse_guard
    tried = []

    def first_one_collapses(cells):
        tried.append(cells)
        if len(tried) == 1:
            cells[0].majority = 101.0
        return guard(cells)

    monkeypatch.setattr(dev, "collapse_guard", first_one_collapses)
    flags = "--tasks ccg --do_train --do_eval --num_train_epochs 2".split()
    sizes = {"max_train_samples": "600", "max_eval_samples": "90"}
    restarting = [*flags, "--restart_on_collapse", "2"]
    run_intermediate.main(command(toy, tmp_path / "run", *restarting, **sizes, collapse_guard="on"))
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert [one["seed"] for one in about["collapses"]] == [42]
    assert about["seed"] == 43 and about["training"]["finished"]
    run_intermediate.main(command(toy, tmp_path / "plain", *flags, "--seed", "43", **sizes))
    assert (tmp_path / "plain/model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()


def test_a_loss_that_is_not_finite_stops_training(toy, tmp_path, monkeypatch, capsys):
    normalized = trainer.EncoderTrainer.normalized
    steps = []

    def spoiled(self, loss, *args):
        steps.append(1)
        return normalized(self, loss * float("nan") if len(steps) == 3 else loss, *args)

    monkeypatch.setattr(trainer.EncoderTrainer, "normalized", spoiled)
    with pytest.raises(SystemExit) as stopped:
        run_intermediate.main(command(toy, tmp_path / "run", "--tasks", "mnli", "--do_train", "--max_steps", "9"))
    assert stopped.value.code == 1 and "not finite at step 3" in capsys.readouterr().err


# --- languages, masked LM, own data


def test_matched_languages_have_as_many_examples_as_english(toy, tmp_path):
    sizes = {}
    for name, languages in {"en": "en", "matched": "en de ru sw", "all": "de en --language_sizes all"}.items():
        flags = ["--tasks", "mnli", "--do_train", "--max_steps", "1", "--task_languages", *languages.split()]
        run_intermediate.main(command(toy, tmp_path / name, *flags, max_train_samples=None))
        sizes[name] = json.loads((tmp_path / name / "run.json").read_text())["mixture"]["features"]["mnli"]
    assert sizes == {"en": 900, "matched": 900, "all": 1800}


def test_matched_languages_share_out_the_examples(toy):
    numbers = {"en": 8, "de": 7, "ru": 9}
    rows = {code: Dataset.from_dict({"text": [f"{code}{i}" for i in range(n)]}) for code, n in numbers.items()}
    assert list(data.join_languages(rows, "matched")["text"]) == ["en0", "de1", "ru2", "en3", "de4", "ru5", "en6"]
    assert len(data.join_languages(rows, "all")) == 24


def test_dev_sets_of_every_language_are_scored(toy, tmp_path, capsys):
    folder = run(toy, tmp_path / "run", "--tasks", "squad", "--task_languages", "en", "de", "sw", "--max_steps", "2")
    assert {row["language"] for row in Results(folder).entries} == {"en", "de", "sw"}
    assert "squad_sw" in capsys.readouterr().out


def test_english_files_may_be_named_as_the_other_languages(toy):
    assert path_of(INTERMEDIATE["mnli"], toy / "intermediate", "train", "de")[0].name == "train.de.jsonl"
    assert path_of(INTERMEDIATE["mnli"], toy / "intermediate", "train", "en")[0].name == "train.jsonl"
    names = [path.name for path in path_of(INTERMEDIATE["anli"], "x", "dev", "sw")]
    assert names == [f"dev_r{number}.sw.jsonl" for number in (1, 2, 3)]
    assert path_of(TARGETS["xcopa"], toy / "xtreme", "test", "zh")[0].name == "test-zh.jsonl"


def test_a_folder_with_english_named_alike(toy, tmp_path):
    (tmp_path / "mnli").mkdir()
    for split in ("train", "validation_matched"):
        for code, name in (("en", f"{split}.jsonl"), ("de", f"{split}.de.jsonl")):
            shutil.copy(toy / "intermediate/mnli" / name, tmp_path / f"mnli/{split}.{code}.jsonl")
    flags = "--tasks mnli --task_languages en de --do_train --do_eval --max_steps 1".split()
    arguments = command(toy, tmp_path / "run", *flags)
    arguments[arguments.index(str(toy / "intermediate"))] = str(tmp_path)
    run_intermediate.main(arguments)
    assert {row["language"] for row in Results(tmp_path / "run").entries} == {"en", "de"}


def test_masks():
    class Tokenizer:
        all_special_ids, mask_token_id, cls_token_id, sep_token_id = [0, 1, 2, 3, 999], 999, 0, 2

        def __len__(self):
            return 1000

    mask = masked_lm.masking(Tokenizer())
    tokens = [0, *np.random.default_rng(0).integers(4, 999, 5000).tolist(), 2]
    feature = mask({"input_ids": tokens, "length": 5002}, np.random.default_rng(1))
    inputs, labels = feature["input_ids"], feature["labels"]
    hidden = [i for i, label in enumerate(labels) if label != -100]
    assert len(hidden) == 750 and feature["masked"] == [int(label != -100) for label in labels]
    assert all(labels[i] == tokens[i] for i in hidden)
    assert all(a == b for a, b, masked in zip(tokens, inputs, feature["masked"]) if not masked)
    assert sum(inputs[i] == 999 for i in hidden) / 750 == pytest.approx(0.8, abs=0.05)
    assert sum(inputs[i] == tokens[i] for i in hidden) / 750 == pytest.approx(0.1, abs=0.04)
    assert feature == mask({"input_ids": tokens, "length": 5002}, np.random.default_rng(1))
    assert sum(mask({"input_ids": [0, 7, 2], "length": 3}, np.random.default_rng(2))["masked"]) == 1


def test_packed_blocks_lose_no_token(toy):
    tokenizer = AutoTokenizer.from_pretrained(toy / "model")
    rows = masked_lm.read([str(toy / "text/th.txt"), str(toy / "text/en.txt")], "train")
    features = masked_lm.encode(rows, tokenizer, (), Settings(64, 0, 20, 30))
    assert max(features["length"]) == 64 and np.mean(features["length"]) > 60
    for language in ("en", "th"):
        lines = [text for text, code in zip(rows["text"], rows["language"]) if code == language]
        blocks = [block for block, code in zip(features["input_ids"], features["language"]) if code == language]
        pieces = tokenizer(lines, add_special_tokens=False)["input_ids"]
        expected = [piece for line in pieces for piece in [*line, tokenizer.sep_token_id]]
        assert [piece for block in blocks for piece in block[1:]] == expected
    held_out = masked_lm.read([str(toy / "text/th.txt")], "dev")
    lines = (toy / "text/th.txt").read_text(encoding="utf-8").split("\n")
    assert list(held_out["text"]) == [line for line in lines if line.strip()][-200:]


def test_masked_lm_alone_pretrains_from_random_weights_and_goes_on(toy, tmp_path):
    base = ["--tasks", "mlm", "--mlm_files", str(toy / "text/en.txt"), str(toy / "text/sw.txt")]
    base += "--do_train --do_eval --max_seq_length 64 --max_steps 60 --per_device_train_batch_size 16".split()
    base += ["--disable_tqdm", "true"]
    scratch = ["--config_name", str(toy / "model"), "--output_dir", str(tmp_path / "first")]
    run_intermediate.main([*base, *scratch, "--learning_rate", "2e-3"])
    scores = [{result["metric"]: result["value"] for result in Results(tmp_path / "first").entries}]
    assert scores[0]["perplexity"] < 1200  # of 2,000 pieces
    assert scores[0]["perplexity"] == pytest.approx((scores[0]["perplexity_en"] + scores[0]["perplexity_sw"]) / 2)
    going_on = ["--model_name_or_path", str(tmp_path / "first"), "--output_dir", str(tmp_path / "second")]
    run_intermediate.main([*base, *going_on])
    scores.append({result["metric"]: result["value"] for result in Results(tmp_path / "second").entries})
    assert scores[1]["perplexity"] < 1.02 * scores[0]["perplexity"]  # its output layer went along, at a rate of 5e-6
    assert json.loads((tmp_path / "second/run.json").read_text())["training_arguments"]["learning_rate"] == 5e-6


OWN = {
    "classification": [{"sentence1": f"{word} a", "sentence2": "b", "label": word} for word in ("yes", "no")],
    "tagging": [{"tokens": ["a", "b"], "tags": ["X", "Y"]}, {"tokens": ["c"], "tags": ["Z"]}],
    "question_answering": [
        {"id": str(i), "context": "a b c", "question": "d?", "answers": {"text": ["b"], "answer_start": [2]}}
        for i in range(2)
    ],
    "multiple_choice": [{"question": "a", "choices": ["b", "c", "d"], "label": label} for label in (0, 2)],
}


def test_own_data_of_every_kind(toy, tmp_path):
    flags = ["--max_steps", "4"]
    for kind, rows in OWN.items():
        (tmp_path / kind).mkdir()
        for split in ("train", "validation"):
            (tmp_path / kind / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        flags += ["--extra_task", f"my_{kind}={kind}:{tmp_path / kind}"]
    folder = run(toy, tmp_path / "run", *flags)
    stored = checkpoints.stored_heads(folder)[0]
    assert {name: about["kind"] for name, about in stored.items()} == {f"my_{kind}": kind for kind in OWN}
    assert stored["my_classification"]["labels"] == ["no", "yes"] and stored["my_tagging"]["labels"] == ["X", "Y", "Z"]
    own = ["--extra_task", f"my_tagging=tagging:{tmp_path / 'tagging'}"]
    again = run(toy, tmp_path / "again", *own, model=folder, train=False)
    assert {result["task"] for result in Results(again).entries} == {"my_tagging"}
