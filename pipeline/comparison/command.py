"""The command `compare`: reads the revisions, prints the comparison, and guards metrics."""

import json
from pathlib import Path

import click

from pipeline.comparison import comparing, content, experiments, revisions, tables
from pipeline.errors import print_error


def compare(
    names: tuple[str, ...],
    model: str | None,
    form: str | None,
    page: Path | None,
    guarded: tuple[str, ...],
) -> bool:
    """Compare revisions; returns whether none of the guarded metrics is worse.

    names: of the revisions. form: 'json' or 'markdown', otherwise for a terminal.
    page: file to write. guarded: metrics such as 'bert.loss'.

    Raises:
        UserError: a revision cannot be compared, or see `comparing.worse`.
    """
    found = [experiments.read(each) for each in revisions.find(names)]
    comparison = comparing.compare(found, model)
    if form == "json":
        click.echo(json.dumps(content.content(comparison), indent=2, ensure_ascii=False))
    else:
        click.echo(tables.markdown(comparison) if form else tables.text(comparison))
    if page:
        from pipeline.comparison.page import write  # it imports DVC and Vega

        write(comparison, page)
        click.echo(f"page: {page}", err=True)
    worse = comparing.worse(comparison, guarded)
    for row in worse:
        print_error(f"{row.name} of {row.experiment}", label="worse")
    return not worse
