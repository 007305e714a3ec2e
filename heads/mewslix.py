"""Mewsli-X's files: mentions of entities in Wikipedia (English, training) and in news, and descriptions of entities.

Layout and texts are those of XTREME-R (utils_mewslix.py); docs/data.md lists the columns.
"""

import contextlib
import re
from functools import lru_cache

from datasets import Dataset

from common.files import InputError
from heads import check_texts, check_unique, path_of, read_json, read_jsonl
from tasks import TARGETS


def read_pairs(task, data_dir, split):
    """Rows {id, question, answer} of wikipedia_pairs: a marked mention, and the description of its entity."""
    (path,) = path_of(task, data_dir, split, "en")
    rows = []
    for number, row in read_jsonl(path, ("contextual_mention", "entity"), task):
        with _form(path, number):
            mention = row["contextual_mention"]
            text = mention_text(mention["context"], mention["mention"])
            rows.append({"id": str(number), "question": text, "answer": entity_text(row["entity"])})
    return Dataset.from_list(rows)


def read_questions(task, folder, language):
    """Rows {id, question, targets, paragraph} of the mentions in one language's news; a paragraph is a context.

    `targets` [entity id] are those of wikinews_labels, or of the mentions themselves where that file is absent; None
    where they are "", as XTREME-R withholds them.
    """
    (path,), (gold_path,) = (path_of(task, folder, split, language) for split in ("test", "test_gold"))
    gold = _read_gold(gold_path) if gold_path.exists() else None
    rows = []
    for number, row in read_jsonl(path, ("context", "mentions"), task):
        with _form(path, number):
            for mention in row["mentions"]:
                name = mention["example_id"]
                entity = mention.get("entity_id") or "" if gold is None else gold.get(name)
                check_texts(path, number, {"example_id": name, f"the label of {name}": entity})
                text = mention_text(row["context"], mention)
                rows.append({"id": name, "question": text, "targets": [entity.strip()], "paragraph": number})
    if not rows:
        raise InputError(f"{path}: no mentions in the file; download it again")
    check_unique(path, [row["id"] for row in rows])
    labeled = [bool(row["targets"][0]) for row in rows]
    if any(labeled) and not all(labeled):
        name = rows[labeled.index(False)]["id"]
        raise InputError(f"{path}: mention {name} has no entity, unlike others; give all an entity or none")
    return Dataset.from_list(rows if all(labeled) else [{**row, "targets": None} for row in rows])


def _read_gold(path):
    """{example id: its one entity} of wikinews_labels."""
    gold = read_json(path)
    if not isinstance(gold, dict) or not all(isinstance(value, list) and len(value) == 1 for value in gold.values()):
        raise InputError(f"{path}: not of the form {{example id: [entity id]}}; copy XTREME-R's file again")
    return {name: entities[0] for name, entities in gold.items()}


def read_candidates(task, folder, data_dir):
    """(ids, texts, None) of candidate_set_entities.jsonl, the same for every language; targets stand in the rows."""
    paths = [path_of(task, root, "candidates", "en")[0] for root in (folder, data_dir)]
    path = next((path for path in paths if path.exists()), paths[-1])
    return *_read_entities(path, path.exists() and path.stat().st_mtime_ns), None


@lru_cache(maxsize=1)  # a million texts, read once for all conditions
def _read_entities(path, changed):
    """(ids, texts) of a file that was `changed` then."""
    ids, texts = [], []
    for number, row in read_jsonl(path, ("entity_id", "description", "sentence_spans"), TARGETS["mewslix"]):
        with _form(path, number):
            check_texts(path, number, {name: row[name] for name in ("entity_id", "description")})
            ids.append(row["entity_id"])
            texts.append(entity_text(row))
    check_unique(path, ids)
    return ids, texts


def mention_text(context, mention):
    """`<mention>: <left> { <mention> } <right>`: the sentence of the mention, which is marked by braces in it.

    Braces of the text itself become parentheses. ValueError where no one sentence holds the mention.
    """
    text, (begin, end) = context["text"], _span(mention["mention_span"], context["text"])
    sentences = [_span(span, text) for span in context["sentence_spans"]]
    around = next(((first, last) for first, last in sentences if first <= begin < end <= last), None)
    if around is None:
        raise ValueError(f"no one sentence holds the mention from {begin} to {end}")
    left, right = (re.sub(r"\{(.*?)\}", r"(\1)", side) for side in (text[around[0] : begin], text[end : around[1]]))
    return _one_line(f"{text[begin:end]}: {left} {{ {text[begin:end]} }} {right}")


def entity_text(entity):
    """The sentences of an entity's description, without its title."""
    text = entity["description"]
    return _one_line(" ".join(text[slice(*_span(span, text))] for span in entity["sentence_spans"]))


def _span(span, text):
    """(start, end) in characters of a text."""
    start, end = span["start"], span["end"]
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(text):
        raise ValueError(f"{start!r} to {end!r} is no span of {len(text)} characters")
    return start, end


def _one_line(text):
    """Line breaks as blanks, pairs of blanks as one, in one pass as XTREME-R does."""
    return " ".join(text.splitlines()).replace("  ", " ").strip()


@contextlib.contextmanager
def _form(path, number):
    """What is not of Mewsli-X's form becomes an InputError that names file and line."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"{path}, line {number}: not Mewsli-X's form ({problem}); its columns are in docs/data.md"
        ) from None
