"""YAML as it is read: the core schema, what is refused and where, and hostile files."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.runtime.document import dump, parse, yaml_tree
from phloem.runtime.document.scalars import value_of
from phloem.runtime.errors import DocumentError
from support.counting import calls
from support.workflows import exactly, workflows

HEAD = "phloem: 1\nnodes:\n  a:\n    kind: x@1\n    set:\n"

SAMPLE = """\
\ufeffphloem: 1
title: "Ein \\"Test\\" \\u00e4"
# about the inputs
inputs:
  page: {type: text, value: 'it''s', about: "😀 one"}
nodes:
  a:
    kind: x@1   # the first
    in: {t: [input.page, b.text]}
    set:
      long: |+
        one
          two

      folded: >-
        three
        four
      list:
        - 1
        - [2.5, .inf, null, ~]
      plain: many
        lines
outputs:
  o: a.text
layout: {a: [0, 0]}
"""


@pytest.fixture(params=["libyaml", "python"])
def either_parser(request, monkeypatch):
    """The test once with each of PyYAML's two parsers."""
    if request.param == "python":
        monkeypatch.setattr(yaml_tree, "_parser", lambda: yaml_tree._PythonParser)


def problem(text, **more):
    """The one problem that a text has."""
    with pytest.raises(DocumentError) as caught:
        parse(text, **more)
    (found,) = caught.value.problems
    return found


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("null", None),
        ("~", None),
        ("Null", None),
        ("", None),
        ("nULL", "nULL"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("tRue", "tRue"),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("0777", 777),
        ("0o17", 15),
        ("0xfF", 255),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("-1.e-2", -0.01),
        ("1e", "1e"),
        (".", "."),
        ("+.5", 0.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("+.Inf", math.inf),
        ("inf", "inf"),
        ("-0.0", -0.0),
        (".nan", math.nan),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("<<", "<<"),
        ("http://x/#y", "http://x/#y"),
        ("'12'", "12"),
        ('"true"', "true"),
        ('"\\U0001F600"', "😀"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(word, value):
    found = parse(f"{HEAD}      v: {word}\n").workflow.nodes["a"].set["v"]
    assert exactly(found) == exactly(value)


def test_digits_of_other_scripts_are_text():
    assert value_of("١٢") == "١٢"
    assert value_of("1２") == "1２"


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: [1, 2", 1, 4, "not closed"),
        ("a: {b: 1", 1, 4, "not closed"),
        ('a: "x\n  y', 1, 4, "never closed"),
        ("a:\n\tb: 1\n", 2, 1, "tab"),
        ("a: @x", 1, 4, "quotes"),
        ("a: b: c", 1, 5, "colon"),
        ("a: 1\n b: 2", 2, 3, "colon"),
        ("a: 'x'\n  b: 2", 2, 3, "indented"),
        ("key\nother: 1", 2, 6, "line above"),
        ('a: "\\q"', 1, None, "escape"),
        ("a: &x 1\n", 1, 4, "anchor"),
        ("a: !!int 3\n", 1, 4, "!!int"),
        ("a: !secret x\n", 1, 4, "tag"),
        ("a: 1\n--- \nb: 2\n", 2, 1, "second document"),
        ("a: {{x}}", 1, None, "quotes"),
        ("? [a]\n: b\n", 1, 3, "key must be text"),
        ("\x01", 1, 1, "U+0001"),
        ("a: \x7f", 1, 4, "U+007F"),
        ("a: x\n  \ud800", 2, 3, "U+D800"),
        ("a: x\n\n \ufeff", 3, 2, "U+FEFF"),
        (b"a: x\nb: \xffoo", 2, 4, "byte 8 "),
        (b"a: \xc3", 1, 4, "byte 3 "),
        ("phloem: 1\nnodes: {}\n".encode("utf-16"), 1, 1, "UTF-16"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(text, line, column, words):
    with pytest.raises(DocumentError) as caught:
        parse(text, path="a.flow.yaml")
    found = [one for one in caught.value.problems if "which format" not in one.message]
    assert len(found) == 1
    assert found[0].line == line
    assert found[0].column == column or column is None
    assert words in str(found[0])
    assert found[0].hint
    assert found[0].file == "a.flow.yaml"


@pytest.mark.usefixtures("either_parser")
def test_an_alias_is_refused_where_it_stands():
    with pytest.raises(DocumentError) as caught:
        parse("phloem: 1\nabout: &text hello\ntitle: *text\n")
    assert [(one.line, one.column) for one in caught.value.problems] == [(2, 8), (3, 8)]
    assert "Write the value out here" in str(caught.value)


@pytest.mark.usefixtures("either_parser")
def test_a_repeated_key_is_told_with_both_places_together_with_everything_else():
    with pytest.raises(DocumentError) as caught:
        parse(f"{HEAD}      size: 1\n      by: x\n      size: 2\n  b: {{kind: 3}}\n  a: {{kind: y}}\n1: x\n")
    said = [(one.line, one.column, one.message) for one in caught.value.problems]
    assert said == [
        (8, 7, "the key `size` is here again; it is already on line 6, column 7"),
        (9, 13, "`kind` of node b must be text, not the number 3"),
        (10, 3, "the key `a` is here again; it is already on line 3, column 3"),
        (11, 1, "a key must be text, not `1`"),
    ]


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_ends_and_a_byte_order_mark_are_read(end):
    text = SAMPLE.replace("\n", end)
    document = parse(text.encode())
    assert document.workflow == parse(SAMPLE).workflow
    assert document.workflow.nodes["a"].set["long"] == "one\n  two\n\n"
    assert document.marks.of("nodes", "a", "set", "list", 1) == (20, 11)


@pytest.mark.usefixtures("either_parser")
def test_marks_count_characters_not_bytes():
    document = parse("phloem: 1\nnodes: {a: {note: 'ä😀', kind: x}, b: {kind: x}}\n")
    assert document.marks.of("nodes", "b") == (2, 35)
    assert document.marks.of("nodes", "b", "set", "nothing") == (2, 35)
    assert document.marks.of("nope") == (1, 1)


def test_markers_of_a_single_document_are_read():
    assert parse("%YAML 1.2\n--- # c\nphloem: 1\n...\n# end\n").workflow == parse("phloem: 1").workflow


def test_a_file_cut_off_anywhere_is_an_error_in_words_or_a_shorter_workflow():
    whole = SAMPLE.encode()
    good = 0
    for end in range(len(whole)):
        try:
            document = parse(whole[:end])
        except DocumentError as error:
            assert error.problems[0].line
        else:
            good += 1
            assert parse(dump(document)).workflow == document.workflow
    assert good < len(whole) * 0.8


@pytest.mark.parametrize(
    "end",
    [
        "nodes:",
        "nodes:\n  a:",
        "nodes:\n  a:\n    ki",
        "nodes:\n  a:\n    kind:",
        "inputs:\n  x:",
        "title:",
        "nodes:\n  a: {kind: x}\n  b:\n    kind: y\n    in:",
        "nodes: {a: {kind: x, set:",
        "outputs:\n  a:",
    ],
)
def test_a_file_cut_off_inside_a_block_is_noticed(end):
    with pytest.raises(DocumentError):
        parse(f"phloem: 1\n{end}")


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_document_or_a_document_error(data):
    try:
        document = parse(data)
    except DocumentError as error:
        assert str(error)
    else:
        assert parse(dump(document)).workflow == document.workflow


PIECES = [
    "phloem: 1\n",
    "nodes:",
    "\n",
    "  ",
    "    ",
    "a",
    "kind: x@1",
    ": ",
    ":",
    "- ",
    "-",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    '"',
    "|",
    ">",
    "|2-",
    "#",
    " # c",
    "&x",
    "*x",
    "!t",
    "?",
    "? ",
    "---",
    "...",
    "%",
    "\t",
    "\r\n",
    "~",
    "1",
    "in:",
    "set:",
    "\\",
    "😀",
    "\x85",
    "\u2028",
    "a.b",
    "title: x\n",
    "retry:",
]


@pytest.mark.slow
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(max_examples=1500, deadline=None)
def test_any_mixture_of_yaml_is_a_document_or_a_document_error(text):
    try:
        document = parse("phloem: 1\n" + text)
    except DocumentError as error:
        assert all(one.line for one in error.problems)
    else:
        written = dump(document)
        again = parse(written)
        assert again.workflow == document.workflow
        assert dump(again) == written


@pytest.mark.slow
@given(workflows(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_with_one_character_changed_is_a_document_or_a_document_error(workflow, data):
    text = dump(workflow)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(["", "\n", ":", "{", '"', "#", " ", "\t", "-", "x", "&", "\x00"]))
    try:
        parse(text[:place] + other + text[place + 1 :])
    except DocumentError as error:
        assert all(one.line for one in error.problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["[" * 50_000_000, "{a: " * 12_500_000, "- " * 25_000_000, "\n".join(" " * n + "a:" for n in range(4000))]
)
def test_nesting_is_refused_early(text):
    began = time.perf_counter()
    assert "deep" in problem(text, limit=100_000_000).message
    assert time.perf_counter() - began < 20


def test_a_file_may_be_as_large_as_the_limit_and_no_larger():
    text = "phloem: 1\ntitle: " + "x" * 83
    assert parse(text, limit=100).workflow.title == "x" * 83
    assert "larger than 99 bytes" in problem(text, limit=99).message
    assert "larger than 100 bytes" in problem(text.replace("x", "é").encode(), limit=100).message


def test_an_alias_bomb_is_refused_at_once():
    lines = ["phloem: 1", "a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    began = time.perf_counter()
    with pytest.raises(DocumentError, match="no aliases"):
        parse("\n".join(lines))
    assert time.perf_counter() - began < 1


@pytest.mark.slow
def test_more_values_than_memory_should_hold_are_refused():
    assert "1,000,000 values" in problem("phloem: 1\nx: [" + "1," * 2_000_000 + "1]").message


def test_of_very_many_problems_a_hundred_are_told_and_the_rest_counted():
    with pytest.raises(DocumentError) as caught:
        parse("phloem: 1\n" + "a: 1\n" * 1000)
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1].message == "and 899 more problems"


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "1e999", "9" * 400 + ".0"])
def test_numbers_beyond_measure_are_refused(number):
    found = problem(f"{HEAD}      v: {number}\n")
    assert (found.line, found.column) == (6, 10)
    assert "too large" in found.message


@pytest.mark.slow
def test_work_grows_with_the_size_of_comments_and_empty_lines_and_no_faster():
    def work(count):
        text = (
            HEAD
            + "      a: |\n"
            + "        x # no\n\n" * count
            + "# yes\n\n" * count
            + "".join(f"      k{n}: 1  # c\n\n" for n in range(count))
        )
        return calls(lambda: parse(text))

    work(10)
    assert work(4_000) < 15 * work(400)
