"""What decides the weights of a training, as dvc.yaml states it.

The deps and params of the stage `train`, and the params of `prepare`, are the one statement: DVC
trains again if they change, the checkpoint's identity is their hash, and MLflow gets these params.
"""

from functools import cache
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.params import SHARED, Params
from pipeline.yaml_file import flatten

ROOT = Path(__file__).parents[1]
MODEL = "${item.model}"


def code() -> list[Path]:
    """The files and folders of code that decide the weights."""
    return [ROOT / dep for dep in _stages()["train"]["deps"] if MODEL not in dep]


def files() -> list[Path]:
    """The files of that code, without those that .dvcignore leaves out."""
    lines = (ROOT / ".dvcignore").read_text("utf-8").splitlines()
    left_out = [ROOT / line[1:] for line in lines if line.startswith("/")]
    return [
        file
        for path in code()
        for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
        if not any(file.is_relative_to(each) for each in left_out)
    ]


def parameters(params: Params, name: str, seed: int) -> dict[str, Any]:
    """All parameters that decide one training of the model `name`, by their paths in
    `dvc exp show` and `-S`. Leaves out shared keys that the model's own section overrides.

    seed: of this training, as in `-S 'seeds=[<seed>]'`.
    """
    values = flatten(params.content())
    own = {key.removeprefix(f"{name}.") for key in values if key.startswith(f"{name}.")}
    tracked = [
        key.replace(MODEL, name)
        for stage in ("prepare", "train")
        for key in _stages()[stage]["params"]
    ]
    return {"seeds": [seed]} | {
        key: value
        for key, value in values.items()
        if any(key == each or key.startswith(f"{each}.") for each in tracked)
        and not (key.split(".")[0] in SHARED and key in own)
    }


@cache
def _stages() -> dict[str, Any]:
    return yaml_file.read(ROOT / "dvc.yaml")["stages"]
