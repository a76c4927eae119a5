"""What a workflow would touch, told before it runs: the models among it, wherever they are."""

from __future__ import annotations

import asyncio

import pytest
from phloem.runtime.catalogue import installed_catalogue
from phloem.runtime.checks import check
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.values import Document
from phloem.runtime.wishes import Wish, wishes
from phloem.runtime.workflow import Workflow
from support.playing import box, drawn, given
from support.spending import spending_engine


def wished(home, workflow: Workflow, models: DefaultModels, *grants: str, inputs=None, folder=None) -> list[Wish]:
    engine, _ = spending_engine(home)
    checked = check(workflow, engine.catalogue)
    permissions = Permissions([Grant.parse(one) for one in grants], folder=folder)
    found = wishes(checked, inputs or {}, permissions, models)
    asyncio.run(engine.close())
    return found


@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("", Wish("a", "model", "local:mine")),
        ("local:demo", Wish("a", "model", "local:demo")),
        ("demo", Wish("a", "model", "demo")),
        ("openai:gpt-5", Wish("a", "spend", "openai", "--allow spend=openai")),
        ("dear:one", Wish("a", "spend", "dear")),
        ("http://localhost:8000/v1#m", Wish("a", "net", "localhost:8000", "--allow net=localhost:8000")),
        ("https://near.example.org/v1#m", Wish("a", "net", "near.example.org")),
        ("http://me:secret@near.example.org/v1#m", Wish("a", "model", "http://…")),
        ("../outside.gguf", Wish("a", "model", "../outside.gguf", "--allow read=")),
    ],
)
def test_a_model_is_told_as_what_it_takes_to_reach_it(home, tmp_path, name, wish):
    (found,) = wished(
        home, drawn({"a": box("spend.ask", set={"prompt": "x", "model": name})}), DefaultModels(text="local:mine"),
        "spend=dear", "net=*.example.org", folder=tmp_path,
    )  # fmt: skip
    assert (found.node, found.word, found.scope) == (wish.node, wish.word, wish.scope)
    assert (found.flag or "").startswith(wish.flag or "")
    assert bool(found.flag) == bool(wish.flag)


def test_embedding_models_have_a_default_of_their_own(home):
    workflow = drawn({"a": box("spend.ask", set={"prompt": "x"}), "b": box("spend.embed", set={"text": "x"})})
    models = DefaultModels(text="openai:gpt-5", embedding="mistral:embed")
    assert [(one.node, one.scope) for one in wished(home, workflow, models)] == [("a", "openai"), ("b", "mistral")]


def test_a_default_that_the_user_named_may_lie_anywhere(home, tmp_path):
    workflow = drawn({"a": box("spend.ask", set={"prompt": "x"})})
    path = f"local:{tmp_path}/outside/m.gguf"
    for trusted in (frozenset({path}), frozenset[str]()):
        (found,) = wished(home, workflow, DefaultModels(path, trusted=trusted), folder=tmp_path / "flows")
        assert (found.flag is None) == bool(trusted)


@pytest.mark.parametrize(
    ("node", "inputs", "told"),
    [
        (box("files.read", set={"path": "~nosuchuser/x"}), {}, [("read", "~nosuchuser/x", None)]),
        (box("files.read", set={"path": "a\0b"}), {}, [("read", "a\0b", None)]),
        (box("web.fetch", set={"url": "http://:80/"}), {}, [("net", "http://:80/", None)]),
        (box("files.read", {"path": "input.n"}), {"n": 5}, [("read", None, None)]),
        (box("files.read", {"path": "input.d"}), {"d": Document("/etc/hostname")}, [("read", None, None)]),
        (
            box("web.read", set={"url": " " * 30 + "https://evil.example/"}), {},
            [("net", " " * 30 + "https://evil.example/", "--allow net=evil.example"), ("read", " " * 30 + "https://evil.example/", None)],
        ),
        (box("web.read", set={"url": "page.html"}), {}, [("read", "page.html", None)]),
    ],
)  # fmt: skip
def test_whatever_stands_in_a_port_is_told(home, tmp_path, node, inputs, told):
    types = {"n": given("number"), "d": given("document")}
    checked = check(drawn({"a": node}, {name: types[name] for name in inputs}), installed_catalogue(home))
    found = wishes(checked, inputs, Permissions(folder=tmp_path), DefaultModels())
    assert [(one.word, one.scope, one.flag) for one in found] == told


def test_what_an_input_names_is_told_and_what_a_node_makes_is_not(home):
    nodes = {
        "u": box("test.upper", set={"text": "x"}),
        "a": box("spend.ask", {"model": "input.m"}, {"prompt": "x"}),
        "b": box("spend.ask", {"model": "u.text"}, {"prompt": "x"}),
        "off": box("spend.ask", set={"prompt": "x", "model": "openai:gpt-5"}, disabled=True),
    }
    found = wished(home, drawn(nodes, {"m": given("text")}), DefaultModels(), inputs={"m": "openai:gpt-5"})
    assert found == [Wish("a", "spend", "openai", "--allow spend=openai"), Wish("b", "model", None)]
