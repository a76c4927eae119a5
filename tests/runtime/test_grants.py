"""What a workflow may touch. Every table here is an attempt to touch more."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st
from phloem.runtime.errors import ConfigError, InputError, PermissionNeeded
from phloem.runtime.grants import Grant, Permissions, host_of, is_url, provider_of
from phloem.runtime.grants.permissions import _names_a_share
from phloem.runtime.grants.shown import remark_on


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A folder with a workflow's things in it, and neighbours that are none of its business."""
    for name in (
        "flows/a.txt", "flows/sub/b.txt", "flows/.env", "flows/.env.local", "flows/.ENV", "flows/sub/.ssh/config", "flows/id_rsa",
        "flows/keys.kdbx", "flows/.netrc", "flows/.aws/credentials", "outside/c.txt", "flows2/d.txt", "home/cache/results.db",
        "flows/environment.txt", "flows/.sshrc", "flows/my.env.txt", "flows/.GnuPG/secring",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "flows/link-out").symlink_to(tmp_path / "outside")
    (tmp_path / "flows/link-to-file").symlink_to(tmp_path / "outside/c.txt")
    (tmp_path / "flows/link-to-env").symlink_to(".env")
    (tmp_path / "flows/link-in").symlink_to("sub/b.txt")
    (tmp_path / "flows/loop").symlink_to("loop")
    (tmp_path / "outside/link-back").symlink_to(tmp_path / "flows/a.txt")
    return tmp_path / "flows"


def permissions(flows: Path | None, *grants: str) -> Permissions:
    return Permissions([Grant.parse(one) for one in grants], folder=flows, home=flows and flows.parent / "home")


# ---- Files


@pytest.mark.parametrize(
    "path, file",
    [
        ("a.txt", "a.txt"), ("./a.txt", "a.txt"), ("sub/b.txt", "sub/b.txt"), ("sub/../a.txt", "a.txt"), ("link-in", "sub/b.txt"),
        ("../flows/a.txt", "a.txt"), ("../outside/link-back", "a.txt"), ("sub//b.txt", "sub/b.txt"), ("missing.txt", "missing.txt"),
        ("environment.txt", "environment.txt"), (".sshrc", ".sshrc"), ("my.env.txt", "my.env.txt"), (".", "."), ("", "."),
    ],
)  # fmt: skip
def test_beside_the_workflow_all_may_be_read(flows, path, file):
    assert permissions(flows).read(path) == flows / file


@pytest.mark.parametrize(
    "path",
    [
        "../outside/c.txt", "link-out/c.txt", "link-to-file", "..", "../flows2/d.txt", "/etc/passwd", "sub/../../outside/c.txt",
        "~/x", "/", "link-out", "link-out/../outside/c.txt", "../home/cache/results.db", "/proc/self/environ", "loop/../../outside/c.txt",
        ".env", "./.env", "sub/../.env", "link-to-env", ".env.local", ".ENV", "sub/.ssh/config", "sub/.ssh", "id_rsa", "keys.kdbx",
        ".netrc", ".aws/credentials", ".GnuPG/secring",
    ],
)  # fmt: skip
def test_nothing_else_may_be_read(flows, path):
    with pytest.raises(PermissionNeeded, match="may not read") as refused:
        permissions(flows).read(path)
    assert refused.value.flags[0].startswith("--allow ")


@pytest.mark.parametrize("path", ["a.txt", "sub/b.txt", "new.txt", ".env", "../outside/c.txt", "/tmp/x"])
def test_nothing_may_be_written_without_a_grant(flows, path):
    with pytest.raises(PermissionNeeded, match="may not write"):
        permissions(flows).write(path)
    with pytest.raises(PermissionNeeded, match="may not write"):
        permissions(flows, f"read={flows}", "read=*").write(path)


def test_a_grant_for_a_folder_is_for_all_below_it_and_nothing_beside(flows):
    given = permissions(flows, f"write={flows}")
    assert given.write("sub/new/deep.txt") == flows / "sub/new/deep.txt"
    assert given.write(str(flows)) == flows
    for path in ("../flows2/d.txt", "../outside/c.txt", "link-out/new.txt", "..", "sub/../../flows2/x"):
        with pytest.raises(PermissionNeeded):
            given.write(path)


