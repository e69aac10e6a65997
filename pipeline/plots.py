"""DVC's plots on a page that needs no network."""

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
    # A closing tag inside of the script would end it.
    TEMPLATE.write_text(PAGE.format(script=script.replace("</script", "<\\/script")), "utf-8")
    command = ["dvc", "config", "--local", "plots.html_template", str(TEMPLATE.absolute())]
    subprocess.run(command, check=True)
