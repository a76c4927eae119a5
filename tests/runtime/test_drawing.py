"""Drawing a workflow: as text, as Mermaid and as SVG."""

from __future__ import annotations

import itertools
import random
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, NamedTuple
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phloem.runtime.catalogue import Catalogue
from phloem.runtime.declare import In, Out, Setting, kinds_in, node
from phloem.runtime.drawing import as_mermaid, as_svg, as_text
from phloem.runtime.drawing.palette import DARK, LIGHT, Palette, base_of_family
from phloem.runtime.errors import SettingError
from phloem.runtime.ports import Port, Ports, PortType
from phloem.runtime.values import Collection, Document, Hit
from phloem.runtime.workflow import Input, Limit, Node, OnError, Retry, Source, Workflow
from rich.cells import cell_len
from support import workflows
from support.counting import calls

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"
WAYS: list[Callable[..., str]] = [as_text, as_mermaid, as_svg]


class Page(NamedTuple):
    text: str
    title: str
    document: Document


def fields(settings: Any, types: Any) -> Ports:
    names = re.findall(r"\{\{ (\w+) \}\}", settings.get("template", ""))
    if "broken" in names:
        raise SettingError("the template is broken")
    return Ports({name: Port(name, types.get(name, PortType("any"))) for name in names}, {"text": PortType("text")})


def both_ways(settings: Any, types: Any) -> Ports:
    taken = types.get("value", PortType("any"))
    return Ports({}, {"then": taken, "else": taken})


@node("web.read", "Read a web page")
def web_read(url: str) -> Page:
    return Page(url, "", Document(""))


@node("text.split", "Split text")
def text_split(
    text: str, by: Annotated[str, Setting()] = "words", size: Annotated[int, Setting()] = 9
) -> Annotated[list[str], Out("pieces")]:
    return text.split()


@node("store.add", "Add to a collection")
def store_add(texts: list[str], collection: Annotated[str, Setting()] = "main") -> Collection:
    return Collection(collection, "")


@node("store.search", "Search a collection")
def store_search(
    query: str, collection: Collection, k: Annotated[int, Setting()] = 3
) -> Annotated[list[Hit], Out("hits")]:
    return []


@node("text.template", "Fill in a template", ports=fields)
def text_template(template: Annotated[str, Setting(shapes=True)], **values: Any) -> str:
    return template


@node("llm.generate", "Generate text")
def llm_generate(prompt: str, temperature: Annotated[float, Setting()] = 0.7) -> str:
    return prompt


@node("text.join", "Join texts")
def text_join(texts: Annotated[list[str], In(many=True)], separator: Annotated[str, Setting()] = "") -> str:
    return separator.join(texts)


@node("logic.long", "Is it long?")
def logic_long(text: str) -> Annotated[bool, Out("result")]:
    return len(text) > 9


@node("flow.if", "If", ports=both_ways)
def flow_if(value: Any, when: bool) -> Any:
    return value


KINDS = Catalogue(kinds_in(sys.modules[__name__]))
"""Kinds with the ports of some built-in ones: the runtime's tests know no node library."""


def link(text: str) -> Source:
    return Source(*text.split(".", 1))


def box(kind: str, settings: dict[str, Any] | None = None, **links: str) -> Node:
    return Node(f"{kind}@1", {name: tuple(map(link, text.split())) for name, text in links.items()}, settings or {})


def given_input(value: Any, type: str = "text") -> Input:
    return Input(PortType.parse(type), value=value, has_value=True)


ASK = Workflow(
    title="Ask a web page",
    about="Reads a page, finds the passages nearest to a question, and answers from them.",
    inputs={"page": given_input("data/looms.html"), "question": given_input("Who invented the flying shuttle?")},
    nodes={
        "read": box("web.read", url="input.page"),
        "pieces": box("text.split", {"by": "sentences", "size": 60}, text="read.text"),
        "index": box("store.add", {"collection": "looms"}, texts="pieces.pieces"),
        "hits": box("store.search", {"k": 3}, query="input.question", collection="index.collection"),
        "prompt": box(
            "text.template",
            {"template": "Answer from {{ passages }}\n\nQuestion: {{ question }}"},
            passages="hits.hits",
            question="input.question",
        ),
        "reply": box("llm.generate", {"temperature": 0}, prompt="prompt.text"),
    },
    outputs={"answer": link("reply.text")},
)

