"""A grid, a list and random draws give the experiments that Hydra's notation says."""

import itertools
import math

import pytest

from pipeline.errors import UserError
from pipeline.sweeping.draws import drawn, grid, listed


def test_a_grid_is_the_product_in_order():
    layers, rates = (2, 4, 6), (0.1, 0.2)
    expected = [(f"a.b={n}", f"+c={lr}") for n, lr in itertools.product(layers, rates)]
    assert grid(["a.b=2,4,6", "+c=0.1,0.2"]) == expected
    assert grid(["a.b=range(2,7,2)", "+c=choice(0.1,0.2)"]) == expected
    assert grid(["seeds=[0,1]", "a=1"]) == [("seeds=[0,1]", "a=1")]


def test_a_list_has_a_grid_in_each_line(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("# first try\na=1,2 b='[0,1]'\n\n+profile=smoke  # quick\n")
    assert listed(file, ["c=3"]) == [
        ("a=1", "b=[0,1]", "c=3"), ("a=2", "b=[0,1]", "c=3"), ("+profile=smoke", "c=3"),
    ]  # fmt: skip


def test_draws_are_those_of_the_seed_and_go_on_with_more():
    given = ["a=1,2,3", "b=int(interval(1,9))", "c=tag(log,interval(0.001,1))", "d=interval(0,1)"]
    few, many = drawn(given, 5, seed=1), drawn(given, 300, seed=1)
    assert many[:5] == few
    assert drawn(given, 5, seed=2) != few
    a, b, c, d = zip(*many, strict=True)
    assert set(a) == {"a=1", "a=2", "a=3"}
    assert set(b) == {f"b={number}" for number in range(1, 10)}
    values = [[float(each.split("=")[1]) for each in column] for column in (c, d)]
    # A third of a log-uniform value lies in each decade; 300 draws, 5 standard deviations.
    decades = [math.floor(math.log10(value)) for value in values[0]]
    for decade in (-3, -2, -1):
        assert abs(decades.count(decade) / 300 - 1 / 3) < 5 * math.sqrt(2 / 9 / 300)
    assert abs(sum(values[1]) / 300 - 0.5) < 5 * math.sqrt(1 / 12 / 300)
    assert all(0.001 <= value <= 1 for value in values[0])


def test_what_cannot_be_drawn_is_told(tmp_path):
    with pytest.raises(UserError, match=r"--random 5: there are only 2 different"):
        drawn(["a=1,2"], 5, seed=0)
    with pytest.raises(UserError, match=r"-S a=interval\(0,1\): an interval needs .*--random"):
        grid(["a=interval(0,1)"])
    with pytest.raises(UserError, match="-S a=\\[1: "):
        grid(["a=[1"])
    with pytest.raises(UserError, match="-S a=\\[1: "):
        drawn(["a=[1"], 2, seed=0)
    with pytest.raises(UserError, match="a logarithm needs an interval above 0"):
        drawn(["a=tag(log,interval(0,1))"], 2, seed=0)
    file = tmp_path / "list.txt"
    file.write_text("a=1\nb='x\n")
    with pytest.raises(UserError, match=r"list.txt, line 2: No closing quotation"):
        listed(file, [])
    file.write_text("# nothing\n")
    with pytest.raises(UserError, match="no overrides"):
        listed(file, [])
