"""Hundreds of changes of params.yaml: a clear error, or the values that DVC reads."""

import copy
import io
import random
import re
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import ParseError, load_yaml
from ruamel.yaml import YAML

from pipeline.errors import ParamsError
from pipeline.params import load
from pipeline.yaml_file import flatten

ROOT = Path(__file__).parents[2]
# As written in the file: types, signs, sizes, and pitfalls of YAML.
WRITTEN = r"""
0  -1  1  2  3  7  64  0.0  -0.0  0.5  1.0  1.5  -0.5  0.9999999999999999  1e-05  1e5  1E+5  -1e-3
1e400  .5  1.  1e309  1000000000  1000000000000  9223372036854775807  9223372036854775808  1e18
-9223372036854775809  5e-324  .inf  -.inf  .nan  .NaN  012  0o17  0o9  0x10  0xg  0b101  1_000
1__0  _1  1_  08  +1  -0  1:30  190:20:30  no  yes  on  off  No  NO  true  false  True  TRUE  y  n
~  null  Null  none  None  '1'  "1"  ''  ""  'no'  pre  post  cosine  muon  relu  word  hamlet  ../x
/etc/passwd  2001-01-01  2001-13-45  2001-01-01T99:99:99Z  []  [1]  [0.9]  {}  [[]]  [{}]  *a  <<:
|  >  @x  `x  %x  #x  $(touch/x)  ${HOME}  `id`  3;  1,5  1.000,5  1/2  50%  [1,2  {a:  -  ?  =  é
数  "\0"  "\e[31m"  "\ud800"  "\x"  "unended  a # b  &a 1  {<<: 1}  *shared  {<<: *shared}
!!int 3  !!int x  !!float 1  !!float x  !!str 1  !!bool x  !!null x  !foo 3  !!merge x  !!set {a}
!!python/object:os.system ls  !!python/object/apply:os.system [ls]  !!binary aGk=  !!omap [a: 1]
!!timestamp 2001-01-01  [0.9, 0.95]  [0.9, 1.0]  [0.9, 0.9, 0.9]  [0.9, no]  {a: 1}  {1: 2}
{[1]: 2}  {lr: 1}
"""
SCALARS = [*re.split(r"  |\n", WRITTEN), "9" * 5000, "x" * 5000, "{a: " * 300]
# Ways to write a number; YAML parsers disagree on some.
WHOLE = ["2", "+2", "02", "0x2", "0o2", "0b10", "2_0", "!!int '2'", "012", "2.0", "'2'", "2:00"]
REAL = ["1e-05", "1E-5", "1.0e-5", ".5", "5_0e-2", "!!float '0.5'", "0.50000000000000001", "1"]


def text_of(tree: dict[str, Any]) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def written_values(base: str, rng: random.Random) -> list[str]:
    """Replace each value of the file by each scalar."""
    lines = base.split("\n")
    keyed = [i for i, line in enumerate(lines) if ":" in line]
    made = []

    def put(i: int, scalar: str, head: list[str]) -> None:
        changed = lines.copy()
        changed[i] = changed[i].split(":")[0] + ": " + scalar
        made.append("\n".join(head + changed))

    for head in ([], ["%YAML 1.1", "---"]):
        rng.shuffle(keyed)
        for i, scalar in zip(keyed * 3, SCALARS, strict=False):
            put(i, scalar, head)
        for i in keyed:
            value = lines[i].split(":")[1].strip()
            if re.fullmatch(r"[\d.]+", value):
                for scalar in rng.sample(REAL if "." in value else WHOLE, 1 + (not head)):
                    put(i, scalar, head)
    return made


def moved_keys(tree: dict[str, Any], rng: random.Random, count: int) -> list[str]:
    """Keys that are missing, misspelt, moved or of another type; sections that are something
    else."""
    made = []
    for _ in range(count):
        changed = copy.deepcopy(tree)
        section = rng.choice(list(sections(changed)))
        key = rng.choice(list(section))
        value = section.pop(key)
        kind = rng.randrange(8)
        if kind == 1:
            section[key + rng.choice("sx_")] = value
        elif kind == 2:
            section[rng.choice([1, 1.5, True, None, "", "<<", "a.b"])] = value
        elif kind == 3:
            section[key] = [value]
        elif kind == 4:
            section[key] = {key: value}
        elif kind == 5:
            section[key] = None
        elif kind == 6:
            rng.choice(list(sections(changed)))[key] = value
        elif kind == 7:
            other = rng.choice(list(sections(changed)))
            section[key] = copy.deepcopy(other)
        made.append(text_of(changed))
    return made


