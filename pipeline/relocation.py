"""Repairs the environment of a clone that was moved, renamed or copied: it has absolute paths."""

import os
import re
import shlex
import shutil
from pathlib import Path

from pipeline.paths import replacing

ENVIRONMENT = Path(".venv")
# First lines of pip's scripts: the path of Python, or a shell command if `#!` cannot hold it.
INTERPRETER = re.compile(
    rb"#!(?P<direct>/[^\n]*/bin/python[\d.]*)\n"
    rb"|#!/bin/sh\n'''exec' (?P<quoted>[^\n]*/bin/python[\d.]*['\"]?) \"\$0\" \"\$@\"\n' '''\n"
)
LONGEST = 127  # bytes of a `#!` line that all versions of Linux read


def relocate(environment: Path = ENVIRONMENT) -> str | None:
    """Set the path of Python in the environment's scripts; returns a message if any changed."""
    folder = environment / "bin"
    # A linked environment belongs to another place.
    if not folder.is_dir() or folder.is_symlink() or environment.is_symlink():
        return None
    here = os.fsencode(folder.resolve() / "python")
    former = set()
    for script in folder.iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        head = INTERPRETER.match(content)
        if not head:
            continue
        named = head["direct"] or os.fsencode(shlex.split(os.fsdecode(head["quoted"]))[0])
        if os.path.dirname(named) != os.path.dirname(here):
            former.add(os.path.dirname(os.path.dirname(named)))
            _rewrite(script, _head(here) + content[head.end() :])
    if not former:
        return None
    for script in (*folder.glob("activate*"), environment / "pyvenv.cfg"):
        content = script.read_bytes()
        for place in former:
            content = content.replace(place, os.path.dirname(os.path.dirname(here)))
        _rewrite(script, content)
    return f"{environment} was moved: updated the paths in its scripts"


def _head(python: bytes) -> bytes:
    """The first lines of a script for this Python; Python sees a comment or a string."""
    if len(python) + len("#!\n") <= LONGEST and not re.search(rb"\s", python):
        return b"#!" + python + b"\n"
    quoted = os.fsencode(shlex.quote(os.fsdecode(python)))
    return b"#!/bin/sh\n'''exec' " + quoted + b' "$0" "$@"\n' + b"' '''\n"


def _rewrite(script: Path, content: bytes) -> None:
    with replacing(script) as fresh:
        fresh.write_bytes(content)
        shutil.copymode(script, fresh)
