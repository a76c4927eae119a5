"""Local models held to forms, one question after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phloem.nodes.services.models.local.service import LocalModels
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Request

__all__ = ["Held"]


class Held:
    """Asks local models of a home of its own for answers in a form. Used as a context, which frees the models."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.written = 0
        self._service = LocalModels(self.home)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *error: object) -> None:
        self._runner.run(self._service.close())
        self._runner.close()

    def write(
        self, form: Mapping[str, Any] | None, seed: int, *, model: str = "local:demo", most: int = 80
    ) -> tuple[str, bool]:
        """What the model writes in this form, left to chance, and whether it came to the end."""
        return self._runner.run(self._write(form, seed, model, most))

    async def _write(self, form: Mapping[str, Any] | None, seed: int, model: str, most: int) -> tuple[str, bool]:
        sampling = {"max_tokens": most, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": seed}
        text, finish = "", ""
        async for piece in self._service.answer(
            model, Request(asked="Say something.", sampling=sampling, form=form), self
        ):
            if isinstance(piece, Ending):
                finish = piece.finish
            else:
                text += piece
        return text, finish == "stop"

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        self.written += written

    def left(self) -> int | None:
        return None

    def sent(self, model: str, text: str) -> None:
        pass
