"""A server that is not ours: llama-cpp-python's own OpenAI server, in a process of its own, with the bundled models."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import phloem.nodes.services.models
import pytest
from phloem.nodes.services.models.hosted.service import HostedModels
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.home import Home
from phloem.runtime.services import Request
from phloem.runtime.values import Message
from support.hosted import Bill, run, whole

pytest_plugins = ["support.hosted_fixtures"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(
            find_spec(name)
            for name in ("fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings")
        ),
        reason="needs what llama_cpp.server needs",
    ),
]

DATA = Path(phloem.nodes.services.models.__file__).parent / "data"
QUESTION = (
    "Answer the question using only the context.\n\nContext:\nThe price of Bolan is 12 euros. "
    "The color of Bolan is red.\n\nQuestion: What is the color of Bolan?"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the running server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path_factory.mktemp("peer") / "config.json"
    models = [
        {"model": str(DATA / "demo.gguf"), "model_alias": "demo", "n_ctx": 512, "n_threads": 1, "verbose": False,
         "logits_all": True, "chat_format": "chatml"},
        {"model": str(DATA / "minilm.gguf"), "model_alias": "minilm", "embedding": True, "n_threads": 1, "verbose": False},
    ]  # fmt: skip
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "models": models}))
    command = [sys.executable, "-m", "llama_cpp.server", "--config_file", str(config)]
    log = config.with_name("log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait_for(url, process, log)
        yield url
    finally:
        process.kill()
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                pytest.fail(f"the server ended: {log.read_text()[-2000:]}")
            time.sleep(0.1)
    pytest.fail("the server does not answer")


def test_chatting(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    bill = Bill()

    async def chat(models: HostedModels) -> list[str]:
        request = Request(asked=QUESTION, sampling={"max_tokens": 12, "temperature": 0, "seed": 1})
        return [(await whole(models, f"{address}#demo", request, bill))[0] for _ in range(2)]

    first, second = run(home, chat)
    assert first
    assert first == second
    assert bill.read > 20
    assert 1 <= bill.written <= 40


def test_the_pieces_come_while_it_writes(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    async def pieces(models: HostedModels) -> list[object]:
        request = Request(asked=(Message("user", "Tell"),), sampling={"max_tokens": 24, "temperature": 1.5, "seed": 3})
        return [one async for one in models.answer(f"{address}#demo", request, Bill())]

    found = run(home, pieces)
    assert len(found) > 3


@pytest.mark.parametrize(
    "form",
    [
        {
            "schema": {
                "type": "object",
                "properties": {"price": {"type": "string", "maxLength": 20}},
                "required": ["price"],
            }
        },
        {"choices": ["red", "green", "blue"]},
    ],
    ids=["schema", "choices"],
)
def test_a_form_is_kept_to(home: Home, bare: pytest.MonkeyPatch, address: str, form: dict[str, object]) -> None:
    request = Request(asked=QUESTION, form=form, sampling={"max_tokens": 80, "temperature": 0})
    value = run(home, lambda models: models.structured(f"{address}#demo", request, Bill()))
    assert isinstance(value["price"], str) if "schema" in form else value in ("red", "green", "blue")


def test_a_grammar_of_ours_is_taken(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    bare.setenv("LLAMA_SERVER_URL", address)
    for form in (
        {"pattern": r"\d{2} (euros|dollars)"},
        {"choices": ["red", "green"]},
        {"grammar": 'root ::= "yes" | "no"'},
    ):
        request = Request(asked=QUESTION, form=form, sampling={"max_tokens": 40, "temperature": 0})
        value = run(home, lambda models, one=request: models.structured("llama-server:demo", one, Bill()))
        assert isinstance(value, str)


def test_vectors(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    texts = ["How do I get my money back?", "Our refund policy", "The moon is full tonight"]
    question, near, far = run(home, lambda models: models.embed(f"{address}#minilm", texts, Bill()))
    assert math.hypot(*question) == pytest.approx(1)
    assert sum(map(float.__mul__, question, near)) > sum(map(float.__mul__, question, far)) + 0.1


def test_what_it_has(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    bare.setenv("LLAMA_SERVER_URL", address)
    found = run(home, lambda models: models.remote("llama-server"))
    assert [info.name for info in found] == ["llama-server:demo", "llama-server:minilm"]


def test_a_prompt_that_is_too_long(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    request = Request(asked="one two three four five six seven " * 400, sampling={"max_tokens": 5})
    with pytest.raises(InputError, match="longer than"):
        run(home, lambda models: whole(models, f"{address}#demo", request, Bill()))


def test_nonsense_is_refused(home: Home, bare: pytest.MonkeyPatch, address: str) -> None:
    request = Request(asked="Hi", sampling={"max_tokens": 5, "temperature": 0.5, "top_p": 7})
    with pytest.raises(SettingError, match="does not take top_p"):
        run(home, lambda models: whole(models, f"{address}#demo", request, Bill()))
