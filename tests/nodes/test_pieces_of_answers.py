"""From the bytes of tokens to text: whole characters, stop texts, and nothing shown too early."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.nodes.services.models.local.text import Pieces


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def shown(pieces: Pieces, tokens: list[bytes]) -> list[str]:
    return [*map(pieces.push, tokens), pieces.finish()]


@given(st.text(), st.lists(st.integers(0, 100)))
def test_a_text_comes_out_whole_however_its_bytes_are_cut(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    assert "".join(shown(Pieces(), in_pieces(data, cuts))) == data.decode()


@pytest.mark.slow
@given(st.text("abc\n", max_size=40), st.lists(st.integers(0, 40)), st.lists(st.text("abc\n", min_size=1, max_size=4)))
def test_a_text_ends_before_the_first_stop_text_and_shows_nothing_of_it(
    text: str, cuts: list[int], stops: list[str]
) -> None:
    pieces = Pieces(stops)
    so_far = ""
    for token in in_pieces(text.encode(), cuts):
        so_far += pieces.push(token)
        assert not any(stop in so_far for stop in stops)
        if pieces.stopped:
            break
    so_far += pieces.finish()
    complete = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert so_far == (text[: min(complete)[1]] if complete else text)
    assert pieces.stopped == bool(complete)


def test_what_may_begin_a_stop_text_waits_and_what_may_not_does_not() -> None:
    pieces = Pieces(["###"])
    assert [pieces.push(token) for token in (b"one #", b"# two", b" ##", b"#")] == ["one ", "## two", " ", ""]
    assert pieces.stopped


def test_a_character_in_several_tokens_is_shown_when_it_is_complete() -> None:
    pieces = Pieces()
    assert [pieces.push(bytes([byte])) for byte in "€".encode()] == ["", "", "€"]


def test_bytes_that_are_no_text_become_the_replacement_character() -> None:
    assert "".join(shown(Pieces(), [b"a\xff", b"b\xe2\x82"])) == "a\ufffdb\ufffd"


def test_one_space_at_the_start_can_be_left_out() -> None:
    assert shown(Pieces(skip_space=True), [b"  yes", b" no"]) == [" yes", " no", ""]
    assert shown(Pieces(skip_space=True), [b"yes"]) == ["yes", ""]
