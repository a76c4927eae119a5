"""PDF files, by pypdf, which bounds what a stream may unpack to; pages, size and time are bounded here."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from phloem.runtime.errors import InputError, NodeError
from phloem.runtime.values import Document

if TYPE_CHECKING:
    from pypdf import PdfReader

__all__ = ["read_pdf"]

MOST_PAGES: Final = 10_000
LARGEST_PAGE: Final = 10_000_000
LONGEST_TEXT: Final = 50_000_000
SECONDS: Final = 120.0


def read_pdf(data: bytes, watch: Callable[[float], None]) -> Document:
    """The text of all pages with a blank line between them.

    `metadata` has `pages`, the number, and `page_starts`, where each begins in the text, and the author
    and dates if the file tells. InputError when it is locked, damaged, too large, or holds only pictures.
    """
    import pypdf
    from pypdf.errors import DependencyError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        _unlock(reader)
        starts, text = _pages(reader, watch)
        facts = _facts(reader)
    except NodeError:
        raise
    except DependencyError:
        raise InputError(
            "the PDF is encrypted in a way that needs the package cryptography", hint="Install it."
        ) from None
    except Exception as error:
        raise InputError(f"the PDF cannot be read: {str(error)[:200] or type(error).__name__}") from error
    if not text.strip():
        raise InputError("the PDF has no text, only pictures of it", hint="Run it through OCR first.")
    return Document(text, title=facts.pop("title", ""), metadata={"pages": len(starts), "page_starts": starts, **facts})


def _unlock(reader: PdfReader) -> None:
    """Open what is locked with an empty password, as readers do."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise InputError("the PDF is locked with a password", hint="Save a copy without one.")


def _pages(reader: PdfReader, watch: Callable[[float], None]) -> tuple[list[int], str]:
    """Where each page begins, and the text."""
    total = len(reader.pages)
    if total > MOST_PAGES:
        raise InputError(f"the PDF has {total:,} pages; the most is {MOST_PAGES:,}", hint="Split it.")
    deadline = time.monotonic() + SECONDS

    def in_time(*_: object) -> None:
        if time.monotonic() > deadline:
            raise InputError(f"the PDF takes more than {SECONDS:g} seconds to read", hint="Split it.")

    starts, parts, length = [], [], 0
    for number, page in enumerate(reader.pages):
        content = page.get_contents()
        if content is not None and len(content.get_data()) > LARGEST_PAGE:
            raise InputError(f"page {number + 1} of the PDF is larger than {LARGEST_PAGE:,} bytes")
        text = page.extract_text(visitor_operand_before=in_time).strip()
        starts.append(length)
        parts.append(text)
        length += len(text) + 2
        if length > LONGEST_TEXT:
            raise InputError(f"the PDF has more than {LONGEST_TEXT:,} characters of text", hint="Split it.")
        watch((number + 1) / total)
    return starts, "\n\n".join(parts)


def _facts(reader: PdfReader) -> dict[str, Any]:
    """What the file says about itself, as far as it can be read."""
    try:
        said = reader.metadata
        if said is None:
            return {}
        found = {"title": said.title, "author": said.author, "subject": said.subject}
        facts: dict[str, Any] = {name: str(value)[:1000] for name, value in found.items() if value}
        if said.creation_date is not None:
            facts["created"] = said.creation_date.isoformat()
    except Exception:
        return {}
    return facts
