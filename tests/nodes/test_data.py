"""The data kinds: JSON read, queried, built and written, and what is done with lists."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.ports import PortType
from phloem.runtime.values import Document, Hit, Message
from support.kinds import call, find, ports_of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def output(id: str, settings: dict[str, Any], name: str, **types: str) -> str:
    """The type of an output of a node with these settings and links."""
    return str(ports_of(find(id), settings, **types).outputs[name])


# data.constant


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a", "text"),
        (1, "number"),
        (True, "boolean"),
        ([1, 2], "list[number]"),
        ({"a": 1}, "json"),
        (None, "json"),
        ([], "list[any]"),
    ],
)
def test_a_constant_has_the_type_of_its_value(value: Any, wanted: str) -> None:
    assert output("data.constant", {"value": value}, "value") == wanted
    assert call("data.constant", {"value": value}) == value


# data.parse and data.format


@pytest.mark.slow
@given(JSON)
def test_what_is_written_as_json_is_read_again(value: Any) -> None:
    for style in ("compact", "indented"):
        assert call("data.parse", {"text": call("data.format", {"value": value, "style": style})}) == value
    fenced = f"Here:\n```json\n{json.dumps(value)}\n```\nDone."
    assert call("data.parse", {"text": fenced, "anywhere": True}) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ("{'a': 1}", "line 1, column 2"),
        ('{"a": 1} extra', "extra data"),
        ("[NaN]", "NaN is not a JSON number"),
        ("1e999", "too large"),
        ("9" * 5000, "thousands of digits"),
        ("[" * 100_000, "more than 200 levels"),
        ("[" * 201 + "]" * 201, "more than 200 levels"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        call("data.parse", {"text": text})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"a": 1}', {"a": 1}),
        ("42", 42),
        ('As shown in [1], it is {"a": [1, 2]}.', {"a": [1, 2]}),
        ("```\n[1]\n```", [1]),
        ('```python\nprint({})\n```\nand {"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```\nor {"longer": "than the fence"}', {"a": 1}),
        ('The set {1} is not it, {"a": 1} is.', {"a": 1}),
        ("\ufeff [1]", [1]),
    ],
)
def test_json_is_found_in_what_models_write_around_it(text: str, wanted: Any) -> None:
    assert call("data.parse", {"text": text, "anywhere": True}) == wanted


@pytest.mark.parametrize("text", ["no JSON here", '{"a": {"b": 1}', '{"a": [{"b": 1}, {"b": ', "[1, 2", "``` ```"])
def test_json_that_is_not_there_or_breaks_off_is_not_made_up(text: str) -> None:
    with pytest.raises(InputError, match="no whole JSON object or list"):
        call("data.parse", {"text": text, "anywhere": True})


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{" * 200_000, "[" * 900 + "1," * 500_000 + "x", '[ "x ' * 50_000, "```" * 100_000]
)
def test_looking_for_json_in_nonsense_ends(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InputError):
        call("data.parse", {"text": text, "anywhere": True})
    assert time.perf_counter() - began < 20


def test_the_declared_type_is_held() -> None:
    assert output("data.parse", {"type": "list[text]"}, "value") == "list[text]"
    assert call("data.parse", {"text": '["a", 1]', "type": "list[text]"}) == ["a", "1"]
    assert call("data.parse", {"text": "42", "type": "number"}) == 42
    with pytest.raises(InputError, match="expected list"):
        call("data.parse", {"text": '"a"', "type": "list[text]"})
    with pytest.raises(InputError, match="expected number"):
        call("data.parse", {"text": '"a"', "type": "number"})
    with pytest.raises(SettingError, match="is not a type"):
        output("data.parse", {"type": "string"}, "value")


def test_json_lines_and_sorted_keys() -> None:
    assert call("data.format", {"value": [{"b": 1, "a": 2}], "style": "lines", "sort_keys": True}) == '{"a": 2, "b": 1}'
    assert call("data.format", {"value": [1], "style": "indented"}) == "[\n  1\n]"


# data.query


def query(text: str, value: Any, type: str = "any") -> Any:
    return call("data.query", {"query": text, "value": value, "type": type})


def test_queries() -> None:
    people = [{"name": "Kay", "born": 1704}, {"name": "Watt", "born": "unknown"}]
    assert query("[*].name", people) == ["Kay", "Watt"]
    assert query("[?born > `1700`].name | [0]", people) == "Kay"
    assert query("{who: [0].name, how_many: length(@)}", people) == {"who": "Kay", "how_many": 2}
    assert query("nothing.here", {}) is None


def test_the_type_of_a_result_can_be_declared() -> None:
    assert output("data.query", {"query": "a"}, "value") == "any"
    assert output("data.query", {"query": "a", "type": "list[text]"}, "value") == "list[text]"
    assert query("a", {"a": ["x"]}, "list[text]") == ["x"]
    with pytest.raises(InputError, match="got a single null"):
        query("a", {}, "list[text]")
    with pytest.raises(InputError, match="expected text"):
        query("a", {"a": {"b": 1}}, "text")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the query is empty"),
        ("people[", "ends too early"),
        ("a b", "wrong at character 3"),
        ("lenght(@)", "Did you mean length()?"),
        ("zzz(@)", "There is abs"),
        ("&a", "cannot begin with &"),
        ("length(@, @)", "Expected 1 argument"),
        ("(" * 3000, "is not one in JMESPath"),
        ("a" * 10_001, "longer than 10,000"),
    ],
)
def test_a_wrong_query_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        query(text, {"a": 1})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sum(@)", "takes list[number], not object"),
        ("abs('x')", "takes number, not text"),
        ("max_by(list, &x)", "not null"),
    ],
)
def test_a_function_that_does_not_apply(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        query(text, {"list": [{}]})
    assert words in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [" | ".join(["[@,@]"] * 60), " | ".join(["{a:@,b:@}"] * 60), "[*].[@,@,@,@,@,@][][].[@,@,@,@][][].[@,@,@,@]"],
)
def test_a_query_that_multiplies_without_end_is_stopped(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(SettingError, match="builds more than"):
        query(text, [{"i": str(index) * 5} for index in range(20_000)])
    assert time.perf_counter() - began < 20


# data.build and data.merge


def test_an_object_is_built_from_named_inputs() -> None:
    ports = ports_of(find("data.build"), {"fields": ["a", "b-c"]})
    assert {name for name in ports.inputs if name not in ("fields", "lists")} == {"a", "b-c"}
    ports = ports_of(find("data.build"), {"fields": ["a", "b"], "lists": ["b"]})
    assert [ports.inputs[name].maps for name in ("a", "b")] == ["always", None]
    built = call("data.build", {"fields": ["d", "n"], "d": Document("x", "t"), "n": None})
    assert built == {"d": {"text": "x", "title": "t", "source": "", "metadata": {}}, "n": None}
    assert list(call("data.build", {"fields": ["b", "a"], "a": 1, "b": 2})) == ["b", "a"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["a b"], "'a b' cannot be the name of a port"),
        (["fields"], "taken"),
        (["a", "a"], "twice"),
        ([""], "cannot be"),
        ([str(i) for i in range(3)], "cannot be"),
    ],
)
def test_fields_that_cannot_be_ports(fields: list[str], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        ports_of(find("data.build"), {"fields": fields})
    assert words in str(caught.value)


def test_merging_takes_only_objects() -> None:
    assert call("data.merge", {"values": []}) == {}
    with pytest.raises(InputError, match=r"value 2 is list\[number\], not an object"):
        call("data.merge", {"values": [{}, [1]]})


# lists


@pytest.mark.parametrize("id", ["data.slice", "data.sort", "data.unique", "data.reverse"])
def test_a_list_kind_gives_the_type_it_gets(id: str) -> None:
    assert output(id, {}, "items", items="list[document]") == "list[document]"
    assert output(id, {}, "items", items="text") == "list[text]"
    assert output(id, {}, "items", items="json") == "list[json]"
    assert output(id, {}, "items") == "list[any]"
    assert output(id, {"items": ["a"]}, "items") == "list[text]"


def test_kinds_that_change_the_depth_of_a_list() -> None:
    assert output("data.item", {}, "item", items="list[list[text]]") == "list[text]"
    assert output("data.item", {}, "item", items="list[hit]") == "hit"
    assert output("data.append", {}, "items", lists="list[text]") == "list[text]"
    assert output("data.flatten", {}, "items", items="list[list[text]]") == "list[text]"
    assert output("data.flatten", {"levels": 5}, "items", items="list[list[text]]") == "list[text]"
    assert output("data.flatten", {}, "items", items="list[any]") == "list[any]"


@pytest.mark.parametrize(
    ("value", "wanted"), [([1, 2], 2), ({"a": 1}, 1), ("héllo", 5), (None, 0), (Document("four"), 4), ([], 0)]
)
def test_length(value: Any, wanted: int) -> None:
    assert call("data.length", {"value": value}) == wanted


def test_a_number_has_no_length() -> None:
    with pytest.raises(InputError, match="5 has no length"):
        call("data.length", {"value": 5})


def test_an_item_must_be_there() -> None:
    assert call("data.item", {"items": ["a", "b"], "index": -2}) == "a"
    for index in (2, -3):
        with pytest.raises(InputError, match="in a list of 2"):
            call("data.item", {"items": ["a", "b"], "index": index})
    with pytest.raises(SettingError, match="whole number"):
        call("data.item", {"items": ["a"], "index": 0.5})


@given(st.lists(st.integers()), st.integers(-5, 5), st.none() | st.integers(-5, 5), st.integers(1, 3))
def test_slices_are_those_of_python(items: list[int], start: int, end: int | None, step: int) -> None:
    inputs = {"items": items, "start": start, "end": end, "step": step}
    assert call("data.slice", inputs) == items[start:end:step]
    assert call("data.slice", {**inputs, "step": -step}) == items[start:end][::-step]


def test_a_step_of_nothing() -> None:
    with pytest.raises(SettingError, match="step is 0"):
        call("data.slice", {"items": [1], "step": 0})


@given(st.lists(st.integers() | st.floats(allow_nan=False)))
def test_numbers_are_sorted_by_size(items: list[float]) -> None:
    assert call("data.sort", {"items": items}) == sorted(items)
    assert call("data.sort", {"items": items, "descending": True}) == sorted(items, reverse=True)


def test_sorting_keeps_equal_items_in_order_and_puts_null_last() -> None:
    items = [{"n": 2, "i": 0}, {"n": None, "i": 1}, {"n": 1, "i": 2}, {"n": 2, "i": 3}, {"i": 4}]
    assert [one["i"] for one in call("data.sort", {"items": items, "by": "n"})] == [2, 0, 3, 1, 4]
    assert [one["i"] for one in call("data.sort", {"items": items, "by": "n", "descending": True})] == [0, 3, 2, 1, 4]


def test_sorting_texts_and_values_with_fields() -> None:
    assert call("data.sort", {"items": ["b", "A", "a"]}) == ["A", "a", "b"]
    assert call("data.sort", {"items": ["b", "A", "a"], "ignore_case": True}) == ["A", "a", "b"]
    hits = [Hit("x", 0.2), Hit("y", 0.9)]
    assert call("data.sort", {"items": hits, "by": "score", "descending": True}) == hits[::-1]
    assert call("data.sort", {"items": [Document("b"), Document("a")]}) == [Document("a"), Document("b")]
    assert call("data.sort", {"items": ["1.5", "-2", " 10 "], "as_numbers": True}) == ["-2", "1.5", " 10 "]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"items": [1, "a"]}, "numbers and texts cannot be sorted together: 1 and 'a'"),
        ({"items": [{"a": 1}]}, "a json cannot be sorted"),
        ({"items": [True, False]}, "a boolean cannot be sorted"),
        ({"items": [float("nan")]}, "cannot be sorted"),
        ({"items": ["x"], "as_numbers": True}, "'x' is not a number"),
        ({"items": ["inf"], "as_numbers": True}, "is not a number"),
    ],
)
def test_what_has_no_order(inputs: dict[str, Any], words: str) -> None:
    inputs = {"items": [*inputs["items"]], **{k: v for k, v in inputs.items() if k != "items"}}
    if words.startswith("a boolean"):
        with pytest.raises(InputError):
            call("data.sort", {"items": [True, "a"]})
        return
    with pytest.raises(InputError) as caught:
        call("data.sort", inputs)
    assert words in str(caught.value)


def test_repeats_are_removed_by_value() -> None:
    assert call("data.unique", {"items": [1, 1.0, True, "1", None, None, [1], [1.0]]}) == [1, True, "1", None, [1]]
    assert call("data.unique", {"items": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}) == [{"a": 1, "b": 2}]
    assert call("data.unique", {"items": ["A", "a"], "ignore_case": True}) == ["A"]
    rows = [{"n": "x", "i": 1}, {"n": "x", "i": 2}, {"n": "y", "i": 3}]
    assert [one["i"] for one in call("data.unique", {"items": rows, "by": "n"})] == [1, 3]
    messages = [Message("user", "hi"), Message("user", "hi"), Message("assistant", "hi")]
    assert call("data.unique", {"items": messages}) == messages[1:]


def test_flattening() -> None:
    assert call("data.flatten", {"items": [[1, [2]], 3], "levels": 1}) == [1, [2], 3]
    assert call("data.flatten", {"items": [[1, [2]], 3], "levels": 2}) == [1, 2, 3]


def test_ranges() -> None:
    assert call("data.range", {"end": 0}) == []
    assert call("data.range", {"start": 3, "end": 0, "step": -1}) == [3, 2, 1]
    for inputs, words in (
        ({"end": 1, "step": 0}, "never end"),
        ({"end": 10**9}, "the most is"),
        ({"end": 1e300}, "beyond all bounds"),
    ):
        with pytest.raises(SettingError, match=words):
            call("data.range", inputs)


def test_the_type_of_a_list_is_a_port_type() -> None:
    assert PortType.parse(output("data.sort", {}, "items", items="list[vector]")) == PortType("vector", 1)
