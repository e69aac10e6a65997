"""The page: written from made-up results, and used in a headless Chromium."""

import socket
import threading

import pytest

from pipeline.comparison import experiments
from pipeline.comparison.comparing import compare
from pipeline.comparison.page import write
from pipeline.comparison.revisions import find
from tests.browser import evaluate, needs_browser
from tests.pipeline.comparison import handmade
from tests.pipeline.comparison.test_differences import record

BEFORE = {"gpt": {"loss": [5.0, 5.1, 5.3]}, "vit": {"accuracy": [0.5, 0.6, 0.7]}}
NAMES = ["HEAD", "larger", "smaller"]

# Reads the table, and waits until a picture is drawn.
HELPERS = """
const cells = () => [...document.querySelectorAll('#results tbody tr')].map(
  row => [...row.cells].map(cell => cell.textContent));
const head = title => [...document.querySelectorAll('#results th button')].find(
  button => button.textContent === title);
const wait = async condition => { while (!condition()) await new Promise(r => setTimeout(r, 50)); };
const drawn = () => document.querySelectorAll('#quality figure:first-child svg').length;
const strokes = () => [...document.querySelectorAll('#quality figure:first-child svg path')].map(
  path => path.getAttribute('aria-label') || '').filter(label => label.includes('kind'));
"""


@pytest.fixture
def page(repository):
    handmade.commit(repository, BEFORE, record=record())
    handmade.experiment(repository, "larger", {
        "gpt": {"loss": [4.0, 4.11, 4.32]}, "vit": {"accuracy": [0.5, 0.62, 0.69]},
    }, {"model.n_layer": 6}, flops=2 * 10**12, record=record())  # fmt: skip
    handmade.experiment(repository, "smaller", {
        "gpt": {"loss": [6.0, 6.11, 6.31]}, "vit": {"accuracy": [0.4, 0.55, 0.6]},
    }, {"model.n_layer": 2}, flops=10**11, record=record())  # fmt: skip
    file = repository / "page.html"
    write(compare([experiments.read(each) for each in find(tuple(NAMES))]), file)
    return file


def test_it_has_all_that_it_shows(page):
    text = page.read_text()
    assert "larger and smaller compared with HEAD</title>" in text
    assert "<!-- content -->" not in text and "<!-- vega -->" not in text
    assert "default-src 'none'" in text
    assert "Curves without bands" in text  # made-up experiments have no outputs in DVC's cache


@needs_browser
@pytest.mark.long
def test_the_table_sorts_and_filters(page, tmp_path):
    found = evaluate(page, HELPERS + """
        const result = {first: cells()};
        head('mean').click(); result.rising = cells();
        head('mean').click(); result.falling = cells();
        head('verdict').click(); result.verdicts = cells();
        const filter = document.getElementById('filter');
        const type = text => { filter.value = text; filter.dispatchEvent(new Event('input')); };
        type('gpt Better'); result.better = cells();
        type('nothing'); result.none = cells();
        type(''); result.again = cells();
        return result;
    """, tmp_path)  # fmt: skip

    def column(key, index):
        return [row[index] for row in found[key]]

    assert [row[:2] for row in found["first"]] == [
        [metric, name] for metric in ("gpt.loss", "vit.accuracy") for name in NAMES
    ]
    means = [float(mean) for mean in column("rising", 2)]
    assert means == sorted(means) and column("falling", 2) == column("rising", 2)[::-1]
    verdicts = column("verdicts", 7)
    told = [each for each in verdicts if each]
    assert told == sorted(told) and verdicts == [*told, "", ""]  # empty ones come last
    assert [row[:2] for row in found["better"]] == [["gpt.loss", "larger"]]
    assert found["none"] == [] and len(found["again"]) == 6


@needs_browser
@pytest.mark.long
def test_a_choice_of_experiments_holds_for_table_and_pictures(page, tmp_path):
    found = evaluate(page, HELPERS + """
        await wait(drawn); await wait(() => strokes().length === 3);
        document.querySelector('input[value=larger]').click();
        await wait(() => strokes().length === 2);
        const rest = {labels: strokes(), rows: cells().map(row => row[1])};
        document.querySelector('input[value=larger]').click();
        await wait(() => strokes().length === 3);
        return rest;
    """, tmp_path)  # fmt: skip
    assert not any("larger" in label for label in found["labels"])
    assert set(found["rows"]) == {"HEAD", "smaller"}


@needs_browser
@pytest.mark.long
def test_it_shows_what_differs(page, tmp_path):
    found = evaluate(page, """
        return [...document.querySelectorAll('#differs tr')].map(
          row => [...row.cells].map(cell => [cell.textContent, cell.className]));
    """, tmp_path)  # fmt: skip
    rows = {first[0]: rest for first, *rest in found}
    assert [name for name, _ in rows[""]] == NAMES
    assert rows["model.n_layer"] == [["4", ""], ["6", "changed"], ["2", "changed"]]


@needs_browser
@pytest.mark.long
def test_names_from_elsewhere_are_text(repository, tmp_path):
    """A name of a branch may be markup, and end a script."""
    name = "<img/src=x/onerror=document.title='gone'></script>"
    handmade.experiment(repository, "other", {"gpt": {"loss": [4.0, 4.11, 4.32]}},
                        {"gpt.data.text": name})  # fmt: skip
    file = repository / "page.html"
    write(compare([experiments.read(each) for each in find(())]), file)
    found = evaluate(file, HELPERS + """
        await wait(drawn);
        return [document.title, document.querySelectorAll('img').length,
                document.querySelector('#differs tbody tr').textContent];
    """, tmp_path)  # fmt: skip
    assert found == ["other compared with HEAD", 0, f"gpt.data.texthamlet{name}"]


@needs_browser
@pytest.mark.long
def test_nothing_is_loaded_from_anywhere(page, tmp_path):
    """Nothing is asked for, and the page's policy would refuse it."""
    asked = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen():
        while True:
            try:
                asked.append(server.accept())
            except OSError:  # closed
                return

    threading.Thread(target=listen, daemon=True).start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}"
    watch = (
        "<script>window.refused = []; addEventListener('securitypolicyviolation', "
        "event => refused.push(event.blockedURI));</script>"
    )
    found = evaluate(page, HELPERS + """
        await wait(drawn);
        const loaded = performance.getEntriesByType('resource').map(each => each.name);
        return {loaded, refused};
    """, tmp_path, watch)  # fmt: skip
    assert found == {"loaded": [], "refused": []}
    found = evaluate(page, f"""
        const image = document.body.appendChild(document.createElement('img'));
        image.src = '{address}/image';
        const failed = await fetch('{address}/data').catch(error => 'refused');
        await new Promise(r => setTimeout(r, 500));
        return [failed, refused.length];
    """, tmp_path, watch)  # fmt: skip
    server.close()
    assert found == ["refused", 2]
    assert asked == []
