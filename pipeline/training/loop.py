"""The training loop; only the task differs between models."""

from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.parameters.base import EpochTraining, StepTraining
from pipeline.training import optimizers as optim
from pipeline.training.clock import Clock
from pipeline.training.history import History
from pipeline.training.observer import Observer
from pipeline.training.plan import Plan
from pipeline.training.randomness import derive
from pipeline.training.schedules import factor
from pipeline.training.task import Task
from pipeline.training.tree import Leaf
from transformer import Transformer


class Checkpoint(Protocol):
    """Where the state of a training is saved."""

    def load(self) -> dict[str, Any] | None:
        """The saved state; None if there is none."""

    def save(self, state: dict[str, Any]) -> None:
        """Save a state in place of the last one."""


class NoCheckpoint:
    """For a training that is not saved."""

    def load(self) -> None:
        """Return None."""

    def save(self, state: dict[str, Any]) -> None:
        """Do nothing."""


def train(
    model: Transformer,
    task: Task[Any],
    settings: StepTraining | EpochTraining,
    checkpoint: Checkpoint,
    observer: Observer,
    until: int | None = None,
) -> tuple[History, Clock]:
    """Train `model` in place, from its checkpoint if there is one.

    checkpoint: of the first process alone, if there are several (`task.processes`).
    until: stop after this step; None trains to the end.
    Returns one row for each step and evaluation, and the time that they took.

    Raises:
        UserError: the training has diverged; the last checkpoint is kept.
    """
    plan, processes = Plan.of(settings, task), task.processes
    state = processes.shared(checkpoint.load() if processes.first else None)
    if state:
        model.load_state_dict(state["model"])
    processes.place(model, task.device)
    optimizers = optim.build(model, settings)
    if state:
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(processes.divided_state(saved, optimizer))
    start = state["step"] if state else 0
    history = History(**state["history"]) if state else History()
    clock = Clock(state["seconds"], state["marks"]) if state else Clock()
    del state  # it has a whole model
    if settings.compile:
        # All tasks call it, some of them by `forward`; the heads are not compiled.
        model.encode = torch.compile(model.encode)  # type: ignore[method-assign]
    model.train()
    task.batch(start)  # what this imports and keeps takes seconds, which are not the training's
    observer.begin(plan, start)
    logged = start - start % plan.log_every
    for step in range(start + 1, (until or plan.steps) + 1):
        # The first step of a compiled model is mostly compilation.
        with clock.measure("compile" if settings.compile and step == start + 1 else "train"):
            lr_factor = factor(
                step - 1,
                plan.steps,
                settings.schedule,
                settings.warmup_steps,
                settings.decay_fraction,
            )
            optim.set_lr(optimizers, lr_factor)
            metrics = training_step(model, task, optimizers, settings, step)
            seen = task.examples_seen(step) * task.units_per_example
            history.append({"step": step, task.unit: seen, "lr": settings.lr * lr_factor}, metrics)
            log, evaluate, save = plan.due(step)
            if log or evaluate or save:
                history.flush()
        if evaluate:
            with clock.measure("evaluate"):
                model.eval()
                closing = history.closing(task.step_metrics, task.closing_steps)
                measured = task.validate(model)
                validation = {"step": step, task.unit: seen, **closing, **measured}
                model.train()
            history.evaluations.append(validation)
            clock.mark(step)
        with clock.measure("log"):
            if log:
                observer.steps(step, history.steps[logged:], clock)  # one row per step
                logged = step
            if evaluate:
                observer.evaluated(validation, history)
            stop = processes.any_of(observer.stopping())
            if save or stop:
                history.flush()
                processes.require_equal(processes.parameters(model), step)
                whole = processes.gathered_state(_state(model, optimizers))
                if processes.first:
                    checkpoint.save({"step": step, **whole, **_record(history, clock)})
                del whole
        if stop:
            observer.stopped(step)
            break
    history.flush()
    return history, clock


def training_step(
    model: Transformer,
    task: Task[Any],
    optimizers: list[torch.optim.Optimizer],
    settings: StepTraining | EpochTraining,
    step: int,
) -> dict[str, Tensor]:
    """Forward, backward, update, as step number `step`, counted from 1; returns the metrics, on
    the device."""
    parts = list(task.micro_batches(step - 1, settings.accumulate))
    weights = [task.weight(part) for part in parts]
    processes = task.processes
    parameters = processes.parameters(model)

    def micro_batch(index: int) -> Leaf:
        """Gradients and metrics of a micro-batch, times its share of the step."""
        # A small last batch has fewer parts; a part may have no masked tokens.
        weight = weights[index] if index < len(parts) else 0
        if weight == 0:
            if not (processes.together and any(weights)):
                return None
            index = weights.index(max(weights))  # the others need this process: it adds zeros
        # Each micro-batch has its own dropout, whatever the others drew.
        torch.manual_seed(derive(task.seed, "dropout", step, *([index] if index else [])))
        share = weight / sum(weights)
        with torch.autocast(task.device.type, torch.bfloat16, settings.precision == "bf16"):
            loss, extra = task.loss(model, parts[index])
        (loss * share).backward()
        metrics = {"loss": loss.detach(), **extra}
        found = [*map(_take_gradient, parameters), *(metrics[k] * share for k in task.step_metrics)]
        return found

    scalars = [torch.zeros((), device=task.device)] * len(task.step_metrics)
    total = processes.sum_micro_batches(settings.accumulate, micro_batch, [*parameters, *scalars])
    for parameter, gradient in zip(parameters, total, strict=False):  # then come the metrics
        parameter.grad = gradient
    own = (value.clone() for value in total[len(parameters) :])  # the next step overwrites them
    metrics = dict(zip(task.step_metrics, own, strict=True))
    of_gradients = task.gradient_metrics(model)
    grad_norm = processes.clip(parameters, settings.clip_norm or float("inf"))
    processes.update(optimizers)
    return {**metrics, "grad_norm": grad_norm, **of_gradients}


def _take_gradient(parameter: Tensor) -> Tensor:
    """The gradient of a parameter, which then has none."""
    gradient, parameter.grad = parameter.grad, None
    assert gradient is not None, "a parameter has no part in the loss"
    return gradient


def _state(model: Transformer, optimizers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """The state of model and optimizers."""
    return {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }


def _record(history: History, clock: Clock) -> dict[str, Any]:
    """What a training that continues remembers."""
    return {
        "history": {"steps": history.steps, "evaluations": history.evaluations},
        "seconds": dict(clock.seconds),
        "marks": clock.marks,
    }
