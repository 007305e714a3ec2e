"""The sections of a task's part of the page: each a function (study, keys, args) -> (tables, figures).

`keys` {setting: its Source's key}, `args` those of report.py. One more section is one more function in SECTIONS.
"""

from common.task_records import TRANSLATION
from reporting.alignment import alignment_tables
from reporting.alignment_answer import alignment_answer, answer_table
from reporting.alignment_figures import alignment_figures
from reporting.attacks import attacks
from reporting.figures import figures
from reporting.groups import headline_groups
from reporting.scale import scale_answer, scale_section
from reporting.tables import (
    clean_table,
    differences_table,
    figure_scores,
    groups_table,
    operations_table,
    robustness_table,
    seen_table,
)
from reporting.translation import low_resource_table, translation_answer, translation_section


def scores(study, keys, args):
    return [clean_table(study, keys)], []


def robustness(study, keys, args):
    if not study.operations:
        return [], []
    groups = headline_groups(study.languages)
    if len(groups) > 1:
        groups.pop("all but English", None)  # its scripts are drawn apart, where they are known
    return [robustness_table(study, keys), *seen_table(study, keys)], figures(figure_scores(study), groups)


def details(study, keys, args):
    if not study.operations:
        return [], []
    return [operations_table(study, keys), groups_table(study, keys)], []


def scale(study, keys, args):
    return scale_section(study, keys, args.scale) if study.operations else ([], [])


def differences(study, keys, args):
    if len(study.settings) == 1:
        return [], []
    return [
        differences_table(study, keys, "Differences from the baseline", by_language=False),
        differences_table(study, keys, "Differences by language", by_language=True),
    ], []


def translation(study, keys, args):
    return translation_section(study, keys)


def low_resource(study, keys, args):
    table = low_resource_table(study, keys) if study.task == TRANSLATION.name else None
    return [table] * bool(table), []


SECTIONS = (low_resource, translation, scores, robustness, details, attacks, scale, differences)


def alignment_section(study, keys, studies):
    """(tables, figures) of the Alignment of a report, whose other `studies` are tasks."""
    first = [answer_table(study, keys)] * (len(study.runs) > 1)
    return [*first, *alignment_tables(study, keys, studies)], alignment_figures(study)


def section_answers(studies, alignment=None, by_size=False):
    """[(what it is about, sentence)] of the sections that answer a question of their own, before those of tasks."""
    said = [("alignment", alignment_answer(alignment))] if alignment else []
    for study in studies:
        if study.task == TRANSLATION.name:
            said.append(("low-resource", translation_answer(study)))
        if by_size and study.operations:
            said.append((f"{study.task}, by size", scale_answer(study)))
    return [(name, words) for name, words in said if words]
