"""Grammars written by hand (GBNF): what is understood, what is refused and where, and that llama.cpp takes what we write."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phloem.nodes.services.models.forms import form_of
from phloem.nodes.services.models.forms.gbnf_reader import read_gbnf
from phloem.runtime.errors import ServiceError, SettingError
from support.held import Held

JSON = r"""
# JSON as llama.cpp has it in its examples
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
"""
SUMS = r"""
root ::= sum
sum ::= product "+" sum | product
product ::= atom "*" product | atom
atom ::= "(" sum ")" | [0-9]+
"""


@pytest.mark.parametrize(
    ("grammar", "inside", "outside"),
    [
        (JSON, ['{"a": [1, -2.5e3, "x\\n"]}', "{}", '{ "a":{}}'], ["[]", "{", '{"a": 01}', "{}x"]),
        (SUMS, ["1", "(1+2)*3", "((((7))))"], ["", "1+", "(1", "1 + 2"]),
        ('root ::= "a"{2,3} [^b-y]', ["aaa", "aaz", "aaaa"], ["az", "aab", "aa"]),
        ('root ::= "\\x41\\u00e9\\U0001F600\\n\\t\\r\\"\\\\\\[\\]"', ['Aé😀\n\t\r"\\[]'], ["A"]),
        ("root ::= [a\\-z\\]] .", ["-!", "]é", "a\n"], ["b!", "-"]),
        ('root ::= one | two # comment\n# another\none ::= "1"\r\ntwo ::= "2"', ["1", "2"], ["12"]),
        ('root ::= "a"\n  | "b" |\n "c"', ["a", "b", "c"], ["ab"]),
        ('root ::= ("a" | ) "b" ""', ["b", "ab"], ["a"]),
        ('root ::= "x"* "y"+ "z"? "w"{2} "v"{1,}', ["ywwv", "xxyyzwwvv"], ["wwv", "ywv"]),
        ('root ::= "a" | never\nnever ::= "b" never', ["a"], ["b"]),
        ('root ::= (("a"?)?)? "b"', ["ab", "b"], ["aab"]),
        ('root ::= "a"{0000000002}', ["aa"], ["", "a"]),
    ],
)
def test_a_grammar_allows_what_it_says(grammar: str, inside: list[str], outside: list[str]) -> None:
    form = form_of({"grammar": grammar})
    for text in inside:
        assert form.read(text) == text
    for text in outside:
        with pytest.raises(ServiceError, match="does not fit the grammar"):
            form.read(text)


@pytest.mark.parametrize(
    ("grammar", "line", "column", "reason"),
    [
        ('root ::= "a', 1, 10, 'a " without its end'),
        ('root ::= "\\', 1, 11, "unknown escape"),
        ("root ::= [a", 1, 10, r"a \[ without its \]"),
        ("root ::= [a-", 1, 10, r"a \[ without its \]"),
        ("root ::= []", 1, 10, "a set without a character"),
        ("root ::= [z-a]", 1, 11, "ends before it begins"),
        ('root ::= "\\q"', 1, 11, r"the unknown escape \\q"),
        ('root ::= "\\xZZ"', 1, 11, "no character"),
        ('root ::= "\\ud800"', 1, 11, "no text holds"),
        ('root ::= "\\x00"', 1, 11, "no text holds"),
        ('root ::= "\\UFFFFFFFF"', 1, 11, "no character"),
        ('\n\nroot ::=\n  "a" foo', 4, 7, "'foo' is used but not defined"),
        ('root ::= "a" {5', 1, 16, "a { without its }"),
        ('root ::= "a" {x}', 1, 15, "a number is missing"),
        ('root ::= "a"{3,2}', 1, 13, "end is below its beginning"),
        ('root ::= "a"{5000}', 1, 13, "more than 1,000 repetitions"),
        ("root ::= *", 1, 10, r"a \* with nothing to repeat"),
        ('root ::= "a" )', 1, 14, r"a \) without its \("),
        ('root ::= ("a"', 1, 10, r"a \( without its \)"),
        ("root ::= " + "(" * 60, 1, 50, "more than 40 groups"),
        ("root ::= 'a'", 1, 10, "which means nothing here"),
        ("root ::= <think>", 1, 10, "a token of a vocabulary"),
        ("root =", 1, 6, "::= is missing"),
        ('::= "a"', 1, 1, "the name of a rule is missing"),
        ('root ::= "a"\nroot ::= "b"', 2, 1, "defined a second time"),
        ('root ::= root "a" | "b"', 1, 1, "'root' begins with itself"),
        ('root ::= a\na ::= "x"? b\nb ::= a | "y"', 2, 1, "'a' begins with itself"),
        ('root ::= "x"\nroot2 ::= ("a"?)*', None, None, ""),
        ('root ::= a\na ::= ("x"?)*', 2, 1, "'a' repeats something that may be empty"),
        ('root ::= ("a"{900}){900}', 1, 1, "too large"),
        ('root ::= "a" root', 1, 1, "never be filled"),
        ('root ::= "\\x１１"', 1, 11, "no character"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_column(
    grammar: str, line: int | None, column: int | None, reason: str
) -> None:
    if line is None:
        assert form_of({"grammar": grammar}).read("x") == "x"  # what nothing needs is left out
        return
    with pytest.raises(SettingError, match=reason) as caught:
        form_of({"grammar": grammar})
    assert caught.value.message.startswith(f"line {line}, column {column} of the grammar: ")


@pytest.mark.parametrize("grammar", ["", "# nothing", 'x ::= "a"'])
def test_a_grammar_needs_a_beginning(grammar: str) -> None:
    with pytest.raises(SettingError, match="has no rule root"):
        form_of({"grammar": grammar})


def _doubling(depth: int) -> str:
    rules = [f'{chr(97 + i)} ::= "x" {chr(98 + i)} "1" | "x" {chr(98 + i)}z "2"' for i in range(depth)]
    same = [f"{chr(97 + i)}z ::= {chr(97 + i)}" for i in range(1, depth + 1)]
    return "root ::= a\n" + "\n".join([*rules, *same, f'{chr(97 + depth)} ::= "end"'])


@pytest.mark.slow
@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= a a a a a a a a a\na ::= b b b b b b b b b\nb ::= c c c c c c c c\nc ::= d d d d d\nd ::= [x]?",
        'root ::= "a" x "b" | "a" y "c" | ""\nx ::= root\ny ::= root "d"',
        "root ::= root1 root1\n"
        + "\n".join(f"root{n} ::= root{n + 1} root{n + 1}" for n in range(1, 60))
        + '\nroot60 ::= "a"',
        "root ::= " + "(" * 39 + '"a"' + "{1,9})" * 38 + ")",
        "root ::= "
        + " | ".join(f'"{"ab" * 40}{n}" r{n % 7}' for n in range(900))
        + "".join(f'\nr{n} ::= "{n}" root | "{n}"' for n in range(7)),
        'root ::= "' + "a" * 99_000 + '"',
        "x" * 200_000,
        "\n".join(f"r{n} ::= r{n + 1} | [x] r{n + 1}" for n in range(1_990)) + '\nr1990 ::= "y"\nroot ::= r0',
    ],
)
def test_a_hostile_grammar_is_refused_or_tamed_within_seconds(grammar: str) -> None:
    began = time.process_time()
    try:
        form_of({"grammar": grammar})
    except SettingError as error:
        assert error.message
    assert time.process_time() - began < 20


def test_alternatives_that_differ_late_are_written_so_that_they_part_late() -> None:
    """As a person writes sums, each ( would double the ways in which the rest can be read."""
    gbnf = form_of({"grammar": SUMS}).grammar.gbnf
    assert 'r2 ("\\x2B" r1 | "")' in gbnf


PARTS = st.recursive(
    st.one_of(
        st.text("ab", min_size=1, max_size=2).map(lambda text: f'"{text}"'),
        st.sampled_from(["[ab]", "[^a]", "[a-c]", ".", "other", '""']),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' | '.join(parts)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,2}", "{1,}"])).map(
            lambda both: f"({both[0]}){both[1]}"
        ),
    ),
    max_leaves=5,
)


@pytest.mark.slow
@given(PARTS, PARTS)
def test_a_grammar_that_was_written_anew_says_the_same(root: str, other: str) -> None:
    try:
        grammar = read_gbnf(f'root ::= {root}\nother ::= "c" | "d" {other}')
    except SettingError:
        return
    again = read_gbnf(grammar.gbnf)
    for text in ("", "a", "b", "ab", "c", "aab", "da", "dc", "abab", "aca", "é", "bbc"):
        assert grammar.fits(text) == again.fits(text)


# Under llama.cpp


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with Held(tmp_path_factory.mktemp("home")) as held:
        # Its process goes on from test to test.
        held.write({"choices": ["a"]}, 0)
        yield held


@pytest.mark.slow
@given(PARTS, PARTS, st.integers(0, 2**31))
@settings(max_examples=60)
def test_llama_takes_every_grammar_that_passes_and_writes_what_it_says(
    held: Held, root: str, other: str, seed: int
) -> None:
    form = {"grammar": f'root ::= {root}\nother ::= "c" | "d" {other}'}
    try:
        ready = form_of(form)
    except SettingError:
        return
    text, ended = held.write(form, seed, most=30)
    if ended:
        assert ready.read(text) == text
    else:
        whole = ready.close(text)
        assert ready.read(whole) == whole


@pytest.mark.slow
@pytest.mark.parametrize("grammar", [JSON, SUMS])
@pytest.mark.parametrize("seed", range(4))
def test_a_model_writes_only_what_a_grammar_says(held: Held, grammar: str, seed: int) -> None:
    text, ended = held.write({"grammar": grammar}, seed, most=60)
    form = form_of({"grammar": grammar})
    assert form.read(text if ended else form.close(text))


@pytest.mark.slow
def test_llama_ends_the_process_over_what_is_refused_here() -> None:
    """Why nothing unchecked may reach it: given to llama.cpp directly, in a process of its own."""
    code = """
import llama_cpp.llama_cpp as llama, ctypes, sys
from pathlib import Path
from phloem.nodes.services.models.local.catalogue import DATA
llama.llama_backend_init()
settings = llama.llama_model_default_params()
settings.vocab_only = True
model = llama.llama_model_load_from_file(str(DATA / "demo.gguf").encode(), settings)
words = llama.llama_model_get_vocab(model)
found = llama.llama_sampler_init_grammar(words, sys.argv[1].encode(), b"root")
print("taken" if found else "refused")
"""
    outcomes = {}
    for grammar in ('root ::= "a"', 'root ::= "a', "root ::= foo", 'root ::= root "a" | "b"'):
        done = subprocess.run([sys.executable, "-c", code, grammar], capture_output=True, text=True, timeout=120)
        outcomes[grammar] = done.stdout.strip() if done.returncode == 0 else "ended"
    assert outcomes.pop('root ::= "a"') == "taken"
    assert set(outcomes.values()) <= {"refused", "ended"}
