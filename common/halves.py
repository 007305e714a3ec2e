"""The standard error of a measure that compares lines with each other, from values of random halves of them.

Used where it is measured and where runs are compared; alignment/intervals.py says why it is so.
"""

import numpy as np

NORMAL = 1.959964  # quantile of the normal distribution for intervals of 95 %


def standard_error(again):
    """Of the measure of all lines; `again` [halves], an array or CPU tensor, 2i and 2i + 1 of one split."""
    one, other = np.asarray(again)[::2], np.asarray(again)[1::2]
    apart, together = (one - other) / 2, (one + other) / 2
    single = (apart**2).mean()
    return float(np.sqrt(max(single - together.var(ddof=1), single / 2)))  # half of it is all where only pairs count
