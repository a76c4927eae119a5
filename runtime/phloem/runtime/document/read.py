"""A tree to a Workflow: every problem of structure in one go, each with its place and a remedy.

What is checked here is what the file alone can show. Whether kinds, ports and types fit is for check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from phloem.runtime.document.fields import Fields, shortened, what
from phloem.runtime.document.tree import Branch, Leaf, Row, Text, Tree, plain
from phloem.runtime.document.words import (
    BODY_KEYS,
    FORMAT,
    INPUT_KEYS,
    LIMIT_KEYS,
    NODE_KEYS,
    ON_ERROR,
    RETRY_KEYS,
    TOP_KEYS,
    allowed_id,
    meant,
)
from phloem.runtime.errors import Problem
from phloem.runtime.ports import BASES, PortType
from phloem.runtime.words import nearest
from phloem.runtime.workflow import INPUT, Input, Limit, Node, OnError, Retry, Source, Workflow

__all__ = ["read_workflow"]

_TEXT: Final = PortType("text")
_NO_RETRY: Final = Retry()
_STOP: Final = OnError()
_NO_LIMIT: Final = Limit()
_TYPES: Final = {str(one): one for base in BASES for one in (PortType(base), PortType(base, 1))}
_ID_RULE: Final = "It begins with a letter or _, and goes on with letters, digits, _ and -, 100 in all."
_LINK_RULE: Final = "A link is written node.port, such as read.text, or input.name."


def read_workflow(source: Text, tree: Tree | None) -> tuple[Workflow, list[Problem]]:
    """The workflow that a file's tree describes, and warnings. Problems are left in `source.problems`."""
    if not isinstance(tree, Branch):
        found = "empty" if tree is None or (isinstance(tree, Leaf) and tree.value is None) else what(tree)
        message = f"a workflow file is a mapping of title, inputs, nodes, outputs and so on; this one is {found}"
        source.complain(tree.start if tree else 0, message, "It begins with the line `phloem: 1`.")
        return Workflow(), []
    reader = _Reader(source)
    if not reader.format_fits(tree):
        return Workflow(), []
    return reader.workflow(tree, TOP_KEYS, "the file"), reader.warnings


