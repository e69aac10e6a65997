"""params.yaml: read and checked once, then passed as one object.

This module does not import torch, so that errors in params.yaml appear within two seconds.
"""

import copy
import difflib
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from pipeline import yaml_file
from pipeline.errors import ParamsError, UserError
from pipeline.parameters import SECTIONS
from pipeline.parameters.base import ARCHITECTURE, ModelSection, Section, Seed, Training
from pipeline.paths import PARAMS
from pipeline.yaml_file import merge

SHARED = ("model", "train")  # sections whose keys a model's own section overrides
# Folders beside those of the models, in data/ and reports/.
RESERVED = ("own", "pictures", "record", "reference")
PROFILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"  # a file name, and safe in a shell command
MODEL_NAME = r"[a-z][a-z0-9_]*"

Kind = TypeVar("Kind", bound=Section)


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("one is listed twice, which would train the same model twice")
    return values


class Params(Section):
    """The whole of params.yaml.

    model_names: the sections to run, in this order. seeds: each model is trained once for each.
    model, train: what all models share.
    sections: of all models, also those that are not run. raw: the content of the file.
    """

    profile: str = Field(pattern=PROFILE_NAME)
    model_names: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1_000), AfterValidator(_distinct)]
    threads: int = Field(gt=0, le=1_024)
    device: Literal["auto", "cpu", "cuda"]
    numerics: Literal["portable", "fast"] = "fast"  # reports from before this key have none
    model: dict[Any, Any]
    train: dict[Any, Any]
    sections: dict[str, ModelSection]
    raw: Any

    def section(self, name: str) -> ModelSection:
        """The section of the model `name`, of its task's type.

        Raises:
            UserError: there is no such section.
        """
        if name not in self.sections:
            raise UserError(f"params.yaml has no model {name!r}; {_hint(name, self.sections)}")
        return self.sections[name]

    def of_task(self, task: str) -> str:
        """The first model of a task: the first of those to run, if there is one.

        Raises:
            UserError: no model has this task.
        """
        names = [*self.model_names, *self.sections]
        found = next((name for name in names if self.sections[name].task == task), None)
        if found is None:
            raise UserError(f"params.yaml has no model with `task: {task}`")
        return found

    def content(self) -> dict[str, Any]:
        """The content of the file, as plain data that may be changed."""
        return copy.deepcopy(self.raw)


# The keys at the top that are not the section of a model.
TOP = [key for key in Params.model_fields if key not in ("sections", "raw")]


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing, is not YAML, or has errors; the message lists all.
    """
    try:
        raw = yaml_file.read(path)
        if not isinstance(raw, dict):
            raise UserError(f"{path}: expected a mapping of sections at the top, {_found(raw)}")
    except UserError as error:
        raise ParamsError(str(error)) from None
    return validate(raw, path)


def names(path: Path = PARAMS) -> list[str]:
    """The models of params.yaml, without checking it; empty if it cannot be read."""
    try:
        raw = yaml_file.read(path)
    except UserError:
        return []
    return [key for key, value in raw.items() if isinstance(value, dict) and "task" in value]


def validate(raw: dict[str, Any], path: Path = PARAMS) -> Params:
    """Check the parsed content of params.yaml. path: of the file, for messages.

    Raises:
        ParamsError: it has errors; the message lists all.
    """
    errors: list[str] = []
    models = [key for key in raw if key not in TOP]
    sections = {name: _section(raw, name, errors) for name in models}
    content = {key: raw[key] for key in TOP if key in raw}
    content |= {"sections": {k: v for k, v in sections.items() if v}, "raw": copy.deepcopy(raw)}
    params = _check(Params, content, lambda *keys: ".".join(map(str, keys)), errors)
    if isinstance(raw.get("model_names"), list):
        missing = [name for name in raw["model_names"] if name not in models]
        errors += [f"model_names: no section {name!r}; {_hint(name, models)}" for name in missing]
    if params and not errors:
        return params
    errors = list(dict.fromkeys(errors))  # a shared key may be wrong for each model
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    raise ParamsError("\n".join([f"{path}: {count}", *(f"  {error}" for error in errors)]))


def _section(raw: dict[str, Any], name: Any, errors: list[str]) -> ModelSection | None:
    """Check the section of one model, over the shared values. Adds to `errors`."""
    own = raw[name]
    if not isinstance(own, dict) or "task" not in own:
        near = difflib.get_close_matches(str(name), TOP, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "a model's section has a `task:`"
        errors.append(f"{name}: unknown key; {hint}")
    elif not re.fullmatch(MODEL_NAME, str(name)) or name in RESERVED:
        errors.append(
            f"{name}: the name of a model should be lower-case letters, digits and _, and none of "
            f"{', '.join(RESERVED)}"
        )
    elif own["task"] not in list(SECTIONS):
        errors.append(f"{name}.task: no task {own['task']!r}; {_hint(own['task'], SECTIONS)}")
    elif all(isinstance(raw.get(key), dict) for key in SHARED):
        place = partial(_place, raw, name)
        content = merge({key: raw[key] for key in SHARED}, own) | {"name": name}
        if section := _check(SECTIONS[own["task"]], content, place, errors):
            errors += [
                re.sub(r"`([\w.]+)`", lambda key: place(*key[1].split(".")), line)
                for line in section.inconsistencies()
            ]
            return section
    return None


def _place(raw: dict[str, Any], name: str, part: str, *keys: Any) -> str:
    """Where a key stands in params.yaml: in the model's own section, or in a shared one."""
    path = (part, *keys)
    shared = part in SHARED and keys and _is_shared(raw, part, keys[0])
    if not shared or keys[0] in raw[name].get(part, {}):
        path = (name, *path)
    return ".".join(map(str, path))


def _is_shared(raw: dict[str, Any], part: str, key: Any) -> bool:
    """Whether a key belongs in the shared section `part`: it is there, or all models need it and
    none has one of its own."""
    if key in raw[part] or key in ARCHITECTURE:
        return True
    models = [value for top, value in raw.items() if top not in TOP and isinstance(value, dict)]
    return key in Training.model_fields and not any(key in (m.get(part) or ()) for m in models)


def _check(
    kind: type[Kind], content: Any, place: Callable[..., str], errors: list[str]
) -> Kind | None:
    """A section of type `kind`, or None and its errors in `errors`.

    place: gives the path of a location in the section.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as failure:
        errors += [f"{place(*e['loc'])}: {_reason(e, kind)}" for e in failure.errors()]
        return None


def _reason(error: Any, kind: type[Section]) -> str:
    """What is wrong, and what is expected, of an error of pydantic in a section of type `kind`."""
    *parts, key = error["loc"]
    if error["type"] == "extra_forbidden":
        section: Any = kind
        for part in parts:
            section = section.model_fields[part].annotation
        return f"unknown key; {_hint(key, [k for k in section.model_fields if k != 'name'])}"
    if error["type"] == "missing":
        return "missing"
    if error["type"] in ("model_type", "dict_type"):
        return f"should be a section, {_found(error['input'])}"
    message = re.sub("^Input |^Value error, | after validation", "", error["msg"])
    return f"{message[0].lower()}{message[1:]}, {_found(error['input'])}"


def _hint(name: Any, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def _found(value: Any) -> str:
    return "found nothing" if value is None else f"found {type(value).__name__} {value!r:.100}"
