"""Checks that data, model and evaluation belong together, as they do after `dvc repro`.

After a stage run by hand, or a stopped run, a model may not match the prepared data. Token and
class numbers would then have other meanings, and every answer would be silently wrong. Therefore
each output records the fingerprints of its inputs.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.errors import UserError
from pipeline.parameters.base import ModelSection
from pipeline.params import Params
from pipeline.paths import CONFIG, WEIGHTS, data_dir, model_dir, prediction_dir, read_json, require
from pipeline.wording import listed
from pipeline.yaml_file import flatten

DATA = "data"  # key of a model's config.json
MODEL = "model.json"  # beside the evaluation of a model; has the SHA-256 of its weights


def fingerprints(data: Path) -> dict[str, str]:
    """SHA-256 of the prepared data in the folder `data` that a model depends on.

    The tensors, and what gives their numbers a meaning: the tokenizer of a text, the lists of names
    in meta.json, and the mean and standard deviation of normalized images.
    """
    meta = read_json(data / "meta.json")
    described = {key: value for key, value in meta.items() if _are_names(value)}
    if "mean" in meta:
        described["normalization"] = [meta["mean"], meta["std"]]
    digests = {
        what: hashlib.sha256(json.dumps(value).encode()).hexdigest()
        for what, value in described.items()
    }
    tokenizer = data / "tokenizer.json"
    if tokenizer.exists():
        digests["tokenizer"] = paths.sha256(tokenizer)
    return {meta["kind"]: meta["fingerprint"], **digests}


def _are_names(value: Any) -> bool:
    return bool(value) and isinstance(value, list) and all(isinstance(each, str) for each in value)


def check_data(name: str, section: ModelSection) -> dict[str, Any]:
    """Compare data/<name> with the parameters in the section of the model; returns its meta.json.

    Raises:
        UserError: it is not prepared, or was prepared with other parameters.
    """
    meta = read_json(require(data_dir(name), f"dvc repro prepare@{name}") / "meta.json")
    for key, value in section.data.model_dump().items():
        found = meta.get("source" if key == section.source else key)
        if found != value:
            raise UserError(
                f"{data_dir(name)} was prepared with {name}.data.{key} {found!r}, but params.yaml "
                f"has {value!r}: run `dvc repro prepare@{name}` first"
            )
    return meta


def check_model(name: str, folder: Path) -> None:
    """Compare the training data of the model in `folder` with data/<name>.

    Raises:
        UserError: they differ, or the model does not record its training data.
    """
    recorded = read_json(folder / CONFIG).get(DATA)
    if recorded is None:
        raise UserError(
            f"{folder} does not record its training data; an earlier version of the program made "
            f"it: run `{_again(folder)}`"
        )
    found = fingerprints(data_dir(name))
    differing = [what for what in found if found[what] != recorded.get(what)]
    if differing:
        raise UserError(
            f"{folder} was trained on other data than is now in {data_dir(name)} (different "
            f"{listed(differing)}): run `{_again(folder)}` to make them match"
        )


def _again(folder: Path) -> str:
    """The command that trains the model in `folder` again."""
    return f"dvc repro train@{folder.parent.name}-{folder.name.removeprefix('seed-')}"


def check_architecture(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare the configuration of a model with the one that parameters and data give.

    folder: of the model. found, wanted: configs of models.

    Raises:
        UserError: they differ.
    """
    ours, theirs = flatten(found), flatten(wanted)
    for key in theirs:
        if ours.get(key) != theirs[key]:
            raise UserError(
                f"{folder} does not match params.yaml: its {key} is {ours.get(key)!r}, not "
                f"{theirs[key]!r}: run `{_again(folder)}` first"
            )


def check_results(params: Params, name: str) -> None:
    """Check that the model `name` is trained and evaluated with all seeds, on its data of now.

    Raises:
        UserError: it is not, or data, models and evaluations do not belong together.
    """
    check_data(name, params.section(name))
    for seed in params.seeds:
        check_model(name, require(model_dir(name, seed), f"dvc repro train@{name}-{seed}"))
        require(prediction_dir(name, seed), f"dvc repro evaluate@{name}-{seed}")
        check_evaluation(name, seed)


def check_evaluation(name: str, seed: int) -> None:
    """Compare the weights recorded in predictions/<name> with those in models/<name>.

    Raises:
        UserError: they differ, or none are recorded.
    """
    folder, file = model_dir(name, seed), prediction_dir(name, seed) / MODEL
    recorded = read_json(file)["weights_sha256"] if file.exists() else None
    if recorded != paths.sha256(folder / WEIGHTS):
        raise UserError(
            f"{file.parent} is the evaluation of another model than {folder}: run "
            f"`dvc repro evaluate@{name}-{seed}` first"
        )
