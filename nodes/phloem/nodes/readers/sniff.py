"""What a file is: by its first bytes, then by its name."""

from __future__ import annotations

import re
from typing import Final, Literal

from phloem.nodes.readers.archive import member_of, opened
from phloem.runtime.errors import InputError

__all__ = ["Format", "format_of"]

Format = Literal["text", "html", "pdf", "docx", "pptx", "xlsx", "odt", "epub"]

START: Final = 4096

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
    is_text = _is_text(data[:START])
    if data.lstrip()[:5] == b"%PDF-" or (b"%PDF-" in data[:1024] and not is_text):
        return "pdf"
    if data[:4] == b"PK\x03\x04":
        return _in_zip(data, name)
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        if _LOCKED in data:
            raise InputError(f"{name} is locked with a password", hint="Save a copy without one.")
        raise InputError(f"{name} is an old Office document", hint="Save it as docx, xlsx or pptx.")
    if data.startswith(b"{\\rtf"):
        raise InputError(f"{name} is an RTF document, which cannot be read", hint="Save it as docx.")
    other = None if is_text else _other(data)
    if other is not None:
        raise InputError(f"{name} is {other}, which has no text to read")
    if (
        media_type in ("text/html", "application/xhtml+xml")
        or name.lower().endswith(_ENDINGS)
        or _PAGE.match(data[:START])
    ):
        return "html"
    return "text"


def _is_text(start: bytes) -> bool:
    """True for what can only be text, whatever it begins with: a text about ID3 tags is no sound."""
    if b"\0" in start:
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return len(start) == START and error.start > START - 4  # a character that the end of the sample cuts in two
    return True


def _other(data: bytes) -> str | None:
    """What a file is that has no text to read, in words."""
    if data[4:8] == b"ftyp":
        return "a film, a sound or a picture (MP4)"
    return next((what for start, what in _OTHERS if data.startswith(start)), None)


def _in_zip(data: bytes, name: str) -> Format:
    with opened(data, name) as archive:
        names = set(archive.namelist())
        for member, format in _OFFICE.items():
            if member in names:
                return format
        declared = member_of(archive, "mimetype")[:100].strip() if "mimetype" in names else b""
    if declared in _MIMETYPES:
        return _MIMETYPES[declared]
    raise InputError(f"{name} is a zip archive, which has no text to read", hint="Unpack it first.")
