"""Which operations a setting saw in training: what --train_noise contained, of `mixed` its operations."""

import numpy as np

from common.run_record import train_noise, trained_in
from noise import Noiser
from reporting.measure import contrast

SEEN, UNSEEN, IN_PART = "seen", "unseen", "in part"


def seen_operations(study):
    """{setting: the operations of its training noise} of the settings with any."""
    tagging = study.target.kind == "tagging"
    seen = {}
    for setting in study.settings:
        record = study.runs[study.members(setting)[0]].record
        for op, task in train_noise(record):
            own = seen.setdefault(setting, {op})
            for language in trained_in(record)[0] or ("en",):
                own |= operations_in(op, language, tagging and task == study.task)
    return seen


def operations_in(op, language="en", one_token=False):
    """Those that `mixed` draws from, else the operation itself."""
    return set(Noiser(op, 1, language, one_token=one_token).mix.shares) if op == "mixed" else {op}


def mark(op, seen):
    """Whether an operation was among those `seen`; `mixed` can be in part."""
    if op in seen:
        return SEEN
    return IN_PART if op == "mixed" and operations_in(op) & seen else UNSEEN


def compare_under(study, codes, ops):
    """measure.compare() of the mean over operations `ops`, over those of `codes` that any of them applies to."""
    columns = [study.quantities.index(op) for op in ops]
    having, points, again = [], [], []
    for one in (study.measured[code] for code in codes):
        own = [column for column in columns if np.isfinite(one.points[:, column]).all()]
        if own:
            having.append(one)
            points.append(one.points[:, own].mean(1))
            again.append(one.resamples[:, :, own].mean(2))
    return contrast(study, np.mean(points, axis=0), np.mean(again, axis=0), having) if having else None
