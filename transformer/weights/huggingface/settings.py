"""Reads the settings of a tokenizer, of image preprocessing or of generation; an unknown key that
might matter raises an error. `config.py` is for config.json, the settings of the model."""

import json
from pathlib import Path
from typing import Any


class Settings:
    """The keys of a JSON object in a file; none if the file is missing.

    Raises:
        ValueError: the file is not a JSON object.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            values = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise ValueError(f"{path}: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path}: expected a JSON object")
        self.values: dict[str, Any] = values
        self._taken: set[str] = set()

    def take(self, key: str, default: Any = None) -> Any:
        """The value of `key`; `default` is the default of transformers."""
        self._taken.add(key)
        return self.values.get(key, default)

    def flag(self, key: str, default: bool | None) -> Any:
        """True or false; or the default.

        Raises:
            ValueError: the value is something else.
        """
        value = self.take(key, default)
        if value is not default and not isinstance(value, bool):
            raise self.refusal(key, "expected true or false")
        return value

    def expect(self, key: str, *expected: Any) -> None:
        """Require that `key` is missing, null, or one of these values.

        Raises:
            ValueError: it has another value, which is not supported.
        """
        if self.take(key) not in (None, *expected):
            known = " or ".join(map(repr, expected))
            only = f"; expected {known}" if expected else ""
            raise self.refusal(key, f"not supported{only}")

    def refusal(self, key: str, right: str) -> ValueError:
        """The error for a value that is not supported; right: what is expected."""
        return ValueError(f"{self.path}: {key}: {self.values.get(key)!r}: {right}")

    def finish(self, without_effect: set[str], changed: str = "the input") -> None:
        """Check the remaining keys, after all known keys have been taken.

        changed: what an unknown key might change, for the message.

        Raises:
            ValueError: a key is unknown.
        """
        given = {key for key, value in self.values.items() if value is not None}
        unknown = sorted(given - self._taken - without_effect)
        if unknown:
            raise ValueError(
                f"{self.path}: unknown keys, which might change {changed}: {', '.join(unknown)}"
            )
