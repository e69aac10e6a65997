"""The samples of an experiment, from its report: see `reporting.models.section`."""

import base64
from pathlib import PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline.comparison.experiments import Experiment
from pipeline.comparison.revisions import Revision
from pipeline.paths import REPORTS

REPORT = REPORTS / "metrics.md"
# A section begins with its title, the picture of the curves, the table of metrics, and a paragraph
# on the origin of each training.
TABLE, PARAGRAPH = "table_close", 3  # tokens: the end of a table; a paragraph has so many


def samples(experiment: Experiment) -> dict[str, str]:
    """For each model, the samples of its report as HTML, with pictures inside."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(experiment.revision.read(REPORT) or "")
    starts = [index for index, token in enumerate(tokens) if _is_title(token)]
    # The sections of the models come first, in their order.
    found = {}
    for (name, result), start, end in zip(
        experiment.models.items(), starts, starts[1:], strict=False
    ):
        table = [token.type for token in tokens[start:end]].index(TABLE)
        section = tokens[start + table + 1 + PARAGRAPH * len(result.trainings) : end]
        for token in section:
            for child in token.children or ():
                if child.type == "image":
                    child.attrs["src"] = _picture(experiment.revision, str(child.attrs["src"]))
        found[name] = markdown.renderer.render(section, markdown.options, {})
    return found


def _is_title(token: Token) -> bool:
    return token.type == "heading_open" and token.tag == "h2"


def _picture(revision: Revision, source: str) -> str:
    """The address of a picture with its content, or an empty one if the report has none."""
    content = revision.read_bytes(REPORTS / PurePosixPath(source))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}" if content else ""
