"""An altered checkpoint is refused or gives the same state; its code never runs."""

import os
import pickle
import random

import pytest
import torch

from pipeline.errors import UserError
from pipeline.running.checkpoint import Checkpoint


class Code:
    """Runs a command when it is unpickled without care."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.fixture
def checkpoint(project):
    with Checkpoint("gpt", "0123456789abcdef") as opened:
        yield opened


@pytest.fixture
def file(checkpoint):
    """The file of a saved state."""
    model = torch.nn.Linear(16, 16)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 16)).sum().backward()
    optimizer.step()
    checkpoint.save(
        {
            "step": 7,
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict()],
            "history": {"steps": [{"step": 7, "loss": 0.1}], "evaluations": []},
            "seconds": {"train": 1.5},
        }
    )
    (made,) = checkpoint.folder.glob("*.pt")
    return made


def flat(value):
    """A state as a flat list of values."""
    if isinstance(value, torch.Tensor):
        return [value.dtype, value.shape, *value.flatten().tolist()]
    if isinstance(value, dict):
        return [part for key, item in value.items() for part in (key, *flat(item))]
    return [part for item in value for part in flat(item)] if isinstance(value, list) else [value]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_an_altered_byte_is_never_taken_for_weights(checkpoint, file):
    """Without checksums, four in ten would be: torch does not verify them."""
    sound, state = file.read_bytes(), flat(checkpoint.load())
    rng = random.Random(0)
    refused = same = 0
    for _ in range(400):
        altered = bytearray(sound)
        altered[rng.randrange(len(sound))] ^= 1 << rng.randrange(8)
        file.write_bytes(altered)
        try:
            assert flat(checkpoint.load()) == state
            same += 1
        except UserError as error:
            assert f"{file}: not a checkpoint of this program: " in str(error)
            refused += 1
    print(f"400 altered: {refused} refused, {same} the same (padding, names in the archive)")
    assert refused > 150


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_checkpoint_cut_off_is_refused(checkpoint, file, share):
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(UserError, match=r"\.pt: not a checkpoint of this program: .+\nRemove"):
        checkpoint.load()


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle"])
def test_a_checkpoint_that_carries_code_is_refused_and_runs_none(checkpoint, file, project, form):
    state = {"step": 7, "model": Code()}
    if form == "pickle":
        file.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, file, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(UserError, match=r"\.pt: not a checkpoint of this program"):
        checkpoint.load()
    assert not (project / "hacked").exists()
    if form != "old torch":  # the code really runs with an unsafe load
        if form == "pickle":
            pickle.loads(file.read_bytes())
        else:
            torch.load(file, weights_only=False)
        assert (project / "hacked").exists()
