"""What the settings deny wins over everything, what they allow needs no flag, and offline is offline."""

from __future__ import annotations

from pathlib import Path

import pytest
from phloem.runtime.engine import Engine
from phloem.runtime.errors import ConfigError, PermissionDenied, PermissionNeeded
from phloem.runtime.grants import Denial, Grant, Permissions, Rules
from phloem.runtime.home import Home
from phloem.runtime.runs import Options
from phloem.runtime.settings import Settings
from support.playing import box, drawn, given

PLACE = "settings.yaml:1"


def denied(*denials: str, allow: tuple[str, ...] = ("net=*", "read=*", "write=*", "spend=*"), **more) -> Permissions:
    """Permissions that allow everything but this."""
    grants = [Grant.parse(one) for one in allow]
    return Permissions(grants, denials=[Denial.parse(one, PLACE) for one in denials], **more)


def rules_of(home: Home, text: str, **environment: str) -> Rules:
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text(text)
    return Rules.of(Settings.load(home), environment)


@pytest.mark.parametrize(
    ("denial", "url", "address"),
    [
        ("example.org", "https://example.org/x", "93.184.216.34"), ("example.org", "http://EXAMPLE.org.:8080/", ""),
        ("*.example.org", "https://www.example.org/", ""), ("*.example.org", "https://example.org/", ""),
        ("*.example.org", "https://a.b.example.org/", ""), ("https://example.org/page", "https://example.org/other", ""),
        ("example.org:8443", "https://example.org:8443/", ""), ("93.184.216.34", "https://other.net/", "93.184.216.34"),
        ("93.184.216.34", "https://93.184.216.34/", ""), ("93.184.216.34", "https://other.net/", "::ffff:93.184.216.34"),
        ("93.184.216.0/24", "https://other.net/", "93.184.216.34"), ("93.184.216.0/24", "https://93.184.216.1/", ""),
        ("2606:4700::/32", "https://other.net/", "2606:4700::1111"), ("127.0.0.0/8", "http://127.0.0.1/", ""),
        ("localhost", "http://127.0.0.1/", ""), ("localhost", "http://[::1]:80/", ""), ("*", "https://anything.net/", ""),
        ("bücher.example", "https://xn--bcher-kva.example/", ""), ("127.0.0.1", "http://nas.local/", "64:ff9b::7f00:1"),
        ("*.straße.example", "https://a.xn--strae-oqa.example/", ""), ("*:25", "http://example.org:25/", "8.8.8.8"),
        ("*.example.org:25", "http://www.example.org:25/", ""), ("example.org:443", "https://example.org/", ""),
        ("localhost", "http://0.0.0.0/", "0.0.0.0"), ("localhost", "http://[::]:80/", "::"), ("127.0.0.1", "http://0.0.0.0/", ""),
        ("127.0.0.0/8", "http://x.local/", "0.0.0.0"), ("::ffff:10.0.0.0/104", "http://x.local/", "10.1.2.3"),
        ("64:ff9b::/96", "http://x.local/", "64:ff9b::808:808"), ("8.8.8.8", "http://x.local/", "64:ff9b::808:808"),
    ],
)  # fmt: skip
def test_a_denied_host_is_refused_whoever_allowed_it(denial: str, url: str, address: str) -> None:
    host = url.partition("//")[2].partition("/")[0]
    name, port = (
        (host.rpartition(":")[0], int(host.rpartition(":")[2]))
        if host.rpartition(":")[2].isdigit() and "]" not in host.rpartition(":")[2]
        else (host, 443)
    )
    exact = (
        f"net={host}",
        "net=*",
        *([f"net={address}" if ":" not in address else f"net=[{address}]"] if address else []),
    )
    permissions = denied(f"net={denial}", allow=exact)
    with pytest.raises(PermissionDenied) as refused:
        permissions.net(url)
        permissions.lookup(name.strip("[]"), port)
        permissions.connect(name.strip("[]"), port, address or "8.8.8.8")
    assert refused.value.flags == ()
    assert PLACE in str(refused.value)
    with pytest.raises(PermissionDenied):
        permissions.connect(name.strip("[]"), port, address or "8.8.8.8", vouched=True)


