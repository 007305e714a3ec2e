"""Write a small invented world as XTREME's tasks, intermediate tasks and text, and a tiny XLM-R that has "seen" its
languages.

    python toy_data.py --output_dir toy [--seed 0]

Writes
    toy/xtreme/        every XTREME task (xnli pawsx udpos panx squad xquad mlqa tydiqa xcopa tatoeba bucc2018), files and formats of
                       google/xtreme's download folder: English train and dev, test in nine languages and seven scripts
    toy/intermediate/  the intermediate tasks (mnli snli anli qqp squad squad_v2 hellaswag cosmos_qa commonsense_qa ccg) in English, in
                       the Hub's columns; mnli and squad also in de, ru and sw, line by line (mnli/train.de.jsonl)
    toy/text/          text for masked language modeling (de.txt): sentences, and sentences with their translation on the same line
    toy/model/         XLMRobertaModel (float32) with its own SentencePiece unigram tokenizer, loadable by AutoModel and AutoTokenizer
    toy/toy.json       the marker of a complete folder: seed, version of its source files, size of every file
A second run finds the marker and does nothing. The same seed gives the same bytes.

The world: people, organizations and places do things to things, somewhere, in some year. A *concept* ("buy", "cat")
has one invented word per language, spelled from the syllables of that language's script (no real words: the codes name
the script, the grammar sketch and the punctuation); names keep their syllables in every script, as transliterated
names do. Every task asks about facts of this world.

The model is no pre-trained model. What masked language modeling on many languages gives to XLM-R is imitated by its
initialization:
    - pieces of translation-equivalent words start close to each other (one vector per concept, near that of its word class, plus a
      little noise per language), so that fine-tuning in English carries over to the other languages;
    - positions start as sinusoids, and attention starts with a liking for equal concepts and for neighbors (queries equal keys).
It is a stand-in for the pre-training that run_intermediate.py does, good for demonstrations and tests only: no score
on this world says anything about real languages.

Copy with it: toyworld/ (languages, facts, examples, intermediate tasks, text), tasks.py (where the files lie).
sentencepiece, protobuf, torch and transformers are needed for the model only.
"""

import argparse
import hashlib
import io
import json
import os
import random
import sys
import tempfile
from pathlib import Path

