"""What the documents say holds: commands parse, flags and files exist, links lead somewhere, README is short."""

import importlib
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import download_data
import perturb
import report
import run_alignment
import run_intermediate
import run_translation
import run_xtreme
import score
from common import arguments
from common.task_records import target_of
from mixture import plan
from tasks import TARGETS

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = (
    "*.md",
    "docs/*.md",
    "docs/results/*.md",
    "noise/*.md",
    "recipes/*.md",
    "ds_configs/*.md",
    "benchmarks/*.md",
)
DOCUMENTS = {str(path.relative_to(ROOT)): path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in DOCUMENTS.items()}
COMMANDS = [
    (name, words)
    for name, text in TEXTS.items()
    for block in re.findall(r"```bash\n(.*?)```", text, re.S)
    for line in block.replace("\\\n", " ").splitlines()
    if (words := shlex.split(line.partition(" | ")[0], comments=True))
]
SHELL = (".sh", ".sbatch")
OTHERS = {  # flags of torchrun, deepspeed, accelerate, sbatch, snakemake and pytest
    "--nproc_per_node", "--nnodes", "--rdzv_backend", "--rdzv_endpoint", "--num_gpus", "--num_processes",
    "--use_deepspeed", "--deepspeed_config_file", "--gpus", "--wrap", "--nodes", "--cov",
    "--executor", "--retries", "--default",  # of snakemake; --default-resources
}  # fmt: skip


def parsed_xtreme(argv):
    args, _, given = arguments.parse(run_xtreme.build_parser(), argv)
    return (
        (args.task in TARGETS or target_of({"arguments": vars(args)}))
        and "output_dir" in given
        and {"do_train", "do_eval", "do_predict"} & set(given)
    )


def parsed_intermediate(argv):
    args, _, given = arguments.parse(run_intermediate.build_parser(), argv)
    if not args.config_name:  # else it looks for the folder
        run_intermediate.check_arguments(args, given)
    return plan.make_plan(args).tasks and "output_dir" in given


def parsed_perturb(argv):
    args = perturb.build_parser().parse_args(argv)
    return args.list or (
        (args.data_dir or "=" in args.tasks[0]) and args.output_dir and set(args.ops) <= perturb.OPERATIONS.keys()
    )


def parsed_download(argv):
    args = download_data.build_parser().parse_args(argv)
    args.hub_root = None  # it looks for the folder
    return download_data.check(args)


def parsed_alignment(argv):
    args, _, given = arguments.parse(run_alignment.build_parser(), argv)
    return args.data_dir and args.model_name_or_path and "output_dir" in given


def parsed_translation(argv):
    args, _, given = arguments.parse(run_translation.build_parser(), argv)
    return args.model_name_or_path and "output_dir" in given and {"do_train", "do_eval", "do_predict"} & set(given)


PARSED = {
    "run_translation.py": parsed_translation,
    "run_alignment.py": parsed_alignment,
    "run_xtreme.py": parsed_xtreme,
    "run_intermediate.py": parsed_intermediate,
    "perturb.py": parsed_perturb,
    "download_data.py": parsed_download,
    "report.py": lambda argv: report.build_parser().parse_args(argv).baseline,
    "score.py": lambda argv: score.build_parser().parse_args(argv).predictions,
}


@cache
def flags_of(script):
    """The flags that --help lists; of scripts that import torch for it, those in quotes."""
    module = importlib.import_module(Path(script).stem) if "/" not in script else None
    if hasattr(module, "build_parser"):
        return set(re.findall(r"--[a-z]\w+", module.build_parser().format_help()))
    return set(re.findall(r'"(--[a-z]\w+)"', (ROOT / script).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "document, words", COMMANDS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_command_parses(document, words):
    if words[0] in ("source", "mkdir", "yes") or words[0] == "sbatch" and "--wrap" in words:
        return
    if words[:2] == ["python", "-c"]:
        subprocess.run([sys.executable, *words[1:]], cwd=ROOT, check=True, capture_output=True)
        return
    scripts = [word for word in words if word.endswith(".py")] or [word for word in words if word.endswith(SHELL)]
    script, argv = scripts[0], words[words.index(scripts[0]) + 1 :]
    assert (ROOT / script).exists()
    if script in PARSED:
        assert PARSED[script](argv)
    elif script.endswith(".py"):
        assert {word for word in argv if word.startswith("--")} <= flags_of(script)


def test_every_script_is_shown():
    shown = {word for _, words in COMMANDS for word in words}
    scripts = {path.name for path in ROOT.glob("*.py")} - {"tasks.py", "metrics.py"}
    studies = {path.parent.name for path in (ROOT / "recipes").glob("*/toy.yaml")}
    assert scripts | studies | {"recipes/run.sh", "demo.sh", "setup.sh", "tests/run.sh"} <= shown


@pytest.mark.parametrize("document", TEXTS)
def test_every_flag_exists(document):
    scripts = [path.name for path in ROOT.glob("*.py") if path.name not in ("tasks.py", "metrics.py")]
    scripts += [f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")]
    known = OTHERS.union(*map(flags_of, scripts))
    assert set(re.findall(r"(?<![\w-])--[a-z]\w+", TEXTS[document])) - known == set()


@pytest.mark.parametrize("document", TEXTS)
def test_every_file_exists(document):
    names = re.findall(r"`([\w./]+\.(?:py|sh|sbatch|toml|png))`", TEXTS[document])
    ours = [
        name for name in names if "/" not in name or (ROOT / name.split("/")[0]).exists()
    ]  # else another project's
    folders = (ROOT, DOCUMENTS[document].parent)
    assert [name for name in ours if not any((folder / name).exists() for folder in folders)] == []


def anchors(text):
    """GitHub's anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", TEXTS)
def test_links_lead_somewhere(document):
    folder = DOCUMENTS[document].parent
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[document]):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else DOCUMENTS[document]
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


def test_readme_is_read_to_the_end():
    assert len(TEXTS["README.md"].splitlines()) <= 220


def test_readme_lists_the_whole_tree():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    roots = {name.split("/")[0] + "/" * ("/" in name) for name in tracked}
    wanted = {name for name in roots if name.endswith((".py", ".sh", "/")) and not name.startswith(".")}
    tree = TEXTS["README.md"].partition("## Files")[2].partition("```\n")[2].partition("```")[0]
    assert wanted - set(re.findall(r"[\w./]+", tree)) == set()
