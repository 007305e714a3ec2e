"""Parallel text in every form that run_alignment.py reads, and what it says of text that does not go together."""

import logging

import pytest

from alignment import lines
from common.files import InputError
from heads import parallel


def texts(language, n=40):
    return [f"{language} sentence {number}" for number in range(n)]


def put(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in names.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8")
    return folder


def read_all(folder, max_lines=None):
    return lines.read_pairs(parallel.find_files(folder, "en"), max_lines)[0]


@pytest.mark.parametrize(
    "names, codes",
    [
        (["en.txt", "de.txt", "gn.txt"], {"de", "gn"}),
        (["eng_Latn.devtest", "zho_Hans.devtest", "zho_Hant.devtest", "arb_Arab.devtest"], {"zh", "zho_Hant", "ar"}),
        (["newstest2019-src.eng.txt", "newstest2019-ref.deu.txt", "newstest2019-ref.fra-CA.txt",
          "newstest2019-ref.fra.txt", "newstest2019-ref.mya.txt"], {"de", "fr", "fra-CA", "my"}),
        (["ka-en.ka", "ka-en.en", "sw-en.sw", "sw-en.en"], {"ka", "sw"}),
        (["test.cy-en.cy", "test.cy-en.en", "dev.cy-en.cy", "dev.cy-en.en"], {"cy"}),
    ],
)  # fmt: skip
def test_forms(tmp_path, names, codes):
    found = parallel.find_files(put(tmp_path, {name: texts(name) for name in names}), "en")
    assert set(found) == codes
    for own in found.values():
        assert parallel.read(own) == (texts(own.path.name), texts(own.pivot.name))


def test_test_comes_before_dev(tmp_path):
    names = ["test.cy-en.cy", "test.cy-en.en", "dev.cy-en.cy", "dev.cy-en.en"]
    found = parallel.find_files(put(tmp_path, {name: texts(name) for name in names}), "en")
    assert found["cy"].path.name == "test.cy-en.cy"


def test_bucc_is_its_gold_pairs_in_their_order(tmp_path):
    side = {code: [f"{code}-{number}\t{code} {number}" for number in range(50)] for code in ("de", "en")}
    gold = [f"de-{number}\ten-{49 - number}" for number in range(30)]
    files = {"de-en.test.de": side["de"], "de-en.test.en": side["en"], "de-en.test.gold": gold}
    pairs = read_all(put(tmp_path, files))["de"]
    assert pairs.lines[:2] == ["de 0", "de 1"] and pairs.pivot[:2] == ["en 49", "en 48"] and len(pairs.lines) == 30


def test_blank_lines_are_left_out_in_all_languages_and_counted(tmp_path, caplog):
    german, hindi = texts("de"), texts("hi")
    german[3] = hindi[5] = ""
    folder = put(tmp_path, {"en.txt": texts("en"), "de.txt": german, "hi.txt": hindi})
    with caplog.at_level(logging.WARNING):
        pairs, kept = lines.read_pairs(parallel.find_files(folder, "en"), 22)
    assert kept["de"] == kept["hi"] == [0, 1, 2, 4, *range(6, 24)]
    assert pairs["hi"].lines[3:5] == ["hi sentence 4", "hi sentence 6"]
    assert "de.txt: 1 blank lines, left out in every language" in caplog.text


def test_repeated_pairs_are_counted(tmp_path, caplog):
    files = {"en.txt": [*texts("en"), "en sentence 1", "en sentence 1"], "de.txt": [*texts("de"), "other", "other"]}
    pairs = read_all(put(tmp_path, files))["de"]
    assert pairs.repeated == [41]
    assert "de: 1 of 42 pairs repeat an earlier one; left out of CKA, ANC and RSA" in caplog.text


def test_few_lines_and_different_numbers_are_warned_of(tmp_path, caplog):
    files = {
        "ka-en.ka": texts("ka", 30),
        "ka-en.en": texts("en", 30),
        "sw-en.sw": texts("sw"),
        "sw-en.en": texts("en"),
    }
    files = {name: sorted(content, reverse=True) for name, content in files.items()}
    read_all(put(tmp_path, files))
    assert "30 lines; below 300 intervals are wide" in caplog.text
    assert "--max_lines 30 gives all the same" in caplog.text


@pytest.mark.parametrize(
    "files, words",
    [
        ({"en.txt": texts("en"), "de.txt": texts("de", 39)}, "39 lines but en.txt has 40; line i of both must be"),
        ({"en.txt": texts("en")}, "only en, and nothing to align it with"),
        ({"de.txt": texts("de"), "hi.txt": texts("hi")}, "no parallel text with en; write <lang>.txt per language"),
        ({"en.txt": texts("en", 12), "de.txt": texts("de", 12)}, "12 different pairs of lines; alignment needs"),
        ({"en.txt": ["a"] * 40, "de.txt": ["b"] * 40}, "1 different pairs of lines"),
        ({"de-en.de": texts("de"), "de-en.en": sorted(texts("en"))}, "so line i of both sides is no translation"),
        ({"de-en.test.de": ["x"] * 30, "de-en.test.en": ["a\tb"] * 30, "de-en.test.gold": ["x\ta"]}, "without a tab"),
        ({"de-en.test.de": ["x\ty"], "de-en.test.en": ["a\tb"], "de-en.test.gold": ["x\tc"]}, "no ids of both"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(tmp_path, files, words):
    with pytest.raises(InputError, match=words):
        read_all(put(tmp_path, files))


def test_languages_that_are_asked_for(tmp_path):
    found = parallel.find_files(put(tmp_path, {f"{code}.txt": texts(code) for code in ("en", "de", "sw")}), "en")
    assert list(parallel.choose(found, ["sw"], tmp_path)) == ["sw"] and list(
        parallel.choose(found, None, tmp_path)
    ) == [
        "de",
        "sw",
    ]
    with pytest.raises(InputError, match="--languages swe: .* did you mean 'sw'.; it has de sw"):
        parallel.choose(found, ["swe"], tmp_path)


def test_noised_copies_lie_in_the_folder_or_in_its_layout(tmp_path):
    files = {f"{code}.txt": texts(code) for code in ("en", "de", "zh")}
    clean = put(tmp_path / "data/parallel/news", files)
    noised = put(tmp_path / "noised/swap-1/parallel/news", {"de.txt": texts("du")})
    own = parallel.find_files(clean, "en")
    for folder in (noised, tmp_path / "noised/swap-1"):
        found = parallel.find_noised(own, {"swap-1": folder}, clean, both_sides=False)
        assert found["zh"] == {} and found["de"]["swap-1"] == parallel.Files(noised / "de.txt", clean / "en.txt")
        assert lines.read_noised(found["de"], own["de"], [1, 3])["swap-1"][0] == ["du sentence 1", "du sentence 3"]
    with pytest.raises(InputError, match="none of de.txt, zh.txt lies there"):
        parallel.find_noised(own, {"swap-1": tmp_path / "noised"}, clean, both_sides=False)
    with pytest.raises(InputError, match="--both_sides: .*en.txt does not exist"):
        parallel.find_noised(own, {"swap-1": noised}, clean, both_sides=True)
    put(noised, {"de.txt": texts("du", 39)})
    put(noised, {"en.txt": texts("en", 39)})
    both = parallel.find_noised(own, {"swap-1": noised}, clean, both_sides=True)
    with pytest.raises(InputError, match="39 lines but .* has 40; noise must keep line i line i"):
        lines.read_noised(both["de"], own["de"], [1, 3])
