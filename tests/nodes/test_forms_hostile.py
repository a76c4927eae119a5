"""Forms that someone made to hang or fill the machine: each is refused, or tamed, within a bounded time and memory."""

from __future__ import annotations

import functools
import re
import socket
import sys
import time
from typing import Any

import pytest
from phloem.nodes.services.models.forms import form_of, schema_words
from phloem.runtime.errors import ServiceError, SettingError

pytestmark = pytest.mark.slow

SECONDS = 20.0
"""Of computing; what each takes is about one at most on a machine that does nothing else."""
BYTES = 300_000_000


def chain(count: int, link: Any, end: Any) -> dict[str, Any]:
    """Definitions of which each is made of the next."""
    parts = {f"d{n}": link(f"#/$defs/d{n + 1}") for n in range(count)}
    return {"$defs": {**parts, f"d{count}": end}, "$ref": "#/$defs/d0"}


def nested(depth: int, around: Any, inner: Any) -> Any:
    return functools.reduce(lambda schema, _: around(schema), range(depth), inner)


def ref(path: str) -> dict[str, str]:
    return {"$ref": path}


def properties(count: int, part: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {f"property{n}": part(n) for n in range(count)}}


REFUSED: dict[str, tuple[Any, str]] = {
    "a laugh that doubles in length": (chain(40, lambda to: {"prefixItems": [ref(to), ref(to)]}, {"type": "null"}), "more than 100,000|never be filled"),
    "ten of ten of ten": (chain(30, lambda to: {"type": "array", "items": ref(to), "minItems": 10, "maxItems": 10}, {"type": "null"}), "never be filled"),
    "a thousand of a thousand": ({"items": {"items": {"items": {"type": "null"}, "minItems": 1000}, "minItems": 1000}, "minItems": 1000}, "more than 100,000|too large"),
    "references that never end": (chain(400, ref, {"type": "null"}), "circle"),
    "an allOf in a circle": ({"$defs": {"a": {"allOf": [ref("#/$defs/b")]}, "b": {"allOf": [ref("#/$defs/a")]}}, "$ref": "#/$defs/a"}, "circle"),
    "an anyOf in a circle": ({"$defs": {"a": {"anyOf": [ref("#/$defs/b"), {"type": "null"}]}, "b": {"anyOf": [ref("#/$defs/a"), {"type": "null"}]}}, "$ref": "#/$defs/a"}, "circle"),
    "alternatives times alternatives": ({"allOf": [{"anyOf": [{"properties": {f"p{n}{m}": {}}} for m in range(2)]} for n in range(14)]}, "too many alternatives"),
    "many parts put together": ({"allOf": [{"properties": {f"p{n}": {}}} for n in range(900)]}, "more than 500 parts"),
    "a huge enum": ({"enum": list(range(20_000))}, "too large"),
    "an enum of long texts": ({"enum": ["x" * 1_000 + str(n) for n in range(190)]}, "too large"),
    "too much text": ({"description": "x" * 300_000}, "300,0|at most 200,000"),
    "too many parts": (properties(2_500, lambda n: {"type": "string", "maxLength": n}), "too large"),
    "too deep": (nested(60, lambda inner: {"items": inner}, {}), "nested too deeply"),
    "far too deep": (nested(5_000, lambda inner: {"items": inner}, {}), "nested too deeply"),
    "numbers with many digits": (properties(400, lambda n: {"type": "number", "minimum": n / 7, "maximum": n * 1e6 + 0.123456789}), "too large"),
    "steps with many remainders": (properties(90, lambda n: {"type": "number", "multipleOf": n + 1}), "too large"),
    "a very large bound": ({"type": "integer", "minimum": 10**4000}, "has the bound"),
    "patterns without number": (properties(300, lambda n: {"type": "string", "pattern": f"^a{{{n},{n + 50}}}b?$"}), "too large"),
    "repetitions of repetitions": ({"type": "string", "pattern": "^((((a{1,9}){1,9}){1,9}){1,9}){1,9}$"}, "too large|too many ways"),
    "a thousand of a thousand letters": ({"type": "string", "pattern": "(a{1000}){1000}"}, "repeats something more than"),
    "exponentially many states": ({"type": "string", "pattern": "^(a|b)*a(a|b){14}$"}, "too many ways"),
    "patterns for keys": ({"patternProperties": {f"^(a|b)*a(a|b){{{n}}}$": {} for n in range(11, 15)}}, "too many ways"),
    "alternatives told apart at their ends": ({"oneOf": [{"type": "array", "items": ref("#"), "maxItems": 1}, {"type": "array", "items": ref("#"), "minItems": 2}]}, "too many ways at once"),
    "a reference to elsewhere": ({"$ref": "file:///etc/passwd"}, "refers to"),
    "a reference that moves": ({"$dynamicRef": "#x"}, "cannot be held to"),
    "a circle that only the check goes round": ({"enum": [1], "not": ref("#")}, "nested too deeply"),
    "types that are none": ({"type": [{"a": n} for n in range(10_000)]}, "not right at"),
    "needs that are none": ({"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": [{"a": n} for n in range(10_000)]}}, "not right at"),
    "a name of its own": ({"$defs": {"a": {"$id": "http://x/y", "type": "null"}}, "$ref": "http://x/y"}, r"\$id inside"),
}  # fmt: skip

