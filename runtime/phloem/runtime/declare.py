"""`@node`: a typed function is a node kind.

Parameters are input ports, parameters annotated with a Setting are controls, the return type is the
output, the docstring is the help. The function comes back unchanged, so its test just calls it.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from phloem.runtime.kinds import Effect, Estimator, Example, Migration, Need, Nesting, NodeKind, Runs
from phloem.runtime.ports import REQUIRED, Port, Ports, PortType
from phloem.runtime.values import Blob, Collection, Document, Hit, Message

__all__ = ["In", "Out", "Setting", "kind_of", "kinds_in", "node"]

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__phloem_node__"
_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


@dataclass(frozen=True, slots=True)
class In:
    """Words about an input port, and whether it takes many links. See Port."""

    about: str = ""
    many: bool = False
    maps: Literal["always", "along"] | None = None
    path: Literal["path", "url"] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Makes a parameter a control: words about it, its bounds, whether it wants a large field. See Port."""

    about: str = ""
    ge: float | None = None
    le: float | None = None
    multiline: bool = False
    shapes: bool = False
    path: Literal["path", "url"] | None = None


@dataclass(frozen=True, slots=True)
class Out:
    """The name of an output port, where the return type does not give it."""

    name: str


@dataclass(frozen=True, slots=True)
class _Declaration:
    id: str
    title: str
    options: dict[str, Any] = field(default_factory=dict)


def node(
    id: str,
    title: str,
    *,
    version: int = 1,
    needs: Sequence[str] = (),
    effect: Effect = "pure",
    blocking: bool = False,
    ports: Callable[[Mapping[str, Any], Mapping[str, PortType]], Ports] | None = None,
    stamp: Callable[..., Any] | None = None,
    estimate: Estimator | None = None,
    examples: Sequence[Example] = (),
    migrations: Mapping[int, Migration] | None = None,
    nests: Nesting | None = None,
) -> Callable[[Function], Function]:
    """Declare the decorated function to be version `version` of the node kind `id`.

    `async def` runs as a task. A plain function runs inline when it is pure, and in a thread when it
    is `blocking` or touches anything. One that `nests` takes a Body, after the Context if it takes one, and by `**`
    the inputs of the body. The other words are those of NodeKind.
    """
    options = {
        "version": version, "needs": tuple(Need.parse(need) for need in needs), "effect": effect, "blocking": blocking,
        "ports": ports, "stamp": stamp, "estimate": estimate, "examples": tuple(examples),
        "migrations": migrations or {}, "nests": nests,
    }  # fmt: skip

    def mark(function: Function) -> Function:
        setattr(function, _MARK, _Declaration(id, title, options))
        return function

    return mark


def kinds_in(module: types.ModuleType) -> Iterator[NodeKind]:
    """Every kind declared in `module`, in the order of the file; of a package also what it imports from its modules."""
    for value in vars(module).values():
        home = getattr(value, "__module__", None) or ""
        if (home == module.__name__ or home.startswith(f"{module.__name__}.")) and hasattr(value, _MARK):
            yield kind_of(value)


def kind_of(function: Callable[..., Any]) -> NodeKind:
    """The kind that `@node` declared on `function`; TypeError if its signature is not one for a node."""
    declared: _Declaration = getattr(function, _MARK)
    if not _ID.fullmatch(declared.id):
        raise TypeError(f"{declared.id!r} cannot be the id of a kind: write family.name in small letters")
    options = dict(declared.options)
    hints = get_type_hints(function, include_extras=True)
    nests = options["nests"] is not None
    inputs, takes_context, has_rest = _inputs(declared.id, function, hints, nests=nests)
    outputs, streams = _outputs(declared.id, hints.get("return", Any))
    if nests:
        _check_nesting(declared.id, function, has_rest)
        outputs = {}
    elif has_rest and options["ports"] is None:
        raise TypeError(f"{declared.id}: a function with **{has_rest} needs ports= to say which inputs it has")
    return NodeKind(
        id=declared.id,
        title=declared.title,
        about=inspect.cleandoc(function.__doc__ or ""),
        inputs=inputs,
        outputs=outputs,
        function=function,
        runs=_runs(function, options.pop("blocking"), options["effect"]),
        takes_context=takes_context,
        streams=streams,
        **options,
    )


