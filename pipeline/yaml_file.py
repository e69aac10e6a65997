"""Reads YAML as DVC does, safely from untrusted files."""

import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLWarning
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    ScalarEvent,
)
from ruamel.yaml.reader import ReaderError

from pipeline.errors import UserError

# Far above real files: params.yaml has 4 kB, 5 levels and about a hundred values.
MAX_BYTES, MAX_DEPTH, MAX_VALUES = 1_000_000, 20, 10_000


def read(path: Path) -> Any:
    """The content of a YAML file.

    It is YAML 1.2, as in DVC: `1e-05` is a number and `no` is a string. Tags create plain data
    only.

    Raises:
        UserError: the file cannot be read, is not YAML, or would exhaust memory.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes")
    try:
        _check_size(path, text)
        with warnings.catch_warnings():
            # For example a repeated anchor, whose value is ambiguous.
            warnings.simplefilter("error", YAMLWarning)
            return YAML(typ="safe", pure=True).load(text)
    except UserError:
        raise
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(f"{path}, line {line}: a character that YAML does not allow") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: {error.problem or error.context}") from None
    # ruamel does not catch errors of int(), float() and date(), nor failed asserts.
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{path}: not valid YAML: {reason[:300]}") from None


def _check_size(path: Path, text: str) -> None:
    """Reject files that are huge or endless when aliases are expanded ("billion laughs")."""
    sizes: dict[str, int] = {}  # number of values, by anchor
    open_: list[tuple[str | None, int]] = [(None, 0)]  # anchors and sizes of open collections
    for event in YAML(typ="safe", pure=True).parse(text):
        where = f"{path}, line {event.start_mark.line + 1}"
        if isinstance(event, CollectionStartEvent):
            open_.append((event.anchor, 1))
            if len(open_) > MAX_DEPTH:
                raise UserError(f"{where}: nested deeper than {MAX_DEPTH} levels")
            continue
        if isinstance(event, CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_):
                raise UserError(f"{where}: *{event.anchor} refers to a collection that contains it")
            anchor, size = None, sizes.get(event.anchor, 1)
        elif isinstance(event, ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor:
            sizes[anchor] = size
        parent, total = open_.pop()
        open_.append((parent, total + size))
        if total + size > MAX_VALUES:
            raise UserError(f"{where}: more than {MAX_VALUES:,} values with aliases expanded")


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
