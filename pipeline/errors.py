"""Errors that a user can fix, shown as one message without a traceback."""

import errno
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from pipeline.wording import wrapped

FULL = (errno.ENOSPC, errno.EDQUOT)
# No permission, as in a read-only checkout; a folder, or not one.
UNUSABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR)


class UserError(Exception):
    """The message says what is wrong, where, and what is expected; exits with `exit_code`."""

    exit_code = 1


class ParamsError(UserError):
    """params.yaml is not valid; the message lists all errors with their paths."""

    exit_code = 2


@contextmanager
def as_user_errors() -> Iterator[None]:
    """Mistakes that `transformer` reports as a ValueError, as errors of the user.

    Raises:
        UserError: the code inside has raised a ValueError; the message is the same.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from None


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """A command that reports errors which a user can fix as a message and an exit code, without a
    traceback."""

    @functools.wraps(command)
    def checked(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            print_error(str(error))
            sys.exit(error.exit_code)
        except Exception as error:
            message = _advice(error)
            if message is None:
                raise
            print_error(message)
            sys.exit(1)

    return checked


def print_error(message: str, label: str = "error") -> None:
    """Print on standard error: wrapped on a terminal; unchanged elsewhere, for searching."""
    lines = f"{label}: {message}".splitlines()
    if sys.stderr.isatty():
        lines = [wrapped(line, len(line) - len(line.lstrip()) + 2) for line in lines]
    click.echo("\n".join(lines), err=True)


def _advice(error: Exception) -> str | None:
    """The message on a full disk, a file that cannot be used, or too little memory, in Python,
    NumPy or torch; None for other errors."""
    number, text = getattr(error, "errno", None), str(error)
    # safetensors reports a full disk only in its message.
    if number in FULL or "No space left on device" in text:
        return f"{error}: free some space, then run the same command again"
    if number in UNUSABLE and isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return f"not enough memory: {first_line(error)}; use a smaller model, batch or sequence"
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its repr if the message is empty."""
    return next(iter(str(error).strip().splitlines()), repr(error))
