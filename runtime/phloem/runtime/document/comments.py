"""The comments that people wrote in a file: each is tied to the entry it speaks of, and goes where that goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from phloem.runtime.document.data import ABSENT, value_at
from phloem.runtime.document.tree import Path

__all__ = ["Comments", "Texts", "follow", "settled"]

Kept = TypeVar("Kept")
Texts = tuple[str, ...]
"""Lines of comment, each with its `#`; an empty one is an empty line."""


@dataclass(frozen=True, slots=True)
class Comments:
    """Comments by what they speak of, which is the path of an entry.

    `head` opens the file. `before` stands on lines of its own above an entry (an empty line there is
    kept too), `beside` on the line of an entry, `after` behind the last entry of a mapping or list.
    """

    head: Texts = ()
    before: Mapping[Path, Texts] = field(default_factory=dict)
    beside: Mapping[Path, str] = field(default_factory=dict)
    after: Mapping[Path, Texts] = field(default_factory=dict)

    def moved(self, move: Callable[[Path], Path | None]) -> Comments:
        """The same, with every path put through `move`; where that gives None, the comment goes."""
        return Comments(self.head, _moved(self.before, move), _moved(self.beside, move), _moved(self.after, move))

    def paths(self) -> set[Path]:
        """The path of everything that has a comment, or an empty line above it."""
        return {*self.before, *self.beside, *self.after}


def _moved(texts: Mapping[Path, Kept], move: Callable[[Path], Path | None]) -> dict[Path, Kept]:
    places = {path: move(path) for path in texts}
    stay = {path: texts[path] for path, place in places.items() if place == path}
    return {**stay, **{place: texts[path] for path, place in places.items() if place not in (path, None)}}


def settled(comments: Comments, data: Any) -> Comments:
    """The same, with what speaks of an entry that is not in `data` moved to the nearest thing that is."""
    if all(value_at(data, path) is not ABSENT for path in comments.paths()):
        return comments
    before = {path: texts for path, texts in comments.before.items() if value_at(data, path) is not ABSENT}
    beside = {path: text for path, text in comments.beside.items() if value_at(data, path) is not ABSENT}
    after = {path: texts for path, texts in comments.after.items() if value_at(data, path) is not ABSENT}
    homeless = [*comments.before.items(), *((path, (text,)) for path, text in comments.beside.items())]
    for path, texts in [*homeless, *comments.after.items()]:
        texts = tuple(text for text in texts if text)
        if not texts or value_at(data, path) is not ABSENT:
            continue
        while value_at(data, path) is ABSENT:
            path = path[:-1]
        holds = isinstance(value_at(data, path), dict | list)
        home = after if holds else before
        home[path] = (*home.get(path, ()), *texts)
    return Comments(comments.head, before, beside, after)


def follow(comments: Comments, old: Any, new: Any, renamed: Mapping[Path, Mapping[str, str]]) -> Comments:
    """The comments after an edit that made `old` data `new`: they go with renamed nodes and moved list items.

    `renamed` has, by the path of the workflow or body in the old data, new ids by old ones. What speaks of an
    entry of a mapping that is gone is kept, for when the edit is undone.
    """
    lists = {path[:index] for path in comments.paths() for index, part in enumerate(path) if isinstance(part, int)}
    moves = {path: _item_moves(value_at(old, path), value_at(new, _renamed(path, renamed))) for path in lists}
    if not renamed and not any(moves.values()):
        return comments

    def move(path: Path) -> Path | None:
        parts = [moves[path[:at]].get(part, part) if isinstance(part, int) else part for at, part in enumerate(path)]
        return None if None in parts else _renamed(cast(Path, tuple(parts)), renamed)

    return comments.moved(move)


def _renamed(path: Path, renamed: Mapping[Path, Mapping[str, str]]) -> Path:
    """Where `path` leads once the nodes on the way, bodies in bodies, have their new ids."""
    way, around = list(path), 0
    while len(path) > around + 1 and path[around] in ("nodes", "layout"):
        names = renamed.get(path[:around], {})
        way[around + 1] = names.get(str(path[around + 1]), path[around + 1])
        if path[around] == "layout" or path[around + 2 : around + 3] != ("do",):
            break
        around += 3
    return tuple(way)


def _item_moves(old: Any, new: Any) -> dict[int, int | None]:
    """Where the items of a list went, None for those that are gone.

    An item went to the first that is like it; what is left went to what is left, if that is as many.
    """
    if not isinstance(old, list) or not isinstance(new, list) or old == new:
        return {}
    places: dict[str, list[int]] = {}
    for index in reversed(range(len(new))):
        places.setdefault(repr(new[index]), []).append(index)
    moves: dict[int, int | None] = {}
    for index, item in enumerate(old):
        like = places.get(repr(item))
        moves[index] = like.pop() if like else None
    gone = [index for index, place in moves.items() if place is None]
    come = sorted(index for left in places.values() for index in left)
    return {**moves, **dict(zip(gone, come, strict=True))} if len(gone) == len(come) else moves
