"""The stages of dvc.yaml, which `dvc repro` runs: they read and check params.yaml first."""

import functools
from collections.abc import Callable
from typing import Any

import click

from pipeline.cli.options import model_option, seed_option
from pipeline.errors import reports_errors
from pipeline.params import Params, load
from pipeline.training import numerics


def stage_command(command: Callable[..., None]) -> Callable[..., None]:
    """A command that `dvc repro` runs: prints the number of its stage, receives the parameters, and
    ends when `dvc` ends."""

    @functools.wraps(command)
    def stage(**kwargs: Any) -> None:
        from pipeline.running.lifetime import end_with_dvc
        from pipeline.running.progress import announce

        params = load()
        numerics.choose(params.numerics)
        if "seed" in kwargs and kwargs["seed"] is None:
            kwargs["seed"] = params.seeds[0]
        end_with_dvc()
        announce(params, command.__name__, kwargs.get("model"), kwargs.get("seed"))
        command(params, **kwargs)

    return reports_errors(stage)


@click.command()
@model_option
@stage_command
def prepare(params: Params, model: str) -> None:
    """Stage: download, check and encode the data of a model."""
    from pipeline.stages.prepare import prepare as stage

    stage(params, model)


@click.command()
@model_option
@seed_option
@click.option(
    "--ahead",
    is_flag=True,
    help="Only train and save: the stage then writes the outputs without training.",
)
@stage_command
def train(params: Params, model: str, seed: int, ahead: bool) -> None:
    """Stage: train a model."""
    from pipeline.stages.train import train as stage

    stage(params, model, seed, ahead)


@click.command()
@model_option
@seed_option
@stage_command
def evaluate(params: Params, model: str, seed: int) -> None:
    """Stage: evaluate a trained model on the held-out data."""
    from pipeline.stages.evaluate import evaluate as stage

    stage(params, model, seed)


@click.command()
@model_option
@stage_command
def aggregate(params: Params, model: str) -> None:
    """Stage: curves and metrics as means over the seeds."""
    from pipeline.stages.aggregate import aggregate as stage

    stage(params, model)


@click.command()
@stage_command
def report(params: Params) -> None:
    """Stage: compare with the reference in reports/metrics.md."""
    from pipeline.stages.report import report as stage

    stage(params)
