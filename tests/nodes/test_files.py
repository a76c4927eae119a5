"""Reading, writing and listing files, within what is allowed, and what the cache is told about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from phloem.runtime.errors import InputError, PermissionNeeded, SettingError
from phloem.runtime.values import Blob, Document
from support import papers
from support.kinds import call, context, find


def stamp(id: str, where: Path, **inputs: Any) -> Any:
    kind = find(id)
    assert kind.stamp is not None
    given = {name: inputs.get(name, port.default) for name, port in kind.inputs.items()}
    return kind.stamp(context(where), given)


def test_a_file_is_read_as_text_and_as_a_document(tmp_path: Path) -> None:
    (tmp_path / "looms.html").write_text("<title>Looms</title><p>They weave.")
    found = call("files.read", {"path": "looms.html"}, tmp_path)
    assert found["text"] == "They weave."
    assert found["document"] == Document("They weave.", "Looms", "looms.html", {"format": "html"})
    assert call("files.read", {"path": "looms.html", "raw": True}, tmp_path)["text"].startswith("<title>")
    (tmp_path / "a.pdf").write_bytes(papers.pdf(["text"]))
    assert call("files.read", {"path": str(tmp_path / "a.pdf")}, tmp_path)["document"].metadata["pages"] == 1


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="a PNG image"):
        call("files.read", {"path": "a.png"}, tmp_path)
    with pytest.raises(InputError, match=r"cannot read gone\.txt"):
        call("files.read", {"path": "gone.txt"}, tmp_path)
    with pytest.raises(InputError, match="not a file"):
        call("files.read", {"path": "."}, tmp_path)
    with pytest.raises(InputError, match="web address"):
        call("files.read", {"path": "https://example.org/a.txt"}, tmp_path)
    with pytest.raises(PermissionNeeded) as caught:
        call("files.read", {"path": "../elsewhere.txt"}, tmp_path)
    assert caught.value.flags[0].startswith("--allow read=")


def test_a_stopped_run_stops_the_reading(tmp_path: Path) -> None:
    from phloem.runtime.errors import ServiceError

    (tmp_path / "a.pdf").write_bytes(papers.pdf(["a", "b"]))
    ctx = context(tmp_path)
    ctx.scope.halt.on = True
    with pytest.raises(ServiceError, match="cancelled"):
        find("files.read").function(ctx, "a.pdf")


def test_a_file_in_the_workflow_is_read_like_one_on_the_disk(tmp_path: Path) -> None:
    found = call("files.extract", {"file": Blob(papers.docx(), "a.docx")}, tmp_path)
    assert found["document"].title == "On looms"
    page = Blob(b"<p>x", "", "text/html")
    assert call("files.extract", {"file": page}, tmp_path)["text"] == "x"


def test_loading_and_saving_keep_every_byte(tmp_path: Path) -> None:
    data = bytes(range(256))
    (tmp_path / "a.png").write_bytes(data)
    blob = call("files.load", {"path": "a.png"}, tmp_path)
    assert blob == Blob(data, "a.png", "image/png")
    path = call("files.save", {"path": "b/c.png", "file": blob}, tmp_path, allow=[f"write={tmp_path}"])
    assert Path(path).read_bytes() == data
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    assert call("files.load", {"path": "a.tar.gz"}, tmp_path).media_type == "application/octet-stream"


def test_writing_modes(tmp_path: Path) -> None:
    allow = [f"write={tmp_path}"]

    def write(text: str, **settings: str) -> str:
        written: str = call("files.write", {"path": "out/a.txt", "text": text, **settings}, tmp_path, allow=allow)
        return Path(written).read_text(encoding="utf-8")

    assert write("één", mode="new") == "één"
    assert write("two") == "two"
    assert write("\nthree", mode="append") == "two\nthree"
    with pytest.raises(InputError, match="already there"):
        write("four", mode="new")
    with pytest.raises(SettingError, match="Did you mean append"):
        write("x", mode="apend")
    with pytest.raises(InputError, match="character 2 of the text is half of a pair"):
        write("a\ud800")
    assert (tmp_path / "out/a.txt").read_text() == "two\nthree"


def test_writing_needs_a_grant(tmp_path: Path) -> None:
    with pytest.raises(PermissionNeeded):
        call("files.write", {"path": "a.txt", "text": "x"}, tmp_path)
    assert not (tmp_path / "a.txt").exists()


def test_listing(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", ".hidden.txt", "sub/d.txt", ".git/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    def listed(**settings: Any) -> list[str]:
        return [
            str(Path(one).relative_to(tmp_path))
            for one in call("files.list", {"folder": ".", **settings}, tmp_path)["paths"]
        ]

    assert listed() == ["a.txt", "b.txt", "c.md"]
    assert call("files.list", {"folder": ".", "recursive": True}, tmp_path)["names"] == [
        "a.txt",
        "b.txt",
        "c.md",
        "d.txt",
    ]
    assert listed(pattern="*.txt") == ["a.txt", "b.txt"]
    assert listed(pattern="*.txt", recursive=True) == ["a.txt", "b.txt", str(Path("sub/d.txt"))]
    assert listed(pattern="*.txt", hidden=True) == [".hidden.txt", "a.txt", "b.txt"]
    assert listed(pattern="[bc].*") == ["b.txt", "c.md"]
    assert listed(folder="sub", pattern="*.none") == []


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*", "**x/[", "a\0b"])
def test_patterns_that_lead_elsewhere_or_nowhere(tmp_path: Path, pattern: str) -> None:
    try:
        assert call("files.list", {"folder": ".", "pattern": pattern}, tmp_path)["paths"] == []
    except (InputError, SettingError) as error:
        assert error.message


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        call("files.list", {"folder": "a.txt"}, tmp_path)


def test_links_that_lead_out_of_the_folder_are_not_listed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("x")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert call("files.list", {"folder": "."}, inside)["paths"] == []


def test_the_cache_is_told_what_a_result_depends_on(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = stamp("files.read", tmp_path, path="a.txt")
    assert first and stamp("files.read", tmp_path, path="a.txt") == first
    file.write_text("two")
    assert stamp("files.read", tmp_path, path="a.txt") != first
    assert stamp("files.read", tmp_path, path="gone.txt") is None
    before = stamp("files.list", tmp_path, folder=".")
    file.write_text("three")
    assert stamp("files.list", tmp_path, folder=".") == before
    (tmp_path / "b.txt").write_text("x")
    assert stamp("files.list", tmp_path, folder=".") != before
    assert stamp("files.write", tmp_path, path="a.txt", mode="replace") == ""
    assert stamp("files.write", tmp_path, path="a.txt", mode="append") is None
