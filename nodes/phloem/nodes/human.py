"""Kinds that ask a person: for an answer, for leave to go on, for a choice.

Whoever is at the terminal of the run is asked; without anybody there the run leaves off when nothing else is left to
do, and `phloem runs answer` answers from wherever one is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from phloem.nodes.checks import one_of
from phloem.runtime.codec import digest, json_form
from phloem.runtime.context import Context
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.document.fields import seconds_of
from phloem.runtime.errors import InputError, NodeTimeout, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Ports, PortType, expect
from phloem.runtime.values import UNLIT

LONGEST: Final = 10 * 366 * 86_400.0
MOST_SHOWN: Final = 2_000
"""Characters of a value that are shown to whoever decides about it."""
_ABOUT: Final = "What to ask"
_TIMEOUT: Final = "How long an answer may take (30s, 2h, 3 days), also while the run is left off; empty for ever"
Settings = Mapping[str, Any]
Types = Mapping[str, PortType]


class Verdict(NamedTuple):
    """The outputs of human.approve."""

    approved: Any
    refused: Any


@node(
    "human.ask",
    "Ask a person",
    effect="chance",
    ports=lambda settings, types: Ports({}, {"answer": PortType(str(settings.get("type", "text")))}),
    examples=[Example({"about": "Which colour?", "timeout": "0s", "default": "blue"}, {"answer": "blue"})],
)
async def ask(
    ctx: Context,
    about: Annotated[str, In(_ABOUT)],
    *,
    type: Annotated[Literal["text", "number", "json"], Setting("What is answered", shapes=True)] = "text",
    timeout: Annotated[str, Setting(_TIMEOUT)] = "",
    default: Annotated[Any, Setting("The answer when nobody has answered in time; without one the node fails")] = None,
) -> Annotated[Any, Out("answer")]:
    """Ask a person something, and give the answer.

    The rest of the run goes on meanwhile. Each question is asked once: an answer that was given holds, also when the
    run is interrupted and resumed.
    """
    one_of("type", type, ["text", "number", "json"])
    if default is not None:
        try:
            default = expect(default, PortType(type))
        except InputError as error:
            raise SettingError(f"default: {error.message}", hint="It has to be what can be answered.") from error
    try:
        return await ctx.ask(about, type=type, timeout=_seconds(timeout))
    except NodeTimeout:
        if default is None:
            raise
        return default


@node(
    "human.approve",
    "Let a person decide",
    effect="chance",
    ports=lambda settings, types: Ports({}, dict.fromkeys(Verdict._fields, types.get("value", PortType("any")))),
    examples=[
        Example(
            {"value": "the letter", "about": "Send it?", "timeout": "0s"},
            {"approved": UNLIT, "refused": "the letter"},
        )
    ],
)
async def approve(
    ctx: Context,
    value: Annotated[Any, In("What to send one way or the other", maps="along")] = None,
    *,
    about: Annotated[str, In(_ABOUT)],
    timeout: Annotated[str, Setting(_TIMEOUT)] = "",
    default: Annotated[
        Literal["refused", "approved", "fail"], Setting("What holds when nobody has answered in time")
    ] = "refused",
) -> Verdict:
    """Send a value one way if a person approves, and the other way if not.

    The value is shown below the question and belongs to it: an answer that was recorded for another value does not
    count. Only one of the two outputs is lit; nodes that hang only on the other one are skipped. Without an answer in
    time it is refused, unless `default` says otherwise.
    """
    one_of("default", default, ["refused", "approved", "fail"])
    try:
        approved = await ctx.ask(_with(about, value), type="boolean", timeout=_seconds(timeout))
    except NodeTimeout:
        if default == "fail":
            raise
        approved = default == "approved"
    return Verdict(value, UNLIT) if approved else Verdict(UNLIT, value)


@node(
    "human.choose",
    "Let a person choose",
    effect="chance",
    examples=[
        Example(
            {"about": "Which title?", "choices": ["Looms", "Weaving"], "timeout": "0s", "default": "Looms"},
            {"choice": "Looms"},
        )
    ],
)
async def choose(
    ctx: Context,
    about: Annotated[str, In(_ABOUT)],
    choices: Annotated[list[str], In("What to choose from")],
    *,
    timeout: Annotated[str, Setting(_TIMEOUT)] = "",
    default: Annotated[str, Setting("The choice when nobody has answered in time; without one the node fails")] = "",
) -> Annotated[str, Out("choice")]:
    """Have a person choose one of several texts, and give the one that was chosen.

    flow.switch takes a way by it.
    """
    words = list(dict.fromkeys(choices))
    if not words:
        raise SettingError("there is nothing to choose from", hint="Give it at least one choice.")
    if default and default not in words:
        raise SettingError(f"the default {default[:60]!r} is none of the choices", hint="Choose one of them.")
    try:
        chosen: str = await ctx.ask(about, choices=words, timeout=_seconds(timeout))
    except NodeTimeout:
        if not default:
            raise
        return default
    return chosen


def _with(about: str, value: Any) -> str:
    """The question with what it is about. Of a long value there is the beginning, and a digest of the whole."""
    if value is None:
        return about
    text = value if isinstance(value, str) else json.dumps(json_form(value), ensure_ascii=False, indent=2)
    if len(text) > MOST_SHOWN:
        whole = digest(text.encode("utf-8", "surrogatepass")).hex()[:12]
        text = f"{text[:MOST_SHOWN]}… ({len(text):,} characters, {whole})"
    return f"{about}\n{text}"


def _seconds(text: str) -> float | None:
    """A length of time in seconds, None for no bound; SettingError if it is none."""
    words = str(text).strip()
    if not words:
        return None
    seconds = seconds_of(words)
    if seconds is None:
        try:
            seconds = float(words)
        except ValueError:
            seconds = -1.0
    if not 0 <= seconds <= LONGEST:
        raise SettingError(f"timeout {words[:60]!r} is not a length of time", hint="Write 30s, 2h or 3 days.")
    return seconds