from tasks import LANGUAGES, TARGETS
from toyworld.intermediate import intermediate_files, text_files
from toyworld.world import (
    CLASSES,
    GRAMMARS,
    GROUPS,
    QUESTIONS,
    SIZES,
    YEARS,
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

SOURCES = ("toy_data.py", "toyworld/world.py", "toyworld/intermediate.py")
DEV_LANGUAGES = ("en", "de", "zh")
VOCABULARY = 2000
WIDTH, HEADS, LAYERS = 128, 4, 3
MARKER = "toy.json"

# ---------------------------------------------------------------- XTREME's tasks: toyworld draws examples, a speaker
# writes them


def pairs(speaker, examples):
    for label, first, second, options in examples:
        yield f"{speaker.say(first)}\t{speaker.say(second, **options)}\t{label}"


def tagged(speaker, stories, field):
    for example in stories:
        for word in story_words(speaker, *example):
            yield f"{speaker.form(word)}\t{getattr(word, field)}"
        yield ""


def squad(speaker, articles, prefix):
    """SQuAD JSON; ids are the same in every language, as in XQuAD and MLQA, unless `prefix` names the language, as in
    TyDiQA.
    """
    data = []
    for number, example in enumerate(articles):
        context, asked = passage(speaker, *example)
        qas = [
            {
                "id": f"{prefix}{number}-{name}",
                "question": question,
                "answers": [{"text": answer, "answer_start": start}],
            }
            for name, question, (answer, start) in asked
        ]
        data.append({"title": f"{number}", "paragraphs": [{"context": context, "qas": qas}]})
    return {"version": "1.1", "data": data}


def choices(speaker, examples):
    for index, (premise, right, wrong, question, label) in enumerate(examples):
        first, second = (right, wrong) if label == 0 else (wrong, right)
        row = {"premise": speaker.say(premise), "choice1": speaker.say(first), "choice2": speaker.say(second)}
        yield json.dumps(
            {**row, "question": question, "label": label, "idx": index, "changed": False}, ensure_ascii=False
        )


def bitext(rng, source, english, number=130, gold=50):
    """({side: lines}, gold lines): both sides hold the same `gold` facts, shuffled among others."""
    facts = distinct(rng, 2 * number - gold)
    sides = {"source": facts[:number], "english": facts[:gold] + facts[number:]}
    lines, ids = {}, {}
    for (side, told), speaker in zip(sides.items(), (source, english)):
        rng.shuffle(told)
        ids[side] = {fact: f"{speaker.language}-{index:09d}" for index, fact in enumerate(told, start=1)}
        lines[side] = [f"{name}\t{speaker.say(fact)}" for fact, name in ids[side].items()]
    pairs_ = [(ids["source"][fact], ids["english"][fact]) for fact in facts[:gold]]
    return lines, [f"{left}\t{right}" for left, right in sorted(pairs_)]


EXAMPLES = {
    "xnli": (nli_example, pairs), "pawsx": (paraphrase_example, pairs), "udpos": (story, tagged), "panx": (story, tagged),
    "xquad": (article, squad), "mlqa": (article, squad), "tydiqa": (article, squad), "xcopa": (choice_example, choices),
}  # fmt: skip
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
    for split, languages in (
        ("train", ["en"]),
        ("dev", [x for x in DEV_LANGUAGES if x in ("en", *tests)]),
        ("test", tests),
    ):
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
            lines, gold = bitext(
                random.Random(f"{seed}-bucc2018-{split}-{language}"), speakers[language], speakers["en"]
            )
            write(root, bucc[split], language, lines["source"])
            write(root, bucc[f"{split}_english"], language, lines["english"])
            write(root, bucc[f"{split}_gold"], language, gold)


# ---------------------------------------------------------------- the model


def corpus(speakers, seed):
    """Lines to train the tokenizer on; a tab is a border that no piece crosses.

    Stories, as text and as separate words, then a dictionary: SentencePiece proposes only pieces that occur in several
    contexts.
    """
    yield from 20 * ["What was the cause\t? What was the effect\t?"]  # XCOPA's prompts are English in every language
    for language, speaker in speakers.items():
        rng, gap = random.Random(f"{seed}-corpus-{language}"), speaker.grammar.space or "\t"
        for index in range(300):
            words = story_words(speaker, *story(rng, index))
            yield " ".join(map(speaker.form, words))
            yield "".join(("\t" if word.upos == "PUNCT" else gap) + speaker.form(word) for word in words).strip()
        for word in speaker.words.values():
            yield from 5 * [f"{word} {word}. {word}, .{word}. ,{word},"]
    for year in YEARS:
        yield from 20 * [f"{year} {year}a a{year}a b{year}b a{year}"]


def build_tokenizer(lines):
    """XLM-R's tokenizer around a new SentencePiece model: four special tokens, the pieces, <mask>; XLM-R's (nmt_nfkc)
    normalization.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    from transformers import XLMRobertaTokenizer

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=trained, model_type="unigram", vocab_size=VOCABULARY - 2, hard_vocab_limit=False,
        character_coverage=1.0, pretokenization_delimiter="\t", shuffle_input_sentence=False, num_threads=1, minloglevel=2,
    )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto.FromString(trained.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[3:]]
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, ("<mask>", 0.0)]
    return XLMRobertaTokenizer(
        vocab=vocabulary, _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap, model_max_length=512
    )


def word_vectors(tokenizer, words, width):
    """[pieces, width]: the mean of the concepts that a piece spells, plus noise of its own; a concept is near its
    class and its group.
    """
    import torch

    vectors, counts = torch.zeros(len(tokenizer), width), torch.zeros(len(tokenizer), 1)
    groups = {concept: vector for group in GROUPS for vector in [torch.randn(width)] for concept in group}
    for concepts in CLASSES.values():
        class_vector = torch.randn(width)
        for concept in concepts:
            vector = 0.6 * class_vector + 0.5 * groups.get(concept, 0) + 0.7 * torch.randn(width)
            for language in words:
                for before in (
                    ("",) if GRAMMARS[language].space else ("", "。")
                ):  # a word of its own, and inside a text without spaces
                    pieces = tokenizer(before + words[language][concept], add_special_tokens=False)["input_ids"]
                    pieces = [
                        piece for piece in pieces if tokenizer.convert_ids_to_tokens(piece) not in ("▁", "。", "▁.")
                    ]
                    vectors[pieces] += vector
                    counts[pieces] += 1
    known = counts > 0
    return vectors / counts.clamp(min=1) + torch.where(known, 0.3, 1.0) * torch.randn(len(tokenizer), width)


def build_model(folder, speakers, words, seed):
    """Tokenizer and encoder; see the module's docstring for what the initialization stands for."""
    os.environ.setdefault(
        "DS_ACCELERATOR", "cpu"
    )  # or deepspeed, which transformers imports to save, warns that it found no GPU
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel, logging

    logging.disable_progress_bar()
    tokenizer = build_tokenizer(corpus(speakers, seed))
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=4 * WIDTH,
        max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=0.05, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = XLMRobertaModel(config, add_pooling_layer=False)
        content = WIDTH - WIDTH // HEADS  # the last head's dimensions hold positions, all others hold words
        table = model.embeddings.word_embeddings.weight.zero_()
        table[:, :content] = 0.3 * word_vectors(tokenizer, words, content)
        table[config.pad_token_id] = 0
        model.embeddings.token_type_embeddings.weight.zero_()
        position = torch.arange(514)[:, None] * torch.exp(torch.linspace(0, -5, (WIDTH - content) // 2))
        table = model.embeddings.position_embeddings.weight.zero_()
        table[2:, content:] = 0.42 * torch.cat((position.sin(), position.cos()), dim=1)[2:]
        for layer in model.encoder.layer:
            layer.attention.self.query.weight += torch.eye(WIDTH)
            layer.attention.self.key.weight += torch.eye(WIDTH)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


# ---------------------------------------------------------------- the folder


def fingerprint():
    """Changes when a source file of the world does: a folder of another version is not silently reused."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in SOURCES)).hexdigest()[:12]


def generate(output_dir, seed=0):
    """Write the world and the model to `output_dir` (absent or empty); complete or not at all."""
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
        for name, sentences in text_files(speakers, seed):
            write(root / "text", name, "en", sentences)
        build_model(root / "model", speakers, words, seed)
        sizes = {
            path.relative_to(root).as_posix(): path.stat().st_size
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        marker = {"seed": seed, "version": fingerprint(), "files": sizes}
        (root / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
        os.rename(root, output)  # replaces an empty folder, fails on any other


def check_output(output, seed):
    """True when the folder is complete, False when it is to be written; a message when it is something else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    try:
        marker = json.loads((output / MARKER).read_text(encoding="utf-8"))
        wanted = marker["seed"], marker["version"], marker["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"--output_dir {output}: exists and was not written by toy_data.py; choose another folder"
    if wanted[:2] != (seed, fingerprint()):
        return (
            f"--output_dir {output}: written with seed {wanted[0]} by version {wanted[1]}; delete it or choose "
            "another folder"
        )
    for name, size in wanted[2].items():
        if not (output / name).is_file() or (output / name).stat().st_size != size:
            return f"{output / name}: missing or changed since it was written; delete {output} and run again"
    return True


def main():
    description = "Write a small invented world as XTREME's tasks, intermediate tasks and text, and a tiny XLM-R."
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="folder to write: absent, empty, or complete already"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    arguments = parser.parse_args()
    output = arguments.output_dir
    found = check_output(output, arguments.seed)
    if isinstance(found, str):
        print(f"toy_data.py: error: {found}", file=sys.stderr)
        sys.exit(2)
    if found:
        print(f"{output} is there already, complete.")
        return
    try:
        generate(output, arguments.seed)
    except OSError as error:
        print(
            f"toy_data.py: error: --output_dir {output}: cannot be written ({error.strerror}); choose another folder",
            file=sys.stderr,
        )
        sys.exit(1)
    print(f"Wrote {output}/xtreme, {output}/intermediate, {output}/text and {output}/model.")


if __name__ == "__main__":
    main()
