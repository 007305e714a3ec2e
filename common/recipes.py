"""Training recipes of other people's code, to repeat published runs: a table, `--recipe xtreme` or `--recipe jiant`.

    RECIPES["xtreme"]["panx"].learning_rate     2e-05

Where no recipe is named a task's own defaults hold (tasks.py); flags that are given win over both. The numbers are
those for XLM-R Large. Adding one is adding a record here.
"""

from dataclasses import replace

from common.files import InputError
from common.text import nearest
from tasks import TARGETS, Defaults


def _xtreme(script, rate, epochs, length, stride=0, warmup=0, decay=0.0):
    """google-research/xtreme's scripts at 838c13b: a batch of 32, and no warm-up but for question answering."""
    source = f"scripts/train_{script}.sh at 838c13b"
    return Defaults(rate, epochs, 32, length, stride, warmup, decay, source, "--recipe xtreme")


_XTREME_QA = _xtreme("qa", 3e-5, 3, 384, 128, warmup=500, decay=1e-4)  # SQuAD for XQuAD and MLQA; TyDiQA's English
_XTREME_XNLI = _xtreme("xnli", 3e-5, 5, 128)  # 2e-5 before August 2021, as in the paper
# The names of two intermediate tasks stand for the training that XNLI, and XQuAD with MLQA, have.
RECIPES = {
    "xtreme": {
        "xnli": _XTREME_XNLI,
        "pawsx": _xtreme("pawsx", 2e-5, 5, 128),
        "udpos": _xtreme("udpos", 2e-5, 10, 128),
        "panx": _xtreme("panx", 2e-5, 10, 128),
        "xquad": _XTREME_QA,
        "mlqa": _XTREME_QA,
        "tydiqa": _XTREME_QA,
        "xcopa": _xtreme("xcopa", 3e-5, 5, 128),  # whose first phase, on SIQA, is another run
        "mnli": _XTREME_XNLI,
        "squad": _XTREME_QA,
    },
    # jiant's guide as shipped is where the target tasks' own defaults come from
    "jiant": {
        name: replace(TARGETS[same].defaults, recipe="--recipe jiant")
        for name, same in (
            *((name, name) for name in "xnli pawsx udpos panx xquad mlqa tydiqa".split()),
            ("mnli", "xnli"),
            ("squad", "xquad"),
        )
    },
}


def follow(task, recipe):
    """The task's record with the defaults of a recipe, unchanged where `recipe` is None.

    Raises InputError for a recipe that is none, or that has no numbers for the task.
    """
    if recipe is None:
        return task
    if recipe not in RECIPES:
        raise InputError(
            f"--recipe {recipe}: unknown{nearest(recipe, RECIPES)}; choose from {', '.join(RECIPES)}, or leave it out"
        )
    if task.name not in RECIPES[recipe]:
        raise InputError(
            f"--recipe {recipe}: has no numbers for {task.name}, only for {', '.join(RECIPES[recipe])}; leave it out"
        )
    return replace(task, defaults=RECIPES[recipe][task.name])
