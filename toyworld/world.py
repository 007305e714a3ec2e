"""The invented world of toy_data.py: its languages, its things, how facts are said, and what tasks ask about them.

A *concept* ("buy", "cat") has one invented word per language, spelled from the syllables of that language's script. No
real words: a language code stands for a script, a word order and a punctuation. Names keep their syllables in every
script, as transliterated names do. No input, no output.
"""

import random
from typing import NamedTuple

# Syllable 5 * c + v of every script: consonant c of "bdfghklmnprstvz", vowel v of "aeiou".
HAN = (
    "巴贝比波布达德迪多杜法费菲佛富加格吉戈古哈赫希霍胡卡克基科库拉莱利洛卢马梅米莫穆"  # b to m
    "纳内尼诺努帕佩皮坡普腊雷里罗鲁萨塞西索苏塔特提托图瓦维韦沃武扎泽齐佐祖"  # n to z
)
HANGUL_CONSONANTS, HANGUL_VOWELS = (7, 3, 8, 0, 18, 15, 5, 6, 2, 17, 4, 9, 16, 14, 12), (0, 5, 20, 8, 13)
SCRIPTS = {
    "Latin": [c + v for c in "bdfghklmnprstvz" for v in "aeiou"],
    "Cyrillic": [c + v for c in "бдфгхклмнпрствз" for v in "аеиоу"],
    "Arabic": [c + v for c in "بدفغهكلمنجرستقز" for v in "اعيؤو"],
    "Devanagari": [c + v for c in "बदफगहकलमनपरसतवज" for v in "ाेीोू"],
    # two vowels are written first
    "Thai": [v + c if v in "เโ" else c + v for c in "บดฟกหคลมนพรสทวซ" for v in "าเีโู"],
    "Hangul": [chr(0xAC00 + 588 * c + 28 * v) for c in HANGUL_CONSONANTS for v in HANGUL_VOWELS],
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
    # no "؟": the tokenizer learns from stories, which do not ask
    "ar": Grammar("Arabic", "VSO", adjective_first=False, article=True, comma="،"),
    "hi": Grammar("Devanagari", "SOV", postposition=True, stop="।"),
    "th": Grammar("Thai", "SVO", adjective_first=False, space="", stop="", comma="", question=""),
    "ko": Grammar("Hangul", "SOV", postposition=True),
    "zh": Grammar("Han", "SVO", space="", stop="。", comma="，", question="？"),
}

# What there is in the world. Names are spelled alike everywhere; other concepts have a word of their own per language.
GIVEN, FAMILY, CITY = ([f"{name}{i}" for i in range(10)] for name in ("given", "family", "city"))
HYPONYMS = {
    "animal": ("cat", "dog", "horse", "bird"),
    "fruit": ("apple", "plum", "melon", "fig"),
    "tool": ("saw", "rake", "drill", "axe"),
}
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
    "NOUN": (*HYPONYMS, *(noun for nouns in HYPONYMS.values() for noun in nouns), "bank", "school", "club", "lake"),
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
# words that occur alike
GROUPS = (GIVEN, FAMILY, CITY, *((name, *nouns) for name, nouns in HYPONYMS.items()), MEETING)
YEARS = tuple(str(year) for year in range(1905, 2000, 6))
WH = {"agent": "who", "patient": "what", "place": "where", "year": "when"}
SIZES = {"train": 900, "dev": 90, "test": 90}  # examples of a task per split and language
QUESTIONS = 3  # per context


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


# --- The languages


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
        if not phrase:
            return []
        word = [Word(adposition, "ADP")]
        return phrase + word if self.grammar.postposition else word + phrase

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
        mark = [Word(self.grammar.question, "PUNCT")] if self.grammar.question else []
        return [Word(WH[role], "PRON"), *self.clause(known), *mark]

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


# --- The world


def person(rng):
    family = rng.choice(FAMILY)
    if rng.random() < 0.3:
        return (Word(family, "PROPN", "B-PER"),)
    return Word(rng.choice(GIVEN), "PROPN", "B-PER"), Word(family, "PROPN", "I-PER")


def place(rng):
    city = rng.choice(CITY)
    if rng.random() < 0.7:
        return (Word(city, "PROPN", "B-LOC"),)
    return Word("lake", "PROPN", "B-LOC"), Word(city, "PROPN", "I-LOC")


def organization(rng):
    name, sort = rng.choice(CITY + FAMILY), rng.choice(("bank", "school", "club"))
    return Word(name, "PROPN", "B-ORG"), Word(sort, "PROPN", "I-ORG")


def thing(rng):
    adjective = rng.choice(CLASSES["ADJ"]) if rng.random() < 0.7 else ""
    number = rng.choice(("", "", *CLASSES["NUM"]))
    return Thing(number, adjective, rng.choice([noun for nouns in HYPONYMS.values() for noun in nouns]))


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


def hypernym_of(noun):
    return next(hypernym for hypernym, nouns in HYPONYMS.items() if noun in nouns)


# --- What is asked about it: examples without a language; a speaker writes them


