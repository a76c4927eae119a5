"""Nothing that there is lacks a word in the documentation, and every link in it leads somewhere."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest
from phloem.runtime import cli, context, errors, events, grants, ports, runs, view
from phloem.runtime.cli.arguments import parser
from phloem.runtime.declare import In, Setting, node
from phloem.runtime.document.words import INPUT_KEYS, LIMIT_KEYS, NODE_KEYS, ON_ERROR, RETRY_KEYS, TOP_KEYS
from phloem.runtime.grants import guarded
from phloem.runtime.kinds import Effect

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
EVENTS = [
    cls
    for cls in vars(events).values()
    if inspect.isclass(cls) and issubclass(cls, events.Event) and cls is not events.Event
]
PARSERS = next(one.choices for one in parser()._actions if isinstance(one, argparse._SubParsersAction))


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


def lacking(page: str, words: Iterable[str]) -> list[str]:
    """Those of `words` that stand nowhere in the page's code: `word`, or `word=…`, `word(…)`, alone or among others."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL))
    return [
        word for word in words if not any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", span) for span in spans)
    ]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("workflows.md", [*TOP_KEYS, *INPUT_KEYS, *NODE_KEYS]),
        ("workflows.md", [*RETRY_KEYS, *LIMIT_KEYS, *ON_ERROR, "default"]),
        ("workflows.md", ports.BASES),
        ("workflows.md", get_args(Effect)),
        ("workflows.md", ["PHLOEM_HOME", "PHLOEM_MODEL", "PHLOEM_DEBUG"]),
        ("permissions.md", grants.WORDS),
        ("permissions.md", [*guarded.KEY_FOLDERS, *guarded.KEY_FILES, *guarded.KEY_BEGINNINGS, *guarded.KEY_ENDINGS]),
        ("events.md", get_args(events.Status)),
        ("events.md", get_args(view.State)),
        ("events.md", [one.name for cls in (view.RunView, view.NodeView) for one in dataclasses.fields(cls)]),
        ("events.md", ["subscribe", "discard_events", "cancel", "result", "batches"]),
        ("events.md", [one.name for one in dataclasses.fields(runs.Result)]),
        ("writing-nodes.md", [one.name for cls in (In, Setting) for one in dataclasses.fields(cls) if one.name != "about"]),
        ("writing-nodes.md", [name for name in inspect.signature(node).parameters if name not in ("id", "title")]),
        ("writing-nodes.md", get_args(Effect)),
        ("writing-nodes.md", ports.BASES),
        ("writing-nodes.md", ["InputError", "SettingError", "ServiceError", "NodeCrashed", "NodeTimeout", "PermissionNeeded"]),
        ("writing-nodes.md", [name for name in vars(context.Context) if not name.startswith("_") and name not in ("scope", "node", "written", "within", "budget", "tokens_in", "tokens_out") and not name.startswith("on_")]),
        ("writing-nodes.md", [name for cls in (context.Files, context.Http, context.Models, context.Collections) for name in vars(cls) if not name.startswith("_") and name != "context"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_a_page_names_all_that_there_is(page: str, words: Iterable[str]) -> None:
    assert lacking(page, words) == []


def test_the_table_of_links_is_that_of_the_code() -> None:
    table = text_of("workflows.md").partition("| from | to |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.*) \| (.*) \|$", table, re.MULTILINE)
    told = {(one, one) for one in ports.BASES}
    for source, target in rows:
        if target.startswith("a list"):
            assert source == "a type"
            continue
        told |= {(one, other) for one in bases_in(source) for other in bases_in(target)}
    assert told == {(one, other) for one in ports.BASES for other in ports.BASES if is_legal(one, other)}
    assert is_legal("text", "list[text]")


def bases_in(cell: str) -> set[str]:
    named = set(re.findall(r"`(\w+)`", cell))
    return set(ports.BASES) - named if cell.startswith("everything") else named


def is_legal(source: str, target: str) -> bool:
    port = ports.Port("port", ports.PortType.parse(target))
    return not isinstance(ports.join_link(ports.PortType.parse(source), port), str)


def options_of(one: argparse.ArgumentParser) -> set[str]:
    """The options of a command and of the commands below it."""
    found = {text for action in one._actions for text in action.option_strings}
    below = [action.choices.values() for action in one._actions if isinstance(action, argparse._SubParsersAction)]
    return found.union(*(options_of(inner) for parsers in below for inner in parsers))


def test_every_command_and_option_is_in_the_tables() -> None:
    whole = {text for action in parser()._actions for text in action.option_strings}
    for name, one in PARSERS.items():
        page = {"models": "models.md", "runs": "runs.md", "watch": "triggers.md", "schedule": "triggers.md"}.get(name)
        shared = options_of(PARSERS["run"]) if name in ("watch", "schedule", "runs") else set()
        assert lacking(page or "workflows.md", options_of(one) - shared - {"-h", "--help"}) == []
    assert lacking("workflows.md", whole) == []
    assert lacking("workflows.md", [f"phloem {command}" for command in PARSERS]) == []
    for name, page in (("models", "models.md"), ("runs", "runs.md"), ("schedule", "triggers.md")):
        below = next(one for one in PARSERS[name]._actions if isinstance(one, argparse._SubParsersAction))
        assert lacking(page, [f"phloem {name} {command}" for command in below.choices]) == []


def test_no_option_in_the_docs_is_one_that_there_is_not() -> None:
    known = {"--version"}.union(*map(options_of, PARSERS.values()))
    lines = [line for page in PAGES for line in re.findall(r"phloem [^\n`]*", page.read_text("utf-8"))]
    assert {word for line in lines for word in re.findall(r"(?<=\s)--?[a-z][a-z-]*", line)} - known == set()


def test_every_exit_code_is_told() -> None:
    told = re.findall(r"^\| (\d+) \|", text_of("workflows.md"), re.MULTILINE)
    assert told == ["0", "1", "2", "3", str(cli.WAITING), str(cli.INTERRUPTED)]
    assert all(re.search(rf"\b{code}\b", README.read_text("utf-8")) for code in told)


def test_the_table_of_events_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text_of("events.md"), re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`", fields) for name, fields in rows if name in vars(events)}
    assert told == {cls.__name__: [one.name for one in dataclasses.fields(cls)[3:]] for cls in EVENTS}


def test_every_kind_of_error_that_python_meets_exists() -> None:
    named = {
        word
        for page in PAGES
        for word in re.findall(
            r"\b[A-Z]\w+Error\b|\bNode(?:Timeout|Crashed)\b|\bPermissionNeeded\b", page.read_text("utf-8")
        )
    }
    assert named - set(errors.__all__) == set()


LINK = re.compile(r"\[[^]]*]\(([^)\s]+)\)")
WRITTEN = [path for path in PAGES if path.name != "nodes.md"]
"""The pages that people wrote; nodes.md is made of help texts, in which nothing is a link."""


@pytest.mark.parametrize("page", WRITTEN, ids=[path.name for path in WRITTEN])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(without_blocks(page)):
        file, _, heading = link.partition("#")
        if "://" not in link:
            target = (page.parent / file).resolve() if file else page
            assert target.exists(), link
            assert not heading or heading in headings(target), link


def test_every_page_can_be_found_from_the_readme() -> None:
    found: set[Path] = set()
    waiting = [README]
    while waiting:
        page = waiting.pop()
        found.add(page)
        links = [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(without_blocks(page))]
        waiting += [one for one in links if one.suffix == ".md" and one not in found and one.exists()]
    assert set(PAGES) - found == set()


def without_blocks(page: Path) -> str:
    """The words of a page, without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def headings(page: Path) -> set[str]:
    """The names by which a link reaches the headings of a page."""
    titles = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
