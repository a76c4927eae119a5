"""Whether a text fits a grammar, and what is missing at the end of one that was cut off.

All ways to read a text are followed at once, and those that wait for the same rule from the same place
on share what they do (a graph-structured stack: M. Tomita, Efficient Parsing for Natural Language, 1985;
E. Scott, A. Johnstone, GLL Parsing, 2010). So an ambiguous grammar costs a polynomial, never an
exponential; a grammar that can be read in one way costs a constant for each character. A rule that ends
with another hands its place on, so that what repeats by calling itself last does not pile up.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Mapping
from typing import Any, Final

from phloem.nodes.services.models.forms.shortest import Shortest
from phloem.nodes.services.models.forms.tree import NOTHING, Alt, Chars, Node, Ref, Repeat, Seq, Text
from phloem.runtime.errors import ServiceError

__all__ = ["Reading", "Recogniser"]

_END: Final = 0
"""The place at the end of every rule."""
MOST_STEPS: Final = 1_000_000
"""How much work one text may make, counted in places of the grammar reached; so many take about a second."""


class Recogniser:
    """A grammar ready to read texts with, in several threads at once.

    Its places are worked out when a text first comes to them.
    """

    def __init__(self, rules: Mapping[str, Node], shortest: Shortest) -> None:
        self.shortest = shortest
        self._rules = rules
        self._places: list[_Place] = [_end()]
        self._numbers: dict[tuple[object, ...], int] = {}
        self._starts: dict[str, int] = {}
        self._growing = threading.Lock()

    def fits(self, text: str) -> bool:
        """Whether all of `text` is what the grammar says."""
        reading = Reading(self)
        return reading.read(text) == len(text) and reading.is_whole()

    def start(self, rule: str) -> int:
        """The place at the beginning of `rule`."""
        if rule not in self._starts:
            with self._growing:
                self._starts[rule] = self._place(self._rules[rule], 0)
        return self._starts[rule]

    def place(self, number: int) -> _Place:
        """The place, with what may follow worked out."""
        place = self._places[number]
        if not place.open:
            with self._growing:
                if not place.open:
                    self._open(place)
        return place

    def _place(self, node: Node, after: int, start: int = 0, *key: object) -> int:
        """The number of the place before `node`, a text or a sequence from its part `start` on; then comes `after`."""
        whole = (*(key or (id(node),)), start, after)
        number = self._numbers.get(whole)
        if number is None:
            number = self._numbers[whole] = len(self._places)
            self._places.append(_Place(node, start, after))
        return number

    def _open(self, place: _Place) -> None:
        """Find what may come next at `place`: characters, rules, or, where something may be left out, other places."""
        waiting: list[tuple[Node, int, int]] = [(place.node, place.start, place.after)]
        while waiting:
            node, start, after = waiting.pop()
            match node:
                case Text(text):
                    place.texts.setdefault(text[start], []).append(self._behind(node, len(text), start, after))
                case Chars():
                    place.sets.append((node, after))
                case Seq(()):
                    place.skips.append(after)
                case Seq(items):
                    waiting.append((items[start], 0, self._behind(node, len(items), start, after)))
                case Alt(options):
                    waiting.extend((option, 0, after) for option in reversed(options))
                case Repeat(item, least, _):
                    place.skips += [after] if least == 0 else []
                    waiting.append((item, 0, self._again(node, after)))
                case Ref(rule):
                    place.calls.append((rule, after))
                    place.skips += [after] if self.shortest.rules[rule] == 0 else []
        place.open = True

    def _behind(self, node: Node, size: int, start: int, after: int) -> int:
        """The place behind part `start` of a text or a sequence of so many parts."""
        return after if start + 1 == size else self._place(node, after, start + 1)

    def _again(self, node: Repeat, after: int) -> int:
        """The place after `node.item` has been read once."""
        if node.most == 1:
            return after
        rest = Repeat(node.item, max(0, node.least - 1), None if node.most is None else node.most - 1)
        return self._place(rest, after, 0, id(node.item), rest.least, rest.most)

    def left(self, number: int) -> int:
        """How many characters are missing from a place to the end of its rule, at least."""
        total = 0
        while number:
            place = self._places[number]
            if isinstance(place.node, Text):
                total += len(place.node.text) - place.start
            else:
                total += sum(map(self.shortest.length, place.parts()))
            number = place.after
        return total

    def ending(self, number: int) -> str:
        """The shortest text from a place to the end of its rule."""
        parts: list[str] = []
        while number:
            place = self._places[number]
            if isinstance(place.node, Text):
                parts.append(place.node.text[place.start :])
            else:
                parts.append(self.shortest.text(*place.parts()))
            number = place.after
        return "".join(parts)


class _Place:
    """A place in a rule: before a part of it, with the place after that part; and what may be read there."""

    __slots__ = ("after", "calls", "node", "open", "sets", "skips", "start", "texts")

    def __init__(self, node: Node, start: int, after: int) -> None:
        self.node = node
        self.start = start
        self.after = after
        self.open = False
        self.texts: dict[str, list[int]] = {}
        self.sets: list[tuple[Chars, int]] = []
        self.calls: list[tuple[str, int]] = []
        self.skips: list[int] = []

    @property
    def reads(self) -> bool:
        """Whether a character may be read here."""
        return bool(self.texts or self.sets)

    def parts(self) -> tuple[Node, ...]:
        """What is still to be read before the place after."""
        return self.node.items[self.start :] if isinstance(self.node, Seq) else (self.node,)


def _end() -> _Place:
    place = _Place(NOTHING, 0, 0)
    place.open = True
    return place


class _Frame:
    """A rule that was begun at one character of the text, with the places that wait for its end."""

    __slots__ = ("links", "made")

    def __init__(self, made: int) -> None:
        self.made = made
        self.links: dict[tuple[int, _Frame], None] = {}


class Reading:
    """One text being read, from the beginning of the grammar or from one place in it.

    `steps` is how much work it has been: how many places were reached.
    """

    def __init__(self, recogniser: Recogniser, start: int | None = None) -> None:
        self._grammar = recogniser
        self._at = 0
        self.steps = 0
        self._root = _Frame(-1)
        self._here: dict[tuple[int, _Frame], None] = {}
        self._reach([(recogniser.start("root") if start is None else start, self._root)])

    def read(self, text: str) -> int:
        """Go on with `text`; how many of its characters fit. ServiceError if there are too many ways to read it."""
        for index, character in enumerate(text):
            moved = self._moved(character)
            if not moved:
                return index
            self._at += 1
            self._reach(moved)
        return len(text)

    def after(self, character: str) -> Reading:
        """The same reading gone on with one character; this one stays as it is."""
        other = Reading.__new__(Reading)
        other._grammar, other._root = self._grammar, self._root
        other._at, other.steps = self._at + 1, self.steps
        other._reach(self._moved(character))
        return other

    def next(self) -> set[str]:
        """Characters that may follow: all that stand in texts, and of each set one."""
        found: set[str] = set()
        for number, _ in self._here:
            place = self._grammar.place(number)
            found.update(place.texts)
            found.update(chr(characters.ranges[0][0]) for characters, _ in place.sets)
        return found

    def ways(self) -> int:
        """In how many ways what was read can go on, told apart by all that waits to be ended."""
        known: dict[_Frame, int] = {self._root: 1}
        waiting = [frame for _, frame in self._here]
        while waiting:
            frame = waiting[-1]
            unknown = [outer for _, outer in frame.links if outer not in known] if frame not in known else []
            if unknown:
                waiting += unknown
            else:
                waiting.pop()
                if frame not in known:
                    known[frame] = sum(known[outer] for _, outer in frame.links)
        readable = [frame for number, frame in self._here if self._grammar.place(number).reads]
        return sum(known[frame] for frame in readable)

    def _moved(self, character: str) -> list[tuple[int, _Frame]]:
        """Where `character` leads."""
        moved = []
        for number, frame in self._here:
            place = self._grammar.place(number)
            moved += [(target, frame) for target in place.texts.get(character, ())]
            moved += [(target, frame) for characters, target in place.sets if character in characters]
        return moved

    def _reach(self, waiting: list[tuple[int, _Frame]]) -> None:
        """Take in these places, and those that they lead to without reading a character."""
        self._here = {}
        begun: dict[str, _Frame] = {}
        waiting.reverse()
        while waiting:
            step = waiting.pop()
            self._count(1)
            if step in self._here:
                continue
            self._here[step] = None
            number, frame = step
            place = self._grammar.place(number)
            # A rule that ends where it began is empty, and was left out by the place that asks for it.
            if number == _END and frame.made != self._at:
                waiting += frame.links
            waiting += [(other, frame) for other in reversed(place.skips)]
            for rule, after in place.calls:
                if rule not in begun:
                    begun[rule] = _Frame(self._at)
                    waiting.append((self._grammar.start(rule), begun[rule]))
                links = begun[rule].links
                if after or frame.made in (self._at, -1):
                    links[after, frame] = None
                else:
                    links.update(frame.links)
                    self._count(len(frame.links) // 16)

    def is_whole(self) -> bool:
        """Whether what was read needs nothing more."""
        return (_END, self._root) in self._here

    def _count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise ServiceError("the model's answer can be read in too many ways to be checked")

    def completion(self) -> str | None:
        """The shortest text after which all that was read is whole: empty if it is; None if nothing was readable.

        Dijkstra's shortest path from the places reached, over those that wait, to the end of everything.
        """
        waiting: list[tuple[int, int, int, _Frame, tuple[int, Any] | None]] = []
        for number, frame in self._here:
            waiting.append((self._grammar.left(number), len(waiting), number, frame, None))
        heapq.heapify(waiting)
        count = len(waiting)
        settled: set[_Frame] = set()
        while waiting:
            length, _, number, frame, path = heapq.heappop(waiting)
            if frame in settled:
                continue
            settled.add(frame)
            path = (number, path)
            if frame is self._root:
                return self._written(path)
            for after, outer in frame.links:
                if outer not in settled:
                    count += 1
                    heapq.heappush(waiting, (length + self._grammar.left(after), count, after, outer, path))
        return None

    def _written(self, path: tuple[int, Any] | None) -> str:
        parts = []
        while path is not None:
            number, path = path
            parts.append(self._grammar.ending(number))
        return "".join(reversed(parts))
