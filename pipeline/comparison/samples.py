"""The samples of an experiment, from its report: see `reporting.models.section`."""

import base64
from pathlib import PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline.comparison.experiments import Experiment
from pipeline.comparison.revisions import Revision
from pipeline.paths import REPORTS

REPORT = REPORTS / "metrics.md"
# A section begins with its title, the picture of the curves and the table of metrics.
TABLE = "table_close"


def samples(experiment: Experiment) -> dict[str, str]:
    """For each model, what its report shows after the metrics, as HTML: where its trainings come
    from, and samples. Pictures are inside."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(experiment.revision.read(REPORT) or "")
    starts = [index for index, token in enumerate(tokens) if _is_title(token)]
    # The sections of the models come first, in their order.
    found = {}
    for name, start, end in zip(experiment.models, starts, starts[1:], strict=False):
        section = tokens[start:end]
        after = [token.type for token in section].index(TABLE) + 1
        for token in section[after:]:
            for child in token.children or ():
                if child.type == "image":
                    child.attrs["src"] = _picture(experiment.revision, str(child.attrs["src"]))
        found[name] = markdown.renderer.render(section[after:], markdown.options, {})
    return found


def _is_title(token: Token) -> bool:
    return token.type == "heading_open" and token.tag == "h2"


def _picture(revision: Revision, source: str) -> str:
    """The address of a picture with its content, or an empty one if the report has none."""
    content = revision.read_bytes(REPORTS / PurePosixPath(source))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}" if content else ""
