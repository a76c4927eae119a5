"""`phloem models pull`: a model from the web into the home."""

from __future__ import annotations

import argparse
import json
import os
import sys

from phloem.nodes.commands.models import places
from phloem.nodes.commands.models.progress import shown
from phloem.nodes.services.models.pull.disk import amount
from phloem.nodes.services.models.pull.folder import Installed
from phloem.runtime.cli import INTERRUPTED
from phloem.runtime.words import printable

__all__ = ["main", "tell"]


def main(given: argparse.Namespace) -> int:
    """Fetch it; its full name on stdout. Ctrl-C pauses, and the next call goes on."""
    # Imported here, where it is needed: what fetches takes longer to load than all the rest.
    from phloem.nodes.services.models.pull.install import pull

    with shown(given.progress) as progress:
        try:
            got = pull(
                given.source, places.folder(), taken=places.bundled(), progress=progress, name=given.name,
                sha256=given.sha256, token=_token(),
            )  # fmt: skip
        except KeyboardInterrupt:
            got = None
    if got is None:
        came = f" at {progress}" if progress.done else ""
        print(f"paused{came}; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    if got.new:
        print(f"{amount(got.size)} from {printable(got.source)}, SHA-256 {got.sha256}", file=sys.stderr)
    else:
        print(f"it is there already: {got.path}", file=sys.stderr)
    tell(got, given)
    return 0


def tell(got: Installed, given: argparse.Namespace) -> None:
    """The model on stdout: its full name, or with --json all about it."""
    if not given.json:
        print(f"local:{got.name}")
        return
    about = {
        "name": f"local:{got.name}", "path": str(got.path), "size": got.size, "sha256": got.sha256,
        "source": got.source, "new": got.new,
    }  # fmt: skip
    print(json.dumps(about, ensure_ascii=False, indent=2))


def _token() -> str:
    """The token for the hub: HF_TOKEN, or the key that is kept for huggingface; empty without either."""
    given = os.environ.get("HF_TOKEN", "").strip()
    if given:
        return given
    from phloem.nodes.services.models.hosted import keys

    return keys.find("huggingface") or ""
