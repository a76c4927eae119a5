"""Every kind of the plain families explains itself, and does what its examples show."""

from __future__ import annotations

from pathlib import Path

import pytest
from phloem.runtime.codec import pack, unpack
from phloem.runtime.kinds import NodeKind
from phloem.runtime.ports import REQUIRED
from phloem.runtime.values import UNLIT
from support.kinds import PLAIN, agree, family_of, find, outputs_of, promised_outputs

KINDS = [kind for module in PLAIN for kind in family_of(module)]
EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])


@EACH_KIND
def test_a_kind_has_words_for_people(kind: NodeKind) -> None:
    assert kind.title
    assert len(kind.about.split()) >= 6
    assert kind.about.splitlines()[0].rstrip().endswith((".", ":", ","))
    for port in kind.inputs.values():
        assert port.about, f"{port.name} has no words"
        assert not port.about.endswith("."), f"the words of {port.name} are a label, not a sentence"


@EACH_KIND
def test_a_kind_has_outputs_and_an_example(kind: NodeKind) -> None:
    assert kind.outputs or kind.nests
    assert kind.examples
    assert len({str(example.inputs) for example in kind.examples}) == len(kind.examples)


@EACH_KIND
def test_the_examples_of_a_kind_show_what_it_does(kind: NodeKind, tmp_path: Path) -> None:
    for number, example in enumerate(kind.examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        given = outputs_of(kind, example, folder)
        assert agree(dict(example.outputs), given), f"{given!r} is not {example.outputs!r}"


@EACH_KIND
def test_what_a_kind_gives_can_be_kept(kind: NodeKind, tmp_path: Path) -> None:
    for value in outputs_of(kind, kind.examples[0], tmp_path).values():
        assert unpack(pack(value)) == value


@EACH_KIND
def test_the_outputs_are_those_that_the_ports_promise(kind: NodeKind, tmp_path: Path) -> None:
    from phloem.runtime.ports import expect

    example = kind.examples[0]
    promised = promised_outputs(kind, example, tmp_path)
    given = outputs_of(kind, example, tmp_path)
    assert set(given) == set(promised)
    for name, value in given.items():
        if value is not UNLIT:
            assert expect(value, promised[name]) == value


@EACH_KIND
def test_settings_have_defaults_that_fit(kind: NodeKind) -> None:
    for port in kind.inputs.values():
        if port.default is not REQUIRED and port.choices:
            assert port.default in port.choices


def test_the_comparison_of_examples_can_fail() -> None:
    assert not agree({"a": 1.0}, {"a": 1.01})
    assert not agree({"a": 1}, {"a": True})
    assert not agree({"a": 1}, {"a": 1, "b": 2})
    assert not agree(["x"], ["y"])
    assert agree({"a": ...}, {"a": object()})


def test_the_kinds_that_files_rely_on_are_there_with_their_ports() -> None:
    fixed = {
        "text.template": ({"template"}, {"text"}),
        "text.split": ({"text", "by", "size", "overlap"}, {"pieces"}),
        "text.join": ({"texts", "separator"}, {"text"}),
        "text.replace": ({"text", "pattern", "replacement"}, {"text"}),
        "text.match": ({"text", "pattern"}, {"matches", "found"}),
        "data.constant": ({"value"}, {"value"}),
        "data.query": ({"value", "query"}, {"value"}),
        "math.calculate": ({"expression"}, {"value"}),
        "logic.compare": ({"a", "b", "op"}, {"result"}),
        "flow.if": ({"value", "when"}, {"then", "else"}),
        "flow.switch": ({"value", "key", "cases"}, {"else"}),
        "flow.merge": ({"values"}, {"value"}),
        "files.read": ({"path"}, {"text", "document"}),
        "files.write": ({"path", "text", "mode"}, {"path"}),
    }
    for id, (inputs, outputs) in fixed.items():
        kind = find(id)
        assert kind.name == f"{id}@1"
        assert inputs <= set(kind.inputs)
        assert outputs <= set(kind.outputs)
