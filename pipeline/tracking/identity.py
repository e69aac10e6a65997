"""Identifies the MLflow run of a training: its id, name, tags and parameters."""

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline import deciding
from pipeline.params import SHARED, Params
from pipeline.reproduction import DEFAULT, Reproduction, reproduction
from pipeline.running import records

LONGEST = 24  # characters of a value in a name; a longer value is cut at its beginning
NAMED = 3  # changes in a name; it has the number of further ones


@dataclass(frozen=True)
class Identity:
    """The run of one training.

    training_id: made without MLflow; an interrupted training keeps it.
    begins: whether this stage sets tags, parameters and status of the run. Other stages set them
        only if they create the run.
    experiment: a row of `dvc exp show` that the run belongs to; it may belong to several.
    weights: SHA-256 of the trained model, if there is one already.
    started: milliseconds since 1970.
    """

    training_id: str
    name: str
    begins: bool
    tags: dict[str, str]
    params: dict[str, Any]
    experiment: str | None = None
    started: int = field(default_factory=lambda: int(time.time() * 1000))
    weights: str | None = None


def identity(
    stage: str,
    params: Params,
    model: str,
    seed: int,
    training_id: str,
    weights: str | None = None,
) -> Identity:
    """The run of the training of `model` with `seed`, for one of the stages that add to it."""
    again = reproduction(params)
    depends = deciding.parameters(params, model, seed)
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    experiment = os.environ.get("DVC_EXP_NAME")
    tags = {
        "stage": "train",
        "model": model,
        "seed": seed,
        "profile": again.label,
        "git_commit": records.git_commit(),
        "dvc_baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        "params_hash": digest.hexdigest()[:12],
    }
    return Identity(
        training_id,
        _name(again, model, seed, len(params.seeds) > 1, experiment),
        begins=stage == "train",
        tags={key: str(value) for key, value in tags.items() if value is not None},
        params=depends,
        experiment=experiment,
        weights=weights,
    )


def _name(again: Reproduction, model: str, seed: int, several: bool, experiment: str | None) -> str:
    """A name that distinguishes the run in tables and legends: 'gpt lr=0.01 · puffy-tune'.

    several: whether there are other seeds.
    """
    # Not the seed, which the name has separately.
    shown = ("threads", "device", "numerics", *SHARED, model)
    ours = [change for change in again.changes or () if _section(change) in shown]
    ours.sort(key=lambda change: _section(change) != model)  # the model's own section first
    changes = [_short(change) for change in ours[:NAMED]]
    if len(ours) > NAMED:
        changes.append(f"+{len(ours) - NAMED}")
    words = [model, *([] if again.profile == DEFAULT else [again.profile]), *changes]
    parts = [" ".join(words)]
    parts += [f"seed {seed}"] if several or seed else []
    commit = records.git_commit()
    where = experiment or (commit and commit[:7] + ("-dirty" if commit.endswith("-dirty") else ""))
    # These characters would end a string in an MLflow query.
    return re.sub(r"""['"`\\]""", "", " · ".join(parts + ([where] if where else [])))


def _section(change: str) -> str:
    """The first part of the key: 'gpt' of 'gpt.train.lr=0.01'."""
    return change.lstrip("+~").split("=")[0].split(".")[0]


def _short(change: str) -> str:
    """The last part of the key, and the value: 'lr=0.01' of 'gpt.train.lr=0.01'."""
    sign = "~" if change.startswith("~") else ""
    key, equals, value = change.lstrip("+~").partition("=")
    value = value if len(value) <= LONGEST else f"…{value[-LONGEST:]}"
    return f"{sign}{key.split('.')[-1]}{equals}{value}"
