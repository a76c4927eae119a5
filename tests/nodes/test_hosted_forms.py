"""Answers in a form from hosted models: every way of holding one to it, and what is done where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from phloem.nodes.services.models.hosted.holding import closed
from phloem.nodes.services.models.hosted.service import HostedModels
from phloem.runtime.errors import InputError, ServiceError, SettingError
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Request, Tool
from phloem.runtime.values import Blob, Message
from support.hosted import KEY, Bill, Peer, run, set_provider
from support.model_server import Call, Said, serving_models
from support.openai_server import OpenAIServer

pytest_plugins = ["support.hosted_fixtures"]

PRICE = {
    "type": "object",
    "properties": {"price": {"type": "integer", "minimum": 1}, "color": {"enum": ["red", "green"]}},
    "required": ["price", "color"],
}
RIGHT = '{"price": 12, "color": "red"}'


def saying(*texts: str) -> Callable[[Any], Said]:
    """A model that answers these, one after the other, as its protocol has it: by the tool if it has to call one."""
    left = list(texts)

    def model(body: Any) -> Said:
        text = left.pop(0)
        return Said(calls=[Call("answer", text)]) if "tool_choice" in body else Said([text[:3], text[3:]])

    return model


def test_a_schema_is_held_in_the_best_way(peer: Peer) -> None:
    peer.server.model = saying(RIGHT)
    assert peer.fill("Which?", form={"schema": PRICE}) == {"price": 12, "color": "red"}
    closed = {**PRICE, "additionalProperties": False}
    if peer.model.startswith("openai"):
        assert peer.body["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": closed, "strict": True},
        }
    else:
        assert peer.body["tools"][0]["input_schema"] == closed
        assert peer.body["tool_choice"]["name"] == "answer"


@pytest.mark.parametrize(
    ("form", "answer", "value"),
    [
        ({"choices": ["red", "green"]}, "green", "green"),
        ({"pattern": r"\d+ (euros|dollars)"}, "12 euros", "12 euros"),
        ({"schema": {"type": "array", "items": {"type": "integer"}}}, [1, 2], [1, 2]),
        ({"schema": {"enum": [1, None, "x"]}}, None, None),
        (
            {"schema": {"$defs": {"n": {"type": "number"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}},
            [1.5],
            [1.5],
        ),
    ],
)
def test_what_is_no_object_is_wrapped_in_one(peer: Peer, form: Any, answer: Any, value: Any) -> None:
    peer.server.model = saying(json.dumps({"answer": answer}))
    assert peer.fill("Which?", form=form) == value
    sent = (
        peer.body.get("response_format", {}).get("json_schema", {}).get("schema")
        or peer.body["tools"][0]["input_schema"]
    )
    assert sent["type"] == "object"
    assert sent["required"] == ["answer"]
    if "$defs" in form.get("schema", {}):
        assert sent["$defs"] == {"n": {"type": "number"}}


def test_a_wrong_answer_is_asked_for_again_with_what_is_wrong(peer: Peer) -> None:
    peer.server.model = saying('{"price": 0, "color": "red"}', '{"price": 12, "color": "blue"}', RIGHT)
    assert peer.fill("Which?", form={"schema": PRICE}) == {"price": 12, "color": "red"}
    turns = peer.body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert "blue" in json.dumps(turns[3])
    assert "cannot be used" in json.dumps(turns[4])
    # All three are paid for.
    assert (peer.bill.read, peer.bill.written) == (33, 21)


def test_after_three_wrong_answers_it_is_an_error(peer: Peer) -> None:
    peer.server.model = saying(*['{"price": 0, "color": "red"}'] * 9)
    with pytest.raises(ServiceError, match="does not fit the schema"):
        peer.fill("Which?", form={"schema": PRICE})
    assert len(peer.server.asked) == 3


@pytest.mark.parametrize(
    "answer", ["", "no JSON", "[1]", '{"answer": ', "[" * 5000, '{"answer": "blue"}', '{"answer": 5}', "{}"]
)
def test_no_answer_gets_through_that_does_not_fit(openai: Peer, answer: str) -> None:
    openai.server.model = lambda body: Said(answer)
    with pytest.raises(ServiceError):
        openai.fill("Which?", form={"choices": ["red", "green"]})


def test_a_server_that_knows_no_schemas(openai: Peer) -> None:
    openai.server.refuses = {
        "response_format.json_schema": "This model does not support response format `json_schema`."
    }
    openai.server.model = saying("```json\n" + RIGHT + "\n```", RIGHT)

    async def twice(models: HostedModels) -> Any:
        request = Request(asked="Which?", form={"schema": PRICE})
        return [await models.structured(openai.model, request, openai.bill) for _ in range(2)]

    assert run(openai.home, twice) == [{"price": 12, "color": "red"}] * 2
    assert openai.body["response_format"] == {"type": "json_object"}
    assert "JSON Schema" in openai.body["messages"][-1]["content"]
    # The refusal is remembered.
    assert len(openai.server.asked) == 3


def test_a_server_that_knows_nothing_of_forms(openai: Peer) -> None:
    openai.server.refuses = {"response_format": "response_format: extra fields not permitted"}
    openai.server.model = saying("<think>hm, red?</think>\n red ")
    assert openai.fill("Which?", form={"choices": ["red", "green"]}) == "red"
    assert openai.body["messages"][-1]["content"].endswith("exactly as it stands:\nred\ngreen")


def test_a_model_that_may_not_be_made_to_call_a_tool(claude: Peer) -> None:
    claude.server.refuses = {"tool_choice": "Thinking may not be enabled when tool_choice forces tool use."}
    claude.server.model = saying(RIGHT)
    assert claude.fill("Which?", form={"schema": PRICE}) == {"price": 12, "color": "red"}


def test_a_model_that_answers_beside_the_tool(claude: Peer) -> None:
    claude.server.model = lambda body: Said(RIGHT)
    assert claude.fill("Which?", form={"schema": PRICE}) == {"price": 12, "color": "red"}


def test_images_stay_with_the_question(openai: Peer) -> None:
    openai.server.refuses = {"response_format": "no"}
    openai.server.model = saying("red")
    asked = (Message("user", "Which?", images=(Blob(b"x", "a.png", "image/png"),)),)
    openai.fill(asked, form={"choices": ["red"]})
    parts = openai.body["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]


def test_an_error_that_is_not_about_the_form_is_told(peer: Peer) -> None:
    peer.server.refuses = {"messages": "messages: something else is wrong"}
    with pytest.raises(ServiceError, match="something else is wrong"):
        peer.fill("Which?", form={"schema": PRICE})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"b": {"const": 1}}}]},
        {"type": "object", "allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
        {
            "type": "object",
            "properties": {"a": {"const": {"properties": {}}}},
            "additionalProperties": {"type": "null"},
        },
    ],
)
def test_a_schema_is_not_closed_where_that_would_change_it(schema: Any) -> None:
    assert closed(schema) == schema


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (PRICE, True),
        ({**PRICE, "required": ["price"]}, False),
        ({**PRICE, "additionalProperties": True}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"oneOf": [{"type": "null"}, {"type": "string"}]}},
                "required": ["a"],
            },
            False,
        ),
        ({"type": "object", "properties": {"required": {"const": {"properties": 5}}}, "required": ["required"]}, True),
    ],
)
def test_strict_only_where_the_schema_allows_it(openai: Peer, schema: Any, strict: bool) -> None:
    openai.server.model = lambda body: Said(finish="content_filter")
    with pytest.raises(ServiceError, match="refused"):
        openai.fill("Which?", form={"schema": schema})
    assert openai.body["response_format"]["json_schema"]["strict"] is strict


def test_an_answer_that_is_cut_off(peer: Peer) -> None:
    finish = "length" if peer.model.startswith("openai") else "max_tokens"
    half = '{"price": 12, "col'
    peer.server.model = lambda body: Said(half, finish=finish)
    with pytest.raises(ServiceError, match="cut off by max_tokens"):
        peer.fill("Which?", form={"schema": PRICE})
    assert peer.fill("Which?", form={"schema": PRICE}, close=True) == {"price": 12, "color": "red"}


def test_a_call_that_stands_for_the_answer_is_cut_off_like_one(claude: Peer) -> None:
    claude.server.model = lambda body: Said(calls=[Call("answer", '{"price": 12, "col')], finish="max_tokens")
    with pytest.raises(ServiceError, match="cut off by max_tokens"):
        claude.fill("Which?", form={"schema": PRICE})
    assert claude.fill("Which?", form={"schema": PRICE}, close=True) == {"price": 12, "color": "red"}


def test_a_refusal_in_words(openai: Peer) -> None:
    openai.server.model = lambda body: Said(refusal="I cannot.")
    with pytest.raises(ServiceError, match=r"refused to answer: 'I cannot\.'"):
        openai.fill("Which?", form={"schema": PRICE})
    assert len(openai.server.asked) == 1


@pytest.mark.parametrize(
    ("form", "text"), [({"schema": PRICE}, RIGHT), ({"choices": ["red"]}, "red"), ({"pattern": "[0-9]+"}, "123")]
)
def test_a_grammar_where_the_server_takes_one(home: Home, bare: pytest.MonkeyPatch, form: Any, text: str) -> None:
    with serving_models(OpenAIServer) as server:
        set_provider(home, "llama-server", server.url)
        server.model = saying(text, text)
        request = Request(asked="Which?", form=form)
        value = run(home, lambda models: models.structured("llama-server:gpt-test", request, Bill()))
        assert value == (json.loads(text) if "schema" in form else text)
        assert "root ::=" in server.asked[-1].body["grammar"]
        assert "response_format" not in server.asked[-1].body
        set_provider(home, "vllm", server.url)
        run(home, lambda models: models.structured("vllm:gpt-test", request, Bill()))
        sent = server.asked[-1].body["structured_outputs"]
        assert sent == {
            "schema": {"json": {**PRICE, "additionalProperties": False}}, "choices": {"choice": ["red"]},
            "pattern": {"regex": "[0-9]+"},
        }[next(iter(form))]  # fmt: skip


def test_a_server_that_passes_over_what_it_does_not_know(home: Home, bare: pytest.MonkeyPatch) -> None:
    with serving_models(OpenAIServer) as server:
        set_provider(home, "vllm", server.url)
        server.model = lambda body: Said('{"answer": "red"}' if "response_format" in body else "Red, I think")

        async def twice(models: HostedModels) -> Any:
            request = Request(asked="Which?", form={"choices": ["red", "green"]})
            return [await models.structured("vllm:gpt-test", request, Bill()) for _ in range(2)]

        assert run(home, twice) == ["red", "red"]
        assert len(server.asked) == 3


def test_a_raw_grammar_only_where_it_is_taken(peer: Peer, bare: pytest.MonkeyPatch) -> None:
    form = {"grammar": 'root ::= "yes" | "no"'}
    with pytest.raises(SettingError, match="does not hold answers to a grammar"):
        peer.fill("Well?", form=form)
    with serving_models(OpenAIServer) as server:
        set_provider(peer.home, "llama-server", server.url)
        server.model = saying("yes", "maybe", "maybe", "maybe")

        def ask():
            return run(
                peer.home,
                lambda models: models.structured("llama-server:gpt-test", Request(asked="Well?", form=form), Bill()),
            )

        assert ask() == "yes"
        with pytest.raises(ServiceError):
            ask()


def test_a_form_that_is_none_is_found_before_anything_is_asked(peer: Peer) -> None:
    for form in (
        {"schema": {"type": "nonsense"}},
        {"pattern": "("},
        {"choices": []},
        {"schema": PRICE, "pattern": "x"},
    ):
        with pytest.raises(SettingError):
            peer.fill("Which?", form=form)
    assert peer.server.asked == []


def test_an_answer_with_a_form_comes_in_one_piece(peer: Peer) -> None:
    peer.server.model = saying(RIGHT)
    text, ending = peer.ask("Which?", form={"schema": PRICE})
    assert json.loads(text) == json.loads(RIGHT)
    assert ending == Ending()
    peer.server.model = saying('{"answer": "red"}')
    assert peer.ask("Which?", form={"choices": ["red"]})[0] == "red"


def test_a_form_and_tools_do_not_go_together(peer: Peer) -> None:
    with pytest.raises(SettingError, match="calls no tools"):
        peer.fill("Which?", form={"schema": PRICE}, tools=(Tool("weather"),))


def test_nothing_asked_with_a_form(peer: Peer) -> None:
    with pytest.raises(InputError, match="nothing to answer"):
        peer.fill("", form={"schema": PRICE})


def test_the_key_is_in_no_body(peer: Peer) -> None:
    peer.server.model = saying(RIGHT)
    peer.fill("Which?", form={"schema": PRICE})
    assert not re.search(re.escape(KEY), json.dumps(peer.body) + "".join(peer.bill.texts))
