"""Puts a training together: device, task, model, loop."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pipeline.curves import EVALUATIONS, STEPS, write_csv
from pipeline.params import Params
from pipeline.paths import WEIGHTS, sha256, write_json
from pipeline.tasks import task_class
from pipeline.training import device as devices
from pipeline.training import loop, models
from pipeline.training.clock import Clock
from pipeline.training.compilation import require_compiler
from pipeline.training.cost import flops_per_step
from pipeline.training.history import History
from pipeline.training.loop import Checkpoint
from pipeline.training.observer import Observer
from pipeline.training.plan import Plan
from pipeline.training.processes import ONE, Processes
from pipeline.training.task import Task
from transformer import Transformer, parameter_count


@dataclass(frozen=True)
class Assembly:
    """A task on a device, and the settings of its training."""

    device: torch.device
    task: Task[Any]
    settings: Any

    @property
    def plan(self) -> Plan:
        """The length of the training, and its intervals."""
        return Plan.of(self.settings, self.task)

    def train(
        self,
        checkpoint: Checkpoint,
        observer: Observer,
        until: int | None = None,
    ) -> "Trained":
        """Train a new model; see `loop.train`."""
        model = self.task.build_model()
        history, clock = loop.train(model, self.task, self.settings, checkpoint, observer, until)
        model = self.task.processes.undivided(model, self.task.build_model)
        return Trained(self, model, history, clock)


@dataclass(frozen=True)
class Trained:
    """A trained model with its history."""

    assembly: Assembly
    model: Transformer
    history: History
    clock: Clock

    @cached_property
    def step_flops(self) -> int:
        """Floating-point operations of a step."""
        # Counted in a new model, since this one may be compiled, and only now, since torch imports
        # its compiler for it.
        task = self.assembly.task
        return flops_per_step(task.build_model(), task, self.assembly.settings)

    def save(self, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
        """Write weights, config, curves and summary; returns the summary.

        about: further keys of the config.
        """
        models.save(self.model, about, folder)
        write_csv(self.history.steps, folder / STEPS)
        write_csv(self.history.evaluations, folder / EVALUATIONS)
        summary = self.summary() | {"weights_sha256": sha256(folder / WEIGHTS)}
        write_json(summary, folder / "summary.json")
        return summary

    def summary(self, history: History | None = None) -> dict[str, Any]:
        """The content of summary.json: size of the model, cost of the training, last metrics.

        history: in place of the model's own.
        """
        history = history or self.history
        task, settings = self.assembly.task, self.assembly.settings
        steps = self.assembly.plan.steps
        examples = task.examples_seen(steps)
        last = history.steps[-1]
        best = min(history.evaluations, key=lambda row: row[task.watched])
        return {
            "steps": steps,
            "batch_size": settings.batch_size,
            "examples": examples,
            "epochs": examples / task.examples,
            "unit": task.unit,
            task.unit: examples * task.units_per_example,
            "parameters": parameter_count(self.model),
            "flops_per_step": self.step_flops,
            # The last batch of an epoch may be smaller.
            "flops": round(self.step_flops * examples / settings.batch_size),
            "closing_steps": min(task.closing_steps, len(history.steps)),
            **history.closing(task.step_metrics, task.closing_steps),
            **{f"final_{key}": last[key] for key in task.final},
            f"best_{task.watched}": best[task.watched],
            "best_step": best["step"],
        }


def assemble(
    params: Params, name: str, seed: int, data: Path, processes: Processes = ONE
) -> Assembly:
    """The training of the model `name` with `seed`, on the prepared data in the folder `data`.

    processes: which share it.

    Raises:
        UserError: there is no such model, no GPU, or no compiler, where the parameters need one.
    """
    section = params.section(name)
    device = devices.prepare(params.device, params.threads, params.numerics)
    if section.train.compile:
        require_compiler(name, device)
    task = task_class(section.task)(section, seed, data, device)
    task.processes = processes
    if section.train.fully_shard and processes.size > 1:
        from pipeline.training.sharding import Sharded  # takes a second to import

        task.processes = Sharded(processes)
    return Assembly(device, task, section.train)
