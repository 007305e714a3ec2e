"""Intervals over sentences, by the method that is valid for each measure.

Means over lines (hits, cosines of pairs): percentile bootstrap of the lines' values, the pool of candidates being
fixed; a resampled pool would hold the same sentence twice.

CKA, RSA, shift, which compare lines with each other: random splits into halves T and T', without replacement, as rows
drawn with replacement are perfectly similar pairs and push CKA of independent data from 0 to 0.27. What single lines
contribute to the variance of the whole is that of (T - T')/2; what pairs of lines contribute comes to it twice, and to
that of (T + T')/2 once: the standard error is the root of the difference of both.

Draws depend on the seed and the number of lines alone: all languages, layers, conditions and models share them, so
that their differences are paired.
"""

from functools import lru_cache

import numpy as np
import torch

from common.halves import NORMAL, standard_error

DRAWS, HALVES = 2000, 200
LEVEL = 95  # percent


@lru_cache(maxsize=2)
def draws(lines, seed=0, device="cpu"):
    """Share of each line in each resample with replacement, float32 [DRAWS, lines]."""
    random, shares = np.random.default_rng([seed, lines]), np.empty((DRAWS, lines), np.float32)
    for row in shares:
        row[:] = np.bincount(random.integers(lines, size=lines), minlength=lines)
    return torch.from_numpy(shares / lines).to(device)


@lru_cache(maxsize=2)
def halves(lines, seed=0, device="cpu"):
    """Random halves of the lines, float32 [lines, HALVES] of 0 and 1; columns 2i and 2i + 1 are of one split."""
    random, chosen = np.random.default_rng([seed, lines, 1]), np.zeros((lines, HALVES), np.float32)
    for column in range(0, HALVES, 2):
        order = random.permutation(lines)
        chosen[order[: lines // 2], column] = chosen[order[lines // 2 : lines // 2 * 2], column + 1] = 1
    return torch.from_numpy(chosen).to(device)


@lru_cache(maxsize=2)
def shuffle(lines, seed=0):
    """A random order of the lines, for the floor of what shuffled lines have."""
    return torch.from_numpy(np.random.default_rng([seed, lines, 2]).permutation(lines))


def of_means(values, seed=0):
    """(low, high), each [columns], of the means of values [lines, columns]."""
    again = draws(len(values), seed, values.device) @ values.float()
    tail = (100 - LEVEL) / 200
    return [row.tolist() for row in torch.quantile(again, torch.tensor([tail, 1 - tail], device=again.device), dim=0)]


def of_ratio(above, below, seed=0):
    """(low, high) of sum(above) / sum(below), each [lines]; draws without any of `below` do not count."""
    shares = draws(len(above), seed, above.device)
    above, below = (shares @ side.float() for side in (above, below))
    again = (above / below)[below > 0]
    return tuple(np.percentile(again.cpu().numpy(), [(100 - LEVEL) / 2, (100 + LEVEL) / 2]).tolist())


def of_halves(value, again, least=-1.0, most=1.0):
    """(low, high) of a value from those of the random halves, within the measure's range."""
    half = NORMAL * standard_error(again.cpu())
    return max(least, value - half), min(most, value + half)
