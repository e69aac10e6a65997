"""DVC's plots on a page that needs no network."""

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
    """Have this clone's DVC use a page with Vega in it; DVC's own loads it from the network."""
    import vl_convert

    script = vl_convert.javascript_bundle()
    TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    fresh = TEMPLATE.with_name(f"{TEMPLATE.name}.{os.getpid()}")
    # A closing tag inside of the script would end it.
    fresh.write_text(PAGE.format(script=script.replace("</script", "<\\/script")), "utf-8")
    # Relative to .dvc: DVC fails to write a path with an ä in some locales.
    name = str(TEMPLATE.relative_to(".dvc"))
    subprocess.run(["dvc", "config", "--local", "plots.html_template", name], check=True)
    # Last, since `run` takes the page for a sign that all of this was done.
    os.replace(fresh, TEMPLATE)
