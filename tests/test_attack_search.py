"""attack/search.py and attack/texts.py on a made-up model: what is tried, what is kept, and that texts stay legal."""

import random
from hashlib import blake2b
from pathlib import Path

import pytest
from noise_checks import kept, new_faults

from attack.search import TOLERANCE, Example, Plan, contenders, drawn, proposals, search, size
from attack.texts import Candidate, Editor, TestFile, Text, applied, edits_of
from noise.files import NoiseError
from noise.operations import OPERATIONS, not_applicable
from noise.tables import SCRIPT_OF

SHARED = Path(__file__).resolve().parents[2] / "shared/data/text"
WORDS = "the quick brown fox jumps over the lazy dog and runs away from here".split()
TEXTS = {  # a sentence of each, with digits, an address and marks that no edit may break
    "en": "The 3 cats' owner, Zoë, lives at www.cats.org since 2019.",
    "de": "Die Größe der 25 Straßen überraschte Jürgen völlig.",
    "fr": "L'été dernier, 12 élèves ont mangé où ça?",
    "tr": "Istanbul'da İstiklal Caddesi 1,4 km uzunluğundadır.",
    "vi": "Tiếng Việt có 6 thanh điệu và nhiều nguyên âm.",
    "ru": "Ёлка стояла в 5 шагах от его дома.",
    "el": "Η Αθήνα έχει 3 εκατομμύρια κατοίκους.",
    "ar": "كتبَ الولدُ 3 رسائلَ إلى أمِّه.",
    "fa": "می‌خواهم ۲ کتاب بخرم و به خانه بروم.",
    "ur": "میں نے 4 کتابیں خریدیں اور پڑھیں۔",
    "he": "הילדים קראו 7 ספרים בבית הספר.",
    "hi": "क्षत्रिय ने 10 रुपये में हिन्दी की किताबें खरीदीं।",
    "mr": "मुलांनी 5 पुस्तके वाचली आणि घरी गेले.",
    "bn": "ছেলেটি ৫টি বই কিনে বাড়ি ফিরল।",
    "ta": "குழந்தைகள் 8 புத்தகங்களை வாங்கினார்கள்.",
    "te": "పిల్లలు 9 పుస్తకాలు చదివారు మరియు ఇంటికి వెళ్లారు.",
    "th": "เด็กๆ ซื้อหนังสือ 5 เล่มที่ร้านใกล้บ้าน",
    "my": "ကလေးများ စာအုပ် ၃ အုပ် ဝယ်ခဲ့သည်။",
    "ko": "아이들은 학교에서 3권의 책을 읽었다.",
    "ja": "子供たちは学校で三冊の本を読みました。",
    "zh": "孩子们在学校里读了三本书，然后回家。",
    "ka": "ბავშვებმა სკოლაში 3 წიგნი წაიკითხეს.",
}


class Letters:
    """A model whose margin is 2.5 at first, and every edit takes between 0 and 1 of it. `noise` moves what comes from
    batches, as their shapes do.
    """

    tolerance, step = TOLERANCE[False]

    def __init__(self, noise=0.0, seed=0):
        self.noise, self.random, self.asked = noise, random.Random(seed), 0

    def margin(self, example, chosen):
        return 2.5 - sum((7 * one.start + 3 * len(one.new) + example.number) % 11 / 10.5 for one in chosen)

    def clean(self, examples):
        return self.alone([(example, ()) for example in examples])

    def parts(self, example):
        return 1, True

    def reading(self, margin, tokens=b""):
        return margin, frozenset({0} if margin < 0 else ()), tokens

    def alone(self, asked):
        return [self.reading(self.margin(*one), repr(one[1]).encode()) for one in asked]

    def flat(self, asked):
        self.asked += len(asked)
        shifts = [self.random.uniform(-self.noise, self.noise) for _ in asked]
        off = self.tolerance / 2
        return [
            [self.reading(self.margin(*one) + shift + end) for end in (-off, off)] for one, shift in zip(asked, shifts)
        ]


def examples(number=12):
    draw, editor, made = random.Random(3), Editor("xnli", ["swap", "delete", "repeat"]), []
    for index in range(number):
        texts = [Text(str(index), "hypothesis", " ".join(draw.sample(WORDS, 4)), (), (), "en")]
        made.append(Example(index, str(index), texts, editor.candidates(texts, str(index))))
    return made


def attacked(attack="greedy", edits=3, queries=60, beam=1, noise=0.0, seed=0, order=1):
    made = examples()
    search(made[::order], Plan(attack, edits, queries, beam, 0), Letters(noise, seed))
    return made


def results(made):
    return [(one.path, one.queries, one.broken_at) for one in made]


