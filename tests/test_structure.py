"""The shape of the house: which folder may import which, how large files and functions may be, what a copy needs."""

import ast
import subprocess
from pathlib import Path

import pytest

from common.trainer_flags import TRAINER_FLAGS

ROOT = Path(__file__).resolve().parents[1]
FILES = subprocess.run(
    ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
PRODUCT = [name for name in FILES if not name.startswith("tests/")]
FOLDERS = {name.split("/")[0] for name in PRODUCT if "/" in name}
ROOT_MODULES = {name.removesuffix(".py") for name in PRODUCT if "/" not in name}

# folder (or table at the root) -> what of ours it may import, beside itself
ARROWS = {
    "tasks": set(),
    "metrics": set(),
    "noise": set(),
    "common": {"tasks", "metrics"},
    "heads": {"common", "noise", "tasks", "metrics"},
    "mixture": {"heads", "common", "tasks", "metrics"},
    "alignment": {"heads", "common", "tasks", "metrics"},
    "translation": {"heads", "common", "tasks", "metrics"},
    "attack": {"heads", "noise", "common", "tasks", "metrics"},
    "reporting": {"common", "noise", "tasks", "metrics"},
    "hub": {"common", "tasks"},
    "toyworld": {"common", "tasks"},
}
SCRIPT, MODULE, STORY, FUNCTION = 500, 450, 120, 40  # lines at most; a story is a script's main() or run()


def tree(name):
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name):
    """Full names of the modules of ours that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for module in modules if module.split(".")[0] in FOLDERS | ROOT_MODULES}


@pytest.mark.parametrize("name", PRODUCT)
def test_imports_go_one_way(name):
    owner = name.removesuffix(".py").split("/")[0]
    targets = {module.split(".")[0] for module in imports(name)} - {owner}
    assert targets <= ARROWS.get(owner, FOLDERS | {"tasks", "metrics"}), "only scripts, tools and tests import scripts"


def test_no_module_imports_itself_over_others():
    modules = {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): name for name in PRODUCT}
    arrows = {}
    for module, name in modules.items():
        found = imports(name)
        arrows[module] = {
            known for known in modules for target in found if target in (known, *_members(known, target))
        }
        arrows[module] -= {module, module.split(".")[0]}
    done = set()
    while ready := {module for module in arrows if module not in done and arrows[module] <= done}:
        done |= ready
    assert set(arrows) - done == set(), "these import each other in a circle"


def _members(known, target):
    """`target` where it is a name within the module `known`."""
    return (target,) if target.rpartition(".")[0] == known else ()


def test_few_scripts_at_the_root():
    assert len(ROOT_MODULES) <= 14


@pytest.mark.parametrize("name", PRODUCT)
def test_sizes(name):
    lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
    assert lines <= (MODULE if "/" in name else SCRIPT)
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef):
            size = node.end_lineno - node.lineno + 1
            assert size <= (STORY if node.name in ("main", "run") else FUNCTION), f"{node.name}: {size} lines"


def test_flags_of_trainer_are_those_of_the_pinned_transformers():
    from transformers import HfArgumentParser, TrainingArguments

    options = [action.option_strings[0] for action in HfArgumentParser(TrainingArguments)._actions]
    assert [f"--{name}" for name in TRAINER_FLAGS] == [option for option in options if option.startswith("--")]
