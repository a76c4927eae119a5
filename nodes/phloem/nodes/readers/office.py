"""Slides (pptx) and OpenDocument texts (odt): XML in a zip, of which the text is easily had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from phloem.nodes.readers.archive import opened, xml_in
from phloem.runtime.values import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["read_open_document", "read_slides"]

_DRAWING: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_TEXT: Final = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE: Final = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DC_TITLE: Final = "{http://purl.org/dc/elements/1.1/}title"
_SLIDE: Final = re.compile(r"ppt/slides/slide(\d+)\.xml\Z")
_MOST_SPACES: Final = 1_000


def read_slides(data: bytes) -> Document:
    """The text of the slides in the order of their numbers, a blank line between two; `metadata` has `slides`."""
    with opened(data, "the presentation") as archive:
        numbers = sorted(int(found[1]) for found in map(_SLIDE.match, archive.namelist()) if found)
        slides = [_paragraphs(xml_in(archive, f"ppt/slides/slide{number}.xml")) for number in numbers]
        title = _title(xml_in(archive, "docProps/core.xml")) if "docProps/core.xml" in archive.namelist() else ""
    text = "\n\n".join("\n".join(slide) for slide in slides if slide)
    return Document(text, title=title, metadata={"slides": len(slides)})


def read_open_document(data: bytes) -> Document:
    """The paragraphs and tables in order: headings with #, list items with -, cells apart by |."""
    with opened(data, "the document") as archive:
        content = xml_in(archive, "content.xml")
        title = _title(xml_in(archive, "meta.xml")) if "meta.xml" in archive.namelist() else ""
    return Document("\n\n".join(_blocks(content)), title=title)


def _paragraphs(slide: _Element) -> list[str]:
    found = ("".join(run.text or "" for run in one.iter(f"{_DRAWING}t")) for one in slide.iter(f"{_DRAWING}p"))
    return [text.strip() for text in found if text.strip()]


def _blocks(content: _Element) -> Iterator[str]:
    """Headings, paragraphs, whole lists and whole tables; what is inside a list or table comes with it."""
    inside: _Element | None = None
    for element in content.iter(f"{_TEXT}h", f"{_TEXT}p", f"{_TEXT}list", f"{_TABLE}table"):
        if inside is not None and _is_in(element, inside):
            continue
        if element.tag in (f"{_TEXT}list", f"{_TABLE}table"):
            inside = element
            text = _list(element) if element.tag == f"{_TEXT}list" else _rows(element)
        else:
            text = _text(element)
            if text and element.tag == f"{_TEXT}h":
                level = element.get(f"{_TEXT}outline-level") or "1"
                text = f"{'#' * min(int(level) if level.isdecimal() else 1, 6)} {text}"
        if text:
            yield text


def _is_in(element: _Element, outer: _Element) -> bool:
    return any(one is outer for one in element.iterancestors(outer.tag))


def _list(element: _Element) -> str:
    texts = (_text(one) for one in element.iter(f"{_TEXT}p", f"{_TEXT}h"))
    return "\n".join(f"- {text}" for text in texts if text)


def _rows(table: _Element) -> str:
    rows = []
    for row in table.iter(f"{_TABLE}table-row"):
        cells = (" ".join(_text(one) for one in cell.iter(f"{_TEXT}p")) for cell in row.iter(f"{_TABLE}table-cell"))
        rows.append(" | ".join(cells))
    return "\n".join(rows)


def _text(element: _Element) -> str:
    """The text of a paragraph; OpenDocument writes runs of spaces, tabs and line breaks as elements."""
    parts = []
    for one in element.iter():
        if one.tag == f"{_TEXT}s":
            count = one.get(f"{_TEXT}c") or "1"
            parts.append(" " * min(int(count) if count.isdecimal() else 1, _MOST_SPACES))
        elif one.tag in (f"{_TEXT}tab", f"{_TEXT}line-break"):
            parts.append("\t" if one.tag == f"{_TEXT}tab" else "\n")
        elif isinstance(one.tag, str):
            parts.append(one.text or "")
        if one is not element:
            parts.append(one.tail or "")
    return "".join(parts).strip()


def _title(properties: _Element) -> str:
    return next((one.text or "" for one in properties.iter(_DC_TITLE)), "")
