"""params.yaml: read and checked once, then passed as one object.

This module does not import torch, so that errors in params.yaml appear within two seconds.
"""

from __future__ import annotations

import copy
import difflib
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from pipeline import profiles, yaml_file
from pipeline.errors import ParamsError, UserError
from pipeline.parameters import SECTIONS
from pipeline.parameters.base import ArchitectureSection, ModelSection, Section, Seed
from pipeline.paths import PARAMS
from pipeline.yaml_file import flatten

SHARED = ("model", "train")  # sections whose keys a model's own section overrides
# Folders beside those of the models, in data/ and reports/.
RESERVED = ("own", "pictures", "record", "reference")
MODEL_NAME = r"[a-z][a-z0-9_]*"


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("one is listed twice, which would train the same model twice")
    return values


class Run(Section):
    """The keys at the top of params.yaml that are no section.

    models: the sections to run, in this order. seeds: each model is trained once for each.
    """

    profile: str = Field(pattern=profiles.NAME)
    models: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1_000), AfterValidator(_distinct)]
    threads: int = Field(gt=0, le=1_024)
    device: Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml.

    run: the keys at the top. sections: of all models, also those that are not run.
    """

    run: Run
    sections: dict[str, ModelSection]
    _content: dict[str, Any]

    @property
    def profile(self) -> str:
        """The name of the profile."""
        return self.run.profile

    @property
    def models(self) -> list[str]:
        """The models to run."""
        return self.run.models

    @property
    def seeds(self) -> list[int]:
        """The seeds of each model's trainings."""
        return self.run.seeds

    @property
    def threads(self) -> int:
        """The number of CPU threads."""
        return self.run.threads

    @property
    def device(self) -> str:
        """auto, cpu or cuda."""
        return self.run.device

    def section(self, name: str) -> Any:
        """The section of the model `name`, of its task's type.

        Raises:
            UserError: there is no such section.
        """
        if name not in self.sections:
            raise UserError(f"params.yaml has no model {_unknown(name, self.sections)}")
        return self.sections[name]

    def of_task(self, task: str) -> str:
        """The first model of a task: the first of those to run, if there is one.

        Raises:
            UserError: no model has this task.
        """
        names = [*self.models, *self.sections]
        found = next((name for name in names if self.sections[name].task == task), None)
        if found is None:
            raise UserError(f"params.yaml has no model with `task: {task}`")
        return found

    def content(self) -> dict[str, Any]:
        """The content of the file, as plain data that may be changed."""
        return copy.deepcopy(self._content)


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml, also against its profile.

    Raises:
        ParamsError: the file is missing, is not YAML, or has errors; the message lists all.
    """
    try:
        raw = yaml_file.read(path)
        if not isinstance(raw, dict):
            found = _kind(raw)
            raise UserError(f"{path}: expected a mapping of sections at the top, found {found}")
        misnamed = profiles.disagreements(flatten(raw), path.parent / profiles.FOLDER)
    except UserError as error:
        raise ParamsError(str(error)) from None
    return validate(raw, path, misnamed)


def names(path: Path = PARAMS) -> list[str]:
    """The models of params.yaml, without checking it; empty if it cannot be read."""
    try:
        raw = yaml_file.read(path)
    except UserError:
        return []
    return [key for key, value in raw.items() if isinstance(value, dict) and "task" in value]


def validate(raw: dict[str, Any], path: Path = PARAMS, more: Sequence[str] = ()) -> Params:
    """Check the parsed content of params.yaml; see `load`. more: errors found before."""
    errors = list(more)
    top = {key: raw[key] for key in raw if key in Run.model_fields}
    try:
        run = Run.model_validate(top)
    except ValidationError as failure:
        errors += [_describe(error, Run, _path(error["loc"])) for error in failure.errors()]
    for key in SHARED:
        if not isinstance(raw.get(key), dict):
            found = f"should be a section, found {_kind(raw[key])}" if key in raw else "missing"
            errors.append(f"{key}: {found}")
    sections: dict[str, ModelSection] = {}
    for key in raw:
        if key not in Run.model_fields and key not in SHARED:
            errors += _add_section(sections, raw, key)
    for name in raw["models"] if isinstance(raw.get("models"), list) else ():
        if name not in raw or name in Run.model_fields or name in SHARED:
            errors.append(f"models: no section {_unknown(name, _candidates(raw))}")
    if errors:
        errors = list(dict.fromkeys(errors))  # a shared key may be wrong for each model
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise ParamsError("\n".join([f"{path}: {count}", *(f"  {e}" for e in errors)]))
    return Params(run, sections, copy.deepcopy(raw))


def _add_section(sections: dict[str, ModelSection], raw: dict[str, Any], name: Any) -> list[str]:
    """Check the section of one model with the shared values below it, and add it; returns its
    errors."""
    own = raw[name]
    if not isinstance(own, dict) or "task" not in own:
        near = difflib.get_close_matches(str(name), [*Run.model_fields, *SHARED], n=1)
        hint = f"did you mean '{near[0]}'?" if near else "a model's section has a `task:`"
        return [f"{_path((name,))}: unknown key; {hint}"]
    if not isinstance(name, str) or not _is_name(name):
        return [f"{_path((name,))}: the name of a model should be lower-case letters, digits and "
                f"_, and none of {', '.join(RESERVED)}"]  # fmt: skip
    task = own["task"]
    if not isinstance(task, str) or task not in SECTIONS:
        return [f"{name}.task: no task {_unknown(task, SECTIONS)}"]
    kind, errors = SECTIONS[task], []
    merged = {key: value for key, value in own.items() if key != "name"}
    for key in SHARED:
        given = own.get(key, {})
        if not isinstance(given, dict):
            return [f"{name}.{key}: should be a section, found {_kind(given)}"]
        shared = raw.get(key)
        merged[key] = (shared if isinstance(shared, dict) else {}) | given
    body = ArchitectureSection.model_fields
    merged["architecture"] = {k: v for k, v in merged["model"].items() if k in body}
    merged["model"] = {k: v for k, v in merged["model"].items() if k not in body}
    where = partial(_where, name, raw)
    try:
        section = kind.model_validate(merged | {"name": name})
    except ValidationError as failure:
        for error in failure.errors():
            part, *rest = error["loc"]
            part = "model" if part == "architecture" else part
            path = where(part, *rest) if rest else f"{name}.{part}"
            errors.append(_describe(error, kind, path))
    else:
        errors += section.inconsistencies(where)
        sections[name] = section
    return errors


def _where(name: str, raw: dict[str, Any], part: str, *keys: Any) -> str:
    """The path of a key in params.yaml: in the model's own section, or in the shared one."""
    shared = raw.get(part) if part in SHARED else None
    known = isinstance(shared, dict) and keys[0] in {*shared, *ArchitectureSection.model_fields}
    return _path(
        (part, *keys) if known and keys[0] not in raw[name].get(part, {}) else (name, part, *keys)
    )


