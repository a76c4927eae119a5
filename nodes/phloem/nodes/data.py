"""Data kinds: values written down, JSON read, queried, built and written, and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from phloem.nodes.checks import one_of, whole
from phloem.nodes.names import check_names, input_ports
from phloem.nodes.shown import LARGEST_TEXT, as_json, as_text
from phloem.runtime.declare import In, Out, Setting, node
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.kinds import Example
from phloem.runtime.ports import Json, Ports, PortType, expect, type_of_value

Settings = Mapping[str, Any]
Types = Mapping[str, PortType]

ANY: Final = PortType("any")
MOST_ITEMS: Final = 1_000_000


def _constant_ports(settings: Settings, types: Types) -> Ports:
    return Ports({}, {"value": type_of_value(settings["value"])} if "value" in settings else {})


@node(
    "data.constant",
    "Constant",
    ports=_constant_ports,
    examples=[Example({"value": ["warp", "weft"]}, {"value": ["warp", "weft"]})],
)
def constant(
    value: Annotated[Any, Setting("A text, a number, true or false, a list, an object", multiline=True, shapes=True)],
) -> Annotated[Any, Out("value")]:
    """A value written into the workflow: a text, a number, true or false, a list or an object."""
    return value


def _declared_type(settings: Settings, default: str) -> PortType:
    """The type that the setting `type` declares for the output."""
    given = settings.get("type", default)
    try:
        return PortType.parse(str(given))
    except ValueError as error:
        raise SettingError(str(error)) from None


def _typed_ports(default: str) -> Callable[[Settings, Types], Ports]:
    return lambda settings, types: Ports({}, {"value": _declared_type(settings, default)})


@node(
    "data.parse",
    "Read JSON",
    ports=_typed_ports("json"),
    examples=[
        Example({"text": '{"name": "Kay", "born": 1704}'}, {"value": {"name": "Kay", "born": 1704}}),
        Example(
            {
                "text": "Here you are:\n```json\n[1733, 1764]\n```\nAnything else?",
                "anywhere": True,
                "type": "list[number]",
            },
            {"value": [1733, 1764]},
        ),
    ],
)
def parse(
    text: Annotated[str, In("JSON, or text with JSON in it")],
    anywhere: Annotated[bool, Setting("Look for the JSON inside other text, such as a model's answer")] = False,
    type: Annotated[str, Setting("What to expect: json, number, text, list[text] and so on", shapes=True)] = "json",
) -> Annotated[Json, Out("value")]:
    """Turn the JSON in a text into a value.

    With `anywhere`, the JSON may stand in a ```code fence``` or between other words; the fence comes
    first, then the longest object or list. `type` says what the value will be, so that a `list[text]`
    can be linked to a kind that wants texts; a value of another type is an error here. To turn a text
    such as 42 into a number, set it to number.
    """
    from phloem.nodes.found_json import find_json, parse_json

    return _expected((find_json if anywhere else parse_json)(text), type)


def _expected(value: Any, type: str) -> Any:
    """`value`, if it is of the declared type."""
    wanted = _declared_type({"type": type}, "any")
    if wanted.is_open:
        return value
    if wanted.depth and not isinstance(value, list):
        raise InputError(f"expected {wanted}, got a single {_type_name(value)}")
    return expect(value, wanted)


def _type_name(value: Any) -> str:
    return "null" if value is None else str(type_of_value(value))


@node(
    "data.query",
    "Query data",
    ports=_typed_ports("any"),
    examples=[
        Example(
            {
                "value": [{"name": "Kay", "born": 1704}, {"name": "Watt", "born": 1736}],
                "query": "[?born < `1730`].name",
                "type": "list[text]",
            },
            {"value": ["Kay"]},
        )
    ],
)
def query(
    value: Annotated[Json, In("The data to look in")],
    query: Annotated[str, Setting("What to take, in JMESPath", multiline=True)],
    type: Annotated[str, Setting("What to expect: any, json, text, list[text] and so on", shapes=True)] = "any",
) -> Annotated[Any, Out("value")]:
    """Take a part of an object or a list, with a query in JMESPath.

    `address.city` goes into an object, `people[0]` and `people[-1]` into a list, `people[*].name` takes
    the name of each, `people[?age > `30`]` those that fit, `{who: name, where: address.city}` builds an
    object, `length(people)`, `sort_by(people, &age)` and some thirty other functions work on values. Names
    with spaces stand in double quotes, texts in single quotes, numbers in backticks. What is not there is null.

    `type` says what the result will be, so that a `list[text]` can be linked to a kind that wants texts;
    a result of another type is an error here.
    """
    from phloem.nodes.queries import compiled

    return _expected(compiled(query).find(value), type)


def _build_ports(settings: Settings, types: Types) -> Ports:
    fields = settings.get("fields", [])
    names = [fields] if isinstance(fields, str) else [str(name) for name in fields] if isinstance(fields, list) else []
    whole = settings.get("lists", [])
    each = set(names) - set(whole if isinstance(whole, list) else [whole])
    return Ports(
        input_ports(check_names(names, "the field", taken=["fields", "lists"]), ANY, "A field of the object", each=each)
    )


@node(
    "data.build",
    "Build an object",
    ports=_build_ports,
    examples=[
        Example({"fields": ["name", "born"], "name": "Kay", "born": 1704}, {"value": {"name": "Kay", "born": 1704}})
    ],
)
def build(
    fields: Annotated[list[str], Setting("The names of the fields; each becomes an input", shapes=True)],
    lists: Annotated[list[str], Setting("The fields that take a list as it is", shapes=True)] = [],  # noqa: B006
    **values: Any,
) -> Annotated[Json, Out("value")]:
    """Put values together into one object, each under a name.

    Lists make one object per item, so that a list of names and one of sizes become the rows of a table. A
    list that should stand in the object as a list belongs to a field that is named under `lists`.
    Documents, hits and messages become objects themselves.
    """
    return expect({name: values.get(name) for name in fields}, PortType("json"))


@node(
    "data.merge",
    "Merge objects",
    examples=[Example({"values": [{"a": 1, "b": 2}, {"b": 3}]}, {"value": {"a": 1, "b": 3}})],
)
def merge(
    values: Annotated[list[Json], In("Objects, in the order of their links", many=True)],
) -> Annotated[Json, Out("value")]:
    """Make one object of several; where two have the same field, the later one counts."""
    merged: dict[str, Any] = {}
    for index, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise InputError(
                f"value {index} is {_type_name(value)}, not an object", hint="To join lists, use data.append."
            )
        merged.update(value)
    return merged


@node(
    "data.format",
    "Write JSON",
    examples=[
        Example({"value": {"name": "Käy", "born": 1704}}, {"text": '{"name": "Käy", "born": 1704}'}),
        Example({"value": [{"n": 1}, {"n": 2}], "style": "lines"}, {"text": '{"n": 1}\n{"n": 2}'}),
    ],
)
def format_(
    value: Annotated[Json, In("Any value")],
    style: Annotated[Literal["compact", "indented", "lines"], Setting("One line, many, or one an item")] = "compact",
    sort_keys: Annotated[bool, Setting("Put the fields of objects in alphabetical order")] = False,
) -> Annotated[str, Out("text")]:
    """Write a value as JSON text. `lines` writes each item of a list on a line of its own (JSON Lines)."""
    if one_of("style", style, ["compact", "indented", "lines"]) == "lines":
        return "\n".join(as_json(one, sort_keys=sort_keys) for one in (value if isinstance(value, list) else [value]))
    return as_json(value, 2 if style == "indented" else None, sort_keys=sort_keys, most=10 * LARGEST_TEXT)


def _listed(settings: Settings, types: Types, port: str = "items") -> PortType:
    """The type of the list that reaches `port`."""
    arriving = types.get(port)
    if arriving is None:
        arriving = type_of_value(settings[port]) if port in settings else ANY.listed
    return arriving if arriving.depth else arriving.listed


def _same_list(settings: Settings, types: Types) -> Ports:
    return Ports({}, {"items": _listed(settings, types)})


Items = Annotated[list[Any], In("A list")]
SameItems = Annotated[list[Any], Out("items")]


@node("data.length", "Count items", examples=[Example({"value": ["warp", "weft"]}, {"length": 2})])
def length(
    value: Annotated[Any, In("A list, an object or a text")],
) -> Annotated[int, Out("length")]:
    """Count the items of a list, the fields of an object, or the characters of a text; null has none."""
    if value is None:
        return 0
    if isinstance(value, list | dict | str):
        return len(value)
    if isinstance(value, bool | int | float):
        raise InputError(f"{as_text(value)} has no length", hint="Link a list, an object or a text.")
    return len(as_text(value))


@node(
    "data.item",
    "Pick an item",
    ports=lambda settings, types: Ports({}, {"item": _listed(settings, types).item}),
    examples=[Example({"items": ["warp", "weft"], "index": -1}, {"item": "weft"})],
)
def item(
    items: Items,
    index: Annotated[int, Setting("Which one: 0 is the first, -1 the last")] = 0,
) -> Annotated[Any, Out("item")]:
    """Take one item out of a list. There must be one in that place."""
    number = whole("index", index)
    if not -len(items) <= number < len(items):
        raise InputError(
            f"there is no item {number} in a list of {len(items)}", hint="0 is the first item and -1 the last one."
        )
    return items[number]


@node(
    "data.slice",
    "Take a part of a list",
    ports=_same_list,
    examples=[Example({"items": [1, 2, 3, 4], "start": 1, "end": 3}, {"items": [2, 3]})],
)
def slice_(
    items: Items,
    start: Annotated[int, Setting("Where to begin: 0 is the first, -1 the last")] = 0,
    end: Annotated[int | None, Setting("Where to stop, itself left out; nothing for the end of the list")] = None,
    step: Annotated[int, Setting("Take every so many; -1 goes backwards")] = 1,
) -> SameItems:
    """Keep a part of a list.

    Counting begins at 0, and `end` is not part of what is kept, as in Python: from 0 to 2 are the
    first two. Negative numbers count from the end: from -2 are the last two.
    """
    first, stop, stride = whole("start", start), None if end is None else whole("end", end), whole("step", step)
    if stride == 0:
        raise SettingError("step is 0", hint="1 takes every item, 2 every second one, -1 goes backwards.")
    if stride < 0:
        return items[first:stop][::stride]
    return items[first:stop:stride]


@node(
    "data.append",
    "Append lists",
    ports=lambda settings, types: Ports({}, {"items": _listed(settings, types, "lists")}),
    examples=[Example({"lists": ["warp", "weft"]}, {"items": ["warp", "weft"]})],
)
def append(
    lists: Annotated[list[Any], In("Lists and single items, in the order of their links", many=True)],
) -> SameItems:
    """Put lists one after the other into one list; a single value counts as a list of one."""
    return lists


@node(
    "data.sort",
    "Sort a list",
    ports=_same_list,
    examples=[
        Example({"items": ["10", "9", "1"], "as_numbers": True}, {"items": ["1", "9", "10"]}),
        Example(
            {"items": [{"name": "Watt", "born": 1736}, {"name": "Kay", "born": 1704}], "by": "born"},
            {"items": [{"name": "Kay", "born": 1704}, {"name": "Watt", "born": 1736}]},
        ),
    ],
)
def sort(
    items: Items,
    by: Annotated[str, Setting("What to sort objects by, in JMESPath: a field, such as born or address.city")] = "",
    descending: Annotated[bool, Setting("Largest first, or Z before A")] = False,
    as_numbers: Annotated[bool, Setting("Read texts such as 10 as numbers")] = False,
    ignore_case: Annotated[bool, Setting("Take upper and lower case as the same")] = False,
) -> SameItems:
    """Put a list in order: numbers by size, texts by alphabet.

    Items that are equal stay in the order they had. Items without the field that is sorted by come last.
    Numbers and texts do not mix, unless `as_numbers` reads the texts as numbers.
    """
    from phloem.nodes.listing import sorted_items

    return sorted_items(items, by, descending=descending, as_numbers=as_numbers, ignore_case=ignore_case)


@node(
    "data.unique",
    "Remove repeats",
    ports=_same_list,
    examples=[Example({"items": ["warp", "weft", "warp"]}, {"items": ["warp", "weft"]})],
)
def unique(
    items: Items,
    by: Annotated[str, Setting("What makes objects the same, in JMESPath: a field; nothing for all of it")] = "",
    ignore_case: Annotated[bool, Setting("Take upper and lower case as the same")] = False,
) -> SameItems:
    """Keep the first of each group of equal items, in the order of the list."""
    from phloem.nodes.listing import unique_items

    return unique_items(items, by, ignore_case=ignore_case)


def _flat_ports(settings: Settings, types: Types) -> Ports:
    levels, found = settings.get("levels", 1), _listed(settings, types)
    if not isinstance(levels, int) or found.base in ("any", "json"):
        return Ports({}, {"items": PortType(found.base, 1)})
    return Ports({}, {"items": PortType(found.base, max(1, found.depth - levels))})


@node(
    "data.flatten",
    "Flatten a list",
    ports=_flat_ports,
    examples=[Example({"items": [["warp"], ["weft", "loom"]]}, {"items": ["warp", "weft", "loom"]})],
)
def flatten(
    items: Items,
    levels: Annotated[int, Setting("How many levels of lists to take away", ge=1, shapes=True)] = 1,
) -> SameItems:
    """Make one list of a list of lists. Items that are not lists stay as they are."""
    flat: list[Any] = items
    for _ in range(whole("levels", levels, least=1, most=100)):
        flat = [inner for one in flat for inner in (one if isinstance(one, list) else [one])]
    return flat


@node(
    "data.reverse",
    "Reverse a list",
    ports=_same_list,
    examples=[Example({"items": [1, 2, 3]}, {"items": [3, 2, 1]})],
)
def reverse(items: Items) -> SameItems:
    """Turn a list round: the last item first."""
    return items[::-1]


@node(
    "data.range",
    "Count from a number to another",
    examples=[
        Example({"end": 3}, {"items": [0, 1, 2]}),
        Example({"start": 10, "end": 0, "step": -5}, {"items": [10, 5]}),
    ],
)
def range_(
    end: Annotated[int, Setting("Where to stop, itself left out")],
    start: Annotated[int, Setting("Where to begin")] = 0,
    step: Annotated[int, Setting("How far from one number to the next")] = 1,
) -> Annotated[list[int], Out("items")]:
    """A list of whole numbers, from `start` up to `end`, which is not part of it."""
    stride = whole("step", step)
    if stride == 0:
        raise SettingError("step is 0, so the list would never end")
    numbers = range(whole("start", start), whole("end", end), stride)
    if len(numbers) > MOST_ITEMS:
        raise SettingError(f"that would be {len(numbers):,} numbers; the most is {MOST_ITEMS:,}")
    return list(numbers)
