"""Speed of a training on several processes, beside one process and DistributedDataParallel.

    ./run python -m benchmarks.processes

Writes processes.md. The model is a GPT on random tokens, with one thread in each process. All
runs are paired: one after another, several times.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

import transformer
from pipeline.running import records
from pipeline.running.joining import joined
from pipeline.training import device, numerics, optimizers
from pipeline.training.processes import Processes
from pipeline.training.sharding import Sharded
from transformer import Architecture, Transformer, parameter_count

VOCABULARY, LENGTH, BATCH = 8192, 64, 8  # sequences in a micro-batch
ARCHITECTURE = Architecture(n_layer=4, n_head=4, d_model=256, d_mlp=1024)
STEPS, WARM_UP = 6, 2
SETTINGS: Any = SimpleNamespace(optimizer="adamw", lr=1e-3, betas=[0.9, 0.999], weight_decay=0.01)
Step = Callable[[], object]


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="number of runs of each kind")
    parser.add_argument("--worker", help="measure in this process; a file for the result")
    parser.add_argument("--accumulate", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.accumulate, Path(arguments.worker))
        return
    pairs, loads = [], []
    for pair in range(arguments.pairs):
        pairs.append(
            {
                "one": launch(1, 1),  # one process, one micro-batch
                "strong": launch(1, 2),
                "two": launch(2, 2),
                "four": launch(4, 4),
            }
        )
        print(pair + 1, {k: round(v["ours"], 3) for k, v in pairs[-1].items()}, flush=True)
        loads.append(os.getloadavg()[0])
    text = report(pairs, loads)
    Path(__file__).with_name("processes.md").write_text(text, "utf-8")
    print(text)


def launch(processes: int, accumulate: int) -> dict[str, float]:
    """Medians of a run on `processes` processes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes), "-m", "benchmarks.processes"]
        command += ["--worker", str(result), "--accumulate", str(accumulate)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | numerics.PORTABLE
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        return json.loads(result.read_text())


def worker(accumulate: int, result: Path) -> None:
    """Measure in the processes of a launcher; the first one writes medians in seconds."""
    device.prepare("cpu", 1, "portable")
    with joined() as processes:
        torch.manual_seed(0)
        ours, theirs, divided, torchs = (
            transformer.gpt(ARCHITECTURE, VOCABULARY, LENGTH) for _ in range(4)
        )
        for other in (theirs, divided, torchs):
            other.load_state_dict(ours.state_dict())
        tokens = torch.randint(VOCABULARY, (accumulate, BATCH, LENGTH + 1))
        first, count = processes.own(accumulate)
        own = tokens[first : first + count]
        gradients = [torch.randn_like(p) for p in ours.parameters()]
        steps: dict[str, Step] = {"ours": our_step(ours, tokens, processes)}
        if processes.size > 1:
            steps["theirs"] = their_step(theirs, own)
            steps["divided"] = our_step(divided, tokens, Sharded(processes))
            steps["fully_shard"] = sharded_step(torchs, own)
            steps["exchange"] = lambda: processes.summed(gradients)
            steps["all_reduce"] = lambda: dist.all_reduce(flat)
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            whole = flat[: len(flat) // processes.size * processes.size]
            other = torch.empty_like(whole)

            def collectives() -> None:
                dist.all_to_all_single(other, whole)
                dist.all_gather_single(whole, other.chunk(processes.size)[0])

            steps["collectives"] = collectives
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(WARM_UP + STEPS):
            for name, step in steps.items():  # in turns, so that all have the same company
                processes.any_of(False)
                start = time.perf_counter()
                step()
                if number >= WARM_UP:
                    seconds[name].append(time.perf_counter() - start)
        if processes.first:
            medians: dict[str, float] = {k: statistics.median(v) for k, v in seconds.items()}
            medians["parameters"] = parameter_count(ours)
            result.write_text(json.dumps(medians))


def loss_of(model: Transformer, tokens: Tensor) -> Tensor:
    """The mean loss of a micro-batch (B, T + 1)."""
    return model.head.loss(model.encode(tokens[:, :-1]), tokens[:, 1:])


def our_step(model: Transformer, tokens: Tensor, processes: Processes) -> Step:
    """A step as in the training loop. tokens: all micro-batches, (accumulate, B, T + 1)."""
    processes.place(model, torch.device("cpu"))
    parameters, own = processes.parameters(model), optimizers.build(model, SETTINGS)
    accumulate = len(tokens)

    def micro_batch(index: int) -> list[Tensor]:
        (loss_of(model, tokens[index]) / accumulate).backward()
        found = [p.grad for p in parameters]
        for p in parameters:
            p.grad = None
        return found

    def step() -> None:
        total = processes.sum_micro_batches(accumulate, micro_batch, parameters)
        for parameter, gradient in zip(parameters, total, strict=True):
            parameter.grad = gradient
        processes.clip(parameters, 1.0)
        processes.update(own)

    return step


def their_step(model: Transformer, own: Tensor) -> Step:
    """The same step by DistributedDataParallel. own: this process's micro-batches."""

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: Tensor) -> Tensor:
            return loss_of(self.model, tokens)

    parallel = DistributedDataParallel(Loss(), gradient_as_bucket_view=True)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step() -> None:
        with parallel.no_sync():
            for tokens in own[:-1]:
                (parallel(tokens) / len(own)).backward()
        (parallel(own[-1]) / len(own)).backward()
        finish(parameters, optimizer)

    return step


def sharded_step(model: Transformer, own: Tensor) -> Step:
    """The same step by torch's fully_shard alone. own: this process's micro-batches."""
    for part in (*model.blocks, model):
        fully_shard(part)
        part.set_force_sum_reduction_for_comms(True)  # gloo has no means
    register_fsdp_forward_method(model, "encode")
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step() -> None:
        for number, tokens in enumerate(own, 1):
            model.set_requires_gradient_sync(number == len(own))
            (loss_of(model, tokens) / len(own)).backward()
        finish(parameters, optimizer)

    return step


def finish(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Clip and update."""
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def spread(values: list[float], digits: int = 2) -> str:
    """Median and range."""
    return (
        f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to "
        f"{max(values):.{digits}f})"
    )


# A model on paper: GPT-2's 124 million weights on GPUs of the kind H100, and its assumptions.
PAPER = 124e6
TOKENS = 32 * 1024  # of a GPU, in a step
SPEED = 0.4 * 989e12  # FLOP/s: 40% of the peak in bfloat16
INSIDE, BETWEEN = 450e9, 50e9  # bytes/s that a GPU sends: NVLink in a host of 8; 400 Gbit/s
LATENCY = 5e-6  # seconds for each message


def paper(gpus: int) -> str:
    """A row of the table: compute and exchange of a step, and the efficiency of both in turn."""
    compute = 6 * PAPER * TOKENS / SPEED
    sent = 2 * (gpus - 1) / gpus * 4 * PAPER
    exchange = sent / (INSIDE if gpus <= 8 else BETWEEN) + 2 * (gpus - 1) * LATENCY
    return (
        f"| {gpus:,} | {TOKENS * gpus:,} | {sent / 1e9:.2f} GB | {compute * 1e3:.0f} ms | "
        f"{exchange * 1e3:.1f} ms | {compute / (compute + exchange):.0%} |"
    )


def report(pairs: list[dict[str, dict[str, float]]], loads: list[float]) -> str:
    """The page. loads: of the machine, after each pair."""

    def ratio(a: tuple[str, str], b: tuple[str, str]) -> str:
        return spread([pair[a[0]][a[1]] / pair[b[0]][b[1]] for pair in pairs])

    def milliseconds(kind: str, what: str) -> str:
        return spread([1000 * pair[kind][what] for pair in pairs], 0)

    machine: dict[str, Any] = records.machine()
    count = int(pairs[0]["one"]["parameters"])
    moved = 2 * (2 - 1) / 2 * 4 * count
    bandwidth = statistics.median(moved / pair["two"]["exchange"] for pair in pairs)
    # A link is shared by all processes of this machine.
    predicted = 1000 * (2 * (4 - 1) / 4 * 4 * count) * 4 / 2 / bandwidth
    # Of the two processes, by the formula of the table below.
    alone = [pair["one"]["ours"] for pair in pairs]
    sending = [pair["two"]["exchange"] for pair in pairs]
    efficiency = spread([a / (a + b) for a, b in zip(alone, sending, strict=True)])
    strong = ratio(("strong", "ours"), ("two", "ours"))
    weak = ratio(("one", "ours"), ("two", "ours"))
    overhead = ratio(("two", "ours"), ("two", "theirs"))
    divided = ratio(("two", "divided"), ("two", "fully_shard"))
    rows = "\n".join(map(paper, (8, 64, 256, 1024)))
    return f"""# Training on several processes

Written by `./run python -m benchmarks.processes --pairs {len(pairs)}`: a GPT of
{count:,} weights, micro-batches of {BATCH} x {LENGTH} random tokens, AdamW, `numerics: portable`
for all, one thread in each process, gloo on one machine of
{machine["cores"]} cores ({machine["cpu"]}), torch {torch.__version__}. Medians and ranges of
{len(pairs)} runs of each kind in turn. Load of the machine, with the work of others beside these
runs: {min(loads):.1f} to {max(loads):.1f}.

| | step in ms |
| --- | ---: |
| 1 process, 1 micro-batch | {milliseconds("one", "ours")} |
| 1 process, 2 micro-batches | {milliseconds("strong", "ours")} |
| 2 processes, 2 micro-batches | {milliseconds("two", "ours")} |
| the same, DistributedDataParallel | {milliseconds("two", "theirs")} |
| the exchange of it alone | {milliseconds("two", "exchange")} |
| its messages by gloo's `all_to_all` and `all_gather` | {milliseconds("two", "collectives")} |
| `all_reduce` of as many numbers | {milliseconds("two", "all_reduce")} |
| 2 processes that divide the model (`train.fully_shard`) | {milliseconds("two", "divided")} |
| the same, by torch's `fully_shard` alone | {milliseconds("two", "fully_shard")} |

| | in the same pair |
| --- | ---: |
| strong scaling: 1 process over 2, the same batch (ideal: 2) | {strong} |
| weak scaling: 1 process over 2, twice the batch (ideal: 1) | {weak} |
| our step over that of DistributedDataParallel, 2 processes | {overhead} |
| with the model divided, over that of torch's `fully_shard` | {divided} |

## On paper

GPT-2's {PAPER / 1e6:.0f} million weights, {TOKENS:,} tokens a GPU and step, 6 FLOPs for each weight
and token, 40% of an H100's peak in bfloat16, gradients in float32; a GPU sends
{INSIDE / 1e9:.0f} GB/s inside a host of 8 and {BETWEEN / 1e9:.0f} GB/s between hosts;
{LATENCY * 1e6:.0f} microseconds for each message. The exchange follows the backward pass. Each of W
GPUs sends 2 (W - 1) / W times the gradient, as in a ring all-reduce.

| GPUs | tokens a step | sent by each | compute | exchange | efficiency |
| ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

What can be checked here: for 2 processes, from a step of one and the exchange of both, the same
formula gives an efficiency of {efficiency}; measured, as weak scaling: {weak}.
The formula leaves out that two processes share a machine's memory and caches, as the GPUs of a host
do not. From the exchange of 2 processes, {bandwidth / 1e9:.2f} GB/s for each, it gives at most
{predicted:.0f} ms for 4, which share the memory of this machine; measured:
{milliseconds("four", "exchange")} ms.
"""


if __name__ == "__main__":
    main()
