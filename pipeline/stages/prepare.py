"""prepare: fetch and encode the data of a model, into data/<name>."""

import os
from importlib import import_module
from pathlib import Path

from pipeline.data.image_folders import is_litter
from pipeline.params import Params
from pipeline.paths import data_dir
from pipeline.wording import wrapped

OWN = Path("data") / "own"  # a dependency of the stage in dvc.yaml


def prepare(params: Params, name: str, folder: Path | None = None) -> None:
    """Fetch, verify, split and encode the data of the model `name`.

    folder: the output; data/<name> by default.

    Raises:
        UserError: the data cannot be used (see `encode` of the modules in `data`), or the
            old output cannot be removed.
    """
    section = params.section(name)
    given = Path(getattr(section.data, section.source))
    if os.path.exists(given) and not _is_watched(given):
        print(wrapped(f"note: DVC does not notice when {given} changes: it watches {OWN}, without "
                      "hidden files"))  # fmt: skip
    prepared = import_module(f"pipeline.data.{section.encoder}").prepare(section)
    prepared.write(folder or data_dir(name))
    for text in (prepared.meta["title"], prepared.amount):
        print(wrapped(f"{name}: {text}"))
    if prepared.advice:
        print(wrapped(f"note: {given}: {prepared.advice}"))


def _is_watched(path: Path) -> bool:
    """Whether DVC notices changes of a user's own data; see dvc.yaml and .dvcignore."""
    here = Path(os.path.relpath(path))
    return here.is_relative_to(OWN) and not is_litter(here.relative_to(OWN))
