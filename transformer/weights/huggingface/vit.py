"""ViTModel and ViTForImageClassification."""

from typing import Any

from torch import Tensor, nn

from transformer.attention import SelfAttention
from transformer.embeddings import PatchEmbedding
from transformer.heads import ClassificationHead, ClassToken, HiddenStates, Pooler
from transformer.layers import MLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection
from transformer.weights.links import Link
from transformer.weights.resizing import grid, one, pair, resize

ARCHITECTURES = ("ViTModel", "ViTForImageClassification")
POSITIONS = "vit.embeddings.position_embeddings"
_SIZES = {"patch": 16, "image": 224}  # where they are not given


def clean(
    tensors: dict[str, Tensor],
    config: Config,
    image_size: int | tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """Their tensors with the prefix of a whole model, and positions for `image_size`."""
    if not any(name.startswith("vit.") for name in tensors):
        tensors = {f"vit.{name}": tensor for name, tensor in tensors.items()}
    if POSITIONS not in tensors:
        raise ValueError(f"missing tensors: {POSITIONS}")
    if image_size is not None:
        patch_size, trained = (pair(config.take(f"{of}_size", _SIZES[of])) for of in _SIZES)
        old, new = grid(trained, patch_size), grid(pair(image_size), patch_size)
        tensors = {**tensors, POSITIONS: resize(tensors[POSITIONS], 1, old, new)}
    return tensors


def build(
    config: Config,
    architecture: str,
    tensors: dict[str, Tensor],
    image_size: int | tuple[int, int] | None = None,
) -> Transformer:
    """The model that `config` describes, its weights still to be filled.

    image_size: in place of the configuration's.
    """
    patch_size, trained = (pair(config.take(f"{of}_size", _SIZES[of])) for of in _SIZES)
    image_size = trained if image_size is None else pair(image_size)
    rows, columns = grid(image_size, patch_size)
    d_model, n_head = config.take("hidden_size", 768), config.take("num_attention_heads", 12)
    d_mlp, eps = config.take("intermediate_size", 3072), config.take("layer_norm_eps", 1e-12)
    dropout = config.take("hidden_dropout_prob", 0.0)
    attention_dropout = config.take("attention_probs_dropout_prob", 0.0)
    qkv_bias = config.take("qkv_bias", True)

    def norm() -> nn.Module:
        return nn.LayerNorm(d_model, eps)

    embedding = PatchEmbedding(
        image_size,
        config.take("num_channels", 3),
        patch_size,
        d_model,
        class_token=True,
        positions=LearnedPositions(1 + rows * columns, d_model),
        norm=nn.Identity(),
        dropout=dropout,
    )
    blocks = [
        PreNormBlock(
            SelfAttention(d_model, n_head, attention_dropout, bias=qkv_bias),
            MLP(d_model, d_mlp, config.activation("hidden_act", "gelu")),
            norm(),
            norm(),
            dropout,
        )
        for _ in range(config.take("num_hidden_layers", 12))
    ]
    pooled = config.take("pooler_output_size", None) or d_model
    activation = config.activation("pooler_act", "tanh")
    if architecture == "ViTForImageClassification":
        classes = len(config.values.get("id2label", {})) or config.values.get("num_labels", 2)
        head = ClassificationHead(d_model, classes, ClassToken())
    elif "vit.pooler.dense.weight" in tensors:
        head = Pooler(d_model, pooled, activation)
    else:
        head = HiddenStates()
    return Transformer(embedding, blocks, norm(), head, Bidirectional())


def links(model: Transformer) -> list[Link]:
    """Where each parameter stands in their files."""
    embeddings = "vit.embeddings"
    pairs = [
        Link("embedding.class_token", f"{embeddings}.cls_token"),
        Link("embedding.positions.weight", POSITIONS, leading=1),
        Link("embedding.patches", f"{embeddings}.patch_embeddings.projection"),
        Link("norm", "vit.layernorm"),
        Link("head.dense", "vit.pooler.dense"),
        Link("head.classifier", "classifier"),
    ]
    for i in range(len(model.blocks)):
        ours, theirs = f"blocks.{i}", f"vit.encoder.layer.{i}"
        qkv = tuple(f"{theirs}.attention.attention.{part}" for part in ("query", "key", "value"))
        pairs += [
            Link(f"{ours}.attention_norm", f"{theirs}.layernorm_before"),
            Link(f"{ours}.attention.qkv", qkv),
            Link(f"{ours}.attention.out", f"{theirs}.attention.output.dense"),
            Link(f"{ours}.mlp_norm", f"{theirs}.layernorm_after"),
            Link(f"{ours}.mlp.up", f"{theirs}.intermediate.dense"),
            Link(f"{ours}.mlp.down", f"{theirs}.output.dense"),
        ]
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json of a ViTForImageClassification that is `model`, and no further tensors.

    Raises:
        ValueError: it cannot express a part of the model; all of them are named.
    """
    found = Inspection("ViTForImageClassification")
    pooling = type(model.head.pooling)
    found.require(pooling is ClassToken, f"pooling: {pooling.__name__}, not of the class token")
    found.body(model, PreNormBlock, SelfAttention, MLP, nn.LayerNorm)
    embedding, block = model.embedding, model.blocks[0]
    found.learned_positions(embedding.positions)
    direct = isinstance(model.head.transform, nn.Identity)
    found.require(direct, "a transform before the classifier")
    qkv = [b.attention.qkv for b in model.blocks]
    others = [m for m in model.modules() if isinstance(m, nn.Linear) and m not in qkv]
    found.biases([*others, embedding.patches, *found.norms(model)], True, "bias: parts without one")
    qkv_bias = block.attention.qkv.bias is not None
    found.biases(qkv, qkv_bias, "bias: in some of the QKV matrices only")
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "hidden_size": embedding.weight.shape[0],
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": block.attention.n_head,
        "intermediate_size": block.mlp.up.out_features,
        "hidden_act": found.activation(model),
        "hidden_dropout_prob": embedding.dropout.p,
        "attention_probs_dropout_prob": block.attention.dropout,
        "layer_norm_eps": found.eps(model),
        "image_size": one(embedding.image_size),
        "patch_size": one(embedding.patches.kernel_size),
        "num_channels": embedding.patches.in_channels,
        "qkv_bias": qkv_bias,
    }
    found.finish()
    classes = model.head.classifier.out_features
    return config | {"id2label": {str(i): f"LABEL_{i}" for i in range(classes)}}, {}
