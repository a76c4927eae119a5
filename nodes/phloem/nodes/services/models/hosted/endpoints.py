"""Where a hosted model is asked: its server's address, the name it has there, the key, and what the server takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from phloem.nodes.services.models.hosted import keys
from phloem.nodes.services.models.hosted.presets import ANY, PRESETS, Preset
from phloem.runtime.errors import ConfigError, InputError
from phloem.runtime.settings import Settings

__all__ = ["QUICK", "Endpoint", "Seconds", "endpoint_of", "keyless_endpoint_of", "provider_names"]

LONGEST_NAME: Final = 500


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long to wait: for a connection, for the next piece of an answer, for the whole of it."""

    connect: float = 10
    quiet: float = 300
    total: float = 1800


QUICK: Final = Seconds(connect=1, quiet=3, total=3)
"""For a look at which models a server has: nobody waits for that."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and, unless it is only asked what it has, one of its models.

    `model` is the name that the server knows, `full` the one that the user wrote. `key_name` is what the key is
    kept under: the provider, or the name that the settings give. `version` is that of Azure's older API, empty
    elsewhere.
    """

    full: str
    provider: str
    model: str
    url: str
    preset: Preset
    key: str | None = field(default=None, repr=False)
    key_name: str = ""
    version: str = ""
    seconds: Seconds = Seconds()

    @property
    def host(self) -> str:
        """The host and port, as an error may name it."""
        return urlsplit(self.url).netloc

    @property
    def is_near(self) -> bool:
        """True for a server on this machine or in a private network."""
        return _is_near(urlsplit(self.url).hostname or "")


def provider_names(settings: Settings) -> list[str]:
    """Every provider that has a name: those of the user's settings, then those that are known."""
    return list(dict.fromkeys([*settings.providers, *PRESETS]))


def endpoint_of(model: str, settings: Settings) -> Endpoint:
    """Where the model of that full name is asked, with its key. Looks into the keyring, which may block.

    InputError for a name that is none or whose address may not be used; ConfigError for settings that are wrong,
    and when a key is needed and there is none.
    """
    endpoint = keyless_endpoint_of(model, settings)
    name = _key_name(endpoint.provider, settings)
    key = keys.find(name)
    if key is None and endpoint.preset.key_variables and not endpoint.preset.near:
        raise ConfigError(
            f"there is no key for {endpoint.provider}",
            hint=f"Set {keys.variables(name)[0]}, or store the key with: phloem models key set {name}",
        )
    return replace(endpoint, key=key, key_name=name)


def keyless_endpoint_of(model: str, settings: Settings) -> Endpoint:
    """`endpoint_of` without the key, so nothing is asked of the keyring. `openai:`, without a model, is a name too."""
    if len(model) > LONGEST_NAME or not model.isprintable():
        raise InputError(f"{model[:60]!r} is not a model's name", hint=_NAMES)
    if model.startswith(("http://", "https://")):
        url, mark, name = model.rpartition("#")
        if not mark or not url:
            raise InputError(f"{model!r} names a server but none of its models", hint=_NAMES)
        return _of_address(model, url, name, settings)
    provider, colon, name = model.partition(":")
    if not colon or not provider:
        raise InputError(f"{model!r} is not a model's name", hint=_NAMES)
    given = settings.providers.get(provider)
    preset = PRESETS.get(provider)
    if given is None and preset is None:
        known = ", ".join(provider_names(settings))
        raise InputError(f"there is no provider called {provider!r}", hint=f"There are {known}. {_NAMES}")
    return _of_provider(model, provider, name, _entry(settings, provider, given), preset or ANY)


_NAMES: Final = "Models elsewhere are named PROVIDER:NAME, such as openai:gpt-5, or http://localhost:8000/v1#NAME."


def _of_address(full: str, url: str, name: str, settings: Settings) -> Endpoint:
    """The endpoint of a written address: the user's provider at that address, if there is one, for its key's sake."""
    address = _checked(url, "the model's address")
    for provider in settings.providers:
        entry = _entry(settings, provider, settings.providers[provider])
        if "url" in entry and _checked(str(entry["url"]), f"{settings.path}: providers.{provider}.url") == address:
            return replace(_of_provider(full, provider, name, entry, PRESETS.get(provider, ANY)), url=address)
    return Endpoint(full, _origin(address), name, address, ANY)


