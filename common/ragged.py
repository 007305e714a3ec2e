"""Lists of unequal lengths as flat arrays: how features become tensors without a loop over examples."""

from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa


class Ragged(NamedTuple):
    """One column of some features: numbers, lists of them, or lists of lists."""

    values: np.ndarray  # all numbers, one after the other
    counts: list  # per level of nesting, outermost first: the lengths of its lists

    @classmethod
    def of_lists(cls, column):
        """From Python's lists, as rows of a Dataset have them."""
        counts = []
        while column and isinstance(column[0], (list, tuple)):
            counts.append(np.fromiter(map(len, column), np.int64, len(column)))
            column = list(chain.from_iterable(column))
        return cls(np.array(column), counts)

    @classmethod
    def of_arrow(cls, column):
        """From an Arrow array."""
        counts = []
        while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            counts.append(column.value_lengths().to_numpy())
            column = column.flatten()
        return cls(column.to_numpy(zero_copy_only=False), counts)

    def padded(self, sizes, fill):
        """An array of 64 bits [lists, *sizes], filled up behind every list."""
        return filled_up(self.values, self.counts, sizes, fill)

    def mask(self, sizes):
        """[lists, *sizes]: 1 where `padded` has a value of its own."""
        return filled_up(np.ones(len(self.values), np.int64), self.counts, sizes, 0)


def filled_up(values, counts, sizes, fill):
    for count, size in zip(reversed(counts), reversed(sizes)):
        table = np.full((len(count), size, *values.shape[1:]), fill, np.int64)
        table[np.arange(size) < count[:, None]] = values
        values = table
    return values


class Columns:
    """The columns of a Dataset that a Collator reads, flat, to take batches from."""

    def __init__(self, features, names):
        table = features.select_columns([name for name in names if name in features.column_names])
        table = table.with_format("arrow")[:]
        self.flat = {name: Ragged.of_arrow(table.column(name).combine_chunks()) for name in table.column_names}
        # of every list in the level below
        self.starts = {
            name: [np.cumsum(count) - count for count in column.counts] for name, column in self.flat.items()
        }

    @property
    def width(self):
        """Lists of tokens in a feature: 1, or the choices of the first."""
        counts = self.flat["input_ids"].counts
        return int(counts[0][0]) if len(counts) == 2 else 1

    def take(self, indices):
        """{name: Ragged} of some features."""
        return {name: self._taken(name, np.array(indices)) for name in self.flat}

    def _taken(self, name, indices):
        values, counts = self.flat[name]
        taken = []
        for count, starts in zip(counts, self.starts[name]):
            lengths = count[indices]
            taken.append(lengths)
            ends = np.cumsum(lengths)
            indices = np.repeat(starts[indices] - ends + lengths, lengths) + np.arange(ends[-1])
        return Ragged(values[indices], taken)
