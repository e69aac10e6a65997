"""Checks `dvc exp run -S` before DVC removes the old outputs."""

import contextlib
import io
import tempfile
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from pipeline import yaml_file
from pipeline.errors import ParamsError
from pipeline.params import Params, load, validate
from pipeline.paths import PARAMS


def check_command(arguments: list[str]) -> list[Params]:
    """Check the parameters of a `dvc repro` or `dvc exp run`; returns those of each run, and none
    for other commands.

    arguments: of `dvc`.

    Raises:
        ParamsError: the parameters are not valid.
    """
    if not runs_stages(arguments):
        return []  # without importing DVC
    asked = _parse(arguments)
    if asked and asked.func.__name__ == "CmdRepro":
        return [load()]
    if asked and asked.func.__name__ == "CmdExperimentsRun" and not asked.run_all:
        return check(asked.set_param)
    return []


def runs_stages(arguments: Iterable[str]) -> bool:
    """Whether these arguments of `dvc` look like a `repro` or an `exp run`."""
    return bool({"repro", "run"} & set(arguments))


def check(overrides: list[str]) -> list[Params]:
    """Check params.yaml with the overrides of one `dvc exp run`; returns the parameters of each run
    of a sweep.

    overrides: arguments of `-S`.

    Raises:
        ParamsError: params.yaml, an override, or the result is not valid.
    """
    from dvc.utils.cli_parse import to_path_overrides

    # Ignore overrides of other files.
    ours = to_path_overrides(overrides).get(str(PARAMS), [])
    return [composed(chosen) for chosen in combinations(ours)]


def _parse(arguments: list[str]) -> Namespace | None:
    """The arguments as DVC parses them; None if it reports an error or shows help."""
    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return get_main_parser().parse_args(arguments)
        except (DvcParserError, SystemExit):
            return None


def combinations(overrides: list[str]) -> list[list[str]]:
    """The overrides of each experiment: `a=1,2` gives two.

    Raises:
        ParamsError: an override cannot be read.
    """
    from dvc.utils.hydra import get_hydra_sweeps

    if not overrides:
        return [[]]
    try:
        return [sweep[str(PARAMS)] for sweep in get_hydra_sweeps({str(PARAMS): overrides})]
    except Exception as error:  # from Hydra's parser, or from DVC
        raise ParamsError(f"-S {' -S '.join(overrides)}: {_reason(error)}") from None


def composed(overrides: list[str]) -> Params:
    """params.yaml as one experiment with these overrides has it.

    Raises:
        ParamsError: params.yaml, an override, or the result is not valid.
    """
    try:
        return _compose(overrides)
    except ParamsError as error:
        prefix = f"with {' '.join(f'-S {each}' for each in overrides)}: " if overrides else ""
        raise ParamsError(f"{prefix}{error}") from None


def _compose(overrides: list[str]) -> Params:
    from dvc.utils.hydra import compose_and_dump

    here = str(Path.cwd())
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / PARAMS
        try:  # with the settings of .dvc/config
            compose_and_dump(made, here, None, PARAMS.stem, here, overrides)
        except Exception as error:
            load()  # reports errors in the file itself more clearly
            raise ParamsError(_reason(error)) from None
        return validate(yaml_file.read(made))


def _reason(error: Exception) -> str:
    """The message of Hydra, also inside an error of DVC, on one line."""
    from dvc.exceptions import DvcException

    cause = error.__cause__ if isinstance(error, DvcException) and error.__cause__ else error
    lines = [line.strip() for line in str(cause).splitlines()]
    return "; ".join(line for line in lines if line).replace(".; ", ". ")
