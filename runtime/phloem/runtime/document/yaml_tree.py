"""YAML text to a tree, event by event, so that nothing in a hostile file can make it deep or large.

Only the plain part of YAML is taken: mappings with text keys, lists and scalars. Anchors, aliases,
tags and further documents are refused, each with its place and what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import yaml
from phloem.runtime.document.scalars import TooLong, value_of
from phloem.runtime.document.tree import MOST_DEPTH, MOST_VALUES, Branch, Leaf, Row, Span, Text, Tree
from phloem.runtime.errors import DocumentError

__all__ = ["yaml_tree"]


def yaml_tree(source: Text, spans: list[Span] | None = None) -> Tree | None:
    """Read a YAML text; None if it is empty, DocumentError at the first thing that is not YAML, or not taken of it.

    What does not keep it from being read on (repeated keys, keys that are not text, anchors, tags) is
    noted in `source.problems`. The places of the scalars are added to `spans`, which finding comments needs.
    """
    builder = _Builder(source, spans)
    events = _events(source.text)
    try:
        while builder.take(events()):
            pass
    except yaml.YAMLError as error:
        raise _syntax_error(source, error) from None
    return builder.root


def _events(text: str) -> Callable[[], Any]:
    """A function that gives the next event of a text: libyaml's where it is built in, else PyYAML's own."""
    get: Callable[[], Any] = _parser()(text).get_event
    return get


def _parser() -> Callable[[str], Any]:
    try:
        from yaml._yaml import CParser
    except ImportError:
        return _PythonParser
    return CParser


class _PythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """What libyaml does, for a PyYAML that was built without it."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


