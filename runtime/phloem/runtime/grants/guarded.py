"""What only a grant that names it opens: the places where people and programs keep keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["KEY_BEGINNINGS", "KEY_ENDINGS", "KEY_FILES", "KEY_FOLDERS", "followed", "is_guarded"]

# All in lower case, since some systems open `.env` as `.ENV` too.
KEY_FOLDERS: Final = frozenset(
    {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", "keyrings", "keychains", ".password-store"}
)
KEY_FILES: Final = frozenset(
    {
        ".env", ".envrc", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", ".vault-token",
        ".boto", ".s3cfg", ".my.cnf", "application_default_credentials.json",
    }
)  # fmt: skip
KEY_BEGINNINGS: Final = (".env.", "id_rsa", "id_dsa", "id_ed25519", "id_ecdsa")
KEY_ENDINGS: Final = (".kdbx", ".p12", ".pfx", ".jks", ".keystore")

MOST_LINKS: Final = 40
"""As many as Linux follows in one path."""


def is_guarded(real: Path, home: Path | None) -> bool:
    """True for what only an exact grant opens. `home` is the program's own."""
    name = real.name.lower()
    return (
        not KEY_FOLDERS.isdisjoint(part.lower() for part in real.parts)
        or name in KEY_FILES
        or name.startswith(KEY_BEGINNINGS)
        or name.endswith(KEY_ENDINGS)
        or (home is not None and real.is_relative_to(home))
    )


def followed(path: Path) -> Path:
    """`path` with every link in it followed. After a link that leads to itself realpath leaves the others as they
    are, so it is asked again until nothing changes; RuntimeError if it never ends."""
    real = os.path.realpath(path)
    for _ in range(MOST_LINKS):
        again = os.path.realpath(real)
        if again == real:
            return Path(real)
        real = again
    raise RuntimeError("its links lead in circles")
