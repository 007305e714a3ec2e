"""How a checkpoint becomes a model: an encoder in float32, every weight accounted for, under a fresh or a kept head.

Phases hand over plain Hugging Face folders; phase 2's heads lie beside the encoder, in heads.safetensors (see
mixture/model.py). Nothing of a checkpoint is ever executed: no remote code, no pickles, no kernels that it names.
"""

import contextlib
import inspect
import json
import logging
import os
from functools import partial
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, set_seed
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING
from transformers.utils import cached_file

from common.files import InputError
from common.labels import check_same_labels, name_classes
from common.run_record import read_run

logger = logging.getLogger("xtreme")

ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert")  # one architecture under three names
# Here the hidden state of a layer is the same without the layers above it; others have a norm behind the last layer.
CUT_AT_A_LAYER = ("bert", *ROBERTA_LIKE)
ENCODER_DECODER = "encoder-decoder"  # the model type of run_translation.py's folders, whose encoder is taken
DECODER = ("decoder.", "enc_to_dec_proj.")
POOLER = "pooler."  # only multiple choice reads it; new where a checkpoint has none
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
CONVERT = (
    "import glob, torch; from safetensors.torch import save_file; files = glob.glob('{folder}/pytorch_model*.bin'); "
    "shards = [torch.load(file, map_location='cpu', weights_only=True) for file in files]; "
    "weights = {{k: v.clone().contiguous() for shard in shards for k, v in shard.items()}}; "
    "save_file(weights, '{folder}/model.safetensors', {{'format': 'pt'}})"
)
# Tensors <task>.<name>; metadata {"heads": {task: {"kind", "labels"}}}, of tagging heads also "tag_piece".
HEADS_FILE = "heads.safetensors"


