"""The commands: each reads params.yaml, checks it whole, and calls one stage."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from pipeline import MODELS
from pipeline.errors import UserError, first_line, is_out_of_memory
from pipeline.params import Params, load

model_option = click.option(
    "--model", type=click.Choice(MODELS), required=True, help="Which of the three models."
)


def told_plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Show a user's mistake as a message and an exit code, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            click.echo(f"error: not enough memory: {first_line(error)}", err=True)
            click.echo("a smaller model, batch or sequence takes less", err=True)
            sys.exit(1)

    return wrapped


@click.group()
def main() -> None:
    """One Transformer, trained as BERT, GPT and ViT. `dvc repro` calls these commands in order."""


@main.command()
@told_plainly
def check() -> None:
    """Check params.yaml as a whole."""
    params: Params = load()
    click.echo(f"params.yaml is valid (profile {params.profile})")


@main.command()
@model_option
@told_plainly
def prepare(model: str) -> None:
    """Fetch, verify and encode the data of a model."""
    params = load()
    from pipeline.stages.prepare import prepare as stage

    stage(params, model)


@main.command()
@model_option
@told_plainly
def train(model: str) -> None:
    """Train a model."""
    params = load()
    from pipeline.stages.train import train as stage

    stage(params, model)


@main.command()
@model_option
@told_plainly
def evaluate(model: str) -> None:
    """Evaluate a trained model on the whole held-out split."""
    params = load()
    from pipeline.stages.evaluate import evaluate as stage

    stage(params, model)


@main.command()
@told_plainly
def report() -> None:
    """Write reports/metrics.md: our figures beside the reference's."""
    params = load()
    from pipeline.stages.report import report as stage

    stage(params)


@main.command()
@told_plainly
def offline_plots() -> None:
    """Let `dvc plots` draw without a network, in this clone."""
    from pipeline.plots import make_offline

    make_offline()


@main.command()
@click.option(
    "--port",
    default=5000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port on 127.0.0.1.",
)
@told_plainly
def ui(port: int) -> None:
    """Open the MLflow UI on this machine."""
    from pipeline.ui import serve

    serve(port)
