"""What the runs of a study are called, what each starts from, which files it reads: for the Snakefile.

`settings` is what study.py reads. A run's name is that of its folder below outputs/, of its log and of its stamp.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tasks import INTERMEDIATE, NINE, TARGETS

ROOT = Path(__file__).resolve().parents[1]
UNTRAINED = ("retrieval",)  # kinds of targets that train nothing: one run says all


@dataclass(frozen=True)
class Encoder:
    """What phase 3 starts from: a model, or what phase 2 makes of it."""

    name: str
    model: str  # key of settings.models, "model" where there is one
    setting: str
    seed: str  # of phase 2
    tasks: tuple = ()  # of phase 2; () where there is none
    phase2_flags: str = ""
    phase3_flags: str = ""


def encoders(settings):
    """{name: Encoder} of all settings, models and seeds of phase 2; the baseline's first."""
    return {encoder.name: encoder for encoder in _encoders(settings, [settings.baseline, *settings.intermediates])}


def heads(settings):
    """{name: Encoder} whose heads some targets start from: settings.keep_head, as XCOPA from SIQA."""
    seed = settings.phase2_seeds[0]
    return {name: Encoder(name, "model", name, seed, (name,)) for name in settings.keep_head.values()}


def _encoders(settings, names):
    for model in settings.models or ["model"]:
        for setting in dict.fromkeys(names):
            variant = settings.variants.get(setting, {"tasks": " ".join(of_phase2(setting))})
            tasks = tuple(variant.get("tasks", "").split())
            flags = [in_place(settings, variant.get(name, "")) for name in ("phase2_flags", "phase3_flags")]
            for index, seed in enumerate(settings.phase2_seeds if tasks else settings.phase2_seeds[:1]):
                first = [model] if settings.models else []
                name = "-".join([*first, setting, *([f"encoder{seed}"] if index else [])])
                yield Encoder(name, model, setting, seed, tasks, *flags)


def of_phase2(setting):
    """The tasks that a setting is named after; [] of any other name, such as the baseline's."""
    names = setting.split("+")
    return names if {*names} <= {*INTERMEDIATE, "all"} else []


def in_place(settings, flags):
    """A variant's flags, in which $PARALLEL_DIR stands for that setting."""
    return flags.replace("$PARALLEL_DIR", shlex.quote(settings.parallel_dir))


@dataclass(frozen=True)
class Run:
    """A run of run_xtreme.py."""

    encoder: Encoder
    target: str
    examples: str  # of training: a number, or "all"
    seed: str

    @property
    def name(self):
        return f"{self.encoder.name}-{self.target}{part(self.examples)}-seed{self.seed}"


def part(examples):
    return "" if examples == "all" else f"-{examples}examples"


def trains(target):
    return TARGETS[target].kind not in UNTRAINED


def fine_tuned(settings):
    """{name: Run}: every encoder on every target, for every number of training examples and every seed.

    What trains nothing has one run, and none for a setting that differs in phase 3 alone.
    """
    runs = {}
    for encoder in encoders(settings).values():
        for target in settings.targets:
            if not trains(target) and encoder.phase3_flags and not encoder.tasks:
                continue
            for examples in settings.examples if trains(target) else ["all"]:
                for seed in settings.seeds if trains(target) else settings.seeds[:1]:
                    run = Run(encoder, target, examples, seed)
                    runs[run.name] = run
    return runs


def first_runs(settings, targets):
    """The runs on these targets with the first seeds, most examples: whose encoders are aligned, who are attacked."""
    encoder_seed, seed = settings.phase2_seeds[0], settings.seeds[0]
    return [run for run in fine_tuned(settings).values() if (run.encoder.seed, run.seed) == (encoder_seed, seed)
            and run.target in targets and run.examples == settings.examples[-1] and trains(run.target)]  # fmt: skip


@dataclass(frozen=True)
class Translation:
    """A decoder on an encoder: frozen, as a probe; or both trained on from there; or a floor that shows nothing."""

    setting: str
    encoder: Encoder  # of a floor: the model itself
    seed: str
    unfrozen: bool = False

    @property
    def name(self):
        return f"{self.setting}-{'unfrozen' if self.unfrozen else 'translation'}-seed{self.seed}"

    @property
    def probe(self):
        """The run that an unfrozen one goes on from."""
        return f"{self.setting}-translation-seed{self.seed}"


def translations(settings):
    """{name: Translation}: every encoder with every decoder, then unfrozen where there are flags for it; floors."""
    if not settings.pairs:
        return {}
    compared = [(encoder.name, encoder) for encoder in encoders(settings).values()]
    floors = [(name, Encoder(name, "model", name, "")) for name in settings.floors]
    seeds = settings.decoder_seeds
    every = [Translation(name, encoder, seed) for name, encoder in compared + floors for seed in seeds]
    if settings.unfrozen_flags:
        every += [Translation(name, encoder, seed, unfrozen=True) for name, encoder in compared for seed in seeds]
    return {one.name: one for one in every}


def conditions(settings):
    """Names of the noised copies that every run predicts."""
    draws = range(1, settings.replicates) if settings.worst_of and settings.ops else ()
    return [*(f"{op}-{level}" for op in settings.ops for level in settings.levels),
            *(f"{settings.worst_of}-r{draw}" for draw in draws)]  # fmt: skip


