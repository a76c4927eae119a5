"""JSON Schemas: the grammar allows a value exactly if the jsonschema library finds that it fits."""

from __future__ import annotations

import ctypes
import json
import math
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.nodes.services.models.forms import form_of
from phloem.nodes.services.models.forms.automaton import Automaton
from phloem.nodes.services.models.forms.formats import FORMATS, format_automaton
from phloem.nodes.services.models.forms.schema_merge import merged, same
from phloem.runtime.errors import ServiceError, SettingError
from support.held import Held
from support.model_files import DEMO
from support.random_models import random_model
from support.schemas import SCHEMAS

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


def is_valid(schema: Any, value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema, format_checker=CHECKER).is_valid(value))


# Values beside schemas, of which about half fit


NAMES = ["a", "b", "ab", 'q"', "é", ""]
BOUNDS = st.one_of(
    st.integers(-120, 120), st.integers(-1200, 1200).map(lambda n: n / 8), st.sampled_from([0.1, -0.7, 1e3, 99.99])
)


def numeric() -> st.SearchStrategy[dict[str, Any]]:
    words = {word: BOUNDS for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")}
    steps = {"multipleOf": st.sampled_from([1, 2, 3, 7, 10, 25, 0.5, 0.25, 1.5])}
    return st.builds(
        lambda kind, rest: {"type": kind, **rest},
        st.sampled_from(["integer", "number"]),
        st.fixed_dictionaries({}, optional=words | steps),
    )


def textual() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.fixed_dictionaries({}, optional={"minLength": st.integers(0, 3), "maxLength": st.integers(1, 5)})
    patterns = st.sampled_from(
        [{}, {}, {"pattern": "^[ab]+$"}, {"pattern": "b"}, {"pattern": "^a|b$"}, {"pattern": "a{2,}"}]
    )
    return st.builds(lambda one, two: {"type": "string", **one, **two}, lengths, patterns)


LEAVES = st.one_of(
    numeric(), textual(),
    st.sampled_from(
        [
            {"type": "boolean"}, {"type": "null"}, {"enum": ["a", "ab", 1, None, [2], {"b": "é"}]}, {"const": 'x"y'}, True,
            {"type": ["integer", "null"], "minimum": 3}, {"$ref": "#/$defs/tree"}, {"enum": [1, 1.5, True, "1"], "minimum": 1.2},
        ]
    ),
)  # fmt: skip


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    limits = st.fixed_dictionaries(
        {},
        optional={
            "minProperties": st.integers(0, 3),
            "maxProperties": st.integers(1, 3),
            "dependentRequired": st.dictionaries(
                st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=2, unique=True), max_size=2
            ),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b", "^z"]), inner, max_size=2),
            "propertyNames": st.sampled_from([{"maxLength": 1}, {"pattern": "^[abz]*$"}, {"enum": NAMES[:3]}, True]),
        },
    )
    return st.builds(
        lambda parts, needed, more, rest: {
            "type": "object", "properties": parts, "required": [name for name in parts if name in needed],
            "additionalProperties": more, **rest,
        },
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=4), st.sets(st.sampled_from(NAMES), max_size=2),
        st.one_of(st.just(False), inner), limits,
    )  # fmt: skip


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(
            lambda item, least, span: {"type": "array", "items": item, "minItems": least, "maxItems": least + span},
            inner, st.integers(0, 2), st.integers(0, 2),
        ),
        st.builds(
            lambda first, rest, least: {"type": "array", "prefixItems": first, "items": rest, "minItems": least},
            st.lists(inner, min_size=1, max_size=2), st.one_of(st.just(False), inner), st.integers(0, 3),
        ),
        st.builds(
            lambda least, values: {"type": "array", "items": {"enum": values}, "uniqueItems": True, "minItems": least},
            st.integers(0, 2), st.lists(st.sampled_from(["a", "b", 3, None]), min_size=1, max_size=4, unique=True),
        ),
    )  # fmt: skip


