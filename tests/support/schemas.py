"""Forty schemas of many sorts, such as people write them and programs make them. All are held to by a grammar alone."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["SCHEMAS"]

_PERSON: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": {"type": "string", "format": "email", "maxLength": 30},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
_TREE: Final = {
    "type": "object",
    "properties": {
        "value": {"type": "integer", "minimum": 0, "maximum": 99},
        "left": {"$ref": "#/$defs/tree"},
        "right": {"$ref": "#/$defs/tree"},
    },
    "required": ["value"],
}
_EXPRESSION: Final = {
    "anyOf": [
        {"type": "number"},
        {
            "type": "object",
            "properties": {
                "op": {"enum": ["+", "-", "*"]},
                "args": {"type": "array", "items": {"$ref": "#/$defs/e"}, "minItems": 2, "maxItems": 2},
            },
            "required": ["op", "args"],
        },
    ]
}


def _text(**words: Any) -> dict[str, Any]:
    return {"type": "string", **words}


def _fields(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


SCHEMAS: Final[dict[str, Any]] = {
    "a person": _PERSON,
    "people": {"type": "array", "items": _PERSON, "minItems": 1, "maxItems": 3},
    "a sentiment": _fields("label", "score", label={"enum": ["positive", "negative", "neutral"]}, score={"type": "number", "minimum": 0, "maximum": 1}),
    "yes or no": {"type": "boolean"},
    "one of a few words": {"enum": ["red", "green", "blue", "reddish", "greenish", None, 7]},
    "a constant": {"const": {"version": 1, "tags": ["a", 'b"c']}},
    "a percentage": {"type": "integer", "minimum": 0, "maximum": 100},
    "a range below zero": {"type": "integer", "exclusiveMinimum": -1000, "exclusiveMaximum": -7},
    "a price": {"type": "number", "exclusiveMinimum": 0, "maximum": 9999.99},
    "a multiple": {"type": "integer", "multipleOf": 25, "minimum": -500},
    "halves": {"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 10},
    "large numbers": {"type": "integer", "minimum": 9223372036854775800, "maximum": 9223372036854775807},
    "a short text": _text(minLength=3, maxLength=8),
    "a product code": _text(pattern=r"^[A-Z]{2}-\d{4}(-[a-z])?$"),
    "a pattern and a length": _text(pattern=r"^[a-z]+( [a-z]+)*$", minLength=5, maxLength=20),
    "two patterns": {"allOf": [_text(pattern="^[ab]"), _text(pattern="[yz]$", maxLength=9)]},
    "dates": _fields("date", "time", "at", date=_text(format="date"), time=_text(format="time"), at=_text(format="date-time")),
    "addresses": _fields("four", "six", "host", four=_text(format="ipv4"), six=_text(format="ipv6"), host=_text(format="hostname")),
    "an id": _fields("id", id=_text(format="uuid"), took=_text(format="duration")),
    "a link": _fields("uri", uri=_text(format="uri", maxLength=40), at=_text(format="json-pointer", maxLength=20)),
    "a tuple": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}, {"enum": ["N", "S"]}], "items": False},
    "a tuple and more": {"type": "array", "prefixItems": [{"const": "head"}], "items": {"type": "integer"}, "minItems": 2, "maxItems": 5},
    "a matrix": {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": -9, "maximum": 9}, "minItems": 2, "maxItems": 2}, "minItems": 2, "maxItems": 2},
    "a set of tags": {"type": "array", "items": {"enum": ["fast", "small", "cheap", "good"]}, "uniqueItems": True, "minItems": 1, "maxItems": 3},
    "all optional": _fields(a={"type": "integer"}, b={"type": "boolean"}, c={"type": "null"}, d=_text(maxLength=4), e={"type": "integer"}),
    "at least two properties": {**_fields(a={"type": "null"}, b={"type": "null"}, c={"type": "null"}, d={"type": "null"}), "minProperties": 2, "maxProperties": 3},
    "needs": {**_fields(card={"type": "integer"}, address=_text(maxLength=5), gift={"type": "boolean"}), "dependentRequired": {"card": ["address"], "gift": ["card"]}},
    "a map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 5}, "maxProperties": 3},
    "keys by pattern": {"type": "object", "patternProperties": {"^n_[a-z]{1,5}$": {"type": "integer"}, "^s_[a-z]{1,5}$": _text(maxLength=5)}, "additionalProperties": False, "minProperties": 1, "maxProperties": 3},
    "names of a kind": {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,6}$"}, "additionalProperties": {"type": "boolean"}, "maxProperties": 3},
    "null or a number": {"type": ["null", "integer", "string"], "maxLength": 5, "minimum": 10},
    "an optional of a generated class": _fields("x", x={"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "X"}),
    "told apart by a kind": {"oneOf": [_fields("kind", "radius", kind={"const": "circle"}, radius={"type": "number", "exclusiveMinimum": 0}), _fields("kind", "side", kind={"const": "square"}, side={"type": "integer", "minimum": 1}), _fields("kind", kind={"const": "nothing"})]},
    "parts put together": {"allOf": [_fields("a", a={"type": "integer", "minimum": 5}), {"properties": {"a": {"maximum": 9}, "b": {"type": "boolean"}}, "required": ["b"]}]},
    "a tree": {"$ref": "#/$defs/tree", "$defs": {"tree": _TREE}},
    "a sum": {"$ref": "#/$defs/e", "$defs": {"e": _EXPRESSION}},
    "a linked list": {"$defs": {"n": {"anyOf": [{"type": "null"}, _fields("v", "next", v={"type": "integer"}, next={"$ref": "#/$defs/n"})]}}, "$ref": "#/$defs/n"},
    "references and what stands beside them": {"$defs": {"word": _text(maxLength=6)}, "type": "array", "items": {"$ref": "#/$defs/word", "minLength": 2}, "maxItems": 3},
    "odd names": _fields('a "quoted" one', "", "tab\t", **{'a "quoted" one': {"type": "integer"}, "": {"type": "null"}, "tab\t": {"const": "\n"}, "ü": {"type": "boolean"}}),
    "a report": _fields(
        "title", "sections", title=_text(minLength=1, maxLength=15),
        sections={"type": "array", "minItems": 1, "maxItems": 2, "items": _fields("heading", "importance", heading=_text(maxLength=10), importance={"enum": ["low", "high"]}, score={"type": "number", "minimum": -1.5, "maximum": 2.25})},
    ),
}  # fmt: skip
"""By what each is about."""
assert len(SCHEMAS) == 40
