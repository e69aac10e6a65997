"""Which products of matrices have other bits on other processors.

    ./run python -m benchmarks.products

Writes the page of this processor's vendor, such as products-amd.md. Compares this processor with
those that qemu-user emulates (`apt install qemu-user`), each in a process of its own, because MKL
reads its settings once. Pages of two machines have equal hashes where both compute the same bits.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.pages import page
from pipeline.training import numerics

PROCESSORS = ("Haswell", "EPYC")
# The environment of each; portable numerics choose theirs.
SETTINGS = {
    "MKL_CBWR=AVX2": numerics.PORTABLE | numerics.AVX2 | {numerics.MKL: "AVX2"},
    "MKL_CBWR=AVX2,STRICT": numerics.PORTABLE | numerics.AVX2,
    "numerics: portable": {},
}
THREADS = (2, 8)
LARGE = (128, 512, 2560), (500, 130, 1999), (96, 288, 1537), (512, 512, 4000)
SHAPES, WIDE = 60, 6  # random ones of each group, for each number of threads


def products() -> Iterator[tuple[str, str]]:
    """The group and the hash of each product, of random numbers."""
    import torch

    numbers, choose = torch.Generator().manual_seed(0), random.Random(0)

    def of(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=numbers)

    def any_inner() -> int:
        """In about a third of all cases one that MKL divides differently on each vendor."""
        return choose.randint(1, 600) if choose.random() < 0.8 else choose.randint(600, 1500)

    def forms(M: int, N: int, K: int) -> list[torch.Tensor]:
        """(M, K) @ (K, N) as in a layer: forward, gradients of input and weights, with a bias."""
        return [
            of(M, K) @ of(N, K).T,
            of(M, K) @ of(K, N),
            of(K, M).T @ of(K, N),
            torch.addmm(of(N), of(M, K), of(N, K).T),
        ]

    def batched(G: int, M: int, N: int, K: int) -> list[torch.Tensor]:
        """As in attention, with a scale and a mask, and as in Muon."""
        return [
            torch.baddbmm(of(M, N), of(G, M, K), of(G, N, K).mT, alpha=0.3),
            torch.baddbmm(of(G, M, N), of(G, M, K), of(G, K, N), beta=-4.8, alpha=2.0),
            of(G, M, K) @ of(G, K, N),
            of(G, K, M).mT @ of(G, K, N),
        ]

    def groups() -> Iterator[tuple[str, list[torch.Tensor]]]:
        for inner in range(1, 1301):
            yield f"16 x 16, inner dimension {_range(inner)}", [of(16, inner) @ of(inner, 16)]
        for _ in range(SHAPES):
            M, N, K = choose.randint(4, 150), choose.randint(12, 150), any_inner()
            yield f"matrices, inner dimension {_range(K)}", forms(M, N, K)
            G, M, N, K = (
                choose.randint(2, 16),
                choose.randint(4, 64),
                choose.randint(12, 64),
                any_inner(),
            )
            yield f"batches, inner dimension {_range(K)}", batched(G, M, N, K)
        for M, N, K in LARGE:
            yield "matrices, as gradients of weights", forms(M, N, K)
        for _ in range(WIDE):
            M, N, K = choose.randint(64, 520), choose.randint(4096, 5000), any_inner()
            yield "at least 64 rows and 4,096 columns", forms(M, N, K)
        for few, many, inner in itertools.product(range(1, 4), (12, 20, 65), (5, 32, 100, 192)):
            yield "fewer than 4 rows", forms(few, many, inner) + batched(16, few, many, inner)
        columns = (1, 2, 3, 5, 8, 11, 12, 17, 23, 47, 95)
        for many, few, inner in itertools.product((4, 20, 65), columns, (5, 32, 100, 192)):
            yield "fewer than 96 columns", forms(many, few, inner) + batched(16, many, few, inner)
        for M, N, K in itertools.product((7, 20, 33), (17, 24, 33, 100), (7, 17, 23, 32)):
            yield "batches of one or two", batched(1, M, N, K) + batched(2, M, N, K)
            for K in (1, 193, 385):
                yield f"inner dimension {K}, with a scale", batched(8, M, N, K)[:2]
        for M, K in itertools.product((1, 3, 16, 64, 1000), (5, 16, 128, 3000)):
            a, x = of(M, K), of(K)
            yield "matrix and vector, two vectors", [a @ x, x @ a.T, x @ of(K)]

    for threads in THREADS:
        torch.set_num_threads(threads)
        for group, results in groups():
            for result in results:
                yield group, hashlib.sha256(result.contiguous().numpy().tobytes()).hexdigest()


def _range(inner: int) -> str:
    from pipeline.training.portable import BLOCK

    if inner <= BLOCK:
        return f"at most {BLOCK}"
    return f"from {2 * BLOCK}" if inner >= 2 * BLOCK else "between"


def computed(setting: str, processor: str | None) -> list[tuple[str, str]]:
    """What `products` gives on an emulated processor, or on this one."""
    own = {key: value for key, value in os.environ.items() if key not in numerics.PORTABLE}
    emulator = ["qemu-x86_64", "-cpu", processor] if processor else []
    command = [*emulator, sys.executable, "-m", "benchmarks.products", "--setting", setting]
    env = own | {"OMP_WAIT_POLICY": "PASSIVE"}  # for busy machines
    # qemu-user has no AVX-512.
    env |= SETTINGS[setting] or (numerics.AVX2 if processor else {})
    return json.loads(
        subprocess.check_output(command, text=True, env=env, stderr=subprocess.DEVNULL)
    )


def main() -> None:
    """Compute, compare and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setting", choices=SETTINGS, help=argparse.SUPPRESS)
    if setting := parser.parse_args().setting:
        if not SETTINGS[setting]:
            numerics.choose("portable")
            numerics.use("portable")
        print(json.dumps(list(products())))
        return
    differing: dict[str, dict[str, set[int]]] = {}
    total: dict[str, int] = {}
    for setting in SETTINGS:  # the last one is `portable`
        here = computed(setting, None)
        total = {group: [name for name, _ in here].count(group) for group, _ in here}
        differing[setting] = {group: set() for group in total}
        for processor in PROCESSORS:
            there = computed(setting, processor)
            for index, (ours, theirs) in enumerate(zip(here, there, strict=True)):
                if ours != theirs:
                    differing[setting][ours[0]].add(index)
            print(setting, processor, sum(map(len, differing[setting].values())), flush=True)
    hashes = {group: hashlib.sha256() for group in total}
    for group, digest in here:
        hashes[group].update(digest.encode())
    found = {group: each.hexdigest()[:12] for group, each in hashes.items()}
    page(__file__).write_text(report(total, differing, found))


