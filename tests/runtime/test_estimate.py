"""What a run may spend, told before it begins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from phloem.runtime.budget import UNLIMITED
from phloem.runtime.checks import check
from phloem.runtime.cli import main
from phloem.runtime.context import Services
from phloem.runtime.default_models import DefaultModels
from phloem.runtime.estimate import RunEstimate, estimate_run
from phloem.runtime.workflow import Limit, Workflow
from support.playing import box, drawn, given
from support.spending import Talker, spending_engine

DEAR = {"model": "dear:one", "prompt": "x" * 35, "max_tokens": 6}


def estimated(
    home, workflow: Workflow, inputs: dict[str, Any] | None = None, *, limit: Limit = UNLIMITED, **models: str
) -> RunEstimate:
    engine, talker = spending_engine(home)
    checked = check(workflow, engine.catalogue)
    services = Services({"models": lambda: talker})
    values = {name: one.value for name, one in workflow.inputs.items() if one.has_value} | (inputs or {})
    found = asyncio.run(estimate_run(checked, values, DefaultModels(**models), services, limit))
    assert talker.asked == []
    asyncio.run(engine.close())
    return found


def only(found: RunEstimate) -> tuple[Any, ...]:
    (one,) = found.nodes
    return one.model, one.read, one.written, one.money, one.each


def test_what_is_written_down_is_estimated(home):
    found = estimated(home, drawn({"a": box("spend.ask", set=DEAR)}))
    assert only(found) == ("dear:one", 10, 6, 4.0, False)
    assert (found.tokens, found.money) == (16, 4.0)
    assert str(found.nodes[0]) == "a: reads about 10 tokens, writes at most 6 with dear:one, $4.00 at most"
    assert str(found) == "at most 16 tokens and $4.00"


def test_an_input_that_is_known_counts_as_written_down(home):
    workflow = drawn(
        {"a": box("spend.ask", {"prompt": "input.n", "model": "input.m"})},
        {"n": given("number", 123456), "m": given("text", "dear:one")},
    )
    assert only(estimated(home, workflow)) == ("dear:one", 2, 4, 1.5, False)
    assert only(estimated(home, workflow, {"m": "near:one"}))[0] == "near:one"


def test_what_only_the_run_will_tell_is_said_to_be_so(home):
    workflow = drawn(
        {
            "w": box("test.upper", set={"text": "abc"}),
            "a": box("spend.ask", {"prompt": "w.text"}, {"model": "dear:one"}),
            "b": box("spend.ask", {"prompt": "w.text", "model": "w.text"}),
        }
    )
    found = estimated(home, workflow)
    first, second = found.nodes
    assert (first.read, first.written, first.money) == (None, 4, 1.0)
    assert (second.model, second.money) == (None, None)
    assert (found.tokens, found.money) == (None, None)
    assert str(first) == (
        "a: reads as many tokens as the run will tell, writes at most 4 with dear:one, costs $1.00 and what only the run will tell"
    )
    assert str(second) == "b: reads as many tokens as the run will tell, writes at most 4, price unknown"
    assert str(found) == "only the run will tell how many tokens and what it costs"


def test_a_price_of_nothing_known_is_not_nothing(home):
    nodes = {
        "w": box("test.upper", set={"text": "abc"}),
        "dear": box("spend.embed", {"text": "w.text"}, {"model": "dear:one"}),
        "near": box("spend.embed", {"text": "w.text"}, {"model": "near:one"}),
    }
    found = estimated(home, drawn(nodes))
    assert [(one.money, one.more, one.money_at_most) for one in found.nodes] == [(0.0, True, None), (0.0, False, 0.0)]
    assert str(found.nodes[0]).endswith("with dear:one, costs what only the run will tell")
    assert found.money is None
    held = drawn(
        {**nodes, "dear": box("spend.embed", {"text": "w.text"}, {"model": "dear:one"}, limit=Limit(money=3.0))}
    )
    assert estimated(home, held).money == 3.0


def test_items_are_added_up_where_the_list_is_known(home):
    inputs = {"l": given("list[number]", [1, 22, 33333333])}
    workflow = drawn({"a": box("spend.ask", {"prompt": "input.l"}, {"model": "dear:one"})}, inputs)
    assert only(estimated(home, workflow)) == ("dear:one", 1 + 1 + 3, 12, 0.25 * 17, False)
    assert estimated(home, workflow, {"l": []}).nodes == ()
    unknown = drawn(
        {
            "w": box("test.words", set={"text": "a b"}),
            "a": box("spend.ask", {"prompt": "w.text"}, {"model": "dear:one"}),
        }
    )
    found = estimated(home, unknown)
    assert only(found) == ("dear:one", None, 4, 1.0, True)
    assert (found.tokens, found.money) == (None, None)
    assert "writes at most 4 for each item with dear:one" in str(found.nodes[0])
    assert only(estimated(home, workflow, {"l": ["x"] * 10_001}))[-1] is True


def test_each_item_counts_with_its_own_model(home):
    inputs = {"m": given("list[text]", ["near:one", "dear:one", "dear:one"])}
    workflow = drawn({"a": box("spend.ask", {"model": "input.m"}, {"prompt": "x" * 35})}, inputs)
    found = estimated(home, workflow)
    assert only(found) == (None, 30, 12, 2 * 0.25 * 14, False)
    assert str(found.nodes[0]) == "a: reads about 30 tokens, writes at most 12, $7.00 at most"
    assert only(estimated(home, workflow, {"m": ["near:one", "odd:one"]}))[3] is None


@pytest.mark.parametrize("address", ["http://me:secret@localhost:1/v1#m", "https://a.example/v1?key=secret#m"])
def test_an_address_that_may_hold_a_password_is_not_repeated(home, address):
    found = estimated(home, drawn({"a": box("spend.ask", set={**DEAR, "model": address})}))
    assert "…" in str(found.nodes[0])
    assert "secret" not in repr(found)


def test_the_limit_of_a_node_bounds_what_is_not_known(home):
    nodes = {
        "w": box("test.words", set={"text": "a b"}),
        "a": box("spend.ask", {"prompt": "w.text"}, {"model": "dear:one"}, limit=Limit(tokens=100, money=2.0)),
        "b": box("spend.ask", set=DEAR, limit=Limit(tokens=10)),
    }
    found = estimated(home, drawn(nodes))
    assert (found.tokens, found.money) == (110, 6.0)


def test_default_models_stand_in(home):
    nodes = {"a": box("spend.ask", set={"prompt": "abc"}), "b": box("spend.embed", set={"text": "abc"})}
    found = estimated(home, drawn(nodes), text="dear:one", embedding="local:vectors")
    assert [(one.model, one.money) for one in found.nodes] == [("dear:one", 1.25), ("local:vectors", 0.0)]
    assert str(found.nodes[1]) == "b: reads about 1 token with local:vectors"


def test_local_models_cost_nothing_and_no_service_is_asked(home):
    engine, _ = spending_engine(home)
    checked = check(drawn({"a": box("spend.ask", set={"prompt": "abc"})}), engine.catalogue)
    found = asyncio.run(estimate_run(checked, {}, DefaultModels(), Services({}), Limit()))
    assert only(found) == ("local:demo", 1, 4, 0.0, False)
    assert str(found) == "at most 5 tokens"


def test_without_a_price_nobody_knows_what_it_costs(home):
    found = estimated(home, drawn({"a": box("spend.ask", set={**DEAR, "model": "odd:one"})}))
    assert only(found)[3] is None
    assert str(found) == "at most 16 tokens; only the run will tell what it costs"
    at_server = estimated(home, drawn({"a": box("spend.ask", set={**DEAR, "model": "http://localhost:1/v1#m"})}))
    assert only(at_server)[3] is None


def test_what_does_not_run_is_not_counted(home):
    assert estimated(home, drawn({"a": box("spend.ask", set=DEAR, disabled=True)})).nodes == ()
    assert str(estimated(home, drawn({"a": box("test.numbers")}))) == "at most 0 tokens"


def test_an_estimate_that_fails_tells_nothing(home):
    workflow = drawn({"a": box("spend.ask", {"prompt": "input.j"})}, {"j": given("json", {"no": "text"})})
    assert only(estimated(home, workflow)) == (None, None, None, None, False)


@pytest.mark.parametrize(
    ("limit", "beyond"),
    [
        (Limit(tokens=16, money=4.0), ()),
        (Limit(tokens=15), ("it may spend 16 tokens, and its limit is 15",)),
        (Limit(money=3.5, seconds=1), ("it may cost $4.00, and its limit is $3.50",)),
    ],
)
def test_what_may_pass_a_limit_is_told(home, limit, beyond):
    found = estimated(home, drawn({"a": box("spend.ask", set=DEAR)}), limit=limit)
    assert found.beyond == beyond


# ---- On the command line

FLOW = """\
phloem: 1
limit: {tokens: 100, money: 2}
inputs:
  topic: {type: text, value: looms and shuttles}
