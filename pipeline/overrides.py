"""Checks `dvc exp run -S` before DVC removes the old outputs."""

import contextlib
import io
import tempfile
from argparse import Namespace
from pathlib import Path

from pipeline import prerequisites, yaml_file
from pipeline.errors import ParamsError
from pipeline.params import load, validate
from pipeline.paths import PARAMS


def check_command(arguments: list[str]) -> None:
    """Check the parameters of a `dvc repro` or `dvc exp run`; do nothing for other commands.

    arguments: of `dvc`.

    Raises:
        ParamsError: the parameters are not valid, or something that they need is missing.
    """
    if not {"repro", "run"} & set(arguments):
        return  # without importing DVC
    asked = _parse(arguments)
    name = asked and asked.func.__name__
    if name == "CmdRepro":
        prerequisites.check(load())
    elif name == "CmdExperimentsRun" and not asked.run_all:
        check(asked.set_param, hydra=not asked.no_hydra)


def check(overrides: list[str], hydra: bool = True) -> None:
    """Check params.yaml with the overrides of one `dvc exp run`, once for each run of a sweep.

    overrides: arguments of `-S`. hydra: whether DVC may compose params.yaml with Hydra, if its
        configuration enables that.

    Raises:
        ParamsError: params.yaml, an override, or the result is not valid, or something that it
            needs is missing: see `prerequisites.check`.
    """
    from dvc.utils.cli_parse import to_path_overrides

    # Ignore overrides of other files.
    ours = to_path_overrides(overrides).get(str(PARAMS), [])
    for chosen in _sweep(ours):
        prefix = f"with {' '.join(f'-S {override}' for override in chosen)}: " if chosen else ""
        try:
            _check(chosen, hydra)
        except ParamsError as error:
            raise ParamsError(f"{prefix}{error}") from None


def _parse(arguments: list[str]) -> Namespace | None:
    """The arguments as DVC parses them; None if it reports an error or shows help."""
    from dvc.cli.parser import get_main_parser

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return get_main_parser().parse_args(arguments)
        except (Exception, SystemExit):
            return None


def _sweep(overrides: list[str]) -> list[list[str]]:
    """The overrides of each experiment: `a=1,2` gives two."""
    from dvc.utils.hydra import get_hydra_sweeps

    if not overrides:
        return [[]]
    try:
        return [sweep[str(PARAMS)] for sweep in get_hydra_sweeps({str(PARAMS): overrides})]
    except Exception as error:  # from Hydra's parser, or from DVC
        raise ParamsError(f"-S {' -S '.join(overrides)}: {_reason(error)}") from None


def _check(overrides: list[str], hydra: bool) -> None:
    from dvc.config import Config
    from dvc.utils.hydra import apply_overrides, compose_and_dump

    settings = Config.from_cwd().get("hydra", {})
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / PARAMS
        try:
            if hydra and settings.get("enabled"):
                compose_and_dump(
                    made,
                    str(Path(settings.get("config_dir", "conf")).absolute()),
                    settings.get("config_module"),
                    settings.get("config_name", "config"),
                    str(Path(settings.get("plugins_path", "")).absolute()),
                    overrides,
                )
            else:
                made.write_bytes(PARAMS.read_bytes())
                apply_overrides(made, overrides)
        except Exception as error:
            load()  # reports errors in the file itself more clearly
            raise ParamsError(_reason(error)) from None
        raw = yaml_file.read(made)
    prerequisites.check(validate(raw))


def _reason(error: Exception) -> str:
    """The message of Hydra, also inside an error of DVC, on one line."""
    from dvc.exceptions import DvcException

    cause = error.__cause__ if isinstance(error, DvcException) and error.__cause__ else error
    lines = [line.strip() for line in str(cause).splitlines()]
    return "; ".join(line for line in lines if line).replace(".; ", ". ")
