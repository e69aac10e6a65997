"""Data cannot break out of the Markdown."""

from pipeline.markup import fenced, table


def test_cells_keep_to_themselves():
    text = table(["a", "b"], [["x | y", "<script>"], ["two\nlines", "`*_[]"]], "lr")
    lines = text.splitlines()
    assert lines[1] == "| --- | ---: |"
    assert lines[2] == r"| x \| y | \<script\> |"
    assert lines[3] == r"| two lines | \`\*\_\[\] |"


def test_a_fence_outlasts_its_content():
    assert fenced("a\n```\nb") == "````text\na\n```\nb\n````\n"
