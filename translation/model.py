"""The translation model: an encoder under a decoder of its own kind, and the loss over the decoder's vocabulary.

Its folder is a plain EncoderDecoderModel with the source's tokenizer, and the target's in target/.
"""

import copy
import logging
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, EncoderDecoderModel

from common import checkpoints
from common.checkpoints import ROBERTA_LIKE
from common.files import InputError

logger = logging.getLogger("xtreme")

DECODERS = ("bert", *ROBERTA_LIKE)  # types of encoders that transformers has with cross-attention, of one form
TARGET_FOLDER = "target"  # of the target's tokenizer
FLOAT = torch.float32
LOGITS = 2**24  # numbers, those that are in memory at a time: 64 MB, four times


# --- The loss -------------------------------------------------------------------------------------------------------


class ChunkedCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of hidden [pieces, width] against labels [pieces], at most LOGITS logits at a time.

    All at once would take pieces x vocabulary x 4 bytes three times: 6 GB for 2,048 pieces of XLM-R's. The gradients,
    known up to the factor that comes from above, are computed on the way: nothing is computed twice.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, labels, smoothing):
        needed = ctx.needs_input_grad[:3]
        total, gradients = (
            hidden.new_zeros(()),
            [torch.zeros_like(one) if need else None for one, need in zip((hidden, weight, bias), needed)],
        )
        size = max(1, LOGITS // len(weight))
        for begin in range(0, len(hidden), size):
            part = slice(begin, begin + size)
            leaves = [one.detach().requires_grad_(need) for one, need in zip((hidden[part], weight, bias), needed)]
            with torch.enable_grad():
                logits = functional.linear(*leaves).float()
                loss = functional.cross_entropy(logits, labels[part], reduction="sum", label_smoothing=smoothing)
            total += loss.detach()
            if any(needed):
                wanted = [leaf for leaf, need in zip(leaves, needed) if need]
                own = iter(torch.autograd.grad(loss, wanted))
                for gradient, rows in zip(gradients, (part, slice(None), slice(None))):
                    if gradient is not None:
                        gradient[rows] += next(own)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx, above):
        return *(one if one is None else above * one for one in ctx.saved_tensors), None, None


class TranslationModel(torch.nn.Module):
    """An EncoderDecoderModel in training: `forward` gives (summed loss, number of labels) of a batch.

    `freeze`: the encoder with all embeddings of pieces; all embeddings, and positions and norm of the encoder's
    (SixT+'s second stage); or nothing.
    """

    def __init__(self, model, freeze):
        super().__init__()
        # the encoder's configuration: DeepSpeed asks it for a hidden_size
        self.model, self.config, self.frozen_encoder = model, model.encoder.config, freeze == "encoder"
        frozen = {"encoder": [model.encoder], "embeddings": [model.encoder.embeddings], "nothing": []}[freeze]
        if frozen:
            frozen.append(model.decoder.get_input_embeddings())
        for module in frozen:
            module.requires_grad_(False)

    def train(self, mode=True):
        """A frozen encoder has no dropout: it gives what the checkpoint gives."""
        super().train(mode)
        if self.frozen_encoder:
            self.model.encoder.eval()
        return self

    def forward(self, input_ids, attention_mask, decoder_input_ids, labels, smoothing=0.0):
        encoded = self.model.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        decoder, counted = self.model.decoder, labels != -100
        hidden = decoder.base_model(
            decoder_input_ids,
            attention_mask=counted.long(),
            encoder_hidden_states=encoded,
            encoder_attention_mask=attention_mask,
            use_cache=False,
        ).last_hidden_state[counted]  # [labels that count, width]
        output = decoder.get_output_embeddings()
        hidden = before_output(decoder, hidden)
        loss = ChunkedCrossEntropy.apply(hidden, output.weight, output.bias, labels[counted], smoothing)
        return loss, counted.sum()

    def num_parameters(self, **options):
        return self.model.num_parameters(**options)

    def get_input_embeddings(self):
        return self.model.encoder.get_input_embeddings()

    def activation_checkpointing_enable(self, **options):
        self.model.activation_checkpointing_enable(**options)

    def save(self, folder, state=None):
        """Write config.json, generation_config.json and model.safetensors, every tensor once or as its own copy.

        `state` is the gathered state_dict under ZeRO-3.
        """
        state = self.state_dict() if state is None else state
        tied = ("model.decoder.lm_head.decoder.", "model.decoder.cls.predictions.decoder.")
        own = {key.removeprefix("model."): value.clone() for key, value in state.items() if not key.startswith(tied)}
        self.model.save_pretrained(folder, state_dict=own)

    def load(self, folder):
        """Take the weights of a folder that `save` wrote; tied ones are tied still."""
        info = self.model.load_state_dict(load_file(Path(folder) / "model.safetensors"), strict=False)
        assert not info.unexpected_keys and all(
            ".decoder." in key.removeprefix("decoder.") for key in info.missing_keys
        )


