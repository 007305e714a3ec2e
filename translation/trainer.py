"""How a translation model is trained: micro-batches by tokens, the loss over the labels of a whole update."""

from pathlib import Path

from common.trainer import EncoderTrainer, data_seed
from translation.data import TokenSampler
from translation.model import TARGET_FOLDER


class TranslationTrainer(EncoderTrainer):
    """An EncoderTrainer for a TranslationModel on Batches; `max_tokens` and `temperature` are TokenSampler's."""

    def __init__(self, *args, target_tokenizer, max_tokens, temperature, **kwargs):
        super().__init__(*args, head=None, **kwargs)
        self.target_tokenizer, self.max_tokens, self.temperature = target_tokenizer, max_tokens, temperature

    def make_sampler(self, dataset):
        parts = self.args.gradient_accumulation_steps * self.args.world_size
        return TokenSampler(dataset.features, self.max_tokens, parts, self.temperature, data_seed(self.args))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs.pop("indices", None)
        loss, count = model(**inputs, smoothing=self.args.label_smoothing_factor)
        loss = self.normalized(loss, count, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def memory_advice(self, shape, error):
        tokens, steps = self.max_tokens // 2, 2 * self.args.gradient_accumulation_steps
        smaller = f"--max_tokens {tokens} --gradient_accumulation_steps {steps} (the same updates)"
        batch = f"{' x '.join(map(str, shape))} source pieces in a batch"
        return (
            f"out of GPU memory ({batch}; {str(error).split('. ')[0]}); try, in this order and in a new --output_dir: "
            f"{smaller}, then --bf16, then --activation_checkpointing true"
        )

    def save_weights(self, folder, state):
        self.model.save(folder, state)
        self.target_tokenizer.save_pretrained(Path(folder) / TARGET_FOLDER)

    def load_weights(self, folder):
        self.model.load(folder)
