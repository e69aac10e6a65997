"""The committed results of the reference agree with its write-up."""

import pandas as pd
import pytest

from pipeline.curves import UNITS
from pipeline.errors import UserError
from pipeline.reporting import targets
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_values_and_budgets_are_those_that_were_published():
    found = targets.load()
    values = {name: [t.value for t in each.targets] for name, each in found.items()}
    assert values == {
        "bert": [4.3],
        "gpt": [0.2291, 7.0340],
        "vit": [1.1145, 0.2734, 1.0538, 0.5417],
    }
    assert found["bert"].cost.units("tokens") == 10_000 * 1024 * 20
    assert found["gpt"].cost.units("tokens") == 500 * 32 * 64
    assert found["vit"].cost.units("images") == 42 * 225


def test_curves_cover_what_was_logged():
    bert, gpt, vit = (targets.curve(name) for name in ("bert", "gpt", "vit"))
    assert bert["step"].tolist() == list(range(9000, 10_000, 10))
    assert gpt["step"].tolist() == list(range(400, 500))
    assert vit["epoch"].tolist() == list(range(20, 43))
    assert set(vit["test_accuracy"]) == {0.1979, 0.2604, 0.5417}
    last = vit.iloc[-1]
    expected = {t.name: t.value for t in targets.load()["vit"].targets}
    assert last["train_loss"] == expected["training loss"]
    assert last["test_loss"] == expected["test loss"]
    assert not pd.concat([bert, gpt, vit]).drop(columns=["delta_w"]).isna().all(axis=1).any()


def test_curves_say_how_much_was_seen_as_the_budgets_do():
    for name, step in (("bert", "step"), ("gpt", "step"), ("vit", "epoch")):
        curve, cost = targets.curve(name), targets.load()[name].cost
        unit = "images" if name == "vit" else "tokens"
        steps = curve[step] * (8 if name == "vit" else 1)  # batches in an epoch
        assert (curve[unit] * cost.steps == steps * cost.units(unit)).all(), name


@pytest.mark.parametrize("unit", UNITS)
def test_a_cost_may_be_in_the_unit_of_any_task(tmp_path, unit):
    file = tmp_path / "targets.yaml"
    file.write_text(targets.FILE.read_text().replace("tokens: 1024000", f"{unit}: 1024000"))
    assert targets.load(file)["gpt"].cost.units(unit) == 1_024_000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value: 4.3", "value: low", "targets.0.value: Input should be a valid number"),
        ("better: lower", "beter: lower", "targets.0.better: Field required"),
        ("    tokens: 204800000", "    pages: 204800000", "or words, not pages"),
        ("    tokens: 204800000", "    tokens: many", "cost.tokens: Input should be a valid int"),
        ("    images: 9450", "    tokens: 1\n    images: 9450", "or words, not tokens and images"),
        ("    images: 9450   #", "    #", "one of tokens, images or words, not none of them"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, old, new, message):
    text = targets.FILE.read_text()
    assert old in text
    file = tmp_path / "targets.yaml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        targets.load(file)
