"""What a checkpoint says of its own head, which the next run goes on with."""

from transformers import PretrainedConfig

from common.checkpoints import stored_heads
from common.labels import FIRST


def kept_tag_piece(path, name=None, revision="main"):
    """Where a checkpoint's own tagging head, or phase 2's head `name`, reads tags: one of common.labels.TAG_PIECES."""
    if name:
        return stored_heads(path, revision)[0].get(name, {}).get("tag_piece", FIRST)
    return kept_setting(path, "tag_piece", FIRST, revision)


def kept_setting(path, name, default=None, revision="main"):
    """What a checkpoint's configuration says of its own head."""
    try:
        return PretrainedConfig.get_config_dict(path, revision=revision)[0].get(name, default)
    except Exception:  # transformers raises many kinds; `load_config` will say what is wrong
        return default


def stored_labels(path, config, name=None, revision="main"):
    """The label names of a checkpoint's own head, or of phase 2's head `name`; () where it has none."""
    if isinstance(name, str):
        return tuple(stored_heads(path, revision)[0].get(name, {}).get("labels", ()))
    names = tuple(config.id2label[index] for index in sorted(config.id2label))
    return () if all(text == f"LABEL_{index}" for index, text in enumerate(names)) else names


def record_tag_piece(config, value):
    """Write a tagging head's tag_piece into its model's configuration, which other heads and the default leave out."""
    vars(config).pop("tag_piece", None)
    vars(config).pop("dual_encoder", None)  # which that head records itself
    if value != FIRST:
        config.tag_piece = value
