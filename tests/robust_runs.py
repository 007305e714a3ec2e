"""Tiny trainings with every robust method and head, for tests/test_robust.py: in a process, or under torchrun.

torchrun robust_runs.py FOLDER PLAN.json       PLAN: {name: [kind, {Robust's fields}]}; FOLDER/<name>.pt is the outcome
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from transformers import TrainingArguments, XLMRobertaConfig

from common.batching import Collator
from common.robust import Robustness
from common.robust_flags import Robust
from common.trainer import EncoderTrainer
from heads import classification, multiple_choice, question_answering, tagging

HEADS = {
    "classification": classification,
    "tagging": tagging,
    "question_answering": question_answering,
    "multiple_choice": multiple_choice,
}
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.1,
}
LENGTHS = (9, 4, 12, 6, 7, 11, 5, 8)


def features(kind):
    """A batch of eight examples of unlike lengths."""
    random = torch.Generator().manual_seed(1)

    def text(length):
        return [0, *torch.randint(4, 60, (length,), generator=random).tolist(), 2]

    rows = []
    for row, length in enumerate(LENGTHS):
        tokens = text(length)
        one = {"input_ids": tokens, "labels": row % 3, "length": len(tokens), "row": row}
        if kind == "tagging":  # every second sub-token has a label
            one["labels"] = [token % 3 if place % 2 else -100 for place, token in enumerate(tokens)]
        elif kind == "question_answering":
            one |= {"labels": [2, len(tokens) - 2] if row % 4 else [0, 0], "context": [2, len(tokens) - 1]}
        elif kind == "multiple_choice":
            choices = [text(length + extra) for extra in range(2 + row % 2)]
            one |= {"input_ids": choices, "labels": row % 2, "length": max(map(len, choices))}
        rows.append(one)
    return Dataset.from_list(rows)


class PassOf(torch.nn.Module):
    """In place of dropout: a function of its input and of whether the model's pass is an even or odd one."""

    def __init__(self, passes):
        super().__init__()
        self.passes, self.p = passes, 0.0  # HF asks its attention for p

    def forward(self, x):
        return x * (1 + 0.3 * torch.sin(3 * x + self.passes[0] % 2))


def tiny(kind, dropout=0.0, alternating=False):
    """A tiny XLM-R under the head of a kind."""
    torch.manual_seed(0)
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    rates["num_labels"] = 2 if kind == "question_answering" else 3
    config = XLMRobertaConfig(**SHAPE, intermediate_size=32, max_position_embeddings=64, pad_token_id=1, **rates)
    model = getattr(transformers, HEADS[kind].MODEL).from_config(config)
    if alternating:  # R-Drop without random numbers
        passes = [-1]
        model.register_forward_pre_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
        for module in [module for module in model.modules() if hasattr(module, "dropout")]:
            module.dropout = PassOf(passes)
    return model


def trained(kind, robust, folder, size=8, accumulation=1, model=None, data=None, pass_cost=None, **options):
    """({name: weight}, log lines) after two steps on one batch, on this process's share of `size` x `accumulation`."""
    model = model or tiny(kind, alternating=robust is not None and robust.method == "rdrop")
    args = TrainingArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=size, learning_rate=0.1, optim="sgd",
        gradient_accumulation_steps=accumulation, lr_scheduler_type="constant", logging_steps=1, save_strategy="no",
        report_to="none", use_cpu=True, disable_tqdm=True, remove_unused_columns=False, **options,
    )  # fmt: skip
    trainer = EncoderTrainer(
        model=model, args=args, train_dataset=data or features(kind), data_collator=Collator(1, pass_cost=pass_cost),
        head=HEADS[kind], robustness=Robustness(robust) if robust else None,
    )  # fmt: skip
    trainer.train()
    return {name: value.clone() for name, value in model.state_dict().items()}, trainer.state.log_history


if __name__ == "__main__":
    target, plan = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    for name, (kind, fields) in plan.items():
        outcome = trained(kind, Robust(**fields), target, size=4)
        torch.save(outcome, target / f"{name}.pt")
