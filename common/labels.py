"""Where a label is mapped: between its name (in files, tables and predictions) and the index of a model's class.

`labels` is everywhere a tuple of names in the order of the model's classes: that of tasks.py, or of the checkpoint
whose head is kept. () is a task without named labels, such as question answering.
"""

import dataclasses
import logging
from itertools import chain

from common.files import InputError

logger = logging.getLogger("xtreme")

IGNORED = -100  # the label that no loss counts, in PyTorch and transformers
ALIASES = {"contradictory": "contradiction"}  # XNLI's machine-translated training files have it; XTREME maps it
LABELED = ("classification", "tagging")  # kinds of tasks whose labels have names
# Where a word's tag is read: at its first piece (XTREME's protocol), or at the first that is not a bare "▁".
TAG_PIECES = ("first", "first_letter")
FIRST = TAG_PIECES[0]
# How an answer's text is found: by the characters of its sub-tokens, or as XTREME's scripts do (heads/qa_decoding.py).
SPAN, XTREME = QA_DECODINGS = ("span", "xtreme")


def check_label(path, number, label, labels):
    """Return the label's name. Integers index `labels` in Hub ClassLabel order; anything else must be a name in it.

    A task without a table of labels takes those of its data.
    """
    if not labels:
        return own_label(path, number, label)
    name = labels[label] if type(label) is int and 0 <= label < len(labels) else label
    if type(name) is str and name not in labels:
        name = ALIASES.get(name, name)
    if type(name) is not str or name not in labels:
        raise InputError(f"{path}, line {number}: unknown label {label!r}; the task's labels are {', '.join(labels)}")
    return name


def own_label(path, number, label):
    """The name of a label of a task without a table: a text, or an integer from 0 as many data sets have.

    Anything else would become classes that nobody meant: null, floats (a regression task), -1 (no label).
    """
    if type(label) is int and label >= 0:
        return str(label)
    if type(label) is not str or not label.strip():
        step = "remove rows without a label, write others as texts or as integers from 0"
        raise InputError(f"{path}, line {number}: label {label!r} is neither a name nor a class's number; {step}")
    return label


def check_alike(path, labels):
    """Refuse label names, in the order of a file, that differ by case or blanks alone: they are two classes."""
    spelled = {}
    for label in dict.fromkeys(labels):
        other = spelled.setdefault(label.strip().casefold(), label)
        if other != label:
            raise InputError(f"{path}: the labels {other!r} and {label!r} differ by case or blanks; write them alike")
        if label != label.strip():
            raise InputError(f"{path}: the label {label!r} has blanks around it; remove them")


def labels_in(rows):
    """The label names of training data, sorted: the classes of a task that has no table of them (CCG, own data)."""
    return tuple(
        sorted(set(rows["label"][:] if "label" in rows.column_names else chain.from_iterable(rows["tags"][:])))
    )


def with_labels(task, rows, stored):
    """A task's record with labels: an own task has those of its training rows, or of the head: `stored()`.

    rows {"train", "dev", (condition, language)}: labels that no class stands for are refused or told.
    """
    if task.labels or task.kind not in LABELED:
        return task
    labels = labels_in(rows["train"]) if "train" in rows else stored()
    if not labels:
        return task  # loading the model will say that it has no head
    if len(labels) < 2:
        raise InputError(f"{task.name}: its only label is {labels[0]!r}; a task needs at least two")
    for place, of_place in rows.items():
        which = " ".join(place) if isinstance(place, tuple) else place
        if of_place[0]["label" if task.kind == "classification" else "tags"] is not None:
            check_trained(f"{task.name} ({which})", labels, of_place, task.kind)
    return dataclasses.replace(task, labels=labels)


def check_trained(which, labels, rows, kind):
    """A label of a dev or test set that no class stands for: refused, or of single words' tags (rare ones) told.

    It cannot be predicted, so every example with it counts as an error.
    """
    unseen = [name for name in labels_in(rows) if name not in labels]
    if not unseen:
        return
    problem = f"{which} has labels that training has not: {', '.join(map(repr, unseen[:6]))}"
    if kind == "tagging" and len(unseen) < len(labels_in(rows)):
        words = sum(tag in unseen for tags in rows["tags"][:] for tag in tags)
        logger.warning("%s; the %d words with them count as errors", problem, words)
        return
    raise InputError(f"{problem}; give both files the same labels, or training more examples")


class LabelIndices(dict):
    """{name: index of its class}; a name that training never saw cannot be predicted: IGNORED."""

    def __init__(self, labels):
        super().__init__((name, index) for index, name in enumerate(labels))

    def __missing__(self, name):
        return IGNORED


def names_of(indices, labels):
    """The label names of class indices, as predictions have them."""
    return [labels[index] for index in indices]


def name_classes(config, labels):
    """Write a model's label names into its configuration.

    Without labels there are two classes, whatever the parent had: a QA head is as wide as the configuration has
    labels, and its outputs are start and end.
    """
    indices = LabelIndices(labels or ("LABEL_0", "LABEL_1"))
    config.id2label, config.label2id = {index: name for name, index in indices.items()}, dict(indices)


def check_same_labels(path, which, stored, labels, advice="train a new head with --do_train, without --keep_head"):
    """Raise InputError where a stored head has other labels than the task; their order may differ."""
    if labels and sorted(stored) != sorted(labels):
        problem = f"{which} knows the labels {', '.join(stored) or '(none)'}, the task has {', '.join(labels)}"
        raise InputError(f"--model_name_or_path {path}: {problem}; {advice}")
