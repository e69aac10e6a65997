"""Repositories with made-up results: reports of several seeds, at commits and experiments."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.paths import write_json
from pipeline.results import Training
from tests.conftest import ROOT
from tests.pipeline.reporting import handmade
from tests.repository import run, save

yaml = YAML(typ="safe", pure=True)
PARAMS = {
    "profile": "default",
    "model_names": ["gpt"],
    "seeds": [0, 1, 2],
    "model": {"n_layer": 4},
    "gpt": {"task": "causal_lm", "data": {"text": "hamlet", "validation_fraction": 0.1}},
    "vit": {"task": "image_classification", "data": {"images": "mnist"}},
    "bert": {
        "task": "masked_lm",
        "data": {"text": "hamlet"},
        "objective": {"evaluation_masking": {"fraction": 0.15}, "masking": {"fraction": 0.4}},
    },
}
# Losses of three seeds, which many tests change.
LOSSES = (5.0, 5.1, 5.3)
Values = Mapping[str, Mapping[str, Sequence[float]]]  # of each model and metric, for each seed


def make(folder: Path) -> Path:
    """An empty repository with the targets."""
    folder.mkdir(exist_ok=True)
    run(folder, "git", "init", "-q")
    (folder / "reports").mkdir()
    (folder / "reports" / "targets.yaml").write_text((ROOT / "reports/targets.yaml").read_text())
    (folder / "dvc.yaml").write_text("stages: {}\n")
    save(folder, "No results")
    return folder


def write(
    folder: Path,
    values: Values | None = None,
    change: Mapping[str, Any] | None = None,
    flops: int = 10**12,
    weights: str = "",
    record: dict[str, Any] | None = None,
    **data: Any,
) -> dict[str, Any]:
    """Write params.yaml and reports in a folder; returns the parameters.

    values: by default gpt's losses. change: of parameters, by dotted key. weights: what makes the
    weights of the models different. record: of each training. data: changes of meta.json.
    """
    values = values or {"gpt": {"loss": LOSSES}}
    params = copy.deepcopy(PARAMS)
    params["seeds"] = list(range(len(next(iter(next(iter(values.values())).values())))))
    params["model_names"] = list(values)
    for key, value in (change or {}).items():
        *sections, last = key.split(".")
        place = params
        for section in sections:
            place = place[section]
        place[last] = value
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    results = {}
    for name, of_model in values.items():
        result = handmade.result(name, len(params["seeds"]))
        result.data |= data
        trainings = []
        for index, seed in enumerate(params["seeds"]):
            metrics = {metric: each[index] for metric, each in of_model.items()}
            metrics |= {"flops": flops, "weights_sha256": f"{name} {seed} {weights}{of_model}"}
            made: Training = result.trainings[index]
            trainings.append(
                replace(made, seed=seed, metrics=made.metrics | metrics, record=record)
            )
        results[name] = result = replace(result, trainings=trainings)
        write_json(
            {name: {metric: 0.0 for metric in of_model}}, folder / f"reports/{name}/metrics.json"
        )
        for file, table in (
            ("history", trainings[0].history), ("validation", trainings[0].evaluations),
        ):  # fmt: skip
            table.to_csv(folder / f"reports/{name}/{file}.csv", index=False)
    report = handmade.report(results, [])
    report.params = params
    write_json(report.content(), folder / "reports" / "metrics.json")
    return params


def commit(folder: Path, *arguments: Any, **settings: Any) -> str:
    """Write results, see `write`, and commit them; returns the commit."""
    write(folder, *arguments, **settings)
    save(folder, "Results")
    return run(folder, "git", "rev-parse", "HEAD").strip()


def experiment(folder: Path, name: str, *arguments: Any, **settings: Any) -> None:
    """Results as an experiment of HEAD, where DVC keeps them; the workspace stays as it is."""
    head = run(folder, "git", "rev-parse", "HEAD").strip()
    (folder / "name").write_text(name)
    made = commit(folder, *arguments, **settings)
    run(folder, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", made)
    run(folder, "git", "reset", "-q", "--hard", head)
