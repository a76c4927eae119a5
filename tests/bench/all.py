"""Every benchmark, one after the other: `python tests/bench/all.py`. About ten minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

SCRIPTS: Final = (
    "engine.py", "loops.py", "journal.py", "crash.py", "cluster.py", "startup.py", "articles.py", "documents.py", "forms.py",
    "inference.py",
)  # fmt: skip


def main() -> int:
    """The highest exit code of the scripts: 0 unless one gave a wrong result. A figure over its aim is no failure."""
    codes = []
    for script in SCRIPTS:
        done = subprocess.run([sys.executable, str(Path(__file__).with_name(script))])
        codes.append(done.returncode)
        print(flush=True)
    return max(codes, key=abs)


if __name__ == "__main__":
    raise SystemExit(main())
