"""Hosted models for tests: servers of both protocols on loopback, an environment without anyone's keys, and a bill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.nodes.services.models.hosted.service import HostedModels
from phloem.runtime.errors import LimitReached
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Request
from phloem.runtime.settings import Settings
from support.anthropic_server import AnthropicServer
from support.model_server import ModelServer, serving_models
from support.openai_server import OpenAIServer

__all__ = ["KEY", "Bill", "Peer", "fresh_environment", "peer_of", "run", "set_provider", "whole"]

KEY = "sk-proj-Zx81LmQ0vYtR5pKdWn3JhB"
"""A key that no provider ever gave to anyone."""

Result = TypeVar("Result")


@dataclass
class Bill:
    """A meter that adds up; `limit` bounds the tokens."""

    limit: int | None = None
    read: int = 0
    written: int = 0
    cached: int = 0
    money: float = 0.0
    texts: list[str] = field(default_factory=list)

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        self.read += read
        self.written += written
        self.cached += cached
        self.money += money
        if self.limit is not None and self.read + self.written > self.limit:
            raise LimitReached("the node spent more tokens than it may")

    def left(self) -> int | None:
        return None if self.limit is None else self.limit - self.read - self.written

    def sent(self, model: str, text: str) -> None:
        self.texts.append(text)


@dataclass
class Peer:
    """A server, the name of its model, and the backend that asks it."""

    server: Any
    model: str
    home: Home
    bill: Bill = field(default_factory=Bill)

    @property
    def body(self) -> Any:
        """What was asked last of the model."""
        return next(asked.body for asked in reversed(self.server.asked) if asked.method == "POST")

    def ask(self, asked: Any, **fields: Any) -> tuple[str, Ending]:
        """The whole answer to a Request of these fields."""
        return run(self.home, lambda models: whole(models, self.model, Request(asked=asked, **fields), self.bill))

    def fill(self, asked: Any, **fields: Any) -> Any:
        """The structured answer."""
        request = Request(asked=asked, **fields)
        return run(self.home, lambda models: models.structured(self.model, request, self.bill))


def run(home: Home, work: Callable[[HostedModels], Awaitable[Result]], **options: Any) -> Result:
    """What `work` gives with a backend that is closed afterwards."""

    async def main() -> Result:
        models = HostedModels(home, **options)
        try:
            return await work(models)
        finally:
            await models.close()

    return asyncio.run(main())


async def whole(models: HostedModels, model: str, request: Request, bill: Bill) -> tuple[str, Ending]:
    """An answer read to its end: the text, and the one Ending, which comes last."""
    found: list[str | Ending] = []
    async with aclosing(models.answer(model, request, bill)) as pieces:
        async for piece in pieces:
            found.append(piece)
    ending = found.pop()
    assert isinstance(ending, Ending)
    assert all(isinstance(piece, str) and piece for piece in found)
    return "".join(str(piece) for piece in found), ending


def set_provider(home: Home, name: str, entry: Mapping[str, Any] | str) -> None:
    """Put a provider into the user's settings."""
    Settings.load(home).changed("providers", name, entry).save()


_VARIABLES = ("OPENAI_API_VERSION", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@contextmanager
def fresh_environment() -> Iterator[pytest.MonkeyPatch]:
    """No keys, addresses or proxies in the environment, and a keyring of its own, empty, in memory."""
    import keyring
    import keyring.backend
    from support.keyring_in_memory import MemoryKeyring

    before = keyring.get_keyring()
    with pytest.MonkeyPatch.context() as patch:
        for preset in PRESETS.values():
            for name in (*preset.key_variables, *preset.url_variables):
                patch.delenv(name, raising=False)
        for name in (*_VARIABLES, *_PROXIES, *(name.upper() for name in _PROXIES)):
            patch.delenv(name, raising=False)
        keyring.set_keyring(MemoryKeyring())
        try:
            yield patch
        finally:
            keyring.set_keyring(before)


@contextmanager
def peer_of(kind: type[ModelServer], home: Home, patch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A peer of the provider that speaks that protocol."""
    with serving_models(kind, KEY) as server:
        if isinstance(server, OpenAIServer):
            patch.setenv("OPENAI_BASE_URL", server.url)
            patch.setenv("OPENAI_API_KEY", KEY)
            yield Peer(server, "openai:gpt-test", home)
        else:
            assert isinstance(server, AnthropicServer)
            patch.setenv("ANTHROPIC_BASE_URL", server.origin)
            patch.setenv("ANTHROPIC_API_KEY", KEY)
            yield Peer(server, "anthropic:claude-test", home)
