"""One value of a YAML file changed in place, so that comments, order and form of the rest stay a person's own."""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["edited"]


def edited(text: str, section: str, name: str, value: Any, wanted: dict[str, Any]) -> str:
    """`text` with `section.name` set to `value`, or, if it is there, taken out for None: YAML that reads as `wanted`.

    Where the file is written in a way that cannot be changed in place it is written anew, without its comments.
    """
    try:
        changed = _changed(text, section, name, value)
        if yaml.safe_load(changed) == (wanted or None):
            return changed
    except yaml.YAMLError:
        pass
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True) if wanted else ""


def _changed(text: str, section: str, name: str, value: Any) -> str:
    entry = _found(yaml.compose(text, yaml.SafeLoader), section)
    if entry is None:
        return f"{_ended(text)}{_key(section)}:\n{_entry(name, value, 2)}"
    key, entries = entry
    inner = _found(entries, name)
    if inner is not None:
        alone = value is None and len(entries.value) == 1
        return _replaced(text, *(entry if alone else inner), name, value)
    if isinstance(entries, yaml.ScalarNode) and not entries.value:
        # Nothing stands in the section but, perhaps, comments.
        at = _line_end(text, key.end_mark.index)
        return _ended(text[:at]) + _entry(name, value, key.start_mark.column + 2) + text[at:]
    if not isinstance(entries, yaml.MappingNode) or entries.flow_style or not entries.value:
        raise yaml.YAMLError("not a block of names")
    # Behind the last entry's own line: what follows it may be a comment on the next section.
    last_key, last = entries.value[-1]
    at = _line_end(text, max(last_key.end_mark.index, _end(text, last)))
    return _ended(text[:at]) + _entry(name, value, last_key.start_mark.column) + text[at:]


def _replaced(text: str, key: Any, node: Any, name: str, value: Any) -> str:
    """`text` with the entry of `key` and `node` given another value, or without its lines."""
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    if value is None:
        return text[:start] + text[_line_end(text, _end(text, node)) :]
    if isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">"):
        return text[: node.start_mark.index] + _inline(value) + text[node.end_mark.index :]
    indent = key.start_mark.column
    return text[:start] + _entry(name, value, indent) + text[_line_end(text, _end(text, node)) :]


def _found(node: Any, name: str) -> tuple[Any, Any] | None:
    """The key and the value called `name` in a mapping."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def _end(text: str, node: Any) -> int:
    """Where a value's own text ends: the mark of a block stands where the next entry begins."""
    end = int(node.end_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    return len(text[:end].rstrip()) if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") else end


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _entry(name: str, value: Any, indent: int) -> str:
    return f"{' ' * indent}{_key(name)}: {_inline(value)}\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w-]*", name) else _inline(name)


def _inline(value: Any) -> str:
    """A value in one line."""
    line = yaml.safe_dump(value, default_flow_style=True, width=1_000_000, allow_unicode=True, sort_keys=False)
    return line.removesuffix("...\n").strip()
