"""`phloem runs answer`: answers what a node of a run asks."""

from __future__ import annotations

import argparse
import sys

from phloem.runtime.cache import store
from phloem.runtime.cli.answers import parse_answer
from phloem.runtime.journal import Journal

__all__ = ["main"]


def main(given: argparse.Namespace, journal: Journal) -> int:
    """Give the answer, and say what comes next; with `--resume` the exit code of the run that goes on."""
    if given.resume:
        from phloem.runtime.cli.resuming import check_words, resume

        check_words(given)
    kept = journal.run(given.run)
    asked = kept.questions.get(given.node)
    # A node that asks nothing is told so by the journal, which knows what does.
    value = given.value if asked is None else parse_answer(asked, given.value)
    journal.answer(kept.id, given.node, store(value))
    about = journal.run(kept.id).summary
    if given.resume and not about.here:
        return resume(given, kept.id)
    if about.here:
        print(f"{given.node} is answered, and {kept.id} goes on", file=sys.stderr)
        return 0
    left = [name for name, one in journal.run(kept.id).questions.items() if one.answered is None]
    print(f"{given.node} is answered" + (f"; {', '.join(left)} not yet" if left else ""), file=sys.stderr)
    print(f"  phloem runs resume {kept.id}", file=sys.stderr)
    return 0
