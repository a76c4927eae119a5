"""File kinds: read, write and list what is on the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal, NamedTuple

from phloem.nodes.checks import one_of
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError, ServiceError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.values import Blob, Document

LARGEST: Final = 100_000_000
MOST_FILES: Final = 100_000

Mode = Annotated[Literal["replace", "append", "new"], Setting("What to do with a file that is there already")]
Encoding = Annotated[str, Setting("How the text is encoded, such as latin-1; nothing to find out")]
Raw = Annotated[bool, Setting("Give a web page as it is written, with its tags")]


class Reading(NamedTuple):
    text: str
    document: Document


def _digest(ctx: Context, inputs: dict[str, Any]) -> str | None:
    return ctx.files.digest(inputs["path"]) or None


def _as_left(ctx: Context, inputs: dict[str, Any]) -> str | None:
    """Nothing to add to the engine's own look at what was written; but what is appended is so every time."""
    return None if inputs["mode"] == "append" else ""


@node(
    "files.read",
    "Read a file",
    needs=["read:path"],
    effect="reads",
    stamp=_digest,
    examples=[
        Example(
            {"path": "looms.md"},
            {
                "text": "# Looms\n\nLooms weave cloth.\n",
                "document": Document(
                    "# Looms\n\nLooms weave cloth.\n", title="Looms", source="looms.md", metadata={"format": "text"}
                ),
            },
            files={"looms.md": "# Looms\n\nLooms weave cloth.\n"},
        )
    ],
)
def read(
    ctx: Context,
    path: Annotated[str, In("The file", path="path")],
    encoding: Encoding = "",
    raw: Raw = False,
) -> Reading:
    """Read the text of a file.

    Plain text of any kind (txt, md, csv, json, xml, code), web pages, PDF, Word (docx), OpenDocument
    (odt), slides (pptx), spreadsheets (xlsx) and books (epub). What a file is, is told by its content
    more than by its name. The document has the text with its title, and in its metadata the format and,
    where the file tells, the author, the date and the number of pages; for a PDF `page_starts` says where
    in the text each page begins.
    """
    return _reading(ctx, ctx.files.read(path, limit=LARGEST), path, "", encoding, raw)


@node(
    "files.extract",
    "Text of a file",
    examples=[
        Example(
            {"file": Blob(b"<title>Looms</title><p>Looms weave.</p>", "looms.html", "text/html")},
            {
                "text": "Looms weave.",
                "document": Document("Looms weave.", title="Looms", source="looms.html", metadata={"format": "html"}),
            },
        )
    ],
    blocking=True,
)
def extract(
    ctx: Context,
    file: Annotated[Blob, In("A file, for instance one that web.fetch brought")],
    encoding: Encoding = "",
    raw: Raw = False,
) -> Reading:
    """Read the text of a file that is already in the workflow, as files.read does with one on the disk."""
    if len(file.data) > LARGEST:
        raise InputError(f"{file.name or 'the file'} is larger than {LARGEST:,} bytes")
    return _reading(ctx, file.data, file.name or "the file", file.media_type, encoding, raw)


def _reading(ctx: Context, data: bytes, name: str, media_type: str, encoding: str, raw: bool) -> Reading:
    from phloem.nodes.readers import read_document

    def watch(fraction: float) -> None:
        if ctx.cancelled:
            raise ServiceError("the run was cancelled")
        ctx.progress(fraction)

    found = read_document(data, name, media_type=media_type, encoding=encoding, raw=raw, watch=watch)
    return Reading(found.text, found)


@node(
    "files.load",
    "Load a file",
    needs=["read:path"],
    effect="reads",
    stamp=_digest,
    examples=[
        Example({"path": "a.csv"}, {"file": Blob(b"a,b\n", "a.csv", "text/csv")}, files={"a.csv": "a,b\n"}),
    ],
)
def load(
    ctx: Context,
    path: Annotated[str, In("The file", path="path")],
) -> Annotated[Blob, Out("file")]:
    """Take a file of any kind into the workflow as it is: a picture, a sound, something to send."""
    import mimetypes

    guessed, packing = mimetypes.guess_type(path)
    media_type = guessed if guessed and not packing else "application/octet-stream"
    return Blob(ctx.files.read(path, limit=LARGEST), PurePath(path.replace("\\", "/")).name, media_type)


