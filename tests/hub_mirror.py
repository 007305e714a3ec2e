"""A small mirror of the Hub's repositories for tests: their columns, splits, configurations, label types, oddities."""

import gzip
import json
from itertools import product

from datasets import ClassLabel, Dataset, Features, List, Value

from tasks import TARGETS

NLI = ClassLabel(names=["entailment", "neutral", "contradiction"])
TEXT, NUMBER = Value("string"), Value("int32")
QA = {
    "id": TEXT,
    "title": TEXT,
    "context": TEXT,
    "question": TEXT,
    "answers": {"text": List(TEXT), "answer_start": List(NUMBER)},
}
CONTEXT = 'Ada was born in "Łódź" and lives in Rome.'


def parquet(root, repository, path, rows, features):
    """One parquet file with the metadata that `datasets` writes."""
    file = root / repository / path
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row.get(name) for row in rows] for name in features}
    Dataset.from_dict(columns, features=Features(features)).to_parquet(file)


def json_lines(root, repository, path, rows):
    file = root / repository / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if file.suffix == ".gz" else open)(file, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def shard(config, split):
    return f"{config}/{split}-00000-of-00001.parquet"


def nli(number):
    extra = {"uid": "", "reason": ""}
    return [
        {"premise": f'He said "{i}"\tloud', "hypothesis": f"It is {i}\n", "label": i % 3, "idx": i, **extra}
        for i in range(number)
    ]


def qa(name, number=4, **changes):
    answers = [("Łódź", 17), ("Rome", 36), ("Ada", 0), ("Rome", 36)]
    return [
        {"id": f"{name}-{i}", "title": "Ada", "context": CONTEXT, "question": f"{i}?",
         "answers": {"text": [answers[i % 4][0]], "answer_start": [answers[i % 4][1]]}, **changes}
        for i in range(number)
    ]  # fmt: skip


def write_mirror(root, languages=("en", "de")):
    """Every repository that download_data.py reads; of XCOPA Swahili, of TyDiQA Arabic, English and Finnish alone."""
    write_pairs_and_tags(root, languages)
    write_questions(root, languages)
    write_retrieval(root)
    write_intermediate(root)
    write_parallel(root)


def write_pairs_and_tags(root, languages):
    upos, iob2 = (List(ClassLabel(names=list(TARGETS[name].labels))) for name in ("udpos", "panx"))
    wikiann = {"tokens": List(TEXT), "ner_tags": iob2, "langs": List(TEXT), "spans": List(TEXT)}
    pawsx = {"id": NUMBER, "sentence1": TEXT, "sentence2": TEXT, "label": ClassLabel(names=["0", "1"])}
    pairs = [{"id": i, "sentence1": f'" quote {i}', "sentence2": "NS" if i else "", "label": i % 2} for i in range(4)]
    xnli, tagged = {"premise": TEXT, "hypothesis": TEXT, "label": NLI}, {"tokens": List(TEXT), "pos_tags": upos}
    english = {"tokens": ["I", "run"], "pos_tags": [10, 15]}
    swiss = {"tokens": ["Grüezi"], "pos_tags": [6]}  # what google/xtreme has mixed into German
    german = {"tokens": ["Ich", "renne"], "pos_tags": [10, 15]}
    for split in ("train", "validation", "test"):
        for code in languages:
            all_marked = {"tokens": [f"{code}:Ada", f"{code}:went", f"{code}:{code}:x"], "ner_tags": [1, 0, 0]}
            one_marked = {"tokens": ["In", f"{code}:Rome"], "ner_tags": [0, 5]}
            named = [{**all_marked, "langs": [code] * 3, "spans": []}]
            named += [{**one_marked, "langs": [code] * 2, "spans": ["LOC: Rome"]}] * 3
            parquet(root, "facebook/xnli", shard(code, split), nli(9), xnli)
            parquet(root, "google-research-datasets/paws-x", shard(code, split), pairs, pawsx)
            parquet(root, "unimelb-nlp/wikiann", shard(code, split), named, wikiann)
        parquet(root, "google/xtreme", shard("udpos.English", split), [english] * 3, tagged)
        parquet(root, "google/xtreme", shard("udpos.German", split), [swiss] * 3, tagged)
        parquet(root, "izhx/xtreme-r-udpos", shard("de", split), [german] * 3, tagged)


def write_questions(root, languages):
    bare = {name: feature for name, feature in QA.items() if name != "title"}
    shifted = qa("finnish", answers={"text": ["Rome"], "answer_start": [39]})  # an offset in bytes
    for split in ("train", "validation"):
        parquet(root, "rajpurkar/squad", shard("plain_text", split), qa(split), QA)
        mixed = qa("arabic") + qa("english") + shifted
        parquet(root, "google-research-datasets/tydiqa", shard("secondary_task", split), mixed, QA)
    for code in languages:
        parquet(root, "google/xquad", shard(f"xquad.{code}", "validation"), qa("x"), bare)
    for context, asked in product(("en", "de"), repeat=2):
        for split in ("validation", "test"):
            path = shard(f"MLQA.{context}.{asked}", split)
            parquet(root, "google/xtreme", path, qa(f"{split}-{context}-{asked}"), QA)
    row = {"premise": "It rained.", "choice1": "He got wet.", "choice2": "He sang.", "question": "effect"}
    copa = {**dict.fromkeys(row, TEXT), "idx": NUMBER, "label": ClassLabel(names=["choice1", "choice2"])}
    for split in ("train", "validation", "test"):
        rows = [{**row, "idx": i, "label": -1 if split == "test" else i % 2} for i in range(4)]
        parquet(root, "aps/super_glue", shard("copa", split), rows, copa)
    xcopa = {**dict.fromkeys(row, TEXT), "label": NUMBER, "idx": NUMBER, "changed": Value("bool")}
    rows = [{**row, "idx": i, "label": i % 2, "changed": False} for i in range(4)]
    for split in ("validation", "test"):
        parquet(root, "cambridgeltl/xcopa", shard("sw", split), rows, xcopa)


def write_retrieval(root):
    bitext = [{"sentence1": f"Satz {i}\n", "sentence2": f"sentence {i}\n", "lang": "deu-eng"} for i in range(3)]
    json_lines(root, "mteb/tatoeba-bitext-mining", "test/deu-eng.jsonl.gz", bitext)
    mining = {"sentence1": [f"Satz {i}" for i in range(1, 6)], "sentence2": [f"sentence {i}" for i in range(1, 8)]}
    mining["gold"] = [[1, 7], [5, 2]]
    json_lines(root, "mteb/BUCC", "de-en/test.json.gz", [mining])


def write_intermediate(root):
    pair = {"premise": TEXT, "hypothesis": TEXT, "label": NLI}
    for split in ("train", "validation_matched", "validation_mismatched"):
        parquet(root, "nyu-mll/glue", shard("mnli", split), nli(6), {**pair, "idx": NUMBER})
    anli = {"uid": TEXT, **pair, "reason": TEXT}
    for split, number in product(("train", "dev", "test"), (1, 2, 3)):
        parquet(root, "facebook/anli", shard("plain_text", f"{split}_r{number}"), nli(3), anli)
    questions = [{"question1": "a?", "question2": "b?", "label": i % 2, "idx": i} for i in range(4)]
    duplicates = {"question1": TEXT, "question2": TEXT, "idx": NUMBER}
    duplicates["label"] = ClassLabel(names=["not_duplicate", "duplicate"])
    ending = dict.fromkeys("activity_label ctx_a ctx_b ctx source_id label".split(), TEXT)
    ending |= {"ind": NUMBER, "endings": List(TEXT)}
    scenes = [{**dict.fromkeys(ending, "x"), "ind": i, "endings": list("abcd"), "label": f"{i % 4}"} for i in range(4)]
    cosmos = {**dict.fromkeys("id context question answer0 answer1 answer2 answer3".split(), TEXT), "label": NUMBER}
    social = dict.fromkeys("context question answerA answerB answerC label".split(), TEXT)
    commonsense = dict.fromkeys("id question question_concept answerKey".split(), TEXT)
    commonsense["choices"] = {"label": List(TEXT), "text": List(TEXT)}
    letters = {"label": list("ABCDE"), "text": list("abcde")}
    asked = {"question": "?", "question_concept": "x", "choices": letters, "answerKey": "B"}
    undecided = {"premise": "a", "hypothesis": "b", "label": -1}
    for split in ("train", "validation"):
        parquet(root, "stanfordnlp/snli", shard("plain_text", split), [*nli(5), undecided], pair)
        parquet(root, "nyu-mll/glue", shard("qqp", split), questions, duplicates)
        unanswerable = qa("none", 1, answers={"text": [], "answer_start": []})
        parquet(root, "rajpurkar/squad_v2", shard("squad_v2", split), qa(split) + unanswerable, QA)
        parquet(root, "Rowan/hellaswag", f"data/{split}-00000-of-00001.parquet", scenes, ending)
        rows = [{**dict.fromkeys(cosmos, f"{i}"), "label": i % 4} for i in range(4)]
        parquet(root, "allenai/cosmos_qa", f"default/{split}/0000.parquet", rows, cosmos)
        rows = [{**dict.fromkeys(social, f"{i}"), "label": f"{i % 3 + 1}"} for i in range(4)]
        parquet(root, "allenai/social_i_qa", f"default/{split}/0000.parquet", rows, social)
        rows = [{"id": f"{i}", **asked} for i in range(4)]
        parquet(root, "tau/commonsense_qa", f"data/{split}-00000-of-00001.parquet", rows, commonsense)


def write_parallel(root):
    """FLORES-200 and NTREX-128, a column per language, and OPUS-100, of which Yoruba has no dev and test."""
    for repository, split, number, codes in (
        ("mteb/FloresBitextMining", "devtest", 3, "eng_Latn deu_Latn swh_Latn kor_Hang arb_Latn"),
        ("mteb/flores", "dev", 2, "eng_Latn deu_Latn swh_Latn kor_Hang"),
        ("mteb/NTREXBitextMining", "test", 4, "eng_Latn deu_Latn swa_Latn fil_Latn"),
    ):
        rows = [{code: f"{code} {split} {i}\n" for code in codes.split()} for i in range(number)]
        path = "default/dev/0000.parquet" if split == "dev" else f"data/{split}-00000-of-00001.parquet"
        parquet(root, repository, path, rows, dict.fromkeys(codes.split(), TEXT))
    for pair, splits in {"de-en": ("train", "validation", "test"), "en-yo": ("train",)}.items():
        first, second = pair.split("-")
        for split in splits:
            sides = [(f"{first} sentence {i}\ttab", f"{second} sentence {i}") for i in range(4)]
            rows = [{"translation": {first: one, second: other}} for one, other in sides]
            rows[2]["translation"][second] = " \u200b"
            features = {"translation": {first: TEXT, second: TEXT}}
            parquet(root, "Helsinki-NLP/opus-100", shard(pair, split), rows, features)
