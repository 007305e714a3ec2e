"""noise/: safety, offsets, rates and determinism, on sentences of 26 languages and, where it is there, real text."""

import hashlib
import json
import os
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import regex
from noise_checks import error_rate, faults, kept, new_faults

from noise import Edit, NoiseError, Noiser, Offsets, tables
from noise.operations import OPERATIONS, not_applicable
from noise.proposals import substitutions
from noise.scripts import Neighbors, keyboards, script_of, segment
from noise.spellings import ORTHOGRAPHY

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT.parent / "shared/data/text"
REAL = sorted(path.stem for path in TEXT.glob("*.txt"))
shared = [pytest.mark.shared, pytest.mark.skipif(not REAL, reason="the real data copy is not here")]

SENTENCES = {
    "en": "The teacher's 12 students wrote to anna@example.com, and nobody at https://example.com/x answered before "
    "Friday!",
    "de": "Die Straße war weiß vor Schnee; über 300 Schüler mußten früher nach Hause gehen, sagte Frau Müller.",
    "tr": "İstanbul'da ılık bir akşamdı; çocuklar ışıkları söndürüp şarkı söylediler, 7 kişiydiler.",
    "vi": "Người dân ở thành phố Hồ Chí Minh đã chuẩn bị đầy đủ lương thực cho 3 ngày tới.",
    "pl": "Zażółć gęślą jaźń, powiedział Łukasz, a źródło było już daleko za wzgórzem.",
    "yo": "Ọmọ náà lọ sí ilé ẹ̀kọ́ ní òwúrọ̀, ó sì padà wá ní ìrọ̀lẹ́ pẹ̀lú ìwé rẹ̀.",
    "ru": "Ещё утром пошёл снег, и к вечеру на улицах Москвы было 15 сантиметров снега.",
    "kk": "Қазақстанның оңтүстігінде күн ысып, өзендердің суы азайып кетті деп хабарлады.",
    "el": "Οι μαθητές έγραψαν γράμματα στους γονείς τους, αλλά κανείς δεν απάντησε ως τις 9.",
    "hy": "Երեխաները դպրոցից տուն գնացին, իսկ ուսուցիչը մնաց դասարանում մինչև երեկո։",
    "ka": "ბავშვები სკოლიდან სახლში წავიდნენ, მასწავლებელი კი კლასში დარჩა საღამომდე.",
    "ar": "ذهب الأطفالُ إلى المدرسةِ في الصباح، ثم عادوا إلى البيت قبل الساعة ٥ مساءً؛ هل رأيتهم؟",
    "fa": "کودکان صبح به مدرسه رفتند و عصر با کتاب‌های تازه به خانه برگشتند؛ آیا آن‌ها را دیدی؟",
    "ur": "بچے صبح اسکول گئے اور شام کو نئی کتابوں کے ساتھ گھر واپس آئے، کیا تم نے انہیں دیکھا؟",
    "he": "הילדים הלכו לבית הספר בבוקר, וחזרו הביתה עם סְפָרִים חדשים לפני השעה 5.",
    "hi": "बच्चे सुबह विद्यालय गए और शाम को नई किताबों के साथ घर लौटे, क्या तुमने उन्हें देखा?",
    "bn": "শিশুরা সকালে বিদ্যালয়ে গেল এবং সন্ধ্যায় নতুন বই নিয়ে বাড়ি ফিরে এল।",
    "ta": "குழந்தைகள் காலையில் பள்ளிக்குச் சென்று மாலையில் புதிய புத்தகங்களுடன் வீடு திரும்பினர்.",
    "te": "పిల్లలు ఉదయం పాఠశాలకు వెళ్లి సాయంత్రం కొత్త పుస్తకాలతో ఇంటికి తిరిగి వచ్చారు.",
    "ml": "കുട്ടികൾ രാവിലെ വിദ്യാലയത്തിൽ പോയി വൈകുന്നേരം പുതിയ പുസ്തകങ്ങളുമായി വീട്ടിൽ തിരിച്ചെത്തി.",
    "th": "เด็กๆ ไปโรงเรียนตอนเช้าและกลับบ้านพร้อมหนังสือเล่มใหม่ก่อนเวลา 5 โมงเย็น เขาเก่งมาก",
    "my": "ကလေးများသည် မနက်ခင်းတွင် ကျောင်းသို့သွားပြီး ညနေတွင် စာအုပ်အသစ်များဖြင့် အိမ်ပြန်လာကြသည်။",
    "km": "កុមារទៅសាលារៀននៅពេលព្រឹក ហើយត្រឡប់មកផ្ទះវិញនៅពេលល្ងាចជាមួយសៀវភៅថ្មី។",
    "ja": "こどもたちは朝早く学校へ行き、新しいノートをもって夕方の5時までに家へかえりました。",
    "ko": "아이들은 아침에 학교에 갔다가 저녁 5시 전에 새 책을 가지고 집으로 돌아왔습니다.",
    "zh": "孩子们早上去学校，在下午五点以前带着新的书本回到家里，他们觉得很高兴。",
}
USER = {"孩": ["亥", "骸"], "the": ["teh"], "teacher": ["Lehrer"], "Friday": ["Freitag"], "学校": ["school"]}
CASES = [
    (op, lang) for lang in SENTENCES for op in OPERATIONS if not not_applicable(op, lang, tables.SCRIPT_OF[lang], USER)
]


