"""What calls of models cost, noted down."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Spending"]


@dataclass
class Spending:
    """A meter without a limit."""

    read: int = 0
    written: int = 0
    cached: int = 0
    money: float = 0.0
    texts: list[tuple[str, str]] = field(default_factory=list)

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        self.read += read
        self.written += written
        self.cached += cached
        self.money += money

    def left(self) -> int | None:
        return None

    def sent(self, model: str, text: str) -> None:
        self.texts.append((model, text))
