"""`phloem show`: a drawing of a workflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from phloem.runtime.catalogue import installed_catalogue
from phloem.runtime.disk import replace_file
from phloem.runtime.document import load
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home

__all__ = ["main"]

_BY_SUFFIX = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".md": "mermaid", ".txt": "text"}


def main(given: argparse.Namespace) -> int:
    """Draw the file to stdout or to a file."""
    from phloem.runtime import drawing

    out = Path(given.output) if given.output else None
    form = given.form or (_BY_SUFFIX.get(out.suffix) if out else "text")
    if form is None:
        raise ConfigError(
            f"{out}: no drawing is written in that form", hint="Name a .svg, .mmd, .md or .txt file, or say --as."
        )
    workflow, catalogue = load(given.file).workflow, installed_catalogue(Home.default())
    file = Path(given.file)
    if form == "svg":
        text = drawing.as_svg(workflow, catalogue, keep_places=not given.arrange, file=file)
    else:
        text = (drawing.as_mermaid if form == "mermaid" else drawing.as_text)(workflow, catalogue, file=file)
    if out is not None and out.suffix == ".md" and form == "mermaid":
        text = f"```mermaid\n{text.rstrip()}\n```"
    if out is None:
        print(text.rstrip("\n"))
        return 0
    try:
        replace_file(out, f"{text.rstrip()}\n".encode())
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {(error.strerror or str(error)).lower()}") from error
    return 0
