"""Rates and shares that hold over a file: it is drawn again, a little stronger or weaker, where chance missed them."""

from collections import Counter

TOLERANCE = 0.03  # a file whose draws miss the target by more is drawn again with a scaled rate; the promise is 5 %
TRIES = 8
SHARE_TRIES = 3  # redraws of a file whose shares of `mixed` are off by more than 5 % and more than chance
MOST = 4  # times its share an operation is drawn at most where it has few places
WORTH_SCALING = 200  # clusters, places or words; below that one edit more or less is too much


def rate_of(counts):
    """The share of clusters, places or words that the edits changed."""
    return counts["spent"] / max(1, counts["size"])


def ops_of(counts):
    """Counter of the edits of each operation of `mixed`."""
    ops = Counter()
    for name, count in counts.items():
        if isinstance(name, tuple):
            ops[name[1]] += count
    return ops


def calibrate(draw, file):
    """(scale, what draw(scale, factors) returned) of the draw that comes closest to the target rate.

    A short file may miss its target because edits are whole: then the rate is scaled and the file drawn again, which
    changes few of its examples. So it is with the shares of `mixed`, where texts have no place for a rare operation.
    """
    target, factors = file.target(), {}
    first = draw(1.0, factors, again=False)
    for _ in range(SHARE_TRIES):
        if (corrected := corrected_factors(file, factors, first[0])) == factors:
            break
        factors = corrected
        first = draw(1.0, factors)
    scale, low, high, misses, most = 1.0, 0.0, None, {}, 0
    for attempt in range(TRIES):
        counts, *rest = drawn = draw(scale, factors) if attempt else first
        rate = rate_of(counts)
        misses[scale] = abs(rate - target)
        no_more = scale > 1.5 and counts["spent"] <= most  # more places cannot be had
        if misses[scale] <= TOLERANCE * target or counts["size"] < WORTH_SCALING or no_more:
            break
        low, high = (scale, high) if rate < target else (low, scale)
        most = counts["spent"]
        scale = (low + high) / 2 if high else scale * min(4, max(1.05, target / max(rate, target / 4)))
    best = min(misses, key=misses.get)
    return best, drawn if best == list(misses)[-1] else draw(best, factors)


def corrected_factors(file, factors, counts):
    """The factors of the shares of `mixed` such that they hold in the file; unchanged where they do, but for chance.

    An operation that the file has no place for leaves its share to the others.
    """
    languages, ops = Counter(), ops_of(counts)
    for name, count in counts.items():
        if isinstance(name, tuple):
            languages[name[0]] += count
    wanted = Counter()
    for language, count in sorted(languages.items()):  # sums of floats in one order, however the file was cut
        for op, share in file.noiser(language).mix.shares.items():
            wanted[op] += share * count
    there = sum(wanted[op] for op in sorted(ops)) / (sum(ops.values()) or 1)
    ratios = {op: wanted[op] / there / count for op, count in ops.items()}
    missed = [
        op for op, ratio in ratios.items() if abs(ratio - 1) * ops[op] > max(0.05 * ops[op], 2.5 * ops[op] ** 0.5)
    ]
    if not missed:
        return factors
    new = {op: min(MOST, max(1 / MOST, factors.get(op, 1) * ratio)) for op, ratio in ratios.items()}
    return new if max(abs(new[op] - factors.get(op, 1)) for op in missed) > 0.01 else factors
