"""Which calls go to a worker, to which, and what they need there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from phloem.runtime.errors import PhloemError
from phloem.runtime.grants import LOCAL_PROVIDERS, host_of, is_url, names_server, provider_of
from phloem.runtime.grants.hosts import is_loopback_name, without_port

if TYPE_CHECKING:
    from phloem.runtime.context import Context, Scope
    from phloem.runtime.plan import Step

__all__ = ["goes_away", "identities", "models_of", "tags_of"]

Declared = frozenset[str]
"""The names that any worker declares as resources."""


def goes_away(step: Step, inputs: Mapping[str, Any], scope: Scope, declared: Declared, *, here: bool) -> bool:
    """True for a call that is slow by nature and has nothing to do with the machine of the run: its files, its keys,
    its people. With `here` the workers are on that machine."""
    kind = step.kind
    if kind.nests is not None or kind.effect == "writes":
        return False
    slow = kind.runs == "thread"
    for need in kind.needs:
        values = list(_texts(inputs.get(need.port or "")))
        if need.word in ("model", "embedding"):
            usual = scope.embedding if need.word == "embedding" else scope.model
            if not all(_is_there(one or usual, declared) for one in values or [""]):
                return False
            slow = True
        elif need.word in ("net", "read", "write") and need.port is not None:
            if not all(is_url(one) and (here or _is_elsewhere(one)) for one in values):
                return False
            slow = slow or need.word == "net"
        else:
            return False
    return slow


def _is_there(model: str, declared: Declared) -> bool:
    """True for a model that workers run themselves. What is asked over the network is asked from here, where the keys
    are, unless a worker says that it is the one to ask."""
    if not names_server(model) and provider_of(model) in LOCAL_PROVIDERS:
        return True
    return f"model:{model}" in declared


def _is_elsewhere(url: str) -> bool:
    """False for a server of this machine, which is another one's on another machine."""
    return not is_loopback_name(without_port(host_of(url)))


def tags_of(step: Step, inputs: Mapping[str, Any], scope: Scope, declared: Declared) -> tuple[str, ...]:
    """The resources that a worker has to have, of those that are declared: the model, or else a GPU for one that
    writes."""
    tags: set[str] = set()
    for model, embedding in models_of(step, inputs) if declared else ():
        model = model or (scope.embedding if embedding else scope.model)
        names = [f"model:{model}", f"model:{model.removeprefix('local:')}", *([] if embedding else ["gpu", "GPU"])]
        tags.update(next(([one] for one in names if one in declared), []))
    return tuple(sorted(tags))


def models_of(step: Step, inputs: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The models that the step names, and whether they make vectors; the name is empty for the run's own."""
    for need in step.kind.needs:
        if need.word in ("model", "embedding"):
            for name in list(_texts(inputs.get(need.port or ""))) or [""]:
                yield name, need.word == "embedding"


async def identities(step: Step, inputs: Mapping[str, Any], context: Context) -> dict[str, str]:
    """What the models that the step names are here: a worker may have another file under the same name.

    Those that are not here may be there all the same.
    """
    found: dict[str, str] = {}
    for model, embedding in models_of(step, inputs):
        with suppress(PhloemError, OSError):
            full = context.models.name(model, embedding=embedding)
            if provider_of(full) in LOCAL_PROVIDERS and not names_server(full):
                found[full] = await context.models.identity(model, embedding=embedding)
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
