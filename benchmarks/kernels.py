"""Which library of products is faster for each product of a training step, MKL or oneDNN; and
attention by such products beside torch's fused kernel.

    ./run python -m benchmarks.kernels

Writes the page of this processor's vendor, such as kernels-amd.md. Torch takes MKL and the fused
kernel; where a page says otherwise, a fixed rule pays: see pipeline/training/fast.py. An AMD from
Zen 5 on has a further table, of portable numerics: see pipeline/training/portable.py.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.pages import page
from benchmarks.peers import SIZES, Size
from pipeline.running import records
from pipeline.training import numerics, onednn, portable
from pipeline.training.kernels import torch_kernel
from transformer.losses import ROWS

WARM_UP = 2
LENGTHS = (17, 20, 32, 48, 64, 96, 128, 256)
TOKENS, N_HEAD, D_HEAD = 2048, 4, 32  # of attention
SMALL = ((64, 64, 64), (128, 64, 128), (128, 128, 128), (32, 128, 512), (192, 192, 192))
Calls = dict[str, Callable[[], object]]


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--portable", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.portable:
        print(*table(in_blocks, options.pairs), sep="\n")
        return
    products, attention = table(linear, options.pairs), []
    print(*products, sep="\n", flush=True)
    for length in LENGTHS:
        cells = [f"{TOKENS // length} x {length}"]
        for causal in (False, True):
            fused, composed, ratio = compared(attentions(length, causal), options.pairs)
            cells += [f"{1000 * fused:.1f}", f"{1000 * composed:.1f}", f"{ratio:.2f}"]
        attention.append(f"| {' | '.join(cells)} |")
        print(attention[-1], flush=True)
    text = report(products, attention, options)
    if numerics.PRODUCTS == numerics.AVX512_OF_ONEDNN:
        text += portable_section(options)
    page(__file__).write_text(text)


def table(kinds: Callable[[int, int, int], Iterator[Calls]], pairs: int) -> list[str]:
    """A row for each layer: the time of both calls of each kind of product."""
    small = {shape: ["small"] for shape in SMALL}
    rows = []
    for (count, inner, columns), names in (shapes() | small).items():
        cells = [f"{count:,} x {inner:,} x {columns:,}", ", ".join(names)]
        for calls in kinds(count, inner, columns):
            first, second, ratio = compared(calls, pairs)
            speed = 2 * count * inner * columns / first / 1e9
            cells += [f"{1000 * first:.2f} ({speed:.0f})", f"{1000 * second:.2f}", f"{ratio:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def shapes() -> dict[tuple[int, int, int], list[str]]:
    """Rows, inputs and outputs of each linear layer of the models of training.py, and where it is.

    A vocabulary has the rows that the chunked cross entropy computes at a time.
    """
    found: dict[tuple[int, int, int], list[str]] = {}
    for model, sizes in SIZES.items():
        for name, size in sizes.items():
            for layer, shape in layers(size):
                found.setdefault(shape, []).append(f"{model} {name} {layer}")
    return found


def layers(size: Size) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """The linear layers of a model."""
    length = (size.length // size.patch) ** 2 + 1 if size.patch else size.length
    rows, width = size.batch * length, size.d_model
    yield "qkv", (rows, width, 3 * width)
    yield "out", (rows, width, width)
    yield "up", (rows, width, 4 * width)
    yield "down", (rows, 4 * width, width)
    if not size.patch:
        yield "words", (ROWS, width, size.outputs)


def linear(rows: int, inner: int, columns: int) -> Iterator[Calls]:
    """The forward pass, the input's and the weight's gradient of a linear layer, by both."""
    x, weight, bias = torch.randn(rows, inner), torch.randn(columns, inner), torch.randn(columns)
    gradient, linear = torch.randn(rows, columns), onednn.linear
    yield {"MKL": lambda: F.linear(x, weight, bias), "oneDNN": lambda: linear(x, weight.T, bias)}
    yield {"MKL": lambda: gradient @ weight, "oneDNN": lambda: linear(gradient, weight)}
    yield {"MKL": lambda: gradient.T @ x, "oneDNN": lambda: onednn.d_weight(gradient, x)}


def in_blocks(rows: int, inner: int, columns: int) -> Iterator[Calls]:
    """The same products with the bits of portable numerics: by MKL, and as portable.py has them."""
    mkl, own = torch_kernel("mm"), portable.kernels()["mm"]
    x, weight = torch.randn(rows, inner), torch.randn(columns, inner)
    gradient = torch.randn(rows, columns)
    for a, b in ((x, weight.T), (gradient, weight), (gradient.T, x)):
        yield {"MKL": lambda a=a, b=b: mkl(a, b), "portable": lambda a=a, b=b: own(a, b)}


def attentions(length: int, causal: bool) -> Calls:
    """Self-attention with its backward pass, from queries, keys and values in one tensor."""
    batch, width = TOKENS // length, N_HEAD * D_HEAD
    qkv = torch.randn(batch, length, 3 * width, requires_grad=True)
    gradient = torch.randn(batch, length, width)
    mask = torch.full((length, length), -torch.inf).triu(1) if causal else torch.zeros(())

    def heads() -> list[Tensor]:
        """Three of (B, n_head, T, d_head)."""
        return [p.unflatten(2, (N_HEAD, D_HEAD)).transpose(1, 2) for p in qkv.chunk(3, dim=2)]

    def fused() -> Tensor:
        return F.scaled_dot_product_attention(*heads(), is_causal=causal)

    def composed() -> Tensor:
        q, k, v = (part.flatten(0, 1) for part in heads())  # (B * n_head, T, d_head)
        scores = torch.baddbmm(mask, q, k.mT, alpha=D_HEAD**-0.5)
        return (scores.softmax(-1) @ v).unflatten(0, (batch, N_HEAD))

    def both_passes(attention: Callable[[], Tensor]) -> None:
        attention().transpose(1, 2).flatten(2).backward(gradient)
        qkv.grad = None

    return {"fused": lambda: both_passes(fused), "composed": lambda: both_passes(composed)}


def compared(calls: Calls, pairs: int) -> tuple[float, float, float]:
    """Median seconds of two calls in turns, and the median of the first over the second."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for pair in range(WARM_UP + pairs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if pair >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    first, second = seconds.values()
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return statistics.median(first), statistics.median(second), statistics.median(ratios)


