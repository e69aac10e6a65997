"""Exports a trained model for Hugging Face, with a page on how to use it."""

from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.views import view


def export(params: Params, name: str, folder: Path) -> str:
    """Write the trained model `name`, its tokenizer or image preprocessing, and a README.md with
    an example.

    Returns the name of its class in transformers.

    Raises:
        UserError: it is not trained, transformers does not support a part of it, or `folder` is
            not a new or empty folder.
    """
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(f"{folder} already exists: give a new or an empty folder")
        written, page = view(params.section(name).task).export(name, folder)
        (folder / "README.md").write_text(page, "utf-8")
    except ValueError as error:
        raise UserError(f"models/{name} cannot be exported: {error}") from None
    return written
