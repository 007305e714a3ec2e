"""Which words of a line and of the pivot's are each other's nearest, on clean and on noised text.

As SimAlign's `inter` (Jalili Sabet et al. 2020): sub-tokens of one middle layer are linked where each is the other's
nearest by cosine; words are linked where any of their sub-tokens are. Noise keeps the number of words, so that links
of clean and noised text can be compared without gold: their F1, and that of words that noise edited and of untouched
ones, whose links change by contagion alone.
"""

import numpy as np
import torch

from alignment import intervals
from alignment.cell import Estimate
from common.files import InputError

WITHOUT_SPACES = ("ja", "km", "lo", "my", "th", "zh")
LAYER = 8 / 12  # SimAlign's, of BERT's and XLM-R Base's 12
KINDS = ("", "_edited", "_untouched")


def layer_of(depth):
    return max(1, round(LAYER * depth))


def with_words(languages, asked, segmented):
    """The languages whose words are looked at. Where they are `asked` for by name, InputError for one without spaces,
    unless its files are `segmented` by the user.
    """
    without = [code for code in languages if code.split("_")[0] in WITHOUT_SPACES and code not in segmented]
    if asked and without:
        raise InputError(
            f"--words: {without[0]} is written without spaces; put spaces between the words of its files and name it "
            f"in --segmented {without[0]}, or leave it out of --languages"
        )
    return [code for code in languages if code not in without]


class Words:
    """Lines as words, and the states of their sub-tokens at one layer."""

    def __init__(self, encoder, lines, layer, desc):
        self.words = [line.split() for line in lines]
        encoded = encoder.tokenizer(self.words, is_split_into_words=True, truncation=True, max_length=encoder.length)
        ids = encoded["input_ids"]
        owners = [np.array([-1 if word is None else word for word in encoded.word_ids(i)]) for i in range(len(ids))]
        states = encoder.token_states(ids, layer, desc)
        self.owners = [owner[owner >= 0] for owner in owners]  # the word of each sub-token
        self.states = [state[: len(owner)][owner >= 0] for state, owner in zip(states, owners)]  # unit rows

    def links(self, pivot):
        """{(word, pivot word)} of each line."""
        return [
            {(int(own[i]), int(other[j])) for i, j in mutual(x, y)}
            for x, y, own, other in zip(self.states, pivot.states, self.owners, pivot.owners)
        ]


def mutual(x, y):
    """[(i, j)] of rows that are each other's nearest; unit rows [sub-tokens, width]."""
    if not len(x) or not len(y):
        return []
    similarities = x @ y.T
    forward, backward = similarities.argmax(1), similarities.argmax(0)
    own = np.flatnonzero(backward[forward] == np.arange(len(x)))
    return list(zip(own, forward[own]))


def linked(words, links, seed):
    """{"words_linked": Estimate}: percent of the words of all lines that have a link."""
    having = torch.tensor([len({i for i, _ in line}) for line in links])
    number = torch.tensor([len(line) for line in words.words])
    low, high = intervals.of_ratio(100.0 * having, number, seed)
    return {"words_linked": Estimate(100 * float(having.sum() / number.sum()), low, high, None, len(links))}


def agreement(clean, noised, links, links_noised, seed):
    """{"words_f1", of edited and of untouched words: Estimate}: agreement of links on clean and noised text, percent.

    n is the number of lines whose words noise has kept in number; the others are left out.
    """
    kept = [i for i, (own, other) in enumerate(zip(clean.words, noised.words)) if len(own) == len(other)]
    counts = np.zeros((len(kept), len(KINDS), 2))  # twice the common links, links of both
    for row, line in enumerate(kept):
        edited = {i for i, (own, other) in enumerate(zip(clean.words[line], noised.words[line])) if own != other}
        for column, chosen in enumerate((None, True, False)):
            sides = [
                {link for link in side[line] if chosen is None or (link[0] in edited) == chosen}
                for side in (links, links_noised)
            ]
            counts[row, column] = 2 * len(sides[0] & sides[1]), len(sides[0]) + len(sides[1])
    counts, made = torch.from_numpy(counts), {}
    for column, kind in enumerate(KINDS):
        common, both = counts[:, column].T
        if both.sum() > 0:
            low, high = intervals.of_ratio(100 * common, both, seed)
            made[f"words_f1{kind}"] = Estimate(100 * float(common.sum() / both.sum()), low, high, None, len(kept))
    return made
