"""Models of sentence-transformers, on small real ones with random weights: vectors, scores, and what may go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.services.models.sentence import SentenceModels, folders
from phloem.nodes.services.models.sentence.folders import MOST_FILES
from phloem.nodes.services.models.sentence.owner import Owner, Stopped
from phloem.nodes.services.models.sentence.shelf import MOST
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.errors import InputError, LimitReached, PermissionNeeded, ServiceError
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.services import Request
from phloem.runtime.values import Document, Hit, Message
from support.kinds import find
from support.sentence_folders import LONGEST, cross_encoder, put_into_cache, vector_model

pytestmark = pytest.mark.slow

VECTORS = "sentence-transformers:tiny"
SCORES = "sentence-transformers:cross-encoder/tiny"
TEXTS = ["Refunds are paid within thirty days.", "The tower is forty meters high.", "Bread is baked from flour."]
QUERY = "How do I get my money back?"


@dataclass
class Costs:
    """A meter that remembers; with `most` it stops whoever reads more."""

    most: int | None = None
    read: int = 0
    texts: list[str] = field(default_factory=list)

    def spend(self, *, read: int = 0, written: int = 0, cached: int = 0, money: float = 0.0) -> None:
        assert written == cached == money == 0
        self.read += read
        if self.most is not None and self.read > self.most:
            raise LimitReached("enough")

    def left(self) -> int | None:
        return None

    def sent(self, model: str, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of Hugging Face with a model that makes vectors and one that compares texts."""
    hub = tmp_path_factory.mktemp("hub")
    put_into_cache(hub, "sentence-transformers/tiny", vector_model)
    put_into_cache(hub, "cross-encoder/tiny", cross_encoder)
    return hub


