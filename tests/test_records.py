"""run.json never lies: what belongs to a training is frozen when it ends, and no secret reaches a file."""

import json
import shutil

import pytest
import yaml

import run_intermediate
import run_xtreme
from common.results import Results
from common.run_record import is_secret, mask_secrets, without_secrets, write_card
from common.text import fenced, plain_markdown, yaml_scalar
from reporting.runs import load_runs

FROZEN = (
    "command seed environment arguments training_arguments started_at model_name_or_path parent checkpoint".split()
)


def flags(output_dir, data_dir, model, *more):
    return (
        f"--output_dir {output_dir} --data_dir {data_dir} --model_name_or_path {model} --disable_tqdm true".split()
        + [*more]
    )


def trained(toy, folder, seed, *more):
    """XNLI, barely trained, with its clean predictions in two languages."""
    stages = "--task xnli --do_train --do_eval --do_predict --languages en de --max_seq_length 32".split()
    sizes = "--max_steps 2 --max_eval_samples 20 --max_predict_samples 20".split()
    run_xtreme.main(flags(folder, toy / "xtreme", toy / "model", *stages, *sizes, "--seed", str(seed), *more))
    return folder


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def runs(toy, tmp_path_factory):
    """Two seeds, whose test files are later predicted under a condition as README shows it, without --seed."""
    folder = tmp_path_factory.mktemp("records")
    shutil.copytree(toy / "xtreme/xnli", folder / "other/xnli")
    before = {}
    for seed in (3, 4):
        before[seed] = record_of(trained(toy, folder / f"seed-{seed}", seed, "--learning_rate", "1e-4"))
        predict = (
            f"--task xnli --do_predict --languages en de --conditions swap-1={folder}/other --max_predict_samples 20"
        )
        run_xtreme.main(flags(folder / f"seed-{seed}", toy / "xtreme", folder / f"seed-{seed}", *predict.split()))
    return folder, before


def test_predicting_later_changes_nothing_that_belongs_to_the_training(runs):
    folder, before = runs
    after = record_of(folder / "seed-3")
    assert {name: after[name] for name in FROZEN} == {name: before[3][name] for name in FROZEN}
    assert after["seconds"] == before[3]["seconds"] and after["training_arguments"]["learning_rate"] == 1e-4
    (later,) = after["later"]
    assert "--do_train" not in later["command"] and "predict" in later["seconds"] and later["finished_at"]
    assert set(after["conditions"]) == {"clean", "swap-1"}


def test_rows_and_card_tell_of_the_training(runs):
    folder, _ = runs
    results = Results(folder / "seed-3").entries
    assert {result["condition"] for result in results} == {"clean", "swap-1"}
    assert {result["seed"] for result in results} == {3}
    card = (folder / "seed-3/README.md").read_text()
    made_by = card.split("Made by")[1].split("with seed")[0]
    assert "--do_train" in made_by and "with seed 3" in card and f"base_model: {folder}" not in card


def test_two_seeds_with_later_predictions_can_be_reported(runs):
    folder, _ = runs
    loaded, *_ = load_runs([f"{folder}/seed-*"], [f"{folder}/seed-*"])  # refuses two runs with one seed
    assert sorted(run.seed for run in loaded) == [3, 4]


def test_a_folder_that_only_predicts_takes_the_seed_of_its_model(runs, toy, tmp_path):
    folder, _ = runs
    predict = "--task xnli --do_predict --languages de --max_predict_samples 20".split()
    run_xtreme.main(flags(tmp_path / "out", toy / "xtreme", folder / "seed-4", *predict))
    assert {result["seed"] for result in Results(tmp_path / "out").entries} == {4}
    assert record_of(tmp_path / "out")["seed"] == 4


def test_a_folder_holds_the_results_of_one_model(runs, toy, tmp_path, capsys):
    folder, _ = runs
    predict = "--task xnli --do_predict --languages de --max_predict_samples 20".split()
    run_xtreme.main(flags(tmp_path / "out", toy / "xtreme", folder / "seed-4", *predict))
    shutil.copytree(folder / "seed-4", tmp_path / "copy")
    run_xtreme.main(flags(tmp_path / "out", toy / "xtreme", tmp_path / "copy", *predict))  # the same model elsewhere
    for output in (tmp_path / "out", folder / "seed-4"):
        with pytest.raises(SystemExit) as end:
            run_xtreme.main(flags(output, toy / "xtreme", folder / "seed-3", *predict))
        assert end.value.code == 2 and "seed-3: not the model" in capsys.readouterr().err


