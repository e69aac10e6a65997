"""Models of equal size in other libraries, with the same weights and inputs: see training.py.

Each has its library's fused attention and no dropout. What a library does not have, such as BERT's
head, is a copy of ours.
"""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import transformer
from pipeline.data.sources import File, fetch
from transformer import Architecture, TokensAt, Transformer, flops_per_step
from transformer.patterns import Causal
from transformer.weights import timm, to_huggingface, torch_nn, torchvision
from transformer.weights.links import Link, dump, in_blocks

NANOGPT = File(
    "nanogpt-model.py",
    "7c01703240dbec5d554527dc666e35b3df8391d0b117fddc07afcf325a21d11c",
    url="https://raw.githubusercontent.com/karpathy/nanoGPT/"
    "3adf61e154c3fe3fca428ad6bc3818b27a3b8291/model.py",
)


@dataclass(frozen=True)
class Size:
    """A model and its batch.

    d_model: width; the MLPs are four times as wide.
    batch, length: sequences and their tokens, or images and their height and width in pixels.
    outputs: words or classes.
    masked: the share of masked words. patch, channels: of images.
    pairs: how often the steps are measured.
    """

    n_layer: int
    n_head: int
    d_model: int
    batch: int
    length: int
    outputs: int
    masked: float = 0
    patch: int = 0
    channels: int = 0
    pairs: int = 20

    def architecture(self, **settings: Any) -> Architecture:
        """The body."""
        return Architecture(self.n_layer, self.n_head, self.d_model, 4 * self.d_model, **settings)

    def words(self) -> str:
        """The size in words."""
        text = f"{self.n_layer} layers of width {self.d_model}, {self.batch} x "
        if self.patch:
            text += f"{self.channels} x {self.length} x {self.length} pixels in patches of "
            return text + f"{self.patch} x {self.patch}, {self.outputs:,} classes"
        share = f", {self.masked:.0%} masked" if self.masked else ""
        return text + f"{self.length} tokens{share}, {self.outputs:,} words"


@dataclass(frozen=True)
class Side:
    """A model, and the loss of the batch."""

    model: nn.Module
    loss: Callable[[], Tensor]


def bert(size: Size) -> tuple[dict[str, Side], int]:
    """BERT as in its paper. Ours computes the last MLP and the logits of masked words alone. A
    peer computes those of all words, as it is published, and in a second measurement the logits of
    masked words alone too."""
    architecture = size.architecture(norm_position="post")
    ours = transformer.bert(architecture, size.outputs, size.length, prediction_transform=True)
    inputs = torch.randint(size.outputs, (size.batch, size.length))
    indices = torch.randperm(inputs.numel())[: round(size.masked * inputs.numel())].sort().values
    labels = torch.randint(size.outputs, indices.shape)
    all_labels = torch.full((inputs.numel(),), -100).index_put((indices,), labels)
    keep = TokensAt(indices)
    sides = {"ours": Side(ours, lambda: ours.head.loss(ours.encode(inputs, keep=keep), labels))}

    def add(name: str, model: Any, encode: Callable[[Any], Tensor], head: str) -> None:
        other = copy.deepcopy(model)

        def whole() -> Tensor:
            logits = getattr(model, head)(encode(model).flatten(0, 1))
            return F.cross_entropy(logits, all_labels)

        def gathered() -> Tensor:
            logits = getattr(other, head)(encode(other).flatten(0, 1)[indices])
            return F.cross_entropy(logits, labels)

        sides[name] = Side(model, whole)
        sides[f"{name}, masked words alone"] = Side(other, gathered)

    add("transformers", huggingface(ours), lambda m: m.bert(inputs).last_hidden_state, "cls")
    add("torch.nn", TorchEncoder(ours, size), lambda m: m(inputs), "head")
    wrapper = x_transformer(ours, size)
    add("x-transformers", wrapper, lambda m: m(inputs, return_embeddings=True), "to_logits")
    return sides, flops_per_step(ours, inputs, keep)


