"""Texts read by our own recogniser, and answers that were cut off closed in the shortest way."""

from __future__ import annotations

import itertools
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phloem.nodes.services.models.forms import form_of
from phloem.nodes.services.models.forms.grammar import Grammar
from phloem.nodes.services.models.forms.recogniser import Recogniser
from phloem.nodes.services.models.forms.shortest import ENDLESS, Shortest
from phloem.nodes.services.models.forms.tree import NOTHING, Alt, Chars, Node, Ref, Repeat, Seq, Text, alt, repeat, seq
from phloem.runtime.errors import ServiceError, SettingError
from support.counting import calls

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 18},
        "tags": {"type": "array", "items": {"enum": ["a", "bb"]}, "minItems": 1},
    },
    "required": ["name", "age", "tags"],
}


@pytest.mark.parametrize(
    ("form", "cut", "closed"),
    [
        ({"schema": PERSON}, "", '{"name":"","age":18,"tags":["a"]}'),
        ({"schema": PERSON}, '{"na', '{"name":"","age":18,"tags":["a"]}'),
        ({"schema": PERSON}, '{"name": "Ada', '{"name": "Ada","age":18,"tags":["a"]}'),
        ({"schema": PERSON}, '{"name": "\\', '{"name": "\\"","age":18,"tags":["a"]}'),
        ({"schema": PERSON}, '{"name": "\\ud83d', '{"name": "\\ud83d\\uDC00","age":18,"tags":["a"]}'),
        ({"schema": PERSON}, '{"name": "x", "age": 1', '{"name": "x", "age": 18,"tags":["a"]}'),
        ({"schema": PERSON}, '{"name": "x", "age": 19, "tags": ["b', '{"name": "x", "age": 19, "tags": ["bb"]}'),
        ({"schema": PERSON}, '{"name": "x", "age": 19, "tags": ["bb"', '{"name": "x", "age": 19, "tags": ["bb"]}'),
        ({"schema": PERSON}, '{"name": "x", "age": 19, "tags": ["bb"]}', '{"name": "x", "age": 19, "tags": ["bb"]}'),
        ({"schema": {"type": "boolean"}}, "f", "false"),
        ({"schema": {}}, '[{"a": [1, {"b": nul', '[{"a": [1, {"b": null}]}]'),
        ({"schema": {"type": "string", "format": "date"}}, '"2024-02-3', None),
        ({"schema": {"type": "string", "format": "date"}}, '"2024-02-2', '"2024-02-20"'),
        ({"schema": {"type": "number", "minimum": -1.5, "maximum": -1.25}}, "-1.", "-1.3"),
        ({"pattern": r"\d{3}-\d{2}"}, "12", "120-00"),
        ({"pattern": "(ab)*c"}, "ababa", "abababc"),
        ({"choices": ["yes", "yesterday", "no"]}, "ye", "yes"),
        ({"choices": ["yes", "yesterday", "no"]}, "yest", "yesterday"),
        ({"choices": ["café"]}, "caf\ufffd", "café"),
        ({"choices": ["yes"]}, "no", None),
        ({"grammar": 'root ::= "(" root ")" | "x"'}, "((", "((x))"),
        ({"grammar": 'root ::= "a"+ | "b"'}, "", "a"),
    ],
)
def test_an_answer_that_was_cut_off_is_closed_in_the_shortest_way(
    form: dict[str, Any], cut: str, closed: str | None
) -> None:
    ready = form_of(form)
    if closed is None:
        with pytest.raises(ServiceError, match="not the beginning of one that fits"):
            ready.close(cut)
    else:
        assert ready.close(cut) == closed
        ready.read(closed)


def test_an_answer_that_cannot_be_closed_well_is_an_error() -> None:
    form = form_of({"schema": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}})
    assert form.close("[1, 2") == "[1, 2]"
    with pytest.raises(ServiceError, match="non-unique"):
        form.close("[1, 1")


@pytest.mark.slow
def test_reading_is_work_in_proportion_to_the_text() -> None:
    form = form_of({"schema": {"type": "array", "items": PERSON}})
    one = json.dumps({"name": "Ada Lovelace", "age": 36, "tags": ["a", "bb"]}) + ", "
    assert form.grammar.closing("[" + one * 10) is not None
    few, many = (calls(lambda count=count: form.grammar.closing("[" + one * count)) for count in (100, 800))
    assert many < 12 * few
    assert form.grammar.closing("[" * 20_000) is None
    assert form_of({"schema": {}}).close("[" * 900) == "[" * 900 + "]" * 900


