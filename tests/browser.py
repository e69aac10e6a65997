"""Opens a page in a headless Chromium."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")


def evaluate(page: Path, script: str, folder: Path, before: str = "") -> Any:
    """The result of a script in a page.

    script: body of an asynchronous function, whose result is JSON. before: HTML that is added to
    the beginning of the page. folder: for the browser's files.
    """
    changed = folder / "changed.html"
    test = (
        f"<script>(async () => {{ {script} }})().catch(error => String(error)).then(result => {{"
        "const pre = document.body.appendChild(document.createElement('pre'));"
        "pre.id = 'tested'; pre.textContent = JSON.stringify(result); });</script>"
    )
    # Vega has tags in strings, too.
    head, title, body = page.read_text("utf-8").partition("</title>")
    content, end, _ = body.rpartition("</html>")
    assert title and end
    changed.write_text(f"{head}{title}{before}{content}{test}", "utf-8")
    command = [
        str(PROGRAM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
        "--run-all-compositor-stages-before-draw", "--dump-dom",
        changed.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    (found,) = re.findall(r'<pre id="tested">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(unescape(found))
