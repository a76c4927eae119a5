"""What left the machine, for a person to read after the run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from phloem.runtime.egress import Egress
from phloem.runtime.grants.shown import shown_name

__all__ = ["tell_egress"]


def tell_egress(exchanges: Sequence[Egress]) -> None:
    """A line on stderr for each exchange, in the order in which they ended."""
    if not exchanges:
        print("no connection was made", file=sys.stderr)
        return
    sent, received = sum(one.sent for one in exchanges), sum(one.received for one in exchanges)
    count = f"{len(exchanges):,} exchange{'' if len(exchanges) == 1 else 's'}"
    print(f"{count}, {sent:,} bytes out, {received:,} in:", file=sys.stderr)
    for one in exchanges:
        print(f"  {_line(one)}", file=sys.stderr)


def _line(one: Egress) -> str:
    where = f"{one.address}:{one.port}" if ":" not in one.address else f"[{one.address}]:{one.port}"
    place = f" at {where}" if one.address else f" through {one.through}" if one.through else ""
    answer = f"{one.status}" if one.status is not None else f"no answer ({shown_name(one.error, 120)})"
    asked = f"{shown_name(one.node)}: {one.method} {shown_name(one.url, 200)}{place}"
    return f"{asked}: {answer}, {one.sent:,} bytes out, {one.received:,} in, {one.seconds:.2f} s"