TAMED: dict[str, Any] = {
    "a laugh of alternatives": chain(30, lambda to: {"anyOf": [ref(to), ref(to)]}, {"type": "null"}),
    "a laugh of parts": chain(30, lambda to: {"allOf": [ref(to), ref(to)]}, {"type": "null"}),
    "a laugh of choices": chain(30, lambda to: {"type": "object", "properties": {"a": ref(to), "b": ref(to)}}, {"type": "null"}),
    "alternatives told apart late": chain(40, lambda to: {"anyOf": [{"prefixItems": [ref(to), {"const": n}]} for n in (1, 2)]}, {"type": "null"}),
    "nine hundred optional properties": properties(900, lambda _: {"type": "integer"}),
    "a thousand kinds": {"anyOf": [{"type": "object", "properties": {"kind": {"const": f"kind {n}"}, "x": {"type": "integer"}}, "required": ["kind"]} for n in range(300)]},
    "a thousand words": {"enum": [f"a word of number {n}" for n in range(1_000)]},
    "every need of every other": {**properties(30, lambda _: {}), "dependentRequired": {f"property{n}": [f"property{29 - n}"] for n in range(15)}},
    "counted properties": {**properties(100, lambda _: {"type": "null"}), "minProperties": 30, "maxProperties": 60},
    "a pattern that backtracks": {"type": "string", "pattern": "^(a+)+$"},
    "a pattern that means one thing in many ways": {"type": "string", "pattern": "(a|a|b?)*" * 20},
    "a long text by pattern": {"type": "string", "pattern": "^[a-z ]*$", "maxLength": 9_000},
    "a tuple of which nothing is needed": {"prefixItems": [{"type": "null"}] * 1_900, "minItems": 0},
    "long names that others are not to have": {**properties(3, lambda _: {}), "required": ["a" * 200, "a" * 190 + "b"], "additionalProperties": {}},
    "long names": {"propertyNames": {"minLength": 3_000, "maxLength": 5_000}, "additionalProperties": {}},
    "deep": nested(38, lambda inner: {"type": "array", "items": inner}, {}),
}  # fmt: skip


def bounded(form: dict[str, Any]) -> SettingError | None:
    """Make the form with an eye on the clock and the memory; why it is refused, if it is."""
    before, began = peak(), time.process_time()
    error = None
    try:
        form_of(form).grammar.check()
    except SettingError as refused:
        error = refused
    assert time.process_time() - began < SECONDS
    assert peak() - before < BYTES
    return error


