"""`phloem models add`: a name for a model file of this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phloem.nodes.commands.models import places
from phloem.nodes.commands.models.progress import shown
from phloem.nodes.commands.models.pull import tell
from phloem.nodes.services.models.pull.adding import How, add

__all__ = ["main"]

_SAID = {
    "hard link": "it shares its room on the disk with {source}, and stays if that is removed",
    "link": "it is a link to {source}, which must stay there",
    "copy": "it is a copy of {source}",
}


def main(given: argparse.Namespace) -> int:
    """Add it; its full name on stdout."""
    with shown("auto" if sys.stderr.isatty() else "off") as progress:
        wanted: How | None = "copy" if given.copy else "link" if given.link else None
        got, how = add(
            Path(given.file), places.folder(), taken=places.bundled(), progress=progress, how=wanted, name=given.name
        )  # fmt: skip
    print(_SAID[how].format(source=got.source), file=sys.stderr)
    tell(got, given)
    return 0
