"""The commands: each reads params.yaml, checks it whole, and calls one stage."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline import MODELS
from pipeline.errors import (
    ParamsError,
    UserError,
    first_line,
    is_forbidden,
    is_full_disk,
    is_out_of_memory,
)
from pipeline.params import Params, load
from pipeline.paths import REPORTS

model_option = click.option(
    "--model", type=click.Choice(MODELS), required=True, help="Which of the three models."
)
from_option = click.option(
    "--from", "source", type=click.Path(path_type=Path),
    help="A folder of Hugging Face transformers, in place of the model trained here.",
)  # fmt: skip
top_option = click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many to show."
)


def stage_of_dvc(command: Callable[..., None]) -> Callable[..., None]:
    """A command that `dvc repro` runs: it gets params.yaml, says which stage of how many it is, and
    ends when the `dvc` does."""

    @functools.wraps(command)
    def wrapped(**kwargs: Any) -> None:
        from pipeline.lifetime import end_with_dvc
        from pipeline.progress import announce

        params = load()
        end_with_dvc()
        announce(command.__name__, **kwargs)
        command(params, **kwargs)

    return told_plainly(wrapped)


def told_plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Show a user's mistake as a message and an exit code, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except Exception as error:
            if is_full_disk(error):
                said = f"{error}: make space, then run the same command again"
            elif is_forbidden(error):
                said = f"{error.filename}: {error.strerror}"
            elif is_out_of_memory(error):
                advice = "a smaller model, batch or sequence takes less"
                said = f"not enough memory: {first_line(error)}; {advice}"
            else:
                raise
            click.echo(f"error: {said}", err=True)
            sys.exit(1)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """One Transformer, trained as BERT, GPT and ViT. `dvc repro` calls these commands in order."""


@main.command()
@click.option("-S", "--set-param", "overrides", multiple=True,
              help="An override as `dvc exp run -S` takes it; may be given several times.")
@told_plainly
def check(overrides: tuple[str, ...]) -> None:
    """Check params.yaml as a whole, or what `dvc exp run -S` would make of it."""
    if overrides:
        from pipeline.overrides import check as check_overrides

        check_overrides(list(overrides))
        click.echo("params.yaml is valid with these overrides")
    else:
        from pipeline.reproduction import reproduction

        click.echo(f"params.yaml is valid (profile {reproduction(load()).label})")


@main.command()
@model_option
@stage_of_dvc
def prepare(params: Params, model: str) -> None:
    """Fetch, verify and encode the data of a model."""
    from pipeline.stages.prepare import prepare as stage

    stage(params, model)


@main.command()
@model_option
@stage_of_dvc
def train(params: Params, model: str) -> None:
    """Train a model."""
    from pipeline.stages.train import train as stage

    stage(params, model)


@main.command()
@model_option
@stage_of_dvc
def evaluate(params: Params, model: str) -> None:
    """Evaluate a trained model on the whole held-out split."""
    from pipeline.stages.evaluate import evaluate as stage

    stage(params, model)


@main.command()
@stage_of_dvc
def report(params: Params) -> None:
    """Write reports/metrics.md: our figures beside the reference's."""
    from pipeline.stages.report import report as stage

    stage(params)


@main.command()
@click.option("--model", type=click.Choice(MODELS), help="One of the three; all by default.")
@click.option(
    "--steps", default=20, show_default=True, type=click.IntRange(min=1), help="How many steps."
)
@click.option("--all", "whole", is_flag=True, help="All steps, and the trained weights.")
@click.option(
    "--report",
    default=str(REPORTS),
    show_default=True,
    type=click.Path(exists=True, file_okay=False),
    help="The folder of the report to verify.",
)
@told_plainly
def verify(model: str | None, steps: int, whole: bool, report: str) -> None:
    """Train the first steps again and compare them with a report's, to the bit."""
    from pipeline.verification import verify as check

    if not check(Path(report), [model] if model else list(MODELS), None if whole else steps):
        sys.exit(1)


@main.command()
@told_plainly
def sync() -> None:
    """Deliver to MLflow what it could not be told while the stages ran."""
    from pipeline.tracking.outbox import sync as deliver

    deliver()


