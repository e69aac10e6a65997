"""Formats of numbers, counts and times."""

import pytest

from pipeline.wording import (
    WIDTH,
    counted,
    duration,
    listed,
    number,
    prefixed,
    significant,
    wrapped,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10, "10"),
        (48_000, "48,000"),
        (4.3, "4.3000"),
        (99.99996, "100.0"),
        (1234.56, "1,234.6"),
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
        (0.00003, "0.000030"),
        (-0.00098765, "-0.00099"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_shows_four_decimals_or_two_significant_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+0.5000"), (-0.5, "-0.5000"), (0.00001, "+0.000010"), (3, "+3")]
)
def test_a_difference_has_its_sign(value, text):
    assert number(value, "+") == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (285.4, 3, "285"),
        (1234.0, 3, "1,230"),
        (1.0, 3, "1"),
        (1.0004, 3, "1"),
        (2.75, 3, "2.75"),
        (12.0, 3, "12"),
        (0.0000314, 2, "0.000031"),
        (0.012345, 2, "0.012"),
        (9.996, 3, "10"),
        (0, 2, "0"),
    ],
)
def test_significant_digits_have_no_exponent(value, digits, text):
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999 "), (3.2e9, "3.2 G"), (999.9e9, "1 T"), (998e9, "998 G"), (5.75e15, "5.75 P")],
)
def test_large_numbers_have_prefixes_of_the_si(value, text):
    assert prefixed(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 steps"), (1, "1 step"), (2_000, "2,000 steps"), ("1", "1 step")]
)
def test_one_is_singular(count, text):
    assert counted(count, "step") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (42, "0:42"), (59.6, "1:00"), (725, "12:05"), (3765, "1:02:45")],
)
def test_a_duration_has_hours_only_where_it_needs_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_has_commas_and_one_and(words, text):
    assert listed(words) == text
    assert listed(words, "or") == text.replace("and", "or")


def test_long_text_fits_a_terminal_but_for_what_has_no_spaces():
    lines = wrapped("a word " * 30 + "x" * 100).splitlines()
    assert [len(line) <= WIDTH for line in lines] == [True] * (len(lines) - 1) + [False]
    assert lines[-1] == "  " + "x" * 100


def test_a_command_stays_on_one_line_and_what_follows_is_indented_as_asked():
    text = "      " + "a word " * 8 + "and `git checkout a1b2c3d4` and `dvc repro` there"
    first, second = wrapped(text, indent=8).splitlines()
    assert first == "      " + "a word " * 8 + "and"
    assert second == "        `git checkout a1b2c3d4` and `dvc repro` there"