class _Reader(Fields):
    """Reads one file. `inside` is the path of the node whose body is being read, with a `/` at its end."""

    inside = ""

    def format_fits(self, tree: Branch) -> bool:
        """Whether this version of the program reads the file; a file without a format is read as this one."""
        found = tree.items.get("phloem")
        if found is None:
            self.complain(tree.start, "the file does not say which format it has", "Add `phloem: 1` as its first line.")
            return True
        version = found.value if isinstance(found, Leaf) else None
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            self.complain(found.start, "`phloem` is the number of the file's format", "Write `phloem: 1`.")
        elif version > FORMAT:
            message = f"the file has format {version}; this version of Phloem reads formats up to {FORMAT}"
            self.complain(found.start, message, "Install a newer Phloem to read it.")
            return False
        return True

    def workflow(self, tree: Branch, known: tuple[str, ...], where: str) -> Workflow:
        items = tree.items
        return Workflow(
            title=self.text(tree, "title", where),
            about=self.text(tree, "about", where),
            model=self.text(tree, "model", where),
            limit=self.limit(items["limit"], where) if "limit" in items else _NO_LIMIT,
            inputs=self.named(tree, "inputs", "input", self.input),
            nodes=self.named(tree, "nodes", "node", self.node),
            outputs=self.named(tree, "outputs", "output", self.output),
            layout=self.values(tree, "layout", where, "node ids to places"),
            extra=self.extra(tree, frozenset(known), known, where) if len(items) > 1 else {},
        )

    def body(self, tree: Tree, node: str) -> Workflow:
        """The nested workflow of a node."""
        if not isinstance(tree, Branch):
            message = f"`do` of node {node} must be a mapping of inputs, nodes and outputs, not {what(tree)}"
            self.complain(tree.start, message, node=node)
            return Workflow()
        outer, self.inside = self.inside, f"{node}/"
        found = self.workflow(tree, BODY_KEYS, f"`do` of node {node}")
        self.inside = outer
        return found

    def input(self, name: str, tree: Tree, place: int) -> Input | None:
        if isinstance(tree, Leaf) and isinstance(tree.value, str):
            return Input(self.type(name, tree))
        where = f"input {name}"
        if not isinstance(tree, Branch):
            hint = f"Write `{name}: {{type: text}}`."
            self.complain(tree.start, f"{where} must be a type or a mapping, not {what(tree)}", hint)
            return None
        given = tree.items.get("type")
        value = tree.items.get("value")
        return Input(
            type=_TEXT if given is None else self.type(name, given),
            about=self.text(tree, "about", where),
            value=None if value is None else plain(value),
            has_value=value is not None,
            extra=self.extra(tree, _INPUT_SET, INPUT_KEYS, where),
        )

    def type(self, name: str, tree: Tree) -> PortType:
        word = tree.value if isinstance(tree, Leaf) else None
        if not isinstance(word, str):
            self.complain(tree.start, f"the type of input {name} must be text, not {what(tree)}")
            return _TEXT
        found = _TYPES.get(word)
        if found is not None:
            return found
        try:
            return PortType.parse(word)
        except ValueError:
            near = nearest(word, _TYPES)
            hint = f"Did you mean `{near}`?" if near else f"Types are {', '.join(BASES)} and list[...] of each."
            self.complain(tree.start, f"`{shortened(word)}`, given for input {name}, is not a type", hint)
            return _TEXT

    def node(self, id: str, tree: Tree, place: int) -> Node | None:
        path = self.inside + id
        if id == INPUT:
            self.complain(place, "`input` cannot be the id of a node: links use it for inputs", "Choose another id.")
        if not isinstance(tree, Branch):
            message = f"node {path} must be a mapping of kind, in, set and so on, not {what(tree)}"
            self.complain(tree.start, message, f"Write its kind below it: `{id}:` and then `kind: …`.", node=path)
            return None
        items = tree.items
        kind = items.get("kind")
        word = kind.value if isinstance(kind, Leaf) else None
        if kind is None:
            near = next((key for key in items if meant(key, ("kind",)) and key not in NODE_KEYS), None)
            hint = (
                f"Did you mean `kind` where it says `{near}`?" if near else "`phloem nodes` lists the kinds there are."
            )
            self.complain(place, f"node {path} has no kind", hint, node=path)
        elif not isinstance(word, str) or not word.strip():
            self.complain(kind.start, f"`kind` of node {path} must be text, not {what(kind)}", node=path)
        links, listed = self.links(tree, path) if "in" in items else ({}, frozenset[str]())
        known = 1 + ("in" in items) + ("set" in items)
        if len(items) == known:
            return Node(str(word), links, self.settings(tree, path), listed=listed)
        where = f"node {path}"
        return Node(
            kind=str(word),
            links=links,
            set=self.settings(tree, path),
            title=self.text(tree, "title", where, path),
            note=self.text(tree, "note", where, path),
            disabled=bool(self.switch(tree, "disabled", path)),
            retry=self.retry(items["retry"], path) if "retry" in items else _NO_RETRY,
            timeout=self.timeout(items["timeout"], path) if "timeout" in items else None,
            limit=self.limit(items["limit"], where, path) if "limit" in items else _NO_LIMIT,
            on_error=self.on_error(items["on_error"], path) if "on_error" in items else _STOP,
            cache=self.switch(tree, "cache", path),
            listed=listed,
            extra=self.extra(tree, _NODE_SET, NODE_KEYS, where, path),
            do=self.body(items["do"], path) if "do" in items else None,
        )

    def settings(self, tree: Branch, node: str) -> dict[str, Any]:
        if "set" not in tree.items:
            return {}
        return self.values(tree, "set", f"node {node}", "setting names to values", node)

    def links(self, tree: Branch, node: str) -> tuple[dict[str, tuple[Source, ...]], frozenset[str]]:
        """Where the inputs of a node come from, and which of them were written as a list."""
        found = self.mapping(tree, "in", f"node {node}", "input names to links", node)
        links: dict[str, tuple[Source, ...]] = {}
        listed = []
        for port, item in found.items.items() if found else ():
            if isinstance(item, Row):
                listed.append(port)
                sources = tuple(source for one in item.items if (source := self.link(one, node, port)))
                if not item.items:
                    message = f"`in` of node {node} gives an empty list for `{shortened(port)}`"
                    self.complain(item.start, message, "List the links, or remove the entry.", node=node, port=port)
            else:
                source = self.link(item, node, port)
                sources = (source,) if source else ()
            links[port] = sources
        return links, frozenset(listed)

    def link(self, tree: Tree, node: str, port: str) -> Source | None:
        word = tree.value if isinstance(tree, Leaf) else None
        if isinstance(word, str):
            before, dot, after = word.partition(".")
            if dot and after and allowed_id(before):
                return Source(before, after)
            message = f"`{shortened(word)}`, given for `{shortened(port)}` of node {node}, is not a link"
        else:
            message = f"`{shortened(port)}` of node {node} is given {what(tree)} under `in`, which holds links only"
        self.complain(tree.start, message, f"{_LINK_RULE} A value is written under `set`.", node=node, port=port)
        return None

    def output(self, name: str, tree: Tree, place: int) -> Source | None:
        word = tree.value if isinstance(tree, Leaf) else None
        if isinstance(word, str):
            before, dot, after = word.partition(".")
            if dot and after and allowed_id(before):
                return Source(before, after)
        said = f"`{shortened(word)}`" if isinstance(word, str) else what(tree)
        self.complain(tree.start, f"output {name} must be a link, not {said}", _LINK_RULE)
        return None

    def retry(self, tree: Tree, node: str) -> Retry:
        if isinstance(tree, Leaf) and tree.value is not None:
            return Retry(self.times(tree, f"`retry` of node {node}", node))
        where = f"`retry` of node {node}"
        if not isinstance(tree, Branch):
            hint = "Write `retry: 3`, or `retry: {times: 3, wait: 2}`."
            self.complain(tree.start, f"{where} must be a number or a mapping, not {what(tree)}", hint, node=node)
            return _NO_RETRY
        self.known_only(tree, RETRY_KEYS, "It has times, wait and backoff.", where, node)
        times, wait, backoff = (tree.items.get(key) for key in RETRY_KEYS)
        default = _NO_RETRY
        return Retry(
            default.times if times is None else self.times(times, f"`times` of {where}", node),
            default.wait if wait is None else self.seconds(wait, f"`wait` of {where}", node),
            default.backoff if backoff is None else self.number(backoff, f"`backoff` of {where}", node),
        )

    def timeout(self, tree: Tree, node: str) -> float:
        return self.duration(tree, f"`timeout` of node {node}", node)

    def limit(self, tree: Tree, whose: str, node: str | None = None) -> Limit:
        """What may be spent, of a node or of the whole run."""
        where = f"`limit` of {whose}"
        if not isinstance(tree, Branch):
            hint = "Write `limit: {tokens: 5000, money: 0.50, seconds: 60}`, or one of the three."
            self.complain(tree.start, f"{where} must be a mapping, not {what(tree)}", hint, node=node)
            return _NO_LIMIT
        self.known_only(tree, LIMIT_KEYS, "It has tokens, money and seconds.", where, node)
        tokens, money, seconds = (tree.items.get(key) for key in LIMIT_KEYS)
        return Limit(
            None if tokens is None else self.above_zero(tokens, f"`tokens` of {where}", node, whole=True),
            None if money is None else self.above_zero(money, f"`money` of {where}", node),
            None if seconds is None else self.duration(seconds, f"`seconds` of {where}", node),
        )

    def on_error(self, tree: Tree, node: str) -> OnError:
        if isinstance(tree, Branch) and list(tree.items) == ["default"]:
            return OnError("default", plain(tree.items["default"]))
        word = tree.value if isinstance(tree, Leaf) else None
        if isinstance(word, str) and word in ON_ERROR:
            return OnError(word)
        near = nearest(word, ON_ERROR) if isinstance(word, str) else None
        hint = f"Did you mean `{near}`?" if near else "A default is written `{default: …}`."
        message = f"`on_error` of node {node} must be stop, skip, route or a default, not {what(tree, show=True)}"
        self.complain(tree.start, message, hint, node=node)
        return _STOP

    def named(self, tree: Branch, key: str, one: str, read: Callable[[str, Tree, int], Any]) -> dict[str, Any]:
        """The inputs, nodes or outputs: `read` makes each, or None where it noted a problem."""
        found = self.mapping(tree, key, "the file" if not self.inside else "`do`", f"{one} names to {one}s")
        made = {}
        for name, item in found.items.items() if found else ():
            assert found is not None
            if not allowed_id(name):
                self.complain(found.places[name], f"`{shortened(name)}` cannot be the name of {_an(one)}", _ID_RULE)
            made[name] = read(name, item, found.places[name])
        return {name: value for name, value in made.items() if value is not None}


_INPUT_SET: Final = frozenset(INPUT_KEYS)
_NODE_SET: Final = frozenset(NODE_KEYS)


def _an(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