@pytest.mark.parametrize(
    ("denial", "host", "port", "address"),
    [
        ("example.org", "www.example.org", 443, "8.8.8.8"), ("*.example.org", "badexample.org", 443, "8.8.8.8"),
        ("example.org:8443", "example.org", 443, "8.8.8.8"), ("93.184.216.0/24", "example.org", 443, "93.184.217.1"),
        ("10.0.0.0/8", "example.org", 443, "2606:4700::1111"), ("localhost", "example.org", 443, "8.8.8.8"),
        ("*:25", "example.org", 443, "8.8.8.8"), ("*.example.org:25", "www.example.org", 443, "8.8.8.8"),
    ],
)  # fmt: skip
def test_a_denial_is_of_nothing_else(denial: str, host: str, port: int, address: str) -> None:
    permissions = denied(f"net={denial}")
    permissions.net(f"https://{host}:{port}/")
    permissions.connect(host, port, address)


def test_a_denied_path_is_refused_by_every_name_it_has(tmp_path: Path) -> None:
    private = tmp_path / "flows" / "private"
    private.mkdir(parents=True)
    (private / "a.txt").write_text("x")
    (tmp_path / "flows" / "b.txt").write_text("x")
    (tmp_path / "flows" / "link").symlink_to(private)
    permissions = denied(
        f"read={private}",
        f"write={private}/a.txt",
        allow=(f"read={private}/a.txt", "write=*"),
        folder=tmp_path / "flows",
    )
    for path in ("private", "private/a.txt", "link/a.txt", "../flows/private/new.txt"):
        with pytest.raises(PermissionDenied):
            permissions.read(path)
    with pytest.raises(PermissionDenied):
        permissions.write("link/a.txt")
    permissions.read("b.txt")
    permissions.write("private/b.txt")


def test_a_denied_file_stays_denied_under_the_name_of_a_hard_link(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "other.txt").hardlink_to(tmp_path / "a.txt")
    with pytest.raises(PermissionDenied):
        denied(f"read={tmp_path}/a.txt").read(str(tmp_path / "other.txt"))


def test_a_file_that_the_user_named_is_denied_too(tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied):
        denied(f"read={tmp_path}").model(f"local:{tmp_path}/m.gguf", trusted=True)


@pytest.mark.parametrize(
    ("denial", "model"),
    [
        ("spend=openai", "openai:gpt-5"), ("spend=*", "openai:gpt-5"), ("model=openai:gpt-5", "openai:gpt-5"),
        ("model=openai:*", "openai:gpt-5"), ("model=local:demo", "demo"), ("model=demo", "demo"), ("model=*", "local:demo"),
        ("net=api.example.org", "https://api.example.org/v1#m"),
    ],
)  # fmt: skip
def test_denied_models_are_refused(denial: str, model: str) -> None:
    with pytest.raises(PermissionDenied):
        denied(denial).model(model)
    denied(denial, "secret=x").model("mistral:small") if denial != "spend=*" and denial != "model=*" else None


