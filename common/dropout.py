"""Equal dropout in several passes: the states of the generators that dropout draws from, kept and restored."""

import torch


def generator_states():
    """What dropout draws from, on the CPU and the GPU of this process."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


def restore(states):
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1])
