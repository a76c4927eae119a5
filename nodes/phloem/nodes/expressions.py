"""Arithmetic that a person typed, evaluated by simpleeval on a tree of nothing but arithmetic.

The tree is looked through before anything runs, so only numbers, names, operators and the functions below
come to be evaluated; powers and products are measured first, so `9^9^9` ends at once.
"""

from __future__ import annotations

import ast
import math
import operator
import statistics
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, Final

from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.words import nearest, or_list
from simpleeval import SimpleEval

__all__ = ["Expression", "compiled"]

LONGEST: Final = 2_000
MOST_BITS: Final = 4_096
"""Size of a whole number on the way; a person's numbers end at some 50 bits, floats at 1,024."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression ready to be worked out. `names` are its variables; `is_boolean` if it gives true or false."""

    text: str
    names: tuple[str, ...]
    is_boolean: bool
    _tree: ast.Expr
    _evaluator: SimpleEval

    def value(self, numbers: Mapping[str, float]) -> float | bool:
        """The result for these values of its names; InputError when there is none, such as 1/0."""
        token = _numbers.set(numbers)
        try:
            result = self._evaluator.eval(self.text, self._tree)
        except ZeroDivisionError:
            raise InputError(f"{self._with(numbers)} divides by zero") from None
        except (OverflowError, _TooLarge):
            raise InputError(f"{self._with(numbers)} is too large a number") from None
        except (ArithmeticError, ValueError, TypeError) as error:
            raise InputError(f"{self._with(numbers)} has no result: {error}") from None
        except RecursionError:
            raise SettingError("the expression is nested too deeply") from None
        finally:
            _numbers.reset(token)
        if self.is_boolean:
            return bool(result)
        if isinstance(result, complex) or (isinstance(result, float) and not math.isfinite(result)):
            raise InputError(f"{self._with(numbers)} is not a real number")
        return int(result) if isinstance(result, bool) else result

    def _with(self, numbers: Mapping[str, float]) -> str:
        values = ", ".join(f"{name} = {_shown(numbers[name])}" for name in self.names[:6] if name in numbers)
        return f"{self.text[:200]} with {values}" if values else self.text[:200]


@lru_cache(maxsize=512)
def compiled(text: str) -> Expression:
    """The expression with this text. SettingError says what in it is not arithmetic."""
    if len(text) > LONGEST:
        raise SettingError(f"the expression is longer than {LONGEST:,} characters")
    try:
        tree = ast.parse(text.translate(_SIGNS).strip(), mode="eval").body
        names = sorted(_Reader().read(tree))
        whole = ast.fix_missing_locations(ast.Expr(_Truths().visit(tree)))
        is_boolean = _is_boolean(tree)
    except SyntaxError:
        hint = "Write = twice to compare, and * between factors: 2 * x." if text.strip() else None
        raise SettingError(f"{text[:200]!r} is not an expression", hint=hint) from None
    except (RecursionError, MemoryError, ValueError):
        raise SettingError("the expression is nested too deeply, or has a character that means nothing") from None
    evaluator = SimpleEval(operators=_OPERATORS, functions={**_FUNCTIONS, _TRUTH: bool}, names=_Names())
    return Expression(text, tuple(names), is_boolean, whole, evaluator)


_numbers: ContextVar[Mapping[str, float]] = ContextVar("_numbers")


class _Names:
    """What simpleeval asks for the value of a name: the same object for every call, in any thread."""

    def __getitem__(self, name: str) -> float:
        return _CONSTANTS[name] if name in _CONSTANTS else _numbers.get()[name]


class _TooLarge(Exception):
    """A whole number would have more than MOST_BITS."""


def _shown(number: float) -> str:
    return str(number)[:40] if abs(number) < 1e300 else "a number of hundreds of digits"


class _Reader(ast.NodeVisitor):
    """Collects the variables of a tree; SettingError for anything that is not arithmetic."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def read(self, tree: ast.expr) -> set[str]:
        self.visit(tree)
        return self.names

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, _ALLOWED):
            raise SettingError(
                f"an expression cannot hold {_NAMED.get(type(node), 'such a thing')}",
                hint="It takes numbers, names, + - * / // % ^, comparisons, and, or, not, and functions: round(x, 2).",
            )
        super().generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            if not isinstance(node.value, bool):
                raise SettingError(f"{str(node.value)[:40]!r} is not a number", hint="For text, use text.template.")
        elif isinstance(node.value, int) and node.value.bit_length() > MOST_BITS:
            raise SettingError("the expression has a number of more than a thousand digits")

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _FUNCTIONS:
            raise SettingError(
                f"{node.id} is a function", hint=f"Write {node.id}(…), or call the variable something else."
            )
        if node.id not in _CONSTANTS:
            self.names.add(node.id)

    def visit_Call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise SettingError("a function is called by its name, with numbers in brackets")
        if node.func.id not in _FUNCTIONS:
            near = nearest(node.func.id, _FUNCTIONS)
            hint = f"Did you mean {near}?" if near else f"There is {or_list(sorted(_FUNCTIONS), 'and')}."
            raise SettingError(f"there is no function {node.func.id}", hint=hint)
        for argument in node.args:
            self.visit(argument)


class _Truths(ast.NodeTransformer):
    """Makes `and` and `or` give true or false, where Python gives one of the two sides."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.Call:
        self.generic_visit(node)
        return ast.Call(ast.Name(_TRUTH, ast.Load()), [node], [])


