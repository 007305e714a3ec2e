"""A smaller encoder out of a multilingual one: the pieces of its vocabulary that some text needs, its first layers.

    python tools/trim_encoder.py --model_name_or_path intfloat/multilingual-e5-small --output_dir e5-trimmed \\
        --text data/xtreme/panx data/intermediate/mnli noised/*/panx

On a CPU most of a training step is the optimizer's walk over 250,002 rows of embeddings. The unigram tokenizer cuts a
text into the same pieces as before where none of these pieces left, so on the texts that are named (files, or all
files of folders) the trimmed encoder computes what the whole one does; other text may be cut finer, down to single
characters, which all stay. `--layers` keeps the first layers: a shallower encoder of the same family. A masked-LM head
is left behind.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common.arguments import Parser  # noqa: E402
from common.files import InputError  # noqa: E402
from common.pieces import keep_pieces  # noqa: E402


def main(argv=None):
    parser = Parser(prog="trim_encoder.py", description=__doc__)
    parser.add_argument("--model_name_or_path", required=True, help="folder or Hub id, with a unigram tokenizer.json")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--text", nargs="+", help="files and folders whose pieces stay (default: all pieces stay)")
    parser.add_argument("--layers", type=int, help="keep this many layers, the first (default: all)")
    args = parser.parse_args(argv)
    with parser.one_line("free some space or name another --output_dir, then run the same command again"):
        trim(args)


def trim(args):
    from transformers import AutoModel, AutoTokenizer, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(args.model_name_or_path)
    model = AutoModel.from_pretrained(args.model_name_or_path, dtype="float32")
    if args.text:
        trim_vocabulary(model, tokenizer, read_texts(args.text))
    if args.layers is not None:
        trim_layers(model, args.layers)
    model.save_pretrained(args.output_dir)
    tokenizer.save_pretrained(args.output_dir)
    print(f"{args.output_dir}: {model.config.num_hidden_layers} layers, {len(tokenizer):,} pieces, "
          f"{model.num_parameters() / 1e6:.1f} million parameters")  # fmt: skip


def trim_vocabulary(model, tokenizer, texts):
    """Keep the pieces that the texts need, special ones, and all of one character; rows of the embeddings follow."""
    pieces = json.loads(tokenizer.backend_tokenizer.to_str())
    if pieces["model"]["type"] != "Unigram":
        raise InputError(f"--text: the tokenizer is {pieces['model']['type']}, only Unigram ones can be trimmed")
    vocabulary = pieces["model"]["vocab"]
    before = encode(tokenizer, texts)
    single = {index for index, (piece, _) in enumerate(vocabulary) if len(piece) == 1}
    special = {token["id"] for token in pieces["added_tokens"]}
    kept = sorted(single | special | {pieces["model"]["unk_id"]} | {index for ids in before for index in ids})
    place = keep_pieces(pieces, kept)
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(pieces, ensure_ascii=False))
    if [[place[index] for index in ids] for ids in before] != encode(tokenizer, texts):
        raise InputError("--text: the trimmed tokenizer cuts these texts differently; name --layers alone")
    rows = model.get_input_embeddings()
    rows.weight.data = rows.weight.data[kept].clone()
    rows.num_embeddings = model.config.vocab_size = len(kept)
    for name in ("bos", "eos", "pad"):
        old = getattr(model.config, f"{name}_token_id", None)
        if old is not None:
            setattr(model.config, f"{name}_token_id", place[old])
    rows.padding_idx = model.config.pad_token_id


def trim_layers(model, number):
    layers = model.encoder.layer
    if not 1 <= number <= len(layers):
        raise InputError(f"--layers {number}: the encoder has {len(layers)}; give a number from 1 to {len(layers)}")
    del layers[number:]
    model.config.num_hidden_layers = number


def read_texts(names):
    """The different texts of files and folders: strings of JSON, lines cut at tabs of everything else.

    In folders hidden and compressed files are left out: they are logs of perturb.py, not text of a data set.
    """
    texts = {}
    for name in map(Path, names):
        if not name.exists():
            raise InputError(f"--text {name}: no such file or folder")
        for path in sorted(name.rglob("*")) if name.is_dir() else [name]:
            hidden = any(part.startswith(".") for part in path.relative_to(name).parts)
            if path.is_file() and not hidden and (path == name or path.suffix != ".gz"):
                texts.update(dict.fromkeys(texts_of(path)))
    return list(texts)


def texts_of(path):
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"--text {path}: not UTF-8 text; name the files that are") from None
    if path.suffix == ".json":
        yield from strings(json.loads(content))
    elif path.suffix == ".jsonl":
        yield from (text for line in content.split("\n") if line.strip() for text in strings(json.loads(line)))
    else:
        yield from (text for line in content.split("\n") for text in line.split("\t"))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def encode(tokenizer, texts):
    """[ids] of every text, without <s> and </s>."""
    return [one.ids for one in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


if __name__ == "__main__":
    main()
