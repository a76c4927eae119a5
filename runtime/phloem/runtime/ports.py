"""Port types, ports, and which output may feed which input.

A link is legal when the types agree, when the value can be turned into the wanted type without
losing anything, or when the source is open (`any` or `json`) and the value can be looked at when it
arrives. A list into a port for one item maps: the node runs once per item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from phloem.runtime.errors import InputError
from phloem.runtime.values import Blob, Collection, Document, Hit, Message

__all__ = [
    "REQUIRED",
    "Audio",
    "Image",
    "Json",
    "ModelName",
    "Port",
    "PortType",
    "Ports",
    "Vector",
    "join_link",
    "type_of_value",
]

BASES: Final = (
    "text", "number", "boolean", "json", "vector", "document", "hit", "message",
    "image", "audio", "file", "model", "collection", "any",
)  # fmt: skip

DEEPEST_LIST: Final = 8


@dataclass(frozen=True, slots=True)
class PortType:
    """A base type and how many `list[...]` stand around it."""

    base: str
    depth: int = 0

    @classmethod
    def parse(cls, text: str) -> PortType:
        """Read `text`, `list[text]`, `list[list[text]]` and so on; ValueError for anything else."""
        inner, depth = text.strip(), 0
        while inner.startswith("list[") and inner.endswith("]") and depth < DEEPEST_LIST:
            inner, depth = inner[5:-1].strip(), depth + 1
        if inner == "list":
            inner, depth = "any", depth + 1
        if inner not in BASES:
            raise ValueError(f"{text[:100]!r} is not a type; types are {', '.join(BASES)} and list[...] of each")
        return cls(inner, depth)

    @property
    def item(self) -> PortType:
        """The type of one item of a list of this type."""
        return PortType(self.base, self.depth - 1) if self.depth else PortType("any")

    @property
    def listed(self) -> PortType:
        """A list of this type."""
        return PortType(self.base, self.depth + 1)

    @property
    def is_open(self) -> bool:
        """True where the type of a value is known only when it is there."""
        return self.depth == 0 and self.base in ("any", "json")

    def __str__(self) -> str:
        return "list[" * self.depth + self.base + "]" * self.depth


Json = Annotated[Any, PortType("json")]
Vector = Annotated[list[float], PortType("vector")]
ModelName = Annotated[str, PortType("model")]
Image = Annotated[Blob, PortType("image")]
Audio = Annotated[Blob, PortType("audio")]


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()
"""The default of a port that has none."""


@dataclass(frozen=True, slots=True)
class Port:
    """A typed socket of a kind, or one of its settings.

    `many` takes several links: a list port joins them into one list, any other port gets a list with
    one item a link. `setting` puts it among the controls rather than the sockets. `shapes` means that
    its value decides which ports the node has, so it is written down, never linked. `path` means that
    a relative text in it is a path (`"path"`), or a path unless it is a URL (`"url"`).

    A list into a port of type `any` is one value, unless `maps` says otherwise: with `"always"` the node
    runs once per item, with `"along"` it does so when another input makes it.
    """

    name: str
    type: PortType
    about: str = ""
    default: Any = REQUIRED
    many: bool = False
    setting: bool = False
    shapes: bool = False
    maps: str | None = None
    path: str | None = None
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    multiline: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Ports:
    """The inputs (settings among them) and outputs that one node has."""

    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, PortType] = field(default_factory=dict)


Coercion = Callable[[Any], Any]


def number_to_text(value: float) -> str:
    """`3` for 3 and 3.0, `2.5` for 2.5: what a person would write."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    try:
        return str(value)
    except ValueError as error:
        raise InputError("an integer of more than 4,300 digits cannot become a text") from error


def _text_of(value: Any) -> str:
    return str(value.text)


_TO_TEXT: dict[str, Coercion] = {
    "number": number_to_text,
    "boolean": lambda value: "true" if value else "false",
    "document": _text_of,
    "hit": _text_of,
    "message": lambda value: str(value.content),
    "model": str,
}


@dataclass(frozen=True, slots=True)
class LinkFit:
    """How a link's value reaches its port: `maps` levels of list are walked, then `coerce` is applied."""

    maps: int = 0
    coerce: Coercion | None = None


def join_link(source: PortType, port: Port) -> LinkFit | str:
    """How a value of type `source` enters `port`, or, in words, why it cannot."""
    target = port.type
    if port.maps == "always" and source.depth > target.depth:
        return LinkFit(source.depth - target.depth)
    if source.is_open and target != PortType("any"):
        return LinkFit(0, lambda value: expect(value, target))
    if target.base == "any" and source.depth >= target.depth:
        return LinkFit()
    if target == PortType("json"):
        target = PortType("json", source.depth)
    fit = _item_fit(source.base, target.base)
    if isinstance(fit, str) or target.depth > source.depth + 1:
        return f"a {source} cannot become a {target}"
    surplus = source.depth - target.depth
    if surplus < 0:
        return LinkFit(0, _wrapped(_deep(fit.coerce, source.depth)))
    if port.many:
        return f"a {source} cannot become a {target}" if surplus else LinkFit(0, _deep(fit.coerce, target.depth))
    return LinkFit(surplus, _deep(fit.coerce, target.depth))


