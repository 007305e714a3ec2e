"""What a study's commands would cost: GPU hours and disk at full size, minutes on a CPU at the others.

Called by study.py with the commands of the plan. Standard library only. Sizes come from tasks.py and hub/tables.py;
what is assumed beside them stands in ASSUMED and is printed.
"""

import heapq
import json
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
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
# name -> weights, those of them that a sub-token passes (all but the embeddings)
MODELS = {
    "xlm-roberta-base": (278_043_648, 85_054_464), "xlm-roberta-large": (559_890_432, 302_309_376),
    "xlm-roberta-xl": (3_483_000_000, 2_840_000_000), "xlm-roberta-xxl": (10_700_000_000, 9_680_000_000),
    "multilingual-e5-small": (117_653_760, 21_294_720),
}  # fmt: skip
LARGE = "xlm-roberta-large"
LARGE_FITS = 38_000  # MiB of a GPU that trains XLM-R Large alone; ds_configs/README.md
LARGE_SHARED = 15_000  # where several share its optimizer
GPU_TOKENS = 20_000  # per second in training XLM-R Large
CPU_TOKENS = 500  # per second and core in training multilingual-e5-small with 53,000 pieces: 507 measured
ASSUMED = """assumed: {speed:,} sub-tokens/s in training on one {place} (TOKENS_PER_SECOND=… for yours; {source}),
three times that in prediction, {start} s for a run to start and save; mean lengths as in recipes/cost.py"""
# Seconds of a command on the invented world, two at a time on two cores.
TOY_SECONDS = {
    "pretrained": 34,
    "intermediate": 19,
    "target": 15,
    "retrieval": 11,
    "alignment": 9,
    "translation": 25,
    "other": 3,
}


# --- Which GPUs does a run need?


def weights(model):
    """(all, without embeddings) weights of a model: a folder's own, a known name's, else XLM-R Large's."""
    files = list(Path(str(model)).glob("*.safetensors"))
    if files:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        total = sum(file.stat().st_size for file in files) // 4
        return total, total - config["vocab_size"] * config["hidden_size"]
    return MODELS.get(Path(str(model)).name, MODELS[LARGE])


def largest(settings):
    models = [name for name in settings.models.values() if isinstance(name, str)] or [settings.model]
    return max(models, key=lambda name: weights(name)[0])


def placement(settings):
    """(GPUs of a run, DeepSpeed's configuration or ""): one GPU a run where the largest model fits, else the node."""
    if not settings.gpus:
        return 0, ""
    share = weights(largest(settings))[0] / weights(LARGE)[0]
    fits = settings.gpu_memory >= LARGE_FITS * share
    given = str(settings.gpus_per_run)
    number = int(given) if given.isdecimal() else settings.gpus if given == "all" or not fits else 1
    if fits:
        return number, ""
    if share > 3:
        configuration = "zero3" if number > 1 else "zero3_offload"
    else:
        configuration = "zero2" if number > 1 and settings.gpu_memory >= LARGE_SHARED * share else "zero2_offload"
    return number, f"ds_configs/{configuration}.json"


# --- What do the commands cost?


def parts(command):
    """(script, {flag: [values]}) of a command line."""
    tokens = shlex.split(command)
    start = next(index for index, token in enumerate(tokens) if token.endswith(".py"))
    flags, values = {}, []
    for token in tokens[start + 1 :]:
        if token.startswith("--"):
            name, _, value = token[2:].partition("=")
            values = flags.setdefault(name, [value] if value else [])
        else:
            values.append(token)
    return tokens[start], flags


def estimate(commands, settings):
    """Print what the commands, as `parts` returns them, would cost."""
    commands = once_trained(commands)
    trained = sum("do_train" in flags for _, flags in commands)
    number = sum(script.startswith("run_") for script, _ in commands)
    print(f"{len(commands)} commands: {number} runs, {trained} of them train")
    if settings.own_data:
        minutes = toy_minutes(commands, settings.jobs)
        print(f"on the invented world about {minutes:.0f} minutes on {settings.jobs} quiet core(s)")
        return
    on_gpus = settings.gpus > 0
    speed = int(os.environ.get("TOKENS_PER_SECOND") or (GPU_TOKENS if on_gpus else CPU_TOKENS))
    start = 120 if on_gpus else 30
    steps = [(step_of(script), seconds(script, flags, speed, on_gpus) + start, flags) for script, flags in commands]
    print_hours(steps, settings)
    print_disk(commands, trained, settings)
    place, source = "core", "measured with e5-small, trimmed"
    if on_gpus:
        place, source = "GPU", "an H200 gave 8,000 to 38,000 in its first steps"
    print(ASSUMED.format(speed=speed, place=place, source=source, start=start))


def once_trained(commands):
    """The commands, without the training of a folder that an earlier one has trained: a later one only predicts."""
    seen, result = set(), []
    for script, flags in commands:
        folder = flags.get("output_dir", [""])[0]
        result.append(
            (script, {name: value for name, value in flags.items() if name != "do_train" or folder not in seen})
        )
        seen.add(folder)
    return result


def step_of(script):
    return {"run_intermediate.py": "phase 2", "run_xtreme.py": "phase 3"}.get(script, script.removesuffix(".py"))


