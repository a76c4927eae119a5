"""What the docs have from the code is as the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent.parent / "tools" / "write_references.py"


def _references() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("write_references", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.references()


REFERENCES = _references()


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.name)
def test_a_generated_page_is_fresh(path: Path) -> None:
    assert path.read_text("utf-8") == REFERENCES[path], "run `make docs`"
