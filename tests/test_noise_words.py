"""noise/: candidates, protection, user tables, keyboards, spellings, typing with an input method, other scripts."""

import time

import pytest
from noise_checks import new_faults
from test_noise import SENTENCES, replay
from test_perturb import REAL, files_in, refused, run, write

from noise import NoiseError, Noiser, tables
from noise.operations import OPERATIONS, not_applicable

# ---------------------------------------------------------------------------------------------------------------------
# Candidates


def applied(text, edit):
    return replay(text, [edit])


def test_candidates_are_all_edits_that_there_are():
    edits = Noiser("keyboard", 1).candidates("go a")
    slips = [(0, "g", new) for new in "bfhtvy"] + [(1, "o", new) for new in "iklp"] + [(3, "a", new) for new in "qswz"]
    assert [tuple(edit) for edit in edits] == slips
    assert Noiser("delete", 1).candidates("all") == [(0, "a", ""), (1, "l", "")]  # the second l gives the same text
    assert [new for *_, new in Noiser("inner_shuffle", 1).candidates("abcde")] == ["bdc", "cbd", "cdb", "dbc", "dcb"]
    assert Noiser("keyboard", 1).candidates("12, 34!") == []


@pytest.mark.parametrize("lang", ["en", "ar", "hi", "th", "ja", "ko", "zh"])
def test_candidates_hold_every_draw_in_a_fixed_order(lang):
    text = SENTENCES[lang]
    for op in OPERATIONS:
        if not_applicable(op, lang, tables.SCRIPT_OF[lang]):
            continue
        noise = Noiser(op, rate=0.001, lang=lang)
        edits = noise.candidates(text, "k", [(3, 9)], [(10, 14)])
        texts = [applied(text, edit) for edit in edits]
        assert (
            edits
            == noise.candidates(text, "k", [(3, 9)], [(10, 14)])
            == sorted(edits, key=lambda e: (e.start, len(e.old), e.new))
        )
        assert len(set(texts)) == len(texts) and text not in texts
        assert not any(edit.start < 14 and edit.start + len(edit.old) > 10 for edit in edits)
        assert not any(new_faults(text, noised) for noised in texts), op
        if op in ("full_shuffle", "inner_shuffle"):  # have more than are listed
            continue
        for key in range(60):
            for edit in Noiser(op, rate=0.3, lang=lang)(text, str(key), [(3, 9)], [(10, 14)])[2]:
                assert applied(text, edit) in texts


def test_candidates_of_a_long_word_are_drawn_by_the_key():
    noise = Noiser("full_shuffle", 1)
    assert len(noise.candidates("considerable", "a")) > 90
    assert noise.candidates("considerable", "a") != noise.candidates("considerable", "b")


# ---------------------------------------------------------------------------------------------------------------------
# Protection

PROTECTED = {
    "addresses": "bbc.co.uk ipa.go.jp/x www.foo.bar/q https://x.org/a_b?c=d a.b+c@example.co.uk Example.COM @user #t",
    "placeholders": "{name} ${HOME} {{user}} <br/> </p> <a> [ID] [UNK_1] %s %(name)s %1$s %NAME% &amp; &#39;",
    "codes": "1234-12CAR-12 COVID-19 F-16 B2B 5G v2.0.1 AB12/34",
}


@pytest.mark.parametrize("kind", PROTECTED)
@pytest.mark.parametrize(
    "op", ["keyboard", "delete", "insert", "case", "punctuation", "whitespace", "homoglyph", "invisible", "mixed"]
)
def test_addresses_placeholders_and_codes_stay(kind, op):
    words = [word for word in PROTECTED[kind].split() for word in ("after", word, "before")]
    text = " ".join(words) + " and so, at last, the end!"
    changed = 0
    for key in range(20):
        noised = Noiser(op, rate=0.5)(text, str(key))[0]
        places = [noised.find(f" {word} ") for word in PROTECTED[kind].split()]
        assert -1 not in places and places == sorted(places), (noised, places)
        changed += noised != text
    assert changed


def test_ordinary_text_is_not_protected():
    """An end of a sentence without its space, per cent, less than, years and numbers are no addresses or codes."""
    from noise.protection import PROTECTED as pattern

    for text in (
        "The house.Then 3.5 % or 100% sure.",
        "a < b and c > d",
        "in 1990, 12.5.2021 (see e.g. p. 4)",
        "U.S. law",
    ):
        assert pattern.findall(text) == []


@pytest.mark.parametrize(
    "lang, text",
    [
        ("zh", "他有十二本书，一共三百零五页，孩子们在学校里。"),
        ("ja", "二十三人の子どもが、百五十冊の本をよみました。"),
    ],
)
def test_number_words_stay_and_do_not_come_in(lang, text):
    numbers = [char for char in text if char in tables.NUMERALS]
    table = {"本": ["十"], "子": ["二"]}
    for op in OPERATIONS:
        if not not_applicable(op, lang, tables.SCRIPT_OF[lang], table) and OPERATIONS[op].table in ("", "ime"):
            for key in range(40):
                noised = Noiser(op, rate=0.5, lang=lang, table=table)(text, str(key))[0]
                assert [char for char in noised if char in tables.NUMERALS] == numbers, op


