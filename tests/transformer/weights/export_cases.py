"""Models of this project to export."""

import transformer
from transformer import Architecture

SIZES = {"n_layer": 2, "n_head": 2, "d_model": 12, "d_mlp": 20, "dropout": 0.1,
         "embedding_dropout": 0.1}  # fmt: skip
NO_DROPOUT = {"dropout": 0.0, "embedding_dropout": 0.0}
LLAMA = NO_DROPOUT | {
    "norm": "rmsnorm", "positions": "rotary", "mlp": "gated", "activation": "silu",
    "bias": False, "rope_theta": 50.0, "norm_eps": 1e-3,
}  # fmt: skip


def bert(transform=True, tie=True, **changes):
    architecture = Architecture(**SIZES | {"norm_position": "post"} | changes)
    return transformer.bert(architecture, 23, 9, tie, transform)


def gpt(tie=True, **changes):
    return transformer.gpt(Architecture(**SIZES | changes), 23, 9, tie)


def vit(pooling="cls", stem="linear", **changes):
    return transformer.vit(Architecture(**SIZES | changes), 12, 4, 1, 5, pooling, stem=stem)