def _item_fit(source: str, target: str) -> LinkFit | str:
    """How one item of base type `source` becomes one of base type `target`; a text if it cannot."""
    if source == target or target == "any" or (source, target) in _SAME:
        return LinkFit()
    if source in ("any", "json"):
        wanted = PortType(target)
        return LinkFit(0, lambda value: expect(value, wanted))
    if target == "text" and source in _TO_TEXT:
        return LinkFit(0, _TO_TEXT[source])
    if target == "json" and source in _FROM_DICT:
        return LinkFit(0, _json_form)
    return "no way"


_SAME: Final = frozenset(
    {("text", "model"), ("model", "text"), ("image", "file"), ("audio", "file")}
    | {(base, "json") for base in ("text", "number", "boolean", "vector", "model")}
)


def _wrapped(coerce: Coercion | None) -> Coercion:
    if coerce is None:
        return lambda value: [value]
    return lambda value: [coerce(value)]


def _deep(coerce: Coercion | None, depth: int) -> Coercion | None:
    """`coerce` applied to every item `depth` lists down."""
    if coerce is None or not depth:
        return coerce
    inner = _deep(coerce, depth - 1)
    assert inner is not None
    return lambda values: [inner(value) for value in values]


def _json_form(value: Any) -> Any:
    from phloem.runtime.codec import UnstorableValue, json_form

    try:
        return json_form(value, whole=True)
    except UnstorableValue as error:
        raise InputError(error.message) from None


_CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "document": (Document,),
    "hit": (Hit,),
    "message": (Message,),
    "image": (Blob,),
    "audio": (Blob,),
    "file": (Blob,),
    "model": (str,),
    "collection": (Collection,),
}


def expect(value: Any, wanted: PortType) -> Any:
    """`value` as a `wanted`, turned where nothing is lost; InputError says what came instead."""
    if wanted.depth:
        if isinstance(value, tuple):
            value = list(value)
        if not isinstance(value, list):
            return [expect(value, wanted.item)]
        return [expect(item, wanted.item) for item in value] if wanted.base != "any" else value
    if wanted.base == "any":
        return value
    if wanted.base == "json":
        return _json_form(value)
    if wanted.base == "text" and not isinstance(value, str | list | tuple):
        turn = _TO_TEXT.get(type_of_value(value).base)
        if turn is not None:
            return turn(value)
    if _is(value, wanted.base):
        return value
    if isinstance(value, dict) and wanted.base in _FROM_DICT:
        return _from_dict(value, wanted.base)
    raise InputError(f"expected {wanted}, got {type_of_value(value)}: {_short(value)}")


def _is(value: Any, base: str) -> bool:
    if base == "vector":
        return isinstance(value, list) and all(type(item) in (int, float) for item in value)
    return isinstance(value, _CLASSES[base]) and (base == "boolean" or not isinstance(value, bool))


_FROM_DICT: Final[dict[str, type]] = {"document": Document, "hit": Hit, "message": Message, "collection": Collection}


def _from_dict(value: dict[str, Any], base: str) -> Any:
    """A document, hit, message or collection from its JSON form."""
    return _made(value, _FROM_DICT[base], base)


def _made(value: dict[str, Any], cls: type, called: str) -> Any:
    hints = get_type_hints(cls)
    try:
        made = cls(**{name: _field(item, hints.get(name), called) for name, item in value.items()})
    except TypeError:
        raise InputError(f"expected the JSON form of a {called}, got {_short(value)}") from None
    for name, hint in hints.items():
        if not _is_a(getattr(made, name), hint):
            raise InputError(f"expected the JSON form of a {called}, but its {name} is {_short(value[name])}")
    return made


def _field(value: Any, hint: Any, called: str) -> Any:
    """The value of a field: in a list of values with fields of their own each is made from its JSON form."""
    if get_origin(hint) is not tuple or not isinstance(value, list):
        return value
    inner = get_args(hint)[0]
    return tuple(_made(one, inner, called) if isinstance(one, dict) else one for one in value)


def _is_a(value: Any, hint: Any) -> bool:
    """True for a value of a field's type, as far as values' fields have types."""
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, get_origin(hint) or hint)


def _short(value: Any) -> str:
    from phloem.runtime.events import preview

    return preview(value, 60).text


def type_of_value(value: Any, levels: int = DEEPEST_LIST) -> PortType:
    """The narrowest port type that holds `value`; lists take the type their items share.

    Looks into no more than `levels` lists in one another; what is deeper counts as `any`.
    """
    if isinstance(value, list | tuple):
        types = {type_of_value(item, levels - 1) for item in value} if levels else set()
        return types.pop().listed if len(types) == 1 else PortType("any", 1)
    if isinstance(value, bool):
        return PortType("boolean")
    for base in ("text", "number", "document", "hit", "message", "collection", "file"):
        if isinstance(value, _CLASSES[base]):
            return PortType(base)
    if value is None or isinstance(value, dict):
        return PortType("json")
    return PortType("any")