@pytest.fixture
def hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that cache, which is the only one; the network is out of reach."""
    hub = tmp_path / "hub"
    shutil.copytree(saved, hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(socket.socket, "connect", _offline)
    return hub


def _offline(*_: object) -> None:
    raise AssertionError("something was asked over the network")


@pytest.fixture
def models(hub: Path) -> Iterator[SentenceModels]:
    models = SentenceModels()
    yield models
    asyncio.run(models.close())


def snapshot(hub: Path, name: str) -> Path:
    return next((hub / f"models--{name.replace('/', '--')}" / "snapshots").iterdir())


def result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_are_those_of_the_library(models: SentenceModels, hub: Path) -> None:
    from sentence_transformers import SentenceTransformer

    costs = Costs()
    found = result(models.embed(VECTORS, TEXTS, costs))
    theirs = SentenceTransformer(str(snapshot(hub, "sentence-transformers/tiny"))).encode(
        TEXTS, show_progress_bar=False
    )
    for vector, other in zip(found, theirs, strict=True):
        assert vector == pytest.approx(other.tolist(), abs=1e-5)
        assert dot(vector, vector) == pytest.approx(1)
    assert abs(dot(found[0], found[1])) < 0.99
    assert costs.texts == TEXTS
    assert costs.read == sum(result(models.count(VECTORS, text)) for text in TEXTS)


def test_scores_are_those_of_the_library(models: SentenceModels, hub: Path) -> None:
    from sentence_transformers import CrossEncoder

    costs = Costs()
    found = result(models.rerank(SCORES, QUERY, TEXTS, costs))
    pairs = [(QUERY, text) for text in TEXTS]
    theirs = CrossEncoder(str(snapshot(hub, "cross-encoder/tiny"))).predict(pairs, show_progress_bar=False)
    assert found == pytest.approx(theirs.tolist(), abs=1e-5)
    assert len(set(found)) == 3
    assert costs.texts[0] == f"{QUERY}\n\n{TEXTS[0]}"
    assert costs.read > sum(result(models.count(SCORES, text)) for text in TEXTS)


def test_a_text_that_is_too_long_for_a_vector_is_the_mean_of_its_parts(models: SentenceModels) -> None:
    short = "the tower is forty meters high " * 4
    long = short * 30
    one, whole, costs = result(models.embed(VECTORS, [short], Costs()))[0], None, Costs()
    (whole,) = result(models.embed(VECTORS, [long], costs))
    assert dot(whole, whole) == pytest.approx(1)
    assert dot(whole, one) > 0.8
    assert costs.read > result(models.count(VECTORS, long)) > 10 * LONGEST
    (nonsense,) = result(models.embed(VECTORS, ["x" * 5_000], Costs()))
    assert dot(nonsense, nonsense) == pytest.approx(1)


def test_a_text_that_is_too_long_for_a_score_has_that_of_its_best_part(models: SentenceModels) -> None:
    half = " ".join(["bread is baked from flour and water"] * 4)
    long = f"{half} {half}"
    assert result(models.count(SCORES, long)) > LONGEST > result(models.count(SCORES, half))
    alone, whole = result(models.rerank(SCORES, QUERY, [half, long], Costs()))
    assert whole == pytest.approx(alone, abs=1e-5)


def test_a_query_that_leaves_no_room_is_refused(models: SentenceModels) -> None:
    with pytest.raises(InputError, match=f"the query is .* tokens long, and {SCORES} reads {LONGEST} in all"):
        result(models.rerank(SCORES, QUERY * 20, TEXTS, Costs()))


def test_no_texts_give_nothing(models: SentenceModels) -> None:
    assert result(models.embed(VECTORS, [], Costs())) == []
    assert result(models.rerank(SCORES, QUERY, [], Costs())) == []
    assert len(result(models.embed(VECTORS, [""], Costs()))[0]) == 32


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_many_texts_is_kept(models: SentenceModels, seed: int) -> None:
    texts = [f"{('tower', 'bread', 'flour')[(index + seed) % 3]} {index}" for index in range(150)]
    together = result(models.embed(VECTORS, texts, Costs()))
    (alone,) = result(models.embed(VECTORS, [texts[140 + seed]], Costs()))
    assert together[140 + seed] == pytest.approx(alone, abs=1e-5)


def test_what_is_known_is_told_without_loading_the_model(hub: Path) -> None:
    code = (
        "import asyncio, sys; from phloem.nodes.services.models.sentence import SentenceModels; m = SentenceModels();"
        f"a = asyncio.run(m.about({VECTORS!r})); i = asyncio.run(m.identity({SCORES!r})); n = asyncio.run(m.list());"
        "print(a.makes, a.context, a.size > 50_000, a.parameters > 20_000, a.loaded, a.details['dimensions']);"
        "print([one.name for one in n], 'a' * 40 in i, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True,
        env={"HF_HUB_CACHE": str(hub), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "vectors 48 True True False 32",
        f"['{SCORES}', '{VECTORS}'] True False",
    ]
    assert done.stderr == ""


def test_a_model_that_was_used_is_told_to_be_loaded(models: SentenceModels) -> None:
    result(models.embed(VECTORS, ["x"], Costs()))
    assert result(models.about(VECTORS)).loaded
    assert not result(models.about(SCORES)).loaded
    assert result(models.about(SCORES)).makes == "scores"
    assert result(models.estimate(VECTORS, 10**6, 0)) == 0.0


def test_the_list_leaves_out_what_is_no_model_of_this_kind(models: SentenceModels, hub: Path) -> None:
    put_into_cache(hub, "big/classifier", lambda folder: cross_encoder(folder, classes=3))
    put_into_cache(hub, "empty/model", lambda folder: folder.mkdir())
    (hub / "models--broken--one" / "snapshots").mkdir(parents=True)
    assert [one.name for one in result(models.list())] == [SCORES, VECTORS]


def test_a_folder_of_ones_own_is_a_model(models: SentenceModels, hub: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(snapshot(hub, "sentence-transformers/tiny"), tmp_path / "mine")
    theirs = result(models.embed(VECTORS, TEXTS, Costs()))
    assert result(models.embed(f"sentence-transformers:{mine}", TEXTS, Costs())) == theirs
    with pytest.raises(InputError, match="there is no model of sentence-transformers in"):
        result(models.embed(f"sentence-transformers:{tmp_path}", TEXTS, Costs()))


@pytest.mark.parametrize("name", ["{mine}", "./mine", "../here/mine"])
def test_a_folder_elsewhere_may_be_used_only_if_it_may_be_read(name: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    name = f"sentence-transformers:{name.format(mine=here / 'mine')}"
    full = f"sentence-transformers:{here / 'mine'}"
    assert Permissions(folder=here).model(name) == full
    elsewhere = Permissions(folder=tmp_path / "elsewhere")
    if not name.endswith(":./mine"):
        with pytest.raises(PermissionNeeded, match="may not read"):
            elsewhere.model(name)
        assert Permissions([Grant("read", str(here))], folder=tmp_path / "elsewhere").model(name) == full
    assert elsewhere.model("sentence-transformers:intfloat/e5-small-v2") == "sentence-transformers:intfloat/e5-small-v2"


def test_the_kind_that_ranks_again_does_so(models: SentenceModels, hub: Path, tmp_path: Path) -> None:
    put_into_cache(hub, "cross-encoder/ms-marco-MiniLM-L6-v2", cross_encoder)
    scope = Scope(run="test", services=Services({"models": lambda: models}), permissions=Permissions(folder=tmp_path))
    context = Context(scope, node="node")
    kind = find("llm.rerank")
    (example,) = kind.examples
    hits = result(kind.function(context, **example.inputs))
    assert len(hits) == 1
    assert context.tokens_in > 20
    document = Document(TEXTS[1], "Tower", "tower.html", {"page": 3})
    given = [[Hit(TEXTS[0], 0.4, "id", "refunds.html", {"page": 1}), document], TEXTS[2]]
    ranked = result(kind.function(context, query=QUERY, documents=given, model=SCORES, k=5))
    scores = dict(zip(TEXTS, result(models.rerank(SCORES, QUERY, TEXTS, Costs())), strict=True))
    assert [hit.text for hit in ranked] == sorted(TEXTS, key=lambda text: -scores[text])
    assert {hit.text: hit.score for hit in ranked} == pytest.approx(scores, abs=1e-5)
    by_text = {hit.text: hit for hit in ranked}
    assert (by_text[TEXTS[0]].id, by_text[TEXTS[0]].source) == ("id", "refunds.html")
    assert by_text[TEXTS[1]].metadata == {"page": 3, "title": "Tower"}


def test_another_content_is_another_model(models: SentenceModels, hub: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(snapshot(hub, "sentence-transformers/tiny"), tmp_path / "mine")
    name = f"sentence-transformers:{mine}"
    first, vectors = result(models.identity(name)), result(models.embed(name, TEXTS, Costs()))
    assert result(models.identity(name)) == first
    shutil.rmtree(mine)
    vector_model(mine, seed=9)
    assert result(models.identity(name)) != first
    assert result(models.embed(name, TEXTS, Costs())) != vectors
    kept = result(models.identity(VECTORS))
    put_into_cache(hub, "sentence-transformers/tiny", lambda folder: vector_model(folder, seed=9), revision="b" * 40)
    assert result(models.identity(VECTORS)) != kept


def test_every_file_of_a_folder_counts(models: SentenceModels, hub: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(snapshot(hub, "sentence-transformers/tiny"), tmp_path / "mine")
    name = f"sentence-transformers:{mine}"
    for index in range(MOST_FILES):
        (mine / f"empty{index}").mkdir()
    odd = Path(os.fsdecode(os.fsencode(mine) + b"/odd\xff"))
    seen = {result(models.identity(name))}
    for path in (mine / "last", mine / f"empty{MOST_FILES - 1}" / "inner", odd):
        path.write_text("x")
        seen.add(result(models.identity(name)))
    assert len(seen) == 4


def test_a_model_is_asked_only_for_what_it_makes(models: SentenceModels) -> None:
    async def written() -> None:
        async for _ in models.answer(VECTORS, Request(asked="Hi"), Costs()):
            pass

    for asked, reason in (
        (written(), f"{VECTORS} makes vectors; it does not write text"),
        (models.structured(SCORES, Request(asked="Hi"), Costs()), "compares texts in pairs; it does not write text"),
        (models.embed(SCORES, TEXTS, Costs()), "compares texts in pairs; it makes no vectors"),
        (models.rerank(VECTORS, QUERY, TEXTS, Costs()), "makes vectors; it does not compare texts in pairs"),
        (models.count(VECTORS, [Message("user", "Hi")]), "does not write text"),
        (models.embed(VECTORS, ["x", 5], Costs()), "a model reads texts"),  # type: ignore[list-item]
    ):
        with pytest.raises(InputError, match=reason):
            result(asked)


@pytest.mark.parametrize("name", ["", "../tiny", "a/b/c", "a b", "tiny;x", "-tiny"])
def test_what_is_no_name_is_refused(models: SentenceModels, name: str) -> None:
    with pytest.raises(InputError, match="not a model's name"):
        result(models.embed(f"sentence-transformers:{name}", TEXTS, Costs()))


def test_a_model_that_is_not_here_is_not_fetched(models: SentenceModels) -> None:
    with pytest.raises(ServiceError, match="sentence-transformers/absent is not on this machine") as caught:
        result(models.embed("sentence-transformers:absent", TEXTS, Costs()))
    assert caught.value.hint == "Fetch it with: hf download sentence-transformers/absent"


def test_without_the_extra_it_is_named(models: SentenceModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    with pytest.raises(ServiceError, match="needs an extra") as caught:
        result(models.embed(VECTORS, TEXTS, Costs()))
    assert caught.value.hint == 'pip install "phloem[sentence-transformers]"'
    assert result(models.list()) == []


def changed(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_model_of_another_kind_is_refused(models: SentenceModels, hub: Path) -> None:
    folder = snapshot(hub, "sentence-transformers/tiny")
    changed(folder, "config_sentence_transformers.json", model_type="SparseEncoder")
    with pytest.raises(InputError, match="is a SparseEncoder"):
        result(models.embed(VECTORS, TEXTS, Costs()))
    put_into_cache(hub, "some/classifier", lambda folder: cross_encoder(folder, classes=3))
    with pytest.raises(InputError, match="sorts pairs of texts into 3 classes"):
        result(models.rerank("sentence-transformers:some/classifier", QUERY, TEXTS, Costs()))


def test_damaged_files_are_an_error_and_the_next_model_works(models: SentenceModels, hub: Path) -> None:
    folder = snapshot(hub, "sentence-transformers/tiny")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:5_000])
    with pytest.raises(ServiceError, match=f"cannot load {VECTORS}"):
        result(models.embed(VECTORS, TEXTS, Costs()))
    assert result(models.about(VECTORS)).size == 5_000
    assert len(result(models.rerank(SCORES, QUERY, TEXTS, Costs()))) == 3
    weights.write_bytes(whole)
    assert len(result(models.embed(VECTORS, TEXTS, Costs()))) == 3


@pytest.mark.parametrize(
    ("name", "wanted"), [("sentence-transformers/tiny", "vector"), ("cross-encoder/tiny", "score")]
)
def test_weights_that_give_no_numbers_are_an_error(models: SentenceModels, hub: Path, name: str, wanted: str) -> None:
    from safetensors.torch import load_file, save_file

    path = snapshot(hub, name) / "model.safetensors"
    save_file({key: tensor * float("nan") for key, tensor in load_file(path).items()}, path, {"format": "pt"})
    asked = (
        models.embed(VECTORS, TEXTS, Costs()) if wanted == "vector" else models.rerank(SCORES, QUERY, TEXTS, Costs())
    )
    with pytest.raises(ServiceError, match=f"no usable {wanted}"):
        result(asked)


def test_whatever_the_library_raises_is_an_error_of_the_model(models: SentenceModels, hub: Path) -> None:
    from transformers import AutoTokenizer

    folder = snapshot(hub, "sentence-transformers/tiny")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["zyzzyva"])
    tokenizer.save_pretrained(folder)
    # The word has no place in the weights, which is an IndexError of PyTorch.
    with pytest.raises(ServiceError, match=f"{VECTORS} failed: index out of range"):
        result(models.embed(VECTORS, ["zyzzyva"], Costs()))


def test_weights_that_were_removed_from_the_cache_are_no_weights(models: SentenceModels, hub: Path) -> None:
    weights = snapshot(hub, "sentence-transformers/tiny") / "model.safetensors"
    weights.unlink()
    weights.symlink_to("../../blobs/gone")
    assert result(models.about(VECTORS)).size is None
    assert [one.name for one in result(models.list())] == [SCORES, VECTORS]


@pytest.mark.parametrize("kind", ["evil.Evil", "subprocess.Popen", "joblib.numpy_pickle"])
def test_a_program_in_the_folder_of_a_model_is_not_run(models: SentenceModels, hub: Path, kind: str) -> None:
    folder = snapshot(hub, "sentence-transformers/tiny")
    ran = folder / "ran"
    (folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()\nclass Evil: load = print\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ServiceError, match=f"cannot load {VECTORS}"):
        result(models.embed(VECTORS, TEXTS, Costs()))
    assert not ran.exists()


def test_a_limit_stops_it_between_two_turns(models: SentenceModels) -> None:
    costs = Costs(most=100)
    with pytest.raises(LimitReached):
        result(models.embed(VECTORS, TEXTS * 100, costs))
    assert len(costs.texts) == 64
    assert len(result(models.embed(VECTORS, TEXTS, Costs()))) == 3


def test_what_is_cancelled_stops_and_the_model_goes_on(models: SentenceModels) -> None:
    async def cancelled() -> list[list[float]]:
        await models.embed(VECTORS, ["warm"], Costs())
        costs = Costs()
        long = asyncio.ensure_future(models.embed(VECTORS, ["bread " * 2_000] * 200, costs))
        while not costs.texts:
            await asyncio.sleep(0.001)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        return await models.embed(VECTORS, TEXTS, Costs())

    assert len(result(cancelled())) == 3


def test_what_waits_for_a_model_that_is_loaded_does_not_start_after_a_close() -> None:
    loading, go_on = threading.Event(), threading.Event()

    class Engine:
        def stop(self) -> None: ...

        def resume(self) -> None: ...

        def close(self) -> None: ...

    def load() -> Engine:
        loading.set()
        assert go_on.wait(20)
        return Engine()

    owner = Owner("late", load)
    job = owner.submit(lambda engine: "done")
    assert loading.wait(20)
    owner.close(0)
    go_on.set()
    with pytest.raises(Stopped):
        job.future.result(20)


def test_several_loops_may_use_it_at_once(models: SentenceModels) -> None:
    expected = result(models.embed(VECTORS, TEXTS, Costs()))
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(result(models.embed(VECTORS, TEXTS, Costs())))) for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert len(found) == 4
    assert all(
        vector == pytest.approx(other, abs=1e-5) for one in found for vector, other in zip(one, expected, strict=True)
    )


def test_only_a_few_models_stay_in_memory(models: SentenceModels, hub: Path, tmp_path: Path) -> None:
    names = []
    for index in range(MOST + 2):
        mine = shutil.copytree(snapshot(hub, "sentence-transformers/tiny"), tmp_path / f"mine{index}")
        names.append(f"sentence-transformers:{mine}")
        result(models.embed(names[-1], ["x"], Costs()))
    loaded = [result(models.about(name)).loaded for name in names]
    assert loaded == [False] * 2 + [True] * MOST


def test_a_closed_service_is_quiet(hub: Path) -> None:
    models = SentenceModels()
    result(models.embed(VECTORS, ["x"], Costs()))
    result(models.close())
    result(models.close())
    assert not [one for one in threading.enumerate() if VECTORS in one.name]
