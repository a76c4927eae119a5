"""What changed between two workflows, said in their own terms rather than in lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from phloem.runtime.document.data import input_data, limit_data, node_data
from phloem.runtime.document.scalars import double_quoted, one_line, visible
from phloem.runtime.document.tree import Path
from phloem.runtime.document.words import NODE_KEYS
from phloem.runtime.document.write import WIDTH, line_of
from phloem.runtime.workflow import Node, Workflow

__all__ = ["Change", "difference", "renamed_everywhere", "renamed_nodes", "render", "text_lines"]

_ABSENT: Final = object()
_MOST_LINES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed. `path` is where it stands in the file of the newer workflow.

    `old` and `new` are values as the file holds them (of a renamed node its ids), None where there
    is none.
    """

    action: Literal["added", "removed", "changed", "renamed"]
    path: tuple[str, ...]
    old: Any = None
    new: Any = None


def difference(old: Workflow, new: Workflow) -> list[Change]:
    """Everything that changed from `old` to `new`, in the order of the file; none for workflows that mean the same.

    The order of nodes, inputs and settings means nothing. A node under a new id whose kind and
    settings are as they were is renamed, and links to it have not changed by that.
    """
    return list(_changes(old, new, ()))


def renamed_nodes(old: Workflow, new: Workflow) -> dict[str, str]:
    """New ids by old ones, for nodes that are the same under another id, save where their links come from."""
    gone: dict[str, list[str]] = {}
    for id, node in old.nodes.items():
        if id not in new.nodes:
            gone.setdefault(_essence(node), []).append(id)
    names = {}
    for id, node in new.nodes.items():
        if id not in old.nodes and gone:
            same = gone.get(_essence(node))
            if same:
                names[same.pop(0)] = id
    return names


def renamed_everywhere(old: Workflow, new: Workflow, path: Path = ()) -> dict[Path, dict[str, str]]:
    """The renamed nodes of the workflow and of the bodies in it, by where each stands in the file of `old`."""
    names = renamed_nodes(old, new)
    found = {path: names} if names else {}
    for id, node in old.nodes.items():
        now = new.nodes.get(names.get(id, id))
        if node.do is not None and now is not None and now.do is not None and node.do is not now.do:
            found |= renamed_everywhere(node.do, now.do, (*path, "nodes", id, "do"))
    return found


def render(changes: list[Change]) -> str:
    """The changes as lines for a terminal; empty for none.

    `+` stands before what came, `-` before what went, `~` before what changed.
    """
    lines: list[str] = []
    around: tuple[str, ...] = ()
    places = []
    for change in changes:
        if _inner(change.path)[:1] == ("layout",):
            places.append(change)
            continue
        head = _head(change.path)
        if len(head) < len(change.path) and head != around:
            lines.append(f"~ {_name(head)}")
        around = head
        lines.extend(_lines(change, head))
    lines.extend(_layout_line(places))
    return "".join(f"{line}\n" for line in lines)


def _changes(old: Workflow, new: Workflow, path: tuple[str, ...]) -> Iterator[Change]:
    names = renamed_nodes(old, new)
    before = old.with_renamed(names) if names else old
    for word in ("title", "about", "model"):
        yield from _value(getattr(before, word) or _ABSENT, getattr(new, word) or _ABSENT, (*path, word))
    yield from _value(limit_data(before.limit) or _ABSENT, limit_data(new.limit) or _ABSENT, (*path, "limit"))
    yield from _entries(
        {name: input_data(one) for name, one in before.inputs.items()},
        {name: input_data(one) for name, one in new.inputs.items()},
        (*path, "inputs"),
    )
    for first, last in names.items():
        yield Change("renamed", (*path, "nodes", last), first, last)
    for id, node in before.nodes.items():
        if id not in new.nodes:
            yield Change("removed", (*path, "nodes", id), node_data(node))
    for id, node in new.nodes.items():
        if id in before.nodes:
            yield from _node(before.nodes[id], node, (*path, "nodes", id))
        else:
            yield Change("added", (*path, "nodes", id), None, node_data(node))
    were, are = ({name: str(source) for name, source in one.outputs.items()} for one in (before, new))
    yield from _each(were, are, (*path, "outputs"))
    yield from _each(before.extra, new.extra, path)
    stays = [id for id in {**before.layout, **new.layout} if (id in before.nodes) == (id in new.nodes)]
    for id in stays:
        yield from _value(before.layout.get(id, _ABSENT), new.layout.get(id, _ABSENT), (*path, "layout", id))


def _node(old: Node, new: Node, path: tuple[str, ...]) -> Iterator[Change]:
    """What changed in a node, by its keys; by their entries for `in` and `set`, within for `do`."""
    before, after = node_data(old), node_data(new)
    for key in dict.fromkeys([*NODE_KEYS, *before, *after]):
        was, now = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if key in ("in", "set"):
            yield from _each({} if was is _ABSENT else was, {} if now is _ABSENT else now, (*path, key))
        elif key == "do" and old.do is not None and new.do is not None:
            yield from _changes(old.do, new.do, (*path, key))
        else:
            yield from _value(was, now, (*path, key))