def load_tokenizer(path, revision="main"):
    _check_finished(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds; all mean that the folder is not usable
        if (Path(path) / "config.json").exists():
            _read_config(path, revision)  # the cause may lie there
        problem = "no such folder, and no such model on the Hub or in its cache"
        if os.path.isdir(path):
            problem = "its tokenizer cannot be loaded"
        raise InputError(
            f"--model_name_or_path {path}: {problem} ({_first_line(error)}); correct the path or copy it again"
        ) from None
    # transformers makes an empty one where the files are missing
    if len(tokenizer) <= len(tokenizer.all_special_ids) + 1:
        raise InputError(
            f"--model_name_or_path {path}: its tokenizer has no vocabulary; copy tokenizer.json of the same checkpoint"
        )
    needed = ("cls_token", "sep_token", "pad_token", "unk_token")
    if missing := [name for name in needed if getattr(tokenizer, name, None) is None]:
        raise InputError(
            f"--model_name_or_path {path}: its tokenizer has no {missing[0]}, which encoders read; name it in "
            "tokenizer_config.json"
        )
    if not tokenizer.is_fast:
        raise InputError(
            f"--model_name_or_path {path}: {type(tokenizer).__name__} gives no character offsets; use a checkpoint "
            "with a tokenizer.json"
        )
    return tokenizer


def _check_finished(path):
    """Refuse the folder of a training that was stopped: its last weights are in a checkpoint, if anywhere."""
    if (read_run(path).get("training") or {}).get("finished") is False:
        saved = sorted(Path(path).glob("checkpoint-*"), key=lambda folder: (len(folder.name), folder.name))
        other = f", or give {saved[-1]}" if saved else ""
        raise InputError(
            f"--model_name_or_path {path}: its training never finished; give the command in its run.json again, "
            f"which goes on with it{other}"
        )


def load_config(path, tokenizer, max_seq_length, revision="main"):
    """The configuration of an encoder, checked against its tokenizer and the sequence length.

    The tokenizer is told to give segments (`token_type_ids`) where the encoder was trained with them, and else none.
    """
    _check_finished(path)
    config = _read_config(path, revision)
    if len(tokenizer) > config.vocab_size or tokenizer.pad_token_id != config.pad_token_id:
        theirs = f"{len(tokenizer)} tokens and pad id {tokenizer.pad_token_id}"
        raise InputError(
            f"--model_name_or_path {path}: the tokenizer does not fit the model: {theirs} against "
            f"{config.vocab_size} and {config.pad_token_id}; copy that of the same checkpoint"
        )
    with _loading(path, AutoModel), torch.device("meta"):
        encoder = AutoModel.from_config(config, trust_remote_code=False)  # takes no memory and no time
    positions = number_of_positions(encoder)
    if positions and max_seq_length > positions:
        raise InputError(f"--max_seq_length {max_seq_length}: the model has {positions} positions; give at most that")
    _choose_segments(encoder, tokenizer)
    return config


def _read_config(path, revision):
    """The configuration of a checkpoint; InputError for one that is not an encoder's, or not this checkpoint's."""
    try:
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
    except Exception as error:
        problem = f"no usable config.json ({_first_line(error)})"
        if "trust_remote_code" in str(error):
            problem = "its config.json asks for Python code of its own (auto_map), which is never run"
        raise InputError(
            f"--model_name_or_path {path}: {problem}; give the folder or Hub id of an encoder that transformers knows"
        ) from None
    if config.model_type == ENCODER_DECODER:
        config = config.encoder
    where = f"--model_name_or_path {path}: config.json"
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise InputError(
            f"--model_name_or_path {path}: model type {config.model_type!r} is not an encoder; use XLM-R or its like "
            "(BERT, RoBERTa, …)"
        )
    if getattr(config, "is_decoder", False):
        raise InputError(
            f"{where} has is_decoder: true, so words would not see what follows them; set it to false where the "
            "checkpoint is an encoder's"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise InputError(f"{where} has quantization_config; phases train in float32, give the original checkpoint")
    if "/" in (config._attn_implementation or ""):
        raise InputError(
            f"{where} asks for the attention kernel {config._attn_implementation}, code that is never run; remove it"
        )
    for name in config.architectures or ():
        theirs = getattr(getattr(transformers, str(name), None), "config_class", None)
        types = {config.model_type, getattr(theirs, "model_type", config.model_type)}
        if len(types) > 1 and not types <= {*ROBERTA_LIKE}:
            raise InputError(
                f"{where} says model_type {config.model_type!r} and architectures {name}, which is another model; "
                "copy that of the weights"
            )
    vars(config).pop("auto_map", None)  # what the checkpoint would have run must not pass to its children
    return config


def _choose_segments(encoder, tokenizer):
    """Let a tokenizer give segments exactly where it tells two texts apart and the encoder has embeddings for both.

    The tokenizer's class does not say: transformers 5 forgot it for RemBERT, and gives DeBERTa segments to ignore.
    """
    names, which = tokenizer.model_input_names, "token_type_ids"
    takes = which in inspect.signature(encoder.forward).parameters
    takes = takes and (getattr(encoder.config, "type_vocab_size", None) or 0) > 1
    makes = any(tokenizer("a", "b", return_token_type_ids=True)[which])
    excluded = which not in tokenizer.init_kwargs.get("model_input_names", [which])  # by tokenizer_config.json
    wanted = takes and makes and not excluded
    if wanted != (which in names):
        tokenizer.model_input_names = [*names, which] if wanted else [name for name in names if name != which]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # a child's tokenizer_config.json


def number_of_positions(encoder):
    """How many tokens an encoder reads at most; None where it does not say."""
    positions = getattr(encoder.config, "max_position_embeddings", None)
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    offset = getattr(table, "padding_idx", None)  # RoBERTa and its like count from behind the padding's index
    return positions if positions is None or offset is None else positions - offset - 1


def load_encoder(path, config, depth, revision="main", attn_implementation=None):
    """The bare encoder in float32 up to layer `depth`, every weight from the checkpoint; for retrieval."""
    options = {"dtype": torch.float32, "attn_implementation": attn_implementation, "revision": revision}
    encoder, _ = load_whole_encoder(path, config, **options)
    if config.model_type in CUT_AT_A_LAYER:
        del encoder.encoder.layer[max(1, depth) :]  # nothing reads the layers above
    return encoder


def random_encoder(config, seed):
    """The bare encoder of a configuration with weights drawn from `seed`: what its architecture alone gives."""
    set_seed(seed)
    return AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)


def load_whole_encoder(path, config, **options):
    """(the bare encoder, transformers' info about its keys), all weights but a pooler from the checkpoint."""
    encoder, info = _from_pretrained(AutoModel, path, config=config, **options)
    _check_encoder_keys(path, encoder, info)
    return encoder, info


def load_masked_lm(path, config, **options):
    """The encoder with the masked LM head of its pretraining; None where the checkpoint does not have all of it."""
    model, info = _from_pretrained(AutoModelForMaskedLM, path, config=config, **options)
    lacks = [key for key in info["missing_keys"] if not key.startswith(f"{model.base_model_prefix}.")]
    return None if lacks else model


def _check_encoder_keys(path, encoder, info):
    """InputError where the checkpoint lacks weights of the bare encoder, or has others where the encoder has its own.

    What lies beside the encoder's modules (their names are the architecture's) belongs to a head.
    """
    prefix, modules = f"{encoder.base_model_prefix}.", dict(encoder.named_children())
    missing = [key for key in info["missing_keys"] if not key.startswith(POOLER)]
    foreign = [key for key in info["unexpected_keys"] if key.removeprefix(prefix).split(".")[0] in modules]
    foreign = [key for key in foreign if not key.removeprefix(prefix).startswith(POOLER) and not _is_buffer(key)]
    if missing or foreign:
        problem = f"lacks {missing[0]}" if missing else f"has the unknown weight {foreign[0]}"
        more = len(missing or foreign) - 1
        raise InputError(
            f"--model_name_or_path {path}: not the weights of a {encoder.config.model_type} encoder: it {problem} and "
            f"{more} more"
        )


def _is_buffer(key):
    """Whether a key is one that older transformers saved and today's compute."""
    return key.endswith(("position_ids", "token_type_ids"))


def load_model(head, path, config, labels, keep_head=False, seed=42, revision="main", attn_implementation=None):
    """A model of the head's class in float32 with the encoder of `path`; returns (model, labels in the model's order).

    The head is fresh (drawn from `seed`) unless `keep_head`: True for the model's own head, or a task's name for one
    of phase 2's in heads.safetensors. A kept head must be of this kind, with the same label names. Raises InputError
    unless every encoder weight of the model comes from the checkpoint and the checkpoint holds none beside. float32
    explicitly: transformers 5 takes the checkpoint's dtype, and 16-bit weights would pass from phase to phase.
    """
    auto_class = model_class(head, config)
    if config.dtype in (torch.float16, torch.bfloat16):
        logger.warning(
            "%s holds 16-bit weights (%s): an earlier phase lost precision; loading as float32", path, config.dtype
        )
    options = {"dtype": torch.float32, "attn_implementation": attn_implementation}
    if isinstance(keep_head, str):
        return _load_with_stored_head(head, path, config, labels, seed, revision, options, keep_head)
    if keep_head:
        return _load_with_head(head, auto_class, path, config, labels, revision, options)
    return _load_with_fresh_head(auto_class, path, config, labels, seed, revision, options)


def model_class(head, config):
    """transformers' Auto class of a kind of task, or the head's own; InputError where it has none for the encoder."""
    if hasattr(head, "model_class"):
        return head.model_class(config)
    auto_class = getattr(transformers, head.MODEL)
    if type(config) not in auto_class._model_mapping:
        raise InputError(
            f"transformers has no {kind_of(head).replace('_', ' ')} model for the model type {config.model_type!r}; "
            "take another task or another encoder"
        )
    return auto_class


def kind_of(head):
    """The name of a head module: "classification"."""
    return head.__name__.rpartition(".")[2]


def _load_with_fresh_head(auto_class, path, config, labels, seed, revision, options, kept=""):
    """A model whose head is drawn from `seed`, or will be that of `kept`, which only the log is told."""
    name_classes(config, labels)
    set_seed(seed)
    with _loading(path, auto_class):
        model = auto_class.from_config(config, trust_remote_code=False, **options)
    encoder, info = _from_pretrained(AutoModel, path, revision=revision, **options)
    _check_encoder_keys(path, encoder, info)
    state = encoder.state_dict()
    if any(key.startswith(POOLER) for key in info["missing_keys"]):
        # AutoModel drew its own; keep the one drawn from our seed
        state = {key: value for key, value in state.items() if not key.startswith(POOLER)}
    loaded = getattr(model, model.base_model_prefix).load_state_dict(state, strict=False)
    lost = [key for key in (*loaded.missing_keys, *loaded.unexpected_keys) if not key.startswith(POOLER)]
    if lost:
        raise InputError(f"--model_name_or_path {path}: encoder weight {lost[0]} does not fit {auto_class.__name__}")
    dropped = sorted({key.rsplit(".", 1)[0] for key in (*info["unexpected_keys"], *loaded.unexpected_keys)})
    new = {key.split(".")[0] for key in model.state_dict() if not key.startswith(model.base_model_prefix + ".")}
    new |= {"pooler"} if loaded.missing_keys else set()
    new, dropped = ", ".join(sorted(new)), ", ".join(dropped) or "nothing"
    new = f"head {kept} from {HEADS_FILE}" if kept else f"new: {new}"
    logger.info("encoder: %d tensors from %s; %s; left behind: %s", len(state), path, new, dropped)
    return model, labels


def _load_with_head(head, auto_class, path, config, labels, revision, options):
    dispensable = getattr(head, "is_dispensable", lambda key, config: False)
    model, info = _from_pretrained(auto_class, path, config=config, revision=revision, **options)
    keys = sorted((*info["missing_keys"], *info["unexpected_keys"]))
    if wrong := [key for key in keys if not _is_buffer(key) and not dispensable(key, config)]:
        problem = f"has no {auto_class.__name__.removeprefix('AutoModelFor')} head ({wrong[0]} does not fit)"
        stored = stored_heads(path, revision)[0]
        beside = f" or name one of {HEADS_FILE} with --keep_head: {', '.join(stored)}" if stored else ""
        raise InputError(
            f"--model_name_or_path {path}: {problem}; train one with --do_train, without --keep_head{beside}"
        )
    stored = tuple(config.id2label[index] for index in sorted(config.id2label))
    check_same_labels(path, "its head", stored, labels)
    logger.info("encoder and head from %s", path)
    return model, stored if labels else labels


def _load_with_stored_head(head, path, config, labels, seed, revision, options, name):
    """A head of phase 2 on its encoder; every weight of the head must be there."""
    stored, tensors = stored_heads(path, revision)
    kind, auto_class = kind_of(head), model_class(head, config)
    alike = [task for task, about in stored.items() if about["kind"] == kind]
    if name not in alike:
        problem = f"has no {HEADS_FILE}"
        if stored:
            problem = f"its {HEADS_FILE} has the {kind} heads {', '.join(alike) or '(none)'}"
        raise InputError(
            f"--keep_head {name}: {path} {problem}; name one of these, or train a new head without --keep_head"
        )
    names = tuple(stored[name]["labels"])
    check_same_labels(path, f"its head {name}", names, labels)
    model, _ = _load_with_fresh_head(auto_class, path, config, names, seed, revision, options, kept=name)
    weights = weights_of(name, tensors)
    own = {
        key: value for key, value in model.state_dict().items() if not key.startswith(f"{model.base_model_prefix}.")
    }
    if shapes_of(weights) != shapes_of(own):
        raise InputError(
            f"--keep_head {name}: its weights in {path}/{HEADS_FILE} do not fit {auto_class.__name__}; train the "
            "phase again"
        )
    model.load_state_dict(weights, strict=False)
    return model, names if labels else labels


def weights_of(task, tensors):
    """{name: tensor} of one head of heads.safetensors."""
    return {key.removeprefix(f"{task}."): value for key, value in tensors.items() if key.startswith(f"{task}.")}


def shapes_of(weights):
    return {name: value.shape for name, value in weights.items()}


def stored_heads(path, revision="main"):
    """heads.safetensors of a checkpoint: ({task: what its metadata says}, {"<task>.<name>": tensor}).

    Both are empty where there is none. Raises InputError for a file that cannot be read.
    """
    try:
        file = cached_file(path, HEADS_FILE, revision=revision, _raise_exceptions_for_missing_entries=False)
        if file is None:
            return {}, {}
        with safe_open(file, "pt") as tensors:
            return json.loads(tensors.metadata()["heads"]), {name: tensors.get_tensor(name) for name in tensors.keys()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}/{HEADS_FILE}: cannot be read ({_first_line(error)}); copy it again or train the phase again"
        ) from None