GOLDEN = {  # version of the draws -> operation -> noise
    1: {
        "keyboard": "Eevrn brpwj foxrs jumprd over ghe fenfe",
        "swap": "Seven bronw foxes ujmped over teh fnece",
        "delete": "Seven row foxe jmpe oe the fenc",
        "insert": "Sevfen brown foxes jiumjpedd over tyhes fenmced",
        "full_shuffle": "Seven brown foxes jumped over the efnce",
        "mixed": "Sven brownh foxeS jujpeed over he febce",
    },
    2: {
        "keyboard": "Secen brlwj goxes jymper over the gencw",
        "swap": "eSvne rbown foxes jumped voer the fence",
        "delete": "even brown oxs jmpe oe the fnce",
        "insert": "SZeven brtownm fokxes jumpled ovber the fencde",
        "full_shuffle": "Seven rwnob foxes djepum over the fence",
        "mixed": "Seveen brown foxes juumpe ovre he fenced",
    },
}


def noiser(op, level, lang, seed=0, **options):
    return Noiser(op, level, lang, seed, table=USER if OPERATIONS[op].table else None, **options)


def replay(text, edits):
    for edit in reversed(edits):
        assert text[edit.start : edit.start + len(edit.old)] == edit.old
        text = text[: edit.start] + edit.new + text[edit.start + len(edit.old) :]
    return text


def check_safe(noise, texts):
    """Every promise about single texts; returns how many changed."""
    changed = 0
    for index, text in enumerate(texts):
        third, half = len(text) // 3, len(text) // 2
        spans, protect = [(third, half), (0, 0), (half, len(text))], [(0, third)]
        noised, moved, edits = noise(text, str(index), spans, protect)
        assert replay(text, edits) == noised and [edit.start for edit in edits] == sorted(edit.start for edit in edits)
        assert noised[:third] == text[:third] and not new_faults(text, noised, noise.op), (noise.op, text, edits)
        assert kept(noised) == kept(text) and noised.encode()
        for (start, end), (new_start, new_end) in zip(spans, moved):
            inside = [edit for edit in edits if edit.start < end and edit.start + len(edit.old) > start]
            if not inside:
                assert noised[new_start:new_end] == text[start:end]
            elif all(start <= edit.start and edit.start + len(edit.old) <= end for edit in inside):
                assert noised[new_start:new_end] == replay(
                    text[start:end], [edit._replace(start=edit.start - start) for edit in inside]
                )
            else:  # an edit across the border belongs to the span
                assert 0 <= new_start <= new_end <= len(noised) and new_end - new_start >= 1
        changed += bool(edits)
    return changed


