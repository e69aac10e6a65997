"""Makes DVC's plots work without a network."""

import subprocess
from pathlib import Path

from pipeline.paths import replacing

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
    # Relative to .dvc, because DVC cannot write non-ASCII paths in some locales.
    name = str(TEMPLATE.relative_to(".dvc"))
    with replacing(TEMPLATE) as fresh:
        fresh.write_text(PAGE.format(script=vega()), "utf-8")
        # Before the page is there, because `run` skips this set-up if it exists.
        subprocess.run(["dvc", "config", "--local", "plots.html_template", name], check=True)


def vega() -> str:
    """Vega, Vega-Lite and vegaEmbed as a script inside a page."""
    import vl_convert

    # A closing tag inside the script would end it. The argument is optional.
    return vl_convert.javascript_bundle().replace("</script", "<\\/script")  # type: ignore[call-arg]
