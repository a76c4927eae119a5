"""What a user writes to say where a model comes from: a web address, or a repository of the hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from phloem.runtime.errors import ConfigError, InputError

__all__ = ["HubSource", "WebSource", "hub_address", "quoted", "read_source"]

HUB: Final = "https://huggingface.co"
_HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}", re.ASCII)
_LONGEST: Final = 4_000


@dataclass(frozen=True, slots=True)
class HubSource:
    """A model file in a repository `OWNER/NAME` of the hub.

    `file` is its path there; where that is empty `variant` (such as `Q4_K_M`) chooses, or nothing does.
    """

    repository: str
    revision: str = "main"
    file: str = ""
    variant: str = ""

    def __str__(self) -> str:
        file = f"/{self.file}" if self.file else ""
        variant = f":{self.variant}" if self.variant else ""
        return f"hf:{self.repository}{file}{variant}" + ("" if self.revision == "main" else f"@{self.revision}")


@dataclass(frozen=True, slots=True)
class WebSource:
    """A file at an address of the web."""

    url: str

    def __str__(self) -> str:
        """The address without what may be secret in it: a password, the query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def hub_address() -> str:
    """Where the hub is: HF_ENDPOINT, as for Hugging Face's own tools, or huggingface.co.

    ConfigError if that is no address.
    """
    given = (os.environ.get("HF_ENDPOINT") or HUB).strip().rstrip("/")
    try:
        parts = urlsplit(given)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError("HF_ENDPOINT is not a web address", hint="It looks like https://huggingface.co.")
    return given


def read_source(text: str) -> HubSource | WebSource:
    """What `text` means; InputError if that is nothing.

    Addresses of pages and files on the hub mean the hub, so that what it knows of a file (its checksum) is used.
    """
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise _unreadable(text)
    for beginning in ("hf://", "hf:"):
        if text.startswith(beginning):
            return _repository(text.removeprefix(beginning), text)
    if "://" not in text:
        host, _, rest = text.partition("/")
        if host in _HUB_HOSTS:
            return _repository(rest, text)
        raise _unreadable(text)
    return _address(text)


def _address(text: str) -> HubSource | WebSource:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _unreadable(text) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise _unreadable(text)
    on_hub = parts.hostname in _HUB_HOSTS or f"{parts.scheme}://{parts.netloc}" == hub_address()
    if on_hub and not parts.path.startswith("/datasets/"):
        pieces = [unquote(piece) for piece in parts.path.strip("/").split("/")]
        if len(pieces) > 4 and pieces[2] in ("resolve", "blob", "raw"):
            return _checked(HubSource("/".join(pieces[:2]), pieces[3], "/".join(pieces[4:])), text)
        if len(pieces) == 2:
            return _repository("/".join(pieces), text)
        if len(pieces) == 4 and pieces[2] == "tree":
            return _checked(HubSource("/".join(pieces[:2]), pieces[3]), text)
    return WebSource(parts._replace(fragment="").geturl())


def _repository(text: str, whole: str) -> HubSource:
    """What `OWNER/NAME[/FILE.gguf][:VARIANT][@REVISION]` means."""
    path, _, revision = text.partition("@")
    path, _, variant = path.partition(":")
    owner, _, rest = path.partition("/")
    name, _, file = rest.partition("/")
    return _checked(HubSource(f"{owner}/{name}", revision or "main", file, variant), whole)


def _checked(source: HubSource, text: str) -> HubSource:
    parts = source.repository.split("/")
    steps = source.file.split("/") if source.file else []
    if len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts):
        raise _unreadable(text)
    if not _REVISION.fullmatch(source.revision) or ".." in source.revision:
        raise InputError(
            f"{source.revision[:100]!r} is no revision of a repository", hint="It is a branch or a commit."
        )
    if any(step in ("", ".", "..") for step in steps) or (steps and not steps[-1].lower().endswith(".gguf")):
        raise InputError(
            f"{source.file[:200]!r} is no model file of a repository",
            hint="Models are GGUF files: hf:OWNER/REPO/FILE.gguf; hf:OWNER/REPO:Q4_K_M chooses by quantisation.",
        )
    if source.variant and (source.file or not _PART.fullmatch(source.variant)):
        raise InputError(f"{source.variant[:100]!r} does not choose a file", hint="It is such as hf:OWNER/REPO:Q4_K_M.")
    return source


def quoted(text: str) -> str:
    """`text` as one step of an address."""
    return quote(text, safe="")


def _unreadable(text: str) -> InputError:
    return InputError(
        f"{text[:200]!r} is no place that a model comes from",
        hint="Give hf:OWNER/REPO, hf:OWNER/REPO:Q4_K_M, hf:OWNER/REPO/FILE.gguf or https://…/FILE.gguf. "
        "A file on this machine is taken in by `phloem models add FILE`.",
    )
