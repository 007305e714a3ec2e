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


def margins(logits, labels):
    """Logit of the gold class minus the highest other one, [...]: below 0 the prediction is wrong.

    logits [..., classes], labels [...]; what stands at IGNORED labels means nothing.
    """
    gold = labels.clamp(min=0)[..., None]
    others = logits.float().scatter(-1, gold, -torch.inf).amax(-1)
    return logits.float().gather(-1, gold)[..., 0] - others
