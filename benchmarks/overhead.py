"""What a training takes besides its steps: the loop around them, checkpoints, and MLflow, which a
thread of its own calls.

    ./run python -m benchmarks.overhead

Writes the page of this processor's vendor, such as overhead-amd.md. Each model of params.yaml is
trained by its stage on the data in data/, from beginning to end, in a temporary folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.pages import page
from pipeline.params import load
from pipeline.running import records
from pipeline.training import numerics

ROOT = Path(__file__).parents[1]
OTHERS = ("checkpoints", "other calls", "first call")


def measured(name: str) -> dict[str, float]:
    """Seconds of a training in the working directory, by what took them."""
    params = load()
    numerics.choose(params.numerics)
    from pipeline.running.checkpoint import Checkpoint
    from pipeline.stages.train import train
    from pipeline.tracking.tracker import Tracker
    from pipeline.training import loop

    taken: defaultdict[str, list[float]] = defaultdict(list)
    clocks = []

    def timed(what: str, function: Any, clock: Any = time.perf_counter) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            start = clock()
            result = function(*arguments, **options)
            taken[what].append(clock() - start)
            return result

        return call

    def kept(*arguments: Any, **options: Any) -> Any:
        history, clock = own_loop(*arguments, **options)
        clocks.append(clock)
        return history, clock

    own_loop = loop.train
    loop.training_step = timed("steps", loop.training_step)
    loop.train = kept
    Checkpoint.save = timed("checkpoints", Checkpoint.save)  # type: ignore[method-assign]
    Tracker._call = timed("MLflow", Tracker._call, time.thread_time)  # type: ignore[method-assign]
    train(params, name, params.seeds[0])
    first, *others = taken["MLflow"]
    return {
        "loop": sum(clocks[0].seconds.values()),
        "steps": sum(taken["steps"]),
        "evaluations": clocks[0].seconds["evaluate"],
        "checkpoints": sum(taken["checkpoints"]),
        "first call": first,
        "other calls": sum(others),
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    if name := parser.parse_args().model:
        found = measured(name)
        print(json.dumps(found))
        return
    params, rows = load(), []
    # Not those of a user's server, of DVC, or of a launcher.
    others = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "PROCESSES")
    environment = {key: value for key, value in os.environ.items() if key not in others}
    environment["PYTHONPATH"] = str(ROOT)
    for name in params.model_names:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "data").symlink_to(Path("data").resolve())
            (Path(folder) / "params.yaml").write_text(Path("params.yaml").read_text())
            output = subprocess.check_output(
                [sys.executable, "-m", "benchmarks.overhead", "--model", name],
                cwd=folder,
                env=environment,
                text=True,
            )
        found = json.loads(output.splitlines()[-1])
        inside = ("steps", "evaluations", "checkpoints")
        around = found["loop"] - sum(found[each] for each in inside)
        cells = [f"{found['loop']:.1f}"]
        cells += [f"{found[each]:.1f}" for each in ("steps", "evaluations")]
        cells += [
            f"{seconds:.2f} ({seconds / found['loop']:.1%})"
            for seconds in (around, *(found[each] for each in OTHERS))
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    page(__file__).write_text(report(rows))


def report(rows: list[str]) -> str:
    """The page."""
    machine, params = records.machine(), load()
    return f"""# Overhead of a training

Written by `./run python -m benchmarks.overhead`: one training of each model of `params.yaml`, with
`numerics: {params.numerics}`, on {params.threads} threads of {machine["cores"]} cores
({machine["cpu"]}), torch {records.versions()["torch"]}; load of the machine at the end:
{os.getloadavg()[0]:.1f}.

Seconds, and shares of the loop. Steps: batch, forward and backward pass, update. Around: the rest
of the loop, with its curves and lines. MLflow: processor time of the thread that calls it, during
and after the loop; its first call imports it.

| model | loop | steps | evaluations | around | checkpoints | MLflow | its first call |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    main()
