"""What may be spent, and what has been: the tokens, money and time of a call, its node, and the run.

A budget has a parent: what a call spends is spent by its node too, and by the run. Calls tell what they
spend while they go on, so a limit is passed by no more than what is under way at that moment: of each call one
batch of tokens where they are told while the answer is written, and otherwise one answer.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Final, Literal

from phloem.runtime.errors import LimitReached
from phloem.runtime.workflow import Limit

__all__ = ["UNLIMITED", "Budget", "Word", "dollars", "limit_words", "spent_words", "tokens_in"]

Word = Literal["tokens", "money", "seconds"]

UNLIMITED: Final = Limit()
BYTES_PER_TOKEN: Final = 3.5
_DUST: Final = 1e-9
"""The share of a limit on money that sums of fractions may be off by."""


class Budget:
    """What a call, a node or a run has spent, and its limit. Several threads may use it at once.

    `whose` is who has the limit, in words; `remedy` says how to raise the limit on what a word names. `on_passed`
    is called once, with the error, when too much has been spent, on the thread of the one that did.
    """

    __slots__ = ("_lock", "_told", "limit", "money", "on_passed", "parent", "read", "remedy", "whose", "written")

    def __init__(
        self,
        limit: Limit = UNLIMITED,
        parent: Budget | None = None,
        *,
        whose: str = "the node",
        remedy: Callable[[Word], str] = lambda word: "Raise the node's `limit`, or give it less to do.",
    ) -> None:
        self.limit = limit
        self.parent = parent
        self.whose = whose
        self.remedy = remedy
        self.read = 0
        self.written = 0
        self.money = 0.0
        self.on_passed: Callable[[LimitReached], None] | None = None
        self._told = False
        self._lock: threading.Lock = threading.Lock() if parent is None else parent._lock

    @property
    def tokens(self) -> int:
        """Those read and those written."""
        return self.read + self.written

    def spend(self, read: int = 0, written: int = 0, money: float = 0.0) -> None:
        """Count this, here and in every budget above; LimitReached if that is too much, of the outermost."""
        if not (read >= 0 and written >= 0 and 0 <= money < math.inf):
            raise ValueError("what is spent is 0 or more")
        passed: tuple[Budget, LimitReached] | None = None
        with self._lock:
            for one in self._and_above():
                one.read += read
                one.written += written
                one.money += money
                error = one.over()
                passed = (one, error) if error is not None else passed
        if passed is not None:
            budget, error = passed
            budget._tell(error)
            raise error

    def over(self) -> LimitReached | None:
        """The error if more tokens or money have been spent than the limit of this budget allows."""
        limit = self.limit
        if limit.tokens is not None and self.tokens > limit.tokens:
            return self._error("tokens", f"{self.tokens:,} of {limit.tokens:,} tokens")
        if limit.money is not None and self.money > limit.money * (1 + _DUST):
            spent, most = dollars(self.money), dollars(limit.money)
            return self._error("money", f"{spent if spent != most else f'just over {most}'} of {most}")
        return None

    def out_of_time(self) -> LimitReached:
        """The error for one that took as long as it may."""
        return self._error("seconds", f"{self.limit.seconds:g} s")

    def afford(self, read: int, money: float | None) -> None:
        """LimitReached if reading so many tokens, which costs so much, would be too much: asked before it is done.

        `money` is None where nobody knows the price: then a limit on money could not be kept, and is an error too.
        """
        for one in self._and_above():
            limit = one.limit
            if limit.tokens is not None and one.tokens + read > limit.tokens:
                left = f"{max(limit.tokens - one.tokens, 0):,} of {limit.tokens:,} are left"
                raise one._refusal("tokens", f"the prompt has {read:,} tokens, and {left}")
            if limit.money is None:
                continue
            if money is None:
                raise LimitReached(
                    f"nobody knows what the model costs, so {one.whose} could not keep its limit of "
                    f"{dollars(limit.money)}",
                    hint="Write the price into settings.yaml under `prices`, or limit tokens instead of money.",
                    budget=one,
                )
            if one.money + money > limit.money * (1 + _DUST):
                left = f"{dollars(max(limit.money - one.money, 0.0))} of {dollars(limit.money)} are left"
                raise one._refusal("money", f"to read the prompt costs {dollars(money)}, and {left}")

    def left(self) -> int | None:
        """How many tokens may still be spent, here and in every budget above; None without a limit."""
        rooms = [one.limit.tokens - one.tokens for one in self._and_above() if one.limit.tokens is not None]
        return max(min(rooms), 0) if rooms else None

    @property
    def bounded(self) -> bool:
        """True if tokens or money are limited, here or above."""
        return any(one.limit.tokens is not None or one.limit.money is not None for one in self._and_above())

    def under(self, other: object) -> bool:
        """True if `other` is this budget or one above it."""
        return any(one is other for one in self._and_above())

    def _and_above(self) -> Iterator[Budget]:
        one: Budget | None = self
        while one is not None:
            yield one
            one = one.parent

    def _tell(self, error: LimitReached) -> None:
        if not self._told:
            self._told = True
            if self.on_passed is not None:
                self.on_passed(error)

    def _error(self, word: Word, spent: str) -> LimitReached:
        return LimitReached(f"{self.whose} stopped at its limit: {spent}", hint=self.remedy(word), budget=self)

    def _refusal(self, word: Word, message: str) -> LimitReached:
        return LimitReached(f"{self.whose} stopped before its limit: {message}", hint=self.remedy(word), budget=self)


def tokens_in(text: str) -> int:
    """About how many tokens a model reads a text as, without asking it: a token for every 3.5 bytes of UTF-8.

    English has some four letters a token (OpenAI's rule of thumb), so for it this is rather too much; scripts with
    several bytes a letter have fewer letters a token in about the same measure.
    """
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)


def limit_words(limit: Limit) -> str:
    """`5,000 tokens, $0.50, 60 s`; empty for no limit."""
    tokens = "" if limit.tokens is None else f"{limit.tokens:,} tokens"
    money = "" if limit.money is None else dollars(limit.money)
    seconds = "" if limit.seconds is None else f"{limit.seconds:g} s"
    return ", ".join(filter(None, (tokens, money, seconds)))


def spent_words(read: int, written: int, money: float) -> str:
    """`1,200 tokens read and 56 written, $0.0012`; empty for nothing."""
    tokens = f"{read:,} tokens read and {written:,} written" if read or written else ""
    return ", ".join(filter(None, (tokens, dollars(money) if money else "")))


def dollars(money: float) -> str:
    """US dollars to the cent, small amounts to four digits: `$12.50`, `$0.5012`, `$0.0012`."""
    if money == 0 or money >= 10:
        return f"${money:,.2f}"
    places = 3 - math.floor(math.log10(money))
    digits = f"{money:.{max(places, 2)}f}"
    whole, _, cents = digits.partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"
