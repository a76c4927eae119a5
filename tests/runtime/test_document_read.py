"""From the words of a file to a workflow: short forms, defaults, and every problem of structure at once."""

from __future__ import annotations

import pytest
from phloem.runtime.document import dump, parse
from phloem.runtime.errors import DocumentError
from phloem.runtime.ports import PortType
from phloem.runtime.workflow import Input, Limit, Node, OnError, Retry, Source, Workflow
from support.workflows import exactly


def problems(text):
    with pytest.raises(DocumentError) as caught:
        parse(text, path="a.flow.yaml")
    return caught.value.problems


def node(text):
    return parse(f"phloem: 1\nnodes:\n  a:\n    kind: x@1\n{text}").workflow.nodes["a"]


def test_everything_that_a_file_can_say():
    workflow = parse("""\
phloem: 1
title: T
about: A
model: local:demo
limit: {tokens: 5000, money: 0.5, seconds: 1 min}
inputs:
  page: {type: "list[text]", value: null, about: P, unit: m}
nodes:
  read:
    kind: web.read@1
    title: Read
    note: N
    in: {url: input.page, many: [b.text, c.a.b], one: [b.text]}
    set: {size: 60}
    retry: {times: 3, wait: 500ms, backoff: 1}
    timeout: 1h 30min
    limit: {seconds: 30, tokens: 7}
    on_error: {default: {text: none}}
    cache: true
    disabled: true
    do: {nodes: {b: {kind: y@1}}}
    colour: red
outputs: {answer: read.text}
layout: {read: [1, 2]}
team: R
""").workflow
    assert workflow == Workflow(
        title="T",
        about="A",
        model="local:demo",
        limit=Limit(5000, 0.5, 60.0),
        inputs={"page": Input(PortType("text", 1), "P", None, True, {"unit": "m"})},
        nodes={
            "read": Node(
                "web.read@1",
                links={
                    "url": (Source("input", "page"),),
                    "many": (Source("b", "text"), Source("c", "a.b")),
                    "one": (Source("b", "text"),),
                },
                set={"size": 60},
                title="Read",
                note="N",
                disabled=True,
                retry=Retry(3, 0.5, 1),
                timeout=5400,
                limit=Limit(tokens=7, seconds=30.0),
                on_error=OnError("default", {"text": "none"}),
                cache=True,
                listed=frozenset({"many", "one"}),
                extra={"colour": "red"},
                do=Workflow(nodes={"b": Node("y@1")}),
            )
        },
        outputs={"answer": Source("read", "text")},
        layout={"read": [1, 2]},
        extra={"team": "R"},
    )


def test_an_input_may_be_a_bare_type_and_is_text_without_one():
    document = parse("phloem: 1\ninputs: {a: number, b: {}, c: {value: 3}, d: 'list[list[json]]'}\n")
    assert {name: str(one.type) for name, one in document.workflow.inputs.items()} == {
        "a": "number",
        "b": "text",
        "c": "text",
        "d": "list[list[json]]",
    }
    assert not document.workflow.inputs["b"].has_value
    assert "  a: {type: number}\n  b: {type: text}\n  c: {type: text, value: 3}\n" in dump(document)


@pytest.mark.parametrize(
    ("text", "seconds", "canonical"),
    [
        ("30", 30, "30"),
        ("2.5", 2.5, "2.5"),
        ("30s", 30, "30"),
        ("5 min", 300, "300"),
        ("1h30m", 5400, "5400"),
        ("250 ms", 0.25, "0.25"),
        ("2 hours", 7200, "7200"),
        ("1 day", 86400, "86400"),
        ('"45"', None, ""),
        ("0", None, ""),
        ("-1", None, ""),
        (".inf", None, ""),
        (".nan", None, ""),
        ("true", None, ""),
        ("1e12", None, ""),
        ("soon", None, ""),
        ("5 parsecs", None, ""),
        ('""', None, ""),
        ("[1]", None, ""),
        ("null", None, ""),
    ],
)
def test_lengths_of_time(text, seconds, canonical):
    if seconds is None:
        (found,) = problems(f"phloem: 1\nnodes:\n  a: {{kind: x@1, timeout: {text}}}\n")
        assert "`timeout` of node a" in found.message
        assert (found.line, found.column, found.node) == (3, 27, "a")
    else:
        found = node(f"    timeout: {text}\n")
        assert exactly(found.timeout) == exactly(float(seconds))
        assert f"    timeout: {canonical}\n" in dump(Workflow(nodes={"a": found}))


