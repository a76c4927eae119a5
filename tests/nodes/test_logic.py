"""Comparing values, and joining what is true and false."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.values import Document, Hit, Message
from support.kinds import call, find, ports_of

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def compare(a: Any, op: str, b: Any, **settings: Any) -> bool:
    result: bool = call("logic.compare", {"a": a, "op": op, "b": b, **settings})
    return result


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ("a", "a", True),
        ("2", 2, True),
        (2.0, " 2 ", True),
        ("1e3", 1000, True),
        ("two", 2, False),
        ("2", "2.0", False),
        (1, True, False),
        ("true", True, True),
        ("False", False, True),
        ("yes", True, False),
        (None, None, True),
        (None, "", False),
        (None, 0, False),
        ([1, "a"], [1.0, "a"], True),
        ([1], [True], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (Document("x", "t"), "x", True),
        (Message("user", "2"), 2, True),
        (Hit("x", 0.5), Document("x"), True),
    ],
)
def test_equality(a: Any, b: Any, wanted: bool) -> None:
    for left, right in ((a, b), (b, a)):
        assert compare(left, "=", right) is wanted
        assert compare(left, "!=", right) is not wanted


@pytest.mark.parametrize(
    ("a", "op", "b", "wanted"),
    [
        (1, "<", 2.5, True),
        ("10", "<", "9", True),
        ("10", "<", 9, False),
        (10, ">", "9", True),
        ("a", "<=", "a", True),
        ("b", ">=", "a", True),
        (3, ">=", 3, True),
        (3, "<=", 2, False),
    ],
)
def test_order(a: Any, op: str, b: Any, wanted: bool) -> None:
    assert compare(a, op, b) is wanted


@pytest.mark.parametrize(("a", "b"), [("two", 3), (None, 1), ([1], [2]), (True, False), ({}, {}), ("true", True)])
def test_what_has_no_order_says_so(a: Any, b: Any) -> None:
    for op in ("<", "<=", ">", ">="):
        with pytest.raises(InputError, match="have no order"):
            compare(a, op, b)


@given(NUMBERS, NUMBERS)
def test_numbers_compare_as_python_has_them(a: float, b: float) -> None:
    assert compare(a, "<", b) is (a < b)
    assert compare(a, ">=", b) is (a >= b)
    assert compare(a, "=", b) is (a == b)
    assert compare(str(a), "=", a) is True


@pytest.mark.parametrize(
    ("a", "op", "b", "wanted"),
    [
        ("The shuttle", "contains", "shut", True),
        ("The shuttle", "contains", "SHUT", False),
        ([1, "2"], "contains", 2, True),
        ({"a": 1}, "contains", "a", True),
        ("a", "in", ["a", "b"], True),
        ("c", "in", "abc", True),
        ("abc", "starts", "ab", True),
        ("abc", "ends", "ab", False),
        (2024, "starts", "20", True),
        ("born 1733", "matches", r"\b\d{4}\b", True),
        ("born", "matches", r"\d", False),
    ],
)
def test_looking_into_values(a: Any, op: str, b: Any, wanted: bool) -> None:
    assert compare(a, op, b) is wanted


@pytest.mark.parametrize(
    ("op", "a", "b", "each"),
    [
        (">", "list[number]", "number", {"a", "b"}),
        ("matches", "text", "text", {"a", "b"}),
        ("=", "list[text]", "text", {"a"}),
        ("!=", "text", "list[text]", {"b"}),
        ("=", "list[text]", "list[text]", set()),
        ("contains", "list[text]", "text", set()),
        ("in", "text", "list[text]", set()),
    ],
)
def test_which_lists_are_compared_item_by_item(op: str, a: str, b: str, each: set[str]) -> None:
    ports = ports_of(find("logic.compare"), {"op": op}, a=a, b=b).inputs
    assert {name for name in ("a", "b") if ports[name].maps == "always"} == each
    assert all(ports[name].about for name in ("a", "b"))


def test_case_can_be_ignored_everywhere() -> None:
    assert compare("Straße", "=", "STRASSE", ignore_case=True)
    assert compare(["A"], "contains", "a", ignore_case=True)
    assert compare("ABC", "starts", "ab", ignore_case=True)
    assert compare("ABC", "matches", "^abc$", ignore_case=True)
    assert compare(Document("ABC"), "=", "abc", ignore_case=True)


@pytest.mark.slow
def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match="Did you mean contains"):
        compare("a", "contain", "b")
    with pytest.raises(SettingError, match="not a regular expression"):
        compare("a", "matches", "(")
    with pytest.raises(SettingError, match="takes too long"):
        compare("a" * 50 + "b", "matches", "(a|a)*$")


@pytest.mark.parametrize(
    ("values", "every", "some"),
    [([], True, False), ([True], True, True), ([True, False], False, True), ([False], False, False)],
)
def test_and_or(values: list[bool], every: bool, some: bool) -> None:
    assert call("logic.and", {"values": values}) is every
    assert call("logic.or", {"values": values}) is some


def test_not() -> None:
    assert call("logic.not", {"value": False}) is True


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, True),
        ("", True),
        (" \n\t", True),
        ([], True),
        ({}, True),
        (Document(" "), True),
        (0, False),
        (False, False),
        ([None], False),
        ("x", False),
    ],
)
def test_emptiness(value: Any, wanted: bool) -> None:
    assert call("logic.empty", {"value": value}) is wanted
