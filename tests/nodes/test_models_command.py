"""`phloem models`, as the person who types it meets it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from phloem.nodes.commands.models import bench
from phloem.nodes.commands.models.measure import measure
from phloem.nodes.services.models.pull.origin import Origin
from phloem.nodes.services.models.pull.part import Part
from phloem.runtime.cli import main
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Meter, ModelInfo, Request
from phloem.runtime.settings import Settings
from support.hub_server import FileAnswer, hub_answers
from support.model_files import DEMO, MINILM
from support.web_server import Answer, Asked, WebServer, serving

DATA = DEMO.read_bytes()
SIZE = f"{len(DATA) / 1e6:.1f} MB"
DIGEST = hashlib.sha256(DATA).hexdigest()

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider of whoever runs the tests: no keys, no proxies, no servers of theirs."""
    from phloem.nodes.services.models.hosted.presets import PRESETS

    for preset in PRESETS.values():
        for name in (*preset.key_variables, *preset.url_variables):
            monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("HF_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[str, str], str]]:
    """A keyring that only this test has; what is in it."""
    import keyring
    from keyring.backend import KeyringBackend

    kept: dict[tuple[str, str], str] = {}

    class OwnKeyring(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del kept[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(OwnKeyring())
    yield kept
    keyring.set_keyring(before)


@pytest.fixture
def file() -> FileAnswer:
    return FileAnswer(DATA)


@pytest.fixture
def server(file: FileAnswer) -> Iterator[WebServer]:
    with serving({"/mine.gguf": file}, host="127.0.0.1") as server:
        yield server


def models(*words: str | Path) -> int:
    return main(["models", *map(str, words)])


def process(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "phloem.runtime.cli", "models", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def url(server: WebServer, path: str = "/mine.gguf") -> str:
    return server.url(path, "127.0.0.1")


# pull


def test_pull_names_the_model_on_stdout_and_tells_the_rest_on_stderr(
    server: WebServer, home: Home, capsys: Captured
) -> None:
    assert models("pull", url(server)) == 0
    out, err = capsys.readouterr()
    assert out == "local:mine\n"
    assert f"fetching: 0% of {SIZE}\n" in err
    assert f"fetching: 100% of {SIZE}" in err
    assert f"SHA-256 {DIGEST}" in err
    assert (home.models / "mine.gguf").read_bytes() == DATA
    assert models("pull", url(server), "--sha256", DIGEST, "--progress", "off") == 0
    out, err = capsys.readouterr()
    assert out == "local:mine\n"
    assert err == f"it is there already: {home.models / 'mine.gguf'}\n"


def test_pull_gives_json(server: WebServer, home: Home, capsys: Captured) -> None:
    assert models("pull", url(server), "--name", "other", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "local:other", "path": str(home.models / "other.gguf"), "size": len(DATA), "sha256": DIGEST,
        "source": url(server), "new": True,
    }  # fmt: skip


def test_pull_uses_the_hub_that_the_environment_names_with_the_token_that_is_kept(
    monkeypatch: pytest.MonkeyPatch, rings: dict[tuple[str, str], str], capsys: Captured
) -> None:
    with serving(hub_answers("org/repo", {"m-Q8_0.gguf": DATA}), host="127.0.0.1") as hub:
        monkeypatch.setenv("HF_ENDPOINT", url(hub, ""))
        assert models("pull", "hf:org/repo:Q8_0") == 0
        assert {one.headers.get("authorization") for one in hub.asked} == {None}
        rings["phloem", "huggingface"] = "hf_from_ring"
        assert models("pull", "hf:org/repo:Q8_0", "--name", "again") == 0
        assert hub.asked[-1].headers["authorization"] == "Bearer hf_from_ring"
        monkeypatch.setenv("HF_TOKEN", "hf_from_environment")
        assert models("pull", "hf:org/repo", "--name", "third") == 0
        assert hub.asked[-1].headers["authorization"] == "Bearer hf_from_environment"
    out, err = capsys.readouterr()
    assert out == "local:m-Q8_0\nlocal:again\nlocal:third\n"
    assert "hf_from" not in err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pull", "nonsense"], 2, "no place that a model comes from"),
        (["pull", "SERVER/absent.gguf"], 1, "there is nothing at"),
        (["pull", "SERVER/mine.gguf", "--sha256", "0" * 64], 1, "is not the file that was meant"),
        (["pull", "SERVER/mine.gguf", "--name", "../up"], 2, "cannot be called '../up'"),
        (["pull", "SERVER/mine.gguf", "--name", "demo"], 2, "comes with Phloem"),
        (["pull", "SERVER/mine.gguf", "--progress", "bars"], 2, "Did you mean bar?"),
        (["pull"], 2, "SOURCE"),
        (["pul"], 2, "Did you mean pull?"),
        (["pull", "x", "--sha265", "1"], 2, "Did you mean --sha256?"),
        (["add", "absent.gguf"], 2, "there is no file"),
        (["add", "DEMO", "--name", "a b"], 2, "cannot be called 'a b'"),
        (["add", "DEMO", "--copy", "--link"], 2, "not allowed with"),
        (["add", "TEXT"], 1, "it is not a GGUF file"),
        (["rm", "local:demo"], 2, "comes with Phloem"),
        (["rm", "absent"], 2, "there is no model local:absent"),
        (["rm", "../x.gguf"], 2, "is not the name of a model"),
        (["rm", "openai:gpt-5"], 2, "is not the name of a model"),
        (["default", "local:demo", "--unset"], 2, "two wishes"),
        (["bench", "--threads", "x"], 2, "is not a count"),
        (["bench", "--parallel", "1,1000"], 2, "more than 256"),
        (["bench", "--prompt", "0000000001" + "9" * 20], 2, "is not a count"),
        (["info", "nobody:" + "x" * 300], 2, "no provider called 'nobody'"),
        (["info", "x" * 300 + ".gguf"], 2, "there is no model local:x"),
        (["key", "remove", "openai"], 2, "has no key for openai"),
        (["key", "set", "openaa"], 2, "did you mean openai?"),
        (["key", "set", "openai"], 2, "nobody can be asked"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    server: WebServer, home: Home, tmp_path: Path, capsys: Captured, words: list[str], code: int, says: str
) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    places = {"SERVER": url(server, ""), "DEMO": str(DEMO), "TEXT": str(tmp_path / "text.gguf")}
    for name, value in places.items():
        words = [word.replace(name, value) for word in words]
    assert models(*words) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in err
    assert "bug" not in err
    assert out == ""
    assert not list(home.models.glob("*.gguf"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pull_that_is_stopped_goes_on_where_it_was(home: Home, number: signal.Signals) -> None:
    """A server that sends half and waits; the signal comes while it waits."""

    def half(asked: Asked) -> Answer:
        if len(server.asked) > 1:
            return FileAnswer(DATA)(asked)
        return Answer(waiting(), headers={"ETag": '"one"', "Content-Length": str(len(DATA))})

    def waiting() -> Iterator[bytes]:
        yield DATA[:1_500_000]
        child.wait(timeout=20)

    with serving({"/mine.gguf": half}, host="127.0.0.1") as server:
        child = process("pull", url(server), "--name", "held")
        with child:
            assert child.stderr is not None
            assert child.stderr.readline() == f"fetching: 0% of {SIZE}\n"
            part = Part(home.models, "held")
            while part.size < 1_500_000:
                assert child.poll() is None
            child.send_signal(number)
            err = child.stderr.read()
            code = child.wait(timeout=20)
        if number == signal.SIGINT:
            percent = 150_000_000 // len(DATA)
            assert (code, err) == (130, f"paused at {percent}% of {SIZE}; the same command goes on from there\n")
        else:
            assert code == -number
        assert part.size == 1_500_000
        assert models("pull", url(server), "--name", "held") == 0
        assert server.asked[-1].headers["range"] == "bytes=1500000-"
    assert (home.models / "held.gguf").read_bytes() == DATA


@pytest.mark.slow
def test_the_bar_is_shown_on_a_terminal(server: WebServer, file: FileAnswer) -> None:
    import pty

    file.cuts = [1_000_000]
    owner, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "phloem.runtime.cli", "models", "pull", url(server)],
        stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(owner, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(owner)
    out, _ = child.communicate(timeout=20)
    assert (out, child.returncode) == (b"local:mine\n", 0)
    assert b"fetching" in shown
    assert "━".encode() in shown
    assert b"going on" in shown
    assert DIGEST.encode() in shown


# add, rm, default


def test_add_shares_the_bytes_and_what_was_added_stays(home: Home, tmp_path: Path, capsys: Captured) -> None:
    original = tmp_path / "Some Model.gguf"
    original.write_bytes(DATA)
    assert models("add", original) == 0
    out, err = capsys.readouterr()
    assert out == "local:Some-Model\n"
    assert "shares its room" in err
    added = home.models / "Some-Model.gguf"
    assert added.samefile(original)
    original.unlink()
    assert added.read_bytes() == DATA
    assert models("add", added, "--name", "Some-Model") == 2
    assert "already a model Some-Model" in capsys.readouterr().err


def test_add_follows_a_link_to_the_file_behind_it(home: Home, tmp_path: Path, capsys: Captured) -> None:
    """Programs that keep models by their checksum show them through links."""
    (tmp_path / "blob").write_bytes(DATA)
    (tmp_path / "shown.gguf").symlink_to("blob")
    assert models("add", tmp_path / "shown.gguf") == 0
    added = home.models / "shown.gguf"
    assert not added.is_symlink()
    assert added.samefile(tmp_path / "blob")


@pytest.mark.parametrize(("option", "linked"), [("--copy", False), ("--link", True)])
def test_add_copies_or_links_when_asked(
    home: Home, tmp_path: Path, capsys: Captured, option: str, linked: bool
) -> None:
    original = tmp_path / "m.gguf"
    original.write_bytes(DATA)
    assert models("add", original, option, "--name", "own", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    added = home.models / "own.gguf"
    assert added.is_symlink() is linked
    assert added.samefile(original) is linked
    assert told["source"] == str(original)
    assert told["sha256"] == ("" if linked else DIGEST)
    assert models("rm", "own", "--yes") == 0
    assert original.read_bytes() == DATA
    assert sorted(one.name for one in home.models.iterdir()) == [".locks"]


def test_add_links_where_a_second_name_cannot_be(
    home: Home, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    original = other / f"phloem-test-{os.getpid()}.gguf"
    try:
        original.write_bytes(DATA)
        assert models("add", original, "--name", "far") == 0
        assert f"it is a link to {original}, which must stay there" in capsys.readouterr().err
        assert (home.models / "far.gguf").readlink() == original
    finally:
        original.unlink(missing_ok=True)


def test_rm_removes_a_model_and_what_is_known_of_it(server: WebServer, home: Home, capsys: Captured) -> None:
    assert models("pull", url(server)) == 0
    assert models("rm", "local:mine") == 2
    assert "Add --yes." in capsys.readouterr().err
    assert (home.models / "mine.gguf").exists()
    assert models("rm", "local:mine", "--yes") == 0
    assert sorted(one.name for one in home.models.iterdir()) == [".locks"]
    assert models("rm", "mine", "--yes") == 2


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"\n", 1), (b"n\n", 1)])
def test_rm_asks_on_a_terminal(server: WebServer, home: Home, answer: bytes, code: int) -> None:
    import pty

    assert models("pull", url(server)) == 0
    owner, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "phloem.runtime.cli", "models", "rm", "mine"],
        stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(terminal)
    os.write(owner, answer)
    _, err = child.communicate(timeout=20)
    os.close(owner)
    assert f"Remove local:mine ({SIZE})? [y/N]".encode() in err
    assert child.returncode == code
    assert (home.models / "mine.gguf").exists() is bool(code)


def test_rm_removes_the_part_of_a_model(server: WebServer, file: FileAnswer, home: Home, capsys: Captured) -> None:
    home.models.mkdir(parents=True)
    part = Part(home.models, "mine")
    part.path.write_bytes(DATA[:100])
    assert models("rm", "mine", "--yes") == 0
    assert not part.path.exists()


def test_default_is_set_shown_used_and_forgotten(server: WebServer, home: Home, capsys: Captured) -> None:
    assert models("default") == 0
    assert capsys.readouterr().out == "local:demo\n"
    assert models("default", "--embedding") == 0
    assert capsys.readouterr().out == "local:minilm\n"
    assert models("pull", url(server)) == 0
    capsys.readouterr()
    assert models("default", "mine") == 0
    assert capsys.readouterr().out == "local:mine\n"
    assert Settings.load(home).models == {"default": "local:mine"}
    assert models("default", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"default": "local:mine"}
    assert models("rm", "mine", "--yes") == 0
    assert "it was the default" in capsys.readouterr().err
    assert models("default") == 0
    assert capsys.readouterr().out == "local:demo\n"
    assert models("default", "local:minilm", "--embedding") == 0
    assert models("default", "--embedding", "--unset") == 0
    assert Settings.load(home).models == {}


def test_default_may_be_a_file_or_a_hosted_model(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "m.gguf").write_bytes(DATA)
    assert models("default", tmp_path / "m.gguf") == 0
    assert capsys.readouterr().out == f"local:{tmp_path / 'm.gguf'}\n"
    assert models("default", "openai:gpt-5") == 0
    assert capsys.readouterr().out == "openai:gpt-5\n"


def test_default_says_what_goes_before_it(home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHLOEM_MODEL", "local:other")
    assert models("default") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("local:demo\n", "PHLOEM_MODEL goes before it: local:other\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["local:absent"], "there is no model local:absent"),
        (["local:minilm"], "makes vectors, not text"),
        (["local:demo", "--embedding"], "makes text, not vectors"),
        (["nobody:x"], "no provider called 'nobody'"),
    ],
)
def test_default_takes_only_a_model_that_can_be_one(home: Home, capsys: Captured, words: list[str], says: str) -> None:
    assert models("default", *words) == 2
    assert says in capsys.readouterr().err
    assert not (home.path / "settings.yaml").exists()


# key


def test_a_key_is_stored_told_of_and_removed_and_never_shown(
    rings: dict[tuple[str, str], str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-very-secret\n"))
    assert models("key", "set", "openai", "-") == 0
    assert rings == {("phloem", "openai"): "sk-very-secret"}
    monkeypatch.setenv("GROQ_API_KEY", "gsk-very-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-very-secret")
    assert models("key", "list") == 0
    assert models("key", "--json") == 0
    out, err = capsys.readouterr()
    lines = [line.split(maxsplit=1) for line in out.partition("[")[0].splitlines()]
    assert lines == [
        ["openai", "keyring"], ["groq", "environment variable GROQ_API_KEY"],
        ["huggingface", "environment variable HF_TOKEN"],
    ]  # fmt: skip
    told = {one["provider"]: one for one in json.loads(out[out.index("[") :])}
    assert told["openai"] == {"provider": "openai", "key": "keyring", "variable": "OPENAI_API_KEY"}
    assert told["anthropic"]["key"] is None
    assert "no key for anthropic" in err
    assert "secret" not in out + err
    assert models("key", "remove", "openai") == 0
    assert rings == {}


def test_a_key_as_an_argument_is_refused_and_not_repeated(rings: dict[tuple[str, str], str], capsys: Captured) -> None:
    assert models("key", "set", "openai", "sk-very-secret") == 2
    assert models("key", "set", "sk-very-secret") == 2
    assert models("key", "set", "openai", "--key=sk-very-secret") == 2
    out, err = capsys.readouterr()
    assert "history" in err
    assert "secret" not in out + err
    assert rings == {}


def test_a_key_is_asked_for_on_a_terminal_and_not_shown(home: Home, tmp_path: Path) -> None:
    """A real terminal, and a keyring of keyring's own that a process can be told of."""
    import pty

    (tmp_path / "ring.py").write_text(
        "import json, os\nfrom pathlib import Path\nfrom keyring.backend import KeyringBackend\n"
        "class Ring(KeyringBackend):\n    priority = 1\n"
        "    def get_password(self, service, username): return None\n"
        "    def set_password(self, *words): Path(os.environ['RING']).write_text(json.dumps(words))\n"
    )
    environment = {
        **os.environ, "PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "ring.Ring", "RING": str(tmp_path / "kept"),
    }  # fmt: skip
    code = (
        "import os, sys; os.setsid(); import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "from phloem.runtime.cli import main; sys.exit(main(['models', 'key', 'set', 'openai']))"
    )
    owner, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while b"it is not shown" not in shown:
        shown += os.read(owner, 4096)
    os.write(owner, b"sk-typed\n")
    while True:
        try:
            piece = os.read(owner, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(owner)
    assert child.wait(timeout=20) == 0
    assert b"sk-typed" not in shown
    assert b"the key for openai is in the keyring" in shown
    assert json.loads((tmp_path / "kept").read_text()) == ["phloem", "openai", "sk-typed"]


def test_bytes_that_are_no_text_are_no_key(
    rings: dict[tuple[str, str], str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfes\0k\0"), "utf-8"))
    assert models("key", "set", "openai", "-") == 2
    assert "that is not a key" in capsys.readouterr().err
    assert rings == {}


@pytest.mark.parametrize(
    ("provider", "name"), [("gemini", "GOOGLE_API_KEY"), ("huggingface", "HF_TOKEN"), ("lab", "LAB_API_KEY")]
)
def test_the_variable_that_goes_before_a_stored_key_is_named(
    home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch, provider: str, name: str
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text("providers: {lab: 'http://localhost:1'}\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-very-secret\n"))
    monkeypatch.setenv(name, "another-secret")
    assert models("key", "set", provider, "-") == 0
    err = capsys.readouterr().err
    assert f"{name} is set too, and goes before it" in err
    assert "secret" not in err


def test_a_provider_whose_settings_name_a_key_has_that_one_or_none(
    home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text("providers: {openai: {key: sk-very-secret}}\n")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    assert models("key", "list") == 0
    assert "OPENAI_API_KEY" not in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-other\n"))
    assert models("key", "set", "openai", "-") == 0
    assert models("key", "set", "sk-very-secre") == 2
    err = capsys.readouterr().err
    assert "names another key for openai, and that one is used" in err
    assert "secret" not in err


# list and info


def test_list_tells_what_is_there(server: WebServer, file: FileAnswer, home: Home, capsys: Captured) -> None:
    assert models("pull", url(server), "--progress", "off") == 0
    Part(home.models, "half").path.write_bytes(DATA[:1000])
    capsys.readouterr()
    assert models() == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["model", "makes", "size", "context", "parameters", "quantisation"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert {"local:demo", "local:minilm", "local:mine"} <= rows.keys()
    assert "text" in rows["local:mine"]
    assert SIZE in rows["local:mine"]
    assert rows["local:demo"].endswith("default")
    assert rows["local:minilm"].endswith("default for vectors")
    assert "22.6 M" in rows["local:minilm"] or "22.7 M" in rows["local:minilm"]
    assert "openai" not in out
    assert "paused: half, 1.0 kB" in err


def test_list_is_given_as_json(home: Home, capsys: Captured) -> None:
    assert models("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    demo = next(one for one in told["models"] if one["name"] == "local:demo")
    assert (demo["makes"], demo["size"], demo["context"], demo["default"]) == ("text", len(DATA), 1024, True)
    assert told["default"] == "local:demo"
    assert told["embedding"] == "local:minilm"
    assert told["paused"] == []
    assert models("--json") == 0
    assert json.loads(capsys.readouterr().out)["default"] == "local:demo"


def test_a_broken_file_among_the_models_breaks_nothing(home: Home, capsys: Captured) -> None:
    home.models.mkdir(parents=True)
    (home.models / "broken.gguf").write_bytes(DATA[:1000])
    (home.models / "gone.gguf").symlink_to("nowhere")
    assert models("list") == 0
    out, err = capsys.readouterr()
    assert "local:demo" in out
    assert "broken" not in out
    assert "broken.gguf cannot be used as a model: it is cut short" in err
    assert "there is no model local:gone" in err


@pytest.mark.slow
def test_list_all_asks_the_providers_and_one_that_is_down_is_none(
    home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = json.dumps(
        {"object": "list", "data": [{"id": "tiny", "object": "model", "max_model_len": 4096}]}
    ).encode()
    answers = {"/v1/models": Answer(listing, headers={"Content-Type": "application/json"})}
    with serving(answers, host="127.0.0.1") as server:
        with serving({}, host="127.0.0.1") as gone:
            down = url(gone, "/v1")
        (home.path).mkdir(parents=True, exist_ok=True)
        (home.path / "settings.yaml").write_text(
            f"providers:\n  lab: {{url: '{url(server, '/v1')}'}}\n  down: {{url: '{down}'}}\n"
        )
        assert models("list") == 0
        out = capsys.readouterr().out
        assert "lab" in out
        assert "tiny" not in out
        assert server.asked == [], "nobody is asked without --all"
        assert models("--all") == 0
        out, err = capsys.readouterr()
        assert "lab:tiny" in out
        assert "4,096" in out
        assert "does not answer" in err
        assert models("list", "--all", "--json") == 0
        told = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["answers"] for one in told["providers"] if one["name"] in ("lab", "down")} == {
        "lab": True, "down": False,
    }  # fmt: skip
    assert "lab:tiny" in [one["name"] for one in told["models"]]


def test_info_tells_all_of_a_file(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "m.gguf").write_bytes(DATA)
    for name in ("demo", "local:demo", str(DEMO), str(tmp_path / "m.gguf")):
        assert models("info", name) == 0
        rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        assert rows["architecture"] == "llama"
        assert rows["sha256"] == DIGEST
        assert rows["context"] == "1,024 tokens"
        assert rows["vocabulary"] == "5,120"
        assert rows["layers"] == "6" or rows["layers"].isdigit()
        assert rows["path"].endswith(".gguf")
    assert models("info", "minilm", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    details = told["details"]
    assert (told["makes"], details["architecture"], details["width"]) == ("vectors", "bert", 384)
    assert details["chat template"] is False
    assert details["sha256"] == hashlib.sha256(MINILM.read_bytes()).hexdigest()
    assert details["memory"] >= told["size"]


def test_info_knows_where_a_model_came_from(server: WebServer, home: Home, capsys: Captured) -> None:
    assert models("pull", url(server)) == 0
    capsys.readouterr()
    assert models("info", "mine", "--json") == 0
    assert json.loads(capsys.readouterr().out)["details"]["source"] == url(server)
    (home.models / "mine.gguf").write_bytes(DATA.replace(b"general.name", b"general.nome"))
    assert models("info", "mine", "--json") == 0
    told = json.loads(capsys.readouterr().out)["details"]
    assert told["source"] is None, "it is another file now"
    assert told["sha256"] != DIGEST
    origin = Origin.of(home.models / "mine.gguf")
    assert origin is not None and origin.sha256 == told["sha256"]


def test_info_of_a_hosted_model_tells_its_price_and_whether_there_is_a_key(
    home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text("prices:\n  openai:gpt-5: {in: 1.5, out: 12}\n")
    assert models("info", "openai:gpt-5") == 0
    out = capsys.readouterr().out
    assert "in 1.5, out 12" in out
    assert "none" in out
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert models("info", "openai:gpt-5") == 0
    out = capsys.readouterr().out
    assert "environment variable OPENAI_API_KEY" in out
    assert "secret" not in out


def test_info_of_what_is_not_there_is_told(home: Home, tmp_path: Path, capsys: Captured) -> None:
    assert models("info", "demmo") == 2
    assert "did you mean local:demo?" in capsys.readouterr().err
    (tmp_path / "m.gguf").write_bytes(b"nothing")
    assert models("info", tmp_path / "m.gguf") == 1
    assert "it is not a GGUF file" in capsys.readouterr().err


# bench


@pytest.mark.slow
def test_bench_measures_what_a_model_does(home: Home, capsys: Captured) -> None:
    words = ("--prompt", "64", "--write", "16", "--parallel", "1,2", "--rounds", "1")
    assert models("bench", "demo", "minilm", *words, "--json") == 0
    demo, minilm = json.loads(capsys.readouterr().out)
    assert [one["parallel"] for one in demo["runs"]] == [1, 2]
    for run in demo["runs"]:
        assert 32 <= run["prompt"] <= 72
        assert run["read_rate"] > 0
        assert run["write_rate"] > 0
        assert run["first_token"] > 0
        assert run["threads"] is None
    assert minilm["runs"][0]["read_rate"] > 0
    assert minilm["runs"][0]["write_rate"] is None
    assert models("bench", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"local:demo  {SIZE}")
    assert lines[1].split() == ["at", "once", "prompt", "read", "tokens/s", "written", "tokens/s", "first", "token"]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2"]


@pytest.mark.slow
def test_bench_compares_numbers_of_threads_and_leaves_the_settings_alone(home: Home, capsys: Captured) -> None:
    home.path.mkdir(parents=True)
    (home.path / "settings.yaml").write_text("models: {threads: 1, context: 256}\n")
    words = ("--prompt", "16", "--write", "8", "--parallel", "1", "--rounds", "1")
    assert models("bench", "demo", *words, "--threads", "1,2", "--json") == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told["name"] == "local:demo"
    assert [one["threads"] for one in told["runs"]] == [1, 2]
    assert (home.path / "settings.yaml").read_text() == "models: {threads: 1, context: 256}\n"
    assert models("bench", "openai:gpt-5", "--threads", "1") == 2
    assert "no threads of ours" in capsys.readouterr().err


def test_bench_writes_as_much_as_was_asked_where_nobody_knows_what_a_model_reads() -> None:
    class Stranger:
        """Says a word for each token that it may write; nobody knows how much it reads."""

        def __init__(self) -> None:
            self.most: list[int] = []

        async def count(self, model: str, asked: str) -> int:
            return len(asked.split())

        async def answer(self, model: str, request: Request, meter: Meter) -> AsyncGenerator[str | Ending, None]:
            self.most.append(request.sampling["max_tokens"])
            meter.spend(read=len(str(request.asked).split()))
            for _ in range(self.most[-1]):
                meter.spend(written=1)
                yield "word "
            yield Ending()

    info = ModelInfo(name="lab:one", provider="lab", makes="text")
    service = Stranger()
    measured = measure(service, info, prompt=16, write=16, parallel=(1,), rounds=1, tell=lambda words: None)  # type: ignore[arg-type]
    _, (speed,) = asyncio.run(measured)
    assert set(service.most) == {1, 16}
    assert speed.write_rate is not None


def test_bench_shows_any_name_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    with bench._status("local:/tmp/[/bold]/m.gguf") as tell:
        tell("loading")
        time.sleep(0.2)
    assert "[/bold]" in terminal.getvalue()


def test_bench_of_what_is_not_there_is_told(home: Home, capsys: Captured) -> None:
    assert models("bench", "absent") == 2
    assert "there is no model local:absent" in capsys.readouterr().err


@pytest.mark.parametrize(("load", "busy"), [(0.1, False), (9.0, True)])
def test_bench_says_when_the_machine_is_busy(
    home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch, load: float, busy: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    assert models("bench", "absent") == 2
    assert ("the machine is busy (load 9.0" in capsys.readouterr().err) is busy


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["list"], ["default"], ["info", "demo"]])
def test_what_only_looks_loads_nothing_heavy(home: Home, words: list[str]) -> None:
    heavy = ["httpx", "llama_cpp", "numpy", "openai", "anthropic", "torch", "rich", "chromadb"]
    code = (
        f"import sys; from phloem.runtime.cli import main; code = main({['models', *words]});"
        f"print(code, [name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "0 []"
