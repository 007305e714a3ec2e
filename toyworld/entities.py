"""Mewsli-X of the invented world: people who are described in some language and mentioned in the news of others."""

import random

from toyworld.world import FAMILY, GIVEN, GRAMMARS, Word, deed

ENTITIES, PAIRS, MENTIONS = 100, {"train": 300, "dev": 60}, 60


def people(seed):
    """[(id, person, two facts of them, language of their description)], everybody there is of a given and a family
    name.
    """
    rng, languages = random.Random(f"{seed}-mewslix-people"), list(GRAMMARS)
    names = [(given, family) for given in GIVEN for family in FAMILY][:ENTITIES]
    for index, (given, family) in enumerate(names):
        who = Word(given, "PROPN", "B-PER"), Word(family, "PROPN", "I-PER")
        yield (
            f"Q{index + 1}",
            who,
            [deed(rng)._replace(agent=who) for _ in range(2)],
            languages[index % len(languages)],
        )


def joined(speaker, told):
    """(text, spans of its sentences) of facts."""
    text, spans = "", []
    for fact in told:
        text += " " if text else ""
        spans.append({"start": len(text), "end": len(text) + len(speaker.say(fact))})
        text += speaker.say(fact)
    return text, spans


def description(speaker, name, who, facts):
    text, spans = joined(speaker, facts)
    about = {"entity_id": name, "title": speaker.text(who)[0], "description": text, "sentence_spans": spans}
    return {**about, "description_language": speaker.language, "description_url": f"https://example.org/{name}"}


def mention(speaker, rng, name, who, facts, example):
    """(context, mention): one of the facts, or another about the same person, between two about others."""
    fact = rng.choice((*facts, deed(rng)._replace(agent=who)))
    text, spans = joined(speaker, [deed(rng), fact, deed(rng)])
    surface = speaker.text(who)[0]
    start = text.index(surface, spans[1]["start"])
    place = {"start": start, "end": start + len(surface), "text": surface}
    context = {"document_title": "", "document_url": "", "document_id": example, "language": speaker.language}
    context |= {"text": text, "sentence_spans": spans}
    return context, {"example_id": example, "mention_span": place, "entity_id": name}


def mewslix_files(speakers, seed, languages):
    """(path below mewslix/, rows or one object) of every file in XTREME-R's layout."""
    known = list(people(seed))
    described = {name: description(speakers[language], name, who, facts) for name, who, facts, language in known}
    yield "candidate_set_entities.jsonl", list(described.values())
    for split, number in PAIRS.items():
        rng, rows = random.Random(f"{seed}-mewslix-{split}"), []
        for index in range(number):
            name, who, facts, _ = rng.choice(known)
            context, one = mention(speakers["en"], rng, name, who, facts, f"{split}-{index}")
            pair = {"contextual_mention": {"context": context, "mention": one}}
            rows.append({**pair, "entity": description(speakers["en"], name, who, facts)})
        yield f"wikipedia_pairs-{split}.jsonl", rows
    for language in languages:
        rng, rows, gold = random.Random(f"{seed}-mewslix-test-{language}"), [], {}
        for index in range(MENTIONS):
            name, who, facts, _ = rng.choice(known)
            context, one = mention(speakers[language], rng, name, who, facts, f"{language}-{index}")
            rows.append({"context": context, "mentions": [one]})
            gold[one["example_id"]] = [name]
        yield f"wikinews_mentions/test-{language}.jsonl", rows
        yield f"wikinews_labels/test-{language}.json", gold
