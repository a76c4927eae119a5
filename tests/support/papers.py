"""Real files of the formats that are read as text, made on the spot."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

__all__ = ["docx", "encrypted", "epub", "odt", "pdf", "pptx", "xlsx", "zipped"]


def pdf(pages: Sequence[str], *, title: str = "", content: bytes | None = None) -> bytes:
    """A PDF with a page for each text, set in Helvetica; `content` replaces what every page draws."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    catalog, tree, font, info = add(b""), add(b""), add(b""), add(b"")
    objects[font - 1] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects[info - 1] = b"<< /Title (%s) /Author (J. Kay) >>" % title.encode("latin-1")
    kids = []
    for text in pages:
        lines = "".join(f"({line}) Tj 0 -14 Td " for line in text.splitlines())
        stream = zlib.compress(
            content if content is not None else f"BT /F1 12 Tf 72 720 Td {lines}ET".encode("latin-1")
        )
        body = add(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(
            add(
                b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
                b"/Resources << /Font << /F1 %d 0 R >> >> >>" % (tree, body, font)
            )
        )
    objects[catalog - 1] = b"<< /Type /Catalog /Pages %d 0 R >>" % tree
    references = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[tree - 1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (references, len(kids))
    written, places = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer << /Size %d /Root %d 0 R /Info %d 0 R >>\n" % (len(objects) + 1, catalog, info)
    return bytes(written + b"startxref\n%d\n%%%%EOF\n" % start)


def encrypted(data: bytes, password: str, algorithm: str = "RC4-128") -> bytes:
    """A PDF locked with a password."""
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(password, owner_password="owner", algorithm=algorithm)
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def docx() -> bytes:
    """A Word document with a heading, a list, a table with a wide cell, and properties."""
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.title = "On looms"
    document.core_properties.author = "J. Kay"
    document.add_heading("Looms", level=1)
    document.add_paragraph("Looms weave cloth.")
    document.add_paragraph("warp", style="List Bullet")
    document.add_paragraph("weft", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Makers"
    table.cell(1, 0).text = "Kay"
    table.cell(1, 1).text = "1733"
    document.add_paragraph("The end.")
    made = io.BytesIO()
    document.save(made)
    return made.getvalue()


def xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """A spreadsheet."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def pptx(slides: Sequence[Sequence[str]]) -> bytes:
    """Slides, each with its paragraphs; the parts that a reader of text does not look at are left out."""
    drawing = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    members = {"ppt/presentation.xml": "<presentation/>", "docProps/core.xml": _properties("On looms")}
    for number, paragraphs in enumerate(slides, 1):
        texts = "".join(f"<a:p><a:r><a:t>{one}</a:t></a:r></a:p>" for one in paragraphs)
        members[f"ppt/slides/slide{number}.xml"] = f"<slide {drawing}>{texts}</slide>"
    return zipped(members)


def odt(body: str) -> bytes:
    """An OpenDocument text with this body."""
    names = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = f'xmlns:office="{names}:office:1.0" xmlns:text="{names}:text:1.0" xmlns:table="{names}:table:1.0"'
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"<office:content {spaces}><office:body>{body}</office:body></office:content>",
            "meta.xml": _properties("On looms"),
        }
    )


def epub(chapters: Mapping[str, str]) -> bytes:
    """A book with these chapters in this order, though its manifest lists them the other way round."""
    items = "".join(f'<item id="{name}" href="text/{name}.xhtml"/>' for name in reversed(chapters))
    spine = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>On looms</dc:title><dc:creator>J. Kay</dc:creator><dc:language>en</dc:language></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    members |= {f"OEBPS/text/{name}.xhtml": f"<html><body>{text}</body></html>" for name, text in chapters.items()}
    return zipped(members)


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _properties(title: str) -> str:
    return f'<properties xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></properties>'
