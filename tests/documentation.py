"""The commands and snippets of the pages that users read, in the order in which they stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT

PAGES = ("README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md")),
         "data/own/README.md")  # fmt: skip
LANGUAGES = ("sh", "python", "text")
# Code in a line of text is a command where it begins with a program that these pages use.
PROGRAMS = "dvc|git|python|transformer-benchmark|source|eval|export"
COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:\./run|(?:{PROGRAMS}) .)")
# The same in the source of a page: a '|' in a table would cut a command off without a word.
SPAN = re.compile(rf"`({COMMAND.pattern}?[^`]*)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A shell command, or a snippet of Python, as it is printed."""

    page: str
    language: str
    text: str


def examples(page: str) -> list[Example]:
    """All of a page, those in its text and tables too."""
    return list(_examples(page, _parse(ROOT / page)))


def languages(page: str) -> set[str]:
    """Of the page's blocks of code; '' of one that names none."""
    blocks = (token for token in _parse(ROOT / page) if token.type in ("fence", "code_block"))
    return {token.info.strip() for token in blocks}


def commands_of_source(page: str) -> list[str]:
    """The commands between backticks in the page's source, outside of its blocks."""
    source = FENCE.sub("", (ROOT / page).read_text("utf-8"))
    return [" ".join(span[1].split()) for span in SPAN.finditer(source) if COMMAND.match(span[1])]


def _parse(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def _examples(page: str, tokens: list[Token]) -> Iterator[Example]:
    for token in tokens:
        if token.type == "code_inline" and COMMAND.match(token.content):
            yield Example(page, "sh", token.content)
        elif token.type == "fence" and token.info == "python":
            yield Example(page, "python", token.content)
        elif token.type == "fence" and token.info == "sh":
            # A line that ends in a backslash goes on in the next one.
            for line in token.content.replace("\\\n", " ").splitlines():
                if line.strip() and not line.startswith("#"):
                    yield Example(page, "sh", line)
        yield from _examples(page, token.children or [])
