"""Vector-store kinds on the real Chroma and the bundled embedding model, called as the engine calls them."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.services import collections as collections_service
from phloem.nodes.services import models as models_service
from phloem.nodes.services.models.models import Models
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.grants import Permissions
from phloem.runtime.home import Home
from phloem.runtime.kinds import Example, NodeKind
from phloem.runtime.ports import PortType, expect, join_link
from phloem.runtime.values import Collection, Document, Hit
from support.kinds import agree, family_of, find

KINDS = family_of("store")
EXAMPLES = [(kind, example) for kind in KINDS for example in kind.examples]
FACTS = ["Refunds are paid within 30 days.", "The tower is 40 meters high.", "Bread is baked from flour and water."]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    service = models_service.make(Home(tmp_path_factory.mktemp("home")))
    for model in ("local:demo", "local:minilm"):
        asyncio.run(service.count(model, "warm"))
    yield service
    asyncio.run(service.close())


@pytest.fixture
def ctx(models: Models, home: Home, tmp_path: Path) -> Iterator[Context]:
    kept = collections_service.make(home)
    services = Services({"models": lambda: models, "collections": lambda: kept})
    yield Context(Scope(run="test", services=services, permissions=Permissions(folder=tmp_path)), node="node")
    asyncio.run(kept.close())


def result_of(kind: NodeKind, context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
    given = {name: inputs.get(name, port.default) for name, port in kind.inputs.items()}
    result = asyncio.run(kind.function(context, **given))
    return dict(zip(kind.outputs, result if len(kind.outputs) > 1 else [result], strict=True))


def call(id: str, context: Context, **inputs: Any) -> Any:
    found = result_of(find(id), context, inputs)
    return next(iter(found.values())) if len(found) == 1 else found


def stamp_of(id: str, context: Context, **inputs: Any) -> str:
    stamp = find(id).stamp
    assert stamp is not None
    found: str = asyncio.run(stamp(context, inputs))
    return found


def texts_of(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


@pytest.mark.parametrize(("kind", "example"), EXAMPLES, ids=[kind.id for kind, _ in EXAMPLES])
def test_an_example_shows_what_the_kind_does(ctx: Context, kind: NodeKind, example: Example) -> None:
    found = result_of(kind, ctx, dict(example.inputs))
    assert agree(dict(example.outputs), found), found
    for name, value in found.items():
        assert expect(value, kind.outputs[name]) == value


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_a_kind_has_words_for_people(kind: NodeKind) -> None:
    assert len(kind.about.split()) > 20
    assert all(port.about and not port.about.endswith(".") for port in kind.inputs.values())


def test_the_ports_that_files_rely_on_are_there() -> None:
    fixed = {
        "store.add": ({"texts", "documents", "collection", "model"}, {"collection": "collection"}),
        "store.search": ({"query", "collection", "k", "where"}, {"hits": "list[hit]"}),
    }
    for id, (inputs, outputs) in fixed.items():
        kind = find(id)
        assert inputs <= set(kind.inputs)
        assert {name: str(type) for name, type in kind.outputs.items()} == outputs


def test_what_is_kept_is_found_by_its_meaning(ctx: Context) -> None:
    kept = call("store.add", ctx, texts=FACTS, collection="facts")
    assert kept == Collection("facts", "local:minilm")
    hits = call("store.search", ctx, query="How do I get my money back?", collection=kept, k=2)
    assert hits[0].text == FACTS[0]
    assert len(hits) == 2
    assert hits[0].score > 0.4 > hits[1].score


def test_a_collection_may_be_given_as_itself_by_its_name_or_as_json(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    asked = [Collection("facts", "local:minilm"), "facts", {"name": "facts", "model": "local:minilm"}]
    found = [texts_of(call("store.search", ctx, query="height", collection=one, k=1)) for one in asked]
    assert found == [[FACTS[1]]] * 3
    with pytest.raises(InputError, match="no collection"):
        call("store.search", ctx, query="height", collection=5)


def test_documents_keep_their_title_source_and_metadata(ctx: Context) -> None:
    document = Document("The loom weaves.", "Looms", "looms.html", {"page": 3, "author": {"name": "Kay"}})
    call("store.add", ctx, documents=[document], texts=["Bread is baked."], collection="mixed")
    (hit,) = call("store.search", ctx, query="weaving", collection="mixed", where={"author.name": "Kay"})
    assert (hit.text, hit.source) == ("The loom weaves.", "looms.html")
    assert hit.metadata == {"page": 3, "author": {"name": "Kay"}, "title": "Looms", "source": "looms.html"}
    assert len(call("store.search", ctx, query="weaving", collection="mixed")) == 2


def test_adding_the_same_again_changes_nothing(ctx: Context) -> None:
    call("store.add", ctx, texts=[*FACTS, FACTS[0]], collection="facts")
    state = asyncio.run(ctx.collections.state("facts"))
    call("store.add", ctx, texts=FACTS[::-1], collection="facts")
    assert asyncio.run(ctx.collections.state("facts")) == state
    assert len(call("store.search", ctx, query="x", collection="facts", k=50)) == 3


def test_the_same_text_from_two_sources_is_there_twice_and_new_metadata_replaces_old(ctx: Context) -> None:
    one, two = Document("Same.", source="a.html"), Document("Same.", source="b.html")
    call("store.add", ctx, documents=[one, two], collection="same")
    call("store.add", ctx, documents=[Document("Same.", source="a.html", metadata={"n": 1})], collection="same")
    hits = call("store.search", ctx, query="same", collection="same")
    assert sorted((hit.source, hit.metadata.get("n")) for hit in hits) == [("a.html", 1), ("b.html", None)]


def test_texts_without_a_word_are_left_out(ctx: Context) -> None:
    call("store.add", ctx, texts=["", " \n", "A word."], collection="words")
    assert texts_of(call("store.search", ctx, query="x", collection="words")) == ["A word."]


@pytest.mark.parametrize("inputs", [{}, {"texts": []}, {"texts": ["", " "]}, {"documents": [Document("")]}])
def test_nothing_to_keep_is_refused(ctx: Context, inputs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="nothing to keep"):
        call("store.add", ctx, collection="empty", **inputs)


def test_a_collection_of_another_model_is_refused_before_anything_is_computed(ctx: Context) -> None:
    service = ctx.scope.services.get("collections")
    asyncio.run(service.add("theirs", "openai:large", ["a"], ["t"], [[1.0, 2.0]], [{}]))
    with pytest.raises(
        InputError, match="begun with openai:large, whose vectors cannot be compared with those of local:minilm"
    ):
        call("store.add", ctx, texts=FACTS, collection="theirs")


def test_a_collection_is_searched_with_its_own_model_and_no_other(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts", model="minilm")
    for model in ("", "local:minilm", "minilm"):
        assert texts_of(call("store.search", ctx, query="height", collection="facts", k=1, model=model)) == [FACTS[1]]
    with pytest.raises(
        InputError, match="begun with local:minilm, whose vectors cannot be compared with those of local:demo"
    ):
        call("store.search", ctx, query="height", collection="facts", model="local:demo")
    with pytest.raises(InputError, match="local:demo"):
        call("store.search", ctx, query="height", collection=FACTS, model="local:demo")


def test_a_collection_remembers_what_its_model_computed(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    noted = json.loads(asyncio.run(ctx.collections.note("facts")))
    assert noted["identity"] == asyncio.run(ctx.models.identity("local:minilm"))
    assert len(noted["vector"]) == 384


def test_an_update_of_the_library_does_not_make_it_another_model(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    noted = json.loads(asyncio.run(ctx.collections.note("facts")))
    asyncio.run(ctx.collections.keep_note("facts", json.dumps({**noted, "identity": "of an earlier version"})))
    state, tokens = asyncio.run(ctx.collections.state("facts")), [ctx.tokens_in]
    for _ in range(3):
        assert call("store.search", ctx, query="height", collection="facts", k=1)[0].text == FACTS[1]
        tokens.append(ctx.tokens_in)
    first, second, third = (after - before for before, after in itertools.pairwise(tokens))
    assert first > second == third, "only once is it computed whether it is the same model"
    assert json.loads(asyncio.run(ctx.collections.note("facts"))) == noted
    assert asyncio.run(ctx.collections.state("facts")) == state


@pytest.mark.parametrize("wrong", ["", "{", "[1]", '{"identity": 1}', '{"identity": "x", "vector": ["y"]}'])
def test_a_collection_of_an_earlier_version_is_taken_as_it_is(ctx: Context, wrong: str) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    noted = asyncio.run(ctx.collections.note("facts"))
    asyncio.run(ctx.collections.keep_note("facts", wrong))
    call("store.add", ctx, texts=["More."], collection="facts")
    assert asyncio.run(ctx.collections.note("facts")) == noted


@pytest.mark.parametrize("other", [[1.0] + [0.0] * 383, [1.0, 0.0]])
def test_another_model_under_the_same_name_is_refused(ctx: Context, other: list[float]) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    asyncio.run(ctx.collections.keep_note("facts", json.dumps({"identity": "another file", "vector": other})))
    for id, inputs in (("store.add", {"texts": ["More."]}), ("store.search", {"query": "height"})):
        with pytest.raises(InputError, match="begun with local:minilm, which is another model now") as caught:
            call(id, ctx, collection="facts", **inputs)
        assert "store.clear" in str(caught.value.hint)
    call("store.clear", ctx, collection="facts")
    assert asyncio.run(ctx.collections.note("facts")) == ""
    call("store.add", ctx, texts=FACTS, collection="facts")


@pytest.mark.slow
def test_a_model_whose_files_were_replaced_is_noticed(ctx: Context, tmp_path: Path) -> None:
    from support.sentence_folders import vector_model

    kept, own = ctx.scope.services.get("collections"), models_service.make(Home(tmp_path))
    ctx.scope.services = Services({"models": lambda: own, "collections": lambda: kept})
    mine = tmp_path / "mine"
    vector_model(mine)
    try:
        call("store.add", ctx, texts=FACTS, collection="facts", model=f"sentence-transformers:{mine}")
        (mine / "README.md").write_text("Another description of the same weights.")
        assert len(call("store.search", ctx, query="height", collection="facts")) == 3
        shutil.rmtree(mine)
        vector_model(mine, seed=9)
        with pytest.raises(InputError, match="which is another model now"):
            call("store.search", ctx, query="height", collection="facts")
    finally:
        asyncio.run(own.close())


def test_a_ledger_of_an_earlier_version_gets_what_it_lacks(ctx: Context, home: Home) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    asyncio.run(ctx.scope.services.get("collections").close())
    ledger = sqlite3.connect(home.collections / "ledger.sqlite3")
    ledger.execute("ALTER TABLE collections DROP COLUMN note")
    ledger.commit()
    ledger.close()
    assert call("store.search", ctx, query="height", collection="facts", k=1)[0].text == FACTS[1]
    assert json.loads(asyncio.run(ctx.collections.note("facts")))["vector"]
    assert asyncio.run(ctx.collections.note("absent")) == ""
    with pytest.raises(InputError, match="no collection"):
        asyncio.run(ctx.collections.keep_note("absent", "x"))


def test_what_was_written_is_told_for_the_cache(ctx: Context) -> None:
    texts = [f"Fact {number}." for number in range(70)]
    shown: list[tuple[float | None, str]] = []
    ctx.on_progress = lambda fraction, message: shown.append((fraction, message))
    call("store.add", ctx, texts=texts, collection="many")
    assert [word for word, _, _ in ctx.written] == ["collection", "collection"]
    ids = [id for _, where, _ in ctx.written for id in where.split("\n")[1:]]
    assert len(ids) == 70
    assert all(left for _, _, left in ctx.written)
    assert shown[0] == (0.0, "0 of 70")
    assert shown[-1] == (1.0, "70 kept")


def test_a_search_that_is_cancelled_or_an_add_in_the_middle_leaves_whole_rows(ctx: Context) -> None:
    async def cancel() -> None:
        kind = find("store.add")
        task = asyncio.ensure_future(
            kind.function(ctx, texts=[f"Fact number {number}." for number in range(2_000)], collection="big")
        )
        while await ctx.collections.about("big") is None:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    hits = call("store.search", ctx, query="Fact number 5.", collection="big", k=1_000)
    assert 64 <= len(hits) < 2_000
    assert len(hits) % 64 == 0 or len(hits) == 1_000


def test_hits_below_a_score_are_left_out(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    found = call("store.search", ctx, query="How do I get my money back?", collection="facts", min_score=0.3)
    assert texts_of(found) == [FACTS[0]]
    assert call("store.search", ctx, query="How do I get my money back?", collection="facts", min_score=0.99) == []


def test_texts_documents_and_hits_can_be_looked_through_without_keeping_them(ctx: Context) -> None:
    hits = call("store.search", ctx, query="How tall is it?", collection=FACTS, k=2)
    assert hits[0].text == FACTS[1]
    again = call("store.search", ctx, query="How tall is it?", collection=hits, k=1)
    assert texts_of(again) == [FACTS[1]]
    documents = [Document(text, source=str(number)) for number, text in enumerate(FACTS)]
    assert call("store.search", ctx, query="How tall is it?", collection=documents, k=1)[0].source == "1"
    assert call("store.search", ctx, query="How tall is it?", collection=[]) == []
    call("store.add", ctx, texts=FACTS, collection="facts")
    kept = call("store.search", ctx, query="How tall is it?", collection="facts", k=2)
    assert [hit.score for hit in kept] == pytest.approx([hit.score for hit in hits], abs=1e-4)
    for bad, reason in (([5], "not int"), ([Document("x"), None], "not NoneType")):
        with pytest.raises(InputError, match=reason):
            call("store.search", ctx, query="x", collection=bad)
    with pytest.raises(InputError, match="a filter needs a collection"):
        call("store.search", ctx, query="x", collection=FACTS, where={"page": 1})


@pytest.mark.parametrize(
    ("inputs", "error", "reason"),
    [
        ({"query": " ", "collection": "facts"}, InputError, "query is empty"),
        ({"query": "x", "collection": "gone"}, InputError, "no collection 'gone'"),
        ({"query": "x", "collection": "facts", "k": 0}, SettingError, "k is 0"),
        ({"query": "x", "collection": "facts", "k": 1.5}, SettingError, "whole number"),
        ({"query": "x", "collection": "facts", "k": 10**6}, SettingError, "the most is"),
        ({"query": "x", "collection": "facts", "where": {"a": {"$like": "b"}}}, InputError, "filter cannot be used"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    ctx: Context, inputs: dict[str, Any], error: type[Exception], reason: str
) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    with pytest.raises(error, match=reason):
        call("store.search", ctx, **inputs)


def test_a_search_is_done_again_when_the_collection_has_changed(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS[:2], collection="facts")
    first = stamp_of("store.search", ctx, query="x", collection="facts")
    assert first == stamp_of("store.search", ctx, query="x", collection=Collection("facts", "local:minilm"))
    call("store.add", ctx, texts=FACTS, collection="facts")
    assert stamp_of("store.search", ctx, query="x", collection="facts") != first
    assert stamp_of("store.search", ctx, query="x", collection="gone") == ""
    identity = asyncio.run(ctx.models.identity("local:minilm"))
    assert stamp_of("store.search", ctx, query="x", collection=FACTS) == identity
    assert stamp_of("store.add", ctx, texts=FACTS, collection="facts", model="") == identity


def test_a_collection_can_be_emptied_and_begun_anew(ctx: Context) -> None:
    call("store.add", ctx, texts=FACTS, collection="facts")
    assert call("store.clear", ctx, collection="facts") == {"name": "facts", "removed": 3}
    assert call("store.clear", ctx, collection=Collection("facts", "x")) == {"name": "facts", "removed": 0}
    with pytest.raises(InputError, match="no collection 'facts'"):
        call("store.search", ctx, query="x", collection="facts")


def test_the_collection_port_takes_what_people_will_link_to_it() -> None:
    port = find("store.search").inputs["collection"]
    for source in ("collection", "text", "list[text]", "list[document]", "list[hit]"):
        fit = join_link(PortType.parse(source), port)
        assert not isinstance(fit, str)
        assert fit.maps == 0
