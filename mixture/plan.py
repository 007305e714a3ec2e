"""What phase 2 trains on: the tasks, data sets and languages that the command line asks for, and their rows.

Reads <data_dir>/<task>/<split>[.<language>].jsonl and masked LM's text files through heads/; no torch.
"""

import dataclasses
import glob
import logging
import os
import re
from pathlib import Path

from common.arguments import truthy
from common.files import InputError
from common.recipes import follow
from common.task_records import extra_task
from common.text import nearest
from heads import path_of
from heads.training_pairs import FORMS, find_pairs
from metrics import family
from tasks import INTERMEDIATE, LANGUAGES, MASKED_LM, NINE, TRANSLATION_LM, Defaults, Task

logger = logging.getLogger("xtreme")

MIXTURE_EPOCHS, MIXTURE_BATCH, FROM_SCRATCH_RATE = 3, 24, 1e-4


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained: tasks (each a head), and the data sets that steps are drawn from (ANLI+ has three)."""

    tasks: dict  # name -> record
    sources: dict  # name of a data set -> (task, record)
    languages: tuple
    weights: dict | None  # task -> weight, as given
    whole: Task  # the run's name and combined defaults


def make_plan(args):
    """The Plan of --tasks, --extra_task, --task_languages and --mixing_weights."""
    extra = dict(extra_task(token) for token in args.extra_task)
    known, tasks = {**INTERMEDIATE, "mlm": MASKED_LM, "tlm": TRANSLATION_LM}, {}
    names = [name for token in args.tasks for name in (all_tasks(args.data_dir) if token == "all" else [token])]
    for name in names:
        if name not in known:
            raise InputError(
                f"--tasks {name}: unknown task{nearest(name, known)}; choose from all {' '.join(known)}, or define "
                "it by --extra_task"
            )
        if name in tasks:
            raise InputError(f"--tasks: {name} stands twice; name each task once")
        tasks[name] = known[name]
    for name, task in extra.items():
        if name in {**known, **tasks}:
            raise InputError(f"--extra_task {name}: is the name of a task already; choose another")
        tasks[name] = task
    if len(set(args.task_languages)) < len(args.task_languages) or "en" not in args.task_languages:
        raise InputError(
            f"--task_languages {' '.join(args.task_languages)}: name each language once, and en among them"
        )
    for code in args.task_languages:
        if code not in LANGUAGES:
            raise InputError(
                f"--task_languages {code}: unknown language{nearest(code, LANGUAGES)}; give ISO codes as in tasks.py"
            )
    if args.recipe and len(tasks) > 1:
        raise InputError(f"--recipe {args.recipe}: is for one task, {', '.join(tasks)} are several; leave it out")
    tasks = {name: follow(task, args.recipe) for name, task in tasks.items()}
    sources = {}
    for name, task in tasks.items():
        sources.update({f"{name}.{part}": (name, INTERMEDIATE[part]) for part in task.parts} or {name: (name, task)})
    whole = Task("+".join(tasks), "", {}, (), {}, "mean", defaults=combined_defaults(tasks, args))
    return Plan(tasks, sources, tuple(args.task_languages), given_weights(args.mixing_weights, tasks), whole)


def all_tasks(data_dir):
    """The paper's nine; CCGbank has to be brought along, so ccg counts where its file is."""
    ccg = path_of(INTERMEDIATE["ccg"], data_dir or ".", "train", "en")[0]
    return [name for name in NINE if name != "ccg" or ccg.exists()]


def check_metric(metric, plan):
    """Refuse a --metric_for_best_model that no evaluation of this plan has."""
    name = (metric or "mean").removeprefix("eval_")
    known = {"mean"}
    for source, (_, record) in plan.sources.items():
        masked = record.metric == "perplexity"
        own = ["perplexity"] if masked else family(record.scored_as or record.name).main
        titles = [source, *(f"{source}_{code}" for code in plan.languages if code != "en" and not masked)]
        known |= {f"{title}_{one}" for title in titles for one in ("score", "loss", *own)}
    if name not in known and not name.startswith(("mlm_perplexity_", "tlm_perplexity_")):
        shown = ", ".join(["eval_mean", *(f"eval_{source}_score" for source in plan.sources)])
        raise InputError(
            f"--metric_for_best_model {metric}: give one of {shown}{nearest(name, known)}, or another metric of these"
        )


