"""How long the page of `compare` takes to write and to open: ten experiments of three models.

    ./run python -m benchmarks.comparison

Writes comparison.md. The experiments are made up from the committed report: its samples, pictures
and curves for three seeds, with noise. The page is opened in a headless Chromium, which tells when
it has drawn what is seen first, and all pictures after scrolling to the end.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from pipeline import yaml_file
from pipeline.comparison import experiments
from pipeline.comparison.comparing import compare
from pipeline.comparison.page import write
from pipeline.comparison.revisions import find
from pipeline.curves import COUNTED, EVALUATIONS, STEPS
from pipeline.paths import PARAMS, REPORTS, model_dir, write_json
from pipeline.running import records
from tests.browser import PROGRAM
from tests.repository import run, save

MODELS, SEEDS = ("bert", "gpt", "vit"), 3
REPORT = REPORTS / "metrics.json"
# Tells the milliseconds since the navigation began, twice.
PROBE = """<script>
const frame = () => new Promise(requestAnimationFrame);
const drawn = () => [...document.querySelectorAll('.chart')].filter(c => c.querySelector('svg'));
const tell = (name, more) => fetch(`ADDRESS?name=${name}&ms=${performance.now()}${more}`,
  { mode: 'no-cors' });
(async () => {
  const charts = document.querySelectorAll('.chart');
  const seen = () => [...charts].filter(c => c.getBoundingClientRect().top < innerHeight);
  await frame();
  while (!seen().every(c => c.querySelector('svg'))) await frame();
  await frame();
  await tell('seen', `&charts=${seen().length}`);
  for (const chart of charts) { chart.scrollIntoView(); await frame(); await frame(); }
  while (drawn().length < charts.length) await frame();
  await frame();
  await tell('all', `&charts=${charts.length}`);
})();
</script>"""


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=10)
    parser.add_argument("--times", type=int, default=5, help="how often the page is opened")
    arguments = parser.parse_args()
    if PROGRAM is None:
        raise SystemExit("there is no Chromium here")
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        run(Path.cwd(), "git", "clone", "-q", str(Path.cwd()), str(project))
        os.chdir(project)
        make(project, arguments.experiments)
        page = Path(temporary) / "page.html"
        began = time.perf_counter()
        write(compare([experiments.read(each) for each in find(())]), page)
        written = time.perf_counter() - began
        opened = [open_page(page, Path(temporary)) for _ in range(arguments.times)]
        text = report(arguments, written, page.stat().st_size, opened)
    Path(__file__).with_name("comparison.md").write_text(text, "utf-8")
    print(text)


def make(project: Path, count: int) -> None:
    """Experiments of HEAD with the results of all seeds; the first is HEAD itself."""
    (project / "dvc.yaml").write_text("stages: {}\n")  # else models cannot be in git
    (project / ".gitignore").unlink()
    head, committed = "", (project / REPORT).read_text("utf-8")
    for number in range(count):
        rng = np.random.default_rng(number)
        content, params = json.loads(committed), yaml_file.read(PARAMS)
        for each in (content["params"], params):
            each["model"]["n_layer"] = 2 + number
            each["model_names"], each["seeds"] = list(MODELS), list(range(SEEDS))
        PARAMS.write_text(yaml_file.text(params), "utf-8")
        content["models"] = {name: content["models"][name] for name in MODELS}
        content["verdicts"] = [each for each in content["verdicts"] if each["model"] in MODELS]
        for name, result in content["models"].items():
            (given,) = result["trainings"]
            result["trainings"] = [train(name, seed, given, rng) for seed in range(SEEDS)]
        write_json(content, REPORT)
        save(project, "Results")
        made = run(project, "git", "rev-parse", "HEAD").strip()
        if number == 0:
            head = made
        else:
            reference = f"refs/exps/{head[:2]}/{head[2:]}/layers-{2 + number}"
            run(project, "git", "update-ref", reference, made)
            run(project, "git", "reset", "-q", "--hard", head)


def train(name: str, seed: int, given: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A training like a given one, with the curves of a model in its folder."""
    factor = rng.normal(1, 0.02)
    metrics = {
        key: value * factor if isinstance(value, float) else value
        for key, value in given["metrics"].items()
    } | {"weights_sha256": str(rng.random())}
    folder = model_dir(name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    for file in (STEPS, EVALUATIONS):
        table = pd.read_csv(REPORTS / name / file)
        noisy = [column for column in table if column not in COUNTED]
        table[noisy] *= rng.normal(factor, 0.01, table[noisy].shape)
        table.to_csv(folder / file, index=False)
    write_json({"weights_sha256": metrics["weights_sha256"]}, folder / "summary.json")
    return given | {"seed": seed, "metrics": metrics}


def open_page(page: Path, folder: Path) -> dict[str, tuple[float, int]]:
    """Seconds, and number of pictures, until the page tells `seen` and `all`."""
    told: dict[str, tuple[float, int]] = {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {key: value for key, (value,) in parse_qs(urlsplit(self.path).query).items()}
            told[query["name"]] = float(query["ms"]) / 1e3, int(query["charts"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.timeout = 10
        address = f"http://127.0.0.1:{server.server_port}/"
        probed = folder / "probed.html"
        # The page itself loads nothing; this one tells its times.
        text = page.read_text("utf-8").replace("default-src 'none'", "connect-src *")
        content, end, _ = text.rpartition("</html>")
        assert end
        probed.write_text(f"{content}{PROBE.replace('ADDRESS', address)}", "utf-8")
        with browser(probed, folder) as process:
            while "all" not in told:
                server.handle_request()
                if process.poll() is not None:
                    raise SystemExit("Chromium has ended before the page was drawn")
    return told


@contextmanager
def browser(page: Path, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Chromium that shows a page."""
    command = [
        str(PROGRAM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000",
        f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", page.as_uri(),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def report(
    arguments: argparse.Namespace,
    written: float,
    size: int,
    opened: list[dict[str, tuple[float, int]]],
) -> str:
    """The page."""
    machine = records.machine()
    version = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True).stdout
    rows = [f"| written: {size / 1e6:.1f} MB | | {written:.2f} |"]
    for name, what in (("seen", "opened: all is drawn that is seen first"),
                       ("all", "scrolled through: all pictures are drawn")):  # fmt: skip
        seconds = [each[name][0] for each in opened]
        spread = f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        rows.append(f"| {what} | {opened[0][name][1]} | {spread} |")
    return f"""# The page of `compare`

Written by `./run python -m benchmarks.comparison --experiments {arguments.experiments}`:
{arguments.experiments} experiments of {len(MODELS)} models with {SEEDS} seeds each, made up from
the committed report: its samples, pictures and curves, with noise. {version.split(" built")[0]},
headless, a window of 1280 x 1000; {machine["cores"]} cores ({machine["cpu"]}), load
{os.getloadavg()[0]:.1f}. Seconds since the navigation began, in a browser that runs already: median
(range) of {arguments.times} times. The page is read from the disk and loads nothing else.

| | pictures drawn | seconds |
| --- | ---: | ---: |
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    main()