@pytest.mark.parametrize("attack, beam", [("greedy", 1), ("beam", 3), ("random", 1)])
def test_results_depend_on_neither_batches_nor_order(attack, beam):
    first = results(attacked(attack, beam=beam))
    assert first == results(attacked(attack, beam=beam, noise=TOLERANCE[False][0] / 3, seed=1))
    assert first == results(attacked(attack, beam=beam, noise=TOLERANCE[False][0] / 3, seed=2, order=-1))


@pytest.mark.parametrize("attack, beam", [("greedy", 1), ("beam", 3), ("random", 1)])
def test_budget_and_trace(attack, beam):
    for one in attacked(attack, edits=4, queries=37, beam=beam):
        margins = [state.margin for state in one.path]
        assert margins == sorted(margins, reverse=True) and one.queries <= 37
        assert len(one.path) == 1 + (one.broken_at or 4)
        for most, state in enumerate(one.path):
            assert len(state.chosen) <= most
            assert not any(a.touches(b) for a in state.chosen for b in state.chosen if a is not b)
            assert state.margin == Letters().margin(one, state.chosen)
        assert (one.path[-1].margin < 0) == (one.broken_at is not None)


def test_one_edit_is_the_same_for_all_and_more_are_better_than_random():
    greedy, chance, beam = attacked(), attacked("random"), attacked("beam", beam=3)
    assert [one.path[1] for one in greedy] == [one.path[1] for one in chance] == [one.path[1] for one in beam]
    lowest = [sum(one.path[-1].margin for one in made) for made in (greedy, chance, beam)]
    assert lowest[0] < lowest[1] and lowest[2] < lowest[1]
    broken = [sum(one.broken_at is not None for one in attacked(attack, 3, 24)) for attack in ("greedy", "random")]
    assert broken[0] > broken[1]


def test_what_is_wrong_at_first_is_not_attacked():
    made = examples(2)

    class Wrong(Letters):
        def margin(self, example, chosen):
            return super().margin(example, chosen) - 6 * (example.number == 0)

    search(made, Plan("greedy", 2, 20, 1, 0), Wrong())
    assert (made[0].queries, made[0].broken_at, len(made[0].path)) == (0, None, 1) and made[1].queries > 0


def test_no_edits_ask_nothing():
    made, victim = examples(), Letters()
    search(made, Plan("greedy", 0, 10, 1, 0), victim)
    assert victim.asked == 0 and all(len(one.path) == 1 for one in made)


@pytest.mark.parametrize("attack", ["greedy", "beam", "random"])
def test_what_cannot_be_edited_stays(attack):
    made = examples(2)
    made[0].candidates, made[1].candidates = [], made[1].candidates[:1]
    search(made, Plan(attack, 3, 60, 2, 0), Letters())
    assert [(one.queries, one.broken_at, len(one.path)) for one in made] == [(0, None, 4), (1, None, 4)]


def test_greedy_tries_what_its_control_tries_but_what_is_known_to_be_poor():
    made = examples(1)[0]
    search([made], Plan("greedy", 1, 20, 1, 0), Letters())  # ranks 20 single edits
    made.queries = 0
    plans = [Plan(attack, 2, 60, 1, 0) for attack in ("greedy", "random")]
    ours, luck = (proposals(made, 2, plan) for plan in plans)
    assert len(ours) == len(luck) == 60 and len(set(ours)) == 60
    gains = {candidate: gain for candidate, (gain, _) in made.gains.items()}
    usual = sum(gains.values()) / len(gains)
    left_out = set(luck) - set(ours)
    assert 0 < len(left_out) < 40
    assert all(sum(gains.get(one, usual) for one in chosen) > 2 * usual for chosen in left_out)
    assert any(made.path[1].chosen[0] in chosen for chosen in set(ours) - set(luck))


def test_of_those_that_break_it_the_smallest_change_is_taken():
    made = examples(1)[0]
    small, large = ((Candidate(0, 0, 1, "x", cost, (0, 1)),) for cost in (1, 2))
    victim = {small: -0.1, large: -3.0}

    class Two(Letters):
        def margin(self, example, chosen):
            return victim.get(chosen, 1.0)

    made.candidates = [small[0], large[0]._replace(start=3, end=4, own=(3, 4))]
    victim[made.candidates[1],] = -3.0
    search([made], Plan("greedy", 1, 5, 1, 0), Two())
    assert made.path[-1].chosen == small


def test_what_a_batch_says_is_broken_is_verified():
    class Misled(Letters):
        tolerance, step = 0.5, 1.0

        def margin(self, example, chosen):
            return 0.05

        def flat(self, asked):
            return [[self.reading(-0.05 + end) for end in (-0.25, 0.25)] for _ in asked]

    made = examples(3)
    search(made, Plan("greedy", 2, 20, 1, 0), Misled())
    assert all(one.broken_at is None and one.path[-1].margin == 0.05 for one in made)
    assert contenders([], 1) == []


