"""Print ds_configs/README.md's memory table: DeepSpeed's own estimators for XLM-R's sizes.

  python benchmarks/zero_memory.py

Weights, gradients and optimizer states only; activations come on top and grow with batch and length. DeepSpeed counts
weights and gradients in 16 bits with float32 copies, 18 bytes per weight in all; with float32 weights under autocast,
as here, ZeRO-1 and -2 hold 2 bytes per weight more on every GPU. It has no estimator for ZeRO-1, whose column is
ZeRO-2's with the gradients (4 bytes) whole on every GPU.
"""

import os

# Before deepspeed is imported, which else looks for a GPU.
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch  # noqa: E402
from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as zero3  # noqa: E402
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as zero2  # noqa: E402
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel  # noqa: E402

SHARED = {"vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1}
SIZES = {  # name: (class, width, layers, heads, width of the feed-forward part), from the Hub's configurations
    "xlm-roberta-base": (XLMRobertaConfig, XLMRobertaModel, 768, 12, 12, 3072),
    "xlm-roberta-large": (XLMRobertaConfig, XLMRobertaModel, 1024, 24, 16, 4096),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLModel, 2560, 36, 32, 10240),
}
GPUS = [(1, 1), (4, 1), (8, 1), (8, 2)]  # on a node, nodes


def geometry(configuration, model, width, layers, heads, inner):
    """(all weights, weights of the largest layer), without the memory for them."""
    config = configuration(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner, **SHARED
    )
    with torch.device("meta"):
        modules = model(config, add_pooling_layer=False)
    total = sum(weight.numel() for weight in modules.parameters())
    return total, max(
        sum(weight.numel() for weight in module.parameters(recurse=False)) for module in modules.modules()
    )


def main():
    print("| model (weights) | GPUs | zero1 | zero2 | zero3 | zero2_offload | zero3_offload |\n" + "|---" * 7 + "|")
    for name, size in SIZES.items():
        total, largest = geometry(*size)
        for gpus, nodes in GPUS:
            whole = {"num_gpus_per_node": gpus, "num_nodes": nodes}
            second = zero2(total, cpu_offload=False, **whole)
            needs = [
                (second[0], second[1] + 4 * total - 4 * total // (gpus * nodes)),
                second,
                zero3(total, largest, cpu_offload=False, cpu_offload_params=False, zero_init=False, **whole)[:2],
                zero2(total, cpu_offload=True, **whole),
                zero3(total, largest, cpu_offload=True, cpu_offload_params=True, zero_init=False, **whole)[:2],
            ]
            where = str(gpus) if nodes == 1 else f"{nodes} x {gpus}"
            fields = [f"{gpu / 2**30:.1f} + {cpu / 2**30:.0f}" for cpu, gpu in needs]
            print(f"| {' | '.join([f'{name} ({total / 1e6:.0f} M)', where, *fields])} |")


if __name__ == "__main__":
    main()
