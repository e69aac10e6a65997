"""`classify`: name what images show."""

import sys
from pathlib import Path

import click

from pipeline.cli.options import chosen_model, chosen_option, from_option, top_option
from pipeline.errors import UserError, print_error, reports_errors
from pipeline.wording import wrapped


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@top_option
@chosen_option
@from_option
@reports_errors
def classify(paths: tuple[Path, ...], top: int, model: str | None, source: Path | None) -> None:
    """Classify images, or all images of a folder, with the ViT."""
    from pipeline.views.image_classification import classes

    failed = False
    name = chosen_model("image_classification", model, source)
    for path, best in classes(paths, name, source, top):
        if isinstance(best, UserError):
            print_error(str(best))
            failed = True
        else:
            answer = ", ".join(f"{name} {chance:.1%}" for name, chance in best)
            click.echo(wrapped(f"{path}: {answer}"))
    if failed:
        sys.exit(1)