class _Builder:
    """Puts events together to a tree. `stack` holds the branches and rows that are still open."""

    def __init__(self, source: Text, spans: list[Span] | None) -> None:
        self.source = source
        self.spans = spans
        self.root: Tree | None = None
        self.stack: list[Branch | Row] = []
        self.keys: list[str | None] = []
        self.documents = 0
        self.values = 0

    def take(self, event: Any) -> bool:
        """Use one event; False after the last."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                self.refuse_marked(event)
            self.scalar(event)
        elif kind is yaml.MappingStartEvent:
            self.open(event, Branch(event.start_mark.index, bool(event.flow_style)))
        elif kind is yaml.SequenceStartEvent:
            self.open(event, Row(event.start_mark.index, bool(event.flow_style)))
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.stack.pop().end = event.end_mark.index
            self.keys.pop()
        elif kind is yaml.AliasEvent:
            raise self.source.refuse(
                event.start_mark.index,
                f"the alias *{event.anchor} stands for something written elsewhere; a workflow file has no aliases",
                "Write the value out here.",
            )
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                raise self.source.refuse(
                    event.start_mark.index,
                    "a second document begins here; a workflow file holds one",
                    "Put it into a file of its own, or remove the line ---.",
                )
        return kind is not yaml.StreamEndEvent

    def scalar(self, event: Any) -> None:
        """A key where the open mapping waits for one, else a value."""
        start: int = event.start_mark.index
        if self.spans is not None:
            self.spans.append((start, event.end_mark.index, event.style in ("|", ">")))
        word: str = event.value
        value: str | int | float | bool | None = word
        if event.implicit[0]:
            try:
                value = value_of(word)
            except TooLong:
                self.source.complain(start, "this number is too large to hold", "Put it in quotes to keep it as text.")
        if self.stack and self.keys[-1] is None and type(self.stack[-1]) is Branch:
            if value is not word:
                self.refuse_key(start, word)
            self.key(self.stack[-1], word, start)
        else:
            self.put(Leaf(value, start))

    def key(self, branch: Branch, key: str, start: int) -> None:
        """Let the next value be that of `key`; of a key that was there, the first value is kept."""
        first = branch.places.get(key)
        if first is None:
            branch.places[key] = start
        else:
            line, column = self.source.lines.at(first)
            self.source.complain(
                start,
                f"the key `{_short(key)}` is here again; it is already on line {line}, column {column}",
                "Remove one of the two, or rename it.",
            )
        self.keys[-1] = key

    def put(self, tree: Tree) -> None:
        """Place a finished or just opened value where it belongs."""
        self.values += 1
        if self.values > MOST_VALUES:
            raise self.source.refuse(
                tree.start, f"the file holds more than {MOST_VALUES:,} values", "Keep data in files of its own."
            )
        if not self.stack:
            self.root = tree
            return
        around = self.stack[-1]
        if type(around) is Row:
            around.items.append(tree)
        elif type(around) is Branch:
            key = self.keys[-1]
            if key is not None:
                around.items.setdefault(key, tree)
            self.keys[-1] = None

    def open(self, event: Any, tree: Branch | Row) -> None:
        """Begin a mapping or a list."""
        if event.anchor is not None or event.tag is not None:
            self.refuse_marked(event)
        if self.stack and type(self.stack[-1]) is Branch and self.keys[-1] is None:
            hint = "Text that begins with { or [, such as {{name}}, needs quotes."
            raise self.source.refuse(tree.start, "a key must be text, not a mapping or a list", hint)
        if len(self.stack) >= MOST_DEPTH:
            raise self.source.refuse(
                tree.start, f"mappings and lists stand more than {MOST_DEPTH} deep in one another", "Make it flatter."
            )
        self.put(tree)
        self.stack.append(tree)
        self.keys.append(None)

    def refuse_key(self, start: int, word: str) -> None:
        what = f"`{_short(word)}`" if word else "nothing"
        hint = f'Put it in quotes: "{_short(word)}".' if word else "Write a name before the colon."
        self.source.complain(start, f"a key must be text, not {what}", hint)

    def refuse_marked(self, event: Any) -> None:
        place = event.start_mark.index
        if event.anchor is not None:
            message = f"the anchor &{_short(event.anchor)} names a value for elsewhere; a workflow file has no anchors"
            self.source.complain(place, message, "Remove it, and write the value out wherever it is needed.")
        if event.tag is not None:
            message = f"the tag {_short(_shown(event.tag))} gives a value a type; a workflow file has no tags"
            self.source.complain(place, message, "Remove it. Text that begins with ! needs quotes.")


def _shown(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


_SAID: Final = (
    (
        "mapping values are not allowed",
        "a colon with a space after it cannot stand here",
        "Put the text in quotes if the colon belongs to it; otherwise look at the indentation, and at the line above.",
    ),
    (
        "cannot start any token",
        "this character cannot begin a value",
        "Put the text in quotes. Indentation is made of spaces, not tabs.",
    ),
    ("tab character", "a tab stands where only spaces may", "Indent with spaces."),
    ("could not find expected ':'", "this key has no colon after it", "Write `key: value`; is the file cut off here?"),
    ("expected ',' or ']'", "this list in [ ] is not closed", "Put a comma between its items and ] at its end."),
    ("expected ',' or '}'", "this mapping in { } is not closed", "Put a comma between its entries and } at its end."),
    ("unexpected end of stream", "this quoted text is never closed", "Put the same quote at its end."),
    ("unexpected document indicator", "this quoted text is never closed", "Put the same quote at its end."),
    ("unknown escape character", "this is not an escape that YAML knows", "Write \\\\, or use single quotes."),
    ("invalid Unicode character escape", "this escape is not a character", "One beyond U+FFFF is written \\U0001F600."),
    ("expected key", "a new entry was expected here", "Is it indented as far as the entries above it?"),
    ("expected <block end>", "a new entry was expected here", "Is it indented as far as the entries above it?"),
    ("expected '-' indicator", "a new item `- …` was expected here", "Is it indented as far as the items above it?"),
    ("block sequence entries are not allowed", "a list item cannot stand here", "Begin the list on a line of its own."),
    ("expected <document start>", "something follows the end of the document", "A workflow file is one mapping."),
    ("found undefined tag handle", "this tag has no meaning here", "Text that begins with ! needs quotes."),
    ("undefined alias", "this alias stands for nothing", "Text that begins with * needs quotes."),
)  # fmt: skip
_OPENED: Final = ("is not closed", "is never closed")


def _syntax_error(source: Text, error: yaml.YAMLError) -> DocumentError:
    """What the parser said, in our words, with its place."""
    raw = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    place: int = mark.index if mark is not None else getattr(error, "position", 0) or 0
    for part, message, hint in _SAID:
        if part in raw:
            if context is not None and message.endswith(_OPENED):
                line, column = source.lines.at(place)
                message = f"{message}; the reader gave up on line {line}, column {column}"
                return source.refuse(context.index, message, hint)
            return source.refuse(place, message, hint)
    return source.refuse(place, f"this is not YAML: {raw}", "Is the file cut off here, or the indentation uneven?")
