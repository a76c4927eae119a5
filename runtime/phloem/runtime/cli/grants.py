"""`phloem grants`: what was allowed always, to look at and to take back."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from phloem.runtime.errors import ConfigError, PhloemError
from phloem.runtime.grants.remembered import Memory, Remembered, content_digest
from phloem.runtime.grants.shown import shown_name, shown_scope
from phloem.runtime.home import Home

__all__ = ["main"]

SHORT = 8
"""Characters of an id that are shown, and the least that name one."""


def main(given: argparse.Namespace) -> int:
    """List or forget; the exit code."""
    remembered = Remembered(Home.default().path)
    if given.what == "forget":
        return _forget(remembered, given)
    found = remembered.all()
    if given.json:
        print(json.dumps([_as_json(one) for one in found], ensure_ascii=False, indent=2))
    elif not found:
        print("Nothing is allowed always.", file=sys.stderr)
    for one in () if given.json else found:
        _tell(one)
    return 0


def _tell(one: Memory) -> None:
    title = shown_name(one.title) or "(no title)"
    place = f"{shown_name(_near(one.file), 120)}, " if one.file else ""
    print(f"{one.digest[:SHORT]}  {title}  ({place}{time.strftime('%Y-%m-%d', time.localtime(one.at))})")
    for grant in one.grants:
        print(f"  {grant.word}={shown_scope(grant.word, grant.scope)}" if grant.scope else f"  {grant.word}")


def _near(file: str) -> str:
    """A path as one would type it here."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file


def _as_json(one: Memory) -> dict[str, object]:
    grants = [str(each) for each in one.grants]
    return {"id": one.digest, "title": one.title, "file": one.file, "at": one.at, "grants": grants}


def _forget(remembered: Remembered, given: argparse.Namespace) -> int:
    found = remembered.all()
    if given.all == bool(given.ids):
        raise ConfigError("what is to be forgotten?", hint="Name ids or workflow files, or say --all.")
    wanted = {one.digest for one in found} if given.all else set().union(*(_meant(text, found) for text in given.ids))
    count = remembered.forget(sorted(wanted)) if wanted else 0
    print(f"forgot what {count} workflow{'' if count == 1 else 's'} may", file=sys.stderr)
    return 0


def _meant(text: str, found: list[Memory]) -> set[str]:
    """The ids that a text names: the beginning of one, or the file that was asked about or has that content now."""
    if Path(text).is_file():
        place, contents = os.path.realpath(text), _contents(Path(text))
        meant = {one.digest for one in found if one.file == place or one.digest in contents}
    else:
        meant = {one.digest for one in found if len(text) >= 4 and one.digest.startswith(text.lower())}
        if len(meant) > 1:
            raise ConfigError(f"{shown_name(text)} is the beginning of {len(meant)} ids", hint="Write more of it.")
    if not meant:
        raise ConfigError(f"nothing is remembered of {shown_name(text)}", hint="phloem grants list shows what is.")
    return meant


def _contents(path: Path) -> set[str]:
    """The ids of a workflow file as it is now; none if it has problems."""
    from phloem.runtime.document import load
    from phloem.runtime.engine import Engine

    try:
        document = load(path)
        return {content_digest(document.workflow), content_digest(Engine().check(document))}
    except PhloemError:
        return set()
