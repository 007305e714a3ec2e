"""What a study needs to know before it begins: are its settings possible, and what would its commands cost?

    TARGETS="xnli panx" … python recipes/cost.py check      exit code 2 and one line for the first setting that cannot work
    python recipes/cost.py estimate < commands              GPU hours and disk space of the commands, one per line, as text

Called by common.sh. Standard library only, so that a plan can be printed where nothing is installed; operations of
perturb.py are checked where `regex` is there. Sizes come from tasks.py and hub/tables.py; what is assumed beside them
stands in ASSUMED and is printed.
"""

import difflib
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hub.tables import expected_rows  # noqa: E402
from tasks import INTERMEDIATE, NINE, TARGETS  # noqa: E402

# Sub-tokens of an example with XLM-R's vocabulary, all choices and windows together; examples where hub/tables.py has
# none.
TOKENS = {
    "xnli": 45, "pawsx": 60, "udpos": 35, "panx": 20, "xquad": 230, "mlqa": 230, "tydiqa": 200, "xcopa": 50, "bucc2018": 35, "tatoeba": 15,
    "mnli": 45, "snli": 30, "anli": 110, "qqp": 35, "squad": 230, "squad_v2": 230, "hellaswag": 400, "cosmos_qa": 560, "commonsense_qa": 125, "ccg": 35,
}  # fmt: skip
TEST_ROWS, CCG_ROWS = {"udpos": 2_000, "mlqa": 6_000, "tydiqa": 560}, 38_015
WEIGHTS = 559_890_432  # of XLM-R Large
GPU_TOKENS = 20_000  # per second in training
ASSUMED = """assumed: {speed:,} sub-tokens/s in training on one GPU (TOKENS_PER_SECOND=… for yours; nobody has measured it here), three times that in
prediction, 2 minutes for a run to start and save; mean lengths as in recipes/cost.py; XLM-R Large in float32"""
TOY = {
    "pretrained": 55,
    "intermediate": 30,
    "target": 24,
    "retrieval": 18,
    "other": 5,
}  # seconds, two at a time on two cores, of the invented world


class Wrong(ValueError):
    """A setting that cannot work."""


def words(name):
    return os.environ.get(name, "").split()