SCHEMA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one, two: {"allOf": [one, two]}, numeric(), numeric()),
        st.builds(lambda one, two: {"allOf": [one, two]}, textual(), textual()),
        st.builds(lambda parts: {"allOf": parts}, st.lists(objects(inner), min_size=2, max_size=2)),
        st.builds(lambda parts: {"allOf": parts}, st.lists(arrays(inner), min_size=2, max_size=2)),
    ),
    max_leaves=6,
)
TREE = {
    "type": "object",
    "properties": {
        "v": {"type": "integer", "minimum": 0},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "required": ["v"],
    "additionalProperties": False,
}


def value_of(schema: Any, chance: random.Random, deep: int = 4) -> Any:
    """A value that is near what `schema` asks for."""
    if chance.random() < 0.06 or not isinstance(schema, dict) or deep == 0:
        return chance.choice([0, 5, -1.5, "a", "ab", None, True, [], {}, [1], {"a": 1}, "b"])
    if "$ref" in schema:
        return value_of(TREE, chance, deep - 1)
    if "anyOf" in schema:
        return value_of(chance.choice(schema["anyOf"]), chance, deep)
    if "allOf" in schema:
        return value_of(merged_or_first(schema["allOf"]), chance, deep)
    if "enum" in schema or "const" in schema:
        return chance.choice(schema.get("enum") or [schema["const"]])
    kind = schema.get("type")
    kind = chance.choice(kind) if isinstance(kind, list) else kind
    return {"object": an_object, "array": an_array, "string": a_text, "integer": a_number, "number": a_number}.get(
        kind, lambda *_: chance.choice([True, False, None])
    )(schema, chance, deep)


def merged_or_first(parts: list[Any]) -> Any:
    try:
        return merged(parts[0], parts[1])
    except SettingError:
        return parts[0]


def an_object(schema: dict[str, Any], chance: random.Random, deep: int) -> dict[str, Any]:
    listed = schema.get("properties", {})
    found = {
        name: value_of(part, chance, deep - 1)
        for name, part in listed.items()
        if chance.random() < (0.97 if name in schema.get("required", ()) else 0.6)
    }
    others = [part for part in schema.get("patternProperties", {}).values()] or [
        schema.get("additionalProperties", True)
    ]
    for name in ("az", "b2", "zb", "x"):
        if chance.random() < 0.15:
            found[name] = value_of(chance.choice(others), chance, deep - 1)
    return found


def an_array(schema: dict[str, Any], chance: random.Random, deep: int) -> list[Any]:
    first, rest = schema.get("prefixItems", []), schema.get("items", True)
    least = max(0, schema.get("minItems", 0) - 1)
    count = chance.randint(least, max(least, schema.get("maxItems", 3) + 1))
    if schema.get("uniqueItems") and isinstance(rest, dict) and "enum" in rest:
        values = list(rest["enum"])
        chance.shuffle(values)
        return values[:count] + (values[:1] if chance.random() < 0.2 else [])
    return [value_of(first[place] if place < len(first) else rest, chance, deep - 1) for place in range(count)]


def a_text(schema: dict[str, Any], chance: random.Random, deep: int) -> str:
    least = max(0, schema.get("minLength", 0) - 1)
    length = chance.randint(least, max(least, schema.get("maxLength", 4) + 1))
    return "".join(chance.choice('aaabbb"é\n c') for _ in range(length))


def a_number(schema: dict[str, Any], chance: random.Random, deep: int) -> float:
    near = [schema[word] for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if word in schema]
    base = Decimal(repr(chance.choice(near or [0, 10])))
    step = Decimal(repr(schema.get("multipleOf", 1)))
    found = chance.choice([base, base // step * step]) + chance.randint(-3, 3) * chance.choice(
        [step, Decimal("0.01"), Decimal(1)]
    )
    return int(found) if found == int(found) and chance.random() < 0.8 else float(found)


def is_written(value: Any, schema: Any) -> bool:
    """Whether the value is spelled as a grammar spells such values: whole numbers without a point, no exponents, …"""
    text = json.dumps(value)
    # To Python, and so to jsonschema, $ matches before a last line end; to the standard, only at the end.
    return (
        "e-" not in text
        and '\\n"' not in text
        and not (("integer" in json.dumps(schema) or "$ref" in json.dumps(schema)) and any(has_point(value)))
    )


def has_point(value: Any) -> Iterator[bool]:
    if isinstance(value, float):
        yield value == int(value)
    elif isinstance(value, list):
        for item in value:
            yield from has_point(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from has_point(item)


@pytest.mark.slow
@given(SCHEMA, st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_a_grammar_allows_a_value_exactly_if_it_fits_the_schema(schema: Any, chance: random.Random) -> None:
    whole = {"allOf": [schema], "$defs": {"tree": TREE}} if schema is True else {**schema, "$defs": {"tree": TREE}}
    try:
        form = form_of({"schema": whole})
    except SettingError as error:
        refused = error.message
        form = None
    for _ in range(12):
        value = value_of(schema, chance)
        fits = is_valid(whole, value)
        if form is None:
            assert not fits, (value, refused)
            continue
        for text in (
            json.dumps(value, ensure_ascii=False),
            json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        ):
            allowed = form.grammar.fits(text)
            if allowed and not fits:
                assert is_left_to_the_check(schema), text
                with pytest.raises(ServiceError):
                    form.read(text)
            if fits and not allowed:
                assert not (is_written(value, schema) and in_order(value, schema)), text
        if fits and form.grammar.fits(json.dumps(value)):
            assert same(form.read(json.dumps(value)), value)


def is_left_to_the_check(schema: Any) -> bool:
    """What parts say together of patterns of keys, or of repetitions in a tuple, is not always compiled."""
    text = json.dumps(schema)
    return "allOf" in text and ("patternProperties" in text or "uniqueItems" in text)


def in_order(value: Any, schema: Any) -> bool:
    """Whether properties stand as they are listed. Where parts are put together, that is not where the value had them."""
    text = json.dumps(schema)
    together = any(word in text for word in ("allOf", "anyOf", "dependentRequired"))
    return not together or most_keys(value) < 2


def most_keys(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max([len(value) if isinstance(value, dict) else 0, *map(most_keys, inner)])


# Numbers


@pytest.mark.slow
@given(
    numeric(), st.lists(st.integers(-(10**14), 10**14), max_size=20), st.lists(st.integers(-2000, 2000), max_size=20)
)
@settings(max_examples=200)
def test_a_number_is_allowed_exactly_if_it_is_within_its_bounds(
    schema: dict[str, Any], large: list[int], small: list[int]
) -> None:
    near = [schema[word] for word in schema if word not in ("type", "multipleOf")]
    steps = [Decimal(n) / 100 for n in (-101, -100, -50, -1, 0, 1, 25, 50, 99, 100)]
    numbers = [Decimal(n) for n in (*large, *small)] + [Decimal(n) / 8 for n in small]
    numbers += [Decimal(repr(bound)) + step for bound in near for step in steps]
    try:
        grammar = form_of({"schema": schema}).grammar
    except SettingError:
        assert not any(is_valid(schema, json.loads(str(number))) for number in numbers)
        return
    for number in numbers:
        text = format(number.normalize(), "f") if number else "0"
        if schema["type"] == "number" or "." not in text:
            assert grammar.fits(text) == is_valid(schema, json.loads(text)), text
        else:
            assert not grammar.fits(text)


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, [str(2**63 - 1), str(-(2**63)), "0"], [str(2**63), str(-(2**63) - 1)]),
        ({"type": "integer", "minimum": 10**18}, [str(10**18), str(10**18 + 7)], [str(10**18 - 1), "5"]),
        ({"type": "number", "minimum": 0.1, "maximum": 0.30000000000000004}, ["0.1", "0.3", "0.30000000000000004"], ["0.30000000000000005", "0.09"]),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, ["0.00000000000001", "0.5", "0.99999999999999"], ["0", "1", "0.0", "1.0"]),
        ({"type": "number", "minimum": 5, "maximum": 5}, ["5", "5.0"], ["5.1", "4.9", "-5"]),
        ({"type": "number", "maximum": 1e300}, ["1", "-999999999999999"], ["1e5"]),
        ({"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1}, ["0.01", "0.25", "0.29", "1", "0.5"], ["0.011", "1.01"]),
        ({"type": "number", "multipleOf": 0.1}, ["0.3", "0.7", "1.1", "-0.3"], ["0.31"]),
        ({"type": "integer", "minimum": 10**35 + 1, "maximum": 10**40 - 1}, [str(10**35 + 1), "9" * 40], [str(10**35)]),
        ({"type": "integer", "minimum": -(10**35) - 1, "maximum": 0}, [str(-(10**35) - 1)], [str(-(10**35) - 2)]),
        ({"type": "integer", "multipleOf": 1000}, ["0", "5000", "-7000"], ["5", "500", "1001"]),
        ({"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6}], "minimum": 1}, ["12", "24"], ["4", "6", "0"]),
    ],
)  # fmt: skip
def test_bounds_hold_to_the_last_digit(schema: dict[str, Any], inside: list[str], outside: list[str]) -> None:
    if schema.get("maximum") == 1e300:
        with pytest.raises(SettingError, match="has the bound"):
            form_of({"schema": schema})
        return
    form = form_of({"schema": schema})
    for text in inside:
        assert form.read(text) == json.loads(text) and form.grammar.fits(text), text
    for text in outside:
        assert not form.grammar.fits(text), text


# Formats


def some_text(automaton: Automaton, chance: random.Random) -> str:
    """A text that the automaton reads, found by walking at random."""
    while True:
        state, text = 0, ""
        while len(text) < 200 and automaton.moves[state] and not (state in automaton.ends and chance.random() < 0.2):
            characters, state = chance.choice(automaton.moves[state])
            low, high = chance.choice(characters.ranges)
            text += chr(chance.randint(low, min(high, low + 60)))
        if state in automaton.ends:
            return text


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_allows_the_library_finds_right(name: str) -> None:
    # Whatever is a URI is an IRI too.
    name, automaton = name.replace("iri", "uri"), format_automaton(name)
    assert name in CHECKER.checkers, "the packages that jsonschema checks formats with are missing"
    chance = random.Random(7)
    for _ in range(400):
        text = some_text(automaton, chance)
        assert CHECKER.conforms(text, name), text


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("date", ["2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01"], ["2023-02-29", "1900-02-29", "2024-13-01", "0000-01-01", "2024-04-31"]),
        ("time", ["00:00:00Z", "23:59:59.123+05:30"], ["24:00:00Z", "12:00", "12:00:60Z"]),
        ("date-time", ["2024-02-29T12:00:00Z"], ["2024-02-29 12:00:00Z", "2024-02-29"]),
        ("duration", ["P1Y2M3DT4H5M6S", "PT5M", "P2W"], ["P", "PT", "1Y", "P1S"]),
        ("email", ["ada@example.org", "a.b+c@x.y.z"], ["ada", "@x", "a@", ".a@b", "a..b@c"]),
        ("hostname", ["example.org", "a-b.c", "x"], ["-a", "a-", "a..b", "a_b", "x" * 64]),
        ("ipv4", ["0.0.0.0", "255.255.255.255"], ["256.0.0.1", "1.2.3", "01.2.3.4"]),
        ("ipv6", ["::", "::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8", "fe80::"], [":", "1::2::3", "1:2:3", "12345::", "1:2:3:4:5:6:7:8:9"]),
        ("uri", ["https://example.org/a?b=c#d", "mailto:ada@example.org", "urn:isbn:0451450523", "file:///etc/x"], ["example.org", "/a", "http://a b", "1http://x"]),
        ("uri-reference", ["../a/b", "?q", "#x", "", "//host/p", "a:b"], ["a b", "%zz", "\\"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"], ["123e4567e89b12d3a456426614174000", "g23e4567-e89b-12d3-a456-426614174000"]),
        ("json-pointer", ["", "/a/b~0c", "/"], ["a", "/~2"]),
    ],
)  # fmt: skip
def test_a_format_allows_what_is_usual(name: str, inside: list[str], outside: list[str]) -> None:
    form = form_of({"schema": {"type": "string", "format": name}})
    for text in inside:
        assert form.grammar.fits(json.dumps(text)), text
    for text in outside:
        assert not form.grammar.fits(json.dumps(text)), text


# What is put together, and what is left to the check


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {"b": {}}}]}, ["{}", '{"a":1}'], ['{"b":1}']),
        ({"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$", "format": "hostname"}]}, ['"az"', '"a-z"'], ['"a"', '"a z"']),
        ({"type": "string", "minLength": 1200, "maxLength": 2600}, ['"' + "a" * n + '"' for n in (1200, 1201, 1999, 2599, 2600)], ['"' + "a" * n + '"' for n in (1199, 2601)]),
        ({"type": "string", "minLength": 2, "maxLength": 2}, ['"\\ud83d\\ude00x"', '"😀é"', '"\\n\\u0001"'], ['"😀"', '"abc"', '"\\u0000a"']),
        ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, ['[1, "x"]'], ["[]", "[1]", '[1, "x", 2]']),
        ({"prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1}, ['[1, "x"]', "[1]"], ["[]"]),
        ({"properties": {"a": {"type": "integer"}}}, ["{}", '{"a":1}'], ['{"b":1}']),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, ["{}", '{"b":1}'], ['{"b":"x"}']),
        ({"type": "object", "required": ["a"]}, ['{"a":null}'], ["{}", '{"a":null,"b":1}']),
        ({"type": "array", "items": {"$ref": "#"}, "maxItems": 1}, ["[]", "[[[]]]"], ["[1]", "[[],[]]"]),
        ({"type": ["string", "null"], "not": {"type": "null"}}, ['"x"'], ["null"]),
        ({"enum": [1, True, "1"], "type": "integer"}, ["1"], ["true", '"1"']),
        ({"allOf": [{"enum": [1, 2]}, {"enum": [True, 2]}]}, ["2"], ["1", "true"]),
        ({"title": "t", "description": "d", "default": 1, "examples": [1], "x-mine": {}, "type": "null"}, ["null"], ["1"]),
        ({"items": {"enum": ["a", "a", True, 1]}, "uniqueItems": True}, ['["a",1,true]'], ['["a","a"]', "[1,1]"]),
        ({"items": {"enum": [1, 2, 3]}, "prefixItems": [{}, {}], "minItems": 1}, ["[0]", "[0,0]", "[0,0,1]"], ["[]", "[0,0,0]"]),
        ({"propertyNames": {"maxLength": 3_000}, "additionalProperties": {}}, ["{}", '{"a":1}'], ["[]"]),
        ({"allOf": [{"if": {"const": 1}}, {"if": {"const": 2}, "then": {"const": 3}}, {"enum": [1, 3]}]}, ["1", "3"], ["2"]),
        ({"$ref": "#/mine/a", "mine": {"a": {"type": "null"}}}, ["null"], ["1"]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}], "dependencies": {"a": ["b"]}}, ["[null]"], ["[1]"]),
        (True, ["1", "[]", '"x"'], ["", "01"]),
    ],
)  # fmt: skip
def test_a_schema_allows_what_it_says(schema: Any, inside: list[str], outside: list[str]) -> None:
    form = form_of({"schema": schema})
    for text in inside:
        assert form.grammar.fits(text), text
        form.read(text)
    for text in outside:
        assert not form.grammar.fits(text), text


