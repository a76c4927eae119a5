"""A wall behind the doors, for a process that is to reach no other machine.

The doors refuse a run that is offline every connection, with an error that names the node. Behind them stand
libraries, and packages of nodes that nobody here has read: once a process is sealed, none of them can connect or look
a name up from Python either. Native code that opens sockets of its own is not held by this.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any, Final

from phloem.runtime.grants.hosts import is_loopback_name

__all__ = ["seal"]

_SENDING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_ASKING: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
_sealed = False


def seal() -> None:
    """From now on, and for good, this process reaches no other machine and asks no name server: whatever tries gets an
    OSError. Servers on this machine stay within reach, for they are asked for by name at the doors."""
    global _sealed
    if not _sealed:
        _sealed = True
        # These libraries ask their servers for news unless they are told not to.
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _SENDING:
        if not _is_here(arguments[1]):
            raise OSError(errno.ENETUNREACH, "Phloem is offline")
    elif event in _ASKING and not _is_known(arguments[0]):
        raise socket.gaierror(socket.EAI_FAIL, "Phloem is offline")


def _is_here(address: object) -> bool:
    """True for an address of this machine, and of no network at all, such as a file's."""
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return True
    return is_loopback_name(address[0])


def _is_known(host: object) -> bool:
    """True for what leads to no name server: an address, or this machine."""
    name = host[0] if isinstance(host, tuple) else host
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    if not isinstance(name, str) or not name or is_loopback_name(name.lower().removesuffix(".")):
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name.partition("%")[0])
        except OSError:
            continue
        return True
    return False
