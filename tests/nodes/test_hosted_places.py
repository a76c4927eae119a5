"""Where hosted models are asked, what is known of them, their prices, and their vectors."""

from __future__ import annotations

import asyncio
import contextlib
import math
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phloem.nodes.services.models.hosted.clients import connect
from phloem.nodes.services.models.hosted.endpoints import Endpoint, endpoint_of, keyless_endpoint_of
from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.nodes.services.models.hosted.service import HostedModels
from phloem.nodes.services.models.hosted.tokens import about_tokens
from phloem.runtime.errors import ConfigError, InputError, LimitReached, PhloemError, ServiceError
from phloem.runtime.home import Home
from phloem.runtime.services import Request, Tool
from phloem.runtime.settings import Settings
from phloem.runtime.values import Blob, Message, ToolCall
from support.hosted import KEY, Bill, Peer, run, set_provider, whole
from support.model_server import Call, Failure, Said, serving_models
from support.openai_server import OpenAIServer, error

pytest_plugins = ["support.hosted_fixtures"]


def place(home: Home, model: str) -> Endpoint:
    return keyless_endpoint_of(model, Settings.load(home))


@pytest.mark.parametrize(
    ("model", "url", "name"),
    [
        ("openai:gpt-5", "https://api.openai.com/v1", "gpt-5"),
        ("ollama:llama3.2:3b", "http://localhost:11434/v1", "llama3.2:3b"),
        ("openrouter:meta/llama-3:free", "https://openrouter.ai/api/v1", "meta/llama-3:free"),
        ("http://localhost:8000/v1#a/b", "http://localhost:8000/v1", "a/b"),
        ("http://10.0.0.5:8000/v1/#x", "http://10.0.0.5:8000/v1", "x"),
        ("https://api.example.com/v1#m", "https://api.example.com/v1", "m"),
        ("https://api.example.com/v#1#m", "https://api.example.com/v", "m"),
        ("http://[::1]:8080/v1#m", "http://[::1]:8080/v1", "m"),
        ("http://model.internal/v1#m", "http://model.internal/v1", "m"),
    ],
)
def test_where_a_model_is(home: Home, bare: pytest.MonkeyPatch, model: str, url: str, name: str) -> None:
    found = place(home, model)
    assert (found.url, found.model, found.full) == (url, name, model)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("", "not a model's name"),
        ("gpt", "not a model's name"),
        (":gpt", "not a model's name"),
        ("nobody:gpt", "no provider called 'nobody'"),
        ("openai:gp\nt", "not a model's name"),
        ("openai:" + "x" * 1000, "not a model's name"),
        ("http://localhost:8000/v1", "none of its models"),
        ("http://api.example.com/v1#m", "without encryption"),
        ("http://93.184.216.34/v1#m", "without encryption"),
        ("http://1572395042/v1#m", "without encryption"),
        ("http://0x5db8d822/v1#m", "without encryption"),
        ("http://[::ffff:93.184.216.34]/v1#m", "without encryption"),
        ("https://user:pass@example.com/v1#m", "password or a query"),
        ("https://example.com/v1?key=5#m", "password or a query"),
        ("https://example.com:99999/v1#m", "not a web address"),
        ("http:///v1#m", "not a web address"),
    ],
)
def test_what_is_no_place(home: Home, bare: pytest.MonkeyPatch, model: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        place(home, model)
    assert "pass@" not in str(caught.value)


@given(
    st.one_of(
        st.text(),
        st.builds("{}://{}/v1#{}".format, st.sampled_from(["http", "https"]), st.text(), st.text(max_size=3)),
        st.builds("{}:{}".format, st.sampled_from(sorted(PRESETS)), st.text()),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_place_or_an_error(home: Home, bare: pytest.MonkeyPatch, text: str) -> None:
    async def look() -> None:
        with contextlib.suppress(PhloemError):
            endpoint = place(home, text)
            connection = connect(endpoint)
            await connection.close()
            assert endpoint.url.startswith(("https://", "http://"))

    asyncio.run(look())


@pytest.mark.parametrize("value", ["host:abc", "[::1", "http://[x", "http://a b", "ftp://x"])
def test_ollama_is_nowhere(home: Home, bare: pytest.MonkeyPatch, value: str) -> None:
    bare.setenv("OLLAMA_HOST", value)
    with pytest.raises(InputError, match="OLLAMA_HOST: that is not a web address"):
        place(home, "ollama:x")


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("0.0.0.0", "http://localhost:11434/v1"),
        ("0.0.0.0:1234", "http://localhost:1234/v1"),
        ("box.local", "http://box.local:11434/v1"),
        ("http://10.1.2.3:80/", "http://10.1.2.3:80/v1"),
        ("https://ollama.example.com", "https://ollama.example.com:443/v1"),
        ("[::1]:5000", "http://[::1]:5000/v1"),
    ],
)
def test_where_ollama_is(home: Home, bare: pytest.MonkeyPatch, value: str, url: str) -> None:
    bare.setenv("OLLAMA_HOST", value)
    assert place(home, "ollama:x").url == url


def test_an_address_of_the_environment_is_checked_too(home: Home, bare: pytest.MonkeyPatch) -> None:
    bare.setenv("OPENAI_BASE_URL", "http://evil.example.com/v1")
    with pytest.raises(InputError, match=r"OPENAI_BASE_URL.*without encryption"):
        place(home, "openai:x")


def test_a_provider_of_the_users_own(home: Home, bare: pytest.MonkeyPatch) -> None:
    with serving_models(OpenAIServer, KEY) as server:
        set_provider(home, "lab", {"url": server.url, "key": "THE_KEY", "like": "vllm"})
        with pytest.raises(ServiceError, match=r"lab wants a key \(401\)"):
            run(home, lambda models: whole(models, "lab:gpt-test", Request(asked="Hi"), Bill()))
        bare.setenv("THE_KEY", "sk-another-one-0123")
        with pytest.raises(ServiceError, match=r"lab does not take the key") as caught:
            run(home, lambda models: whole(models, "lab:gpt-test", Request(asked="Hi"), Bill()))
        assert "environment variable THE_KEY" in str(caught.value)
        bare.setenv("THE_KEY", KEY)
        # By its name and by its address, which has the same key.
        for model in ("lab:gpt-test", f"{server.url}#gpt-test"):
            assert run(home, lambda models, name=model: whole(models, name, Request(asked="Hi"), Bill()))[0] == "Hello"
        assert place(home, "lab:x").preset.holds == PRESETS["vllm"].holds


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (5, "must have url"),
        ({"url": "ftp://x"}, "not a web address"),
        ({}, "address of lab is not known"),
        ({"url": "http://localhost/v1", "like": "foo"}, "like"),
        ({"url": "http://localhost/v1", "timeout": -1}, "timeout"),
        ({"url": "http://localhost/v1", "key": KEY + " "}, "is not a name"),
    ],
)
def test_settings_that_are_wrong(home: Home, bare: pytest.MonkeyPatch, entry: Any, problem: str) -> None:
    set_provider(home, "lab", entry)
    with pytest.raises(PhloemError, match=problem) as caught:
        endpoint_of("lab:x", Settings.load(home))
    assert KEY not in str(caught.value)


