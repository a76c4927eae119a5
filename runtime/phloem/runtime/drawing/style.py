"""The style sheet inside an SVG picture: sizes and faces of letters, and the colours of one theme or of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from phloem.runtime.drawing.palette import DARK, LIGHT, Palette

__all__ = ["Theme", "style_of"]

Theme = Literal["auto", "light", "dark"]

_SANS: Final = (
    "system-ui,-apple-system,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif,'Apple Color Emoji','Segoe UI Emoji'"
)
_MONO: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono','DejaVu Sans Mono',monospace"

_SHAPES: Final = (
    f"text{{font:11px {_SANS}}}",
    ".title{font-size:18px;font-weight:650}",
    ".about{font-size:12.5px}",
    ".headline{font-size:13.5px;font-weight:600}",
    f".subline,.setting{{font:10.5px {_MONO}}}",
    ".middle{text-anchor:middle}",
    ".end{text-anchor:end}",
    "tspan{unicode-bidi:isolate}",
    ".link,.halo,.core,.rule{fill:none}",
    ".link{stroke:currentColor;stroke-width:2;stroke-linecap:round}",
    ".link.list{stroke-width:4.4}",
    ".core{stroke-width:1.6}",
    ".halo{stroke-width:7}",
    ".link.back{stroke-dasharray:6 5}",
    ".card{stroke-width:1}",
    ".stripe{fill:currentColor}",
    ".dot{fill:currentColor;stroke-width:2}",
    ".dot.open{stroke:currentColor;stroke-width:1.5}",
    ".shadow{opacity:.09}",
    ".off{opacity:.45}",
)


def style_of(theme: Theme, bases: Iterable[str]) -> str:
    """The rules for `theme` with the colours of these base types; `auto` is light, and dark on a dark page."""
    bases = list(bases)
    rules = [*_SHAPES, *_colours(DARK if theme == "dark" else LIGHT, bases)]
    dark = f"@media (prefers-color-scheme:dark){{{_scoped(_colours(DARK, bases))}}}" if theme == "auto" else ""
    return _scoped(rules) + dark


def _scoped(rules: Iterable[str]) -> str:
    """The rules for this picture alone, so that one put into a page leaves the page's own drawings as they are."""
    return "\n".join(
        ",".join(f".phloem {one}" for one in names.split(",")) + "{" + rest
        for names, _, rest in (rule.partition("{") for rule in rules)
    )


def _colours(palette: Palette, bases: Iterable[str]) -> list[str]:
    return [
        f".paper{{fill:{palette.paper};stroke:{palette.frame}}}",
        f".dots{{fill:{palette.dots}}}",
        f".card{{fill:{palette.card};stroke:{palette.border}}}",
        ".pill{stroke:currentColor;stroke-width:1.5}",
        ".unknown>.card{stroke:currentColor;stroke-width:1.4;stroke-dasharray:5 4}",
        f".shadow{{fill:{palette.shadow}}}",
        f".rule{{stroke:{palette.rule}}}",
        f".halo{{stroke:{palette.paper}}}",
        f".core{{stroke:{palette.paper}}}",
        f".dot{{stroke:{palette.card}}}",
        f".dot.open{{fill:{palette.card};stroke:currentColor}}",
        f"text,.value{{fill:{palette.ink}}}",
        f".about,.subline,.port,.setting{{fill:{palette.faint}}}",
        f".t-unknown,.unknown{{color:{palette.unknown}}}",
        *(f".t-{base}{{color:{palette.types[base]}}}" for base in bases),
    ]
