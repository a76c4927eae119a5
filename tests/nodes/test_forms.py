"""Forms: what a model is held to, compiled from patterns, schemas and choices, and what is refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.nodes.services.models.forms import form_of, regex
from phloem.nodes.services.models.forms import json_text as spelled
from phloem.nodes.services.models.forms.automaton import Automaton
from phloem.nodes.services.models.forms.grammar import Grammar
from phloem.nodes.services.models.forms.tree import NOTHING, Alt, Chars, Node, Ref, Repeat, Seq, Text, alt, repeat, seq
from phloem.runtime.errors import ServiceError, SettingError
from support.held import Held

pytestmark = pytest.mark.slow


def as_regex(node: Node) -> str:
    """A tree without references as a pattern of Python's re, to try it on many texts."""
    match node:
        case Text(text):
            return re.escape(text)
        case Chars(ranges):
            return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"
        case Seq(items):
            return "".join(f"(?:{as_regex(item)})" for item in items)
        case Alt(options):
            return "(?:" + "|".join(as_regex(option) for option in options) + ")"
        case Repeat(item, least, most):
            return f"(?:{as_regex(item)}){{{least},{'' if most is None else most}}}"
        case Ref():
            raise AssertionError("a reference has no pattern")


def allows(node: Node, text: str) -> bool:
    return re.fullmatch(as_regex(node), text) is not None


# Patterns


LITERALS = st.text("abc-,. ", min_size=1, max_size=3).map(re.escape)
SETS = st.sampled_from(
    ["[a-c]", "[^a]", r"\d", r"\w", r"[\d.]", r"\s", ".", r"[^\s,]", "[]a]", r"[a\-z]", r"\S", r"\D"]
)


def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{,2}", "{2,}", "*?", "+?"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, times).map(lambda both: f"({both[0]}){both[1]}"),
    )


PATTERNS = st.recursive(st.one_of(LITERALS, SETS), wider, max_leaves=6)


@given(PATTERNS, st.lists(st.text("abc-,. 1\n", max_size=8), max_size=20))
def test_what_the_grammar_of_a_pattern_allows_the_pattern_matches(pattern: str, texts: list[str]) -> None:
    node = regex.full_match(pattern)
    for text in texts:
        assert not allows(node, text) or re.fullmatch(pattern, text)


PLAIN_PATTERNS = st.recursive(st.one_of(LITERALS, st.sampled_from(["[a-c]", "[]a]", "[0-9.]"])), wider, max_leaves=6)


@given(st.data(), PLAIN_PATTERNS)
def test_the_grammar_of_a_pattern_without_classes_allows_all_that_matches(data: st.DataObject, pattern: str) -> None:
    text = data.draw(st.from_regex(pattern, fullmatch=True))
    assert allows(regex.full_match(pattern), text)


@given(PATTERNS)
def test_every_pattern_that_is_understood_gives_a_grammar_that_can_be_used(pattern: str) -> None:
    grammar = form_of({"pattern": pattern}).grammar
    grammar.check()
    assert grammar.gbnf.startswith("root ::= ")


@pytest.mark.parametrize(
    ("pattern", "what", "place"),
    [
        ("x(?=y)", "a lookahead", 2),
        ("(?!y)", "a lookahead", 1),
        ("(?<=y)x", "a lookbehind", 1),
        (r"(a)\1", "a back reference", 4),
        ("(?P<n>a)(?P=n)", "a back reference", 9),
        (r"\bword", "a word boundary", 1),
        (r"\p{L}", "a Unicode property", 1),
        ("(?i)x", "a flag", 1),
        ("(?>a)", "an atomic group", 1),
        ("a++", "a possessive repetition", 2),
        ("a**", "a repetition of a repetition", 3),
        ("*a", "a * with nothing to repeat", 1),
        ("(a", "a ( without its )", 1),
        ("a)", "a ) without its (", 2),
        ("[a", "a [ without its ]", 1),
        ("[z-a]", "a range that ends before it begins", 3),
        (r"[a-\d]", "a range that ends in a class", 3),
        ("[[:alpha:]]", "a named set", 2),
        (r"[^\s\S]", "a set without a character", 1),
        ("a{3,2}", "a repetition whose end is below its beginning", 2),
        ("a{2000}", "more than 1,000 repetitions", 2),
        ("a{x}", "a { that begins no repetition", 2),
        ("a^b", "an anchor in the middle", 2),
        ("a$b", "something after the anchor of the end", 3),
        ("(a$)", "an anchor inside a group", 3),
        ("a\\", "a \\ at the end", 3),
        (r"\xZZ", "\\xZZ, which is no character", 1),
        (r"\x+1", "\\x+1, which is no character", 1),
        ("(?<n>a)", "a group not named as in (?P<name>…)", 1),
        (r"\y", "\\y, which means nothing", 1),
        ("(" * 60 + ")" * 60, "more than 40 groups inside one another", 41),
    ],
)
def test_a_pattern_that_cannot_be_held_to_is_refused_with_its_place(pattern: str, what: str, place: int) -> None:
    with pytest.raises(SettingError) as caught:
        form_of({"pattern": pattern})
    assert caught.value.message.startswith(f"the pattern has {what}")
    assert f"at character {place}:" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("pattern", ["((a{50}){50}){50}", "(" * 20 + "a" + "{1,3})" * 20, "a" * 3000])