@pytest.mark.slow
def test_an_ambiguous_grammar_is_read_without_trying_every_way() -> None:
    rules: dict[str, Node] = {
        "root": alt(seq(Ref("one"), Ref("root")), Text("x")),
        "one": alt(Text("a"), seq(Text("a"), Ref("one")), seq(Ref("two"), Text("b"))),
        "two": alt(Text("a"), seq(Text("a"), Ref("two"))),
    }
    recogniser = Recogniser(rules, Shortest(rules))
    assert recogniser.fits("a" * 200 + "b" * 1 + "a" * 100 + "x")
    assert not recogniser.fits("a" * 200 + "bb")
    with pytest.raises(ServiceError, match="too many ways"):
        recogniser.fits("a" * 100_000 + "x")


@pytest.mark.slow
def test_a_grammar_reads_in_several_threads_at_once() -> None:
    source = 'root ::= "' + "a" * 2_000 + '" rest | "' + "b" * 2_000 + '" rest\nrest ::= "c"{500} [0-9]{500}'
    rules = form_of({"grammar": source}).grammar.rules
    shortest = Shortest(rules)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            for _ in range(5):
                recogniser = Recogniser(rules, shortest)
                texts = [one * 2_000 + "c" * 500 + "1" * 500 for one in "abab"]
                assert all(threads.map(recogniser.fits, texts))
    finally:
        sys.setswitchinterval(interval)


# Against the plainest way to do it: every text of a grammar, up to a length


def texts(rules: dict[str, Node], longest: int) -> set[str]:
    """All texts of at most so many characters that fit `root`, found by writing out more and more of them."""
    known: dict[str, set[str]] = {name: set() for name in rules}
    while True:
        found = {name: written(node, known, longest) for name, node in rules.items()}
        if found == known:
            return found["root"]
        known = found


def written(node: Node, known: dict[str, set[str]], longest: int) -> set[str]:
    match node:
        case Text(text):
            return {text} if len(text) <= longest else set()
        case Chars(ranges):
            return {chr(code) for low, high in ranges for code in range(low, high + 1)}
        case Seq(items):
            return joined([written(item, known, longest) for item in items], longest)
        case Alt(options):
            return set().union(*(written(option, known, longest) for option in options))
        case Repeat(item, least, most):
            one = written(item, known, longest)
            counts = range(least, min(longest, longest if most is None else most) + 1)
            return set().union(*(joined([one] * count, longest) for count in counts), joined([one] * least, longest))
        case Ref(rule):
            return known[rule]


def joined(parts: list[set[str]], longest: int) -> set[str]:
    found = {""}
    for part in parts:
        found = {one + other for one, other in itertools.product(found, part) if len(one + other) <= longest}
    return found


NODES = st.recursive(
    st.sampled_from([Text("a"), Text("ab"), Text("b"), Chars.of([(0x61, 0x62)]), Ref("one"), Ref("root"), NOTHING]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda items: seq(*items)),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: alt(*items)),
        st.tuples(inner, st.sampled_from([(0, 1), (0, None), (1, None), (2, 3)])).map(
            lambda both: repeat(both[0], *both[1])
        ),
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(NODES, NODES)
def test_the_recogniser_reads_exactly_what_a_grammar_says(root: Node, one: Node) -> None:
    try:
        grammar = Grammar({"root": root, "one": one}).pruned().ready()
    except SettingError:
        assume(False)
    every = texts({"root": root, "one": one}, 5)
    for length in range(5):
        for letters in itertools.product("ab", repeat=length):
            text = "".join(letters)
            assert grammar.fits(text) == (text in every), text
            rest = grammar.closing(text)
            ways = sorted(len(other) - len(text) for other in every if other.startswith(text))
            if ways:
                assert rest is not None
                assert text + rest in every
                assert len(rest) == ways[0]
            elif rest is not None:
                assert len(text + rest) > 5
                assert grammar.fits(text + rest)


@pytest.mark.slow
@given(NODES, NODES)
def test_the_shortest_text_is_the_shortest(root: Node, one: Node) -> None:
    rules = {"root": root, "one": one}
    shortest = Shortest(rules).rules["root"]
    every = texts(rules, 6)
    assert shortest == min(map(len, every)) if every else shortest > 6 or shortest == ENDLESS
