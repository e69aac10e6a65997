"""Errors that a user can fix, shown as one message without a traceback."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class UserError(Exception):
    """The message says what is wrong, where, and what is expected; exits with `exit_code`."""

    exit_code = 1


class ParamsError(UserError):
    """params.yaml is not valid; the message lists all errors with their paths."""

    exit_code = 2


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy or torch ran out of memory."""
    told = ("allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)


def is_full_disk(error: Exception) -> bool:
    """Whether the disk is full; safetensors reports this only in its message."""
    return getattr(error, "errno", None) in FULL or "No space left on device" in str(error)


def is_forbidden(error: Exception) -> bool:
    """Whether permission for a file is missing, as in a read-only checkout."""
    return isinstance(error, OSError) and error.errno in FORBIDDEN and error.filename is not None


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its repr if the message is empty."""
    return next(iter(str(error).strip().splitlines()), repr(error))
