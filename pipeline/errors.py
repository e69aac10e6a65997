"""What a user can put right: shown as one message without a traceback."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class UserError(Exception):
    """Says what was wrong, where, and what would be right; the command exits with `exit_code`."""

    exit_code = 1


class ParamsError(UserError):
    """params.yaml is not valid; the message lists every error with its path."""

    exit_code = 2


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is that of memory at its end, as Python, NumPy and torch tell of it."""
    told = ("allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)


def is_full_disk(error: Exception) -> bool:
    """Whether an error is that of a full disk, also as safetensors tells of it."""
    return getattr(error, "errno", None) in FULL or "No space left on device" in str(error)


def is_forbidden(error: Exception) -> bool:
    """Whether an error is that of a file that may not be touched, as in a read-only checkout."""
    return isinstance(error, OSError) and error.errno in FORBIDDEN and error.filename is not None


def first_line(error: BaseException) -> str:
    """What an error says in one line, also where it says nothing."""
    return next(iter(str(error).strip().splitlines()), repr(error))