def test_without_a_key_nothing_is_asked(home: Home, bare: pytest.MonkeyPatch) -> None:
    for name, preset in PRESETS.items():
        if preset.near or not preset.url:
            continue
        with pytest.raises(ConfigError, match=f"no key for {name}") as caught:
            run(home, lambda models, name=name: whole(models, f"{name}:x", Request(asked="Hi"), Bill()))
        assert preset.key_variables[0] in str(caught.value)
        assert f"phloem models key set {name}" in str(caught.value)


def test_azure_needs_an_address(home: Home, bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="address of azure") as caught:
        place(home, "azure:x")
    assert "AZURE_OPENAI_ENDPOINT" in str(caught.value)


def test_an_sdk_that_is_not_installed(peer: Peer) -> None:
    module = peer.model.partition(":")[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match=f"need an extra: {module}") as caught:
            peer.ask("Hi")
    assert f'pip install "phloem[{module}]"' in str(caught.value)
    assert peer.server.asked == []


def test_nothing_heavy_is_loaded_before_it_is_used() -> None:
    heavy = ("openai", "anthropic", "httpx2", "tenacity", "keyring", "genai_prices", "pydantic")
    script = (
        "import sys, phloem.nodes.services.models.hosted.service as service\n"
        "from phloem.nodes.services.models.hosted import keys\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# What is known.


def test_the_models_of_a_provider(peer: Peer) -> None:
    peer.server.models += [
        {"id": "text-embed-3", "context_length": 8192}, {"id": 5}, None, {"id": "bad\nname"}, {"id": "x" * 400},
        {"id": "models/gemini-x", "meta": {"n_ctx_train": 512, "n_params": 7_000, "size": 9_000}},
    ]  # fmt: skip
    provider, _, name = peer.model.partition(":")
    found = run(peer.home, lambda models: models.remote(provider))
    assert [info.name for info in found] == [f"{provider}:{one}" for one in sorted([name, "text-embed-3", "gemini-x"])]
    by_name = {info.name.partition(":")[2]: info for info in found}
    assert (by_name["text-embed-3"].makes, by_name["text-embed-3"].context) == ("vectors", 8192)
    gemini = by_name["gemini-x"]
    assert (gemini.context, gemini.parameters, gemini.size) == (512, 7_000, 9_000)
    assert run(peer.home, lambda models: models.list()) == found


@pytest.mark.slow
def test_listing_never_fails_and_never_takes_long(home: Home, bare: pytest.MonkeyPatch, openai: Peer) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        set_provider(home, "deaf", f"http://127.0.0.1:{deaf.getsockname()[1]}/v1")
        set_provider(home, "broken", {"url": "nonsense"})
        openai.server.failures += [Failure(raw=[b"\0" * 100])]
        begun = time.monotonic()
        assert run(home, lambda models: models.list()) == []
        assert time.monotonic() - begun < 20
        assert [info.name for info in run(home, lambda models: models.remote("openai"))] == ["openai:gpt-test"]
        assert run(home, lambda models: models.remote("nobody")) == []


def test_what_is_known_of_a_model(home: Home, bare: pytest.MonkeyPatch, openai: Peer) -> None:
    known = run(home, lambda models: models.about("openai:gpt-4o"))
    assert (known.context, known.makes, known.provider) == (128_000, "text", "openai")
    assert known.details["priced"] is True
    assert known.details["dollars_per_million"]["in"] > 0
    assert openai.server.asked == []
    openai.server.models.append({"id": "own", "max_model_len": 4096})
    unknown = run(home, lambda models: models.about("openai:own"))
    assert (unknown.name, unknown.context, unknown.details["priced"]) == ("openai:own", 4096, False)
    by_address = run(home, lambda models: models.about(f"{openai.server.url}#own"))
    assert by_address.details["priced"] is True, "a server of one's own costs nothing"
    bare.delenv("OPENAI_API_KEY")
    assert run(home, lambda models: models.about("openai:own")).context is None


def test_who_answers(home: Home, bare: pytest.MonkeyPatch) -> None:
    async def names(models: HostedModels) -> list[str]:
        return [await models.identity(one) for one in ("openai:a", "openai:b", "groq:a", "http://localhost/v1#a")]

    found = run(home, names)
    assert len(set(found)) == 4
    bare.setenv("OPENAI_BASE_URL", "https://other.example/v1")
    assert run(home, lambda models: models.identity("openai:a")) not in found


# Prices.


def test_prices_are_known_and_the_users_go_first(home: Home, bare: pytest.MonkeyPatch) -> None:
    models = HostedModels(home)
    price = models.price("openai:gpt-4o")
    assert price is not None
    assert 0 < price.cached < price.read < price.written
    assert models.price("openai:no-such-model-at-all") is None
    assert models.price("anthropic:claude-sonnet-4-5") is not None
    assert models.price("https://api.example.com/v1#gpt-4o") is None
    assert models.price("ollama:gpt-4o") == models.price("http://localhost:1/v1#x")
    set_provider(home, "lab", {"url": "http://localhost:1/v1", "like": "openai"})
    assert models.price("lab:gpt-4o") == models.price("ollama:gpt-4o")
    Settings.load(home).changed("prices", "openai:gpt-4o", {"in": 1, "out": 2.5, "cached": 0.5}).save()
    assert asyncio.run(models.estimate("openai:gpt-4o", 2_000_000, 1_000_000)) == pytest.approx(4.5)
    assert asyncio.run(models.estimate("openai:no-such-model-at-all", 1, 1)) is None
    assert asyncio.run(models.estimate("ollama:x", 10**6, 10**6)) == 0


@pytest.mark.parametrize("entry", [5, {"out": 1}, {"in": "much"}, {"in": -1}, {"in": True}, {"in": float("nan")}])
def test_a_price_that_is_none(home: Home, entry: Any) -> None:
    Settings.load(home).changed("prices", "openai:gpt-4o", entry).save()
    with pytest.raises(ConfigError, match=r"prices\.openai:gpt-4o"):
        HostedModels(home).price("openai:gpt-4o")


def test_what_an_answer_costs(peer: Peer) -> None:
    Settings.load(peer.home).changed("prices", peer.model, {"in": 10, "out": 100, "cached": 1}).save()
    peer.server.model = lambda body: Said("Hello", read=1000, written=50, cached=400)
    peer.ask("Hi")
    assert peer.bill.money == pytest.approx((600 * 10 + 400 * 1 + 50 * 100) / 1e6)


def test_openrouter_tells_what_it_charged(home: Home, bare: pytest.MonkeyPatch) -> None:
    with serving_models(OpenAIServer) as server:
        set_provider(home, "openrouter", server.url)
        answer = {
            "model": "m", "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.0123},
        }  # fmt: skip
        server.failures.append(Failure(200, answer))
        bill = Bill()
        run(home, lambda models: whole(models, "openrouter:m", Request(asked="Hi"), bill))
        assert bill.money == 0.0123


def test_a_server_that_tells_no_costs_is_estimated(openai: Peer) -> None:
    openai.server.usage = False
    openai.ask("Hi, how are you?")
    assert 5 <= openai.bill.read <= 20
    assert 1 <= openai.bill.written <= 5
    openai.server.model = lambda body: Said(calls=[Call("f", '{"a": "some words that were written"}')])
    openai.ask("Hi", tools=(Tool("f"),))
    assert openai.bill.written > 10


# Tokens.


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        # At least what the vocabularies of GPT-4 and GPT-4o make of it, and at most twice as many.
        ("The quick brown fox jumps over the lazy dog.", 10, 20),
        ("def add(a: int, b: int) -> int:\n    return a + b\n", 19, 40),
        ("1234567890" * 3, 10, 30),
        ("我喜欢用电脑写程序。", 10, 20),
        ("Ein Übermaß an Größe schadet.", 9, 20),
    ],
)
def test_how_many_tokens(text: str, least: int, most: int) -> None:
    assert least <= about_tokens(text) <= most


