"""A settings file of a Hugging Face folder: every key is read, known not to matter, or refused."""

import json
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


class Settings:
    """The keys of a JSON object in a file; of a file that is not there, none.

    Raises:
        UserError: the file is not JSON, or no object.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            values = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise UserError(f"{path}: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: expected a JSON object")
        self.values: dict[str, Any] = values
        self._taken: set[str] = set()

    def take(self, key: str, default: Any = None) -> Any:
        """The value of `key`; `default` is what transformers takes where it is not given."""
        self._taken.add(key)
        return self.values.get(key, default)

    def flag(self, key: str, default: bool | None) -> Any:
        """As `take`, of true or false; or null, where that is the default.

        Raises:
            UserError: it is neither.
        """
        value = self.take(key, default)
        if value is not default and not isinstance(value, bool):
            raise self.refusal(key, "expected true or false")
        return value

    def expect(self, key: str, *expected: Any) -> None:
        """Let `key` have no value but these, or null, or none.

        Raises:
            UserError: it has another one, which would not be honoured.
        """
        if self.take(key) not in (None, *expected):
            known = " or ".join(map(repr, expected))
            only = f"; only {known} is" if expected else ""
            raise self.refusal(key, f"not supported{only}")

    def refusal(self, key: str, right: str) -> UserError:
        """The error about a value that cannot be honoured; right: what could be."""
        return UserError(f"{self.path}: {key}: {self.values.get(key)!r}: {right}")

    def finish(self, without_effect: frozenset[str], changed: str = "the input") -> None:
        """To be called when all that is known has been taken; changed: by what is not known.

        Raises:
            UserError: a key is not known.
        """
        given = {key for key, value in self.values.items() if value is not None}
        unknown = sorted(given - self._taken - without_effect)
        if unknown:
            raise UserError(
                f"{self.path}: unknown keys, which might change {changed}: {', '.join(unknown)}"
            )
