"""Small kinds of node for the tests of the engine: each does one thing, and says in CALLS that it ran."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, kinds_in, node
from phloem.runtime.errors import InputError, PermissionNeeded, ServiceError, SettingError
from phloem.runtime.ports import Json, Ports, PortType, Vector
from phloem.runtime.values import UNLIT, Blob, Document

CALLS: Counter[str] = Counter()
"""How often each kind ran, by id; the fixture `engine` empties it."""

FAILURES: Counter[str] = Counter()
"""How often each `test.flaky` has failed so far, by its label."""


def catalogue() -> Catalogue:
    """All kinds of this file."""
    import sys

    return Catalogue(kinds_in(sys.modules[__name__]))


@node("test.double", "Double")
def double(x: float) -> float:
    """Twice the number."""
    CALLS["test.double"] += 1
    return x * 2


@node("test.add", "Add")
def add(a: float, b: float = 1) -> float:
    """The sum."""
    CALLS["test.add"] += 1
    return a + b


@node("test.subtract", "Subtract")
def subtract(a: float, b: float) -> float:
    """The difference."""
    CALLS["test.subtract"] += 1
    return a - b


@node("test.sign", "Sign")
def sign(x: float) -> float:
    """-1, 0 or 1: many inputs, few outputs."""
    CALLS["test.sign"] += 1
    return (x > 0) - (x < 0)


@node("test.positive", "Positive")
def positive(x: float) -> bool:
    """Whether a number is above 0."""
    CALLS["test.positive"] += 1
    return x > 0


@node("test.same", "The same")
def same(value: Any) -> Any:
    """What came in."""
    CALLS["test.same"] += 1
    return value


@node("test.constant", "Constant")
def constant(value: Annotated[Json, Setting("What to give")] = None) -> Json:
    """What is written down."""
    CALLS["test.constant"] += 1
    return value


@node("test.upper", "Upper case")
def upper(text: str) -> str:
    """The text in capitals."""
    CALLS["test.upper"] += 1
    return text.upper()


@node("test.numbers", "Numbers")
def numbers(n: Annotated[int, Setting("How many", ge=0)] = 3) -> list[int]:
    """0, 1, 2, …"""
    CALLS["test.numbers"] += 1
    return list(range(n))


@node("test.table", "Table")
def table(rows: int, columns: int = 3) -> list[list[int]]:
    """A list of lists of numbers."""
    CALLS["test.table"] += 1
    return [[row * columns + column for column in range(columns)] for row in range(rows)]


@node("test.words", "Words")
def words(text: str) -> list[str]:
    """The words of a text."""
    CALLS["test.words"] += 1
    return text.split()


@node("test.total", "Total")
def total(values: list[float]) -> float:
    """The sum of a list."""
    CALLS["test.total"] += 1
    return sum(values)


@node("test.gather", "Gather")
def gather(values: Annotated[Any, In("Anything", many=True)] = ()) -> Json:
    """All that came, one item a link."""
    CALLS["test.gather"] += 1
    return list(values)


@node("test.join", "Join")
def join(
    texts: Annotated[list[str], In("Texts", many=True)], separator: Annotated[str, Setting("Between")] = " "
) -> str:
    """All texts in one."""
    CALLS["test.join"] += 1
    return separator.join(texts)


@node("test.each_text", "Each text")
def each_text(texts: Annotated[str, In("Texts", many=True)]) -> Json:
    """A port that takes many links and is not a list itself."""
    CALLS["test.each_text"] += 1
    return list(texts)


@node("test.merge", "Merge")
def merge(values: Annotated[Any, In("The first lit one wins", many=True)]) -> Any:
    """The first that is lit."""
    CALLS["test.merge"] += 1
    return values[0]


class Branches(NamedTuple):
    then: Any
    otherwise: Any


@node("test.if", "If")
def choose(value: Any, when: bool) -> Branches:
    """Lights one of two outputs."""
    CALLS["test.if"] += 1
    return Branches(value, UNLIT) if when else Branches(UNLIT, value)


def _switch_ports(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Ports:
    cases = settings.get("cases") or []
    if "else" in cases:
        raise SettingError("a case cannot be called else", hint="Choose another name.")
    return Ports(outputs={case: types.get("value", PortType("any")) for case in [*cases, "else"]})


@node("test.switch", "Switch", ports=_switch_ports)
def switch(value: Any, key: str, cases: Annotated[list[str], Setting("The names", shapes=True)]) -> Any:
    """Lights the output that has the name of the key."""
    CALLS["test.switch"] += 1
    return {key if key in cases else "else": value}


class DivMod(NamedTuple):
    quotient: float
    remainder: float


@node("test.divide", "Divide")
def divide(a: float, b: float) -> DivMod:
    """Two outputs; a failure when b is 0."""
    CALLS["test.divide"] += 1
    if not b:
        raise InputError("it cannot divide by zero", hint="Give b another value.")
    return DivMod(a // b, a % b)


@node("test.aside", "On the side")
async def aside(x: float) -> float:
    """Twice the number, as a task."""
    CALLS["test.aside"] += 1
    await asyncio.sleep(0)
    return x * 2


@node("test.block", "Block", blocking=True)
def block(x: float, seconds: Annotated[float, Setting("How long")] = 0.0) -> float:
    """Twice the number, in a thread."""
    CALLS["test.block"] += 1
    time.sleep(seconds)
    return x * 2


@node("test.sleep", "Sleep")
async def sleep(x: float, seconds: Annotated[float, Setting("How long")] = 0.05) -> float:
    """The number, a little later."""
    CALLS["test.sleep"] += 1
    await asyncio.sleep(seconds)
    return x


@node("test.spin", "Spin", effect="chance")
def spin(x: float, seconds: Annotated[float, Setting("How long")] = 0.001) -> float:
    """The number, after keeping the processor busy where it stands."""
    CALLS["test.spin"] += 1
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return x


@node("test.chance", "Chance", effect="chance")
def chance(x: float = 0) -> float:
    """Another number each time."""
    CALLS["test.chance"] += 1
    return x + CALLS["test.chance"] / 1000


def _lucky_stamp(ctx: Context, inputs: Mapping[str, Any]) -> str | None:
    return None if inputs["heat"] else "cold"


@node("test.lucky", "Lucky", effect="chance", stamp=_lucky_stamp)
async def lucky(ctx: Context, x: float, heat: Annotated[float, Setting("Above 0: chance")] = 0.0) -> float:
    """Chance that its stamp says is none."""
    CALLS["test.lucky"] += 1
    return x + heat * CALLS["test.lucky"]


def _broken_stamp(ctx: Context, inputs: Mapping[str, Any]) -> str:
    raise KeyError("stamp")


@node("test.misstamped", "Badly stamped", stamp=_broken_stamp)
def misstamped(x: float) -> float:
    """Its stamp has a bug."""
    return x


@node("test.stream", "Stream")
async def stream(text: str, wait: Annotated[float, Setting("Between two pieces")] = 0.0) -> AsyncIterator[str]:
    """The text, letter by letter."""
    CALLS["test.stream"] += 1
    try:
        for letter in text:
            await asyncio.sleep(wait)
            yield letter
    finally:
        CALLS["test.stream closed"] += 1


@node("test.stumble", "Stumble")
async def stumble(text: str, label: Annotated[str, Setting("")] = "") -> AsyncIterator[str]:
    """Streams half of the text and fails, the first time; then all of it."""
    FAILURES[label] += 1
    for index, letter in enumerate(text):
        if FAILURES[label] == 1 and index >= len(text) // 2:
            raise ServiceError("the line broke", retryable=True)
        yield letter


@node("test.pieces", "Pieces")
async def pieces(n: int) -> Annotated[AsyncIterator[float], Out("squares")]:
    """A list that comes item by item."""
    CALLS["test.pieces"] += 1
    for number in range(n):
        yield number * number


@node("test.fail", "Fail")
def fail(x: Any = None, how: Annotated[str, Setting("Which error")] = "service") -> float:
    """Always an error."""
    CALLS["test.fail"] += 1
    raise FAULTS[how]()


@node("test.fail_aside", "Fail on the side")
async def fail_aside(x: Any = None, how: Annotated[str, Setting("Which error")] = "service") -> float:
    """Always an error, in a task."""
    CALLS["test.fail_aside"] += 1
    await asyncio.sleep(0)
    raise FAULTS[how]()


@node("test.fail_block", "Fail in a thread", blocking=True)
def fail_block(x: Any = None, how: Annotated[str, Setting("Which error")] = "service") -> float:
    """Always an error, in a thread."""
    CALLS["test.fail_block"] += 1
    raise FAULTS[how]()


@node("test.fail_text", "Fail with a text")
def fail_text() -> str:
    """Should give a text, and fails."""
    raise ServiceError("no text today")


@node("test.own_timeout", "Its own timeout")
async def own_timeout() -> str:
    """Lets a TimeoutError of its own escape."""
    raise TimeoutError("the socket")


@node("test.flaky_net", "Flaky network", effect="chance", needs=["net:url"])
async def flaky_net(url: str = "", label: Annotated[str, Setting("Whose count")] = "") -> float:
    """Fails once, while it holds a place in the network."""
    return flaky(1, label, 1)


@node("test.picky", "Picky")
def picky(x: float, bad: Annotated[list[float], Setting("What it refuses")] = []) -> float:  # noqa: B006
    """Twice the number, unless it is one of the bad ones."""
    CALLS["test.picky"] += 1
    if x in bad:
        raise InputError(f"{x:g} is bad")
    return x * 2


@node("test.picky_aside", "Picky on the side")
async def picky_aside(x: float, bad: Annotated[list[float], Setting("What it refuses")] = []) -> float:  # noqa: B006
    """Twice the number, unless it is one of the bad ones; as a task."""
    CALLS["test.picky_aside"] += 1
    await asyncio.sleep(0)
    if x in bad:
        raise InputError(f"{x:g} is bad")
    return x * 2


@node("test.reciprocal", "Reciprocal")
def reciprocal(x: float) -> float:
    """Crashes at 0."""
    return 1 / x


@node("test.reciprocal_aside", "Reciprocal on the side")
async def reciprocal_aside(x: float) -> float:
    """Crashes at 0, as a task."""
    return 1 / x


@node("test.liar", "Liar")
def liar() -> list[int]:
    """Says that it gives a list."""
    return 5  # type: ignore[return-value]


@node("test.flaky", "Flaky")
def flaky(
    x: float,
    label: Annotated[str, Setting("Whose count")] = "",
    times: Annotated[int, Setting("How often it fails")] = 2,
) -> float:
    """Fails a few times, then gives the number."""
    CALLS["test.flaky"] += 1
    if FAILURES[label] < times:
        FAILURES[label] += 1
        raise ServiceError("not yet", retryable=True)
    return x


@node("test.flaky_aside", "Flaky on the side")
async def flaky_aside(
    x: float,
    label: Annotated[str, Setting("Whose count")] = "",
    times: Annotated[int, Setting("How often it fails")] = 2,
) -> float:
    """Fails a few times, then gives the number; as a task."""
    return flaky(x, label, times)


@node("test.wrong_count", "Wrong count")
def wrong_count() -> DivMod:
    """Says that it gives two outputs and gives three."""
    return (1, 2, 3)  # type: ignore[return-value]


@node("test.context", "Context")
async def context(ctx: Context, x: float = 0) -> Json:
    """What the context says about the call."""
    CALLS["test.context"] += 1
    return {"node": ctx.node, "key": ctx.key, "seed": ctx.seed}


@node("test.reporting", "Reporting", blocking=True)
def reporting(ctx: Context, steps: int = 4) -> str:
    """Tells from a thread how far it is, and streams a text."""
    text = ""
    for step in range(steps):
        ctx.progress((step + 1) / steps, f"step {step + 1}")
        ctx.emit_text("text", str(step))
        text += str(step)
    ctx.log("nearly there")
    ctx.spend(read=3, written=steps)
    return text


@node("test.lingering", "Lingering", blocking=True, effect="chance")
def lingering(ctx: Context, seconds: float = 0.2) -> str:
    """Goes on reporting for a while, whoever has stopped listening."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        time.sleep(0.01)
        ctx.progress(None, "still here")
    CALLS["test.lingering"] += 1
    return "done"


