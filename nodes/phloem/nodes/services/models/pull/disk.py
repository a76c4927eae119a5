"""Room on the disk, and what its errors mean."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from phloem.runtime.errors import ServiceError

__all__ = ["KEPT_FREE", "amount", "disk_error"]

KEPT_FREE: Final = 100_000_000
"""Bytes that stay free on the disk."""


def disk_error(path: Path, error: OSError) -> ServiceError:
    """What an error of the disk means for one who waits for a file."""
    hint = "Make room and give the same command again: it goes on from what came."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "the disk is full"
    elif error.errno == errno.EFBIG:
        reason = "this disk, or a limit set for this program, takes no larger file"
    else:
        reason = (error.strerror or str(error)).lower()
        hint = "Check that this folder may be written, or name another home with PHLOEM_HOME."
    return ServiceError(f"cannot write {path}: {reason}", hint=hint)


def amount(size: int) -> str:
    """Bytes as people say them, in units of 1,000: `4.7 GB`."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 99.5 else f"{value:.1f} {unit}"
