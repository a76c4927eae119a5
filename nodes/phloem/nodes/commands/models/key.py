"""`phloem models key`: the keys of providers, kept in the system's keyring and shown to nobody."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from typing import Any

from phloem.nodes.commands.models.tables import table
from phloem.nodes.services.models.hosted import keys
from phloem.nodes.services.models.hosted.endpoints import provider_names
from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.runtime.errors import ConfigError, InputError
from phloem.runtime.home import Home
from phloem.runtime.settings import Settings
from phloem.runtime.words import nearest

__all__ = ["main", "where"]

HUB = "huggingface"
LONGEST = 20_000


def main(given: argparse.Namespace) -> int:
    """Store, list or remove. Nothing that is printed holds a key."""
    if given.what == "set":
        return _set(given.provider, given.dash)
    if given.what == "remove":
        keys.remove(_known(given.provider))
        print(f"the keyring has no key for {given.provider} any more", file=sys.stderr)
        return 0
    return _list(as_json=given.json)


def where(provider: str, settings: Settings) -> str | None:
    """Where the key of a provider is: in a variable of the environment, in the keyring; None if there is none."""
    if provider == HUB and os.environ.get("HF_TOKEN", "").strip():
        return "environment variable HF_TOKEN"
    return keys.where(_named(provider, settings) or provider)


def _named(provider: str, settings: Settings) -> str:
    """What the settings say that the key of a provider is kept under, instead of the provider's own name."""
    entry = settings.providers.get(provider)
    named = entry.get("key") if isinstance(entry, dict) else None
    return named if isinstance(named, str) else ""


def _set(provider: str, more: list[str]) -> int:
    provider = _known(provider)
    if more not in ([], ["-"]):
        raise ConfigError(
            "a key is not given on the command line: the shell keeps it in its history, and everybody on this "
            "machine can see it while the program runs",
            hint=f"Give `phloem models key set {provider}` alone, which asks for it, or - to read it from standard "
            "input. What you just typed is in the history now: take it out, or make a new key.",
        )
    if more:
        key = _read()
    elif sys.stdin.isatty():
        key = _asked(provider)
    else:
        raise ConfigError("nobody can be asked for the key", hint=f"… | phloem models key set {provider} -")
    keys.store(provider, key)
    print(f"the key for {provider} is in the keyring", file=sys.stderr)
    first = next((name for name in _variables(provider) if os.environ.get(name, "").strip()), None)
    if first is not None:
        print(f"{first} is set too, and goes before it", file=sys.stderr)
    settings = Settings.load(Home.default())
    if _named(provider, settings):
        # What the settings name is not repeated: it may be a key, written in the wrong place.
        print(f"{settings.path} names another key for {provider}, and that one is used", file=sys.stderr)
    return 0


def _read() -> str:
    """What stands on standard input; empty, which is no key, for what is no text."""
    try:
        return sys.stdin.read(LONGEST)
    except UnicodeDecodeError:
        return ""


def _asked(provider: str) -> str:
    try:
        return getpass.getpass(f"Key for {provider} (it is not shown): ")
    except EOFError:
        raise ConfigError("no key was given", hint="Nothing was changed.") from None


def _list(*, as_json: bool) -> int:
    settings = Settings.load(Home.default())
    found: list[dict[str, Any]] = []
    for provider in [*provider_names(settings), HUB]:
        place = where(provider, settings)
        found.append({"provider": provider, "key": place, "variable": next(iter(_variables(provider)), None)})
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    have = [(one["provider"], one["key"]) for one in found if one["key"]]
    if have:
        print(table(have))
    lacking = [one["provider"] for one in found if not one["key"]]
    print(f"{'no key' if have else 'There is no key'} for {', '.join(lacking)}", file=sys.stderr)
    return 0


def _variables(provider: str) -> tuple[str, ...]:
    """The environment variables whose key goes before that in the keyring, in this order."""
    return ("HF_TOKEN", *keys.variables(HUB)) if provider == HUB else keys.variables(provider)


def _known(provider: str) -> str:
    """`provider`, if there is one of that name. InputError for any other, which would never be asked for its key."""
    settings = Settings.load(Home.default())
    known = [*provider_names(settings), HUB]
    if provider in known or provider in {_named(one, settings) for one in settings.providers}:
        return provider
    # What was typed is not repeated, nor what the settings name: either may be a key, given in the wrong place.
    near = nearest(provider, known)
    raise InputError(
        "there is no provider of that name" + (f"; did you mean {near}?" if near else ""),
        hint=f"There are {', '.join(PRESETS)} and {HUB}. Others are named in {settings.path} under `providers`.",
    )
