"""The tiny XLM-R of toy_data.py: a tokenizer trained on the invented world, and weights that imitate pretraining."""

import io
import os
import random

import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer, logging

from toyworld.world import CLASSES, GRAMMARS, GROUPS, YEARS, story, story_words

VOCABULARY = 2000
WIDTH, HEADS, LAYERS = 128, 4, 3


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
    """XLM-R's tokenizer and normalization (nmt_nfkc) around new pieces: four special tokens, the pieces, <mask>."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=trained, model_type="unigram", vocab_size=VOCABULARY - 2,
        hard_vocab_limit=False, character_coverage=1.0, pretokenization_delimiter="\t", shuffle_input_sentence=False,
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto.FromString(trained.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[3:]]
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, ("<mask>", 0.0)]
    return XLMRobertaTokenizer(
        vocab=vocabulary, _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap, model_max_length=512
    )


def word_vectors(tokenizer, words, width):
    """[pieces, width]: the mean of a piece's concepts (each near its class and its group), plus noise of its own."""
    space = ("▁", "。", "▁.")  # pieces of no concept
    vectors, counts = torch.zeros(len(tokenizer), width), torch.zeros(len(tokenizer), 1)
    groups = {concept: vector for group in GROUPS for vector in [torch.randn(width)] for concept in group}
    for concepts in CLASSES.values():
        class_vector = torch.randn(width)
        for concept in concepts:
            vector = 0.6 * class_vector + 0.5 * groups.get(concept, 0) + 0.7 * torch.randn(width)
            for language in words:
                # a word of its own, and inside a text without spaces
                for before in ("",) if GRAMMARS[language].space else ("", "。"):
                    pieces = tokenizer(before + words[language][concept], add_special_tokens=False)["input_ids"]
                    pieces = [piece for piece in pieces if tokenizer.convert_ids_to_tokens(piece) not in space]
                    vectors[pieces] += vector
                    counts[pieces] += 1
    known = counts > 0
    return vectors / counts.clamp(min=1) + torch.where(known, 0.3, 1.0) * torch.randn(len(tokenizer), width)


def build_model(folder, speakers, words, seed):
    """Write tokenizer and encoder; toy_data.py's docstring says what the initialization stands for."""
    # or deepspeed, which transformers imports to save, warns that it found no GPU
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    logging.disable_progress_bar()
    tokenizer = build_tokenizer(corpus(speakers, seed))
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        initializer_range=0.05, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        bos_token_id=0, pad_token_id=1, eos_token_id=2,
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
