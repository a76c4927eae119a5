"""Bytes of a page to text, in the character set a browser would take."""

from __future__ import annotations

import codecs
import re
from typing import Final

__all__ = ["decode"]

_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DECLARED_WITHIN: Final = 4096
_SAMPLE: Final = 200_000


def decode(data: bytes, declared: str = "", *, markup: bool = True) -> str:
    """`data` as text. What does not fit the character set becomes U+FFFD; nothing is an error.

    In this order: a byte order mark, `declared` (the charset of a Content-Type), UTF-8 if it can be no other,
    in `markup` what a <meta> or an XML declaration near its beginning says, and else the likeliest by the look
    of it. Browsers ask the <meta> before they look, but saved pages are often in UTF-8 whatever theirs still says.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    name = _codec(declared)
    if not name and not data.isascii() and _is_utf_8(data):
        name = "utf-8"
    if not name and markup:
        name = _named_in(data)
    return data.decode(name or ("utf-8" if data.isascii() else _guess(data)), "replace")


def _is_utf_8(data: bytes) -> bool:
    """True for UTF-8, even if it is cut off within its last character."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and not data[: error.start].isascii()
    return True


_META: Final = re.compile(rb"""<meta[^>]{0,400}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_XML: Final = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})["']""", re.IGNORECASE)


def _named_in(data: bytes) -> str:
    start = data[:_DECLARED_WITHIN]
    found = _XML.search(start) or _META.search(start)
    name = _codec(found.group(1).decode("ascii")) if found else ""
    # A declaration that could be read as ASCII is not in UTF-16, whatever it says.
    return "utf-8" if name.startswith("utf-16") else name


_WINDOWS: Final = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs",
}  # fmt: skip
"""What the Encoding Standard of the web reads under these names: the larger sets that pages really use."""
_ALIASES: Final = {
    "x-sjis": "cp932", "windows-31j": "cp932", "ks_c_5601-1987": "cp949", "x-gbk": "gb18030", "x-euc-jp": "euc_jp",
    "x-user-defined": "cp1252", "windows-874": "cp874", "unicode": "utf-16-le", "x-mac-cyrillic": "mac-cyrillic",
}  # fmt: skip
_FOR_TEXT: Final = re.compile(r"(utf-(8|16)|cp\d|iso8859|koi8|mac-|gb|big5|euc|shift_jis|iso2022_jp|tis|ascii)")


def _codec(label: str) -> str:
    """Python's name for a character set, if it is one that pages may be in."""
    label = label.strip().strip("\"'").lower()
    try:
        name = codecs.lookup(_ALIASES.get(label, label)).name
    except (LookupError, ValueError):
        return ""
    return _WINDOWS.get(name, name) if _FOR_TEXT.match(name) else ""


_CANDIDATES: Final = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp874",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_TAG: Final = re.compile(rb"<[^<>]*>")
_AS_LIKELY: Final = 0.1


def _guess(data: bytes) -> str:
    """The likeliest character set of the text between the tags; Western European where another is no likelier."""
    from charset_normalizer import from_bytes

    found = from_bytes(_TAG.sub(b" ", data[:_SAMPLE]), cp_isolation=_CANDIDATES)
    best = found.best()
    if best is None:
        return "cp1252"
    western = next((one for one in found if one.encoding == "cp1252"), best)
    as_likely = western.chaos <= best.chaos and western.coherence >= best.coherence - _AS_LIKELY
    return _codec((western if as_likely else best).encoding)
