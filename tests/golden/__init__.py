"""Golden curves: the expected first steps of each model with the default parameters.

On the CPU, in full precision, with one thread (so that the test passes on busy machines). Two
runs of a recipe on two machines differ only by the rounding of sums. As measured on one
CPU with the instruction sets AVX-512, AVX2 and SSE (BERT, GPT and ViT) and with one and two
threads (GPT and ViT), this is at most 2.2e-7 of any value at any step. The smallest changes of a
recipe that were tried differ by 1e-5 (exact GELU or tanh approximation, in GPT) and 8e-5 (the
same in ViT). TOLERANCE is between them.
"""

# ruff: noqa: E402  # portable numerics must be chosen before anything imports torch
from pipeline.training import numerics

numerics.choose("portable")

from pathlib import Path

import pandas as pd

from pipeline import params as parameters
from pipeline.curves import write_csv
from pipeline.params import Params
from pipeline.tasks.assembly import assemble
from pipeline.training.loop import NoCheckpoint
from pipeline.training.observer import Observer

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
STEPS = 8
TOLERANCE = 3e-6  # relative
# No accuracy: rounding may change one prediction, and then it jumps.
COLUMNS = ["step", "lr", "loss", "grad_norm", "delta_w"]  # as far as a task has them
ADVICE = """\
Run `./run python -m tests.golden` only if the change was meant to train something else: another
recipe, architecture, initialization, data set or random stream. Commit the new curves with that
change. After anything else (a refactoring, a new version of a package, another machine), this
is a bug, and the curves are right."""


def load() -> Params:
    """The parameters of params.yaml, with one CPU thread, for equal results everywhere."""
    content = parameters.load(ROOT / "params.yaml").content()
    content |= {"device": "cpu", "threads": 1}
    return parameters.validate(content)


def curve(params: Params, name: str, data: Path, steps: int = STEPS) -> pd.DataFrame:
    """The first steps of the model `name`, trained on the prepared data in the folder `data`."""
    training = assemble(params, name, params.seeds[0], data)
    trained = training.train(NoCheckpoint(), Observer(), steps)
    made = pd.DataFrame(trained.history.steps)
    return made[[column for column in COLUMNS if column in made]]


def read(name: str) -> pd.DataFrame:
    """The golden curve of the model `name`."""
    return pd.read_csv(FOLDER / f"{name}.csv")


def write(name: str, made: pd.DataFrame) -> None:
    """Save `made` as the golden curve of the model `name`."""
    write_csv(made.to_dict("records"), FOLDER / f"{name}.csv")


def difference(golden: pd.DataFrame, made: pd.DataFrame) -> str | None:
    """Where `made` first differs from the golden curve by more than TOLERANCE, or None."""
    golden = golden.head(len(made))
    relative = (made - golden).abs() / golden.abs()
    beyond = ~(relative <= TOLERANCE)  # also true for NaN
    if not beyond.to_numpy().any():
        return None
    row = beyond.any(axis=1).idxmax()
    column = beyond.loc[row].idxmax()
    return (
        f"{column} at step {int(golden['step'][row])} is {made[column][row]:.9g} instead of "
        f"{golden[column][row]:.9g}: a difference of {relative[column][row]:.2g} of it, where "
        f"rounding explains {TOLERANCE:g}"
    )
