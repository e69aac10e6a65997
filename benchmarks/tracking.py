"""Ten trainings that write to MLflow at once: into one sqlite file, and to a team's server.

    ./run python -m benchmarks.tracking

Writes tracking.md. Each process logs what a training of BERT by the default recipe logs, with the
real tracker and the curves in reports/: data, curves at each evaluation, the model, final metrics.
In place of the training it sleeps, for as long or for a part of its time. On sqlite they share the
project's database; the server is that of deploy/, with PostgreSQL and S3, and each process is a
host of its own.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store  # now: its import is measured by itself
import torch
from mlflow.entities import LoggedModelStatus

from pipeline import params as parameters
from pipeline.curves import COUNTED, EVALUATIONS, STEPS, read_csv
from pipeline.paths import REPORTS, WEIGHTS, data_dir, model_dir, read_json
from pipeline.running import records
from pipeline.stages.prepare import prepare
from pipeline.tasks import task_class
from pipeline.tracking import Tracker, outbox, store
from pipeline.tracking.run import Run
from pipeline.training import models
from tests import team
from tests.pipeline.tracking.server import ROOT

MODEL = "bert"
# What a training sends, by the operations of `Run.do`.
KINDS = {"data": "begin", "series": "curves", "model": "model", "metrics": "end"}
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trainers", type=int, default=10)
    parser.add_argument(
        "--pace",
        type=float,
        default=1,
        help="part of the training's time: 0.25 is 4 times the load",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of MLflow's server")
    arguments = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        make_project(project)
        count = arguments.trainers
        found = {"sqlite": measure(project, [project] * count, arguments.pace)}
        with team.running(Path(temporary), arguments.workers) as servers:
            os.environ |= servers.variables
            hosts = [Path(temporary) / f"host-{number}" for number in range(count)]
            found["PostgreSQL and S3"] = measure(project, hosts, arguments.pace)
        text = report(found, arguments, import_seconds())
    Path(__file__).with_name("tracking.md").write_text(text, "utf-8")
    print(text)


def make_project(project: Path) -> None:
    """The parameters of the repository, the prepared data, and a model of the recipe's size."""
    project.mkdir()
    for name in ("params.yaml", "profile", "reports"):
        (project / name).symlink_to(ROOT / name)
    os.chdir(project)
    params = parameters.load()
    prepare(params, MODEL)
    section = params.section(MODEL)
    task = task_class(section.task)(section, 0, data_dir(MODEL), torch.device("cpu"))
    models.save(task.build_model(), {"task": section.task}, model_dir(MODEL, 0))


def measure(project: Path, roots: list[Path], pace: float) -> dict[str, Any]:
    """What trainers did that wrote at once, each with its root; and what MLflow has of it."""
    store.experiment_id()  # the first training of all creates the tables, which takes seconds
    barrier, results = SPAWN.Barrier(len(roots)), SPAWN.Queue()
    trainers = [
        SPAWN.Process(target=train, args=(project, root, number, pace, barrier, results))
        for number, root in enumerate(roots)
    ]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()
    if any(trainer.exitcode for trainer in trainers):
        raise SystemExit("a trainer failed: see its error above")
    found = [results.get() for _ in trainers]
    load, waiting = os.getloadavg()[0], 0
    for root in dict.fromkeys(roots):
        os.environ["DVC_ROOT"] = str(root)
        if left := len(outbox.pending()):
            waiting += left
            outbox.sync()
    return {"seconds": found, "load": load, "waiting": waiting, "stored": stored()}


def train(
    project: Path,
    root: Path,
    number: int,
    pace: float,
    barrier: Barrier,
    results: "multiprocessing.Queue[Any]",
) -> None:
    """Log one training; puts the seconds of MLflow's calls into `results`, by kind, and those that
    the training waited for them."""
    root.mkdir(exist_ok=True)
    os.chdir(project)
    os.environ["DVC_ROOT"] = str(root)
    steps, evaluations = curves()
    params = parameters.load()
    # No two processes of a machine are equally fast.
    interval = pace * training_seconds() / len(evaluations) * Random(number).uniform(0.8, 1.2)
    seconds: dict[str, list[float]] = {kind: [] for kind in [*KINDS.values(), "waited"]}

    def timed(kind: Callable[..., str], call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*values: Any) -> Any:
            began = time.perf_counter()
            result = call(*values)
            seconds[kind(*values)].append(time.perf_counter() - began)
            return result

        return measured

    Run.__init__ = timed(lambda *_: "begin", Run.__init__)  # type: ignore[method-assign]
    Run.do = timed(lambda run, name, _: KINDS[name], Run.do)  # type: ignore[method-assign]
    Run.close = timed(lambda *_: "end", Run.close)  # type: ignore[method-assign]
    tracker = Tracker("train", params, MODEL, number)

    def waits(call: Callable[..., object], *values: Any) -> None:
        timed(lambda *_: "waited", call)(*values)

    barrier.wait(timeout=300)  # not forever, if another has failed
    waits(tracker.__enter__)
    waits(tracker.data, read_json(data_dir(MODEL) / "meta.json"))
    for index, evaluation in enumerate(evaluations):
        time.sleep(interval)
        known = [row for row in steps if row["step"] <= evaluation["step"]]
        waits(tracker.curves, known, evaluations[: index + 1])
    waits(tracker.model, model_dir(MODEL, 0), data_dir(MODEL))
    waits(tracker.metrics, {"seconds": 1.0, "flops": 2.0})
    waits(tracker.__exit__, None, None, None)
    results.put(seconds)