def before_output(decoder, hidden):
    """What the matrix of output embeddings is multiplied with: hidden through the head's own layers."""
    if hasattr(decoder, "lm_head"):
        return decoder.lm_head.layer_norm(functional.gelu(decoder.lm_head.dense(hidden)))
    return decoder.cls.predictions.transform(hidden)


# --- Making and loading ---------------------------------------------------------------------------------------------


def build(encoder, layers, init, seed, tokenizer, kept):
    """An EncoderDecoderModel: `encoder` under a fresh decoder of as many `layers`, drawn from `seed` alone, whatever
    the encoder and the vocabulary.

    `tokenizer` is the target's, `kept` its pieces' numbers among the encoder's, None where it is the encoder's own,
    and then so are the embeddings. `init` "encoder" copies the encoder's layers, spread from the first to the last,
    to all but cross-attention.
    """
    config = copy.deepcopy(encoder.config)
    config.is_decoder = config.add_cross_attention = config.use_cache = True
    config.num_hidden_layers, config.attention_probs_dropout_prob = layers, 0.0
    config.vocab_size = config.pad_token_id + 1  # for now: the draws of layers must not depend on it
    encoder.pooler = None  # nothing would train it
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        decoder.resize_token_embeddings(len(tokenizer) if kept else encoder.config.vocab_size, mean_resizing=False)
    own = encoder.get_input_embeddings()
    if kept:
        with torch.no_grad():
            decoder.get_input_embeddings().weight.copy_(own.weight[kept])
    else:
        decoder.set_input_embeddings(own)
    decoder.tie_weights()
    if init == "encoder":
        depth = encoder.config.num_hidden_layers
        if layers > depth:
            raise InputError(f"--decoder_layers {layers}: the encoder has {depth} to copy; give at most that")
        for place, layer in enumerate(decoder.base_model.encoder.layer):
            source = encoder.encoder.layer[round((place + 1) * depth / layers) - 1]
            layer.load_state_dict(source.state_dict(), strict=False)
    model = EncoderDecoderModel(encoder=encoder, decoder=decoder)
    describe(model, tokenizer)
    return model


def describe(model, tokenizer):
    """Say in its configurations how the model generates: from and to the target's separator, as in fairseq."""
    ids = {"decoder_start_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}
    ids["eos_token_id"] = tokenizer.sep_token_id
    for config in (model.config, model.generation_config):
        for name, value in ids.items():
            setattr(config, name, value)
    model.config.vocab_size = model.config.decoder.vocab_size
    settings = model.generation_config
    settings.bos_token_id, settings.use_cache = None, True
    settings.num_beams, settings.early_stopping, settings.length_penalty = 5, True, 1.0
    settings.max_new_tokens, settings.max_length = 256, None


def check_encoder(config, path):
    """InputError for an encoder that transformers has no decoder for."""
    if config.model_type not in DECODERS:
        raise InputError(
            f"--model_name_or_path {path}: transformers has no decoder with cross-attention of one form with "
            f"{config.model_type}; take an encoder of type {', '.join(DECODERS)}"
        )


def is_translation(path, revision="main"):
    """Whether a folder or Hub id holds a translation model."""
    try:
        return (
            AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False).model_type
            == "encoder-decoder"
        )
    except Exception:  # of many kinds; load_config says what is wrong
        return False


def load(path, max_seq_length, revision="main", attn_implementation=None):
    """(EncoderDecoderModel, the source's tokenizer, the target's) of a folder that a run wrote."""
    options = {"revision": revision, "trust_remote_code": False}
    tokenizer = checkpoints.load_tokenizer(path, revision)
    try:
        model = EncoderDecoderModel.from_pretrained(
            path, dtype=torch.float32, attn_implementation=attn_implementation, **options
        )
        target = AutoTokenizer.from_pretrained(path, subfolder=TARGET_FOLDER, **options)
    except Exception as error:
        raise InputError(
            f"--model_name_or_path {path}: not a folder of run_translation.py ({' '.join(str(error).split())[:200]}); "
            "train one, or copy it again"
        ) from None
    positions = checkpoints.number_of_positions(model.encoder)
    if positions and max_seq_length > positions:
        raise InputError(f"--max_seq_length {max_seq_length}: the model has {positions} positions; give at most that")
    model.encoder.pooler = None
    shared = model.encoder.get_input_embeddings(), model.decoder.get_input_embeddings()
    if shared[0].weight.shape == shared[1].weight.shape and torch.equal(shared[0].weight, shared[1].weight):
        model.decoder.set_input_embeddings(shared[0])
    model.decoder.tie_weights()
    return model, tokenizer, target
