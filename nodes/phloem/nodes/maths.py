"""Mathematics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from phloem.nodes.names import check_names, input_ports
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Ports, PortType, Vector


def _calculate_ports(settings: Mapping[str, Any], types: Mapping[str, PortType]) -> Ports:
    from phloem.nodes.expressions import compiled

    text = settings.get("expression")
    if not isinstance(text, str | int | float):
        return Ports()
    found = compiled(str(text))
    names = check_names(found.names, "the variable", taken=["expression"])
    numbers = input_ports(names, PortType("number"), "A number in the expression")
    return Ports(numbers, {"value": PortType("boolean" if found.is_boolean else "number")})


@node(
    "math.calculate",
    "Calculate",
    ports=_calculate_ports,
    examples=[
        Example({"expression": "round(length * width / 2, 1)", "length": 5, "width": 2.5}, {"value": 6.3}),
        Example({"expression": "score >= 0.5 and hits > 0", "score": 0.7, "hits": 3}, {"value": True}),
    ],
)
def calculate(
    expression: Annotated[str, Setting("Arithmetic; each name in it becomes an input", shapes=True)],
    **numbers: float,
) -> Annotated[float, Out("value")]:
    """Work out an arithmetic expression.

    It takes `+ - * /`, `//` (whole division), `%` (what is left over), `^` or `**` (power), brackets,
    comparisons, `and`, `or`, `not`, and `a if b else c`. With a comparison the result is true or false,
    otherwise a number. There are the constants pi, tau and e, and the functions abs, round, floor, ceil,
    trunc, sign, min, max, sum, mean, median, clamp, sqrt, cbrt, exp, log, ln, log2, log10, hypot,
    factorial, gcd, lcm, degrees, radians, sin, cos, tan, asin, acos, atan, atan2, sinh, cosh and tanh.

    Angles are in radians; `log(x, 10)` takes another base; `round` rounds halves away from zero.
    """
    from phloem.nodes.expressions import compiled

    return compiled(expression).value(numbers)


@node(
    "math.similarity",
    "Similarity",
    examples=[
        Example({"a": [1, 0], "b": [1, 1]}, {"value": 0.7071}),
        Example({"a": [3, 4], "b": [-4, 3]}, {"value": 0}),
    ],
)
def similarity(
    a: Annotated[Vector, In("The first vector")],
    b: Annotated[Vector, In("The vector to compare it with")],
) -> Annotated[float, Out("value")]:
    """Tell how alike two vectors are: 1 if they point the same way, 0 if they have nothing in common.

    It is the cosine of the angle between them, and -1 for opposite ones. The vectors of texts that mean
    the same are alike; compare only vectors of one model.
    """
    if len(a) != len(b):
        raise InputError(
            f"the vectors have {len(a)} and {len(b)} numbers", hint="Make both with the same embedding model."
        )
    lengths = math.hypot(*a) * math.hypot(*b)
    if not lengths or not math.isfinite(lengths):
        raise InputError("a vector of zeros, or with a number that is not finite, points nowhere")
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return min(1.0, max(-1.0, product / lengths))
