"""What goes wrong between us and a provider, in words: what happened, where, and what to do. No word holds a key."""

from __future__ import annotations

import email.utils
import math
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from phloem.nodes.services.models.hosted import keys
from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.hiding import hidden
from phloem.runtime.errors import InputError, NodeError, PermissionNeeded, ServiceError, SettingError

__all__ = ["NoModel", "Refused", "TryLater", "explained", "setting_refused", "told", "unreadable"]


class TryLater(ServiceError):
    """What may go well in a moment. `after` is how many seconds the server asked to wait, if it did."""

    def __init__(self, message: str, *, hint: str | None = None, after: float | None = None) -> None:
        super().__init__(message, hint=hint, retryable=True)
        self.after = after


class Refused(ServiceError):
    """A request that the server does not understand or allow; `said` is all that it said about it, in lower case."""

    def __init__(self, message: str, *, hint: str | None = None, said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.said = said


class NoModel(ServiceError):
    """The server has no model of that name."""


def explained(error: BaseException, endpoint: Endpoint) -> NodeError | PermissionNeeded | None:
    """The error for what an SDK or the network raised; None for what neither of them raises, so a bug stays one."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, NodeError | PermissionNeeded):
            return one
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        response = getattr(error, "response", None)
        headers = response.headers if isinstance(response, httpx2.Response) else {}
        return told(getattr(error, "body", None), endpoint, status, headers)
    if getattr(error, "body", None) is not None:
        return told(error.body, endpoint)  # type: ignore[attr-defined]
    return _of_network(chain, endpoint) or _of_words(error, endpoint)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _of_network(chain: list[BaseException], endpoint: Endpoint) -> NodeError | None:
    return _of_encryption(chain, endpoint) or _of_connecting(chain, endpoint) or _of_carrying(chain, endpoint)


def _of_encryption(chain: list[BaseException], endpoint: Endpoint) -> NodeError | None:
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return ServiceError(
                f"the certificate of {endpoint.host} is not to be trusted: {one.verify_message}",
                hint="If its authority is your own, name its file in SSL_CERT_FILE.",
            )
        if isinstance(one, ssl.SSLError):
            return ServiceError(
                f"no secure connection to {endpoint.host} could be made", hint="Is it http:// rather than https://?"
            )
    return None


def _of_connecting(chain: list[BaseException], endpoint: Endpoint) -> NodeError | None:
    host = endpoint.host
    for one in chain:
        if isinstance(one, httpx2.ProxyError):
            hint = "Look at HTTPS_PROXY and NO_PROXY."
            return ServiceError(f"the proxy does not let us through to {host}", hint=hint, retryable=True)
        if isinstance(one, httpx2.ConnectTimeout):
            within = f"{endpoint.seconds.connect:g} seconds"
            return TryLater(f"cannot connect to {host} within {within}", hint=_NO_NETWORK)
        if isinstance(one, httpx2.ConnectError) and endpoint.is_near:
            # A server of the user's own that is not running will not be in a moment.
            hint = f"Is the server running, and at {endpoint.url}?"
            return ServiceError(f"cannot connect to {host}", hint=hint, retryable=True)
        if isinstance(one, httpx2.ConnectError):
            return TryLater(f"cannot connect to {host}", hint=_NO_NETWORK)
    return None


def _of_carrying(chain: list[BaseException], endpoint: Endpoint) -> NodeError | None:
    host, seconds = endpoint.host, endpoint.seconds
    for one in chain:
        if isinstance(one, httpx2.TimeoutException):
            return TryLater(f"{host} said nothing for {seconds.quiet:g} seconds")
        if isinstance(one, TimeoutError):
            return ServiceError(f"{host} did not finish within {seconds.total:g} seconds", retryable=True)
        if isinstance(one, httpx2.DecodingError | httpx2.InvalidURL):
            return unreadable(endpoint)
        if isinstance(one, httpx2.HTTPError | httpx2.StreamError | OSError):
            return TryLater(f"{host} broke off")
    return None


def _of_words(error: BaseException, endpoint: Endpoint) -> NodeError | None:
    maker = type(error).__module__.partition(".")[0]
    if isinstance(error, ValueError | RecursionError):
        return unreadable(endpoint)
    if maker in ("openai", "anthropic", "httpx2", "httpcore2", "anyio"):
        return TryLater(f"{endpoint.host} broke off")
    return None


def unreadable(endpoint: Endpoint) -> ServiceError:
    """The error for an answer that is not in the protocol."""
    name = {"openai": "OpenAI's", "anthropic": "Anthropic's"}[endpoint.preset.protocol]
    return ServiceError(
        f"{endpoint.host} answered with something that is not {name} protocol",
        hint="Is the address right? It usually ends in /v1.",
    )


_NO_NETWORK: Final = "Is this machine connected to the network? Behind a proxy, set HTTPS_PROXY."


@dataclass(frozen=True, slots=True)
class _Said:
    """What a server said of an error, as far as it did; `text` is shown to people."""

    text: str
    kind: str
    status: int | None


_KINDS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that goes with a kind of error, for those that come in the middle of an answer."""
_SHOWN: Final = 300


def told(
    body: object, endpoint: Endpoint, status: int | None = None, headers: Mapping[str, str] | None = None
) -> NodeError:
    """The error for what a server said when it failed: the body of its answer, or an event of its stream."""
    said = _said(body, endpoint)
    if status is None or status < 300:
        status = said.status or 500
    if status == 500 and "validation error" in said.text:
        # How llama-cpp-python's server refuses a field.
        status = 400
    who = endpoint.provider
    if 300 <= status < 400:
        return ServiceError(
            f"{endpoint.host} redirects elsewhere, where the key is not sent",
            hint="Use the address that it leads to, if you trust it.",
        )
    if status in (401, 403):
        return _key_refused(endpoint, status)
    if status == 402 or "insufficient_quota" in said.kind or "insufficient_balance" in said.kind:
        return ServiceError(
            f"{who} wants to be paid first: the account has no credit left", hint="Look at its billing page."
        )
    if _CONTEXT.search(f"{said.kind} {said.text}") and status in (400, 413, 422, 500):
        return InputError(
            f"the prompt and the answer are longer than {endpoint.model} takes: {said.text}",
            hint="Shorten it, give it fewer or smaller passages, or choose a model with a longer context.",
        )
    if _FILTER.search(said.kind) or (status == 400 and "content management policy" in said.text):
        return ServiceError(f"{who} refused the prompt: its content filter does not let it through")
    if status == 404:
        return NoModel(
            f"{who} has no model called {endpoint.model!r}", hint=f"Is the address right? It is {endpoint.url}."
        )
    if status in _LATER or (status >= 500 and status not in (501, 505)):
        return TryLater(_busy(who, status, said.text), after=_wait(headers or {}))
    return _refused(endpoint, status, said)


_LATER: Final = frozenset({408, 409, 425, 429})
_CONTEXT: Final = re.compile(
    r"(?i)context.?(length|window|size)|maximum context|prompt is too long|too many tokens|exceed\w* the (model|max\w*)"
    r"[^.]{0,40}(context|tokens)|input (is )?too long|string_above_max_length|exceed_context"
)
_FILTER: Final = re.compile(r"(?i)content_?(filter|policy)|responsibleai")


def _said(body: object, endpoint: Endpoint) -> _Said:
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict | str):
        body = body["error"]
    if isinstance(body, str):
        body = {"message": body}
    if not isinstance(body, dict):
        body = {}
    text = body.get("message") or body.get("detail") or ""
    kinds = [body.get(name) for name in ("type", "code", "param", "status")]
    code = body.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    for kind in kinds:
        status = status or (_KINDS.get(kind) if isinstance(kind, str) else None)
    kind = hidden(" ".join(str(one)[:100] for one in kinds), [endpoint.key or ""])
    shown = hidden(str(text)[: 4 * _SHOWN], [endpoint.key or ""])
    shown = " ".join("".join(one if one.isprintable() else " " for one in shown).split())
    return _Said(shown[:_SHOWN] + ("…" if len(shown) > _SHOWN else ""), kind, status)


