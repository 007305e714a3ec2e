"""Write a small invented world: XTREME's tasks, intermediate tasks, text, and a tiny XLM-R that "knows" its languages.

    python toy_data.py --output_dir toy [--seed 0]

Writes
    toy/xtreme/        every task of XTREME and XTREME-R (xnli pawsx udpos panx squad xquad mlqa tydiqa xcopa tatoeba
                       bucc2018 lareqa mewslix) as in google/xtreme's download folder: English train and dev, test in
                       nine languages, seven scripts
    toy/intermediate/  mnli snli anli qqp squad squad_v2 hellaswag cosmos_qa commonsense_qa siqa ccg in English, with
                       the Hub's columns; mnli and squad also in de, ru and sw, line by line (mnli/train.de.jsonl)
    toy/checklist/     templates.tsv and names.tsv for multichecklist.py
    toy/text/          text for masked language modeling (de.txt): sentences, and sentences beside their translation
    toy/parallel/      sentences with their English translation (pairs/train.de-en.de and .en): train and dev in de, hi
                       and ru, test, the same sentences, in all languages
    toy/model/         XLMRobertaModel (float32) with a SentencePiece unigram tokenizer of its own, for AutoModel
    toy/toy.json       the marker of a complete folder: seed, version of its source files, size of every file
A second run finds the marker and does nothing. The same seed gives the same bytes.

The world: people, organizations and places do things to things, somewhere, in some year. A *concept* ("buy", "cat")
has one invented word per language, spelled from the syllables of that language's script (no real words: the codes name
the script, the grammar sketch and the punctuation); names keep their syllables in every script, as transliterated
names do. Every task asks about facts of this world.

The model is not pretrained. What masked language modeling on many languages gives to XLM-R is imitated by its
initialization:
    - pieces of translation-equivalent words start close to each other (a vector per concept, near that of its word
      class, plus a little noise per language), so that fine-tuning in English carries over to the other languages;
    - positions start as sinusoids, and attention with a liking for equal concepts and for neighbors (queries equal
      keys).
It stands in for the pretraining that run_intermediate.py does, good for demonstrations and tests only: no score on
this world says anything about real languages.

Copy with it: common/ tasks.py toyworld/. Packages, for the model only: protobuf, sentencepiece, torch, transformers.
"""

import hashlib
import json
import os
import random
import tempfile
from pathlib import Path

from common.arguments import Parser
from common.files import InputError, check_output_dir, write_json
from common.text import show
from tasks import LANGUAGES, TARGETS
from toyworld.checklist import checklist_files
from toyworld.entities import mewslix_files
from toyworld.intermediate import intermediate_files, parallel_files, text_files
from toyworld.world import (
    GRAMMARS,
    QUESTIONS,
    SIZES,
    Speaker,
    article,
    choice_example,
    distinct,
    lexicon,
    nli_example,
    paraphrase_example,
    passage,
    story,
    story_words,
)

SOURCES = (
    "toy_data.py",
    *(f"toyworld/{name}.py" for name in ("world", "entities", "intermediate", "checklist", "model")),
)
DEV_LANGUAGES = ("en", "de", "zh")
MARKER = "toy.json"

# --- XTREME's tasks: toyworld draws examples, a speaker writes them


def pairs(speaker, examples):
    for label, first, second, options in examples:
        yield f"{speaker.say(first)}\t{speaker.say(second, **options)}\t{label}"


def tagged(speaker, stories, field):
    for example in stories:
        for word in story_words(speaker, *example):
            yield f"{speaker.form(word)}\t{getattr(word, field)}"
        yield ""


def squad(speaker, articles, prefix):
    """SQuAD JSON; ids are those of every language (XQuAD, MLQA) unless `prefix` names the language (TyDiQA)."""
    data = []
    for number, example in enumerate(articles):
        context, asked = passage(speaker, *example)
        qas = []
        for name, question, (answer, start) in asked:
            answers = [{"text": answer, "answer_start": start}]
            qas.append({"id": f"{prefix}{number}-{name}", "question": question, "answers": answers})
        data.append({"title": f"{number}", "paragraphs": [{"context": context, "qas": qas}]})
    return {"version": "1.1", "data": data}


