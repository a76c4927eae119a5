"""A small tree of elements and texts: what a page becomes before anything is decided about it.

Everything that walks it does so without recursion, so no page can be too deep for Python's stack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeAlias

__all__ = ["Element", "Node"]


class Element:
    """An element: its tag in lower case, its attributes, its children (elements and texts), its parent.

    `score` belongs to the search for the article: None until the element is a candidate. `gone` marks
    an element that is to be left out when its parent is next swept.
    """

    __slots__ = ("attributes", "children", "gone", "parent", "score", "tag")

    def __init__(self, tag: str, attributes: dict[str, str] | None = None) -> None:
        self.tag = tag
        self.attributes: dict[str, str] = {} if attributes is None else attributes
        self.children: list[Node] = []
        self.parent: Element | None = None
        self.score: float | None = None
        self.gone = False

    def get(self, name: str) -> str:
        """The value of an attribute; empty without one."""
        return self.attributes.get(name, "")

    @property
    def names(self) -> str:
        """What its author called it: the class and the id."""
        return f"{self.get('class')} {self.get('id')}"

    @property
    def elements(self) -> list[Element]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Element)]

    def append(self, child: Node) -> None:
        """Put `child` last, taking it over from wherever its parent pointer led."""
        self.children.append(child)
        if isinstance(child, Element):
            child.parent = self

    def replace_children(self, children: list[Node]) -> None:
        """Have exactly these children."""
        self.children = children
        for child in children:
            if isinstance(child, Element):
                child.parent = self

    def walk(self) -> Iterator[Element]:
        """The element and all below it, in the order of the page. Children may change until they are reached."""
        stack = [self]
        while stack:
            element = stack.pop()
            yield element
            stack.extend(reversed(element.elements))

    def below(self, tags: Collection[str]) -> Iterator[Element]:
        """The elements below this one with one of these tags, in the order of the page."""
        return (element for element in self.walk() if element.tag in tags and element is not self)

    def ancestors(self, most: int | None = None) -> Iterator[Element]:
        """The parent, its parent, and so on, at most `most` of them."""
        element = self.parent
        while element is not None and most != 0:
            yield element
            element = element.parent
            most = None if most is None else most - 1

    def texts(self) -> Iterator[str]:
        """Every text below it, in the order of the page."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            if isinstance(node, str):
                yield node
            else:
                stack.extend(reversed(node.children))

    def line(self) -> str:
        """All its text, with every run of white space made one space."""
        return " ".join("".join(self.texts()).split())

    def sweep(self) -> None:
        """Leave out every element below that is marked as gone."""
        for element in self.walk():
            element.sweep_children()

    def sweep_children(self) -> None:
        """Leave out the children that are marked as gone."""
        if any(isinstance(child, Element) and child.gone for child in self.children):
            self.children = [one for one in self.children if isinstance(one, str) or not one.gone]

    def copy(self) -> Element:
        """A tree of new elements; attributes and texts are shared."""
        root = Element(self.tag, self.attributes)
        pairs = [(self, root)]
        while pairs:
            old, new = pairs.pop()
            for child in old.children:
                if isinstance(child, str):
                    new.children.append(child)
                else:
                    twin = Element(child.tag, child.attributes)
                    new.append(twin)
                    pairs.append((child, twin))
        return root


Node: TypeAlias = Element | str
