"""Whether joining operations that are bound by memory pays: a layer's bias and GELU, a residual and
its norm, all of a model by a compiler; and whether the layout of images does.

    ./run python -m benchmarks.fusions

Writes the page of this processor's vendor, such as fusions-amd.md. Compiled code needs a C++
compiler.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import transformer
from benchmarks.kernels import compared
from benchmarks.pages import page
from benchmarks.peers import SIZES, Size
from pipeline.running import records
from pipeline.training import device
from pipeline.training.numerics import COMPILED
from transformer import Transformer
from transformer.stems import PatchProjection

Operation = Callable[..., Tensor]


class OneDNNGelu(torch.autograd.Function):
    """GELU of a linear layer with oneDNN's fused forward pass. That keeps no input of GELU, so the
    backward pass computes it again."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(N, inner) to (N, columns)."""
        ctx.save_for_backward(x, weight, bias)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "none")

    @staticmethod
    def backward(ctx, d_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of the inputs."""
        x, weight, bias = ctx.saved_tensors
        d_hidden = torch.ops.aten.gelu_backward(d_out, F.linear(x, weight, bias))
        return d_hidden @ weight, d_hidden.T @ x, d_hidden.sum(0)


def hidden(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The hidden layer of an MLP."""
    return F.gelu(F.linear(x, weight, bias))


def normalised(x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The norm of a block's input, with the branch before it."""
    return F.layer_norm(x + branch, x.shape[-1:], weight, bias)


def trials(size: Size) -> Iterator[tuple[str, list[Tensor], Operation, Operation]]:
    """What is tried, its inputs, the operation of a training, and another."""
    length = (size.length // size.patch) ** 2 + 1 if size.patch else size.length
    rows, width = size.batch * length, size.d_model
    layer = [_of(rows, width), _of(4 * width, width), _of(4 * width)]
    yield "bias and GELU by oneDNN", layer, hidden, OneDNNGelu.apply
    yield "bias and GELU, compiled", layer, hidden, torch.compile(hidden)
    sublayer = [_of(rows, width), _of(rows, width), _of(width), _of(width)]
    yield "residual and norm, compiled", sublayer, normalised, torch.compile(normalised)
    if size.masked:
        return
    model, loss = whole(size)
    parameters = list(model.parameters())
    compiled = torch.compile(model.encode)
    yield "model, compiled", parameters, lambda *_: loss(model.encode), lambda *_: loss(compiled)
    if size.patch:
        images = torch.randn(size.batch, size.channels, size.length, size.length)
        stem = PatchProjection(size.channels, size.patch, width)
        weights = list(stem.parameters())

        def projected(*_: Tensor) -> Tensor:
            return stem(images)

        def convolved(w: Tensor, bias: Tensor, layout: Any = torch.contiguous_format) -> Tensor:
            pixels = images.contiguous(memory_format=layout)
            return F.conv2d(pixels, w, bias, stride=size.patch)

        channels_last = partial(convolved, layout=torch.channels_last)
        yield "patches by a convolution", weights, projected, convolved
        yield "patches by a convolution, channels last", weights, projected, channels_last


def whole(size: Size) -> tuple[Transformer, Operation]:
    """ViT or GPT, and its loss by a function that encodes."""
    if size.patch:
        sides = (size.length, size.patch, size.channels)
        model = transformer.vit(size.architecture(), *sides, size.outputs)
        inputs = torch.randn(size.batch, size.channels, size.length, size.length)
        labels = torch.randint(size.outputs, (size.batch,))
    else:
        model = transformer.gpt(size.architecture(), size.outputs, size.length)
        inputs, labels = torch.randint(size.outputs, (2, size.batch, size.length))
    return model, lambda encode: model.head.loss(encode(inputs), labels)


def _of(*shape: int) -> Tensor:
    return (torch.randn(shape) / shape[-1] ** 0.5).requires_grad_()


def both_passes(operation: Operation, inputs: list[Tensor], d_out: Tensor) -> list[Tensor]:
    """Its output and the gradients of its inputs."""
    out = operation(*inputs)
    wanted = [each for each in inputs if each.requires_grad]
    return [out, *torch.autograd.grad(out, wanted, d_out)]


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    device.prepare("cpu", options.threads, "fast")  # memory and kernels as in a training
    with tempfile.TemporaryDirectory() as cache:
        os.environ[COMPILED] = cache  # so that the first call compiles
        rows = measured(options.pairs)
    page(__file__).write_text(report(sorted(rows), options))


def measured(pairs: int) -> list[str]:
    """The lines of the table."""
    rows = []
    for model, sizes in SIZES.items():
        for name, size in sizes.items():
            for trial, inputs, plain, other in trials(size):
                torch._dynamo.reset()  # or it would compile for sizes of any kind
                d_out = torch.randn_like(plain(*inputs))
                began = time.perf_counter()
                found = both_passes(other, inputs, d_out)  # compiles
                first_call = time.perf_counter() - began
                torch.testing.assert_close(
                    found, both_passes(plain, inputs, d_out), rtol=1e-3, atol=1e-3
                )
                calls = {
                    "plain": partial(both_passes, plain, inputs, d_out),
                    "other": partial(both_passes, other, inputs, d_out),
                }
                before, after, ratio = compared(calls, pairs)
                rows.append(
                    f"| {trial} | {model} {name} | {1000 * before:.2f} | {1000 * after:.2f} "
                    f"| {ratio:.2f} | {first_call:.1f} |"
                )
                print(rows[-1], flush=True)
    return rows


def report(rows: list[str], options: argparse.Namespace) -> str:
    """The page."""
    machine, load = records.machine(), os.getloadavg()[0]
    return f"""# Joined operations

Written by `./run python -m benchmarks.fusions --pairs {options.pairs}`: forward and backward pass,
medians in turns, on {options.threads} threads of {machine["cores"]} cores ({machine["cpu"]}), torch
{torch.__version__}, float32; load of the machine at the end: {load:.1f}. The sizes are those of
[training.py](training.py).

Plain is what a training does with `numerics: fast`: a product, then GELU; a sum, then a norm; the
product of a matrix and the patches of images. Above 1, the other is faster. oneDNN's fused product
keeps no input of GELU, so that its backward pass multiplies once more. First call: with its
compilation, if there is one.

| tried | size | plain, ms | other, ms | plain over other | first call, s |
| --- | --- | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    main()
