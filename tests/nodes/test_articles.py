"""Articles are found on pages as readers see them, laid out for reading, whatever the markup."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.nodes.articles.article import page_text, read_article
from phloem.nodes.articles.charset import decode
from phloem.nodes.articles.links import Link, feeds_of, links_of, same_site
from phloem.nodes.articles.parse import MAX_ELEMENTS, parse_page
from phloem.runtime.errors import InputError

PROSE = (
    "The flying shuttle let one weaver make cloth wider than his arms could reach, and faster than before, "
    "which changed the trade for good. Spinners, who made the yarn, could no longer keep up with the weavers, "
    "and so the next machines were made for them."
)
STORY = f"<p>{PROSE}</p><p>Second. {PROSE}</p><p>Third. {PROSE}</p>"
STORY_TEXT = f"{PROSE}\n\nSecond. {PROSE}\n\nThird. {PROSE}"


def text_of(html: str, **options: str | bool) -> str:
    return read_article(html, **options).text  # type: ignore[arg-type]


# What is the article


@pytest.mark.parametrize(
    "around",
    [
        "<div class='sidebar'><p>{}</p></div>", "<footer><p>{}</p></footer>", "<aside><p>{}</p></aside>",
        "<ul class='menu'><li><a href='/'>{}</a></li></ul>", "<div id='comments'><p>{}</p></div>",
        "<div role='navigation'><p>{}</p></div>", "<div hidden><p>{}</p></div>", "<script>{}</script>",
        "<div style='display : none'><p>{}</p></div>", "<p aria-hidden='true'>{}</p>", "<style>{}</style>",
        "<form><input><input><label>{}</label></form>", "<!-- {} -->", "<template><p>{}</p></template>",
        "<div class='share'><p>{}</p><p>Or this</p></div>", "<button>{}</button>", "<noscript>{}</noscript>",
        "<div aria-modal=true role=dialog>{}</div>", "<svg><text>{}</text></svg>",
    ],
)  # fmt: skip
def test_what_surrounds_an_article_is_left_out(around: str) -> None:
    page = f"<body><article>{STORY}{around.format('Not this')}</article></body>"
    assert text_of(page) == STORY_TEXT


def test_links_beside_an_article_are_left_out_and_links_in_it_are_kept() -> None:
    menu = "".join(f"<div><a href='/{n}'>Section number {n}</a></div>" for n in range(20))
    page = f"<div><div>{menu}</div><div>{STORY}<p>See <a href='/x'>the inventor</a>, {PROSE}</p></div></div>"
    text = text_of(page)
    assert "Section number" not in text
    assert "See the inventor, The flying" in text


def test_parts_of_an_article_that_lie_side_by_side_are_joined() -> None:
    parts = "".join(f"<div class='part'><p>Part {n}. {PROSE}</p><p>{PROSE}</p></div>" for n in range(4))
    text = text_of(f"<body><div>{parts}</div><div class='footer'>Not this</div></body>")
    assert [f"Part {n}." in text for n in range(4)] == [True] * 4
    assert "Not this" not in text


def test_an_article_in_a_box_with_an_unlikely_name_is_still_found() -> None:
    assert text_of(f"<body><div class='sidebar'>{STORY}</div></body>") == STORY_TEXT


def test_text_between_line_breaks_becomes_paragraphs() -> None:
    assert text_of(f"<body><div>{PROSE}<br><br> Second. {PROSE}<br>\n<br>Third. {PROSE}</div>") == STORY_TEXT


def test_a_data_table_is_kept_and_a_table_of_links_is_not() -> None:
    data = "<table><thead><tr><th>Loom</th><th>Year</th></tr></thead><tr><td>Jacquard</td><td>1804</td></tr></table>"
    links = "<table><tr>" + "<td><a href='/'>Elsewhere</a></td>" * 8 + "</tr></table>"
    text = text_of(f"<article>{STORY}{data}{links}</article>")
    assert "Loom | Year\nJacquard | 1804" in text
    assert "Elsewhere" not in text


def test_a_list_of_other_articles_beside_the_article_is_left_out() -> None:
    teasers = "".join(f"<li><h3><a href='/{n}'>Other {n}</a></h3><p>{PROSE}</p></li>" for n in range(12))
    beside = f"<div><div><ul>{teasers}</ul></div></div>"
    text = text_of(f"<div id=main class=content><div><div class=body>{STORY * 3}</div></div>{beside}</div>")
    assert text == "\n\n".join([STORY_TEXT] * 3)


def test_a_page_that_is_a_list_of_articles_keeps_it() -> None:
    teasers = "".join(f"<li><h3><a href='/{n}'>Other {n}</a></h3><p>{PROSE}</p></li>" for n in range(6))
    assert all(f"Other {n}" in text_of(f"<body><ul>{teasers}</ul></body>") for n in range(6))


def test_the_heading_that_repeats_the_title_is_left_out_once() -> None:
    title = "Looms of the north"
    page = f"<title>{title}</title><article><h1>{title}</h1>{STORY}<h2>Later</h2>{STORY}</article>"
    assert text_of(page) == f"{STORY_TEXT}\n\n## Later\n\n{STORY_TEXT}"


def test_a_page_without_an_article_is_given_whole() -> None:
    assert text_of("<body><a href='/'>Home</a> <a href='/b'>Looms</a></body>") == "Home Looms"
    assert text_of("<body><aside>Looms</aside></body>") == "Looms"


@pytest.mark.parametrize(
    "html", ["", " ", "<html></html>", "<p hidden>x</p>", "\0", "<script>x</script>", "<title>x</title>"]
)
def test_a_page_with_nothing_to_see_has_no_text(html: str) -> None:
    assert text_of(html) == ""


def test_all_the_text_of_a_page_can_be_had() -> None:
    page = f"<title>T</title><nav><a href='/'>Home</a></nav><p>{PROSE}</p><p hidden>no</p><footer>The end</footer>"
    assert page_text(page).text == f"Home\n\n{PROSE}\n\nThe end"


def test_broken_markup_is_read_as_a_browser_reads_it() -> None:
    page = "<p>one<p>two<b>three</p>four</b><table>five<tr><td>six"
    assert page_text(page).text == "one\n\ntwothree\n\nfourfive\n\nsix"


# Facts


def facts_of(head: str, body: str = STORY) -> dict[str, str]:
    facts = read_article(f"<head>{head}</head><body><article>{body}</article></body>").facts
    return {"title": facts.title, **facts.metadata}


def test_the_facts_in_meta_elements_are_found() -> None:
    head = """
        <title>ignored</title><meta property="og:title" content="Looms"><meta name="author" content="Ada  Kay">
        <meta property="article:published_time" content="2020-01-02"><meta property="og:site_name" content="Cloth">
        <meta name="description" content="About looms"><link rel="canonical" href="https://b.org/looms">
    """
    assert facts_of(head) == {
        "title": "Looms", "author": "Ada Kay", "published": "2020-01-02", "site": "Cloth",
        "description": "About looms", "url": "https://b.org/looms",
    }  # fmt: skip


def test_the_facts_in_json_ld_are_found() -> None:
    data = """{"@context": "https://schema.org", "@graph": [{"@type": "WebSite"}, {"@type": "NewsArticle",
        "headline": "Looms", "author": [{"name": "Ada"}, {"name": "Bo"}], "datePublished": "2020-01-02",
        "publisher": {"name": "Cloth"}, "description": "About"}]}"""
    assert facts_of(f'<script type="application/ld+json">{data}</script>') == {
        "title": "Looms", "author": "Ada, Bo", "published": "2020-01-02", "site": "Cloth", "description": "About",
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        "", "{", "[" * 100_000, "null", "[1, {}]", '{"@context": 3, "@type": ["x"]}',
        '{"@type": "Article", "author": 3, "name": []}',
    ],
)  # fmt: skip
def test_json_ld_that_makes_no_sense_is_passed_over(data: str) -> None:
    assert facts_of(f'<title>T</title><script type="application/ld+json">{data}</script>')["title"] == "T"


@pytest.mark.parametrize(
    "byline", ["<p class=byline>By Ada Kay</p>", "<a rel=author>By Ada Kay</a>", "<p itemprop=author>By Ada Kay</p>"]
)
def test_the_author_named_in_the_text_is_found_and_left_out_of_it(byline: str) -> None:
    article = read_article(f"<article>{byline}{STORY}</article>")
    assert (article.facts.author, article.text) == ("By Ada Kay", STORY_TEXT)


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("How the loom was made | Cloth News", "How the loom was made"),
        ("Cloth: How the loom was made", "How the loom was made"),
        ("Looms | Cloth", "Looms | Cloth"),
        ("How the loom was made in 1785", "How the loom was made in 1785"),
        ("Self-acting mules and their makers", "Self-acting mules and their makers"),
        ("", ""),
    ],
)
def test_the_name_of_the_site_is_taken_off_the_title(title: str, found: str) -> None:
    assert facts_of(f"<title>{title}</title>")["title"] == found


def test_the_language_is_found() -> None:
    assert read_article(f"<html lang='de-AT'>{STORY}").facts.language == "de-AT"


# Layout


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<div>a</div>b<span>c</span>", "a\n\nbc"),
        ("a<br>b<br><br>c", "a\nb\nc"),
        ("<p>a\n   b\t<b> c</b>d</p>", "a b cd"),
        ("<h1>a</h1><h3>b</h3>c", "# a\n\n### b\n\nc"),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>e", "- a\n- b\n  - c\n- d\n\ne"),
        ("<ol><li>a<li><p>b</p></ol>", "1. a\n2. b"),
        ("<ul><li></li><li>a</li></ul>", "- a"),
        ("x<pre>\n\na\n  b\n\n\n<b>c</b>\n\n</pre>d", "x\n\na\n  b\n\n\nc\n\nd"),
        ("<table><tr><td>a<td>b<tr><td>c<td>d</table>", "a | b\nc | d"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td></tr></table>", "a b | c"),
        ("<table><tr><td><ul><li>a</ul><td>b</table>", "- a\n\nb"),
        ("<table><tr><td>a</table>", "a"),
        ("<dl><dt>a<dd>b</dl>", "a\nb"),
        ("<blockquote>a</blockquote><hr>b", "a\n\nb"),
        ("<figure><img alt=x><figcaption>a</figcaption></figure>b", "a\n\nb"),
        ("<select><option>x</select>a<textarea>y</textarea>", "a"),
        ("a &lt; b &amp;&nbsp;c", "a < b & c"),
        ("a < b <3", "a < b <3"),
    ],
)  # fmt: skip
def test_a_page_is_laid_out_for_reading(html: str, text: str) -> None:
    assert page_text(html).text == text


def test_links_keep_where_they_lead_if_that_is_wanted() -> None:
    page = (
        "<base href='https://b.org/c/'><p>See <a href='d?e=f'> the <b>loom</b></a>, <a href='#x'>below</a>, "
        "<a href='mailto:a@b'>write</a>, <a href='/g'><img></a>.</p>"
    )
    assert page_text(page, links=True).text == "See [the loom](https://b.org/c/d?e=f), below, write, ."
    assert page_text(page).text == "See the loom, below, write, ."
    page = (
        "<ul><li><a href='http://a.org'>a</a> b</ul><h2><a href='http://b.org'><p>c</p></a></h2><a href='http://c.org'>"
    )
    assert page_text(page, links=True).text == "- [a](http://a.org) b\n\n## [c](http://b.org)"


# Links and feeds


def test_the_links_of_a_page_are_whole_and_each_is_there_once() -> None:
    page = (
        "<a href='b'>B</a><a href=' /c#part '>C</a><a href='b#x'>again</a><a href='javascript:x'>no</a><a>no</a>"
        "<a href='//d.org'><img alt='D'></a><area href='e' alt='E'><a href='http://[bad'>no</a><a href='f'></a>"
    )
    assert links_of(page, "https://a.org/a/") == (
        "https://a.org/a/",
        [
            Link("https://a.org/a/b", "B"), Link("https://a.org/c", "C"), Link("https://d.org", "D"),
            Link("https://a.org/a/e", "E"), Link("https://a.org/a/f", ""),
        ],
    )  # fmt: skip


def test_the_links_of_a_saved_page_need_to_know_where_it_is_from() -> None:
    link = "<a href='b'>B</a><a href='https://c.org/'>C</a>"
    assert [one.url for one in links_of(link)[1]] == ["https://c.org/"]
    assert [one.url for one in links_of(f"<base href='https://a.org/'>{link}")[1]] == [
        "https://a.org/b",
        "https://c.org/",
    ]
    page = f"<link rel=canonical href='https://a.org/x/y'>{link}"
    assert [one.url for one in links_of(page)[1]] == ["https://a.org/x/b", "https://c.org/"]


def test_addresses_are_of_one_site_with_or_without_www() -> None:
    assert same_site("https://www.a.org/b", "http://a.org:80/")
    assert not same_site("https://a.org", "https://b.a.org")
    assert not same_site("", "")


def test_the_feeds_that_a_page_offers_are_found() -> None:
    page = (
        "<link rel=alternate type='application/rss+xml' href='/feed'><link rel=alternate hreflang=de href='/de'>"
        "<link rel='alternate home' type='application/feed+json' href='j'><link rel=stylesheet href='s'>"
    )
    assert feeds_of(page, "https://a.org/b/") == ["https://a.org/feed", "https://a.org/b/j"]


# Character sets


@pytest.mark.parametrize(
    ("data", "declared", "text"),
    [
        ("é".encode(), "", "é"),
        ("é".encode("cp1252"), "iso-8859-1", "é"),
        ("“é”".encode("cp1252"), "latin1", "“é”"),
        (b"\xef\xbb\xbf\xc3\xa9", "latin1", "é"),
        ("é".encode("utf-16"), "utf-8", "é"),
        (b"<meta charset=windows-1251>\xe4", "", "<meta charset=windows-1251>д"),
        (b"<meta charset=utf-16>\xc3\xa9", "", "<meta charset=utf-16>é"),
        (b"<meta charset=gb2312>\xc3\xa9", "", "<meta charset=gb2312>é"),
        (b"<meta charset=gb2312>\xc3\xa9", "latin1", "<meta charset=gb2312>Ã©"),
        (b'<meta charset=iso-2022-jp>\x1b$B$"\x1b(B', "", "<meta charset=iso-2022-jp>あ"),
        (b'<?xml version="1.0" encoding="koi8-r"?>\xc4', "", '<?xml version="1.0" encoding="koi8-r"?>д'),
        ("語".encode("shift_jis"), "x-sjis", "語"),
        ("é".encode(), "no-such-set", "é"),
        ("é".encode(), "base64", "é"),
        (b"+AOk-", "utf-7", "+AOk-"),
        (b"\xff\xc3\xa9", "utf-8", "\ufffdé"),
        (b"\xc3\xa9abc\xc3", "", "éabc\ufffd"),
        (b"", "", ""),
    ],
)
def test_bytes_are_read_in_the_set_that_a_browser_would_take(data: bytes, declared: str, text: str) -> None:
    assert decode(data, declared) == text


@pytest.mark.parametrize(
    ("set", "text"),
    [
        ("cp1252", "L'été, où les œuvres d'élèves à côté du château, ça coûte 5 €."),
        ("cp1252", "Über die Straße gehen größere Mädchen und Jungen, fünf Kühe."),
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю."),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy. Všichni lidé rodí se svobodní."),
        ("cp932", "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
        ("gb18030", "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。"),
        ("euc_kr", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
    ],
)
def test_a_set_that_nobody_named_is_told_by_its_look(set: str, text: str) -> None:
    page = f"<html><body class='x'><p>{text}</p></body></html>"
    assert decode(page.encode(set)) == page


def test_a_meta_element_in_plain_text_says_nothing() -> None:
    data = "<meta charset=koi8-r> é".encode()
    assert decode(data, markup=False) == "<meta charset=koi8-r> é"


# Hostile pages


WORDS = "lorem ipsum, dolor sit amet. "
HOSTILE = {
    "nested boxes": "<div>" * 100_000 + "x",
    "nested boxes with text": f"<div>{WORDS}" * 5_000,
    "nested lists": f"<ul><li>{WORDS}" * 8_000,
    "nested tables": f"<table><tr><td>{WORDS}" * 2_000,
    "nested headings": f"<title>{WORDS}</title>" + f"<h1><div>{WORDS}" * 5_000,
    "unclosed bold": "<p>" + "".join(f"<b id={n}>" for n in range(5_000)) + "<p>x" * 8_000,
    "bold closed in comments": "".join(f"<b id={n}><!--</b>-->" for n in range(5_000)) + "<p>x" * 8_000,
    "bold with odd attributes": "".join(f"<b id='<{n}>'>" for n in range(5_000)) + "<p>x" * 8_000,
    "stray brackets": ("x" * 100 + "< ") * 8_000,
    "line breaks": "<br>" * 50_000,
    "misnested": "<a><p>" * 5_000 + "</b>" * 2_000,
    "long names": f"<div class='{'comment ' * 200_000}'>{WORDS}</div>",
    "many attributes": "<div " + " ".join(f"a{n}=1" for n in range(50_000)) + f">{WORDS}",
    "entities": "&amp;&notit;" * 200_000,
    "ins": "<div><ins>x" * 5_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_made_to_hurt_is_read_in_seconds(name: str) -> None:
    began = time.monotonic()
    text_of(HOSTILE[name], links=True, base="http://a.org/")
    links_of(HOSTILE[name], "http://a.org/")
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_page_of_twenty_megabytes_is_read_in_seconds() -> None:
    paragraph = f"<p>{WORDS * 100}</p>\n"
    page = paragraph * (20_000_000 // len(paragraph))
    began = time.monotonic()
    assert len(text_of(page)) > 19_000_000
    assert time.monotonic() - began < 60


def test_a_page_of_too_many_elements_is_refused() -> None:
    with pytest.raises(InputError, match="more than 300,000 elements"):
        parse_page("<i>" * (MAX_ELEMENTS + 1))


def test_depth_has_an_end_and_nothing_below_it_is_lost() -> None:
    page = parse_page("".join(f"<div>{n} " for n in range(2000)))
    depth, element = 0, page.root
    while element.elements:
        depth, element = depth + 1, element.elements[-1]
    assert depth <= 513
    assert "".join(page.body.texts()).split() == [str(n) for n in range(2000)]


TAGS = st.sampled_from([
    "<p>", "</p>", "<div class=article>", "<div class=comment>", "</div>", "<a href=/x>", "</a>", "<table>", "<tr>",
    "<td>", "</table>", "<ul>", "<ol>", "<li>", "</ul>", "<br>", "<h1>", "</h1>", "<pre>", "</pre>", "<form>", "<img>",
    "<input>", "<b>", "</b>", "<svg>", "</svg>", "<math>", "<title>", "</title>", "<head>", "<body>", "<select>", "<ins>",
    "<option>", "<template>", "<!--", "-->", "<script>", "</script>", "<noscript>", "<iframe>", "<base href=x>", "<dl>",
    "<figure>", "<blockquote>", "<section>", "<article>", "<footer>", "</html>", "<frameset>", "<plaintext>", "&lt;",
    "<", ">", "&#0;", WORDS, PROSE, " ", "x", "\0", "\ud800",
])  # fmt: skip


@given(st.lists(TAGS, max_size=60).map("".join))
def test_any_markup_gives_a_text(html: str) -> None:
    for text in (text_of(html), text_of(html, links=True, base="http://a.org"), page_text(html).text):
        assert text == text.strip("\n")
        assert "\n\n\n" not in text
    links_of(html, "http://a.org")


# The measured gate


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


@pytest.mark.skipif(not os.environ.get("PHLOEM_PAGES"), reason="PHLOEM_PAGES names no folder of pages")
def test_articles_agree_with_what_readers_expect() -> None:
    figures = []
    for source in Path(os.environ["PHLOEM_PAGES"]).glob("*/source.html"):
        page = parse_page(decode(source.with_name("expected.html").read_bytes()))
        expected, ours = words(" ".join(page.body.texts())), words(text_of(decode(source.read_bytes())))
        figures.append(2 * (expected & ours).total() / (expected.total() + ours.total()))
    assert sum(figures) / len(figures) >= 0.96
    assert min(figures) >= 0.6
