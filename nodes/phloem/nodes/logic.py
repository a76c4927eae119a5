"""Logic kinds: comparing values, and joining what is true and false."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from phloem.nodes.checks import one_of
from phloem.nodes.patterns import compiled, found
from phloem.nodes.sameness import before, same
from phloem.nodes.shown import as_text
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Port, Ports, PortType, type_of_value
from phloem.runtime.values import Document, Hit, Message

_SIDES: Final = {"a": "The first value", "b": "The value to compare it with"}
Truth = Annotated[bool, Out("result")]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "in", "starts", "ends", "matches"]


def _compare_ports(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Ports:
    """Which of the two sides are gone through item by item: those that the operator, or the other side, has one of."""
    given = {name: types.get(name) or type_of_value(settings.get(name)) for name in ("a", "b")}
    op = settings.get("op", "=")
    if op in ("contains", "in"):
        return Ports()
    deeper = {"a": given["a"].depth > given["b"].depth, "b": given["b"].depth > given["a"].depth}
    each = ("a", "b") if op not in ("=", "!=") else [name for name in ("a", "b") if deeper[name]]
    return Ports({name: Port(name, PortType("any"), _SIDES[name], maps="always") for name in each})


@node(
    "logic.compare",
    "Compare",
    ports=_compare_ports,
    examples=[
        Example({"a": "2", "b": 2}, {"result": True}),
        Example({"a": 0.7, "op": ">=", "b": 0.5}, {"result": True}),
        Example({"a": "The flying shuttle", "op": "contains", "b": "SHUTTLE", "ignore_case": True}, {"result": True}),
    ],
)
def compare(
    a: Annotated[Any, In(_SIDES["a"])],
    b: Annotated[Any, In(_SIDES["b"])],
    op: Annotated[Operator, Setting("How to compare", shapes=True)] = "=",
    ignore_case: Annotated[bool, Setting("Take upper and lower case as the same")] = False,
) -> Truth:
    """Compare two values.

    `=` and `!=` take any values. `<` and its like take two numbers or two texts; texts are in the order
    of a dictionary with all capitals before small letters. `contains` looks for a text in a text, an
    item in a list or a field in an object, and `in` the other way round; `starts` and `ends` look at the
    ends of a text; `matches` looks anywhere in it for a regular expression.

    A number and a text that reads as a number are compared as numbers, so "2" equals 2 and "10" is more
    than 9; two texts are always compared as texts, so "10" comes before "9". The texts true and false
    equal the booleans. Documents, hits and messages are compared by their text. Null equals only null.

    A list is compared item by item, and gives a list of results, but for `contains` and `in`, which look
    into it, and `=` and `!=` between two lists.
    """
    one_of("op", op, list(_OPERATORS))
    if op == "matches":
        pattern = compiled(as_text(b), ignore_case=ignore_case)
        return next(found(pattern, as_text(a)), None) is not None
    if ignore_case:
        a, b = _folded(a), _folded(b)
    return _OPERATORS[op](a, b)


def _folded(value: Any) -> Any:
    if isinstance(value, Document | Hit | Message):
        return as_text(value).casefold()
    if isinstance(value, list):
        return [_folded(one) for one in value]
    return value.casefold() if isinstance(value, str) else value


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(whole, list | tuple):
        return any(same(one, part) for one in whole)
    if isinstance(whole, dict):
        return as_text(part) in whole
    return as_text(part) in as_text(whole)


_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": same,
    "!=": lambda a, b: not same(a, b),
    "<": before,
    "<=": lambda a, b: not before(b, a),
    ">": lambda a, b: before(b, a),
    ">=": lambda a, b: not before(a, b),
    "contains": _contains,
    "in": lambda a, b: _contains(b, a),
    "starts": lambda a, b: as_text(a).startswith(as_text(b)),
    "ends": lambda a, b: as_text(a).endswith(as_text(b)),
    "matches": lambda a, b: False,
}


@node("logic.and", "All are true", examples=[Example({"values": [True, False]}, {"result": False})])
def and_(
    values: Annotated[list[bool], In("True or false, from any number of links", many=True)],
) -> Truth:
    """True if every value is true, and when there is none."""
    return all(values)


@node("logic.or", "Any is true", examples=[Example({"values": [True, False]}, {"result": True})])
def or_(
    values: Annotated[list[bool], In("True or false, from any number of links", many=True)],
) -> Truth:
    """True if at least one value is true."""
    return any(values)


@node("logic.not", "Not", examples=[Example({"value": True}, {"result": False})])
def not_(value: Annotated[bool, In("True or false")]) -> Truth:
    """True if the value is false, false if it is true."""
    return not value


@node(
    "logic.empty",
    "Is empty",
    examples=[Example({"value": " \n"}, {"result": True}), Example({"value": [0]}, {"result": False})],
)
def empty(value: Annotated[Any, In("Any value")] = None) -> Truth:
    """True if there is nothing in a value: null, a list or object without items, a text of white space only.

    Numbers, true and false are never empty.
    """
    if isinstance(value, bool | int | float):
        return False
    if isinstance(value, list | tuple | dict):
        return not value
    return not as_text(value).strip()