def test_retry_is_a_number_or_a_mapping():
    assert node("    retry: 3\n").retry == Retry(3)
    assert node("    retry: {times: 2, wait: 1 min}\n").retry == Retry(2, 60.0)
    assert node("    retry: {wait: 0}\n").retry == Retry(0, 0.0)
    for wrong in ("many", "-1", "1.5", "true", "{times: x}", "{backoff: .inf}", "{tmes: 1}", "[1]", ""):
        (found,) = problems(f"phloem: 1\nnodes:\n  a:\n    kind: x@1\n    retry: {wrong}\n")
        assert "retry" in found.message
    assert found.line == 5


@pytest.mark.parametrize(
    ("text", "limit", "canonical"),
    [
        ("{tokens: 5000}", Limit(tokens=5000), "{tokens: 5000}"),
        ("{seconds: 2 min, money: 3.0}", Limit(money=3.0, seconds=120.0), "{money: 3, seconds: 120}"),
        ("{money: 1e-6}", Limit(money=1e-6), "{money: 1.0e-06}"),
    ],
)
@pytest.mark.parametrize("indent", ["", "    "])
def test_a_limit_is_of_the_run_or_of_a_node(text, limit, canonical, indent):
    nodes = "nodes:\n  a:\n    kind: x@1\n"
    found = parse(f"phloem: 1\n{nodes}{indent}limit: {text}\n")
    assert not found.warnings
    held = found.workflow.nodes["a"] if indent else found.workflow
    assert held.limit == limit
    assert f"\n{indent}limit: {canonical}\n" in dump(found)
    assert parse(dump(found)).workflow == found.workflow


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("{token: 5}", 13, "`limit` of node a has no `token`", "Did you mean `tokens`?"),
        ("{cost: 5}", 13, "`limit` of node a has no `cost`", "Did you mean `money`?"),
        ("{colour: 5}", 13, "`limit` of node a has no `colour`", "It has tokens, money and seconds."),
        ("{tokens: 0}", 21, "`tokens` of `limit` of node a must be a whole number above 0, not the number 0", None),
        ("{tokens: 1.5}", 21, "`tokens` of `limit` of node a must be a whole number above 0, not the number 1.5", None),
        ("{tokens: true}", 21, "`tokens` of `limit` of node a must be a whole number above 0, not true", None),
        ("{tokens: 1e16}", 21, "`tokens` of `limit` of node a must be a whole number above 0, not a number", None),
        ("{tokens: many}", 21, "`tokens` of `limit` of node a must be a whole number above 0, not `many`", None),
        ("{money: -1}", 20, "`money` of `limit` of node a must be a number above 0, not the number -1", None),
        ("{money: .nan}", 20, "`money` of `limit` of node a must be a number above 0, not a number", None),
        ("{money: .inf}", 20, "`money` of `limit` of node a must be a number above 0, not a number", None),
        ("{money: null}", 20, "`money` of `limit` of node a must be a number above 0, not nothing", None),
        (
            "{seconds: 0}",
            22,
            "`seconds` of `limit` of node a must be longer than nothing",
            "Leave it out for no bound.",
        ),
        ("{seconds: soon}", 22, "`seconds` of `limit` of node a must be a length of time, not `soon`", "Write seconds"),
        ("5000", 12, "`limit` of node a must be a mapping, not the number 5000", "Write `limit: {tokens: 5000"),
        ("[1]", 12, "`limit` of node a must be a mapping, not a list", "Write `limit"),
        ("", 11, "`limit` of node a must be a mapping, not nothing", "Write `limit"),
    ],
)
def test_a_limit_that_is_none_is_told_with_its_place(text, column, message, hint):
    (found,) = problems(f"phloem: 1\nnodes:\n  a:\n    kind: x@1\n    limit: {text}\n")
    assert found.message == message
    assert (found.line, found.column, found.node) == (5, column, "a")
    assert (found.hint or "").startswith(hint or "")
    (of_file,) = problems(f"phloem: 1\nlimit: {text}\n")
    assert of_file.message == message.replace("node a", "the file")
    assert of_file.line == 2


