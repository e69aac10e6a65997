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
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class UserError(Exception):
    """The message says what is wrong, where, and what is expected; exits with `exit_code`."""

    exit_code = 1


class ParamsError(UserError):
    """params.yaml is not valid; the message lists all errors with their paths."""

    exit_code = 2


@contextmanager
def as_user_errors() -> Iterator[None]:
    """Mistakes that `transformer` reports as a ValueError, as errors of the user."""
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
            if is_full_disk(error):
                message = f"{error}: free some space, then run the same command again"
            elif is_forbidden(error):
                message = f"{error.filename}: {error.strerror}"
            elif is_out_of_memory(error):
                advice = "use a smaller model, batch or sequence"
                message = f"not enough memory: {first_line(error)}; {advice}"
            else:
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


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy or torch ran out of memory."""
    messages = ("allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in messages)


def is_full_disk(error: Exception) -> bool:
    """Whether the disk is full; safetensors reports this only in its message."""
    return getattr(error, "errno", None) in FULL or "No space left on device" in str(error)


def is_forbidden(error: Exception) -> bool:
    """Whether permission for a file is missing, as in a read-only checkout."""
    return isinstance(error, OSError) and error.errno in FORBIDDEN and error.filename is not None


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its repr if the message is empty."""
    return next(iter(str(error).strip().splitlines()), repr(error))
