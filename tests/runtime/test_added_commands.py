"""Commands that other packages add to the command line, each test with a package that is really installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from phloem.runtime.home import Home
from phloem.runtime.installed import installed

GREET = """\
import argparse, sys
help = "greet somebody"
def add_arguments(parser):
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--loud", action="store_true", help="louder")
    words = parser.add_argument("--way", choices=["warm", "cold"])
def main(given):
    print(f"hello {given.name}" + ("!" if given.loud else ""))
    return 7 if given.name == "seven" else 0
"""

Phloem = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def phloem(tmp_path: Path) -> Phloem:
    """Runs the command line in a process that finds the packages that a test installs."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packages"), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", "phloem.runtime.cli", *words], capture_output=True, text=True, env=environment
        )

    return run


def install(tmp_path: Path, code: str, entry: str = "greet = greeting", package: str = "greeting") -> None:
    folder = tmp_path / "packages"
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / f"{package}.py").write_text(code)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[phloem.commands]\n{entry}\n")


def test_a_command_of_another_package_is_run_and_its_code_returned(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, GREET)
    done = phloem("greet", "Ada", "--loud")
    assert (done.stdout, done.stderr, done.returncode) == ("hello Ada!\n", "", 0)
    assert phloem("greet", "seven").returncode == 7


def test_it_is_in_the_help_and_has_its_own(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, GREET)
    assert "greet somebody" in phloem("--help").stdout
    assert "run a workflow" in phloem("--help").stdout
    own = phloem("greet", "--help").stdout
    assert "Greet somebody" in own
    assert "--loud" in own


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gret", "Ada"], "there is no 'gret'. Did you mean greet?"),
        (["greet", "Ada", "--lout"], "there is no --lout. Did you mean --loud?"),
        (["greet", "Ada", "--way", "warn"], "there is no 'warn'. Did you mean warm?"),
        (["greet"], "the following arguments are required: NAME"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    tmp_path: Path, phloem: Phloem, words: list[str], says: str
) -> None:
    install(tmp_path, GREET)
    done = phloem(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_an_entry_may_name_an_object_in_a_module(tmp_path: Path, phloem: Phloem) -> None:
    code = (
        "class Command:\n    help = 'be an object'\n    def add_arguments(self, parser): ...\n"
        "    def main(self, given):\n        print('from an object')\n        return 0\ncommand = Command()\n"
    )
    install(tmp_path, code, "object = greeting:command")
    assert phloem("object").stdout == "from an object\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "entry", "says"),
    [
        ("import nowhere", "greet = greeting", "ModuleNotFoundError: No module named 'nowhere'"),
        ("help = 3", "greet = greeting", "its help, add_arguments and main"),
        (GREET.replace("def main", "main = 1\ndef other"), "greet = greeting", "its help, add_arguments and main"),
        (GREET, "greet = greeting:absent", "AttributeError"),
    ],
)  # fmt: skip
def test_a_broken_command_is_named_and_breaks_nothing_else(
    tmp_path: Path, phloem: Phloem, code: str, entry: str, says: str
) -> None:
    install(tmp_path, code, entry)
    done = phloem("greet", "Ada")
    assert done.returncode == 2
    assert "the command greet of greeting" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    whole = phloem("--help")
    assert whole.returncode == 0
    assert "(broken: the command greet" in whole.stdout
    assert phloem("nodes", "text.split").returncode == 0


def test_a_command_that_cannot_say_its_words_is_named_and_breaks_nothing_else(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, GREET.replace('"--loud"', '"NAME", "--loud"'))
    done = phloem("greet", "Ada")
    assert done.returncode == 2
    assert "the command greet of greeting cannot be loaded: ValueError: " in done.stderr
    whole = phloem("--help")
    assert (whole.returncode, "greet somebody" in whole.stdout) == (0, True)


def test_its_help_is_shown_as_it_is(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, GREET.replace("greet somebody", "greet 100% of us"))
    assert "greet 100% of us" in phloem("--help").stdout
    assert "Greet 100% of us" in phloem("greet", "--help").stdout


def test_two_packages_with_one_command_are_told_apart_by_neither(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, GREET)
    install(tmp_path, GREET, "greet = welcoming", "welcoming")
    done = phloem("greet", "Ada")
    assert done.returncode == 2
    assert "several packages add a command greet: " in done.stderr


def test_no_package_takes_the_place_of_a_command_of_phloem(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, GREET, "run = greeting\nnodes = greeting")
    assert "usage: phloem run" in phloem("run", "--help").stdout
    assert phloem("--help").stdout.count("run a workflow and print its outputs") == 1
    assert "greet somebody" not in phloem("--help").stdout


def test_phloems_own_commands_do_not_look_at_what_is_installed(tmp_path: Path, phloem: Phloem) -> None:
    install(tmp_path, "raise SystemError", "greet = greeting")
    code = (
        "import sys; from phloem.runtime.cli import main; main(['fmt', 'absent.flow.yaml']);"
        "print('phloem.runtime.installed' in sys.modules, 'importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize("damage", [5, {}, {"folders": 3}, {"offers": {}}, {"offers": {"phloem.commands": [["a"]]}}])
def test_what_was_kept_of_the_installed_packages_and_is_damaged_is_looked_up_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch, damage: object
) -> None:
    installed.cache_clear()
    right = installed(home)
    kept = json.loads((home.path / "installed.json").read_text())
    if isinstance(damage, dict):
        damage = {**kept[sys.prefix], **damage}
    (home.path / "installed.json").write_text(json.dumps({**kept, sys.prefix: damage}))
    installed.cache_clear()
    assert installed(home) == right
    installed.cache_clear()


def test_what_an_older_version_kept_of_the_installed_packages_is_not_taken_for_all(
    tmp_path: Path, phloem: Phloem
) -> None:
    install(tmp_path, GREET)
    home = Path(os.environ["PHLOEM_HOME"])
    assert phloem("greet", "Ada").returncode == 0
    kept = json.loads((home / "installed.json").read_text())
    for one in kept.values():
        del one["offers"]["phloem.commands"]
    (home / "installed.json").write_text(json.dumps(kept))
    assert phloem("greet", "Ada").returncode == 0
    assert "phloem.commands" in (home / "installed.json").read_text()