BRANCHES = Workflow(
    inputs={"text": given_input("It was a dark and stormy night.")},
    nodes={
        "long": box("logic.long", text="input.text"),
        "choose": box("flow.if", value="input.text", when="long.result"),
        "short": box("llm.generate", prompt="choose.then"),
        "either": box("text.join", {"separator": "\n"}, texts="short.text choose.else"),
    },
    outputs={"text": link("either.text")},
)

CIRCLE = Workflow(
    nodes={
        "a": box("text.join", texts="c.text a.text"),
        "b": box("text.join", texts="a.text"),
        "c": box("text.join", texts="b.text"),
    },
    outputs={"end": link("c.text")},
)

BROKEN = Workflow(
    nodes={
        "first": box("text.split", text="nowhere.at_all"),
        "second": box("acme.transmogrify", {"level": 11}, wheel="first.text", other="input.none"),
        "third": replace(box("llm.generate", prompt="second.result"), disabled=True),
    },
    outputs={"end": link("third.nothing")},
)


def chain(length: int) -> Workflow:
    nodes = {f"n{i}": box("text.join", texts=f"n{i - 1}.text") if i else box("text.join") for i in range(length)}
    return Workflow(nodes=nodes)


def tangle(length: int, seed: int, reach: int = 9) -> Workflow:
    """A random workflow without circles whose links span up to `reach` nodes."""
    dice = random.Random(seed)
    nodes = {}
    for i in range(length):
        before = range(max(0, i - reach), i)
        texts = [f"n{j}.text" for j in dice.sample(before, min(len(before), dice.randint(1, 3)))]
        nodes[f"n{i}"] = box("text.join", {"separator": ", "}, texts=" ".join(texts or ["input.start"]))
    return Workflow(inputs={"start": given_input("x")}, nodes=nodes, outputs={"end": link(f"n{length - 1}.text")})


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def drawn_texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in parsed(svg).iter(f"{SVG}text")]


def by_class(svg: str, name: str) -> list[ElementTree.Element]:
    return [one for one in parsed(svg).iter() if name in one.get("class", "").split()]


def corners(svg: str) -> dict[str, tuple[float, float]]:
    """Where each box stands, by its id, which is what its tooltip begins with."""
    found = {}
    for one in by_class(svg, "node"):
        title = one.find(f"{SVG}title")
        x, y = re.findall(r"-?[0-9.]+", one.get("transform", ""))
        found[(title.text or "").partition(":")[0] if title is not None else ""] = (float(x), float(y))
    return found


# As text


def test_text_shows_a_chain_as_a_person_would_draw_it() -> None:
    assert as_text(ASK, KINDS).split("\n") == [
        "Ask a web page",
        "Reads a page, finds the passages nearest to a question, and answers from them.",
        "",
        "○    page      text = data/looms.html",
        "│ ○  question  text = Who invented the flying shuttle?",
        "● │  read      web.read@1  → text, title: text, document",
        "│ │    url ← input.page",
        "● │  pieces    text.split@1  → pieces: list[text]",
        "│ │    text ← read.text · by: sentences · size: 60",
        "● │  index     store.add@1  → collection",
        "│ │    texts ← pieces.pieces · collection: looms",
        "●─┤  hits      store.search@1  → hits: list[hit]",
        "│ │    query ← input.question · collection ← index.collection · k: 3",
        "●─╯  prompt    text.template@1  → text",
        "│      passages ← hits.hits · question ← input.question",
        "│      template: Answer from {{ passages }} Question: {{ question }}",
        "●    reply     llm.generate@1  → text",
        "│      prompt ← prompt.text · temperature: 0",
        "◆    answer    text ← reply.text",
    ]


def test_text_draws_branches_that_part_and_meet() -> None:
    assert as_text(BRANCHES, KINDS).split("\n") == [
        "○    text    text = It was a dark and stormy night.",
        "├─●  long    logic.long@1  → result: boolean",
        "│ │    text ← input.text",
        "●─╯  choose  flow.if@1  → then: text, else: text",
        "│      value ← input.text · when ← long.result",
        "├─●  short   llm.generate@1  → text",
        "│ │    prompt ← choose.then",
        "●─╯  either  text.join@1  → text",
        '│      texts ← short.text, choose.else · separator: "\\n"',
        "◆    text    text ← either.text",
    ]


def test_text_without_a_catalogue_says_what_the_file_says() -> None:
    text = as_text(ASK)
    assert "●─┤  hits      store.search@1  → hits" in text
    assert "not installed" not in text


