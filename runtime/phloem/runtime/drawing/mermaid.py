"""A workflow as a Mermaid flowchart, for pages that draw those: GitHub, GitLab, notebooks, wikis."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.drawing.boxes import Box, Link, Origin, Picture
from phloem.runtime.drawing.lettering import clean
from phloem.runtime.drawing.picture import picture_of
from phloem.runtime.workflow import Workflow

__all__ = ["as_mermaid"]

_LETTERS: Final = {"input": "i", "node": "n", "output": "o"}
_VALUE: Final = 40
_SETTINGS: Final = 3

_CODED: Final = re.compile(r'[&<>"#;{}|\[\]()]|%%|style|classDef')
"""What Mermaid reads as more than letters between quotes, and takes as a number: HTML, entities, a directive
(`%%{`), and the words before which it mends the ends of lines."""

_MENDED: Final = re.compile("style|classDef")

_IN_TITLE: Final = str.maketrans({"<": "‹", ">": "›", "&": "＆"})
"""What Mermaid would take from a title for HTML, and letters that look alike."""

_LIKE: Final = {"*": "∗", "`": "ˋ", "~": "∼", "\\": "∖", "://": ":\u2060//", "www.": "www\u2060.", "_": "ˍ"}
_MARKDOWN: Final = re.compile(r"[*`~\\]|\$(?=\$)|://|www\.|@|\](?=\()|:(?=fa-)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Mermaid, which reads every label as Markdown and does not know all of it, cannot be told to leave alone:
letters that look alike stand for these, or an invisible one (word joiner) parts them."""

_JOINER: Final = "\u2060"

_BLOCK: Final = re.compile(r"[-+=#>|\[]|[0-9]+[.)]|:")
"""What would begin a list, a heading, a quotation, a table or a reference at the beginning of a line."""


def as_mermaid(workflow: Workflow, catalogue: Catalogue | None = None, *, file: Path | None = None) -> str:
    """The workflow as the text of a Mermaid `flowchart LR`; no line end at the end.

    Inputs and outputs have round ends. A link is named by its ports where a node has several. Pages draw
    no more than 500 links, unless they are set up for more.
    """
    picture = picture_of(workflow, catalogue, Origin(file))
    return "\n".join(_lines(picture))


def _lines(picture: Picture) -> Iterable[str]:
    if picture.title:
        yield "---"
        yield f"title: {json.dumps(picture.title.translate(_IN_TITLE), ensure_ascii=False)}"
        yield "---"
    yield "flowchart LR"
    names = _names(picture)
    for box, name in zip(picture.boxes, names, strict=True):
        yield f"  {name}{_shape(box)}"
    for link in picture.links:
        label = _label(picture, link)
        arrow = ("-.->" if link.back else "-->") + (f'|"{label}"|' if label else "")
        yield f"  {names[link.source]} {arrow} {names[link.target]}"
    states = {
        "unknown": ("stroke-dasharray: 5 4", [not box.installed or box.missing for box in picture.boxes]),
        "off": ("opacity: 0.45", [box.disabled for box in picture.boxes]),
    }
    for state, (style, has) in states.items():
        members = [name for name, on in zip(names, has, strict=True) if on]
        if members:
            yield f"  classDef {state} {style}"
            yield f"  class {','.join(members)} {state}"


def _names(picture: Picture) -> list[str]:
    """A name for each box made of its id, unlike any word of Mermaid's and unlike any other name."""
    names: dict[str, None] = {}
    for index, box in enumerate(picture.boxes):
        word = re.sub("[^A-Za-z0-9]+", "_", box.id).strip("_") or str(index)
        name = f"{_LETTERS[box.role]}_{_MENDED.sub(_parted, word)}"
        while name in names:
            name += f"_{index}"
        names[name] = None
    return list(names)


def _parted(found: re.Match[str]) -> str:
    return f"{found.group()[0]}_{found.group()[1:]}"


def _shape(box: Box) -> str:
    if box.role != "node":
        about = "not there" if box.missing else clean(box.value, _VALUE) or box.kind
        return f'(["{_text(box.id, about)}"])'
    kind = "not there" if box.missing else box.kind.partition("@")[0]
    settings = [clean(f"{name}: {value}", _VALUE) for name, value in box.settings[:_SETTINGS]]
    more = len(box.settings) - _SETTINGS
    inside = [f"{len(box.inside.nodes)} nodes inside"] if box.inside is not None else []
    what = [box.title, f"{box.id} · {kind}"] if box.title else [box.id, kind]
    lines = [*what, *settings, *([f"+{more}"] if more > 0 else []), *inside]
    body = f'"{_text(*lines)}"'
    return f"[[{body}]]" if box.inside is not None else f"[{body}]"


def _label(picture: Picture, link: Link) -> str:
    """The ports of a link, where the nodes alone do not say which they are."""
    source, target = picture.boxes[link.source], picture.boxes[link.target]
    several_out = source.role == "node" and sum(out.linked for out in source.outs) > 1
    several_in = sum(into.linked for into in target.ins) > 1
    out, into = source.outs[link.out].name, target.ins[link.into].name
    if several_out and several_in and out != into:
        return _text(f"{out} → {into}")
    return _text(out if several_out else into) if several_out or several_in else ""


def _text(*lines: str) -> str:
    """Lines as the inside of a quoted label, to be shown as they are."""
    return "<br>".join(_line(line) for line in lines if line)


def _line(line: str) -> str:
    plain = _MARKDOWN.sub(lambda found: _LIKE.get(found.group(), found.group() + _JOINER), line)
    if _BLOCK.match(plain):
        plain = _JOINER + plain
    return _CODED.sub(lambda found: f"#{ord(found.group()[0])};{found.group()[1:]}", plain)
