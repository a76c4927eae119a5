"""The providers that could be asked, and what they say that they have."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from phloem.nodes.commands.models.key import where
from phloem.nodes.services.models.hosted.endpoints import keyless_endpoint_of, provider_names
from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.runtime.errors import PhloemError
from phloem.runtime.home import Home
from phloem.runtime.services import ModelInfo
from phloem.runtime.settings import Settings

__all__ = ["Provider", "ask", "providers"]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, the host of its server, and where its key is; `trouble` is what is wrong with its settings.

    `chosen` is True if the user gave it a key or an entry in the settings; others may run on this machine.
    """

    name: str
    host: str
    key: str | None
    chosen: bool
    trouble: str = ""


def providers(settings: Settings) -> list[Provider]:
    """Those that the user has a key for or names in the settings, and those that may run on this machine."""
    found = []
    for name in provider_names(settings):
        key, named = where(name, settings), name in settings.providers
        if key or named or PRESETS[name].near:
            host, trouble = _host(name, settings)
            found.append(Provider(name, host, key, bool(key) or named, trouble))
    return found


def _host(name: str, settings: Settings) -> tuple[str, str]:
    try:
        return keyless_endpoint_of(f"{name}:", settings).host, ""
    except PhloemError as error:
        return "", error.message


async def ask(home: Home, asked: list[Provider]) -> dict[str, list[ModelInfo]]:
    """The models of each provider, by its name; none of one that does not answer at once. They are asked together."""
    from phloem.nodes.services.models.hosted.service import HostedModels

    hosted = HostedModels(home)
    try:
        lists = await asyncio.gather(*(hosted.remote(one.name) for one in asked))
    finally:
        await hosted.close()
    return {one.name: found for one, found in zip(asked, lists, strict=True)}
