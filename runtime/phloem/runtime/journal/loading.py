"""What is left of a value that was kept."""

from __future__ import annotations

from typing import Any, Final

import msgpack
from phloem.runtime.cache import Stored

__all__ = ["GONE", "loaded"]

GONE: Final[Any] = object()
"""Stands for a value that had no stored form, or whose file is gone or damaged, or of a type that only a newer version
knows."""


def loaded(stored: Stored | None) -> Any:
    """The value, or GONE."""
    try:
        return GONE if stored is None else stored.load()
    except (OSError, ValueError, TypeError, KeyError, msgpack.UnpackException):
        return GONE