def test_a_grant_for_a_file_is_for_that_file(flows):
    given = permissions(flows, f"write={flows}/a.txt", f"read={flows.parent}/outside/c.txt")
    assert given.write("a.txt") == flows / "a.txt"
    assert given.read("link-to-file").name == "c.txt"
    for path in ("a.txt.bak", "a.tx", "sub/b.txt"):
        with pytest.raises(PermissionNeeded):
            given.write(path)
    with pytest.raises(PermissionNeeded):
        given.read("../outside")


@pytest.mark.parametrize("word", ["read", "write"])
def test_keys_and_the_program_s_home_need_a_grant_for_exactly_them(flows, word):
    for wide in ("*", str(flows), str(flows.parent), "/"):
        given = permissions(flows, f"{word}={wide}")
        for path in (".env", "sub/.ssh/config", "id_rsa", "../home/cache/results.db", "../home", ".ENV", "keys.kdbx"):
            with pytest.raises(PermissionNeeded):
                getattr(given, word)(path)
    for exact in (".env", "sub/.ssh/config", "../home/cache/results.db"):
        given = permissions(flows, f"{word}={flows / exact}")
        assert getattr(given, word)(exact) == (flows / exact).resolve()
    folder = permissions(flows, f"{word}={flows}/sub/.ssh")
    with pytest.raises(PermissionNeeded):
        getattr(folder, word)("sub/.ssh/config")


def test_a_star_is_for_everything_but_what_is_guarded(flows):
    assert permissions(flows, "read=*").read("../outside/c.txt").name == "c.txt"
    assert permissions(flows, "write=*").write("/somewhere/else.txt") == Path("/somewhere/else.txt")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_the_environment_of_a_program_is_guarded_like_the_keys_in_it(flows):
    for given in (permissions(flows, "read=*"), permissions(flows, "read=/proc"), Permissions(folder=Path("/"))):
        for path in ("/proc/self/environ", f"/proc/{os.getppid()}/environ", "/proc/thread-self/mem"):
            with pytest.raises(PermissionNeeded):
                given.read(path)
    assert permissions(flows, "read=/proc/meminfo").read("/proc/meminfo") == Path("/proc/meminfo")


@pytest.mark.parametrize(
    "path",
    [".\u017fsh/config", "\uff0e\uff45nv", ".s\u200dsh/config", ".ENV::$DATA", "ID_RSA:x", "../HOME/cache/results.db"],
)
def test_what_some_system_takes_for_a_guarded_name_is_guarded(flows, path):
    """macOS compares names without case, and by what they look like; Windows knows streams of a file."""
    for given in (permissions(flows, "read=*"), permissions(flows, f"read={flows.parent}"), permissions(flows)):
        with pytest.raises(PermissionNeeded):
            given.read(path)


def test_a_workflow_inside_the_program_s_home_reads_nothing_freely(flows):
    home = flows.parent / "home"
    with pytest.raises(PermissionNeeded):
        Permissions(folder=home / "cache", home=home).read("results.db")


def test_a_workflow_without_a_file_reads_nothing_freely(flows, monkeypatch):
    monkeypatch.chdir(flows)
    with pytest.raises(PermissionNeeded):
        Permissions().read("a.txt")
    assert Permissions([Grant.parse("read=a.txt")]).read("a.txt") == flows / "a.txt"


@pytest.mark.parametrize("path", ["a\0b", "\0", "~nosuchuser/x", "\ud800"])
def test_what_is_no_path_is_refused_in_words(flows, path):
    for ask in (permissions(flows).read, permissions(flows, "write=*").write):
        with pytest.raises((InputError, PermissionNeeded)):
            ask(path)


def test_a_path_longer_than_any_file_s_is_refused_or_made_nothing_of(flows):
    assert permissions(flows).read("x" * 5000) == flows / ("x" * 5000)
    with pytest.raises(PermissionNeeded):
        permissions(flows).read("../" * 2000 + "etc/passwd")


