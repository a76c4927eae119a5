"""Fixtures of the tests of hosted models: name this module in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from phloem.runtime.home import Home
from support.anthropic_server import AnthropicServer
from support.hosted import Peer, fresh_environment, peer_of
from support.openai_server import OpenAIServer


@pytest.fixture
def bare(home: Home) -> Iterator[pytest.MonkeyPatch]:
    """An environment without keys, and a way to put some in."""
    with fresh_environment() as patch:
        yield patch


@pytest.fixture
def openai(home: Home, bare: pytest.MonkeyPatch) -> Iterator[Peer]:
    """OpenAI, played by a server of ours."""
    with peer_of(OpenAIServer, home, bare) as peer:
        yield peer


@pytest.fixture
def claude(home: Home, bare: pytest.MonkeyPatch) -> Iterator[Peer]:
    """Anthropic, played by a server of ours."""
    with peer_of(AnthropicServer, home, bare) as peer:
        yield peer


@pytest.fixture(params=["openai", "anthropic"])
def peer(request: pytest.FixtureRequest, home: Home, bare: pytest.MonkeyPatch) -> Iterator[Peer]:
    """Each of both."""
    kind = {"openai": OpenAIServer, "anthropic": AnthropicServer}[request.param]
    with peer_of(kind, home, bare) as peer:
        yield peer