def test_text_says_what_is_broken() -> None:
    text = as_text(BROKEN, KINDS)
    assert "text ← nowhere.at_all (not there)" in text
    assert "acme.transmogrify@1 (not installed)  → result" in text
    assert "other ← input.none (not there)" in text
    assert re.search(r"◌ +third.*\n.*disabled", text)


def test_text_marks_the_links_that_close_a_circle() -> None:
    text = as_text(CIRCLE, KINDS)
    assert "texts ← c.text ↺, a.text ↺" in text
    assert "texts ← b.text\n" in text


def test_text_names_required_inputs_that_nothing_feeds() -> None:
    workflow = Workflow(nodes={"find": box("store.search", {"query": "looms"})})
    assert "collection ← nothing" in as_text(workflow, KINDS)
    assert "query ← nothing" not in as_text(workflow, KINDS)


def test_text_says_what_else_a_node_is_told() -> None:
    told = replace(
        box("llm.generate", prompt="input.text"), title="Answer", note="Be kind.", retry=Retry(3), timeout=30.0, limit=Limit(500, 0.5),
        on_error=OnError("skip"), cache=False,
    )  # fmt: skip
    text = as_text(replace(BRANCHES, nodes={"reply": told}, outputs={}), KINDS)
    assert "Answer\n" in text
    assert "Be kind.\n" in text
    assert "retry 3 · timeout 30 s · limit 500 tokens, $0.50 · on error skip · not cached" in " · ".join(
        text.split("\n     ")
    )


def test_text_draws_what_is_nested_in_a_node_within_it() -> None:
    body = Workflow(
        inputs={"item": Input(PortType("text"))},
        nodes={"sum": box("llm.generate", prompt="input.item")},
        outputs={"line": link("sum.text")},
    )
    each = replace(box("flow.each", items="input.text"), do=body)
    text = as_text(
        Workflow(inputs={"text": given_input("x")}, nodes={"each": each}, outputs={"all": link("each.line")})
    )
    assert text.split("\n")[3:] == [
        "│    ┊ ○  item  text",
        "│    ┊ ●  sum   llm.generate@1  → text",
        "│    ┊ │    prompt ← input.item",
        "│    ┊ ◆  line  ← sum.text",
        "◆  all   ← each.line",
    ]


def in_one_another(count: int) -> Workflow:
    """`count` nodes, each in the one whose number is one higher, and one in the innermost."""
    body = Workflow(nodes={"end": box("a.b")})
    for level in range(count):
        body = Workflow(nodes={f"level{level}": replace(box("flow.each"), do=body)})
    return body


def test_text_of_bodies_in_bodies_ends_before_it_runs_out_of_room() -> None:
    text = as_text(in_one_another(31))
    assert "level30" in text and "level29" in text
    assert "… 1 more inside" in text
    assert "level9" not in text
    assert all(cell_len(line) <= 80 for line in text.split("\n"))


def test_a_body_without_anything_in_it_is_drawn() -> None:
    workflow = Workflow(nodes={"each": replace(box("flow.each"), do=Workflow())})
    assert "(empty)" in as_text(workflow, KINDS)
    assert "0 nodes" in as_svg(workflow, KINDS)
    assert '[["each<br>flow.each<br>0 nodes inside"]]' in as_mermaid(workflow, KINDS)


def test_text_says_that_a_node_runs_once_per_item() -> None:
    nodes = {"pieces": box("text.split", text="input.text"), "reply": box("llm.generate", prompt="pieces.pieces")}
    workflow = replace(BRANCHES, nodes=nodes, outputs={"replies": link("reply.text")})
    assert "once per item" in as_text(workflow, KINDS)
    assert "replies  list[text] ← reply.text" in as_text(workflow, KINDS)


def test_text_of_a_wide_tangle_has_no_rail() -> None:
    sources = {f"s{i}": box("text.join") for i in range(30)}
    workflow = Workflow(nodes={**sources, "end": box("text.join", texts=" ".join(f"{name}.text" for name in sources))})
    text = as_text(workflow)
    assert "│" not in text
    assert text.startswith("●  s0   text.join@1")


def test_text_lists_every_node_after_those_it_takes_from() -> None:
    workflow = tangle(60, 1)
    shown = re.findall(r"[○●◆][^a-z]*(\w+)", as_text(workflow))
    place = {name: at for at, name in enumerate(shown)}
    assert set(workflow.nodes) < set(shown)
    for name, sources in workflow.edges().items():
        assert all(place[source] < place[name] for source in sources)


