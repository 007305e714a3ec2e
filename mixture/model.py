"""Phase 2's model: one shared encoder under a head per task, and its folder.

The folder is a plain Hugging Face encoder (float32), which AutoModel and phase 3 load; the heads lie beside it in
heads.safetensors with their kinds and label names. Checkpoints of a run have the same form.
"""

import copy
import json
import logging
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, set_seed

from common import checkpoints, kept_heads
from common.checkpoints import HEADS_FILE, POOLER, shapes_of, weights_of
from common.files import InputError, replacing
from common.labels import FIRST, name_classes

logger = logging.getLogger("xtreme")


class MultiTaskModel(torch.nn.Module):
    """`model(task, **batch)` is the forward pass of HF's model class for the task's kind, on the shared encoder.

    `heads` {task: head module}, `labels` {task: label names}, `tag_pieces` {task: where its tags are read}.
    Registered modules are the encoder and the heads' own layers; the models that bring both together are kept in
    `models`, so no weight is counted, saved or wrapped twice. A pooler that is not `trained_pooler` and that no head
    reads goes: nothing would train it.
    """

    def __init__(self, encoder, heads, labels, seed, trained_pooler, tag_pieces):
        super().__init__()
        self.encoder, self.config, self.labels, self.tag_pieces = encoder, encoder.config, labels, tag_pieces
        self.kinds = {task: checkpoints.kind_of(head) for task, head in heads.items()}
        self.models, self.heads, self.tied, needs_pooler = {}, torch.nn.ModuleDict(), {}, False
        for task, head in heads.items():
            model = fresh_head(head, encoder.config, labels[task], zlib.crc32(f"{seed} {task}".encode()))
            needs_pooler |= getattr(model.base_model, "pooler", None) is not None
            setattr(model, model.base_model_prefix, encoder)
            own = {name: module for name, module in model.named_children() if name != model.base_model_prefix}
            self.heads[f"{task}_head"] = torch.nn.ModuleDict(own)
            self.tied[task] = set(model.all_tied_weights_keys)
            self.models[task] = head.prepare(model, encoder) if hasattr(head, "prepare") else model
        if not needs_pooler and not trained_pooler:
            encoder.pooler = None

    def forward(self, task, **batch):
        return self.models[task](**batch)

    def num_parameters(self, **options):
        """Of the encoder: HF's Trainer reckons `total_flos` by it."""
        return self.encoder.num_parameters(**options)

    # What Trainer's --neftune_noise_alpha and --activation_checkpointing ask of a model.

    def get_input_embeddings(self):
        return self.encoder.get_input_embeddings()

    def activation_checkpointing_enable(self, **options):
        self.encoder.activation_checkpointing_enable(**options)

    def save(self, folder, state=None):
        """Write config.json, model.safetensors (the encoder) and heads.safetensors.

        `state` is the gathered state_dict under ZeRO-3.
        """
        state = self.state_dict() if state is None else state
        encoder = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
        self.encoder.save_pretrained(folder, state_dict=encoder)
        about = {task: {"kind": kind, "labels": list(self.labels[task])} for task, kind in self.kinds.items()}
        for task in about:
            if self.tag_pieces.get(task, FIRST) != FIRST:
                about[task]["tag_piece"] = self.tag_pieces[task]
        tensors = {key: value.contiguous() for key, value in self._head_tensors(state)}
        with replacing(Path(folder) / HEADS_FILE) as temporary:
            save_file(tensors, temporary, {"heads": json.dumps(about)})

    def _head_tensors(self, state):
        """(<task>.<name>, tensor) of every head, without those that are another's: masked LM's embedding matrix."""
        for task in self.kinds:
            prefix = f"heads.{task}_head."
            for key, value in state.items():
                name = key.removeprefix(prefix)
                if key.startswith(prefix) and name not in self.tied[task]:
                    yield f"{task}.{name}", value

    def load(self, folder):
        """Take the weights of a folder that `save` wrote."""
        self.encoder.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        self.load_heads(folder, *checkpoints.stored_heads(folder), self.kinds)

    def load_heads(self, folder, stored, tensors, tasks):
        """Heads of `tasks` from heads.safetensors, every tensor of them; InputError where they do not fit."""
        known = dict(self._head_tensors(self.state_dict()))
        for task in tasks:
            if task not in stored or stored[task]["kind"] != self.kinds[task]:
                raise InputError(
                    f"--model_name_or_path {folder}: {HEADS_FILE} has no {self.kinds[task]} head {task}; train it "
                    "with --do_train"
                )
            own = weights_of(task, tensors)
            if shapes_of(own) != shapes_of(weights_of(task, known)):
                raise InputError(
                    f"{folder}/{HEADS_FILE}: the weights of {task} do not fit the model; train the phase again"
                )
            self.heads[f"{task}_head"].load_state_dict(own, strict=False)