def test_users_patterns_and_words_stay():
    text = "The New York office of Newton wrote to Zoë in room-A and room-B."
    for op in ("delete", "keyboard", "full_shuffle", "whitespace"):
        noise = Noiser(op, rate=0.9, patterns=[r"room-\w"], words=["New York", "New", "Zoë"])
        for key in range(40):
            noised = noise(text, str(key))[0]
            assert all(kept in noised for kept in (" New York ", " Zoë ", " room-A ", " room-B")), noised
    edits = Noiser("delete", 1, words=["New"]).candidates("Newton New")
    assert {edit.start for edit in edits} == {0, 1, 2, 3, 4, 5}  # a word is one between its borders
    kept = Noiser("delete", 1, "zh", words=["学校"]).candidates("去学校里")
    assert {edit.start for edit in kept} == {0, 3}
    with pytest.raises(NoiseError, match="not a regular expression"):
        Noiser("delete", 1, patterns=["("])


ADVERSARIAL = [
    "a" * 999,
    "a.",
    "1a-",
    "a-",
    "<a",
    "{a",
    "%",
    "[",
    "@",
    "a@",
    "www.",
    "1",
    "&a",
    "a%+",
    "./",
    "A-1",
    "://",
    "a:",
]


@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_protection_takes_time_in_proportion(piece):
    """40,000 letters before an @ took 2.8 s."""
    noise = Noiser("keyboard", 1)
    seconds = []
    for size in (10_000, 80_000):
        text = piece * (size // len(piece)) + " @x a1"
        tries = []
        for _ in range(2):
            started = time.process_time()
            noise(text, "k")
            tries.append(time.process_time() - started)
        seconds.append(min(tries))
    assert seconds[1] < 24 * seconds[0] + 0.01  # of 8 times the text; squared it would be 64 times


# ---------------------------------------------------------------------------------------------------------------------
# Parallel text


@pytest.fixture(scope="module")
def parallel(tmp_path_factory):
    lines = {
        lang: f"{SENTENCES[lang]}\r\n\n{SENTENCES[lang]}\u2028x\n" * 20 + SENTENCES[lang]
        for lang in ("de", "th", "en")
    }
    files = {f"parallel/news/{lang}.txt": lines[lang] for lang in lines}
    files |= {
        f"parallel/pairs/{split}.{pair}.{lang}": lines[lang]
        for split, pair in (("test", "de-en"), ("train", "de-en"), ("test", "en-de"))
        for lang in pair.split("-")
    }
    return write(tmp_path_factory.mktemp("parallel"), files)


def changed_files(data, out):
    """Names of the condition's files whose texts are others; every line is still there."""
    contents = files_in(out)
    for name, content in contents.items():
        assert content.count(b"\n") == (data / name).read_bytes().count(b"\n")
    return {name for name in contents if contents[name] != (data / name).read_bytes()}, contents.keys()


@pytest.mark.parametrize(
    "flags, changed, copied",
    [
        ("", "news/de.txt news/th.txt pairs/test.de-en.de pairs/test.en-de.en",
         "news/en.txt pairs/test.de-en.en pairs/test.en-de.de"),
        ("--languages th", "news/th.txt", "news/en.txt"),
        ("--fields candidates --languages de en", "news/en.txt pairs/test.de-en.en pairs/test.en-de.de",
         "news/de.txt pairs/test.de-en.de pairs/test.en-de.en"),
        ("--splits train", "pairs/train.de-en.de", "pairs/train.de-en.en"),
        ("--ops vowels --splits test", "news/de.txt pairs/test.de-en.de pairs/test.en-de.en",
         "news/en.txt pairs/test.de-en.en pairs/test.en-de.de"),
    ],
)  # fmt: skip
def test_lines_of_the_source_are_noised_and_kept_in_their_rows(parallel, tmp_path, flags, changed, copied):
    ops = "" if "--ops" in flags else "--ops keyboard"
    run(parallel, tmp_path / "out", f"{ops} {flags} --levels 5")
    (condition,) = (path.name for path in (tmp_path / "out").iterdir() if path.name.endswith("-5"))
    others, there = changed_files(parallel, tmp_path / "out" / condition)
    names = [{f"parallel/{name}" for name in text.split()} for text in (changed, copied)]
    assert (others, there - others) == tuple(names)


def test_english_lines_alone_are_no_source(parallel, tmp_path, capsys):
    flags = f"--data_dir {parallel} --output_dir {tmp_path}/out --ops swap --languages en --tasks lines --splits dev"
    assert "English lines beside no other language: --fields candidates" in refused(capsys, flags.split())


@pytest.mark.shared
@pytest.mark.skipif(not (REAL / "parallel").is_dir(), reason="the real data copy is not here")
def test_real_parallel_text(tmp_path):
    manifest = run(REAL, tmp_path / "out", "--ops mixed --levels 2 --tasks lines --num_proc 2")
    assert len(manifest["files"]) >= 40 and all(file["reached"] for file in manifest["files"] if file["size"] > 5000)
    changed_files(REAL, tmp_path / "out/mixed-2")
