"""Models fetched from real servers on loopback, which break off, change their mind and send other things."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from phloem.nodes.services.models.local.gguf import read_header
from phloem.nodes.services.models.pull import install, transfer
from phloem.nodes.services.models.pull.disk import KEPT_FREE
from phloem.nodes.services.models.pull.folder import Installed, locked
from phloem.nodes.services.models.pull.install import pull
from phloem.nodes.services.models.pull.origin import Origin
from phloem.nodes.services.models.pull.part import Note, Part, parts_in
from phloem.nodes.services.models.pull.transfer import Patience
from phloem.runtime.errors import ConfigError, InputError, PhloemError, ServiceError
from support.hub_server import COMMIT, FileAnswer, hub_answers, sha256_of
from support.model_files import DEMO
from support.web_server import Answer, Asked, WebServer, page, serving

DATA = DEMO.read_bytes()
DIGEST = sha256_of(DATA)
TINY = DATA[:1_000_000]
"""The beginning of a model: enough for what fails before the end."""


class Told:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int | None]] = []
        self.said: list[str] = []
        self.done = 0

    def begin(self, doing: str, done: int, total: int | None) -> None:
        self.begun.append((doing, done, total))

    def reach(self, done: int) -> None:
        self.done = done

    def say(self, words: str) -> None:
        self.said.append(words)

    @property
    def starts(self) -> list[int]:
        """Where each exchange that brought something began."""
        return [done for doing, done, _ in self.begun if doing == "fetching"]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("HF_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def file() -> FileAnswer:
    return FileAnswer(DATA)


@pytest.fixture
def server(file: FileAnswer) -> Iterator[WebServer]:
    with serving({"/files/demo%20one.gguf": file, "/m.gguf": file}, host="127.0.0.1") as server:
        yield server


def fetch(source: str, folder: Path, told: Told | None = None, **more: str) -> Installed:
    patience = Patience(tries=3, first=0.001)
    return pull(source, folder, taken=frozenset({"demo"}), progress=told or Told(), patience=patience, **more)


def at(server: WebServer, path: str = "/m.gguf") -> str:
    return server.url(path, "127.0.0.1")


def refused(source: str, folder: Path, **more: str) -> PhloemError:
    with pytest.raises((InputError, ServiceError)) as caught:
        fetch(source, folder, **more)
    assert not list(folder.glob("*.gguf")), "nothing may be installed"
    return caught.value


def ranges(server: WebServer) -> list[str]:
    return [one.headers.get("range", "all") for one in server.asked]


def test_a_model_is_fetched_checked_and_named(server: WebServer, folder: Path) -> None:
    told = Told()
    got = fetch(at(server, "/files/demo%20one.gguf?token=secret"), folder, told)
    assert (got.name, got.size, got.sha256, got.new) == ("demo-one", len(DATA), DIGEST, True)
    assert got.path == folder / "demo-one.gguf"
    assert got.path.read_bytes() == DATA
    assert told.begun == [("fetching", 0, len(DATA)), ("checking", 0, len(DATA))]
    assert told.done == len(DATA)
    origin = Origin.of(got.path)
    assert origin is not None
    assert origin.sha256 == DIGEST
    assert origin.source == at(server, "/files/demo%20one.gguf"), "the query may be a secret"
    assert sorted(one.name for one in folder.iterdir()) == [".locks", "demo-one.gguf", "demo-one.origin.json"]


def test_the_same_file_is_not_fetched_twice_and_another_does_not_take_its_place(
    server: WebServer, file: FileAnswer, folder: Path
) -> None:
    fetch(at(server), folder)
    before = len(server.asked)
    assert fetch(at(server), folder, sha256=DIGEST).new is False
    assert len(server.asked) == before
    with pytest.raises(InputError, match="already a model m"):
        fetch(at(server), folder)
    with pytest.raises(InputError, match="comes with Phloem"):
        fetch(at(server), folder, name="demo")
    assert fetch(at(server), folder, name="other", sha256=DIGEST.upper()).name == "other"


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 1000, 1_500_000, len(DATA) - 1])
def test_a_cut_is_gone_on_after(server: WebServer, file: FileAnswer, folder: Path, first: int) -> None:
    file.cuts = [first]
    told = Told()
    assert fetch(at(server), folder, told).path.read_bytes() == DATA
    assert ranges(server) == ["all", f"bytes={first}-" if first >= 4 else "all"]
    assert told.starts == [0, first if first >= 4 else 0]
    assert "going on" in told.said[0]


def test_many_cuts_end_well_as_long_as_each_exchange_brings_something(
    server: WebServer, file: FileAnswer, folder: Path
) -> None:
    file.cuts = [1_000_000, 0, 1_000_000, 0, 1_000_000, 0]
    assert fetch(at(server), folder).path.read_bytes() == DATA
    assert len(server.asked) == 7


def test_cuts_without_end_are_an_error_and_what_came_waits(server: WebServer, file: FileAnswer, folder: Path) -> None:
    file.cuts = [400_000, 10, 10, 10, 10]
    error = refused(at(server), folder)
    assert "3 tries were in vain" in error.message
    assert "goes on from there" in str(error.hint)
    assert isinstance(error, ServiceError) and error.retryable
    [part] = parts_in(folder)
    assert (part.name, part.size) == ("m", 400_020)
    assert part.path.read_bytes() == DATA[: part.size]
    file.cuts = []
    told = Told()
    assert fetch(at(server), folder, told).path.read_bytes() == DATA
    assert told.starts == [400_020]
    assert parts_in(folder) == []


def test_a_server_that_always_begins_anew_is_given_up(server: WebServer, file: FileAnswer, folder: Path) -> None:
    file.cuts, file.ranges = [1_200_000, 10_000] * 5, False
    assert "3 tries were in vain" in refused(at(server), folder).message
    assert len(server.asked) == 3


def test_a_server_that_ignores_ranges_makes_it_start_over(server: WebServer, file: FileAnswer, folder: Path) -> None:
    file.cuts, file.ranges = [500_000], False
    told = Told()
    assert fetch(at(server), folder, told).path.read_bytes() == DATA
    assert told.starts == [0, 0]
    assert any("starting over" in said for said in told.said)


def test_another_file_at_the_address_makes_it_start_over(server: WebServer, file: FileAnswer, folder: Path) -> None:
    file.cuts = [500_000, 0, 0]
    refused(at(server), folder)
    other = DATA.replace(b"general.name", b"general.nome")
    file.data, file.etag = other, '"two"'
    told = Told()
    assert fetch(at(server), folder, told).path.read_bytes() == other
    assert server.asked[-1].headers["if-range"] == '"one"'
    assert told.starts == [0]


def test_a_server_that_does_not_look_at_if_range_is_not_believed(folder: Path) -> None:
    file = FileAnswer(DATA, cuts=[500_000])
    other = FileAnswer(DATA.replace(b"general.name", b"general.nome"), etag='"two"')

    def careless(asked: Asked) -> Answer:
        asked.headers.pop("if-range", None)
        return (file if len(server.asked) == 1 else other)(asked)

    with serving({"/m.gguf": careless}, host="127.0.0.1") as server:
        assert fetch(at(server), folder).path.read_bytes() == other.data
        assert ranges(server) == ["all", "bytes=500000-", "all"]


@pytest.mark.parametrize(
    ("etag", "headers", "asked"),
    [
        ("", {}, "all"),
        ('W/"one"', {}, "all"),
        ('W/"one"', {"Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}, "bytes=500000-"),
    ],
)
def test_without_a_sign_that_the_file_is_the_same_it_starts_over(
    server: WebServer, file: FileAnswer, folder: Path, etag: str, headers: dict[str, str], asked: str
) -> None:
    file.cuts, file.etag, file.headers = [500_000], etag, headers
    assert fetch(at(server), folder).path.read_bytes() == DATA
    assert ranges(server) == ["all", asked]


def test_a_part_that_was_whole_needs_no_more_bytes(server: WebServer, file: FileAnswer, folder: Path) -> None:
    folder.mkdir()
    part = Part(folder, "m")
    part.begin(Note(at(server), '"one"', "", len(DATA)))
    part.path.write_bytes(DATA)
    assert fetch(at(server), folder).path.read_bytes() == DATA
    assert server.asked == []


def test_a_part_of_unknown_size_that_was_whole_is_found_out(server: WebServer, file: FileAnswer, folder: Path) -> None:
    folder.mkdir()
    part = Part(folder, "m")
    part.begin(Note(at(server), '"one"'))
    part.path.write_bytes(DATA)
    assert fetch(at(server), folder).path.read_bytes() == DATA
    assert ranges(server) == [f"bytes={len(DATA)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(server: WebServer, file: FileAnswer, folder: Path) -> None:
    folder.mkdir()
    part = Part(folder, "m")
    part.begin(Note(at(server), '"one"'))
    part.path.write_bytes(DATA + b"more")
    assert fetch(at(server), folder).path.read_bytes() == DATA


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b'{"source": 1}', b'{"source": "x", "size": "many"}', b"\xff", b"[" * 50_000]
)
def test_a_part_of_which_nobody_knows_what_it_is_is_not_used(server: WebServer, folder: Path, note: bytes) -> None:
    folder.mkdir()
    (folder / "m.part").write_bytes(b"GGUFnonsense")
    (folder / "m.part.json").write_bytes(note)
    assert fetch(at(server), folder).path.read_bytes() == DATA
    assert ranges(server) == ["all"]


def test_a_part_of_another_source_is_not_thrown_away(server: WebServer, file: FileAnswer, folder: Path) -> None:
    file.cuts = [500_000, 0, 0]
    refused(at(server), folder)
    error = refused(at(server, "/files/demo%20one.gguf"), folder, name="m")
    assert at(server) in error.message
    assert "phloem models rm m" in str(error.hint)
    assert Part(folder, "m").size == 500_000


def test_a_wrong_checksum_installs_nothing(server: WebServer, folder: Path) -> None:
    error = refused(at(server), folder, sha256="0" * 64)
    assert DIGEST in error.message
    assert "0" * 64 in error.message
    assert [one.name for one in folder.iterdir()] == [".locks"]


def test_a_file_that_cannot_be_looked_at_now_is_kept(
    server: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(install, "read_header", lambda path: read_header(path.with_name("gone")))
        assert "no such file" in refused(at(server), folder).message
    assert Part(folder, "m").size == len(DATA)
    assert fetch(at(server), folder).path.read_bytes() == DATA
    assert len(server.asked) == 1


@pytest.mark.parametrize("sha256", ["abc", "g" * 64, DIGEST + "0"])
def test_what_is_no_checksum_is_refused_before_anything_is_fetched(
    server: WebServer, folder: Path, sha256: str
) -> None:
    assert "is no SHA-256" in refused(at(server), folder, sha256=sha256).message
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (page("<!doctype html><title>Sign in</title>"), "sends a web page, not a GGUF file"),
        (Answer(b"PK\3\4" + bytes(1000), headers={"Content-Type": "application/zip"}), "something else (application/zip)"),
        (Answer(b"GG"), "it is not a GGUF file"), (Answer(b"GGUF"), "it is cut short"),
        (Answer(b""), "it is empty"),
        (Answer(DATA[:-5]), "ends at byte"),
        (Answer(b"no", 404), "there is nothing at"),
        (Answer(b"no", 410), "there is nothing at"),
        (Answer(b"no", 401), "does not let everybody fetch"),
        (Answer(b"no", 403), "does not let everybody fetch"),
        (Answer(b"no", 418), "answers with 418"),
        (Answer(b"no", 501), "answers with 501"),
        (Answer(DATA, headers={"Content-Encoding": "gzip"}), "an encoding that was not asked for"),
        (Answer(b"", headers={"Content-Length": str(10**14)}), "more than any model"),
        (Answer(b"", headers={"Content-Length": str(10**12)}), "has no room"),
        (Answer(b"", 302, {"Location": "ftp://127.0.0.1/m.gguf"}), "not on the web"),
        (Answer(b"", 302, {"Location": "/m.gguf"}), "redirects more than 10 times"),
        (Answer(b"", 302, {"Location": "http://93.184.216.34/m.gguf"}), "is not encrypted"),
        (Answer(raw=b"nonsense\r\n\r\n"), "tries were in vain"),
        (Answer(b"", 503), "answers with 503 Service Unavailable; 3 tries"),
        (Answer(b"", 429, {"Retry-After": "0"}), "answers with 429 Too Many Requests; 3 tries"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_told_for_what_it_is(folder: Path, answer: Answer, says: str) -> None:
    with serving({"/m.gguf": answer}, host="127.0.0.1") as server:
        error = refused(at(server), folder)
    assert says in error.message
    assert not parts_in(folder) or parts_in(folder)[0].size in (0, len(DATA) - 5)


def test_a_server_that_does_not_say_how_much_is_served_too(server: WebServer, file: FileAnswer, folder: Path) -> None:
    file.length = False
    told = Told()
    assert fetch(at(server), folder, told).path.read_bytes() == DATA
    assert told.begun[0] == ("fetching", 0, None)


@pytest.mark.slow
def test_trouble_of_the_server_that_passes_is_waited_out(folder: Path) -> None:
    answers = [Answer(b"", 503, {"Retry-After": "1"}), Answer(b"", 429), FileAnswer(DATA)]

    def tired(asked: Asked) -> Answer:
        one = answers[len(server.asked) - 1]
        return one if isinstance(one, Answer) else one(asked)

    with serving({"/m.gguf": tired}, host="127.0.0.1") as server:
        told = Told()
        assert fetch(at(server), folder, told).path.read_bytes() == DATA
    assert "going on in 1 s" in told.said[0]


def test_a_silent_server_is_given_up_and_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phloem.nodes.services.models.pull import web

    monkeypatch.setattr(web, "SILENT_SECONDS", 0.3)
    waiting = threading.Event()

    def stuck() -> Iterator[bytes]:
        yield TINY
        waiting.wait(20)

    def answer(asked: Asked) -> Answer:
        if len(server.asked) > 1:
            return FileAnswer(DATA)(asked)
        return Answer(stuck(), headers={"ETag": '"one"', "Content-Length": str(len(DATA))})

    with serving({"/m.gguf": answer}, host="127.0.0.1") as server:
        told = Told()
        try:
            assert fetch(at(server), folder, told).path.read_bytes() == DATA
        finally:
            waiting.set()
    assert "sends nothing" in told.said[0]
    assert told.starts == [0, len(TINY)]


def test_a_host_that_is_not_there_is_told(folder: Path) -> None:
    with serving({}, host="127.0.0.1") as server:
        gone = at(server)
    assert "cannot connect to 127.0.0.1: connection refused; 3 tries" in refused(gone, folder).message


def test_redirects_are_followed_to_another_server_which_learns_no_secret(folder: Path, file: FileAnswer) -> None:
    with serving({"/cdn": file}, host="127.0.0.1") as cdn:
        there = Answer(b"", 302, {"Location": cdn.url("/cdn?signed=1", "127.0.0.1")})
        with serving({"/m.gguf": there}, host="127.0.0.1") as server:
            file.cuts = [500_000]
            source = at(server).replace("http://", "http://me:p%40ss@")
            got = fetch(source, folder)
    assert got.path.read_bytes() == DATA
    assert [one.headers["authorization"] for one in server.asked] == ["Basic bWU6cEBzcw=="] * 2
    assert [one.headers.get("authorization") for one in cdn.asked] == [None] * 2
    assert [one.headers.get("range") for one in cdn.asked] == [None, "bytes=500000-"]
    kept = "".join(one.read_text() for one in folder.glob("*.json"))
    assert "me" not in json.loads(kept)["source"].partition("/m.gguf")[0].partition("://")[2]
    assert "p%40ss" not in kept and "p@ss" not in kept


def test_encryption_is_kept_and_certificates_are_looked_at(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: WebServer
) -> None:
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    answers = {"/m.gguf": FileAnswer(DATA), "/plain": Answer(b"", 302, {"Location": at(server)})}
    with serving(answers, tls=context) as secure:
        assert "is not to be trusted" in refused(secure.url("/m.gguf"), folder).message
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert "without encryption" in refused(secure.url("/plain"), folder).message
        assert server.asked == []
        assert fetch(secure.url("/m.gguf"), folder).path.read_bytes() == DATA


def test_the_proxy_of_the_environment_is_used(server: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy is asked for the whole address.
    with serving({}, host="127.0.0.1") as proxy:
        proxy.answers[at(server)] = FileAnswer(DATA)
        monkeypatch.setenv("HTTP_PROXY", proxy.url("", "127.0.0.1"))
        assert fetch(at(server), folder).path.read_bytes() == DATA
    assert [one.path for one in proxy.asked] == [at(server)]
    assert server.asked == []


@pytest.mark.parametrize(
    "source",
    [
        "", "demo", "./m.gguf", "ftp://x/m.gguf", "file:///etc/passwd", "https://", "hf:", "hf:owner", "hf:a/../b",
        "hf:../x", "hf:o/r/../../x.gguf", "hf:o/r/x.bin", "hf:o/r/x.gguf:Q4_0", "hf:o/r:", "hf:o/r@a..b", "hf:o/r\n",
        "hf:o/r@", "https://x:99999/m.gguf", "hf:o /r", "hf:o/r:Q4/0", "http://[::1/m.gguf", "https://huggingface.co/o",
    ],
)  # fmt: skip
def test_a_source_that_is_none_is_refused(folder: Path, source: str) -> None:
    from phloem.nodes.services.models.pull.source import HubSource, WebSource, read_source

    if source in ("hf:o/r:", "hf:o/r@", "hf:o/r\n"):
        assert read_source(source) == HubSource("o/r")
    elif source == "https://huggingface.co/o":
        assert read_source(source) == WebSource(source)
    else:
        with pytest.raises(InputError):
            read_source(source)


def test_http_is_for_this_machine_and_its_network(folder: Path) -> None:
    error = refused("http://93.184.216.34/m.gguf", folder)
    assert "not encrypted" in error.message
    assert "https://" in str(error.hint)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("m.gguf", "m"), ("M.GGUF", "M"), ("..\\..\\evil.gguf", "evil"), ("a%2F..%2Fb.gguf", "b"), ("con.gguf", "model-con"),
        ("COM1.x.gguf", "model-COM1.x"), (".hidden.gguf", "hidden"), ("ü x:y.gguf", "x-y"), ("..gguf", "model"),
        ("-rf.gguf", "rf"), ("x" * 300 + ".gguf", "x" * 100), ("", "model"), ("a.gguf.gguf", "a"), ("a.GGUF-.gguf", "a"),
        ("com1." + "x" * 200, "model-com1." + "x" * 89),
    ],
)  # fmt: skip
def test_names_of_files_that_others_chose_are_made_safe(file: str, name: str) -> None:
    from urllib.parse import unquote

    from phloem.nodes.services.models.pull.names import checked_name, name_for

    made = name_for(unquote(file))
    assert made == name
    assert checked_name(made) == made


@given(st.text() | st.from_regex(r"(con|com1|[.+-]|x{40}|\.gguf|é|_)*", fullmatch=True))
def test_any_name_of_a_file_is_made_safe(file: str) -> None:
    from phloem.nodes.services.models.pull.names import checked_name, name_for

    assert checked_name(name_for(file)) == name_for(file)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".x", "-x", "nul", "LPT1.gguf", "x" * 101, "a b", "x.", "ü"]
)
def test_a_name_that_the_user_gives_is_not_changed_but_refused(server: WebServer, folder: Path, name: str) -> None:
    from phloem.nodes.services.models.pull.names import checked_name

    with pytest.raises(InputError, match="cannot be called"):
        checked_name(name)


# The hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with serving({}, host="127.0.0.1") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url("", "127.0.0.1"))
        yield server


def has(hub: WebServer, *paths: str, **more: object) -> None:
    files = {path: DATA.replace(b"general.name", f"general.{index:04}".encode()) for index, path in enumerate(paths)}
    hub.answers.update(hub_answers("org/repo", files, **more))  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_hub_of_these_tests_is_one_to_hugging_faces_own_client(hub: WebServer) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    has(hub, "a-Q8_0.gguf")
    address = hub.url("", "127.0.0.1")
    about = huggingface_hub.HfApi(endpoint=address).model_info("org/repo", files_metadata=True, revision="main")
    [listed] = [one for one in about.siblings if one.rfilename == "a-Q8_0.gguf"]
    assert (about.sha, listed.size, len(listed.lfs.sha256)) == (COMMIT, len(DATA), 64)
    url = huggingface_hub.hf_hub_url("org/repo", "a-Q8_0.gguf", revision=about.sha, endpoint=address)
    told = huggingface_hub.get_hf_file_metadata(url)
    assert (told.commit_hash, told.etag, told.size) == (COMMIT, listed.lfs.sha256, len(DATA))
    asked = [one.path for one in hub.asked]
    assert {"/api/models/org/repo/revision/main?blobs=true", f"/org/repo/resolve/{COMMIT}/a-Q8_0.gguf"} <= {*asked}


SEVERAL = (
    "repo-Q4_K_M.gguf", "repo-Q8_0.gguf", "repo-UD-Q4_K_M.gguf", "repo-f16-00001-of-00002.gguf",
    "repo-f16-00002-of-00002.gguf", "mmproj-repo-f16.gguf", "sub/repo-IQ2_XXS.gguf", "repo.imatrix.gguf",
    "repo-BF16-00001-of-00001.gguf",
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("hf:org/repo:Q8_0", "repo-Q8_0.gguf"),
        ("hf:org/repo:q8_0", "repo-Q8_0.gguf"),
        ("hf.co/org/repo:Q4_K_M", "repo-Q4_K_M.gguf"),
        ("hf:org/repo:UD-Q4_K_M", "repo-UD-Q4_K_M.gguf"),
        ("hf:org/repo:IQ2_XXS", "sub/repo-IQ2_XXS.gguf"),
        ("hf:org/repo/sub/repo-IQ2_XXS.gguf", "sub/repo-IQ2_XXS.gguf"),
        ("hf:org/repo@main", "repo-Q4_K_M.gguf"),
        ("https://huggingface.co/org/repo", "repo-Q4_K_M.gguf"),
        ("hf:org/repo:BF16", "repo-BF16-00001-of-00001.gguf"),
        ("https://huggingface.co/org/repo/blob/main/repo-Q8_0.gguf", "repo-Q8_0.gguf"),
        ("https://huggingface.co/org/repo/resolve/main/repo-Q8_0.gguf?download=true", "repo-Q8_0.gguf"),
    ],
)
def test_a_file_of_a_repository_is_chosen(hub: WebServer, folder: Path, source: str, file: str) -> None:
    from phloem.nodes.services.models.pull.hub import find_target
    from phloem.nodes.services.models.pull.source import HubSource, read_source
    from phloem.nodes.services.models.pull.web import Web

    has(hub, *SEVERAL)
    wanted = read_source(source)
    assert isinstance(wanted, HubSource)
    with Web() as web:
        target = find_target(wanted, web, "")
    assert (target.file, target.commit, target.pinned) == (file, COMMIT, True)
    assert target.url == hub.url(f"/org/repo/resolve/{COMMIT}/{file}", "127.0.0.1")
    assert target.source == f"hf:org/repo/{file}"
    assert target.size == len(DATA)


@pytest.mark.parametrize(
    ("source", "paths", "says", "hint"),
    [
        ("hf:org/repo", ("model.safetensors",), "has no GGUF file", "-GGUF"),
        ("hf:org/repo:Q2_K", SEVERAL, "has no file for Q2_K", "repo-Q8_0.gguf"),
        ("hf:org/repo:F16", SEVERAL, "one of 2 files that make one model", "repo-Q8_0.gguf"),
        ("hf:org/repo/repo-f16-00001-of-00002.gguf", SEVERAL, "one of 2 files that make one model", "--merge"),
        ("hf:org/repo/repo-Q8.gguf", SEVERAL, "did you mean repo-Q8_0.gguf?", "There is"),
        ("hf:org/repo", ("a.gguf", "b.gguf"), "means 2 files", "hf:org/repo/a.gguf or hf:org/repo/b.gguf"),
        ("hf:org/repo", ("../../evil.gguf",), "has no GGUF file", ""),
        ("hf:org/other", SEVERAL, "no repository org/other", "phloem models key set huggingface"),
        ("hf:org/repo@v9", SEVERAL, "no repository org/repo", ""),
    ],
)
def test_what_a_repository_does_not_have_is_told_with_what_it_has(
    hub: WebServer, folder: Path, source: str, paths: tuple[str, ...], says: str, hint: str
) -> None:
    has(hub, *paths)
    error = refused(source, folder)
    assert says in error.message
    assert hint in str(error.hint)


def test_the_hubs_checksum_is_held_and_its_token_stays_with_it(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf")
    with serving({"/x/1": FileAnswer(DATA, cuts=[700_000], etag='"a"')}, host="127.0.0.1") as cdn:
        there = Answer(b"", 302, {"Location": cdn.url("/x/1", "127.0.0.1"), "X-Linked-ETag": f'"{DIGEST}"'})
        hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"] = there
        wrong = refused("hf:org/repo", folder, token="hf_secret")
        assert "not the file that was meant" in wrong.message
        has(hub, "repo-Q4_K_M.gguf", digests={"repo-Q4_K_M.gguf": DIGEST})
        hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"] = there
        got = fetch("hf:org/repo", folder, token="hf_secret")
    assert (got.name, got.sha256, got.source) == ("repo-Q4_K_M", DIGEST, "hf:org/repo/repo-Q4_K_M.gguf")
    assert {one.headers.get("authorization") for one in hub.asked} == {"Bearer hf_secret"}
    assert {one.headers.get("authorization") for one in cdn.asked} == {None}
    assert all("hf_secret" not in one.read_text("latin-1") for one in folder.glob("*.json"))
    assert Origin.of(got.path) == Origin(got.source, DIGEST, got.size, got.path.stat().st_mtime_ns, COMMIT)


def test_the_checksum_that_the_hub_only_tells_on_the_way_is_held_too(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf", digests={"repo-Q4_K_M.gguf": ""})
    path = f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"
    hub.answers[path] = FileAnswer(DATA, headers={"X-Linked-ETag": f'"{"1" * 64}"'})
    assert "1" * 64 in refused("hf:org/repo", folder).message
    hub.answers[path] = FileAnswer(DATA, headers={"X-Linked-ETag": f'"{DIGEST}"'})
    assert fetch("hf:org/repo", folder).sha256 == DIGEST


def test_a_part_from_the_hub_goes_on_from_another_server_of_the_same_file(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf")
    file = hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"]
    assert isinstance(file, FileAnswer)
    file.cuts = [600_000, 0, 0]
    refused("hf:org/repo", folder)
    file.etag = '"elsewhere"'
    told = Told()
    assert fetch("hf:org/repo:Q4_K_M", folder, told).path.read_bytes() == file.data
    assert told.starts == [600_000]


def test_the_hubs_checksum_is_held_for_a_part_that_was_begun_without_one(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf")
    file = hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"]
    assert isinstance(file, FileAnswer)
    folder.mkdir()
    part = Part(folder, "repo-Q4_K_M")
    part.begin(Note("hf:org/repo/repo-Q4_K_M.gguf", '"one"', "", len(DATA)))
    part.path.write_bytes(file.data[:2_000_000].replace(b"general.architecture", b"general.architectura"))
    file.data = file.data[:2_000_000] + bytes(len(DATA) - 2_000_000)
    assert "not the file that was meant" in refused("hf:org/repo", folder).message


def test_a_newer_file_of_the_repository_makes_it_start_over(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf")
    path = f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"
    file = hub.answers[path]
    assert isinstance(file, FileAnswer)
    file.cuts = [600_000, 0, 0]
    refused("hf:org/repo", folder)
    hub.answers.update(hub_answers("org/repo", {"repo-Q4_K_M.gguf": DATA}))
    told = Told()
    assert fetch("hf:org/repo", folder, told).sha256 == DIGEST
    assert told.starts == [0]


@pytest.mark.parametrize(
    ("status", "code", "token", "says", "hint"),
    [
        (401, "RepoNotFound", "", "or it is private", "HF_TOKEN"),
        (404, "RepoNotFound", "t", "or it is private", "Check the name."),
        (403, "GatedRepo", "t", "accepted its terms", "token may read it"),
        (401, "GatedRepo", "", "accepted its terms", "HF_TOKEN"),
        (401, "", "t", "does not take the token", "HF_TOKEN"),
        (404, "RevisionNotFound", "", "has no revision main", ""),
        (400, "", "", "answers with 400", ""),
        (200, "", "", "does not answer as the hub does", "HF_ENDPOINT"),
    ],
)
def test_what_the_hub_refuses_is_told_with_what_to_do(
    hub: WebServer, folder: Path, status: int, code: str, token: str, says: str, hint: str
) -> None:
    hub.answers["/api/models/org/repo/revision/main"] = Answer(b"[", status, {"X-Error-Code": code})
    error = refused("hf:org/repo", folder, token=token)
    assert says in error.message
    assert hint in str(error.hint)


@pytest.mark.parametrize(("token", "hint"), [("", "set HF_TOKEN"), ("t", "check that the token may read it")])
def test_a_file_that_the_hub_lists_but_does_not_give_is_told_with_what_to_do(
    hub: WebServer, folder: Path, token: str, hint: str
) -> None:
    """Everybody may see what is in a gated repository."""
    has(hub, "repo-Q4_K_M.gguf")
    hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"] = Answer(b"", 403, {"X-Error-Code": "GatedRepo"})
    error = refused("hf:org/repo", folder, token=token)
    assert "hf:org/repo/repo-Q4_K_M.gguf is only for those who accepted its terms" in error.message
    assert hub.url("/org/repo", "127.0.0.1") in str(error.hint)
    assert hint in str(error.hint)


def test_a_password_in_the_hubs_address_is_in_no_error(
    hub: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url("", "127.0.0.1").replace("http://", "http://me:pass@"))
    answer = Answer(b"", 403, {"X-Error-Code": "GatedRepo"})
    hub.answers["/api/models/org/repo/revision/main"] = answer
    assert "pass" not in str(refused("hf:org/repo", folder))
    has(hub, "repo-Q4_K_M.gguf")
    hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"] = answer
    assert "pass" not in str(refused("hf:org/repo", folder))


@pytest.mark.parametrize("token", ["hf_é", "hf_\nline"])
def test_a_token_that_cannot_be_sent_is_told(hub: WebServer, folder: Path, token: str) -> None:
    assert "signs that no token has" in refused("hf:org/repo", folder, token=token).message
    assert hub.asked == []


@pytest.mark.parametrize("proxy", ["gopher://proxy", "http://me:pass/word@proxy:3128", "http://proxy:abc"])
def test_a_proxy_that_is_no_address_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigError, match="network cannot be set up") as caught:
        fetch("https://example.org/m.gguf", folder)
    assert "pass" not in str(caught.value)


def test_an_address_of_the_hub_that_is_none_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("localhost:8000", "ftp://x", "https://", "http://[::1"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(ConfigError, match="HF_ENDPOINT"):
            fetch("hf:org/repo", folder, token="t")


def test_a_checksum_that_is_not_the_hubs_is_refused_before_the_file_is_fetched(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf")
    assert "another checksum" in refused("hf:org/repo", folder, sha256="0" * 64).message
    assert len(hub.asked) == 1


def test_a_server_that_is_not_the_hubs_size_is_refused(hub: WebServer, folder: Path) -> None:
    has(hub, "repo-Q4_K_M.gguf")
    hub.answers[f"/org/repo/resolve/{COMMIT}/repo-Q4_K_M.gguf"] = Answer(b"GGUF" + bytes(100))
    assert "sends 104 bytes where" in refused("hf:org/repo", folder).message


# One machine, several processes, a small disk


def test_two_at_once_do_not_fetch_the_same_model(server: WebServer, folder: Path) -> None:
    folder.mkdir()
    with locked(folder, "m"):
        assert "being fetched by another process" in refused(at(server), folder).message
        assert fetch(at(server), folder, name="other").name == "other"
    assert fetch(at(server), folder).name == "m"


def test_a_process_that_was_killed_leaves_no_lock(server: WebServer, folder: Path) -> None:
    folder.mkdir()
    code = (
        "import sys, time; from pathlib import Path; from phloem.nodes.services.models.pull.folder import locked\n"
        "with locked(Path(sys.argv[1]), 'm'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"):
            fetch(at(server), folder)
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=20)
    assert fetch(at(server), folder).name == "m"


def test_a_disk_without_room_is_told_before_anything_is_written(
    server: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = transfer.shutil.disk_usage("/")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage._replace(free=KEPT_FREE + len(DATA) - 1))
    error = refused(at(server), folder)
    assert (
        f"{len(DATA) / 1e6:.1f} MB are still to come and {(KEPT_FREE + len(DATA)) / 1e6:.0f} MB are free"
        in error.message
    )
    assert parts_in(folder) == []


def test_a_disk_that_fills_up_keeps_what_came(server: WebServer, folder: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse the bytes, as a full disk does."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from phloem.nodes.services.models.pull.install import pull\n"
        "from phloem.runtime.errors import ServiceError\n"
        "class Told:\n"
        "    def begin(self, *_): ...\n"
        "    def reach(self, *_): ...\n"
        "    def say(self, words): print(words)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (777_777, 777_777))\n"
        "try: pull(sys.argv[1], Path(sys.argv[2]), taken=frozenset(), progress=Told())\n"
        "except ServiceError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, at(server), str(folder)], capture_output=True, text=True)
    assert done.stderr == ""
    assert "m.part: this disk, or a limit set for this program, takes no larger file" in done.stdout
    assert "goes on from what came" in done.stdout
    assert Part(folder, "m").size == 777_777
    told = Told()
    assert fetch(at(server), folder, told).path.read_bytes() == DATA
    assert told.starts == [777_777]


def test_a_folder_that_cannot_be_made_is_told(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot write"):
        fetch(at(server), tmp_path / "file" / "models")


def test_a_progress_that_stops_it_leaves_what_came(server: WebServer, folder: Path) -> None:
    class Stopping(Told):
        def reach(self, done: int) -> None:
            if done > 300_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(at(server), folder, Stopping())
    kept = Part(folder, "m").size
    assert kept > 300_000
    told = Told()
    fetch(at(server), folder, told)
    assert told.starts == [kept]


def test_what_was_fetched_is_the_model_that_was_served(server: WebServer, folder: Path) -> None:
    assert read_header(fetch(at(server), folder).path).architecture == "llama"