nodes:
  ask:
    kind: spend.ask@1
    in: {prompt: input.topic}
    set: {model: "dear:one"}
  vector:
    kind: spend.embed@1
    in: {text: ask.text}
outputs: {text: ask.text}
"""


@pytest.fixture
def talker(tmp_path: Path, home, monkeypatch: pytest.MonkeyPatch) -> Talker:
    """The command line with the kinds and the models of `support.spending`, in a folder with a workflow."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("ask.flow.yaml").write_text(FLOW)
    engine, talker = spending_engine(home)
    monkeypatch.setattr("phloem.runtime.engine.installed_catalogue", lambda _: engine.catalogue)
    monkeypatch.setattr("phloem.runtime.engine.installed_services", lambda _: Services({"models": lambda: talker}))
    return talker


def test_check_tells_what_a_run_may_spend(talker, capsys):
    assert main(["check", "ask.flow.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "ask.flow.yaml: ok, 2 nodes\n"
        "  ask: spend dear (needs --allow spend=dear)\n"
        "  vector: model local:minilm\n"
        "  ask: reads about 6 tokens, writes at most 4 with dear:one, $2.50 at most\n"
        "  vector: reads as many tokens as the run will tell with local:minilm\n"
        "  in all: at most $2.50; only the run will tell how many tokens; limit: 100 tokens, $2.00\n"
    )
    assert err == "warning: ask.flow.yaml: it may cost $2.50, and its limit is $2.00\n"
    assert main(["check", "ask.flow.yaml", "--limit", "money=0.5", "--allow", "spend=dear"]) == 0
    out, err = capsys.readouterr()
    assert "  ask: spend dear\n" in out
    assert "its limit is $0.50" in err


def test_check_shows_nothing_that_commands_a_terminal(talker, capsys):
    Path("ask.flow.yaml").write_text(FLOW.replace("dear:one", r"dear:\e[2Jone") + '"later\\e[2J": 1\n')
    assert main(["check", "ask.flow.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "dear:\ufffd[2Jone" in out
    assert "later\ufffd[2J" in err
    assert "\x1b" not in out + err


def test_check_gives_the_estimate_to_programs(talker, capsys):
    assert main(["check", "--json", "ask.flow.yaml", "--limit", "tokens=50"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["estimate"] == {
        "tokens": None,
        "money": 2.5,
        "limit": {"tokens": 50, "money": 2},
        "nodes": [
            {"node": "ask", "model": "dear:one", "read": 6, "written": 4, "money": 2.5, "each": False, "more": False, "limit": {}},
            {"node": "vector", "model": "local:minilm", "read": None, "written": 0, "money": 0, "each": False, "more": False, "limit": {}},
        ],
    }  # fmt: skip
    assert found["warnings"][0]["message"] == "it may cost $2.50, and its limit is $2.00"


def test_check_knows_the_model_that_is_asked_for_with_the_run(talker, capsys):
    Path("ask.flow.yaml").write_text(FLOW.replace('    set: {model: "dear:one"}\n', ""))
    main(["check", "ask.flow.yaml", "--model", "dear:one"])
    assert "ask: spend dear (needs --allow spend=dear)" in capsys.readouterr().out
    main(["check", "ask.flow.yaml"])
    out, _ = capsys.readouterr()
    assert "ask: model local:demo\n" in out
    assert "$" not in out.partition("limit")[0]


def test_check_adds_nothing_up_where_nothing_is_known(talker, capsys):
    Path("ask.flow.yaml").write_text("""\
phloem: 1
nodes:
  word: {kind: test.upper@1, set: {text: loom}}
  ask: {kind: spend.ask@1, in: {prompt: word.text}}
outputs: {text: ask.text}
""")
    assert main(["check", "ask.flow.yaml"]) == 0
    assert "in all" not in capsys.readouterr().out
    assert main(["check", "ask.flow.yaml", "--limit", "tokens=9"]) == 0
    assert "  in all: only the run will tell how many tokens; limit: 9 tokens\n" in capsys.readouterr().out


def test_run_stops_at_a_limit_with_a_clear_outcome(talker, capsys):
    words = ["run", "ask.flow.yaml", "--allow", "spend=dear"]
    assert main([*words, "--limit", "tokens=4", "--limit", "seconds=5min"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: the run stopped at its limit: 5 of 4 tokens\n"
        "  Raise it, with --limit tokens=…. What has finished is kept, so the next run goes on from there.\n"
    )
    assert main([*words, "--json", "--limit", "money=$1.1"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == "limited"
    assert data["spent"] == {"tokens_in": 3, "tokens_out": 2, "money": 1.25}
    assert data["limit"]["message"] == "the run stopped at its limit: $1.25 of $1.10"
    assert data["failures"]["ask"]["error"] == "LimitReached"
    assert main([*words, "--progress", "lines", "--limit", "tokens=4"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "✗ ask interrupted"
    assert lines[1].startswith("– vector skipped: ")
    assert lines[2] == "error: the run stopped at its limit: 5 of 4 tokens"
    assert lines[4].startswith("limited in ")
    assert lines[4].endswith(" s, 3 tokens read and 2 written, $1.25")


def test_run_tells_what_it_spent(talker, capsys):
    assert main(["run", "ask.flow.yaml", "--to", "ask", "--allow", "spend=dear", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["spent"] == {"tokens_in": 3, "tokens_out": 4, "money": 1.75}
    assert data["limit"] is None


def test_prompts_are_shown_where_they_are_asked_for(talker, capsys):
    words = ["run", "ask.flow.yaml", "--to", "ask", "--allow", "spend=dear", "--no-cache"]
    for more in ([], ["--progress", "lines"]):
        assert main([*words, "--prompts", *more]) == 0
        assert "→ ask to dear:one:\n<|user|>looms and shuttles<|end|>\n" in capsys.readouterr().err
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "--events", "--prompts"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (prompt,) = [event for event in events if event["type"] == "NodePrompt"]
    assert (prompt["model"], prompt["text"], prompt["item"]) == ("dear:one", "<|user|>looms and shuttles<|end|>", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("token=5", "Did you mean --limit tokens=5?"), ("5", "There are tokens, money and seconds."), ("tokens=0", "a whole number above 0"),
        ("tokens=1.5", "a whole number above 0"), ("tokens=-1", "a whole number"), ("tokens=", "a whole number"), ("tokens=" + "9" * 5000, "a whole number"),
        ("tokens=²", "a whole number"), ("tokens=2,5", "a whole number"), ("money=0", "US dollars above 0"), ("money=nan", "US dollars"), ("money=-1", "US dollars"), ("money=1e99", "US dollars"),
        ("money=€5", "US dollars"), ("seconds=soon", "a length of time"), ("seconds=0", "a length of time"), ("seconds=inf", "a length"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_limit_that_is_none_is_refused_in_words(talker, capsys, command, text, says):
    assert main([command, "ask.flow.yaml", "--limit", text]) == 2
    assert says in capsys.readouterr().err
    assert talker.asked == []


@pytest.mark.parametrize(
    ("texts", "limit"),
    [
        ([], Limit()),
        (["tokens=5,000", "tokens=6_000"], Limit(tokens=5000)),
        (["money=$0.5", "seconds=1h 30min"], Limit(money=0.5, seconds=5400.0)),
        (["seconds=2.5", "money=3"], Limit(money=3.0, seconds=2.5)),
    ],
)
def test_limits_are_read_as_people_write_them(texts, limit):
    from phloem.runtime.cli.limits import parse_limits

    assert parse_limits(texts) == limit
