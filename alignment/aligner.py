"""An encoder's alignment of one language with the pivot, clean and under every condition, all layers."""

from functools import cached_property

import numpy as np
import torch
from accelerate.utils import gather_object

from alignment import intervals
from alignment.cell import Estimate, Lines, Side, measure
from alignment.states import graphemes, sub_tokens
from alignment.words import Words, agreement, layer_of, linked
from common import launching


class Aligner:
    """Measures with one encoder. The pivot's vectors are kept for all languages that have the same pivot lines; of the
    others only one language's clean text and one noised version are held. Processes share out batches, then layers.
    """

    def __init__(self, encoder, seed, words=()):
        self.encoder, self.seed = encoder, seed
        self.words = words  # languages whose words are linked, at this layer
        self.word_layer = layer_of(encoder.model.config.num_hidden_layers)
        rank, world = launching.distributed()
        self.own, self.device = encoder.layers[rank::world], launching.search_device()
        self.kept = None, None  # the pivot's lines and distinct numbers, its Sides
        self.kept_words = None, None  # the pivot's lines, its Words

    def sides(self, states, distinct, clean=None):
        """{layer: Side} of this process's layers."""
        means = {layer: side.mean for layer, side in clean.items()} if clean else {}
        places = {layer: self.encoder.layers.index(layer) for layer in self.own}
        vectors = {layer: torch.from_numpy(states[:, place].copy()).to(self.device) for layer, place in places.items()}
        return {layer: Side(vectors[layer], distinct, means.get(layer)) for layer in self.own}

    def pivot_sides(self, pivot, distinct):
        which = pivot, distinct.tolist()
        if self.kept[0] != which:
            self.kept = which, self.sides(self.encoder.states(self.encoder.tokenize(pivot), desc="pivot"), distinct)
        return self.kept[1]

    def words_of(self, lines, desc):
        return Words(self.encoder, lines, self.word_layer, desc)

    def pivot_words(self, pivot):
        if self.kept_words[0] != pivot:
            self.kept_words = pivot, self.words_of(pivot, "pivot words")
        return self.kept_words[1]

    def language(self, code, pairs, noised, both_sides=False):
        """Yield (condition, {layer: {metric: Estimate}}, {name: array [layers, ...]}), first "clean".

        pairs: lines.Pairs; noised: {condition: (lines, pivot lines)}; layer None is what does not depend on one.
        """
        lines = Lines(pairs.pivot, pairs.lines, pairs.repeated, device=self.device)
        pivot = self.pivot_sides(pairs.pivot, lines.distinct)
        text = Text(self.encoder, pairs.lines)
        states = self.encoder.states(text.ids, desc=f"{code} clean")
        clean = self.sides(states, lines.distinct)
        measured = {layer: measure(pivot[layer], clean[layer], lines, self.seed) for layer in self.own}
        before = {layer: kept for layer, (_, kept) in measured.items()}
        words = links = None
        if code in self.words:
            words = self.words_of(pairs.lines, f"{code} words")
            links = words.links(self.pivot_words(pairs.pivot))
        of_words = linked(words, links, self.seed) if words else {}
        yield "clean", *self.gathered(measured, text.estimates(None, self.seed), of_words)
        for condition, (own, other) in noised.items():
            changed_text = Text(self.encoder, own)
            lines.changed = torch.tensor(changed_text.changed(text), device=self.device)
            moved = self.encoder.states(changed_text.ids, (text.ids, states), desc=f"{code} {condition}")
            sides, against = self.sides(moved, lines.distinct, clean), pivot
            if both_sides:
                against = self.sides(self.encoder.states(self.encoder.tokenize(other)), lines.distinct, pivot)
            measured = {
                layer: measure(against[layer], sides[layer], lines, self.seed, clean[layer], before[layer])
                for layer in self.own
            }
            of_words = self.word_agreement(own, other, words, links, condition) if words else {}
            yield condition, *self.gathered(measured, changed_text.estimates(text, self.seed), of_words)

    def word_agreement(self, own, pivot, words, links, desc):
        """Estimates of the links of noised lines beside those of clean ones."""
        noised = self.words_of(own, f"{desc} words")
        links_noised = noised.links(self.pivot_words(pivot))
        return {**linked(noised, links_noised, self.seed), **agreement(words, noised, links, links_noised, self.seed)}

    def gathered(self, measured, whole, words):
        """All processes' layers: ({layer: estimates}, arrays); `whole` is what all layers share."""
        mine = [(layer, estimates, _arrays(kept)) for layer, (estimates, kept) in measured.items()]
        layers = sorted(gather_object(mine), key=lambda one: one[0])
        arrays = {name: np.stack([arrays[name] for _, _, arrays in layers]) for name in layers[0][2]}
        estimates = {None: whole, **{layer: estimates for layer, estimates, _ in layers}}
        if words:
            estimates[self.word_layer] = {**estimates.get(self.word_layer, {}), **words}
        return estimates, arrays


def _arrays(kept):
    """What a paired comparison of runs needs of a layer."""
    arrays = {"top1_csls": (kept["columns"]["top1_csls"] > 0).cpu().numpy()}
    if "self_similarity" in kept["columns"]:
        arrays["self_similarity"] = kept["columns"]["self_similarity"].cpu().numpy()
    return {**arrays, "cka_halves": kept["cka_halves"].float().cpu().numpy()}


class Text:
    """Lines as the tokenizer sees them."""

    def __init__(self, encoder, lines):
        self.lines, self.ids = lines, encoder.tokenize(lines)

    @cached_property
    def lengths(self):
        """(sub-tokens, graphemes) of each line."""
        return [torch.from_numpy(one).float() for one in (sub_tokens(self.ids), graphemes(self.lines))]

    def changed(self, clean):
        """Whether each line has other sub-tokens than the clean one."""
        return [own != other for own, other in zip(self.ids, clean.ids)]

    def estimates(self, clean, seed):
        """{metric: Estimate} of what the tokenizer makes of the text, and of the noise where `clean` is there."""
        tokens, length = self.lengths
        n, rate = len(self.lines), tokens.sum() / length.sum().clamp_min(1)
        made = {"fertility": Estimate(float(rate), *intervals.of_ratio(tokens, length, seed), None, n)}
        if clean is not None:
            before = clean.lengths[0].sum() / clean.lengths[1].sum().clamp_min(1)
            low, high = intervals.of_ratio(tokens * clean.lengths[1].sum() / clean.lengths[0].sum(), length, seed)
            made["token_growth"] = Estimate(float(rate / before), low, high, None, n)
            same = 100.0 * ~torch.tensor(self.changed(clean))
            low, high = intervals.of_means(same[:, None], seed)
            made["unchanged"] = Estimate(float(same.mean()), low[0], high[0], None, n)
        return made
