"""What a template may do, and how much of it.

Jinja2's sandbox keeps a template away from Python's insides. It does not keep it from running for an
hour or from filling the memory, so this adds two budgets, counted wherever a template can repeat or
multiply something: processor time, and characters made. Loops, concatenations and list literals are
rewritten to pass by here; calls, operators and filters pass by here through the sandbox's own hooks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, filters, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import missing, pass_environment
from jinja2.visitor import NodeTransformer
from phloem.nodes.shown import as_json, as_text, weigh
from phloem.nodes.templates.budget import MADE, TooMuch, current
from phloem.nodes.templates.guards import FILTERS, METHODS, MOST_PARTS, OPERATORS, WIDEST, check, fits
from phloem.runtime.errors import SettingError
from phloem.runtime.values import Blob, Message

__all__ = ["bounded", "environment"]


@functools.cache
def environment() -> Environment:
    """The one environment that every template is compiled in."""
    made = _Environment(
        undefined=_Missing,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    made.filters = {name: _counted(name, filter) for name, filter in _filters().items()}
    made.globals.pop("lipsum")
    return made


def bounded(tree: nodes.Template) -> nodes.Template:
    """The tree, rewritten so that every loop and everything it builds is counted."""
    forbidden = next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None)
    if forbidden is not None:
        raise SettingError(f"line {forbidden.lineno}: a template cannot include, import or extend another")
    recursive = next((loop for loop in tree.find_all(nodes.For) if loop.recursive), None)
    if recursive is not None:
        raise SettingError(f"line {recursive.lineno}: recursive loops are not available", hint="Call a macro instead.")
    rewritten: nodes.Template = _Counting().visit(tree)
    return rewritten


class _Counting(NodeTransformer):
    """Sends loops, `~` and literals of lists and objects through filters that count."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        text = sum(len(one.data) for one in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.iter = _through("_steps", node.iter, nodes.Const(text))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _through("_joined", nodes.Tuple(node.nodes, "load", lineno=node.lineno))

    def visit_List(self, node: nodes.List) -> nodes.Filter:
        self.generic_visit(node)
        return _through("_built", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Filter:
        self.generic_visit(node)
        return _through("_built", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:
        self.generic_visit(node)
        return _through("_built", node) if node.ctx == "load" else node


def _through(filter: str, node: nodes.Node, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, filter, list(arguments), [], None, None, lineno=node.lineno)


class _Steps:
    """An iterable whose every step is paid for, with the text that the loop's body writes."""

    def __init__(self, items: Any, text: int) -> None:
        self._items = items
        self._text = text + 1

    def __iter__(self) -> Iterator[Any]:
        spend = current.get().spend
        for item in self._items:
            spend(self._text)
            yield item

    def __len__(self) -> int:
        return len(self._items)


class _Missing(StrictUndefined):
    """Says what is missing in the words of the data, not of Python."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name, owner = self._undefined_name, self._undefined_obj
        if owner is missing:
            return f"there is nothing called {name}"
        if isinstance(owner, dict):
            keys = ", ".join(str(key)[:40] for key in islice(owner, 8))
            return f"the object has no {name}; it has {keys or 'nothing'}"
        if isinstance(owner, list | tuple) and isinstance(name, int):
            return f"the list has {len(owner)} items, so there is no item {name}"
        what = {str: "a text", int: "a number", float: "a number", list: "a list", type(None): "null"}
        return f"{what.get(type(owner), 'a ' + type(owner).__name__.lower())} has no {name}"


class _Formatter(SandboxedFormatter):
    """`str.format` with widths that a page could hold."""

    def format_field(self, value: Any, spec: str) -> str:
        if re.search(r"\d{5}", spec):
            raise TooMuch(f"a width in a format is at most {WIDEST - 1:,}")
        text: str = super().format_field(value, spec)
        current.get().spend(len(text))
        return text


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of an object before a method of Python's dict: `row.items` is the column `items`."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, Message) and attribute == "text":
            return obj.content
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        known = _ATTRIBUTES.get(type(obj))
        return attr in known if known is not None else super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        pattern, formatter = value.__self__, _Formatter(self)
        if value.__name__ == "format_map":
            return lambda mapping: formatter.vformat(pattern, (), mapping)
        return lambda *arguments, **named: formatter.vformat(pattern, arguments, named)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        work = current.get()
        work.spend(1)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            check(METHODS, __obj.__name__, (owner, *args), kwargs)
        return work.weighed(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check(OPERATORS, operator, (left, right), {})
        return current.get().weighed(super().call_binop(context, operator, left, right))


def _filters() -> Mapping[str, Callable[..., Any]]:
    """Jinja2's filters but for those that give chance, markup, or more work than they are given text."""
    left_out = {"attr", "forceescape", "pprint", "random", "safe", "urlize", "xmlattr"}
    ours: dict[str, Callable[..., Any]] = {
        "e": _escape, "escape": _escape, "join": _join, "string": as_text, "striptags": _striptags,
        "tojson": lambda value, indent=None: as_json(value, indent), "count": _length, "length": _length,
        "_built": lambda value: value, "_joined": lambda parts: "".join(map(as_text, parts)), "_steps": _Steps,
    }  # fmt: skip
    return {**{name: filter for name, filter in filters.FILTERS.items() if name not in left_out}, **ours}


def _counted(name: str, filter: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose arguments are looked at first, and whose result is paid for."""
    first = 1 if hasattr(filter, "jinja_pass_arg") else 0

    @functools.wraps(filter, assigned=(), updated=("__dict__",) if hasattr(filter, "__dict__") else ())
    def counted(*args: Any, **kwargs: Any) -> Any:
        work = current.get()
        work.spend(1)
        check(FILTERS, name, args[first:], kwargs)
        return work.weighed(filter(*args, **kwargs))

    return counted


def _printed(value: Any) -> str:
    """What `{{ value }}` writes."""
    if isinstance(value, Iterator | range):
        value = list(islice(value, MOST_PARTS))
    text = as_text(value)
    current.get().spend(len(text))
    return text


@pass_environment
def _join(environment: Environment, value: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
    parts = value if attribute is None else map(filters.make_attrgetter(environment, attribute), value)
    texts, between = [as_text(part) for part in parts], as_text(d)
    fits(weigh(texts, MADE) + len(between) * len(texts))
    return between.join(texts)


def _escape(value: Any) -> str:
    """The text with &, <, > and quotes written as HTML does; a plain text, so that it mixes with others."""
    from html import escape

    return escape(as_text(value))


def _striptags(value: Any) -> str:
    """The text without its tags and comments. Jinja2's own takes quadratic time."""
    return " ".join(re.sub(r"(?s)<!--.*?(?:-->|\Z)|<[^<>]*>", "", as_text(value)).split())


def _length(value: Any) -> int:
    return sum(1 for _ in value) if isinstance(value, Iterator) else len(value)


_ATTRIBUTES: Final[dict[type, frozenset[str]]] = {
    str: frozenset({
        "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map",
        "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace",
        "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix",
        "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
        "strip", "swapcase", "title", "upper", "zfill",
    }),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    Blob: frozenset({"media_type", "name"}),
    **dict.fromkeys((int, float, bool, bytes, type(None)), frozenset()),
}  # fmt: skip
"""The attributes that a template sees of each type; of Document, Hit and Message it sees the fields."""