def test_a_conversation_is_counted_with_all_that_goes_along(home: Home) -> None:
    models = HostedModels(home)
    plain = (Message("user", "Hi"),)
    count = lambda said: asyncio.run(models.count("openai:x", said))  # noqa: E731
    assert count("Hi") == count(plain)
    assert count((*plain, Message("assistant", "Hello"))) > count(plain)
    assert count((Message("user", "Hi", images=(Blob(b"x", "a", "image/png"),)),)) > count(plain) + 1000
    assert count((Message("assistant", "", calls=(ToolCall("a", "f", {"x": "y" * 400}),)),)) > 100


# Vectors.


def test_vectors_of_unit_length_in_the_order_of_the_texts(openai: Peer) -> None:
    texts = [f"text {'x' * at}" for at in range(200)]
    vectors = run(openai.home, lambda models: models.embed(openai.model, texts, openai.bill))
    assert len(vectors) == 200
    for text, vector in zip(texts, vectors, strict=True):
        assert math.hypot(*vector) == pytest.approx(1)
        assert vector[0] / vector[1] == pytest.approx(len(text))
    asked = [one for one in openai.server.asked if one.path.endswith("/embeddings")]
    assert [len(one.body["input"]) for one in asked] == [96, 96, 8]
    assert asked[0].body["encoding_format"] == "float"
    assert openai.bill.read == 600
    assert openai.bill.texts == texts
    assert run(openai.home, lambda models: models.embed(openai.model, [], openai.bill)) == []


