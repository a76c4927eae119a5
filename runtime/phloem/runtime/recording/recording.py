"""What was recorded of a run: its questions to the outside, each with what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Final, Literal, Protocol

from phloem.runtime.default_models import DefaultModels
from phloem.runtime.errors import ConfigError, PhloemError
from phloem.runtime.recording.failures import error_data, error_of
from phloem.runtime.recording.fitting import fits
from phloem.runtime.recording.plain import from_plain, plain

__all__ = ["Exchange", "Given", "Head", "Keeper", "Place", "Recording", "Said", "Sent", "Spent"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a model told that it cost, while it answered."""

    read: int = 0
    written: int = 0
    cached: int = 0
    money: float = 0.0

    def and_then(self, other: Spent) -> Spent:
        return Spent(
            self.read + other.read, self.written + other.written, self.cached + other.cached, self.money + other.money
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """The exact text that went to a model."""

    model: str
    text: str


Said = str | Spent | Sent


@dataclass(slots=True)
class Given:
    """What came of a question: what was `said` on the way, in order, and at the end a `value` or an `error`.

    With `broken_off` nobody waited for the end; `interrupted` says that something else in the run saw to that: another
    that failed beside it, or a timeout around both. `seconds` is how long all of it took, `delays` how long each
    piece of text in `said` let wait.
    """

    value: Any = None
    said: list[Said] = field(default_factory=list)
    error: PhloemError | None = None
    broken_off: bool = False
    interrupted: bool = False
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)

    @property
    def data(self) -> dict[str, Any]:
        """It as JSON data, without what is empty."""
        data: dict[str, Any] = {}
        if self.said:
            data["said"] = [_said_data(one) for one in self.said]
        failure = None if self.error is None else error_data(self.error)
        if failure is not None:
            data["error"] = failure
        elif self.broken_off:
            data["broken_off"] = True
            if self.interrupted:
                data["interrupted"] = True
        else:
            data["gave"] = plain(self.value)
        if self.seconds >= 0.001:
            data["seconds"] = round(self.seconds, 3)
        if any(one >= 0.001 for one in self.delays):
            data["delays"] = [round(one, 3) for one in self.delays]
        return data

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Given:
        """What `data` was made of; ValueError if that is nothing of the kind."""
        said, seconds, delays = data.get("said", []), data.get("seconds", 0.0), data.get("delays", [])
        if not isinstance(said, list) or not isinstance(delays, list):
            raise ValueError("said and delays have to be lists")
        if not all(_is_time(one) for one in (seconds, *delays)):
            raise ValueError("seconds and delays have to be lengths of time")
        if not ("gave" in data or "error" in data or data.get("broken_off") is True):
            raise ValueError("it has no answer")
        error = error_of(data["error"]) if "error" in data else None
        pieces = [_said(one) for one in said]
        broken_off = error is None and data.get("broken_off") is True
        interrupted = broken_off and data.get("interrupted") is True
        return cls(from_plain(data.get("gave")), pieces, error, broken_off, interrupted, float(seconds), delays)

    @property
    def ended(self) -> bool:
        """True if it came to a value."""
        return self.error is None and not self.broken_off


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _said_data(one: Said) -> Any:
    if isinstance(one, Spent):
        return {"spent": {name: amount for name in _SPENT if (amount := getattr(one, name))}}
    return {"sent": [one.model, one.text]} if isinstance(one, Sent) else one


_SPENT: Final = ("read", "written", "cached", "money")


def _said(data: Any) -> Said:
    if isinstance(data, str):
        return data
    if isinstance(data, dict) and data.keys() == {"spent"} and isinstance(data["spent"], dict):
        spent = data["spent"]
        if set(spent) <= set(_SPENT) and all(_is_amount(name, one) for name, one in spent.items()):
            return Spent(**spent)
    if isinstance(data, dict) and data.keys() == {"sent"} and isinstance(data["sent"], list):
        match data["sent"]:
            case [str(model), str(text)]:
                return Sent(model, text)
    raise ValueError("said has something that no model says")