def test_white_space_is_at_most_one_space_after_a_comma_or_a_colon() -> None:
    grammar = form_of(
        {"schema": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}}
    ).grammar
    assert grammar.fits('{"a": [1, 2,3]}')
    assert not any(
        grammar.fits(text)
        for text in ('{ "a": []}', '{"a":  []}', '{"a": [1 ,2]}', '{"a": []}\n', ' {"a": []}', '{"a":\n[]}')
    )


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "[1, 1]"),
        ({"type": "array", "items": {}, "uniqueItems": True}, '[{"a": [1, true]}, {"a": [1.0, true]}]'),
        ({"type": "array", "items": {"type": "integer"}, "contains": {"const": 3}}, "[1, 2]"),
        ({"type": "integer", "not": {"minimum": 3}}, "5"),
        ({"type": "integer", "if": {"minimum": 3}, "then": {"multipleOf": 5}}, "7"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "3"),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "dependentSchemas": {"a": {"required": ["b"]}}}, '{"a": 1}'),
        ({"type": "string", "pattern": "^[a-z]*$", "maxLength": 5000, "minLength": 1}, '"' + "a" * 5001 + '"'),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 1001}, "[" + ", ".join(["null"] * 1002) + "]"),
    ],
)  # fmt: skip
def test_what_a_grammar_does_not_hold_the_check_finds(schema: Any, answer: str) -> None:
    form = form_of({"schema": schema})
    assert form.grammar.fits(answer)
    with pytest.raises(ServiceError, match="does not fit the schema"):
        form.read(answer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("NaN", "not JSON .NaN is no number"),
        ("[-Infinity]", "not JSON .-Infinity is no number"),
        ("1e999", "the number 1e999 is too large"),
        ("1" * 5_000, "the number 1{40}… is too large"),
        ('["\\ud800"]', "half of a character"),
        ('{"\\udc00": 1}', "half of a character"),
    ],
)
def test_an_answer_that_only_python_reads_is_none(answer: str, reason: str) -> None:
    """No grammar writes these, but a server may send them."""
    with pytest.raises(ServiceError, match=reason):
        form_of({"schema": {}}).read(answer)


