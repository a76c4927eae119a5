"""The keys of providers: read from the environment or the system's keyring, kept nowhere else.

A key leaves this module only towards the provider it belongs to. It never stands in a file, a log, an event,
a repr or an error: what is shown to people goes through `hiding`, which asks `known_secrets`.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.runtime.errors import ConfigError, InputError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["find", "known_secrets", "remove", "store", "variables", "where"]

SERVICE: Final = "phloem"
"""Under which name the keyring keeps them; the user's name there is the provider's."""
LONGEST: Final = 10_000

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_UNSENDABLE: Final = re.compile(r"[^\x20-\x7e]")

_found: set[str] = set()
"""Keys that were read from the keyring or stored in it while this process ran."""
_lock: Final = threading.Lock()


def variables(provider: str) -> tuple[str, ...]:
    """The environment variables in which the key of a provider is looked for, in this order.

    For one that is not known by name it is its own name, if that looks like a variable's (`LAB_KEY`), else
    the name in capitals with `_API_KEY` behind it.
    """
    preset = PRESETS.get(provider)
    if preset is not None:
        return preset.key_variables
    if _VARIABLE.fullmatch(provider):
        return (provider,)
    return (re.sub(r"[^A-Z0-9]+", "_", provider.upper()).strip("_") + "_API_KEY",) if "://" not in provider else ()


def find(provider: str) -> str | None:
    """The key of a provider: from its environment variable, else from the keyring; None if there is none.

    A keyring that is missing, locked or broken is one that has no key. ConfigError for what no server could be sent.
    """
    for name in variables(provider):
        value = os.environ.get(name, "").strip()
        if value:
            return _sendable(value, f"environment variable {name}")
    try:
        value = _from_keyring(provider) or ""
    except ConfigError:
        return None
    return _sendable(value, "keyring") or None


def _sendable(key: str, place: str) -> str:
    if _UNSENDABLE.search(key):
        raise ConfigError(
            f"what the {place} has for a key is none: it has signs that no key has",
            hint="A key is one line of letters, digits and signs. Copy it once more.",
        )
    return key


def where(provider: str) -> str | None:
    """Where the key of a provider is: `environment variable X`, `keyring`, or None if there is none."""
    for name in variables(provider):
        if os.environ.get(name, "").strip():
            return f"environment variable {name}"
    try:
        return "keyring" if _from_keyring(provider) else None
    except ConfigError:
        return None


def store(provider: str, key: str) -> None:
    """Keep the key of a provider in the system's keyring, in place of one that is there.

    InputError for what cannot be a key; ConfigError when this machine has no keyring that can be used.
    """
    key = key.strip()
    if not key or len(key) > LONGEST or " " in key or _UNSENDABLE.search(key):
        raise InputError("that is not a key", hint="A key is one line of letters, digits and signs, without spaces.")
    backend = type(_keyring().get_keyring()).__name__
    if "plaintext" in backend.lower():
        raise _no_keyring(provider, f"{backend} would write the key into a file for anyone to read")
    _remember(key)
    _asked(provider, "set_password", key)


def remove(provider: str) -> None:
    """Take the key of a provider out of the keyring. ConfigError if it is not there, or no keyring is."""
    if _from_keyring(provider) is None:
        raise ConfigError(f"the keyring has no key for {provider}")
    _asked(provider, "delete_password")


def known_secrets() -> frozenset[str]:
    """Every key that this process could have sent: those in the environment, and those the keyring gave."""
    names = {name for preset in PRESETS.values() for name in preset.key_variables}
    names |= {name for name in os.environ if name.endswith(("_API_KEY", "_KEY", "_TOKEN"))}
    values = {os.environ.get(name, "").strip() for name in names}
    with _lock:
        return frozenset(value for value in values | _found if len(value) >= _SHORTEST)


_SHORTEST: Final = 8
"""Letters of the shortest text that is treated as a secret: hiding shorter ones would blot out ordinary words."""


def _remember(key: str) -> None:
    with _lock:
        _found.add(key)


def _from_keyring(provider: str) -> str | None:
    value = _asked(provider, "get_password")
    key = value.strip() if isinstance(value, str) else ""
    if not key or len(key) > LONGEST:
        return None
    _remember(key)
    return key


def _asked(provider: str, action: str, *arguments: str) -> Any:
    """What the keyring says to that; ConfigError, without a word of the keyring's own, when it cannot."""
    keyring = _keyring()
    failure = ""
    try:
        return getattr(keyring, action)(SERVICE, provider, *arguments)
    except Exception as error:
        # Backends raise whatever their system raises, and its words may hold what was given to them.
        failure = type(error).__name__
    raise _no_keyring(provider, failure)


def _keyring() -> ModuleType:
    try:
        import keyring
    except ImportError:
        raise ConfigError("the system's keyring needs an extra", hint='pip install "phloem[openai]"') from None
    return keyring


def _no_keyring(provider: str, failure: str) -> ConfigError:
    names = variables(provider)
    way = f"Put the key in the environment variable {names[0]} instead." if names else "Use an environment variable."
    return ConfigError(f"the keyring of this system cannot be used ({failure})", hint=way)
