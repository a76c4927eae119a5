"""Which values can be the answer to which call: a person may have changed a recording, and nodes rely on the types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from phloem.runtime.values import Hit, ToolCall

__all__ = ["fits"]


def fits(call: str, asked: Mapping[str, Any], value: Any) -> bool:
    """True if `value`, as it was kept, can be what came of this question. Of one that is not known anything can: a
    node may have words of its own for what it asks, also the same."""
    if call not in _FITTING:
        return True
    has, fitting = _FITTING[call]
    return not has <= asked.keys() or fitting(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _or_nothing(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_ending(value: Any) -> bool:
    """What models.py keeps of an Ending; nothing for an answer that nobody read to its end."""
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and value.get("finish", "stop") in ("stop", "length", "calls", "refused")
        and _is_text(value.get("model", ""))
        and _list_of(lambda one: isinstance(one, ToolCall))(value.get("calls", []))
        and _list_of(_is_chance)(value.get("chances", []))
    )


def _is_chance(value: Any) -> bool:
    match value:
        case [str(), int() | float(), list(others)]:
            return all(isinstance(one, list) and list(map(type, one)) in ([str, float], [str, int]) for one in others)
    return False


def _is_model(value: Any) -> bool:
    """What models.py keeps of a ModelInfo."""
    return (
        isinstance(value, dict)
        and _is_text(value.get("name"))
        and _is_text(value.get("provider"))
        and value.get("makes") in ("text", "vectors", "scores")
        and all(_or_nothing(_is_whole)(value.get(name)) for name in ("context", "size", "parameters"))
        and _is_text(value.get("path", ""))
        and isinstance(value.get("loaded", False), bool)
        and isinstance(value.get("details", {}), dict)
    )


def _is_page(value: Any) -> bool:
    """What http.py keeps of an HttpAnswer."""
    return (
        isinstance(value, dict)
        and _is_text(value.get("url"))
        and _is_whole(value.get("status"))
        and isinstance(value.get("headers"), dict)
        and all(map(_is_text, (*value["headers"], *value["headers"].values())))
        and isinstance(value.get("body"), bytes)
    )


_FITTING: Final[dict[str, tuple[set[str], Callable[[Any], bool]]]] = {
    "answer": ({"model"}, _is_ending),
    "embed": ({"model", "texts"}, _list_of(_list_of(_is_number))),
    "rerank": ({"model", "query", "texts"}, _list_of(_is_number)),
    "count": ({"model"}, _is_whole),
    "about": ({"model"}, _is_model),
    "estimate": ({"model", "read", "written"}, _or_nothing(_is_number)),
    "identity": ({"model"}, _is_text),
    "request": ({"method", "url"}, _is_page),
    "now": (set(), _is_number),
    "ask": ({"asks", "type", "choices"}, lambda value: isinstance(value, list) and len(value) <= 1),
    "files.read": ({"path"}, lambda value: isinstance(value, bytes)),
    "files.list": ({"path", "pattern"}, _list_of(_is_text)),
    "files.digest": ({"path"}, _is_text),
    "collection.search": ({"collection", "vector"}, _list_of(lambda one: isinstance(one, Hit))),
    "collection.about": ({"collection"}, _or_nothing(_is_text)),
    "collection.state": ({"collection"}, _is_text),
    "collection.note": ({"collection"}, _is_text),
    "collection.digest": ({"collection", "ids"}, _is_text),
    "collection.keep_only": ({"collection", "ids"}, _is_whole),
    "collection.clear": ({"collection"}, _is_whole),
}
"""By call what a question has at least, and what its answer is."""
