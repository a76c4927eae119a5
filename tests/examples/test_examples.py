"""Every example runs as it lies there, offline, with the real local models, and says what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from phloem.runtime import Hit, Options, dump, load, run
from phloem.runtime.events import NodeFinished, NodePrompt, NodeSkipped

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def outputs(name: str, **inputs: Any) -> dict[str, Any]:
    return run(EXAMPLES / f"{name}.flow.yaml", **inputs).outputs


def test_every_example_is_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.glob("*.flow.yaml") if path.name.partition(".")[0] not in source] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.flow.yaml")), ids=lambda path: path.name)
def test_an_example_is_in_canonical_form_and_says_what_it_shows(path: Path) -> None:
    document = load(path)
    assert dump(document) == path.read_text("utf-8")
    assert document.workflow.title
    assert len(document.workflow.about) > 30
    assert set(document.workflow.layout) == set(document.workflow.nodes)


@pytest.mark.slow
def test_ask_a_page_finds_the_passage_and_answers_from_it() -> None:
    found = outputs("ask-a-page")
    passages = found["passages"]
    assert len(passages) == 3
    assert all(isinstance(hit, Hit) for hit in passages)
    assert "designed by Edmund Cartwright in 1785" in passages[0].text
    assert [hit.score for hit in passages] == sorted((hit.score for hit in passages), reverse=True)
    assert found["answer"] == "1785"


@pytest.mark.slow
def test_ask_a_page_answers_other_questions_about_it() -> None:
    found = outputs("ask-a-page", question="Where was the Jacquard loom shown?")
    assert "Jacquard loom was shown in Lyon" in found["passages"][0].text
    assert found["answer"] == "Lyon"


def test_summarise_a_feed_says_a_sentence_of_each_entry() -> None:
    assert outputs("summarise-a-feed")["digest"].splitlines() == [
        "New bridge over the lake: The length of the new bridge is 300 meters.",
        "A library by the lake: The opening date of the library is 4 May 2027.",
        "A tower for the harbor: The height of the new tower is 80 meters.",
    ]


@pytest.mark.slow
def test_extract_orders_gives_json_that_fits_the_schema() -> None:
    assert outputs("extract-orders")["orders"] == [
        {"price": "40 euros"},
        {"price": "310 euros"},
        {"price": "95 euros"},
    ]


@pytest.mark.parametrize(
    ("review", "begins", "skipped"),
    [
        ("I love this lamp. It is bright and easy to use.", "To the shop window", "ticket"),
        ("Terrible sound, and it broke at once. A waste of money.", "New ticket", "thanks"),
    ],
)
def test_route_by_sentiment_takes_one_way_and_skips_the_other(review: str, begins: str, skipped: str) -> None:
    events: list[Any] = []
    result = run(EXAMPLES / "route-by-sentiment.flow.yaml", listener=events.append, review=review)
    assert result.outputs["result"].startswith(begins)
    assert [event.node for event in events if isinstance(event, NodeSkipped)] == [skipped]


@pytest.mark.slow
def test_chat_with_history_leaves_out_old_turns_and_answers_from_the_page() -> None:
    found = outputs("chat-with-history")
    assert found["answer"] == "1785"
    assert 0 < found["dropped"] < 14


@pytest.mark.slow
def test_chat_with_history_sends_what_the_page_says_about_another_question() -> None:
    sent: list[str] = []
    run(
        EXAMPLES / "chat-with-history.flow.yaml",
        options=Options(prompts=True),
        listener=lambda event: sent.append(event.text) if isinstance(event, NodePrompt) else None,
        question="Where was the Jacquard loom shown?",
    )
    *_, reply = sent
    assert "The Jacquard loom was shown in Lyon in 1804." in reply
    assert reply.endswith("Question: Where was the Jacquard loom shown?<|end|><|assistant|>")


@pytest.mark.slow
def test_compare_documents_tells_the_like_from_the_unlike() -> None:
    breads = outputs("compare-documents")
    assert breads["similarity"] > 0.5
    assert "are about the same thing" in breads["verdict"]
    other = outputs("compare-documents", second="data/bicycle.txt")
    assert other["similarity"] < 0.3
    assert "are about different things" in other["verdict"]


def test_unpaid_orders_turns_a_table_into_a_table() -> None:
    assert outputs("unpaid-orders")["table"].splitlines() == [
        "| order | customer | item | quantity | price | worth |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1042 | Tom Vale | oak table | 1 | 310 | 310 |",
        "| 1044 | Jon Stone | blue lamp | 6 | 40 | 240 |",
        "| 1045 | Eva Brook | vase, tall | 3 | 18.5 | 55.5 |",
    ]


def test_teasers_drops_sentences_until_each_text_is_short_enough(tmp_path: Path) -> None:
    found = outputs("teasers", words=25)
    assert found["errors"] == []
    texts = [line.partition(": ")[2] for line in found["teasers"]]
    assert texts == [
        "The chain of a bicycle lasts longer when it is kept clean.",
        "Rye bread wants time. The sourdough is stirred the evening before from rye flour and warm water and stands overnight in a warm place.",
        "White bread is quick to make. Wheat flour, yeast, salt and lukewarm water are kneaded for ten minutes until the dough is smooth.",
    ]
    assert [len(text.split()) for text in texts] == [12, 24, 23]
    found = outputs("teasers", files=["data/bicycle.txt", "data/nothing.txt"])
    assert len(found["teasers"]) == 1
    assert (found["errors"][0]["index"], found["errors"][0]["node"]) == (1, "each/1/read")


@pytest.mark.slow
def test_a_second_run_of_the_main_example_executes_nothing() -> None:
    events: list[Any] = []
    first = run(EXAMPLES / "ask-a-page.flow.yaml")
    second = run(EXAMPLES / "ask-a-page.flow.yaml", listener=events.append)
    assert second.outputs == first.outputs
    finished = [event for event in events if isinstance(event, NodeFinished)]
    assert len(finished) == 6
    assert [event.node for event in finished if not event.cached] == []


@pytest.mark.slow
def test_ask_a_page_forgets_what_an_earlier_page_of_the_same_name_said(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    html = "<html><head><title>News</title></head><body><article>{}</article></body></html>"
    filler = "<p>The market is open on Monday. Visitors come from far away to buy fruit, bread and cloth there.</p>"
    first = "<p>The code of the gate is 4417. Nobody else knows it, and it is changed every year in spring.</p>"
    second = "<p>The code of the gate is 9260. Nobody else knows it, and it is changed every year in spring.</p>"
    for said, other in ((first, "9260"), (second, "4417")):
        page.write_text(html.format(filler + said))
        options = Options(allow=[f"read={tmp_path}"])
        found = run(EXAMPLES / "ask-a-page.flow.yaml", options=options, page=str(page), question="What is the code?")
        assert not [hit for hit in found.outputs["passages"] if other in hit.text]


@pytest.mark.slow
def test_a_collection_that_someone_added_to_is_cleaned_again(tmp_path: Path) -> None:
    store = "phloem: 1\nnodes:\n  keep:\n    kind: store.add@1\n    set: {collection: c, texts: [TEXT]ONLY}\n"
    mine = tmp_path / "mine.flow.yaml"
    mine.write_text(store.replace("TEXT", "The gate opens at nine.").replace("ONLY", ", only: true"))
    other = tmp_path / "other.flow.yaml"
    other.write_text(store.replace("TEXT", "Boats leave at ten.").replace("ONLY", ""))

    def executed(path: Path) -> bool:
        events: list[Any] = []
        run(path, listener=events.append)
        return not next(event for event in events if isinstance(event, NodeFinished)).cached

    assert [executed(mine), executed(mine)] == [True, False]
    assert [executed(other), executed(other)] == [True, False]
    assert [executed(mine), executed(mine)] == [True, False]
