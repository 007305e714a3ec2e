"""The loss of every task: cross-entropy, summed per example, so that a batch may be split in any way."""

import torch

from common.labels import IGNORED


def cross_entropy(logits, labels, label_smoothing=0.0):
    """Summed cross-entropy per example and the number of its labels, each [examples]; labels of -100 do not count.

    logits [examples, ..., classes], or [labels that count, classes] from masked LM; labels [examples, ...].
    """
    options = {"reduction": "none", "ignore_index": IGNORED, "label_smoothing": label_smoothing}
    counted = labels != IGNORED
    if logits.dim() == labels.dim():
        of_counted = torch.nn.functional.cross_entropy(logits.float(), labels[counted], **options)
        loss = torch.zeros(labels.shape, device=labels.device).masked_scatter(counted, of_counted)
    else:
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), **options)
    examples = len(labels)
    return loss.view(examples, -1).sum(1), counted.view(examples, -1).sum(1)