def _is_name(name: str) -> bool:
    return bool(re.fullmatch(MODEL_NAME, name)) and name not in RESERVED


def _candidates(raw: dict[str, Any]) -> list[str]:
    return [key for key in raw if key not in Run.model_fields and key not in SHARED]


def _unknown(name: Any, known: Any) -> str:
    near = difflib.get_close_matches(str(name), [str(each) for each in known], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(map(str, known))}"
    return f"{_SHORT.repr(name)}; {hint}"


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 100, 100


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"an integer of {value.bit_length()} bits"
    return f"{type(value).__name__} {_SHORT.repr(value)}"


def _path(location: Sequence[Any]) -> str:
    names = map(str, location)
    return ".".join(name if name.isprintable() else repr(name) for name in names)


def _describe(error: Any, kind: type[BaseModel], path: str) -> str:
    """A pydantic error as one line: path, what is wrong, what is expected.

    kind: the type of the outermost section, in which the error's location starts.
    """
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _known_keys(kind, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{path}: missing"
    message = error["msg"][0].lower() + error["msg"][1:]
    for word in ("input ", " after validation"):
        message = message.replace(word, "")
    return f"{path}: {message}, found {_kind(error['input'])}"


def _known_keys(kind: type[BaseModel], location: Sequence[Any]) -> list[str]:
    section: Any = kind
    for key in location:
        section = section.model_fields[key].annotation
    known = list(section.model_fields)
    if location == ("model",):
        known = [*ArchitectureSection.model_fields, *known]
    if not location and issubclass(kind, ModelSection):
        known = [key for key in known if key not in ("name", "architecture")]
    return known
