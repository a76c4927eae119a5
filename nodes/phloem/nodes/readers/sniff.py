"""What a file is: by its first bytes, then by its name."""

from __future__ import annotations

import re
from typing import Final, Literal

from phloem.nodes.readers.archive import names_in, opened
from phloem.runtime.errors import InputError

__all__ = ["Format", "format_of"]

Format = Literal["text", "html", "pdf", "docx", "pptx", "xlsx", "odt", "epub"]

_ENDINGS: Final = (".html", ".htm", ".xhtml", ".xht")
_PAGE: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
_OFFICE: Final[dict[str, Format]] = {
    "word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx",
}  # fmt: skip
_MIMETYPES: Final[dict[bytes, Format]] = {
    b"application/epub+zip": "epub",
    b"application/vnd.oasis.opendocument.text": "odt",
}
_LOCKED: Final = "EncryptedPackage".encode("utf-16-le")
_OTHERS: Final = (
    (b"\x89PNG\r\n", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"), (b"MM\0*", "a TIFF image"), (b"RIFF", "a sound, a film or a WebP image"),
    (b"ID3", "an MP3 sound"), (b"OggS", "an Ogg sound"), (b"fLaC", "a FLAC sound"),
    (b"\x1aE\xdf\xa3", "a Matroska film"), (b"\x1f\x8b", "a gzip archive"), (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"), (b"7z\xbc\xaf", "a 7z archive"), (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"), (b"MZ", "a Windows program"), (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\0asm", "a WebAssembly module"), (b"SQLite format 3\0", "an SQLite database"), (b"PAR1", "a Parquet table"),
    (b"GGUF", "a language model (GGUF)"), (b"wOF", "a font"),
)  # fmt: skip


def format_of(data: bytes, name: str, media_type: str = "") -> Format:
    """Which of the formats that can be read as text `data` is; InputError says what it is otherwise.

    `name` is what the file is called, `media_type` what a server said it is.
    """
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data[:4] == b"PK\x03\x04":
        return _in_zip(data, name)
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        if _LOCKED in data:
            raise InputError(f"{name} is locked with a password", hint="Save a copy without one.")
        raise InputError(f"{name} is an old Office document", hint="Save it as docx, xlsx or pptx.")
    other = next((what for start, what in _OTHERS if data.startswith(start)), None)
    if other is None and data[4:8] == b"ftyp":
        other = "a film, a sound or a picture (MP4)"
    if data.startswith(b"{\\rtf"):
        raise InputError(f"{name} is an RTF document, which cannot be read", hint="Save it as docx.")
    if other is not None:
        raise InputError(f"{name} is {other}, which has no text to read")
    if (
        media_type in ("text/html", "application/xhtml+xml")
        or name.lower().endswith(_ENDINGS)
        or _PAGE.match(data[:4096])
    ):
        return "html"
    return "text"


def _in_zip(data: bytes, name: str) -> Format:
    with opened(data, name) as archive:
        names = names_in(archive)
        for member, format in _OFFICE.items():
            if member in names:
                return format
        declared = archive.read("mimetype")[:100].strip() if "mimetype" in names else b""
    if declared in _MIMETYPES:
        return _MIMETYPES[declared]
    raise InputError(f"{name} is a zip archive, which has no text to read", hint="Unpack it first.")