@for_all(
    st.lists(
        st.sampled_from(["..", ".", "sub", "link-out", "link-in", "link-to-env", "a.txt", ".env", "/", "~", "loop"]),
        max_size=7,
    )
)
@example(["loop", "..", "link-out"])
@example(["loop", "..", "link-to-env"])
def test_no_way_of_writing_a_path_leads_out(tmp_path_factory, parts):
    """Whatever is let through lies below the folder, follow it as you may, and is no key."""
    flows = tmp_path_factory.getbasetemp() / "walk" / "flows"
    if not flows.exists():
        (flows / "sub").mkdir(parents=True)
        (flows.parent / "outside").mkdir()
        (flows / "a.txt").write_text("a")
        (flows / ".env").write_text("secret")
        (flows / "link-out").symlink_to(flows.parent / "outside")
        (flows / "link-in").symlink_to("sub")
        (flows / "link-to-env").symlink_to(".env")
        (flows / "loop").symlink_to("loop")
    try:
        allowed = Permissions(folder=flows).read("/".join(parts))
    except PermissionNeeded:
        return
    assert allowed.is_relative_to(flows)
    assert os.path.realpath(allowed).startswith(str(flows))
    assert allowed.name != ".env"


def test_the_flag_that_is_asked_for_gives_the_grant(flows, monkeypatch):
    monkeypatch.chdir(flows)
    for path in (
        "../outside/c.txt",
        "/etc/passwd",
        ".env",
        "sub/.ssh/config",
        "../outside/with space 'and' $(quotes);.txt",
    ):
        with pytest.raises(PermissionNeeded) as refused:
            permissions(flows).read(path)
        words = shlex.split(refused.value.flags[0])
        assert words[0] == "--allow"
        assert len(words) == 2, "a stranger's path must not become a command when it is pasted"
        assert permissions(flows, words[1]).read(path) == Path(os.path.realpath(flows / path))


# ---- The net


