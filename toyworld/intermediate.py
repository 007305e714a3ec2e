"""The invented world's intermediate tasks, in the Hub's columns, and its text for masked language modeling.

    intermediate_files(speakers, seed)    ("mnli/train.jsonl", rows), ...; TRANSLATED tasks also "mnli/train.de.jsonl"
    text_files(speakers, seed)            ("de.txt", lines), ...
    parallel_files(speakers, seed)        ("pairs/train.de-en.de", lines), ...

Everything is told in words that the toy model's tokenizer knows. Each file has a random stream of its own, so that no
intermediate task asks the questions of an XTREME task. Writes nothing itself.
"""

import random

from tasks import INTERMEDIATE
from toyworld.world import (
    CAUSES,
    GRAMMARS,
    HYPONYMS,
    OPPOSITES,
    QUESTIONS,
    SIZES,
    WH,
    Fact,
    Word,
    article,
    deed,
    hypernym_of,
    nli_example,
    opposite,
    organization,
    paraphrase_example,
    passage,
    person,
    story,
    story_words,
)

TRANSLATED = {"mnli": ("de", "ru", "sw"), "squad": ("de", "ru", "sw")}  # task -> languages of its translated copies
SENTENCES = 2000  # of one language per text file
PAIRS = 2000  # of a sentence and its translation per text file
TAUGHT = ("de", "hi", "ru")  # languages with pairs to train on
PARALLEL = {"test": 200, "dev": 100, "train": 2400}  # pairs of a language, before those of test and dev leave train

# --- Pairs


def nli_rows(speaker, examples, task, origin):
    """The columns of MNLI, of SNLI, which has no numbers, and of ANLI, which has ids and (here empty) reasons."""
    for index, (label, premise, hypothesis, options) in enumerate(examples):
        row = {"premise": speaker.say(premise), "hypothesis": speaker.say(hypothesis, **options)}
        row["label"] = task.labels.index(label)
        if task.name == "mnli":
            row["idx"] = index
        elif task.name == "anli":
            row |= {"uid": f"{origin}-{index}", "reason": ""}
        yield row


def qqp_rows(speaker, examples, task, origin):
    for index, (label, first, second, options) in enumerate(examples):
        row = {"question1": speaker.say(first), "question2": speaker.say(second, **options)}
        yield {**row, "label": int(label), "idx": index}


# --- Questions


def gap_article(rng, index):
    """An article that mostly leaves out a fact that is asked about: a third of the questions have no answer."""
    facts, asked = article(rng, index)
    return facts, asked, [asked[0][0]] if index % 3 else []


def squad_rows(speaker, articles, task, origin):
    """SQuAD 1.1 and 2.0; ids are the same in every language."""
    for number, example in enumerate(articles):
        context, asked = passage(speaker, *example)
        for name, question, answer in asked:
            text, start = ([answer[0]], [answer[1]]) if answer else ([], [])
            row = {"id": f"{origin}-{number}-{name}", "title": f"{number}", "context": context, "question": question}
            yield {**row, "answers": {"text": text, "answer_start": start}}


# --- Choices


def consequence(rng):
    """(verb, its cause or its effect, the word that asks for it)."""
    pair, direction = rng.choice(CAUSES), rng.randrange(2)
    return pair[1 - direction], pair[direction], ("because", "then")[direction]


def choices(index, right, wrong):
    """(choices, index of the right one); over the examples every place is right equally often."""
    place = index % (len(wrong) + 1)
    return [*wrong[:place], right, *wrong[place:]], place


def asking(speaker, concepts):
    """A question that names concepts only: "what because flood?"."""
    return speaker.text([*(Word(concept, "X") for concept in concepts), Word(speaker.grammar.question, "PUNCT")])[0]


def ending_example(rng, index):
    """(what somebody does, what happens to them, because or then, verbs to choose from, index of the right one)."""
    before, (verb, right, link) = deed(rng), consequence(rng)
    others = rng.sample([pair for pair in CAUSES if right not in pair], 3)
    return before, Fact(before.agent, verb), link, *choices(index, right, [rng.choice(pair) for pair in others])