def test_a_pattern_that_grows_without_bound_is_refused_at_once(pattern: str) -> None:
    began = time.process_time()
    with pytest.raises(SettingError, match=r"too large|at most 2,000"):
        form_of({"pattern": pattern})
    assert time.process_time() - began < 10


def test_a_set_may_be_written_in_every_usual_way() -> None:
    for pattern, inside, outside in [
        (r"[a-cx\d_-]", "abx5_-", "dy."),
        (r"[^a-c\s]", "dé5", "ab \t"),
        ("[]a]", "]a", "b"),
        (r"[\x41\u0042\U00000043\n]", "ABC\n", "D"),
        (r"\.", ".", "x"),
        (r"\w", "aZ9_é", "- "),
        (r"\W", "- .", "aé9_"),
    ]:
        node = regex.full_match(pattern)
        assert all(allows(node, one) for one in inside), pattern
        assert not any(allows(node, one) for one in outside), pattern


def test_a_check_that_would_take_for_ever_is_an_error() -> None:
    with pytest.raises(SettingError, match="takes more than 1 second"):
        regex.matches("(?:a|aa)+$", "a" * 60 + "!")


# Grammars


HOSTILE = [
    ({}, "no beginning|needs 'root'"),
    ({"root": Ref("gone")}, "never be filled|needs 'gone'"),
    ({"root": Ref("root")}, "never be filled"),
    ({"root": alt(seq(Ref("root"), Text("a")), Text("b"))}, "goes in a circle"),
    ({"root": seq(repeat(Text("a"), 0, None), Ref("root"))}, "never be filled"),
    ({"root": alt(seq(repeat(Text("a"), 0, None), Ref("root"), Text("x")), Text("b"))}, "goes in a circle"),
    ({"root": alt(Ref("one"), Text("x")), "one": seq(Ref("root"), Text("b"))}, "goes in a circle"),
    ({"root": Chars(())}, "never be filled"),
    ({"root": alt(Text("a"), Chars(()))}, "never be filled"),
    ({"root": repeat(Ref("one"), 0, None), "one": repeat(Text("b"), 0, 1)}, "may be empty"),
    ({"root": alt(seq(Ref("one"), Ref("root")), Text("a")), "one": repeat(Text("b"), 0, 1)}, "goes in a circle"),
    ({"root": repeat(repeat(Text("abc"), 0, 500), 500, 500)}, "too large"),
]


