"""The training loop of BERT, GPT and ViT; only the objective differs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.lifetime import stopping, unbroken
from pipeline.objectives.base import Objective, split
from pipeline.params import EpochTraining, StepTraining
from pipeline.training import optimizers as optim
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.clock import Clock
from pipeline.training.console import open_console
from pipeline.training.history import History, Row
from pipeline.training.randomness import derive
from pipeline.training.schedules import factor
from transformer import Transformer


@dataclass(frozen=True)
class Plan:
    """Length of training, and intervals of logging, evaluation and checkpoints, in steps."""

    steps: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int

    @classmethod
    def of(cls, settings: StepTraining | EpochTraining, objective: Objective) -> "Plan":
        """The plan of the settings; if they count epochs, their intervals do, too."""
        if isinstance(settings, EpochTraining):
            scale, total = objective.steps_per_epoch, settings.epochs
        else:
            scale, total = 1, settings.steps
        intervals = (settings.log_every, settings.evaluate_every, settings.checkpoint_every)
        return cls(total * scale, *(interval * scale for interval in intervals))

    def due(self, step: int) -> tuple[bool, bool, bool]:
        """Whether to log, to evaluate and to save a checkpoint after `step` steps.

        The last step does all three: a stage that is killed while writing its outputs need not
        train again.
        """
        last = step == self.steps
        return (
            last or step % self.log_every == 0,
            last or step % self.evaluate_every == 0,
            last or step % self.checkpoint_every == 0,
        )


def train(
    title: str,
    model: Transformer,
    objective: Objective,
    settings: StepTraining | EpochTraining,
    checkpoint: Checkpoint,
    publish: Callable[[list[Row], list[Row]], None],
    until: int | None = None,
    after: float = 0.0,
) -> tuple[History, Clock]:
    """Train `model` in place, from its checkpoint if there is one. A signal stops training after
    the current step, which is then saved.

    publish: called at each evaluation with all rows of steps and evaluations so far, to copy them
        elsewhere; the returned History is the record.
    until: stop after this step; None trains to the end.
    after: the amount of training that follows this one, as a multiple of it, for the remaining
        time on the console.

    Raises:
        UserError: the training has diverged; the last checkpoint is kept.
    """
    plan = Plan.of(settings, objective)
    optimizers = optim.build(model, settings)
    state = checkpoint.load()
    if state:
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    start = state["step"] if state else 0
    history = History(**state["history"]) if state else History()
    clock = Clock(state["seconds"], state["marks"]) if state else Clock()
    units_per_step = settings.batch_size * objective.units_per_example
    if settings.compile:
        # Objectives call `encode` and the head's loss, not `forward`.
        model.encode = torch.compile(model.encode)
    model.train()

    with unbroken(), open_console(title, plan.steps, start, objective.unit) as console:
        if start:
            console.line(f"{title}: continues after step {start}")
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
                figures = _step(model, objective, optimizers, settings, step)
                seen = objective.examples_seen(step) * objective.units_per_example
                known = {"step": step, objective.unit: seen, "lr": settings.lr * lr_factor}
                history.append(known, figures)
                log, evaluate, save = plan.due(step)
                if log or evaluate or save:
                    history.flush()
            validation = None
            if evaluate:
                with clock.measure("evaluate"):
                    model.eval()
                    closing = history.closing(objective.closing_steps)
                    measured = objective.validate(model)
                    validation = {"step": step, objective.unit: seen, **closing, **measured}
                    model.train()
                history.evaluations.append(validation)
                clock.mark(step)
            with clock.measure("log"):
                if evaluate:
                    publish(history.steps, history.evaluations)
                if log:
                    rate = units_per_step * step / (clock.seconds["train"] or 1.0)
                    rows = history.steps[logged:]  # one row per step
                    left = clock.per_step(step) * (plan.steps - step + after * plan.steps)
                    console.update(step, rows[-1]["loss"], rate, left)
                    console.line(objective.line(step, rows), left)
                    logged = step
                if validation:
                    console.line(f"after step {step} | {objective.evaluation_line(validation)}")
                stop = stopping()
                if save or stop:
                    history.flush()
                    checkpoint.save(
                        {
                            "step": step,
                            "model": model.state_dict(),
                            "optimizers": [o.state_dict() for o in optimizers],
                            "history": {
                                "steps": history.steps,
                                "evaluations": history.evaluations,
                            },
                            "seconds": dict(clock.seconds),
                            "marks": clock.marks,
                        }
                    )
            if stop:
                console.line(f"saved after step {step}; the same command continues from there")
                break
    history.flush()
    return history, clock


def _step(
    model: Transformer,
    objective: Objective,
    optimizers: list[torch.optim.Optimizer],
    settings: StepTraining | EpochTraining,
    step: int,
) -> dict[str, Tensor]:
    """Forward, backward, update; returns metrics on the device."""
    torch.manual_seed(derive(objective.seed, "dropout", step))
    batch = objective.training_batch(step - 1)
    weight = objective.weight(batch)
    figures: dict[str, Tensor] = {}
    for part in split(batch, settings.accumulate):
        share = objective.weight(part) / weight
        if share == 0:  # a micro-batch without masked tokens
            continue
        with torch.autocast(
            objective.device.type, torch.bfloat16, enabled=settings.precision == "bf16"
        ):
            loss, extra = objective.loss(model, part)
        (loss * share).backward()
        for key, value in {"loss": loss.detach(), **extra}.items():
            figures[key] = figures.get(key, 0.0) + value * share
    # Before clipping, as in the reference's log: the sum of absolute gradients of the embedding.
    delta_w = model.embedding.weight.grad.abs().sum()
    limit = settings.clip_norm or float("inf")
    grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {**figures, "grad_norm": grad_norm, "delta_w": delta_w}