def _check_nesting(id: str, function: Callable[..., Any], has_rest: str) -> None:
    names = [name for name in inspect.signature(function).parameters if name != "ctx"]
    if not inspect.iscoroutinefunction(function) or names[:1] != ["body"] or not has_rest:
        raise TypeError(f"{id}: a kind that nests is an `async def` with a parameter body (after ctx) and **inputs")


def _runs(function: Callable[..., Any], blocking: bool, effect: Effect) -> Runs:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "task"
    return "thread" if blocking or effect in ("reads", "writes") else "inline"


def _inputs(
    id: str, function: Callable[..., Any], hints: Mapping[str, Any], *, nests: bool
) -> tuple[dict[str, Port], bool, str]:
    """The ports of a signature, whether its first parameter is a Context, and the name of its `**` one."""
    inputs: dict[str, Port] = {}
    takes_context, rest = False, ""
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if index == 0 and parameter.name == "ctx":
            takes_context = True
        elif nests and parameter.name == "body":
            continue
        elif parameter.kind is parameter.VAR_KEYWORD:
            rest = parameter.name
        elif parameter.name not in hints:
            raise TypeError(f"{id}: the parameter {parameter.name} has no type")
        else:
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            inputs[parameter.name] = _port(id, parameter.name, hints[parameter.name], default)
    return inputs, takes_context, rest


def _port(id: str, name: str, hint: Any, default: Any) -> Port:
    port_type, notes, choices = _read(id, hint)
    words = next((note for note in notes if isinstance(note, In | Setting)), None)
    if isinstance(words, Setting):
        return Port(
            name, port_type, words.about, default, setting=True, shapes=words.shapes, path=words.path,
            ge=words.ge, le=words.le, choices=choices, multiline=words.multiline,
        )  # fmt: skip
    words = words or In()
    return Port(
        name, port_type, words.about, default, many=words.many, maps=words.maps, path=words.path, choices=choices
    )


def _outputs(id: str, hint: Any) -> tuple[dict[str, PortType], str | None]:
    """The outputs a return type declares, and the one that streams, if any."""
    if hint is None or hint is type(None):
        return {}, None
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = get_type_hints(hint, include_extras=True)
        return {name: _read(id, fields[name])[0] for name in getattr(hint, "_fields")}, None  # noqa: B009
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    name = next((note.name for note in notes if isinstance(note, Out)), None)
    if get_origin(bare) is AsyncIterator:
        item = _read(id, get_args(bare)[0])[0]
        streamed = item if item.base == "text" else item.listed
        return {name or streamed.base: streamed}, name or streamed.base
    port_type = _read(id, hint)[0]
    return {name or port_type.base: port_type}, None


_PLAIN: dict[Any, str] = {
    str: "text", int: "number", float: "number", bool: "boolean", dict: "json", Any: "any", object: "any",
    Document: "document", Hit: "hit", Message: "message", Blob: "file", Collection: "collection",
}  # fmt: skip


def _read(id: str, hint: Any) -> tuple[PortType, tuple[Any, ...], tuple[str, ...]]:
    """The port type of an annotation, the notes on it, and its choices if it is a Literal."""
    origin = get_origin(hint)
    if origin is Annotated:
        bare, *notes = get_args(hint)
        given = next((note for note in notes if isinstance(note, PortType)), None)
        if given is not None:
            return given, tuple(notes), ()
        port_type, inner, choices = _read(id, bare)
        return port_type, (*inner, *notes), choices
    if origin in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        if len(rest) == 1 or all(part in (int, float) for part in rest):
            return _read(id, rest[0])
    if origin is Literal:
        return PortType("text"), (), tuple(str(choice) for choice in get_args(hint))
    return _bare(id, hint), (), ()


def _bare(id: str, hint: Any) -> PortType:
    """The port type of an annotation without notes; TypeError if there is none."""
    origin = get_origin(hint)
    if origin in (list, Sequence):
        return _read(id, get_args(hint)[0])[0].listed
    if hint is list:
        return PortType("any", 1)
    base = "json" if origin is dict else _PLAIN.get(hint)
    if base is None:
        raise TypeError(f"{id}: {hint!r} is not a type that a port can have")
    return PortType(base)
