"""The commands around the stages: check, run, verify, repair, look, export."""

import sys
from pathlib import Path

import click

from pipeline.cli.options import model_option
from pipeline.errors import UserError, reports_errors
from pipeline.params import load
from pipeline.paths import REPORTS, read_json
from pipeline.training import numerics
from pipeline.wording import wrapped


@click.command()
@click.option(
    "-S",
    "--set-param",
    "overrides",
    multiple=True,
    help="An override, as for `dvc exp run -S`. Can be repeated.",
)
@reports_errors
def check(overrides: tuple[str, ...]) -> None:
    """Check params.yaml, or overrides of `dvc exp run -S`."""
    if overrides:
        from pipeline.overrides import check as check_overrides

        check_overrides(list(overrides))
        click.echo("params.yaml is valid with these overrides")
    else:
        from pipeline.reproduction import reproduction

        click.echo(wrapped(f"params.yaml is valid (profile {reproduction(load()).label})"))


@click.command()
@click.option(
    "--jobs",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many trainings run at the same time.",
)
@reports_errors
def repro(jobs: int) -> None:
    """Run `dvc repro`, with several trainings at once.

    dvc.lock and all results are those of `dvc repro`. The trainings share the processor: this is
    faster where one training leaves cores unused.
    """
    from pipeline.running.repro import repro as run

    run(load(), jobs)


@click.command()
@click.option("--model", help="One model only.  [default: all of the report]")
@click.option(
    "--steps",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many steps to train.",
)
@click.option(
    "--all", "whole", is_flag=True, help="Train all steps; compare weights and metrics too."
)
@click.option(
    "--report",
    default=str(REPORTS),
    show_default=True,
    type=click.Path(exists=True, file_okay=False),
    help="Folder of the report.",
)
@reports_errors
def verify(model: str | None, steps: int, whole: bool, report: str) -> None:
    """Train again and compare with a report, bit for bit.

    The exit code is 1 if anything differs that should not: another processor, GPU or torch may
    give other last digits.
    """
    numerics.choose(_numerics(Path(report)))
    from pipeline.verification import verify as check

    if not check(Path(report), model, None if whole else steps):
        sys.exit(1)


def _numerics(report: Path) -> numerics.Numerics:
    """The numerics of a report, read before anything imports torch."""
    try:
        content = read_json(report / "metrics.json")
        return "portable" if content["params"].get("numerics") == "portable" else "fast"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "fast"  # `verify` says what is wrong with the report


@click.command()
@click.argument("revisions", nargs=-1, metavar="[REVISION]...")
@click.option("--model", help="One model only.  [default: all]")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a page with curves and samples, in one file.",
)
@click.option(
    "--fail-if-worse",
    "guarded",
    multiple=True,
    metavar="METRIC",
    help="Exit with 1 if a metric such as bert.loss is worse; 2 if unclear. Can be repeated.",
)
@reports_errors
def compare(
    revisions: tuple[str, ...],
    model: str | None,
    form: str | None,
    page: Path | None,
    guarded: tuple[str, ...],
) -> None:
    """Compare experiments: does a change help?

    REVISION is an experiment, a branch, a tag, a commit, or `workspace`. The others are compared
    with the first, and one alone with HEAD; without any, all experiments of HEAD with HEAD.
    """
    from pipeline.comparison import command

    if not command.compare(revisions, model, form, page, guarded):
        sys.exit(1)


@click.command()
@reports_errors
def sync() -> None:
    """Upload runs recorded while MLflow was down."""
    from pipeline.tracking.outbox import sync as upload

    upload()


@click.command()
@reports_errors
def repair() -> None:
    """Repair files of a killed `dvc`, or a dvc.lock of others.

    If DVC is killed while it writes, some of its files are incomplete. The dvc.lock of another
    machine, where bits differ, would make DVC train again. `./run` makes the same repairs before
    each `dvc`.
    """
    from pipeline.lost_outputs import forget
    from pipeline.repair import repair as repair_files

    for line in [*repair_files(), *forget()] or ["nothing to repair"]:
        click.echo(wrapped(line), err=True)


@click.command(hidden=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@reports_errors
def before_dvc(arguments: tuple[str, ...]) -> None:
    """Repair files and check the parameters; `./run` does this before each `dvc`."""
    from pipeline.lost_outputs import forget
    from pipeline.overrides import check_command, runs_stages
    from pipeline.repair import repair as repair_files
    from pipeline.running.launch import require_some_model

    for line in repair_files():
        click.echo(wrapped(line), err=True)
    try:
        for params in check_command(list(arguments)):
            require_some_model(params)
    except UserError as error:
        raise type(error)(f"{error}\nnothing was run or removed") from None
    # `--pull` asks for the outputs of the committed dvc.lock.
    if runs_stages(arguments) and "--pull" not in arguments:
        for line in forget():
            click.echo(wrapped(line), err=True)


@click.command()
@reports_errors
def offline_plots() -> None:
    """Make `dvc plots` work without a network."""
    from pipeline.plots import make_offline

    make_offline()


@click.command()
@click.argument("row", required=False)
@click.option(
    "--port",
    default=5000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port on 127.0.0.1.",
)
@reports_errors
def ui(row: str | None, port: int) -> None:
    """Open the MLflow UI, or print the link to its server.

    ROW is a row of `dvc exp show` (an experiment, a commit, or `workspace`); only its runs are
    shown. The variable MLFLOW_TRACKING_URI sets a server.
    """
    from pipeline.ui import open_ui

    open_ui(port, row)


@click.command()
@model_option
@click.argument("folder", type=click.Path(path_type=Path))
@reports_errors
def export(model: str, folder: Path) -> None:
    """Write a trained model to FOLDER for Hugging Face.

    FOLDER must be new or empty.
    """
    from pipeline.exporting import export as write

    written = write(load(), model, folder)
    click.echo(wrapped(f"{folder}: a {written}; its README.md shows how to use it"))
