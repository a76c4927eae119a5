"""A workflow run once: one that is drawn as a box, and one that lies in a file of its own."""

from __future__ import annotations

from typing import Annotated, Any, Final

from phloem.runtime.body import Body
from phloem.runtime.declare import Setting, node
from phloem.runtime.kinds import Example, Nesting

_DO: Final = """\
inputs:
  text: {type: text}
nodes:
  words:
    kind: text.count@1
    in: {text: input.text}
  loud:
    kind: text.case@1
    in: {text: input.text}
    set: {to: upper}
outputs:
  loud: loud.text
  words: words.words
"""

_FILE: Final = f"phloem: 1\ntitle: Loud\n{_DO}"


@node(
    "flow.group",
    "Group",
    nests=Nesting(),
    examples=[Example({"text": "it rains"}, {"loud": "IT RAINS", "words": 2}, do=_DO)],
)
async def group(body: Body, **inputs: Any) -> dict[str, Any]:
    """Run the nested workflow under `do`: several nodes in one box.

    What the body uses as `input.NAME` is an input of the node, and its outputs are those of the node. What is said
    of the node holds for all of it: with `on_error: route` whatever fails inside comes out as `error`, and
    `timeout`, `retry` and `limit` are for the whole.
    """
    return await body(inputs)


@node(
    "flow.call",
    "Call a file",
    needs=["read:workflow"],
    nests=Nesting(file="workflow"),
    examples=[
        Example(
            {"workflow": "loud.flow.yaml", "text": "it rains"},
            {"loud": "IT RAINS", "words": 2},
            files={"loud.flow.yaml": _FILE},
        )
    ],
)
async def call(
    body: Body,
    workflow: Annotated[
        str, Setting("The workflow file, relative to the folder of this one", shapes=True, path="path")
    ],
    **inputs: Any,
) -> dict[str, Any]:
    """Run another workflow file: its inputs are those of the node, and so are its outputs.

    Paths in that file are relative to its own folder. Files cannot call one another in a circle.
    """
    return await body(inputs)
