"""Values for property tests: everything that may travel along a link."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message, ToolCall

__all__ = ["json_values", "link_values"]

TEXTS = st.text(st.characters(codec=None), max_size=12)
"""Lone surrogates among them: they come from file names and broken pages."""

NUMBERS = st.integers() | st.integers(-(2**200), 2**200) | st.floats()


def json_values(leaves: int = 12) -> st.SearchStrategy[Any]:
    """What JSON can say, and a little more: NaN, infinity, integers of any size, lone surrogates."""
    plain = st.none() | st.booleans() | NUMBERS | TEXTS
    return st.recursive(
        plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=leaves
    )


def link_values() -> st.SearchStrategy[Any]:
    """Everything a node may put on a link: JSON, documents and the like, bytes, tuples, odd keys."""
    metadata = st.dictionaries(TEXTS, json_values(4), max_size=3)
    blobs = st.builds(Blob, st.binary(max_size=30), TEXTS, TEXTS)
    calls = st.builds(ToolCall, TEXTS, TEXTS, metadata)
    rich = (
        st.builds(Document, TEXTS, TEXTS, TEXTS, metadata)
        | st.builds(Hit, TEXTS, st.floats(), TEXTS, TEXTS, metadata)
        | st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS)
        | st.builds(Message, st.just("user"), TEXTS, st.lists(blobs, max_size=2).map(tuple))
        | st.builds(Message, st.just("assistant"), TEXTS, calls=st.lists(calls, max_size=2).map(tuple), call_id=TEXTS)
        | blobs
        | calls
        | st.builds(Collection, TEXTS, TEXTS)
        | st.binary(max_size=20)
        | st.just(UNLIT)
    )
    keys = TEXTS | st.integers(-(2**80), 2**80) | st.none() | st.booleans() | st.floats(allow_nan=False)
    return st.recursive(
        json_values(6) | rich,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(keys, inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
        ),
        max_leaves=8,
    )
