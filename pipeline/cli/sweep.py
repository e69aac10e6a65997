"""The command that runs many experiments at once."""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from pipeline.errors import UserError, reports_errors
from pipeline.wording import counted, listed


@click.command()
@click.argument("name")
@click.option(
    "-S", "--set-param", "overrides", multiple=True,
    help="An override, as for `dvc exp run -S`: a=1,2 or range(1,5). Can be repeated.",
)  # fmt: skip
@click.option(
    "--list", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the overrides of an experiment in each line.",
)  # fmt: skip
@click.option("--random", "count", type=click.IntRange(min=1), help="How many random draws.")
@click.option("--seed", default=0, show_default=True, help="Of the random draws.")
@click.option("--seeds", help="Seeds of the trainings: 0,1,2.  [default: those of params.yaml]")
@click.option(
    "--jobs", default=2, show_default=True, type=click.IntRange(min=1),
    help="How many trainings run at the same time.",
)  # fmt: skip
@click.option(
    "--on", "address",
    help="A cluster of Ray: `auto` for the one of this machine, HOST:PORT or ray://HOST:PORT.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only print what would be run.")
@reports_errors
def sweep(
    name: str,
    overrides: tuple[str, ...],
    file: Path | None,
    count: int | None,
    seed: int,
    seeds: str | None,
    jobs: int,
    address: str | None,
    dry_run: bool,
) -> None:
    """Run several experiments of DVC at once.

    They are named NAME-1, NAME-2 and so on. All combinations of the overrides are run. Random
    draws also take interval(0,0.3), int(interval(1,8)) and tag(log,interval(0.001,0.1)).
    If it is interrupted, the same command continues.
    """
    from pipeline.sweeping import draws

    common = [*overrides, *([f"seeds=[{seeds}]"] if seeds else [])]
    if file and count:
        raise UserError("--list and --random: give one of them")
    if not (overrides or file):
        raise UserError("no overrides: give -S, as in -S model.n_layer=2,4, or --list FILE")
    if file:
        chosen = draws.listed(file, common)
    elif count:
        chosen = draws.drawn(common, count, seed)
    else:
        chosen = draws.grid(common)
    try:
        failed = _run(name, chosen, jobs, address, dry_run)
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + (interrupt.args or (signal.SIGINT,))[0])
    if failed:
        raise UserError(f"{counted(len(failed), 'experiment')} failed: {listed(failed)}")


def _interrupt(number: int, _: object) -> NoReturn:
    """Handle a signal as Ctrl-C, and keep its number."""
    raise KeyboardInterrupt(number)


def _run(
    name: str, chosen: list[tuple[str, ...]], jobs: int, address: str | None, dry_run: bool
) -> list[str]:
    """The names of the experiments that failed."""
    from pipeline.running import waiting
    from pipeline.sweeping import display, schedule
    from pipeline.sweeping.copies import owned, snapshot
    from pipeline.sweeping.local import Local
    from pipeline.sweeping.plan import plan

    with owned(name) as folder:
        taken = snapshot()
        made = plan(name, chosen, taken)
        place: schedule.Place
        cores = len(os.sched_getaffinity(0)) if address is None else None
        if address is not None:
            from pipeline.sweeping.cluster import Cluster

            place = Cluster(address, folder, taken, made, jobs)
        else:
            threads = max((each.params.threads for each in made.waiting), default=1)
            os.environ.update(waiting.variables(jobs, threads))
            place = Local(folder, taken, jobs)
        for line in display.announcement(made, place.slots, cores):
            click.echo(line)
        if dry_run:
            return []
        # Also a batch system's signal; and Ctrl-C where a shell has made background jobs ignore it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        with display.Display(place.slots) as shown:
            commits, failed = schedule.run(made, place, shown)
    for line in display.results(made.experiments, commits):
        click.echo(line)
    return failed