def peak() -> int:
    """The most memory that this process ever had, in bytes; on systems that do not tell, nothing."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_schema_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something was fetched"))
    schema, reason = REFUSED[name]
    error = bounded({"schema": schema})
    assert error is not None
    assert re.search(reason, error.message), error.message


@pytest.mark.parametrize("name", TAMED)
def test_a_large_schema_is_taken(name: str) -> None:
    assert bounded({"schema": TAMED[name]}) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|a)*" * 100,
        "((a*)*)*" * 30,
        "(x+x+)+y",
        "([a-z]+)*@",
        "a{1000}" * 5 + "b",
        "(.*)(.*)(.*)(.*)x",
        "(\\w*,?){0,900}",
        "(" * 39 + "a" + "?)*" * 39,
    ],
)
def test_a_hostile_pattern_is_refused_or_tamed(pattern: str) -> None:
    bounded({"pattern": pattern})


def test_a_grammar_of_repetitions_of_repetitions_is_refused() -> None:
    assert bounded({"grammar": 'root ::= "a"' + "+" * 5_000}) is not None


def test_many_long_choices_are_taken_or_refused() -> None:
    assert bounded({"choices": [f"choice number {n} " + "x" * (n % 50) for n in range(1_000)]}) is None
    assert bounded({"choices": ["a" * n for n in range(1, 1_001)]}) is not None


# The check of a finished answer


def test_a_pattern_that_backtracks_cannot_hang_the_check() -> None:
    form = form_of({"schema": {"type": "string", "not": {"pattern": "^(a|aa)+$"}}})
    began = time.process_time()
    with pytest.raises((SettingError, ServiceError)):
        form.read('"' + "a" * 60 + '!"')
        form.read('"' + "a" * 5_000 + '"')
    assert time.process_time() - began < SECONDS


def test_a_pattern_for_keys_that_backtracks_cannot_hang_the_check() -> None:
    schema = {
        "type": "object",
        "not": {"patternProperties": {"^(a|aa)+$": False}, "additionalProperties": {"type": "null"}},
    }
    began = time.process_time()
    with pytest.raises((SettingError, ServiceError)):
        form_of({"schema": schema}).read('{"' + "a" * 60 + '!": null}')
    assert time.process_time() - began < SECONDS


def test_alternatives_inside_alternatives_cannot_hang_the_check() -> None:
    """Each level is looked at twice, so that forty levels would be looked at a million million times."""
    twice = {"oneOf": [{"items": ref("#/$defs/a")}, {"items": ref("#/$defs/a"), "minItems": 1}]}
    form = form_of({"schema": {"$defs": {"a": twice}, "type": "array", "not": ref("#/$defs/a")}})
    began = time.process_time()
    with pytest.raises(ServiceError, match="cannot be told in reasonable time"):
        form.read("[" * 40 + "]" * 40)
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("around", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_patterns_that_take_long_cannot_add_up(around: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A $schema inside the schema would bring back the patterns that have no clock."""
    schema = {"type": "array", "items": {"type": "string"}, "not": {"contains": {**around, "pattern": "^(a|aa)+$"}}}
    form = form_of({"schema": schema})
    monkeypatch.setattr(schema_words, "SECONDS", 0.1)
    with pytest.raises(ServiceError, match="cannot be told in reasonable time"):
        form.read("[" + ", ".join(['"' + "a" * 22 + '!"'] * 100) + "]")


def test_a_pattern_that_takes_long_on_an_answer_is_an_error_of_the_answer() -> None:
    form = form_of({"pattern": "(?:a|aa)+"})
    with pytest.raises(ServiceError, match="cannot be checked: the pattern takes more than 1 second"):
        form.read("a" * 60 + "!")


def test_a_search_for_repetitions_among_objects_takes_time_in_proportion() -> None:
    form = form_of({"schema": {"type": "array", "items": {"additionalProperties": {}}, "uniqueItems": True}})
    items = [f'{{"a": {n}}}' for n in range(5_000)]
    began = time.process_time()
    form.read("[" + ", ".join(items) + "]")
    with pytest.raises(ServiceError, match="non-unique"):
        form.read("[" + ", ".join([*items, '{"a": 4000.0}']) + "]")
    assert time.process_time() - began < SECONDS


def test_many_values_among_many_cannot_hang_the_check() -> None:
    form = form_of({"schema": {"type": "array", "items": {"enum": list(range(8_000))}}})
    began = time.process_time()
    with pytest.raises(ServiceError, match="cannot be told in reasonable time"):
        form.read("[" + ", ".join(["7999"] * 10_000) + "]")
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "answer",
    ["[" * 20_000, "[" * 5_000 + "]" * 5_000, "1" * 5_000, '"' + "x" * 1_000_000 + '"', "nul", "\ud800", ""],
)
def test_an_answer_that_is_none_is_an_error(answer: str) -> None:
    form = form_of({"schema": {"type": "array", "items": {"type": "array"}}})
    with pytest.raises(ServiceError):
        form.read(answer)
    with pytest.raises(ServiceError):
        form.close(answer + "x")