def attacks(settings):
    """{name: (attack, run that is attacked)}: every attack on every target and attacked setting (default: all)."""
    runs = first_runs(settings, settings.attack_targets)
    chosen = [run for run in runs if not settings.attack_settings or run.encoder.setting in settings.attack_settings]
    return {
        f"{attack}-{run.encoder.name}-{run.target}": (attack, run) for attack in settings.attacks for run in chosen
    }


def attacked(settings, target):
    """{condition: its folder below the study's}: the texts found, and those of the random control."""
    folders = {}
    for name, (attack, run) in attacks(settings).items():
        if run.target == target:
            control = f"random-{attack.partition('-')[2]}"
            folders |= {name: f"attacked/{name}/{attack}", f"{name}-random": f"attacked/{name}/{control}"}
    return folders


def data_files(folder, names, languages=()):
    """Files of given data that a step reads, so that it looks again when they change; with `languages`, theirs only.

    The files of tasks `names` below a folder, or all of `folder` itself for an empty name; [] where nothing is there.
    """
    paths = []
    for name in names:
        top = ROOT / folder / name
        paths += sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else []
    return [str(path) for path in paths if spoken(path.name, languages)]


def spoken(name, languages):
    """Whether a file is of one of these languages, or of none: its name holds codes between - and dots."""
    codes = [code for code in re.split(r"[-.]", name.rpartition(".")[0]) + [name.rpartition(".")[2]] if code in CODES]
    return not languages or not codes or set(codes) <= {*languages, "en"}


def text_of(settings):
    """Files and folders of all text that a study's encoders meet: test sets, noised copies, intermediate tasks."""
    tasks = {task for encoder in encoders(settings).values() for task in encoder.tasks}
    files, noised = data_files(settings.data_dir, settings.targets, settings.languages), []
    if settings.targets and settings.ops:
        noised += [f"{settings.output}/noised"]
    if settings.alignment or settings.pairs:
        noised += [f"{settings.output}/parallel"] if settings.ops else []
        files += data_files(settings.parallel or f"{settings.data_dir}/tatoeba", [""], settings.languages)
    if settings.pairs:
        files += data_files(settings.pairs, [""])  # of all languages: phase 2 may read them too
    return [*files, *noised, *intermediate_files(settings, tasks)]


CODES = {code for task in TARGETS.values() for version in task.languages.values() for code in version}


def intermediate_files(settings, tasks):
    """Files of phase 2's tasks and of the parts that some consist of."""
    names = [name for token in tasks for name in (NINE if token == "all" else [token])]
    parts = [part for name in names if name in INTERMEDIATE for part in (INTERMEDIATE[name].parts or (name,))]
    return data_files(settings.intermediate_dir, dict.fromkeys(parts))


def aligned(settings):
    """{name: (Encoder, Run or None)} whose languages are lined up: all encoders, and the first runs on the targets."""
    if not settings.alignment:
        return {}
    tuned = {f"{run.encoder.name}-{run.target}-alignment": (run.encoder, run)
             for run in first_runs(settings, settings.targets)}  # fmt: skip
    return {f"{encoder.name}-alignment": (encoder, None) for encoder in encoders(settings).values()} | tuned


def baselines(settings):
    """The baseline's folders, one setting of every task: of the first model, with most training examples."""
    first = next(iter(settings.models), "model")
    every = {name: run.encoder for name, run in fine_tuned(settings).items()
             if run.examples == (settings.examples[-1] if trains(run.target) else "all")}  # fmt: skip
    every |= {name: encoder for name, (encoder, run) in aligned(settings).items() if run is None}
    return [f"{settings.output}/outputs/{name}" for name, encoder in every.items()
            if (encoder.setting, encoder.model) == (settings.baseline, first)]  # fmt: skip


def named_runs(settings):
    """report.py's --runs: the study's own, and not what other settings left beside them.

    By name the settings that their tasks do not tell apart, or whose targets start from several encoders.
    """
    named = {name for name in settings.intermediates if set(settings.variants.get(name, {})) - {"tasks"}}

    def label(encoder):
        if settings.keep_head or encoder.setting in named:
            return "-".join([*([encoder.model] if settings.models else []), encoder.setting]) + "="
        return ""

    every = {name: run.encoder for name, run in fine_tuned(settings).items()}
    every |= {name: encoder for name, (encoder, _) in aligned(settings).items()}
    return [f"{label(encoder)}{settings.output}/outputs/{name}" for name, encoder in every.items()]


def named_translations(settings, unfrozen):
    """report.py's --runs and --baseline of one stage: NAME=FOLDER, as no parent tells these settings apart."""
    outputs, base = f"{settings.output}/outputs", settings.baseline
    named = {one.name: f"{one.setting}={outputs}/{one.name}" for one in translations(settings).values()
             if one.unfrozen == unfrozen}  # fmt: skip
    return list(named.values()), [text for text in named.values() if text.startswith(f"{base}=")]


def quoted(words):
    return " ".join(shlex.quote(str(word)) for word in words)