def _is_boolean(tree: ast.expr) -> bool:
    if isinstance(tree, ast.IfExp):
        return _is_boolean(tree.body) and _is_boolean(tree.orelse)
    if isinstance(tree, ast.Constant | ast.Name):
        return isinstance(tree.value if isinstance(tree, ast.Constant) else _CONSTANTS.get(tree.id), bool)
    return isinstance(tree, ast.Compare | ast.BoolOp) or (
        isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
    )


def _product(a: float, b: float) -> float:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b.bit_length() > MOST_BITS:
        raise _TooLarge
    return a * b


def _power(a: float, b: float) -> Any:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > MOST_BITS:
        raise _TooLarge
    return a**b


def _rounded(number: float, digits: float = 0) -> float:
    """Rounded as people do it, halves away from zero, on the number as it is written."""
    if not -300 <= digits <= 300 or digits != int(digits):
        raise ValueError("round takes a number and how many digits to keep")
    if isinstance(number, int) and digits >= 0:
        return number
    rounded = Decimal(repr(number)).quantize(Decimal(1).scaleb(-int(digits)), ROUND_HALF_UP, _PRECISE)
    return float(rounded) if digits > 0 else int(rounded)


def _sum(numbers: tuple[float, ...]) -> float:
    """Whole for whole numbers, and for others without the errors that add up."""
    return math.fsum(numbers) if any(isinstance(number, float) for number in numbers) else sum(numbers)


def _factorial(number: float) -> int:
    if number != int(number) or not 0 <= number <= 170:
        raise ValueError("factorial takes a whole number from 0 to 170")
    return math.factorial(int(number))


def _clamp(number: float, low: float, high: float) -> float:
    return min(max(number, low), high)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _of_whole(function: Callable[..., int]) -> Callable[..., int]:
    """A function of whole numbers that takes 4.0 for 4."""

    def call(*numbers: float) -> int:
        if any(number != int(number) for number in numbers):
            raise ValueError(f"{function.__name__} takes whole numbers")
        return function(*(int(number) for number in numbers))

    return call


def _of_many(function: Callable[[tuple[float, ...]], float]) -> Callable[..., float]:
    return lambda *numbers: function(numbers)


_PRECISE: Final = Context(prec=2_000)
_TRUTH: Final = "_truth"
_SIGNS: Final = str.maketrans({"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "≤": "<=", "≥": ">=", "≠": "!="})
_CONSTANTS: Final = {"pi": math.pi, "e": math.e, "tau": math.tau, "true": True, "false": False}
_ALLOWED: Final = (
    ast.expr_context, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Name, ast.Call, ast.Constant,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.UAdd, ast.USub,
    ast.Not, ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip
_NAMED: Final[dict[type[ast.AST], str]] = {
    ast.Attribute: "a name with a dot in it", ast.Subscript: "square brackets", ast.List: "a list",
    ast.Tuple: "a comma", ast.Dict: "an object", ast.Set: "a set", ast.Lambda: "a function of its own",
    ast.JoinedStr: "text", ast.Starred: "a star before a name", ast.BitAnd: "the sign &", ast.BitOr: "the sign |",
    ast.Invert: "the sign ~", ast.LShift: "the sign <<", ast.RShift: "the sign >>", ast.MatMult: "the sign @",
    ast.NamedExpr: "the sign :=",
    ast.In: "the word in", ast.NotIn: "the word in", ast.Is: "the word is", ast.IsNot: "the word is",
    ast.ListComp: "a loop", ast.GeneratorExp: "a loop", ast.SetComp: "a loop", ast.DictComp: "a loop",
}  # fmt: skip
_OPERATORS: Final[dict[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: _product, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: _power,
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "abs": abs, "round": _rounded, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc, "sign": _sign,
    "min": _of_many(min), "max": _of_many(max), "sum": _of_many(_sum), "mean": _of_many(statistics.fmean),
    "median": _of_many(statistics.median), "clamp": _clamp,
    "sqrt": math.sqrt, "cbrt": math.cbrt, "exp": math.exp, "log": math.log, "ln": math.log, "log2": math.log2,
    "log10": math.log10, "hypot": math.hypot, "factorial": _factorial, "gcd": _of_whole(math.gcd),
    "lcm": _of_whole(math.lcm), "degrees": math.degrees, "radians": math.radians,
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos, "atan": math.atan,
    "atan2": math.atan2, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh,
}  # fmt: skip
