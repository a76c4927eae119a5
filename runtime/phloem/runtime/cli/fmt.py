"""`phloem fmt`: workflow files in their canonical form."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phloem.runtime.cli import complain
from phloem.runtime.document import load, save, text_of
from phloem.runtime.errors import WorkflowError

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Rewrite what is not canonical; with --check only name it. A file that cannot be read is left alone."""
    code = 0
    for name in given.files:
        try:
            document = load(name)
            if text_of(document).encode() == Path(name).read_bytes():
                continue
            if given.check:
                print(f"{name} is not in canonical form", file=sys.stderr)
                code = max(code, 1)
            else:
                save(document)
                print(name)
        except WorkflowError as error:
            complain(error)
            code = 2
    return code