@pytest.mark.parametrize("op, lang", CASES)
def test_no_operation_harms_a_text_or_its_offsets(op, lang):
    text = SENTENCES[lang]
    changed = check_safe(noiser(op, None, lang, rate=0.5), [text, unicodedata.normalize("NFD", text), text * 2])
    if OPERATIONS[op].places is None and (op, lang) not in {
        ("marks", "fa"),
        ("marks", "ur"),
    }:  # else there may be none
        assert changed > 0


@pytest.mark.parametrize("lang", [pytest.param(lang, marks=shared) for lang in REAL])
def test_no_operation_harms_real_text(lang):
    lines = (TEXT / f"{lang}.txt").read_text(encoding="utf-8").split("\n")
    ops = [op for op in OPERATIONS if not not_applicable(op, lang, tables.SCRIPT_OF[lang])]
    assert len(ops) >= 8
    for op in ops:
        check_safe(Noiser(op, 5, lang), lines[:15])
        check_safe(Noiser(op, 2, lang), lines[15:25])


@pytest.mark.parametrize("lang", [pytest.param(lang, marks=shared) for lang in REAL])
def test_rates_of_real_text_rise_and_are_the_target(lang):
    lines = (TEXT / f"{lang}.txt").read_text(encoding="utf-8").split("\n")
    rates = []
    for level in range(6):
        noise = Noiser("mixed", level, lang)
        noises = [noise.noise(line, str(i)) for i, line in enumerate(lines[: 500 if level < 3 else 100])]
        rates.append(sum(n.spent for n in noises) / sum(n.size for n in noises))
    assert rates == sorted(rates) and rates[0] == 0
    # By chance alone; perturb.py corrects what is beyond 3 %.
    assert rates[1:] == pytest.approx([0.01, 0.02, 0.05, 0.10, 0.15], rel=0.1)
    pairs = [(line, noised.text) for line, noised in zip(lines[:15], noises)]
    counted = sum(n.spent for n in noises[:15]) / sum(n.size for n in noises[:15])
    assert error_rate(pairs) == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("lang", [pytest.param(lang, marks=shared) for lang in REAL if lang not in ("zh", "ko")])
def test_keyboard_covers_the_letters_of_real_text(lang):
    text = (TEXT / f"{lang}.txt").read_text(encoding="utf-8")
    foreign = r"--\p{Script=Han}" if tables.SCRIPT_OF[lang] == "Latn" else r"--\p{Script=Han}--[a-zA-Z]"
    own = regex.findall(rf"[\p{{L}}{foreign}]", text, regex.V1)
    keys, counts = Neighbors(lang, tables.SCRIPT_OF[lang]), Counter(own)
    assert [char for char, count in counts.items() if count >= 0.005 * len(own) and not keys[char]] == []


@pytest.mark.parametrize("lang", SENTENCES)
def test_realised_rate_is_the_edit_distance(lang):
    levels = {"keyboard": 3, "swap": 3, "delete": 4, "insert": 3, "repeat": 2, "case": 3, "jamo": 3, "mixed": 5}
    for op, level in levels.items():
        if not_applicable(op, lang, tables.SCRIPT_OF[lang]):
            continue
        noise = Noiser(op, level, lang)
        results = [noise.noise(SENTENCES[lang], str(key)) for key in range(200)]
        assert sum(r.spent for r in results) / sum(r.size for r in results) == pytest.approx(noise.rate, rel=0.12)
        pairs = [(SENTENCES[lang], r.text) for r in results[:12]]
        clusters = len(regex.findall(r"\X", SENTENCES[lang]))
        assert error_rate(pairs) == pytest.approx(sum(r.spent for r in results[:12]) / (12 * clusters), rel=0.08)


