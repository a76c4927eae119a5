"""A workflow as text: its nodes in the order they depend on one another, with a rail of what leads where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from phloem.runtime.catalogue import Catalogue
from phloem.runtime.drawing.boxes import Box, Picture, Socket
from phloem.runtime.drawing.lettering import cut_cells
from phloem.runtime.drawing.picture import picture_of
from phloem.runtime.drawing.rail import Stop, rail, reading_order
from phloem.runtime.workflow import Workflow

__all__ = ["as_text"]

_WIDTH: Final = 80
_NARROWEST: Final = 30
_MOST_LANES: Final = 10
_LONGEST_ID: Final = 20
_SIGNS: Final = {"input": "○", "node": "●", "output": "◆"}
_APART: Final = " · "


def as_text(
    workflow: Workflow, catalogue: Catalogue | None = None, *, width: int = _WIDTH, file: Path | None = None
) -> str:
    """The workflow in lines of at most `width` cells of a terminal, without colours; no line end at the end.

    ○ is an input of the workflow, ● a node, ◌ one that is switched off, ◆ an output. A line on the left
    runs from each to what reads it; where too many would run side by side, there are none. What is nested in a
    node, or called from beside `file`, is drawn within it, six deep at most.
    """
    picture = picture_of(workflow, catalogue, file)
    return "\n".join(line.rstrip() for line in _drawn(picture, max(width, _NARROWEST)))


def _drawn(picture: Picture, width: int) -> Iterator[str]:
    heading = [*_wrapped(picture.title.split(), width), *_wrapped(picture.about.split(), width)]
    yield from heading
    shown = [index for index, box in enumerate(picture.boxes) if not box.missing]
    if not shown:
        yield from ["", "(empty)"] if heading else ["(empty)"]
        return
    if heading:
        yield ""
    order, stops = _railed(picture, shown, min(width // 8, _MOST_LANES))
    side = max(len(part) for stop in stops for part in stop) + 2
    ids = min(max(_cells(picture.boxes[index].id) for index in shown), _LONGEST_ID)
    sources = _sources(picture)
    for index, (first, after) in zip(order, stops, strict=True):
        box = picture.boxes[index]
        head, *details = _lines(box, sources[index], ids, width - side)
        yield first.ljust(side) + head
        for line in details:
            yield after.ljust(side) + line
        before = f"{after.ljust(side)}  ┊ "
        for line in _nested(box, width - len(before)):
            yield before + line


def _nested(box: Box, width: int) -> Iterable[str]:
    """The workflow in a node, or where it lies too deep to be drawn, how large it is."""
    if box.inside is not None and width >= _NARROWEST:
        return _drawn(box.inside, width)
    return [] if box.holds is None else [cut_cells(f"… {box.holds} more inside", width)]


def _railed(picture: Picture, shown: Sequence[int], lanes: int) -> tuple[list[int], list[Stop]]:
    """The boxes in the order of reading, and what stands left of each: a rail, unless it took more lanes than that."""
    count = len(picture.boxes)
    sources: list[list[int]] = [[] for _ in range(count)]
    for one in picture.links:
        if not one.back and one.source not in sources[one.target] and not picture.boxes[one.source].missing:
            sources[one.target].append(one.source)
    order = [index for index in reading_order(count, sources) if not picture.boxes[index].missing]
    order.sort(key=lambda index: {"input": 0, "node": 1, "output": 2}[picture.boxes[index].role])
    signs = {index: "◌" if (box := picture.boxes[index]).disabled else _SIGNS[box.role] for index in shown}
    stops = rail(order, sources, signs, lanes)
    return order, stops if stops is not None else [(signs[index], "") for index in order]


def _sources(picture: Picture) -> list[list[str]]:
    """For each box, a text for each of its linked inputs that says where it comes from."""
    texts: list[dict[int, list[str]]] = [{} for _ in picture.boxes]
    for one in picture.links:
        source = picture.boxes[one.source]
        name = source.outs[one.out].name
        text = f"input.{name}" if source.role == "input" else f"{source.id}.{name}"
        text += " (not there)" if source.missing else " ↺" if one.back else ""
        texts[one.target].setdefault(one.into, []).append(text)
    return [
        [f"{box.ins[into].name} ← {', '.join(named)}" for into, named in sorted(found.items())]
        for box, found in zip(picture.boxes, texts, strict=True)
    ]


def _lines(box: Box, sources: Sequence[str], ids: int, width: int) -> Iterator[str]:
    """What is said about a box: a first line with its id, and more below."""
    id = cut_cells(box.id, ids)
    id += " " * (ids - _cells(id))
    indent = " " * 2
    if box.role == "output":
        source = sources[0].partition(" ← ")[2]
        yield cut_cells(f"{id}  {box.kind + ' ' if box.kind else ''}← {source}", width)
        return
    if box.role == "input":
        yield cut_cells(f"{id}  {box.kind}{' = ' + box.value if box.value else ''}", width)
        if box.about:
            yield cut_cells(indent + box.about, width)
        return
    kind = box.kind + ("" if box.installed else " (not installed)")
    outs = ", ".join(_out(out) for out in box.outs)
    yield cut_cells("  ".join([id, kind] + [f"→ {outs}"] * bool(outs)), width)
    for said in (box.title, box.about):
        if said:
            yield cut_cells(indent + said, width)
    empty = [f"{one.name} ← nothing" for one in box.ins if not one.linked]
    parts = [*sources, *empty, *(f"{name}: {value}" for name, value in box.settings), *box.flags]
    for line in _packed(parts, width - len(indent)):
        yield indent + line


def _out(out: Socket) -> str:
    return out.name if out.type is None or str(out.type) == out.name else f"{out.name}: {out.type}"


def _packed(parts: Iterable[str], width: int) -> Iterator[str]:
    """The parts side by side in as many lines as they need, none parted; one too long for a line is cut."""
    line = ""
    for part in parts:
        part = cut_cells(part, width)
        if line and _cells(line + _APART + part) <= width:
            line += _APART + part
        else:
            if line:
                yield line
            line = part
    if line:
        yield line


def _wrapped(words: Iterable[str], width: int) -> Iterator[str]:
    """The words in lines; one too long for a line, or in a script without spaces, is broken."""
    from rich.cells import chop_cells

    line = ""
    for word in words:
        for piece in chop_cells(word, width):
            if line and _cells(f"{line} {piece}") <= width:
                line += f" {piece}"
            else:
                if line:
                    yield line
                line = piece
    if line:
        yield line


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
