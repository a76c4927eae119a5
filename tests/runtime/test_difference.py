"""What `phloem diff` says: changes in the terms of the workflow, in the order of the file."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from phloem.runtime.difference import Change, difference, render
from phloem.runtime.document import parse
from phloem.runtime.workflow import Limit, Node, OnError, Retry, Source, Workflow
from support.workflows import workflows

OLD = parse("""\
phloem: 1
title: Ask
inputs:
  page: {type: text, value: a.html}
  gone: text
nodes:
  read: {kind: web.read@1, in: {url: input.page}}
  pieces: {kind: text.split@1, in: {text: read.text}, set: {by: sentences, size: 60}}
  prompt:
    kind: text.template@1
    in: {passages: [pieces.pieces], page: read.text}
    set:
      template: |
        Answer from these.

        {{ passages }}
        Be brief.
    retry: 2
  each:
    kind: flow.each@1
    in: {items: pieces.pieces}
    do: {nodes: {shout: {kind: text.case@1, set: {to: upper}}}, outputs: {t: shout.text}}
  last: {kind: text.join@1}
outputs: {answer: prompt.text, other: read.text}
layout: {read: [0, 0], pieces: [1, 0], last: [9, 9]}
""").workflow

NEW = parse("""\
phloem: 1
title: Ask a page
about: New
inputs:
  page: {type: "list[text]", value: a.html}
  added: {type: number, value: 3}
nodes:
  extra: {kind: llm.generate@1}
  fetch: {kind: web.read@1, in: {url: input.page}}
  pieces: {kind: text.split@2, in: {text: fetch.text}, set: {size: 80, overlap: 5}}
  prompt:
    kind: text.template@1
    in: {passages: [pieces.pieces, fetch.text], page: fetch.text}
    set:
      template: |
        Answer from these.

        {{ passages }}
        Be very brief.
    timeout: 30
    on_error: skip
  each:
    kind: flow.each@1
    in: {items: pieces.pieces}
    do: {nodes: {shout: {kind: text.case@1, set: {to: lower}}, more: {kind: x@1}}, outputs: {t: more.text}}
outputs: {answer: prompt.text, other: pieces.pieces}
layout: {fetch: [0, 0], pieces: [1, 5], extra: [2, 2]}
""").workflow

RENDERED = """\
~ title: Ask → Ask a page
+ about: New
~ input page
    ~ type: text → list[text]
- input gone: {type: text}
+ input added: {type: number, value: 3}
~ node read → fetch (renamed)
- node last: text.join@1
+ node extra: llm.generate@1
~ node pieces
    ~ kind: text.split@1 → text.split@2
    - set by: sentences
    ~ set size: 60 → 80
    + set overlap: 5
~ node prompt
    ~ in passages: [pieces.pieces] → [pieces.pieces, fetch.text]
    ~ set template:
        …

          {{ passages }}
        - Be brief.
        + Be very brief.
    - retry: 2
    + timeout: 30
    + on_error: skip
~ node each/shout
    ~ set to: upper → lower
+ node each/more: x@1
~ output each/t: shout.text → more.text
~ output other: fetch.text → pieces.pieces
~ layout: 1 place changed: pieces
"""


def test_changes_are_said_in_the_terms_of_the_workflow():
    assert render(difference(OLD, NEW)) == RENDERED


def test_the_changes_as_values():
    changes = difference(OLD, NEW)
    assert Change("renamed", ("nodes", "fetch"), "read", "fetch") in changes
    assert Change("changed", ("nodes", "pieces", "set", "size"), 60, 80) in changes
    assert Change("changed", ("nodes", "each", "do", "nodes", "shout", "set", "to"), "upper", "lower") in changes
    assert Change("removed", ("nodes", "last"), {"kind": "text.join@1"}) in changes
    assert Change("changed", ("layout", "pieces"), [1, 0], [1, 5]) in changes
    assert not [change for change in changes if change.path[:2] == ("layout", "extra")]


def test_workflows_that_mean_the_same_do_not_differ():
    shuffled = replace(
        OLD,
        nodes=dict(reversed(OLD.nodes.items())),
        inputs=dict(reversed(OLD.inputs.items())),
    )
    assert difference(OLD, shuffled) == []
    assert render([]) == ""


def test_values_of_another_type_differ_and_nan_is_itself():
    one = Workflow(nodes={"a": Node("x@1", set={"v": 1, "n": math.nan, "deep": {"a": [1], "b": 2}})})
    same = Workflow(nodes={"a": Node("x@1", set={"v": 1, "n": math.nan * 2, "deep": {"b": 2, "a": [1]}})})
    assert difference(one, same) == []
    other = one.with_setting("a", "v", True).with_setting("a", "deep", {"a": [1.0], "b": 2})
    assert [change.path[-1] for change in difference(one, other)] == ["v", "deep"]


def test_each_part_of_a_node_is_told():
    plain = Workflow(nodes={"a": Node("x@1", {"t": (Source("b", "c"),)})})
    changed = Workflow(
        nodes={
            "a": Node(
                "x@1",
                {"t": (Source("b", "c"),)},
                title="T",
                note="N",
                disabled=True,
                retry=Retry(1, 2.0),
                timeout=1.5,
                limit=Limit(tokens=9, money=0.5),
                on_error=OnError("default", 3),
                cache=False,
                listed=frozenset({"t"}),
                extra={"colour": "red"},
            )
        }
    )
    assert (
        render(difference(plain, changed))
        == """\
