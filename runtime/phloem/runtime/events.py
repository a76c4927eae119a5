"""What happens in a run, as small records: the only thing the engine emits.

Each has the run's id, its number in the run (`seq`, from 0, without gaps) and the time (`at`, seconds
since 1970). A node inside a nested workflow is named by its path, `each/3/read`. Values are too large
and too private to travel in events: they appear as previews.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from phloem.runtime.codec import json_form
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message

__all__ = [
    "Event",
    "NodeChunk",
    "NodeFailed",
    "NodeFinished",
    "NodeProgress",
    "NodePrompt",
    "NodeRetrying",
    "NodeSkipped",
    "NodeStarted",
    "NodeWaiting",
    "Preview",
    "RunFinished",
    "RunStarted",
    "Status",
    "from_json",
    "preview",
    "to_json",
]

Status = Literal["done", "failed", "limited", "cancelled", "waiting"]

PREVIEW_LENGTH: Final = 200
_GIANT: Final = 4096


@dataclass(slots=True)
class Preview:
    """The beginning of a value: its type, at most 200 characters of it, and its size.

    The size counts characters of a text, items of a list or object, bytes of a file. `type` is
    `unlit` for an output that was not lit.
    """

    type: str
    text: str
    size: int


@dataclass(slots=True)
class Event:
    run: str
    seq: int
    at: float


@dataclass(slots=True)
class RunStarted(Event):
    """The run begins; `nodes` are those that may run, in an order in which they could. With the same `seed`
    another run makes the same choices where chance decides. One that is `resumed` goes on where it was left: what had
    finished then is told once more, as cached."""

    title: str
    nodes: list[str]
    seed: int = 0
    resumed: bool = False


@dataclass(slots=True)
class NodeStarted(Event):
    node: str


@dataclass(slots=True)
class NodeProgress(Event):
    """`fraction` of 1 is done, if that is known; `message` is a line to show, if there is one."""

    node: str
    fraction: float | None = None
    message: str = ""


@dataclass(slots=True)
class NodeChunk(Event):
    """The next piece of a text output; `item` is the place in the list when the node runs once per item."""

    node: str
    port: str
    text: str
    item: int | None = None


@dataclass(slots=True)
class NodePrompt(Event):
    """The exact text that goes to a model, in the form in which the model reads it. Only in runs that were asked to
    tell it. `item` is the place in the list when the node runs once per item."""

    node: str
    model: str
    text: str
    item: int | None = None


@dataclass(slots=True)
class NodeFinished(Event):
    """The node's outputs are there. `seconds` is its own time, waiting for its turn left out.

    `tokens_in` and `tokens_out` were read and written by models, and `money` (US dollars) is what that cost; of
    a cached result, when it was made.
    """

    node: str
    outputs: dict[str, Preview]
    seconds: float
    cached: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0


@dataclass(slots=True)
class NodeFailed(Event):
    """`error` is the name of the error's class; `action` says what the node's `on_error` makes of it, or that
    the run ends at its limit (`limit`). What the node had spent is told as for one that finished."""

    node: str
    error: str
    message: str
    hint: str | None = None
    action: str = "stop"
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0


@dataclass(slots=True)
class NodeSkipped(Event):
    node: str
    because: str


@dataclass(slots=True)
class NodeRetrying(Event):
    """Attempt number `attempt` failed with `message`; the next begins in `wait` seconds."""

    node: str
    attempt: int
    wait: float
    message: str


@dataclass(slots=True)
class NodeWaiting(Event):
    """The node can go on only after something outside: a person, a grant, a time. `until` is when it goes on at the
    latest, in seconds since 1970, if that is known. What comes next of the node says that it goes on.

    `asks` is the question where a person is asked; `takes` is the type of the answer, and `choices`, if there are any,
    are all that may be answered."""

    node: str
    waits_for: str
    until: float | None = None
    asks: str = ""
    takes: str = ""
    choices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RunFinished(Event):
    """The end. `outputs` are the workflow's, as JSON; null stands for one that was skipped.

    What was spent is that of the whole run: of results from the cache nothing, of what failed and what was
    tried again all of it. `message` and `hint` say which limit a run stopped at that is `limited`. A run that is
    `waiting` has left off until a person answers, and can be resumed.
    """

    status: Status
    outputs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    message: str = ""
    hint: str | None = None


_TYPES: Final[dict[str, type[Event]]] = {
    cls.__name__: cls
    for cls in (
        RunStarted, NodeStarted, NodeProgress, NodeChunk, NodePrompt, NodeFinished, NodeFailed, NodeSkipped,
        NodeRetrying, NodeWaiting, RunFinished,
    )
}  # fmt: skip
_FIELDS: Final = {cls: tuple(one.name for one in dataclasses.fields(cls)) for cls in _TYPES.values()}


def to_json(event: Event) -> dict[str, Any]:
    """The event as JSON data: its fields, and `type`, the name of its class."""
    kind = type(event)
    data: dict[str, Any] = {"run": event.run, "seq": event.seq, "at": event.at, "type": kind.__name__}
    for name in _FIELDS[kind][3:]:
        data[name] = getattr(event, name)
    if kind is NodeFinished:
        data["outputs"] = {
            port: {"type": shown.type, "text": shown.text, "size": shown.size}
            for port, shown in data["outputs"].items()
        }
    return data


def from_json(data: Mapping[str, Any]) -> Event:
    """The event that `to_json` wrote; ValueError if it is none. Fields of a newer version are left out."""
    cls = _TYPES.get(str(data.get("type")))
    if cls is None:
        raise ValueError(f"{data.get('type')!r} is not an event; events are {', '.join(_TYPES)}")
    values = {name: data[name] for name in _FIELDS[cls] if name in data}
    try:
        if cls is NodeFinished:
            values["outputs"] = {
                port: Preview(shown["type"], shown["text"], shown["size"]) for port, shown in data["outputs"].items()
            }
        return cls(**values)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"a {cls.__name__} lacks a field: {error}") from None


def preview(value: Any, length: int = PREVIEW_LENGTH) -> Preview:
    """The beginning of any value, at a cost that does not grow with it; whatever the value is, never an error."""
    if type(value) is str:
        return Preview("text", value[:length], len(value))
    try:
        return _preview(value, length)
    except Exception:
        # A value of a stranger's class may raise from anything that is asked of it.
        return Preview(type(value).__name__, _kind_name(value), 1)


def _preview(value: Any, length: int) -> Preview:
    kind = type(value)
    if kind is dict or kind is list:
        return Preview("json" if kind is dict else "list", _sketch(value, length), len(value))
    if kind is int or kind is float:
        return Preview("number", _number(value)[:length], 1)
    if kind is bool:
        return Preview("boolean", "true" if value else "false", 1)
    if value is UNLIT:
        return Preview("unlit", "", 0)
    if value is None:
        return Preview("json", "null", 0)
    return _preview_of_class(value, length)


def _preview_of_class(value: Any, length: int) -> Preview:
    kind = type(value)
    if isinstance(value, Document | Hit | Message):
        text = value.content if isinstance(value, Message) else value.text
        return Preview(kind.__name__.lower(), text[:length], len(text))
    if isinstance(value, Blob):
        return Preview("file", f"{value.name or value.media_type}"[:length], len(value.data))
    if isinstance(value, Collection):
        return Preview("collection", value.name[:length], 1)
    if isinstance(value, str):
        return Preview("text", str(value[:length]), len(value))
    name = "list" if isinstance(value, list | tuple) else "json" if isinstance(value, dict) else kind.__name__
    return Preview(name, _sketch(value, length), len(value) if hasattr(value, "__len__") else 1)


def _sketch(value: Any, length: int) -> str:
    """`value` in about the form of JSON, cut at `length` characters, looking at no more of it than that."""
    kind = type(value)
    if kind is int or kind is float:
        return _number(value)[:length]
    if isinstance(value, str):
        return f'"{value[: max(length - 2, 0)]}"'
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, dict):
        return _sketch_object(value, length)
    if isinstance(value, list | tuple):
        return _sketch_list(value, length)
    if isinstance(value, int | float):
        return _number(value)[:length]
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    return str(json_form(preview(value, length).text)) if dataclasses.is_dataclass(value) else _kind_name(value)


def _sketch_object(value: dict[Any, Any], length: int) -> str:
    parts: list[str] = []
    left = length - 2
    for key, item in value.items():
        name = f'"{key[:length]}": ' if type(key) is str else _key(key, length)
        part = name + (_sketch(item, left) if left > 0 else "")
        parts.append(part)
        left -= len(part) + 2
        if left <= 0:
            break
    return f"{{{', '.join(parts)}}}"[:length]


def _sketch_list(value: list[Any] | tuple[Any, ...], length: int) -> str:
    parts: list[str] = []
    left = length - 2
    for item in value:
        part = _sketch(item, left) if left > 0 else ""
        parts.append(part)
        left -= len(part) + 2
        if left <= 0:
            break
    return f"[{', '.join(parts)}]"[:length]


def _key(key: Any, length: int) -> str:
    return f"{_sketch(key, length)}: "


def _number(value: float) -> str:
    """A number's digits; those of a giant are not counted out, since that takes time (and Python refuses to)."""
    if isinstance(value, int) and value.bit_length() > _GIANT:
        return f"an integer of {value.bit_length():,} bits"
    return repr(value)


def _kind_name(value: Any) -> str:
    return f"<{type(value).__name__}>"
