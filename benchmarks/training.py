"""Speed of a training step beside other libraries.

    ./run pip install --group benchmarks
    ./run python -m benchmarks.training

Writes the page of this processor's vendor, such as training-amd.md. Each size is measured in a
process for each kind of run, because torch takes its kernels once. The processes take turns, and
the libraries in a process.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.pages import page
from benchmarks.peers import MODELS, SIZES, Side
from pipeline.running import records
from pipeline.running.peak import ORDER, products
from pipeline.training import device, numerics
from transformer import parameter_count

PACKAGES = ("torch", "torchvision", "timm", "transformers", "x-transformers")
TITLES = {"bert": "BERT", "gpt": "GPT", "vit": "ViT"}
WARM_UP = 1
SHORTEST = 0.3  # seconds of a measurement: of one step, or of several
# The environment of each kind of run.
# plain: as anyone runs PyTorch. kept: malloc keeps what is freed (device.keep_freed_memory). fast,
# portable: as a training of this project, with the numerics of that name, and memory kept. kept and
# portable run our step only.
KINDS: dict[str, dict[str, str]] = {
    "plain": {}, "kept": {}, "fast": {}, "portable": numerics.PORTABLE,
}  # fmt: skip
Runs = dict[str, dict[str, Any]]  # by kind of run: flops, parameters, and seconds by library


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=0, help="of each size, in place of its own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker, arguments.threads)
        return
    found: dict[tuple[str, str], Runs] = {}
    loads = []
    for model, size in [(model, size) for model, sizes in SIZES.items() for size in sizes]:
        found[model, size] = runs = measure(model, size, arguments)
        loads.append(os.getloadavg()[0])
        print(own_row(model, size, runs), *peer_rows(size, runs), sep="\n", flush=True)
    page(__file__).write_text(report(found, loads, arguments))


def measure(model: str, size: str, arguments: argparse.Namespace) -> Runs:
    """Seconds of the steps of all libraries, and of products for the peak, in the same turns."""
    ours = {key for kind in KINDS.values() for key in kind}
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    command = [sys.executable, "-m", "benchmarks.training", "--threads", str(arguments.threads)]
    workers = {
        kind: subprocess.Popen(
            [*command, "--worker", model, size, kind],
            env=environment | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind, variables in KINDS.items()
    }
    runs = {kind: answer(worker) for kind, worker in workers.items()}
    for turn in range(WARM_UP + (arguments.pairs or SIZES[model][size].pairs)):
        for kind, worker in workers.items():
            print(file=worker.stdin, flush=True)
            seconds = answer(worker)
            if turn >= WARM_UP:
                for name, each in seconds.items():
                    runs[kind].setdefault("seconds", {}).setdefault(name, []).append(each)
    for worker in workers.values():
        worker.communicate()
    return runs


def answer(worker: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line of a worker."""
    assert worker.stdout
    return json.loads(worker.stdout.readline())


def work(model: str, size: str, kind: Any, threads: int) -> None:
    """Print the size of the model; then, for each line of the input, the seconds of a step of each
    library, and of the products.

    Raises:
        AssertionError: the libraries do not compute the same.
    """
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print there
    if kind != "plain":
        device.keep_freed_memory()
    if kind in ("fast", "portable"):
        numerics.use(kind)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sides, flops = MODELS[model](SIZES[model][size])
    if kind in ("kept", "portable"):
        sides = {"ours": sides["ours"]}
    steps = {name: training_step(side) for name, side in sides.items()}
    require_equal({name: step() for name, step in steps.items()})
    calls: dict[str, Callable[[], object]] = {**steps, **products()}
    about = {"flops": flops, "parameters": parameter_count(sides["ours"].model)}
    print(json.dumps(about), file=output, flush=True)
    for turn, _ in enumerate(sys.stdin):
        seconds = {}
        first = turn % len(calls)  # each has its turn to be first
        for name in [*calls][first:] + [*calls][:first]:
            calls[name]()  # as in a training, a step follows one of its own
            start, count, passed = time.perf_counter(), 0, 0.0
            while passed < SHORTEST:
                calls[name]()
                count, passed = count + 1, time.perf_counter() - start
            seconds[name] = passed / count
        print(json.dumps(seconds), file=output, flush=True)


