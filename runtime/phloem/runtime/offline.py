"""A wall behind the doors, for a process that is to reach no other machine.

The doors refuse a run that is offline every connection, with an error that names the node. Behind them stand
libraries, and packages of nodes that nobody here has read: once a process is sealed, none of them can connect or look
a name up from Python either. Native code that opens sockets of its own is not held by this.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from phloem.runtime.grants.hosts import is_loopback, literal

__all__ = ["seal"]

_SENDING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_ASKING: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_ASKING_BACK: Final = frozenset({"socket.gethostbyaddr", "socket.getnameinfo"})
"""Which name an address has is asked of a name server too."""
_WITH_ADDRESS: Final = ("connect", "connect_ex", "sendto", "sendmsg", "bind")
"""Methods of sockets whose last argument is an address."""
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
        for name in _WITH_ADDRESS:
            if hasattr(socket.socket, name):
                setattr(socket.socket, name, _without_looking_up(name))


def _without_looking_up(name: str) -> Callable[..., Any]:
    """That method of sockets, which looks up a name in an address before any hook hears of it, for addresses only."""
    plain = getattr(socket.socket, name)

    @functools.wraps(plain)
    def method(self: socket.socket, *arguments: Any) -> Any:
        # Of the four arguments of sendmsg the address may be left out.
        address = arguments[-1] if arguments and (name != "sendmsg" or len(arguments) == 4) else None
        on_a_network = self.family in (socket.AF_INET, socket.AF_INET6)
        if on_a_network and isinstance(address, tuple) and address and not _is_known(address[0]):
            raise socket.gaierror(socket.EAI_FAIL, "Phloem is offline")
        return plain(self, *arguments)

    return method


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _SENDING:
        if not _is_here(arguments[1]):
            raise OSError(errno.ENETUNREACH, "Phloem is offline")
    elif event in _ASKING:
        if not _is_known(arguments[0]):
            raise socket.gaierror(socket.EAI_FAIL, "Phloem is offline")
    elif event in _ASKING_BACK:
        asked = arguments[0]
        if not _is_here(asked if isinstance(asked, tuple) else (asked,)):
            raise socket.gaierror(socket.EAI_FAIL, "Phloem is offline")


def _is_here(address: object) -> bool:
    """True for this machine, by its address or as `localhost`, and for what is on no network at all, such as a file."""
    name = _text(address[0]) if isinstance(address, tuple) and address else None
    return name is None or name == "localhost" or is_loopback(name)


def _is_known(host: object) -> bool:
    """True for what leads to no name server: an address, or this machine. `x.localhost` may."""
    name = _text(host)
    if not name or name == "localhost":
        return True
    return literal(name) is not None and "[" not in name and ("%" not in name or ":" in name)


def _text(name: object) -> str | None:
    """A host as text, in whatever form a socket takes it; None for what is none."""
    if isinstance(name, bytes | bytearray):
        name = name.decode("ascii", "replace")
    return name.lower() if isinstance(name, str) else None
