"""`generate`: continue a text."""

from pathlib import Path

import click

from pipeline.cli.options import chosen_model, chosen_option, from_option
from pipeline.errors import reports_errors


@click.command()
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
    name = chosen_model("causal_lm", model, source)
    for piece in continuation(prompt, name, source, tokens, chosen, seed, stop):
        click.echo(piece, nl=False)
    click.echo()
