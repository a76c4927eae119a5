"""Kinds that light one way out of several, bring the ways together again, and stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from phloem.nodes.names import check_names
from phloem.nodes.shown import as_text
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Ports, PortType
from phloem.runtime.values import UNLIT

Settings = Mapping[str, Any]
Types = Mapping[str, PortType]


class Branches(tuple[Any, Any]):
    """The outputs of flow.if. `else` is a word of Python's, so a NamedTuple cannot have it as a field."""

    _fields = ("then", "else")


Branches.__annotations__ = {"then": Any, "else": Any}


def _value_type(types: Types) -> PortType:
    return types.get("value", PortType("any"))


@node(
    "flow.if",
    "If",
    ports=lambda settings, types: Ports({}, dict.fromkeys(Branches._fields, _value_type(types))),
    examples=[
        Example({"value": "long text", "when": True}, {"then": "long text", "else": UNLIT}),
        Example({"value": "long text", "when": False}, {"then": UNLIT, "else": "long text"}),
    ],
)
def if_(
    value: Annotated[Any, In("What to send one way or the other", maps="along")] = None,
    *,
    when: Annotated[bool, In("Which way to take: then if it is true, else if it is not")],
) -> Branches:
    """Send a value one way if something is true, and the other way if it is not.

    Only one of the two outputs is lit. Nodes that hang only on the other one are skipped; flow.merge
    brings the two ways together again. With a list of values and a list of true and false, each item
    goes its own way.
    """
    return Branches((value, UNLIT) if when else (UNLIT, value))


def _switch_ports(settings: Settings, types: Types) -> Ports:
    cases = settings.get("cases", [])
    names = [cases] if isinstance(cases, str) else [as_text(one) for one in cases] if isinstance(cases, list) else []
    return Ports({}, dict.fromkeys([*_checked(names, bool(settings.get("exact"))), "else"], _value_type(types)))


def _checked(cases: list[str], exact: bool) -> list[str]:
    """The cases, if each can be an output and no two are the same; SettingError says what is wrong."""
    if not cases:
        raise SettingError("there are no cases", hint="List the words that the key may be; each becomes an output.")
    if "error" in cases:
        raise SettingError(
            "a case cannot be called error: that is the output for failures", hint="Choose another word."
        )
    names = check_names(cases, "the case", taken=["else"])
    folded = [_folded(name, exact) for name in names]
    twice = next((name for name, fold in zip(names, folded, strict=True) if folded.count(fold) > 1), None)
    if twice is not None:
        raise SettingError(f"the case {twice} is there twice", hint="To tell A from a and - from _, set exact to true.")
    return names


def _folded(text: str, exact: bool) -> str:
    word = text.strip()
    return word if exact else "_".join(word.casefold().replace("-", " ").replace("_", " ").split())


@node(
    "flow.switch",
    "Switch",
    ports=_switch_ports,
    examples=[
        Example(
            {"key": "Not sure", "cases": ["yes", "no", "not_sure"], "value": "the question"},
            {"yes": UNLIT, "no": UNLIT, "not_sure": "the question", "else": UNLIT},
        ),
        Example({"key": 7, "cases": ["yes"], "value": "the question"}, {"yes": UNLIT, "else": "the question"}),
    ],
)
def switch(
    value: Annotated[Any, In("What to send one of the ways", maps="along")] = None,
    *,
    key: Annotated[Any, In("What decides the way: a text, or a value that reads as one", maps="always")],
    cases: Annotated[list[str], Setting("What the key may be; each case becomes an output", shapes=True)],
    exact: Annotated[
        bool, Setting("Tell upper from lower case, and spaces, - and _ from each other", shapes=True)
    ] = False,
) -> Annotated[Any, Out("else")]:
    """Send a value the way that is named by a key, or to `else` when no case is.

    White space around the key does not matter, nor, unless `exact` is on, upper and lower case, nor
    whether words are joined by spaces, - or _: the key "Not sure" takes the case not_sure. Only one
    output is lit. Nodes that hang only on the others are skipped; flow.merge brings the ways together again.
    """
    wanted = _folded(as_text(key), exact)
    taken = next((case for case in cases if _folded(case, exact) == wanted), "else")
    return {**dict.fromkeys((*cases, "else"), UNLIT), taken: value}


@node(
    "flow.merge",
    "Merge",
    ports=lambda settings, types: Ports({}, {"value": types.get("values", PortType("any"))}),
    examples=[Example({"values": ["the short way", "the long way"]}, {"value": "the short way"})],
)
def merge(
    values: Annotated[Any, In("The ends of the ways, in the order of their links", many=True)],
) -> Annotated[Any, Out("value")]:
    """Bring ways that were parted together again: the first link that carries a value gives the value.

    It runs when all of its links are settled and at least one is lit.
    """
    return values[0] if values else UNLIT


@node(
    "flow.require",
    "Stop unless",
    ports=lambda settings, types: Ports({}, {"value": _value_type(types)}),
    examples=[
        Example({"value": "an answer", "when": True, "message": "The model gave no answer"}, {"value": "an answer"})
    ],
)
def require(
    value: Annotated[Any, In("What to pass on", maps="along")] = None,
    *,
    when: Annotated[bool, In("What must be true")],
    message: Annotated[str, Setting("What to say if it is not", multiline=True)],
) -> Annotated[Any, Out("value")]:
    """Pass a value on if something is true, and fail with a message of your own if it is not."""
    if not when:
        raise InputError(message.strip() or "what had to be true is not")
    return value