@node("test.patient", "Patient", blocking=True, effect="chance")
def patient(ctx: Context, seconds: float = 5.0) -> str:
    """Works until it is told to stop."""
    CALLS["test.patient"] += 1
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and not ctx.cancelled:
        time.sleep(0.005)
    CALLS["test.patient stopped"] += ctx.cancelled
    return "done"


@node("test.stubborn", "Stubborn", effect="chance")
async def stubborn(seconds: float = 0.1) -> str:
    """Cleans up for a while when it is interrupted."""
    try:
        await asyncio.sleep(5)
    finally:
        await asyncio.sleep(seconds)
        CALLS["test.stubborn cleaned"] += 1
    return "done"


def _read_stamp(ctx: Context, inputs: Mapping[str, Any]) -> str:
    return ctx.files.digest(str(inputs["path"]))


@node("test.read", "Read", effect="reads", needs=["read:path"], stamp=_read_stamp)
def read(ctx: Context, path: Annotated[str, In("Which file", path="path")]) -> str:
    """The text of a file."""
    CALLS["test.read"] += 1
    return ctx.files.read(path).decode()


def _write_stamp(ctx: Context, inputs: Mapping[str, Any]) -> str:
    return ""


@node("test.write", "Write", effect="writes", needs=["write:path"], stamp=_write_stamp)
def write(
    ctx: Context,
    path: Annotated[str, In("Which file", path="path")],
    text: str,
    passes: Annotated[int, Setting("How often it writes")] = 1,
) -> Annotated[str, Out("path")]:
    """Writes a file."""
    CALLS["test.write"] += 1
    for turn in reversed(range(passes)):
        written = ctx.files.write(path, (text + "." * turn).encode())
    return written


