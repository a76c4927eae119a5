"""Books in EPUB: web pages in a zip, in the order that the book's package says."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote

from phloem.nodes.readers.archive import member_of, opened, xml_in
from phloem.nodes.readers.page import read_page
from phloem.runtime.values import Document

__all__ = ["read_epub"]

_CONTAINER: Final = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_PACKAGE: Final = "{http://www.idpf.org/2007/opf}"
_DC: Final = "{http://purl.org/dc/elements/1.1/}"


def read_epub(data: bytes, watch: Callable[[float], None]) -> Document:
    """The chapters in reading order, a blank line between two; `metadata` has `chapters`, author and language."""
    with opened(data, "the book") as archive:
        root = next(iter(xml_in(archive, "META-INF/container.xml").iter(_CONTAINER)), None)
        path = "" if root is None else root.get("full-path") or ""
        package = xml_in(archive, path)
        chapters = list(_chapters(archive, package, posixpath.dirname(path), watch))
    facts = {
        name: next((one.text for one in package.iter(f"{_DC}{name}")), None)
        for name in ("title", "creator", "language")
    }
    metadata: dict[str, Any] = {"chapters": len(chapters)}
    for name, said in (("author", facts["creator"]), ("language", facts["language"])):
        if said:
            metadata[name] = said.strip()[:500]
    return Document("\n\n".join(chapters), title=facts["title"] or "", metadata=metadata)


def _chapters(archive: zipfile.ZipFile, package: Any, folder: str, watch: Callable[[float], None]) -> Iterator[str]:
    items = {one.get("id"): one.get("href") or "" for one in package.iter(f"{_PACKAGE}item")}
    spine = [one.get("idref") for one in package.iter(f"{_PACKAGE}itemref")]
    present = set(archive.namelist())
    for number, reference in enumerate(dict.fromkeys(spine), 1):
        member = posixpath.normpath(posixpath.join(folder, unquote(items.get(reference, "")).partition("#")[0]))
        if member in present:
            text = read_page(member_of(archive, member)).text
            if text:
                yield text
        watch(number / len(spine))
