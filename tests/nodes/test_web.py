"""The web kinds read pages, feeds and files, from the web and from the disk, and say why when they cannot."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.services.http import make
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.engine import Engine
from phloem.runtime.errors import InputError, PermissionNeeded, ServiceError, SettingError
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.home import Home
from phloem.runtime.kinds import NodeKind
from phloem.runtime.ports import REQUIRED, expect
from phloem.runtime.values import Blob, Document
from support.kinds import agree, family_of, find
from support.playing import box, drawn, watched
from support.web_server import Answer, WebServer, page, serving

PROSE = "The flying shuttle let one weaver make cloth wider than his arms could reach, and faster than before. "
PAGE = (
    "<html lang=en><title>How the loom was made | Cloth News</title><meta name=author content='Ada Kay'>"
    f"<nav class=menu><a href='/'>Home</a></nav><article><p>{PROSE * 6}</p><p>See <a href='/kay'>Kay</a>.</p></article>"
)
TEXT = f"{(PROSE * 6).strip()}\n\nSee Kay."
KINDS = family_of("web")


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving({}) as server:
        yield server


def call(id: str, inputs: Mapping[str, Any], folder: Path | None = None, *, allow: Iterable[str] = ()) -> Any:
    """What a web kind gives, by name, with the real http service behind it."""
    kind = find(id)
    assert set(inputs) <= set(kind.inputs)
    given = {name: inputs.get(name, port.default) for name, port in kind.inputs.items()}
    assert REQUIRED not in given.values()

    async def run() -> Any:
        services = Services({"http": lambda: make(Home.default())})
        permissions = Permissions([Grant.parse(one) for one in allow], folder=folder)
        context = Context(Scope(run="run", services=services, permissions=permissions), node="node", key="run/node")
        try:
            result = kind.function(context, **given) if kind.takes_context else kind.function(**given)
            return await result if asyncio.iscoroutine(result) else result
        finally:
            await services.close()

    return dict(zip(kind.outputs, asyncio.run(run()), strict=True))


def ask(id: str, server: WebServer, path: str = "/", **inputs: Any) -> Any:
    """What a web kind gives for an address of the server."""
    return call(id, {"url": server.url(path), **inputs}, allow=[server.grant])


# Declarations


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_a_web_kind_explains_itself(kind: NodeKind) -> None:
    assert kind.title
    assert kind.about.splitlines()[0].endswith(".")
    assert kind.examples
    for port in kind.inputs.values():
        assert port.about, f"{port.name} has no words"
        assert not port.about.endswith(".")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_the_examples_of_a_web_kind_show_what_it_does(kind: NodeKind, server: WebServer, tmp_path: Path) -> None:
    host = "https://example.org"
    for example in kind.examples:
        for name, text in example.files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        for address, text in example.pages.items():
            server.answers[address.removeprefix(host)] = Answer(text.encode(), headers={"Content-Type": "text/plain"})
        inputs = dict(example.inputs)
        if example.pages:
            inputs["url"] = server.url(inputs["url"].removeprefix(host))
        given = call(kind.id, inputs, tmp_path, allow=[server.grant])
        assert agree(dict(example.outputs), given), given
        for name, value in given.items():
            assert expect(value, kind.outputs[name]) == value


def test_the_kinds_that_files_rely_on_are_there_with_their_ports() -> None:
    fixed = {
        "web.read": ({"url"}, {"text", "title", "document"}),
        "web.fetch": ({"url", "body", "method", "headers", "timeout"}, {"text", "status", "headers", "file"}),
        "web.feed": ({"url", "limit"}, {"entries"}),
        "web.links": ({"url"}, {"links"}),
    }
    for id, (inputs, outputs) in fixed.items():
        kind = find(id)
        assert kind.name == f"{id}@1"
        assert inputs <= set(kind.inputs)
        assert outputs <= set(kind.outputs)


# web.read


def test_a_page_of_the_web_is_read(server: WebServer) -> None:
    server.answers["/"] = page(PAGE)
    given = ask("web.read", server)
    assert (given["text"], given["title"]) == (TEXT, "How the loom was made")
    assert given["document"] == Document(
        TEXT, "How the loom was made", server.url(), {"author": "Ada Kay", "language": "en"}
    )


def test_a_saved_page_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "page").write_text(PAGE, encoding="utf-8")
    given = call("web.read", {"url": "sub/page"}, tmp_path)
    assert (given["text"], given["document"].source) == (TEXT, "sub/page")


def test_all_of_a_page_can_be_read_and_links_kept(server: WebServer) -> None:
    server.answers["/"] = page(PAGE)
    assert ask("web.read", server, part="page")["text"].startswith("Home\n\nThe flying")
    assert f"See [Kay]({server.url('/kay')})." in ask("web.read", server, links=True)["text"]


def test_the_source_is_where_a_redirect_led(server: WebServer) -> None:
    server.answers["/"] = Answer(status=301, headers={"Location": "/there"})
    server.answers["/there"] = page(PAGE)
    assert ask("web.read", server)["document"].source == server.url("/there")


@pytest.mark.parametrize(
    ("type", "head", "set"),
    [
        ("text/html; charset=iso-8859-1", "", "cp1252"),
        ("text/html", "<meta http-equiv=Content-Type content='text/html; charset=windows-1251'>", "cp1251"),
        ("text/html; charset=none-such", "<meta charset=utf-8>", "utf-8"),
        ('text/html; charset="shift_jis"', "", "cp932"),
    ],
)
def test_the_character_set_is_the_one_that_a_browser_takes(server: WebServer, type: str, head: str, set: str) -> None:
    text = {"cp1252": "Größe “é”", "cp1251": "Съешь же", "utf-8": "é語", "cp932": "色は匂へ"}[set]
    server.answers["/"] = Answer(f"{head}<p>{text}".encode(set), headers={"Content-Type": type})
    assert ask("web.read", server)["text"] == text


def test_plain_text_is_given_as_it_is(server: WebServer, tmp_path: Path) -> None:
    server.answers["/"] = Answer("a <b>\n  é".encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
    assert ask("web.read", server)["text"] == "a <b>\n  é"
    (tmp_path / "a.txt").write_text("a\n  b", encoding="utf-8")
    given = call("web.read", {"url": "a.txt"}, tmp_path)
    assert (given["text"], given["title"]) == ("a\n  b", "a")


@pytest.mark.parametrize(
    ("type", "body", "names", "hint"),
    [
        ("application/pdf", b"%PDF-1.7", "application/pdf", "files.extract"),
        ("", b"%PDF-1.7", "a PDF", "files.extract"),
        ("application/json", b"{}", "application/json", "web.fetch"),
        ("image/png", b"\x89PNG", "image/png", "web.fetch"),
        ("", b"\0\1\2", "neither text nor a page", "web.fetch"),
        ("application/rss+xml", b"<rss>", "application/rss+xml", "web.feed"),
        ("text/html", b"<?xml version='1.0'?><rss version='2.0'>", "not a page", "web.feed"),
    ],
)
def test_what_is_no_page_is_named_with_the_kind_that_reads_it(
    server: WebServer, type: str, body: bytes, names: str, hint: str
) -> None:
    server.answers["/"] = Answer(body, headers={"Content-Type": type})
    with pytest.raises(InputError, match=re.escape(names)) as caught:
        ask("web.read", server)
    assert hint in str(caught.value)


def test_a_saved_pdf_is_for_files_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(InputError, match=r"a\.pdf is a PDF") as caught:
        call("web.read", {"url": "a.pdf"}, tmp_path)
    assert "files.read" in str(caught.value)


@pytest.mark.parametrize(("status", "again"), [(404, False), (403, False), (429, True), (503, True), (599, False)])
def test_a_bad_status_is_an_error_with_the_host(server: WebServer, status: int, again: bool) -> None:
    server.answers["/"] = Answer(b"no", status)
    with pytest.raises(ServiceError, match=f"localhost:{server.port} answered {status}") as caught:
        ask("web.read", server)
    assert caught.value.retryable is again


def test_a_page_without_text_is_an_error(server: WebServer) -> None:
    server.answers["/"] = page("<div id=app></div><script>draw()</script>")
    with pytest.raises(InputError, match="there is no text on"):
        ask("web.read", server)


@pytest.mark.parametrize("url", ["", "  ", "none.html", "ftp://example.org/", "file:///etc/passwd"])
def test_what_leads_nowhere_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        call("web.read", {"url": url}, tmp_path, allow=["net=*", "read=*"])


def test_only_what_was_granted_is_read(server: WebServer, tmp_path: Path) -> None:
    with pytest.raises(PermissionNeeded):
        call("web.read", {"url": server.url()})
    with pytest.raises(PermissionNeeded):
        call("web.read", {"url": "../outside.html"}, tmp_path)
    assert server.connections == 0


def test_the_scheme_may_be_in_capitals(server: WebServer) -> None:
    server.answers["/"] = page(PAGE)
    assert call("web.read", {"url": server.url().replace("http", " HTTP")}, allow=[server.grant])["text"] == TEXT


# web.article


def test_the_article_of_html_that_is_there_is_found(tmp_path: Path) -> None:
    given = call("web.article", {"html": PAGE, "url": "https://b.org/x", "links": True}, tmp_path)
    assert given["text"].endswith("See [Kay](https://b.org/kay).")
    assert given["document"].source == "https://b.org/x"
    with pytest.raises(InputError, match="there is no text"):
        call("web.article", {"html": "<p hidden>x"}, tmp_path)


# web.fetch


def test_what_is_sent_arrives(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")
    cases: list[tuple[Any, str, bytes, str]] = [
        ("é", "POST", "é".encode(), "text/plain; charset=utf-8"),
        ({"a": [1, None, "é"]}, "PUT", '{"a": [1, null, "é"]}'.encode(), "application/json"),
        ([], "PATCH", b"[]", "application/json"),
        (3, "POST", b"3", "application/json"),
        (Blob(b"\0\1", "x.bin", "image/png"), "POST", b"\0\1", "image/png"),
        (Document("text"), "DELETE", b"text", "text/plain; charset=utf-8"),
    ]
    for body, method, sent, type in cases:
        ask("web.fetch", server, body=body, method=method)
        asked = server.asked[-1]
        assert (asked.method, asked.body, asked.headers["content-type"]) == (method, sent, type)
    ask("web.fetch", server, body="a=b", method="POST", headers={"Content-Type": "x/y", "X-Number": 3})
    assert server.asked[-1].headers["content-type"] == "x/y"
    assert server.asked[-1].headers["x-number"] == "3"


def test_an_attempt_to_change_something_can_be_told_from_a_new_one(server: WebServer) -> None:
    server.answers["/"] = Answer(b"ok")
    ask("web.fetch", server, method="POST")
    ask("web.fetch", server, method="POST", headers={"idempotency-key": "mine"})
    ask("web.fetch", server)
    assert [asked.headers.get("idempotency-key") for asked in server.asked] == ["run/node", "mine", None]


def test_text_json_and_bytes_come_as_what_they_are(server: WebServer) -> None:
    server.answers["/a.json"] = Answer(b'{"a": [1]}', headers={"Content-Type": "application/problem+json", "X-A": "b"})
    given = ask("web.fetch", server, "/a.json")
    assert (given["text"], given["json"], given["status"]) == ('{"a": [1]}', {"a": [1]}, 200)
    assert given["headers"]["x-a"] == "b"
    assert given["file"] == Blob(b'{"a": [1]}', "a.json", "application/problem+json")
    server.answers["/b"] = Answer(b"\x89PNG\0", headers={"Content-Type": "image/png"})
    given = ask("web.fetch", server, "/b")
    assert (given["text"], given["json"], given["file"]) == ("", None, Blob(b"\x89PNG\0", "b", "image/png"))
    server.answers["/c"] = Answer("é".encode())
    assert ask("web.fetch", server, "/c")["text"] == "é"


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"NaN", b"[" * 400 + b"]" * 400, b"9" * 5000, b""])
def test_json_that_is_none_is_given_as_text_alone(server: WebServer, body: bytes) -> None:
    server.answers["/"] = Answer(body, headers={"Content-Type": "application/json"})
    given = ask("web.fetch", server)
    assert (given["json"], given["text"]) == (None, body.decode())


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=a.csv", "a.csv"),
        ('attachment; filename="a b.csv"', "a b.csv"),
        ("attachment; filename=\"x\"; filename*=UTF-8''%C3%A9.csv", "é.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\evil.exe"', "evil.exe"),
        ('attachment; filename=".."', ""),
        ("attachment", "d e"),
    ],
)
def test_a_file_is_called_what_the_server_calls_it_but_never_a_path(
    server: WebServer, disposition: str, name: str
) -> None:
    server.answers["/c/d%20e"] = Answer(b"x", headers={"Content-Disposition": disposition})
    assert ask("web.fetch", server, "/c/d%20e")["file"].name == name


def test_a_bad_status_is_an_answer_unless_fail_is_on(server: WebServer) -> None:
    server.answers["/"] = Answer(b"no", 404)
    assert (ask("web.fetch", server)["status"], ask("web.fetch", server)["text"]) == (404, "no")
    with pytest.raises(ServiceError, match="answered 404 Not Found"):
        ask("web.fetch", server, fail=True)


def test_a_body_that_would_get_lost_is_refused(server: WebServer) -> None:
    with pytest.raises(SettingError, match="a GET request carries no body"):
        ask("web.fetch", server, body="x")


@pytest.mark.parametrize(
    "headers", [{"X-A": "a\r\nX-B: c"}, {"X-A": ["a"]}, {"X-A": None}, {"X A": "b"}, ["X-A"], "X-A: b"]
)
def test_headers_that_cannot_be_sent_are_refused(server: WebServer, headers: Any) -> None:
    with pytest.raises((InputError, SettingError)):
        ask("web.fetch", server, headers=headers)
    assert server.asked == []


def test_an_answer_over_the_limit_is_an_error(server: WebServer) -> None:
    server.answers["/"] = Answer(b"x" * 100)
    with pytest.raises(ServiceError, match="more than 99 bytes"):
        ask("web.fetch", server, limit=99)


def test_a_server_that_is_too_slow_is_an_error(server: WebServer) -> None:
    server.answers["/"] = lambda asked: Answer((b"x" for _ in range(20)), pause=0.05)
    with pytest.raises(ServiceError, match=r"within 0\.2 seconds"):
        ask("web.fetch", server, timeout=0.2)


# web.feed


RSS = """<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
  xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>Cloth &amp; News</title>
  <item><title>One &lt;b&gt;loom&lt;/b&gt;</title><link>/one</link><guid isPermaLink='false'>1</guid><description>short</description>
    <content:encoded><![CDATA[<p>Long</p><ul><li>text</li></ul><script>x</script>]]></content:encoded>
    <dc:creator>Ada</dc:creator><category>looms</category><category>cloth</category>
    <pubDate>Tue, 03 Jun 2008 11:05:30 +0200</pubDate><enclosure url="/a.mp3" type="audio/mpeg" length="1"/></item>
  <item><title>Two</title></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Cloth</title><entry><title>One</title><id>tag:1</id>
  <link rel="alternate" href="https://b.org/one"/><updated>2020-01-02T03:04:05+01:00</updated>
  <author><name>Ada</name></author><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Long <b>text</b></p>
  </div></content></entry></feed>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"><channel>
  <title>Cloth</title></channel><item rdf:about="https://b.org/one"><title>One</title><link>https://b.org/one</link>
  <description>Text</description></item></rdf:RDF>"""
JSON_FEED = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Cloth",
        "items": [
            {
                "id": 1,
                "url": "/one",
                "title": "One",
                "content_html": "<p>Long <b>text</b></p>",
                "date_published": "2020-01-02T03:04:05Z",
                "authors": [{"name": "Ada"}, 3],
                "tags": ["looms", None],
            },
            {"id": "2", "content_text": "Plain"},
            "nonsense",
        ],
    }
)


def entries(server: WebServer, feed: str, type: str = "application/xml", **inputs: Any) -> list[Document]:
    server.answers["/feed"] = Answer(feed.encode(), headers={"Content-Type": type})
    found: list[Document] = ask("web.feed", server, "/feed", **inputs)["entries"]
    return found


def test_rss_is_read(server: WebServer) -> None:
    one, two = entries(server, RSS, "text/html")
    assert one == Document(
        "Long\n\n- text",
        "One loom",
        server.url("/one"),
        {
            "published": "2008-06-03T09:05:30Z", "author": "Ada", "categories": ["looms", "cloth"], "id": "1",
            "site": "Cloth & News", "enclosures": [server.url("/a.mp3")],
        },
    )  # fmt: skip
    assert (two.text, two.title, two.metadata) == ("Two", "Two", {"site": "Cloth & News"})


def test_atom_is_read(server: WebServer) -> None:
    (one,) = entries(server, ATOM)
    assert (one.text, one.title, one.source) == ("Long text", "One", "https://b.org/one")
    assert one.metadata == {
        "published": "2020-01-02T02:04:05Z", "updated": "2020-01-02T02:04:05Z", "author": "Ada", "id": "tag:1",
        "site": "Cloth",
    }  # fmt: skip


def test_rss_1_is_read(server: WebServer) -> None:
    (one,) = entries(server, RDF)
    assert (one.text, one.title, one.source) == ("Text", "One", "https://b.org/one")


@pytest.mark.parametrize("type", ["application/feed+json", "application/json", "text/plain"])
def test_json_feed_is_read(server: WebServer, type: str) -> None:
    one, two = entries(server, JSON_FEED, type)
    assert one == Document(
        "Long text",
        "One",
        server.url("/one"),
        {"published": "2020-01-02T03:04:05Z", "author": "Ada", "categories": ["looms"], "id": "1", "site": "Cloth"},
    )
    assert two.text == "Plain"


def test_a_feed_with_broken_markup_is_read_as_far_as_it_goes(server: WebServer) -> None:
    broken = RSS.replace("&amp;", "&").replace("</channel></rss>", "")
    assert [one.title for one in entries(server, broken)] == ["One loom", "Two"]


def test_a_long_entry_with_much_markup_is_read(server: WebServer) -> None:
    long = "&lt;p class='a'&gt;word&lt;/p&gt;" * 5000
    (one,) = entries(
        server, f"<rss version='2.0'><channel><item><description>{long}</description></item></channel></rss>"
    )
    assert one.text.count("word") == 5000


def test_only_as_many_entries_are_given_as_were_asked_for(server: WebServer) -> None:
    assert [one.title for one in entries(server, RSS, limit=1)] == ["One loom"]


def test_the_feed_of_a_page_is_found(server: WebServer) -> None:
    server.answers["/"] = page("<link rel=alternate type='application/rss+xml' href='feed'><p>Home")
    server.answers["/feed"] = Answer(RSS.encode(), headers={"Content-Type": "application/rss+xml"})
    given = ask("web.feed", server)
    assert (len(given["entries"]), given["title"]) == (2, "Cloth & News")
    server.answers["/"] = page("<p>Home")
    with pytest.raises(InputError, match="offers no feed"):
        ask("web.feed", server)


@pytest.mark.parametrize(
    "content", ["", "plain", "<html><p>x", "{}", '{"version": 1, "items": []}', "[]", "<a/>", "\0"]
)
def test_what_is_no_feed_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "feed.xml").write_text(content, encoding="utf-8")
    with pytest.raises(InputError):
        call("web.feed", {"url": "feed.xml"}, tmp_path)


def test_a_feed_is_read_as_text_never_as_the_name_of_a_file_or_an_address(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "real.xml").write_text(RSS, encoding="utf-8")
    server.answers["/"] = Answer(RSS.encode())
    for content in (str(tmp_path / "real.xml"), server.url()):
        (tmp_path / "feed.xml").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="is not a feed"):
            call("web.feed", {"url": "feed.xml"}, tmp_path)
    assert server.asked == []


LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10 if n else 'lol'}'>" for n in range(12))


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        f"<!DOCTYPE rss [{LAUGHS}]><rss version='2.0'><channel><title>&l11;</title><item/></channel></rss>",
        "<rss " + " ".join(f"a{n}='x'" for n in range(300_000)) + "><channel><item/></channel></rss>",
        "<rss " + " ".join(f"a{n}='>'" for n in range(100_000)) + "><channel><item/></channel></rss>",
        "<rss version='2.0'><channel>" + "<a>" * 50_000,
        "<rss version='2.0'><channel>" + "<item>" * 20_000,
        "<rss version='2.0'><channel><item><description>" + "&lt;b&gt;" * 100_000,
        "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><rss version='2.0'><channel><item><title>&x;</title></item>",
    ],
)
def test_a_feed_made_to_hurt_does_not(tmp_path: Path, content: str) -> None:
    (tmp_path / "feed.xml").write_text(content, encoding="utf-8")
    began = time.monotonic()
    try:
        given = call("web.feed", {"url": "feed.xml"}, tmp_path)
        assert "root:" not in str(given)
        assert len(str(given)) < 1_000_000
    except InputError:
        pass
    assert time.monotonic() - began < 20


# web.links


LINKS = "<a href='/a#x'>A</a><a href='https://b.org/b?c=d'>B</a><a href='/a'>again</a><a href='c.pdf'>C</a>"


def test_the_links_of_a_page_are_gathered(server: WebServer) -> None:
    server.answers["/x/"] = page(LINKS)
    given = ask("web.links", server, "/x/")
    assert given["links"] == [server.url("/a"), "https://b.org/b?c=d", server.url("/x/c.pdf")]
    assert given["details"][1] == {"url": "https://b.org/b?c=d", "text": "B"}
    assert ask("web.links", server, "/x/", same_site=True)["links"] == [server.url("/a"), server.url("/x/c.pdf")]
    assert ask("web.links", server, "/x/", pattern=r"\.pdf$")["links"] == [server.url("/x/c.pdf")]
    assert ask("web.links", server, "/x/", limit=1)["links"] == [server.url("/a")]


def test_the_links_of_a_saved_page_are_those_with_a_host(tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text(LINKS, encoding="utf-8")
    assert call("web.links", {"url": "p.html"}, tmp_path)["links"] == ["https://b.org/b?c=d"]
    with pytest.raises(InputError, match="does not say which site"):
        call("web.links", {"url": "p.html", "same_site": True}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["(", "(a+)+$"])
def test_a_pattern_that_is_none_or_takes_too_long_is_refused(pattern: str, tmp_path: Path) -> None:
    page = f"<a href='https://b.org/{'a' * 3000}!'>x</a>"
    with pytest.raises(SettingError):
        call("web.links", {"html": page, "pattern": pattern}, tmp_path)


@pytest.mark.parametrize(
    ("id", "wrong"),
    [
        ("web.read", {"part": "pages"}), ("web.fetch", {"method": "get"}), ("web.fetch", {"limit": 0}),
        ("web.feed", {"limit": 1.5}), ("web.links", {"limit": -1}),
    ],
)  # fmt: skip
def test_settings_that_came_by_a_link_are_looked_at(server: WebServer, id: str, wrong: dict[str, Any]) -> None:
    server.answers["/"] = page(PAGE)
    with pytest.raises(SettingError, match=next(iter(wrong))):
        ask(id, server, **wrong)


def test_without_an_address_or_html_there_is_nothing_to_gather(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no address"):
        call("web.links", {}, tmp_path)


# What is used again


def runs(home: Home, server: WebServer, **set: Any) -> int:
    """How often the server is asked when one node runs twice."""
    kind = str(set.pop("kind"))
    engine = Engine(home, catalogue=Catalogue(KINDS), services=Services({"http": lambda: make(home)}))
    workflow = drawn({"n": box(kind, set={"url": server.url(), **set})}, out="n.text")
    before = len(server.asked)

    async def twice() -> None:
        for _ in range(2):
            played = await watched(engine, workflow, allow=[server.grant])
            assert played.result.status == "done", played.result.failures
        await engine.close()

    asyncio.run(twice())
    return len(server.asked) - before


def test_a_page_is_fetched_anew_unless_it_may_be_used_again(home: Home, server: WebServer) -> None:
    server.answers["/"] = page(PAGE)
    assert runs(home, server, kind="web.read") == 2
    assert runs(home, server, kind="web.read", fresh_for=1e9) == 1
    assert runs(home, server, kind="web.fetch", fresh_for=1e9) == 1
    assert runs(home, server, kind="web.fetch", fresh_for=1e9, method="POST") == 2


@pytest.mark.parametrize("kind", ["web.read", "web.fetch"])
def test_what_was_fetched_with_a_grant_is_not_for_a_run_without(home: Home, server: WebServer, kind: str) -> None:
    """Though it lies in the cache, where the address is known only when the node is looked up there."""
    server.answers["/"] = page(PAGE)
    catalogue = Catalogue(KINDS + family_of("text"))
    engine = Engine(home, catalogue=catalogue, services=Services({"http": lambda: make(home)}))
    address = box("text.join", set={"texts": [server.url()]})
    workflow = drawn({"a": address, "n": box(kind, {"url": "a.text"}, set={"fresh_for": 1e9})}, out="n.text")

    async def both() -> None:
        assert (await watched(engine, workflow, allow=[server.grant])).result.status == "done"
        before = len(server.asked)
        refused = (await watched(engine, workflow)).result
        assert isinstance(refused.failures["n"], PermissionNeeded)
        assert len(server.asked) == before
        await engine.close()

    asyncio.run(both())


def test_a_saved_page_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    permissions = Permissions(folder=tmp_path)
    context = Context(Scope(run="run", services=Services({}), permissions=permissions), node="node")

    def stamp() -> str | None:
        made = find("web.read").stamp
        assert made is not None
        stamped: str | None = asyncio.run(made(context, {"url": "a.html"}))
        return stamped

    assert stamp() is None
    (tmp_path / "a.html").write_text("a", encoding="utf-8")
    first = stamp()
    assert first
    assert stamp() == first
    (tmp_path / "a.html").write_text("b", encoding="utf-8")
    assert stamp() != first