@pytest.mark.parametrize(("rules", "reason"), HOSTILE)
def test_a_grammar_that_would_end_the_process_is_refused(rules: dict[str, Node], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        Grammar(rules).check()


def fits(rules: Mapping[str, Node], text: str) -> bool:
    """Whether a text fits the rules of an automaton, found by walking from rule to rule."""
    rule: str | None = "root"
    for character in text:
        moves = {target: characters for characters, target in moves_of(rules[rule])}
        rule = next((target for target, characters in moves.items() if character in characters), None)
        if rule is None:
            return False
    node = rules[rule]
    return node == NOTHING or isinstance(node, Repeat)


def moves_of(node: Node) -> list[tuple[Chars, str]]:
    """What a rule of an automaton reads, and where each leads."""
    if isinstance(node, Repeat):
        node = node.item
    found = []
    for option in node.options if isinstance(node, Alt) else [node] if node != NOTHING else []:
        assert isinstance(option, Seq)
        characters, target = option.items
        assert isinstance(characters, Chars)
        assert isinstance(target, Ref)
        found.append((characters, target.rule))
    return found


@given(PATTERNS, st.lists(st.text("abc-,. 1\n", max_size=8), max_size=20))
def test_an_automaton_allows_what_its_pattern_does_and_reads_it_in_one_way(pattern: str, texts: list[str]) -> None:
    tree = regex.full_match(pattern)
    rules = Automaton.of(tree).rules("root", lambda characters: characters)
    for node in rules.values():
        seen = Chars(())
        for characters, _ in moves_of(node):
            assert not (seen & characters).ranges
            seen = seen | characters
    for text in texts:
        assert fits(rules, text) == allows(tree, text)


@pytest.mark.parametrize(
    "pattern",
    ["(a|b)*a(a|b){14}", "((a|b)?c?){0,900}", "(\\w*,?){0,900}", "(((a?b?){0,9}c?){0,9}d?){0,9}", "(x{0,30}y?){0,30}"],
)
def test_a_pattern_with_too_many_states_is_refused_and_soon(pattern: str) -> None:
    began = time.process_time()
    with pytest.raises(SettingError, match=r"too many ways|too large"):
        form_of({"pattern": pattern})
    assert time.process_time() - began < 10


# JSON


@given(st.lists(st.text("ab", max_size=3)), st.lists(st.text("abc", max_size=4)))
def test_a_key_that_is_none_of_some_is_every_other(names: list[str], tried: list[str]) -> None:
    grammar = Grammar(spelled.key_but(names, "root")).ready()
    for name in tried:
        assert grammar.fits(name) == (name not in names)


@given(st.text(max_size=20))
def test_any_text_can_be_written_as_a_string_unless_half_of_it_is_missing(text: str) -> None:
    character = as_regex(spelled.RULES["character"])
    for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        unwritten = any("\ud800" <= one <= "\udfff" or one == "\0" for one in text)
        controls = any(one in "\x7f" or "\x80" <= one <= "\x9f" for one in written)
        assert unwritten or controls or re.fullmatch(f'"(?:{character})*"', written)


@pytest.mark.parametrize(
    "text", [r'"\u0000"', r'"\ud800"', r'"\udc00"', '"\n"', r'"\x41"', r'"\u12"', '"', '"a', "'a'"]
)
def test_what_is_no_string_is_not_allowed(text: str) -> None:
    assert not re.fullmatch(f'"(?:{as_regex(spelled.RULES["character"])})*"', text)


REFUSED: list[tuple[Any, str]] = [
    ([1], "must be a JSON object"),
    ("text", "must be a JSON object"),
    ({"x": float("nan")}, "not JSON"),
    ({"x": {1, 2}}, "not JSON"),
    (False, "allows nothing"),
    ({"type": "strin"}, r"not right at \$\.type"),
    ({"type": "object", "properties": {"a": {"type": 5}}}, r"not right at \$\.properties\.a\.type"),
    ({"minLength": -1}, "not right at"),
    ({"$ref": "https://example.org/s.json"}, "refers to 'https://example.org/s.json'"),
    ({"$ref": "#/$defs/none"}, "which it does not have"),
    ({"not": {"$ref": "https://example.org/s.json"}}, "refers to 'https://example.org/s.json'"),
    ({"anyOf": [{"type": "null"}, {"$ref": "#/anyOf/0000000005"}]}, "which it does not have"),
    ({"$defs": {"a/b": {}}, "$ref": "#/$defs/a%2Fb"}, "which it does not have"),
    ({"$ref": "#/mine/a", "mine": {"a": {"properties": [1]}}}, "not right at #/mine/a.properties"),
    ({"$ref": "#/mine/a", "mine": {"a": {"type": 5}}}, "not right at #/mine/a.type"),
    ({"$ref": "#/mine/a", "mine": {"a": {"not": {"pattern": "(?=a)"}}}}, "a lookahead"),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": 5}, r"not right at \$\.prefixItems"),
    ({"$schema": "http://json-schema.org/draft-06/schema", "items": {"dependentRequired": 5}}, "dependentRequired"),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"a": {"type": 5}}, "$ref": "#/$defs/a"}, "not right at #/.defs/a.type"),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"a": {"$ref": 5}}, "$ref": "#/$defs/a"}, "not right at #/.defs/a"),
    ({"enum": [1], "not": {"$ref": "#"}}, "the schema is nested too deeply"),
    ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": True}}}], "required": ["a"]}, "asks for both"),
    ({"$ref": "#name"}, "refers to '#name'"),
    ({"$ref": "#"}, "refers to itself in a circle"),
    ({"allOf": [{"$ref": "#"}]}, "refers to itself in a circle"),
    ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "goes in a circle"),
    ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "can never be filled"),
    ({"patternProperties": {"(?=a)": {}}}, "a lookahead"),
    ({"not": {"patternProperties": {"(?=a)": {}}}}, "a lookahead"),
    ({"patternProperties": {str(n): {} for n in range(5)}}, "has 5 patterns"),
    ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "beside unevaluatedProperties"),
    ({"$dynamicRef": "#x"}, r"uses \$dynamicRef"),
    ({"$defs": {"a": {"$id": "b"}}}, r"an \$id inside it"),
    ({"type": "string", "pattern": "(?=a)"}, "a lookahead"),
    ({"not": {"pattern": "(?=a)"}}, "a lookahead"),
    ({"type": "string", "minLength": 50_000}, "at most 10,000"),
    ({"type": "array", "minItems": 5000}, "at most 1,000"),
    ({"type": "integer", "minimum": 10**50}, "has the bound"),
    ({"type": "number", "multipleOf": 0.30001}, "multipleOf is 0.30001"),
    ({"type": "integer", "multipleOf": 997}, "too large a grammar"),
    ({"type": "string", "pattern": "^a", "format": "date"}, "none fits all"),
    ({"propertyNames": False, "minProperties": 1}, "never be filled"),
    ({"type": ["null"], "not": {"type": "null"}}, "forbids it"),
    ({"const": 1, "enum": [2]}, "not in its own list"),
    ({"type": "string", "minLength": 5, "maxLength": 2}, "at least 5 characters"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "none between"),
    ({"type": "array", "items": False, "minItems": 1}, "at least 1 items"),
    ({"enum": ["a"], "type": "integer"}, "none fits"),
    ({"allOf": [{"type": "string"}, {"type": "null"}]}, "asks for both"),
    ({"allOf": [{"const": 1}, {"const": 2}]}, "asks for both"),
    ({"properties": {"a": False}, "required": ["a"]}, "requires and forbids"),
    ({"enum": [str(n) * 200 for n in range(500)]}, "too large|characters"),
    ({"allOf": [{"anyOf": [{"const": i * 50 + j} for j in range(50)]} for i in range(3)]}, "too many alternatives"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "reason"), REFUSED)
