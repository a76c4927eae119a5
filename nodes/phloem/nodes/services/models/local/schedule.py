"""Which request is in which stream of a context, and what is computed next. It knows nothing of llama.cpp.

A context has several streams, each the memory of one sequence of tokens. A request that comes gets a stream,
or waits until one is free, first come first served. Prompts are read in chunks of a fixed size, each cut at
the same places whoever asks, so that a beginning that two prompts share is the same to the last bit
whoever read it: it is read once, and copied.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Copy", "Cut", "Read", "Schedule", "Step"]

WRITES_PER_READ: Final = 4
"""Tokens that each running answer goes on by between two chunks of prompts that are read."""
PAUSE: Final = 2.0
"""Seconds for which running answers may stand still, before they go on by WRITES_PER_READ tokens, for prompts that
will all have been read by then.

The sooner all of them write, the more is computed together; what would take longer is read between their tokens.
"""
FORGETTING: Final = 0.9
"""How much of the longest time for a chunk is believed one chunk later."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Make stream `target` the first `keep` tokens of stream `source`."""

    source: int
    target: int
    keep: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Forget what stream `stream` has after its first `keep` tokens."""

    stream: int
    keep: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read the tokens from `start` to before `end` of a request's prompt; with `last` its answer begins."""

    key: int
    stream: int
    start: int
    end: int
    last: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, in this order. `write` has the requests whose answers go on, by their streams' numbers."""

    moves: tuple[Copy | Cut, ...] = ()
    write: tuple[int, ...] = ()
    read: Read | None = None

    @property
    def empty(self) -> bool:
        """True when there is nothing to compute."""
        return not self.write and self.read is None


@dataclass(slots=True, eq=False)
class _Stream:
    """`prompt` are the tokens that it has or is to have, `read` says how many of them it has."""

    number: int
    prompt: Sequence[int] = ()
    read: int = 0
    owner: int | None = None
    used: int = 0
    leader: _Stream | None = None
    """The stream that reads a common beginning, which this one waits for."""
    goal: int = 0

    @property
    def writes(self) -> bool:
        return self.owner is not None and self.leader is None and self.read == len(self.prompt)

    @property
    def reads(self) -> bool:
        return self.owner is not None and self.leader is None and self.read < len(self.prompt)

    def follows(self, other: _Stream) -> bool:
        one: _Stream | None = self
        while one is not None and one is not other:
            one = one.leader
        return one is other