def _key_refused(endpoint: Endpoint, status: int) -> ServiceError:
    """Without what the server said: it likes to repeat the key."""
    names = keys.variables(endpoint.key_name)
    if endpoint.key is None:
        message = f"{endpoint.provider} wants a key ({status})"
    elif status == 403:
        message = f"{endpoint.provider} does not allow that with this key ({status})"
    else:
        message = f"{endpoint.provider} does not take the key ({status})"
    place = keys.where(endpoint.key_name) if endpoint.key else None
    came = f"It came from the {place}. " if place else ""
    other = f"Set {names[0]}, or store" if names else "Store"
    return ServiceError(message, hint=f"{came}{other} another with: phloem models key set {endpoint.key_name}")


def _busy(who: str, status: int, text: str) -> str:
    what = "is asked too often" if status == 429 else "does not answer in time" if status in (408, 504) else "failed"
    return f"{who} {what} ({status})" + (f": {text}" if text else "")


def _refused(endpoint: Endpoint, status: int, said: _Said) -> NodeError:
    whole = f"{said.kind} {said.text}".lower()
    reason = said.text or "it does not say why"
    return Refused(f"{endpoint.provider} refused the request ({status}): {reason}", said=whole)


def setting_refused(name: str, endpoint: Endpoint, failure: Refused) -> SettingError:
    """The error for a setting that the model does not take."""
    return SettingError(f"{endpoint.full} does not take {name} like this: {failure.message}")


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, by RFC 9110 (10.2.3) or in the header `retry-after-ms`."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    given = headers.get("retry-after")
    seconds = _number(given)
    return _until(given) if seconds is None and given else seconds


def _until(date: str) -> float | None:
    """Seconds until a date; None for what is no date, or one that no calendar has."""
    try:
        parsed = email.utils.parsedate_tz(date)
        return None if parsed is None else max(0.0, email.utils.mktime_tz(parsed) - time.time())
    except (ValueError, OverflowError):
        return None


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
