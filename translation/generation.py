"""Translating lines: batches of like lengths over all processes, each line within a limit of its own."""

import torch
from transformers import LogitsProcessor

from common.batching import Collator
from common.launching import autocasts
from common.prediction import length_step, run_batches
from common.zero import zero_stage
from translation.data import encode

LONGEST, PER_PIECE, MORE = 256, 2, 20  # at most 2 pieces for one of the source and 20 more, and 256


def limits(lengths):
    """How many pieces a translation of a line has at most, by the number of the line's own."""
    return (PER_PIECE * lengths + MORE).clamp(max=LONGEST)


class OwnLimits(LogitsProcessor):
    """Ends every line at its own limit, so that it does not depend on what stands beside it in a batch."""

    def __init__(self, limits, eos, beams):
        self.limits, self.eos = limits.repeat_interleave(beams), eos  # [lines x beams]

    def __call__(self, input_ids, scores):
        full = input_ids.shape[1] >= self.limits  # the start counts, the end of sentence then is the last piece
        scores[full] = -torch.inf
        scores[full, self.eos] = 0.0
        return scores


class Translator:
    """Lines of text -> their translations, by greedy search (one beam) or beam search."""

    def __init__(self, model, tokenizer, target_tokenizer, args, max_seq_length):
        self.model, self.tokenizer, self.target, self.args = model, tokenizer, target_tokenizer, args
        self.max_seq_length, self.collator = (
            max_seq_length,
            Collator(tokenizer.pad_token_id, step=length_step(args, max_seq_length)),
        )

    def special_ids(self):
        """(padding of the source, of the target, what a translation starts with)."""
        return self.tokenizer.pad_token_id, self.target.pad_token_id, self.target.sep_token_id

    def translate(self, lines, beams, desc=None, n_best=1):
        """The `n_best` translations of every line, best first, on every process."""
        self.model.eval()
        if not lines:
            return []
        features = encode(lines, self.tokenizer, self.max_seq_length)

        def step(batch):
            own = limits(batch["attention_mask"].sum(1))
            ids = self.model.generate(
                batch["input_ids"],
                attention_mask=batch["attention_mask"],
                num_beams=beams,
                num_return_sequences=n_best,
                max_new_tokens=int(own.max()),
                logits_processor=[OwnLimits(own, self.target.sep_token_id, beams)],
                synced_gpus=zero_stage(self.args) == 3,
            )
            return {"ids": ids.view(len(own), n_best, -1)}

        options = {"batch_size": self.args.per_device_eval_batch_size, "device": self.args.device}
        options |= {"bf16": autocasts(self.args), "disable_tqdm": self.args.disable_tqdm}
        outputs = run_batches(step, features, self.collator, desc=desc, **options)
        texts = (self.target.batch_decode(ids, skip_special_tokens=True) for ids in outputs["ids"])
        return [[" ".join(text.split()) for text in own] for own in texts]  # one line each
