"""Robust training as the command line has it: methods, their parameters and defaults, noise in training. No torch.

docs/robust.md says what each method computes, what it costs, and where every default comes from.
"""

import re
from dataclasses import asdict, dataclass

from common.arguments import FALSE, truthy
from common.files import InputError
from common.text import nearest

# method -> its parameters and their defaults; another method's parameter is refused.
METHODS = {
    "freelb": {"steps": 3, "step_size": 0.1, "eps": 0.3, "init": 0.1},
    "pgd": {"steps": 3, "step_size": 0.1, "eps": 0.3, "init": 0.0},
    "smart": {"steps": 1, "step_size": 1e-3, "init": 1e-5, "weight": 1.0},
    "r3f": {"eps": 1e-5, "noise": "uniform", "weight": 1.0},
    "rdrop": {"weight": 1.0},
}
SOURCES = {
    "freelb": "FreeLB's launch file for MNLI, its K + 1 passes",
    "pgd": "FreeLB's ball, to compare",
    "smart": "mt-dnn's perturbation.py",
    "r3f": "fairseq's sentence_prediction_r3f.py",
    "rdrop": "R-Drop, section 4",
}
NOISES = ("uniform", "normal")
PARTS = ("all", "question")
LEVELS, SHARE = (1, 2, 3), 0.5  # of --train_noise; with --consistency every example has a noised view
# Where a divergence from so small a change is measured, bfloat16 gives rounding errors: at an entry's usual 0.1 its
# steps are 5e-4, and changes of 1e-3 give twice float32's divergence.
COARSE = 0.01
# Kinds of tasks that it is for: masked words mean nothing to a perturbation, in-batch negatives tie examples together.
KINDS = ("classification", "tagging", "question_answering", "multiple_choice")
# Flags of TrainingArguments that --robust cannot go with.
APART = {
    "neftune_noise_alpha": "both perturb the word embeddings",
    "fp16": "gradients of perturbations overflow there (--bf16 works)",
    "torch_compile": "a compiled model does not see perturbations",
    "torch_compile_backend": "a compiled model does not see perturbations",
    "torch_compile_mode": "a compiled model does not see perturbations",
}
# method -> (forward, backward) passes of a step, and its time in plain steps; docs/robust.md has the measurement.
PASSES = {
    "freelb": lambda steps: (steps, steps, 1.0 * steps),
    "pgd": lambda steps: (steps + 1, steps + 1, 1 + 0.7 * steps),
    "smart": lambda steps: (steps + 2, steps + 1, 2 + 0.8 * steps),
    "r3f": lambda steps: (2, 2, 2.0),
    "rdrop": lambda steps: (2, 2, 2.0),
    "consistency": lambda steps: (2, 2, 2.2),
}


