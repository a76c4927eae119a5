"""Which request is in which stream, what is read once, and what is computed together: decided without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.nodes.services.models.local.groups import TRIED_AGAIN, Group, Groups
from phloem.nodes.services.models.local.schedule import PAUSE, WRITES_PER_READ, Copy, Cut, Read, Schedule, Step

CHUNK = 4


@dataclass
class Memory:
    """Streams that hold the tokens themselves: what a schedule does to them can be looked at."""

    schedule: Schedule
    seconds: float
    """What reading a chunk takes."""
    streams: list[list[int]] = field(default_factory=list)
    prompts: dict[int, Sequence[int]] = field(default_factory=dict)
    where: dict[int, int] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    written: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = [[] for _ in range(self.schedule.streams)]

    def add(self, key: int, prompt: Sequence[int]) -> None:
        self.prompts[key] = list(prompt)
        self.schedule.add(key, self.prompts[key])

    def step(self) -> Step:
        """Do the next step, and see that every request reads on where its stream ends, in whole chunks."""
        step = self.schedule.next()
        for move in step.moves:
            if isinstance(move, Copy):
                assert len(self.streams[move.source]) >= move.keep
                self.streams[move.target] = self.streams[move.source][: move.keep]
            else:
                assert isinstance(move, Cut)
                assert len(self.streams[move.stream]) >= move.keep
                del self.streams[move.stream][move.keep :]
        for stream in step.write:
            key = self.schedule.key_of(stream)
            had = self.streams[stream]
            assert had[: len(self.prompts[key])] == list(self.prompts[key])
            had.append(-1)
            self.written[key] = self.written.get(key, 0) + 1
        if step.read is not None:
            self._read(step.read)
        return step

    def _read(self, read: Read) -> None:
        had, prompt = self.streams[read.stream], self.prompts[read.key]
        assert had == list(prompt[: read.start])
        assert read.start % CHUNK == 0
        assert read.end == min(read.start + CHUNK, len(prompt))
        assert read.last == (read.end == len(prompt))
        had += prompt[read.start : read.end]
        self.reads.append(read)
        self.where[read.key] = read.stream
        self.schedule.done(read, self.seconds)

    def read_all(self) -> None:
        """Work until every prompt has been read."""
        for _ in range(1000):
            if not self.schedule.busy or (not self.step().read and not self.unread()):
                return

    def unread(self) -> set[int]:
        """Requests whose last chunk was not read."""
        return self.prompts.keys() - {read.key for read in self.reads if read.last}

    def chunks(self) -> int:
        return len(self.reads)


def memory(streams: int = 4, *, shares: bool = True, seconds: float = 2 * PAUSE) -> Memory:
    return Memory(Schedule(streams, CHUNK, shares), seconds)


def test_a_prompt_is_read_in_chunks_and_then_written_after() -> None:
    one = memory()
    one.add(1, range(10))
    steps = [one.step() for _ in range(5)]
    assert [(step.read.start, step.read.end) for step in steps if step.read] == [(0, 4), (4, 8), (8, 10)]
    assert [step.write for step in steps] == [(), (), (), (0,), (0,)]


def test_a_beginning_that_several_share_is_read_once() -> None:
    one = memory(8)
    shared = list(range(100, 140))
    for key in range(8):
        one.add(key, [*shared, key, key, key])
    one.read_all()
    assert one.chunks() == 10 + 8
    assert not one.unread()


def test_a_request_that_comes_later_shares_with_one_that_still_reads() -> None:
    one = memory()
    shared = list(range(100, 140))
    one.add(1, [*shared, 1])
    one.step()
    one.step()
    one.add(2, [*shared, 2])
    one.read_all()
    assert one.chunks() == 12
    assert {read.start for read in one.reads if read.key == 2} == {40}


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    one = memory()
    for key in (1, 2):
        one.add(key, range(8))
        one.read_all()
        one.schedule.remove(key)
    assert [(read.key, read.start, read.end) for read in one.reads] == [(1, 0, 4), (1, 4, 8), (2, 4, 8)]


def test_what_was_read_is_known_to_those_that_come_later() -> None:
    one = memory()
    one.add(1, range(21))
    one.read_all()
    one.schedule.remove(1)
    one.add(2, [*range(18), 77])
    one.read_all()
    assert [read.start for read in one.reads if read.key == 2] == [16]


def test_a_short_beginning_is_copied_so_that_the_long_rest_stays_known() -> None:
    one = memory(3)
    talk = list(range(60))
    one.add(1, talk)
    one.read_all()
    one.schedule.remove(1)
    one.add(2, [*talk[:8], 500, 501, 502])
    one.read_all()
    one.schedule.remove(2)
    before = one.chunks()
    one.add(3, [*talk, 9])
    one.read_all()
    assert one.chunks() == before + 1


def test_the_stream_used_longest_ago_is_given_away_first() -> None:
    one = memory(2)
    for key, first in enumerate((100, 200)):
        one.add(key, range(first, first + 9))
        one.read_all()
        one.schedule.remove(key)
    one.add(7, range(300, 309))
    one.read_all()
    one.schedule.remove(7)
    one.add(8, range(200, 209))
    one.read_all()
    assert [read.start for read in one.reads if read.key == 8] == [8]


def test_those_that_share_go_on_when_the_one_that_reads_for_them_is_cancelled() -> None:
    one = memory(4)
    shared = list(range(100, 140))
    for key in range(3):
        one.add(key, [*shared, key])
    for _ in range(4):
        one.step()
    one.schedule.remove(0)
    del one.prompts[0]
    one.read_all()
    assert not one.unread()
    assert one.chunks() == 4 + 6 + 2


def test_requests_beyond_the_streams_wait_and_come_in_order() -> None:
    one = memory(2)
    for key in range(5):
        one.add(key, [key * 50 + place for place in range(6)])
    order = []
    for _ in range(100):
        step = one.step()
        for stream in step.write:
            key = one.schedule.key_of(stream)
            order.append(key)
            one.schedule.remove(key)
        if not one.schedule.busy:
            break
    assert order == [0, 1, 2, 3, 4]


def test_a_long_prompt_does_not_hold_up_what_is_being_written() -> None:
    one = memory(2)
    one.add(1, [1])
    one.read_all()
    one.add(2, range(100))
    before = one.written.get(1, 0)
    while one.unread():
        one.step()
    assert one.written[1] - before >= 24 * WRITES_PER_READ


def test_what_is_soon_read_is_read_before_the_answers_go_on() -> None:
    """Eight that come at once are then written together, from the first token to the last."""
    one = memory(8, seconds=PAUSE / 20)
    for key in range(8):
        one.add(key, [key * 50 + place for place in range(6)])
    writes = [one.step().write for _ in range(2 * 8 + 5)]
    assert writes == [()] * 16 + [tuple(range(8))] * 5


def test_answers_do_not_stand_still_for_longer_than_the_pause() -> None:
    """Short requests that come one after the other, without end, each over after one token."""
    one = memory(3, seconds=PAUSE / 10)
    one.add(0, [1])
    one.read_all()
    before, reads = one.written.get(0, 0), one.chunks()
    for key in range(1, 201):
        one.add(key, [key, key + 1])
        step = one.step()
        for owner in [one.schedule.key_of(stream) for stream in step.write]:
            if owner:
                one.schedule.remove(owner)
    paused = (one.chunks() - reads) / 10
    assert paused >= 5
    assert one.written[0] - before >= paused * WRITES_PER_READ


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    one = memory(2)
    one.add(1, range(400))
    one.step()
    one.add(2, [7, 7, 7])
    for _ in range(3):
        one.step()
    assert 2 not in one.unread()


def test_a_memory_that_cannot_be_cut_shares_nothing() -> None:
    one = memory(2, shares=False)
    one.add(1, range(20))
    one.read_all()
    one.schedule.remove(1)
    one.add(2, range(20))
    one.read_all()
    assert [read.start for read in one.reads if read.key == 2] == [0, 4, 8, 12, 16]


prompts = st.lists(st.integers(0, 1), min_size=1, max_size=24)
acts = st.lists(st.one_of(prompts, st.integers(0, 30), st.none()), max_size=60)


@given(acts, st.integers(1, 5), st.sampled_from([0.05, 0.4, 2.0]))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_and_goes_every_request_is_read_and_written(
    acts: list[list[int] | int | None], streams: int, share: float
) -> None:
    """A list is a request that comes, a number one that is cancelled, None a step; Memory checks each of them."""
    one = memory(streams, seconds=PAUSE * share)
    here: set[int] = set()
    for key, act in enumerate(acts):
        if isinstance(act, list):
            one.add(key, act)
            here.add(key)
        elif act is None:
            one.step()
        elif act in here:
            here.discard(act)
            one.schedule.remove(act)
    for _ in range(3000):
        one.step()
        for key in [key for key in here if one.written.get(key, 0) >= 3]:
            here.discard(key)
            one.schedule.remove(key)
        if not here:
            break
    assert not here
    assert not one.schedule.busy
    assert one.schedule.next().empty


# Groups


def tried(groups: Groups, streams: Sequence[int], *, same: int = 99, cost: float = 1.0) -> list[Group]:
    """Split and play: up to `same` streams together are exact, and a group takes 1 second and `cost` for each more."""
    split = groups.split(streams)
    for group in split:
        size = len(group.streams)
        if group.trial:
            for _ in group.streams:
                groups.took(1, 1.0)
            groups.tried(size, same=size <= same, seconds=1 + cost * (size - 1))
        else:
            groups.took(size, 1 + cost * (size - 1))
    return split


def sizes(split: list[Group]) -> list[int]:
    return [len(group.streams) for group in split]


def test_a_number_of_streams_is_tried_the_first_time_and_then_done_if_faster() -> None:
    groups = Groups(8)
    assert tried(groups, [0]) == [Group((0,))]
    assert tried(groups, range(4), cost=0.1) == [Group((0, 1, 2, 3), trial=True)]
    assert tried(groups, range(4), cost=0.1) == [Group((0, 1, 2, 3))]


def test_what_is_slower_together_is_done_one_by_one() -> None:
    groups = Groups(8)
    tried(groups, [0])
    tried(groups, range(4), cost=1.5)
    assert sizes(tried(groups, range(4), cost=1.5)) == [1, 1, 1, 1]


def test_what_is_not_the_same_is_never_done_and_smaller_numbers_are_tried() -> None:
    groups = Groups(8)
    tried(groups, [0])
    for _ in range(10):
        tried(groups, range(8), same=3, cost=0.1)
    assert max(sizes(groups.split(range(8)))) == 3
    for _ in range(2000):
        assert all(group.trial or len(group.streams) <= 3 for group in groups.split(range(8)))


def test_only_consecutive_streams_are_computed_together() -> None:
    groups = Groups(8)
    tried(groups, [0])
    split = tried(groups, [0, 1, 4, 6, 7])
    assert [group.streams for group in split] == [(0, 1), (4,), (6, 7)]


def test_what_is_slow_is_tried_again_after_a_while() -> None:
    groups = Groups(8)
    tried(groups, [0])
    tried(groups, range(4), cost=1.5)
    trials = sum(group.trial for _ in range(TRIED_AGAIN + 2) for group in tried(groups, range(4), cost=0.1))
    assert trials == 1
    assert sizes(groups.split(range(4))) == [4]


@pytest.mark.parametrize("streams", [[], [3], [1, 2, 3], [0, 2, 4]])
def test_every_stream_is_in_one_group(streams: list[int]) -> None:
    groups = Groups(8)
    for _ in range(3):
        assert [stream for group in tried(groups, streams) for stream in group.streams] == streams
