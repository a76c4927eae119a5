"""Names that a person chose for the ports of one node."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from phloem.runtime.errors import SettingError
from phloem.runtime.ports import REQUIRED, Port, PortType
from phloem.runtime.words import or_list

__all__ = ["check_names", "input_ports"]

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]*\Z"
_MOST: Final = 200


def check_names(names: Iterable[str], what: str, *, taken: Iterable[str] = ()) -> list[str]:
    """`names` as a list, if each can be the name of a port; SettingError says which cannot and why.

    `what` is one of them in a sentence (`the field`, `the case`); `taken` are names that mean something else.
    """
    found = list(names)
    reserved = set(taken)
    for name in found:
        if not re.match(_NAME, name):
            raise SettingError(
                f"{what} {name[:60]!r} cannot be the name of a port",
                hint="A name begins with a letter or _, and goes on with letters, digits, _ and -.",
            )
        if name in reserved:
            raise SettingError(f"{what} cannot be called {name}: that name is taken", hint="Choose another name.")
    twice = sorted({name for name in found if found.count(name) > 1}) if len(set(found)) < len(found) else []
    if twice:
        raise SettingError(f"{what} {or_list(twice, 'and')} is there twice", hint="Each name can be used once.")
    if len(found) > _MOST:
        raise SettingError(f"there are {len(found)} names; a node has room for {_MOST}")
    return found


def input_ports(
    names: Iterable[str], wanted: PortType, about: str, *, optional: Iterable[str] = (), each: Iterable[str] = ()
) -> dict[str, Port]:
    """An input port of type `wanted` for each name; the `optional` ones default to null, and a list into one
    of `each` makes the node run once per item."""
    free, mapping = set(optional), set(each)
    return {
        name: Port(
            name, wanted, about, default=None if name in free else REQUIRED, maps="always" if name in mapping else None
        )
        for name in names
    }
