"""`pronounce`: name the sounds of a word."""

import click

from pipeline.cli.options import chosen_model, chosen_option
from pipeline.errors import reports_errors


@click.command()
@click.argument("word")
@click.option(
    "--top", type=click.IntRange(1, 100), default=5, show_default=True, help="How many to show."
)
@chosen_option
@reports_errors
def pronounce(word: str, top: int, model: str | None) -> None:
    """Show the likeliest pronunciations of WORD.

    Sounds are named as in the dictionary of its training: 1 at a vowel is primary stress.
    """
    from pipeline.views.grapheme_to_phoneme import pronunciations

    for said, chance in pronunciations(word, chosen_model("grapheme_to_phoneme", model, None), top):
        click.echo(f"  {chance:6.1%}  {said}")