@main.command()
@told_plainly
def repair() -> None:
    """Put right what keeps `dvc` from working: files that a kill of it left half written, and
    scripts of a clone that was moved."""
    if not _repair():
        click.echo("nothing to repair")


def _repair() -> bool:
    """Whether there was anything to repair; what was done is told."""
    from pipeline.relocation import relocate
    from pipeline.repair import repair as put_right

    moved = relocate()
    done = ([moved] if moved else []) + put_right()
    for line in done:
        click.echo(line, err=True)
    return bool(done)


@main.command(hidden=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@told_plainly
def before_dvc(arguments: tuple[str, ...]) -> None:
    """What `./run` does before a `dvc`: repair, and check what it would run its stages with."""
    from pipeline.overrides import check_command

    _repair()
    try:
        check_command(list(arguments))
    except ParamsError as error:
        raise ParamsError(f"{error}\nnothing was run, and nothing removed") from None


@main.command()
@told_plainly
def offline_plots() -> None:
    """Let `dvc plots` draw without a network, in this clone."""
    from pipeline.plots import make_offline

    make_offline()


@main.command()
@click.argument("row", required=False)
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535),
              help="Port on 127.0.0.1.")
@told_plainly
def ui(row: str | None, port: int) -> None:
    """Open MLflow's table of runs, or the runs of one ROW of `dvc exp show` (an experiment, a
    commit, or `workspace`). Where MLFLOW_TRACKING_URI names a server, print its link."""
    from pipeline.ui import open_ui

    open_ui(port, row)


@main.command()
@click.option("--prompt", required=True, help="The beginning of the text.")
@click.option("--tokens", type=click.IntRange(min=1), default=100, show_default=True,
              help="How many to write at most.")
@click.option("--temperature", type=click.FloatRange(min=0), show_default="0.8, or the folder's",
              help="0 takes the likeliest token each time.")
@click.option("--top-k", type=click.IntRange(min=0), show_default="0, or the folder's",
              help="Choose among so many of the likeliest tokens; 0 for all.")
@click.option("--top-p", type=click.FloatRange(min=0, max=1, min_open=True),
              show_default="1, or the folder's",
              help="Choose among the likeliest that reach this probability.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True,
              help="The same one, the same text.")
@click.option("--stop", multiple=True, help="A token to end at; may be given several times.")
@from_option
@told_plainly
def generate(
    prompt: str,
    tokens: int,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    stop: tuple[str, ...],
    source: Path | None,
) -> None:
    """Go on with a text, token by token."""
    from pipeline.inference.text import continuation

    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    chosen = {key: value for key, value in given.items() if value is not None}
    for piece in continuation(prompt, source, tokens, chosen, seed, stop):
        click.echo(piece, nl=False)
    click.echo()


@main.command()
@click.argument("text")
@top_option
@from_option
@told_plainly
def fill_mask(text: str, top: int, source: Path | None) -> None:
    """Guess the words that stand as [MASK] in TEXT, or as the mask token that a folder has."""
    from pipeline.inference.text import fillings

    mask, gaps = fillings(text, source, top)
    for number, guesses in enumerate(gaps, 1):
        click.echo(f"{mask} {number}")
        for guess in guesses:
            click.echo(f"  {guess.probability:6.1%}  {guess.word}")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@top_option
@from_option
@told_plainly
def classify(paths: tuple[Path, ...], top: int, source: Path | None) -> None:
    """Say what the images at PATHS show; a path may be a folder of images."""
    from pipeline.inference.images import classes

    failed = False
    for path, best in classes(paths, source, top):
        if isinstance(best, UserError):
            click.echo(f"error: {best}", err=True)
            failed = True
        else:
            click.echo(f"{path}: " + ", ".join(f"{name} {chance:.1%}" for name, chance in best))
    if failed:
        sys.exit(1)


@main.command()
@model_option
@click.argument("folder", type=click.Path(path_type=Path))
@told_plainly
def export(model: str, folder: Path) -> None:
    """Write a trained model into FOLDER, for Hugging Face transformers."""
    from pipeline.inference.export import export as write

    click.echo(f"{folder}: a {write(model, folder)}; its README.md shows how to use it")
