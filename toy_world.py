"""The invented world of toy_data.py: its languages, its things, and how facts about them are said.

A *concept* ("buy", "cat") has one invented word per language, spelled from the syllables of that language's script. No real words: a
language code stands for a script, a word order and a punctuation. Names keep their syllables in every script, as transliterated names do.
Read by toy_data.py; no input, no output.
"""

import random
from typing import NamedTuple

# Syllable 5 * c + v of every script: consonant c of "bdfghklmnprstvz", vowel v of "aeiou".
HAN = "巴贝比波布达德迪多杜法费菲佛富加格吉戈古哈赫希霍胡卡克基科库拉莱利洛卢马梅米莫穆纳内尼诺努帕佩皮坡普腊雷里罗鲁萨塞西索苏塔特提托图瓦维韦沃武扎泽齐佐祖"
HANGUL = [chr(0xAC00 + 588 * c + 28 * v) for c in (7, 3, 8, 0, 18, 15, 5, 6, 2, 17, 4, 9, 16, 14, 12) for v in (0, 5, 20, 8, 13)]
SCRIPTS = {
    "Latin": [c + v for c in "bdfghklmnprstvz" for v in "aeiou"],
    "Cyrillic": [c + v for c in "бдфгхклмнпрствз" for v in "аеиоу"],
    "Arabic": [c + v for c in "بدفغهكلمنجرستقز" for v in "اعيؤو"],
    "Devanagari": [c + v for c in "बदफगहकलमनपरसतवज" for v in "ाेीोू"],
    "Thai": [v + c if v in "เโ" else c + v for c in "บดฟกหคลมนพรสทวซ" for v in "าเีโู"],  # two vowels are written first
    "Hangul": HANGUL,
    "Han": list(HAN),
}


class Grammar(NamedTuple):
    """How a language builds and writes a sentence."""

    script: str
    order: str  # of subject, verb, object
    adjective_first: bool = True
    postposition: bool = False
    article: bool = False
    space: str = " "
    stop: str = "."
    comma: str = ","
    question: str = "?"


GRAMMARS = {
    "en": Grammar("Latin", "SVO", article=True),
    "de": Grammar("Latin", "SVO", article=True),
    "sw": Grammar("Latin", "SVO", adjective_first=False),
    "ru": Grammar("Cyrillic", "SVO"),
    "ar": Grammar("Arabic", "VSO", adjective_first=False, article=True, comma="،", question="؟"),
    "hi": Grammar("Devanagari", "SOV", postposition=True, stop="।"),
    "th": Grammar("Thai", "SVO", adjective_first=False, space="", stop="", comma="", question=""),
    "ko": Grammar("Hangul", "SOV", postposition=True),
    "zh": Grammar("Han", "SVO", space="", stop="。", comma="，", question="？"),
}

# What there is in the world. Names are spelled alike everywhere; the other concepts have a word of their own in every language.
GIVEN, FAMILY, CITY = ([f"{kind}{i}" for i in range(10)] for kind in ("given", "family", "city"))
KINDS = {"animal": ("cat", "dog", "horse", "bird"), "fruit": ("apple", "plum", "melon", "fig"), "tool": ("saw", "rake", "drill", "axe")}
OPPOSITES = {
    "VERB": (("buy", "sell"), ("find", "lose"), ("love", "hate"), ("lift", "drop")),
    "ADJ": (("big", "small"), ("old", "new"), ("red", "green")),
}
CAUSES = (
    ("rain", "flood"), ("slip", "fall"), ("run", "sweat"), ("fast", "hunger"), ("wake", "yawn"), ("win", "cheer"),
    ("joke", "laugh"), ("burn", "smoke"),
)  # fmt: skip
MEETING = ("meet", "help", "visit", "follow")  # verbs between people
CLASSES = {
    "PROPN": (*GIVEN, *FAMILY, *CITY),
    "NOUN": (*KINDS, *(noun for nouns in KINDS.values() for noun in nouns), "bank", "school", "club", "lake"),
    "VERB": (*(verb for pair in (*OPPOSITES["VERB"], *CAUSES) for verb in pair), *MEETING),
    "ADJ": tuple(word for pair in OPPOSITES["ADJ"] for word in pair),
    "NUM": ("two", "three", "four", "five"),
    "ADV": ("often", "then"),
    "PRON": ("he", "she", "who", "what", "where", "when"),
    "DET": ("the",),
    "ADP": ("in", "by"),
    "AUX": ("be",),
    "PART": ("not",),
    "CCONJ": ("and", "or"),
    "SCONJ": ("because", "if"),
    "INTJ": ("yes", "oh"),
}
GROUPS = (GIVEN, FAMILY, CITY, *((kind, *nouns) for kind, nouns in KINDS.items()), MEETING)  # words that occur alike
YEARS = tuple(str(year) for year in range(1905, 2000, 6))
WH = {"agent": "who", "patient": "what", "place": "where", "year": "when"}


class Word(NamedTuple):
    concept: str  # or the literal itself: a year, a punctuation mark
    upos: str
    entity: str = "O"
    role: str = ""


class Thing(NamedTuple):
    number: str
    adjective: str
    noun: str


class Fact(NamedTuple):
    agent: tuple  # of Words: a person or an organization
    verb: str
    patient: object = ()  # a Thing, or Words
    place: tuple = ()
    year: str = ""


# ---------------------------------------------------------------- the languages