@pytest.mark.parametrize("width", [80, 40])
def test_text_keeps_within_its_width_in_every_script(width: int) -> None:
    long = "これは長い説明です。" * 20
    wide = replace(
        ASK, title=long, about="שלום עולם " * 40,
        inputs={"page": given_input(long), "question": given_input("word " * 99)},
        nodes={**ASK.nodes, "a" * 90: box("text.join", {long[:50]: long}, texts="read.text pieces.pieces")},
    )  # fmt: skip
    for line in as_text(wide, KINDS, width=width).split("\n"):
        assert cell_len(line) <= width, line


# As Mermaid

LINE = re.compile(
    r'flowchart LR|(  )+[inos]_\w+(\["[^"\n]*"\]|\[\["[^"\n]*"\]\]|\(\["[^"\n]*"\]\))'
    r'|(  )+[ino]_\w+ (-->|-\.->)(\|"[^"\n]+"\|)? [ino]_\w+|  classDef \w+ [a-z0-9.:, -]+|  class [\w,]+ \w+'
    r'|(  )+subgraph n_\w+\["[^"\n]*"\]|(  )+direction LR|(  )+end'
)
"""The lines we write, all of them forms that Mermaid's own parser takes."""


def test_mermaid_names_ports_where_a_node_has_several() -> None:
    assert as_mermaid(BRANCHES, KINDS).split("\n") == [
        "flowchart LR",
        '  i_text(["text<br>It was a dark and stormy night."])',
        '  n_long["long<br>logic.long"]',
        '  n_choose["choose<br>flow.if"]',
        '  n_short["short<br>llm.generate"]',
        '  n_either["either<br>text.join<br>separator: #34;∖n#34;"]',
        '  o_text(["text<br>text"])',
        "  i_text --> n_long",
        '  i_text -->|"value"| n_choose',
        '  n_long -->|"when"| n_choose',
        '  n_choose -->|"then"| n_short',
        "  n_short --> n_either",
        '  n_choose -->|"else"| n_either',
        "  n_either --> o_text",
    ]


def test_mermaid_shows_state_and_circles() -> None:
    assert "  n_c -.-> n_a" in as_mermaid(CIRCLE)
    broken = as_mermaid(BROKEN, KINDS)
    assert "  class n_second,n_nowhere,i_none unknown" in broken
    assert "  class n_third off" in broken


@pytest.mark.parametrize(
    "hostile",
    [
        'a"] --> b["', "end", "<script>alert(1)</script>", "%%{init: {}}%%", "a\n  click b", "#quot;", "style a:#b;",
        "[x](javascript:y)", "`code`", "**b** __c__ ~~d~~ $$e$$", "1. list", "- list", "# head", "[a]: b", "a|b", "\\x",
        "https://example.org", "fa:fa-car", "classDef x fill:#fff;", "in direction TB", "subgraph x",
    ],
)  # fmt: skip
def test_mermaid_shows_hostile_text_as_text(hostile: str) -> None:
    named = Node(hostile, {hostile: (Source(hostile, hostile),), "b": (Source("input", "b"),)}, {hostile: hostile})
    around = replace(named, title=hostile, do=Workflow(nodes={hostile: named}))
    nodes = {hostile: named, "next": named, "around": around}
    workflow = Workflow(hostile, hostile, nodes=nodes, outputs={hostile: Source("next", hostile)})
    lines = as_mermaid(workflow).split("\n")
    assert lines[0] == lines[2] == "---"
    assert re.fullmatch(r'title: "([^"\\]|\\.)+"', lines[1])
    for line in lines[3:]:
        assert LINE.fullmatch(line), line
        label = re.sub(r"#[0-9]+;|<br>", "?", line)
        told = r'<|>(?!\|?["\s])|`|\*|%%|://|style|\bclassDef (?!unknown|off|settings)|(?<!^    )direction\s'
        assert not re.search(told, label), line


NESTED = Workflow(
    inputs={"text": given_input("x")},
    nodes={
        "each": replace(
            box("flow.each", {"on_item_error": "collect"}, items="input.text"),
            do=Workflow(
                title="Inside",
                inputs={"item": Input(PortType("text"))},
                nodes={
                    "sum": replace(box("llm.generate", prompt="input.item"), do=Workflow(nodes={"lost": box("a.b")})),
                    "each": box("text.join", texts="sum.text"),
                },
                outputs={"line": link("each.text")},
            ),
            disabled=True,
        ),
        "after": box("text.join", texts="each.line"),
    },
    outputs={"all": link("after.text")},
)


