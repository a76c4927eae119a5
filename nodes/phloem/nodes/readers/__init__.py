"""Files of many formats as text. Nothing here opens a file or a connection: bytes go in, a Document comes out.

The content decides what a file is, more than its name does; see `sniff`. Every reader bounds what it
unpacks and how long it reads, since a file may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from phloem.nodes.readers.sniff import Format, format_of
from phloem.runtime.errors import InputError
from phloem.runtime.values import Document

__all__ = ["Watch", "read_document"]

Watch = Callable[[float], None]
"""Told now and then which fraction has been read; it may raise to stop the reading."""


def read_document(
    data: bytes,
    name: str,
    *,
    media_type: str = "",
    encoding: str = "",
    raw: bool = False,
    watch: Watch = lambda fraction: None,
) -> Document:
    """The text of a file with its title, its `name` as the source, and what else it says about itself.

    `encoding` overrules what the bytes of a text say; `raw` gives a page or another text as it is written.
    `metadata` has at least `format`. InputError for what is no text, is locked, damaged or too large.
    """
    format = format_of(data, name, media_type)
    if raw and format not in ("text", "html"):
        raise InputError(f"{name} is a {format} file, which has no text of its own", hint="Turn raw off.")
    if format in ("text", "html") and (raw or format == "text"):
        from phloem.nodes.readers.plain import read_plain

        found = read_plain(data, name, encoding)
    else:
        found = _READERS[format](data, encoding, watch)
    title = " ".join(found.title.split())[:500] or PurePath(name.replace("\\", "/")).stem
    return replace(found, title=title, source=name, metadata={"format": format, **found.metadata})


def _html(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.readers.page import read_page

    return read_page(data, encoding)


def _pdf(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.readers.pdf import read_pdf

    return read_pdf(data, watch)


def _docx(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.readers.word import read_docx

    return read_docx(data)


def _slides(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.readers.office import read_slides

    return read_slides(data)


def _open_document(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.readers.office import read_open_document

    return read_open_document(data)


def _epub(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.readers.epub import read_epub

    return read_epub(data, watch)


def _xlsx(data: bytes, encoding: str, watch: Watch) -> Document:
    from phloem.nodes.tables.sheets import workbook_text

    return workbook_text(data)


_READERS: Final[dict[Format, Callable[[bytes, str, Watch], Document]]] = {
    "html": _html, "pdf": _pdf, "docx": _docx, "pptx": _slides, "odt": _open_document, "epub": _epub, "xlsx": _xlsx,
}  # fmt: skip
