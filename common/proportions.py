"""The interval of a share, for what is printed and what is reported. Standard library only."""

from math import sqrt

NORMAL = 1.959964  # quantile of the normal distribution for intervals of 95 %


def wilson(hits, number):
    """(low, high) of Wilson's score interval of 95 %, in percent; of nothing, everything is possible."""
    if not number:
        return 0.0, 100.0
    share, square = hits / number, NORMAL**2 / number
    middle = share + square / 2
    half = NORMAL * sqrt(share * (1 - share) / number + square / (4 * number))
    return tuple(100 * max(0.0, min(1.0, (middle + side * half) / (1 + square))) for side in (-1, 1))
