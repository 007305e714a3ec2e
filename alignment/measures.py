"""Measures of alignment between two matrices of sentence vectors, row i of both being translations of each other.

x, y: float32 [lines, width]. Pure functions of tensors. Sources and traps of each are in docs/alignment.md; the
debiased HSIC is that of Song et al. (2012), CSLS that of Conneau et al. (2018).
"""

import torch

CSLS_NEIGHBORS = 10


def unit(x):
    """Rows of length 1; a zero row stays zero."""
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def z_scored(x):
    """Every dimension with mean 0 and standard deviation 1: none outweighs the others; constant ones become 0."""
    x = x - x.mean(0)
    return x / x.std(0, unbiased=False).clamp_min(1e-12)


# --- Retrieval -------------------------------------------------------------------------------------------------------


def csls_vectors(x, y, mean_x, mean_y):
    """Vectors whose inner products are the CSLS scores 2 cos(x, y) - r(x) - r(y).

    x, y are unit rows, mean_x and mean_y their mean cosines r to the nearest rows of the other side, [lines]. So the
    blockwise search by inner product finds the best by CSLS among all candidates, not only among the k nearest.
    """
    one = torch.ones(len(x), 1, dtype=x.dtype, device=x.device)
    x = torch.cat((2**0.5 * x, mean_x[:, None], one), dim=1)
    one = torch.ones(len(y), 1, dtype=y.dtype, device=y.device)
    return x, torch.cat((2**0.5 * y, -one, -mean_y[:, None]), dim=1)


def pair_gaps(x, y):
    """[lines]: cosine of each pair of unit rows minus those of its rows with all others.

    Their mean is the mean cosine of pairs minus that of i != j; what a line adds to the latter is on both sides of it,
    so that the values are the line's whole share in the gap, and resampling them gives the gap's interval.
    """
    n, pairs = len(x), (x * y).sum(1)
    others = (x @ y.sum(0) + y @ x.sum(0) - 2 * pairs) / (n - 1)
    return pairs - others + mean_of_others(x, y)


def mean_of_others(x, y):
    """Mean cosine of rows i and j != i of unit rows: what shuffled lines would have, in lines * width steps."""
    n = len(x)
    return (x.sum(0) @ y.sum(0) - (x * y).sum()) / (n * (n - 1))


def overlaps(a, b, lines):
    """(share of neighbors that two lists of each line have in common, [lines]; that of shuffled lines).

    a, b: int64 [lines, k], distinct within a line.
    """
    n, k = a.shape
    common = (a[:, :, None] == b[:, None, :]).sum((1, 2)).float() / k
    counts = [torch.bincount(one.flatten(), minlength=lines).double() for one in (a, b)]
    shuffled = ((counts[0] * counts[1]).sum() / k - common.sum()) / (n * (n - 1))
    return common, float(shuffled)


# --- Centered kernel alignment ---------------------------------------------------------------------------------------


def gram(x):
    """Gram matrix of the centered rows with a zero diagonal, float64 [lines, lines]."""
    x = (x - x.mean(0)).double()
    return (x @ x.T).fill_diagonal_(0)


def hsic(a, b):
    """Debiased HSIC of two Gram matrices with zero diagonals; 0 in the mean for independent data, at every n."""
    rows_a, rows_b = a.sum(1), b.sum(1)
    return _hsic((a * b).sum(), rows_a.sum(), rows_b.sum(), rows_a @ rows_b, len(a))


def _hsic(products, sum_a, sum_b, rows, n):
    """From tr AB, 1'A1, 1'B1 and 1'AB1."""
    return (products + sum_a * sum_b / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3))


def cka(a, b):
    """Debiased linear CKA of two Gram matrices, from -1 to 1: 0 unrelated, 1 equal up to rotation and scale."""
    return float(hsic(a, b) / _root(hsic(a, a) * hsic(b, b)))


def _root(product):
    """Square root of a product of variances; NaN where noise or a constant side makes it not positive."""
    return torch.where(product > 0, product, torch.nan).sqrt()


def cka_of_halves(a, b, halves):
    """`cka` of each half of the lines, [halves]; halves: [lines, halves] of 0 and 1."""
    a, b, m = a.float(), b.float(), float(halves[:, 0].sum())
    of_a, of_b = a @ halves, b @ halves

    def between(one, other, of_one, of_other):
        products = (halves * ((one * other) @ halves)).sum(0).double()
        sums = [(halves * of).sum(0).double() for of in (of_one, of_other)]
        return _hsic(products, *sums, (halves * of_one * of_other).sum(0).double(), m)

    return between(a, b, of_a, of_b) / _root(between(a, a, of_a, of_a) * between(b, b, of_b, of_b))


