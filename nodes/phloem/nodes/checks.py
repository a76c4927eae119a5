"""Checks of settings that may have come by a link, where nothing looked at them before."""

from __future__ import annotations

from collections.abc import Sequence

from phloem.runtime.errors import SettingError
from phloem.runtime.words import nearest, or_list

__all__ = ["one_of", "whole"]

LARGEST = 2**53
"""Whole numbers up to here are the same in every program."""


def whole(name: str, value: float, *, least: int | None = None, most: int | None = None) -> int:
    """`value` as a whole number within its bounds; SettingError names the setting and the bound."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{name} is {value}; it takes a whole number")
    if not -LARGEST <= value <= LARGEST:
        raise SettingError(f"{name} is beyond all bounds")
    if value != int(value):
        raise SettingError(f"{name} is {value}; it takes a whole number")
    number = int(value)
    if least is not None and number < least:
        raise SettingError(f"{name} is {number}; the least is {least}")
    if most is not None and number > most:
        raise SettingError(f"{name} is {number}; the most is {most}")
    return number


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """`value`, if it is one of `known`; SettingError lists them."""
    if value not in known:
        near = nearest(str(value), known)
        raise SettingError(
            f"{name} is {value!r}; it can be {or_list(known)}", hint=f"Did you mean {near}?" if near else None
        )
    return value