@node("test.net", "Network", effect="chance", needs=["net:url"])
async def net(x: float = 0, url: str = "", seconds: float = 0.01) -> float:
    """Says how many are here at once."""
    CALLS["test.net now"] += 1
    CALLS["test.net most"] = max(CALLS["test.net most"], CALLS["test.net now"])
    await asyncio.sleep(seconds)
    CALLS["test.net now"] -= 1
    return x


@node("test.payload", "Payload")
def payload(size: int = 10_000_000) -> Blob:
    """A lot of bytes."""
    CALLS["test.payload"] += 1
    return Blob(bytes(size), "zeros")


@node("test.identity", "Identity", effect="chance")
def identity(blob: Blob) -> Blob:
    """What came in, and in SEEN who it was."""
    SEEN.append(id(blob.data))
    return blob


SEEN: list[int] = []
"""The ids of the bytes that went through `test.identity`."""


@node("test.document", "Document")
def document(text: str, source: str = "") -> Document:
    """A document."""
    CALLS["test.document"] += 1
    return Document(text, source=source)


@node("test.vector", "Vector")
def vector(text: str) -> Vector:
    """A vector."""
    CALLS["test.vector"] += 1
    return [float(len(text)), 1.0]


@node("test.odd", "Odd", effect="chance")
def odd(what: Annotated[str, Setting("Which odd value")] = "deep") -> Any:
    """Values that a careless or hostile node could return."""
    return odd_value(what)