@node(
    "files.write",
    "Write a file",
    needs=["write:path"],
    effect="writes",
    stamp=_as_left,
    examples=[Example({"path": "out/looms.txt", "text": "Looms weave.\n"}, {"path": ...})],
)
def write(
    ctx: Context,
    path: Annotated[str, In("The file", path="path")],
    text: Annotated[str, In("What to write")],
    mode: Mode = "replace",
) -> Annotated[str, Out("path")]:
    """Write a text to a file, in UTF-8, and give its full path. Folders are made where there are none.

    `replace` puts the new text in the place of the old, whole or not at all; `append` adds it at the end,
    without a line end of its own; `new` fails if there is such a file already.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start + 1:,} of the text is half of a pair, and cannot be written"
        ) from None
    return _written(ctx, path, data, mode)


@node(
    "files.save",
    "Save a file",
    needs=["write:path"],
    effect="writes",
    stamp=_as_left,
    examples=[Example({"path": "out/a.csv", "file": Blob(b"a,b\n", "a.csv", "text/csv")}, {"path": ...})],
)
def save(
    ctx: Context,
    path: Annotated[str, In("Where to save it", path="path")],
    file: Annotated[Blob, In("The file, for instance a picture")],
    mode: Mode = "replace",
) -> Annotated[str, Out("path")]:
    """Save a file of any kind to the disk, and give its full path. Folders are made where there are none.

    `replace` puts it in the place of the old one, whole or not at all; `append` adds its bytes at the end;
    `new` fails if there is such a file already.
    """
    return _written(ctx, path, file.data, mode)


def _written(ctx: Context, path: str, data: bytes, mode: Literal["replace", "append", "new"]) -> str:
    one_of("mode", mode, ["replace", "append", "new"])
    return ctx.files.write(path, data, mode=mode)


def _names(ctx: Context, inputs: dict[str, Any]) -> str:
    found = _listing(ctx, inputs["folder"], inputs["pattern"], inputs["recursive"], inputs["hidden"])
    return hashlib.blake2b("\0".join(found).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


class Listing(NamedTuple):
    """What files.list gives: the same files twice, by full path and by name."""

    paths: list[str]
    names: list[str]


@node(
    "files.list",
    "List files",
    needs=["read:folder"],
    effect="reads",
    stamp=_names,
    examples=[
        Example(
            {"folder": "notes", "pattern": "*.md"},
            {"paths": ..., "names": ["a.md"]},
            files={"notes/a.md": "a", "notes/b.txt": "b"},
        )
    ],
)
def list_(
    ctx: Context,
    folder: Annotated[str, In("The folder", path="path")] = ".",
    pattern: Annotated[str, Setting("Which names, such as *.pdf or report-?.txt")] = "*",
    recursive: Annotated[bool, Setting("Look in the folders below it too")] = False,
    hidden: Annotated[bool, Setting("List files and folders whose name begins with a dot")] = False,
) -> Listing:
    """List the files in a folder: their full paths, in alphabetical order, and beside them their names.

    In the pattern, * stands for any characters, ? for one, [abc] for one of these. Folders themselves are
    not listed.
    """
    paths = _listing(ctx, folder, pattern, recursive, hidden)
    return Listing(paths, [Path(one).name for one in paths])


def _listing(ctx: Context, folder: str, pattern: str, recursive: bool, hidden: bool) -> list[str]:
    try:
        found = ctx.files.list(folder, f"**/{pattern}" if recursive else pattern)
    except ValueError as error:
        raise SettingError(f"the pattern {pattern[:80]!r} is wrong: {error}") from None
    if not hidden:
        root = ctx.scope.permissions.path(folder)
        found = [one for one in found if not any(part.startswith(".") for part in Path(one).relative_to(root).parts)]
    if len(found) > MOST_FILES:
        raise InputError(
            f"there are more than {MOST_FILES:,} such files in {folder}", hint="Make the pattern narrower."
        )
    return found
