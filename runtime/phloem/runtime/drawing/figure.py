"""A picture set out: every box on a card, every card and link in its place, and in the cards the bodies of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from phloem.runtime.drawing.arrange import Arrangement, Join, arrange
from phloem.runtime.drawing.boxes import Picture
from phloem.runtime.drawing.cards import Card, card_of
from phloem.runtime.drawing.placed import placed

__all__ = ["AROUND", "Figure", "figure_of"]

AROUND: Final = 22.0
"""What is left of a panel on every side of the figure in it."""

_TITLE: Final = 24.0


@dataclass(slots=True)
class Figure:
    """`made` has the places of the `cards` and the routes of the links; `bodies` has what is in each card, if
    anything is."""

    picture: Picture
    cards: list[Card]
    bodies: list[Figure | None]
    made: Arrangement

    @property
    def title(self) -> float:
        """How high the title is in a panel."""
        return _TITLE if self.picture.title else 0.0

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of a panel for it."""
        return self.made.width + 2 * AROUND, self.made.height + self.title + 2 * AROUND

    def all(self) -> Iterator[Figure]:
        """This one, and those in it however deep."""
        yield self
        for body in self.bodies:
            if body is not None:
                yield from body.all()


def figure_of(picture: Picture, *, keep_places: bool) -> Figure:
    """The picture set out by itself, or with `keep_places` as a person placed its nodes, if one did."""
    bodies = [
        figure_of(box.inside, keep_places=keep_places) if box.inside is not None and box.inside.boxes else None
        for box in picture.boxes
    ]
    cards = [
        card_of(box, layer, None if body is None else body.size)
        for box, layer, body in zip(picture.boxes, picture.layer, bodies, strict=True)
    ]
    shapes = [card.shape for card in cards]
    joins = [Join(one.source, one.out, one.target, one.into, one.back) for one in picture.links]
    made = placed(shapes, joins, picture.corners) if keep_places and picture.corners else arrange(shapes, joins)
    return Figure(picture, cards, bodies, made)
