"""Whether data, model and figures belong together, as they do after `dvc repro`.

A stage run by hand, or a run that was stopped half-way, leaves a model of one preparation beside
the data of another. Their tokens and classes have the same numbers and other names, so that every
answer would be wrong without a sign of it. Each output therefore notes what it was made of.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline import records
from pipeline.errors import UserError
from pipeline.params import ImageData, TextData
from pipeline.paths import (
    CONFIG,
    WEIGHTS,
    data_dir,
    model_dir,
    prediction_dir,
    read_json,
    write_json,
)
from pipeline.yaml_file import flatten

DATA = "data"  # key of a model's config.json
MODEL = "model.json"  # beside the figures of a model


def fingerprints(data: Path) -> dict[str, str]:
    """SHA-256 of what a model learns of the prepared data in the folder `data`.

    Of a text the tokens and the tokenizer; of images the pixels, the names of the classes, and the
    mean and deviation that pixels are normalized with.
    """
    meta = read_json(data / "meta.json")
    if meta["kind"] == "text":
        tokenizer = records.sha256(data / "tokenizer.json")
        return {"text": meta["fingerprint"], "tokenizer": tokenizer}
    described = {"classes": meta["classes"], "normalization": [meta["mean"], meta["std"]]}
    digests = {
        what: hashlib.sha256(json.dumps(value).encode()).hexdigest()
        for what, value in described.items()
    }
    return {"images": meta["fingerprint"], **digests}


def check_data(name: str, wanted: TextData | ImageData) -> None:
    """Compare data/<name> with the parameters that it is to be prepared with.

    Raises:
        UserError: it was prepared with others.
    """
    meta = read_json(data_dir(name) / "meta.json")
    for key, value in wanted.model_dump().items():
        found = meta.get("source" if key in ("text", "images") else key)
        if found != value:
            raise UserError(
                f"{data_dir(name)} was prepared with {name}.data.{key} {found!r}, but params.yaml "
                f"has {value!r}: run `dvc repro prepare@{name}` first"
            )


def check_model(name: str, folder: Path) -> None:
    """Compare the data that the model in `folder` was trained on with data/<name>.

    Raises:
        UserError: they differ, or the model does not say what it was trained on.
    """
    noted = read_json(folder / CONFIG).get(DATA)
    if noted is None:
        raise UserError(
            f"{folder} does not say what it was trained on, since an earlier version of the "
            f"program made it: run `dvc repro train@{name}`"
        )
    found = fingerprints(data_dir(name))
    differing = [what for what in found if found[what] != noted.get(what)]
    if differing:
        raise UserError(
            f"{folder} was trained on other data than {data_dir(name)} holds now (not the same "
            f"{' and '.join(differing)}): run `dvc repro train@{name}` to make them match"
        )


def check_architecture(name: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare what a model is with what parameters and data ask for.

    found, wanted: configs, as `pipeline.models.build` takes them.

    Raises:
        UserError: they differ.
    """
    ours, theirs = flatten(found), flatten(wanted)
    for key in theirs:
        if ours.get(key) != theirs[key]:
            raise UserError(
                f"models/{name} is not the model that params.yaml describes: its {key} is "
                f"{ours.get(key)!r}, not {theirs[key]!r}: run `dvc repro train@{name}` first"
            )


def note_model(name: str, seed: int) -> None:
    """Note in predictions/<name> which weights the figures there are of."""
    weights = records.sha256(model_dir(name, seed) / WEIGHTS)
    write_json({"weights_sha256": weights}, prediction_dir(name, seed) / MODEL)


def check_figures(name: str, seed: int) -> None:
    """Compare the weights that predictions/<name> is of with those in models/<name>.

    Raises:
        UserError: they differ, or it does not say which they are.
    """
    folder, file = model_dir(name, seed), prediction_dir(name, seed) / MODEL
    noted = read_json(file)["weights_sha256"] if file.exists() else None
    if noted != records.sha256(folder / WEIGHTS):
        raise UserError(
            f"{file.parent} has the figures of another model than {folder}: run "
            f"`dvc repro evaluate@{name}` first"
        )
