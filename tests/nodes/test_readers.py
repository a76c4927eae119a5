"""Files of many formats become text, and those that cannot say why, however broken or hostile they are."""

from __future__ import annotations

import io
import time
import zipfile
import zlib
from typing import Any

import pytest
from phloem.nodes.readers import read_document
from phloem.runtime.errors import InputError, ServiceError, SettingError
from phloem.runtime.values import Document
from support import papers


def read(data: bytes, name: str = "file.txt", **options: Any) -> Document:
    return read_document(data, name, **options)


# text and its encodings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Déjà vu, où êtes-vous? Garçon!", "utf-8"),
        ("Déjà vu, où êtes-vous? Garçon!", "cp1252"),
        ("He said “hello” – twice… it’s 5 €", "cp1252"),
        ("café", "latin-1"),
        ("name;price\nKäse;3,50 €\n", "cp1252"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy. " * 3, "cp1250"),
        ("Привет, мир. Это обычный текст.", "cp1251"),
        ("これは日本語の文章です。テストです。", "shift_jis"),
        ("这是一个中文文本文件，用于测试。", "gb18030"),
        ("hello", "utf-8-sig"),
        ("hello", "utf-16"),
        ("hello wörld", "utf-16-le"),
        ("hello wörld", "utf-16-be"),
        ("hello", "utf-32"),
        ("", "utf-8"),
    ],
)
def test_the_encoding_of_a_text_is_found(text: str, encoding: str) -> None:
    found = read(text.encode(encoding))
    assert found.text == text
    assert found.metadata == {"format": "text"}


def test_an_encoding_can_be_named() -> None:
    assert read("Ελληνικά".encode("iso8859-7"), encoding="iso8859-7").text == "Ελληνικά"
    with pytest.raises(InputError, match="not text in utf-8: byte 1"):
        read(b"a\xe9", encoding="utf-8")
    for name in ("nope", "hex", "punycode"):
        with pytest.raises(SettingError, match="no encoding called"):
            read(b"x", encoding=name)


def test_line_ends_are_newlines() -> None:
    assert read(b"a\r\nb\rc\n").text == "a\nb\nc\n"