@pytest.mark.parametrize(
    "op", ["homoglyph", "invisible", "whitespace", "truncate", "inner_shuffle", "full_shuffle", "vowels", "ocr"]
)
def test_rate_of_places_and_words(op):
    results = [Noiser(op, 3).noise(SENTENCES["en"], str(key)) for key in range(600)]
    rate = sum(r.spent for r in results) / sum(r.size for r in results)
    assert rate == pytest.approx(OPERATIONS[op].rates[3], rel=0.1)
    assert all(r.spent == len(r.edits) for r in results)


@pytest.mark.parametrize("op, lang", CASES)
def test_level_0_is_the_text_itself(op, lang):
    assert noiser(op, 0, lang)(SENTENCES[lang], "key", [(1, 4)]) == (SENTENCES[lang], [(1, 4)], [])


def all_noise():
    results = [noiser(op, None, lang, rate=0.2)(SENTENCES[lang], "golden") for op, lang in CASES]
    return hashlib.sha256(json.dumps([text for text, _, _ in results]).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed, locale", [("0", "C"), ("12345", "POSIX")])
def test_same_noise_in_any_process(hash_seed, locale):
    code = "import sys; sys.path[:0] = ['.', 'tests']; import test_noise; print(test_noise.all_noise())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": locale}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment, check=True
    )
    assert done.stdout.strip() == all_noise()


def test_noise_of_this_version_does_not_change():
    """A published noised set must come out again from its seed. Where this fails on purpose, raise noise.VERSION."""
    for draws, golden in GOLDEN.items():
        noised = {
            op: Noiser(op, rate=0.2, draws=draws)("Seven brown foxes jumped over the fence", "golden")[0]
            for op in golden
        }
        assert noised == golden


def test_time_grows_as_the_text():
    """Also of a text full of @names, each of which blocks edits."""
    noise = Noiser("mixed", 5)
    for word in ("wort ", "@a b "):
        seconds = []
        for count in (5_000, 40_000):
            tries = []
            for _ in range(3):  # the least counts: other work on the machine takes processor time, too
                started = time.process_time()
                noise(word * count, "k")
                tries.append(time.process_time() - started)
            seconds.append(min(tries))
        assert seconds[1] < 24 * seconds[0]  # of 8 times the text; squared it would be 64 times


def test_draws_are_independent_of_order_and_differ_by_every_part_of_the_key():
    text = SENTENCES["en"]
    noise = Noiser("keyboard", rate=0.2)
    forward = [noise(text, str(key))[0] for key in range(50)]
    assert [noise(text, str(key))[0] for key in reversed(range(50))] == forward[::-1] and len(set(forward)) == 50
    others = [
        Noiser("keyboard", rate=0.2, seed=1),
        Noiser("keyboard", rate=0.21),
        Noiser("insert", rate=0.2),
        Noiser("keyboard", rate=0.2, lang="ms"),
    ]
    assert not {other(text, "7")[0] for other in others} & set(forward)


def test_edits_do_not_pile_up_and_seeds_disagree():
    text = "a considerable number of ordinary sentences begin in just about the same way as this one"
    noisers = [Noiser("keyboard", 2, seed=seed) for seed in (0, 1)]
    first = Counter(edit.start for key in range(2000) for edit in noisers[0](text, str(key))[2][:1])
    assert max(first.values()) / sum(first.values()) < 0.05
    draws = [[noiser(text, str(key))[2] for noiser in noisers] for key in range(300)]
    assert sum(len(set(a) & set(b)) for a, b in draws) / sum(max(len(a), len(b)) for a, b in draws) < 0.2


