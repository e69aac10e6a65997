import re

import pytest
from markdown_it import MarkdownIt

from pipeline.comparison import experiments, tables
from pipeline.comparison.comparing import compare
from pipeline.comparison.revisions import find
from pipeline.wording import WIDTH
from tests.pipeline.comparison import handmade

BEFORE = {"gpt": {"loss": [5.0, 5.1, 5.3], "perplexity": [1234.5, 1300, 1250.25]},
          "vit": {"accuracy": [0.5, 0.6, 0.7]}}  # fmt: skip
AFTER = {"gpt": {"loss": [4.01, 4.1, 4.3], "perplexity": [1234.6, 1299, 1251]},
         "vit": {"accuracy": [0.5, 0.65, 0.7]}}  # fmt: skip


def compared():
    return compare([experiments.read(each) for each in find(())])


@pytest.fixture
def comparison(repository):
    handmade.commit(repository, BEFORE)
    handmade.experiment(repository, "six-layers", AFTER, {"model.n_layer": 6}, flops=2 * 10**12)
    handmade.experiment(
        repository, "an-experiment-with-a-long-name-for-its-text", AFTER,
        {"gpt.data.text": "shakespeare"},
    )  # fmt: skip
    handmade.experiment(repository, "alone", {"gpt": {"loss": [1.0], "perplexity": [3.0]}})
    return compared()


def paragraph(text, start):
    """The lines from one that begins with `start` to an empty one or the end of its list."""
    lines = text[text.index(start) :].splitlines()
    following = (i for i, line in enumerate(lines[1:], 1) if not line.startswith("  "))
    return " ".join(line.strip() for line in lines[: next(following, None)])


def test_the_terminal_has_80_columns(comparison):
    lines = tables.text(comparison).splitlines()
    assert max(map(len, lines)) <= WIDTH
    rows = [line.split() for line in lines if line.startswith(("* ", "  "))]
    assert ["six-layers", "4.1367", "0.15", "3", "-0.9967", "±", "0.014", "better"] in [
        [cell for cell in row if cell != "*"] for row in rows
    ]


def test_a_long_name_is_shortened_in_its_middle(comparison):
    (row, *_) = (line for line in tables.text(comparison).splitlines() if "…" in line)
    start, end = re.search(r"(\S+)…(\S+)", row).groups()
    assert "an-experiment-with-a-long-name-for-its-text".startswith(start)
    assert "an-experiment-with-a-long-name-for-its-text".endswith(end)


def test_columns_are_aligned(comparison):
    lines = tables.text(comparison).splitlines()
    header = lines[1]
    end = header.index("difference") + len("difference")
    for line in lines[2:6]:
        assert len(line) <= end or line[end : end + 2] == "  "


def test_notes_say_how_words_were_found_and_what_would_settle_the_rest(comparison):
    text = tables.text(comparison)
    assert comparison.tested == 6
    assert "6 differences together (Holm's correction)" in paragraph(text, "Differences from HEAD")
    assert "with a power of 80%" in paragraph(text, "Seeds needed")
    assert re.search(r"six-layers +1,261\.5 +33 +3 of >1,000 ", text)
    assert re.search(r"six-layers +0\.6167 +0\.1 +3 of 40 ", text)
    assert paragraph(text, "In brackets") == (
        "In brackets, because not like for like: an-experiment-with-a-long-name-for-its-text: "
        "gpt.data.text is shakespeare, not hamlet."
    )
    assert "alone has no vit." in text
    assert "six-layers: model.n_layer=6, not 4." in text


def test_paired_and_welch_are_told_apart(repository):
    handmade.experiment(repository, "same", {"gpt": {"loss": [1, 1.1, 1.4]}})
    assert "interval, paired by seed." in " ".join(tables.text(compared()).split())
    handmade.experiment(repository, "more", {"gpt": {"loss": [1, 1.1, 1.3, 1.5]}})
    both = "paired by seed, or by Welch's t for other seeds."
    assert both in " ".join(tables.text(compared()).split())


def test_unchanged_models_take_one_line(repository):
    both = {"gpt": {"loss": [5.0, 6.0]}, "vit": {"accuracy": [0.5, 0.6]}}
    handmade.commit(repository, both)
    handmade.experiment(repository, "other", both | {"gpt": {"loss": [5.0, 6.1]}})
    text = tables.text(compared())
    assert "The same weights in all experiments: vit." in text
    assert text.count("vit") == 1


def test_markdown_has_the_same_rows(comparison):
    html = MarkdownIt("commonmark").enable("table").render(tables.markdown(comparison))
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall("(?s)<tr>.*?</tr>", html)]
    assert ["six-layers", "4.1367", "0.15", "3", "-0.9967 ± 0.014", "better"] in [
        [cell.removeprefix("* ") for cell in row] for row in rows
    ]
    assert html.count("<table>") == 3 + 2
    assert "<li>six-layers: model.n_layer=6, not 4.</li>" in html


def test_markdown_escapes_names(repository):
    handmade.experiment(repository, "a_b_c", {"gpt": {"loss": [5.0, 6.0, 6.5]}})
    html = MarkdownIt("commonmark").enable("table").render(tables.markdown(compared()))
    assert "a_b_c" in html and "<em>" not in html