def test_a_schema_that_cannot_be_held_to_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        form_of({"schema": schema})


def test_a_schema_without_bottom_or_without_end_is_refused_at_once() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"items": deep}
    wide = {"properties": {f"p{n}": {"properties": {"x": {"maxLength": n}}} for n in range(6_000)}}
    for schema in (deep, wide):
        began = time.process_time()
        with pytest.raises(SettingError, match=r"nested too deeply|too large|can be used"):
            form_of({"schema": schema})
        assert time.process_time() - began < 10


def test_alternatives_that_contradict_the_rest_are_left_out() -> None:
    form = form_of(
        {
            "schema": {
                "properties": {"kind": {"const": "a"}},
                "required": ["kind"],
                "anyOf": [
                    {"properties": {"kind": {"const": "b"}}},
                    {"properties": {"n": {"enum": [1]}}, "required": ["n"]},
                ],
            }
        }
    )
    assert '"b"' not in form.grammar.gbnf.replace("\\x22", '"')
    assert form.read('{"kind": "a", "n": 1}') == {"kind": "a", "n": 1}


@pytest.mark.parametrize(
    ("schema", "answer", "reason"),
    [
        ({"type": "array", "uniqueItems": True}, "[1, 1]", r"\$: .*non-unique"),
        ({"properties": {"n": {"multipleOf": 5}}}, '{"n": 7}', r"\$\.n: 7 is not a multiple of 5"),
        ({"not": {"type": "string"}}, '"a"', "should not be valid"),
        ({}, "[1", "not JSON"),
        ({}, "[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_what_no_grammar_holds_is_checked_afterwards(schema: Any, answer: str, reason: str) -> None:
    with pytest.raises(ServiceError, match=reason):
        form_of({"schema": schema}).read(answer)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({}, "exactly one of schema, pattern, choices and grammar"),
        ({"pattern": "a", "choices": ["a"]}, "exactly one of"),
        ({"shape": 1}, "is not a form"),
        ({"pattern": 5}, "must be a text"),
        ({"choices": []}, "at least one text"),
        ({"choices": "yes"}, "list of at least one"),
        ({"choices": ["yes", ""]}, "not empty"),
        ({"choices": ["yes", 1]}, "must be a text"),
        ({"choices": ["a\0b"]}, "no text holds"),
        ({"choices": ["\ud800"]}, "no text holds"),
        ({"choices": [str(n) for n in range(2000)]}, "1,000 choices"),
    ],
)
def test_what_is_no_form_is_refused(form: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        form_of(form)


# Under a model


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with Held(tmp_path_factory.mktemp("home")) as held:
        # Its process goes on from test to test.
        held.write({"choices": ["a"]}, 0)
        yield held


@given(PATTERNS, st.integers(0, 2**31))
@settings(max_examples=100)
def test_a_model_writes_only_what_a_pattern_matches(held: Held, pattern: str, seed: int) -> None:
    text, ended = held.write({"pattern": pattern}, seed)
    assert not ended or re.fullmatch(pattern, text), text
    if ended:
        assert form_of({"pattern": pattern}).read(text) == text


NUMBERS = st.one_of(
    st.builds(
        lambda kind, low, span: {"type": kind, "minimum": low, "maximum": low + span},
        st.sampled_from(["integer", "number"]), st.integers(-500, 500), st.integers(1, 300),
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, st.floats(-9, 9).map(lambda n: round(n, 2))),
    st.sampled_from([{"type": "integer"}, {"type": "number"}, {"type": "integer", "maximum": -3}]),
)  # fmt: skip
LEAVES = st.one_of(
    NUMBERS,
    st.builds(
        lambda least, span: {"type": "string", "minLength": least, "maxLength": least + span},
        st.integers(0, 3), st.integers(0, 6),
    ),
    st.sampled_from(
        [
            {"type": "boolean"}, {"type": "null"}, {"enum": ["a", 1, None, [2], {"b": "é"}]}, {"const": "x\"y"},
            {"type": "string", "pattern": "^[a-c]{1,4}\\d?$"}, {"type": "string", "pattern": "x", "maxLength": 900},
            {"type": "string", "format": "date"}, {"type": "string", "format": "uuid"}, {"$ref": "#/$defs/tree"},
            {"type": ["integer", "null"]}, {},
        ]
    ),
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "ab", 'q"', "é", "long name"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, inner, max_size=3)
    return st.builds(
        lambda parts, needed, more: {
            "type": "object", "properties": parts, "required": [name for name in parts if name in needed],
            **({} if more is None else {"additionalProperties": more}),
        },
        properties, st.sets(NAMES), st.one_of(st.none(), st.just(False), inner),
    )  # fmt: skip


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.builds(
        lambda item, least, span: {"type": "array", "items": item, "minItems": least, "maxItems": least + span},
        inner, st.integers(0, 2), st.integers(0, 2),
    )  # fmt: skip
    fixed = st.builds(
        lambda items: {"type": "array", "prefixItems": items, "minItems": len(items)},
        st.lists(inner, min_size=1, max_size=2),
    )
    return st.one_of(listed, fixed)


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
TREE = {
    "type": "object",
    "properties": {
        "v": {"type": "integer", "minimum": 0, "maximum": 9},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2},
    },
    "required": ["v"],
}


@given(SCHEMAS, st.integers(0, 2**31))
@settings(max_examples=150)
def test_a_model_writes_only_what_a_schema_allows(held: Held, schema: dict[str, Any], seed: int) -> None:
    schema = {**schema, "$defs": {"tree": TREE}}
    text, ended = held.write({"schema": schema}, seed)
    if ended:
        value = json.loads(text)
        jsonschema.Draft202012Validator(schema).validate(value)
        assert form_of({"schema": schema}).read(text) == value


@given(st.lists(st.text('ab é\n"', min_size=1, max_size=6), min_size=1, max_size=5), st.integers(0, 2**31))
@settings(max_examples=50)
def test_a_model_chooses_one_of_the_choices(held: Held, choices: list[str], seed: int) -> None:
    text, ended = held.write({"choices": choices}, seed)
    assert ended
    assert text in choices


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|a|b?)*",
        "((a?b?)*c?){0,20}",
        "(\\w*\\s*\\w*,?)*",
        "(a?){50}",
        "([ab]{0,30}){0,30}",
        "(a?b?c?d?e?f?g?h?)*" * 20,
    ],
)
def test_a_pattern_that_can_be_read_in_many_ways_does_not_slow_the_model_down(held: Held, pattern: str) -> None:
    began = time.perf_counter()
    text, ended = held.write({"pattern": pattern}, 1)
    assert not ended or re.fullmatch(pattern, text)
    assert time.perf_counter() - began < 20


def test_an_answer_that_can_have_no_more_is_complete_at_its_last_token(held: Held) -> None:
    before = held.written
    text, ended = held.write({"pattern": "[0-9]{4}"}, 1, most=4)
    assert ended
    assert len(text) == 4
    assert held.written - before <= 4