def sections(tree: dict[str, Any]):
    yield tree
    for value in tree.values():
        if isinstance(value, dict) and value:
            yield from sections(value)


def edited_lines(base: str, rng: random.Random, count: int) -> list[str]:
    """Typing errors: lines repeated, deleted, indented, joined; characters added and deleted."""
    made = []
    for _ in range(count):
        lines = base.split("\n")
        i = rng.randrange(len(lines) - 1)
        kind = rng.randrange(8)
        if kind == 0:
            lines.insert(rng.randrange(len(lines)), lines[i])
        elif kind == 1:
            del lines[i]
        elif kind == 2:
            lines[i] = rng.choice(["\t", " ", "  ", "    ", "- ", "#", "\u00a0"]) + lines[i]
        elif kind == 3:
            lines[i] = lines[i].lstrip()
        elif kind == 4:
            lines[i : i + 2] = ["".join(lines[i : i + 2])]
        elif kind == 5:
            lines[i] += rng.choice(["\r", "\x00", "\x85", "\u2028", " #", "#", ":", " 1", "}"])
        else:
            at = rng.randrange(len(lines[i]) + 1)
            new = rng.choice("0123456789-+.,:;'\"[]{}&*!|>%@`~ \t\n#?_eE\x07\ufeff")
            lines[i] = lines[i][:at] + new + lines[i][at + (kind == 7) :]
        made.append("\n".join(lines))
    return made


@pytest.mark.long
def test_hundreds_of_changes_are_refused_in_words_or_taken_as_written(raw, tmp_path):
    rng = random.Random(0)
    base = text_of(raw)
    changes = written_values(base, rng) + moved_keys(raw, rng, 100) + edited_lines(base, rng, 150)
    file = tmp_path / "params.yaml"
    refused = taken = 0
    for number, text in enumerate(changes):
        file.write_text(text, encoding="utf-8", newline="")
        try:
            params = load(file)  # any other exception fails the test
        except ParamsError as error:
            refused += 1
            message = str(error)
            assert message.startswith(str(file)), (number, message)
            assert len(message) < 20_000, (number, message[:200])
            continue
        taken += 1
        ours = flatten(params.content())
        theirs = flatten(load_yaml(file))
        assert list(map(type_and_value, sorted_items(ours))) == [
            type_and_value((key, float(value) if is_float(ours, key, value) else value))
            for key, value in sorted_items(theirs)
        ], number
    print(f"{len(changes)} changes: {refused} refused, {taken} taken as DVC takes them")
    assert refused > 500
    assert taken > 100


def sorted_items(flat: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(flat.items())


def is_float(ours: dict[str, Any], key: str, value: Any) -> bool:
    """An integer for a float: the same value."""
    return type(value) is int and type(ours.get(key)) is float


def type_and_value(item: tuple[str, Any]) -> tuple[str, str, str]:
    key, value = item
    return key, type(value).__name__, repr(value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: &a 1\nthreads: &a 2\n", "found duplicate anchor 'a'"),
        ("seed: !!python/object/apply:os.system [touch hacked]", "line 1: could not determine"),
        ("%YAML 1.3\n---\nseed: 1", "not valid YAML: AssertionError: version minor part"),
        ("seed: " + "9" * 5000, "not valid YAML: ValueError: Exceeds the limit"),
        ("seed: 2001-13-45", "not valid YAML: ValueError: month must be in 1..12"),
        ("seed: 1\nx: \x00", "not valid YAML: ReaderError: unacceptable character #x0000"),
    ],
)
def test_a_file_made_to_do_harm_is_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "params.yaml"
    file.write_text(content)
    with pytest.raises(ParamsError, match=re.escape(message)) as caught:
        load(file)
    assert len(str(caught.value)) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_the_loader_of_this_test_is_dvcs_own(tmp_path):
    """DVC tracks the values of `load_yaml`, which distinguishes `1e-05` and `'1e-05'`."""
    file = tmp_path / "params.yaml"
    file.write_text("a: 1e-05\nb: no\nc: '1'\n")
    assert load_yaml(file) == {"a": 1e-05, "b": "no", "c": "1"}
    file.write_text("a: [")
    with pytest.raises(ParseError):
        load_yaml(file)