def test_mermaid_draws_what_is_nested_in_a_node_as_a_subgraph() -> None:
    assert as_mermaid(NESTED).split("\n") == [
        "flowchart LR",
        '  i_text(["text<br>x"])',
        '  subgraph n_each["each · flow.each"]',
        "    direction LR",
        '    s_each["on_item_error: collect"]',
        '    i_each_item(["item<br>text"])',
        '    subgraph n_each_sum["sum · llm.generate"]',
        "      direction LR",
        '      n_each_sum_lost["lost<br>a.b"]',
        "    end",
        '    n_each_each["each<br>text.join"]',
        '    o_each_line(["line"])',
        "    i_each_item --> n_each_sum",
        "    n_each_sum --> n_each_each",
        "    n_each_each --> o_each_line",
        "  end",
        '  n_after["after<br>text.join"]',
        '  o_all(["all"])',
        "  i_text --> n_each",
        "  n_each --> n_after",
        "  n_after --> o_all",
        "  classDef off opacity: 0.45",
        "  class i_each_item,n_each_sum_lost,n_each_sum,n_each_each,o_each_line,n_each off",
        "  classDef settings fill: none,stroke: none",
        "  class s_each settings",
    ]


def test_mermaid_writes_beside_a_body_what_has_no_room_above_it() -> None:
    node = NESTED.nodes["each"]
    titled = replace(NESTED, nodes={"each": replace(node, title="For all of them", disabled=False)}, outputs={})
    mermaid = as_mermaid(titled)
    assert '  subgraph n_each["For all of them"]' in mermaid
    assert '    s_each["each · flow.each<br>on_item_error: collect"]' in mermaid


def test_mermaid_of_bodies_in_bodies_ends_six_deep() -> None:
    mermaid = as_mermaid(in_one_another(8))
    assert mermaid.count("subgraph") == mermaid.count("direction LR") == mermaid.count(" end") == 6
    assert '[["level1<br>flow.each<br>1 node inside"]]' in mermaid


def test_mermaid_names_are_never_taken_twice() -> None:
    workflow = Workflow(nodes={id: box("a.b") for id in ("a-b", "a_b", "a.b", "é", "日", "", "end", "__proto__")})
    names = re.findall(r"^  (\w+)\[", as_mermaid(workflow), re.MULTILINE)
    assert len(set(names)) == len(names) == 8
    node = replace(box("a.b"), do=Workflow(nodes={"b": box("a.b"), "b_2": box("a.b")}))
    names = re.findall(
        r"(?:subgraph |^ +)(n_\w+)\[", as_mermaid(Workflow(nodes={"a_b": node, "a-b": node})), re.MULTILINE
    )
    assert len(set(names)) == len(names) == 6


# As SVG


def test_svg_is_one_document_with_nothing_from_outside() -> None:
    svg = as_svg(ASK, KINDS)
    root = parsed(svg)
    assert root.tag == f"{SVG}svg"
    assert (root.find(f"{SVG}title") is not None) and (root.find(f"{SVG}desc") is not None)
    assert set(re.findall(r"url\(([^)]*)\)", svg)) == {"#phloem-dots"}
    assert re.findall(r"https?://[^\" ]+", svg) == ["http://www.w3.org/2000/svg"]


def test_svg_says_what_each_card_is() -> None:
    texts = drawn_texts(as_svg(ASK, KINDS))
    assert {"Ask a web page", "Read a web page", "read  web.read", "url", "document", "by sentences"} <= set(texts)
    assert {"page", "data/looms.html", "answer"} <= set(texts)
    assert "read" in drawn_texts(as_svg(ASK))


def test_svg_colours_links_by_type() -> None:
    classes = [one.get("class") for one in by_class(as_svg(ASK, KINDS), "link")]
    assert classes.count("link t-collection") == 1
    assert classes.count("link t-hit list") == 1
    assert classes.count("link t-text list") == 1
    assert {"text", "hit", "collection", "list"} <= set(drawn_texts(as_svg(ASK, KINDS)))
    neutral = {one.get("class") for one in by_class(as_svg(replace(ASK, inputs={})), "link")}
    assert neutral == {"link t-unknown"}


def test_svg_of_a_workflow_with_problems_keeps_the_types_that_kinds_declare() -> None:
    broken = replace(ASK, nodes={**ASK.nodes, "reply": box("llm.generate", prompt="prompt.nothing")})
    classes = [one.get("class") for one in by_class(as_svg(broken, KINDS), "link")]
    assert "link t-collection" in classes
    assert "link t-unknown" in classes
    template = {"t": box("text.template", {"template": "{{ broken }}"}, broken="input.page")}
    assert "Fill in a template" in as_svg(replace(ASK, nodes=template, outputs={}), KINDS)


