"""Every command in the README is one that the scripts accept."""

import re
import shlex
from pathlib import Path

import pytest

import download_data
import perturb
import report
import run_intermediate
import run_xtreme
import score
from common import arguments
from mixture import plan
from reporting import tables
from tasks import TARGETS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.S)
COMMANDS = [
    tokens
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if (tokens := shlex.split(line, comments=True))
]


@pytest.mark.parametrize("tokens", COMMANDS, ids=" ".join)
def test_command_parses(tokens):
    index = next(i for i, token in enumerate(tokens) if token.endswith((".py", ".sh", ".sbatch")))
    script, argv = tokens[index], tokens[index + 1 :]
    assert (ROOT / script).exists()
    if script == "run_xtreme.py":
        args, _, given = arguments.parse(run_xtreme.build_parser(), argv)
        assert args.task in TARGETS and "output_dir" in given
        assert {"do_train", "do_eval", "do_predict"} & set(given)
    elif script == "run_intermediate.py":
        args, _, given = arguments.parse(run_intermediate.build_parser(), argv)
        run_intermediate.check_arguments(args, given) if not args.config_name else None
        assert plan.make_plan(args).tasks and "output_dir" in given
    elif script == "perturb.py":
        args = perturb.build_parser().parse_args(argv)
        assert args.list or (args.data_dir and args.output_dir and set(args.ops) <= perturb.OPERATIONS.keys())
    elif script == "download_data.py":
        assert download_data.check(download_data.build_parser().parse_args(argv))
    elif script == "report.py":
        assert report.build_parser().parse_args(argv).baseline
    elif script == "score.py":
        assert score.build_parser().parse_args(argv).predictions


def test_readme_shows_commands_of_every_script():
    assert len(COMMANDS) >= 8
    scripts = {
        "download_data.py",
        "run_xtreme.py",
        "run_intermediate.py",
        "score.py",
        "perturb.py",
        "report.py",
        "demo.sh",
        "tests/run.sh",
    }
    scripts |= {"recipes/study1_noise.sh", "recipes/study2_non_latin.sh"}
    assert scripts <= {token for tokens in COMMANDS for token in tokens}


def test_every_flag_in_the_readme_exists():
    parsers = (download_data, run_xtreme, run_intermediate, score, perturb, report)
    known = {
        option for module in parsers for action in module.build_parser()._actions for option in action.option_strings
    }
    known |= {f"--{name}" for name in arguments.trainer_flags()} | {
        "--rounds",
        "--nproc_per_node",
        "--cov",
        "--text_dir",
        "--peers",
    }
    known |= {"--device", "--sizes", "--gpus", "--wrap"}  # the last two are sbatch's
    assert {flag for flag in re.findall(r"--[a-z]\w+", TEXT)} <= known


def test_every_file_in_the_readme_exists():
    for name in re.findall(r"`([\w/]+\.(?:py|sh|txt))`", TEXT):
        assert (ROOT / name).exists() or name == "evaluate.py", name  # XTREME's scorer


def test_the_glossary_is_that_of_reports():
    for term, meaning in tables.GLOSSARY:
        assert f"| {term} | {meaning} |" in TEXT
