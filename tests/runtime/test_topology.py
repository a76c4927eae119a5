"""The order of a workflow's nodes, how it is proved, and how far what was kept on disk is believed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime import topology
from phloem.runtime.topology import CircleError, ancestors, topology_of


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Every test begins with nothing in memory."""
    monkeypatch.setattr(topology, "_memory", {})


@st.composite
def graphs(draw):
    """Acyclic graphs whose nodes stand in any order in the file."""
    size = draw(st.integers(0, 12))
    sources = [
        draw(st.lists(st.integers(0, max(index - 1, 0)), unique=True, max_size=4)) if index else []
        for index in range(size)
    ]
    order = draw(st.permutations(range(size)))
    return {f"n{index}": tuple(f"n{one}" for one in sources[index]) for index in order}


@pytest.mark.slow
@given(graphs())
def test_every_node_comes_after_what_it_takes_from(edges):
    found = topology_of(edges)
    assert found.names == tuple(edges)
    assert sorted(found.order) == list(range(len(edges)))
    place = {found.names[index]: at for at, index in enumerate(found.order)}
    assert all(place[source] < place[name] for name, sources in edges.items() for source in sources)


@given(graphs())
def test_a_layer_is_the_longest_way_to_a_node(edges):
    found = topology_of(edges)
    layer = dict(zip(found.names, found.layer, strict=True))
    for name, sources in edges.items():
        assert layer[name] == max((layer[source] + 1 for source in sources), default=0)


@given(graphs(), st.data())
def test_ancestors_are_all_that_a_node_depends_on_and_itself(edges, data):
    if not edges:
        return
    name = data.draw(st.sampled_from(list(edges)))
    found = ancestors(edges, name)
    assert name in found
    assert all(set(edges[one]) <= found for one in found)
    assert all(one == name or any(one in edges[other] for other in found) for one in found)


@pytest.mark.parametrize(
    "edges, circles",
    [
        ({"a": ("a",)}, [{"a"}]),
        ({"a": ("b",), "b": ("a",)}, [{"a", "b"}]),
        ({"a": ("c",), "b": ("a",), "c": ("b",), "d": ("c",)}, [{"a", "b", "c"}]),
        ({"a": ("b",), "b": ("a",), "x": (), "c": ("d", "x"), "d": ("c",)}, [{"a", "b"}, {"c", "d"}]),
    ],
)
def test_each_knot_of_circles_is_told_once(edges, circles):
    with pytest.raises(CircleError) as refused:
        topology_of(edges)
    assert sorted(sorted(circle) for circle in refused.value.circles) == sorted(sorted(one) for one in circles)
    for circle in refused.value.circles:
        assert all(before in edges[after] for before, after in zip(circle, [*circle[1:], circle[0]], strict=True))


CHAIN = {"c": ("b",), "b": ("a",), "a": ()}


def test_what_was_proved_is_kept_on_disk_and_found_again(tmp_path, monkeypatch):
    first = topology_of(CHAIN, tmp_path)
    monkeypatch.setattr(topology, "_memory", {})
    monkeypatch.setattr(topology, "_proved", lambda edges: pytest.fail("it was proved again"))
    assert topology_of(CHAIN, tmp_path) == first


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"order": [0, 1, 2], "layer": [0, 0, 0]}', '{"order": [2, 1], "layer": [2, 1, 0]}',
        '{"order": [2, 1, 0, 0], "layer": [2, 1, 0]}', '{"order": [2, 1, 9], "layer": [2, 1, 0]}',
        '{"order": [2, 1, 0], "layer": [2, 1]}', '{"order": [2, 1, 0], "layer": ["2", 1, 0]}',
        '{"order": [2, 1, -3], "layer": [2, 1, 0]}', '{"order": ["a", "b", "c"], "layer": [2, 1, 0]}', '{"order": 5, "layer": 5}',
        "[" * 200_000, '{"order": [2, 1, 0], "layer": [9, 1, 0]}', '{"order": [2, 1, 0], "layer": [2.0, 1, 0]}',
        '{"order": [2, 1, 1], "layer": [2, 1, 0]}', '{"layer": [2, 1, 0]}', '{"order": [[2], 1, 0], "layer": [2, 1, 0]}',
    ],
)  # fmt: skip
def test_what_lies_on_disk_is_not_believed_when_it_does_not_hold(tmp_path, monkeypatch, text):
    right = topology_of(CHAIN, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(text)
    monkeypatch.setattr(topology, "_memory", {})
    assert topology_of(CHAIN, tmp_path) == right
    assert json.loads(file.read_text())["order"] == list(right.order), "and it is mended"


def test_a_store_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert topology_of(CHAIN, tmp_path / "file" / "plans").order == (2, 1, 0)


def test_two_shapes_are_never_taken_for_each_other(tmp_path):
    one = topology_of({"a": (), "b": ("a",)}, tmp_path)
    other = topology_of({"b": (), "a": ("b",)}, tmp_path)
    assert (one.names, one.order) == (("a", "b"), (0, 1))
    assert (other.names, other.order) == (("b", "a"), (0, 1))
    assert len(list(tmp_path.iterdir())) == 2


def test_memory_does_not_grow_without_end():
    for size in range(300):
        topology_of({f"n{size}": ()})
    assert len(topology._memory) <= 256


def test_a_workflow_seen_before_is_planned_without_networkx(tmp_path):
    code = f"""
import sys
from pathlib import Path
from phloem.runtime.topology import topology_of
print(topology_of({CHAIN!r}, Path({str(tmp_path)!r})).order, "networkx" in sys.modules)
"""
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == "(2, 1, 0) True\n"
    assert second == "(2, 1, 0) False\n"


def test_names_of_any_kind_are_kept_apart(tmp_path):
    odd = {"\ud800": (), 'a"b': ("\ud800",), "": ("\ud800", 'a"b')}
    assert topology_of(odd, tmp_path).layer == (0, 1, 2)
    assert Path(tmp_path).exists()
