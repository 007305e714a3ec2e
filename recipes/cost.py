"""What a study asks before it begins: are its settings possible, and what would its commands cost?

    TARGETS="xnli panx" … python recipes/cost.py check      exit code 2 and one line for the first bad setting
    python recipes/cost.py estimate < commands              GPU hours and disk space of commands, one per line

Called by common.sh. Standard library only, so that the costs can be printed where nothing is installed; operations of
perturb.py are checked where `regex` is there. Sizes come from tasks.py and hub/tables.py; what is assumed beside them
stands in ASSUMED and is printed.
"""

import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common.files import InputError  # noqa: E402
from common.text import nearest  # noqa: E402
from hub.tables import expected_rows  # noqa: E402
from tasks import INTERMEDIATE, NINE, TARGETS  # noqa: E402

# Sub-tokens of an example with XLM-R's vocabulary, all choices and windows together.
TOKENS = {
    "xnli": 45, "pawsx": 60, "udpos": 35, "panx": 20, "xquad": 230, "mlqa": 230, "tydiqa": 200, "xcopa": 50,
    "bucc2018": 35, "tatoeba": 15, "lareqa": 250, "mewslix": 130,
    "mnli": 45, "snli": 30, "anli": 110, "qqp": 35, "squad": 230, "squad_v2": 230, "hellaswag": 400, "cosmos_qa": 560,
    "commonsense_qa": 125, "siqa": 110, "ccg": 35,
}  # fmt: skip
# Examples where hub/tables.py knows no number.
TEST_EXAMPLES = {"udpos": 2_000, "mlqa": 6_000, "tydiqa": 560}
CCG_EXAMPLES = 38_015
MIXTURE_EPOCHS = 3  # mixture/plan.py's, which needs packages
WEIGHTS = 559_890_432  # of XLM-R Large
GPU_TOKENS = 20_000  # per second in training
ASSUMED = """assumed: {speed:,} sub-tokens/s in training on one GPU (TOKENS_PER_SECOND=… for yours; nobody has measured
it here), three times that in prediction, 2 minutes for a run to start and save; mean lengths as in recipes/cost.py;
XLM-R Large in float32"""
# Seconds of a command on the invented world, two at a time on two cores.
TOY_SECONDS = {"pretrained": 55, "intermediate": 30, "target": 24, "retrieval": 18, "alignment": 15, "other": 5}
TOY_SECONDS |= {"decoder": 45, "both": 30}
# Of run_translation.py at full size: updates of its two stages, pieces of an update, test lines, pieces of a line.
UPDATES, UPDATE_TOKENS, TEST_LINES, LINE_TOKENS = {"encoder": 30_000, "embeddings": 5_000}, 2**18, 1_012, 40
FORWARD = 1 / 3  # what a frozen encoder costs of its training


def main():
    try:
        if sys.argv[1:] == ["check"]:
            check()
        else:
            estimate([parts(line) for line in sys.stdin if line.strip()])
    except InputError as error:
        print(f"recipe: error: {error}", file=sys.stderr)
        sys.exit(2)


# --- Are the settings possible? They come from the environment.


def words(name):
    return os.environ.get(name, "").split()


def number(name, otherwise):
    return int(os.environ.get(name) or otherwise)


def check():
    check_known("TARGETS", words("TARGETS"), list(TARGETS))
    for setting in words("INTERMEDIATES"):
        check_known(f"INTERMEDIATES, {setting}", setting.split("+"), [*INTERMEDIATE, "all"])
    check_distinct("INTERMEDIATES", words("INTERMEDIATES"))
    check_whole("SEEDS", 0, 2**32 - 1)
    check_distinct("SEEDS", words("SEEDS"))
    check_whole("PHASE2_SEEDS", 0, 2**32 - 1)
    check_distinct("PHASE2_SEEDS", words("PHASE2_SEEDS"))
    for name in ("REPLICATES", "JOBS", "GPUS", "GPU_MEMORY", "TOKENS_PER_SECOND"):
        if os.environ.get(name):
            check_whole(name, 1, 10**9, single=True)
    if words("OPS"):
        check_noise(words("OPS"), words("LEVELS"), os.environ.get("WORST_OF", ""))


def check_known(name, values, choices):
    for value in values:
        if value not in choices:
            hint = nearest(value, choices) or f"; choose from {' '.join(choices)}"
            raise InputError(f"{name}: {value} is unknown{hint}")
    check_distinct(name, values)


def check_distinct(name, values):
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{name}: {value} stands twice; name each once")


def check_whole(name, least, most, single=False):
    """The setting is whole numbers, or a single one, each from `least` to `most`."""
    for value in words(name) or [""]:
        if not value.isdecimal() or not least <= int(value) <= most or (single and len(words(name)) > 1):
            wanted = "a whole number" if single else "whole numbers"
            raise InputError(f"{name}={os.environ.get(name, '')}: give {wanted} from {least} to {most}")


def check_noise(ops, levels, worst):
    check_whole("LEVELS", 1, 5)
    check_distinct("LEVELS", levels)
    try:
        from noise.operations import OPERATIONS
    except ImportError:  # `regex` is not installed: perturb.py will say it
        OPERATIONS = ops
    check_known("OPS", ops, OPERATIONS)
    conditions = [f"{op}-{level}" for op in ops for level in levels]
    if worst and worst not in conditions:
        raise InputError(
            f"WORST_OF={worst}: none of the conditions that OPS and LEVELS make, which are {' '.join(conditions)}; "
            "choose one, or leave it empty"
        )


# --- What do the commands cost?


