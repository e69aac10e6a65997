"""A clone that was moved, renamed or copied: its environment names the place where it was made."""

import os
import re
import shlex
import shutil
from pathlib import Path

from pipeline.paths import replacing

ENVIRONMENT = Path(".venv")
# How pip begins a script: with the path of Python, or through a shell where no `#!` can hold it.
INTERPRETER = re.compile(
    rb"#!(?P<direct>/[^\n]*/bin/python[\d.]*)\n"
    rb"|#!/bin/sh\n'''exec' (?P<quoted>[^\n]*/bin/python[\d.]*['\"]?) \"\$0\" \"\$@\"\n' '''\n"
)
LONGEST = 127  # bytes that Linux has always read of such a line


def relocate(environment: Path = ENVIRONMENT) -> str | None:
    """Have the scripts of the environment name their Python where it is now; what was done."""
    folder = environment / "bin"
    # An environment of another place that is only linked to belongs to that place.
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
    return f"{environment} was made elsewhere: its scripts name this place now"


def _head(python: bytes) -> bytes:
    """The first lines of a script for this Python; a comment, or a string, to Python itself."""
    if len(python) + len("#!\n") <= LONGEST and not re.search(rb"\s", python):
        return b"#!" + python + b"\n"
    quoted = os.fsencode(shlex.quote(os.fsdecode(python)))
    return b"#!/bin/sh\n'''exec' " + quoted + b' "$0" "$@"\n' + b"' '''\n"


def _rewrite(script: Path, content: bytes) -> None:
    with replacing(script) as fresh:
        fresh.write_bytes(content)
        shutil.copymode(script, fresh)
