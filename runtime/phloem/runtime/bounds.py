"""Whether a value keeps to what its port says: its type, its bounds, its choices."""

from __future__ import annotations

from typing import Any

from phloem.runtime.errors import InputError, NodeError
from phloem.runtime.events import preview
from phloem.runtime.ports import LinkFit, Port, PortType, expect
from phloem.runtime.words import nearest, or_list

__all__ = ["misfit", "within"]


def misfit(port: Port, value: Any) -> str | None:
    """What is wrong with a literal value for a port, in words that follow its name."""
    if value is None:
        return None if port.default is None or port.type.is_open else f"is empty; it takes a {port.type}"
    if port.type == PortType("text") and not isinstance(value, str | int | float):
        return f"must be a text, not {_words(value)}"
    try:
        value = expect(value, port.type)
    except NodeError as error:
        return f"does not fit: {error.message}"
    return _beyond(port, value)


def _beyond(port: Port, value: Any) -> str | None:
    """What bound or choice of the port a value does not keep to, in words that follow its name."""
    if port.choices and not port.type.depth and value not in port.choices:
        near = nearest(str(value), port.choices)
        shown = preview(value, 60).text
        return f"is {shown}; it can be {or_list(port.choices)}" + (f". Did you mean {near}?" if near else "")
    if port.ge is not None and isinstance(value, int | float) and not value >= port.ge:
        return f"is {value}; the least is {port.ge:g}"
    if port.le is not None and isinstance(value, int | float) and not value <= port.le:
        return f"is {value}; the most is {port.le:g}"
    return None


def within(fit: LinkFit, port: Port) -> LinkFit:
    """`fit`, with an InputError for a value that does not keep to the port's bounds and choices."""
    if port.ge is None and port.le is None and not port.choices:
        return fit

    def checked(value: Any) -> Any:
        value = value if fit.coerce is None else fit.coerce(value)
        beyond = _beyond(port, value)
        if beyond:
            raise InputError(f"the value of {port.name} {beyond}")
        return value

    return LinkFit(fit.maps, checked)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "true or false" if isinstance(value, bool) else f"a {type(value).__name__}"
