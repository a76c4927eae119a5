"""How two values differ, in a few lines that a person can read."""

from __future__ import annotations

import pytest
from phloem.runtime.journal import values_compared
from phloem.runtime.journal.values_compared import value_lines
from phloem.runtime.values import UNLIT, Blob, Document, Message


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a b c", "a x c", ["a [-b-]{+x+} c"]),
        ("", "new", ["{+new+}"]),
        (" ".join("abcdefghijkl"), " ".join("Xbcdefghijkl"), ["[-a-]{+X+} b c d e…"]),
        ("one\ntwo\nthree", "one\n2\nthree", ["  one", "- two", "+ 2", "  three"]),
        (9, 12, ["9 → 12 (+3)"]),
        (0.5, 0.25, ["0.5 → 0.25 (-0.25)"]),
        ("same" * 30_000, "same" * 30_000 + "!", ["120,000 → 120,001 characters, which differ from the 120,001th on:", '  "" → "!"']),
        (True, False, ["true → false"]),
        (None, UNLIT, ["null → (not lit)"]),
        ([1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0], ["vector of 4: cosine 0.7071, largest difference 1"]),
        ([[1, 0, 0, 0]] * 3, [[1, 0, 0, 0]] * 2 + [[0, 1, 0, 0]], ["3 items, 1 of 3 differ", "  the least cosine of their vectors is 0.0000"]),
        (["a", "b"], ["a", "c", "d"], ["2 → 3 items, 1 of 2 differ", "  2. [-b-]{+c+}"]),
        ({"a": 1, "b": 2}, {"a": 1, "c": 3}, ["- b: 2", "+ c: 3"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ["the same fields in another order"]),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, ["  a:   b:", "        1 items"]),
        (Document("x y", "T"), Document("x z", "T"), ["  text: x [-y-]{+z+}"]),
        (Message("user", "hi"), "hi", ["hi → \"hi\""]),
        (Blob(b"ab", "a.png"), Blob(b"abc", "a.png"), ["a.png, 2 bytes → a.png, 3 bytes"]),
        (float("nan"), float("nan"), None),
        (10**400, 1.5, ["1" + "0" * 59 + " → 1.5"]),
        ([10**5_000] * 4, [1.0] * 4, ["4 items, 4 of 4 differ", "  1. an integer of 16,610 bits → 1.0", "  2. an integer of 16,610 bits → 1.0", "  3. an integer of 16,610 bits → 1.0", "  … and 1 more"]),
        ("a" + " " * 700, "a" + " " * 650, None),
    ],
)  # fmt: skip
def test_values_are_compared_in_words(before, after, lines):
    found = value_lines(before, after)
    if lines is None or "items" in lines[-1]:
        assert found
    else:
        assert found == lines


def test_of_great_values_only_what_is_shown_is_compared(monkeypatch):
    compared = []
    real = values_compared.SequenceMatcher
    monkeypatch.setattr(values_compared, "SequenceMatcher", lambda *words, **more: compared.append(1) or real(*words, **more))  # fmt: skip
    monkeypatch.setattr(values_compared, "text_lines", lambda *texts: pytest.fail("great texts line by line"))
    assert len(value_lines("word " * 200_000, "other " * 200_000)) == 2 and compared == []
    assert len(value_lines([str(n) for n in range(50_000)], [str(n + 1) for n in range(50_000)])) == 5
    assert len(compared) == values_compared.MOST_PARTS
