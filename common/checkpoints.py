"""How a checkpoint becomes a model: an encoder in float32, every weight accounted for, under a fresh or a kept head.

Phases hand over plain Hugging Face folders; phase 2's heads lie beside the encoder, in heads.safetensors (see
mixture/model.py).
"""

import contextlib
import json
import logging
import os

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, set_seed
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING
from transformers.utils import cached_file

from common.files import InputError
from common.labels import check_same_labels, name_classes

logger = logging.getLogger("xtreme")

# What may lie beside an encoder in a checkpoint.
HEAD_KEYS = ("classifier.", "qa_outputs.", "lm_head.", "cls.", "heads.")
# Encoders built of `encoder.layer`, a list.
BERT_LIKE = ("bert", "roberta", "xlm-roberta", "xlm-roberta-xl")
POOLER = "pooler."  # only multiple choice reads it; new where a checkpoint has none
HEADS_FILE = "heads.safetensors"  # tensors <task>.<name>; metadata {"heads": {task: {"kind", "labels"}}}


def load_tokenizer(path, revision="main"):
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    except Exception as error:  # transformers raises many kinds; all mean that the folder is not usable
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
    return tokenizer


def load_config(path, tokenizer, max_seq_length, revision="main"):
    """The configuration of an encoder, checked against its tokenizer and the sequence length."""
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
    except Exception as error:
        raise InputError(
            f"--model_name_or_path {path}: no usable config.json ({_first_line(error)}); give an encoder's folder "
            "or Hub id"
        ) from None
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise InputError(
            f"--model_name_or_path {path}: model type {config.model_type!r} is not an encoder; use XLM-R or its like "
            "(BERT, RoBERTa, …)"
        )
    if len(tokenizer) > config.vocab_size or tokenizer.pad_token_id != config.pad_token_id:
        theirs = f"{len(tokenizer)} tokens and pad id {tokenizer.pad_token_id}"
        raise InputError(
            f"--model_name_or_path {path}: the tokenizer does not fit the model: {theirs} against "
            f"{config.vocab_size} and {config.pad_token_id}; copy that of the same checkpoint"
        )
    positions = config.max_position_embeddings - (config.pad_token_id + 1 if "roberta" in config.model_type else 0)
    if max_seq_length > positions:
        raise InputError(f"--max_seq_length {max_seq_length}: the model has {positions} positions; give at most that")
    return config


def load_encoder(path, config, depth, revision="main", attn_implementation=None):
    """The bare encoder in float32 up to layer `depth`, every weight from the checkpoint; for retrieval."""
    options = {"dtype": torch.float32, "attn_implementation": attn_implementation, "revision": revision}
    encoder, _ = load_whole_encoder(path, config, **options)
    if config.model_type in BERT_LIKE:
        del encoder.encoder.layer[max(1, depth) :]  # nothing reads the layers above
    return encoder


def load_whole_encoder(path, config, **options):
    """(the bare encoder, transformers' info about its keys), all weights but a pooler from the checkpoint."""
    encoder, info = _from_pretrained(AutoModel, path, config=config, **options)
    _check_encoder_keys(path, config, info)
    return encoder, info


def load_masked_lm(path, config, **options):
    """The encoder with the masked LM head of its pretraining."""
    return _from_pretrained(AutoModelForMaskedLM, path, config=config, **options)[0]


def _check_encoder_keys(path, config, info):
    missing = [key for key in info["missing_keys"] if not key.startswith(POOLER)]
    beside = *HEAD_KEYS, POOLER
    foreign = [
        key for key in info["unexpected_keys"] if not key.startswith(beside) and not key.endswith("position_ids")
    ]
    if missing or foreign:
        problem = f"lacks {missing[0]}" if missing else f"has the unknown weight {foreign[0]}"
        more = len(missing or foreign) - 1
        raise InputError(
            f"--model_name_or_path {path}: not the weights of a {config.model_type} encoder: it {problem} and "
            f"{more} more"
        )


def load_model(head, path, config, labels, keep_head=False, seed=42, revision="main", attn_implementation=None):
    """A model of the head's class in float32 with the encoder of `path`; returns (model, labels in the model's order).

    The head is fresh (drawn from `seed`) unless `keep_head`: True for the model's own head, or a task's name for one
    of phase 2's in heads.safetensors. A kept head must be of this kind, with the same label names. Raises InputError
    unless every encoder weight of the model comes from the checkpoint and the checkpoint holds none beside. float32
    explicitly: transformers 5 takes the checkpoint's dtype, and 16-bit weights would pass from phase to phase.
    """
    auto_class = getattr(transformers, head.MODEL)
    if config.dtype in (torch.float16, torch.bfloat16):
        logger.warning(
            "%s holds 16-bit weights (%s): an earlier phase lost precision; loading as float32", path, config.dtype
        )
    options = {"dtype": torch.float32, "attn_implementation": attn_implementation}
    if isinstance(keep_head, str):
        return _load_with_stored_head(head, path, config, labels, seed, revision, options, keep_head)
    if keep_head:
        return _load_with_head(auto_class, path, config, labels, revision, options)
    return _load_with_fresh_head(auto_class, path, config, labels, seed, revision, options)


def kind_of(head):
    """The name of a head module: "classification"."""
    return head.__name__.rpartition(".")[2]


def _load_with_fresh_head(auto_class, path, config, labels, seed, revision, options, kept=""):
    """A model whose head is drawn from `seed`, or will be that of `kept`, which only the log is told."""
    name_classes(config, labels)
    set_seed(seed)
    with _loading(path, auto_class):
        model = auto_class.from_config(config, **options)
    encoder, info = _from_pretrained(AutoModel, path, revision=revision, **options)
    _check_encoder_keys(path, config, info)
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


def _load_with_head(auto_class, path, config, labels, revision, options):
    model, info = _from_pretrained(auto_class, path, config=config, revision=revision, **options)
    if wrong := sorted((*info["missing_keys"], *info["unexpected_keys"])):
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
    kind, auto_class = kind_of(head), getattr(transformers, head.MODEL)
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
    """heads.safetensors of a checkpoint: ({task: {"kind", "labels"}}, {"<task>.<name>": tensor}).

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
    """(model, info about its keys); refuses weights that are not finite."""
    with _loading(path, auto_class):
        model, info = auto_class.from_pretrained(
            path, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
        )
    spoiled = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
    if spoiled:
        raise InputError(
            f"--model_name_or_path {path}: {spoiled} holds NaN or infinity; its training diverged, take an earlier "
            "checkpoint"
        )
    return model, info


@contextlib.contextmanager
def _loading(path, auto_class):
    """Load without transformers' table of keys, which the caller checks and logs, and with its errors as one line."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
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