def lexicon(seed):
    """{language: {concept: word}}; every word is used once, so that no piece of text is ambiguous."""
    draw, used, names = random.Random(f"{seed}-lexicon"), set(), {}
    words = {language: {} for language in GRAMMARS}

    def invent():
        while (syllables := tuple(draw.randrange(75) for _ in range(draw.choice((2, 2, 3))))) in used:
            pass
        used.add(syllables)
        return syllables

    for upos, concepts in CLASSES.items():
        for concept in concepts:
            names[concept] = invent()
            for language, grammar in GRAMMARS.items():
                syllables = names[concept] if upos == "PROPN" else invent()
                word = "".join(SCRIPTS[grammar.script][syllable] for syllable in syllables)
                words[language][concept] = word.capitalize() if upos == "PROPN" else word
    return words


class Speaker:
    """Says facts in one language."""

    def __init__(self, language, words):
        self.language, self.words, self.grammar = language, words[language], GRAMMARS[language]

    def phrase(self, item, role):
        """Words of a name or of a thing; the article stays outside of `role`, as in SQuAD's answers."""
        if not isinstance(item, Thing):
            return [word._replace(role=role) for word in item]
        article = [Word("the", "DET")] if self.grammar.article and not item.number else []
        number = [Word(item.number, "NUM", "O", role)] if item.number else []
        adjective = [Word(item.adjective, "ADJ", "O", role)] if item.adjective else []
        noun = [Word(item.noun, "NOUN", "O", role)]
        return article + number + (adjective + noun if self.grammar.adjective_first else noun + adjective)

    def adjunct(self, adposition, phrase):
        return (phrase + [Word(adposition, "ADP")] if self.grammar.postposition else [Word(adposition, "ADP")] + phrase) if phrase else []

    def clause(self, fact, negated=False, passive=False, fronted=False):
        """The words of a fact, in the order of the language and without the stop."""
        subject, object_ = self.phrase(fact.agent, "agent"), self.phrase(fact.patient, "patient")
        verb = [Word("not", "PART")] * negated + [Word("be", "AUX")] * passive + [Word(fact.verb, "VERB")]
        where = self.adjunct("in", self.phrase(fact.place, "place"))
        when = [Word(fact.year, "NUM", "O", "year")] if fact.year else []
        if passive:
            subject, object_ = object_, self.adjunct("by", subject)
        front, back = (where + when, []) if fronted else ([], where + when)
        core = {
            "SVO": subject + verb + object_ + back,
            "SOV": subject + back + object_ + verb,
            "VSO": verb + subject + object_ + back,
        }
        return front + core[self.grammar.order]

    def sentence(self, *clauses, **options):
        """A fact, or words, with the stop of the language."""
        words = self.clause(clauses[0], **options) if isinstance(clauses[0], Fact) else list(clauses[0])
        return words + ([Word(self.grammar.stop, "PUNCT")] if self.grammar.stop else [])

    def question(self, fact, role):
        """Asks for the one part of the fact; people are asked about by what they did, all else by who did it."""
        known = fact._replace(**{role: ()}) if role != "year" else fact._replace(year="")
        known = known if role == "agent" else known._replace(place=(), year="")
        return [Word(WH[role], "PRON"), *self.clause(known), *([Word(self.grammar.question, "PUNCT")] if self.grammar.question else [])]

    def form(self, word):
        return self.words.get(word.concept, word.concept)

    def text(self, words):
        """(text, start of every word in it): punctuation closes up, scripts without spaces have none between words."""
        text, starts = "", []
        for word in words:
            text += self.grammar.space if text and word.upos != "PUNCT" else ""
            starts.append(len(text))
            text += self.form(word)
        return text, starts

    def say(self, fact, **options):
        return self.text(self.sentence(fact, **options))[0]


# ---------------------------------------------------------------- the world


def person(rng):
    family = rng.choice(FAMILY)
    return (Word(family, "PROPN", "B-PER"),) if rng.random() < 0.3 else (Word(rng.choice(GIVEN), "PROPN", "B-PER"), Word(family, "PROPN", "I-PER"))


def place(rng):
    city = rng.choice(CITY)
    return (Word(city, "PROPN", "B-LOC"),) if rng.random() < 0.7 else (Word("lake", "PROPN", "B-LOC"), Word(city, "PROPN", "I-LOC"))


def organization(rng):
    return (Word(rng.choice(CITY + FAMILY), "PROPN", "B-ORG"), Word(rng.choice(("bank", "school", "club")), "PROPN", "I-ORG"))


def thing(rng):
    adjective = rng.choice(CLASSES["ADJ"]) if rng.random() < 0.7 else ""
    return Thing(rng.choice(("", "", *CLASSES["NUM"])), adjective, rng.choice([noun for nouns in KINDS.values() for noun in nouns]))


def deed(rng, detail=0.6, agents=(person,)):
    """Somebody does something to a thing; place and year are told with probability `detail` each."""
    verb = rng.choice([verb for pair in OPPOSITES["VERB"] for verb in pair])
    where = place(rng) if rng.random() < detail else ()
    return Fact(rng.choice(agents)(rng), verb, thing(rng), where, rng.choice(YEARS) if rng.random() < detail else "")


def meeting(rng):
    """Somebody does something to somebody else."""
    agent = patient = person(rng)
    while patient[-1] == agent[-1]:
        patient = person(rng)
    return Fact(agent, rng.choice(MEETING), patient, place(rng), rng.choice(YEARS) if rng.random() < 0.5 else "")


def opposite(concept):
    return next(pair[1 - pair.index(concept)] for pairs in OPPOSITES.values() for pair in pairs if concept in pair)
