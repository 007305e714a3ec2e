"""Links between words, and how those of clean and noised text agree."""

from types import SimpleNamespace

import numpy as np
import pytest

from alignment.words import agreement, linked, mutual, with_words
from common.files import InputError


def of(*lines):
    return SimpleNamespace(words=[line.split() for line in lines])


def test_links_are_mutual():
    x = np.array([[1, 0], [0, 1], [0.8, 0.6]])
    y = np.array([[0, 1], [0.9, 0.1]])
    assert [(int(i), int(j)) for i, j in mutual(x, y)] == [(0, 1), (1, 0)]  # the third is nearest to 1, which has 0
    assert mutual(x[:0], y) == []


def test_agreement_tells_edited_words_from_untouched_ones():
    clean, noised = of("a b c", "d e", "f g"), of("a x c", "d e", "f g h")  # noise has split the last line
    links = [{(0, 0), (1, 1), (2, 2)}, {(0, 0)}, {(0, 0)}]
    noisy = [{(0, 0), (1, 2), (2, 1)}, {(0, 0), (1, 1)}, set()]
    made = agreement(clean, noised, links, noisy, 0)
    assert made["words_f1"].value == pytest.approx(100 * 2 * 2 / (3 + 1 + 3 + 2)) and made["words_f1"].n == 2
    assert made["words_f1_edited"].value == 0
    assert made["words_f1_untouched"].value == pytest.approx(100 * 2 * 2 / (2 + 1 + 2 + 2))
    same = agreement(clean, clean, links, links, 0)
    assert same["words_f1"].value == same["words_f1"].low == 100 and "words_f1_edited" not in same
    assert linked(clean, links, 0)["words_linked"].value == pytest.approx(100 * 5 / 7)


def test_languages_without_spaces_need_words_of_the_user():
    assert with_words(["de", "ja", "zh"], None, []) == ["de"]
    assert with_words(["de", "zh"], ["de", "zh"], ["zh"]) == ["de", "zh"]
    with pytest.raises(InputError, match="--words: th is written without spaces; .* --segmented th"):
        with_words(["de", "th"], ["de", "th"], ["zh"])