def fresh_head(head, config, labels, seed):
    """HF's model for a kind of task, without layers below its head: their place is taken by the shared encoder."""
    auto_class, small = checkpoints.model_class(head, config), copy.deepcopy(config)
    small.num_hidden_layers = 0
    if not hasattr(head, "prepare"):  # all but masked LM, whose head is as wide as the vocabulary
        small.vocab_size = config.pad_token_id + 1
    name_classes(small, labels)
    try:
        return _drawn(auto_class, small, seed)
    except ZeroDivisionError:  # ModernBERT's weights are drawn by the number of layers
        small.num_hidden_layers = config.num_hidden_layers
        return _drawn(auto_class, small, seed)


def _drawn(auto_class, config, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return auto_class.from_config(config, dtype=torch.float32, trust_remote_code=False)


def load_multitask(
    heads, labels, path, config, seed, revision="main", attn_implementation=None, trained=False, tag_pieces=None
):
    """A MultiTaskModel on the encoder of `path`, or on random weights where `path` is None.

    Heads are fresh (drawn from `seed` and the task's name); with `trained` all come from heads.safetensors. Masked LM
    of text (mlm) and of pairs (tlm) goes on with the checkpoint's own head where it has one, as XLM-R does.
    """
    set_seed(seed)
    tag_pieces = tag_pieces or {}
    kept_heads.record_tag_piece(config, FIRST)  # the encoder's own says nothing of the heads beside it
    options = {"attn_implementation": attn_implementation, "dtype": torch.float32}
    if path is None:
        encoder = AutoModel.from_config(config, trust_remote_code=False, **options)
        return _finish(MultiTaskModel(encoder, heads, labels, seed, False, tag_pieces), seed, "random weights")
    encoder, info = checkpoints.load_whole_encoder(path, config, revision=revision, **options)
    trained_pooler = not any(key.startswith(POOLER) for key in info["missing_keys"])
    model = MultiTaskModel(encoder, heads, labels, seed, trained_pooler, tag_pieces)
    stored, tensors = checkpoints.stored_heads(path, revision)
    if trained:
        model.load_heads(path, stored, tensors, heads)
        return _finish(model, seed, path)
    for task in ("mlm", "tlm"):
        if task in heads and (kept := next((name for name in (task, "mlm", "tlm") if name in stored), None)):
            about = {task: {**stored[kept], "kind": model.kinds[task]}}
            own = {f"{task}.{name}": value for name, value in checkpoints.weights_of(kept, tensors).items()}
            model.load_heads(path, about, own, [task])
        elif task in heads and info["unexpected_keys"]:
            whole = checkpoints.load_masked_lm(path, config, revision=revision, **options)
            if whole is not None:
                own = {key: value for key, value in whole.state_dict().items() if key not in model.tied[task]}
                model.heads[f"{task}_head"].load_state_dict(own, strict=False)  # which has no place for the encoder's
    return _finish(model, seed, path)


def _finish(model, seed, source):
    set_seed(seed)  # dropout must not depend on how many heads were drawn
    tensors, heads = len(model.encoder.state_dict()), ", ".join(model.kinds)
    logger.info("encoder: %d tensors from %s; heads: %s", tensors, source, heads)
    return model
