"""Which ways are lit, which types they have, and which cases a switch can have."""

from __future__ import annotations

from typing import Any

import pytest
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.values import UNLIT, Document
from support.kinds import call, find, ports_of


def test_if_lights_one_way() -> None:
    assert call("flow.if", {"value": 1, "when": True}) == {"then": 1, "else": UNLIT}
    assert call("flow.if", {"when": False}) == {"then": UNLIT, "else": None}


@pytest.mark.parametrize(
    ("id", "settings"), [("flow.if", {}), ("flow.switch", {"cases": ["a", "b"]}), ("flow.require", {"message": "x"})]
)
def test_the_ways_have_the_type_of_the_value(id: str, settings: dict[str, Any]) -> None:
    kind = find(id)
    assert {str(one) for one in ports_of(kind, settings, value="list[hit]").outputs.values()} == {"list[hit]"}
    assert {str(one) for one in ports_of(kind, settings).outputs.values()} == {"any"}


def lit(key: Any, cases: list[str], **settings: Any) -> str:
    outputs = call("flow.switch", {"key": key, "cases": cases, "value": "here", **settings})
    ways = [name for name, value in outputs.items() if value is not UNLIT]
    assert len(ways) == 1
    assert outputs[ways[0]] == "here"
    return ways[0]


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("yes", "yes"),
        (" YES\n", "yes"),
        ("not sure", "not_sure"),
        ("Not-Sure", "not_sure"),
        ("not  sure", "not_sure"),
        (True, "true"),
        (Document("yes"), "yes"),
        ("perhaps", "else"),
        ("", "else"),
        (None, "else"),
        (["yes"], "else"),
        ("else", "else"),
    ],
)
def test_a_switch_takes_the_case_that_the_key_names(key: Any, wanted: str) -> None:
    assert lit(key, ["yes", "not_sure", "true"]) == wanted


def test_an_exact_switch_tells_case_and_spaces_apart() -> None:
    assert lit("YES", ["yes", "YES"], exact=True) == "YES"
    assert lit("not sure", ["not_sure"], exact=True) == "else"
    assert lit(" yes ", ["yes"], exact=True) == "yes"


def test_each_case_is_an_output_and_else_comes_last() -> None:
    assert list(ports_of(find("flow.switch"), {"cases": ["b", "a"]}).outputs) == ["b", "a", "else"]
    assert list(ports_of(find("flow.switch"), {"cases": "one"}).outputs) == ["one", "else"]


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([], "there are no cases"),
        (["not sure"], "'not sure' cannot be the name of a port"),
        (["2"], "cannot be the name of a port"),
        (["else"], "that name is taken"),
        (["error"], "that is the output for failures"),
        (["a", "a"], "twice"),
        (["Yes", "yes"], "set exact to true"),
        ([f"c{i}" for i in range(201)], "room for 200"),
    ],
)
def test_cases_that_cannot_be_outputs(cases: list[str], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        ports_of(find("flow.switch"), {"cases": cases})
    assert words in str(caught.value)


def test_merge_takes_the_first_of_what_is_lit() -> None:
    assert call("flow.merge", {"values": [None, 2]}) is None
    assert call("flow.merge", {"values": []}) is UNLIT
    assert str(ports_of(find("flow.merge"), {}, values="text").outputs["value"]) == "text"


def test_require_fails_in_the_words_it_was_given() -> None:
    assert call("flow.require", {"value": 1, "when": True, "message": "no"}) == 1
    with pytest.raises(InputError, match="The model gave no answer"):
        call("flow.require", {"when": False, "message": "The model gave no answer"})
    with pytest.raises(InputError, match="what had to be true is not"):
        call("flow.require", {"when": False, "message": " "})