def test_the_search_goes_on_while_words_are_right():
    """Two words break by an edit within them, the others never: with two edits both, with more no more."""

    class Sentence(Letters):
        def parts(self, example):
            return 4, True

        def broken(self, example, chosen):
            text = example.texts[0].text
            return frozenset(word for one in chosen if (word := text[: one.start].count(" ")) % 2)

        def alone(self, asked):
            lost = [self.broken(*one) for one in asked]
            return [(0.5 - len(own) if own else 1.0, own, repr(one).encode()) for own, one in zip(lost, asked)]

        def flat(self, asked):
            return [[(margin, own, b"")] * 2 for margin, own, _ in self.alone(asked)]

    for attack in ("greedy", "random"):
        made = examples(6)
        search(made, Plan(attack, 3, 90, 1, 0), Sentence())
        for one in made:
            lost = [len(state.broken) for state in one.path]
            assert lost[:2] == [0, 1] and one.broken_at == 1 and len(one.path) == 4
            assert lost[2:] == [2, 2] or attack == "random"
            assert size(one.path[1].chosen) == 1


def many_edits(language, ops, text, number, edits):
    """Texts with random sets of edits, as the search makes them."""
    editor, texts = Editor("xnli", ops), [Text("0", "hypothesis", text, (), (), language)]
    made = Example(0, "0", texts, editor.candidates(texts, "0"))
    if not made.candidates:
        return []
    sets = drawn(made.candidates, min(edits, max(1, len(text) // 8)), number, blake2b(b"test"))
    return [applied(text, edits_of(texts, chosen).get("hypothesis", [])) for chosen in sets]


@pytest.mark.parametrize("language", TEXTS)
def test_no_set_of_edits_is_illegal(language):
    script = SCRIPT_OF[language]
    ops = [op for op in OPERATIONS if op not in ("mixed", "invisible") and not not_applicable(op, language, script)]
    for op in ops:
        for new in many_edits(language, [op], TEXTS[language], 25, 4):
            assert not new_faults(TEXTS[language], new, op), (op, new)
            if op not in ("romanize", "whitespace"):
                assert kept(new) == kept(TEXTS[language]), (op, new)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data copy is not here")
@pytest.mark.parametrize("language", [code for code in TEXTS if code not in ("my",)])
def test_real_text_stays_legal(language):
    path = SHARED / f"{language}.txt"
    if not path.exists():
        pytest.skip("no such text")
    ops = [
        op for op in ("keyboard", "swap", "delete", "repeat") if not not_applicable(op, language, SCRIPT_OF[language])
    ]
    for line in path.read_text(encoding="utf-8").splitlines()[:12]:
        for new in many_edits(language, ops, line, 10, 5):
            assert not new_faults(line, new), new
            assert kept(new) == kept(line)


def test_tokens_stay_as_many(tmp_path):
    path = tmp_path / "test-en.tsv"
    path.write_text("The\tDET\ncat\tNOUN\nsat\tVERB\n\nDogs\tNOUN\nrun\tVERB\n\n", encoding="utf-8")
    file = TestFile(str(path), "udpos/test-en.tsv", "udpos", "en", None, None, ("tokens",), "question")
    texts = file.texts()
    assert [own[0].text for own in texts] == ["The\ncat\nsat", "Dogs\nrun"]
    found = Editor("udpos", ["keyboard", "swap", "delete"]).candidates(texts[0], "0")
    assert found and all(
        applied(texts[0][0].text, edits_of(texts[0], [one])["tokens"]).count("\n") == 2 for one in found
    )
    file.write(tmp_path / "out.tsv", [{}, {}])
    assert (tmp_path / "out.tsv").read_bytes() == path.read_bytes()
    file.write(tmp_path / "out.tsv", [edits_of(texts[0], found[:1]), {}])
    before, after = (one.read_text(encoding="utf-8").splitlines() for one in (path, tmp_path / "out.tsv"))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert [line.partition("\t")[2] for line in before] == [line.partition("\t")[2] for line in after]


@pytest.mark.parametrize(
    "language, words",
    [("en", ["We", "walked", "homewards"]), ("hi", ["मैं", "घर", "जाता"]), ("ru", ["Мы", "пошли", "домой"])],
)
def test_a_word_gets_one_edit_where_that_is_asked(language, words):
    texts = [Text("0", "premise", " ".join(words), (), (), language)]
    loose, strict = (Editor("xnli", ["swap", "delete"], one).candidates(texts, "0") for one in (False, True))
    assert [one[:5] for one in loose] == [one[:5] for one in strict]  # the same edits
    assert {texts[0].text[slice(*one.own)] for one in strict} <= set(words)
    assert all(one.touches(other) == (one.own == other.own) for one in strict for other in strict)


def test_an_operation_that_does_not_apply_is_refused():
    with pytest.raises(NoiseError, match="keyboard for zh"):
        Editor("xnli", ["keyboard"]).candidates([Text("0", "hypothesis", "三本书", (), (), "zh")], "0")