def test_long_texts_make_small_batches(openai: Peer) -> None:
    texts = ["word " * 40_000] * 4
    run(openai.home, lambda models: models.embed(openai.model, texts, openai.bill))
    assert [len(one.body["input"]) for one in openai.server.asked] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"data": 5}, {"data": []}, {"data": [{"index": 7, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [0.0, 0.0]}]}, {"data": [{"index": 0, "embedding": ["x"]}]},
        {"data": [{"index": 0, "embedding": []}]}, {"data": [{"index": 0, "embedding": [1e308] * 4}]},
    ],
)  # fmt: skip
def test_vectors_that_are_none(openai: Peer, body: Any) -> None:
    openai.server.failures.append(Failure(200, body))
    with pytest.raises(ServiceError, match=r"vectors of 1 texts|not OpenAI's protocol"):
        run(openai.home, lambda models: models.embed(openai.model, ["a"], openai.bill))


def test_vectors_wait_their_turn_and_stop_at_the_limit(openai: Peer) -> None:
    openai.server.failures.append(Failure(429, error("Slow down"), {"retry-after-ms": "1"}))
    openai.bill.limit = 300
    with pytest.raises(LimitReached):
        run(openai.home, lambda models: models.embed(openai.model, ["a"] * 300, openai.bill))
    assert openai.bill.read == 96 * 3 * 2 > 300
    assert len(openai.server.asked) == 3


def test_what_hosted_models_do_not_do(peer: Peer) -> None:
    with pytest.raises(InputError, match="cannot rank"):
        run(peer.home, lambda models: models.rerank(peer.model, "q", ["a"], peer.bill))
    if peer.model.startswith("anthropic"):
        with pytest.raises(InputError, match="make vectors"):
            run(peer.home, lambda models: models.embed(peer.model, ["a"], peer.bill))


def test_a_tool_is_counted(home: Home) -> None:
    from phloem.nodes.services.models.hosted.tokens import tokens_of

    tool = Tool("weather", "Tells the weather of a city, today", {"type": "object"})
    assert tokens_of("Hi", [tool]) > tokens_of("Hi") + 10
