"""Invented runs in the form that run_xtreme.py leaves behind, for report.py: shared difficulties, effects as asked.

    python tests/simulated_runs.py FOLDER RUNS LANGUAGES CONDITIONS EXAMPLES

makes those that benchmarks/README.md times.
"""

import json
import sys
from pathlib import Path

import numpy as np

OPERATIONS = ("keyboard", "swap", "mixed", "delete", "insert", "homoglyph", "case", "ocr", "repeat", "punctuation")
RATES = {1: 0.01, 2: 0.02, 3: 0.05}  # level -> realised error rate
ROOT = {"path": "xlm-roberta-base", "checkpoint": "root", "command": None, "task": None, "seed": None, "parent": None}


def conditions(number):
    """clean and the first `number` - 1 of keyboard-1, keyboard-2, keyboard-3, swap-1, ..."""
    return ["clean", *[f"{op}-{level}" for op in OPERATIONS for level in RATES][: number - 1]]


def difficulty(task, language, examples):
    return np.random.default_rng([len(task), *map(ord, language)]).normal(0, 0.25, examples)


def write_run(folder, setting, seed, languages, names, examples, task="xnli", clean=0.7, drop=0.1, seed_effect=0.0):
    """One run; `drop` is the accuracy lost at level 3, less at the others. Returns its folder."""
    folder, random = Path(folder), np.random.default_rng([seed, *map(ord, setting)])
    folder.mkdir(parents=True, exist_ok=True)
    shift, results = random.normal(0, seed_effect) if seed_effect else 0.0, []
    for name in names:
        level = 0 if name == "clean" else int(name.split("-")[1])
        (folder / "scores" / name / task).mkdir(parents=True, exist_ok=True)
        for language in languages:
            hard = difficulty(task, language, examples)
            correct = random.random(examples) < np.clip(clean + shift + hard - drop * level / 3, 0, 1)
            counts = "".join(f'{{"id": "{number}", "correct": {right:d}}}\n' for number, right in enumerate(correct))
            (folder / "scores" / name / task / f"test-{language}.jsonl").write_text(counts)
            score = {"metric": "accuracy", "value": 100 * float(correct.mean()), "n": examples}
            made_from = {"model": str(folder), "parent": setting, "data": f"{name} {language}"}
            hashes = {"inputs": "", "predictions": ""}
            cell = {"task": task, "language": language, "condition": name}
            results.append({**cell, **score, "seed": seed, **made_from, **hashes})
    (folder / "results.jsonl").write_text("".join(json.dumps(result) + "\n" for result in results))
    (folder / "run.json").write_text(json.dumps(run_record(folder, setting, seed, languages, names, task)))
    return folder


def run_record(folder, setting, seed, languages, names, task):
    """What run.json says of such a run."""
    noised = {}
    for op, level in (name.split("-") for name in names if name != "clean"):
        realised = {code: RATES[int(level)] for code in languages}
        noise = {"op": op, "level": int(level), "not_applicable": {}, "realised": realised}
        noised[f"{op}-{level}"] = {"folder": f"noised/{op}-{level}", **noise}
    encoder = f"outputs/{setting}"
    command = f"python run_intermediate.py --tasks {setting} --output_dir {encoder}"
    trained = {"path": encoder, "checkpoint": setting, "command": command, "task": setting, "seed": 1, "parent": ROOT}
    parent = ROOT if setting == "direct" else trained
    return {
        "command": f"python run_xtreme.py --task {task} --seed {seed} --output_dir {folder}",
        "task": task,
        "seed": seed,
        "parent": parent,
        "training": {"parent": parent["checkpoint"], "learning_rate": 1e-5, "seed": seed, "finished": True},
        "conditions": {"clean": {"folder": "data/xtreme"}, **noised},
        "data_manifest": None,
        "started_at": "2026-01-01",
        "finished_at": "2026-01-01",
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tasks import LANGUAGES

    folder, (runs, languages, number, examples) = Path(sys.argv[1]), map(int, sys.argv[2:])
    codes = ["en", *[code for code in LANGUAGES if code != "en"]][:languages]
    for index in range(runs):
        setting, seed = f"task{index // 3}" if index >= 3 else "direct", index % 3
        write_run(folder / f"{setting}-{seed}", setting, seed, codes, conditions(number), examples, seed_effect=0.01)
