"""The last walk, over what was chosen: leave out the boxes in it that are no part of the article."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from phloem.nodes.articles.measure import Measure, measure_children, measured
from phloem.nodes.articles.teasers import leave_out_teasers
from phloem.nodes.articles.tree import Element
from phloem.nodes.articles.words import is_sharing, name_weight

__all__ = ["clean"]

_NEVER_ARTICLE: Final = frozenset({"aside", "footer", "link"})
_CONTROLS: Final = frozenset({"input", "textarea", "select", "button"})
_EMBEDS: Final = frozenset({"object", "embed", "iframe"})
_FILM: Final = re.compile(r"video|player|/embed/", re.IGNORECASE)
_LONGEST_SHARING: Final = 500
_COMMAS_OF_PROSE: Final = 10

_ADVERTISING: Final = re.compile(
    r"(?:ad(?:vertising|vertisement)?|pub(?:licité)?|werb(?:ung)?|广告|Реклама|Anuncio)", re.IGNORECASE
)
_LOADING: Final = re.compile(r"(?:loading|正在加载|Загрузка|chargement|cargando)(?:…|\.\.\.)?", re.IGNORECASE)


def clean(article: Element, core: Element, *, weigh_names: bool, conditionally: bool) -> None:
    """Leave out forms, asides, controls, headings and boxes in `article` that do not read like prose.

    `core` is the element in it that had most votes. With `conditionally` false, boxes are judged by their
    tag alone.
    """
    weight = name_weight if weigh_names else _no_weight
    data_tables = _data_tables(article)
    if conditionally:
        leave_out_teasers(article, core)
        for tag in ("form", "fieldset"):
            _judge(article, tag, weight, data_tables)
    for element in article.below(_NEVER_ARTICLE):
        element.gone = True
    for element in article.below(_EMBEDS):
        element.gone = not _is_film(element)
    article.sweep()
    _leave_out_sharing(article)
    for element in article.below(_CONTROLS):
        element.gone = True
    for element in article.below({"h1", "h2"}):
        element.gone = weight(element) < 0
    article.sweep()
    if conditionally:
        for tag in ("table", "ul", "div"):
            _judge(article, tag, weight, data_tables)


def _no_weight(element: Element) -> int:
    return 0


def _is_film(embed: Element) -> bool:
    return any(_FILM.search(value) for value in embed.attributes.values())


def _leave_out_sharing(article: Element) -> None:
    measures = measured(article)
    for part in article.elements:
        for element in part.walk():
            if element is not part and measures[element].length < _LONGEST_SHARING and is_sharing(element):
                element.gone = True
    article.sweep()


def _judge(article: Element, tag: str, weight: Callable[[Element], int], data_tables: set[Element]) -> None:
    """Leave out every `tag` that does not read like prose, the innermost first."""
    measures: dict[Element, Measure] = {}
    films = _above_films(article)
    spared = _above(data_tables) | _within(data_tables)
    for element in reversed(list(article.walk())):
        element.sweep_children()
        measure = measures[element] = measure_children(element.children, measures)
        if element.tag != tag or element is article or element in spared:
            continue
        if not any(above.tag == "code" for above in element.ancestors(4)):
            element.gone = _is_clutter(element, measure, weight(element), has_film=element in films)


def _within(elements: set[Element]) -> set[Element]:
    """These and everything below them."""
    found: set[Element] = set()
    for element in elements:
        if element not in found:
            found.update(element.walk())
    return found


def _above(elements: set[Element]) -> set[Element]:
    """Everything that has one of these below it."""
    found: set[Element] = set()
    for element in elements:
        for above in element.ancestors():
            if above in found:
                break
            found.add(above)
    return found


def _above_films(article: Element) -> set[Element]:
    return _above({embed for embed in article.below(_EMBEDS) if _is_film(embed)})


def _is_clutter(element: Element, measure: Measure, weight: int, *, has_film: bool) -> bool:
    """True if a box reads like a menu, a form, an advertisement or a heap of pictures rather than prose."""
    if weight < 0:
        return True
    if measure.commas >= _COMMAS_OF_PROSE or has_film:
        return False
    if measure.length < 40 and measure.elements < 40 and _is_filler(element.line()):
        return True
    is_list = element.tag in ("ul", "ol") or (measure.length > 0 and measure.listed / measure.length > 0.9)
    in_figure = any(above.tag == "figure" for above in element.ancestors(4))
    if not _looks_cluttered(measure, weight, is_list=is_list, in_figure=in_figure):
        return False
    return not (is_list and _is_gallery(element, measure))


def _looks_cluttered(measure: Measure, weight: int, *, is_list: bool, in_figure: bool) -> bool:
    few_words = measure.length < 25 and (measure.images == 0 or measure.images > 2) and measure.linked > 0
    return (
        (not in_figure and measure.images > 1 and measure.paragraphs / measure.images < 0.5)
        or (not is_list and measure.items - 100 > measure.paragraphs)
        or measure.inputs > measure.paragraphs // 3
        or (not is_list and not in_figure and measure.heading_density < 0.9 and few_words)
        or (not is_list and weight < 25 and measure.link_density > 0.2)
        or (weight >= 25 and measure.link_density > 0.5)
        or (measure.embeds == 1 and measure.length < 75)
        or measure.embeds > 1
        or (measure.images == 0 and not measure.prose)
    )


def _is_gallery(element: Element, measure: Measure) -> bool:
    """True for a list of one picture per item."""
    return measure.images == measure.items and all(len(item.elements) <= 1 for item in element.elements)


def _is_filler(line: str) -> bool:
    return _ADVERTISING.fullmatch(line) is not None or _LOADING.fullmatch(line) is not None


_DATA_PARTS: Final = frozenset({"col", "colgroup", "tfoot", "thead", "th"})


def _data_tables(article: Element) -> set[Element]:
    """The tables that hold data, without those that only lay out the page."""
    tables = set(article.below({"table"}))
    captions = {caption for caption in article.below({"caption"}) if caption.children}
    telling, nesting = _above(captions.union(article.below(_DATA_PARTS))), _above(tables)
    return {table for table in tables if _holds_data(table, telling, nesting)}


def _holds_data(table: Element, telling: set[Element], nesting: set[Element]) -> bool:
    if table.get("role") == "presentation" or table.get("datatable") == "0":
        return False
    if table.get("summary") or table in telling:
        return True
    if table in nesting:
        return False
    rows, columns = _size(table)
    return min(rows, columns) > 1 and (rows >= 10 or columns > 4 or rows * columns > 10)


def _size(table: Element) -> tuple[int, int]:
    rows = columns = 0
    for row in table.below({"tr"}):
        rows += _span(row, "rowspan")
        columns = max(columns, sum(_span(cell, "colspan") for cell in row.elements if cell.tag == "td"))
    return rows, columns


def _span(element: Element, name: str) -> int:
    text = element.get(name)
    return max(1, min(int(text), 1000)) if text.isascii() and text.isdigit() and len(text) < 6 else 1
