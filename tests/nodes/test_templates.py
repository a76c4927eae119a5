"""Templates: what they print, which inputs they have, what they say when they are wrong, and where they end."""

from __future__ import annotations

import time
from typing import Any

import pytest
from phloem.nodes.templates import compiled
from phloem.runtime.errors import InputError, SettingError
from phloem.runtime.ports import REQUIRED
from phloem.runtime.values import Blob, Collection, Document, Hit, Message
from support.counting import calls
from support.kinds import find, ports_of


def fill(source: str, **values: Any) -> str:
    return compiled(source).render(values)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("text", "text"),
        (3.0, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (None, ""),
        (["é", 1, None], '["é", 1, null]'),
        ({"a": [True]}, '{"a": [true]}'),
        (Document("its text", "title"), "its text"),
        (Hit("its text", 0.5), "its text"),
        (Message("user", "hi"), "hi"),
        (Collection("notes", "local:minilm"), "notes"),
        (Blob(b"123", "a.png", "image/png"), "[a.png, 3 bytes]"),
        ([Message("user", "hi")], '[{"role": "user", "content": "hi"}]'),
    ],
)
def test_values_print_as_a_person_would_write_them(value: Any, wanted: str) -> None:
    assert fill("{{ value }}", value=value) == wanted
    assert fill("{{ '' ~ value }}", value=value) == wanted
    assert fill("{{ [value] | join }}", value=value) == wanted


def test_values_have_their_fields() -> None:
    document = Document("text", "Looms", "looms.html", {"page": 3})
    assert (
        fill("{{ d.text }} {{ d.title }} {{ d.source }} {{ d.metadata.page }}", d=document) == "text Looms looms.html 3"
    )
    assert fill("{{ h.score }} {{ h.text }}", h=Hit("text", 0.25)) == "0.25 text"
    assert fill("{{ m.role }}: {{ m.text }}{{ m.content }}", m=Message("user", "hi")) == "user: hihi"


def test_a_field_of_an_object_comes_before_a_method_of_python() -> None:
    assert fill("{{ row.items }} {{ row.count }}", row={"items": 3, "count": 4}) == "3 4"
    assert fill("{% for k, v in row.items() %}{{ k }}={{ v }};{% endfor %}", row={"a": 1}) == "a=1;"


def test_a_line_with_only_a_tag_leaves_no_trace() -> None:
    source = "Notes:\n{% for n in notes %}\n  - {{ n }}\n{% endfor %}\nEnd"
    assert fill(source, notes=["a", "b"]) == "Notes:\n  - a\n  - b\nEnd"


def test_the_usual_jinja_works() -> None:
    assert fill(
        "{% for n in ns %}{{ loop.index }}/{{ loop.length }}{% if not loop.last %}, {% endif %}{% endfor %}", ns="ab"
    )
    assert fill("{% macro hi(x) %}hi {{ x }}{% endmacro %}{{ hi('a') }}") == "hi a"
    assert fill("{% set x = 1 %}{% set y %}b{% endset %}{{ x }}{{ y }}") == "1b"
    assert fill("{% for n in ns if n > 1 %}{{ n }}{% else %}none{% endfor %}", ns=[1, 2]) == "2"
    assert fill("{% for n in ns %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}", ns=[1, 2, 3]) == "1"
    assert fill("{{ '%.2f' | format(x) }} {{ '{:>5}'.format(x) }} {{ x | round(1) }}", x=2.345) == "2.35 2.345 2.3"
    assert fill("{{ ns | map(attribute='a') | join(', ') }}", ns=[{"a": 1}, {"a": "x"}]) == "1, x"
    assert fill("{{ ns | map('upper') }} {{ range(3) }}", ns=["a"]) == '["A"] [0, 1, 2]'
    assert (
        fill("{{ data | tojson }} {{ data | tojson(indent=1) }}", data={"q": "<é>"}) == '{"q": "<é>"} {\n "q": "<é>"\n}'
    )
    assert fill("{{ '<b>x</b> <!-- y --> z' | striptags }} {{ '<' | e }}") == "x z &lt;"
    assert fill("{{ ns | length }} {{ ns | map('upper') | length }}", ns=["a", "b"]) == "2 2"


def test_fields_become_inputs() -> None:
    kind = find("text.template")
    ports = ports_of(
        kind, {"template": "{{ a }}{% for x in b %}{{ x }}{{ loop.index }}{% endfor %}{% set c = 1 %}{{ c }}"}
    )
    assert set(ports.inputs) == {"template", "a", "b"}
    assert ports.inputs["a"].default is REQUIRED
    assert str(ports.inputs["a"].type) == "any"