def test_svg_dims_what_is_switched_off_and_dashes_what_is_not_there() -> None:
    svg = as_svg(BROKEN, KINDS)
    states = {}
    for one in by_class(svg, "node"):
        title = one.find(f"{SVG}title")
        assert title is not None
        states[title.text] = one.get("class")
    assert states == {
        "first: text.split@1": "node",
        "second: acme.transmogrify@1 (not installed)": "node unknown",
        "third: llm.generate@1": "node off",
        "nowhere: not in the workflow": "node unknown",
        "none: not in the workflow": "node unknown",
        "end": "node",
    }


def test_svg_leads_links_that_close_a_circle_back_in_dashes() -> None:
    assert len(by_class(as_svg(CIRCLE, KINDS), "back")) == 2


def test_svg_stacks_the_card_of_a_node_that_runs_once_per_item() -> None:
    nodes = {"pieces": box("text.split", text="input.text"), "reply": box("llm.generate", prompt="pieces.pieces")}
    svg = as_svg(replace(BRANCHES, nodes=nodes, outputs={}), KINDS)
    assert [len(one.findall(f"{SVG}rect")) for one in by_class(svg, "node")] == [1, 2, 3]


def frames(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """The left, top, right and bottom of every card and pill in the picture, by the path of ids to it."""
    found = {}

    def walk(one: ElementTree.Element, path: str, x: float, y: float) -> None:
        for inner in one.findall(f"{SVG}g"):
            dx, dy = map(float, re.findall(r"-?[0-9.]+", inner.get("transform", "")))
            title, frame = inner.find(f"{SVG}title"), inner.find(f"{SVG}rect")
            name = path
            if title is not None and frame is not None:
                name = f"{path}/{(title.text or '').partition(':')[0]}"
                width, height = float(frame.get("width", "")), float(frame.get("height", ""))
                found[name] = (x + dx, y + dy, x + dx + width, y + dy + height)
            walk(inner, name, x + dx, y + dy)

    walk(parsed(svg), "", 0, 0)
    return found


def lies_in(inner: tuple[float, ...], outer: tuple[float, ...]) -> bool:
    return inner[0] > outer[0] and inner[1] > outer[1] and inner[2] < outer[2] and inner[3] < outer[3]


def meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_svg_draws_what_is_nested_in_a_node_within_its_card() -> None:
    svg = as_svg(NESTED, KINDS)
    at = frames(svg)
    inside = {"/each/item", "/each/sum", "/each/each", "/each/line"}
    assert set(at) == {"/text", "/each", "/after", "/all", "/each/sum/lost", *inside}
    for path, frame in at.items():
        around = path.rpartition("/")[0]
        assert not around or lies_in(frame, at[around]), path
    for one, other in itertools.combinations(at, 2):
        assert other.startswith(one) or not meet(at[one], at[other]), (one, other)
    assert {"Inside", "item", "Join texts", "lost"} <= set(drawn_texts(svg))
    description = parsed(svg).find(f"{SVG}desc")
    assert description is not None
    assert description.text == "Nodes: each, each/sum, each/sum/lost, each/each, after."


def test_svg_has_the_colours_of_what_is_nested_too() -> None:
    body = Workflow(inputs={"n": given_input(1, "number")}, nodes={"n": box("text.join", texts="input.n")})
    svg = as_svg(Workflow(nodes={"each": replace(box("flow.each"), do=body)}))
    assert [one.get("class") for one in by_class(svg, "link")] == ["link t-number"]
    assert f".phloem .t-number{{color:{LIGHT.types['number']}}}" in svg


def test_svg_keeps_cards_beside_one_with_a_body_as_narrow_as_they_are() -> None:
    nodes = {
        **NESTED.nodes,
        "beside": box("text.join", texts="input.text"),
        "last": box("text.join", texts="beside.text"),
    }
    at = frames(as_svg(replace(NESTED, nodes=nodes), KINDS))
    assert at["/each"][2] - at["/each"][0] > 400
    assert at["/beside"][2] - at["/beside"][0] < 260
    assert at["/each"][0] < at["/beside"][0] and at["/beside"][2] < at["/each"][2]


def test_svg_moves_what_a_person_placed_aside_for_a_body() -> None:
    nodes = {**NESTED.nodes, "below": box("text.join", texts="input.text"), "corner": box("text.join")}
    layout = {"each": [0, 0], "after": [300, 0], "below": [0, 300], "corner": [300, 300]}
    at = frames(as_svg(replace(NESTED, nodes=nodes, layout=layout), KINDS))
    assert at["/each"][:2] == (at["/below"][0], at["/after"][1])
    assert at["/corner"][:2] == (at["/after"][0], at["/below"][1])
    assert 80 < at["/after"][0] - at["/each"][2] < 180
    for one, other in itertools.combinations([name for name in at if name.count("/") == 1], 2):
        assert not meet(at[one], at[other]), (one, other)


def test_svg_keeps_the_places_of_a_body() -> None:
    body = replace(BRANCHES, layout={"long": [0, 300], "choose": [400, 0], "short": [800, 0], "either": [1200, 0]})
    at = frames(as_svg(Workflow(nodes={"each": replace(box("flow.each"), do=body)}), KINDS))
    assert at["/each/choose"][0] == at["/each/long"][0] + 400
    assert at["/each/choose"][1] == at["/each/long"][1] - 300


def test_svg_of_bodies_in_bodies_ends_six_deep() -> None:
    svg = as_svg(in_one_another(8))
    assert list(frames(svg)) == ["/" + "/".join(f"level{7 - up}" for up in range(deep + 1)) for deep in range(7)]
    assert drawn_texts(svg).count("inside 1 node") == 1


def test_svg_follows_the_page_or_keeps_to_one_theme() -> None:
    auto, light, dark = (as_svg(ASK, KINDS, theme=theme) for theme in ("auto", "light", "dark"))
    assert "prefers-color-scheme:dark" in auto
    assert LIGHT.paper in auto and DARK.paper in auto
    assert LIGHT.paper in light and DARK.paper not in light and "prefers" not in light
    assert DARK.paper in dark and LIGHT.paper not in dark and "prefers" not in dark
    with pytest.raises(ValueError, match="auto, light or dark"):
        as_svg(ASK, theme="purple")  # type: ignore[arg-type]


def test_svg_styles_nothing_outside_itself() -> None:
    style = re.search(r"<style>(.*?)</style>", as_svg(ASK, KINDS), re.DOTALL)
    assert style is not None
    rules = style[1].replace("@media (prefers-color-scheme:dark){", "").replace("}}", "}")
    for selectors in re.findall(r"([^{}]+)\{", rules):
        assert all(one.strip().startswith(".phloem ") for one in selectors.split(",")), selectors


def test_svg_keeps_the_places_of_the_layout() -> None:
    layout = {"long": [0, 0], "choose": [400, 100], "short": [800, -50], "either": [1200, 100]}
    at = corners(as_svg(replace(BRANCHES, layout=layout), KINDS))
    x, y = at["long"]
    assert at["choose"] == (x + 400, y + 100)
    assert at["short"] == (x + 800, y - 50)
    assert at["either"] == (x + 1200, y + 100)


def test_svg_spreads_a_layout_whose_cards_would_lie_on_one_another() -> None:
    layout = {"long": [0, 0], "choose": [100, 0], "short": [200, 0], "either": [300, 0]}
    at = corners(as_svg(replace(BRANCHES, layout=layout), KINDS))
    xs = [at[name][0] for name in layout]
    assert all(150 < right - left < 330 for left, right in itertools.pairwise(xs))
    assert len({at[name][1] for name in layout}) == 1


def test_svg_can_set_nodes_anew() -> None:
    layout = {name: [i * 1000, 0] for i, name in enumerate(BRANCHES.nodes)}
    assert as_svg(replace(BRANCHES, layout=layout), KINDS, keep_places=False) == as_svg(BRANCHES, KINDS)


@pytest.mark.parametrize(
    "layout",
    [
        {"long": [0, 0]},
        {name: [5, 5] for name in BRANCHES.nodes},
        dict.fromkeys(BRANCHES.nodes, "here"),
        {name: [float("nan"), i] for i, name in enumerate(BRANCHES.nodes)},
        {name: [1e300, i] for i, name in enumerate(BRANCHES.nodes)},
    ],
)
def test_svg_places_nodes_itself_when_the_layout_does_not(layout: dict[str, Any]) -> None:
    assert as_svg(replace(BRANCHES, layout=layout), KINDS) == as_svg(BRANCHES, KINDS)


def test_svg_cuts_long_texts_to_their_card() -> None:
    long = replace(box("text.template", {"template": "word " * 9000, "x" * 300: "y" * 300}), title="Title " * 90)
    svg = as_svg(Workflow(title="t" * 5000, nodes={"i" * 300: long}), KINDS)
    assert len(svg) < 6000
    assert all(len(text) < 120 for text in drawn_texts(svg))


HOSTILE = "]]></style><script>alert(1)</script><image href='https://example.org/x'/>\x00\x1b[2J\u202e\ud800&amp;\"'--"


def test_svg_shows_hostile_text_as_text() -> None:
    named = Node(HOSTILE, {HOSTILE: (Source("a", HOSTILE),)}, {HOSTILE: HOSTILE}, title=HOSTILE, note=HOSTILE)
    inputs = {HOSTILE: Input(PortType(HOSTILE), HOSTILE, HOSTILE, True)}
    workflow = Workflow(HOSTILE, HOSTILE, "", inputs, {"a": named, HOSTILE: named}, {HOSTILE: Source("a", HOSTILE)})
    svg = as_svg(workflow)
    tags = {one.tag.removeprefix(SVG) for one in parsed(svg).iter()}
    assert tags == {"svg", "title", "desc", "style", "defs", "pattern", "circle", "rect", "path", "text", "tspan", "g"}
    assert not [name for one in parsed(svg).iter() for name in one.attrib if name.startswith("on") or "href" in name]
    title = parsed(svg).find(f"{SVG}title")
    assert title is not None
    assert title.text == "]]></style><script>alert(1)</script><image href='https://example.org/x'/>[2J&amp;\"'--"


# In every way


@given(workflows.workflows(), st.booleans())
def test_whatever_a_file_can_hold_can_be_drawn(workflow: Workflow, known: bool) -> None:
    catalogue = KINDS if known else None
    for line in as_text(workflow, catalogue).split("\n"):
        assert cell_len(line) <= 80
        assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in line)
    for line in as_mermaid(workflow, catalogue).split("\n"):
        assert LINE.fullmatch(line) or line == "---" or line.startswith("title: ")
    parsed(as_svg(workflow, catalogue))