~ node a
    + title: T
    + note: N
    ~ in t: b.c → [b.c]
    + retry: {times: 1, wait: 2}
    + timeout: 1.5
    + limit: {tokens: 9, money: 0.5}
    + on_error: {default: 3}
    + cache: false
    + disabled: true
    + colour: red
"""
    )


def test_the_limit_of_the_run_is_told():
    none, low, high = Workflow(), Workflow(limit=Limit(money=0.5)), Workflow(limit=Limit(money=1.0))
    assert render(difference(none, low)) == "+ limit: {money: 0.5}\n"
    assert render(difference(low, high)) == "~ limit: {money: 0.5} → {money: 1}\n"
    assert render(difference(high, none)) == "- limit: {money: 1}\n"
    assert difference(high, high) == []


def test_nodes_may_be_called_like_parts_of_the_file():
    old = Workflow(nodes={name: Node("x@1") for name in ("layout", "nodes", "do", "outputs")})
    new = Workflow(nodes={name: Node("y@1", set={"layout": 1}) for name in old.nodes})
    assert render(difference(old, new)) == "".join(
        f"~ node {name}\n    ~ kind: x@1 → y@1\n    + set layout: 1\n" for name in old.nodes
    )


def test_a_body_that_comes_or_goes_is_a_part_of_its_node():
    old = Workflow(nodes={"a": Node("x@1")})
    new = Workflow(nodes={"a": Node("x@1", do=Workflow(nodes={"b": Node("y@1")}))})
    assert render(difference(old, new)) == "~ node a\n    + do: {nodes: {b: {kind: y@1}}}\n"


def test_of_two_nodes_alike_each_is_renamed_once():
    old = Workflow(nodes={"a": Node("x@1"), "b": Node("x@1"), "c": Node("y@1")})
    new = Workflow(nodes={"p": Node("x@1"), "q": Node("x@1"), "r": Node("z@1")})
    assert (
        render(difference(old, new)) == "~ node a → p (renamed)\n~ node b → q (renamed)\n- node c: y@1\n+ node r: z@1\n"
    )


def test_nothing_from_a_file_reaches_the_terminal_as_a_control_character():
    evil = "a\x1b[31m\nb\x07" + "\u202e"
    workflow = Workflow(
        title=evil, nodes={"a": Node(evil, set={evil: evil})}, layout={evil: 1}, extra={evil: {evil: evil}}
    )
    shown = render(difference(Workflow(), workflow)) + render(difference(workflow, Workflow()))
    shown += render(difference(workflow, workflow.with_setting("a", evil, "other\n")))
    assert all(one == "\n" or one.isprintable() for one in shown)


def test_long_lines_are_compared_in_pieces_and_very_long_texts_by_their_length():
    old = Workflow(about="word " * 100 + "end", nodes={"a": Node("x@1", set={"t": "line\n" * 3000})})
    new = Workflow(about="word " * 100 + "END", nodes={"a": Node("x@1", set={"t": "line\n" * 3001})})
    shown = render(difference(old, new)).splitlines()
    assert max(map(len, shown)) <= 100
    assert next(line.strip() for line in shown if line.endswith("end")).startswith("- word word")
    assert "        - 3,000 lines" in shown
    assert "        + 3,001 lines" in shown


@pytest.mark.slow
@given(workflows(), workflows())
@settings(max_examples=150, deadline=None)
def test_a_workflow_differs_from_another_unless_they_are_the_same(one, other):
    assert difference(one, one) == []
    changes = difference(one, other)
    assert bool(changes) == bool(difference(other, one))
    assert bool(render(changes)) == bool(changes)
    if not changes:
        assert one.nodes.keys() == other.nodes.keys()
