"""Web kinds: read an article, fetch anything, follow feeds, gather links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from phloem.nodes import addresses
from phloem.nodes.addresses import Found, load
from phloem.nodes.checks import one_of, whole
from phloem.nodes.webpages import Reading, links_on, read_found
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Setting, node
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json
from phloem.runtime.values import Blob, Document

_PAGE = "text/html, application/xhtml+xml, text/*;q=0.9, */*;q=0.5"
_FEED = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, text/html;q=0.8"

Address = Annotated[str, In("A web address, or the path of a saved page", path="url")]
Part = Annotated[Literal["article", "page"], Setting("The article alone, or all the text on the page")]
KeepLinks = Annotated[bool, Setting("Keep where links lead, as `[text](address)`")]
Timeout = Annotated[float, Setting("Give up after this many seconds", ge=0.1, le=3600)]
FreshFor = Annotated[float, Setting("Seconds for which what was fetched may be used again", ge=0)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

_LOOMS = (
    "<html lang=en><head><title>Looms | Cloth</title><meta name=author content='Ada Kay'></head><body>"
    "<nav><a href=/>Home</a></nav><article><h2>Two kinds</h2><p>Looms weave cloth, by hand or by power, and "
    "have done so for a very long time.</p><ul><li>Hand looms</li><li>Power looms</li></ul></article></body></html>"
)
_LOOMS_TEXT = (
    "## Two kinds\n\nLooms weave cloth, by hand or by power, and have done so for a very long time.\n\n"
    "- Hand looms\n- Power looms"
)


@node(
    "web.read",
    "Read a web page",
    needs=["net:url", "read:url"],
    effect="reads",
    stamp=addresses.stamp,
    examples=[
        Example(
            {"url": "looms.html"},
            {
                "text": _LOOMS_TEXT,
                "title": "Looms | Cloth",
                "document": Document(
                    _LOOMS_TEXT,
                    title="Looms | Cloth",
                    source="looms.html",
                    metadata={"author": "Ada Kay", "language": "en"},
                ),
            },
            files={"looms.html": _LOOMS},
        )
    ],
)
async def read(
    ctx: Context,
    url: Address,
    part: Part = "article",
    links: KeepLinks = False,
    timeout: Timeout = 30.0,
    fresh_for: FreshFor = 0.0,
) -> Reading:
    """Read the article on a web page, without menus, advertisements and comments.

    Paragraphs are kept apart, list items begin with a dash or their number, headings with number signs. A page
    on which no article can be told is given with all its text. The document carries the title, the address, and in
    its metadata what the page says of its author, published, site, language and description.

    A plain text at the address is given as it is. The page is fetched anew in each run, unless fresh_for allows
    to use it again for some time. Pages that are drawn by scripts show nothing here.
    """
    found = await load(ctx, url, timeout, _PAGE)
    return await ctx.in_thread(read_found, found, part, links)


@node(
    "web.article",
    "Article of a page",
    blocking=True,
    examples=[
        Example(
            {"html": _LOOMS},
            {
                "text": _LOOMS_TEXT,
                "title": "Looms | Cloth",
                "document": Document(
                    _LOOMS_TEXT, title="Looms | Cloth", metadata={"author": "Ada Kay", "language": "en"}
                ),
            },
        )
    ],
)
def article(
    html: Annotated[str, In("The HTML of a page")],
    url: Annotated[str, In("The address that the page came from")] = "",
    part: Part = "article",
    links: KeepLinks = False,
) -> Reading:
    """Find the article in the HTML of a page that is already there, as web.read does with one it fetches.

    For pages that need more to be fetched: a browser, a password, a header of their own.
    """
    return read_found(Found.of_html(html, url), part, links)


class Fetched(NamedTuple):
    """What a server answered."""

    text: str
    status: int
    headers: dict[str, str]
    file: Blob
    json: Json


async def _fetch_stamp(ctx: Context, inputs: Mapping[str, Any]) -> str | None:
    return await addresses.stamp(ctx, inputs) if inputs.get("method", "GET") in ("GET", "HEAD") else None


@node(
    "web.fetch",
    "Fetch from the web",
    needs=["net:url"],
    effect="reads",
    stamp=_fetch_stamp,
    examples=[
        Example(
            {"url": "https://example.org/looms.txt"},
            {
                "text": "Looms weave.",
                "status": 200,
                "headers": ...,
                "file": ...,
                "json": None,
            },
            pages={"https://example.org/looms.txt": "Looms weave."},
        )
    ],
)
async def fetch(
    ctx: Context,
    url: Annotated[str, In("A web address")],
    body: Annotated[Any, In("What to send: a text, a file, or anything else as JSON")] = None,
    method: Annotated[Method, Setting("What to ask of the server")] = "GET",
    headers: Annotated[dict[str, Any] | None, Setting("Headers to send, by name")] = None,
    timeout: Timeout = 30.0,
    limit: Annotated[int, Setting("The most bytes to take", ge=1, le=1_000_000_000)] = 20_000_000,
    fail: Annotated[bool, Setting("Fail when the server answers with an error (a status of 400 or more)")] = False,
    fresh_for: FreshFor = 0.0,
) -> Fetched:
    """Send a request to a web server and give its whole answer. Redirects are followed.

    The text is there when the answer is text, and json when it is JSON; the file always has the bytes as they
    came. Names of headers come in lower case. A server that answers with an error is an answer like another,
    unless fail is on: look at the status.

    A text is sent as plain text, a file with its own type, everything else as JSON, unless a Content-Type among
    the headers says otherwise. Only GET and HEAD are ever used again from an earlier run, and only within
    fresh_for.
    """
    from phloem.nodes.exchange import answered, as_body, as_headers

    most = whole("limit", limit, least=1, most=1_000_000_000)
    one_of("method", method, get_args(Method))
    sent = as_headers(headers)
    data, media_type = as_body(body)
    if data is not None and method in ("GET", "HEAD"):
        raise SettingError(f"a {method} request carries no body", hint="Set method to POST, PUT or PATCH.")
    if media_type:
        sent.setdefault("content-type", media_type)
    if method in ("POST", "PATCH") and ctx.key:
        sent.setdefault("idempotency-key", ctx.key)
    answer = await ctx.http.request(
        addresses.tidied(url), method=method, headers=sent, body=data, timeout=timeout, limit=most
    )
    if fail:
        addresses.check_status(answer)
    return Fetched(*await ctx.in_thread(answered, answer))


class Entries(NamedTuple):
    """What a feed holds."""

    entries: list[Document]
    links: list[str]
    title: str


_FEED_FILE = (
    "<rss version='2.0'><channel><title>Cloth news</title><item><title>A new loom</title>"
    "<link>https://example.org/loom</link><description>&lt;p&gt;It &lt;b&gt;weaves&lt;/b&gt;.&lt;/p&gt;</description>"
    "<pubDate>Tue, 03 Jun 2008 11:05:30 GMT</pubDate></item></channel></rss>"
)


@node(
    "web.feed",
    "Read a feed",
    needs=["net:url", "read:url"],
    effect="reads",
    stamp=addresses.stamp,
    examples=[
        Example(
            {"url": "news.xml"},
            {
                "entries": [
                    Document(
                        "It weaves.",
                        title="A new loom",
                        source="https://example.org/loom",
                        metadata={"published": "2008-06-03T11:05:30Z", "site": "Cloth news"},
                    )
                ],
                "links": ["https://example.org/loom"],
                "title": "Cloth news",
            },
            files={"news.xml": _FEED_FILE},
        )
    ],
)
async def feed(
    ctx: Context,
    url: Annotated[str, In("The address of a feed or of a page that has one, or the path of a saved feed", path="url")],
    limit: Annotated[int, Setting("The most entries to give", ge=1, le=1000)] = 20,
    timeout: Timeout = 30.0,
    fresh_for: FreshFor = 0.0,
) -> Entries:
    """Read the entries of a feed: RSS, Atom or JSON Feed, in its order, which mostly is the newest first.

    An entry is a document: its text without markup, its title, the address where it leads, and in its
    metadata what the feed tells of published (ISO 8601), author, categories, site (the title of the feed) and
    enclosures (sounds and the like). Given a page, the first feed that it offers is read.

    links has the addresses where the entries lead. Many feeds have only the beginning of each text: give links to
    web.read for the rest.
    """
    from phloem.nodes.articles.links import feeds_of
    from phloem.nodes.feeds import read_feed

    most = whole("limit", limit, least=1, most=1000)
    found = await load(ctx, url, timeout, _FEED)
    if found.content == "page" and found.url:
        offered = await ctx.in_thread(lambda: feeds_of(found.text(), found.url))
        if not offered:
            raise InputError(f"{found.source} is a page that offers no feed", hint="web.read reads pages.")
        found = await load(ctx, offered[0], timeout, _FEED)
    result = await ctx.in_thread(read_feed, found.data, found.charset, address=found.source, limit=most)
    return Entries(result.entries, [one.source for one in result.entries if one.source], result.title)


class Links(NamedTuple):
    """Where a page leads."""

    links: list[str]
    details: list[Json]


async def _links_stamp(ctx: Context, inputs: Mapping[str, Any]) -> str | None:
    return "html" if inputs.get("html") else await addresses.stamp(ctx, inputs)


@node(
    "web.links",
    "Links of a page",
    needs=["net:url", "read:url"],
    effect="reads",
    stamp=_links_stamp,
    examples=[
        Example(
            {"html": "<a href='/looms#x'>Hand looms</a> <a href='mailto:a@b.c'>Write</a>", "base": "https://b.org/a"},
            {
                "links": ["https://b.org/looms"],
                "details": [{"url": "https://b.org/looms", "text": "Hand looms"}],
            },
        )
    ],
)
async def links(
    ctx: Context,
    url: Address = "",
    html: Annotated[str, In("The HTML of the page instead, if it is there already")] = "",
    base: Annotated[str, In("The address that this HTML came from")] = "",
    same_site: Annotated[bool, Setting("Only links to the same host")] = False,
    pattern: Annotated[str, Setting("Only links whose address has a match for this regular expression")] = "",
    limit: Annotated[int, Setting("The most links to give", ge=1, le=100_000)] = 1000,
    timeout: Timeout = 30.0,
    fresh_for: FreshFor = 0.0,
) -> Links:
    """Gather the links of a page to other pages, in its order, each address once.

    Addresses are whole, without the place within the page (what follows #); links to mail, scripts and the like
    are left out. details has the address and the text of each, as objects with url and text. On a saved page, links
    without a host are only given if the page says where it is from.
    """
    most = whole("limit", limit, least=1, most=100_000)
    found = Found.of_html(html, base) if html else await load(ctx, url, timeout, _PAGE)
    chosen = await ctx.in_thread(links_on, found, same_site, pattern, most)
    return Links([link.url for link in chosen], [{"url": link.url, "text": link.text} for link in chosen])
