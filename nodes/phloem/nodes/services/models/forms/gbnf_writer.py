"""Grammars in the notation that llama.cpp reads.

Notation: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

from collections.abc import Mapping

from phloem.nodes.services.models.forms.tree import Alt, Chars, Node, Ref, Repeat, Seq, Text

__all__ = ["written"]


def written(rules: Mapping[str, Node]) -> str:
    """The rules as text, under names of our own. Only what Grammar.check has passed is safe to give to llama.cpp."""
    return _Writer(rules).text()


class _Writer:
    """Writes rules down, each part that repeats as a rule of its own.

    llama.cpp counts the rules that a repeated group makes, and refuses it from 2,000 times their number on.
    """

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._names = {rule: "root" if rule == "root" else f"r{index}" for index, rule in enumerate(rules)}
        self._rules = rules
        self._repeated: dict[Node, str] = {}
        self._waiting: list[Node] = []

    def text(self) -> str:
        lines = [f"{self._names[rule]} ::= {self._written(node)}\n" for rule, node in self._rules.items()]
        while self._waiting:
            node = self._waiting.pop()
            lines.append(f"{self._repeated[node]} ::= {self._written(node)}\n")
        return "".join(lines)

    def _written(self, node: Node) -> str:
        match node:
            case Text(text):
                return '"' + "".join(_character(ord(character)) for character in text) + '"'
            case Chars(ranges):
                return "[" + "".join(_range(low, high) for low, high in ranges) + "]"
            case Seq(items):
                return " ".join(self._written(item) for item in items) or '""'
            case Alt(options):
                return "(" + " | ".join(self._written(option) for option in options) + ")"
            case Repeat(item, least, most):
                short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
                times = short or ("{%d,}" % least if most is None else "{%d,%d}" % (least, most))  # noqa: UP031
                return self._named(item) + times
            case Ref(rule):
                return self._names[rule]

    def _named(self, node: Node) -> str:
        """Something that can be repeated as it stands."""
        if isinstance(node, Text | Chars | Ref):
            return self._written(node)
        if node not in self._repeated:
            self._repeated[node] = f"s{len(self._repeated)}"
            self._waiting.append(node)
        return self._repeated[node]


def _range(low: int, high: int) -> str:
    return _character(low) + (f"-{_character(high)}" if high > low else "")


def _character(code: int) -> str:
    """A character so that it means itself, in a text and in a set."""
    if code < 0x80:
        return chr(code) if chr(code).isalnum() or chr(code) in " _:,.=" else f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