@pytest.mark.parametrize(
    "url, host",
    [
        ("https://example.org", "example.org"), ("https://Example.ORG/x", "example.org"), ("https://example.org./", "example.org"),
        ("http://example.org:8080/", "example.org:8080"), ("http://user:secret@example.org/", "example.org"),
        ("http://example.org@evil.net/", "evil.net"), ("http://evil.net#@example.org/", "evil.net"),
        ("http://evil.net?@example.org/", "evil.net"), ("http://evil.net/@example.org", "evil.net"),
        ("http://example.org\\@evil.net/", "evil.net"), ("http://a@example.org@evil.net/", "evil.net"),
        ("http://[::1]/", "[::1]"), ("http://[::1]:80/", "[::1]:80"), ("http://[2001:DB8::1]/", "[2001:db8::1]"),
        ("http://127.0.0.1:11434/", "127.0.0.1:11434"), ("http://0x7f.1/", "0x7f.1"), ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://EXAMPLE。org/", "example.org"), ("//example.org", "example.org"), ("example.org", ""), ("", ""), ("http://", ""),
        ("http:///path", ""), ("http://[::1", ""), ("http://example.org:99999/", ""), ("http://example.org:port/", ""),
    ],
)  # fmt: skip
def test_the_host_of_a_url_is_the_one_that_would_be_spoken_to(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize("text", ["http://a", "https://a/b", "file:///a", "ftp://x"])
def test_a_url_is_told_from_a_path(text):
    assert is_url(text)


@pytest.mark.parametrize("text", ["a.txt", "/a/b", "C:\\a", "a:b", "", "a/very/long/path/that/has://late"])
def test_a_path_is_told_from_a_url(text):
    assert not is_url(text)


@pytest.mark.parametrize(
    "grant, url, granted",
    [
        ("example.org", "https://example.org/", True), ("example.org", "http://example.org:8080/", True),
        ("example.org", "https://EXAMPLE.org./", True), ("Example.ORG", "https://example.org/", True),
        ("example.org.", "https://example.org/", True), ("https://example.org/page", "https://example.org/", True),
        ("example.org", "https://www.example.org/", False), ("example.org", "https://notexample.org/", False),
        ("example.org", "https://example.org.evil.net/", False), ("example.org", "https://example.orgx/", False),
        ("example.org", "https://example.org@evil.net/", False), ("example.org", "https://evil.net/?example.org", False),
        ("example.org:8080", "http://example.org:8080/", True), ("example.org:8080", "http://example.org/", False),
        ("example.org:8080", "http://example.org:80/", False), ("example.org:80", "http://example.org:8080/", False),
        ("*.example.org", "https://www.example.org/", True), ("*.example.org", "https://a.b.example.org:8443/", True),
        ("*.example.org", "https://example.org/", False), ("*.example.org", "https://badexample.org/", False),
        ("*.example.org", "https://example.org.evil.net/", False), ("*", "https://anything.net/", True),
        ("[::1]", "http://[::1]/", True), ("::1", "http://[::1]:8080/", True), ("[::1]:80", "http://[::1]:80/", True),
        ("[::1]:80", "http://[::1]:81/", False), ("2001:db8::1", "http://[2001:db8::1:443]/", False),
        ("2001:db8::1", "http://[2001:db8::1]:443/", True), ("::", "http://[::1]/", False), ("1", "http://[::1]/", False),
        ("bücher.example", "https://xn--bcher-kva.example/", True), ("xn--bcher-kva.example", "https://bücher.example/", True),
        ("example.org", "http://example.org%00.evil.net/", False), ("127.0.0.1", "http://127.0.0.1/", True),
        ("127.0.0.1", "http://127.0.0.10/", False), ("*.example.org:8080", "http://www.example.org:8080/", True),
        ("*.example.org:8080", "http://www.example.org/", False), ("*:8080", "http://example.org:8080/", True),
        ("*:8080", "http://example.org:8081/", False), ("example.org:443", "https://example.org/", True),
        ("example.org:443", "http://example.org/", False), ("*.straße.example", "http://a.xn--strae-oqa.example/", True),
    ],
)  # fmt: skip
def test_a_grant_is_for_a_host_and_what_it_says(grant, url, granted):
    given = Permissions([Grant.parse(f"net={grant}")])
    if granted:
        given.net(url)
    else:
        with pytest.raises(PermissionNeeded, match="may not connect to"):
            given.net(url)


PRIVATE = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "172.32.0.1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_out_of_reach_of_every_wide_grant(address):
    given = Permissions([Grant.parse("net=*"), Grant.parse("net=*.example.org")])
    for host in ("www.example.org", "anything.net", "localhost", address):
        with pytest.raises(PermissionNeeded, match="it is the private address"):
            given.connect(host, 80, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached_with_a_wide_grant(address):
    Permissions([Grant.parse("net=*.example.org")]).connect("www.example.org", 443, address)
    with pytest.raises(PermissionNeeded, match="may not connect to"):
        Permissions([Grant.parse("net=example.org")]).connect("evil.net", 443, address)


@pytest.mark.parametrize(
    "grant, host, port, address",
    [
        ("127.0.0.1", "127.0.0.1", 11434, "127.0.0.1"), ("127.0.0.1:11434", "127.0.0.1", 11434, "127.0.0.1"),
        ("localhost", "localhost", 80, "::1"), ("LOCALHOST", "localhost.", 80, "127.0.0.1"), ("[::1]", "::1", 80, "::1"),
        ("::1", "[::1]", 80, "::1"), ("nas.local", "nas.local", 80, "192.168.1.5"),
    ],
)  # fmt: skip
def test_a_private_address_may_be_reached_when_its_host_is_named_exactly(grant, host, port, address):
    Permissions([Grant.parse(f"net={grant}")]).connect(host, port, address)


@pytest.mark.parametrize(
    "grant, host, port",
    [("127.0.0.1:11434", "127.0.0.1", 22), ("localhost:80", "localhost", 8080), ("[::1]:80", "::1", 81)],
)
def test_a_port_that_is_named_is_the_only_one(grant, host, port):
    with pytest.raises(PermissionNeeded):
        Permissions([Grant.parse(f"net={grant}")]).connect(host, port, "127.0.0.1")


def test_the_flag_for_a_host_gives_the_grant():
    for url in ("https://example.org/x", "http://[::1]:80/", "http://bücher.example/", "http://a;rm -rf $HOME/"):
        with pytest.raises(PermissionNeeded) as refused:
            Permissions().net(url)
        words = shlex.split(refused.value.flags[0])
        assert len(words) == 2
        Permissions([Grant.parse(words[1])]).net(url)


def test_nothing_is_spoken_to_without_a_grant():
    for url in ("https://example.org/", "http://localhost/"):
        with pytest.raises(PermissionNeeded):
            Permissions().net(url)
    with pytest.raises(PermissionNeeded):
        Permissions().connect("example.org", 443, "93.184.216.34")


@pytest.mark.parametrize("url", ["", "not a url", "http://", "https://:80/", "http://[bad/", "http://a:99999/"])
def test_an_address_without_a_host_is_no_question_of_grants(url):
    for given in (Permissions(), Permissions([Grant.parse("net=*")])):
        with pytest.raises(InputError, match="has no host"):
            given.net(url)


# ---- Models


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("local:demo", "local"), ("demo", "local"), ("a.gguf", "local"), ("C:\\a.gguf", "local"), ("openai:gpt-5", "openai"),
        ("openrouter:a/b:free", "openrouter"), ("", "local"), (":x", "local"), ("sentence-transformers:x", "sentence-transformers"),
    ],
)  # fmt: skip
def test_the_provider_stands_before_the_colon(name, provider):
    assert provider_of(name) == provider


