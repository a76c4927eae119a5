"""Answers of hosted models, over real HTTP from servers that speak both protocols."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from phloem.nodes.services.models.hosted.service import HostedModels
from phloem.runtime.errors import InputError, LimitReached, ServiceError, SettingError
from phloem.runtime.home import Home
from phloem.runtime.services import Chance, Ending, Request, Sampling, Tool
from phloem.runtime.values import Blob, Message, ToolCall
from support.hosted import KEY, Bill, Peer, run, set_provider, whole
from support.model_server import Call, Failure, Said, serving_models
from support.openai_server import OpenAIServer

pytest_plugins = ["support.hosted_fixtures"]

WEATHER = Tool("weather", "Tells the weather", {"type": "object", "properties": {"city": {"type": "string"}}})
USUAL = Sampling(
    max_tokens=256, temperature=0.0, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.0, seed=7, stop=()
)  # fmt: skip
"""What the llm nodes send when nothing is set."""


def test_an_answer_comes_piece_by_piece_and_ends_once(peer: Peer) -> None:
    peer.server.model = lambda body: Said(["Hel", "lo ", "wörld 🌍"])

    async def pieces(models: HostedModels) -> list[str | Ending]:
        return [one async for one in models.answer(peer.model, Request(asked="Hi"), peer.bill)]

    found = run(peer.home, pieces)
    assert found[:-1] == ["Hel", "lo ", "wörld 🌍"]
    assert isinstance(found[-1], Ending)
    assert found[-1].finish == "stop"
    assert found[-1].model.startswith(peer.model.partition(":")[2])


def test_a_server_that_does_not_stream_is_understood(peer: Peer) -> None:
    peer.server.streams = False
    peer.server.model = lambda body: Said("All at once", calls=[Call("weather", '{"city": "Oslo"}')])
    text, ending = peer.ask("Hi", tools=(WEATHER,))
    assert text == "All at once"
    assert ending.calls == (ToolCall("call_1", "weather", {"city": "Oslo"}),)
    assert (peer.bill.read, peer.bill.written) == (11, 7)


def test_what_it_costs_is_told(peer: Peer) -> None:
    peer.server.model = lambda body: Said("Hello", read=100, written=20, cached=60)
    peer.ask("Hi")
    assert (peer.bill.read, peer.bill.written, peer.bill.cached) == (100, 20, 60)


def test_a_whole_conversation_goes_over_with_tools_and_their_answers(openai: Peer) -> None:
    said = (
        Message("system", "Be brief."),
        Message("user", "Weather in Oslo?"),
        Message("assistant", "", calls=(ToolCall("c1", "weather", {"city": "Oslo"}), ToolCall("c2", "weather", {}))),
        Message("tool", "rain", call_id="c1"),
        Message("tool", "unknown", call_id="c2"),
        Message("user", "Thanks"),
    )
    openai.ask(said, tools=(WEATHER,))
    sent = openai.body["messages"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert sent[2]["content"] is None
    assert [(one["id"], one["function"]["name"]) for one in sent[2]["tool_calls"]] == [
        ("c1", "weather"),
        ("c2", "weather"),
    ]
    assert json.loads(sent[2]["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo"}
    assert sent[3] == {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    assert openai.body["tools"][0]["function"]["parameters"] == WEATHER.parameters


def test_a_whole_conversation_in_anthropics_words(claude: Peer) -> None:
    said = (
        Message("system", "Be brief."),
        Message("user", "Weather in Oslo?"),
        Message("user", "And in Rome?"),
        Message("assistant", "I look.", calls=(ToolCall("c1", "weather", {"city": "Oslo"}),)),
        Message("tool", "rain", call_id="c1"),
        Message("user", "Thanks"),
    )
    text, _ = claude.ask(said, tools=(WEATHER,))
    assert text == "Hello"
    body = claude.body
    assert body["system"] == "Be brief."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use"]
    assert body["messages"][1]["content"][1]["input"] == {"city": "Oslo"}
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]
    assert body["tools"][0]["input_schema"] == WEATHER.parameters


def test_calls_of_tools_come_with_their_arguments(peer: Peer) -> None:
    peer.server.model = lambda body: Said(
        "Let me look.", calls=[Call("weather", '{"city": "Tromsø"}', "a"), Call("weather", "{}", "b")]
    )
    text, ending = peer.ask("Weather?", tools=(WEATHER,))
    assert text == "Let me look."
    assert ending.finish == "calls"
    assert ending.calls == (ToolCall("a", "weather", {"city": "Tromsø"}), ToolCall("b", "weather", {}))


def test_calls_that_share_an_index_are_several(openai: Peer) -> None:
    def call(id: str, city: str) -> Any:
        return {"index": 0, "id": id, "function": {"name": "weather", "arguments": json.dumps({"city": city})}}

    chunks = [{"delta": {"tool_calls": [call("a", "Oslo")]}}, {"delta": {"tool_calls": [call("b", "Rome")]}}]
    stream = "".join(f"data: {json.dumps({'choices': [chunk]})}\n\n" for chunk in chunks)
    stream += 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    openai.server.failures.append(Failure(200, stream.encode(), {"Content-Type": "text/event-stream"}))
    _, ending = openai.ask("Weather?", tools=(WEATHER,))
    assert ending.finish == "calls"
    assert [one.arguments["city"] for one in ending.calls] == ["Oslo", "Rome"]


@pytest.mark.parametrize("arguments", ['{"city": "Os', "[1]", "null", '"Oslo"', '{"city": NaN}', "[" * 5_000])
def test_arguments_that_are_no_object_are_an_error(peer: Peer, arguments: str) -> None:
    peer.server.model = lambda body: Said(calls=[Call("weather", arguments)])
    with pytest.raises(ServiceError, match=r"weather.*arguments that are not a JSON object") as caught:
        peer.ask("Weather?", tools=(WEATHER,))
    assert not caught.value.retryable
    assert peer.bill.read > 0


def test_half_a_character_in_arguments_is_replaced(peer: Peer) -> None:
    peer.server.model = lambda body: Said(calls=[Call("weather", '{"city": "a\\ud83db"}')])
    _, ending = peer.ask("Weather?", tools=(WEATHER,))
    assert ending.calls[0].arguments == {"city": "a\ufffdb"}


def test_an_answer_that_cannot_be_used_may_pass_a_limit(peer: Peer) -> None:
    peer.server.model = lambda body: Said(calls=[Call("weather", "[1]")], read=100)
    peer.bill.limit = 50
    with pytest.raises(LimitReached):
        peer.ask("Weather?", tools=(WEATHER,))


def test_a_call_that_is_cut_off_is_an_error(openai: Peer) -> None:
    openai.server.model = lambda body: Said(calls=[Call("weather", '{"city"')], finish="length")
    with pytest.raises(ServiceError, match="cut off in the middle of calling a tool"):
        openai.ask("Weather?", tools=(WEATHER,))


def test_images_go_along(peer: Peer) -> None:
    image = Blob(b"\x89PNG not really", "a.png", "image/png")
    peer.ask((Message("user", "What is it?", images=(image,)),))
    content = peer.body["messages"][0]["content"]
    if peer.model.startswith("openai"):
        assert content[0] == {"type": "text", "text": "What is it?"}
        assert content[1]["image_url"]["url"] == "data:image/png;base64,iVBORyBub3QgcmVhbGx5"
    else:
        assert content[0]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORyBub3QgcmVhbGx5"}
        assert content[1] == {"type": "text", "text": "What is it?"}
    assert "(15 bytes)" in peer.bill.texts[0]
    assert "iVBORyBub3" not in peer.bill.texts[0]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message("user", "x", images=(Blob(b"%PDF", "a.pdf", "application/pdf"),)), "a.pdf is not an image"),
        (Message("user", "x", images=(Blob(b"", "a.png", "image/png"),)), "a.png is empty"),
        (Message("user", "x", images=(Blob(b"x", "a", "image/png,evil"),)), "is not an image"),
        (Message("assistant", "x", images=(Blob(b"x", "a", "image/png"),)), "only the user's"),
    ],
)
def test_what_is_no_image_is_not_sent(peer: Peer, message: Message, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        peer.ask((message, Message("user", "go on")))
    assert peer.server.asked == []


@pytest.mark.parametrize("asked", ["", "  ", (), (Message("user", ""),)])
def test_nothing_to_answer(peer: Peer, asked: Any) -> None:
    with pytest.raises(InputError, match="nothing to answer"):
        peer.ask(asked)


def test_what_a_model_thinks_is_not_its_answer(peer: Peer) -> None:
    peer.server.model = lambda body: Said("42", thought="6 times 7, hm")
    assert peer.ask("6*7?")[0] == "42"


def test_a_cut_answer_says_so(peer: Peer) -> None:
    finish = "length" if peer.model.startswith("openai") else "max_tokens"
    peer.server.model = lambda body: Said("Once upon a", finish=finish)
    text, ending = peer.ask("Tell", sampling={"max_tokens": 3})
    assert (text, ending.finish) == ("Once upon a", "length")


def test_a_refusal_is_told(openai: Peer, claude: Peer) -> None:
    openai.server.model = lambda body: Said(refusal="I cannot help with that.")
    assert openai.ask("x") == ("I cannot help with that.", Ending("refused", model="gpt-test-2026-01-01"))
    openai.server.model = lambda body: Said("Well", finish="content_filter")
    assert openai.ask("x")[1].finish == "refused"
    claude.server.model = lambda body: Said("Well", finish="refusal")
    assert claude.ask("x")[1].finish == "refused"
    # A call in what was withheld need not be whole.
    openai.server.model = lambda body: Said("Well", calls=[Call("weather", "{}")], finish="content_filter")
    assert openai.ask("x", tools=(WEATHER,))[1] == Ending("refused", model="gpt-test-2026-01-01")


def test_how_likely_the_words_were(openai: Peer) -> None:
    openai.server.model = lambda body: Said(["Yes", "!"])
    _, ending = openai.ask("?", sampling={"logprobs": 2})
    assert openai.body["top_logprobs"] == 2
    assert ending.chances == (
        Chance("Yes", -0.25, (("Yes0", -1.0), ("Yes1", -2.0))),
        Chance("!", -0.25, (("!0", -1.0), ("!1", -2.0))),
    )


def test_the_usual_settings_run_anywhere(peer: Peer) -> None:
    assert peer.ask("Hi", sampling=USUAL)[0] == "Hello"
    assert peer.body["temperature"] == 0
    assert "top_k" not in peer.body
    assert peer.ask("Hi", sampling={**USUAL, "temperature": 0.7})[0] == "Hello"
    assert peer.body["temperature"] == 0.7
    # What nobody set is not sent where it is unknown, and Claude gets one of temperature and top_p.
    if peer.model.startswith("openai"):
        assert peer.body["max_completion_tokens"] == 256
        assert peer.body["top_p"] == 0.95
        assert peer.body["seed"] == 7
    else:
        assert (peer.body["max_tokens"], peer.body["top_k"]) == (256, 40)
        assert not {"top_p", "seed", "min_p", "stop_sequences"} & peer.body.keys()


@pytest.mark.parametrize(
    ("provider", "setting"),
    [
        ("openai", {"top_k": 10}), ("openai", {"min_p": 0.2}), ("openai", {"repeat_penalty": 1.1}),
        ("anthropic", {"min_p": 0.2}), ("anthropic", {"logprobs": 1}), ("groq", {"logprobs": 0}),
    ],
)  # fmt: skip
def test_a_setting_that_would_be_lost_is_an_error(
    home: Home, bare: pytest.MonkeyPatch, provider: str, setting: dict[str, Any]
) -> None:
    bare.setenv(f"{provider.upper()}_API_KEY", KEY)
    (name,) = setting
    request = Request(asked="Hi", sampling={**USUAL, "temperature": 0.5, **setting})  # type: ignore[typeddict-item]
    with pytest.raises(SettingError, match=f"{provider} does not (take {name}|tell log)"):
        run(home, lambda models: whole(models, f"{provider}:any", request, Bill()))


def test_settings_without_effect_are_no_error(openai: Peer) -> None:
    openai.ask("Hi", sampling={**USUAL, "top_k": 3, "min_p": 0.5, "top_p": 0.1})
    assert not {"top_k", "min_p", "top_p"} & openai.body.keys()


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("llama-server", {"max_tokens", "seed", "top_k", "min_p", "repeat_penalty", "top_p"}),
        ("vllm", {"max_tokens", "seed", "top_k", "min_p", "repetition_penalty", "top_p"}),
        ("mistral", {"max_tokens", "random_seed", "top_p"}),
        ("ollama", {"max_tokens", "seed", "top_p"}),
        ("deepseek", {"max_tokens", "top_p"}),
        ("gemini", {"max_tokens", "top_p"}),
        ("openrouter", {"max_tokens", "seed", "top_k", "min_p", "repetition_penalty", "top_p"}),
    ],
)
def test_every_provider_gets_its_own_names(
    home: Home, bare: pytest.MonkeyPatch, provider: str, names: set[str]
) -> None:
    with serving_models(OpenAIServer) as server:
        set_provider(home, provider, {"url": server.url})
        request = Request(asked="Hi", sampling={**USUAL, "temperature": 0.5, "stop": ["END"]})
        text, _ = run(home, lambda models: whole(models, f"{provider}:gpt-test", request, Bill()))
        assert text == "Hello"
        sent = server.asked[-1].body
        assert sent.keys() - {"model", "messages", "stream", "stream_options"} == names | {"temperature", "stop"}
        assert ("stream_options" in sent) == (provider != "mistral")
        assert "authorization" not in server.asked[-1].headers


def test_a_model_that_takes_less_is_learned_about(openai: Peer) -> None:
    openai.server.refuses = {
        "temperature": "Unsupported value: 'temperature' does not support 0 with this model.",
        "seed": "Unknown parameter: 'seed'.",
        "max_completion_tokens": "Unsupported parameter: use 'max_tokens' instead.",
    }

    async def twice(models: HostedModels) -> None:
        for _ in range(2):
            assert (await whole(models, openai.model, Request(asked="Hi", sampling=USUAL), openai.bill))[0] == "Hello"

    run(openai.home, twice)
    # Three refusals, the answer, and the second time the answer at once.
    assert len(openai.server.asked) == 5
    assert openai.body["max_tokens"] == 256
    assert not {"temperature", "seed"} & openai.body.keys()


def test_what_two_answers_learn_at_once_is_learned(openai: Peer) -> None:
    both = threading.Barrier(2)

    class Meeting(dict[str, str]):
        """What is refused, told only when both have asked."""

        def items(self) -> Any:
            if len(openai.server.asked) <= 2:
                both.wait(20)
            return super().items()

    openai.server.refuses = Meeting(max_completion_tokens="Unsupported parameter: use 'max_tokens' instead.")

    async def two(models: HostedModels) -> list[tuple[str, Ending]]:
        request = Request(asked="Hi", sampling=USUAL)
        return await asyncio.gather(*(whole(models, openai.model, request, Bill()) for _ in range(2)))

    assert [text for text, _ in run(openai.home, two)] == ["Hello", "Hello"]
    assert len(openai.server.asked) == 4


def test_a_setting_that_the_model_does_not_take_is_an_error(peer: Peer) -> None:
    peer.server.refuses = {"temperature": "`temperature` is deprecated for this model."}
    for _ in range(2):
        with pytest.raises(SettingError, match=r"does not take temperature.*deprecated for this model"):
            peer.ask("Hi", sampling={**USUAL, "temperature": 0.7})
    assert peer.ask("Hi", sampling=USUAL)[0] == "Hello"


def test_no_more_than_is_left_is_asked_for(peer: Peer) -> None:
    peer.bill.limit = 50
    peer.ask("Hi", sampling=USUAL)
    assert peer.body.get("max_tokens", peer.body.get("max_completion_tokens")) == 50
    peer.server.model = lambda body: Said("Hello", written=40)
    with pytest.raises(LimitReached):
        peer.ask("Hi", sampling=USUAL)


def test_hanging_up_is_noticed_at_the_other_end(peer: Peer) -> None:
    peer.server.model = lambda body: Said(["word "], endless=True, pause=0.005)

    async def leave(models: HostedModels) -> None:
        pieces = models.answer(peer.model, Request(asked="Go on and on"), peer.bill)
        assert await anext(pieces) == "word "
        await pieces.aclose()

    run(peer.home, leave)
    assert peer.server.hung_up.wait(10)
    # What was read and written until then is paid for, by estimate.
    assert peer.bill.read > 0
    assert peer.bill.written > 0


def test_cancelling_hangs_up(peer: Peer) -> None:
    peer.server.model = lambda body: Said(["word "], endless=True, pause=0.005)

    async def cancel(models: HostedModels) -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in models.answer(peer.model, Request(asked="Go on"), peer.bill):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(peer.home, cancel)
    assert peer.server.hung_up.wait(10)


@pytest.mark.slow
def test_fifty_answers_at_once_on_several_loops(peer: Peer) -> None:
    peer.server.model = lambda body: Said(["You said ", json.dumps(body["messages"])[-20:]])
    models = HostedModels(peer.home)

    async def many() -> None:
        answers = await asyncio.gather(
            *(whole(models, peer.model, Request(asked=f"number {at}"), peer.bill) for at in range(25))
        )
        assert all(f"number {at}" in text for at, (text, _) in enumerate(answers))
        await models.close()

    asyncio.run(many())
    asyncio.run(many())
    assert peer.bill.read == 50 * 11


def test_closing_on_one_loop_leaves_what_another_has(openai: Peer) -> None:
    models = HostedModels(openai.home)

    async def main() -> None:
        connection = await models._connect(openai.model)
        await asyncio.to_thread(asyncio.run, models.close())
        assert not connection.sdk.is_closed()
        await models.close()
        assert connection.sdk.is_closed()

    asyncio.run(main())


def test_azure_by_both_of_its_apis(home: Home, bare: pytest.MonkeyPatch) -> None:
    with serving_models(OpenAIServer, KEY) as server:
        bare.setenv("AZURE_OPENAI_ENDPOINT", server.origin)
        bare.setenv("AZURE_OPENAI_API_KEY", KEY)
        ask = lambda models: whole(models, "azure:gpt-test", Request(asked="Hi"), Bill())  # noqa: E731
        assert run(home, ask)[0] == "Hello"
        assert server.asked[-1].path == "/openai/v1/chat/completions"
        bare.setenv("OPENAI_API_VERSION", "2024-10-21")
        assert run(home, ask)[0] == "Hello"
        assert server.asked[-1].path == "/openai/deployments/gpt-test/chat/completions?api-version=2024-10-21"
        assert server.asked[-1].headers["api-key"] == KEY
