"""JMESPath queries, parsed once and run within limits.

A query can hold the same list many times over without copying it (`[@,@] | [@,@] | …`), and then walk all
of it; so what it builds is weighed, and its time is counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jmespath.functions
from jmespath.exceptions import (
    ArityError,
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    JMESPathTypeError,
    ParseError,
)
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter
from phloem.nodes.shown import LARGEST_TEXT, weigh
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.words import nearest, or_list

__all__ = ["Query", "compiled"]

LONGEST: Final = 10_000
SECONDS: Final = 5.0

_FUNCTIONS: Final = jmespath.functions.Functions.FUNCTION_TABLE
_KINDS: Final = {
    "array": "list", "string": "text", "str": "text", "int": "number", "float": "number", "bool": "boolean",
    "dict": "object", "NoneType": "null",
}  # fmt: skip
"""What JMESPath and Python call the types, in our words."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query ready to run."""

    text: str
    _tree: Any

    def find(self, value: Any) -> Any:
        """What the query finds in `value` (JSON data), null if nothing.

        InputError when a function in it does not apply to what it is given, SettingError when it builds
        more than LARGEST_TEXT or takes longer than SECONDS.
        """
        try:
            return _Interpreter().visit(self._tree, value)
        except JMESPathTypeError as error:
            wanted, given = or_list([_kind(name) for name in error.expected_types]), _kind(error.actual_type)
            raise InputError(
                f"in the query {_short(self.text)}: {error.function_name}() takes {wanted}, not {given}"
            ) from None
        except ArityError as error:
            raise SettingError(f"in the query {_short(self.text)}: {error}") from None
        except (JMESPathError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the query {_short(self.text)} does not apply to the value: {error}") from None
        except RecursionError:
            raise InputError("the value is nested too deeply for a query") from None


@lru_cache(maxsize=256)
def compiled(text: str) -> Query:
    """The query with this text. SettingError says what is wrong with it, and where."""
    if len(text) > LONGEST:
        raise SettingError(f"the query is longer than {LONGEST:,} characters")
    try:
        tree = Parser().parse(text).parsed
    except EmptyExpressionError:
        raise SettingError("the query is empty", hint="@ stands for the whole value.") from None
    except IncompleteExpressionError:
        raise SettingError(f"the query {_short(text)} ends too early") from None
    except ParseError as error:
        what = repr(str(error.token_value)[:40])
        raise SettingError(
            f"the query {_short(text)} is wrong at character {error.lex_position + 1}, at {what}",
            hint="Queries are written in JMESPath: people[?age > `30`].name, with texts in single quotes.",
        ) from None
    except (RecursionError, JMESPathError, ValueError):
        raise SettingError(f"the query {_short(text)} is not one in JMESPath") from None
    _check_functions(tree)
    return Query(text, tree)


class _Interpreter(TreeInterpreter):
    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self._left = LARGEST_TEXT
        self._ends = time.thread_time() + SECONDS

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps += 1
        if not self._steps & 255 and time.thread_time() > self._ends:
            raise SettingError(
                f"the query works for more than {SECONDS:g} seconds", hint="Give it less to look through."
            )
        return super().visit(node, *args, **kwargs)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        """Null where a number meets a text, as the specification has it; the library leaves that to Python."""
        try:
            return super().visit_comparator(node, value)
        except TypeError:
            return None

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        return self._paid(super().visit_multi_select_list(node, value))

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        return self._paid(super().visit_multi_select_dict(node, value))

    def _paid(self, built: Any) -> Any:
        self._left -= weigh(built, self._left)
        if self._left < 0:
            raise SettingError(f"the query builds more than {LARGEST_TEXT:,} items", hint="Let it pick less.")
        return built


def _check_functions(tree: Any) -> None:
    """SettingError for a function that there is not, and for a query that is only a reference to one."""
    if tree["type"] == "expref":
        raise SettingError("a query cannot begin with &; that is for the arguments of functions")
    left = [tree]
    while left:
        one = left.pop()
        if one["type"] == "function_expression" and one["value"] not in _FUNCTIONS:
            near = nearest(one["value"], _FUNCTIONS)
            hint = f"Did you mean {near}()?" if near else f"There is {or_list(sorted(_FUNCTIONS), 'and')}."
            raise SettingError(f"there is no function {one['value']}() in queries", hint=hint)
        left += [child for child in one.get("children", ()) if isinstance(child, dict)]


def _kind(name: str) -> str:
    """JMESPath's name of a type in our words."""
    base, _, item = name.partition("-")
    return f"list[{_KINDS.get(item, item)}]" if item else _KINDS.get(base, base)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"
