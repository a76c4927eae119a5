"""Random workflows for property tests, with every value that a file can hold, the awkward ones above all."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from hypothesis import strategies as st
from phloem.runtime.document.words import INPUT_KEYS, NODE_KEYS, TOP_KEYS
from phloem.runtime.ports import BASES, PortType
from phloem.runtime.workflow import INPUT, Input, Limit, Node, OnError, Retry, Source, Workflow

AWKWARD = (
    "", " ", "yes", "No", "on", "OFF", "y", "null", "~", "true", "False", "1", "-1", "+1", "1.0", "1e3", ".5", "5.",
    ".inf", "-.INF", ".nan", "0o17", "0x1F", "0777", "0b1", "1_000", "1:30", "190:20:30", "2024-01-01",
    "2024-1-1 10:00:00", "=", "<<", "-", "--", "---", "...", "?", "? a", "- a", "a: b", "a:", ": a", "a #b", "#a",
    "a#b", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "'a'", '"a"', "a'b", 'a"b', "{a}", "[a]", "{{a}}", "a, b",
    "a]b", "Who?", "x ?y", "\\d+", "C:\\x", "http://x.org/a?b=c#d", " a", "a ", "\ta", "a\t", "a\tb", "\n", "\n\n",
    "a\n", "a\n\n", "a\n\n\n", "\na", "\n\na\n", " a\nb", "a\n b", "a\n  ", "a \nb", "a\n\nb", "\ta\nb", "  \na",
    "a\n\t", "a\r\nb", "a\rb", "a\r\n\r\n b\r\n", "a\x85b", "a\u2028b\n", "\u2029", "\ufeff", "a\ufeffb", "\x00",
    "\x07\n\x1b[31m", "\x7f", "\u202eabc", "😀", "a 😀 b", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "\xa0a", "a\xa0",
    "\u3000", "# a\n# b\n", "a: 1\nb: 2\n", "--- a\n", "word " * 40, "word  " * 40, "w" * 300,
    ("long line " * 15).strip(), ("long line " * 15).strip() + "\n" + ("more of it " * 15).strip() + "\n",
    "a" + " " * 120 + "b",
)  # fmt: skip

whole_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
texts = st.one_of(
    st.sampled_from(AWKWARD),
    whole_texts,
    st.lists(st.sampled_from([*AWKWARD, "\n", "\n", " ", "word", "two words"]), min_size=2, max_size=6).map("".join),
)
numbers = st.one_of(st.integers(), st.integers(-9, 9), st.floats(allow_nan=True))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
ids = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(lambda id: id != INPUT)
ports = st.one_of(st.sampled_from(["text", "value", "a", "y", "no", "pieces"]), texts.filter(bool))
sources = st.builds(Source, st.one_of(ids, st.just(INPUT)), ports)
types = st.builds(PortType, st.sampled_from(BASES), st.integers(0, 2))
seconds = st.one_of(st.integers(1, 1000).map(float), st.floats(1e-6, 1e9))
amounts = st.one_of(st.none(), seconds)
limits = st.builds(Limit, st.one_of(st.none(), st.integers(1, 10**15)), amounts, amounts)


def extras(known: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Keys of a later version or of another program."""
    return st.one_of(st.just({}), st.dictionaries(texts.filter(lambda key: key not in known), values, max_size=2))


def inputs() -> st.SearchStrategy[Input]:
    bare = st.builds(Input, types, texts, extra=extras(INPUT_KEYS))
    return st.one_of(bare, st.builds(lambda one, value: replace(one, value=value, has_value=True), bare, values))


def nodes(bodies: bool) -> st.SearchStrategy[Node]:
    plain = st.builds(
        Node,
        kind=st.one_of(st.just("text.join@1"), texts.filter(str.strip)),
        links=st.dictionaries(ports, st.lists(sources, min_size=1, max_size=3).map(tuple), max_size=3),
        set=st.dictionaries(ports, values, max_size=4),
        extra=extras(NODE_KEYS),
    )
    on_errors = st.one_of(
        st.sampled_from(["stop", "skip", "route"]).map(OnError), values.map(lambda value: OnError("default", value))
    )
    full = st.builds(
        replace,
        plain,
        title=texts,
        note=texts,
        disabled=st.booleans(),
        retry=st.builds(Retry, st.integers(0, 9), st.one_of(st.just(1.0), seconds), st.floats(0, 10)),
        timeout=st.one_of(st.none(), seconds),
        limit=limits,
        on_error=on_errors,
        cache=st.sampled_from([None, True, False]),
    )
    listed = st.builds(lambda node: replace(node, listed=frozenset(node.links)), plain)
    kinds = [plain, listed, full]
    if bodies:
        kinds.append(st.builds(lambda node, do: replace(node, do=do), plain, workflows(bodies=False)))
    return st.one_of(kinds)


def workflows(bodies: bool = True) -> st.SearchStrategy[Workflow]:
    """Workflows that a file can hold. They need not make sense to check: links lead anywhere."""
    return st.builds(
        Workflow,
        title=texts,
        about=texts,
        model=texts,
        limit=limits,
        inputs=st.dictionaries(ids, inputs(), max_size=3),
        nodes=st.dictionaries(ids, nodes(bodies), max_size=3),
        outputs=st.dictionaries(ids, sources, max_size=2),
        layout=st.dictionaries(texts, values, max_size=3),
        extra=extras(TOP_KEYS),
    )


def exactly(value: Any) -> Any:
    """A form in which two values are equal only if they are the same: 1, 1.0 and true differ, NaN is itself."""
    if isinstance(value, Workflow):
        return exactly(asdict(value))
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exactly(item) for item in value]
    if isinstance(value, tuple):
        return tuple(exactly(item) for item in value)
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    return (type(value).__name__, value)
