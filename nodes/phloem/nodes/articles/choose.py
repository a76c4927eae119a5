"""Which element holds the article: paragraphs vote for their ancestors with commas and length."""

from __future__ import annotations

from typing import Final

from phloem.nodes.articles.measure import Measure, measured
from phloem.nodes.articles.tree import Element
from phloem.nodes.articles.words import HEADINGS, name_weight

__all__ = ["choose"]

_SHORTEST_VOTE: Final = 25
_VOTES_UP: Final = 5
_CANDIDATES: Final = 5
_NEARLY_AS_GOOD: Final = 0.75
_SHARED_BY: Final = 3
_TAG_POINTS: Final = {
    "div": 5, "pre": 3, "td": 3, "blockquote": 3,
    "address": -3, "ol": -3, "ul": -3, "dl": -3, "dd": -3, "dt": -3, "li": -3, "form": -3,
    "th": -5, **dict.fromkeys(HEADINGS, -5),
}  # fmt: skip


def choose(body: Element, scored: list[Element], *, weigh_names: bool) -> tuple[Element, list[Element]]:
    """The element with most votes, and the parts of the page that make up the article around it, in order.

    `scored` are the elements whose text counts. Without any candidate the whole body is chosen.
    """
    measures = measured(body)
    candidates = _vote(scored, measures, weigh_names)
    for candidate in candidates:
        assert candidate.score is not None
        candidate.score *= 1 - measures[candidate].link_density
    best = sorted(candidates, key=_score, reverse=True)[:_CANDIDATES]
    if not best or best[0] is body:
        box = Element("div")
        box.replace_children(body.children)
        body.replace_children([box])
        return box, [box]
    return best[0], _with_siblings(_widened(best, weigh_names), measures)


def _vote(scored: list[Element], measures: dict[Element, Measure], weigh_names: bool) -> list[Element]:
    """Give every ancestor of a telling paragraph its points; all that have any."""
    candidates = []
    for element in scored:
        measure = measures.get(element)
        if measure is None or measure.length < _SHORTEST_VOTE:
            continue
        points = 2 + measure.commas + min(measure.length // 100, 3)
        for level, above in enumerate(element.ancestors(_VOTES_UP)):
            if above.parent is None:
                break
            if above.score is None:
                above.score = _first_score(above, weigh_names)
                candidates.append(above)
            above.score += points / (1 if level == 0 else 2 if level == 1 else level * 3)
    return candidates


def _first_score(element: Element, weigh_names: bool) -> float:
    return _TAG_POINTS.get(element.tag, 0) + (name_weight(element) if weigh_names else 0)


def _score(element: Element) -> float:
    return element.score or 0.0


def _widened(best: list[Element], weigh_names: bool) -> Element:
    """The best candidate, or an ancestor of it that seems to hold more of the article."""
    top = _common_box(best)
    if top.score is None:
        top.score = _first_score(top, weigh_names)
    last, least = top.score, top.score / 3
    for above in _below_body(top):
        if above.score is None:
            continue
        if above.score < least:
            break
        if above.score > last:
            top = above
            break
        last = above.score
    for above in _below_body(top):
        if len(above.elements) != 1:
            break
        top = above
    if top.score is None:
        top.score = _first_score(top, weigh_names)
    return top


def _common_box(best: list[Element]) -> Element:
    """An ancestor that the best candidate shares with three others nearly as good, or the best itself."""
    top = best[0]
    rivals = [set(one.ancestors()) for one in best[1:] if _score(one) >= _NEARLY_AS_GOOD * _score(top)]
    if len(rivals) >= _SHARED_BY:
        for above in _below_body(top):
            if sum(above in ancestors for ancestors in rivals) >= _SHARED_BY:
                return above
    return top


def _below_body(element: Element) -> list[Element]:
    """The ancestors of an element that lie below the body, nearest first."""
    found = []
    for above in element.ancestors():
        if above.tag == "body":
            break
        found.append(above)
    return found


def _with_siblings(top: Element, measures: dict[Element, Measure]) -> list[Element]:
    """`top` and the siblings that read like a part of the same article."""
    assert top.parent is not None
    enough = max(10.0, _score(top) * 0.2)
    chosen = []
    for sibling in top.parent.elements:
        bonus = _score(top) * 0.2 if top.get("class") and sibling.get("class") == top.get("class") else 0.0
        scored = sibling.score is not None and sibling.score + bonus >= enough
        if sibling is top or scored or (sibling.tag == "p" and _is_prose(sibling, measures[sibling])):
            chosen.append(sibling)
    return chosen


def _is_prose(paragraph: Element, measure: Measure) -> bool:
    """True for a long paragraph with few links, or a short one that is a sentence without any."""
    if measure.length > 80:
        return measure.link_density < 0.25
    line = paragraph.line()
    return 0 < measure.length < 80 and not measure.linked and (". " in line or line.endswith("."))
