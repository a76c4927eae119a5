"""Fixtures of the tests of runs with workers: name this module in `pytest_plugins`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from phloem.runtime.cluster import Cluster
from phloem.runtime.home import Home
from support import weft
from support.dask_kit import Kit


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """Two workers for a whole file of tests."""
    folder = tmp_path_factory.mktemp("weft")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("PHLOEM_HOME", str(folder / "home"))
        log = weft.install(folder, patch)
        home = Home(folder / "home")
        cluster = runner.run(Cluster.open("local:2", home))
        yield Kit(runner, cluster, log, home)
        runner.run(cluster.close())