def given_weights(tokens, tasks):
    """['mnli=0.7', 'mlm=0.3'] -> {task: weight}, one for every task, summing to 1; None without tokens."""
    if not tokens:
        return None
    weights = {}
    for token in tokens:
        name, _, value = token.partition("=")
        if name not in tasks or name in weights or not re.fullmatch(r"[\d.]+(e-\d+)?", value) or value.count(".") > 1:
            raise InputError(
                f"--mixing_weights {token}: write TASK=SHARE once for each of {', '.join(tasks)}, e.g. "
                f"{next(iter(tasks))}=0.5"
            )
        weights[name] = float(value)
    if set(weights) != set(tasks) or abs(sum(weights.values()) - 1) > 1e-6 or min(weights.values()) <= 0:
        raise InputError(
            f"--mixing_weights {' '.join(tokens)}: {', '.join(tasks)} each need a share above 0, and the shares must "
            "sum to 1"
        )
    return weights


def combined_defaults(tasks, args):
    """A single task's recipe, or the paper's for several: 3 epochs, and the lower learning rate where mlm is in it."""
    records = [task.defaults for task in tasks.values()]
    if args.config_name and not args.recipe:
        scratch = {"learning_rate": FROM_SCRATCH_RATE, "source": "from random weights: BERT's learning rate"}
        records = [dataclasses.replace(record, **scratch) for record in records]
    if len(records) == 1:
        return records[0]
    batches = {record.train_batch_size for record in records}
    masked = next((f"; learning rate with {name}" for name in ("mlm", "tlm") if name in tasks), "")
    source = f"X-STILTs Appendix A (from memory), multi-task{masked}"
    epochs, batch = MIXTURE_EPOCHS, batches.pop() if len(batches) == 1 else MIXTURE_BATCH
    return Defaults(min(record.learning_rate for record in records), epochs, batch, 0, source=source)


def check_files(plan, args, given):
    """Name every file that is missing, before anything loads."""
    if "mlm" in plan.tasks and not args.mlm_files:
        raise InputError("--tasks mlm: needs text; give --mlm_files 'data/text/*.txt', one file per language")
    if args.mlm_files and "mlm" not in plan.tasks:
        raise InputError(f"--mlm_files {args.mlm_files[0]}: mlm is not among --tasks; add it or leave the files out")
    if "tlm" in plan.tasks and not args.tlm_dirs:
        raise InputError(f"--tasks tlm: needs parallel lines; give --tlm_dirs DIR, folders of {FORMS}")
    if args.tlm_dirs and "tlm" not in plan.tasks:
        raise InputError(f"--tlm_dirs {args.tlm_dirs[0]}: tlm is not among --tasks; add it or leave the folders out")
    if args.tlm_dirs:
        find_pairs(args.tlm_dirs, "train", plan.languages)
    if args.data_dir is None and set(plan.tasks) & set(INTERMEDIATE):
        raise InputError(f"--data_dir is missing: name the folder with {next(iter(plan.tasks))}/")
    if args.data_dir and not os.path.isdir(args.data_dir):
        raise InputError(
            f"--data_dir {args.data_dir}: no such folder; download the intermediate tasks first or correct the path"
        )
    check_own_files(plan, given)
    for code in plan.languages:
        stages = {"train": "do_train", "dev": "do_eval"} if code == "en" else {"train": "do_train"}
        wanted = [split for split, stage in stages.items() if truthy(given.get(stage))]
        missing = [path for split in wanted for path in source_files(plan, args, split, code) if not path.exists()]
        if missing:
            flag = f"--task_languages {code}" if code != "en" else f"--tasks {' '.join(plan.tasks)}"
            what = f"{', '.join(map(str, missing[:6]))} {'does' if len(missing) == 1 else 'do'} not exist"
            raise InputError(f"{flag}: {what}; write the files, correct --data_dir or leave it out")


def check_own_files(plan, given):
    """InputError naming what an --extra_task lacks: none of it is below --data_dir."""
    wanted = [split for split, stage in (("train", "do_train"), ("dev", "do_eval")) if truthy(given.get(stage))]
    for name, task in plan.tasks.items():
        splits = [] if name in INTERMEDIATE or not task.files else wanted
        paths = [path for split in splits for path in path_of(task, ".", split, "en")]
        if missing := [str(path) for path in paths if not path.exists()]:
            what = f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not exist"
            raise InputError(
                f"--extra_task {name}: {what}; write {'it' if len(missing) == 1 else 'them'} or correct DIR"
            )


def source_files(plan, args, split, language):
    """Files of all data sets in one language; mlm's text and tlm's pairs count as English."""
    files = [
        path
        for _, record in plan.sources.values()
        if record.files
        for path in path_of(record, args.data_dir or ".", split, language)
    ]
    if language == "en" and args.mlm_files:
        files += sorted({Path(name) for pattern in args.mlm_files for name in glob.glob(pattern)})
    if language == "en" and args.tlm_dirs:
        pairs = find_pairs(args.tlm_dirs, split, plan.languages)
        files += [path for of_language in pairs.values() for both in of_language for path in both]
    return list(dict.fromkeys(files))
