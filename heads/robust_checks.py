"""Whether a training can be robust as its command line says: what must be known before torch is imported."""

from common.files import InputError
from common.robust_flags import for_tasks, read_robust
from noise import NoiseError, Noiser
from noise.operations import OPERATIONS

FLIPPED = ("pawsx",)  # tasks whose labels turn on word order and lost words, as in perturb.py


def check_robust(args, tasks, languages, given):
    """The Robust of a command line; InputError for what cannot be. `tasks` are the records of those trained, in
    `languages`.
    """
    robust = read_robust(args, tasks, given)
    op, flag = robust.train_noise, f"--train_noise {robust.train_noise}"
    if op is None:
        return robust
    try:
        for language in languages:
            Noiser(op, robust.levels[0], language)
    except NoiseError as error:
        raise InputError(f"{flag}: {error}") from None
    for task in for_tasks(robust, tasks):
        if task.name in FLIPPED and OPERATIONS[op].flips:
            raise InputError(
                f"{flag}: may flip the labels of {task.name}, which turn on word order and lost words; choose another"
            )
        if task.kind == "tagging" and OPERATIONS[op].splits:
            raise InputError(f"{flag}: changes the number of {task.name}'s tokens, which carry one tag each")
    return robust