def test_models_that_run_here_need_no_grant_and_others_need_one_for_their_provider():
    assert Permissions().model("demo") == Permissions().model("local:demo") == "local:demo"
    assert Permissions().model("sentence-transformers:x") == "sentence-transformers:x"
    for grant in ("spend=openai", "spend=*"):
        assert Permissions([Grant.parse(grant)]).model("openai:gpt-5") == "openai:gpt-5"
    for grants in ([], ["spend=anthropic"], ["net=*"], ["model=openai:gpt-5"]):
        with pytest.raises(PermissionNeeded) as refused:
            Permissions([Grant.parse(one) for one in grants]).model("openai:gpt-5")
        assert refused.value.flags == ("--allow spend=openai",)


def test_a_model_s_file_outside_the_folder_is_read_only_if_that_is_allowed(flows):
    assert permissions(flows).model("local:sub/m.gguf") == f"local:{flows}/sub/m.gguf"
    with pytest.raises(PermissionNeeded, match="may not read"):
        permissions(flows).model("../outside/m.gguf")
    assert permissions(flows).model("../outside/m.gguf", trusted=True) == f"local:{flows.parent}/outside/m.gguf"


@pytest.mark.parametrize(
    ("grant", "url", "granted"),
    [
        ("net=api.example.org", "https://api.example.org/v1#m", True), ("net=*.example.org", "https://api.example.org/v1#m", True),
        ("net=*", "https://api.example.org/v1#m", True), ("net=api.example.org:8443", "https://api.example.org:8443/v1#m", True),
        ("net=api.example.org:8443", "https://api.example.org/v1#m", False), ("net=example.org", "https://api.example.org/v1#m", False),
        ("net=localhost", "http://localhost:8000/v1#m", True), ("net=localhost:8000", "http://localhost:8000/v1#m", True),
        ("net=localhost:8001", "http://localhost:8000/v1#m", False), ("net=*", "http://localhost:8000/v1#m", False),
        ("net=*", "http://127.0.0.1:8000/v1#m", False), ("net=127.0.0.1", "http://127.0.0.1:8000/v1#m", True),
        ("net=*", "http://[::1]:8000/v1#m", False), ("net=::1", "http://[::1]:8000/v1#m", True),
        ("net=[::1]:8000", "http://[::1]:8000/v1#m", True), ("net=*", "http://nas/v1#m", False), ("net=nas", "http://nas/v1#m", True),
        ("net=*", "http://nas.local/v1#m", False), ("net=*.local", "http://nas.local/v1#m", False), ("net=nas.local", "http://nas.local/v1#m", True),
        ("net=*", "http://10.0.0.5/v1#m", False), ("net=*", "http://169.254.169.254/v1#m", False), ("net=*", "http://8.8.8.8/v1#m", True),
        ("net=*", "http://[2606:4700::1111]/v1#m", True), ("net=*", "http://0x7f.1/v1#m", False), ("net=*", "http://2130706433/v1#m", False),
        ("net=*", "http://127.1/v1#m", False), ("net=*", "http://0177.0.0.1/v1#m", False), ("net=*", "http://a.0x/v1#m", False),
        ("net=*", "http://LOCALHOST./v1#m", False), ("spend=*", "https://api.example.org/v1#m", False), ("spend=http", "http://example.org#m", False),
        ("net=example.org", "https://evil.net/v1#@example.org", False), ("net=*", "http://api.localhost/v1#m", False),
    ],
)  # fmt: skip
def test_the_address_of_a_model_s_server_needs_the_grant_for_its_host(grant, url, granted):
    given = Permissions([Grant.parse(grant)])
    if granted:
        assert given.model(url) == url
        return
    with pytest.raises(PermissionNeeded, match="may not connect to") as refused:
        given.model(url)
    flag = shlex.split(refused.value.flags[0])[1]
    Permissions([Grant.parse(flag)]).model(url)


