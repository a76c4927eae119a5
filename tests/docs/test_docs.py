"""What the documentation says is so: its files, programs and commands run, its outputs come, and nothing is left out.

Each page is followed from top to bottom, in a folder that holds a copy of `examples/` and nothing else:

- A block below `<!-- file: NAME -->` is saved under that name. A package (`FOLDER/pyproject.toml`) counts as
  installed, as after `pip install -e FOLDER`.
- A workflow (`yaml` or `json` that says which format it has) runs to its end, unless the page's own commands use it.
- Any other `yaml` is an entry of `nodes`, and has no problem of structure.
- A program (`python`) that no command of the page uses runs to its end.
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
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=[path.name for path in PAGES])

_BLOCK = re.compile(
    r"(?:^<!-- file: (?P<name>\S+) -->\n+)?^```(?P<form>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_STARTS = re.compile(r'(phloem: 1\n|\{\s*"phloem": 1\b)')
_LEFT_OUT = re.compile(r"^ *…\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. `name` is the file that it is saved as, empty if it is not."""

    name: str
    form: str
    text: str
    line: int

    @property
    def is_workflow(self) -> bool:
        return self.form in ("yaml", "json") and _STARTS.match(self.text) is not None


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text("utf-8")
    return [
        Block(found["name"] or "", found["form"], found["text"], source.count("\n", 0, found.start("text")))
        for found in _BLOCK.finditer(source)
    ]


@EACH_PAGE
def test_what_a_page_shows_happens(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    blocks = blocks_of(page)
    commands = "\n".join(
        line for block in blocks if block.form in ("sh", "console") for line in block.text.splitlines() if _runs(line)
    )
    for number, block in enumerate(blocks):
        where = f"{page.name}, line {block.line}"
        name = block.name or (f"block-{number}.flow.{block.form}" if block.is_workflow else "")
        if name:
            save(folder, name, block.text)
        if block.is_workflow and name not in commands:
            succeeds(f"phloem run {name}", folder, where)
        elif block.form == "python" and (name or "no name") not in commands and not is_part_of_package(name):
            save(folder, name or "program.py", block.text)
            succeeds(f"python {name or 'program.py'}", folder, where)
        elif block.form == "yaml" and not name:
            entries = "".join(f"  {line}" for line in block.text.splitlines(keepends=True))
            assert parse(f"phloem: 1\nnodes:\n{entries}").warnings == (), where
        elif block.form == "sh":
            for line in block.text.splitlines():
                if line.startswith("phloem"):
                    succeeds(line, folder, where)
        elif block.form == "console":
            prints(block, folder, where)


def _runs(line: str) -> bool:
    return line.startswith(("phloem", "$ "))


def is_part_of_package(name: str) -> bool:
    return "/" in name


def save(folder: Path, name: str, text: str) -> None:
    """Save a block; a package's metadata go where Python looks for them, as an installer would have it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    if path.name == "pyproject.toml":
        project = tomllib.loads(text)["project"]
        about = path.parent / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        groups = project["entry-points"].items()
        lines = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in groups
        ]
        (about / "entry_points.txt").write_text("\n".join(lines))


def succeeds(command: str, folder: Path, where: str) -> None:
    done = in_shell(command, folder)
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}"


def prints(block: Block, folder: Path, where: str) -> None:
    """Run the commands of a block in one shell; each has to print what the page says."""
    shown = [part.partition("\n") for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE) if part]
    after = "code=$?; printf '\\036'; (exit $code)"
    done = in_shell("\n".join(f"{command}\n{after}" for command, _, _ in shown), folder)
    printed = done.stdout.split("\036")
    for (command, _, expected), got in zip(shown, printed, strict=False):
        if not fits(got, expected):
            assert got == expected, f"{where}: {command}"


def fits(got: str, expected: str) -> bool:
    """Whether an output is the one shown, where `…` stands for anything, and on a line of its own for any lines."""
    parts = [re.escape(part).replace("…", ".*") for part in _LEFT_OUT.split(expected)]
    return re.fullmatch(r"(?s:.*)".join(parts), got) is not None


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    packages = [str(path.parent) for path in folder.glob("*/pyproject.toml")]
    given = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(packages), "PYTHONUNBUFFERED": "1", "COLUMNS": "100",
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | given, text=True, timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
