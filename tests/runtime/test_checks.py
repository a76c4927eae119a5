"""What is wrong with a workflow is told before it runs: all of it, with place, reason and remedy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.checks import check
from phloem.runtime.declare import kind_of, node
from phloem.runtime.errors import CheckError, Problem
from phloem.runtime.kinds import Nesting
from phloem.runtime.ports import PortType
from phloem.runtime.workflow import Node, OnError, Source, Workflow
from support import kinds_for_tests as kinds
from support.playing import box, drawn, given

CATALOGUE = kinds.catalogue()


def problems(workflow: Workflow, **more) -> list[Problem]:
    with pytest.raises(CheckError) as refused:
        check(workflow, CATALOGUE, **more)
    return list(refused.value.problems)


def problem(workflow: Workflow) -> Problem:
    (only,) = problems(workflow)
    return only


def test_a_sound_workflow_has_no_problems():
    workflow = drawn(
        {"n": box("test.numbers", set={"n": 4}), "d": box("test.double", {"x": "n.number"})},
        {"more": given("number", 3)},
        out="d.number",
        same="input.more",
    )
    found = check(workflow, CATALOGUE)
    assert found.nodes["d"].maps == 1
    assert str(found.nodes["d"].outputs["number"]) == "list[number]"
    assert found.nodes["n"].values == {"n": 4}


def test_an_empty_workflow_has_no_problems():
    assert check(Workflow(), CATALOGUE).nodes == {}


def test_everything_wrong_is_told_at_once_with_its_place():
    workflow = drawn(
        {
            "a": box("test.dubble", set={"x": 1}),
            "b": box("test.double"),
            "c": box("test.double", {"x": "nowhere.number"}),
            "d": box("test.double", {"x": "b.nmber"}),
            "e": box("test.double", {"y": "b.number"}, {"x": 1}),
            "f": box("test.upper", set={"text": "a", "size": 3}),
            "g": box("test.double", {"x": "b.number"}, {"x": 1}),
            "h": box("test.numbers", set={"n": -1}),
            "i": box("test.double", {"x": "input.cout"}),
            "j": box("test.double", {"x": "text.text"}),
            "text": box("test.upper", set={"text": "a"}),
        },
        {"count": given("number", "many")},
        out="b.numbers",
        other="gone.text",
    )
    found = {(one.node, one.port): one for one in problems(workflow)}
    assert set(found) == {
        (None, None), ("a", None), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "y"), ("f", "size"), ("g", "x"), ("h", "n"),
        ("i", "x"), ("j", "x"),
    }  # fmt: skip
    assert len(problems(workflow)) == 13
    assert "Did you mean test.double@1?" in str(found["a", None].hint)
    assert found["d", "x"].hint == "Did you mean b.number?"
    assert found["i", "x"].hint == "Did you mean input.count?"


@pytest.mark.parametrize(
    "node, message, hint",
    [
        (box("tost.duble"), "there is no kind of node called tost.duble@1", "Did you mean test.double@1?"),
        (box("zzz.qqq"), "there is no kind of node called zzz.qqq@1", "Install the package that brings it"),
        (Node("test.double", set={"x": 1}), "the kind test.double is written without its version", "Write test.double@1"),
        (Node("test.double@2", set={"x": 1}), "version 2 of test.double is not installed; version 1 is", "Update the package"),
        (Node("test.double@0", set={"x": 1}), "version 0 of test.double is not installed", "or write test.double@1"),
        (Node("test.double@x", set={"x": 1}), "version x of test.double is not installed", None),
        (Node("test.double@²", set={"x": 1}), "version ² of test.double is not installed", None),
        (Node("test.double@" + "9" * 5000, set={"x": 1}), "of test.double is not installed", None),
        (Node("test.double@1@1", set={"x": 1}), "version 1@1 of test.double is not installed", None),
        (Node("test.strict@1", set={"text": ""}), "version 1 of test.strict is not installed; version 3 is", None),
        (Node("", set={}), "there is no kind of node called ", "Install the package"),
    ],
)  # fmt: skip
def test_a_kind_that_is_not_there_is_told_with_the_nearest_that_is(node, message, hint):
    found = problem(drawn({"a": node}))
    assert found.node == "a"
    assert message in found.message
    assert hint is None or hint in str(found.hint)


def test_settings_of_an_older_version_are_brought_to_the_newest():
    found = check(drawn({"a": Node("test.strict@2", set={"text": "abc", "length": 2})}), CATALOGUE)
    assert found.nodes["a"].values == {"text": "abc", "size": 2, "length": 0, "by": "letters"}


def test_what_a_migration_makes_is_checked_too():
    found = problem(drawn({"a": Node("test.strict@2", set={"text": "abc", "length": 99})}))
    assert (found.port, found.message) == ("size", "the value of size is 99; the most is 10")


def test_the_newest_version_of_a_kind_is_the_one_that_runs():
    older = replace(kind_of(kinds.double), version=1)
    newer = replace(older, version=2, migrations={1: lambda settings: settings})
    for order in ([older, newer], [newer, older]):
        found = check(drawn({"a": Node("test.double@1", set={"x": 1})}), Catalogue(order))
        assert found.nodes["a"].kind.version == 2


@pytest.mark.parametrize(
    "kind, settings, message",
    [
        ("test.strict@3", {"text": "a", "size": 0}, "the value of size is 0; the least is 1"),
        ("test.strict@3", {"text": "a", "size": 11}, "the value of size is 11; the most is 10"),
        ("test.strict@3", {"text": "a", "size": math.nan}, "the value of size is nan; the least is 1"),
        ("test.strict@3", {"text": "a", "size": "3"}, "the value of size does not fit: expected number, got text: 3"),
        ("test.strict@3", {"text": "a", "size": True}, "the value of size does not fit: expected number, got boolean: true"),
        ("test.strict@3", {"text": "a", "size": None}, "the value of size is empty; it takes a number"),
        ("test.strict@3", {"text": "a", "by": "word"}, "the value of by is word; it can be letters or words. Did you mean words?"),
        ("test.strict@3", {"text": "a", "by": "x"}, "the value of by is x; it can be letters or words"),
        ("test.strict@3", {"text": ["a"]}, "the value of text must be a text, not a list"),
        ("test.strict@3", {"text": {"a": 1}}, "the value of text must be a text, not a mapping"),
        ("test.total@1", {"values": [1, "2"]}, "the value of values does not fit: expected number, got text: 2"),
        ("test.if@1", {"value": 1, "when": 1}, "the value of when does not fit: expected boolean, got number: 1"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told_in_words(kind, settings, message):
    found = problem(drawn({"a": Node(kind, set=settings)}))
    assert found.message == message
    assert found.node == "a"
    assert found.port in settings


@pytest.mark.parametrize("value, text", [(3, "3"), (2.5, "2.5"), (True, "true"), ("three", "three")])
def test_a_text_may_be_written_without_quotes(value, text):
    found = check(drawn({"a": box("test.upper", set={"text": value})}), CATALOGUE)
    assert found.nodes["a"].values == {"text": text}


def test_a_value_for_a_list_may_be_written_as_one_item():
    found = check(drawn({"a": box("test.total", set={"values": 3})}), CATALOGUE)
    assert found.nodes["a"].values == {"values": [3]}


@pytest.mark.parametrize(
    "output, target, message, hint",
    [
        ("word.text", "test.double.x", "word.text does not fit the input x: a text cannot become a number",
         "Turn the text into a number first"),
        ("file.file", "test.upper.text", "file.file does not fit the input text: a file cannot become a text",
         "Read it into text first"),
        ("word.text", "test.if.when", "word.text does not fit the input when: a text cannot become a boolean",
         "The input takes boolean."),
        ("list.number", "test.if.when", "list.number does not fit the input when: a list[number] cannot become a boolean", None),
        ("table.number", "test.join.texts",
         "table.number does not fit the input texts: a list[list[number]] cannot become a list[text]",
         "The input takes list[text] (Texts)."),
    ],
)  # fmt: skip
def test_a_link_between_types_that_do_not_agree_is_told_with_a_remedy(output, target, message, hint):
    kind, _, port = target.rpartition(".")
    rest = {"value": 1} if kind == "test.if" else {}
    workflow = drawn(
        {
            "word": box("test.upper", set={"text": "a"}),
            "list": box("test.numbers"),
            "table": box("test.table", set={"rows": 2}),
            "file": box("test.payload"),
            "to": box(kind, {port: output}, rest),
        }
    )
    found = problem(workflow)
    assert (found.node, found.port, found.message) == ("to", port, message)
    assert hint is None or hint in str(found.hint)


@pytest.mark.parametrize(
    "links, message, hint",
    [
        ({"x": "gone.number"}, "there is no node called gone", "Did you mean gonne?"),
        ({"x": "gonne.numbr"}, "gonne (test.double@1) has no output numbr", "Did you mean gonne.number?"),
        ({"x": "input.a"}, "there is no input called a", "The workflow has no inputs."),
        ({"x": "mute.out"}, "mute (test.nothing@1) has no outputs", None),
        ({"x": ["gonne.number", "gonne.number"]}, "the input x takes one link, not 2", "join them first"),
    ],
)
def test_a_link_that_leads_nowhere_is_told_with_the_nearest_name(links, message, hint):
    workflow = drawn(
        {"gonne": box("test.double", set={"x": 1}), "mute": box("test.nothing"), "to": box("test.double", links)}
    )
    found = problem(workflow)
    assert (found.node, found.port, found.message) == ("to", "x", message)
    assert hint is None or hint in str(found.hint)


def test_an_input_with_a_link_and_a_value_is_told():
    found = problem(
        drawn({"a": box("test.double", set={"x": 1}), "b": box("test.double", {"x": "a.number"}, {"x": 2})})
    )
    assert (found.node, found.port, found.message) == ("b", "x", "x has a link and a value")


def test_a_missing_input_is_told_with_its_type():
    found = problem(drawn({"a": box("test.subtract", set={"a": 1})}))
    assert (found.node, found.port) == ("a", "b")
    assert found.message == "the input b (number) is missing"


def test_an_empty_list_of_links_is_no_link():
    empty = Node("test.join@1", links={"texts": ()})
    assert problem(drawn({"a": empty})).message == "the input texts (list[text]) is missing"
    gather = Node("test.gather@1", links={"values": ()})
    assert check(drawn({"a": gather}), CATALOGUE).nodes["a"].values == {"values": ()}


def test_a_setting_may_be_linked_unless_it_shapes_the_node():
    from_node = drawn({"n": box("test.double", set={"x": 2}), "list": box("test.numbers", {"n": "n.number"})})
    assert check(from_node, CATALOGUE)
    found = problem(
        drawn(
            {
                "w": box("test.words", set={"text": "a b"}),
                "s": box("test.switch", {"cases": "w.text"}, {"value": 1, "key": "a"}),
            }
        )
    )
    assert (found.node, found.port) == ("s", "cases")
    assert found.message == "cases decides which ports the node has, so it cannot be linked"


@pytest.mark.parametrize("cases, message", [
    (["else"], "a case cannot be called else"),
    ({"a": 1}, "the value of cases does not fit: expected text, got json: {\"a\": 1}"),
    (None, "the value of cases is empty; it takes a list[text]"),
])  # fmt: skip
def test_a_value_that_shapes_the_node_wrongly_is_told_where_it_stands(cases, message):
    found = problem(drawn({"s": box("test.switch", set={"value": 1, "key": "a", "cases": cases})}))
    assert (found.node, found.port, found.message) == ("s", "cases", message)


def test_the_ports_of_a_node_follow_its_settings_and_its_links():
    workflow = drawn(
        {
            "n": box("test.upper", set={"text": "a"}),
            "s": box("test.switch", {"value": "n.text"}, {"key": "a", "cases": ["a", "b"]}),
        }
    )
    assert {name: str(one) for name, one in check(workflow, CATALOGUE).nodes["s"].outputs.items()} == {
        "a": "text", "b": "text", "else": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    "links, way",
    [
        ({"b": "a"}, None),
        ({"a": "a"}, "a → a"),
        ({"a": "b", "b": "a"}, "a → b → a"),
        ({"a": "c", "b": "a", "c": "b"}, "a → b → c → a"),
    ],
)
def test_a_circle_is_shown_link_by_link(links, way):
    nodes = {
        name: box("test.add", {"a": f"{links[name]}.number"}) if name in links else box("test.add", set={"a": 1})
        for name in "abc"
    }
    if way is None:
        assert check(drawn(nodes), CATALOGUE)
        return
    found = problem(drawn(nodes))
    assert found.message == f"the links go round in a circle: {way}"
    assert found.node == "a"
    assert "Remove one of these links" in str(found.hint)


def test_every_circle_is_told_and_so_is_what_else_is_wrong():
    nodes = {
        "a": box("test.add", {"a": "b.number"}),
        "b": box("test.add", {"a": "a.number"}),
        "c": box("test.add", {"a": "c.number"}),
        "d": box("test.nosuch"),
    }
    found = problems(drawn(nodes))
    assert sorted(one.message for one in found if "circle" in one.message) == [
        "the links go round in a circle: a → b → a",
        "the links go round in a circle: c → c",
    ]
    assert [one.node for one in found if "circle" not in one.message] == ["d"]


def test_lists_of_different_depth_cannot_be_gone_through_together():
    workflow = drawn(
        {
            "list": box("test.numbers"),
            "table": box("test.table", set={"rows": 2}),
            "add": box("test.add", {"a": "list.number", "b": "table.number"}),
        }
    )
    found = problem(workflow)
    assert "once per item of lists of different depth (1 and 2)" in found.message


def test_no_node_may_be_called_input():
    found = problem(Workflow(nodes={"input": box("test.numbers")}))
    assert found.message == "input means the workflow's own inputs"


def test_a_routed_error_is_an_output_that_is_never_a_list():
    workflow = drawn(
        {"n": box("test.numbers"), "d": box("test.double", {"x": "n.number"}, on_error=OnError("route"))}, e="d.error"
    )
    outputs = check(workflow, CATALOGUE).nodes["d"].outputs
    assert {name: str(one) for name, one in outputs.items()} == {"number": "list[number]", "error": "json"}


def test_there_is_no_error_output_without_route():
    found = problem(drawn({"d": box("test.double", set={"x": 1})}, e="d.error"))
    assert found.message == "d (test.double@1) has no output error"


@pytest.mark.parametrize(
    "kind, default, message",
    [
        ("test.double", "none", "the default of the output number does not fit: expected number, got text: none"),
        ("test.double", None, "the default of the output number does not fit: expected number, got json: null"),
        ("test.divide", {"quotient": "a"}, "the default of the output quotient does not fit: expected number, got text: a"),
    ],
)  # fmt: skip
def test_a_default_for_a_failure_has_to_fit_the_output(kind, default, message):
    node = box(kind, set={"x": 1} if kind == "test.double" else {"a": 1, "b": 1}, on_error=OnError("default", default))
    assert problem(drawn({"d": node})).message == message


def test_problems_carry_the_line_of_the_part_that_is_wrong():
    lines = {("nodes", "a", "kind"): (3, 5), ("nodes", "b", "set", "n"): (9, 7), ("outputs", "o"): (12, 1)}
    workflow = Workflow(
        nodes={"a": box("test.nosuch"), "b": box("test.numbers", set={"n": -1})}, outputs={"o": Source("c", "x")}
    )
    found = problems(workflow, place=lambda *path: lines.get(path), file="ask.flow.yaml")
    assert [(one.file, one.line, one.column) for one in found] == [("ask.flow.yaml", *spot) for spot in lines.values()]
    assert str(found[1]).startswith("ask.flow.yaml:9:7: b.n: the value of n is -1")


def test_a_disabled_node_is_checked_like_any_other():
    assert problem(drawn({"a": box("test.double", disabled=True)})).port == "x"


def test_names_with_every_letter_are_checked_without_a_crash():
    odd = ["", " ", "ä", "\ud800", "a.b", "a/b", "x" * 10_000, "input.x", "\n", "\0"]
    nodes = {name: box("test.add", {"a": "gone.number"}) for name in odd}
    assert len(problems(Workflow(nodes=nodes))) == len(odd)


def test_an_unknown_kind_does_not_hide_or_multiply_other_problems():
    workflow = drawn(
        {
            "a": box("test.nosuch"),
            "b": box("test.double", {"x": "a.anything"}),
            "c": box("test.double", {"x": "b.nothing"}),
        },
        o="a.more",
    )
    assert [(one.node, one.port) for one in problems(workflow)] == [("a", None), ("c", "x")]


def test_many_links_into_one_port_each_bring_what_they_have():
    workflow = drawn(
        {
            "n": box("test.numbers"),
            "w": box("test.words", set={"text": "a b"}),
            "u": box("test.upper", set={"text": "c"}),
            "j": box("test.join", {"texts": ["n.number", "w.text", "u.text"]}),
        }
    )
    assert check(workflow, CATALOGUE).nodes["j"].outputs == {"text": PortType("text")}


def test_a_kind_with_a_bug_is_a_problem_of_its_node_and_not_of_the_check():
    @node("own.older", "Older", version=2, migrations={1: lambda old: {"x": old["gone"]}})
    def older(x: float = 1) -> float:
        return x

    @node("own.ports", "Ports", ports=lambda settings, types: {}["gone"])
    def ports(x: float = 1) -> float:
        return x

    async def nests(body, **inputs):
        return {}

    def buggy(*_):
        raise ZeroDivisionError("division by zero")

    givers = node("own.given", "Given", nests=Nesting(given=buggy))(nests)
    catalogue = [*CATALOGUE, kind_of(older), kind_of(ports), kind_of(givers)]
    catalogue.append(kind_of(node("own.outputs", "Outputs", nests=Nesting(outputs=buggy))(nests)))
    nodes = {
        "older": Node("own.older@1"),
        "ports": box("own.ports"),
        "given": box("own.given", do=drawn({})),
        "outputs": box("own.outputs", do=drawn({})),
    }
    with pytest.raises(CheckError) as refused:
        check(drawn(nodes), Catalogue(catalogue))
    found = {one.node: one for one in refused.value.problems}
    assert set(found) == set(nodes)
    assert found["older"].message.startswith("its settings cannot be brought from version 1 to 2: KeyError: 'gone'")
    assert "division by zero" in found["given"].message
    assert {one.hint for one in found.values()} == {"This is a bug in the node. Please tell its author."}


def test_problems_come_in_the_order_of_the_file():
    nodes = {f"n{number}": box("no.kind", {"x": f"gone{number}.y"}) for number in range(20)}
    told = [one.node for one in problems(drawn(nodes)) if one.port]
    assert told == list(nodes)


def test_very_many_problems_are_told_in_few_words_each():
    nodes = {f"node{number}": box("test.double", {"x": "zzzzqqqq.y"}) for number in range(2_000)}
    found = problems(drawn(nodes))
    assert len(found) == 2_000
    assert str(found[-1].hint).endswith("node29 and 1,970 more.")
    assert sum(len(str(one)) for one in found) < 1_000_000
