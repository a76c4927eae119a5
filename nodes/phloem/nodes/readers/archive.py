"""Zip archives, which documents of many formats are inside, opened without falling for a bomb."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final

from phloem.runtime.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["names_in", "opened", "xml_in"]

UNPACKED: Final = 300_000_000
"""Bytes that all members of an archive may unpack to. zipfile reads no more of a member than it declares."""

MOST_MEMBERS: Final = 20_000
LARGEST_XML: Final = 100_000_000


def opened(data: bytes, name: str) -> zipfile.ZipFile:
    """The archive; InputError if it is damaged, locked, or would unpack to more than UNPACKED bytes."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InputError(f"{name} is damaged: {error}") from None
    members = archive.infolist()
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > UNPACKED:
        raise InputError(f"{name} would unpack to more than {UNPACKED:,} bytes or {MOST_MEMBERS:,} files")
    if any(member.flag_bits & 1 for member in members):
        raise InputError(f"{name} is locked with a password", hint="Save a copy without one.")
    return archive


def names_in(archive: zipfile.ZipFile) -> set[str]:
    """The names of the members."""
    return set(archive.namelist())


def xml_in(archive: zipfile.ZipFile, member: str) -> _Element:
    """The root of an XML member, read without entities and without the network; InputError if it cannot be."""
    from lxml import etree

    try:
        if archive.getinfo(member).file_size > LARGEST_XML:
            raise InputError(f"the part {member} of the document is larger than {LARGEST_XML:,} bytes")
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        return etree.fromstring(archive.read(member), parser)
    except KeyError:
        raise InputError(f"the document is damaged: it has no part {member}") from None
    except (etree.XMLSyntaxError, zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise InputError(f"the part {member} of the document is damaged: {error}") from None
