"""torch's three transformers with odd sizes."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.transformer.weights.parity import Call, Case
from transformer.patterns import Causal
from transformer.weights import from_torch

D = 30
LAYER = {"d_model": D, "nhead": 3, "dim_feedforward": 41, "batch_first": True}
SHAPES = [(1, 9, 4), (3, 5, 7)]  # batch, target, source


def padded(batch: int, length: int) -> Tensor:
    """False at padding."""
    return torch.arange(length) < torch.arange(length, length - batch, -1)[:, None]


def no_future(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).triu(1)


def encoder_calls(theirs: nn.Module) -> list[Call]:
    made = []
    for batch, length, _ in SHAPES:
        x, real = torch.randn(batch, length, D), padded(batch, length)
        shape = f"{batch} x {length}"
        made += [
            Call(shape, lambda m, x=x: m(x), lambda m, x=x: m(x)),
            Call(
                f"{shape}, padding",
                lambda m, x=x, real=real: m(x, real),
                lambda m, x=x, real=real: m(x, src_key_padding_mask=~real),
                real,
            ),
        ]
    return made


def causal_calls(theirs: nn.Module) -> list[Call]:
    x = torch.randn(3, 9, D)
    return [Call("3 x 9", lambda m: m(x), lambda m: m(x, mask=no_future(9)))]


def decoder_calls(whole: bool) -> Callable:
    """whole: for nn.Transformer, which takes the source first, and more masks."""

    def calls(theirs: nn.Module) -> list[Call]:
        made = []
        for batch, length, source_length in SHAPES:
            x, source = torch.randn(batch, length, D), torch.randn(batch, source_length, D)
            real = padded(batch, source_length)
            inputs = (source, x) if whole else (x, source)
            masks = {"memory_key_padding_mask": ~real}
            masks |= {"src_key_padding_mask": ~real} if whole else {}
            for words, mask, extra in (("", None, {}), (", source padded", real, masks)):
                made.append(
                    Call(
                        f"{batch} x {length} from {source_length}{words}",
                        lambda m, x=x, s=source, mask=mask: m(x, source=s, source_mask=mask),
                        lambda m, inputs=inputs, n=length, extra=extra: m(
                            *inputs, tgt_mask=no_future(n), **extra
                        ),
                    )
                )
        return made

    return calls


def encoder(norm: bool = True, **changes) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layer = nn.TransformerEncoderLayer(**LAYER | changes)
        return nn.TransformerEncoder(
            layer, 2, nn.LayerNorm(D) if norm else None, enable_nested_tensor=False
        )

    return make


def decoder(**changes) -> Callable[[], nn.Module]:
    return lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(**LAYER | changes), 2)


def whole(**changes) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        with warnings.catch_warnings():  # it warns that it will not use nested tensors
            warnings.simplefilter("ignore")
            return nn.Transformer(num_encoder_layers=2, num_decoder_layers=2, **LAYER | changes)

    return make


def causal(model: nn.Module):
    return from_torch(model, Causal())


PRE_NORM = {"norm_first": True, "activation": "gelu", "layer_norm_eps": 1e-3}
CASES = [
    Case("nn.TransformerEncoder", "torch", encoder(), from_torch, encoder_calls),
    Case("nn.TransformerEncoder", "torch, norm first, gelu, eps 0.001",
         encoder(**PRE_NORM), from_torch, encoder_calls),
    Case("nn.TransformerEncoder", "torch, no biases, no last norm",
         encoder(norm=False, bias=False), from_torch, encoder_calls),
    Case("nn.TransformerEncoder", "torch, silu as a function",
         encoder(activation=torch.nn.functional.silu), from_torch, encoder_calls),
    Case("nn.TransformerEncoder", "torch, causal", encoder(), causal, causal_calls),
    Case("nn.TransformerDecoder", "torch", decoder(), causal, decoder_calls(whole=False)),
    Case("nn.TransformerDecoder", "torch, norm first, gelu, eps 0.001",
         decoder(**PRE_NORM), causal, decoder_calls(whole=False)),
    Case("nn.Transformer", "torch", whole(), causal, decoder_calls(whole=True)),
    Case("nn.Transformer", "torch, norm first, gelu, no biases",
         whole(norm_first=True, activation="gelu", bias=False), causal, decoder_calls(whole=True)),
]  # fmt: skip