def known(name, values, choices):
    for value in values:
        if value not in choices:
            near = difflib.get_close_matches(value, list(choices), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"choose from {' '.join(choices)}"
            raise Wrong(f"{name}: {value} is unknown; {hint}")
    if len(set(values)) < len(values):
        raise Wrong(
            f"{name}: {next(value for value in values if values.count(value) > 1)} stands twice; name each once"
        )


def whole(name, least, most, single=False):
    """The whole numbers of a setting, each from `least` to `most`."""
    for value in words(name) or [""]:
        if not value.isdecimal() or not least <= int(value) <= most or (single and len(words(name)) > 1):
            raise Wrong(
                f"{name}={os.environ.get(name, '')}: give {'a whole number' if single else 'whole numbers'} from "
                f"{least} to {most}"
            )


def check():
    runnable = [name for name, task in TARGETS.items() if not task.not_runnable]
    for name in words("TARGETS"):
        if name in TARGETS and name not in runnable:
            raise Wrong(f"TARGETS: {name} cannot be run yet: {TARGETS[name].not_runnable}")
    known("TARGETS", words("TARGETS"), runnable)
    settings = words("INTERMEDIATES")
    for setting in settings:
        known(f"INTERMEDIATES, {setting}", setting.split("+"), [*INTERMEDIATE, "all"])
    known("INTERMEDIATES", settings, settings)
    whole("SEEDS", 0, 2**32 - 1)
    known("SEEDS", words("SEEDS"), words("SEEDS"))
    for name in ("PHASE2_SEED", "REPLICATES", "JOBS", "GPUS", "GPU_MEMORY", "TOKENS_PER_SECOND"):
        if os.environ.get(name):
            whole(name, 0 if name == "PHASE2_SEED" else 1, 10**9, single=True)
    check_noise(words("OPS"), words("LEVELS"), os.environ.get("WORST_OF", ""))


def check_noise(ops, levels, worst):
    if not ops:
        return
    whole("LEVELS", 1, 5)
    known("LEVELS", levels, levels)
    try:
        from noise.operations import OPERATIONS
    except ImportError:  # `regex` is not installed: perturb.py will say it
        OPERATIONS = ops
    known("OPS", ops, OPERATIONS)
    if worst and worst not in (made := [f"{op}-{level}" for op in ops for level in levels]):
        raise Wrong(
            f"WORST_OF={worst}: none of the conditions that OPS and LEVELS make, which are {' '.join(made)}; choose "
            "one, or leave it empty"
        )


# --- The cost
# ------------------------------------------------------------------------------------------------------------------------------


def flags(command):
    """(script, {flag: [values]}) of a command line."""
    tokens = shlex.split(command)
    start = next(index for index, token in enumerate(tokens) if token.endswith(".py"))
    found, values = {}, []
    for token in tokens[start + 1 :]:
        if token.startswith("--"):
            values = found.setdefault(token[2:], [])
        else:
            values.append(token)
    return tokens[start], found


def rows(task, split, languages=("en",)):
    """Examples of a split as the Hub has them, over some languages."""
    files = task.files.get(split, ())
    count = 0
    for file in (files,) if isinstance(files, str) else files:
        for language in languages:
            count += expected_rows(file.format(lang=language))[0] or (
                CCG_ROWS if task.name == "ccg" else TEST_ROWS.get(task.name, 1_000)
            )
    return count


def tested(task):
    """Test examples in all languages; BUCC's also as many English ones."""
    languages = {code for version in task.languages.values() for code in version}
    return rows(task, "test", languages) * (2 if task.kind == "retrieval" else 1)


def training_tokens(script, given):
    """Sub-tokens that a run trains on."""
    if "do_train" not in given:
        return 0
    if script == "run_xtreme.py":
        task = TARGETS[given["task"][0]]
        return rows(task, "train") * TOKENS[task.name] * task.defaults.num_train_epochs
    names = [name for token in given["tasks"] for name in (NINE if token == "all" else [token])]
    total = 0
    for task in map(INTERMEDIATE.get, names):
        once = sum(rows(INTERMEDIATE[part], "train") * TOKENS[part] for part in task.parts or (task.name,))
        total += once * (
            task.defaults.num_train_epochs if len(names) == 1 else 3
        )  # a mixture: plan.py's MIXTURE_EPOCHS
    return total


def estimate(lines):
    commands = [flags(line) for line in lines if line.strip()]
    runs = [(script, given) for script, given in commands if script in ("run_intermediate.py", "run_xtreme.py")]
    trained = sum("do_train" in given for _, given in runs)
    kinds = f"{len(commands)} commands: {len(runs)} runs, {trained} of them train"
    if os.environ.get("SCALE") == "toy":
        jobs = max(1, int(os.environ.get("JOBS") or 1))
        seconds = {
            kind: sum(kind_of(script, given) == kind for script, given in commands) * cost
            for kind, cost in TOY.items()
        }
        alone = seconds["pretrained"]
        print(
            f"{kinds}; on the invented world about {(alone + (sum(seconds.values()) - alone) / jobs) / 60:.0f} "
            f"minutes on {jobs} quiet core(s)"
        )
        return
    speed = int(os.environ.get("TOKENS_PER_SECOND") or GPU_TOKENS)
    learned = {
        script: sum(training_tokens(s, given) for s, given in runs if s == script)
        for script in ("run_intermediate.py", "run_xtreme.py")
    }
    read, examples = 0, 0
    for script, given in runs:
        if script == "run_xtreme.py":
            task = TARGETS[given["task"][0]]
            cells = tested(task) * len(given["conditions"])
            examples += cells
            read += cells * TOKENS[task.name]
    gpus = int(os.environ.get("GPUS") or 1)
    hours = {
        "phase 2": learned["run_intermediate.py"] / speed,
        "phase 3": learned["run_xtreme.py"] / speed,
        "prediction": read / speed / 3,
    }
    hours["starting and saving"] = len(runs) * 120 * gpus
    total = sum(hours.values()) / 3600
    print(f"{kinds}")
    print(f"about {total:,.0f} GPU hours "
          f"({', '.join(f'{name} {value / 3600:,.0f}' for name, value in hours.items())}): "
          f"{total / gpus:,.0f} hours on {gpus} GPU(s) of {int(os.environ.get('GPU_MEMORY') or 80_000) / 1000:.0f} GB")  # fmt: skip
    kept, passing, written = trained * WEIGHTS * 4, 2 * WEIGHTS * 12, examples * 250
    print(f"disk: about {(kept + written) / 1e9:,.0f} GB kept ({kept / 1e9:,.0f} models, {written / 1e9:,.0f} "
          "predictions and scores), "
          f"{passing / 1e9:,.0f} GB more while a run trains")  # fmt: skip
    print(ASSUMED.format(speed=speed))


def kind_of(script, given):
    if script == "run_intermediate.py":
        return "pretrained" if given.get("tasks") == ["mlm"] else "intermediate"
    return "other" if script != "run_xtreme.py" else "target" if "do_train" in given else "retrieval"


def main():
    try:
        check() if sys.argv[1:] == ["check"] else estimate(sys.stdin)
    except Wrong as error:
        print(f"recipe: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
