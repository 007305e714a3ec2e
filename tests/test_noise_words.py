"""noise/: candidates, protection, user tables, keyboards, spellings, typing with an input method, other scripts."""

import importlib.util
import itertools
import json
import re
import runpy
import time
import unicodedata

import pytest
import regex
from noise_checks import new_faults
from test_noise import SENTENCES, replay
from test_perturb import REAL, ROOT, files_in, refused, run, write

import perturb
from noise import NoiseError, Noiser, tables
from noise.candidates import distinct
from noise.operations import OPERATIONS, not_applicable
from noise.proposals import jamo_neighbors, substitutions
from noise.scripts import Neighbors, keyboards
from noise.spellings import ORTHOGRAPHY
from noise.user_tables import read_table

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
        assert not any(new_faults(text, noised, op) for noised in texts), op
        if op in ("full_shuffle", "inner_shuffle", "stray", "mixed"):  # have more than are listed
            continue
        for key in range(20):
            for edit in Noiser(op, rate=0.3, lang=lang)(text, str(key), [(3, 9)], [(10, 14)])[2]:
                assert applied(text, edit) in texts


def test_edits_are_the_same_where_their_texts_are():
    text = "abbabaab"
    edits = [
        (start, start + width, "".join(new))
        for start in range(len(text))
        for width in range(3)
        for size in range(3)
        for new in itertools.product("ab", repeat=size)
        if start + width <= len(text) and "".join(new) != text[start : start + width]
    ]
    texts = {text[:start] + new + text[end:] for start, end, new in edits}
    listed = distinct(text, edits)
    assert {text[:start] + new + text[end:] for start, end, new in listed} == texts and len(listed) == len(texts)


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
    from noise.protection import protected

    for text in (
        "The house.Then 3.5 % or 100% sure.",
        "a < b and c > d",
        "in 1990, 12.5.2021 (see e.g. p. 4)",
        "U.S. law",
    ):
        assert protected(text) == []


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


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--protect ab (", "--protect '(': not a regular expression"),
        ("--protect_words {data}/none.txt", "none.txt: cannot be read (No such file or directory)"),
        ("--protect_words {data}/empty.txt", "no words in it; write one a line"),
    ],
)
def test_unusable_protection_ends_in_one_line(tmp_path, capsys, flags, says):
    data = write(tmp_path / "data", {"tatoeba/de-en.de": "Guten Tag\n", "empty.txt": "\n \n"})
    defaults = f"--data_dir {data} --output_dir {tmp_path}/out --ops swap"
    assert says in refused(capsys, [*defaults.split(), *flags.replace("{data}", str(data)).split()])
    assert not (tmp_path / "out").exists()


