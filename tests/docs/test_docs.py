"""What the documentation says is so: its files, programs and commands run, and print what it shows.

Each page is followed from top to bottom, in a folder that holds a copy of `examples/` and nothing else:

- A block below `<!-- file: NAME -->` is saved under that name; one below `<!-- more: NAME -->` is added to that file.
  A package (`FOLDER/pyproject.toml`) counts as installed, as after `pip install -e FOLDER`.
- A workflow (`yaml` or `json` that says which format it has) runs to its end, unless the page's own commands use it.
- Any other `yaml` is an entry of `nodes`, and has no problem of structure.
- A program (`python`) that no command of the page uses runs to its end, unless it is part of a package.
- `sh`: every line that begins with `phloem` exits with 0; the other lines are for a reader's machine.
- `console`: every line after `$ ` runs, and prints what stands below it, errors in their place; `…` is anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from phloem.runtime.document import parse

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<how>file|more): (?P<name>\S+) -->\n+)?^```(?P<form>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_WORKFLOW = re.compile(r'(?:#.*\n)*phloem: 1\n|\{\s*"phloem": 1\b')
_LINES_LEFT_OUT = re.compile(r"^ *…\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. `name` is the file that it goes into, empty if there is none; `how` is file or more."""

    name: str
    how: str
    form: str
    text: str
    line: int

    @property
    def is_workflow(self) -> bool:
        return self.form in ("yaml", "json") and _WORKFLOW.match(self.text) is not None


def blocks_of(text: str) -> list[Block]:
    return [
        Block(
            found["name"] or "",
            found["how"] or "file",
            found["form"],
            found["text"],
            text.count("\n", 0, found.start("text")),
        )
        for found in _BLOCK.finditer(text)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a page is followed."""
    shutil.copytree(ROOT / "examples", tmp_path / "here" / "examples")
    return tmp_path / "here"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[path.name for path in PAGES])
def test_what_a_page_shows_happens(page: Path, folder: Path) -> None:
    follow(page.read_text("utf-8"), folder)


def follow(text: str, folder: Path) -> None:
    """Do all that a page shows; an assertion with the line fails at the first thing that is not so."""
    blocks = blocks_of(text)
    commands = "\n".join(command for block in blocks for command in commands_of(block))
    for number, block in enumerate(blocks):
        where = f"line {block.line}"
        name = block.name or (f"block-{number}.flow.{block.form}" if block.is_workflow else "")
        if name:
            before = (folder / name).read_text("utf-8") if block.how == "more" else ""
            save(folder / name, before + block.text)
        if block.is_workflow:
            if name not in commands:
                succeeds(f"phloem run {name}", folder, where)
        elif block.form == "yaml":
            nodes = re.sub("^", "  ", block.text, flags=re.MULTILINE)
            assert parse(f"phloem: 1\nnodes:\n{nodes}").warnings == (), where
        elif block.form == "python" and "/" not in name and (not name or name not in commands):
            save(folder / (name or "program.py"), block.text)
            succeeds(f"python {name or 'program.py'}", folder, where)
        elif block.form == "sh":
            for command in commands_of(block):
                succeeds(command, folder, where)
        elif block.form == "console":
            prints_what_is_shown(block, folder, where)


def commands_of(block: Block) -> list[str]:
    start = {"sh": "phloem", "console": "$ "}.get(block.form)
    return [line.removeprefix("$ ") for line in block.text.splitlines() if start and line.startswith(start)]


def save(path: Path, text: str) -> None:
    """Save a block; a package's metadata go where Python looks for them, as an installer would have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    if path.name == "pyproject.toml":
        project = tomllib.loads(text)["project"]
        about = path.parent / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        offers = [
            f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (about / "entry_points.txt").write_text("".join(offers))


def succeeds(command: str, folder: Path, where: str) -> None:
    done = in_shell(command, folder)
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}"


def prints_what_is_shown(block: Block, folder: Path, where: str) -> None:
    """Run the commands of a block in one shell, so that one may ask for the exit code of the one before."""
    shown = [part.partition("\n") for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]]
    script = "".join(f"{command}\ncode=$?; printf '\\036'; (exit $code)\n" for command, _, _ in shown)
    *printed, rest = in_shell(script, folder).stdout.split("\036")
    assert rest == "", where
    for (command, _, expected), got in zip(shown, printed, strict=True):
        assert got == expected or fits(got, expected), f"{where}: {command}\n{got}\n is not what is shown:\n{expected}"


def fits(got: str, expected: str) -> bool:
    """Whether an output is the one shown, where `…` stands for anything, and on a line of its own for any lines."""
    parts = [re.escape(part).replace("…", ".*") for part in _LINES_LEFT_OUT.split(expected)]
    return re.fullmatch(r"(?s:.*)".join(parts), got) is not None


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    packages = [str(path.parent) for path in folder.glob("*/pyproject.toml")]
    ours = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "100",
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | ours, text=True, timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


WORKFLOW = "phloem: 1\nnodes:\n  a:\n    kind: text.case@1\n    set: {text: Hi}\noutputs: {text: a.text}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        (f"<!-- file: a.flow.yaml -->\n```yaml\n{WORKFLOW}```\n```console\n$ phloem run a.flow.yaml\nHI\n```\n", "is not what is shown"),
        (f"<!-- file: a.flow.yaml -->\n```yaml\n{WORKFLOW}```\n```console\n$ phloem run a.flow.yaml\n```\n", "is not what is shown"),
        ("```console\n$ false\n$ echo $?\n0\n```\n", "is not what is shown"),
        (f"```yaml\n{WORKFLOW.replace('text.case', 'text.cast')}```\n", "no kind of node"),
        ("```yaml\na:\n  kind: text.case@1\n  retrys: 3\n```\n", "line 1"),
        ("```sh\nphloem run absent.flow.yaml\n```\n", "no such file"),
        ("```python\nimport absent\n```\n", "No module named"),
    ],
)  # fmt: skip
def test_a_page_that_shows_what_does_not_happen_is_found_out(page: str, wrong: str, folder: Path) -> None:
    with pytest.raises(AssertionError, match=wrong):
        follow(page, folder)


@pytest.mark.parametrize(
    ("got", "expected", "right"),
    [
        ("done in 0.02 s\n", "done in …\n", True),
        ("done in 0.02 s\nmore\n", "done in …\n", False),
        ("a\nb\nc\n", "a\n…\nc\n", True),
        ("a\nc\n", "a\n…\nc\n", True),
        ("a\nb\n", "a\n…\nc\n", False),
        ("a+\n", "aa\n", False),
    ],
)
def test_dots_stand_for_anything(got: str, expected: str, right: bool) -> None:
    assert fits(got, expected) is right