@pytest.mark.parametrize("key", ["limits", "budget", "limt"])
def test_other_words_for_a_limit_are_known(key):
    found = parse(f"phloem: 1\n{key}: {{tokens: 5}}\nnodes:\n  a: {{kind: x@1, {key}: {{tokens: 5}}}}\n")
    assert [one.hint for one in found.warnings] == ["Did you mean `limit`?"] * 2


def test_a_nested_workflow_may_have_a_limit_too():
    found = parse("phloem: 1\nnodes:\n  a: {kind: x@1, do: {limit: {money: 1}}}\n").workflow.nodes["a"].do
    assert found.limit == Limit(money=1.0)
    (found,) = problems("phloem: 1\nnodes:\n  a: {kind: x@1, do: {limit: {monney: 1}}}\n")
    assert found.message == "`limit` of `do` of node a has no `monney`"


def test_a_list_of_one_keeps_its_form():
    text = "phloem: 1\nnodes:\n  a:\n    kind: x@1\n    in: {one: [b.text], bare: b.text}\n"
    assert dump(parse(text)) == text
    linked = parse(text).workflow.with_links("a", "bare", Source("b", "text"), Source("c", "text"))
    assert linked.nodes["a"].listed == {"one", "bare"}
    assert parse(dump(linked)).workflow == linked
    gone = linked.without_node("b")
    assert gone.nodes["a"].listed == {"bare"}
    assert parse(dump(gone)).workflow == gone


def test_every_problem_is_told_at_once_in_the_order_of_the_file():
    found = problems("""\
phloem: 1
title: 2024
inputs: {page: txt, 2x: text, y: [1]}
nodes:
  input: {kind: a@1}
  read:
    knid: web.read@1
    in: [a, b]
    set: [1]
    on_error: skp
    disabled: yes
  b:
    kind: x@1
    in: {a: 3, b: read, c: [read.text, 5], d: []}
    cache: 1
    do: {nodes: {c: {kind: 1}}, outputs: {o: c}}
  c: kind
outputs: {x: 3}
layout: [1]
""")
    assert [(one.line, one.column, one.node, one.port) for one in found] == [
        (2, 8, None, None),
        (3, 16, None, None),
        (3, 21, None, None),
        (3, 34, None, None),
        (5, 3, None, None),
        (6, 3, "read", None),
        (8, 9, "read", None),
        (9, 10, "read", None),
        (10, 15, "read", None),
        (11, 15, "read", None),
        (14, 13, "b", "a"),
        (14, 19, "b", "b"),
        (14, 40, "b", "c"),
        (14, 47, "b", "d"),
        (15, 12, "b", None),
        (16, 28, "b/c", None),
        (16, 46, None, None),
        (17, 6, "c", None),
        (18, 14, None, None),
        (19, 9, None, None),
    ]
    said = "\n".join(map(str, found))
    for words in (
        'title: "2024"',
        "Did you mean `text`?",
        "`2x` cannot be the name of an input",
        "links use it for inputs",
        "where it says `knid`",
        "`in` of node read must be a mapping of input names to links, not a list",
        "`set` of node read must be a mapping of setting names to values, not a list",
        "Did you mean `skip`?",
        "yes, no, on and off are text",
        "node.port, such as read.text",
        "`cache` of node b must be true or false",
        "node c must be a mapping of kind, in, set and so on, not text",
    ):
        assert words in said
    assert all(one.file == "a.flow.yaml" for one in found)


