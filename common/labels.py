"""Where a label is mapped: between its name (in files, tables and predictions) and the index of a model's class.

`labels` is everywhere a tuple of names in the order of the model's classes: that of tasks.py, or of the checkpoint
whose head is kept. () is a task without named labels, such as question answering.
"""

from itertools import chain

from common.files import InputError

IGNORED = -100  # the label that no loss counts, in PyTorch and transformers
LABELED = ("classification", "tagging")  # kinds of tasks whose labels have names
# Where a word's tag is read: at its first piece (XTREME's protocol), or at the first that is not a bare "▁".
TAG_PIECES = ("first", "first_letter")
FIRST = TAG_PIECES[0]


def check_label(path, number, label, labels):
    """Return the label's name. Integers index `labels` in Hub ClassLabel order; anything else must be a name in it."""
    name = labels[label] if type(label) is int and 0 <= label < len(labels) else label
    if name not in labels:
        raise InputError(f"{path}, line {number}: unknown label {label!r}; the task's labels are {', '.join(labels)}")
    return name


def labels_in(rows):
    """The label names of training data, sorted: the classes of a task that has no table of them (CCG, own data)."""
    return tuple(sorted(set(rows["label"] if "label" in rows.column_names else chain.from_iterable(rows["tags"]))))


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
