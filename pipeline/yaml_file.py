"""Reads YAML as DVC does."""

import io
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLWarning

from pipeline.errors import UserError


def read(path: Path) -> Any:
    """The content of a YAML file.

    It is YAML 1.2, as in DVC: `1e-05` is a number and `no` is a string. Tags create plain data
    only.

    Raises:
        UserError: the file cannot be read, or is not YAML.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Any:
    """The content of a YAML text; see `read`.

    path: where it is from, for messages.

    Raises:
        UserError: it is not YAML.
    """
    try:
        with warnings.catch_warnings():
            # For example a repeated anchor, whose value is ambiguous.
            warnings.simplefilter("error", YAMLWarning)
            return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: {error.problem or error.context}") from None
    # A character that YAML does not allow; or errors of int(), float() and date(), and failed
    # asserts, which ruamel does not catch.
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{path}: not valid YAML: {reason[:300]}") from None


def text(content: Any) -> str:
    """Plain data as YAML 1.2."""
    written = io.StringIO()
    YAML(typ="safe", pure=True).dump(content, written)
    return written.getvalue()


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested sections, with the values of `over` in place of those of `under`."""
    both = [key for key in over if isinstance(over[key], dict) and isinstance(under.get(key), dict)]
    return {**under, **over, **{key: merge(under[key], over[key]) for key in both}}
