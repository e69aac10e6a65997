"""Options that commands share, and the model that a command uses."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from pipeline.errors import UserError
from pipeline.params import load, names


class ModelName(click.ParamType[str]):
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


def chosen_model(task: str, name: str | None, source: Path | None) -> str:
    """The model that a command uses: `name`, or the first of the task; empty if a Hugging Face
    folder is used in its place.

    Raises:
        UserError: the model does not exist, or is of another task.
    """
    if source:
        return ""
    params = load()
    name = name or params.of_task(task)
    if params.section(name).task != task:
        raise UserError(f"{name} has `task: {params.section(name).task}`, not {task}")
    return name
