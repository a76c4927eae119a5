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
    entry = settings.providers.get(provider)
    named = entry.get("key") if isinstance(entry, dict) else None
    return (keys.where(named) if isinstance(named, str) else None) or keys.where(provider)


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
        key = sys.stdin.read(LONGEST)
    elif sys.stdin.isatty():
        key = _asked(provider)
    else:
        raise ConfigError("nobody can be asked for the key", hint=f"… | phloem models key set {provider} -")
    keys.store(provider, key)
    names = keys.variables(provider)
    print(f"the key for {provider} is in the keyring", file=sys.stderr)
    if any(os.environ.get(name, "").strip() for name in names):
        print(f"{names[0]} is set too, and goes before it", file=sys.stderr)
    return 0


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
        found.append({"provider": provider, "key": place, "variable": _variable(provider)})
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    have = [(one["provider"], one["key"]) for one in found if one["key"]]
    if have:
        print(table(have))
    lacking = [one["provider"] for one in found if not one["key"]]
    print(f"{'no key' if have else 'There is no key'} for {', '.join(lacking)}", file=sys.stderr)
    return 0


def _variable(provider: str) -> str | None:
    if provider == HUB:
        return "HF_TOKEN"
    return next(iter(keys.variables(provider)), None)


def _known(provider: str) -> str:
    """`provider`, if there is one of that name. InputError for any other, which would never be asked for its key."""
    settings = Settings.load(Home.default())
    named = [entry.get("key") for entry in settings.providers.values() if isinstance(entry, dict)]
    known = [*provider_names(settings), HUB, *(one for one in named if isinstance(one, str))]
    if provider in known:
        return provider
    near = nearest(provider, known)
    # What was typed is not repeated: it may be a key, given in the wrong place.
    raise InputError(
        "there is no provider of that name" + (f"; did you mean {near}?" if near else ""),
        hint=f"There are {', '.join(PRESETS)} and {HUB}. Others are named in {settings.path} under `providers`.",
    )
