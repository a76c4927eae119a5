"""The SDKs of OpenAI and Anthropic, made for one endpoint each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.runtime.errors import ConfigError, InputError

if TYPE_CHECKING:
    import ssl

__all__ = ["Connection", "connect", "load"]


@dataclass(frozen=True, slots=True)
class Connection:
    """A client of an SDK for one server, and the class in which it gives streams."""

    endpoint: Endpoint
    sdk: Any
    stream: Any

    async def close(self) -> None:
        await self.sdk.close()


def load(protocol: str) -> None:
    """Load the SDK for a protocol, which takes about a second; ConfigError that names the extra if it is not there."""
    try:
        if protocol == "anthropic":
            import anthropic  # noqa: F401
        else:
            import openai  # noqa: F401
        import tenacity  # noqa: F401
    except ImportError:
        name = "anthropic" if protocol == "anthropic" else "openai"
        raise ConfigError(
            f"models of this provider need an extra: {name}", hint=f'pip install "phloem[{name}]"'
        ) from None
    from phloem.nodes.services.models.hosted.hiding import hide_in_logs

    hide_in_logs()


def connect(endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> Connection:
    """A connection, which belongs to the running event loop. The SDK tries nothing again by itself: `patience` does."""
    import httpx2
    from phloem.nodes.services.models.hosted.network import http_client

    try:
        httpx2.URL(endpoint.url)
    except (httpx2.InvalidURL, ValueError):
        raise InputError(f"the address of {endpoint.provider} cannot be reached: it is no web address") from None
    http = http_client(endpoint, tls)
    # The SDKs insist on a key; `network` takes it off again where there is none.
    key = endpoint.key or "none"
    if endpoint.preset.protocol == "anthropic":
        from anthropic import AsyncAnthropic
        from anthropic import AsyncStream as AnthropicStream

        claude = AsyncAnthropic(api_key=key, base_url=endpoint.url, http_client=http, max_retries=0)
        return Connection(endpoint, claude, AnthropicStream[object])
    from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream

    if endpoint.version:
        azure = AsyncAzureOpenAI(
            api_key=key, azure_endpoint=endpoint.url, api_version=endpoint.version, http_client=http, max_retries=0
        )
        return Connection(endpoint, azure, AsyncStream[object])
    openai = AsyncOpenAI(api_key=key, base_url=endpoint.url, http_client=http, max_retries=0)
    return Connection(endpoint, openai, AsyncStream[object])
