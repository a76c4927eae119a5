"""One exchange with a provider: JSON there, and JSON back, whole or event by event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from phloem.nodes.services.models.hosted.clients import Connection
from phloem.nodes.services.models.hosted.failures import TryLater, explained

__all__ = ["events", "fetch"]

_END: Final = object()


async def events(connection: Connection, path: str, body: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """The events of the answer to a POST that asks for a stream; one event if the server answers in one piece.

    A stream without a byte is followed by the same question unstreamed: llama-cpp-python's server fails like this,
    and says why only then.

    Closing the generator closes the connection at once. Errors are those of `failures`, and refer to nothing that
    an SDK raised: that holds the request, and in it the key.
    """
    deadline = asyncio.get_running_loop().time() + connection.endpoint.seconds.total
    failure = stream = None
    try:
        async with asyncio.timeout_at(deadline):
            stream = await connection.sdk.post(
                path, cast_to=object, body=body, stream=True, stream_cls=connection.stream
            )
        if _is_whole(stream.response.headers.get("content-type", "")):
            async with asyncio.timeout_at(deadline):
                whole = await stream.response.aread()
            yield json.loads(whole)
        else:
            coming = aiter(stream)
            while True:
                async with asyncio.timeout_at(deadline):
                    event = await anext(coming, _END)
                if event is _END:
                    break
                yield event
            if not stream.response.num_bytes_downloaded:
                yield await _unstreamed(connection, path, body)
    except Exception as error:
        failure = explained(error, connection.endpoint)
        if failure is None:
            raise
    finally:
        if stream is not None:
            await stream.close()
    if failure is not None:
        raise failure


def _is_whole(content_type: str) -> bool:
    """True for an answer that is no stream of events. Some servers call those plain text, or nothing."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind not in ("text/event-stream", "text/plain", "")


async def _unstreamed(connection: Connection, path: str, body: dict[str, Any]) -> Any:
    """The answer in one piece. The connection of the stream may break only now, so a second one is tried."""
    plain = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    with suppress(TryLater):
        return await fetch(connection, path, plain)
    return await fetch(connection, path, plain)


async def fetch(connection: Connection, path: str, body: dict[str, Any] | None = None, seconds: float = 0) -> Any:
    """The JSON that a server answers to a POST of `body`, or to a GET without one. Errors as those of `events`.

    `seconds` bounds all of it; 0 is the endpoint's own bound.
    """
    failure = None
    try:
        async with asyncio.timeout(seconds or connection.endpoint.seconds.total):
            if body is None:
                return await connection.sdk.get(path, cast_to=object)
            return await connection.sdk.post(path, cast_to=object, body=body)
    except Exception as error:
        failure = explained(error, connection.endpoint)
        if failure is None:
            raise
    raise failure