def test_offsets_move_like_the_text():
    edits = [Edit(2, "cd", "X"), Edit(6, "g", ""), Edit(9, "j", "JJJ")]
    clean = "abcdefghijkl"
    noised, offsets = replay(clean, edits), Offsets(edits)
    assert noised == "abXefhiJJJkl"
    for start in range(len(clean)):
        for end in range(start + 1, len(clean) + 1):
            touched = [edit for edit in edits if edit.start < end and edit.start + len(edit.old) > start]
            first = min([start, *(edit.start for edit in touched)])
            last = max([end, *(edit.start + len(edit.old) for edit in touched)])
            moved = [edit._replace(start=edit.start - first) for edit in touched]
            assert noised[slice(*offsets.span(start, end))] == replay(clean[first:last], moved)


def test_short_spans_are_never_emptied():
    for key in range(200):
        text, spans, _ = Noiser("delete", rate=0.5)("it is in a box", str(key), [(0, 2), (9, 10), (11, 14)])
        assert all(text[start:end].strip() for start, end in spans) and text[slice(*spans[1])] == "a"


def test_no_token_is_lost_or_split():
    words = "a I xy the 東 の ก ห้อง café naïve B2B x² don't".split()
    for op in OPERATIONS:
        if not OPERATIONS[op].splits and not not_applicable(op, "en", "Latn", USER):
            for key in range(60):
                noised = noiser(op, None, "en", rate=0.8, one_token=True)("\n".join(words), str(key))[0].split("\n")
                assert len(noised) == len(words) and all(noised) and not any(map(str.isspace, "".join(noised)))
                if op in ("delete", "insert", "repeat", "swap", "truncate", "invisible"):
                    assert noised[:2] == words[:2] and noised[4] == "東"  # one letter is only ever substituted


@pytest.mark.parametrize(
    "op, lang, text, expected",
    [
        ("diacritics", "tr", "ığdır ŞİŞ", {"igdir SIS"}),
        ("diacritics", "de", "Straße", {"Strasse"}),
        ("diacritics", "es", "ñandú", {"nandu"}),
        ("diacritics", "pl", "łąka Źle", {"laka Zle"}),
        ("diacritics", "vi", "đường", {"duong"}),
        ("diacritics", "he", "סֵפֶר", {"ספר"}),
        ("diacritics", "ar", "مُعَلِّمٌ", {"معلم"}),
        ("diacritics", "ru", "Йод ёлка", {"Йод елка"}),
        ("diacritics", "cs", "příliš žluťoučký", {"prilis zlutoucky"}),
        ("vowels", "en", "brown fox", {"brwn fx"}),
        ("truncate", "en", "brown fox", {"brow fox"}),
        ("case", "tr", "i", {"İ"}),
        ("case", "en", "i", {"I"}),
        ("ime", "ja", "か", {"が"}),
        ("ime", "ja", "っ", {"つ", "づ"}),
        ("orthography", "de", "ß", {"ss"}),
        ("orthography", "ar", "إ", {"ا"}),
        ("orthography", "ja", "気づく", {"気ずく"}),
        ("inner_shuffle", "en", "abca", {"acba"}),
        ("punctuation", "ja", "。", {"、", "，", "．", "！", "？"}),
    ],
)
def test_operations_do_what_they_say(op, lang, text, expected):
    assert {Noiser(op, rate=1, lang=lang)(text, str(key))[0] for key in range(80)} == expected


def test_keyboard_slips_to_a_touching_key_of_the_same_kind():
    assert set(Neighbors("en", "Latn")["g"]) == set("fhtyvb")
    assert set(Neighbors("fr", "Latn")["a"]) <= set("qzéù&w")
    assert set(Neighbors("th", "Thai")["เ"]) <= set("แโใไ")
    assert {unicodedata.category(char) for char in Neighbors("th", "Thai")["ี"]} == {"Mn"}
    # Letters without a key of their own have their base's; words in another script use that script's layout.
    assert Neighbors("vi", "Latn")["ế"] == Neighbors("vi", "Latn")["e"] != ""
    assert Neighbors("hi", "Deva")["g"] == Neighbors("en", "Latn")["g"]