@pytest.mark.parametrize("items", ['[1, true, 1.5, "1", null, [1], [true], {}]', '[{"a": 1}, {"a": true}, {"b": 1}]'])
def test_what_only_looks_alike_is_no_repetition(items: str) -> None:
    assert form_of({"schema": {"items": {}, "uniqueItems": True}}).read(items) == json.loads(items)


# Under llama.cpp


class Native:
    """llama.cpp's own reading of a grammar, with the vocabulary of the demo model."""

    def __init__(self) -> None:
        import llama_cpp.llama_cpp as llama

        self._llama = llama
        llama.llama_backend_init()
        settings = llama.llama_model_default_params()
        settings.vocab_only = True
        self._model = llama.llama_model_load_from_file(str(DEMO).encode(), settings)
        self._words = llama.llama_model_get_vocab(self._model)
        self._end = llama.llama_vocab_eos(self._words)

    def close(self) -> None:
        self._llama.llama_model_free(self._model)

    def fits(self, gbnf: str, text: str) -> bool:
        """Whether all of `text` is what the grammar says, token by token."""
        sampler = self._llama.llama_sampler_init_grammar(self._words, gbnf.encode(), b"root")
        assert sampler
        try:
            for token in [*self._tokens(text), self._end]:
                if not self._allows(sampler, token):
                    return False
                self._llama.llama_sampler_accept(sampler, token)
            return True
        finally:
            self._llama.llama_sampler_free(sampler)

    def _tokens(self, text: str) -> list[int]:
        data = text.encode()
        found = (self._llama.llama_token * (len(data) + 1))()
        count = self._llama.llama_tokenize(self._words, data, len(data), found, len(found), False, False)
        return list(found[:count])

    def _allows(self, sampler: Any, token: int) -> bool:
        one = (self._llama.llama_token_data * 1)()
        one[0].id, one[0].logit = token, 0.0
        array = self._llama.llama_token_data_array(data=one, size=1, selected=-1, sorted=False)
        self._llama.llama_sampler_apply(sampler, ctypes.byref(array))
        return math.isfinite(one[0].logit)


