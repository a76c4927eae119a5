"""What the tests share: a home of their own, an engine on it, and a watch for what is left running."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from phloem.runtime.home import Home

settings.register_profile("phloem", max_examples=100, deadline=None)
settings.register_profile("quick", max_examples=20, deadline=None)
settings.load_profile("phloem")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A property that asks for more examples than the rest takes its time."""
    for item in items:
        asked = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        if asked is not None and asked.max_examples > 100:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A fresh home, which PHLOEM_HOME names: no test sees the user's."""
    path = tmp_path / "phloem-home"
    monkeypatch.setenv("PHLOEM_HOME", str(path))
    monkeypatch.delenv("PHLOEM_MODEL", raising=False)
    return Home(path)


@pytest.fixture
def engine(home: Home) -> Iterator[object]:
    """An engine with the kinds of `support.kinds_for_tests`, closed after the test."""
    from phloem.runtime.engine import Engine
    from support import kinds_for_tests as kinds

    kinds.CALLS.clear()
    kinds.FAILURES.clear()
    kinds.SEEN.clear()
    engine = Engine(home, catalogue=kinds.catalogue())
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fails a test after which one of our threads goes on. (Warnings are errors, so a coroutine that nobody
    awaited is found without help.)"""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2
    while left := [one for one in threading.enumerate() if one not in before and one.name.startswith("phloem")]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads left running: {[one.name for one in left]}")
        time.sleep(0.005)