def test_titles() -> None:
    assert read(b"text", "notes/on.looms.txt").title == "on.looms"
    assert read(b"\n## On looms ##\ntext", "a.md").title == "On looms"
    assert read(b"# not a heading in a text", "a.txt").title == "a"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0\0", "a JPEG image"),
        (b"ID3\x04\0\0\0", "an MP3 sound"),
        (b"\0\0\0\x20ftypisom", "a film"),
        (b"\x7fELF\x02\x01\0", "a program"),
        (b"GGUF\x03\0\0\0", "a language model"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"{\\rtf1 text}", "Save it as docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "an old Office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "locked with a password"),
        (b"\0\1\2\3" * 50, "zero bytes"),
        (bytes(range(1, 256)) * 20, "not a text file"),
        (papers.zipped({"readme": "x"}), "a zip archive"),
        (b"PK\x03\x04 and then nothing", "damaged"),
    ],
)
def test_what_is_no_text_is_named(data: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(data, "thing.txt")
    assert "thing.txt" in str(caught.value)
    assert words in str(caught.value)


# pages


PAGE = (
    b"<html><head><title> On &amp; looms </title><style>p {}</style></head>"
    b"<body><h1>Looms</h1><p>weave<script>x()</script></body></html>"
)


def test_pages_give_the_text_that_a_reader_sees() -> None:
    found = read(PAGE, "a.html")
    assert (found.title, found.text) == ("On & looms", "# Looms\n\nweave")
    assert read(b"<!-- x --> <!DOCTYPE html><p>x", "noname").metadata["format"] == "html"
    assert read(b"<p>x", "noname", media_type="text/html").text == "x"
    assert read(PAGE, "a.html", raw=True).text == PAGE.decode()


def test_pages_in_the_encoding_that_they_name() -> None:
    text = "Привет"
    assert read(f"<meta charset=windows-1251><p>{text}".encode("cp1251"), "a.html").text == text
    assert read(b"<meta charset=iso-8859-1><p>\x93x\x94", "a.html").text == "“x”"
    assert read("<meta charset=latin-1><p>é".encode(), "a.html").text == "é"
    assert read(b"<meta charset=punycode><p>x\xe9", "a.html").text.startswith("x")


# PDF


def test_a_pdf_gives_its_pages_with_where_they_begin() -> None:
    watched: list[float] = []
    found = read(papers.pdf(["Looms weave.\nSecond line", "Page two"], title="On looms"), "a.pdf", watch=watched.append)
    assert found.text == "Looms weave.\nSecond line\n\nPage two"
    assert (found.title, found.source) == ("On looms", "a.pdf")
    assert found.metadata["pages"] == 2
    assert [found.text[start : start + 4] for start in found.metadata["page_starts"]] == ["Loom", "Page"]
    assert found.metadata["author"] == "J. Kay"
    assert watched == [0.5, 1.0]


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_an_encrypted_pdf_opens_without_a_password_or_says_that_it_needs_one(algorithm: str) -> None:
    plain = papers.pdf(["text"])
    assert read(papers.encrypted(plain, "", algorithm), "a.pdf").text == "text"
    with pytest.raises(InputError, match="locked with a password"):
        read(papers.encrypted(plain, "secret", algorithm), "a.pdf")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.7 and then nothing", "cannot be read"),
        (papers.pdf(["text"])[:200], "cannot be read"),
        (papers.pdf(["", ""]), "no text"),
        (papers.pdf([]), "no text"),
        (papers.pdf(["a", "b"]).replace(b"/Kids [6 0 R 8 0 R]", b"/Kids [2 0 R 2 0 R]"), "cannot be read"),
        (papers.pdf(["a"], content=b" " * 100_000_000), "cannot be read"),
        (papers.pdf(["a"], content=b"(a) Tj " * 2_000_000), "page 1 of the PDF is larger"),
        (papers.pdf(["a"], content=b"[" * 100_000), "cannot be read"),
    ],
    ids=["cut off", "half", "pictures", "empty", "circular", "bomb", "huge page", "deep"],
)
def test_a_pdf_that_cannot_be_read_says_why(data: bytes, words: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read(data, "a.pdf")
    assert words in str(caught.value)
    assert time.perf_counter() - began < 10


def test_reading_can_be_stopped_between_pages() -> None:
    def stop(fraction: float) -> None:
        raise ServiceError("the run was cancelled")

    with pytest.raises(ServiceError, match="cancelled"):
        read(papers.pdf(["a", "b"]), "a.pdf", watch=stop)


# documents


def test_a_word_document_keeps_headings_lists_and_tables() -> None:
    found = read(papers.docx(), "a.docx")
    assert found.text == "# Looms\n\nLooms weave cloth.\n\n- warp\n- weft\n\nMakers\nKay | 1733\n\nThe end."
    assert (found.title, found.metadata["author"]) == ("On looms", "J. Kay")


def test_slides() -> None:
    found = read(papers.pptx([["Looms", "weave"], [], ["end"], *[["more"]] * 8]), "a.pptx")
    assert found.text.startswith("Looms\nweave\n\nend\n\nmore")
    assert found.metadata["slides"] == 11


def test_open_document_texts() -> None:
    found = read(
        papers.odt(
            '<text:h text:outline-level="2">Looms</text:h>'
            '<text:p>weave<text:s text:c="3"/>cloth<text:line-break/>and <text:span>more</text:span>.</text:p>'
            "<text:list><text:list-item><text:p>warp</text:p></text:list-item><text:list-item><text:p>weft</text:p>"
            "</text:list-item></text:list><table:table><table:table-row><table:table-cell><text:p>a</text:p>"
            "</table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table>"
            "<text:p>end</text:p>"
        ),
        "a.odt",
    )
    assert found.text == "## Looms\n\nweave   cloth\nand more.\n\n- warp\n- weft\n\na | b\n\nend"
    assert found.title == "On looms"


def test_books_are_read_in_the_order_of_their_spine() -> None:
    found = read(papers.epub({"one": "<h1>One</h1><p>First.</p>", "two": "<p>Second.</p>"}), "a.epub")
    assert found.text == "# One\n\nFirst.\n\nSecond."
    assert found.metadata == {"format": "epub", "chapters": 2, "author": "J. Kay", "language": "en"}


def test_spreadsheets_give_every_sheet() -> None:
    found = read(papers.xlsx({"Makers": [["name", "born"], ["Kay", 1704.0]], "Empty": [], "Other": [[True]]}), "a.xlsx")
    assert found.text == "# Makers\n\nname | born\nKay | 1704\n\n# Other\n\ntrue"
    assert found.metadata["sheets"] == ["Makers", "Empty", "Other"]


def changed(data: bytes, member: str, content: bytes) -> bytes:
    """An archive with another content of one member."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return papers.zipped({**{name: archive.read(name) for name in archive.namelist()}, member: content})


NAMES = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
WORD = b'<w:document xmlns:w="' + NAMES + b'"><w:body>%s</w:body></w:document>'
ENTITIES = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(9)
) + b"]>"  # fmt: skip


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (changed(papers.docx(), "word/document.xml", b"junk"), "a.docx"),
        (changed(papers.docx(), "word/document.xml", WORD % (b"<w:p>" * 50_000 + b"</w:p>" * 50_000)), "a.docx"),
        (changed(papers.docx(), "word/document.xml", ENTITIES + WORD % b"<w:p>&j;</w:p>"), "a.docx"),
        (changed(papers.docx(), "[Content_Types].xml", b""), "a.docx"),
        (changed(papers.docx(), "big.bin", b"\0" * 301_000_000), "a.docx"),
        (papers.docx()[:-30], "a.docx"),
        (changed(papers.odt(""), "content.xml", ENTITIES + b"<a>&j;</a>"), "a.odt"),
        (papers.zipped({"mimetype": "application/epub+zip"}), "a.epub"),
        (papers.zipped({"mimetype": "application/vnd.oasis.opendocument.text"}), "a.odt"),
        (changed(papers.xlsx({"a": [[1]]}), "xl/workbook.xml", b"<workbook/>"), "a.xlsx"),
        (changed(papers.xlsx({"a": [[1]]}), "xl/worksheets/sheet1.xml", b"<not closed"), "a.xlsx"),
        (papers.zipped({f"{index}": "" for index in range(20_001)} | {"word/document.xml": ""}), "a.docx"),
    ],
    ids=[
        "junk", "deep", "entities", "no types", "bomb", "cut off", "odt entities", "empty epub", "empty odt",
        "empty xlsx", "broken sheet", "many members",
    ],
)  # fmt: skip
def test_documents_that_are_broken_or_bombs_end_in_a_clear_error(data: bytes, name: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read(data, name)
    assert caught.value.message
    assert time.perf_counter() - began < 10


def test_a_text_is_a_text_whatever_it_begins_with() -> None:
    for start in ("ID3 tags", "MZ is a mark", "RIFF", "BZh", "GIF8", "%PDF is a format", "On %PDF- files"):
        assert read(f"{start} and more é".encode()).text.startswith(start)
    assert read(b"x" * 4095 + "é".encode() * 9).metadata["format"] == "text"


@pytest.mark.slow
def test_a_member_that_lies_about_its_size_is_not_unpacked() -> None:
    import struct
    import tracemalloc

    honest = papers.zipped({"word/document.xml": b"\0" * 290_000_000, "[Content_Types].xml": "", "_rels/.rels": ""})
    place = honest.index(b"PK\x01\x02")
    lying = bytearray(honest)
    for header, offset in ((0, 22), (place, 24)):
        lying[header + offset : header + offset + 4] = struct.pack("<I", 1000)
        crc = zlib.crc32(b"\0" * 1000)
        lying[header + offset - 8 : header + offset - 4] = struct.pack("<I", crc)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read(bytes(lying), "a.docx")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_entities_never_read_other_files() -> None:
    stolen = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    data = changed(papers.docx(), "word/document.xml", stolen + WORD % b"<w:p><w:r><w:t>a&e;b</w:t></w:r></w:p>")
    assert read(data, "a.docx").text in ("ab", "a")


def test_a_long_document_is_read_in_good_time() -> None:
    began = time.perf_counter()
    data = changed(papers.docx(), "word/document.xml", WORD % (b"<w:p><w:r><w:t>word</w:t></w:r></w:p>" * 5_000))
    assert read(data, "a.docx").text.count("word") == 5_000
    assert time.perf_counter() - began < 20


def test_a_document_has_no_raw_text() -> None:
    with pytest.raises(InputError, match="has no text of its own"):
        read(papers.docx(), "a.docx", raw=True)
