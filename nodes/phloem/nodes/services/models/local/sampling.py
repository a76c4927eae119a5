"""How an answer is worded: the sampling settings with their defaults and bounds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from phloem.runtime.errors import SettingError
from phloem.runtime.services import Sampling

__all__ = ["Wording"]

MAX_STOPS = 16
MAX_STOP_LENGTH = 500
MAX_OTHERS = 20
"""Alternatives that logprobs may ask for, as many as OpenAI's interface gives."""


@dataclass(frozen=True)
class Wording:
    """Checked sampling settings. See Sampling for what they mean.

    The defaults give the likeliest answer: the same question gets the same answer. `top_k` 0, `top_p` 1,
    `min_p` 0 and `repeat_penalty` 1 switch those off.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    @classmethod
    def of(cls, sampling: Sampling) -> Wording:
        """Check `sampling`; SettingError names the setting and its bounds."""
        seed = sampling.get("seed")
        return cls(
            max_tokens=_whole("max_tokens", sampling.get("max_tokens", cls.max_tokens), 1, 1_000_000),
            temperature=_number("temperature", sampling.get("temperature", cls.temperature), 0, 100),
            top_k=_whole("top_k", sampling.get("top_k", cls.top_k), 0, 1_000_000),
            top_p=_number("top_p", sampling.get("top_p", cls.top_p), 0, 1),
            min_p=_number("min_p", sampling.get("min_p", cls.min_p), 0, 1),
            repeat_penalty=_number("repeat_penalty", sampling.get("repeat_penalty", cls.repeat_penalty), 0.01, 100),
            seed=int.from_bytes(os.urandom(4)) % 0xFFFFFFFF if seed is None else _seed(seed),
            stop=_stops(sampling),
            logprobs=_whole("logprobs", sampling["logprobs"], 0, MAX_OTHERS) if "logprobs" in sampling else None,
        )


def _number(name: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise SettingError(f"{name} is {value!r}, and must be a number from {least:,} to {most:,}")
    return float(value)


def _whole(name: str, value: object, least: int, most: int) -> int:
    number = _number(name, value, least, most)
    if not number.is_integer():
        raise SettingError(f"{name} is {value!r}, and must be a whole number")
    return int(number)


def _seed(seed: object) -> int:
    """Any whole number as one that llama.cpp takes: below 2**32 - 1, which to it means "choose one"."""
    if isinstance(seed, float) and math.isfinite(seed) and seed.is_integer():
        seed = int(seed)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise SettingError(f"seed is {seed!r}, and must be a whole number")
    return seed % 0xFFFFFFFF


def _stops(sampling: Sampling) -> tuple[str, ...]:
    stop = sampling.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple) or not all(isinstance(text, str) for text in stops):
        raise SettingError("stop must be a list of texts")
    if len(stops) > MAX_STOPS or any(len(text) > MAX_STOP_LENGTH for text in stops):
        raise SettingError(f"stop may have {MAX_STOPS} texts of at most {MAX_STOP_LENGTH} characters")
    return tuple(text for text in stops if text)