def parts(command):
    """(script, {flag: [values]}) of a command line."""
    tokens = shlex.split(command)
    start = next(index for index, token in enumerate(tokens) if token.endswith(".py"))
    flags, values = {}, []
    for token in tokens[start + 1 :]:
        if token.startswith("--"):
            values = flags.setdefault(token[2:], [])
        else:
            values.append(token)
    return tokens[start], flags


def estimate(commands):
    """Print what the commands, as `parts` returns them, would cost."""
    ours = ("run_intermediate.py", "run_xtreme.py", "run_translation.py")
    runs = [(script, flags) for script, flags in commands if script in ours]
    trained = sum("do_train" in flags for _, flags in runs)
    summary = f"{len(commands)} commands: {len(runs)} runs, {trained} of them train"
    if os.environ.get("SCALE") == "toy":
        jobs = max(1, number("JOBS", 1))
        print(
            f"{summary}; on the invented world about {toy_minutes(commands, jobs):.0f} minutes on {jobs} quiet core(s)"
        )
        return
    print(summary)
    print_gpu_hours(runs)
    print_disk(runs, trained)
    print(ASSUMED.format(speed=number("TOKENS_PER_SECOND", GPU_TOKENS)))


def toy_minutes(commands, jobs):
    seconds = [(step, TOY_SECONDS[step]) for step in (toy_step(script, flags) for script, flags in commands)]
    alone = sum(cost for step, cost in seconds if step == "pretrained")  # everything else waits for it
    return (alone + (sum(cost for _, cost in seconds) - alone) / jobs) / 60


def toy_step(script, flags):
    if script == "run_intermediate.py":
        return "pretrained" if flags.get("tasks") == ["mlm"] else "intermediate"
    if script == "run_alignment.py":
        return "alignment"
    if script == "run_translation.py":
        return "decoder" if flags["freeze"] == ["encoder"] else "both"
    return "other" if script != "run_xtreme.py" else "target" if "do_train" in flags else "retrieval"


def print_gpu_hours(runs):
    speed, gpus = number("TOKENS_PER_SECOND", GPU_TOKENS), number("GPUS", 1)
    seconds = {"phase 2": 0, "phase 3": 0, "prediction": 0, "starting and saving": len(runs) * 120 * gpus}
    for script, flags in runs:
        seconds["phase 2" if script == "run_intermediate.py" else "phase 3"] += training_tokens(script, flags) / speed
        if script == "run_translation.py":
            seconds["prediction"] += translated(flags) * LINE_TOKENS / speed
        if script == "run_xtreme.py":
            seconds["prediction"] += predicted(flags) * TOKENS[flags["task"][0]] / speed / 3
    total = sum(seconds.values()) / 3600
    each = ", ".join(f"{name} {value / 3600:,.0f}" for name, value in seconds.items())
    memory = number("GPU_MEMORY", 80_000) / 1000
    print(f"about {total:,.0f} GPU hours ({each}): {total / gpus:,.0f} hours on {gpus} GPU(s) of {memory:.0f} GB")


def print_disk(runs, trained):
    models, while_training = trained * WEIGHTS * 4 / 1e9, 2 * WEIGHTS * 12 / 1e9
    predictions = sum(predicted(flags) for script, flags in runs if script == "run_xtreme.py") * 250 / 1e9
    predictions += sum(translated(flags) for script, flags in runs if script == "run_translation.py") * 800 / 1e9
    print(
        f"disk: about {models + predictions:,.0f} GB kept ({models:,.0f} models, {predictions:,.0f} predictions and "
        f"scores), {while_training:,.0f} GB more while a run trains"
    )


def training_tokens(script, flags):
    """Sub-tokens that a run trains on."""
    if "do_train" not in flags:
        return 0
    if script == "run_translation.py":
        (freeze,) = flags["freeze"]
        steps = int(flags["max_steps"][0]) if "max_steps" in flags else UPDATES[freeze]
        return steps * UPDATE_TOKENS * (FORWARD if freeze == "encoder" else 1)
    if script == "run_xtreme.py":
        task = TARGETS[flags["task"][0]]
        return examples(task, "train") * TOKENS[task.name] * task.defaults.num_train_epochs
    names = [name for token in flags["tasks"] for name in (NINE if token == "all" else [token])]
    total = 0
    for task in map(INTERMEDIATE.get, names):
        once = sum(examples(INTERMEDIATE[part], "train") * TOKENS[part] for part in task.parts or (task.name,))
        total += once * (task.defaults.num_train_epochs if len(names) == 1 else MIXTURE_EPOCHS)
    return total


def translated(flags):
    """Test lines that a run translates, in all languages and conditions."""
    return TEST_LINES * len(flags.get("languages", ["all"])) * len(flags["conditions"])


def predicted(flags):
    """Test examples that a run predicts, in all languages and conditions; retrieval also as many English ones."""
    task = TARGETS[flags["task"][0]]
    languages = {code for version in task.languages.values() for code in version}
    sides = 2 if task.kind == "retrieval" else 1
    return examples(task, "test", languages) * sides * len(flags["conditions"])


def examples(task, split, languages=("en",)):
    """Examples of a split as the Hub has them, over some languages."""
    files = task.files.get(split, ())
    unknown = CCG_EXAMPLES if task.name == "ccg" else TEST_EXAMPLES.get(task.name, 1_000)
    return sum(
        expected_rows(file.format(lang=language))[0] or unknown
        for file in ((files,) if isinstance(files, str) else files)
        for language in languages
    )


if __name__ == "__main__":
    main()
