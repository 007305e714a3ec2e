"""A template table of MultiCheckList's form, and names, in the languages of the invented world (multichecklist.py).

Templates are concepts in English's order: what matters is that answers can be read off, not grammar.
"""

from toyworld.world import CITY, CLASSES, GIVEN, GRAMMARS, HYPONYMS, OPPOSITES

# test -> (contexts, [(question, answer)], {argument: values}); words are concepts, others stay as they are
TESTS = {
    "A is COMP than B. Who is more / less COMP?": (
        ("{first_name} be {adj[0]} and {first_name1} be {adj[1]} .",),
        (("who be {adj[0]} ?", "{first_name}"), ("who be {adj[1]} ?", "{first_name1}")),
        {"adj": [", ".join(pair) for pair in OPPOSITES["ADJ"]]},
    ),
    "Intensifiers (very, super, extremely) and reducers (somewhat, kinda, etc)?": (
        ("{first_name} be {very} {s} . {first_name1} be {s} .", "{first_name1} be {s} . {first_name} be {very} {s} ."),
        (("who be {very} {s} ?", "{first_name}"),),
        {"state": CLASSES["ADJ"], "very": ("often",), "somewhat": ("then",)},
    ),
    "size, shape, age, color": (
        ("the {obj[1]} be {p.v1} and {p.v2} .",),
        (("what {p.p1} be the {obj[0]} ?", "{p.v1}"), ("what {p.p2} be the {obj[0]} ?", "{p.v2}")),
        {
            "obj": [f"{noun}, {noun}" for noun in HYPONYMS["tool"]],
            "property": ("bank", "school", "club"),
            **dict(zip(("bank", "school", "club"), OPPOSITES["ADJ"])),
        },
    ),
    "Profession vs nationality": (
        ("{first_name} be the {nationality} {profession} .",),
        (("who be {first_name} ?", "{profession}"), ("where be {first_name} ?", "{nationality}")),
        {"nationality": CITY, "profession": HYPONYMS["fruit"]},
    ),
    "Animal vs Vehicle": (
        ("{first_name} find the {animal} and {first_name1} find the {vehicle} .",),
        (("who find the animal ?", "{first_name}"), ("who find the tool ?", "{first_name1}")),
        {"animal": HYPONYMS["animal"], "vehicle": HYPONYMS["tool"]},
    ),
    "Animal vs Vehicle v2": (
        ("{first_name} find the {animal} and the {vehicle} .",),
        (("what animal find {first_name} ?", "{animal}"), ("what tool find {first_name} ?", "{vehicle}")),
        {},
    ),
}


def said(speaker, text):
    """A template, or the parts of a value, in the speaker's language."""
    marks = {".": speaker.grammar.stop, "?": speaker.grammar.question}
    words = [marks.get(word, speaker.words.get(word, word)) for word in text.split(" ")]
    joined = speaker.grammar.space.join(words)
    for mark in filter(None, marks.values()):
        joined = joined.replace(f"{speaker.grammar.space}{mark}", mark)
    return joined


def rows(speakers, field, text):
    parts = text.split(", ")
    return "\t".join([field, *(", ".join(said(speaker, part) for part in parts) for speaker in speakers.values())])


def checklist_files(speakers):
    """Yield (file, lines): the table, whose properties are named by their English words, and the names."""
    order = {language: speakers[language] for language in GRAMMARS}
    lines = ["\t".join(["Field", *order])]
    for name, (contexts, pairs, arguments) in TESTS.items():
        lines += [f"Name\t{name}", "Capability\tToy", *(rows(order, "Context", text) for text in contexts)]
        for question, answer in pairs:
            lines += [rows(order, "Question", question), rows(order, "Answer", answer)]
        for argument, values in arguments.items():
            field = said(speakers["en"], argument) if argument in arguments.get("property", ()) else argument
            lines += [rows(order, field, value) for value in values]
        lines.append("")
    yield "templates.tsv", lines
    yield "names.tsv", [f"{code}\t{speaker.words[name]}" for code, speaker in order.items() for name in GIVEN]