def test_rules_are_read_with_their_lines(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rules = rules_of(
        home, "models: {default: local:x}\ndeny:\n- net=*.example.org   # them\n- read=~/private\nallow: [net=a.org]\n"
    )
    file = home.path / "settings.yaml"
    assert rules.denials == (
        Denial("net", "*.example.org", f"{file}:3"), Denial("read", str(tmp_path / "private"), f"{file}:4"),
    )  # fmt: skip
    assert rules.allowed == (Grant("net", "a.org"),)
    assert rules.offline == ""
    assert rules_of(home, "\noffline: true").offline == f"{file}:2"
    assert rules_of(home, "offline: true", PHLOEM_OFFLINE="1").offline == "PHLOEM_OFFLINE"
    assert rules_of(home, "offline: false", PHLOEM_OFFLINE="0").offline == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deny: net=x", ":1: deny must be a list"), ("deny: {net: x}", ":1: deny must be a list"), ("\ndeny: [1]", ":2: deny: 1 is not a text"),
        ("deny:\n- net=a\n- nett=b", ":3: deny nett=b: not something that can be denied"), ("deny: [read=private]", "the path is not whole"),
        ("allow: [net=10.0.0.0/8]", "a whole network cannot be allowed"), ("deny: [net=]", "not something that can be denied"),
        ("deny: [net=10.0.0.0/33]", ":1: deny net=10.0.0.0/33: not a network"), ("deny: ['net=10.0.0.0/8:80']", "not a network"),
        ("deny: ['net=example.*']", "a * stands for all that is below a name"),
        ("deny: [a]\ndeny: [b]", ":2: deny is there twice"), ("offline: 1", "must be true or false"), ("deny: [*]", "not YAML"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_read_stop_everything(home: Home, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rules_of(home, text)
    assert said in refused.value.message
    engine = Engine(home)
    with pytest.raises(ConfigError):
        engine.permissions(Options(), None)


def test_an_unclear_word_of_the_environment_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match="PHLOEM_OFFLINE"):
        rules_of(home, "", PHLOEM_OFFLINE="perhaps")


# Offline


OFFLINE = {"offline": "--offline"}


@pytest.mark.parametrize(
    "url",
    ["https://example.org/", "http://10.0.0.5/", "http://127.1/", "http://nas.local/", "http://localhost.example.org/"],
)
def test_offline_nothing_outside_is_reached_whatever_is_allowed(url: str) -> None:
    permissions = denied(allow=("net=*", "net=10.0.0.5", "net=127.1", "net=nas.local"), **OFFLINE)
    with pytest.raises(PermissionDenied, match="the run is offline"):
        permissions.net(url)
    with pytest.raises(PermissionDenied):
        permissions.model(f"{url}v1#m")


def test_offline_a_server_of_this_machine_has_to_be_named() -> None:
    with pytest.raises(PermissionNeeded) as refused:
        denied(**OFFLINE).net("http://localhost:11434/")
    assert refused.value.flags == ("--allow net=localhost:11434",)
    named = denied(allow=("net=localhost:11434",), **OFFLINE)
    named.net("http://localhost:11434/")
    named.lookup("localhost", 11434)
    named.connect("localhost", 11434, "127.0.0.1")
    with pytest.raises(PermissionDenied):
        named.connect("localhost", 11434, "10.0.0.5")
    for url in ("http://localhost/", "http://localhost:22/"):
        with pytest.raises(PermissionNeeded):
            named.net(url)
    for host, port in (("localhost", 22), ("127.0.0.1", 11434)):
        with pytest.raises(PermissionNeeded):
            named.connect(host, port, "127.0.0.1")
        with pytest.raises(PermissionNeeded):
            named.connect(host, port, "127.0.0.1", vouched=True)


@pytest.mark.parametrize("host", ["[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::127.0.0.1]"])
def test_offline_what_a_gateway_would_turn_into_this_machine_is_another(host: str) -> None:
    with pytest.raises(PermissionDenied, match="the run is offline"):
        denied(allow=(f"net={host}",), **OFFLINE).net(f"http://{host}/")


def test_offline_models_of_providers_are_out_of_reach_and_local_ones_are_not() -> None:
    permissions = denied(**OFFLINE)
    assert permissions.model("demo") == "local:demo"
    with pytest.raises(PermissionDenied, match="openai:gpt-5, which is elsewhere"):
        permissions.model("openai:gpt-5")
    near = denied(allow=("spend=ollama", "net=localhost"), **OFFLINE)
    assert near.model("ollama:qwen3") == "ollama:qwen3"
    near.connect("localhost", 11434, "::1", vouched=True)
    with pytest.raises(PermissionDenied):
        near.connect("api.openai.com", 443, "8.8.8.8", vouched=True)


def test_a_run_that_wants_what_is_denied_does_not_begin(home: Home, tmp_path: Path) -> None:
    home.path.mkdir(parents=True)
    (home.path / "settings.yaml").write_text(f"deny:\n- write={tmp_path}/out\n")
    workflow = drawn(
        {"w": box("files.write", {"path": "input.p"}, {"text": "x"})}, {"p": given("text", f"{tmp_path}/out/a.txt")}
    )
    engine = Engine(home)
    with pytest.raises(PermissionDenied) as refused:
        engine.start(workflow, options=Options(allow=["write=*"]))
    assert refused.value.message == f"The workflow is not allowed what it wants: w would write {tmp_path}/out/a.txt."
    assert f"{home.path}/settings.yaml:2" in str(refused.value.hint)
