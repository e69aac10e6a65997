"""The command line: `python -m pipeline`, or `transformer-benchmark` with completion.

A task may have a file of its name here, with the commands that put questions to its model. Each
command imports what it needs itself, because some imports take seconds: all packages but `tasks`,
`data` and `inference`, which it reaches by the stages and views.
"""

from importlib import import_module
from pkgutil import iter_modules

import click

PROGRAM = "transformer-benchmark"  # the console script, see pyproject.toml and environment/


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """One Transformer, trained for several tasks.

    `dvc repro` runs the stages: prepare, train, evaluate, aggregate, report.
    """


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
    complete = get_completion_class(shell)
    assert complete is not None  # click knows these shells
    click.echo(complete(main, {}, PROGRAM, variable).source())


for module in iter_modules(__path__):
    for command in vars(import_module(f"{__name__}.{module.name}")).values():
        if isinstance(command, click.Command):
            main.add_command(command)
