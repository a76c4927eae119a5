"""What tokens cost: by the user's own table, else by that of genai-prices, which comes with the extra.

genai-prices (https://github.com/pydantic/genai-prices) is collected from the providers' pages and published
often; a newer one knows newer models: `pip install --upgrade genai-prices`. It is not asked over the network.
What a provider really charges may differ (discounts, batches), so a user's table goes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from phloem.nodes.services.models.hosted.endpoints import Endpoint
from phloem.runtime.settings import Settings

__all__ = ["Price", "context_of", "price_of"]

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens: of the prompt, of the answer, and of what of the prompt had been read before."""

    read: float
    written: float
    cached: float

    def of(self, read: int, written: int, cached: int = 0) -> float:
        """US dollars for so many tokens. `cached` are among those `read`."""
        fresh = max(0, read - cached)
        return (fresh * self.read + cached * self.cached + written * self.written) / MILLION


FREE: Final = Price(0, 0, 0)


def price_of(endpoint: Endpoint, settings: Settings, read: int = 0) -> Price | None:
    """The price of a model for a prompt of `read` tokens (long ones cost more in places); None if nobody knows it.

    A server of the user's own costs nothing, whomever it imitates. ConfigError if the user's table is wrong.
    """
    given = settings.prices.get(endpoint.full)
    if given is not None:
        return _given(given, endpoint.full, settings)
    if endpoint.is_near and not _is_in_table(endpoint):
        return FREE
    model = _model(endpoint)
    if model is None:
        return None
    prices = model.get_prices(datetime.now(UTC))
    tokens = [_at(getattr(prices, name, None), read) for name in ("input_mtok", "output_mtok", "cache_read_mtok")]
    if tokens[0] is None:
        return None
    return Price(tokens[0], tokens[1] or 0.0, tokens[0] if tokens[2] is None else tokens[2])


def context_of(endpoint: Endpoint) -> int | None:
    """How many tokens a well-known model reads and writes at most; None for any other."""
    model = _model(endpoint)
    window = model.context_window if model is not None else None
    return window if isinstance(window, int) and window > 0 else None


def _given(given: object, name: str, settings: Settings) -> Price:
    def number(key: str, otherwise: float | None = None) -> float:
        value = given.get(key, otherwise) if isinstance(given, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MILLION:
            raise settings.wrong("prices", name, "must have in and out (and cached), in US dollars per million tokens")
        return float(value)

    read = number("in")
    return Price(read, number("out", 0.0), number("cached", read))


def _model(endpoint: Endpoint) -> Any:
    """What the table says of a model, if it is in it."""
    if not _is_in_table(endpoint) or not endpoint.model:
        return None
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    try:
        return get_snapshot().find_provider_model(endpoint.model, None, endpoint.preset.prices, None)[1]
    except LookupError:
        return None


def _is_in_table(endpoint: Endpoint) -> bool:
    """Whether the table has prices of that provider itself, and not only of one that it imitates."""
    return bool(endpoint.preset.prices) and endpoint.provider == endpoint.preset.name


def _at(price: Any, read: int) -> float | None:
    """A price per million, or what it is for prompts of that length."""
    if price is None:
        return None
    for tier in reversed(getattr(price, "tiers", ())):
        if read >= tier.start:
            return float(tier.price)
    return float(getattr(price, "base", price))
