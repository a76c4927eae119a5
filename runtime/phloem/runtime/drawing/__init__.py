"""Drawings of a workflow: for a terminal, for a page that knows Mermaid, and as a picture."""

from __future__ import annotations

from phloem.runtime.drawing.mermaid import as_mermaid
from phloem.runtime.drawing.svg import as_svg
from phloem.runtime.drawing.text import as_text

__all__ = ["as_mermaid", "as_svg", "as_text"]
