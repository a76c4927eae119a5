"""Which file of a repository on the Hugging Face hub is meant, and what the hub knows of it.

API: https://huggingface.co/docs/hub/api, and the headers that huggingface_hub reads (file_download.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from phloem.nodes.services.models.pull.names import is_variant, piece_of
from phloem.nodes.services.models.pull.source import HubSource, WebSource, hub_address, quoted
from phloem.nodes.services.models.pull.web import Answer, Secret, Web, origin_of
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.words import nearest, or_list

__all__ = ["Target", "find_target", "gated"]

LARGEST_LIST: Final = 20_000_000
MOST_SHOWN: Final = 12
PREFERRED: Final = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0")
"""What is taken where the user does not say: the quantisation that most publishers recommend, then its neighbours."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Target:
    """A file to be fetched: `source` is how a user may write it, `file` what its publisher calls it.

    `size` in bytes and `sha256` are as far as they are known before. `pinned` says that the address always
    leads to the same bytes. `page` is where people read about it, if it is on the hub. `secret` is for the
    address's own server.
    """

    source: str
    url: str
    file: str
    size: int | None = None
    sha256: str = ""
    pinned: bool = False
    commit: str = ""
    page: str = ""
    secret: Secret | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model file in a repository."""

    path: str
    size: int | None
    sha256: str


def find_target(source: HubSource, web: Web, token: str) -> Target:
    """The file that `source` means. InputError if it means none or several, ServiceError, or web.Cut."""
    hub = hub_address()
    if not (token.isascii() and token.isprintable()):
        raise InputError("the token for the hub has signs that no token has", hint="Copy it to HF_TOKEN once more.")
    secret = Secret(origin_of(hub), f"Bearer {token}") if token else None
    url = f"{hub}/api/models/{source.repository}/revision/{quoted(source.revision)}?blobs=true"
    with web.get(url, {"Accept": "application/json"}, secret) as answer:
        if answer.status >= 400:
            raise _refusal(source, answer, with_token=bool(token))
        about = _object(answer)
    commit = str(about.get("sha") or "")
    commit = commit if _COMMIT.fullmatch(commit) else ""
    chosen = _chosen(source, [one for one in map(_listed, _files(about)) if one is not None])
    address = f"{hub}/{source.repository}/resolve/{commit or quoted(source.revision)}/{quote(chosen.path)}"
    return Target(
        source=str(HubSource(source.repository, source.revision, chosen.path)),
        url=address,
        file=chosen.path,
        size=chosen.size,
        sha256=chosen.sha256,
        pinned=bool(commit and chosen.sha256),
        commit=commit,
        page=_page(hub, source),
        secret=secret,
    )


def _page(hub: str, source: HubSource) -> str:
    """Where people read about a repository; without a password that HF_ENDPOINT may have."""
    return str(WebSource(f"{hub}/{source.repository}"))


def _refusal(source: HubSource, answer: Answer, *, with_token: bool) -> ServiceError | InputError:
    """Why the hub does not tell of a repository, and what to do."""
    code = answer.header("x-error-code")
    if code == "RevisionNotFound":
        return InputError(f"{source.repository} has no revision {source.revision}")
    if code == "GatedRepo" or answer.status == 403:
        return gated(source.repository, _page(hub_address(), source), with_token=with_token)
    if with_token and answer.status == 401 and code != "RepoNotFound":
        return ServiceError(
            "the hub does not take the token", hint="Is the one in HF_TOKEN, or in the keyring, still valid?"
        )
    if answer.status in (401, 404):
        return InputError(
            f"there is no repository {source.repository} on the hub, or it is private",
            hint="Check the name." if with_token else f"Check the name. If it is private, {_TOKEN}",
        )
    return ServiceError(f"{answer.server} answers with {answer.status} for {source.repository}")


def gated(name: str, page: str, *, with_token: bool) -> ServiceError:
    """The error for what its publisher shows only to those who accepted some terms."""
    return ServiceError(
        f"{name} is only for those who accepted its terms",
        hint=f"Accept them at {page}, then " + ("check that the token may read it." if with_token else _TOKEN),
    )


_TOKEN: Final = "set HF_TOKEN, or `phloem models key set huggingface`."


def _object(answer: Answer) -> dict[str, Any]:
    body = answer.read(LARGEST_LIST + 1)
    try:
        data = json.loads(body) if len(body) <= LARGEST_LIST else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ServiceError(f"{answer.server} does not answer as the hub does", hint="Is HF_ENDPOINT right?")
    return data


def _files(about: dict[str, Any]) -> list[Any]:
    files = about.get("siblings")
    return files if isinstance(files, list) else []


def _listed(entry: Any) -> _Listed | None:
    """What the hub says of a file; None for one that is no model, or that has no sound path."""
    path = entry.get("rfilename") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path.lower().endswith(".gguf") or not path.isprintable() or len(path) > 1_000:
        return None
    if any(step in ("", ".", "..") for step in path.split("/")) or "\\" in path:
        return None
    stored = entry.get("lfs")
    stored = stored if isinstance(stored, dict) else {}
    size, digest = stored.get("size", entry.get("size")), str(stored.get("sha256") or "").lower()
    sound = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return _Listed(path, size if sound else None, digest if _SHA256.fullmatch(digest) else "")


def _chosen(source: HubSource, files: list[_Listed]) -> _Listed:
    """The one file that is meant."""
    if source.file:
        exact = [one for one in files if one.path == source.file]
        if not exact:
            near = nearest(source.file, [one.path for one in files])
            raise InputError(
                f"{source.repository} has no file {source.file}" + (f"; did you mean {near}?" if near else ""),
                hint=_there_are(source, files),
            )
        return _whole(source, exact, files)
    models = [one for one in files if not _is_companion(one.path)]
    if not models:
        raise InputError(
            f"{source.repository} has no GGUF file",
            hint="Look for a repository with the same model as GGUF: often its name ends with -GGUF.",
        )
    if source.variant:
        found = _of_variant(source.variant, models)
        if not found:
            raise InputError(f"{source.repository} has no file for {source.variant}", hint=_there_are(source, models))
        return _whole(source, found, files)
    wholes = [one for one in models if piece_of(one.path) is None]
    if len(wholes) == 1:
        return wholes[0]
    for variant in PREFERRED:
        found = _of_variant(variant, wholes)
        if len(found) == 1:
            return found[0]
    return _whole(source, models, files)


def _of_variant(variant: str, models: list[_Listed]) -> list[_Listed]:
    """The files of that variant. `Q4_K_M` is also a word of `UD-Q4_K_M`, which is another one."""
    found = [one for one in models if is_variant(one.path, variant)]
    return [one for one in found if not is_variant(one.path, f"UD-{variant}")] or found


def _whole(source: HubSource, found: list[_Listed], files: list[_Listed]) -> _Listed:
    """The only one of `found`, which must be a model in one file."""
    wholes = [one for one in found if piece_of(one.path) is None]
    if len(wholes) == 1:
        return wholes[0]
    if not wholes:
        piece = piece_of(found[0].path)
        pieces = f"{piece[1]} files" if piece else "several files"
        raise InputError(
            f"{found[0].path} is one of {pieces} that make one model; Phloem takes models in one file",
            hint=_there_are(source, [one for one in files if piece_of(one.path) is None])
            + " Or fetch the pieces, join them with llama-gguf-split --merge, and use `phloem models add`.",
        )
    raise InputError(
        f"{source} means {len(wholes)} files", hint=f"Say which: {_named(source, [one.path for one in wholes])}."
    )


def _is_companion(path: str) -> bool:
    """Whether the file is only of use beside a model: an image projector or an importance matrix."""
    name = PurePosixPath(path).name.lower()
    return "mmproj" in name or "imatrix" in name


def _there_are(source: HubSource, files: Iterable[_Listed]) -> str:
    names = [one.path for one in files]
    return f"There is {_named(source, names)}." if names else "There is no GGUF file in it."


def _named(source: HubSource, paths: list[str]) -> str:
    shown = [str(HubSource(source.repository, source.revision, path)) for path in paths[:MOST_SHOWN]]
    return or_list(shown) if len(paths) <= MOST_SHOWN else f"{', '.join(shown)} and {len(paths) - MOST_SHOWN} more"
