"""Lets the scripts of the environment find Python beside them, so that a clone can be moved.

pip and venv write absolute paths. `./run` runs this file when a script has one: after the
installation, and after an update that adds scripts.
"""

import re
import sys
from pathlib import Path

# For the shell: run this file with the Python beside it. For Python: a string.
HEAD = """#!/bin/sh
'''exec' "$(dirname "$0")/python" "$0" "$@"
' '''
"""
# First lines of pip's scripts: the path of Python, or a shell command if `#!` cannot hold it.
FIRST = re.compile(r"#!(/bin/sh\n'''exec' .*\n' '''|/.*/bin/python.*)\n")
ACTIVATE = 'VIRTUAL_ENV="$(cd "$(dirname "${BASH_SOURCE:-$0}")/.." && pwd)"'  # bash and zsh

for script in Path(sys.prefix, "bin").iterdir():
    if script.is_symlink() or not script.is_file():
        continue
    content = script.read_bytes().decode("utf-8", "surrogateescape")
    if script.name == "activate":
        changed = re.sub(r"^( *)VIRTUAL_ENV=['\"]?/.*$", rf"\1{ACTIVATE}", content, flags=re.M)
    else:
        head = FIRST.match(content)
        changed = HEAD + content[head.end() :] if head else content
    if changed != content:
        script.write_bytes(changed.encode("utf-8", "surrogateescape"))
