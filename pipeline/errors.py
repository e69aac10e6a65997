"""What a user can put right: shown as one message without a traceback."""


class UserError(Exception):
    """Says what was wrong, where, and what would be right; the command exits with `exit_code`."""

    exit_code = 1


class ParamsError(UserError):
    """params.yaml is not valid; the message lists every error with its path."""

    exit_code = 2
