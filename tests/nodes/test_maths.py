"""Arithmetic as a person types it: what it gives, what it refuses, and that it always ends."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phloem.nodes.expressions import compiled
from phloem.runtime.errors import InputError, SettingError
from support.kinds import call, find, ports_of


def work_out(expression: str, **numbers: float) -> Any:
    return call("math.calculate", {"expression": expression, **numbers})


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("2 * 3^2 + 1", 19),
        ("2**3**2", 512),
        ("-2^2", -4),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("7 % 3", 1),
        ("3 × 4 − 1 ÷ 2", 11.5),
        ("sqrt(16) + abs(-3)", 7),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(2.675, 2)", 2.68),
        ("round(1234, -2)", 1200),
        ("log(8, 2)", 3),
        ("ln(e)", 1),
        ("min(3, 1, 2) + max(4)", 5),
        ("mean(1, 2) + median(1, 5, 9) + sum(1, 2)", 9.5),
        ("clamp(12, 0, 10)", 10),
        ("factorial(5) + gcd(12, 18.0) + lcm(4, 6)", 138),
        ("sin(pi / 2)", 1),
        ("1 if 2 > 1 else 0", 1),
        ("0.1 + 0.2", 0.3),
        ("1_000 * 2", 2000),
        ("cbrt(27) + sign(-3)", 2),
        ("sum(1, 2) + sum(0.1, 0.2, 0.3)", 3.6),
        ("round(10^400, 2) / 10^399", 10),
        ("round(10^300 + 0.5, 300) / 10^300", 1),
    ],
)
def test_arithmetic(expression: str, wanted: float) -> None:
    assert work_out(expression) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("x > 3", True),
        ("1 <= x < 4", False),
        ("x and 0", False),
        ("x or 0", True),
        ("not x", False),
        ("x ≠ 4", False),
        ("true", True),
        ("x == 4.0 if x else false", True),
    ],
)
def test_comparisons_give_true_or_false(expression: str, wanted: bool) -> None:
    numbers = {"x": 4} if "x" in expression else {}
    assert work_out(expression, **numbers) is wanted
    assert str(ports_of(find("math.calculate"), {"expression": expression}).outputs["value"]) == "boolean"


def test_the_names_become_inputs_of_numbers() -> None:
    ports = ports_of(find("math.calculate"), {"expression": "width * Height_2 + round(pi) - e"})
    assert {name: str(port.type) for name, port in ports.inputs.items() if name != "expression"} == {
        "Height_2": "number",
        "width": "number",
    }
    assert str(ports.outputs["value"]) == "number"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(-1000, 1000))
def test_it_agrees_with_python(a: float, b: float, n: int) -> None:
    assume(abs(b) > 1e-6)
    assert work_out("a * b - n / b + abs(n) // 3", a=a, b=b, n=n) == a * b - n / b + abs(n) // 3


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "is not an expression"),
        ("2x", "between factors: 2 * x"),
        ("x = 3", "Write = twice"),
        ("'a' * 3", "'a' is not a number"),
        ("x.y", "a name with a dot in it"),
        ("x[0]", "square brackets"),
        ("[1, 2]", "a list"),
        ("lambda: 1", "a function of its own"),
        ("[x for x in y]", "a loop"),
        ("x is 3", "the word is"),
        ("1 << 9", "the sign <<"),
        ("f'{x}'", "text"),
        ("sinn(1)", "Did you mean sin?"),
        ("__import__('os')", "there is no function __import__"),
        ("(1).real()", "a function is called by its name"),
        ("round(x, digits=2)", "numbers in brackets"),
        ("sqrt", "sqrt is a function"),
        ("expression + 1", "that name is taken"),
        ("größe * 2", "cannot be the name of a port"),
        ("3j", "is not a number"),
        ("9" * 1_500, "more than a thousand digits"),
        ("1 + " * 600 + "1", "longer than 2,000"),
        ("+".join(["1"] * 900), "nested too deeply"),
        ("-" * 1_900 + "1", "nested too deeply"),
        ("(" * 900 + "1" + ")" * 900, "is not an expression"),
        ("a\0b", "is not an expression"),
    ],
)
def test_what_is_not_arithmetic_is_told_when_the_workflow_is_checked(expression: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        ports_of(find("math.calculate"), {"expression": expression})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "numbers", "words"),
    [
        ("1 / x", {"x": 0}, "1 / x with x = 0 divides by zero"),
        ("5 % 0", {}, "divides by zero"),
        ("0 ^ -1", {}, "divides by zero"),
        ("sqrt(x)", {"x": -1}, "has no result"),
        ("(-8) ^ (1/3)", {}, "is not a real number"),
        ("1e308 * 10", {}, "is not a real number"),
        ("exp(1000)", {}, "too large"),
        ("factorial(1000)", {}, "whole number from 0 to 170"),
        ("gcd(1.5, 2)", {}, "takes whole numbers"),
        ("min()", {}, "has no result"),
        ("mean()", {}, "has no result"),
        ("sin(1, 2)", {}, "has no result"),
        ("round(1, 0.5)", {}, "how many digits"),
        ("floor(x)", {"x": math.inf}, "too large"),
    ],
)
def test_what_has_no_result(expression: str, numbers: dict[str, float], words: str) -> None:
    with pytest.raises(InputError) as caught:
        work_out(expression, **numbers)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "expression", ["9**9**9", "9^9^9^9", "99999**99999", "x**x**x", "factorial(170)**1000", "10**4000 * 10**4000"]
)
def test_enormous_numbers_end_at_once(expression: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InputError, match="too large"):
        work_out(expression, **({"x": 9999} if "x" in expression else {}))
    assert time.perf_counter() - began < 5


def test_a_large_number_that_fits_is_given() -> None:
    assert work_out("2 ** 200") == 2**200
    assert work_out("2 ** 2000") == 2**2000
    assert work_out("x + 1", x=2**5000) == 2**5000 + 1
    with pytest.raises(InputError, match="x = a number of hundreds of digits"):
        work_out("x * x", x=2**5000)


def test_the_same_expression_is_read_once() -> None:
    assert compiled("1 + 1") is compiled("1 + 1")


def test_similarity_needs_vectors_of_one_length_that_point_somewhere() -> None:
    assert call("math.similarity", {"a": [1, 2], "b": [-1, -2]}) == pytest.approx(-1)
    for a, b in (([1], [1, 2]), ([0, 0], [1, 2]), ([math.inf], [1])):
        with pytest.raises(InputError):
            call("math.similarity", {"a": a, "b": b})
