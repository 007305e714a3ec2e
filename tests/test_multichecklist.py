"""multichecklist.py: cases from a template table, variants by placeholders, error rates, a run on the toy world."""

import json

import pytest
from conftest import on_toy

import multichecklist
import run_xtreme
from heads import head_of
from multichecklist import cleaned, error_rates, read_templates

HEADER = "Field\ten\tde\tde-placeholders\tde\tde-placeholders"
COMPARISONS = """Name\tA is COMP than B. Who is more / less COMP?\t\t\t\t
Capability\tVocabulary\t\t\t\t
Context\t{first_name} is {adj[0]} than {first_name1}.\t{first_name} ist {adj[0]} als {first_name1}.\t\t\t
Question\tWho is less {adj[1]}?\tWer ist weniger {adj[1]}?\t\tWer ist nicht so {adj[1]}?\tolder, old
Answer\t{first_name1}\t{first_name1}\t\t\t
Question\tWho is {adj[0]}?\tWer ist {adj[0]}?\t\t\t
Answer\t{first_name}\t{first_name}\t\t\t
adj\tolder, old\tälter, alt\t\t\t
adj\ttaller, tall\tgrößer, groß\t\t\t
\t\t\t\t\t
"""
PROPERTIES = """Name\tsize, shape, age, color
Context\t{c:obj[1]} is {p.v1} and {p.v2}.\t{c:obj[1]} ist {p.v1} und {p.v2}.
Question\tWhat {p.p1} is {obj[0]}?\tWelche {p.p1} hat {obj[0]}?
Answer\t{p.v1}\t{p.v1}
Question\tIs it {a:obj[0]} of which {p.p2}?\tWelche {p.p2} hat es?
Answer\t{p.v2}\t{p.v2}
obj\tapple, the apple\tder Apfel, der Apfel
property\tsize\tGröße
property\tcolor\tFarbe
size\tbig\tgroße\tpear\tgroß\tapple
color\tred\trot
"""


def make(folder, *tests, flags=()):
    folder.mkdir(exist_ok=True)
    (folder / "table.tsv").write_text("\n".join([HEADER, *tests]), encoding="utf-8")
    out = folder / "cases"
    multichecklist.main(["--templates", str(folder / "table.tsv"), "--output_dir", str(out), "--samples", "8", *flags])
    return out


