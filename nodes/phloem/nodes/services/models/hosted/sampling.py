"""Which settings of Sampling a provider is sent, so that one workflow runs on local and on hosted models alike.

A setting that the provider does not take is left out as long as it has the value that the llm nodes give it by
themselves, or the one that switches it off: nobody asked for anything. Another value is a SettingError, since the
answer would not be what was asked for. At temperature 0 top_k, top_p and min_p do nothing, and are never
sent. A seed is left out where there is none: it only ever makes chance repeatable, and the nodes always give one.

A model may take less than its provider (models that reason choose their own temperature): a field that is refused is
dealt with in the same way, and the refusal is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.nodes.services.models.hosted.failures import Refused, setting_refused
from phloem.runtime.errors import SettingError
from phloem.runtime.services import Sampling

__all__ = ["Fit", "sampling_fields"]

USUAL: Final[Mapping[str, tuple[float, ...]]] = {
    "temperature": (0.0,),
    "top_k": (40, 0),
    "top_p": (0.95, 1.0),
    "min_p": (0.05, 0.0),
    "repeat_penalty": (1.0,),
}
"""The values that nobody chose: those of the llm nodes, and those that switch a setting off."""
LENGTH: Final = 4096
"""Tokens of an answer where the provider wants a bound and none is given."""

_OF_CHANCE: Final = ("top_k", "top_p", "min_p")


def sampling_fields(endpoint: Endpoint, sampling: Sampling, left: int | None) -> dict[str, Any]:
    """The fields of a request for these settings; SettingError for one that the provider does not take.

    No answer gets more tokens than are `left` to be spent.
    """
    takes = endpoint.preset.takes
    claude = endpoint.preset.protocol == "anthropic"
    fields: dict[str, Any] = {}
    most = sampling.get("max_tokens", LENGTH if claude else None)
    if left is not None:
        most = max(1, left if most is None else min(most, left))
    if most is not None:
        fields[takes["max_tokens"]] = int(most)
    stop = sampling.get("stop") or ()
    stops = [text for text in ([stop] if isinstance(stop, str) else stop) if text]
    if stops:
        fields[takes["stop"]] = stops
    seed = sampling.get("seed")
    if seed is not None and "seed" in takes:
        fields[takes["seed"]] = int(seed) % 2**31
    chance = float(sampling.get("temperature", 0.0)) > 0
    for name, usual in USUAL.items():
        value: Any = sampling.get(name, usual[0])
        if name in _OF_CHANCE and not chance:
            continue
        # Claude is to be given one of temperature and top_p, not both.
        if name in takes and not (claude and name == "top_p" and value in usual):
            fields[takes[name]] = value
        elif value not in usual:
            raise SettingError(
                f"{endpoint.provider} does not take {name}", hint=f"Leave it at {usual[0]:g}, or choose another model."
            )
    return fields | _logprobs(endpoint, sampling)


def _logprobs(endpoint: Endpoint, sampling: Sampling) -> dict[str, Any]:
    others = sampling.get("logprobs")
    if others is None:
        return {}
    if "logprobs" not in endpoint.preset.takes:
        raise SettingError(f"{endpoint.provider} does not tell log probabilities", hint="Choose another model.")
    return {"logprobs": True, "top_logprobs": int(others)}


class Fit:
    """What was learned about one model: which fields it refused, and what they are called instead (None: nothing)."""

    def __init__(self) -> None:
        self._instead: dict[str, str | None] = {}

    def fitted(self, body: Mapping[str, Any], endpoint: Endpoint, sampling: Sampling) -> dict[str, Any]:
        """`body` as the model takes it; SettingError if that would leave out what the user chose."""
        fitted = dict(body)
        # A copy, since answers on other threads may learn meanwhile.
        for field, other in list(self._instead.items()):
            if field in fitted:
                value = fitted.pop(field)
                if other:
                    fitted[other] = value
                elif _is_chosen(field, endpoint, sampling):
                    raise SettingError(f"{endpoint.full} does not take {field} {value!r}", hint="Leave it as it was.")
        return fitted

    def learn(self, failure: Refused, sent: Mapping[str, Any], endpoint: Endpoint, sampling: Sampling) -> bool:
        """Make out which field of what was sent a refusal is about. False if that cannot be told, or does not help.

        SettingError if it is a setting that the user chose.
        """
        if sent.keys() & self._instead.keys():
            # Another answer, asked for at the same time, has learned it.
            return True
        for field, other in _TWINS:
            if field in sent and _names(other, failure) and other not in self._instead:
                self._instead[field] = other
                return True
        for field in sent:
            if field in _NEEDED or not _names(field, failure):
                continue
            if _is_chosen(field, endpoint, sampling):
                raise setting_refused(field, endpoint, failure)
            self._instead[field] = None
            return True
        return False


_TWINS: Final = (("max_completion_tokens", "max_tokens"), ("max_tokens", "max_completion_tokens"))
"""What the bound of an answer is called, and what else it may be called."""

_NEEDED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "response_format", "grammar", "structured_outputs",
     "max_tokens", "max_completion_tokens", "stream", "stop", "stop_sequences"}
)  # fmt: skip
"""Fields without which the request would be another one."""


def _names(field: str, failure: Refused) -> bool:
    return re.search(rf"(?<![a-z_]){re.escape(field)}(?![a-z_])", failure.said) is not None


def _is_chosen(field: str, endpoint: Endpoint, sampling: Sampling) -> bool:
    """True for a setting to which the user gave a value of their own."""
    if field in ("logprobs", "top_logprobs"):
        return True
    for name, ours in endpoint.preset.takes.items():
        if ours == field and name in USUAL:
            return sampling.get(name, USUAL[name][0]) not in USUAL[name]
    return False
