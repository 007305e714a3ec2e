"""Exact nearest neighbors by inner product: Tatoeba, BUCC, LAReQA, Mewsli-X and alignment.

All search is in blocks, so memory holds the vectors and one block of similarities, on the device of the run. Of equal
similarities the lower index comes first, whatever the blocks: torch's topk leaves that open.
"""

import numpy as np
import torch

from common import launching

BLOCK = 8192  # rows and columns of one block of similarities
CHUNK = 32  # columns whose largest similarity stands for them


def normalize(vectors):
    """L2-normalized rows; a zero vector stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def top_k(queries, candidates, k, block=BLOCK):
    """(similarities, indices) of every query's k nearest candidates, each [queries, k], best first.

    queries [n, width], candidates [m, width]; fewer than k where there are fewer candidates.
    """
    best = _Best(len(queries), min(k, len(candidates)))
    for row, column, similarities in _blocks(queries, candidates, block):
        best.update(row, similarities, column)
    return best.arrays()


def neighbors(x, y, k, block=BLOCK):
    """`top_k` in both directions, in one pass: of x [n, width] in y [m, width], and of y in x.

    Memory: one block x block matrix plus n*k + m*k.
    """
    forward, backward = _Best(len(x), min(k, len(y))), _Best(len(y), min(k, len(x)))
    for row, column, similarities in _blocks(x, y, block):
        forward.update(row, similarities, column)
        backward.update(column, similarities.T, row)
    return forward.arrays(), backward.arrays()


def _blocks(x, y, block):
    """(first row, first column, similarities) of every block of x @ y.T, rows and columns ascending."""
    device = launching.search_device()
    x, y = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    for row in range(0, len(x), block):
        for column in range(0, len(y), block):
            yield row, column, x[row : row + block] @ y[column : column + block].T


class _Best:
    """Running top-k of rows whose candidates arrive block by block, in the order of their indices."""

    def __init__(self, rows, k):
        self.values = torch.full((rows, k), -torch.inf, device=launching.search_device())
        self.indices = torch.zeros((rows, k), dtype=torch.int64, device=self.values.device)

    def update(self, row, similarities, first_column):
        best, columns = _stable_top_k(similarities, min(self.values.shape[1], similarities.shape[1]))
        own = slice(row, row + len(similarities))
        values = torch.cat((self.values[own], best), dim=1)
        indices = torch.cat((self.indices[own], columns + first_column), dim=1)
        # earlier columns stand first, where a stable sort leaves them
        values, order = values.sort(dim=1, descending=True, stable=True)
        k = self.values.shape[1]
        self.values[own], self.indices[own] = values[:, :k], indices.gather(1, order[:, :k])

    def arrays(self):
        return self.values.cpu().numpy(), self.indices.cpu().numpy()


def _stable_top_k(similarities, k):
    """(values, columns), each [rows, k], lower columns first among equals.

    The k best lie in the k chunks with the largest maxima, so that torch's topk, which takes longer than the product
    of the vectors, sees those alone.
    """
    rows, columns = similarities.shape
    if columns <= 2 * k * CHUNK:
        return _top_k_of_few(similarities, k)
    whole = columns // CHUNK * CHUNK
    chunks = _top_k_of_few(_maxima(similarities[:, :whole]), k)[1].sort(dim=1).values
    within, _, rest = torch.arange(columns, device=chunks.device).tensor_split((CHUNK, whole))
    kept = torch.cat(((chunks[:, :, None] * CHUNK + within).flatten(1), rest.expand(rows, -1)), dim=1)
    values, places = _top_k_of_few(similarities.gather(1, kept), k)
    return values, kept.gather(1, places)


def _maxima(similarities):
    """[rows, chunks]; along the memory of a transposed matrix too, across it takes 15 times as long."""
    if similarities.stride(1) == 1:
        return similarities.unflatten(1, (-1, CHUNK)).amax(2)
    return similarities.T.unflatten(0, (-1, CHUNK)).amax(1).T


def _top_k_of_few(similarities, k):
    """(values, columns) as above; only rows with equals are sorted whole."""
    values, columns = similarities.topk(k, dim=1)
    equals = (values[:, 1:] == values[:, :-1]).any(1) | ((similarities >= values[:, -1:]).sum(1) > k)
    rows = equals.nonzero()[:, 0]
    columns[rows] = similarities[rows].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return values, columns  # the values are the same in any order of equals