def _is_amount(name: str, value: Any) -> bool:
    kinds = int | float if name == "money" else int
    return isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value < 1e15


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that a node asked outside, and what came of it.

    `node` is the node's path, `call` what it asked for (`answer`, `embed`, `request`, …), `question` all of what it
    asked, as JSON data. `turn` orders the questions of a node.
    """

    node: str
    call: str
    question: Any
    given: Given
    turn: int = 0

    @property
    def data(self) -> dict[str, Any]:
        """It as JSON data."""
        return {"node": self.node, "call": self.call, "asked": self.question, **self.given.data}

    @classmethod
    def of(cls, data: Any, turn: int = 0) -> Exchange:
        """What `data` was made of; ValueError says why it is nothing of the kind."""
        if not isinstance(data, dict):
            raise ValueError("it is no object")
        node, call, asked = data.get("node"), data.get("call"), data.get("asked")
        if not isinstance(node, str) or not isinstance(call, str) or not isinstance(asked, dict):
            raise ValueError("it lacks node, call or asked")
        given = Given.of(data)
        if given.ended and not fits(call, asked, given.value):
            raise ValueError(f"what it gave cannot be the answer to {call[:60]!r}")
        return cls(node, call, asked, given, turn)


@dataclass(frozen=True, slots=True)
class Head:
    """What a run was recorded with: its seed, its models where nodes name none, and the inputs it was given.

    `asked` says that the language model was asked for with the run.
    """

    seed: int = 0
    model: str = ""
    embedding: str = ""
    asked: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        """It as JSON data."""
        data: dict[str, Any] = {"seed": self.seed, "model": self.model, "embedding": self.embedding}
        if self.asked:
            data["asked"] = True
        return {**data, "inputs": plain(dict(self.inputs))} if self.inputs else data

    @classmethod
    def of(cls, data: Any) -> Head:
        """What `data` was made of; ValueError if that is nothing of the kind."""
        if not isinstance(data, dict):
            raise ValueError("it is no object")
        seed, inputs = data.get("seed", 0), from_plain(data.get("inputs", {}))
        model, embedding = data.get("model", ""), data.get("embedding", "")
        right = isinstance(seed, int) and not isinstance(seed, bool) and isinstance(inputs, dict)
        if not right or not isinstance(model, str) or not isinstance(embedding, str):
            raise ValueError("its seed, its models or its inputs are not what they should be")
        return cls(seed, model, embedding, data.get("asked") is True, inputs)

    def models(self, now: DefaultModels, asked: str, written: str, *, trusted: bool) -> DefaultModels:
        """The models of a replay: what is `asked` for with it counts, then what the run was recorded with and the
        workflow names (`written`), and not what this machine has for a default. Those that a recording names are
        `trusted` as if the user named them only where nobody else can have written it."""
        embedding = self.embedding or now.embedding
        names = now.trusted | ({self.model, self.embedding} - {""} if trusted else set())
        if asked or not self.model:
            return replace(now, embedding=embedding, trusted=names)
        if self.asked:
            return DefaultModels(self.model, embedding, names, asked=True)
        return DefaultModels(written or self.model, embedding, names)


Kind = Literal["file", "run"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording is: a file, by its path, or a run, by its id."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return PurePath(self.name).name if self.kind == "file" else f"the run {self.name}"


class Keeper(Protocol):
    """Where what comes from outside is kept. Several threads may use it at once."""

    def keep(self, exchange: Exchange, key: bytes, number: int) -> None:
        """Keep one: the `number`-th (from 0) that its node asked under this key. JournalError if that cannot be."""
        ...

    def close(self, finished: bool) -> None:
        """No more comes. Without `finished` the run was broken off. JournalError if what there is cannot be kept."""
        ...


Loader = Callable[[], Exchange]


class Recording:
    """All that was recorded of a run. Answers are read when they are asked for."""

    def __init__(self, place: Place, head: Head) -> None:
        self.place = place
        self.head = head
        self._asked: dict[tuple[str, str], dict[bytes, list[Loader]]] = {}

    def add(self, node: str, call: str, key: bytes, load: Loader) -> None:
        """Take in one more; those of a node under one key in the order in which it asked."""
        self._asked.setdefault((node, call), {}).setdefault(key, []).append(load)

    def given(self, node: str, call: str, key: bytes, number: int) -> Given | None:
        """What came of the `number`-th such question; None if it was never asked."""
        found = self._asked.get((node, call), {}).get(key, ())
        return found[number]().given if number < len(found) else None

    def count(self, node: str, call: str, key: bytes) -> int:
        """How often the node asked that."""
        return len(self._asked.get((node, call), {}).get(key, ()))

    def questions(self, node: str, call: str) -> Iterator[Any]:
        """What the node asked with that call, each once."""
        for found in self._asked.get((node, call), {}).values():
            yield found[0]().question

    def nodes(self) -> set[str]:
        """The paths of the nodes that asked anything."""
        return {node for node, _ in self._asked}

    def asked_by(self, call: str, same: Callable[[Any], bool]) -> str | None:
        """The path of the first node that asked, with that call, something that is the same."""
        places = ((node, keys) for (node, one), keys in self._asked.items() if one == call)
        return next((node for node, keys in places for found in keys.values() if same(found[0]().question)), None)

    def exchanges(self, *, what_is_left: bool = False) -> Iterator[tuple[Exchange, bytes, int]]:
        """Everything, each with its key and its number. ConfigError for what can no longer be read; `what_is_left` is
        without that."""
        for keys in self._asked.values():
            for key, found in keys.items():
                for number, load in enumerate(found):
                    try:
                        exchange = load()
                    except ConfigError:
                        if what_is_left:
                            continue
                        raise
                    yield exchange, key, number