def cka_z_of_halves(x, y, a, b, halves):
    """`cka` of each half of z-scored x and y, [halves], with Gram matrices a and b, every half z-scored anew.

    To first order: dividing a dimension by another variance moves log CKA by minus the variance's change times the
    dimension's share in HSIC(a, b), beyond its share in the side's own HSIC.
    """
    x, y, m = x.float(), y.float(), float(halves[:, 0].sum())
    centered = {"a": u_centered(a), "b": u_centered(b)}

    def shares(side, other):  # of each dimension in HSIC with the other matrix, [width]
        own = (side * (centered[other] @ side)).sum(0)
        return own / own.sum()

    moved = cka_of_halves(a, b, halves)
    for side, own, other in ((x, "a", "b"), (y, "b", "a")):
        variance = (side * side).T @ halves / m - (side.T @ halves / m) ** 2 - 1  # [width, halves]
        moved = moved * (1 - (shares(side, other) - shares(side, own)) @ variance)
    return moved


def u_centered(a):
    """A Gram matrix with zero diagonal such that HSIC(a, b) is the sum of b times it over n (n - 3), float32."""
    n, rows = len(a), a.sum(1)
    a = a - (rows[:, None] + rows) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return a.fill_diagonal_(0).float()


# --- Correlations ----------------------------------------------------------------------------------------------------


def neuron_correlations(x, y):
    """(ANC: mean over dimensions of the correlation of x's and y's, signed; its influences, [lines], mean 0).

    The influences are each line's share in the deviation from the truth (the derivative of Pearson's r), so that the
    mean of ANC + influence over a resample of lines is the resampled ANC to first order.
    """
    x, y = z_scored(x.double()), z_scored(y.double())
    products = x * y
    r = products.mean(0)
    return float(r.mean()), (products - r * (x * x + y * y) / 2).mean(1)


def ranks(x):
    """Ranks of the cosines of all pairs of centered rows, centered, 0 on the diagonal: float32 [lines, lines].

    Pearson's correlation of two such matrices is Spearman's of the cosines. Equal cosines share their mean rank.
    """
    n = len(x)
    x = unit(x - x.mean(0))
    upper = torch.triu_indices(n, n, 1, device=x.device)
    values, order = (x @ x.T)[upper[0], upper[1]].sort()
    group = torch.cat((values.new_zeros(1, dtype=torch.int64), (values[1:] != values[:-1]).cumsum(0)))
    sizes = torch.bincount(group)
    shared = sizes.cumsum(0) - (sizes - 1) / 2  # mean of the ranks, from 1, of a group
    rank = torch.empty(len(values), dtype=torch.float64, device=x.device)
    rank[order] = shared[group].double() - (len(values) + 1) / 2
    matrix = torch.zeros(n, n, device=x.device)
    matrix[upper[0], upper[1]] = (rank / len(values)).float()
    return matrix + matrix.T


def rsa(r, s):
    """Representational similarity: Spearman's correlation of two sides' cosines, from their `ranks`."""
    r, s = r.double(), s.double()
    return float((r * s).sum() / _root((r * r).sum() * (s * s).sum()))


def rsa_of_halves(r, s, halves):
    """`rsa` of each half, [halves], with the ranks of the whole sample, which to first order are those of the half."""
    m = float(halves[:, 0].sum())
    pairs = m * (m - 1)

    def total(matrix):
        return (halves * (matrix @ halves)).sum(0).double()

    sum_r, sum_s = total(r), total(s)
    covariance = total(r * s) - sum_r * sum_s / pairs
    return covariance / _root((total(r * r) - sum_r**2 / pairs) * (total(s * s) - sum_s**2 / pairs))


# --- Noise -----------------------------------------------------------------------------------------------------------


def shift(x, noised):
    """How far noise moves all lines alike: the length of the mean difference over the mean distance from the center.

    The squared length is the mean of d_i . d_j over pairs i != j, so that lines that move independently give 0.
    """
    d, n = (noised - x).double(), len(x)
    total = d.sum(0)
    squared = (total @ total - (d * d).sum()) / (n * (n - 1))
    return float(squared.clamp_min(0).sqrt() / (x - x.mean(0)).norm(dim=1).mean())


def shift_of_halves(x, noised, halves):
    """`shift` of each half, [halves]."""
    d, m = noised - x, float(halves[:, 0].sum())
    totals = d.T @ halves
    squared = ((totals * totals).sum(0) - (d * d).sum(1) @ halves) / (m * (m - 1))
    return squared.clamp_min(0).sqrt().double() / ((x - x.mean(0)).norm(dim=1) @ halves / m)