def squad_with_sentences(speaker, articles):
    """XQuAD-R: SQuAD JSON with the spans of every paragraph's sentences."""
    document = squad(speaker, articles, "")
    for (facts, _), one in zip(articles, document["data"]):
        (paragraph,), breaks, end = one["paragraphs"], [], 0
        for fact, options in facts:
            sentence = speaker.say(fact, **options)
            start = paragraph["context"].index(sentence, end)
            end = start + len(sentence)
            breaks.append([start, end])
        paragraph |= {"sentence_breaks": breaks, "sentences": [paragraph["context"][i:j] for i, j in breaks]}
    return document


def choices(speaker, examples):
    for index, (premise, right, wrong, question, label) in enumerate(examples):
        first, second = (right, wrong) if label == 0 else (wrong, right)
        row = {"premise": speaker.say(premise), "choice1": speaker.say(first), "choice2": speaker.say(second)}
        row |= {"question": question, "label": label, "idx": index, "changed": False}
        yield json.dumps(row, ensure_ascii=False)


def bitext(rng, source, english, number=130, gold=50):
    """({side: lines}, gold lines): both sides hold the same `gold` facts, shuffled among others."""
    facts = distinct(rng, 2 * number - gold)
    sides = {"source": facts[:number], "english": facts[:gold] + facts[number:]}
    lines, ids = {}, {}
    for (side, told), speaker in zip(sides.items(), (source, english)):
        rng.shuffle(told)
        ids[side] = {fact: f"{speaker.language}-{index:09d}" for index, fact in enumerate(told, start=1)}
        lines[side] = [f"{name}\t{speaker.say(fact)}" for fact, name in ids[side].items()]
    same = [(ids["source"][fact], ids["english"][fact]) for fact in facts[:gold]]
    return lines, [f"{left}\t{right}" for left, right in sorted(same)]


EXAMPLES = {  # task -> (what draws an example, what writes a file of them)
    "xnli": (nli_example, pairs),
    "pawsx": (paraphrase_example, pairs),
    "udpos": (story, tagged),
    "panx": (story, tagged),
    "xquad": (article, squad),
    "mlqa": (article, squad),
    "tydiqa": (article, squad),
    "xcopa": (choice_example, choices),
}
PARALLEL = ("xnli", "pawsx", "xquad", "mlqa", "xcopa")  # the same examples in every language


def languages_of(name):
    """Languages of this world that the task has in some version of the benchmark."""
    known = {language for version in TARGETS[name].languages.values() for language in version}
    return [language for language in GRAMMARS if language in known]