@node(
    "test.strict",
    "Strict",
    version=3,
    migrations={2: lambda old: {**old, "size": old.get("length", 1)} | {"length": 0}},
)
def strict(
    text: str,
    size: Annotated[int, Setting("How long", ge=1, le=10)] = 5,
    length: Annotated[int, Setting("The old name")] = 0,
    by: Annotated[Literal["letters", "words"], Setting("By what")] = "letters",
) -> str:
    """Bounds, choices, and an older version."""
    CALLS["test.strict"] += 1
    return text[:size] if by == "letters" else " ".join(text.split()[:size])


@node("test.nothing", "Nothing")
def nothing(x: Any = None) -> None:
    """No outputs."""
    CALLS["test.nothing"] += 1


def odd_value(what: str) -> Any:
    """A value that nobody should have made; see ODD for their names."""
    return ODD[what]()


class _NoLength:
    def __len__(self) -> int:
        raise TypeError("it has no length")


class _NoWords:
    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


class _Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _deep(wrap: Callable[[Any], Any]) -> Any:
    value: Any = "bottom"
    for _ in range(100_000):
        value = wrap(value)
    return value


def _loop(*first: Any) -> list[Any]:
    value = [*first]
    value += [value, value]
    return value


ODD: dict[str, Callable[[], Any]] = {
    "deep": lambda: _deep(lambda value: [value]),
    "deep dict": lambda: _deep(lambda value: {"k": value}),
    "deep document": lambda: _deep(lambda value: Document("", metadata={"k": value})),
    "loop": _loop,
    "loop of big": lambda: _loop(2**70),
    "huge int": lambda: 10**6000,
    "list of huge": lambda: [10**6000],
    "long key": lambda: {"k" * 10_000_000: 1},
    "wide": lambda: [[0] * 1000] * 300,
    "no length": _NoLength,
    "no words": lambda: [_NoWords()],
    "untextual document": lambda: Document(5),  # type: ignore[arg-type]
    "set": lambda: {1, 2},
    "big key": lambda: {2**70: 1},
    "surrogate": lambda: "\ud800",
}

FAULTS: dict[str, Callable[[], BaseException]] = {
    "input": lambda: InputError("a bad value", hint="Give a good one."),
    "setting": lambda: SettingError("a bad setting"),
    "service": lambda: ServiceError("the server is away", retryable=True),
    "hopeless": lambda: ServiceError("there is no such page"),
    "permission": lambda: PermissionNeeded("The workflow may not do this.", flags=["--allow net=example.org"]),
    "crash": lambda: ZeroDivisionError("division by zero"),
    "speechless": _Speechless,
    "endless": lambda: ValueError("x" * 1_000_000),
    "stop": lambda: StopIteration("over"),
    "exit": lambda: SystemExit(3),
    "cancelled": asyncio.CancelledError,
}