@pytest.mark.slow
def test_llama_reads_a_grammar_as_we_do() -> None:
    chance = random.Random(3)
    native = Native()
    both = {True: 0, False: 0}
    for name, schema in SCHEMAS.items():
        form = form_of({"schema": schema})
        texts = {form.close("")}
        for _ in range(12):
            text = json.dumps(value_of({**schema, "$defs": {"tree": TREE}}, chance), ensure_ascii=False)
            place = chance.randrange(len(text))
            texts |= {text, text[:place] + text[place + 1 :], text[:place] + text[place] + text[place:]}
        for text in texts:
            fits = form.grammar.fits(text)
            assert native.fits(form.grammar.gbnf, text) == fits, (name, text)
            both[fits] += 1
    native.close()
    assert min(both.values()) > len(SCHEMAS)


# Under models of random weights


@pytest.mark.slow
def test_models_of_random_weights_write_what_fits(tmp_path: Path) -> None:
    """The benchmark forms.py does the same more often."""
    (tmp_path / "models").mkdir()
    with Held(tmp_path) as held:
        random_model(tmp_path / "models" / "chance.gguf", 11)
        complete = 0
        for seed, (name, schema) in enumerate(SCHEMAS.items()):
            form = form_of({"schema": schema})
            text, ended = held.write({"schema": schema}, seed, model="local:chance", most=250)
            complete += ended
            if not ended:
                text = form.close(text)
            value = form.read(text)
            assert is_valid(schema, value), name
            assert form.grammar.fits(text), name
        assert complete > len(SCHEMAS) // 2
