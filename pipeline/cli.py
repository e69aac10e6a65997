"""The command line: `python -m pipeline`, or `transformer-benchmark` with completion.

Commands of stages read and check params.yaml first. Each command imports what it needs itself,
because some imports take seconds.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from pipeline.errors import ParamsError, UserError, print_error, reports_errors
from pipeline.params import Params, load, names
from pipeline.paths import REPORTS
from pipeline.wording import wrapped

PROGRAM = "transformer-benchmark"  # the console script, see pyproject.toml and environment/


class ModelName(click.ParamType):
    """A model of params.yaml."""

    name = "model"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The name, if params.yaml has it or cannot be read."""
        known = names()
        if known and value not in known:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, known))}", param, context)
        return value

    def shell_complete(
        self, context: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The models of params.yaml."""
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]


model_option = click.option(
    "--model", type=ModelName(), required=True, help="A model of params.yaml."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1),
    help="A seed.  [default: the first of params.yaml]",
)  # fmt: skip
chosen_option = click.option(
    "--model", type=ModelName(),
    help="The model trained here.  [default: the first with this task]",
)  # fmt: skip
from_option = click.option(
    "--from", "source", type=click.Path(path_type=Path),
    help="A Hugging Face folder, in place of the model trained here.",
)  # fmt: skip
top_option = click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many to show."
)


def stage_command(command: Callable[..., None]) -> Callable[..., None]:
    """A command that `dvc repro` runs: prints the number of its stage, receives the parameters, and
    ends when `dvc` ends."""

    @functools.wraps(command)
    def stage(**kwargs: Any) -> None:
        from pipeline.running.lifetime import end_with_dvc
        from pipeline.running.progress import announce

        params = load()
        if "seed" in kwargs and kwargs["seed"] is None:
            kwargs["seed"] = params.seeds[0]
        end_with_dvc()
        announce(params, command.__name__, kwargs.get("model"), kwargs.get("seed"))
        command(params, **kwargs)

    return reports_errors(stage)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """One Transformer, trained as BERT, GPT, ViT and for letters to sounds.

    `dvc repro` runs the stages: prepare, train, evaluate, aggregate, report.
    """


@main.command()
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


@main.command()
@model_option
@stage_command
def prepare(params: Params, model: str) -> None:
    """Stage: download, check and encode the data of a model."""
    from pipeline.stages.prepare import prepare as stage

    stage(params, model)


@main.command()
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


@main.command()
@model_option
@seed_option
@stage_command
def evaluate(params: Params, model: str, seed: int) -> None:
    """Stage: evaluate a trained model on the held-out data."""
    from pipeline.stages.evaluate import evaluate as stage

    stage(params, model, seed)


@main.command()
@model_option
@stage_command
def aggregate(params: Params, model: str) -> None:
    """Stage: curves and metrics as means over the seeds."""
    from pipeline.stages.aggregate import aggregate as stage

    stage(params, model)


@main.command()
@stage_command
def report(params: Params) -> None:
    """Stage: compare with the reference in reports/metrics.md."""
    from pipeline.stages.report import report as stage

    stage(params)


@main.command()
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


@main.command()
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

    The exit code is 1 if anything differs.
    """
    from pipeline.verification import verify as check

    if not check(Path(report), model, None if whole else steps):
        sys.exit(1)


@main.command()
@reports_errors
def sync() -> None:
    """Upload runs recorded while MLflow was down."""
    from pipeline.tracking.outbox import sync as upload

    upload()


@main.command()
@reports_errors
def repair() -> None:
    """Repair the files of a killed `dvc`.

    If DVC is killed while it writes, some of its files are incomplete. `./run` makes the same
    repairs before each `dvc`.
    """
    from pipeline.repair import repair as repair_files

    for line in repair_files() or ["nothing to repair"]:
        click.echo(wrapped(line), err=True)


@main.command(hidden=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@reports_errors
def before_dvc(arguments: tuple[str, ...]) -> None:
    """Repair files and check the parameters; `./run` does this before each `dvc`."""
    from pipeline.overrides import check_command
    from pipeline.repair import repair as repair_files

    for line in repair_files():
        click.echo(wrapped(line), err=True)
    try:
        check_command(list(arguments))
    except ParamsError as error:
        raise ParamsError(f"{error}\nnothing was run or removed") from None


@main.command()
@reports_errors
def offline_plots() -> None:
    """Make `dvc plots` work without a network."""
    from pipeline.plots import make_offline

    make_offline()


@main.command()
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


@main.command()
@click.option("--prompt", required=True, help="The beginning of the text.")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many tokens to write at most.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    show_default="0.8, or the folder's",
    help="0 always takes the most likely token.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    show_default="0, or the folder's",
    help="Sample from the K most likely tokens; 0: from all.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    show_default="1, or the folder's",
    help="Sample from the most likely tokens of this total probability.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="The same seed gives the same text.",
)
@click.option("--stop", multiple=True, help="A token to stop at. Can be repeated.")
@chosen_option
@from_option
@reports_errors
def generate(
    prompt: str,
    tokens: int,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    stop: tuple[str, ...],
    model: str | None,
    source: Path | None,
) -> None:
    """Continue a text with the GPT, token by token."""
    from pipeline.views.causal_lm import continuation

    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    chosen = {key: value for key, value in given.items() if value is not None}
    name = _model("causal_lm", model, source)
    for piece in continuation(prompt, name, source, tokens, chosen, seed, stop):
        click.echo(piece, nl=False)
    click.echo()


@main.command()
@click.argument("text")
@top_option
@chosen_option
@from_option
@reports_errors
def fill_mask(text: str, top: int, model: str | None, source: Path | None) -> None:
    """Predict the words at each [MASK] of TEXT with the BERT.

    With --from, the mask token is the one of that folder's tokenizer.
    """
    from pipeline.views.masked_lm import fillings

    mask, gaps = fillings(text, _model("masked_lm", model, source), source, top)
    for number, guesses in enumerate(gaps, 1):
        click.echo(f"{mask} {number}")
        for guess in guesses:
            click.echo(f"  {guess.probability:6.1%}  {guess.word}")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@top_option
@chosen_option
@from_option
@reports_errors
def classify(paths: tuple[Path, ...], top: int, model: str | None, source: Path | None) -> None:
    """Classify images, or all images of a folder, with the ViT."""
    from pipeline.views.image_classification import classes

    failed = False
    name = _model("image_classification", model, source)
    for path, best in classes(paths, name, source, top):
        if isinstance(best, UserError):
            print_error(str(best))
            failed = True
        else:
            answer = ", ".join(f"{name} {chance:.1%}" for name, chance in best)
            click.echo(wrapped(f"{path}: {answer}"))
    if failed:
        sys.exit(1)


@main.command()
@click.argument("word")
@click.option(
    "--top", type=click.IntRange(1, 100), default=5, show_default=True, help="How many to show."
)
@chosen_option
@reports_errors
def pronounce(word: str, top: int, model: str | None) -> None:
    """Show the likeliest sounds of WORD, by the G2P.

    Sounds are named as in the dictionary of its training: 1 at a vowel is primary stress.
    """
    from pipeline.views.grapheme_to_phoneme import pronunciations

    for said, chance in pronunciations(word, _model("grapheme_to_phoneme", model, None), top):
        click.echo(f"  {chance:6.1%}  {said}")


def _model(task: str, name: str | None, source: Path | None) -> str:
    """The model that a command uses: `name`, or the first of the task; empty if a Hugging Face
    folder is used in its place."""
    if source:
        return ""
    params = load()
    name = name or params.of_task(task)
    if params.section(name).task != task:
        raise UserError(f"{name} has `task: {params.section(name).task}`, not {task}")
    return name


@main.command()
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


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options and models of `transformer-benchmark` with Tab:

    \b
      bash: eval "$(transformer-benchmark completion bash)"
      zsh:  eval "$(transformer-benchmark completion zsh)"
      fish: transformer-benchmark completion fish | source
    """
    from click.shell_completion import get_completion_class

    variable = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"
    click.echo(get_completion_class(shell)(main, {}, PROGRAM, variable).source())