@pytest.mark.parametrize("link", ["read", ".text", "read.", "2.text", "a b.text", "", "read text", "."])
def test_a_link_is_a_node_and_a_port(link):
    (found,) = problems(f'phloem: 1\nnodes:\n  a:\n    kind: x@1\n    in: {{t: "{link}"}}\n')
    assert "A link is written node.port" in str(found)
    assert (found.line, found.column, found.node, found.port) == (5, 13, "a", "t")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it begins with the line"),
        ("# only this\n", "this one is empty"),
        ("[]", "a list"),
        ("text", "this one is text"),
        ("null", "empty"),
        ("title: x", "`phloem: 1`"),
        ("phloem: '1'", "number of the file's format"),
        ("phloem: 0", "number of"),
        ("phloem: true", "number of"),
        ("phloem: 1.0", "number of"),
        ("phloem: {}", "number of"),
        ("phloem:", "number of"),
    ],
)
def test_what_is_no_workflow_file_is_said_to_be_none(text, words):
    assert words.lower() in "\n".join(map(str, problems(text))).lower()


def test_a_newer_format_is_one_error_that_names_what_to_update():
    (found,) = problems("phloem: 7\nnodes: [whatever, it, holds]\n")
    assert "has format 7; this version of Phloem reads formats up to 1" in found.message
    assert found.hint == "Install a newer Phloem to read it."
    assert (found.line, found.column) == (1, 9)


def test_an_unknown_key_is_kept_and_one_that_looks_like_a_mistake_is_warned_of():
    text = """\
phloem: 1
nodes:
  a:
    kind: x@1
    settings: {a: 1}
    inputs: {b: c.d}
    tags: [x]
    icon: star
steps: {}
x-team: R
"""
    document = parse(text, path="a.yaml")
    assert [(one.line, one.node, one.hint) for one in document.warnings] == [
        (5, "a", "Did you mean `set`?"),
        (6, "a", "Did you mean `in`?"),
        (7, "a", None),
        (8, "a", None),
        (9, None, "Did you mean `nodes`?"),
    ]
    assert document.workflow.nodes["a"].extra == {
        "settings": {"a": 1},
        "inputs": {"b": "c.d"},
        "tags": ["x"],
        "icon": "star",
    }
    assert document.workflow.extra == {"steps": {}, "x-team": "R"}
    assert dump(document) == text


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sett", "set"),
        ("SET", "set"),
        ("settings", "set"),
        ("timout", "timeout"),
        ("on-error", "on_error"),
        ("onerror", "on_error"),
        ("description", "note"),
        ("type", "kind"),
        ("Title", "title"),
    ],
)
def test_near_misses_name_the_right_word(key, meant):
    (warning,) = parse(f"phloem: 1\nnodes:\n  a: {{kind: x@1, {key}: 1}}\n").warnings
    assert warning.hint == f"Did you mean `{meant}`?"


def test_a_body_is_a_workflow_in_its_node():
    text = "phloem: 1\nnodes:\n  each: {kind: x@1, do: {nodes: {b: {kind: y@1, in: {t: input.item}}}, outputs: {o: b.text}}}\n"
    assert parse(text).workflow.nodes["each"].do == Workflow(
        nodes={"b": Node("y@1", {"t": (Source("input", "item"),)})}, outputs={"o": Source("b", "text")}
    )


@pytest.mark.parametrize(
    ("do", "node"), [("", "each"), ("[]", "each"), ("{nodes: {b: {kind: 3}}}", "each/b"), ("{nodes: {c: 1}}", "each/c")]
)
def test_a_body_that_is_none_is_a_problem_of_its_node(do, node):
    (found,) = problems(f"phloem: 1\nnodes:\n  each: {{kind: x@1, do: {do}}}\n")
    assert (found.line, found.node) == (3, node)


def test_marks_fall_back_to_what_is_around():
    marks = parse("phloem: 1\nnodes:\n  a: {kind: x@1, set: {v: [1, {w: 2}]}}\n").marks
    assert marks.of() == (1, 1)
    assert marks.of("nodes", "a", "set", "v", 1, "w") == (3, 32)
    assert marks.of("nodes", "a", "set", "v", 9) == marks.of("nodes", "a", "set", "v") == (3, 24)
    assert marks.of("nodes", "b") == (2, 1)
    assert parse("phloem: 1").replace(Workflow()).marks.of("nodes") == (1, 1)
