"""The text kinds: what they do with ordinary text, with odd text, and with settings that make no sense."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.errors import InputError, SettingError
from support.kinds import call

TEXTS = st.text(st.sampled_from(list("ab .!?\n\t\r\u00a0\u00e9\u4e2d,\ud800\U0001f600")), max_size=60)


def without_space(text: str) -> str:
    return "".join(text.split())


# text.split


def split(text: str, **settings: Any) -> list[str]:
    pieces: list[str] = call("text.split", {"text": text, **settings})
    return pieces


def test_splitting_knows_abbreviations() -> None:
    text = "Dr. Kay, of 12 St. James's St., built it in 1733. It cost 3.5 pounds! Who paid?"
    assert split(text) == ["Dr. Kay, of 12 St. James's St., built it in 1733.", "It cost 3.5 pounds!", "Who paid?"]


def test_splitting_knows_other_languages() -> None:
    assert split("これは文です。これも文です！", language="ja") == ["これは文です。", "これも文です！"]
    assert split("Das ist z. B. ein Satz. Noch einer.", language="de") == ["Das ist z. B. ein Satz.", "Noch einer."]
    for language in ("no such language", "", "é\ud800"):
        assert split("One. Two.", language=language) == ["One.", "Two."]


def test_pieces_are_cut_out_of_the_text_as_it_stands() -> None:
    text = "One  two.\nThree   four.  Five."
    assert split(text, size=2) == ["One  two.\nThree   four.", "Five."]
    assert split("a  b\tc d", by="words", size=3) == ["a  b\tc", "d"]


def test_overlap_repeats_the_end_of_the_piece_before() -> None:
    assert split("a b c d e", by="words", size=3, overlap=2) == ["a b c", "b c d", "c d e"]
    assert split("a b c d", by="words", size=3, overlap=1) == ["a b c", "c d"]


def test_the_last_piece_is_not_contained_in_the_one_before() -> None:
    assert split("a b c", by="words", size=3, overlap=2) == ["a b c"]
    assert split("abcdef", by="characters", size=4, overlap=2) == ["abcd", "cdef"]


def test_paragraphs_lines_and_separators() -> None:
    text = "one\ntwo\n \t\n\n  three\r\n\r\nfour"
    assert split(text, by="paragraphs") == ["one\ntwo", "three", "four"]
    assert split(text, by="lines") == ["one", "two", " \t", "  three", "four"]
    assert split("a--b-- --c", by="separator", separator="--") == ["a", "b", "c"]
    assert split("a.b", by="separator", separator=".") == ["a", "b"]


def test_words_of_languages_without_spaces() -> None:
    assert split("織機 weaves 布", by="words") == ["織", "機", "weaves", "布"]


def test_longest_bounds_every_piece() -> None:
    text = "A short one. " * 3 + "Averyveryverylongwordwithoutanyspace and more of it."
    pieces = split(text, size=10, longest=20)
    assert max(map(len, pieces)) <= 20
    assert without_space("".join(pieces)) == without_space(text)
    assert split("abcdef", by="characters", size=5, longest=2) == ["ab", "cd", "ef"]


def test_nothing_makes_no_pieces() -> None:
    for by in ("sentences", "words", "paragraphs", "lines", "separator", "characters"):
        assert split("", by=by) == []
        if by not in ("characters", "lines"):
            assert split(" \n \n", by=by) == []


@given(
    TEXTS,
    st.sampled_from(["sentences", "words", "paragraphs", "lines"]),
    st.integers(1, 4),
    st.integers(0, 12),
)
def test_splitting_loses_nothing_but_white_space(text: str, by: str, size: int, longest: int) -> None:
    pieces = split(text, by=by, size=size, longest=longest)
    assert without_space("".join(pieces)) == without_space(text)
    assert all(piece in text for piece in pieces)
    assert all(not longest or len(piece) <= longest for piece in pieces)


@given(TEXTS, st.integers(2, 5), st.integers(0, 1))
def test_characters_lose_nothing_at_all(text: str, size: int, overlap: int) -> None:
    pieces = split(text, by="characters", size=size, overlap=overlap)
    assert "".join(piece[overlap if index else 0 :] for index, piece in enumerate(pieces)) == text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 0}, "size is 0; the least is 1"),
        ({"size": 2.5}, "takes a whole number"),
        ({"size": 2, "overlap": 2}, "overlap (2) must be less than size (2)"),
        ({"by": "separator", "separator": ""}, "separator is empty"),
        ({"by": "sentence"}, "Did you mean sentences?"),
        ({"overlap": -1}, "overlap is -1"),
    ],
)
def test_settings_of_split_that_make_no_sense(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        split("One. Two.", **settings)
    assert words in str(caught.value)


def test_splitting_into_too_many_pieces_is_refused() -> None:
    with pytest.raises(SettingError, match="more than 1,000,000 pieces"):
        split("a" * 1_000_001, by="characters")
    with pytest.raises(SettingError, match="overlap less"):
        split("a " * 40_000, by="words", size=5_000, overlap=4_999)


@pytest.mark.slow
def test_splitting_nonsense_ends_in_good_time() -> None:
    began = time.perf_counter()
    assert split("« " * 100_000) == [("« " * 100_000).strip()]
    assert len(split("x" * 1_000_000)) == 1
    assert time.perf_counter() - began < 20


def test_a_long_text_is_cut_where_its_parts_would_be() -> None:
    sentence = "Dr. Kay came at 5 p.m. to see it. "
    assert split(sentence * 1_000) == [sentence.strip()] * 1_000


# text.join


def test_joining() -> None:
    assert call("text.join", {"texts": ["a", "b"]}) == "a\nb"
    assert call("text.join", {"texts": []}) == ""


# text.replace and text.match


def test_replacing_is_by_regular_expression_unless_it_is_plain() -> None:
    assert call("text.replace", {"text": "a.b", "pattern": ".", "replacement": "x"}) == "xxx"
    assert call("text.replace", {"text": "a.b", "pattern": ".", "replacement": "x", "plain": True}) == "axb"


def test_a_plain_replacement_is_put_as_it_is_written() -> None:
    inputs = {"text": "A.a", "pattern": "a", "replacement": r"\1", "plain": True, "ignore_case": True}
    assert call("text.replace", inputs) == r"\1.\1"


def test_replacing_the_first_so_many() -> None:
    assert call("text.replace", {"text": "aaa", "pattern": "a", "replacement": "b", "count": 2}) == "bba"
    assert call("text.replace", {"text": "aaa", "pattern": "a", "replacement": "b", "count": 2, "plain": True}) == "bba"


def test_groups_in_the_replacement() -> None:
    inputs = {"text": "Kay, John", "pattern": r"(?P<last>\w+), (\w+)", "replacement": r"\2 \g<last>\\"}
    assert call("text.replace", inputs) == "John Kay\\"


@given(TEXTS, st.sampled_from(["a", "", "a*", r"\b", "$", "[ab]+", "."]))
def test_replacing_agrees_with_the_library(text: str, pattern: str) -> None:
    import regex

    if pattern:
        wanted = regex.sub(pattern, r"<\g<0>>", text)
        assert call("text.replace", {"text": text, "pattern": pattern, "replacement": r"<\g<0>>"}) == wanted


@pytest.mark.parametrize("replacement", [r"\3", r"\g<no>", "\\g<"])
def test_a_replacement_that_does_not_fit(replacement: str) -> None:
    with pytest.raises(SettingError, match="does not fit the pattern"):
        call("text.replace", {"text": "a", "pattern": "(a)", "replacement": replacement})


def test_replacing_cannot_fill_the_memory() -> None:
    text = "a" * 100_000
    for plain in (True, False):
        with pytest.raises(SettingError, match="more than"):
            call("text.replace", {"text": text, "pattern": "a", "replacement": text, "plain": plain})


def test_matches_groups_and_the_first() -> None:
    found = call("text.match", {"text": "a1 b c3", "pattern": r"([a-c])(\d)?", "group": "2"})
    assert found["matches"] == ["1", "", "3"]
    assert found["first"] == "1"
    assert found["groups"][1] == {"1": "b", "2": None}


def test_matching_letters_of_any_script_and_without_case() -> None:
    assert call("text.match", {"text": "Ärger 12 вода", "pattern": r"\p{L}+"})["matches"] == ["Ärger", "вода"]
    assert call("text.match", {"text": "ÄRGER", "pattern": "ärger", "ignore_case": True})["found"] is True
    assert call("text.match", {"text": "a+b", "pattern": "A+", "plain": True, "ignore_case": True})["matches"] == ["a+"]
    assert call("text.match", {"text": "aaa", "pattern": "a", "count": 2})["matches"] == ["a", "a"]


def test_a_group_that_is_not_there() -> None:
    with pytest.raises(SettingError, match="no group 9"):
        call("text.match", {"text": "a", "pattern": "(a)", "group": "9" * 5000})
    with pytest.raises(SettingError, match="no group year"):
        call("text.match", {"text": "a", "pattern": "(a)", "group": "year"})


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "*a", r"\p{Nope}", "(?P<1>a)"])
def test_a_pattern_that_is_none_says_so(pattern: str) -> None:
    with pytest.raises(SettingError, match="not a regular expression"):
        call("text.match", {"text": "a", "pattern": pattern})


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern",
    [
        r"(a|a)*$",
        r"(.*?,){25}P",
        "a{100000000}",
        "(?:(?:a{100}){100}){1000}",
        "(?:a{9999}){9999}",
        "a{4000000000}",
        "a" * 9_000,
        "(?R)?a",
        "(?<x>a)(?&x)",
        "(" * 5_000,
    ],
)
def test_a_pattern_that_would_hang_ends_in_an_error(pattern: str) -> None:
    began = time.perf_counter()
    with pytest.raises(SettingError):
        call(
            "text.match",
            {
                "text": "a" * 60 + "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25",
                "pattern": pattern,
            },
        )
    assert time.perf_counter() - began < 20


@pytest.mark.slow
def test_groups_cannot_fill_the_memory() -> None:
    with pytest.raises(SettingError, match="pieces"):
        call("text.match", {"text": "a" * 2_000, "pattern": "a" + "(b)?" * 1_000})


def test_ordinary_patterns_with_many_counts_are_fine() -> None:
    pattern = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}" + r"(?:\w{20}){20}|x{3}" * 5
    assert call("text.match", {"text": "2024-05-01", "pattern": pattern})["found"] is False
    assert call("text.match", {"text": "x" * 5_000, "pattern": r"[x{3}]{5000}"})["found"] is True


# text.slice, text.count, text.case, text.trim


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, "one two\nthree. Four."),
        ({"start": -5}, "Four."),
        ({"end": 3}, "one"),
        ({"start": 1, "end": 3, "unit": "words"}, "two\nthree."),
        ({"start": 1, "unit": "lines"}, "three. Four."),
        ({"start": -1, "unit": "sentences"}, "Four."),
        ({"start": 9, "unit": "words"}, ""),
        ({"start": 3, "end": 1}, ""),
    ],
)
def test_taking_a_part(settings: dict[str, Any], wanted: str) -> None:
    assert call("text.slice", {"text": "one two\nthree. Four.", **settings}) == wanted


def test_empty_lines_count_when_lines_are_taken() -> None:
    assert call("text.slice", {"text": "a\n\nb\nc", "start": 1, "end": 3, "unit": "lines"}) == "\nb"


def test_counting() -> None:
    assert call("text.count", {"text": ""}) == {"characters": 0, "words": 0, "sentences": 0, "lines": 0}
    assert call("text.count", {"text": "a b.\n\nC d?\n"}) == {"characters": 11, "words": 4, "sentences": 2, "lines": 3}


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        ("lower", "john's ÉLAN-vital 2".lower()),
        ("upper", "JOHN'S ÉLAN-VITAL 2"),
        ("title", "John's Élan-Vital 2"),
        ("sentence", "John's ÉLAN-vital 2"),
        ("snake", "john_s_élan_vital_2"),
        ("kebab", "john-s-élan-vital-2"),
    ],
)
def test_cases(to: str, wanted: str) -> None:
    assert call("text.case", {"text": "john's ÉLAN-vital 2", "to": to}) == wanted


def test_trimming() -> None:
    assert call("text.trim", {"text": " a ", "side": "start"}) == "a "
    assert call("text.trim", {"text": " a ", "side": "end"}) == " a"
    assert call("text.trim", {"text": "abcdef", "longest": 4}) == "abc…"
    assert call("text.trim", {"text": "ab cdef", "longest": 5, "ending": ""}) == "ab"
    with pytest.raises(SettingError, match="does not fit"):
        call("text.trim", {"text": "abcdef", "longest": 2, "ending": "..."})


@given(TEXTS, st.integers(2, 20))
def test_shortened_text_is_never_longer_than_asked(text: str, longest: int) -> None:
    assert len(call("text.trim", {"text": text, "longest": longest})) <= longest


def test_a_joined_text_is_bounded() -> None:
    with pytest.raises(InputError, match="the most is"):
        call("text.join", {"texts": ["x"] * 200, "separator": "y" * 1_000_000})
