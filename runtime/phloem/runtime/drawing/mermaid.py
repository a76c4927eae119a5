"""A workflow as a Mermaid flowchart, for pages that draw those: GitHub, GitLab, notebooks, wikis."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.drawing.boxes import Box, Link, Picture
from phloem.runtime.drawing.lettering import clean
from phloem.runtime.drawing.picture import picture_of
from phloem.runtime.workflow import Workflow

__all__ = ["as_mermaid"]

_LETTERS: Final = {"input": "i", "node": "n", "output": "o"}
_STYLES: Final = {
    "unknown": "stroke-dasharray: 5 4",
    "off": "opacity: 0.45",
    "settings": "fill: none,stroke: none",
}
_VALUE: Final = 40
_SETTINGS: Final = 3

_CODED: Final = re.compile(r'[&<>"#;{}|\[\]()]|%%|style|classDef|direction(?= )')
"""What Mermaid reads as more than letters between quotes, and takes as a number: HTML, entities, a directive
(`%%{`), the words before which it mends the ends of lines, and one that it obeys wherever in a line it stands."""

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

    Inputs and outputs have round ends. A link is named by its ports where a node has several. The workflow in a
    node, or one that it calls from beside `file`, is a subgraph, six deep at most. Pages draw no more than 500
    links, unless they are set up for more.
    """
    picture = picture_of(workflow, catalogue, file)
    return "\n".join(_Chart().lines(picture))


class _Chart:
    """Collects the names of what is drawn, and of what is drawn in another style than the rest."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.styled: dict[str, list[str]] = {style: [] for style in _STYLES}

    def lines(self, picture: Picture) -> Iterable[str]:
        if picture.title:
            yield "---"
            yield f"title: {json.dumps(picture.title.translate(_IN_TITLE), ensure_ascii=False)}"
            yield "---"
        yield "flowchart LR"
        yield from self.drawn(picture, "", "  ", off=False)
        for style, names in self.styled.items():
            if names:
                yield f"  classDef {style} {_STYLES[style]}"
                yield f"  class {','.join(names)} {style}"

    def drawn(self, picture: Picture, path: str, indent: str, *, off: bool) -> Iterable[str]:
        """The boxes and links of a picture whose names begin with `path`; `off` if what it lies in is switched off."""
        words = [_word(box.id) or str(index) for index, box in enumerate(picture.boxes)]
        names = [self.named(_LETTERS[box.role], path + word) for box, word in zip(picture.boxes, words, strict=True)]
        for box, word, name in zip(picture.boxes, words, names, strict=True):
            if box.inside is not None and box.inside.boxes:
                yield from self.around(box, box.inside, name, f"{path}{word}_", indent, off=off or box.disabled)
            else:
                yield f"{indent}{name}{_shape(box)}"
            if not box.installed or box.missing:
                self.styled["unknown"].append(name)
            if off or box.disabled:
                self.styled["off"].append(name)
        for link in picture.links:
            label = _label(picture, link)
            arrow = ("-.->" if link.back else "-->") + (f'|"{label}"|' if label else "")
            yield f"{indent}{names[link.source]} {arrow} {names[link.target]}"

    def around(self, box: Box, inside: Picture, name: str, path: str, indent: str, *, off: bool) -> Iterable[str]:
        """A node with the workflow in it. Mermaid has room for one line above that; the others stand beside it."""
        first, second, *others = _said(box)
        label, others = (first, [second, *others]) if box.title else (f"{first} · {second}", others)
        yield f'{indent}subgraph {name}["{_text(label)}"]'
        yield f"{indent}  direction LR"
        if others:
            beside = self.named("s", path.rstrip("_"))
            self.styled["settings"].append(beside)
            yield f'{indent}  {beside}["{_text(*others)}"]'
        yield from self.drawn(inside, path, indent + "  ", off=off)
        yield f"{indent}end"

    def named(self, letter: str, word: str) -> str:
        """A name unlike any word of Mermaid's and unlike any name before."""
        name, number = f"{letter}_{word}", 2
        while name in self.names:
            name, number = f"{letter}_{word}_{number}", number + 1
        self.names.add(name)
        return name


def _word(id: str) -> str:
    word = re.sub("[^A-Za-z0-9]+", "_", id).strip("_")
    return _MENDED.sub(lambda found: f"{found.group()[0]}_{found.group()[1:]}", word)


def _shape(box: Box) -> str:
    if box.role != "node":
        about = "not there" if box.missing else clean(box.value, _VALUE) or box.kind
        return f'(["{_text(box.id, about)}"])'
    inside = [] if box.holds is None else [f"{box.held} inside"]
    body = f'"{_text(*_said(box), *inside)}"'
    return f"[{body}]" if box.holds is None else f"[[{body}]]"


def _said(box: Box) -> list[str]:
    """What is said about a node, in lines."""
    kind = "not there" if box.missing else box.kind.partition("@")[0]
    settings = [clean(f"{name}: {value}", _VALUE) for name, value in box.settings[:_SETTINGS]]
    more = len(box.settings) - _SETTINGS
    what = [box.title, f"{box.id} · {kind}"] if box.title else [box.id, kind]
    return [*what, *settings, *([f"+{more}"] if more > 0 else [])]


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
