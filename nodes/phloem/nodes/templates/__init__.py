"""Jinja2 templates that a stranger may have written: parsed once, rendered within limits.

`compiled(source)` gives a Template, whose `fields` are the names that it wants to be told. The limits
themselves, on work and on memory, are in `budget` and `guards`; `sandbox` is where Jinja2 meets them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.errors import InputError, NodeError, SettingError
from phloem.runtime.words import nearest

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

__all__ = ["Template", "compiled"]

LONGEST: Final = 200_000
"""Characters of a template's own text; a prompt has a few thousand, and Jinja2 reads about 200,000 a second."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template ready to render.

    The `optional` among the `fields` are those that it asks about before use; null in one is as good as nothing.
    The `whole` ones it uses as lists (it goes through them, counts or joins them); the others it only writes.
    """

    fields: tuple[str, ...]
    optional: frozenset[str]
    whole: frozenset[str]
    _jinja: jinja2.Template

    def render(self, values: Mapping[str, Any]) -> str:
        """The text for these values.

        SettingError when the template asks for too much or for what a template may not have, InputError
        when a value is not as it needs it; both say in which line.
        """
        from phloem.nodes.templates.budget import Work, collected, current

        known = {name: value for name, value in values.items() if value is not None or name not in self.optional}
        work = Work()
        token = current.set(work)
        try:
            return collected(self._jinja.generate(known), work)
        except Exception as error:
            raise _failure(error) from error
        finally:
            current.reset(token)


@lru_cache(maxsize=512)
def compiled(source: str) -> Template:
    """The template with this text. SettingError says what is wrong with it, and in which line."""
    if len(source) > LONGEST:
        raise SettingError(
            f"the template is longer than {LONGEST:,} characters", hint="Put long text in through a field."
        )
    from jinja2 import TemplateSyntaxError, meta
    from phloem.nodes.templates.budget import Work, current
    from phloem.nodes.templates.sandbox import bounded, environment

    jinja = environment()
    token = current.set(Work())
    try:
        tree = jinja.parse(source)
        _check_names(tree, jinja)
        fields = sorted(meta.find_undeclared_variables(tree) - set(jinja.globals))
        optional = frozenset(_asked_about(tree))
        whole = frozenset(_taken_whole(tree))
        template = jinja.from_string(bounded(tree))
    except TemplateSyntaxError as error:
        raise SettingError(f"line {error.lineno}: {_lower(error.message)}") from None
    except (RecursionError, MemoryError, SyntaxError):
        raise SettingError("the template is nested too deeply") from None
    finally:
        current.reset(token)
    return Template(tuple(fields), optional & set(fields), whole & set(fields), template)


def _check_names(tree: nodes.Template, jinja: jinja2.Environment) -> None:
    """SettingError for a filter or test that there is not. Jinja2 lets some of them pass until they are reached."""
    from jinja2 import nodes

    for what, known, used in (("filter", jinja.filters, nodes.Filter), ("test", jinja.tests, nodes.Test)):
        for one in tree.find_all(used):
            if one.name not in known:
                near = nearest(one.name, [name for name in known if not name.startswith("_")])
                hint = f"Did you mean {near}?" if near else None
                raise SettingError(f"line {one.lineno}: there is no {what} called {one.name}", hint=hint)


def _asked_about(tree: nodes.Template) -> Iterator[str]:
    """The names that stand directly before `is defined` or `| default(…)`: the template can do without."""
    from jinja2 import nodes

    for test in tree.find_all(nodes.Test):
        if test.name in ("defined", "undefined", "none") and isinstance(test.node, nodes.Name):
            yield test.node.name
    for filter in tree.find_all(nodes.Filter):
        if filter.name in ("default", "d") and isinstance(filter.node, nodes.Name):
            yield filter.node.name


_OF_ITEMS: Final = frozenset(
    {
        "batch", "count", "dictsort", "first", "groupby", "items", "join", "last", "length", "list", "map", "max",
        "min", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "sum", "tojson", "unique",
    }
)  # fmt: skip
"""Jinja2's filters that look at the items of a list, or show it as one."""


def _taken_whole(tree: nodes.Template) -> Iterator[str]:
    """The names whose list is wanted as a list: gone through, indexed, searched, or handed on to something."""
    from jinja2 import nodes

    for one in tree.find_all((nodes.For, nodes.Filter, nodes.Getitem, nodes.Compare, nodes.Call, nodes.Assign)):
        if isinstance(one, nodes.For):
            taken: list[nodes.Node] = [one.iter]
        elif isinstance(one, nodes.Filter):
            taken = [one.node] if one.name in _OF_ITEMS and one.node is not None else []
        else:
            taken = list(one.iter_child_nodes())
        for part in taken:
            if isinstance(part, nodes.Name):
                yield part.name
            yield from (name.name for name in part.find_all(nodes.Name))


def _failure(error: Exception) -> NodeError:
    """What a person is told about an error that came up while rendering."""
    from jinja2 import TemplateRuntimeError, UndefinedError
    from jinja2.exceptions import SecurityError
    from phloem.nodes.templates.budget import TooMuch

    line = _line(error.__traceback__)
    where = f"line {line}: " if line else ""
    if isinstance(error, NodeError):
        return type(error)(f"{where}{error.message}", hint=error.hint)
    if isinstance(error, TooMuch):
        return SettingError(f"{where}{error}", hint="Give the template less, or loop over less.")
    if isinstance(error, UndefinedError) and not isinstance(error, SecurityError):
        return InputError(f"{where}{error.message}")
    if isinstance(error, OverflowError) and "MAX_RANGE" in str(error):
        return SettingError(f"{where}range() goes to 100,000 in a template")
    if isinstance(error, RecursionError | MemoryError):
        return SettingError(f"{where}the template calls itself without end, or nests too deeply")
    if isinstance(error, TemplateRuntimeError):
        return SettingError(f"{where}{_lower(str(error.message))}")
    return InputError(f"{where}{_lower(str(error)) or type(error).__name__}")


def _line(traceback: TracebackType | None) -> int | None:
    """The line of the template that was being rendered; Jinja2 puts it into the traceback."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _lower(message: str | None) -> str:
    """A library's sentence as a part of ours."""
    text = (message or "").strip().rstrip(".")
    return text[:1].lower() + text[1:500]
