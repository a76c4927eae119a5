"""What web.fetch sends and gets, as the values of a workflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from phloem.nodes.addresses import charset_of
from phloem.runtime.codec import json_form
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.services import HttpAnswer
from phloem.runtime.values import Blob, Document

__all__ = ["answered", "as_body", "as_headers"]


def as_headers(headers: object) -> dict[str, str]:
    """Headers as they are sent, their names in lower case; SettingError for values that no header can have."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise SettingError("headers is not an object of names and values", hint='Such as {"Accept": "text/csv"}.')
    sent = {}
    for name, value in headers.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise SettingError(f"the header {name} is neither a text nor a number")
        sent[str(name).lower()] = str(value)
    return sent


def as_body(body: object) -> tuple[bytes | None, str]:
    """A value as bytes to send, and their media type; None and nothing for None."""
    import json

    if body is None:
        return None, ""
    if isinstance(body, Blob):
        return body.data, body.media_type
    if isinstance(body, Document):
        body = body.text
    if isinstance(body, str):
        try:
            return body.encode(), "text/plain; charset=utf-8"
        except UnicodeEncodeError as error:
            raise InputError(f"character {error.start + 1:,} of the body is half of a pair") from None
    return json.dumps(json_form(body), ensure_ascii=False).encode("utf-8", "replace"), "application/json"


def answered(answer: HttpAnswer) -> tuple[str, int, dict[str, str], Blob, Any]:
    """An answer as text (empty if it is none), status, headers, file and JSON (None if it is none)."""
    from phloem.nodes.articles.charset import decode
    from phloem.nodes.found_json import parse_json

    said = answer.media_type
    is_json = said.endswith(("/json", "+json"))
    is_text = is_json or said.startswith("text/") or said.endswith("+xml") or said in _TEXTS or _looks_like_text(answer)
    text = decode(answer.body, charset_of(answer), markup=said.endswith(("html", "xml"))) if is_text else ""
    value = None
    if is_json and text:
        try:
            value = parse_json(text)
        except InputError:
            value = None
    file = Blob(answer.body, _name(answer), said or ("text/plain" if is_text else "application/octet-stream"))
    return text, answer.status, dict(answer.headers), file, value


_TEXTS: Final = frozenset(
    {"application/javascript", "application/x-www-form-urlencoded", "application/xml", "application/yaml"}
)


def _looks_like_text(answer: HttpAnswer) -> bool:
    """True if a server that did not say what it sent has sent text."""
    if answer.media_type or b"\0" in answer.body:
        return False
    try:
        answer.body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_NAMED: Final = re.compile(r"""filename\s*=\s*(?:"([^"]{1,300})"|([^\s;"]{1,300}))""", re.IGNORECASE)
_NAMED_WIDELY: Final = re.compile(r"filename\*\s*=\s*utf-8''([^\s;]{1,900})", re.IGNORECASE)
_UNNAMABLE: Final = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


def _name(answer: HttpAnswer) -> str:
    """What to call the file: the name the server gave it, or the last part of the address; never a path."""
    disposition = answer.headers.get("content-disposition", "")
    widely, plainly = _NAMED_WIDELY.search(disposition), _NAMED.search(disposition)
    if widely:
        given = unquote(widely[1])
    elif plainly:
        given = plainly[1] or plainly[2]
    else:
        given = unquote(urlsplit(answer.url).path)
    name = PurePosixPath(given.replace("\\", "/")).name
    return _UNNAMABLE.sub("_", name).strip(". ")[:200]