@pytest.mark.parametrize(
    "url", ["http://", "https:///v1#m", "http://[::1/v1#m", "http://a:port/v1#m", "http://me:secret@example.org/v1#m", "http://key@example.org#m"]
)  # fmt: skip
def test_an_address_that_is_none_or_holds_a_password_is_refused_without_repeating_it(url):
    with pytest.raises(InputError) as refused:
        Permissions([Grant.parse("net=*")]).model(url)
    assert "secret" not in str(refused.value)
    assert refused.value.hint


# ---- Grants that would be more than what is asked for


@pytest.mark.parametrize("name", ["*", "~root", "~", "~nosuchuser/x"])
def test_the_flag_for_a_path_is_a_grant_for_that_path_and_for_nothing_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    given = Permissions(folder=tmp_path / "flows")
    real = tmp_path / name
    for ask in (given.read, given.write):
        with pytest.raises(PermissionNeeded) as refused:
            ask(str(real))
        grant = Grant.of_flag(refused.value.flags[0])
        assert grant == Grant(ask.__name__, str(real))


@pytest.mark.parametrize("host", ["*", "*.org", "*:80", "*.example.org:80", "a.*", "＊"])
def test_a_host_that_would_be_a_grant_of_many_is_none(host):
    for given in (Permissions(), Permissions([Grant.parse("net=*")])):
        with pytest.raises(InputError):
            given.net(f"http://{host}/")
        with pytest.raises(InputError):
            given.model(f"http://{host}/v1#m")
        with pytest.raises(InputError):
            given.lookup(host, 80)
        with pytest.raises(InputError):
            given.connect(host, 80, "8.8.8.8")


def test_a_name_that_would_be_a_grant_of_all_is_none():
    for word in ("spend", "secret", "run", "model"):
        with pytest.raises(InputError, match="is no name"):
            Permissions().require(word, "*")


def test_a_share_of_windows_that_nobody_named_is_not_even_looked_for():
    for path in (r"\\evil\share\x", "//evil/share/x", r"\\?\UNC\evil\share\x", r"\\.\PhysicalDrive0"):
        assert _names_a_share(path, [r"C:\flows", r"\\nas\flows", "*", "None"])
    for path in ("a.txt", r"C:\flows\a.txt", r"..\a.txt", r"D:\a.txt", "/a.txt"):
        assert not _names_a_share(path, [r"C:\flows"])
    assert not _names_a_share(r"\\nas\flows\a.txt", [r"C:\flows", r"\\NAS\flows\sub"])


def test_a_question_about_a_folder_says_that_it_is_one(tmp_path):
    """Somebody who takes it for a file would allow all that is in it."""
    (tmp_path / "a.txt").write_text("x")
    assert remark_on("write", str(tmp_path), None) == "a folder, with all that is below it"
    assert remark_on("read", "/", None) == "a folder, with all that is below it"
    assert remark_on("write", str(tmp_path / "a.txt"), None) == remark_on("write", str(tmp_path / "new"), None) == ""