def read(out, language):
    """([(context, question, answer)], {id: answer})."""
    answers = json.loads((out / f"answers-{language}.json").read_text())
    document = json.loads((out / f"test-{language}.json").read_text())
    asked = [
        (paragraph["context"], question["question"], answers[question["id"]])
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return asked, answers


def test_cases_are_the_same_in_all_languages_and_variants_follow_their_placeholders(tmp_path):
    out = make(tmp_path, COMPARISONS)
    (english, gold), (german, german_gold) = read(out, "en"), read(out, "de")
    assert gold == german_gold and len(gold) == 16  # 8 cases, 2 questions each; the names are the same
    for (context, question, answer), (other, asked, _) in zip(english, german):
        first, second = context.split(" is ")[0], context.split(" than ")[1].rstrip(".")
        assert first != second and answer == (second if "less" in question else first)
        assert ("older" in context) == ("älter" in other)
        if "less" in question:  # the variant for old, the general one for tall
            assert asked == ("Wer ist nicht so alt?" if "old" in question else "Wer ist weniger groß?")
    again = make(tmp_path / "again", COMPARISONS)
    assert (again / "test-de.json").read_bytes() == (out / "test-de.json").read_bytes()
    assert (
        make(tmp_path / "other", COMPARISONS, flags=["--seed", "1"]).joinpath("test-de.json").read_bytes()
        != (out / "test-de.json").read_bytes()
    )


def test_two_properties_of_a_thing(tmp_path):
    out = make(tmp_path, PROPERTIES)
    assert set(read(out, "en")[0]) >= {("The apple is big and red.", "What size is apple?", "big")}
    assert ("The apple is red and big.", "Is it an apple of which size?", "big") in read(out, "en")[0]
    assert ("Der Apfel ist groß und rot.", "Welche Größe hat der Apfel?", "groß") in read(out, "de")[0]  # not große


def test_a_case_passes_when_all_its_answers_are_right(tmp_path):
    out = make(tmp_path, COMPARISONS)
    answers = read(out, "de")[1]
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    wrong = {f"comparisons-{case}-0-1": "falsch" for case in (0, 3)} | {"comparisons-3-0-0": ""}
    (predictions / "test-de.json").write_text(json.dumps({**answers, **wrong}))
    assert error_rates(out, predictions) == {"de": {"comparisons": 25.0}}  # 2 of 8 cases
    (predictions / "test-de.json").write_text(json.dumps({name: f"ein {answer}." for name, answer in answers.items()}))
    assert error_rates(out, predictions) == {"de": {"comparisons": 0.0}}
    (predictions / "test-de.json").write_text("{}")
    assert error_rates(out, predictions) == {"de": {"comparisons": 100.0}}


@pytest.mark.parametrize(
    "answer, language, wanted",
    [("the big one.", "en", "big one"), ("The big", "en", "The big"), ("„Adam”", "pl", "Adam"),
     ("Si Adam", "tl", "Adam"), ("Adam's", "sw", "Adam's"), (" 亚当, ", "zh", "亚当")],
)  # fmt: skip
def test_answers_are_compared_by_the_rules_of_xtreme_r(answer, language, wanted):
    assert cleaned(answer, language) == wanted


def test_the_toy_world_from_its_table_to_error_rates(toy, tmp_path, capsys):
    out, table = tmp_path / "cases", toy / "checklist/templates.tsv"
    tests, languages = read_templates(table)
    assert list(tests) == list(multichecklist.TESTS.values()) and len(languages) == 9
    names = ["--names", str(toy / "checklist/names.tsv"), "--samples", "6"]
    multichecklist.main(["--templates", str(table), "--output_dir", str(out), *names])
    for language in languages:
        asked, answers = read(out, language)
        assert len({name.rsplit("-", 2)[0] for name in answers}) == 36
        assert all(answer in context for context, _, answer in asked)
    run = on_toy(toy, f"mcl=question_answering:{out}", tmp_path / "run")
    del run[2:4]  # --data_dir: an own task brings its own
    few = "--do_train --max_steps 2 --max_seq_length 64 --disable_tqdm true --max_train_samples 16".split()
    head = on_toy(toy, "xquad", tmp_path / "xquad")
    run_xtreme.main([*head, *few])
    run[run.index("--model_name_or_path") + 1] = str(tmp_path / "xquad")
    run_xtreme.main(
        [*run, "--do_predict", "--languages", "en", "de", "--max_seq_length", "64", "--disable_tqdm", "true"]
    )
    predicted = tmp_path / "run/predictions/clean/mcl"
    assert json.loads((predicted / "test-de.json").read_text()).keys() == read(out, "de")[1].keys()
    capsys.readouterr()
    scores = tmp_path / "errors.json"
    multichecklist.main(["--cases", str(out), "--predictions", str(predicted), "--output_file", str(scores)])
    rates = json.loads(scores.read_text())
    shown = capsys.readouterr().out.splitlines()
    assert set(rates) == {"de", "en"} and set(rates["de"]) == set(tests)
    assert shown[1].split()[:2] == ["de", f"{rates['de']['comparisons']:.1f}"] and shown[-1].startswith("mean")


def test_questions_without_answers_are_read_as_no_labels(tmp_path):
    from common.task_records import target_task

    out = make(tmp_path, COMPARISONS)
    task, folder = target_task(f"mcl=question_answering:{out}")
    rows = head_of(task).read(task, folder, "test", "de")
    assert head_of(task).references(rows) is None and len(rows) == 16


WRONG = {
    "two uses": (
        ["--templates", "{table}", "--cases", "{tmp}"],
        "give --templates and --output_dir to make cases, or",
    ),
    "no table": (["--templates", "{tmp}/none", "--output_dir", "{tmp}/out"], "cannot be read"),
    "another table": (["--templates", "{tmp}/words.tsv", "--output_dir", "{tmp}/out"], "line 1: no column en"),
    "unknown test": (["--templates", "{tmp}/test.tsv", "--output_dir", "{tmp}/out"], "line 2: unknown test 'Colors'"),
    "no value": (
        ["--templates", "{tmp}/value.tsv", "--output_dir", "{tmp}/out"],
        "{{size}} in 'Is {{size}}?' has no value",
    ),
    "samples": (["--templates", "{table}", "--output_dir", "{tmp}/out", "--samples", "0"], "--samples 0"),
    "no predictions": (["--cases", "{tmp}", "--predictions", "{tmp}"], "no test-<lang>.json in it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case, tmp_path, capsys):
    flags, says = WRONG[case]
    files = {
        "table.tsv": f"{HEADER}\n{COMPARISONS}",
        "words.tsv": "word\ttag\n",
        "test.tsv": f"{HEADER}\nName\tColors\n",
        "value.tsv": f"{HEADER}\n{COMPARISONS.replace('Who is {adj[0]}?', 'Is {size}?')}",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as stopped:
        multichecklist.main([flag.format(tmp=tmp_path, table=tmp_path / "table.tsv") for flag in flags])
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and "\n" not in error and says.replace("{{", "{").replace("}}", "}") in error, error