@dataclass(frozen=True)
class Robust:
    """How a training is made robust; what its method does not read is None."""

    method: str = "none"
    steps: int | None = None  # of the inner maximization
    step_size: float | None = None
    eps: float | None = None  # radius of an example's perturbation (FreeLB, PGD), scale of an entry's (R3F)
    init: float | None = None  # scale of the first perturbation
    weight: float | None = None  # of the divergence
    noise: str | None = None
    start_step: int = 0  # optimizer steps before it are plain
    part: str | None = None  # "question": of question answering, what stands before the context
    tasks: tuple = ()  # those of a mixture that it is for; (): all but masked LM
    train_noise: str | None = None  # operation
    levels: tuple = ()
    share: float | None = None  # of the examples that are noised
    consistency: float | None = None  # weight of the divergence between the views

    @property
    def active(self):
        return self.method != "none" or self.train_noise is not None

    @property
    def passes(self):
        """(forward, backward) passes of a training step, and its time in plain steps."""
        name = "consistency" if self.consistency is not None else self.method
        return PASSES[name](self.steps) if name in PASSES else (1, 1, 1.0)

    def as_given(self):
        """What decides the training, for its identity in run.json; {} where it is plain."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        parts = {}
        if self.method != "none":
            names = ("method", *METHODS[self.method], "start_step", "part")
            parts["robust"] = {name: values[name] for name in names if name in values}
        if self.train_noise:
            parts["train_noise"] = {"op": self.train_noise, "levels": list(self.levels), "share": self.share}
        if self.consistency is not None:
            parts["consistency"] = self.consistency
        if self.tasks:
            parts["robust_tasks"] = list(self.tasks)
        return parts


def add_robust(parser, several=False):
    """The flags of robust training, which both training scripts have; of `several` tasks some can be chosen."""
    add = parser.add_argument_group("robust training (docs/robust.md)").add_argument
    add("--robust", default="none", metavar="METHOD", help=f"none (default), {', '.join(METHODS)}")
    add("--robust_steps", type=int, help="freelb, pgd, smart: steps of the inner maximization")
    add("--robust_step_size", type=float, help="freelb, pgd, smart: length of such a step")
    add("--robust_eps", type=float, help="freelb, pgd: largest norm of an example's perturbation; r3f: scale of noise")
    add("--robust_init", type=float, help="freelb, pgd: norm that perturbations begin with; smart: scale of noise")
    add("--robust_weight", type=float, help="smart, r3f, rdrop: weight of the divergence of two passes")
    add("--robust_noise", help="r3f: uniform (default) or normal")
    add("--robust_start_step", type=int, default=0, help="optimizer steps before this one are plain")
    add("--robust_part", choices=PARTS, default="all", help="question answering: perturb all, or the question alone")
    if several:
        add(
            "--robust_tasks",
            nargs="+",
            metavar="TASK",
            help="tasks of a mixture that --robust and --train_noise are for (default: all but masked LM)",
        )
    add("--train_noise", metavar="OP[:LEVELS]", help="noise training texts anew in every epoch: mixed, keyboard:2-3")
    add("--train_noise_share", type=float, help=f"share of the examples that are noised ({SHARE}; --consistency: 1)")
    add("--consistency", type=float, metavar="W", help="clean and --train_noise's view, and W times their divergence")


def read_robust(args, tasks, given):
    """The Robust of a command line; InputError for what cannot be. `tasks` are the records of those trained."""
    if args.robust not in ("none", *METHODS):
        step = nearest(args.robust, METHODS)
        raise InputError(f"--robust {args.robust}: unknown{step}; choose from none, {', '.join(METHODS)}")
    values = dict(METHODS.get(args.robust, {}))
    for name in ("steps", "step_size", "eps", "init", "weight", "noise"):
        value = getattr(args, f"robust_{name}")
        if value is not None and name not in values:
            raise InputError(f"--robust_{name} {value}: --robust {args.robust} does not read it; leave it out")
        if value is not None:
            values[name] = value
    check_values(args, values)
    part = args.robust_part if args.robust_part != "all" else None
    chosen = tuple(vars(args).get("robust_tasks") or ())
    noise = read_noise(args)
    robust = Robust(args.robust, **values, start_step=args.robust_start_step, part=part, tasks=chosen, **noise)
    check_chosen(robust, tasks)
    if robust.active:
        check_together(robust, args, for_tasks(robust, tasks), given)
    return robust


def for_tasks(robust, tasks):
    """Those of the records that a Robust is for."""
    return [task for task in tasks if not robust.tasks or task.name in robust.tasks]


def check_chosen(robust, tasks):
    """InputError for a part or tasks that are not there, or that nothing reads."""
    kinds = {task.name: task.kind for task in tasks}
    for name in robust.tasks:
        if kinds.get(name) not in KINDS:
            usable = [task for task, kind in kinds.items() if kind in KINDS]
            reason = "not trained here" if name not in kinds else "not for robust training"
            raise InputError(f"--robust_tasks {name}: {reason}; name some of {', '.join(usable) or 'other --tasks'}")
    if robust.tasks and not robust.active:
        raise InputError(f"--robust_tasks {' '.join(robust.tasks)}: nothing is robust; add --robust or --train_noise")
    if robust.part and robust.method in ("none", "rdrop"):
        raise InputError(f"--robust_part {robust.part}: --robust {robust.method} perturbs nothing; leave it out")
    if robust.part and not any(task.kind == "question_answering" for task in for_tasks(robust, tasks)):
        raise InputError(f"--robust_part {robust.part}: only question answering has a context; leave it out")


def check_values(args, values):
    """InputError for numbers that are none, or out of range."""
    least = {"steps": 1, "step_size": 0, "eps": 0, "init": 0, "weight": 0}
    for name, value in values.items():
        if name in least and not least[name] <= value <= 1e6:  # NaN is neither
            raise InputError(
                f"--robust_{name} {value}: must be from {least[name]} to 1e6; leave it out for the default"
            )
    if values.get("noise", NOISES[0]) not in NOISES:
        raise InputError(f"--robust_noise {values['noise']}: unknown; choose from {', '.join(NOISES)}")
    if args.robust_start_step < 0:
        raise InputError(f"--robust_start_step {args.robust_start_step}: must be at least 0; leave it out for 0")
    if args.robust_start_step and args.robust == "none":
        raise InputError(
            f"--robust_start_step {args.robust_start_step}: nothing starts; give --robust, or leave it out"
        )


def read_noise(args):
    """The fields of Robust that say how training texts are noised."""
    for name in ("train_noise_share", "consistency"):
        if getattr(args, name) is not None and not args.train_noise:
            raise InputError(
                f"--{name} {getattr(args, name)}: says nothing without --train_noise; add that, e.g. mixed"
            )
    if not args.train_noise:
        return {}
    op, separator, text = args.train_noise.partition(":")
    levels = read_levels(text) if separator else LEVELS
    if not levels:
        raise InputError(f"--train_noise {args.train_noise}: write levels 1 to 5 as in {op}:2, {op}:1,3 or {op}:1-3")
    share = args.train_noise_share
    if share is not None and not 0 < share <= 1:
        raise InputError(f"--train_noise_share {share}: must be above 0 and at most 1; leave it out for the default")
    if args.consistency is not None and not 0 <= args.consistency <= 1e6:
        raise InputError(f"--consistency {args.consistency}: must be from 0 to 1e6; 1 is a good start")
    share = share or (SHARE if args.consistency is None else 1.0)
    return {"train_noise": op, "levels": levels, "share": share, "consistency": args.consistency}


def read_levels(text):
    """'2' -> (2,); '1,3' -> (1, 3); '1-3' -> (1, 2, 3); () where it is none of these."""
    if re.fullmatch("[1-5]-[1-5]", text):
        return tuple(range(int(text[0]), int(text[2]) + 1))
    return tuple(sorted({int(level) for level in text.split(",")})) if re.fullmatch("[1-5](,[1-5])*", text) else ()


def check_together(robust, args, tasks, given):
    """InputError for what robust training cannot go with."""
    flag = f"--robust {robust.method}" if robust.method != "none" else f"--train_noise {args.train_noise}"
    if not truthy(given.get("do_train")):
        raise InputError(f"{flag}: nothing is trained; add --do_train, or leave it out")
    if not any(task.kind in KINDS for task in tasks):
        raise InputError(f"{flag}: not for {tasks[0].name}, only for {', '.join(KINDS)}; leave it out")
    if robust.method != "none":
        if robust.consistency is not None:
            raise InputError(f"{flag} with --consistency: both add a second pass; choose one of them")
        for name, reason in APART.items():
            if given.get(name, "false").lower() not in FALSE:
                raise InputError(f"{flag} with --{name}: {reason}; leave one of them out")
    if coarse(robust) and truthy(given.get("bf16")):
        raise InputError(f"{flag} with --bf16: {coarse(robust)}; leave --bf16 out")


def coarse(robust):
    """Why a method's passes must be float32, "" where they need not be."""
    names = {"r3f": ["eps"], "smart": ["init", "step_size"]}.get(robust.method, [])
    small = [f"{name} {getattr(robust, name):g}" for name in names if getattr(robust, name) < COARSE]
    return f"{small[0]} is below what bfloat16 resolves (about {COARSE})" if small else ""


def robust_origins(robust, args):
    """[(name, value, where it comes from)] of what is robust about a training."""
    source, values = SOURCES.get(robust.method), []
    if source:
        values = [("robust", robust.method, "given")]
        for name in METHODS[robust.method]:
            given = getattr(args, f"robust_{name}") is not None
            values.append((f"robust_{name}", getattr(robust, name), "given" if given else source))
        values.append(("robust_start_step", robust.start_step, "given" if robust.start_step else "default"))
        values.append(("robust_part", robust.part or "all", "given" if robust.part else "default"))
    if robust.train_noise:
        levels = ",".join(map(str, robust.levels))
        values.append(("train_noise", f"{robust.train_noise}:{levels}", "given"))
        values.append(("train_noise_share", robust.share, "given" if args.train_noise_share else "default"))
    if robust.consistency is not None:
        values.append(("consistency", robust.consistency, "given"))
    if robust.tasks:
        values.append(("robust_tasks", " ".join(robust.tasks), "given"))
    if robust.active:
        forward, backward, cost = robust.passes
        values.append(("passes per step", f"{forward} + {backward}", f"forward + backward: {cost:.1f} x a plain step"))
    return values