def import_seconds() -> float:
    """The time that MLflow's import adds to a process, while no other trainer runs."""
    began = time.perf_counter()
    code = "import mlflow.pyfunc, mlflow.store.tracking.sqlalchemy_store"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def training_seconds() -> float:
    """The time of the committed training with its evaluations."""
    record = read_json(REPORTS / "metrics.json")["models"][MODEL]["trainings"][0]["record"]
    return record["seconds"]["train"] + record["seconds"]["evaluate"]


def curves() -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Steps and evaluations of the committed training."""
    return read_csv(REPORTS / MODEL / STEPS), read_csv(REPORTS / MODEL / EVALUATIONS)


def values() -> int:
    """The values in the curves of one training."""
    return sum(key not in COUNTED for rows in curves() for row in rows for key in row)


def stored() -> dict[str, int]:
    """What MLflow has: finished runs, values of curves, of them repeated ones, loadable models."""
    experiment, client = store.experiment_id(), mlflow.MlflowClient()
    runs = client.search_runs([experiment], "attributes.status = 'FINISHED'")
    points, whole = [], 0
    for run in runs:
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            points += [(run.info.run_id, key, p.step) for p in history if p.step]
        for output in run.outputs.model_outputs:
            model = client.get_logged_model(output.model_id)
            whole += model.status == LoggedModelStatus.READY
    return {
        "runs": len(runs),
        "values": len(points),
        "repeated": len(points) - len(set(points)),
        "models": whole,
    }


def report(found: dict[str, dict[str, Any]], arguments: argparse.Namespace, imports: float) -> str:
    """The page."""
    pace = arguments.pace
    given = "" if pace == 1 else f" --pace {pace:g}"
    slept = (
        "as long"
        if pace == 1
        else (f"{pace:g} of its time, so that the servers have {1 / pace:g} times the load")
    )
    machine, count = records.machine(), len(found["sqlite"]["seconds"])
    training = training_seconds()
    size = (model_dir(MODEL, 0) / WEIGHTS).stat().st_size / 1e6
    times, kept = [], []
    for name, each in found.items():
        calls = {what: [s for of_one in each["seconds"] for s in of_one[what]]
                  for what in KINDS.values()}  # fmt: skip
        waited = [sum(of_one.pop("waited")) for of_one in each["seconds"]]
        totals = [sum(map(sum, of_one.values())) for of_one in each["seconds"]]
        rate = count * values() / sum(calls["curves"])
        cells = [f"{median(calls[what]):.2f} ({max(calls[what]):.2f})" for what in calls]
        cells += [f"{rate:,.0f}"]
        for spent in (totals, waited):
            cells.append(f"{median(spent) / training:.1%} ({max(spent) / training:.1%})")
        times.append(f"| {name} | {' | '.join(cells)} |")
        stored = each["stored"]
        kept.append(
            f"| {name} | {each['waiting']} | {stored['runs']} of {count} | {stored['values']:,} of "
            f"{count * values():,} | {stored['repeated']} | {stored['models']} of {count} |"
        )
    loads = " and ".join(f"{each['load']:.1f}" for each in found.values())
    return f"""# {count} trainings that write to MLflow at once

Written by `./run python -m benchmarks.tracking --trainers {count}{given}`. {count} processes log
what a training of BERT by the default recipe logs, with the real tracker: its data, the curves at
each of {len(curves()[1])} evaluations ({values():,} values in all), a model of {size:.1f} MB, final
metrics. All begin at once. In place of the training they sleep {slept}.
Everything ran on one machine of {machine["cores"]} cores ({machine["cpu"]}),
with the servers and others' work: load {loads}. On sqlite the processes share one file. The server
is that of `deploy/`: MLflow {mlflow.__version__} with {arguments.workers} processes, PostgreSQL,
and moto's server in place of S3.

| | begin, s | curves, s | model, s | end, s | values a second | calls | waited |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(times)}

Seconds of one call: median (longest). Values a second: of one process, while it writes curves.
The last columns are shares of the {training:.0f} s of BERT's training and evaluations in
`reports/metrics.json`: all calls of MLflow, which a thread makes beside the training, and how long
the training waited for them, most of it for the model at its end; median (largest). It sleeps, so
what the thread takes from a training that computes is not in it, nor the import of MLflow:
{imports:.1f} s of a process. `begin`, `curves` and `end` are two calls each. A model goes to the
server with the code that loads it, which is one file.

| | waited for `sync` | runs | values | repeated | models |
| --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(kept)}

A run waits for `sync` where a call took longer than the 3 seconds that a training waits for a
server. The counts are those in MLflow after `sync`.
"""


if __name__ == "__main__":
    main()
