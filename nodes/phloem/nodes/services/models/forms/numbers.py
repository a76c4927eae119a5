"""Numbers of a JSON Schema as grammars: exactly those between the bounds, and exactly the multiples.

A number is read digit by digit. What is remembered on the way is how it compares with the bounds so far and
what remains of it when divided by the step; so every number that ends is right, and none is left out that
has at most 15 digits (a double tells all of those apart), or as many as the bounds have. Numbers with
bounds or steps are written without exponents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from phloem.nodes.services.models.forms.json_text import DIGIT, INTEGER, NUMBER
from phloem.nodes.services.models.forms.schema_merge import Contradiction
from phloem.nodes.services.models.forms.tree import NOTHING, Chars, Node, Ref, Text, alt, repeat, seq
from phloem.runtime.errors import SettingError

__all__ = ["number_rules"]

DIGITS: Final = 15
MOST_DIGITS: Final = 40
"""Digits of the bounds; a number that is larger on a side without a bound has up to DIGITS of them."""
LARGEST_STEP: Final = 10_000
MOST_REMAINDERS: Final = 100
"""The largest step, counted in its last digit, and how many remainders may have to be told apart."""
STATES: Final = 800
"""Remainders times digits, where no bound says how many digits there may be."""


def number_rules(schema: Mapping[str, Any], name: str, *, whole: bool) -> dict[str, Node]:
    """Rules for the numbers, or `whole` ones, that `schema` allows; the first is called `name`.

    Contradiction when there are none; SettingError for a bound or a step that cannot be held to.
    """
    low, high = _bound(schema, "minimum", "exclusiveMinimum", max), _bound(schema, "maximum", "exclusiveMaximum", min)
    step = schema.get("multipleOf")
    if low is None and high is None and step is None:
        return {name: INTEGER if whole else NUMBER}
    if low is not None and high is not None and _is_empty(low, high):
        raise Contradiction("the schema asks for a number between bounds that have none between them")
    steps = None if step is None else _Steps(_decimal(step))
    return _Writer(name, low, high, steps, whole=whole).rules()


class _Bound(NamedTuple):
    """A bound. Its digits are taken as they are: arithmetic with Decimal would round them to 28."""

    value: Decimal
    open: bool
    """Whether the bound itself is outside."""

    @property
    def negated(self) -> _Bound:
        return _Bound(self.value.copy_negate(), self.open)

    @property
    def whole(self) -> str:
        """The digits before the point, of the distance from 0."""
        return str(int(self.value.copy_abs()))

    @property
    def places(self) -> str:
        """The digits behind the point."""
        return format(self.value.copy_abs(), "f").partition(".")[2].rstrip("0")


def _bound(schema: Mapping[str, Any], closed: str, opened: str, tighter: Any) -> _Bound | None:
    found = [_Bound(_decimal(schema[word]), word == opened) for word in (closed, opened) if word in schema]
    if not found:
        return None
    value = tighter(bound.value for bound in found)
    return _Bound(value, any(bound.open for bound in found if bound.value == value))


def _decimal(number: float) -> Decimal:
    """The number as it was written; from 10^15 on, where a double has no places, exactly what it is."""
    value = Decimal(repr(number)) if abs(number) < 10**DIGITS else Decimal(number)
    if value.copy_abs() >= Decimal(10) ** MOST_DIGITS:
        raise SettingError(
            f"the schema has the bound {number!r:.60}", hint=f"Bounds have at most {MOST_DIGITS} digits."
        )
    return value


def _is_empty(low: _Bound, high: _Bound) -> bool:
    return low.value > high.value or (low.value == high.value and (low.open or high.open))


class _Steps:
    """Divides while digits come in: what may remain is a class of remainders that behave alike. Class 0 is none."""

    def __init__(self, step: Decimal) -> None:
        exponent = step.normalize().as_tuple().exponent
        self.places = max(0, -exponent) if isinstance(exponent, int) else 0
        """Digits that a multiple has behind the point, at most."""
        count = int(step.scaleb(self.places))
        if count > LARGEST_STEP:
            raise SettingError(
                f"multipleOf is {step}", hint=f"It has to be at most {LARGEST_STEP:,}, without its point."
            )
        self._classes = _alike(count)
        self._first = {one: remainder for remainder, one in reversed(list(enumerate(self._classes)))}
        self._count = count
        self.classes = len(self._first)
        if len(self._first) > MOST_REMAINDERS:
            raise SettingError(
                f"multipleOf is {step}, which would take too large a grammar",
                hint="Round numbers such as 1000 can be held to, and any below 100.",
            )

    def then(self, before: int, digit: int) -> int:
        """The class after one more digit."""
        return self._classes[(self._first[before] * 10 + digit) % self._count]

    def divides(self, after: int, places: int) -> bool:
        """Whether a number with so many digits behind the point is a multiple."""
        for _ in range(self.places - places):
            after = self.then(after, 0)
        return self._first[after] == 0


def _alike(count: int) -> list[int]:
    """For each remainder its class: those from which the same digits lead to 0 (E. Moore's refinement)."""
    classes = [0 if remainder == 0 else 1 for remainder in range(count)]
    while True:
        numbers: dict[tuple[int, ...], int] = {}
        finer = []
        for remainder in range(count):
            key = (classes[remainder], *(classes[(remainder * 10 + digit) % count] for digit in range(10)))
            finer.append(numbers.setdefault(key, len(numbers)))
        if len(numbers) == len(set(classes)):
            return finer
        classes = finer


@dataclass(frozen=True)
class _Side:
    """The numbers from 0 on that are at least `low` and at most `high`; without `high` there is no end."""

    low: _Bound
    high: _Bound | None


@dataclass(frozen=True, slots=True)
class _Whole:
    """After digits before the point: how many, how they compare with as many of the bounds, and what remains."""

    count: int
    high: int
    low: int
    rest: int
    zero: bool
    """Whether the only digit is 0, after which no other may come."""


@dataclass(frozen=True, slots=True)
class _Places:
    """After digits behind the point: whether the number is still the same as the bounds, and what remains."""

    room: int
    count: int
    at_high: bool
    at_low: bool
    rest: int


class _Writer:
    """Writes the rules for one number."""

    def __init__(
        self, name: str, low: _Bound | None, high: _Bound | None, steps: _Steps | None, *, whole: bool
    ) -> None:
        self._name = name
        self._low = low
        self._high = high
        self._steps = steps
        self._is_whole = whole
        self._rules: dict[str, Node] = {}
        self._names: dict[tuple[_Side, _Whole | _Places], str] = {}
        self._waiting: list[tuple[_Side, _Whole | _Places]] = []

    def rules(self) -> dict[str, Node]:
        zero = _Bound(Decimal(0), open=False)
        options = []
        if self._high is None or not _is_empty(zero, self._high):
            low = self._low if self._low is not None and self._low.value >= 0 else zero
            options.append(self._start(_Side(low, self._high)))
        if self._low is None or self._low.value < 0:
            least = self._high.negated if self._high is not None and self._high.value <= 0 else zero
            if self._is_whole and least.value == 0:
                least = _Bound(Decimal(0), open=True)
            options.append(seq(Text("-"), self._start(_Side(least, None if self._low is None else self._low.negated))))
        self._rules[self._name] = alt(*options)
        while self._waiting:
            side, state = self._waiting.pop()
            name = self._names[side, state]
            self._rules[name] = (
                self._after_whole(side, state) if isinstance(state, _Whole) else self._after_place(side, state)
            )
        return self._rules

    def _start(self, side: _Side) -> Node:
        """The first digit."""
        return self._next(side, _Whole(0, 0, 0, self._steps.then(0, 0) if self._steps else 0, zero=False))

    def _next(self, side: _Side, state: _Whole) -> Node:
        """One more digit before the point."""
        if state.zero or state.count >= self._most(side):
            return alt()
        moves: dict[_Whole, list[int]] = {}
        for digit in range(10):
            count = state.count + 1
            target = _Whole(
                count,
                state.high or _compared(digit, side.high.whole if side.high else "", count),
                (state.low or _compared(digit, side.low.whole, count)) if count <= len(side.low.whole) else 1,
                self._steps.then(state.rest, digit) if self._steps else 0,
                zero=count == 1 and digit == 0,
            )
            moves.setdefault(target, []).append(digit)
        return alt(*(seq(_one_of(digits), self._rule(side, target)) for target, digits in moves.items()))

    def _after_whole(self, side: _Side, state: _Whole) -> Node:
        high = _order(state.count, state.high, side.high.whole) if side.high else -1
        low = _order(state.count, state.low, side.low.whole)
        options = [self._next(side, state)]
        if high <= 0 <= low:
            room = self._room(side, state.count)
            places = _Places(room, 0, high == 0, low == 0, state.rest)
            if not self._is_whole and room:
                options.append(seq(Text("."), self._place(side, places)))
            if self._may_end(side, places):
                return repeat(alt(*options), 0, 1) if any(option != alt() for option in options) else NOTHING
        return alt(*options)

    def _free(self, side: _Side, state: _Whole) -> int | None:
        """How many more digits there may be, if it does not matter which; -1 if there are too many already."""
        over_low = state.count > len(side.low.whole) or (state.count == len(side.low.whole) and state.low > 0)
        if state.zero or not over_low:
            return None
        if side.high is None:
            return self._most(side) - state.count
        if not state.high:
            return None
        return self._most(side) - (state.high > 0) - state.count

    def _most(self, side: _Side) -> int:
        """How many digits before the point there may be."""
        if side.high is not None:
            return len(side.high.whole)
        return max(
            len(side.low.whole) + 1, DIGITS if self._steps is None else min(DIGITS, STATES // self._steps.classes)
        )

    def _room(self, side: _Side, count: int) -> int:
        """How many digits behind the point there may be."""
        if self._steps is not None:
            return max(1, self._steps.places)
        most = max(len(side.low.places), len(side.high.places) if side.high else 0)
        return max(DIGITS - count, most)

    def _place(self, side: _Side, state: _Places) -> Node:
        """One more digit behind the point."""
        if state.count >= state.room:
            return alt()
        moves: dict[_Places, list[int]] = {}
        for digit in range(10):
            if self._steps and state.count >= self._steps.places and digit:
                continue
            high = state.at_high and side.high is not None and _compared(digit, side.high.places, state.count + 1)
            low = state.at_low and _compared(digit, side.low.places, state.count + 1)
            if high <= 0 <= low:
                rest = (
                    self._steps.then(state.rest, digit)
                    if self._steps and state.count < self._steps.places
                    else state.rest
                )
                target = _Places(
                    state.room, state.count + 1, state.at_high and high == 0, state.at_low and low == 0, rest
                )
                moves.setdefault(target, []).append(digit)
        return alt(*(seq(_one_of(digits), self._rule(side, target)) for target, digits in moves.items()))

    def _after_place(self, side: _Side, state: _Places) -> Node:
        more = self._place(side, state)
        if not self._may_end(side, state):
            return more
        return repeat(more, 0, 1) if more != alt() else NOTHING

    def _may_end(self, side: _Side, state: _Places) -> bool:
        """Whether the number may end here, with zeros to follow in thought."""
        if self._steps is not None and not self._steps.divides(state.rest, state.count):
            return False
        if state.at_high and side.high is not None and side.high.open and not side.high.places[state.count :]:
            return False
        return not (state.at_low and (side.low.open or side.low.places[state.count :]))

    def _rule(self, side: _Side, state: _Whole | _Places) -> Node:
        """What follows in this state; digits that nothing holds back any more are written as a repetition."""
        if self._steps is None and isinstance(state, _Places) and not (state.at_high or state.at_low):
            return repeat(DIGIT, 0, state.room - state.count)
        if self._steps is None and isinstance(state, _Whole) and self._is_whole and state.count:
            free = self._free(side, state)
            if free is not None:
                return repeat(DIGIT, 0, free) if free >= 0 else alt()
        key = (side, state)
        if key not in self._names:
            self._names[key] = f"{self._name} {len(self._names)}"
            self._waiting.append(key)
        return Ref(self._names[key])


def _compared(digit: int, digits: str, count: int) -> int:
    """How `digit`, the one of number `count`, compares with the same one in `digits`, where zeros follow."""
    other = int(digits[count - 1]) if count <= len(digits) else 0
    return (digit > other) - (digit < other)


def _order(count: int, compared: int, bound: str) -> int:
    """How a whole number of `count` digits compares with `bound`, of which as many digits were compared."""
    return compared if count == len(bound) else -1 if count < len(bound) else 1


def _one_of(digits: list[int]) -> Chars:
    return Chars.of((0x30 + digit, 0x30 + digit) for digit in digits)
