"""Hosts and addresses: the form in which they are compared, and which of them are of the open internet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = [
    "LONGEST_NAME",
    "host_of",
    "is_loopback",
    "is_loopback_name",
    "is_public",
    "is_public_literal",
    "is_public_name",
    "is_url",
    "literal",
    "may_be_public",
    "meant",
    "normal",
    "usual_port",
    "without_port",
]

LONGEST_NAME: Final = 253
"""Characters of a name in the DNS."""


def is_url(text: str) -> bool:
    """True for `scheme://…`; anything else names a file."""
    return "://" in text[:20]


def host_of(url: str) -> str:
    """The host of a URL with its port where one is written; empty if it has none.

    It comes in the form in which hosts are compared: lower case, no final dot, letters beyond ASCII as in
    the DNS, an IPv6 address in brackets.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = normal(parts.hostname or ""), parts.port
    except ValueError:
        return ""
    return f"{host}:{port}" if host and port else host


def usual_port(url: str) -> str:
    """The port of a URL in which none is written; empty for one that is not of the web."""
    return {"http": "80", "https": "443"}.get(url.partition(":")[0].lower(), "")


def normal(name: str) -> str:
    """A host, or `*.` before one, in the form in which hosts are compared."""
    name = name.lower().removesuffix(".")
    if name.startswith("*."):
        return f"*.{normal(name[2:])}"
    if ":" in name:
        return f"[{name.strip('[]')}]"
    return name if name.isascii() else _in_ascii(name)


def _in_ascii(name: str) -> str:
    """A name with letters beyond ASCII as the DNS and the http service have it; itself if there is no such form."""
    import idna

    try:
        return idna.encode(name.replace("。", ".")).decode()
    except idna.IDNAError:
        pass
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def without_port(host: str) -> str:
    return f"{host.partition(']')[0]}]" if host.startswith("[") else host.partition(":")[0]


_LOCAL_ENDINGS = (
    ".localhost", ".local", ".internal", ".intranet", ".private", ".corp", ".home", ".lan", ".home.arpa", ".test",
)  # fmt: skip
"""Endings that the public DNS does not serve (RFC 6761, RFC 6762 appendix G, RFC 8375, and ICANN for .internal)."""


def is_public_name(host: str) -> bool:
    """True for a name that someone on the internet may own: not an address, `localhost` or a name of a local net."""
    return "." in host and not host.endswith(_LOCAL_ENDINGS) and not host.replace(".", "").isdigit()


def may_be_public(host: str) -> bool:
    """False for what is not on the open internet, as far as that is told by how it is written."""
    return is_public_literal(host) or (is_public_name(host) and not _ends_in_a_number(host))


def _ends_in_a_number(host: str) -> bool:
    """True for what is read as an IPv4 address, in whatever form (`0x7f.1`): the rule of the URL standard."""
    last = host.rpartition(".")[2]
    return last.isdigit() or (last.startswith("0x") and all(one in "0123456789abcdef" for one in last[2:]))


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` is, written as such. None for a name."""
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def meant(host: str) -> set[IPv4Address | IPv6Address]:
    """Every address that is reached under an address: itself, the IPv4 one that it carries inside, and this machine
    for 0.0.0.0. None for a name."""
    import ipaddress

    ip = literal(host)
    if ip is None:
        return set()
    found = {ip, _inside(ip) or ip}
    # Systems connect to themselves there.
    return found | {ipaddress.ip_address("127.0.0.1" if one.version == 4 else "::1") for one in found if not int(one)}


def is_loopback_name(host: str) -> bool:
    """True for a name or address, without a port, that never leads off this machine."""
    return host == "localhost" or host.endswith(".localhost") or is_loopback(host)


def is_loopback(address: str) -> bool:
    """True for an address of this machine's own, such as `127.0.0.1`. What a gateway elsewhere would have to turn into
    one (`64:ff9b::127.0.0.1`) is none."""
    ip = literal(address)
    return ip is not None and (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def is_public_literal(host: str) -> bool:
    """True for an address, written as such, of the open internet."""
    return literal(host) is not None and is_public(host.strip("[]"))


def is_public(address: str) -> bool:
    """True for an address of the open internet; of one that carries another inside, if both are."""
    import ipaddress

    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6:
        inner = _inside(ip)
        if ip.is_site_local or (inner is not None and not is_public(str(inner))):
            return False
    return ip.is_global and not ip.is_multicast


def _inside(ip: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    import ipaddress

    if ip.version == 4:
        return None
    inner = ip.ipv4_mapped or ip.sixtofour
    if inner is not None or int(ip) < 2:
        return inner
    if any(ip in ipaddress.IPv6Network(wide) for wide in _WITH_IPV4_AT_THE_END):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


_WITH_IPV4_AT_THE_END: Final = ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")
"""IPv6 addresses that stand for an IPv4 one: compatible (RFC 4291), and translated (RFC 6052, RFC 8215)."""