def test_a_field_that_is_asked_about_first_may_stay_away() -> None:
    kind = find("text.template")
    source = "{% if notes is defined %}{{ notes }}{% endif %}{{ name | default('x') }}{{ other }}"
    ports = ports_of(kind, {"template": source}).inputs
    assert ports["notes"].default is None
    assert ports["name"].default is None
    assert ports["other"].default is REQUIRED
    assert fill(source, notes=None, name=None, other="y") == "xy"


def test_a_list_into_a_field_that_is_only_written_makes_one_text_per_item() -> None:
    ports = ports_of(
        find("text.template"), {"template": "{{ one }}{{ other | upper }}{% for x in all %}{{ x }}{% endfor %}"}
    )
    assert ports.inputs["one"].maps == "always"
    assert ports.inputs["other"].maps == "always"
    assert ports.inputs["all"].maps is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a\n{{ 1 + }}", "line 2"),
        ("{% for %}", "line 1"),
        ("\n\n{% endif %}", "line 3"),
        ("{{ x | uper }}", "Did you mean upper?"),
        ("{% if x is oddd %}{% endif %}", "Did you mean odd?"),
        ("{% include 'x' %}", "cannot include"),
        ("{% extends 'x' %}", "cannot include, import or extend"),
        ("{% from 'x' import y %}", "cannot include"),
        ("{% for x in xs recursive %}{{ loop(x) }}{% endfor %}", "recursive loops"),
        ("{{ template }}", "that name is taken"),
        ("{{ naïve }}", "cannot be the name of a port"),
        ("{{ x | random }}", "there is no filter called random"),
        ("{% if false %}\n{{ x | uper }}{% endif %}", "line 2: there is no filter called uper"),
        ("x" * 200_001, "longer than 200,000"),
    ],
)
def test_a_wrong_template_is_told_when_the_workflow_is_checked(source: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        ports_of(find("text.template"), {"template": source})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("source", "values", "words"),
    [
        ("\n{{ a.b }}", {"a": {"x": 1, "y": 2}}, "line 2: the object has no b; it has x, y"),
        ("{{ a[5] }}", {"a": [1]}, "the list has 1 items, so there is no item 5"),
        ("{{ a.b.c }}", {"a": {}}, "the object has no b; it has nothing"),
        ("{{ a.b }}", {"a": 5}, "a number has no b"),
        ("{{ a.b }}", {"a": None}, "null has no b"),
        ("{{ a.nope }}", {"a": Document("x")}, "a document has no nope"),
        ("{{ a + 1 }}", {"a": "x"}, "line 1"),
        ("{{ 1 / a }}", {"a": 0}, "division by zero"),
        ("{% for x in a %}{% endfor %}", {"a": 5}, "not iterable"),
        ("{{ a }}", {"a": 10**5000}, "digits"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_line(source: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        fill(source, **values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ x.__init__.__globals__ }}",
        "{{ x.encode() }}",
        "{{ [].append(1) }}",
        "{{ {}.fromkeys([1]) }}",
        "{{ (5).to_bytes(9, 'big') }}",
        "{{ namespace.__init__ }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ x | map(attribute='__class__') | list }}",
        "{{ self.__init__ }}",
    ],
)
def test_a_template_does_not_get_at_the_insides_of_python(source: str) -> None:
    with pytest.raises((SettingError, InputError)):
        fill(source, x="text")


def test_a_file_shows_its_name_and_not_its_bytes() -> None:
    blob = Blob(b"secret", "a.png", "image/png")
    assert fill("{{ f.name }} {{ f.media_type }}", f=blob) == "a.png image/png"
    with pytest.raises(SettingError, match="unsafe"):
        fill("{{ f.data }}", f=blob)


MEGABYTE = "x" * 1_000_000
DOUBLING = "{% set ns = namespace(x=START) %}{% for i in range(60) %}{% set ns.x = NEXT %}{% endfor %}{{ ns.x }}"
LOOP = "{% for i in range(99999) %}BODY{% endfor %}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(10**9) %}{% endfor %}",
        LOOP.replace("BODY", LOOP.replace("BODY", "")),
        LOOP.replace("BODY", LOOP.replace("BODY", "{{ i }}")),
        LOOP.replace("BODY", "{{ big }}"),
        LOOP.replace("BODY", "{{ big[1:] | length }}"),
        "{% set y %}" + LOOP.replace("BODY", "{{ big }}") + "{% endset %}{{ y | length }}",
        "{% macro f() %}" + LOOP.replace("BODY", "y" * 10_000) + "{% endmacro %}{{ f() | length }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        DOUBLING.replace("START", "'a'").replace("NEXT", "ns.x ~ ns.x"),
        DOUBLING.replace("START", "'a'").replace("NEXT", "ns.x + ns.x"),
        DOUBLING.replace("START", "'a'").replace("NEXT", "ns.x * 2"),
        DOUBLING.replace("START", "'a'").replace("NEXT", "'%s%s' % (ns.x, ns.x)"),
        DOUBLING.replace("START", "'a'").replace("NEXT", "'{0}{0}'.format(ns.x)"),
        DOUBLING.replace("START", "'a'").replace("NEXT", "[ns.x, ns.x] | join"),
        DOUBLING.replace("START", "'a'").replace("NEXT", "ns.x.replace('a', 'aa')"),
        DOUBLING.replace("START", "[1]").replace("NEXT", "[ns.x, ns.x]"),
        DOUBLING.replace("START", "[1]").replace("NEXT", "(ns.x, ns.x)"),
        DOUBLING.replace("START", "[1]").replace("NEXT", "{'a': ns.x, 'b': ns.x}"),
        DOUBLING.replace("START", "[1]").replace("NEXT", "dict(a=ns.x, b=ns.x)"),
        DOUBLING.replace("START", "[1]").replace("NEXT", "[ns.x] * 2"),
        DOUBLING.replace("START", "[1]").replace("NEXT", "ns.x + ns.x"),
        DOUBLING.replace("START", "2").replace("NEXT", "ns.x * ns.x"),
        "{{ 'a' * 10**10 }}",
        "{{ [0] * 10**10 }}",
        "{{ 10**(10**9) }}",
        "{{ 7 ** 99 ** 99 }}",
        "{{ 'a' | center(10**9) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ 'a'.zfill(10**9) }}",
        "{{ '\t'.expandtabs(10**10) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%.1000000000f' | format(1.0) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=10**9) }}",
        "{{ '{x:99999999}'.format_map({'x': 1}) }}",
        "{{ big.replace('x', big) }}",
        "{{ big | replace('x', big) }}",
        "{{ big | replace(new=big, old='x') }}",
        "{{ big.join(many) }}",
        "{{ many | join(big) }}",
        "{{ lines | indent(99999) }}",
        "{{ lines | indent(big) }}",
        "{{ many | batch(10**9, 'x') | list }}",
        "{{ many | batch(fill_with='x', linecount=10**9) | list }}",
        "{{ many | slice(10**9) | list }}",
        "{{ 2.5 | round(10**9, 'ceil') }}",
        "{{ [[1]] | sum(start=[]) }}",
        "{{ (big ~ big) | wordwrap(3) }}",
        "{{ (big ~ big) | title }}",
        "{{ {'a': 1} | tojson(indent=10**9) }}",
        "{{ [[1], [2]] | map('center', 10**9) | list }}",
    ],
)  # fmt: skip
def test_a_template_that_would_never_end_or_fill_the_memory_ends_in_a_clear_error(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(SettingError) as caught:
        fill(source, big=MEGABYTE, many=["y"] * 100_000, lines="\n" * 1_000_000)
    assert caught.value.message
    assert time.thread_time() - began < 20


def test_a_template_that_is_nested_too_deeply_is_refused() -> None:
    for source in ("{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "{% for i in x %}" * 40 + "{% endfor %}" * 40):
        with pytest.raises(SettingError, match="nested too deeply"):
            compiled(source)


def test_large_but_honest_templates_work() -> None:
    rows = [{"name": f"n{i}", "age": i} for i in range(20_000)]
    text = fill("{% for r in rows %}\n{{ r.name }}: {{ r.age }}\n{% endfor %}", rows=rows)
    assert text.count("\n") == 20_000
    assert len(fill("{{ a }}{{ a }}", a=MEGABYTE * 2)) == 4_000_000


def test_filling_in_a_template_again_does_not_read_it_again() -> None:
    source, values = "Hello {{ name }}, {% for x in xs %}{{ x }}{% endfor %}", {"name": "x", "xs": [1, 2, 3]}
    fill(source, **values)
    assert calls(lambda: fill(source, **values)) < 1_000, "about 150; to read it takes some 5,000"
