from __future__ import annotations

import time

import pytest
from phloem.runtime.words import nearest, or_list, printable


def test_the_nearest_word_is_found_whatever_its_case():
    assert nearest("sett", ["in", "set", "title"]) == "set"
    assert nearest("TIMOUT", ["title", "timeout"]) == "timeout"
    assert nearest("llm.genrate", ["llm.generate", "llm.chat"]) == "llm.generate"
    assert nearest("zebra", ["set", "in"]) is None
    assert nearest("", ["a"]) is None
    assert nearest("set", []) is None
    assert nearest("icon", ["in"]) == "in"
    assert nearest("icon", ["in"], closeness=0.7) is None


def test_long_and_many_words_take_no_time():
    began = time.perf_counter()
    assert nearest("x" * 100_000, ["x" * 99_999]) is None
    assert nearest("xy", ("x" * 100_000 for _ in range(10))) is None
    nearest("w" * 100, (f"{number}" * 20 for number in range(10**6)))
    assert time.perf_counter() - began < 5


def test_lists_as_a_person_says_them():
    assert or_list([]) == ""
    assert or_list(["a"]) == "a"
    assert or_list(("a", "b")) == "a or b"
    assert or_list(["a", "b", "c"], "and") == "a, b and c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("größer 日本 🌱", "größer 日本 🌱"),
        ("\x1b[2Jgone", "�[2Jgone"),
        ("a\x07b\x08c\x7f\x9b1m", "a�b�c��1m"),
        ("\u202eabc", "�abc"),
        ("\ud800", "�"),
    ],
)
def test_printable_leaves_nothing_that_commands_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
