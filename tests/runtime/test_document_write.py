"""The canonical form: what is written is read back as it was, and written again in the same words."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.runtime.document import dump, dump_json, parse
from phloem.runtime.errors import DocumentError
from phloem.runtime.ports import PortType
from phloem.runtime.workflow import Input, Node, OnError, Retry, Source, Workflow
from support.workflows import AWKWARD, exactly, texts, values, workflows


@pytest.mark.slow
@given(workflows())
@settings(max_examples=400, deadline=None)
def test_every_workflow_is_read_back_as_it_was_and_written_again_in_the_same_words(workflow):
    text = dump(workflow)
    document = parse(text)
    assert exactly(document.workflow) == exactly(workflow)
    assert dump(document) == text
    assert dump(document.workflow) == text


@pytest.mark.slow
@given(values)
@settings(max_examples=600, deadline=None)
def test_every_value_is_read_back_as_it_was(value):
    workflow = Workflow(nodes={"a": Node("x@1", set={"value": value})})
    text = dump(workflow)
    assert exactly(parse(text).workflow) == exactly(workflow)
    assert dump(parse(text)) == text


@pytest.mark.slow
@given(st.dictionaries(texts.filter(bool), texts, min_size=1), st.lists(texts))
@settings(max_examples=400, deadline=None)
def test_plain_pyyaml_reads_the_same_texts(mapping, row):
    text = dump(Workflow(nodes={"a": Node("x@1", set={**mapping, "row": row})}))
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert yaml.load(text, loader)["nodes"]["a"]["set"] == {**mapping, "row": row}


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_survive_everywhere(text):
    workflow = Workflow(
        title=text,
        inputs={"a": Input(PortType("text"), about=text, value=text, has_value=True)},
        nodes={"n": Node("k@1", set={"a": text, "b": [text, [text]], "c": {"d": {text: text}}}, note=text)},
        layout={"n": [text, {"text": text}]},
    )
    written = dump(workflow)
    assert parse(written).workflow == workflow
    assert yaml.safe_load(written)["nodes"]["n"]["set"] == dict(workflow.nodes["n"].set)
    assert parse(dump_json(workflow)).workflow == workflow


@pytest.mark.slow
@given(workflows())
@settings(max_examples=100, deadline=None)
def test_json_holds_the_same_workflow(workflow):
    try:
        text = dump_json(workflow)
    except DocumentError as error:
        assert "JSON has no way to say" in str(error)
        return
    json.loads(text)
    document = parse(text, path="a.json")
    assert exactly(document.workflow) == exactly(workflow)
    assert document.form == "json"
    assert dump_json(document) == text


CANONICAL = """\
phloem: 1
title: Ask a web page
about: Reads a page, finds the passages nearest to a question, and answers from them.
model: local:demo
inputs:
  page: {type: text, value: data/looms.html, about: A URL or a saved page}
  question: {type: text, value: "Who invented the flying shuttle?"}
  many: {type: "list[text]", value: [a, b]}
nodes:
  read:
    kind: web.read@1
    in: {url: input.page}
  pieces:
    kind: text.split@1
    in: {text: read.text}
    set: {by: sentences, size: 60}
  prompt:
    kind: text.template@1
    title: The question
    in: {passages: [pieces.pieces], question: input.question}
    set:
      template: |
        Answer from these passages only.

        {% for one in passages %}- {{ one }}
        {% endfor %}
        # A heading is no comment
        Question: {{ question }}
      options: {strict: true, trim: [left, right]}
    retry: {times: 3, wait: 0.5}
    timeout: 30
    on_error: {default: {text: ""}}
    cache: false
    disabled: true
  each:
    kind: flow.each@1
    in: {items: pieces.pieces}
    do:
      nodes:
        shout:
          kind: text.case@1
          in: {text: input.item}
      outputs:
        text: shout.text
  reply:
    kind: llm.generate@1
    note: >-
      A long line is folded, so that it reads as prose and a change of one word in it is a change of
      one line, or of a few.
    in: {prompt: prompt.text}
    set: {max_tokens: 64, temperature: 0, stop: ["\\n\\n", END], "yes": "no"}
    on_error: route
outputs:
  answer: reply.text
layout:
  read: [0, 0]
  pieces: [180.5, 0]
  note-1: {text: Hello, at: [0, 90], size: {w: 80, h: 40}}