def gpt(size: Size) -> tuple[dict[str, Side], int]:
    """GPT-2, with the exact GELU, as in nanoGPT."""
    ours = transformer.gpt(size.architecture(), size.outputs, size.length)
    inputs, labels = torch.randint(size.outputs, (2, size.batch, size.length))
    theirs, nano = huggingface(ours), nanogpt(ours, size)
    wrapper, encoder = x_transformer(ours, size), TorchEncoder(ours, size)

    def cross_entropy(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    sides = {
        "ours": Side(ours, lambda: ours.head.loss(ours.encode(inputs), labels)),
        "transformers": Side(theirs, lambda: cross_entropy(theirs(inputs, use_cache=False).logits)),
        "nanoGPT": Side(nano, lambda: nano(inputs, labels)[1]),
        "x-transformers": Side(wrapper, lambda: cross_entropy(wrapper(inputs))),
        "torch.nn": Side(encoder, lambda: cross_entropy(encoder.head(encoder(inputs)))),
    }
    return sides, flops_per_step(ours, inputs)


def vit(size: Size) -> tuple[dict[str, Side], int]:
    """ViT with a class token."""
    # The norms of torchvision have this eps.
    architecture = size.architecture(norm_eps=1e-6)
    ours = transformer.vit(architecture, size.length, size.patch, size.channels, size.outputs)
    images = torch.randn(size.batch, size.channels, size.length, size.length)
    labels = torch.randint(size.outputs, (size.batch,))
    theirs, of_timm, of_torchvision = huggingface(ours), timm_vit(ours, size), tv_vit(ours, size)
    sides = {
        "ours": Side(ours, lambda: F.cross_entropy(ours(images), labels)),
        "transformers": Side(theirs, lambda: F.cross_entropy(theirs(images).logits, labels)),
        "timm": Side(of_timm, lambda: F.cross_entropy(of_timm(images), labels)),
        "torchvision": Side(
            of_torchvision, lambda: F.cross_entropy(of_torchvision(images), labels)
        ),
    }
    return sides, flops_per_step(ours, images)


def huggingface(ours: Transformer) -> Any:
    """The model of transformers."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        name = to_huggingface(ours, folder)
        theirs = getattr(transformers, name).from_pretrained(folder, attn_implementation="sdpa")
    if name == "BertForMaskedLM":  # its token type, which ours does not have
        theirs.bert.embeddings.token_type_embeddings.requires_grad_(False)
    return theirs


def nanogpt(ours: Transformer, size: Size) -> Any:
    """The model of nanoGPT, whose tensors have the names of GPT-2's."""
    spec = spec_from_file_location("nanogpt", fetch(NANOGPT))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    theirs = module.GPT(
        module.GPTConfig(
            block_size=size.length,
            vocab_size=size.outputs,
            n_layer=size.n_layer,
            n_head=size.n_head,
            n_embd=size.d_model,
            bias=True,
        )
    )
    theirs.load_state_dict(
        {  # transformers has these matrices transposed
            name: tensor.mT if ".h." in name and tensor.ndim == 2 else tensor
            for name, tensor in huggingface(ours).state_dict().items()
        }
    )
    return theirs


class TorchEncoder(nn.Module):
    """torch.nn.TransformerEncoder between copies of our embedding and head."""

    def __init__(self, ours: Transformer, size: Size):
        super().__init__()
        self.causal = isinstance(ours.pattern, Causal)
        layer = nn.TransformerEncoderLayer(
            size.d_model,
            size.n_head,
            4 * size.d_model,
            dropout=0,
            activation=F.gelu,
            batch_first=True,
            norm_first=self.causal,
        )
        own = copy.deepcopy(ours)
        self.embedding, self.head = own.embedding, own.head
        norm = own.norm if self.causal else None
        self.encoder = nn.TransformerEncoder(layer, size.n_layer, norm, enable_nested_tensor=False)
        links = in_blocks(torch_nn.ENCODER_BLOCK, "", size.n_layer, "")
        tensors = dump(dict(ours.blocks.named_parameters()), links)
        self.encoder.layers.load_state_dict(spelled(tensors))

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states (B, T, d_model)."""
        mask = None
        if self.causal:
            mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.encoder(self.embedding(tokens), mask, is_causal=self.causal)


@torch.no_grad()
def x_transformer(ours: Transformer, size: Size) -> Any:
    """The model of x-transformers. Its attention and norms have no biases; ours are zeros at the
    beginning."""
    from x_transformers import Decoder, Encoder, TransformerWrapper

    causal = isinstance(ours.pattern, Causal)
    layers = (Decoder if causal else Encoder)(
        dim=size.d_model,
        depth=size.n_layer,
        heads=size.n_head,
        attn_dim_head=size.d_model // size.n_head,
        attn_flash=True,
        pre_norm=causal,
        verbose=False,
    )
    head = copy.deepcopy(ours.head)
    theirs = TransformerWrapper(
        num_tokens=size.outputs,
        max_seq_len=size.length,
        attn_layers=layers,
        post_emb_norm=not causal,
        to_logits=head,
    )
    head.decoder.weight = theirs.token_emb.emb.weight  # tied
    theirs.token_emb.emb.weight.copy_(ours.embedding.weight)
    theirs.pos_emb.emb.weight.copy_(ours.embedding.positions.weight / theirs.pos_emb.scale)
    for index, block in enumerate(ours.blocks):
        attention, mlp = (layers.layers[2 * index + part][1] for part in (0, 1))
        parts = block.attention.qkv.weight.chunk(3)
        for own, part in zip((attention.to_q, attention.to_k, attention.to_v), parts, strict=True):
            own.weight.copy_(part)
        attention.to_out.weight.copy_(block.attention.out.weight)
        up, down = (layer for layer in mlp.modules() if isinstance(layer, nn.Linear))
        up.load_state_dict(block.mlp.up.state_dict())
        down.load_state_dict(block.mlp.down.state_dict())
    return theirs


def timm_vit(ours: Transformer, size: Size) -> Any:
    """The model of timm."""
    from timm.models.vision_transformer import VisionTransformer

    theirs = VisionTransformer(
        img_size=size.length,
        patch_size=size.patch,
        in_chans=size.channels,
        num_classes=size.outputs,
        embed_dim=size.d_model,
        depth=size.n_layer,
        num_heads=size.n_head,
    )
    links = [*timm.LINKS, *in_blocks(timm.BLOCK, "blocks.", size.n_layer)]
    theirs.load_state_dict(dump(dict(ours.named_parameters()), links))
    return theirs


def tv_vit(ours: Transformer, size: Size) -> Any:
    """The model of torchvision."""
    from torchvision.models import VisionTransformer

    theirs = VisionTransformer(
        size.length,
        size.patch,
        size.n_layer,
        size.n_head,
        size.d_model,
        4 * size.d_model,
        num_classes=size.outputs,
    )
    theirs.conv_proj = copy.deepcopy(ours.embedding.patches)  # theirs has three channels
    links = [
        *torchvision.LINKS,
        *in_blocks(torchvision.BLOCK, torchvision.LAYERS, size.n_layer),
        Link("head.classifier", "heads.head"),
    ]
    theirs.load_state_dict(spelled(dump(dict(ours.named_parameters()), links)))
    return theirs


def spelled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names that nn.MultiheadAttention has for them."""
    return {name.replace("in_proj.", "in_proj_"): tensor for name, tensor in tensors.items()}


MODELS = {"bert": bert, "gpt": gpt, "vit": vit}
# Default and record: as in params.yaml and profile/record.yaml, without parts that some peer does
# not have: dropout, qk_norm, sampled softmax, label smoothing, convolutional stem.
SIZES = {
    "bert": {
        "default": Size(4, 4, 128, 128, 20, 23_268, masked=0.4),
        "record": Size(4, 4, 128, 128, 20, 23_948, masked=0.3),
        "larger": Size(6, 8, 512, 16, 128, 30_522, masked=0.15, pairs=5),
    },
    "gpt": {
        "default": Size(4, 4, 128, 16, 64, 30_522),
        "record": Size(3, 4, 256, 24, 64, 30_522, pairs=10),
        "larger": Size(6, 6, 384, 8, 256, 30_522, pairs=5),
    },
    "vit": {
        "default": Size(4, 4, 128, 64, 28, 10, patch=7, channels=1),
        "record": Size(2, 4, 128, 32, 64, 3, patch=8, channels=3),
        "larger": Size(12, 3, 192, 8, 224, 1000, patch=16, channels=3, pairs=5),
    },
}