def seconds(script, flags, speed, on_gpus):
    """Of one GPU or core, without starting."""
    if on_gpus:  # the speed is XLM-R Large's; another model's follows from the weights that a sub-token passes
        speed = speed * MODELS[LARGE][1] / weights(flags.get("model_name_or_path", [LARGE])[0])[1]
    if script in ("run_intermediate.py", "run_xtreme.py"):
        total = training_tokens(script, flags) / speed
        return total + (predicted(flags) * TOKENS[flags["task"][0]] / speed / 3 if script == "run_xtreme.py" else 0)
    if script == "run_translation.py":
        frozen = flags["freeze"] == ["encoder"]  # a forward pass of it, and a decoder of its width but fewer layers
        steps = limited(flags, "max_steps", 30_000 if frozen else 5_000)
        return steps * limited(flags, "max_tokens", 4096) * accumulated(flags) / speed / (4 if frozen else 1.5)
    if script == "run_attack.py":
        task, queries = TARGETS[flags["task"][0]], int(flags.get("queries", ["300"])[0])
        languages = flags.get("languages") or all_languages(task)
        return limited(flags, "max_predict_samples", 500) * len(languages) * queries * TOKENS[task.name] / speed / 3
    return 0


def accumulated(flags):
    return int(flags.get("gradient_accumulation_steps", ["1"])[0])


def print_hours(steps, settings):
    """Hours of GPUs or cores by step, and of the clock: runs are packed in their order as they become possible."""
    slots = len(settings.gpu_names) // settings.gpus_per_run if settings.gpus else settings.jobs
    share = settings.gpus_per_run or 1
    free, ready, total, hours = [0.0] * slots, {}, {}, 0.0
    for step, cost, flags in steps:
        if not step.startswith(("phase", "run_")):
            continue
        cost, begin = cost / share, max(heapq.heappop(free), ready.get(flags.get("model_name_or_path", [""])[0], 0))
        heapq.heappush(free, begin + cost)
        ready[flags.get("output_dir", [""])[0]] = begin + cost
        total[step], hours = total.get(step, 0) + cost * share, max(hours, begin + cost)
    each = ", ".join(f"{name} {value / 3600:,.1f}" for name, value in total.items())
    if settings.gpus:
        place = f"{settings.gpus} GPU(s) of {settings.gpu_memory / 1000:.0f} GB, {share} a run"
    else:
        place = f"{settings.jobs} quiet core(s)"
    unit = "GPU" if settings.gpus else "core"
    print(f"about {sum(total.values()) / 3600:,.1f} {unit} hours ({each}): {hours / 3600:,.1f} hours on {place}")


def toy_minutes(commands, jobs):
    seconds = [(step, TOY_SECONDS[step]) for step in (toy_step(script, flags) for script, flags in commands)]
    alone = sum(cost for step, cost in seconds if step == "pretrained")  # everything else waits for it
    return (alone + (sum(cost for _, cost in seconds) - alone) / jobs) / 60


def toy_step(script, flags):
    if script == "run_intermediate.py":
        return "pretrained" if flags.get("tasks") == ["mlm"] else "intermediate"
    if script in ("run_alignment.py", "run_translation.py"):
        return script[4:-3]
    return "other" if script != "run_xtreme.py" else "target" if "do_train" in flags else "retrieval"


def print_disk(commands, trained, settings):
    size = weights(largest(settings))[0]
    models, while_training = trained * size * 4 / 1e9, 2 * size * 12 / 1e9
    predictions = sum(predicted(flags) for script, flags in commands if script == "run_xtreme.py") * 250 / 1e9
    print(
        f"disk: about {models + predictions:,.0f} GB kept ({models:,.0f} models, {predictions:,.0f} predictions and "
        f"scores), {while_training:,.0f} GB more while a run trains"
    )


def training_tokens(script, flags):
    """Sub-tokens that a run trains on."""
    if "do_train" not in flags:
        return 0
    if script == "run_xtreme.py":
        task = TARGETS[flags["task"][0]]
        return trained_examples(task, flags) * TOKENS[task.name]
    names = [name for token in flags["tasks"] for name in (NINE if token == "all" else [token])]
    total = 0
    for task in filter(None, map(INTERMEDIATE.get, names)):
        epochs = task.defaults.num_train_epochs if len(names) == 1 else MIXTURE_EPOCHS
        for part in task.parts or (task.name,):
            total += trained_examples(INTERMEDIATE[part], flags, epochs) * TOKENS.get(part, 30)
    return total


def trained_examples(task, flags, epochs=None):
    """Examples that pass in training, over all epochs."""
    if "max_steps" in flags:
        return int(flags["max_steps"][0]) * int(flags.get("per_device_train_batch_size", ["32"])[0])
    epochs = float(flags.get("num_train_epochs", [epochs or task.defaults.num_train_epochs])[0])
    return limited(flags, "max_train_samples", examples(task, "train")) * epochs


def limited(flags, name, number):
    return min(number, int(flags[name][0])) if name in flags else number


def predicted(flags):
    """Test examples that a run predicts, in all languages and conditions; retrieval also as many English ones."""
    task = TARGETS[flags["task"][0]]
    languages = [code for code in flags.get("languages", all_languages(task)) if code in all_languages(task)]
    sides = 2 if task.kind == "retrieval" else 1
    each = [limited(flags, "max_predict_samples", examples(task, "test", [code])) for code in languages]
    return sum(each) * sides * len(flags.get("conditions", [""]))


def all_languages(task):
    return list(dict.fromkeys(code for version in task.languages.values() for code in version))


def examples(task, split, languages=("en",)):
    """Examples of a split as the Hub has them, over some languages."""
    files = task.files.get(split, ())
    unknown = CCG_EXAMPLES if task.name == "ccg" else TEST_EXAMPLES.get(task.name, 1_000)
    return sum(
        expected_rows(file.format(lang=language))[0] or unknown
        for file in ((files,) if isinstance(files, str) else files)
        for language in languages
    )