def report(
    total: dict[str, int], differing: dict[str, dict[str, set[int]]], hashes: dict[str, str]
) -> str:
    """The table, in Markdown. hashes: of the results of each group with portable numerics."""
    import torch

    from pipeline.running import records

    rows = [
        f"| {group} | {count} | "
        + " | ".join(str(len(differing[s][group])) for s in SETTINGS)
        + f" | `{hashes[group]}` |"
        for group, count in total.items()
    ]
    table = [
        f"| group | products | {' | '.join(f'`{setting}`' for setting in SETTINGS)} | its bits |",
        f"| --- {'| ---: ' * (1 + len(SETTINGS))}| --- |",
        *rows,
    ]
    return f"""# Products with other bits on other processors

Written by `./run python -m benchmarks.products`: float32 products of random numbers, on
{records.machine()["cpu"]}, torch {torch.__version__}, {" and ".join(map(str, THREADS))} threads,
beside the same on emulated processors ({", ".join(PROCESSORS)}; qemu-user). How many have other
bits on any of them. The first two columns are PyTorch's own products, with
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2`; the third one those of
[`portable.py`](../pipeline/training/portable.py), whose rules for shapes follow from the second.
The last one has the beginning of the SHA-256 of its results: on another machine, it is the same
where that has the same bits.

{chr(10).join(table)}
"""


if __name__ == "__main__":
    main()
