"""A conversation as the one text that a model was taught to go on from.

A model file brings a Jinja template for that, written by whoever made the file, so it is rendered in the
same limits as a template of a workflow. What people and pages say is kept apart from the marks between
turns: a text that contains such a mark has it broken up, so that it cannot pose as another speaker.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from phloem.nodes.services.models.local.tools import described, knows_tools, spoken
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.services import Tool
from phloem.runtime.values import Message

if TYPE_CHECKING:
    import jinja2

__all__ = ["CHATML", "CHATML_END", "CHATML_MARKS", "broken_up", "conversation", "prepare"]

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant{{ '\n' }}"
)
"""How a conversation is written for a model that brings no template."""
CHATML_END: Final = "<|im_end|>"
CHATML_MARKS: Final = ("<|im_start|>", CHATML_END)

LONGEST_TEMPLATE: Final = 200_000


def conversation(
    template: str, messages: Sequence[Message], *, marks: Sequence[str], bos: str, eos: str, tools: Sequence[Tool] = ()
) -> str:
    """`messages` as `template` writes them, up to where the assistant's next words begin.

    `marks` are the texts that mean more to the model than what they say, `bos` and `eos` those that begin
    and end everything. A template that knows no tools has them described by a system message. InputError when
    the template does not take these messages, ServiceError when it cannot be used at all.
    """
    known: list[dict[str, Any]] = []
    if knows_tools(template):
        known = [_broken(described(tool), marks) for tool in tools]
    else:
        messages = spoken(messages, tools)
    turns = [_turn(message, marks) for message in messages]
    try:
        return _rendered(template, turns, known, bos, eos)
    except _Refused:
        if [turn["role"] for turn in turns[:2]] != ["system", "user"]:
            raise
    # Some templates take no system message: what it says then begins what the user says.
    first = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
    return _rendered(template, [first, *turns[2:]], known, bos, eos)


def _turn(message: Message, marks: Sequence[str]) -> dict[str, Any]:
    """A message as templates expect it. Only what was said by the assistant itself may have its calls' marks."""
    turn: dict[str, Any] = {"role": message.role, "content": broken_up(message.content, marks)}
    if message.calls:
        turn["tool_calls"] = [
            {
                "id": broken_up(call.id, marks),
                "type": "function",
                "function": {"name": broken_up(call.name, marks), "arguments": _broken(call.arguments, marks)},
            }
            for call in message.calls
        ]
    if message.call_id:
        turn["tool_call_id"] = broken_up(message.call_id, marks)
    return turn


def _broken(value: Any, marks: Sequence[str]) -> Any:
    """A JSON value with every text in it broken up."""
    if isinstance(value, str):
        return broken_up(value, marks)
    if isinstance(value, Mapping):
        return {broken_up(str(key), marks): _broken(one, marks) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_broken(one, marks) for one in value]
    return value


def prepare(template: str) -> None:
    """Get ready to use a template, which otherwise happens on its first use. What is wrong with it is told then."""
    with contextlib.suppress(Exception):
        _compiled(template)


def broken_up(text: str, marks: Iterable[str]) -> str:
    """`text` with a space inside each of `marks` that it contains."""
    for mark in marks:
        if len(mark) > 1 and mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


class _Refused(InputError):
    """The template itself says that it does not take these messages."""


def _rendered(template: str, turns: list[dict[str, Any]], tools: list[dict[str, Any]], bos: str, eos: str) -> str:
    from phloem.nodes.templates import budget

    work = budget.Work()
    token = budget.current.set(work)
    try:
        known = {
            "messages": turns, "bos_token": bos, "eos_token": eos, "add_generation_prompt": True,
            "tools": tools or None,
            "raise_exception": _refuse, "strftime_now": _strftime_now,
        }  # fmt: skip
        return budget.collected(_compiled(template).generate(known), work)
    except _Refused:
        raise
    except Exception as error:
        raise ServiceError(
            f"the model's chat template cannot be used: {str(error)[:300] or type(error).__name__}",
            hint="The template is a part of the model file. Choose another model.",
        ) from error
    finally:
        budget.current.reset(token)


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    from phloem.nodes.templates.sandbox import bounded

    if len(template) > LONGEST_TEMPLATE:
        raise ValueError(f"it is longer than {LONGEST_TEMPLATE:,} characters")
    sandbox = _sandbox()
    return sandbox.from_string(bounded(sandbox.parse(template)))


@functools.cache
def _sandbox() -> jinja2.Environment:
    """The sandbox of all templates, but as chat templates expect it: what is missing counts as empty."""
    import jinja2
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from phloem.nodes.templates.sandbox import environment

    class Generation(Extension):
        """`{% generation %}` marks what an assistant says, for training; here it only stands around it."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return environment().overlay(undefined=jinja2.Undefined, extensions=[Generation])


def _refuse(message: object) -> NoReturn:
    raise _Refused(
        f"the model does not take this conversation: {str(message)[:300]}",
        hint="Most models want user and assistant to take turns, beginning with the user.",
    )


def _strftime_now(form: str) -> str:
    from datetime import datetime

    return datetime.now().strftime(str(form)[:100])
