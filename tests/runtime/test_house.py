"""The shape of the project itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def test_phloem_is_a_namespace_so_that_four_folders_can_share_it() -> None:
    assert not list(ROOT.glob("*/phloem/__init__.py"))


def test_nothing_importable_lies_where_the_editable_install_would_expose_it() -> None:
    for folder in ("runtime", "nodes", "plugins", "editor"):
        assert [path.name for path in (ROOT / folder).iterdir() if (path / "__init__.py").exists()] == []


@pytest.mark.parametrize("folder", ["runtime", "nodes", "plugins", "editor"])
def test_every_package_says_that_it_is_typed(folder: str) -> None:
    assert (ROOT / folder / "phloem" / folder / "py.typed").exists()


def test_help_loads_nothing_heavy() -> None:
    heavy = [
        "asyncio",
        "yaml",
        "networkx",
        "httpx",
        "llama_cpp",
        "numpy",
        "chromadb",
        "jinja2",
        "rich",
        "torch",
        "openai",
        "anthropic",
        "httpx2",
        "keyring",
        "genai_prices",
        "pydantic",
        "lxml",
        "sqlite3",
    ]
    code = (
        "import sys; from phloem.runtime.cli import main; main(['--help']);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "run a workflow" in done.stdout


def test_importing_every_family_of_nodes_loads_no_library_that_few_need() -> None:
    heavy = [
        "networkx",
        "httpx",
        "llama_cpp",
        "numpy",
        "chromadb",
        "torch",
        "openai",
        "anthropic",
        "httpx2",
        "keyring",
        "genai_prices",
        "pydantic",
        "pypdf",
        "docx",
        "feedparser",
        "lxml",
        "jinja2",
        "regex",
    ]
    code = (
        "import sys; from phloem.runtime.catalogue import installed_catalogue; from phloem.runtime.home import Home;"
        "kinds = list(installed_catalogue(Home.default()));"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