@pytest.mark.parametrize("draw", WAYS)
def test_a_drawing_is_always_the_same(draw: Callable[..., str]) -> None:
    assert draw(tangle(40, 2), KINDS) == draw(tangle(40, 2), KINDS)


def test_an_empty_workflow_is_drawn_as_empty() -> None:
    assert as_text(Workflow()) == "(empty)"
    assert as_text(Workflow("Mine")) == "Mine\n\n(empty)"
    assert as_mermaid(Workflow()) == "flowchart LR"
    assert "Nothing is drawn here yet." in drawn_texts(as_svg(Workflow()))


SHAPES: dict[str, Callable[[int], Workflow]] = {
    "chain": chain,
    "tangle": lambda count: tangle(count, 1),
    "wild": lambda count: tangle(count, 2, reach=count),
    "unknown": lambda count: Workflow(nodes={f"n{i}": Node(f"acme.k{i}@1") for i in range(count)}),
    "circle": lambda count: Workflow(
        nodes={f"n{i}": box("text.join", texts=f"n{(i - 1) % count}.text") for i in range(count)}
    ),
    "placed": lambda count: replace(tangle(count, 1), layout={f"n{i}": [0, i * 9] for i in range(count)}),
    "bodies": lambda count: Workflow(
        nodes={f"n{i}": replace(box("flow.each", items=f"n{i - 1}.x"), do=chain(1)) for i in range(1, count)}
    ),
}


@pytest.mark.parametrize("draw", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_three_times_as_many_nodes_take_about_three_times_as_many_calls(draw: Callable[..., str], shape: str) -> None:
    few, many = (SHAPES[shape](count) for count in (400, 1200))
    assert "n1199" in draw(many, KINDS)  # and what is kept from one drawing to the next is there
    assert calls(lambda: draw(many, KINDS)) < 4 * calls(lambda: draw(few, KINDS))


# Colours


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_links_and_letters_stand_out_from_what_they_are_on(palette: Palette) -> None:
    for ground in (palette.paper, palette.card):
        assert contrast(palette.ink, ground) > 7
        assert contrast(palette.faint, ground) > 4.5
        for base, colour in palette.types.items():
            assert contrast(colour, ground) > 3, base


def test_every_type_and_family_has_a_colour() -> None:
    from phloem.runtime.ports import BASES

    assert set(LIGHT.types) == set(DARK.types) == set(BASES)
    assert base_of_family("acme") == base_of_family("acme") in LIGHT.types
    assert base_of_family("text") == "text"