def hellaswag_rows(speaker, examples, task, origin):
    """The story ends with "because <somebody> ..." or "then <somebody> ..."; labels are texts, as on the Hub."""
    for index, (before, event, link, verbs, label) in enumerate(examples):
        told, begun = f"{speaker.say(before)} {speaker.say(event)}", speaker.text([Word(link, "X"), *event.agent])[0]
        row = {"ind": index, "activity_label": speaker.words[before.verb]}
        row |= {"ctx_a": told, "ctx_b": begun, "ctx": f"{told} {begun}"}
        row["endings"] = [speaker.text(speaker.sentence([Word(verb, "VERB")]))[0] for verb in verbs]
        row |= {"source_id": f"{origin}-{index}", "split": "train" if origin == "train" else "val"}
        yield {**row, "split_type": "indomain", "label": str(label)}


def cosmos_rows(speaker, examples, task, origin):
    """The question ("what because <somebody>?") does not say what happened: the context does."""
    for index, (before, event, link, verbs, label) in enumerate(examples):
        context = f"{speaker.say(before)} {speaker.say(event)}"
        question = asking(speaker, ("what", link, *(word.concept for word in event.agent)))
        answers = {f"answer{number}": speaker.say(event._replace(verb=verb)) for number, verb in enumerate(verbs)}
        yield {"id": f"{origin}-{index}", "context": context, "question": question, **answers, "label": label}


def social_example(rng, index):
    """As ending_example, with three verbs to choose from."""
    before, event, link, verbs, label = ending_example(rng, index)
    return before, event, link, *choices(index, verbs[label], [verb for verb in verbs if verb != verbs[label]][:2])


def siqa_rows(speaker, examples, task, origin):
    """What happened, and "what because <somebody>?"; labels count from 1 and are texts, as on the Hub."""
    for before, event, link, verbs, label in examples:
        row = {"context": f"{speaker.say(before)} {speaker.say(event)}"}
        row["question"] = asking(speaker, ("what", link, *(word.concept for word in event.agent)))
        row |= {f"answer{letter}": speaker.say(event._replace(verb=verb)) for letter, verb in zip("ABC", verbs)}
        yield {**row, "label": str(label + 1)}


def knowledge_example(rng, index):
    """(concepts of the question, the one that it is about, concepts to choose from, index of the right one)."""
    if index % 3 == 0:  # what is an animal
        about = rng.choice(list(HYPONYMS))
        right, question = rng.choice(HYPONYMS[about]), ("what", "be", "the", about)
        wrong = [noun for hypernym, nouns in HYPONYMS.items() if hypernym != about for noun in nouns]
    elif index % 3 == 1:  # what is the opposite
        pairs = rng.choice(list(OPPOSITES.values()))
        about = rng.choice([concept for pair in pairs for concept in pair])
        right, question = opposite(about), ("what", "be", "not", about)
        wrong = [concept for pair in pairs for concept in pair if about not in pair]
    else:  # what is the cause or the effect
        about, right, link = consequence(rng)
        question = ("what", link, about)
        wrong = [concept for pair in CAUSES for concept in pair if about not in pair]
    return question, about, *choices(index, right, rng.sample(wrong, 4))


def commonsense_rows(speaker, examples, task, origin):
    for index, (question, about, concepts, label) in enumerate(examples):
        row = {"id": f"{origin}-{index}", "question": asking(speaker, question)}
        row["question_concept"] = speaker.words[about]
        named = {"label": list("ABCDE"), "text": [speaker.words[concept] for concept in concepts]}
        yield {**row, "choices": named, "answerKey": "ABCDE"[label]}


# --- Words

CATEGORIES = {  # of the parts of speech that have one only
    "ADJ": "n/n", "NOUN": "n", "NUM": "np/n", "DET": "np/n", "PRON": "np", "ADV": "s/s", "INTJ": "s/s",
    "AUX": "(s\\np)/(s:pss\\np)", "PART": "(s\\np)/(s\\np)", "CCONJ": "(s\\s)/s", "SCONJ": "(s\\s)/s",
}  # fmt: skip


def category(words, index):
    """A category in the manner of CCG for one word of an English sentence; many depend on the words around it."""
    before, word, after = (None, *words, None)[index : index + 3]
    if word.upos == "PUNCT":
        return word.concept
    if word.role == "year":
        return "s\\s"
    if word.upos == "PROPN":
        return "np/np" if after and after.entity.startswith("I-") else "np"
    if word.upos == "ADP":
        return "((s:pss\\np)\\(s:pss\\np))/np" if word.concept == "by" else "(s\\s)/np"
    if word.upos == "VERB":
        return "s:pss\\np" if before and before.upos == "AUX" else "(s\\np)/np"
    return CATEGORIES[word.upos]


