"""What portable numerics cost: time of a step beside that with fast numerics.

    ./run python -m benchmarks.numerics --pairs 5

Writes the page of this processor's vendor, such as numerics-amd.md. The steps are those of
params.yaml, on the data in data/. Every measurement is a process of its own, because torch takes
its kernels once; the two of a pair run one after the other, in changing order.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from benchmarks.pages import page
from pipeline.params import load
from pipeline.training import numerics

STEPS, WARM_UP = 10, 3
KINDS: tuple[numerics.Numerics, ...] = ("portable", "fast")


def step_seconds(name: str, kind: numerics.Numerics, steps: int = STEPS) -> float:
    """The median time of a training step of the model `name`, measured in this process."""
    numerics.choose(kind)
    from pipeline.paths import data_dir
    from pipeline.tasks.assembly import assemble
    from pipeline.training.loop import training_step
    from pipeline.training.optimizers import build

    params = load().model_copy(update={"numerics": kind, "device": "cpu"})
    training = assemble(params, name, params.seeds[0], data_dir(name))
    model = training.task.build_model().train()
    optimizers, seconds = build(model, training.settings), []
    for step in range(1, WARM_UP + steps + 1):
        start = time.perf_counter()
        training_step(model, training.task, optimizers, training.settings, step)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])


def measured(name: str, kind: str) -> float:
    """The same, measured in a process of its own."""
    own = {key: value for key, value in os.environ.items() if key not in numerics.PORTABLE}
    command = [sys.executable, "-m", "benchmarks.numerics", "--step", name, kind]
    return float(subprocess.check_output(command, text=True, env=own))


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(step_seconds(*options.step))
        return
    from pipeline.running import records

    machine, params = records.machine(), load()
    rows = []
    for name in params.model_names:
        pairs = []
        for index in range(options.pairs):
            order = KINDS if index % 2 else KINDS[::-1]
            pairs.append({kind: measured(name, kind) for kind in order})
        ratios = sorted(pair["portable"] / pair["fast"] for pair in pairs)
        medians = [1000 * statistics.median(pair[kind] for pair in pairs) for kind in KINDS]
        rows.append(
            f"| {name} | {medians[0]:.0f} ms | {medians[1]:.0f} ms "
            f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )
        print(rows[-1], flush=True)
    text = f"""# Cost of portable numerics

Written by `./run python -m benchmarks.numerics --pairs {options.pairs}`: median of {STEPS} steps of
`params.yaml`, {params.threads} threads of {machine["cores"]} cores ({machine["cpu"]}), torch
{records.versions()["torch"]}; load of the machine at the end: {os.getloadavg()[0]:.1f}. Fast uses
AVX-512 where a processor has it, portable for products of matrices alone, on an Intel and on an AMD
from Zen 5 on.

| model | portable | fast | portable relative to fast, in the same pair |
| --- | ---: | ---: | ---: |
{chr(10).join(rows)}
"""
    page(__file__).write_text(text)


if __name__ == "__main__":
    main()
