"""`phloem models rm`: a model of the user's removed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phloem.nodes.commands.models import places
from phloem.nodes.services.models.pull.disk import amount, disk_error
from phloem.nodes.services.models.pull.folder import locked
from phloem.nodes.services.models.pull.origin import Origin
from phloem.nodes.services.models.pull.part import Part, parts_in
from phloem.runtime.errors import ConfigError, InputError
from phloem.runtime.home import Home
from phloem.runtime.settings import Settings
from phloem.runtime.words import nearest

__all__ = ["main"]


def main(given: argparse.Namespace) -> int:
    """Remove the model, or the part of one that waits to be gone on with. It is asked for on a terminal."""
    folder, name = places.folder(), places.own_name(given.model)
    path, part = folder / f"{name}.gguf", Part(folder, name)
    if not path.exists() and not path.is_symlink() and not part.path.exists():
        raise _missing(folder, name)
    if not given.yes and not _agreed(name, path, part):
        print("nothing was removed", file=sys.stderr)
        return 1
    try:
        with locked(folder, name):
            path.unlink(missing_ok=True)
            Origin.forget(path)
            part.discard()
    except OSError as error:
        raise disk_error(path, error) from error
    print(f"local:{name} is removed", file=sys.stderr)
    _forget_default(name)
    return 0


def _agreed(name: str, path: Path, part: Part) -> bool:
    """Whether the person at the terminal says yes. ConfigError if there is none."""
    if not sys.stdin.isatty():
        raise ConfigError(f"local:{name} would be removed, and nobody can be asked", hint="Add --yes.")
    if path.is_symlink():
        what = f"the link local:{name} (the file stays: {path.readlink()})"
    elif path.exists():
        what = f"local:{name} ({amount(path.stat().st_size)})"
    else:
        what = f"the part of {name} that has come so far ({amount(part.size)})"
    print(f"Remove {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _forget_default(name: str) -> None:
    """Take the model out of the settings, where it could only be an error from now on."""
    settings = Settings.load(Home.default())
    for setting in ("default", "embedding"):
        if settings.models.get(setting) == f"local:{name}":
            settings = settings.changed("models", setting, None)
            settings.save()
            print("it was the default: there is none of your own now", file=sys.stderr)


def _missing(folder: Path, name: str) -> InputError:
    own = [path.stem for path in folder.glob("*.gguf")] + [part.name for part in parts_in(folder)]
    near = nearest(name, own)
    return InputError(
        f"there is no model local:{name:.100}" + (f"; did you mean local:{near}?" if near else ""),
        hint="`phloem models` lists those that there are.",
    )
