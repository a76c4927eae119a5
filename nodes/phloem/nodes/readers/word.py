"""Word documents, by python-docx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from phloem.nodes.readers.archive import repacked
from phloem.runtime.errors import InputError
from phloem.runtime.values import Document

if TYPE_CHECKING:
    from docx.table import Table
    from docx.text.paragraph import Paragraph

__all__ = ["read_docx"]


def read_docx(data: bytes) -> Document:
    """The paragraphs and tables in order: headings with #, list items with -, cells apart by |."""
    import docx

    archive = repacked(data, "the document")

    try:
        found = docx.Document(archive)
        styles = {style.style_id: style.name or "" for style in found.styles}
        blocks = list(_blocks(found.iter_inner_content(), styles))
        facts = found.core_properties
        title = facts.title
        metadata: dict[str, Any] = {"author": facts.author} if facts.author else {}
        if facts.created is not None:
            metadata["created"] = facts.created.isoformat()
    except Exception as error:
        raise InputError(f"the document cannot be read: {str(error)[:200] or type(error).__name__}") from error
    return Document(_joined(blocks), title=title or "", metadata=metadata)


def _blocks(content: Iterator[Paragraph | Table], styles: Mapping[str, str]) -> Iterator[str]:
    from docx.table import Table

    for block in content:
        text = _table(block) if isinstance(block, Table) else _paragraph(block, styles)
        if text:
            yield text


def _paragraph(paragraph: Paragraph, styles: Mapping[str, str]) -> str:
    text = paragraph.text.strip()
    if not text:
        return ""
    # paragraph.style looks through all styles of the document every time; the element knows its style's id.
    style = styles.get(paragraph._p.style or "", "")
    if style == "Title":
        return f"# {text}"
    if style.startswith("Heading ") and style[8:].isdecimal():
        return f"{'#' * min(int(style[8:]), 6)} {text}"
    return f"- {text}" if style.startswith("List") else text


def _table(table: Table) -> str:
    """One line a row; a cell that spans several columns is written once."""
    lines = []
    for row in table.rows:
        cells = dict.fromkeys(row.cells)
        lines.append(" | ".join(" ".join(cell.text.split()) for cell in cells))
    return "\n".join(lines)


def _joined(blocks: list[str]) -> str:
    """The blocks, blank lines between them but not between the items of a list."""
    parts: list[str] = []
    for index, block in enumerate(blocks):
        if index:
            parts.append("\n" if block.startswith("- ") and blocks[index - 1].startswith("- ") else "\n\n")
        parts.append(block)
    return "".join(parts)