team: Research
"""


def test_the_canonical_form_stays_as_it_is():
    assert dump(parse(CANONICAL)) == CANONICAL


def test_any_order_and_style_becomes_the_canonical_form():
    data = yaml.safe_load(CANONICAL)
    backwards = {key: data[key] for key in reversed(data)}
    backwards["nodes"] = {id: dict(reversed(node.items())) for id, node in data["nodes"].items()}
    for style in (None, True, False):
        again = parse(yaml.safe_dump(backwards, sort_keys=False, default_flow_style=style))
        assert again.workflow == parse(CANONICAL).workflow
        assert dump(again) == dump(again.workflow)
    assert dump(parse(json.dumps(data))) == CANONICAL


def test_a_moved_box_changes_one_line():
    document = parse(CANONICAL)
    moved = document.replace(
        Workflow(
            **{
                **{name: getattr(document.workflow, name) for name in document.workflow.__slots__},
                "layout": {**document.workflow.layout, "read": [10, 20]},
            }
        )
    )
    before, after = CANONICAL.splitlines(), dump(moved).splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [("  read: [0, 0]", "  read: [10, 20]")]


def test_a_moved_box_changes_one_line_of_json():
    workflow = Workflow(nodes={"a": Node("x@1")}, layout={"a": [0, 0], "b": {"at": [1, 2]}})
    assert '    "a": [0, 0],\n    "b": {"at": [1, 2]}\n' in dump_json(workflow)


def test_what_is_as_it_would_be_without_is_left_out():
    workflow = Workflow(nodes={"a": Node("x@1", retry=Retry(), on_error=OnError(), timeout=None, cache=None)})
    assert dump(workflow) == "phloem: 1\nnodes:\n  a:\n    kind: x@1\n"
    assert dump(Workflow()) == "phloem: 1\n"


def test_lines_are_kept_within_a_hundred_columns_where_they_can_be():
    words = "nine words of nothing much but words and words " * 9
    longest = {"a": "x" * 20, "b": "y" * 20, "c": "z" * 20, "d": "w" * 8}
    workflow = Workflow(
        about=words.strip(),
        nodes={
            "n": Node(
                "x@1", set={"fits": longest, "over": {**longest, "e": 1}, "list": ["word"] * 40, "url": "u" * 200}
            )
        },
    )
    text = dump(workflow)
    assert [line for line in text.splitlines() if len(line) > 100] == ["      url: " + "u" * 200]
    assert max(len(line) for line in text.splitlines() if "fits" in line) == 100
    assert parse(text).workflow == workflow


def test_numbers_are_written_as_both_versions_of_yaml_read_them():
    given = {"a": 1e16, "b": 1e-7, "c": -0.0, "d": 1.0, "e": math.inf, "f": -math.inf, "g": 10**30, "h": 1.5e300}
    text = dump(Workflow(nodes={"n": Node("x@1", set=given)}))
    assert exactly(yaml.safe_load(text)["nodes"]["n"]["set"]) == exactly(given)
    assert exactly(parse(text).workflow.nodes["n"].set) == exactly(given)


def test_texts_that_hide_something_are_written_with_escapes():
    text = dump(Workflow(title="safe\u202e gnp.exe", about="a\u2066b\nc\n"))
    assert text.isascii()
    assert parse(text).workflow.title == "safe\u202e gnp.exe"


def test_a_text_with_windows_line_ends_takes_a_line_for_each():
    workflow = Workflow(about="one\r\n two\r\n\tthree")
    assert dump(workflow) == 'phloem: 1\nabout: "one\\r\\n\\\n  \\ two\\r\\n\\\n  \\tthree"\n'
    assert parse(dump(workflow)).workflow == workflow


def test_long_keys_are_written_in_full():
    workflow = Workflow(layout={"k" * 3000: {"deep " * 400: [1, {"x": "y" * 200}]}})
    assert parse(dump(workflow)).workflow == workflow
    assert dump(parse(dump(workflow))) == dump(workflow)


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        (Workflow(nodes={"2nd": Node("x@1")}), "2nd"),
        (Workflow(nodes={"a.b": Node("x@1")}), "a.b"),
        (Workflow(nodes={"input": Node("x@1")}), "input"),
        (Workflow(nodes={"a" * 101: Node("x@1")}), "name"),
        (Workflow(inputs={"": Input(PortType("text"))}), "input"),
        (Workflow(nodes={"a": Node("")}), "kind"),
        (Workflow(nodes={"a": Node("x@1", set={"v": object()})}), "nodes.a.set.v"),
        (Workflow(nodes={"a": Node("x@1", set={"v": {1: 2}})}), "not text"),
        (Workflow(nodes={"a": Node("x@1", set={"v": b"bytes"})}), "bytes"),
        (Workflow(nodes={"a": Node("x@1", set={"v": "\ud800"})}), "half of a character"),
        (Workflow(nodes={"a": Node("x@1", set={"v": "a\n\udc00"})}), "half of a character"),
        (Workflow(nodes={"a": Node("x@1", set={"v": 10**5000})}), "too large"),
        (Workflow(nodes={"a": Node("x@1", timeout=math.nan)}), "timeout"),
        (Workflow(nodes={"a": Node("x@1", timeout=0)}), "timeout"),
        (Workflow(nodes={"a": Node("x@1", retry=Retry(-1))}), "retry"),
        (Workflow(nodes={"a": Node("x@1", on_error=OnError("explode"))}), "on_error"),
        (Workflow(nodes={"a": Node("x@1", links={"t": (Source("b", ""),)})}), "link"),
        (Workflow(nodes={"a": Node("x@1", extra={"set": {}})}), "set"),
        (Workflow(nodes={"a": Node("x@1", do=Workflow(nodes={"b": Node("")}))}), "a/b"),
        (Workflow(nodes={"a": Node("x@1", do=Workflow(nodes={"b": Node("y@1", extra={"in": {}})}))}), "a/b"),
        (Workflow(extra={"nodes": {}}), "nodes"),
        (Workflow(title=3), "title"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(workflow, words):
    for write in (dump, dump_json):
        with pytest.raises(DocumentError) as caught:
            write(workflow)
        assert words in str(caught.value)


def test_values_too_deep_or_inside_themselves_are_not_written():
    deep: list = []
    for _ in range(60):
        deep = [deep]
    fits = Workflow(nodes={"a": Node("x@1", set={"v": deep[0]})})
    assert parse(dump(fits)).workflow == fits
    circle: list = []
    circle.append(circle)
    for value in ([deep], circle):
        for write in (dump, dump_json):
            with pytest.raises(DocumentError, match="deep in one another"):
                write(Workflow(nodes={"a": Node("x@1", set={"v": value})}))


@pytest.mark.slow
def test_more_values_than_are_read_back_are_not_written():
    knot: list = []
    knot.extend([knot, knot])
    for value in ([0] * 1_000_001, knot):
        for write in (dump, dump_json):
            with pytest.raises(DocumentError, match="more than 1,000,000 values"):
                write(Workflow(nodes={"a": Node("x@1", set={"v": value})}))
