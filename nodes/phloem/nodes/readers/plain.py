"""Bytes as text: which encoding they are in, and where lines end."""

from __future__ import annotations

import codecs
import re
from typing import Final

from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.values import Document

__all__ = ["decoded", "read_plain"]

SAMPLE: Final = 200_000

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_AS_BROWSERS: Final = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
    "euc_kr": "cp949",
}  # fmt: skip
"""Encodings that pages name and browsers read as a larger one (WHATWG Encoding Standard, section 4.2)."""

_NOT_OF_FILES: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})
_USUAL: Final = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949", "koi8_r",
]  # fmt: skip
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_META_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_XML_ENCODING: Final = re.compile(rb"\s*<\?xml[^>]{0,100}encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{1,40})[\"']")
_HEADING: Final = re.compile(r"#{1,6}[ \t]+(.+)")


def read_plain(data: bytes, name: str, encoding: str = "") -> Document:
    """A text file as it is, with every line ending in a newline character alone."""
    text = decoded(data, name, encoding)
    heading = _HEADING.match(text.lstrip()) if name.lower().endswith((".md", ".markdown")) else None
    return Document(text, title=heading[1].rstrip(" #") if heading else "")


def decoded(data: bytes, name: str, encoding: str = "") -> str:
    """The text that `data` says, in `encoding` or the one that its bytes point to. InputError for what is no text."""
    text = _decoded(data, name, encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decoded(data: bytes, name: str, encoding: str) -> str:
    if encoding:
        return _as(data, encoding, name)
    for mark, of_mark in _BOMS:
        if data.startswith(mark):
            return _as(data[len(mark) :], of_mark, name)
    if b"\0" in data[:SAMPLE]:
        return _as(data, _utf16_without_mark(data, name), name)
    for candidate in ("utf-8", _declared(data)):
        try:
            return data.decode(candidate)
        except (UnicodeDecodeError, LookupError):
            continue
    return _guessed(data, name)


def _declared(data: bytes) -> str:
    """The encoding that a page or XML names at its beginning, read as browsers do; utf-8 if there is none."""
    found = _META_CHARSET.search(data[:4096]) or _XML_ENCODING.match(data[:200])
    try:
        name = codecs.lookup(found[1].decode()).name if found else "utf-8"
    except LookupError:
        return "utf-8"
    return "utf-8" if name in _NOT_OF_FILES else _AS_BROWSERS.get(name, name)


def _as(data: bytes, encoding: str, name: str) -> str:
    try:
        if codecs.lookup(encoding).name in _NOT_OF_FILES:
            raise LookupError
        return data.decode(encoding)
    except LookupError:
        raise SettingError(
            f"there is no encoding called {encoding[:40]!r}", hint="Such as utf-8, latin-1 or shift_jis."
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not text in {encoding}: byte {error.start:,} does not fit") from None


def _utf16_without_mark(data: bytes, name: str) -> str:
    """UTF-16 as some programs write it: in Western text every other byte is zero."""
    sample = data[:2000]
    first, second = sample[::2].count(0), sample[1::2].count(0)
    if second > len(sample) // 4 and not first:
        return "utf-16-le"
    if first > len(sample) // 4 and not second:
        return "utf-16-be"
    raise InputError(f"{name} is not a text file: it has zero bytes in it")


def _guessed(data: bytes, name: str) -> str:
    """By charset-normalizer, from the beginning of the file; all of it must then fit.

    What reads as well in the encoding of Western Windows is taken to be in it: it is by far the most common.
    """
    from charset_normalizer import from_bytes

    sample = data if len(data) <= SAMPLE else data[: data.rfind(b"\n", 0, SAMPLE) + 1 or SAMPLE]
    matches = from_bytes(sample, cp_isolation=_USUAL)
    best = matches.best()
    if best is None or _CONTROL.search(str(best)):
        raise InputError(f"{name} is not a text file, or in an encoding that cannot be told", hint="Set its encoding.")
    western = any(
        "cp1252" in one.could_be_from_charset and one.chaos <= best.chaos and one.coherence >= best.coherence
        for one in matches
    )
    return _as(data, "cp1252" if western else best.encoding, name)