def write(root, template, language, lines):
    path = root / template.format(lang=language)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(lines, ensure_ascii=False) if isinstance(lines, dict) else "".join(line + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_task(root, name, speakers, seed):
    """Files of one task: English train, a few dev files, test in every language."""
    draw, tell = EXAMPLES[name]
    tests = languages_of(name)
    dev = [language for language in DEV_LANGUAGES if language in ("en", *tests)]
    for split, languages in {"train": ["en"], "dev": dev, "test": tests}.items():
        template = TARGETS[name].files[split]
        for language in languages if "{lang}" in template else ["en"]:
            rng = random.Random(f"{seed}-{template if name in PARALLEL else template.format(lang=language)}")
            count = SIZES[split] // (QUESTIONS if tell is squad else 1)
            drawn = [draw(rng, index) for index in range(count)]
            rng.shuffle(drawn)
            prefix = f"{LANGUAGES[language].name.lower()}-" if name == "tydiqa" else ""
            more = {squad: (prefix,), tagged: ("upos" if name == "udpos" else "entity",)}.get(tell, ())
            write(root, template, language, tell(speakers[language], drawn, *more))


def write_retrieval(root, speakers, seed):
    tatoeba, bucc = TARGETS["tatoeba"].files, TARGETS["bucc2018"].files
    for language in languages_of("tatoeba"):
        for side, speaker in (("test", speakers[language]), ("test_english", speakers["en"])):
            facts = distinct(random.Random(f"{seed}-tatoeba-{language}"), 100)
            write(root, tatoeba[side], language, [speaker.say(fact) for fact in facts])
    for language in languages_of("bucc2018"):
        for split in ("dev", "test"):
            rng = random.Random(f"{seed}-bucc2018-{split}-{language}")
            lines, gold = bitext(rng, speakers[language], speakers["en"])
            write(root, bucc[split], language, lines["source"])
            write(root, bucc[f"{split}_english"], language, lines["english"])
            write(root, bucc[f"{split}_gold"], language, gold)
    for language in languages_of("lareqa"):
        rng = random.Random(f"{seed}-lareqa")
        articles = [article(rng, index) for index in range(SIZES["test"] // QUESTIONS)]
        write(root, TARGETS["lareqa"].files["test"], language, squad_with_sentences(speakers[language], articles))
    for name, rows in mewslix_files(speakers, seed, languages_of("mewslix")):
        lines = rows if isinstance(rows, dict) else [json.dumps(row, ensure_ascii=False) for row in rows]
        write(root, f"mewslix/{name}", "en", lines)


# --- The folder


def fingerprint():
    """Changes when a source file of the world does: a folder of another version is not silently reused."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in SOURCES)).hexdigest()[:12]


def generate(output_dir, seed=0):
    """Write the world and the model to `output_dir` (absent or empty); complete or not at all."""
    from toyworld.model import build_model  # here: torch takes seconds, and neither --help nor a second run needs it

    output = Path(output_dir).absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as scratch:
        root = Path(scratch) / output.name
        words = lexicon(seed)
        speakers = {language: Speaker(language, words) for language in GRAMMARS}
        for name in EXAMPLES:
            write_task(root / "xtreme", name, speakers, seed)
        write_retrieval(root / "xtreme", speakers, seed)
        for name, rows in intermediate_files(speakers, seed):
            write(root / "intermediate", name, "en", [json.dumps(row, ensure_ascii=False) for row in rows])
        for name, lines in checklist_files(speakers):
            write(root / "checklist", name, "en", lines)
        for name, sentences in text_files(speakers, seed):
            write(root / "text", name, "en", sentences)
        for name, lines in parallel_files(speakers, seed):
            write(root / "parallel", name, "en", lines)
        build_model(root / "model", speakers, words, seed)
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in files}
        write_json(root / MARKER, {"seed": seed, "version": fingerprint(), "files": sizes})
        os.rename(root, output)  # replaces an empty folder, fails on any other


def is_complete(output, seed):
    """Whether the folder is there, made with this seed and version; raises InputError when it is something else."""
    check_output_dir(output, MARKER)
    if not (output / MARKER).exists():
        return False
    try:
        marker = json.loads((output / MARKER).read_text(encoding="utf-8"))
        made, version, files = marker["seed"], marker["version"], marker["files"].items()
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        raise InputError(f"--output_dir {output}: its {MARKER} is broken; choose another folder") from None
    if (made, version) != (seed, fingerprint()):
        raise InputError(
            f"--output_dir {output}: written with seed {made} by version {version}; delete it or choose another folder"
        )
    for name, size in files:
        if not (output / name).is_file() or (output / name).stat().st_size != size:
            raise InputError(f"{output / name}: missing or changed since it was written; delete {output}, run again")
    return True


def main(argv=None):
    parser = Parser(prog="toy_data.py", description=__doc__)
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="folder to write: absent, empty, or complete already"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    args = parser.parse_args(argv)
    output = args.output_dir
    try:
        if is_complete(output, args.seed):
            return show(f"{output} is there already, complete.")
        generate(output, args.seed)
    except InputError as error:
        parser.error(error)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again\n")
    except OSError as error:
        problem = f"--output_dir {output}: cannot be written ({error.strerror}); choose another folder"
        parser.exit(1, f"{parser.prog}: error: {problem}\n")
    show(f"Wrote {output}/xtreme, {output}/intermediate, {output}/text, {output}/parallel and {output}/model.")


if __name__ == "__main__":
    main()
