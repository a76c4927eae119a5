"""Write what the docs have from the code: docs/nodes.md from the kinds, and the pictures of two examples."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from phloem.runtime.catalogue import Catalogue, installed_catalogue
from phloem.runtime.codec import json_form
from phloem.runtime.document import load
from phloem.runtime.drawing import as_svg
from phloem.runtime.home import Home
from phloem.runtime.kinds import Example, NodeKind
from phloem.runtime.ports import Port
from phloem.runtime.words import or_list

ROOT = Path(__file__).parent.parent
DRAWN = ("ask-a-page", "teasers")

HEAD = """# The built-in nodes

Written by `make docs` from the kinds themselves; do not edit it by hand. `phloem nodes KIND` shows the
same in a terminal. Inputs take links, settings are written under `set`; either may be given the other
way, except a setting that decides which ports the node has.
"""


def nodes_page(catalogue: Catalogue) -> str:
    """The reference of every kind, grouped by family."""
    parts = [HEAD]
    family = ""
    for kind in catalogue:
        if kind.family != family:
            family = kind.family
            parts.append(f"## {family}\n")
        parts.append(_kind(kind))
    return "\n".join(parts)


def _kind(kind: NodeKind) -> str:
    lines = [f"### {kind.name}", "", f"**{kind.title}.** {kind.about}", ""]
    sockets = [port for port in kind.inputs.values() if not port.setting]
    settings = [port for port in kind.inputs.values() if port.setting]
    for title, ports in (("Inputs", sockets), ("Settings", settings)):
        if ports:
            lines += [f"{title}:", "", *map(_port, ports), ""]
    if kind.ports is not None:
        lines += ["Its settings and links decide some of its ports.", ""]
    if kind.nests is not None:
        whose = "the file that it runs" if kind.nests.file else "the workflow under `do`"
        lines += [f"Inputs and outputs of {whose} decide some of its ports.", ""]
    if kind.outputs:
        lines += ["Outputs: " + ", ".join(f"`{name}` ({wanted})" for name, wanted in kind.outputs.items()) + ".", ""]
    touched = [need.word + (f" (from `{need.port}`)" if need.port else "") for need in kind.needs]
    if touched:
        lines += [f"Touches: {', '.join(touched)}.", ""]
    for example in kind.examples[:1]:
        lines += [*_example(example), ""]
    return "\n".join(lines)


def _port(port: Port) -> str:
    notes = ["required"] if port.required else []
    if not port.required and port.default not in (None, "", ()):
        notes.append(f"default `{json.dumps(json_form(port.default), ensure_ascii=False)}`")
    if port.choices:
        notes.append(or_list([f"`{choice}`" for choice in port.choices]))
    notes += [f"{port.ge:g} or more"] if port.ge is not None else []
    notes += [f"at most {port.le:g}"] if port.le is not None else []
    notes += ["takes many links"] if port.many else []
    words = f". {port.about}" if port.about else ""
    return f"- `{port.name}` ({', '.join([str(port.type), *notes])}){words}"


def _example(example: Example) -> list[str]:
    given = json.dumps(json_form(dict(example.inputs)), ensure_ascii=False)
    came = {name: "…" if value is ... else json_form(value) for name, value in example.outputs.items()}
    body = ["do:", *(f"  {line}" for line in example.do.splitlines())] if example.do else []
    return ["```", given, *body, "→", json.dumps(came, ensure_ascii=False), "```"]


def references() -> dict[Path, str]:
    """The text of every generated file."""
    catalogue = installed_catalogue(Home.default())
    examples = {name: load(ROOT / "examples" / f"{name}.flow.yaml").workflow for name in DRAWN}
    return {
        ROOT / "docs" / "nodes.md": nodes_page(catalogue),
        **{
            ROOT / "docs" / f"{name}.svg": as_svg(example, catalogue, keep_places=False)
            for name, example in examples.items()
        },
    }


def main() -> int:
    for path, text in references().items():
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
