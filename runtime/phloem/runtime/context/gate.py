"""What a service asks before it connects, on behalf of one node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phloem.runtime.egress import Egress

if TYPE_CHECKING:
    from phloem.runtime.context.context import Context

__all__ = ["NodeGate"]


@dataclass(frozen=True, slots=True)
class NodeGate:
    """Implements `services.Gate`. `vouched` says that the user's own settings name the server, and not the workflow."""

    context: Context
    vouched: bool = False

    def lookup(self, host: str, port: int) -> None:
        self.context.scope.permissions.lookup(host, port, vouched=self.vouched)

    def connect(self, host: str, port: int, address: str) -> None:
        self.context.scope.permissions.connect(host, port, address, vouched=self.vouched)

    async def allowed(self, check: Callable[[], None]) -> None:
        await self.context.permitted(check)

    def told(self, egress: Egress) -> None:
        listener = self.context.scope.on_egress
        if listener is None:
            return
        try:
            listener(replace(egress, node=self.context.node))
        except Exception as error:
            # Whoever keeps the log must not take the node with it.
            about = {"message": f"the egress of run {self.context.scope.run} was not taken", "exception": error}
            asyncio.get_running_loop().call_exception_handler(about)
