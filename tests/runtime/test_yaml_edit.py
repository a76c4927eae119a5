"""A value in a settings file changes, and the rest of what a person wrote stays."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.yaml_edit import edited

FILE = """\
# mine
models:
  default: local:mine   # the good one
  memory: 8GB
  # about layers
  gpu_layers: 0

# where I work
providers:
  lab:
    url: http://lab/v1
    key: LAB_KEY
"""


def change(text: str, section: str, name: str, value: object) -> str:
    data = yaml.safe_load(text) or {}
    entries = {key: one for key, one in {**(data.get(section) or {}), name: value}.items() if one is not None}
    wanted = {**data, section: entries}
    if not entries:
        del wanted[section]
    after = edited(text, section, name, value, wanted)
    assert (yaml.safe_load(after) or {}) == wanted
    return after


@pytest.mark.parametrize(
    "section, name, value, expected",
    [
        ("models", "default", "local:other", FILE.replace("local:mine", "local:other")),
        ("models", "memory", None, FILE.replace("  memory: 8GB\n", "")),
        ("models", "context", 4096, FILE.replace("gpu_layers: 0\n", "gpu_layers: 0\n  context: 4096\n")),
        ("providers", "lab", {"url": "http://x"}, FILE[: FILE.index("  lab:")] + "  lab: {url: 'http://x'}\n"),
        ("providers", "lab", None, FILE[: FILE.index("providers:")]),
        ("providers", "two", {"url": "u"}, FILE + "  two: {url: u}\n"),
        ("prices", "openai:a b", {"in": 1.5}, FILE + "prices:\n  openai:a b: {in: 1.5}\n"),
    ],
)
def test_only_the_entry_changes(section, name, value, expected):
    assert change(FILE, section, name, value) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "# no end of line",
        "models: {default: a}\n",
        "models:\n",
        "models:  # mine\n  # default: local:a\n\n# prices\nprices: {}\n",
        "models: {}\n",
        "---\nmodels:\n    default: |\n      a\n",
    ],
)
def test_a_file_of_any_form_takes_a_value(text):
    after = change(text, "models", "default", "local:b")
    assert yaml.safe_load(after)["models"]["default"] == "local:b"
    assert all(line in after for line in text.splitlines() if "#" in line)


NAMES = st.text("ab:. #-'\"é", min_size=1, max_size=5)
VALUES = st.one_of(
    st.text(max_size=8), st.integers(), st.booleans(), st.dictionaries(NAMES, st.text(max_size=4), max_size=2)
)
FILES = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=3), max_size=3)


@given(FILES, NAMES, NAMES, VALUES | st.none(), st.booleans())
def test_any_file_reads_as_wanted_afterwards(data, section, name, value, flow):
    change(yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True), section, name, value)
