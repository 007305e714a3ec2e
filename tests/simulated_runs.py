"""Invented runs in the form that run_xtreme.py leaves behind, for report.py: example difficulties shared by all runs,
effects as asked.

python tests/simulated_runs.py FOLDER RUNS LANGUAGES CONDITIONS EXAMPLES      for benchmarks/README.md's timing
"""

import json
import sys
from pathlib import Path

import numpy as np

OPERATIONS = ("keyboard", "swap", "mixed", "delete", "insert", "homoglyph", "case", "ocr", "repeat", "punctuation")


def conditions(number):
    """clean and the first `number` - 1 of keyboard-1, keyboard-2, keyboard-3, swap-1, ..."""
    return ["clean", *[f"{op}-{level}" for op in OPERATIONS for level in (1, 2, 3)][: number - 1]]


def difficulty(task, language, examples):
    return np.random.default_rng([len(task), *map(ord, language)]).normal(0, 0.25, examples)


def write_run(
    folder, setting, seed, languages, names, examples, task="xnli", clean=0.7, drop=0.1, seed_effect=0.0, training=True
):
    """One run; `drop` is the accuracy lost at level 3, less at the others. Returns its folder."""
    folder, random = Path(folder), np.random.default_rng([seed, *map(ord, setting)])
    folder.mkdir(parents=True, exist_ok=True)
    shift, rows = random.normal(0, seed_effect) if seed_effect else 0.0, []
    for name in names:
        level = 0 if name == "clean" else int(name.split("-")[1])
        (folder / "scores" / name / task).mkdir(parents=True, exist_ok=True)
        for language in languages:
            hard = difficulty(task, language, examples)
            correct = random.random(examples) < np.clip(clean + shift + hard - drop * level / 3, 0, 1)
            text = "".join('{"id": "%d", "correct": %d}\n' % row for row in enumerate(correct))
            (folder / "scores" / name / task / f"test-{language}.jsonl").write_text(text)
            about = {
                "seed": seed,
                "model": str(folder),
                "parent": setting,
                "data": f"{name} {language}",
                "inputs": "",
                "predictions": "",
            }
            value = 100 * float(correct.mean())
            rows.append(
                {
                    "task": task,
                    "language": language,
                    "condition": name,
                    "metric": "accuracy",
                    "value": value,
                    "n": examples,
                    **about,
                }
            )
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    noise = {
        name: {"folder": f"noised/{name}", "op": name.split("-")[0], "level": int(name.split("-")[1]), "not_applicable": {},
               "realised": {code: (0.01, 0.02, 0.05)[int(name.split("-")[1]) - 1] for code in languages}}
        for name in names if name != "clean"
    }  # fmt: skip
    root = {
        "path": "xlm-roberta-base",
        "checkpoint": "root",
        "command": None,
        "task": None,
        "seed": None,
        "parent": None,
    }
    command = f"python run_intermediate.py --tasks {setting} --output_dir outputs/{setting}"
    parent = (
        root
        if setting == "direct"
        else {
            "path": f"outputs/{setting}",
            "checkpoint": setting,
            "command": command,
            "task": setting,
            "seed": 1,
            "parent": root,
        }
    )
    about = {
        "command": f"python run_xtreme.py --task {task} --seed {seed} --output_dir {folder}", "task": task, "seed": seed, "parent": parent,
        "training": {"parent": parent["checkpoint"], "learning_rate": 1e-5, "seed": seed, "finished": True} if training else None,
        "conditions": {"clean": {"folder": "data/xtreme"}, **noise}, "data_manifest": None, "started_at": "2026-01-01", "finished_at": "2026-01-01",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    return folder


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tasks import LANGUAGES

    folder, (runs, languages, number, examples) = Path(sys.argv[1]), map(int, sys.argv[2:])
    for index in range(runs):
        setting = f"task{index // 3}" if index >= 3 else "direct"
        codes = ["en", *[code for code in LANGUAGES if code != "en"]][:languages]
        write_run(
            folder / f"{setting}-{index % 3}",
            setting,
            index % 3,
            codes,
            conditions(number),
            examples,
            seed_effect=0.01,
        )