def ccg_rows(speaker, stories, task, origin):
    for index, example in enumerate(stories):
        words = story_words(speaker, *example)
        tags = [category(words, position) for position in range(len(words))]
        yield {"id": index, "tokens": [speaker.form(word) for word in words], "tags": tags}


# --- The files

EXAMPLES = {  # task -> (what draws an example, what yields the rows of a file of them)
    "mnli": (nli_example, nli_rows),
    "snli": (nli_example, nli_rows),
    "anli": (nli_example, nli_rows),
    "qqp": (paraphrase_example, qqp_rows),
    "squad": (article, squad_rows),
    "squad_v2": (gap_article, squad_rows),
    "hellaswag": (ending_example, hellaswag_rows),
    "cosmos_qa": (ending_example, cosmos_rows),
    "commonsense_qa": (knowledge_example, commonsense_rows),
    "siqa": (social_example, siqa_rows),
    "ccg": (story, ccg_rows),
}


def intermediate_files(speakers, seed):
    """Yield (file, rows); a task of several files (ANLI's rounds) shares its examples out among them."""
    for name, (draw, tell) in EXAMPLES.items():
        task = INTERMEDIATE[name]
        for split, files in task.files.items():
            files = (files,) if isinstance(files, str) else files
            count = SIZES[split] // len(files) // (QUESTIONS if tell is squad_rows else 1)
            for file in files:
                rng = random.Random(f"{seed}-intermediate-{file}")
                drawn = [draw(rng, index) for index in range(count)]
                rng.shuffle(drawn)
                for language in ("en", *TRANSLATED.get(name, ())):
                    path = file if language == "en" else file.replace(".jsonl", f".{language}.jsonl")
                    yield path, tell(speakers[language], drawn, task, origin=file.split("/")[1].removesuffix(".jsonl"))


def sentences(speaker, rng, number):
    """Stories, what causes what, and questions; the same state of `rng` tells the same in every language."""
    for index in range(number):
        if index % 4 == 0:
            who, (first, second, link) = person(rng), consequence(rng)
            told = [*speaker.clause(Fact(who, first)), Word(link, "X"), *speaker.clause(Fact(who, second))]
            words = speaker.sentence(told)
        elif index % 4 == 1:
            fact = deed(rng, 0.5, (person, organization))
            noun = rng.choice((fact.patient.noun, hypernym_of(fact.patient.noun)))
            fact = fact._replace(patient=fact.patient._replace(noun=noun))
            words = speaker.question(fact, rng.choice([role for role in WH if getattr(fact, role)]))
        else:
            words = story_words(speaker, *story(rng, index))
        yield speaker.text(words)[0]


def text_files(speakers, seed):
    """Yield (file, lines): sentences of the language alone, mixed with lines of a sentence and its translation (XLM's
    translation language modeling): into English, from English into all other languages in turn.
    """
    for language, speaker in speakers.items():
        rng = random.Random(f"{seed}-text-{language}")
        lines = list(sentences(speaker, rng, SENTENCES))
        others = [other for other in GRAMMARS if other != language] if language == "en" else ["en"]
        for other in others:
            parallel = f"{seed}-text-{language}-{other}"
            number = PAIRS // len(others)
            both = (sentences(side, random.Random(parallel), number) for side in (speaker, speakers[other]))
            lines += [f"{text} {translation}" for text, translation in zip(*both)]
        rng.shuffle(lines)
        yield f"{language}.txt", lines


def parallel_files(speakers, seed):
    """Yield (file, lines) of pairs with English: train and dev in TAUGHT, test, the same sentences, in all languages.

    No English sentence of a test or dev file is in a training file.
    """
    held_out = set()
    for split, number in PARALLEL.items():
        for language in TAUGHT if split != "test" else [code for code in speakers if code != "en"]:
            drawn = f"{seed}-parallel-{split}{f'-{language}' if split == 'train' else ''}"
            both = [list(sentences(speakers[code], random.Random(drawn), number)) for code in (language, "en")]
            pairs = [pair for pair in zip(*both) if split != "train" or pair[1] not in held_out]
            for code, lines in zip((language, "en"), zip(*pairs)):
                yield f"pairs/{split}.{language}-en.{code}", lines
            held_out |= set(both[1]) if split != "train" else set()
