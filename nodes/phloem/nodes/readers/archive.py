"""Zip archives, which documents of many formats are inside, opened without falling for a bomb.

A member may unpack to far more than the archive says it does, and `ZipFile.read` makes all of it before it
looks at what was said. So members are read here, never beyond the size they declare.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from phloem.runtime.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["member_of", "opened", "repacked", "xml_in"]

UNPACKED: Final = 300_000_000
"""Bytes that all members of an archive may unpack to."""

MOST_MEMBERS: Final = 20_000
LARGEST_XML: Final = 100_000_000

_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def opened(data: bytes, name: str) -> zipfile.ZipFile:
    """The archive; InputError if it is damaged, locked, or would unpack to more than UNPACKED bytes."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as error:
        raise InputError(f"{name} is damaged: {error}") from None
    members = archive.infolist()
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > UNPACKED:
        raise InputError(f"{name} would unpack to more than {UNPACKED:,} bytes or {MOST_MEMBERS:,} files")
    if any(member.flag_bits & 1 for member in members):
        raise InputError(f"{name} is locked with a password", hint="Save a copy without one.")
    return archive


def repacked(data: bytes, name: str) -> io.BytesIO:
    """An archive with the same members that unpack to what they say, for a library that trusts what is said."""
    made = io.BytesIO()
    with opened(data, name) as archive, zipfile.ZipFile(made, "w") as fresh:
        for member in dict.fromkeys(archive.namelist()):
            fresh.writestr(member, member_of(archive, member))
    made.seek(0)
    return made


def member_of(archive: zipfile.ZipFile, member: str) -> bytes:
    """The content of a member; InputError if there is none, or it is damaged."""
    try:
        info = archive.getinfo(member)
        with archive.open(info) as file:
            return file.read(info.file_size)
    except KeyError:
        raise InputError(f"the document is damaged: it has no part {member}") from None
    except _DAMAGE as error:
        raise InputError(f"the document is damaged in its part {member}: {error}") from None


def xml_in(archive: zipfile.ZipFile, member: str) -> _Element:
    """The root of an XML member, read without entities and without the network; InputError if it cannot be."""
    from lxml import etree

    content = member_of(archive, member)
    if len(content) > LARGEST_XML:
        raise InputError(f"the part {member} of the document is larger than {LARGEST_XML:,} bytes")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"the document is damaged in its part {member}: {error}") from None