def test_jamo_stays_a_syllable():
    for key in range(200):
        text, _, edits = Noiser("jamo", rate=0.5, lang="ko")("안녕하세요 반갑습니다", str(key))
        assert len(text) == 11 and all("가" <= char <= "힣" for char in text.replace(" ", "")) and edits


def test_keyboards_name_their_source_and_are_safe():
    data = keyboards()
    wanted = (
        "af ar az bg bn de el en es et eu fa fi fr gu he hi ht hu id it ja jv ka kk lt ml mr ms my nl pa pl pt "
        "qu ro ru sw ta te th tl tr uk ur vi wo yo"
    )
    assert set(wanted.split()) <= data["languages"].keys() and len(data["languages"]) >= 48
    for about in data["languages"].values():
        assert about["source"] and about["name"] and len(data["layouts"][about["layout"]]) >= 26
    for layout in data["layouts"].values():
        for char, near in layout.items():
            assert near and char not in near
            assert {unicodedata.category(other)[0] for other in near} == {unicodedata.category(char)[0]}


def test_tables_exchange_like_for_like():
    for table in (ORTHOGRAPHY, tables.OCR):
        for text in table.values():
            for source, targets in substitutions(text).items():
                for target, _ in targets:
                    assert target and not regex.search(r"[\d\s\"]", target) and source != target
                    assert unicodedata.category(source[0])[0] == unicodedata.category(target[0])[0]
    for group in tables.HOMOGLYPHS.split():
        assert len(group) == len(set(group)) >= 2
        assert all(char.isalpha() and unicodedata.normalize("NFKC", char) == char for char in group)


def test_other_scripts_and_strange_texts_pass_through():
    texts = ("", " ", "\n", "12.5 %", "👩‍👩‍👧 🇩🇪", "\u0301", "้")
    for text in (*texts, "a\x00b" * 3, "Ａ" * 5, "x" * 3000, "\ufeffabc def", "क्‍ष" * 3):
        for op in ("mixed", "delete", "swap", "punctuation", "invisible", "homoglyph"):
            for lang in ("en", "th", "hi", "ja"):
                noised, _, edits = Noiser(op, 5, lang)(text, "k")
                assert replay(text, edits) == noised and not new_faults(text, noised, op)
    assert "".join(segment(SENTENCES["th"])[0]) == SENTENCES["th"] and faults(SENTENCES["hi"])["two vowel signs"] == 0


def test_script_of_unknown_languages():
    scripts = {lang: script_of(SENTENCES[lang]) for lang in ("en", "ru", "th", "ko", "zh", "hi")}
    assert scripts == {"en": "Latn", "ru": "Cyrl", "th": "Thai", "ko": "Kore", "zh": "Hans", "hi": "Deva"}
    assert Noiser("keyboard", 5, "xx", script="Latn")(SENTENCES["en"], "k")[2]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("keybord", 1), "did you mean 'keyboard'"),
        (("keyboard", 6), "level 6"),
        (("keyboard", True), "level True"),
        (("keyboard",), "level None"),
        (("keyboard", 1, "xx"), "unknown language 'xx'"),
        (("keyboard", 1, "ko"), "does not apply to the script Kore"),
        (("codeswitch", 1), "needs a table"),
        (("case", 1, "th"), "does not apply"),
        (("ime", 1, "zh"), "needs a table"),
        (("orthography", 1, "hy"), "does not apply to hy"),
    ],
)
def test_bad_arguments(arguments, says):
    with pytest.raises(NoiseError, match=regex.escape(says)):
        Noiser(*arguments)


@pytest.mark.parametrize("spans", [[(-1, 2)], [(3, 2)], [(0, 99)]])
def test_bad_spans(spans):
    with pytest.raises(NoiseError, match="not within a text"):
        Noiser("swap", 1)("short", "k", spans)


def test_bad_rate():
    with pytest.raises(NoiseError, match="rate 1.5"):
        Noiser("swap", rate=1.5)
