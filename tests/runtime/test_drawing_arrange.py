"""Where a drawing puts things: layers, order, heights, folds, and links that run round what they do not meet."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.runtime.drawing.arrange import Arrangement, Join, Leg, Place, Shape, arrange
from phloem.runtime.drawing.arrange.crossings import crossings, untangle
from phloem.runtime.drawing.arrange.layers import layered, near_readers
from phloem.runtime.drawing.placed import placed

Links = Sequence[tuple[int, int]]


def shapes_of(count: int, links: Links, sizes: Sequence[tuple[float, float]] = ()) -> list[Shape]:
    """Cards with one port on each side, as deep as their links make them."""
    layer = [0] * count
    for source, target in sorted(links, key=lambda one: one[1]):
        layer[target] = max(layer[target], layer[source] + 1)
    sizes = sizes or [(150.0, 100.0)] * count
    return [Shape(w, h, (60.0,), (60.0,), "fill", layer[i]) for i, (w, h) in enumerate(sizes)]


def joined(links: Links) -> list[Join]:
    return [Join(source, 0, target, 0) for source, target in links]


def arranged(count: int, links: Links) -> Arrangement:
    return arrange(shapes_of(count, links), joined(links))


def legs(made: Arrangement) -> Iterator[Leg]:
    for route in made.routes:
        yield from route.legs


def tangle(count: int, seed: int, reach: int, most: int = 3) -> list[tuple[int, int]]:
    dice = random.Random(seed)
    links = []
    for target in range(1, count):
        before = range(max(0, target - reach), target)
        links += [(source, target) for source in dice.sample(before, min(len(before), dice.randint(1, most)))]
    return links


def apart(places: Iterable[Place]) -> bool:
    return not any(
        a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height
        for a, b in itertools.combinations(places, 2)
    )


def along(leg: Leg) -> Iterator[tuple[float, float]]:
    """Points on a leg: its corners and those between them, or those of the level curve."""
    if len(leg) > 2:
        for (x1, y1), (x2, y2) in itertools.pairwise(leg):
            yield from ((x1 + (x2 - x1) * t / 20, y1 + (y2 - y1) * t / 20) for t in range(21))
        return
    (x1, y1), (x2, y2) = leg
    for step in range(21):
        t = step / 20
        yield x1 + (x2 - x1) * t, y1 + (y2 - y1) * (3 * t * t - 2 * t * t * t)


def within(point: tuple[float, float], place: Place) -> bool:
    x, y = point
    return place.x + 1 < x < place.x + place.width - 1 and place.y + 1 < y < place.y + place.height - 1


def test_a_chain_is_straight() -> None:
    made = arranged(4, [(0, 1), (1, 2), (2, 3)])
    assert len({place.y for place in made.places}) == 1
    assert all(leg[0][1] == leg[1][1] for leg in legs(made))


def test_a_chain_of_cards_of_all_sizes_is_straight() -> None:
    links = [(0, 1), (1, 2), (2, 3)]
    shapes = [Shape(150, 80 + 40 * i, (50.0 + i,), (50.0 + i,), "fill", i) for i in range(4)]
    assert all(leg[0][1] == leg[1][1] for leg in legs(arrange(shapes, joined(links))))


def test_what_parts_and_meets_is_set_evenly_about_its_ends() -> None:
    top, upper, lower, end = arranged(4, [(0, 1), (0, 2), (1, 3), (2, 3)]).places
    assert upper.x == lower.x
    assert top.y == end.y == (upper.y + lower.y) / 2


def test_links_that_can_be_drawn_without_crossing_are() -> None:
    links = [(0, 5), (1, 4), (2, 3), (3, 8), (4, 7), (5, 6)]
    found = layered(shapes_of(9, links), joined(links), [0, 0, 0, 1, 1, 1, 2, 2, 2])
    for layer in found.layers:
        for at, index in enumerate(layer):
            found.spots[index].at = at
    assert crossings(found) == 6
    untangle(found)
    assert crossings(found) == 0


def test_what_crosses_least_is_found_where_every_order_can_be_tried() -> None:
    for seed in range(20):
        dice = random.Random(seed)
        links = [(source, target) for source in range(4) for target in range(4, 8) if dice.random() < 0.5]
        found = layered(shapes_of(8, links), joined(links), [0] * 4 + [1] * 4)
        fewest = 99
        for upper, lower in itertools.product(itertools.permutations(range(4)), itertools.permutations(range(4, 8))):
            for at in range(4):
                found.spots[upper[at]].at = found.spots[lower[at]].at = at
            fewest = min(fewest, crossings(found))
        untangle(found)
        assert crossings(found) == fewest


def test_a_source_stands_beside_its_first_reader() -> None:
    links = [(0, 1), (1, 2), (2, 3), (4, 3)]
    assert near_readers(shapes_of(5, links), joined(links)) == [0, 1, 2, 3, 2]


def test_what_is_not_joined_is_set_side_by_side() -> None:
    made = arranged(40, [])
    assert apart(made.places)
    assert 0.5 < made.width / made.height < 3


def test_a_long_chain_is_folded_to_the_width_of_a_page() -> None:
    made = arranged(12, [(i, i + 1) for i in range(11)])
    assert made.width < 1200
    assert len({place.y for place in made.places}) == 3
    turns = [leg for leg in legs(made) if len(leg) > 2]
    assert len(turns) == 2
    for leg in turns:
        assert leg[-1][0] < leg[0][0]
        assert leg[-1][1] > leg[0][1]


def test_what_is_read_in_the_next_band_only_stands_at_its_beginning() -> None:
    links = [*((i, i + 1) for i in range(7)), (8, 4)]
    made = arranged(9, links)
    rows = sorted({place.y for place in made.places[:8]})
    first = [i for i in range(8) if made.places[i].y == rows[0]]
    assert first == [0, 1, 2, 3]
    assert made.places[8].x == made.places[0].x
    assert made.places[8].y > made.places[3].y + made.places[3].height


def test_a_busy_drawing_is_not_folded() -> None:
    made = arranged(60, tangle(60, 3, 12))
    assert not [leg for leg in legs(made) if len(leg) > 2]


def test_a_link_that_leads_back_runs_below_everything() -> None:
    shapes = shapes_of(3, [(0, 1), (1, 2)])
    made = arrange(shapes, [*joined([(0, 1), (1, 2)]), Join(2, 0, 0, 0, back=True), Join(1, 0, 1, 0, back=True)])
    bottom = max(place.y + place.height for place in made.places)
    back = [route for route in made.routes if route.back]
    assert len(back) == 2
    for route in back:
        assert max(y for leg in route.legs for _, y in leg) > bottom


def test_an_arrangement_begins_at_its_corner_and_is_as_large_as_it_says() -> None:
    made = arranged(30, tangle(30, 1, 6))
    points = [point for leg in legs(made) for point in leg]
    assert min(0.0, *(x for x, _ in points), *(y for _, y in points)) == 0
    assert min(place.x for place in made.places) >= 0
    assert max(place.x + place.width for place in made.places) <= made.width
    assert max(place.y + place.height for place in made.places) <= made.height
    assert max(x for x, _ in points) <= made.width


def test_nothing_is_arranged_as_nothing() -> None:
    made = arrange([], [])
    assert (made.places, made.routes, made.width, made.height) == ([], [], 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 7, 20, 60])
@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_cards_lie_apart_and_links_run_round_them(count: int, seed: int, reach: int) -> None:
    dice = random.Random(seed)
    links = tangle(count, seed, reach)
    sizes = [(dice.choice([150.0, 180.0, 216.0]), dice.choice([70.0, 100.0, 160.0])) for _ in range(count)]
    shapes = shapes_of(count, links, sizes)
    made = arrange(shapes, joined(links))
    assert apart(made.places)
    for leg in legs(made):
        for point in along(leg):
            assert not any(within(point, place) for place in made.places)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_every_link_arrives(seed: int, reach: int) -> None:
    links = tangle(25, seed, reach)
    shapes = shapes_of(25, links)
    made = arrange(shapes, joined(links))
    for source, target in links:
        start = (made.places[source].x + made.places[source].width, made.places[source].y + 60)
        end = (made.places[target].x, made.places[target].y + 60)
        route = next(one for one in made.routes if one.source == source)
        reached = {start}
        for leg in route.legs:
            assert leg[0] in reached
            reached.add(leg[-1])
        assert end in reached


def in_a_row(count: int, links: Links, shift: float = 0.0) -> Arrangement:
    """Cards that a person has put in a row, every second one lower by `shift`."""
    corners = {i: (300.0 * i, shift * (i % 2)) for i in range(count)}
    return placed(shapes_of(count, links), joined(links), corners)


@pytest.mark.parametrize("shift", [0.0, 30.0, 70.0])
def test_a_link_runs_round_cards_that_a_person_put_in_its_way(shift: float) -> None:
    made = in_a_row(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3)], shift)
    for leg in legs(made):
        for point in along(leg):
            assert not any(within(point, place) for place in made.places)


def test_links_round_the_same_cards_run_beside_one_another() -> None:
    made = in_a_row(6, [(0, 4), (1, 5), (0, 3), (2, 5)])
    level = [(one.source, leg) for one in made.routes for leg in one.legs if leg[0][1] == leg[1][1]]
    assert len(level) == 4
    for (one, a), (other, b) in itertools.combinations(level, 2):
        if one != other and a[0][0] < b[1][0] and b[0][0] < a[1][0]:
            assert abs(a[0][1] - b[0][1]) >= 10


def test_cards_in_one_place_are_drawn_there_if_spreading_cannot_part_them() -> None:
    made = placed(shapes_of(2, []), [], {0: (0.0, 0.0), 1: (1.0, 1.0)})
    assert not apart(made.places)


def test_what_has_no_place_stands_at_the_side_it_is_joined_from() -> None:
    made = placed(shapes_of(4, [(2, 0), (1, 3)]), joined([(2, 0), (1, 3)]), {0: (0.0, 0.0), 1: (300.0, 50.0)})
    first, last, source, reader = made.places
    assert source.x + source.width < first.x
    assert reader.x > last.x + last.width
    assert (source.y, reader.y) == (first.y, last.y)
