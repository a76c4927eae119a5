"""What the installed packages offer Phloem: the entry points of the groups `phloem.nodes`, `phloem.services` and
`phloem.commands`.

Reading the metadata of every package takes longer than starting everything else, so the answer is kept in
the home, for as long as none of the folders that Python imports from has changed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from phloem.runtime.disk import replace_file
from phloem.runtime.home import Home

__all__ = ["COMMANDS", "NODES", "SERVICES", "installed"]

NODES: Final = "phloem.nodes"
SERVICES: Final = "phloem.services"
COMMANDS: Final = "phloem.commands"
GROUPS: Final = (NODES, SERVICES, COMMANDS)

Offers = Mapping[str, list[tuple[str, str]]]


@cache
def installed(home: Home) -> Offers:
    """For each group, the name and the `module:attribute` of every entry point, as often as it is offered."""
    path = home.path / "installed.json"
    folders = _folders()
    kept = _read(path)
    try:
        known = kept[sys.prefix]
        if known["folders"] == folders:
            return {group: [(str(name), str(value)) for name, value in known["offers"][group]] for group in GROUPS}
    except (LookupError, TypeError, ValueError):
        # Nothing was kept, or by an older version, with fewer groups, or it is damaged.
        pass
    offers = _look()
    _write(path, {**kept, sys.prefix: {"folders": folders, "offers": offers}})
    return offers


def _folders() -> list[list[object]]:
    """The folders on the import path, each with when something was last put into or taken out of it.

    The current folder is left out: nobody installs packages there, and it changes all the time.
    """
    found: list[list[object]] = []
    for name in sys.path:
        try:
            if name and name != str(Path.cwd()):
                found.append([name, Path(name).stat().st_mtime_ns])
        except OSError:
            continue
    return found


def _look() -> dict[str, list[tuple[str, str]]]:
    from importlib.metadata import entry_points

    every = entry_points()
    return {group: [(one.name, one.value) for one in every.select(group=group)] for group in GROUPS}


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write(path: Path, data: Mapping[str, object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(data).encode())
    except OSError:
        # It only saves time.
        return
