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
RUNNING_PROGRAMS: Final = ["/", "proc"]
"""Where Linux shows the memory of programs, and their environment, in which keys are handed to them."""

MOST_LINKS: Final = 40
"""As many as Linux follows in one path."""


def is_guarded(real: Path, home: Path | None) -> bool:
    """True for what only an exact grant opens. `home` is the program's own."""
    parts = [_folded(part) for part in real.parts]
    around = [_folded(part) for part in home.parts] if home is not None else []
    name = parts[-1] if parts else ""
    return (
        not KEY_FOLDERS.isdisjoint(parts)
        or name in KEY_FILES
        or name.startswith(KEY_BEGINNINGS)
        or name.endswith(KEY_ENDINGS)
        or parts[:2] == RUNNING_PROGRAMS
        or bool(around and parts[: len(around)] == around)
    )


def _folded(part: str) -> str:
    """A name in the form that all names have under which some system opens the same file: macOS takes `.ENV`, and
    `.\u017fsh` with a long s, for what they look like, and on Windows a stream of a file stands behind a colon."""
    if not part.isascii():
        import unicodedata

        plain = unicodedata.normalize("NFKC", part)
        part = "".join(one for one in plain if unicodedata.category(one) != "Cf").casefold()
    return part.partition(":")[0].lower()


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