def training_step(side: Side) -> Callable[[], tuple[float, float]]:
    """A step in float32: forward, backward, clipping and AdamW. Returns the loss, and the norm of
    the gradients."""
    parameters = [p for p in side.model.train().parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step() -> tuple[float, float]:
        loss = side.loss()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item(), norm.item()

    return step


def require_equal(first: dict[str, tuple[float, float]]) -> None:
    """Require that the first losses and gradients are equal, up to rounding."""
    loss, norm = first["ours"]
    for name, (their_loss, their_norm) in first.items():
        assert abs(their_loss / loss - 1) < 1e-5, f"{name}: another loss; {first}"
        # x-transformers has no gradients of some biases.
        limit = 0.1 if "x-transformers" in name else 1e-4
        assert abs(their_norm / norm - 1) < limit, f"{name}: other gradients; {first}"


def peak(run: dict[str, Any]) -> float:
    """FLOP/s of the faster product."""
    return 2 * ORDER**3 / min(statistics.median(run["seconds"][name]) for name in ("MKL", "oneDNN"))


def own_row(model: str, size: str, runs: Runs) -> str:
    """Our step of each kind, the share of the peak, and what kept memory alone changes."""
    about = runs["plain"]
    ours = {kind: run["seconds"]["ours"] for kind, run in runs.items()}
    cells = [f"{model} {size}", f"{about['parameters']:,}", f"{about['flops'] / 1e9:.1f}"]
    for kind in ("plain", "fast", "portable"):
        seconds = statistics.median(ours[kind])
        speed = about["flops"] / seconds
        cells += [f"{1000 * seconds:.0f}", f"{speed / 1e9:.0f}", f"{speed / peak(about):.0%}"]
    cells.append(relative(ours["kept"], ours["plain"]))
    return f"| {' | '.join(cells)} |"


def peer_rows(size: str, runs: Runs) -> list[str]:
    """The steps of the others relative to ours."""
    plain, fast, portable = (runs[kind]["seconds"] for kind in ("plain", "fast", "portable"))
    rows = []
    for name in (name for name in plain if name not in ("ours", "MKL", "oneDNN")):
        cells = [size, name, f"{1000 * statistics.median(plain[name]):.0f}"]
        pairs = ((plain, plain), (fast, fast), (plain, fast), (plain, portable))
        cells += [relative(theirs[name], ours["ours"]) for theirs, ours in pairs]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def relative(theirs: list[float], ours: list[float]) -> str:
    """Median and range of their time over ours, or of one kind over another, in the same turn."""
    found = sorted(a / b for a, b in zip(theirs, ours, strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def report(
    found: dict[tuple[str, str], Runs], loads: list[float], arguments: argparse.Namespace
) -> str:
    """The page. loads: of the machine, after each size."""
    machine = records.machine()
    pairs = f" --pairs {arguments.pairs}" if arguments.pairs else ""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    peaks = [peak(runs["plain"]) / 1e9 for runs in found.values()]
    own = "\n".join(own_row(*key, runs) for key, runs in found.items())
    shapes = "\n".join(f"- {model} {size}: {SIZES[model][size].words()}" for model, size in found)
    tables = []
    for model in MODELS:
        rows = [
            row for key, runs in found.items() if key[0] == model for row in peer_rows(key[1], runs)
        ]
        tables.append(f"## {TITLES[model]}\n\n{HEAD}\n" + "\n".join(rows) + "\n")
    return f"""# Training steps beside other libraries

Written by `./run python -m benchmarks.training{pairs}`: forward and backward pass, clipping and
fused AdamW in float32, without `torch.compile`, on {arguments.threads} threads of
{machine["cores"]} cores ({machine["cpu"]}), with
{versions}
and nanoGPT's `model.py`. Load of the machine after each size: {min(loads):.1f} to {max(loads):.1f}.

All models of a size have the same weights, the same batch and the same loss: the command requires
that the first losses agree to 1e-5, and the first gradients to 1e-4. x-transformers has no biases
in attention and norms, so it has less to do. Each library has its fused attention. What the others
lack is left out of ours as well: sampled negatives, Muon, normalised queries and keys, the
convolutions before ViT; and dropout. For BERT and ViT, ours computes the end of its last block
for the tokens that the head reads alone (transformer/selection.py), the others for all; where they
compute 'masked words alone', it is their logits.

{shapes}

{OWN_HEAD}
{own}

Plain is PyTorch as it comes. Fast and portable are the steps of a training in this project, with
the numerics of that name: malloc keeps the memory that a step frees (`keep_freed_memory` in
pipeline/training/device.py), which saves page faults; fast has other kernels on an AMD
(pipeline/training/fast.py), portable uses AVX-512 for products of matrices alone, on an Intel and
on an AMD from Zen 5 on. The last column is the time of a plain step with kept memory over that
without. Peak: the product of two float32 matrices of {ORDER} rows and columns by MKL or oneDNN, the
faster of the two, between these steps: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s. Operations are
those of matrix products and attention in our model.

In the following tables a number above 1 says that the other library takes longer than ours. In
'both fast', the other library has this project's memory and kernels, too. The last two columns
compare the other library as it comes with ours as it trains here. Medians and ranges over the
turns. In a turn, each takes one step that is not measured, and then steps for {SHORTEST} seconds or
more, at least one: as in a training, a step follows one of its own.

{chr(10).join(tables)}"""


OWN_HEAD = """\
| ours | parameters | GFLOP | plain, ms | GFLOP/s | of peak | fast, ms | GFLOP/s | of peak \
| portable, ms | GFLOP/s | of peak | kept memory alone |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""
HEAD = """\
| size | library | plain, ms | both plain | both fast | its plain, our fast | our portable |
| --- | --- | ---: | ---: | ---: | ---: | ---: |"""


if __name__ == "__main__":
    main()
