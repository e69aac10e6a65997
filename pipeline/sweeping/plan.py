"""What a sweep has to do: its experiments, the trainings that they share, and expected times."""

import itertools
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.overrides import composed
from pipeline.params import Params, validate
from pipeline.paths import PARAMS, REPORTS
from pipeline.running import durations
from pipeline.sweeping.copies import Snapshot, git
from pipeline.sweeping.draws import Overrides

# What an experiment writes into git.
WRITTEN = (str(PARAMS), "dvc.lock", str(REPORTS))


@dataclass(frozen=True)
class Training:
    """One training, which several experiments may need.

    recipe: identifies it: its code and parameters. experiment: the first one that needs it.
    made: whether this machine has trained it already. seconds: expected; None if nothing is known.
    """

    model: str
    seed: int
    recipe: str
    params: Params
    experiment: str
    made: bool
    seconds: float | None

    @property
    def title(self) -> str:
        """For people: 'gpt, seed 0'."""
        return f"{self.model}, seed {self.seed}"


@dataclass(frozen=True)
class Experiment:
    """One experiment of DVC.

    commit: of its result, if it is finished.
    """

    name: str
    overrides: Overrides
    params: Params
    trainings: tuple[str, ...]  # their recipes
    commit: str | None


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do.

    trainings: of the unfinished experiments, by their recipes. baseline: the commit that the
    experiments start from.
    """

    experiments: list[Experiment]
    trainings: dict[str, Training]
    baseline: str

    @property
    def waiting(self) -> list[Training]:
        """The trainings that are to be run."""
        return [each for each in self.trainings.values() if not each.made]


def plan(name: str, draws: list[Overrides], snapshot: Snapshot) -> Plan:
    """Check the experiments of a sweep, and find what is done already.

    An experiment is named by the sweep and a number. One with the same parameters and code that is
    finished keeps its number.

    Raises:
        ParamsError: the parameters of an experiment are not valid; the message names it.
    """
    finished = _finished(name, snapshot)
    known = durations.known()
    content: dict[str, tuple[Overrides, Params]] = {}
    for overrides in draws:  # different overrides may give the same parameters
        params = composed(list(overrides))
        content.setdefault(_key(params), (overrides, params))
    taken = {number for number, _ in finished.values()}
    free = (number for number in itertools.count(1) if number not in taken)
    experiments: list[Experiment] = []
    trainings: dict[str, Training] = {}
    for key, (overrides, params) in content.items():
        number, commit = finished.get(key) or (next(free), None)
        title = f"{name}-{number}"
        needed = {}
        for model in params.model_names:
            for seed in params.seeds:
                recipe = durations.recipe(params, model, seed)
                seconds = durations.expected(params, model, known)
                needed[recipe] = Training(
                    model, seed, recipe, params, title, recipe in known, seconds
                )
        experiments.append(Experiment(title, overrides, params, tuple(needed), commit))
        if not commit:
            trainings = trainings | {key: needed[key] for key in needed if key not in trainings}
    return Plan(experiments, trainings, snapshot.head)


def _finished(name: str, snapshot: Snapshot) -> dict[str, tuple[int, str]]:
    """Number and commit of the finished experiments of a sweep, by their parameters: those on the
    current commit with the code of the working tree."""
    found = {}
    for line in git("for-each-ref", "--format=%(objectname) %(refname)",
                    f"{snapshot.refs}/").splitlines():  # fmt: skip
        commit, ref = line.split(" ")
        number = re.fullmatch(rf"{re.escape(name)}-(\d+)", ref.rsplit("/", 1)[1])
        if number:
            others = [f":(exclude){path}" for path in WRITTEN]
            same = ["git", "diff", "--quiet", snapshot.tree, commit, "--", ".", *others]
            params = content_of(commit, PARAMS)
            key = _key(validate(params)) if subprocess.run(same).returncode == 0 else ref
            found[key] = (int(number[1]), commit)
    return found


def content_of(commit: str, path: Path) -> Any:
    """The content of a YAML or JSON file of a commit."""
    return yaml_file.parse(git("show", f"{commit}:{path}"), path)


def _key(params: Params) -> str:
    return json.dumps(params.content(), sort_keys=True, default=str)
