"""Makes DVC's plots work without a network."""

import os
import subprocess
from pathlib import Path

TEMPLATE = Path(".dvc") / "tmp" / "plots.html"
PAGE = """<!DOCTYPE html>
<html>
<head>
    <meta charset="utf-8">
    <title>Plots</title>
    <script>{script}</script>
</head>
<body>
    {{plot_divs}}
</body>
</html>
"""


def make_offline() -> None:
    """Give DVC a page template that contains Vega; its default loads Vega from the network."""
    import vl_convert

    script = vl_convert.javascript_bundle()
    TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    fresh = TEMPLATE.with_name(f"{TEMPLATE.name}.{os.getpid()}")
    # A closing tag inside the script would end it.
    fresh.write_text(PAGE.format(script=script.replace("</script", "<\\/script")), "utf-8")
    # Relative to .dvc, because DVC cannot write non-ASCII paths in some locales.
    name = str(TEMPLATE.relative_to(".dvc"))
    subprocess.run(["dvc", "config", "--local", "plots.html_template", name], check=True)
    # Last, because `run` skips this set-up if the page exists.
    os.replace(fresh, TEMPLATE)