def test_scoring_phase_2_later_keeps_its_record(toy, tmp_path):
    phase_2 = "--tasks mnli --max_seq_length 32 --max_eval_samples 30 --collapse_guard off".split()
    train = "--do_train --max_steps 2 --seed 5 --max_train_samples 64".split()
    run_intermediate.main(flags(tmp_path / "run", toy / "intermediate", toy / "model", *phase_2, *train))
    before = record_of(tmp_path / "run")
    run_intermediate.main(flags(tmp_path / "run", toy / "intermediate", tmp_path / "run", *phase_2, "--do_eval"))
    after = record_of(tmp_path / "run")
    frozen = [*FROZEN, "mixture", "collapses", "training"]
    assert {name: after[name] for name in frozen} == {name: before[name] for name in frozen}
    assert {result["seed"] for result in Results(tmp_path / "run").entries} == {5}


def test_what_selects_the_model_belongs_to_the_training(runs, toy, capsys):
    folder, _ = runs
    with pytest.raises(SystemExit) as end:
        trained(toy, folder / "seed-3", 3, "--learning_rate", "1e-4", "--n_best_size", "5")
    assert end.value.code == 2 and "n_best_size 20 there, 5 here" in capsys.readouterr().err
    trained(toy, folder / "seed-3", 3, "--learning_rate", "1e-4", "--n_best_size", "20")  # the default, spelled out


NASTY = [
    "<script>alert(1)</script>",
    "[x](http://y)",
    "=1+1",
    "a: b",
    "*b*",
    "```",
    "$x$",
    "| a |",
    "# h",
    "_i_",
    "- x",
]


@pytest.mark.parametrize("name", [*NASTY, "no", "1e5", "a\n---\nlicense: x", "plain/xlm-roberta_large.v2"])
def test_names_mean_nothing_in_a_card(tmp_path, name):
    folder = tmp_path / name.replace("/", "∕")
    folder.mkdir()
    record = {"model_name_or_path": name, "task": f"mnli+{name}", "command": f"python x {name}", "seed": 1}
    write_card(folder, "Words.", record, f"table of {name}")
    card = (folder / "README.md").read_text(encoding="utf-8")
    _, head, text = card.split("---\n", 2) if "\n---" not in name else ("", *card[4:].split("\n---\n", 1))
    about = yaml.safe_load(head)
    assert about.keys() == {"library_name", "base_model", "tags"} and about["base_model"] == name
    assert set(about["tags"]) >= {"mnli", name} or "+" in name
    title = next(line for line in text.split("\n") if line.startswith("# "))
    for sign in "*`[]<>#|$":
        assert all(before == "\\" for before in [title[at - 1] for at, c in enumerate(title) if c == sign and at])
    assert f"\n{fenced(record['command'], 'bash')}\n" in card and f"\n{fenced(f'table of {name}')}\n" in card


def test_usual_names_stay_as_they_are_in_a_card():
    for name in ("outputs/xlm-roberta-large", "my_run.2", "anli_plus"):
        assert plain_markdown(name) == name == yaml_scalar(name)
    assert fenced("a", "bash") == "```bash\na\n```" and fenced("a ``` b") == "````\na ``` b\n````"


# --- Secrets

SECRET = "hf_0123456789abcdef"


@pytest.mark.parametrize(
    "spelling", ["--hub_token SECRET", "--hub-token SECRET", "--hub_token=SECRET", "--hub-token=SECRET"]
)
def test_no_spelling_of_a_secret_flag_reaches_a_file(toy, tmp_path, spelling, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_API_KEY", "service-key-12345")
    folder = tmp_path / "run"
    careless = ["--run_name", "with service-key-12345"]  # as a launcher's script may build it from its environment
    trained(toy, folder, 1, *careless, *spelling.replace("SECRET", SECRET).split(" "))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content and b"service-key-12345" not in content, path
    assert "***" in record_of(folder)["command"]


def test_masked_command_lines_keep_everything_else():
    argv = "--a 1 --push-to-hub-token x --hub_token=y --average_tokens_across_devices true --HUB-TOKEN z"
    masked = "--a 1 --push-to-hub-token *** --hub_token=*** --average_tokens_across_devices true --HUB-TOKEN ***"
    assert mask_secrets(argv.split()) == masked.split()


def test_values_of_secret_variables_are_masked_anywhere(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "truetruetrue")
    masked = without_secrets({"a": ["x 0123456789 y", 3], "b": {"c": "truetruetrue"}})
    assert masked == {"a": ["x *** y", 3], "b": {"c": "truetruetrue"}}
    assert is_secret("--hub-token") and is_secret("HF_TOKEN") and not is_secret("--max_tokens")
