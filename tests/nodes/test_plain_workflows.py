"""The plain kinds at work together, in the real engine, from a file to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from phloem.runtime.document import load
from phloem.runtime.engine import run_to_end
from phloem.runtime.errors import CheckError
from phloem.runtime.runs import Options, Result

REPORT = """
phloem: 1
inputs:
  least: {type: number, value: 30}
nodes:
  orders:
    kind: table.read@1
    set: {path: orders.csv}
  chosen:
    kind: data.query@1
    in: {value: orders.rows}
    set: {query: "[?price > `10`]", type: "list[json]"}
  names:
    kind: data.query@1
    in: {value: chosen.value}
    set: {query: "[*].item", type: "list[text]"}
  loud:
    kind: text.case@1
    in: {text: names.value}
    set: {to: upper}
  total:
    kind: data.query@1
    in: {value: chosen.value}
    set: {query: "sum([*].price)", type: number}
  large:
    kind: math.calculate@1
    in: {total: total.value, least: input.least}
    set: {expression: total >= least}
  report:
    kind: text.template@1
    in: {names: loud.text, total: total.value}
    set: {template: "{{ names | join(', ') }}: {{ total }}"}
  way:
    kind: flow.if@1
    in: {value: report.text, when: large.value}
  saved:
    kind: files.write@1
    in: {text: way.then}
    set: {path: out/report.txt}
  small:
    kind: text.join@1
    in: {texts: [way.else]}
    set: {separator: "-"}
  end:
    kind: flow.merge@1
    in: {values: [saved.path, small.text]}
outputs:
  end: end.value
"""


def run(folder: Path, text: str, **inputs: object) -> Result:
    (folder / "w.flow.yaml").write_text(text)
    return run_to_end(load(folder / "w.flow.yaml"), inputs, Options(allow=[f"write={folder / 'out'}"]))


def test_a_report_is_written_once_and_again_when_something_changes(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("item;price\nlamp;40\npen;2\nchair;12.5\n")
    report = tmp_path / "out/report.txt"
    first = run(tmp_path, REPORT)
    assert (first.status, first.outputs) == ("done", {"end": str(report)})
    assert report.read_text() == "LAMP, CHAIR: 52.5"

    written = report.stat().st_mtime_ns
    assert run(tmp_path, REPORT).status == "done"
    assert report.stat().st_mtime_ns == written, "nothing had changed, so nothing was to be written"

    report.write_text("scribble")
    run(tmp_path, REPORT)
    assert report.read_text() == "LAMP, CHAIR: 52.5"

    orders.write_text("item;price\nlamp;41\n")
    run(tmp_path, REPORT)
    assert report.read_text() == "LAMP: 41"


def test_the_other_way_is_taken_and_the_ways_meet_again(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("item;price\nlamp;40\n")
    found = run(tmp_path, REPORT, least=1000)
    assert (found.status, found.outputs) == ("done", {"end": "LAMP: 40"})
    assert not (tmp_path / "out").exists()


def test_an_if_over_a_list_is_a_filter_and_a_switch_sorts(tmp_path: Path) -> None:
    text = """
phloem: 1
inputs:
  numbers: {type: "list[number]", value: [1, 5, 9]}
nodes:
  large: {kind: logic.compare@1, in: {a: input.numbers}, set: {op: ">", b: 3}}
  way: {kind: flow.if@1, in: {value: input.numbers, when: large.result}}
  parted: {kind: flow.switch@1, in: {value: input.numbers, key: large.result}, set: {cases: ["true"]}}
  one: {kind: logic.compare@1, in: {a: input.numbers}, set: {op: contains, b: 5}}
outputs: {large: large.result, kept: way.then, left: way.else, parted: parted.true, has: one.result}
"""
    assert run(tmp_path, text).outputs == {
        "large": [False, True, True],
        "kept": [5, 9],
        "left": [1],
        "parted": [5, 9],
        "has": True,
    }
    assert run(tmp_path, text, numbers=[1, 2]).outputs["kept"] == []


def test_appending_happens_in_every_run(tmp_path: Path) -> None:
    text = """
phloem: 1
nodes:
  log: {kind: files.write@1, set: {path: out/log.txt, text: "x", mode: append}}
outputs: {path: log.path}
"""
    for times in (1, 2):
        run(tmp_path, text)
        assert (tmp_path / "out/log.txt").read_text() == "x" * times


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ('{kind: text.template@1, set: {template: "{% for %}"}}', "line 1: expected an expression"),
        ('{kind: math.calculate@1, set: {expression: "sinn(1)"}}', "there is no function sinn"),
        ('{kind: flow.switch@1, set: {key: a, cases: ["not sure"]}}', "cannot be the name of a port"),
        ("{kind: data.build@1, set: {fields: [a]}}", "the input a (any) is missing"),
        ("{kind: data.query@1, set: {value: 1, query: a, type: strings}}", "is not a type"),
        ("{kind: text.case@1, set: {text: a, to: uper}}", "Did you mean upper"),
    ],
)
def test_wrong_settings_are_found_before_anything_runs(tmp_path: Path, node: str, words: str) -> None:
    with pytest.raises(CheckError) as caught:
        run(tmp_path, f"phloem: 1\nnodes:\n  one: {node}\n")
    assert words in str(caught.value)
    assert "w.flow.yaml:3" in str(caught.value)
