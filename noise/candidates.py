"""All edits that an operation can make to a text, in a fixed order: the space that an attack searches.

There is no second generator: the operation's own propose() is asked for everything that its draws can give.
"""

from noise.legal import Limits
from noise.scripts import segment

MOST = 100  # rows of draws per place; shuffles and insertions of any character of a long text have more


def candidate_edits(noiser, text, blocked, random):
    """{(start, end, new)} in characters of the text, of one operation; blocked as of blocked_ranges()."""
    units, starts, _ = segment(text)
    limits, edits = Limits(text, units, starts, blocked), set()
    for place in noiser.places(units, noiser) if noiser.places else range(len(units)):
        for edit in outcomes(noiser.propose, units, place, random):
            if edit and (edit := limits(edit)):
                first, last, new = edit
                start, end = (first, last) if starts is None else (starts[first], starts[last])
                if text[start:end] != new:
                    edits.add((start, end, new))
    return edits


def outcomes(propose, units, place, random):
    """What propose gives for every row of draws; where there are more than MOST rows, for MOST drawn by `random`.

    The draws of a row are the digits of an odometer: the last one goes on first, and the next row begins as this one.
    """
    edits, row = [], []  # row: [[value, below]] of each draw
    for _ in range(MOST):
        edits.append(propose(units, place, Row(row)))
        while row and row[-1][0] + 1 >= row[-1][1]:
            row.pop()
        if not row:
            return edits
        row[-1][0] += 1
    return [propose(units, place, random) for _ in range(MOST)]


class Row:
    """Stands in for random(n): gives the values of a row, and 0 for draws that the row does not have yet."""

    def __init__(self, row):
        self.row, self.done = row, 0

    def __call__(self, n):
        if self.done == len(self.row):
            self.row.append([0, n])
        self.done += 1
        return self.row[self.done - 1][0]


def distinct(text, edits):
    """[(start, end, new)] by start, end and new; of edits that give the same text (a doubled l, twice) the first."""
    firsts = {}
    for edit in sorted(edits):
        firsts.setdefault(shortest(text, *edit), edit)
    return list(firsts.values())


def shortest(text, start, end, new):
    """The edit without what it leaves as it is, an insertion or deletion as far left as it gives the same text: equal
    for edits whose texts are equal.
    """
    while start < end and new and text[end - 1] == new[-1]:
        end, new = end - 1, new[:-1]
    while start < end and new and text[start] == new[0]:
        start, new = start + 1, new[1:]
    if start < end and new:
        return start, end, new
    inserts, part = bool(new), new or text[start:end]
    while start and text[start - 1] == part[-1]:
        start, end, part = start - 1, end - 1, part[-1] + part[:-1]
    return start, end, part if inserts else ""