def _from_pretrained(auto_class, path, **options):
    """(model, info about its keys); refuses weights that are not finite. A translation model gives its encoder."""
    with _loading(path, auto_class):
        revision = options.get("revision", "main")
        _check_weight_files(path, revision)
        whole = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
        if whole.model_type == ENCODER_DECODER:
            options = {"config": whole.encoder, **options, "key_mapping": {r"^encoder\.": ""}}
        model, info = auto_class.from_pretrained(
            path, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
        )
    if whole.model_type == ENCODER_DECODER:
        logger.info("%s: a translation model; its encoder is taken, its decoder left behind", path)
        info["unexpected_keys"] = {key for key in info["unexpected_keys"] if not key.startswith(DECODER)}
        del model._weight_conversions  # by which saving would write the translation model's names again
    spoiled = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
    if spoiled:
        raise InputError(
            f"--model_name_or_path {path}: {spoiled} holds NaN or infinity; its training diverged, take an earlier "
            "checkpoint"
        )
    return model, info


def _check_weight_files(path, revision):
    """InputError unless the weights are safetensors inside the checkpoint, with floating-point numbers in them."""

    cached = partial(cached_file, path, revision=revision, _raise_exceptions_for_missing_entries=False)
    where, names = f"--model_name_or_path {path}", [WEIGHTS]
    if cached(WEIGHTS) is None and (index := cached(INDEX)) is not None:
        names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
        if outside := [name for name in names if Path(name).name != name]:
            raise InputError(f"{where}: {INDEX} names {outside[0]!r}, which is not in its folder; copy it again")
    for name in names:
        file = cached(name)
        if file is None and (pickle := next(filter(None, map(cached, PICKLES)), None)):
            folder = Path(pickle).parent
            raise InputError(
                f"{where}: its weights are only in {Path(pickle).name}, which is not read, as a pickle can run code; "
                f'convert it and give {folder}: python -c "{CONVERT.format(folder=folder)}"'
            )
        if file is None:
            raise InputError(f"{where}: has no {name}; copy it again")
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():
                dtype = tensors.get_slice(key).get_dtype()
                if dtype not in ("F16", "BF16", "F32", "F64") and not _is_buffer(key):
                    raise InputError(f"{where}: {key} has the type {dtype}; give the checkpoint before quantization")


@contextlib.contextmanager
def _loading(path, auto_class):
    """Load without transformers' table of keys, which the caller checks and logs, and with its errors as one line."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        problem = "shapes differ from config.json's" if "mismatched_sizes" in str(error) else _first_line(error)
        raise InputError(
            f"--model_name_or_path {path}: cannot be loaded as {auto_class.__name__} ({problem}); check or copy it "
            "again"
        ) from None
    finally:
        transformers.logging.set_verbosity(verbosity)


def _first_line(error):
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
