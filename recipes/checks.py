"""Are a study's settings possible? InputError for the first that is not, before anything is written.

Called by study.py. Standard library only, as far as the operations of noise can be read without `regex`.
"""

import os
import re
from pathlib import Path

from runs import trains

from common.files import InputError
from common.text import nearest
from tasks import INTERMEDIATE, TARGETS

ROOT = Path(__file__).resolve().parents[1]
DOWNLOAD = ".venv/bin/python download_data.py --tasks all --output_dir data"
PHASE2 = [*INTERMEDIATE, "mlm", "tlm", "all"]
STEPS = ("toy", "noised", "replicates", "lines", "permuted", "report", "report-unfrozen")  # the Snakefile's own
LEAST = {"replicates": 1, "jobs": 1, "gpus": 1, "gpu_memory": 1_000, "runs_per_gpu": 1}  # gpu_memory in MiB


def check(settings):
    check_known("TARGETS", settings.targets, list(TARGETS))
    check_known("FLOORS", settings.floors, ["random", "permuted"])
    check_distinct("INTERMEDIATES", settings.intermediates)
    for setting in settings.intermediates:
        if setting not in settings.variants:
            check_known(f"INTERMEDIATES, {setting}", setting.split("+"), [*INTERMEDIATE, "all"])
    check_variants(settings.variants)
    if not (settings.targets or settings.alignment or settings.pairs):
        raise InputError(f"TARGETS: none given; choose from {' '.join(TARGETS)}")
    check_numbers(settings)
    check_names(settings)
    check_known("TAG_PIECE", [settings.tag_piece], ["first", "first_letter"])
    check_known("BENCHMARK", [settings.benchmark], ["", "xtreme", "xtreme-r"])
    check_known("KEEP_HEAD", list(settings.keep_head), list(TARGETS))
    for target, task in settings.keep_head.items():
        check_known(f"KEEP_HEAD, {target}", [task], list(INTERMEDIATE))
    if settings.deepspeed and not (ROOT / settings.deepspeed).is_file():
        raise InputError(f"DEEPSPEED={settings.deepspeed}: no such file; name one of ds_configs/*.json")
    check_attacks(settings)
    if settings.ops:
        check_noise(settings.ops, settings.levels, settings.worst_of)


def check_known(name, values, choices):
    for value in values:
        if value not in choices:
            hint = nearest(str(value), choices) or f"; choose from {' '.join(filter(None, choices))}"
            raise InputError(f"{name}: {value} is unknown{hint}")
    check_distinct(name, values)


def check_distinct(name, values):
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{name}: {value} stands twice; name each once")


def check_whole(name, values, least, most, *words):
    """The setting is whole numbers from `least` to `most`, or one of the `words`."""
    for value in values or [""]:
        if value not in words and not (str(value).isdecimal() and least <= int(value) <= most):
            shown = " ".join(map(str, values))
            besides = "".join(f", or {word}" for word in words if word)
            raise InputError(f"{name.upper()}={shown}: give whole numbers from {least} to {most}{besides}")


def check_numbers(settings):
    for name in ("seeds", "phase2_seeds", "decoder_seeds"):
        check_whole(name, getattr(settings, name), 0, 2**32 - 1)
        check_distinct(name.upper(), getattr(settings, name))
    check_whole("examples", settings.examples, 1, 10**9, "all")
    check_distinct("EXAMPLES", settings.examples)
    for name, least in LEAST.items():
        value = getattr(settings, name)
        check_whole(name, [value], least if name in settings.outside or value else 0, 10**9)
    if speed := os.environ.get("TOKENS_PER_SECOND"):
        check_whole("TOKENS_PER_SECOND", [speed], 1, 10**9)
    for name, layers in settings.models.items():
        if not layers or isinstance(layers, int) and layers < 1:
            raise InputError(f"MODELS, {name}: {layers}: give a folder, a Hub id, or a number of layers from 1")


def check_variants(variants):
    for name, variant in variants.items():
        if not isinstance(variant, dict) or not all(isinstance(value, str) for value in variant.values()):
            raise InputError(f"variants, {name}: {variant}: give {{tasks: …, phase2_flags: …, phase3_flags: …}}")
        check_known(f"variants, {name}", list(variant), ["tasks", "phase2_flags", "phase3_flags"])
        check_known(f"variants, {name}, tasks", variant.get("tasks", "").split(), PHASE2)
        if variant.get("phase2_flags") and not variant.get("tasks"):
            raise InputError(f"variants, {name}: phase2_flags without tasks would train nothing; name tasks")


def check_names(settings):
    """Settings and models name folders, and steps beside the Snakefile's own."""
    taken = {*STEPS, *(f"{model}-encoder" for model in settings.models or ["model"])}
    taken |= {"pretrained", *(f"{model}-pretrained" for model in settings.models)}
    taken |= {*settings.floors} if settings.pairs else set()
    taken |= {*settings.keep_head.values()} & {*settings.variants}
    for name in [settings.baseline, *settings.intermediates, *settings.models]:
        if name in taken:
            raise InputError(f"{name}: a step has this name; take another for the setting")
        if not re.fullmatch(r"[\w+][\w+.-]*", str(name)):
            raise InputError(f"{name}: cannot name a folder; take letters, digits and - _ + .")


def check_attacks(settings):
    for attack, flags in settings.attacks.items():
        if not re.fullmatch(r"[a-z]+-[1-9]\d*", str(attack)) or not isinstance(flags, str):
            raise InputError(
                f"ATTACKS: {attack}={flags}: give a search, its edits and flags, as greedy-3: --queries 500"
            )
    check_known("ATTACK_TARGETS", settings.attack_targets, list(TARGETS))
    if "attack_settings" in settings.outside:
        names = dict.fromkeys([settings.baseline, *settings.intermediates])
        check_known("ATTACK_SETTINGS", settings.attack_settings, list(names))


def check_noise(ops, levels, worst):
    check_whole("levels", levels, 1, 5)
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


def check_data(settings):
    """InputError where a folder of given data, a test file, or the folder of a model is absent."""
    folders, tests = {}, {}
    if not settings.own_data:
        for target in settings.targets:
            files = TARGETS[target].files["test"]
            tests[target] = f"{settings.data_dir}/{files if isinstance(files, str) else files[0]}"
        tops = [str(Path(file).parent) for file in tests.values()]
        folders["DATA_DIR"] = [settings.data_dir, *tops]
    if not settings.own_intermediate:
        folders["INTERMEDIATE_DIR"] = [settings.intermediate_dir]
    for name in ("parallel", "pairs"):
        given = getattr(settings, name)
        folders[name.upper()] = [given] if given and not Path(given).is_relative_to(settings.toy_dir) else []
    models = [model for model in (settings.model, *settings.models.values()) if str(model).startswith(("/", "."))]
    for name, paths in {**folders, "MODEL": models}.items():
        for path in paths:
            if not (ROOT / path).is_dir():
                hint = f"download it with: {DOWNLOAD}" if name.endswith("_DIR") else "name one that exists"
                raise InputError(f"{name}={path}: no such folder; {hint}")
    for target, file in tests.items():
        for code in settings.languages:
            if not (ROOT / file.format(lang=code)).exists() and (code != "en" or trains(target)):
                raise InputError(f"LANGUAGES, {code}: {target} has no {file.format(lang=code)}; leave one of them out")
