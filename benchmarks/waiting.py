"""How long the idle threads of a training should stay awake: time of a step alone, and beside
another training on the same cores.

    ./run python -m benchmarks.waiting --turns 5

Writes the page of this processor's vendor, such as waiting-amd.md. The steps are those of
params.yaml, on the data in data/. Every measurement is a process of its own, because OpenMP reads
its environment once; those of a turn run one after the other, in changing order.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.numerics import step_seconds
from benchmarks.pages import page
from pipeline.params import load
from pipeline.running import records
from pipeline.running.waiting import LOOKS, VARIABLE

BESIDE = "gpt"
COUNTS = {"OpenMP's own": "", **{f"{n:,}": str(n) for n in (LOOKS, 2_000, 3_000, 5_000)}}
Times = dict[str, list[float]]  # seconds of a step, by how often an idle thread looks for work


def environment(looks: str) -> dict[str, str]:
    """Environment variables of a process whose idle threads look for work so often."""
    others = {key: value for key, value in os.environ.items() if key != VARIABLE}
    return others | ({VARIABLE: looks} if looks else {})


@contextmanager
def beside(looks: str) -> Iterator[None]:
    """Run another training meanwhile."""
    command = [sys.executable, "-m", "benchmarks.waiting", "--forever"]
    with subprocess.Popen(command, env=environment(looks), stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()  # it has taken its first steps
        yield
        other.kill()


def measured(name: str, looks: str) -> float:
    """The median time of a training step of the model `name`, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.numerics", "--step", name, "portable"]
    return float(subprocess.check_output(command, text=True, env=environment(looks)))


def row(name: str, times: Times) -> str:
    """Medians, and the median of the quotients by OpenMP's own in the same turn."""
    cells = [name]
    for each in times.values():
        quotient = statistics.median(
            a / b for a, b in zip(each, times["OpenMP's own"], strict=True)
        )
        cells.append(f"{1000 * statistics.median(each):.0f} ms ({quotient:.2f})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--forever", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.forever:
        step_seconds(BESIDE, "portable")
        print(flush=True)
        step_seconds(BESIDE, "portable", steps=sys.maxsize)
    params, machine = load(), records.machine()
    alone: dict[str, Times] = {name: {count: [] for count in COUNTS} for name in params.model_names}
    shared: dict[str, Times] = {
        name: {count: [] for count in COUNTS} for name in params.model_names
    }
    for turn in range(options.turns):
        first = turn % len(COUNTS)
        for count in [*COUNTS][first:] + [*COUNTS][:first]:
            looks = COUNTS[count]
            for name in params.model_names:
                alone[name][count].append(measured(name, looks))
            with beside(looks):
                for name in params.model_names:
                    shared[name][count].append(measured(name, looks))
    heading = f"| model | {' | '.join(COUNTS)} |\n| --- |{' ---: |' * len(COUNTS)}"
    tables = [
        "\n".join([heading, *(row(*each) for each in table.items())]) for table in (alone, shared)
    ]
    text = f"""# Idle threads of a training

Written by `./run python -m benchmarks.waiting --turns {options.turns}`: a step of `params.yaml` on
{params.threads} threads of {machine["cores"]} cores ({machine["cpu"]}), torch
{records.versions()["torch"]}, by how often an idle thread looks for work before it sleeps
(`{VARIABLE}`); in brackets, relative to OpenMP's own number in the same turn. Medians.
Sweeps and `repro --jobs` set {LOOKS:,} if the trainings have more threads than there are cores.
Load of the machine at the end: {os.getloadavg()[0]:.1f}.

## Alone

{tables[0]}

## Beside a training of {BESIDE}

With the same number and as many threads.

{tables[1]}
"""
    page(__file__).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
