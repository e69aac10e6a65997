"""ViTModel and ViTForImageClassification."""

from typing import Any

from torch import Tensor, nn

from transformer.attention import SelfAttention, StackedLinear
from transformer.embeddings import PatchEmbedding
from transformer.heads import ClassificationHead, ClassToken, HiddenStates, Pooler
from transformer.layers import MLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions
from transformer.stems import PatchProjection
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection, does_nothing
from transformer.weights.huggingface.tensors import with_prefix
from transformer.weights.links import Link, in_blocks
from transformer.weights.resizing import Grid, one, resize, sizes

ARCHITECTURES = {"vit": ("ViTForImageClassification", "ViTModel")}
POSITIONS = "vit.embeddings.position_embeddings"
LAYERS = "vit.encoder.layer."
BLOCK = (
    Link("attention_norm", "layernorm_before", keys="hidden_size"),
    Link(
        "attention.qkv",
        tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
        keys="hidden_size, qkv_bias",
    ),
    Link("attention.out", "attention.output.dense", keys="hidden_size"),
    Link("mlp_norm", "layernorm_after", keys="hidden_size"),
    Link("mlp.up", "intermediate.dense", keys="hidden_size, intermediate_size"),
    Link("mlp.down", "output.dense", keys="hidden_size, intermediate_size"),
)


def clean(
    tensors: dict[str, Tensor],
    config: Config,
    image_size: int | tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """Their tensors with the prefix of a full model, and positions for `image_size`.

    Raises:
        ValueError: the positions are missing, or do not match the configuration.
    """
    tensors = with_prefix(tensors, "vit.")
    if POSITIONS not in tensors:
        raise ValueError(f"missing tensors: {POSITIONS}")
    _, old, new = sizes(*_trained(config), image_size)
    return {**tensors, POSITIONS: resize(tensors[POSITIONS], 1, old, new)}


def build(
    config: Config,
    architecture: str,
    tensors: dict[str, Tensor],
    image_size: int | tuple[int, int] | None = None,
) -> Transformer:
    """The model that `config` describes, before its weights are loaded.

    image_size: replaces that of the configuration.
    """
    trained, patch = _trained(config)
    size, _, (rows, columns) = sizes(trained, patch, image_size)
    d_model, d_mlp = config.count("hidden_size", 768), config.count("intermediate_size", 3072)
    n_head = config.heads("num_attention_heads", d_model, 12)
    d_head = d_model // n_head
    if config.count("head_dim", d_head) != d_head:
        raise config.refusal("head_dim", f"expected {d_head}, for {n_head} heads")
    eps, qkv_bias = config.positive("layer_norm_eps", 1e-12), config.flag("qkv_bias", True)
    dropout = config.dropout("hidden_dropout_prob", 0.0)
    attention_dropout = config.dropout("attention_probs_dropout_prob", 0.0)

    def norm() -> nn.Module:
        return nn.LayerNorm(d_model, eps)

    embedding = PatchEmbedding(
        size,
        PatchProjection(config.count("num_channels", 3), patch, d_model),
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
        for _ in range(config.layers("num_hidden_layers", tensors, LAYERS, 12))
    ]
    pooled = config.count("pooler_output_size", None) or d_model
    activation = config.activation("pooler_act", "tanh")
    head: nn.Module
    if architecture == "ViTForImageClassification":
        head = ClassificationHead(d_model, len(labels(config)), ClassToken())
    elif "vit.pooler.dense.weight" in tensors:
        head = Pooler(d_model, pooled, activation)
    else:
        head = HiddenStates()
    return Transformer(embedding, blocks, norm(), head, Bidirectional())


def labels(config: Config) -> list[str]:
    """The names of the classes, in order; two if the configuration names none, as in transformers.

    Raises:
        ValueError: the keys of id2label are not the numbers from 0, or num_labels differs.
    """
    named, count = config.take("id2label", None), config.count("num_labels", None)
    if named is None:
        return [f"LABEL_{i}" for i in range(count or 2)]
    by_number = {str(key): name for key, name in named.items()} if isinstance(named, dict) else {}
    names: list[Any] = [by_number.get(str(number)) for number in range(len(by_number))]
    if not names or not all(isinstance(name, str) for name in names):
        raise config.refusal("id2label", "expected names of classes by their numbers from 0")
    if count not in (None, len(names)):
        raise config.refusal("num_labels", f"expected {len(names)}, as in id2label")
    return names


def _trained(config: Config) -> tuple[Grid, Grid]:
    """Height and width of the training images, and of a patch."""
    return config.size("image_size", 224), config.size("patch_size", 16)


def links(model: Transformer) -> list[Link]:
    """The name of each parameter in their files."""
    embeddings = "vit.embeddings"
    return [
        Link("embedding.class_token", f"{embeddings}.cls_token", keys="hidden_size"),
        Link(
            "embedding.positions.weight",
            POSITIONS,
            leading=1,
            keys="image_size, patch_size, hidden_size",
        ),
        Link(
            "embedding.patches",
            f"{embeddings}.patch_embeddings.projection",
            keys="num_channels, patch_size, hidden_size",
        ),
        *in_blocks(BLOCK, LAYERS, len(model.blocks)),
        Link("norm", "vit.layernorm", keys="hidden_size"),
        Link("head.dense", "vit.pooler.dense", keys="pooler_output_size, hidden_size"),
        Link("head.classifier", "classifier", keys="id2label, num_labels, hidden_size"),
    ]


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json for `model` as a ViTForImageClassification, and no further tensors.

    Raises:
        ValueError: it does not support a part of the model; the message names all of them.
    """
    found = Inspection("ViTForImageClassification")
    body = found.body(
        model, PatchEmbedding, PreNormBlock, SelfAttention, MLP, nn.LayerNorm, Bidirectional
    )
    embedding, pooling = model.embedding, type(model.head.pooling)
    stem = type(embedding.patches)
    projected = stem is PatchProjection
    found.require(projected, f"stem: {stem.__name__}, not a linear projection of patches")
    found.require(pooling is ClassToken, f"pooling: {pooling.__name__}, not ClassToken")
    found.require(embedding.class_token is not None, "pooling: no class token")
    direct = does_nothing(model.head.transform)
    found.require(direct, "a transform or dropout before the classifier")
    found.learned_positions(embedding.positions)
    found.unscaled(model, body)
    same = embedding.dropout.p == body.dropout
    found.require(same, "dropout: different in embedding and blocks")
    qkv = [m for b in model.blocks for m in b.attention.modules() if isinstance(m, StackedLinear)]
    others = [m for m in model.modules() if isinstance(m, nn.Linear) and m not in qkv]
    if projected:
        others.append(embedding.patches)
    found.biases([*others, *found.norms(model)], True, "bias: parts without one")
    qkv_bias = qkv[0].bias is not None
    found.biases(qkv, qkv_bias, "bias: only in some QKV matrices")
    found.finish()
    classes = model.head.classifier.out_features
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "hidden_size": embedding.weight.shape[0],
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": body.n_head,
        "intermediate_size": body.d_mlp,
        "hidden_act": body.activation,
        "hidden_dropout_prob": body.dropout,
        "attention_probs_dropout_prob": body.attention_dropout,
        "layer_norm_eps": body.eps,
        "image_size": one(embedding.image_size),
        "patch_size": one(embedding.patches.kernel_size),
        "num_channels": embedding.patches.in_channels,
        "qkv_bias": qkv_bias,
        "id2label": {str(i): f"LABEL_{i}" for i in range(classes)},
    }
    return config, {}
