"""What run_intermediate.py trains on in the invented world of toy_data.py: the intermediate tasks in the Hub's
columns, and text.

    intermediate_files(speakers, seed)    ("mnli/train.jsonl", rows), ... in English; TRANSLATED tasks also as "mnli/train.de.jsonl"
    text_files(speakers, seed)            ("de.txt", lines), ... for masked language modeling

Everything is told in words that the toy model's tokenizer knows. Each file has a random stream of its own, so that no
intermediate task asks the questions of an XTREME task. Writes nothing itself.
"""

import random

from tasks import INTERMEDIATE
from toyworld.world import (
    CAUSES,
    GRAMMARS,
    KINDS,
    OPPOSITES,
    QUESTIONS,
    SIZES,
    WH,
    Fact,
    Word,
    article,
    deed,
    kind_of,
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

# ---------------------------------------------------------------- pairs


def nli_rows(speaker, examples, task, origin):
    """The columns of MNLI, of SNLI, which has no numbers, and of ANLI, which has ids and (here empty) reasons."""
    for index, (label, premise, hypothesis, options) in enumerate(examples):
        row = {
            "premise": speaker.say(premise),
            "hypothesis": speaker.say(hypothesis, **options),
            "label": task.labels.index(label),
        }
        if task.name == "mnli":
            row["idx"] = index
        elif task.name == "anli":
            row |= {"uid": f"{origin}-{index}", "reason": ""}
        yield row


def qqp_rows(speaker, examples, task, origin):
    for index, (label, first, second, options) in enumerate(examples):
        yield {
            "question1": speaker.say(first),
            "question2": speaker.say(second, **options),
            "label": int(label),
            "idx": index,
        }


# ---------------------------------------------------------------- questions


def gap_article(rng, index):
    """An article that, two times out of three, leaves out a fact that is asked about: about a third of the questions
    have no answer.
    """
    facts, asked = article(rng, index)
    return facts, asked, [asked[0][0]] if index % 3 else []


def squad_rows(speaker, articles, task, origin):
    """SQuAD 1.1 and 2.0; ids are the same in every language."""
    for number, example in enumerate(articles):
        context, asked = passage(speaker, *example)
        for name, question, found in asked:
            answers = {"text": [found[0]], "answer_start": [found[1]]} if found else {"text": [], "answer_start": []}
            yield {
                "id": f"{origin}-{number}-{name}",
                "title": f"{number}",
                "context": context,
                "question": question,
                "answers": answers,
            }


# ---------------------------------------------------------------- choices


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
        yield {
            "ind": index, "activity_label": speaker.words[before.verb], "ctx_a": told, "ctx_b": begun, "ctx": f"{told} "
                                                                                                              f"{begun}",
            "endings": [speaker.text(speaker.sentence([Word(verb, "VERB")]))[0] for verb in verbs], "source_id": f"{origin}-{index}",
            "split": "train" if origin == "train" else "val", "split_type": "indomain", "label": str(label),
        }  # fmt: skip


def cosmos_rows(speaker, examples, task, origin):
    """The question ("what because <somebody>?") does not say what happened: the context does."""
    for index, (before, event, link, verbs, label) in enumerate(examples):
        context = f"{speaker.say(before)} {speaker.say(event)}"
        question = asking(speaker, ("what", link, *(word.concept for word in event.agent)))
        answers = {f"answer{number}": speaker.say(event._replace(verb=verb)) for number, verb in enumerate(verbs)}
        yield {"id": f"{origin}-{index}", "context": context, "question": question, **answers, "label": label}


def knowledge_example(rng, index):
    """(concepts of the question, the one that it is about, concepts to choose from, index of the right one)."""
    if index % 3 == 0:  # what is an animal
        about = rng.choice(list(KINDS))
        right, question = rng.choice(KINDS[about]), ("what", "be", "the", about)
        wrong = [noun for kind, nouns in KINDS.items() if kind != about for noun in nouns]
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
        row = {
            "id": f"{origin}-{index}",
            "question": asking(speaker, question),
            "question_concept": speaker.words[about],
        }
        named = {"label": list("ABCDE"), "text": [speaker.words[concept] for concept in concepts]}
        yield {**row, "choices": named, "answerKey": "ABCDE"[label]}


# ---------------------------------------------------------------- words

CATEGORIES = {  # of the parts of speech that have one only
    "ADJ": "n/n", "NOUN": "n", "NUM": "np/n", "DET": "np/n", "PRON": "np", "ADV": "s/s", "AUX": "(s\\np)/(s:pss\\np)",
    "PART": "(s\\np)/(s\\np)", "CCONJ": "(s\\s)/s", "SCONJ": "(s\\s)/s", "INTJ": "s/s",
}  # fmt: skip


def category(words, index):
    """A category in the manner of CCG for one word of an English sentence; many depend on the words around it."""
    word, before, after = (
        words[index],
        words[index - 1] if index else None,
        words[index + 1] if index + 1 < len(words) else None,
    )
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
        yield {
            "id": index,
            "tokens": [speaker.form(word) for word in words],
            "tags": [category(words, position) for position in range(len(words))],
        }


# ---------------------------------------------------------------- the files

EXAMPLES = {
    "mnli": (nli_example, nli_rows), "snli": (nli_example, nli_rows), "anli": (nli_example, nli_rows), "qqp": (paraphrase_example, qqp_rows),
    "squad": (article, squad_rows), "squad_v2": (gap_article, squad_rows), "hellaswag": (ending_example, hellaswag_rows),
    "cosmos_qa": (ending_example, cosmos_rows), "commonsense_qa": (knowledge_example, commonsense_rows), "ccg": (story, ccg_rows),
}  # fmt: skip


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
            words = speaker.sentence(
                [*speaker.clause(Fact(who, first)), Word(link, "X"), *speaker.clause(Fact(who, second))]
            )
        elif index % 4 == 1:
            fact = deed(rng, 0.5, (person, organization))
            noun = rng.choice((fact.patient.noun, kind_of(fact.patient.noun)))
            fact = fact._replace(patient=fact.patient._replace(noun=noun))
            words = speaker.question(fact, rng.choice([role for role in WH if getattr(fact, role)]))
        else:
            words = story_words(speaker, *story(rng, index))
        yield speaker.text(words)[0]


def text_files(speakers, seed):
    """Yield (file, lines): sentences of the language alone, mixed with lines of a sentence and its translation, as
    XLM's translation language modeling reads them: into English, from English into all other languages in turn.
    """
    for language, speaker in speakers.items():
        rng = random.Random(f"{seed}-text-{language}")
        lines = list(sentences(speaker, rng, SENTENCES))
        others = [other for other in GRAMMARS if other != language] if language == "en" else ["en"]
        for other in others:
            parallel = f"{seed}-text-{language}-{other}"
            both = (
                sentences(side, random.Random(parallel), PAIRS // len(others)) for side in (speaker, speakers[other])
            )
            lines += [f"{text} {translation}" for text, translation in zip(*both)]
        rng.shuffle(lines)
        yield f"{language}.txt", lines