def _of_provider(full: str, provider: str, name: str, entry: Mapping[str, Any], preset: Preset) -> Endpoint:
    kind = entry.get("like", "")
    if kind:
        if kind not in PRESETS:
            raise ConfigError(f"providers.{provider}.like is {kind!r:.60}", hint=f"It is one of {', '.join(PRESETS)}.")
        preset = PRESETS[kind]
    url, version = _address(provider, entry, preset)
    if "url" in entry:
        # A server of the user's own may need no key, whomever it imitates.
        preset = replace(preset, near=True)
    return Endpoint(full, provider, name, url, preset, version=version, seconds=_seconds(provider, entry))


def _address(provider: str, entry: Mapping[str, Any], preset: Preset) -> tuple[str, str]:
    """The base URL, and the version of Azure's older API where one is asked for."""
    found = str(entry.get("url") or "")
    place = f"providers.{provider}.url"
    for name in () if found else preset.url_variables:
        if os.environ.get(name, "").strip():
            found, place = os.environ[name].strip(), name
    if preset.name == "ollama" and found:
        found = _ollama(found, place)
    if not found and not preset.url:
        name = preset.url_variables[0] if preset.url_variables else ""
        raise ConfigError(
            f"the address of {provider} is not known", hint=f"Set {name or place} to it." if name else f"Set {place}."
        )
    address = _checked(found, place) if found else preset.url
    if preset.name != "azure":
        return address, ""
    version = os.environ.get("OPENAI_API_VERSION", "").strip()
    if version or "/openai/v1" in address:
        return address, version
    return f"{address}/openai/v1", ""


def _ollama(host: str, place: str) -> str:
    """The base URL that a value of OLLAMA_HOST means: it may lack scheme, port and path, and may be where to listen."""
    try:
        parts = urlsplit(host if "://" in host else f"http://{host}")
        port = parts.port or (443 if parts.scheme == "https" else 11434)
    except ValueError:
        raise InputError(f"{place}: that is not a web address") from None
    name = "localhost" if parts.hostname in (None, "0.0.0.0", "::") else parts.hostname
    shown = f"[{name}]" if ":" in str(name) else name
    return urlunsplit((parts.scheme, f"{shown}:{port}", parts.path.rstrip("/") or "/v1", "", ""))


def _checked(url: str, place: str) -> str:
    """A base URL without the slash at its end; InputError unless a key and a text may be sent there."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise InputError(f"{place}: that is not a web address") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or ""):
        raise InputError(f"{place}: that is not a web address", hint="It looks like http://localhost:8000/v1.")
    name = parts.hostname or ""
    if parts.username or parts.password or parts.query:
        raise InputError(
            f"{place}: the address holds a password or a query",
            hint="A key belongs in an environment variable or the keyring, never in an address.",
        )
    if parts.scheme == "http" and not _is_near(name):
        raise InputError(
            f"{place}: {name} would be asked without encryption",
            hint="Write https://. Only servers on this machine or in a private network may be asked over http://.",
        )
    host = f"[{name}]" if ":" in name else name
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", ""))


_HOST: Final = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
_PRIVATE_ENDINGS: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def _is_near(host: str) -> bool:
    """True for this machine and private networks, by address or by a name that can only be there."""
    try:
        address = ip_address(host)
    except ValueError:
        # A number without dots is an address as well, and may be anybody's.
        return not _NUMBER.fullmatch(host) if "." not in host else host.endswith(_PRIVATE_ENDINGS)
    return address.is_private or address.is_loopback or address.is_link_local


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _key_name(provider: str, settings: Settings) -> str:
    """Under which name the key is looked for: the one that the settings give, else the provider's."""
    name = _entry(settings, provider, settings.providers.get(provider)).get("key")
    if name is None:
        return provider
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,100}", name):
        raise ConfigError(
            f"{settings.path}: providers.{provider}.key is not a name",
            hint="It is the name of an environment variable, or of an entry of the keyring; never the key itself.",
        )
    return name


def _entry(settings: Settings, provider: str, given: object) -> Mapping[str, Any]:
    """What the settings say of a provider: an address, or `url`, `key`, `like`, `timeout` and `total`."""
    if given is None:
        return {}
    if isinstance(given, str):
        return {"url": given}
    if not isinstance(given, dict):
        raise settings.wrong("providers", provider, "must have url, key and such below it")
    return given


def _seconds(provider: str, entry: Mapping[str, Any]) -> Seconds:
    def given(name: str, otherwise: float) -> float:
        value = entry.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
            raise ConfigError(f"providers.{provider}.{name} is {value!r:.60}, and must be seconds, at most 86,400")
        return float(value)

    usual = Seconds()
    return Seconds(given("connect", usual.connect), given("timeout", usual.quiet), given("total", usual.total))