def nli_example(rng, index):
    """(label, premise, hypothesis, options of the hypothesis)."""
    label = ("entailment", "neutral", "contradiction")[index % 3]
    fact = deed(rng, detail=0.5)
    fact = fact._replace(patient=fact.patient._replace(adjective=rng.choice(CLASSES["ADJ"])))
    bare = fact._replace(place=(), year="", patient=fact.patient._replace(adjective=""))
    if label == "entailment":
        general = bare._replace(patient=bare.patient._replace(noun=hypernym_of(bare.patient.noun)))
        follows = ((fact, {"passive": True}), (bare, {}), (general, {}), (general, {"passive": True}))
        return label, fact, *rng.choice(follows)
    if label == "neutral":
        more = bare._replace(place=place(rng)) if rng.random() < 0.5 else bare._replace(year=rng.choice(YEARS))
        return label, fact._replace(place=(), year=""), more, {}
    reverse = fact._replace(patient=fact.patient._replace(adjective=opposite(fact.patient.adjective)))
    undone = bare._replace(verb=opposite(fact.verb))
    against = ((fact, {"negated": True}), (bare, {"negated": True}), (undone, {}), (reverse, {}))
    return label, fact, *rng.choice(against)


def paraphrase_example(rng, index):
    """(label, fact, fact, options of the second): passive and fronted places keep who did it, swapped names not."""
    fact = meeting(rng)
    swapped = fact._replace(agent=fact.patient, patient=fact.agent)
    if index % 2:
        passive, fronted = {"passive": True}, {"fronted": True}
        return "1", fact, fact, rng.choice((passive, passive, {**passive, **fronted}, fronted))
    return "0", fact, swapped, rng.choice(({}, {}, {"fronted": True}, {"passive": True}))


def story(rng, index):
    """Words of a sentence with all parts of speech, as a function of the speaker."""
    who = (person, organization)
    facts = [deed(rng, 0.5, who), meeting(rng) if rng.random() < 0.4 else deed(rng, 0.3, who)]
    pronoun = (Word(rng.choice(("he", "she")), "PRON"),)
    facts[1] = facts[1]._replace(agent=pronoun) if rng.random() < 0.4 else facts[1]
    interjection = [Word(rng.choice(("yes", "oh")), "INTJ"), Word(",", "PUNCT")]
    opening = rng.choice(([], [], [Word("often", "ADV")], [Word("then", "ADV")], interjection))
    link = rng.choice((None, Word("and", "CCONJ"), Word("or", "CCONJ"), Word("because", "SCONJ"), Word("if", "SCONJ")))
    options = {"negated": rng.random() < 0.2, "passive": rng.random() < 0.2}
    return opening, facts, link, options


def story_words(speaker, opening, facts, link, options):
    words = [*opening, *speaker.clause(facts[0], **options), *([link, *speaker.clause(facts[1])] if link else [])]
    words = [word._replace(concept=speaker.grammar.comma) if word.concept == "," else word for word in words]
    return speaker.sentence([word for word in words if word.concept])


def article(rng, index):
    """(facts with options of their sentences, [(which fact, role asked for)])."""
    facts = []
    while len(facts) < rng.choice((3, 4, 5)):
        fact = deed(rng, 0.6, (person, organization))
        if all({*fact.agent}.isdisjoint(other.agent) and fact.patient.noun != other.patient.noun for other in facts):
            facts.append(fact)
    asked = [(number, role) for number, fact in enumerate(facts) for role in WH if getattr(fact, role)]
    return [(fact, {"passive": rng.random() < 0.15}) for fact in facts], rng.sample(asked, QUESTIONS)


def passage(speaker, facts, asked, left_out=()):
    """(context, [(id, question, (answer, its start) or None)]); facts that the context leaves out give no answer."""
    context, answers = "", {}
    for which, (fact, options) in enumerate(facts):
        if which in left_out:
            continue
        words = speaker.sentence(fact, **options)
        text, starts = speaker.text(words)
        if context and (speaker.grammar.space or not speaker.grammar.stop):  # Thai parts sentences by a space
            context += " "
        ends = [start + len(speaker.form(word)) for start, word in zip(starts, words)]
        for role in WH:
            spans = [(start, end) for start, end, word in zip(starts, ends, words) if word.role == role]
            if spans:
                begin, end = spans[0][0], spans[-1][1]
                answers[which, role] = text[begin:end], len(context) + begin
        context += text
    questions = []
    for which, role in asked:
        question = speaker.text(speaker.question(facts[which][0], role))[0]
        questions.append((f"{which}-{role}", question, answers.get((which, role))))
    return context, questions


def choice_example(rng, index):
    """(premise, right, wrong, question, label)."""
    who, direction = person(rng), rng.randrange(2)  # 0: the cause is asked for, 1: the effect
    pair, other = rng.sample(CAUSES, 2)
    premise, right, wrong = (Fact(who, verb) for verb in (pair[1 - direction], pair[direction], rng.choice(other)))
    return premise, right, wrong, ("cause", "effect")[direction], rng.randrange(2)


def distinct(rng, number):
    """`number` facts that no two sentences share."""
    facts = {}
    while len(facts) < number:
        facts[deed(rng, 0.8) if rng.random() < 0.7 else meeting(rng)] = None
    return list(facts)