@dataclass(slots=True)
class Schedule:
    """The streams of one context. `shares` is False where a memory cannot be cut or copied in the middle."""

    streams: int
    chunk: int
    shares: bool = True
    _all: list[_Stream] = field(init=False)
    _waiting: deque[tuple[int, Sequence[int]]] = field(init=False, default_factory=deque)
    _clock: int = field(init=False, default=0)
    _written: int = field(init=False, default=0)
    _paused: float = field(init=False, default=0.0)
    _pace: float = field(init=False, default=math.inf)
    """Seconds that reading a chunk takes."""
    _turn: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self._all = [_Stream(number) for number in range(self.streams)]

    @property
    def busy(self) -> bool:
        """True while any request is here."""
        return bool(self._waiting) or any(stream.owner is not None for stream in self._all)

    @property
    def reading(self) -> bool:
        """True while a prompt is not read to its end, or waits."""
        return bool(self._waiting) or any(stream.owner is not None and not stream.writes for stream in self._all)

    def add(self, key: int, prompt: Sequence[int]) -> None:
        """A request has come, with a prompt of at least one token."""
        self._waiting.append((key, prompt))

    def remove(self, key: int) -> None:
        """A request is over; what its stream has of whole chunks stays for those that come later."""
        self._waiting = deque(one for one in self._waiting if one[0] != key)
        for stream in self._all:
            if stream.owner == key:
                solid = self._solid(stream)
                stream.prompt, stream.read = stream.prompt[:solid], solid
                stream.owner = stream.leader = None
                stream.used = self._tick()

    def done(self, read: Read, seconds: float) -> None:
        """That chunk has been read, in so many seconds."""
        self._all[read.stream].read = read.end
        # The last chunk of a prompt is shorter than others, and sooner read.
        self._pace = seconds if self._pace == math.inf else max(seconds, self._pace * FORGETTING)
        if any(stream.writes and stream.number != read.stream for stream in self._all):
            self._paused += seconds

    def next(self) -> Step:
        """The next step. What it moves counts as moved; what it reads is told by `done`."""
        moves: list[Copy | Cut] = []
        for stream in self._all:
            if stream.leader is not None and self._must_settle(stream):
                self._settle(stream, moves)
        self._admit(moves)
        write = tuple(stream.number for stream in self._all if stream.writes)
        readers = [stream for stream in self._all if stream.reads]
        if readers and write and self._is_soon_over(readers):
            self._written = 0
            return Step(tuple(moves), (), self._read(readers))
        if self._written >= WRITES_PER_READ:
            self._paused = 0.0
        read = None
        if readers and (not write or self._written >= WRITES_PER_READ):
            self._written = 0
            read = self._read(readers)
        else:
            self._written += 1
        return Step(tuple(moves), write, read)

    def key_of(self, stream: int) -> int:
        """The request in a stream that has one."""
        owner = self._all[stream].owner
        assert owner is not None
        return owner

    def _is_soon_over(self, readers: list[_Stream]) -> bool:
        """Whether the running answers can wait until all that is to be read has been."""
        left = sum(math.ceil((len(stream.prompt) - stream.read) / self.chunk) for stream in readers)
        return self._paused + left * self._pace <= PAUSE

    def _read(self, readers: list[_Stream]) -> Read:
        """The next chunk, of one reader after another."""
        stream = next((one for one in readers if one.number > self._turn), readers[0])
        self._turn = stream.number
        end = min(stream.read + self.chunk, len(stream.prompt))
        assert stream.owner is not None
        return Read(stream.owner, stream.number, stream.read, end, end == len(stream.prompt))

    def _admit(self, moves: list[Copy | Cut]) -> None:
        while self._waiting:
            free = [stream for stream in self._all if stream.owner is None]
            if not free:
                return
            key, prompt = self._waiting.popleft()
            stream = self._place(prompt, free)
            kept = min(self._common(stream, prompt), self._most(prompt))
            moves.append(Cut(stream.number, kept))
            stream.prompt, stream.read, stream.owner, stream.used = prompt, kept, key, self._tick()
            self._settle(stream, moves)

    def _place(self, prompt: Sequence[int], free: list[_Stream]) -> _Stream:
        """The free stream for a prompt: the one that has most of it, unless much else in it would be lost."""
        best = max(free, key=lambda stream: (self._common(stream, prompt), -stream.number))
        common = self._common(best, prompt)
        if common and (len(free) == 1 or best.read - common <= common):
            return best
        others = [stream for stream in free if stream is not best] if common else free
        return min(others, key=lambda stream: (stream.used if stream.read else -1, stream.number))

    def _settle(self, stream: _Stream, moves: list[Copy | Cut]) -> None:
        """Give a stream the beginning of its prompt that another one has, or let it wait for one that reads it."""
        stream.leader = None
        most = self._most(stream.prompt)
        leader, goal, now = None, stream.read, 0
        for other in self._all:
            if other is stream or other.follows(stream):
                continue
            common = min(self._alike(other.prompt, stream.prompt), most)
            has = min(common, self._solid(other))
            will = common if other.owner is not None else has
            if (will, has) > (goal, now):
                leader, goal, now = other, will, has
        if leader is None or goal <= stream.read:
            return
        if now >= goal:
            moves.append(Copy(leader.number, stream.number, goal))
            stream.read = goal
            leader.used = self._tick()
        else:
            stream.leader, stream.goal = leader, goal

    def _must_settle(self, stream: _Stream) -> bool:
        """True when the leader has read what is common, or does not read it any more."""
        leader = stream.leader
        assert leader is not None
        if leader.owner is None or self._solid(leader) >= stream.goal:
            return True
        return self._alike(leader.prompt, stream.prompt) < stream.goal

    def _common(self, stream: _Stream, prompt: Sequence[int]) -> int:
        """How many tokens, in whole chunks, of `prompt` a stream has."""
        return min(self._alike(stream.prompt, prompt), self._solid(stream))

    def _solid(self, stream: _Stream) -> int:
        return stream.read // self.chunk * self.chunk if self.shares else 0

    def _most(self, prompt: Sequence[int]) -> int:
        """How much of a prompt may be taken over: whole chunks, and never its last token."""
        return (len(prompt) - 1) // self.chunk * self.chunk

    def _alike(self, one: Sequence[int], other: Sequence[int]) -> int:
        """How many tokens, in whole chunks, two prompts have in common."""
        if not self.shares:
            return 0
        shorter, at = min(len(one), len(other)), 0
        while at + self.chunk <= shorter and one[at : at + self.chunk] == other[at : at + self.chunk]:
            at += self.chunk
        return at

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
