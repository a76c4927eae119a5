"""What is heard of an answer while it comes, whoever speaks: text, calls, costs, and careful looks at JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.runtime.errors import ServiceError
from phloem.runtime.values import ToolCall

__all__ = ["Heard", "PartOfCall", "count", "items", "mapping", "number", "text"]

MOST_CALLS: Final = 1_000
LONGEST_NAME: Final = 300


@dataclass(slots=True)
class Heard:
    """What one answer has cost so far, as the provider tells it: None where it does not.

    `cached` of the tokens that were `read` had been read before. `money` is US dollars. `said` is all that was written
    so far in its pieces, text and arguments, from which the cost is estimated when nobody tells it.
    """

    read: int | None = None
    written: int | None = None
    cached: int = 0
    money: float | None = None
    said: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PartOfCall:
    """A call of a tool, as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def whole(self, position: int, endpoint: Endpoint) -> ToolCall:
        """The call; ServiceError if its arguments are not a JSON object. Half characters in them are replaced."""
        written = "".join(self.arguments).strip() or "{}"
        try:
            # Python reads NaN and half characters, which nobody else can.
            sound = text(json.dumps(json.loads(written), ensure_ascii=False, allow_nan=False))
            arguments = json.loads(sound)
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict) or not self.name:
            raise ServiceError(
                f"{endpoint.full} calls the tool {self.name[:60]!r} with arguments that are not a JSON object: "
                f"{written[:200]!r}",
                hint="Simplify the tool's parameters, or choose a model that is better at calling tools.",
            )
        return ToolCall(self.id or f"call_{position}", self.name[:LONGEST_NAME], arguments)


def mapping(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """`value` if it is a text that can be written down, else an empty one. Half characters are replaced."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def count(value: object) -> int | None:
    """`value` if it is a number of things, else None."""
    found = number(value)
    return None if found is None or not 0 <= found < 2**53 else int(found)


def number(value: object) -> float | None:
    """`value` if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
