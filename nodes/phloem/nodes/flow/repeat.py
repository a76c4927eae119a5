"""A workflow run again and again, each turn with what the one before gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from phloem.runtime.body import Body
from phloem.runtime.context import Context
from phloem.runtime.declare import Setting, node
from phloem.runtime.errors import InputError, LimitReached, NodeError, PermissionNeeded, SettingError
from phloem.runtime.kinds import Example, Inside, Nesting
from phloem.runtime.ports import PortType
from phloem.runtime.values import UNLIT
from phloem.runtime.words import nearest, or_list

TURNS: Final = "turns"

_DO: Final = """\
inputs:
  amount: {type: number}
nodes:
  more:
    kind: math.calculate@1
    in: {amount: input.amount}
    set: {expression: amount * 2}
  enough:
    kind: logic.compare@1
    in: {a: more.value}
    set: {op: ">=", b: 100}
outputs:
  amount: more.value
  enough: enough.result
"""


def _outputs(settings: Mapping[str, Any], inside: Inside) -> Mapping[str, PortType]:
    if TURNS in inside.outputs:
        raise SettingError(
            f"the body has an output called {TURNS}, which is the name of the number of turns",
            hint="Give the output of the body another name.",
        )
    until = settings.get("until") or ""
    if until:
        _check_until(until, inside.outputs)
    return {**inside.outputs, TURNS: PortType("number")}


def _check_until(until: str, outputs: Mapping[str, PortType]) -> None:
    """SettingError unless `until` is an output that can be true or false."""
    if until not in outputs:
        near = nearest(until, outputs)
        known = f"The body has {or_list(list(outputs), 'and')}." if outputs else "The body has no outputs."
        raise SettingError(f"the body has no output called {until}", hint=f"Did you mean {near}?" if near else known)
    if outputs[until] != PortType("boolean") and not outputs[until].is_open:
        raise SettingError(
            f"the output {until} gives {outputs[until]}, and what decides when to end is true or false",
            hint="Compare it with something first, as with logic.compare.",
        )


@node(
    "flow.repeat",
    "Repeat",
    nests=Nesting(outputs=_outputs, carries=True, most="times"),
    examples=[Example({"amount": 7, "until": "enough"}, {"amount": 112, "enough": True, "turns": 4}, do=_DO)],
)
async def repeat(
    ctx: Context,
    body: Body,
    *,
    times: Annotated[int, Setting("How often at most", ge=1, le=1_000_000)] = 10,
    until: Annotated[
        str, Setting("The output of the body that ends it when it is true; empty for every turn", shapes=True)
    ] = "",
    at_limit: Annotated[
        Literal["give", "fail"],
        Setting("What to do after the last turn if it is not true: give what there is, or fail"),
    ] = "give",
    **inputs: Any,
) -> dict[str, Any]:
    """Run the nested workflow under `do` again and again, until one of its outputs is true or for a number of times.

    An output of the body that has the name of one of its inputs is carried: it is that input in the next turn. One
    that is not lit leaves the input as it was. The node gives the outputs of the last turn, those that are carried
    as they stand then, and the number of `turns`.
    """
    carried = {name: turn for name, turn in body.carried.items() if name in inputs}
    state = dict(inputs)
    most = int(times)
    for turn in range(most):
        try:
            given = await body(state, turn)
        except (NodeError, PermissionNeeded) as error:
            # The limit of the node, or of the run, is that of all turns together.
            if not isinstance(error, LimitReached) or body.may_go_on(error):
                error.message = f"turn {turn + 1}: {error.message}"
            raise
        for name, turned in carried.items():
            value = given[name]
            if value is not UNLIT:
                state[name] = value if turned is None else turned(value)
        if until and given[until] is not UNLIT and _is_true(given[until], until):
            break
        if turn & 1023 == 1023:
            ctx.progress(None if until else (turn + 1) / most, f"turn {turn + 1:,}")
    else:
        if until and at_limit == "fail":
            raise InputError(
                f"after {most:,} turns {until} is not true",
                hint="Raise `times`, or have it give what there is: `at_limit: give`.",
            )
    lasting = {name: state[name] for name in carried if given[name] is UNLIT}
    return {**given, **lasting, TURNS: turn + 1}


def _is_true(value: Any, until: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{until} should be true or false, and it is {str(value)[:60]}")
    return value
