"""Every flag of our own of every script times absurd values: a clean line and exit code 2, or accepted; no traceback.

In this process and without training: what parsers and argument checks say. Scripts that would go on are stopped where
they load their libraries, others find nothing in the empty folders that they are given.
"""

import contextlib
import io
import os
from collections import Counter

import pytest

import compare
import download_data
import perturb
import report
import run_alignment
import run_intermediate
import run_translation
import run_xtreme
import score

VALUES = [
    "", " ", "-1", "0", "1e400", "nan", "inf", "-inf", "1_0", "٣", "0x10", "99999999999999999999", "true", "None",
    "[]", "{}", "{lang}", "{0.x}", "%s", "=", "a=b=c", "a=b:c", "a=tagging:", "a=tagging:{x}", "..", "/", "~",
    "*", "[", "ä\u0301", "\udcff", "\u202e", "x" * 5000, "--", "-", "a\nb", "'", "$(x)",
]  # fmt: skip


class Accepted(Exception):
    """The arguments passed all checks."""


def accept(*args, **kwargs):
    raise Accepted


def commands(toy, tmp):
    """{script: (module, the flags that it needs)}; every folder but the toy world's is empty."""
    model, out, empty = f"--model_name_or_path {toy}/model", f"--output_dir {tmp}/out", tmp / "empty"
    empty.mkdir()
    return {
        "run_xtreme": (run_xtreme, f"--task xnli --data_dir {toy}/xtreme {model} {out} --do_train --do_predict"),
        "tatoeba": (run_xtreme, f"--task tatoeba --data_dir {toy}/xtreme {model} {out} --do_predict"),
        "run_alignment": (run_alignment, f"--data_dir {toy}/xtreme/tatoeba {model} {out}"),
        "run_translation": (run_translation, f"--data_dir {toy}/xtreme/tatoeba {model} {out} --do_predict"),
        "run_intermediate": (run_intermediate, f"--tasks mnli --data_dir {toy}/intermediate {model} {out} --do_train"),
        "xquad": (run_xtreme, f"--task xquad --data_dir {toy}/xtreme {model} {out} --do_train --do_predict"),
        "squad": (run_intermediate, f"--tasks squad --data_dir {toy}/intermediate {model} {out} --do_train"),
        "perturb": (perturb, f"--data_dir {toy}/xtreme {out} --ops swap"),
        "download_data": (download_data, f"--tasks xnli {out} --hub_root {empty}"),
        "report": (report, f"--runs {empty} --baseline {empty} {out}"),
        "score": (score, f"--predictions {empty} --data_dir {toy}/xtreme"),
        "compare": (compare, f"{empty}"),
    }


def own_flags(module):
    """The flags of a script's own parser, --help aside, and "" for its positional arguments."""
    actions = module.build_parser()._actions
    return [
        "" if not action.option_strings else action.option_strings[-1] for action in actions if action.dest != "help"
    ]


def outcome(module, argv):
    """Accepted, "clean line", or what is wrong with the answer of a script."""
    printed, complained = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            module.main(argv)
    except Accepted:
        return "accepted"
    except SystemExit as stop:
        line = complained.getvalue()
        # 1 where only the file system says no: "File name too long"
        clean = stop.code in (1, 2) and line.count("\n") == 1 and ": error: " in line
        return "clean line" if clean else f"exit {stop.code}: {line[-300:]!r}"
    except BaseException as error:
        return f"traceback: {type(error).__name__}: {str(error)[:200]}"
    return "accepted"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("download_data", marks=pytest.mark.slow),
        *"run_xtreme tatoeba run_alignment run_translation run_intermediate perturb report score compare".split(),
    ],
)
def test_absurd_values_are_refused_in_one_line_or_accepted(name, toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, required = commands(toy, tmp_path)[name]
    for owner, function in ((module, "load_libraries"), (perturb, "noise_files"), (download_data, "download")):
        if hasattr(owner, function):
            monkeypatch.setattr(owner, function, accept)
    counts, wrong = Counter(), {}
    for flag in own_flags(module):
        for value in VALUES:
            given = [f"{flag}={value}"] if flag and value == "--" else [flag, value] if flag else [value]
            argv = [*required.split(), *given]
            how = outcome(module, argv)
            counts[how if how in ("accepted", "clean line") else "traceback"] += 1
            if how not in ("accepted", "clean line"):
                wrong[flag, value[:20]] = how
    print(f"{name}: {counts.total()} tried, {dict(counts)}")  # pytest -rP shows it
    assert not wrong, "\n".join(f"{ascii(key)}: {how}" for key, how in list(wrong.items())[:25])
    assert counts.total() >= 2 * len(VALUES) - 1
    assert os.listdir(tmp_path / "empty") == []


def test_numbers_that_cannot_be_meant_are_refused(toy, tmp_path, monkeypatch):
    """None of these may be accepted: they would change what a run computes, or fail after it has begun."""
    monkeypatch.chdir(tmp_path)
    all_commands = commands(toy, tmp_path)
    monkeypatch.setattr(run_xtreme, "load_libraries", accept)
    monkeypatch.setattr(run_intermediate, "load_libraries", accept)
    monkeypatch.setattr(perturb, "noise_files", accept)
    numbers = {
        "run_xtreme": "max_seq_length doc_stride n_best_size max_answer_length max_train_samples max_predict_samples",
        "run_intermediate": "examples_cap temperature mlm_alpha selection_samples restart_on_collapse",
        "perturb": "rate replicates num_proc levels",
    }
    accepted = []
    for name, flags in numbers.items():
        module, required = all_commands[name]
        for flag in flags.split():
            for value in ("-1", "nan", "inf", "1e400", "", "true", "-0.5"):
                if outcome(module, [*required.split(), f"--{flag}", value]) != "clean line":
                    accepted.append((name, flag, value))
    assert not accepted


NAMES = "recipe qa_decoding tag_piece".split()  # flags whose values are some names only
MORE_NAMES = {"run_intermediate": ["extra_task", "mixing", "collapse_guard"], "xquad": ["conditions", "languages"]}


@pytest.mark.parametrize("name", ["xquad", "tatoeba", "run_intermediate", "squad"])
def test_absurd_names_are_never_accepted(name, toy, tmp_path, monkeypatch):
    """Whatever stands where a name of ours must: one line, and neither a traceback nor something in its place."""
    monkeypatch.chdir(tmp_path)
    module, required = commands(toy, tmp_path)[name]
    counts, accepted = Counter(), []
    monkeypatch.setattr(module, "load_libraries", accept)
    for flag in [*NAMES, *MORE_NAMES.get(name, ())]:
        for value in VALUES:
            how = outcome(module, [*required.split(), f"--{flag}={value}"])
            counts[how] += 1
            if how != "clean line":
                accepted.append((flag, value[:20], how))
    print(f"{name}: {counts.total()} tried, {dict(counts)}")
    assert not accepted, ascii(accepted[:20])
    assert counts.total() >= len(NAMES) * len(VALUES)