def test_protection_on_the_command_line(tmp_path):
    data = write(tmp_path / "data", {"tatoeba/de-en.de": "Frau Müller fährt nach Neu Ulm, Gleis A-x\n" * 40})
    write(tmp_path, {"words.txt": "Müller\nNeu Ulm\n"})
    run(data, tmp_path / "out", f"--ops keyboard --levels 5 --protect A-\\w --protect_words {tmp_path}/words.txt")
    noised = (tmp_path / "out/keyboard-5/tatoeba/de-en.de").read_text()
    assert all(noised.count(kept) == 40 for kept in (" Müller ", " Neu Ulm,", " A-x"))
    assert noised.count("fährt") < 40


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
    for size in (5_000, 40_000):
        text = piece * (size // len(piece)) + " @x a1"
        tries = []
        for _ in range(2):
            started = time.process_time()
            noise(text, "k")
            tries.append(time.process_time() - started)
        seconds.append(min(tries))
    assert seconds[1] < 24 * seconds[0] + 0.01  # of 8 times the text; squared it would be 64 times


# ---------------------------------------------------------------------------------------------------------------------
# User tables


@pytest.mark.parametrize(
    "lang, table, text, expected",
    [
        ("en", {"the": ["teh"]}, "The THE the other", "Teh TEH teh other"),
        ("en", {"don't": ["dont"], "it's": ["its"]}, "Don't! DON’T. It’s don't", "Dont! DONT. Its dont"),
        ("en", {"you": ["u"], "you are": ["you're"]}, "You are you, YOU ARE", "You're u, YOU'RE"),
        ("en", {"don": ["X"], "t": ["Y"]}, "don't done", "don't done"),
        ("en", {"I": ["me"], "iPhone": ["phone"]}, "I iPhone IPHONE", "me phone PHONE"),
        ("fr", {"école": ["ecole"]}, "l'école, L’ÉCOLE", "l'ecole, L’ECOLE"),
        ("tr", {"ışık": ["isik"], "ilk": ["ılk"]}, "IŞIK İLK Işık", "İSİK ILK İsik"),
        ("de", {"Schüler": ["Schueler"]}, "schüler SCHÜLER Schu\u0308ler", "schüler SCHUELER Schueler"),
        ("hi", {"कि": ["की"]}, "कि किताब", "की किताब"),
        ("zh", {"学校": ["school"], "学": ["雪"]}, "学校学生", "school雪生"),
        ("th", {"เขา": ["เค้า"]}, "เขามา", "เค้ามา"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("op", ["profile", "codeswitch"])
def test_entries_match_the_longest_in_every_case(op, lang, table, text, expected):
    assert Noiser(op, rate=1, lang=lang, table=table)(text, "k")[0] == expected


def test_entries_of_several_words_stay_out_of_tokens():
    noise = Noiser("profile", rate=1, table={"you are": ["you're"], "a": ["b c", "b"]}, one_token=True)
    assert noise("you\nare\na", "k")[0] == "you\nare\nb"


def test_users_table_takes_the_place_of_ours():
    noise = Noiser("ime", 1, "ja", table={"機会": ["機械"], "か": ["蚊"]})
    assert noise.candidates("機会かが") == [(0, "機会", "機械"), (2, "か", "蚊")]
    assert Noiser("ocr", rate=1, table={"ri": ["n"], "l": ["1"]})("hill rib", "k")[0] == "hi11 nb"
    assert Noiser("ocr", rate=1, lang="am", table={"ሰ": ["ስ"]})("ሰላም", "k")[0] == "ስላም"


def test_user_tables_on_the_command_line(parallel, tmp_path, capsys):
    """Several words, longest first; what can never match is named once, in all conditions together."""
    write(tmp_path, {"own.tsv": "the\tteh\nthe teacher's\tthe teachers\n12\t13\nbbc.com\tbbc\nwrote\twrote\n"})
    flags = f"--tasks lines --languages en --fields candidates --splits test --profile {tmp_path}/own.tsv"
    run(parallel, tmp_path / "out", f"--ops profile --rate 1 {flags}")
    assert "The teachers 12 students wrote" in (tmp_path / "out/profile-rate1/parallel/news/en.txt").read_text()
    (note,) = capsys.readouterr().err.splitlines()
    assert note == (
        f"--profile {tmp_path}/own.tsv: entries that can never match: '12' (digits stay as they are), 'bbc.com' "
        "(addresses, placeholders and codes stay as they are), 'wrote' (stands for itself)"
    )


def test_ocr_map_and_japanese_readings_on_the_command_line(tmp_path):
    texts = {"parallel/x/ja.txt": "機会がある\n" * 40, "parallel/x/am.txt": "ሰላም ነው\n" * 40}
    data = write(tmp_path / "data", texts)
    write(tmp_path, {"ja.tsv": "機会\tきかい\n機械\tきかい\n", "am.map": "ሰ\tስ\n"})
    run(
        data,
        tmp_path / "a",
        f"--ops ime --level 5 --languages ja --ime {tmp_path}/{{lang}}.tsv".replace("level", "levels"),
    )
    assert "機械がある" in (tmp_path / "a/ime-5/parallel/x/ja.txt").read_text()
    run(data, tmp_path / "b", f"--ops ocr --levels 5 --languages am --ocr_map {tmp_path}/{{lang}}.map")
    assert "ስላም" in (tmp_path / "b/ocr-5/parallel/x/am.txt").read_text()


@pytest.mark.parametrize(
    "flag, op", [("profile", "profile"), ("codeswitch", "codeswitch"), ("ime", "ime"), ("ocr_map", "ocr")]
)
def test_a_table_of_which_nothing_occurs_is_an_error(tmp_path, capsys, flag, op):
    data = write(tmp_path / "data", {"tatoeba/ja-en.ja": "こどもは学校へ行きました。\n" * 5})
    write(tmp_path, {"none.tsv": "猫\tねこ\n犬\tねこ\n", "empty.tsv": "12\t13\n"})
    defaults = f"--data_dir {data} --output_dir {tmp_path}/out --ops {op} --levels 2 --{flag}"
    error = refused(capsys, [*defaults.split(), f"{tmp_path}/none.tsv"])
    assert "none of its entries occurs in the texts of tatoeba in ja" in error and not (tmp_path / "out").exists()
    with pytest.raises(NoiseError, match="no entry that could match"):
        read_table(str(tmp_path / "empty.tsv"), flag)


def test_a_file_of_several_languages_takes_tables(tmp_path):
    """Mewsli-X: each row's language decides; an unknown language has the script of its text."""
    mention = {"example_id": "m1", "mention_span": {"start": 0, "end": 2}}
    row = {"context": {"text": "機会 がある、機会を待つ", "language": "ja"}, "mention": mention}
    data = write(tmp_path / "data", {
        "mewslix/wikinews_mentions/test-ja.jsonl": (json.dumps(row, ensure_ascii=False) + "\n") * 20,
        "tatoeba/xx-en.xx": "the cat\n" * 20,
    })  # fmt: skip
    write(tmp_path, {"ja.tsv": "機会\tきかい\n機械\tきかい\n", "xx.tsv": "cat\tkat\n"})
    run(data, tmp_path / "a", f"--ops ime --levels 5 --tasks mewslix --ime {tmp_path}/ja.tsv")
    assert "機械を待つ" in (tmp_path / "a/ime-5/mewslix/wikinews_mentions/test-ja.jsonl").read_text()
    run(data, tmp_path / "b", f"--ops profile --levels 5 --tasks tatoeba --profile {tmp_path}/{{lang}}.tsv")
    assert "the kat" in (tmp_path / "b/profile-5/tatoeba/xx-en.xx").read_text()


# ---------------------------------------------------------------------------------------------------------------------
# Keyboards and input methods


@pytest.mark.parametrize(
    "lang, letter, near",
    [
        ("hu", "í", "ay"),  # was Ø
        ("pl", "ę", "edrsw"),  # was ð ś œ
        ("pl", "ł", "lkop"),
        ("ga", "á", "aqswz"),  # was ß
        ("ro", "ă", "aqswz"),
        ("de", "ü", "pßäö"),
        ("vi", "a", "qswz"),
    ],
)
def test_slips_stay_on_the_base_layer_and_in_the_alphabet(lang, letter, near):
    assert Neighbors(lang, "Latn")[letter] == near


def test_no_neighbor_is_foreign_to_its_language():
    """By CLDR as ICU has it, in the 50 languages of XTREME-R and more; the tool is needed at build time only."""
    tool = runpy.run_path(str(ROOT / "tools/make_keyboards.py"))
    try:
        alphabets = tool["Exemplars"]()
    except (AttributeError, OSError):
        pytest.skip("libicu is not here")
    data, known = keyboards(), 0
    for lang, about in data["languages"].items():
        if alphabet := alphabets(lang):
            known += 1
            foreign = set("".join(data["layouts"][about["layout"]].values())) - alphabet
            assert lang == "my" or not foreign, (lang, foreign)  # Zawgyi's letters are none of CLDR's
    assert known >= 90


def test_keys_of_the_two_set_keyboard_touch_by_the_stagger_of_their_rows():
    near = jamo_neighbors()
    assert set(near["ㅂ"]) == set("ㅈㅁㅃ")  # not ㄴ, which lies under ㅈ and ㄷ
    assert set(near["ㄴ"]) == set("ㅁㅇㅈㄷㅋㅌ") and set(near["ㅍ"]) == set("ㅊㄹㅎ")
    assert all(a in near[b] for a in near for b in near[a])


@pytest.mark.parametrize(
    "letter, comes_out",
    [
        ("ệ", "eej ẹ ê êj êh êi êk êm ên êu"),  # Telex off; e missed; j missed, twice, beside
        ("đ", "dd d dc"),
        ("Ấ", "Aas Á Áq Â Âs Ẫ"),
        ("é", "es e ẽ"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_telex(letter, comes_out, form):
    text = unicodedata.normalize(form, letter)
    outcomes = {new for *_, new in Noiser("telex", 1, "vi").candidates(text)}
    assert outcomes == {unicodedata.normalize(form, new) for new in comes_out.split()}


def test_telex_and_romaji_leave_the_rest():
    assert Noiser("telex", 5, "vi").candidates("an nam 12 ßñ") == []
    assert Noiser("romaji", 5, "ja").candidates("漢字ABC、ーっきゃ") == []
    with pytest.raises(NoiseError, match="does not apply to de"):
        Noiser("telex", 1, "de")


@pytest.mark.parametrize(
    "kana, comes_out",
    [
        ("か", "あ っか いあ ぁ ま おあ かあ"),  # k missed, twice, and i l m o beside it; a twice
        ("カ", "ア ッカ イア ァ マ オア カア"),
        ("あ", "ああ"),
    ],
)
def test_romaji(kana, comes_out):
    assert {new for *_, new in Noiser("romaji", 1, "ja").candidates(kana)} == set(comes_out.split())


# ---------------------------------------------------------------------------------------------------------------------
# Spellings


@pytest.mark.parametrize(
    "lang, text, comes_out",
    [
        ("ar", "أحمد سأل", ["احمد سأل"]),  # hamza at the beginning of a word only
        ("ar", "استخدم بالقراءة", ["إستخدم بالقراءة", "استخدم بالقراءه"]),
        ("ru", "все ещё берег", ["все еще берег"]),  # ё comes in only where it belongs
        ("ru", "Еще учиться", ["Ещё учиться", "Еще учится"]),
        ("ru", "еще", ["ещё"]),
        ("vi", "hoả nhà", ["hỏa nhà"]),
        ("el", "του και", ["του κε"]),
        ("bn", "সদস্য যাকে", ["শদস্য যাকে", "সদশ্য যাকে", "সদস্য জাকে"]),
        ("es", "Hay que", ["Ay que", "Hay ke"]),
        ("es", "cha", []),
        ("nl", "niet wordt", ["niet word"]),
        ("pl", "chór", ["hór", "chur"]),
        ("de", "dass große", ["das große", "daß große", "dass grosse"]),
        ("tr", "geliyor", ["geliyo"]),
        ("he", "רוח", []),  # no כ at the end of a word
        ("th", "ครับ ก็", ["คับ ก็", "คลับ ก็", "ครับ ก้"]),
        ("hi", "हूँ में", ["हुँ में", "हूं में"]),
        ("ta", "நல்ல", ["நள்ள"]),
        ("ko", "학교에 안", ["학교의 안", "학교에 않"]),
        ("zh", "他在家ABC", ["她在家ABC", "他再家ABC"]),
        ("ja", "終わる", ["終る"]),
        ("ja", "センターは", ["センタは"]),  # a word of katakana ends where hiragana begin
        ("ja", "すこしずつ", ["すこしづつ"]),
        ("ja", "ABC", []),
        ("am", "ሰላም", ["ሠላም"]),
    ],
)
def test_spellings_that_a_reader_believes(lang, text, comes_out):
    edits = Noiser("orthography", 1, lang).candidates(text)
    assert sorted(applied(text, edit) for edit in edits) == sorted(comes_out)


def test_every_language_of_xtreme_r_has_spellings():
    langs = (
        "af ar az bg bn de el en es et eu fa fi fr gu he hi ht hu id it ja jv ka kk ko lt ml mr ms my nl pa pl pt qu "
        "ro ru sw ta te th tl tr uk ur vi wo yo zh"
    ).split()
    assert len(langs) == 50
    assert [lang for lang in langs if not_applicable("orthography", lang, tables.SCRIPT_OF[lang])] == []


@pytest.mark.parametrize("lang", ORTHOGRAPHY)
def test_spellings_are_rules_that_no_tokenizer_undoes(lang):
    rules = ORTHOGRAPHY[lang].split()
    assert len(rules) == len(set(rules))
    for source, targets in substitutions(ORTHOGRAPHY[lang]).items():
        for target, borders in targets:
            assert set(borders) <= set("^_$~") and target and not regex.search(r"[\d\s\"]", target)
            forms = {unicodedata.normalize("NFKC", text) for text in (source, target)}
            assert len(forms) == 2 and not set(target) & set(tables.NUMERALS)


def test_a_condition_that_the_tokenizer_undoes_says_so(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a"))
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    data = write(tmp_path / "data", {"tatoeba/de-en.de": f"{SENTENCES['de']}\n" * 30})
    manifest = run(data, tmp_path / "out", f"--ops case swap --levels 3 --tokenizer {tmp_path}")
    assert {file["op"]: file["undone"] for file in manifest["files"]} == {"case": True, "swap": False}
    readme = (tmp_path / "out/README.md").read_text()
    assert "## Undone by the tokenizer" in readme and "| case-3 | tatoeba/de-en.de | 0.0% |" in readme


# ---------------------------------------------------------------------------------------------------------------------
# Other letters


@pytest.mark.parametrize(
    "lang, text, comes_out",
    [
        ("ru", "привет, Мир 15", "ghbdtn, Vbh 15"),
        ("he", "הילדים הלכו", "vhksho vkfu"),
        ("ar", "إلى البيت", "Ygn hgfdj"),
        ("el", "γράμματα", "gr;ammata"),
        ("ko", "안녕 값 뷁", "dkssud rkqt qnpfr"),
        ("de", "Zufall über Haus", "Yufall [ber Haus"),
        ("fr", "qui", "aui"),
        ("hi", "भारत", "Yejl"),
        ("he", "סְפָרִים", "סְפָרִים"),  # points have no keys of their own: the word stays
        ("th", "ภาษา", "ภาษา"),  # ภ is on a key of a digit
    ],
)
def test_layout(lang, text, comes_out):
    noised, (span,), _ = Noiser("layout", rate=1, lang=lang)(text, "k", [(0, len(text))])
    assert (noised, span) == (comes_out, (0, len(comes_out)))


@pytest.mark.parametrize("lang", ["en", "vi", "ja", "zh"])
def test_layout_needs_a_layout_of_its_own(lang):
    with pytest.raises(NoiseError, match=f"does not apply to {lang}"):
        Noiser("layout", 1, lang)


def test_romanize():
    """Needs the package uroman; without it one line says so."""
    if importlib.util.find_spec("uroman") is None:
        assert not_applicable("romanize", "ru", "Cyrl") == "needs the package uroman; run: pip install uroman"
        pytest.skip("uroman is not installed")
    noised, spans, edits = Noiser("romanize", rate=1, lang="ru")("Это Москва, 5", "k", [(4, 10)])
    assert (noised, spans, len(edits)) == ("Eto Moskva, 5", [(4, 10)], 2)
    assert Noiser("romanize", rate=1, lang="ja")("こども 学校", "k")[0] == "kodomo 学校"
    assert not_applicable("romanize", "de", "Latn")


def test_romanize_without_its_package(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoiseError, match="romanize for ru: needs the package uroman; run: pip install uroman"):
        Noiser("romanize", 1, "ru")
    perturb.main(["--list"])
    assert "\nromanize      with the package uroman: am ar as be bg " in capsys.readouterr().out


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


def test_files_of_pairs_may_lie_anywhere(parallel, tmp_path):
    run(parallel / "parallel/pairs", tmp_path / "out", "--ops swap --levels 2")
    names = {"test.de-en.de", "test.en-de.en"}
    assert changed_files(parallel / "parallel/pairs", tmp_path / "out/swap-2")[0] == names


def test_english_lines_alone_are_no_source(parallel, tmp_path, capsys):
    flags = f"--data_dir {parallel} --output_dir {tmp_path}/out --ops swap --languages en --tasks lines --splits dev"
    assert "English lines beside no other language: --fields candidates" in refused(capsys, flags.split())


@pytest.mark.shared
@pytest.mark.skipif(not (REAL / "parallel").is_dir(), reason="the real data copy is not here")
def test_real_parallel_text(tmp_path):
    manifest = run(REAL, tmp_path / "out", "--ops mixed --levels 2 --tasks lines --languages sw am ta km ur")
    assert len(manifest["files"]) >= 6 and all(file["reached"] for file in manifest["files"] if file["size"] > 5000)
    changed_files(REAL, tmp_path / "out/mixed-2")


# ---------------------------------------------------------------------------------------------------------------------
# noise/README.md


def test_samples_of_the_readme_are_what_the_tool_makes():
    """They are read by people: after a change of noise/ run the tool, and read them again."""
    tool = runpy.run_path(str(ROOT / "tools/make_noise_samples.py"))
    before = tool["README"].read_text(encoding="utf-8").split(tool["BEGIN"])[1].split(tool["END"])[0]
    assert tool["samples"](before) == before
    scripts = {tables.SCRIPT_OF[lang] for lang in tool["SENTENCES"]}
    shown = set(re.findall(r"^\| `(\w+)` \|", before, re.M))
    assert len(scripts) >= 12 and shown == OPERATIONS.keys()