def report(products: list[str], attention: list[str], options: argparse.Namespace) -> str:
    """The page."""
    machine, load = records.machine(), os.getloadavg()[0]
    return f"""# Kernels

Written by `./run python -m benchmarks.kernels --pairs {options.pairs}`: medians in turns, on
{options.threads} threads of {machine["cores"]} cores ({machine["cpu"]}), torch
{torch.__version__}, float32; load of the machine at the end: {load:.1f}.

## Linear layers

Rows x inputs x outputs: milliseconds of MKL (GFLOP/s) and of oneDNN, and MKL's time over oneDNN's;
above 1 oneDNN is faster. The sizes are those of [training.py](training.py).

{head("oneDNN")}
{chr(10).join(products)}

## Attention

Forward and backward pass of {N_HEAD} heads of width {D_HEAD}, about {TOKENS:,} tokens: milliseconds
of torch's fused kernel and of a composition of batched products and a softmax, and the first over
the second; above 1 the composition is faster.

| batch x length | fused | composed | ratio | causal: fused | composed | ratio |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(attention)}
"""


def head(other: str) -> str:
    """Of a table of products: MKL's, and those of another."""
    kinds = ("forward", "input's gradient", "weight's gradient")
    cells = " | ".join(f"{kind}: MKL | {other} | ratio" for kind in kinds)
    return f"| product | layers | {cells} |\n| --- | --- |{' ---: |' * 9}"


def portable_section(options: argparse.Namespace) -> str:
    """The page's end, measured in a process with the environment of portable numerics."""
    command = [sys.executable, "-m", "benchmarks.kernels", "--portable"]
    command += ["--pairs", str(options.pairs), "--threads", str(options.threads)]
    rows = subprocess.check_output(command, env=os.environ | numerics.PORTABLE, text=True)
    return f"""
## Portable numerics

Both columns have the same bits: MKL's with AVX2, and those of
[portable.py](../pipeline/training/portable.py), by oneDNN with AVX-512, in blocks of
{portable.BLOCK} of the inner dimension, unless these are small.

{head("portable")}
{rows}"""


if __name__ == "__main__":
    main()
