"""Phase 2's Trainer: one encoder under several heads, one data set per optimizer step."""

import functools

import torch

from common.trainer import EncoderTrainer


def forget_gradients(optimizer):
    """Zero what ZeRO-3, and any stage with offload, keeps of the gradients of weights that a step does not use.

    DeepSpeed would move these weights by it again.
    """
    kept = [getattr(optimizer, "grad_partitions_flat_buffer", None)]
    kept += [weight.grad for weight in getattr(optimizer, "fp32_partitioned_groups_flat", ())]
    kept += [weight.grad for weight in getattr(optimizer, "single_partition_of_fp32_groups", ())]
    for gradient in kept:
        if gradient is not None:
            gradient.zero_()


class MixtureTrainer(EncoderTrainer):
    """An EncoderTrainer for one encoder under several heads, one data set per optimizer step.

    model: MultiTaskModel; train_dataset: Mixture; `heads` {data set: (task, head module)}. `guard(scores)`
    raises Collapse for dev scores of a degenerate model and is asked at every evaluation from the end of the first
    epoch on. Logs add `loss_<data set>` (mean over its labels) and `steps_<data set>` since the last line.
    """

    def __init__(self, *args, heads, sampler, guard=None, **kwargs):
        super().__init__(*args, head=None, **kwargs)
        self.heads, self.sampler, self.guard, self.sums = heads, sampler, guard, {}

    def make_sampler(self, dataset):
        return self.sampler

    def forward(self, model, inputs, source):
        task, head = self.heads[source]
        return head.forward(functools.partial(model, task), inputs)

    def record(self, source, loss, count):
        sums = torch.stack((loss.detach().sum(), count.sum().float(), torch.ones((), device=loss.device)))
        self.sums[source] = self.sums.get(source, 0) + sums  # [3]: loss, labels, micro-batches

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self.is_deepspeed_enabled and not self.suspects:  # the step's first micro-batch
            forget_gradients(self.deepspeed.optimizer)
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients and not self.is_deepspeed_enabled:
            # the other heads too: the optimizer moves all in every step, as in jiant and under ZeRO
            for parameter in self.model.parameters():
                if parameter.requires_grad and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return loss

    def log(self, logs, start_time=None):
        if "loss" in logs:
            names = list(self.heads)
            sums = torch.stack([self.sums.get(name, torch.zeros(3, device=self.args.device)) for name in names])
            sums = self.accelerator.reduce(sums).tolist()
            micro_batches = self.args.gradient_accumulation_steps * self.args.world_size
            for name, (loss, count, batches) in zip(names, sums):
                if batches:
                    logs[f"loss_{name}"], logs[f"steps_{name}"] = loss / count, round(batches / micro_batches)
            self.sums = {}
        super().log(logs, start_time)

    def evaluate(self, *args, **kwargs):
        metrics = super().evaluate(*args, **kwargs)
        if self.guard and (self.state.epoch or 0) > 1 - 1e-6:
            self.guard(metrics)
        return metrics

    # Checkpoints have the form of the final folder: a plain encoder, and heads.safetensors beside it.

    def save_weights(self, folder, state):
        self.model.save(folder, state)

    def load_weights(self, folder):
        self.model.load(folder)