def _entries(old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Change]:
    """What came and went in a mapping of mappings, and what changed within those that stayed."""
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            yield from _each(old[name], new[name], (*path, name))
        else:
            yield from _value(old.get(name, _ABSENT), new.get(name, _ABSENT), (*path, name))


def _each(old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Change]:
    for key in dict.fromkeys([*old, *new]):
        yield from _value(old.get(key, _ABSENT), new.get(key, _ABSENT), (*path, key))


def _value(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[Change]:
    if old is _ABSENT and new is not _ABSENT:
        yield Change("added", path, None, new)
    elif new is _ABSENT and old is not _ABSENT:
        yield Change("removed", path, old)
    elif old is not new and not _same(old, new):
        yield Change("changed", path, old, new)


def _same(old: Any, new: Any) -> bool:
    """Whether two values mean the same: 1 and true do not, nor 1 and 1.0; the order of keys means nothing."""
    if type(old) is not type(new):
        return False
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(_same(item, new[key]) for key, item in old.items())
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new or (old != old and new != new))


def _essence(node: Node) -> str:
    """All of a node but where its links come from."""
    data = node_data(node)
    return repr({**data, "in": {port: isinstance(source, list) for port, source in data.get("in", {}).items()}})


def _head(path: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a path that names a node (the innermost), input or output; all of it for other things."""
    inner = _inner(path)
    return path[: len(path) - len(inner) + 2] if inner[0] in _WORDS else path


def _inner(path: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a path that leads on from the innermost workflow."""
    while len(path) > 3 and path[0] == "nodes" and path[2] == "do":
        path = path[3:]
    return path


_WORDS: Final = {"nodes": "node", "inputs": "input", "outputs": "output"}
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "renamed": "~"}


def _name(head: tuple[str, ...]) -> str:
    """`node each/read`, `input page`, `title`."""
    nodes = [head[index + 1] for index, part in enumerate(head) if part == "nodes" and index % 3 == 0]
    inside, last = "/".join(nodes), head[-2:]
    if len(last) == 2 and last[0] == "nodes":
        return f"node {inside}"
    within = f"{inside}/" if nodes else ""
    if len(last) == 2 and last[0] in _WORDS:
        return f"{_WORDS[last[0]]} {within}{last[1]}"
    return within + one_line(head[-1], flow=False)


def _lines(change: Change, head: tuple[str, ...]) -> Iterator[str]:
    """One change as lines, indented below its node or input where it is a part of one."""
    sign = _SIGNS[change.action]
    if change.action == "renamed":
        yield f"~ {_name((*head[:-1], change.old))} → {change.new} (renamed)"
        return
    if change.path == head and head[-2:-1] == ("nodes",):
        kind = (change.new or change.old)["kind"]
        yield f"{sign} {_name(head)}: {one_line(kind, flow=False)}"
        return
    part = change.path[len(head) :]
    pad = "    " if part else ""
    name = " ".join(one_line(word, flow=False) for word in part) if part else _name(head)
    start = f"{pad}{sign} {name}"
    if _is_long(change.old) or _is_long(change.new):
        yield f"{start}:"
        yield from (f"{pad}    {line}".rstrip() for line in text_lines(change.old, change.new))
    elif change.action == "changed":
        yield f"{start}: {_brief(change.old)} → {_brief(change.new)}"
    else:
        yield f"{start}: {_brief(change.new if change.action == 'added' else change.old)}"


def _brief(value: Any) -> str:
    text = one_line(value, flow=False) if isinstance(value, str) else line_of(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and ("\n" in value or len(value) > WIDTH)


def text_lines(old: Any, new: Any) -> Iterator[str]:
    """Two texts compared line by line, with two lines around each change; long lines are cut into several."""
    from difflib import unified_diff

    before, after = _cut(old), _cut(new)
    if before[-1:] == after[-1:] == [""]:
        before, after = before[:-1], after[:-1]
    if max(len(before), len(after)) > _MOST_LINES:
        yield f"- {len(before):,} lines"
        yield f"+ {len(after):,} lines"
        return
    for line in list(unified_diff(before, after, n=2, lineterm=""))[2:]:
        if not line.startswith("@@"):
            yield f"{line[0]} {line[1:]}"
        elif not line.startswith(("@@ -1 ", "@@ -1,", "@@ -0,")):
            yield "…"


def _cut(value: Any) -> list[str]:
    from textwrap import TextWrapper

    if not isinstance(value, str):
        return [] if value is None else [_brief(value)]
    # Two texts may differ in nothing but white space.
    whole = TextWrapper(WIDTH - 10, expand_tabs=False, replace_whitespace=False, drop_whitespace=False).wrap
    lines = []
    for line in value.split("\n"):
        shown = line if visible(line) else double_quoted(line)
        lines.extend(whole(shown) if len(shown) > WIDTH - 10 else [shown])
    return lines


def _layout_line(places: list[Change]) -> Iterator[str]:
    """One line for everything that was moved."""
    if not places:
        return
    names = [one_line(change.path[-1], flow=False) for change in places]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    yield f"~ layout: {len(places)} {'place' if len(places) == 1 else 'places'} changed: {shown}"
