"""Offline, nothing in the program tries to reach anything: neither its own doors nor a library behind them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.flow.yaml"))

WATCHED = """
import json, sys
tried = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        tried.append([event, str(arguments[1])])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"):
        tried.append([event, str(arguments[0])])
sys.addaudithook(watch)
"""
"""Notes every attempt to connect, to send or to look up a name that Python knows of."""

COUNTED = """
def no_routes():
    count = 0
    lines = open("/proc/net/snmp").read().splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        row = dict(zip(names.split(), values.split()))
        count += int(row.get("OutNoRoutes", 0)) + int(row.get("ActiveOpens", 0))
    row = dict(line.split() for line in open("/proc/net/snmp6"))
    return count + int(row["Ip6OutNoRoutes"])
"""
"""What the kernel counts in a network with nothing in it: whoever tries to send, native code too, has no route."""

RUN = """
from phloem.runtime.cli import main
codes = [main(arguments) for arguments in json.loads(sys.argv[1])]
"""


def child(code: str, commands: list[list[str]], home: Path, *before: str) -> Any:
    """The JSON that a program prints last, in a process of its own that starts with these words."""
    environment = {**os.environ, "PHLOEM_HOME": str(home), "OPENAI_API_KEY": "sk-test", "NO_COLOR": "1"}
    found = subprocess.run(
        [*before, sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1]), found.stderr


@pytest.mark.slow
def test_no_example_tries_to_connect_not_even_to_a_name_server(home) -> None:
    commands = [["run", str(one), "--offline", "--no-cache"] for one in EXAMPLES]
    commands += [["check", "--offline", *map(str, EXAMPLES)]]
    code = WATCHED + RUN + "print(); print(json.dumps([codes, tried]))"
    (codes, tried), errors = child(code, commands, home.path)
    assert codes == [0] * len(commands), errors
    assert tried == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="networks of their own are Linux's")
def test_the_kernel_sees_nobody_try(home) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system makes no networks for us")
    # One attempt of our own shows that attempts are counted; it comes from outside the sealed process.
    attempt = """
import subprocess
subprocess.run([sys.executable, "-c", "import socket; socket.socket().connect_ex(('192.0.2.1', 9))"])
"""
    code = (
        "import json, sys\n"
        + COUNTED
        + RUN
        + "before = no_routes()\n"
        + attempt
        + "print(); print(json.dumps([codes, before, no_routes()]))"
    )
    asks = next(str(one) for one in EXAMPLES if one.name == "ask-a-page.flow.yaml")
    (codes, during, after), errors = child(code, [["run", asks, "--offline", "--no-cache"]], home.path, *alone)
    assert codes == [0], errors
    assert during == 0
    assert after == 1


WANTS = """\
phloem: 1
nodes:
  page: {kind: web.read@1, set: {url: "https://example.org/"}, on_error: skip}
  here: {kind: text.case@1, set: {text: a, to: upper}}
outputs: {text: here.text}
"""


@pytest.mark.slow
def test_what_needs_a_connection_is_refused_at_the_door_by_name(home, tmp_path: Path) -> None:
    (tmp_path / "wants.flow.yaml").write_text(WANTS)
    made = WANTS.replace('set: {url: "https://example.org/"}', "in: {url: address.text}")
    address = '  address: {kind: text.template@1, in: {a: here.text}, set: {template: "https://{{ a | lower }}.example.org/"}}\n'
    (tmp_path / "made.flow.yaml").write_text(made.replace("outputs:", f"{address}outputs:"))
    model = "phloem: 1\nnodes:\n  ask: {kind: llm.generate@1, set: {prompt: Hi, model: 'openai:gpt-5'}}\noutputs: {text: ask.text}\n"
    (tmp_path / "model.flow.yaml").write_text(model)
    files = {name: str(tmp_path / f"{name}.flow.yaml") for name in ("wants", "made", "model")}
    allowed = ["--allow", "net=*", "--allow", "net=example.org", "--allow", "spend=openai"]
    commands = [["run", one, "--offline", "--no-cache", *allowed] for one in files.values()]
    commands += [["check", files["wants"], files["model"], "--offline", *allowed]]
    code = WATCHED + RUN + "print(); print(json.dumps([codes, tried]))"
    (codes, tried), errors = child(code, commands, home.path)
    assert codes == [2, 2, 2, 0], errors
    assert tried == []
    assert "page would connect to https://example.org/" in errors
    assert "page: The workflow may not connect to a.example.org: the run is offline." in errors
    assert "ask would spend at openai" in errors


@pytest.mark.slow
def test_behind_the_doors_stands_a_wall(home, tmp_path: Path) -> None:
    """A library, or a package of nodes, that asks nobody gets no further."""
    code = """
import errno, json, socket, sys, threading
from phloem.runtime.offline import seal
seal(); seal()
found = []
def attempt(what):
    try:
        what()
        found.append("done")
    except OSError as error:
        found.append("offline" if "offline" in str(error) else errno.errorcode[error.errno])
attempt(lambda: socket.create_connection(("192.0.2.1", 9), timeout=1))
attempt(lambda: socket.create_connection(("2001:db8::1", 9), timeout=1))
attempt(lambda: socket.getaddrinfo("example.org", 80))
attempt(lambda: socket.gethostbyname("example.org"))
attempt(lambda: socket.gethostbyname(bytearray(b"example.org")))
attempt(lambda: socket.getaddrinfo("other.localhost", 80))
attempt(lambda: socket.gethostbyaddr("192.0.2.1"))
attempt(lambda: socket.getnameinfo(("192.0.2.1", 80), 0))
for name in ("example.org", "other.localhost", b"example.org"):
    attempt(lambda: socket.socket().connect((name, 80)))
    attempt(lambda: socket.socket().bind((name, 0)))
    attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (name, 53)))
    attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, (name, 53)))
attempt(lambda: socket.socket().connect((b"192.0.2.1", 9)))
attempt(lambda: socket.socket().connect_ex((bytearray(b"192.0.2.1"), 9)))
attempt(lambda: socket.socket(socket.AF_INET6).connect(("64:ff9b::127.0.0.1", 9)))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
thread = threading.Thread(target=attempt, args=(lambda: socket.socket().connect(("192.0.2.1", 9)),))
thread.start(); thread.join()
listening = socket.create_server(("127.0.0.1", 0))
attempt(lambda: socket.create_connection(("localhost", listening.getsockname()[1])))
attempt(lambda: socket.getaddrinfo("127.0.0.1", 80))
attempt(lambda: socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST))
one, other = socket.socketpair()
attempt(lambda: one.sendmsg([b"x"]))
print(json.dumps(found))
"""
    found, _ = child(code, [], home.path)
    assert found == ["offline"] * 25 + ["done"] * 4
