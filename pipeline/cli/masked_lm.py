"""`fill-mask`: predict masked words."""

from pathlib import Path

import click

from pipeline.cli.options import chosen_model, chosen_option, from_option, top_option
from pipeline.errors import reports_errors


@click.command()
@click.argument("text")
@top_option
@chosen_option
@from_option
@reports_errors
def fill_mask(text: str, top: int, model: str | None, source: Path | None) -> None:
    """Predict the words at each [MASK] of TEXT with a BERT.

    With --from, the mask token is the one of that folder's tokenizer.
    """
    from pipeline.views.masked_lm import fillings

    mask, gaps = fillings(text, chosen_model("masked_lm", model, source), source, top)
    for number, guesses in enumerate(gaps, 1):
        click.echo(f"{mask} {number}")
        for guess in guesses:
            click.echo(f"  {guess.probability:6.1%}  {guess.word}")