# ---- Grants as words


@pytest.mark.parametrize(
    "text, word, scope",
    [
        ("net=Example.org", "net", "example.org"), ("model=local:demo", "model", "local:demo"), ("browser", "browser", ""),
        ("spend=openai", "spend", "openai"), ("secret=KEY=x", "secret", "KEY=x"), ("run=/usr/bin/env", "run", "/usr/bin/env"),
        ("read=/a/../b", "read", "/b"), ("read=*", "read", "*"), ("write=/", "write", "/"),
    ],
)  # fmt: skip
def test_a_grant_is_read_from_words(text, word, scope):
    found = Grant.parse(text)
    assert (found.word, found.scope) == (word, scope)
    assert Grant.parse(str(found)) == found


def test_a_path_in_a_grant_is_meant_from_the_current_folder(flows, monkeypatch):
    monkeypatch.chdir(flows)
    monkeypatch.setenv("HOME", str(flows))
    assert Grant.parse("read=sub").scope == str(flows / "sub")
    assert Grant.parse("read=~/sub").scope == str(flows / "sub")
    assert Grant.parse("read=link-out").scope == str(flows.parent / "outside")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "net",
        "net=",
        "nett=x",
        "read",
        "read=",
        "everything",
        "net=http://",
        "net=//",
        "net=10.0.0.0/8",
        "net=10.0.0.0/255.0.0.0",
        "net=[fd00::]/8",
        "net=example.*",
        "net=10.*",
        "net=*.*.example.org",
        "net=*example.org",
        "read=~nosuchuser/x",
        "read=\0",
    ],
)
def test_what_is_no_grant_is_refused(text):
    with pytest.raises(ConfigError, match="--allow"):
        Grant.parse(text)


def test_other_words_are_granted_by_name_or_all_at_once():
    for word in ("model", "spend", "secret", "run"):
        with pytest.raises(PermissionNeeded, match=r"The workflow may not .* x\.") as refused:
            Permissions().require(word, "x")
        assert refused.value.flags == (f"--allow {word}=x",)
        Permissions([Grant.parse(f"{word}=x")]).require(word, "x")
        Permissions([Grant.parse(f"{word}=*")]).require(word, "x")
        for other in (f"{word}=y", f"{word}=xx", "net=x"):
            with pytest.raises(PermissionNeeded):
                Permissions([Grant.parse(other)]).require(word, "x")
    with pytest.raises(PermissionNeeded) as refused:
        Permissions().require("browser")
    assert refused.value.flags == ("--allow browser",)
    Permissions([Grant.parse("browser")]).require("browser")


@pytest.mark.parametrize("host", ["example.org", "metadata.example.org", "a.co"])
@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fd00::1"])
def test_a_name_of_the_internet_does_not_open_the_private_address_it_was_pointed_at(host, address):
    permissions = Permissions([Grant.parse(f"net={host}")])
    with pytest.raises(PermissionNeeded) as refused:
        permissions.connect(host, 80, address)
    quoted = f"'net=[{address}]'" if ":" in address else f"net={address}"
    assert refused.value.flags == (f"--allow {quoted}",)
    both = Permissions([Grant.parse(f"net={host}"), Grant.parse(f"net={address}")])
    both.connect(host, 80, address)


@pytest.mark.parametrize("host", ["localhost", "nas", "nas.local", "wiki.internal", "build.lan", "x.home.arpa"])
def test_a_name_that_the_internet_does_not_serve_opens_its_private_address(host):
    Permissions([Grant.parse(f"net={host}")]).connect(host, 80, "192.168.1.5")


def test_a_workflow_in_the_home_does_not_open_the_hidden_folders_of_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config" / "app").mkdir(parents=True)
    (tmp_path / ".config" / "app" / "token").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    at_home = Permissions(folder=tmp_path)
    at_home.read("notes.txt")
    with pytest.raises(PermissionNeeded):
        at_home.read(".config/app/token")
    Permissions([Grant.parse(f"read={tmp_path}/.config/app")], folder=tmp_path).read(".config/app/token")
    Permissions(folder=tmp_path / ".config" / "app").read("token")
