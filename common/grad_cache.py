"""In-batch negatives over a whole batch, across accumulation steps and processes, in the memory of a micro-batch.

GradCache's rule (Gao et al., 2021): first all micro-batches are encoded without a graph; the loss of the whole batch
then gives a gradient for every vector; last, each micro-batch is encoded again and sends its gradients down. Dropout
is the same both times, as the states of the generators are kept.
"""

from collections import deque

import torch
from accelerate.utils import gather_object

from common.dropout import generator_states, restore
from common.loss import cross_entropy
from common.trainer import EncoderTrainer


class GatheringTrainer(EncoderTrainer):
    """EncoderTrainer whose negatives are the other answers of the effective batch; the head gives the vectors.

    The loss and its gradients do not depend on how the batch is split: 8x1 = 4x2 = 2 processes x 4.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # per micro-batch to come: (generators' states, gradients of its vectors and of the scale, share of the loss)
        self.cache = deque()

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches:
            self.look_ahead([self._prepare_inputs(batch) for batch in batches])
        return batches, count

    def look_ahead(self, batches):
        """Fill the cache for the micro-batches of one optimizer step."""
        self.model_wrapped.train()
        states, vectors, scale = [], [], None
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in batches:
                states.append(generator_states())
                of_batch, scale = self.vectors(self.model_wrapped, batch)
                vectors.append(of_batch)
        gathered = [part.to(scale.device) for part in gather_object([torch.cat(vectors).cpu()])]
        own = sum(map(len, gathered[: self.accelerator.process_index]))
        everything = torch.cat(gathered).requires_grad_()  # [examples of the whole batch, 2, width]
        scale = scale.detach().requires_grad_()
        logits = self.head.in_batch_logits(everything, scale)
        loss = cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))[0].mean()
        gradients, of_scale = torch.autograd.grad(loss, (everything, scale))
        for state, of_batch in zip(states, vectors):
            end, share = own + len(of_batch), len(of_batch) / len(everything)
            self.cache.append((state, gradients[own:end], of_scale * share, loss.detach() * share))
            own = end

    def vectors(self, model, inputs):
        return self.head.vectors_of(model, {name: inputs[name] for name in inputs if name not in NOT_READ})

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """A number whose value is the micro-batch's share of the loss, and whose gradients are those of the cache."""
        state, gradients, of_scale, loss = self.cache.popleft()
        restore(state)
        vectors, scale = self.vectors(model, inputs)
        lever = (vectors * gradients).sum() + (scale * of_scale).sum()
        # DDP averages gradients over processes, so the sum needs their number back
        return (lever - lever.detach() + loss) * self.accelerator.num_processes


NOT_READ = ("labels", "source", "indices")  # columns of a batch that are no input of the model
